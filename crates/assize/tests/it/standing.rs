//! A case about a model that stands: evaluated by suites, decided under packs, in one command.

use crate::{Bench, compress::base64, evaluate::bench};
use serde_json::{Value, json};
use std::{fs, process::Stdio, time::Duration};

const HEAD: &str = "[system]\nname = \"quizzer\"\nrole = \"deployer\"\njurisdictions = [\"EU\"]\naudience = \"internal\"\nmodalities = [\"text\"]\n\
    [policy]\npacks = [\"house\"]\n[model]\npath = \"../one\"\n";
const SUITES: &str = "[[evaluate]]\nsuite = \"tasks\"\ntasks = [\"quiz\"]\ntask_dir = \"..\"\ndata = \"..\"\nthresholds = { quiz = 0.05 }\n\
    [[evaluate]]\nsuite = \"bank\"\nbanks = [\"bank.jsonl\"]\nanswer_tokens = 6\nbare = true\n";

/// A rule that wants so many items asked, with the tests that a card carries.
fn card(least: &str) -> String {
    let test = |name: &str, given: &str, expect: &str| {
        format!("[[tests]] # {name}\nas_of = 2026-11-01\nsystem = {{}}\nexpect = \"{expect}\"\n{given}\n")
    };
    let value =
        |value: &str| format!("given.benchmark.items = {{ value = {value}, age_days = 1, provenance = \"measured\" }}");
    format!(
        "schema = 1\nid = \"house.items\"\nversion = \"1.0.0\"\nkind = \"assess\"\nseverity = \"high\"\nowner = \"engineering\"\n\
         title = \"Enough is asked\"\ngates = [\"evaluate\"]\napplies = \"true\"\npass_when = \"benchmark.items.value >= {least}\"\n\
         fail_when = \"benchmark.items.value < {least}\"\nremedy = \"Ask more items.\"\n\
         [[cite]]\ninstrument = \"House rules, 1.0.0\"\nlocator = \"house.items\"\nsays = \"so many items are asked\"\nconfirmed = \"yes\"\n\
         [[force]]\nfrom = 2026-01-01\ntz = \"UTC\"\nsource = \"rule of this house\"\n\
         [[needs]]\nfact = \"benchmark.items\"\ntype = \"count\"\nsubject = \"model\"\nmin_provenance = \"measured\"\n{}{}",
        test("enough", &value(least), "pass"),
        test("too few", &value("1"), "fail")
    )
}

fn with_case(least: &str) -> Bench {
    let bench = bench();
    fs::create_dir_all(bench.path("case/house")).unwrap();
    let question = |at: usize| json!({"question": format!("which {at}"), "expect": if at.is_multiple_of(2) { "answer" } else { "refuse" }, "subject": "age"});
    fs::write(bench.path("case/bank.jsonl"), (0..6).map(|at| format!("{}\n", question(at))).collect::<String>())
        .unwrap();
    fs::write(bench.path("case/assize.toml"), format!("{HEAD}{SUITES}")).unwrap();
    fs::write(bench.path("case/house/house.items.toml"), card(least)).unwrap();
    bench
}

/// What each suite of the latest run came to, but for what it cost.
fn details(bench: &Bench) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(bench.path("case/dossier/envelopes")).unwrap() {
        let envelope: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let statement: Value = serde_json::from_slice(&base64(envelope["payload"].as_str().unwrap())).unwrap();
        found.extend(statement["predicate"].get("details").map(Value::to_string));
    }
    found.sort();
    found
}

fn evidence(bench: &Bench) -> String {
    fs::read_to_string(bench.path("case/dossier/evidence.json")).unwrap()
}

#[test]
fn a_model_that_stands_is_evaluated_and_decided_in_one_command() {
    let bench = with_case("24");
    // Before anything was asked: what the files show, and the rule's fact unknown.
    let found = bench.json("check case --json", 1);
    assert_eq!(found["verdicts"][0]["verdict"], "insufficient-evidence", "{found}");
    bench.ends("run case", 0);
    let said = evidence(&bench);
    for fact in [
        "model.parameters",
        "model.zeros",
        "benchmark.accuracy",
        "benchmark.thresholds",
        "calibration.ece",
        "refusal_bank",
        "over_refusal_bank",
        "bank.answer",
        "plan.thresholds",
    ] {
        assert!(said.contains(&format!("\"{fact}\"")), "{fact}");
    }
    let verified = bench.json("verify case/dossier --json", 0);
    assert_eq!(verified["ok"], true);
    assert_eq!(bench.json("check case --json", 0)["verdicts"][0]["verdict"], "pass");
    // The same figures as without a case, on the same model.
    let alone = bench.json("evaluate one --tasks quiz --task-dir . --data . --json", 0);
    let digests = |document: &Value| document["tasks"]["quiz"]["prompts"].clone();
    let all = details(&bench);
    assert!(all.len() == 2 && all.iter().any(|one| one.contains(digests(&alone).as_str().unwrap())), "{all:?}");
    // Done, it is not done again.
    let entries = |bench: &Bench| fs::read_dir(bench.path("case/dossier/envelopes")).unwrap().count();
    let before = entries(&bench);
    bench.ends("run case", 0);
    assert_eq!((entries(&bench), evidence(&bench)), (before, said));
    // Other weights are another run.
    fs::remove_dir_all(bench.path("one")).unwrap();
    fs::rename(bench.path("two"), bench.path("one")).unwrap();
    bench.ends("run case", 0);
    assert!(entries(&bench) > before);
}

