//! One condition → total rules, one a node.

use super::document::literal;
use super::quoted;
use crate::expr::{Comparison, Expr, Leaf, Node, NodeId, Operand, Quantifier, Scalar, Sign, TextTest, Type, Value};
use std::fmt::Write as _;

/// Writes the rules of a condition.
pub(super) struct Emitter<'a> {
    /// Stands before the name of each rule.
    prefix: &'a str,
    expr: &'a Expr,
    /// What stands in the input for a leaf: null where nothing does.
    raw: &'a dyn Fn(&Leaf) -> String,
    out: &'a mut String,
    /// The reference to the value of each leaf already written.
    leaves: Vec<Option<String>>,
}

/// Writes the rules of `expr` and returns what refers to its truth.
pub(super) fn emit(prefix: &str, expr: &Expr, raw: &dyn Fn(&Leaf) -> String, out: &mut String) -> String {
    let leaves = vec![None; expr.leaves().len()];
    Emitter { prefix, expr, raw, out, leaves }.truth(expr.root())
}

impl Emitter<'_> {
    /// What refers to the truth of a node: a text, a rule, or a call with the element.
    fn truth(&mut self, id: NodeId) -> String {
        let body = match self.expr.node(id) {
            Node::Literal(value) => return quoted(if *value == Value::Bool(true) { "t" } else { "f" }),
            Node::Leaf(_) | Node::Element => format!("lib.truth({})", self.value(id)),
            Node::Not(inner) => format!("lib.negated({})", self.truth(*inner)),
            Node::And(parts) => format!("lib.all_of({})", self.set(parts)),
            Node::Or(parts) => format!("lib.any_of({})", self.set(parts)),
            Node::Compare(comparison, a, b) => {
                let is_order = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
                let is_time = is_order && matches!(self.kind(*a), Type::TIMESTAMP | Type::DURATION);
                let (a, b) = (self.value(*a), self.value(*b));
                format!("lib.{}{}({a}, {b})", if is_time { "time_" } else { "" }, comparison_name(*comparison))
            }
            Node::In(item, list) => {
                let (item, list) = (self.value(*item), self.value(*list));
                format!("lib.within({item}, {list})")
            }
            Node::Test(test, a, b) => {
                let (a, b) = (self.value(*a), self.value(*b));
                let name = match test {
                    TextTest::StartsWith => "starts_with",
                    TextTest::EndsWith => "ends_with",
                    TextTest::Contains => "holds",
                };
                format!("lib.{name}({a}, {b})")
            }
            Node::Each(quantifier, list, condition) => {
                let (list, condition) = (self.value(*list), self.truth(*condition));
                let name = if *quantifier == Quantifier::Exists { "exists" } else { "for_all" };
                format!("lib.{name}({list}, {{{condition} | some item in {list}.v; x := lib.known(item)}})")
            }
            Node::Has(inner) => format!("lib.has({})", self.value(*inner)),
            // INVARIANT: the checker gives neither the type bool.
            Node::Sum(..) | Node::Size(_) => "\"e\"".to_owned(),
        };
        self.rule(id, &body)
    }

    /// What refers to the value of a node.
    fn value(&mut self, id: NodeId) -> String {
        let body = match self.expr.node(id) {
            Node::Literal(value) => return format!("lib.known({})", literal(value)),
            Node::Leaf(leaf) => return self.leaf(*leaf),
            Node::Element => return "x".to_owned(),
            Node::Sum(sign, a, b) => {
                let name = match (self.kind(*a), sign, self.kind(*b)) {
                    (Type::TIMESTAMP, Sign::Minus, Type::TIMESTAMP) => "between",
                    (Type::TIMESTAMP, Sign::Minus, _) => "earlier",
                    (Type::TIMESTAMP, Sign::Plus, _) | (_, Sign::Plus, Type::TIMESTAMP) => "later",
                    (_, Sign::Plus, _) => "longer",
                    (_, Sign::Minus, _) => "shorter",
                };
                let (a, b) = (self.value(*a), self.value(*b));
                format!("lib.{name}({a}, {b})")
            }
            Node::Size(inner) => format!("lib.size({})", self.value(*inner)),
            _ => format!("lib.value({})", self.truth(id)),
        };
        self.rule(id, &body)
    }

    fn leaf(&mut self, at: usize) -> String {
        if let Some(known) = &self.leaves[at] {
            return known.clone();
        }
        let leaf = &self.expr.leaves()[at];
        let reader = match leaf.kind {
            Type::BOOL => "boolean",
            Type::INT => "whole",
            Type::DECIMAL => "number",
            Type::TIMESTAMP | Type::DURATION => "time",
            Type::List(Scalar::Text) => "texts",
            Type::List(Scalar::Bool) => "booleans",
            Type::List(Scalar::Int) => "wholes",
            Type::List(_) => "numbers",
            Type::One(_) => "text",
        };
        let name = format!("{}_leaf{at}", self.prefix);
        let _ = writeln!(self.out, "{name} := lib.{reader}({}) # {}", (self.raw)(leaf), leaf.path);
        self.leaves[at] = Some(name.clone());
        name
    }

    fn set(&mut self, parts: &[NodeId]) -> String {
        let parts: Vec<String> = parts.iter().map(|part| self.truth(*part)).collect();
        format!("{{{}}}", parts.join(", "))
    }

    /// A rule of its own; a function of the element where the node looks at it.
    fn rule(&mut self, id: NodeId, body: &str) -> String {
        let reads_element = reads_element(self.expr, id);
        let argument = if reads_element { "(x)" } else { "" };
        // A bool that is both truth and value of a node has two rules.
        let kind = if body.starts_with("lib.value(") { "v" } else { "" };
        let name = format!("{}_{id}{kind}{argument}", self.prefix);
        let _ = writeln!(self.out, "{name} := {body}");
        name
    }

    fn kind(&self, id: NodeId) -> Type {
        match self.expr.node(id) {
            Node::Literal(value) => value.kind(),
            Node::Leaf(leaf) => self.expr.leaves()[*leaf].kind,
            Node::Sum(Sign::Minus, a, b) if self.kind(*a) == Type::TIMESTAMP && self.kind(*b) == Type::TIMESTAMP => {
                Type::DURATION
            }
            Node::Sum(_, a, b) if self.kind(*a) == Type::TIMESTAMP || self.kind(*b) == Type::TIMESTAMP => {
                Type::TIMESTAMP
            }
            Node::Sum(..) => Type::DURATION,
            Node::Size(_) => Type::INT,
            // Its scalar is never a time: lists hold none.
            Node::Element => Type::TEXT,
            _ => Type::BOOL,
        }
    }
}

