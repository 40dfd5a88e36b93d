//! The prediction of a run, made before it starts, and scored afterwards.

use crate::{carbon::Intensity, flop::Architecture, power::Joules};
use evidence::{DIGITS_MEASURED, Decimal, DecimalError, Json, Round, Unit};

/// A predicted quantity with its interval and every assumption by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    pub name: &'static str,
    pub value: Decimal,
    pub lower: Decimal,
    pub upper: Decimal,
    pub unit: Unit,
    /// What was done, then everything that was taken for granted.
    pub method: String,
}

impl Quantity {
    /// # Errors
    /// `DecimalError` for a number that is not finite.
    pub fn new(name: &'static str, bounds: Joules, unit: Unit, method: String) -> Result<Self, DecimalError> {
        Ok(Self {
            name,
            value: Decimal::from_f64(bounds.value, DIGITS_MEASURED, Round::Nearest)?,
            lower: Decimal::from_f64(bounds.lower, DIGITS_MEASURED, Round::Down)?,
            upper: Decimal::from_f64(bounds.upper, DIGITS_MEASURED, Round::Up)?,
            unit,
            method,
        })
    }

    #[must_use]
    fn assuming(self, assumptions: &[String]) -> Self {
        Self { method: format!("{}; assuming {}", self.method, assumptions.join("; ")), ..self }
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([
            ("name", Some(self.name.into())),
            ("value", Some(self.value.into())),
            ("lower", Some(self.lower.into())),
            ("upper", Some(self.upper.into())),
            ("unit", Some(self.unit.symbol().into())),
            ("method", Some(self.method.as_str().into())),
        ])
    }
}

/// What a prediction is made from.
#[derive(Debug, Clone)]
pub struct PlanInput<'a> {
    pub architecture: Architecture,
    /// Sequences and positions of one step.
    pub batch: u64,
    pub context: u64,
    /// Of training alone, exact.
    pub training_flop: u128,
    /// Of everything the case does: training, folds, scoring.
    pub case_flop: u128,
    /// Throughput probed on this machine, FLOP/s, with bounds.
    pub flop_per_s: Joules,
    /// Watts with bounds.
    pub watts: Joules,
    pub power_method: &'a str,
    pub intensity: Option<&'a Intensity>,
    /// Numbers that are trained; the others of the model are held.
    pub trained: u64,
    /// Tensors of the size of what is trained that the optimiser keeps.
    pub optimizer_states: u64,
    /// Whether activations are kept in two bytes a number.
    pub halves_activations: bool,
}

/// Predicts compute, time, memory, energy, and, where the grid is known, carbon.
///
/// Time: the whole case's FLOP ÷ probed throughput, widened by half on the slow side for snapshots, tokenizer and a busy machine, by a
/// fifth on the fast side. Memory: by formula, from 0.8 to 2 times. Energy and carbon: products, ends outward.
///
/// # Errors
/// `DecimalError` when a throughput of zero or a NaN was probed.
pub fn predict(input: &PlanInput<'_>) -> Result<Vec<Quantity>, DecimalError> {
    let flop = Decimal::from_u128(input.training_flop, Round::Nearest);
    let seconds = Joules {
        lower: 0.8 * input.case_flop as f64 / input.flop_per_s.upper,
        value: input.case_flop as f64 / input.flop_per_s.value,
        upper: 1.5 * input.case_flop as f64 / input.flop_per_s.lower + 30.0,
    };
    let sizes = (input.batch, input.context);
    let memory = training_memory_bytes(
        &input.architecture,
        sizes,
        (input.trained, input.optimizer_states),
        input.halves_activations,
    );
    let kwh = |seconds: f64, watts: f64| seconds * watts / 3.6e6;
    let energy = Joules {
        lower: kwh(seconds.lower, input.watts.lower),
        value: kwh(seconds.value, input.watts.value),
        upper: kwh(seconds.upper, input.watts.upper),
    };
    let mut quantities = vec![
        Quantity {
            name: "compute",
            value: flop,
            lower: Decimal::from_u128(input.training_flop, Round::Down),
            upper: Decimal::from_u128(input.training_flop, Round::Up),
            unit: Unit::Flop,
            method: format!("{}; assuming that every planned step is taken, once", crate::flop::CONVENTION),
        },
        Quantity::new("time", seconds, Unit::Second, "FLOP of the whole case ÷ throughput probed on this machine".to_owned())?.assuming(&[
            format!("throughput of {:.3e} to {:.3e} FLOP/s, by probing", input.flop_per_s.lower, input.flop_per_s.upper),
            "a fifth less on the fast side; half as much again and 30 s on the slow side for snapshots, tokenizer and a busy machine".to_owned(),
        ]),
        Quantity::new(
            "memory",
            Joules { lower: 0.8 * memory, value: memory, upper: 2.0 * memory },
            Unit::Byte,
            if input.halves_activations {
                "weights, gradients and optimiser state in f32, activations in bf16, by formula".to_owned()
            } else {
                "weights, gradients, optimiser state and activations in f32, by formula".to_owned()
            },
        )?
        .assuming(&[
            format!("the optimiser keeps {} tensors of the size of what is trained", input.optimizer_states),
            "fused operations keep no score matrix and no logits until the step ends; 0.8 to 2 times the formula".to_owned(),
        ]),
        Quantity::new("energy", energy, Unit::KilowattHour, format!("time × power; {}", input.power_method))?.assuming(&[
            format!("between {:.3} and {:.3} W for as long as the case takes", input.watts.lower, input.watts.upper),
            "power supply, cooling, memory and network are outside".to_owned(),
        ]),
    ];
    if let Some(intensity) = input.intensity {
        let grams = intensity.grams_per_kwh.to_f64();
        let carbon = Joules { lower: energy.lower * grams, value: energy.value * grams, upper: energy.upper * grams };
        let predicted =
            Quantity::new("carbon", carbon, Unit::GramCo2e, format!("energy × intensity; {}", intensity.convention()))?;
        quantities.push(
            predicted.assuming(&[format!("the grid of {} is as it was in {}", intensity.country, intensity.year)]),
        );
    }
    Ok(quantities)
}

