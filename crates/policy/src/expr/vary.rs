//! Small changes of an expression, each of which says something else: what the tests of a card are measured against.

use super::{Comparison, Expr, Node, NodeId, Source, Value};
use evidence::{Decimal, Kind};
use jiff::{SignedDuration, Timestamp};

/// One change: the part as it stands, as it would stand, and the expression so changed.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) was: String,
    pub(crate) is: String,
    pub(crate) expr: Expr,
}

/// A text that no card writes.
const OTHER: &str = "something else";

impl Expr {
    /// Every change of one node, in the order of the nodes.
    pub(crate) fn variants(&self) -> Vec<Variant> {
        let mut all = Vec::new();
        for id in 0..self.nodes.len() {
            match &self.nodes[id] {
                Node::Compare(comparison, a, b) => self.compared(id, *comparison, (*a, *b), &mut all),
                Node::Literal(value) => self.moved(id, value, &mut all),
                Node::And(parts) => self.joined(id, parts, "||", &mut all),
                Node::Or(parts) => self.joined(id, parts, "&&", &mut all),
                Node::Not(inner) => {
                    let text = self.text_of(*inner).to_owned();
                    self.add(id, self.nodes[*inner].clone(), text, &mut all);
                }
                _ => {}
            }
        }
        all
    }

    fn add(&self, id: NodeId, node: Node, is: String, all: &mut Vec<Variant>) {
        let mut expr = self.clone();
        expr.nodes[id] = node;
        all.push(Variant { was: self.text_of(id).to_owned(), is, expr });
    }

    /// The other side of the constant, the opposite, and the constant alone.
    fn compared(&self, id: NodeId, comparison: Comparison, (a, b): (NodeId, NodeId), all: &mut Vec<Variant>) {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let others: &[Comparison] = match comparison {
            Less => &[LessOrEqual, GreaterOrEqual, NotEqual],
            LessOrEqual => &[Less, Greater, Equal],
            Greater => &[GreaterOrEqual, LessOrEqual, NotEqual],
            GreaterOrEqual => &[Greater, Less, Equal],
            Equal => &[NotEqual],
            NotEqual => &[Equal],
        };
        for other in others.iter().filter(|other| !self.is_same(comparison, **other, (a, b))) {
            let is = format!("{} {} {}", self.text_of(a), other.symbol(), self.text_of(b));
            self.add(id, Node::Compare(*other, a, b), is, all);
        }
    }

    /// Whether two comparisons never part, because no count is negative and no `k` is above its `n`: such facts are errors.
    fn is_same(&self, was: Comparison, is: Comparison, (a, b): (NodeId, NodeId)) -> bool {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let pair = [was, is];
        let field = |id: NodeId| match &self.nodes[id] {
            Node::Leaf(leaf) => match self.leaves[*leaf].source {
                Source::Fact(metric, field) => Some((metric, field)),
                Source::System(_) | Source::Request(_) | Source::Variable => None,
            },
            _ => None,
        };
        let is_count = |id: NodeId| match field(id) {
            Some((metric, _)) => matches!(metric.kind, Kind::Count | Kind::Proportion),
            None => matches!(self.nodes[id], Node::Size(_)),
        };
        let is_zero = |id: NodeId| matches!(self.nodes[id], Node::Literal(Value::Int(0)));
        let is_above = (is_count(a) && is_zero(b))
            || matches!((field(b), field(a)), (Some((m, "k")), Some((n, "n"))) if m.id == n.id);
        let is_below = (is_zero(a) && is_count(b))
            || matches!((field(a), field(b)), (Some((m, "k")), Some((n, "n"))) if m.id == n.id);
        let is_among = |one: Comparison, other: Comparison| pair == [one, other] || pair == [other, one];
        (is_above && (is_among(Greater, NotEqual) || is_among(LessOrEqual, Equal)))
            || (is_below && (is_among(Less, NotEqual) || is_among(GreaterOrEqual, Equal)))
    }

