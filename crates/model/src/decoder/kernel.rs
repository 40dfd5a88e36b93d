//! Small dense products on the widest vectors the machine has, with the same bits on all of them.
//!
//! Every sum runs over its depth in one chain of fused multiply-adds, first to last, so an element's bits do not depend on
//! the rows beside it, on how the depth was cut, or on the width of the vectors. Each form has the portable one as its twin.
//!
//! Legend: R rows of a tile, up to `TILE`; W = `WIDTH` columns of a panel; K depth.

use super::vectors::{Vectors, vectors};
use std::mem::MaybeUninit;

/// Rows of a full tile: with two vectors of 16 columns each, 24 of AVX-512's 32 registers hold sums.
pub(crate) const TILE: usize = 12;
/// Columns of a panel.
pub(crate) const WIDTH: usize = 32;
/// Depth of a block of codes that share a scale.
pub(crate) const BLOCK: usize = 32;

/// Room for one row in `Rows::Spans`.
pub(super) const SPAN: usize = 512;

/// Sums of a tile.
pub(crate) type Sums = [[f32; WIDTH]; TILE];

/// What is multiplied.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a> {
    /// R
    pub(crate) n_rows: usize,
    /// K
    pub(crate) depth: usize,
    pub(crate) rows: Rows<'a>,
    /// K rows of W numbers, `stride` apart.
    pub(crate) panel: &'a [f32],
    pub(crate) stride: usize,
}

impl Factors<'_> {
    /// Whether there are as many rows as are said, of which there is at least one.
    const fn are_whole(&self) -> bool {
        let is_whole = match self.rows {
            Rows::Tile(rows) => rows.len() >= self.depth * self.n_rows,
            Rows::Spans(rows) => self.depth <= SPAN && rows.len() >= (self.n_rows - 1) * SPAN + self.depth,
        };
        self.n_rows <= TILE && is_whole
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// (K, R): one depth behind another.
    Tile(&'a [f32]),
    /// (R, `SPAN`), of which the first K are multiplied: one row behind another.
    Spans(&'a [f32]),
}

/// Where the sums go: R rows of W numbers, `stride` apart.
pub(crate) struct Out<'a> {
    pub(crate) numbers: &'a mut [f32],
    pub(crate) stride: usize,
    /// To what stands there, or in its place.
    pub(crate) adds: bool,
}

/// `Out` where nothing may stand yet.
pub(crate) struct Place<'a> {
    pub(crate) numbers: &'a mut [MaybeUninit<f32>],
    pub(crate) stride: usize,
    onto: Onto,
}

/// What becomes of what stands where sums go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Onto {
    /// It is written over, and may be nothing.
    Nothing,
    /// The chain of a sum begins with it.
    Chain,
    /// Each sum is added to it at last.
    Sum,
}

impl<'a> Place<'a> {
    /// Sums are written over what stands there.
    pub(crate) const fn fresh(numbers: &'a mut [MaybeUninit<f32>], stride: usize) -> Self {
        Self { numbers, stride, onto: Onto::Nothing }
    }

    /// Sums are added to what stands there, each as one number.
    ///
    /// # Safety
    /// W numbers stand in each of the rows that are multiplied.
    #[expect(unsafe_code, reason = "only the caller knows where numbers stand")]
    pub(crate) const unsafe fn added(numbers: &'a mut [MaybeUninit<f32>], stride: usize) -> Self {
        Self { numbers, stride, onto: Onto::Sum }
    }
}

/// Numbers as places that may hold none: whoever has them writes numbers only.
#[expect(unsafe_code, reason = "the same places by another name")]
const fn unwritten(numbers: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the same layout; nothing in this file writes into a `Place` what is not a number.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<f32>]) }
}

/// Adds the products of R rows with the columns of a panel to `sums`.
///
/// Shapes: `rows` (K, R), one depth behind another; `panel` K rows of W numbers, `stride` apart. R is at most `TILE`.
pub(crate) fn multiply(
    vectors: Vectors,
    n_rows: usize,
    depth: usize,
    rows: &[f32],
    panel: &[f32],
    stride: usize,
    sums: &mut Sums,
) {
    let factors = Factors { n_rows, depth, rows: Rows::Tile(rows), panel, stride };
    multiply_into(vectors, factors, Out { numbers: sums.as_flattened_mut(), stride: WIDTH, adds: true });
}

