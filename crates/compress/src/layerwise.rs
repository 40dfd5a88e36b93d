//! Pruning layer by layer: each matrix loses the weights that cost its own output least on the calibration data.
//!
//! The problem each method solves, for one matrix W and what goes into it X, with at least s·O·I zeros in Ŵ:
//! - magnitude: min ‖W − Ŵ‖²_F; the smallest weights of a matrix go. Source: Han et al. 2015.
//! - Wanda: min Σ_ij Ŵ_ij = 0 of W_ij² ‖X_j‖², the diagonal of the problem below; the smallest |W_ij| ‖X_j‖₂ of each row go and the
//!   others stay as they are. Source: Sun et al. 2024, equation 1.
//! - SparseGPT: min ‖WX − ŴX‖²_F, mask and remaining weights together, greedily column by column. Source: Frantar and
//!   Alistarh 2023, algorithm 1.

use crate::{
    Tensors,
    calibrate::{LayerView, Observe, WalkError, walk},
    factor::NotDefinite,
    matrix::{Gram, Matrix},
    obs::{BLOCK, Factor, Zeros, sweep},
};
use model::{ModelParts, site};
use rayon::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Magnitude,
    Wanda,
    SparseGpt,
}

/// Of every `of` consecutive inputs of a row at most `kept` stay: 2:4 is what sparse tensor cores read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    pub kept: usize,
    pub of: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    pub method: Method,
    /// s: share of each matrix that is zero afterwards, in [0, 1).
    pub sparsity: f64,
    pub pattern: Option<Pattern>,
    /// λ of SparseGPT as a share of the mean of the diagonal; 0.01 in the authors' program.
    pub damping: f64,
}

/// One matrix after pruning.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned {
    pub name: String,
    pub n: u64,
    pub n_zero: u64,
    /// ‖WX − ŴX‖²_F ÷ ‖WX‖²_F on the calibration data, which had passed the pruned layers before.
    pub error: f64,
    /// ‖WX‖²_F.
    pub energy: f64,
}

impl Pruned {
    /// What became of a matrix that was W.
    ///
    /// # Errors
    /// Those of the tensors.
    pub fn of(matrix: &Matrix, before: &[f32], gram: &Gram) -> candle_core::Result<Self> {
        let (error, energy) = gram.relative_error(before, &matrix.weights)?;
        Ok(Self { name: matrix.name.clone(), n: before.len() as u64, n_zero: matrix.n_zero(), error, energy })
    }
}

/// All matrices, in the order of the walk.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    pub matrices: Vec<Pruned>,
}

impl Findings {
    #[must_use]
    pub fn n_prunable(&self) -> u64 {
        self.matrices.iter().map(|matrix| matrix.n).sum()
    }

    #[must_use]
    pub fn n_zero(&self) -> u64 {
        self.matrices.iter().map(|matrix| matrix.n_zero).sum()
    }

