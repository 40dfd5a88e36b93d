//! Keys and locks that are not as they must be: the whole message.

use crate::filled;
use ledger::{Key, Ledger, LedgerError};
use std::{fs, os::unix::fs::PermissionsExt};

#[test]
fn a_key_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("assize.key");
    Key::generate("test").unwrap().save(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    Key::load(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let shown = path.display();
    assert_eq!(
        Key::load(&path).unwrap_err().to_string(),
        format!(
            "others may read the key file {shown} (mode 644); run `chmod 600 {shown}` and consider making a new key"
        )
    );
}

#[test]
fn a_damaged_key_file_is_refused_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("assize.key");
    let key = Key::generate("test").unwrap();
    key.save(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let secret = text.trim_end().rsplit('+').next().unwrap();
    assert!(!format!("{key:?}").contains(secret));
    for (content, cause) in [
        (text[..text.len() - 9].to_owned(), "expected an Ed25519 key of 32 bytes"),
        (text[..text.len() - 8].to_owned(), "the key is not base64"),
        (text.replace("+test+", "+tess+"), "the hash does not belong to name and key"),
        ("garbage".to_owned(), "expected a line that begins with `PRIVATE+KEY+`"),
    ] {
        fs::write(&path, content).unwrap();
        let error = Key::load(&path).unwrap_err().to_string();
        assert_eq!(error, format!("{} is not a signing key: {cause}", path.display()));
    }
    assert!(key.save(&path).is_err(), "an existing file is never overwritten");
}

#[test]
fn a_second_writer_is_turned_away() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::generate("test").unwrap());
    let first = Ledger::open(dir.path(), key.clone(), "test/log").unwrap();
    let error = Ledger::open(dir.path(), key.clone(), "test/log").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "another run holds {}; wait until it has ended, or choose another folder with `--out`",
            dir.path().join(".lock").display()
        )
    );
    drop(first);
    Ledger::open(dir.path(), key, "test/log").unwrap();
}

#[test]
fn another_key_and_a_broken_log_are_told_apart() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::generate("test").unwrap());
    filled(dir.path(), &key, 1);
    let other = Key::generate("other").unwrap();
    assert!(matches!(Ledger::open(dir.path(), other, "test/log"), Err(LedgerError::OtherKey { .. })));
    let checkpoint = dir.path().join("log/checkpoint");
    let text = fs::read_to_string(&checkpoint).unwrap();
    fs::write(&checkpoint, text.replace("\n1\n", "\n2\n")).unwrap();
    let Err(LedgerError::Broken { source, .. }) = Ledger::open(dir.path(), key, "test/log") else { panic!("opened") };
    assert_eq!(
        source.to_string(),
        "log/checkpoint does not stand: the signature of `test` does not belong to the text"
    );
}
