//! The training loop: the same weights from the same inputs, whether or not it was stopped on the way.

use crate::{
    config::{Config, ConfigError, identity},
    data::{Batches, Corpus, DataError},
    gradient::{Gradient, clip_factor},
    optimizer::{State, StateError},
    slope::{self, SlopeError},
    snapshot::{self, Held, Snapshot, SnapshotError},
};
use evidence::{Control, DIGITS_MEASURED, Decimal, Digest, Round};
use model::Llama;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

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
    #[error("the optimiser state cannot be kept")]
    State(#[from] StateError),
}

/// Trains `model` on `corpus`, asking `observe` before each step and telling it what happened.
///
/// With a folder `dir`, snapshots are kept in it, and a run whose identity has a snapshot there is taken up where it
/// stood. A stop, wherever it is asked for, leaves a snapshot. Deterministic on one machine and build: the weights are
/// the same bits for any number of threads, any observer that does not stop it, and any number of sittings.
///
/// Fastest with `CANDLE_NUM_THREADS=1` in the environment before the tensor engine is first used: the shards of a batch
/// then run side by side, instead of each operation being spread over threads. The weights do not depend on it.
///
/// # Errors
/// `TrainError`; `Diverged` when the loss or the gradient is no longer finite. Snapshots already taken stay.
pub fn run(
    config: &Config,
    model: Llama,
    corpus: &Corpus,
    dir: Option<&Path>,
    observe: &mut dyn FnMut(&Event<'_>) -> Control,
) -> Result<Outcome, TrainError> {
    config.check(&model, corpus)?;
    let mut job = Job::new(config, model, corpus, dir)?;
    let mut stop = job.resume(observe)?;
    while stop.is_none() && job.step < config.steps {
        stop = asked(observe(&Event::Ahead { step: job.step + 1, n_tokens: job.n_tokens() }));
        if stop.is_some() {
            break;
        }
        let done = job.advance()?;
        stop = asked(observe(&done));
        let due = job.step == config.steps || (config.snapshot_every > 0 && job.step % config.snapshot_every == 0);
        if due {
            stop = stop.or(job.save(observe)?);
        }
    }
    match stop {
        // A stop asked for when nothing is left to be done stops nothing.
        Some(reason) if job.step < config.steps => {
            job.save(observe)?;
            let snapshot = job.saved.map(|held| (held.path, held.digest));
            Ok(Outcome::Stopped { step: job.step, reason, snapshot, curve: job.curve })
        }
        _ => {
            let snapshot = job.saved.map(|held| (held.path, held.digest));
            Ok(Outcome::Finished(Trained { model: job.model, curve: job.curve, snapshot }))
        }
    }
}

fn asked(control: Control) -> Option<String> {
    match control {
        Control::Stop(reason) => Some(reason),
        Control::Continue | Control::Warn(_) => None,
    }
}

/// A run between two events.
struct Job<'a> {
    config: &'a Config,
    dir: Option<&'a Path>,
    identity: Digest,
    batches: Batches<'a>,
    model: Llama,
    gradient: Gradient,
    state: State,
    curve: Vec<Point>,
    /// Steps taken.
    step: u64,
    /// The last snapshot, whichever sitting wrote it.
    saved: Option<Held>,
}

/// What one step found out.
struct Slope {
    loss_nats: f64,
    penalty: f64,
    norm: f64,
}

impl<'a> Job<'a> {
    fn new(config: &'a Config, model: Llama, corpus: &'a Corpus, dir: Option<&'a Path>) -> Result<Self, TrainError> {
        Ok(Self {
            config,
            dir,
            identity: identity(config, &model, corpus)?,
            batches: Batches::new(corpus, config.context, config.batch, config.seed)?,
            gradient: Gradient::zeros(model.parameters()),
            state: State::new(config.optimizer, model.parameters()),
            model,
            curve: Vec::new(),
            step: 0,
            saved: None,
        })
    }

    fn n_tokens(&self) -> u64 {
        self.batches.n_tokens(self.config.optimizer.takes_full_batch())
    }

