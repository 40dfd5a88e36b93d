//! Facts on both sides of every constant of a card: what its conditions can come to.

use crate::expr::{Expr, Leaf, Node, Operand, Scalar, Source, Truth, Type, Value};
use evidence::{Decimal, Kind};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Combinations tried at most; beyond it a fixed stride through them is taken.
const TRIES_MAX: usize = 20_000;

/// What was seen of some conditions.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The answers of each condition, in their order.
    pub(crate) answers: Vec<Vec<Truth>>,
    /// Facts that make all of them true, as text.
    pub(crate) all_true: Option<String>,
    /// Whether every combination was tried.
    pub(crate) is_whole: bool,
}

/// One path and the values it is tried with.
struct Axis {
    leaf: Leaf,
    values: Vec<Value>,
}

/// Evaluates conditions on the coherent combinations of boundary values of all their paths.
pub(crate) fn explore(exprs: &[&Expr]) -> Seen {
    let axes = axes(exprs);
    let n_all = axes.iter().fold(1_usize, |n, axis| n.saturating_mul(axis.values.len().max(1)));
    let stride = if n_all <= TRIES_MAX { 1 } else { n_all.div_ceil(TRIES_MAX) | 1 };
    let mut seen = Seen { answers: vec![Vec::new(); exprs.len()], all_true: None, is_whole: stride == 1 };
    let mut at = 0_usize;
    while at < n_all {
        let chosen = choice(&axes, at);
        if is_coherent(&axes, &chosen) {
            look(exprs, &axes, &chosen, &mut seen);
        }
        at = at.saturating_add(stride);
    }
    seen
}

fn look(exprs: &[&Expr], axes: &[Axis], chosen: &[usize], seen: &mut Seen) {
    let operand = |leaf: &Leaf| {
        let position = axes.iter().position(|axis| axis.leaf.path == leaf.path);
        position.map_or(Operand::Missing, |position| Operand::of(&axes[position].values[chosen[position]]))
    };
    let mut is_all_true = true;
    for (expr, known) in exprs.iter().zip(&mut seen.answers) {
        let answer = evaluate(expr, &operand);
        is_all_true &= answer == Truth::True;
        if !known.contains(&answer) {
            known.push(answer);
        }
    }
    if is_all_true && seen.all_true.is_none() {
        let pairs = axes.iter().zip(chosen);
        let shown: Vec<String> = pairs.map(|(axis, at)| format!("{} = {}", axis.leaf.path, axis.values[*at])).collect();
        seen.all_true = Some(if shown.is_empty() { "all facts".to_owned() } else { shown.join(", ") });
    }
}

/// Ties the lifetime of the operands to the shorter of expression and axes.
fn evaluate<'a>(expr: &'a Expr, operand: &dyn Fn(&Leaf) -> Operand<'a>) -> Truth {
    expr.evaluate(operand)
}

/// The `at`-th combination, in mixed radix.
fn choice(axes: &[Axis], mut at: usize) -> Vec<usize> {
    let digit = |axis: &Axis| {
        let n = axis.values.len().max(1);
        let digit = at % n;
        at /= n;
        digit
    };
    axes.iter().map(digit).collect()
}

/// Facts that no instrument could give are not tried: bounds reversed, more successes than trials.
fn is_coherent(axes: &[Axis], chosen: &[usize]) -> bool {
    let value = |fact: &str, name: &str| {
        let is_it =
            |axis: &Axis| matches!(axis.leaf.source, Source::Fact(metric, field) if metric.id == fact && field == name);
        axes.iter().position(is_it).map(|position| &axes[position].values[chosen[position]])
    };
    let in_order = |fact: &str, a: &str, b: &str| match (value(fact, a), value(fact, b)) {
        (Some(Value::Decimal(a)), Some(Value::Decimal(b))) => a <= b,
        (Some(Value::Int(a)), Some(Value::Int(b))) => a <= b,
        _ => true,
    };
    axes.iter().all(|axis| match axis.leaf.source {
        Source::Fact(metric, _) => [
            ("lower", "value"),
            ("value", "upper"),
            ("lower", "upper"),
            ("lower95", "value"),
            ("value", "upper95"),
            ("lower95", "upper95"),
            ("k", "n"),
        ]
        .into_iter()
        .all(|(a, b)| in_order(metric.id, a, b)),
        Source::System(_) | Source::Request(_) | Source::Variable => true,
    })
}

fn axes(exprs: &[&Expr]) -> Vec<Axis> {
    let mut leaves: Vec<Leaf> = Vec::new();
    for leaf in exprs.iter().flat_map(|expr| expr.leaves()) {
        if !leaves.iter().any(|known| known.path == leaf.path) {
            leaves.push(leaf.clone());
        }
    }
    let literals: Vec<&Value> = exprs.iter().flat_map(|expr| expr.nodes()).filter_map(literal).collect();
    let axis = |leaf: Leaf| Axis { values: values(&leaf, &literals), leaf };
    leaves.into_iter().map(axis).collect()
}

fn literal(node: &Node) -> Option<&Value> {
    match node {
        Node::Literal(value) => Some(value),
        _ => None,
    }
}

