//! The case file, read strictly: the message and the place.

use policy::{expr::Value, scenario::Answers};
use supervise::case::Case;

const GOOD: &str = "[system]\nname = \"a\"\n[policy]\npacks = []\n";

fn complaint(text: &str) -> (usize, usize, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("assize.toml"), text).unwrap();
    let error = Case::read(folder.path()).unwrap_err();
    (error.line, error.column, error.message)
}

#[test]
fn the_good_case_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("assize.toml"), GOOD).unwrap();
    assert_eq!(Case::read(folder.path()).unwrap().name, "a");
}

#[test]
fn every_complaint_has_its_place() {
    let declare = "[[declare]]\nfact = \"practice.manipulation\"\nvalue = false\nowner = \"o\"\n";
    let train = "[train]\ntokens = 10\noptimizer = { name = \"adamw\", learning_rate = 1e-3 }\n";
    for (text, line, column, message) in [
        ("[system]\nname = \"a\"\n".to_owned(), 1, 1, "missing field `policy`"),
        (
            format!("{GOOD}[budget]\nenergy = 1\n"),
            6,
            1,
            "unknown field `energy`, expected one of `compute_flop`, `time_s`, `energy_kwh`, `carbon_gco2e`",
        ),
        (format!("{GOOD}[budget]\ntime_s = 0\n"), 6, 10, "expected a number above zero, found `0`"),
        (
            format!("{GOOD}[site]\ncountry = \"FR\"\n"),
            6,
            11,
            "expected a country as three capital letters (ISO 3166-1 alpha-3), found `FR`",
        ),
        (
            format!("{GOOD}{train}schedule = {{ name = \"cosine\", warmup = 2.0 }}\n"),
            8,
            21,
            "expected `warmup` and `floor` as shares from 0 to 1, found 2 and 0",
        ),
        (
            format!("{GOOD}{}", train.replace("adamw", "adamx")),
            7,
            22,
            "expected a optimizer, one of `adamw`, `adam`, `sgd`, `gradient-descent`, `lion`, `adafactor`, `muon`, found `adamx`",
        ),
        (
            format!("{GOOD}{declare}made = 2026-11-24\nexpires = 2026-11-24\n"),
            10,
            11,
            "the declaration expires on 2026-11-24, not after it was made on 2026-11-24",
        ),
        (
            format!("{GOOD}{}made = 2026-11-24\nexpires = 2027-11-24\n", declare.replace("manipulation", "nothing")),
            6,
            8,
            "no fact `practice.nothing` in the catalogue",
        ),
        (
            format!("{GOOD}{}made = 2026-11-24\nexpires = 2027-11-24\n", declare.replace("false", "3")),
            7,
            9,
            "expected a flag for `practice.manipulation`, found integer",
        ),
        (format!("{GOOD}[[evaluate]]\nsuite = \"k-fold\"\nfolds = 1\n"), 7, 9, "expected at least 2 folds, found `1`"),
        (
            format!("{GOOD}[compress]\nprune = {{ method = \"magnitude\", sparsity = 1.5 }}\n"),
            6,
            44,
            "expected a sparsity between 0 and 1, both excluded, found `1.5`",
        ),
    ] {
        assert_eq!(complaint(&text), (line, column, message.to_owned()), "{text}");
    }
}

fn read(text: &str) -> Result<Case, supervise::case::CaseError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("assize.toml"), text).unwrap();
    Case::read(folder.path())
}

#[test]
fn a_case_without_use_answers_nothing() {
    assert_eq!(read(GOOD).unwrap().scenario, Answers::new());
}

#[test]
fn the_use_is_read_and_does_not_make_another_run() {
    let case = read(&format!("{GOOD}[use]\nprofiling = true\ntraining_flop = 2.5e23\n")).unwrap();
    assert_eq!(case.scenario.get("profiling"), Some(&Value::Bool(true)));
    assert_eq!(case.scenario.get("training_flop").unwrap().to_string(), "250000000000000000000000");
    assert_eq!(case.work(), read(GOOD).unwrap().work());
}

#[test]
fn answers_to_trouble_do_not_make_another_run() {
    let train = format!("{GOOD}[train]\ntokens = 10\noptimizer = {{ name = \"adamw\", learning_rate = 1e-3 }}\n");
    let work = |more: &str| read(&format!("{train}{more}")).unwrap().work();
    assert_eq!(work("on_trouble = { divergence = \"pause\" }\n"), work(""));
    assert_ne!(work("seed = 3\n"), work(""));
}

#[test]
fn a_bad_answer_is_shown_in_its_line() {
    // A letter of two bytes before it: places are counted in characters, spans in bytes.
    let error = read(&format!("{GOOD}[use]\npurpose = \"für\" \nrole = \"owner\"\n")).unwrap_err();
    assert_eq!((error.line, error.column), (7, 8));
    assert_eq!(error.message, "expected `provider`, `deployer` or `modifier`, found \"owner\"");
    let error = read("[system]\nname = \"a\"\n[policy]\npacks = []\n[use]\nübel = 1\n").unwrap_err();
    assert_eq!((error.line, error.column), (6, 1));
}

/// Folds of a model that is trained further train what the case trains, whatever is not said.
#[test]
fn folds_of_a_base_are_of_the_training_itself() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.gguf"), "").unwrap();
    let read = |suite: &str, train: &str| {
        let text = format!(
            "{GOOD}[model]\nbase = \"model.gguf\"\ncontext = 8\n[train]\ntokens = 10\n{train}\
             optimizer = {{ name = \"sgd\", learning_rate = 0.1 }}\n[[evaluate]]\nsuite = \"k-fold\"\n{suite}\n"
        );
        std::fs::write(folder.path().join("assize.toml"), text).unwrap();
        Case::read(folder.path())
    };
    let plan = read("folds = 3", "").unwrap().folds.unwrap();
    assert_eq!((plan.folds, plan.small, plan.tokens), (3, None, None));
    assert_eq!(read("folds = 3\ntokens = 7", "").unwrap().folds.unwrap().tokens, Some(7));
    let lambda = "lambda = { penalty = \"l2\", candidates = [0, 1] }\n";
    for (suite, train, expected) in [
        ("folds = 1", "", "expected at least 2 folds, found `1`"),
        ("", "", "the suite `k-fold` needs `folds`"),
        (
            "folds = 3\nwidth = 64",
            "",
            "`width` is said of a model that stands already: each fold trains what `[train]` trains",
        ),
        ("folds = 3\ntokens = 0", "", "expected at least 1 token a fold, found `0`"),
        ("folds = 3", lambda, "a weight that `lambda` chose on all training documents has seen every fold"),
    ] {
        assert_eq!(read(suite, train).unwrap_err().message, expected);
    }
    let text = format!("{GOOD}[[evaluate]]\nsuite = \"k-fold\"\nfolds = 2\nwidth = 32\n");
    let plan = self::read(&text).unwrap().folds.unwrap();
    assert_eq!((plan.small.unwrap().width, plan.small.unwrap().layers, plan.tokens), (32, 2, Some(50_000)));
}
