//! Whether confidence is earned: expected calibration error, Brier score and its parts, the reliability diagram.

use super::{Bounds, LEVEL, StatisticsError, harness::replicates, wilson};

/// Calibration of answers given with a confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Σ n_b/n |accuracy_b − confidence_b| over bins of equal mass.
    pub ece: f64,
    pub ece_bins: usize,
    /// Largest gap of one bin.
    pub mce: f64,
    /// |mean confidence − accuracy|.
    pub ece_1: f64,
    /// Mean squared distance of confidence to 1 for right, 0 for wrong.
    pub brier: f64,
    /// Its parts over the same bins (Murphy 1973): reliability − resolution + uncertainty, but for the spread within bins.
    pub reliability: f64,
    pub resolution: f64,
    pub uncertainty: f64,
}

/// Bins unless fewer items call for fewer; HELM's number.
pub const BINS: usize = 10;

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    pub n: u64,
    pub n_right: u64,
    /// Mean confidence.
    pub confidence: f64,
    /// Share of right answers.
    pub accuracy: f64,
    /// Wilson's interval of that share, 95 %.
    pub bounds: Bounds,
}

/// Equal-mass bins from the least confident to the most: what a reliability diagram draws.
///
/// Arguments as for [`calibration`], which sums over these bins.
///
/// # Errors
/// As [`calibration`].
pub fn diagram(confidence: &[f64], correct: &[bool], n_bins: usize) -> Result<Vec<Bin>, StatisticsError> {
    let bins = bins(confidence, correct, n_bins)?;
    let bin = |items: &Vec<usize>| {
        let (n, n_right) = (items.len() as u64, items.iter().filter(|&&at| correct[at]).count() as u64);
        let confidence = items.iter().map(|&at| confidence[at]).sum::<f64>() / n as f64;
        let bounds = wilson(n_right, n, LEVEL)?;
        Ok(Bin { n, n_right, confidence, accuracy: n_right as f64 / n as f64, bounds })
    };
    bins.iter().map(bin).collect()
}

/// The middle 95 % of the calibration error over resamples of items.
///
/// A resample's error is biased upward like the figure itself, so the interval lies high for few items; it says how much
/// the figure moves, and a gate on its lower end errs on the careful side. Deterministic: resample i of chunk c is drawn from
/// `Random(c)`.
///
/// # Errors
/// As [`calibration`].
pub fn ece_bounds(confidence: &[f64], correct: &[bool], n_bins: usize) -> Result<Bounds, StatisticsError> {
    const RESAMPLES: usize = 2000;
    let whole = calibration(confidence, correct, n_bins)?.ece;
    let of = |drawn: &[usize]| {
        let confidence: Vec<f64> = drawn.iter().map(|&at| confidence[at]).collect();
        let correct: Vec<bool> = drawn.iter().map(|&at| correct[at]).collect();
        calibration(&confidence, &correct, n_bins).map_or(f64::NAN, |found| found.ece)
    };
    let mut drawn = replicates(confidence.len(), RESAMPLES, &of);
    drawn.sort_by(f64::total_cmp);
    let rank = (drawn.len() as f64 * 0.5 * (1.0 - LEVEL)).floor() as usize;
    Ok(Bounds { lower: drawn[rank].min(whole), upper: drawn[drawn.len() - 1 - rank].max(whole) })
}

/// Items by bin: sorted by confidence, of equals in their order, cut into bins whose sizes differ by one at most.
fn bins(confidence: &[f64], correct: &[bool], n_bins: usize) -> Result<Vec<Vec<usize>>, StatisticsError> {
    if confidence.len() != correct.len() {
        return Err(StatisticsError::Lengths { numerators: confidence.len(), denominators: correct.len() });
    }
    if let Some(&found) = confidence.iter().find(|found| !(0.0..=1.0).contains(*found)) {
        return Err(StatisticsError::NotFinite(found));
    }
    let n = confidence.len();
    if n == 0 || n_bins == 0 {
        return Err(StatisticsError::Empty);
    }
    let n_bins = n_bins.min(n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&left, &right| confidence[left].total_cmp(&confidence[right]).then(left.cmp(&right)));
    let mut rest = order.as_slice();
    let mut bins = Vec::with_capacity(n_bins);
    for bin in 0..n_bins {
        let (items, after) = rest.split_at(n / n_bins + usize::from(bin < n % n_bins));
        bins.push(items.to_vec());
        rest = after;
    }
    Ok(bins)
}

