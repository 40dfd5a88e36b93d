//! The weight of a penalty, chosen by nested cross-validation before the training that takes it.

use super::{
    Session,
    data::Tokens,
    figures,
    fit::{self, Fit},
    plan,
    shape::{self, Shape},
};
use anyhow::Context as _;
use evidence::{DIGITS_MAX, DIGITS_MEASURED, Decimal, Digest, Interval, Json, Measurement, Predicate, Round, Subject};
use meter::Guard;
use std::{collections::BTreeMap, fs, path::Path};
use supervise::{
    Record,
    case::{LambdaPlan, Penalised},
};
use train::{Fold, Nested, NestedError};

/// What ends a fit without a loss.
enum Halt {
    Stopped(String),
    Failed(anyhow::Error),
}

/// One fit, for the record.
struct Fitted {
    candidate: usize,
    n_train: usize,
    n_held_out: usize,
    loss: f64,
}

/// Losses of fits that are done, by candidate and fold: what a run that is taken up again need not do twice.
struct Journal<'a> {
    path: &'a Path,
    /// Loss and FLOP.
    done: BTreeMap<String, (f64, u128)>,
}

impl<'a> Journal<'a> {
    fn open(path: &'a Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = |line: &str| {
            let (key, rest) = line.split_once(' ')?;
            let (loss, flop) = rest.split_once(' ')?;
            Some((key.to_owned(), (f64::from_bits(loss.parse().ok()?), flop.parse().ok()?)))
        };
        Self { path, done: text.lines().filter_map(line).collect() }
    }

    fn put(&mut self, key: &str, found: (f64, u128)) -> anyhow::Result<()> {
        self.done.insert(key.to_owned(), found);
        let line = |(key, (loss, flop)): (&String, &(f64, u128))| format!("{key} {} {flop}\n", loss.to_bits());
        let text: String = self.done.iter().map(line).collect();
        ledger::durable::write_atomic(self.path, text.as_bytes())?;
        Ok(())
    }
}

