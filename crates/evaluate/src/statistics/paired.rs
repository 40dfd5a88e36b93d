//! Two models on the same items.

use super::{Bootstrap, Bounds, StatisticsError, ratio_bounds, special::incomplete_beta};

/// What McNemar's test says of two yes-or-no scores of the same items.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// Items only the first has right, and only the second.
    pub only_first: u64,
    pub only_second: u64,
    /// Exact two-sided probability of a split as uneven or more, were both equally good.
    pub p_exact: f64,
    /// The same with the observed split counted half: nearer its level, for display.
    pub p_mid: f64,
}

/// McNemar's exact test on items that exactly one of two models has right.
///
/// Source: McNemar 1947; mid-p as Fagerland, Lydersen and Laake 2013.
///
/// # Errors
/// `Lengths`; `Empty` for no items.
pub fn mcnemar(first: &[bool], second: &[bool]) -> Result<McNemar, StatisticsError> {
    if first.len() != second.len() {
        return Err(StatisticsError::Lengths { numerators: first.len(), denominators: second.len() });
    }
    if first.is_empty() {
        return Err(StatisticsError::Empty);
    }
    let count =
        |wanted: (bool, bool)| first.iter().zip(second).filter(|pair| (*pair.0, *pair.1) == wanted).count() as u64;
    let (only_first, only_second) = (count((true, false)), count((false, true)));
    let (fewer, n) = (only_first.min(only_second), only_first + only_second);
    let below = half_binomial_at_most(fewer, n);
    let at = below - if fewer == 0 { 0.0 } else { half_binomial_at_most(fewer - 1, n) };
    let p_exact = (2.0 * below).min(1.0);
    let p_mid = if only_first == only_second { 1.0 - 0.5 * at } else { 2.0 * below - at };
    Ok(McNemar { only_first, only_second, p_exact, p_mid })
}

/// P(X ≤ k) for X binomial of n with ½; 1 when n is 0. Through the incomplete beta function.
fn half_binomial_at_most(k: u64, n: u64) -> f64 {
    if k >= n { 1.0 } else { incomplete_beta((n - k) as f64, (k + 1) as f64, 0.5) }
}

/// Mean of second − first over the same items, its standard error and a bootstrap interval over whole pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    pub mean: f64,
    pub stderr: f64,
    pub bounds: Bounds,
    /// The smallest true difference that n items would show four times in five at the level of the interval; `None` where all
    /// pairs differ alike, for then nothing tells their spread.
    pub detectable: Option<f64>,
}

/// # Errors
/// `Lengths`, `TooFew` under two items, and those of [`ratio_bounds`].
pub fn paired_difference(
    first: &[f64],
    second: &[f64],
    bootstrap: &Bootstrap,
) -> Result<PairedDifference, StatisticsError> {
    if first.len() != second.len() {
        return Err(StatisticsError::Lengths { numerators: first.len(), denominators: second.len() });
    }
    let differences: Vec<f64> = first.iter().zip(second).map(|(first, second)| second - first).collect();
    let bounds = ratio_bounds(&differences, &vec![1.0; differences.len()], bootstrap)?;
    let spread = super::spread(&differences)?;
    let stderr = spread.deviation / (differences.len() as f64).sqrt();
    // z of a power of 0.8.
    let z = super::special::normal_quantile(0.5 * (1.0 + bootstrap.level)) + super::special::normal_quantile(0.8);
    Ok(PairedDifference { mean: spread.mean, stderr, bounds, detectable: (stderr > 0.0).then_some(z * stderr) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(only_first: usize, only_second: usize, both: usize) -> McNemar {
        let first = [vec![true; only_first], vec![false; only_second], vec![true; both]].concat();
        let second = [vec![false; only_first], vec![true; only_second], vec![true; both]].concat();
        mcnemar(&first, &second).unwrap()
    }

    /// Expected: scipy, `binomtest(min(b, c), b + c, 0.5).pvalue`; mid-p `2 * binom.cdf(k, n, .5) - binom.pmf(k, n, .5)`.
    #[test]
    fn probabilities_are_those_of_scipy() {
        for (b, c, exact, mid) in [
            (3, 10, 0.09228515625, 0.05737304687500002),
            (12, 5, 0.143463134765625, 0.09625244140624994),
            (0, 6, 0.03125, 0.015624999999999879),
            (40, 55, 0.1505180638902294, 0.1253456971884923),
            (4, 4, 1.0, 0.86328125),
        ] {
            let found = pairs(b, c, 7);
            assert!((found.p_exact - exact).abs() < 1e-12, "{b} {c}: {}", found.p_exact);
            assert!((found.p_mid - mid).abs() < 1e-12, "{b} {c}: {}", found.p_mid);
        }
        assert_eq!(pairs(0, 0, 3).p_exact, 1.0);
    }

    /// By hand: differences 1, 0, 1, 0 have mean ½ and deviation 1/√3, so the error is 1/(2√3).
    #[test]
    fn what_makes_items_hard_cancels() {
        let found = paired_difference(&[0.0, 0.0, 5.0, 5.0], &[1.0, 0.0, 6.0, 5.0], &Bootstrap::new(1)).unwrap();
        assert!((found.mean - 0.5).abs() < 1e-15 && (found.stderr - 1.0 / 12_f64.sqrt()).abs() < 1e-15);
        assert!(found.bounds.lower >= 0.0 && found.bounds.upper <= 1.0);
        assert!(found.detectable.is_some_and(|least| least > 0.5));
        // Two items answered alike do not show that any difference, however small, would be seen.
        let alike = paired_difference(&[0.0, 1.0], &[0.0, 1.0], &Bootstrap::new(1)).unwrap();
        assert_eq!((alike.stderr, alike.detectable), (0.0, None));
        assert!(paired_difference(&[1.0], &[1.0, 2.0], &Bootstrap::new(1)).is_err());
    }
}
