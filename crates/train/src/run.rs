//! The training loop: the same weights from the same inputs, whether or not it was stopped on the way.

use crate::{
    config::{Config, ConfigError},
    data::{Corpus, DataError},
    job::Job,
    loader::Loader,
    optimizer::StateError,
    ranks::{Ranks, RanksError},
    slope::SlopeError,
    snapshot::SnapshotError,
    trouble::Trouble,
};
use evidence::{Control, Decimal, Digest};
use model::Llama;
use std::path::{Path, PathBuf};

/// What the loop tells its observer. Steps are numbered from 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// Asked before a step: after a `Stop` the step is not taken.
    Ahead { step: u64, n_tokens: u64 },
    /// A step was taken.
    Done {
        step: u64,
        /// J_D before the step, nats per token.
        loss_nats: f64,
        /// J_R before the step; 0 without penalties.
        penalty: f64,
        learning_rate: f64,
        /// Of the gradient of J, before clipping.
        gradient_norm: f64,
        /// Predicted positions of this step.
        n_tokens: u64,
        /// Wall time of this step.
        seconds: f64,
    },
    /// A snapshot stands at `path`; `digest` is that of its weights file.
    Saved { step: u64, path: &'a Path, digest: Digest },
    /// A snapshot that cannot be used was passed over.
    Damaged { path: &'a Path, reason: &'a str },
    /// Work was taken up after that many steps.
    Resumed { step: u64 },
    /// Asked before held-out text is scored: after a `Stop` it is not.
    Scoring { step: u64, n_tokens: u64 },
    /// Held-out text was scored after that many steps; nats per token.
    HeldOut { step: u64, loss_nats: f64, is_best: bool },
    /// Something goes wrong at this step, which is not taken yet. `Continue` takes it all the same, where it can be taken.
    Trouble { step: u64, trouble: &'a Trouble },
    /// What the observer answered to trouble was done: the run stands after `step` steps.
    Adjusted { step: u64, adjustment: Adjustment },
}

/// What was changed on the way because of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adjustment {
    /// Steps that were taken when it was made.
    pub step: u64,
    /// What every later rate is multiplied by, in hundredths.
    pub percent: u32,
    /// Batches left out from here on.
    pub skip: u64,
    /// Steps that had been taken and were thrown away.
    pub lost: u64,
}

/// A look at held-out text, its loss in nats per token, rounded once to nine digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub step: u64,
    pub loss: Decimal,
}

/// What a run reads.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    pub corpus: &'a Corpus,
    /// What early stopping looks at.
    pub held_out: Option<&'a Corpus>,
    /// Where batches come from instead of the corpus, which then only gives the run its identity.
    pub loader: Option<&'a Loader>,
}

/// One point of the loss curve, rounded once here to nine digits, so that a curve put together over several sittings
/// equals that of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub step: u64,
    /// Nats per token.
    pub loss: Decimal,
    pub learning_rate: Decimal,
    pub gradient_norm: Decimal,
}

/// How a run ended.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a run, and it is moved once")]
pub enum Outcome {
    Finished(Trained),
    /// The observer said stop.
    Stopped {
        step: u64,
        reason: String,
        snapshot: Option<(PathBuf, Digest)>,
        curve: Vec<Point>,
    },
}

/// A finished run.
#[derive(Debug)]
pub struct Trained {
    pub model: Llama,
    /// One point a step, from the first step on, whatever sitting it was taken in.
    pub curve: Vec<Point>,
    /// The last snapshot and the digest of its weights file, when there is a folder.
    pub snapshot: Option<(PathBuf, Digest)>,
    /// Looks at held-out text. The weights are those of the best, when the run stops early or not.
    pub looks: Vec<Look>,
    pub adjustments: Vec<Adjustment>,
}

