//! Causal attention that keeps no T × T matrix, and its gradient.
//!
//! Legend: B windows, T positions, H query heads, K key-value heads, G = H/K heads of a group, D channels a head.
//!
//! Scores are made for a block of queries at a time and thrown away; of each row only the logarithm of its sum is kept, from
//! which the backward pass makes the shares again. Source: Dao et al. 2022 (FlashAttention), algorithms 1 and 4, without its
//! tiling over keys: a block of queries against all its keys lies in the cache at the lengths trained here.

use super::product::{Threads, View, product, written};
use crate::decoder::{exp, lanes, largest, vectors::for_vectors};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Queries whose scores stand in memory at once.
const BLOCK: usize = 64;
/// Rows below which a second thread costs more than it gives.
const MIN_ROWS: usize = 64;

/// Numbers of a vector.
const LANES: usize = 16;
/// The score of what a row does not see: its power is below 2e-38 beside others of 1 and less.
const UNSEEN: f32 = -1e30;

#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) positions: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_width: usize,
}

/// What attention reads: `q` (B·T, H·D), `k` and `v` (B·T, K·D), turned already; `starts` (B·T), the first position of its
/// window that a row may look at, 0 without it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) starts: Option<&'a [u32]>,
}

/// One key-value head of one window.
struct Group<'a> {
    shape: Shape,
    /// From its first query head's first channel on.
    q: &'a [f32],
    k: View<'a>,
    v: View<'a>,
    starts: Option<&'a [u32]>,
}

impl Shape {
    fn q_width(&self) -> usize {
        self.heads * self.head_width
    }

    fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }

    /// 1/√D
    fn scale(&self) -> f32 {
        (self.head_width as f64).sqrt().recip() as f32
    }

    const fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Where the group begins: (first row, first channel of its queries, of its keys).
    fn place(&self, at: usize) -> (usize, usize, usize) {
        let (window, head) = (at / self.kv_heads, at % self.kv_heads);
        (window * self.positions, head * self.group() * self.head_width, head * self.head_width)
    }
}

impl<'a> Inputs<'a> {
    fn group(&self, shape: Shape, at: usize) -> Group<'a> {
        let (row, q_channel, kv_channel) = shape.place(at);
        let (t, d) = (shape.positions, shape.head_width);
        let of = |side: &'a [f32]| View::strided(&side[row * shape.kv_width() + kv_channel..], t, d, shape.kv_width());
        Group {
            shape,
            q: &self.q[row * shape.q_width() + q_channel..],
            k: of(self.k),
            v: of(self.v),
            starts: self.starts.map(|starts| &starts[row..row + t]),
        }
    }
}

impl Group<'_> {
    /// Scores, not yet over √D, of the queries `begin..end` of one head against the keys before `end`, whether or not a row may look at
    /// them.
    fn scores(&self, head: usize, (begin, end): (usize, usize), scores: &mut [f32]) {
        let (stride, d) = (self.shape.q_width(), self.shape.head_width);
        let queries = View::strided(&self.q[begin * stride + head * d..], end - begin, d, stride);
        product(scores, false, queries, self.k.first_rows(end).t(), 1.0, Threads::One);
    }

    fn start(&self, position: usize) -> usize {
        self.starts.map_or(0, |starts| starts[position] as usize)
    }
}

fn blocks(positions: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..positions).step_by(BLOCK).map(move |begin| (begin, (begin + BLOCK).min(positions)))
}

/// What the row of `position` sees from `start` on, and behind it scores of no share up to whole vectors, where there is room: single
/// numbers at the end would cost more than the rest.
fn whole(row: &mut [f32], start: usize, position: usize) -> &mut [f32] {
    let end = (start + (position + 1 - start).next_multiple_of(LANES)).min(row.len());
    row[position + 1..end].fill(UNSEEN);
    &mut row[start..end]
}

