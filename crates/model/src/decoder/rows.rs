//! Matrices of rows: products, and work in place.

use super::{
    Act,
    kernel::{TILE, WIDTH},
    packed::Packed,
    panels::Panels,
};
use candle_core::{CpuStorage, Device, InplaceOp1, InplaceOp2, Layout, Storage, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Numbers below which a second thread costs more than it gives.
const PIECE: usize = 1 << 14;

/// x · Wᵀ + b.
pub(crate) struct Linear {
    /// (out, in)
    pub(crate) weight: Panels,
    pub(crate) bias: Option<Vec<f32>>,
}

impl Linear {
    pub(crate) const fn plain(weight: Panels) -> Self {
        Self { weight, bias: None }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.weight.outputs()
    }

    pub(crate) fn n_parameters(&self) -> usize {
        self.weight.outputs() * self.weight.depth() + self.bias.as_ref().map_or(0, Vec::len)
    }

    /// Shapes: (n, in) → (n, out). A row has the same bits whatever the number of rows.
    pub(crate) fn apply(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        let [out] = Self::apply_each([self], rows)?;
        Ok(out)
    }

    /// `apply` of several to the same rows, which are packed once.
    pub(crate) fn apply_each<const N: usize>(all: [&Self; N], rows: &Tensor) -> candle_core::Result<[Tensor; N]> {
        let depth = all.first().map_or(0, |one| one.weight.depth());
        Self::apply_each_packed(all, &with_slice(rows, |rows| Packed::of(rows, depth))?)
    }

    pub(super) fn apply_each_packed<const N: usize>(
        all: [&Self; N],
        rows: &Packed,
    ) -> candle_core::Result<[Tensor; N]> {
        let applied: Vec<Tensor> = all.iter().map(|one| one.apply_packed(rows)).collect::<Result<_, _>>()?;
        applied.try_into().map_err(|_| candle_core::Error::Msg(format!("expected {N} products")))
    }

    /// Adds `apply_packed` to a stream, in place. The same bits as the sum of the two.
    pub(super) fn add_packed(&self, rows: &Packed, stream: &Tensor) -> candle_core::Result<()> {
        if self.bias.is_some() {
            return add(stream, &self.apply_packed(rows)?);
        }
        stream.inplace_op1(&InPlace(|stream: &mut [f32]| self.weight.add_product(rows, stream)))
    }

    /// act(gate(x)) · up(x), packed: the bits of the parts one after another.
    pub(super) fn gated(gate: &Self, up: &Self, act: Act, rows: &Packed) -> candle_core::Result<Packed> {
        if rows.n() <= TILE {
            let [gate, up] = Self::apply_each_packed([gate, up], rows)?;
            act.gate(&gate, &up)?;
            let depth = gate.dim(1)?;
            return with_slice(&gate, |inner| Packed::of(inner, depth));
        }
        Ok(Panels::product_of_two([&gate.weight, &up.weight], rows, |column, inner, other| {
            gate.add_bias(column, inner);
            up.add_bias(column, other);
            act.gate_numbers(inner.as_flattened_mut(), other.as_flattened());
        }))
    }

    fn add_bias(&self, column: usize, rows: &mut [[f32; WIDTH]]) {
        if let Some(bias) = &self.bias {
            rows.iter_mut().for_each(|row| row.iter_mut().zip(&bias[column..]).for_each(|(x, b)| *x += b));
        }
    }

    pub(super) fn apply_packed(&self, rows: &Packed) -> candle_core::Result<Tensor> {
        let out = Tensor::from_vec(self.weight.product(rows), (rows.n(), self.outputs()), &Device::Cpu)?;
        if let Some(bias) = &self.bias {
            each_row(&out, bias.len(), |_, row| row.iter_mut().zip(bias).for_each(|(x, b)| *x += b))?;
        }
        Ok(out)
    }
}

/// Rows of a table, by their number.
pub(super) fn pick(table: &Tensor, rows: &[u32]) -> candle_core::Result<Tensor> {
    table.index_select(&Tensor::new(rows, table.device())?, 0)
}

/// The numbers of a contiguous f32 tensor.
pub(crate) fn with_slice<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> T) -> candle_core::Result<T> {
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

/// Numbers that `f` writes, given the number of each piece: made zeros in the task that writes them, where they stay at hand.
pub(super) fn filled(n: usize, piece: usize, f: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(n);
    let pieces = numbers.spare_capacity_mut()[..n].par_chunks_mut(piece.max(1)).enumerate();
    pieces.for_each(|(at, room)| f(at, zeros(room)));
    // SAFETY: every piece was made zeros at least.
    #[expect(unsafe_code, reason = "zeros of one thread hold up the others")]
    unsafe {
        numbers.set_len(n);
    }
    numbers
}

pub(super) fn zeros(room: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    room.fill(MaybeUninit::new(0.0));
    // SAFETY: all was written.
    #[expect(unsafe_code, reason = "as a slice of numbers")]
    unsafe {
        room.assume_init_mut()
    }
}

/// Rows of a task.
pub(super) const fn piece_rows(width: usize) -> usize {
    if width == 0 { 1 } else { PIECE.div_ceil(width) }
}

/// Every row of `width` numbers, with its number, in place: the tensor must share its memory with no other that is read.
pub(super) fn each_row(tensor: &Tensor, width: usize, f: impl Fn(usize, &mut [f32]) + Sync) -> candle_core::Result<()> {
    let n_min = piece_rows(width);
    tensor.inplace_op1(&InPlace(|numbers: &mut [f32]| {
        numbers.par_chunks_mut(width).enumerate().with_min_len(n_min).for_each(|(at, row)| f(at, row));
    }))
}

/// All numbers, a piece at a time, in place.
pub(super) fn each_piece(tensor: &Tensor, f: impl Fn(&mut [f32]) + Sync) -> candle_core::Result<()> {
    tensor.inplace_op1(&InPlace(|numbers: &mut [f32]| numbers.par_chunks_mut(PIECE).for_each(&f)))
}

/// Every number, in place.
pub(super) fn each(tensor: &Tensor, f: impl Fn(f32) -> f32 + Sync) -> candle_core::Result<()> {
    tensor.inplace_op1(&InPlace(|numbers: &mut [f32]| {
        numbers.par_chunks_mut(PIECE).for_each(|piece| piece.iter_mut().for_each(|x| *x = f(*x)));
    }))
}

fn pairwise(tensor: &Tensor, other: &Tensor, f: impl Fn(f32, f32) -> f32 + Sync) -> candle_core::Result<()> {
    each_pair(tensor, other, |piece: &mut [f32], other: &[f32]| {
        piece.iter_mut().zip(other).for_each(|(x, y)| *x = f(*x, *y));
    })
}

/// Pieces of both, of which the first is written.
pub(super) fn each_pair(
    tensor: &Tensor,
    other: &Tensor,
    f: impl Fn(&mut [f32], &[f32]) + Sync,
) -> candle_core::Result<()> {
    if tensor.dims() != other.dims() {
        candle_core::bail!("expected two tensors of one shape, found {:?} and {:?}", tensor.dims(), other.dims());
    }
    tensor.inplace_op2(
        other,
        &InPlace(|numbers: &mut [f32], other: &[f32]| {
            let pieces = numbers.par_chunks_mut(PIECE).zip(other.par_chunks(PIECE));
            pieces.for_each(|(piece, other)| f(piece, other));
        }),
    )
}

/// x += y
pub(super) fn add(tensor: &Tensor, other: &Tensor) -> candle_core::Result<()> {
    pairwise(tensor, other, |x, y| x + y)
}

/// e^x for x from −87 to 88, held at the ends; relative error below 2.5e-7. Written so that a compiler makes vectors of it.
///
/// Source: Moshier, Cephes, `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = n * 2.121_944_4e-4 + (n * -0.693_359_4 + x);
    let mut p = 1.987_569_1e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + c;
    }
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127).wrapping_shl(23);
    (p * r * r + r + 1.0) * f32::from_bits(power)
}

