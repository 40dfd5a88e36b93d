//! One rule as data, compiled.

use crate::expr::{Expr, Leaf, Source};
use crate::facts::{Fact, System};
use crate::hatch::Check;
use crate::verdict::Outcome;
use evidence::{Decimal, Digest, Json, Metric, Provenance};
use jiff::civil::Date;
use std::{fmt, str::FromStr};

/// The version of the card's own table.
pub const SCHEMA: i64 = 1;

/// The fields of the card itself: what a stray key inside another table is checked against.
pub(crate) const FIELDS: [&str; 22] = [
    "schema",
    "id",
    "version",
    "kind",
    "title",
    "severity",
    "owner",
    "remedy",
    "gates",
    "applies",
    "pass_when",
    "fail_when",
    "cite",
    "force",
    "needs",
    "maps",
    "tests",
    "check",
    "on",
    "on_error",
    "streaming",
    "oblige",
];

/// How a rule is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardKind {
    /// From evidence.
    Assess,
    /// By a named person's declaration.
    Attest,
}

impl CardKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Assess => "assess",
            Self::Attest => "attest",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Critical,
    High,
    Medium,
    Low,
    Info,
}

impl Severity {
    pub(crate) const NAMES: [&str; 5] = ["critical", "high", "medium", "low", "info"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info].into_iter().find(|s| s.name() == name)
    }
}

/// A point of the loop that a rule may hold the work at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Data,
    Plan,
    Train,
    Compress,
    Evaluate,
    Release,
}

impl Stage {
    pub const ALL: [Self; 6] = [Self::Data, Self::Plan, Self::Train, Self::Compress, Self::Evaluate, Self::Release];
    pub(crate) const NAMES: [&str; 6] = ["data", "plan", "train", "compress", "evaluate", "release"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

/// How well the facts of a clause were confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confirmed {
    /// Recalled.
    No,
    /// Read in part or second-hand.
    Part,
    /// Read in a named source.
    Yes,
}

impl Confirmed {
    pub(crate) const NAMES: [&str; 3] = ["no", "part", "yes"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::No, Self::Part, Self::Yes].into_iter().find(|confirmed| confirmed.name() == name)
    }
}

/// `major.minor.patch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let bad = || NotAVersion(text.chars().take(60).collect());
        let number = |part: &str| {
            let is_plain = part == "0" || !part.starts_with('0');
            let is_digits = part.bytes().all(|byte| byte.is_ascii_digit());
            (is_plain && is_digits).then(|| part.parse().ok()).flatten()
        };
        let parts: Option<Vec<u32>> = text.split('.').map(number).collect();
        match parts.as_deref() {
            Some([major, minor, patch]) => Ok(Self(*major, *minor, *patch)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a version such as `1.0.0`, found `{0}`")]
pub struct NotAVersion(String);

/// A clause, and how we read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cite {
    /// The instrument with its consolidated version.
    pub instrument: String,
    pub locator: String,
    /// Our paraphrase.
    pub says: String,
    /// What is our reading and not the law.
    pub house: Option<String>,
    pub sanction: Option<String>,
    pub confirmed: Confirmed,
    /// Who held the card against the clause, and when; absent until somebody has.
    pub read: Option<(String, Date)>,
}

impl Cite {
    #[must_use]
    pub fn to_json(&self) -> Json {
        let text = |text: &Option<String>| text.as_deref().map(Json::from);
        let read = self.read.as_ref();
        Json::map([
            ("instrument", Some(self.instrument.as_str().into())),
            ("locator", Some(self.locator.as_str().into())),
            ("says", Some(self.says.as_str().into())),
            ("house", text(&self.house)),
            ("sanction", text(&self.sanction)),
            ("confirmed", Some(self.confirmed.name().into())),
            ("readBy", read.map(|(by, _)| by.as_str().into())),
            ("readOn", read.map(|(_, on)| (*on).into())),
        ])
    }
}

/// Time left to those already there when a window opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grace {
    /// `None`: for everybody.
    pub when: Option<Expr>,
    /// First day on which the grace is over.
    pub until: Date,
    pub source: String,
}

/// Days on which a rule is in force: half-open, local to `tz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// `None`: for everybody.
    pub when: Option<Expr>,
    pub from: Date,
    /// First day out of force.
    pub until: Option<Date>,
    /// The zone whose days are meant; the as-of date is a day of that zone.
    pub tz: Option<String>,
    pub source: String,
    pub grace: Vec<Grace>,
}

/// How an interval must have been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntervalNeed {
    pub method: String,
    pub level: Option<Decimal>,
    pub sides: u64,
}

/// What a fact must bring to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub metric: &'static Metric,
    pub min_n: Option<u64>,
    pub max_age_days: Option<u64>,
    pub min_provenance: Option<Provenance>,
    pub interval: Option<IntervalNeed>,
    /// An optional fact that fails its needs is missing, and does not by itself leave the rule undecided.
    pub is_optional: bool,
}

/// A fact that a card names, and what it reads of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) metric: &'static Metric,
    /// The fields that any condition reads, in order of first use; empty where the fact is needed and not read.
    pub(crate) fields: Vec<&'static str>,
    /// Those of `applies` alone.
    pub(crate) of_applies: Vec<&'static str>,
    /// Place among the needs.
    pub(crate) need: Option<usize>,
}

/// A control of another framework that this rule speaks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    To(String),
    /// Looked at, and no mapping.
    None(String),
}

/// One case a card brings to show what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardTest {
    pub as_of: Date,
    pub system: System,
    pub(crate) given: Vec<Fact>,
    pub expect: Outcome,
    /// The code of the reason.
    pub because: Option<String>,
    /// Where it stands in the file, from 1.
    pub line: usize,
}

