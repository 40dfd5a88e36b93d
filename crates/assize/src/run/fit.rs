//! Trainings beside the training of a case: of folds, of candidates.

use super::{
    Session,
    data::Tokens,
    finetune,
    plan::SCORING_BATCH,
    shape::{self, Shape},
};
use evaluate::{Outcome, Pass, statistics::pooled};
use evidence::Control;
use indicatif::ProgressBar;
use meter::Guard;
use model::Llama;
use std::path::Path;
use train::{Event, Trouble};

/// How a training or a scoring ended.
pub(crate) enum Fit<T> {
    Done(T),
    /// With the reason.
    Stopped(String),
}

/// Who is asked before a unit of work and told after it: the guard of a run, or a lane of several that share it.
pub(crate) trait Leave {
    fn ask(&mut self, flop: u128) -> Control;

    fn done(&mut self);

    /// What is done about trouble.
    fn trouble(&mut self, _step: u64, _trouble: &Trouble) -> Control {
        Control::Continue
    }

    /// So many steps are behind.
    fn at(&mut self, _step: u64) {}
}

impl Leave for Guard {
    fn ask(&mut self, flop: u128) -> Control {
        Self::ask(self, flop)
    }

    fn done(&mut self) {
        Self::done(self);
    }
}

/// A guard whose steps are shown.
struct Shown<'a> {
    guard: &'a mut Guard,
    bar: &'a ProgressBar,
}

impl Leave for Shown<'_> {
    fn ask(&mut self, flop: u128) -> Control {
        self.guard.ask(flop)
    }

    fn done(&mut self) {
        self.guard.done();
    }

    fn at(&mut self, step: u64) {
        self.bar.set_position(step);
    }
}

/// The mean loss of some documents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loss {
    /// Nats a token that is learned, or a text where classes are told.
    pub(crate) nats: f64,
    /// Tokens or texts.
    pub(crate) n: u64,
    /// That it took.
    pub(crate) flop: u128,
}

/// Trains from the first weights of the case. What stands of it in the folder is taken up.
pub(crate) fn trained(
    shape: &Shape,
    tokens: &Tokens,
    corpus: &train::Corpus,
    folder: &Path,
    leave: &mut dyn Leave,
) -> anyhow::Result<Fit<Llama>> {
    let step = shape.step_flop(shape.train.tokens_per_step(corpus)?);
    // What is scored afterwards may not end the training.
    let config = train::Config { early_stop: None, keep_snapshots: 1, ..shape.train.clone() };
    let model = finetune::first(shape, tokens, shape.train.seed)?;
    let outcome = train::run(&config, model, corpus, Some(folder), &mut |event| {
        match event {
            Event::Ahead { .. } => return leave.ask(step),
            Event::Done { step, .. } => {
                leave.done();
                leave.at(*step);
            }
            Event::Resumed { step } => leave.at(*step),
            Event::Trouble { step, trouble } => return leave.trouble(*step, trouble),
            _ => {}
        }
        Control::Continue
    })?;
    Ok(match outcome {
        train::Outcome::Finished(trained) => Fit::Done(trained.model),
        train::Outcome::Stopped { reason, .. } => Fit::Stopped(reason),
    })
}

/// The loss of documents: of every token of a text from scratch, of a model that is trained further of what counts in training.
pub(crate) fn loss(
    model: &Llama,
    shape: &Shape,
    tokens: &Tokens,
    documents: &[usize],
    leave: &mut dyn Leave,
) -> anyhow::Result<Fit<Loss>> {
    if tokens.labels.is_none() && tokens.weights.is_none() {
        let architecture = shape::architecture(&shape.model);
        let forward = |pass: &Pass| architecture.forward(pass.batch as u64, pass.positions as u64);
        let outcome = evaluate::score(model, &tokens.of(documents), &shape.scoring(SCORING_BATCH), &mut |progress| {
            leave.ask(forward(&progress.next))
        })?;
        leave.done();
        return Ok(match outcome {
            Outcome::Stopped { reason, .. } => Fit::Stopped(reason),
            Outcome::Finished { scores, passes } => {
                let whole = pooled(&scores)?;
                let flop = passes.iter().map(forward).sum();
                Fit::Done(Loss { nats: whole.loss_nats, n: whole.n_tokens, flop })
            }
        });
    }
    let corpus = tokens.corpus(documents, shape.train.context)?;
    let sizes = (shape.train.context, SCORING_BATCH);
    let scored = train::mean_loss(model, &corpus, sizes, &mut |n_tokens| leave.ask(shape.look_flop(n_tokens)))?;
    leave.done();
    Ok(match scored {
        Err(reason) => Fit::Stopped(reason),
        Ok(counted) => {
            let flop = shape.corpus_flop(&corpus);
            Fit::Done(Loss { nats: counted.loss_nats, n: counted.weight.round() as u64, flop })
        }
    })
}

impl Session<'_> {
    /// Trains on some documents under the budget. What stands of it under `name` is taken up.
    pub(crate) fn fit(
        &self,
        name: &str,
        shape: &Shape,
        tokens: &Tokens,
        documents: &[usize],
        guard: &mut Guard,
    ) -> anyhow::Result<Fit<Llama>> {
        let corpus = tokens.corpus(documents, shape.train.context)?;
        let folder = self.work().join(self.run.id()).join(name);
        let bar = self.screen.bar("fit", shape.train.steps);
        let ended = trained(shape, tokens, &corpus, &folder, &mut Shown { guard, bar: &bar });
        bar.finish_and_clear();
        ended
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
        let told = train::tell(model, &corpus, shape.train.context, SCORING_BATCH)?;
        guard.done();
        Ok(Fit::Done((told, flop)))
    }
}
