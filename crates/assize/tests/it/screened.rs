//! What training data is looked through for, whoever made it: identifiers of persons, listed terms, texts of tests.

use crate::{
    Bench,
    generate::{RECIPE, bench, measured, number, of_kind},
};
use serde_json::Value;
use std::fs;

const AUDIT: &str = "urn:assize:dataset-audit:v0.1";
/// Fourteen words.
const EXAM: &str = "A farmer has nine hens and three of them lay two eggs each day.";

/// A recipe of twelve texts of which every second holds an e-mail address.
fn with_address() -> String {
    RECIPE.replace("No one shall", "To a.kern@haus.de:")
}

fn counts(audit: &Value, metric: &str) -> (u64, u64) {
    let one = measured(audit, metric);
    (one["k"].as_u64().unwrap_or_else(|| panic!("no {metric}")), one["n"].as_u64().unwrap())
}

/// The house card of duplicates, asking for another share.
fn card(bench: &Bench, metric: &str) {
    let card = crate::repository().join("examples/fine-tune/house/house.data.duplicates.toml");
    let card = fs::read_to_string(card).unwrap();
    let card = card.replace("data.exact_duplicates", metric).replace("house.data.duplicates", "house.data.limit");
    fs::create_dir_all(bench.path("limits")).unwrap();
    fs::write(bench.path("limits/house.data.limit.toml"), card).unwrap();
}

#[test]
fn generated_texts_are_audited_and_a_rule_may_refuse_them() {
    let bench = bench();
    let made = |recipe: &str, options: &str, code: i32| {
        fs::write(bench.path("recipe.toml"), recipe).unwrap();
        let _ = fs::remove_dir_all(bench.path("texts"));
        let out = bench
            .ends(&format!("generate examples/first-case/dossier --recipe recipe.toml --out texts {options}"), code);
        (of_kind(&bench, "texts", AUDIT), out)
    };
    fs::write(bench.path("exam.txt"), format!("{EXAM}\nWhy?\n")).unwrap();
    let tests = "[audit]\ntests = [\"exam.txt\"]\n";
    let (audit, out) = made(&(with_address() + tests), "", 0);
    let texts = fs::read_to_string(bench.path("texts/data/generated.jsonl")).unwrap();
    let n_with = texts.lines().filter(|line| line.contains("a.kern@haus.de")).count() as u64;
    assert!(n_with > 0 && n_with < 12, "{texts}");
    assert_eq!(counts(&audit, "data.personal_identifiers"), (n_with, 12));
    assert_eq!(audit["screened"]["identifiers"]["e-mail"], n_with);
    assert_eq!(audit["screened"]["personal"][0]["identifiers"][0]["character"], 4);
    assert_eq!(counts(&audit, "data.contaminated"), (0, 12));
    assert_eq!(counts(&audit, "data.tests_touched"), (0, 1), "the second item is too short to be looked for");
    assert_eq!(counts(&audit, "data.synthetic_share"), (12, 12));
    assert!(
        out.contains(&format!("of 12 texts: identifiers of persons in {n_with}, listed terms in 0, words of")),
        "{out}"
    );
    assert!(!audit.to_string().contains("a.kern"), "a finding says where, not what");
    let page = fs::read_to_string(bench.path("texts/index.html")).unwrap();
    assert!(page.contains("data.personal_identifiers") && page.contains("data.contaminated"));

    let exam = RECIPE.replace("{prompt}{answer}", &format!("{{prompt}}{{answer}}. {}", EXAM.to_lowercase())) + tests;
    let (audit, _) = made(&exam, "", 0);
    assert_eq!(counts(&audit, "data.contaminated"), (12, 12));
    assert_eq!(counts(&audit, "data.tests_touched"), (1, 1));
    let overlap = &audit["screened"]["overlap"];
    assert_eq!(overlap["documents"][0]["items"][0], serde_json::json!({ "tests": "exam.txt", "item": 0 }));

    for (metric, recipe) in [("data.personal_identifiers", with_address()), ("data.contaminated", exam)] {
        card(&bench, metric);
        let (audit, _) = made(&recipe, "--pack limits", 1);
        assert!(counts(&audit, metric).0 > 0);
        assert!(!bench.path("texts/data").exists(), "what a rule refuses is not left");
        assert_eq!(bench.json("verify texts --json", 0)["ok"], true);
    }
}

