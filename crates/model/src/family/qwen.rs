//! Qwen2 and 2.5 (biases on queries, keys and values); Qwen3 (norms on each head's queries and keys instead).

use super::{
    BuildError,
    parts::{AttentionNames, Parts, each_head},
};
use crate::Decoder;

pub(super) fn build(parts: &mut Parts, is_normed: bool) -> Result<Decoder, BuildError> {
    let shape = parts.shape()?;
    let rotary = parts.rotary_of(&shape, None, 1e4)?;
    let is_biased = if is_normed { parts.config.flag_or("attention_bias", false)? } else { true };
    let is_sliding = parts.config.flag_or("use_sliding_window", false)?;
    // Layers below this number see everything.
    let first_sliding = parts.config.get("max_window_layers").and_then(serde_json::Value::as_u64).unwrap_or(28);
    let mut layers = Vec::new();
    for at in 0..shape.layers {
        let prefix = format!("model.layers.{at}");
        let is_output_biased = is_biased && is_normed;
        let names = AttentionNames { is_output_biased, ..AttentionNames::usual(&prefix, is_biased) };
        let mut attention = parts.attention(&shape, &names, rotary)?;
        if is_normed {
            let norms = parts.head_norms(&names.prefix, [shape.head_width; 2], shape.eps)?;
            attention.head_norms = each_head(norms);
        }
        if is_sliding {
            attention.window = parts.window(at, |layer| layer as u64 >= first_sliding)?;
        }
        let mlp = parts.gated(&format!("{prefix}.mlp"), &shape, false)?;
        layers.push(parts.normed_before(&prefix, &shape, attention, mlp)?);
    }
    let norm = parts.rms("model.norm", shape.width, shape.eps)?;
    parts.decoder(&shape, layers, norm, false)
}
