//! The whole message for packs, files and letters that no card may have.

use crate::support::{CARD, card_with, compile, problems};
use policy::{CARD_BYTES_MAX, CardError, Manifest, Pack, clashes};

#[track_caller]
fn check(changes: &[(&str, &str)], expected: &str) {
    assert_eq!(problems(&card_with(changes)), expected);
}

fn pack(name: &str, file: &str, text: &str) -> Pack {
    Pack::compile(name, &[(file.to_owned(), text.to_owned())]).unwrap()
}

#[test]
fn one_id_in_two_packs() {
    let (one, two) = (pack("house", "refuse.toml", CARD), pack("other", "a.toml", &format!("# again\n{CARD}")));
    let errors = clashes([&one, &two]);
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        r#"error[duplicate]: rule `house.refuse`
  ┌─ a.toml:3:14
3 │ id        = "house.refuse"
  │              ^^^^^^^^^^^^ the id `house.refuse` is already that of refuse.toml in the pack `house`
  = hint: leave one of the two packs out, or give the rule of `other` an id of its own"#
    );
    let errors = clashes([&one, &one]);
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        "error[duplicate]: the card cannot be read\n  ┌─ refuse.toml:1:1\n1 │ \n  │ ^ the pack `house` is given twice\n  = hint: name each pack \
         once under `[policy]`"
    );
    assert_eq!(clashes([&one]), []);
}

#[test]
fn places_that_do_not_exist() {
    check(
        &[("'\"CN\" in", "'\"GB\" in")],
        r#"error[unknown-jurisdiction]: rule `house.refuse`
  ┌─ house/refuse.toml:8:14
8 │ applies   = '"GB" in system.jurisdictions'
  │              ^^^^ no jurisdiction `GB`
  = hint: did you mean `UK`?"#,
    );
    check(
        &[("'\"CN\" in system.jurisdictions'", "'system.jurisdictions.exists(x, x == \"us-ca\")'")],
        r#"error[unknown-jurisdiction]: rule `house.refuse`
  ┌─ house/refuse.toml:8:50
8 │ applies   = 'system.jurisdictions.exists(x, x == "us-ca")'
  │                                                  ^^^^^^^ no jurisdiction `us-ca`
  = hint: did you mean `US-CA`?"#,
    );
    check(
        &[("from   = 2026-01-01", "when = '\"Europe\" in system.jurisdictions'\nfrom   = 2026-01-01")],
        r#"error[unknown-jurisdiction]: rule `house.refuse`
   ┌─ house/refuse.toml:20:9
20 │ when = '"Europe" in system.jurisdictions'
   │         ^^^^^^^^ no jurisdiction `Europe`
   = hint: write `EU`, a country of ISO 3166-1 such as `KR`, or a part of one such as `US-CA`"#,
    );
    let test = "[[tests]]\nas_of = 2026-11-23\nexpect = \"fail\"\nsystem = { jurisdictions = [\"CN\", \"XX\"] }\n";
    assert_eq!(
        problems(&format!("{CARD}{test}")),
        r#"error[unknown-jurisdiction]: rule `house.refuse`
   ┌─ house/refuse.toml:36:28
36 │ system = { jurisdictions = ["CN", "XX"] }
   │                            ^^^^^^^^^^^^ no jurisdiction `XX`
   = hint: write `EU`, a country of ISO 3166-1 such as `KR`, or a part of one such as `US-CA`"#
    );
    // What is not held against the list of places may be any text.
    check(
        &[(
            "'\"CN\" in system.jurisdictions'",
            "'system.name == \"GB\" || system.jurisdictions.exists(x, x.startsWith(\"US\"))'",
        )],
        "no problem",
    );
}

