//! A head that tells classes: languages, of the sections of the declarations that the first case ships with.

use crate::{Bench, budget::statements, repository};
use serde_json::Value;
use std::fs;

/// The rows of the shipped example: a section of a declaration each, with its language.
fn rows(bench: &Bench) -> usize {
    let table = fs::read_to_string(repository().join("examples/classifier/sections.csv")).unwrap();
    fs::write(bench.path("examples/first-case/rows.csv"), &table).unwrap();
    table.lines().count() - 1
}

/// The first case with rows for its data, another model where it is given, and nothing that a head cannot be asked.
fn case(bench: &Bench, model: Option<&str>, train: &str) -> String {
    let text = fs::read_to_string(bench.case_file()).unwrap();
    let (before, rest) = text.split_once("[[data]]").unwrap();
    let (_, rest) = rest.split_once("[model]").unwrap();
    let (own, rest) = rest.split_once("[train]").unwrap();
    let (budget, _) = rest.split_once("[budget]").unwrap().1.split_once("[compress]").unwrap();
    format!(
        "{before}[[data]]\nname = \"sections\"\npath = \"rows.csv\"\nlicence = \"public-domain\"\nsource = \"udhr2.zip\"\ntext = [\"words\"]\n\
         label = \"language\"\n\n[model]\n{}\n[train]\ntokens = 20_480\nbatch = 8\nseed = 7\nheld_out = 0.2\n\
         clip_norm = 1.0\nsnapshot_every = 10\n{train}\n\n[budget]{budget}",
        model.unwrap_or(own)
    )
    .replace(", \"house\"", "")
}

const ADAMW: &str = "optimizer = { name = \"adamw\", learning_rate = 5e-3 }";

fn evaluations(bench: &Bench, suite: &str) -> Value {
    let log = statements(bench);
    let found = log.iter().find(|(kind, entry)| kind == "urn:assize:evaluation:v0.1" && entry["suite"] == suite);
    found.unwrap_or_else(|| panic!("no entry of the suite `{suite}`")).1.clone()
}

fn value(entry: &Value, metric: &str) -> f64 {
    let found = entry["measurements"].as_array().unwrap().iter().find(|found| found["metric"] == metric);
    let number = &found.unwrap_or_else(|| panic!("no `{metric}` in {entry}"))["value"];
    number.as_f64().or_else(|| number.as_str()?.parse().ok()).unwrap()
}

