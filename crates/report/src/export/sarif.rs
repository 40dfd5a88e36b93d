//! SARIF 2.1.0: the verdicts as results at a place in the case file.

use super::{Checked, Location, Row, idle_waivers, waived_by};
use crate::run;
use evidence::{Digest, Json};

/// Which verdicts become results. Viewers that ignore `kind` show every result as a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Results {
    /// `fail`, `open` and `review`.
    Findings,
    /// Those that hold or do not apply as well.
    All,
}

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The rule of a waiver that does nothing.
const IDLE_WAIVER: &str = "assize.waiver.idle";
/// The base of every address: the folder in which the program was called.
const BASE: &str = "SRCROOT";

/// The decision as a SARIF log with one run.
#[must_use]
pub fn sarif(checked: &Checked<'_>, results: Results) -> String {
    let rows = Row::all(checked);
    let is_shown = |row: &Row<'_>| results == Results::All || matches!(kind(row), "fail" | "open" | "review");
    let idle = idle_waivers(checked.decision);
    let mut rules: Vec<&Row<'_>> = Vec::new();
    for row in &rows {
        if !rules.iter().any(|held| held.rule == row.rule) {
            rules.push(row);
        }
    }
    let index = |rule: &str| rules.iter().position(|row| row.rule == rule).unwrap_or(rules.len());
    let shown = rows.iter().enumerate().filter(|(_, row)| is_shown(row));
    let mut found: Vec<Json> =
        shown.map(|(at, row)| result(checked, row, index(row.rule), checked.places.get(at))).collect();
    found.extend(
        idle.iter()
            .enumerate()
            .map(|(at, (rule, sentence))| idle_result(checked, rule, sentence, rules.len(), checked.waivers.get(at))),
    );
    let mut descriptors: Vec<Json> = rules.iter().map(|row| descriptor(row)).collect();
    descriptors.extend((!idle.is_empty()).then(idle_descriptor));
    let driver = Json::map([
        ("name", Some("assize".into())),
        ("version", Some(checked.version.into())),
        ("semanticVersion", Some(checked.version.into())),
        ("rules", Some(Json::List(descriptors))),
    ]);
    let run = Json::map([
        ("tool", Some(Json::map([("driver", Some(driver))]))),
        ("invocations", Some(Json::List(vec![invocation(checked, &rows)]))),
        (
            "originalUriBaseIds",
            Some(Json::map([(
                BASE,
                Some(Json::map([("description", Some(message("the folder in which assize was called")))])),
            )])),
        ),
        ("columnKind", Some("unicodeCodePoints".into())),
        ("results", Some(Json::List(found))),
    ]);
    let log = Json::map([
        ("$schema", Some(SCHEMA.into())),
        ("version", Some("2.1.0".into())),
        ("runs", Some(Json::List(vec![run]))),
    ]);
    log.document()
}

fn message(text: &str) -> Json {
    Json::map([("text", Some(text.into()))])
}