#[test]
fn dates_that_contradict_each_other() {
    let two = |more: &str| {
        [(
            "source = \"house\"",
            Box::leak(format!("source = \"house\"\n[[force]]\n{more}\nsource = \"x\"").into_boxed_str()) as &str,
        )]
    };
    check(
        &two("from = 2026-06-01"),
        r#"error[dates-overlap]: rule `house.refuse`
   ┌─ house/refuse.toml:24:1
24 │ [[force]]
   │ ^^^^^^^^^ overlaps the window from 2026-01-01 to 2027-01-01 for the same systems
   = hint: end the earlier window with `until`, or tell the two apart with `when`"#,
    );
    check(
        &two("from = 2020-01-01\nuntil = 2026-01-02"),
        r#"error[dates-overlap]: rule `house.refuse`
   ┌─ house/refuse.toml:24:1
24 │ [[force]]
   │ ^^^^^^^^^ overlaps the window from 2026-01-01 to 2027-01-01 for the same systems
   = hint: end the earlier window with `until`, or tell the two apart with `when`"#,
    );
    check(&two("from = 2020-01-01\nuntil = 2026-01-01"), "no problem");
    check(&two("from = 2027-01-01"), "no problem");
    check(&two("when = 'system.interacts'\nfrom = 2026-06-01"), "no problem");
    check(
        &[("tz     = \"Asia/Shanghai\"", "grace  = [{ until = 2027-01-01, source = \"x\" }]")],
        r#"error[dates-overlap]: rule `house.refuse`
   ┌─ house/refuse.toml:22:21
22 │ grace  = [{ until = 2027-01-01, source = "x" }]
   │                     ^^^^^^^^^^ expected a day before 2027-01-01, the end of the window, found 2027-01-01
   = hint: the grace ends before the rule does, or the rule binds nobody"#,
    );
}

#[test]
fn files_beyond_the_limits() {
    let huge = format!("{CARD}# {}\n", "x".repeat(10 * 1024 * 1024));
    let expected = format!(
        "error[limit]: the card cannot be read\n  ┌─ house/refuse.toml:1:1\n1 │ \n  │ ^ expected at most {CARD_BYTES_MAX} bytes, found {}\n  \
         = hint: a file holds one rule: split it, and keep documents elsewhere",
        huge.len()
    );
    assert_eq!(problems(&huge), expected);
    let by_size = CardError::of_size("house/refuse.toml", huge.len() as u64).map(|error| error.to_string());
    assert_eq!(by_size, Some(expected));
    assert_eq!(CardError::of_size("a.toml", CARD_BYTES_MAX as u64), None);
    // A long line is shown around the place of the problem.
    let long =
        card_with(&[("remedy    =", "remdey    ="), ("\"Train on", &format!("\"{}Train on", "long ".repeat(300)))]);
    let shown = problems(&long);
    assert!(shown.lines().all(|line| line.chars().count() < 300), "{shown}");
    assert!(shown.contains("unknown field `remdey`"), "{shown}");
}

