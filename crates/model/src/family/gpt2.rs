//! GPT-2: learned positions, layer norms, matrices kept as (in, out).

use super::{
    BuildError,
    parts::{CONTEXT_MAX, HEADS_MAX, HIDDEN_MAX, LAYERS_MAX, Parts, VOCAB_MAX, WIDTH_MAX, divides, split},
};
use crate::{
    Decoder, TensorError,
    decoder::{Attention, Layer, Linear, Mlp},
};
use candle_core::Tensor;
use serde_json::json;

pub(super) fn build(parts: &mut Parts) -> Result<Decoder, BuildError> {
    let config = parts.config;
    let (width, heads) = (config.count("n_embd", WIDTH_MAX)?, config.count("n_head", HEADS_MAX)?);
    divides("n_head", heads, "n_embd", width)?;
    let (vocab, context) = (config.count("vocab_size", VOCAB_MAX)?, config.count("n_positions", CONTEXT_MAX)?);
    let hidden = config.count_or("n_inner", HIDDEN_MAX, 4 * width)?;
    let eps = config.positive_or("layer_norm_epsilon", 1e-5)? as f32;
    let act = parts.act("activation_function", "gelu_new")?;
    parts.require("scale_attn_by_inverse_layer_idx", &json!(false))?;
    parts.require("add_cross_attention", &json!(false))?;
    let is_scaled = config.flag_or("scale_attn_weights", true)?;
    // Files of the first days name tensors without the prefix.
    let root = if parts.tensors.has("wte.weight") { "" } else { "transformer." };
    let mut layers = Vec::new();
    for at in 0..config.count("n_layer", LAYERS_MAX)? {
        let name = |part: &str| format!("{root}h.{at}.{part}");
        let (all, biases) = turned(parts, &name("attn.c_attn"), 3 * width, width)?;
        let [query, key, value] = split(&all, Some(&biases), [width; 3])?;
        let head_width = width / heads;
        let attention = Attention {
            query,
            key,
            value,
            output: linear(parts, &name("attn.c_proj"), width, width)?,
            head_norms: None,
            heads,
            kv_heads: heads,
            head_width,
            scale: if is_scaled { (head_width as f64).sqrt().recip() as f32 } else { 1.0 },
            window: None,
            rotary: None,
            cap: None,
        };
        layers.push(Layer {
            attention,
            attention_norms: (Some(parts.layer_norm(&name("ln_1"), width, eps)?), None),
            mlp: Mlp::Plain {
                up: linear(parts, &name("mlp.c_fc"), hidden, width)?,
                down: linear(parts, &name("mlp.c_proj"), width, hidden)?,
                act,
            },
            mlp_norms: (Some(parts.layer_norm(&name("ln_2"), width, eps)?), None),
            is_parallel: false,
        });
    }
    let norm = parts.layer_norm(&format!("{root}ln_f"), width, eps)?;
    let embedding = parts.matrix(&format!("{root}wte.weight"), vocab, width)?;
    let positions = parts.tensor(&format!("{root}wpe.weight"), &[context, width])?;
    let (head, is_tied) = parts.head("lm_head.weight", &embedding, true)?;
    let mut decoder = parts.finish(embedding, layers, norm, head, is_tied, context);
    decoder.positions = Some(positions);
    Ok(decoder)
}

/// A matrix kept as (in, out), turned to (out, in), and its bias.
fn turned(parts: &mut Parts, name: &str, out: usize, inputs: usize) -> Result<(Tensor, Vec<f32>), TensorError> {
    let weight = parts.tensor(&format!("{name}.weight"), &[inputs, out])?.t()?.contiguous()?;
    Ok((weight, parts.vector(&format!("{name}.bias"), out)?))
}

fn linear(parts: &mut Parts, name: &str, out: usize, inputs: usize) -> Result<Linear, TensorError> {
    let (weight, bias) = turned(parts, name, out, inputs)?;
    let [linear] = split(&weight, Some(&bias), [out])?;
    Ok(linear)
}