#[test]
fn a_model_below_the_houses_floor_is_denied() {
    let bench = with_case("25");
    bench.ends("run case", 1);
    assert_eq!(bench.json("check case --json", 1)["verdicts"][0]["verdict"], "fail");
    assert_eq!(bench.json("verify case/dossier --json", 0)["ok"], true);
}

#[test]
fn a_killed_case_goes_on_to_the_same_figures() {
    let bench = with_case("24");
    let row = |at: usize| json!({"q": format!("which word is number {at} of {}", at * 31 % 997), "options": ["one", "two", "three"], "gold": at % 3, "passage": "p", "kind": "k"});
    fs::write(bench.path("sets/quiz/test.jsonl"), (0..1500).map(|at| format!("{}\n", row(at))).collect::<String>())
        .unwrap();
    bench.ends("run case", 0);
    let whole = details(&bench);
    assert_eq!(whole.len(), 2);
    fs::remove_dir_all(bench.path("case/dossier")).unwrap();
    let mut child = bench.command("run case").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let answers = || {
        let runs = fs::read_dir(bench.path("case/dossier/.work")).ok()?;
        runs.filter_map(|run| Some(fs::metadata(run.ok()?.path().join("answers")).ok()?.len())).max()
    };
    while answers().unwrap_or(0) < 5_000 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(answers().unwrap() >= 5_000);
    bench.ends("run case", 0);
    assert_eq!(details(&bench), whole);
    assert_eq!(answers(), None, "what is recorded needs no scratch");
    assert_eq!(bench.json("verify case/dossier --json", 0)["ok"], true);
}

#[test]
fn a_budget_stops_the_questions_before_it_is_crossed() {
    let bench = with_case("24");
    let text = fs::read_to_string(bench.path("case/assize.toml")).unwrap();
    fs::write(bench.path("case/assize.toml"), format!("{text}[budget]\ncompute_flop = 1e5\n")).unwrap();
    let output = bench.assize("run case");
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && err.contains("stopped: "), "{err}");
    fs::write(bench.path("case/assize.toml"), format!("{text}[budget]\ncompute_flop = 1e12\n")).unwrap();
    bench.ends("run case", 0);
    assert_eq!(bench.json("verify case/dossier --json", 0)["ok"], true);
}

#[test]
fn what_does_not_go_with_a_model_that_stands_is_refused() {
    let bench = with_case("24");
    for (added, expected) in [
        (
            "[train]\ntokens = 10\noptimizer = { name = \"adamw\", learning_rate = 1e-3 }\n",
            "`[train]` stands beside a model at `path`",
        ),
        ("[compress]\nquantize = { format = \"q8_0\" }\n", "`[compress]` stands beside a model at `path`"),
        ("[[evaluate]]\nsuite = \"perplexity\"\n", "the suite `perplexity` is of a model that is trained here"),
        ("[[evaluate]]\nsuite = \"bank\"\n", "the suite `bank` needs `banks`"),
    ] {
        fs::write(bench.path("case/assize.toml"), format!("{HEAD}{added}")).unwrap();
        let message = bench.refuses("run case");
        assert!(message.contains(expected), "{message}");
    }
    fs::write(bench.path("case/assize.toml"), format!("{HEAD}layers = 3\n")).unwrap();
    assert!(bench.refuses("run case").contains("`layers` is said of a model that stands already"));
    fs::write(bench.path("case/assize.toml"), HEAD.replace("../one", "../nowhere")).unwrap();
    assert!(bench.refuses("run case").contains("the model `../nowhere` does not exist"));
    fs::write(bench.path("case/assize.toml"), HEAD).unwrap();
    let message = bench.refuses("train case");
    assert!(message.contains("nothing of it is trained or compressed"), "{message}");
    assert_eq!(bench.json("plan case --json", 0)["quantities"], json!([]));
    let text = fs::read_to_string(bench.case_file()).unwrap();
    fs::write(bench.case_file(), format!("{text}\n[[evaluate]]\nsuite = \"bank\"\nbanks = [\"assize.toml\"]\n"))
        .unwrap();
    assert!(bench.refuses("run examples/first-case").contains("the suite `bank` asks a model that stands"));
}

#[test]
fn a_folder_with_a_model_gets_a_case_that_runs() {
    let bench = bench();
    bench.ends("init one", 0);
    let text = fs::read_to_string(bench.path("one/assize.toml")).unwrap();
    assert!(text.contains("[model]\npath = \".\"") && !text.contains("[train]"), "{text}");
    // Reported packs hold nothing up, and the files say how large the model is.
    bench.ends("run one", 0);
    let said = fs::read_to_string(bench.path("one/dossier/evidence.json")).unwrap();
    assert!(said.contains("\"model.parameters\""));
    assert_eq!(bench.json("verify one/dossier --json", 0)["ok"], true);
}
