//! The answers of one scenario, and the ways in which they are written.

use super::table::{self, FACTS, UseFact, UseKind};
use crate::expr::{Operand, Value};
use crate::facts::System;
use crate::problem::{CARD_BYTES_MAX, CardError, nearest};
use crate::wire::{self, Entry, Reader, SENTENCE_MAX, Table};
use evidence::{Decimal, Json, metric};
use jiff::{Timestamp, civil::Date};
use std::collections::BTreeMap;
use toml::de::DeTable;
use unicode_normalization::UnicodeNormalization as _;

/// What is known of a use: at most one answer a fact. A fact without answer is open, never false.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers(BTreeMap<&'static str, Value>);

/// Why an answer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("no fact `use.{name}`{}", hint(.near))]
    Unknown { name: String, near: Option<&'static str> },
    #[error("expected {expected} for `use.{name}`, found `{found}`")]
    Value { name: &'static str, expected: String, found: String },
}

fn hint(near: &Option<&'static str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

impl Answers {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name.strip_prefix("use.").unwrap_or(name))
    }

    /// The names answered, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }

    /// Sets one answer.
    ///
    /// # Errors
    /// `AnswerError` for a name outside the table or a value that the fact does not take.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), AnswerError> {
        let fact = known(name)?;
        let found = value.to_string();
        let refused = || AnswerError::Value { name: fact.name, expected: expected(fact.kind), found };
        let value = admitted(fact.kind, value).ok_or_else(refused)?;
        self.0.insert(fact.name, value);
        Ok(())
    }

    /// Sets one answer as a person types it: `true`, `high`, `EU, US-CA`, `1e26`, `2026-08-02`; `none` is the empty list.
    ///
    /// # Errors
    /// As [`Answers::set`].
    pub fn set_text(&mut self, name: &str, text: &str) -> Result<(), AnswerError> {
        let fact = known(name)?;
        let value = parsed(fact.kind, text.trim()).and_then(|value| admitted(fact.kind, value));
        let refused =
            || AnswerError::Value { name: fact.name, expected: expected(fact.kind), found: text.trim().to_owned() };
        self.0.insert(fact.name, value.ok_or_else(refused)?);
        Ok(())
    }

    /// Takes an answer back; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name.strip_prefix("use.").unwrap_or(name)).is_some()
    }

    /// What the case says of its system under the same names: plain facts, not its legal claims.
    #[must_use]
    pub fn of_system(system: &System) -> Self {
        let mut answers = Self::new();
        for (name, value) in shared(system) {
            // A member outside the table's choices says nothing here.
            let _ = answers.set(name, value.clone());
        }
        answers
    }

    /// Adds what `other` answers and this one does not.
    pub fn fill_from(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            self.0.entry(name).or_insert_with(|| value.clone());
        }
    }

    pub(crate) fn operand(&self, name: &str) -> Operand<'_> {
        self.0.get(name).map_or(Operand::Missing, Operand::of)
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::Map(self.0.iter().map(|(name, value)| ((*name).to_owned(), value.to_json())).collect())
    }

    /// The `[use]` table that says the same, in the order of the facts.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let line = |fact: &UseFact| Some(format!("{} = {}\n", fact.name, written(self.0.get(fact.name)?)));
        std::iter::once("[use]\n".to_owned()).chain(FACTS.iter().filter_map(line)).collect()
    }

    /// Reads the `[use]` table of a file; no answers where there is none.
    ///
    /// # Errors
    /// Every problem of that table. What else stands in the file is not looked at.
    pub fn in_toml(file: &str, text: &str) -> Result<Self, Vec<CardError>> {
        let mut reader = Reader::new(file, text);
        let answers = document(&mut reader, |reader, mut table| {
            table.take("use").map(|entry| use_table(reader, entry)).unwrap_or_default()
        });
        finished(reader, answers)
    }
}

/// A scenario file: its answers, and what it says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScenarioFile {
    pub title: Option<String>,
    pub as_of: Option<Date>,
    pub answers: Answers,
}

impl ScenarioFile {
    /// Reads `title`, `as_of` and `[use]`.
    ///
    /// # Errors
    /// Every problem of the file, an unknown key among them.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<CardError>> {
        let mut reader = Reader::new(file, text);
        let read = document(&mut reader, |reader, mut table| {
            let title = reader.sentence(table.take("title"));
            let as_of = reader.date(table.take("as_of"));
            let answers = table.need(reader, "use").map(|entry| use_table(reader, entry)).unwrap_or_default();
            table.finish(reader);
            Self { title, as_of, answers }
        });
        finished(reader, read)
    }
}

/// Parses a file and hands its root table on; nothing where it is too long or no TOML.
pub(super) fn document<T>(reader: &mut Reader<'_>, read: impl FnOnce(&mut Reader<'_>, Table<'_>) -> T) -> Option<T> {
    let text = reader.text;
    if text.len() > CARD_BYTES_MAX {
        reader.error(0..0, "limit", format!("expected at most {CARD_BYTES_MAX} bytes, found {}", text.len()));
        return None;
    }
    match DeTable::parse(text) {
        Ok(document) => Some(read(reader, Table::new("", document.get_ref(), 0..0))),
        Err(error) => {
            reader.error(error.span().unwrap_or(0..0), "toml", error.message().to_owned());
            None
        }
    }
}