/// Shapes: `confidence` (N,) in \[0, 1\], `correct` (N,). Unit: fraction, lower is better.
///
/// Items are sorted by confidence (of equals in their order) and cut into `n_bins` bins whose sizes differ by one at most,
/// the larger first. ECE is biased upward for small N; the number of bins goes with the figure.
/// Source: Naeini 2015, Guo 2017 equation 3; equal mass as Nixon 2019.
///
/// # Errors
/// `Empty`, `Lengths`; `NotFinite` for a confidence outside \[0, 1\].
pub fn calibration(confidence: &[f64], correct: &[bool], n_bins: usize) -> Result<Calibration, StatisticsError> {
    let n = confidence.len();
    let bins = bins(confidence, correct, n_bins)?;
    let share = |items: &[usize]| items.iter().filter(|&&at| correct[at]).count() as f64 / items.len() as f64;
    let mean = |items: &[usize]| items.iter().map(|&at| confidence[at]).sum::<f64>() / items.len() as f64;
    let order = bins.concat();
    let accuracy = share(&order);
    let (mut ece, mut mce, mut reliability, mut resolution) = (0.0, 0.0_f64, 0.0, 0.0);
    for items in &bins {
        let (right, confident, weight) = (share(items), mean(items), items.len() as f64 / n as f64);
        let gap = (right - confident).abs();
        ece += weight * gap;
        mce = mce.max(gap);
        reliability += weight * gap * gap;
        resolution += weight * (right - accuracy).powi(2);
    }
    let brier = (0..n).map(|at| (confidence[at] - f64::from(u8::from(correct[at]))).powi(2)).sum::<f64>() / n as f64;
    Ok(Calibration {
        ece,
        ece_bins: bins.len(),
        mce,
        ece_1: (mean(&order) - accuracy).abs(),
        brier,
        reliability,
        resolution,
        uncertainty: accuracy * (1.0 - accuracy),
    })
}

/// Shares of a soft-max over log-likelihoods, by log-sum-exp.
#[must_use]
pub fn softmax(log_likelihoods: &[f64]) -> Vec<f64> {
    let largest = log_likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = log_likelihoods.iter().map(|value| (value - largest).exp()).sum();
    log_likelihoods.iter().map(|value| (value - largest).exp() / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: bins {0.2, 0.4} with one right and {0.6, 0.9} with both right: gaps 0.2 and 0.25.
    #[test]
    fn bins_have_equal_mass() {
        let found = calibration(&[0.9, 0.2, 0.6, 0.4], &[true, false, true, true], 2).unwrap();
        assert!((found.ece - 0.225).abs() < 1e-15 && (found.mce - 0.25).abs() < 1e-15);
        assert!((found.ece_1 - (0.525_f64 - 0.75).abs()).abs() < 1e-15);
        assert!((found.brier - (0.01 + 0.04 + 0.16 + 0.36) / 4.0).abs() < 1e-15);
        assert!((found.uncertainty - 0.1875).abs() < 1e-15);
        // With one item a bin nothing is spread within bins, and the parts make the whole.
        let single = calibration(&[0.9, 0.2, 0.6, 0.4], &[true, false, true, true], 4).unwrap();
        assert!((single.reliability - single.resolution + single.uncertainty - single.brier).abs() < 1e-15);
        assert!(calibration(&[1.5], &[true], 1).is_err() && calibration(&[], &[], 1).is_err());
    }

    /// By hand: the bins of the test above, Wilson of 1 of 2 as in `proportion`.
    #[test]
    fn a_diagram_shows_the_bins() {
        let found = diagram(&[0.9, 0.2, 0.6, 0.4], &[true, false, true, true], 2).unwrap();
        let shown: Vec<(u64, u64, f64)> = found.iter().map(|bin| (bin.n, bin.n_right, bin.accuracy)).collect();
        assert_eq!(shown, [(2, 1, 0.5), (2, 2, 1.0)]);
        assert!((found[0].confidence - 0.3).abs() < 1e-15 && (found[1].confidence - 0.75).abs() < 1e-15);
        assert_eq!(found[0].bounds, wilson(1, 2, LEVEL).unwrap());
        let bounds = ece_bounds(&[0.9, 0.2, 0.6, 0.4], &[true, false, true, true], 2).unwrap();
        assert!(bounds.lower <= 0.225 && bounds.upper >= 0.225 && bounds.lower >= 0.0 && bounds.upper <= 1.0);
    }

    #[test]
    fn softmax_holds_far_down() {
        assert_eq!(softmax(&[-1000.0, -1000.0]), [0.5, 0.5]);
        assert!((softmax(&[0.0, 2_f64.ln()])[1] - 2.0 / 3.0).abs() < 1e-15);
    }
}
