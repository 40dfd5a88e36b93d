//! A commented case for what stands in a folder.

use crate::{Ended, screen};
use anyhow::{Context as _, bail};
use ledger::durable;
use std::{fs, path::Path};

pub(crate) fn init(folder: &Path) -> anyhow::Result<Ended> {
    let path = folder.join("assize.toml");
    if path.exists() {
        bail!("{} stands already and is left as it is", path.display());
    }
    fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let name = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let work = match model(folder)? {
        Some(model) => STANDING.replace("MODEL", &format!("{model:?}")),
        None => format!("{}{TRAINED}", data(&corpora(folder)?)),
    };
    durable::write_atomic(&path, format!("{}{work}", head(&name)).as_bytes())?;
    screen::line(&format!("wrote {}; docs/case.md lists every key", path.display()));
    Ok(Ended::Well)
}

/// Text files, and folders with text files, sorted.
fn corpora(folder: &Path) -> anyhow::Result<Vec<String>> {
    let is_text = |path: &Path| path.extension().is_some_and(|extension| extension == "txt");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("the folder {} cannot be read", folder.display()))? {
        let path = entry?.path();
        let holds_text = || {
            fs::read_dir(&path).is_ok_and(|mut files| files.any(|file| file.is_ok_and(|file| is_text(&file.path()))))
        };
        if is_text(&path) || (path.is_dir() && holds_text()) {
            found.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// The model that stands in the folder: the folder itself, or its first .gguf file.
fn model(folder: &Path) -> anyhow::Result<Option<String>> {
    if folder.join("config.json").is_file() {
        return Ok(Some(".".to_owned()));
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("the folder {} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "gguf") {
            found.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found.into_iter().next())
}

/// The corpora, each with what may be said of it.
fn data(corpora: &[String]) -> String {
    let mut data = String::new();
    for corpus in corpora {
        data.push_str(&format!(
            "[[data]]\nname = {corpus:?}\npath = {corpus:?}\n# licence = \"…\"                     # undeclared licences and sources are shown as such\n# source = \"…\"\n\n"
        ));
    }
    if corpora.is_empty() {
        data.push_str("# No text stood in the folder. A file, or a folder of *.txt:\n# [[data]]\n# name = \"corpus\"\n# path = \"corpus.txt\"\n# licence = \"…\"\n# source = \"…\"\n\n");
    }
    data
}

fn head(name: &str) -> String {
    format!(
        r#"# What the system is. How to check it is the packs' part. docs/case.md lists every key.

[system]
name = {name:?}
role = "provider"                      # provider, deployer, modifier
jurisdictions = ["EU"]                 # EU, CN, KR, US-CA, US-NY, US-IL, ...
# purpose = "…"
audience = "public"                    # public, business, internal
modalities = ["text"]
# risk_class = "minimal"               # EU: prohibited, high, limited, minimal
# general_purpose = false
# on_market = 2027-01-15

# [site]
# country = "FRA"                      # without it emissions are unknown

[policy]
# "report" shows verdicts; a bare name, or mode = "enforce", lets them hold the work.
packs = [{{ name = "eu-ai-act", mode = "report" }}]

"#
    )
}

/// Nothing but text stands there: a model is trained on it.
const TRAINED: &str = r#"[model]
architecture = "llama"
layers = 4
width = 256
heads = 8
kv_heads = 4
context = 128
vocabulary = 2048

[train]
tokens = 400_000
batch = 16
seed = 1
held_out = 0.25                        # share of documents
optimizer = { name = "adamw", learning_rate = 1e-3, weight_decay = 0.1 }
schedule = { name = "cosine", warmup = 0.05, floor = 0.1 }
clip_norm = 1.0

[budget]                               # whichever is reached first, the run stops before it is crossed
compute_flop = 1e14
time_s = 3600

[compress]
quantize = { format = "q8_0" }

[[evaluate]]
suite = "perplexity"
"#;

/// A model stands there: it is evaluated.
const STANDING: &str = r#"[model]
path = MODEL                           # evaluated as it stands; `base` instead of `path` trains it further

# Rows lie below `data`; `assize evaluate MODEL --tasks …` asks the same without a case.
# [[evaluate]]
# suite = "tasks"
# tasks = ["arc_easy", "hellaswag"]
# data = "data"
# thresholds = { arc_easy = 0.5 }

# Questions to be refused or answered: rows with `question`, `expect` and `risk` or `subject`.
# [[evaluate]]
# suite = "bank"
# banks = ["bank.jsonl"]
"#;
