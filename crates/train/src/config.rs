//! What a run is told, and the identity of a run.

use crate::{
    data::{Batches, Corpus, DataError},
    objective::Penalty,
    optimizer::{Optimizer, Range},
    schedule::{Decay, Schedule},
    slices::with_entries,
    trouble::Watch,
};
use candle_core::{Tensor, Var};
use evidence::{Decimal, Digest, Json, Round};
use model::{Llama, pass::Precision};
use std::collections::BTreeMap;

/// Everything a run depends on beside the model and the corpus.
///
/// | field | unit | range | default |
/// |---|---|---|---|
/// | `steps` | steps | 1 or more | |
/// | `batch` | windows; the chunk in which a full batch is gone through | 1 or more | |
/// | `context` | positions | 1 to the model's | |
/// | `learning_rate` | at the end of the warm-up | over 0 | 3e-4 (Touvron et al. 2023, table 2) |
/// | `accumulate` | batches whose gradients make one step | 1 or more | 1 |
/// | `parts` | parts into which every batch is cut; their gradients are added in order, whoever computes them | 1 to `batch`, or none | none: as many as there are ranks |
/// | `clip_value` | each entry of the gradient | over 0, or none | none |
/// | `clip_norm` | Euclidean norm | over 0, or none | 1 (Touvron et al. 2023, section 2.3) |
/// | `snapshot_every` | steps; 0: only at the end and at a stop | 0 or more | 100 |
/// | `keep_snapshots` | snapshots; the best on held-out text is kept beside them | 1 or more | 2 |
/// | `dropout` | share of what a half layer gives | 0 to below 1 | 0 |
/// | `label_smoothing` | share of the target's weight spread over the vocabulary | 0 to below 1 | 0 |
/// | `early_stop` | see there | | none |
/// | `checkpoints` | compute layers again on the way back, for memory | | no |
/// | `precision` | of weights and activations in a pass; masters are f32 | | f32 |
/// | `watch` | when the observer is told of trouble | | see there |
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Of the order of the windows; the model's own seed is the caller's.
    pub seed: u64,
    pub steps: u64,
    pub batch: usize,
    pub context: usize,
    pub order: Order,
    pub optimizer: Optimizer,
    pub learning_rate: f64,
    pub schedule: Schedule,
    pub accumulate: usize,
    pub parts: Option<usize>,
    pub clip_value: Option<f64>,
    pub clip_norm: Option<f64>,
    pub penalty: Penalty,
    pub dropout: f64,
    pub label_smoothing: f64,
    pub early_stop: Option<EarlyStop>,
    pub checkpoints: bool,
    pub precision: Precision,
    pub snapshot_every: u64,
    pub keep_snapshots: usize,
    pub watch: Watch,
}

/// The order of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Anew in each epoch.
    Shuffled,
    /// As the corpus has them, in every epoch: a curriculum. Source: Bengio et al. 2009.
    AsGiven,
}

/// Ends a run whose loss on held-out text no longer falls, with the weights of the best.
///
/// Source: Prechelt 1998, "Early stopping, but when?", criterion UP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyStop {
    /// Steps between two looks, 1 or more.
    pub every: u64,
    /// Looks without a new best after which the run ends, 1 or more.
    pub patience: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("expected `{setting}` to be {expected}, found {found}")]
    Setting { setting: &'static str, expected: String, found: String },
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("the parameters of the model cannot be read")]
    Engine(#[from] candle_core::Error),
}

impl Config {
    /// The defaults of the table for a run of that size.
    #[must_use]
    pub fn new(seed: u64, steps: u64, batch: usize, context: usize) -> Self {
        Self {
            seed,
            steps,
            batch,
            context,
            order: Order::Shuffled,
            optimizer: Optimizer::ADAM_W,
            learning_rate: 3e-4,
            schedule: Schedule { warmup_steps: steps / 20, ..Schedule::default() },
            accumulate: 1,
            parts: None,
            clip_value: None,
            clip_norm: Some(1.0),
            penalty: Penalty::default(),
            dropout: 0.0,
            label_smoothing: 0.0,
            early_stop: None,
            checkpoints: false,
            precision: Precision::F32,
            snapshot_every: 100,
            keep_snapshots: 2,
            watch: Watch::default(),
        }
    }

