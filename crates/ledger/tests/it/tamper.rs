//! A changed byte anywhere is found, and the file it is in is named.

use crate::support::{Numbers, ORIGIN, files, key, log_of, not_ok, statement};
use evidence::Digest;
use ledger::{Envelope, Key, Ledger, Outcome, verify};
use std::{fs, path::Path};

const PLACES: usize = 200;

#[test]
fn any_changed_byte_is_found_in_the_file_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 5);
    let mut numbers = Numbers(7);
    let mut n_flips = 0;
    for (path, good) in files(folder.path()) {
        for n in 0..PLACES {
            // Small files are gone through byte by byte, larger ones at seeded places.
            let place = if good.len() <= PLACES { n } else { numbers.below(good.len()) };
            let Some(byte) = good.get(place) else { break };
            let mut bad = good.clone();
            bad[place] = byte ^ (1 + numbers.below(255)) as u8;
            fs::write(folder.path().join(&path), &bad).unwrap();
            let verified = verify(folder.path(), None);
            let told = not_ok(&verified.checks);
            let failed: Vec<_> = told.iter().filter(|(_, outcome, _)| *outcome == Outcome::Fails).collect();
            assert!(!failed.is_empty(), "{path} at {place}: {told:?}");
            assert!(failed.iter().all(|(_, _, reason)| reason.contains(&format!("`{path}`"))), "{path} at {place}: {told:?}");
            let refused = Ledger::open(folder.path(), key(), ORIGIN).unwrap_err().to_string();
            assert!(refused.contains(&path), "{path} at {place}: {refused}");
            n_flips += 1;
        }
        fs::write(folder.path().join(&path), &good).unwrap();
    }
    assert!(verify(folder.path(), None).ok());
    // Five envelopes, checkpoint, key, bundle and tile: nine files; the key has fewer than 200 bytes.
    assert_eq!(n_flips, 8 * PLACES + key().verifying_key().to_string().len() + 1);
}

/// Every file cut at seeded places, or gone.
#[test]
fn a_cut_or_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 5);
    let mut numbers = Numbers(11);
    for (path, good) in files(folder.path()) {
        for n in 0..21 {
            if n == 0 {
                fs::remove_file(folder.path().join(&path)).unwrap();
            } else {
                fs::write(folder.path().join(&path), &good[..numbers.below(good.len())]).unwrap();
            }
            let verified = verify(folder.path(), None);
            let told = not_ok(&verified.checks);
            let failed: Vec<_> = told.iter().filter(|(_, outcome, _)| *outcome == Outcome::Fails).collect();
            let named = |reason: &str| reason.contains(&path) || (path.starts_with("keys/") && reason.contains("`keys/`"));
            assert!(!failed.is_empty() && failed.iter().all(|(_, _, reason)| named(reason)), "{path}: {told:?}");
        }
        fs::write(folder.path().join(&path), &good).unwrap();
    }
    assert!(verify(folder.path(), None).ok());
}

/// What does not hold after a change to a log of five entries: names, and the reasons of those that fail.
fn findings(change: impl Fn(&Path)) -> Vec<(String, Outcome, String)> {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 5);
    change(folder.path());
    let verified = verify(folder.path(), None);
    let told = not_ok(&verified.checks);
    told.into_iter().map(|(name, outcome, reason)| (name.to_owned(), outcome, reason.to_owned())).collect()
}

fn expected(rows: &[(&str, Outcome, &str)]) -> Vec<(String, Outcome, String)> {
    rows.iter().map(|(name, outcome, reason)| ((*name).to_owned(), *outcome, (*reason).to_owned())).collect()
}

fn envelopes(folder: &Path) -> Vec<String> {
    verify(folder, None).entries.iter().map(|entry| format!("envelopes/{}.json", entry.envelope)).collect()
}

#[test]
fn each_kind_of_damage_has_its_whole_reason() {
    use Outcome::{Fails, Unknown};
    let unread = "could not tell: not every envelope could be read";
    let reference = tempfile::tempdir().unwrap();
    log_of(reference.path(), 5);
    let third = envelopes(reference.path()).remove(2);

    let missing = findings(|folder| fs::remove_file(folder.join(&third)).unwrap());
    let reason = format!("`{third}` is missing");
    assert_eq!(
        missing,
        expected(&[("envelopes", Fails, &reason), ("signatures", Unknown, unread), ("statements", Unknown, unread)])
    );

    let changed = findings(|folder| fs::write(folder.join(&third), "{}").unwrap());
    let reason = format!("`{third}` changed: its digest is {}", Digest::of(b"{}"));
    assert_eq!(
        changed,
        expected(&[("envelopes", Fails, &reason), ("signatures", Unknown, unread), ("statements", Unknown, unread)])
    );

    let tile = findings(|folder| fs::write(folder.join("log/tile/0/000.p/5"), [0; 160]).unwrap());
    let reason = "`log/tile/0/000.p/5` does not hold the hashes of the signed tree";
    assert_eq!(tile, expected(&[("tiles", Fails, reason)]));

    let added = findings(|folder| fs::write(folder.join("log/tile/0/000.p/4"), [0; 128]).unwrap());
    let reason = "`log/tile/0/000.p/4` is not of the log that `log/checkpoint` signs";
    assert_eq!(added, expected(&[("unexpected-files", Fails, reason)]));

    let gone = findings(|folder| fs::remove_dir_all(folder.join("keys")).unwrap());
    let head = "could not tell: `log/checkpoint` is not to be believed";
    let files = "could not tell: which files the log should have";
    let named = "could not tell: the entries that name envelopes cannot all be believed";
    assert_eq!(
        gone,
        expected(&[
            ("keys", Fails, "`keys/` holds no public key"),
            ("checkpoint-signature", Unknown, "could not tell: there is no usable public key for `log/checkpoint`"),
            ("origin", Unknown, head),
            ("log-root", Unknown, head),
            ("entries", Unknown, head),
            ("tiles", Unknown, head),
            ("envelopes", Unknown, named),
            ("signatures", Unknown, unread),
            ("statements", Unknown, unread),
            ("unexpected-files", Unknown, files),
        ])
    );
}

