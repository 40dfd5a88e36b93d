//! Pruning and quantisation, each step evaluated again before it counts.

use super::{Flow, Session, data::Tokens, figures, train::Trained};
use compress::{prune, quantize};
use evaluate::{
    DocumentScore, figures as scored,
    statistics::{Bootstrap, pooled},
};
use evidence::{DIGITS_MEASURED, Decimal, DerivedFrom, Digest, Interval, Json, Measurement, Predicate, Round, Subject};
use meter::Guard;
use model::{Llama, gguf, weights};
use std::{collections::BTreeMap, fs, path::Path};
use supervise::Record;

/// What a step is compared on.
struct Before<'a> {
    trained: Trained,
    scores: &'a [DocumentScore],
}

impl Session<'_> {
    /// Prunes, then quantises what came of it.
    pub(crate) fn compress(
        &mut self,
        tokens: &Tokens,
        trained: Trained,
        scores: &[DocumentScore],
        guard: &mut Guard,
    ) -> anyhow::Result<Flow> {
        let mut trained = trained;
        let mut scores = scores.to_vec();
        if let Some(sparsity) = self.case.prune {
            let before = Before { trained, scores: &scores };
            let Some((pruned, after)) = self.prune(sparsity, tokens, before, guard)? else { return Ok(Flow::Halt) };
            (trained, scores) = (pruned, after);
        }
        if self.case.quantize && !self.quantize(tokens, &Before { trained, scores: &scores }, guard)? {
            return Ok(Flow::Halt);
        }
        Ok(Flow::On)
    }

    /// Gives the pruned model and its scores; `None` after a recorded stop.
    fn prune(
        &mut self,
        sparsity: f64,
        tokens: &Tokens,
        before: Before<'_>,
        guard: &mut Guard,
    ) -> anyhow::Result<Option<(Trained, Vec<DocumentScore>)>> {
        let config = prune::Config { sparsity, scope: prune::Scope::Global };
        let (tensors, findings) = prune::prune(&config, &before.trained.model.tensors())?;
        let path = self.weights("pruned.safetensors");
        let digest = weights::save(&path, &tensors, &BTreeMap::from([("format".to_owned(), "pt".to_owned())]))?;
        let subject = Subject::new("weights/pruned.safetensors", digest);
        let model = Llama::from_tensors(before.trained.shape.model.clone(), tensors)?;
        let Some(after) = self.score(&model, &before.trained.shape, tokens, guard, "pruned")? else { return Ok(None) };
        if !self.has_compressed("prune", &subject) {
            let circumstances = self.circumstances(&subject, tokens);
            let change = scored::loss_change(
                "prune.loss_change",
                before.scores,
                &after,
                &Bootstrap::new(before.trained.shape.train.seed),
                &circumstances,
            )?;
            let zeros = scored::sparsity(findings.n_zero, findings.n_prunable, &circumstances)?;
            let parameters = Json::map([
                ("method", Some("magnitude, one threshold over all matrices".into())),
                ("sparsity", Some(Decimal::from_f64(sparsity, DIGITS_MEASURED, Round::Nearest)?.into())),
            ]);
            let facts = [("prune.loss_change", change), ("prune.sparsity", zeros)].map(|(_, measurement)| measurement);
            let sides = [side(before.scores, &self.weights("model.safetensors"))?, side(&after, &path)?];
            self.compressed("prune", &subject, before.trained.weights.digest, parameters, sides, facts.into(), guard)?;
        }
        let trained = Trained { model, weights: subject, shape: before.trained.shape };
        Ok(Some((trained, after)))
    }

    /// `false` after a recorded stop.
    fn quantize(&mut self, tokens: &Tokens, before: &Before<'_>, guard: &mut Guard) -> anyhow::Result<bool> {
        let path = self.weights("model-q8_0.gguf");
        let digest = gguf::write(&path, &before.trained.shape.model, tokens.own()?, &before.trained.model.tensors())?;
        let subject = Subject::new("weights/model-q8_0.gguf", digest);
        // What is evaluated is what the file says, read back; the findings are of the same blocks in memory.
        let (config, tensors) = gguf::read(&path)?;
        let format = quantize::Config { format: quantize::Format::Q8_0 };
        let (_, findings) = quantize::quantize(&format, &before.trained.model.tensors())?;
        let model = Llama::from_tensors(config, tensors)?;
        let Some(after) = self.score(&model, &before.trained.shape, tokens, guard, "quantised")? else {
            return Ok(false);
        };
        if self.has_compressed("quantize", &subject) {
            return Ok(true);
        }
        let circumstances = self.circumstances(&subject, tokens);
        let seed = before.trained.shape.train.seed;
        let change =
            scored::loss_change("quantize.loss_change", before.scores, &after, &Bootstrap::new(seed), &circumstances)?;
        let source = self.weights(before.trained.weights.name.trim_start_matches("weights/"));
        let (large, small) = (fs::metadata(&source)?.len(), fs::metadata(&path)?.len());
        let ratio = small as f64 / large as f64;
        let decimal = |number, round| Decimal::from_f64(number, DIGITS_MEASURED, round);
        let exact = Interval {
            lower: decimal(ratio, Round::Down)?,
            upper: decimal(ratio, Round::Up)?,
            level: None,
            method: "exact-count".to_owned(),
        };
        let ratio = Measurement {
            interval: Some(exact),
            ..figures::measure("quantize.bytes_ratio", &subject, decimal(ratio, Round::Nearest)?, "file sizes")?
        };
        let parameters = Json::map([
            ("format", Some("Q8_0, blocks of 32, scale in f16; norms in f32".into())),
            ("maxAbsError", Some(decimal(findings.max_abs_error, Round::Up)?.into())),
            ("rmsError", Some(decimal(findings.rms_error, Round::Nearest)?.into())),
        ]);
        let sides = [side(before.scores, &source)?, side(&after, &path)?];
        self.compressed(
            "quantize",
            &subject,
            before.trained.weights.digest,
            parameters,
            sides,
            vec![change, ratio],
            guard,
        )?;
        Ok(true)
    }

    /// Whether the record knows this step with this very file.
    fn has_compressed(&self, operation: &str, subject: &Subject) -> bool {
        let held = self.run.done(Predicate::Compression, "operation", operation);
        held.is_some_and(|entry| entry.statement.subjects.contains(subject))
    }

    #[expect(clippy::too_many_arguments, reason = "the members of one statement")]
    fn compressed(
        &mut self,
        operation: &'static str,
        subject: &Subject,
        parent: Digest,
        parameters: Json,
        [before, after]: [Json; 2],
        measurements: Vec<Measurement>,
        guard: &Guard,
    ) -> anyhow::Result<()> {
        let mut record = Record::new(Predicate::Compression, "compress");
        record.subjects = vec![subject.clone()];
        record.measurements = measurements;
        let action = if operation == "prune" { "pruned" } else { "quantized" };
        record.derived_from = vec![DerivedFrom { parent, action: action.to_owned() }];
        record.members = vec![
            ("operation", operation.into()),
            ("parameters", parameters),
            ("before", before),
            ("after", after),
            ("spent", figures::spent_json(guard.account().spent())),
        ];
        self.record(record)?;
        Ok(())
    }
}

/// One side of before and after: quality and size.
fn side(scores: &[DocumentScore], path: &Path) -> anyhow::Result<Json> {
    let whole = pooled(scores)?;
    let decimal = |number| Decimal::from_f64(number, DIGITS_MEASURED, Round::Nearest);
    Ok(Json::map([
        ("loss", Some(decimal(whole.loss_nats)?.into())),
        ("perplexity", Some(decimal(whole.perplexity)?.into())),
        ("accuracy", Some(decimal(whole.accuracy)?.into())),
        ("bytes", Some(fs::metadata(path)?.len().into())),
    ]))
}
