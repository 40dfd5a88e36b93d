//! Cross-validation of a case: folds side by side where memory and threads allow, each finished fold kept.

use super::{
    Session,
    data::Data,
    data::Tokens,
    figures, fit,
    fit::{Fit, Leave, Loss},
    plan, shape,
    shape::Shape,
    train::clear,
};
use anyhow::Context as _;
use evaluate::figures as scored;
use evidence::{Control, DIGITS_MEASURED, Decimal, DerivedFrom, Digest, Json, Predicate, Round, Subject};
use indicatif::ProgressBar;
use meter::Guard;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{self, Sender},
    },
    thread,
};
use supervise::{Record, case::FoldPlan};
use train::Trouble;

/// One fold, scored.
#[derive(Debug, Clone, PartialEq)]
struct FoldScore {
    n_documents: usize,
    n_tokens: u64,
    loss: f64,
    /// Of the model that was trained further, as it was before.
    before: Option<f64>,
    /// Of its scoring.
    flop: u128,
}

/// The documents of a fold, and those of the others in the order in which they are trained on.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) rest: Vec<usize>,
    pub(crate) held_out: Vec<usize>,
}

/// Deals the training documents, and looks again whether any text stands on both sides, and whether each side has something to count.
pub(crate) fn parts(plan: &FoldPlan, shape: &Shape, data: &Data, tokens: &Tokens) -> anyhow::Result<Vec<Part>> {
    let dealt = dataset::folds(&data.corpus, &tokens.distinct(), plan.folds, shape.train.seed)?;
    let part = |(index, held_out): (usize, Vec<usize>)| {
        let (fold, inside) = (index + 1, held_out.iter().copied().collect::<BTreeSet<usize>>());
        let rest: Vec<usize> = tokens.train.iter().copied().filter(|document| !inside.contains(document)).collect();
        let split = dataset::Split { train: rest, held_out };
        let leak = dataset::leak(&data.corpus, &split);
        anyhow::ensure!(leak.k == 0, "fold {fold} holds texts that are trained on: {}", leak.documents.join(", "));
        let dataset::Split { train: rest, held_out } = split;
        for (what, side) in [("holds out", &held_out), ("trains on", &rest)] {
            tokens.corpus(side, shape.train.context).with_context(|| {
                format!("fold {fold} of {} {what} {} documents; take fewer folds", plan.folds, side.len())
            })?;
        }
        Ok(Part { rest, held_out })
    };
    dealt.into_iter().enumerate().map(part).collect()
}

/// What of memory folds may take together, and how far above the planner's formula one of them may go: its upper end.
const SHARE_OF_MEMORY: f64 = 0.8;
const MARGIN: f64 = 2.0;

/// How many folds are trained at once: no more than there are folds or threads, and as many as fit.
fn at_once(n_folds: usize, n_threads: usize, bytes_of_one: f64, bytes_available: Option<u64>) -> usize {
    let fitting = bytes_available.map_or(1.0, |bytes| SHARE_OF_MEMORY * bytes as f64 / (MARGIN * bytes_of_one));
    n_folds.min(n_threads).min(fitting as usize).max(1)
}

/// What a fold takes beside what stands already: weights that adapters are trained beside are there once, whatever the number of folds.
fn bytes_of_one(shape: &Shape) -> f64 {
    let (train, model) = (&shape.train, shape::architecture(&shape.model));
    let bytes = meter::training_memory_bytes(
        &model,
        (train.batch as u64, train.context as u64),
        (shape.n_trained() as u64, train.optimizer.n_states()),
        train.precision == ::train::Precision::Bf16,
    );
    if shape.adapters.is_some() { bytes - 4.0 * model.parameters() as f64 } else { bytes }
}

/// What the folds share while they are trained.
struct Folds<'a> {
    shape: &'a Shape,
    tokens: &'a Tokens,
    parts: Vec<Part>,
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

/// A fold in trouble, which waits for an answer of whoever keeps the record.
struct Asked {
    fold: usize,
    step: u64,
    trouble: Trouble,
    answer: Sender<Control>,
}