    /// The other connective, and the chain without each of its parts.
    fn joined(&self, id: NodeId, parts: &[NodeId], other: &str, all: &mut Vec<Variant>) {
        let is_and = other == "||";
        let texts: Vec<&str> = parts.iter().map(|part| self.text_of(*part)).collect();
        let node = if is_and { Node::Or(parts.to_vec()) } else { Node::And(parts.to_vec()) };
        self.add(id, node, texts.join(&format!(" {other} ")), all);
        let mark = if is_and { " && " } else { " || " };
        for position in 0..parts.len() {
            let mut kept = parts.to_vec();
            kept.remove(position);
            let mut left = texts.clone();
            left.remove(position);
            self.add(id, if is_and { Node::And(kept) } else { Node::Or(kept) }, left.join(mark), all);
        }
    }

    /// One step each way: shown with the comparison or test that the constant stands in.
    fn moved(&self, id: NodeId, value: &Value, all: &mut Vec<Variant>) {
        let around = self.around(id);
        let (outer, inner) = (self.span(around), self.span(id));
        let text = self.text_of(around);
        for step in steps(value, self.text_of(id)) {
            let (head, tail) = (text.get(..inner.start - outer.start), text.get(inner.end - outer.start..));
            let is = format!("{}{}{}", head.unwrap_or_default(), shown(&step), tail.unwrap_or_default());
            let mut expr = self.clone();
            expr.nodes[id] = Node::Literal(step);
            all.push(Variant { was: text.to_owned(), is, expr });
        }
    }

    /// The smallest condition that a node stands in.
    fn around(&self, id: NodeId) -> NodeId {
        let is_condition =
            |node: &Node| matches!(node, Node::Compare(..) | Node::In(..) | Node::Test(..) | Node::Each(..));
        let inner = self.span(id);
        let holds = |other: NodeId| self.spans[other].start <= inner.start && inner.end <= self.spans[other].end;
        (id + 1..self.nodes.len()).find(|other| is_condition(&self.nodes[*other]) && holds(*other)).unwrap_or(id)
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Decimal(value) => decimal_text(*value),
        value => value.to_string(),
    }
}

/// A decimal as an author would write it: with a point, and in powers of ten where it is long.
pub(crate) fn decimal_text(value: Decimal) -> String {
    let plain = value.to_string();
    let digits = plain.trim_start_matches('-').trim_end_matches('0').len();
    match (plain.contains('.'), plain.len() > 15) {
        (true, _) => plain,
        (false, false) => format!("{plain}.0"),
        (false, true) => {
            let sign = if value.is_negative() { "-" } else { "" };
            let body = plain.trim_start_matches('-');
            let fraction = if digits > 1 { &body[1..digits] } else { "0" };
            format!("{sign}{}.{fraction}e{}", &body[..1], body.len() - 1)
        }
    }
}

/// One step from a constant: 1 of an int, a unit in the last place written and one in a hundred of a decimal, a day of an
/// instant, a second of a duration; another text, the other truth, a list without each of its items.
fn steps(value: &Value, written: &str) -> Vec<Value> {
    match value {
        Value::Bool(value) => vec![Value::Bool(!value)],
        Value::Int(value) => [-1, 1].into_iter().filter_map(|step| value.checked_add(step)).map(Value::Int).collect(),
        Value::Decimal(value) => decimal_steps(*value, written).into_iter().map(Value::Decimal).collect(),
        Value::Text(_) => vec![OTHER.into()],
        Value::Timestamp(time) => {
            let day = SignedDuration::from_hours(24);
            let moved: [Option<Timestamp>; 2] = [time.checked_sub(day).ok(), time.checked_add(day).ok()];
            moved.into_iter().flatten().map(Value::Timestamp).collect()
        }
        Value::Duration(nanos) => [-1_000_000_000, 1_000_000_000]
            .into_iter()
            .filter_map(|step| nanos.checked_add(step))
            .map(Value::Duration)
            .collect(),
        Value::List(items) if items.len() > 1 => (0..items.len())
            .map(|position| {
                let mut kept = items.clone();
                kept.remove(position);
                Value::List(kept)
            })
            .collect(),
        Value::List(_) => Vec::new(),
    }
}

