#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
//! Scores against an independent program, and figures as evidence.

mod beside;
mod evidence_of_figures;
mod invariance;
mod recall;
mod referees;
mod scoring;
mod task_invariance;
mod tasks;

use candle_core::Device;
use evaluate::{Config, DocumentScore, Outcome, score};
use evidence::Control;
use model::Llama;
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The model of `tests/fixtures/referee.py`.
fn tiny() -> Llama {
    let config = model::Config {
        vocab: 23,
        layers: 2,
        width: 16,
        heads: 4,
        kv_heads: 2,
        hidden: 20,
        context: 12,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    };
    let tensors = candle_core::safetensors::load(fixture("tiny.safetensors"), &Device::Cpu).unwrap();
    Llama::from_tensors(config, tensors.into_iter().collect()).unwrap()
}

fn finished(model: &Llama, documents: &[Vec<u32>], config: &Config) -> Vec<DocumentScore> {
    match score(model, documents, config, &mut |_| Control::Continue).unwrap() {
        Outcome::Finished { scores, .. } => scores,
        Outcome::Stopped { reason, .. } => panic!("stopped: {reason}"),
    }
}
