//! Texts cut in two: does the model write the second half when it is given the first?

use super::{Continuation, NEAR, compare, discoverable};
use crate::{
    Bounds,
    statistics::{LEVEL, StatisticsError, clopper_pearson},
    tasks::{
        scoring::{self, Decoder, Packing, Progress, Row, ScoringError, Work},
        tokens::{SeamError, Sequence, Tokenizer},
    },
};
use evidence::Control;

/// How texts are cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExtractConfig {
    /// k: tokens given, 50 in Carlini 2022.
    pub prompt_tokens: usize,
    /// Tokens compared behind them, 50 there.
    pub continuation_tokens: usize,
    /// Passages of one text at most, evenly spaced and without overlap.
    pub passages: usize,
    /// n of the chance that one of n samples is the continuation.
    pub samples: u32,
    /// Positions read in one call of the model; moves time, not results.
    pub positions: usize,
}

impl Default for ExtractConfig {
    fn default() -> Self {
        Self { prompt_tokens: 50, continuation_tokens: 50, passages: 1, samples: 100, positions: 1024 }
    }
}

/// Why a model was not asked.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("the tokenizer failed")]
    Tokenizer(#[source] SeamError),
    #[error("the model failed")]
    Model(#[source] SeamError),
    #[error(transparent)]
    Scoring(#[from] ScoringError),
    #[error("none of {texts} texts has the {needed} tokens that are asked for; ask with fewer")]
    TooShort { texts: usize, needed: usize },
    #[error(
        "expected prompt and continuation of at least one token and of {max} together, the model's context, found {prompt} and {continuation}"
    )]
    Lengths { max: usize, prompt: usize, continuation: usize },
    #[error("stopped: {0}")]
    Stopped(String),
    #[error("the shares cannot be computed")]
    Statistics(#[from] StatisticsError),
}

/// One passage, asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Extraction {
    /// Number of the text, and of its first token.
    pub text: usize,
    pub start: usize,
    pub continuation: Continuation,
    /// Σ ln p of the true continuation.
    pub log_likelihood: f64,
    /// Chance that one of `samples` samples is the continuation.
    pub discoverable: f64,
}

/// All passages.
#[derive(Debug, Clone, PartialEq)]
pub struct Extractions {
    pub passages: Vec<Extraction>,
    /// Texts too short to be cut.
    pub n_short: usize,
    pub n_exact: u64,
    pub n_near: u64,
    /// Of the exact share, exact too (Clopper and Pearson), 95 %.
    pub exact_bounds: Bounds,
    pub near_bounds: Bounds,
    /// Mean over passages of the chance that one of n samples is the continuation.
    pub mean_discoverable: f64,
}

