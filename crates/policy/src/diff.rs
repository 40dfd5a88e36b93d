//! What the calendar changes: the same evidence decided as of two days.

use crate::decide::{Rules, decide};
use crate::facts::{Facts, System};
use crate::verdict::Verdict;
use evidence::Json;
use jiff::civil::Date;

/// A rule whose verdict, or the reason of it, is not the same on both days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub rule: String,
    pub pack: String,
    /// Verdict and reason on each day.
    pub before: (String, String),
    pub after: (String, String),
}

impl Change {
    #[must_use]
    pub fn to_json(&self) -> Json {
        let side = |(verdict, reason): &(String, String)| {
            Json::map([("verdict", Some(verdict.as_str().into())), ("reason", Some(reason.as_str().into()))])
        };
        Json::map([
            ("rule", Some(self.rule.as_str().into())),
            ("pack", Some(self.pack.as_str().into())),
            ("before", Some(side(&self.before))),
            ("after", Some(side(&self.after))),
        ])
    }
}

/// The rules that change between two days, sorted by rule.
#[must_use]
pub fn diff(rules: &Rules, system: &System, facts: &Facts, from: Date, to: Date) -> Vec<Change> {
    let (before, after) = (decide(rules, None, system, facts, from), decide(rules, None, system, facts, to));
    let key = |verdict: &Verdict<'_>| (verdict.name(), verdict.finding.reason.code);
    let pairs = before.verdicts.iter().zip(&after.verdicts).filter(|(a, b)| key(a) != key(b));
    let side = |verdict: &Verdict<'_>| (verdict.name(), verdict.finding.reason.to_string());
    pairs
        .map(|(a, b)| Change { rule: a.card.id.clone(), pack: a.pack.to_owned(), before: side(a), after: side(b) })
        .collect()
}
