//! What a card may say and should not: dead conditions, contradictions, tests that are missing.

use crate::boundary;
use crate::card::{Card, Condition, Window};
use crate::decide::View;
use crate::enforce::{CardFinding, CardState, EnforceCard, card_finding};
use crate::expr::{Comparison, Expr, Node, NodeId, Quantifier, Source, Truth, Value};
use crate::obligation::Obligation;
use crate::pack::Pack;
use crate::trial::{facts_of, outcome_of};
use crate::verdict::Outcome;
use crate::why;
use jiff::civil::Date;
use std::fmt;

mod plausible;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The card does not mean what it seems to.
    Error,
    /// A test is missing.
    Advice,
}

/// One finding of the lint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    pub level: Level,
    pub code: &'static str,
    pub file: String,
    /// From 1.
    pub line: usize,
    pub rule: String,
    pub message: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Advice => "advice",
        };
        write!(f, "{}:{}: {level}[{}]: rule `{}`: {}", self.file, self.line, self.code, self.rule, self.message)
    }
}

/// Looks at every card of a pack; findings in the order of the cards.
#[must_use]
pub fn lint(pack: &Pack) -> Vec<Lint> {
    pack.cards().iter().flat_map(card).chain(pack.enforce_cards().iter().flat_map(enforce_card)).collect()
}

/// The tests of a card that is decided per request: each obligation owed and not owed, each date.
fn enforce_card(card: &EnforceCard) -> Vec<Lint> {
    let mut found = Vec::new();
    let lint = |level, code, line, message: String| Lint {
        level,
        code,
        file: card.file.clone(),
        line,
        rule: card.id.clone(),
        message,
    };
    let seen = boundary::explore(&[&card.applies]);
    let is_deliberate = matches!(card.applies.node(card.applies.root()), Node::Literal(_));
    if seen.is_whole && !is_deliberate && !seen.answers[0].contains(&Truth::True) {
        let message = "`applies` is true for no request".to_owned();
        found.push(lint(Level::Error, "constant-condition", card.line, message));
    }
    if card.tests.is_empty() {
        found.push(lint(Level::Error, "no-tests", 1, "the card carries no test".to_owned()));
        return found;
    }
    let findings: Vec<CardFinding<'_>> =
        card.tests.iter().map(|test| card_finding(card, &test.system, &test.request, test.as_of)).collect();
    let in_force: Vec<&CardFinding<'_>> =
        findings.iter().filter(|finding| finding.state == CardState::InForce).collect();
    let mut named: Vec<&Obligation> = card.obliges.iter().flat_map(|oblige| &oblige.does).collect();
    named.sort_unstable();
    named.dedup();
    for obligation in named {
        let is_owed = |finding: &&&CardFinding<'_>| finding.obligations.contains(&obligation);
        let n_owed = in_force.iter().filter(is_owed).count();
        let is_conditional = card
            .obliges
            .iter()
            .any(|oblige| oblige.does.contains(obligation) && (oblige.when.is_some() || oblige.unless.is_some()));
        if n_owed == 0 || (is_conditional && n_owed == in_force.len()) {
            let which = if n_owed == 0 { "owes" } else { "is in force and does not owe" };
            found.push(lint(Level::Advice, "untested-obligation", 1, format!("no test {which} `{obligation}`")));
        }
    }
    let is_tested = |day: Date| card.tests.iter().any(|test| test.as_of == day);
    for (day, date) in beside_dates(&card.windows).into_iter().filter(|(day, _)| !is_tested(*day)) {
        found.push(lint(Level::Advice, "untested-date", 1, format!("no test as of {day}, beside the date {date}")));
    }
    if !findings.iter().any(|finding| finding.state.is_open()) {
        let message = "no test in which the card cannot be decided".to_owned();
        found.push(lint(Level::Advice, "untested-absence", 1, message));
    }
    found
}

fn card(card: &Card) -> Vec<Lint> {
    let mut found = Vec::new();
    constant_conditions(card, &mut found);
    unguarded_all(card, &mut found);
    plausible::units(card, &mut found);
    plausible::needs(card, &mut found);
    facts_without_need(card, &mut found);
    if card.tests.is_empty() {
        found.push(lint_at(card, Level::Error, "no-tests", 1, "the card carries no test"));
        return found;
    }
    untested_thresholds(card, &mut found);
    untested_dates(card, &mut found);
    untested_absence(card, &mut found);
    found
}

