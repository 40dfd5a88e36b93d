//! One shape for every check of a dossier.

use evidence::Json;

/// What a check found. "Could not tell" is not "false", and neither is "true".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Holds,
    Fails,
    Unknown,
}

/// One thing that was checked; a reason that does not hold names the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub outcome: Outcome,
    pub reason: String,
}

/// At most this many findings are spelt out in one reason.
const FINDINGS_SHOWN: usize = 8;

impl Check {
    #[must_use]
    pub fn holds(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), outcome: Outcome::Holds, reason: reason.into() }
    }

    #[must_use]
    pub fn fails(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), outcome: Outcome::Fails, reason: reason.into() }
    }

    /// The reason is written after `could not tell: `.
    #[must_use]
    pub fn unknown(name: impl Into<String>, reason: impl AsRef<str>) -> Self {
        let reason = format!("could not tell: {}", reason.as_ref());
        Self { name: name.into(), outcome: Outcome::Unknown, reason }
    }

    /// False with what was found false, else unknown with what could not be told, else true with `good`.
    #[must_use]
    pub fn of(name: &str, false_: &[String], unknown: &[String], good: impl Into<String>) -> Self {
        match (false_, unknown) {
            ([], []) => Self::holds(name, good),
            ([], unknown) => Self::unknown(name, joined(unknown)),
            (false_, _) => Self::fails(name, joined(false_)),
        }
    }

    #[must_use]
    pub const fn ok(&self) -> bool {
        matches!(self.outcome, Outcome::Holds)
    }

    /// `{"name", "ok", "reason"}`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([
            ("name", Some(self.name.as_str().into())),
            ("ok", Some(self.ok().into())),
            ("reason", Some(self.reason.as_str().into())),
        ])
    }
}

fn joined(findings: &[String]) -> String {
    let mut text = findings.iter().take(FINDINGS_SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    if findings.len() > FINDINGS_SHOWN {
        text.push_str(&format!("; and {} more", findings.len() - FINDINGS_SHOWN));
    }
    text
}
