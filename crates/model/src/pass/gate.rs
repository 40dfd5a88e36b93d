//! SwiGLU and its gradient. Source: Shazeer 2020.

use crate::decoder::exp;
use rayon::prelude::*;

const PIECE: usize = 1 << 14;

/// h = silu(a) · u.
pub(super) fn forward(a: &[f32], u: &[f32], h: &mut [f32]) {
    let pieces = h.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE)).zip(u.par_chunks(PIECE));
    pieces.for_each(|((h, a), u)| {
        h.iter_mut().zip(a).zip(u).for_each(|((h, a), u)| *h = a / (1.0 + exp(-a)) * u);
    });
}

/// From dJ/dh: `a` becomes dJ/da, `u` becomes dJ/du, and `dh` becomes h, which the layer below needs once more.
pub(super) fn backward(a: &mut [f32], u: &mut [f32], dh: &mut [f32]) {
    let pieces = dh.par_chunks_mut(PIECE).zip(a.par_chunks_mut(PIECE)).zip(u.par_chunks_mut(PIECE));
    pieces.for_each(|((dh, a), u)| {
        for ((dh, a), u) in dh.iter_mut().zip(a).zip(u) {
            let sigmoid = 1.0 / (1.0 + exp(-*a));
            let silu = *a * sigmoid;
            let slope = sigmoid * (1.0 + *a * (1.0 - sigmoid));
            (*a, *u, *dh) = (*dh * *u * slope, *dh * silu, silu * *u);
        }
    });
}
