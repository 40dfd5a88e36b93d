//! A test that tells a card from a changed one: a test it has, with one or two values moved to where the two part.
//!
//! What the card comes to is what the suggestion expects. Whether that is what the clause says is for its reader to judge.

use crate::boundary;
use crate::card::{Card, CardTest, Condition};
use crate::decide::finding;
use crate::expr::{Expr, Leaf, Node, Source, Value, decimal_text, duration_text};
use crate::facts::{Fact, day_of};
use crate::mutate::beside;
use crate::trial::facts_of;
use crate::verdict::Outcome;
use crate::waiver::days_between;
use evidence::{Decimal, Kind, Provenance, metric};
use jiff::{SignedDuration, Timestamp, civil::Date};
use std::fmt::Write as _;

/// Tests tried at most before the search is given up.
const TRIES_MAX: usize = 60_000;

/// A test that is not yet one: what was moved, and the test so changed.
type Draft = (String, CardTest);

/// The text of a test that the changed card does not pass; `None` when none was found.
pub(crate) fn test(card: &Card, changed: &Card) -> Option<String> {
    let leaves = leaves(card);
    let mut n_tries = 0;
    let mut firsts: Vec<Draft> = Vec::new();
    for base in &card.tests {
        for draft in edits(card, changed, &leaves, base) {
            n_tries += 1;
            if let Some(text) = parting(card, changed, &draft) {
                return Some(text);
            }
            firsts.push(draft);
        }
    }
    for (why, base) in firsts {
        for (also, draft) in edits(card, changed, &leaves, &base) {
            n_tries += 1;
            if n_tries > TRIES_MAX {
                return None;
            }
            let both = (format!("{why}, {also}"), draft);
            if let Some(text) = parting(card, changed, &both) {
                return Some(text);
            }
        }
    }
    None
}

/// The draft as text, when the two cards part on it and the card as it stands comes to an answer.
fn parting(card: &Card, changed: &Card, (why, draft): &Draft) -> Option<String> {
    let facts = facts_of(draft);
    let found = finding(card, &draft.system, &facts, draft.as_of);
    let other = finding(changed, &draft.system, &facts, draft.as_of);
    let is_parted = found.outcome != other.outcome && found.outcome != Outcome::Error;
    let test =
        CardTest { expect: found.outcome, because: told_because(found.outcome, found.reason.code), ..draft.clone() };
    is_parted.then(|| text(card, why, &test))
}

fn told_because(outcome: Outcome, code: &str) -> Option<String> {
    matches!(outcome, Outcome::InsufficientEvidence | Outcome::NotInForce | Outcome::AwaitingPerson)
        .then(|| code.to_owned())
}

/// Every expression of a card.
fn exprs(card: &Card) -> impl Iterator<Item = &Expr> {
    let conditions = Condition::ALL.into_iter().map(|condition| card.condition(condition));
    let windows = card
        .windows
        .iter()
        .flat_map(|window| window.when.iter().chain(window.grace.iter().filter_map(|grace| grace.when.as_ref())));
    conditions.chain(windows)
}

fn leaves(card: &Card) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = Vec::new();
    for leaf in exprs(card).flat_map(Expr::leaves) {
        if !leaves.iter().any(|known| known.path == leaf.path) {
            leaves.push(leaf.clone());
        }
    }
    leaves
}

/// The constants that a path is held against in either card.
fn constants(card: &Card, changed: &Card, path: &str) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for expr in exprs(card).chain(exprs(changed)) {
        let is_path = |id: usize| match expr.node(id) {
            Node::Leaf(leaf) => expr.leaves()[*leaf].path == path,
            Node::Size(inner) => matches!(expr.node(*inner), Node::Leaf(leaf) if expr.leaves()[*leaf].path == path),
            _ => false,
        };
        for node in expr.nodes() {
            if let Node::Each(_, list, body) = node
                && is_path(*list)
            {
                let inside = expr.span(*body);
                let is_inside = |id: &usize| inside.start <= expr.span(*id).start && expr.span(*id).end <= inside.end;
                let literals = (0..expr.nodes().len()).filter(is_inside).filter_map(|id| match expr.node(id) {
                    Node::Literal(value) => Some(value.clone()),
                    _ => None,
                });
                found.extend(literals);
            }
            let (a, b) = match node {
                Node::Compare(_, a, b) | Node::In(a, b) | Node::Test(_, a, b) => (*a, *b),
                _ => continue,
            };
            for (side, other) in [(a, b), (b, a)] {
                if let (true, Node::Literal(value)) = (is_path(side), expr.node(other))
                    && !found.contains(value)
                {
                    found.push(value.clone());
                }
            }
        }
    }
    found
}

