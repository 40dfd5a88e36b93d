//! OSCAL 1.2.1 assessment results: a decision as observations, findings and, where something is waived, risks.

use super::catalog::{identified, metadata, property, uuid};
use super::{Checked, Row, idle_waivers, waived_by};
use crate::run;
use evidence::{Digest, Json};
use std::collections::BTreeMap;

/// The decision as assessment results over the controls of [`super::oscal_catalog`].
///
/// OSCAL has two states. What is neither met nor failed is `not-satisfied` for the reason `other`, and keeps its own verdict
/// as a property. What does not apply, is not in force or only informs is no finding: it stands in the remarks.
#[must_use]
pub fn oscal_assessment_results(checked: &Checked<'_>) -> String {
    let rows = Row::all(checked);
    let day = run::text(checked.decision, &["as_of"]).unwrap_or_default();
    let at = format!("{day}T00:00:00Z");
    let (found, aside): (Vec<&Row<'_>>, Vec<&Row<'_>>) = rows.iter().partition(|row| is_finding(row));
    let context = Context { files: checked.files, system: checked.system, day, at: &at };
    let list = |items: Vec<Json>| (!items.is_empty()).then_some(Json::List(items));
    let control = |row: &Row<'_>| Json::map([("control-id", Some(row.rule.into()))]);
    let selection = Json::map([("include-controls", list(rows.iter().map(control).collect()))]);
    let reviewed = Json::map([("control-selections", Some(Json::List(vec![selection])))]);
    let effect = run::text(checked.decision, &["effect"]).unwrap_or_default();
    let result = Json::map([
        ("uuid", Some(context.uuid("result", effect).into())),
        ("title", Some(format!("{} as of {day}", checked.system).into())),
        (
            "description",
            Some(format!("Every rule decided on the evidence there is; the effect is to {effect}.").into()),
        ),
        ("start", Some(at.as_str().into())),
        ("props", property("effect", effect).map(|property| Json::List(vec![property]))),
        ("reviewed-controls", Some(reviewed)),
        ("observations", list(found.iter().map(|row| context.observation(row)).collect())),
        ("risks", list(found.iter().filter_map(|row| context.risk(row)).collect())),
        ("findings", list(found.iter().map(|row| context.finding(row)).collect())),
        ("remarks", remarks(checked, &aside).map(Json::from)),
    ]);
    let plan = context.uuid("plan", "");
    let resource = Json::map([
        ("uuid", Some(plan.as_str().into())),
        ("title", Some("Assessment plan".into())),
        ("description", Some("Every rule of the packs is decided on the evidence of the dossier as of the day. There is no other plan.".into())),
    ]);
    let body = Json::map([
        ("metadata", Some(metadata(&format!("Assessment of {}", checked.system), &at, checked.version, None))),
        ("import-ap", Some(Json::map([("href", Some(format!("#{plan}").into()))]))),
        ("results", Some(Json::List(vec![result]))),
        ("back-matter", Some(Json::map([("resources", Some(Json::List(vec![resource])))]))),
    ]);
    Json::map([("assessment-results", Some(identified("assessment-results", body)))]).document()
}

fn is_finding(row: &Row<'_>) -> bool {
    !matches!(row.outcome, "not-applicable" | "not-in-force") && !row.is_info()
}

fn remarks(checked: &Checked<'_>, aside: &[&Row<'_>]) -> Option<String> {
    let mut lines: Vec<String> =
        aside.iter().map(|row| format!("{} ({}): {}: {}", row.rule, row.pack, row.verdict(), row.sentence)).collect();
    lines.extend(idle_waivers(checked.decision).into_iter().map(|(_, sentence)| sentence));
    (!lines.is_empty()).then(|| lines.join("\n"))
}

struct Context<'a> {
    files: &'a BTreeMap<Digest, String>,
    system: &'a str,
    day: &'a str,
    /// The day as an OSCAL time.
    at: &'a str,
}

impl Context<'_> {
    fn uuid(&self, what: &str, of: &str) -> String {
        uuid(what, &format!("{}\n{}\n{of}", self.system, self.day))
    }

    fn of(&self, what: &str, row: &Row<'_>) -> String {
        self.uuid(what, &format!("{}\n{}", row.pack, row.rule))
    }

    fn observation(&self, row: &Row<'_>) -> Json {
        let method = if row.text("kind") == "attest" { "EXAMINE" } else { "TEST" };
        let evidence = run::list(row.json, &["evidence"]).iter().filter_map(|used| {
            let source = used.get("source").and_then(run::digest)?;
            let fact = run::text(used, &["fact"])?;
            let file = self.files.get(&source).cloned().unwrap_or_else(|| format!("envelopes/{source}.json"));
            Some(Json::map([("href", Some(file.into())), ("description", Some(fact.into()))]))
        });
        let evidence: Vec<Json> = evidence.collect();
        Json::map([
            ("uuid", Some(self.of("observation", row).into())),
            ("title", Some(row.text("title").into())),
            ("description", Some(row.sentence.into())),
            ("methods", Some(Json::list([method]))),
            ("relevant-evidence", (!evidence.is_empty()).then_some(Json::List(evidence))),
            ("collected", Some(self.at.into())),
        ])
    }

    fn finding(&self, row: &Row<'_>) -> Json {
        let (state, reason) = match row.outcome {
            "pass" => ("satisfied", "pass"),
            "fail" => ("not-satisfied", "fail"),
            _ => ("not-satisfied", "other"),
        };
        let status = Json::map([("state", Some(state.into())), ("reason", Some(reason.into()))]);
        let target = Json::map([
            ("type", Some("statement-id".into())),
            ("target-id", Some(format!("{}_smt", row.rule).into())),
            ("status", Some(status)),
        ]);
        let properties = ["verdict", "mode", "pack", "version", "confirmed"].map(|name| property(name, row.text(name)));
        let properties: Vec<Json> = properties.into_iter().chain([property("reason", row.code)]).flatten().collect();
        let observation = Json::map([("observation-uuid", Some(self.of("observation", row).into()))]);
        let risk = row.waiver.map(|_| Json::map([("risk-uuid", Some(self.of("risk", row).into()))]));
        Json::map([
            ("uuid", Some(self.of("finding", row).into())),
            ("title", Some(row.text("title").into())),
            ("description", Some(format!("{}: {}", row.verdict(), row.sentence).into())),
            ("props", Some(Json::List(properties))),
            ("target", Some(target)),
            ("related-observations", Some(Json::List(vec![observation]))),
            ("related-risks", risk.map(|risk| Json::List(vec![risk]))),
        ])
    }

    /// A waiver is a deviation that was approved, with its last day as the deadline.
    fn risk(&self, row: &Row<'_>) -> Option<Json> {
        let waiver = row.waiver?;
        let expires = run::text(waiver, &["expires"])?;
        Some(Json::map([
            ("uuid", Some(self.of("risk", row).into())),
            ("title", Some(format!("{} is waived", row.rule).into())),
            ("description", Some(row.sentence.into())),
            ("statement", Some(waived_by(waiver).into())),
            ("status", Some("deviation-approved".into())),
            ("deadline", Some(format!("{expires}T00:00:00Z").into())),
        ]))
    }
}
