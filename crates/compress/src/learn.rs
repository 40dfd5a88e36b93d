//! A few steps of learning after compression: next tokens with the mask held, or a teacher's distributions.
//!
//! For models of the plain Llama shape (tied head, no biases, plain rotary positions), whose gradient is computed here. The optimiser is
//! AdamW without decay, so that a weight that gets no gradient stays where it is, to the bit.
//! Sources: Han et al. 2015 (retraining with the mask), Hinton et al. 2015, section 2 (distillation), Kingma and Ba 2015.

use crate::Tensors;
use candle_core::{D, DType, Device, Tensor, Var, backprop::GradStore};
use evidence::Control;
use model::{Decoder, DecoderError, HubConfig, Llama, LlamaError, Row, site};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    pub steps: usize,
    /// Rows of a step; they are taken in order, from the first again behind the last.
    pub batch: usize,
    /// Learning rate after a tenth of the steps of warm-up, falling in a line to a tenth.
    pub rate: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { steps: 50, batch: 2, rate: 1e-4 }
    }
}

/// What is learned.
#[derive(Debug, Clone, Copy)]
pub enum Goal<'a> {
    /// The next token of the rows: mean −ln p.
    NextToken,
    /// The teacher's distribution at every position: T² · mean Σ p_T (ln p_T − ln q_T), both softened by the temperature T.
    Teacher { teacher: &'a Decoder, temperature: f64 },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Loss of each step, before it.
    pub losses: Vec<f64>,
    /// Weights of matrices that were zero and stayed so.
    pub n_held: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    #[error("a gradient is computed for models of the plain Llama shape, and {found} here; leave learning out")]
    Shape { found: String },
    #[error("expected a temperature above 0, found {0}")]
    Temperature(f64),
    #[error("teacher and student must have the same tokens, and the teacher has {teacher}, the student {student}")]
    Vocabulary { teacher: usize, student: usize },
    #[error("expected rows of at least 2 tokens, found none")]
    NoRows,
    #[error("the loss of step {step} is {loss}; lower the rate")]
    Diverged { step: usize, loss: f64 },
    #[error("stopped: {0}")]
    Stopped(String),
    #[error("the model could not compute")]
    Llama(#[from] LlamaError),
    #[error("the teacher could not compute")]
    Teacher(#[from] DecoderError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// The plain Llama shape of a hub configuration.
///
/// # Errors
/// `Shape` naming what is otherwise.
pub fn llama_shape(config: &HubConfig, tensors: &Tensors, positions: usize) -> Result<model::Config, LearnError> {
    let other = |found: &str| LearnError::Shape { found: found.to_owned() };
    let count = |member: &'static str| {
        let found = config.get(member).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok());
        found.ok_or_else(|| other(&format!("the configuration has no `{member}`")))
    };
    if config.get("model_type").and_then(Value::as_str) != Some("llama") {
        return Err(other("the family is another"));
    }
    if let Some(name) = tensors.keys().find(|name| name.ends_with(".bias") || *name == "lm_head.weight") {
        return Err(other(&format!("there is a tensor `{name}`")));
    }
    if config.get("rope_scaling").is_some() {
        return Err(other("positions are stretched (`rope_scaling`)"));
    }
    let (width, heads) = (count("hidden_size")?, count("num_attention_heads")?);
    if config.get("head_dim").is_some() && count("head_dim")? * heads != width {
        return Err(other("heads are not as wide as the model by their number"));
    }
    let number = |member: &str, absent: f64| config.get(member).and_then(Value::as_f64).unwrap_or(absent);
    let theta = config.get("rope_parameters").and_then(|all| all.get("rope_theta")?.as_f64());
    Ok(model::Config {
        vocab: count("vocab_size")?,
        layers: count("num_hidden_layers")?,
        width,
        heads,
        kv_heads: if config.get("num_key_value_heads").is_some() { count("num_key_value_heads")? } else { heads },
        hidden: count("intermediate_size")?,
        context: positions,
        rope_theta: theta.unwrap_or_else(|| number("rope_theta", 1e4)),
        norm_eps: number("rms_norm_eps", 1e-6),
    })
}

/// Learns for some steps. With `is_held` weights of matrices that are zero get no gradient and stay zero.
///
/// Deterministic. `observe` is told steps done and all, before each.
///
/// # Errors
/// `LearnError`; `Diverged` at the first loss that is not finite.
pub fn learn(
    config: &Config,
    goal: Goal<'_>,
    (hub, tensors): (&HubConfig, &Tensors),
    rows: &[Vec<u32>],
    is_held: bool,
    observe: &mut dyn FnMut(usize, usize) -> Control,
) -> Result<(Tensors, Findings), LearnError> {
    let positions = rows.first().map_or(0, Vec::len);
    if positions < 2 {
        return Err(LearnError::NoRows);
    }
    let llama = Llama::from_tensors(llama_shape(hub, tensors, positions)?, tensors.clone())?;
    if let Goal::Teacher { teacher, temperature } = goal {
        if temperature.is_nan() || temperature <= 0.0 {
            return Err(LearnError::Temperature(temperature));
        }
        let (teacher, student) = (teacher.vocab(), llama.config().vocab);
        if teacher != student {
            return Err(LearnError::Vocabulary { teacher, student });
        }
    }
    let masks = if is_held { masks(tensors)? } else { BTreeMap::new() };
    let mut adam = Adam::default();
    let mut losses = Vec::with_capacity(config.steps);
    for step in 0..config.steps {
        if let Control::Stop(reason) = observe(step, config.steps) {
            return Err(LearnError::Stopped(reason));
        }
        let batch: Vec<&Vec<u32>> =
            (0..config.batch.max(1)).map(|at| &rows[(step * config.batch.max(1) + at) % rows.len()]).collect();
        let loss = loss(&llama, goal, &batch)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(LearnError::Diverged { step, loss: value });
        }
        losses.push(value);
        let gradients = loss.backward()?;
        adam.step(rate(config, step), llama.parameters(), &gradients, &masks)?;
    }
    let learned: Tensors = llama
        .tensors()
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.copy()?)))
        .collect::<candle_core::Result<_>>()?;
    let zeros = |mask: &Tensor| -> candle_core::Result<f64> {
        Ok(mask.elem_count() as f64 - f64::from(mask.sum_all()?.to_scalar::<f32>()?))
    };
    let n_held = masks.values().map(zeros).sum::<candle_core::Result<f64>>()? as u64;
    Ok((learned, Findings { losses, n_held }))
}

