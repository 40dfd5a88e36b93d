//! One pass forward and back through the decoder that is trained, in fused steps: the plain twin is `Llama::logits` with the
//! tensor engine's own differentiation.
//!
//! Legend: B windows, T positions, N = B · T rows, C channels, H heads, K key-value heads, D channels a head, F hidden channels,
//! V vocabulary.
//!
//! Kept of a layer for the way back: its input, queries, keys, values, the mixed values, the stream between its halves, gate and
//! up; or, with checkpoints, its input alone, and the rest is computed again. Never kept: scores, normed rows, products of the
//! gate, logits. Gradients are added where they belong as soon as they are known. Every sum has one order whatever the number of
//! threads, so the bits do not depend on it.

mod attention;
mod dropout;
mod gate;
mod head;
mod linear;
mod norm;
mod precision;
mod product;
mod rotary;

pub use dropout::Dropout;
pub use precision::Precision;

use crate::{Llama, LlamaError};
use attention::Inputs;
use linear::{Linear, add, with_slice};
use precision::Rows;
use product::Threads;
use rotary::Turn;
use std::collections::BTreeMap;

/// What is read and what must be said, B windows of T positions one behind another.
#[derive(Debug, Clone, Copy)]
pub struct Windows<'a> {
    /// T
    pub positions: usize,
    /// (N,) each.
    pub tokens: &'a [u32],
    pub targets: &'a [u32],
    /// How much each row's loss counts; 0 for what is only read.
    pub weights: &'a [f32],
    /// For several documents packed in a window: the first position of its window that a row may look at.
    pub starts: Option<&'a [u32]>,
}

/// How a pass is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct PassOptions {
    /// Keep only the input of each layer and compute it again on the way back: less memory, a third more work.
    pub checkpoints: bool,
    /// ε of label smoothing, 0 to below 1. Source: Szegedy et al. 2016, section 7.
    pub smoothing: f64,
    pub dropout: Option<Dropout>,
    pub precision: Precision,
}

/// Gradients by the names of the parameters, each with as many entries; a parameter that is not there is held.
pub type Gradients = BTreeMap<String, Vec<f32>>;

/// What the way back needs of one layer.
struct Kept {
    scales: Vec<f32>,
    q: Rows,
    k: Rows,
    v: Rows,
    mixed: Rows,
    log_sums: Vec<f32>,
    /// The stream between attention and feed-forward part.
    between: Rows,
    between_scales: Vec<f32>,
    gate: Rows,
    up: Rows,
}

impl Llama {
    /// Adds the gradient of J = Σ wᵢ · lossᵢ to `gradients` and gives J in nats.
    ///
    /// Deterministic: the same bits for any number of threads.
    ///
    /// # Errors
    /// `Tokens`, `Positions`, `Token` for windows the model has no answer to; `Shape` when a gradient is not its parameter's.
    pub fn add_gradient(
        &self,
        windows: &Windows<'_>,
        options: &PassOptions,
        gradients: &mut Gradients,
    ) -> Result<f64, LlamaError> {
        in_pool(|| self.add_gradient_here(windows, options, gradients))
    }

