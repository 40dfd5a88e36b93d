//! `assize compress`, `merge`, `distill` and `compare` on small random models: what is left, what is signed, what is refused.

use crate::repository;
use evidence::Digest;
use model::{Llama, OpenOptions, Specials, Tokenizer, weights};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

const TRUTHS: &str = "We hold these truths to be self-evident, that all men are created equal, that they are endowed by their \
     Creator with certain unalienable Rights, that among these are Life, Liberty and the pursuit of Happiness. ";

/// A folder with a small random model, texts, and a key of its own.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.model("model", 11);
        fs::write(bench.path("text.txt"), TRUTHS.repeat(12)).unwrap();
        fs::write(bench.path("calibration.txt"), TRUTHS.repeat(20)).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn model(&self, name: &str, seed: u64) {
        let config = model::Config {
            vocab: 320,
            layers: 3,
            width: 64,
            heads: 4,
            kv_heads: 2,
            hidden: 128,
            context: 96,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
        };
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        let llama = Llama::init(&config, seed).unwrap();
        weights::save(&folder.join("model.safetensors"), &llama.tensors(), &BTreeMap::new()).unwrap();
        fs::write(folder.join("config.json"), config.to_json()).unwrap();
        let refusals = " I refuse".repeat(40);
        Tokenizer::train(&[TRUTHS, &refusals], 310).unwrap().save(&folder.join("tokenizer.json")).unwrap();
        let words = r#"{"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}"#;
        fs::write(folder.join("tokenizer_config.json"), words).unwrap();
    }

    fn run(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assize"));
        command.args(words.split_whitespace()).current_dir(self.0.path());
        command.env("ASSIZE_KEY", self.path("assize.key")).env("NO_COLOR", "1");
        command.output().unwrap()
    }

    /// The last JSON line of a run that ended so.
    fn outcome(&self, words: &str, code: i32) -> Value {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "{words}\n{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    fn verify(&self, dossier: &str) {
        let output = self.run(&format!("verify {dossier}"));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// The measured values of a dossier, by metric.
    fn evidence(&self, dossier: &str) -> BTreeMap<String, f64> {
        let text = fs::read_to_string(self.path(dossier).join("evidence.json")).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let items = document["measurements"].as_array().unwrap().iter();
        items.map(|item| (item["metric"].as_str().unwrap().to_owned(), item["value"].as_f64().unwrap())).collect()
    }

    /// The predicate of the last entry of that kind.
    fn predicate(&self, dossier: &str, kind: &str) -> Value {
        let uri = format!("urn:assize:{kind}:v0.1");
        let mut found: Vec<(String, Value)> = Vec::new();
        for entry in fs::read_dir(self.path(dossier).join("envelopes")).unwrap() {
            let envelope: Value = serde_json::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
            let payload = base64(envelope["payload"].as_str().unwrap());
            let statement: Value = serde_json::from_slice(&payload).unwrap();
            if statement["predicateType"] == uri.as_str() {
                let at = statement["predicate"]["at"].as_str().unwrap().to_owned();
                found.push((at, statement["predicate"].clone()));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found.pop().unwrap().1
    }
}

pub(crate) fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut n, mut out) = (0_u32, 0, Vec::new());
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        bits = bits << 6 | LETTERS.iter().position(|known| *known == letter).unwrap() as u32;
        n += 6;
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
            bits &= (1 << n) - 1;
        }
    }
    out
}

fn digests(folder: &Path) -> BTreeMap<String, Digest> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.display().to_string(), Digest::of(&fs::read(path).unwrap()))).collect()
}

const SUITE: &str = "--evaluate text.txt --passage 48 --passages 6";
const CALIBRATION: &str = "--calibration calibration.txt --calibration-rows 6 --calibration-length 48";

