//! A crash between any two steps of an append: every acknowledged entry is there again, and nothing else.

use crate::{filled, statement};
use ledger::{Key, Ledger, durable::files_below, keys_in, read, unexpected};
use std::{collections::BTreeSet, fs, path::Path};

fn copy(from: &Path, to: &Path) {
    for file in files_below(from).unwrap() {
        copy_file(from, to, &file);
    }
}

fn copy_file(from: &Path, to: &Path, file: &str) {
    fs::create_dir_all(to.join(file).parent().unwrap()).unwrap();
    fs::copy(from.join(file), to.join(file)).unwrap();
}

/// The order in which an append makes files durable: envelope, tiles and bundles, checkpoint; old partial tiles go last.
fn rank(file: &str) -> u8 {
    match file {
        "log/checkpoint" => 2,
        file if file.starts_with("envelopes/") => 0,
        _ => 1,
    }
}

fn check_append(before: &Path, key: &Key, n: u64) {
    let after = tempfile::tempdir().unwrap();
    copy(before, after.path());
    Ledger::open(after.path(), key.clone(), "test/log").unwrap().append(&statement(n)).unwrap();
    let old: BTreeSet<String> = files_below(before).unwrap().into_iter().collect();
    let is_new = |file: &String| !old.contains(file) || file == "log/checkpoint";
    let mut steps: Vec<String> = files_below(after.path()).unwrap().into_iter().filter(is_new).collect();
    steps.sort_by_key(|file| rank(file));
    for cut in 0..=steps.len() {
        let crashed = tempfile::tempdir().unwrap();
        copy(before, crashed.path());
        steps[..cut].iter().for_each(|file| copy_file(after.path(), crashed.path(), file));
        if let Some(next) = steps.get(cut) {
            fs::create_dir_all(crashed.path().join(next).parent().unwrap()).unwrap();
            fs::write(crashed.path().join(format!("{next}.unfinished")), "half").unwrap();
        }
        let acknowledged = n + u64::from(cut == steps.len());
        let mut ledger = Ledger::open(crashed.path(), key.clone(), "test/log").unwrap();
        assert_eq!(ledger.entries().len() as u64, acknowledged, "after {cut} of {steps:?}");
        assert_eq!(ledger.append(&statement(99)).unwrap().index, acknowledged);
        drop(ledger);
        let checked = read(crashed.path(), &keys_in(crashed.path()).unwrap()).unwrap();
        unexpected(crashed.path(), &checked).unwrap();
        let numbers: Vec<_> = checked.entries.iter().map(|entry| entry.statement.clone()).collect();
        assert_eq!(numbers, (0..acknowledged).chain([99]).map(statement).collect::<Vec<_>>());
    }
}

#[test]
fn every_step_of_an_append_may_be_the_last() {
    let key = Key::generate("test").unwrap();
    // 255 to 257: the partial tile becomes full, a second level begins, a new partial tile begins.
    for n in [0, 1, 2, 19, 254, 255, 256] {
        let before = tempfile::tempdir().unwrap();
        filled(before.path(), &key, n);
        check_append(before.path(), &key, n);
    }
}

#[test]
fn what_was_in_flight_is_named() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::generate("test").unwrap());
    filled(dir.path(), &key, 3);
    fs::write(dir.path().join("envelopes/left.json.unfinished"), "half").unwrap();
    let ledger = Ledger::open(dir.path(), key, "test/log").unwrap();
    assert_eq!(ledger.removed(), ["envelopes/left.json.unfinished"]);
}
