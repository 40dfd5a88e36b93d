//! The Llama-style decoder: RMSNorm, rotary embedding, grouped-query attention, SwiGLU, tied embedding.
//!
//! Legend: B batch, T positions, C channels (`width`), H heads, K key-value heads, D channels a head, F hidden channels,
//! V vocabulary, L layers.

use crate::{Config, ConfigError, adapters::Adapters, random::Normal};
use candle_core::{D, DType, Device, Tensor, Var};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

/// Standard deviation of a fresh weight. Source: GPT-2 and Llama (`initializer_range` of the hub).
const INIT_STD: f64 = 0.02;

/// A decoder with its parameters, in f32 on the processor.
pub struct Llama {
    config: Config,
    /// What is trained: all weights, or adapters alone.
    parameters: BTreeMap<String, Var>,
    /// What is held, beside adapters.
    frozen: BTreeMap<String, Tensor>,
    adapters: Option<Adapters>,
    /// (context, D/2) each.
    cosines: Tensor,
    sines: Tensor,
    /// The causal mask (T, T) of the last T asked for.
    mask: Mutex<Option<Tensor>>,
}

impl fmt::Debug for Llama {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Llama").field("config", &self.config).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LlamaError {
    #[error("the configuration cannot be computed")]
    Config(#[from] ConfigError),
    #[error("expected a tensor `{name}` of shape {expected:?}, found none")]
    Missing { name: String, expected: Vec<usize> },
    #[error("expected only the tensors of the configuration, found `{name}` of shape {found:?}")]
    Unknown { name: String, found: Vec<usize> },
    #[error("expected `{name}` of shape {expected:?}, found {found:?}")]
    Shape { name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("expected `{name}` in f32, found {found}")]
    Type { name: String, found: String },
    #[error("expected tokens of shape (batch, positions) in u32, found {shape:?} in {dtype}")]
    Tokens { shape: Vec<usize>, dtype: String },
    #[error("expected 1 to {context} positions, found {found}")]
    Positions { context: usize, found: usize },
    #[error("expected tokens below {vocab}, found {found}")]
    Token { vocab: usize, found: u32 },
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Whether a forward pass keeps what a backward pass needs.
#[derive(Clone, Copy, PartialEq)]
enum Graph {
    Kept,
    Dropped,
}

impl Llama {
    /// Fresh weights: normal with standard deviation 0.02, the two projections that write into the residual stream
    /// scaled by 1/√(2L), norms 1. Deterministic in `seed` on every machine; each tensor has its own stream, numbered in
    /// the order of the names.
    ///
    /// Source: Radford et al. 2019 (GPT-2), section 2.3, for the residual scale.
    ///
    /// # Errors
    /// `Config` when the configuration does not hold.
    pub fn init(config: &Config, seed: u64) -> Result<Self, LlamaError> {
        config.validate()?;
        let residual_std = INIT_STD / (2.0 * config.layers as f64).sqrt();
        let mut tensors = BTreeMap::new();
        for (stream, (name, shape)) in config.shapes().into_iter().enumerate() {
            let n = shape.iter().product();
            let values: Vec<f32> = if shape.len() == 1 {
                vec![1.0; n]
            } else {
                let writes_residual = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
                let std = if writes_residual { residual_std } else { INIT_STD };
                let mut normal = Normal::new(seed, stream as u64);
                (0..n).map(|_| (std * normal.sample()) as f32).collect()
            };
            tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
        }
        Self::from_tensors(config.clone(), tensors)
    }

    /// Takes weights that stand under their hub names, f32, shapes as `Config::shapes` says. The values are copied.
    ///
    /// # Errors
    /// `Missing`, `Unknown`, `Shape` or `Type` naming the tensor, in the order of the names; `Config`.
    pub fn from_tensors(config: Config, mut tensors: BTreeMap<String, Tensor>) -> Result<Self, LlamaError> {
        config.validate()?;
        let mut parameters = BTreeMap::new();
        for (name, expected) in config.shapes() {
            let Some(tensor) = tensors.remove(&name) else {
                return Err(LlamaError::Missing { name, expected });
            };
            if tensor.dims() != expected {
                return Err(LlamaError::Shape { name, expected, found: tensor.dims().to_vec() });
            }
            if tensor.dtype() != DType::F32 {
                return Err(LlamaError::Type { name, found: tensor.dtype().as_str().to_owned() });
            }
            parameters.insert(name, Var::from_tensor(&tensor.contiguous()?)?);
        }
        if let Some((name, tensor)) = tensors.pop_first() {
            return Err(LlamaError::Unknown { name, found: tensor.dims().to_vec() });
        }
        let (cosines, sines) = rotary_tables(&config)?;
        let (frozen, adapters) = (BTreeMap::new(), None);
        Ok(Self { config, parameters, frozen, adapters, cosines, sines, mask: Mutex::new(None) })
    }

    /// The same model with other values of what is trained; what is held is shared.
    ///
    /// # Errors
    /// `Missing`, `Unknown`, `Shape` or `Type` naming the tensor.
    pub fn restored(&self, mut tensors: BTreeMap<String, Tensor>) -> Result<Self, LlamaError> {
        let mut parameters = BTreeMap::new();
        for (name, held) in &self.parameters {
            let (name, expected) = (name.clone(), held.dims().to_vec());
            let Some(tensor) = tensors.remove(&name) else { return Err(LlamaError::Missing { name, expected }) };
            if tensor.dims() != expected {
                return Err(LlamaError::Shape { name, expected, found: tensor.dims().to_vec() });
            }
            if tensor.dtype() != DType::F32 {
                return Err(LlamaError::Type { name, found: tensor.dtype().as_str().to_owned() });
            }
            parameters.insert(name, Var::from_tensor(&tensor.contiguous()?)?);
        }
        if let Some((name, tensor)) = tensors.pop_first() {
            return Err(LlamaError::Unknown { name, found: tensor.dims().to_vec() });
        }
        Ok(self.with_parts(parameters, self.frozen.clone(), self.adapters.clone()))
    }

    pub(crate) fn with_parts(
        &self,
        parameters: BTreeMap<String, Var>,
        frozen: BTreeMap<String, Tensor>,
        adapters: Option<Adapters>,
    ) -> Self {
        let (cosines, sines) = (self.cosines.clone(), self.sines.clone());
        Self { config: self.config.clone(), parameters, frozen, adapters, cosines, sines, mask: Mutex::new(None) }
    }

    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What is held while adapters are trained, by hub names; empty where all is trained.
    #[must_use]
    pub const fn frozen(&self) -> &BTreeMap<String, Tensor> {
        &self.frozen
    }

    /// What stands beside the weights, when adapters are trained.
    #[must_use]
    pub const fn adapters(&self) -> Option<&Adapters> {
        self.adapters.as_ref()
    }

    /// A weight without a gradient, trained or held.
    pub(crate) fn held(&self, name: &str) -> Tensor {
        // INVARIANT: every name of `Config::shapes` is in one of the two; `from_tensors` checked it.
        self.parameters.get(name).map_or_else(|| self.frozen[name].clone(), Var::as_detached_tensor)
    }

    pub(crate) const fn rotary(&self) -> (&Tensor, &Tensor) {
        (&self.cosines, &self.sines)
    }

    /// What is trained, by hub names; an optimiser sets it in place.
    #[must_use]
    pub const fn parameters(&self) -> &BTreeMap<String, Var> {
        &self.parameters
    }

    /// The parameters as tensors without a gradient, for saving. They share memory with the model, so they are its
    /// values at the time they are read, not at the time of this call.
    #[must_use]
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.parameters.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    #[must_use]
    pub fn n_parameters(&self) -> usize {
        self.config.n_parameters()
    }

    /// Unnormalised log-probabilities of the next token, at every position.
    ///
    /// Shapes: `tokens` (B, T) u32 → (B, T, V) f32; unit: nat. Position t depends on tokens 0 to t only. Differentiable
    /// in every parameter; what a backward pass needs is held as long as the result. Deterministic: the same bits for
    /// any number of threads.
    ///
    /// Source: Touvron et al. 2023 (Llama 2); rotary embedding in the half-split layout of the hub.
    ///
    /// # Errors
    /// `Tokens`, `Positions` or `Token` for an input the model has no answer to.
    pub fn logits(&self, tokens: &Tensor) -> Result<Tensor, LlamaError> {
        self.forward(tokens, Graph::Kept)
    }

    /// The same values as `logits`, without what a backward pass needs: for scoring, in a fraction of the memory.
    ///
    /// # Errors
    /// Those of `logits`.
    pub fn logits_detached(&self, tokens: &Tensor) -> Result<Tensor, LlamaError> {
        self.forward(tokens, Graph::Dropped)
    }

    fn forward(&self, tokens: &Tensor, graph: Graph) -> Result<Tensor, LlamaError> {
        let (batch, positions) = self.check(tokens)?;
        let mask = self.mask(positions)?;
        let embedding = self.weight("model.embed_tokens.weight", graph)?;
        let mut stream = embedding.index_select(&tokens.flatten_all()?, 0)?;
        for layer in 0..self.config.layers {
            let weight = |part: &str| self.weight(&format!("model.layers.{layer}.{part}.weight"), graph);
            let normed = self.norm(&stream, &weight("input_layernorm")?)?;
            stream = (stream + self.attention(&normed, weight, &mask, batch)?)?;
            let normed = self.norm(&stream, &weight("post_attention_layernorm")?)?;
            stream = (stream + feed_forward(&normed, weight)?)?;
        }
        let stream = self.norm(&stream, &self.weight("model.norm.weight", graph)?)?;
        Ok(project(&stream, &embedding)?.reshape((batch, positions, self.config.vocab))?)
    }

    fn check(&self, tokens: &Tensor) -> Result<(usize, usize), LlamaError> {
        let (&[batch, positions], DType::U32) = (tokens.dims(), tokens.dtype()) else {
            let (shape, dtype) = (tokens.dims().to_vec(), tokens.dtype().as_str().to_owned());
            return Err(LlamaError::Tokens { shape, dtype });
        };
        if batch == 0 {
            return Err(LlamaError::Tokens { shape: tokens.dims().to_vec(), dtype: "u32".to_owned() });
        }
        if positions == 0 || positions > self.config.context {
            return Err(LlamaError::Positions { context: self.config.context, found: positions });
        }
        let largest = tokens.flatten_all()?.to_vec1::<u32>()?.into_iter().max().unwrap_or(0);
        if largest as usize >= self.config.vocab {
            return Err(LlamaError::Token { vocab: self.config.vocab, found: largest });
        }
        Ok((batch, positions))
    }

    /// A weight, with its adapter merged into it.
    fn weight(&self, name: &str, graph: Graph) -> candle_core::Result<Tensor> {
        let of = |name: &str| match (self.parameters.get(name), graph) {
            (Some(parameter), Graph::Kept) => parameter.as_tensor().clone(),
            _ => self.held(name),
        };
        match name.strip_suffix(".weight").and_then(|part| self.adapter_names(part)) {
            Some(([down, up], scale)) => of(name) + (of(&up).matmul(&of(&down))? * f64::from(scale))?,
            None => Ok(of(name)),
        }
    }

    /// x / √(mean(x²) + ε) · gain, over the last dimension. Shapes: (N, C), (C,) → (N, C).
    ///
    /// Source: Zhang and Sennrich 2019.
    fn norm(&self, stream: &Tensor, gain: &Tensor) -> candle_core::Result<Tensor> {
        let mean_square = stream.sqr()?.mean_keepdim(D::Minus1)?;
        let scale = (mean_square + self.config.norm_eps)?.sqrt()?.recip()?;
        stream.broadcast_mul(&scale)?.broadcast_mul(gain)
    }

    /// Causal self-attention, H/K query heads to each key-value head. Shapes: (B·T, C) → (B·T, C).
    ///
    /// The queries of a group stand below one another as rows of one matrix, so keys and values are never repeated.
    /// Source: Ainslie et al. 2023 (grouped queries).
    fn attention(
        &self,
        normed: &Tensor,
        weight: impl Fn(&str) -> candle_core::Result<Tensor>,
        mask: &Tensor,
        batch: usize,
    ) -> candle_core::Result<Tensor> {
        let (heads, kv_heads, head_width) = (self.config.heads, self.config.kv_heads, self.config.head_width());
        let positions = mask.dim(0)?;
        let split = |part: &str, heads: usize| {
            project(normed, &weight(part)?)?
                .reshape((batch, positions, heads, head_width))?
                .transpose(1, 2)?
                .contiguous()
        };
        let query = self.rotate(&split("self_attn.q_proj", heads)?)?;
        let query = (query * (head_width as f64).sqrt().recip())?;
        let key = self.rotate(&split("self_attn.k_proj", kv_heads)?)?;
        let value = split("self_attn.v_proj", kv_heads)?;

        let groups = batch * kv_heads;
        let rows = heads / kv_heads * positions;
        let query = query.reshape((groups, rows, head_width))?;
        let key = key.reshape((groups, positions, head_width))?;
        let value = value.reshape((groups, positions, head_width))?;
        let scores = query.matmul(&key.transpose(1, 2)?)?.reshape((batch * heads, positions, positions))?;
        let shares = softmax(&scores.broadcast_add(mask)?)?.reshape((groups, rows, positions))?;
        let mixed = shares.matmul(&value)?.reshape((batch, heads, positions, head_width))?;
        let mixed = mixed.transpose(1, 2)?.reshape((batch * positions, heads * head_width))?;
        project(&mixed, &weight("self_attn.o_proj")?)
    }

    /// Turns channel i of each head against channel i + D/2 by position · θ^(−2i/D). Shapes: (B, heads, T, D) → same.
    ///
    /// Source: Su et al. 2021, equation 34, in the hub's half-split layout.
    fn rotate(&self, heads: &Tensor) -> candle_core::Result<Tensor> {
        let (positions, half) = (heads.dim(2)?, heads.dim(3)? / 2);
        let cosines = self.cosines.narrow(0, 0, positions)?;
        let sines = self.sines.narrow(0, 0, positions)?;
        let (first, second) = (heads.narrow(3, 0, half)?, heads.narrow(3, half, half)?);
        let (first, second) = (first.contiguous()?, second.contiguous()?);
        let turned_first = (first.broadcast_mul(&cosines)? - second.broadcast_mul(&sines)?)?;
        let turned_second = (second.broadcast_mul(&cosines)? + first.broadcast_mul(&sines)?)?;
        Tensor::cat(&[turned_first, turned_second], 3)
    }

    /// (T, T): 0 where the column is not after the row, −∞ elsewhere.
    fn mask(&self, positions: usize) -> candle_core::Result<Tensor> {
        let mut kept = self.mask.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mask) = kept.as_ref().filter(|mask| mask.dims() == [positions, positions]) {
            return Ok(mask.clone());
        }
        let value = |row: usize, column: usize| if column > row { f32::NEG_INFINITY } else { 0.0 };
        let values: Vec<f32> = (0..positions * positions).map(|at| value(at / positions, at % positions)).collect();
        let mask = Tensor::from_vec(values, (positions, positions), &Device::Cpu)?;
        *kept = Some(mask.clone());
        Ok(mask)
    }
}

/// x · Wᵀ. Shapes: (N, in), (out, in) → (N, out).
fn project(stream: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    stream.matmul(&weight.t()?)
}

/// down(silu(gate(x)) · up(x)). Shapes: (N, C) → (N, C). Source: Shazeer 2020 (SwiGLU).
fn feed_forward(normed: &Tensor, weight: impl Fn(&str) -> candle_core::Result<Tensor>) -> candle_core::Result<Tensor> {
    let gate = project(normed, &weight("mlp.gate_proj")?)?.silu()?;
    let up = project(normed, &weight("mlp.up_proj")?)?;
    project(&(gate * up)?, &weight("mlp.down_proj")?)
}

/// Over the last dimension. The largest score is taken off first, as a constant: it cancels in value and in gradient.
fn softmax(scores: &Tensor) -> candle_core::Result<Tensor> {
    let largest = scores.detach().max_keepdim(D::Minus1)?;
    let powers = scores.broadcast_sub(&largest)?.exp()?;
    powers.broadcast_mul(&powers.sum_keepdim(D::Minus1)?.recip()?)
}

/// Cosines and sines of position · θ^(−2i/D), computed in f64. Shapes: (context, D/2) each.
fn rotary_tables(config: &Config) -> candle_core::Result<(Tensor, Tensor)> {
    let half = config.head_width() / 2;
    let angle = |position: usize, pair: usize| {
        position as f64 * config.rope_theta.powf(-2.0 * pair as f64 / config.head_width() as f64)
    };
    let table = |of: fn(f64) -> f64| {
        let values: Vec<f32> = (0..config.context * half).map(|at| of(angle(at / half, at % half)) as f32).collect();
        Tensor::from_vec(values, (config.context, half), &Device::Cpu)
    };
    Ok((table(f64::cos)?, table(f64::sin)?))
}