/// Every way of moving one thing of a test to a place where a card may change its answer.
fn edits(card: &Card, changed: &Card, leaves: &[Leaf], base: &CardTest) -> Vec<Draft> {
    let mut all = Vec::new();
    for leaf in leaves {
        let constants = constants(card, changed, &leaf.path);
        let literals: Vec<&Value> = constants.iter().collect();
        let values: Vec<Value> = boundary::values(leaf, &literals).into_iter().map(rounded).collect();
        match leaf.source {
            Source::Fact(metric, field) => all.extend(fact_edits(base, metric.id, field, values)),
            Source::System(name) => all.extend(system_edits(base, name, values)),
            Source::Request(_) | Source::Variable => {}
        }
    }
    all.extend(date_edits(card, changed, base));
    all.extend(need_edits(card, changed, base));
    all
}

/// A nanosecond beside a constant says to a reader what a day or a second says better.
fn rounded(value: Value) -> Value {
    const SECOND: i64 = 1_000_000_000;
    match value {
        Value::Timestamp(time) => {
            let step = match time.as_nanosecond().rem_euclid(i128::from(SECOND)) {
                1 => SignedDuration::from_hours(24) - SignedDuration::from_nanos(1),
                999_999_999 => SignedDuration::from_nanos(1) - SignedDuration::from_hours(24),
                _ => SignedDuration::ZERO,
            };
            time.checked_add(step).map_or(value, Value::Timestamp)
        }
        Value::Duration(nanos) => match nanos.rem_euclid(SECOND) {
            1 => Value::Duration(nanos.saturating_add(SECOND - 1)),
            999_999_999 => Value::Duration(nanos.saturating_add(1 - SECOND)),
            _ => value,
        },
        value => value,
    }
}

fn fact_edits(base: &CardTest, id: &str, field: &'static str, values: Vec<Value>) -> Vec<Draft> {
    let Some(at) = base.given.iter().position(|fact| fact.metric.id == id) else { return Vec::new() };
    let one = |value: Value| {
        let mut draft = base.clone();
        let why = format!("`{id}.{field}` at {}", shown(&value));
        set(&mut draft.given[at], field, value).then_some((why, draft))
    };
    values.into_iter().filter_map(one).collect()
}

/// Sets a field and keeps the fact one that an instrument could give.
fn set(fact: &mut Fact, field: &'static str, value: Value) -> bool {
    fact.fields.retain(|(name, _)| *name != field);
    if let ("n", Value::Int(n)) = (field, &value) {
        fact.n = u64::try_from(*n).ok();
    }
    fact.fields.push((field, Ok(value)));
    if matches!(field, "k" | "n") {
        let int = |name: &str| match fact.fields.iter().find(|(known, _)| *known == name) {
            Some((_, Ok(Value::Int(int)))) => Some(*int),
            _ => None,
        };
        return int("k").is_none_or(|k| int("n").is_none_or(|n| k <= n));
    }
    if fact.metric.kind == Kind::Proportion {
        fact.fields.retain(|(name, _)| *name != "k");
    }
    in_order(fact, field);
    true
}

