//! Signed notes against the vectors of the specification and of the reference implementation.

use ledger::{Checkpoint, Key, Note, VerifyingKey, note::SIGNATURES_MAX};

/// From the documentation of Go's `golang.org/x/mod/sumdb/note`, the reference implementation.
const NEUMANN_PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const NEUMANN_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NEUMANN_TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const NEUMANN_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn neumann() -> Key {
    Key::parse(NEUMANN_PRIVATE).unwrap()
}

fn public(vkey: &str) -> VerifyingKey {
    VerifyingKey::parse(vkey).unwrap()
}

#[test]
fn the_note_of_the_reference_implementation_is_reproduced_to_the_byte() {
    let key = neumann();
    assert_eq!(key.verifying_key().to_string(), NEUMANN_PUBLIC);
    let note = Note::sign(NEUMANN_TEXT, &[&key]).unwrap();
    let expected = format!("{NEUMANN_TEXT}\n{NEUMANN_LINE}");
    assert_eq!(note.to_string(), expected);
    assert_eq!(Note::parse(expected.as_bytes()).unwrap(), note);
}

/// The second vector of the specification's test data: key `example.com/foo`.
#[test]
fn the_note_of_the_specification_verifies() {
    let keys = [public("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")];
    let note = "This is an example message.\n\n— example.com/foo \
                Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let note = Note::parse(note.as_bytes()).unwrap();
    let (text, signers) = note.verify(&keys).unwrap();
    assert_eq!((text, signers), ("This is an example message.\n", vec![&keys[0]]));
}

#[test]
fn unknown_keys_are_ignored_and_a_bad_signature_of_a_known_key_refuses() {
    let good = format!("{NEUMANN_TEXT}\n{NEUMANN_LINE}");
    let keys = [public(NEUMANN_PUBLIC)];
    let reason = |note: &str| Note::parse(note.as_bytes()).unwrap().verify(&keys).unwrap_err().to_string();
    let stranger = Key::generate("example.com/stranger").unwrap();
    let other = Note::sign(NEUMANN_TEXT, &[&stranger]).unwrap().to_string();
    assert_eq!(reason(&other), "none of the known keys signed");
    // The stranger's line first, and a line of the known name with another id: both ignored.
    let line = other.lines().last().unwrap();
    let same_name = "— PeterNeumann AAAAAAAA";
    let both = format!("{NEUMANN_TEXT}\n{line}\n{same_name}\n{NEUMANN_LINE}");
    assert_eq!(Note::parse(both.as_bytes()).unwrap().verify(&keys).unwrap().1, [&keys[0]]);
    // A good and a bad line of the same known key.
    let bad = NEUMANN_LINE.replace("x08go/ZJ", "x08go/ZK");
    let reasons = "the signature of `PeterNeumann+c74f20a3` does not fit the text";
    assert_eq!(reason(&format!("{good}{bad}")), reasons);
    assert_eq!(reason(&good.replace("If you", "If we")), reasons);
    // The same line twice is one signer.
    assert_eq!(Note::parse(format!("{good}{NEUMANN_LINE}").as_bytes()).unwrap().verify(&keys).unwrap().1, [&keys[0]]);
}

#[test]
fn sixteen_signatures_are_accepted_and_a_flood_is_not() {
    let keys: Vec<Key> = (0..16).map(|n| Key::generate(&format!("example.com/witness{n}")).unwrap()).collect();
    let note = Note::sign("text\n", &keys.iter().collect::<Vec<_>>()).unwrap();
    let public: Vec<_> = keys.iter().map(|key| key.verifying_key().clone()).collect();
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(read.verify(&public).unwrap().1, public.iter().collect::<Vec<_>>());
    let flood = format!("{NEUMANN_TEXT}\n{}", NEUMANN_LINE.repeat(SIGNATURES_MAX + 1));
    assert_eq!(Note::parse(flood.as_bytes()).unwrap_err().to_string(), "the note has more than 100 signatures");
}

#[test]
fn what_is_no_note_says_why() {
    for (bytes, reason) in [
        (&b"\xff\n\n"[..], "the note is not UTF-8"),
        (b"a\tb\n\n", "the note has a control character"),
        (b"text\n", "the note has no empty line before its signatures"),
        (b"text\n\n", "the note has no signature line, or its last line does not end"),
        ("text\n\n— a AAAAAAAA".as_bytes(), "the note has no signature line, or its last line does not end"),
        (b"text\n\n- a AAAAAAAA\n", "signature line 1 is malformed"),
        ("text\n\n— a AAAA\n".as_bytes(), "signature line 1 is malformed"),
        ("text\n\n— a+b AAAAAAAA\n".as_bytes(), "signature line 1 is malformed"),
        ("text\n\n—  AAAAAAAA\n".as_bytes(), "signature line 1 is malformed"),
        ("text\n\n— a AAAAAAAA\n— a AAAAAAA\n".as_bytes(), "signature line 2 is malformed"),
    ] {
        assert_eq!(Note::parse(bytes).unwrap_err().to_string(), reason);
    }
    for text in ["no newline", "control\r\n"] {
        let reason = "expected text ending in a newline, without other control characters";
        assert_eq!(Note::sign(text, &[&neumann()]).unwrap_err().to_string(), reason);
    }
}

/// An empty line inside the text: the last one separates.
#[test]
fn the_last_empty_line_ends_the_text() {
    let note = Note::sign("a\n\nb\n", &[&neumann()]).unwrap();
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(read.verify(&[public(NEUMANN_PUBLIC)]).unwrap().0, "a\n\nb\n");
}

#[test]
fn a_checkpoint_reads_back_and_a_malformed_one_says_which_line() {
    let key = neumann();
    let keys = [key.verifying_key().clone()];
    let head = Checkpoint { origin: "example.com/log".to_owned(), size: 7, root: ledger::merkle::empty_root() };
    let note = head.sign(&key).unwrap().to_string();
    assert_eq!(
        note.split_once("\n\n").unwrap().0,
        "example.com/log\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    );
    assert_eq!(Checkpoint::open(note.as_bytes(), &keys).unwrap(), (head, vec![&keys[0]]));
    for (text, reason) in [
        ("example.com/log\n", "the size line is absent or malformed"),
        ("example.com/log\n07\nAA\n", "the size line is absent or malformed"),
        ("example.com/log\n+7\nAA\n", "the size line is absent or malformed"),
        ("example.com/log\n7\n", "the root line is absent or malformed"),
        ("example.com/log\n7\nAAAA\n", "the root line is absent or malformed"),
        ("\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", "the origin line is absent or malformed"),
    ] {
        let note = Note::sign(text, &[&key]).unwrap().to_string();
        assert_eq!(Checkpoint::open(note.as_bytes(), &keys).unwrap_err().to_string(), reason, "{text}");
    }
    for origin in ["", "https://example.com/log", "example.com/log/", "example com", "a+b"] {
        let head = Checkpoint { origin: origin.to_owned(), size: 0, root: ledger::merkle::empty_root() };
        assert_eq!(
            head.sign(&key).unwrap_err().to_string(),
            format!(
                "expected an origin like `example.com/log`, without scheme, spaces, `+` and closing slash, found `{origin}`"
            )
        );
    }
}
