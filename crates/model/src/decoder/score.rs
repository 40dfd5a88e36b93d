//! Log-probabilities of chosen tokens, without holding all logits.

use super::{Decoder, DecoderError, Row, kernel, rows};
use candle_core::Tensor;
use rayon::prelude::*;

/// Numbers of logits held at once.
const LOGITS_MAX: usize = 1 << 23;

/// A token asked for behind a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Index into the row's tokens.
    pub position: usize,
    /// The token that may follow it.
    pub token: u32,
}

/// What the model says of a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// ln p, in nats.
    pub log_prob: f64,
    /// Whether it is the first choice; of equal logits the lowest token is first.
    pub is_first: bool,
}

pub(super) fn check(vocab: usize, rows: &[Row]) -> Result<(), DecoderError> {
    for (at, row) in rows.iter().enumerate() {
        for target in row.targets {
            if target.token as usize >= vocab {
                return Err(DecoderError::Token { vocab, found: target.token, row: at, position: target.position });
            }
            if target.position >= row.tokens.len() {
                let (context, found) = (row.tokens.len(), target.position + 1);
                return Err(DecoderError::Positions { context, found, row: at });
            }
        }
    }
    Ok(())
}

pub(super) fn log_probs(decoder: &Decoder, stream: &Tensor, rows: &[Row]) -> Result<Vec<Vec<Scored>>, DecoderError> {
    // Every position that is asked for, once, with its row and place.
    let mut asked: Vec<(usize, usize, u32)> = Vec::new();
    let mut n = 0;
    for (at, row) in rows.iter().enumerate() {
        let mut positions: Vec<usize> = row.targets.iter().map(|target| target.position).collect();
        positions.sort_unstable();
        positions.dedup();
        asked.extend(positions.into_iter().map(|position| (at, position, (n + position) as u32)));
        n += row.tokens.len();
    }
    let mut scored: Vec<Vec<Scored>> =
        rows.iter().map(|row| vec![Scored { log_prob: f64::NAN, is_first: false }; row.targets.len()]).collect();
    let vocab = decoder.vocab();
    for piece in asked.chunks((LOGITS_MAX / vocab).max(1)) {
        let places: Vec<u32> = piece.iter().map(|&(_, _, place)| place).collect();
        let logits = decoder.project(&rows::pick(stream, &places)?)?;
        let sums: Vec<Sum> = rows::with_slice(&logits, |logits| logits.par_chunks(vocab).map(sum).collect())?;
        rows::with_slice(&logits, |logits| {
            for ((&(at, position, _), sum), logits) in piece.iter().zip(&sums).zip(logits.chunks_exact(vocab)) {
                if !sum.log.is_finite() {
                    let found = logits.iter().copied().find(|logit| !logit.is_finite()).unwrap_or(f32::NAN);
                    return Err(DecoderError::NotFinite { found, row: at, position });
                }
                let targets = rows[at].targets.iter().zip(&mut scored[at]);
                for (target, scored) in targets.filter(|(target, _)| target.position == position) {
                    let log_prob = f64::from(logits[target.token as usize]) - sum.log;
                    *scored = Scored { log_prob, is_first: sum.first == target.token as usize };
                }
            }
            Ok(())
        })??;
    }
    Ok(scored)
}

struct Sum {
    /// ln of the sum of all powers.
    log: f64,
    /// The first choice.
    first: usize,
}

kernel::for_vectors! {
    /// One position's logits.
    fn sum(logits: &[f32]) -> Sum = sum_of
}

#[inline(always)]
fn sum_of(logits: &[f32]) -> Sum {
    // The largest first, in lanes; then its lowest place.
    let (blocks, rest) = logits.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, logit)| *lane = lane.max(*logit));
    }
    let largest = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    let first = logits.iter().position(|logit| *logit == largest).unwrap_or(0);
    let largest = f64::from(largest);
    // A NaN is passed over by the comparisons and stays in the sum.
    let power = |logit: f32| rows::exp_f64(f64::from(logit) - largest);
    let mut sums = [0.0_f64; 16];
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, logit)| *sum += power(*logit));
    }
    let sum = sums.iter().sum::<f64>() + rest.iter().map(|logit| power(*logit)).sum::<f64>();
    Sum { log: largest + sum.ln(), first }
}
