//! What is known when rules are decided: the system as its case declares it, and one fact an id.

use crate::expr::{self, Fault, Operand, Type, Value};
use evidence::{Declaration, Declared, Digest, Json, Kind, Measurement, Metric, Provenance, SystemKind, Unit, metric};
use jiff::{Timestamp, civil::Date};
use std::collections::BTreeMap;
use unicode_normalization::UnicodeNormalization as _;

/// What a case says of its system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct System(BTreeMap<&'static str, Value>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SystemError {
    #[error("unknown system member `{0}`")]
    Unknown(String),
    #[error("expected {expected} for `system.{name}`, found {found}")]
    Type { name: &'static str, expected: Type, found: String },
}

impl System {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one member; texts are brought into NFC.
    ///
    /// # Errors
    /// `SystemError` for a name that is not in `metric::SYSTEM`, or a value of another type.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), SystemError> {
        let (name, expected) = system_member(name).ok_or_else(|| SystemError::Unknown(name.to_owned()))?;
        let is_empty_list = matches!(&value, Value::List(items) if items.is_empty());
        let is_list = matches!(expected, Type::List(_));
        if value.kind() != expected && !(is_list && is_empty_list) {
            return Err(SystemError::Type { name, expected, found: value.kind().to_string() });
        }
        self.0.insert(name, normal(value));
        Ok(())
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Takes back what was said.
    pub fn unset(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(crate) fn operand(&self, name: &str) -> Operand<'_> {
        self.get(name).map_or(Operand::Missing, Operand::of)
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::Map(self.0.iter().map(|(name, value)| ((*name).to_owned(), value.to_json())).collect())
    }

    /// # Errors
    /// `SystemError` for an unknown member or a value that does not read as its type.
    pub fn from_json(json: &Json) -> Result<Self, SystemError> {
        let mut system = Self::new();
        for (name, value) in json.members().into_iter().flatten() {
            let (name, expected) = system_member(name).ok_or_else(|| SystemError::Unknown(name.clone()))?;
            let found = || SystemError::Type { name, expected, found: value.canonical() };
            system.set(name, system_value(expected, value).ok_or_else(found)?)?;
        }
        Ok(system)
    }
}

/// The id of the catalogue that a misspelt one is likely to mean.
#[must_use]
pub fn nearest_fact(id: &str) -> Option<&'static str> {
    crate::problem::nearest(id, metric::CATALOGUE.iter().map(|metric| metric.id))
}

pub(crate) fn system_member(name: &str) -> Option<(&'static str, Type)> {
    let (name, kind, _) = metric::SYSTEM.iter().find(|(known, _, _)| *known == name)?;
    let kind = match kind {
        SystemKind::Text => Type::TEXT,
        SystemKind::List => Type::TEXTS,
        SystemKind::Flag => Type::BOOL,
        SystemKind::Moment => Type::TIMESTAMP,
        SystemKind::Decimal => Type::DECIMAL,
    };
    Some((name, kind))
}

