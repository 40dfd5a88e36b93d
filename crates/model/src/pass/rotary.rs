//! The rotary embedding, in place. Legend: T positions, D channels a head.

use crate::decoder::vectors::for_vectors;
use rayon::prelude::*;

/// Which way heads are turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Forward,
    /// The transpose, which is the inverse: what a gradient needs.
    Back,
}

/// Turns channel i of each head against channel i + D/2. `rows` (N, heads · D), row n at position n mod T; tables (T, D/2).
///
/// Source: Su et al. 2021, equation 34, in the hub's half-split layout.
pub(super) fn turn(rows: &mut [f32], width: usize, (cosines, sines): (&[f32], &[f32]), head_width: usize, way: Turn) {
    let half = head_width / 2;
    let n_positions = cosines.len() / half;
    let sign = if way == Turn::Forward { 1.0 } else { -1.0 };
    rows.par_chunks_mut(width).enumerate().with_min_len(64).for_each(|(at, row)| {
        let place = at % n_positions * half..(at % n_positions + 1) * half;
        let (cosines, sines) = (&cosines[place.clone()], &sines[place]);
        turn_row(row, cosines, sines, sign);
    });
}

for_vectors! {
    fn turn_row(row: &mut [f32], cosines: &[f32], sines: &[f32], sign: f32) = turn_row_body
}

#[inline(always)]
fn turn_row_body(row: &mut [f32], cosines: &[f32], sines: &[f32], sign: f32) {
    for head in row.chunks_exact_mut(2 * cosines.len()) {
        let (first, second) = head.split_at_mut(cosines.len());
        for (((a, b), c), s) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
            let s = sign * s;
            (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
        }
    }
}
