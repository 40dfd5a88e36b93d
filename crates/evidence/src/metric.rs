//! The catalogue of facts: everything a rule card may ask for, each with its kind, unit, subject and meaning.
//!
//! `docs/metrics.md` is generated from this table by `cargo xtask tidy --write`.

use crate::Unit;

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Dataset,
    Model,
    Run,
    Deployment,
    Organisation,
}

impl About {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Model => "model",
            Self::Run => "run",
            Self::Deployment => "deployment",
            Self::Organisation => "organisation",
        }
    }
}

/// What a fact holds, and so which fields an expression may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `value` (int).
    Count,
    /// `value`, `lower`, `upper` (decimals in the unit); bounds are missing when the instrument gave none.
    Quantity,
    /// `k`, `n` (ints), `value`, `lower95`, `upper95` (decimals).
    Proportion,
    /// `value` (bool); declared.
    Flag,
    /// `value` (text); declared.
    Text,
    /// `value` (list of texts); declared.
    List,
    /// `value` (timestamp); declared.
    Moment,
    /// `value` (duration); measured or declared.
    Span,
    /// `present` (bool), `digest`, `owner` (texts); declared, with the digest of the document.
    Document,
}

impl Kind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Quantity => "quantity",
            Self::Proportion => "proportion",
            Self::Flag => "flag",
            Self::Text => "text",
            Self::List => "list",
            Self::Moment => "timestamp",
            Self::Span => "duration",
            Self::Document => "document",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        use Kind::*;
        [Count, Quantity, Proportion, Flag, Text, List, Moment, Span, Document]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// One row of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Dotted, lower case; the name a card and `evidence.json` use.
    pub id: &'static str,
    /// Its position in the catalogue.
    pub place: usize,
    pub kind: Kind,
    pub unit: Unit,
    pub about: About,
    /// What it is, in one sentence.
    pub what: &'static str,
    /// How it is had, and from where the method comes.
    pub method: &'static str,
    /// What it does not say.
    pub limits: &'static str,
    pub example: &'static str,
}

/// The row of that id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Metric> {
    CATALOGUE.iter().find(|metric| metric.id == id)
}

const fn row(id: &'static str, kind: Kind, unit: Unit, about: About, text: [&'static str; 4]) -> Metric {
    Metric { id, place: 0, kind, unit, about, what: text[0], method: text[1], limits: text[2], example: text[3] }
}

mod catalogue;
pub use catalogue::CATALOGUE;

/// What a case says of its system, and the type an expression sees: `system.<name>`.
pub const SYSTEM: &[(&str, SystemKind, &str)] = &[
    ("name", SystemKind::Text, "what the system is called"),
    ("role", SystemKind::Text, "provider, deployer, modifier, importer or distributor"),
    ("jurisdictions", SystemKind::List, "where it is offered: EU, CN, KR, US-CA, US-NY, US-IL, US-CO, US-TX, ..."),
    ("purpose", SystemKind::Text, "what it is for, in a sentence"),
    ("audience", SystemKind::Text, "public, business or internal"),
    ("on_market", SystemKind::Moment, "first day on the market or in service"),
    ("risk_class", SystemKind::Text, "EU class the provider claims: prohibited, high, limited or minimal"),
    ("risk_route", SystemKind::Text, "for a high-risk system: annex-i or annex-iii"),
    (
        "general_purpose",
        SystemKind::Flag,
        "whether the model is general-purpose (EU Art. 3(63)) as its provider sees it",
    ),
    ("systemic_risk", SystemKind::Flag, "whether the model was designated or presumed to be of systemic risk"),
    ("open_source", SystemKind::Flag, "free and open licence with public weights, architecture and usage information"),
    ("modalities", SystemKind::List, "what it puts out: text, image, audio, video, code"),
    ("interacts", SystemKind::Flag, "whether natural persons interact with it directly"),
    ("opinion_attributes", SystemKind::Flag, "public-opinion attributes or social mobilisation capacity (China)"),
    ("modifies_existing", SystemKind::Flag, "whether an existing model of another provider is modified"),
    ("revenue_usd", SystemKind::Decimal, "gross annual revenue with affiliates, in US dollars"),
    ("redesigned", SystemKind::Flag, "whether its design changed significantly since on_market (EU Art. 111(2))"),
    ("public_authority", SystemKind::Flag, "whether it is meant for use by public authorities (EU Art. 111(2))"),
    ("law_enforcement", SystemKind::Flag, "whether it is used by law enforcement or on its behalf"),
    (
        "biometric_identification",
        SystemKind::Flag,
        "whether it identifies people by biometrics, remotely (EU Annex III)",
    ),
    ("code_of_practice", SystemKind::List, "EU code, chapters signed: transparency, copyright, safety"),
];

/// Types of what a case declares of its system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemKind {
    Text,
    List,
    Flag,
    Moment,
    Decimal,
}
