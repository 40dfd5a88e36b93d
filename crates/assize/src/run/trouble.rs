//! What is done about trouble in training, and what a person says who takes up a training that was paused.

use super::Session;
use anyhow::Context as _;
use evidence::{Control, Digest, Json, Predicate, Subject};
use ledger::Entry;
use supervise::{Record, case::Answer};
use train::Trouble;

/// A training that stands still by an answer of the case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Halt {
    /// Of cross-validation, from 0.
    fold: Option<usize>,
    step: u64,
    trouble: &'static str,
    is_pause: bool,
    /// Whether the step can be taken as it is.
    is_passable: bool,
}

impl Halt {
    /// What a pause adds to its entry, and the resumption that comes of it to its own.
    pub(crate) fn pause(&self) -> Option<Json> {
        let members =
            [("fold", number(self.fold)), ("step", Some(self.step.into())), ("trouble", Some(self.trouble.into()))];
        self.is_pause.then(|| Json::map(members))
    }

    /// How to go on.
    pub(crate) fn hint(&self, case: &str) -> String {
        let Self { step, trouble, .. } = self;
        let resume = match self.fold {
            None => format!("`assize train {case} --resume`"),
            Some(_) => format!("`assize train {case} --resume` and then `assize run {case}`"),
        };
        match (self.is_pause, self.is_passable) {
            (true, true) => format!(
                "{resume} takes step {step} as it is and goes on; `on_trouble` of the case may be changed before, for another answer"
            ),
            (true, false) if *trouble == "loader" => format!("{resume} asks for the batch again"),
            (true, false) => format!(
                "step {step} cannot be taken as it is: give `{trouble} = \"roll-back\"` with a `skip` or a smaller `percent` in `on_trouble` \
                 of the case, then {resume} goes on from the last snapshot"
            ),
            (false, _) => format!(
                "change `on_trouble` of the case, and {resume} goes on from the last snapshot; with anything else of `[train]` changed, \
                 training begins anew"
            ),
        }
    }
}

/// A fold as the record counts it, from 1.
fn number(fold: Option<usize>) -> Option<Json> {
    fold.map(|fold| Json::from(fold + 1))
}