/// 1 where a weight of a matrix may move, 0 where it is zero.
fn masks(tensors: &Tensors) -> candle_core::Result<BTreeMap<String, Tensor>> {
    let of_matrix = tensors.iter().filter(|(name, _)| site(name).is_some());
    of_matrix.map(|(name, tensor)| Ok((name.clone(), tensor.ne(0.0)?.to_dtype(DType::F32)?))).collect()
}

fn rate(config: &Config, step: usize) -> f64 {
    let (n, warm) = (config.steps as f64, (config.steps as f64 / 10.0).max(1.0));
    let at = step as f64 + 1.0;
    let falling = 1.0 - 0.9 * ((at - warm) / (n - warm).max(1.0)).clamp(0.0, 1.0);
    config.rate * (at / warm).min(1.0) * falling
}

/// ln softmax over the last dimension, as composed operations that have a gradient.
fn log_softmax(logits: &Tensor) -> candle_core::Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

fn loss(llama: &Llama, goal: Goal<'_>, batch: &[&Vec<u32>]) -> Result<Tensor, LearnError> {
    let (n, positions) = (batch.len(), batch[0].len());
    let flat: Vec<u32> = batch.iter().flat_map(|row| row.iter().copied()).collect();
    let tokens = Tensor::from_vec(flat, (n, positions), &Device::Cpu)?;
    let logits = llama.logits(&tokens)?;
    match goal {
        Goal::NextToken => {
            let log_probs = log_softmax(&logits.narrow(1, 0, positions - 1)?)?;
            let targets = tokens.narrow(1, 1, positions - 1)?.contiguous()?.unsqueeze(2)?;
            Ok(log_probs.contiguous()?.gather(&targets, 2)?.mean_all()?.neg()?)
        }
        Goal::Teacher { teacher, temperature } => {
            let mut rows: Vec<Row> = batch.iter().map(|tokens| Row::alone(tokens)).collect();
            let taught = teacher.logits(&mut rows)?.reshape((n, positions, teacher.vocab()))?;
            let taught = log_softmax(&(taught / temperature)?)?.detach();
            let learned = log_softmax(&(logits / temperature)?)?;
            let divergence = (taught.exp()? * (taught - learned)?)?.sum(D::Minus1)?.mean_all()?;
            Ok((divergence * (temperature * temperature))?)
        }
    }
}

/// β₁ 0.9, β₂ 0.95, ε 1e-8, gradients clipped to norm 1.
#[derive(Default)]
struct Adam {
    moments: BTreeMap<String, (Tensor, Tensor)>,
    n: i32,
}

impl Adam {
    fn step(
        &mut self,
        rate: f64,
        parameters: &BTreeMap<String, Var>,
        found: &GradStore,
        masks: &BTreeMap<String, Tensor>,
    ) -> candle_core::Result<()> {
        const BETAS: (f64, f64) = (0.9, 0.95);
        self.n += 1;
        let mut gradients = BTreeMap::new();
        let mut square = 0.0;
        for (name, var) in parameters {
            let Some(gradient) = found.get(var.as_tensor()) else { continue };
            let gradient = match masks.get(name) {
                Some(mask) => (gradient * mask)?,
                None => gradient.clone(),
            };
            square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            gradients.insert(name, gradient);
        }
        let clip = 1.0_f64.min(1.0 / square.sqrt().max(1e-12));
        let (first, second) = (1.0 - BETAS.0.powi(self.n), 1.0 - BETAS.1.powi(self.n));
        for (name, gradient) in gradients {
            let gradient = (gradient * clip)?;
            let zero = || Ok::<_, candle_core::Error>((gradient.zeros_like()?, gradient.zeros_like()?));
            let (m, v) = match self.moments.remove(name) {
                Some(moments) => moments,
                None => zero()?,
            };
            let m = ((m * BETAS.0)? + (&gradient * (1.0 - BETAS.0))?)?;
            let v = ((v * BETAS.1)? + (gradient.sqr()? * (1.0 - BETAS.1))?)?;
            let step = ((&m / first)? / ((&v / second)?.sqrt()? + 1e-8)?)?;
            let var = &parameters[name];
            var.set(&(var.as_detached_tensor() - (step * rate)?)?)?;
            self.moments.insert(name.clone(), (m, v));
        }
        Ok(())
    }
}
