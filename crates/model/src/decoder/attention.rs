//! Causal self-attention with grouped heads, over packed rows.
//!
//! A query's scores, shares and mix are sums in the order of its channels and of the positions it sees, whatever else is
//! computed: positions it does not see have a share of zero, which changes no sum.

use super::{
    Norm, Row,
    cache::KeysValues,
    kernel::{Sums, TILE, WIDTH, for_vectors, multiply, vectors},
    rotary::Turn,
    rows::{Linear, exp, lanes_f64, with_slice},
};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// Tokens whose queries are one task.
const BLOCK: usize = 64;

/// Where queries and keys are normed.
pub(crate) enum HeadNorm {
    /// Each head alone (Qwen3, Gemma 3).
    Each(Norm),
    /// All heads of a token together (OLMo 2).
    Whole(Norm),
}

impl HeadNorm {
    pub(crate) const fn norm(&self) -> &Norm {
        match self {
            Self::Each(norm) | Self::Whole(norm) => norm,
        }
    }
}

/// Source: Vaswani et al. 2017; Ainslie et al. 2023 for the groups.
pub(crate) struct Attention {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) output: Linear,
    pub(crate) head_norms: Option<(HeadNorm, HeadNorm)>,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_width: usize,
    /// What the scores are multiplied by.
    pub(crate) scale: f32,
    /// Positions a query sees, itself included; all before it without.
    pub(crate) window: Option<usize>,
    /// Number of its table in `Decoder::rotaries`.
    pub(crate) rotary: Option<usize>,
    /// c·tanh(score / c). Source: Gemma Team 2024 (Gemma 2), section 2.
    pub(crate) cap: Option<f32>,
}

/// What the queries of one row see: stretches of positions one behind another, each with the positions before it, and the
/// queries' own at the end.
struct Seen<'a> {
    stretches: Vec<(usize, &'a KeysValues)>,
    /// Among all tokens of the call.
    span: Range<usize>,
    /// Position of the first query.
    first: usize,
}

