//! From the case's words to the configurations of the crates, by hand.

use super::data::Tokens;
use anyhow::Context as _;
use meter::Architecture;
use supervise::case::{self, Case, FoldPlan, ModelShape, Schedule, TrainPlan};

/// The model and training that a case asks for, with everything worked out.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) model: model::Config,
    pub(crate) train: train::Config,
    /// What alone is trained beside a model that is held.
    pub(crate) adapters: Option<case::Adapters>,
}

/// The shape of the case itself. The vocabulary is what the tokenizer came to, which may be less than was asked for.
pub(crate) fn of_case(case: &Case, tokens: &Tokens) -> anyhow::Result<Shape> {
    if let (Some(base), Some((held, _))) = (&case.base, &tokens.base) {
        let plan = case.train.as_ref().context("the case has no `[train]`")?;
        let (model, train) = (held.model.config().clone(), training(plan, base.context)?);
        return Ok(Shape { model, train, adapters: base.adapters.clone() });
    }
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
        vocab: tokens.vocab(),
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
    let train = training(plan, shape.context)?;
    Ok(Shape { model, train, adapters: None })
}

/// Everything that is said of training.
fn training(plan: &TrainPlan, context: usize) -> anyhow::Result<train::Config> {
    let steps = plan.tokens.div_ceil((plan.batch * plan.accumulate * context) as u64);
    let (decay, warmup, floor, fall) = match plan.schedule {
        Schedule::Constant => (train::Decay::Constant, 0.0, 1.0, 0.0),
        Schedule::Linear { warmup, floor } => (train::Decay::Linear, warmup, floor, 0.0),
        Schedule::Cosine { warmup, floor } => (train::Decay::Cosine, warmup, floor, 0.0),
        Schedule::StableDecay { warmup, floor, decay } => (train::Decay::StableDecay, warmup, floor, decay),
    };
    let of_steps = |share: f64| (share * steps as f64).round() as u64;
    let schedule =
        train::Schedule { decay, warmup_steps: of_steps(warmup), min_ratio: floor, decay_steps: of_steps(fall) };
    let case::Penalty { l1, l2, heads, channels } = plan.penalty;
    Ok(train::Config {
        optimizer: optimizer(&plan.optimizer)?,
        learning_rate: plan.learning_rate,
        schedule,
        accumulate: plan.accumulate,
        clip_value: plan.clip_value,
        clip_norm: plan.clip_norm,
        order: match plan.order {
            case::Order::Shuffled => train::Order::Shuffled,
            case::Order::AsGiven | case::Order::ShortFirst | case::Order::BySource => train::Order::AsGiven,
        },
        penalty: train::Penalty { l1, l2, heads, channels },
        dropout: plan.dropout,
        label_smoothing: plan.label_smoothing,
        early_stop: plan.early_stop.map(|stop| train::EarlyStop { every: stop.every, patience: stop.patience }),
        checkpoints: plan.checkpoints,
        snapshot_every: plan.snapshot_every,
        keep_snapshots: plan.keep_snapshots,
        ..train::Config::new(plan.seed, steps, plan.batch, context)
    })
}

/// The optimiser of that name with its own defaults, but for decay and momentum: without a word there is none.
fn optimizer(said: &case::Optimizer) -> anyhow::Result<train::Optimizer> {
    let mut optimizer =
        train::Optimizer::from_name(said.name).context("an optimizer that the case knows and training does not")?;
    optimizer.set("weight_decay", 0.0);
    if said.name == "sgd" {
        optimizer.set("momentum", 0.0);
        optimizer.set("nesterov", f64::from(said.nesterov));
    }
    for (name, value) in &said.settings {
        anyhow::ensure!(optimizer.set(name, *value), "`{}` has no setting `{name}`", said.name);
    }
    Ok(optimizer)
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
    ///
    /// With adapters the held weights have no gradient of their own: two passes instead of three, but for the scores and mixes of
    /// attention, and three for what stands beside them. Source: `docs/decisions/0031-fine-tuning.md`.
    pub(crate) fn step_flop(&self, n_tokens: u64) -> u128 {
        let (context, architecture) = (self.train.context as u64, architecture(&self.model));
        let windows = n_tokens / context.max(1);
        let Some(adapters) = &self.adapters else { return architecture.training(windows, context) };
        let forward = architecture.forward(windows, context);
        let between = forward - architecture.forward(n_tokens, 1);
        let sides: usize = self.adapted(adapters).iter().map(|sides| sides.0 + sides.1).sum();
        let beside = 2 * u128::from(n_tokens) * (adapters.rank * sides) as u128;
        2 * forward + between + 3 * beside
    }

    /// (out, in) of every projection that has an adapter.
    fn adapted(&self, adapters: &case::Adapters) -> Vec<(usize, usize)> {
        let is_taken = |name: &str| adapters.targets.iter().any(|target| name.ends_with(&format!(".{target}.weight")));
        let shapes = self.model.shapes().into_iter().filter(|(name, _)| is_taken(name));
        shapes.map(|(_, dims)| (dims[0], dims[1])).collect()
    }

    /// Weights that are trained.
    pub(crate) fn n_trained(&self) -> usize {
        self.adapters.as_ref().map_or_else(
            || self.model.n_parameters(),
            |adapters| self.adapted(adapters).iter().map(|sides| adapters.rank * (sides.0 + sides.1)).sum(),
        )
    }

    /// Passes through the weights that a step is made of.
    pub(crate) const fn n_passes(&self) -> u128 {
        if self.adapters.is_some() { 2 } else { 3 }
    }

    /// FLOP of scoring so many positions in full windows.
    pub(crate) fn look_flop(&self, n_tokens: u64) -> u128 {
        let context = self.train.context as u64;
        architecture(&self.model).forward(n_tokens / context.max(1), context)
    }

    pub(crate) fn scoring(&self, batch: usize) -> evaluate::Config {
        evaluate::Config { context: self.train.context, batch, separator: model::END_OF_TEXT_ID }
    }
}
