//! Phi-3 and 3.5: queries, keys and values in one matrix, gate and up in another; divisors for long contexts.

use super::{
    BuildError,
    parts::{Parts, Shape, split},
};
use crate::{
    Decoder,
    decoder::{Attention, Linear, Mlp},
};

pub(super) fn build(parts: &mut Parts) -> Result<Decoder, BuildError> {
    let shape = parts.shape()?;
    let rotary = parts.rotary_of(&shape, None, 1e4)?;
    let mut layers = Vec::new();
    for at in 0..shape.layers {
        let prefix = format!("model.layers.{at}");
        let mut attention = fused(parts, &shape, &format!("{prefix}.self_attn"), rotary)?;
        attention.window = parts.window(at, |_| true)?;
        let inner = parts.tensor(&format!("{prefix}.mlp.gate_up_proj.weight"), &[2 * shape.hidden, shape.width])?;
        let [gate, up] = split(&inner, None, [shape.hidden; 2])?;
        let down: Linear = parts.linear(&format!("{prefix}.mlp.down_proj"), shape.width, shape.hidden, false)?;
        let mlp = Mlp::Gated { gate, up, down, act: shape.act };
        layers.push(parts.normed_before(&prefix, &shape, attention, mlp)?);
    }
    let norm = parts.rms("model.norm", shape.width, shape.eps)?;
    parts.decoder(&shape, layers, norm, false)
}

fn fused(parts: &mut Parts, shape: &Shape, prefix: &str, rotary: usize) -> Result<Attention, BuildError> {
    let Shape { width, heads, kv_heads, head_width, .. } = *shape;
    let sizes = [heads * head_width, kv_heads * head_width, kv_heads * head_width];
    let all = parts.tensor(&format!("{prefix}.qkv_proj.weight"), &[sizes.iter().sum(), width])?;
    let [query, key, value] = split(&all, None, sizes)?;
    Ok(Attention {
        query,
        key,
        value,
        output: parts.linear(&format!("{prefix}.o_proj"), width, sizes[0], false)?,
        head_norms: None,
        heads,
        kv_heads,
        head_width,
        scale: (head_width as f64).sqrt().recip() as f32,
        window: None,
        rotary: Some(rotary),
        cap: None,
    })
}
