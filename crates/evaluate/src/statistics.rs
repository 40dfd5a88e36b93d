//! From scores to figures with intervals.
//!
//! All sums run in the order of their inputs, in f64; all random draws come from the seed.

mod bootstrap;
pub mod calibration;
pub mod cluster;
pub mod harness;
pub mod paired;
mod proportion;
pub mod proportion_error;
pub mod resampled;
pub mod slices;
mod special;

pub use bootstrap::{Bootstrap, LEVEL, RESAMPLES, paired_change, ratio_bounds};
pub use proportion::{clopper_pearson, wilson};

use crate::DocumentScore;

/// Two ends of an interval, `lower` ≤ `upper`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    pub lower: f64,
    pub upper: f64,
}

impl Bounds {
    /// Of a share: Student's t and the normal know no ends, a share has 0 and 1.
    #[must_use]
    pub fn of_share(self) -> Self {
        Self { lower: self.lower.clamp(0.0, 1.0), upper: self.upper.clamp(0.0, 1.0) }
    }
}

/// The scores of all documents together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pooled {
    pub n_documents: u64,
    pub n_tokens: u64,
    pub n_correct: u64,
    /// Σ nll ÷ Σ tokens, in nats per token.
    pub loss_nats: f64,
    /// exp(loss), per token.
    pub perplexity: f64,
    /// Σ correct ÷ Σ tokens, in [0, 1].
    pub accuracy: f64,
}

/// Pools scores: every token weighs the same, whatever document it stands in.
///
/// Deterministic: summed in the order of the documents.
///
/// # Errors
/// `Empty` if there is no token.
pub fn pooled(scores: &[DocumentScore]) -> Result<Pooled, StatisticsError> {
    let n_tokens: u64 = scores.iter().map(|score| score.n_tokens).sum();
    let n_correct: u64 = scores.iter().map(|score| score.n_correct).sum();
    if n_tokens == 0 {
        return Err(StatisticsError::Empty);
    }
    let loss_nats = scores.iter().map(|score| score.nll_nats).sum::<f64>() / n_tokens as f64;
    let accuracy = n_correct as f64 / n_tokens as f64;
    let n_documents = scores.len() as u64;
    Ok(Pooled { n_documents, n_tokens, n_correct, loss_nats, perplexity: loss_nats.exp(), accuracy })
}

/// Of a list of figures, such as the losses of folds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub mean: f64,
    /// Sample standard deviation, divisor N − 1; not a standard error.
    pub deviation: f64,
    pub least: f64,
    pub largest: f64,
}

/// Mean and spread of `values` (N,), in their unit; two passes, in order.
///
/// # Errors
/// `TooFew` under two values; `NotFinite` for a NaN or an infinity.
pub fn spread(values: &[f64]) -> Result<Spread, StatisticsError> {
    if values.len() < 2 {
        return Err(StatisticsError::TooFew { least: 2, found: values.len() });
    }
    if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
        return Err(StatisticsError::NotFinite(value));
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // A sum of equal values may miss them by a rounding; the mean never leaves their range.
    Ok(Spread { mean: mean.clamp(least, largest), deviation: (squares / (n - 1.0)).sqrt(), least, largest })
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatisticsError {
    #[error("expected scores of at least one token, found none")]
    Empty,
    #[error("expected at least {least} values, found {found}")]
    TooFew { least: usize, found: usize },
    #[error("expected a finite number, found {0}")]
    NotFinite(f64),
    #[error("expected as many denominators as numerators, {numerators}, found {denominators}")]
    Lengths { numerators: usize, denominators: usize },
    #[error("expected a denominator above 0, found {found} at index {index}")]
    Denominator { found: f64, index: usize },
    #[error("expected document {document} to hold {before} tokens after as before, found {after}")]
    Unpaired { document: usize, before: u64, after: u64 },
    #[error("expected a level of confidence above 0 and below 1, found {0}")]
    Level(f64),
    #[error("expected at least {least} resamples, found {found}")]
    Resamples { least: usize, found: usize },
    #[error("expected k of n with n above 0 and k at most n, found {k} of {n}")]
    Counts { k: u64, n: u64 },
    #[error("expected a scorer whose sensitivity and specificity exceed 1 together by at least 0.1, found {0}")]
    Scorer(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_a_share_end_at_none_and_all() {
        let bounds = Bounds { lower: -1.4639, upper: 2.4639 };
        assert_eq!(bounds.of_share(), Bounds { lower: 0.0, upper: 1.0 });
        let within = Bounds { lower: 0.25, upper: 0.75 };
        assert_eq!(within.of_share(), within);
    }

    /// By hand: (2 + 4 + 3) ÷ (1 + 3 + 2) = 1.5; e^1.5 of python3 `math.exp(1.5)`; 3 ÷ 6.
    #[test]
    fn pooling_weighs_tokens_not_documents() {
        let score = |nll_nats, n_tokens, n_correct| DocumentScore { nll_nats, n_tokens, n_correct };
        let pooled = pooled(&[score(2.0, 1, 1), score(4.0, 3, 2), score(3.0, 2, 0)]).unwrap();
        assert_eq!((pooled.n_documents, pooled.n_tokens, pooled.n_correct), (3, 6, 3));
        assert_eq!((pooled.loss_nats, pooled.accuracy), (1.5, 0.5));
        assert!((pooled.perplexity - 4.481_689_070_338_065).abs() < 1e-15);
        assert_eq!(super::pooled(&[]), Err(StatisticsError::Empty));
    }

    /// Expected: python3 `statistics.mean` and `statistics.stdev` of the same values.
    #[test]
    fn spread_is_the_sample_deviation() {
        let spread = spread(&[5.02, 4.95, 5.11]).unwrap();
        assert!((spread.mean - 5.026_666_666_666_666).abs() < 1e-15);
        assert!((spread.deviation - 0.080_208_062_770_106_6).abs() < 1e-15);
        assert_eq!((spread.least, spread.largest), (4.95, 5.11));
        assert_eq!(super::spread(&[1.0]), Err(StatisticsError::TooFew { least: 2, found: 1 }));
        assert_eq!(super::spread(&[1.0, f64::INFINITY]), Err(StatisticsError::NotFinite(f64::INFINITY)));
        let equal = super::spread(&[0.1; 3]).unwrap();
        assert_eq!((equal.mean, equal.least, equal.largest), (0.1, 0.1, 0.1));
    }
}