/// The mixed values (B·T, H·D); fills `log_sums` (B, H, T).
pub(super) fn forward(shape: Shape, inputs: Inputs<'_>, log_sums: &mut [f32]) -> Vec<f32> {
    let (t, d, g) = (shape.positions, shape.head_width, shape.group());
    let n_groups = inputs.q.len() / (t * d * g);
    let found: Vec<(Vec<f32>, Vec<f32>)> =
        (0..n_groups).into_par_iter().map(|at| forward_group(&inputs.group(shape, at))).collect();
    log_sums.chunks_mut(g * t).zip(&found).for_each(|(to, (_, from))| to.copy_from_slice(from));
    rows_of_heads(shape, g, &found, |(mixed, _)| mixed)
}

/// From (G, T, D) of each group to rows of all heads.
fn rows_of_heads<T: Sync>(shape: Shape, g: usize, found: &[T], part: impl Fn(&T) -> &Vec<f32> + Sync) -> Vec<f32> {
    let (t, d, n) = (shape.positions, shape.head_width, shape.kv_heads);
    let width = g * n * d;
    let fill = |(row, out): (usize, &mut [MaybeUninit<f32>])| {
        for (group, out) in found[row / t * n..].iter().zip(out.chunks_mut(g * d)) {
            for (head, out) in out.chunks_mut(d).enumerate() {
                out.write_copy_of_slice(&part(group)[(head * t + row % t) * d..][..d]);
            }
        }
    };
    written(found.len() / n * t * width, |out| {
        out.par_chunks_mut(width).enumerate().with_min_len(MIN_ROWS).for_each(fill);
    })
}

fn forward_group(group: &Group<'_>) -> (Vec<f32>, Vec<f32>) {
    let (t, d, g) = (group.shape.positions, group.shape.head_width, group.shape.group());
    let (mut mixed, mut log_sums) = (vec![0.0; g * t * d], vec![0.0; g * t]);
    let (mut scores, scale) = (vec![0.0; BLOCK.min(t) * t], group.shape.scale());
    for head in 0..g {
        for (begin, end) in blocks(t) {
            let scores = &mut scores[..(end - begin) * end];
            group.scores(head, (begin, end), scores);
            let mut sums = [0.0_f32; BLOCK];
            for (at, row) in scores.chunks_mut(end).enumerate() {
                let position = begin + at;
                let start = group.start(position);
                let (largest, sum) = to_powers(whole(row, start, position), scale);
                row[..start].fill(0.0);
                row[position + 1..].fill(0.0);
                sums[at] = sum;
                log_sums[head * t + position] = scale * largest + sum.ln();
            }
            let out = &mut mixed[(head * t + begin) * d..(head * t + end) * d];
            product(out, false, View::rows(scores, end), group.v.first_rows(end), 1.0, Threads::One);
            for (row, sum) in out.chunks_mut(d).zip(sums) {
                let share = sum.recip();
                row.iter_mut().for_each(|x| *x *= share);
            }
        }
    }
    (mixed, log_sums)
}

/// What the backward pass of attention gives, in the layout of the inputs.
#[derive(Debug)]
pub(super) struct Slopes {
    pub(super) dq: Vec<f32>,
    pub(super) dk: Vec<f32>,
    pub(super) dv: Vec<f32>,
}

/// From `dout` = dJ/dout. With P the shares: dV = Pᵀ·dO, dS = P ∘ (dO·Vᵀ − rowsum(dO ∘ O)), dQ = dS·K/√D, dK = dSᵀ·Q/√D.
pub(super) fn backward(shape: Shape, inputs: Inputs<'_>, out: &[f32], log_sums: &[f32], dout: &[f32]) -> Slopes {
    let (t, g) = (shape.positions, shape.group());
    let n_groups = out.len() / (t * shape.head_width * g);
    let found: Vec<[Vec<f32>; 3]> = (0..n_groups)
        .into_par_iter()
        .map(|at| {
            let (row, channel, _) = shape.place(at);
            let from = row * shape.q_width() + channel;
            let log_sums = &log_sums[at * g * t..(at + 1) * g * t];
            backward_group(&inputs.group(shape, at), &out[from..], log_sums, &dout[from..])
        })
        .collect();
    Slopes {
        dq: rows_of_heads(shape, g, &found, |[dq, _, _]| dq),
        dk: rows_of_heads(shape, 1, &found, |[_, dk, _]| dk),
        dv: rows_of_heads(shape, 1, &found, |[_, _, dv]| dv),
    }
}

