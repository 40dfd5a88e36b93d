//! Measurements and declarations: the two kinds of evidence, never mixed.

use crate::{Decimal, Digest, Json, Metric, Unit, metric};
use jiff::Timestamp;

/// How far a number can be trusted. Ordered: declared < inferred < measured < independently measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provenance {
    Declared,
    Inferred,
    Measured,
    Independent,
}

impl Provenance {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Inferred => "inferred",
            Self::Measured => "measured",
            Self::Independent => "independent",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Declared, Self::Inferred, Self::Measured, Self::Independent].into_iter().find(|p| p.name() == name)
    }
}

/// A thing that evidence is about, known by its digest; the name is for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    pub name: String,
    pub digest: Digest,
}

impl Subject {
    #[must_use]
    pub fn new(name: impl Into<String>, digest: Digest) -> Self {
        Self { name: name.into(), digest }
    }

    /// An in-toto `ResourceDescriptor` with `name` and `digest`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([("name", Some(self.name.as_str().into())), ("digest", Some(self.digest.into()))])
    }

    /// # Errors
    /// `EvidenceError` when a member is absent or of the wrong form.
    pub fn from_json(json: &Json) -> Result<Self, EvidenceError> {
        Ok(Self { name: text(json, "name")?.to_owned(), digest: digest(json.get("digest"))? })
    }
}

/// Where an interval comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    pub lower: Decimal,
    pub upper: Decimal,
    /// Confidence level in (0, 1); absent for bounds that are certain, such as rounding or a closed model.
    pub level: Option<Decimal>,
    /// `clopper-pearson`, `bootstrap-documents`, `range-of-folds`, `outward`, …
    pub method: String,
}

/// One number with everything that makes it evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    pub metric: &'static Metric,
    pub subject: Subject,
    pub value: Decimal,
    pub interval: Option<Interval>,
    /// Sample size.
    pub n: Option<u64>,
    /// Successes among `n`, for a proportion.
    pub k: Option<u64>,
    /// What was done, in the field's own words.
    pub method: String,
    /// The named convention that makes the number comparable, e.g. of a FLOP count.
    pub convention: Option<String>,
    /// Digests of what was measured or computed from.
    pub inputs: Vec<Digest>,
    /// Program, version and sensor.
    pub instrument: String,
    pub provenance: Provenance,
    /// End of the measurement.
    pub at: Timestamp,
}

impl Measurement {
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.metric.unit
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        let interval = self.interval.as_ref();
        Json::map([
            ("metric", Some(self.metric.id.into())),
            ("subject", Some(self.subject.to_json())),
            ("value", Some(self.value.into())),
            ("unit", Some(self.unit().symbol().into())),
            ("lower", interval.map(|i| i.lower.into())),
            ("upper", interval.map(|i| i.upper.into())),
            ("level", interval.and_then(|i| i.level).map(Json::from)),
            ("intervalMethod", interval.map(|i| i.method.as_str().into())),
            ("n", self.n.map(Json::from)),
            ("k", self.k.map(Json::from)),
            ("method", Some(self.method.as_str().into())),
            ("convention", self.convention.as_deref().map(Json::from)),
            ("inputs", Some(Json::list(self.inputs.iter().copied()))),
            ("instrument", Some(self.instrument.as_str().into())),
            ("provenance", Some(self.provenance.name().into())),
            ("at", Some(self.at.into())),
        ])
    }

    /// # Errors
    /// `EvidenceError` when a member is absent, unknown or contradicts the catalogue.
    pub fn from_json(json: &Json) -> Result<Self, EvidenceError> {
        let id = text(json, "metric")?;
        let metric = metric::find(id).ok_or_else(|| EvidenceError::UnknownMetric(id.to_owned()))?;
        let unit = text(json, "unit")?;
        if Unit::from_symbol(unit) != Some(metric.unit) {
            return Err(EvidenceError::Unit {
                metric: metric.id,
                expected: metric.unit.symbol(),
                found: unit.to_owned(),
            });
        }
        let interval = match (json.get("lower"), json.get("upper")) {
            (Some(_), Some(_)) => Some(Interval {
                lower: decimal(json, "lower")?,
                upper: decimal(json, "upper")?,
                level: json.get("level").map(|_| decimal(json, "level")).transpose()?,
                method: text(json, "intervalMethod")?.to_owned(),
            }),
            (None, None) => None,
            (None, _) => return Err(EvidenceError::Member("lower")),
            (_, None) => return Err(EvidenceError::Member("upper")),
        };
        Ok(Self {
            metric,
            subject: Subject::from_json(json.get("subject").ok_or(EvidenceError::Member("subject"))?)?,
            value: decimal(json, "value")?,
            interval,
            n: optional_count(json, "n")?,
            k: optional_count(json, "k")?,
            method: text(json, "method")?.to_owned(),
            convention: json.get("convention").and_then(Json::as_text).map(str::to_owned),
            inputs: json
                .get("inputs")
                .map_or(&[][..], Json::items)
                .iter()
                .map(|item| digest(Some(item)))
                .collect::<Result<_, _>>()?,
            instrument: text(json, "instrument")?.to_owned(),
            provenance: provenance(json)?,
            at: timestamp(json, "at")?,
        })
    }
}

