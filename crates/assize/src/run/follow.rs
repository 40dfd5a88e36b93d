//! What is trained and on what, the same on every rank; one that keeps no record makes it anew: everything is read, nothing is written.

use super::{
    WORK,
    data::{self, Data, Tokens},
    finetune, out_of,
    shape::{self, Shape},
};
use crate::args::RunArgs;
use evidence::Control;
use model::Llama;
use std::path::PathBuf;
use supervise::case::Case;
use train::{Corpus, Event, Outcome, Ranks, Sources, TrainError};

/// The first weights, the texts, and the folder of snapshots.
pub(crate) struct Work {
    shape: Shape,
    model: Llama,
    pub(crate) corpus: Corpus,
    held_out: Corpus,
    snapshots: PathBuf,
}

impl Work {
    pub(crate) fn new(shape: Shape, tokens: &Tokens, snapshots: PathBuf) -> anyhow::Result<Self> {
        let model = finetune::first(&shape, tokens, shape.train.seed)?;
        let corpus = tokens.corpus(&tokens.train, shape.train.context)?;
        let held_out = tokens.corpus(&tokens.held_out, shape.train.context)?;
        Ok(Self { shape, model, corpus, held_out, snapshots })
    }

    /// What the first rank trains, made anew.
    pub(crate) fn prepare(args: &RunArgs, case: &Case, data: &Data, id: &str) -> anyhow::Result<Self> {
        let scratch = std::env::temp_dir().join(format!("assize-rank-{}", std::process::id()));
        let tokens = data::tokenize(case, data, &scratch.join("tokenizer.json"));
        let _ = std::fs::remove_dir_all(&scratch);
        let tokens = tokens?;
        let snapshots = out_of(args, case).join(WORK).join(id).join("train");
        Self::new(shape::of_case(case, &tokens)?, &tokens, snapshots)
    }

    pub(crate) fn train(
        self,
        ranks: &Ranks,
        observe: &mut dyn FnMut(&Event<'_>) -> Control,
    ) -> Result<Outcome, TrainError> {
        let sources = Sources { corpus: &self.corpus, held_out: Some(&self.held_out), loader: None };
        train::run_ranked(&self.shape.train, self.model, &sources, Some(&self.snapshots), ranks, observe)
    }
}
