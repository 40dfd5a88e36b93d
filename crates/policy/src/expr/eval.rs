//! The four-valued evaluator.

use super::{Comparison, Expr, Leaf, Node, NodeId, Quantifier, Sign, TextTest, Value, literal};
use evidence::Decimal;
use std::cmp::Ordering;

/// The four values of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    True,
    False,
    /// No such fact, or one that fails its needs.
    Missing,
    /// An invalid fact, or arithmetic beyond its range.
    Error,
}

impl Truth {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Missing => "missing",
            Self::Error => "error",
        }
    }

    /// The minimum on false < error < missing < true.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let rank = |truth| match truth {
            Self::False => 0,
            Self::Error => 1,
            Self::Missing => 2,
            Self::True => 3,
        };
        if rank(other) < rank(self) { other } else { self }
    }

    /// The maximum on false < missing < error < true.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let rank = |truth| match truth {
            Self::False => 0,
            Self::Missing => 1,
            Self::Error => 2,
            Self::True => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            same => same,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// Why a value is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The fact does not hold what the catalogue says; the text says how.
    Invalid(&'static str),
    /// Time arithmetic left the range of timestamps or of durations.
    Overflow,
}

/// The value of a node during evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand<'a> {
    Bool(bool),
    Int(i64),
    Decimal(Decimal),
    Text(&'a str),
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    Instant(i128),
    /// Nanoseconds.
    Duration(i64),
    List(&'a [Value]),
    Missing,
    Error(Fault),
}

impl<'a> Operand<'a> {
    #[must_use]
    pub fn of(value: &'a Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Decimal(value) => Self::Decimal(*value),
            Value::Text(value) => Self::Text(value),
            Value::Timestamp(value) => Self::Instant(value.as_nanosecond()),
            Value::Duration(value) => Self::Duration(*value),
            Value::List(items) if items.len() > super::LIST_MAX => Self::Error(Fault::Invalid("too many elements")),
            Value::List(items) => Self::List(items),
        }
    }

    pub(crate) fn truth(self) -> Truth {
        match self {
            Self::Bool(value) => value.into(),
            Self::Missing => Truth::Missing,
            // INVARIANT: the checker gives every condition the type bool, so no other value comes here.
            _ => Truth::Error,
        }
    }
}

impl From<Truth> for Operand<'_> {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => Self::Bool(true),
            Truth::False => Self::Bool(false),
            Truth::Missing => Self::Missing,
            Truth::Error => Self::Error(Fault::Invalid("an operand is an error")),
        }
    }
}

/// Error if an operand is an error, else missing if one is missing, else nothing.
fn strict<'a>(a: Operand<'a>, b: Operand<'a>) -> Option<Operand<'a>> {
    match (a, b) {
        (Operand::Error(_), _) => Some(a),
        (_, Operand::Error(_)) => Some(b),
        (Operand::Missing, _) | (_, Operand::Missing) => Some(Operand::Missing),
        _ => None,
    }
}

impl Expr {
    /// The four-valued answer, with the value of each leaf given by `value_of`. Total: cost is bounded by size × list length.
    #[must_use]
    pub fn evaluate<'a>(&'a self, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Truth {
        self.truth_at(self.root(), value_of)
    }

    pub(crate) fn truth_at<'a>(&'a self, id: NodeId, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Truth {
        Run { expr: self, value_of }.value(id, Operand::Missing).truth()
    }

    pub(crate) fn value_at<'a>(&'a self, id: NodeId, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Operand<'a> {
        Run { expr: self, value_of }.value(id, Operand::Missing)
    }
}

impl Expr {
    /// The value of every node, each computed once; below an `exists` or `all` the element is missing.
    pub(crate) fn values<'a>(&'a self, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Vec<Operand<'a>> {
        let run = Run { expr: self, value_of };
        let mut done: Vec<Operand<'a>> = Vec::with_capacity(self.nodes.len());
        for id in 0..self.nodes.len() {
            // INVARIANT: children stand before their parents.
            let value = run.of(id, Operand::Missing, &|child| done[child]);
            done.push(value);
        }
        done
    }
}

struct Run<'a, 'b> {
    expr: &'a Expr,
    value_of: &'b dyn Fn(&Leaf) -> Operand<'a>,
}

impl<'a> Run<'a, '_> {
    fn value(&self, id: NodeId, element: Operand<'a>) -> Operand<'a> {
        self.of(id, element, &|id| self.value(id, element))
    }

    /// The value of a node, given those of its children.
    fn of(&self, id: NodeId, element: Operand<'a>, child: &dyn Fn(NodeId) -> Operand<'a>) -> Operand<'a> {
        let get = |id: &NodeId| child(*id);
        match self.expr.node(id) {
            Node::Literal(value) => Operand::of(value),
            Node::Leaf(leaf) => (self.value_of)(&self.expr.leaves()[*leaf]),
            Node::Element => element,
            Node::Not(inner) => match get(inner) {
                Operand::Bool(value) => Operand::Bool(!value),
                same => same,
            },
            Node::And(parts) => parts.iter().map(|part| get(part).truth()).fold(Truth::True, Truth::and).into(),
            Node::Or(parts) => parts.iter().map(|part| get(part).truth()).fold(Truth::False, Truth::or).into(),
            Node::Compare(comparison, a, b) => compare(*comparison, get(a), get(b)),
            Node::In(item, list) => membership(get(item), get(list)),
            Node::Sum(sign, a, b) => sum(*sign, get(a), get(b)),
            Node::Test(test, a, b) => text_test(*test, get(a), get(b)),
            Node::Each(quantifier, list, body) => self.each(*quantifier, get(list), *body),
            Node::Size(inner) => match get(inner) {
                // SPEC: CEL, `size` of a string counts code points.
                Operand::Text(text) => Operand::Int(text.chars().count() as i64),
                Operand::List(items) => Operand::Int(items.len() as i64),
                same => same,
            },
            Node::Has(inner) => match get(inner) {
                Operand::Missing => Operand::Bool(false),
                fault @ Operand::Error(_) => fault,
                _ => Operand::Bool(true),
            },
        }
    }

    fn each(&self, quantifier: Quantifier, list: Operand<'a>, body: NodeId) -> Operand<'a> {
        let Operand::List(items) = list else { return list };
        let answers = items.iter().map(|item| self.value(body, Operand::of(item)).truth());
        match quantifier {
            Quantifier::Exists => answers.fold(Truth::False, Truth::or).into(),
            Quantifier::All => answers.fold(Truth::True, Truth::and).into(),
        }
    }
}

