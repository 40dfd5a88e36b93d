//! Prints how long a request takes: the compiled plan, our interpreter, and the regorus interpreter on the exported Rego.
//!
//! `request_speed [N_CARDS] [N_REQUESTS]` (default 500 and 20,000): generated cards, all at the point `output` and all in
//! force; every answer of the plan is checked against the interpreter, and those that regorus gives against both.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark: it prints and reads the clock")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "generated cases that must compile")]

#[path = "../tests/it/traffic.rs"]
mod traffic;
#[path = "../tests/it/worlds.rs"]
mod worlds;

use jiff::civil::{Date, date};
use policy::{Mode, Pack, Plan, Point, Request, Rules, System, decide_request, rego};
use std::time::Instant;

const DAY: Date = date(2026, 11, 23);
/// Requests that the slow ones are asked.
const N_SLOW: usize = 5;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let n_cards = arguments.next().unwrap_or(500);
    let n_requests = arguments.next().unwrap_or(20_000);
    println!("cards as packs are written: each bound to a scenario, tenant, model or audience");
    measure(n_cards, n_requests, traffic::scoped_card);
    println!("\ncards of random conditions: most of them look at every request");
    measure(n_cards, n_requests, traffic::card);
}

fn measure(n_cards: usize, n_requests: usize, card: fn(&mut worlds::Dice, usize) -> String) {
    let mut dice = worlds::Dice(1);
    let rules = rules(&mut dice, n_cards, card);
    let system = system();
    let compiled = Instant::now();
    let plan = Plan::compile(&rules, &system, DAY).expect("a plan");
    println!("compiled {n_cards} cards in {} ms", compiled.elapsed().as_millis());
    println!(
        "at `output`: {} cards, {} different conditions",
        plan.n_cards(Point::Output),
        plan.n_conditions(Point::Output)
    );
    let requests: Vec<Request> = (0..n_requests).map(|_| traffic::whole_request(&mut dice, Point::Output)).collect();

    let mut n_acted = 0;
    requests.iter().take(2000).for_each(|request| n_acted += plan.decide(request).acted.len());
    n_acted = 0;
    let timed = |request: &Request| {
        let start = Instant::now();
        let decision = plan.decide(request);
        let time = start.elapsed().as_nanos() as u64;
        (time, std::hint::black_box(decision).acted.len())
    };
    let mut times: Vec<u64> = Vec::with_capacity(n_requests);
    for request in &requests {
        let (time, n) = timed(request);
        times.push(time);
        n_acted += n;
    }
    shown("plan, each long after it was made", &mut times);
    // As a server does it: the request has just been read.
    let mut times: Vec<u64> = requests.iter().map(|request| timed(&std::hint::black_box(request.clone())).0).collect();
    shown("plan, each as it is made", &mut times);
    // What other programs on the machine cost is left out.
    let mut least: Vec<u64> =
        requests.iter().map(|request| (0..5).map(|_| timed(request).0).min().unwrap_or_default()).collect();
    let plan_median = shown("plan, the least of five", &mut least);
    println!("rules that acted, mean {:.1}", n_acted as f64 / n_requests as f64);

    let mut times = Vec::new();
    for request in requests.iter().take(2000) {
        let start = Instant::now();
        let expected = decide_request(&rules, &system, request, DAY);
        times.push(start.elapsed().as_nanos() as u64);
        assert_eq!(plan.decide(request), expected);
    }
    let interpreter_median = shown("interpreter", &mut times);
    let regorus_median = regorus(&rules, &system, &requests[..N_SLOW.min(requests.len())], &plan);
    println!("interpreter / plan {:.0}", interpreter_median as f64 / plan_median as f64);
    println!("regorus / plan {:.0}", regorus_median as f64 / plan_median as f64);
}

/// Cards that are in force for the system of the benchmark, whatever their windows say.
fn rules(dice: &mut worlds::Dice, n: usize, card: fn(&mut worlds::Dice, usize) -> String) -> Rules {
    let mut files = Vec::new();
    while files.len() < n {
        let text = card(dice, files.len()).replace("confirmed = \"part\"", "confirmed = \"yes\"");
        if !text.contains("on = \"output\"") {
            continue;
        }
        let start = text.find("force = [").expect("windows");
        let end = start + text[start..].find("]\n").expect("the end of the windows");
        let text = format!("{}force = [{{ from = 2026-01-01, source = \"x\" }}{}", &text[..start], &text[end..]);
        let rules = Rules::new(vec![(pack(vec![text.clone()]), Mode::Enforce)]);
        // A card that the system alone settles would cost nothing.
        if Plan::compile(&rules, &system(), DAY).is_ok_and(|plan| plan.n_cards(Point::Output) == 1) {
            files.push(text);
        }
    }
    Rules::new(vec![(pack(files), Mode::Enforce)])
}

fn pack(texts: Vec<String>) -> Pack {
    let files: Vec<_> = texts.into_iter().enumerate().map(|(at, text)| (format!("{at}.toml"), text)).collect();
    Pack::compile("generated", &files).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn system() -> System {
    let mut dice = worlds::Dice(7);
    loop {
        let system = traffic::system(&mut dice);
        if ["jurisdictions", "audience", "general_purpose", "role", "on_market"]
            .iter()
            .all(|name| system.get(name).is_some())
        {
            return system;
        }
    }
}

/// Prints median and tail in microseconds; the median in nanoseconds.
fn shown(what: &str, times: &mut [u64]) -> u64 {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let us = |share: f64| at(share) as f64 / 1000.0;
    println!(
        "{what}: p50 {:.2} us, p99 {:.2} us, max {:.2} us over {} requests",
        us(0.5),
        us(0.99),
        us(1.0),
        times.len()
    );
    at(0.5)
}

fn regorus(rules: &Rules, system: &System, requests: &[Request], plan: &Plan) -> u64 {
    let mut engine = regorus::Engine::new();
    for file in rego::export(rules) {
        engine.add_policy(file.path, file.text).expect("an exported module");
    }
    let mut times = Vec::new();
    for request in requests {
        let input = regorus::Value::from_json_str(&rego::request_input(system, request, DAY)).expect("an input");
        let start = Instant::now();
        engine.set_input(input);
        let effect = engine.eval_rule(format!("{}.effect", rego::GATE)).expect("an effect");
        let obligations = engine.eval_rule(format!("{}.obligations", rego::GATE)).expect("obligations");
        times.push(start.elapsed().as_nanos() as u64);
        let decision = plan.decide(request);
        assert_eq!(effect, regorus::Value::from(decision.effect.name()));
        let owed: Vec<String> = decision.obligations.iter().map(|owed| owed.text().to_owned()).collect();
        let theirs = obligations.as_set().expect("a set").iter();
        assert_eq!(theirs.map(|owed| owed.as_string().expect("a text").to_string()).collect::<Vec<_>>(), owed);
    }
    shown("regorus on the exported Rego", &mut times)
}
