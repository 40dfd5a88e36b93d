//! A decision in the formats of others: the table of docs/formats.md row by row, and the documents whole.

use evidence::{Digest, Json};
use report::{
    CatalogPack, Checked, Location, Results, junit, oscal_assessment_results, oscal_catalog, oscal_profile,
    policy_report, sarif,
};
use serde_json::Value;
use std::collections::BTreeMap;

const OUTCOMES: [&str; 7] =
    ["pass", "fail", "insufficient-evidence", "error", "not-applicable", "not-in-force", "awaiting-person"];

fn card(rule: &str, severity: &str) -> Json {
    let cite = Json::map([
        ("instrument", Some("House rules, edition 3".into())),
        ("locator", Some("rule 2 <b>".into())),
        ("says", Some("nothing is tested on what it was trained on & more".into())),
        ("house", Some("two people are our reading".into())),
        ("confirmed", Some("part".into())),
    ]);
    Json::map([
        ("rule", Some(rule.into())),
        ("version", Some("1.2.0".into())),
        ("card", Some(Digest::of(rule.as_bytes()).into())),
        ("title", Some(format!("Title of {rule}").into())),
        ("kind", Some("assess".into())),
        ("severity", Some(severity.into())),
        ("owner", Some("release".into())),
        ("remedy", Some("Split again by document.".into())),
        ("gates", Some(Json::list(["release"]))),
        ("confirmed", Some("part".into())),
        ("cite", Some(Json::List(vec![cite]))),
    ])
}

fn waiver(rule: &str) -> Json {
    Json::map([
        ("rule", Some(rule.into())),
        ("reason", Some("the bank is being asked".into())),
        ("compensating", Some("no public access until then".into())),
        ("author", Some("ana".into())),
        ("approvers", Some(Json::list(["ben", "chen"]))),
        ("granted", Some("2026-11-01".into())),
        ("expires", Some("2027-01-01".into())),
    ])
}

fn verdict(rule: &str, severity: &str, mode: &str, outcome: &str, is_waived: bool) -> Json {
    let name = if is_waived { format!("waived({outcome})") } else { outcome.to_owned() };
    let used = Json::map([
        ("fact", Some("data.held_out_leak".into())),
        ("source", Some(Digest::of(b"envelope").into())),
        ("values", Some(Json::map([("value", Some(0_u64.into()))]))),
    ]);
    let more = Json::map([
        ("pack", Some("house".into())),
        ("verdict", Some(name.into())),
        ("reason", Some("some-code: data.held_out_leak.value = 3 misses <= \"0\"".into())),
        ("mode", Some(mode.into())),
        ("evidence", Some(Json::List(vec![used]))),
        ("waiver", is_waived.then(|| waiver(rule))),
    ]);
    Json::Map([card(rule, severity), more].iter().flat_map(|json| json.members().cloned().unwrap()).collect())
}

fn decision(verdicts: Vec<Json>, effect: &str, idle: bool) -> Json {
    let idle = idle.then(|| {
        Json::List(vec![Json::map([
            ("waiver", Some(waiver("house.gone"))),
            ("finding", Some("no rule `house.gone` in the packs".into())),
        ])])
    });
    Json::map([
        ("as_of", Some("2026-11-23".into())),
        ("effect", Some(effect.into())),
        ("verdicts", Some(Json::List(verdicts))),
        ("idleWaivers", idle),
    ])
}

/// One verdict of each kind, a waived one, one that is reported, one that only informs, and a waiver that does nothing.
fn various() -> Json {
    let severities = ["critical", "high", "medium", "low", "medium", "low", "high"];
    let of =
        |(outcome, severity): (&&str, &str)| verdict(&format!("house.{outcome}"), severity, "enforce", outcome, false);
    let mut verdicts: Vec<Json> = OUTCOMES.iter().zip(severities).map(of).collect();
    verdicts.push(verdict("house.waived", "high", "enforce", "fail", true));
    verdicts.push(verdict("house.reported", "medium", "report", "fail", false));
    verdicts.push(verdict("house.info", "info", "enforce", "fail", false));
    decision(verdicts, "deny", true)
}

fn places() -> Vec<Vec<Location>> {
    let place = |line: usize, why: &str| Location {
        uri: "examples/first-case/assize.toml".to_owned(),
        line,
        column: 1,
        end_line: line,
        end_column: 12,
        why: why.to_owned(),
    };
    vec![Vec::new(), vec![place(4, "doc_label is declared here"), place(6, "the pack house is chosen here")]]
}

