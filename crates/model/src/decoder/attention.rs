//! Causal self-attention with grouped heads, over packed rows.
//!
//! A query's scores, shares and mix come from products whose order of summation does not depend on what else is computed:
//! keys stand at fixed places in blocks of `BLOCK`, a query sees zeros where others see more, and matrices too small for
//! the general product kernel are filled up with zeros.

use super::{
    Norm, Observe, Row, Site,
    rotary::Turn,
    rows::{Linear, exp, rows_min, with_slice},
};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// Queries computed together, and keys mixed together; the kernel sums up to 512 products in one run.
const BLOCK: usize = 256;
/// Fewer keys than this would take another kernel.
const KEYS_MULTIPLE: usize = 8;

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

/// Keys and values of one row, (S, K·D) each, the query tokens' own at the end.
struct Seen<'a> {
    keys: &'a [f32],
    values: &'a [f32],
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
        observe: &mut Observe<'_>,
    ) -> candle_core::Result<Tensor> {
        observe(Site::Attention, normed)?;
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
        })????;
        let mixed = Tensor::from_vec(mixed, (normed.dim(0)?, width), &Device::Cpu)?;
        observe(Site::AttentionOutput, &mixed)?;
        self.output.apply(&mixed)
    }

    fn mix(
        &self,
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        layer: usize,
        rows: &mut [Row],
        spans: &[Range<usize>],
    ) -> candle_core::Result<Vec<f32>> {
        let kv = self.kv_width();
        let first: Vec<usize> = rows.iter().map(Row::n_before).collect();
        for (row, span) in rows.iter_mut().zip(spans) {
            if let Some(cache) = &mut row.cache {
                let own = span.start * kv..span.end * kv;
                cache.grow(layer, kv, &keys[own.clone()], &values[own]);
            }
        }
        let mut seen: Vec<Seen> = Vec::with_capacity(rows.len());
        for ((row, span), &first) in rows.iter().zip(spans).zip(&first) {
            let own = span.start * kv..span.end * kv;
            let (keys, values) = match &row.cache {
                Some(cache) => cache.layer(layer),
                None => (&keys[own.clone()], &values[own]),
            };
            seen.push(Seen { keys, values, span: span.clone(), first });
        }
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
            .collect::<candle_core::Result<_>>()?;
        let mut all = vec![0.0; queries.len()];
        let (width, d, share) = (self.heads * self.head_width, self.head_width, self.heads / self.kv_heads);
        for ((_, group, tokens), piece) in pieces.iter().zip(mixed) {
            // (share, tokens, D) back to (tokens, heads, D).
            for (at, numbers) in piece.chunks_exact(d).take(share * tokens.len()).enumerate() {
                let (head, token) = (group * share + at / tokens.len(), tokens.start + at % tokens.len());
                all[token * width + head * d..][..d].copy_from_slice(numbers);
            }
        }
        Ok(all)
    }

    /// The mixes of the queries of one key-value head: (share · tokens, D), rows of zeros behind them.
    fn mix_group(
        &self,
        queries: &[f32],
        row: &Seen,
        group: usize,
        tokens: Range<usize>,
    ) -> candle_core::Result<Vec<f32>> {
        let (d, kv, share) = (self.head_width, self.kv_width(), self.heads / self.kv_heads);
        let first = row.first + tokens.start - row.span.start;
        let end = first + tokens.len();
        // The first block that the first query sees.
        let start = self.sees(first).start / BLOCK * BLOCK;
        let n_keys = (end - start).next_multiple_of(KEYS_MULTIPLE);
        let n_rows = (share * tokens.len()).max(rows_min(n_keys));
        let mut query = vec![0.0; n_rows * d];
        let places = (0..share).flat_map(|head| tokens.clone().map(move |token| (head, token)));
        for (out, (head, token)) in query.chunks_exact_mut(d).zip(places) {
            let from = token * self.heads * d + (group * share + head) * d;
            out.iter_mut().zip(&queries[from..from + d]).for_each(|(out, x)| *out = x * self.scale);
        }
        let gather = |all: &[f32]| {
            let mut part = vec![0.0; n_keys * d];
            for (out, position) in part.chunks_exact_mut(d).zip(start..end) {
                out.copy_from_slice(&all[position * kv + group * d..][..d]);
            }
            Tensor::from_vec(part, (n_keys, d), &Device::Cpu)
        };
        let (keys, values) = (gather(row.keys)?, gather(row.values)?);
        let scores = Tensor::from_vec(query, (n_rows, d), &Device::Cpu)?.matmul(&keys.t()?)?;
        let mut mixed: Option<Tensor> = None;
        for (block, shares) in self.shares(&scores, start, first, tokens.len())?.into_iter().enumerate() {
            let n = shares.len() / n_rows;
            let shares = Tensor::from_vec(shares, (n_rows, n), &Device::Cpu)?;
            let part = shares.matmul(&values.narrow(0, block * BLOCK, n)?)?;
            mixed = Some(match mixed {
                None => part,
                Some(sum) => (sum + part)?,
            });
        }
        mixed.map_or_else(|| Ok(Vec::new()), |mixed| mixed.flatten_all()?.to_vec1())
    }

    /// Positions that the query at this one sees.
    fn sees(&self, position: usize) -> Range<usize> {
        let start = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        start..position + 1
    }

    /// Soft-max over what each query sees, cut into blocks of keys: (rows, up to BLOCK) each, zero where nothing is seen.
    fn shares(
        &self,
        scores: &Tensor,
        start: usize,
        first: usize,
        n_tokens: usize,
    ) -> candle_core::Result<Vec<Vec<f32>>> {
        let (n_rows, n_keys) = scores.dims2()?;
        let n_queries = self.heads / self.kv_heads * n_tokens;
        let widths: Vec<usize> = (0..n_keys).step_by(BLOCK).map(|from| BLOCK.min(n_keys - from)).collect();
        let mut blocks: Vec<Vec<f32>> = widths.iter().map(|width| vec![0.0; n_rows * width]).collect();
        with_slice(scores, |scores| {
            let mut powers = vec![0.0_f32; n_keys];
            for at in 0..n_queries {
                let seen = self.sees(first + at % n_tokens);
                let seen = seen.start - start..seen.end - start;
                let row = &mut powers[..seen.end];
                row.copy_from_slice(&scores[at * n_keys..][..seen.end]);
                row[..seen.start].fill(0.0);
                softmax(&mut row[seen.clone()], self.cap);
                for (block, (out, width)) in blocks.iter_mut().zip(&widths).enumerate() {
                    let from = block * BLOCK;
                    let to = seen.end.min(from + width);
                    if from < to {
                        out[at * width..][..to - from].copy_from_slice(&powers[from..to]);
                    }
                }
            }
        })?;
        Ok(blocks)
    }
}

/// In place, over scores of which none is masked.
fn softmax(scores: &mut [f32], cap: Option<f32>) {
    if let Some(cap) = cap {
        scores.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
    }
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = exp(*score - largest));
    // One after another, in f64: nothing is added by what a query does not see.
    let sum: f64 = scores.iter().map(|power| f64::from(*power)).sum();
    let scale = (1.0 / sum) as f32;
    scores.iter_mut().for_each(|power| *power *= scale);
}
