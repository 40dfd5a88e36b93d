//! Cards whose condition is a Rego file.

use crate::support::{DAY, bank, card_with, facts, said, system};
use jiff::civil::Date;
use policy::{Facts, Mode, Pack, Rules, System, decide};

const REGO: &str = r#"package assize.checks.house_refuse

import rego.v1

default verdict := "insufficient-evidence"

fields := input.facts.refusal_bank.fields

verdict := "pass" if {
	fields.lower95 >= 0.95
} else := "fail" if {
	fields.upper95 < 0.95
}
"#;

fn card() -> String {
    let check = "check = { rego = \"refuse.rego\" }";
    card_with(&[
        ("pass_when = 'refusal_bank.lower95 >= 0.95'\n", ""),
        ("fail_when = 'refusal_bank.upper95 < 0.95'", check),
    ])
}

fn pack(card: &str, rego: &str) -> Result<Pack, String> {
    let files = [("house/refuse.toml".to_owned(), card.to_owned()), ("house/refuse.rego".to_owned(), rego.to_owned())];
    Pack::compile("house", &files).map_err(|errors| {
        errors.iter().map(|error| format!("{}: {}", error.code, error.message)).collect::<Vec<_>>().join("\n")
    })
}

#[track_caller]
fn check(rego: &str, system: &System, facts: &Facts, as_of: Date, expected: &str) {
    let rules = Rules::new(vec![(pack(&card(), rego).unwrap(), Mode::Enforce)]);
    let decision = decide(&rules, None, system, facts, as_of);
    assert_eq!(said(&decision.verdicts[0]), expected);
}

#[test]
fn a_rego_file_decides_where_the_two_conditions_would() {
    let good = facts(&[bank("0.96", "0.97", "0.98")]);
    check(REGO, &system(), &good, DAY, "pass holds: house/refuse.rego says pass");
    check(REGO, &system(), &facts(&[bank("0.90", "0.92", "0.94")]), DAY, "fail fails: house/refuse.rego says fail");
    let between = facts(&[bank("0.938907", "0.96", "0.975387")]);
    check(
        REGO,
        &system(),
        &between,
        DAY,
        "insufficient-evidence undecided: house/refuse.rego says insufficient-evidence",
    );
}

#[test]
fn applicability_dates_and_needs_stay_ours() {
    check(
        REGO,
        &system(),
        &Facts::new(),
        DAY,
        "insufficient-evidence evidence-missing: there is no evidence of refusal_bank",
    );
    let good = facts(&[bank("0.96", "0.97", "0.98")]);
    let unknown = "insufficient-evidence applicability-unknown: system.jurisdictions is missing";
    check(REGO, &System::new(), &good, DAY, unknown);
    let rules = Rules::new(vec![(pack(&card(), REGO).unwrap(), Mode::Enforce)]);
    let early = decide(&rules, None, &system(), &good, jiff::civil::date(2025, 12, 31));
    assert_eq!(early.verdicts[0].name(), "not-in-force");
    let explained = policy::explain(&rules, "house.refuse", &system(), &good, DAY).unwrap();
    assert_eq!(explained.steps.len(), 1);
}

#[test]
fn whatever_is_no_verdict_is_an_error() {
    let good = facts(&[bank("0.96", "0.97", "0.98")]);
    let with = |verdict: &str| {
        format!("package assize.checks.house_refuse\n\nimport rego.v1\n\ndefault verdict := \"fail\"\n\n{verdict}\n")
    };
    let said = "error evaluation-error: house/refuse.rego";
    check(
        &with("verdict := \"allow\" if true"),
        &system(),
        &good,
        DAY,
        &format!("{said} says `allow`, which is no verdict"),
    );
    check(&with("verdict := true if input.system"), &system(), &good, DAY, &format!("{said}: `verdict` is not a text"));
    // Two answers at once are a conflict, not a choice.
    let rules = Rules::new(vec![(
        pack(&card(), &with("verdict := \"pass\" if input.system\n\nverdict := \"fail\" if input.facts")).unwrap(),
        Mode::Enforce,
    )]);
    assert_eq!(decide(&rules, None, &system(), &good, DAY).verdicts[0].name(), "error");
}

#[test]
fn a_file_that_takes_too_many_steps_is_an_error() {
    let endless = "package assize.checks.house_refuse\n\nimport rego.v1\n\ndefault verdict := \"pass\"\n\n\
                   digits := [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n\nverdict := \"pass\" if {\n\tcount([1 | some a in digits; some b in digits; \
                   some c in digits; some d in digits; some e in digits; some f in digits; a + b + c + d + e + f > 54]) > 0\n}\n";
    let good = facts(&[bank("0.96", "0.97", "0.98")]);
    check(
        endless,
        &system(),
        &good,
        DAY,
        "error evaluation-error: house/refuse.rego: it takes more than 1000000 steps",
    );
}

