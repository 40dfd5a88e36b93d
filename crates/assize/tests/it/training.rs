//! What a case may say of training: optimisers, early stopping, trouble, a base that is trained further.

use crate::{Bench, budget::statements};
use evidence::Digest;
use std::fs;

const ADAMW: &str = "optimizer = { name = \"adamw\", learning_rate = 5e-3, weight_decay = 0.1 }";

#[test]
fn trouble_is_an_entry_with_the_answer_of_the_case() {
    let bench = Bench::new();
    // A penalty that f32 cannot hold: the first gradient is no number.
    bench.edit("clip_norm = 1.0", "clip_norm = 1.0\npenalty = { l2 = 4e38 }\non_trouble = { not-finite = \"pause\" }");
    let said = String::from_utf8(bench.assize("train examples/first-case").stderr).unwrap();
    assert!(said.contains("stopped: paused at step 1: the gradient is not a finite number"), "{said}");
    assert!(said.contains("step 1 cannot be taken as it is: give `not-finite = \"roll-back\"`"), "{said}");
    let log = statements(&bench);
    let (_, entry) = log.iter().find(|(kind, _)| kind == "urn:assize:intervention:v0.1").unwrap();
    let said = ["trouble", "answer", "found"].map(|member| entry[member].as_str().unwrap());
    assert_eq!(
        (said, entry["step"].as_u64()),
        (["not-finite", "pause", "the gradient is not a finite number"], Some(1))
    );
    assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
}

/// Steps far too long: the mean loss rises by a nat, and once a loss lies far above the others.
fn diverging(answer: &str) -> Bench {
    let bench = Bench::new();
    let trouble = format!("on_trouble = {{ divergence = \"{answer}\", spike = \"{answer}\" }}");
    bench.edit(ADAMW, &format!("optimizer = {{ name = \"lion\", learning_rate = 30.0 }}\n{trouble}"));
    bench.edit("batch = 8", "batch = 4");
    bench.edit("seed = 7", "seed = 8");
    bench
}

/// What it says, after the exit code.
fn said(bench: &Bench, words: &str, code: i32) -> (String, String) {
    let output = bench.assize(words);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}

/// Of each trouble the step and what was done.
fn answers(bench: &Bench) -> Vec<(u64, String)> {
    let log = statements(bench);
    let of = log.iter().filter(|(kind, _)| kind == "urn:assize:intervention:v0.1");
    of.map(|(_, p)| (p["step"].as_u64().unwrap(), p["answer"].as_str().unwrap().to_owned())).collect()
}

const TRAIN: &str = "train examples/first-case";
const RESUME: &str = "train examples/first-case --resume";

#[test]
fn a_pause_is_gone_past_by_a_person_alone() {
    let straight = diverging("continue");
    straight.ends(TRAIN, 0);
    let steps: Vec<u64> = answers(&straight).into_iter().map(|(step, _)| step).collect();
    let first = *steps.first().unwrap();

    let bench = diverging("pause");
    let (out, err) = said(&bench, TRAIN, 1);
    let stopped = format!("stopped: paused at step {first}: the mean loss has risen to ");
    let hint = format!("`assize train examples/first-case --resume` takes step {first} as it is and goes on; ");
    assert!(err.contains(&stopped) && err.contains(&hint) && !err.contains("budget to go on"), "{err}");
    let last = out.lines().find(|line| line.starts_with("stopped as of ")).unwrap();
    assert!(!last.trim_end().ends_with(':'), "{last}");
    // Nobody has looked at it: the same again.
    assert!(said(&bench, TRAIN, 1).1.contains(&stopped));
    let mut n_resumed = 0;
    while !bench.dossier().join("weights/model.safetensors").exists() {
        n_resumed += 1;
        assert!(n_resumed <= steps.len(), "as often as there is trouble: {steps:?}");
        said(&bench, RESUME, i32::from(n_resumed < steps.len()));
    }
    assert_eq!((n_resumed, bench.weights()), (steps.len(), straight.weights()));
    let passed = |answer: &str| -> Vec<u64> {
        let of = answers(&bench).into_iter().filter(|(_, given)| given == answer);
        of.map(|(step, _)| step).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    };
    assert_eq!((passed("pause"), passed("continue")), (steps.clone(), steps));
    let log = statements(&bench);
    let resumed =
        log.iter().find(|(kind, p)| kind == "urn:assize:resume:v0.1" && p["reason"] == "after-pause").unwrap();
    assert_eq!(resumed.1["pause"], serde_json::json!({"step": first, "trouble": "divergence"}));
    assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
}