/// Moves the other two of lower, value, upper to where they are in order with the one that was set.
fn in_order(fact: &mut Fact, fixed: &str) {
    let names = if fact.metric.kind == Kind::Proportion {
        ["lower95", "value", "upper95"]
    } else {
        ["lower", "value", "upper"]
    };
    let Some(fixed) = names.iter().position(|name| *name == fixed) else { return };
    let mut held: [Option<Decimal>; 3] = names.map(|name| match fact.fields.iter().find(|(known, _)| *known == name) {
        Some((_, Ok(Value::Decimal(value)))) => Some(*value),
        _ => None,
    });
    let Some(pivot) = held[fixed] else { return };
    for (at, value) in held.iter_mut().enumerate() {
        *value = value.map(|value| if at < fixed { value.min(pivot) } else { value.max(pivot) });
    }
    for (name, value) in names.into_iter().zip(held) {
        if let (Some(value), Some(field)) = (value, fact.fields.iter_mut().find(|(known, _)| *known == name)) {
            field.1 = Ok(Value::Decimal(value));
        }
    }
}

fn system_edits(base: &CardTest, name: &'static str, values: Vec<Value>) -> Vec<Draft> {
    let known = |value: Value| match value {
        Value::Text(text) if text.is_empty() => None,
        Value::List(items) if name == "jurisdictions" => {
            let is_code =
                |item: &Value| matches!(item, Value::Text(code) if crate::jurisdiction::is_jurisdiction(code));
            Some(Value::List(items.into_iter().filter(is_code).collect()))
        }
        value => Some(value),
    };
    let mut drafts: Vec<Draft> = Vec::new();
    for value in values.into_iter().filter_map(known) {
        let mut draft = base.clone();
        let why = format!("`system.{name}` is {}", shown(&value));
        if draft.system.set(name, value).is_ok() {
            drafts.push((why, draft));
        }
    }
    let mut unsaid = base.clone();
    unsaid.system.unset(name);
    drafts.push((format!("`system.{name}` was not said"), unsaid));
    drafts
}

/// The days at each date of either card, and their neighbours.
fn date_edits(card: &Card, changed: &Card, base: &CardTest) -> Vec<Draft> {
    let of = |window: &crate::card::Window| -> Vec<Date> {
        let grace = window.grace.iter().map(|grace| grace.until);
        std::iter::once(window.from).chain(window.until).chain(grace).collect()
    };
    let mut days: Vec<Date> = card.windows.iter().chain(&changed.windows).flat_map(of).collect();
    let near: Vec<Date> = days.iter().copied().flat_map(beside).collect();
    days.extend(near);
    days.sort_unstable();
    days.dedup();
    let moved = |day: Date| {
        let mut draft = CardTest { as_of: day, ..base.clone() };
        let shift = SignedDuration::from_hours(24 * i64::from(days_between(base.as_of, day)));
        for fact in &mut draft.given {
            fact.at = fact.at.checked_add(shift).ok()?;
            fact.expires = match fact.expires {
                Some(day) => Some(day.checked_add(shift).ok()?),
                None => None,
            };
        }
        Some((format!("as of {day}"), draft))
    };
    days.into_iter().filter_map(moved).collect()
}

/// Each bound of each need, just met and just missed.
fn need_edits(card: &Card, changed: &Card, base: &CardTest) -> Vec<Draft> {
    let mut all = Vec::new();
    for need in card.needs.iter().chain(&changed.needs) {
        let id = need.metric.id;
        let Some(at) = base.given.iter().position(|fact| fact.metric.id == id) else { continue };
        let mut add = |why: String, change: &dyn Fn(&mut Fact) -> bool| {
            let mut draft = base.clone();
            if change(&mut draft.given[at]) {
                all.push((why, draft));
            }
        };
        for n in need.min_n.into_iter().flat_map(|n| [Some(n), n.checked_sub(1)]).flatten() {
            add(format!("`{id}` of n = {n}"), &|fact| sized(fact, n));
        }
        for days in need.max_age_days.into_iter().flat_map(|days| [days, days + 1]) {
            let at = i64::try_from(days).ok().and_then(|days| base_midnight(base.as_of, days));
            add(format!("`{id}` {days} days old"), &|fact| at.map(|at| fact.at = at).is_some());
        }
        let weaker = [Provenance::Declared, Provenance::Inferred, Provenance::Measured];
        for provenance in weaker.into_iter().filter(|other| need.min_provenance.is_some_and(|least| *other < least)) {
            add(format!("`{id}` only {}", provenance.name()), &|fact| {
                fact.provenance = provenance;
                fact.is_declared = provenance == Provenance::Declared;
                fact.expires = fact
                    .is_declared
                    .then(|| base.as_of.checked_add(SignedDuration::from_hours(24 * 365)).ok())
                    .flatten();
                true
            });
        }
        if need.interval.is_some() {
            add(format!("`{id}` with another interval method"), &|fact| {
                fact.interval_method = Some("wilson".to_owned());
                true
            });
        }
        let mut without = base.clone();
        without.given.remove(at);
        all.push((format!("without `{id}`"), without));
    }
    all
}

