//! Matrix products on slices, over the kernel that inference uses as well.
//!
//! `b` is packed into panels of W columns and `a` into tiles of up to `TILE` rows, a block of depths at a time, so that the kernel
//! reads both one number behind another out of a core's own caches. A block's sums are added to `out` one block behind another: an
//! element's bits depend on the depth alone, not on how rows and columns were cut, nor on the number of threads. Source: Goto and van
//! de Geijn 2008, "Anatomy of high-performance matrix multiplication", section 4.
//!
//! Legend: M rows and N columns of `out`, K depth; W = `WIDTH` columns of a panel; R rows of a tile.

use crate::decoder::{
    kernel::{Factors, Out, Place, Rows, Sums, TILE, WIDTH, multiply_into, multiply_to},
    lanes::{Groups, Last},
    vectors::{for_vectors, vectors},
};
use rayon::prelude::*;
use std::{cell::Cell, mem::MaybeUninit};

/// Depths whose products are summed in registers, at most: a panel of them lies in the second cache beside a task's tiles.
const BLOCK: usize = 384;
/// Blocks of depths that are packed at once.
const BLOCKS: usize = 8;
/// Numbers of `b` that are packed at once.
const ROOM: usize = 1 << 21;
/// Tiles of a task: as many as make a panel's way out of the third cache cheap.
const TASK: usize = 8;
/// Multiplications below which a second thread costs more than it gives.
const PIECE: usize = 1 << 16;

/// A matrix in a slice: entry (i, j) stands at i · `row` + j · `column`, one of which is 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    entries: &'a [f32],
    sides: (usize, usize),
    row: usize,
    column: usize,
}

impl<'a> View<'a> {
    /// Rows of `n_columns`, one behind another.
    pub(super) const fn rows(entries: &'a [f32], n_columns: usize) -> Self {
        Self { entries, sides: (entries.len() / n_columns, n_columns), row: n_columns, column: 1 }
    }

    /// `n_rows` rows of `n_columns`, each `stride` entries after the one before.
    pub(super) const fn strided(entries: &'a [f32], n_rows: usize, n_columns: usize, stride: usize) -> Self {
        Self { entries, sides: (n_rows, n_columns), row: stride, column: 1 }
    }

    /// Transposed.
    pub(super) const fn t(self) -> Self {
        let Self { entries, sides: (rows, columns), row, column } = self;
        Self { entries, sides: (columns, rows), row: column, column: row }
    }

    /// The first `n` rows.
    pub(super) const fn first_rows(self, n: usize) -> Self {
        Self { sides: (n, self.sides.1), ..self }
    }

    fn check(&self) {
        let (rows, columns) = self.sides;
        let last = rows.saturating_sub(1) * self.row + columns.saturating_sub(1) * self.column;
        assert!(rows * columns == 0 || last < self.entries.len(), "{:?} in {}", self.sides, self.entries.len());
    }

    /// Packs some of the rows as lanes, at some of the columns, which become depths.
    fn pack<const L: usize>(&self, rows: Part, columns: Part, last: Last, out: &mut [f32]) {
        let groups: Groups<L> = Groups { n_lanes: rows.1, depth: columns.1, last };
        let from = &self.entries[rows.0 * self.row + columns.0 * self.column..];
        if self.row == 1 {
            groups.copy(from, self.column, out);
        } else {
            groups.interleave(from, self.row, out);
        }
    }
}

/// Who works on a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    /// The caller alone: it is one of many.
    One,
    All,
}

thread_local! {
    /// Packed columns and packed rows, which a thread keeps from one product to the next.
    static KEPT: [Cell<Vec<f32>>; 2] = const { [Cell::new(Vec::new()), Cell::new(Vec::new())] };
}

/// Gives `work` room for `n` numbers, which hold anything.
fn with_room<T>(which: usize, n: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut room = KEPT.with(|kept| kept[which].take());
    if room.len() < n {
        room.resize(n, 0.0);
    }
    let result = work(&mut room[..n]);
    KEPT.with(|kept| kept[which].set(room));
    result
}

/// Part of a depth or of a side: (first, how many).
type Part = (usize, usize);