#[test]
fn a_head_is_trained_held_against_texts_and_folded() {
    let bench = Bench::new();
    let n = rows(&bench);
    let train = format!("{ADAMW}\nclassifier = {{ train = \"all\", folds = 3 }}\nprecision = \"bf16\"");
    fs::write(bench.case_file(), case(&bench, None, &train)).unwrap();
    bench.ends("run examples/first-case", 0);
    let weights = bench.dossier().join("weights");
    let config: Value = serde_json::from_slice(&fs::read(weights.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"][0], "LlamaForSequenceClassification");
    assert_eq!((&config["num_labels"], &config["id2label"]["1"]), (&Value::from(5), &Value::from("deu")));
    let tensors = model::weights::load(&weights.join("model.safetensors")).unwrap();
    assert_eq!((tensors["score.weight"].dims(), tensors.len()), (&[5, 32][..], 21));

    let held_out = evaluations(&bench, "classes");
    assert!(value(&held_out, "classify.accuracy") > value(&held_out, "classify.baseline") + 0.2, "{held_out}");
    let matrix: Vec<Vec<u64>> = serde_json::from_value(held_out["confusion"].clone()).unwrap();
    let (all, right): (u64, u64) = (matrix.iter().flatten().sum(), (0..5).map(|at| matrix[at][at]).sum());
    assert!((value(&held_out, "classify.accuracy") - right as f64 / all as f64).abs() < 1e-8);
    assert_eq!(held_out["recalls"].as_array().unwrap().len(), 5);
    let folds = evaluations(&bench, "classes-k-fold");
    let counted: u64 = folds["folds"].as_array().unwrap().iter().map(|fold| fold["n"].as_u64().unwrap()).sum();
    assert_eq!(counted + all, n as u64, "each text is held out once, by the split or by a fold");
    let log = statements(&bench);
    let (_, run) = log.iter().find(|(kind, _)| kind == "urn:assize:training-run:v0.1").unwrap();
    assert_eq!((&run["config"]["train"]["precision"], &run["config"]["head"]["classes"]), (&"bf16".into(), &5.into()));
    assert!(value(run, "train.compute_disagreement") < 0.2, "{run}");
    assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
    // What stands is not done again.
    let before = statements(&bench).len();
    bench.ends("evaluate examples/first-case", 0);
    let again = statements(&bench);
    assert!(again[before..].iter().all(|(kind, _)| kind != "urn:assize:evaluation:v0.1"));
}

#[test]
fn a_head_stands_alone_or_with_adapters_on_a_model_that_is_loaded() {
    let bench = Bench::new();
    bench.ends("train examples/first-case", 0);
    let base = bench.path("examples/base");
    fs::create_dir(&base).unwrap();
    for file in ["model.safetensors", "config.json", "tokenizer.json"] {
        fs::copy(bench.dossier().join("weights").join(file), base.join(file)).unwrap();
    }
    let first = model::weights::load(&base.join("model.safetensors")).unwrap();
    rows(&bench);
    let held = fs::read_to_string(bench.case_file()).unwrap();
    let put = |model: &str, train: &str| {
        fs::write(bench.case_file(), &held).unwrap();
        fs::write(bench.case_file(), case(&bench, Some(model), train)).unwrap();
    };
    let beside = "base = \"../base\"\ncontext = 32\nadapters = { rank = 2 }\n";
    for (model, part, n_changed) in [("base = \"../base\"\ncontext = 32\n", "head", 0), (beside, "all", 4)] {
        let train = format!("{ADAMW}\nclassifier = {{ train = \"{part}\" }}");
        put(model, &train);
        let _ = fs::remove_dir_all(bench.dossier());
        bench.ends("run examples/first-case", 0);
        let tensors = model::weights::load(&bench.dossier().join("weights/model.safetensors")).unwrap();
        let entries = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let changed = first.iter().filter(|(name, tensor)| entries(&tensors[*name]) != entries(tensor)).count();
        assert_eq!((changed, tensors.len()), (n_changed, 21), "{part}");
        let held_out = evaluations(&bench, "classes");
        assert!(value(&held_out, "classify.accuracy") >= value(&held_out, "classify.baseline"), "{part}: {held_out}");
        assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
    }
    let train = format!("{ADAMW}\nclassifier = {{ train = \"head\" }}");
    put(beside, &train);
    let said = bench.refuses("train examples/first-case");
    assert!(said.contains("adapters are trained beside a head, not held below it"), "{said}");
}

#[test]
fn rows_that_do_not_fit_are_told() {
    let bench = Bench::new();
    let train = format!("{ADAMW}\nclassifier = {{ }}");
    let with = |table: &str, from: &str, to: &str| {
        fs::write(bench.path("examples/first-case/rows.csv"), table).unwrap();
        let text = case(&bench, None, &train);
        let held = fs::read_to_string(bench.case_file()).unwrap();
        fs::write(bench.case_file(), text.replace(from, to)).unwrap();
        let said = bench.refuses("train examples/first-case");
        fs::write(bench.case_file(), held).unwrap();
        said
    };
    let said = with("words,language\na,x\nb,x\n", "", "");
    assert!(said.contains("expected at least two classes in the rows, found `x` alone"), "{said}");
    let said = with("words,language\na,x\nb,y\n", "\"words\"", "\"text\"");
    assert!(said.contains("rows.csv, row 1: no column `text`"), "{said}");
    let said = with("words,language\na,x\n,y\n", "", "");
    assert!(said.contains("rows.csv, row 2: there is no text to read"), "{said}");
    let said = with("words,language\na,x\nb,y\n", "[budget]", "[[evaluate]]\nsuite = \"perplexity\"\n\n[budget]");
    assert!(said.contains("a head that tells classes is evaluated by the classes it tells"), "{said}");
}
