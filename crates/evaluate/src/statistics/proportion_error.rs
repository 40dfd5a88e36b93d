//! A share found by a scorer that errs.

use super::{Bounds, StatisticsError, special::normal_quantile};

/// A corrected share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corrected {
    pub share: f64,
    pub stderr: f64,
    pub bounds: Bounds,
}

/// Under this much of sensitivity + specificity − 1 a scorer tells nothing.
const LEAST: f64 = 0.1;

/// (p + Sp − 1) ÷ (Se + Sp − 1), with the errors of all three shares carried on; clipped to \[0, 1\].
///
/// Each argument is k of n: what was called so among the items; called so among those that are so; called not so among
/// those that are not. Source: Rogan and Gladen 1978.
///
/// # Errors
/// `Counts`, `Level`; `Scorer` when Se + Sp − 1 is under 0.1.
pub fn corrected(
    called: (u64, u64),
    sensitivity: (u64, u64),
    specificity: (u64, u64),
    level: f64,
) -> Result<Corrected, StatisticsError> {
    for (k, n) in [called, sensitivity, specificity] {
        if n == 0 || k > n {
            return Err(StatisticsError::Counts { k, n });
        }
    }
    if !(level > 0.0 && level < 1.0) {
        return Err(StatisticsError::Level(level));
    }
    let share = |(k, n): (u64, u64)| k as f64 / n as f64;
    let (p, se, sp) = (share(called), share(sensitivity), share(specificity));
    let informative = se + sp - 1.0;
    if informative < LEAST {
        return Err(StatisticsError::Scorer(informative));
    }
    let corrected = ((p + sp - 1.0) / informative).clamp(0.0, 1.0);
    let variance = p * (1.0 - p) / called.1 as f64
        + corrected.powi(2) * se * (1.0 - se) / sensitivity.1 as f64
        + (1.0 - corrected).powi(2) * sp * (1.0 - sp) / specificity.1 as f64;
    let stderr = variance.sqrt() / informative;
    let reach = normal_quantile(0.5 * (1.0 + level)) * stderr;
    let bounds = Bounds { lower: (corrected - reach).max(0.0), upper: (corrected + reach).min(1.0) };
    Ok(Corrected { share: corrected, stderr, bounds })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: p 0.3, Se 0.9, Sp 0.8: (0.3 − 0.2)/0.7 = 1/7; variance (0.21/100 + 0.09/49/50 + 36/49 · 0.16/50)/0.49.
    #[test]
    fn a_share_is_corrected_for_its_scorer() {
        let found = corrected((30, 100), (45, 50), (40, 50), 0.95).unwrap();
        assert!((found.share - 1.0 / 7.0).abs() < 1e-15);
        let variance = (0.21 / 100.0 + 0.09 / 49.0 / 50.0 + 36.0 / 49.0 * 0.16 / 50.0) / 0.49;
        assert!((found.stderr - f64::sqrt(variance)).abs() < 1e-15);
        assert!(matches!(corrected((1, 2), (1, 2), (1, 2), 0.95), Err(StatisticsError::Scorer(_))));
    }
}
