//! Triangular factors of the damped Gram matrix, in f64.

use rayon::prelude::*;

/// Columns solved together.
const COLUMNS: usize = 64;

/// Why a matrix has no factor.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "expected a positive definite matrix, found the pivot {pivot:e} at input {at}; take more calibration data or more damping"
)]
pub struct NotDefinite {
    pub at: usize,
    pub pivot: f64,
}

/// L lower with A = L Lᵀ, row by row; the upper half is zero. Shapes: (n, n).
///
/// Sums are in f64 in eight lanes of a fixed order. Deterministic.
///
/// # Errors
/// `NotDefinite` naming the first pivot that is not above 0.
pub fn cholesky(matrix: &[f64], n: usize) -> Result<Vec<f64>, NotDefinite> {
    let mut lower = vec![0.0; n * n];
    for at in 0..n {
        let (above, rest) = lower.split_at_mut(at * n);
        let (row, below) = rest.split_at_mut(n);
        // Row by row: what stands left of the diagonal needs only the rows above.
        for column in 0..at {
            let other = &above[column * n..][..=column];
            row[column] = (matrix[at * n + column] - dot(&row[..column], &other[..column])) / other[column];
        }
        let pivot = matrix[at * n + at] - dot(&row[..at], &row[..at]);
        if pivot.is_nan() || pivot <= 0.0 {
            return Err(NotDefinite { at, pivot });
        }
        row[at] = pivot.sqrt();
        debug_assert!(below.len() == (n - at - 1) * n);
    }
    Ok(lower)
}

/// L⁻¹ of a lower triangular matrix. Shapes: (n, n). Columns are solved in parallel, each in the order of the rows.
#[must_use]
pub fn inverse_of_lower(lower: &[f64], n: usize) -> Vec<f64> {
    let starts: Vec<usize> = (0..n).step_by(COLUMNS).collect();
    let pieces: Vec<(usize, Vec<f64>)> = starts.into_par_iter().map(|start| (start, solve(lower, n, start))).collect();
    let mut inverse = vec![0.0; n * n];
    for (start, piece) in pieces {
        let columns = COLUMNS.min(n - start);
        for (at, row) in piece.chunks_exact(columns).enumerate() {
            inverse[(start + at) * n + start..][..columns].copy_from_slice(row);
        }
    }
    inverse
}

/// Columns `start` on of L⁻¹, from row `start` down.
fn solve(lower: &[f64], n: usize, start: usize) -> Vec<f64> {
    let columns = COLUMNS.min(n - start);
    let mut solved = vec![0.0; (n - start) * columns];
    for at in 0..n - start {
        let (done, rest) = solved.split_at_mut(at * columns);
        let row = &mut rest[..columns];
        if at < columns {
            row[at] = 1.0;
        }
        let factors = &lower[(start + at) * n + start..][..at];
        for (factor, other) in factors.iter().zip(done.chunks_exact(columns)) {
            row.iter_mut().zip(other).for_each(|(x, y)| *x -= factor * y);
        }
        let pivot = lower[(start + at) * n + start + at];
        row.iter_mut().for_each(|x| *x /= pivot);
    }
    solved
}

/// U upper with A⁻¹ = Uᵀ U: what the column-by-column methods divide by. Shapes: (n, n).
///
/// With J the reversal, J A J = L Lᵀ gives U = J L⁻¹ J; one factorisation and one triangular inverse instead of two and an
/// inverse.
///
/// # Errors
/// Those of `cholesky`.
pub fn inverse_factor(matrix: &[f64], n: usize) -> Result<Vec<f64>, NotDefinite> {
    let flipped: Vec<f64> = matrix.iter().rev().copied().collect();
    let lower = cholesky(&flipped, n).map_err(|error| NotDefinite { at: n - 1 - error.at, ..error })?;
    let mut inverse = inverse_of_lower(&lower, n);
    inverse.reverse();
    Ok(inverse)
}

/// In eight lanes, added in a fixed order.
#[must_use]
pub fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let (left_blocks, left_rest) = left.as_chunks::<8>();
    let (right_blocks, right_rest) = right.as_chunks::<8>();
    for (left, right) in left_blocks.iter().zip(right_blocks) {
        for lane in 0..8 {
            lanes[lane] += left[lane] * right[lane];
        }
    }
    lanes.iter().sum::<f64>() + left_rest.iter().zip(right_rest).map(|(x, y)| x * y).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same everywhere.
    fn numbers(n: usize) -> Vec<f64> {
        (0..n).map(|at| ((at * 7919 + 13) % 1009) as f64 / 504.5 - 1.0).collect()
    }

    #[test]
    fn the_upper_factor_gives_the_inverse() {
        let n = 150;
        let b = numbers(n * n);
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                a[i * n + j] = dot(&b[i * n..][..n], &b[j * n..][..n]) + if i == j { 1.0 } else { 0.0 };
            }
        }
        let u = inverse_factor(&a, n).unwrap();
        for i in 0..n {
            for j in 0..i {
                assert_eq!(u[i * n + j], 0.0);
            }
        }
        // (Uᵀ U) A = I.
        for i in 0..n {
            for j in 0..n {
                let mut sum = 0.0;
                for k in 0..n {
                    let inner: f64 = (0..=i.min(k)).map(|l| u[l * n + i] * u[l * n + k]).sum();
                    sum += inner * a[k * n + j];
                }
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((sum - expected).abs() < 1e-8, "({i}, {j}): {sum}");
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_definite_is_named() {
        let error = inverse_factor(&[1.0, 2.0, 2.0, 1.0], 2).unwrap_err();
        assert_eq!(error, NotDefinite { at: 0, pivot: -3.0 });
    }
}
