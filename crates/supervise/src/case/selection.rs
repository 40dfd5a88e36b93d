//! `[train] lambda` and `[train] classifier`: what is chosen by nested cross-validation, and heads that tell classes.

use super::{CaseError, Labelled, read::Reader, wire};
use toml::Spanned;

/// The weight of one penalty, chosen among candidates by nested cross-validation over the training documents.
#[derive(Debug, Clone, PartialEq)]
pub struct LambdaPlan {
    pub penalty: Penalised,
    pub candidates: Vec<f64>,
    pub outer: usize,
    pub inner: usize,
    /// What each fit is trained on; as many as the training itself where nothing is said.
    pub tokens: Option<u64>,
}

/// Whose weight is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Penalised {
    L1,
    L2,
    /// The group lasso over attention heads, and over channels of the feed-forward part.
    Heads,
    Channels,
    /// Decoupled, of the optimiser.
    WeightDecay,
}

impl Penalised {
    const ALL: [Self; 5] = [Self::L1, Self::L2, Self::Heads, Self::Channels, Self::WeightDecay];

    /// As a case writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::Heads => "heads",
            Self::Channels => "channels",
            Self::WeightDecay => "weight_decay",
        }
    }
}

/// A head that tells the classes of labelled rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classifier {
    /// The model below is held, and the head alone is trained.
    pub head_alone: bool,
    /// Cross-validation over the training rows.
    pub folds: Option<usize>,
}

