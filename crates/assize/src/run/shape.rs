//! From the case's words to the configurations of the crates, by hand.

use super::data::Tokens;
use anyhow::Context as _;
use meter::Architecture;
use supervise::case::{self, Case, FoldPlan, LambdaPlan, ModelShape, Schedule, TrainPlan};

/// The model and training that a case asks for, with everything worked out.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) model: model::Config,
    pub(crate) train: train::Config,
    /// What alone is trained beside a model that is held.
    pub(crate) adapters: Option<case::Adapters>,
    /// What tells classes, where the case asks for it.
    pub(crate) head: Option<Head>,
}

/// A head that tells classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) n_classes: usize,
    /// Whether the model below is held.
    pub(crate) is_alone: bool,
}

/// The shape of the case itself. The vocabulary is what the tokenizer came to, which may be less than was asked for.
pub(crate) fn of_case(case: &Case, tokens: &Tokens) -> anyhow::Result<Shape> {
    of_plan(case, case.train.as_ref().context("the case has no `[train]`")?, tokens)
}

/// The shape of the fits that choose λ.
pub(crate) fn of_fits(case: &Case, lambda: &LambdaPlan, tokens: &Tokens) -> anyhow::Result<Shape> {
    let plan = case.train.as_ref().context("the case has no `[train]`")?;
    of_plan(case, &TrainPlan { tokens: lambda.tokens.unwrap_or(plan.tokens), ..plan.clone() }, tokens)
}

fn of_plan(case: &Case, plan: &TrainPlan, tokens: &Tokens) -> anyhow::Result<Shape> {
    let (classifier, labels) = (plan.classifier.as_ref(), tokens.labels.as_ref());
    let head = classifier
        .zip(labels)
        .map(|(classifier, labels)| Head { n_classes: labels.names.len(), is_alone: classifier.head_alone });
    if let (Some(base), Some((held, _))) = (&case.base, &tokens.base) {
        let (model, train) = (held.model.config().clone(), training(plan, base.context)?);
        anyhow::ensure!(
            base.adapters.is_none() || !head.is_some_and(|head| head.is_alone),
            "adapters are trained beside a head, not held below it: write `classifier = {{ train = \"all\" }}`, or leave `adapters` out"
        );
        return Ok(Shape { model, train, adapters: base.adapters.clone(), head });
    }
    let (model, _) = parts(case)?;
    Ok(Shape { head, ..shape(model, plan, tokens)? })
}

/// What is trained a fold: the small configuration, or of a model that is trained further what the case trains.
pub(crate) fn of_folds(case: &Case, folds: &FoldPlan, tokens: &Tokens) -> anyhow::Result<Shape> {
    let plan = case.train.as_ref().context("the case has no `[train]`")?;
    let plan = TrainPlan { tokens: folds.tokens.unwrap_or(plan.tokens), ..plan.clone() };
    let Some(small) = folds.small else { return of_plan(case, &plan, tokens) };
    let (model, _) = parts(case)?;
    let small = ModelShape {
        layers: small.layers,
        width: small.width,
        heads: small.heads,
        kv_heads: small.heads,
        hidden: (small.width * 8 / 3).next_multiple_of(32),
        ..model.clone()
    };
    shape(&small, &plan, tokens)
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
    Ok(Shape { model, train, adapters: None, head: None })
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
        parts: plan.parts,
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
        precision: if plan.bf16 { train::Precision::Bf16 } else { train::Precision::F32 },
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
        let (context, architecture) = (self.train.context as u64, self.architecture());
        let windows = n_tokens / context.max(1);
        let forward = architecture.forward(windows, context);
        if let Some(head) = self.head.filter(|head| head.is_alone) {
            return forward + 4 * u128::from(n_tokens) * (self.model.width * head.n_classes) as u128;
        }
        let Some(adapters) = &self.adapters else { return architecture.training(windows, context) };
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
        let head = self.head.map_or(0, |head| head.n_classes * self.model.width);
        if self.head.is_some_and(|head| head.is_alone) {
            return head;
        }
        let below = self.adapters.as_ref().map_or_else(
            || self.model.n_parameters(),
            |adapters| self.adapted(adapters).iter().map(|sides| adapters.rank * (sides.0 + sides.1)).sum(),
        );
        below + head
    }

    /// Passes through the weights that a step is made of.
    pub(crate) const fn n_passes(&self) -> u128 {
        match (&self.adapters, self.head) {
            (_, Some(Head { is_alone: true, .. })) => 1,
            (Some(_), _) => 2,
            (None, _) => 3,
        }
    }

    /// FLOP of scoring so many positions in full windows.
    pub(crate) fn look_flop(&self, n_tokens: u64) -> u128 {
        let context = self.train.context as u64;
        self.architecture().forward(n_tokens / context.max(1), context)
    }

    /// FLOP of reading every window of a corpus once.
    pub(crate) fn corpus_flop(&self, corpus: &train::Corpus) -> u128 {
        self.look_flop((corpus.n_windows(self.train.context) * self.train.context) as u64)
    }

    /// The sizes by which passes are counted: a head that tells classes stands where the vocabulary stood.
    fn architecture(&self) -> Architecture {
        let whole = architecture(&self.model);
        Architecture { vocabulary: self.head.map_or(whole.vocabulary, |head| head.n_classes as u64), ..whole }
    }

    /// Rows of the matrix at the end.
    pub(crate) fn outputs(&self) -> usize {
        self.head.map_or(self.model.vocab, |head| head.n_classes)
    }

    /// Weights of the model with its head.
    pub(crate) fn n_parameters(&self) -> usize {
        self.model.n_parameters() + self.head.map_or(0, |head| head.n_classes * self.model.width)
    }

    pub(crate) fn scoring(&self, batch: usize) -> evaluate::Config {
        evaluate::Config { context: self.train.context, batch, separator: model::END_OF_TEXT_ID }
    }
}