/// `out` ← a · b · `factor`, and with `adds` that is added to what stands in `out`; rows of `out` one behind another.
///
/// The order of a sum does not depend on the number of threads.
pub(super) fn product(out: &mut [f32], adds: bool, a: View<'_>, b: View<'_>, factor: f32, threads: Threads) {
    #[expect(unsafe_code, reason = "numbers seen as numbers that may be none")]
    // SAFETY: the same numbers in the same places; into none of them is written what is not a number.
    let out = unsafe { &mut *(std::ptr::from_mut(out) as *mut [MaybeUninit<f32>]) };
    put_product(out, adds, a, b, factor, threads);
}

/// a · b on all threads, in rows one behind another.
pub(super) fn product_of(a: View<'_>, b: View<'_>) -> Vec<f32> {
    written(a.sides.0 * b.sides.1, |out| put_product(out, false, a, b, 1.0, Threads::All))
}

/// `n` numbers, all of which `write` writes: zeros that are written over at once cost a twentieth of a step.
pub(super) fn written(n: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(n);
    write(&mut numbers.spare_capacity_mut()[..n]);
    #[expect(unsafe_code, reason = "what was written is there")]
    // SAFETY: every caller's `write` writes every number.
    unsafe {
        numbers.set_len(n);
    }
    numbers
}

/// With `adds`, `out` holds numbers.
fn put_product(out: &mut [MaybeUninit<f32>], adds: bool, a: View<'_>, b: View<'_>, factor: f32, threads: Threads) {
    let ((m, k), (k_of_b, n)) = (a.sides, b.sides);
    assert!(k == k_of_b && out.len() == m * n, "{:?} · {:?} into {}", a.sides, b.sides, out.len());
    a.check();
    b.check();
    if k == 0 && !adds {
        out.fill(MaybeUninit::new(0.0));
    }
    if m * n * k == 0 {
        return;
    }
    let threads = if m * n * k < PIECE { Threads::One } else { threads };
    let block = k.div_ceil(k.div_ceil(BLOCK)).next_multiple_of(8);
    for depths in parts((0, k), block * BLOCKS) {
        let adds = adds || depths.0 > 0;
        let columns_at_once = (ROOM / depths.1 / WIDTH).max(1) * WIDTH;
        for columns in parts((0, n), columns_at_once) {
            with_room(0, columns.1.div_ceil(WIDTH) * depths.1 * WIDTH, |packed| {
                pack(b, depths, columns, packed, threads);
                let task = |(first, out): (usize, &mut [MaybeUninit<f32>])| {
                    rows_of_product(out, n, (a, first), (depths, block), (packed, columns), (adds, factor));
                };
                match threads {
                    Threads::One => task((0, &mut *out)),
                    Threads::All => tasks(out, (m, n)).into_par_iter().for_each(task),
                }
            });
        }
    }
}

/// The first row of each task and its rows of `out`: whole tiles, as many for each as can be.
fn tasks<T>(mut out: &mut [T], (m, n): (usize, usize)) -> Vec<(usize, &mut [T])> {
    let n_tiles = m.div_ceil(TILE);
    let n_tasks = n_tiles.div_ceil(TASK).next_multiple_of(rayon::current_num_threads()).min(n_tiles);
    let first_row = |task: usize| (task * n_tiles / n_tasks * TILE).min(m);
    let cut = |task: usize| {
        let (rows, rest) = std::mem::take(&mut out).split_at_mut((first_row(task + 1) - first_row(task)) * n);
        out = rest;
        (first_row(task), rows)
    };
    (0..n_tasks).map(cut).collect()
}

fn parts((first, n): Part, size: usize) -> impl Iterator<Item = Part> {
    (0..n).step_by(size).map(move |at| (first + at, size.min(n - at)))
}

/// Panels one behind another, each (K, W).
fn pack(b: View<'_>, depths: Part, columns: Part, out: &mut [f32], threads: Threads) {
    let n_panels = match threads {
        Threads::One => columns.1.div_ceil(WIDTH),
        Threads::All => columns.1.div_ceil(WIDTH).div_ceil(2 * rayon::current_num_threads()),
    };
    let fill = |(at, out): (usize, &mut [f32])| {
        let first = at * n_panels * WIDTH;
        let n = (n_panels * WIDTH).min(columns.1 - first);
        b.t().pack::<WIDTH>((columns.0 + first, n), depths, Last::Full, out);
    };
    let size = n_panels * depths.1 * WIDTH;
    match threads {
        Threads::One => out.chunks_mut(size).enumerate().for_each(fill),
        Threads::All => out.par_chunks_mut(size).enumerate().for_each(fill),
    }
}

