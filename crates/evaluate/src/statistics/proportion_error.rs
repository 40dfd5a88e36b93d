//! A share found by a scorer that errs.

use super::{Bounds, StatisticsError, clopper_pearson};

/// A corrected share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corrected {
    pub share: f64,
    pub bounds: Bounds,
}

/// Under this much of sensitivity + specificity − 1 a scorer tells nothing.
const LEAST: f64 = 0.1;

/// (p + Sp − 1) ÷ (Se + Sp − 1), clipped to \[0, 1\], with bounds that carry the uncertainty of all three shares.
///
/// Each argument is k of n: what was called so among the items; called so among those that are so; called not so among
/// those that are not.
///
/// The corrected share rises with p and Sp and falls with Se, so its bounds are those at the ends of three exact intervals, each
/// at 1 − (1 − level)/3: all three hold together at `level` (Bonferroni), and so do these, for any counts. Where the ends
/// contradict each other, more being called so than the scorer can find, or less than it must get wrong, the share of the
/// scorer that says so is taken as 1. A sum of squares (Wald, or the recovery of variances) would be narrower and too narrow: at none
/// called so it forgets that a scorer which finds little would call none in any case.
/// Source: Rogan and Gladen 1978; the ends after Clopper and Pearson 1934.
///
/// # Errors
/// `Counts`, `Level`; `Scorer` when Se + Sp − 1 is under 0.1.
pub fn corrected(
    called: (u64, u64),
    sensitivity: (u64, u64),
    specificity: (u64, u64),
    level: f64,
) -> Result<Corrected, StatisticsError> {
    if !(level > 0.0 && level < 1.0) {
        return Err(StatisticsError::Level(level));
    }
    let each = 1.0 - (1.0 - level) / 3.0;
    let ends = |(k, n): (u64, u64)| clopper_pearson(k, n, each);
    let (of_p, of_se, of_sp) = (ends(called)?, ends(sensitivity)?, ends(specificity)?);
    let share = |(k, n): (u64, u64)| k as f64 / n as f64;
    let (p, se, sp) = (share(called), share(sensitivity), share(specificity));
    if se + sp - 1.0 < LEAST {
        return Err(StatisticsError::Scorer(se + sp - 1.0));
    }
    let share = at(p, se, sp).unwrap_or(0.0).clamp(0.0, 1.0);
    let upper = match at(of_p.upper, of_se.lower, of_sp.upper) {
        Some(upper) if upper > 0.0 => upper,
        // Fewer are called so than the scorer would call so by mistake.
        Some(_) => at(of_p.upper, of_se.lower, 1.0).unwrap_or(1.0),
        None => 1.0,
    };
    let lower = match at(of_p.lower, of_se.upper, of_sp.lower) {
        Some(lower) if lower < 1.0 => lower,
        // More are called so than the scorer would find.
        Some(_) => at(of_p.lower, 1.0, of_sp.lower).unwrap_or(0.0),
        None => 0.0,
    };
    let bounds = Bounds { lower: lower.clamp(0.0, 1.0).min(share), upper: upper.clamp(0.0, 1.0).max(share) };
    Ok(Corrected { share, bounds })
}

