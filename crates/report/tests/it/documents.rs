//! The two JSON documents, read as a stranger's program would.

use crate::fixture::{self, Log, measurement};
use evidence::{Digest, Json, Predicate, Statement, Subject};
use serde_json::Value;

fn read(document: &str) -> Value {
    serde_json::from_str(document).unwrap()
}

#[test]
fn measurements_keep_their_members_with_decimals_as_numbers() {
    let records = fixture::allowed();
    let evidence = read(&report::evidence_json(&records));
    let measurements = evidence["measurements"].as_array().unwrap();
    let signed: usize = records
        .iter()
        .map(|record| record.statement.predicate.get("measurements").map_or(0, |list| list.items().len()))
        .sum();
    assert_eq!(measurements.len(), signed);
    let compute = measurements.iter().find(|item| item["metric"] == "train.compute").unwrap();
    assert_eq!(compute["value"], serde_json::json!(1_621_872_345_088_i64));
    assert_eq!(compute["unit"], "FLOP");
    let loss = measurements.iter().find(|item| item["metric"] == "heldout.loss").unwrap();
    // 4.2183927, 4.11803381 and 4.31902517 as the fixture signs them.
    let expected =
        serde_json::json!({"value": 4.218_392_7, "lower": 4.118_033_81, "upper": 4.319_025_17, "n": 7, "level": 0.95});
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&loss[member], value, "{member}");
    }
    for member in ["method", "provenance", "subject", "at", "instrument", "inputs", "intervalMethod"] {
        assert!(!loss[member].is_null(), "{member}");
    }
}

#[test]
fn every_item_says_where_it_stands() {
    let records = fixture::allowed();
    let (evidence, decisions) = (read(&report::evidence_json(&records)), read(&report::decisions_json(&records)));
    let lists = [&evidence["measurements"], &evidence["declarations"], &decisions["decisions"]];
    for item in lists.into_iter().flat_map(|list| list.as_array().unwrap()) {
        let record = &records[item["entry"].as_u64().unwrap() as usize];
        assert_eq!(item["envelope"], record.envelope.to_string());
        assert_eq!(item["statement"], Digest::of(record.statement.canonical().as_bytes()).to_string());
    }
}

#[test]
fn declarations_are_apart_and_typed() {
    let mut log = Log::default();
    let subject = format!(r#"{{"name": "s", "digest": {{"sha256": "{}"}}}}"#, fixture::of("s"));
    let declaration = |fact: &str, value: &str| {
        format!(
            r#"{{"fact": "{fact}", "subject": {subject}, "value": {value}, "unit": "1", "owner": "o", "provenance": "declared", "at": "2026-11-20T08:00:00Z", "expires": "2027-11-20"}}"#
        )
    };
    // One fact of the catalogue, whose decimal becomes a number, and one that no catalogue knows, which stays as signed.
    let members = format!(
        r#", "declarations": [{}, {}]"#,
        declaration("budget.share_used", "\"0.5\""),
        declaration("unheard.of", "\"0.5\"")
    );
    log.add(Predicate::Declarations, "data", "2026-11-20T08:00:00Z", &["s"], &members);
    let evidence = read(&report::evidence_json(&log.records));
    assert_eq!(evidence["measurements"], serde_json::json!([]));
    let values: Vec<&Value> = evidence["declarations"].as_array().unwrap().iter().map(|item| &item["value"]).collect();
    assert_eq!(values, [&serde_json::json!(0.5), &serde_json::json!("0.5")]);
}

#[test]
fn decisions_stand_in_entry_order_as_they_were_signed() {
    let records = fixture::allowed();
    let decisions = read(&report::decisions_json(&records));
    let decisions = decisions["decisions"].as_array().unwrap();
    let stages: Vec<&str> = decisions.iter().map(|decision| decision["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["data", "plan", "train", "compress", "evaluate", "release"]);
    let entries: Vec<u64> = decisions.iter().map(|decision| decision["entry"].as_u64().unwrap()).collect();
    assert!(entries.is_sorted());
    assert_eq!(decisions[5]["effect"], "allow");
    assert_eq!(decisions[5]["verdicts"].as_array().unwrap().len(), 21);
}

/// Two runs in one log, the second resting on rule cards of before it.
fn two_runs() -> Vec<report::Record> {
    let mut log = Log::default();
    let mut add = |kind: Predicate, run: Option<&str>, members: Json| {
        let mut map = members.members().cloned().unwrap_or_default();
        if let Some(run) = run {
            map.insert("runId".into(), run.into());
        }
        let subjects = vec![Subject::new("subject", fixture::of("subject"))];
        log.push(&Statement { subjects, predicate_type: kind, predicate: Json::Map(map) })
    };
    let one = |value: &str| {
        let text = format!("[{}]", measurement("train.compute", "FLOP", value, "measured", "m", ""));
        Json::map([("measurements", Some(Json::parse(&text).unwrap()))])
    };
    let cards = add(Predicate::Policy, None, Json::map([("packs", Some(Json::List(vec![])))]));
    add(Predicate::Declarations, None, Json::map([("note", Some("nobody names this".into()))]));
    add(Predicate::Plan, Some("first"), Json::map([]));
    add(Predicate::TrainingRun, Some("first"), one("111"));
    add(
        Predicate::Decision,
        Some("first"),
        Json::map([("effect", Some("deny".into())), ("policy", Some(cards.into()))]),
    );
    add(Predicate::DatasetAudit, Some("second"), one("222"));
    add(Predicate::Plan, Some("second"), Json::map([]));
    add(Predicate::TrainingRun, Some("second"), one("333"));
    add(
        Predicate::Decision,
        Some("second"),
        Json::map([("effect", Some("allow".into())), ("policy", Some(cards.into()))]),
    );
    log.records
}

#[test]
fn only_the_latest_run_is_told_with_what_it_names() {
    let records = two_runs();
    let evidence = read(&report::evidence_json(&records));
    let entries: Vec<u64> =
        evidence["measurements"].as_array().unwrap().iter().map(|item| item["entry"].as_u64().unwrap()).collect();
    // The audit of the second run stands before its plan and belongs to it all the same.
    assert_eq!(entries, [5, 7]);
    let decisions = read(&report::decisions_json(&records));
    assert_eq!(decisions["decisions"].as_array().unwrap().len(), 1);
    let page = report::index_html(&records);
    for (entry, shown) in [(0, true), (1, false), (2, false), (4, false), (5, true), (6, true), (8, true)] {
        assert_eq!(page.contains(&format!("id=\"entry-{entry}\"")), shown, "entry {entry}");
    }
    assert!(page.contains("The log also holds entries of earlier runs, which are not shown."));
}

#[test]
fn without_run_ids_the_latest_run_begins_with_the_last_plan() {
    let mut records = two_runs();
    for record in &mut records {
        let Json::Map(members) = &mut record.statement.predicate else { unreachable!() };
        members.remove("runId");
    }
    let evidence = read(&report::evidence_json(&records));
    let entries: Vec<u64> =
        evidence["measurements"].as_array().unwrap().iter().map(|item| item["entry"].as_u64().unwrap()).collect();
    assert_eq!(entries, [7]);
}

#[test]
fn an_empty_log_gives_empty_documents() {
    assert_eq!(report::evidence_json(&[]), "{\n  \"declarations\": [],\n  \"measurements\": []\n}\n");
    assert_eq!(report::decisions_json(&[]), "{\n  \"decisions\": []\n}\n");
}