impl Reader<'_> {
    pub(super) fn lambda(&self, lambda: Spanned<wire::Lambda>) -> Result<LambdaPlan, CaseError> {
        let span = lambda.span();
        let lambda = lambda.into_inner();
        let name = self.known("penalty", &lambda.penalty, &Penalised::ALL.map(Penalised::name))?;
        let penalty = Penalised::ALL.into_iter().find(|known| known.name() == name).unwrap_or(Penalised::L2);
        let weight = |number: &Spanned<f64>| self.at_least_zero("a weight", number, f64::INFINITY);
        let candidates = lambda.candidates.iter().map(weight).collect::<Result<Vec<_>, _>>()?;
        if candidates.len() < 2 {
            let hint = "give one weight alone under `penalty`, or to the optimizer";
            return Err(self.complain(span, "expected at least two candidates to choose from", hint));
        }
        let folds = |what: &str, number: &Option<Spanned<usize>>, absent| match number {
            Some(number) if *number.get_ref() < 2 => {
                let message = format!("expected at least 2 {what} folds, found `{}`", number.get_ref());
                Err(self.complain(number.span(), message, ""))
            }
            Some(number) => Ok(*number.get_ref()),
            None => Ok(absent),
        };
        if let Some(tokens) = lambda.tokens.as_ref().filter(|tokens| *tokens.get_ref() == 0) {
            return Err(self.complain(tokens.span(), "expected at least one token to train on, found `0`", ""));
        }
        let tokens = lambda.tokens.map(Spanned::into_inner);
        let (outer, inner) = (folds("outer", &lambda.outer, 5)?, folds("inner", &lambda.inner, 3)?);
        Ok(LambdaPlan { penalty, candidates, outer, inner, tokens })
    }

    pub(super) fn classifier(&self, classifier: Spanned<wire::Classifier>) -> Result<Classifier, CaseError> {
        let classifier = classifier.into_inner();
        let head_alone = match &classifier.train {
            None => true,
            Some(said) => self.known("part to train", said, &["head", "all"])? == "head",
        };
        let folds = match classifier.folds {
            Some(folds) if *folds.get_ref() < 2 => {
                let message = format!("expected at least 2 folds, found `{}`", folds.get_ref());
                return Err(self.complain(folds.span(), message, ""));
            }
            folds => folds.map(Spanned::into_inner),
        };
        Ok(Classifier { head_alone, folds })
    }

    pub(super) fn labelled(
        &self,
        text: Option<Vec<String>>,
        label: Option<Spanned<String>>,
        has_header: bool,
    ) -> Result<Option<Labelled>, CaseError> {
        let Some(label) = label else { return Ok(None) };
        let text = text.unwrap_or_default();
        if text.contains(label.get_ref()) {
            let message = format!("the class `{}` is among the columns that are read", label.get_ref());
            return Err(self.complain(label.span(), message, "a model that reads the answer learns nothing"));
        }
        Ok(Some(Labelled { text, label: label.into_inner(), has_header }))
    }

    /// Classes need rows that have one, and rows that have one need a head.
    pub(super) fn rest(&self, data: &[wire::Data], train: Option<&wire::Train>) -> Result<(), CaseError> {
        let Some(train) = train else { return Ok(()) };
        let plain = data.iter().find(|source| source.label.is_none());
        let labelled = data.iter().find_map(|source| source.label.as_ref());
        match (&train.classifier, plain, labelled) {
            (Some(_), Some(plain), _) => {
                let message =
                    format!("`classifier` needs the class of every row, and `{}` names no `label`", plain.name);
                Err(self.complain(plain.path.span(), message, "name the column with `label`"))
            }
            (Some(classifier), ..) if train.chat.is_some() => Err(self.complain(
                classifier.span(),
                "a head that tells classes reads texts, not conversations",
                "leave `chat` out",
            )),
            (None, _, Some(label)) => {
                let hint = "add `classifier = { train = \"head\" }` under `[train]`";
                Err(self.complain(label.span(), "rows with a class are read by a `classifier` alone", hint))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Case;
    use super::*;

    fn read(data: &str, train: &str) -> Result<Case, CaseError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rows.csv"), "words,class\na,b\n").unwrap();
        let text = format!(
            "[system]\nname = \"a\"\n[policy]\npacks = []\n[[data]]\nname = \"rows\"\npath = \"rows.csv\"\n{data}\n\
             [train]\ntokens = 10\noptimizer = {{ name = \"sgd\", learning_rate = 0.1 }}\n{train}\n"
        );
        std::fs::write(folder.path().join("assize.toml"), text).unwrap();
        Case::read(folder.path())
    }

    #[test]
    fn choices_and_heads_are_read_with_their_defaults() {
        let lambda = "lambda = { penalty = \"weight_decay\", candidates = [0, 0.1], inner = 2 }\nprecision = \"bf16\"";
        let train = read("", lambda).unwrap().train.unwrap();
        let expected = LambdaPlan {
            penalty: Penalised::WeightDecay,
            candidates: vec![0.0, 0.1],
            outer: 5,
            inner: 2,
            tokens: None,
        };
        assert_eq!((train.lambda, train.bf16), (Some(expected), true));
        let case = read("label = \"class\"", "classifier = { folds = 3 }").unwrap();
        assert_eq!(case.train.unwrap().classifier, Some(Classifier { head_alone: true, folds: Some(3) }));
        let labelled = Labelled { text: Vec::new(), label: "class".to_owned(), has_header: true };
        assert_eq!(case.data[0].labelled, Some(labelled));
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        for (data, train, expected) in [
            ("", "precision = \"f16\"", "expected a precision, one of `f32`, `bf16`, found `f16`"),
            (
                "",
                "lambda = { penalty = \"l2\", candidates = [1.0] }",
                "expected at least two candidates to choose from",
            ),
            (
                "",
                "lambda = { penalty = \"l2\", candidates = [0, -1.0] }",
                "expected a weight of at least 0 and finite, found `-1`",
            ),
            (
                "",
                "lambda = { penalty = \"l2\", candidates = [0, 1], outer = 1 }",
                "expected at least 2 outer folds, found `1`",
            ),
            ("", "classifier = {}", "`classifier` needs the class of every row, and `rows` names no `label`"),
            ("label = \"class\"", "", "rows with a class are read by a `classifier` alone"),
            (
                "label = \"class\"",
                "classifier = { train = \"body\" }",
                "expected a part to train, one of `head`, `all`, found `body`",
            ),
            ("label = \"class\"", "classifier = { folds = 1 }", "expected at least 2 folds, found `1`"),
            (
                "text = [\"class\"]\nlabel = \"class\"",
                "classifier = {}",
                "the class `class` is among the columns that are read",
            ),
        ] {
            assert_eq!(read(data, train).unwrap_err().message, expected, "{data} {train}");
        }
    }
}
