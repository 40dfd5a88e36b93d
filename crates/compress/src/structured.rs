//! Structured pruning: whole key-value groups of heads, channels of the feed-forward part, layers. What is left is a smaller
//! dense model, so every program that computes the family computes it, and faster.
//!
//! The problems solved, for the matrix that reads what is cut (W_o of attention, W_down of the feed-forward part):
//! min ‖WX − Ŵ X_K‖²_F over Ŵ and the kept inputs K. K is chosen by what each unit alone gives out, ‖W_u X_u‖²_F; Ŵ is then the exact
//! minimiser (`obs::refit`). Layers go by block influence, 1 − cos(stream before, stream behind), least first. Sources: Ma et
//! al. 2023 (groups), Ashkboos et al. 2024 and Frantar and Alistarh 2022 (the refit), Men et al. 2024 (ShortGPT, equation 1).

use crate::{
    Tensors,
    calibrate::{LayerView, Observe, WalkError, walk},
    factor::NotDefinite,
    layerwise::{Findings, Pruned},
    matrix::{Gram, Matrix},
    obs::{DAMPING, refit},
};
use candle_core::Tensor;
use evidence::Control;
use model::{Decoder, HubConfig, ModelParts, Site};
use serde_json::{Value, json};

/// Kept channels are a multiple of this, so that rows can still be stored in blocks.
const CHANNELS_MULTIPLE: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Key-value heads with the query heads that share them, the same number in each layer.
    Heads,
    /// Channels of the feed-forward part, the same number in each layer.
    Channels,
    Layers,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    pub unit: Unit,
    /// Share of the units that go, in [0, 1).
    pub share: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum StructuredError {
    #[error("expected a share of at least 0 and below 1, found {0}")]
    Share(f64),
    #[error(
        "expected a family that keeps `{part}` as a matrix of its own in each layer, found none in layer {layer}; cut layers instead"
    )]
    Family { part: &'static str, layer: usize },
    #[error("expected at least one unit to go and one to stay, found {gone} of {all}; choose another share")]
    Count { gone: usize, all: usize },
    #[error("`{name}` cannot be fitted again")]
    Factor { name: String, source: NotDefinite },
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Cuts units out of every layer, or layers out of the model. Gives the configuration and weights of the smaller model.
///
/// Findings are of the matrices that were fitted again; for layers there are none. Deterministic.
///
/// # Errors
/// `Share`, `Family`, `Count`, `Factor`, and those of the walk.
pub fn prune(
    config: &Config,
    parts: &ModelParts,
    rows: &[Vec<u32>],
    observe: &mut Observe<'_>,
) -> Result<(HubConfig, Tensors, Findings), StructuredError> {
    if !(0.0..1.0).contains(&config.share) {
        return Err(StructuredError::Share(config.share));
    }
    let decoder = parts.decoder().map_err(|error| WalkError::Open(Box::new(error)))?;
    match config.unit {
        Unit::Layers => without_layers(config.share, parts, rows, observe),
        Unit::Heads | Unit::Channels => {
            let plan = Plan::new(config, parts, &decoder)?;
            plan.cut(parts, rows, observe)
        }
    }
}

/// What is cut, alike in every layer.
struct Plan {
    unit: Unit,
    /// Inputs of the reading matrix that belong to one unit.
    width: usize,
    all: usize,
    kept: usize,
}

impl Plan {
    fn new(config: &Config, parts: &ModelParts, decoder: &Decoder) -> Result<Self, StructuredError> {
        let shapes = decoder.layer_shapes();
        let Some(shape) = shapes.first() else { return Err(StructuredError::Count { gone: 0, all: 0 }) };
        let needed: &[&'static str] = match config.unit {
            Unit::Channels => &["mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"],
            _ => &[
                "self_attn.q_proj.weight",
                "self_attn.k_proj.weight",
                "self_attn.v_proj.weight",
                "self_attn.o_proj.weight",
            ],
        };
        for layer in 0..shapes.len() {
            for part in needed {
                if !parts.tensors.contains_key(&format!("model.layers.{layer}.{part}")) {
                    return Err(StructuredError::Family { part, layer });
                }
            }
        }
        let (width, all) = match config.unit {
            Unit::Channels => (1, shape.hidden),
            _ => (shape.heads / shape.kv_heads * shape.head_width, shape.kv_heads),
        };
        let mut kept = all - (config.share * all as f64).round() as usize;
        if config.unit == Unit::Channels && all > 2 * CHANNELS_MULTIPLE {
            kept = kept.next_multiple_of(CHANNELS_MULTIPLE).min(all);
        }
        if kept == 0 || kept == all {
            return Err(StructuredError::Count { gone: all - kept, all });
        }
        Ok(Self { unit: config.unit, width, all, kept })
    }

    fn cut(
        &self,
        parts: &ModelParts,
        rows: &[Vec<u32>],
        observe: &mut Observe<'_>,
    ) -> Result<(HubConfig, Tensors, Findings), StructuredError> {
        let mut findings = Findings::default();
        let mut chosen: Vec<Vec<usize>> = Vec::new();
        // The walk keeps shapes: what goes is zero while the layers behind are looked at, and is cut out afterwards.
        let site = if self.unit == Unit::Channels { Site::MlpOutput } else { Site::AttentionOutput };
        let reader = if self.unit == Unit::Channels { "mlp.down_proj.weight" } else { "self_attn.o_proj.weight" };
        let mut tensors = walk(parts, rows, observe, &mut |view: &mut LayerView| {
            let at = view.at;
            let Some(gram) = view.grams.get(&site).cloned() else {
                return Err(StructuredError::Family { part: reader, layer: at });
            };
            let Some(matrix) = view.matrix_mut(reader) else {
                return Err(StructuredError::Family { part: reader, layer: at });
            };
            let units = self.choose(matrix, &gram)?;
            let inputs = self.numbers(&units);
            findings.matrices.push(fit_again(matrix, &gram, &inputs)?);
            chosen.push(units);
            Ok(())
        })?;
        for (layer, units) in chosen.iter().enumerate() {
            self.cut_layer(&mut tensors, layer, units)?;
        }
        let config = match self.unit {
            Unit::Channels => parts.config.with("intermediate_size", json!(self.kept)),
            _ => self.heads_config(parts)?,
        };
        Ok((config, tensors, findings))
    }

    fn heads_config(&self, parts: &ModelParts) -> Result<HubConfig, StructuredError> {
        let decoder = parts.decoder().map_err(|error| WalkError::Open(Box::new(error)))?;
        let shapes = decoder.layer_shapes();
        let Some(shape) = shapes.first() else { return Err(StructuredError::Count { gone: 0, all: 0 }) };
        let heads = shape.heads / shape.kv_heads * self.kept;
        let config = parts.config.with("num_attention_heads", json!(heads));
        Ok(config.with("num_key_value_heads", json!(self.kept)).with("head_dim", json!(shape.head_width)))
    }

    /// The units that give out most, ascending.
    fn choose(&self, matrix: &Matrix, gram: &Gram) -> candle_core::Result<Vec<usize>> {
        let energy = |unit: usize| {
            let inputs: Vec<usize> = (unit * self.width..(unit + 1) * self.width).collect();
            let rows = matrix.weights.chunks_exact(matrix.inputs);
            let part: Vec<f32> = rows.flat_map(|row| inputs.iter().map(|&at| row[at])).collect();
            gram.among(&inputs).energy(&part)
        };
        let energies: Vec<f64> = (0..self.all).map(energy).collect::<candle_core::Result<_>>()?;
        let mut order: Vec<usize> = (0..self.all).collect();
        order.sort_by(|&a, &b| energies[b].total_cmp(&energies[a]).then(a.cmp(&b)));
        order.truncate(self.kept);
        order.sort_unstable();
        Ok(order)
    }

    /// The inputs of the reading matrix that belong to units.
    fn numbers(&self, units: &[usize]) -> Vec<usize> {
        units.iter().flat_map(|unit| unit * self.width..(unit + 1) * self.width).collect()
    }

    fn cut_layer(&self, tensors: &mut Tensors, layer: usize, units: &[usize]) -> Result<(), StructuredError> {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let inputs = self.numbers(units);
        let rows_of = |tensors: &mut Tensors, part: &str, rows: &[usize]| -> candle_core::Result<()> {
            for kind in ["weight", "bias"] {
                if let Some(tensor) = tensors.get(&name(&format!("{part}.{kind}"))) {
                    let cut = picked(tensor, rows, 0)?;
                    tensors.insert(name(&format!("{part}.{kind}")), cut);
                }
            }
            Ok(())
        };
        let reader = match self.unit {
            Unit::Channels => {
                rows_of(tensors, "mlp.gate_proj", &inputs)?;
                rows_of(tensors, "mlp.up_proj", &inputs)?;
                name("mlp.down_proj.weight")
            }
            _ => {
                rows_of(tensors, "self_attn.q_proj", &inputs)?;
                let rows = tensors.get(&name("self_attn.k_proj.weight")).map_or(0, |tensor| tensor.dims()[0]);
                let head = rows / self.all;
                let shared: Vec<usize> = units.iter().flat_map(|unit| unit * head..(unit + 1) * head).collect();
                rows_of(tensors, "self_attn.k_proj", &shared)?;
                rows_of(tensors, "self_attn.v_proj", &shared)?;
                name("self_attn.o_proj.weight")
            }
        };
        if let Some(tensor) = tensors.get(&reader) {
            let cut = picked(tensor, &inputs, 1)?;
            tensors.insert(reader, cut);
        }
        Ok(())
    }
}

fn picked(tensor: &Tensor, at: &[usize], dim: usize) -> candle_core::Result<Tensor> {
    let at: Vec<u32> = at.iter().map(|at| *at as u32).collect();
    tensor.index_select(&Tensor::new(at, tensor.device())?, dim)
}

/// The matrix on the kept inputs alone, fitted again; the other columns become zero.
fn fit_again(matrix: &mut Matrix, gram: &Gram, kept: &[usize]) -> Result<Pruned, StructuredError> {
    let fitted = refit(matrix, gram, kept, DAMPING)
        .map_err(|source| StructuredError::Factor { name: matrix.name.clone(), source })?;
    let before = std::mem::replace(&mut matrix.weights, vec![0.0; matrix.outputs * matrix.inputs]);
    for (row, fitted) in matrix.weights.chunks_exact_mut(matrix.inputs).zip(fitted.chunks_exact(kept.len())) {
        kept.iter().zip(fitted).for_each(|(&at, weight)| row[at] = *weight);
    }
    Ok(Pruned::of(matrix, &before, gram)?)
}

/// Layers of least influence go; those behind move up.
fn without_layers(
    share: f64,
    parts: &ModelParts,
    rows: &[Vec<u32>],
    observe: &mut Observe<'_>,
) -> Result<(HubConfig, Tensors, Findings), StructuredError> {
    let mut influences: Vec<f64> = Vec::new();
    walk(parts, rows, observe, &mut |view: &mut LayerView| -> Result<(), StructuredError> {
        influences.push(view.influence);
        view.matrices.clear();
        Ok(())
    })?;
    let all = influences.len();
    let gone = (share * all as f64).round() as usize;
    if gone == 0 || gone >= all {
        return Err(StructuredError::Count { gone, all });
    }
    let mut order: Vec<usize> = (0..all).collect();
    order.sort_by(|&a, &b| influences[a].total_cmp(&influences[b]).then(a.cmp(&b)));
    order.drain(..gone);
    order.sort_unstable();
    let mut tensors = Tensors::new();
    for (name, tensor) in &parts.tensors {
        match layer_of(name) {
            None => drop(tensors.insert(name.clone(), tensor.clone())),
            Some((before, layer, behind)) => {
                if let Ok(at) = order.binary_search(&layer) {
                    tensors.insert(format!("{before}{at}{behind}"), tensor.clone());
                }
            }
        }
    }
    let member = if parts.config.get("n_layer").is_some() { "n_layer" } else { "num_hidden_layers" };
    let mut config = parts.config.with(member, json!(order.len()));
    if let Some(Value::Array(types)) = parts.config.get("layer_types") {
        let types: Vec<Value> = order.iter().filter_map(|at| types.get(*at).cloned()).collect();
        config = config.with("layer_types", Value::Array(types));
    }
    Ok((config, tensors, Findings::default()))
}

/// A hub name cut at the number of its layer.
fn layer_of(name: &str) -> Option<(&str, usize, &str)> {
    let start = name
        .find("layers.")
        .map(|at| at + 7)
        .or_else(|| if name.starts_with("h.") { Some(2) } else { name.find(".h.").map(|at| at + 3) })?;
    let length = name[start..].find('.')?;
    let layer = name[start..start + length].parse().ok()?;
    Some((&name[..start], layer, &name[start + length..]))
}

/// A walk that nobody watches.
#[must_use]
pub fn unwatched(_: usize, _: usize) -> Control {
    Control::Continue
}