#[test]
fn nests_without_end() {
    let deep = format!(
        "{CARD}[[tests]]\nas_of = 2026-11-23\nexpect = \"fail\"\ngiven = {}{}\n",
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let shown = problems(&deep);
    assert!(
        shown.starts_with("error[toml]: the card cannot be read\n   ┌─ house/refuse.toml:36:"),
        "{}",
        &shown[..200]
    );
    assert!(
        shown.ends_with("cannot recurse further; max recursion depth met"),
        "{}",
        &shown[shown.len().saturating_sub(200)..]
    );
    let dotted = format!("{CARD}[[tests]]\nas_of = 2026-11-23\nexpect = \"fail\"\ngiven{} = 1\n", ".a".repeat(20_000));
    assert!(problems(&dotted).contains("error["));
    let parens = "(".repeat(17) + "true" + &")".repeat(17);
    check(
        &[("'\"CN\" in system.jurisdictions'", &format!("'{parens}'"))],
        r#"error[limit]: rule `house.refuse`
  ┌─ house/refuse.toml:8:30
8 │ applies   = '(((((((((((((((((true)))))))))))))))))'
  │                              ^ expected at most 16 levels of nesting"#,
    );
    let nots = "!".repeat(900) + "true";
    check(
        &[("'\"CN\" in system.jurisdictions'", &format!("'{nots}'"))],
        &format!(
            r#"error[limit]: rule `house.refuse`
  ┌─ house/refuse.toml:8:30
8 │ applies   = '{}…
  │ {}^ expected at most 16 levels of nesting"#,
            "!".repeat(227),
            " ".repeat(29)
        ),
    );
}

#[test]
fn letters_that_pass_for_others() {
    check(
        &[("\"house.refuse\"", "\"house.r\u{435}fuse\"")],
        "error[field-value]: the card cannot be read
  ┌─ house/refuse.toml:2:13
2 │ id        = \"house.r\u{435}fuse\"
  │             ^^^^^^^^^^^^^^ expected at most 100 of the letters a-z, digits, `.`, `-`, `_`
  = hint: `\u{435}` is none of them: it is U+0435, which looks like `e`: type it anew",
    );
    check(
        &[("owner     =", "\"\u{43e}wner\" =")],
        "error[missing-field]: rule `house.refuse`
  ┌─ house/refuse.toml:1:1
1 │ schema    = 1
  │ ^ expected the field `owner`

error[unknown-field]: rule `house.refuse`
  ┌─ house/refuse.toml:6:1
6 │ \"\u{43e}wner\" = \"model-safety\"
  │ ^^^^^^^ unknown field `\u{43e}wner`
  = hint: `\u{43e}` is no letter of a field: it is U+043E, which looks like `o`: type it anew",
    );
    check(
        &[("'refusal_bank.lower95", "'refusal_b\u{430}nk.lower95")],
        "error[syntax]: rule `house.refuse`
  ┌─ house/refuse.toml:9:23
9 │ pass_when = 'refusal_b\u{430}nk.lower95 >= 0.95'
  │                       ^ unexpected `\u{430}`
  = hint: it is U+0430, which looks like `a`: type it anew",
    );
    check(
        &[("'\"CN\" in", "'\"\u{421}N\" in")],
        "error[literal]: rule `house.refuse`
  ┌─ house/refuse.toml:8:14
8 │ applies   = '\"\u{421}N\" in system.jurisdictions'
  │              ^^^^ `\u{421}` is not the letter it looks like
  = hint: it is U+0421, which looks like `C`: type it anew",
    );
    check(
        &[("lower95 >= 0.95", "lower95 \u{2265} 0.95")],
        "error[syntax]: rule `house.refuse`
  ┌─ house/refuse.toml:9:35
9 │ pass_when = 'refusal_bank.lower95 \u{2265} 0.95'
  │                                   ^ unexpected `\u{2265}`
  = hint: write `>=`",
    );
    // Other scripts are no disguise where people read them.
    check(&[("says       = \"at least", "says       = \"生成合成 \u{436}изнь: at least")], "no problem");
}

#[test]
fn what_cannot_be_seen() {
    check(
        &[("'refusal_bank.lower95", "'refusal_\u{200b}bank.lower95")],
        "error[unseen-character]: the card cannot be read
  ┌─ house/refuse.toml:9:22
9 │ pass_when = 'refusal_\u{fffd}bank.lower95 >= 0.95'
  │                      ^ U+200B cannot be seen
  = hint: delete it; a card says only what its reader sees",
    );
    check(
        &[("schema    = 1", "\u{feff}schema    = 1")],
        "error[unseen-character]: the card cannot be read
  ┌─ house/refuse.toml:1:1
1 │ \u{fffd}schema    = 1
  │ ^ U+FEFF cannot be seen
  = hint: delete it; a card says only what its reader sees",
    );
    // A comment that turns the direction of writing shows a reader another card.
    check(
        &[("severity  = \"high\"", "severity  = \"high\" # \u{202e}\"wol\" = ytireves")],
        "error[unseen-character]: the card cannot be read
  ┌─ house/refuse.toml:5:22
5 │ severity  = \"high\" # \u{fffd}\"wol\" = ytireves
  │                      ^ U+202E cannot be seen
  = hint: delete it; a card says only what its reader sees",
    );
    check(
        &[("'\"CN\" in", "\"\"\"\"C\\\\u200bN\" in"), ("jurisdictions'", "jurisdictions\"\"\"")],
        "error[literal]: rule `house.refuse`
  ┌─ house/refuse.toml:8:13
8 │ applies   = \"\"\"\"C\\\\u200bN\" in system.jurisdictions\"\"\"
  │             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ U+200B cannot be seen in a text",
    );
}

#[test]
fn imports_are_not_a_thing() {
    check(
        &[("schema    = 1", "schema    = 1\nimport = [\"base.toml\"]")],
        r#"error[unsupported]: rule `house.refuse`
  ┌─ house/refuse.toml:2:1
2 │ import = ["base.toml"]
  │ ^^^^^^ `import`: a card imports nothing
  = hint: write the rule whole; a card is read, hashed and decided by itself"#,
    );
    check(
        &[("schema    = 1", "schema    = 1\nextends = \"base\"")],
        r#"error[unsupported]: rule `house.refuse`
  ┌─ house/refuse.toml:2:1
2 │ extends = "base"
  │ ^^^^^^^ `extends`: a card imports nothing
  = hint: write the rule whole; a card is read, hashed and decided by itself"#,
    );
}

const MANIFEST: &str = r#"name        = "house"
version     = "1.0.0"
title       = "House rules"
status_date = 2026-11-23
licence     = "Apache-2.0"

[[sources]]
key  = "H"
text = "the house"

[[not_implemented]]
id     = "house.other"
reason = "no instrument"

[[mutant]]
rule     = "house.refuse"
mutation = "pass_when: a -> b"
reason   = "they say the same"
"#;

#[test]
fn pack_toml_is_read_as_strictly() {
    let read = Manifest::read("house/pack.toml", MANIFEST).unwrap();
    assert_eq!((read.name.as_str(), read.sources.len()), ("house", 1));
    assert_eq!(
        (read.not_implemented[0].id.as_str(), read.not_implemented[0].reason.as_str()),
        ("house.other", "no instrument")
    );
    assert_eq!(read.equivalents[0].mutation, "pass_when: a -> b");
    let bad =
        MANIFEST.replace("reason = \"no instrument\"", "reson = \"no instrument\"").replace("2026-11-23", "\"today\"");
    let shown: Vec<String> =
        Manifest::read("house/pack.toml", &bad).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        shown.join("\n\n"),
        r#"error[field-type]: the card cannot be read
  ┌─ house/pack.toml:4:15
4 │ status_date = "today"
  │               ^^^^^^^ expected a date, found string
  = hint: write it without quotation marks: `2026-08-02`

error[missing-field]: the card cannot be read
   ┌─ house/pack.toml:11:1
11 │ [[not_implemented]]
   │ ^^^^^^^^^^^^^^^^^^^ expected the field `reason` in `[[not_implemented]]`

error[unknown-field]: the card cannot be read
   ┌─ house/pack.toml:13:1
13 │ reson = "no instrument"
   │ ^^^^^ unknown field `reson` in `[[not_implemented]]`
   = hint: did you mean `reason`?"#
    );
}