impl Session<'_> {
    /// Answers trouble as the case says, and records both. What is spent of answers is counted for each fold apart.
    pub(crate) fn intervene(
        &mut self,
        fold: Option<usize>,
        step: u64,
        trouble: &Trouble,
    ) -> anyhow::Result<(Control, Option<Halt>)> {
        let plan = self.case.train.as_ref().context("the case has no `[train]`")?;
        let on = plan.on_trouble;
        let mut answer = self.said_of(trouble.name()).unwrap_or(Answer::Stop);
        let changes = |answer: Answer| matches!(answer, Answer::LowerRate | Answer::RollBack);
        let made = self.run.entries().iter().filter(|entry| entry.statement.predicate_type == Predicate::Intervention);
        let is_change = |entry: &&Entry| {
            let predicate = &entry.statement.predicate;
            predicate.get("percent").is_some() && predicate.get("fold") == number(fold).as_ref()
        };
        let n_made = made.filter(is_change).count() as u64;
        let is_spent = changes(answer) && n_made >= on.at_most;
        if is_spent {
            answer = Answer::Stop;
        }
        let is_passable = matches!(trouble, Trouble::Spike { .. } | Trouble::Divergence { .. });
        let is_acknowledged =
            answer == Answer::Pause && is_passable && self.is_acknowledged(fold, step, trouble.name());
        if is_acknowledged {
            answer = Answer::Continue;
        }
        let said = sentence(trouble);
        let mut record = Record::new(Predicate::Intervention, "train");
        record.subjects = vec![Subject::new("case", Digest::of(self.case.text.as_bytes()))];
        record.members = vec![
            ("trouble", trouble.name().into()),
            ("step", step.into()),
            ("found", said.as_str().into()),
            ("answer", answer.name().into()),
        ];
        record.members.extend(number(fold).map(|fold| ("fold", fold)));
        if changes(answer) {
            record.members.push(("percent", i64::from(on.percent).into()));
        }
        if answer == Answer::RollBack {
            record.members.push(("skip", on.skip.into()));
        }
        if is_spent {
            record.members.push(("spent", on.at_most.into()));
        }
        if is_acknowledged {
            record.members.push(("acknowledged", true.into()));
        }
        self.record(record)?;
        let percent = on.percent;
        let halt = |is_pause| Some(Halt { fold, step, trouble: trouble.name(), is_pause, is_passable });
        Ok(match answer {
            Answer::Continue => (Control::Continue, None),
            Answer::Pause => (Control::Stop(format!("paused at step {step}: {said}")), halt(true)),
            Answer::Stop => (Control::Stop(format!("stopped at step {step}: {said}")), halt(false)),
            Answer::LowerRate => (Control::LowerRate { percent }, None),
            Answer::RollBack => (Control::RollBack { percent, skip: on.skip }, None),
        })
    }

    /// The answer of the case as it is now.
    fn said_of(&self, trouble: &str) -> Option<Answer> {
        let on = self.case.train.as_ref()?.on_trouble;
        Some(match trouble {
            "not-finite" => on.not_finite,
            "spike" => on.spike,
            "divergence" => on.divergence,
            "loader" => on.loader,
            _ => return None,
        })
    }

    /// The pause after which nothing was done that passes it.
    pub(crate) fn paused(&self) -> Option<&Json> {
        let passes = |entry: &&Entry| match entry.statement.predicate_type {
            Predicate::Stop | Predicate::TrainingRun => true,
            Predicate::Resume => entry.statement.predicate.get("pause").is_some(),
            _ => false,
        };
        let last = self.run.entries().iter().rev().find(passes)?;
        (last.statement.predicate_type == Predicate::Stop).then(|| last.statement.predicate.get("pause"))?
    }

    /// Whether a person took the training up after it was paused by just this trouble. After a step back the same step is another.
    fn is_acknowledged(&self, fold: Option<usize>, step: u64, trouble: &str) -> bool {
        let is_back = |entry: &&Entry| {
            let predicate = &entry.statement.predicate;
            predicate.get("answer").and_then(Json::as_text) == Some(Answer::RollBack.name())
                && predicate.get("fold") == number(fold).as_ref()
        };
        let since = self.run.entries().iter().rev().take_while(|entry| !is_back(entry));
        let mut resumed = since.filter(|entry| entry.statement.predicate_type == Predicate::Resume);
        resumed.any(|entry| {
            let pause = entry.statement.predicate.get("pause");
            let member = |name| pause.and_then(|pause| pause.get(name));
            member("step").and_then(Json::as_int) == i64::try_from(step).ok()
                && member("fold") == number(fold).as_ref()
                && member("trouble").and_then(Json::as_text) == Some(trouble)
        })
    }

    /// Says where trained weights stand that met trouble to which the case gives another answer by now.
    pub(crate) fn note_other_answers(&self) {
        let mut said = std::collections::BTreeSet::new();
        for entry in self.run.entries() {
            let predicate = &entry.statement.predicate;
            let text = |name| predicate.get(name).and_then(Json::as_text);
            let (Some(trouble), Some(given)) = (text("trouble"), text("answer")) else { continue };
            let Some(now) = self.said_of(trouble).map(Answer::name) else { continue };
            // Of a pause what followed it counts; a stop in place of a change was that of `at_most`.
            let is_same = now == given || predicate.get("acknowledged").is_some() || predicate.get("spent").is_some();
            if entry.statement.predicate_type == Predicate::Intervention
                && !is_same
                && !["pause", "stop"].contains(&given)
            {
                said.insert(format!("{trouble} was answered with `{given}`, where the case now says `{now}`"));
            }
        }
        for said in said {
            self.screen
                .note(&format!("the trained weights stand: {said}; name another folder by `--out` to train anew"));
        }
    }
}

/// What went wrong, for a reader.
fn sentence(trouble: &Trouble) -> String {
    match trouble {
        Trouble::NotFinite { quantity } => format!("the {quantity} is not a finite number"),
        Trouble::Spike { loss_nats, mean_nats } => {
            format!("the loss of {loss_nats:.4} nats lies far above the mean of {mean_nats:.4} before it")
        }
        Trouble::Divergence { mean_nats, best_nats } => {
            format!("the mean loss has risen to {mean_nats:.4} nats from {best_nats:.4}")
        }
        Trouble::Loader { reason } => format!("no batch came: {reason}"),
    }
}
