//! Tasks asked of the trained model, against thresholds that the plan carries.

use super::{
    Session,
    data::{Tokens, Words},
    figures, shape,
    train::Trained,
};
use crate::{
    evaluate_evidence::Circumstances,
    evaluate_scores::{self, Beside, Threshold},
    evaluate_tasks,
};
use evaluate::{
    statistics::Bootstrap,
    tasks::{
        self, Catalog, Config, Prepared, Report, Reread, RunError, bias,
        robust::{self, Form},
        scoring::ScoringError,
        tokens::Tokenizer,
    },
};
use evidence::{Json, Predicate};
use meter::Guard;
use supervise::{Record, case::TaskPlan};

/// What came of one task.
enum Asked {
    Report(Box<Report>),
    Stopped(String),
}

impl Session<'_> {
    /// Asks every task of the plan, each call of the model under the budget; `false` after a recorded stop.
    pub(crate) fn ask_tasks(
        &mut self,
        plan: &TaskPlan,
        tokens: &Tokens,
        trained: &Trained,
        guard: &mut Guard,
    ) -> anyhow::Result<bool> {
        let mut selection = Catalog::open(plan.task_dir.as_slice())?.select(&plan.tasks)?;
        if let Some(field) = &plan.slice {
            selection.tasks.iter_mut().for_each(|task| task.reading.slice = Some(field.clone()));
        }
        let names: Vec<&str> = selection.tasks.iter().map(|task| task.name.as_str()).collect();
        let thresholds: Vec<Threshold> = plan.thresholds.iter().map(threshold).collect();
        evaluate_scores::check_thresholds(&thresholds, &names)?;
        let mut config = Config::default();
        (config.prompts.num_fewshot, config.prompts.limit) = (plan.fewshot, plan.limit);
        let data = plan.data.as_deref();
        let (mut reports, mut robustness) = (Vec::new(), Vec::new());
        for task in &selection.tasks {
            let prepared = tasks::prepare(task, data, &config.prompts)?;
            let forms = match plan.robust {
                true => robust::forms(&prepared, data, &config.prompts, trained.shape.train.seed)?,
                false => Vec::new(),
            };
            let report = match self.ask(prepared, tokens, trained, &config, guard)? {
                Asked::Report(report) => *report,
                Asked::Stopped(reason) => return self.stop(&reason, guard, None).map(|()| false),
            };
            let mut changed = Vec::new();
            for Form { change, prepared, n_changed } in forms {
                let config = Config { iterations: 0, ..config.clone() };
                match self.ask(prepared, tokens, trained, &config, guard)? {
                    Asked::Report(report) => changed.push((change, n_changed, *report)),
                    Asked::Stopped(reason) => return self.stop(&reason, guard, None).map(|()| false),
                }
            }
            if !changed.is_empty() {
                robustness.extend(robust::robustness(&report, &changed, &Bootstrap::new(trained.shape.train.seed))?);
            }
            reports.push(report);
        }
        let (bias, held) = (bias::findings(&reports)?, evaluate_scores::held(&thresholds, &reports)?);
        let beside = Beside { robustness, bias, held, ..Beside::default() };
        self.record_tasks(&reports, &beside, &config, tokens, trained, guard)?;
        Ok(true)
    }

    fn ask(
        &self,
        prepared: Prepared,
        tokens: &Tokens,
        trained: &Trained,
        config: &Config,
        guard: &mut Guard,
    ) -> anyhow::Result<Asked> {
        let architecture = shape::architecture(&trained.shape.model);
        let bar = self.screen.bar("tasks", 0);
        // What stands before a row is read again with it, so a row may cost a whole context.
        let context = trained.shape.model.context as u64;
        let of_base;
        let tokenizer: &dyn Tokenizer = match (&tokens.tokenizer, &tokens.base) {
            (Words::Base, Some((base, _))) => {
                of_base = evaluate_tasks::file_tokens(&base.tokenizer)?;
                &of_base
            }
            _ => tokens.own()?,
        };
        let found = tasks::run(prepared, &Reread(&trained.model), tokenizer, config, &mut |progress| {
            bar.set_length(progress.n_positions as u64);
            bar.set_position(progress.n_done as u64);
            guard.ask(architecture.forward(progress.next_rows as u64, context))
        });
        guard.close()?;
        bar.finish_and_clear();
        match found {
            Ok(report) => Ok(Asked::Report(Box::new(report))),
            Err(RunError::Scoring { source: ScoringError::Stopped(reason), .. }) => Ok(Asked::Stopped(reason)),
            Err(error) => Err(error.into()),
        }
    }

    fn record_tasks(
        &mut self,
        reports: &[Report],
        beside: &Beside,
        config: &Config,
        tokens: &Tokens,
        trained: &Trained,
        guard: &Guard,
    ) -> anyhow::Result<()> {
        let mut circumstances =
            Circumstances { subject: trained.weights.clone(), inputs: vec![trained.weights.digest, tokens.digest] };
        circumstances.inputs.extend(reports.iter().flat_map(|report| report.files.iter().map(|(_, digest)| *digest)));
        circumstances.inputs.sort_unstable();
        circumstances.inputs.dedup();
        let model = Json::map([("weights", Some(trained.weights.to_json()))]);
        let mut record = Record::new(Predicate::Evaluation, "evaluate");
        record.subjects = vec![trained.weights.clone()];
        record.measurements = circumstances.measurements(&evaluate_scores::said(reports, beside)?)?;
        record.members = vec![
            ("suite", "tasks".into()),
            ("scope", "excluded: evaluation".into()),
            ("details", evaluate_tasks::document(reports, &[], &model, config, beside)?),
            ("spent", figures::spent_json(guard.account().spent())),
        ];
        self.record(record)?;
        Ok(())
    }
}

fn threshold(threshold: &supervise::case::TaskThreshold) -> Threshold {
    let supervise::case::TaskThreshold { task, metric, least } = threshold.clone();
    Threshold { task, metric, least }
}