/// Peak bytes of one training step in f32 with fused operations: weights, of what is trained the gradients and `optimizer_states` tensors,
/// per layer what is kept for the way back, about 8 widths and 1.5 hidden widths a token, and 50 MB of program. Attention keeps no score
/// matrix, cross-entropy no logits. Activations are kept in f32, or halved in bf16.
///
/// Source: the terms of Korthikanti et al. 2022, section 4; the two factors are set by peaks measured before the pass went to threads of the
/// pool, which costs 0.6 of the second more (record 41), within the 2 times that `predict` allows for: 435 MB for 6 layers of width 384
/// on 2,048 tokens, 177 MB for 4 layers of width 256 on as many (`docs/benchmarks.md`), 1,066 MB for adapters beside 30 layers of width
/// 576 on 512 tokens (`examples/fine-tune`), where it gives 450, 206 and 1,024 MB. Of the measurement of
/// decision 37, which it was not set by, it says 551 MB in f32 and 349 MB in bf16, where 500 and 362 were measured.
#[must_use]
pub fn training_memory_bytes(
    a: &Architecture,
    (batch, context): (u64, u64),
    (trained, optimizer_states): (u64, u64),
    halves_activations: bool,
) -> f64 {
    let tokens = batch as f64 * context as f64;
    let weights = a.parameters() as f64 + trained as f64 * (1.0 + optimizer_states as f64);
    let layer = tokens * (8.0 * a.width as f64 + 1.5 * a.hidden as f64);
    let activation = if halves_activations { 2.0 } else { 4.0 };
    4.0 * weights + activation * a.layers as f64 * layer + 5e7
}

/// Whether a quantity known to an interval crosses a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossing {
    No,
    /// The interval straddles the threshold: to be treated as crossed.
    Possible,
    Yes,
}

impl Crossing {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Possible => "possible",
            Self::Yes => "yes",
        }
    }

    /// `crosses` is the threshold's own operator: `>` and `>=` differ at the number itself.
    #[must_use]
    pub fn of(lower: Decimal, upper: Decimal, crosses: impl Fn(Decimal) -> bool) -> Self {
        match (crosses(lower), crosses(upper)) {
            (true, true) => Self::Yes,
            (false, false) => Self::No,
            _ => Self::Possible,
        }
    }
}

/// A prediction beside what was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    pub name: &'static str,
    pub is_inside: bool,
    /// Width of the interval, plus twenty times the distance outside it: the interval score at 90 % (Gneiting and Raftery 2007,
    /// equation 43).
    pub interval_score: Decimal,
}

/// Scores a prediction.
///
/// # Errors
/// `DecimalError` for numbers out of range.
pub fn score(predicted: &Quantity, measured: Decimal) -> Result<Score, DecimalError> {
    let (lower, upper, x) = (predicted.lower.to_f64(), predicted.upper.to_f64(), measured.to_f64());
    let outside = (lower - x).max(0.0) + (x - upper).max(0.0);
    let score = (upper - lower) + 20.0 * outside;
    Ok(Score {
        name: predicted.name,
        is_inside: predicted.lower <= measured && measured <= predicted.upper,
        interval_score: Decimal::from_f64(score, DIGITS_MEASURED, Round::Nearest)?,
    })
}
