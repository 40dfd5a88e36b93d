//! Causal self-attention with grouped heads, over packed rows.
//!
//! The positions are gone through in blocks, with the powers so far brought to each block's largest score (Milakov and
//! Gimelshein 2018; Dao et al. 2022), so that what is at hand does not grow with the row. Blocks begin at multiples of `SPAN`
//! of a row's own positions, and a query's scores and mix are sums in the order of its channels and of the positions it sees,
//! whatever else is computed: positions it does not see have a power of zero, which changes no sum.

use super::{
    Norm, Observe, Part, Row, Site,
    cache::KeysValues,
    kernel::{Factors, Out, Rows, SPAN, TILE, WIDTH, multiply_into, multiply_panels},
    lanes::{Groups, Last},
    packed::Packed,
    read,
    rotary::Turn,
    rows::{Linear, exp_fused, largest, with_slice},
    vectors::{for_vectors, vectors},
};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::{mem::MaybeUninit, ops::Range};

/// Tokens whose queries are one task.
const BLOCK: usize = 64;
/// Sums of a query's powers, one for each lane of a vector.
const LANES: usize = 16;

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

/// Queries of a row, and where what they see goes.
type Piece<'a> = (&'a Seen<'a>, Range<usize>, &'a mut [MaybeUninit<f32>]);

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
        normed: &Packed,
        turn: Option<&Turn>,
        layer: usize,
        rows: &mut [Row],
        spans: &[Range<usize>],
        observe: Option<&mut Observe<'_>>,
    ) -> candle_core::Result<Part<'_>> {
        let [query, key, value] = Linear::apply_each_packed([&self.query, &self.key, &self.value], normed)?;
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
        let mixed = Tensor::from_vec(mixed, (normed.n(), width), &Device::Cpu)?;
        Ok(Part::Product(&self.output, read(None, &mixed, Site::AttentionOutput, observe)?))
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
        let blocks = seen
            .iter()
            .flat_map(|row| row.span.clone().step_by(BLOCK).map(move |start| (row, start)))
            .map(|(row, start)| (row, start..row.span.end.min(start + BLOCK)));
        let (d, share) = (self.head_width, self.heads / self.kv_heads);
        let width = self.heads * d;
        let mut all = Vec::with_capacity(queries.len());
        let mut rest = &mut all.spare_capacity_mut()[..queries.len()];
        let mut pieces: Vec<Piece> = Vec::new();
        for (row, tokens) in blocks {
            let (own, behind) = std::mem::take(&mut rest).split_at_mut(tokens.len() * width);
            rest = behind;
            pieces.push((row, tokens, own));
        }
        pieces.into_par_iter().for_each(|(row, tokens, own)| {
            let groups = (0..self.kv_heads).into_par_iter();
            let groups: Vec<Vec<Tile>> =
                groups.map(|group| self.mix_group(queries, row, group, tokens.clone())).collect();
            for (group, tiles) in groups.iter().enumerate() {
                for (at, (sum, mixed)) in tiles.iter().flat_map(|tile| tile.mixes(d)).enumerate() {
                    let head = at / share * self.heads + group * share + at % share;
                    let scale = (1.0 / sum.powers.iter().sum::<f64>()) as f32;
                    own[head * d..][..d].iter_mut().zip(mixed).for_each(|(own, x)| _ = own.write(x * scale));
                }
            }
        });
        // SAFETY: the pieces were all, and in each the heads of every group were written for every token.
        #[expect(unsafe_code, reason = "zeros would be written over")]
        unsafe {
            all.set_len(queries.len());
        }
        all
    }

    /// What the queries of one key-value head mix: tiles of (tokens, share).
    fn mix_group(&self, queries: &[f32], row: &Seen, group: usize, tokens: Range<usize>) -> Vec<Tile> {
        let (d, share) = (self.head_width, self.heads / self.kv_heads);
        let (mut tiles, mut scaled): (Vec<Tile>, _) = (Vec::new(), vec![0.0; TILE * d]);
        for start in (0..tokens.len() * share).step_by(TILE) {
            let n = TILE.min(tokens.len() * share - start);
            for (at, scaled) in scaled.chunks_exact_mut(d).enumerate().take(n) {
                let (token, head) = (tokens.start + (start + at) / share, group * share + (start + at) % share);
                let numbers = &queries[(token * self.heads + head) * d..][..d];
                scaled.iter_mut().zip(numbers).for_each(|(out, x)| *out = x * self.scale);
            }
            let mut query = vec![0.0; n * d];
            let lanes: Groups<TILE> = Groups { n_lanes: n, depth: d, last: Last::Narrow };
            lanes.interleave(&scaled, d, &mut query);
            let position = |at: usize| row.first + tokens.start - row.span.start + (start + at) / share;
            let sees = (0..n).map(|at| self.sees(position(at))).collect();
            let sums = [Sum { largest: f32::NEG_INFINITY, powers: [0.0; LANES] }; TILE];
            tiles.push(Tile { query, sees, sums, mixed: vec![0.0; n * d] });
        }
        let mut powers = [0.0; TILE * SPAN];
        let (Some(first), Some(last)) = (tiles.first(), tiles.last()) else { return Vec::new() };
        for block in first.seen().start / SPAN..last.seen().end.div_ceil(SPAN) {
            for tile in &mut tiles {
                let seen = overlap(&tile.seen(), &(block * SPAN..(block + 1) * SPAN));
                if !seen.is_empty() {
                    self.score(tile, row, group, &seen, &mut powers);
                    tile.weigh(&seen, &mut powers, self.cap);
                    self.mix_block(tile, row, group, &seen, &powers);
                }
            }
        }
        tiles
    }

    /// Scores of a tile of queries against the positions of a block. Shapes: `scores` (n, `SPAN`), of which the first are meant.
    fn score(&self, tile: &Tile, row: &Seen, group: usize, seen: &Range<usize>, scores: &mut [f32]) {
        let (d, kv, n, found) = (self.head_width, self.kv_width(), tile.sees.len(), vectors());
        for (before, stretch) in &row.stretches {
            let own = overlap(seen, &(*before..before + stretch.n));
            if own.is_empty() {
                continue;
            }
            let factors = |panel: usize| {
                let panel = &stretch.keys[(panel * kv + group * d) * WIDTH..];
                Factors { n_rows: n, depth: d, rows: Rows::Tile(&tile.query), panel, stride: WIDTH }
            };
            let (start, end) = (own.start - before, own.end - before);
            let whole = start.div_ceil(WIDTH)..end / WIDTH;
            if !whole.is_empty() {
                let numbers = &mut scores[before + whole.start * WIDTH - seen.start..];
                let panels = (whole.len(), kv * WIDTH);
                multiply_panels(found, factors(whole.start), panels, Out { numbers, stride: SPAN, adds: false });
            }
            for panel in (start / WIDTH..end.div_ceil(WIDTH)).filter(|panel| !whole.contains(panel)) {
                let at = before + panel * WIDTH;
                let part = overlap(&own, &(at..at + WIDTH));
                let place = part.start - seen.start;
                let mut sums = [[0.0; WIDTH]; TILE];
                let out = Out { numbers: sums.as_flattened_mut(), stride: WIDTH, adds: false };
                multiply_into(found, factors(panel), out);
                for (scores, sums) in scores.chunks_exact_mut(SPAN).zip(&sums[..n]) {
                    scores[place..place + part.len()].copy_from_slice(&sums[part.start - at..part.end - at]);
                }
            }
        }
    }

    /// Adds the values of a block's positions, times the powers of a tile of queries, to the tile's mix.
    fn mix_block(&self, tile: &mut Tile, row: &Seen, group: usize, seen: &Range<usize>, powers: &[f32]) {
        let (d, kv, n, found) = (self.head_width, self.kv_width(), tile.sees.len(), vectors());
        for (before, stretch) in &row.stretches {
            let own = overlap(seen, &(*before..before + stretch.n));
            if own.is_empty() {
                continue;
            }
            let rows = Rows::Spans(&powers[own.start - seen.start..]);
            for column in (0..d).step_by(WIDTH) {
                let panel = &stretch.values[(own.start - before) * kv + group * d + column..];
                let factors = Factors { n_rows: n, depth: own.len(), rows, panel, stride: kv };
                let width = WIDTH.min(d - column);
                if width == WIDTH {
                    let numbers = &mut tile.mixed[column..];
                    multiply_into(found, factors, Out { numbers, stride: d, adds: true });
                    continue;
                }
                let mut sums = [[0.0; WIDTH]; TILE];
                for (sums, mixed) in sums.iter_mut().zip(tile.mixed.chunks_exact(d)) {
                    sums[..width].copy_from_slice(&mixed[column..]);
                }
                multiply_into(found, factors, Out { numbers: sums.as_flattened_mut(), stride: WIDTH, adds: true });
                for (sums, mixed) in sums.iter().zip(tile.mixed.chunks_exact_mut(d)) {
                    mixed[column..].copy_from_slice(&sums[..width]);
                }
            }
        }
    }

    /// Positions that the query at this one sees.
    fn sees(&self, position: usize) -> Range<usize> {
        let start = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        start..position + 1
    }
}