fn lint_at(card: &Card, level: Level, code: &'static str, line: usize, message: impl Into<String>) -> Lint {
    Lint { level, code, file: card.file.clone(), line, rule: card.id.clone(), message: message.into() }
}

fn line_of(card: &Card, condition: Condition) -> usize {
    card.lines[condition as usize]
}

/// Tries facts on both sides of every constant: a condition that never or always holds, or both that hold at once.
fn constant_conditions(card: &Card, found: &mut Vec<Lint>) {
    for condition in Condition::ALL {
        let expr = card.condition(condition);
        let is_deliberate = matches!(expr.node(expr.root()), Node::Literal(_)) && condition != Condition::PassWhen;
        let seen = boundary::explore(&[expr]);
        let is_elsewhere = card.check.is_some() && condition != Condition::Applies;
        if is_deliberate || is_elsewhere || !seen.is_whole {
            continue;
        }
        let (name, answers) = (condition.name(), &seen.answers[0]);
        let message = match (answers.contains(&Truth::True), answers.contains(&Truth::False)) {
            (false, _) => format!("`{name}` is true for no facts"),
            (true, false) => format!("`{name}` is true for all facts"),
            (true, true) => continue,
        };
        found.push(lint_at(card, Level::Error, "constant-condition", line_of(card, condition), message));
    }
    contradiction(card, found);
}

/// Both conditions true at once, where the rule applies.
fn contradiction(card: &Card, found: &mut Vec<Lint>) {
    let mut exprs = vec![&card.pass_when, &card.fail_when];
    let is_shared = |leaf: &crate::expr::Leaf| card.applies.leaves().iter().any(|other| other.path == leaf.path);
    if exprs.iter().any(|expr| expr.leaves().iter().any(is_shared)) {
        exprs.push(&card.applies);
    }
    if let Some(witness) = boundary::explore(&exprs).all_true {
        let message = format!("both conditions are true for {witness}");
        found.push(lint_at(card, Level::Error, "contradiction", line_of(card, Condition::FailWhen), message));
    }
}

/// `all` is true of an empty list, so it wants `size(x) > 0` or `min_n` beside it.
fn unguarded_all(card: &Card, found: &mut Vec<Lint>) {
    for condition in Condition::ALL {
        let expr = card.condition(condition);
        for node in expr.nodes() {
            let Node::Each(Quantifier::All, list, _) = node else { continue };
            let Node::Leaf(leaf) = expr.node(*list) else { continue };
            let leaf = &expr.leaves()[*leaf];
            let has_min_n = match leaf.source {
                Source::Fact(metric, _) => card.need(metric.id).is_some_and(|need| need.min_n.is_some_and(|n| n > 0)),
                Source::System(_) | Source::Request(_) | Source::Variable => false,
            };
            if !has_min_n && !expr.nodes().iter().any(|node| is_size_guard(expr, node, &leaf.path)) {
                let message = format!("`all` is true of an empty list: write `size({}) > 0` beside it", leaf.path);
                found.push(lint_at(card, Level::Error, "unguarded-all", line_of(card, condition), message));
            }
        }
    }
}

/// `size(path) > 0`, `>= 1` or more.
fn is_size_guard(expr: &Expr, node: &Node, path: &str) -> bool {
    let Node::Compare(comparison, a, b) = node else { return false };
    let is_size = |id: NodeId| matches!(expr.node(id), Node::Size(inner) if expr.text_of(*inner) == path);
    match (*comparison, expr.node(*b)) {
        (Comparison::Greater, Node::Literal(Value::Int(least))) => is_size(*a) && *least >= 0,
        (Comparison::GreaterOrEqual, Node::Literal(Value::Int(least))) => is_size(*a) && *least >= 1,
        _ => false,
    }
}