fn sized(fact: &mut Fact, n: u64) -> bool {
    fact.n = Some(n);
    match (fact.metric.kind, i64::try_from(n)) {
        (Kind::Proportion, Ok(n)) => {
            fact.fields.retain(|(name, _)| *name != "k");
            set(fact, "n", Value::Int(n))
        }
        _ => true,
    }
}

fn base_midnight(as_of: Date, days: i64) -> Option<Timestamp> {
    let day = as_of.checked_sub(SignedDuration::from_hours(days.checked_mul(24)?)).ok()?;
    jiff::tz::Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
}

/// A test as it stands in a card.
fn text(card: &Card, why: &str, test: &CardTest) -> String {
    let mut out = format!("[[tests]] # {why}\nas_of   = {}\n", test.as_of);
    let said = metric::SYSTEM.iter().filter_map(|(name, _, _)| Some((*name, test.system.get(name)?)));
    let said: Vec<String> = said.map(|(name, value)| format!("{name} = {}", shown(value))).collect();
    if !said.is_empty() {
        let _ = writeln!(out, "system  = {{ {} }}", said.join(", "));
    }
    if test.given.is_empty() {
        out.push_str("given   = {}\n");
    }
    let _ = writeln!(out, "expect  = \"{}\"", test.expect.name());
    if let Some(because) = &test.because {
        let _ = writeln!(out, "because = \"{because}\"");
    }
    for fact in &test.given {
        let _ = writeln!(out, "given.{} = {{ {} }}", fact.metric.id, fact_text(card, fact, test.as_of));
    }
    out
}

fn fact_text(card: &Card, fact: &Fact, as_of: Date) -> String {
    let order = crate::facts::fields(fact.metric.kind);
    let held = order.iter().filter_map(|(name, _)| fact.fields.iter().find(|(known, _)| known == name));
    let mut parts: Vec<String> =
        held.filter_map(|(name, held)| held.as_ref().ok().map(|value| format!("{name} = {}", shown(value)))).collect();
    let is_n_said = fact.fields.iter().any(|(name, _)| *name == "n");
    parts.extend(fact.n.filter(|_| !is_n_said).map(|n| format!("n = {n}")));
    parts.push(format!("age_days = {}", days_between(day_of(fact.at), as_of)));
    parts.push(format!("provenance = \"{}\"", fact.provenance.name()));
    if let Some(interval) = card.need(fact.metric.id).and_then(|need| need.interval.as_ref()) {
        let method = fact.interval_method.as_ref().filter(|method| **method != interval.method);
        parts.extend(method.map(|method| format!("method = \"{method}\"")));
        let level = fact.interval_level.filter(|level| interval.level.is_some_and(|needed| needed != *level));
        parts.extend(level.map(|level| format!("level = {level}")));
    }
    let left = fact.expires.map(|day| days_between(as_of, day)).filter(|days| *days != 365);
    parts.extend(left.map(|days| format!("expires_in_days = {days}")));
    parts.join(", ")
}

/// A value as TOML.
fn shown(value: &Value) -> String {
    match value {
        Value::Decimal(value) => decimal_text(*value),
        Value::Duration(nanos) => format!("\"{}\"", duration_text(*nanos)),
        Value::Timestamp(time) => {
            let text = time.to_string();
            text.strip_suffix("T00:00:00Z").map_or(text.clone(), str::to_owned)
        }
        Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}
