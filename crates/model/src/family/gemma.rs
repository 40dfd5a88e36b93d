//! Gemma 2 and 3 (text): norms around both parts with 1 added to their gains, scaled embedding, alternating windows.
//! Gemma 2 caps scores and logits; Gemma 3 norms queries and keys, and turns near and far layers by two tables.

use super::{
    BuildError,
    parts::{AttentionNames, Parts, each_head},
};
use crate::{
    ConfigError, Decoder, HubConfig,
    decoder::{Layer, Norm},
};

/// One layer in this many sees everything. Source: Gemma Team 2025 (Gemma 3), section 2.
const GEMMA3_PATTERN: usize = 6;

pub(super) fn build(parts: &mut Parts, is_third: bool) -> Result<Decoder, BuildError> {
    if let Some(found) = parts.config.get("text_config") {
        let (expected, found) =
            ("no such member: a text-only model".to_owned(), found.to_string().chars().take(40).collect());
        return Err(ConfigError::Member { member: "text_config", expected, found }.into());
    }
    let mut shape = parts.shape()?;
    shape.act = parts.act("hidden_activation", "gelu_pytorch_tanh")?;
    let scale = parts.config.positive_or("query_pre_attn_scalar", 256.0)?.sqrt().recip() as f32;
    let cap = |member| {
        Ok::<_, ConfigError>(match parts.config.get(member) {
            Some(_) => Some(parts.config.positive(member)? as f32),
            None => None,
        })
    };
    let (score_cap, logit_cap) = (cap("attn_logit_softcapping")?, cap("final_logit_softcapping")?);
    let is_biased = parts.config.flag_or("attention_bias", false)?;
    let pattern =
        parts.config.count_or("sliding_window_pattern", 1 << 10, if is_third { GEMMA3_PATTERN } else { 2 })?;
    let far = parts.rotary_of(&shape, is_third.then_some("full_attention"), if is_third { 1e6 } else { 1e4 })?;
    let near = if is_third { near(parts, &shape)? } else { far };
    let mut layers = Vec::new();
    for at in 0..shape.layers {
        let prefix = format!("model.layers.{at}");
        let names = AttentionNames::usual(&prefix, is_biased);
        let window = parts.window(at, |layer| !(layer + 1).is_multiple_of(pattern))?;
        let mut attention = parts.attention(&shape, &names, if window.is_some() { near } else { far })?;
        (attention.scale, attention.cap, attention.window) = (scale, score_cap, window);
        if is_third {
            let norms = parts.head_norms(&names.prefix, [shape.head_width; 2], shape.eps)?;
            attention.head_norms = each_head(norms.map(one_more));
        }
        let mut norm = |part: &str| {
            Ok::<_, BuildError>(Some(one_more(parts.rms(
                &format!("{prefix}.{part}_layernorm"),
                shape.width,
                shape.eps,
            )?)))
        };
        layers.push(Layer {
            attention,
            attention_norms: (norm("input")?, norm("post_attention")?),
            mlp_norms: (norm("pre_feedforward")?, norm("post_feedforward")?),
            mlp: parts.gated(&format!("{prefix}.mlp"), &shape, false)?,
            is_parallel: false,
        });
    }
    let norm = one_more(parts.rms("model.norm", shape.width, shape.eps)?);
    let mut decoder = parts.decoder(&shape, layers, norm, true)?;
    decoder.embedding_scale = Some((shape.width as f64).sqrt() as f32);
    decoder.logit_cap = logit_cap;
    Ok(decoder)
}

/// The table of the layers with a window: its own base, never stretched.
fn near(parts: &mut Parts, shape: &super::parts::Shape) -> Result<usize, ConfigError> {
    let given = parts.config.get("rope_parameters").and_then(|all| all.get("sliding_attention"));
    match given.cloned() {
        Some(_) => parts.rotary_of(shape, Some("sliding_attention"), 1e4),
        None => {
            let theta = parts.config.positive_or("rope_local_base_freq", 1e4)?;
            parts.table(shape, &HubConfig::of(serde_json::Value::Null), theta, shape.head_width)
        }
    }
}

/// The files keep gains less one.
fn one_more(norm: Norm) -> Norm {
    match norm {
        Norm::Rms { mut gain, eps } => {
            gain.iter_mut().for_each(|gain| *gain += 1.0);
            Norm::Rms { gain, eps }
        }
        other @ Norm::Layer { .. } => other,
    }
}