fn reads_element(expr: &Expr, id: NodeId) -> bool {
    match expr.node(id) {
        Node::Element => true,
        // Its own element ends with it, and there is but one level.
        Node::Each(_, list, _) => reads_element(expr, *list),
        node => node.children().into_iter().any(|child| reads_element(expr, child)),
    }
}

const fn comparison_name(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "eq",
        Comparison::NotEqual => "ne",
        Comparison::Less => "lt",
        Comparison::LessOrEqual => "le",
        Comparison::Greater => "gt",
        Comparison::GreaterOrEqual => "ge",
    }
}

/// One expression alone, over `input.f` by path: `data.assize.expression.answer` is its truth.
#[must_use]
pub fn expression_module(expr: &Expr) -> String {
    let mut out = "package assize.expression\n\nimport data.assize.lib\nimport rego.v1\n\n".to_owned();
    let raw = |leaf: &Leaf| format!("object.get(input.f, {}, null)", quoted(&leaf.path));
    let answer = emit("node", expr, &raw, &mut out);
    let _ = writeln!(out, "answer := {answer}");
    out
}

/// The input of `expression_module`: what is missing is left out, what is an error is an object.
#[must_use]
pub fn expression_input<'a>(leaves: &[(&str, Operand<'a>)]) -> String {
    let member = |(path, operand): &(&str, Operand<'a>)| {
        let value = match operand {
            Operand::Missing => return None,
            operand => super::document::given(*operand),
        };
        Some(format!("{}: {value}", quoted(path)))
    };
    let members: Vec<String> = leaves.iter().filter_map(member).collect();
    format!("{{\"f\": {{{}}}}}", members.join(", "))
}
