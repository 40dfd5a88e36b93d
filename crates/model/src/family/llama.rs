//! Llama 1 to 3, SmolLM2, TinyLlama and their kin; Mistral with its window.

use super::{
    BuildError,
    parts::{AttentionNames, Parts},
};
use crate::{Decoder, decoder::Layer};

pub(super) fn build(parts: &mut Parts) -> Result<Decoder, BuildError> {
    let shape = parts.shape()?;
    let rotary = parts.rotary_of(&shape, None, 1e4)?;
    let is_biased = parts.config.flag_or("attention_bias", false)?;
    let is_mlp_biased = parts.config.flag_or("mlp_bias", false)?;
    let mut layers = Vec::new();
    for at in 0..shape.layers {
        let prefix = format!("model.layers.{at}");
        let names = AttentionNames {
            prefix: format!("{prefix}.self_attn"),
            output: "o_proj",
            is_biased,
            is_output_biased: is_biased,
        };
        let mut attention = parts.attention(&shape, &names, rotary)?;
        attention.window = parts.window(at, |_| true)?;
        layers.push(Layer {
            attention,
            attention_norms: (Some(parts.rms(&format!("{prefix}.input_layernorm"), shape.width, shape.eps)?), None),
            mlp: parts.gated(&format!("{prefix}.mlp"), &shape, is_mlp_biased)?,
            mlp_norms: (Some(parts.rms(&format!("{prefix}.post_attention_layernorm"), shape.width, shape.eps)?), None),
            is_parallel: false,
        });
    }
    let norm = parts.rms("model.norm", shape.width, shape.eps)?;
    parts.decoder(&shape, layers, norm, false)
}
