//! A changed byte anywhere is found, and the file is named.

use crate::filled;
use ledger::{Key, VerifyError, durable::files_below, keys_in, read, unexpected};
use std::{fs, path::Path};

fn verify(dir: &Path) -> Result<usize, VerifyError> {
    let checked = read(dir, &keys_in(dir)?)?;
    unexpected(dir, &checked)?;
    Ok(checked.entries.len())
}

/// A small linear congruential generator: places need not be random, only many and the same each time.
fn places(n: usize) -> impl Iterator<Item = usize> {
    let mut state = 7_u64;
    (0..n).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    })
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_its_file_named() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::generate("test").unwrap());
    filled(dir.path(), &key, 5);
    assert_eq!(verify(dir.path()).unwrap(), 5);
    let files: Vec<String> = files_below(dir.path()).unwrap().into_iter().filter(|file| file != ledger::LOCK).collect();
    for place in places(400) {
        let file = &files[place % files.len()];
        let path = dir.path().join(file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let at = place / 7 % bad.len();
        bad[at] ^= 1 << (place / 3 % 8);
        fs::write(&path, &bad).unwrap();
        let error = verify(dir.path()).unwrap_err().to_string();
        // A changed key shows at the first signature made with the true one.
        let is_named = error.contains(file.as_str())
            || (file.starts_with("keys/") && error.contains("log/checkpoint"))
            || (file.starts_with("log/tile/entries/") && (error.contains("log/tile/0/") || error.contains("entry ")));
        assert!(is_named, "{file} at {at}: {error}");
        fs::write(&path, good).unwrap();
    }
    assert_eq!(verify(dir.path()).unwrap(), 5);
}

#[test]
fn a_missing_and_an_added_file_are_named() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::generate("test").unwrap());
    filled(dir.path(), &key, 2);
    let envelope = files_below(dir.path()).unwrap().into_iter().find(|file| file.starts_with("envelopes/")).unwrap();
    fs::write(dir.path().join("envelopes/extra.json"), "{}").unwrap();
    assert_eq!(verify(dir.path()).unwrap_err().to_string(), "envelopes/extra.json belongs to no entry of the log");
    fs::remove_file(dir.path().join("envelopes/extra.json")).unwrap();
    fs::remove_file(dir.path().join(&envelope)).unwrap();
    let shown = dir.path().join(&envelope).display().to_string();
    assert_eq!(verify(dir.path()).unwrap_err().to_string(), format!("{shown} cannot be read"));
}
