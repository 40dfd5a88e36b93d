//! Which part of a condition settled it, in a sentence with the values that were read.

use crate::card::Condition;
use crate::decide::View;
use crate::expr::{Comparison, Expr, Fault, Node, NodeId, Operand, Truth};
use crate::verdict::DecidedBy;

/// The smallest part that settled a condition, and the sentence about it.
pub(crate) fn settled(view: &View<'_>, condition: Condition) -> (DecidedBy, String) {
    let expr = view.card.condition(condition);
    let (node, atoms) = decisive(view, condition, expr.root());
    let truth = view.truth_of(condition, node);
    let by = DecidedBy { condition, expression: unwrapped(expr.text_of(node)).to_owned(), truth };
    if let [only] = atoms[..] {
        return (by, sentence(view, condition, only));
    }
    let mut sentences: Vec<String> = Vec::with_capacity(atoms.len());
    for sentence in atoms.into_iter().map(|atom| sentence(view, condition, atom)) {
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }
    (by, sentences.join("; "))
}

/// As [`decisive_of`], with the answers that a card comes to.
pub(crate) fn decisive(view: &View<'_>, condition: Condition, id: NodeId) -> (NodeId, Vec<NodeId>) {
    decisive_of(&|id| view.truth_of(condition, id), view.card.condition(condition), id)
}

/// The node down to which one child alone settles its parent, and the atoms below it that count.
pub(crate) fn decisive_of(truth: &dyn Fn(NodeId) -> Truth, expr: &Expr, id: NodeId) -> (NodeId, Vec<NodeId>) {
    let mut atoms = Vec::new();
    let node = descend(truth, expr, id, &mut atoms);
    (node, atoms)
}

fn descend(truth: &dyn Fn(NodeId) -> Truth, expr: &Expr, id: NodeId, atoms: &mut Vec<NodeId>) -> NodeId {
    let (parts, needs_all) = match expr.node(id) {
        Node::Not(inner) => {
            descend(truth, expr, *inner, atoms);
            return id;
        }
        Node::And(parts) => (parts, Truth::True),
        Node::Or(parts) => (parts, Truth::False),
        _ => {
            atoms.push(id);
            return id;
        }
    };
    let answer = truth(id);
    // One part that is as the whole settles it, unless it takes all of them, or each that is missing.
    let most = if answer == needs_all || answer == Truth::Missing { parts.len() } else { 1 };
    let counting = || parts.iter().copied().filter(|part| answer == needs_all || truth(*part) == answer).take(most);
    let mut first_two = counting();
    if let (Some(only), None) = (first_two.next(), first_two.next()) {
        return descend(truth, expr, only, atoms);
    }
    for part in counting() {
        descend(truth, expr, part, atoms);
    }
    id
}

pub(crate) fn sentence(view: &View<'_>, condition: Condition, id: NodeId) -> String {
    let expr = view.card.condition(condition);
    let value = |id: NodeId| view.value(condition, id);
    let answer = value(id).truth();
    if matches!(answer, Truth::Missing | Truth::Error) {
        let bad: Vec<String> = leaves_below(expr, id)
            .into_iter()
            .filter_map(|leaf| match value(leaf) {
                Operand::Missing => Some(format!("{} is missing", expr.text_of(leaf))),
                Operand::Error(Fault::Invalid(why)) => Some(format!("{} is an error: {why}", expr.text_of(leaf))),
                _ => None,
            })
            .collect();
        if !bad.is_empty() {
            return bad.join("; ");
        }
    }
    let verb = match answer {
        Truth::True => "meets",
        Truth::False => "misses",
        Truth::Missing => return format!("`{}` is missing", expr.text_of(id)),
        Truth::Error => return format!("`{}` is an error: out of range", expr.text_of(id)),
    };
    if let Some((leaf, comparison, other)) = bound(expr, id) {
        let (path, found, bound) = (expr.text_of(leaf), value(leaf).shown(), value(other).shown());
        return format!("{path} = {found} {verb} {} {bound}", comparison.symbol());
    }
    let is_leaf = matches!(expr.node(id), Node::Leaf(_));
    let leaves = if is_leaf { Vec::new() } else { leaves_below(expr, id) };
    let operands: Vec<String> =
        leaves.iter().map(|leaf| format!("{} = {}", expr.text_of(*leaf), value(*leaf).shown())).collect();
    match operands.as_slice() {
        [] => format!("{} is {}", unwrapped(expr.text_of(id)), answer.name()),
        _ => format!("`{}` is {} ({})", unwrapped(expr.text_of(id)), answer.name(), operands.join(", ")),
    }
}

/// The conditions that a node joins: none for an atom.
pub(crate) fn parts(expr: &Expr, id: NodeId) -> Vec<NodeId> {
    match expr.node(id) {
        Node::Not(inner) => vec![*inner],
        Node::And(parts) | Node::Or(parts) => parts.clone(),
        _ => Vec::new(),
    }
}

/// A path compared with a literal, the path on the left.
pub(crate) fn bound(expr: &Expr, id: NodeId) -> Option<(NodeId, Comparison, NodeId)> {
    let Node::Compare(comparison, a, b) = expr.node(id) else { return None };
    match (expr.node(*a), expr.node(*b)) {
        (Node::Leaf(_), Node::Literal(_)) => Some((*a, *comparison, *b)),
        (Node::Literal(_), Node::Leaf(_)) => Some((*b, comparison.mirrored(), *a)),
        _ => None,
    }
}

/// The nodes of the paths below a node, each path once.
pub(crate) fn leaves_below(expr: &Expr, id: NodeId) -> Vec<NodeId> {
    let span = expr.span(id);
    let mut seen = Vec::new();
    let mut leaves = Vec::new();
    for (node_id, node) in expr.nodes().iter().enumerate() {
        let below = expr.span(node_id);
        if let Node::Leaf(leaf) = node
            && span.start <= below.start
            && below.end <= span.end
            && !seen.contains(leaf)
        {
            seen.push(*leaf);
            leaves.push(node_id);
        }
    }
    leaves
}

/// Without the parentheses that hold the whole.
pub(crate) fn unwrapped(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return text };
    let mut depth = 0_i32;
    let mut is_whole = true;
    let mut quote = None;
    for character in inner.chars() {
        match (quote, character) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            _ => {}
        }
        is_whole &= depth >= 0;
    }
    if is_whole { unwrapped(inner.trim()) } else { text }
}
