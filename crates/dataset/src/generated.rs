//! The mark of a text that a model made, and what marks and declarations come to.
//!
//! A mark stands in the line of a JSON Lines file as the member `generated`: which model, by which recipe, which of its draws. Whoever
//! takes it away leaves a text that nobody can tell from others: what is counted here is a lower bound.

use crate::{
    Corpus, Document,
    audit::{Whole, measurement},
};
use evidence::{Digest, EvidenceError, INT_MAX, Json, Measurement, Provenance, Subject};
use jiff::Timestamp;
use serde_json::Value;

/// Where a generated text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Of the generator's weights.
    pub generator: Digest,
    /// Of the recipe's meaning.
    pub recipe: Digest,
    pub seed: u64,
    /// Which of the recipe's draws it is, from 0; those that were thrown away have numbers as well.
    pub index: u64,
}

/// The member of a line that holds the mark.
pub(crate) const MEMBER: &str = "generated";

impl Mark {
    /// A line of a JSON Lines file without its end: text and mark, in canonical form.
    #[must_use]
    pub fn line(&self, text: &str) -> String {
        let mark = Json::map([
            ("generator", Some(self.generator.to_string().into())),
            ("recipe", Some(self.recipe.to_string().into())),
            ("seed", Some(self.seed.into())),
            ("index", Some(self.index.into())),
        ]);
        Json::map([("text", Some(text.into())), (MEMBER, Some(mark))]).canonical()
    }

    /// The mark of a line, or what of it is wrong: expected and found.
    pub(crate) fn of(value: &Value) -> Result<Self, (&'static str, String)> {
        let shown = |member: &str| value.get(member).map_or_else(|| "nothing".to_owned(), Value::to_string);
        let digest = |member: &'static str| {
            let found = value.get(member).and_then(Value::as_str).and_then(|text| text.parse().ok());
            found.ok_or_else(|| {
                ("a mark with a SHA-256 in 64 hexadecimal digits", format!("`{member}` of {}", shown(member)))
            })
        };
        let number = |member: &'static str| {
            let found = value.get(member).and_then(Value::as_u64).filter(|n| *n <= INT_MAX as u64);
            found.ok_or_else(|| ("a mark with a whole number", format!("`{member}` of {}", shown(member))))
        };
        let (generator, recipe) = (digest("generator")?, digest("recipe")?);
        Ok(Self { generator, recipe, seed: number("seed")?, index: number("index")? })
    }
}

/// How much of a corpus is known to be made by models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    pub n_documents: u64,
    pub n_synthetic: u64,
    /// Documents of which somebody said, either way.
    pub n_stated: u64,
    /// Paths of files that are declared not to be generated and hold marks; the marks count.
    pub contradicted: Vec<String>,
    /// Distinct (generator, recipe) of the marks with their documents, sorted.
    pub marks: Vec<(Digest, Digest, u64)>,
    /// Some documents count by the word of the case alone.
    is_declared: bool,
}

impl Corpus {
    /// Whether a document is known to be made by a model: by its mark, or by what was declared of its source.
    #[must_use]
    pub fn is_synthetic(&self, document: &Document) -> bool {
        document.mark.is_some() || self.files[document.file].generated == Some(true)
    }
}

/// Counts marks and declarations.
#[must_use]
pub fn origins(corpus: &Corpus) -> Origins {
    let declared = |document: &Document| corpus.files[document.file].generated;
    let count = |of: &dyn Fn(&Document) -> bool| corpus.documents.iter().filter(|document| of(document)).count() as u64;
    let mut marks = std::collections::BTreeMap::<(Digest, Digest), u64>::new();
    let mut contradicted: Vec<String> = Vec::new();
    for document in &corpus.documents {
        let Some(mark) = document.mark else { continue };
        *marks.entry((mark.generator, mark.recipe)).or_default() += 1;
        let path = &corpus.files[document.file].path;
        if declared(document) == Some(false) && contradicted.last() != Some(path) {
            contradicted.push(path.clone());
        }
    }
    Origins {
        n_documents: corpus.documents.len() as u64,
        n_synthetic: count(&|document| corpus.is_synthetic(document)),
        n_stated: count(&|document| document.mark.is_some() || declared(document).is_some()),
        contradicted,
        marks: marks.into_iter().map(|((generator, recipe), n)| (generator, recipe, n)).collect(),
        is_declared: corpus.documents.iter().any(|document| document.mark.is_none() && declared(document).is_some()),
    }
}

impl Origins {
    /// `data.synthetic_share` and `data.origin_stated`, and of `tokens`, (synthetic, all), `data.synthetic_token_share`. They are as sure
    /// as a declaration where one takes part, else measured.
    ///
    /// # Errors
    /// `UnknownMetric` if the catalogue lacks one of them.
    pub fn measurements(
        &self,
        tokens: Option<(u64, u64)>,
        subject: &Subject,
        instrument: &str,
        at: Timestamp,
    ) -> Result<Vec<Measurement>, EvidenceError> {
        let n = self.n_documents;
        let mut rows = vec![
            (
                "data.synthetic_share",
                Whole::Share { k: self.n_synthetic, n },
                "marks and declarations, counted by document",
            ),
            ("data.origin_stated", Whole::Share { k: self.n_stated, n }, "marks and declarations, counted by document"),
        ];
        rows.extend(tokens.map(|(k, n)| {
            (
                "data.synthetic_token_share",
                Whole::Share { k, n },
                "tokens of documents with a mark or declared, counted",
            )
        }));
        let provenance = if self.is_declared { Provenance::Declared } else { Provenance::Measured };
        let row = |(id, whole, method)| {
            let found = measurement(id, whole, method, subject, vec![subject.digest], instrument, at)?;
            Ok(Measurement { provenance, ..found })
        };
        rows.into_iter().map(row).collect()
    }

    /// For the record.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mark = |(generator, recipe, n): &(Digest, Digest, u64)| {
            Json::map([
                ("generator", Some((*generator).into())),
                ("recipe", Some((*recipe).into())),
                ("documents", Some((*n).into())),
            ])
        };
        Json::map([
            ("marks", Some(Json::List(self.marks.iter().map(mark).collect()))),
            ("contradicted", Some(Json::list(self.contradicted.iter().map(String::as_str)))),
        ])
    }
}
