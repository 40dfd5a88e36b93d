//! `assize evaluate MODEL --tasks`: what is wrong with task files, rows or model, as a person reads it; and what is cut, as it
//! is recorded.

use crate::Bench;
use std::fs;

pub(crate) const QUIZ: &str = "task: quiz\ndataset_path: quiz\noutput_type: multiple_choice\ntest_split: test\n\
    doc_to_text: \"{{q}}\"\ndoc_to_target: gold\ndoc_to_choice: options\n";
const ROW: &str = "{\"q\": \"We the\", \"options\": [\"People\", \"States\"], \"gold\": 0}\n";

/// A bench with a folder `tasks` of these files, a folder `quiz` of rows, and a tiny model in `model`.
fn bench(files: &[(&str, &str)], rows: &str) -> Bench {
    let bench = Bench::new();
    for (name, text) in files {
        let path = bench.path("tasks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(bench.path("quiz")).unwrap();
    fs::write(bench.path("quiz/test.jsonl"), rows).unwrap();
    bench
}

/// A model of 16 positions that says nothing sensible.
fn with_model(bench: &Bench) {
    let text = "We the People of the United States, in Order to form a more perfect Union";
    let tokenizer = model::Tokenizer::train(&[text, text], 280).unwrap();
    let config = model::Config {
        vocab: tokenizer.vocab_size(),
        layers: 1,
        width: 32,
        heads: 2,
        kv_heads: 1,
        hidden: 32,
        context: 16,
        rope_theta: 1e4,
        norm_eps: 1e-5,
    };
    let llama = model::Llama::init(&config, 1).unwrap();
    model::gguf::write(&bench.path("model.gguf"), &config, &tokenizer, &llama.tensors()).unwrap();
}

const COMMAND: &str = "evaluate model.gguf --task-dir tasks --data . --json --tasks";

#[test]
fn task_files_that_cannot_be_used_are_named() {
    let python = QUIZ.replace("\"{{q}}\"", "!function utils.build");
    for (files, expected) in [
        (
            vec![("a.yaml", "include: b.yaml\ntask: quiz\n"), ("b.yaml", "include: a.yaml\n")],
            "error: no task, group or tag `quiz`; 2 task files could not be read, the first: tasks/a.yaml includes itself, by way \
             of tasks/a.yaml → tasks/b.yaml",
        ),
        (
            vec![("own/quiz.yaml", python.as_str())],
            "error: task `quiz`: `doc_to_text` calls the Python function `utils.build` of `own`, which has no native counterpart; \
             no Python is run",
        ),
        (
            vec![("quiz.yaml", "task: quiz\ndoc_to_text: [\n")],
            "error: no task, group or tag `quiz`; 1 task files could not be read, the first: tasks/quiz.yaml:3:1: while parsing a \
             node, did not find expected node content",
        ),
    ] {
        assert_eq!(bench(&files, ROW).refuses(&format!("{COMMAND} quiz")), expected);
    }
}

#[test]
fn rows_that_do_not_fit_their_task_are_named_with_their_line() {
    for (rows, expected) in [
        (
            format!("{ROW}{{\"question\": \"x\", \"options\": [\"a\", \"b\"], \"gold\": 0}}\n"),
            "error: task `quiz`: ./quiz/test.jsonl:2: `doc_to_text`: the template `{{q}}` cannot be rendered, line 1: undefined \
             value (in <string>:1)",
        ),
        (
            format!("{ROW}{{\"q\": \"x\", \"options\": [\"a\", \"b\"], \"gold\": 2}}\n"),
            "error: task `quiz`: ./quiz/test.jsonl:2: expected a right answer among 2 choices, found 2",
        ),
        (
            format!("{ROW}{{\"q\": \n"),
            "error: task `quiz`: ./quiz/test.jsonl:2 is not JSON: EOF while parsing a value at line 1 column 6",
        ),
    ] {
        assert_eq!(bench(&[("quiz.yaml", QUIZ)], &rows).refuses(&format!("{COMMAND} quiz")), expected);
    }
}

#[test]
fn what_is_longer_than_the_models_context_is_cut_and_recorded_or_refused() {
    let rows = ROW.replace("We the", &"We the People ".repeat(9)) + ROW;
    let bench_ = bench(&[("quiz.yaml", QUIZ)], &rows);
    with_model(&bench_);
    let document = bench_.json(&format!("{COMMAND} quiz"), 0);
    assert_eq!(document["tasks"]["quiz"]["truncatedItems"], 1);
    assert!(document["tasks"]["quiz"]["truncatedTokens"].as_u64().unwrap() > 10, "{document}");
    let rows = ROW.replace("States", &"xyz".repeat(20));
    let bench_ = bench(&[("quiz.yaml", QUIZ)], &rows);
    with_model(&bench_);
    assert_eq!(
        bench_.refuses(&format!("{COMMAND} quiz")),
        "error: task `quiz`, item 0: expected a continuation of at most 16 tokens, the model's context, found 61"
    );
}
