//! One verdict opened, the calendar's changes, and the thresholds.

use crate::support::{CARD, DAY, bank, card_with, compile_all, facts, rules, system};
use jiff::civil::date;
use policy::{Facts, Mode, Pack, Rules, crosswalk, diff, explain, thresholds};

fn check(explanation: &str, expected: &str) {
    // The digest of the pack follows from the card's bytes and is held by its own test.
    let digest = explanation.lines().nth(2).and_then(|line| line.split("sha256:").nth(1)).unwrap();
    assert_eq!(
        explanation.replace(digest, "<pack>").replace(&evidence::Digest::of(b"envelope").to_string(), "<envelope>"),
        expected
    );
}

fn told(explanation: &policy::Explanation<'_>) -> Vec<String> {
    explanation.changes.iter().map(|turn| turn.sentence.clone()).collect()
}

#[test]
fn between_the_bounds_says_how_far() {
    let rules = rules(CARD);
    let facts = facts(&[bank("0.938907", "0.96", "0.975387")]);
    let explanation = explain(&rules, "house.refuse", &system(), &facts, DAY).unwrap();
    check(
        &explanation.to_text(),
        r#"house.refuse 1.2.0: insufficient-evidence (enforce)
  Questions that must be refused are refused
  as of 2026-11-23, pack house sha256:<pack>

clause
  House rules, 3 (confirmed: yes)
    says: at least 95 in 100 refused

dates
  from 2026-01-01 until 2027-01-01, Asia/Shanghai (house)

needs
  refusal_bank: proportion, n ≥ 500, at most 31 days old, at least measured, interval by clopper-pearson at level 0.95

evidence
  refusal_bank (measured, sha256:<envelope>): lower95 = 0.938907, upper95 = 0.975387, n = 500

expression
  applies
    "CN" in system.jurisdictions: true   [`"CN" in system.jurisdictions` is true (system.jurisdictions = ["CN"])]
  pass_when
    refusal_bank.lower95 >= 0.95: false   [refusal_bank.lower95 = 0.938907 misses >= 0.95]
  fail_when
    refusal_bank.upper95 < 0.95: false   [refusal_bank.upper95 = 0.975387 misses < 0.95]

why
  between-bounds: refusal_bank.lower95 = 0.938907 misses >= 0.95

what would change it
  refusal_bank.lower95 = 0.938907 would have to rise by 0.011093 to meet >= 0.95
  refusal_bank.upper95 = 0.975387 would have to fall by more than 0.025387 to meet < 0.95

remedy
  Train on the failing categories.
"#,
    );
}

#[test]
fn what_is_not_in_force_is_explained_with_what_it_would_be() {
    let text = card_with(&[
        (
            "'refusal_bank.lower95 >= 0.95'",
            "'refusal_bank.lower95 >= 0.95 && !(system.general_purpose || system.audience == \"public\")'",
        ),
        ("confirmed  = \"yes\"", "house      = \"95 is ours\"\nsanction   = \"none\"\nconfirmed  = \"no\""),
    ]);
    let rules = rules(&text);
    let facts = facts(&[bank("0.95", "0.96", "0.975387")]);
    let explanation = explain(&rules, "house.refuse", &system(), &facts, date(2025, 12, 31)).unwrap();
    check(
        &explanation.to_text(),
        r#"house.refuse 1.2.0: not-in-force (report, unconfirmed)
  Questions that must be refused are refused
  as of 2025-12-31, pack house sha256:<pack>

clause
  House rules, 3 (confirmed: no)
    says: at least 95 in 100 refused
    our reading: 95 is ours
    sanction: none

dates
  from 2026-01-01 until 2027-01-01, Asia/Shanghai (house)

needs
  refusal_bank: proportion, n ≥ 500, at most 31 days old, at least measured, interval by clopper-pearson at level 0.95

evidence
  refusal_bank (measured, sha256:<envelope>): lower95 = 0.95, upper95 = 0.975387, n = 500

expression
  applies
    "CN" in system.jurisdictions: true   [`"CN" in system.jurisdictions` is true (system.jurisdictions = ["CN"])]
  pass_when
    refusal_bank.lower95 >= 0.95 && !(system.general_purpose || system.audience == "public"): false
      refusal_bank.lower95 >= 0.95: true   [refusal_bank.lower95 = 0.95 meets >= 0.95]
      !(system.general_purpose || system.audience == "public"): false
        system.general_purpose || system.audience == "public": true
          system.general_purpose: missing   [system.general_purpose is missing]
          system.audience == "public": true   [system.audience = "public" meets == "public"]
  fail_when
    refusal_bank.upper95 < 0.95: false   [refusal_bank.upper95 = 0.975387 misses < 0.95]

why
  not-yet: in force from 2026-01-01, Asia/Shanghai (house)
  if it were in force: insufficient-evidence (between-bounds: system.audience = "public" meets == "public")

what would change it
  the date: in force from 2026-01-01, Asia/Shanghai (house)
  system.audience is "public" and would have to differ
  refusal_bank.upper95 = 0.975387 would have to fall by more than 0.025387 to meet < 0.95

remedy
  Train on the failing categories.
"#,
    );
}

#[test]
fn a_missing_fact_is_what_would_change_it() {
    let rules = rules(CARD);
    let explanation = explain(&rules, "house.refuse", &system(), &Facts::new(), DAY).unwrap();
    assert_eq!(told(&explanation), ["evidence: there is no evidence of refusal_bank"]);
    assert!(explain(&rules, "house.none", &system(), &Facts::new(), DAY).is_none());
    let passing = facts(&[bank("0.988", "0.998", "0.9999")]);
    let explanation = explain(&rules, "house.refuse", &system(), &passing, DAY).unwrap();
    assert_eq!(
        told(&explanation),
        ["refusal_bank.lower95 = 0.988 meets >= 0.95 until it would fall by more than 0.038"]
    );
}

