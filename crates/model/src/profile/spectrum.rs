//! How many directions a matrix uses, from its singular values.
//!
//! Legend: σ singular values, λ = σ² the eigenvalues of the smaller Gram matrix (n, n), in f64.

use candle_core::{DType, Tensor};

/// Larger Gram matrices are refused.
const SIDE_MAX: usize = 8192;
/// Sides up to which all eigenvalues are computed when they are asked for; the work grows with the third power.
const FULL_SIDE_MAX: usize = 2048;
const POWER_STEPS_MAX: usize = 10_000;
const POWER_TOLERANCE: f64 = 1e-10;
const QL_STEPS_MAX: usize = 60;

/// Three counts of the directions a matrix uses, each from 1 (one direction) to n (all alike); 0 for a matrix of zeros.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spectrum {
    /// ‖W‖_F² / ‖W‖₂²: the largest singular value by power iteration. Source: Rudelson and Vershynin 2007.
    pub stable_rank: f64,
    /// (Σλ)² / Σλ²: exact from the Gram matrix. Source: participation ratio; the Rényi form of order 2 of the next.
    pub participation: f64,
    /// exp(−Σ p ln p) with p = λ/Σλ, where all eigenvalues were computed. Source: Roy and Vetterli 2007, with squares.
    pub entropy_rank: Option<f64>,
}

