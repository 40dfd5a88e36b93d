//! What would change a verdict: which fact, which way, how far. Differences are exact.

use crate::card::Condition;
use crate::decide::View;
use crate::expr::{Comparison, Expr, Node, NodeId, Operand, Source, Truth, duration_text};
use crate::facts::{Facts, System};
use crate::hatch::Check;
use crate::verdict::{Decision, Finding, Outcome};
use crate::why;
use evidence::Json;

/// Which way a value would have to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Evidence has to be brought, or better evidence.
    Provide,
    Rise,
    Fall,
    /// Be just the bound.
    Become,
    /// Be anything but the bound.
    Differ,
    /// The calendar has to go on.
    Wait,
}

impl Way {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provide => "provide",
            Self::Rise => "rise",
            Self::Fall => "fall",
            Self::Become => "become",
            Self::Differ => "differ",
            Self::Wait => "wait",
        }
    }
}

/// One value that would turn a part of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// A fact's id for missing evidence, else a path such as `refusal_bank.lower95` or `system.role`, else an expression.
    pub path: String,
    pub way: Way,
    /// The value as it is and the one it is held against, as they are written in an expression.
    pub found: Option<String>,
    pub bound: Option<String>,
    /// The distance; with `is_beyond`, more than that.
    pub by: Option<String>,
    pub is_beyond: bool,
    pub sentence: String,
}

impl Turn {
    fn said(path: impl Into<String>, way: Way, sentence: String) -> Self {
        Self { path: path.into(), way, found: None, bound: None, by: None, is_beyond: false, sentence }
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        let text = |text: &Option<String>| text.as_deref().map(Json::from);
        Json::map([
            ("path", Some(self.path.as_str().into())),
            ("way", Some(self.way.name().into())),
            ("found", text(&self.found)),
            ("bound", text(&self.bound)),
            ("by", text(&self.by)),
            ("beyond", self.is_beyond.then_some(true.into())),
            ("sentence", Some(self.sentence.as_str().into())),
        ])
    }
}

/// The fewest values by which one rule that fails, or cannot be decided, would pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    pub rule: String,
    pub pack: String,
    /// As in the decision: `fail`, `waived(fail)`, …
    pub verdict: String,
    /// All of them together, in the order of the card.
    pub turns: Vec<Turn>,
}

impl Nearest {
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([
            ("rule", Some(self.rule.as_str().into())),
            ("pack", Some(self.pack.as_str().into())),
            ("verdict", Some(self.verdict.as_str().into())),
            ("turns", Some(Json::List(self.turns.iter().map(Turn::to_json).collect()))),
        ])
    }
}

/// For every verdict that does not let through: the fewest values that would have to change for the rule to pass.
///
/// Of two ways the one with fewer values is taken, then the one that asks for evidence rather than another system, then the
/// one written first. `system` and `facts` are those that were decided on. Order and rules as in the decision.
#[must_use]
pub fn nearest(decision: &Decision<'_>, system: &System, facts: &Facts) -> Vec<Nearest> {
    let open = decision.verdicts.iter().filter(|verdict| !verdict.finding.outcome.lets_through());
    open.map(|verdict| {
        let view = View::new(verdict.card, system, facts, decision.as_of);
        let (rule, pack) = (verdict.card.id.clone(), verdict.pack.to_owned());
        Nearest { rule, pack, verdict: verdict.name(), turns: to_pass(&view, &verdict.finding) }
    })
    .collect()
}

/// The fewest turns that let a rule pass: what is needed first, then what the conditions ask.
fn to_pass(view: &View<'_>, finding: &Finding) -> Vec<Turn> {
    let mut turns: Vec<Turn> =
        finding.unmet.iter().map(|unmet| Turn::said(unmet.fact, Way::Provide, unmet.sentence.clone())).collect();
    let wanted = [(Condition::Applies, true), (Condition::PassWhen, true), (Condition::FailWhen, false)];
    let is_written = |condition| view.card.check.is_none() || condition == Condition::Applies;
    for (condition, is_wanted) in wanted.into_iter().filter(|(condition, _)| is_written(*condition)) {
        for atom in fewest(view, condition, view.card.condition(condition).root(), is_wanted) {
            let turn = turn(view, condition, atom);
            let is_told = turns.iter().any(|told| told.sentence == turn.sentence || is_of_fact(&turn.path, &told.path));
            if !is_told {
                turns.push(turn);
            }
        }
    }
    turns.extend(view.card.check.as_ref().map(of_check));
    turns
}

