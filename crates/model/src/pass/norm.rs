//! RMSNorm and its gradient. Legend: N rows, C channels.

use super::product::written;
use crate::decoder::{lanes, vectors::for_vectors};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Rows whose gains are summed before they are added to those of others.
const CHUNK: usize = 64;

/// y = x · r · gain with r = 1 / √(mean(x²) + ε). Shapes: `x`, y (N, C), `scales` (N,), which keeps r.
///
/// Source: Zhang and Sennrich 2019.
pub(super) fn forward(x: &[f32], gain: &[f32], eps: f64, scales: &mut [f32]) -> Vec<f32> {
    let width = gain.len();
    written(x.len(), |out| {
        let rows = out.par_chunks_mut(width).zip(x.par_chunks(width)).zip(scales.par_iter_mut());
        rows.with_min_len(CHUNK).for_each(|((out, x), scale)| {
            let mean = f64::from(squares(x)) / width as f64;
            *scale = (mean + eps).sqrt().recip() as f32;
            scaled(x, *scale, gain, out);
        });
    })
}

for_vectors! {
    fn squares(x: &[f32]) -> f32 = squares_body
}

#[inline(always)]
fn squares_body(x: &[f32]) -> f32 {
    lanes(x, |x| x * x)
}

for_vectors! {
    fn scaled(x: &[f32], scale: f32, gain: &[f32], out: &mut [MaybeUninit<f32>]) = scaled_body
}

#[inline(always)]
fn scaled_body(x: &[f32], scale: f32, gain: &[f32], out: &mut [MaybeUninit<f32>]) {
    for ((y, x), g) in out.iter_mut().zip(x).zip(gain) {
        y.write(x * scale * g);
    }
}

/// The normed rows again, from the scales that were kept.
pub(super) fn again(x: &[f32], gain: &[f32], scales: &[f32]) -> Vec<f32> {
    let width = gain.len();
    written(x.len(), |out| {
        let rows = out.par_chunks_mut(width).zip(x.par_chunks(width)).zip(scales);
        rows.with_min_len(CHUNK).for_each(|((out, x), &scale)| scaled(x, scale, gain, out));
    })
}

/// Adds dJ/dx = r · (g ∘ dy) − x · r³ / C · Σ(g ∘ dy ∘ x) to `dx`, and dJ/dgain to `dgain` where it is asked for.
pub(super) fn backward(
    x: &[f32],
    gain: &[f32],
    scales: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    dgain: Option<&mut Vec<f32>>,
) {
    let width = gain.len();
    let wants_gain = dgain.is_some();
    let chunks = dx.par_chunks_mut(CHUNK * width).zip(x.par_chunks(CHUNK * width));
    let chunks = chunks.zip(dy.par_chunks(CHUNK * width)).zip(scales.par_chunks(CHUNK));
    let sums: Vec<Vec<f32>> = chunks
        .map(|(((dx, x), dy), scales)| {
            let mut sums = vec![0.0_f32; if wants_gain { width } else { 0 }];
            let rows = dx.chunks_mut(width).zip(x.chunks(width)).zip(dy.chunks(width)).zip(scales);
            for (((dx, x), dy), &scale) in rows {
                row_back(x, gain, scale, dy, dx);
                add_scaled(&mut sums, x, dy, scale);
            }
            sums
        })
        .collect();
    let Some(dgain) = dgain else { return };
    for sums in sums {
        dgain.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
}

for_vectors! {
    fn row_back(x: &[f32], gain: &[f32], scale: f32, dy: &[f32], dx: &mut [f32]) = row_back_body
}

#[inline(always)]
fn row_back_body(x: &[f32], gain: &[f32], scale: f32, dy: &[f32], dx: &mut [f32]) {
    let pull = lanes_of_three(x, dy, gain) * scale * scale * scale / gain.len() as f32;
    for (((dx, x), dy), g) in dx.iter_mut().zip(x).zip(dy).zip(gain) {
        *dx += scale * g * dy - x * pull;
    }
}

for_vectors! {
    fn add_scaled(sums: &mut [f32], x: &[f32], dy: &[f32], scale: f32) = add_scaled_body
}

#[inline(always)]
fn add_scaled_body(sums: &mut [f32], x: &[f32], dy: &[f32], scale: f32) {
    sums.iter_mut().zip(x).zip(dy).for_each(|((sum, x), dy)| *sum += dy * x * scale);
}

/// Σ a · b · c in sixteen lanes.
#[inline(always)]
fn lanes_of_three(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (blocks_a, rest_a) = a.as_chunks::<16>();
    let (blocks_b, rest_b) = b.as_chunks::<16>();
    let (blocks_c, rest_c) = c.as_chunks::<16>();
    for ((a, b), c) in blocks_a.iter().zip(blocks_b).zip(blocks_c) {
        for (at, sum) in sums.iter_mut().enumerate() {
            *sum += a[at] * b[at] * c[at];
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).zip(rest_c).map(|((a, b), c)| a * b * c).sum();
    sums.iter().sum::<f32>() + rest
}
