//! The file as written: one struct a table, every key known, nothing computed. Read by hand into [`super::Case`].

use serde::Deserialize;
use toml::{Spanned, value::Datetime};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) system: System,
    pub(super) site: Option<Site>,
    pub(super) policy: Policy,
    #[serde(default)]
    pub(super) data: Vec<Data>,
    pub(super) model: Option<Model>,
    pub(super) train: Option<Train>,
    pub(super) budget: Option<Budget>,
    pub(super) compress: Option<Compress>,
    #[serde(default)]
    pub(super) evaluate: Vec<Evaluate>,
    #[serde(default)]
    pub(super) declare: Vec<Declare>,
    /// Only whether it is there: `policy` reads it, by its own table of facts.
    #[serde(rename = "use")]
    pub(super) scenario: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct System {
    pub(super) name: String,
    pub(super) role: Option<Spanned<String>>,
    pub(super) jurisdictions: Option<Vec<Spanned<String>>>,
    pub(super) purpose: Option<String>,
    pub(super) audience: Option<Spanned<String>>,
    pub(super) on_market: Option<Spanned<Datetime>>,
    pub(super) risk_class: Option<Spanned<String>>,
    pub(super) risk_route: Option<Spanned<String>>,
    pub(super) general_purpose: Option<bool>,
    pub(super) systemic_risk: Option<bool>,
    pub(super) open_source: Option<bool>,
    pub(super) modalities: Option<Vec<Spanned<String>>>,
    pub(super) interacts: Option<bool>,
    pub(super) opinion_attributes: Option<bool>,
    pub(super) modifies_existing: Option<bool>,
    pub(super) revenue_usd: Option<Spanned<Number>>,
    pub(super) redesigned: Option<bool>,
    pub(super) public_authority: Option<bool>,
    pub(super) law_enforcement: Option<bool>,
    pub(super) biometric_identification: Option<bool>,
    pub(super) code_of_practice: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Site {
    pub(super) country: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) packs: Vec<Spanned<Pack>>,
    pub(super) as_of: Option<Spanned<Datetime>>,
    #[serde(default)]
    pub(super) approvers: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) declarers: Vec<Spanned<String>>,
}

