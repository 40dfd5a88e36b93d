//! The bootstrap over documents.

use super::{
    Bounds, StatisticsError,
    special::{normal_below, student_quantile},
};
use crate::DocumentScore;
use evidence::Digest;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

/// Resamples when nothing asks for more; the ends of a 95 % interval are then the 50th of 2,000 or beyond.
pub const RESAMPLES: usize = 2000;
/// Two-sided confidence level of every interval here when nothing asks for another.
pub const LEVEL: f64 = 0.95;

const RESAMPLES_MIN: usize = 100;

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// B: at least 100, default 2,000.
    pub resamples: usize,
    /// Two-sided confidence level in (0, 1), default 0.95.
    pub level: f64,
    pub seed: u64,
}

impl Bootstrap {
    /// The defaults with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { resamples: RESAMPLES, level: LEVEL, seed }
    }
}

/// Interval for Σ numerators ÷ Σ denominators when the pairs (one a document) are a sample of many.
///
/// Shapes: `numerators` (N,), `denominators` (N,), all denominators above 0. Whole pairs are drawn N at a time with
/// replacement and the ratio of their sums is taken; the ends are percentiles of these, at the levels
/// Φ(±√(N/(N − 1)) t) instead of ±z. That widens the interval for few documents, where the plain percentile interval is
/// too short. Over 3,000 simulated samples, lengths spread over a factor of eight and losses that depend on length, a 95 %
/// interval enclosed the truth for 6, 10, 20 and 40 documents in 89, 91, 94 and 95 % (plain: 81, 86, 91 and 94 %); so
/// under some 20 documents an interval says more than it knows. The interval always encloses the ratio of the sample.
///
/// Deterministic: indices come from the key stream of ChaCha20 under SHA-256(`"assize bootstrap " seed`), so intervals of
/// the same documents under the same seed are drawn alike.
/// Source: Efron and Tibshirani 1993, chapter 13; the widening from Hesterberg 2015, section 4.
///
/// # Errors
/// `TooFew` under two pairs; `Lengths`, `Denominator`, `NotFinite`, `Level`, `Resamples`.
pub fn ratio_bounds(
    numerators: &[f64],
    denominators: &[f64],
    bootstrap: &Bootstrap,
) -> Result<Bounds, StatisticsError> {
    check(numerators, denominators, bootstrap)?;
    let n = numerators.len();
    let key = Digest::of(format!("assize bootstrap {}", bootstrap.seed).as_bytes());
    let mut generator = ChaCha20Rng::from_seed(*key.as_bytes());
    let mut ratios: Vec<f64> = (0..bootstrap.resamples)
        .map(|_| {
            let (mut numerator, mut denominator) = (0.0, 0.0);
            for _ in 0..n {
                let drawn = below(n as u64, &mut generator) as usize;
                numerator += numerators[drawn];
                denominator += denominators[drawn];
            }
            numerator / denominator
        })
        .collect();
    ratios.sort_by(f64::total_cmp);

    let rank = (tail(n, bootstrap.level) * (bootstrap.resamples + 1) as f64).floor() as usize;
    let rank = rank.clamp(1, bootstrap.resamples.div_ceil(2));
    let estimate = numerators.iter().sum::<f64>() / denominators.iter().sum::<f64>();
    let (lower, upper) = (ratios[rank - 1], ratios[bootstrap.resamples - rank]);
    Ok(Bounds { lower: lower.min(estimate), upper: upper.max(estimate) })
}

/// Share of resamples outside each end.
fn tail(n: usize, level: f64) -> f64 {
    let (n, outside) = (n as f64, 0.5 * (1.0 - level));
    normal_below(-(n / (n - 1.0)).sqrt() * student_quantile(outside, n - 1.0))
}

