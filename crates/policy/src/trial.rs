//! Runs the tests that cards carry.

use crate::card::{Card, CardTest};
use crate::decide::finding;
use crate::enforce::{EnforceCard, RequestTest, card_finding};
use crate::facts::Facts;
use crate::obligation::Obligation;
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
    /// Verdict or state, reason, obligations: as far as the test names them.
    pub expected: String,
    pub found: String,
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: rule `{}`: expected {}, found {}", self.file, self.line, self.rule, self.expected, self.found)
    }
}

/// Runs every test of every card: their number, and those that fail.
#[must_use]
pub fn test(pack: &Pack) -> (usize, Vec<TestFailure>) {
    let n_tests: usize = pack.cards().iter().map(|card| card.tests.len()).sum();
    let n_request_tests: usize = pack.enforce_cards().iter().map(|card| card.tests.len()).sum();
    let failures = pack.cards().iter().flat_map(|card| card.tests.iter().filter_map(|test| failure(card, test)));
    let enforced = pack.enforce_cards().iter();
    let enforced = enforced.flat_map(|card| card.tests.iter().filter_map(|test| request_failure(card, test)));
    (n_tests + n_request_tests, failures.chain(enforced).collect())
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
    let (outcome, reason) = failure_of(test, &outcome_of(card, test))?;
    let because = test.because.as_deref().map(|because| format!(" because {because}")).unwrap_or_default();
    Some(TestFailure {
        file: card.file.clone(),
        line: test.line,
        rule: card.id.clone(),
        expected: format!("{}{because}", test.expect.name()),
        found: format!("{} ({reason})", outcome.name()),
    })
}

pub(crate) fn request_failure(card: &EnforceCard, test: &RequestTest) -> Option<TestFailure> {
    let found = card_finding(card, &test.system, &test.request, test.as_of);
    let owed: Vec<&str> = found.obligations.iter().map(|obligation| obligation.text()).collect();
    let wanted = test.oblige.as_ref().map(|all| all.iter().map(Obligation::text).collect::<Vec<_>>());
    let is_as_expected = found.state == test.expect
        && test.because.as_deref().is_none_or(|because| because == found.code)
        && test.effect.is_none_or(|effect| effect == found.effect)
        && wanted.as_ref().is_none_or(|wanted| *wanted == owed);
    if is_as_expected {
        return None;
    }
    let mut expected = test.expect.name().to_owned();
    expected += &test.because.as_deref().map(|because| format!(" because {because}")).unwrap_or_default();
    expected += &test.effect.map(|effect| format!(", effect {}", effect.name())).unwrap_or_default();
    expected += &wanted.map(|wanted| format!(", obligations [{}]", wanted.join(", "))).unwrap_or_default();
    let (state, effect) = (found.state.name(), found.effect.name());
    Some(TestFailure {
        file: card.file.clone(),
        line: test.line,
        rule: card.id.clone(),
        expected,
        found: format!("{state} because {}, effect {effect}, obligations [{}]", found.code, owed.join(", ")),
    })
}

/// What a test found, when it is not what it expects.
pub(crate) fn failure_of(test: &CardTest, found: &Finding) -> Option<(Outcome, String)> {
    let is_because = test.because.as_deref().is_none_or(|because| because == found.reason.code);
    let is_expected = found.outcome == test.expect && is_because;
    (!is_expected).then(|| (found.outcome, found.reason.to_string()))
}
