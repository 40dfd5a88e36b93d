//! The gradient of J_D over a batch.

use crate::{
    data::{Batch, DataError},
    gradient::{Gradient, GradientError},
    ranks::RanksError,
};
use model::{
    Llama, LlamaError,
    pass::{PassOptions, Windows},
};

#[derive(Debug, thiserror::Error)]
pub enum SlopeError {
    #[error("the pass through the model failed")]
    Model(#[from] LlamaError),
    #[error(transparent)]
    Gradient(#[from] GradientError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Ranks(#[from] RanksError),
}

/// Adds the gradient of J_D(batch) · (weight of the batch) / `total_weight` to `gradient` and gives that product in nats.
///
/// # Errors
/// `SlopeError`; `gradient` may then hold a part of the sum.
pub(crate) fn add(
    model: &Llama,
    gradient: &mut Gradient,
    batch: &Batch,
    total_weight: f64,
    options: &PassOptions,
) -> Result<f64, SlopeError> {
    with_windows(batch, total_weight, |windows| Ok(model.add_gradient(windows, options, gradient.by_name_mut())?))
}

/// The same product without a gradient.
///
/// # Errors
/// `SlopeError`.
pub(crate) fn loss(model: &Llama, batch: &Batch, total_weight: f64) -> Result<f64, SlopeError> {
    with_windows(batch, total_weight, |windows| Ok(model.loss(windows, 0.0)?))
}

pub(crate) fn with_windows<T>(
    batch: &Batch,
    total_weight: f64,
    pass: impl FnOnce(&Windows<'_>) -> Result<T, SlopeError>,
) -> Result<T, SlopeError> {
    let ids = |side: &candle_core::Tensor| side.flatten_all()?.to_vec1::<u32>();
    let (tokens, targets) =
        (ids(&batch.inputs).map_err(DataError::from)?, ids(&batch.targets).map_err(DataError::from)?);
    let share = 1.0 / total_weight;
    let weights: Vec<f32> = match &batch.weights {
        Some(weights) => weights.iter().map(|&weight| (f64::from(weight) * share) as f32).collect(),
        None => vec![share as f32; tokens.len()],
    };
    let positions = batch.inputs.dims().last().copied().unwrap_or(0);
    let starts = batch.starts.as_deref();
    pass(&Windows { positions, tokens: &tokens, targets: &targets, weights: &weights, starts })
}
