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
    let log = statements(&bench);
    let (_, entry) = log.iter().find(|(kind, _)| kind == "urn:assize:intervention:v0.1").unwrap();
    let said = ["trouble", "answer", "found"].map(|member| entry[member].as_str().unwrap());
    assert_eq!(
        (said, entry["step"].as_u64()),
        (["not-finite", "pause", "the gradient is not a finite number"], Some(1))
    );
    assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
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
