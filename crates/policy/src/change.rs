//! What would change a verdict: which fact, which way, how far. Differences are exact.

use crate::card::Condition;
use crate::decide::View;
use crate::expr::{Comparison, Expr, NodeId, Operand, Truth, duration_text};
use crate::verdict::{Finding, Outcome};
use crate::why;

/// One sentence a change.
pub(crate) fn changes(view: &View<'_>, finding: &Finding) -> Vec<String> {
    let (outcome, is_unmet) = match (&finding.would_be, finding.outcome) {
        (Some((outcome, _)), _) => (*outcome, !finding.unmet.is_empty()),
        (None, outcome) => (outcome, !finding.unmet.is_empty()),
    };
    let mut all = Vec::new();
    if finding.would_be.is_some() {
        all.push(format!("the date: {}", finding.reason.sentence));
    }
    if is_unmet {
        all.extend(finding.unmet.iter().map(|unmet| format!("evidence: {}", unmet.sentence)));
        return all;
    }
    if let Some(check) = view.card.check.as_ref().filter(|_| finding.outcome != Outcome::NotApplicable) {
        all.push(format!("whatever {} makes of the evidence", check.file));
        return all;
    }
    let of = |condition: Condition| turning(view, view.card.condition(condition));
    all.extend(match outcome {
        Outcome::Pass | Outcome::Error => of(Condition::PassWhen),
        Outcome::NotApplicable => of(Condition::Applies),
        Outcome::Fail => [of(Condition::FailWhen), of(Condition::PassWhen)].concat(),
        Outcome::InsufficientEvidence if finding.reason.code == "applicability-unknown" => of(Condition::Applies),
        _ => [of(Condition::PassWhen), of(Condition::FailWhen)].concat(),
    });
    let mut seen: Vec<String> = Vec::new();
    all.retain(|sentence| {
        let is_new = !seen.contains(sentence);
        seen.push(sentence.clone());
        is_new
    });
    all
}

/// For each part that counts towards the answer, what would turn it over.
fn turning(view: &View<'_>, expr: &Expr) -> Vec<String> {
    why::decisive(view, expr, expr.root()).1.into_iter().map(|atom| turn(view, expr, atom)).collect()
}

fn turn(view: &View<'_>, expr: &Expr, id: NodeId) -> String {
    let value = |id: NodeId| expr.value_at(id, &|leaf| view.operand(leaf));
    let truth = value(id).truth();
    if matches!(truth, Truth::Missing | Truth::Error) {
        return format!("{}; a valid value would decide `{}`", why::sentence(view, expr, id), expr.text_of(id));
    }
    let is_true = truth == Truth::True;
    let Some((leaf, comparison, other)) = why::bound(expr, id) else {
        let text = why::unwrapped(expr.text_of(id));
        return format!("`{text}` is {} and would have to become {}", is_true, !is_true);
    };
    let (path, found, bound) = (expr.text_of(leaf), value(leaf), value(other));
    let (symbol, limit) = (comparison.symbol(), bound.shown());
    let distance = difference(found, bound);
    let way = match (comparison, is_true) {
        (Comparison::Greater | Comparison::GreaterOrEqual, false) | (Comparison::Less | Comparison::LessOrEqual, true) => {
            "rise"
        }
        (Comparison::Greater | Comparison::GreaterOrEqual, true) | (Comparison::Less | Comparison::LessOrEqual, false) => {
            "fall"
        }
        (Comparison::Equal, true) | (Comparison::NotEqual, false) => return format!("{path} is {limit} and would have to differ"),
        (Comparison::Equal, false) | (Comparison::NotEqual, true) => {
            return format!("{path} is {} and would have to be {limit}", found.shown());
        }
    };
    // The constant itself still belongs to the true side of `<=` and `>=`.
    let is_beyond = is_true == matches!(comparison, Comparison::LessOrEqual | Comparison::GreaterOrEqual);
    let by = match (distance.as_deref(), is_beyond) {
        (None, _) => String::new(),
        (Some("0" | "0s"), _) => " at all".to_owned(),
        (Some(distance), true) => format!(" by more than {distance}"),
        (Some(distance), false) => format!(" by {distance}"),
    };
    if is_true {
        format!("{path} = {} meets {symbol} {limit} until it would {way}{by}", found.shown())
    } else {
        format!("{path} = {} would have to {way}{by} to meet {symbol} {limit}", found.shown())
    }
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