/// The products of R rows, at most `TILE`, with the columns of a panel.
pub(crate) fn multiply_into(vectors: Vectors, factors: Factors, out: Out) {
    let Out { numbers, stride, adds } = out;
    let onto = if adds { Onto::Chain } else { Onto::Nothing };
    multiply_to(vectors, factors, Place { numbers: unwritten(numbers), stride, onto });
}

/// `multiply_into` where nothing may stand yet.
pub(crate) fn multiply_to(vectors: Vectors, factors: Factors, mut out: Place) {
    let Factors { n_rows, depth, panel, stride, .. } = factors;
    if depth == 0 || n_rows == 0 {
        return;
    }
    assert!(factors.are_whole(), "rows: {depth} x {n_rows}");
    assert!(panel.len() >= (depth - 1) * stride + WIDTH, "{} numbers for a depth of {depth}", panel.len());
    assert!(out.numbers.len() >= (n_rows - 1) * out.stride + WIDTH, "{} places for {n_rows} rows", out.numbers.len());
    match vectors {
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx512 => x86::wide(factors, (1, depth * stride), &mut out),
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx2 => x86::half(factors, &mut out),
        _ => portable(factors, &mut out),
    }
}

/// `multiply_into` with n panels, `step` numbers from one to the next, whose sums stand side by side.
pub(crate) fn multiply_panels(vectors: Vectors, factors: Factors, (n, step): (usize, usize), out: Out) {
    let Out { numbers, stride, adds } = out;
    #[cfg(target_arch = "x86_64")]
    if vectors == Vectors::Avx512 && n * factors.n_rows * factors.depth > 0 {
        // As of one panel and one place, of which the last are the same.
        let ends = ((n - 1) * step, (n - 1) * WIDTH);
        let panel_is_whole = factors.panel.len() >= ends.0 + (factors.depth - 1) * factors.stride + WIDTH;
        let has_places = numbers.len() >= ends.1 + (factors.n_rows - 1) * stride + WIDTH;
        assert!(factors.are_whole() && panel_is_whole && has_places, "{n} panels, a depth of {}", factors.depth);
        let onto = if adds { Onto::Chain } else { Onto::Nothing };
        return x86::wide(factors, (n, step), &mut Place { numbers: unwritten(numbers), stride, onto });
    }
    for at in 0..n {
        let factors = Factors { panel: &factors.panel[at * step..], ..factors };
        multiply_into(vectors, factors, Out { numbers: &mut numbers[at * WIDTH..], stride, adds });
    }
}

/// `multiply` with a panel of codes: each is made a number where it is multiplied, as `unpack` makes it.
///
/// Shapes: `codes` (K, W) or (K, W / 2); `scales` and `least`, which may be empty, (K / BLOCK); `rows` (K, R).
pub(super) fn multiply_codes(
    vectors: Vectors,
    n_rows: usize,
    rows: &[f32],
    codes: BlockCodes,
    (scales, least): (&[[f32; WIDTH]], &[[f32; WIDTH]]),
    sums: &mut Sums,
) {
    let n_blocks = scales.len();
    let n_depths = codes.n_depths();
    assert!(
        n_rows <= TILE && rows.len() >= n_blocks * BLOCK * n_rows && n_depths >= n_blocks * BLOCK,
        "{n_blocks} blocks"
    );
    assert!(least.is_empty() || least.len() == n_blocks, "{} least numbers for {n_blocks} blocks", least.len());
    #[cfg(target_arch = "x86_64")]
    if vectors == Vectors::Avx512 {
        return x86::codes(n_rows, rows, codes, scales, least, sums);
    }
    let mut numbers = [0.0; BLOCK * WIDTH];
    for (block, scales) in scales.iter().enumerate() {
        unpack(codes.block(block), scales, least.get(block), &mut numbers);
        multiply(vectors, n_rows, BLOCK, &rows[block * BLOCK * n_rows..], &numbers, WIDTH, sums);
    }
}