    /// The relative errors weighted by what each matrix gives out: Σ‖WX − ŴX‖² ÷ Σ‖WX‖².
    #[must_use]
    pub fn error(&self) -> f64 {
        let whole: f64 = self.matrices.iter().map(|matrix| matrix.energy).sum();
        let lost: f64 = self.matrices.iter().map(|matrix| matrix.error * matrix.energy).sum();
        if whole > 0.0 { lost / whole } else { 0.0 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LayerwiseError {
    #[error("expected a sparsity of at least 0 and below 1, found {0}")]
    Sparsity(f64),
    #[error("expected a pattern KEPT:OF with 0 < KEPT < OF ≤ 128 that divides 128, found {kept}:{of}")]
    Pattern { kept: usize, of: usize },
    #[error(
        "the pattern {kept}:{of} leaves {found} of the weights zero, not {sparsity}; leave out the sparsity, or give one of \
         the two that fits"
    )]
    Mismatch { kept: usize, of: usize, found: f64, sparsity: f64 },
    #[error(
        "the mask {kept}:{of} does not fit `{name}`: {inputs} inputs are no multiple of {of}; choose another pattern, or none"
    )]
    Width { name: String, inputs: usize, kept: usize, of: usize },
    #[error("expected matrices that read at a known place, found none; the family's matrices cannot be pruned so")]
    NothingToPrune,
    #[error(
        "expected the input of `{name}` in the calibration data, found none: experts see different tokens each; prune by \
         magnitude without calibration"
    )]
    Unseen { name: String },
    #[error("`{name}` cannot be pruned by SparseGPT")]
    Factor { name: String, source: NotDefinite },
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Checks what can be checked before a model is run.
///
/// # Errors
/// `Sparsity`, `Pattern`, `Mismatch`, `Width`, `NothingToPrune`.
pub fn check(config: &Config, tensors: &Tensors) -> Result<(), LayerwiseError> {
    if !(0.0..1.0).contains(&config.sparsity) {
        return Err(LayerwiseError::Sparsity(config.sparsity));
    }
    let mut matrices = tensors.iter().filter_map(|(name, tensor)| {
        let (_, _, is_turned) = site(name)?;
        (tensor.rank() == 2).then(|| (name, tensor.dims()[usize::from(!is_turned)]))
    });
    let Some(Pattern { kept, of }) = config.pattern else {
        return if matrices.next().is_some() { Ok(()) } else { Err(LayerwiseError::NothingToPrune) };
    };
    if kept == 0 || kept >= of || !BLOCK.is_multiple_of(of) {
        return Err(LayerwiseError::Pattern { kept, of });
    }
    let found = 1.0 - kept as f64 / of as f64;
    if (found - config.sparsity).abs() > 1e-9 {
        return Err(LayerwiseError::Mismatch { kept, of, found, sparsity: config.sparsity });
    }
    let mut is_any = false;
    for (name, inputs) in matrices {
        is_any = true;
        if !inputs.is_multiple_of(of) {
            return Err(LayerwiseError::Width { name: name.clone(), inputs, kept, of });
        }
    }
    if is_any { Ok(()) } else { Err(LayerwiseError::NothingToPrune) }
}

/// Prunes every matrix of every layer, each on what it sees behind the layers pruned before it. Embedding, head and norms are
/// passed on.
///
/// Shapes: as given. Deterministic: the same bits for any number of threads.
///
/// # Errors
/// Those of `check`; `Unseen`, `Factor`, and those of the walk.
pub fn prune(
    config: &Config,
    parts: &ModelParts,
    rows: &[Vec<u32>],
    observe: &mut Observe<'_>,
) -> Result<(Tensors, Findings), LayerwiseError> {
    check(config, &parts.tensors)?;
    let mut findings = Findings::default();
    let tensors = walk(parts, rows, observe, &mut |view: &mut LayerView| {
        for (matrix, site) in &mut view.matrices {
            let Some(gram) = view.grams.get(site) else {
                return Err(LayerwiseError::Unseen { name: matrix.name.clone() });
            };
            findings.matrices.push(prune_matrix(config, matrix, gram)?);
        }
        Ok(())
    })?;
    Ok((tensors, findings))
}

/// One matrix on its Gram matrix; what `prune` does at each.
///
/// # Errors
/// `Factor`.
pub fn prune_matrix(config: &Config, matrix: &mut Matrix, gram: &Gram) -> Result<Pruned, LayerwiseError> {
    let before = matrix.weights.clone();
    match config.method {
        Method::Magnitude => {
            let scores: Vec<f64> = matrix.weights.iter().map(|weight| f64::from(weight.abs())).collect();
            let over_all = matrix.weights.len();
            zero(matrix, &scores, config, over_all);
        }
        Method::Wanda => {
            let norms = gram.norms();
            let score = |row: &[f32]| -> Vec<f64> {
                row.iter().zip(&norms).map(|(weight, norm)| f64::from(weight.abs()) * norm).collect()
            };
            let scores = matrix.weights.par_chunks(matrix.inputs).flat_map_iter(score).collect::<Vec<f64>>();
            let over_row = matrix.inputs;
            zero(matrix, &scores, config, over_row);
        }
        Method::SparseGpt => {
            let factor = Factor::new(gram, config.damping)
                .map_err(|source| LayerwiseError::Factor { name: matrix.name.clone(), source })?;
            let mut zeros = match config.pattern {
                Some(Pattern { kept, of }) => Zeros::Pattern { kept, of },
                None => Zeros::Share(config.sparsity),
            };
            sweep(matrix, &factor, BLOCK, &mut zeros);
        }
    }
    Ok(Pruned::of(matrix, &before, gram)?)
}

