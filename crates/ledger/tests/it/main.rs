//! The log from outside: published vectors, crashes, tampering, and wrong use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod crash;
mod tamper;
mod vectors;
mod wrong_use;

use evidence::{Digest, Json, Predicate, Statement, Subject};
use ledger::{Key, Ledger};
use std::path::Path;

pub(crate) fn statement(n: u64) -> Statement {
    let subject = Subject::new(format!("thing {n}"), Digest::of(&n.to_be_bytes()));
    let predicate = Json::map([("n", Some(n.into())), ("at", Some("2026-11-24T12:00:00Z".into()))]);
    Statement { subjects: vec![subject], predicate_type: Predicate::Evaluation, predicate }
}

pub(crate) fn filled(dir: &Path, key: &Key, n: u64) {
    let mut ledger = Ledger::open(dir, key.clone(), "test/log").unwrap();
    for index in 0..n {
        assert_eq!(ledger.append(&statement(index)).unwrap().index, index);
    }
}
