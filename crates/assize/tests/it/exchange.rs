//! The command line: results where they are read, signed declarations, waivers. Each message is asserted whole.

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

const CASE: &str = r#"[system]
name = "first-case"
role = "provider"
jurisdictions = ["EU"]
audience = "public"

[policy]
as_of = 2026-11-24
packs = ["house"]
"#;

/// Held back unless somebody answerable says that a document exists.
const DOCUMENTED: &str = r#"
schema    = 1
id        = "house.documented"
version   = "1.2.0"
kind      = "attest"
severity  = "high"
owner     = "release"
title     = "There is technical documentation"
applies   = '"EU" in system.jurisdictions'
pass_when = 'doc.annex_iv.present'
fail_when = '!doc.annex_iv.present'
remedy    = "Write the documentation and declare it."
cite  = [{ instrument = "House rules", locator = "1", says = "documented before release", confirmed = "yes" }]
force = [{ from = 2026-01-01, source = "house" }]
needs = [{ fact = "doc.annex_iv", type = "document" }]
"#;

const NOTICE: &str = r#"
schema    = 1
id        = "house.notice"
version   = "1.0.0"
kind      = "attest"
severity  = "low"
owner     = "release"
title     = "People are told"
applies   = 'system.audience == "public"'
pass_when = 'disclosure.first_interaction.value'
fail_when = '!disclosure.first_interaction.value'
remedy    = "Tell them."
cite  = [{ instrument = "House rules", locator = "2", says = "people are told", confirmed = "yes" }]
force = [{ from = 2026-01-01, source = "house" }]
needs = [{ fact = "disclosure.first_interaction", type = "flag" }]
"#;

struct World {
    folder: TempDir,
}

/// What came of one call: exit code, stdout, stderr.
type Said = (i32, String, String);

impl World {
    fn new(rest: &str) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(world.path("case/house")).unwrap();
        world.write("case/assize.toml", &format!("{CASE}{rest}"));
        world.write("case/house/documented.toml", DOCUMENTED);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// Calls the program in the folder of the test, with a key of its own. Words are parted by spaces, except within quotes.
    fn assize(&self, words: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assize"));
        command.current_dir(self.folder.path()).env("ASSIZE_KEY", self.path("own.key")).args(parted(words));
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn refused(&self, words: &str) -> String {
        let (code, out, error) = self.assize(words);
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        error
    }

    /// Makes a key of that name and gives the line that a case lists.
    fn key(&self, name: &str) -> String {
        let (code, line, error) = self.assize(&format!("key --key {name}.key --name {name}"));
        assert_eq!(code, 0, "{error}");
        line.trim_end().to_owned()
    }

    fn list(&self, what: &str, lines: &[&str]) {
        let lines: Vec<String> = lines.iter().map(|line| format!("{line:?}")).collect();
        let text = self.read("case/assize.toml");
        let (before, after) = text.split_once("packs = [\"house\"]\n").unwrap();
        self.write(
            "case/assize.toml",
            &format!("{before}packs = [\"house\"]\n{what} = [{}]\n{after}", lines.join(", ")),
        );
    }

    /// Asks for a waiver of `house.documented` on the usual terms.
    fn waive(&self) -> Said {
        self.assize(&format!("waive house.documented --case case --key ana.key {TERMS}"))
    }

    fn approve(&self, key: &str) -> Said {
        self.assize(&format!("waive --approve {WAIVER} --key {key}"))
    }
}

const TERMS: &str = "--author ana --reason 'it is being written' --instead 'no release outside the house' \
                     --made 2026-11-01 --expires 2027-01-01";
const WAIVER: &str = "case/waivers/house.documented.json";

/// `a 'b c'` as `a` and `b c`.
fn parted(words: &str) -> Vec<&str> {
    let quoted = words.split('\'').enumerate();
    quoted.flat_map(|(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }).collect()
}

fn key_id(line: &str) -> &str {
    line.split('+').nth(1).unwrap()
}

#[test]
fn a_signed_declaration_answers_a_rule() {
    let world = World::new("");
    let (code, out, _) = world.assize("check case");
    assert_eq!(code, 1, "{out}");
    fs::create_dir(world.path("case/docs")).unwrap();
    world.write("case/docs/annex-iv.md", "all of it");
    let words = "declare doc.annex_iv --document case/docs/annex-iv.md --owner release --made 2026-11-20 \
                 --expires 2027-06-01 --case case";
    let (code, out, error) = world.assize(words);
    assert_eq!(code, 0, "{error}");
    assert!(out.starts_with("wrote case/declarations/doc.annex_iv-2026-11-20.json, signed by assize+"), "{out}");
    assert_eq!(out.lines().count(), 1, "the key of the run is known: {out}");
    let (code, out, error) = world.assize("check case");
    assert_eq!(code, 0, "{out}{error}");
    assert!(out.contains("answered: doc.annex_iv.present is true"), "{out}");
    assert_eq!(
        world.refused(words),
        "error: case/declarations/doc.annex_iv-2026-11-20.json stands already and is left as it is; name another file with `--out`\n"
    );
    // The document must stay the one that was declared.
    world.write("case/docs/annex-iv.md", "half of it");
    let error = world.refused("check case");
    let expected = "error: in the case `case`: declarations/doc.annex_iv-2026-11-20.json: the document `docs/annex-iv.md` has the digest ";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.ends_with("; declare it anew, or put the document back\n"), "{error}");
}

