//! PolicyReport, wgpolicyk8s.io/v1alpha2, as a Kubernetes manifest in JSON, which is YAML.

use super::{Checked, Row, idle_waivers, waived_by};
use evidence::Json;
use std::collections::BTreeMap;

/// The words that the kind knows.
const RESULTS: [&str; 5] = ["pass", "fail", "warn", "error", "skip"];

/// The decision as one PolicyReport, every rule a result.
#[must_use]
pub fn policy_report(checked: &Checked<'_>) -> String {
    let rows = Row::all(checked);
    let mut results: Vec<Json> = rows.iter().map(result).collect();
    results.extend(idle_waivers(checked.decision).iter().map(|(rule, sentence)| idle(rule, sentence)));
    let said =
        |word: &str| results.iter().filter(|result| result.get("result").and_then(Json::as_text) == Some(word)).count();
    let summary = RESULTS.into_iter().map(|word| (word.to_owned(), said(word).into())).collect();
    let annotation = |key: &str| checked.decision.get(key).cloned();
    let annotations = Json::map([
        ("assize/as-of", annotation("as_of")),
        ("assize/effect", annotation("effect")),
        ("assize/version", Some(checked.version.into())),
    ]);
    let metadata = Json::map([("name", Some(object_name(checked.system).into())), ("annotations", Some(annotations))]);
    let report = Json::map([
        ("apiVersion", Some("wgpolicyk8s.io/v1alpha2".into())),
        ("kind", Some("PolicyReport".into())),
        ("metadata", Some(metadata)),
        ("summary", Some(Json::Map(summary))),
        ("results", Some(Json::List(results))),
    ]);
    report.document()
}

/// `skip` is what does not ask, `warn` what a person has to do or has waived, `error` what is not known.
fn word(row: &Row<'_>) -> &'static str {
    match row.outcome {
        "pass" => "pass",
        "not-applicable" | "not-in-force" => "skip",
        _ if row.is_info() => "pass",
        _ if row.waiver.is_some() => "warn",
        "fail" => "fail",
        "awaiting-person" => "warn",
        _ => "error",
    }
}

fn result(row: &Row<'_>) -> Json {
    let mut properties: BTreeMap<String, Json> = BTreeMap::new();
    for key in ["verdict", "mode", "modeReason", "version", "confirmed", "owner", "remedy"] {
        let text = row.text(key);
        if !text.is_empty() {
            properties.insert(key.to_owned(), text.into());
        }
    }
    properties.insert("clause".to_owned(), row.clauses().into());
    properties.insert("says".to_owned(), row.says().into());
    properties.insert("reason".to_owned(), row.code.into());
    if row.outcome == "insufficient-evidence" {
        properties.insert("insufficient".to_owned(), "true".into());
    }
    properties.extend(row.waiver.map(|waiver| ("waiver".to_owned(), waived_by(waiver).into())));
    Json::map([
        ("source", Some("assize".into())),
        ("policy", Some(row.pack.into())),
        ("rule", Some(row.rule.into())),
        ("category", Some(row.text("kind").into())),
        ("severity", Some(row.text("severity").into())),
        ("result", Some(word(row).into())),
        ("scored", Some((row.is_enforced() && !row.is_info()).into())),
        ("message", Some(format!("{}: {}", row.text("title"), row.sentence).into())),
        ("properties", Some(Json::Map(properties))),
    ])
}

fn idle(rule: &str, sentence: &str) -> Json {
    Json::map([
        ("source", Some("assize".into())),
        ("policy", Some("waivers".into())),
        ("rule", Some(rule.into())),
        ("result", Some("warn".into())),
        ("scored", Some(false.into())),
        ("message", Some(sentence.into())),
    ])
}

/// SPEC: RFC 1123 subdomain, at most 253 characters, as Kubernetes wants its names.
fn object_name(system: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = format!("assize-{system}").chars().map(letter).take(253).collect();
    name.trim_end_matches('-').to_owned()
}
