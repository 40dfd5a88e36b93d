//! The gradient of J_D over a batch, shard by shard.
//!
//! A batch is always cut into the same shards and their gradients are always added in the same order, so the sum does
//! not depend on whether, or on how many threads, the shards are gone through side by side.

use crate::{
    data::{Batch, DataError},
    gradient::{Gradient, GradientError},
    objective::{ObjectiveError, cross_entropy},
};
use candle_core::backprop::GradStore;
use model::{Llama, LlamaError};
use rayon::prelude::*;

/// Shards of a batch. Four keep four cores busy without a barrier between operations; the matrices of a quarter of a
/// batch are still large enough for the kernels.
const N_SHARDS: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum SlopeError {
    #[error("the forward pass failed")]
    Model(#[from] LlamaError),
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    #[error(transparent)]
    Gradient(#[from] GradientError),
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Adds the gradient of J_D(batch) · (tokens of the batch) / `n_tokens` to `gradient` and gives that product in nats.
///
/// # Errors
/// `SlopeError`; `gradient` may then hold a part of the sum.
pub(crate) fn add(model: &Llama, gradient: &mut Gradient, batch: &Batch, n_tokens: u64) -> Result<f64, SlopeError> {
    let shards = batch.shards(N_SHARDS)?;
    let differentiate = |shard: &Batch| differentiate(model, shard, shard.n_tokens as f64 / n_tokens as f64);
    let found: Vec<(f64, GradStore)> = if side_by_side() {
        shards.par_iter().with_max_len(1).map(differentiate).collect::<Result<_, _>>()?
    } else {
        shards.iter().map(differentiate).collect::<Result<_, _>>()?
    };
    let (losses, found): (Vec<f64>, Vec<GradStore>) = found.into_iter().unzip();
    gradient.add(model.parameters(), &found)?;
    Ok(losses.iter().sum())
}

/// Whether shards may run at the same time. The engine's own pool for entry-by-entry operations serves one caller and
/// makes the others wait spinning, so with it shards take turns; without it (`CANDLE_NUM_THREADS=1`) they do not meet.
fn side_by_side() -> bool {
    candle_core::utils::barrier_pool().n_workers() == 0
}

fn differentiate(model: &Llama, shard: &Batch, share: f64) -> Result<(f64, GradStore), SlopeError> {
    let logits = model.logits(&shard.inputs)?;
    let loss = cross_entropy(&logits, &shard.targets)?;
    let found = loss.mean.affine(share, 0.0).and_then(|mean| mean.backward()).map_err(ObjectiveError::from)?;
    Ok((share * loss.nats, found))
}