fn with<T>(decision: &Json, ask: impl Fn(&Checked<'_>) -> T) -> T {
    let places = places();
    let waivers = [Location {
        uri: "waivers/gone.json".to_owned(),
        line: 1,
        column: 1,
        end_line: 1,
        end_column: 2,
        why: "the waiver lies here".to_owned(),
    }];
    let files = BTreeMap::from([(Digest::of(b"a file beside the case"), "case/assize.toml".to_owned())]);
    ask(&Checked {
        files: &files,
        decision,
        system: "speech writer",
        version: "0.1.0",
        places: &places,
        waivers: &waivers,
    })
}

fn read(document: &str) -> Value {
    serde_json::from_str(document).unwrap()
}

/// What one verdict becomes: SARIF kind and level, PolicyReport result, JUnit element, OSCAL state and reason.
fn becomes(severity: &str, mode: &str, outcome: &str, is_waived: bool) -> [String; 5] {
    let decision = decision(vec![verdict("r", severity, mode, outcome, is_waived)], "deny", false);
    let (sarif, report, xml, oscal) = with(&decision, |checked| {
        (
            read(&sarif(checked, Results::All)),
            read(&policy_report(checked)),
            junit(checked),
            read(&oscal_assessment_results(checked)),
        )
    });
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result.get("suppressions").is_some(), is_waived);
    let element =
        ["<failure", "<error", "<skipped"].into_iter().find(|element| xml.contains(element)).unwrap_or("passed");
    let status = &oscal["assessment-results"]["results"][0]["findings"][0]["target"]["status"];
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    [
        format!("{} ({})", text(&result["kind"]), text(&result["level"])),
        text(&report["results"][0]["result"]),
        element.trim_start_matches('<').to_owned(),
        text(&status["state"]),
        text(&status["reason"]),
    ]
}

/// The table of docs/formats.md.
#[test]
fn every_verdict_becomes_what_the_table_says() {
    let satisfied = ["satisfied", "pass"];
    let failed = ["not-satisfied", "fail"];
    let other = ["not-satisfied", "other"];
    let none = ["none", "none"];
    let table = [
        ("high", "pass", false, ["pass (none)", "pass", "passed"], satisfied),
        ("critical", "fail", false, ["fail (error)", "fail", "failure"], failed),
        ("high", "fail", false, ["fail (error)", "fail", "failure"], failed),
        ("medium", "fail", false, ["fail (warning)", "fail", "failure"], failed),
        ("low", "fail", false, ["fail (note)", "fail", "failure"], failed),
        ("high", "insufficient-evidence", false, ["open (none)", "error", "error"], other),
        ("high", "error", false, ["open (none)", "error", "error"], other),
        ("high", "not-applicable", false, ["notApplicable (none)", "skip", "skipped"], none),
        ("high", "not-in-force", false, ["notApplicable (none)", "skip", "skipped"], none),
        ("high", "awaiting-person", false, ["review (none)", "warn", "error"], other),
        ("high", "fail", true, ["fail (error)", "warn", "skipped"], failed),
        ("high", "insufficient-evidence", true, ["open (none)", "warn", "skipped"], other),
        ("high", "error", true, ["open (none)", "warn", "skipped"], other),
        ("high", "awaiting-person", true, ["review (none)", "warn", "skipped"], other),
        ("info", "fail", false, ["informational (none)", "pass", "failure"], none),
        ("info", "pass", false, ["pass (none)", "pass", "passed"], none),
        // A word that no table knows never looks like a pass.
        ("high", "certainly", false, ["open (none)", "error", "error"], other),
    ];
    for (severity, outcome, is_waived, ours, oscal) in table {
        let expected: Vec<&str> = ours.into_iter().chain(oscal).collect();
        assert_eq!(
            becomes(severity, "enforce", outcome, is_waived).to_vec(),
            expected,
            "{severity} {outcome} {is_waived}"
        );
    }
    for outcome in ["fail", "insufficient-evidence", "error", "awaiting-person"] {
        assert_eq!(becomes("high", "report", outcome, false)[2], "skipped", "reported {outcome}");
    }
}

