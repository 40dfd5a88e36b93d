//! What a decision says: one verdict a rule, each with its reason, and the effect.

use crate::card::{Card, Stage};
use evidence::{Digest, Json, Provenance};
use jiff::civil::Date;

/// What a rule comes to. A waiver is laid over it and never replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Pass,
    Fail,
    InsufficientEvidence,
    NotApplicable,
    NotInForce,
    AwaitingPerson,
    Error,
}

impl Outcome {
    pub const ALL: [Self; 7] = [
        Self::Pass,
        Self::Fail,
        Self::InsufficientEvidence,
        Self::NotApplicable,
        Self::NotInForce,
        Self::AwaitingPerson,
        Self::Error,
    ];
    pub(crate) const NAMES: [&str; 7] =
        ["pass", "fail", "insufficient-evidence", "not-applicable", "not-in-force", "awaiting-person", "error"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// Whether it lets work through without a waiver.
    #[must_use]
    pub const fn lets_through(self) -> bool {
        matches!(self, Self::Pass | Self::NotApplicable | Self::NotInForce)
    }
}

/// Whether a rule may hold the work, or only speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    Report,
}

impl Mode {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Report => "report",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Enforce, Self::Report].into_iter().find(|mode| mode.name() == name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

impl Effect {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// A machine code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub code: &'static str,
    pub sentence: String,
}

/// Every code a reason may have, with the outcome it belongs to.
pub const REASONS: &[(&str, Outcome)] = &[
    ("holds", Outcome::Pass),
    ("answered", Outcome::Pass),
    ("fails", Outcome::Fail),
    ("answered-no", Outcome::Fail),
    ("applicability-unknown", Outcome::InsufficientEvidence),
    ("evidence-missing", Outcome::InsufficientEvidence),
    ("evidence-expired", Outcome::InsufficientEvidence),
    ("evidence-too-old", Outcome::InsufficientEvidence),
    ("sample-too-small", Outcome::InsufficientEvidence),
    ("provenance-too-low", Outcome::InsufficientEvidence),
    ("interval-method", Outcome::InsufficientEvidence),
    ("needs-unmet", Outcome::InsufficientEvidence),
    ("between-bounds", Outcome::InsufficientEvidence),
    ("undecided", Outcome::InsufficientEvidence),
    ("does-not-apply", Outcome::NotApplicable),
    ("not-yet", Outcome::NotInForce),
    ("no-longer", Outcome::NotInForce),
    ("grace", Outcome::NotInForce),
    ("no-window", Outcome::NotInForce),
    ("no-answer", Outcome::AwaitingPerson),
    ("answer-expired", Outcome::AwaitingPerson),
    ("answer-too-old", Outcome::AwaitingPerson),
    ("contradiction", Outcome::Error),
    ("evaluation-error", Outcome::Error),
    ("applicability-error", Outcome::Error),
];

impl Reason {
    pub(crate) fn new(code: &'static str, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.sentence)
    }
}

/// A fact that a verdict looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    pub fact: &'static str,
    /// The envelope that the fact comes from.
    pub source: Digest,
    pub provenance: Provenance,
    /// The fields that the conditions read, by name; an invalid one says so.
    pub values: Vec<(&'static str, Json)>,
}

impl Used {
    #[must_use]
    pub fn to_json(&self) -> Json {
        let values = self.values.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect();
        Json::map([
            ("fact", Some(self.fact.into())),
            ("source", Some(self.source.into())),
            ("provenance", Some(self.provenance.name().into())),
            ("values", Some(Json::Map(values))),
        ])
    }
}

/// A need that its fact does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    pub fact: &'static str,
    pub code: &'static str,
    pub sentence: String,
}

/// The smallest part of a condition that settled it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedBy {
    pub condition: crate::card::Condition,
    pub expression: String,
    pub truth: crate::expr::Truth,
}

impl DecidedBy {
    fn to_json(&self) -> Json {
        Json::map([
            ("condition", Some(self.condition.name().into())),
            ("expression", Some(self.expression.as_str().into())),
            ("value", Some(self.truth.name().into())),
        ])
    }
}

/// What one rule comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub outcome: Outcome,
    pub reason: Reason,
    pub decided_by: Option<DecidedBy>,
    pub unmet: Vec<Unmet>,
    pub evidence: Vec<Used>,
    /// For a rule that is not in force: what it would come to if it were.
    pub would_be: Option<(Outcome, Reason)>,
}

