//! How weights move along a gradient. Each rule has a file of its own with its equation and its source.
//!
//! Legend: w weights, g gradient of J, η learning rate of the step, t the step (1, 2, …), λ weight decay.

mod adafactor;
mod adam;
mod descent;
mod lion;
mod muon;

use crate::{
    gradient::{Gradient, GradientError},
    slices::update_entries,
};
use adafactor::Adafactor;
use candle_core::{Device, Tensor, Var};
use descent::Sgd;
use lion::Lion;
use muon::Muon;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// A rule of update and its hyperparameters, which its file explains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// Over the whole corpus at each step.
    GradientDescent,
    Sgd {
        momentum: f64,
        nesterov: bool,
    },
    Adam {
        beta1: f64,
        beta2: f64,
        eps: f64,
    },
    AdamW {
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
    },
    Lion {
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
    },
    Adafactor {
        beta2_decay: f64,
        eps: f64,
        scale_floor: f64,
        update_clip: f64,
        weight_decay: f64,
    },
    Muon {
        momentum: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
    },
}

/// What numbers a setting may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// At least 0 and below 1.
    Share,
    /// Finite, above 0.
    Positive,
    /// Finite, at least 0.
    Weight,
}

/// A setting by its name in a case file and in a record.
pub(crate) type Setting = (&'static str, &'static str, f64, Range);

