//! The budget stops a run before it is crossed; a raise is recorded and the work goes on where it stopped.

use crate::Bench;
use serde_json::Value;
use std::fs;

/// Predicates of the dossier with their kind, in the order of the log.
pub(crate) fn statements(bench: &Bench) -> Vec<(String, Value)> {
    statements_of(&bench.dossier())
}

/// The same of any dossier.
pub(crate) fn statements_of(out: &std::path::Path) -> Vec<(String, Value)> {
    let mut bundle = Vec::new();
    for entry in fs::read_dir(out.join("log/tile/entries")).unwrap() {
        let path = entry.unwrap().path();
        let path = if path.is_dir() { fs::read_dir(path).unwrap().next().unwrap().unwrap().path() } else { path };
        bundle = fs::read(path).unwrap();
    }
    let mut found = Vec::new();
    while !bundle.is_empty() {
        let length = usize::from(u16::from_be_bytes([bundle[0], bundle[1]]));
        let entry: Value = serde_json::from_slice(&bundle[2..2 + length]).unwrap();
        let envelope = out.join(format!("envelopes/{}.json", entry["sha256"].as_str().unwrap()));
        let envelope: Value = serde_json::from_slice(&fs::read(envelope).unwrap()).unwrap();
        let payload = decode(envelope["payload"].as_str().unwrap());
        let statement: Value = serde_json::from_slice(&payload).unwrap();
        found.push((statement["predicateType"].as_str().unwrap().to_owned(), statement["predicate"].clone()));
        bundle.drain(..2 + length);
    }
    found
}

/// Standard base64 with padding.
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextets = text.bytes().filter_map(|byte| ALPHABET.iter().position(|known| *known == byte));
    let (mut bits, mut n_bits, mut out) = (0_u32, 0, Vec::new());
    for sextet in sextets {
        bits = bits << 6 | sextet as u32;
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            out.push((bits >> n_bits) as u8);
            bits &= (1 << n_bits) - 1;
        }
    }
    out
}

#[test]
fn a_run_stops_before_its_budget_and_goes_on_after_a_raise() {
    let undisturbed = Bench::new();
    undisturbed.ends("run examples/first-case", 0);

    let bench = Bench::new();
    bench.edit("compute_flop = 1e12", "compute_flop = 3e9");
    let said = String::from_utf8(bench.assize("run examples/first-case").stderr).unwrap();
    assert!(said.contains("stopped: the compute budget of 3000000000 FLOP would be crossed"), "{said}");
    bench.ends("run examples/first-case", 1);
    let log = statements(&bench);
    let (_, stop) = log.iter().find(|(kind, _)| kind == "urn:assize:stop:v0.1").unwrap();
    let row = stop["budget"].as_array().unwrap().iter().find(|row| row["name"] == "compute").unwrap();
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    assert!(number(&row["used"]) <= 3e9 && number(&row["used"]) > 0.0, "{row}");
    assert!(stop["snapshot"]["step"].as_u64().unwrap() > 0, "{stop}");

    bench.edit("compute_flop = 3e9", "compute_flop = 1e12");
    bench.ends("run examples/first-case", 0);
    assert_eq!(bench.weights(), undisturbed.weights());
    let log = statements(&bench);
    let raise =
        log.iter().find(|(kind, p)| kind == "urn:assize:resume:v0.1" && p["reason"] == "budget-raised").unwrap();
    assert_eq!(number(&raise.1["budgetBefore"]["compute_flop"]), 3e9);
    assert_eq!(number(&raise.1["budgetAfter"]["compute_flop"]), 1e12);
    assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
}
