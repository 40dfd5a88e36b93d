//! What other programs rely on: exit codes, members of the JSON, files of the dossier.

use crate::Bench;
use serde_json::Value;
use std::{collections::BTreeSet, fs};

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn has(value: &Value, members: &[&str]) {
    let held = names(value);
    assert!(members.iter().all(|member| held.contains(member)), "{members:?} of {held:?}");
}

#[test]
fn a_run_leaves_a_dossier_that_stands_alone() {
    let bench = Bench::new();
    let out = bench.ends("run examples/first-case", 0);
    let last = out.lines().last().unwrap();
    assert!(last.starts_with("dossier: ") && last.ends_with("examples/first-case/dossier/index.html"), "{last}");
    let dossier = bench.dossier();
    for file in ["log/checkpoint", "evidence.json", "decisions.json", "index.html", "weights/model.safetensors", "weights/manifest.json"] {
        assert!(dossier.join(file).is_file(), "{file}");
    }
    let evidence: Value = serde_json::from_str(&fs::read_to_string(dossier.join("evidence.json")).unwrap()).unwrap();
    let measurements = evidence["measurements"].as_array().unwrap();
    measurements.iter().for_each(|m| has(m, &["metric", "value", "unit", "method", "provenance", "subject", "at"]));
    let compute = measurements.iter().find(|m| m["metric"] == "train.compute").unwrap();
    assert_eq!(compute["unit"], "FLOP");
    assert!(compute["value"].as_f64().unwrap() > 1e6 && compute["lower"].as_f64() <= compute["value"].as_f64());

    // Alone: no case, no packs, no key beside it.
    let elsewhere = Bench { root: tempfile::tempdir().unwrap() };
    crate::copy(&dossier, &elsewhere.path("copy"));
    let verified = elsewhere.json("verify copy --json", 0);
    assert_eq!(verified["ok"], true);
    verified["checks"].as_array().unwrap().iter().for_each(|check| has(check, &["name", "ok", "reason"]));
    let checked = elsewhere.json("check copy --json", 0);
    assert_eq!(names(&checked).range("as_of"..="as_of").count(), 1);
    has(&checked, &["as_of", "effect", "verdicts"]);
    let verdicts = checked["verdicts"].as_array().unwrap();
    verdicts.iter().for_each(|v| has(v, &["rule", "pack", "verdict", "reason", "mode", "evidence"]));
    let rules: Vec<&str> = verdicts.iter().map(|v| v["rule"].as_str().unwrap()).collect();
    assert!(rules.len() > 40 && rules.is_sorted(), "{rules:?}");
}

#[test]
fn a_plan_gives_bounds_and_thresholds() {
    let bench = Bench::new();
    let plan = bench.json("plan examples/first-case --json", 0);
    let quantities = plan["quantities"].as_array().unwrap();
    let named: BTreeSet<&str> = quantities.iter().map(|q| q["name"].as_str().unwrap()).collect();
    assert_eq!(named, BTreeSet::from(["compute", "time", "memory", "energy", "carbon"]));
    for quantity in quantities {
        has(quantity, &["value", "lower", "upper", "unit"]);
        let bound = |key: &str| quantity[key].as_f64().unwrap();
        assert!(bound("lower") <= bound("value") && bound("value") <= bound("upper"), "{quantity}");
    }
    let thresholds = plan["thresholds"].as_array().unwrap();
    let systemic = thresholds.iter().find(|t| t["rule"] == "eu.gpai.sysrisk" && t["operator"] == ">").unwrap();
    assert_eq!((systemic["value"].as_f64(), &systemic["crossed"]), (Some(1e25), &Value::from("no")));
    assert!(!bench.dossier().exists(), "a plan writes nothing");
}

#[test]
fn a_rule_that_fails_denies_and_is_named() {
    let bench = Bench::new();
    bench.edit("licence = \"public-domain\"\n", "");
    let output = bench.assize("run examples/first-case");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("denied at the stage `data`:\n  house.data."), "{said}");
    assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
    assert_eq!(bench.json("check examples/first-case --json", 1)["effect"], "deny");
}

#[test]
fn the_same_decision_gives_the_same_bytes() {
    let bench = Bench::new();
    bench.ends("run examples/first-case", 0);
    let check = || bench.ends("check examples/first-case/dossier --json", 0);
    assert_eq!(check(), check());
}

#[test]
fn what_is_not_covered_is_listed() {
    let bench = Bench::new();
    let uncovered = bench.json("verify --uncovered --json", 0);
    let paths: Vec<&str> = uncovered["uncovered"].as_array().unwrap().iter().map(|u| u["path"].as_str().unwrap()).collect();
    assert_eq!(paths, [".lock", ".work/"]);
}

#[test]
fn init_writes_a_case_that_is_read() {
    let bench = Bench::new();
    fs::create_dir(bench.path("new")).unwrap();
    fs::write(bench.path("new/corpus.txt"), "one two three\n").unwrap();
    bench.ends("init new", 0);
    bench.ends("check new --json", 0);
    assert_eq!(bench.refuses("init new"), "error: new/assize.toml stands already and is left as it is");
}
