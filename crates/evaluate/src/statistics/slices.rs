//! Parts of a set (categories, groups, languages): how each does, and how bad the worst may be.

use super::{Bounds, StatisticsError, clopper_pearson};
use std::collections::BTreeMap;

/// Right answers in one slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    pub name: String,
    pub n_right: u64,
    pub n: u64,
    /// Exact, and wide enough that all slices together are covered at the level asked for.
    pub bounds: Bounds,
}

/// Slices by name, and which is worst.
#[derive(Debug, Clone, PartialEq)]
pub struct Slices {
    pub slices: Vec<Slice>,
    /// Index of the slice with the lowest share, the first of equals.
    pub worst: usize,
}

/// Items under this are too few for a slice to be judged alone.
pub const FEW: u64 = 30;

/// Shares of right answers by slice, with simultaneous intervals.
///
/// Looking for the worst of K slices is looking K times: each interval is exact (Clopper and Pearson) at 1 − (1 − level)/K,
/// so that with probability `level` at least every slice, the worst one too, lies in its own (Bonferroni).
///
/// # Errors
/// `Empty`, `Lengths`, `Level`.
pub fn slices(correct: &[bool], names: &[String], level: f64) -> Result<Slices, StatisticsError> {
    if correct.len() != names.len() {
        return Err(StatisticsError::Lengths { numerators: correct.len(), denominators: names.len() });
    }
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (&right, name) in correct.iter().zip(names) {
        let (n_right, n) = counts.entry(name).or_insert((0, 0));
        *n_right += u64::from(right);
        *n += 1;
    }
    if counts.is_empty() {
        return Err(StatisticsError::Empty);
    }
    let each = 1.0 - (1.0 - level) / counts.len() as f64;
    let slices = counts
        .iter()
        .map(|(name, &(n_right, n))| {
            Ok(Slice { name: (*name).to_owned(), n_right, n, bounds: clopper_pearson(n_right, n, each)? })
        })
        .collect::<Result<Vec<_>, StatisticsError>>()?;
    let share = |slice: &Slice| slice.n_right as f64 / slice.n as f64;
    let worst =
        (1..slices.len()).fold(0, |worst, at| if share(&slices[at]) < share(&slices[worst]) { at } else { worst });
    Ok(Slices { slices, worst })
}

/// Holm's adjusted p-values, in the order of the input: the family's chance of one false alarm stays below each.
///
/// Source: Holm 1979.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&left, &right| p_values[left].total_cmp(&p_values[right]).then(left.cmp(&right)));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, &at) in order.iter().enumerate() {
        largest = largest.max(((p_values.len() - rank) as f64 * p_values[at]).min(1.0));
        adjusted[at] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: by hand; Holm of statsmodels 0.14 `multipletests([.01, .04, .03, .005], method="holm")[1]`.
    #[test]
    fn the_worst_slice_is_found_and_its_interval_is_wider() {
        let names: Vec<String> = (0..40).map(|at| if at < 20 { "a" } else { "b" }.to_owned()).collect();
        let correct: Vec<bool> = (0..40).map(|at| !(15..30).contains(&at)).collect();
        let found = slices(&correct, &names, 0.95).unwrap();
        assert_eq!((found.worst, found.slices[1].n_right, found.slices[1].n), (1, 10, 20));
        assert_eq!(found.slices[1].bounds, clopper_pearson(10, 20, 0.975).unwrap());
        for (found, expected) in holm(&[0.01, 0.04, 0.03, 0.005]).into_iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-15);
        }
    }
}
