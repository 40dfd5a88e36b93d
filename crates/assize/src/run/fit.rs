//! Trainings beside the training of a case: of folds, of candidates.

use super::{
    Session,
    data::Tokens,
    finetune,
    shape::{self, Shape},
};
use evaluate::{Outcome, Pass, statistics::pooled};
use evidence::Control;
use meter::Guard;
use model::Llama;
use train::Event;

/// How a training or a scoring ended.
pub(crate) enum Fit<T> {
    Done(T),
    /// With the reason.
    Stopped(String),
}

/// Windows that are scored at once.
const BATCH: usize = 16;

impl Session<'_> {
    /// Trains on some documents under the budget, from the first weights of the case. What stands of it under `name` is taken up.
    pub(crate) fn fit(
        &self,
        name: &str,
        shape: &Shape,
        tokens: &Tokens,
        documents: &[usize],
        guard: &mut Guard,
    ) -> anyhow::Result<Fit<Llama>> {
        let corpus = tokens.corpus(documents, shape.train.context)?;
        let step = shape.step_flop(shape.train.tokens_per_step(&corpus)?);
        let folder = self.work().join(self.run.id()).join(name);
        let bar = self.screen.bar("fit", shape.train.steps);
        // What is scored afterwards may not end the training.
        let config = train::Config { early_stop: None, keep_snapshots: 1, ..shape.train.clone() };
        let model = finetune::first(shape, tokens, shape.train.seed)?;
        let outcome = train::run(&config, model, &corpus, Some(&folder), &mut |event| {
            match event {
                Event::Ahead { .. } => return guard.ask(step),
                Event::Done { step, .. } => {
                    guard.done();
                    bar.set_position(*step);
                }
                _ => {}
            }
            Control::Continue
        });
        bar.finish_and_clear();
        Ok(match outcome? {
            train::Outcome::Finished(trained) => Fit::Done(trained.model),
            train::Outcome::Stopped { reason, .. } => Fit::Stopped(reason),
        })
    }

    /// The mean loss of some documents, in nats a token that is learned, or a text where classes are told, and the FLOP it took.
    pub(crate) fn loss_of(
        &self,
        model: &Llama,
        shape: &Shape,
        tokens: &Tokens,
        documents: &[usize],
        guard: &mut Guard,
    ) -> anyhow::Result<Fit<(f64, u128)>> {
        if tokens.labels.is_none() && tokens.weights.is_none() {
            return match self.scored(model, shape, &tokens.of(documents), guard, "fit score")? {
                Outcome::Stopped { reason, .. } => Ok(Fit::Stopped(reason)),
                Outcome::Finished { scores, passes } => {
                    let architecture = shape::architecture(&shape.model);
                    let forward = |pass: &Pass| architecture.forward(pass.batch as u64, pass.positions as u64);
                    Ok(Fit::Done((pooled(&scores)?.loss_nats, passes.iter().map(forward).sum())))
                }
            };
        }
        let corpus = tokens.corpus(documents, shape.train.context)?;
        let flop = shape.corpus_flop(&corpus);
        if let Control::Stop(reason) = guard.ask(flop) {
            return Ok(Fit::Stopped(reason));
        }
        let loss = train::mean_loss(model, &corpus, shape.train.context, BATCH)?;
        guard.done();
        Ok(Fit::Done((loss, flop)))
    }

    /// The classes that a head tells of some texts, and the FLOP it took.
    pub(crate) fn told(
        &self,
        model: &Llama,
        shape: &Shape,
        tokens: &Tokens,
        documents: &[usize],
        guard: &mut Guard,
    ) -> anyhow::Result<Fit<(train::Told, u128)>> {
        let corpus = tokens.corpus(documents, shape.train.context)?;
        let flop = shape.corpus_flop(&corpus);
        if let Control::Stop(reason) = guard.ask(flop) {
            return Ok(Fit::Stopped(reason));
        }
        let told = train::tell(model, &corpus, shape.train.context, BATCH)?;
        guard.done();
        Ok(Fit::Done((told, flop)))
    }
}