#[test]
fn a_declaration_by_a_stranger_counts_once_the_stranger_is_listed() {
    let world = World::new("");
    let line = world.key("legal");
    let words = "declare doc.annex_iv --value false --owner legal --made 2026-11-20 --expires 2027-06-01 \
                 --case case --key legal.key --out case/declarations/none.json";
    let (code, out, error) = world.assize(words);
    assert_eq!(code, 0, "{error}");
    let expected = format!(
        "`declarers` under `[policy]` does not hold this key yet; add \"{line}\" for others to take what it signs\n"
    );
    assert!(out.ends_with(&expected), "{out}");
    assert_eq!(
        world.refused("check case"),
        format!(
            "error: in the case `case`: declarations/none.json: it is signed by a key that this case does not know (key id `{}`); if you trust the signer, add the line of that key to `declarers` under `[policy]`\n",
            key_id(&line)
        )
    );
    world.list("declarers", &[&line]);
    let (code, out, error) = world.assize("check case");
    assert_eq!(code, 1, "{error}");
    assert!(out.contains("answered-no"), "{out}");
    // What fails by it points at it.
    let (_, out, _) = world.assize("check case --sarif -");
    let log: Value = serde_json::from_str(&out).unwrap();
    let result = &log["runs"][0]["results"][0];
    let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!((&result["kind"], uri), (&"fail".into(), &"case/declarations/none.json".into()));
    // From its last day on it is void, and says so.
    let (code, out, _) = world.assize("check case --as-of 2027-06-01");
    assert_eq!(code, 1);
    assert!(out.contains("answer-expired"), "{out}");
}

#[test]
fn what_cannot_be_declared_is_told_whole() {
    let world = World::new("");
    let declare = |fact: &str, more: &str| {
        world.refused(&format!("declare {fact} --owner o --made 2026-11-20 --case case {more}"))
    };
    let table: [(&str, &str, &str); 6] = [
        (
            "doc.none",
            "--value true --expires 2027-01-01",
            "no fact `doc.none` in the catalogue; docs/metrics.md lists the facts",
        ),
        (
            "doc.annex_iv",
            "--value true --expires 2027-01-01",
            "expected `--document FILE`, or `--value false` when there is none, for `doc.annex_iv`, found `true`",
        ),
        (
            "disclosure.first_interaction",
            "--value yes --expires 2027-01-01",
            "expected `true` or `false` for `disclosure.first_interaction`, found `yes`",
        ),
        (
            "disclosure.first_interaction",
            "--document case/assize.toml --expires 2027-01-01",
            "`disclosure.first_interaction` is a flag, not a document; give it with `--value`",
        ),
        (
            "disclosure.first_interaction",
            "--value true --expires 2026-11-20",
            "the declaration expires on 2026-11-20, not after it was made on 2026-11-20; give the first day on which it is void",
        ),
        (
            "disclosure.notices",
            "--value two --expires 2027-01-01",
            "expected a whole number for `disclosure.notices`, found `two`",
        ),
    ];
    for (fact, more, expected) in table {
        assert_eq!(declare(fact, more), format!("error: {expected}\n"));
    }
    assert!(!world.path("case/declarations").exists(), "nothing is written");
}

