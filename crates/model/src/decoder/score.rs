//! Log-probabilities of chosen tokens, without holding all logits.

use super::{
    Decoder, DecoderError, Row,
    kernel::{TILE, WIDTH},
    packed::Packed,
    rows::{self, largest},
    vectors::for_vectors,
};
use candle_core::Tensor;
use rayon::prelude::*;

/// Positions whose stream is packed at once.
const ASKED_MAX: usize = 1 << 12;
/// Panels of the head that are gone through together: they lie in a core's own cache beside the positions and their logits.
const PANELS: usize = 8;
/// Panels of a task, and of a sum.
const STRETCH: usize = 2 * PANELS;
/// Positions whose logits are made at once.
const LINES: usize = 8 * TILE;

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
    for piece in asked.chunks(ASKED_MAX) {
        let places: Vec<u32> = piece.iter().map(|&(_, _, place)| place).collect();
        let wanted: Vec<Wanted> = piece
            .iter()
            .enumerate()
            .flat_map(|(line, &(at, position, _))| {
                let targets = rows[at].targets.iter().enumerate();
                targets
                    .filter(move |(_, target)| target.position == position)
                    .map(move |(target, _)| (line, at, target))
            })
            .map(|(line, at, target)| Wanted { line, at, target, token: rows[at].targets[target].token as usize })
            .collect();
        let packed =
            rows::with_slice(&rows::pick(stream, &places)?, |picked| Packed::of(picked, decoder.head.weight.depth()))?;
        let (sums, logits) = sums(decoder, &packed, &wanted);
        for (sum, &(at, position, _)) in sums.iter().zip(piece) {
            if !sum.log().is_finite() {
                return Err(DecoderError::NotFinite { found: sum.wrong.unwrap_or(f32::NAN), row: at, position });
            }
        }
        for (wanted, logit) in wanted.iter().zip(logits) {
            let sum = &sums[wanted.line];
            let log_prob = f64::from(logit) - sum.log();
            scored[wanted.at][wanted.target] = Scored { log_prob, is_first: sum.first == wanted.token };
        }
    }
    Ok(scored)
}

/// A logit that is asked for.
struct Wanted {
    /// Number of the position among those that are asked for.
    line: usize,
    /// Row and target.
    at: usize,
    target: usize,
    token: usize,
}

/// What is known of a position's logits so far.
#[derive(Debug, Clone, Copy)]
struct Sum {
    largest: f32,
    /// Its lowest place.
    first: usize,
    /// Of all powers, in units of e^largest.
    powers: f64,
    /// A logit that is no number.
    wrong: Option<f32>,
}

impl Sum {
    const NONE: Self = Self { largest: f32::NEG_INFINITY, first: 0, powers: 0.0, wrong: None };

    /// ln of the sum of all powers.
    fn log(&self) -> f64 {
        f64::from(self.largest) + self.powers.ln()
    }

    /// With the logits behind these.
    fn and(self, other: Self) -> Self {
        let (more, less) = if other.largest > self.largest { (other, self) } else { (self, other) };
        // Without a number above −∞ there is nothing to add, except a NaN.
        let is_empty = less.largest == f32::NEG_INFINITY && !less.powers.is_nan();
        let scale = || rows::exp_f64(f64::from(less.largest) - f64::from(more.largest));
        let powers = if is_empty { more.powers } else { more.powers + less.powers * scale() };
        Self { powers, wrong: self.wrong.or(other.wrong), ..more }
    }
}

