//! A small log to try things on.

use evidence::{Digest, Json, Predicate, Statement, Subject};
use ledger::{Check, Key, Ledger, Outcome};
use std::{collections::BTreeMap, fs, path::Path};

pub(crate) const ORIGIN: &str = "example.com/dossier";

/// The statement number `n`, made `n` seconds after ten o'clock.
pub(crate) fn statement(n: u64) -> Statement {
    let at = format!("2026-11-23T10:{:02}:{:02}Z", n / 60, n % 60);
    let predicate = Json::map([("at", Some(at.into())), ("number", Some(n.into()))]);
    let subjects = vec![Subject::new("weights", Digest::of(&n.to_be_bytes()))];
    Statement { subjects, predicate_type: Predicate::Stop, predicate }
}

/// The same key each time, so that what is signed is the same each time.
pub(crate) fn key() -> Key {
    // The id was printed by the library from the seed of 32 bytes 0x07, and is checked when the key is read.
    Key::parse("PRIVATE+KEY+example.com/dossier+4ef1d7e2+AQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH").unwrap()
}

pub(crate) fn log_of(folder: &Path, n_entries: u64) {
    let mut ledger = Ledger::open(folder, key(), ORIGIN).unwrap();
    (0..n_entries).for_each(|n| {
        ledger.append(&statement(n)).unwrap();
    });
}

/// Every file below a folder with its bytes, but for the lock.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let paths = ledger::manifest::files_below(folder, &[".lock"]).unwrap();
    paths.into_iter().map(|path| (path.clone(), fs::read(folder.join(&path)).unwrap())).collect()
}

/// Name, outcome and reason of what does not hold.
pub(crate) fn not_ok(checks: &[Check]) -> Vec<(&str, Outcome, &str)> {
    let bad = checks.iter().filter(|check| !check.ok());
    bad.map(|check| (check.name.as_str(), check.outcome, check.reason.as_str())).collect()
}

/// A generator of numbers that are the same each time (Steele and others 2014, SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}
