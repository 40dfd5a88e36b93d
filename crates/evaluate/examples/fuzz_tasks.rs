//! Changes task files at random, reads them as a folder of tasks, and builds prompts with what could be read.
//!
//! `cargo run --release -p assize-evaluate --example fuzz_tasks -- SECONDS [SEED]`
//!
//! Seconds are of CPU time. A finding (`watched.rs`) is kept and its place printed, and the exit code is 1. The same seed makes
//! the same changes.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

#[path = "../../../tests/fuzz/clock.rs"]
mod clock;
#[path = "../../../tests/fuzz/watched.rs"]
mod watched;

use clock::used;
use evaluate::tasks::{Catalog, prepare, prompts::PromptConfig};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use std::{fs, path::Path, process::ExitCode, time::Duration};
use watched::{Watched, below};

const PATIENCE: Duration = Duration::from_secs(10);

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
    let mut watched = Watched::new("fuzz_tasks", PATIENCE);
    let start = used();
    while used().saturating_sub(start).as_secs() < seconds {
        let place = folder.path().join("tasks");
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(place.join("d")).unwrap();
        fs::write(place.join("d/test.jsonl"), ROWS).unwrap();
        let victim = below(&mut random, SEEDS.len());
        for (at, (name, text)) in NAMES.iter().zip(SEEDS).enumerate() {
            let bytes = if at == victim { changed(&mut random, text) } else { text.as_bytes().to_vec() };
            fs::write(place.join(name), bytes).unwrap();
        }
        if let Some((finding, kept)) = watched.read(&place, || run(&place)) {
            println!("{finding}: {} in {}", NAMES[victim], kept.display());
        }
    }
    println!("{watched}");
    if watched.findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
