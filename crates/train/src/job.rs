//! A run between two events.

use crate::{
    config::{Config, identity, parameters_digest},
    data::{Batch, Batches},
    gradient::{Gradient, clip_factor},
    optimizer::State,
    parts::{self, Share},
    ranks::{Ranks, RanksError},
    run::{Adjustment, Event, Look, Point, Sources, TrainError, Trained, asked},
    slope::SlopeError,
    snapshot::{self, Held, Snapshot, Standing},
    trouble::{Memory, Trouble},
};
use candle_core::Tensor;
use evidence::{Control, DIGITS_MEASURED, Decimal, Digest, Json, Round};
use model::{
    Llama,
    pass::{Dropout, PassOptions},
};
use std::{collections::BTreeMap, path::Path, time::Instant};

/// How often in succession a batch is asked for.
const N_TRIES: u32 = 3;

type Observe<'a> = dyn FnMut(&Event<'_>) -> Control + 'a;

pub(crate) struct Job<'a> {
    config: &'a Config,
    dir: Option<&'a Path>,
    sources: Sources<'a>,
    ranks: &'a Ranks,
    identity: Digest,
    batches: Batches<'a>,
    model: Llama,
    gradient: Gradient,
    /// Of one part of a batch, where it is cut into parts.
    scratch: Option<Gradient>,
    state: State,
    pub(crate) curve: Vec<Point>,
    looks: Vec<Look>,
    adjustments: Vec<Adjustment>,
    memory: Memory,
    /// The weights of the best look.
    best: Option<BTreeMap<String, Tensor>>,
    /// Steps taken.
    pub(crate) step: u64,
    /// The last snapshot, whichever sitting wrote it.
    pub(crate) saved: Option<Held>,
}

/// What one step found out.
struct Slope {
    loss_nats: f64,
    penalty: f64,
    norm: f64,
}

/// What comes of trouble.
enum Course {
    On,
    /// The run stands at an earlier step.
    Back,
    Stop(String),
}