/// Gives the model the first tokens of each passage and compares what it writes, greedily, with what stands there.
///
/// A passage is exact when every token is that of the text, near when its edit similarity is at least [`NEAR`]. Deterministic
/// as the model is.
///
/// # Errors
/// `MemoryError`.
pub fn extract<D: Decoder>(
    decoder: &D,
    tokenizer: &dyn Tokenizer,
    texts: &[String],
    config: &ExtractConfig,
    observe: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Extractions, MemoryError> {
    let (prompt, length) = (config.prompt_tokens, config.prompt_tokens + config.continuation_tokens);
    if prompt == 0 || config.continuation_tokens == 0 || length > decoder.context() {
        let (max, continuation) = (decoder.context(), config.continuation_tokens);
        return Err(MemoryError::Lengths { max, prompt, continuation });
    }
    let (mut places, mut n_short) = (Vec::new(), 0);
    for (text, words) in texts.iter().enumerate() {
        let tokens = tokenizer.encode(words, false).map_err(MemoryError::Tokenizer)?;
        let room = tokens.len() / length;
        n_short += usize::from(room == 0);
        let n = room.min(config.passages.max(1));
        for at in 0..n {
            // From the first token on, and then as far apart as the text is long.
            let start = (tokens.len() - length) * at / n.max(2).saturating_sub(1);
            places.push((text, start, tokens[start..start + length].to_vec()));
        }
    }
    if places.is_empty() {
        return Err(MemoryError::TooShort { texts: texts.len(), needed: length });
    }
    let sequences: Vec<Sequence> =
        places.iter().map(|(_, _, tokens)| Sequence { tokens: tokens.clone(), first: prompt }).collect();
    let packing = Packing { positions: config.positions, ..Packing::default() };
    let (scores, _) = scoring::score(decoder, &sequences, packing, observe)?;
    let prompts: Vec<&[u32]> = places.iter().map(|(_, _, tokens)| &tokens[..prompt]).collect();
    let written = go_on(decoder, &prompts, config, observe)?;
    let passages: Vec<Extraction> = places
        .iter()
        .zip(&written)
        .zip(&scores)
        .map(|(((text, start, tokens), written), score)| Extraction {
            text: *text,
            start: *start,
            continuation: compare(written, &tokens[prompt..]),
            log_likelihood: score.log_likelihood,
            discoverable: discoverable(score.log_likelihood, config.samples),
        })
        .collect();
    Ok(counted(passages, n_short)?)
}

fn counted(passages: Vec<Extraction>, n_short: usize) -> Result<Extractions, StatisticsError> {
    let n = passages.len() as u64;
    let n_exact = passages.iter().filter(|passage| passage.continuation.is_exact).count() as u64;
    let n_near = passages.iter().filter(|passage| passage.continuation.similarity >= NEAR).count() as u64;
    let mean_discoverable = passages.iter().map(|passage| passage.discoverable).sum::<f64>() / n as f64;
    Ok(Extractions {
        n_short,
        n_exact,
        n_near,
        exact_bounds: clopper_pearson(n_exact, n, LEVEL)?,
        near_bounds: clopper_pearson(n_near, n, LEVEL)?,
        mean_discoverable,
        passages,
    })
}

/// The likeliest tokens behind each prompt; prompts are read together as far as `positions` allows.
fn go_on<D: Decoder>(
    decoder: &D,
    prompts: &[&[u32]],
    config: &ExtractConfig,
    observe: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Vec<Vec<u32>>, MemoryError> {
    let n_positions = prompts.len() * (config.prompt_tokens + config.continuation_tokens);
    let mut written: Vec<Vec<u32>> = Vec::with_capacity(prompts.len());
    let mut work = Work::default();
    for pack in prompts.chunks((config.positions / config.prompt_tokens).max(1)) {
        let mut caches: Vec<D::Cache> = pack.iter().map(|_| decoder.cache()).collect();
        let mut inputs: Vec<Vec<u32>> = pack.iter().map(|prompt| prompt.to_vec()).collect();
        let mut answers: Vec<Vec<u32>> = vec![Vec::new(); pack.len()];
        for _ in 0..config.continuation_tokens {
            let next_positions = inputs.iter().map(Vec::len).sum();
            let progress = Progress { n_done: work.n_read, n_positions, next_rows: pack.len(), next_positions };
            if let Control::Stop(reason) = observe(&progress) {
                return Err(MemoryError::Stopped(reason));
            }
            let mut rows: Vec<Row<'_, D::Cache>> =
                inputs.iter().zip(&mut caches).map(|(tokens, cache)| Row { tokens, cache, targets: &[] }).collect();
            let next = decoder.next_tokens(&mut rows).map_err(MemoryError::Model)?;
            if next.len() != pack.len() {
                return Err(ScoringError::Answers { expected: pack.len(), found: next.len() }.into());
            }
            work.n_read += next_positions;
            for ((answer, input), token) in answers.iter_mut().zip(&mut inputs).zip(next) {
                answer.push(token);
                *input = vec![token];
            }
        }
        written.extend(answers);
    }
    Ok(written)
}