/// Answers trouble of a fold at a step.
type Answer<'a> = dyn FnMut(usize, u64, &Trouble) -> anyhow::Result<Control> + 'a;

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
        let parts = parts(plan, &shape, data, tokens)?;
        let trained = parts.iter().map(|part| plan::training_flop(&shape, tokens, &part.rest));
        let mut flop: u128 = trained.sum::<anyhow::Result<u128>>()?;
        let bar = self.screen.bar("folds", shape.train.steps * parts.len() as u64);
        let folder = self.work().join(self.run.id());
        let (guard_of_all, next) = (Mutex::new(guard), Mutex::default());
        let folds = Folds { shape: &shape, tokens, parts, folder, guard: guard_of_all, bar, next };
        let mut halt = None;
        let found = folds.all(&mut |fold, step, trouble| {
            let (control, halted) = self.intervene(Some(fold), step, trouble)?;
            halt = halt.or(halted);
            Ok(control)
        });
        folds.bar.finish_and_clear();
        let Folds { guard, next, .. } = folds;
        let guard = guard.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Next { stop, failure, .. } = next.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = failure {
            return Err(failure);
        }
        if let Some(reason) = stop {
            match halt {
                Some(halt) => self.halt(&reason, guard, None, &halt)?,
                None => self.stop(&reason, guard, None)?,
            }
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
        let before: Option<Vec<f64>> = found.iter().map(|fold| fold.before).collect();
        let circumstances = self.circumstances(&subject, tokens);
        let mut record = Record::new(Predicate::Evaluation, "evaluate");
        record.subjects = vec![subject.clone()];
        record.measurements = scored::folds(&losses, before.as_deref(), &circumstances)?;
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
        if let Some((_, digest)) = &tokens.base {
            record.derived_from.push(DerivedFrom { parent: *digest, action: "fine-tuned".to_owned() });
        }
        self.record(record)?;
        Ok(())
    }
}

