//! Magnitude pruning: the smallest weights become zero.

use crate::{Tensors, is_prunable};
use candle_core::{Device, Tensor};

/// How much to prune, and what the weights compete with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// s: share of the prunable weights that are zero afterwards, in [0, 1]; 0.5 is where magnitude pruning of language
    /// models begins to cost (Frantar and Alistarh 2023, figure 1).
    pub sparsity: f64,
    pub scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One threshold for all matrices.
    Global,
    /// Each matrix loses the same share.
    PerMatrix,
}

/// What is zero after pruning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Weights in the matrices of attention and feed-forward.
    pub n_prunable: u64,
    /// Those among them that are exactly zero.
    pub n_zero: u64,
    /// Name, number of weights and number of zeros of each matrix, in the order of the names.
    pub per_matrix: Vec<(String, u64, u64)>,
}

#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    #[error("expected a sparsity from 0 to 1, found {0}")]
    Sparsity(f64),
    #[error("expected matrices of attention or feed-forward, found none")]
    NothingToPrune,
    #[error("expected finite weights, found {value} in `{name}` at index {index}")]
    NotFinite { name: String, index: usize, value: f32 },
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Sets the round(s·n) weights of smallest magnitude to zero; among equal magnitudes the first in the order of names and
/// then of rows goes first. Embedding and norms are passed on as they are.
///
/// Shapes: as given. Deterministic. With `Global` n is the number of all prunable weights, with `PerMatrix` that of each
/// matrix. A weight that is zero already counts as pruned, so pruning twice is pruning once.
/// Source: Han et al. 2015, section 3.
///
/// # Errors
/// `Sparsity` outside [0, 1], `NothingToPrune`, `NotFinite` naming the weight.
pub fn prune(config: &Config, tensors: &Tensors) -> Result<(Tensors, Findings), PruneError> {
    if !(0.0..=1.0).contains(&config.sparsity) {
        return Err(PruneError::Sparsity(config.sparsity));
    }
    let mut matrices = Vec::new();
    for (name, tensor) in tensors.iter().filter(|(name, tensor)| is_prunable(name, tensor.dims())) {
        let weights = tensor.flatten_all()?.to_vec1::<f32>()?;
        if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
            return Err(PruneError::NotFinite { name: name.clone(), index, value: weights[index] });
        }
        matrices.push((name, weights));
    }
    if matrices.is_empty() {
        return Err(PruneError::NothingToPrune);
    }
    match config.scope {
        Scope::PerMatrix => matrices.iter_mut().for_each(|(_, weights)| zero_smallest(&mut [weights], config.sparsity)),
        Scope::Global => {
            let mut all: Vec<&mut Vec<f32>> = matrices.iter_mut().map(|(_, weights)| weights).collect();
            zero_smallest(&mut all, config.sparsity);
        }
    }
    let mut pruned = tensors.clone();
    let mut per_matrix = Vec::new();
    for (name, weights) in matrices {
        let n_zero = weights.iter().filter(|weight| **weight == 0.0).count();
        per_matrix.push((name.clone(), weights.len() as u64, n_zero as u64));
        pruned.insert(name.clone(), Tensor::from_vec(weights, tensors[name].shape(), &Device::Cpu)?);
    }
    let n_prunable = per_matrix.iter().map(|(_, n, _)| n).sum();
    let n_zero = per_matrix.iter().map(|(_, _, n_zero)| n_zero).sum();
    Ok((pruned, Findings { n_prunable, n_zero, per_matrix }))
}

/// Sets the round(s·n) smallest of all weights in all lists to zero.
pub(crate) fn zero_smallest(lists: &mut [&mut Vec<f32>], sparsity: f64) {
    let n: usize = lists.iter().map(|list| list.len()).sum();
    let n_zero = (sparsity * n as f64).round() as usize;
    if n_zero == 0 {
        return;
    }
    // The magnitude of the last weight to go, and how many of exactly that magnitude go. The bits of a finite f32 without
    // its sign are in the order of its magnitude.
    let mut magnitudes: Vec<u32> =
        lists.iter().flat_map(|list| list.iter().map(|weight| weight.abs().to_bits())).collect();
    let (smaller, &mut threshold, _) = magnitudes.select_nth_unstable(n_zero - 1);
    let mut n_equal = n_zero - smaller.iter().filter(|magnitude| **magnitude < threshold).count();
    for weight in lists.iter_mut().flat_map(|list| list.iter_mut()) {
        let magnitude = weight.abs().to_bits();
        if magnitude < threshold || (magnitude == threshold && n_equal > 0) {
            n_equal -= usize::from(magnitude == threshold);
            *weight = 0.0;
        }
    }
}