pub(super) fn finished<T>(mut reader: Reader<'_>, read: Option<T>) -> Result<T, Vec<CardError>> {
    match read.filter(|_| reader.errors.is_empty()) {
        Some(read) => Ok(read),
        None => {
            reader.errors.sort_by_key(|error| (error.line, error.column));
            Err(reader.errors)
        }
    }
}

fn use_table(reader: &mut Reader<'_>, entry: Entry<'_>) -> Answers {
    let mut answers = Answers::new();
    let Some(mut table) = reader.table("use", entry) else { return answers };
    for (name, span, entry) in table.rest() {
        let Some(fact) = table::find(name).filter(|fact| fact.name == name) else {
            let near = nearest(name, FACTS.iter().map(|fact| fact.name));
            let error = reader.error(span, "unknown-fact", format!("no fact `use.{name}`"));
            error.hint = Some(
                near.map_or("docs/scenario.md lists the facts".to_owned(), |near| format!("did you mean `{near}`?")),
            );
            continue;
        };
        let Some(value) = wire::value(reader, entry, fact.kind.value_type()) else { continue };
        let found = value.to_string();
        match admitted(fact.kind, value) {
            Some(value) => drop(answers.0.insert(fact.name, value)),
            None => {
                let message = format!("expected {}, found {found}", expected(fact.kind));
                reader.error(entry.span(), "field-value", message);
            }
        }
    }
    answers
}

fn known(name: &str) -> Result<&'static UseFact, AnswerError> {
    table::find(name).ok_or_else(|| {
        let name = name.strip_prefix("use.").unwrap_or(name);
        AnswerError::Unknown { name: name.to_owned(), near: nearest(name, FACTS.iter().map(|fact| fact.name)) }
    })
}

/// The value in normal form, when it is of the fact's kind and among its choices.
fn admitted(kind: UseKind, value: Value) -> Option<Value> {
    let is_choice = |text: &str| kind.choices().iter().any(|(name, _)| *name == text);
    match (kind, value) {
        (UseKind::Flag, value @ Value::Bool(_)) => Some(value),
        (UseKind::One(_), Value::Text(text)) if is_choice(&text) => Some(Value::Text(text)),
        (UseKind::Text, Value::Text(text)) if text.len() <= SENTENCE_MAX => Some(Value::Text(text.nfc().collect())),
        (UseKind::Any(choices), Value::List(items)) => {
            let texts: Vec<&str> = items.iter().map(text_of).collect::<Option<_>>()?;
            if !texts.iter().all(|text| is_choice(text)) {
                return None;
            }
            // Each once, in the order of the table: the order of writing says nothing.
            let kept = choices.iter().filter(|(name, _)| texts.contains(name)).map(|(name, _)| Value::from(*name));
            Some(Value::List(kept.collect()))
        }
        (UseKind::Count, Value::Int(count)) if count >= 0 => Some(Value::Int(count)),
        (UseKind::Quantity, Value::Decimal(number)) if !number.is_negative() => Some(Value::Decimal(number)),
        (UseKind::Day, value @ Value::Timestamp(_)) => Some(value),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn parsed(kind: UseKind, text: &str) -> Option<Value> {
    Some(match kind {
        UseKind::Flag => Value::Bool(match text {
            "true" | "yes" | "y" => true,
            "false" | "no" | "n" => false,
            _ => return None,
        }),
        UseKind::One(_) | UseKind::Text => Value::from(text),
        UseKind::Any(_) if matches!(text, "" | "none") => Value::List(Vec::new()),
        UseKind::Any(_) => Value::List(text.split(',').map(|item| Value::from(item.trim())).collect()),
        UseKind::Count => Value::Int(text.replace('_', "").parse().ok()?),
        UseKind::Quantity => Value::Decimal(number(text)?),
        UseKind::Day => Value::Timestamp(midnight(text.parse().ok()?)?),
    })
}

fn number(text: &str) -> Option<Decimal> {
    text.replace('_', "").replace("e+", "e").replace("E+", "E").parse().ok()
}

pub(super) fn midnight(day: Date) -> Option<Timestamp> {
    jiff::tz::Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
}

/// What a fact of that kind takes, in words.
pub(super) fn expected(kind: UseKind) -> String {
    let names = |choices: &[table::Choice]| wire::one_of(&choices.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    match kind {
        UseKind::Flag => "`true` or `false`".to_owned(),
        UseKind::One(choices) => names(choices),
        UseKind::Any(choices) => format!("a list of {}", names(choices)),
        UseKind::Count => "a count such as `100000`".to_owned(),
        UseKind::Quantity => "a number that is not negative, such as `1e25`".to_owned(),
        UseKind::Day => "a date such as `2026-08-02`".to_owned(),
        UseKind::Text => "a sentence".to_owned(),
    }
}

/// A value as TOML.
fn written(value: &Value) -> String {
    match value {
        Value::Timestamp(time) => crate::facts::day_of(*time).to_string(),
        Value::Decimal(number) => {
            let text = number.to_string();
            // TOML's integers end at 64 bits; its floats are read here as written.
            if text.contains(['.', 'e', 'E']) { text } else { format!("{text}.0") }
        }
        other => other.to_string(),
    }
}

/// The members of `system` that are plain facts of the use as well, with their values.
pub(super) fn shared(system: &System) -> impl Iterator<Item = (&'static str, &Value)> {
    let names = metric::SYSTEM.iter().map(|(name, _, _)| *name).filter(|name| table::find(name).is_some());
    names.filter_map(|name| Some((name, system.get(name)?)))
}