/// JUnit is what a build looks at: it is red when, and only when, an enforced rule is neither met nor waived.
#[test]
fn junit_is_red_exactly_when_a_rule_denies() {
    for mode in ["enforce", "report"] {
        for outcome in OUTCOMES {
            for is_waived in [false, true] {
                let lets_through = matches!(outcome, "pass" | "not-applicable" | "not-in-force");
                let denies = mode == "enforce" && !is_waived && !lets_through;
                let element = &becomes("low", mode, outcome, is_waived && !lets_through)[2];
                assert_eq!(matches!(element.as_str(), "failure" | "error"), denies, "{mode} {outcome} {is_waived}");
            }
        }
    }
}

#[test]
fn sarif_carries_findings_alone_unless_asked() {
    let decision = various();
    let kinds = |results: Results| -> Vec<String> {
        let log = read(&with(&decision, |checked| sarif(checked, results)));
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        results.iter().map(|result| result["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(Results::Findings), ["fail", "open", "open", "review", "fail", "fail", "review"]);
    assert_eq!(kinds(Results::All).len(), 11);
}

/// A result is known again by its fingerprint: the same rule of the same system, and no other.
#[test]
fn fingerprints_are_of_rule_and_system() {
    let print = |decision: &Json| {
        let log = read(&with(decision, |checked| sarif(checked, Results::All)));
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        results
            .iter()
            .map(|result| result["partialFingerprints"]["assize/v1"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let one = print(&decision(
        vec![verdict("a", "high", "enforce", "fail", false), verdict("b", "high", "enforce", "fail", false)],
        "deny",
        false,
    ));
    let two = print(&decision(vec![verdict("b", "low", "report", "error", false)], "deny", false));
    assert_ne!(one[0], one[1]);
    assert_eq!(one[1], two[0]);
}

#[test]
fn the_same_packs_give_the_same_ids_and_others_give_others() {
    let pack = |rule: &str| {
        vec![CatalogPack { name: "house".to_owned(), digest: Digest::of(b"pack"), cards: vec![card(rule, "high")] }]
    };
    let uuid = |rule: &str, made: &str| {
        let uuid = |text: &str, kind: &str| read(text)[kind]["uuid"].as_str().unwrap().to_owned();
        let catalog = oscal_catalog(&pack(rule), made, "0.1.0");
        (uuid(&catalog, "catalog"), uuid(&oscal_profile(&pack(rule), made, "0.1.0", "c.json"), "profile"))
    };
    let (day, other_day) = ("2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z");
    assert_eq!(uuid("a", day), uuid("a", day));
    assert_ne!(uuid("a", day), uuid("b", day));
    assert_ne!(uuid("a", day).0, uuid("a", other_day).0);
}

#[test]
fn every_link_and_reference_of_oscal_leads_somewhere() {
    let decision = various();
    let results = read(&with(&decision, oscal_assessment_results));
    let result = &results["assessment-results"]["results"][0];
    let uuids = |list: &str| -> Vec<String> {
        result[list].as_array().unwrap().iter().map(|item| item["uuid"].as_str().unwrap().to_owned()).collect()
    };
    let (observations, risks) = (uuids("observations"), uuids("risks"));
    assert_eq!((observations.len(), risks.len()), (7, 1));
    for finding in result["findings"].as_array().unwrap() {
        let observation = finding["related-observations"][0]["observation-uuid"].as_str().unwrap();
        assert!(observations.iter().any(|uuid| uuid == observation));
        if let Some(risk) = finding["related-risks"][0]["risk-uuid"].as_str() {
            assert_eq!(risk, risks[0]);
        }
    }
    let plan = &results["assessment-results"]["back-matter"]["resources"][0]["uuid"];
    assert_eq!(
        results["assessment-results"]["import-ap"]["href"].as_str().unwrap(),
        format!("#{}", plan.as_str().unwrap())
    );
}

#[test]
fn documents_are_these() {
    let decision = various();
    insta::assert_snapshot!("sarif", with(&decision, |checked| sarif(checked, Results::Findings)));
    insta::assert_snapshot!("policy_report", with(&decision, policy_report));
    insta::assert_snapshot!("junit", with(&decision, junit));
    insta::assert_snapshot!("oscal_assessment_results", with(&decision, oscal_assessment_results));
    let packs = [CatalogPack {
        name: "house".to_owned(),
        digest: Digest::of(b"pack"),
        cards: vec![card("house.leak", "high")],
    }];
    insta::assert_snapshot!("oscal_catalog", oscal_catalog(&packs, "2026-11-23T00:00:00Z", "0.1.0"));
    insta::assert_snapshot!("oscal_profile", oscal_profile(&packs, "2026-11-23T00:00:00Z", "0.1.0", "catalog.json"));
}
