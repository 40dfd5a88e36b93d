//! Small dense products on the widest vectors the machine has, with the same bits on all of them.
//!
//! Every sum runs over its depth in one chain of fused multiply-adds, first to last, so an element's bits do not depend on
//! the rows beside it, on how the depth was cut, or on the width of the vectors. Each form has the portable one as its twin.
//!
//! Legend: R rows of a tile, up to `TILE`; W = `WIDTH` columns of a panel; K depth.

use std::sync::OnceLock;

/// Rows of a full tile: with two vectors of 16 columns each, 24 of AVX-512's 32 registers hold sums.
pub(super) const TILE: usize = 12;
/// Columns of a panel.
pub(super) const WIDTH: usize = 32;
/// Depth of a block of codes that share a scale.
pub(crate) const BLOCK: usize = 32;

/// Sums of a tile.
pub(super) type Sums = [[f32; WIDTH]; TILE];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vectors {
    Avx512,
    Avx2,
    Portable,
}

/// What this machine has.
pub(super) fn vectors() -> Vectors {
    static FOUND: OnceLock<Vectors> = OnceLock::new();
    *FOUND.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            let has_fma = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
            if has_fma && std::arch::is_x86_feature_detected!("avx512f") {
                return Vectors::Avx512;
            }
            if has_fma {
                return Vectors::Avx2;
            }
        }
        Vectors::Portable
    })
}

/// Adds the products of R rows with the columns of a panel to `sums`.
///
/// Shapes: `rows` (K, R), one depth behind another; `panel` K rows of W numbers, `stride` apart. R is at most `TILE`.
pub(super) fn multiply(
    vectors: Vectors,
    n_rows: usize,
    depth: usize,
    rows: &[f32],
    panel: &[f32],
    stride: usize,
    sums: &mut Sums,
) {
    if depth == 0 {
        return;
    }
    assert!(n_rows <= TILE && rows.len() >= depth * n_rows, "{} numbers for {depth} x {n_rows}", rows.len());
    assert!(panel.len() >= (depth - 1) * stride + WIDTH, "{} numbers for a depth of {depth}", panel.len());
    match vectors {
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx512 => x86::wide(n_rows, depth, rows, panel, stride, sums),
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx2 => x86::half(n_rows, depth, rows, panel, stride, sums),
        _ => portable(n_rows, depth, rows, panel, stride, sums),
    }
}

