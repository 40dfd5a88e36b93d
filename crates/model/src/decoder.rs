//! Any open-weight decoder, for inference: one forward pass over packed rows, with a cache that prefixes share.
//!
//! Legend: N tokens of all rows of a call, C channels, H query heads, K key-value heads, D channels a head, S positions
//! seen, F hidden channels, V vocabulary.
//!
//! Rows of any length stand one behind another, without padding. The arithmetic of a row is arranged so that its figures
//! are the same bits alone, in any company, and behind a cached prefix: see `panels` and `attention`.

mod attention;
mod cache;
mod experts;
mod generate;
pub(crate) mod kernel;
pub(crate) mod lanes;
mod norm;
mod packed;
mod panels;
mod rotary;
mod rows;
mod sample;
mod score;
mod states;
pub(crate) mod vectors;
mod walk;

pub(crate) use attention::{Attention, HeadNorm};
pub use cache::Cache;
pub(crate) use experts::Experts;
pub(crate) use kernel::{BLOCK, exercise};
pub(crate) use norm::Norm;
pub(crate) use panels::{Format, NotFinite, Panels};
pub(crate) use rotary::{Rotary, Scaling};
pub(crate) use rows::{Linear, exp, lanes, largest, with_slice};
pub use sample::{Ahead, Drawn, Sampled, Sampling, Start};
pub use score::{Scored, Target};
pub use walk::{Observe, Site, site};

use candle_core::{Device, Tensor};
use packed::Packed;
use rayon::prelude::*;
use std::{fmt, ops::Range};

/// Embedded tokens below which a second thread costs more than it gives.
const PICKED_MIN: usize = 16;

/// Tokens of a group of rows, at least: each thread then reads all weights for itself.
const GROUP_MIN: usize = 256;

/// Tokens to compute, and what stands before them.
#[derive(Debug)]
pub struct Row<'a> {
    /// At least one.
    pub tokens: &'a [u32],
    /// What stands before `tokens`; it grows by them. Without one the row stands alone.
    pub cache: Option<&'a mut Cache>,
    /// What `Decoder::log_probs` is asked.
    pub targets: &'a [Target],
}

impl<'a> Row<'a> {
    /// A row that stands alone.
    #[must_use]
    pub const fn alone(tokens: &'a [u32]) -> Self {
        Self { tokens, cache: None, targets: &[] }
    }

    fn n_before(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.len())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DecoderError {
    #[error("expected row {row} to hold tokens, found none")]
    Empty { row: usize },
    #[error("expected at most {context} positions, found {found} in row {row}")]
    Positions { context: usize, found: usize, row: usize },
    #[error("expected tokens below {vocab}, found {found} in row {row} at position {position}")]
    Token { vocab: usize, found: u32, row: usize, position: usize },
    #[error("expected a cache of this model, of {expected} layers, found one of {found} in row {row}")]
    Cache { expected: usize, found: usize, row: usize },
    #[error(
        "row {row} grows past the length at which the model turns its positions otherwise; compute it again without a cache"
    )]
    Turned { row: usize },
    #[error(
        "expected a finite logit, found {found} in row {row} at position {position}; the weights or the input overflow"
    )]
    NotFinite { found: f32, row: usize, position: usize },
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl DecoderError {
    /// The same of a row that stands behind `first` others.
    fn behind(mut self, first: usize) -> Self {
        if let Self::Empty { row }
        | Self::Positions { row, .. }
        | Self::Token { row, .. }
        | Self::Cache { row, .. }
        | Self::Turned { row }
        | Self::NotFinite { row, .. } = &mut self
        {
            *row += first;
        }
        self
    }
}

/// What one decoder layer computes.
pub(crate) struct Layer {
    pub(crate) attention: Attention,
    /// Before attention, and on what it gives, before that is added to the stream.
    pub(crate) attention_norms: (Option<Norm>, Option<Norm>),
    pub(crate) mlp: Mlp,
    pub(crate) mlp_norms: (Option<Norm>, Option<Norm>),
    /// Attention and feed-forward part read the same stream and are added together (GPT-NeoX).
    pub(crate) is_parallel: bool,
}

