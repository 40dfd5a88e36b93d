//! What training lowers: J = J_D + J_R, next-token cross-entropy plus penalties on the weights.
//!
//! Legend: B batch, T positions, V vocabulary.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Shape, Tensor};
use rayon::prelude::*;
use std::sync::Arc;

/// The mean negative log-likelihood of a batch.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// f32 scalar to differentiate.
    pub mean: Tensor,
    /// The same in nats per token, summed in order in f64: the value to report.
    pub nats: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum ObjectiveError {
    #[error("expected logits (B, T, V) and targets (B, T), found {logits:?} and {targets:?}")]
    Shapes { logits: Vec<usize>, targets: Vec<usize> },
    #[error("target {id} at position {position} is outside the vocabulary of {vocab}")]
    Target { id: u32, position: usize, vocab: usize },
    #[error("the tensor engine failed in the objective")]
    Engine(#[from] candle_core::Error),
}

/// J_D: mean over the B · T positions of ln Σ_v exp(x_v) − x_target, in nats per token.
///
/// Shapes: `logits` (B, T, V) f32, `targets` (B, T) u32. Stable: each row's maximum is subtracted first.
/// Deterministic: a row's sum has one order whatever the number of threads. Its backward pass keeps nothing but the
/// logits. Twin: [`cross_entropy_composed`].
///
/// # Errors
/// `Shapes`, `Target`, or `Engine`.
///
/// Source: Goodfellow, Bengio and Courville 2016, equations 6.29 and 6.30.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<CrossEntropy, ObjectiveError> {
    let (vocab, targets) = checked(logits, targets)?;
    let rows = logits.reshape((targets.len(), vocab))?.contiguous()?;
    summarised(&rows.apply_op1(RowCrossEntropy { targets: targets.into() })?)
}

/// The plain twin of [`cross_entropy`], from the engine's own operations: same value and gradient, slower.
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_composed(logits: &Tensor, targets: &Tensor) -> Result<CrossEntropy, ObjectiveError> {
    let (vocab, ids) = checked(logits, targets)?;
    let rows = logits.reshape((ids.len(), vocab))?;
    let shifted = rows.broadcast_sub(&rows.detach().max_keepdim(D::Minus1)?)?;
    let log_sums = shifted.exp()?.sum(D::Minus1)?.log()?;
    let chosen = shifted.gather(&targets.reshape((ids.len(), 1))?, D::Minus1)?.squeeze(1)?;
    summarised(&(log_sums - chosen)?)
}

fn summarised(losses: &Tensor) -> Result<CrossEntropy, ObjectiveError> {
    let values = losses.to_vec1::<f32>()?;
    let nats = values.iter().map(|&loss| f64::from(loss)).sum::<f64>() / values.len() as f64;
    Ok(CrossEntropy { mean: losses.mean_all()?, nats })
}

/// V and the B · T targets in order.
fn checked(logits: &Tensor, targets: &Tensor) -> Result<(usize, Vec<u32>), ObjectiveError> {
    let vocab = match (logits.dims(), targets.dims()) {
        (&[b, t, v], &[targets_b, targets_t]) if (b, t) == (targets_b, targets_t) && b * t * v > 0 => v,
        (logits, targets) => return Err(ObjectiveError::Shapes { logits: logits.to_vec(), targets: targets.to_vec() }),
    };
    let ids = targets.flatten_all()?.to_vec1::<u32>()?;
    match ids.iter().position(|&id| id as usize >= vocab) {
        Some(position) => Err(ObjectiveError::Target { id: ids[position], position, vocab }),
        None => Ok((vocab, ids)),
    }
}

/// (N, V) logits to (N,) negative log-likelihoods.
struct RowCrossEntropy {
    targets: Arc<[u32]>,
}