/// 1.5 · 2^23: adding it leaves the nearest whole number in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// e^x for x from −86 to 0, held at the lower end; relative error below 2.5e-7 + 3e-8 · |x|: what adds little to a sum of such powers may be
/// the less exact. By fused multiply-adds, for functions that are made for machines that have them.
///
/// 2^n · 2^r with |r| ≤ 1/2, by the polynomial of degree 5 with the least relative error of those that are 1 at 0 (9.1e-8).
#[inline(always)]
pub(super) fn exp_fused(x: f32) -> f32 {
    // Not `max`, which would lose a NaN.
    let x = if x < -86.0 { -86.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let r = x.mul_add(std::f32::consts::LOG2_E, ROUND - shifted);
    #[expect(clippy::approx_constant, reason = "the last but one is not ln 2, but near it")]
    const P: [f32; 5] = [9.671_513e-3, 5.550_733_6e-2, 0.240_222_42, 0.693_147, 1.0];
    let mut p = 1.326_472_7e-3_f32;
    for c in P {
        p = p.mul_add(r, c);
    }
    // n is added to the exponent; a NaN stays one.
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits().wrapping_shl(23)))
}

/// e^x for x from −700 to 0, held at the lower end; relative error below 1e-15. Like `exp_fused`.
///
/// Taylor's series of degree 13 on |r| ≤ ln 2 / 2.
#[inline(always)]
pub(super) fn exp_f64(x: f64) -> f64 {
    /// 1.5 · 2^52.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    /// ln 2 in two parts. Source: fdlibm, `e_exp.c`.
    const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    // Not `max`, which would lose a NaN.
    let x = if x < -700.0 { -700.0 } else { x };
    let shifted = x.mul_add(std::f64::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], x));
    let mut p: f64 = 1.0 / 6_227_020_800.0;
    for factorial in
        [479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0]
    {
        p = p.mul_add(r, 1.0 / factorial);
    }
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(1023).wrapping_shl(52);
    p * f64::from_bits(power)
}