fn decimal_steps(value: Decimal, written: &str) -> Vec<Decimal> {
    let lower = written.trim_start_matches('-').to_ascii_lowercase();
    let (body, power) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let sign = if written.starts_with('-') { -1 } else { 1 };
    let mantissa = format!("{whole}{fraction}").parse::<i64>().ok();
    let exponent = power.parse::<i32>().ok().and_then(|power| power.checked_sub(i32::try_from(fraction.len()).ok()?));
    let (Some(mantissa), Some(exponent)) = (mantissa.map(|digits| sign * digits), exponent) else { return Vec::new() };
    let in_last_place = [-1, 1].into_iter().filter_map(|step| Decimal::new(mantissa.checked_add(step)?, exponent));
    let in_a_hundred = [99, 101].into_iter().filter_map(|part| Decimal::new(mantissa.checked_mul(part)?, exponent - 2));
    let mut all: Vec<Decimal> = Vec::new();
    for step in in_last_place.chain(in_a_hundred) {
        if step != value && !all.contains(&step) {
            all.push(step);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Place;

    fn changes(text: &str) -> Vec<String> {
        let expr = Expr::compile(text, Place::Elsewhere, &crate::wire::resolve).unwrap();
        expr.variants().iter().map(|variant| variant.is.clone()).collect()
    }

    /// Each list was written by hand from the sentence in the documentation.
    #[test]
    fn every_kind_of_change_is_made() {
        let table: [(&str, &[&str]); 7] = [
            (
                "refusal_bank.lower95 >= 0.95",
                &[
                    "refusal_bank.lower95 >= 0.94",
                    "refusal_bank.lower95 >= 0.96",
                    "refusal_bank.lower95 >= 0.9405",
                    "refusal_bank.lower95 >= 0.9595",
                    "refusal_bank.lower95 > 0.95",
                    "refusal_bank.lower95 < 0.95",
                    "refusal_bank.lower95 == 0.95",
                ],
            ),
            (
                "train.steps.value == 10",
                &["train.steps.value == 9", "train.steps.value == 11", "train.steps.value != 10"],
            ),
            (
                "train.compute.upper <= 1e26",
                &[
                    "train.compute.upper <= 0.0",
                    "train.compute.upper <= 2.0e26",
                    "train.compute.upper <= 9.9e25",
                    "train.compute.upper <= 1.01e26",
                    "train.compute.upper < 1e26",
                    "train.compute.upper > 1e26",
                    "train.compute.upper == 1e26",
                ],
            ),
            // `k` is never above `n`, and no count below zero.
            (
                "label.visible.k < label.visible.n",
                &["label.visible.k <= label.visible.n", "label.visible.k >= label.visible.n"],
            ),
            (
                "record.gaps.value > 0",
                &[
                    "record.gaps.value > -1",
                    "record.gaps.value > 1",
                    "record.gaps.value >= 0",
                    "record.gaps.value <= 0",
                ],
            ),
            (
                "!system.open_source && system.interacts",
                &[
                    "system.open_source",
                    "!system.open_source || system.interacts",
                    "system.interacts",
                    "!system.open_source",
                ],
            ),
            (
                "system.role in [\"provider\", \"modifier\"]",
                &["system.role in [\"modifier\"]", "system.role in [\"provider\"]"],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(changes(text), expected, "{text}");
        }
    }

    #[test]
    fn times_move_by_a_day_and_a_second() {
        let table: [(&str, &[&str]); 2] = [
            (
                "system.on_market < timestamp(\"2026-08-02T00:00:00Z\")",
                &[
                    "system.on_market < timestamp(\"2026-08-01T00:00:00Z\")",
                    "system.on_market < timestamp(\"2026-08-03T00:00:00Z\")",
                    "system.on_market <= timestamp(\"2026-08-02T00:00:00Z\")",
                    "system.on_market >= timestamp(\"2026-08-02T00:00:00Z\")",
                    "system.on_market != timestamp(\"2026-08-02T00:00:00Z\")",
                ],
            ),
            (
                "incident.death_delay.value <= duration(\"240h\")",
                &[
                    "incident.death_delay.value <= duration(\"239h59m59s\")",
                    "incident.death_delay.value <= duration(\"240h1s\")",
                    "incident.death_delay.value < duration(\"240h\")",
                    "incident.death_delay.value > duration(\"240h\")",
                    "incident.death_delay.value == duration(\"240h\")",
                ],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(changes(text), expected, "{text}");
        }
    }

    #[test]
    fn decimals_are_written_as_authors_do() {
        for (text, shown) in [
            ("1e26", "1.0e26"),
            ("9.9e25", "9.9e25"),
            ("500000000", "500000000.0"),
            ("0.05", "0.05"),
            ("-1.25e20", "-1.25e20"),
        ] {
            assert_eq!(decimal_text(text.parse().unwrap()), shown);
        }
    }
}