/// One rule, typed and compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    pub file: String,
    /// Digest of the file's text.
    pub digest: Digest,
    pub id: String,
    pub version: Version,
    pub kind: CardKind,
    pub title: String,
    pub severity: Severity,
    pub owner: String,
    /// One sentence that names what to run.
    pub remedy: String,
    /// The stages at which the rule must hold when it is enforced.
    pub gates: Vec<Stage>,
    pub applies: Expr,
    pub pass_when: Expr,
    pub fail_when: Expr,
    /// A Rego file instead of the two conditions, which then never hold.
    pub check: Option<Check>,
    pub cites: Vec<Cite>,
    pub windows: Vec<Window>,
    pub needs: Vec<Need>,
    pub maps: Vec<Mapping>,
    pub tests: Vec<CardTest>,
    /// Every path of every expression, once: looked up once a decision, by slot.
    pub(crate) leaves: Vec<Leaf>,
    /// Every fact that the card names, once: looked up once a decision. Sorted by id.
    pub(crate) readings: Vec<Reading>,
    /// By slot: the place of the fact among the readings.
    pub(crate) read_at: Vec<Option<usize>>,
    /// Lines, from 1, of `applies`, `pass_when`, `fail_when`; 1 for a condition that is not written.
    pub(crate) lines: [usize; 3],
    pub(crate) text: String,
}

/// A condition of a card by its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    Applies,
    PassWhen,
    FailWhen,
}

impl Condition {
    pub const ALL: [Self; 3] = [Self::Applies, Self::PassWhen, Self::FailWhen];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applies => "applies",
            Self::PassWhen => "pass_when",
            Self::FailWhen => "fail_when",
        }
    }
}

impl Reading {
    const fn new(metric: &'static Metric, need: Option<usize>) -> Self {
        Self { metric, fields: Vec::new(), of_applies: Vec::new(), need }
    }
}

impl Card {
    #[must_use]
    pub const fn condition(&self, condition: Condition) -> &Expr {
        match condition {
            Condition::Applies => &self.applies,
            Condition::PassWhen => &self.pass_when,
            Condition::FailWhen => &self.fail_when,
        }
    }

    /// Gives each path its slot.
    pub(crate) fn with_slots(mut self) -> Self {
        let Self { applies, pass_when, fail_when, windows, leaves, .. } = &mut self;
        let dated = windows.iter_mut().flat_map(|window| {
            window.when.iter_mut().chain(window.grace.iter_mut().filter_map(|grace| grace.when.as_mut()))
        });
        for leaf in [applies, pass_when, fail_when].into_iter().chain(dated).flat_map(Expr::leaves_mut) {
            leaf.slot = leaves.iter().position(|known| known.path == leaf.path).unwrap_or(leaves.len());
            if leaf.slot == leaves.len() {
                leaves.push(leaf.clone());
            }
        }
        self.with_readings()
    }

    /// Finds out once what is looked up at every decision.
    fn with_readings(mut self) -> Self {
        let needed = self.needs.iter().enumerate().map(|(at, need)| (need.metric, Some(at)));
        let mut readings: Vec<Reading> = needed.map(|(metric, need)| Reading::new(metric, need)).collect();
        for condition in Condition::ALL {
            for leaf in self.condition(condition).leaves() {
                let Source::Fact(metric, field) = leaf.source else { continue };
                let at = readings.iter().position(|known| known.metric.id == metric.id).unwrap_or_else(|| {
                    readings.push(Reading::new(metric, None));
                    readings.len() - 1
                });
                let reading = &mut readings[at];
                if !reading.fields.contains(&field) {
                    reading.fields.push(field);
                }
                if condition == Condition::Applies && !reading.of_applies.contains(&field) {
                    reading.of_applies.push(field);
                }
            }
        }
        readings.sort_by_key(|reading| reading.metric.id);
        let place = |leaf: &Leaf| match leaf.source {
            Source::Fact(metric, _) => readings.iter().position(|reading| reading.metric.id == metric.id),
            _ => None,
        };
        self.read_at = self.leaves.iter().map(place).collect();
        self.readings = readings;
        self
    }

    pub(crate) const fn condition_mut(&mut self, condition: Condition) -> &mut Expr {
        match condition {
            Condition::Applies => &mut self.applies,
            Condition::PassWhen => &mut self.pass_when,
            Condition::FailWhen => &mut self.fail_when,
        }
    }

    /// What a reader needs to know of the rule, without its conditions and tests. Every verdict begins with these members.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([
            ("rule", Some(self.id.as_str().into())),
            ("version", Some(self.version.to_string().into())),
            ("card", Some(self.digest.into())),
            ("title", Some(self.title.as_str().into())),
            ("kind", Some(self.kind.name().into())),
            ("severity", Some(self.severity.name().into())),
            ("owner", Some(self.owner.as_str().into())),
            ("remedy", Some(self.remedy.as_str().into())),
            ("gates", Some(Json::list(self.gates.iter().map(|stage| stage.name())))),
            ("confirmed", Some(self.confirmed().name().into())),
            ("cite", Some(Json::List(self.cites.iter().map(Cite::to_json).collect()))),
        ])
    }

    /// The weakest mark among the card's cites.
    #[must_use]
    pub fn confirmed(&self) -> Confirmed {
        self.cites.iter().map(|cite| cite.confirmed).min().unwrap_or(Confirmed::No)
    }

    pub(crate) fn need(&self, id: &str) -> Option<&Need> {
        self.needs.iter().find(|need| need.metric.id == id)
    }

    /// The text of the card as it was compiled.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}
