//! Laws that hold for generated cards and evidence.

use crate::support::DAY;
use crate::worlds::{Dice, World, add_fact, metrics};
use evidence::{Digest, metric};
use jiff::civil::date;
use policy::expr::{Expr, Fault, Operand, Place, Source, Truth, Type};
use policy::{Effect, Facts, Mode, Pack, Rules, System, Verdict, Version, Waiver, decide};
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
        let mut reversed = Rules::new(vec![(Pack::compile("house", &files).unwrap(), Mode::Enforce)]);
        reversed.waivers.clone_from(&two.rules.waivers);
        prop_assert_eq!(decide(&reversed, None, &other, &two.facts, DAY).to_json().canonical(), bytes);
    }

    /// The order of the packs changes no verdict, and the effect is that of the two together.
    #[test]
    fn the_order_of_packs_changes_no_verdict(seed in any::<u64>()) {
        let world = World::new(seed);
        let system = world.system(None);
        let cards = world.rules.packs[0].0.cards();
        let alone = |card: &policy::Card| {
            (Pack::compile(&card.id, &[(card.file.clone(), card.text().to_owned())]).unwrap(), Mode::Enforce)
        };
        let mut packs: Vec<(Pack, Mode)> = cards.iter().map(alone).collect();
        let decided = |packs: &[(Pack, Mode)]| {
            let rules = Rules::new(packs.to_vec());
            let decision = decide(&rules, None, &system, &world.facts, DAY);
            let verdicts: Vec<String> = decision.verdicts.iter().map(|verdict| verdict.to_json().canonical()).collect();
            (verdicts, decision.effect)
        };
        let (forward, effect) = decided(&packs);
        let denies = packs.iter().any(|pack| decided(std::slice::from_ref(pack)).1 == Effect::Deny);
        prop_assert_eq!(effect == Effect::Deny, denies);
        packs.reverse();
        prop_assert_eq!(decided(&packs), (forward, effect));
    }

    /// A waiver, good or bad, changes what its own rule lets through and nothing else: no outcome, no other verdict.
    #[test]
    fn a_waiver_speaks_for_its_own_rule_alone(seed in any::<u64>()) {
        let mut world = World::new(seed);
        world.rules.waivers.clear();
        let mut system = world.system(None);
        system.set("name", "s".into()).unwrap();
        let waiver = any_waiver(&mut Dice(!seed));
        let before = world.rules.clone();
        world.rules.waivers.push(waiver.clone());
        let plain = decide(&before, None, &system, &world.facts, DAY);
        let waived = decide(&world.rules, None, &system, &world.facts, DAY);
        for (one, two) in plain.verdicts.iter().zip(&waived.verdicts) {
            prop_assert_eq!(&one.finding, &two.finding);
            if one.rule() != waiver.rule || waiver.check().is_err() {
                prop_assert_eq!(one.to_json(), two.to_json());
            }
        }
        let others_deny = plain.denials().any(|verdict| verdict.rule() != waiver.rule);
        prop_assert!(!others_deny || waived.effect == Effect::Deny);
        prop_assert!(plain.effect == Effect::Deny || waived.effect == Effect::Allow);
        let is_idle = !waived.idle_waivers.is_empty();
        prop_assert_eq!(is_idle, waived.verdicts.iter().all(|verdict| verdict.waiver.is_none()));
    }

    /// Facts under other names, in the cards and in the evidence, come to the same.
    #[test]
    fn renaming_facts_changes_nothing(seed in any::<u64>(), nth in 1_usize..3) {
        let (one, other) = (World::new(seed), World::about(seed, metrics(nth)));
        let mut names: Vec<_> = metrics(0).into_iter().zip(metrics(nth)).enumerate().collect();
        // The longest first: one name may be the beginning of another.
        names.sort_by_key(|(_, (from, _))| std::cmp::Reverse(from.id.len()));
        let renamed = |text: &str| {
            // In two steps, so that no name is taken for another on the way.
            let held = names.iter().fold(text.to_owned(), |text, (at, (from, _))| text.replace(from.id, &format!("<{at}>")));
            names.iter().fold(held, |text, (at, (_, to))| text.replace(&format!("<{at}>"), to.id))
        };
        let system = one.system(None);
        let (before, after) = (decide(&one.rules, None, &system, &one.facts, DAY), decide(&other.rules, None, &system, &other.facts, DAY));
        let said = |verdict: &Verdict<'_>| (verdict.name(), verdict.finding.reason.to_string(), verdict.denies());
        let expected: Vec<_> = before.verdicts.iter().map(said).map(|(name, reason, denies)| (name, renamed(&reason), denies)).collect();
        prop_assert_eq!(after.verdicts.iter().map(said).collect::<Vec<_>>(), expected);
        prop_assert_eq!(before.effect, after.effect);
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

/// Some of what is drawn for each member makes it void.
fn any_waiver(dice: &mut Dice) -> Waiver {
    Waiver {
        rule: dice.of(&["rule.0", "rule.0", "rule.0", "rule.1", "rule.2"]).to_owned(),
        from_version: Version(1, 0, 0),
        below_version: dice.of(&[
            Version(2, 0, 0),
            Version(2, 0, 0),
            Version(2, 0, 0),
            Version(1, 0, 1),
            Version(1, 0, 0),
        ]),
        scope: dice.of(&["s", "s", "s", "s", "another"]).to_owned(),
        subject: dice.of(&[None, None, None, Some(Digest::of(b"s")), Some(Digest::of(b"t"))]),
        reason: dice.of(&["r", "r", "r", "r", ""]).to_owned(),
        compensating: "c".to_owned(),
        author: "ana".to_owned(),
        approvers: dice
            .of(&[["ben", "chen"], ["ben", "chen"], ["ben", "chen"], ["ben", "chen"], ["ben", "ana"]])
            .map(str::to_owned)
            .to_vec(),
        granted: date(2026, 11, 1),
        expires: dice.of(&[
            date(2027, 11, 1),
            date(2027, 11, 1),
            date(2026, 11, 24),
            date(2026, 11, 24),
            date(2026, 11, 23),
            date(2027, 11, 2),
        ]),
    }
}

/// Waivers that hold and waivers that do not are both drawn, or the property above would say nothing.
#[test]
fn the_generated_waivers_are_various() {
    let (mut laid, mut idle) = (0, 0);
    for seed in 0..400 {
        let mut world = World::new(seed);
        let mut system = world.system(None);
        system.set("name", "s".into()).unwrap();
        world.rules.waivers.push(any_waiver(&mut Dice(!seed)));
        let decision = decide(&world.rules, None, &system, &world.facts, DAY);
        let is_waived = |verdict: &&Verdict<'_>| verdict.waiver.is_some();
        laid += decision.verdicts.iter().filter(is_waived).count();
        idle += decision.idle_waivers.len();
    }
    assert!(laid >= 20 && idle >= 20, "{laid} laid, {idle} idle");
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
        seen.extend(decision.verdicts.iter().filter(|verdict| verdict.waiver.is_some()).map(|_| "waived"));
        seen.extend(decision.verdicts.iter().filter(|verdict| verdict.finding.reason.code == "grace").map(|_| "grace"));
    }
    let all = [
        "allow",
        "awaiting-person",
        "deny",
        "error",
        "fail",
        "grace",
        "insufficient-evidence",
        "not-applicable",
        "not-in-force",
        "pass",
        "waived",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}
