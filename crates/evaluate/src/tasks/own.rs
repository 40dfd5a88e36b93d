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
        let tokens =
            Tensor::new(row.cache.as_slice(), &Device::Cpu).and_then(|tokens| tokens.unsqueeze(0)).map_err(failed)?;
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

/// The model of a hub folder or a GGUF file: its cache is the decoder's own.
impl Decoder for model::Decoder {
    type Cache = model::Cache;

    fn vocab(&self) -> usize {
        Self::vocab(self)
    }

    fn context(&self) -> usize {
        Self::context(self)
    }

    fn cache(&self) -> model::Cache {
        Self::cache(self)
    }

    fn log_probs(&self, rows: &mut [Row<'_, model::Cache>]) -> Result<Vec<Vec<Scored>>, SeamError> {
        let target =
            |target: &super::prefix_tree::Target| model::Target { position: target.position, token: target.token };
        let targets: Vec<Vec<model::Target>> =
            rows.iter().map(|row| row.targets.iter().map(target).collect()).collect();
        let mut own: Vec<model::Row<'_>> = rows
            .iter_mut()
            .zip(&targets)
            .map(|(row, targets)| model::Row { tokens: row.tokens, cache: Some(&mut *row.cache), targets })
            .collect();
        let answered = Self::log_probs(self, &mut own).map_err(failed)?;
        let scored = |scored: model::Scored| Scored { log_prob: scored.log_prob, is_first: scored.is_first };
        Ok(answered.into_iter().map(|row| row.into_iter().map(scored).collect()).collect())
    }

    /// The head is computed for the last position alone: all before it are read first.
    fn next_tokens(&self, rows: &mut [Row<'_, model::Cache>]) -> Result<Vec<u32>, SeamError> {
        let one = |row: &mut Row<'_, model::Cache>| {
            let Some((last, before)) = row.tokens.split_last() else { return Err(failed(NoTokens)) };
            if !before.is_empty() {
                self.prefill(&mut [model::Row { tokens: before, cache: Some(&mut *row.cache), targets: &[] }])
                    .map_err(failed)?;
            }
            let last = [*last];
            let logits = self
                .logits(&mut [model::Row { tokens: &last, cache: Some(&mut *row.cache), targets: &[] }])
                .map_err(failed)?;
            let logits: Vec<f32> = logits.flatten_all().and_then(|logits| logits.to_vec1()).map_err(failed)?;
            Ok(first_choice(&logits) as u32)
        };
        rows.iter_mut().map(one).collect()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("expected a row to hold tokens, found none")]
struct NoTokens;

/// The tokenizer of a model's own files.
#[derive(Debug)]
pub struct FileTokens<'a> {
    tokenizer: &'a model::FileTokenizer,
    prefix: u32,
    prefix_text: Option<String>,
}

impl<'a> FileTokens<'a> {
    /// `None` for a tokenizer that names neither a first token of texts nor a last one: nothing could stand for an empty context.
    #[must_use]
    pub fn new(tokenizer: &'a model::FileTokenizer) -> Option<Self> {
        let prefix = tokenizer.bos().or_else(|| tokenizer.eos().first().copied())?;
        Some(Self { tokenizer, prefix, prefix_text: tokenizer.token(prefix) })
    }
}

impl Tokenizer for FileTokens<'_> {
    fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, SeamError> {
        let specials = if special { model::Specials::AsFile } else { model::Specials::None };
        self.tokenizer.encode(text, specials).map_err(failed)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, SeamError> {
        self.tokenizer.decode(tokens).map_err(failed)
    }

    fn prefix(&self) -> u32 {
        self.prefix
    }

    fn prefix_text(&self) -> Option<&str> {
        self.prefix_text.as_deref()
    }

    fn ends(&self) -> &[u32] {
        self.tokenizer.eos()
    }
}
