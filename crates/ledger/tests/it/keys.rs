//! Key files.

use ledger::{Key, KeyError, VerifyingKey};
use std::{fs, path::Path};

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

#[test]
fn a_key_reads_back_and_is_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let key = Key::generate("example.com/log").unwrap();
    key.save(&path).unwrap();
    let read = Key::load(&path).unwrap();
    assert_eq!(read.verifying_key(), key.verifying_key());
    assert_eq!(read.sign(b"message"), key.sign(b"message"));
    assert!(key.verifying_key().verifies(b"message", &key.sign(b"message")));
    assert!(!key.verifying_key().verifies(b"massage", &key.sign(b"message")));
    let id = format!("{:08x}", key.verifying_key().id());
    assert_eq!(format!("{key:?}"), format!("Key(example.com/log+{id}, private part not shown)"));
    assert_eq!(key.verifying_key().file_name(), "example.com-log.pub");
    let other = Key::generate("example.com/log").unwrap();
    assert_ne!(other.verifying_key(), key.verifying_key());
    let error = other.save(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` exists and is not written over", path.display()));
    assert_eq!(Key::load(&path).unwrap().verifying_key(), key.verifying_key());
}

#[cfg(unix)]
#[test]
fn a_key_file_open_to_others_is_refused_with_the_remedy() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    Key::generate("example.com/log").unwrap().save(&path).unwrap();
    let shown = path.display();
    for mode in [0o644, 0o640, 0o620, 0o604, 0o601, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            Key::load(&path).unwrap_err().to_string(),
            format!("the key file `{shown}` has mode {mode:04o}, open to others than its owner; run `chmod 600 {shown}`")
        );
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Key::load(&path).unwrap();
    }
}

fn write_private(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    ledger::durable::write_new_private(path, bytes).unwrap();
}

#[test]
fn a_damaged_key_file_says_so_without_repeating_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    Key::generate("example.com/log").unwrap().save(&path).unwrap();
    let good = fs::read(&path).unwrap();
    for length in 0..good.len() {
        write_private(&path, &good[..length]);
        let error = Key::load(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the key file `{}` is damaged; put back a copy of it, or move it away to start with a new key",
                path.display()
            )
        );
    }
    let secret = String::from_utf8(good.clone()).unwrap();
    let secret = secret.trim_end().rsplit('+').next().unwrap();
    for position in 0..good.len() {
        let mut bytes = good.clone();
        bytes[position] ^= 1;
        write_private(&path, &bytes);
        let reason = chain(&Key::load(&path).unwrap_err());
        assert!(!secret.is_empty() && !reason.contains(secret), "{reason}");
    }
}

#[test]
fn what_is_no_key_says_why() {
    let good = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    for (text, reason) in [
        ("PeterNeumann", "expected a key of the form `<name>+<id>+<base64>`"),
        ("PeterNeumann+c74f20a3+AR", "expected a key of the form `<name>+<id>+<base64>`"),
        (&good.replace("+AR", "+AB"), "expected the key id 53e23e58, found `c74f20a3`"),
        (&good.replace("+AR", "+BR"), "expected an Ed25519 key (type 1), found type 5"),
        (&good.replace("c74f", "C74f"), "expected the key id c74f20a3, found `C74f20a3`"),
        (&good.replace("Peter", "Pet r"), "expected a key name without spaces, control characters and `+`, found `Pet rNeumann`"),
        (&good.replace("PeterNeumann", ""), "expected a key name without spaces, control characters and `+`, found ``"),
    ] {
        assert_eq!(VerifyingKey::parse(text).unwrap_err().to_string(), reason, "{text}");
    }
    // y = 2 is not the ordinate of a point of the curve (RFC 8032, section 5.1.3: no root exists).
    let off_curve = "x+00000000+AQIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(VerifyingKey::parse(off_curve).unwrap_err().to_string(), "the public key is not a point of the curve");
    assert!(matches!(Key::generate("a b"), Err(KeyError::Name(name)) if name == "a b"));
    let missing = Key::load(Path::new("no/such/key")).unwrap_err();
    assert_eq!(missing.to_string(), "could not read the key file `no/such/key`");
}