impl CustomOp1 for RowCrossEntropy {
    fn name(&self) -> &'static str {
        "row-cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let n_rows = self.targets.len();
        let rows = contiguous(storage, layout)?;
        let vocab = rows.len() / n_rows;
        let loss = |(row, &target): (&[f32], &u32)| {
            let max = row_max(row);
            let sum = lane_sum(row, |x| (x - max).exp());
            (sum.ln() - f64::from(row[target as usize] - max)) as f32
        };
        let losses: Vec<f32> = rows.par_chunks(vocab).zip(self.targets.par_iter()).map(loss).collect();
        Ok((CpuStorage::F32(losses), Shape::from(n_rows)))
    }

    /// d/dx_v = g · (softmax(x)_v − [v = target]).
    fn bwd(&self, rows: &Tensor, _losses: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let upstream = gradient.to_vec1::<f32>()?;
        let (guard, layout) = rows.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*guard else {
            candle_core::bail!("row-cross-entropy runs on the CPU only");
        };
        let logits = contiguous(storage, layout)?;
        let vocab = logits.len() / self.targets.len();
        let mut slopes = vec![0_f32; logits.len()];
        slopes.par_chunks_mut(vocab).zip(logits.par_chunks(vocab)).enumerate().for_each(|(position, (slopes, row))| {
            let max = row_max(row);
            slopes.iter_mut().zip(row).for_each(|(slope, x)| *slope = (x - max).exp());
            let scale = (f64::from(upstream[position]) / lane_sum(slopes, |e| e)) as f32;
            slopes.iter_mut().for_each(|slope| *slope *= scale);
            slopes[self.targets[position] as usize] -= upstream[position];
        });
        Ok(Some(Tensor::from_vec(slopes, rows.shape(), rows.device())?))
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("row-cross-entropy expects contiguous logits"),
    }
}

const LANES: usize = 8;

/// The largest of a row. A NaN is passed over here and comes out of the sum of exponentials.
fn row_max(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane = if x > *lane { x } else { *lane });
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max })
}

/// Σ f(x) in f64, in eight interleaved lanes: one fixed order.
fn lane_sum(row: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0_f64; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane += f64::from(f(x)));
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(f(x))).sum::<f64>()
}

/// J_R = l1 · Σ|w| + l2 · ½Σw² + the group lasso; both of the first together are the elastic net (Zou and Hastie 2005, equation
/// 3). They are over the entries of every matrix (rank 2 or more, the embedding included); vectors, which
/// are the gains of normalisation layers, are left free.
///
/// The weight λ of J = J_D + λJ_R is in the two factors. Range: 0 or more; default 0. With plain gradient descent `l2`
/// equals weight decay; with an adaptive optimiser it does not (Loshchilov and Hutter 2019, section 2).
/// Source: Goodfellow, Bengio and Courville 2016, sections 7.1.1 and 7.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Penalty {
    pub l1: f64,
    pub l2: f64,
    /// λ of the group lasso over attention heads, and over channels of the feed-forward part: see `groups`.
    pub heads: f64,
    pub channels: f64,
}

impl Penalty {
    #[must_use]
    pub fn is_none(&self) -> bool {
        [self.l1, self.l2, self.heads, self.channels] == [0.0; 4]
    }

    /// J_R of one matrix's entries, in f64.
    #[must_use]
    pub fn value(&self, weights: &[f32]) -> f64 {
        self.l1 * lane_sum(weights, f32::abs) + self.l2 / 2.0 * lane_sum(weights, |w| w * w)
    }

