//! The mean of scores from overlapping training parts: folds, repeated or not.

use super::{Bounds, Spread, StatisticsError, special::student_quantile, spread};

/// A mean over folds, with an interval that allows for their overlap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampled {
    pub spread: Spread,
    /// √((1/J + n_test/n_train) s²).
    pub stderr: f64,
    pub bounds: Bounds,
    /// J: folds times repeats.
    pub n_values: usize,
}

/// The corrected resampled interval.
///
/// Shapes: `values` (J,), one a fold and repeat. `test_share` is n_test ÷ n_train, 1/(K − 1) for K folds; `level` two-sided.
/// Student's t with J − 1 degrees of freedom. s/√J would be too small, for two training parts share most of their items, and
/// no unbiased estimate of the variance of K folds exists (Bengio and Grandvalet 2004).
/// Source: Nadeau and Bengio 2003, section 4; for repeated folds Bouckaert and Frank 2004.
///
/// # Errors
/// `TooFew` under two values; `NotFinite`; `Level`; `Denominator` for a share that is not above 0.
pub fn resampled(values: &[f64], test_share: f64, level: f64) -> Result<Resampled, StatisticsError> {
    if !(level > 0.0 && level < 1.0) {
        return Err(StatisticsError::Level(level));
    }
    if !(test_share > 0.0 && test_share.is_finite()) {
        return Err(StatisticsError::Denominator { found: test_share, index: 0 });
    }
    let spread = spread(values)?;
    let n = values.len() as f64;
    let stderr = ((1.0 / n + test_share) * spread.deviation.powi(2)).sqrt();
    let reach = student_quantile(0.5 * (1.0 - level), n - 1.0) * stderr;
    let bounds = Bounds { lower: spread.mean - reach, upper: spread.mean + reach };
    Ok(Resampled { spread, stderr, bounds, n_values: values.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: `tests/fixtures/statistics.py`, scipy 1.17.1 `stats.t.ppf`, numpy `std(ddof=1)`.
    #[test]
    fn the_interval_allows_for_the_overlap() {
        let values = [0.76, 0.71, 0.755, 0.745, 0.79, 0.72, 0.735, 0.77, 0.75, 0.765];
        let found = resampled(&values, 0.25, 0.95).unwrap();
        assert!((found.stderr - 0.014_083_086_782_851_75).abs() < 1e-15, "{}", found.stderr);
        assert!((found.bounds.lower - 0.718_141_844_359_863_1).abs() < 1e-13, "{}", found.bounds.lower);
        assert!((found.bounds.upper - 0.781_858_155_640_136_7).abs() < 1e-13, "{}", found.bounds.upper);
        // The plain error of the mean is smaller by √(1 + J · n_test/n_train).
        let plain = found.spread.deviation / 10_f64.sqrt();
        assert!((found.stderr / plain - 3.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(resampled(&[0.5], 0.25, 0.95), Err(StatisticsError::TooFew { least: 2, found: 1 }));
        assert!(resampled(&[0.5, 0.6], 0.0, 0.95).is_err() && resampled(&[0.5, 0.6], 0.25, 1.0).is_err());
    }
}
