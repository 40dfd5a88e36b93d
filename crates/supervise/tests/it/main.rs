//! Runs and their records: the clock, gates, and decisions taken again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod cases;

use evidence::{Decimal, Digest, Json, Measurement, Predicate, Provenance, Round, Subject, metric};
use jiff::{Timestamp, civil::date};
use ledger::{Key, Ledger};
use policy::{Effect, Mode, Stage, System};
use std::path::Path;
use supervise::{Found, PackText, Record, Run, RunError, Terms, recheck};

const CARD: &str = r#"
schema    = 1
id        = "house.documents"
version   = "1.0.0"
kind      = "assess"
severity  = "high"
owner     = "data"
title     = "The corpus has at least ten documents"
gates     = ["data"]
applies   = 'true'
pass_when = 'data.documents.value >= 10'
fail_when = 'data.documents.value < 10'
remedy    = "Add documents to `[[data]]`."
cite  = [{ instrument = "House rules", locator = "1", says = "ten documents or more", confirmed = "yes" }]
force = [{ from = 2026-01-01, source = "house" }]
needs = [{ fact = "data.documents", type = "count", max_age_days = 30 }]
"#;

fn terms() -> Terms {
    let cards = vec![("documents.toml".to_owned(), CARD.to_owned())];
    let pack = PackText { name: "house".to_owned(), mode: Mode::Enforce, cards };
    Terms::new(vec![pack], System::new(), date(2026, 11, 24)).unwrap()
}

fn noon() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn an_hour_earlier() -> Timestamp {
    "2026-11-24T11:00:00Z".parse().unwrap()
}

fn ledger(folder: &Path, key: &Key) -> Ledger {
    Ledger::open(folder, key.clone(), "test/log").unwrap()
}

fn documents(n: u128) -> Record {
    let subject = Subject::new("corpus", Digest::of(b"corpus"));
    let mut record = Record::new(Predicate::DatasetAudit, "data");
    record.measurements = vec![Measurement {
        metric: metric::find("data.documents").unwrap(),
        subject: subject.clone(),
        value: Decimal::from_u128(n, Round::Nearest),
        interval: None,
        n: None,
        k: None,
        method: "counted".to_owned(),
        convention: None,
        inputs: Vec::new(),
        instrument: "test".to_owned(),
        provenance: Provenance::Measured,
        at: noon(),
    }];
    record.subjects = vec![subject];
    record
}

#[test]
fn without_evidence_the_gate_denies_and_with_it_the_gate_opens() {
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::generate("test").unwrap());
    let (mut run, found) = Run::open(ledger(folder.path(), &key), "run".to_owned(), terms(), noon).unwrap();
    assert_eq!(found, Found::New);
    let denied = run.decide(Stage::Data).unwrap();
    assert_eq!(denied.effect, Effect::Deny);
    assert_eq!(denied.denials, ["house.documents: evidence-missing: there is no evidence of data.documents"]);
    run.record(documents(12)).unwrap();
    assert_eq!(run.decide(Stage::Data).unwrap().effect, Effect::Allow);
    let n = run.entries().len();
    run.decide(Stage::Data).unwrap();
    assert_eq!(run.entries().len(), n, "a decision that stands is not written again");
    assert!(recheck(run.entries()).iter().all(|decision| decision.problem.is_none()));
}

#[test]
fn a_clock_that_went_back_is_refused_before_anything_is_written() {
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::generate("test").unwrap());
    let (run, _) = Run::open(ledger(folder.path(), &key), "run".to_owned(), terms(), noon).unwrap();
    let n = run.ledger().entries().len();
    drop(run);
    let error = Run::open(ledger(folder.path(), &key), "run".to_owned(), terms(), an_hour_earlier).unwrap_err();
    assert!(matches!(error, RunError::ClockWentBack { .. }));
    assert_eq!(
        error.to_string(),
        "the clock says 2026-11-24T11:00:00Z, but the last entry of the log was recorded at 2026-11-24T12:00:00Z; set the clock, or wait until it has passed that time"
    );
    assert_eq!(ledger(folder.path(), &key).entries().len(), n);
}

#[test]
fn a_run_that_broke_off_is_known_when_it_is_opened_again() {
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::generate("test").unwrap());
    let (mut run, _) = Run::open(ledger(folder.path(), &key), "run".to_owned(), terms(), noon).unwrap();
    run.record(documents(12)).unwrap();
    drop(run);
    let (mut run, found) = Run::open(ledger(folder.path(), &key), "run".to_owned(), terms(), noon).unwrap();
    assert_eq!(found, Found::Broken);
    run.record(Record::new(Predicate::Seal, "seal")).unwrap();
    drop(run);
    let (run, found) = Run::open(ledger(folder.path(), &key), "run".to_owned(), terms(), noon).unwrap();
    assert_eq!(found, Found::Sealed);
    drop(run);
    let (_, found) = Run::open(ledger(folder.path(), &key), "another".to_owned(), terms(), noon).unwrap();
    assert_eq!(found, Found::New);
}

#[test]
fn a_decision_that_does_not_follow_from_its_evidence_is_found() {
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::generate("test").unwrap());
    let (mut run, _) = Run::open(ledger(folder.path(), &key), "run".to_owned(), terms(), noon).unwrap();
    run.record(documents(12)).unwrap();
    run.decide(Stage::Data).unwrap();
    let mut entries = run.entries().to_vec();
    let decision = entries.iter_mut().find(|entry| entry.statement.predicate_type == Predicate::Decision).unwrap();
    let mut members = decision.statement.predicate.members().unwrap().clone();
    members.insert("effect".to_owned(), "deny".into());
    decision.statement.predicate = Json::Map(members);
    let problems: Vec<_> = recheck(&entries).into_iter().filter_map(|decision| decision.problem).collect();
    assert_eq!(problems, ["deciding again from its evidence gives another result"]);
}
