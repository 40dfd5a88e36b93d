//! A matrix as the product of two thin ones, weighted by what goes into it.
//!
//! Solves min ‖WX − ŴX‖²_F over Ŵ of rank r. With G = XXᵀ the minimiser is Ŵ = U_r U_rᵀ W, U_r the r leading eigenvectors of W G Wᵀ: the
//! truncated singular value decomposition of W G^½, brought back. Source: Wang et al. 2024 (SVD-LLM), section 3.2; Eckart and Young
//! 1936. The eigenvectors come from subspace iteration (Halko et al. 2011, algorithm 4.4), so that Ŵ is at most as good as
//! the minimiser; what it costs is measured.

use crate::matrix::{Gram, Matrix};
use candle_core::{DType, Device, Tensor};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

/// Directions beyond r that are carried along.
const SPARE: usize = 16;
const ITERATIONS: usize = 8;

/// Ŵ = left · right.
#[derive(Debug, Clone)]
pub struct Factored {
    /// (O, r)
    pub left: Tensor,
    /// (r, I)
    pub right: Tensor,
}

#[derive(Debug, thiserror::Error)]
pub enum LowRankError {
    #[error("expected a rank from 1 to {max} for `{name}`, found {found}")]
    Rank { name: String, max: usize, found: usize },
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// The rank at which two factors hold `share` of a matrix's numbers, at least 1.
#[must_use]
pub fn rank_for(share: f64, outputs: usize, inputs: usize) -> usize {
    ((share * (outputs * inputs) as f64 / (outputs + inputs) as f64) as usize).max(1)
}

/// The matrix in rank `rank`; its weights become the product. Deterministic: the start is drawn from a fixed stream.
///
/// # Errors
/// `Rank`.
pub fn factor(matrix: &mut Matrix, gram: &Gram, rank: usize) -> Result<Factored, LowRankError> {
    let (o, i) = (matrix.outputs, matrix.inputs);
    let max = o.min(i);
    if rank == 0 || rank > max {
        return Err(LowRankError::Rank { name: matrix.name.clone(), max, found: rank });
    }
    let weights = Tensor::from_slice(&matrix.weights, (o, i), &Device::Cpu)?.to_dtype(DType::F64)?;
    let gram = Tensor::from_slice(&gram.sums, (i, i), &Device::Cpu)?;
    let scatter = weights.matmul(&gram)?.matmul(&weights.t()?.contiguous()?)?;
    let width = (rank + SPARE).min(o);
    let mut generator = ChaCha20Rng::from_seed([7; 32]);
    let uniform = |generator: &mut ChaCha20Rng| (generator.next_u64() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
    let start: Vec<f64> = (0..o * width).map(|_| uniform(&mut generator)).collect();
    let mut basis = orthonormal(&Tensor::from_vec(start, (o, width), &Device::Cpu)?)?;
    for _ in 0..ITERATIONS {
        basis = orthonormal(&scatter.matmul(&basis)?)?;
    }
    // Within the subspace the eigenvectors are found exactly.
    let small = basis.t()?.contiguous()?.matmul(&scatter)?.matmul(&basis)?;
    let turn = leading(&small.flatten_all()?.to_vec1::<f64>()?, width, rank);
    let leading = basis.matmul(&Tensor::from_vec(turn, (width, rank), &Device::Cpu)?)?;
    let right = leading.t()?.contiguous()?.matmul(&weights)?;
    let (left, right) = (leading.to_dtype(DType::F32)?, right.to_dtype(DType::F32)?);
    matrix.weights = left.matmul(&right)?.flatten_all()?.to_vec1()?;
    Ok(Factored { left, right })
}

/// Columns made orthonormal, each against those before it, twice. Shapes: (n, k) → (n, k).
fn orthonormal(columns: &Tensor) -> candle_core::Result<Tensor> {
    let (n, k) = columns.dims2()?;
    let mut rows: Vec<Vec<f64>> = columns.t()?.contiguous()?.to_vec2()?;
    for at in 0..k {
        let (done, rest) = rows.split_at_mut(at);
        let row = &mut rest[0];
        for _ in 0..2 {
            for other in done.iter() {
                let share = crate::factor::dot(row, other);
                row.iter_mut().zip(other).for_each(|(x, y)| *x -= share * y);
            }
        }
        let norm = crate::factor::dot(row, row).sqrt();
        // A direction that is not there: the column stays zero and is never among the leading ones.
        let scale = if norm > 1e-150 { norm.recip() } else { 0.0 };
        row.iter_mut().for_each(|x| *x *= scale);
    }
    Tensor::from_vec(rows.concat(), (k, n), &Device::Cpu)?.t()?.contiguous()
}

/// The `rank` leading eigenvectors of a symmetric matrix, as columns of (n, rank): Jacobi's rotations, cyclic.
fn leading(matrix: &[f64], n: usize, rank: usize) -> Vec<f64> {
    let mut a = matrix.to_vec();
    // Rows of `v` are eigenvectors.
    let mut v: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { 0.0 }).collect();
    let whole: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..30 {
        let outside: f64 = (0..n * n).filter(|at| at / n != at % n).map(|at| a[at] * a[at]).sum();
        if outside <= 1e-24 * whole {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut v, n, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j * n + j].total_cmp(&a[i * n + i]).then(i.cmp(&j)));
    (0..n)
        .flat_map(|at| order[..rank].iter().map(move |&which| (which, at)))
        .map(|(which, at)| v[which * n + at])
        .collect()
}

fn rotate(a: &mut [f64], v: &mut [f64], n: usize, p: usize, q: usize) {
    let off = a[p * n + q];
    if off == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = (t * t + 1.0).sqrt().recip();
    let s = t * c;
    let turn = |x: &mut [f64]| {
        // Rows p and q, which stand apart.
        let (above, below) = x.split_at_mut(q * n);
        let (row_p, row_q) = (&mut above[p * n..][..n], &mut below[..n]);
        for (x, y) in row_p.iter_mut().zip(row_q) {
            (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
        }
    };
    turn(a);
    turn(v);
    for row in a.chunks_exact_mut(n) {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of the best matrix of rank r is the sum of the eigenvalues left out: here of diag(16, 9, 4, 1) turned, so
    /// 5/30 at rank 2.
    #[test]
    fn the_error_is_that_of_the_eigenvalues_left_out() {
        let half = 0.5_f32;
        let turn =
            [half, half, half, half, half, half, -half, -half, half, -half, half, -half, half, -half, -half, half];
        let scaled = |at: usize| turn[at] * [4.0, 3.0, 2.0, 1.0][at % 4];
        let weights: Vec<f32> = (0..16).map(scaled).collect();
        let mut matrix =
            Matrix { name: "w".to_owned(), outputs: 4, inputs: 4, weights: weights.clone(), is_turned: false };
        let mut gram = Gram::new(4);
        gram.add(&Tensor::eye(4, DType::F32, &Device::Cpu).unwrap()).unwrap();
        factor(&mut matrix, &gram, 2).unwrap();
        let (error, _) = gram.relative_error(&weights, &matrix.weights).unwrap();
        assert!((error - 5.0 / 30.0).abs() < 1e-6, "{error}");
        let found = factor(&mut matrix, &gram, 5).unwrap_err().to_string();
        assert_eq!(found, "expected a rank from 1 to 4 for `w`, found 5");
    }
}