fn check(numerators: &[f64], denominators: &[f64], bootstrap: &Bootstrap) -> Result<(), StatisticsError> {
    if numerators.len() != denominators.len() {
        let (numerators, denominators) = (numerators.len(), denominators.len());
        return Err(StatisticsError::Lengths { numerators, denominators });
    }
    if numerators.len() < 2 {
        return Err(StatisticsError::TooFew { least: 2, found: numerators.len() });
    }
    if let Some(&found) = numerators.iter().chain(denominators).find(|number| !number.is_finite()) {
        return Err(StatisticsError::NotFinite(found));
    }
    if let Some(index) = denominators.iter().position(|&denominator| denominator <= 0.0) {
        return Err(StatisticsError::Denominator { found: denominators[index], index });
    }
    if !(bootstrap.level > 0.0 && bootstrap.level < 1.0) {
        return Err(StatisticsError::Level(bootstrap.level));
    }
    if bootstrap.resamples < RESAMPLES_MIN {
        return Err(StatisticsError::Resamples { least: RESAMPLES_MIN, found: bootstrap.resamples });
    }
    Ok(())
}

/// A uniform number below `n`: words from the last, incomplete run of `n` are drawn again.
fn below(n: u64, generator: &mut ChaCha20Rng) -> u64 {
    let incomplete = (u64::MAX % n + 1) % n;
    loop {
        let word = generator.next_u64();
        if word <= u64::MAX - incomplete {
            return word % n;
        }
    }
}

