//! `assize evaluate MODEL --tasks`: what is wrong with task files, rows or model, as a person reads it; and what is cut, as it
//! is recorded.

use crate::{Bench, compress::base64};
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
        (
            vec![("quiz.yaml", "include: shared.yaml\ntask: quiz\n")],
            "error: no task, group or tag `quiz`; 1 task files could not be read, the first: tasks/shared.yaml, which \
             tasks/quiz.yaml includes, cannot be read: No such file or directory (os error 2)",
        ),
        (
            vec![("quiz.yaml", "task: quiz\ndoc_to_text: !!python/object/apply:os.system [\"id\"]\n")],
            "error: no task, group or tag `quiz`; 1 task files could not be read, the first: tasks/quiz.yaml:2:14: the tag \
             `tag:yaml.org,2002:python/object/apply:os.system` is not known; no Python is run",
        ),
        (
            vec![("quiz.yaml", "task: quiz\noutput_type: essay\n")],
            "error: task `quiz`: expected `output_type` to be multiple_choice, loglikelihood, loglikelihood_rolling or \
             generate_until, found `essay`",
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
            "error: task `quiz`: ./quiz/test.jsonl:2: `doc_to_text`: the template `{{q}}` cannot be rendered, line 1 (the \
             row has no `q`): undefined value (in <string>:1)",
        ),
        (
            format!("{ROW}{{\"q\": \"x\", \"gold\": 0}}\n"),
            "error: task `quiz`: expected column `options` in ./quiz/test.jsonl:2, found `q`, `gold`",
        ),
        (
            format!("{ROW}{{\"q\": \"x\", \"options\": [\"a\", \"b\"]}}\n"),
            "error: task `quiz`: expected column `gold` in ./quiz/test.jsonl:2, found `q`, `options`",
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

/// A question that is a column, and a row that lacks it: the name of the column is never asked in its place.
#[test]
fn a_row_without_its_question_is_refused_and_not_asked_the_name_of_the_column() {
    let task = QUIZ.replace("\"{{q}}\"", "q");
    let rows = format!("{{\"question\": \"x\", \"options\": [\"a\", \"b\"], \"gold\": 0}}\n{ROW}");
    let expected =
        "error: task `quiz`: expected column `q` in ./quiz/test.jsonl:1, found `question`, `options`, `gold`";
    assert_eq!(bench(&[("quiz.yaml", &task)], &rows).refuses(&format!("{COMMAND} quiz")), expected);
}

#[test]
fn no_items_are_no_evaluation() {
    let said = bench(&[("quiz.yaml", QUIZ)], ROW).refuses(&format!("{COMMAND} quiz --limit 0"));
    assert!(said.contains("invalid value '0' for '--limit <N>': expected a number from 1, found 0"), "{said}");
}

#[test]
fn files_that_disagree_about_the_first_token_are_settled_by_naming_it() {
    let bench = bench(&[("quiz.yaml", QUIZ)], ROW);
    with_model(&bench);
    bench.ends("model model.gguf --write folder", 0);
    let config = bench.path("folder/tokenizer_config.json");
    let mut says: serde_json::Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    let first = says["bos_token"].as_str().unwrap().to_owned();
    says["bos_token"] = "e".into();
    fs::write(&config, says.to_string()).unwrap();
    let command = COMMAND.replace("model.gguf", "folder");
    let said = bench.refuses(&format!("{command} quiz"));
    assert!(said.starts_with("error: `folder/tokenizer_config.json`: `bos_token` is `e`, token "), "{said}");
    assert!(said.ends_with("correct it, or say which token is meant with `--bos`"), "{said}");
    let document = bench.json(&format!("{command} quiz --bos {first}"), 0);
    assert_eq!(document["model"]["bos"], bench.json(&format!("{COMMAND} quiz"), 0)["model"]["bos"]);
    // Every verb that opens the model, and tells of `--bos`, takes it.
    for verb in ["compress folder --quantize q4_0 --out small", "compare folder model.gguf", "check folder"] {
        assert!(bench.refuses(verb).ends_with("say which token is meant with `--bos`"), "{verb}");
        let output = bench.assize(&format!("{verb} --bos {first}"));
        assert!(!String::from_utf8(output.stderr).unwrap().contains("`--bos`"), "{verb}");
    }
    assert!(bench.path("small/weights/model.gguf").exists());
}

#[test]
fn a_name_to_slice_by_that_no_row_has_is_refused_before_anything_is_asked() {
    // There is no model: nothing is asked.
    assert_eq!(
        bench(&[("quiz.yaml", QUIZ)], ROW).refuses(&format!("{COMMAND} quiz --slice part")),
        "error: `--slice part`: not every row has that; the first of task `quiz` has `q`, `options`, `gold`"
    );
}

#[test]
fn every_slice_is_shown_when_slices_are_asked_for() {
    let row = |part: &str| ROW.replace('}', &format!(", \"part\": \"{part}\"}}"));
    let bench = bench(&[("quiz.yaml", QUIZ)], &(row("law") + &row("war") + &row("war")));
    with_model(&bench);
    let said = bench.ends(&format!("{} quiz --slice part", COMMAND.replace(" --json", "")), 0);
    let of = |words: &str| said.lines().filter(|line| line.ends_with(words)).count();
    assert_eq!((of("n 1, few: law"), of("n 2, few: war")), (1, 1), "{said}");
    assert!(said.contains("worst of 2 slices: "), "{said}");
}

#[test]
fn a_mistyped_task_is_told_the_near_one() {
    for name in ["qiuz", "quizz", "quis", "qui"] {
        let said = bench(&[("quiz.yaml", QUIZ)], ROW).refuses(&format!("{COMMAND} {name}"));
        assert_eq!(said, format!("error: no task, group or tag `{name}`; near it are quiz"));
    }
}

/// CrowS-Pairs: the lowest share of stereotypes is not the worst, nor is the highest the best.
#[test]
fn slices_of_a_metric_that_marks_nothing_right_have_no_worst() {
    let bench = bench(&[], ROW);
    with_model(&bench);
    fs::create_dir_all(bench.path("crows-pairs")).unwrap();
    let head = ",sent_more,sent_less,stereo_antistereo,bias_type,annotations,anon_writer,anon_annotators\n";
    let row = |of: &str| format!("0,We the People,We the States,stereo,{of},[],a,[]\n");
    let rows = format!("{head}{}{}", row("age"), row("gender"));
    fs::write(bench.path("crows-pairs/crows_pairs_anonymized.csv"), rows).unwrap();
    let command = "evaluate model.gguf --data . --tasks crows_pairs_english --slice bias_type";
    let document = bench.json(&format!("{command} --json --out figures"), 0);
    let slices = &document["tasks"]["crows_pairs_english"]["slices"];
    assert!(slices["metric"] == "pct_stereotype" && slices.get("worst").is_none(), "{document}");
    let said = bench.ends(command, 0);
    assert!(said.contains("n 1, few: gender") && !said.contains("worst of"), "{said}");
    let envelope: serde_json::Value = serde_json::from_slice(&fs::read(bench.path("figures")).unwrap()).unwrap();
    let signed = String::from_utf8(base64(envelope["payload"].as_str().unwrap())).unwrap();
    assert!(signed.contains("bias.crows_pairs") && !signed.contains("benchmark.worst_slice"), "{signed}");
}
