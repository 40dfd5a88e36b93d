//! A case about a model that stands: nothing is trained, the suites are asked, and every rule is decided.

use super::{
    Flow, INSTRUMENT, Session, Upto, figures, plan,
    tasks::{AllAsked, Asked, ask_all, task_record},
};
use crate::{
    check_model,
    compress_verb::{governed, model_in},
    evaluate_evidence::Circumstances,
    evaluate_tasks::{self, Opened, map_of},
    evaluate_texts::{self, Asking, Findings},
};
use anyhow::{Context as _, bail};
use evaluate::{
    refusal::bank::read_bank,
    tasks::{
        self, CONVENTION, Config, Prepared,
        data::digest,
        recall::{Answers, Owner, Recalling},
        scoring::{Decoder, Row, Scored},
        tokens::SeamError,
    },
};
use evidence::{Control, Decimal, DerivedFrom, Digest, Predicate, Round, Subject};
use indicatif::ProgressBar;
use meter::{Guard, flop::Blocks};
use policy::Stage;
use std::{cell::RefCell, fs, path::Path};
use supervise::{
    Record,
    case::{BankPlan, TaskPlan},
};

/// The model, opened, and what it is called in the record.
pub(crate) struct Standing {
    opened: Opened,
    circumstances: Circumstances,
    upto: Upto,
}

impl Standing {
    pub(crate) fn open(path: &Path, upto: Upto) -> anyhow::Result<Self> {
        if matches!(upto, Upto::Train | Upto::Compress) {
            bail!(
                "the case names a model that stands, with `path`: nothing of it is trained or compressed; `assize run` evaluates it \
                 and decides"
            );
        }
        let opened = Opened::new(&model_in(path), &model::OpenOptions::default())?;
        let circumstances = Circumstances::of_model(&opened.0)?;
        Ok(Self { opened, circumstances, upto })
    }

    pub(crate) const fn subject(&self) -> &Subject {
        &self.circumstances.subject
    }
}

/// The model under the budget: what a call may cost at most is asked for before it is made.
struct Metered<'a> {
    decoder: &'a model::Decoder,
    blocks: Blocks,
    guard: RefCell<&'a mut Guard>,
}

#[derive(Debug, thiserror::Error)]
#[error("stopped: {0}")]
struct Stopped(String);

impl Metered<'_> {
    fn ask(&self, rows: &[Row<'_, model::Cache>]) -> Result<(), SeamError> {
        let of_row = |row: &Row<'_, model::Cache>| {
            let (before, n) = (row.cache.len() as u64, row.tokens.len() as u64);
            // As many rows as tokens, each against all that stands before the last.
            self.blocks.decode(n, before.saturating_add(n))
        };
        let flop = rows.iter().map(of_row).fold(0, u128::saturating_add);
        match self.guard.borrow_mut().ask(flop) {
            Control::Stop(reason) => Err(SeamError(Box::new(Stopped(reason)))),
            _ => Ok(()),
        }
    }
}

