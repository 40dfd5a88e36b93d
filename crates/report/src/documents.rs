//! The evidence and the decisions of the latest run, for programs.

use crate::{Record, run::Run};
use evidence::{Declaration, Digest, Json, Measurement, Predicate};

/// `evidence.json`: every measurement and declaration of the latest run, in entry order, decimals as numbers. To the
/// members that were signed, each adds `entry` (its position in the log), `envelope` (SHA-256 of the envelope file) and
/// `statement` (SHA-256 of the signed payload).
#[must_use]
pub fn evidence_json(records: &[Record]) -> String {
    let run = Run::latest(records);
    let measurements = run.measurements().into_iter().map(|(record, signed)| {
        located(&Measurement::from_json(signed).map_or_else(|_| signed.clone(), |typed| typed.to_json()), record)
    });
    let declarations = run.declarations().into_iter().map(|(record, signed)| {
        located(&Declaration::from_json(signed).map_or_else(|_| signed.clone(), |typed| typed.to_json()), record)
    });
    Json::map([
        ("measurements", Some(Json::List(measurements.collect()))),
        ("declarations", Some(Json::List(declarations.collect()))),
    ])
    .document()
}

/// `decisions.json`: every decision of the latest run as it was signed, in entry order, each with `entry`, `envelope`
/// and `statement` as in [`evidence_json`].
#[must_use]
pub fn decisions_json(records: &[Record]) -> String {
    let run = Run::latest(records);
    let decisions = run.of(Predicate::Decision).map(|record| located(&record.statement.predicate, record));
    Json::map([("decisions", Some(Json::List(decisions.collect())))]).document()
}

/// The same members and where they stand; a member of the same name gives way.
fn located(signed: &Json, record: &Record) -> Json {
    let mut members = signed.members().cloned().unwrap_or_default();
    let statement = Digest::of(record.statement.canonical().as_bytes());
    members.insert("entry".to_owned(), record.index.into());
    members.insert("envelope".to_owned(), record.envelope.to_string().into());
    members.insert("statement".to_owned(), statement.to_string().into());
    Json::Map(members)
}