#[test]
fn a_waiver_lets_through_when_two_others_approve() {
    let world = World::new("");
    let [ana, ben, chen] = ["ana", "ben", "chen"].map(|name| world.key(name));
    world.list("approvers", &[&ben, &chen]);
    let (code, out, error) = world.waive();
    assert_eq!(code, 0, "{error}");
    assert_eq!(
        out,
        format!("wrote {WAIVER}; it holds once two others approve it:\n  assize waive --approve {WAIVER} --key KEY\n")
    );
    let (code, out, _) = world.assize("check case");
    assert_eq!(code, 1);
    assert!(
        out.contains(
            "the waiver of house.documented does nothing: expected two approvers who are not the author, found 0\n"
        ),
        "{out}"
    );
    let error = format!(
        "error: the case does not list this key as an approver's; if it is to be one, add \"{ana}\" to `approvers` under `[policy]`\n"
    );
    assert_eq!(world.approve("ana.key"), (2, String::new(), error));
    let approved = format!("approved {WAIVER} for the rule house.documented as ");
    assert_eq!(world.approve("ben.key"), (0, format!("{approved}ben; 1 more to go\n"), String::new()));
    let twice = format!("error: {WAIVER}: `ben` approved it twice: ask another, two are needed\n");
    assert_eq!(world.approve("ben.key"), (2, String::new(), twice));
    assert_eq!(world.assize("check case").0, 1, "one approval lets nothing through");
    assert_eq!(world.approve("chen.key"), (0, format!("{approved}chen; it holds until 2027-01-01\n"), String::new()));

    let (code, out, _) = world.assize("check case");
    assert_eq!(code, 0, "{out}");
    let indent = " ".repeat(45);
    let expected = format!(
        "{:45}waived(awaiting-person)\n{indent}no-answer: nobody has declared doc.annex_iv\n\
         {indent}house.documented is waived by ana, approved by ben and chen, until 2027-01-01: it is being written; instead: no release outside the house\n\
         allow as of 2026-11-24\n",
        "house.documented"
    );
    assert_eq!(out, expected);
}

/// Everything that brings a good waiver to nothing, each with its own sentence.
#[test]
fn a_waiver_ends_with_its_days_its_versions_and_its_words() {
    let world = World::new("");
    let [_, ben, chen] = ["ana", "ben", "chen"].map(|name| world.key(name));
    world.list("approvers", &[&ben, &chen]);
    assert_eq!([world.waive().0, world.approve("ben.key").0, world.approve("chen.key").0], [0, 0, 0]);
    assert_eq!(world.assize("check case --as-of 2026-12-31").0, 0, "its last day");
    let (code, out, _) = world.assize("check case --as-of 2027-01-01");
    assert_eq!(code, 1);
    let idle = "the waiver of house.documented does nothing: ";
    assert!(out.contains(&format!("{idle}it holds from 2026-11-01 to the day before 2027-01-01\n")), "{out}");
    // The rule has a new major version, to which nobody agreed.
    world.write("case/house/documented.toml", &DOCUMENTED.replace("1.2.0", "2.0.0"));
    let (code, out, _) = world.assize("check case");
    assert_eq!(code, 1);
    assert!(out.contains(&format!("{idle}it speaks of versions 1.2.0 to below 2.0.0, the rule is 2.0.0\n")), "{out}");
    world.write("case/house/documented.toml", DOCUMENTED);
    // It never reaches another rule.
    world.write("case/house/notice.toml", NOTICE);
    assert_eq!(world.assize("check case").0, 1);
    // An approver who leaves the list approves nothing.
    world.write("case/assize.toml", CASE);
    world.list("approvers", &[&ben]);
    let expected = format!(
        "error: in the case `case`: waivers/house.documented.json: it is signed by a key that this case does not know (key id `{}`); if you trust the signer, add the line of that key to `approvers` under `[policy]`\n",
        key_id(&chen)
    );
    assert_eq!(world.refused("check case"), expected);
    // Other words under the same signatures are no waiver.
    world.write("case/assize.toml", CASE);
    world.list("approvers", &[&ben, &chen]);
    let whole = world.json(WAIVER);
    let words = "waive house.documented --case case --key ana.key --author ana --reason r --expires 2027-01-01 \
                 --made 2026-11-01 --out case/waivers/other.json --instead 'nothing at all'";
    assert_eq!(world.assize(words).0, 0);
    let mut forged = world.json("case/waivers/other.json");
    fs::remove_file(world.path("case/waivers/other.json")).unwrap();
    forged["signatures"] = whole["signatures"].clone();
    world.write(WAIVER, &forged.to_string());
    assert_eq!(
        world.refused("check case"),
        "error: in the case `case`: waivers/house.documented.json: it was changed after its author `ana` signed it; waive anew\n"
    );
}

