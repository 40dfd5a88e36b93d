//! Matrices whose rows stand side by side in panels, as numbers or as the codes of a quantised file.
//!
//! Codes stay codes: they are made numbers a panel at a time, while the panel is multiplied. The numbers are those that the
//! whole matrix would have, so the product has the same bits, and a model takes little more memory than its file.
//!
//! Legend: O outputs, the rows of the matrix; K depth, its columns; W columns of a panel; N rows that are multiplied.

use super::{
    kernel::{BLOCK, BlockCodes, Factors, Out, Rows, Sums, TILE, WIDTH, multiply_codes, multiply_into, unpack},
    packed::{Packed, Target},
    vectors::{Vectors, vectors},
};
use rayon::prelude::*;
use std::{ops::Range, sync::Arc};

/// Numbers of the rows that are multiplied with one panel after another: about what a core's own cache holds.
const CHUNK: usize = 1 << 18;
/// Multiplications below which a second thread costs more than it gives.
const PIECE: usize = 1 << 16;

/// Numbers of a cache line.
const LINE: usize = 16;

/// A matrix (O, K).
#[derive(Clone)]
pub(crate) struct Panels {
    outputs: usize,
    depth: usize,
    store: Arc<Store>,
}

impl std::fmt::Debug for Panels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Panels").field("(O, K)", &(self.outputs, self.depth)).finish_non_exhaustive()
    }
}

/// ⌈O / W⌉ panels one behind another.
enum Store {
    /// (panels, K, W)
    Numbers(Lines),
    Codes(Codes),
}

/// Numbers of which the first begins a cache line: vectors that lie in two lines cost a fiftieth of a product.
struct Lines {
    room: Vec<f32>,
    start: usize,
    len: usize,
}

impl Lines {
    fn zeros(len: usize) -> Self {
        let room = vec![0.0; len + LINE - 1];
        let start = room.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        Self { room, start, len }
    }

    fn numbers(&self) -> &[f32] {
        &self.room[self.start..][..self.len]
    }

    fn numbers_mut(&mut self) -> &mut [f32] {
        &mut self.room[self.start..][..self.len]
    }
}

/// Blocks of `BLOCK` numbers of a row: code · scale, and for some formats plus the least number.
struct Codes {
    /// (panels, K / BLOCK, W)
    scales: Vec<f32>,
    /// Likewise, or empty.
    least: Vec<f32>,
    /// (panels, K / BLOCK, BLOCK, W) signed bytes, or W / 2 bytes of two halves each.
    codes: Vec<u8>,
    width: Width,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Byte,
    /// What a half is less by.
    Half(i32),
}

/// Blocks as a quantised file has them, which `Panels::of_blocks` takes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
}

impl Format {
    /// SPEC: ggml, `block_q4_0` to `block_q8_0`.
    const fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
        }
    }

    const fn has_least(self) -> bool {
        matches!(self, Self::Q4_1 | Self::Q5_1)
    }

    const fn width(self) -> Width {
        match self {
            Self::Q4_0 => Width::Half(8),
            Self::Q4_1 => Width::Half(0),
            Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => Width::Byte,
        }
    }

    /// Scale, least number, and the codes as they are multiplied, or as unsigned halves.
    fn read(self, block: &[u8]) -> (f32, f32, [i8; BLOCK]) {
        let half = |at: usize| crate::gguf::parse::half(u16::from_le_bytes([block[at], block[at + 1]]));
        let mut codes = [0_i8; BLOCK];
        let least = if self.has_least() { half(2) } else { 0.0 };
        let start = if self.has_least() { 4 } else { 2 };
        if self == Self::Q8_0 {
            codes.iter_mut().zip(&block[start..]).for_each(|(code, byte)| *code = byte.cast_signed());
            return (half(0), least, codes);
        }
        let (fifth, start) = match self {
            Self::Q5_0 | Self::Q5_1 => {
                let bytes = [block[start], block[start + 1], block[start + 2], block[start + 3]];
                (u32::from_le_bytes(bytes), start + 4)
            }
            _ => (0, start),
        };
        let offset = if self == Self::Q5_0 { 16 } else { 0 };
        for at in 0..BLOCK {
            let byte = block[start + at % 16];
            let low = if at < 16 { byte & 15 } else { byte >> 4 };
            codes[at] = (low | ((fifth >> at & 1) as u8) << 4).cast_signed() - offset;
        }
        (half(0), least, codes)
    }
}

