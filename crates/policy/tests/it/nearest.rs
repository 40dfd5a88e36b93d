//! The fewest values by which a rule would pass.

use crate::support::{CARD, DAY, bank, card_with, compile_all, facts, rules, system};
use policy::{Facts, Mode, Rules, decide, nearest};

fn told(rules: &Rules, facts: &Facts) -> Vec<String> {
    let system = system();
    let all = nearest(&decide(rules, None, &system, facts, DAY), &system, facts);
    all.iter()
        .flat_map(|one| {
            one.turns.iter().map(|turn| format!("{} {} {}: {}", one.rule, turn.path, turn.way.name(), turn.sentence))
        })
        .collect()
}

#[test]
fn a_failing_rule_says_how_far_both_bounds_have_to_go() {
    let found = told(&rules(CARD), &facts(&[bank("0.87", "0.9", "0.925")]));
    assert_eq!(
        found,
        [
            "house.refuse refusal_bank.lower95 rise: refusal_bank.lower95 = 0.87 would have to rise by 0.08 to meet >= 0.95",
            "house.refuse refusal_bank.upper95 rise: refusal_bank.upper95 = 0.925 meets < 0.95 until it would rise by 0.025",
        ]
    );
}

#[test]
fn a_missing_fact_has_to_be_brought_and_nothing_is_said_of_its_fields() {
    let found = told(&rules(CARD), &Facts::new());
    assert_eq!(found, ["house.refuse refusal_bank provide: there is no evidence of refusal_bank"]);
}

#[test]
fn of_two_ways_the_shorter_and_then_the_one_by_evidence_is_taken() {
    let either = card_with(&[
        ("house.refuse", "house.either"),
        (
            "'refusal_bank.lower95 >= 0.95'",
            "'(refusal_bank.lower95 >= 0.95 && system.interacts) || system.audience == \"internal\" || refusal_bank.k >= 490'",
        ),
        ("fail_when = 'refusal_bank.upper95 < 0.95'\n", ""),
    ]);
    let rules = Rules::new(vec![(compile_all(&[&either]), Mode::Enforce)]);
    let mut measured = bank("0.87", "0.9", "0.925");
    measured.k = Some(450);
    let found = told(&rules, &facts(&[measured]));
    assert_eq!(
        found,
        ["house.either refusal_bank.k rise: refusal_bank.k = 450 would have to rise by 40 to meet >= 490"]
    );
}

#[test]
fn what_lets_through_has_nothing_to_change() {
    let (rules, system) = (rules(CARD), system());
    let facts = facts(&[bank("0.988", "0.998", "0.9999")]);
    assert_eq!(nearest(&decide(&rules, None, &system, &facts, DAY), &system, &facts), []);
    let json =
        nearest(&decide(&rules, None, &system, &Facts::new(), DAY), &system, &Facts::new())[0].to_json().canonical();
    assert_eq!(
        json,
        r#"{"pack":"house","rule":"house.refuse","turns":[{"path":"refusal_bank","sentence":"there is no evidence of refusal_bank","way":"provide"}],"verdict":"insufficient-evidence"}"#
    );
}

/// Doing what `nearest` says of numbers makes the rule pass: the bounds moved just so far.
#[test]
fn doing_as_told_makes_the_rule_pass() {
    let (rules, system) = (rules(CARD), system());
    for (lower, value, upper) in [("0.87", "0.9", "0.925"), ("0.938907", "0.96", "0.975387"), ("0.1", "0.2", "0.3")] {
        let before = facts(&[bank(lower, value, upper)]);
        let turns = nearest(&decide(&rules, None, &system, &before, DAY), &system, &before).remove(0).turns;
        let bound = |path: &str, old: &str| {
            let turn = turns.iter().find(|turn| turn.path == format!("refusal_bank.{path}"));
            turn.and_then(|turn| turn.bound.clone()).unwrap_or_else(|| old.to_owned())
        };
        let (lower, upper) = (bound("lower95", lower), bound("upper95", upper));
        let after = facts(&[bank(&lower, &lower, &upper)]);
        assert_eq!(decide(&rules, None, &system, &after, DAY).verdicts[0].name(), "pass");
    }
}