#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("cannot take step {step}")]
    Step { step: u64, source: SlopeError },
    #[error(
        "training diverged: the {quantity} of step {step} is not a finite number; the weights before that step are untouched; lower the learning rate of {learning_rate} or clip the gradient"
    )]
    Diverged { step: u64, quantity: &'static str, learning_rate: f64 },
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("no batch came for step {step} in {n_tries} tries: {reason}; the weights before that step are untouched")]
    Loader { step: u64, n_tries: u32, reason: String },
    #[error(
        "cannot roll back at step {step}: no snapshot of this run stands; give a folder and a smaller `snapshot_every`"
    )]
    NoSnapshot { step: u64 },
    #[error("early stopping needs held-out text")]
    NoHeldOut,
    #[error("the optimiser state cannot be kept")]
    State(#[from] StateError),
    #[error(transparent)]
    Ranks(#[from] RanksError),
}

impl TrainError {
    /// Whether nothing went wrong here: another rank is gone or could not go on.
    const fn is_of_others(&self) -> bool {
        matches!(self, Self::Ranks(_) | Self::Step { source: SlopeError::Ranks(_), .. })
    }
}

/// Trains `model` on `corpus`, asking `observe` before each step and telling it what happened.
///
/// With a folder `dir`, snapshots are kept in it, and a run whose identity has a snapshot there is taken up where it
/// stood. A stop, wherever it is asked for, leaves a snapshot. Deterministic on one machine and build: the weights are
/// the same bits for any number of threads, any observer that does not change the run, and any number of sittings.
///
/// # Errors
/// `TrainError`; `Diverged` when the loss or the gradient is no longer finite and the observer has no other answer. Snapshots
/// already taken stay.
pub fn run(
    config: &Config,
    model: Llama,
    corpus: &Corpus,
    dir: Option<&Path>,
    observe: &mut dyn FnMut(&Event<'_>) -> Control,
) -> Result<Outcome, TrainError> {
    run_with(config, model, &Sources { corpus, held_out: None, loader: None }, dir, observe)
}

/// `run` with more than a corpus to read.
///
/// # Errors
/// Those of `run`; `NoHeldOut`, `Loader`, `NoSnapshot`.
pub fn run_with(
    config: &Config,
    model: Llama,
    sources: &Sources<'_>,
    dir: Option<&Path>,
    observe: &mut dyn FnMut(&Event<'_>) -> Control,
) -> Result<Outcome, TrainError> {
    run_ranked(config, model, sources, dir, &Ranks::alone(), observe)
}

/// `run_with` as one of several ranks, which all call it with the same configuration, model, sources and folder.
///
/// `observe` is asked on the first rank alone, which alone writes; its answers are everybody's. The weights are the same bits on
/// every rank, and with `parts` set the same for any number of ranks. Where another rank is lost, or cannot go on, the first
/// leaves a snapshot and gives `Stopped`; the others give an error.
///
/// # Errors
/// Those of `run_with`; `Ranks`.
pub fn run_ranked(
    config: &Config,
    model: Llama,
    sources: &Sources<'_>,
    dir: Option<&Path>,
    ranks: &Ranks,
    observe: &mut dyn FnMut(&Event<'_>) -> Control,
) -> Result<Outcome, TrainError> {
    config.check(&model, sources.corpus)?;
    config.check_ranks(ranks.n())?;
    if config.early_stop.is_some() && sources.held_out.is_none() {
        return Err(TrainError::NoHeldOut);
    }
    let mut job = Job::new(config, model, *sources, dir, ranks)?;
    ranks.same(&[("run, which is its configuration, model and corpus", job.identity().to_string())])?;
    let mut asked_of_first = |event: &Event<'_>| ranks.decide(|| observe(event));
    let observe: &mut dyn FnMut(&Event<'_>) -> Control = &mut asked_of_first;
    // A step during which a rank is lost is not taken: what stands is whole, and the first rank can keep it.
    let stop = match (taken(&mut job, observe), ranks.lost()) {
        (Err(error), Some(lost)) if ranks.is_first() && error.is_of_others() => Some(lost),
        (stop, _) => stop?,
    };
    // A stop asked for when nothing is left to be done stops nothing.
    match stop.filter(|_| !job.is_done() || job.is_look_due()) {
        Some(reason) => {
            job.save(observe)?;
            let snapshot = job.saved.map(|held| (held.path, held.digest));
            Ok(Outcome::Stopped { step: job.step, reason, snapshot, curve: job.curve })
        }
        None => Ok(Outcome::Finished(job.finish()?)),
    }
}

/// Takes steps until none is left, or gives the reason of a stop.
fn taken(job: &mut Job<'_>, observe: &mut dyn FnMut(&Event<'_>) -> Control) -> Result<Option<String>, TrainError> {
    let mut stop = job.resume(observe)?;
    if stop.is_none() {
        // One that was stopped before it looked looks now: weights do not depend on interruptions.
        stop = job.look(observe)?;
    }
    while stop.is_none() && !job.is_done() {
        stop = asked(observe(&Event::Ahead { step: job.step + 1, n_tokens: job.n_tokens() }));
        if stop.is_some() {
            break;
        }
        stop = job.advance(observe)?;
        if stop.is_none() {
            stop = job.look(observe)?;
        }
        if job.is_snapshot_due() {
            stop = stop.or(job.save(observe)?);
        }
    }
    Ok(stop)
}

pub(crate) fn asked(control: Control) -> Option<String> {
    match control {
        Control::Stop(reason) => Some(reason),
        _ => None,
    }
}