impl Optimizer {
    pub const SGD: Self = Self::Sgd { momentum: 0.9, nesterov: false };
    pub const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    pub const ADAM_W: Self = Self::AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    pub const LION: Self = Self::Lion { beta1: 0.9, beta2: 0.99, weight_decay: 0.1 };
    pub const ADAFACTOR: Self = Self::Adafactor {
        beta2_decay: 0.8,
        eps: f32::EPSILON as f64,
        scale_floor: 1e-3,
        update_clip: 1.0,
        weight_decay: 0.0,
    };
    pub const MUON: Self = Self::Muon { momentum: 0.95, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    /// Each with its defaults.
    pub const ALL: [Self; 7] =
        [Self::GradientDescent, Self::SGD, Self::ADAM, Self::ADAM_W, Self::LION, Self::ADAFACTOR, Self::MUON];

    /// The name a case file uses.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GradientDescent => "gradient-descent",
            Self::Sgd { .. } => "sgd",
            Self::Adam { .. } => "adam",
            Self::AdamW { .. } => "adamw",
            Self::Lion { .. } => "lion",
            Self::Adafactor { .. } => "adafactor",
            Self::Muon { .. } => "muon",
        }
    }

    /// The optimiser of that name, with its defaults.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|optimizer| optimizer.name() == name)
    }

    /// Whether a step takes the whole corpus.
    #[must_use]
    pub const fn takes_full_batch(&self) -> bool {
        matches!(self, Self::GradientDescent)
    }

    /// Buffers as large as the parameters that it keeps, at most.
    #[must_use]
    pub const fn n_states(&self) -> u64 {
        match self {
            Self::GradientDescent | Self::Adafactor { .. } => 0,
            Self::Sgd { .. } | Self::Lion { .. } => 1,
            Self::Adam { .. } | Self::AdamW { .. } | Self::Muon { .. } => 2,
        }
    }

    pub(crate) fn settings(&self) -> Vec<Setting> {
        use Range::{Positive, Share, Weight};
        match *self {
            Self::GradientDescent => Vec::new(),
            Self::Sgd { momentum, .. } => vec![("momentum", "momentum", momentum, Share)],
            Self::Adam { beta1, beta2, eps } => {
                vec![("beta1", "beta1", beta1, Share), ("beta2", "beta2", beta2, Share), ("eps", "eps", eps, Positive)]
            }
            Self::AdamW { beta1, beta2, eps, weight_decay } => vec![
                ("beta1", "beta1", beta1, Share),
                ("beta2", "beta2", beta2, Share),
                ("eps", "eps", eps, Positive),
                ("weight_decay", "weightDecay", weight_decay, Weight),
            ],
            Self::Lion { beta1, beta2, weight_decay } => vec![
                ("beta1", "beta1", beta1, Share),
                ("beta2", "beta2", beta2, Share),
                ("weight_decay", "weightDecay", weight_decay, Weight),
            ],
            Self::Adafactor { beta2_decay, eps, scale_floor, update_clip, weight_decay } => vec![
                ("beta2_decay", "beta2Decay", beta2_decay, Share),
                ("eps", "eps", eps, Positive),
                ("scale_floor", "scaleFloor", scale_floor, Positive),
                ("update_clip", "updateClip", update_clip, Positive),
                ("weight_decay", "weightDecay", weight_decay, Weight),
            ],
            Self::Muon { momentum, beta1, beta2, eps, weight_decay } => vec![
                ("momentum", "momentum", momentum, Share),
                ("beta1", "beta1", beta1, Share),
                ("beta2", "beta2", beta2, Share),
                ("eps", "eps", eps, Positive),
                ("weight_decay", "weightDecay", weight_decay, Weight),
            ],
        }
    }

    /// Gives a setting another value; whether it has one of that name. `nesterov` is 1 or 0.
    pub fn set(&mut self, name: &str, to: f64) -> bool {
        let place = match (self, name) {
            (Self::Sgd { nesterov, .. }, "nesterov") => {
                *nesterov = to != 0.0;
                return true;
            }
            (Self::Sgd { momentum, .. } | Self::Muon { momentum, .. }, "momentum") => momentum,
            (
                Self::Adam { beta1, .. }
                | Self::AdamW { beta1, .. }
                | Self::Lion { beta1, .. }
                | Self::Muon { beta1, .. },
                "beta1",
            ) => beta1,
            (
                Self::Adam { beta2, .. }
                | Self::AdamW { beta2, .. }
                | Self::Lion { beta2, .. }
                | Self::Muon { beta2, .. },
                "beta2",
            ) => beta2,
            (
                Self::Adam { eps, .. } | Self::AdamW { eps, .. } | Self::Adafactor { eps, .. } | Self::Muon { eps, .. },
                "eps",
            ) => eps,
            (
                Self::AdamW { weight_decay, .. }
                | Self::Lion { weight_decay, .. }
                | Self::Adafactor { weight_decay, .. }
                | Self::Muon { weight_decay, .. },
                "weight_decay",
            ) => weight_decay,
            (Self::Adafactor { beta2_decay, .. }, "beta2_decay") => beta2_decay,
            (Self::Adafactor { scale_floor, .. }, "scale_floor") => scale_floor,
            (Self::Adafactor { update_clip, .. }, "update_clip") => update_clip,
            _ => return false,
        };
        *place = to;
        true
    }

    /// λ, where it is decoupled.
    const fn weight_decay(&self) -> f64 {
        match *self {
            Self::GradientDescent | Self::Sgd { .. } | Self::Adam { .. } => 0.0,
            Self::AdamW { weight_decay, .. }
            | Self::Lion { weight_decay, .. }
            | Self::Adafactor { weight_decay, .. }
            | Self::Muon { weight_decay, .. } => weight_decay,
        }
    }

    /// The moving averages it keeps of a parameter, by their names in a snapshot, with their shapes.
    fn moments(&self, name: &str, dims: &[usize]) -> Vec<(&'static str, Vec<usize>)> {
        let whole = |names: &[&'static str]| names.iter().map(|&moment| (moment, dims.to_vec())).collect();
        match self {
            Self::GradientDescent => Vec::new(),
            Self::Sgd { .. } => whole(&["velocity"]),
            Self::Lion { .. } => whole(&["first"]),
            Self::Adafactor { .. } => match dims {
                &[rows, columns] => vec![("rows", vec![rows]), ("columns", vec![columns])],
                _ => whole(&["second"]),
            },
            Self::Muon { .. } if muon::takes(name, dims) => whole(&["velocity"]),
            Self::Adam { .. } | Self::AdamW { .. } | Self::Muon { .. } => whole(&["first", "second"]),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the optimiser state lacks `{0}`")]
    Missing(String),
    #[error("expected shape {expected:?} for `{name}` of the optimiser state, found {found:?}")]
    Shape { name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("the tensor engine could not read the optimiser state")]
    Engine(#[from] candle_core::Error),
}

/// What an optimiser remembers between steps: one buffer a moment and parameter, f32, zero at first.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    optimizer: Optimizer,
    /// By parameter, in the order of `Optimizer::moments`.
    buffers: BTreeMap<String, Vec<Buffer>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Buffer {
    moment: &'static str,
    dims: Vec<usize>,
    entries: Vec<f32>,
}

impl State {
    #[must_use]
    pub fn new(optimizer: Optimizer, parameters: &BTreeMap<String, Var>) -> Self {
        let buffer = |(moment, dims): (&'static str, Vec<usize>)| {
            let entries = vec![0.0; dims.iter().product()];
            Buffer { moment, dims, entries }
        };
        let of = |(name, var): (&String, &Var)| {
            (name.clone(), optimizer.moments(name, var.dims()).into_iter().map(buffer).collect())
        };
        Self { optimizer, buffers: parameters.iter().map(of).collect() }
    }

    /// The state as tensors named `<moment>.<parameter>`.
    ///
    /// # Errors
    /// Those of the tensor engine.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>, StateError> {
        let mut tensors = BTreeMap::new();
        for (name, buffers) in &self.buffers {
            for Buffer { moment, dims, entries } in buffers {
                let tensor = Tensor::from_slice(entries, dims.as_slice(), &Device::Cpu)?;
                tensors.insert(format!("{moment}.{name}"), tensor);
            }
        }
        Ok(tensors)
    }

    /// Reads back what [`State::tensors`] gave.
    ///
    /// # Errors
    /// `Missing` or `Shape` when the tensors are not those of this optimiser and these parameters.
    pub fn from_tensors(
        optimizer: Optimizer,
        parameters: &BTreeMap<String, Var>,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<Self, StateError> {
        let mut state = Self::new(optimizer, parameters);
        for (name, buffers) in &mut state.buffers {
            for Buffer { moment, dims, entries } in buffers {
                let key = format!("{moment}.{name}");
                let tensor = tensors.get(&key).ok_or_else(|| StateError::Missing(key.clone()))?;
                if tensor.dims() != dims.as_slice() {
                    return Err(StateError::Shape { name: key, expected: dims.clone(), found: tensor.dims().to_vec() });
                }
                *entries = tensor.flatten_all()?.to_vec1::<f32>()?;
            }
        }
        Ok(state)
    }

    /// Takes step `step` (1, 2, …) along `scale` · `gradient`, changing the parameters in place.
    ///
    /// f32 entries; parameters are spread over threads, the sums of one never are; scalars are formed in f64 and rounded once.
    ///
    /// # Errors
    /// `Unused` when a parameter has no gradient, `Engine` when a parameter is not f32 on the CPU.
    pub fn step(
        &mut self,
        parameters: &BTreeMap<String, Var>,
        gradient: &Gradient,
        learning_rate: f64,
        scale: f64,
        step: u64,
    ) -> Result<(), GradientError> {
        let (optimizer, slopes) = (self.optimizer, gradient.by_name());
        self.buffers.par_iter_mut().try_for_each(|(name, buffers)| {
            let unused = || GradientError::Unused(name.clone());
            let (var, slopes) = (parameters.get(name).ok_or_else(unused)?, slopes.get(name).ok_or_else(unused)?);
            let mut moments: Vec<&mut [f32]> = buffers.iter_mut().map(|buffer| buffer.entries.as_mut_slice()).collect();
            let (place, rates) = ((name.as_str(), var.dims()), (learning_rate, scale as f32, step));
            let mut moved = Ok(());
            update_entries(var, |weights| moved = move_along(optimizer, place, weights, &mut moments, slopes, rates))?;
            moved
        })
    }
}

/// One parameter's step.
fn move_along(
    optimizer: Optimizer,
    (name, dims): (&str, &[usize]),
    weights: &mut [f32],
    moments: &mut [&mut [f32]],
    slopes: &[f32],
    (learning_rate, scale, step): (f64, f32, u64),
) -> Result<(), GradientError> {
    let rate = learning_rate as f32;
    let keep = if dims.len() >= 2 { (1.0 - learning_rate * optimizer.weight_decay()) as f32 } else { 1.0 };
    match (optimizer, moments) {
        (Optimizer::GradientDescent, []) => descent::descend(weights, slopes, rate * scale),
        (Optimizer::Sgd { momentum, nesterov }, [velocity]) => {
            Sgd { momentum: momentum as f32, nesterov, rate }.update(weights, velocity, slopes, scale);
        }
        (Optimizer::Lion { beta1, beta2, .. }, [first]) => {
            Lion { beta1, beta2, rate }.update(weights, first, slopes, keep, scale);
        }
        (Optimizer::Adafactor { beta2_decay, eps, scale_floor, update_clip, .. }, moments) => {
            let rule = Adafactor { learning_rate, step, beta2_decay, eps, scale_floor, update_clip };
            match moments {
                [rows, columns] => rule.matrix(weights, (rows, columns), slopes, keep, scale),
                [second] => rule.vector(weights, second, slopes, keep, scale),
                _ => return Err(GradientError::Unused(name.to_owned())),
            }
        }
        (Optimizer::Muon { momentum, .. }, [velocity]) => {
            let sides = (dims[0], dims[1]);
            Muon { momentum, learning_rate }.update(weights, velocity, slopes, sides, keep, scale)?;
        }
        (
            Optimizer::Adam { beta1, beta2, eps }
            | Optimizer::AdamW { beta1, beta2, eps, .. }
            | Optimizer::Muon { beta1, beta2, eps, .. },
            [first, second],
        ) => {
            let rates = adam::Rates::at(step, learning_rate, beta1, beta2, eps);
            rates.update(weights, first, second, slopes, keep, scale);
        }
        _ => return Err(GradientError::Unused(name.to_owned())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> BTreeMap<String, Var> {
        let matrix = Var::new(&[[1_f32, -2.0]], &Device::Cpu).unwrap();
        let gain = Var::new(&[4_f32], &Device::Cpu).unwrap();
        BTreeMap::from([("gain".to_owned(), gain), ("matrix".to_owned(), matrix)])
    }

    /// The gradient of ½Σw², which is w.
    fn gradient(parameters: &BTreeMap<String, Var>) -> Gradient {
        let halves = parameters.values().map(|var| (var.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap());
        let objective = halves.reduce(|a, b| (a + b).unwrap()).unwrap();
        let mut gradient = Gradient::zeros(parameters);
        gradient.add(parameters, &[objective.backward().unwrap()]).unwrap();
        gradient
    }

    fn entries(parameters: &BTreeMap<String, Var>) -> Vec<f32> {
        parameters.values().flat_map(|var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
    }

    /// Worked by hand with η = ½, g = w = (4, 1, −2).
    /// Momentum ½, second step: u = ½ · 4 + 2 = 4, w = 2 − 2 = 0. AdamW at t = 1: m/(1−β₁) = g, √(v/(1−β₂)) = |g|, so the
    /// step is η · sign(g), and matrices are first multiplied by 1 − ½ · 0.1.
    #[test]
    fn first_steps_are_those_of_the_equations() {
        let taken = |optimizer: Optimizer, n: u64, scale: f64| {
            let parameters = parameters();
            let mut state = State::new(optimizer, &parameters);
            for step in 1..=n {
                state.step(&parameters, &gradient(&parameters), 0.5, scale, step).unwrap();
            }
            entries(&parameters)
        };
        assert_eq!(taken(Optimizer::GradientDescent, 1, 1.0), [2.0, 0.5, -1.0]);
        assert_eq!(taken(Optimizer::GradientDescent, 1, 0.5), [3.0, 0.75, -1.5]);
        assert_eq!(taken(Optimizer::Sgd { momentum: 0.5, nesterov: false }, 2, 1.0), [0.0, 0.0, 0.0]);
        // Nesterov: u = 4, w = 4 − ½ · (4 + ½ · 4) = 1; then u = ½ · 4 + 1 = 3, w = 1 − ½ · (1 + ½ · 3) = −¼.
        assert_eq!(taken(Optimizer::Sgd { momentum: 0.5, nesterov: true }, 2, 1.0), [-0.25, -0.0625, 0.125]);
        // Lion: only the sign counts; matrices are first multiplied by 1 − ½ · 0.1.
        for (found, expected) in taken(Optimizer::LION, 1, 1.0).iter().zip([3.5, 0.95 - 0.5, -1.9 + 0.5]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        for (found, expected) in taken(Optimizer::ADAM_W, 1, 1.0).iter().zip([3.5, 0.95 - 0.5, -1.9 + 0.5]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn a_state_survives_being_written_as_tensors() {
        for (optimizer, n) in Optimizer::ALL.into_iter().zip([0, 2, 4, 4, 2, 3, 3]) {
            let parameters = parameters();
            let mut state = State::new(optimizer, &parameters);
            state.step(&parameters, &gradient(&parameters), 0.1, 1.0, 1).unwrap();
            let tensors = state.tensors().unwrap();
            assert_eq!(tensors.len(), n, "{optimizer:?}");
            assert_eq!(State::from_tensors(optimizer, &parameters, &tensors).unwrap(), state);
        }
    }

    #[test]
    fn a_state_of_something_else_is_refused() {
        let parameters = parameters();
        let mut tensors = State::new(Optimizer::SGD, &parameters).tensors().unwrap();
        let error = State::from_tensors(Optimizer::ADAM_W, &parameters, &tensors).unwrap_err();
        assert_eq!(error.to_string(), "the optimiser state lacks `first.gain`");
        tensors.insert("velocity.matrix".to_owned(), Tensor::new(&[1_f32], &Device::Cpu).unwrap());
        let error = State::from_tensors(Optimizer::SGD, &parameters, &tensors).unwrap_err();
        assert_eq!(error.to_string(), "expected shape [1, 2] for `velocity.matrix` of the optimiser state, found [1]");
    }

    #[test]
    fn names_round_trip() {
        for optimizer in Optimizer::ALL {
            assert_eq!(Optimizer::from_name(optimizer.name()), Some(optimizer));
        }
        assert_eq!(Optimizer::from_name("adagrad"), None);
    }
}