    /// Adds dJ_R/dw = l1 · sign(w) + l2 · w to `gradient`; the subgradient at 0 is 0.
    pub fn add_slope(&self, weights: &[f32], gradient: &mut [f32]) {
        let (l1, l2) = (self.l1 as f32, self.l2 as f32);
        for (slope, &w) in gradient.iter_mut().zip(weights) {
            let sign = f32::from(i8::from(w > 0.0) - i8::from(w < 0.0));
            *slope += l1 * sign + l2 * w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// Reproducible values in (−scale/2, scale/2): a multiplicative hash of the index.
    fn values(n: usize, scale: f64) -> Vec<f32> {
        (0..n as u32)
            .map(|i| ((f64::from(i.wrapping_mul(2_654_435_761)) / 4_294_967_296.0 - 0.5) * scale) as f32)
            .collect()
    }

    fn case(b: usize, t: usize, v: usize, scale: f64) -> (Var, Tensor) {
        let logits = Var::from_vec(values(b * t * v, scale), (b, t, v), &Device::Cpu).unwrap();
        let ids: Vec<u32> = (0..(b * t) as u32).map(|position| position.wrapping_mul(7919) % v as u32).collect();
        (logits, Tensor::from_vec(ids, (b, t), &Device::Cpu).unwrap())
    }

    /// Uniform logits give ln V; a shift of the row gives the same; both from the formula.
    #[test]
    fn uniform_logits_cost_the_logarithm_of_the_vocabulary() {
        let targets = Tensor::new(&[[0_u32, 9]], &Device::Cpu).unwrap();
        for level in [0_f32, -1000.0, 30_000.0] {
            let logits = Tensor::full(level, (1, 2, 10), &Device::Cpu).unwrap();
            let loss = cross_entropy(&logits, &targets).unwrap();
            assert!((loss.nats - 10_f64.ln()).abs() < 1e-7, "{level}: {}", loss.nats);
        }
    }

    /// Tolerance: a few units in the last place of f32 over sums of V terms, 1e-5 relative to the largest entry.
    #[test]
    fn fused_and_composed_agree_in_value_and_gradient() {
        for (b, t, v, scale) in [(1, 1, 2, 1.0), (2, 3, 17, 10.0), (3, 5, 96, 60.0), (2, 2, 2048, 4.0)] {
            let (logits, targets) = case(b, t, v, scale);
            let fused = cross_entropy(&logits, &targets).unwrap();
            let plain = cross_entropy_composed(&logits, &targets).unwrap();
            assert!((fused.nats - plain.nats).abs() <= 1e-5 * plain.nats.max(1.0), "{} {}", fused.nats, plain.nats);
            let slopes = |loss: &CrossEntropy| {
                loss.mean.backward().unwrap().get(&logits).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            let (ours, theirs) = (slopes(&fused), slopes(&plain));
            let largest = theirs.iter().fold(0_f32, |max, x| max.max(x.abs()));
            for (a, b) in ours.iter().zip(&theirs) {
                assert!((a - b).abs() <= 1e-5 * largest, "{a} {b}");
            }
        }
    }

    /// Central differences of the loss in f64, h = 1e-5 on logits held in f64 (truncation about h², 1e-10).
    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let (logits, targets) = case(2, 3, 11, 6.0);
        let slopes = cross_entropy(&logits, &targets).unwrap().mean.backward().unwrap();
        let slopes = slopes.get(&logits).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let base: Vec<f64> =
            logits.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect();
        let ids = targets.flatten_all().unwrap().to_vec1::<u32>().unwrap();
        let loss = |x: &[f64]| {
            let row = |(row, &id): (&[f64], &u32)| row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[id as usize];
            x.chunks(11).zip(&ids).map(row).sum::<f64>() / ids.len() as f64
        };
        for (position, slope) in slopes.iter().enumerate() {
            let moved = |h: f64| {
                let mut x = base.clone();
                x[position] += h;
                loss(&x)
            };
            let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((f64::from(*slope) - expected).abs() < 1e-7, "{position}: {slope} {expected}");
        }
    }

    #[test]
    fn a_nan_or_an_infinity_is_not_hidden() {
        let targets = Tensor::new(&[[1_u32]], &Device::Cpu).unwrap();
        for bad in [f32::NAN, f32::INFINITY] {
            let logits = Tensor::new(&[[[0.0, 1.0, bad]]], &Device::Cpu).unwrap();
            assert!(!cross_entropy(&logits, &targets).unwrap().nats.is_finite());
        }
    }

    #[test]
    fn misfits_are_refused() {
        let (logits, _) = case(1, 2, 3, 1.0);
        let targets = |ids: &[u32]| Tensor::from_slice(ids, (ids.len() / 2, 2), &Device::Cpu).unwrap();
        assert_eq!(
            cross_entropy(&logits, &targets(&[0, 3])).unwrap_err().to_string(),
            "target 3 at position 1 is outside the vocabulary of 3"
        );
        assert_eq!(
            cross_entropy(&logits, &targets(&[0, 1, 0, 1])).unwrap_err().to_string(),
            "expected logits (B, T, V) and targets (B, T), found [1, 2, 3] and [2, 2]"
        );
    }

    /// Central differences of `value` in f32 inputs, h = 1/256 (exact in f32): L1 and L2 are quadratic at most, so the
    /// difference is exact up to rounding of f32 products, 1e-5.
    #[test]
    fn the_penalty_slope_is_that_of_finite_differences() {
        let weights = [0.5_f32, -1.25, 2.0, -0.125, 3.0];
        for (l1, l2) in [(0.3, 0.0), (0.0, 0.7), (0.02, 0.01)] {
            let penalty = Penalty { l1, l2, ..Penalty::default() };
            let mut slopes = [1_f32; 5];
            penalty.add_slope(&weights, &mut slopes);
            for position in 0..weights.len() {
                let moved = |h: f32| {
                    let mut w = weights;
                    w[position] += h;
                    penalty.value(&w)
                };
                let h = 1.0 / 256.0;
                let expected = 1.0 + (moved(h) - moved(-h)) / f64::from(2.0 * h);
                assert!((f64::from(slopes[position]) - expected).abs() < 1e-5, "{penalty:?} {position}");
            }
        }
        let mut slope = [0_f32];
        Penalty { l1: 1.0, l2: 1.0, ..Penalty::default() }.add_slope(&[0.0], &mut slope);
        assert_eq!(slope, [0.0]);
    }
}
