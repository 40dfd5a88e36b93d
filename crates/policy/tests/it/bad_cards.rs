//! The whole message of every way a card can be refused.

use crate::support::{CARD, card_with, problems};
use policy::Pack;

#[track_caller]
fn check(changes: &[(&str, &str)], expected: &str) {
    assert_eq!(problems(&card_with(changes)), expected);
}

/// The card with one test more.
#[track_caller]
fn check_test(test: &str, expected: &str) {
    assert_eq!(problems(&format!("{CARD}[[tests]]\n{test}")), expected);
}

#[test]
fn the_card_itself_is_good() {
    assert_eq!(problems(CARD), "no problem");
}

// A case reads as one row; the formatter would give every word a line of its own.
#[rustfmt::skip]
#[test]
fn the_file_and_its_fields() {
    check(&[("schema    = 1\n", "schema    = \n")], r#"error[toml]: the card cannot be read
  ┌─ house/refuse.toml:1:13
1 │ schema    = 
  │             ^ string values must be quoted, expected literal string"#);
    check(&[("schema    = 1", "schema    = 2")], r#"error[field-value]: rule `house.refuse`
  ┌─ house/refuse.toml:1:13
1 │ schema    = 2
  │             ^ expected schema 1, found 2"#);
    check(&[("remedy    =", "remdey    =")], r#"error[missing-field]: rule `house.refuse`
  ┌─ house/refuse.toml:1:1
1 │ schema    = 1
  │ ^ expected the field `remedy`

error[unknown-field]: rule `house.refuse`
   ┌─ house/refuse.toml:11:1
11 │ remdey    = "Train on the failing categories."
   │ ^^^^^^ unknown field `remdey`
   = hint: did you mean `remedy`?"#);
    check(&[("owner     = \"model-safety\"\n", "")], r#"error[missing-field]: rule `house.refuse`
  ┌─ house/refuse.toml:1:1
1 │ schema    = 1
  │ ^ expected the field `owner`"#);
    check(&[("title     = \"Questions that must be refused are refused\"", "title     = \" \"")], r#"error[field-value]: rule `house.refuse`
  ┌─ house/refuse.toml:7:13
7 │ title     = " "
  │             ^^^ expected a sentence, found nothing"#);
    check(&[("\"house.refuse\"", "\"House refuse\"")], r#"error[field-value]: the card cannot be read
  ┌─ house/refuse.toml:2:13
2 │ id        = "House refuse"
  │             ^^^^^^^^^^^^^^ expected at most 100 of the letters a-z, digits, `.`, `-`, `_`"#);
    check(&[("\"1.2.0\"", "\"1.2\"")], r#"error[field-value]: rule `house.refuse`
  ┌─ house/refuse.toml:3:13
3 │ version   = "1.2"
  │             ^^^^^ expected a version such as `1.0.0`, found `1.2`"#);
    check(&[("severity  = \"high\"", "severity  = \"urgent\"")], r#"error[field-value]: rule `house.refuse`
  ┌─ house/refuse.toml:5:13
5 │ severity  = "urgent"
  │             ^^^^^^^^ expected `critical`, `high`, `medium`, `low` or `info`, found `urgent`"#);
    check(&[("severity  = \"high\"", "severity  = 1\ngates = [\"deploy\"]")], r#"error[field-type]: rule `house.refuse`
  ┌─ house/refuse.toml:5:13
5 │ severity  = 1
  │             ^ expected a text, found integer

error[field-value]: rule `house.refuse`
  ┌─ house/refuse.toml:6:10
6 │ gates = ["deploy"]
  │          ^^^^^^^^ expected `data`, `plan`, `train`, `compress`, `evaluate` or `release`, found `deploy`"#);
    check(&[("min_n          = 500", "min_n          = 500\npass_when = 'true'")], r#"error[misplaced-field]: rule `house.refuse`
   ┌─ house/refuse.toml:30:1
30 │ pass_when = 'true'
   │ ^^^^^^^^^ `pass_when` stands inside `[[needs]]`
   = hint: a bare key after a `[[table]]` belongs to it: move it above the first `[[…]]`"#);
    check(&[("confirmed  = \"yes\"", "confirmed  = true")], r#"error[field-type]: rule `house.refuse`
   ┌─ house/refuse.toml:17:14
17 │ confirmed  = true
   │              ^^^^ expected a text, found boolean"#);
    check(&[("locator    = \"3\"\n", "locator = \"3\"\nparagraph = \"3\"\n")], r#"error[unknown-field]: rule `house.refuse`
   ┌─ house/refuse.toml:16:1
16 │ paragraph = "3"
   │ ^^^^^^^^^ unknown field `paragraph` in `[[cite]]`"#);
}

#[cfg(not(feature = "rego"))]
#[test]
fn what_this_build_does_not_decide() {
    check(
        &[("\n[[cite]]", "check = { rego = \"x.rego\" }\n[[cite]]")],
        r#"error[unsupported]: rule `house.refuse`
   ┌─ house/refuse.toml:12:9
12 │ check = { rego = "x.rego" }
   │         ^^^^^^^^^^^^^^^^^^^ `[check]` with Rego is not part of this build
   = hint: write the two conditions `pass_when` and `fail_when`, or build with the feature `rego`"#,
    );
}

#[test]
fn dates() {
    check(
        &[("until  = 2027-01-01", "until  = 2026-01-01")],
        r#"error[dates-reversed]: rule `house.refuse`
   ┌─ house/refuse.toml:21:10
21 │ until  = 2026-01-01
   │          ^^^^^^^^^^ expected a day after 2026-01-01, found 2026-01-01
   = hint: `until` is the first day out of force"#,
    );
    check(
        &[("until  = 2027-01-01", "until  = \"2027-01-01\"")],
        r#"error[field-type]: rule `house.refuse`
   ┌─ house/refuse.toml:21:10
21 │ until  = "2027-01-01"
   │          ^^^^^^^^^^^^ expected a date, found string
   = hint: write it without quotation marks: `2026-08-02`"#,
    );
    check(
        &[("from   = 2026-01-01", "from   = 2026-01-01T00:00:00Z")],
        r#"error[field-type]: rule `house.refuse`
   ┌─ house/refuse.toml:20:10
20 │ from   = 2026-01-01T00:00:00Z
   │          ^^^^^^^^^^^^^^^^^^^^ expected a date, found datetime
   = hint: write it without quotation marks: `2026-08-02`"#,
    );
    check(
        &[("until  = 2027-01-01", "grace  = [{ until = 2025-12-31, source = \"x\" }]")],
        r#"error[dates-reversed]: rule `house.refuse`
   ┌─ house/refuse.toml:21:21
21 │ grace  = [{ until = 2025-12-31, source = "x" }]
   │                     ^^^^^^^^^^ expected a day after 2026-01-01, found 2025-12-31
   = hint: `until` is the first day out of force"#,
    );
}

#[test]
fn facts_and_needs() {
    check(
        &[("'refusal_bank.lower95", "'refusal_banc.lower95")],
        r#"error[unknown-fact]: rule `house.refuse`
  ┌─ house/refuse.toml:9:14
9 │ pass_when = 'refusal_banc.lower95 >= 0.95'
  │              ^^^^^^^^^^^^^^^^^^^^ no fact `refusal_banc` in the catalogue
  = hint: did you mean `refusal_bank`?"#,
    );
    check(
        &[("refusal_bank.lower95", "refusal_bank.lower")],
        r#"error[unknown-fact-field]: rule `house.refuse`
  ┌─ house/refuse.toml:9:14
9 │ pass_when = 'refusal_bank.lower >= 0.95'
  │              ^^^^^^^^^^^^^^^^^^ a proportion has no field `lower`
  = hint: it has `k`, `n`, `value`, `lower95`, `upper95`"#,
    );
    check(
        &[("refusal_bank.lower95 >=", "refusal_bank >=")],
        r#"error[unknown-fact-field]: rule `house.refuse`
  ┌─ house/refuse.toml:9:14
9 │ pass_when = 'refusal_bank >= 0.95'
  │              ^^^^^^^^^^^^ `refusal_bank` is a proportion; expected one of its fields
  = hint: it has `k`, `n`, `value`, `lower95`, `upper95`"#,
    );
    check(
        &[("system.jurisdictions", "system.jurisdiction")],
        r#"error[unknown-fact]: rule `house.refuse`
  ┌─ house/refuse.toml:8:22
8 │ applies   = '"CN" in system.jurisdiction'
  │                      ^^^^^^^^^^^^^^^^^^^ no member `jurisdiction` of `system`
  = hint: did you mean `jurisdictions`?"#,
    );
    check(
        &[("\"proportion\"", "\"count\"")],
        r#"error[fact-mismatch]: rule `house.refuse`
   ┌─ house/refuse.toml:27:18
27 │ type           = "count"
   │                  ^^^^^^^ expected the type `proportion` of the catalogue, found `count`"#,
    );
    check(
        &[("\"model\"\nmin_n", "\"run\"\nmin_n")],
        r#"error[fact-mismatch]: rule `house.refuse`
   ┌─ house/refuse.toml:28:18
28 │ subject        = "run"
   │                  ^^^^^ expected the subject `model` of the catalogue, found `run`"#,
    );
    check(
        &[("min_provenance = \"measured\"", "min_provenance = \"certain\"")],
        r#"error[field-value]: rule `house.refuse`
   ┌─ house/refuse.toml:31:18
31 │ min_provenance = "certain"
   │                  ^^^^^^^^^ expected `declared`, `inferred`, `measured` or `independent`, found `certain`"#,
    );
    check(
        &[("min_n          = 500", "min_n          = -1")],
        r#"error[field-value]: rule `house.refuse`
   ┌─ house/refuse.toml:29:18
29 │ min_n          = -1
   │                  ^^ expected a number that is not negative, found `-1`"#,
    );
    check(
        &[("level = 0.95", "level = 0.95, sides = 3")],
        r#"error[field-value]: rule `house.refuse`
   ┌─ house/refuse.toml:32:70
32 │ interval       = { method = "clopper-pearson", level = 0.95, sides = 3 }
   │                                                                      ^ expected 1 or 2 sides, found 3"#,
    );
    check(
        &[("[[needs]]", "[[needs]]\nfact = \"refusal_bank\"\ntype = \"proportion\"\n[[needs]]")],
        r#"error[duplicate]: rule `house.refuse`
   ┌─ house/refuse.toml:28:1
28 │ [[needs]]
   │ ^^^^^^^^^ the fact `refusal_bank` is needed twice"#,
    );
}

#[test]
fn conditions() {
    check(
        &[(">= 0.95'", ">= 0.95 and true'")],
        r#"error[syntax]: rule `house.refuse`
  ┌─ house/refuse.toml:9:43
9 │ pass_when = 'refusal_bank.lower95 >= 0.95 and true'
  │                                           ^^^ expected an operator or the end, found `and`"#,
    );
    check(
        &[("'refusal_bank.lower95 >= 0.95'", "\"\"\"\nrefusal_bank.n >= 500\n&& refusal_bank.lower95 >= 1\"\"\"")],
        r#"error[type]: rule `house.refuse`
   ┌─ house/refuse.toml:11:28
11 │ && refusal_bank.lower95 >= 1"""
   │                            ^ expected decimal beside `>=`, found int
   = hint: a decimal field is compared with a decimal: write `1.0`"#,
    );
    check(
        &[("'refusal_bank.lower95 >= 0.95'", "\"refusal_bank.lower95 >= 0.95 && \\\"x\\\" == 1\"")],
        r#"error[type]: rule `house.refuse`
  ┌─ house/refuse.toml:9:13
9 │ pass_when = "refusal_bank.lower95 >= 0.95 && \"x\" == 1"
  │             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected text beside `==`, found int"#,
    );
    check(
        &[("'refusal_bank.upper95 < 0.95'", "'!has(refusal_bank.value)'")],
        r#"error[has]: rule `house.refuse`
   ┌─ house/refuse.toml:10:15
10 │ fail_when = '!has(refusal_bank.value)'
   │               ^^^^^^^^^^^^^^^^^^^^^^^ `has` may stand only in `pass_when`, un-negated
   = hint: elsewhere it would let missing evidence decide; leave it out: a missing fact is `missing`"#,
    );
    check(
        &[("pass_when = 'refusal_bank.lower95 >= 0.95'\n", "")],
        r#"error[missing-field]: rule `house.refuse`
  ┌─ house/refuse.toml:1:1
1 │ schema    = 1
  │ ^ expected the field `pass_when`"#,
    );
    check(
        &[(
            "pass_when = 'refusal_bank.lower95 >= 0.95'\nfail_when = 'refusal_bank.upper95 < 0.95'\n",
            "pass_when = true\n",
        )],
        r#"error[field-type]: rule `house.refuse`
  ┌─ house/refuse.toml:9:13
9 │ pass_when = true
  │             ^^^^ expected an expression in quotation marks, found boolean"#,
    );
}

#[test]
fn tests_of_cards() {
    check_test(
        "as_of = 2026-11-23\nexpect = \"passed\"\n",
        r#"error[field-value]: rule `house.refuse`
   ┌─ house/refuse.toml:35:10
35 │ expect = "passed"
   │          ^^^^^^^^ expected `pass`, `fail`, `insufficient-evidence`, `not-applicable`, `not-in-force`, `awaiting-person` or `error`, found `passed`"#,
    );
    check_test(
        "as_of = 2026-11-23\nexpect = \"fail\"\nbecause = \"between-bounds\"\n",
        r#"error[field-value]: rule `house.refuse`
   ┌─ house/refuse.toml:36:11
36 │ because = "between-bounds"
   │           ^^^^^^^^^^^^^^^^ expected `fails` or `answered-no`, found `between-bounds`"#,
    );
    check_test(
        "as_of = 2026-11-23\nexpect = \"fail\"\nsystem = { jurisdictions = \"CN\", rolle = \"provider\" }\n",
        r#"error[field-type]: rule `house.refuse`
   ┌─ house/refuse.toml:36:28
36 │ system = { jurisdictions = "CN", rolle = "provider" }
   │                            ^^^^ expected a list, found string

error[unknown-fact]: rule `house.refuse`
   ┌─ house/refuse.toml:36:34
36 │ system = { jurisdictions = "CN", rolle = "provider" }
   │                                  ^^^^^ no member `rolle` of `system`
   = hint: did you mean `role`?"#,
    );
    check_test(
        "as_of = 2026-11-23\nexpect = \"fail\"\ngiven = { refusal_bank = { value = 0.5, lower = 0.4 }, refusal.bank = { value = 1 } }\n",
        r#"error[unknown-field]: rule `house.refuse`
   ┌─ house/refuse.toml:36:41
36 │ given = { refusal_bank = { value = 0.5, lower = 0.4 }, refusal.bank = { value = 1 } }
   │                                         ^^^^^ unknown field `lower` in `[[tests.given]]`

error[unknown-fact]: rule `house.refuse`
   ┌─ house/refuse.toml:36:64
36 │ given = { refusal_bank = { value = 0.5, lower = 0.4 }, refusal.bank = { value = 1 } }
   │                                                                ^^^^ no fact `refusal.bank` in the catalogue
   = hint: did you mean `refusal_bank`?"#,
    );
    check_test(
        "as_of = 2026-11-23\nexpect = \"fail\"\ngiven = { refusal_bank = { value = 0.12345678901234567, n = 1.5 } }\n",
        r#"error[field-value]: rule `house.refuse`
   ┌─ house/refuse.toml:36:36
36 │ given = { refusal_bank = { value = 0.12345678901234567, n = 1.5 } }
   │                                    ^^^^^^^^^^^^^^^^^^^ expected at most 15 significant digits, found `0.12345678901234567`

error[field-type]: rule `house.refuse`
   ┌─ house/refuse.toml:36:61
36 │ given = { refusal_bank = { value = 0.12345678901234567, n = 1.5 } }
   │                                                             ^^^ expected an integer, found float"#,
    );
}

#[test]
fn two_cards_of_one_id() {
    let files = [("a.toml".to_owned(), CARD.to_owned()), ("b.toml".to_owned(), CARD.to_owned())];
    let errors = Pack::compile("house", &files).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        r#"error[duplicate]: rule `house.refuse`
  ┌─ b.toml:2:14
2 │ id        = "house.refuse"
  │              ^^^^^^^^^^^^ the id `house.refuse` is already that of a.toml
  = hint: two cards never share an id: the later reading of a clause is a new version"#
    );
}

proptest::proptest! {
    /// Files come from strangers: whatever is cut, doubled or replaced, there is an answer, and its place is in the file.
    #[test]
    fn a_damaged_card_is_refused_or_read(
        cut in 0_usize..900,
        length in 0_usize..40,
        with in "[\\[\\]{}='\"\\\\.#\\n\\r a-z0-9é-]{0,12}",
    ) {
        let start = cut.min(CARD.len());
        let end = (start + length).min(CARD.len());
        let text = format!("{}{with}{}", &CARD[..start], &CARD[end..]);
        if let Err(errors) = Pack::compile("house", &[("a.toml".to_owned(), text.clone())]) {
            for error in errors {
                proptest::prop_assert!(error.line <= text.matches('\n').count() + 1, "{}", error);
                proptest::prop_assert!(!error.message.is_empty());
            }
        }
    }
}