/// The plain twin. Without fused instructions it is slow, and right.
fn portable(n_rows: usize, depth: usize, rows: &[f32], panel: &[f32], stride: usize, sums: &mut Sums) {
    for k in 0..depth {
        let columns = &panel[k * stride..][..WIDTH];
        for (sums, x) in sums.iter_mut().zip(&rows[k * n_rows..][..n_rows]) {
            sums.iter_mut().zip(columns).for_each(|(sum, w)| *sum = x.mul_add(*w, *sum));
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "vector loads have no safe form, and neither has calling what the machine was found to have"
)]
mod x86 {
    use super::{Sums, TILE, WIDTH};
    use std::arch::x86_64::{
        __m256, __m512, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    macro_rules! by_rows {
        ($n:expr, $f:ident($($argument:expr),*)) => {
            // SAFETY: `vectors` found the features on this machine; `multiply` asserted the lengths.
            unsafe {
                match $n {
                    1 => $f::<1>($($argument),*),
                    2 => $f::<2>($($argument),*),
                    3 => $f::<3>($($argument),*),
                    4 => $f::<4>($($argument),*),
                    5 => $f::<5>($($argument),*),
                    6 => $f::<6>($($argument),*),
                    7 => $f::<7>($($argument),*),
                    8 => $f::<8>($($argument),*),
                    9 => $f::<9>($($argument),*),
                    10 => $f::<10>($($argument),*),
                    11 => $f::<11>($($argument),*),
                    TILE => $f::<TILE>($($argument),*),
                    _ => {}
                }
            }
        };
    }

    pub(super) fn wide(n_rows: usize, depth: usize, rows: &[f32], panel: &[f32], stride: usize, sums: &mut Sums) {
        by_rows!(n_rows, wide_rows(depth, rows, panel, stride, sums));
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn wide_rows<const R: usize>(depth: usize, rows: &[f32], panel: &[f32], stride: usize, sums: &mut Sums) {
        let mut held: [[__m512; 2]; R] = [[_mm512_setzero_ps(); 2]; R];
        let (mut row, mut columns) = (rows.as_ptr(), panel.as_ptr());
        // SAFETY: the caller asserted R numbers of `rows` and WIDTH of `panel` at every depth; each row of sums has WIDTH.
        unsafe {
            for (held, sums) in held.iter_mut().zip(&*sums) {
                *held = [_mm512_loadu_ps(sums.as_ptr()), _mm512_loadu_ps(sums.as_ptr().add(16))];
            }
            for _ in 0..depth {
                let (low, high) = (_mm512_loadu_ps(columns), _mm512_loadu_ps(columns.add(16)));
                for (at, held) in held.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*row.add(at));
                    held[0] = _mm512_fmadd_ps(x, low, held[0]);
                    held[1] = _mm512_fmadd_ps(x, high, held[1]);
                }
                row = row.add(R);
                columns = columns.wrapping_add(stride);
            }
            for (held, sums) in held.iter().zip(sums) {
                _mm512_storeu_ps(sums.as_mut_ptr(), held[0]);
                _mm512_storeu_ps(sums.as_mut_ptr().add(16), held[1]);
            }
        }
    }

    /// Six rows by 16 columns at a time, as many sums as 16 registers hold.
    pub(super) fn half(n_rows: usize, depth: usize, rows: &[f32], panel: &[f32], stride: usize, sums: &mut Sums) {
        for first in (0..n_rows).step_by(6) {
            for column in (0..WIDTH).step_by(16) {
                let (n, rows) = ((n_rows - first).min(6), &rows[first..]);
                by_rows!(n, half_rows(depth, rows, n_rows, &panel[column..], stride, &mut sums[first..], column));
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn half_rows<const R: usize>(
        depth: usize,
        rows: &[f32],
        row_stride: usize,
        panel: &[f32],
        stride: usize,
        sums: &mut [[f32; WIDTH]],
        column: usize,
    ) {
        let mut held: [[__m256; 2]; R] = [[_mm256_setzero_ps(); 2]; R];
        let (mut row, mut columns) = (rows.as_ptr(), panel.as_ptr());
        // SAFETY: as above; `column` is 0 or 16, so 16 numbers stand behind it.
        unsafe {
            for (held, sums) in held.iter_mut().zip(&*sums) {
                let sums = sums.as_ptr().add(column);
                *held = [_mm256_loadu_ps(sums), _mm256_loadu_ps(sums.add(8))];
            }
            for _ in 0..depth {
                let (low, high) = (_mm256_loadu_ps(columns), _mm256_loadu_ps(columns.add(8)));
                for (at, held) in held.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*row.add(at));
                    held[0] = _mm256_fmadd_ps(x, low, held[0]);
                    held[1] = _mm256_fmadd_ps(x, high, held[1]);
                }
                row = row.wrapping_add(row_stride);
                columns = columns.wrapping_add(stride);
            }
            for (held, sums) in held.iter().zip(sums) {
                let sums = sums.as_mut_ptr().add(column);
                _mm256_storeu_ps(sums, held[0]);
                _mm256_storeu_ps(sums.add(8), held[1]);
            }
        }
    }
}

/// Makes a function that is compiled once for each kind of vectors, from one body without intrinsics: the same bits.
macro_rules! for_vectors {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? = $body:ident) => {
        $(#[$meta])*
        #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calling what the machine was found to have"))]
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
                unsafe fn wide($($argument: $kind),*) $(-> $result)? {
                    $body($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                unsafe fn half($($argument: $kind),*) $(-> $result)? {
                    $body($($argument),*)
                }
                match $crate::decoder::kernel::vectors() {
                    // SAFETY: these features were found on this machine.
                    $crate::decoder::kernel::Vectors::Avx512 => return unsafe { wide($($argument),*) },
                    // SAFETY: likewise.
                    $crate::decoder::kernel::Vectors::Avx2 => return unsafe { half($($argument),*) },
                    $crate::decoder::kernel::Vectors::Portable => {}
                }
            }
            $body($($argument),*)
        }
    };
}
pub(super) use for_vectors;

for_vectors! {
    /// code · scale + least, for a block of W columns. Shapes: `codes` (K, W) signed bytes → `out` (K, W); W of the others.
    pub(super) fn unpack_bytes(codes: &[u8], scales: &[f32; WIDTH], least: Option<&[f32; WIDTH]>, out: &mut [f32]) = bytes_of
}

for_vectors! {
    /// (code − offset) · scale + least. Shapes: `codes` (K, W / 2): column j in the low half of byte j, column j + W / 2 in its
    /// high half → `out` (K, W).
    pub(super) fn unpack_halves(
        codes: &[u8], offset: i32, scales: &[f32; WIDTH], least: Option<&[f32; WIDTH]>, out: &mut [f32],
    ) = halves_of
}

#[inline(always)]
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

#[inline(always)]
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
    use super::{Sums, TILE, Vectors, WIDTH, multiply, portable, vectors};

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
                portable(n_rows, depth, &rows, &panel, stride, &mut expected);
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
}
