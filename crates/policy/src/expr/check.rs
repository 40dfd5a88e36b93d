//! Syntax tree → typed arena.

use super::parser::{Kind, Tree};
use super::{Comparison, Expr, ExprError, Node, NodeId, Place, Resolve, Scalar, Type, Value};
use evidence::Metric;
use std::ops::Range;

/// Where the value of a path comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A field of a fact of the catalogue.
    Fact(&'static Metric, &'static str),
    /// What the case says of its system, by its name in `metric::SYSTEM`.
    System(&'static str),
    /// What is known of the request, by its position in `MEMBERS`.
    Request(usize),
    /// A variable of a scope that is not a card's.
    Variable,
}

/// A path that an expression reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub path: String,
    pub source: Source,
    pub kind: Type,
    /// Its place among the paths of the whole card, where it stands in one.
    pub(crate) slot: usize,
}

pub(super) fn check(text: &str, tree: &Tree, place: Place, resolve: Resolve<'_>) -> Result<Expr, ExprError> {
    refuse_has(tree, place == Place::PassWhen)?;
    let expr = Expr { text: text.to_owned(), nodes: Vec::new(), spans: Vec::new(), leaves: Vec::new() };
    let mut checker = Checker { expr, resolve, element: None };
    let (_, kind) = checker.tree(tree)?;
    if kind != Type::BOOL {
        return Err(ExprError::new("type", format!("expected a condition, found {kind}"), tree.span.clone()));
    }
    Ok(checker.expr)
}

/// `has` may be reached from the root through `&&` and `||` alone: so it can only make an answer stricter.
fn refuse_has(tree: &Tree, is_allowed: bool) -> Result<(), ExprError> {
    if matches!(tree.kind, Kind::Has(_)) && !is_allowed {
        let error = ExprError::new("has", "`has` may stand only in `pass_when`, un-negated", tree.span.clone());
        return Err(
            error.hint("elsewhere it would let missing evidence decide; leave it out: a missing fact is `missing`")
        );
    }
    let is_allowed = is_allowed && matches!(tree.kind, Kind::And(_) | Kind::Or(_));
    tree.children().into_iter().try_for_each(|child| refuse_has(child, is_allowed))
}

struct Checker<'a> {
    expr: Expr,
    resolve: Resolve<'a>,
    /// Name and type of the element under the enclosing `exists` or `all`.
    element: Option<(String, Scalar)>,
}

