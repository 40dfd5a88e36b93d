//! Changes task files at random, reads them as a folder of tasks, and builds prompts with what could be read.
//!
//! `cargo run --release -p assize-evaluate --example fuzz_tasks -- SECONDS [SEED]`
//!
//! A panic, a memory use above `MEMORY_BYTES_MAX`, or a reading that takes longer than `PATIENCE` is a finding: the file is
//! kept and its place printed, and the exit code is 1. The same seed makes the same changes.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

use evaluate::tasks::{Catalog, prepare, prompts::PromptConfig};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// What one reading may hold at most; the files are below 10 KB.
const MEMORY_BYTES_MAX: usize = 1 << 29;
const PATIENCE: Duration = Duration::from_secs(10);

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

/// Files that reach most of what the reader knows: includes, groups, anchors, templates, filters, examples.
const SEEDS: [&str; 6] = [
    "task: t\ndataset_path: d\noutput_type: multiple_choice\ntest_split: test\nfewshot_split: test\nnum_fewshot: 1\n\
     doc_to_text: \"{{q.strip()}}\\nA:{% for o in options %} {{o}}{% endfor %}\"\ndoc_to_target: gold\n\
     doc_to_choice: \"{{options}}\"\nmetric_list:\n  - metric: acc\n    aggregation: mean\n    higher_is_better: true\n\
     metadata:\n  version: 1.0\n",
    "include: t.yaml\ntask: t2\ntag: [a, b]\ndoc_to_choice: [x, \"y\", 'z']\ndoc_to_target: \"{{['x','y','z'].index('y')}}\"\n\
     target_delimiter: \"\"\nfewshot_config:\n  sampler: first_n\n  samples:\n    - {q: 1, options: [a], gold: 0}\n",
    "group: g\ntask:\n  - t\n  - group: inner\n    task: [t2, {task: t3, doc_to_text: q}]\naggregate_metric_list:\n\
     \x20 - {metric: acc, weight_by_size: true}\n",
    "task: gen\ndataset_path: d\noutput_type: generate_until\ntest_split: test\ndoc_to_text: \"{{q|replace('a', 'b')}}\"\n\
     doc_to_target: \"{{options|join(', ')}}\"\ngeneration_kwargs: {until: [\"\\n\\n\"], do_sample: false, max_gen_toks: 8}\n\
     filter_list:\n  - name: f\n    filter:\n      - {function: regex, regex_pattern: \"#### (\\\\-?[0-9\\\\.\\\\,]+)\"}\n\
     \x20     - {function: take_first}\nmetric_list: [{metric: exact_match, ignore_case: true, regexes_to_ignore: [\",\"]}]\n",
    "base: &base {a: 1, b: [x, *n]}\nshared: &n [1, 2]\nmore:\n  <<: *base\n  c: |\n    text\n  d: >-\n    folded\n\
     task: roll\ndataset_path: d\noutput_type: loglikelihood_rolling\ntest_split: test\ndoc_to_target: q\ndoc_to_text: \"\"\n",
    "shared: 1\ntask_list:\n  - {task: l1, doc_to_text: \"{{q[0]}}\"}\n  - {task: l2}\ndataset_path: d\n\
     output_type: loglikelihood\ntest_split: test\ndoc_to_text: \"{% set x = q.split(' ') %}{{x[0]}}\"\n\
     doc_to_target: \" {{q.split(' ')[-1]}}\"\n",
];
const NAMES: [&str; 6] = ["t.yaml", "t2.yaml", "g.yaml", "gen.yaml", "roll.yaml", "list.yaml"];
const TASKS: [&str; 8] = ["t", "t2", "g", "gen", "roll", "l1", "l2", "a"];
const ROWS: &str =
    "{\"q\": \"a b\", \"options\": [\"x\", \"ä\"], \"gold\": 0}\n{\"q\": \"\", \"options\": [\"y\"], \"gold\": 0}\n";
