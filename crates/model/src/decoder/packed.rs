//! Rows as the kernel reads them, and where several threads write what becomes of them.
//!
//! Legend: N rows, K depth, R rows of a tile, O outputs of a product.

use super::{
    Norm,
    kernel::{Sums, TILE, WIDTH},
    lanes::{Groups, Last},
    rows::filled,
};
use std::{marker::PhantomData, mem::MaybeUninit, ops::Range};

/// Numbers below which a second thread costs more than it gives.
const PIECE: usize = 1 << 14;

/// Rows (N, K): tiles one behind another, each (K, R).
pub(crate) struct Packed {
    numbers: Vec<f32>,
    n: usize,
    depth: usize,
}

impl Packed {
    /// Shapes: `rows` (N, K).
    pub(crate) fn of(rows: &[f32], depth: usize) -> Self {
        Self::filled(rows.len(), depth, |first, out| tiles(depth, out.len()).interleave(&rows[first..], depth, out))
    }

    /// Of rows with a norm, which is taken while they are packed: the bits of `of` the normed rows.
    pub(super) fn normed(norm: &Norm, rows: &[f32]) -> Self {
        let depth = norm.width();
        Self::filled(rows.len(), depth, |first, out| {
            let mut normed = vec![0.0; (TILE * depth).min(out.len())];
            let size = normed.len().max(1);
            for (out, rows) in out.chunks_mut(size).zip(rows[first..].chunks(size)) {
                let normed = &mut normed[..out.len()];
                normed.copy_from_slice(&rows[..out.len()]);
                normed.chunks_exact_mut(depth).for_each(|row| norm.apply_to(row));
                tiles(depth, out.len()).interleave(normed, depth, out);
            }
        })
    }

    fn filled(n_numbers: usize, depth: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        // Whole tiles of a task.
        let size = (PIECE.div_ceil(TILE * depth.max(1)) * TILE * depth).max(1);
        Self { numbers: filled(n_numbers, size, |at, out| fill(at * size, out)), n: n_numbers / depth.max(1), depth }
    }

    /// Of what `write` writes: all of it, by `Target::write_packed`.
    pub(super) fn written(n: usize, depth: usize, write: impl FnOnce(&Target)) -> Self {
        let mut numbers = Vec::with_capacity(n * depth);
        write(&Target::of_room(&mut numbers.spare_capacity_mut()[..n * depth]));
        // SAFETY: the caller wrote all tiles.
        #[expect(unsafe_code, reason = "zeros would be written over")]
        unsafe {
            numbers.set_len(n * depth);
        }
        Self { numbers, n, depth }
    }

    /// From this row, the first of a tile, on.
    pub(super) fn tile(&self, first: usize) -> &[f32] {
        &self.numbers[first * self.depth..]
    }

    /// N
    pub(crate) const fn n(&self) -> usize {
        self.n
    }

    /// K
    pub(crate) const fn depth(&self) -> usize {
        self.depth
    }
}

const fn tiles(depth: usize, n_numbers: usize) -> Groups<TILE> {
    let n_lanes = match n_numbers.checked_div(depth) {
        Some(n_lanes) => n_lanes,
        None => 0,
    };
    Groups { n_lanes, depth, last: Last::Narrow }
}

/// Numbers of which several threads write parts that do not overlap.
pub(super) struct Target<'a> {
    numbers: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "columns of one matrix are written by several threads")]
// SAFETY: `Tasks` hands every pair of rows and panel to one task, and what is written lies within these alone.
unsafe impl Sync for Target<'_> {}

impl<'a> Target<'a> {
    pub(super) const fn of(numbers: &'a mut [f32]) -> Self {
        Self { numbers: numbers.as_mut_ptr(), len: numbers.len(), borrowed: PhantomData }
    }

    pub(super) const fn of_room(room: &'a mut [MaybeUninit<f32>]) -> Self {
        Self { numbers: room.as_mut_ptr().cast(), len: room.len(), borrowed: PhantomData }
    }

    /// The sums of a tile as rows of `outputs` numbers, from this column on.
    pub(super) fn write(&self, sums: &Sums, rows: Range<usize>, column: usize, outputs: usize) {
        self.each_row(rows, column, outputs, |out, row, n| {
            // SAFETY: `each_row` gives a place of n numbers, at most WIDTH. A whole panel's width is known to the compiler,
            // which then copies in place.
            #[expect(unsafe_code, reason = "what is not written yet is no slice")]
            unsafe {
                if n == WIDTH {
                    out.cast::<[f32; WIDTH]>().write_unaligned(sums[row]);
                } else {
                    std::ptr::copy_nonoverlapping(sums[row].as_ptr(), out, n);
                }
            }
        });
    }

    /// Likewise, added to what is there: not for room.
    pub(super) fn add(&self, sums: &Sums, rows: Range<usize>, column: usize, outputs: usize) {
        self.each_row(rows, column, outputs, |out, row, n| {
            // SAFETY: as in `write`; what is there was written before the target was made of it.
            #[expect(unsafe_code, reason = "columns of one matrix are written by several threads")]
            let out = unsafe { std::slice::from_raw_parts_mut(out, n) };
            match out.first_chunk_mut::<WIDTH>() {
                Some(out) => out.iter_mut().zip(&sums[row]).for_each(|(x, y)| *x += y),
                None => out.iter_mut().zip(&sums[row]).for_each(|(x, y)| *x += y),
            }
        });
    }

    fn each_row(&self, rows: Range<usize>, column: usize, outputs: usize, f: impl Fn(*mut f32, usize, usize)) {
        let n = WIDTH.min(outputs - column);
        assert!(rows.len() <= TILE && rows.end * outputs <= self.len, "rows {rows:?} of {}", self.len);
        for (at, row) in rows.enumerate() {
            f(self.numbers.wrapping_add(row * outputs + column), at, n);
        }
    }

    /// The sums of a tile as depths of a packed tile, from depth `first` on of `depth`.
    pub(super) fn write_packed(&self, sums: &Sums, rows: Range<usize>, first: usize, depth: usize) {
        let (n_rows, n) = (rows.len(), WIDTH.min(depth - first));
        assert!(n_rows <= TILE && rows.end * depth <= self.len, "rows {rows:?} of {}", self.len);
        let mut turned = [0.0; TILE * WIDTH];
        let tile: Groups<TILE> = Groups { n_lanes: n_rows, depth: n, last: Last::Narrow };
        tile.interleave(sums.as_flattened(), WIDTH, &mut turned);
        // SAFETY: tiles of N rows lie one behind another, and within one n depths of its rows are one run.
        #[expect(unsafe_code, reason = "what is not written yet is no slice")]
        unsafe {
            let out = self.numbers.add(rows.start * depth + first * n_rows);
            std::ptr::copy_nonoverlapping(turned.as_ptr(), out, n * n_rows);
        }
    }
}