/// What a Rego file looks at is known to the file alone.
fn of_check(check: &Check) -> Turn {
    Turn::said(check.file.as_str(), Way::Provide, format!("whatever {} makes of the evidence", check.file))
}

/// Whether a path is a field of the fact of that id.
fn is_of_fact(path: &str, id: &str) -> bool {
    path.strip_prefix(id).is_some_and(|rest| rest.starts_with('.'))
}

/// The fewest atoms that would have to turn for a node to be as wanted.
fn fewest(view: &View<'_>, condition: Condition, id: NodeId, is_wanted: bool) -> Vec<NodeId> {
    let expr = view.card.condition(condition);
    if view.truth_of(condition, id) == Truth::from(is_wanted) {
        return Vec::new();
    }
    let all_of = |parts: &[NodeId]| parts.iter().flat_map(|part| fewest(view, condition, *part, is_wanted)).collect();
    let one_of = |parts: &[NodeId]| {
        let ways = parts.iter().map(|part| fewest(view, condition, *part, is_wanted));
        ways.min_by_key(|atoms| (atoms.len(), atoms.iter().any(|atom| reads_system(expr, *atom)))).unwrap_or_default()
    };
    match (expr.node(id), is_wanted) {
        (Node::Not(inner), _) => fewest(view, condition, *inner, !is_wanted),
        (Node::And(parts), true) | (Node::Or(parts), false) => all_of(parts),
        (Node::Or(parts), true) | (Node::And(parts), false) => one_of(parts),
        _ => vec![id],
    }
}

fn reads_system(expr: &Expr, id: NodeId) -> bool {
    let is_system = |leaf: NodeId| matches!(expr.node(leaf), Node::Leaf(leaf) if matches!(expr.leaves()[*leaf].source, Source::System(_)));
    why::leaves_below(expr, id).into_iter().any(is_system)
}

/// One sentence a change: everything that counts towards the verdict as it is.
pub(crate) fn changes(view: &View<'_>, finding: &Finding) -> Vec<Turn> {
    let outcome = finding.would_be.as_ref().map_or(finding.outcome, |(outcome, _)| *outcome);
    let mut all = Vec::new();
    if finding.would_be.is_some() {
        all.push(Turn::said("date", Way::Wait, format!("the date: {}", finding.reason.sentence)));
    }
    if !finding.unmet.is_empty() {
        let provide = |unmet: &crate::verdict::Unmet| {
            Turn::said(unmet.fact, Way::Provide, format!("evidence: {}", unmet.sentence))
        };
        all.extend(finding.unmet.iter().map(provide));
        return all;
    }
    if let Some(check) = view.card.check.as_ref().filter(|_| finding.outcome != Outcome::NotApplicable) {
        all.push(of_check(check));
        return all;
    }
    let of = |condition: Condition| turning(view, condition);
    all.extend(match outcome {
        Outcome::Pass | Outcome::Error => of(Condition::PassWhen),
        Outcome::NotApplicable => of(Condition::Applies),
        Outcome::Fail => [of(Condition::FailWhen), of(Condition::PassWhen)].concat(),
        Outcome::InsufficientEvidence if finding.reason.code == "applicability-unknown" => of(Condition::Applies),
        _ => [of(Condition::PassWhen), of(Condition::FailWhen)].concat(),
    });
    let mut seen: Vec<String> = Vec::new();
    all.retain(|turn| {
        let is_new = !seen.contains(&turn.sentence);
        seen.push(turn.sentence.clone());
        is_new
    });
    all
}

/// For each part that counts towards the answer, what would turn it over.
fn turning(view: &View<'_>, condition: Condition) -> Vec<Turn> {
    let root = view.card.condition(condition).root();
    why::decisive(view, condition, root).1.into_iter().map(|atom| turn(view, condition, atom)).collect()
}

