//! Changes whole model files at random and opens them: safetensors, index, GGUF, tokenizer, configuration.
//!
//! `cargo run --release -p assize-model --example fuzz_files -- SECONDS [SEED]`
//!
//! Seconds are of CPU time. A panic, a memory use above `MEMORY_BYTES_MAX`, or an open that takes longer than `PATIENCE` is a finding: the file is
//! kept and its place printed, and the exit code is 1. The same seed makes the same changes.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

use model::{Config, HubConfig, Llama, Row, Specials, Tokenizer, gguf, weights};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// What one open may hold at most; the files are below 300 KB.
const MEMORY_BYTES_MAX: usize = 1 << 29;
const PATIENCE: Duration = Duration::from_secs(5);

/// CPU time this thread has used, so that a machine with other work changes no verdict; the wall clock where none is told.
fn used() -> Duration {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| BEGUN.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

/// Counts what is held, and the most that was.
struct Counted;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator")]
// SAFETY: every call is handed to the system's allocator as it is; above the limit none is given, which ends the process.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        if held > 4 * MEMORY_BYTES_MAX {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

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

/// Below `n`, which is above 0.
fn below(random: &mut ChaCha8Rng, n: usize) -> usize {
    (random.next_u64() % n as u64) as usize
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
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let seconds = arguments.first().copied().unwrap_or(10);
    let mut random = ChaCha8Rng::seed_from_u64(arguments.get(1).copied().unwrap_or(1));
    let folder = tempfile::tempdir().unwrap();
    let seeds = seeds(folder.path());
    std::panic::set_hook(Box::new(|_| {}));
    let start = used();
    let (mut n, mut n_opened, mut findings, mut most) = (0_u64, 0_u64, 0_u64, 0_usize);
    while used().saturating_sub(start).as_secs() < seconds {
        let seed = &seeds[below(&mut random, seeds.len())];
        let victim = below(&mut random, seed.files.len());
        let place = folder.path().join("model");
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).unwrap();
        for (at, (name, bytes)) in seed.files.iter().enumerate() {
            let bytes = if at == victim { changed(&mut random, bytes) } else { bytes.clone() };
            fs::write(place.join(name), bytes).unwrap();
        }
        let before = HELD.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        let began = used();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&place.join(seed.open))));
        let took = used().saturating_sub(began);
        let held = MOST.load(Ordering::Relaxed).saturating_sub(before);
        most = most.max(held);
        n += 1;
        n_opened += u64::from(*outcome.as_ref().unwrap_or(&false));
        let finding = match outcome {
            Err(_) => Some("a panic".to_owned()),
            Ok(_) if held > MEMORY_BYTES_MAX => Some(format!("{held} bytes held")),
            Ok(_) if took > PATIENCE => Some(format!("{took:?} taken")),
            Ok(_) => None,
        };
        if let Some(finding) = finding {
            findings += 1;
            let kept = std::env::temp_dir().join(format!("fuzz_files-{findings}"));
            let _ = fs::remove_dir_all(&kept);
            fs::rename(&place, &kept).unwrap();
            println!("{finding}: {} in {}", seed.files[victim].0, kept.display());
        }
    }
    println!("{n} files opened or refused ({n_opened} opened), at most {most} bytes held, {findings} findings");
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