/// A bare name is an enforced pack; the table form says otherwise.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a pack's name, or a table such as `{ name = \"eu-ai-act\", mode = \"report\" }`")]
pub(super) enum Pack {
    Name(String),
    Table(PackTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackTable {
    pub(super) name: String,
    pub(super) mode: Mode,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    Enforce,
    Report,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    pub(super) name: String,
    pub(super) path: Spanned<String>,
    pub(super) licence: Option<String>,
    pub(super) source: Option<String>,
    pub(super) split: Option<Split>,
    pub(super) weight: Option<Spanned<f64>>,
    pub(super) text: Option<Vec<String>>,
    pub(super) label: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) no_header: bool,
    pub(super) generated: Option<Spanned<Generated>>,
    pub(super) shards: Option<Shards>,
}

/// A bare word says whether a model made the texts; the table says which.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`false`, `true`, or a table such as `{ by = \"SmolLM2-135M-Instruct\" }`")]
pub(super) enum Generated {
    Flag(bool),
    By(GeneratedBy),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GeneratedBy {
    pub(super) by: String,
    /// Within an untagged table no part knows its place.
    pub(super) compute_flop: Option<f64>,
    #[serde(default)]
    pub(super) public: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shards {
    pub(super) of: Spanned<u64>,
    pub(super) take: Spanned<Vec<u64>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Split {
    File,
    Section,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) path: Option<Spanned<String>>,
    pub(super) base: Option<Spanned<String>>,
    pub(super) adapters: Option<Adapters>,
    pub(super) architecture: Option<Spanned<String>>,
    pub(super) layers: Option<Spanned<usize>>,
    pub(super) width: Option<Spanned<usize>>,
    pub(super) heads: Option<Spanned<usize>>,
    pub(super) kv_heads: Option<usize>,
    pub(super) hidden: Option<usize>,
    pub(super) context: Option<Spanned<usize>>,
    pub(super) vocabulary: Option<Spanned<usize>>,
    pub(super) rope_theta: Option<f64>,
    pub(super) norm_eps: Option<f64>,
    #[serde(default)]
    pub(super) parents: Vec<Parent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Adapters {
    pub(super) rank: Spanned<usize>,
    pub(super) alpha: Option<Spanned<f64>>,
    pub(super) targets: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chat {
    pub(super) user: Option<String>,
    pub(super) assistant: Option<String>,
    pub(super) system: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parent {
    pub(super) digest: Spanned<String>,
    pub(super) action: String,
    pub(super) compute_flop: Option<Spanned<Number>>,
    pub(super) systemic_risk: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Train {
    pub(super) tokens: Spanned<u64>,
    pub(super) batch: Option<Spanned<usize>>,
    pub(super) seed: Option<u64>,
    pub(super) held_out: Option<Spanned<f64>>,
    pub(super) held_out_by: Option<Spanned<String>>,
    pub(super) optimizer: Optimizer,
    pub(super) schedule: Option<Schedule>,
    pub(super) accumulate: Option<Spanned<usize>>,
    pub(super) parts: Option<Spanned<usize>>,
    pub(super) clip_value: Option<Spanned<f64>>,
    pub(super) clip_norm: Option<Spanned<f64>>,
    pub(super) penalty: Option<Penalty>,
    pub(super) dropout: Option<Spanned<f64>>,
    pub(super) label_smoothing: Option<Spanned<f64>>,
    pub(super) early_stop: Option<EarlyStop>,
    #[serde(default)]
    pub(super) checkpoints: bool,
    pub(super) precision: Option<Spanned<String>>,
    pub(super) lambda: Option<Spanned<Lambda>>,
    pub(super) classifier: Option<Spanned<Classifier>>,
    pub(super) snapshot_every: Option<u64>,
    pub(super) keep_snapshots: Option<Spanned<usize>>,
    pub(super) on_trouble: Option<OnTrouble>,
    pub(super) chat: Option<Spanned<Chat>>,
    pub(super) temperature: Option<Spanned<f64>>,
    pub(super) order: Option<Spanned<String>>,
}

/// Penalty, candidates and folds of a nested cross-validation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lambda {
    pub(super) penalty: Spanned<String>,
    pub(super) candidates: Vec<Spanned<f64>>,
    pub(super) outer: Option<Spanned<usize>>,
    pub(super) inner: Option<Spanned<usize>>,
    pub(super) tokens: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Classifier {
    pub(super) train: Option<Spanned<String>>,
    pub(super) folds: Option<Spanned<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EarlyStop {
    pub(super) every: Spanned<u64>,
    pub(super) patience: Spanned<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct OnTrouble {
    pub(super) not_finite: Option<Spanned<String>>,
    pub(super) spike: Option<Spanned<String>>,
    pub(super) divergence: Option<Spanned<String>>,
    pub(super) loader: Option<Spanned<String>>,
    pub(super) percent: Option<Spanned<u32>>,
    pub(super) skip: Option<u64>,
    #[serde(rename = "at_most")]
    pub(super) at_most: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Optimizer {
    pub(super) name: Spanned<String>,
    pub(super) learning_rate: Spanned<f64>,
    pub(super) weight_decay: Option<Spanned<f64>>,
    pub(super) momentum: Option<Spanned<f64>>,
    pub(super) nesterov: Option<Spanned<bool>>,
    pub(super) beta1: Option<Spanned<f64>>,
    pub(super) beta2: Option<Spanned<f64>>,
    pub(super) beta2_decay: Option<Spanned<f64>>,
    pub(super) eps: Option<Spanned<f64>>,
    pub(super) scale_floor: Option<Spanned<f64>>,
    pub(super) update_clip: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Schedule {
    pub(super) name: Spanned<String>,
    pub(super) warmup: Option<f64>,
    pub(super) floor: Option<f64>,
    pub(super) decay: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Penalty {
    pub(super) l1: Option<Spanned<f64>>,
    pub(super) l2: Option<Spanned<f64>>,
    pub(super) heads: Option<Spanned<f64>>,
    pub(super) channels: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Budget {
    pub(super) compute_flop: Option<Spanned<Number>>,
    pub(super) time_s: Option<Spanned<Number>>,
    pub(super) energy_kwh: Option<Spanned<Number>>,
    pub(super) carbon_gco2e: Option<Spanned<Number>>,
}

/// A TOML integer or float; its exact decimal is taken from the text of the file.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number")]
#[expect(dead_code, reason = "the value is read again, exactly, from its place in the text")]
pub(super) enum Number {
    Integer(i64),
    Float(f64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Compress {
    pub(super) prune: Option<Prune>,
    pub(super) quantize: Option<Quantize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prune {
    pub(super) method: Spanned<String>,
    pub(super) sparsity: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quantize {
    pub(super) format: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evaluate {
    pub(super) suite: Spanned<String>,
    pub(super) folds: Option<Spanned<usize>>,
    pub(super) layers: Option<Spanned<usize>>,
    pub(super) width: Option<Spanned<usize>>,
    pub(super) heads: Option<Spanned<usize>>,
    pub(super) tokens: Option<Spanned<u64>>,
    pub(super) tasks: Option<Vec<String>>,
    pub(super) task_dir: Option<Spanned<String>>,
    pub(super) data: Option<Spanned<String>>,
    pub(super) limit: Option<usize>,
    pub(super) fewshot: Option<usize>,
    pub(super) slice: Option<String>,
    #[serde(default)]
    pub(super) robust: bool,
    pub(super) banks: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) refusals: Vec<String>,
    pub(super) answer_tokens: Option<Spanned<usize>>,
    pub(super) system: Option<String>,
    #[serde(default)]
    pub(super) bare: bool,
    #[serde(default)]
    pub(super) thresholds: std::collections::BTreeMap<String, Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declare {
    pub(super) fact: Spanned<String>,
    pub(super) value: Option<Spanned<toml::Value>>,
    pub(super) document: Option<Spanned<String>>,
    pub(super) owner: String,
    pub(super) made: Spanned<Datetime>,
    pub(super) expires: Spanned<Datetime>,
}
