//! `assize generate`, what is trained on its texts, and adapters merged on demand.

use crate::{Bench, budget::statements_of};
use evidence::Digest;
use serde_json::Value;
use std::fs;

pub(crate) const RECIPE: &str = "[generate]\nnumber = 12\nseed = 3\ntemperature = 0.9\ntop_p = 0.95\nmax_tokens = 24\nbatch = 5\n\
                      prompts = [\"Everyone has the right\", \"No one shall\"]\ndocument = \"{prompt}{answer}\"\nlicence = \"public-domain\"\n\
                      [filter]\ncharacters_min = 12\nnear = 0.9\n";

/// A bench with a trained model and a recipe.
pub(crate) fn bench() -> Bench {
    let bench = Bench::new();
    bench.ends("train examples/first-case", 0);
    fs::write(bench.path("recipe.toml"), RECIPE).unwrap();
    bench
}

pub(crate) fn of_kind(bench: &Bench, dossier: &str, kind: &str) -> Value {
    let all = statements_of(&bench.path(dossier));
    all.into_iter().find(|(uri, _)| uri == kind).unwrap_or_else(|| panic!("no {kind}")).1
}

pub(crate) fn measured(predicate: &Value, metric: &str) -> Value {
    let all = predicate["measurements"].as_array().unwrap();
    all.iter().find(|one| one["metric"] == metric).cloned().unwrap_or(Value::Null)
}

pub(crate) fn number(measurement: &Value) -> f64 {
    let value = &measurement["value"];
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

#[test]
fn texts_are_marked_and_the_same_for_any_number_of_threads() {
    let bench = bench();
    let made = |out: &str, threads: &str| {
        let mut command =
            bench.command(&format!("generate examples/first-case/dossier --recipe recipe.toml --out {out}"));
        let output = command.env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(bench.path(out).join("data/generated.jsonl")).unwrap()
    };
    let (one, two) = (made("one", "1"), made("two", "2"));
    assert_eq!(one, two);
    fs::write(bench.path("recipe.toml"), RECIPE.replace("batch = 5", "batch = 2")).unwrap();
    assert_eq!(made("three", "2"), one, "nor does a text depend on how many are sampled beside it");
    assert_eq!(one.lines().count(), 12);
    let weights = bench.weights();
    let entry = of_kind(&bench, "one", "urn:assize:generation:v0.1");
    let mut indices = Vec::new();
    for line in one.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["generated"]["generator"], weights.to_string());
        assert_eq!(line["generated"]["recipe"], entry["recipeDigest"]["sha256"]);
        assert_eq!(line["generated"]["seed"], 3);
        let index = line["generated"]["index"].as_u64().unwrap();
        let prompt = ["Everyone has the right", "No one shall"][index as usize % 2];
        assert!(line["text"].as_str().unwrap().starts_with(prompt));
        indices.push(index);
    }
    assert!(indices.is_sorted());
    assert_eq!(measured(&entry, "generate.kept")["k"], 12);
    assert!(number(&measured(&entry, "generate.compute")) > 0.0);
    let audit = of_kind(&bench, "one", "urn:assize:dataset-audit:v0.1");
    for share in ["data.synthetic_share", "data.origin_stated", "data.licence_declared"] {
        assert_eq!(number(&measured(&audit, share)), 1.0, "{share}");
    }
    assert_eq!(bench.json("verify one --json", 0)["ok"], true);
    // One letter of one text: the seal of the dossier says so.
    let changed = one.replacen("Everyone", "everyone", 1);
    fs::write(bench.path("one/data/generated.jsonl"), changed).unwrap();
    assert_eq!(bench.json("verify one --json", 1)["ok"], false);
}

/// The same case with generated texts beside its own.
fn mixed(bench: &Bench, generated: &str) -> String {
    let text = fs::read_to_string(bench.case_file()).unwrap();
    let (before, rest) = text.split_once("[model]").unwrap();
    let (rest, _) = rest.split_once("[compress]").unwrap();
    let source = format!(
        "[[data]]\nname = \"generated\"\npath = \"../../texts/data/generated.jsonl\"\nlicence = \"public-domain\"\n\
         source = \"first-case\"\n{generated}\n"
    );
    fs::create_dir_all(bench.path("examples/mixed")).unwrap();
    let text = format!("{before}{source}[model]{rest}").replace("15_360", "2_560").replace(", \"house\"", "");
    fs::write(bench.path("examples/mixed/assize.toml"), text).unwrap();
    let _ = fs::remove_dir_all(bench.path("examples/mixed/dossier"));
    "examples/mixed".to_owned()
}

