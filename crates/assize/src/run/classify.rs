//! A head against held-out texts and over folds.

use super::{
    Session,
    data::{Data, Labels, Tokens},
    figures,
    fit::Fit,
    plan,
    shape::Shape,
    train::Trained,
};
use anyhow::Context as _;
use evaluate::{
    classes::{Confusion, Share},
    statistics::spread,
};
use evidence::{DIGITS_MEASURED, Decimal, DerivedFrom, Digest, Interval, Json, Measurement, Predicate, Round, Subject};
use meter::Guard;
use supervise::Record;

const LEVEL: f64 = 0.95;

impl Session<'_> {
    /// Holds the head against held-out texts, then over folds; `false` after a recorded stop.
    pub(crate) fn classify(
        &mut self,
        data: &Data,
        tokens: &Tokens,
        trained: &Trained,
        guard: &mut Guard,
    ) -> anyhow::Result<bool> {
        let labels = tokens.labels.as_ref().context("the rows have no classes")?;
        if self.run.done(Predicate::Evaluation, "suite", "classes").is_none() {
            let told = self.told(&trained.model, &trained.shape, tokens, &tokens.held_out, guard)?;
            let (told, flop) = match told {
                Fit::Done(told) => told,
                Fit::Stopped(reason) => return self.stop(&reason, guard, None).map(|()| false),
            };
            guard.close()?;
            let confusion = Confusion::new(labels.names.len(), told.targets.into_iter().zip(told.classes));
            let circumstances = self.circumstances(&trained.weights, tokens);
            let mut record = Record::new(Predicate::Evaluation, "evaluate");
            record.subjects = vec![trained.weights.clone()];
            record.measurements = held_out_figures(labels, &confusion, tokens, &trained.weights)?;
            record.measurements.iter_mut().for_each(|found| found.inputs.clone_from(&circumstances.inputs));
            record.measurements.push(figures::flop("classify.compute", &trained.weights, flop, circumstances.inputs)?);
            record.members = members("classes", "excluded: evaluation", labels, &confusion)?;
            record.members.push(("spent", figures::spent_json(guard.account().spent())));
            self.record(record)?;
        }
        let folds = self.case.train.as_ref().and_then(|train| train.classifier).and_then(|classifier| classifier.folds);
        match folds {
            Some(folds) if self.run.done(Predicate::Evaluation, "suite", "classes-k-fold").is_none() => {
                self.classify_folds(folds, data, tokens, &trained.shape, guard)
            }
            _ => Ok(true),
        }
    }

    /// Trains the same head once a fold, over the training texts alone.
    fn classify_folds(
        &mut self,
        folds: usize,
        data: &Data,
        tokens: &Tokens,
        shape: &Shape,
        guard: &mut Guard,
    ) -> anyhow::Result<bool> {
        let labels = tokens.labels.as_ref().context("the rows have no classes")?;
        let documents = tokens.distinct();
        let parts = dataset::folds(&data.corpus, &documents, folds, shape.train.seed)?;
        let (mut pairs, mut rows, mut shares, mut flop) = (Vec::new(), Vec::new(), Vec::new(), 0_u128);
        for (index, part) in parts.iter().enumerate() {
            let rest: Vec<usize> = documents.iter().copied().filter(|document| !part.contains(document)).collect();
            flop += plan::training_flop(shape, tokens, &rest)?;
            let model = match self.fit(&format!("class-fold-{index}"), shape, tokens, &rest, guard)? {
                Fit::Done(model) => model,
                Fit::Stopped(reason) => return self.stop(&reason, guard, None).map(|()| false),
            };
            let told = match self.told(&model, shape, tokens, part, guard)? {
                Fit::Done((told, scoring)) => {
                    flop += scoring;
                    told
                }
                Fit::Stopped(reason) => return self.stop(&reason, guard, None).map(|()| false),
            };
            let of_fold: Vec<(usize, usize)> = told.targets.into_iter().zip(told.classes).collect();
            let (right, n) = Confusion::new(labels.names.len(), of_fold.iter().copied()).right();
            rows.push(Json::map([
                ("fold", Some((index + 1).into())),
                ("n", Some(n.into())),
                ("right", Some(right.into())),
            ]));
            shares.push(right as f64 / n.max(1) as f64);
            pairs.extend(of_fold);
        }
        guard.close()?;
        let confusion = Confusion::new(labels.names.len(), pairs);
        let config = plan::config_json(shape)?;
        let subject = Subject::new("k-fold configuration", Digest::of(config.canonical().as_bytes()));
        let circumstances = self.circumstances(&subject, tokens);
        let method = format!("{folds} folds of the training texts, seed {}, pooled", shape.train.seed);
        let (right, n) = confusion.right();
        let mut record = Record::new(Predicate::Evaluation, "evaluate");
        record.measurements = vec![
            share("classify.fold_accuracy", &subject, Share::new(right, n, LEVEL)?, LEVEL, &method)?,
            number("classify.fold_macro_f1", &subject, confusion.macro_f1(), &method)?,
            number("classify.fold_spread", &subject, spread(&shares)?.deviation, &method)?,
            figures::flop("classify.compute", &subject, flop, circumstances.inputs.clone())?,
        ];
        record.measurements.iter_mut().for_each(|found| found.inputs.clone_from(&circumstances.inputs));
        record.subjects = vec![subject];
        record.members = members("classes-k-fold", "excluded: exploratory runs", labels, &confusion)?;
        record.members.push(("config", config));
        record.members.push(("folds", Json::List(rows)));
        record.members.push(("spent", figures::spent_json(guard.account().spent())));
        record.derived_from = vec![DerivedFrom { parent: data.corpus.digest(), action: "folded".to_owned() }];
        self.record(record)?;
        Ok(true)
    }
}

