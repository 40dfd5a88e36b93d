//! The optimal brain surgeon, column by column: each column takes its new value, and those behind it make up for it.
//!
//! Legend: O outputs, I inputs, G = X Xᵀ + λI the damped Gram matrix, U upper with G⁻¹ = Uᵀ U.
//!
//! Solves min ‖WX − ŴX‖²_F row by row, greedily from left to right: with column i fixed at its new value the error
//! e = (w_i − ŵ_i) / U_ii is taken off the columns behind, w_j −= e U_ij. Which value a column takes is what the methods
//! differ in: zero or itself (SparseGPT), the nearest step of a grid (GPTQ).
//! Sources: Frantar and Alistarh 2023 (SparseGPT), algorithm 1; Frantar et al. 2023 (GPTQ), algorithm 1.

use crate::{
    factor::{NotDefinite, dot, inverse_factor},
    matrix::{Gram, Matrix},
};
use rayon::prelude::*;

/// Columns whose errors are gathered before they are taken off the rest; both papers use 128.
pub const BLOCK: usize = 128;
/// λ as a share of the mean of the diagonal; both papers' programs use 0.01.
pub const DAMPING: f64 = 0.01;

/// U, and the inputs that were always zero.
#[derive(Debug, Clone)]
pub struct Factor {
    pub width: usize,
    upper: Vec<f64>,
    dead: Vec<bool>,
}

impl Factor {
    /// An input that was always zero gets 1 on the diagonal, as in the authors' programs: its weights do nothing.
    ///
    /// # Errors
    /// `NotDefinite` when `damping` is too small for the data.
    pub fn new(gram: &Gram, damping: f64) -> Result<Self, NotDefinite> {
        let n = gram.width;
        let mut damped = gram.sums.clone();
        let dead: Vec<bool> = (0..n).map(|at| damped[at * n + at] == 0.0).collect();
        for at in (0..n).filter(|at| dead[*at]) {
            damped[at * n + at] = 1.0;
        }
        let mean = (0..n).map(|at| damped[at * n + at]).sum::<f64>() / n as f64;
        for at in 0..n {
            damped[at * n + at] += damping * mean;
        }
        Ok(Self { width: n, upper: inverse_factor(&damped, n)?, dead })
    }

    fn diagonal(&self, at: usize) -> f64 {
        self.upper[at * self.width + at]
    }
}

/// What a column of a row may become.
pub trait Columns: Sync {
    /// What is held for one row of a block.
    type Row: Send;

    /// Before a block of columns from `start`, with all rows as they stand: one `Row` each.
    fn block(&mut self, rows: &[Vec<f64>], start: usize, end: usize, factor: &Factor) -> Vec<Self::Row>;

    /// The new value of column `at`, of a row as it stands.
    fn value(&self, held: &mut Self::Row, row: &[f64], at: usize, start: usize, end: usize, factor: &Factor) -> f64;

    /// Behind a block.
    fn done(&mut self, _held: Vec<Self::Row>) {}
}

/// Sweeps the columns from left to right, rows in parallel. The weights become those of the sweep, in f64 until the end.
pub fn sweep<C: Columns>(matrix: &mut Matrix, factor: &Factor, block: usize, columns: &mut C) {
    let (n, block) = (matrix.inputs, block.clamp(1, BLOCK));
    assert_eq!(n, factor.width, "inputs of the matrix and of the factor");
    let mut rows: Vec<Vec<f64>> =
        matrix.weights.chunks_exact(n).map(|row| row.iter().map(|weight| f64::from(*weight)).collect()).collect();
    for row in &mut rows {
        row.iter_mut().zip(&factor.dead).filter(|(_, dead)| **dead).for_each(|(weight, _)| *weight = 0.0);
    }
    for start in (0..n).step_by(block) {
        let end = (start + block).min(n);
        let held = columns.block(&rows, start, end, factor);
        let shared = &*columns;
        let of_row = |(row, mut held): (&mut Vec<f64>, C::Row)| {
            let mut errors = [0.0; BLOCK];
            for at in start..end {
                let value = shared.value(&mut held, row, at, start, end, factor);
                let error = (row[at] - value) / factor.diagonal(at);
                errors[at - start] = error;
                if error != 0.0 {
                    let upper = &factor.upper[at * n..][at + 1..end];
                    row[at + 1..end].iter_mut().zip(upper).for_each(|(weight, u)| *weight -= error * u);
                }
                row[at] = value;
            }
            for at in start..end {
                let error = errors[at - start];
                if error != 0.0 {
                    let upper = &factor.upper[at * n..][end..n];
                    row[end..].iter_mut().zip(upper).for_each(|(weight, u)| *weight -= error * u);
                }
            }
            held
        };
        let held = rows.par_iter_mut().zip(held).map(of_row).collect();
        columns.done(held);
    }
    for (weights, row) in matrix.weights.chunks_exact_mut(n).zip(&rows) {
        weights.iter_mut().zip(row).for_each(|(weight, value)| *weight = *value as f32);
    }
}