#[test]
fn what_cannot_be_waived_is_told_whole() {
    let world = World::new("");
    let [ana, ben, _] = ["ana", "ben", "chen"].map(|name| world.key(name));
    let refused = |rule: &str, more: &str| {
        let given = "--case case --key ana.key --reason r --instead i --made 2026-11-01";
        world.refused(&format!("waive {rule} {given} {more}"))
    };
    let table: [(&str, &str, &str); 5] = [
        (
            "house.none",
            "--author ana --expires 2027-01-01",
            "no rule `house.none` among the packs of the case; `assize check` lists them",
        ),
        (
            "house.documented",
            "--author ana --expires 2027-11-02",
            "expected an expiry from 1 to 365 days after 2026-11-01, found 2027-11-02",
        ),
        (
            "house.documented",
            "--author ana --expires 2026-11-01",
            "expected an expiry from 1 to 365 days after 2026-11-01, found 2026-11-01",
        ),
        (
            "house.documented",
            "--author ana --expires 2027-01-01 --versions 2.0.0..3.0.0",
            "the rule `house.documented` is of version 1.2.0, which is not among those from 2.0.0 to below 3.0.0",
        ),
        ("house.documented", "--author ' ' --expires 2027-01-01", "expected an author, found nothing"),
    ];
    for (rule, more, expected) in table {
        assert_eq!(refused(rule, more), format!("error: {expected}\n"));
    }
    assert!(!world.path("case/waivers").exists(), "nothing is written");
    // The author, listed as an approver, is still the author.
    world.list("approvers", &[&ana, &ben]);
    assert_eq!(world.waive().0, 0);
    assert_eq!(
        world.approve("ana.key").2,
        format!("error: {WAIVER}: the author `ana` cannot approve: ask two others\n")
    );
    let stands = format!("error: {WAIVER} stands already and is left as it is; name another file with `--out`\n");
    assert_eq!(world.waive().2, stands);
}

#[test]
fn a_list_of_approvers_holds_people_and_not_names() {
    let world = World::new("");
    let ben = world.key("ben");
    world.list("approvers", &[&ben, &ben]);
    let error = world.refused("check case");
    assert!(error.starts_with("error: the key of the approver `ben` is already that of `ben`\n"), "{error}");
    assert!(error.ends_with("hint: two names do not make two people of one key\n"), "{error}");
    let world = World::new("");
    world.list("approvers", &["ben+00000000+AAAA"]);
    let error = world.refused("check case");
    assert!(error.starts_with("error: not a verifier key: expected an Ed25519 key, type 1\n"), "{error}");
    assert!(error.ends_with("hint: `assize key` prints the line of a key\n"), "{error}");
}

#[test]
fn results_stand_in_the_formats_asked_for() {
    let declared = "\n[[declare]]\nfact = \"disclosure.first_interaction\"\nvalue = false\nowner = \"o\"\nmade = 2026-11-20\nexpires = 2027-06-01\n";
    let world = World::new(declared);
    world.write("case/house/notice.toml", NOTICE);
    let (code, out, error) =
        world.assize("check case --sarif out/r.sarif --policyreport out/r.yaml --junit out/r.xml --oscal out/ar.json");
    assert_eq!(code, 1, "{error}");
    assert!(out.ends_with("deny as of 2026-11-24\n"), "{out}");
    let sarif = world.json("out/r.sarif");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let shown = |at: usize| {
        let place = &results[at]["locations"][0]["physicalLocation"];
        let said =
            [&results[at]["ruleId"], &results[at]["kind"], &results[at]["level"], &place["artifactLocation"]["uri"]];
        (said.map(|value| value.as_str().unwrap()), place["region"]["startLine"].as_u64().unwrap())
    };
    // What nobody answered points at the key that made the rule apply; what was answered at the answer.
    assert_eq!(shown(0), (["house.documented", "review", "none", "case/assize.toml"], 4));
    assert_eq!(shown(1), (["house.notice", "fail", "note", "case/assize.toml"], 12));
    let related = results[1]["relatedLocations"].as_array().unwrap();
    let lines: Vec<u64> =
        related.iter().map(|place| place["physicalLocation"]["region"]["startLine"].as_u64().unwrap()).collect();
    assert_eq!(lines, [5, 9], "the audience and the pack");
    let summary = serde_json::json!({"pass": 0, "fail": 1, "warn": 1, "error": 0, "skip": 0});
    assert_eq!(world.json("out/r.yaml")["summary"], summary);
    let suite = "<testsuite name=\"house\" tests=\"2\" failures=\"1\" errors=\"1\" skipped=\"0\">";
    assert!(world.read("out/r.xml").contains(suite), "{}", world.read("out/r.xml"));
    let assessed = &world.json("out/ar.json")["assessment-results"]["results"][0];
    assert_eq!(assessed["findings"].as_array().unwrap().len(), 2);
    assert_eq!(assessed["observations"][1]["relevant-evidence"][0]["href"], "case/assize.toml");
    // The same evidence gives the same bytes, and an absolute path the same addresses.
    let absolute = world.path("case").canonicalize().unwrap();
    let (_, out, _) = world.assize(&format!("check {} --sarif -", absolute.display()));
    assert_eq!(out, world.read("out/r.sarif"));
}

