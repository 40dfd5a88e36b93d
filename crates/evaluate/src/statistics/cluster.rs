//! Items that hang together: questions on one passage, sentences of one template, answers to one prompt.

use super::{Bounds, LEVEL, StatisticsError, special::student_quantile};
use std::collections::BTreeMap;

/// A mean whose error allows for clusters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusteredMean {
    pub mean: f64,
    pub stderr: f64,
    /// At 95 %, Student's t with one degree of freedom less than clusters.
    pub bounds: Bounds,
    pub n_clusters: usize,
    /// (error with clusters ÷ error without)²: how many times more items the same certainty costs.
    pub design_effect: f64,
}

/// Mean of `values` (N,) in `clusters` (N,).
///
/// √(G/(G − 1) Σ_g (Σ_{i in g} (s_i − mean))²) ÷ n. Deterministic: clusters are summed in the order of their names.
/// Source: Liang and Zeger 1986 in the form of Miller 2024 (arXiv 2411.00640), with G/(G − 1).
///
/// # Errors
/// `Lengths`; `TooFew` under two clusters.
pub fn clustered_mean(values: &[f64], clusters: &[String]) -> Result<ClusteredMean, StatisticsError> {
    if values.len() != clusters.len() {
        return Err(StatisticsError::Lengths { numerators: values.len(), denominators: clusters.len() });
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for (value, cluster) in values.iter().zip(clusters) {
        *sums.entry(cluster).or_insert(0.0) += value - mean;
    }
    let n_clusters = sums.len();
    if n_clusters < 2 {
        return Err(StatisticsError::TooFew { least: 2, found: n_clusters });
    }
    let degrees = n_clusters as f64 - 1.0;
    let squares: f64 = sums.values().map(|sum| sum * sum).sum();
    let stderr = (n_clusters as f64 / degrees * squares).sqrt() / n;
    let apart = super::harness::mean_stderr(values).unwrap_or(0.0);
    let reach = student_quantile(0.5 * (1.0 - LEVEL), degrees) * stderr;
    let design_effect = if apart == 0.0 { 1.0 } else { (stderr / apart).powi(2) };
    Ok(ClusteredMean {
        mean,
        stderr,
        bounds: Bounds { lower: mean - reach, upper: mean + reach },
        n_clusters,
        design_effect,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: one item a cluster gives the plain error, √(G/(G−1) Σ d²)/n = s/√n; each item twice doubles the variance,
    /// but for n − 1: 4 clusters of 2, Σ (2·½)² = 4, √(4/3 · 4)/8 = 0.28868.
    #[test]
    fn copies_add_no_certainty() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let single = clustered_mean(&[1.0, 0.0, 1.0, 0.0], &names(&["a", "b", "c", "d"])).unwrap();
        assert!((single.design_effect - 1.0).abs() < 1e-12);
        let twice = clustered_mean(
            &[1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
            &names(&["a", "a", "b", "b", "c", "c", "d", "d"]),
        )
        .unwrap();
        assert!((twice.stderr - 12_f64.sqrt().recip()).abs() < 1e-12 && (twice.stderr - single.stderr).abs() < 1e-12);
        assert_eq!(twice.n_clusters, 4);
        assert!(clustered_mean(&[1.0], &names(&["a"])).is_err());
    }
}