impl Attention {
    pub(crate) const fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }

    /// Shapes: (N, C) → (N, C).
    pub(super) fn apply(
        &self,
        normed: &Tensor,
        turn: Option<&Turn>,
        layer: usize,
        rows: &mut [Row],
        spans: &[Range<usize>],
    ) -> candle_core::Result<Tensor> {
        let (query, key, value) = (self.query.apply(normed)?, self.key.apply(normed)?, self.value.apply(normed)?);
        if let Some((query_norm, key_norm)) = &self.head_norms {
            query_norm.norm().apply_in_place(&query)?;
            key_norm.norm().apply_in_place(&key)?;
        }
        if let Some(turn) = turn {
            turn.apply(&query, self.head_width)?;
            turn.apply(&key, self.head_width)?;
        }
        let width = self.heads * self.head_width;
        let mixed = with_slice(&query, |queries| {
            with_slice(&key, |keys| with_slice(&value, |values| self.mix(queries, keys, values, layer, rows, spans)))
        })???;
        self.output.apply(&Tensor::from_vec(mixed, (normed.dim(0)?, width), &Device::Cpu)?)
    }

    fn mix(
        &self,
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        layer: usize,
        rows: &mut [Row],
        spans: &[Range<usize>],
    ) -> Vec<f32> {
        let kv = self.kv_width();
        let first: Vec<usize> = rows.iter().map(Row::n_before).collect();
        let own = |span: &Range<usize>| span.start * kv..span.end * kv;
        let alone: Vec<KeysValues> = rows
            .par_iter_mut()
            .zip(spans)
            .map(|(row, span)| {
                let (keys, values) = (&keys[own(span)], &values[own(span)]);
                let mut alone = KeysValues::default();
                match &mut row.cache {
                    Some(cache) => cache.grow(layer, kv, keys, values),
                    None => alone.add(kv, keys, values),
                }
                alone
            })
            .collect();
        let seen: Vec<Seen> = rows
            .iter()
            .zip(&alone)
            .zip(spans.iter().zip(&first))
            .map(|((row, alone), (span, &first))| {
                let stretches = match &row.cache {
                    Some(cache) => cache.layer(layer).collect(),
                    None => vec![(0, alone)],
                };
                Seen { stretches, span: span.clone(), first }
            })
            .collect();
        let pieces: Vec<(usize, usize, Range<usize>)> = seen
            .iter()
            .enumerate()
            .flat_map(|(at, row)| row.span.clone().step_by(BLOCK).map(move |start| (at, start, row.span.end)))
            .map(|(at, start, end)| (at, start..end.min(start + BLOCK)))
            .flat_map(|(at, tokens)| (0..self.kv_heads).map(move |group| (at, group, tokens.clone())))
            .collect();
        let mixed: Vec<Vec<f32>> = pieces
            .par_iter()
            .map(|(at, group, tokens)| self.mix_group(queries, &seen[*at], *group, tokens.clone()))
            .collect();
        let mut all = vec![0.0; queries.len()];
        let (width, d, share) = (self.heads * self.head_width, self.head_width, self.heads / self.kv_heads);
        for ((_, group, tokens), piece) in pieces.iter().zip(mixed) {
            for (token, heads) in tokens.clone().zip(piece.chunks_exact(share * d)) {
                all[token * width + group * share * d..][..share * d].copy_from_slice(heads);
            }
        }
        all
    }

    /// The mixes of the queries of one key-value head: (tokens, share, D).
    fn mix_group(&self, queries: &[f32], row: &Seen, group: usize, tokens: Range<usize>) -> Vec<f32> {
        let (d, share) = (self.head_width, self.heads / self.kv_heads);
        let n_rows = tokens.len() * share;
        let mut mixed = vec![0.0; n_rows * d];
        let (mut query, mut scores, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for start in (0..n_rows).step_by(TILE) {
            let n = TILE.min(n_rows - start);
            query.clear();
            query.resize(n * d, 0.0);
            for at in 0..n {
                let (token, head) = (tokens.start + (start + at) / share, group * share + (start + at) % share);
                let numbers = &queries[(token * self.heads + head) * d..][..d];
                query.chunks_exact_mut(n).zip(numbers).for_each(|(out, x)| out[at] = x * self.scale);
            }
            let position = |at: usize| row.first + tokens.start - row.span.start + (start + at) / share;
            // What any of these queries sees.
            let seen = self.sees(position(0)).start..position(n - 1) + 1;
            self.score(&query, n, row, group, &seen, &mut scores);
            shares.clear();
            shares.resize(n * seen.len(), 0.0);
            for (at, scores) in scores.chunks_exact_mut(seen.len()).enumerate() {
                let own = self.sees(position(at));
                let own = own.start - seen.start..own.end - seen.start;
                let scale = softmax(&mut scores[own.clone()], self.cap);
                let places = shares[own.start * n..].chunks_exact_mut(n);
                places.zip(&scores[own]).for_each(|(place, power)| place[at] = power * scale);
            }
            self.mix_tile(&shares, n, row, group, &seen, &mut mixed[start * d..]);
        }
        mixed
    }

    /// Scores of a tile of queries against the positions that any of them sees. Shapes: `query` (D, n) → `scores` (n, seen).
    fn score(&self, query: &[f32], n: usize, row: &Seen, group: usize, seen: &Range<usize>, scores: &mut Vec<f32>) {
        let (d, kv, found) = (self.head_width, self.kv_width(), vectors());
        scores.clear();
        scores.resize(n * seen.len(), 0.0);
        for (before, stretch) in &row.stretches {
            let own = seen.start.max(*before)..seen.end.min(before + stretch.n);
            if own.is_empty() {
                continue;
            }
            for panel in (own.start - before) / WIDTH..(own.end - before).div_ceil(WIDTH) {
                let at = before + panel * WIDTH;
                let part = own.start.max(at)..own.end.min(at + WIDTH);
                let mut sums: Sums = [[0.0; WIDTH]; TILE];
                let keys = &stretch.keys[(panel * kv + group * d) * WIDTH..][..d * WIDTH];
                multiply(found, n, d, query, keys, WIDTH, &mut sums);
                let places = part.start - seen.start..part.end - seen.start;
                for (scores, sums) in scores.chunks_exact_mut(seen.len()).zip(&sums) {
                    scores[places.clone()].copy_from_slice(&sums[part.start - at..part.end - at]);
                }
            }
        }
    }

    /// Values in the shares of a tile of queries. Shapes: `shares` (seen, n) → `out` (n, D).
    fn mix_tile(&self, shares: &[f32], n: usize, row: &Seen, group: usize, seen: &Range<usize>, out: &mut [f32]) {
        let (d, kv, found) = (self.head_width, self.kv_width(), vectors());
        for column in (0..d).step_by(WIDTH) {
            let mut sums: Sums = [[0.0; WIDTH]; TILE];
            for (before, stretch) in &row.stretches {
                let own = seen.start.max(*before)..seen.end.min(before + stretch.n);
                if !own.is_empty() {
                    let values = &stretch.values[(own.start - before) * kv + group * d + column..];
                    multiply(found, n, own.len(), &shares[(own.start - seen.start) * n..], values, kv, &mut sums);
                }
            }
            let width = WIDTH.min(d - column);
            for (out, sums) in out.chunks_exact_mut(d).zip(&sums[..n]) {
                out[column..column + width].copy_from_slice(&sums[..width]);
            }
        }
    }

    /// Positions that the query at this one sees.
    fn sees(&self, position: usize) -> Range<usize> {
        let start = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        start..position + 1
    }
}

for_vectors! {
    /// Powers in place, over scores of which none is masked; what they are to be multiplied by to sum to 1.
    fn softmax(scores: &mut [f32], cap: Option<f32>) -> f32 = softmax_of
}

#[inline(always)]
fn softmax_of(scores: &mut [f32], cap: Option<f32>) -> f32 {
    if let Some(cap) = cap {
        scores.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
    }
    // The largest does not depend on the order.
    let (blocks, rest) = scores.as_chunks::<16>();
    let mut largest = [f32::NEG_INFINITY; 16];
    for block in blocks {
        largest.iter_mut().zip(block).for_each(|(largest, score)| *largest = largest.max(*score));
    }
    let largest = largest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = exp(*score - largest));
    (1.0 / lanes_f64(scores)) as f32
}
