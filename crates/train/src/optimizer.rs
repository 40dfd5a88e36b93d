//! How weights move along a gradient: gradient descent, stochastic gradient descent, AdamW.
//!
//! Legend: w weights, g gradient of J, η learning rate of the step, t the step (1, 2, …).

use crate::gradient::{Gradient, GradientError, for_each_parameter};
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;

/// A rule of update and its hyperparameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// w ← w − η · g, with g over the whole corpus at each step. Source: Cauchy 1847.
    GradientDescent,
    /// u ← μ · u + g; w ← w − η · u, with g over one batch.
    ///
    /// μ `momentum`: 0 to 1, default 0.9 (Sutskever et al. 2013, section 3, in the form PyTorch uses, where η multiplies
    /// the sum). With μ = 0 it is Robbins and Monro 1951.
    Sgd { momentum: f64 },
    /// Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2.
    ///
    /// w ← w − η · λ · w (matrices only); m ← β₁ · m + (1 − β₁) · g; v ← β₂ · v + (1 − β₂) · g²;
    /// w ← w − η / (1 − β₁ᵗ) · m / (√(v / (1 − β₂ᵗ)) + ε).
    ///
    /// | symbol | field | range | default | whence |
    /// |---|---|---|---|---|
    /// | β₁ | `beta1` | 0 to 1 | 0.9 | Kingma and Ba 2015 |
    /// | β₂ | `beta2` | 0 to 1 | 0.95 | Touvron et al. 2023, section 2.3 |
    /// | ε | `eps` | over 0 | 1e-8 | Kingma and Ba 2015 |
    /// | λ | `weight_decay` | 0 or more | 0.1 | Touvron et al. 2023, section 2.3 |
    AdamW { beta1: f64, beta2: f64, eps: f64, weight_decay: f64 },
}

