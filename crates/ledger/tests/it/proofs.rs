//! Receipts and earlier heads.

use crate::support::{ORIGIN, key, log_of, statement};
use ledger::{Key, Ledger, Receipt, entry_bytes, verify};

#[test]
fn a_receipt_proves_its_entry_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 6);
    let verified = verify(folder.path(), None);
    let keys = [key().verifying_key().clone()];
    for entry in &verified.entries {
        let receipt = verified.receipt(entry.index).unwrap();
        let text = receipt.to_string();
        assert_eq!(Receipt::parse(&text).unwrap(), receipt);
        let head = receipt.verify(&entry_bytes(&entry.envelope), &keys, ORIGIN).unwrap();
        assert_eq!(Some(head), verified.checkpoint);
        let other = &verified.entries[(entry.index as usize + 1) % 6];
        let error = receipt.verify(&entry_bytes(&other.envelope), &keys, ORIGIN).unwrap_err();
        assert_eq!(error.to_string(), "the entry is not where the receipt says");
    }
    assert_eq!(verified.receipt(6), None);
    let ledger = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
    assert_eq!(ledger.receipt(3).unwrap(), verified.receipt(3));
    assert_eq!(ledger.receipt(6).unwrap(), None);
}

/// The layout of C2SP tlog-proof, worked by hand: first line, optional `extra`, `index`, hashes, empty line, checkpoint.
#[test]
fn a_receipt_is_written_as_the_specification_says() {
    let receipt = Receipt {
        extra: Some(b"extra information".to_vec()),
        index: 10,
        proof: vec![evidence::Digest::from_bytes([0; 32])],
        checkpoint: "checkpoint\n\nsignatures\n".to_owned(),
    };
    let text = "c2sp.org/tlog-proof@v1\nextra ZXh0cmEgaW5mb3JtYXRpb24=\nindex 10\n\
                AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\ncheckpoint\n\nsignatures\n";
    assert_eq!(receipt.to_string(), text);
    assert_eq!(Receipt::parse(text).unwrap(), receipt);
    for (wrong, reason) in [
        (text.replace("@v1", "@v2"), "the receipt's first line is absent or malformed"),
        (text.replace("extra Z", "extra *"), "the receipt's extra line is absent or malformed"),
        (text.replace("index 10", "index 010"), "the receipt's index line is absent or malformed"),
        (text.replace("index 10\n", ""), "the receipt's index line is absent or malformed"),
        (text.replace("AAA=", "AA="), "the receipt's hash line is absent or malformed"),
        (text.replace("AAA=\n", &format!("AAA=\n{}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(64))),
         "the receipt's hash line is absent or malformed"),
        (text.replace("\n\n", "\n"), "the receipt's empty line is absent or malformed"),
    ] {
        assert_eq!(Receipt::parse(&wrong).unwrap_err().to_string(), reason);
    }
}

#[test]
fn a_receipt_of_a_stranger_or_another_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 3);
    let verified = verify(folder.path(), None);
    let receipt = verified.receipt(1).unwrap();
    let entry = entry_bytes(&verified.entries[1].envelope);
    let keys = [key().verifying_key().clone()];
    let reason = |keys: &[_], origin| receipt.verify(&entry, keys, origin).unwrap_err().to_string();
    let stranger = [Key::generate(ORIGIN).unwrap().verifying_key().clone()];
    assert_eq!(reason(&stranger, ORIGIN), "the receipt's checkpoint is not to be believed");
    assert_eq!(
        reason(&keys, "example.com/other"),
        "expected a receipt of the log `example.com/other`, found one of `example.com/dossier`"
    );
}

#[test]
fn an_earlier_head_is_a_prefix_or_says_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 3);
    let earlier = verify(folder.path(), None).checkpoint.unwrap();
    let mut ledger = Ledger::open(folder.path(), key(), ORIGIN).unwrap();
    (3..8).for_each(|n| {
        ledger.append(&statement(n)).unwrap();
    });
    drop(ledger);
    let later = verify(folder.path(), None);
    let check = later.consistent_with(&earlier);
    assert_eq!((check.ok(), check.reason.as_str()), (true, "the first 3 entries are those of the earlier head"));

    let rewritten = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(rewritten.path(), key(), ORIGIN).unwrap();
    (1..9).for_each(|n| {
        ledger.append(&statement(n)).unwrap();
    });
    drop(ledger);
    let other = verify(rewritten.path(), None);
    assert!(other.ok(), "a rewritten log is intact in itself");
    let check = other.consistent_with(&earlier);
    assert_eq!((check.ok(), check.reason.as_str()), (false, "the first 3 entries are not those of the earlier head"));

    let shorter = tempfile::tempdir().unwrap();
    log_of(shorter.path(), 2);
    let check = verify(shorter.path(), None).consistent_with(&earlier);
    assert_eq!(check.reason, "`log/checkpoint` has 2 entries, fewer than the 3 of before");
}
