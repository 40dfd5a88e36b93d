//! Figures of tasks by an opened model: the same bits at any packing, with and without sharing, on any number of threads.

use evaluate::tasks::{
    scoring::{self, Packing, SequenceScore},
    tokens::Sequence,
};
use evidence::Control;
use model::{Decoder, HubConfig, Llama};
use std::{collections::BTreeMap, process::Command};

/// Set in a child: it prints its scores.
const THREADS: &str = "EVALUATE_TEST_PRINT_TASK_BITS";

pub(crate) fn decoder() -> Decoder {
    let config = model::Config {
        vocab: 1031,
        layers: 2,
        width: 192,
        heads: 6,
        kv_heads: 2,
        hidden: 523,
        context: 256,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    };
    let llama = Llama::init(&config, 5).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model::weights::save(&path, &llama.tensors(), &BTreeMap::new()).unwrap();
    model::decoder(&HubConfig::from_json(&llama.config().to_json()).unwrap(), &path).unwrap().1
}

/// Questions of several lengths behind examples that they share, four choices each, of one token and of more.
pub(crate) fn sequences() -> Vec<Sequence> {
    let token = |seed: usize, at: usize| ((seed * 7919 + at * at * 31 + at) % 1031) as u32;
    let shots: Vec<u32> = (0..130).map(|at| token(1, at)).collect();
    let mut all = Vec::new();
    for question in 0..7 {
        let shared = if question % 3 == 2 { 0 } else { shots.len() };
        let mut context = shots[..shared].to_vec();
        context.extend((0..5 + question * 9).map(|at| token(question + 2, at)));
        for choice in 0..4 {
            let n = if question % 2 == 0 { 1 } else { 1 + choice * 3 };
            let mut tokens = context.clone();
            tokens.extend((0..n).map(|at| token(question * 4 + choice + 50, at)));
            all.push(Sequence { tokens, first: context.len() });
        }
    }
    all
}

fn bits(packing: Packing) -> Vec<(u64, bool)> {
    let (scores, _) = scoring::score(&decoder(), &sequences(), packing, &mut |_| Control::Continue).unwrap();
    let bits = |score: &SequenceScore| (score.log_likelihood.to_bits(), score.is_greedy);
    scores.iter().map(bits).collect()
}

#[test]
fn task_scores_are_the_same_bits_at_any_packing() {
    let apart = bits(Packing { positions: 1, shares_prefixes: false });
    for positions in [1, 5, 32, 200, 1024] {
        assert!(bits(Packing { positions, shares_prefixes: true }) == apart, "{positions} positions");
    }
}

/// Prints the scores when another test asks for them in a process of its own; the number of threads is read once.
#[test]
fn task_scores_of_this_process() {
    let scores = bits(Packing::default());
    assert!(scores.iter().all(|(score, _)| f64::from_bits(*score) < 0.0));
    if std::env::var_os(THREADS).is_some() {
        println!("\nscores {scores:?}");
    }
}

#[test]
fn task_scores_are_the_same_bits_on_one_thread_and_two() {
    let here = format!("scores {:?}", bits(Packing::default()));
    for threads in ["1", "2", "3"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "task_invariance::task_scores_of_this_process", "--nocapture"])
            .env("RAYON_NUM_THREADS", threads)
            .env(THREADS, "1")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let there = text.lines().find(|line| line.starts_with("scores [")).expect(&text);
        assert_eq!(there, here, "{threads} threads");
    }
}
