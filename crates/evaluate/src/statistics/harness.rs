//! Standard errors as lm-evaluation-harness prints them, to the draw.
//!
//! Source: `lm_eval/api/metrics.py`, version 0.4.13.

use crate::tasks::random::Random;
use std::thread;

/// Resamples of the harness.
pub const ITERATIONS: usize = 100_000;
const CHUNK: usize = 1000;

/// s ÷ √n, with the n − 1 deviation; `None` under two values.
#[must_use]
pub fn mean_stderr(values: &[f64]) -> Option<f64> {
    sample_deviation(values).map(|deviation| deviation / (values.len() as f64).sqrt())
}

fn sample_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    Some((values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// Deviation of a statistic over resamples: chunk i of 1,000 draws from `Random(i)`, each resample by `choices`.
///
/// `statistic` gets indices of the items drawn. Deterministic: chunks are put together in their order, whatever thread
/// made them. `None` under two items or where a replicate is not finite.
#[must_use]
pub fn bootstrap_stderr(n: usize, iterations: usize, statistic: &(dyn Fn(&[usize]) -> f64 + Sync)) -> Option<f64> {
    if n < 2 || iterations == 0 {
        return None;
    }
    sample_deviation(&replicates(n, iterations, statistic)).filter(|deviation| deviation.is_finite())
}

/// The statistic of each resample, in order.
#[must_use]
pub fn replicates(n: usize, iterations: usize, statistic: &(dyn Fn(&[usize]) -> f64 + Sync)) -> Vec<f64> {
    let chunk_size = CHUNK.min(iterations);
    let n_chunks = iterations / chunk_size;
    let n_threads = thread::available_parallelism().map_or(1, usize::from).min(n_chunks);
    let chunk = |seed: usize| {
        let mut random = Random::new(seed as u32);
        (0..chunk_size).map(|_| statistic(&random.choices(n, n))).collect::<Vec<f64>>()
    };
    let per_thread = n_chunks.div_ceil(n_threads);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..n_threads)
            .map(|worker| {
                let chunk = &chunk;
                let seeds = worker * per_thread..((worker + 1) * per_thread).min(n_chunks);
                scope.spawn(move || seeds.flat_map(chunk).collect::<Vec<f64>>())
            })
            .collect();
        // A worker that panicked leaves NaN, which no caller takes for a figure.
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|_| vec![f64::NAN])).collect()
    })
}

/// Error of a group's size-weighted mean: √(Σ (nᵢ − 1) nᵢ seᵢ² ÷ (N − k) ÷ N); `None` when N = k.
#[must_use]
pub fn pooled_stderr(stderrs: &[f64], sizes: &[usize]) -> Option<f64> {
    let total: usize = sizes.iter().sum();
    let degrees = total.checked_sub(sizes.len()).filter(|degrees| *degrees > 0)?;
    let pooled: f64 =
        sizes.iter().zip(stderrs).map(|(&size, stderr)| (size as f64 - 1.0) * stderr.powi(2) * size as f64).sum();
    Some((pooled / degrees as f64 / total as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: lm_eval 0.4.13, `mean_stderr`, `pooled_sample_stderr`, and
    /// `_bootstrap_internal_no_mp(perplexity, xs, 2000)` put through `sample_stddev`.
    #[test]
    fn errors_are_those_of_the_harness() {
        let values = [-1.5, -0.25, -3.0, -2.0, -0.75];
        assert!((mean_stderr(&values).unwrap() - 0.4808846015417836).abs() < 1e-15);
        let perplexity =
            |drawn: &[usize]| (-drawn.iter().map(|&at| values[at]).sum::<f64>() / drawn.len() as f64).exp();
        assert!((bootstrap_stderr(values.len(), 2000, &perplexity).unwrap() - 2.2706354655354843).abs() < 1e-12);
        assert!((pooled_stderr(&[0.1, 0.2, 0.05], &[10, 20, 400]).unwrap() - 0.0475475563048242).abs() < 1e-15);
        assert_eq!(mean_stderr(&[1.0]), None);
    }
}
