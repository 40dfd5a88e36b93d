//! What the lint finds, and that a well-tested card has no finding.

use crate::support::{CARD, card_with, compile};

fn found(text: &str) -> Vec<String> {
    policy::lint(&compile(text)).iter().map(ToString::to_string).collect()
}

const TESTS: &str = r#"
[[tests]]
as_of  = 2025-12-31
system = { jurisdictions = ["CN"] }
expect = "not-in-force"
[[tests]]
as_of  = 2026-01-01
system = { jurisdictions = ["CN"] }
given  = { refusal_bank = { n = 500, value = 0.97, lower95 = 0.95, upper95 = 0.98 } }
expect = "pass"
[[tests]]
as_of  = 2026-12-31
system = { jurisdictions = ["CN"] }
given  = { refusal_bank = { n = 500, value = 0.9, lower95 = 0.87, upper95 = 0.949 } }
expect = "fail"
[[tests]]
as_of  = 2027-01-01
system = { jurisdictions = ["CN"] }
given  = { refusal_bank = { n = 500, value = 0.96, lower95 = 0.938907, upper95 = 0.975387 } }
expect = "not-in-force"
[[tests]]
as_of  = 2026-06-01
system = { jurisdictions = ["CN"] }
given  = { refusal_bank = { n = 500, value = 0.93, lower95 = 0.9, upper95 = 0.95 } }
expect = "insufficient-evidence"
[[tests]]
as_of  = 2026-06-01
system = { jurisdictions = ["CN"] }
expect = "insufficient-evidence"
"#;

#[test]
fn a_well_tested_card_has_no_finding() {
    assert_eq!(found(&format!("{CARD}{TESTS}")), Vec::<String>::new());
    let (n_tests, failures) = policy::test(&compile(&format!("{CARD}{TESTS}")));
    assert_eq!((n_tests, failures), (6, Vec::new()));
}

#[test]
fn a_card_without_tests_is_an_error() {
    assert_eq!(found(CARD), ["house/0.toml:1: error[no-tests]: rule `house.refuse`: the card carries no test"]);
}

#[test]
fn missing_tests_are_named() {
    let kept = TESTS.find("[[tests]]\nas_of  = 2026-12-31").unwrap();
    assert_eq!(
        found(&format!("{CARD}{}", &TESTS[..kept])),
        [
            "house/0.toml:9: advice[untested-threshold]: rule `house.refuse`: no test where it is false: `refusal_bank.lower95 >= 0.95`",
            "house/0.toml:10: advice[untested-constant]: rule `house.refuse`: no test at the constant itself: `refusal_bank.upper95 < 0.95`",
            "house/0.toml:10: advice[untested-threshold]: rule `house.refuse`: no test where it is true: `refusal_bank.upper95 < 0.95`",
            "house/0.toml:1: advice[untested-date]: rule `house.refuse`: no test as of 2026-12-31, beside the date 2027-01-01",
            "house/0.toml:1: advice[untested-date]: rule `house.refuse`: no test as of 2027-01-01, beside the date 2027-01-01",
            "house/0.toml:1: advice[untested-absence]: rule `house.refuse`: no test without `refusal_bank`",
        ]
    );
}

/// Only the errors of a card with these conditions; its tests are not the matter here.
fn errors(pass: &str, fail: &str) -> Vec<String> {
    let text = card_with(&[("refusal_bank.lower95 >= 0.95", pass), ("refusal_bank.upper95 < 0.95", fail)]) + TESTS;
    let all = policy::lint(&compile(&text));
    all.into_iter()
        .filter(|lint| lint.level == policy::Level::Error)
        .map(|lint| format!("{}:{} {}", lint.code, lint.line, lint.message))
        .collect()
}