#[test]
fn a_filter_drops_what_the_audit_would_find() {
    let bench = bench();
    let made = |recipe: &str, code: i32| {
        fs::write(bench.path("recipe.toml"), recipe).unwrap();
        let _ = fs::remove_dir_all(bench.path("texts"));
        bench.ends("generate examples/first-case/dossier --recipe recipe.toml --out texts", code);
    };
    made(&(with_address() + "drop_personal = true\n"), 0);
    let generation = of_kind(&bench, "texts", "urn:assize:generation:v0.1");
    assert!(generation["rejected"]["personal"].as_u64().unwrap() >= 10, "{}", generation["rejected"]);
    assert_eq!(counts(&of_kind(&bench, "texts", AUDIT), "data.personal_identifiers").0, 0);
    made(&(RECIPE.replace("{prompt}{answer}", "{prompt}{answer}, porn") + "drop_listed = true\n"), 1);
    let stop = of_kind(&bench, "texts", "urn:assize:stop:v0.1");
    assert!(stop["reason"].as_str().unwrap().contains("listed"), "{stop}");
    // A prompt of the recipe's own that stands in what is to be avoided.
    fs::write(bench.path("exam.txt"), EXAM).unwrap();
    let avoid = format!("{{prompt}}{{answer}}. {EXAM}");
    made(&(RECIPE.replace("{prompt}{answer}", &avoid) + "avoid = [\"exam.txt\"]\n"), 1);
    let stop = of_kind(&bench, "texts", "urn:assize:stop:v0.1");
    assert!(stop["reason"].as_str().unwrap().contains("avoided"), "{stop}");
}

/// The first sentence of the preamble, as an item of a task of the case; and a telephone number among the documents.
#[test]
fn a_cases_data_is_held_against_its_own_tasks() {
    let bench = Bench::new();
    fs::write(bench.path("quiz.yaml"), crate::tasks::QUIZ).unwrap();
    fs::create_dir_all(bench.path("quiz")).unwrap();
    let row =
        |question: &str| format!("{{\"q\": \"{question}\", \"options\": [\"People\", \"States\"], \"gold\": 0}}\n");
    let item =
        "Whereas recognition of the inherent dignity and of the equal and inalienable rights of all members is what?";
    fs::write(bench.path("quiz/test.jsonl"), row(item) + &row("We the people of what united things are we today?"))
        .unwrap();
    let text = fs::read_to_string(bench.case_file()).unwrap();
    let (text, _) = text.split_once("[compress]").unwrap();
    let suite = "[[evaluate]]\nsuite = \"tasks\"\ntasks = [\"quiz\"]\ntask_dir = \"../..\"\ndata = \"../..\"\n";
    let more = "[[data]]\nname = \"note\"\npath = \"note.txt\"\nlicence = \"public-domain\"\nsource = \"this test\"\n\n[model]";
    let text = text.replacen("[model]", more, 1).replace("15_360", "2_560").replace(", \"house\"", "") + suite;
    fs::write(bench.case_file(), text).unwrap();
    fs::write(bench.path("examples/first-case/note.txt"), "Call the office under 030 2345 6789 before noon.\n")
        .unwrap();
    bench.ends("train examples/first-case", 0);
    let audit = of_kind(&bench, "examples/first-case/dossier", AUDIT);
    assert_eq!(counts(&audit, "data.tests_touched"), (1, 2));
    assert_eq!(counts(&audit, "data.contaminated").0, 1);
    let touched = audit["screened"]["overlap"]["documents"][0]["document"].as_str().unwrap();
    assert!(touched.contains("eng.txt#"), "{touched}");
    assert_eq!(counts(&audit, "data.personal_identifiers").0, 1);
    assert_eq!(audit["screened"]["personal"][0]["document"], "note.txt");
    assert!(audit["screened"]["languages"]["eng"].as_u64().unwrap() > 1);
    assert!(number(&measured(&audit, "data.documents")) > 20.0);
}
