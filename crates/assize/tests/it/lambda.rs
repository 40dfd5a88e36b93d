//! The weight of a penalty chosen by nested cross-validation, and every optimiser and schedule by one command.

use crate::{Bench, budget::statements};
use serde_json::Value;
use std::fs;

const ADAMW: &str = "optimizer = { name = \"adamw\", learning_rate = 5e-3, weight_decay = 0.1 }";

/// The first case without what comes after training, and with little of it.
fn short(bench: &Bench, optimizer: &str, more: &str) {
    let text = fs::read_to_string(bench.case_file()).unwrap();
    let (text, _) = text.split_once("[compress]").unwrap_or((text.as_str(), ""));
    let text = text.replace(ADAMW, optimizer).replace("15_360", "1_280").replace("clip_norm = 1.0", more);
    fs::write(bench.case_file(), text).unwrap();
}

fn entry(bench: &Bench, kind: &str, suite: Option<&str>) -> Option<Value> {
    let log = statements(bench);
    let is_it = |(of, entry): &&(String, Value)| of == kind && suite.is_none_or(|suite| entry["suite"] == suite);
    log.iter().find(is_it).map(|(_, entry)| entry.clone())
}

const LAMBDA: &str = "lambda = { penalty = \"l2\", candidates = [0, 30.0], outer = 2, inner = 2, tokens = 1_024 }";

#[test]
fn a_weight_is_chosen_under_the_budget_and_taken() {
    let bench = Bench::new();
    short(&bench, ADAMW, LAMBDA);
    let plan = bench.json("plan examples/first-case --json", 0);
    bench.ends("train examples/first-case", 0);
    let choice = entry(&bench, "urn:assize:evaluation:v0.1", Some("lambda")).unwrap();
    let fits = choice["fits"].as_array().unwrap();
    assert_eq!((fits.len(), choice["outer"].as_array().unwrap().len()), (2 * (2 * 2 + 1) + 2 * 2, 2));
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap();
    // A weight of 30 holds every matrix at nothing: the loss is that of a guess, and no fold chooses it.
    let mean = |lambda: f64| {
        let of: Vec<f64> =
            fits.iter().filter(|fit| number(&fit["lambda"]) == lambda).map(|fit| number(&fit["loss"])).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    assert!(mean(30.0) > mean(0.0), "{choice}");
    let chosen = number(&choice["chosen"]);
    assert!(chosen < 30.0, "{choice}");
    let run = entry(&bench, "urn:assize:training-run:v0.1", None).unwrap();
    assert_eq!(number(&run["config"]["train"]["l2"]), chosen);
    let measured = |metric: &str| {
        let found = choice["measurements"].as_array().unwrap().iter().find(|found| found["metric"] == metric);
        number(&found.unwrap()["value"])
    };
    assert_eq!((measured("lambda.value"), measured("lambda.fits")), (chosen, 14.0));
    let outer: Vec<f64> = choice["outer"].as_array().unwrap().iter().map(|fold| number(&fold["outerLoss"])).collect();
    assert!((measured("lambda.loss") - outer.iter().sum::<f64>() / 2.0).abs() < 1e-6);
    assert!(measured("lambda.compute") > 0.0 && !plan["quantities"].as_array().unwrap().is_empty());
    assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
}

#[test]
fn a_choice_that_was_stopped_goes_on_and_comes_to_the_same() {
    let (whole, broken) = (Bench::new(), Bench::new());
    for bench in [&whole, &broken] {
        short(bench, ADAMW, LAMBDA);
    }
    whole.ends("train examples/first-case", 0);
    broken.edit("compute_flop = 1e12", "compute_flop = 3e9");
    broken.ends("train examples/first-case", 1);
    assert!(entry(&broken, "urn:assize:stop:v0.1", None).is_some());
    assert!(entry(&broken, "urn:assize:evaluation:v0.1", Some("lambda")).is_none());
    broken.edit("compute_flop = 3e9", "compute_flop = 1e12");
    broken.ends("train examples/first-case", 0);
    let choice = |bench: &Bench| entry(bench, "urn:assize:evaluation:v0.1", Some("lambda")).unwrap();
    let (first, second) = (choice(&whole), choice(&broken));
    for member in ["chosen", "outer", "fits"] {
        assert_eq!(first[member], second[member], "{member}");
    }
    assert_eq!(whole.weights(), broken.weights());
}

#[test]
fn a_weight_that_the_optimizer_does_not_have_is_refused() {
    let bench = Bench::new();
    let sgd = "optimizer = { name = \"sgd\", learning_rate = 0.1 }";
    short(&bench, sgd, "lambda = { penalty = \"weight_decay\", candidates = [0, 0.1] }");
    let said = bench.refuses("train examples/first-case");
    assert!(said.contains("the optimizer `sgd` has no decoupled weight decay to choose; take `l2`"), "{said}");
}

#[test]
fn every_optimizer_and_schedule_is_one_command_away() {
    for (optimizer, schedule) in [
        ("name = \"gradient-descent\", learning_rate = 0.5", "constant"),
        ("name = \"sgd\", learning_rate = 0.5", "linear"),
        ("name = \"sgd\", learning_rate = 0.1, momentum = 0.9", "cosine"),
        ("name = \"sgd\", learning_rate = 0.1, momentum = 0.9, nesterov = true", "warmup-stable-decay"),
        ("name = \"adam\", learning_rate = 5e-3", "linear"),
        ("name = \"adamw\", learning_rate = 5e-3, weight_decay = 0.1", "cosine"),
        ("name = \"lion\", learning_rate = 1e-3", "warmup-stable-decay"),
        ("name = \"adafactor\", learning_rate = 1e-2", "constant"),
        ("name = \"muon\", learning_rate = 5e-3", "cosine"),
    ] {
        let bench = Bench::new();
        short(&bench, &format!("optimizer = {{ {optimizer} }}"), &format!("schedule = {{ name = \"{schedule}\" }}"));
        bench.ends("train examples/first-case", 0);
        let run = entry(&bench, "urn:assize:training-run:v0.1", None).unwrap();
        let config = &run["config"]["train"];
        assert!(optimizer.contains(config["optimizer"].as_str().unwrap()), "{config}");
        assert_eq!(
            (&config["schedule"]["decay"], config["sgd"]["nesterov"] == true),
            (&Value::from(schedule), optimizer.contains("nesterov"))
        );
        let curve = run["curve"].as_array().unwrap();
        let loss = |at: usize| curve[at]["loss"].as_f64().or_else(|| curve[at]["loss"].as_str()?.parse().ok()).unwrap();
        assert!(loss(curve.len() - 1) < loss(0), "{optimizer}: {curve:?}");
    }
}