/// The feed-forward part.
pub(crate) enum Mlp {
    /// down(act(gate(x)) · up(x)). Source: Shazeer 2020.
    Gated {
        gate: Linear,
        up: Linear,
        down: Linear,
        act: Act,
    },
    /// down(act(up(x))).
    Plain {
        up: Linear,
        down: Linear,
        act: Act,
    },
    Experts(Experts),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Silu,
    /// With tanh. Source: Hendrycks and Gimpel 2016.
    GeluTanh,
    GeluErf,
    Relu,
}

/// A decoder with its weights, in f32 on the processor.
pub struct Decoder {
    /// (V, C)
    pub(crate) embedding: Panels,
    /// What an embedded token is multiplied by (Gemma).
    pub(crate) embedding_scale: Option<f32>,
    /// Learned positions (context, C).
    pub(crate) positions: Option<Tensor>,
    /// Tables that the layers name by their number.
    pub(crate) rotaries: Vec<Rotary>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Norm,
    /// (V, C); the embedding itself where they are tied.
    pub(crate) head: Linear,
    pub(crate) is_tied: bool,
    /// c·tanh(logit / c). Source: Gemma Team 2024 (Gemma 2), section 2.
    pub(crate) logit_cap: Option<f32>,
    pub(crate) context: usize,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = (self.layers.len(), (self.embedding.outputs(), self.embedding.depth()), self.context);
        f.debug_struct("Decoder").field("(layers, embedding, context)", &shape).finish_non_exhaustive()
    }
}

impl Decoder {
    /// V: number of logits a position has.
    #[must_use]
    pub fn vocab(&self) -> usize {
        self.head.outputs()
    }

