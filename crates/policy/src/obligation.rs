//! What a rule may ask of the gateway: a closed list of verbs, each with what it does to the request.

use crate::problem::nearest;
use std::fmt;

/// What becomes of a request. Block beats hold beats redact beats allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestEffect {
    Allow,
    Redact,
    /// Kept back until a person has looked.
    Hold,
    Block,
}

impl RequestEffect {
    pub(crate) const NAMES: [&str; 4] = ["allow", "redact", "hold", "block"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What stands after the colon of an obligation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    Nothing,
    /// A template, a class or a reason by name; whether it must be there.
    Name(bool),
    /// Whole days: `184d`.
    Days,
}

/// Verb, argument, effect.
const VERBS: [(&str, Argument, RequestEffect); 11] = [
    ("block", Argument::Name(false), RequestEffect::Block),
    ("hold", Argument::Name(false), RequestEffect::Hold),
    ("redact", Argument::Name(true), RequestEffect::Redact),
    ("label.visible", Argument::Name(true), RequestEffect::Allow),
    ("label.embedded", Argument::Name(true), RequestEffect::Allow),
    ("label.machine-readable", Argument::Name(true), RequestEffect::Allow),
    ("notice", Argument::Name(true), RequestEffect::Allow),
    ("log.class", Argument::Name(true), RequestEffect::Allow),
    ("log.recipient", Argument::Days, RequestEffect::Allow),
    ("review", Argument::Name(true), RequestEffect::Allow),
    ("suspend.user", Argument::Nothing, RequestEffect::Allow),
];

/// Every obligation as a regular expression, for the schema of cards.
pub(crate) fn pattern() -> String {
    let form = |(verb, argument, _): &(&str, Argument, RequestEffect)| {
        let verb = verb.replace('.', r"\.");
        match argument {
            Argument::Nothing => verb,
            Argument::Name(true) => format!("{verb}:[a-z0-9-]+"),
            Argument::Name(false) => format!("{verb}(:[a-z0-9-]+)?"),
            Argument::Days => format!(r"{verb}:[1-9]\d{{0,4}}d"),
        }
    };
    format!("^({})$", VERBS.iter().map(form).collect::<Vec<_>>().join("|"))
}

/// One thing to be done with a request, such as `label.visible:cn-text`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obligation {
    text: String,
    effect: RequestEffect,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObligationError {
    #[error("unknown obligation `{found}`")]
    Verb { found: String, near: Option<&'static str> },
    #[error("expected {expected}, found `{found}`")]
    Argument { expected: String, found: String },
}

impl Obligation {
    /// Reads `verb` or `verb:argument`.
    ///
    /// # Errors
    /// `ObligationError` for an unknown verb, or an argument that is missing, superfluous or of another form.
    pub fn parse(text: &str) -> Result<Self, ObligationError> {
        let (verb, argument) = match text.split_once(':') {
            Some((verb, argument)) => (verb, Some(argument)),
            None => (text, None),
        };
        let Some((verb, form, effect)) = VERBS.iter().find(|(known, _, _)| *known == verb) else {
            let near = nearest(verb, VERBS.iter().map(|(known, _, _)| *known));
            return Err(ObligationError::Verb { found: verb.to_owned(), near });
        };
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_plain);
        let is_days = |days: &str| {
            let digits = days.strip_suffix('d').unwrap_or_default();
            !digits.is_empty()
                && digits.len() <= 5
                && !digits.starts_with('0')
                && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let (is_right, expected) = match (form, argument) {
            (Argument::Nothing, argument) => (argument.is_none(), format!("`{verb}` alone")),
            (Argument::Name(is_needed), None) => (!is_needed, format!("`{verb}:NAME`")),
            (Argument::Name(_), Some(name)) => {
                (is_name(name), format!("`{verb}:NAME` of the letters a-z, digits and `-`"))
            }
            (Argument::Days, argument) => {
                (argument.is_some_and(is_days), format!("`{verb}:DAYSd`, such as `{verb}:184d`"))
            }
        };
        if !is_right {
            return Err(ObligationError::Argument { expected, found: text.to_owned() });
        }
        Ok(Self { text: text.to_owned(), effect: *effect })
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub const fn effect(&self) -> RequestEffect {
        self.effect
    }

    /// What stands before the colon.
    #[must_use]
    pub fn verb(&self) -> &str {
        self.text.split(':').next().unwrap_or_default()
    }

    /// What stands after the colon.
    #[must_use]
    pub fn argument(&self) -> Option<&str> {
        self.text.split_once(':').map(|(_, argument)| argument)
    }
}

impl fmt::Display for Obligation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
