//! Waivers: a rule left unmet on purpose, by two people, for at most a year. Signatures on them are checked elsewhere.

use crate::card::{Card, Version};
use crate::facts::{Facts, System};
use evidence::{Digest, Json};
use jiff::civil::Date;
use unicode_normalization::UnicodeNormalization as _;

/// Days from grant to expiry, at most.
const DAYS_MAX: i32 = 365;

/// One waiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    pub rule: String,
    /// First version of the rule it speaks of.
    pub from_version: Version,
    /// First version of the rule it no longer speaks of.
    pub below_version: Version,
    /// The system's name.
    pub scope: String,
    /// The one artefact it speaks of; a new artefact inherits nothing. `None`: whatever the system is made of.
    pub subject: Option<Digest>,
    pub reason: String,
    /// The compensating control.
    pub compensating: String,
    pub author: String,
    /// Those whose signatures were found to be good.
    pub approvers: Vec<String>,
    pub granted: Date,
    /// First day on which it is void.
    pub expires: Date,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaiverError {
    #[error("expected two approvers who are not the author, found {0}")]
    Approvers(usize),
    #[error("expected an expiry from 1 to 365 days after {granted}, found {expires}")]
    Expiry { granted: Date, expires: Date },
    #[error("expected a version range that holds a version, found {from} to {below}")]
    Versions { from: Version, below: Version },
    #[error("expected {0}, found nothing")]
    Blank(&'static str),
    #[error("the waiver's member `{0}` is absent or malformed")]
    Member(&'static str),
}

impl Waiver {
    /// # Errors
    /// `WaiverError` when it lacks what makes a waiver one.
    pub fn check(&self) -> Result<(), WaiverError> {
        self.check_terms()?;
        let mut approvers: Vec<&str> = self.approvers.iter().map(|name| name.trim()).collect();
        approvers.retain(|name| !name.is_empty() && *name != self.author.trim());
        approvers.sort_unstable();
        approvers.dedup();
        if approvers.len() < 2 { Err(WaiverError::Approvers(approvers.len())) } else { Ok(()) }
    }

    /// What its author alone must see to: everything but the approvals.
    ///
    /// # Errors
    /// `WaiverError` for a blank, a term beyond a year, or a range that holds no version.
    pub fn check_terms(&self) -> Result<(), WaiverError> {
        let texts = [
            ("a rule", &self.rule),
            ("a scope", &self.scope),
            ("a reason", &self.reason),
            ("a compensating control", &self.compensating),
            ("an author", &self.author),
        ];
        if let Some((what, _)) = texts.into_iter().find(|(_, text)| text.trim().is_empty()) {
            return Err(WaiverError::Blank(what));
        }
        let days = days_between(self.granted, self.expires);
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(WaiverError::Expiry { granted: self.granted, expires: self.expires });
        }
        if self.from_version >= self.below_version {
            return Err(WaiverError::Versions { from: self.from_version, below: self.below_version });
        }
        Ok(())
    }

    /// Why it does not hold for this rule, system and day; `None` when it does.
    pub(crate) fn refusal(&self, card: &Card, system: &System, facts: &Facts, as_of: Date) -> Option<String> {
        if let Err(error) = self.check() {
            return Some(error.to_string());
        }
        if card.version < self.from_version || card.version >= self.below_version {
            let (from, below) = (self.from_version, self.below_version);
            return Some(format!("it speaks of versions {from} to below {below}, the rule is {}", card.version));
        }
        // As `System::set` keeps names.
        let scope: String = self.scope.nfc().collect();
        if system.get("name") != Some(&scope.as_str().into()) {
            return Some(format!("its scope is the system `{}`", self.scope));
        }
        if let Some(subject) = self.subject.filter(|subject| !facts.speak_of(*subject)) {
            return Some(format!("its scope is the artefact sha256:{subject}, of which no evidence speaks"));
        }
        if as_of < self.granted || as_of >= self.expires {
            return Some(format!("it holds from {} to the day before {}", self.granted, self.expires));
        }
        None
    }

    /// Reads what was written by [`Self::to_json`]; who approved is for the caller to find out, and no name is taken over.
    ///
    /// # Errors
    /// `WaiverError::Member` for what is absent or malformed.
    pub fn from_json(json: &Json) -> Result<Self, WaiverError> {
        let held = |member: &'static str| json.get(member).and_then(Json::as_text).ok_or(WaiverError::Member(member));
        let text = |member: &'static str| held(member).map(str::to_owned);
        let version = |member: &'static str| held(member)?.parse().map_err(|_| WaiverError::Member(member));
        let day = |member: &'static str| held(member)?.parse().map_err(|_| WaiverError::Member(member));
        let subject = |set: &Json| set.get("sha256").and_then(Json::as_text).and_then(|hex| hex.parse().ok());
        Ok(Self {
            rule: text("rule")?,
            from_version: version("fromVersion")?,
            below_version: version("belowVersion")?,
            scope: text("scope")?,
            subject: json.get("subject").map(|set| subject(set).ok_or(WaiverError::Member("subject"))).transpose()?,
            reason: text("reason")?,
            compensating: text("compensating")?,
            author: text("author")?,
            approvers: Vec::new(),
            granted: day("granted")?,
            expires: day("expires")?,
        })
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([
            ("rule", Some(self.rule.as_str().into())),
            ("fromVersion", Some(self.from_version.to_string().into())),
            ("belowVersion", Some(self.below_version.to_string().into())),
            ("scope", Some(self.scope.as_str().into())),
            ("subject", self.subject.map(Json::from)),
            ("reason", Some(self.reason.as_str().into())),
            ("compensating", Some(self.compensating.as_str().into())),
            ("author", Some(self.author.as_str().into())),
            ("approvers", Some(Json::list(self.approvers.iter().map(String::as_str)))),
            ("granted", Some(self.granted.into())),
            ("expires", Some(self.expires.into())),
        ])
    }
}

/// Whole days from `a` to `b`; negative when `b` is earlier.
pub(crate) fn days_between(a: Date, b: Date) -> i32 {
    (a.duration_until(b).as_secs() / 86_400) as i32
}