    /// Most positions of a row, what its cache holds included.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.context
    }

    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// An empty cache of this model.
    #[must_use]
    pub fn cache(&self) -> Cache {
        Cache::new(self.layers.len())
    }

    /// Unnormalised log-probabilities of the next token at every position of every row, one row behind another.
    ///
    /// Shapes: rows of N tokens together → (N, V) f32; unit: nat. Deterministic: the same bits in any batch, behind any
    /// split into prefix and rest, for any number of threads.
    ///
    /// # Errors
    /// `DecoderError` naming the row; caches are then as they were.
    pub fn logits(&self, rows: &mut [Row]) -> Result<Tensor, DecoderError> {
        let stream = self.forward(rows)?;
        Ok(self.project(&stream)?)
    }

    /// Fills the caches of the rows and computes no logits: for a prefix that others share.
    ///
    /// # Errors
    /// Those of `logits`.
    pub fn prefill(&self, rows: &mut [Row]) -> Result<(), DecoderError> {
        self.forward(rows).map(|_| ())
    }

    /// The log-probabilities of the targets of each row, in their order.
    ///
    /// Unit: nats. The head is computed only at positions that have a target, a few at a time; the log-softmax is taken in
    /// f64, from the lowest token to the highest. Deterministic like `logits`.
    ///
    /// # Errors
    /// Those of `logits`; `NotFinite`.
    pub fn log_probs(&self, rows: &mut [Row]) -> Result<Vec<Vec<Scored>>, DecoderError> {
        self.check(rows)?;
        score::check(self.vocab(), rows)?;
        let before: Vec<usize> = rows.iter().map(Row::n_before).collect();
        let answered = self.log_probs_of_groups(rows);
        if answered.is_err() {
            forget(rows, &before);
        }
        answered
    }

    /// A group of rows for each thread: the threads meet at the end alone, not behind every product.
    fn log_probs_of_groups(&self, rows: &mut [Row]) -> Result<Vec<Vec<Scored>>, DecoderError> {
        let n: usize = rows.iter().map(|row| row.tokens.len()).sum();
        let n_groups = rayon::current_num_threads().min(n / GROUP_MIN).max(1);
        let (mut rest, mut first, mut groups) = (rows, 0, Vec::with_capacity(n_groups));
        while !rest.is_empty() {
            let mut n_tokens = 0;
            let until_full = rest.iter().take_while(|row| {
                let is_open = n_tokens == 0 || n_tokens + row.tokens.len() / 2 <= n / n_groups;
                n_tokens += row.tokens.len();
                is_open
            });
            let (group, others) = rest.split_at_mut(until_full.count());
            let n_rows = group.len();
            groups.push((first, group));
            (rest, first) = (others, first + n_rows);
        }
        let answered: Vec<Result<Vec<Vec<Scored>>, DecoderError>> = groups
            .into_par_iter()
            .map(|(first, group)| {
                let stream = self.forward(group);
                let scored = stream.and_then(|stream| score::log_probs(self, &stream, group));
                scored.map_err(|error| error.behind(first))
            })
            .collect();
        // The error of the first row that has one, whatever thread ended first.
        let answered: Vec<Vec<Vec<Scored>>> = answered.into_iter().collect::<Result<_, _>>()?;
        Ok(answered.into_iter().flatten().collect())
    }

    /// (n, C) → (n, V).
    fn project(&self, stream: &Tensor) -> candle_core::Result<Tensor> {
        let logits = self.head.apply(stream)?;
        if self.logit_cap.is_some() {
            rows::each_piece(&logits, |logits| self.cap(logits))?;
        }
        Ok(logits)
    }

    /// c·tanh(logit / c), in place, where the model has a c.
    fn cap(&self, logits: &mut [f32]) {
        if let Some(cap) = self.logit_cap {
            logits.iter_mut().for_each(|logit| *logit = cap * (*logit / cap).tanh());
        }
    }

    /// The normed stream behind the last layer: (N, C).
    fn forward(&self, rows: &mut [Row]) -> Result<Tensor, DecoderError> {
        let spans = self.check(rows)?;
        let before: Vec<usize> = rows.iter().map(Row::n_before).collect();
        let stream = self.layers_over(rows, &spans);
        if stream.is_err() {
            forget(rows, &before);
        }
        stream
    }

    fn layers_over(&self, rows: &mut [Row], spans: &[Range<usize>]) -> Result<Tensor, DecoderError> {
        let positions: Vec<usize> =
            rows.iter().flat_map(|row| row.n_before()..row.n_before() + row.tokens.len()).collect();
        let turns = rotary::Turns::of(&self.rotaries, rows, spans, &positions)?;
        rows.iter_mut().filter_map(|row| row.cache.as_deref_mut()).for_each(Cache::begin);
        let stream = self.embed(rows, &positions)?;
        for at in 0..self.layers.len() {
            self.layer_over(at, &stream, &turns, rows, spans, None)?;
        }
        for row in rows {
            if let Some(cache) = &mut row.cache {
                cache.grown_by(row.tokens.len());
            }
        }
        Ok(self.norm.apply(&stream)?)
    }

    /// What a layer adds to the stream, in place.
    fn layer_over(
        &self,
        at: usize,
        stream: &Tensor,
        turns: &rotary::Turns,
        rows: &mut [Row],
        spans: &[Range<usize>],
        mut observe: Option<&mut Observe<'_>>,
    ) -> Result<(), DecoderError> {
        let layer = &self.layers[at];
        let (attention_norms, mlp_norms) = (&layer.attention_norms, &layer.mlp_norms);
        let turn = layer.attention.rotary.map(|table| turns.get(table));
        let read = read(attention_norms.0.as_ref(), stream, Site::Attention, observe.as_deref_mut())?;
        let attended = layer.attention.apply(&read, turn, at, rows, spans, observe.as_deref_mut())?;
        if layer.is_parallel {
            let attended = attended.whole(attention_norms.1.as_ref())?;
            let fed = layer.mlp.apply(mlp_norms.0.as_ref(), stream, observe)?.whole(mlp_norms.1.as_ref())?;
            rows::add(&attended, &fed)?;
            rows::add(stream, &attended)?;
        } else {
            attended.add_to(attention_norms.1.as_ref(), stream)?;
            layer.mlp.apply(mlp_norms.0.as_ref(), stream, observe)?.add_to(mlp_norms.1.as_ref(), stream)?;
        }
        Ok(())
    }

    fn embed(&self, rows: &[Row], positions: &[usize]) -> candle_core::Result<Tensor> {
        let tokens: Vec<u32> = rows.iter().flat_map(|row| row.tokens.iter().copied()).collect();
        let width = self.embedding.depth();
        let stream = rows::filled(tokens.len() * width, PICKED_MIN * width, |at, out| {
            let picked = out.chunks_exact_mut(width).zip(&tokens[at * PICKED_MIN..]);
            picked.for_each(|(out, token)| self.embedding.row(*token as usize, out));
        });
        let stream = Tensor::from_vec(stream, (tokens.len(), width), &Device::Cpu)?;
        if let Some(scale) = self.embedding_scale {
            rows::each(&stream, |value| value * scale)?;
        }
        if let Some(learned) = &self.positions {
            let positions: Vec<u32> = positions.iter().map(|&position| position as u32).collect();
            rows::add(&stream, &rows::pick(learned, &positions)?)?;
        }
        Ok(stream)
    }

    /// Where each row's tokens stand among all, when every row has an answer.
    fn check(&self, rows: &[Row]) -> Result<Vec<Range<usize>>, DecoderError> {
        let vocab = self.embedding.outputs();
        let mut spans = Vec::with_capacity(rows.len());
        let mut n = 0;
        for (at, row) in rows.iter().enumerate() {
            if row.tokens.is_empty() {
                return Err(DecoderError::Empty { row: at });
            }
            let found = row.n_before() + row.tokens.len();
            if found > self.context {
                return Err(DecoderError::Positions { context: self.context, found, row: at });
            }
            if let Some(position) = row.tokens.iter().position(|&token| token as usize >= vocab) {
                return Err(DecoderError::Token { vocab, found: row.tokens[position], row: at, position });
            }
            if let Some(cache) = row.cache.as_ref().filter(|cache| cache.layers() != self.layers.len()) {
                return Err(DecoderError::Cache { expected: self.layers.len(), found: cache.layers(), row: at });
            }
            spans.push(n..n + row.tokens.len());
            n += row.tokens.len();
        }
        Ok(spans)
    }
}