impl Session<'_> {
    /// The shape with the weight that was chosen; as it is where the case leaves nothing to choose, `None` after a recorded stop.
    pub(crate) fn chosen(&mut self, shape: Shape, tokens: &Tokens, guard: &mut Guard) -> anyhow::Result<Option<Shape>> {
        let Some(plan) = self.case.train.as_ref().and_then(|train| train.lambda.clone()) else {
            return Ok(Some(shape));
        };
        if let Some(entry) = self.run.done(Predicate::Evaluation, "suite", "lambda") {
            let chosen = entry.statement.predicate.get("chosen").and_then(Json::as_decimal);
            let chosen = chosen.context("the entry of the choice names no weight")?;
            // The candidate as written, which the decimal is the rounding of.
            let near = |candidate: &&f64| decimal(**candidate).is_ok_and(|candidate| candidate == chosen);
            let value = plan.candidates.iter().find(near).context("what was chosen is no candidate of the case")?;
            return weighted(shape, plan.penalty, *value).map(Some);
        }
        let small = shape::of_fits(self.case, &plan, tokens)?;
        let groups = tokens.groups();
        let folder = self.work().join(self.run.id());
        fs::create_dir_all(&folder)?;
        let path = folder.join("lambda.fits");
        let mut journal = Journal::open(&path);
        let (mut fits, mut flop) = (Vec::new(), 0);
        let folds = (plan.outer, plan.inner);
        let found = train::nested(groups.len(), folds, plan.candidates.len(), shape.train.seed, |candidate, fold| {
            let value = plan.candidates[candidate];
            let named = |places: &[usize]| places.iter().flat_map(|&place| groups[place].clone()).collect::<Vec<_>>();
            let sides = (named(&fold.train), named(&fold.held_out));
            let small = weighted(small.clone(), plan.penalty, value).map_err(Halt::Failed)?;
            let key = key(candidate, fold);
            let done = match journal.done.get(&key) {
                Some(done) => *done,
                None => {
                    let done = self.fitted(&small, tokens, &sides, guard)?;
                    journal.put(&key, done).map_err(Halt::Failed)?;
                    done
                }
            };
            flop += done.1;
            let (n_train, n_held_out) = (sides.0.len(), sides.1.len());
            fits.push(Fitted { candidate, n_train, n_held_out, loss: done.0 });
            Ok(done.0)
        });
        let found = match found {
            Ok(found) => found,
            Err(NestedError::Fit(Halt::Stopped(reason))) => {
                self.stop(&reason, guard, None)?;
                return Ok(None);
            }
            Err(NestedError::Fit(Halt::Failed(error))) => return Err(error),
            Err(NestedError::Folds(error)) => return Err(error).context("the folds that choose λ cannot be cut"),
            Err(NestedError::NoCandidate) => anyhow::bail!("expected at least one candidate, found none"),
        };
        guard.close()?;
        self.record_choice(&plan, &small, &found, (&fits, flop), guard)?;
        weighted(shape, plan.penalty, plan.candidates[found.candidate]).map(Some)
    }

    /// Trains on one side and scores the other. The scratch of a fit is removed when its loss is known.
    fn fitted(
        &self,
        shape: &Shape,
        tokens: &Tokens,
        (train, held_out): &(Vec<usize>, Vec<usize>),
        guard: &mut Guard,
    ) -> Result<(f64, u128), Halt> {
        let training = plan::training_flop(shape, tokens, train).map_err(Halt::Failed)?;
        let model = match self.fit("lambda", shape, tokens, train, guard).map_err(Halt::Failed)? {
            Fit::Done(model) => model,
            Fit::Stopped(reason) => return Err(Halt::Stopped(reason)),
        };
        match fit::loss(&model, shape, tokens, held_out, guard).map_err(Halt::Failed)? {
            Fit::Stopped(reason) => Err(Halt::Stopped(reason)),
            Fit::Done(loss) => {
                super::train::clear(&self.work().join(self.run.id()).join("lambda"));
                Ok((loss.nats, training + loss.flop))
            }
        }
    }

    fn record_choice(
        &mut self,
        plan: &LambdaPlan,
        shape: &Shape,
        found: &Nested,
        (fits, flop): (&[Fitted], u128),
        guard: &Guard,
    ) -> anyhow::Result<()> {
        let config = plan::config_json(shape)?;
        let subject = Subject::new("configuration of the fits", Digest::of(config.canonical().as_bytes()));
        let candidates = plan.candidates.iter().map(|candidate| decimal(*candidate)).collect::<Result<Vec<_>, _>>()?;
        let chosen = candidates[found.candidate];
        let rounded = |loss: f64, round| Decimal::from_f64(loss, DIGITS_MEASURED, round);
        let losses = || found.outer.iter().map(|outer| outer.outer_loss);
        let interval = Interval {
            lower: rounded(losses().fold(f64::INFINITY, f64::min), Round::Down)?,
            upper: rounded(losses().fold(f64::NEG_INFINITY, f64::max), Round::Up)?,
            level: None,
            method: "range-of-folds".to_owned(),
        };
        let method = format!(
            "{} of {} candidates, {} outer and {} inner folds of documents, seed {}",
            plan.penalty.name(),
            candidates.len(),
            plan.outer,
            plan.inner,
            shape.train.seed
        );
        let mean = rounded(losses().sum::<f64>() / found.outer.len() as f64, Round::Nearest)?;
        let loss = figures::measure("lambda.loss", &subject, mean, &method)?;
        let n_fits = Decimal::from_u128(fits.len() as u128, Round::Nearest);
        let mut record = Record::new(Predicate::Evaluation, "train");
        record.measurements = vec![
            figures::measure("lambda.value", &subject, chosen, &method)?,
            Measurement { interval: Some(interval), n: Some(found.outer.len() as u64), ..loss },
            figures::measure("lambda.fits", &subject, n_fits, &method)?,
            figures::flop("lambda.compute", &subject, flop, Vec::new())?,
        ];
        record.subjects = vec![subject];
        let row = |(at, outer): (usize, &train::Chosen)| {
            anyhow::Ok(Json::map([
                ("fold", Some((at + 1).into())),
                ("lambda", Some(candidates[outer.candidate].into())),
                ("innerLoss", Some(rounded(outer.inner_loss, Round::Nearest)?.into())),
                ("outerLoss", Some(rounded(outer.outer_loss, Round::Nearest)?.into())),
            ]))
        };
        let fit = |fit: &Fitted| {
            anyhow::Ok(Json::map([
                ("lambda", Some(candidates[fit.candidate].into())),
                ("nTrain", Some(fit.n_train.into())),
                ("nHeldOut", Some(fit.n_held_out.into())),
                ("loss", Some(rounded(fit.loss, Round::Nearest)?.into())),
            ]))
        };
        record.members = vec![
            ("suite", "lambda".into()),
            ("scope", "excluded: exploratory runs".into()),
            ("penalty", plan.penalty.name().into()),
            ("candidates", Json::List(candidates.iter().map(|candidate| (*candidate).into()).collect())),
            ("chosen", chosen.into()),
            ("outer", Json::List(found.outer.iter().enumerate().map(row).collect::<Result<_, _>>()?)),
            ("fits", Json::List(fits.iter().map(fit).collect::<Result<_, _>>()?)),
            ("config", config),
            ("spent", figures::spent_json(guard.account().spent())),
        ];
        self.record(record)?;
        Ok(())
    }
}

fn decimal(value: f64) -> anyhow::Result<Decimal> {
    Ok(Decimal::from_f64(value, DIGITS_MAX, Round::Nearest)?)
}

/// A name for a fit: the candidate and the documents of its two sides.
fn key(candidate: usize, fold: &Fold) -> String {
    Digest::of(format!("{candidate} {fold:?}").as_bytes()).to_string()
}

/// The shape with another weight of that penalty.
fn weighted(shape: Shape, penalty: Penalised, value: f64) -> anyhow::Result<Shape> {
    let mut shape = shape;
    match penalty {
        Penalised::L1 => shape.train.penalty.l1 = value,
        Penalised::L2 => shape.train.penalty.l2 = value,
        Penalised::Heads => shape.train.penalty.heads = value,
        Penalised::Channels => shape.train.penalty.channels = value,
        Penalised::WeightDecay => {
            let name = shape.train.optimizer.name();
            anyhow::ensure!(
                shape.train.optimizer.set("weight_decay", value),
                "the optimizer `{name}` has no decoupled weight decay to choose; take `l2`"
            );
        }
    }
    Ok(shape)
}