impl<'a> Job<'a> {
    pub(crate) fn new(
        config: &'a Config,
        model: Llama,
        sources: Sources<'a>,
        dir: Option<&'a Path>,
        ranks: &'a Ranks,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            config,
            dir,
            sources,
            ranks,
            identity: identity(config, &model, sources.corpus)?,
            batches: Batches::new(sources.corpus, config.context, config.batch, config.seed)?.in_order(config.order),
            gradient: Gradient::zeros(model.parameters()),
            scratch: None,
            state: State::new(config.optimizer, model.parameters()),
            model,
            curve: Vec::new(),
            looks: Vec::new(),
            adjustments: Vec::new(),
            memory: Memory::default(),
            best: None,
            step: 0,
            saved: None,
        })
    }

    pub(crate) const fn identity(&self) -> Digest {
        self.identity
    }

    pub(crate) fn n_tokens(&self) -> u64 {
        let full = self.config.optimizer.takes_full_batch();
        self.batches.n_tokens(full) * if full { 1 } else { self.config.accumulate as u64 }
    }

    /// Whether no step is left, or none that would help.
    pub(crate) fn is_done(&self) -> bool {
        let is_patient = |patience: u64| {
            let best = self.best_look().unwrap_or(0);
            ((self.looks.len() - best) as u64) < patience
        };
        self.step >= self.config.steps || self.config.early_stop.is_some_and(|stop| !is_patient(stop.patience))
    }

    pub(crate) fn is_snapshot_due(&self) -> bool {
        let every = self.config.snapshot_every;
        self.is_done() || (every > 0 && self.step.is_multiple_of(every) && self.step > 0)
    }

    /// The place of the best look, the first of several, counted from 1.
    fn best_look(&self) -> Option<usize> {
        let losses = self.looks.iter().map(|look| look.loss).enumerate();
        losses.min_by(|(_, a), (_, b)| a.cmp(b)).map(|(at, _)| at + 1)
    }

    fn best_step(&self) -> Option<u64> {
        self.best_look().map(|at| self.looks[at - 1].step)
    }

    /// Takes up the newest snapshot that is whole; one that is not is told of and passed over.
    pub(crate) fn resume(&mut self, observe: &mut Observe<'_>) -> Result<Option<String>, TrainError> {
        let Some(dir) = self.dir else { return Ok(None) };
        let standing = self.standing(dir)?;
        let mut stop = None;
        for damage in &standing.damaged {
            stop = stop.or(asked(observe(&Event::Damaged { path: &damage.path, reason: &damage.reason })));
        }
        if let Some((held, restored)) = standing.newest {
            self.stand_at(held, restored);
            if let Some(step) = self.best_step() {
                self.best = snapshot::weights_of(dir, step, &self.identity, self.config.optimizer, &self.model)?;
            }
            stop = stop.or(asked(observe(&Event::Resumed { step: self.step })));
        }
        Ok(stop)
    }

    fn stand_at(&mut self, held: Held, restored: snapshot::Restored) {
        (self.step, self.curve) = (held.step, restored.curve);
        (self.model, self.state) = (restored.model, restored.state);
        (self.looks, self.adjustments) = (restored.looks, restored.adjustments);
        self.memory = Memory::default();
        for point in &self.curve {
            self.memory.take(&self.config.watch, point.loss.to_f64());
        }
        self.saved = Some(held);
    }

    /// Takes one step, or what the observer would rather have in trouble. Gives the reason of a stop.
    pub(crate) fn advance(&mut self, observe: &mut Observe<'_>) -> Result<Option<String>, TrainError> {
        let begun = Instant::now();
        let step = self.step + 1;
        let batches = match self.gather(step, observe)? {
            Ok(batches) => batches,
            Err(reason) => return Ok(Some(reason)),
        };
        let slope = self.slope(step, &batches).map_err(|source| TrainError::Step { step, source })?;
        if let Some(trouble) = self.trouble(&slope) {
            match self.answer(step, &trouble, observe)? {
                Course::On => {}
                Course::Back => return Ok(None),
                Course::Stop(reason) => return Ok(Some(reason)),
            }
        }
        let learning_rate = self.learning_rate(step);
        let scale = clip_factor(slope.norm, self.config.clip_norm);
        let moved = self.state.step(self.model.parameters(), &self.gradient, learning_rate, scale, step);
        moved.map_err(|source| TrainError::Step { step, source: source.into() })?;
        self.step = step;
        let point = Point {
            step,
            loss: rounded(slope.loss_nats),
            learning_rate: rounded(learning_rate),
            gradient_norm: rounded(slope.norm),
        };
        self.memory.take(&self.config.watch, point.loss.to_f64());
        self.curve.push(point);
        Ok(asked(observe(&Event::Done {
            step,
            loss_nats: slope.loss_nats,
            penalty: slope.penalty,
            learning_rate,
            gradient_norm: slope.norm,
            n_tokens: self.n_tokens(),
            seconds: begun.elapsed().as_secs_f64(),
        })))
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let planned = self.config.schedule.learning_rate(self.config.learning_rate, step, self.config.steps);
        self.adjustments.iter().fold(planned, |rate, adjustment| rate * f64::from(adjustment.percent) / 100.0)
    }

    fn trouble(&self, slope: &Slope) -> Option<Trouble> {
        for (quantity, value) in [("loss", slope.loss_nats + slope.penalty), ("gradient", slope.norm)] {
            if !value.is_finite() {
                return Some(Trouble::NotFinite { quantity });
            }
        }
        self.memory.trouble(&self.config.watch, rounded(slope.loss_nats).to_f64())
    }

    /// Asks what is done about trouble, and does it.
    fn answer(&mut self, step: u64, trouble: &Trouble, observe: &mut Observe<'_>) -> Result<Course, TrainError> {
        let control = observe(&Event::Trouble { step, trouble });
        let (percent, skip) = match control {
            Control::Stop(reason) => return Ok(Course::Stop(reason)),
            // A step that cannot be taken cannot be taken shorter either.
            Control::LowerRate { percent } if !matches!(trouble, Trouble::NotFinite { .. }) => {
                let adjustment = Adjustment { step: self.step, percent, skip: 0, lost: 0 };
                self.adjustments.push(adjustment);
                let stop = asked(observe(&Event::Adjusted { step: self.step, adjustment }));
                return Ok(stop.map_or(Course::On, Course::Stop));
            }
            Control::RollBack { percent, skip } => (percent, skip),
            Control::LowerRate { percent } => (percent, 0),
            Control::Continue | Control::Warn(_) => {
                return match trouble {
                    Trouble::NotFinite { quantity } => {
                        let learning_rate = self.learning_rate(step);
                        Err(TrainError::Diverged { step, quantity, learning_rate })
                    }
                    _ => Ok(Course::On),
                };
            }
        };
        let dir = self.dir.ok_or(TrainError::NoSnapshot { step })?;
        let (made, stood) = (self.adjustments.clone(), self.step);
        let standing = self.standing(dir)?;
        let (held, restored) = standing.newest.ok_or(TrainError::NoSnapshot { step })?;
        self.stand_at(held, restored);
        // What was changed before stays changed, though the state is older.
        let adjustment = Adjustment { step: self.step, percent, skip, lost: stood - self.step };
        self.adjustments = made;
        self.adjustments.push(adjustment);
        self.saved = None;
        let stop = self.save(observe)?;
        let stop = stop.or(asked(observe(&Event::Adjusted { step: self.step, adjustment })));
        Ok(stop.map_or(Course::Back, Course::Stop))
    }

    /// The batches of a step, or the reason of a stop.
    fn gather(&mut self, step: u64, observe: &mut Observe<'_>) -> Result<Result<Vec<Batch>, String>, TrainError> {
        if self.config.optimizer.takes_full_batch() {
            return Ok(Ok(self.batches.full().collect::<Result<_, _>>()?));
        }
        let accumulate = self.config.accumulate as u64;
        let skipped: u64 = self.adjustments.iter().map(|adjustment| adjustment.skip).sum();
        let first = (step - 1) * accumulate + skipped + 1;
        let mut batches = Vec::new();
        for number in first..first + accumulate {
            let Some(loader) = self.sources.loader else {
                batches.push(self.batches.batch(number)?);
                continue;
            };
            let mut n_tries = 0;
            batches.push(loop {
                n_tries += 1;
                match self.ranks.all_or_none(loader.fetch(number))? {
                    Ok(batch) => break batch,
                    Err(reason) => {
                        let trouble = Trouble::Loader { reason: reason.clone() };
                        if let Some(reason) = asked(observe(&Event::Trouble { step, trouble: &trouble })) {
                            return Ok(Err(reason));
                        }
                        if n_tries == N_TRIES {
                            return Err(TrainError::Loader { step, n_tries, reason });
                        }
                    }
                }
            });
        }
        Ok(Ok(batches))
    }

    /// The gradient of J into `self.gradient`.
    fn slope(&mut self, step: u64, batches: &[Batch]) -> Result<Slope, SlopeError> {
        self.gradient.clear();
        let options = |first_row| {
            let (rate, seed) = (self.config.dropout, self.config.seed);
            PassOptions {
                checkpoints: self.config.checkpoints,
                smoothing: self.config.label_smoothing,
                dropout: (rate > 0.0).then_some(Dropout { rate, seed, step, first_row }),
                precision: self.config.precision,
            }
        };
        let n_parts = self.config.parts.unwrap_or(self.ranks.n());
        let share = Share { model: &self.model, batches, n_parts, ranks: self.ranks, options: &options };
        let loss_nats = share.add(&mut self.gradient, &mut self.scratch)?;
        let heads = self.model.config().heads;
        let penalty = self.gradient.penalise(self.model.parameters(), &self.config.penalty, heads)?;
        if let Some(limit) = self.config.clip_value {
            self.gradient.clip_values(limit);
        }
        Ok(Slope { loss_nats, penalty, norm: self.gradient.norm() })
    }

    /// Whether held-out text is to be scored before anything else is done.
    pub(crate) fn is_look_due(&self) -> bool {
        let is_due = |every: u64| self.step.is_multiple_of(every) || self.step == self.config.steps;
        let is_done = self.looks.last().is_some_and(|look| look.step >= self.step);
        self.step > 0 && !is_done && self.config.early_stop.is_some_and(|stop| is_due(stop.every))
    }

    /// Scores held-out text when it is due. A new best is saved.
    pub(crate) fn look(&mut self, observe: &mut Observe<'_>) -> Result<Option<String>, TrainError> {
        let Some(held_out) = self.sources.held_out.filter(|_| self.is_look_due()) else { return Ok(None) };
        let (step, config) = (self.step, self.config);
        let batches = Batches::new(held_out, config.context, config.batch, config.seed)?;
        let scoring = Event::Scoring { step, n_tokens: batches.n_tokens(true) };
        if let Some(reason) = asked(observe(&scoring)) {
            return Ok(Some(reason));
        }
        let all: Vec<Batch> = batches.full().collect::<Result<_, _>>()?;
        let loss_nats =
            parts::loss(&self.model, &all, self.ranks).map_err(|source| TrainError::Step { step, source })?;
        self.looks.push(Look { step, loss: rounded(loss_nats) });
        let is_best = self.best_step() == Some(step);
        let mut stop = None;
        if is_best {
            let copied = self.model.tensors().into_iter().map(|(name, tensor)| Ok((name, tensor.copy()?)));
            self.best = Some(copied.collect::<candle_core::Result<_>>().map_err(crate::StateError::from)?);
            stop = self.save(observe)?;
        }
        Ok(stop.or(asked(observe(&Event::HeldOut { step, loss_nats, is_best }))))
    }

    /// Writes a snapshot of this step, unless it stands already or there is no folder.
    pub(crate) fn save(&mut self, observe: &mut Observe<'_>) -> Result<Option<String>, TrainError> {
        let Some(dir) = self.dir else { return Ok(None) };
        if self.saved.as_ref().is_some_and(|held| held.step == self.step) {
            return Ok(None);
        }
        let held = self.written(dir)?;
        let control = observe(&Event::Saved { step: held.step, path: &held.path, digest: held.digest });
        self.saved = Some(held);
        Ok(asked(control))
    }

    /// Writes, on the first rank alone, what all of them have come to.
    fn written(&self, dir: &Path) -> Result<Held, TrainError> {
        if self.ranks.n() > 1 && self.ranks.lost().is_none() {
            let own = parameters_digest(self.model.parameters()).map_err(crate::StateError::from)?;
            let all = self.ranks.gather(own.as_bytes().to_vec());
            let all = all.or_else(|lost| if self.ranks.is_first() { Ok(Vec::new()) } else { Err(lost) })?;
            if let Some(rank) = all.iter().position(|digest| *digest != all[0]) {
                return Err(RanksError::Apart { rank, step: self.step }.into());
            }
        }
        let write = || {
            let snapshot = Snapshot {
                step: self.step,
                identity: self.identity,
                model: &self.model,
                optimizer: self.state.tensors()?,
                curve: &self.curve,
                looks: &self.looks,
                adjustments: &self.adjustments,
                best: self.best_step(),
            };
            Ok(snapshot::write(dir, &snapshot, self.config.keep_snapshots)?)
        };
        self.ranks.first_does(write, Held::to_json, |said| Held::from_json(said, dir))
    }

    /// What stands in the folder: the first rank looks, and all take up the same.
    fn standing(&self, dir: &Path) -> Result<Standing, TrainError> {
        let mut found = None;
        let look = || {
            let standing = snapshot::newest(dir, &self.identity, self.config.optimizer, &self.model)?;
            let told = standing.told();
            found = Some(standing);
            Ok::<Json, TrainError>(told)
        };
        let told = self.ranks.first_does(look, Clone::clone, |said| Some(said.clone()))?;
        let taken = match found {
            Some(standing) => Ok(standing),
            None => Standing::of(&told, dir, &self.identity, self.config.optimizer, &self.model),
        };
        Ok(self.ranks.share(taken)??)
    }

    /// The weights, those of the best look where there was one.
    pub(crate) fn finish(self) -> Result<Trained, TrainError> {
        let snapshot = self.saved.map(|held| (held.path, held.digest));
        let step = self.step;
        let model = match self.best {
            Some(best) => {
                self.model.restored(best).map_err(|source| TrainError::Step { step, source: source.into() })?
            }
            None => self.model,
        };
        Ok(Trained { model, curve: self.curve, snapshot, looks: self.looks, adjustments: self.adjustments })
    }
}

fn rounded(value: f64) -> Decimal {
    Decimal::from_f64(value, DIGITS_MEASURED, Round::Nearest).unwrap_or(Decimal::ZERO)
}