    fn add_gradient_here(
        &self,
        windows: &Windows<'_>,
        options: &PassOptions,
        gradients: &mut Gradients,
    ) -> Result<f64, LlamaError> {
        self.check_windows(windows)?;
        for (name, parameter) in self.parameters() {
            if let Some(found) = gradients.get(name).filter(|found| found.len() != parameter.elem_count()) {
                let (name, expected) = (name.clone(), parameter.dims().to_vec());
                return Err(LlamaError::Shape { name, expected, found: vec![found.len()] });
            }
        }
        let mut stream = self.embedded(windows, options.precision)?;
        let mut inputs = Vec::with_capacity(self.config().layers);
        let mut kept = Vec::new();
        // Nothing is kept for layers that no gradient is asked of.
        let is_head_alone = gradients.keys().all(|name| name == SCORE);
        for layer in 0..self.config().layers {
            let (out, of_layer) = self.layer_forward(layer, &stream, windows, options)?;
            let input = std::mem::replace(&mut stream, out);
            if !is_head_alone {
                inputs.push(options.precision.keep(input));
                kept.push((!options.checkpoints).then_some(of_layer));
            }
        }
        let (loss, mut slopes) = self.head_back(&stream, windows, options, gradients)?;
        if is_head_alone {
            return Ok(loss);
        }
        drop(stream);
        for layer in (0..self.config().layers).rev() {
            let (Some(input), Some(of_layer)) = (inputs.pop().map(Rows::taken), kept.pop()) else { break };
            let of_layer = match of_layer {
                Some(of_layer) => of_layer,
                None => self.layer_forward(layer, &input, windows, options)?.1,
            };
            self.layer_back(layer, &input, of_layer, windows, options, &mut slopes, gradients)?;
        }
        if let Some(table) = gradients.get_mut(EMBEDDING) {
            let width = self.config().width;
            for (token, from) in windows.tokens.iter().zip(slopes.chunks(width)) {
                let to = &mut table[*token as usize * width..(*token as usize + 1) * width];
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
        Ok(loss)
    }

    /// J = Σ wᵢ · lossᵢ in nats, without a gradient and without dropout.
    ///
    /// # Errors
    /// Those of `add_gradient`.
    pub fn loss(&self, windows: &Windows<'_>, smoothing: f64) -> Result<f64, LlamaError> {
        self.check_windows(windows)?;
        let options = PassOptions { smoothing, ..PassOptions::default() };
        let normed = in_pool(|| self.features_as(windows, &options))?;
        let width = self.config().width;
        let targets = targets(windows, &options);
        Ok(with_slice(&self.held(self.table()), |table| head::loss(&normed, table, width, targets, None))?)
    }

    /// The normed stream behind the last layer, (N, C): what a head of another kind reads.
    ///
    /// # Errors
    /// Those of `add_gradient`.
    pub fn features(&self, windows: &Windows<'_>) -> Result<Vec<f32>, LlamaError> {
        self.check_windows(windows)?;
        Ok(in_pool(|| self.features_as(windows, &PassOptions::default()))?)
    }

    fn features_as(&self, windows: &Windows<'_>, options: &PassOptions) -> candle_core::Result<Vec<f32>> {
        let mut stream = self.embedded(windows, options.precision)?;
        for layer in 0..self.config().layers {
            stream = self.layer_forward(layer, &stream, windows, options)?.0;
        }
        Ok(self.normed(FINAL_NORM, &stream, options.precision)?.0)
    }

    /// What the normed stream is multiplied by at the end: the embedding, or a head that tells classes.
    fn table(&self) -> &'static str {
        if self.n_classes().is_some() { SCORE } else { EMBEDDING }
    }

    fn check_windows(&self, windows: &Windows<'_>) -> Result<(), LlamaError> {
        let (n, t) = (windows.tokens.len(), windows.positions);
        let sides = [windows.targets.len(), windows.weights.len(), windows.starts.map_or(n, <[u32]>::len)];
        if n == 0 || t == 0 || n % t != 0 || sides.iter().any(|&side| side != n) {
            let shape = [vec![t, n], sides.to_vec()].concat();
            return Err(LlamaError::Tokens { shape, dtype: "u32".to_owned() });
        }
        if t > self.config().context {
            return Err(LlamaError::Positions { context: self.config().context, found: t });
        }
        let vocab = self.config().vocab;
        for (vocab, ids) in [(vocab, windows.tokens), (self.n_classes().unwrap_or(vocab), windows.targets)] {
            let found = ids.iter().copied().max().unwrap_or(0);
            if found as usize >= vocab {
                return Err(LlamaError::Token { vocab, found });
            }
        }
        let late = |(at, &start): (usize, &u32)| start as usize > at % t;
        match windows.starts.and_then(|starts| starts.iter().enumerate().find(|&place| late(place))) {
            Some((at, &start)) => Err(LlamaError::Positions { context: at % t, found: start as usize }),
            None => Ok(()),
        }
    }

    fn embedded(&self, windows: &Windows<'_>, precision: Precision) -> candle_core::Result<Vec<f32>> {
        let width = self.config().width;
        let mut rows: Vec<f32> = with_slice(&self.held(EMBEDDING), |table| {
            let row = |token: &u32| &table[*token as usize * width..(*token as usize + 1) * width];
            windows.tokens.iter().flat_map(row).copied().collect()
        })?;
        precision.round(&mut rows);
        Ok(rows)
    }

    fn normed(&self, name: &str, stream: &[f32], precision: Precision) -> candle_core::Result<(Vec<f32>, Vec<f32>)> {
        let mut scales = vec![0.0; stream.len() / self.config().width];
        let mut normed = precision
            .with_weight(&self.held(name), |gain| norm::forward(stream, gain, self.config().norm_eps, &mut scales))?;
        precision.round(&mut normed);
        Ok((normed, scales))
    }

    fn normed_again(
        &self,
        name: &str,
        (stream, scales): (&[f32], &[f32]),
        precision: Precision,
    ) -> candle_core::Result<Vec<f32>> {
        let mut normed = precision.with_weight(&self.held(name), |gain| norm::again(stream, gain, scales))?;
        precision.round(&mut normed);
        Ok(normed)
    }

    fn norm_back(
        &self,
        (name, precision): (&str, Precision),
        (stream, scales): (&[f32], &[f32]),
        dy: &[f32],
        dx: &mut [f32],
        gradients: &mut Gradients,
    ) -> candle_core::Result<()> {
        let slopes = gradients.get_mut(name);
        precision.with_weight(&self.held(name), |gain| norm::backward(stream, gain, scales, dy, dx, slopes))
    }

    fn linear(&self, layer: usize, part: &str, precision: Precision) -> Linear {
        Linear::of(self, &format!("model.layers.{layer}.{part}"), precision)
    }

    const fn attention_shape(&self, positions: usize) -> attention::Shape {
        let config = self.config();
        let (heads, kv_heads) = (config.heads, config.kv_heads);
        attention::Shape { positions, heads, kv_heads, head_width: config.head_width() }
    }

    fn turn(&self, rows: &mut [f32], width: usize, positions: usize, way: Turn) -> candle_core::Result<()> {
        let (cosines, sines) = self.rotary();
        let head_width = self.config().head_width();
        let n = positions * head_width / 2;
        with_slice(cosines, |cosines| {
            with_slice(sines, |sines| rotary::turn(rows, width, (&cosines[..n], &sines[..n]), head_width, way))
        })?
    }

    fn layer_forward(
        &self,
        layer: usize,
        input: &[f32],
        windows: &Windows<'_>,
        options: &PassOptions,
    ) -> candle_core::Result<(Vec<f32>, Kept)> {
        let (config, precision) = (self.config(), options.precision);
        let n = windows.tokens.len();
        let (normed, scales) = self.normed(&norm_name(layer, ATTENTION_NORM), input, precision)?;
        let project = |part: &str, rows: &[f32]| self.linear(layer, part, precision).forward(rows);
        let (mut q, mut k) = (project("self_attn.q_proj", &normed)?, project("self_attn.k_proj", &normed)?);
        let mut v = project("self_attn.v_proj", &normed)?;
        self.turn(&mut q, config.width, windows.positions, Turn::Forward)?;
        self.turn(&mut k, config.kv_width(), windows.positions, Turn::Forward)?;
        [&mut q, &mut k, &mut v].into_iter().for_each(|rows| precision.round(rows));
        drop(normed);
        let mut log_sums = vec![0.0; n * config.heads];
        let inputs = Inputs { q: &q, k: &k, v: &v, starts: windows.starts };
        let mut mixed = attention::forward(self.attention_shape(windows.positions), inputs, &mut log_sums);
        precision.round(&mut mixed);
        let mut between = project("self_attn.o_proj", &mixed)?;
        dropout::apply(options.dropout, 2 * layer, &mut between, config.width);
        add(&mut between, input);
        precision.round(&mut between);
        let [q, k, v, mixed] = [q, k, v, mixed].map(|rows| precision.keep(rows));

        let (normed, between_scales) = self.normed(&norm_name(layer, MLP_NORM), &between, precision)?;
        let (mut gate, mut up) = (project("mlp.gate_proj", &normed)?, project("mlp.up_proj", &normed)?);
        drop(normed);
        [&mut gate, &mut up].into_iter().for_each(|rows| precision.round(rows));
        let mut hidden = gate::forward(&gate, &up);
        precision.round(&mut hidden);
        let [gate, up] = [gate, up].map(|rows| precision.keep(rows));
        let mut out = project("mlp.down_proj", &hidden)?;
        dropout::apply(options.dropout, 2 * layer + 1, &mut out, config.width);
        add(&mut out, &between);
        precision.round(&mut out);
        let between = precision.keep(between);
        Ok((out, Kept { scales, q, k, v, mixed, log_sums, between, between_scales, gate, up }))
    }

    /// The head's loss and, on the way back, the slopes of the stream before the last norm.
    fn head_back(
        &self,
        stream: &[f32],
        windows: &Windows<'_>,
        options: &PassOptions,
        gradients: &mut Gradients,
    ) -> candle_core::Result<(f64, Vec<f32>)> {
        let precision = options.precision;
        let (normed, scales) = self.normed(FINAL_NORM, stream, precision)?;
        let mut of_normed = vec![0.0; stream.len()];
        let table = self.table();
        let embedding = gradients.get_mut(table).map(Vec::as_mut_slice);
        let slopes = head::Slopes { stream: &mut of_normed, embedding };
        let (width, targets) = (self.config().width, targets(windows, options));
        let loss = precision
            .with_weight(&self.held(table), |table| head::loss(&normed, table, width, targets, Some(slopes)))?;
        let mut of_stream = vec![0.0; stream.len()];
        self.norm_back((FINAL_NORM, precision), (stream, &scales), &of_normed, &mut of_stream, gradients)?;
        Ok((loss, of_stream))
    }

    /// From the slopes of a layer's output those of its input, in place.
    #[expect(clippy::too_many_arguments, reason = "everything a layer is and was")]
    fn layer_back(
        &self,
        layer: usize,
        input: &[f32],
        kept: Kept,
        windows: &Windows<'_>,
        options: &PassOptions,
        slopes: &mut [f32],
        gradients: &mut Gradients,
    ) -> candle_core::Result<()> {
        let (config, precision) = (self.config(), options.precision);
        let Kept { scales, q, k, v, mixed, log_sums, between, between_scales, gate, up } = kept;
        let [between, mut gate, mut up] = [between, gate, up].map(Rows::taken);
        // The feed-forward half. What stands in `hidden` first is its slope, then itself.
        let dropped = dropout::dropped(options.dropout, 2 * layer + 1, slopes, config.width);
        let down = self.linear(layer, "mlp.down_proj", precision);
        let mut hidden = down.back(dropped.as_deref().unwrap_or(slopes))?;
        gate::backward(&mut gate, &mut up, &mut hidden);
        precision.round(&mut hidden);
        down.back_to_weight(&hidden, dropped.as_deref().unwrap_or(slopes), gradients)?;
        drop((hidden, dropped));
        let normed = self.normed_again(&norm_name(layer, MLP_NORM), (&between, &between_scales), precision)?;
        let parts = [("mlp.gate_proj", gate), ("mlp.up_proj", up)];
        let of_normed = self.linears_back((layer, precision), parts, &normed, gradients)?;
        let place = (between.as_slice(), between_scales.as_slice());
        self.norm_back((&norm_name(layer, MLP_NORM), precision), place, &of_normed, slopes, gradients)?;

        // The attention half.
        let [q, k, v, mixed] = [q, k, v, mixed].map(Rows::taken);
        let dropped = dropout::dropped(options.dropout, 2 * layer, slopes, config.width);
        let output = self.linear(layer, "self_attn.o_proj", precision);
        drop(of_normed);
        let of_mixed = output.back(dropped.as_deref().unwrap_or(slopes))?;
        output.back_to_weight(&mixed, dropped.as_deref().unwrap_or(slopes), gradients)?;
        drop(dropped);
        let inputs = Inputs { q: &q, k: &k, v: &v, starts: windows.starts };
        let shape = self.attention_shape(windows.positions);
        let mut found = attention::backward(shape, inputs, &mixed, &log_sums, &of_mixed);
        self.turn(&mut found.dq, config.width, windows.positions, Turn::Back)?;
        self.turn(&mut found.dk, config.kv_width(), windows.positions, Turn::Back)?;
        let name = norm_name(layer, ATTENTION_NORM);
        let normed = self.normed_again(&name, (input, &scales), precision)?;
        let attention::Slopes { dq, dk, dv } = found;
        let parts = [("self_attn.q_proj", dq), ("self_attn.k_proj", dk), ("self_attn.v_proj", dv)];
        let of_normed = self.linears_back((layer, precision), parts, &normed, gradients)?;
        self.norm_back((&name, precision), (input, &scales), &of_normed, slopes, gradients)
    }

    /// From the slopes of several projections of the same rows those of the rows.
    fn linears_back<const P: usize>(
        &self,
        (layer, precision): (usize, Precision),
        parts: [(&str, Vec<f32>); P],
        rows: &[f32],
        gradients: &mut Gradients,
    ) -> candle_core::Result<Vec<f32>> {
        let mut of_rows = Vec::new();
        for (part, of_part) in parts {
            let linear = self.linear(layer, part, precision);
            if of_rows.is_empty() {
                of_rows = linear.back(&of_part)?;
            } else {
                linear.add_back(&of_part, &mut of_rows)?;
            }
            linear.back_to_weight(rows, &of_part, gradients)?;
        }
        Ok(of_rows)
    }
}

/// Works on a thread of the pool: there a parallel part begins at once, while from outside each would wake a thread and sleep until it ends.
fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

/// Of a head that tells classes, by the name that `LlamaForSequenceClassification` gives it.
pub(crate) const SCORE: &str = "score.weight";
const EMBEDDING: &str = "model.embed_tokens.weight";
const FINAL_NORM: &str = "model.norm.weight";
const ATTENTION_NORM: &str = "input_layernorm";
const MLP_NORM: &str = "post_attention_layernorm";

fn norm_name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}.weight")
}

const fn targets<'a>(windows: &Windows<'a>, options: &PassOptions) -> head::Targets<'a> {
    head::Targets { ids: windows.targets, weights: windows.weights, smoothing: options.smoothing as f32 }
}