/// How the columns of a block lose weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Zeros {
    /// This share of the block's weights, over all its rows, by w² / U_ii².
    Share(f64),
    /// All but `kept` of every `of` consecutive columns of a row.
    Pattern { kept: usize, of: usize },
}

impl Columns for Zeros {
    type Row = Vec<bool>;

    fn block(&mut self, rows: &[Vec<f64>], start: usize, end: usize, factor: &Factor) -> Vec<Vec<bool>> {
        let Self::Share(share) = *self else { return vec![vec![false; end - start]; rows.len()] };
        let score =
            |row: &Vec<f64>| -> Vec<f64> { (start..end).map(|at| (row[at] / factor.diagonal(at)).powi(2)).collect() };
        let scores: Vec<Vec<f64>> = rows.par_iter().map(score).collect();
        let mut all: Vec<f64> = scores.iter().flatten().copied().collect();
        let n_zero = (share * all.len() as f64) as usize;
        if n_zero >= all.len() {
            return vec![vec![true; end - start]; rows.len()];
        }
        // The authors' rule: everything up to the n-th smallest, so that ties go too.
        let (_, threshold, _) = all.select_nth_unstable_by(n_zero, f64::total_cmp);
        let threshold = *threshold;
        let is_zeroed = |score: &f64| share > 0.0 && *score <= threshold;
        scores.iter().map(|row| row.iter().map(is_zeroed).collect()).collect()
    }

    fn value(&self, held: &mut Vec<bool>, row: &[f64], at: usize, start: usize, end: usize, factor: &Factor) -> f64 {
        if let Self::Pattern { kept, of } = *self
            && (at - start).is_multiple_of(of)
        {
            let group = at..(at + of).min(end);
            let mut order: Vec<usize> = group.clone().collect();
            let score = |at: usize| (row[at] / factor.diagonal(at)).powi(2);
            order.sort_by(|&a, &b| score(a).total_cmp(&score(b)).then(a.cmp(&b)));
            group.clone().for_each(|at| held[at - start] = false);
            order.truncate(group.len().saturating_sub(kept));
            order.into_iter().for_each(|at| held[at - start] = true);
        }
        if held[at - start] { 0.0 } else { row[at] }
    }
}

/// Ŵ = W G_{·K} (G_KK + λI)⁻¹: the weights on the kept inputs K that come closest to W on all of them. Shapes: (O, I) → (O, |K|).
///
/// The exact minimiser of ‖WX − ŴX_K‖²_F + λ‖Ŵ‖²_F; λ as in [`Factor::new`].
///
/// # Errors
/// `NotDefinite` when `damping` is too small for the data.
pub fn refit(matrix: &Matrix, gram: &Gram, kept: &[usize], damping: f64) -> Result<Vec<f32>, NotDefinite> {
    let (n, k) = (matrix.inputs, kept.len());
    // A plain copy for the inputs that stay would leave λ pulling them to 0: fit the correction instead.
    let factor = Factor::new(&gram.among(kept), damping)?;
    let removed: Vec<usize> = (0..n).filter(|at| kept.binary_search(at).is_err()).collect();
    let rows: Vec<Vec<f32>> = matrix
        .weights
        .par_chunks(n)
        .map(|row| {
            let pull: Vec<f64> = kept
                .iter()
                .map(|&to| removed.iter().map(|&from| f64::from(row[from]) * gram.sums[from * n + to]).sum())
                .collect();
            // (Uᵀ U) pull, U upper.
            let upper: Vec<f64> = (0..k).map(|at| dot(&factor.upper[at * k..][at..k], &pull[at..])).collect();
            let mut added = vec![0.0; k];
            for (at, value) in upper.iter().enumerate() {
                let row = &factor.upper[at * k..][at..k];
                added[at..].iter_mut().zip(row).for_each(|(sum, u)| *sum += value * u);
            }
            kept.iter().zip(added).map(|(&at, added)| (f64::from(row[at]) + added) as f32).collect()
        })
        .collect();
    Ok(rows.concat())
}
