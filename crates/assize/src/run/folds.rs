//! Cross-validation of a case: folds side by side where memory and threads allow, each finished fold kept.

use super::{Session, data::Data, data::Tokens, figures, plan, plan::SCORING_BATCH, shape, shape::Shape, train::clear};
use anyhow::Context as _;
use evaluate::{Pass, figures as scored, statistics::pooled};
use evidence::{Control, DIGITS_MEASURED, Decimal, DerivedFrom, Digest, Json, Predicate, Round, Subject};
use indicatif::ProgressBar;
use meter::Guard;
use model::Llama;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};
use supervise::{Record, case::FoldPlan};
use train::Event;

/// One fold, scored.
#[derive(Debug, Clone, PartialEq)]
struct FoldScore {
    n_documents: usize,
    n_tokens: u64,
    loss: f64,
    /// Of its scoring.
    flop: u128,
}

/// What of memory folds may take together, and how far above the planner's formula one of them may go: its upper end.
const SHARE_OF_MEMORY: f64 = 0.8;
const MARGIN: f64 = 2.0;

/// How many folds are trained at once: no more than there are folds or threads, and as many as fit.
fn at_once(n_folds: usize, n_threads: usize, bytes_of_one: f64, bytes_available: Option<u64>) -> usize {
    let fitting = bytes_available.map_or(1.0, |bytes| SHARE_OF_MEMORY * bytes as f64 / (MARGIN * bytes_of_one));
    n_folds.min(n_threads).min(fitting as usize).max(1)
}

/// What the folds share while they are trained.
struct Folds<'a> {
    shape: &'a Shape,
    tokens: &'a Tokens,
    /// Documents trained on and held out, by fold.
    parts: Vec<(Vec<usize>, Vec<usize>)>,
    folder: PathBuf,
    guard: Mutex<&'a mut Guard>,
    bar: ProgressBar,
    next: Mutex<Next>,
}

#[derive(Default)]
struct Next {
    fold: usize,
    /// Why no further fold is begun, and those under way are left where they stand.
    stop: Option<String>,
    failure: Option<anyhow::Error>,
}

/// A poisoned lock is that of a fold that failed, which is told of elsewhere.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session<'_> {
    /// Trains and scores each fold; `false` after a recorded stop. Folds are over the training documents alone.
    pub(super) fn cross_validate(
        &mut self,
        plan: &FoldPlan,
        data: &Data,
        tokens: &Tokens,
        guard: &mut Guard,
    ) -> anyhow::Result<bool> {
        let shape = shape::of_folds(self.case, plan, tokens)?;
        let documents = tokens.distinct();
        let held_out = dataset::folds(&data.corpus, &documents, plan.folds, shape.train.seed)?;
        let rest = |part: &Vec<usize>| documents.iter().copied().filter(|document| !part.contains(document)).collect();
        let parts: Vec<(Vec<usize>, Vec<usize>)> = held_out.into_iter().map(|part| (rest(&part), part)).collect();
        let trained = parts.iter().map(|(rest, _)| plan::training_flop(&shape, tokens, rest));
        let mut flop: u128 = trained.sum::<anyhow::Result<u128>>()?;
        let bar = self.screen.bar("folds", shape.train.steps * parts.len() as u64);
        let folder = self.work().join(self.run.id());
        let (guard_of_all, next) = (Mutex::new(guard), Mutex::default());
        let folds = Folds { shape: &shape, tokens, parts, folder, guard: guard_of_all, bar, next };
        let found = folds.all();
        folds.bar.finish_and_clear();
        let Folds { guard, next, .. } = folds;
        let guard = guard.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Next { stop, failure, .. } = next.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = failure {
            return Err(failure);
        }
        if let Some(reason) = stop {
            self.stop(&reason, guard, None)?;
            return Ok(false);
        }
        let found = found.into_iter().collect::<Option<Vec<FoldScore>>>().context("a fold was not scored")?;
        flop += found.iter().map(|fold| fold.flop).sum::<u128>();
        guard.close()?;
        self.folds_record(&shape, data, tokens, guard, &found, flop)?;
        Ok(true)
    }

    fn folds_record(
        &mut self,
        shape: &Shape,
        data: &Data,
        tokens: &Tokens,
        guard: &Guard,
        found: &[FoldScore],
        flop: u128,
    ) -> anyhow::Result<()> {
        let config = plan::config_json(shape)?;
        let subject = Subject::new("k-fold configuration", Digest::of(config.canonical().as_bytes()));
        let losses: Vec<f64> = found.iter().map(|fold| fold.loss).collect();
        let circumstances = self.circumstances(&subject, tokens);
        let mut record = Record::new(Predicate::Evaluation, "evaluate");
        record.subjects = vec![subject.clone()];
        record.measurements = scored::folds(&losses, &circumstances)?;
        record.measurements.push(figures::flop("kfold.compute", &subject, flop, circumstances.inputs)?);
        let rows = found.iter().enumerate().map(|(index, fold)| fold_json(index, fold)).collect::<Result<_, _>>()?;
        record.members = vec![
            ("suite", "k-fold".into()),
            ("scope", "excluded: exploratory runs".into()),
            ("config", config),
            ("folds", Json::List(rows)),
            ("spent", figures::spent_json(guard.account().spent())),
        ];
        record.derived_from = vec![DerivedFrom { parent: data.corpus.digest(), action: "folded".to_owned() }];
        self.record(record)?;
        Ok(())
    }
}