fn system_value(expected: Type, json: &Json) -> Option<Value> {
    Some(match expected {
        Type::BOOL => Value::Bool(json.as_bool()?),
        Type::TEXT => Value::Text(json.as_text()?.to_owned()),
        Type::TIMESTAMP => Value::Timestamp(json.as_text()?.parse().ok()?),
        Type::DECIMAL => Value::Decimal(json.as_decimal()?),
        Type::TEXTS => {
            let Json::List(items) = json else { return None };
            Value::List(items.iter().map(|item| item.as_text().map(Value::from)).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn normal(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(text.nfc().collect()),
        Value::List(items) => Value::List(items.into_iter().map(normal).collect()),
        other => other,
    }
}

/// The fields of a fact of that kind, with their types.
#[must_use]
pub const fn fields(kind: Kind) -> &'static [(&'static str, Type)] {
    match kind {
        Kind::Count => &[("value", Type::INT)],
        Kind::Quantity => &[("value", Type::DECIMAL), ("lower", Type::DECIMAL), ("upper", Type::DECIMAL)],
        Kind::Proportion => &[
            ("k", Type::INT),
            ("n", Type::INT),
            ("value", Type::DECIMAL),
            ("lower95", Type::DECIMAL),
            ("upper95", Type::DECIMAL),
        ],
        Kind::Flag => &[("value", Type::BOOL)],
        Kind::Text => &[("value", Type::TEXT)],
        Kind::List => &[("value", Type::TEXTS)],
        Kind::Moment => &[("value", Type::TIMESTAMP)],
        Kind::Span => &[("value", Type::DURATION)],
        Kind::Document => &[("present", Type::BOOL), ("digest", Type::TEXT), ("owner", Type::TEXT)],
    }
}

pub(crate) type Held = Result<Value, Fault>;

/// One fact with the circumstances that needs ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub(crate) metric: &'static Metric,
    /// Digest of the envelope or file that the fact comes from.
    pub(crate) source: Digest,
    /// The artefact or the system that it is about.
    pub(crate) subject: Option<Digest>,
    pub(crate) provenance: Provenance,
    pub(crate) at: Timestamp,
    /// First day on which a declaration is void; `None` for a measurement.
    pub(crate) expires: Option<Date>,
    pub(crate) is_declared: bool,
    pub(crate) n: Option<u64>,
    pub(crate) interval_method: Option<String>,
    pub(crate) interval_level: Option<evidence::Decimal>,
    pub(crate) fields: Vec<(&'static str, Held)>,
}

impl Fact {
    pub(crate) fn operand(&self, field: &str) -> Operand<'_> {
        match self.fields.iter().find(|(name, _)| *name == field) {
            None => Operand::Missing,
            Some((_, Err(fault))) => Operand::Error(*fault),
            Some((_, Ok(value))) => Operand::of(value),
        }
    }

    fn of_measurement(measurement: &Measurement, source: Digest) -> Self {
        let interval = measurement.interval.as_ref();
        Self {
            metric: measurement.metric,
            source,
            subject: Some(measurement.subject.digest),
            provenance: measurement.provenance,
            at: measurement.at,
            expires: None,
            is_declared: false,
            n: measurement.n,
            interval_method: interval.map(|interval| interval.method.clone()),
            interval_level: interval.and_then(|interval| interval.level),
            fields: measured_fields(measurement),
        }
    }

    fn of_declaration(declaration: &Declaration, source: Digest) -> Self {
        Self {
            metric: declaration.metric,
            source,
            subject: Some(declaration.subject.digest),
            provenance: Provenance::Declared,
            at: declaration.at,
            expires: Some(declaration.expires),
            is_declared: true,
            n: None,
            interval_method: None,
            interval_level: None,
            fields: declared_fields(declaration),
        }
    }
}

fn measured_fields(measurement: &Measurement) -> Vec<(&'static str, Held)> {
    let value = measurement.value;
    let mut fields: Vec<(&'static str, Held)> = Vec::new();
    match measurement.metric.kind {
        Kind::Count => {
            let count = value.to_i64().filter(|count| *count >= 0);
            fields.push(("value", count.map(Value::Int).ok_or(Fault::Invalid("expected a count"))));
        }
        Kind::Quantity => {
            fields.push(("value", Ok(Value::Decimal(value))));
            if let Some(interval) = &measurement.interval {
                let is_ordered = interval.lower <= value && value <= interval.upper;
                let bound =
                    |bound| is_ordered.then_some(Value::Decimal(bound)).ok_or(Fault::Invalid("bounds reversed"));
                fields.push(("lower", bound(interval.lower)));
                fields.push(("upper", bound(interval.upper)));
            }
        }
        Kind::Proportion => proportion_fields(measurement, &mut fields),
        Kind::Span if measurement.unit() == Unit::Second => {
            let span = expr::parse_duration(&format!("{value}s"));
            fields.push(("value", span.map(Value::Duration).ok_or(Fault::Invalid("expected whole nanoseconds"))));
        }
        _ => fields.push((fields_first(measurement.metric), Err(Fault::Invalid("declared, not measured")))),
    }
    fields
}

fn fields_first(metric: &Metric) -> &'static str {
    fields(metric.kind)[0].0
}

fn proportion_fields(measurement: &Measurement, fields: &mut Vec<(&'static str, Held)>) {
    let (value, one) = (measurement.value, evidence::Decimal::ONE);
    let is_count = match (measurement.k, measurement.n) {
        (Some(k), Some(n)) => k <= n,
        _ => true,
    };
    let count = |count: u64| match i64::try_from(count) {
        Ok(count) if is_count => Ok(Value::Int(count)),
        _ => Err(Fault::Invalid("expected k ≤ n")),
    };
    fields.extend(measurement.k.map(|k| ("k", count(k))));
    fields.extend(measurement.n.map(|n| ("n", count(n))));
    let is_share = !value.is_negative() && value <= one;
    fields.push(("value", is_share.then_some(Value::Decimal(value)).ok_or(Fault::Invalid("expected a share of one"))));
    let level_95 = evidence::Decimal::new(95, -2);
    if let Some(interval) = measurement.interval.as_ref().filter(|interval| interval.level == level_95) {
        let is_ordered = interval.lower <= value && value <= interval.upper;
        let bound = |bound| is_ordered.then_some(Value::Decimal(bound)).ok_or(Fault::Invalid("bounds reversed"));
        fields.push(("lower95", bound(interval.lower)));
        fields.push(("upper95", bound(interval.upper)));
    }
}

fn declared_fields(declaration: &Declaration) -> Vec<(&'static str, Held)> {
    let text = |text: &str| Ok(Value::Text(text.nfc().collect()));
    match (declaration.metric.kind, &declaration.declared) {
        (Kind::Flag, Declared::Flag(value)) => vec![("value", Ok(Value::Bool(*value)))],
        (Kind::Count, Declared::Count(value)) => vec![("value", Ok(Value::Int(*value)))],
        (Kind::Quantity | Kind::Proportion, Declared::Quantity(value)) => vec![("value", Ok(Value::Decimal(*value)))],
        (Kind::Text, Declared::Text(value)) => vec![("value", text(value))],
        (Kind::Span, Declared::Text(value)) => {
            let span = expr::parse_duration(value).map(Value::Duration);
            vec![("value", span.ok_or(Fault::Invalid("expected a duration such as `360h`")))]
        }
        (Kind::List, Declared::List(items)) => {
            let items = items.iter().map(|item| Value::Text(item.nfc().collect())).collect();
            vec![("value", Ok(Value::List(items)))]
        }
        (Kind::Moment, Declared::Moment(value)) => vec![("value", Ok(Value::Timestamp(*value)))],
        (Kind::Document, Declared::Document(document)) => vec![
            ("present", Ok(Value::Bool(true))),
            ("digest", Ok(Value::Text(document.digest.to_string()))),
            ("owner", text(&declaration.owner)),
        ],
        // A person says that there is no such document.
        (Kind::Document, Declared::Flag(false)) => {
            vec![("present", Ok(Value::Bool(false))), ("owner", text(&declaration.owner))]
        }
        _ => vec![(fields_first(declaration.metric), Err(Fault::Invalid("declared with another type")))],
    }
}

/// The evidence: at most one fact an id.
///
/// Where two speak of the same id, the stronger provenance is kept, then the newer, then the one given later. Choosing
/// the subject (which artefact is being released) is the caller's part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Sorted by id.
    held: Vec<Fact>,
    /// For each row of the catalogue the position of its fact plus one; 0 where there is none. Empty without facts.
    positions: Vec<usize>,
}

impl Facts {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a measurement that stands in the envelope `source`.
    pub fn measure(&mut self, measurement: &Measurement, source: Digest) {
        self.insert(Fact::of_measurement(measurement, source));
    }

    /// Adds a declaration that stands in the envelope `source`.
    pub fn declare(&mut self, declaration: &Declaration, source: Digest) {
        self.insert(Fact::of_declaration(declaration, source));
    }

    pub(crate) fn insert(&mut self, fact: Fact) {
        let rank = |fact: &Fact| (fact.provenance, fact.at);
        match self.position(fact.metric.id) {
            Ok(at) if rank(&self.held[at]) > rank(&fact) => {}
            Ok(at) => self.held[at] = fact,
            Err(at) => {
                self.held.insert(at, fact);
                self.place();
            }
        }
    }

    /// Takes a fact away; says whether it was there.
    pub fn remove(&mut self, id: &str) -> bool {
        let found = self.position(id);
        if let Ok(at) = found {
            self.held.remove(at);
            self.place();
        }
        found.is_ok()
    }

    fn position(&self, id: &str) -> Result<usize, usize> {
        self.held.binary_search_by(|fact| fact.metric.id.cmp(id))
    }

    fn place(&mut self) {
        self.positions.clear();
        self.positions.resize(if self.held.is_empty() { 0 } else { metric::CATALOGUE.len() }, 0);
        for (at, fact) in self.held.iter().enumerate() {
            self.positions[fact.metric.place] = at + 1;
        }
    }

    pub(crate) fn get(&self, metric: &Metric) -> Option<&Fact> {
        self.held.get(self.positions.get(metric.place)?.checked_sub(1)?)
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Fact> {
        self.held.get(self.position(id).ok()?)
    }

    /// Whether any fact held is about that artefact.
    #[must_use]
    pub fn speak_of(&self, subject: Digest) -> bool {
        self.held.iter().any(|fact| fact.subject == Some(subject))
    }

    /// The ids of the facts held, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.held.iter().map(|fact| fact.metric.id)
    }
}

/// The day, in UTC, on which an instant falls.
pub(crate) fn day_of(time: Timestamp) -> Date {
    jiff::tz::Offset::UTC.to_datetime(time).date()
}
