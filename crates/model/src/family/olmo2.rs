//! OLMo 2: norms behind attention and feed-forward part instead of before them, and over all queries and keys of a token.

use super::{
    BuildError,
    parts::{AttentionNames, Parts, whole_row},
};
use crate::{Decoder, decoder::Layer};

pub(super) fn build(parts: &mut Parts) -> Result<Decoder, BuildError> {
    let shape = parts.shape()?;
    let rotary = parts.rotary_of(&shape, None, 1e4)?;
    let is_biased = parts.config.flag_or("attention_bias", false)?;
    let mut layers = Vec::new();
    for at in 0..shape.layers {
        let prefix = format!("model.layers.{at}");
        let names = AttentionNames::usual(&prefix, is_biased);
        let mut attention = parts.attention(&shape, &names, rotary)?;
        let widths = [shape.heads * shape.head_width, shape.kv_heads * shape.head_width];
        attention.head_norms = whole_row(parts.head_norms(&names.prefix, widths, shape.eps)?);
        let after = |part: &str| format!("{prefix}.post_{part}_layernorm");
        layers.push(Layer {
            attention,
            attention_norms: (None, Some(parts.rms(&after("attention"), shape.width, shape.eps)?)),
            mlp: parts.gated(&format!("{prefix}.mlp"), &shape, false)?,
            mlp_norms: (None, Some(parts.rms(&after("feedforward"), shape.width, shape.eps)?)),
            is_parallel: false,
        });
    }
    let norm = parts.rms("model.norm", shape.width, shape.eps)?;
    parts.decoder(&shape, layers, norm, false)
}