#[test]
fn files_that_engines_read_differently_are_refused_by_name() {
    let refused = |from: &str, to: &str| {
        assert!(REGO.contains(from));
        pack(&card(), &REGO.replace(from, to)).unwrap_err()
    };
    let rule = "fields.lower95 >= 0.95";
    let function = |name: &str| format!("rego: the function `{name}` is refused: it is not one that every referee has");
    assert_eq!(refused(rule, "walk(input, [path, value])"), "rego: `walk` is refused: engines do not agree on it");
    assert_eq!(refused(rule, "http.send({\"url\": \"x\"}).status == 200"), function("http.send"));
    assert_eq!(refused(rule, "time.now_ns() > 0"), function("time.now_ns"));
    assert_eq!(refused(rule, "rand.intn(\"a\", 3) == 1"), function("rand.intn"));
    assert_eq!(refused(rule, "opa.runtime().env.HOME == \"x\""), function("opa.runtime"));
    assert_eq!(refused(rule, "regex.match(\"a\", \"b\")"), function("regex.match"));
    assert_eq!(
        refused("import rego.v1", "import rego.v1\nimport data.other"),
        "rego: `import data.other` is refused: the file stands alone"
    );
    assert_eq!(
        refused("default verdict := \"insufficient-evidence\"\n", ""),
        "rego: expected a total rule: `default verdict := \"insufficient-evidence\"`"
    );
    assert_eq!(refused("house_refuse", "other"), "rego: expected `package assize.checks.house_refuse` at the start");
    assert_eq!(
        refused("default", "# METADATA\n# title: x\ndefault"),
        "rego: annotations (`# METADATA`) are not read alike by all engines: leave them out"
    );
    assert!(refused("} else := \"fail\" if {", "} else := if {").starts_with("rego: the Rego cannot be read: "));
    // A function of the file itself may be called, and a name in a text or a comment is none.
    let own = REGO
        .replace(rule, "is_high(fields.lower95) # not http.send(\"x\")")
        .replace("fields :=", "is_high(x) if x >= 0.95\n\nfields :=");
    assert!(pack(&card(), &own).is_ok());
}

#[test]
fn the_digest_of_a_pack_covers_its_rego() {
    let (one, two) = (pack(&card(), REGO).unwrap(), pack(&card(), &REGO.replace(">= 0.95", ">= 0.9")).unwrap());
    assert_ne!(one.digest(), two.digest());
    assert_eq!(one.cards()[0].check.as_ref().unwrap().text, REGO);
    assert_eq!(
        pack(crate::support::CARD, REGO).unwrap_err(),
        "unused: no card of the pack has this file for its `[check]`"
    );
    let lost = card().replace("refuse.rego", "lost.rego");
    assert_eq!(
        pack(&lost, REGO).unwrap_err(),
        "unused: no card of the pack has this file for its `[check]`\nmissing-file: no file `house/lost.rego` in the pack"
    );
    let both = card_with(&[("fail_when =", "check = { rego = \"refuse.rego\" }\nfail_when =")]);
    assert!(
        pack(&both, REGO)
            .unwrap_err()
            .contains("field-value: `pass_when` stands beside `[check]`: one of them decides")
    );
}

/// The exported card asks the file for the same facts and says the same.
#[test]
fn the_export_of_a_checked_card_says_the_same() {
    let rules = Rules::new(vec![(pack(&card(), REGO).unwrap(), Mode::Enforce)]);
    let mut engine = regorus::Engine::new();
    for file in policy::rego::export(&rules) {
        engine.add_policy(file.path, file.text).unwrap();
    }
    for facts in [Facts::new(), facts(&[bank("0.96", "0.97", "0.98")]), facts(&[bank("0.9", "0.92", "0.94")])] {
        for system in [system(), System::new()] {
            let ours = decide(&rules, None, &system, &facts, DAY).verdicts[0].name();
            engine.set_input(regorus::Value::from_json_str(&policy::rego::facts_input(&system, &facts, DAY)).unwrap());
            let theirs = engine.eval_rule(policy::rego::VERDICTS.to_owned()).unwrap();
            assert_eq!(theirs["house.refuse"], regorus::Value::from(ours.as_str()));
        }
    }
}