/// An entry exchanged in the bundle: the hashes beside it are signed for, so the bundle is the wrong one.
#[test]
fn an_exchanged_entry_is_told_from_an_exchanged_hash() {
    use Outcome::{Fails, Unknown};
    let path = "log/tile/entries/000.p/5";
    let zeros = format!("{{\"sha256\":\"{}\"}}", "0".repeat(64));
    let mut root = String::new();
    let found = findings(|folder| {
        let mut bytes = fs::read(folder.join(path)).unwrap();
        bytes.splice(2..2 + zeros.len(), zeros.bytes());
        fs::write(folder.join(path), bytes).unwrap();
    });
    for (name, _, reason) in &found {
        if name == "log-root" {
            root.clone_from(reason);
        }
    }
    assert!(root.starts_with("`log/tile/entries/000.p/5` give the root "), "{root}");
    let unread = "could not tell: not every envelope could be read";
    assert_eq!(
        found,
        expected(&[
            ("log-root", Fails, &root),
            ("entries", Fails, "entry 0 in `log/tile/entries/000.p/5` is not the one in the signed tree"),
            ("envelopes", Unknown, "could not tell: the entries that name envelopes cannot all be believed"),
            ("signatures", Unknown, unread),
            ("statements", Unknown, unread),
            ("unexpected-files", Unknown, "could not tell: which files the log should have"),
        ])
    );
}

/// A stranger makes a whole log of his own: it is intact, and only a key got elsewhere tells.
#[test]
fn a_given_key_tells_a_strangers_log() {
    let folder = tempfile::tempdir().unwrap();
    let stranger = Key::generate(ORIGIN).unwrap();
    let mut ledger = Ledger::open(folder.path(), stranger, ORIGIN).unwrap();
    ledger.append(&statement(0)).unwrap();
    drop(ledger);
    assert!(verify(folder.path(), None).ok());
    let trusted = [key().verifying_key().clone()];
    let verified = verify(folder.path(), Some(&trusted));
    let told = not_ok(&verified.checks);
    assert_eq!(
        told.first(),
        Some(&("checkpoint-signature", Outcome::Fails, "`log/checkpoint`: none of the known keys signed"))
    );
    assert!(told[1..].iter().all(|(_, outcome, _)| *outcome == Outcome::Unknown));
    assert!(verified.entries.is_empty());

    let own = tempfile::tempdir().unwrap();
    log_of(own.path(), 2);
    let verified = verify(own.path(), Some(&trusted));
    assert!(verified.ok());
    let vkey = &trusted[0];
    assert_eq!(verified.checks[1].reason, format!("2 entries, signed by `{vkey}`, a key given"));
    let of_folder = verify(own.path(), None).checks.remove(1).reason;
    assert_eq!(of_folder, format!("2 entries, signed by `{vkey}`, a key of the folder itself"));
}

/// A key that signed nothing is put among the keys.
#[test]
fn a_key_that_signed_nothing_is_reported() {
    let found = findings(|folder| {
        let key = Key::generate("example.com/other").unwrap();
        fs::write(folder.join("keys/example.com-other.pub"), format!("{}\n", key.verifying_key())).unwrap();
    });
    let reason = "`keys/example.com-other.pub` signed nothing here";
    assert_eq!(found, expected(&[("unexpected-files", Outcome::Fails, reason)]));
}

/// An envelope by another key, or in another encoding, put into the log by whoever holds the log's key.
#[test]
fn an_envelope_that_the_log_should_not_have_taken_is_found() {
    for (envelope, name, reason) in [
        (
            Envelope::sign_statement(&statement(0), &Key::generate("x").unwrap()).to_text(),
            "signatures",
            "the signature is none of the known keys'",
        ),
        (
            format!("{}\n", Envelope::sign_statement(&statement(0), &key()).to_text()),
            "statements",
            "the payload is not in the canonical encoding",
        ),
        ("{}".to_owned(), "statements", "expected exactly one signature, found 0"),
        (
            Envelope::sign("text/plain", b"x", &key()).to_text(),
            "statements",
            "expected the payload type `application/vnd.in-toto+json`, found `text/plain`",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let digest = forge(folder.path(), &envelope);
        let verified = verify(folder.path(), None);
        let found = not_ok(&verified.checks);
        let reason = format!("`envelopes/{digest}.json`: {reason}");
        assert_eq!(found[0], (name, Outcome::Fails, reason.as_str()), "{found:?}");
    }
}

/// A log of one entry, rightly signed, over an envelope of any content.
fn forge(folder: &Path, envelope: &str) -> Digest {
    let digest = Digest::of(envelope.as_bytes());
    drop(Ledger::open(folder, key(), ORIGIN).unwrap());
    let entry = ledger::entry_bytes(&digest);
    let tree = ledger::merkle::Tree::from_leaves([ledger::merkle::leaf_hash(&entry)]);
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write(&ledger::envelope_path(&digest), envelope.as_bytes());
    write("log/tile/entries/000.p/1", &ledger::tiles::bundle([entry.as_slice()]).unwrap());
    write("log/tile/0/000.p/1", tree.root().as_bytes());
    let head = ledger::Checkpoint { origin: ORIGIN.to_owned(), size: 1, root: tree.root() };
    write("log/checkpoint", head.sign(&key()).unwrap().to_string().as_bytes());
    digest
}