/// One rule's verdict in a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    pub pack: &'a str,
    pub card: &'a Card,
    /// The mode that counts: a rule whose cites are not all confirmed never denies by itself.
    pub mode: Mode,
    /// Why the mode is not the pack's: `unconfirmed`.
    pub mode_reason: Option<&'static str>,
    pub finding: Finding,
    /// The waiver laid over the outcome.
    pub waiver: Option<&'a crate::waiver::Waiver>,
}

impl Verdict<'_> {
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.card.id
    }

    /// `pass`, `fail`, …, or `waived(fail)`.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.finding.outcome.name();
        if self.waiver.is_some() { format!("waived({name})") } else { name.to_owned() }
    }

    /// Whether it stops the work.
    #[must_use]
    pub const fn denies(&self) -> bool {
        matches!(self.mode, Mode::Enforce) && self.waiver.is_none() && !self.finding.outcome.lets_through()
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        let (card, finding) = (self.card, &self.finding);
        let unmet = finding.unmet.iter().map(|unmet| {
            Json::map([
                ("fact", Some(unmet.fact.into())),
                ("code", Some(unmet.code.into())),
                ("sentence", Some(unmet.sentence.as_str().into())),
            ])
        });
        let would_be = finding.would_be.as_ref().map(|(outcome, reason)| {
            Json::map([("verdict", Some(outcome.name().into())), ("reason", Some(reason.to_string().into()))])
        });
        let more = Json::map([
            ("pack", Some(self.pack.into())),
            ("verdict", Some(self.name().into())),
            ("reason", Some(finding.reason.to_string().into())),
            ("mode", Some(self.mode.name().into())),
            ("modeReason", self.mode_reason.map(Json::from)),
            ("decidedBy", finding.decided_by.as_ref().map(DecidedBy::to_json)),
            ("unmet", (!finding.unmet.is_empty()).then(|| Json::List(unmet.collect()))),
            ("evidence", Some(Json::List(finding.evidence.iter().map(Used::to_json).collect()))),
            ("wouldBe", would_be),
            ("waiver", self.waiver.map(crate::waiver::Waiver::to_json)),
        ]);
        let members = [card.to_json(), more].into_iter().filter_map(|json| json.members().cloned());
        Json::Map(members.flatten().collect())
    }
}

/// A pack that was decided under, known by the digest of its cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedUnder<'a> {
    pub name: &'a str,
    pub digest: Digest,
    pub mode: Mode,
}

impl DecidedUnder<'_> {
    fn to_json(&self) -> Json {
        Json::map([
            ("name", Some(self.name.into())),
            ("digest", Some(self.digest.into())),
            ("mode", Some(self.mode.name().into())),
        ])
    }
}

/// Verdicts sorted by rule, and what follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    pub as_of: Date,
    /// The packs, in the order they were given.
    pub packs: Vec<DecidedUnder<'a>>,
    /// `None`: all rules were asked.
    pub stage: Option<Stage>,
    pub effect: Effect,
    pub verdicts: Vec<Verdict<'a>>,
    /// Waivers that do nothing, each with why.
    pub idle_waivers: Vec<(&'a crate::waiver::Waiver, String)>,
}

impl Decision<'_> {
    /// The rules that deny, sorted.
    pub fn denials(&self) -> impl Iterator<Item = &Verdict<'_>> {
        self.verdicts.iter().filter(|verdict| verdict.denies())
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        let idle = self.idle_waivers.iter().map(|(waiver, why)| {
            Json::map([("waiver", Some(waiver.to_json())), ("finding", Some(why.as_str().into()))])
        });
        Json::map([
            ("as_of", Some(self.as_of.into())),
            ("packs", Some(Json::List(self.packs.iter().map(DecidedUnder::to_json).collect()))),
            ("stage", self.stage.map(|stage| stage.name().into())),
            ("effect", Some(self.effect.name().into())),
            ("verdicts", Some(Json::List(self.verdicts.iter().map(Verdict::to_json).collect()))),
            ("idleWaivers", (!self.idle_waivers.is_empty()).then(|| Json::List(idle.collect()))),
        ])
    }
}