impl Folds<'_> {
    /// Every fold, in order; `None` for one that is not finished. The figures do not depend on how many go on at once.
    fn all(&self) -> Vec<Option<FoldScore>> {
        let n_threads = rayon::current_num_threads();
        let (train, model) = (&self.shape.train, shape::architecture(&self.shape.model));
        let bytes = meter::training_memory_bytes(
            &model,
            (train.batch as u64, train.context as u64),
            (self.shape.n_trained() as u64, train.optimizer.n_states()),
            train.precision == ::train::Precision::Bf16,
        );
        let n_lanes = at_once(self.parts.len(), n_threads, bytes, meter::memory_available());
        let found = Mutex::new(vec![None; self.parts.len()]);
        thread::scope(|scope| {
            for lane in 0..n_lanes {
                let threads = n_threads / n_lanes + usize::from(lane < n_threads % n_lanes);
                let found = &found;
                scope.spawn(move || {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    match pool {
                        Ok(pool) => pool.install(|| self.lane(lane, found)),
                        Err(error) => self.fail(error.into()),
                    }
                });
            }
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one fold after another until none is left or one has stopped.
    fn lane(&self, lane: usize, found: &Mutex<Vec<Option<FoldScore>>>) {
        loop {
            let index = {
                let mut next = held(&self.next);
                if next.fold == self.parts.len() || next.stop.is_some() || next.failure.is_some() {
                    return;
                }
                next.fold += 1;
                next.fold - 1
            };
            match self.fold(lane, index) {
                Ok(Ok(score)) => held(found)[index] = Some(score),
                Ok(Err(reason)) => {
                    held(&self.next).stop.get_or_insert(reason);
                }
                Err(error) => self.fail(error),
            }
        }
    }

    fn fail(&self, error: anyhow::Error) {
        held(&self.next).failure.get_or_insert(error);
    }

    /// Asks for a unit of work, unless another fold has stopped.
    fn ask(&self, lane: usize, flop: u128) -> Control {
        let stop = {
            let next = held(&self.next);
            next.stop.clone().or_else(|| next.failure.as_ref().map(|_| "another fold has failed".to_owned()))
        };
        stop.map_or_else(|| held(&self.guard).ask_as(lane, flop), Control::Stop)
    }

    /// One fold, or the reason of a stop. One that was finished before is taken from its file.
    fn fold(&self, lane: usize, index: usize) -> anyhow::Result<Result<FoldScore, String>> {
        let (shape, (rest, part)) = (self.shape, &self.parts[index]);
        let corpus = self.tokens.corpus(rest, shape.train.context)?;
        let identity = identity(shape, &corpus, &self.tokens.of(part))?;
        let file = self.folder.join(format!("fold-{index}.json"));
        if let Some(score) = kept(&file, identity) {
            self.bar.inc(shape.train.steps);
            return Ok(Ok(score));
        }
        let folder = self.folder.join(format!("fold-{index}"));
        let trained = match self.trained(lane, &corpus, &folder)? {
            Ok(trained) => trained,
            Err(reason) => return Ok(Err(reason)),
        };
        let architecture = shape::architecture(&shape.model);
        let documents = self.tokens.of(part);
        let outcome = evaluate::score(&trained, &documents, &shape.scoring(SCORING_BATCH), &mut |progress| {
            self.ask(lane, architecture.forward(progress.next.batch as u64, progress.next.positions as u64))
        })?;
        held(&self.guard).done_as(lane);
        let (scores, passes) = match outcome {
            evaluate::Outcome::Stopped { reason, .. } => return Ok(Err(reason)),
            evaluate::Outcome::Finished { scores, passes } => (scores, passes),
        };
        let forward = |pass: &Pass| architecture.forward(pass.batch as u64, pass.positions as u64);
        let (flop, whole) = (passes.iter().map(forward).sum(), pooled(&scores)?);
        let score = FoldScore { n_documents: part.len(), n_tokens: whole.n_tokens, loss: whole.loss_nats, flop };
        ledger::durable::write_atomic(&file, sealed(&score, identity).canonical().as_bytes())?;
        clear(&folder);
        Ok(Ok(score))
    }

    fn trained(&self, lane: usize, corpus: &train::Corpus, folder: &Path) -> anyhow::Result<Result<Llama, String>> {
        let shape = self.shape;
        let step = shape.step_flop(shape.train.tokens_per_step(corpus)?);
        // Folds are scored on what they hold out; none of it may end their training.
        let config = train::Config { early_stop: None, ..shape.train.clone() };
        let model = Llama::init(&shape.model, shape.train.seed)?;
        let outcome = train::run(&config, model, corpus, Some(folder), &mut |event| {
            match event {
                Event::Ahead { .. } => return self.ask(lane, step),
                Event::Done { .. } => {
                    held(&self.guard).done_as(lane);
                    self.bar.inc(1);
                }
                Event::Resumed { step } => self.bar.inc(*step),
                _ => {}
            }
            Control::Continue
        });
        Ok(match outcome? {
            train::Outcome::Finished(trained) => Ok(trained.model),
            train::Outcome::Stopped { reason, .. } => Err(reason),
        })
    }
}

/// What a fold's figures come from: program, configuration, what is trained on, what is held out.
fn identity(shape: &Shape, corpus: &train::Corpus, held_out: &[Vec<u32>]) -> anyhow::Result<Digest> {
    let held_out = train::Corpus::new(held_out, model::END_OF_TEXT_ID);
    let identity = Json::map([
        ("program", Some(super::INSTRUMENT.into())),
        ("config", Some(plan::config_json(shape)?)),
        ("trained", Some(corpus.digest().into())),
        ("heldOut", Some(held_out.digest().into())),
    ]);
    Ok(Digest::of(identity.canonical().as_bytes()))
}

/// A finished fold as it is kept, with its own digest; the loss bit for bit.
fn sealed(score: &FoldScore, identity: Digest) -> Json {
    let fold = Json::map([
        ("identity", Some(identity.into())),
        ("nDocuments", Some(score.n_documents.into())),
        ("nTokens", Some(score.n_tokens.into())),
        ("lossBits", Some(format!("{:016x}", score.loss.to_bits()).into())),
        ("flop", Some(score.flop.to_string().into())),
    ]);
    Json::map([("digest", Some(Digest::of(fold.canonical().as_bytes()).into())), ("fold", Some(fold))])
}

/// A fold that was finished before; `None` when it was not, is not whole, or is another.
fn kept(file: &Path, identity: Digest) -> Option<FoldScore> {
    let sealed = Json::parse(&fs::read_to_string(file).ok()?).ok()?;
    let fold = sealed.get("fold")?;
    let is_whole = sealed.get("digest") == Some(&Digest::of(fold.canonical().as_bytes()).into());
    let is_this = fold.get("identity") == Some(&identity.into());
    let text = |key: &str| fold.get(key).and_then(Json::as_text);
    (is_whole && is_this).then_some(FoldScore {
        n_documents: usize::try_from(fold.get("nDocuments")?.as_int()?).ok()?,
        n_tokens: u64::try_from(fold.get("nTokens")?.as_int()?).ok()?,
        loss: f64::from_bits(u64::from_str_radix(text("lossBits")?, 16).ok()?),
        flop: text("flop")?.parse().ok()?,
    })
}

fn fold_json(index: usize, fold: &FoldScore) -> anyhow::Result<Json> {
    let loss = Decimal::from_f64(fold.loss, DIGITS_MEASURED, Round::Nearest)?;
    Ok(Json::map([
        ("fold", Some((index + 1).into())),
        ("nDocuments", Some(fold.n_documents.into())),
        ("nTokens", Some(fold.n_tokens.into())),
        ("loss", Some(loss.into())),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_folds_go_on_as_fit() {
        let gib = 1_u64 << 30;
        for (n_folds, n_threads, available, expected) in [
            (5, 2, Some(16 * gib), 2),
            (5, 16, Some(16 * gib), 5),
            (5, 16, Some(10 * gib), 4),
            (5, 16, Some(gib), 1),
            (3, 16, None, 1),
        ] {
            let found = at_once(n_folds, n_threads, gib as f64, available);
            assert_eq!(found, expected, "{n_folds} {n_threads} {available:?}");
        }
    }

    #[test]
    fn a_finished_fold_is_read_back_bit_for_bit_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (file, identity) = (folder.path().join("fold-0.json"), Digest::of(b"one"));
        let score = FoldScore { n_documents: 3, n_tokens: 71, loss: 5.1 + f64::EPSILON, flop: 1 << 70 };
        assert_eq!(kept(&file, identity), None);
        let text = sealed(&score, identity).canonical();
        fs::write(&file, &text).unwrap();
        assert_eq!(kept(&file, identity), Some(score));
        assert_eq!(kept(&file, Digest::of(b"another")), None);
        fs::write(&file, text.replace("71", "72")).unwrap();
        assert_eq!(kept(&file, identity), None);
    }
}