/// The plain twin. Without fused instructions it is slow, and right.
fn portable(factors: Factors, out: &mut Place) {
    let Factors { n_rows, depth, rows, panel, stride } = factors;
    for row in 0..n_rows {
        let places = &mut out.numbers[row * out.stride..][..WIDTH];
        let mut stood = [0.0; WIDTH];
        if out.onto != Onto::Nothing {
            #[expect(unsafe_code, reason = "only whoever gave the place knows that numbers stand there")]
            // SAFETY: whoever made the `Place` promised numbers where sums are added.
            stood.iter_mut().zip(&*places).for_each(|(to, from)| *to = unsafe { from.assume_init() });
        }
        let mut sums = if out.onto == Onto::Chain { stood } else { [0.0; WIDTH] };
        for k in 0..depth {
            let x = match rows {
                Rows::Tile(rows) => rows[k * n_rows + row],
                Rows::Spans(rows) => rows[row * SPAN + k],
            };
            sums.iter_mut().zip(&panel[k * stride..][..WIDTH]).for_each(|(sum, w)| *sum = x.mul_add(*w, *sum));
        }
        if out.onto == Onto::Sum {
            sums.iter_mut().zip(stood).for_each(|(sum, stood)| *sum += stood);
        }
        places.write_copy_of_slice(&sums);
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "vector loads have no safe form, and neither has calling what the machine was found to have"
)]
mod x86 {
    use super::{BLOCK, BlockCodes, Factors, Onto, Place, Rows, SPAN, Sums, TILE, WIDTH};
    use std::arch::x86_64::{
        __m256, __m512, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
        _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm512_add_ps, _mm512_and_si512, _mm512_cvtepi8_epi32,
        _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_epi32,
        _mm512_set1_ps, _mm512_setzero_ps, _mm512_srli_epi32, _mm512_storeu_ps, _mm512_sub_epi32,
    };

    macro_rules! by_rows {
        ($n:expr, $f:ident $([$step:ident])? ($($argument:expr),*)) => {
            // SAFETY: `vectors` found the features on this machine; `multiply_into` and its like asserted the lengths.
            unsafe {
                match $n {
                    1 => $f::<1 $(, $step)?>($($argument),*),
                    2 => $f::<2 $(, $step)?>($($argument),*),
                    3 => $f::<3 $(, $step)?>($($argument),*),
                    4 => $f::<4 $(, $step)?>($($argument),*),
                    5 => $f::<5 $(, $step)?>($($argument),*),
                    6 => $f::<6 $(, $step)?>($($argument),*),
                    7 => $f::<7 $(, $step)?>($($argument),*),
                    8 => $f::<8 $(, $step)?>($($argument),*),
                    9 => $f::<9 $(, $step)?>($($argument),*),
                    10 => $f::<10 $(, $step)?>($($argument),*),
                    11 => $f::<11 $(, $step)?>($($argument),*),
                    TILE => $f::<TILE $(, $step)?>($($argument),*),
                    _ => {}
                }
            }
        };
    }

    /// `panels`: how many, and from one to the next.
    pub(super) fn wide(factors: Factors, panels: (usize, usize), out: &mut Place) {
        match factors.rows {
            Rows::Tile(rows) => by_rows!(factors.n_rows, wide_panels[ONE](rows, factors, panels, out)),
            Rows::Spans(rows) => by_rows!(factors.n_rows, wide_panels[SPAN](rows, factors, panels, out)),
        }
    }

    /// From a row to the next in a tile.
    const ONE: usize = 1;
    /// Depths of a panel, and of a tile of rows, that are fetched before they are multiplied: both come out of the second cache.
    const AHEAD: usize = 16;

    /// STEP: from a row's number to the next row's.
    #[target_feature(enable = "avx512f")]
    unsafe fn wide_panels<const R: usize, const STEP: usize>(
        rows: &[f32],
        factors: Factors,
        (n, step): (usize, usize),
        out: &mut Place,
    ) {
        let (panels, sums): (_, *mut f32) = (factors.panel.as_ptr(), out.numbers.as_mut_ptr().cast());
        for at in 0..n {
            // SAFETY: whoever calls asserted the numbers and places of n panels. The pointer to the next is a hint, which reads nothing: it may
            // point behind the numbers.
            unsafe {
                let panel = (panels.add(at * step), panels.wrapping_add((at + 1) * step));
                wide_rows::<R, STEP>(rows, factors, panel, (sums.add(at * WIDTH), out.stride, out.onto));
            }
        }
    }