/// Queries of one key-value head, as many as the kernel takes, and what was seen so far.
struct Tile {
    /// (D, n)
    query: Vec<f32>,
    /// n ranges of positions, none of which begins or ends before the one before.
    sees: Vec<Range<usize>>,
    sums: [Sum; TILE],
    /// (n, D), in units of e^largest.
    mixed: Vec<f32>,
}

#[derive(Clone, Copy)]
struct Sum {
    /// Of the scores.
    largest: f32,
    /// In units of e^largest.
    powers: [f64; LANES],
}

impl Tile {
    /// What any of these queries sees.
    fn seen(&self) -> Range<usize> {
        self.sees.first().map_or(0, |sees| sees.start)..self.sees.last().map_or(0, |sees| sees.end)
    }

    /// Makes powers of a block's scores, of those that are not seen zero, and brings what there was to the same units.
    fn weigh(&mut self, seen: &Range<usize>, scores: &mut [f32], cap: Option<f32>) {
        let mut owns: [Range<usize>; TILE] = Default::default();
        for ((own, sees), scores) in owns.iter_mut().zip(&self.sees).zip(scores.chunks_exact_mut(SPAN)) {
            let (scores, of_block) = (&mut scores[..seen.len()], overlap(sees, seen));
            if !of_block.is_empty() {
                *own = of_block.start - seen.start..of_block.end - seen.start;
            }
            scores[..own.start].fill(0.0);
            scores[own.end..].fill(0.0);
        }
        powers(scores, &owns[..self.sees.len()], cap, &mut self.sums, &mut self.mixed);
    }

