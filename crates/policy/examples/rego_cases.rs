//! Prints exported Rego with inputs, our answers and those of the regorus interpreter, as JSON lines for
//! `tests/referees/rego.py`.
//!
//! `rego_cases [N] [SEED]`: N generated conditions with six inputs each (default 400), N/4 generated cards with evidence,
//! N/4 generated cards that are decided per request. Exit code 1 when regorus disagrees.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool whose output is its purpose")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "generated cases that must compile")]

mod drawn;
#[path = "../tests/it/traffic.rs"]
mod traffic;
#[path = "../tests/it/worlds.rs"]
mod worlds;

use evidence::Json;
use jiff::civil::date;
use policy::expr::{Expr, Fault, Leaf, Operand, Place, Truth, Value};
use policy::{Mode, Pack, Point, Rules, card_finding, decide, rego};
use std::io::Write as _;
use std::process::ExitCode;

/// Modules, a query, and inputs with our answers.
struct Case {
    modules: Vec<(String, String)>,
    query: &'static str,
    inputs: Vec<(String, String)>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let n = arguments.next().unwrap_or(400);
    let seed = arguments.next().unwrap_or(1);
    let mut dice = drawn::Dice(seed);
    let conditions = (0..n).map(|_| condition(&mut dice)).collect::<Vec<_>>();
    let cards = (0..n / 4).flat_map(|at| cards(seed.wrapping_mul(1_000_003).wrapping_add(at)));
    let guards = (0..n / 4).map(|at| guard(seed.wrapping_mul(1_000_003).wrapping_add(at)));
    let mut out = std::io::stdout().lock();
    let (mut n_all, mut n_wrong) = (0, 0);
    for case in conditions.into_iter().chain(cards).chain(guards) {
        let theirs = regorus_answers(&case);
        for ((input, ours), theirs) in case.inputs.iter().zip(&theirs) {
            n_all += 1;
            if ours != theirs {
                n_wrong += 1;
                if n_wrong <= 10 {
                    eprintln!("DISAGREE ours {ours}, regorus {theirs}\n{}\n{input}", case.modules[0].1);
                }
            }
        }
        if writeln!(out, "{}", line(&case).canonical()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    eprintln!("regorus interpreter: {n_all} evaluations, {n_wrong} disagreements");
    if n_wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(case: &Case) -> Json {
    let modules = case.modules.iter().map(|(name, text)| (name.clone(), Json::from(text.as_str())));
    Json::map([
        ("modules", Some(Json::Map(modules.collect()))),
        ("query", Some(case.query.into())),
        ("inputs", Some(Json::list(case.inputs.iter().map(|(input, _)| input.as_str())))),
        ("answers", Some(Json::list(case.inputs.iter().map(|(_, answer)| answer.as_str())))),
    ])
}

fn regorus_answers(case: &Case) -> Vec<String> {
    let mut engine = regorus::Engine::new();
    engine.add_policy("lib.rego".to_owned(), rego::LIBRARY.to_owned()).expect("the library");
    for (name, text) in &case.modules {
        engine.add_policy(name.clone(), text.clone()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    let mut answers = Vec::new();
    for (input, _) in &case.inputs {
        engine.set_input(regorus::Value::from_json_str(input).expect("an input"));
        answers.push(match engine.eval_rule(case.query.to_owned()) {
            Ok(regorus::Value::String(text)) => text.to_string(),
            Ok(other) => other.to_string(),
            Err(error) => format!("failed: {error}"),
        });
    }
    answers
}

fn condition(dice: &mut drawn::Dice) -> Case {
    let expr = loop {
        // Beyond 64 nodes or 16 levels: the generator drew too large a tree.
        if let Ok(expr) = Expr::compile(&drawn::top(dice), Place::PassWhen, &drawn::resolve) {
            break expr;
        }
    };
    let inputs = (0..6).map(|_| {
        let values: Vec<Option<Option<Value>>> = expr
            .leaves()
            .iter()
            .map(|leaf| match dice.below(20) {
                0..=3 => None,
                4 => Some(None),
                _ => Some(Some(drawn::value(leaf.kind, dice))),
            })
            .collect();
        let operand = |at: usize| match &values[at] {
            None => Operand::Missing,
            Some(None) => Operand::Error(Fault::Invalid("drawn so")),
            Some(Some(value)) => Operand::of(value),
        };
        let position = |leaf: &Leaf| expr.leaves().iter().position(|known| known.path == leaf.path).unwrap_or(0);
        let truth = evaluate(&expr, &|leaf| operand(position(leaf)));
        let known: Vec<(&str, Operand<'_>)> =
            expr.leaves().iter().enumerate().map(|(at, leaf)| (leaf.path.as_str(), operand(at))).collect();
        (rego::expression_input(&known), letter(truth).to_owned())
    });
    let inputs = inputs.collect();
    let module = format!("# {}\n{}", expr.text().replace('\n', " "), rego::expression_module(&expr));
    Case { modules: vec![("expression.rego".to_owned(), module)], query: "data.assize.expression.answer", inputs }
}

fn evaluate<'a>(expr: &'a Expr, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Truth {
    expr.evaluate(value_of)
}

const fn letter(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "t",
        Truth::False => "f",
        Truth::Missing => "m",
        Truth::Error => "e",
    }
}

/// The cards of a generated world, each with its evidence on four days, and with each member of the system left out.
fn cards(seed: u64) -> Vec<Case> {
    let world = worlds::World::new(seed);
    let days = [date(2025, 12, 31), date(2026, 11, 23), date(2026, 11, 24), date(2027, 1, 1)];
    let mut cases: Vec<Case> = Vec::new();
    for (_, _, card) in world.rules.cards() {
        let modules = vec![("card.rego".to_owned(), rego::card_module(card))];
        cases.push(Case { modules, query: "data.assize.cards.card.verdict", inputs: Vec::new() });
    }
    let without = std::iter::once(None).chain((0..world.members.len()).map(Some));
    for (day, without) in days.iter().map(|day| (*day, None)).chain(without.map(|without| (days[1], without))) {
        let system = world.system(without);
        let decision = decide(&world.rules, None, &system, &world.facts, day);
        let input = rego::facts_input(&system, &world.facts, day);
        for ((_, _, card), case) in world.rules.cards().zip(&mut cases) {
            let verdict = decision.verdicts.iter().find(|verdict| verdict.card.id == card.id);
            let name = verdict.map_or("", |verdict| verdict.finding.outcome.name());
            case.inputs.push((input.clone(), name.to_owned()));
        }
    }
    cases
}

fn guard(seed: u64) -> Case {
    let mut dice = worlds::Dice(seed);
    let text = traffic::card(&mut dice, 0);
    let pack = Pack::compile("house", &[("0.toml".to_owned(), text)]).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let rules = Rules::new(vec![(pack, Mode::Enforce)]);
    let (_, _, card) = rules.enforce_cards().next().expect("a card");
    let mut inputs = Vec::new();
    for at in 0..6 {
        let system = traffic::system(&mut dice);
        let request = traffic::request(&mut dice, if at == 0 { Point::Output } else { card.on });
        let day = dice.of(&[date(2025, 12, 31), date(2026, 11, 23), date(2027, 1, 1)]);
        let finding = card_finding(card, &system, &request, day);
        let owed: Vec<&str> = finding.obligations.iter().map(|owed| owed.text()).collect();
        let said = format!("{} {} {}", finding.state.name(), finding.effect.name(), owed.join(","));
        inputs.push((rego::request_input(&system, &request, day), said));
    }
    let said = "package assize.said\n\nimport data.assize.lib\nimport rego.v1\n\nresult := data.assize.requests.card.result\n\n\
                said := concat(\" \", [result.state, lib.effects[result.effect], concat(\",\", sort([owed | some owed in result.obligations]))])\n";
    let modules = vec![("card.rego".to_owned(), rego::guard_module(card)), ("said.rego".to_owned(), said.to_owned())];
    Case { modules, query: "data.assize.said.said", inputs }
}
