//! Llama 1 to 3, SmolLM2, TinyLlama and their kin; Mistral with its window.

use super::{
    BuildError,
    parts::{AttentionNames, Parts},
};
use crate::Decoder;

pub(super) fn build(parts: &mut Parts) -> Result<Decoder, BuildError> {
    let shape = parts.shape()?;
    let rotary = parts.rotary_of(&shape, None, 1e4)?;
    let is_biased = parts.config.flag_or("attention_bias", false)?;
    let is_mlp_biased = parts.config.flag_or("mlp_bias", false)?;
    let mut layers = Vec::new();
    for at in 0..shape.layers {
        let prefix = format!("model.layers.{at}");
        let mut attention = parts.attention(&shape, &AttentionNames::usual(&prefix, is_biased), rotary)?;
        attention.window = parts.window(at, |_| true)?;
        let mlp = parts.gated(&format!("{prefix}.mlp"), &shape, is_mlp_biased)?;
        layers.push(parts.normed_before(&prefix, &shape, attention, mlp)?);
    }
    let norm = parts.rms("model.norm", shape.width, shape.eps)?;
    parts.decoder(&shape, layers, norm, false)
}
