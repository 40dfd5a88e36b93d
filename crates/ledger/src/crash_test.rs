//! Crashes after every single step of every write.

use crate::{
    Checkpoint, DurableError, Key, Ledger, LedgerError, VerifyingKey,
    durable::fault::{self, Fault},
    verify,
};
use evidence::{Digest, Json, Predicate, Statement, Subject};
use std::{fs, path::Path};

const ORIGIN: &str = "example.com/dossier";

fn key() -> Key {
    Key::parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").unwrap()
}

/// A statement like no other.
fn statement(append: u64, step: u32) -> Statement {
    let name = format!("append {append}, crash after {step} steps");
    let predicate = Json::map([("at", Some("2026-11-23T10:00:00Z".into())), ("reason", Some(name.as_str().into()))]);
    let subjects = vec![Subject::new("weights", Digest::of(b""))];
    Statement { subjects, predicate_type: Predicate::Stop, predicate }
}

fn open(folder: &Path) -> Result<Ledger, LedgerError> {
    Ledger::open(folder, key(), ORIGIN)
}

/// Every head that stands on the disk in whole, under its own name or a leftover's: each may have been seen by someone.
fn heads(folder: &Path, keys: &[VerifyingKey], seen: &mut Vec<Checkpoint>) {
    for name in ["log/checkpoint", "log/.checkpoint.tmp"] {
        let bytes = fs::read(folder.join(name)).unwrap_or_default();
        if let Ok((head, _)) = Checkpoint::open(&bytes, keys)
            && !seen.contains(&head)
        {
            seen.push(head);
        }
    }
}

/// Appends `n_appends` statements, each attempted again and again with a crash one step later until it goes through, and
/// opens after each crash. Gives the number of crashes.
fn crash_at_every_step(folder: &Path, n_appends: u64, crash_in_recovery: bool) -> u32 {
    let keys = [key().verifying_key().clone()];
    let (mut acknowledged, mut seen, mut n_crashes) = (Vec::new(), Vec::new(), 0);
    for append in 0..n_appends {
        for step in 0.. {
            let mut ledger = open(folder).unwrap();
            let before = ledger.entries().len();
            fault::after(Fault::Crash, step);
            let outcome = ledger.append(&statement(append, step));
            fault::clear();
            drop(ledger);
            heads(folder, &keys, &mut seen);
            let went_through = outcome.is_ok();
            acknowledged.extend(outcome);
            n_crashes += u32::from(!went_through);
            for step in 0.. {
                fault::after(Fault::Crash, step);
                let opened = if crash_in_recovery { open(folder) } else { fault::clear(); open(folder) };
                fault::clear();
                heads(folder, &keys, &mut seen);
                if let Ok(ledger) = opened {
                    let after = ledger.entries();
                    assert!(acknowledged.iter().all(|entry| after.contains(entry)), "an acknowledged entry is lost");
                    let whole = after.len() == before + usize::from(went_through);
                    assert!(whole || after.len() == before + 1, "more than what was in flight");
                    break;
                }
                n_crashes += 1;
            }
            let verified = verify(folder, None);
            assert!(verified.ok(), "append {append}, step {step}: {:?}", verified.checks);
            if went_through {
                break;
            }
        }
    }
    let verified = verify(folder, None);
    for head in &seen {
        let check = verified.consistent_with(head);
        assert!(head.size == 0 || check.ok(), "two heads at odds: {}", check.reason);
    }
    assert!(acknowledged.len() as u64 == n_appends && seen.len() > acknowledged.len());
    n_crashes
}

#[test]
fn a_crash_after_any_step_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let n_crashes = crash_at_every_step(folder.path(), 20, false);
    // An append writes four files at six steps each, and removes.
    assert!(n_crashes >= 20 * 24, "{n_crashes}");
}

#[test]
fn a_crash_while_recovering_from_a_crash_loses_nothing_either() {
    let folder = tempfile::tempdir().unwrap();
    crash_at_every_step(folder.path(), 3, true);
}

#[test]
fn a_crash_across_a_full_tile_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path()).unwrap();
    (0..250).for_each(|n| {
        ledger.append(&statement(1000 + n, 0)).unwrap();
    });
    drop(ledger);
    crash_at_every_step(folder.path(), 3, false);
    assert!(folder.path().join("log/tile/0/000").exists());
    assert!(!folder.path().join("log/tile/0/000.p").exists());
}

#[test]
fn a_crash_while_a_log_is_started_leaves_one_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    for step in 0.. {
        let below = folder.path().join(step.to_string()).join("dossier");
        fault::after(Fault::Crash, step);
        let opened = open(&below);
        fault::clear();
        let went_through = opened.is_ok();
        drop(opened);
        assert_eq!(open(&below).unwrap().entries(), []);
        assert!(verify(&below, None).ok(), "{step}");
        if went_through {
            assert!(step >= 16, "{step}");
            break;
        }
    }
}

#[test]
fn a_crash_while_a_key_is_saved_leaves_it_whole_or_absent() {
    let folder = tempfile::tempdir().unwrap();
    for step in 0.. {
        let path = folder.path().join(step.to_string());
        fault::after(Fault::Crash, step);
        let saved = key().save(&path);
        fault::clear();
        if path.exists() {
            assert_eq!(Key::load(&path).unwrap().verifying_key(), key().verifying_key());
        } else {
            key().save(&path).unwrap();
        }
        if saved.is_ok() {
            assert!(step >= 6, "{step}");
            break;
        }
    }
}

/// The device is full from some step on: the error names the file and the way out, and the log opens again.
#[test]
fn a_full_device_at_any_step_is_told_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path()).unwrap();
    let first = ledger.append(&statement(0, 0)).unwrap();
    drop(ledger);
    let mut named = Vec::new();
    for step in 0.. {
        let mut ledger = open(folder.path()).unwrap();
        fault::after(Fault::NoRoom, step);
        let outcome = ledger.append(&statement(1, step));
        fault::clear();
        let Err(error) = outcome else { break };
        let LedgerError::Durable(DurableError::NoRoom { path }) = &error else { panic!("{error}") };
        assert_eq!(
            error.to_string(),
            format!(
                "no room left on the device while writing `{}`; free some space and run again: what was recorded before \
                 is intact",
                path.display()
            )
        );
        let below = path.strip_prefix(folder.path()).unwrap().display().to_string();
        named.push(below.split('/').next().unwrap().to_owned() + if below.contains("tile") { "/tile" } else { "" });
        let broken = ledger.append(&statement(2, step)).unwrap_err();
        assert_eq!(
            broken.to_string(),
            format!("an earlier write to `{}` failed; open the log again", folder.path().display())
        );
        drop(ledger);
        assert_eq!(open(folder.path()).unwrap().entries().first(), Some(&first));
        assert!(verify(folder.path(), None).ok());
    }
    named.dedup();
    assert_eq!(named, ["envelopes", "log/tile", "log"]);
}