fn turn(view: &View<'_>, condition: Condition, id: NodeId) -> Turn {
    let expr = view.card.condition(condition);
    let value = |id: NodeId| view.value(condition, id);
    let truth = value(id).truth();
    let text = why::unwrapped(expr.text_of(id));
    if matches!(truth, Truth::Missing | Truth::Error) {
        let path = why::leaves_below(expr, id)
            .into_iter()
            .find(|leaf| !value(*leaf).is_known())
            .map_or(text, |leaf| expr.text_of(leaf));
        let sentence =
            format!("{}; a valid value would decide `{}`", why::sentence(view, condition, id), expr.text_of(id));
        return Turn::said(path, Way::Provide, sentence);
    }
    let is_true = truth == Truth::True;
    let Some((leaf, comparison, other)) = why::bound(expr, id) else {
        let sentence = format!("`{text}` is {is_true} and would have to become {}", !is_true);
        let (found, bound) = (Some(is_true.to_string()), Some((!is_true).to_string()));
        return Turn { found, bound, ..Turn::said(text, Way::Become, sentence) };
    };
    let (path, found, bound) = (expr.text_of(leaf), value(leaf), value(other));
    let (symbol, limit, is) = (comparison.symbol(), bound.shown(), found.shown());
    let told = |way: Way, sentence: String| Turn {
        found: Some(is.clone()),
        bound: Some(limit.clone()),
        ..Turn::said(path, way, sentence)
    };
    let way = match (comparison, is_true) {
        (Comparison::Greater | Comparison::GreaterOrEqual, false)
        | (Comparison::Less | Comparison::LessOrEqual, true) => Way::Rise,
        (Comparison::Greater | Comparison::GreaterOrEqual, true)
        | (Comparison::Less | Comparison::LessOrEqual, false) => Way::Fall,
        (Comparison::Equal, true) | (Comparison::NotEqual, false) => {
            return told(Way::Differ, format!("{path} is {limit} and would have to differ"));
        }
        (Comparison::Equal, false) | (Comparison::NotEqual, true) => {
            return told(Way::Become, format!("{path} is {is} and would have to be {limit}"));
        }
    };
    // The constant itself still belongs to the true side of `<=` and `>=`.
    let is_beyond = is_true == matches!(comparison, Comparison::LessOrEqual | Comparison::GreaterOrEqual);
    let by = difference(found, bound);
    let far = match (by.as_deref(), is_beyond) {
        (None, _) => String::new(),
        (Some("0" | "0s"), _) => " at all".to_owned(),
        (Some(distance), true) => format!(" by more than {distance}"),
        (Some(distance), false) => format!(" by {distance}"),
    };
    let sentence = if is_true {
        format!("{path} = {is} meets {symbol} {limit} until it would {}{far}", way.name())
    } else {
        format!("{path} = {is} would have to {}{far} to meet {symbol} {limit}", way.name())
    };
    Turn { by, is_beyond, ..told(way, sentence) }
}

/// |a − b| exactly, where both are numbers, durations or instants and the digits fit 128 bits.
fn difference(a: Operand<'_>, b: Operand<'_>) -> Option<String> {
    match (a, b) {
        (Operand::Int(a), Operand::Int(b)) => Some((i128::from(a) - i128::from(b)).unsigned_abs().to_string()),
        (Operand::Decimal(a), Operand::Decimal(b)) => decimal_difference(&a.to_string(), &b.to_string()),
        (Operand::Duration(a), Operand::Duration(b)) => a.checked_sub(b)?.checked_abs().map(duration_text),
        (Operand::Instant(a), Operand::Instant(b)) => i64::try_from((a - b).abs()).ok().map(duration_text),
        _ => None,
    }
}

fn decimal_difference(a: &str, b: &str) -> Option<String> {
    let parts = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        (whole.to_owned(), fraction.to_owned())
    };
    let ((a, a_fraction), (b, b_fraction)) = (parts(a), parts(b));
    let n_places = a_fraction.len().max(b_fraction.len());
    let scaled = |whole: &str, fraction: &str| format!("{whole}{fraction:0<n_places$}").parse::<i128>().ok();
    let size = scaled(&a, &a_fraction)?.checked_sub(scaled(&b, &b_fraction)?)?.unsigned_abs();
    let digits = format!("{size:0>width$}", width = n_places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - n_places);
    let fraction = fraction.trim_end_matches('0');
    Some(if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::decimal_difference;

    /// Worked by hand.
    #[test]
    fn differences_are_exact() {
        for (a, b, distance) in [
            ("0.938907", "0.95", "0.011093"),
            ("-0.5", "0.25", "0.75"),
            ("10000000000000000000000000", "9999999999999990000000000", "10000000000"),
            ("1", "1", "0"),
        ] {
            assert_eq!(decimal_difference(a, b).as_deref(), Some(distance));
        }
    }
}
