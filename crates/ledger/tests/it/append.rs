//! Writing, opening again, and being refused.

use crate::support::{ORIGIN, files, key, log_of, not_ok, statement};
use evidence::Json;
use ledger::{Key, Ledger, LedgerError, Outcome, Recovered, entry_bytes, tiles, verify};
use std::{fs, path::Path};

fn refused(folder: &Path) -> String {
    Ledger::open(folder, key(), ORIGIN).unwrap_err().to_string()
}

#[test]
fn entries_survive_closing_and_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
    assert_eq!((ledger.entries().len(), ledger.last_at()), (0, None));
    assert!(verify(folder.path(), None).ok(), "an empty log is a log");
    let first = ledger.append(&statement(0)).unwrap();
    assert_eq!((first.index, &first.statement), (0, &statement(0)));
    drop(ledger);
    let mut ledger = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
    assert_eq!(ledger.recovered(), &Recovered::default());
    assert_eq!(ledger.entries(), std::slice::from_ref(&first));
    let second = ledger.append(&statement(1)).unwrap();
    assert_eq!(ledger.last_at(), Some("2026-11-23T10:00:01Z".parse().unwrap()));
    let verified = verify(folder.path(), None);
    assert_eq!(not_ok(&verified.checks), []);
    assert_eq!(verified.entries, [first, second]);
    assert_eq!(verified.checkpoint, Some(ledger.checkpoint()));
    assert_eq!(verified.signers, [key().verifying_key().clone()]);
}

/// The same statements and key give the same files, and these are the files of the specification.
#[test]
fn the_folder_is_laid_out_as_the_specification_says() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    folders.iter().for_each(|folder| log_of(folder.path(), 3));
    let [one, other] = folders.each_ref().map(|folder| files(folder.path()));
    assert_eq!(one, other);
    let verified = verify(folders[0].path(), None);
    let mut expected: Vec<_> = verified.entries.iter().map(|entry| format!("envelopes/{}.json", entry.envelope)).collect();
    expected.extend(
        ["keys/example.com-dossier.pub", "log/checkpoint", "log/tile/0/000.p/3", "log/tile/entries/000.p/3"]
            .map(str::to_owned),
    );
    expected.sort();
    assert_eq!(one.keys().cloned().collect::<Vec<_>>(), expected);
    let entries: Vec<_> = verified.entries.iter().map(|entry| entry_bytes(&entry.envelope)).collect();
    assert_eq!(entries[0], format!("{{\"sha256\":\"{}\"}}", verified.entries[0].envelope).into_bytes());
    assert_eq!(one["log/tile/entries/000.p/3"], tiles::bundle(entries.iter().map(Vec::as_slice)).unwrap());
}

/// Across the first full tile: 260 entries, opened again at 255, 256 and 257.
#[test]
fn a_full_tile_replaces_its_partial_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
    for n in 0..260 {
        ledger.append(&statement(n)).unwrap();
        if (254..=256).contains(&n) {
            drop(ledger);
            assert_eq!(not_ok(&verify(folder.path(), None).checks), []);
            ledger = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
            assert_eq!(ledger.recovered(), &Recovered::default());
        }
    }
    let found: Vec<_> = files(folder.path()).into_keys().filter(|path| path.starts_with("log/tile/")).collect();
    let expected =
        ["0/000", "0/001.p/4", "1/000.p/1", "entries/000", "entries/001.p/4"].map(|tile| format!("log/tile/{tile}"));
    assert_eq!(found, expected);
    assert!(!folder.path().join("log/tile/0/000.p").exists());
    assert_eq!(verify(folder.path(), None).entries, ledger.entries());
}

#[test]
fn a_second_run_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
    let before = files(folder.path());
    let lock = folder.path().join(".lock");
    let reason = format!("another run holds `{}`; wait for it to end or stop it, then run again", lock.display());
    assert_eq!(refused(folder.path()), reason);
    assert_eq!(files(folder.path()), before);
    drop(first);
    Ledger::open(folder.path(), key(), ORIGIN).unwrap();
}

#[test]
fn a_statement_without_a_time_is_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
    let before = files(folder.path());
    for at in [None, Some(Json::from("yesterday")), Some(Json::from(7_u64))] {
        let mut bad = statement(0);
        bad.predicate = Json::map([("at", at)]);
        let reason = ledger.append(&bad).unwrap_err().to_string();
        assert_eq!(reason, "the statement has no `at` with the time at which it is made");
    }
    assert_eq!(files(folder.path()), before);
    ledger.append(&statement(0)).unwrap();
}