    /// `panel`: this and the next.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn wide_rows<const R: usize, const STEP: usize>(
        rows: &[f32],
        Factors { depth, stride, .. }: Factors,
        panel: (*const f32, *const f32),
        (sums, out_stride, onto): (*mut f32, usize, Onto),
    ) {
        let mut held: [[__m512; 2]; R] = [[_mm512_setzero_ps(); 2]; R];
        let (mut row, mut columns) = (rows.as_ptr(), panel.0);
        let depth_step = if STEP == ONE { R } else { 1 };
        // SAFETY: whoever calls asserted R numbers of `rows` and WIDTH of the panel at every depth, and R rows of WIDTH sums,
        // and whoever made the `Place` numbers where they are read.
        unsafe {
            match onto {
                Onto::Nothing => {}
                Onto::Chain => {
                    for (at, held) in held.iter_mut().enumerate() {
                        let sums = sums.add(at * out_stride);
                        *held = [_mm512_loadu_ps(sums), _mm512_loadu_ps(sums.add(16))];
                    }
                }
                // They come while the sums are made.
                Onto::Sum => {
                    for at in 0..R {
                        let sums = sums.add(at * out_stride);
                        _mm_prefetch::<_MM_HINT_T0>(sums.cast());
                        _mm_prefetch::<_MM_HINT_T0>(sums.add(16).cast());
                    }
                }
            }
            // The last depths fetch the first of the next panel.
            let n_last = depth.min(AHEAD);
            let next = panel.1.wrapping_add((AHEAD - n_last) * stride);
            for (n_depths, mut ahead) in [(depth - n_last, columns.wrapping_add(AHEAD * stride)), (n_last, next)] {
                for _ in 0..n_depths {
                    let (low, high) = (_mm512_loadu_ps(columns), _mm512_loadu_ps(columns.add(16)));
                    // Hints, which read nothing.
                    _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                    _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(16).cast());
                    if STEP == ONE {
                        _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(AHEAD * TILE).cast());
                    }
                    for (at, held) in held.iter_mut().enumerate() {
                        let x = _mm512_set1_ps(*row.add(at * STEP));
                        held[0] = _mm512_fmadd_ps(x, low, held[0]);
                        held[1] = _mm512_fmadd_ps(x, high, held[1]);
                    }
                    row = row.wrapping_add(depth_step);
                    columns = columns.wrapping_add(stride);
                    ahead = ahead.wrapping_add(stride);
                }
            }
            if onto == Onto::Sum {
                for (at, held) in held.iter_mut().enumerate() {
                    let sums = sums.add(at * out_stride);
                    held[0] = _mm512_add_ps(_mm512_loadu_ps(sums), held[0]);
                    held[1] = _mm512_add_ps(_mm512_loadu_ps(sums.add(16)), held[1]);
                }
            }
            for (at, held) in held.iter().enumerate() {
                let sums = sums.add(at * out_stride);
                _mm512_storeu_ps(sums, held[0]);
                _mm512_storeu_ps(sums.add(16), held[1]);
            }
        }
    }

    pub(super) fn unpack(codes: BlockCodes, scales: &[f32; WIDTH], least: Option<&[f32; WIDTH]>, out: &mut [f32]) {
        let n = codes.n_depths();
        assert!(out.len() >= n * WIDTH, "room for {} numbers of {n} depths", out.len());
        // SAFETY: `vectors` found the features on this machine; codes and room for the numbers of `n` depths are there.
        unsafe { unpack_wide(n, codes, scales, least, out) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
    unsafe fn unpack_wide(
        n: usize,
        codes: BlockCodes,
        scales: &[f32; WIDTH],
        least: Option<&[f32; WIDTH]>,
        out: &mut [f32],
    ) {
        let out = out.as_mut_ptr();
        // SAFETY: the caller promises codes and room for `n` depths; scales and least numbers are WIDTH each.
        unsafe {
            let scales = pair(scales);
            let least = least.map(|least| pair(least));
            for k in 0..n {
                let [low, high] = match codes {
                    BlockCodes::Bytes(codes) => byte_numbers(codes, k, 0),
                    BlockCodes::Halves(codes, offset) => half_byte_numbers(codes, k, offset),
                };
                let mut numbers = [_mm512_mul_ps(low, scales[0]), _mm512_mul_ps(high, scales[1])];
                if let Some(least) = least {
                    numbers = [_mm512_add_ps(numbers[0], least[0]), _mm512_add_ps(numbers[1], least[1])];
                }
                _mm512_storeu_ps(out.add(k * WIDTH), numbers[0]);
                _mm512_storeu_ps(out.add(k * WIDTH + 16), numbers[1]);
            }
        }
    }

    pub(super) fn codes(
        n_rows: usize,
        rows: &[f32],
        codes: BlockCodes,
        scales: &[[f32; WIDTH]],
        least: &[[f32; WIDTH]],
        sums: &mut Sums,
    ) {
        match codes {
            BlockCodes::Bytes(codes) => {
                by_rows!(n_rows, byte_rows(rows, codes, 0, scales, least, sums));
            }
            BlockCodes::Halves(codes, offset) => {
                by_rows!(n_rows, half_byte_rows(rows, codes, offset, scales, least, sums));
            }
        }
    }

    macro_rules! code_rows {
        ($name:ident, $numbers:ident) => {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
            unsafe fn $name<const R: usize>(
                rows: &[f32],
                codes: &[u8],
                offset: i32,
                scales: &[[f32; WIDTH]],
                least: &[[f32; WIDTH]],
                sums: &mut Sums,
            ) {
                let mut held: [[__m512; 2]; R] = [[_mm512_setzero_ps(); 2]; R];
                let mut row = rows.as_ptr();
                // SAFETY: `multiply_codes` asserted rows, codes and least numbers for all blocks.
                unsafe {
                    for (held, sums) in held.iter_mut().zip(&*sums) {
                        *held = pair(sums);
                    }
                    for (block, scales) in scales.iter().enumerate() {
                        let (scales, least) = (pair(scales), least.get(block).map(|least| pair(least)));
                        for k in block * BLOCK..(block + 1) * BLOCK {
                            let mut numbers = $numbers(codes, k, offset);
                            numbers = [_mm512_mul_ps(numbers[0], scales[0]), _mm512_mul_ps(numbers[1], scales[1])];
                            if let Some(least) = least {
                                numbers = [_mm512_add_ps(numbers[0], least[0]), _mm512_add_ps(numbers[1], least[1])];
                            }
                            for (at, held) in held.iter_mut().enumerate() {
                                let x = _mm512_set1_ps(*row.add(at));
                                held[0] = _mm512_fmadd_ps(x, numbers[0], held[0]);
                                held[1] = _mm512_fmadd_ps(x, numbers[1], held[1]);
                            }
                            row = row.add(R);
                        }
                    }
                    for (held, sums) in held.iter().zip(sums) {
                        _mm512_storeu_ps(sums.as_mut_ptr(), held[0]);
                        _mm512_storeu_ps(sums.as_mut_ptr().add(16), held[1]);
                    }
                }
            }
        };
    }
    code_rows!(byte_rows, byte_numbers);
    code_rows!(half_byte_rows, half_byte_numbers);

    #[target_feature(enable = "avx512f")]
    unsafe fn pair(numbers: &[f32; WIDTH]) -> [__m512; 2] {
        // SAFETY: there are WIDTH.
        unsafe { [_mm512_loadu_ps(numbers.as_ptr()), _mm512_loadu_ps(numbers.as_ptr().add(16))] }
    }

    /// The codes of depth `k`, which the caller promises is there.
    #[target_feature(enable = "avx512f,avx2")]
    unsafe fn byte_numbers(codes: &[u8], k: usize, _: i32) -> [__m512; 2] {
        // SAFETY: depth `k` has WIDTH bytes.
        unsafe {
            let codes = codes.as_ptr().add(k * WIDTH);
            let wide = |at| _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(codes.add(at).cast())));
            [wide(0), wide(16)]
        }
    }

    /// Likewise.
    #[target_feature(enable = "avx512f,avx2")]
    unsafe fn half_byte_numbers(codes: &[u8], k: usize, offset: i32) -> [__m512; 2] {
        // SAFETY: depth `k` has WIDTH / 2 bytes.
        let codes = unsafe { _mm_loadu_si128(codes.as_ptr().add(k * WIDTH / 2).cast()) };
        let (codes, less) = (_mm512_cvtepu8_epi32(codes), _mm512_set1_epi32(offset));
        let low = _mm512_and_si512(codes, _mm512_set1_epi32(15));
        let numbers = |codes| _mm512_cvtepi32_ps(_mm512_sub_epi32(codes, less));
        [numbers(low), numbers(_mm512_srli_epi32::<4>(codes))]
    }

    /// Six rows by 16 columns at a time, as many sums as 16 registers hold.
    pub(super) fn half(factors: Factors, out: &mut Place) {
        let (rows, steps) = match factors.rows {
            Rows::Tile(rows) => (rows, (1, factors.n_rows)),
            Rows::Spans(rows) => (rows, (SPAN, 1)),
        };
        for first in (0..factors.n_rows).step_by(6) {
            for column in [0, 16] {
                let n = (factors.n_rows - first).min(6);
                let sums = &mut out.numbers[first * out.stride + column..];
                let mut part = Place { numbers: sums, stride: out.stride, onto: out.onto };
                by_rows!(n, half_rows(&rows[first * steps.0..], steps, column, factors, &mut part));
            }
        }
    }

    /// `steps`: from a row's number to the next row's, and to its next.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn half_rows<const R: usize>(
        rows: &[f32],
        steps: (usize, usize),
        column: usize,
        factors: Factors,
        out: &mut Place,
    ) {
        let mut held: [[__m256; 2]; R] = [[_mm256_setzero_ps(); 2]; R];
        let (mut row, sums) = (rows.as_ptr(), out.numbers.as_mut_ptr().cast::<f32>());
        // SAFETY: as above; `column`, where the sums begin as well, is 0 or 16, so 16 numbers stand behind it.
        unsafe {
            let mut columns = factors.panel.as_ptr().add(column);
            if out.onto == Onto::Chain {
                for (at, held) in held.iter_mut().enumerate() {
                    let sums = sums.add(at * out.stride);
                    *held = [_mm256_loadu_ps(sums), _mm256_loadu_ps(sums.add(8))];
                }
            }
            for _ in 0..factors.depth {
                let (low, high) = (_mm256_loadu_ps(columns), _mm256_loadu_ps(columns.add(8)));
                for (at, held) in held.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*row.wrapping_add(at * steps.0));
                    held[0] = _mm256_fmadd_ps(x, low, held[0]);
                    held[1] = _mm256_fmadd_ps(x, high, held[1]);
                }
                row = row.wrapping_add(steps.1);
                columns = columns.wrapping_add(factors.stride);
            }
            if out.onto == Onto::Sum {
                for (at, held) in held.iter_mut().enumerate() {
                    let sums = sums.add(at * out.stride);
                    held[0] = _mm256_add_ps(_mm256_loadu_ps(sums), held[0]);
                    held[1] = _mm256_add_ps(_mm256_loadu_ps(sums.add(8)), held[1]);
                }
            }
            for (at, held) in held.iter().enumerate() {
                let sums = sums.add(at * out.stride);
                _mm256_storeu_ps(sums, held[0]);
                _mm256_storeu_ps(sums.add(8), held[1]);
            }
        }
    }
}

