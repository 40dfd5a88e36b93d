//! SwiGLU and its gradient. Source: Shazeer 2020.

use super::product::written;
use crate::decoder::{exp, vectors::for_vectors};
use rayon::prelude::*;
use std::mem::MaybeUninit;

const PIECE: usize = 1 << 14;

/// h = silu(a) · u.
pub(super) fn forward(a: &[f32], u: &[f32]) -> Vec<f32> {
    written(a.len(), |h| {
        let pieces = h.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE)).zip(u.par_chunks(PIECE));
        pieces.for_each(|((h, a), u)| forward_piece(a, u, h));
    })
}

/// From dJ/dh: `a` becomes dJ/da, `u` becomes dJ/du, and `dh` becomes h, which the layer below needs once more.
pub(super) fn backward(a: &mut [f32], u: &mut [f32], dh: &mut [f32]) {
    let pieces = dh.par_chunks_mut(PIECE).zip(a.par_chunks_mut(PIECE)).zip(u.par_chunks_mut(PIECE));
    pieces.for_each(|((dh, a), u)| backward_piece(a, u, dh));
}

for_vectors! {
    fn forward_piece(a: &[f32], u: &[f32], h: &mut [MaybeUninit<f32>]) = forward_body
}

#[inline(always)]
fn forward_body(a: &[f32], u: &[f32], h: &mut [MaybeUninit<f32>]) {
    for ((h, a), u) in h.iter_mut().zip(a).zip(u) {
        h.write(a / (1.0 + exp(-a)) * u);
    }
}

for_vectors! {
    fn backward_piece(a: &mut [f32], u: &mut [f32], dh: &mut [f32]) = backward_body
}

#[inline(always)]
fn backward_body(a: &mut [f32], u: &mut [f32], dh: &mut [f32]) {
    for ((dh, a), u) in dh.iter_mut().zip(a).zip(u) {
        let sigmoid = 1.0 / (1.0 + exp(-*a));
        let silu = *a * sigmoid;
        let slope = sigmoid * (1.0 + *a * (1.0 - sigmoid));
        (*a, *u, *dh) = (*dh * *u * slope, *dh * silu, silu * *u);
    }
}
