//! Constants in another unit than their fact, and needs that no fact of its kind can meet.

use super::{Level, Lint, line_of, lint_at};
use crate::card::{Card, Condition, Need};
use crate::expr::{Expr, Node, NodeId, Source, Value};
use crate::why;
use evidence::{Decimal, Kind, Metric, Provenance, Unit};

/// Nanoseconds of a hundred years.
const CENTURY: i64 = 3_155_760_000_000_000_000;

/// A constant far outside what its fact can hold was meant in another unit; two facts of two units are never compared.
pub(super) fn units(card: &Card, found: &mut Vec<Lint>) {
    for condition in Condition::ALL {
        let expr = card.condition(condition);
        for id in 0..expr.nodes().len() {
            if let Some(message) = of_constant(expr, id).or_else(|| of_two_facts(expr, id)) {
                found.push(lint_at(card, Level::Error, "units-do-not-fit", line_of(card, condition), message));
            }
        }
    }
}

fn of_constant(expr: &Expr, id: NodeId) -> Option<String> {
    let (leaf, _, other) = why::bound(expr, id)?;
    let Node::Literal(value) = expr.node(other) else { return None };
    let (metric, field) = fact(expr, leaf)?;
    let expected = range(metric, field, value)?;
    Some(format!("`{}` {expected}, `{}` is far outside", expr.text_of(leaf), expr.text_of(other)))
}

fn fact(expr: &Expr, leaf: NodeId) -> Option<(&'static Metric, &'static str)> {
    let Node::Leaf(leaf) = expr.node(leaf) else { return None };
    match expr.leaves()[*leaf].source {
        Source::Fact(metric, field) => Some((metric, field)),
        Source::System(_) | Source::Request(_) | Source::Variable => None,
    }
}

/// What the field holds, when the value is not such a thing. Zero is a bound in every unit.
fn range(metric: &Metric, field: &str, value: &Value) -> Option<String> {
    match (metric.kind, value) {
        (Kind::Proportion, Value::Decimal(value)) if *value > Decimal::ONE || value.is_negative() => {
            Some("is a share of one".to_owned())
        }
        (Kind::Count | Kind::Proportion, Value::Int(value)) if *value < 0 => Some(format!("is a count (`{field}`)")),
        (Kind::Quantity, Value::Decimal(value)) if *value != Decimal::ZERO => {
            let (least, most) = plausible(metric.unit)?;
            let is_inside = least <= *value && *value <= most;
            (!is_inside).then(|| format!("is in {}, from {least} to {most}", metric.unit))
        }
        (Kind::Span, Value::Duration(nanos)) if !(0..=CENTURY).contains(nanos) => {
            Some("is a time of at most a century".to_owned())
        }
        (Kind::Moment, Value::Timestamp(time)) => {
            let year = jiff::tz::Offset::UTC.to_datetime(*time).year();
            (!(1950..=2150).contains(&year)).then(|| "is an instant of our time".to_owned())
        }
        _ => None,
    }
}

/// From the smallest thing measured to more than the whole of mankind has used; a pure number has no such bounds.
fn plausible(unit: Unit) -> Option<(Decimal, Decimal)> {
    let (least, most) = match unit {
        Unit::One => return None,
        Unit::Byte => (0, 21),
        Unit::Flop => (0, 35),
        Unit::Second => (-9, 11),
        Unit::Watt => (-3, 13),
        Unit::Joule => (-6, 21),
        Unit::KilowattHour => (-9, 14),
        Unit::GramCo2e => (-6, 17),
        Unit::GramCo2ePerKilowattHour => (-1, 4),
        Unit::Euro => (-3, 14),
        Unit::NatPerToken => (-9, 3),
        Unit::TokenPerSecond => (-6, 13),
    };
    Some((Decimal::new(1, least)?, Decimal::new(1, most)?))
}

fn of_two_facts(expr: &Expr, id: NodeId) -> Option<String> {
    let Node::Compare(_, a, b) = expr.node(id) else { return None };
    let ((left, _), (right, _)) = (fact(expr, *a)?, fact(expr, *b)?);
    let is_alike = left.unit == right.unit;
    let told = || format!("`{}` is in {}, `{}` in {}", expr.text_of(*a), left.unit, expr.text_of(*b), right.unit);
    (!is_alike).then(told)
}

/// Of what a person declares nobody has a sample, an interval, or a measurement.
pub(super) fn needs(card: &Card, found: &mut Vec<Lint>) {
    for need in &card.needs {
        let is_declared =
            matches!(need.metric.kind, Kind::Flag | Kind::Text | Kind::List | Kind::Moment | Kind::Document);
        for bound in bounds(need).into_iter().filter(|_| is_declared) {
            let (id, kind) = (need.metric.id, need.metric.kind.name());
            let message =
                format!("no `{id}` can meet `{bound}`: a {kind} is declared, and the rule would never be decided");
            found.push(lint_at(card, Level::Error, "need-never-met", 1, message));
        }
    }
}

fn bounds(need: &Need) -> Vec<&'static str> {
    let is_above = need.min_provenance.is_some_and(|least| least > Provenance::Declared);
    let all = [("min_n", need.min_n.is_some()), ("interval", need.interval.is_some()), ("min_provenance", is_above)];
    all.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}