/// Multiplies numbers that stay in the first cache, on all threads: the most the products of this machine can reach. Gives the
/// FLOP done, of which there are `rounds` million and more.
pub(crate) fn exercise(rounds: usize) -> f64 {
    const DEPTH: usize = 128;
    let threads = rayon::current_num_threads();
    let each = (rounds * 1_000_000).div_ceil(threads * 2 * TILE * WIDTH * DEPTH);
    rayon::broadcast(|_| {
        let (rows, panel) = (vec![1e-3; DEPTH * TILE], vec![1e-3; DEPTH * WIDTH]);
        let mut sums: Sums = [[0.0; WIDTH]; TILE];
        for _ in 0..each {
            multiply(vectors(), TILE, DEPTH, &rows, &panel, WIDTH, &mut sums);
        }
        std::hint::black_box(sums);
    });
    (each * threads * 2 * TILE * WIDTH * DEPTH) as f64
}

/// Codes of a block, as numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum BlockCodes<'a> {
    /// (K, W) signed bytes.
    Bytes(&'a [u8]),
    /// (K, W / 2): column j in the low half of byte j, column j + W / 2 in its high half; less the offset.
    Halves(&'a [u8], i32),
}

impl BlockCodes<'_> {
    /// K
    const fn n_depths(self) -> usize {
        match self {
            Self::Bytes(codes) => codes.len() / WIDTH,
            Self::Halves(codes, _) => codes.len() / (WIDTH / 2),
        }
    }

    /// One block of many.
    fn block(self, at: usize) -> Self {
        const N: usize = BLOCK * WIDTH;
        match self {
            Self::Bytes(codes) => Self::Bytes(&codes[at * N..][..N]),
            Self::Halves(codes, offset) => Self::Halves(&codes[at * N / 2..][..N / 2], offset),
        }
    }
}

