//! Vectors of `transparency-dev/merkle`; see fixtures/merkle/NOTICE.md.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use evidence::Digest;
use ledger::merkle::{verify_consistency, verify_inclusion};
use serde_json::Value;

fn hash(value: &Value) -> Option<Digest> {
    let bytes = STANDARD.decode(value.as_str()?).ok()?;
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

/// Some vectors say "don't care 1" for a root: equal texts stay equal, others differ.
fn root(value: &Value) -> Option<Digest> {
    hash(value).or_else(|| Some(Digest::of(value.as_str()?.as_bytes())))
}

/// A hash of another length than 32 bytes cannot be written down in our types: refused before any check.
fn proof(case: &Value) -> Option<Vec<Digest>> {
    case["proof"].as_array().map_or(Some(Vec::new()), |items| items.iter().map(hash).collect())
}

fn check(cases: &str, verify: fn(&Value) -> Option<bool>) {
    let mut n = 0;
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let is_accepted = verify(&case).unwrap_or(false);
        assert_eq!(is_accepted, !case["wantErr"].as_bool().unwrap(), "{}: {}", case["file"], case["desc"]);
        n += 1;
    }
    assert_eq!(n, 98);
}

#[test]
fn inclusion_proofs_are_judged_as_published() {
    check(include_str!("../fixtures/merkle/inclusion.jsonl"), |case| {
        let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
        Some(verify_inclusion(hash(&case["leafHash"])?, index, size, &proof(case)?, hash(&case["root"])?).is_ok())
    });
}

#[test]
fn consistency_proofs_are_judged_as_published() {
    check(include_str!("../fixtures/merkle/consistency.jsonl"), |case| {
        let (old, new) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
        Some(verify_consistency(old, new, &proof(case)?, root(&case["root1"])?, root(&case["root2"])?).is_ok())
    });
}