impl Folds<'_> {
    /// Every fold, in order; `None` for one that is not finished. The figures do not depend on how many go on at once.
    fn all(&self, answer: &mut Answer<'_>) -> Vec<Option<FoldScore>> {
        let n_threads = rayon::current_num_threads();
        let n_lanes = at_once(self.parts.len(), n_threads, bytes_of_one(self.shape), meter::memory_available());
        let found = Mutex::new(vec![None; self.parts.len()]);
        thread::scope(|scope| {
            let (trouble, asked) = mpsc::channel::<Asked>();
            for lane in 0..n_lanes {
                let threads = n_threads / n_lanes + usize::from(lane < n_threads % n_lanes);
                let (found, trouble) = (&found, trouble.clone());
                scope.spawn(move || {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    match pool {
                        Ok(pool) => pool.install(|| self.lane(lane, &trouble, found)),
                        Err(error) => self.fail(error.into()),
                    }
                });
            }
            drop(trouble);
            // One thread keeps the record, whichever fold is in trouble.
            for Asked { fold, step, trouble, answer: to } in asked {
                let control = answer(fold, step, &trouble).unwrap_or_else(|error| {
                    self.fail(error);
                    Control::Stop("the trouble cannot be recorded".to_owned())
                });
                // A lane that does not wait any more has failed.
                let _ = to.send(control);
            }
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one fold after another until none is left or one has stopped.
    fn lane(&self, lane: usize, trouble: &Sender<Asked>, found: &Mutex<Vec<Option<FoldScore>>>) {
        loop {
            let fold = {
                let mut next = held(&self.next);
                if next.fold == self.parts.len() || next.stop.is_some() || next.failure.is_some() {
                    return;
                }
                next.fold += 1;
                next.fold - 1
            };
            match self.fold(&mut Lane { folds: self, lane, fold, at: 0, trouble }) {
                Ok(Fit::Done(score)) => held(found)[fold] = Some(score),
                Ok(Fit::Stopped(reason)) => {
                    held(&self.next).stop.get_or_insert(reason);
                }
                Err(error) => self.fail(error),
            }
        }
    }

    fn fail(&self, error: anyhow::Error) {
        held(&self.next).failure.get_or_insert(error);
    }

    /// One fold. One that was finished before is taken from its file.
    fn fold(&self, lane: &mut Lane<'_, '_>) -> anyhow::Result<Fit<FoldScore>> {
        let (shape, tokens, index) = (self.shape, self.tokens, lane.fold);
        let Part { rest, held_out } = &self.parts[index];
        let corpus = tokens.corpus(rest, shape.train.context)?;
        let identity = identity(shape, tokens, &corpus, &tokens.corpus(held_out, shape.train.context)?)?;
        let file = self.folder.join(format!("fold-{index}.json"));
        if let Some(score) = kept(&file, identity) {
            self.bar.inc(shape.train.steps);
            return Ok(Fit::Done(score));
        }
        let folder = self.folder.join(format!("fold-{index}"));
        let trained = match fit::trained(shape, tokens, &corpus, &folder, lane)? {
            Fit::Done(trained) => trained,
            Fit::Stopped(reason) => return Ok(Fit::Stopped(reason)),
        };
        let Loss { nats: loss, n: n_tokens, mut flop } = match fit::loss(&trained, shape, tokens, held_out, lane)? {
            Fit::Done(loss) => loss,
            Fit::Stopped(reason) => return Ok(Fit::Stopped(reason)),
        };
        let mut before = None;
        if let Some((base, _)) = &tokens.base {
            match fit::loss(&base.model, shape, tokens, held_out, lane)? {
                Fit::Done(loss) => {
                    before = Some(loss.nats);
                    flop += loss.flop;
                }
                Fit::Stopped(reason) => return Ok(Fit::Stopped(reason)),
            }
        }
        let score = FoldScore { n_documents: held_out.len(), n_tokens, loss, before, flop };
        ledger::durable::write_atomic(&file, sealed(&score, identity).canonical().as_bytes())?;
        clear(&folder);
        Ok(Fit::Done(score))
    }
}

/// One of the folds that go on side by side.
struct Lane<'a, 'b> {
    folds: &'a Folds<'b>,
    lane: usize,
    fold: usize,
    /// Steps that were shown.
    at: u64,
    trouble: &'a Sender<Asked>,
}

impl Leave for Lane<'_, '_> {
    /// Asks for a unit of work, unless another fold has stopped.
    fn ask(&mut self, flop: u128) -> Control {
        let stop = {
            let next = held(&self.folds.next);
            next.stop.clone().or_else(|| next.failure.as_ref().map(|_| "another fold has failed".to_owned()))
        };
        stop.map_or_else(|| held(&self.folds.guard).ask_as(self.lane, flop), Control::Stop)
    }

    fn done(&mut self) {
        held(&self.folds.guard).done_as(self.lane);
    }

    fn trouble(&mut self, step: u64, trouble: &Trouble) -> Control {
        let (answer, answered) = mpsc::channel();
        let asked = Asked { fold: self.fold, step, trouble: trouble.clone(), answer };
        let sent = self.trouble.send(asked).ok().and_then(|()| answered.recv().ok());
        match sent {
            Some(Control::Stop(reason)) => Control::Stop(format!("fold {}: {reason}", self.fold + 1)),
            Some(control) => control,
            None => Control::Stop(format!("fold {}: nobody answers its trouble", self.fold + 1)),
        }
    }

    fn at(&mut self, step: u64) {
        self.folds.bar.inc(step.saturating_sub(self.at));
        self.at = step;
    }
}

/// What a fold's figures come from: program, configuration, what is trained further, what on, what is held out.
fn identity(
    shape: &Shape,
    tokens: &Tokens,
    trained: &train::Corpus,
    held_out: &train::Corpus,
) -> anyhow::Result<Digest> {
    let identity = Json::map([
        ("program", Some(super::INSTRUMENT.into())),
        ("config", Some(plan::config_json(shape)?)),
        ("base", tokens.base.as_ref().map(|(_, digest)| (*digest).into())),
        ("trained", Some(trained.digest().into())),
        ("heldOut", Some(held_out.digest().into())),
    ]);
    Ok(Digest::of(identity.canonical().as_bytes()))
}

/// A finished fold as it is kept, with its own digest; losses bit for bit.
fn sealed(score: &FoldScore, identity: Digest) -> Json {
    let bits = |loss: f64| Json::from(format!("{:016x}", loss.to_bits()));
    let fold = Json::map([
        ("identity", Some(identity.into())),
        ("nDocuments", Some(score.n_documents.into())),
        ("nTokens", Some(score.n_tokens.into())),
        ("lossBits", Some(bits(score.loss))),
        ("beforeBits", score.before.map(bits)),
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
    let bits = |text: &str| u64::from_str_radix(text, 16).ok().map(f64::from_bits);
    (is_whole && is_this).then_some(FoldScore {
        n_documents: usize::try_from(fold.get("nDocuments")?.as_int()?).ok()?,
        n_tokens: u64::try_from(fold.get("nTokens")?.as_int()?).ok()?,
        loss: bits(text("lossBits")?)?,
        before: text("beforeBits").and_then(bits),
        flop: text("flop")?.parse().ok()?,
    })
}

fn fold_json(index: usize, fold: &FoldScore) -> anyhow::Result<Json> {
    let decimal = |value: f64| Decimal::from_f64(value, DIGITS_MEASURED, Round::Nearest).map(Json::from);
    Ok(Json::map([
        ("fold", Some((index + 1).into())),
        ("nDocuments", Some(fold.n_documents.into())),
        ("nTokens", Some(fold.n_tokens.into())),
        ("loss", Some(decimal(fold.loss)?)),
        ("perplexity", Some(decimal(fold.loss.exp())?)),
        ("lossBefore", fold.before.map(decimal).transpose()?),
        ("perplexityBefore", fold.before.map(|loss| decimal(loss.exp())).transpose()?),
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
        let before = Some(5.3 + f64::EPSILON);
        let score = FoldScore { n_documents: 3, n_tokens: 71, loss: 5.1 + f64::EPSILON, before, flop: 1 << 70 };
        assert_eq!(kept(&file, identity), None);
        let text = sealed(&score, identity).canonical();
        fs::write(&file, &text).unwrap();
        assert_eq!(kept(&file, identity), Some(score));
        assert_eq!(kept(&file, Digest::of(b"another")), None);
        fs::write(&file, text.replace("71", "72")).unwrap();
        assert_eq!(kept(&file, identity), None);
    }
}
