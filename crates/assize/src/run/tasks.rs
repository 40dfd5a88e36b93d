//! Tasks asked of the trained model, against thresholds that the plan carries.

use super::{
    Session,
    data::{Tokens, Words},
    figures, shape,
    train::Trained,
};
use crate::{
    evaluate_evidence::Circumstances,
    evaluate_scores::{self, Beside},
    evaluate_tasks,
    evaluate_thresholds::{self, Threshold},
};
use evaluate::{
    statistics::Bootstrap,
    tasks::{
        self, Catalog, Config, Prepared, Report, Reread, RunError, bias,
        robust::{self, Form},
        scoring::ScoringError,
        task::Task,
        tokens::Tokenizer,
    },
};
use evidence::{Digest, Json, Predicate, Subject};
use meter::Guard;
use supervise::{
    Record,
    case::{TaskPlan, TaskThreshold},
};

/// What came of one task.
pub(crate) enum Asked {
    Report(Box<Report>),
    Stopped(String),
}

/// What came of all of them.
pub(crate) enum AllAsked {
    Found { reports: Vec<Report>, beside: Box<Beside>, config: Config },
    Stopped(String),
}

/// Asks every task of a plan in the forms it names; `ask` puts one to the model.
pub(crate) fn ask_all(
    plan: &TaskPlan,
    seed: u64,
    ask: &mut dyn FnMut(Prepared, &Config) -> anyhow::Result<Asked>,
) -> anyhow::Result<AllAsked> {
    let mut selection = Catalog::open(plan.task_dir.as_slice())?.select(&plan.tasks)?;
    if let Some(field) = &plan.slice {
        selection.tasks.iter_mut().for_each(|task| task.reading.slice = Some(field.clone()));
    }
    let thresholds = thresholds(plan, &selection.tasks)?;
    let mut config = Config::default();
    (config.prompts.num_fewshot, config.prompts.limit) = (plan.fewshot, plan.limit);
    let data = plan.data.as_deref();
    let (mut reports, mut robustness) = (Vec::new(), Vec::new());
    for task in &selection.tasks {
        let prepared = tasks::prepare(task, data, &config.prompts)?;
        let forms = match plan.robust {
            true => robust::forms(&prepared, data, &config.prompts, seed)?,
            false => Vec::new(),
        };
        let report = match ask(prepared, &config)? {
            Asked::Report(report) => *report,
            Asked::Stopped(reason) => return Ok(AllAsked::Stopped(reason)),
        };
        let mut changed = Vec::new();
        for Form { change, prepared, n_changed } in forms {
            let config = Config { iterations: 0, ..config.clone() };
            match ask(prepared, &config)? {
                Asked::Report(report) => changed.push((change, n_changed, *report)),
                Asked::Stopped(reason) => return Ok(AllAsked::Stopped(reason)),
            }
        }
        if !changed.is_empty() {
            robustness.extend(robust::robustness(&report, &changed, &Bootstrap::new(seed))?);
        }
        reports.push(report);
    }
    let (bias, held) = (bias::findings(&reports)?, evaluate_thresholds::held(&thresholds, &reports)?);
    let beside = Box::new(Beside { robustness, bias, held, ..Beside::default() });
    Ok(AllAsked::Found { reports, beside, config })
}

/// What was found, as one statement about `subject`.
pub(crate) fn task_record(
    subject: &Subject,
    inputs: &[Digest],
    (reports, beside, config): (&[Report], &Beside, &Config),
    model: &Json,
    guard: &Guard,
) -> anyhow::Result<Record> {
    let mut circumstances = Circumstances { subject: subject.clone(), inputs: inputs.to_vec() };
    circumstances.inputs.extend(reports.iter().flat_map(|report| report.files.iter().map(|(_, digest)| *digest)));
    circumstances.inputs.sort_unstable();
    circumstances.inputs.dedup();
    let mut record = Record::new(Predicate::Evaluation, "evaluate");
    record.subjects = vec![subject.clone()];
    record.measurements = circumstances.measurements(&evaluate_scores::said(reports, beside)?)?;
    record.members = vec![
        ("suite", "tasks".into()),
        ("scope", "excluded: evaluation".into()),
        ("details", evaluate_tasks::document(reports, &[], model, config, beside)?),
        ("spent", figures::spent_json(guard.account().spent())),
    ];
    Ok(record)
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
        let seed = trained.shape.train.seed;
        let found = ask_all(plan, seed, &mut |prepared, config| self.ask(prepared, tokens, trained, config, guard))?;
        match found {
            AllAsked::Stopped(reason) => self.stop(&reason, guard, None).map(|()| false),
            AllAsked::Found { reports, beside, config } => {
                let model = Json::map([("weights", Some(trained.weights.to_json()))]);
                let inputs = [trained.weights.digest, tokens.digest];
                let found = (reports.as_slice(), &*beside, &config);
                let record = task_record(&trained.weights, &inputs, found, &model, guard)?;
                self.record(record)?;
                Ok(true)
            }
        }
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
}

/// The thresholds of a plan, each of a task it asks.
pub(crate) fn thresholds(plan: &TaskPlan, tasks: &[Task]) -> anyhow::Result<Vec<Threshold>> {
    let of = |threshold: &TaskThreshold| {
        let TaskThreshold { task, metric, least: value } = threshold.clone();
        Threshold { task, metric, value }
    };
    let found: Vec<Threshold> = plan.thresholds.iter().map(of).collect();
    evaluate_thresholds::check(&found, tasks, "`thresholds`")?;
    Ok(found)
}