/// What a person says, where no instrument can measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    Flag(bool),
    Count(i64),
    Quantity(Decimal),
    Text(String),
    List(Vec<String>),
    Moment(Timestamp),
    /// The fact is that this document exists, with this digest. That there is none is declared by `Flag(false)`.
    Document(Subject),
}

/// A statement of a named person or role, with an expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    pub metric: &'static Metric,
    pub subject: Subject,
    pub declared: Declared,
    /// Role or person answerable.
    pub owner: String,
    pub at: Timestamp,
    /// From this day on the declaration is void.
    pub expires: jiff::civil::Date,
}

impl Declaration {
    #[must_use]
    pub fn to_json(&self) -> Json {
        let value = match &self.declared {
            Declared::Flag(value) => (*value).into(),
            Declared::Count(value) => (*value).into(),
            Declared::Quantity(value) => (*value).into(),
            Declared::Text(value) => value.as_str().into(),
            Declared::List(values) => Json::list(values.iter().map(String::as_str)),
            Declared::Moment(value) => (*value).into(),
            Declared::Document(document) => document.to_json(),
        };
        Json::map([
            ("fact", Some(self.metric.id.into())),
            ("subject", Some(self.subject.to_json())),
            ("value", Some(value)),
            ("unit", Some(self.metric.unit.symbol().into())),
            ("owner", Some(self.owner.as_str().into())),
            ("provenance", Some(Provenance::Declared.name().into())),
            ("at", Some(self.at.into())),
            ("expires", Some(self.expires.into())),
        ])
    }

    /// # Errors
    /// `EvidenceError` when a member is absent, unknown or contradicts the catalogue.
    pub fn from_json(json: &Json) -> Result<Self, EvidenceError> {
        let id = text(json, "fact")?;
        let metric = metric::find(id).ok_or_else(|| EvidenceError::UnknownMetric(id.to_owned()))?;
        let value = json.get("value").ok_or(EvidenceError::Member("value"))?;
        let declared = declared(metric, value).ok_or(EvidenceError::Member("value"))?;
        let expires = text(json, "expires")?.parse().map_err(|_| EvidenceError::Member("expires"))?;
        Ok(Self {
            metric,
            subject: Subject::from_json(json.get("subject").ok_or(EvidenceError::Member("subject"))?)?,
            declared,
            owner: text(json, "owner")?.to_owned(),
            at: timestamp(json, "at")?,
            expires,
        })
    }
}

fn declared(metric: &Metric, value: &Json) -> Option<Declared> {
    use crate::Kind;
    Some(match metric.kind {
        Kind::Flag => Declared::Flag(value.as_bool()?),
        Kind::Count => Declared::Count(value.as_int()?),
        Kind::Quantity | Kind::Proportion => Declared::Quantity(value.as_decimal()?),
        Kind::Text | Kind::Span => Declared::Text(value.as_text()?.to_owned()),
        Kind::List => {
            Declared::List(value.items().iter().map(|item| item.as_text().map(str::to_owned)).collect::<Option<_>>()?)
        }
        Kind::Moment => Declared::Moment(value.as_text()?.parse().ok()?),
        Kind::Document if value.as_bool() == Some(false) => Declared::Flag(false),
        Kind::Document => Declared::Document(Subject::from_json(value).ok()?),
    })
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    #[error("no metric `{0}` in the catalogue")]
    UnknownMetric(String),
    #[error("expected the unit `{expected}` for `{metric}`, found `{found}`")]
    Unit { metric: &'static str, expected: &'static str, found: String },
    #[error("the member `{0}` is absent or malformed")]
    Member(&'static str),
}

fn text<'a>(json: &'a Json, key: &'static str) -> Result<&'a str, EvidenceError> {
    json.get(key).and_then(Json::as_text).ok_or(EvidenceError::Member(key))
}

fn decimal(json: &Json, key: &'static str) -> Result<Decimal, EvidenceError> {
    json.get(key).and_then(Json::as_decimal).ok_or(EvidenceError::Member(key))
}

fn optional_count(json: &Json, key: &'static str) -> Result<Option<u64>, EvidenceError> {
    let read = |value: &Json| match value {
        Json::Int(value) => u64::try_from(*value).ok(),
        Json::Text(text) => text.parse().ok(),
        _ => None,
    };
    json.get(key).map(|value| read(value).ok_or(EvidenceError::Member(key))).transpose()
}

fn digest(json: Option<&Json>) -> Result<Digest, EvidenceError> {
    let hex = json.and_then(|set| set.get("sha256")).and_then(Json::as_text);
    hex.and_then(|hex| hex.parse().ok()).ok_or(EvidenceError::Member("digest"))
}

fn provenance(json: &Json) -> Result<Provenance, EvidenceError> {
    Provenance::from_name(text(json, "provenance")?).ok_or(EvidenceError::Member("provenance"))
}

fn timestamp(json: &Json, key: &'static str) -> Result<Timestamp, EvidenceError> {
    text(json, key)?.parse().map_err(|_| EvidenceError::Member(key))
}