    /// Predicted positions of one step: what one `Event::Ahead` announces.
    ///
    /// # Errors
    /// `Data` when the corpus has no whole window.
    pub fn tokens_per_step(&self, corpus: &Corpus) -> Result<u64, ConfigError> {
        let n_tokens =
            Batches::new(corpus, self.context, self.batch, self.seed)?.n_tokens(self.optimizer.takes_full_batch());
        Ok(if self.optimizer.takes_full_batch() { n_tokens } else { n_tokens * self.accumulate as u64 })
    }

    /// What shapes the weights, and nothing else: how often snapshots are taken is left out.
    ///
    /// # Errors
    /// `Setting` for a number that is not finite.
    pub fn to_json(&self) -> Result<Json, ConfigError> {
        let mut settings = Vec::new();
        for (name, member, value, _) in self.optimizer.settings() {
            settings.push((member.to_owned(), decimal(name, value)?));
        }
        if let Optimizer::Sgd { nesterov: true, .. } = self.optimizer {
            settings.push(("nesterov".to_owned(), true.into()));
        }
        let optimizer = Json::Map(settings.into_iter().collect());
        let schedule = Json::map([
            ("decay", Some(self.schedule.decay.name().into())),
            ("warmupSteps", Some(self.schedule.warmup_steps.into())),
            ("minRatio", Some(decimal("min_ratio", self.schedule.min_ratio)?)),
            ("decaySteps", (self.schedule.decay == Decay::StableDecay).then(|| self.schedule.decay_steps.into())),
        ]);
        // What is as it is by default is left out, so that a record says what was asked for.
        let share = |name, value: f64| (value != 0.0).then(|| decimal(name, value)).transpose();
        let early_stop = self
            .early_stop
            .map(|stop| Json::map([("every", Some(stop.every.into())), ("patience", Some(stop.patience.into()))]));
        Ok(Json::map([
            ("seed", Some(self.seed.into())),
            ("steps", Some(self.steps.into())),
            ("batch", Some(self.batch.into())),
            ("context", Some(self.context.into())),
            ("optimizer", Some(self.optimizer.name().into())),
            (self.optimizer.name(), Some(optimizer)),
            ("learningRate", Some(decimal("learning_rate", self.learning_rate)?)),
            ("schedule", Some(schedule)),
            ("clipNorm", self.clip_norm.map(|limit| decimal("clip_norm", limit)).transpose()?),
            ("l1", Some(decimal("l1", self.penalty.l1)?)),
            ("l2", Some(decimal("l2", self.penalty.l2)?)),
            ("accumulate", (self.accumulate != 1).then(|| self.accumulate.into())),
            ("parts", self.parts.map(Json::from)),
            ("clipValue", self.clip_value.map(|limit| decimal("clip_value", limit)).transpose()?),
            ("groupHeads", share("heads", self.penalty.heads)?),
            ("groupChannels", share("channels", self.penalty.channels)?),
            ("dropout", share("dropout", self.dropout)?),
            ("labelSmoothing", share("label_smoothing", self.label_smoothing)?),
            ("earlyStop", early_stop),
            ("precision", (self.precision != Precision::F32).then(|| self.precision.name().into())),
            ("order", (self.order == Order::AsGiven).then(|| "as-given".into())),
        ]))
    }

    /// Refuses settings outside their range and a corpus that does not fit the model.
    pub(crate) fn check(&self, model: &Llama, corpus: &Corpus) -> Result<(), ConfigError> {
        let setting = |setting, expected: &str, found: String| ConfigError::Setting {
            setting,
            expected: expected.to_owned(),
            found,
        };
        let context_max = model.config().context;
        if self.steps == 0 {
            return Err(setting("steps", "at least 1", "0".to_owned()));
        }
        if self.context > context_max {
            return Err(setting("context", &format!("at most the model's {context_max}"), self.context.to_string()));
        }
        let early_stop = self.early_stop.unwrap_or(EarlyStop { every: 1, patience: 1 });
        for (name, count) in [
            ("keep_snapshots", self.keep_snapshots as u64),
            ("accumulate", self.accumulate as u64),
            ("early_stop.every", early_stop.every),
            ("early_stop.patience", early_stop.patience),
        ] {
            if count == 0 {
                return Err(setting(name, "at least 1", "0".to_owned()));
            }
        }
        if let Some(parts) = self.parts.filter(|parts| !(1..=self.batch).contains(parts)) {
            return Err(setting(
                "parts",
                &format!("from 1 to the {} windows of a batch", self.batch),
                parts.to_string(),
            ));
        }
        for (name, value, expected, holds) in self.ranges() {
            if !holds {
                return Err(setting(name, expected, value.to_string()));
            }
        }
        Ok(corpus.check_vocabulary(model.config().vocab)?)
    }