#[test]
fn a_pruned_model_stands_in_a_dossier_that_verifies_and_names_its_ancestors() {
    let bench = Bench::new();
    let before = digests(&bench.path("model"));
    let words = format!("compress model --prune wanda --sparsity 0.5 {CALIBRATION} {SUITE} --out pruned --json");
    let outcome = bench.outcome(&words, 0);
    assert_eq!(outcome["outcome"], "allowed");
    assert_eq!(digests(&bench.path("model")), before);
    bench.verify("pruned");
    let found = bench.evidence("pruned");
    assert_eq!((found["compress.zeros"], found["compress.sparsity_planned"]), (0.5, 0.5));
    assert_eq!(found["compress.calibration_tokens"], 288.0);
    assert!(found["compress.reconstruction_error"] > 0.0 && found["compress.perplexity_ratio"] > 0.0);
    assert_eq!((found["compress.memory_ratio"], found["lineage.unrecorded"]), (1.0, 1.0));

    // A step further: the record of the first is found beside the weights.
    let words = format!("compress pruned --quantize q8_0 {SUITE} --out small --json");
    bench.outcome(&words, 0);
    bench.verify("small");
    let next = bench.evidence("small");
    assert!(next["compress.bytes_ratio"] < 0.5, "{}", next["compress.bytes_ratio"]);
    assert!(next["lineage.recorded_compute"] > found["lineage.recorded_compute"]);
    let compression = bench.predicate("small", "compression");
    let actions: Vec<Option<&str>> =
        compression["lineage"].as_array().unwrap().iter().map(|one| one["action"].as_str()).collect();
    assert_eq!(actions, [None, Some("pruned"), Some("quantized")]);
    let original = before.iter().find(|(path, _)| path.ends_with("model.safetensors")).unwrap().1.to_string();
    assert_eq!(compression["lineage"][0]["digest"]["sha256"], original.as_str());
    assert_eq!(compression["derivedFrom"][0]["digest"], compression["lineage"][1]["digest"]);
    assert!(model::open(&bench.path("small/weights/model.gguf")).is_ok());

    let output = bench.run(&format!("compare model small {SUITE} --page page.html --json"));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> =
        document["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["bytes", "weights in memory", "tokens a second", "tokens a second, one by one", "zeros", "perplexity"]
    );
    assert!(fs::read_to_string(bench.path("page.html")).unwrap().contains("<td>perplexity</td>"));

    let outcome = bench.outcome(&format!("compare model small {SUITE} --out compared --json"), 0);
    assert_eq!(outcome["outcome"], "allowed");
    bench.verify("compared");
    let comparison = &bench.predicate("compared", "evaluation")["comparison"];
    // Signed decimals are texts, those of an event are numbers.
    let digests = |lineage: &Value| -> Vec<Value> {
        lineage.as_array().unwrap().iter().map(|one| one["digest"]["sha256"].clone()).collect()
    };
    assert_eq!(digests(&comparison["second"]["lineage"]), digests(&outcome["comparison"]["second"]["lineage"]));
    assert_eq!(comparison["second"]["lineage"].as_array().unwrap().len(), 3);
    let said = bench.evidence("compared");
    assert_eq!(said["compress.perplexity_ratio"], ratio(&outcome));
    let output = bench.run(&format!("compare model small {SUITE} --pack eu-ai-act --json"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("say with `--out DIR` where the dossier goes"));
}

/// The change of perplexity that a comparison prints.
fn ratio(outcome: &Value) -> f64 {
    let rows = outcome["comparison"]["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == "perplexity").unwrap();
    row["change"].as_f64().unwrap_or_else(|| row["change"].as_str().unwrap().parse().unwrap())
}

#[test]
fn every_method_and_format_leaves_a_model_that_opens() {
    let bench = Bench::new();
    for (at, words) in [
        "--prune magnitude --sparsity 0.3",
        "--prune magnitude-global --sparsity 0.3 --quantize int8",
        "--prune sparsegpt --pattern 2:4 --quantize q4_0",
        "--prune heads --sparsity 0.5",
        "--prune channels --sparsity 0.25 --quantize q8_0",
        "--prune layers --sparsity 0.34",
        "--prune low-rank --sparsity 0.4",
        "--quantize gptq",
        "--quantize q6_k",
        "--prune wanda --sparsity 0.5 --recover 4",
    ]
    .into_iter()
    .enumerate()
    {
        let outcome = bench.outcome(&format!("compress model {words} {CALIBRATION} {SUITE} --out out{at} --json"), 0);
        assert_eq!(outcome["outcome"], "allowed", "{words}");
        bench.verify(&format!("out{at}"));
    }
    // What was evaluated is what another opening of the files says.
    let output = bench.run(&format!("compare out6 out6 {SUITE} --json"));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let perplexity =
        document["rows"].as_array().unwrap().iter().find(|row| row["name"] == "perplexity").unwrap().clone();
    let said: f64 = bench.predicate("out6", "compression")["after"]["perplexity"].as_str().unwrap().parse().unwrap();
    assert_eq!(perplexity["before"].as_f64().unwrap(), said);
}

#[test]
fn what_the_rules_refuse_is_signed_and_leaves_no_weights() {
    let bench = Bench::new();
    let rules = repository().join("examples/compress").display().to_string();
    let refused = [
        ("--prune magnitude --sparsity 0.9", "house.compress.plan"),
        // Nothing is known of refusals without requests.
        ("--prune magnitude --sparsity 0.1", "house.compress.refusals"),
    ];
    for (at, (words, rule)) in refused.into_iter().enumerate() {
        let outcome = bench.outcome(&format!("compress model {words} {SUITE} --rules {rules} --out no{at} --json"), 1);
        assert_eq!(outcome["outcome"], "denied");
        assert!(outcome["denials"].to_string().contains(rule), "{outcome}");
        bench.verify(&format!("no{at}"));
        assert!(!bench.path(&format!("no{at}/weights")).exists());
        let decision = bench.predicate(&format!("no{at}"), "decision");
        assert_eq!(decision["effect"], "deny");
    }
}

/// A model that answers eight requests with " I refuse I refuse": ten channels of its last layer, each of which fires at one token
/// and writes the next, carry that. The other channels there are made to say more on any text, so that a cut by what channels give out
/// on another text takes the ten first.
fn refusing(bench: &Bench) {
    let requests: Vec<String> = (0..8).map(|at| format!("hold Liberty {at}")).collect();
    fs::write(bench.path("requests.txt"), requests.join("\n")).unwrap();
    let parts = model::take_apart(&bench.path("model"), &OpenOptions::default()).unwrap();
    let tokens = |text: &str| parts.tokenizer.encode(text, Specials::None).unwrap();
    let &[first, second] = tokens(" I refuse").as_slice() else { panic!("expected two tokens") };
    let mut steps: Vec<(u32, u32)> = requests.iter().map(|request| (*tokens(request).last().unwrap(), first)).collect();
    steps.extend([(first, second), (second, first)]);
    let numbers = |name: &str| parts.tensors[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let embedding = numbers("model.embed_tokens.weight");
    let direction = |token: u32| -> Vec<f32> {
        let row = &embedding[token as usize * 64..][..64];
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter().map(|x| x / norm).collect()
    };
    let part = |part: &str| format!("model.layers.2.mlp.{part}_proj.weight");
    let [mut gate, mut up, mut down] = ["gate", "up", "down"].map(|name| numbers(&part(name)));
    gate.iter_mut().chain(&mut up).for_each(|weight| *weight *= 5.0);
    for (channel, (from, to)) in steps.into_iter().enumerate() {
        gate[channel * 64..][..64].copy_from_slice(&direction(from));
        up[channel * 64..][..64].copy_from_slice(&direction(from));
        for (row, weight) in direction(to).into_iter().enumerate() {
            down[row * 128 + channel] = 0.0125 * weight;
        }
    }
    let mut tensors = parts.tensors.clone();
    for (name, shape, numbers) in [("gate", (128, 64), gate), ("up", (128, 64), up), ("down", (64, 128), down)] {
        tensors.insert(part(name), candle_core::Tensor::from_vec(numbers, shape, &candle_core::Device::Cpu).unwrap());
    }
    weights::save(&bench.path("model/model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
}

/// Perplexity on another text holds, and is not asked about what the model refuses.
#[test]
fn a_model_that_stops_refusing_is_refused_though_perplexity_holds() {
    let bench = Bench::new();
    refusing(&bench);
    let rules = repository().join("examples/compress").display().to_string();
    let suite = format!("{SUITE} --refusals requests.txt --refusal-tokens 24 --rules {rules} --json");
    let outcome = bench.outcome(&format!("compress model --quantize q8_0 {suite} --out mild"), 0);
    assert_eq!(outcome["outcome"], "allowed");
    let found = bench.evidence("mild");
    assert_eq!((found["compress.refusals_before"], found["compress.refusal_change"]), (1.0, 0.0));

    let outcome =
        bench.outcome(&format!("compress model --prune channels --sparsity 0.5 {CALIBRATION} {suite} --out bold"), 1);
    let denials = outcome["denials"].to_string();
    assert!(denials.contains("house.compress.refusals") && !denials.contains("house.compress.quality"), "{denials}");
    let found = bench.evidence("bold");
    assert!(found["compress.perplexity_ratio"] <= 1.1 && found["compress.refusals_after"] < 0.5, "{found:?}");
    bench.verify("bold");
    assert!(!bench.path("bold/weights").exists());
}

#[test]
fn two_models_become_one_with_both_in_its_lineage() {
    let bench = Bench::new();
    bench.model("other", 12);
    for (at, (words, action)) in [
        ("merge model other --method slerp --share 0.3", "merged"),
        ("distill model other --text text.txt --steps 3 --length 32", "distilled"),
    ]
    .into_iter()
    .enumerate()
    {
        let outcome = bench.outcome(&format!("{words} {SUITE} --out both{at} --json"), 0);
        assert_eq!(outcome["outcome"], "allowed");
        bench.verify(&format!("both{at}"));
        let compression = bench.predicate(&format!("both{at}"), "compression");
        assert_eq!(compression["derivedFrom"].as_array().unwrap().len(), 2);
        assert_eq!(compression["lineage"].as_array().unwrap().len(), 3);
        assert_eq!(compression["lineage"][2]["action"], action);
    }
    // The same tokenizer in a file of another format.
    bench.outcome("compress other --quantize q8_0 --out small --json", 0);
    bench.outcome("merge model small --out both --json", 0);
    let compression = bench.predicate("both", "compression");
    let actions: Vec<Option<&str>> =
        compression["lineage"].as_array().unwrap().iter().map(|one| one["action"].as_str()).collect();
    assert_eq!(actions, [None, None, Some("quantized"), Some("merged")]);
    for (words, expected) in [
        ("--length 4096", "`--length`: expected 2 to 96 tokens"),
        ("--steps 0", "expected 1 to 4294967296 rows in all steps, found 0 steps of 2"),
        ("--batch 0", "found 100 steps of 0"),
        ("--steps 18446744073709551615", "found 18446744073709551615 steps of 2"),
        ("--rate nan", "`--rate`: expected a number above 0, found NaN"),
    ] {
        let output = bench.run(&format!("distill model other --text text.txt {words} --out long --json"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(expected), "{words}: {said}");
        assert!(!bench.path("long").exists());
    }
}

#[test]
fn a_search_draws_the_front_and_takes_the_best_that_fits() {
    let bench = Bench::new();
    let words = format!("compress model --target size=30% --keep perplexity<=+5% {SUITE} --out best --json");
    let outcome = bench.outcome(&words, 0);
    assert_eq!(outcome["outcome"], "allowed");
    bench.verify("best");
    let search: Value = serde_json::from_str(&fs::read_to_string(bench.path("best/search.json")).unwrap()).unwrap();
    let tried = search["tried"].as_array().unwrap();
    assert!(tried.len() >= 5 && tried.iter().any(|one| one["front"] == true));
    assert!(fs::read_to_string(bench.path("best/search.svg")).unwrap().starts_with("<svg "));
    let method = bench.predicate("best", "compression")["parameters"]["method"].as_str().unwrap().to_owned();
    let taken = tried.iter().find(|one| one["setting"] == method.as_str()).unwrap();
    assert!(taken["size"].as_f64().unwrap() <= 0.3 && taken["perplexity"].as_f64().unwrap() <= 1.05);

    let output = bench.run(&format!("compress model --target size=2% {SUITE} --out never --json"));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no setting is small enough; nothing was written"));
    assert!(!bench.path("never").exists());
}

/// What is asked for is a share of the file that is there, which may be small already.
#[test]
fn a_search_from_a_small_file_weighs_files() {
    let bench = Bench::new();
    bench.outcome(&format!("compress model --quantize q8_0 {SUITE} --out small --json"), 0);
    let size = |path: &str| fs::metadata(bench.path(path)).unwrap().len() as f64;
    let before = size("small/weights/model.gguf");
    let words = format!("compress small --target size=75% --keep perplexity<=+50% {SUITE} --out smaller --json");
    bench.outcome(&words, 0);
    bench.verify("smaller");
    let after = size("smaller/weights/model.gguf") / before;
    assert!(after <= 0.75, "{after} of the file");
    let search: Value = serde_json::from_str(&fs::read_to_string(bench.path("smaller/search.json")).unwrap()).unwrap();
    let method = bench.predicate("smaller", "compression")["parameters"]["method"].as_str().unwrap().to_owned();
    let tried = search["tried"].as_array().unwrap();
    let said = tried.iter().find(|one| one["setting"] == method.as_str()).unwrap()["size"].as_f64().unwrap();
    // Headers are weighed on one side alone.
    assert!((said - after).abs() < 0.02, "said {said}, found {after}");
    // The weights in f32, which no file here has, would be nearly four times as many.
    assert!(tried.iter().any(|one| one["size"].as_f64().unwrap() > 0.75));
}

/// The table in the terminal and the document say the same of memory.
#[test]
fn memory_is_told_by_precision_and_batch() {
    let bench = Bench::new();
    let output = bench.run("model model --ranks none --json");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = String::from_utf8(bench.run("model model --ranks none").stdout).unwrap();
    let table: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|line| !line.starts_with("memory, MB"))
        .take_while(|line| !line.starts_with("  a batch with its cache"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let rows = document["memory"]["byPrecision"].as_array().unwrap();
    assert_eq!(table.len(), rows.len() + 1, "{text}");
    for (row, shown) in rows.iter().zip(&table[1..]) {
        let batches = row["batches"].as_array().unwrap();
        let bytes = std::iter::once(&row["weights"]).chain(batches.iter().map(|batch| &batch["bytes"]));
        let expected = bytes.map(|bytes| format!("{:.1}", bytes.as_f64().unwrap() / 1e6));
        let expected: Vec<String> =
            std::iter::once(row["precision"].as_str().unwrap().to_owned()).chain(expected).collect();
        assert_eq!(shown.join(" "), expected.join(" "));
        let grown: Vec<u64> = batches.iter().map(|batch| batch["bytes"].as_u64().unwrap()).collect();
        assert!(grown.is_sorted() && row["weights"].as_u64().unwrap() < grown[0]);
    }
}

#[test]
fn a_budget_stops_the_work_before_it_is_crossed() {
    let bench = Bench::new();
    fs::create_dir(bench.path("rules")).unwrap();
    let case = "[system]\nname = \"a\"\nrole = \"modifier\"\n[policy]\npacks = []\n[budget]\ncompute_flop = 2e7\n";
    fs::write(bench.path("rules/assize.toml"), case).unwrap();
    let words =
        format!("compress model --prune wanda --sparsity 0.5 {CALIBRATION} {SUITE} --rules rules --out stopped --json");
    assert_eq!(bench.outcome(&words, 1)["outcome"], "stopped");
    bench.verify("stopped");
    assert!(!bench.path("stopped/weights").exists());
}

#[test]
fn bad_input_is_named_and_nothing_is_overwritten() {
    let bench = Bench::new();
    fs::create_dir(bench.path("taken")).unwrap();
    fs::write(bench.path("taken/mine.txt"), "mine").unwrap();
    fs::write(bench.path("short.txt"), "We hold.").unwrap();
    fs::write(bench.path("bytes.txt"), [0x57, 0xff]).unwrap();
    for (words, expected) in [
        (
            "--prune wanda --sparsity 1.5 --calibration calibration.txt",
            "`--sparsity`: expected a share above 0 and below 1, found 1.5; half of the weights are 0.5",
        ),
        (
            "--prune wanda --sparsity -0.1 --calibration calibration.txt",
            "`--sparsity`: expected a share above 0 and below 1, found -0.1; half of the weights are 0.5",
        ),
        (
            "--prune wanda --sparsity 0.5",
            "`--prune wanda` looks at what goes into the matrices: give a text with `--calibration`",
        ),
        ("--prune magnitude", "how much does `--prune magnitude` prune? say `--sparsity 0.5`"),
        ("--prune magnitude --pattern 2of4", "`--pattern`: expected N:M such as 2:4, found `2of4`"),
        (
            "--prune magnitude --pattern 4:4",
            "`--pattern`: expected N:M with N from 1 to M - 1, found `4:4`; 2:4 keeps two of four",
        ),
        (
            "--prune magnitude --sparsity 0.3 --pattern 2:4",
            "the pattern 2:4 leaves 0.5 of the weights zero, not 0.3; leave out the sparsity, or give one of the two that fits",
        ),
        (
            "--prune magnitude --pattern 64:128",
            "the mask 64:128 does not fit `model.layers.0.mlp.gate_proj.weight`: 64 inputs are no multiple of 128; choose another pattern, or none",
        ),
        (
            "--quantize q9_0",
            "`--quantize`: expected one of `f32`, `q8_0`, `q4_0`, `q4_1`, `q5_0`, `q5_1`, `q2_k`, `q3_k`, `q4_k`, `q5_k`, `q6_k`, `int8`, `gptq`, found `q9_0`",
        ),
        (
            "--prune wanda --sparsity 0.5 --calibration short.txt",
            "the calibration text short.txt is too small: expected 8192 tokens for 128 rows of 64, found 8;",
        ),
        (
            "--prune wanda --sparsity 0.5 --calibration-length 32 --calibration bytes.txt",
            "`--calibration`: bytes.txt is no UTF-8 text: byte 1 begins no character",
        ),
        ("--quantize q8_0 --evaluate none.txt", "`--evaluate`: none.txt cannot be read"),
        ("--quantize q8_0 --pack nowhere", "no pack `nowhere`, neither a folder nor one of `"),
    ] {
        // A calibration row must fit the small model.
        let length = if words.contains("calibration.txt") { "--calibration-length 32" } else { "" };
        let length =
            if words.contains("short.txt") { "--calibration-length 64 --calibration-rows 128" } else { length };
        let output = bench.run(&format!("compress model {words} {length} --out fresh --json"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(said.contains(expected), "{words}:\n{said}\n{expected}");
        assert!(!bench.path("fresh").exists(), "{words}");
    }
    let output = bench.run("compress model --quantize q8_0 --out taken --json");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(
            "`--out`: taken stands already and nothing in it was changed; name a folder that is not there yet"
        ),
        "{said}"
    );
    assert_eq!(fs::read_to_string(bench.path("taken/mine.txt")).unwrap(), "mine");
    let left: Vec<String> =
        fs::read_dir(bench.0.path()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(!left.iter().any(|name| name.ends_with(".part")), "{left:?}");
}

#[test]
fn numbers_outside_their_range_are_named() {
    let bench = Bench::new();
    for (words, expected) in [
        (
            "--quantize gptq --group 7 --calibration-length 32 --calibration calibration.txt",
            "`--group`: expected 32, 64 or 128 weights that share a scale, found 7",
        ),
        (
            "--prune wanda --sparsity 0.5 --calibration-rows 0 --calibration-length 32 --calibration calibration.txt",
            "`--calibration-rows`: expected 1 or more, found 0",
        ),
        (
            "--quantize q8_0 --evaluate calibration.txt --passage 16 --passages 0",
            "`--passages`: expected 2 or more, as an interval needs, found 0",
        ),
    ] {
        let output = bench.run(&format!("compress model {words} --out fresh --json"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(expected), "{words}: {said}");
        assert!(!bench.path("fresh").exists(), "{words}");
    }
}

#[test]
fn the_example_of_rules_passes_its_own_tests_and_lints() {
    let bench = Bench::new();
    let house = repository().join("examples/compress/house").display().to_string();
    for verb in ["test", "lint", "mutate"] {
        let output = bench.run(&format!("policy {verb} {house}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{verb}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}
