//! Held-out text and cross-validation.

use super::{
    INSTRUMENT, Session, data::Data, data::Tokens, figures, now, plan, plan::SCORING_BATCH, shape, shape::Shape,
    train::Trained,
};
use evaluate::{DocumentScore, Outcome, figures as scored, figures::Circumstances, statistics::Bootstrap};
use evidence::{Digest, Json, Predicate, Subject};
use meter::Guard;
use model::Llama;
use supervise::Record;

impl Session<'_> {
    /// Scores held-out documents and runs the folds; `None` after a recorded stop. Gives the scores that compression is compared with.
    pub(crate) fn evaluate(
        &mut self,
        data: &Data,
        tokens: &Tokens,
        trained: &Trained,
        guard: &mut Guard,
    ) -> anyhow::Result<Option<Vec<DocumentScore>>> {
        if tokens.labels.is_some() {
            return Ok(self.classify(data, tokens, trained, guard)?.then(Vec::new));
        }
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

    pub(crate) fn scored(
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
}