    /// Refuses more ranks than there is work for.
    pub(crate) fn check_ranks(&self, n: usize) -> Result<(), ConfigError> {
        let (most, of) = match self.parts {
            Some(parts) => (parts, "`parts` of a batch"),
            None => (self.batch, "windows of a batch"),
        };
        let expected = format!("at most as many as the {most} {of}");
        if n > most.max(1) {
            Err(ConfigError::Setting { setting: "ranks", expected, found: n.to_string() })
        } else {
            Ok(())
        }
    }

    fn ranges(&self) -> Vec<(&'static str, f64, &'static str, bool)> {
        let positive = |name, value: f64| (name, value, "a finite number above 0", value.is_finite() && value > 0.0);
        let weight =
            |name, value: f64| (name, value, "a finite number of at least 0", value.is_finite() && value >= 0.0);
        let share = |name, value: f64| (name, value, "at least 0 and below 1", (0.0..1.0).contains(&value));
        let mut ranges = vec![
            positive("learning_rate", self.learning_rate),
            weight("l1", self.penalty.l1),
            weight("l2", self.penalty.l2),
            weight("heads", self.penalty.heads),
            weight("channels", self.penalty.channels),
            share("dropout", self.dropout),
            share("label_smoothing", self.label_smoothing),
            ("min_ratio", self.schedule.min_ratio, "from 0 to 1", (0.0..=1.0).contains(&self.schedule.min_ratio)),
        ];
        ranges.extend(self.clip_norm.map(|limit| positive("clip_norm", limit)));
        ranges.extend(self.clip_value.map(|limit| positive("clip_value", limit)));
        ranges.extend(self.optimizer.settings().into_iter().map(|(name, _, value, range)| match range {
            Range::Share => share(name, value),
            Range::Positive => positive(name, value),
            Range::Weight => weight(name, value),
        }));
        ranges
    }
}

fn decimal(setting: &'static str, value: f64) -> Result<Json, ConfigError> {
    let expected = "a finite number".to_owned();
    let error = |_| ConfigError::Setting { setting, expected, found: value.to_string() };
    Decimal::from_f64(value, evidence::DIGITS_MAX, Round::Nearest).map(Json::Decimal).map_err(error)
}

/// The identity of a run: a digest of everything that shapes its weights, which are the configuration, the shape and
/// the first weights of the model, the corpus, and the version of this crate. A snapshot of another identity is not
/// taken up.
///
/// # Errors
/// `Setting` for a number that is not finite, `Engine` when a parameter cannot be read.
pub fn identity(config: &Config, model: &Llama, corpus: &Corpus) -> Result<Digest, ConfigError> {
    // Weights that are held shape the others as much as the first of those do.
    let base = (!model.frozen().is_empty()).then(|| tensors_digest(model.frozen().iter())).transpose()?;
    let identity = Json::map([
        ("trainer", Some(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into())),
        ("config", Some(config.to_json()?)),
        ("model", Some(model.config().to_json().into())),
        ("firstWeights", Some(parameters_digest(model.parameters())?.into())),
        ("corpus", Some(corpus.digest().into())),
        ("base", base.map(Json::from)),
        ("adapters", model.adapters().map(|adapters| format!("{adapters:?}").into())),
    ]);
    Ok(Digest::of(identity.canonical().as_bytes()))
}

/// The digest of parameters as they are in memory: for each name in order, its digest and that of its entries as
/// little-endian f32. Equal exactly when the weights are equal bit for bit; independent of any file format.
///
/// # Errors
/// Those of the tensor engine.
pub fn parameters_digest(parameters: &BTreeMap<String, Var>) -> candle_core::Result<Digest> {
    tensors_digest(parameters.iter().map(|(name, var)| (name, var.as_tensor())))
}

fn tensors_digest<'a>(tensors: impl Iterator<Item = (&'a String, &'a Tensor)>) -> candle_core::Result<Digest> {
    let mut all = Vec::new();
    for (name, tensor) in tensors {
        let entries =
            with_entries(tensor, |entries| entries.iter().flat_map(|entry| entry.to_le_bytes()).collect::<Vec<u8>>())?;
        all.extend_from_slice(Digest::of(name.as_bytes()).as_bytes());
        all.extend_from_slice(Digest::of(&entries).as_bytes());
    }
    Ok(Digest::of(&all))
}
