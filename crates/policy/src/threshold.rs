//! The constants that facts are held against: what a plan signs before a run starts.

use crate::card::Condition;
use crate::decide::Rules;
use crate::expr::{Node, Source, Value};
use crate::why;
use evidence::{Json, Unit};

/// One comparison of a fact's field with a constant, the field on the left, as the card writes it.
///
/// In `pass_when` the comparison must hold, in `fail_when` it must not; under a `!` it is the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    pub rule: String,
    pub pack: String,
    pub condition: Condition,
    pub fact: &'static str,
    pub field: &'static str,
    /// `>=`, `<`, …
    pub operator: &'static str,
    pub value: Value,
    /// The unit of the field; `1` for shares and counts.
    pub unit: Unit,
}

impl Threshold {
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([
            ("rule", Some(self.rule.as_str().into())),
            ("pack", Some(self.pack.as_str().into())),
            ("condition", Some(self.condition.name().into())),
            ("fact", Some(self.fact.into())),
            ("field", Some(self.field.into())),
            ("operator", Some(self.operator.into())),
            ("value", Some(self.value.to_json())),
            ("unit", Some(self.unit.symbol().into())),
        ])
    }
}

/// Every threshold of every rule, sorted by rule and pack, then in the order of the card.
#[must_use]
pub fn thresholds(rules: &Rules) -> Vec<Threshold> {
    let mut all = Vec::new();
    for (pack, _, card) in rules.cards() {
        for condition in Condition::ALL {
            let expr = card.condition(condition);
            for id in 0..expr.nodes().len() {
                let Some((leaf, comparison, other)) = why::bound(expr, id) else { continue };
                let (Node::Leaf(leaf), Node::Literal(value)) = (expr.node(leaf), expr.node(other)) else { continue };
                let Source::Fact(metric, field) = expr.leaves()[*leaf].source else { continue };
                all.push(Threshold {
                    rule: card.id.clone(),
                    pack: pack.name().to_owned(),
                    condition,
                    fact: metric.id,
                    field,
                    operator: comparison.symbol(),
                    value: value.clone(),
                    unit: metric.unit,
                });
            }
        }
    }
    all.sort_by(|a, b| (&a.rule, &a.pack).cmp(&(&b.rule, &b.pack)));
    all
}
