//! From the case's words to the configurations of the crates, by hand.

use super::data::Tokens;
use anyhow::Context as _;
use meter::Architecture;
use supervise::case::{Case, FoldPlan, ModelShape, Optimizer, Schedule, TrainPlan};

/// The model and training that a case asks for, with everything worked out.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) model: model::Config,
    pub(crate) train: train::Config,
}

/// The shape of the case itself. The vocabulary is what the tokenizer came to, which may be less than was asked for.
pub(crate) fn of_case(case: &Case, tokens: &Tokens) -> anyhow::Result<Shape> {
    let (model, plan) = parts(case)?;
    shape(model, plan, tokens)
}

/// The small configuration of the folds.
pub(crate) fn of_folds(case: &Case, folds: &FoldPlan, tokens: &Tokens) -> anyhow::Result<Shape> {
    let (model, plan) = parts(case)?;
    let small = ModelShape {
        layers: folds.layers,
        width: folds.width,
        heads: folds.heads,
        kv_heads: folds.heads,
        hidden: (folds.width * 8 / 3).next_multiple_of(32),
        ..model.clone()
    };
    shape(&small, &TrainPlan { tokens: folds.tokens, ..plan.clone() }, tokens)
}

fn parts(case: &Case) -> anyhow::Result<(&ModelShape, &TrainPlan)> {
    let model = case.model.as_ref().context("the case has no `[model]`")?;
    let train = case.train.as_ref().context("the case has no `[train]`")?;
    Ok((model, train))
}

fn shape(shape: &ModelShape, plan: &TrainPlan, tokens: &Tokens) -> anyhow::Result<Shape> {
    let model = model::Config {
        vocab: tokens.tokenizer.vocab_size(),
        layers: shape.layers,
        width: shape.width,
        heads: shape.heads,
        kv_heads: shape.kv_heads,
        hidden: shape.hidden,
        context: shape.context,
        rope_theta: shape.rope_theta,
        norm_eps: shape.norm_eps,
    };
    model.validate()?;
    let steps = plan.tokens.div_ceil((plan.batch * shape.context) as u64);
    let (decay, warmup, floor) = match plan.schedule {
        Schedule::Constant => (train::Decay::Constant, 0.0, 1.0),
        Schedule::Linear { warmup, floor } => (train::Decay::Linear, warmup, floor),
        Schedule::Cosine { warmup, floor } => (train::Decay::Cosine, warmup, floor),
    };
    let train = train::Config {
        optimizer: match plan.optimizer {
            Optimizer::GradientDescent => train::Optimizer::GradientDescent,
            Optimizer::Sgd { momentum } => train::Optimizer::Sgd { momentum },
            Optimizer::AdamW { beta1, beta2, eps, weight_decay } => {
                train::Optimizer::AdamW { beta1, beta2, eps, weight_decay }
            }
        },
        learning_rate: plan.learning_rate,
        schedule: train::Schedule { decay, warmup_steps: (warmup * steps as f64).round() as u64, min_ratio: floor },
        clip_norm: plan.clip_norm,
        penalty: train::Penalty { l1: plan.l1, l2: plan.l2 },
        snapshot_every: plan.snapshot_every,
        ..train::Config::new(plan.seed, steps, plan.batch, shape.context)
    };
    Ok(Shape { model, train })
}

/// The sizes by which the meter counts.
pub(crate) const fn architecture(model: &model::Config) -> Architecture {
    Architecture {
        layers: model.layers as u64,
        width: model.width as u64,
        heads: model.heads as u64,
        kv_heads: model.kv_heads as u64,
        head_width: (model.width / model.heads) as u64,
        hidden: model.hidden as u64,
        vocabulary: model.vocab as u64,
        is_gated: true,
    }
}

impl Shape {
    /// FLOP of a step that predicts `n_tokens` positions in full windows.
    pub(crate) fn step_flop(&self, n_tokens: u64) -> u128 {
        let context = self.train.context as u64;
        architecture(&self.model).training(n_tokens / context.max(1), context)
    }

    pub(crate) fn scoring(&self, batch: usize) -> evaluate::Config {
        evaluate::Config { context: self.train.context, batch, separator: model::END_OF_TEXT_ID }
    }
}