fn held_out_figures(
    labels: &Labels,
    confusion: &Confusion,
    tokens: &Tokens,
    subject: &Subject,
) -> anyhow::Result<Vec<Measurement>> {
    let (right, n) = confusion.right();
    let method = "likeliest class of each held-out text";
    let mut sizes = vec![0_u64; labels.names.len()];
    tokens.distinct().into_iter().for_each(|document| sizes[labels.of[document] as usize] += 1);
    // Of equals the first.
    let largest = (1..sizes.len()).fold(0, |best, at| if sizes[at] > sizes[best] { at } else { best });
    let of_largest = confusion.sizes()[largest];
    let each = 1.0 - (1.0 - LEVEL) / labels.names.len() as f64;
    let recalls = confusion.recalls(each)?.into_iter().enumerate().filter_map(|(class, recall)| Some((class, recall?)));
    let worst = recalls.min_by(|(_, a), (_, b)| a.value().total_cmp(&b.value()));
    let (class, worst) = worst.context("no text is held out")?;
    let classes = Decimal::from_u128(labels.names.len() as u128, Round::Nearest);
    Ok(vec![
        share("classify.accuracy", subject, Share::new(right, n, LEVEL)?, LEVEL, method)?,
        share(
            "classify.baseline",
            subject,
            Share::new(of_largest, n, LEVEL)?,
            LEVEL,
            &format!("`{}`, the largest class in training, told of each", labels.names[largest]),
        )?,
        figures::measure("classify.classes", subject, classes, "counted over the rows")?,
        number("classify.macro_f1", subject, confusion.macro_f1(), method)?,
        share("classify.worst_recall", subject, worst, each, &format!("of the class `{}`", labels.names[class]))?,
    ])
}

/// Names, the matrix of confusion and the recall of each class.
fn members(
    suite: &str,
    scope: &str,
    labels: &Labels,
    confusion: &Confusion,
) -> anyhow::Result<Vec<(&'static str, Json)>> {
    let counts = confusion.counts().iter().map(|row| Json::List(row.iter().map(|n| (*n).into()).collect()));
    let recalls = labels.names.iter().zip(confusion.recalls(LEVEL)?).map(|(name, recall)| {
        let figures = recall.map(|recall| {
            anyhow::Ok((
                decimal(recall.value(), Round::Nearest)?,
                decimal(recall.bounds.lower, Round::Down)?,
                decimal(recall.bounds.upper, Round::Up)?,
            ))
        });
        let figures = figures.transpose()?;
        Ok(Json::map([
            ("class", Some(name.as_str().into())),
            ("right", recall.map(|recall| recall.k.into())),
            ("n", Some(recall.map_or(0, |recall| recall.n).into())),
            ("recall", figures.map(|(value, ..)| value.into())),
            ("lower", figures.map(|(_, lower, _)| lower.into())),
            ("upper", figures.map(|(.., upper)| upper.into())),
        ]))
    });
    Ok(vec![
        ("suite", suite.into()),
        ("scope", scope.into()),
        ("classes", Json::list(labels.names.iter().map(String::as_str))),
        // A row a class, a column for what was told.
        ("confusion", Json::List(counts.collect())),
        ("recalls", Json::List(recalls.collect::<anyhow::Result<_>>()?)),
        ("intervals", "wilson".into()),
    ])
}

fn decimal(value: f64, round: Round) -> anyhow::Result<Decimal> {
    Ok(Decimal::from_f64(value, DIGITS_MEASURED, round)?)
}

fn number(id: &str, subject: &Subject, value: f64, method: &str) -> anyhow::Result<Measurement> {
    figures::measure(id, subject, decimal(value, Round::Nearest)?, method)
}

fn share(id: &str, subject: &Subject, share: Share, level: f64, method: &str) -> anyhow::Result<Measurement> {
    let interval = Interval {
        lower: decimal(share.bounds.lower, Round::Down)?,
        upper: decimal(share.bounds.upper, Round::Up)?,
        level: Some(decimal(level, Round::Nearest)?),
        method: "wilson".to_owned(),
    };
    let base = number(id, subject, share.value(), method)?;
    Ok(Measurement { interval: Some(interval), n: Some(share.n), k: Some(share.k), ..base })
}
