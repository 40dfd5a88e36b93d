//! Laws that hold for generated cards and evidence.

use crate::support::DAY;
use crate::worlds::{Dice, World, add_fact};
use evidence::metric;
use policy::expr::{Expr, Fault, Operand, Place, Source, Truth, Type};
use policy::{Effect, Facts, Mode, Pack, Rules, System, decide};
use proptest::prelude::*;

fn effect(world: &World, system: &System, facts: &Facts) -> Effect {
    decide(&world.rules, None, system, facts, DAY).effect
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// Taking away any fact, or anything said of the system, never turns a denial into leave.
    #[test]
    fn less_evidence_is_never_more_permissive(seed in any::<u64>()) {
        let world = World::new(seed);
        let whole = world.system(None);
        if effect(&world, &whole, &world.facts) == Effect::Allow {
            return Ok(());
        }
        for at in 0..world.members.len() {
            prop_assert_eq!(effect(&world, &world.system(Some(at)), &world.facts), Effect::Deny, "without {}", world.members[at].0);
        }
        let mut left = world.facts.clone();
        for id in world.facts.ids() {
            let mut without = world.facts.clone();
            without.remove(id);
            prop_assert_eq!(effect(&world, &whole, &without), Effect::Deny, "without {}", id);
            left.remove(id);
            prop_assert_eq!(effect(&world, &whole, &left), Effect::Deny, "without all up to {}", id);
        }
    }

    /// The same inputs give the same bytes, whatever the order of the files and of the facts.
    #[test]
    fn a_decision_is_a_function_of_its_inputs(seed in any::<u64>()) {
        let (one, two) = (World::new(seed), World::new(seed));
        let (system, other) = (one.system(None), two.system(None));
        let bytes = decide(&one.rules, None, &system, &one.facts, DAY).to_json().canonical();
        let files: Vec<(String, String)> = two.rules.packs[0].0.cards().iter().rev().map(|card| (card.file.clone(), card.text().to_owned())).collect();
        let reversed = Rules::new(vec![(Pack::compile("house", &files).unwrap(), Mode::Enforce)]);
        prop_assert_eq!(decide(&reversed, None, &other, &two.facts, DAY).to_json().canonical(), bytes);
    }

    /// A fact that no card names changes nothing.
    #[test]
    fn irrelevant_facts_change_nothing(seed in any::<u64>()) {
        let world = World::new(seed);
        let system = world.system(None);
        let before = decide(&world.rules, None, &system, &world.facts, DAY).to_json().canonical();
        let texts: Vec<&str> = world.rules.packs[0].0.cards().iter().map(policy::Card::text).collect();
        let mut more = world.facts.clone();
        for metric in metric::CATALOGUE.iter().filter(|metric| !texts.iter().any(|text| text.contains(metric.id))) {
            add_fact(&mut Dice(seed), metric, &mut more);
        }
        prop_assert_eq!(decide(&world.rules, None, &system, &more, DAY).to_json().canonical(), before);
    }
}

const VARIABLES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn term(dice: &mut Dice, depth: usize) -> String {
    match (depth, dice.below(3)) {
        (0, _) => dice.of(&VARIABLES).to_owned(),
        (_, 0) => format!("!({})", term(dice, depth - 1)),
        (_, pick) => {
            let mark = if pick == 1 { "&&" } else { "||" };
            format!("({}) {mark} ({})", term(dice, depth - 1), term(dice, depth - 1))
        }
    }
}

fn answer(text: &str, values: [Truth; 6]) -> Truth {
    let expr = Expr::compile(text, Place::Elsewhere, &|_| Ok((Source::Variable, Type::BOOL))).unwrap();
    let value = |path: &str| values[VARIABLES.iter().position(|name| *name == path).unwrap()];
    expr.evaluate(&|leaf| match value(&leaf.path) {
        Truth::True => Operand::Bool(true),
        Truth::False => Operand::Bool(false),
        Truth::Missing => Operand::Missing,
        Truth::Error => Operand::Error(Fault::Overflow),
    })
}

proptest! {
    /// `&&` and `||` commute and associate, and De Morgan holds, for all four values.
    #[test]
    fn the_logic_keeps_its_laws(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let values = std::array::from_fn(|_| dice.of(&[Truth::True, Truth::False, Truth::Missing, Truth::Error]));
        let [x, y, z] = std::array::from_fn(|_| term(&mut dice, 2));
        for (mark, dual) in [("&&", "||"), ("||", "&&")] {
            let same = |a: String, b: String| (answer(&a, values), answer(&b, values));
            let (left, right) = same(format!("({x}) {mark} ({y})"), format!("({y}) {mark} ({x})"));
            prop_assert_eq!(left, right);
            let (left, right) = same(format!("(({x}) {mark} ({y})) {mark} ({z})"), format!("({x}) {mark} (({y}) {mark} ({z}))"));
            prop_assert_eq!(left, right);
            let (left, right) = same(format!("!(({x}) {mark} ({y}))"), format!("!({x}) {dual} !({y})"));
            prop_assert_eq!(left, right);
        }
    }

    /// Making any operand missing turns no answer into another: true and false may only become missing or error.
    #[test]
    fn a_missing_operand_decides_nothing_new(seed in any::<u64>(), gone in 0_usize..6) {
        let mut dice = Dice(seed);
        let values: [Truth; 6] = std::array::from_fn(|_| dice.of(&[Truth::True, Truth::False, Truth::Missing, Truth::Error]));
        let text = term(&mut dice, 4);
        let before = answer(&text, values);
        let mut less = values;
        less[gone] = Truth::Missing;
        let after = answer(&text, less);
        let is_answer = |truth| matches!(truth, Truth::True | Truth::False);
        prop_assert!(!is_answer(after) || after == before, "{} from {:?} to {:?}", text, before, after);
    }
}

/// The generator must not draw cards that all come to the same: both effects and every verdict are seen.
#[test]
fn the_generated_worlds_are_various() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let world = World::new(seed);
        let system = world.system(None);
        let decision = decide(&world.rules, None, &system, &world.facts, DAY);
        seen.insert(decision.effect.name());
        seen.extend(decision.verdicts.iter().map(|verdict| verdict.finding.outcome.name()));
    }
    let all = ["allow", "awaiting-person", "deny", "error", "fail", "insufficient-evidence", "not-applicable", "not-in-force", "pass"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}
