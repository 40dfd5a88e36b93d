//! Which families of decoders can be computed, and how each lays out its configuration and weights.
//!
//! A family is one file: it reads its members of `config.json`, takes its tensors under their hub names, and says what each
//! layer computes. Nothing else differs between families.

mod gemma;
mod gpt2;
mod gpt_neox;
mod llama;
mod mixture;
mod olmo2;
mod parts;
mod phi3;
mod qwen;

use crate::{ConfigError, Decoder, HubConfig, TensorError, hub::Tensors};
use parts::Parts;
use std::fmt;

/// A family of decoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    Gpt2,
    GptNeoX,
    Gemma2,
    Gemma3,
    Phi3,
    Olmo2,
    Qwen3Moe,
    Mixtral,
}

const ALL: [(Family, &str); 13] = [
    (Family::Llama, "llama"),
    (Family::Mistral, "mistral"),
    (Family::Qwen2, "qwen2"),
    (Family::Qwen3, "qwen3"),
    (Family::Gpt2, "gpt2"),
    (Family::GptNeoX, "gpt_neox"),
    (Family::Gemma2, "gemma2"),
    (Family::Gemma3, "gemma3_text"),
    (Family::Gemma3, "gemma3"),
    (Family::Phi3, "phi3"),
    (Family::Olmo2, "olmo2"),
    (Family::Qwen3Moe, "qwen3_moe"),
    (Family::Mixtral, "mixtral"),
];

#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

impl From<candle_core::Error> for BuildError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(TensorError::Tensor(error))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(family, _)| family == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl Family {
    /// By the member `model_type`.
    ///
    /// # Errors
    /// `Member` naming the families there are.
    pub fn of(config: &HubConfig) -> Result<Self, ConfigError> {
        let found = config.text("model_type")?;
        ALL.iter().find(|(_, name)| *name == found).map(|(family, _)| *family).ok_or_else(|| {
            let known: Vec<&str> = ALL.iter().map(|(_, name)| *name).collect();
            config.unexpected("model_type", &format!("one of `{}`", known.join("`, `")))
        })
    }

    /// The decoder, with every tensor of the files in its place.
    pub(crate) fn build(self, config: &HubConfig, tensors: &mut Tensors) -> Result<Decoder, BuildError> {
        // Buffers that older files carry along: angles and masks that are computed here.
        const BUFFERS: [&str; 4] = ["rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.masked_bias"];
        tensors.pass_over(|name| BUFFERS.iter().any(|buffer| name.ends_with(buffer)));
        let mut parts = Parts::new(config, tensors);
        let decoder = match self {
            Self::Llama | Self::Mistral => llama::build(&mut parts),
            Self::Qwen2 => qwen::build(&mut parts, false),
            Self::Qwen3 => qwen::build(&mut parts, true),
            Self::Gpt2 => gpt2::build(&mut parts),
            Self::GptNeoX => gpt_neox::build(&mut parts),
            Self::Gemma2 => gemma::build(&mut parts, false),
            Self::Gemma3 => gemma::build(&mut parts, true),
            Self::Phi3 => phi3::build(&mut parts),
            Self::Olmo2 => olmo2::build(&mut parts),
            Self::Qwen3Moe => mixture::qwen3(&mut parts),
            Self::Mixtral => mixture::mixtral(&mut parts),
        }?;
        tensors.finish()?;
        Ok(decoder)
    }
}
