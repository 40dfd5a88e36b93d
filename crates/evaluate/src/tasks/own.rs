//! The models and tokenizers of this workspace behind the seams of [`super::scoring`] and [`super::tokens`].

use super::{
    scoring::{Decoder, Row, Scored},
    tokens::{SeamError, Tokenizer},
};
use crate::{first_choice, nll_nats};
use candle_core::{Device, Tensor};

/// A [`model::Llama`], which keeps no cache: what stands before a row is read again with it.
#[derive(Debug)]
pub struct Reread<'a>(pub &'a model::Llama);

impl Reread<'_> {
    fn logits(&self, row: &mut Row<'_, Vec<u32>>) -> Result<(Vec<f32>, usize), SeamError> {
        let before = row.cache.len();
        row.cache.extend(row.tokens);
        let tokens = Tensor::new(row.cache.as_slice(), &Device::Cpu).and_then(|tokens| tokens.unsqueeze(0)).map_err(failed)?;
        let logits = self.0.logits_detached(&tokens).map_err(failed)?;
        Ok((logits.flatten_all().and_then(|logits| logits.to_vec1()).map_err(failed)?, before))
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> SeamError {
    SeamError(Box::new(error))
}

impl Decoder for Reread<'_> {
    type Cache = Vec<u32>;

    fn vocab(&self) -> usize {
        self.0.config().vocab
    }

    fn context(&self) -> usize {
        self.0.config().context
    }

    fn cache(&self) -> Vec<u32> {
        Vec::new()
    }

    fn log_probs(&self, rows: &mut [Row<'_, Vec<u32>>]) -> Result<Vec<Vec<Scored>>, SeamError> {
        let vocab = self.vocab();
        rows.iter_mut()
            .map(|row| {
                if row.targets.is_empty() {
                    row.cache.extend(row.tokens);
                    return Ok(Vec::new());
                }
                let (logits, before) = self.logits(row)?;
                let scored = row.targets.iter().map(|target| {
                    let place = before + target.position;
                    let logits = &logits[place * vocab..(place + 1) * vocab];
                    let token = target.token as usize;
                    Scored { log_prob: -nll_nats(logits, token), is_first: first_choice(logits) == token }
                });
                Ok(scored.collect())
            })
            .collect()
    }

    fn next_tokens(&self, rows: &mut [Row<'_, Vec<u32>>]) -> Result<Vec<u32>, SeamError> {
        let vocab = self.vocab();
        rows.iter_mut()
            .map(|row| {
                let (logits, _) = self.logits(row)?;
                Ok(first_choice(&logits[logits.len() - vocab..]) as u32)
            })
            .collect()
    }
}

impl Tokenizer for model::Tokenizer {
    fn encode(&self, text: &str, _special: bool) -> Result<Vec<u32>, SeamError> {
        Ok(Self::encode(self, text))
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, SeamError> {
        Self::decode(self, tokens).map_err(failed)
    }

    fn prefix(&self) -> u32 {
        model::END_OF_TEXT_ID
    }

    /// These tokenizers read the words `<|endoftext|>` as words, so no text writes the token.
    fn prefix_text(&self) -> Option<&str> {
        None
    }

    fn ends(&self) -> &[u32] {
        &[model::END_OF_TEXT_ID]
    }
}