#[derive(Debug, thiserror::Error)]
pub enum SpectrumError {
    #[error("expected a matrix, found shape {0:?}")]
    Shape(Vec<usize>),
    #[error("expected a side of at most {SIDE_MAX}, found {0:?}")]
    Side(Vec<usize>),
    #[error("the eigenvalues did not come to rest in {QL_STEPS_MAX} steps each")]
    Restless,
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// The directions of `matrix`. Shapes: (rows, columns) f32. Deterministic.
///
/// `is_full` asks for the entropy, whose eigenvalues cost about 4/3·n³ operations; it is left out above `FULL_SIDE_MAX`.
///
/// # Errors
/// `Shape`, `Side`, `Restless`.
pub fn spectrum(matrix: &Tensor, is_full: bool) -> Result<Spectrum, SpectrumError> {
    let &[rows, columns] = matrix.dims() else { return Err(SpectrumError::Shape(matrix.dims().to_vec())) };
    let n = rows.min(columns);
    if n > SIDE_MAX {
        return Err(SpectrumError::Side(matrix.dims().to_vec()));
    }
    let wide = matrix.to_dtype(DType::F64)?;
    let gram = if rows <= columns { wide.matmul(&wide.t()?)? } else { wide.t()?.matmul(&wide)? };
    let mut gram: Vec<f64> = gram.flatten_all()?.to_vec1()?;
    let trace: f64 = (0..n).map(|at| gram[at * n + at]).sum();
    if trace == 0.0 {
        return Ok(Spectrum { stable_rank: 0.0, participation: 0.0, entropy_rank: is_full.then_some(0.0) });
    }
    let squares: f64 = gram.iter().map(|x| x * x).sum();
    let stable_rank = trace / largest(&gram, n);
    let entropy_rank = if is_full && n <= FULL_SIDE_MAX {
        let eigenvalues = eigenvalues(&mut gram, n)?;
        let shares = eigenvalues.iter().map(|lambda| lambda.max(0.0) / trace).filter(|p| *p > 0.0);
        Some(shares.map(|p| -p * p.ln()).sum::<f64>().exp())
    } else {
        None
    };
    Ok(Spectrum { stable_rank, participation: trace * trace / squares, entropy_rank })
}

/// The largest eigenvalue of a symmetric matrix without negative ones, by power iteration from a fixed vector.
fn largest(gram: &[f64], n: usize) -> f64 {
    // Uneven, so that no symmetry of the matrix stands across it.
    let mut vector: Vec<f64> = (0..n).map(|at| 1.0 + 0.5 * ((at * 7919 + 13) % 101) as f64 / 101.0).collect();
    let mut value = 0.0;
    for _ in 0..POWER_STEPS_MAX {
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        let next: Vec<f64> =
            gram.chunks_exact(n).map(|row| row.iter().zip(&vector).map(|(a, b)| a * b).sum()).collect();
        let rayleigh: f64 = next.iter().zip(&vector).map(|(a, b)| a * b).sum();
        let is_at_rest = (rayleigh - value).abs() <= POWER_TOLERANCE * rayleigh.abs();
        (value, vector) = (rayleigh, next);
        if is_at_rest {
            break;
        }
    }
    value
}

/// All eigenvalues of a symmetric matrix, which is used up: Householder reduction, then implicit QL.
///
/// Source: Golub and Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3.
fn eigenvalues(matrix: &mut [f64], n: usize) -> Result<Vec<f64>, SpectrumError> {
    let (mut diagonal, mut beside) = tridiagonal(matrix, n);
    for from in 0..n {
        for step in 0.. {
            // The first place behind `from` at which the matrix falls apart.
            let is_small = |at: usize| beside[at].abs() <= f64::EPSILON * (diagonal[at].abs() + diagonal[at + 1].abs());
            let to = (from..n - 1).find(|&at| is_small(at)).unwrap_or(n - 1);
            if to == from {
                break;
            }
            if step == QL_STEPS_MAX {
                return Err(SpectrumError::Restless);
            }
            ql_step(&mut diagonal, &mut beside, from, to);
        }
    }
    Ok(diagonal)
}

/// Diagonal and the numbers beside it: (n), (n).
fn tridiagonal(matrix: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; n];
    for k in 0..n.saturating_sub(2) {
        // The part of column k below the diagonal, turned onto its first axis.
        let mut v: Vec<f64> = (k + 1..n).map(|row| matrix[row * n + k]).collect();
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let alpha = if v[0] > 0.0 { -length } else { length };
        beside[k] = alpha;
        v[0] -= alpha;
        let norm: f64 = v.iter().map(|x| x * x).sum();
        if norm == 0.0 {
            continue;
        }
        let size = v.len();
        let below = |row: usize| (row + k + 1) * n + k + 1;
        let mut p: Vec<f64> = (0..size)
            .map(|row| {
                matrix[below(row)..below(row) + size].iter().zip(&v).map(|(a, b)| a * b).sum::<f64>() * 2.0 / norm
            })
            .collect();
        let share = p.iter().zip(&v).map(|(a, b)| a * b).sum::<f64>() / norm;
        p.iter_mut().zip(&v).for_each(|(p, v)| *p -= share * v);
        for row in 0..size {
            let (left, right) = (v[row], p[row]);
            let numbers = matrix[below(row)..below(row) + size].iter_mut().zip(v.iter().zip(&p));
            numbers.for_each(|(x, (v, p))| *x -= left * p + right * v);
        }
    }
    if n > 1 {
        beside[n - 2] = matrix[(n - 1) * n + n - 2];
    }
    ((0..n).map(|at| matrix[at * n + at]).collect(), beside)
}

/// One implicit QL step on the block from `from` to `to`.
fn ql_step(diagonal: &mut [f64], beside: &mut [f64], from: usize, to: usize) {
    let shift = (diagonal[from + 1] - diagonal[from]) / (2.0 * beside[from]);
    let root = shift.hypot(1.0).copysign(shift);
    let mut g = diagonal[to] - diagonal[from] + beside[from] / (shift + root);
    let (mut sine, mut cosine, mut p) = (1.0, 1.0, 0.0);
    for at in (from..to).rev() {
        let (f, b) = (sine * beside[at], cosine * beside[at]);
        let length = f.hypot(g);
        beside[at + 1] = length;
        if length == 0.0 {
            diagonal[at + 1] -= p;
            beside[to] = 0.0;
            return;
        }
        (sine, cosine) = (f / length, g / length);
        g = diagonal[at + 1] - p;
        let turned = (diagonal[at] - g) * sine + 2.0 * cosine * b;
        p = sine * turned;
        diagonal[at + 1] = g + p;
        g = cosine * turned - b;
    }
    diagonal[from] -= p;
    beside[from] = g;
    beside[to] = 0.0;
}
