//! What is known of one request when it is decided: a closed table of members, each typed, some of them not there.

use crate::expr::{Fault, Operand, Type, Value};
use crate::problem::nearest;
use evidence::Json;
use unicode_normalization::UnicodeNormalization as _;

/// Where in the life of a request a rule looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Before the model sees it.
    Input,
    /// While the answer is on its way out.
    Output,
    /// When the model asks for a tool.
    Tool,
}

impl Point {
    pub const ALL: [Self; 3] = [Self::Input, Self::Output, Self::Tool];
    pub(crate) const NAMES: [&str; 3] = ["input", "output", "tool"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.name() == name)
    }
}

/// One thing that a card may ask of a request or its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    /// As a card writes it.
    pub path: &'static str,
    pub kind: Type,
    pub what: &'static str,
}

const fn member(path: &'static str, kind: Type, what: &'static str) -> Member {
    Member { path, kind, what }
}

/// Every member there is. Members of `response` are known at the points `output` and `tool` only.
pub static MEMBERS: [Member; 26] = [
    member("request.tenant", Type::TEXT, "who pays for the request"),
    member("request.model", Type::TEXT, "the model asked for"),
    member("request.scenario.name", Type::TEXT, "the registered use that the request belongs to"),
    member("request.scenario.audience", Type::TEXT, "public, business or internal"),
    member("request.scenario.companion", Type::BOOL, "whether the use is sustained emotional interaction"),
    member(
        "request.scenario.recipient_agreement",
        Type::BOOL,
        "whether an agreement moves the duty of the visible label to the user",
    ),
    member("request.stream", Type::BOOL, "whether the answer is streamed"),
    member("request.format", Type::TEXT, "what the answer must be: text or json"),
    member("request.tools", Type::TEXTS, "names of the tools offered"),
    member("request.n_tokens", Type::INT, "length of the input in tokens"),
    member("request.detected", Type::TEXTS, "classes that the detectors found in the input"),
    member("request.risk", Type::DECIMAL, "largest score that a classifier gave the input, 0 to 1"),
    member("request.at", Type::TIMESTAMP, "when it came in"),
    member("request.user.minor", Type::BOOL, "whether the user is known to be a minor"),
    member("request.user.suspended", Type::BOOL, "whether the user is suspended"),
    member("request.user.violations_in_row", Type::INT, "illegal inputs in a row up to this one, this one included"),
    member("request.user.violations_today", Type::INT, "illegal inputs of the day, this one included"),
    member("request.session.turn", Type::INT, "1 for the first turn of a session"),
    member("request.session.disclosed", Type::BOOL, "whether the user was told in this session that it is an AI"),
    member(
        "request.session.in_use",
        Type::DURATION,
        "continuous use since the session began or the user was last reminded",
    ),
    member("response.kind", Type::TEXT, "text, image, audio, video, file or tool-call"),
    member("response.detected", Type::TEXTS, "classes that the detectors found in the answer so far"),
    member("response.risk", Type::DECIMAL, "largest score that a classifier gave the answer, 0 to 1"),
    member("response.n_tokens", Type::INT, "length of the answer in tokens so far"),
    member("response.tool", Type::TEXT, "the tool that the model asks for"),
    member(
        "response.public_interest",
        Type::BOOL,
        "whether the text is published to inform the public on matters of public interest",
    ),
];

/// Position of a member in `MEMBERS`.
pub(crate) type MemberId = usize;

pub(crate) fn find(path: &str) -> Option<MemberId> {
    MEMBERS.iter().position(|member| member.path == path)
}

pub(crate) fn nearest_member(path: &str) -> Option<&'static str> {
    nearest(path, MEMBERS.iter().map(|member| member.path))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    Missing,
    /// Whatever should have found it out has failed.
    Failed,
    There(Value),
}

/// One request as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    point: Point,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("unknown member `{0}` of a request")]
    Unknown(String),
    #[error("expected {expected} for `{path}`, found {found}")]
    Type { path: &'static str, expected: Type, found: Type },
}

impl Request {
    /// A request of which nothing is known yet.
    #[must_use]
    pub fn new(point: Point) -> Self {
        Self { point, slots: vec![Slot::Missing; MEMBERS.len()] }
    }

    #[must_use]
    pub const fn point(&self) -> Point {
        self.point
    }

    /// The same request, seen further on.
    #[must_use]
    pub fn at(mut self, point: Point) -> Self {
        self.point = point;
        self
    }

    /// Says one member; texts are brought into NFC.
    ///
    /// # Errors
    /// `RequestError` for a path that is not in `MEMBERS`, or a value of another type.
    pub fn set(&mut self, path: &str, value: Value) -> Result<(), RequestError> {
        let id = find(path).ok_or_else(|| RequestError::Unknown(path.to_owned()))?;
        let Member { path, kind: expected, .. } = MEMBERS[id];
        let is_empty_list =
            matches!(&value, Value::List(items) if items.is_empty()) && matches!(expected, Type::List(_));
        if value.kind() != expected && !is_empty_list {
            return Err(RequestError::Type { path, expected, found: value.kind() });
        }
        self.slots[id] = Slot::There(normal(value));
        Ok(())
    }

    /// Says that a member could not be found out: a detector that failed.
    ///
    /// # Errors
    /// `RequestError` for a path that is not in `MEMBERS`.
    pub fn fail(&mut self, path: &str) -> Result<(), RequestError> {
        let id = find(path).ok_or_else(|| RequestError::Unknown(path.to_owned()))?;
        self.slots[id] = Slot::Failed;
        Ok(())
    }

    pub(crate) fn operand(&self, id: MemberId) -> Operand<'_> {
        match &self.slots[id] {
            Slot::Missing => Operand::Missing,
            Slot::Failed => Operand::Error(Fault::Invalid("it could not be found out")),
            Slot::There(value) => Operand::of(value),
        }
    }

    pub(crate) fn slot(&self, id: MemberId) -> &Slot {
        &self.slots[id]
    }

    /// What is known, by path. A member that failed says so.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let shown = |slot: &Slot| match slot {
            Slot::Missing => None,
            Slot::Failed => Some("error".into()),
            Slot::There(value) => Some(value.to_json()),
        };
        let members = MEMBERS.iter().zip(&self.slots);
        Json::Map(members.filter_map(|(member, slot)| Some((member.path.to_owned(), shown(slot)?))).collect())
    }
}

fn normal(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(if text.is_ascii() { text } else { text.nfc().collect() }),
        Value::List(items) => Value::List(items.into_iter().map(normal).collect()),
        other => other,
    }
}
