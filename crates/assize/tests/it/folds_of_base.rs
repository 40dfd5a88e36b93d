//! Folds of a model that is trained further: each the same bits as a training by hand, whoever else goes on beside it.

use crate::{Bench, budget::statements_of};
use dataset::{Source, Unit};
use evidence::{Control, DIGITS_MEASURED, Decimal, Round};
use model::{Specials, chat::Turn};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

const TEMPLATE: &str = "{% for message in messages %}{{ message.role[0] }}: {{ message.content }}\n{% endfor %}\
                        {% if add_generation_prompt %}a: {% endif %}";

/// Sums with their answers, some of which stand there twice.
fn sums(n: usize) -> String {
    let sum = |at: usize| format!("Q: {} + {at}\nA: {}\n", at % 7, at % 7 + at);
    (0..n).chain([3, 5]).map(sum).collect::<Vec<_>>().join("\n")
}

/// A case that trains a small base further on conversations, and folds the same.
fn bench(texts: &str, model: &str, folds: &str) -> Bench {
    let bench = Bench::new();
    let base = bench.with_base();
    fs::write(base.join("chat_template.jinja"), TEMPLATE).unwrap();
    fs::write(bench.path("examples/tuned/sums.txt"), texts).unwrap();
    write(&bench, model, "", folds);
    bench
}

fn write(bench: &Bench, model: &str, train: &str, folds: &str) {
    let text = format!(
        "[system]\nname = \"tuned\"\nrole = \"modifier\"\n[policy]\nas_of = 2026-11-24\npacks = []\n\
         [[data]]\nname = \"sums\"\npath = \"sums.txt\"\nlicence = \"MIT\"\nsource = \"made here\"\nsplit = \"section\"\n\
         [model]\nbase = \"../base\"\ncontext = 32\n{model}\n\
         [train]\ntokens = 1_280\nbatch = 4\nseed = 7\nheld_out = 0.1\nsnapshot_every = 3\n\
         optimizer = {{ name = \"adamw\", learning_rate = 5e-3 }}\nchat = {{ user = \"Q:\", assistant = \"A:\" }}\n{train}\n\
         [budget]\ncompute_flop = 1e13\n[[evaluate]]\nsuite = \"perplexity\"\n[[evaluate]]\nsuite = \"k-fold\"\n{folds}\n"
    );
    fs::write(bench.path("examples/tuned/assize.toml"), text).unwrap();
}

const BESIDE: &str = "adapters = { rank = 2, targets = [\"q_proj\", \"down_proj\"] }";

fn dossier(bench: &Bench) -> PathBuf {
    bench.path("examples/tuned/dossier")
}

fn evaluated(bench: &Bench, threads: &str, code: i32) {
    let mut command = bench.command("evaluate examples/tuned");
    let output = command.env("RAYON_NUM_THREADS", threads).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
}

fn entry(bench: &Bench, kind: &str, suite: Option<&str>) -> Option<Value> {
    let is_it = |(of, entry): &&(String, Value)| of == kind && suite.is_none_or(|suite| entry["suite"] == suite);
    statements_of(&dossier(bench)).iter().find(is_it).map(|(_, entry)| entry.clone())
}

fn folded(bench: &Bench) -> Value {
    entry(bench, "urn:assize:evaluation:v0.1", Some("k-fold")).unwrap()
}

/// Files of the finished folds, in order, as far as they are there.
fn files(bench: &Bench) -> Vec<PathBuf> {
    let runs = fs::read_dir(dossier(bench).join(".work")).into_iter().flatten().flatten();
    let all = runs.flat_map(|run| (0..9).map(move |fold| run.path().join(format!("fold-{fold}.json"))));
    all.filter(|file| file.exists()).collect()
}

/// A fold by hand: its loss after and before, and what counts of it.
type Fold = (f64, f64, u64);