/// The order of two values of one type; none of two types, of lists, of what is not known.
pub(crate) fn ordering(a: Operand<'_>, b: Operand<'_>) -> Option<Ordering> {
    match (a, b) {
        (Operand::Bool(a), Operand::Bool(b)) => Some(a.cmp(&b)),
        (Operand::Int(a), Operand::Int(b)) | (Operand::Duration(a), Operand::Duration(b)) => Some(a.cmp(&b)),
        (Operand::Decimal(a), Operand::Decimal(b)) => Some(a.cmp(&b)),
        (Operand::Text(a), Operand::Text(b)) => Some(a.cmp(b)),
        (Operand::Instant(a), Operand::Instant(b)) => Some(a.cmp(&b)),
        _ => None,
    }
}

/// A comparison as the evaluator makes it.
pub(crate) fn compare<'a>(comparison: Comparison, a: Operand<'a>, b: Operand<'a>) -> Operand<'a> {
    if let Some(answer) = strict(a, b) {
        return answer;
    }
    let Some(order) = ordering(a, b) else { return Operand::Error(Fault::Invalid("values of two types")) };
    Operand::Bool(comparison.holds(order))
}

fn membership<'a>(item: Operand<'a>, list: Operand<'a>) -> Operand<'a> {
    if let Some(answer) = strict(item, list) {
        return answer;
    }
    let Operand::List(items) = list else { return Operand::Error(Fault::Invalid("not a list")) };
    Operand::Bool(items.iter().any(|other| ordering(item, Operand::of(other)) == Some(Ordering::Equal)))
}

fn text_test<'a>(test: TextTest, a: Operand<'a>, b: Operand<'a>) -> Operand<'a> {
    if let Some(answer) = strict(a, b) {
        return answer;
    }
    let (Operand::Text(text), Operand::Text(part)) = (a, b) else {
        return Operand::Error(Fault::Invalid("not a text"));
    };
    Operand::Bool(match test {
        TextTest::StartsWith => text.starts_with(part),
        TextTest::EndsWith => text.ends_with(part),
        TextTest::Contains => text.contains(part),
    })
}

/// SPEC: CEL; timestamps stay within the years 1 to 9999, and a difference of timestamps within 64 bits of nanoseconds.
fn sum<'a>(sign: Sign, a: Operand<'a>, b: Operand<'a>) -> Operand<'a> {
    if let Some(answer) = strict(a, b) {
        return answer;
    }
    let factor = if sign == Sign::Plus { 1 } else { -1 };
    let instant = |nanos: i128| match (literal::INSTANT_MIN..=literal::INSTANT_MAX).contains(&nanos) {
        true => Operand::Instant(nanos),
        false => Operand::Error(Fault::Overflow),
    };
    let span = |nanos: i128| i64::try_from(nanos).map_or(Operand::Error(Fault::Overflow), Operand::Duration);
    match (a, b) {
        (Operand::Instant(a), Operand::Duration(b)) => instant(a + factor * i128::from(b)),
        (Operand::Duration(a), Operand::Instant(b)) => instant(i128::from(a) + b),
        (Operand::Instant(a), Operand::Instant(b)) => {
            difference(a, b).map_or(Operand::Error(Fault::Overflow), Operand::Duration)
        }
        (Operand::Duration(a), Operand::Duration(b)) => span(i128::from(a) + factor * i128::from(b)),
        _ => Operand::Error(Fault::Invalid("not a time")),
    }
}

/// SPEC: CEL C++ subtracts whole seconds and nanoseconds apart, so a difference in the last second of the 64 bits is an
/// error whenever the seconds alone leave them.
fn difference(a: i128, b: i128) -> Option<i64> {
    const SECOND: i128 = 1_000_000_000;
    let seconds = i64::try_from((a.div_euclid(SECOND) - b.div_euclid(SECOND)) * SECOND).ok()?;
    seconds.checked_add(i64::try_from(a.rem_euclid(SECOND) - b.rem_euclid(SECOND)).ok()?)
}

impl Operand<'_> {
    /// The value as a literal, or `missing` or `error`.
    #[must_use]
    pub fn shown(self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Decimal(value) => value.to_string(),
            Self::Text(value) => literal::quoted(value),
            Self::Instant(nanos) => match jiff::Timestamp::from_nanosecond(nanos) {
                Ok(time) => time.to_string(),
                Err(_) => format!("{nanos} ns since 1970"),
            },
            Self::Duration(nanos) => literal::duration_text(nanos),
            Self::List(items) => Value::List(items.to_vec()).to_string(),
            Self::Missing => "missing".to_owned(),
            Self::Error(Fault::Overflow) => "error (out of range)".to_owned(),
            Self::Error(Fault::Invalid(why)) => format!("error ({why})"),
        }
    }

    #[must_use]
    pub const fn is_known(self) -> bool {
        !matches!(self, Self::Missing | Self::Error(_))
    }
}
