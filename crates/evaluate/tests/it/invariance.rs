//! A score depends on its document and the model, on nothing else.

use crate::finished;
use evaluate::{Config, DocumentScore};
use model::Llama;

/// Wide and deep enough to reach the blocked kernels of the matrix product, odd sizes included.
fn model() -> Llama {
    let config = model::Config {
        vocab: 1031,
        layers: 2,
        width: 192,
        heads: 6,
        kv_heads: 2,
        hidden: 523,
        context: 64,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    };
    Llama::init(&config, 5).unwrap()
}

/// Lengths below, at and above one context and several.
fn documents() -> Vec<Vec<u32>> {
    let lengths = [1, 2, 17, 63, 64, 65, 128, 300, 700, 1111];
    let token = |document: usize, at: usize| ((document * 7919 + at * at * 31 + at) % 1031) as u32;
    lengths.iter().enumerate().map(|(document, &n)| (0..n).map(|at| token(document, at)).collect()).collect()
}

fn bits(scores: &[DocumentScore]) -> Vec<(u64, u64)> {
    scores.iter().map(|score| (score.nll_nats.to_bits(), score.n_correct)).collect()
}

fn scored(documents: &[Vec<u32>], context: usize, batch: usize) -> Vec<(u64, u64)> {
    bits(&finished(&model(), documents, &Config { context, batch, separator: 0 }))
}

#[test]
fn scores_are_the_same_bits_at_any_batch() {
    for context in [64, 31, 8] {
        let one = scored(&documents(), context, 1);
        for batch in [5, 32] {
            assert_eq!(scored(&documents(), context, batch), one, "context {context}, batch {batch}");
        }
    }
}

#[test]
fn scores_are_the_same_bits_in_any_order_and_company() {
    let together = scored(&documents(), 64, 8);
    let mut turned = documents();
    turned.reverse();
    let mut back = scored(&turned, 64, 8);
    back.reverse();
    assert_eq!(back, together);
    for (document, score) in documents().into_iter().zip(together) {
        assert_eq!(scored(&[document], 64, 8), [score]);
    }
}

const THREADS: &str = "EVALUATE_TEST_PRINT_BITS";

/// Prints the scores when another test asks for them in a process of its own; the number of threads is read once.
#[test]
fn scores_of_this_process() {
    let scores = scored(&documents(), 64, 8);
    assert!(scores.iter().all(|(nll, _)| f64::from_bits(*nll).is_finite()));
    if std::env::var_os(THREADS).is_some() {
        println!("\nscores {scores:?}");
    }
}

#[test]
fn scores_are_the_same_bits_on_any_number_of_threads() {
    let here = format!("scores {:?}", scored(&documents(), 64, 8));
    for threads in ["1", "2", "3"] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "invariance::scores_of_this_process", "--nocapture"])
            .env("RAYON_NUM_THREADS", threads)
            .env("CANDLE_NUM_THREADS", threads)
            .env(THREADS, "1")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let there = text.lines().find(|line| line.starts_with("scores [")).expect(&text);
        assert_eq!(there, here, "{threads} threads");
    }
}