for_vectors! {
    /// Scores times `scale` become the powers of e over the largest of them; the largest score is given with their sum.
    fn to_powers(row: &mut [f32], scale: f32) -> (f32, f32) = to_powers_body
}

#[inline(always)]
fn to_powers_body(row: &mut [f32], scale: f32) -> (f32, f32) {
    let largest = largest(row);
    row.iter_mut().for_each(|x| *x = exp((*x - largest) * scale));
    (largest, lanes(row, |x| x))
}

for_vectors! {
    /// Scores become shares, and the slopes of shares those of scores. `sums`: 1/√D and the logarithm of the row's sum.
    fn row_back(scores: &mut [f32], slopes: &mut [f32], sums: (f32, f32), out: &[f32], dout: &[f32]) = row_back_body
}

#[inline(always)]
fn row_back_body(scores: &mut [f32], slopes: &mut [f32], sums: (f32, f32), out: &[f32], dout: &[f32]) {
    let (scale, log_sum) = sums;
    let mut dots = [0.0_f32; 16];
    for (out, dout) in out.chunks(16).zip(dout.chunks(16)) {
        dots.iter_mut().zip(out.iter().zip(dout)).for_each(|(dot, (o, d))| *dot += o * d);
    }
    let dot: f32 = dots.iter().sum();
    for (share, slope) in scores.iter_mut().zip(slopes) {
        *share = exp(*share * scale - log_sum);
        *slope = *share * (*slope - dot) * scale;
    }
}

fn backward_group(group: &Group<'_>, out: &[f32], log_sums: &[f32], dout: &[f32]) -> [Vec<f32>; 3] {
    let (t, d, g) = (group.shape.positions, group.shape.head_width, group.shape.group());
    let stride = group.shape.q_width();
    let scale = group.shape.scale();
    let (mut dq, mut dk, mut dv) = (vec![0.0; g * t * d], vec![0.0; t * d], vec![0.0; t * d]);
    let (mut shares, mut slopes) = (vec![0.0; BLOCK.min(t) * t], vec![0.0; BLOCK.min(t) * t]);
    for head in 0..g {
        for (begin, end) in blocks(t) {
            let (shares, slopes) = (&mut shares[..(end - begin) * end], &mut slopes[..(end - begin) * end]);
            let queries = View::strided(&group.q[begin * stride + head * d..], end - begin, d, stride);
            let douts = View::strided(&dout[begin * stride + head * d..], end - begin, d, stride);
            group.scores(head, (begin, end), shares);
            product(slopes, false, douts, group.v.first_rows(end).t(), 1.0, Threads::One);
            for (at, (row, slopes)) in shares.chunks_mut(end).zip(slopes.chunks_mut(end)).enumerate() {
                let position = begin + at;
                let from = position * stride + head * d;
                let places = from..from + d;
                let (start, log_sum) = (group.start(position), log_sums[head * t + position]);
                let sums = (scale, log_sum);
                let pair = (whole(row, start, position), whole(slopes, start, position));
                row_back(pair.0, pair.1, sums, &out[places.clone()], &dout[places]);
                for side in [row, slopes] {
                    side[..start].fill(0.0);
                    side[position + 1..].fill(0.0);
                }
            }
            let (shares, slopes) = (View::rows(shares, end), View::rows(slopes, end));
            let to = &mut dq[(head * t + begin) * d..(head * t + end) * d];
            product(to, false, slopes, group.k.first_rows(end), 1.0, Threads::One);
            product(&mut dk[..end * d], true, slopes.t(), queries, 1.0, Threads::One);
            product(&mut dv[..end * d], true, shares.t(), douts, 1.0, Threads::One);
        }
    }
    [dq, dk, dv]
}