const WORDS: [&str; 28] = [
    "{{",
    "}}",
    "{%",
    "%}",
    "&a ",
    "*a",
    "<<: *a",
    "!function utils.f",
    "- ",
    ": ",
    "[[[[",
    "{a: {b: ",
    "|\n  ",
    "'",
    "\"",
    "~",
    "1e999",
    "99999999999999999999",
    "-1",
    "range(100000)",
    "{% for a in range(90000) %}",
    "{% endfor %}",
    " * 999999999",
    "|indent(999999999)",
    "(((((((",
    "\u{0}",
    "\u{feff}",
    "include: t.yaml\n",
];

fn below(random: &mut ChaCha8Rng, n: usize) -> usize {
    (random.next_u64() % n.max(1) as u64) as usize
}

fn changed(random: &mut ChaCha8Rng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=below(random, 6) {
        if bytes.is_empty() {
            break;
        }
        let at = below(random, bytes.len());
        let end = (at + below(random, 40) + 1).min(bytes.len());
        match below(random, 7) {
            0 => bytes[at] ^= 1 << below(random, 8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].repeat(1 + below(random, 60));
                bytes.splice(at..at, again);
            }
            4 => {
                let from = below(random, bytes.len());
                let part = bytes[from..(from + 30).min(bytes.len())].to_vec();
                bytes.splice(at..end, part);
            }
            _ => {
                let word = WORDS[below(random, WORDS.len())].as_bytes();
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
    bytes
}

/// Reads, selects, builds prompts. Whether any task could be built.
fn run(folder: &Path) -> bool {
    let Ok(catalog) = Catalog::open(&[folder.to_owned()]) else { return false };
    let config = PromptConfig { limit: Some(2), ..PromptConfig::default() };
    let mut is_built = false;
    for name in TASKS {
        let Ok(selection) = catalog.select(&[name.to_owned()]) else { continue };
        for task in &selection.tasks {
            is_built |= prepare(task, Some(folder), &config).is_ok();
        }
    }
    is_built
}

fn main() -> ExitCode {
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let seconds = arguments.first().copied().unwrap_or(10);
    let mut random = ChaCha8Rng::seed_from_u64(arguments.get(1).copied().unwrap_or(1));
    let folder = tempfile::tempdir().unwrap();
    std::panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let (mut n, mut n_built, mut findings, mut most) = (0_u64, 0_u64, 0_u64, 0_usize);
    while start.elapsed().as_secs() < seconds {
        let place = folder.path().join("tasks");
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(place.join("d")).unwrap();
        fs::write(place.join("d/test.jsonl"), ROWS).unwrap();
        let victim = below(&mut random, SEEDS.len());
        for (at, (name, text)) in NAMES.iter().zip(SEEDS).enumerate() {
            let bytes = if at == victim { changed(&mut random, text) } else { text.as_bytes().to_vec() };
            fs::write(place.join(name), bytes).unwrap();
        }
        let before = HELD.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&place)));
        let held = MOST.load(Ordering::Relaxed).saturating_sub(before);
        most = most.max(held);
        n += 1;
        n_built += u64::from(*outcome.as_ref().unwrap_or(&false));
        let finding = match outcome {
            Err(_) => Some("a panic".to_owned()),
            Ok(_) if held > MEMORY_BYTES_MAX => Some(format!("{held} bytes held")),
            Ok(_) if began.elapsed() > PATIENCE => Some(format!("{:?} taken", began.elapsed())),
            Ok(_) => None,
        };
        if let Some(finding) = finding {
            findings += 1;
            let kept = std::env::temp_dir().join(format!("fuzz_tasks-{findings}"));
            let _ = fs::remove_dir_all(&kept);
            fs::rename(&place, &kept).unwrap();
            println!("{finding}: {} in {}", NAMES[victim], kept.display());
        }
    }
    println!("{n} folders read ({n_built} with prompts), at most {most} bytes held, {findings} findings");
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
