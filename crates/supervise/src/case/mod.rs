//! The case: what one user writes in `assize.toml`, read strictly and checked before any work starts.
//!
//! Every complaint names file, line and column, shows the line, and says what was expected.

mod data;
mod excerpt;
mod models;
mod place;
mod read;
mod selection;
mod training;
mod wire;

pub use data::{DataSource, Generated, Labelled, Shards};
pub use excerpt::CaseError;
pub use models::{Adapters, Base, Existing};
pub use place::Position;
pub use selection::{Classifier, LambdaPlan, Penalised};
pub use training::{Answer, Chat, EarlyStop, HeldOutBy, OnTrouble, Optimizer, Order, Penalty, Schedule, TrainPlan};

use evidence::{Decimal, Declared, Digest, Metric};
use jiff::{Timestamp, civil::Date};
use ledger::VerifyingKey;
use std::path::{Path, PathBuf};

/// A case, checked.
#[derive(Debug, Clone)]
pub struct Case {
    /// The folder that holds `assize.toml`; relative paths start here.
    pub folder: PathBuf,
    /// The text as read, which the plan carries.
    pub text: String,
    /// `system.<name>` as cards see it.
    pub system: policy::System,
    pub name: String,
    /// ISO 3166-1 alpha-3 code of where the machine stands.
    pub country: Option<String>,
    pub packs: Vec<PackChoice>,
    pub as_of: Option<Date>,
    /// Whose signatures on waivers count: no key and no name twice.
    pub approvers: Vec<VerifyingKey>,
    /// Whose signed declarations are taken, besides those of the key that signs the run.
    pub declarers: Vec<VerifyingKey>,
    pub data: Vec<DataSource>,
    pub model: Option<ModelShape>,
    /// The model that is trained further, instead of one from scratch.
    pub base: Option<Base>,
    /// The model that stands and is only evaluated, instead of either.
    pub existing: Option<Existing>,
    pub train: Option<TrainPlan>,
    pub budget: Budget,
    pub prune: Option<f64>,
    pub quantize: bool,
    pub perplexity: bool,
    pub folds: Option<FoldPlan>,
    pub tasks: Option<TaskPlan>,
    pub bank: Option<BankPlan>,
    pub declarations: Vec<Declare>,
    /// What `[use]` answers; what `[system]` says is not in it.
    pub scenario: policy::scenario::Answers,
}

/// One pack and whether its rules may deny.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackChoice {
    pub name: String,
    pub enforce: bool,
    pub place: Place,
}

/// Where in the file something stands: byte offsets into [`Case::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub start: usize,
    pub end: usize,
}

/// Sizes of a decoder to be trained.
#[derive(Debug, Clone)]
pub struct ModelShape {
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub hidden: usize,
    pub context: usize,
    pub vocabulary: usize,
    pub rope_theta: f64,
    pub norm_eps: f64,
    pub parents: Vec<Parent>,
}

/// A model this one descends from.
#[derive(Debug, Clone)]
pub struct Parent {
    pub digest: Digest,
    pub action: String,
    /// Training compute as its provider declares it.
    pub compute_flop: Option<Decimal>,
    /// Whether that model counts as one of systemic risk; asked where its compute is unknown.
    pub systemic_risk: Option<bool>,
}

/// Caps; whichever is reached first stops the run before it is crossed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    pub compute_flop: Option<Decimal>,
    pub time_s: Option<Decimal>,
    pub energy_kwh: Option<Decimal>,
    pub carbon_gco2e: Option<Decimal>,
}

/// Cross-validation over the training documents.
#[derive(Debug, Clone)]
pub struct FoldPlan {
    pub folds: usize,
    /// What is trained a fold instead of what the case trains; of a model that is trained further nothing.
    pub small: Option<Small>,
    /// Of each fold; where nothing is said, as many as the training.
    pub tokens: Option<u64>,
}

/// A decoder that is smaller than that of the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Small {
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
}

/// Tasks asked of the trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPlan {
    pub tasks: Vec<String>,
    /// Where more task files lie.
    pub task_dir: Option<PathBuf>,
    /// Where the rows lie.
    pub data: Option<PathBuf>,
    pub limit: Option<usize>,
    pub fewshot: Option<usize>,
    pub slice: Option<String>,
    /// Whether the items are asked in other forms too.
    pub robust: bool,
    /// Task, its metric where one is named, and the least share: `task` or `task:metric` in the file.
    pub thresholds: Vec<TaskThreshold>,
}

/// Questions to be refused or answered, asked of a model that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankPlan {
    pub banks: Vec<PathBuf>,
    /// Refusals in the system's own words.
    pub refusals: Vec<String>,
    pub answer_tokens: usize,
    /// What the system says before each question.
    pub system: Option<String>,
    /// Asked without the model's chat template.
    pub bare: bool,
    pub limit: Option<usize>,
}

/// A least value of one task's figure, named before the task is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskThreshold {
    pub task: String,
    pub metric: Option<String>,
    pub least: f64,
}

/// An answer of a named person.
#[derive(Debug, Clone)]
pub struct Declare {
    pub metric: &'static Metric,
    /// The value, or for a document the file it stands in.
    pub value: DeclareValue,
    pub owner: String,
    pub made: Timestamp,
    pub expires: Date,
}

#[derive(Debug, Clone)]
pub enum DeclareValue {
    Plain(Declared),
    Document(PathBuf),
}

impl Case {
    /// Reads `folder/assize.toml`, or the file itself when `path` names one.
    ///
    /// # Errors
    /// `CaseError` naming file, line, column, what was expected and the way out.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let file = if path.is_dir() { path.join("assize.toml") } else { path.to_path_buf() };
        let folder = file.parent().map(Path::to_path_buf).unwrap_or_default();
        let text = std::fs::read_to_string(&file).map_err(|source| CaseError::unreadable(&file, &source))?;
        read::case(&file, folder, text)
    }

    /// The models this one descends from.
    #[must_use]
    pub fn parents(&self) -> &[Parent] {
        match (&self.model, &self.base, &self.existing) {
            (Some(model), ..) => &model.parents,
            (_, Some(base), _) => &base.parents,
            (.., Some(existing)) => &existing.parents,
            _ => &[],
        }
    }

    /// What shapes the work, as canonical text: data, model, training, compression, evaluation. Comments, the system, its use, the
    /// packs, the budget, declarations, and what is answered to trouble in training, which the record holds answer by answer, may
    /// change without making it another run.
    #[must_use]
    pub fn work(&self) -> String {
        let mut tables: toml::Table = toml::from_str(&self.text).unwrap_or_default();
        for table in ["system", "site", "policy", "budget", "declare", "use"] {
            tables.remove(table);
        }
        if let Some(train) = tables.get_mut("train").and_then(toml::Value::as_table_mut) {
            train.remove("on_trouble");
        }
        tables.to_string()
    }

    /// A complaint about something that stands at `place` in this case's file.
    #[must_use]
    pub fn complain(&self, place: Place, message: &str, hint: &str) -> CaseError {
        let file = self.folder.join("assize.toml");
        CaseError::at(&file, &self.text, place.start..place.end, message.to_owned(), hint.to_owned())
    }
}