/// The folds by the crates alone.
fn by_hand(folder: &Path, base: &Path, has_adapters: bool, k: usize, steps: u64) -> Vec<Fold> {
    let (name, path) = ("sums".to_owned(), PathBuf::from("sums.txt"));
    let source = Source { name, path, licence: None, source: None, generated: None, split: Unit::BlankLineSection };
    let config = dataset::Config { root: folder.to_owned(), sources: vec![source], held_out: 0.1, seed: 7 };
    let corpus = dataset::read(&config).unwrap();
    let train = dataset::split(&corpus, 0.1, 7).unwrap().train;
    let base = model::trainable(base).unwrap();
    let packed = |documents: &[usize]| {
        let example = |&document: &usize| {
            let (question, answer) = corpus.documents[document].text.trim().split_once('\n').unwrap();
            let turn = |role: &str, text: &str| Turn { role: role.to_owned(), content: text[2..].trim().to_owned() };
            let turns = [turn("user", question), turn("assistant", answer)];
            let (tokens, weights) = model::chat::tokens(&base.tokenizer, &turns).unwrap();
            // What counts is the answer.
            let said: f32 = weights.iter().sum();
            let number = base.tokenizer.encode(answer[2..].trim(), Specials::None).unwrap();
            assert_eq!(said, number.len() as f32, "{answer}");
            train::Example { tokens, weights }
        };
        train::Corpus::packed(&documents.iter().map(example).collect::<Vec<_>>(), 32).unwrap()
    };
    let mut optimizer = train::Optimizer::from_name("adamw").unwrap();
    optimizer.set("weight_decay", 0.0);
    let new = train::Config::new(7, steps, 4, 32);
    let mut config = train::Config { optimizer, learning_rate: 5e-3, clip_norm: None, ..new };
    config.schedule = train::Schedule {
        decay: train::Decay::Cosine,
        warmup_steps: (0.05 * steps as f64).round() as u64,
        min_ratio: 0.1,
        decay_steps: 0,
    };
    let loss = |model: &model::Llama, part: &[usize]| {
        train::mean_loss(model, &packed(part), (32, 16), &mut |_| Control::Continue).unwrap().unwrap()
    };
    let one = |part: &Vec<usize>| {
        let rest: Vec<usize> = train.iter().copied().filter(|document| !part.contains(document)).collect();
        let first = if has_adapters {
            let targets = vec!["q_proj".to_owned(), "down_proj".to_owned()];
            base.model.with_adapters(&model::Adapters { rank: 2, alpha: 4.0, targets }, 7).unwrap()
        } else {
            base.model.merged().unwrap()
        };
        let outcome = train::run(&config, first, &packed(&rest), None, &mut |_| Control::Continue).unwrap();
        let train::Outcome::Finished(trained) = outcome else { panic!("it stopped") };
        let (after, before) = (loss(&trained.model, part), loss(&base.model, part));
        (after.loss_nats, before.loss_nats, after.weight as u64)
    };
    dataset::folds(&corpus, &train, k, 7).unwrap().iter().map(one).collect()
}

#[test]
fn folds_of_a_base_are_those_of_trainings_by_hand() {
    for (model, suite, steps) in [(BESIDE, "folds = 3", 10), ("", "folds = 3\ntokens = 640", 5)] {
        let bench = bench(&sums(24), model, suite);
        let held = fs::read(bench.path("examples/base/model.safetensors")).unwrap();
        evaluated(&bench, "3", 0);
        let base = bench.path("examples/base");
        let expected = by_hand(&bench.path("examples/tuned"), &base, !model.is_empty(), 3, steps);
        let rows = folded(&bench)["folds"].clone();
        let found: Vec<[Value; 3]> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|fold| ["loss", "lossBefore", "nTokens"].map(|member| fold[member].clone()))
            .collect();
        let rounded = |loss: f64| json!(Decimal::from_f64(loss, DIGITS_MEASURED, Round::Nearest).unwrap().to_string());
        let expected: Vec<[Value; 3]> =
            expected.iter().map(|(after, before, n)| [rounded(*after), rounded(*before), json!(n)]).collect();
        assert_eq!(found, expected, "{model}");
        assert_eq!(fs::read(base.join("model.safetensors")).unwrap(), held, "the base is untouched");
        // One thread, one fold after another: the same.
        let alone = self::bench(&sums(24), model, suite);
        evaluated(&alone, "1", 0);
        assert_eq!(folded(&alone)["folds"], rows, "{model}");

        let entry = folded(&bench);
        let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap();
        let measured = |metric: &str| {
            let found = entry["measurements"].as_array().unwrap().iter().find(|found| found["metric"] == metric);
            found.unwrap_or_else(|| panic!("no {metric} in {entry}")).clone()
        };
        let rows = entry["folds"].as_array().unwrap();
        let mean = |name: &str| rows.iter().map(|row| number(&row[name])).sum::<f64>() / 3.0;
        let change = number(&measured("kfold.loss_change")["value"]);
        assert!((change - (mean("loss") - mean("lossBefore"))).abs() < 1e-6 && change < 0.0, "{entry}");
        assert!((number(&measured("kfold.loss")["value"]) - mean("loss")).abs() < 1e-6, "{entry}");
        assert!((number(&measured("kfold.perplexity")["value"]) - mean("loss").exp()).abs() < 1e-4, "{entry}");
        assert_eq!(measured("kfold.loss")["intervalMethod"], "corrected-resampled-t");
        let n_documents: u64 = rows.iter().map(|row| row["nDocuments"].as_u64().unwrap()).sum();
        let page = fs::read_to_string(dossier(&bench).join("index.html")).unwrap();
        assert!(page.contains("Loss before") && page.contains("kfold.loss_change"));
        assert!((22..26).contains(&n_documents), "{entry}");
        assert_eq!(bench.json("verify examples/tuned/dossier --json", 0)["ok"], true);
    }
}