#[test]
fn coverage_counts_and_names_what_is_stale() {
    let declared = card_with(&[
        ("house.refuse", "house.word"),
        ("min_provenance = \"measured\"", "min_provenance = \"declared\""),
    ]);
    let files = [("a.toml".to_owned(), CARD.to_owned()), ("b.toml".to_owned(), declared)];
    let pack = Pack::compile("house", &files).unwrap();
    let manifest = Manifest::read("pack.toml", MANIFEST).unwrap();
    let coverage = policy::coverage(&pack, Some(&manifest));
    assert_eq!(
        (coverage.measured.as_slice(), coverage.declared.as_slice()),
        (["house.refuse".to_owned()].as_slice(), ["house.word".to_owned()].as_slice())
    );
    let json = coverage.to_json().canonical();
    assert!(
        json.contains(r#""declared":1,"#)
            && json.contains(r#""measured":1,"#)
            && json.contains(r#""not_implemented":1,"#),
        "{json}"
    );
    assert!(json.contains(r#""rules":2}"#), "{json}");
    assert_eq!(coverage.findings, Vec::<String>::new());
    let stale = Manifest::read("pack.toml", &MANIFEST.replace("\"house.other\"", "\"house.word\"")).unwrap();
    let findings = policy::coverage(&pack, Some(&stale)).findings;
    assert_eq!(findings, ["`house.word` has a card now: take its line out of pack.toml"]);
    assert_eq!(policy::coverage(&compile(CARD), None).not_implemented, []);
}