/// The largest of a row in sixteen lanes; a NaN is passed over.
#[inline(always)]
pub(crate) fn largest(row: &[f32]) -> f32 {
    let greater = |a: f32, b: f32| if b > a { b } else { a };
    let (blocks, rest) = row.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, x)| *lane = greater(*lane, *x));
    }
    rest.iter().copied().fold(one_of(lanes, greater), greater)
}

/// Sixteen lanes made one, half by half.
#[inline(always)]
pub(super) fn one_of(lanes: [f32; 16], f: impl Fn(f32, f32) -> f32) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|at| f(lanes[at], lanes[at + 8]));
    let four: [f32; 4] = std::array::from_fn(|at| f(eight[at], eight[at + 4]));
    let [a, b, c, d] = four;
    f(f(a, c), f(b, d))
}

/// Sum of f(x) in sixteen lanes, added in a fixed order.
#[inline(always)]
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
    use super::{exp, exp_f64, exp_fused};

    /// Against the C library's in f64.
    #[test]
    fn exponentials_are_close_to_the_libraries() {
        for step in -87_000..=88_000 {
            let x = step as f32 / 1000.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.5e-7, "exp({x}): relative error {error:e}");
            if (-86.0..=0.0).contains(&x) {
                let error = (f64::from(exp_fused(x)) - expected).abs() / expected;
                assert!(error < 2.5e-7 + 3e-8 * f64::from(-x), "exp_fused({x}): relative error {error:e}");
            }
        }
        assert_eq!(exp_fused(f32::NEG_INFINITY), exp_fused(-86.0));
        assert!(exp(f32::NAN).is_nan() && exp_fused(f32::NAN).is_nan());
        assert_eq!((exp(0.0), exp_fused(0.0)), (1.0, 1.0));
    }

    /// Against the C library's.
    #[test]
    fn exponentials_in_f64_are_close_to_the_librarys() {
        for step in -70_000..=0 {
            let x = f64::from(step) / 100.0 + 0.001_234;
            let x = x.min(0.0);
            let (found, expected) = (exp_f64(x), x.exp());
            assert!((found / expected - 1.0).abs() < 1e-15, "exp({x}): {found:e}, expected {expected:e}");
        }
        assert!(exp_f64(-1e9) < 1e-300);
        assert_eq!(exp_f64(0.0), 1.0);
    }
}