/// The rows from `first` of `a` on that `out` has room for, by some of the columns.
fn rows_of_product(
    out: &mut [MaybeUninit<f32>],
    n: usize,
    (a, first): (View<'_>, usize),
    (depths, block): (Part, usize),
    (panels, columns): (&[f32], Part),
    (adds, factor): (bool, f32),
) {
    let (n_rows, mut sums) = (out.len() / n, [[0.0; WIDTH]; TILE]);
    for (depth, n_depths) in parts(depths, block) {
        let adds = adds || depth > depths.0;
        with_room(1, n_rows * n_depths, |tiles| {
            a.pack::<TILE>((first, n_rows), (depth, n_depths), Last::Narrow, tiles);
            if factor != 1.0 {
                tiles.iter_mut().for_each(|x| *x *= factor);
            }
            for (panel, numbers) in panels.chunks(depths.1 * WIDTH).enumerate() {
                let (panel, column) = (&numbers[(depth - depths.0) * WIDTH..], columns.0 + panel * WIDTH);
                let width = WIDTH.min(columns.0 + columns.1 - column);
                for (tile, out) in tiles.chunks(TILE * n_depths).zip(out.chunks_mut(TILE * n)) {
                    let n_rows = tile.len() / n_depths;
                    let factors = Factors { n_rows, depth: n_depths, rows: Rows::Tile(tile), panel, stride: WIDTH };
                    put_tile(factors, (&mut out[column..], n), width, adds, &mut sums);
                }
            }
        });
    }
}

/// A tile's products with a panel, into `width` columns of rows that are `stride` apart. What is added to something is summed by
/// itself first: one long chain would round more.
fn put_tile(
    factors: Factors<'_>,
    (out, stride): (&mut [MaybeUninit<f32>], usize),
    width: usize,
    adds: bool,
    sums: &mut Sums,
) {
    if width < WIDTH {
        multiply_into(vectors(), factors, Out { numbers: sums.as_flattened_mut(), stride: WIDTH, adds: false });
        place(&sums[..factors.n_rows], out, stride, width, adds);
    } else if adds {
        #[expect(unsafe_code, reason = "the kernel reads what it adds to")]
        // SAFETY: `adds` says that numbers stand in these columns of these rows: `product` was given them, or the block of depths before this
        // one wrote them.
        let place = unsafe { Place::added(out, stride) };
        multiply_to(vectors(), factors, place);
    } else {
        multiply_to(vectors(), factors, Place::fresh(out, stride));
    }
}

for_vectors! {
    /// Puts sums where they belong, or adds them there: `width` columns of rows that are `stride` apart.
    fn place(sums: &[[f32; WIDTH]], out: &mut [MaybeUninit<f32>], stride: usize, width: usize, adds: bool) = place_body
}

#[inline(always)]
fn place_body(sums: &[[f32; WIDTH]], out: &mut [MaybeUninit<f32>], stride: usize, width: usize, adds: bool) {
    for (sums, out) in sums.iter().zip(out.chunks_mut(stride)) {
        match out.first_chunk_mut::<WIDTH>() {
            Some(out) if width == WIDTH => place_row(sums, out, adds),
            _ => place_row(&sums[..width], &mut out[..width], adds),
        }
    }
}

#[inline(always)]
fn place_row(sums: &[f32], out: &mut [MaybeUninit<f32>], adds: bool) {
    if adds {
        #[expect(unsafe_code, reason = "what is added to is read")]
        // SAFETY: as in `put_tile`.
        out.iter_mut().zip(sums).for_each(|(out, sum)| *unsafe { out.assume_init_mut() } += sum);
    } else {
        out.write_copy_of_slice(sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: [[1, 2], [3, 4]] · [[5, 6], [7, 8]] = [[19, 22], [43, 50]].
    #[test]
    fn products_add_scale_and_transpose() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        let mut out = [1.0; 4];
        product(&mut out, true, View::rows(&a, 2), View::rows(&b, 2), 2.0, Threads::One);
        assert_eq!(out, [39.0, 45.0, 87.0, 101.0]);
        product(&mut out, false, View::rows(&a, 2).t(), View::rows(&b, 2), 1.0, Threads::All);
        assert_eq!(out, [26.0, 30.0, 38.0, 44.0]);
        let wide = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0];
        product(&mut out, false, View::strided(&wide, 2, 2, 3), View::rows(&b, 2), 1.0, Threads::One);
        assert_eq!(out, [19.0, 22.0, 43.0, 50.0]);
    }

    fn numbers(seed: usize, n: usize) -> Vec<f32> {
        (0..n).map(|at| ((seed * 131 + at * 7919) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// Shapes of every remainder of tiles, panels, squares and blocks of depths.
    const SHAPES: [(usize, usize, usize); 12] = [
        (1, 1, 1),
        (3, 5, 2),
        (12, 32, 32),
        (13, 33, 31),
        (25, 7, 65),
        (64, 96, 100),
        (97, 383, 70),
        (31, 385, 33),
        (50, 800, 40),
        (8, 4000, 45),
        (300, 16, 8),
        (11, 3100, 700),
    ];

    /// Against sums in f64; tolerance 1e-6 of the sum of magnitudes, as for the panels of inference.
    #[test]
    fn a_product_is_the_product_whatever_its_shape_layout_and_company() {
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let pools = [pool(1), pool(2), pool(3)];
        for (at, (m, k, n)) in SHAPES.into_iter().enumerate() {
            let (gap, adds, factor) = (at % 3, at % 2 == 1, [1.0, 0.5, -3.0][at % 3]);
            // Rows with a gap behind them; `b` is the transposed of what is stored at every second shape, `a` at every fourth.
            let (a_turned, b_turned) = (at / 2 % 2 == 1, at % 2 == 0);
            let sides =
                |rows: usize, columns: usize, turned: bool| if turned { (columns, rows) } else { (rows, columns) };
            let ((a_rows, a_columns), (b_rows, b_columns)) = (sides(m, k, a_turned), sides(k, n, b_turned));
            let (a, b) = (numbers(1, a_rows * (a_columns + gap)), numbers(2, b_rows * (b_columns + gap)));
            let view_a = View::strided(&a, a_rows, a_columns, a_columns + gap);
            let view_b = View::strided(&b, b_rows, b_columns, b_columns + gap);
            let (view_a, view_b) =
                (if a_turned { view_a.t() } else { view_a }, if b_turned { view_b.t() } else { view_b });
            let before = numbers(3, m * n);
            let made = |threads: Threads| {
                let mut out = before.clone();
                product(&mut out, adds, view_a, view_b, factor, threads);
                out
            };
            let found = made(Threads::One);
            for pool in &pools {
                let again = pool.install(|| made(Threads::All));
                let same = again.iter().zip(&found).all(|(again, found)| again.to_bits() == found.to_bits());
                assert!(same, "{m} x {k} x {n} on {} threads", pool.current_num_threads());
            }
            let entry = |view: &View<'_>, i: usize, j: usize| f64::from(view.entries[i * view.row + j * view.column]);
            for (at, found) in found.iter().enumerate() {
                let (i, j) = (at / n, at % n);
                let start = if adds { f64::from(before[at]) } else { 0.0 };
                let (mut expected, mut size) = (start, start.abs());
                for depth in 0..k {
                    let part = f64::from(factor) * entry(&view_a, i, depth) * entry(&view_b, depth, j);
                    (expected, size) = (expected + part, size + part.abs());
                }
                let error = (f64::from(*found) - expected).abs();
                assert!(error <= 1e-6 * size, "{m} x {k} x {n} at ({i}, {j}): expected {expected}, found {found}");
            }
        }
    }

    #[test]
    fn a_product_without_depth_is_zero_and_adds_nothing() {
        let mut out = [2.0; 6];
        product(&mut out, true, View::strided(&[], 2, 0, 0), View::strided(&[], 0, 3, 3), 1.0, Threads::All);
        assert_eq!(out, [2.0; 6]);
        product(&mut out, false, View::strided(&[], 2, 0, 0), View::strided(&[], 0, 3, 3), 1.0, Threads::All);
        assert_eq!(out, [0.0; 6]);
    }
}
