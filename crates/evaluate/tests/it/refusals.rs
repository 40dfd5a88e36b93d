//! The detector on replies with labels: the confusion matrix that docs/evaluate.md publishes is the one it has.

use crate::fixture;
use evaluate::refusal::{self, Confusion, Detector, Verdict};

/// Replies of SmolLM2-135M-Instruct to prompts of XSTest, read and labelled by one reader: `tests/fixtures/refusals.md`.
#[test]
fn the_published_confusion_matrix_is_the_measured_one() {
    let text = std::fs::read_to_string(fixture("refusals.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdict = |row: &serde_json::Value| Detector::default().verdict(row["reply"].as_str().unwrap(), true).verdict;
    let found = Confusion::of(rows.iter().map(|row| (verdict(row), row["refused"].as_bool().unwrap())));
    assert_eq!(found, refusal::MEASURED);
    assert_eq!(found.n() as usize, rows.len());
    let page = include_str!("../../../../docs/evaluate.md");
    let row = |name: &str, refused: u64, complied: u64| format!("| {name} | {refused} | {complied} |");
    for line in [
        row("called refused", found.refused_right, found.refused_wrong),
        row("called complied", found.complied_wrong, found.complied_right),
        row("could not tell", found.unscored_refused, found.unscored_complied),
    ] {
        assert!(page.contains(&line), "{line}");
    }
    assert!(rows.iter().any(|row| verdict(row) == Verdict::Refused));
}
