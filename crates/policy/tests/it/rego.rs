//! Exported Rego, evaluated by the regorus interpreter, against our own answers.

use crate::{drawn, support, traffic, worlds};
use jiff::civil::date;
use policy::expr::{Expr, Fault, Leaf, Operand, Place, Truth, Value};
use policy::{Mode, Pack, Rules, card_finding, decide, rego};
use std::collections::BTreeMap;
use std::{fs, path::Path};

fn engine(modules: &[(String, String)]) -> regorus::Engine {
    let mut engine = regorus::Engine::new();
    engine.add_policy("lib.rego".to_owned(), rego::LIBRARY.to_owned()).unwrap();
    for (name, text) in modules {
        engine.add_policy(name.clone(), text.clone()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    engine
}

fn answer(engine: &mut regorus::Engine, input: &str, query: &str) -> regorus::Value {
    engine.set_input(regorus::Value::from_json_str(input).unwrap());
    engine.eval_rule(query.to_owned()).unwrap_or_else(|error| panic!("{error}\n{input}"))
}

#[test]
fn conditions_have_the_same_four_values() {
    let mut dice = drawn::Dice(3);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut n = 0;
    while n < 300 {
        let Ok(expr) = Expr::compile(&drawn::top(&mut dice), Place::PassWhen, &drawn::resolve) else { continue };
        n += 1;
        let mut engine = engine(&[("expression.rego".to_owned(), rego::expression_module(&expr))]);
        for _ in 0..4 {
            let values: Vec<Option<Option<Value>>> = expr
                .leaves()
                .iter()
                .map(|leaf| match dice.below(20) {
                    0..=3 => None,
                    4 => Some(None),
                    _ => Some(Some(drawn::value(leaf.kind, &mut dice))),
                })
                .collect();
            let operand = |leaf: &Leaf| {
                let at = expr.leaves().iter().position(|known| known.path == leaf.path).unwrap();
                match &values[at] {
                    None => Operand::Missing,
                    Some(None) => Operand::Error(Fault::Invalid("drawn so")),
                    Some(Some(value)) => Operand::of(value),
                }
            };
            let ours = match evaluate(&expr, &operand) {
                Truth::True => "t",
                Truth::False => "f",
                Truth::Missing => "m",
                Truth::Error => "e",
            };
            let known: Vec<(&str, Operand<'_>)> =
                expr.leaves().iter().map(|leaf| (leaf.path.as_str(), operand(leaf))).collect();
            let theirs = answer(&mut engine, &rego::expression_input(&known), "data.assize.expression.answer");
            assert_eq!(theirs, regorus::Value::from(ours), "{}\n{}", expr.text(), rego::expression_input(&known));
            *seen.entry(ours).or_default() += 1;
        }
    }
    assert!(seen.len() == 4 && seen.values().all(|n| *n > 40), "{seen:?}");
}

fn evaluate<'a>(expr: &'a Expr, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Truth {
    expr.evaluate(value_of)
}

#[test]
fn generated_cards_have_the_same_verdicts() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..120 {
        let world = worlds::World::new(seed);
        let modules: Vec<(String, String)> =
            rego::export(&world.rules).into_iter().skip(1).map(|file| (file.path, file.text)).collect();
        let mut engine = engine(&modules);
        for day in [date(2025, 12, 31), date(2026, 11, 23), date(2027, 1, 1)] {
            for without in [None, Some(0), Some(1)] {
                let system = world.system(without);
                let decision = decide(&world.rules, None, &system, &world.facts, day);
                let input = rego::facts_input(&system, &world.facts, day);
                let theirs = answer(&mut engine, &input, rego::VERDICTS);
                for verdict in &decision.verdicts {
                    let ours = verdict.finding.outcome.name();
                    assert_eq!(
                        theirs[verdict.rule()],
                        regorus::Value::from(ours),
                        "seed {seed}: {}\n{input}",
                        verdict.card.text()
                    );
                    *seen.entry(ours.to_owned()).or_default() += 1;
                }
            }
        }
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
}

/// Each shipped card on the facts of each of its own tests.
#[test]
fn shipped_cards_have_the_same_verdicts() {
    let mut n = 0;
    for pack in shipped() {
        for card in pack.cards() {
            let mut engine = engine(&[("card.rego".to_owned(), rego::card_module(card))]);
            for (input, ours) in rego::test_inputs(card) {
                let theirs = answer(&mut engine, &input, "data.assize.cards.card.verdict");
                assert_eq!(theirs, regorus::Value::from(ours), "{}\n{input}", card.id);
                n += 1;
            }
        }
        for card in pack.enforce_cards() {
            let mut engine = engine(&[("card.rego".to_owned(), rego::guard_module(card))]);
            for test in &card.tests {
                let input = rego::request_input(&test.system, &test.request, test.as_of);
                check_guard(&mut engine, card, &input, &card_finding(card, &test.system, &test.request, test.as_of));
                n += 1;
            }
        }
    }
    assert!(n > 800, "{n}");
}

#[test]
fn generated_guards_oblige_to_the_same() {
    for seed in 0..150 {
        let mut dice = worlds::Dice(seed);
        let pack = support::compile(&traffic::card(&mut dice, 0));
        let card = &pack.enforce_cards()[0];
        let mut engine = engine(&[("card.rego".to_owned(), rego::guard_module(card))]);
        for _ in 0..6 {
            let (system, request) = (traffic::system(&mut dice), traffic::request(&mut dice, card.on));
            let day = dice.of(&[date(2025, 12, 31), date(2026, 11, 23), date(2027, 1, 1)]);
            let finding = card_finding(card, &system, &request, day);
            check_guard(&mut engine, card, &rego::request_input(&system, &request, day), &finding);
        }
    }
}

fn check_guard(engine: &mut regorus::Engine, card: &policy::EnforceCard, input: &str, ours: &policy::CardFinding<'_>) {
    let theirs = answer(engine, input, "data.assize.requests.card.result");
    let owed: Vec<String> =
        theirs["obligations"].as_set().unwrap().iter().map(|owed| owed.as_string().unwrap().to_string()).collect();
    let expected: Vec<&str> = ours.obligations.iter().map(|owed| owed.text()).collect();
    assert_eq!(theirs["state"], regorus::Value::from(ours.state.name()), "{}\n{input}", card.text());
    assert_eq!(theirs["effect"], regorus::Value::from(ours.effect as u64), "{}\n{input}", card.text());
    assert_eq!(owed, expected, "{}\n{input}", card.text());
}

/// What cannot be read never passes.
#[test]
fn an_input_that_is_no_input_is_an_error() {
    let rules = support::rules(support::CARD);
    let mut engine = engine(&[("card.rego".to_owned(), rego::card_module(rules.cards().next().unwrap().2))]);
    for input in ["{}", "{\"as_of\": 5}", "{\"as_of\": \"today\"}", "{\"as_of\": \"2026-11-2\", \"system\": {}}"] {
        let theirs = answer(&mut engine, input, "data.assize.cards.card.verdict");
        assert_eq!(theirs, regorus::Value::from("error"), "{input}");
    }
    let unknown = answer(&mut engine, "{\"as_of\": \"2026-11-23\"}", "data.assize.cards.card.verdict");
    assert_eq!(unknown, regorus::Value::from("insufficient-evidence"));
}

fn shipped() -> Vec<Pack> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs");
    let mut packs = Vec::new();
    for folder in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let mut files = Vec::new();
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_part = path.extension().is_some_and(|extension| extension == "toml" || extension == "rego");
            if is_part && !path.ends_with("pack.toml") {
                files.push((
                    path.file_name().unwrap().to_string_lossy().into_owned(),
                    fs::read_to_string(&path).unwrap(),
                ));
            }
        }
        packs.push(Pack::compile("shipped", &files).unwrap_or_else(|errors| panic!("{}", errors[0])));
    }
    assert!(
        !packs.is_empty()
            && Rules::new(packs.iter().map(|pack| (pack.clone(), Mode::Enforce)).collect()).cards().count() > 80
    );
    packs
}