#[test]
fn what_generation_took_counts_into_what_is_trained_on_it() {
    let bench = bench();
    bench.ends("generate examples/first-case/dossier --recipe recipe.toml --out texts", 0);
    let generation = of_kind(&bench, "texts", "urn:assize:generation:v0.1");
    let made = number(&measured(&generation, "generate.compute"));
    let compute = |generated: &str| {
        let case = mixed(&bench, generated);
        bench.ends(&format!("train {case}"), 0);
        let run = of_kind(&bench, "examples/mixed/dossier", "urn:assize:training-run:v0.1");
        let own = number(&measured(&run, "train.compute"));
        let whole = measured(&run, "lineage.compute");
        (own, if whole.is_null() { None } else { Some(number(&whole)) }, run)
    };
    let (own, whole, run) = compute("");
    assert_eq!(whole, Some(own + made));
    let edges = run["derivedFrom"].as_array().unwrap();
    let file = Digest::of(&fs::read(bench.path("texts/data/generated.jsonl")).unwrap());
    let is_edge =
        |edge: &&Value| edge["action"] == "trained-on-generated" && edge["digest"]["sha256"] == file.to_string();
    assert_eq!(edges.iter().filter(is_edge).count(), 1);
    let audit = of_kind(&bench, "examples/mixed/dossier", "urn:assize:dataset-audit:v0.1");
    let share = measured(&audit, "data.synthetic_share");
    assert_eq!(share["k"].as_u64(), Some(12));
    assert_eq!(share["n"].as_f64(), Some(number(&measured(&audit, "data.documents"))));
    let tokens = measured(&audit, "data.synthetic_token_share");
    assert!(tokens["k"].as_u64().unwrap() > 0 && number(&tokens) < 1.0);
    assert_eq!(audit["generated"][0]["name"], "generated");
    // Public texts are not counted; of a copy without its dossier nobody knows what it took, until somebody says so.
    let (own, whole, _) = compute("generated = { by = \"first-case\", public = true }");
    assert_eq!(whole, Some(own));
    fs::rename(bench.path("texts"), bench.path("elsewhere")).unwrap();
    fs::create_dir_all(bench.path("texts/data")).unwrap();
    fs::copy(bench.path("elsewhere/data/generated.jsonl"), bench.path("texts/data/generated.jsonl")).unwrap();
    assert_eq!(compute("").1, None);
    let (own, whole, _) = compute("generated = { by = \"first-case\", compute_flop = 1e9 }");
    assert_eq!(whole, Some(own + 1e9));
}

/// A share above what a house allows denies before anything is trained.
#[test]
fn a_rule_may_limit_the_share_of_generated_texts() {
    let bench = bench();
    bench.ends("generate examples/first-case/dossier --recipe recipe.toml --out texts", 0);
    let case = mixed(&bench, "");
    let card =
        fs::read_to_string(crate::repository().join("examples/fine-tune/house/house.data.duplicates.toml")).unwrap();
    let card = card
        .replace("data.exact_duplicates", "data.synthetic_share")
        .replace("house.data.duplicates", "house.data.synthetic");
    let folder = bench.path("examples/mixed/limits");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("house.data.synthetic.toml"), card).unwrap();
    let path = bench.path("examples/mixed/assize.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("mode = \"report\" }]", "mode = \"report\" }, \"limits\"]", 1)).unwrap();
    let said = String::from_utf8(bench.assize(&format!("train {case}")).stderr).unwrap();
    assert!(said.contains("denied at the stage `data`") && said.contains("house.data.synthetic"), "{said}");
    assert!(!bench.path("examples/mixed/dossier/weights/model.safetensors").exists());
}

#[test]
fn a_generation_that_is_stopped_or_keeps_nothing_leaves_no_texts() {
    let bench = bench();
    bench.edit("compute_flop = 1e12", "compute_flop = 1e6");
    bench.edit(", \"house\"", "");
    bench
        .ends("generate examples/first-case/dossier --recipe recipe.toml --rules examples/first-case --out stopped", 1);
    assert!(!bench.path("stopped/data").exists());
    let stop = of_kind(&bench, "stopped", "urn:assize:stop:v0.1");
    assert!(
        stop["reason"].as_str().unwrap().starts_with("the compute budget of 1000000 FLOP would be crossed"),
        "{stop}"
    );
    assert_eq!(bench.json("verify stopped --json", 0)["ok"], true);
    fs::write(bench.path("strict.toml"), format!("{RECIPE}must_match = 'zzzz'\n").replace("number = 12", "number = 2"))
        .unwrap();
    bench.ends("generate examples/first-case/dossier --recipe strict.toml --out none", 1);
    assert!(!bench.path("none/data").exists());
    let stop = of_kind(&bench, "none", "urn:assize:stop:v0.1");
    let reason = stop["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("of 8 texts that were sampled none passed the filters: ") && reason.ends_with("pattern"),
        "{reason}"
    );
    let said = bench.refuses("generate examples/first-case/dossier --recipe recipe.toml --out none");
    assert!(said.contains("none stands already and nothing in it was changed"), "{said}");
}