/// SPEC: SARIF 2.1.0, 3.27.9. A rule that only informs is never a finding.
fn kind(row: &Row<'_>) -> &'static str {
    match row.outcome {
        "pass" => "pass",
        "not-applicable" | "not-in-force" => "notApplicable",
        _ if row.is_info() => "informational",
        "fail" => "fail",
        "awaiting-person" => "review",
        _ => "open",
    }
}

/// SPEC: SARIF 2.1.0, 3.27.10: `none` unless the kind is `fail`.
fn level(row: &Row<'_>) -> &'static str {
    if kind(row) == "fail" { level_of(row.text("severity")) } else { "none" }
}

fn level_of(severity: &str) -> &'static str {
    match severity {
        "info" => "none",
        "low" => "note",
        "medium" => "warning",
        _ => "error",
    }
}

fn result(checked: &Checked<'_>, row: &Row<'_>, rule: usize, places: Option<&Vec<Location>>) -> Json {
    let said = format!("{}: {}. {}", row.verdict(), row.sentence, row.text("remedy"));
    let said = if row.lets_through() { format!("{}: {}", row.verdict(), row.sentence) } else { said };
    let places = places.map_or(&[][..], Vec::as_slice);
    let related: Vec<Json> = places.iter().skip(1).map(|place| location(place, true)).collect();
    let waiver = row.waiver.map(|waiver| Json::List(vec![suppression(waiver)]));
    Json::map([
        ("ruleId", Some(row.rule.into())),
        ("ruleIndex", Some(rule.into())),
        ("kind", Some(kind(row).into())),
        ("level", Some(level(row).into())),
        ("message", Some(message(&said))),
        ("locations", places.first().map(|place| Json::List(vec![location(place, false)]))),
        ("relatedLocations", (!related.is_empty()).then_some(Json::List(related))),
        ("partialFingerprints", Some(fingerprint(checked, row.pack, row.rule))),
        ("suppressions", waiver),
        ("properties", Some(properties(checked, row))),
    ])
}

fn properties(checked: &Checked<'_>, row: &Row<'_>) -> Json {
    let text = |key: &str| Some(row.text(key)).filter(|text| !text.is_empty()).map(Json::from);
    Json::map([
        ("pack", text("pack")),
        ("verdict", text("verdict")),
        ("reason", Some(row.code.into())),
        ("mode", text("mode")),
        ("modeReason", text("modeReason")),
        ("version", text("version")),
        ("confirmed", text("confirmed")),
        ("owner", text("owner")),
        ("asOf", checked.decision.get("as_of").cloned()),
        ("wouldBe", row.json.get("wouldBe").and_then(|would_be| run::text(would_be, &["verdict"])).map(Json::from)),
    ])
}

fn suppression(waiver: &Json) -> Json {
    let more = Json::map([
        ("expires", waiver.get("expires").cloned()),
        ("author", waiver.get("author").cloned()),
        ("approvers", waiver.get("approvers").cloned()),
    ]);
    Json::map([
        ("kind", Some("external".into())),
        ("status", Some("accepted".into())),
        ("justification", Some(waived_by(waiver).into())),
        ("properties", Some(more)),
    ])
}

/// Known again in the next run, whatever line the file has by then.
fn fingerprint(checked: &Checked<'_>, pack: &str, rule: &str) -> Json {
    let identity =
        Json::map([("pack", Some(pack.into())), ("rule", Some(rule.into())), ("system", Some(checked.system.into()))]);
    Json::map([("assize/v1", Some(Digest::of(identity.canonical().as_bytes()).to_string().into()))])
}

fn location(place: &Location, is_told: bool) -> Json {
    let region = Json::map([
        ("startLine", Some(place.line.into())),
        ("startColumn", Some(place.column.into())),
        ("endLine", Some(place.end_line.into())),
        ("endColumn", Some(place.end_column.into())),
    ]);
    let artifact = Json::map([("uri", Some(place.uri.as_str().into())), ("uriBaseId", Some(BASE.into()))]);
    let physical = Json::map([("artifactLocation", Some(artifact)), ("region", Some(region))]);
    Json::map([("physicalLocation", Some(physical)), ("message", is_told.then(|| message(&place.why)))])
}

fn descriptor(row: &Row<'_>) -> Json {
    let mut help = vec![format!("Clause: {}", row.clauses()), format!("Says: {}", row.says())];
    help.extend(
        row.cites()
            .iter()
            .filter_map(|cite| Some(format!("Our reading, not the law: {}", run::text(cite, &["house"])?))),
    );
    help.push(format!("Confirmation: {}", row.confirmation()));
    help.push(format!("Remedy: {}", row.text("remedy")));
    let level = Json::map([("level", Some(level_of(row.text("severity")).into()))]);
    let properties = Json::map([
        ("tags", Some(Json::list([row.pack]))),
        ("severity", Some(row.text("severity").into())),
        ("owner", Some(row.text("owner").into())),
        ("version", Some(row.text("version").into())),
        ("confirmed", Some(row.text("confirmed").into())),
    ]);
    Json::map([
        ("id", Some(row.rule.into())),
        ("shortDescription", Some(message(row.text("title")))),
        ("fullDescription", Some(message(&row.says()))),
        ("help", Some(message(&help.join("\n")))),
        ("defaultConfiguration", Some(level)),
        ("properties", Some(properties)),
    ])
}

fn idle_descriptor() -> Json {
    Json::map([
        ("id", Some(IDLE_WAIVER.into())),
        ("shortDescription", Some(message("Every waiver does something"))),
        (
            "help",
            Some(message(
                "A waiver that matches no rule, has run out or lacks approval lets nothing through. Renew it or take it away.",
            )),
        ),
        ("defaultConfiguration", Some(Json::map([("level", Some("none".into()))]))),
    ])
}

fn idle_result(checked: &Checked<'_>, rule: &str, sentence: &str, index: usize, place: Option<&Location>) -> Json {
    Json::map([
        ("ruleId", Some(IDLE_WAIVER.into())),
        ("ruleIndex", Some(index.into())),
        ("kind", Some("review".into())),
        ("level", Some("none".into())),
        ("message", Some(message(sentence))),
        ("locations", place.map(|place| Json::List(vec![location(place, false)]))),
        ("partialFingerprints", Some(fingerprint(checked, IDLE_WAIVER, rule))),
    ])
}

/// Errors of rules are notifications too, for readers that look only there.
fn invocation(checked: &Checked<'_>, rows: &[Row<'_>]) -> Json {
    let is_error = |row: &&Row<'_>| row.outcome == "error";
    let notification = |row: &Row<'_>| {
        Json::map([
            ("level", Some("error".into())),
            ("message", Some(message(&format!("{}: {}", row.code, row.sentence)))),
            ("associatedRule", Some(Json::map([("id", Some(row.rule.into()))]))),
        ])
    };
    let notifications: Vec<Json> = rows.iter().filter(is_error).map(notification).collect();
    let said = Json::map([
        ("effect", checked.decision.get("effect").cloned()),
        ("asOf", checked.decision.get("as_of").cloned()),
    ]);
    Json::map([
        ("executionSuccessful", Some(true.into())),
        ("toolExecutionNotifications", (!notifications.is_empty()).then_some(Json::List(notifications))),
        ("properties", Some(said)),
    ])
}