/// The sum of each position and the logits asked for. No logits are kept: a stretch of tokens is gone through a few at a time,
/// for some positions at a time, and the stretches are joined in their order.
fn sums(decoder: &Decoder, packed: &Packed, wanted: &[Wanted]) -> (Vec<Sum>, Vec<f32>) {
    let (head, vocab) = (&decoder.head, decoder.vocab());
    let n_panels = head.weight.n_panels();
    let stretch = |at: usize| {
        let mut sums = vec![Sum::NONE; packed.n()];
        let mut found: Vec<(usize, f32)> = Vec::new();
        for first in (at * STRETCH..n_panels.min((at + 1) * STRETCH)).step_by(PANELS) {
            let panels = first..n_panels.min(first + PANELS);
            let tokens = first * WIDTH..vocab.min(panels.end * WIDTH);
            head.weight.columns_by_rows(packed, panels, LINES, |lines, logits| {
                if let Some(bias) = &head.bias {
                    let bias = &bias[tokens.clone()];
                    logits.chunks_exact_mut(bias.len()).for_each(|line| {
                        line.iter_mut().zip(bias).for_each(|(logit, bias)| *logit += bias);
                    });
                }
                decoder.cap(logits);
                let of_lines = sums[lines.clone()].iter_mut().zip(logits.chunks_exact(tokens.len()));
                of_lines.for_each(|(sum, logits)| *sum = sum.and(sum_of(logits, tokens.start)));
                let from = wanted.partition_point(|wanted| wanted.line < lines.start);
                for (at, one) in wanted.iter().enumerate().skip(from).take_while(|(_, one)| one.line < lines.end) {
                    if tokens.contains(&one.token) {
                        found.push((at, logits[(one.line - lines.start) * tokens.len() + one.token - tokens.start]));
                    }
                }
            });
        }
        (sums, found)
    };
    let stretches: Vec<_> = (0..n_panels.div_ceil(STRETCH)).into_par_iter().map(stretch).collect();
    let (mut all, mut logits) = (vec![Sum::NONE; packed.n()], vec![f32::NAN; wanted.len()]);
    for (sums, found) in stretches {
        all.iter_mut().zip(sums).for_each(|(all, sum)| *all = all.and(sum));
        found.into_iter().for_each(|(at, logit)| logits[at] = logit);
    }
    (all, logits)
}

for_vectors! {
    /// Of one position's logits of some tokens, of which `start` is the first.
    fn sum_of(logits: &[f32], start: usize) -> Sum = sum_of_body
}

#[inline(always)]
fn sum_of_body(logits: &[f32], start: usize) -> Sum {
    let largest = largest(logits);
    // A vector at a time, which a search for the first number would not be.
    let has_largest = |block: &[f32]| block.iter().fold(false, |found, logit| found | (*logit == largest));
    let block = logits.chunks(16).position(has_largest).unwrap_or(0) * 16;
    let first = start + block + logits[block..].iter().position(|logit| *logit == largest).unwrap_or(0);
    // A NaN is passed over by the comparisons and stays in the sum.
    let unit = if largest == f32::NEG_INFINITY { 0.0 } else { largest };
    // Powers in f32 of logits in f32, summed in f64.
    let power = |logit: f32| f64::from(rows::exp_fused(logit - unit));
    let (blocks, rest) = logits.as_chunks::<16>();
    let mut sums = [0.0_f64; 16];
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, logit)| *sum += power(*logit));
    }
    let powers = sums.iter().sum::<f64>() + rest.iter().map(|logit| power(*logit)).sum::<f64>();
    let wrong = if powers.is_finite() { None } else { logits.iter().copied().find(|logit| !logit.is_finite()) };
    Sum { largest, first, powers, wrong }
}

#[cfg(test)]
mod tests {
    use super::{Sum, sum_of};

    /// Against the sum of exponentials in f64; joined from stretches of every kind of length, with logits of −∞ and without.
    #[test]
    fn stretches_are_joined_to_the_sum_of_all() {
        let mut logits: Vec<f32> =
            (0..700).map(|at: usize| ((at * 7919) % 1009) as f32 / 50.0 - (at / 100) as f32).collect();
        logits[..40].fill(f32::NEG_INFINITY);
        (logits[333], logits[555]) = (25.0, 25.0);
        for length in [1, 7, 16, 33, 256, 700] {
            let stretches = logits.chunks(length).enumerate();
            let sum = stretches.fold(Sum::NONE, |sum, (at, part)| sum.and(sum_of(part, at * length)));
            let expected = logits.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
            assert!((sum.log() - expected).abs() < 2e-7, "by {length}: {} of {expected}", sum.log());
            assert_eq!((sum.largest, sum.first, sum.wrong), (25.0, 333, None), "by {length}");
        }
    }

    #[test]
    fn what_is_no_number_is_kept_and_shown() {
        for (wrong, at) in [(f32::NAN, 0), (f32::NAN, 50), (f32::INFINITY, 99)] {
            let mut logits = [1.0_f32; 100];
            logits[at] = wrong;
            let sum = logits.chunks(30).enumerate().fold(Sum::NONE, |sum, (n, part)| sum.and(sum_of(part, n * 30)));
            assert!(!sum.log().is_finite(), "{wrong} at {at}: {}", sum.log());
            assert!(sum.wrong.is_some_and(|found| !found.is_finite()), "{wrong} at {at}");
        }
    }
}