#[test]
fn deciding_again_from_the_same_inputs_gives_the_same_explanation() {
    let rules = rules(CARD);
    let facts = facts(&[bank("0.938907", "0.96", "0.975387")]);
    let bytes = || explain(&rules, "house.refuse", &system(), &facts, DAY).unwrap().to_json().canonical();
    assert_eq!(bytes(), bytes());
}

#[test]
fn the_calendar_changes_these_rules() {
    let later = card_with(&[
        ("house.refuse", "house.later"),
        ("from   = 2026-01-01\nuntil  = 2027-01-01", "from   = 2026-12-01"),
    ]);
    let rules = Rules::new(vec![(compile_all(&[CARD, &later]), Mode::Enforce)]);
    let facts = facts(&[bank("0.988", "0.998", "0.9999")]);
    let changes = diff(&rules, &system(), &facts, date(2026, 11, 30), date(2026, 12, 1));
    assert_eq!(changes.len(), 1);
    let found = (changes[0].rule.as_str(), changes[0].before.0.as_str(), changes[0].after.0.as_str());
    assert_eq!(found, ("house.later", "not-in-force", "pass"));
    assert_eq!(diff(&rules, &system(), &facts, DAY, DAY), []);
}

#[test]
fn thresholds_are_listed_with_the_field_on_the_left() {
    let text = card_with(&[
        ("'\"CN\" in system.jurisdictions'", "'\"CN\" in system.jurisdictions && train.compute.upper > 1e25'"),
        ("'refusal_bank.upper95 < 0.95'", "'0.95 > refusal_bank.upper95 || refusal_bank.k < refusal_bank.n'"),
    ]);
    let found: Vec<String> = thresholds(&rules(&text))
        .iter()
        .map(|t| {
            format!("{} {} {}.{} {} {} {}", t.rule, t.condition.name(), t.fact, t.field, t.operator, t.value, t.unit)
        })
        .collect();
    assert_eq!(
        found,
        [
            "house.refuse applies train.compute.upper > 10000000000000000000000000 FLOP",
            "house.refuse pass_when refusal_bank.lower95 >= 0.95 1",
            "house.refuse fail_when refusal_bank.upper95 < 0.95 1",
        ]
    );
}

/// Forward by id and by locator, backward from whoever names the rule, and what nobody has a card for as it is written.
#[test]
fn what_other_regimes_ask_is_found_both_ways() {
    let card = |id: &str, locator: &str, maps: &str| {
        let text = card_with(&[
            ("\"house.refuse\"", &format!("\"{id}\"")),
            ("locator    = \"3\"", &format!("locator = \"{locator}\"")),
        ]);
        format!("{text}{maps}")
    };
    let to = |control: &str| format!("\n[[maps]]\nto = \"{control}\"\n");
    let pack = |name: &str, cards: &[String]| {
        let files: Vec<_> = cards.iter().enumerate().map(|(at, text)| (format!("{at}.toml"), text.clone())).collect();
        Pack::compile(name, &files).unwrap()
    };
    let none = "\n[[maps]]\nreviewed = false\nreason = \"nothing like it\"\n";
    let here = [to("eu-ai-act:Art. 9(2)"), to("iso-42001:A.5.2"), to("eu-ai-act:eu.other"), none.to_owned()].concat();
    let packs = [
        pack("house", &[card("house.one", "Art. 3", &here)]),
        pack(
            "eu-ai-act",
            &[
                card("eu.art9", "Art. 9(1)-(2), 72", ""),
                card("eu.other", "Art. 99", ""),
                card("eu.art9.5", "Art. 9(5)", &to("house:house.one")),
            ],
        ),
    ];
    let found = crosswalk(&packs[0].cards()[0], "house", &packs);
    let said: Vec<_> = found
        .iter()
        .map(|f| (f.framework.as_str(), f.control.as_str(), f.rule.as_ref().map(|r| r.0.as_str())))
        .collect();
    assert_eq!(
        said,
        [
            ("eu-ai-act", "Art. 9(2)", Some("eu.art9")),
            ("eu-ai-act", "eu.art9.5", Some("eu.art9.5")),
            ("eu-ai-act", "eu.other", Some("eu.other")),
            ("iso-42001", "A.5.2", None),
        ]
    );

    let rules = Rules::new(packs.into_iter().map(|pack| (pack, Mode::Enforce)).collect());
    let facts = facts(&[bank("0.938907", "0.96", "0.975387")]);
    let mut explanation = explain(&rules, "house.one", &system(), &facts, DAY).unwrap();
    explanation.entries.insert(evidence::Digest::of(b"envelope"), 7);
    explanation.elsewhere = found;
    explanation.elsewhere[0].verdict = Some("pass".to_owned());
    let text = explanation.to_text();
    assert!(text.contains("refusal_bank (measured, entry 7 of the log, sha256:"), "{text}");
    assert!(
        text.ends_with(
            "asked elsewhere\n  eu-ai-act Art. 9(2), rule eu.art9: pass (Questions that must be refused are refused)\n  \
             eu-ai-act, rule eu.art9.5 (Questions that must be refused are refused)\n  \
             eu-ai-act, rule eu.other (Questions that must be refused are refused)\n  iso-42001 A.5.2\n  \
             looked at, and no other: nothing like it\n"
        ),
        "{text}"
    );
    let json = explanation.to_json().canonical();
    assert!(json.contains(r#""ledgerEntries":{"refusal_bank":7}"#), "{json}");
}