impl Checker<'_> {
    fn push(&mut self, node: Node, span: &Range<usize>) -> NodeId {
        self.expr.nodes.push(node);
        self.expr.spans.push(span.clone());
        self.expr.nodes.len() - 1
    }

    fn tree(&mut self, tree: &Tree) -> Result<(NodeId, Type), ExprError> {
        let (node, kind) = match &tree.kind {
            Kind::Path(path) => self.path(path, &tree.span)?,
            Kind::Literal(value) => (Node::Literal(value.clone()), value.kind()),
            Kind::Not(inner) => (Node::Not(self.of(inner, Type::BOOL, "after `!`")?), Type::BOOL),
            Kind::And(parts) => (Node::And(self.all_bool(parts, "beside `&&`")?), Type::BOOL),
            Kind::Or(parts) => (Node::Or(self.all_bool(parts, "beside `||`")?), Type::BOOL),
            Kind::Compare(comparison, a, b) => self.compare(*comparison, a, b, &tree.span)?,
            Kind::In(item, list) => self.membership(item, list)?,
            Kind::Sum(sign, a, b) => {
                let ((a, left), (b, right)) = (self.tree(a)?, self.tree(b)?);
                (Node::Sum(*sign, a, b), sum_type(*sign, left, right, &tree.span)?)
            }
            Kind::Test(test, a, b) => {
                let a = self.of(a, Type::TEXT, "before a text test")?;
                let b = self.of(b, Type::TEXT, "in a text test")?;
                (Node::Test(*test, a, b), Type::BOOL)
            }
            Kind::Each { quantifier, list, name, name_span, body } => {
                let list = self.list(list)?;
                let body = self.body(name, name_span, list.1, body)?;
                (Node::Each(*quantifier, list.0, body), Type::BOOL)
            }
            Kind::Size(path) => {
                let (id, kind) = self.tree(path)?;
                if kind != Type::TEXT && !matches!(kind, Type::List(_)) {
                    return Err(mismatch("a text or a list in `size`", kind, &path.span));
                }
                (Node::Size(id), Type::INT)
            }
            Kind::Has(path) => (Node::Has(self.tree(path)?.0), Type::BOOL),
        };
        Ok((self.push(node, &tree.span), kind))
    }

    fn of(&mut self, tree: &Tree, expected: Type, place: &str) -> Result<NodeId, ExprError> {
        let (id, kind) = self.tree(tree)?;
        if kind == expected { Ok(id) } else { Err(mismatch(&format!("{expected} {place}"), kind, &tree.span)) }
    }

    fn all_bool(&mut self, parts: &[Tree], place: &str) -> Result<Vec<NodeId>, ExprError> {
        parts.iter().map(|part| self.of(part, Type::BOOL, place)).collect()
    }

    fn path(&mut self, path: &str, span: &Range<usize>) -> Result<(Node, Type), ExprError> {
        if let Some((_, scalar)) = self.element.as_ref().filter(|(name, _)| name == path) {
            return Ok((Node::Element, Type::One(*scalar)));
        }
        if let Some(position) = self.expr.leaves.iter().position(|leaf| leaf.path == path) {
            return Ok((Node::Leaf(position), self.expr.leaves[position].kind));
        }
        let (source, kind) = (self.resolve)(path).map_err(|unresolved| {
            let error = ExprError::new(unresolved.code, unresolved.message, span.clone());
            ExprError { hint: unresolved.hint, ..error }
        })?;
        let slot = self.expr.leaves.len();
        self.expr.leaves.push(Leaf { path: path.to_owned(), source, kind, slot });
        Ok((Node::Leaf(self.expr.leaves.len() - 1), kind))
    }

    fn compare(
        &mut self,
        comparison: Comparison,
        a: &Tree,
        b: &Tree,
        span: &Range<usize>,
    ) -> Result<(Node, Type), ExprError> {
        let ((left_id, left), (right_id, right)) = (self.tree(a)?, self.tree(b)?);
        let Type::One(scalar) = left else {
            return Err(mismatch("a single value beside a comparison", left, &a.span));
        };
        if left != right {
            let message = format!("expected {left} beside `{}`, found {right}", comparison.symbol());
            let error = ExprError::new("type", message, b.span.clone());
            let literal = [a, b].into_iter().find_map(|side| match side.kind {
                Kind::Literal(Value::Int(value)) => Some(value),
                _ => None,
            });
            return Err(match literal {
                Some(value) if left == Type::DECIMAL || right == Type::DECIMAL => {
                    error.hint(format!("a decimal field is compared with a decimal: write `{value}.0`"))
                }
                _ => error,
            });
        }
        let is_ordering = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if is_ordering && scalar == Scalar::Bool {
            return Err(ExprError::new("type", "bools have no order", span.clone()));
        }
        Ok((Node::Compare(comparison, left_id, right_id), Type::BOOL))
    }

    fn membership(&mut self, item: &Tree, list: &Tree) -> Result<(Node, Type), ExprError> {
        let (item_id, kind) = self.tree(item)?;
        let (list_id, scalar) = self.list(list)?;
        if kind != Type::One(scalar) && scalar != Scalar::Any {
            return Err(mismatch(&format!("{} to look for in a list of such", scalar.name()), kind, &item.span));
        }
        if matches!(kind, Type::List(_)) {
            return Err(mismatch("a single value before `in`", kind, &item.span));
        }
        Ok((Node::In(item_id, list_id), Type::BOOL))
    }

    fn list(&mut self, tree: &Tree) -> Result<(NodeId, Scalar), ExprError> {
        match self.tree(tree)? {
            (id, Type::List(scalar)) => Ok((id, scalar)),
            (_, kind) => Err(mismatch("a list", kind, &tree.span)),
        }
    }

    fn body(&mut self, name: &str, span: &Range<usize>, scalar: Scalar, body: &Tree) -> Result<NodeId, ExprError> {
        if self.element.is_some() {
            return Err(ExprError::new("limit", "expected one level of `exists` and `all`", body.span.clone()));
        }
        if scalar == Scalar::Any {
            return Err(ExprError::new("type", "the empty list has no elements to speak of", span.clone()));
        }
        let is_root = matches!(name, "system" | "request" | "response")
            || evidence::metric::CATALOGUE.iter().any(|m| m.id.split('.').next() == Some(name));
        if is_root {
            let message = format!("the element's name `{name}` hides a fact");
            return Err(ExprError::new("syntax", message, span.clone()).hint("take another name, such as `x`"));
        }
        self.element = Some((name.to_owned(), scalar));
        let id = self.of(body, Type::BOOL, "as the condition on the element");
        self.element = None;
        id
    }
}

fn sum_type(sign: super::Sign, left: Type, right: Type, span: &Range<usize>) -> Result<Type, ExprError> {
    use super::Sign::{Minus, Plus};
    match (left, sign, right) {
        (Type::TIMESTAMP, _, Type::DURATION) | (Type::DURATION, Plus, Type::TIMESTAMP) => Ok(Type::TIMESTAMP),
        (Type::TIMESTAMP, Minus, Type::TIMESTAMP) | (Type::DURATION, _, Type::DURATION) => Ok(Type::DURATION),
        _ => {
            let mark = if sign == Plus { "+" } else { "-" };
            let message = format!("expected timestamps and durations beside `{mark}`, found {left} and {right}");
            let hint = "sums, ratios and products are facts of their own, not made by a card";
            Err(ExprError::new("type", message, span.clone()).hint(hint))
        }
    }
}

fn mismatch(expected: &str, found: Type, span: &Range<usize>) -> ExprError {
    ExprError::new("type", format!("expected {expected}, found {found}"), span.clone())
}