#[test]
fn stdout_holds_one_document() {
    let world = World::new("");
    assert_eq!(
        world.refused("check case --sarif - --junit -"),
        "error: stdout can hold one document, and 2 are asked for there; name files for the others\n"
    );
    let (code, out, _) = world.assize("check case --junit -");
    assert_eq!(code, 1);
    assert!(out.starts_with("<?xml") && out.ends_with("</testsuites>\n"), "{out}");
}

#[test]
fn packs_stand_as_an_oscal_catalog_with_its_profile() {
    let world = World::new("");
    let words = "policy export --oscal out/rules.json --made 2026-11-23 case/house";
    let (code, out, error) = world.assize(words);
    assert_eq!((code, out.as_str()), (0, "wrote 1 rules to out/rules.json and out/rules.profile.json\n"), "{error}");
    let before = world.read("out/rules.json");
    world.assize(words);
    assert_eq!(world.read("out/rules.json"), before);
    // Without a name, all that ship: the profile selects every control of the catalog.
    assert_eq!(world.assize("policy export --oscal out/all.json").0, 0);
    let (catalog, profile) = (world.json("out/all.json"), world.json("out/all.profile.json"));
    let controls = |group: &Value| {
        group["controls"].as_array().unwrap().iter().map(|control| control["id"].clone()).collect::<Vec<_>>()
    };
    let ids: Vec<Value> = catalog["catalog"]["groups"].as_array().unwrap().iter().flat_map(controls).collect();
    let import = &profile["profile"]["imports"][0];
    assert_eq!(import["href"], "all.json");
    assert_eq!(import["include-controls"][0]["with-ids"].as_array().unwrap(), &ids);
    assert!(ids.len() > 50, "{}", ids.len());
    assert_eq!(
        world.refused("policy export"),
        "error: nothing to write was named; `--oscal FILE` writes a catalog and a profile, `--rego DIR` a module for each card\n"
    );
}

/// A run carries the waiver whole: the dossier, alone, shows it, takes the decision again with it, and knows when it ends.
#[test]
fn a_run_carries_its_waivers_and_signed_declarations() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let shipped = fs::read_to_string(root.join("examples/first-case/assize.toml")).unwrap();
    let data = root.join("examples/speech-writer/data/udhr");
    let world = World::new("");
    let text = shipped.replace("../speech-writer/data/udhr", data.to_str().unwrap());
    let (before, after) = text.split_once("packs = [").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    world.write("case/assize.toml", &format!("{before}packs = [\"house\"]\n{after}"));
    world.write("case/house/notice.toml", NOTICE);
    let [_, ben, chen] = ["ana", "ben", "chen"].map(|name| world.key(name));
    world.list("approvers", &[&ben, &chen]);
    assert_eq!([world.waive().0, world.approve("ben.key").0, world.approve("chen.key").0], [0, 0, 0]);
    let words = "declare disclosure.first_interaction --value true --owner o --made 2026-11-20 \
                 --expires 2027-06-01 --case case";
    assert_eq!(world.assize(words).0, 0);
    let (code, out, error) = world.assize("run case");
    assert_eq!(code, 0, "{out}{error}");
    assert!(
        out.contains(
            "  house.documented is waived by ana, approved by ben and chen, until 2027-01-01: it is being written"
        ),
        "{out}"
    );
    let decisions = world.json("case/dossier/decisions.json");
    let verdicts = &decisions["decisions"].as_array().unwrap().last().unwrap()["verdicts"];
    let names: Vec<&str> =
        verdicts.as_array().unwrap().iter().map(|verdict| verdict["verdict"].as_str().unwrap()).collect();
    assert_eq!(names, ["waived(awaiting-person)", "pass"]);
    let page = world.read("case/dossier/index.html");
    assert!(page.contains("Waived by <strong>ana</strong>, approved by <strong>ben and chen</strong>"));
    // The dossier alone is enough.
    fs::remove_dir_all(world.path("case/waivers")).unwrap();
    fs::remove_dir_all(world.path("case/declarations")).unwrap();
    let (code, out, _) = world.assize("verify case/dossier");
    assert_eq!(code, 0, "{out}");
    assert_eq!(world.assize("check case/dossier").0, 0);
    assert_eq!(world.assize("check case/dossier --as-of 2027-01-01").0, 1);
}