/// Sets weights to zero where their scores are lowest: by the pattern, else the floor(s·n) lowest of every `over` weights. Of equal
/// scores the first goes first.
fn zero(matrix: &mut Matrix, scores: &[f64], config: &Config, over: usize) {
    let (group, n_zero) = match config.pattern {
        Some(Pattern { kept, of }) => (of, of - kept),
        None => (over, (config.sparsity * over as f64) as usize),
    };
    matrix.weights.par_chunks_mut(group).zip(scores.par_chunks(group)).for_each(|(weights, scores)| {
        zero_lowest(weights, scores, n_zero);
    });
}

fn zero_lowest(weights: &mut [f32], scores: &[f64], n_zero: usize) {
    if n_zero == 0 {
        return;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let by_score = |a: &usize, b: &usize| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b));
    if n_zero < order.len() {
        order.select_nth_unstable_by(n_zero - 1, by_score);
    }
    order.iter().take(n_zero).for_each(|at| weights[*at] = 0.0);
}

/// By magnitude, matrix by matrix, without calibration data: no reconstruction error is measured. Experts' matrices are pruned too.
///
/// # Errors
/// Those of `check`; `Unseen` for a method that needs the data.
pub fn prune_unseen(config: &Config, tensors: &Tensors) -> Result<(Tensors, Findings), LayerwiseError> {
    check(config, tensors)?;
    let mut pruned = tensors.clone();
    let mut findings = Findings::default();
    for (name, tensor) in tensors.iter().filter(|(name, tensor)| is_matrix(name, tensor.rank())) {
        if config.method != Method::Magnitude {
            return Err(LayerwiseError::Unseen { name: name.clone() });
        }
        let mut matrix = Matrix::of(tensors, name, site(name).is_some_and(|(_, _, is_turned)| is_turned))?;
        let scores: Vec<f64> = matrix.weights.iter().map(|weight| f64::from(weight.abs())).collect();
        let over_all = matrix.weights.len();
        zero(&mut matrix, &scores, config, over_all);
        let n = tensor.elem_count() as u64;
        findings.matrices.push(Pruned { name: name.clone(), n, n_zero: matrix.n_zero(), error: 0.0, energy: 0.0 });
        pruned.insert(name.clone(), matrix.tensor()?);
    }
    Ok((pruned, findings))
}

/// A matrix that reads at a known place, or an expert's.
fn is_matrix(name: &str, rank: usize) -> bool {
    rank == 2 && (site(name).is_some() || name.contains(".experts."))
}

/// Sets the round(s·n) smallest weights of all matrices that read at a known place, and of experts, to zero: one threshold for
/// all. Needs no calibration data, and so measures no reconstruction error.
///
/// # Errors
/// `Sparsity`, `NothingToPrune`.
pub fn prune_global(sparsity: f64, tensors: &Tensors) -> Result<(Tensors, Findings), LayerwiseError> {
    if !(0.0..1.0).contains(&sparsity) {
        return Err(LayerwiseError::Sparsity(sparsity));
    }
    let names: Vec<&String> =
        tensors.iter().filter(|(name, tensor)| is_matrix(name, tensor.rank())).map(|(name, _)| name).collect();
    if names.is_empty() {
        return Err(LayerwiseError::NothingToPrune);
    }
    let mut lists = names
        .iter()
        .map(|name| tensors[*name].flatten_all()?.to_vec1::<f32>())
        .collect::<candle_core::Result<Vec<Vec<f32>>>>()?;
    crate::prune::zero_smallest(&mut lists.iter_mut().collect::<Vec<_>>(), sparsity);
    let mut pruned = tensors.clone();
    let mut findings = Findings::default();
    for (name, weights) in names.into_iter().zip(lists) {
        let n_zero = weights.iter().filter(|weight| **weight == 0.0).count() as u64;
        let n = weights.len() as u64;
        findings.matrices.push(Pruned { name: name.clone(), n, n_zero, error: 0.0, energy: 0.0 });
        let shape = tensors[name].shape();
        pruned.insert(name.clone(), candle_core::Tensor::from_vec(weights, shape, &candle_core::Device::Cpu)?);
    }
    Ok((pruned, findings))
}