/// The corrected share; `None` where the scorer tells nothing.
fn at(p: f64, se: f64, sp: f64) -> Option<f64> {
    let informative = se + sp - 1.0;
    (informative > 0.0).then(|| (p + sp - 1.0) / informative)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Called, sensitivity, specificity; lower and upper bound.
    type Case = ((u64, u64), (u64, u64), (u64, u64), f64, f64);
    const BY_SCIPY: [Case; 5] = [
        ((30, 100), (45, 50), (40, 50), 0.0, 0.503_186_432_546_089_3),
        ((0, 25), (2, 10), (110, 110), 0.0, 1.0),
        ((0, 25), (45, 50), (40, 50), 0.0, 0.133_860_624_154_317_01),
        ((60, 100), (90, 100), (95, 100), 0.418_070_016_853_142_7, 0.886_636_783_935_563_7),
        ((100, 100), (50, 50), (50, 50), 0.948_555_703_682_243_1, 1.0),
    ];

    /// The share by hand: p 0.3, Se 0.9, Sp 0.8: (0.3 − 0.2)/0.7 = 1/7. The bounds by scipy 1.17.1, `beta.ppf` at (1 − 0.95)/6.
    #[test]
    fn a_share_is_corrected_for_its_scorer() {
        let found = corrected((30, 100), (45, 50), (40, 50), 0.95).unwrap();
        assert!((found.share - 1.0 / 7.0).abs() < 1e-15);
        assert!(matches!(corrected((1, 2), (1, 2), (1, 2), 0.95), Err(StatisticsError::Scorer(_))));
        for (called, se, sp, lower, upper) in BY_SCIPY {
            let Bounds { lower: low, upper: high } = corrected(called, se, sp, 0.95).unwrap().bounds;
            assert!(
                (low - lower).abs() < 1e-9 && (high - upper).abs() < 1e-9,
                "{called:?} {se:?} {sp:?}: {low} {high}"
            );
        }
    }

    /// None and all called so leave room, whatever the scorer's counts.
    #[test]
    fn no_interval_is_without_width() {
        for n in [1, 5, 25, 1000] {
            for (se, sp) in
                [((2, 10), (110, 110)), ((50, 50), (50, 50)), ((45, 50), (40, 50)), ((400, 500), (300, 500))]
            {
                let Bounds { lower, upper } = corrected((0, n), se, sp, 0.95).unwrap().bounds;
                assert!(lower == 0.0 && upper > 0.0, "0 of {n}, {se:?}, {sp:?}: {upper}");
                let Bounds { lower, upper } = corrected((n, n), se, sp, 0.95).unwrap().bounds;
                assert!(lower < 1.0 && upper == 1.0, "{n} of {n}, {se:?}, {sp:?}: {lower}");
            }
        }
    }

    /// Probability that the bounds hold the truth, summed over every outcome of the three counts.
    fn coverage(sizes: [u64; 3], theta: f64, se: f64, sp: f64) -> f64 {
        let p = theta * se + (1.0 - theta) * (1.0 - sp);
        let masses = |n: u64, p: f64| -> Vec<f64> {
            let mut choose = 1.0;
            let mut of = Vec::new();
            for k in 0..=n {
                of.push(choose * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32));
                choose *= (n - k) as f64 / (k + 1) as f64;
            }
            of
        };
        let of = [masses(sizes[0], p), masses(sizes[1], se), masses(sizes[2], sp)];
        let (mut covered, mut said) = (0.0, 0.0);
        for (a, &at_a) in of[0].iter().enumerate() {
            for (b, &at_b) in of[1].iter().enumerate() {
                for (c, &at_c) in of[2].iter().enumerate() {
                    let mass = at_a * at_b * at_c;
                    let pair = |k: usize, n: u64| (k as u64, n);
                    let counts = [pair(a, sizes[0]), pair(b, sizes[1]), pair(c, sizes[2])];
                    if mass < 1e-12 {
                        continue;
                    }
                    if let Ok(found) = corrected(counts[0], counts[1], counts[2], 0.95) {
                        said += mass;
                        let Bounds { lower, upper } = found.bounds;
                        covered += if lower - 1e-12 <= theta && theta <= upper + 1e-12 { mass } else { 0.0 };
                    }
                }
            }
        }
        covered / said
    }

    #[test]
    fn bounds_hold_at_least_as_often_as_they_say() {
        for theta in [0.0, 0.1, 0.5, 0.9, 1.0] {
            for (sizes, se, sp) in [([12, 10, 10], 0.9, 0.85), ([20, 8, 12], 0.6, 0.95), ([10, 10, 20], 0.4, 1.0)] {
                let found = coverage(sizes, theta, se, sp);
                assert!(found >= 0.95, "{sizes:?}, {theta}, {se}, {sp}: {found}");
            }
        }
    }
}