/// code · scale + least, one product and one sum rounded each, for a block of W columns. Shapes: `out` (K, W); W of the others.
pub(super) fn unpack(codes: BlockCodes, scales: &[f32; WIDTH], least: Option<&[f32; WIDTH]>, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if vectors() == Vectors::Avx512 {
        return x86::unpack(codes, scales, least, out);
    }
    match codes {
        BlockCodes::Bytes(codes) => bytes_of(codes, scales, least, out),
        BlockCodes::Halves(codes, offset) => halves_of(codes, offset, scales, least, out),
    }
}

fn bytes_of(codes: &[u8], scales: &[f32; WIDTH], least: Option<&[f32; WIDTH]>, out: &mut [f32]) {
    let (codes, out) = (codes.as_chunks::<WIDTH>().0, out.as_chunks_mut::<WIDTH>().0);
    for (codes, out) in codes.iter().zip(out) {
        for at in 0..WIDTH {
            out[at] = f32::from(codes[at].cast_signed()) * scales[at];
        }
        if let Some(least) = least {
            for at in 0..WIDTH {
                out[at] += least[at];
            }
        }
    }
}

fn halves_of(codes: &[u8], offset: i32, scales: &[f32; WIDTH], least: Option<&[f32; WIDTH]>, out: &mut [f32]) {
    const HALF: usize = WIDTH / 2;
    let (codes, out) = (codes.as_chunks::<HALF>().0, out.as_chunks_mut::<WIDTH>().0);
    for (codes, out) in codes.iter().zip(out) {
        for at in 0..HALF {
            out[at] = (i32::from(codes[at] & 15) - offset) as f32 * scales[at];
            out[at + HALF] = (i32::from(codes[at] >> 4) - offset) as f32 * scales[at + HALF];
        }
        if let Some(least) = least {
            for at in 0..WIDTH {
                out[at] += least[at];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        BLOCK, BlockCodes, Factors, Onto, Out, Place, Rows, SPAN, Sums, TILE, Vectors, WIDTH, bytes_of, halves_of,
        multiply, multiply_into, multiply_panels, multiply_to, portable, unpack, unwritten, vectors,
    };

    fn numbers(seed: usize, n: usize) -> Vec<f32> {
        (0..n).map(|at| ((seed * 131 + at * 7919) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// The forms this machine can run, each against the plain twin, bit for bit; and a depth cut in two.
    #[test]
    fn every_form_has_the_bits_of_the_plain_one() {
        let found = match vectors() {
            Vectors::Avx512 => vec![Vectors::Avx512, Vectors::Avx2],
            other => vec![other],
        };
        for n_rows in 1..=TILE {
            for (depth, stride) in [(1, WIDTH), (7, WIDTH), (64, 80), (333, WIDTH)] {
                let (rows, panel) = (numbers(1, depth * n_rows), numbers(2, depth * stride + WIDTH));
                let mut expected: Sums = [[0.25; WIDTH]; TILE];
                let factors = Factors { n_rows, depth, rows: Rows::Tile(&rows), panel: &panel, stride };
                let numbers = unwritten(expected.as_flattened_mut());
                portable(factors, &mut Place { numbers, stride: WIDTH, onto: Onto::Chain });
                for form in &found {
                    let mut sums: Sums = [[0.25; WIDTH]; TILE];
                    let cut = depth / 2;
                    multiply(*form, n_rows, cut, &rows, &panel, stride, &mut sums);
                    let (rows, panel) = (&rows[cut * n_rows..], &panel[cut * stride..]);
                    multiply(*form, n_rows, depth - cut, rows, panel, stride, &mut sums);
                    assert!(sums == expected, "{form:?}, {n_rows} rows, depth {depth}");
                }
            }
        }
    }

    /// Rows one behind another give the bits of the same rows in a tile, and rows of sums that stand apart are all that is written.
    #[test]
    fn rows_in_spans_have_the_bits_of_a_tile() {
        let found = match vectors() {
            Vectors::Avx512 => vec![Vectors::Avx512, Vectors::Avx2, Vectors::Portable],
            other => vec![other, Vectors::Portable],
        };
        for n_rows in 1..=TILE {
            for depth in [1, 31, SPAN] {
                let (spans, panel) = (numbers(3, n_rows * SPAN), numbers(2, depth * 48 + WIDTH));
                let tile: Vec<f32> = (0..depth * n_rows).map(|at| spans[at % n_rows * SPAN + at / n_rows]).collect();
                let mut expected: Sums = [[0.0; WIDTH]; TILE];
                multiply(Vectors::Portable, n_rows, depth, &tile, &panel, 48, &mut expected);
                for form in &found {
                    let mut out = vec![7.0; TILE * 40];
                    let factors = Factors { n_rows, depth, rows: Rows::Spans(&spans), panel: &panel, stride: 48 };
                    multiply_into(*form, factors, Out { numbers: &mut out, stride: 40, adds: false });
                    for (row, (out, sums)) in out.chunks_exact(40).zip(&expected).enumerate() {
                        let sums = if row < n_rows { sums } else { &[7.0; WIDTH] };
                        assert!(out[..WIDTH] == *sums, "{form:?}, row {row} of {n_rows}, depth {depth}");
                        assert!(out[WIDTH..] == [7.0; 8], "{form:?}, behind row {row} of {n_rows}");
                    }
                    let mut added: Sums = [[7.0; WIDTH]; TILE];
                    let numbers = unwritten(added.as_flattened_mut());
                    multiply_to(*form, factors, Place { numbers, stride: WIDTH, onto: Onto::Sum });
                    for (added, sums) in added.iter().zip(&expected).take(n_rows) {
                        assert!(*added == sums.map(|sum| 7.0 + sum), "{form:?}, added, {n_rows} rows, depth {depth}");
                    }
                }
            }
        }
    }

    /// Several panels at a call give the bits of each alone, side by side, and nothing behind them.
    #[test]
    fn panels_side_by_side_have_the_bits_of_each_alone() {
        let found = match vectors() {
            Vectors::Avx512 => vec![Vectors::Avx512, Vectors::Avx2, Vectors::Portable],
            other => vec![other, Vectors::Portable],
        };
        for n_rows in 1..=TILE {
            for (depth, n) in [(1, 1), (15, 2), (16, 3), (64, 8)] {
                let (step, out_stride) = ((depth + 3) * WIDTH, n * WIDTH + 5);
                let (rows, panels) = (numbers(1, depth * n_rows), numbers(2, n * step));
                let factors = |panel| Factors { n_rows, depth, rows: Rows::Tile(&rows), panel, stride: WIDTH };
                for (form, adds) in found.iter().flat_map(|form| [(*form, false), (*form, true)]) {
                    let (mut expected, mut side_by_side) =
                        (vec![0.5; n_rows * out_stride], vec![0.5; n_rows * out_stride]);
                    for at in 0..n {
                        let out = Out { numbers: &mut expected[at * WIDTH..], stride: out_stride, adds };
                        multiply_into(Vectors::Portable, factors(&panels[at * step..]), out);
                    }
                    let out = Out { numbers: &mut side_by_side, stride: out_stride, adds };
                    multiply_panels(form, factors(&panels), (n, step), out);
                    assert!(side_by_side == expected, "{form:?}, {n_rows} rows, depth {depth}, {n} panels");
                }
            }
        }
    }

    #[test]
    fn codes_are_unpacked_to_the_bits_of_the_plain_form() {
        let codes: Vec<u8> = (0..BLOCK * WIDTH).map(|at| (at * 7919 % 256) as u8).collect();
        let scales: [f32; WIDTH] = std::array::from_fn(|at| 0.37 / (at + 1) as f32);
        let low: [f32; WIDTH] = std::array::from_fn(|at| -1.7 * (at + 1) as f32);
        for least in [None, Some(&low)] {
            let (mut found, mut expected) = (vec![0.0; BLOCK * WIDTH], vec![0.0; BLOCK * WIDTH]);
            unpack(BlockCodes::Bytes(&codes), &scales, least, &mut found);
            bytes_of(&codes, &scales, least, &mut expected);
            assert!(found == expected);
            let halves = &codes[..BLOCK * WIDTH / 2];
            unpack(BlockCodes::Halves(halves, 8), &scales, least, &mut found);
            halves_of(halves, 8, &scales, least, &mut expected);
            assert!(found == expected);
        }
    }
}