/// Brings the caches back to what they held.
fn forget(rows: &mut [Row], before: &[usize]) {
    for (row, n) in rows.iter_mut().zip(before) {
        if let Some(cache) = &mut row.cache {
            cache.truncate(*n);
        }
    }
}

/// Without a norm, the stream itself: nothing that reads it writes into it.
fn apply(norm: Option<&Norm>, stream: &Tensor) -> candle_core::Result<Tensor> {
    norm.map_or_else(|| Ok(stream.clone()), |norm| norm.apply(stream))
}

/// What the matrices of a site read, packed; shown to who observes.
fn read(
    norm: Option<&Norm>,
    stream: &Tensor,
    site: Site,
    observe: Option<&mut Observe<'_>>,
) -> candle_core::Result<Packed> {
    let width = stream.dim(1)?;
    if let Some(observe) = observe {
        let normed = apply(norm, stream)?;
        observe(site, &normed)?;
        return with_slice(&normed, |numbers| Packed::of(numbers, width));
    }
    with_slice(stream, |numbers| match norm {
        Some(norm) => Packed::normed(norm, numbers),
        None => Packed::of(numbers, width),
    })
}

/// What a part of a layer adds to the stream.
enum Part<'a> {
    /// A product that is still to be made.
    Product(&'a Linear, Packed),
    Whole(Tensor),
}

