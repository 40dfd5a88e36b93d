//! `assize evaluate --resume`: what was killed goes on where it was, to the same bytes.

use crate::{
    Bench,
    evaluate::{ASK, bench},
};
use serde_json::json;
use std::{fs, process::Stdio, time::Duration};

const RESUME: &str = "--resume answers --samples samples.jsonl";

/// So many items that a call of the model is not all of them.
fn many(bench: &Bench) {
    let row = |at: usize| json!({"q": format!("which word is number {at} of {}", at * 31 % 997), "options": ["one", "two", "three"], "gold": at % 3, "passage": "p", "kind": "k"});
    let rows: String = (0..1500).map(|at| format!("{}\n", row(at))).collect();
    fs::write(bench.path("sets/quiz/test.jsonl"), rows).unwrap();
}

#[test]
fn a_killed_evaluation_goes_on_to_the_same_figures() {
    let bench = bench();
    many(&bench);
    let whole = bench.ends(&format!("evaluate one {ASK} --samples whole.jsonl"), 0);
    let killed = |bytes: u64| {
        let mut command = bench.command(&format!("evaluate one {ASK} {RESUME}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while fs::metadata(bench.path("answers")).map_or(0, |data| data.len()) < bytes {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        fs::metadata(bench.path("answers")).unwrap().len()
    };
    let first = killed(2_000);
    let second = killed(first + 50_000);
    let output = bench.assize(&format!("evaluate one {ASK} {RESUME}"));
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && out == whole, "{err}");
    assert!(err.contains("answers stand in answers and are not asked again"), "{err}");
    assert_eq!(fs::read(bench.path("samples.jsonl")).unwrap(), fs::read(bench.path("whole.jsonl")).unwrap());
    let third = fs::metadata(bench.path("answers")).unwrap().len();
    assert!(first < second && second < third, "{first} {second} {third}");
    // Finished, it asks nothing; with fewer items only what was never asked so.
    assert_eq!(bench.ends(&format!("evaluate one {ASK} {RESUME}"), 0), whole);
    assert_eq!(fs::metadata(bench.path("answers")).unwrap().len(), third);
}

#[test]
fn the_answers_of_another_model_are_refused_and_kept() {
    let bench = bench();
    bench.ends(&format!("evaluate one {ASK} --limit 4 {RESUME} --against two"), 0);
    let before = fs::read(bench.path("answers")).unwrap();
    let message = bench.refuses(&format!("evaluate two {ASK} --limit 4 {RESUME}"));
    assert!(message.starts_with("error: `--resume`: answers holds the answers of another model, `"), "{message}");
    assert!(message.ends_with("; name another file, or remove it"), "{message}");
    assert_eq!(fs::read(bench.path("answers")).unwrap(), before);
    // The other model's stand in a file of their own.
    bench.ends(&format!("evaluate two {ASK} --limit 4 --resume answers.against"), 0);
    let message = bench.refuses(&format!("evaluate one {ASK} --limit 4 --resume quiz.yaml"));
    assert!(message.contains("holds something else than answers and is left as it is"), "{message}");
}

#[test]
fn a_bank_is_not_asked_twice() {
    let bench = bench();
    let question = |at: usize| json!({"question": format!("which {at}"), "expect": if at.is_multiple_of(2) { "answer" } else { "refuse" }, "subject": "age"});
    fs::write(bench.path("bank.jsonl"), (0..6).map(|at| format!("{}\n", question(at))).collect::<String>()).unwrap();
    let ask = "evaluate one --bank bank.jsonl --bare --answer-tokens 12 --json";
    let whole = bench.ends(ask, 0);
    bench.ends(&format!("{ask} --limit 3 --resume answers"), 0);
    let held = fs::read_to_string(bench.path("answers")).unwrap();
    assert_eq!(bench.ends(&format!("{ask} --resume answers"), 0), whole);
    let all = fs::read_to_string(bench.path("answers")).unwrap();
    assert!(all.starts_with(&held) && all.len() > held.len());
    let keys: Vec<&str> = all.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(keys.len(), keys.iter().collect::<std::collections::BTreeSet<_>>().len());
}