/// The constants of the path's type, each with its neighbours, and something else.
pub(crate) fn values(leaf: &Leaf, literals: &[&Value]) -> Vec<Value> {
    let scalars = || {
        literals.iter().flat_map(|value| match value {
            Value::List(items) => items.iter().collect::<Vec<_>>(),
            value => vec![*value],
        })
    };
    let is_share = matches!(leaf.source, Source::Fact(metric, _) if metric.kind == Kind::Proportion);
    match leaf.kind {
        Type::One(Scalar::Bool) => vec![Value::Bool(true), Value::Bool(false)],
        Type::One(Scalar::Int) => ints(scalars()),
        Type::One(Scalar::Decimal) => decimals(scalars(), is_share),
        Type::One(Scalar::Duration) => durations(scalars()),
        Type::One(Scalar::Timestamp) => instants(scalars()),
        Type::One(Scalar::Text | Scalar::Any) => {
            let mut all = texts(scalars());
            all.extend(sizes(scalars()).map(|size| Value::Text("x".repeat(size))));
            all
        }
        Type::List(_) => {
            let mut all = lists(&texts(scalars()));
            all.extend(sizes(scalars()).map(|size| Value::List(vec!["something else".into(); size])));
            all
        }
    }
}

fn ints<'a>(literals: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut all = BTreeSet::from([0, 1]);
    for value in literals {
        if let Value::Int(value) = value {
            all.extend([value.saturating_sub(1), *value, value.saturating_add(1)]);
        }
    }
    all.into_iter().filter(|value| *value >= 0).map(Value::Int).collect()
}

fn decimals<'a>(literals: impl Iterator<Item = &'a Value>, is_share: bool) -> Vec<Value> {
    let mut all = BTreeSet::from([Decimal::ZERO, Decimal::ONE]);
    for value in literals {
        if let Value::Decimal(value) = value {
            all.insert(*value);
            all.extend(neighbours(*value));
        }
    }
    let is_possible = |value: &Decimal| !is_share || (!value.is_negative() && *value <= Decimal::ONE);
    all.into_iter().filter(is_possible).map(Value::Decimal).collect()
}

/// One step below and above: a unit in the digit after the last one written.
fn neighbours(value: Decimal) -> Vec<Decimal> {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let n_places = i32::try_from(fraction.len()).unwrap_or(0) + 1;
    if let Ok(mantissa) = format!("{whole}{fraction}0").parse::<i64>() {
        return [-1, 1].into_iter().filter_map(|step| Decimal::new(mantissa.checked_add(step)?, -n_places)).collect();
    }
    // Beyond 18 digits the written digits are a mantissa and zeros: step in its next digit.
    let significant = whole.trim_end_matches('0');
    let exponent = i32::try_from(whole.len() - significant.len()).unwrap_or(0) - 1;
    let mantissa = format!("{significant}0").parse::<i64>().ok();
    let step = |step: i64| Decimal::new(mantissa?.checked_add(step)?, exponent);
    [-1, 1].into_iter().filter_map(step).collect()
}

fn durations<'a>(literals: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut all = BTreeSet::from([0, 1_000_000_000]);
    for value in literals {
        if let Value::Duration(value) = value {
            all.extend([value.saturating_sub(1), *value, value.saturating_add(1)]);
        }
    }
    all.into_iter().map(Value::Duration).collect()
}

fn instants<'a>(literals: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    // Two, so that instants compared with each other can be in either order.
    let mut all = BTreeSet::from([0, 1_000_000_000]);
    for value in literals {
        if let Value::Timestamp(value) = value {
            let nanos = value.as_nanosecond();
            all.extend([nanos - 1, nanos, nanos + 1]);
        }
    }
    all.into_iter().filter_map(|nanos| Timestamp::from_nanosecond(nanos).ok()).map(Value::Timestamp).collect()
}

fn texts<'a>(literals: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut all: BTreeSet<&str> = BTreeSet::from(["", "something else"]);
    for value in literals {
        if let Value::Text(value) = value {
            all.insert(value);
        }
    }
    all.into_iter().map(Value::from).collect()
}

/// Lengths on both sides of the small integers written: for `size`.
fn sizes<'a>(literals: impl Iterator<Item = &'a Value>) -> impl Iterator<Item = usize> {
    let sizes = literals.filter_map(|value| match value {
        Value::Int(value) => usize::try_from(*value).ok().filter(|size| *size <= 64),
        _ => None,
    });
    sizes.flat_map(|size| [size, size + 1]).collect::<BTreeSet<usize>>().into_iter()
}

/// Every selection of few texts; of many the empty one, each alone, all but each, and all.
fn lists(texts: &[Value]) -> Vec<Value> {
    let n = texts.len();
    let chosen = |keep: &dyn Fn(usize) -> bool| {
        Value::List(texts.iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, text)| text.clone()).collect())
    };
    if n <= 6 {
        return (0..1_usize << n).map(|bits| chosen(&|at| bits >> at & 1 == 1)).collect();
    }
    let alone = (0..n).map(|one| chosen(&|at| at == one));
    let but_one = (0..n).map(|one| chosen(&|at| at != one));
    [chosen(&|_| false), chosen(&|_| true)].into_iter().chain(alone).chain(but_one).collect()
}
