//! The questions a plan asks of a request. The common shapes are asked directly, any other through the evaluator.

use crate::expr::{
    Comparison, Expr, Leaf, Node, NodeId, Operand, Quantifier, Source, Truth, Type, Value, compare_operands,
};
use crate::facts::System;
use crate::request::{MEMBERS, MemberId, Request, Slot};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    /// A member that is itself true or false.
    Flag(MemberId),
    /// A member beside a value.
    Compare(MemberId, Comparison, Value),
    /// A text member in a list.
    OneOf(MemberId, Vec<String>),
    /// A text in a list member.
    Holds(MemberId, String),
    /// Some element of a list member in a list.
    Meets(MemberId, Vec<String>),
    Any(Box<General>),
}

/// Any other condition, with the system's members that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct General {
    expr: Expr,
    id: NodeId,
    system: Vec<(&'static str, Value)>,
}

impl Atom {
    /// INVARIANT: the node reads a member of the request.
    pub(super) fn of(expr: &Expr, id: NodeId, system: &System) -> Self {
        let common = match expr.node(id) {
            Node::Leaf(_) => member(expr, id).map(Self::Flag),
            Node::Compare(comparison, a, b) => compared(expr, *comparison, *a, *b, system),
            Node::In(item, list) => within(expr, *item, *list, system),
            Node::Each(Quantifier::Exists, list, body) => meets(expr, *list, *body),
            _ => None,
        };
        common.unwrap_or_else(|| {
            let read = expr.leaves().iter().filter_map(|leaf| match leaf.source {
                Source::System(name) => Some((name, system.get(name)?.clone())),
                _ => None,
            });
            Self::Any(Box::new(General { expr: expr.clone(), id, system: read.collect() }))
        })
    }

    /// The member that alone settles the question, where the values it names are all there is to know.
    pub(super) fn plain_member(&self) -> Option<MemberId> {
        match self {
            Self::Flag(member) | Self::Compare(member, ..) | Self::OneOf(member, _) => Some(*member),
            Self::Holds(member, _) | Self::Meets(member, _) => Some(*member),
            Self::Any(_) => None,
        }
    }

    /// The values that the question names.
    pub(super) fn named(&self) -> Vec<Value> {
        match self {
            Self::Flag(_) => vec![Value::Bool(true)],
            Self::Compare(_, _, value) => vec![value.clone()],
            Self::OneOf(_, texts) | Self::Meets(_, texts) => texts.iter().cloned().map(Value::Text).collect(),
            Self::Holds(_, text) => vec![Value::Text(text.clone())],
            Self::Any(_) => Vec::new(),
        }
    }

    pub(super) fn truth(&self, request: &Request) -> Truth {
        match self {
            Self::Flag(member) => request.operand(*member).truth(),
            Self::Compare(member, comparison, value) => compare(*comparison, request, *member, value),
            Self::OneOf(member, texts) => known(request, *member, |value| match value {
                Value::Text(text) => texts.iter().any(|other| other == text).into(),
                _ => Truth::Error,
            }),
            Self::Holds(member, text) => listed(request, *member, |other| other == text),
            Self::Meets(member, texts) => listed(request, *member, |other| texts.iter().any(|text| text == other)),
            Self::Any(general) => general.truth(request),
        }
    }
}

impl General {
    fn truth(&self, request: &Request) -> Truth {
        truth_at(&self.expr, self.id, &|leaf| match leaf.source {
            Source::Request(member) => request.operand(member),
            Source::System(name) => {
                let found = self.system.iter().find(|(known, _)| *known == name);
                found.map_or(Operand::Missing, |(_, value)| Operand::of(value))
            }
            Source::Fact(..) | Source::Variable => Operand::Missing,
        })
    }
}

/// One lifetime for the condition and what it reads.
fn truth_at<'a>(expr: &'a Expr, id: NodeId, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Truth {
    expr.truth_at(id, value_of)
}

fn known(request: &Request, member: MemberId, test: impl FnOnce(&Value) -> Truth) -> Truth {
    match request.slot(member) {
        Slot::Missing => Truth::Missing,
        Slot::Failed => Truth::Error,
        Slot::There(value) => test(value),
    }
}

/// Texts are the most common, and equal lengths settle most of them.
fn compare(comparison: Comparison, request: &Request, member: MemberId, value: &Value) -> Truth {
    known(request, member, |found| match (found, value, comparison) {
        (Value::Text(a), Value::Text(b), Comparison::Equal) => (a == b).into(),
        (Value::Text(a), Value::Text(b), Comparison::NotEqual) => (a != b).into(),
        (found, value, comparison) => compare_operands(comparison, Operand::of(found), Operand::of(value)).truth(),
    })
}

/// Whether some text of a list member passes; a list beyond the limit is an error, as for the evaluator.
fn listed(request: &Request, member: MemberId, test: impl Fn(&String) -> bool) -> Truth {
    match request.operand(member) {
        Operand::List(items) => items.iter().any(|item| matches!(item, Value::Text(text) if test(text))).into(),
        other => other.truth(),
    }
}

fn member(expr: &Expr, id: NodeId) -> Option<MemberId> {
    match expr.node(id) {
        Node::Leaf(leaf) => match expr.leaves()[*leaf].source {
            Source::Request(member) => Some(member),
            _ => None,
        },
        _ => None,
    }
}

/// A value that is known now; what the system does not say is left to the evaluator.
fn settled(expr: &Expr, id: NodeId, system: &System) -> Option<Value> {
    match expr.node(id) {
        Node::Literal(value) => Some(value.clone()),
        Node::Leaf(leaf) => match expr.leaves()[*leaf].source {
            Source::System(name) => system.get(name).cloned(),
            _ => None,
        },
        _ => None,
    }
}

fn compared(expr: &Expr, comparison: Comparison, a: NodeId, b: NodeId, system: &System) -> Option<Atom> {
    if let (Some(member), Some(value)) = (member(expr, a), settled(expr, b, system)) {
        return Some(Atom::Compare(member, comparison, value));
    }
    let (member, value) = (member(expr, b)?, settled(expr, a, system)?);
    Some(Atom::Compare(member, comparison.mirrored(), value))
}

fn within(expr: &Expr, item: NodeId, list: NodeId, system: &System) -> Option<Atom> {
    if let Some(member) = member(expr, item).filter(|member| MEMBERS[*member].kind == Type::TEXT) {
        return Some(Atom::OneOf(member, texts(&settled(expr, list, system)?)?));
    }
    match (settled(expr, item, system)?, member(expr, list)?) {
        (Value::Text(text), member) => Some(Atom::Holds(member, text)),
        _ => None,
    }
}

/// `member.exists(x, x in […])`.
fn meets(expr: &Expr, list: NodeId, body: NodeId) -> Option<Atom> {
    let member = member(expr, list)?;
    let Node::In(item, known) = expr.node(body) else { return None };
    match (expr.node(*item), expr.node(*known)) {
        (Node::Element, Node::Literal(value)) => Some(Atom::Meets(member, texts(value)?)),
        _ => None,
    }
}

/// The texts of a list within the limit; a longer one is an error, which the evaluator says.
fn texts(value: &Value) -> Option<Vec<String>> {
    let Operand::List(items) = Operand::of(value) else { return None };
    let text = |item: &Value| match item {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    items.iter().map(text).collect()
}