fn facts_without_need(card: &Card, found: &mut Vec<Lint>) {
    let mut named: Vec<&str> = Vec::new();
    for condition in Condition::ALL {
        for leaf in card.condition(condition).leaves() {
            let Source::Fact(metric, _) = leaf.source else { continue };
            if card.need(metric.id).is_none() && !named.contains(&metric.id) {
                named.push(metric.id);
                let message = format!("`{}` has no `[[needs]]`: any provenance and age would do", metric.id);
                found.push(lint_at(card, Level::Error, "fact-without-need", line_of(card, condition), message));
            }
        }
    }
}

/// Each comparison with a constant must be true in one test and false in another.
fn untested_thresholds(card: &Card, found: &mut Vec<Lint>) {
    for condition in Condition::ALL {
        let expr = card.condition(condition);
        for (id, _) in expr.nodes().iter().enumerate().filter(|(id, _)| why::bound(expr, *id).is_some()) {
            let (mut seen, mut is_met_exactly) = ([false, false], false);
            for test in &card.tests {
                let facts = facts_of(test);
                let view = View::new(card, &test.system, &facts, test.as_of);
                match expr.truth_at(id, &|leaf| view.operand(leaf)) {
                    Truth::True => seen[0] = true,
                    Truth::False => seen[1] = true,
                    Truth::Missing | Truth::Error => {}
                }
                is_met_exactly |= is_at_constant(&view, expr, id);
            }
            if !is_met_exactly {
                let message = format!("no test at the constant itself: `{}`", expr.text_of(id));
                found.push(lint_at(card, Level::Advice, "untested-constant", line_of(card, condition), message));
            }
            let side = match seen {
                [true, true] => continue,
                [false, true] => "where it is true",
                [true, false] => "where it is false",
                [false, false] => "on either side",
            };
            let message = format!("no test {side}: `{}`", expr.text_of(id));
            found.push(lint_at(card, Level::Advice, "untested-threshold", line_of(card, condition), message));
        }
    }
}

/// Whether a comparison's path has just the value of its constant; only one that orders has a side to fall on.
fn is_at_constant(view: &View<'_>, expr: &Expr, id: NodeId) -> bool {
    let Some((leaf, comparison, other)) = why::bound(expr, id) else { return true };
    let value = |id: NodeId| expr.value_at(id, &|leaf| view.operand(leaf));
    matches!(comparison, Comparison::Equal | Comparison::NotEqual) || value(leaf) == value(other)
}

/// Each date wants a test on the day before and one on the day.
fn untested_dates(card: &Card, found: &mut Vec<Lint>) {
    let is_tested = |day: Date| card.tests.iter().any(|test| test.as_of == day);
    for (day, date) in beside_dates(&card.windows).into_iter().filter(|(day, _)| !is_tested(*day)) {
        let message = format!("no test as of {day}, beside the date {date}");
        found.push(lint_at(card, Level::Advice, "untested-date", 1, message));
    }
}

/// The day before each date and the day, with the date.
fn beside_dates(windows: &[Window]) -> Vec<(Date, Date)> {
    let days = |window: &Window| -> Vec<Date> {
        let grace = window.grace.iter().map(|grace| grace.until);
        std::iter::once(window.from).chain(window.until).chain(grace).collect()
    };
    let mut dates: Vec<Date> = windows.iter().flat_map(days).collect();
    dates.sort_unstable();
    dates.dedup();
    let around = |date: Date| date.yesterday().ok().into_iter().chain([date]).map(move |day| (day, date));
    dates.into_iter().flat_map(around).collect()
}

/// Each needed fact must be absent in some test that comes to an unknown.
fn untested_absence(card: &Card, found: &mut Vec<Lint>) {
    for need in card.needs.iter().filter(|need| !need.is_optional) {
        let is_absent = |test: &crate::card::CardTest| !test.given.iter().any(|fact| fact.metric.id == need.metric.id);
        let is_unknown = |outcome| matches!(outcome, Outcome::InsufficientEvidence | Outcome::AwaitingPerson);
        let is_tested = card.tests.iter().any(|test| {
            let finding = outcome_of(card, test);
            is_absent(test)
                && is_unknown(finding.outcome)
                && finding.unmet.iter().any(|unmet| unmet.fact == need.metric.id)
        });
        if !is_tested {
            let message = format!("no test without `{}`", need.metric.id);
            found.push(lint_at(card, Level::Advice, "untested-absence", 1, message));
        }
    }
}