#[test]
fn what_cannot_be_generated_is_refused() {
    let bench = bench();
    let said = |recipe: &str| {
        fs::write(bench.path("bad.toml"), recipe).unwrap();
        let said = bench.refuses("generate examples/first-case/dossier --recipe bad.toml --out out");
        assert!(!bench.path("out").exists());
        said
    };
    let typo = said(&RECIPE.replace("number", "numbers"));
    assert!(typo.contains("unknown field `numbers`") && typo.contains("bad.toml:2:1"), "{typo}");
    let long = said(&RECIPE.replace("No one shall", &"a right ".repeat(40)));
    assert!(long.contains("prompt 2 of the recipe: expected 1 to 31 tokens"), "{long}");
    let chat = said(&RECIPE.replace("seed = 3", "chat = true"));
    assert!(chat.contains("the model has no chat template; leave `chat` out of the recipe"), "{chat}");
    let lost = bench.refuses("generate examples/first-case/dossier --recipe nowhere.toml --out out");
    assert!(lost.contains("nowhere.toml: the recipe cannot be read"), "{lost}");
}

#[test]
fn a_case_takes_shards_and_splits_by_source() {
    let bench = bench();
    let documents = |shards: &str| {
        let text = fs::read_to_string(bench.case_file()).unwrap();
        let text = text.replace("split = \"section\"", &format!("split = \"section\"\n{shards}"));
        let text = text.replace("held_out = 0.2", "held_out = 0.2\nheld_out_by = \"source\"\norder = \"by-source\"");
        fs::create_dir_all(bench.path("examples/shards")).unwrap();
        fs::write(
            bench.path("examples/shards/assize.toml"),
            text.replace(", \"house\"", "").replace("15_360", "2_560"),
        )
        .unwrap();
        let _ = fs::remove_dir_all(bench.path("examples/shards/dossier"));
        bench.ends("train examples/shards", 0);
        let audit = of_kind(&bench, "examples/shards/dossier", "urn:assize:dataset-audit:v0.1");
        number(&measured(&audit, "data.documents"))
    };
    let whole = documents("");
    let parts = ["[0]", "[1, 2]"].map(|take| documents(&format!("shards = {{ of = 3, take = {take} }}")));
    assert_eq!(parts.iter().sum::<f64>(), whole);
    bench.edit("split = \"section\"", "split = \"section\"\nshards = { of = 3, take = [3] }");
    let said = bench.refuses("train examples/first-case");
    assert!(said.contains("expected shards from 0 to 2, found `3`"), "{said}");
}

#[test]
fn adapters_are_merged_on_demand() {
    let bench = Bench::new();
    let base = bench.with_base();
    bench.ends("evaluate examples/tuned", 0);
    let all = statements_of(&bench.path("examples/tuned/dossier"));
    let (_, held_out) = all.iter().find(|(_, one)| one["suite"] == "held-out").unwrap();
    let change = measured(held_out, "heldout.loss_change");
    assert!(number(&change) < 0.0, "{change}");
    assert!(held_out["base"].as_array().unwrap().iter().any(|one| one["metric"] == "heldout.perplexity"));
    bench.ends("merge examples/base examples/tuned/dossier --out merged", 0);
    assert_eq!(bench.json("verify merged --json", 0)["ok"], true);
    let merged = model::open(&bench.path("merged/weights")).unwrap();
    assert_eq!(merged.decoder.vocab(), model::open(&base).unwrap().decoder.vocab());
    let entry = of_kind(&bench, "merged", "urn:assize:compression:v0.1");
    assert_eq!(entry["parameters"]["method"], "adapters");
    let actions: Vec<&str> =
        entry["lineage"].as_array().unwrap().iter().filter_map(|one| one["action"].as_str()).collect();
    assert_eq!(actions, ["trained", "merged"]);
    // Of the same shapes and one number otherwise: another base.
    let mut tensors = model::weights::load(&base.join("model.safetensors")).unwrap();
    let norm = tensors.get_mut("model.norm.weight").unwrap();
    *norm = (&*norm * 1.01).unwrap();
    model::weights::save(&base.join("model.safetensors"), &tensors, &std::collections::BTreeMap::new()).unwrap();
    let said = bench.refuses("merge examples/base examples/tuned/dossier --out other");
    assert!(said.contains("was trained beside a model with weights sha256:"), "{said}");
    assert!(!bench.path("other").exists());
}
