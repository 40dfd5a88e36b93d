//! The verbs of rule authors, run as a rule author does.

use serde_json::Value;
use std::{fs, path::Path, process::Command};

/// Exit code, standard output, standard error.
fn policy(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_assize")).arg("policy").args(words).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn coverage_counts_every_rule_of_every_pack_once() {
    let here = tempfile::tempdir().unwrap();
    let (code, out, _) = policy(here.path(), &["coverage", "--json"]);
    assert_eq!(code, 0);
    let json: Value = serde_json::from_str(&out).unwrap();
    let packs = json["packs"].as_array().unwrap();
    assert!(packs.len() >= 4);
    let listed: Value = serde_json::from_str(&policy(here.path(), &["list", "--json"]).1).unwrap();
    for pack in packs {
        let number = |key: &str| pack[key].as_u64().unwrap();
        assert_eq!(number("measured") + number("declared") + number("per_request"), number("rules"));
        let n_listed = listed["rules"].as_array().unwrap().iter().filter(|rule| rule["pack"] == pack["pack"]).count();
        assert_eq!(number("rules"), n_listed as u64);
        let clauses = pack["notImplementedClauses"].as_array().unwrap();
        assert_eq!(number("not_implemented"), clauses.len() as u64);
        assert!(clauses.iter().all(|clause| !clause["reason"].as_str().unwrap().is_empty()));
    }
    let (code, text, _) = policy(here.path(), &["coverage"]);
    assert_eq!(
        (code, text.lines().next().unwrap()),
        (0, "pack              rules  measured  declared  per request  not implemented")
    );
}

#[test]
fn a_card_is_begun_tested_and_never_overwritten() {
    let here = tempfile::tempdir().unwrap();
    let (code, out, _) = policy(here.path(), &["new", "house.steps", "--fact", "train.steps", "--pack", "house"]);
    assert_eq!((code, out.lines().next().unwrap()), (0, "wrote house/house.steps.toml"));
    let text = fs::read_to_string(here.path().join("house/house.steps.toml")).unwrap();
    assert_eq!(policy(here.path(), &["test", "house"]).0, 0);
    assert_eq!(policy(here.path(), &["lint", "house"]).1, "0 lints\n");
    let (code, out, _) = policy(here.path(), &["mutate", "house", "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, json["mutants"].as_u64(), json["survived"].as_array().unwrap().len()),
        (0, json["killed"].as_u64(), 0)
    );
    assert!(json["mutants"].as_u64().unwrap() > 10);

    let (code, _, err) = policy(here.path(), &["new", "house.steps", "--fact", "train.steps", "--pack", "house"]);
    let refusal = "house/house.steps.toml exists and is left as it is; take another id, or remove the file first";
    assert_eq!(code, 2);
    assert!(err.contains(refusal), "{err}");
    assert_eq!(fs::read_to_string(here.path().join("house/house.steps.toml")).unwrap(), text);
    let (code, _, err) = policy(here.path(), &["new", "house.other", "--fact", "train.stepps"]);
    assert_eq!(code, 2);
    assert!(err.contains("no fact `train.stepps` in the catalogue; did you mean `train.steps`?"), "{err}");
    assert!(!here.path().join("house.other.toml").exists());
    let (code, _, err) = policy(here.path(), &["new", "../house", "--fact", "train.steps"]);
    assert_eq!(code, 2);
    assert!(err.contains("expected an id of at most 100 of the letters"), "{err}");
}

#[test]
fn changes_that_no_test_notices_are_told_with_a_test_that_would() {
    let here = tempfile::tempdir().unwrap();
    policy(here.path(), &["new", "house.steps", "--fact", "train.steps", "--pack", "house"]);
    let path = here.path().join("house/house.steps.toml");
    let text = fs::read_to_string(&path).unwrap();
    let kept = text.find("\n[[tests]] # above it").unwrap();
    fs::write(&path, &text[..kept]).unwrap();
    let (code, out, _) = policy(here.path(), &["mutate", "house", "--suggest"]);
    assert_eq!(code, 1);
    assert!(out.contains("no test notices pass_when: train.steps.value >= 10 -> train.steps.value == 10\n    [[tests]] # `train.steps.value` at 11\n"), "{out}");
}

#[test]
fn the_schema_is_json_with_every_fact() {
    let here = tempfile::tempdir().unwrap();
    let (code, out, _) = policy(here.path(), &["schema"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["$schema"].as_str().unwrap()), (0, "https://json-schema.org/draft/2020-12/schema"));
    let facts = json["$defs"]["needs"]["properties"]["fact"]["enum"].as_array().unwrap();
    assert!(facts.iter().any(|fact| fact == "train.compute"));
}

#[test]
fn bad_packs_are_refused_by_name() {
    let here = tempfile::tempdir().unwrap();
    policy(here.path(), &["new", "house.steps", "--fact", "train.steps", "--pack", "house"]);
    let huge = fs::File::create(here.path().join("house/huge.toml")).unwrap();
    huge.set_len(10 * 1024 * 1024).unwrap();
    let (code, _, err) = policy(here.path(), &["test", "house"]);
    assert_eq!(code, 2);
    assert!(err.contains("house/huge.toml:1:1"), "{err}");
    assert!(err.contains("expected at most 65536 bytes, found 10485760"), "{err}");
    fs::write(here.path().join("house/huge.toml"), b"title = \"\xff\"").unwrap();
    let (code, _, err) = policy(here.path(), &["test", "house"]);
    assert_eq!(code, 2);
    assert!(err.contains("house/huge.toml is no UTF-8 text: byte 9 begins no character; save it as UTF-8"), "{err}");
    fs::remove_file(here.path().join("house/huge.toml")).unwrap();
    fs::write(here.path().join("house/pack.toml"), "name = \"house\"\n").unwrap();
    let (code, _, err) = policy(here.path(), &["coverage", "house"]);
    assert_eq!(code, 2);
    assert!(err.contains("house/pack.toml:1:1") && err.contains("expected the field `version`"), "{err}");
}
