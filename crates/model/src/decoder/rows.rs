//! Matrices of rows: products whose rows do not depend on their company, and work in place.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Storage, Tensor};
use rayon::prelude::*;

/// Numbers below which a second thread costs more than it gives.
const PIECE: usize = 1 << 14;
/// The product kernel takes another order of summation for results of up to 16 × 16 numbers, and for a single row.
/// Source: gemm 0.19, `gemm_basic_generic`; asserted by the invariance tests of `tests/it/decoder.rs`.
const SMALL_PRODUCT: usize = 256;
/// It cuts sums longer than this otherwise when neither side of the result is longer than that.
const SMALL_DEPTH: usize = 512;
const SMALL_SIDE: usize = 64;

/// x · Wᵀ + b.
pub(crate) struct Linear {
    /// (out, in)
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Vec<f32>>,
}

impl Linear {
    pub(crate) const fn plain(weight: Tensor) -> Self {
        Self { weight, bias: None }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Shapes: (n, in) → (n, out).
    pub(crate) fn apply(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        let out = project(rows, &self.weight)?;
        if let Some(bias) = &self.bias {
            each_row(&out, bias.len(), |_, row| row.iter_mut().zip(bias).for_each(|(x, b)| *x += b))?;
        }
        Ok(out)
    }
}

/// x · Wᵀ, each row summed in the same order whatever the number of rows. Shapes: (n, in), (out, in) → (n, out).
pub(super) fn project(rows: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    let n = rows.dim(0)?;
    let (columns, depth) = weight.dims2()?;
    let n_min = if columns <= SMALL_SIDE && depth > SMALL_DEPTH { SMALL_SIDE + 1 } else { rows_min(columns) };
    if n >= n_min {
        return rows.matmul(&weight.t()?);
    }
    rows.pad_with_zeros(0, 0, n_min - n)?.matmul(&weight.t()?)?.narrow(0, 0, n)
}

/// Rows that a product of this many columns needs to be summed like any other.
pub(super) const fn rows_min(columns: usize) -> usize {
    let n = SMALL_PRODUCT / columns + 1;
    if n < 2 { 2 } else { n }
}

/// Rows of a table, by their number.
pub(super) fn pick(table: &Tensor, rows: &[u32]) -> candle_core::Result<Tensor> {
    table.index_select(&Tensor::new(rows, table.device())?, 0)
}

/// The numbers of a contiguous f32 tensor.
pub(super) fn with_slice<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> T) -> candle_core::Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(numbers)) = &*storage else { candle_core::bail!("expected f32 on the processor") };
    Ok(f(slice(numbers, layout)?))
}

fn slice<'a>(numbers: &'a [f32], layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&numbers[start..end]),
        None => candle_core::bail!("expected a contiguous tensor"),
    }
}

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    let CpuStorage::F32(numbers) = storage else { candle_core::bail!("expected f32") };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&mut numbers[start..end]),
        None => candle_core::bail!("expected a contiguous tensor"),
    }
}

struct InPlace<F>(F);

impl<F: Fn(&mut [f32])> InplaceOp1 for InPlace<F> {
    fn name(&self) -> &'static str {
        "rows in place"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        (self.0)(slice_mut(storage, layout)?);
        Ok(())
    }
}

impl<F: Fn(&mut [f32], &[f32])> InplaceOp2 for InPlace<F> {
    fn name(&self) -> &'static str {
        "rows in place"
    }

    fn cpu_fwd(
        &self,
        storage: &mut CpuStorage,
        layout: &Layout,
        other: &CpuStorage,
        other_layout: &Layout,
    ) -> candle_core::Result<()> {
        let CpuStorage::F32(other) = other else { candle_core::bail!("expected f32") };
        (self.0)(slice_mut(storage, layout)?, slice(other, other_layout)?);
        Ok(())
    }
}

/// Every row of `width` numbers, with its number, in place: the tensor must share its memory with no other that is read.
pub(super) fn each_row(tensor: &Tensor, width: usize, f: impl Fn(usize, &mut [f32]) + Sync) -> candle_core::Result<()> {
    let n_min = PIECE.div_ceil(width.max(1));
    tensor.inplace_op1(&InPlace(|numbers: &mut [f32]| {
        numbers.par_chunks_mut(width).enumerate().with_min_len(n_min).for_each(|(at, row)| f(at, row));
    }))
}

/// Every number, in place.
pub(super) fn each(tensor: &Tensor, f: impl Fn(f32) -> f32 + Sync) -> candle_core::Result<()> {
    tensor.inplace_op1(&InPlace(|numbers: &mut [f32]| {
        numbers.par_chunks_mut(PIECE).for_each(|piece| piece.iter_mut().for_each(|x| *x = f(*x)));
    }))
}

fn pairwise(tensor: &Tensor, other: &Tensor, f: impl Fn(f32, f32) -> f32 + Sync) -> candle_core::Result<()> {
    if tensor.dims() != other.dims() {
        candle_core::bail!("expected two tensors of one shape, found {:?} and {:?}", tensor.dims(), other.dims());
    }
    tensor.inplace_op2(
        other,
        &InPlace(|numbers: &mut [f32], other: &[f32]| {
            let pieces = numbers.par_chunks_mut(PIECE).zip(other.par_chunks(PIECE));
            pieces.for_each(|(piece, other)| piece.iter_mut().zip(other).for_each(|(x, y)| *x = f(*x, *y)));
        }),
    )
}

/// x += y
pub(super) fn add(tensor: &Tensor, other: &Tensor) -> candle_core::Result<()> {
    pairwise(tensor, other, |x, y| x + y)
}

/// x *= y
pub(super) fn multiply(tensor: &Tensor, other: &Tensor) -> candle_core::Result<()> {
    pairwise(tensor, other, |x, y| x * y)
}

/// e^x for x from −87 to 88, held at the ends; relative error below 2.5e-7. Written so that a compiler makes vectors of it.
///
/// Source: Moshier, Cephes, `expf`.
pub(crate) fn exp(x: f32) -> f32 {
    /// 1.5 · 2^23: adding it leaves the nearest whole number in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + c;
    }
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127).wrapping_shl(23);
    (p * r * r + r + 1.0) * f32::from_bits(power)
}

/// Sum of f(x) in sixteen lanes, added in a fixed order.
pub(crate) fn lanes(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (blocks, rest) = row.as_chunks::<16>();
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += f(*x);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += f(*x);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::exp;

    /// Against the C library's in f64.
    #[test]
    fn exponentials_are_close_to_the_libraries() {
        for step in -87_000..=88_000 {
            let x = step as f32 / 1000.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.5e-7, "exp({x}): relative error {error:e}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }
}
