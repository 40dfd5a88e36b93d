//! GPT-NeoX and Pythia: attention and feed-forward part side by side, a share of each head turned, layer norms.

use super::{
    BuildError,
    parts::{Parts, Shape, split},
};
use crate::{
    Decoder, HubConfig, TensorError,
    decoder::{Attention, Layer, Mlp},
};

pub(super) fn build(parts: &mut Parts) -> Result<Decoder, BuildError> {
    let mut shape = parts.shape()?;
    shape.eps = parts.config.positive_or("layer_norm_eps", 1e-5)? as f32;
    shape.act = parts.act("hidden_act", "gelu")?;
    let rotary = rotary(parts, &shape)?;
    let is_parallel = parts.config.flag_or("use_parallel_residual", true)?;
    let is_biased = parts.config.flag_or("attention_bias", true)?;
    let Shape { vocab, width, hidden, eps, act, .. } = shape;
    // Buffers of older files.
    parts.tensors.pass_over(|name| name.ends_with(".attention.bias"));
    let mut layers = Vec::new();
    for at in 0..shape.layers {
        let name = |part: &str| format!("gpt_neox.layers.{at}.{part}");
        layers.push(Layer {
            attention: attention(parts, &shape, &name("attention"), rotary, is_biased)?,
            attention_norms: (Some(parts.layer_norm(&name("input_layernorm"), width, eps)?), None),
            mlp: Mlp::Plain {
                up: parts.linear(&name("mlp.dense_h_to_4h"), hidden, width, true)?,
                down: parts.linear(&name("mlp.dense_4h_to_h"), width, hidden, true)?,
                act,
            },
            mlp_norms: (Some(parts.layer_norm(&name("post_attention_layernorm"), width, eps)?), None),
            is_parallel,
        });
    }
    let norm = parts.layer_norm("gpt_neox.final_layer_norm", width, eps)?;
    let embedding = parts.matrix("gpt_neox.embed_in.weight", vocab, width)?;
    let (head, is_tied) = parts.head("embed_out.weight", &embedding, false)?;
    Ok(parts.finish(embedding, layers, norm, head, is_tied, shape.context))
}

/// The share of a head that is turned stands in one of two places, and so does the base.
fn rotary(parts: &mut Parts, shape: &Shape) -> Result<usize, BuildError> {
    let config = parts.config;
    let given = config.get("rope_parameters").or_else(|| config.get("rope_scaling")).cloned().unwrap_or_default();
    let given = HubConfig::of(given);
    let theta = match given.get("rope_theta") {
        Some(_) => given.positive("rope_theta")?,
        None => config.positive_or("rotary_emb_base", 1e4)?,
    };
    let share = match given.get("partial_rotary_factor") {
        Some(_) => given.positive("partial_rotary_factor")?,
        None => config.positive_or("rotary_pct", 0.25)?,
    };
    Ok(parts.table(shape, &given, theta, (shape.head_width as f64 * share) as usize)?)
}

/// Queries, keys and values stand in one matrix, head by head.
fn attention(
    parts: &mut Parts,
    shape: &Shape,
    name: &str,
    rotary: usize,
    is_biased: bool,
) -> Result<Attention, TensorError> {
    let Shape { width, heads, head_width, .. } = *shape;
    let n = 3 * heads * head_width;
    let all = parts.tensor(&format!("{name}.query_key_value.weight"), &[n, width])?;
    let biases = is_biased.then(|| parts.vector(&format!("{name}.query_key_value.bias"), n)).transpose()?;
    let by_head = all.reshape((heads, 3, head_width, width))?;
    let part = |at: usize| {
        let weight = by_head.narrow(1, at, 1)?.contiguous()?.reshape((heads * head_width, width))?;
        let bias: Option<Vec<f32>> = biases.as_ref().map(|bias| {
            (0..heads).flat_map(|head| bias[(head * 3 + at) * head_width..][..head_width].iter().copied()).collect()
        });
        let [linear] = split(&weight, bias.as_deref(), [heads * head_width])?;
        Ok::<_, TensorError>(linear)
    };
    Ok(Attention {
        query: part(0)?,
        key: part(1)?,
        value: part(2)?,
        output: parts.linear(&format!("{name}.dense"), width, heads * head_width, is_biased)?,
        head_norms: None,
        heads,
        kv_heads: heads,
        head_width,
        scale: (head_width as f64).sqrt().recip() as f32,
        window: None,
        rotary: Some(rotary),
        cap: None,
    })
}
