//! Changes whole model files at random and opens them: safetensors, index, GGUF, tokenizer, configuration.
//!
//! `cargo run --release -p assize-model --example fuzz_files -- SECONDS [SEED [NAME]]`
//!
//! Seconds are of CPU time; with NAME only files are changed whose names contain it. A finding (`watched.rs`) is kept and its
//! place printed, and the exit code is 1. The same seed makes the same changes.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

#[path = "../../../tests/fuzz/clock.rs"]
mod clock;
#[path = "../../../tests/fuzz/watched.rs"]
mod watched;

use clock::used;
use model::{Config, HubConfig, Llama, Row, Specials, Tokenizer, gguf, weights};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use std::{collections::BTreeMap, fs, path::Path, process::ExitCode, time::Duration};
use watched::{Watched, below};

const PATIENCE: Duration = Duration::from_secs(5);

/// A model as a folder or a GGUF file, whose files are changed one at a time.
struct Seed {
    /// The path that is opened, within the folder.
    open: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
}

fn seeds(folder: &Path) -> Vec<Seed> {
    let text = "We the People of the United States, in Order to form a more perfect Union, establish Justice, insure domestic \
                Tranquility, provide for the common defence, promote the general Welfare";
    let tokenizer = Tokenizer::train(&[text, text], 280).unwrap();
    let config = Config {
        vocab: 280,
        layers: 1,
        width: 32,
        heads: 2,
        kv_heads: 1,
        hidden: 32,
        context: 16,
        rope_theta: 1e4,
        norm_eps: 1e-5,
    };
    let llama = Llama::init(&config, 1).unwrap();
    let path = folder.join("seed");
    gguf::write(&path, &config, &tokenizer, &llama.tensors()).unwrap();
    let gguf = fs::read(&path).unwrap();
    weights::save(&path, &llama.tensors(), &BTreeMap::new()).unwrap();
    let weights = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let names: Vec<String> =
        llama.tensors().into_keys().map(|name| format!("\"{name}\":\"shard.safetensors\"")).collect();
    let index = format!("{{\"metadata\":{{}},\"weight_map\":{{{}}}}}", names.join(","));
    let side = |weights: Vec<(&'static str, Vec<u8>)>| {
        let mut files = vec![
            ("config.json", config.to_json().into_bytes()),
            ("tokenizer.json", tokenizer.to_json().unwrap().into_bytes()),
            (
                "tokenizer_config.json",
                br#"{"bos_token":"<|endoftext|>","eos_token":{"content":"<|endoftext|>"}}"#.to_vec(),
            ),
            ("generation_config.json", br#"{"bos_token_id":0,"eos_token_id":[0,5]}"#.to_vec()),
        ];
        files.extend(weights);
        files
    };
    vec![
        Seed { open: ".", files: side(vec![("model.safetensors", weights.clone())]) },
        Seed {
            open: ".",
            files: side(vec![("model.safetensors.index.json", index.into_bytes()), ("shard.safetensors", weights)]),
        },
        Seed { open: "model.gguf", files: vec![("model.gguf", gguf)] },
    ]
}

/// One to eight changes; most of them near the beginning, where the headers are.
fn changed(random: &mut ChaCha8Rng, bytes: &[u8]) -> Vec<u8> {
    const WORDS: [&[u8]; 12] = [
        b"null",
        b"-1",
        b"1e308",
        b"18446744073709551615",
        b"{}",
        b"[[[[[[[[",
        b"\"\"",
        b"true",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"9999999999",
    ];
    let mut bytes = bytes.to_vec();
    for _ in 0..=below(random, 8) {
        if bytes.is_empty() {
            return bytes;
        }
        let reach = if random.next_u32().is_multiple_of(4) { bytes.len() } else { bytes.len().min(6000) };
        let at = below(random, reach);
        match below(random, 8) {
            0 | 1 => bytes[at] ^= 1 << below(random, 8),
            2 => bytes[at] = random.next_u32() as u8,
            3 => bytes.truncate(at),
            4 => {
                let end = (at + below(random, 64) + 1).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let end = (at + below(random, 64) + 1).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            6 => {
                let word = WORDS[below(random, WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            _ => {
                let word = WORDS[below(random, WORDS.len())];
                let end = (at + word.len()).min(bytes.len());
                bytes.splice(at..end, word.iter().copied());
            }
        }
    }
    bytes
}

/// Opens, and uses what opens: a forward pass, and a text there and back. Whether it opened.
fn run(path: &Path) -> bool {
    let config = fs::read_to_string(path.join("config.json")).unwrap_or_default();
    let _ = HubConfig::from_json(&config);
    let Ok(opened) = model::open(path) else { return false };
    let tokens = opened.tokenizer.encode("We the People", Specials::AsFile).unwrap_or_default();
    let _ = opened.tokenizer.decode(&tokens);
    let _ = opened.decoder.logits(&mut [Row::alone(&tokens)]);
    true
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|argument| argument.parse().ok());
    let seconds = number(0).unwrap_or(10);
    let mut random = ChaCha8Rng::seed_from_u64(number(1).unwrap_or(1));
    let only = arguments.get(2).map_or("", String::as_str);
    let folder = tempfile::tempdir().unwrap();
    let seeds = seeds(folder.path());
    let victims: Vec<(&Seed, usize)> = seeds
        .iter()
        .flat_map(|seed| (0..seed.files.len()).map(move |at| (seed, at)))
        .filter(|(seed, at)| seed.files[*at].0.contains(only))
        .collect();
    if victims.is_empty() {
        println!("no file's name contains `{only}`");
        return ExitCode::from(2);
    }
    let mut watched = Watched::new("fuzz_files", PATIENCE);
    let start = used();
    while used().saturating_sub(start).as_secs() < seconds {
        let (seed, victim) = victims[below(&mut random, victims.len())];
        let place = folder.path().join("model");
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).unwrap();
        for (at, (name, bytes)) in seed.files.iter().enumerate() {
            let bytes = if at == victim { changed(&mut random, bytes) } else { bytes.clone() };
            fs::write(place.join(name), bytes).unwrap();
        }
        if let Some((finding, kept)) = watched.read(&place, || run(&place.join(seed.open))) {
            println!("{finding}: {} in {}", seed.files[victim].0, kept.display());
        }
    }
    println!("{watched}");
    if watched.findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