impl Optimizer {
    pub const SGD: Self = Self::Sgd { momentum: 0.9 };
    pub const ADAM_W: Self = Self::AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };

    /// The name a case file uses.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GradientDescent => "gradient-descent",
            Self::Sgd { .. } => "sgd",
            Self::AdamW { .. } => "adamw",
        }
    }

    /// The optimiser of that name, with its defaults.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::GradientDescent, Self::SGD, Self::ADAM_W].into_iter().find(|optimizer| optimizer.name() == name)
    }

    /// Whether a step takes the whole corpus.
    #[must_use]
    pub const fn takes_full_batch(&self) -> bool {
        matches!(self, Self::GradientDescent)
    }

    /// The moving averages it keeps, by their names in a snapshot.
    const fn moments(&self) -> &'static [&'static str] {
        match self {
            Self::GradientDescent => &[],
            Self::Sgd { .. } => &["velocity"],
            Self::AdamW { .. } => &["first", "second"],
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
    /// moment name → parameter name → entries.
    moments: BTreeMap<&'static str, BTreeMap<String, Vec<f32>>>,
}

impl State {
    #[must_use]
    pub fn new(optimizer: Optimizer, parameters: &BTreeMap<String, Var>) -> Self {
        let zeros = || parameters.iter().map(|(name, var)| (name.clone(), vec![0.0; var.elem_count()])).collect();
        Self { optimizer, moments: optimizer.moments().iter().map(|&moment| (moment, zeros())).collect() }
    }

    /// The state as tensors named `<moment>.<parameter>`, of the parameter's shape.
    ///
    /// # Errors
    /// Those of the tensor engine.
    pub fn tensors(&self, parameters: &BTreeMap<String, Var>) -> Result<BTreeMap<String, Tensor>, StateError> {
        let mut tensors = BTreeMap::new();
        for (moment, buffers) in &self.moments {
            for (name, var) in parameters {
                let key = format!("{moment}.{name}");
                let entries = buffers.get(name).ok_or_else(|| StateError::Missing(key.clone()))?;
                tensors.insert(key, Tensor::from_slice(entries, var.shape(), &Device::Cpu)?);
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
        for (moment, buffers) in &mut state.moments {
            for (name, buffer) in buffers {
                let key = format!("{moment}.{name}");
                let tensor = tensors.get(&key).ok_or_else(|| StateError::Missing(key.clone()))?;
                let expected = parameters[name].dims();
                if tensor.dims() != expected {
                    return Err(StateError::Shape {
                        name: key,
                        expected: expected.to_vec(),
                        found: tensor.dims().to_vec(),
                    });
                }
                *buffer = tensor.flatten_all()?.to_vec1::<f32>()?;
            }
        }
        Ok(state)
    }

    /// Takes step `step` (1, 2, …) along `scale` · `gradient`, changing the parameters in place.
    ///
    /// f32 entries, one order, no dependence on threads; scalars are formed in f64 and rounded once.
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
        let scale = scale as f32;
        match self.optimizer {
            Optimizer::GradientDescent => for_each_parameter(parameters, gradient, |_, _, weights, slopes| {
                descend(weights, slopes, learning_rate as f32 * scale);
            }),
            Optimizer::Sgd { momentum } => {
                let [velocity] = self.buffers(["velocity"])?;
                for_each_parameter(parameters, gradient, |name, _, weights, slopes| {
                    if let Some(velocity) = velocity.get_mut(name) {
                        sgd(weights, velocity, slopes, momentum as f32, learning_rate as f32, scale);
                    }
                })
            }
            Optimizer::AdamW { beta1, beta2, eps, weight_decay } => {
                let [first, second] = self.buffers(["first", "second"])?;
                let rates = AdamWRates::at(step, learning_rate, beta1, beta2, eps);
                for_each_parameter(parameters, gradient, |name, is_matrix, weights, slopes| {
                    if let (Some(m), Some(v)) = (first.get_mut(name), second.get_mut(name)) {
                        let decay = if is_matrix { learning_rate * weight_decay } else { 0.0 };
                        rates.update(weights, m, v, slopes, (1.0 - decay) as f32, scale);
                    }
                })
            }
        }
    }

    fn buffers<const N: usize>(
        &mut self,
        names: [&'static str; N],
    ) -> Result<[&mut BTreeMap<String, Vec<f32>>; N], GradientError> {
        let found: Vec<_> =
            self.moments.iter_mut().filter(|(name, _)| names.contains(name)).map(|(_, map)| map).collect();
        found.try_into().map_err(|_| GradientError::Unused(names.join(", ")))
    }
}

fn descend(weights: &mut [f32], slopes: &[f32], rate: f32) {
    weights.iter_mut().zip(slopes).for_each(|(w, g)| *w -= rate * g);
}

fn sgd(weights: &mut [f32], velocity: &mut [f32], slopes: &[f32], momentum: f32, rate: f32, scale: f32) {
    for ((w, u), g) in weights.iter_mut().zip(velocity).zip(slopes) {
        *u = momentum * *u + scale * g;
        *w -= rate * *u;
    }
}

/// The scalars of one AdamW step.
struct AdamWRates {
    beta1: f32,
    one_less_beta1: f32,
    beta2: f32,
    one_less_beta2: f32,
    /// η / (1 − β₁ᵗ)
    rate: f32,
    /// 1 / √(1 − β₂ᵗ)
    root_correction: f32,
    eps: f32,
}

impl AdamWRates {
    fn at(step: u64, learning_rate: f64, beta1: f64, beta2: f64, eps: f64) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            beta1: beta1 as f32,
            one_less_beta1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            one_less_beta2: (1.0 - beta2) as f32,
            rate: (learning_rate / correction(beta1)) as f32,
            root_correction: correction(beta2).sqrt().recip() as f32,
            eps: eps as f32,
        }
    }

    fn update(&self, weights: &mut [f32], m: &mut [f32], v: &mut [f32], slopes: &[f32], keep: f32, scale: f32) {
        for (((w, m), v), g) in weights.iter_mut().zip(m).zip(v).zip(slopes) {
            let g = scale * g;
            *m = self.beta1 * *m + self.one_less_beta1 * g;
            *v = self.beta2 * *v + self.one_less_beta2 * g * g;
            *w = keep * *w - self.rate * *m / (v.sqrt() * self.root_correction + self.eps);
        }
    }
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
        assert_eq!(taken(Optimizer::Sgd { momentum: 0.5 }, 2, 1.0), [0.0, 0.0, 0.0]);
        for (found, expected) in taken(Optimizer::ADAM_W, 1, 1.0).iter().zip([3.5, 0.95 - 0.5, -1.9 + 0.5]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn a_state_survives_being_written_as_tensors() {
        for optimizer in [Optimizer::GradientDescent, Optimizer::SGD, Optimizer::ADAM_W] {
            let parameters = parameters();
            let mut state = State::new(optimizer, &parameters);
            state.step(&parameters, &gradient(&parameters), 0.1, 1.0, 1).unwrap();
            let tensors = state.tensors(&parameters).unwrap();
            assert_eq!(tensors.len(), 2 * optimizer.moments().len());
            assert_eq!(State::from_tensors(optimizer, &parameters, &tensors).unwrap(), state);
        }
    }

    #[test]
    fn a_state_of_something_else_is_refused() {
        let parameters = parameters();
        let mut tensors = State::new(Optimizer::SGD, &parameters).tensors(&parameters).unwrap();
        let error = State::from_tensors(Optimizer::ADAM_W, &parameters, &tensors).unwrap_err();
        assert_eq!(error.to_string(), "the optimiser state lacks `first.gain`");
        tensors.insert("velocity.matrix".to_owned(), Tensor::new(&[1_f32], &Device::Cpu).unwrap());
        let error = State::from_tensors(Optimizer::SGD, &parameters, &tensors).unwrap_err();
        assert_eq!(error.to_string(), "expected shape [1, 2] for `velocity.matrix` of the optimiser state, found [1]");
    }

    #[test]
    fn names_round_trip() {
        for optimizer in [Optimizer::GradientDescent, Optimizer::SGD, Optimizer::ADAM_W] {
            assert_eq!(Optimizer::from_name(optimizer.name()), Some(optimizer));
        }
        assert_eq!(Optimizer::from_name("adam"), None);
    }
}
