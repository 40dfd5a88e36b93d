//! Runs the tests that cards carry.

use crate::card::{Card, CardTest};
use crate::decide::finding;
use crate::facts::Facts;
use crate::pack::Pack;
use crate::verdict::{Finding, Outcome};
use std::fmt;

/// A card test that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFailure {
    pub file: String,
    /// Where the test stands, from 1.
    pub line: usize,
    pub rule: String,
    pub expected: (Outcome, Option<String>),
    pub found: (Outcome, String),
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outcome, because) = &self.expected;
        write!(f, "{}:{}: rule `{}`: expected {}", self.file, self.line, self.rule, outcome.name())?;
        if let Some(because) = because {
            write!(f, " because {because}")?;
        }
        write!(f, ", found {} ({})", self.found.0.name(), self.found.1)
    }
}

/// Runs every test of every card: their number, and those that fail.
#[must_use]
pub fn test(pack: &Pack) -> (usize, Vec<TestFailure>) {
    let n_tests = pack.cards().iter().map(|card| card.tests.len()).sum();
    let failures = pack.cards().iter().flat_map(|card| card.tests.iter().filter_map(|test| failure(card, test)));
    (n_tests, failures.collect())
}

pub(crate) fn facts_of(test: &CardTest) -> Facts {
    let mut facts = Facts::new();
    test.given.iter().for_each(|fact| facts.insert(fact.clone()));
    facts
}

pub(crate) fn outcome_of(card: &Card, test: &CardTest) -> Finding {
    finding(card, &test.system, &facts_of(test), test.as_of)
}

fn failure(card: &Card, test: &CardTest) -> Option<TestFailure> {
    let found = failure_of(test, &outcome_of(card, test))?;
    Some(TestFailure {
        file: card.file.clone(),
        line: test.line,
        rule: card.id.clone(),
        expected: (test.expect, test.because.clone()),
        found,
    })
}

/// What a test found, when it is not what it expects.
pub(crate) fn failure_of(test: &CardTest, found: &Finding) -> Option<(Outcome, String)> {
    let is_because = test.because.as_deref().is_none_or(|because| because == found.reason.code);
    let is_expected = found.outcome == test.expect && is_because;
    (!is_expected).then(|| (found.outcome, found.reason.to_string()))
}