/// A number of a file that is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NotFinite {
    /// Index into the numbers as they are stored.
    pub(crate) at: usize,
    pub(crate) found: f32,
}

impl Panels {
    /// Shapes: `numbers` (O, K), row by row.
    pub(crate) fn of_numbers(outputs: usize, depth: usize, numbers: &[f32]) -> Self {
        assert_eq!(numbers.len(), outputs * depth, "expected {outputs} x {depth} numbers");
        let mut panels = Lines::zeros(outputs.div_ceil(WIDTH) * depth * WIDTH);
        panels.numbers_mut().par_chunks_mut((depth * WIDTH).max(1)).enumerate().for_each(|(panel, out)| {
            let first = panel * WIDTH;
            // A cache line of each row at a time: what is written meanwhile stays at hand.
            for (line, out) in out.chunks_mut(LINE * WIDTH).enumerate() {
                for output in first..outputs.min(first + WIDTH) {
                    let row = &numbers[output * depth..][..depth][line * LINE..];
                    for (columns, number) in out.chunks_exact_mut(WIDTH).zip(row) {
                        columns[output - first] = *number;
                    }
                }
            }
        });
        Self { outputs, depth, store: Arc::new(Store::Numbers(panels)) }
    }

    /// Shapes: `blocks` (O, K / BLOCK), row by row; `stored` says which of the stored rows is the row of each output.
    ///
    /// K is a multiple of `BLOCK`.
    pub(crate) fn of_blocks(
        outputs: usize,
        depth: usize,
        format: Format,
        blocks: &[u8],
        stored: impl Fn(usize) -> usize + Sync,
    ) -> Result<Self, NotFinite> {
        let (n_blocks, n_panels, bytes) = (depth / BLOCK, outputs.div_ceil(WIDTH), format.block_bytes());
        assert_eq!(blocks.len(), outputs * n_blocks * bytes, "expected {outputs} x {n_blocks} blocks");
        let code_bytes = if format.width() == Width::Byte { WIDTH } else { WIDTH / 2 };
        let mut all = Codes {
            scales: vec![0.0; n_panels * n_blocks * WIDTH],
            least: vec![0.0; if format.has_least() { n_panels * n_blocks * WIDTH } else { 0 }],
            codes: vec![0; n_panels * depth * code_bytes],
            width: format.width(),
        };
        let fill = |panel: usize, scales: &mut [f32], least: &mut [f32], codes: &mut [u8]| {
            for output in panel * WIDTH..outputs.min((panel + 1) * WIDTH) {
                let (row, lane) = (stored(output), output % WIDTH);
                for block in 0..n_blocks {
                    let from = (row * n_blocks + block) * bytes;
                    let (scale, low, found) = format.read(&blocks[from..from + bytes]);
                    if let Some(found) = [scale, low].into_iter().find(|number| !number.is_finite()) {
                        return Err(NotFinite { at: row * depth + block * BLOCK, found });
                    }
                    scales[block * WIDTH + lane] = scale;
                    if let Some(place) = least.get_mut(block * WIDTH + lane) {
                        *place = low;
                    }
                    let places = codes[block * BLOCK * code_bytes..][..BLOCK * code_bytes].chunks_exact_mut(code_bytes);
                    for (places, code) in places.zip(found) {
                        if code_bytes == WIDTH {
                            places[lane] = code.cast_unsigned();
                        } else {
                            places[lane % code_bytes] |= code.cast_unsigned() << (lane / code_bytes * 4);
                        }
                    }
                }
            }
            Ok(())
        };
        let least_len = if format.has_least() { n_blocks * WIDTH } else { 0 };
        let mut least: Vec<&mut [f32]> = match least_len {
            0 => (0..n_panels).map(|_| Default::default()).collect(),
            n => all.least.chunks_exact_mut(n).collect(),
        };
        let scales = all.scales.par_chunks_mut((n_blocks * WIDTH).max(1));
        let codes = all.codes.par_chunks_mut((depth * code_bytes).max(1));
        scales
            .zip(codes)
            .zip(least.par_iter_mut())
            .enumerate()
            .try_for_each(|(panel, ((scales, codes), least))| fill(panel, scales, least, codes))?;
        Ok(Self { outputs, depth, store: Arc::new(Store::Codes(all)) })
    }

