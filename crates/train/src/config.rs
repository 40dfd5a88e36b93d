//! What a run is told, and the identity of a run.

use crate::{
    data::{Batches, Corpus, DataError},
    objective::Penalty,
    optimizer::Optimizer,
    schedule::Schedule,
    slices::with_entries,
};
use candle_core::Var;
use evidence::{Decimal, Digest, Json, Round};
use model::Llama;
use std::collections::BTreeMap;

/// Everything a run depends on beside the model and the corpus.
///
/// | field | unit | range | default |
/// |---|---|---|---|
/// | `steps` | steps | 1 or more | |
/// | `batch` | windows; the chunk in which a full batch is gone through | 1 or more | |
/// | `context` | positions | 1 to the model's | |
/// | `learning_rate` | at the end of the warm-up | over 0 | 3e-4 (Touvron et al. 2023, table 2) |
/// | `clip_norm` | Euclidean norm | over 0, or none | 1 (Touvron et al. 2023, section 2.3) |
/// | `snapshot_every` | steps; 0: only at the end and at a stop | 0 or more | 100 |
/// | `keep_snapshots` | snapshots | 1 or more | 2 |
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Of the order of the windows; the model's own seed is the caller's.
    pub seed: u64,
    pub steps: u64,
    pub batch: usize,
    pub context: usize,
    pub optimizer: Optimizer,
    pub learning_rate: f64,
    pub schedule: Schedule,
    pub clip_norm: Option<f64>,
    pub penalty: Penalty,
    pub snapshot_every: u64,
    pub keep_snapshots: usize,
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
            optimizer: Optimizer::ADAM_W,
            learning_rate: 3e-4,
            schedule: Schedule { warmup_steps: steps / 20, ..Schedule::default() },
            clip_norm: Some(1.0),
            penalty: Penalty::default(),
            snapshot_every: 100,
            keep_snapshots: 2,
        }
    }

    /// Predicted positions of one step: what one `Event::Ahead` announces.
    ///
    /// # Errors
    /// `Data` when the corpus has no whole window.
    pub fn tokens_per_step(&self, corpus: &Corpus) -> Result<u64, ConfigError> {
        Ok(Batches::new(corpus, self.context, self.batch, self.seed)?.n_tokens(self.optimizer.takes_full_batch()))
    }

    /// What shapes the weights, and nothing else: how often snapshots are taken is left out.
    ///
    /// # Errors
    /// `Setting` for a number that is not finite.
    pub fn to_json(&self) -> Result<Json, ConfigError> {
        let optimizer = match self.optimizer {
            Optimizer::GradientDescent => Json::map([]),
            Optimizer::Sgd { momentum } => Json::map([("momentum", Some(decimal("momentum", momentum)?))]),
            Optimizer::AdamW { beta1, beta2, eps, weight_decay } => Json::map([
                ("beta1", Some(decimal("beta1", beta1)?)),
                ("beta2", Some(decimal("beta2", beta2)?)),
                ("eps", Some(decimal("eps", eps)?)),
                ("weightDecay", Some(decimal("weight_decay", weight_decay)?)),
            ]),
        };
        let schedule = Json::map([
            ("decay", Some(self.schedule.decay.name().into())),
            ("warmupSteps", Some(self.schedule.warmup_steps.into())),
            ("minRatio", Some(decimal("min_ratio", self.schedule.min_ratio)?)),
        ]);
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
        if self.keep_snapshots == 0 {
            return Err(setting("keep_snapshots", "at least 1", "0".to_owned()));
        }
        for (name, value, expected, holds) in self.ranges() {
            if !holds {
                return Err(setting(name, expected, value.to_string()));
            }
        }
        Ok(corpus.check_vocabulary(model.config().vocab)?)
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
            ("min_ratio", self.schedule.min_ratio, "from 0 to 1", (0.0..=1.0).contains(&self.schedule.min_ratio)),
        ];
        ranges.extend(self.clip_norm.map(|limit| positive("clip_norm", limit)));
        match self.optimizer {
            Optimizer::GradientDescent => {}
            Optimizer::Sgd { momentum } => ranges.push(share("momentum", momentum)),
            Optimizer::AdamW { beta1, beta2, eps, weight_decay } => ranges.extend([
                share("beta1", beta1),
                share("beta2", beta2),
                positive("eps", eps),
                weight("weight_decay", weight_decay),
            ]),
        }
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
    let identity = Json::map([
        ("trainer", Some(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into())),
        ("config", Some(config.to_json()?)),
        ("model", Some(model.config().to_json().into())),
        ("firstWeights", Some(parameters_digest(model.parameters())?.into())),
        ("corpus", Some(corpus.digest().into())),
    ]);
    Ok(Digest::of(identity.canonical().as_bytes()))
}

/// The digest of parameters as they are in memory: for each name in order, its digest and that of its entries as
/// little-endian f32. Equal exactly when the weights are equal bit for bit; independent of any file format.
///
/// # Errors
/// Those of the tensor engine.
pub fn parameters_digest(parameters: &BTreeMap<String, Var>) -> candle_core::Result<Digest> {
    let mut all = Vec::new();
    for (name, var) in parameters {
        let entries =
            with_entries(var, |entries| entries.iter().flat_map(|entry| entry.to_le_bytes()).collect::<Vec<u8>>())?;
        all.extend_from_slice(Digest::of(name.as_bytes()).as_bytes());
        all.extend_from_slice(Digest::of(&entries).as_bytes());
    }
    Ok(Digest::of(&all))
}
