//! What the mutants of a card are, which of them its tests notice, and what is suggested for the others.

use crate::support::{CARD, compile};
use policy::{Manifest, mutate, mutate_enforce};

const TESTS: &str = r#"
[[tests]] # the number itself
as_of  = 2026-01-01
system = { jurisdictions = ["CN"] }
given  = { refusal_bank = { n = 500, value = 0.97, lower95 = 0.95, upper95 = 0.98 } }
expect = "pass"
"#;

fn manifest(mutation: &str) -> Manifest {
    let head = "name = \"house\"\nversion = \"1.0.0\"\ntitle = \"t\"\nstatus_date = 2026-11-23\nlicence = \"x\"\n";
    let text =
        format!("{head}[[mutant]]\nrule = \"house.refuse\"\nmutation = '{mutation}'\nreason = \"for the test\"\n");
    Manifest::read("pack.toml", &text).unwrap()
}

#[test]
fn what_survives_is_named_with_its_place() {
    let pack = compile(&format!("{CARD}{TESTS}"));
    let mutated = mutate(&pack.cards()[0], false);
    let survived: Vec<String> = mutated.survived.iter().map(|one| format!("{} {}", one.line, one.mutation)).collect();
    // By hand: what a single pass at the constant on the first day leaves open.
    assert_eq!(
        survived,
        [
            "9 pass_when: refusal_bank.lower95 >= 0.95 -> refusal_bank.lower95 == 0.95",
            "9 pass_when: refusal_bank.lower95 >= 0.95 -> refusal_bank.lower95 >= 0.94",
            "9 pass_when: refusal_bank.lower95 >= 0.95 -> refusal_bank.lower95 >= 0.9405",
            "10 fail_when: refusal_bank.upper95 < 0.95 -> refusal_bank.upper95 < 0.94",
            "10 fail_when: refusal_bank.upper95 < 0.95 -> refusal_bank.upper95 < 0.9405",
            "10 fail_when: refusal_bank.upper95 < 0.95 -> refusal_bank.upper95 < 0.9595",
            "10 fail_when: refusal_bank.upper95 < 0.95 -> refusal_bank.upper95 < 0.96",
            "10 fail_when: refusal_bank.upper95 < 0.95 -> refusal_bank.upper95 <= 0.95",
            "20 force 1 from: 2026-01-01 -> 2025-12-31",
            "21 force 1 until: 2027-01-01 -> 2026-12-31",
            "21 force 1 until: 2027-01-01 -> 2027-01-02",
            "26 needs refusal_bank: interval -> none",
            "26 needs refusal_bank: max_age_days -> none",
            "26 needs refusal_bank: max_age_days 31 -> 30",
            "26 needs refusal_bank: max_age_days 31 -> 32",
            "26 needs refusal_bank: min_n -> none",
            "26 needs refusal_bank: min_n 500 -> 499",
            "26 needs refusal_bank: min_provenance -> none",
        ]
    );
    // Noticed: another place, `>`, `<` and both higher constants of the pass, `>=` and `!=` of the fail, a later first day, and n = 501.
    assert_eq!((mutated.killed, mutated.mutants()), (9, 27));
    assert!(!mutated.is_enough());
}

/// Every suggestion, appended to the card, is a test that the card passes and the mutant does not.
#[test]
fn suggestions_are_tests_that_notice() {
    let text = format!("{CARD}{TESTS}");
    let mutated = mutate(&compile(&text).cards()[0], true);
    let suggestions: Vec<&String> = mutated.survived.iter().filter_map(|one| one.suggestion.as_ref()).collect();
    assert_eq!(suggestions.len(), mutated.survived.len());
    let all = suggestions.iter().fold(text.clone(), |text, more| format!("{text}\n{more}"));
    let pack = compile(&all);
    assert_eq!(policy::test(&pack).1, []);
    let again = mutate(&pack.cards()[0], false);
    assert_eq!((again.survived.as_slice(), again.killed), ([].as_slice(), 27));
    assert_eq!(
        suggestions[8],
        "[[tests]] # as of 2025-12-31\nas_of   = 2025-12-31\nsystem  = { jurisdictions = [\"CN\"] }\nexpect  = \"not-in-force\"\n\
         because = \"not-yet\"\ngiven.refusal_bank = { n = 500, value = 0.97, lower95 = 0.95, upper95 = 0.98, age_days = 0, provenance \
         = \"measured\" }\n"
    );
}

#[test]
fn what_says_the_same_is_set_aside_and_idle_lines_are_told() {
    let mut mutated = mutate(&compile(&format!("{CARD}{TESTS}")).cards()[0], false);
    mutated.excuse(&manifest("force 1 from: 2026-01-01 -> 2025-12-31"));
    assert_eq!((mutated.mutants(), mutated.equivalent.len(), mutated.idle.len()), (26, 1, 0));
    mutated.excuse(&manifest("force 1 from: 2026-01-01 -> 2025-12-31"));
    assert_eq!(mutated.idle, ["no surviving change of `house.refuse` reads `force 1 from: 2026-01-01 -> 2025-12-31`"]);
    assert!(!mutated.is_enough());
}

/// By hand: the two tests look at one side of the number, on one day, and never at the tenant.
#[test]
fn cards_per_request_are_changed_as_well() {
    let card = r#"schema = 1
id = "house.suspend"
version = "1.0.0"
kind = "enforce"
severity = "high"
owner = "serving"
title = "Three in a row suspend"
on = "input"
applies = 'request.scenario.audience == "public"'
remedy = "Count."
cite = [{ instrument = "House rules", locator = "1", says = "three", confirmed = "yes" }]
force = [{ from = 2026-01-01, source = "house" }]
oblige = [
  { when = 'request.user.violations_in_row >= 3', do = ["block:suspended"] },
  { when = 'request.user.suspended', unless = 'request.tenant == "trusted"', do = ["suspend.user"] },
]
[[tests]]
as_of = 2026-11-23
system = {}
request = { scenario = { audience = "public" }, user = { violations_in_row = 3, suspended = false }, tenant = "a" }
expect = "in-force"
oblige = ["block:suspended"]
[[tests]]
as_of = 2026-11-23
system = {}
request = { scenario = { audience = "internal" }, user = { violations_in_row = 9, suspended = true }, tenant = "a" }
expect = "not-applicable"
"#;
    let mutated = mutate_enforce(&compile(card).enforce_cards()[0]);
    let survived: Vec<String> = mutated.survived.iter().map(|one| format!("{} {}", one.line, one.mutation)).collect();
    assert_eq!(
        survived,
        [
            "12 force 1 from: 2026-01-01 -> 2025-12-31",
            "12 force 1 from: 2026-01-01 -> 2026-01-02",
            "14 oblige 1 when: request.user.violations_in_row >= 3 -> request.user.violations_in_row == 3",
            "14 oblige 1 when: request.user.violations_in_row >= 3 -> request.user.violations_in_row >= 2",
            "15 oblige 2 unless: request.tenant == \"trusted\" -> !(request.tenant == \"trusted\")",
        ]
    );
}