    /// O
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// K
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Bytes that are held.
    pub(crate) fn n_bytes(&self) -> u64 {
        let floats = |numbers: &Vec<f32>| 4 * numbers.len();
        let n = match &*self.store {
            Store::Numbers(numbers) => 4 * numbers.len,
            Store::Codes(codes) => floats(&codes.scales) + floats(&codes.least) + codes.codes.len(),
        };
        n as u64
    }

    /// Writes the numbers of one row.
    pub(crate) fn row(&self, output: usize, out: &mut [f32]) {
        let (panel, lane) = (output / WIDTH, output % WIDTH);
        match &*self.store {
            Store::Numbers(numbers) => {
                let columns = numbers.numbers()[panel * self.depth * WIDTH..].chunks_exact(WIDTH);
                out.iter_mut().zip(columns).for_each(|(out, columns)| *out = columns[lane]);
            }
            Store::Codes(codes) => {
                let mut numbers = [0.0; BLOCK * WIDTH];
                for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
                    codes.unpack(panel * (self.depth / BLOCK) + block, &mut numbers);
                    out.iter_mut().zip(numbers.chunks_exact(WIDTH)).for_each(|(out, columns)| *out = columns[lane]);
                }
            }
        }
    }

    /// All numbers, row by row: (O, K).
    pub(crate) fn numbers(&self) -> Vec<f32> {
        let mut numbers = vec![0.0; self.outputs * self.depth];
        numbers.par_chunks_mut(self.depth.max(1)).enumerate().for_each(|(output, out)| self.row(output, out));
        numbers
    }

    /// x · Wᵀ. Shapes: (N, K) → (N, O). Every element has the same bits whatever N is.
    pub(crate) fn product(&self, packed: &Packed) -> Vec<f32> {
        let n = packed.n() * self.outputs;
        let mut out = Vec::with_capacity(n);
        let target = Target::of_room(&mut out.spare_capacity_mut()[..n]);
        self.each_tile(packed, |sums, rows, panel| target.write(sums, rows, panel * WIDTH, self.outputs));
        // SAFETY: the tiles were all pairs of rows and panels, and each wrote its part.
        #[expect(unsafe_code, reason = "zeros that are written over cost a twentieth of the product")]
        unsafe {
            out.set_len(n);
        }
        out
    }

    /// Adds x · Wᵀ to what is there. Shapes: `sums` (N, O). The bits of `product` and a sum.
    pub(crate) fn add_product(&self, packed: &Packed, sums: &mut [f32]) {
        assert_eq!(sums.len(), packed.n() * self.outputs, "expected {} x {} numbers", packed.n(), self.outputs);
        let target = Target::of(sums);
        self.each_tile(packed, |sums, rows, panel| target.add(sums, rows, panel * WIDTH, self.outputs));
    }

    /// What `f` makes of the tiles of two products, in the first of them: packed for the next product. `f` is told the first column.
    ///
    /// Shapes: both (O, K); (N, K) → (N, O). More rows than a tile's.
    pub(crate) fn product_of_two(
        [one, other]: [&Self; 2],
        packed: &Packed,
        f: impl Fn(usize, &mut [[f32; WIDTH]], &mut [[f32; WIDTH]]) + Sync,
    ) -> Packed {
        assert_eq!((packed.depth(), one.depth, one.outputs), (one.depth, other.depth, other.outputs), "of two shapes");
        let (n_panels, depth, outputs) = (one.n_panels(), one.depth, one.outputs);
        let tasks = Tasks::of(packed, n_panels);
        Packed::written(packed.n(), outputs, |target| {
            tasks.each(|rows, panel, [room, other_room]| {
                let numbers = [one.panel(panel, room), other.panel(panel, other_room)];
                let (mut sums, mut other_sums): (Sums, Sums) = ([[0.0; WIDTH]; TILE], [[0.0; WIDTH]; TILE]);
                for first in rows.clone().step_by(TILE) {
                    let n_rows = TILE.min(rows.end - first);
                    for (panel, sums) in numbers.into_iter().zip([&mut sums, &mut other_sums]) {
                        multiply_tile(packed.tile(first), n_rows, depth, panel, sums);
                    }
                    f(panel * WIDTH, &mut sums[..n_rows], &mut other_sums[..n_rows]);
                    target.write_packed(&sums, first..first + n_rows, panel * WIDTH, outputs);
                }
            });
        })
    }

    /// Each tile of the product: sums, rows and panel.
    fn each_tile(&self, packed: &Packed, put: impl Fn(&Sums, Range<usize>, usize) + Sync) {
        assert_eq!(packed.depth(), self.depth, "rows for another matrix");
        Tasks::of(packed, self.n_panels()).each(|rows, panel, [room, _]| {
            self.product_panel(packed, rows, panel, room, |sums, rows| put(sums, rows, panel));
        });
    }

    /// The columns of the product that stand in `panels`, `at_once` rows at a time: `f` is given which rows, and their columns one
    /// row behind another. The same bits as `product`.
    pub(crate) fn columns_by_rows(
        &self,
        packed: &Packed,
        panels: Range<usize>,
        at_once: usize,
        mut f: impl FnMut(Range<usize>, &mut [f32]),
    ) {
        let columns = self.outputs.min(panels.end * WIDTH) - panels.start * WIDTH;
        let (n, size, at_once) = (packed.n(), self.depth * WIDTH, at_once.next_multiple_of(TILE));
        // Of many rows, codes are made numbers once.
        let mut unpacked = Vec::new();
        if n > TILE && matches!(*self.store, Store::Codes(_)) {
            unpacked.resize(panels.len() * size, 0.0);
            panels.clone().zip(unpacked.chunks_exact_mut(size)).for_each(|(panel, out)| self.unpack(panel, out));
        }
        let mut out = vec![0.0; at_once.min(n) * columns];
        for first in (0..n).step_by(at_once) {
            let rows = first..n.min(first + at_once);
            let out = &mut out[..rows.len() * columns];
            for (at, panel) in panels.clone().enumerate() {
                let width = WIDTH.min(columns - at * WIDTH);
                let put = |sums: &Sums, tile: Range<usize>| {
                    let places = out[(tile.start - first) * columns..].chunks_exact_mut(columns);
                    for (places, sums) in places.zip(&sums[..tile.len()]) {
                        let places = &mut places[at * WIDTH..][..width];
                        match places.first_chunk_mut::<WIDTH>() {
                            Some(whole) => *whole = *sums,
                            None => places.copy_from_slice(&sums[..width]),
                        }
                    }
                };
                match unpacked.get(at * size..(at + 1) * size) {
                    Some(numbers) => self.multiply_tiles(packed, rows.clone(), numbers, put),
                    None => self.product_panel(packed, rows.clone(), panel, &mut Vec::new(), put),
                }
            }
            f(rows, out);
        }
    }

    /// ⌈O / W⌉
    pub(crate) const fn n_panels(&self) -> usize {
        self.outputs.div_ceil(WIDTH)
    }

    /// The numbers of a panel of codes: (K, W).
    fn unpack(&self, panel: usize, out: &mut [f32]) {
        if let Store::Codes(codes) = &*self.store {
            for (block, out) in out.chunks_exact_mut(BLOCK * WIDTH).enumerate() {
                codes.unpack(panel * (self.depth / BLOCK) + block, out);
            }
        }
    }

    /// The numbers of a panel, made from codes where it is one of codes.
    fn panel<'a>(&'a self, panel: usize, room: &'a mut Vec<f32>) -> &'a [f32] {
        let size = self.depth * WIDTH;
        match &*self.store {
            Store::Numbers(all) => &all.numbers()[panel * size..][..size],
            Store::Codes(_) => {
                room.resize(size, 0.0);
                self.unpack(panel, room);
                room
            }
        }
    }

    /// One panel's columns of the product, for some of the rows: `put` is given a tile's sums and which rows they are.
    fn product_panel(
        &self,
        packed: &Packed,
        rows: Range<usize>,
        panel: usize,
        room: &mut Vec<f32>,
        mut put: impl FnMut(&Sums, Range<usize>),
    ) {
        match &*self.store {
            // Few rows: block by block, while a block is at hand.
            Store::Codes(codes) if rows.len() <= TILE => {
                let mut sums: Sums = [[0.0; WIDTH]; TILE];
                codes.multiply(vectors(), panel, self.depth, packed.tile(rows.start), rows.len(), &mut sums);
                put(&sums, rows);
            }
            _ => self.multiply_tiles(packed, rows, self.panel(panel, room), put),
        }
    }

    fn multiply_tiles(
        &self,
        packed: &Packed,
        rows: Range<usize>,
        panel: &[f32],
        mut put: impl FnMut(&Sums, Range<usize>),
    ) {
        let mut sums: Sums = [[0.0; WIDTH]; TILE];
        for first in rows.clone().step_by(TILE) {
            let n_rows = TILE.min(rows.end - first);
            multiply_tile(packed.tile(first), n_rows, self.depth, panel, &mut sums);
            put(&sums, first..first + n_rows);
        }
    }
}