/// Pooled loss after minus before, in nats per token, and its interval: documents are drawn with both their scores, so
/// what makes a document hard cancels.
///
/// # Errors
/// `Unpaired` when a document's tokens differ, `Lengths`, and those of [`ratio_bounds`].
pub fn paired_change(
    before: &[DocumentScore],
    after: &[DocumentScore],
    bootstrap: &Bootstrap,
) -> Result<(f64, Bounds), StatisticsError> {
    if before.len() != after.len() {
        return Err(StatisticsError::Lengths { numerators: before.len(), denominators: after.len() });
    }
    for (document, (before, after)) in before.iter().zip(after).enumerate() {
        if before.n_tokens != after.n_tokens {
            let (before, after) = (before.n_tokens, after.n_tokens);
            return Err(StatisticsError::Unpaired { document, before, after });
        }
    }
    let changes: Vec<f64> = before.iter().zip(after).map(|(before, after)| after.nll_nats - before.nll_nats).collect();
    let tokens: Vec<f64> = before.iter().map(|score| score.n_tokens as f64).collect();
    let bounds = ratio_bounds(&changes, &tokens, bootstrap)?;
    Ok((changes.iter().sum::<f64>() / tokens.iter().sum::<f64>(), bounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uniform in [0, 1), from one generator for all trials.
    fn uniform(generator: &mut ChaCha20Rng) -> f64 {
        (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Documents as corpora have them: lengths spread over a factor of eight and rarely long, each with its own loss, and
    /// the long ones easier. Truth: E(length × loss) ÷ E(length), for length = 500 × 8^u with u uniform on [0, 1] and
    /// loss = 4.5 − u + noise: ∫ 8^u (4.5 − u) du ÷ ∫ 8^u du = 4.5 − (8 − 7/ln 8)/7 by parts.
    fn trial(n: usize, generator: &mut ChaCha20Rng) -> (Vec<f64>, Vec<f64>) {
        (0..n)
            .map(|_| {
                let u = uniform(generator);
                let noise = (0..12).map(|_| uniform(generator)).sum::<f64>() - 6.0;
                let length = 500.0 * 8_f64.powf(u);
                (length * (4.5 - u + 0.3 * noise), length)
            })
            .unzip()
    }

    fn coverage(n: usize, trials: u64) -> f64 {
        let truth = 4.5 - (8.0 - 7.0 / 8_f64.ln()) / 7.0;
        let mut generator = ChaCha20Rng::from_seed([n as u8; 32]);
        let enclosed = (0..trials).filter(|&seed| {
            let (numerators, denominators) = trial(n, &mut generator);
            let bootstrap = Bootstrap { resamples: 1000, ..Bootstrap::new(seed) };
            let bounds = ratio_bounds(&numerators, &denominators, &bootstrap).unwrap();
            (bounds.lower..=bounds.upper).contains(&truth)
        });
        enclosed.count() as f64 / trials as f64
    }

    /// 95 % nominal; 1,000 trials have a standard error of 0.7 to 1 %. At 40 documents the band is 92 to 97 %; fewer are
    /// allowed what 3,000 trials showed (89.1 % for 6, 90.5 % for 10), less two standard errors.
    #[test]
    fn intervals_cover_the_truth() {
        for (n, least) in [(6, 0.87), (10, 0.89), (40, 0.92)] {
            let coverage = coverage(n, 1000);
            println!("{n} documents: {coverage}");
            assert!((least..=0.97).contains(&coverage), "{n} documents: {coverage}");
        }
    }

    #[test]
    fn equal_documents_leave_no_doubt() {
        let bounds = ratio_bounds(&[6.0; 5], &[2.0; 5], &Bootstrap::new(1)).unwrap();
        assert_eq!(bounds, Bounds { lower: 3.0, upper: 3.0 });
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_another_seed_a_near_one() {
        let (numerators, denominators) = trial(40, &mut ChaCha20Rng::from_seed([9; 32]));
        let bounds = |seed| ratio_bounds(&numerators, &denominators, &Bootstrap::new(seed)).unwrap();
        assert_eq!(bounds(1), bounds(1));
        assert_ne!(bounds(1), bounds(2));
        // The ends of 2,000 resamples have a standard error of about 6 % of the half width; three of them.
        let width = bounds(1).upper - bounds(1).lower;
        assert!((bounds(1).lower - bounds(2).lower).abs() < 0.1 * width);
        assert!((bounds(1).upper - bounds(2).upper).abs() < 0.1 * width);
    }

    /// A change that is the same in every document has no doubt, however different the documents are.
    #[test]
    fn pairing_takes_the_documents_out_of_the_doubt() {
        let score = |nll_nats, n_tokens| DocumentScore { nll_nats, n_tokens, n_correct: 0 };
        let before: Vec<_> = (1..=20_u32).map(|i| score(f64::from(i * i), u64::from(i))).collect();
        let after: Vec<_> = before.iter().map(|s| score(s.nll_nats + 0.25 * s.n_tokens as f64, s.n_tokens)).collect();
        let (change, bounds) = paired_change(&before, &after, &Bootstrap::new(3)).unwrap();
        assert_eq!((change, bounds), (0.25, Bounds { lower: 0.25, upper: 0.25 }));
    }

    #[test]
    fn what_cannot_be_resampled_is_refused() {
        let bootstrap = Bootstrap::new(0);
        let score = |n_tokens| DocumentScore { nll_nats: 1.0, n_tokens, n_correct: 0 };
        for (result, message) in [
            (ratio_bounds(&[1.0], &[1.0], &bootstrap), "expected at least 2 values, found 1"),
            (ratio_bounds(&[1.0; 3], &[1.0; 2], &bootstrap), "expected as many denominators as numerators, 3, found 2"),
            (ratio_bounds(&[1.0; 2], &[1.0, 0.0], &bootstrap), "expected a denominator above 0, found 0 at index 1"),
            (ratio_bounds(&[f64::NAN, 1.0], &[1.0; 2], &bootstrap), "expected a finite number, found NaN"),
            (
                ratio_bounds(&[1.0; 2], &[1.0; 2], &Bootstrap { level: 1.0, ..bootstrap }),
                "expected a level of confidence above 0 and below 1, found 1",
            ),
            (
                ratio_bounds(&[1.0; 2], &[1.0; 2], &Bootstrap { resamples: 99, ..bootstrap }),
                "expected at least 100 resamples, found 99",
            ),
            (
                paired_change(&[score(1), score(2)], &[score(1), score(3)], &bootstrap).map(|(_, bounds)| bounds),
                "expected document 1 to hold 2 tokens after as before, found 3",
            ),
        ] {
            assert_eq!(result.unwrap_err().to_string(), message);
        }
    }
}