#[test]
fn killed_folds_of_a_base_go_on_to_the_same_bits() {
    let suite = "folds = 3\ntokens = 40_000";
    let straight = bench(&sums(24), BESIDE, suite);
    evaluated(&straight, "2", 0);
    let killed = bench(&sums(24), BESIDE, suite);
    let mut command = killed.command("evaluate examples/tuned");
    command.env("RAYON_NUM_THREADS", "1").stdout(Stdio::null()).stderr(Stdio::null());
    let (mut child, begun) = (command.spawn().unwrap(), Instant::now());
    while files(&killed).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no fold was finished in two minutes");
        assert!(child.try_wait().unwrap().is_none(), "the run has ended already");
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!dossier(&killed).join("index.html").exists(), "the kill came too late");
    // What is kept of it has the bits of a training by hand.
    let bits = |loss: f64| json!(format!("{:016x}", loss.to_bits()));
    let by_hand = by_hand(&killed.path("examples/tuned"), &killed.path("examples/base"), true, 3, 313);
    let (after, before, n) = by_hand[0];
    let fold: Value = serde_json::from_str(&fs::read_to_string(&files(&killed)[0]).unwrap()).unwrap();
    let found = ["lossBits", "beforeBits", "nTokens"].map(|member| fold["fold"][member].clone());
    assert_eq!(found, [bits(after), bits(before), json!(n)]);
    evaluated(&killed, "2", 0);
    assert_eq!(folded(&killed)["folds"], folded(&straight)["folds"]);
}

#[test]
fn trouble_and_budget_of_a_fold_are_those_of_the_case() {
    // Rates rise until the loss does; the training itself is too short for anybody to see it.
    let bench = bench(&sums(24), "", "folds = 3");
    let train =
        "schedule = { name = \"linear\", warmup = 1.0 }\non_trouble = { spike = \"stop\", divergence = \"stop\" }";
    write(&bench, "", train, "folds = 3\ntokens = 64_000");
    let text = fs::read_to_string(bench.path("examples/tuned/assize.toml")).unwrap();
    fs::write(bench.path("examples/tuned/assize.toml"), text.replace("5e-3", "0.5")).unwrap();
    evaluated(&bench, "1", 1);
    let trouble = entry(&bench, "urn:assize:intervention:v0.1", None).unwrap();
    assert_eq!((&trouble["fold"], &trouble["answer"]), (&json!(1), &json!("stop")), "{trouble}");
    let stop = entry(&bench, "urn:assize:stop:v0.1", None).unwrap();
    assert!(stop["reason"].as_str().unwrap().starts_with("fold 1: stopped at step "), "{stop}");

    let bench = self::bench(&sums(24), BESIDE, "folds = 3");
    let text = fs::read_to_string(bench.path("examples/tuned/assize.toml")).unwrap();
    let whole = 1e13;
    let straight = self::bench(&sums(24), BESIDE, "folds = 3");
    evaluated(&straight, "2", 0);
    let spent: f64 = folded(&straight)["spent"][0].as_str().unwrap().parse().unwrap();
    let less = text.replace("1e13", &format!("{:e}", spent - 1e6));
    assert!(less != text && spent < whole);
    fs::write(bench.path("examples/tuned/assize.toml"), less).unwrap();
    evaluated(&bench, "2", 1);
    let stop = entry(&bench, "urn:assize:stop:v0.1", None).unwrap();
    assert!(stop["reason"].as_str().unwrap().contains("the compute budget of"), "{stop}");
    fs::write(bench.path("examples/tuned/assize.toml"), text).unwrap();
    evaluated(&bench, "2", 0);
    assert_eq!(folded(&bench)["folds"], folded(&straight)["folds"]);
}

#[test]
fn folds_that_cannot_be_dealt_are_told_of_before_anything_is_trained() {
    let many = "expected between 2 folds and as many as distinct documents, ";
    let long = "Q: 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1\nA: 19\n";
    let same =
        format!("{}{}", "Q: 1 + 1\nA: 2\n\n".repeat(9), sums(2).split("\n\n").take(2).collect::<Vec<_>>().join("\n\n"));
    let cut: String =
        sums(8).split("\n\n").take(8).chain([long, &long.replace("1\nA", "2\nA")]).collect::<Vec<_>>().join("\n\n");
    for (texts, suite, expected) in [
        (sums(24), "folds = 40", many),
        // Ten equal rows are one.
        (same, "folds = 3", many),
        // What stands beyond the window is not learned, so that nothing counts in the fold of a long question alone.
        (cut, "folds = 9", "holds out 1 documents; take fewer folds"),
    ] {
        let bench = bench(&texts, BESIDE, suite);
        let said = bench.refuses("evaluate examples/tuned");
        assert!(said.contains(expected), "{said}");
        assert!(!dossier(&bench).join("weights/adapter_model.safetensors").exists());
    }
}