fn multiply_tile(tile: &[f32], n_rows: usize, depth: usize, panel: &[f32], sums: &mut Sums) {
    let factors = Factors { n_rows, depth, rows: Rows::Tile(tile), panel, stride: WIDTH };
    multiply_into(vectors(), factors, Out { numbers: sums.as_flattened_mut(), stride: WIDTH, adds: false });
}

/// Pairs of some rows and a panel.
struct Tasks {
    n: usize,
    /// Rows of a task: whole tiles.
    chunk: usize,
    n_panels: usize,
    /// Tasks that stay on a thread.
    n_min: usize,
}

impl Tasks {
    fn of(packed: &Packed, n_panels: usize) -> Self {
        let (n, depth) = (packed.n(), packed.depth());
        let chunk = (CHUNK / depth.max(1) / TILE).max(1) * TILE;
        let work = chunk.min(n) * depth * WIDTH;
        Self { n, chunk, n_panels, n_min: PIECE.div_ceil(work.max(1)) }
    }

    /// `f` is given rows, a panel, and room that a thread keeps.
    fn each(&self, f: impl Fn(Range<usize>, usize, &mut [Vec<f32>; 2]) + Sync) {
        let all = (0..self.n.div_ceil(self.chunk) * self.n_panels).into_par_iter().with_min_len(self.n_min);
        all.for_each_init(<[Vec<f32>; 2]>::default, |room, task| {
            let first = task / self.n_panels * self.chunk;
            f(first..self.n.min(first + self.chunk), task % self.n_panels, room);
        });
    }
}

