//! Held-out text and cross-validation.

use super::{
    INSTRUMENT, Session, data::Data, data::Tokens, figures, now, plan, plan::SCORING_BATCH, shape, shape::Shape,
    train::Trained,
};
use evaluate::{
    DocumentScore, Outcome, Pass, figures as scored,
    figures::Circumstances,
    statistics::{Bootstrap, pooled},
};
use evidence::{Control, DIGITS_MEASURED, Decimal, DerivedFrom, Digest, Json, Predicate, Round, Subject};
use meter::Guard;
use model::Llama;
use supervise::{Record, case::FoldPlan};
use train::Event;

/// One fold, scored.
struct FoldScore {
    n_documents: usize,
    n_tokens: u64,
    loss: f64,
}

impl Session<'_> {
    /// Scores held-out documents and runs the folds; `None` after a recorded stop. Gives the scores that compression is compared with.
    pub(crate) fn evaluate(
        &mut self,
        data: &Data,
        tokens: &Tokens,
        trained: &Trained,
        guard: &mut Guard,
    ) -> anyhow::Result<Option<Vec<DocumentScore>>> {
        let Some(scores) = self.score(&trained.model, &trained.shape, tokens, guard, "evaluate")? else {
            return Ok(None);
        };
        if self.case.perplexity && self.run.done(Predicate::Evaluation, "suite", "held-out").is_none() {
            let before = match &tokens.base {
                None => None,
                Some((base, digest)) => {
                    let Some(before) = self.score(&base.model, &trained.shape, tokens, guard, "base")? else {
                        return Ok(None);
                    };
                    Some((*digest, before))
                }
            };
            self.held_out(tokens, trained, &scores, before.as_ref(), guard)?;
        }
        if let Some(folds) = self.case.folds.clone()
            && self.run.done(Predicate::Evaluation, "suite", "k-fold").is_none()
            && !self.cross_validate(&folds, data, tokens, guard)?
        {
            return Ok(None);
        }
        if let Some(plan) = self.case.tasks.clone()
            && self.run.done(Predicate::Evaluation, "suite", "tasks").is_none()
            && !self.ask_tasks(&plan, tokens, trained, guard)?
        {
            return Ok(None);
        }
        Ok(Some(scores))
    }

    /// Scores the held-out documents, each pass under the budget; `None` after a recorded stop.
    pub(crate) fn score(
        &mut self,
        model: &Llama,
        shape: &Shape,
        tokens: &Tokens,
        guard: &mut Guard,
        what: &'static str,
    ) -> anyhow::Result<Option<Vec<DocumentScore>>> {
        let documents = tokens.of(&tokens.held_out);
        let outcome = self.scored(model, shape, &documents, guard, what)?;
        match outcome {
            Outcome::Finished { scores, .. } => Ok(Some(scores)),
            Outcome::Stopped { reason, .. } => {
                self.stop(&reason, guard, None)?;
                Ok(None)
            }
        }
    }

    fn scored(
        &self,
        model: &Llama,
        shape: &Shape,
        documents: &[Vec<u32>],
        guard: &mut Guard,
        what: &'static str,
    ) -> anyhow::Result<Outcome> {
        let architecture = shape::architecture(&shape.model);
        let bar = self.screen.bar(what, 0);
        let outcome = evaluate::score(model, documents, &shape.scoring(SCORING_BATCH), &mut |progress| {
            bar.set_length(progress.n_passes as u64);
            bar.set_position(progress.n_done as u64);
            guard.ask(architecture.forward(progress.next.batch as u64, progress.next.positions as u64))
        })?;
        guard.close()?;
        bar.finish_and_clear();
        Ok(outcome)
    }

    fn held_out(
        &mut self,
        tokens: &Tokens,
        trained: &Trained,
        scores: &[DocumentScore],
        before: Option<&(Digest, Vec<DocumentScore>)>,
        guard: &Guard,
    ) -> anyhow::Result<()> {
        let mut record = Record::new(Predicate::Evaluation, "evaluate");
        let circumstances = self.circumstances(&trained.weights, tokens);
        let bootstrap = Bootstrap::new(trained.shape.train.seed);
        record.subjects = vec![trained.weights.clone()];
        record.measurements = scored::held_out(scores, &bootstrap, &circumstances)?;
        let mut base = None;
        if let Some((digest, before)) = before {
            let change = scored::loss_change("heldout.loss_change", before, scores, &bootstrap, &circumstances)?;
            record.measurements.push(change);
            let subject = Subject::new("base", *digest);
            let of_base = scored::held_out(before, &bootstrap, &Circumstances { subject, ..circumstances.clone() })?;
            base = Some(Json::List(of_base.iter().map(evidence::Measurement::to_json).collect()));
        }
        let lengths: Vec<usize> = tokens.held_out.iter().map(|&index| tokens.documents[index].len()).collect();
        let flop = plan::scoring_flop(&trained.shape, &lengths) * if before.is_some() { 2 } else { 1 };
        record.measurements.push(figures::flop("evaluate.compute", &trained.weights, flop, circumstances.inputs)?);
        record.members = vec![
            ("suite", "held-out".into()),
            ("scope", "excluded: evaluation".into()),
            ("nDocuments", scores.len().into()),
            ("spent", figures::spent_json(guard.account().spent())),
        ];
        // Figures of another model: shown, and no fact of this one.
        record.members.extend(base.map(|figures| ("base", figures)));
        self.record(record)?;
        Ok(())
    }

    /// What figures say of where they come from.
    pub(crate) fn circumstances(&self, weights: &Subject, tokens: &Tokens) -> Circumstances {
        let corpus = self.run.last(Predicate::DatasetAudit).and_then(|entry| entry.statement.subjects.first());
        let inputs = [Some(weights.digest), Some(tokens.digest), corpus.map(|subject| subject.digest)];
        Circumstances {
            subject: weights.clone(),
            inputs: inputs.into_iter().flatten().collect(),
            instrument: INSTRUMENT.to_owned(),
            at: now(),
        }
    }

    /// Trains and scores each fold; `false` after a recorded stop. Folds are over the training documents alone.
    fn cross_validate(
        &mut self,
        folds: &FoldPlan,
        data: &Data,
        tokens: &Tokens,
        guard: &mut Guard,
    ) -> anyhow::Result<bool> {
        let shape = shape::of_folds(self.case, folds, tokens)?;
        let documents = tokens.distinct();
        let held_out = dataset::folds(&data.corpus, &documents, folds.folds, shape.train.seed)?;
        let (mut scored, mut flop) = (Vec::new(), 0_u128);
        for (index, part) in held_out.iter().enumerate() {
            let rest: Vec<usize> = documents.iter().copied().filter(|document| !part.contains(document)).collect();
            flop += plan::training_flop(&shape, tokens, &rest)?;
            let Some(fold) = self.fold(index, &shape, tokens, (&rest, part), guard, &mut flop)? else {
                return Ok(false);
            };
            scored.push(fold);
        }
        let subject =
            Subject::new("k-fold configuration", Digest::of(plan::config_json(&shape)?.canonical().as_bytes()));
        let losses: Vec<f64> = scored.iter().map(|fold| fold.loss).collect();
        let circumstances = self.circumstances(&subject, tokens);
        let mut record = Record::new(Predicate::Evaluation, "evaluate");
        record.subjects = vec![subject.clone()];
        record.measurements = scored::folds(&losses, &circumstances)?;
        record.measurements.push(figures::flop("kfold.compute", &subject, flop, circumstances.inputs)?);
        let rows = scored.iter().enumerate().map(|(index, fold)| fold_json(index, fold)).collect::<Result<_, _>>()?;
        record.members = vec![
            ("suite", "k-fold".into()),
            ("scope", "excluded: exploratory runs".into()),
            ("config", plan::config_json(&shape)?),
            ("folds", Json::List(rows)),
            ("spent", figures::spent_json(guard.account().spent())),
        ];
        record.derived_from = vec![DerivedFrom { parent: data.corpus.digest(), action: "folded".to_owned() }];
        self.record(record)?;
        Ok(true)
    }

    fn fold(
        &mut self,
        index: usize,
        shape: &Shape,
        tokens: &Tokens,
        (rest, part): (&[usize], &[usize]),
        guard: &mut Guard,
        flop: &mut u128,
    ) -> anyhow::Result<Option<FoldScore>> {
        let corpus = tokens.corpus(rest, shape.train.context)?;
        let step = shape.step_flop(shape.train.tokens_per_step(&corpus)?);
        let folder = self.work().join(self.run.id()).join(format!("fold-{index}"));
        let bar = self.screen.bar("fold", shape.train.steps);
        // Folds are scored on what they hold out; none of it may end their training.
        let config = train::Config { early_stop: None, ..shape.train.clone() };
        let model = Llama::init(&shape.model, shape.train.seed)?;
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
        let trained = match outcome? {
            train::Outcome::Finished(trained) => trained.model,
            train::Outcome::Stopped { reason, .. } => {
                self.stop(&reason, guard, None)?;
                return Ok(None);
            }
        };
        let documents = tokens.of(part);
        match self.scored(&trained, shape, &documents, guard, "fold score")? {
            Outcome::Stopped { reason, .. } => {
                self.stop(&reason, guard, None)?;
                Ok(None)
            }
            Outcome::Finished { scores, passes } => {
                let architecture = shape::architecture(&shape.model);
                let forward = |pass: &Pass| architecture.forward(pass.batch as u64, pass.positions as u64);
                *flop += passes.iter().map(forward).sum::<u128>();
                let whole = pooled(&scores)?;
                Ok(Some(FoldScore { n_documents: part.len(), n_tokens: whole.n_tokens, loss: whole.loss_nats }))
            }
        }
    }
}

fn fold_json(index: usize, fold: &FoldScore) -> anyhow::Result<Json> {
    let loss = Decimal::from_f64(fold.loss, DIGITS_MEASURED, Round::Nearest)?;
    Ok(Json::map([
        ("fold", Some((index + 1).into())),
        ("nDocuments", Some(fold.n_documents.into())),
        ("nTokens", Some(fold.n_tokens.into())),
        ("loss", Some(loss.into())),
    ]))
}