impl Part<'_> {
    fn whole(self, norm: Option<&Norm>) -> candle_core::Result<Tensor> {
        let whole = match self {
            Self::Product(linear, read) => linear.apply_packed(&read)?,
            Self::Whole(whole) => whole,
        };
        apply(norm, &whole)
    }

    /// The same bits as `whole` and a sum.
    fn add_to(self, norm: Option<&Norm>, stream: &Tensor) -> candle_core::Result<()> {
        match (self, norm) {
            (Self::Product(linear, read), None) => linear.add_packed(&read, stream),
            (part, norm) => rows::add(stream, &part.whole(norm)?),
        }
    }
}

impl Mlp {
    fn apply(
        &self,
        norm: Option<&Norm>,
        stream: &Tensor,
        mut observe: Option<&mut Observe<'_>>,
    ) -> candle_core::Result<Part<'_>> {
        let mut input = || read(norm, stream, Site::Mlp, observe.as_deref_mut());
        let (inner, down) = match self {
            Self::Gated { gate, up, down, act } => {
                let input = input()?;
                if observe.is_none() {
                    return Ok(Part::Product(down, Linear::gated(gate, up, *act, &input)?));
                }
                let [gate, up] = Linear::apply_each_packed([gate, up], &input)?;
                act.gate(&gate, &up)?;
                (gate, down)
            }
            Self::Plain { up, down, act } => {
                let inner = up.apply_packed(&input()?)?;
                act.apply(&inner)?;
                (inner, down)
            }
            Self::Experts(experts) => {
                let normed = apply(norm, stream)?;
                if let Some(observe) = observe {
                    observe(Site::Mlp, &normed)?;
                }
                return Ok(Part::Whole(experts.apply(&normed)?));
            }
        };
        Ok(Part::Product(down, read(None, &inner, Site::MlpOutput, observe)?))
    }
}

impl Act {
    /// In place.
    fn apply(self, inner: &Tensor) -> candle_core::Result<()> {
        rows::each_piece(inner, |numbers| self.apply_to(numbers))
    }

    fn apply_to(self, numbers: &mut [f32]) {
        match self {
            Self::Silu => silu(numbers),
            Self::GeluTanh => gelu_tanh(numbers),
            Self::GeluErf => numbers.iter_mut().for_each(|x| {
                let half = 1.0 + candle_core::cpu::erf::erf_f64(f64::from(*x) * std::f64::consts::FRAC_1_SQRT_2);
                *x = (0.5 * f64::from(*x) * half) as f32;
            }),
            Self::Relu => numbers.iter_mut().for_each(|x| *x = x.max(0.0)),
        }
    }

    /// `inner`, activated, times `other`, in place.
    fn gate(self, inner: &Tensor, other: &Tensor) -> candle_core::Result<()> {
        rows::each_pair(inner, other, |inner, other| self.gate_numbers(inner, other))
    }

    fn gate_numbers(self, inner: &mut [f32], other: &[f32]) {
        if matches!(self, Self::Silu) {
            return silu_times(inner, other);
        }
        self.apply_to(inner);
        inner.iter_mut().zip(other).for_each(|(x, y)| *x *= y);
    }
}

vectors::for_vectors! {
    fn silu(numbers: &mut [f32]) = silu_of
}

vectors::for_vectors! {
    fn silu_times(numbers: &mut [f32], others: &[f32]) = silu_times_of
}

vectors::for_vectors! {
    fn gelu_tanh(numbers: &mut [f32]) = gelu_tanh_of
}

#[inline(always)]
fn silu_of(numbers: &mut [f32]) {
    numbers.iter_mut().for_each(|x| *x /= 1.0 + rows::exp(-*x));
}

#[inline(always)]
fn silu_times_of(numbers: &mut [f32], others: &[f32]) {
    numbers.iter_mut().zip(others).for_each(|(x, y)| *x = *x / (1.0 + rows::exp(-*x)) * y);
}

#[inline(always)]
fn gelu_tanh_of(numbers: &mut [f32]) {
    // 1 + tanh(y) = 2 / (1 + exp(−2y)).
    let y = |x: f32| 0.797_884_6 * (x + 0.044_715 * x * x * x);
    numbers.iter_mut().for_each(|x| *x /= 1.0 + rows::exp(-2.0 * y(*x)));
}