    /// Takes up the newest snapshot that is whole; one that is not is told of and passed over.
    fn resume(&mut self, observe: &mut dyn FnMut(&Event<'_>) -> Control) -> Result<Option<String>, TrainError> {
        let Some(dir) = self.dir else { return Ok(None) };
        let standing = snapshot::newest(dir, &self.identity, self.config.optimizer, &self.model)?;
        let mut stop = None;
        for damage in &standing.damaged {
            stop = stop.or(asked(observe(&Event::Damaged { path: &damage.path, reason: &damage.reason })));
        }
        if let Some((held, restored)) = standing.newest {
            (self.step, self.curve) = (held.step, restored.curve);
            (self.model, self.state) = (restored.model, restored.state);
            self.saved = Some(held);
            stop = stop.or(asked(observe(&Event::Resumed { step: self.step })));
        }
        Ok(stop)
    }

    /// Takes one step.
    fn advance(&mut self) -> Result<Event<'static>, TrainError> {
        let begun = Instant::now();
        let step = self.step + 1;
        let learning_rate = self.config.schedule.learning_rate(self.config.learning_rate, step, self.config.steps);
        let slope = self.slope(step).map_err(|source| TrainError::Step { step, source })?;
        for (quantity, value) in [("loss", slope.loss_nats + slope.penalty), ("gradient", slope.norm)] {
            if !value.is_finite() {
                return Err(TrainError::Diverged { step, quantity, learning_rate });
            }
        }
        let scale = clip_factor(slope.norm, self.config.clip_norm);
        let moved = self.state.step(self.model.parameters(), &self.gradient, learning_rate, scale, step);
        moved.map_err(|source| TrainError::Step { step, source: source.into() })?;
        self.step = step;
        let decimal = |value: f64| Decimal::from_f64(value, DIGITS_MEASURED, Round::Nearest).unwrap_or(Decimal::ZERO);
        self.curve.push(Point {
            step,
            loss: decimal(slope.loss_nats),
            learning_rate: decimal(learning_rate),
            gradient_norm: decimal(slope.norm),
        });
        Ok(Event::Done {
            step,
            loss_nats: slope.loss_nats,
            penalty: slope.penalty,
            learning_rate,
            gradient_norm: slope.norm,
            n_tokens: self.n_tokens(),
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// The gradient of J into `self.gradient`, over one batch or, chunk by chunk, over the whole corpus.
    fn slope(&mut self, step: u64) -> Result<Slope, SlopeError> {
        let n_tokens = self.n_tokens();
        self.gradient.clear();
        let mut loss_nats = 0.0;
        if self.config.optimizer.takes_full_batch() {
            for batch in self.batches.full() {
                loss_nats += slope::add(&self.model, &mut self.gradient, &batch?, n_tokens)?;
            }
        } else {
            let batch = self.batches.batch(step)?;
            loss_nats = slope::add(&self.model, &mut self.gradient, &batch, n_tokens)?;
        }
        let penalty = self.gradient.penalise(self.model.parameters(), &self.config.penalty)?;
        Ok(Slope { loss_nats, penalty, norm: self.gradient.norm() })
    }

    /// Writes a snapshot of this step, unless it stands already or there is no folder.
    fn save(&mut self, observe: &mut dyn FnMut(&Event<'_>) -> Control) -> Result<Option<String>, TrainError> {
        let Some(dir) = self.dir else { return Ok(None) };
        if self.saved.as_ref().is_some_and(|held| held.step == self.step) {
            return Ok(None);
        }
        let optimizer = self.state.tensors(self.model.parameters())?;
        let snapshot =
            Snapshot { step: self.step, identity: self.identity, model: &self.model, optimizer, curve: &self.curve };
        let held = snapshot::write(dir, &snapshot, self.config.keep_snapshots)?;
        let control = observe(&Event::Saved { step: held.step, path: &held.path, digest: held.digest });
        self.saved = Some(held);
        Ok(asked(control))
    }
}
