//! `assize scenario` on files and cases: exit codes, findings, the JSON contract.

use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/scenarios");

/// The program without a terminal.
fn scenario(path: &Path, rest: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assize"));
    command.arg("scenario").arg(path).args(rest).stdin(Stdio::null());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

fn value_of<'a>(json: &'a Value, regime: &str, id: &str) -> &'a Value {
    let classes = json["classes"][regime].as_array().unwrap();
    classes.iter().find(|class| class["id"] == id).unwrap_or_else(|| panic!("no class {id}"))
}

/// A case whose system claims a class, and whose use is a screening of applications that profiles.
fn case(folder: &Path, claim: &str, more: &str) {
    let text = format!(
        "[system]\nname = \"screener\"\nrole = \"provider\"\njurisdictions = [\"EU\"]\naudience = \"business\"\non_market = 2027-03-01\n\
         interacts = false\n{claim}\n[policy]\npacks = []\nas_of = 2026-11-26\n[use]\nexclusion = \"none\"\nfunctions = [\"recruitment\"]\n\
         on_behalf_of = []\npractices = []\ntasks = [\"preparatory\"]\nprofiling = true\nproduct_law = \"none\"\ngenerative = false\n\
         deepfakes = false\npublic_interest_text = false\ntraining_flop = 2e20\nmodifies_existing = false\n{more}"
    );
    fs::write(folder.join("assize.toml"), text).unwrap();
}

#[test]
fn a_scenario_file_is_classified_and_exits_with_zero() {
    let output = scenario(&Path::new(EXAMPLES).join("cv-screening.toml"), &["--as-of", "2026-11-26"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.starts_with("European Union as of 2026-11-26: 5 yes, 0 open, 55 no\n"), "{shown}");
    assert!(shown.contains("  yes   eu.high_risk.annex3: "), "{shown}");
}

#[test]
fn the_json_has_the_members_of_the_contract() {
    let output = scenario(&Path::new(EXAMPLES).join("companion-chat.toml"), &["--json", "--as-of", "2026-11-26"]);
    let json = json(&output);
    let regimes: Vec<&String> = json["classes"].as_object().unwrap().keys().collect();
    assert_eq!(regimes, ["cn", "eu", "kr", "us"]);
    assert_eq!(json["open_questions"][0]["fact"], "use.monthly_users");
    assert!(json["path"].as_array().unwrap().iter().all(|step| step["cite"].is_string() && step["value"].is_string()));
    assert!(json.get("findings").is_none(), "a scenario of its own claims nothing");
    let companion = value_of(&json, "cn", "cn.anthropomorphic");
    assert_eq!((companion["value"].as_str(), companion["standing"].as_str()), (Some("yes"), Some("in-force")));
}

#[test]
fn an_answer_given_with_set_closes_a_question() {
    let file = Path::new(EXAMPLES).join("companion-chat.toml");
    let at = |users: &str| json(&scenario(&file, &["--json", "--as-of", "2026-11-26", "--set", users]));
    let (below, at) = (at("monthly_users=99999"), at("use.monthly_users = 100_000"));
    assert_eq!(value_of(&below, "cn", "cn.anthropomorphic.assessment")["value"], "no");
    assert_eq!(value_of(&at, "cn", "cn.anthropomorphic.assessment")["value"], "yes");
    assert_eq!(at["open_questions"].as_array().unwrap().len(), 0);
}

#[test]
fn a_claim_that_is_too_mild_exits_with_one_and_shows_the_path() {
    let folder = tempfile::tempdir().unwrap();
    case(folder.path(), "risk_class = \"minimal\"", "");
    let output = scenario(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let finding = shown.split("\nfinding: ").nth(1).unwrap();
    assert!(
        finding.starts_with("the case claims `system.risk_class = \"minimal\"`; the scenario comes to `high` by"),
        "{finding}"
    );
    assert!(finding.contains("└─ unless: class.eu.art6_3 = false (no) [Art. 6(3)-(4), 49(2)]"), "{finding}");
    let json = json(&scenario(&folder.path().join("assize.toml"), &["--json"]));
    assert_eq!(json["findings"][0]["member"], "system.risk_class");
    assert_eq!(json["findings"][0]["classes"][0], "eu.high_risk.annex3");
}

#[test]
fn a_claim_that_agrees_exits_with_zero() {
    let folder = tempfile::tempdir().unwrap();
    case(folder.path(), "risk_class = \"high\"\nrisk_route = \"annex-iii\"\ngeneral_purpose = false", "");
    let output = scenario(folder.path(), &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert_eq!(json(&output)["findings"].as_array().unwrap().len(), 0);
}

#[test]
fn a_case_may_carry_another_table_than_its_claims_and_both_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    case(folder.path(), "", "audience = \"public\"\n");
    let output = scenario(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout)
            .contains("`system.audience = \"business\"`; the scenario answers `use.audience = \"public\"`")
    );
}

#[test]
fn an_unknown_fact_in_a_case_names_its_place() {
    let folder = tempfile::tempdir().unwrap();
    case(folder.path(), "", "profilling = true\n");
    let output = scenario(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    let shown = text(&output.stderr);
    assert!(shown.contains("no fact `use.profilling`") && shown.contains("assize.toml:25:1"), "{shown}");
    assert!(shown.contains("hint: did you mean `profiling`?"), "{shown}");
}

#[test]
fn what_cannot_be_read_exits_with_two() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    let refused = |rest: &[&str], expected: &str| {
        let output = scenario(&file, rest);
        assert_eq!(output.status.code(), Some(2));
        let shown = text(&output.stderr);
        assert!(shown.contains(expected), "{shown}");
    };
    refused(&[], "s.toml cannot be read; give a file with a `[use]` table, or a case");
    fs::write(&file, "[use]\nrole = \"owner\"\n").unwrap();
    refused(&[], "error[field-value]: the scenario cannot be read");
    fs::write(&file, "[use]\nrole = \"provider\"\n").unwrap();
    refused(&["--set", "profiling"], "expected `--set KEY=VALUE`, found `profiling`");
    refused(&["--set", "profiling=maybe"], "expected `true` or `false` for `use.profiling`, found `maybe`");
    refused(&["--set", "profilling=true"], "no fact `use.profilling`; did you mean `profiling`?");
}

#[test]
fn a_pack_of_the_house_brings_its_own_classes() {
    let folder = tempfile::tempdir().unwrap();
    case(folder.path(), "", "");
    let file = folder.path().join("assize.toml");
    let text = fs::read_to_string(&file).unwrap().replace("packs = []", "packs = [\"house\"]");
    fs::write(&file, text).unwrap();
    let example = Path::new(EXAMPLES).join("../first-case/house/house.data.provenance.toml");
    fs::create_dir_all(folder.path().join("house/scenario")).unwrap();
    fs::copy(example, folder.path().join("house/house.data.provenance.toml")).unwrap();
    let class = "schema = 1\nregime = \"house\"\ninstrument = \"House rules\"\n[[class]]\nid = \"house.people\"\n\
                 title = \"Decides about people\"\nwhen = 'class.eu.annex3 && use.profiling'\nrules = [\"house.data.provenance\"]\n\
                 cite = [{ locator = \"7\", says = \"whoever profiles asks the works council\", confirmed = \"yes\" }]\n";
    fs::write(folder.path().join("house/scenario/people.toml"), class).unwrap();
    let json = json(&scenario(folder.path(), &["--json"]));
    let people = value_of(&json, "house", "house.people");
    assert_eq!(people["value"], "yes");
    assert_eq!(people["rules"][0]["card"], true);
}