    /// Sums of each query's powers, and what it mixed in their units.
    fn mixes(&self, d: usize) -> impl Iterator<Item = (&Sum, &[f32])> {
        self.sums.iter().zip(self.mixed.chunks_exact(d))
    }
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> Range<usize> {
    one.start.max(other.start)..one.end.min(other.end)
}

for_vectors! {
    /// Powers of a tile's scores in place, over those that each query sees, of which none is masked; added to the sums, and what was
    /// mixed in the units of the sum. The largest of all queries come first, since none of them waits for another.
    fn powers(scores: &mut [f32], owns: &[Range<usize>], cap: Option<f32>, sums: &mut [Sum; TILE], mixed: &mut [f32])
        = powers_of
}

#[inline(always)]
fn powers_of(scores: &mut [f32], owns: &[Range<usize>], cap: Option<f32>, sums: &mut [Sum; TILE], mixed: &mut [f32]) {
    let d = mixed.len() / owns.len();
    let mut of_queries = [f32::NEG_INFINITY; TILE];
    for (at, (scores, own)) in scores.chunks_exact_mut(SPAN).zip(owns).enumerate() {
        let scores = &mut scores[own.clone()];
        if let Some(cap) = cap {
            scores.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
        }
        // A NaN is passed over and stays in the sum.
        of_queries[at] = largest(scores).max(sums[at].largest);
    }
    let queries = scores.chunks_exact_mut(SPAN).zip(owns).zip(mixed.chunks_exact_mut(d)).zip(sums);
    for ((((scores, own), mixed), sum), largest) in queries.zip(of_queries) {
        if largest > sum.largest {
            let scale = exp_fused(sum.largest - largest);
            mixed.iter_mut().for_each(|x| *x *= scale);
            *sum = Sum { largest, powers: sum.powers.map(|powers| powers * f64::from(scale)) };
        }
        let power = |score: &mut f32| {
            *score = exp_fused(*score - largest);
            *score
        };
        let (blocks, rest) = scores[own.clone()].as_chunks_mut::<LANES>();
        let mut lanes = [0.0_f32; LANES];
        for block in blocks {
            lanes.iter_mut().zip(block).for_each(|(lane, score)| *lane += power(score));
        }
        lanes.iter_mut().zip(rest).for_each(|(lane, score)| *lane += power(score));
        sum.powers.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum += f64::from(lane));
    }
}
