//! The crate against its referees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod config;
mod decoder;
mod families;
mod gguf;
mod llama;
mod open;
mod pass;
mod profile;
mod smollm;
mod threads;
mod tokenizer;
mod vectors;
mod weights;

use candle_core::{Device, Tensor};
use model::{Config, Tokenizer};
use std::collections::BTreeMap;

/// The smallest shape that has groups of heads, and rows of whole Q8_0 blocks.
fn small(vocab: usize) -> Config {
    Config {
        vocab,
        layers: 2,
        width: 32,
        heads: 4,
        kv_heads: 2,
        hidden: 64,
        context: 16,
        rope_theta: 1e4,
        norm_eps: 1e-5,
    }
}

/// The repository's licence: English prose that every checkout has.
const PROSE: &str = include_str!("../../../../LICENSE");

fn small_tokenizer() -> Tokenizer {
    Tokenizer::train(&[PROSE], 300).unwrap()
}

/// (rows of tokens) as (B, T).
fn tokens(rows: &[Vec<u32>]) -> Tensor {
    Tensor::from_vec(rows.concat(), (rows.len(), rows[0].len()), &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    values(tensor).into_iter().map(f32::to_bits).collect()
}

fn all_bits(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Vec<u32>> {
    tensors.iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect()
}

/// The error and everything behind it, as `main` prints it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