impl Codes {
    /// The numbers of one block of one panel: (BLOCK, W).
    fn unpack(&self, block: usize, out: &mut [f32]) {
        let (scales, least) = (self.scales.as_chunks().0, self.least.as_chunks().0);
        unpack(self.blocks(block..block + 1), &scales[block], least.get(block), out);
    }

    fn blocks(&self, blocks: Range<usize>) -> BlockCodes<'_> {
        let n = BLOCK * WIDTH;
        match self.width {
            Width::Byte => BlockCodes::Bytes(&self.codes[blocks.start * n..blocks.end * n]),
            Width::Half(offset) => BlockCodes::Halves(&self.codes[blocks.start * n / 2..blocks.end * n / 2], offset),
        }
    }

    fn multiply(&self, found: Vectors, panel: usize, depth: usize, rows: &[f32], n_rows: usize, sums: &mut Sums) {
        let n_blocks = depth / BLOCK;
        let blocks = panel * n_blocks..(panel + 1) * n_blocks;
        let (scales, least) = (self.scales.as_chunks().0, self.least.as_chunks().0);
        let least = least.get(blocks.clone()).unwrap_or_default();
        multiply_codes(found, n_rows, rows, self.blocks(blocks.clone()), (&scales[blocks], least), sums);
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Packed, Panels};
    use crate::decoder::Norm;
    use crate::gguf::parse;
    use candle_core::quantized::GgmlDType;

    fn numbers(seed: usize, n: usize) -> Vec<f32> {
        (0..n).map(|at| ((seed * 131 + at * 7919) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// Against sums in f64; tolerance 1e-6 of the sum of magnitudes, about the root of 333 times the rounding of f32.
    #[test]
    fn a_product_is_the_product() {
        for (n, depth, outputs) in [(1, 5, 1), (3, 64, 33), (12, 333, 70), (29, 40, 31), (200, 64, 32)] {
            let (rows, weights) = (numbers(1, n * depth), numbers(2, outputs * depth));
            let panels = Panels::of_numbers(outputs, depth, &weights);
            assert_eq!(panels.numbers(), weights);
            let found = panels.product(&Packed::of(&rows, depth));
            for (at, found) in found.iter().enumerate() {
                let (row, output) = (&rows[at / outputs * depth..][..depth], &weights[at % outputs * depth..][..depth]);
                let parts = row.iter().zip(output).map(|(a, b)| f64::from(*a) * f64::from(*b));
                let (expected, size) = parts.fold((0.0, 0.0), |(sum, size), part| (sum + part, size + part.abs()));
                let error = (f64::from(*found) - expected).abs();
                assert!(error <= 1e-6 * size, "{n} x {depth} x {outputs}: expected {expected}, found {found}");
            }
        }
    }

    /// Some of the columns, for some rows at a time, have the bits of the whole product; of codes as well.
    #[test]
    fn columns_by_rows_are_those_of_the_product() {
        let (outputs, depth) = (150, 64);
        let blocks: Vec<u8> = (0..outputs * depth / 32)
            .flat_map(|block| {
                let codes = (0..32).map(move |at| ((block * 131 + at * 7919) % 251) as u8);
                [0x00, 0x2c].into_iter().chain(codes)
            })
            .collect();
        let codes = Panels::of_blocks(outputs, depth, Format::Q8_0, &blocks, |row| row).unwrap();
        let plain = Panels::of_numbers(outputs, depth, &codes.numbers());
        for (n, at_once) in [(1, 12), (12, 12), (13, 12), (60, 24), (60, 96)] {
            let packed = Packed::of(&numbers(n, n * depth), depth);
            let expected = plain.product(&packed);
            for (panels, range) in [(&plain, 0..2), (&codes, 0..2), (&plain, 2..5), (&codes, 2..5)] {
                let (first, width) = (range.start * 32, outputs.min(range.end * 32) - range.start * 32);
                let mut seen = 0;
                panels.columns_by_rows(&packed, range.clone(), at_once, |rows, found| {
                    assert_eq!((rows.start, found.len()), (seen, rows.len() * width), "{n} rows, {range:?}");
                    for (row, found) in rows.clone().zip(found.chunks_exact(width)) {
                        assert_eq!(found, &expected[row * outputs + first..][..width], "row {row} of {n}, {range:?}");
                    }
                    seen = rows.end;
                });
                assert_eq!(seen, n);
            }
        }
    }

    /// Sums added in place, rows normed while they are packed, and two products joined into rows that are packed: each against its
    /// parts one after another, bit for bit.
    #[test]
    fn what_is_joined_has_the_bits_of_its_parts() {
        let (depth, outputs) = (40, 70);
        let all = numbers(2, 2 * outputs * depth);
        let [one, other] =
            [0, 1].map(|at| Panels::of_numbers(outputs, depth, &all[at * outputs * depth..][..outputs * depth]));
        for n in [1, 12, 13, 200] {
            let rows = numbers(n, n * depth);
            let norm = Norm::Rms { gain: numbers(4, depth), eps: 1e-5 };
            let mut normed = rows.clone();
            normed.chunks_exact_mut(depth).for_each(|row| norm.apply_to(row));
            let packed = Packed::normed(&norm, &rows);
            assert!(packed.tile(0) == Packed::of(&normed, depth).tile(0), "{n} rows");

            let (x, y) = (one.product(&packed), other.product(&packed));
            let mut stream = numbers(5, n * outputs);
            let expected: Vec<f32> = stream.iter().zip(&x).map(|(a, b)| a + b).collect();
            one.add_product(&packed, &mut stream);
            assert!(stream == expected, "{n} rows");

            let bias = numbers(6, outputs + 32);
            let joined = Panels::product_of_two([&one, &other], &packed, |column, x, y| {
                for (x, y) in x.iter_mut().zip(y) {
                    (0..32).for_each(|at| x[at] = x[at] * y[at] + bias[column + at]);
                }
            });
            let at = |at: usize| x[at] * y[at] + bias[at % outputs];
            let expected: Vec<f32> = (0..n * outputs).map(at).collect();
            assert!(joined.tile(0) == Packed::of(&expected, outputs).tile(0), "{n} rows");
        }
    }

    /// Codes give the bits of the numbers they stand for, for few rows and for many; rows in another order as well.
    #[test]
    fn codes_multiply_as_the_numbers_they_stand_for() {
        let formats = [
            (Format::Q4_0, GgmlDType::Q4_0),
            (Format::Q4_1, GgmlDType::Q4_1),
            (Format::Q5_0, GgmlDType::Q5_0),
            (Format::Q5_1, GgmlDType::Q5_1),
            (Format::Q8_0, GgmlDType::Q8_0),
        ];
        let (outputs, depth) = (70, 96);
        for (format, kind) in formats {
            let n_bytes = outputs * depth / 32 * format.block_bytes();
            // Scales of about 1, so that no half is infinite.
            let mut blocks: Vec<u8> = (0..n_bytes).map(|at| ((at * 7919 + 13) % 251) as u8).collect();
            for block in blocks.chunks_exact_mut(format.block_bytes()) {
                (block[1], block[3]) = (0x3b, if format.has_least() { 0xbc } else { block[3] });
            }
            let all = parse::numbers(kind, &blocks).unwrap();
            let turned = |output: usize| (output * 3 + 1) % outputs;
            let expected: Vec<f32> =
                (0..outputs).flat_map(|row| all[turned(row) * depth..][..depth].to_vec()).collect();
            let found = Panels::of_blocks(outputs, depth, format, &blocks, turned).unwrap();
            assert_eq!(found.numbers(), expected, "{format:?}");
            let plain = Panels::of_numbers(outputs, depth, &expected);
            for n in [1, 12, 13, 40] {
                let rows = numbers(n, n * depth);
                let bits = |panels: &Panels| {
                    panels.product(&Packed::of(&rows, depth)).into_iter().map(f32::to_bits).collect::<Vec<_>>()
                };
                assert!(bits(&found) == bits(&plain), "{format:?}, {n} rows");
            }
            // A scale of infinity, in the block of row 1, numbers 64 to 95.
            let at = 5 * format.block_bytes();
            (blocks[at], blocks[at + 1]) = (0, 0x7c);
            let wrong = Panels::of_blocks(outputs, depth, format, &blocks, |output| output).err().unwrap();
            assert_eq!((wrong.at, wrong.found), (depth + 64, f32::INFINITY), "{format:?}");
        }
    }
}
