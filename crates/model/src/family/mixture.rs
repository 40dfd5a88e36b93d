//! Mixtures of experts: Qwen3-MoE (Qwen3's attention), Mixtral (Mistral's).

use super::{
    BuildError,
    parts::{AttentionNames, HIDDEN_MAX, Parts, Shape, each_head},
};
use crate::{
    Decoder, TensorError,
    decoder::{Experts, Layer, Mlp},
};
use serde_json::{Value, json};

const EXPERTS_MAX: usize = 1 << 12;

pub(super) fn qwen3(parts: &mut Parts) -> Result<Decoder, BuildError> {
    let shape = parts.shape()?;
    let hidden = parts.config.count("moe_intermediate_size", HIDDEN_MAX)?;
    // Version 5 of the hub's library writes the name that Mixtral had.
    let member = if parts.config.get("num_experts").is_some() { "num_experts" } else { "num_local_experts" };
    let (n, n_active) = experts(parts, member)?;
    let is_normalized = parts.config.flag_or("norm_topk_prob", false)?;
    let is_biased = parts.config.flag_or("attention_bias", false)?;
    parts.require("use_sliding_window", &json!(false))?;
    let step = parts.config.count_or("decoder_sparse_step", 1 << 10, 1)?;
    let dense: Vec<u64> = match parts.config.get("mlp_only_layers") {
        Some(Value::Array(layers)) => layers.iter().filter_map(Value::as_u64).collect(),
        _ => Vec::new(),
    };
    let rotary = parts.rotary_of(&shape, None, 1e4)?;
    let mut layers = Vec::new();
    for at in 0..shape.layers {
        let prefix = format!("model.layers.{at}");
        let mlp = if dense.contains(&(at as u64)) || !(at + 1).is_multiple_of(step) {
            parts.gated(&format!("{prefix}.mlp"), &shape, false)?
        } else {
            let names = ["gate_proj", "up_proj", "down_proj"];
            mixture(parts, &Shape { hidden, ..shape }, &format!("{prefix}.mlp"), names, [n, n_active], is_normalized)?
        };
        let mut layer = layer(parts, &shape, &prefix, rotary, is_biased, mlp)?;
        let norms = parts.head_norms(&format!("{prefix}.self_attn"), [shape.head_width; 2], shape.eps)?;
        layer.attention.head_norms = each_head(norms);
        layers.push(layer);
    }
    let norm = parts.rms("model.norm", shape.width, shape.eps)?;
    parts.decoder(&shape, layers, norm, false)
}

pub(super) fn mixtral(parts: &mut Parts) -> Result<Decoder, BuildError> {
    let mut shape = parts.shape()?;
    shape.eps = parts.config.positive_or("rms_norm_eps", 1e-5)? as f32;
    let counts = experts(parts, "num_local_experts")?;
    let rotary = parts.rotary_of(&shape, None, 1e6)?;
    let mut layers = Vec::new();
    for at in 0..shape.layers {
        let prefix = format!("model.layers.{at}");
        let place = format!("{prefix}.block_sparse_moe");
        let mlp = mixture(parts, &shape, &place, ["w1", "w3", "w2"], counts.into(), true)?;
        let mut layer = layer(parts, &shape, &prefix, rotary, false, mlp)?;
        layer.attention.window = parts.window(at, |_| true)?;
        layers.push(layer);
    }
    let norm = parts.rms("model.norm", shape.width, shape.eps)?;
    parts.decoder(&shape, layers, norm, false)
}

/// How many experts there are, and how many a token uses.
fn experts(parts: &Parts, member: &'static str) -> Result<(usize, usize), BuildError> {
    let n = parts.config.count(member, EXPERTS_MAX)?;
    Ok((n, parts.config.count("num_experts_per_tok", n)?))
}

fn layer(
    parts: &mut Parts,
    shape: &Shape,
    prefix: &str,
    rotary: usize,
    is_biased: bool,
    mlp: Mlp,
) -> Result<Layer, TensorError> {
    let attention = parts.attention(shape, &AttentionNames::usual(prefix, is_biased), rotary)?;
    parts.normed_before(prefix, shape, attention, mlp)
}

/// `names` are those of gate, up and down.
fn mixture(
    parts: &mut Parts,
    shape: &Shape,
    place: &str,
    names: [&str; 3],
    [n, n_active]: [usize; 2],
    is_normalized: bool,
) -> Result<Mlp, TensorError> {
    let Shape { width, hidden, act, .. } = *shape;
    let router = parts.linear(&format!("{place}.gate"), n, width, false)?;
    let mut experts = Vec::new();
    for expert in 0..n {
        let name = |part: usize| format!("{place}.experts.{expert}.{}", names[part]);
        experts.push([
            parts.linear(&name(0), hidden, width, false)?,
            parts.linear(&name(1), hidden, width, false)?,
            parts.linear(&name(2), width, hidden, false)?,
        ]);
    }
    Ok(Mlp::Experts(Experts { router, experts, act, n_active, is_normalized }))
}