/// The trainings of folds are paused and taken up like any other, each for itself, and give the figures of folds that nothing held up.
#[test]
fn a_pause_inside_a_fold_is_gone_past_as_well() {
    const EVALUATE: &str = "evaluate examples/first-case";
    let folded = |bench: &Bench| {
        let log = if bench.dossier().exists() { statements(bench) } else { Vec::new() };
        let found = log.iter().find(|(kind, p)| kind == "urn:assize:evaluation:v0.1" && p["suite"] == "k-fold");
        found.map(|(_, p)| p["folds"].clone())
    };
    // As long as leaves a perplexity that is a number.
    let diverging = |answer: &str| {
        let bench = diverging(answer);
        bench.edit("learning_rate = 30.0", "learning_rate = 1.0");
        bench
    };
    let straight = diverging("continue");
    straight.assize(EVALUATE);
    let expected = folded(&straight).unwrap();

    let bench = diverging("pause");
    let (mut n_resumed, mut hints) = (0, Vec::new());
    while folded(&bench).is_none() {
        let output = bench.assize(EVALUATE);
        if folded(&bench).is_some() {
            break;
        }
        hints.push(String::from_utf8(output.stderr).unwrap());
        n_resumed += 1;
        assert!(n_resumed <= 40, "{}", hints.last().unwrap());
        bench.assize(RESUME);
    }
    assert_eq!(folded(&bench).unwrap(), expected);
    let hint = "`assize train examples/first-case --resume` and then `assize run examples/first-case` takes step ";
    assert!(hints.iter().any(|said| said.contains(hint)), "{hints:#?}");
    let log = statements(&bench);
    let of_folds = |answer: &str| {
        let is_it = |(kind, p): &&(String, serde_json::Value)| {
            kind == "urn:assize:intervention:v0.1" && p["fold"].is_u64() && p["answer"] == answer
        };
        let of = log.iter().filter(is_it).map(|(_, p)| (p["fold"].as_u64(), p["step"].as_u64()));
        of.collect::<std::collections::BTreeSet<_>>()
    };
    assert!(!of_folds("pause").is_empty());
    assert_eq!(of_folds("pause"), of_folds("continue"));
    assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
}

#[test]
fn the_answer_to_trouble_may_be_changed_at_a_pause_or_stop() {
    let straight = diverging("continue");
    straight.ends(TRAIN, 0);
    for (answer, hint) in [
        ("pause", "`on_trouble` of the case may be changed before, for another answer"),
        (
            "stop",
            "change `on_trouble` of the case, and `assize train examples/first-case --resume` goes on from the last snapshot",
        ),
    ] {
        let bench = diverging(answer);
        let (_, err) = said(&bench, TRAIN, 1);
        assert!(err.contains(hint) && !err.contains("budget to go on"), "{err}");
        bench.edit(&format!("\"{answer}\""), "\"continue\"");
        said(&bench, RESUME, 0);
        assert_eq!(bench.weights(), straight.weights());
        // Weights that stand are not made anew, and that is said.
        bench.edit("\"continue\"", "\"roll-back\"");
        let (_, err) = said(&bench, TRAIN, 0);
        let note =
            "the trained weights stand: divergence was answered with `continue`, where the case now says `roll-back`";
        assert!(err.contains(note), "{err}");
        assert_eq!(bench.weights(), straight.weights());
    }
}

#[test]
fn a_raised_budget_is_the_remedy_of_a_budget_alone() {
    let bench = Bench::new();
    bench.edit("compute_flop = 1e12", "compute_flop = 1e9");
    let (_, err) = said(&bench, TRAIN, 1);
    assert!(err.contains("run again with a raised budget to go on from the last snapshot"), "{err}");
}

#[test]
fn a_case_trains_by_any_optimizer_and_stops_early() {
    let bench = Bench::new();
    bench.edit(
        ADAMW,
        "optimizer = { name = \"muon\", learning_rate = 5e-3, weight_decay = 0.1 }\naccumulate = 2\ndropout = 0.1\n\
         label_smoothing = 0.05\nschedule = { name = \"warmup-stable-decay\", warmup = 0.1, decay = 0.3 }\n\
         early_stop = { every = 5, patience = 2 }\npenalty = { l1 = 1e-7, channels = 1e-6 }",
    );
    bench.ends("train examples/first-case", 0);
    let log = statements(&bench);
    let (_, run) = log.iter().find(|(kind, _)| kind == "urn:assize:training-run:v0.1").unwrap();
    assert_eq!(run["config"]["train"]["optimizer"], "muon");
    assert_eq!(run["config"]["train"]["schedule"]["decay"], "warmup-stable-decay");
    assert!(run["looks"].as_array().unwrap().len() >= 2, "{}", run["looks"]);
    assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
}

#[test]
fn a_base_is_trained_further_under_a_case() {
    let bench = Bench::new();
    let base = bench.with_base();
    let held = Digest::of(&fs::read(base.join("model.safetensors")).unwrap());
    bench.ends("train examples/tuned", 0);
    let weights = bench.path("examples/tuned/dossier/weights");
    for file in ["adapter_model.safetensors", "adapter_config.json", "tokenizer.json"] {
        assert!(weights.join(file).is_file(), "{file}");
    }
    assert!(!weights.join("model.safetensors").exists());
    assert_eq!(Digest::of(&fs::read(base.join("model.safetensors")).unwrap()), held, "the base is untouched");
    assert_eq!(bench.json("verify examples/tuned/dossier --json", 0)["ok"], true);
    // Taken up again where it ended.
    bench.ends("evaluate examples/tuned", 0);
    assert_eq!(bench.json("verify examples/tuned/dossier --json", 0)["ok"], true);
}

#[test]
fn a_base_that_does_not_fit_is_refused() {
    let bench = Bench::new();
    let text = fs::read_to_string(bench.case_file()).unwrap();
    let (before, rest) = text.split_once("[model]").unwrap();
    let (_, train) = rest.split_once("[train]").unwrap();
    let write = |model: &str| {
        fs::write(bench.case_file(), format!("{before}[model]\n{model}\n[train]{train}")).unwrap();
        bench.refuses("train examples/first-case")
    };
    let said = write("base = \"../nowhere\"\ncontext = 32");
    assert!(said.contains("the model `../nowhere` does not exist"), "{said}");
    let said = write("base = \"../speech-writer\"\ncontext = 32\nlayers = 2");
    assert!(said.contains("`layers` is said of a model that stands already"), "{said}");
    let said = write("context = 32\nadapters = { rank = 2 }");
    assert!(said.contains("`adapters` stand beside a model that is held"), "{said}");
}