impl Decoder for Metered<'_> {
    type Cache = model::Cache;

    fn vocab(&self) -> usize {
        self.decoder.vocab()
    }

    fn context(&self) -> usize {
        self.decoder.context()
    }

    fn cache(&self) -> model::Cache {
        self.decoder.cache()
    }

    fn log_probs(&self, rows: &mut [Row<'_, model::Cache>]) -> Result<Vec<Vec<Scored>>, SeamError> {
        self.ask(rows)?;
        let answered = Decoder::log_probs(self.decoder, rows)?;
        self.guard.borrow_mut().done();
        Ok(answered)
    }

    fn next_tokens(&self, rows: &mut [Row<'_, model::Cache>]) -> Result<Vec<u32>, SeamError> {
        self.ask(rows)?;
        let answered = self.decoder.next_tokens(rows)?;
        self.guard.borrow_mut().done();
        Ok(answered)
    }
}

impl Session<'_> {
    /// Plan, profile, suites, release: each recorded once, each gate decided.
    pub(crate) fn standing(&mut self, standing: &Standing) -> anyhow::Result<()> {
        let mut guard = self.guard()?;
        self.plan_standing(standing, &guard)?;
        if self.gate(Stage::Plan)? == Flow::Halt {
            return Ok(());
        }
        self.profile(standing)?;
        if !self.suites(standing, &mut guard)? {
            return Ok(());
        }
        if self.gate(Stage::Evaluate)? == Flow::Halt || standing.upto == Upto::Evaluate {
            return Ok(());
        }
        self.count_record()?;
        self.gate(Stage::Release)?;
        Ok(())
    }

    /// Thresholds, files and budget, signed before the model is asked anything.
    fn plan_standing(&mut self, standing: &Standing, guard: &Guard) -> anyhow::Result<()> {
        if self.run.last(Predicate::Plan).is_some() {
            return Ok(());
        }
        let subject = Subject::new("case", Digest::of(self.case.text.as_bytes()));
        let thresholds = plan::thresholds_of(&self.run.terms().rules, self.case)?;
        let n = Decimal::from_u128(thresholds.items().len() as u128, Round::Nearest);
        let mut record = Record::new(Predicate::Plan, "plan");
        record.measurements = vec![figures::measure("plan.thresholds", &subject, n, "counted over this entry")?];
        record.members = vec![
            ("case", self.case.text.as_str().into()),
            ("system", self.case.system.to_json()),
            ("model", standing.opened.json()?),
            ("thresholds", thresholds),
            ("budgetCaps", self.budget_json()),
            ("budget", figures::budget(guard.account())),
            ("spent", figures::spent_json(guard.account().spent())),
        ];
        record.subjects = vec![subject, standing.subject().clone()];
        self.record(record)?;
        Ok(())
    }

    /// What the files alone show.
    fn profile(&mut self, standing: &Standing) -> anyhow::Result<()> {
        if self.run.done(Predicate::Evaluation, "suite", "profile").is_some() {
            return Ok(());
        }
        let mut record = Record::new(Predicate::Evaluation, "evaluate");
        record.subjects = vec![standing.subject().clone()];
        record.measurements = standing.circumstances.measurements(&check_model::profile(&standing.opened.0)?)?;
        record.members = vec![("suite", "profile".into())];
        let edge =
            |parent: &supervise::case::Parent| DerivedFrom { parent: parent.digest, action: parent.action.clone() };
        record.derived_from = self.case.parents().iter().map(edge).collect();
        self.record(record)?;
        Ok(())
    }

    /// `false` after a recorded stop. What was answered before a kill is not asked again, and costs nothing again.
    fn suites(&mut self, standing: &Standing, guard: &mut Guard) -> anyhow::Result<bool> {
        let (tasks, bank) = (self.case.tasks.clone(), self.case.bank.clone());
        let mut open = [("tasks", tasks.is_some()), ("bank", bank.is_some())].to_vec();
        open.retain(|(name, is_asked)| *is_asked && self.run.done(Predicate::Evaluation, "suite", name).is_none());
        if open.is_empty() {
            return Ok(true);
        }
        let owner = Owner { program: INSTRUMENT, model: standing.subject().digest, convention: CONVENTION };
        let path = self.work().join(self.run.id()).join("answers");
        let answers = Answers::open(&path, &owner)?;
        for (name, _) in open {
            let blocks = governed::blocks_of(&standing.opened.0.decoder);
            let metered = Metered { decoder: &standing.opened.0.decoder, blocks, guard: RefCell::new(&mut *guard) };
            let recalling = Recalling { decoder: &metered, answers: &answers };
            let found = match (name, &tasks, &bank) {
                ("tasks", Some(plan), _) => self.tasks_of(standing, plan, &recalling).map(SuiteFound::Tasks),
                (_, _, Some(plan)) => self.bank_of(standing, plan, &recalling).map(SuiteFound::Bank),
                _ => continue,
            };
            guard.close()?;
            let record = match found {
                Ok(found) => suite_record(standing, found, guard)?,
                Err(error) => match governed::stopped(&error) {
                    Some(reason) => return self.stop(&reason, guard, None).map(|()| false),
                    None => return Err(error),
                },
            };
            self.record(record)?;
        }
        // What they came to is recorded.
        drop(answers);
        fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
        Ok(true)
    }

    fn tasks_of<D: Decoder>(&self, standing: &Standing, plan: &TaskPlan, decoder: &D) -> anyhow::Result<AllAsked> {
        let tokens = standing.opened.tokens()?;
        let packing = evaluate_tasks::packing(&standing.opened.0.decoder);
        ask_all(plan, 0, &mut |prepared: Prepared, config: &Config| {
            let bar = self.screen.bar("tasks", 0);
            bar.set_message(prepared.task.name.clone());
            let config = Config { packing, ..config.clone() };
            let report = tasks::run(prepared, decoder, &tokens, &config, &mut |progress| moved(&bar, progress))?;
            bar.finish_and_clear();
            Ok(Asked::Report(Box::new(report)))
        })
    }

    fn bank_of<D: Decoder>(
        &self,
        standing: &Standing,
        plan: &BankPlan,
        decoder: &D,
    ) -> anyhow::Result<(Findings, Vec<Digest>)> {
        let asking = Asking {
            refusals: &plan.refusals,
            answer_tokens: plan.answer_tokens,
            is_bare: plan.bare,
            system: plan.system.as_deref(),
            limit: plan.limit,
            samples: None,
        };
        let mut found = Findings::default();
        let inputs = plan.banks.iter().map(|path| digest(path)).collect::<Result<_, _>>()?;
        let bank = read_bank(&plan.banks)?;
        evaluate_texts::asked(&asking, &standing.opened, decoder, &bank, &self.screen, &mut found)?;
        Ok((found, inputs))
    }
}

fn moved(bar: &ProgressBar, progress: &tasks::scoring::Progress) -> Control {
    bar.set_length(progress.n_positions as u64);
    bar.set_position(progress.n_done as u64);
    Control::Continue
}

/// What came of a suite.
enum SuiteFound {
    Tasks(AllAsked),
    Bank((Findings, Vec<Digest>)),
}

fn suite_record(standing: &Standing, found: SuiteFound, guard: &Guard) -> anyhow::Result<Record> {
    let (findings, inputs) = match found {
        SuiteFound::Tasks(AllAsked::Found { reports, beside, config }) => {
            let (subject, model) = (standing.subject(), standing.opened.json()?);
            return task_record(subject, &[subject.digest], (&reports, &beside, &config), &model, guard);
        }
        // A stop of this model is an error on its way, and was taken before.
        SuiteFound::Tasks(AllAsked::Stopped(reason)) => bail!("stopped: {reason}"),
        SuiteFound::Bank(found) => found,
    };
    let mut circumstances = standing.circumstances.clone();
    circumstances.inputs.extend(inputs);
    let mut record = Record::new(Predicate::Evaluation, "evaluate");
    record.subjects = vec![standing.subject().clone()];
    record.measurements = circumstances.measurements(&findings.said)?;
    record.members = vec![
        ("suite", "bank".into()),
        ("scope", "excluded: evaluation".into()),
        ("details", map_of(findings.members)),
        ("spent", figures::spent_json(guard.account().spent())),
    ];
    Ok(record)
}
