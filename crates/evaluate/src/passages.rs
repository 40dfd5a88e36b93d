//! How well any open decoder predicts a text: consecutive passages, each alone.

use crate::DocumentScore;
use evidence::Control;
use model::{Decoder, DecoderError, Row, Target};

/// The convention that makes scores comparable, for `Measurement::convention`.
pub const CONVENTION: &str = "the text as tokens, cut into consecutive passages of one length, each alone; the first token of a \
     passage is read and not predicted, every other is predicted once; a rest that fills no passage is left out; log-softmax and \
     sums in f64 from f32 logits";

/// How a text is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Tokens of a passage, at least 2.
    pub length: usize,
    /// Most passages; the first ones count.
    pub most: usize,
    /// Passages computed together; moves time and memory, not results.
    pub batch: usize,
}

/// Too little text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected at least two passages of {length} tokens (and no less than 2 tokens each), found {found} tokens in all; give more text or shorter passages"
)]
pub struct TooShort {
    pub length: usize,
    pub found: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum PassageError {
    #[error("stopped: {0}")]
    Stopped(String),
    #[error("the model could not compute")]
    Decoder(#[from] DecoderError),
}

/// Consecutive passages of a text.
///
/// # Errors
/// `TooShort`: fewer than two passages have no interval.
pub fn passages(tokens: &[u32], config: &Config) -> Result<Vec<Vec<u32>>, TooShort> {
    let error = TooShort { length: config.length, found: tokens.len() };
    if config.length < 2 || tokens.len() < 2 * config.length {
        return Err(error);
    }
    Ok(tokens.chunks_exact(config.length).take(config.most.max(2)).map(<[u32]>::to_vec).collect())
}

/// One score a passage. Units: nats, tokens. Deterministic: the same bits for any `batch`.
///
/// # Errors
/// `Stopped` when `observe`, which is told passages done and all, says so; those of the decoder.
pub fn score(
    decoder: &Decoder,
    passages: &[Vec<u32>],
    batch: usize,
    observe: &mut dyn FnMut(usize, usize) -> Control,
) -> Result<Vec<DocumentScore>, PassageError> {
    let mut scores = Vec::with_capacity(passages.len());
    for piece in passages.chunks(batch.max(1)) {
        if let Control::Stop(reason) = observe(scores.len(), passages.len()) {
            return Err(PassageError::Stopped(reason));
        }
        let targets: Vec<Vec<Target>> = piece.iter().map(|tokens| targets(tokens)).collect();
        let row = |(tokens, targets)| Row { tokens, cache: None, targets };
        let mut rows: Vec<Row> =
            piece.iter().map(Vec::as_slice).zip(targets.iter().map(Vec::as_slice)).map(row).collect();
        for scored in decoder.log_probs(&mut rows)? {
            scores.push(DocumentScore {
                nll_nats: -scored.iter().map(|one| one.log_prob).sum::<f64>(),
                n_tokens: scored.len() as u64,
                n_correct: scored.iter().filter(|one| one.is_first).count() as u64,
            });
        }
    }
    Ok(scores)
}

fn targets(tokens: &[u32]) -> Vec<Target> {
    tokens[1..].iter().enumerate().map(|(position, token)| Target { position, token: *token }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_left_out_and_too_little_is_named() {
        let tokens: Vec<u32> = (0..11).collect();
        let config = Config { length: 3, most: 100, batch: 1 };
        assert_eq!(passages(&tokens, &config).unwrap(), [[0, 1, 2], [3, 4, 5], [6, 7, 8]]);
        assert_eq!(passages(&tokens, &Config { most: 2, ..config }).unwrap().len(), 2);
        let error = passages(&tokens, &Config { length: 6, ..config }).unwrap_err();
        assert_eq!(error, TooShort { length: 6, found: 11 });
        assert!(passages(&tokens, &Config { length: 1, ..config }).is_err());
    }
}
