//! A `config.json` of any family, read member by member.

use crate::ConfigError;
use serde_json::Value;

/// Members of a hub configuration, with the limits that keep shapes derived from them from overflowing.
#[derive(Debug, Clone, PartialEq)]
pub struct HubConfig {
    document: Value,
}

impl HubConfig {
    /// # Errors
    /// `Json` with line and column.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let document: Value = serde_json::from_str(text).map_err(|error| {
            let cause = error.to_string();
            let cause = cause.split(" at line ").next().unwrap_or_default().to_owned();
            ConfigError::Json { line: error.line(), column: error.column(), cause }
        })?;
        if document.is_object() {
            Ok(Self { document })
        } else {
            let found = document.to_string().chars().take(40).collect();
            Err(ConfigError::Member { member: "model_type", expected: "a member of an object".to_owned(), found })
        }
    }

    pub(crate) const fn of(document: Value) -> Self {
        Self { document }
    }

    /// The document, as it is written into a folder.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{:#}\n", self.document)
    }

    /// The same with one member set.
    #[must_use]
    pub fn with(&self, member: &str, value: Value) -> Self {
        let mut document = self.document.clone();
        if let Some(members) = document.as_object_mut() {
            members.insert(member.to_owned(), value);
        }
        Self { document }
    }

    /// A member, unless it is absent or null.
    #[must_use]
    pub fn get(&self, member: &str) -> Option<&Value> {
        self.document.get(member).filter(|value| !value.is_null())
    }

    /// A whole number from 1 to `max`.
    pub(crate) fn count(&self, member: &'static str, max: usize) -> Result<usize, ConfigError> {
        let value = self.get(member).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok());
        match value {
            Some(found) if found == 0 || found > max => Err(ConfigError::Limit { member, max, found }),
            Some(value) => Ok(value),
            None => Err(self.unexpected(member, "a whole number")),
        }
    }

    pub(crate) fn count_or(&self, member: &'static str, max: usize, absent: usize) -> Result<usize, ConfigError> {
        if self.get(member).is_some() { self.count(member, max) } else { Ok(absent) }
    }

    /// A finite number above 0.
    pub(crate) fn positive(&self, member: &'static str) -> Result<f64, ConfigError> {
        let value = self.get(member).and_then(Value::as_f64).ok_or_else(|| self.unexpected(member, "a number"))?;
        positive(member, value)
    }

    pub(crate) fn positive_or(&self, member: &'static str, absent: f64) -> Result<f64, ConfigError> {
        if self.get(member).is_some() { self.positive(member) } else { Ok(absent) }
    }

    pub(crate) fn flag_or(&self, member: &'static str, absent: bool) -> Result<bool, ConfigError> {
        match self.get(member) {
            None => Ok(absent),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.unexpected(member, "true or false")),
        }
    }

    pub(crate) fn text(&self, member: &'static str) -> Result<&str, ConfigError> {
        self.get(member).and_then(Value::as_str).ok_or_else(|| self.unexpected(member, "text"))
    }

    pub(crate) fn unexpected(&self, member: &'static str, expected: &str) -> ConfigError {
        let found = self.get(member).map_or_else(|| "nothing".to_owned(), |value| format!("`{}`", short(value)));
        ConfigError::Member { member, expected: expected.to_owned(), found }
    }
}

/// A value as an error shows it.
pub(super) fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 80 { format!("{}…", text.chars().take(80).collect::<String>()) } else { text }
}

pub(crate) fn positive(member: &'static str, value: f64) -> Result<f64, ConfigError> {
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(ConfigError::NotPositive { member, found: value.to_string() })
    }
}