#[test]
fn the_same_statement_twice_is_two_entries_with_one_envelope() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
    let (first, second) = (ledger.append(&statement(0)).unwrap(), ledger.append(&statement(0)).unwrap());
    assert_eq!((first.index, second.index, first.envelope), (0, 1, second.envelope));
    drop(ledger);
    assert_eq!(not_ok(&verify(folder.path(), None).checks), []);
    assert_eq!(Ledger::open(folder.path(), key(), ORIGIN).unwrap().entries(), [first, second]);
}

#[test]
fn a_log_that_a_crash_cannot_explain_is_not_opened() {
    let check = |change: &dyn Fn(&Path), reason: &dyn Fn(&Path) -> String| {
        let folder = tempfile::tempdir().unwrap();
        log_of(folder.path(), 4);
        change(folder.path());
        let before = files(folder.path());
        assert_eq!(refused(folder.path()), reason(folder.path()));
        assert_eq!(files(folder.path()), before, "a refused log is left as it is");
    };
    let shown = |folder: &Path, path: &str| folder.join(path).display().to_string();
    check(&|folder| fs::remove_file(folder.join("log/checkpoint")).unwrap(), &|folder| {
        format!(
            "`{}` is missing, but the log has entries; put back a copy of the folder, or start a new one elsewhere",
            shown(folder, "log/checkpoint")
        )
    });
    check(&|folder| fs::remove_file(folder.join("log/tile/entries/000.p/4")).unwrap(), &|folder| {
        format!("`{}` is missing; put back a copy of the folder", shown(folder, "log/tile/entries/000.p/4"))
    });
    check(&|folder| fs::write(folder.join("log/tile/0/000.p/4"), "x").unwrap(), &|folder| {
        format!(
            "`{}` does not hold what `log/checkpoint` signs; put back a copy of the folder",
            shown(folder, "log/tile/0/000.p/4")
        )
    });
    check(&|folder| fs::write(folder.join("log/tile/entries/000.p/7"), "x").unwrap(), &|folder| {
        format!(
            "`log/checkpoint` signs 4 entries, but `{}` is of a later log; put back the latest copy of the folder",
            shown(folder, "log/tile/entries/000.p/7")
        )
    });
}

/// The head set back by more than the one entry that can be in flight: nothing is removed, nothing is signed.
#[test]
fn a_head_set_back_is_found() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 2);
    let old = fs::read(folder.path().join("log/checkpoint")).unwrap();
    let mut ledger = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
    (2..5).for_each(|n| {
        ledger.append(&statement(n)).unwrap();
    });
    drop(ledger);
    fs::write(folder.path().join("log/checkpoint"), old).unwrap();
    let before = files(folder.path());
    let path = folder.path().join("log/tile/0/000.p/5");
    assert_eq!(
        refused(folder.path()),
        format!(
            "`log/checkpoint` signs 2 entries, but `{}` is of a later log; put back the latest copy of the folder",
            path.display()
        )
    );
    assert_eq!(files(folder.path()), before);
}

#[test]
fn another_key_or_origin_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 1);
    let other = Key::generate(ORIGIN).unwrap();
    let vkey = other.verifying_key().to_string();
    let path = folder.path().join("log/checkpoint").display().to_string();
    let error = Ledger::open(folder.path(), other, ORIGIN).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`{path}` is not a checkpoint signed by `{vkey}`; use the key that started the log, or put back a copy of \
             the folder"
        )
    );
    let error = Ledger::open(folder.path(), key(), "example.com/other").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`{path}` is of the log `{ORIGIN}`, expected `example.com/other`; use the origin that started the log"
        )
    );
    let error = Ledger::open(folder.path(), key(), "https://example.com").unwrap_err();
    assert!(matches!(error, LedgerError::Origin(_)));
    assert_eq!(error.to_string(), "the log cannot be signed under this origin");
}

#[test]
fn files_that_are_not_ours_are_left_alone_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 2);
    for path in ["log/notes.txt", "envelopes/readme", "envelopes/.x.json.tmp"] {
        fs::write(folder.path().join(path), "mine").unwrap();
    }
    let reasons = "`envelopes/.x.json.tmp` is left over from an interrupted write; `envelopes/readme` is not of the log \
                   that `log/checkpoint` signs; `log/notes.txt` is not of the log that `log/checkpoint` signs";
    assert_eq!(not_ok(&verify(folder.path(), None).checks), [("unexpected-files", Outcome::Fails, reasons)]);
    let ledger = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
    assert_eq!(ledger.recovered().removed, ["envelopes/.x.json.tmp"]);
    assert_eq!(fs::read(folder.path().join("log/notes.txt")).unwrap(), b"mine");
    assert_eq!(fs::read(folder.path().join("envelopes/readme")).unwrap(), b"mine");
}