#[test]
fn conditions_that_say_nothing_or_too_much_are_errors() {
    let table: [(&str, &str, &[&str]); 10] = [
        ("refusal_bank.lower95 >= 0.95", "refusal_bank.lower95 < 0.95", &[]),
        (
            "refusal_bank.value >= 0.95",
            "refusal_bank.value <= 0.95",
            &["contradiction:10 both conditions are true for refusal_bank.value = 0.95"],
        ),
        // The bounds of one fact are in order, so this is no contradiction.
        ("refusal_bank.lower95 >= 0.95", "refusal_bank.upper95 < 0.95", &[]),
        (
            "refusal_bank.lower95 > 1.0",
            "refusal_bank.upper95 < 0.95",
            &["constant-condition:9 `pass_when` is true for no facts"],
        ),
        (
            "refusal_bank.lower95 >= 0.0",
            "refusal_bank.upper95 < 0.0",
            &[
                "constant-condition:9 `pass_when` is true for all facts",
                "constant-condition:10 `fail_when` is true for no facts",
            ],
        ),
        ("true", "false", &["constant-condition:9 `pass_when` is true for all facts"]),
        (
            "system.modalities.all(x, x == \"text\")",
            "false",
            &["unguarded-all:9 `all` is true of an empty list: write `size(system.modalities) > 0` beside it"],
        ),
        ("size(system.modalities) > 0 && system.modalities.all(x, x == \"text\")", "false", &[]),
        // Two instants can be in either order, though no constant says so.
        (
            "bias_data.deletion.value < system.on_market",
            "bias_data.deletion.value > system.on_market",
            &["fact-without-need:9 `bias_data.deletion` has no `[[needs]]`: any provenance and age would do"],
        ),
        (
            "refusal_bank.lower95 >= 0.95 && train.steps.value > 10",
            "false",
            &["fact-without-need:9 `train.steps` has no `[[needs]]`: any provenance and age would do"],
        ),
    ];
    for (pass, fail, expected) in table {
        assert_eq!(errors(pass, fail), expected, "{pass} / {fail}");
    }
}

#[test]
fn constants_in_another_unit_are_errors() {
    let table: [(&str, &str, &[&str]); 7] = [
        (
            "refusal_bank.lower95 >= 0.95",
            "refusal_bank.upper95 < 95.0 && refusal_bank.n > 1",
            &[
                "contradiction:10 both conditions are true for refusal_bank.lower95 = 0.95, refusal_bank.upper95 = 0.95, refusal_bank.n = 2",
                "units-do-not-fit:10 `refusal_bank.upper95` is a share of one, `95.0` is far outside",
            ],
        ),
        (
            "refusal_bank.lower95 >= 0.95 || train.energy.value < 3.6e15",
            "false",
            &[
                "units-do-not-fit:9 `train.energy.value` is in kWh, from 0.000000001 to 100000000000000, `3.6e15` is far outside",
                "fact-without-need:9 `train.energy` has no `[[needs]]`: any provenance and age would do",
            ],
        ),
        (
            "train.energy.value < train.carbon.value",
            "false",
            &[
                "units-do-not-fit:9 `train.energy.value` is in kWh, `train.carbon.value` in gCO2e",
                "fact-without-need:9 `train.energy` has no `[[needs]]`: any provenance and age would do",
                "fact-without-need:9 `train.carbon` has no `[[needs]]`: any provenance and age would do",
            ],
        ),
        (
            "incident.death_delay.value <= duration(\"2562047h\")",
            "false",
            &[
                "units-do-not-fit:9 `incident.death_delay.value` is a time of at most a century, `duration(\"2562047h\")` is far outside",
                "fact-without-need:9 `incident.death_delay` has no `[[needs]]`: any provenance and age would do",
            ],
        ),
        (
            "train.steps.value > -5 && refusal_bank.value > 0.5",
            "false",
            &[
                "units-do-not-fit:9 `train.steps.value` is a count (`value`), `-5` is far outside",
                "fact-without-need:9 `train.steps` has no `[[needs]]`: any provenance and age would do",
            ],
        ),
        // Zero bounds every unit, and pure numbers have no measure of their own.
        (
            "train.energy.value > 0.0",
            "false",
            &["fact-without-need:9 `train.energy` has no `[[needs]]`: any provenance and age would do"],
        ),
        (
            "heldout.perplexity.value < 1e12",
            "false",
            &["fact-without-need:9 `heldout.perplexity` has no `[[needs]]`: any provenance and age would do"],
        ),
    ];
    for (pass, fail, expected) in table {
        assert_eq!(errors(pass, fail), expected, "{pass} / {fail}");
    }
}

#[test]
fn a_need_that_nothing_declared_can_meet_is_an_error() {
    let text = card_with(&[
        ("refusal_bank.lower95 >= 0.95", "disclosure.first_interaction.value"),
        ("refusal_bank.upper95 < 0.95", "!disclosure.first_interaction.value"),
        (
            "refusal_bank\"\ntype           = \"proportion\"\nsubject        = \"model\"",
            "disclosure.first_interaction\"\ntype           = \"flag\"",
        ),
    ]);
    let all = policy::lint(&compile(&text));
    let found: Vec<&str> =
        all.iter().filter(|lint| lint.code == "need-never-met").map(|lint| lint.message.as_str()).collect();
    assert_eq!(
        found,
        [
            "no `disclosure.first_interaction` can meet `min_n`: a flag is declared, and the rule would never be decided",
            "no `disclosure.first_interaction` can meet `interval`: a flag is declared, and the rule would never be decided",
            "no `disclosure.first_interaction` can meet `min_provenance`: a flag is declared, and the rule would never be decided",
        ]
    );
}
