//! One case from its file to a sealed dossier, stage by stage; what stands already is not done again.

mod classify;
mod compress;
mod data;
mod evaluate;
mod existing;
pub(crate) mod figures;
mod finetune;
mod fit;
mod folds;
mod follow;
mod labelled;
pub(crate) mod made;
mod plan;
pub(crate) mod screened;
mod seal;
mod select;
mod shape;
mod tasks;
mod train;
mod trouble;

use crate::{Ended, args::RunArgs, declare, key, packs, ranks, screen, screen::Screen, waive};
use ::train::Ranks;
use anyhow::Context as _;
use evidence::{Declaration, Digest, Json, Predicate, Subject};
use jiff::{Timestamp, civil::Date};
use ledger::{Entry, Ledger, VerifyingKey};
use meter::{Account, Caps, Guard, Sensor};
use policy::{Effect, Stage};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};
use supervise::{
    Found, Record, Run, Terms,
    case::Case,
    signed::{SignedDeclarations, system_subject},
};

pub(crate) use follow::Work;
pub(crate) use plan::plan_only;
pub(crate) use seal::{UNCOVERED, documents};

/// Program and version, as evidence names its instrument.
pub(crate) const INSTRUMENT: &str = concat!("assize ", env!("CARGO_PKG_VERSION"));
/// Scratch of a run inside its dossier: snapshots and the budget journal. Not covered by the seal, and not needed to check it.
pub(crate) const WORK: &str = ".work";
/// The name a log gives itself.
const ORIGIN: &str = "assize.local/dossier";

/// How far a verb goes. Ordered as the stages are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Upto {
    Train,
    Evaluate,
    Compress,
    Release,
}

/// Whether the next stage is taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flow {
    On,
    /// Denied at a gate, or stopped: nothing further is done.
    Halt,
}

/// Everything the stages share.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) case: &'a Case,
    pub(crate) out: PathBuf,
    pub(crate) run: Run,
    pub(crate) screen: Screen,
    /// The key that signs the run, whose declarations are taken as well.
    signer: VerifyingKey,
    /// Those that train together; one is the usual.
    pub(crate) ranks: &'a Ranks,
    pub(crate) interrupted: Arc<AtomicBool>,
}

/// The clock of the program. Milliseconds are enough, and short.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Today, in UTC.
pub(crate) fn today() -> Date {
    jiff::tz::TimeZone::UTC.to_datetime(now()).date()
}

pub(crate) fn run(args: &RunArgs, upto: Upto) -> anyhow::Result<Ended> {
    run_ranked(args, upto, false, &Ranks::alone(), signals()?)
}

/// A flag that is set when somebody asks the program to end.
pub(crate) fn signals() -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, std::sync::atomic::Ordering::SeqCst))
        .context("signals cannot be caught")?;
    Ok(interrupted)
}

/// The case and what it works on.
pub(crate) fn read(args: &RunArgs, upto: Upto) -> anyhow::Result<(Case, Basis)> {
    let case = Case::read(&args.case)?;
    let basis = match &case.existing {
        Some(existing) => Basis::Existing(Box::new(existing::Standing::open(&case.folder.join(&existing.path), upto)?)),
        None => Basis::Training(data::read(&case)?),
    };
    Ok((case, basis))
}

/// The same as the first of several ranks, where there are others. With `resume` it must stand in the dossier already, and a pause is
/// acknowledged.
pub(crate) fn run_ranked(
    args: &RunArgs,
    upto: Upto,
    resume: bool,
    ranks: &Ranks,
    interrupted: Arc<AtomicBool>,
) -> anyhow::Result<Ended> {
    let screen = Screen::new(args.json);
    let read = read(args, upto).and_then(|(case, basis)| {
        let terms = terms(args, &case)?;
        anyhow::ensure!(
            ranks.n() == 1 || case.train.as_ref().is_none_or(|train| train.lambda.is_none()),
            "a weight is chosen by `lambda` in one process: train without mpirun, or write the chosen weight into the case"
        );
        Ok((run_id(&case, &basis)?, (case, basis, terms)))
    });
    let (id, (case, basis, terms)) = ranks::agree(ranks, read)?;
    let out = out_of(args, &case);
    let stands = "so that there is nothing to resume; leave `--resume` out to begin";
    anyhow::ensure!(!resume || out.join("log").is_dir(), "no dossier stands at {}, {stands}", out.display());
    let key = key::load(args.key.as_deref(), |text| screen.note(text))?;
    let signer = key.verifying();
    let ledger = Ledger::open(&out, key, ORIGIN)?;
    let is_of_run = |entry: &Entry| entry.statement.predicate.get("runId").and_then(Json::as_text) == Some(&id);
    anyhow::ensure!(
        !resume || ledger.entries().iter().any(is_of_run),
        "the dossier at {} is not of this case as it is now, {stands}",
        out.display()
    );
    for file in ledger.removed() {
        screen.note(&format!("removed {file}, which an interrupted run had left unacknowledged"));
    }
    let before = ledger.entries().len();
    let (run, found) = Run::open(ledger, id, terms, now)?;
    run.ledger().entries()[before..].iter().for_each(|entry| screen.recorded(entry));
    let mut session = Session { case: &case, out, run, screen, signer, ranks, interrupted };
    session.resume(found, resume)?;
    session.declare()?;
    match &basis {
        Basis::Existing(standing) => session.standing(standing)?,
        Basis::Training(corpus) => session.stages(corpus, upto)?,
    }
    session.finish()
}

/// What a case works on.
pub(crate) enum Basis {
    Training(data::Data),
    /// A model that is evaluated as it stands.
    Existing(Box<existing::Standing>),
}

/// The rules that a case is held to, and the day.
fn terms(args: &RunArgs, case: &Case) -> anyhow::Result<Terms> {
    let packs = packs::of_case(case)?;
    let as_of = args.as_of.or(case.as_of).unwrap_or_else(today);
    let terms = Terms::new(packs, case.system.clone(), as_of).map_err(|errors| packs::refuse(&errors))?;
    waive::over(terms, case)
}

/// Where the dossier goes.
fn out_of(args: &RunArgs, case: &Case) -> PathBuf {
    args.out.clone().unwrap_or_else(|| case.folder.join("dossier"))
}

/// What shapes the work gives it its name: the same case takes up the same run.
pub(crate) fn run_id(case: &Case, basis: &Basis) -> anyhow::Result<String> {
    let corpus = match basis {
        Basis::Training(data) => data.corpus.digest(),
        Basis::Existing(standing) => standing.subject().digest,
    };
    // Of a model that is trained further, what stands at its path.
    let base = case.base.as_ref().map(|base| finetune::digest_of(&case.folder.join(&base.path))).transpose()?;
    let identity = Json::map([
        ("program", Some(INSTRUMENT.into())),
        ("work", Some(case.work().into())),
        ("corpus", Some(corpus.into())),
        ("base", base.map(Json::from)),
    ]);
    Ok(Digest::of(identity.canonical().as_bytes()).to_string()[..16].to_owned())
}

impl Session<'_> {
    /// Records, shows, and gives the entry.
    pub(crate) fn record(&mut self, record: Record) -> anyhow::Result<Entry> {
        let entry = self.run.record(record)?;
        self.screen.recorded(&entry);
        Ok(entry)
    }

    /// Says in the record that work is taken up again: after a stop, after a crash, or under another budget. A person may say beside
    /// that a pause was looked at.
    fn resume(&mut self, found: Found, is_asked: bool) -> anyhow::Result<()> {
        let budget = self.budget_json();
        let before = self.budget_recorded();
        let pause = self.paused().filter(|_| is_asked).cloned();
        let reason = match found {
            Found::New | Found::Sealed if before.is_none() || before.as_ref() == Some(&budget) => return Ok(()),
            _ if before.as_ref().is_some_and(|before| *before != budget) => "budget-raised",
            Found::Broken => "after-crash",
            _ if pause.is_some() => "after-pause",
            _ => "after-stop",
        };
        let mut record = Record::new(Predicate::Resume, "resume");
        record.subjects = vec![Subject::new("case", Digest::of(self.case.text.as_bytes()))];
        record.members = vec![
            ("reason", reason.into()),
            ("budgetBefore", before.unwrap_or_else(|| Json::map([]))),
            ("budgetAfter", budget),
        ];
        record.members.extend(pause.map(|pause| ("pause", pause)));
        if found == Found::Broken && reason != "after-crash" {
            record.members.push(("crashed", true.into()));
        }
        self.record(record)?;
        Ok(())
    }

    fn budget_json(&self) -> Json {
        let budget = &self.case.budget;
        Json::map([
            ("compute_flop", budget.compute_flop.map(Json::from)),
            ("time_s", budget.time_s.map(Json::from)),
            ("energy_kwh", budget.energy_kwh.map(Json::from)),
            ("carbon_gco2e", budget.carbon_gco2e.map(Json::from)),
        ])
    }

    /// The budget that the record last spoke of, with decimals as they are when written anew.
    fn budget_recorded(&self) -> Option<Json> {
        let said = |entry: &Entry| {
            let predicate = &entry.statement.predicate;
            predicate.get("budgetAfter").or_else(|| predicate.get("budgetCaps")).cloned()
        };
        let caps = self.run.entries().iter().rev().find_map(said)?;
        let members = caps.members()?.iter();
        let decimals = members.map(|(name, value)| Some((name.clone(), Json::from(value.as_decimal()?))));
        decimals.collect::<Option<_>>().map(Json::Map)
    }

    /// Records the answers of named persons, unless the record's last ones are the same.
    fn declare(&mut self) -> anyhow::Result<()> {
        let declared = declare::of_case(self.case, Some(self.signer.clone()))?;
        let declarations = declared.all();
        let signed: Vec<Json> = declared.signed.iter().map(SignedDeclarations::to_json).collect();
        let written = |items: Vec<Json>| Json::List(items).canonical();
        let said = [written(declarations.iter().map(Declaration::to_json).collect()), written(signed.clone())];
        let held = self.run.last(Predicate::Declarations).map(|entry| {
            let member =
                |name: &str| written(entry.statement.predicate.get(name).map_or(&[][..], Json::items).to_vec());
            [member("declarations"), member("signed")]
        });
        if held.as_ref().is_some_and(|held| *held == said) || (held.is_none() && declarations.is_empty()) {
            return Ok(());
        }
        let mut record = Record::new(Predicate::Declarations, "declarations");
        record.subjects = vec![system_subject(&self.case.name)];
        record.declarations = declarations;
        record.members = if signed.is_empty() { Vec::new() } else { vec![("signed", Json::List(signed))] };
        self.record(record)?;
        Ok(())
    }

    fn stages(&mut self, corpus: &data::Data, upto: Upto) -> anyhow::Result<()> {
        let tokens = self.audit(corpus)?;
        if self.gate(Stage::Data)? == Flow::Halt {
            return Ok(());
        }
        let mut guard = self.guard()?;
        self.plan(corpus, &tokens, &mut guard)?;
        if self.gate(Stage::Plan)? == Flow::Halt {
            return Ok(());
        }
        let Some(trained) = self.train(&tokens, &mut guard)? else { return Ok(()) };
        if self.gate(Stage::Train)? == Flow::Halt || upto == Upto::Train {
            return Ok(());
        }
        let Some(scores) = self.evaluate(corpus, &tokens, &trained, &mut guard)? else { return Ok(()) };
        if self.gate(Stage::Evaluate)? == Flow::Halt || upto == Upto::Evaluate {
            return Ok(());
        }
        if self.compress(&tokens, trained, &scores, &mut guard)? == Flow::Halt {
            return Ok(());
        }
        if self.gate(Stage::Compress)? == Flow::Halt || upto == Upto::Compress {
            return Ok(());
        }
        self.count_record()?;
        self.gate(Stage::Release)?;
        Ok(())
    }

    /// Decides at a stage, records it, and says whether work goes on.
    fn gate(&mut self, stage: Stage) -> anyhow::Result<Flow> {
        let before = self.run.entries().len();
        let gate = self.run.decide(stage)?;
        self.run.entries()[before..].iter().for_each(|entry| self.screen.recorded(entry));
        if gate.effect == Effect::Allow {
            return Ok(Flow::On);
        }
        self.screen.note(&format!("denied at the stage `{}`:", stage.name()));
        gate.denials.iter().for_each(|denial| self.screen.note(&format!("  {denial}")));
        Ok(Flow::Halt)
    }

    /// The budget in force, with what the journal says was spent.
    fn guard(&self) -> anyhow::Result<Guard> {
        let budget = &self.case.budget;
        let caps = Caps::new([budget.compute_flop, budget.time_s, budget.energy_kwh, budget.carbon_gco2e]);
        let intensity = self.case.country.as_deref().and_then(meter::intensity);
        if budget.carbon_gco2e.is_some() && intensity.is_none() {
            anyhow::bail!(
                "a carbon budget cannot be held: the grid of `{}` is not in the table; set `country` under `[site]` to an ISO 3166-1 alpha-3 code",
                self.case.country.as_deref().unwrap_or("no country")
            );
        }
        let account = Account::open(&self.work().join(self.run.id()).join("budget.journal"), caps)?;
        // Every rank has as many, bound by mpirun or not; the sensor knows how many there are.
        let threads = std::thread::available_parallelism().map_or(1, usize::from) * self.ranks.n();
        // Until a unit has been timed: a gigaflop a second, which any machine that runs this reaches.
        Ok(Guard::new(account, Sensor::find(threads), intensity, 1e-9, Arc::clone(&self.interrupted)))
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.out.join(WORK)
    }

    /// A file among the weights.
    pub(crate) fn weights(&self, name: &str) -> PathBuf {
        self.out.join("weights").join(name)
    }

    /// Records a stop, with where work can be taken up again.
    pub(crate) fn stop(&mut self, reason: &str, guard: &mut Guard, snapshot: Option<Json>) -> anyhow::Result<()> {
        let place = if snapshot.is_some() { "from the last snapshot" } else { "where it stopped" };
        let with = if guard.has_refused() { " with a raised budget" } else { "" };
        let members = snapshot.map(|snapshot| ("snapshot", snapshot)).into_iter().collect();
        self.stopped(reason, guard, members, &format!("run again{with} to go on {place}"))
    }

    /// Records that trouble was answered with a pause or a stop.
    pub(crate) fn halt(
        &mut self,
        reason: &str,
        guard: &mut Guard,
        snapshot: Option<Json>,
        halt: &trouble::Halt,
    ) -> anyhow::Result<()> {
        let pause = halt.pause().map(|pause| ("pause", pause));
        let members = snapshot.map(|snapshot| ("snapshot", snapshot)).into_iter().chain(pause).collect();
        let mut case = self.case.folder.display().to_string();
        if self.out != self.case.folder.join("dossier") {
            case.push_str(&format!(" --out {}", self.out.display()));
        }
        let hint = halt.hint(&case);
        self.stopped(reason, guard, members, &hint)
    }

    fn stopped(
        &mut self,
        reason: &str,
        guard: &mut Guard,
        members: Vec<(&'static str, Json)>,
        hint: &str,
    ) -> anyhow::Result<()> {
        guard.close()?;
        if let Some(failure) = guard.take_failure() {
            return Err(failure.into());
        }
        let mut record = Record::new(Predicate::Stop, "stop");
        record.subjects = vec![Subject::new("case", Digest::of(self.case.text.as_bytes()))];
        record.members = vec![("reason", reason.into()), ("budget", figures::budget(guard.account()))];
        record.members.extend(members);
        self.record(record)?;
        self.screen.note(&format!("stopped: {reason}"));
        self.screen.note(hint);
        Ok(())
    }

    /// Seals, shows the outcome, and gives the exit.
    fn finish(mut self) -> anyhow::Result<Ended> {
        self.seal()?;
        let outcome = Outcome::of(&self);
        let page = self.out.join("index.html");
        if self.screen.is_json() {
            self.screen.event(&outcome.to_json(&self.out));
        } else {
            outcome.show();
            screen::line(&format!("dossier: {}", page.display()));
        }
        Ok(if outcome.is_allowed { Ended::Well } else { Ended::Denied })
    }
}

/// Of a rule that is waived: by whom, why and until when.
pub(crate) fn waived(rule: &str, waiver: &Json) -> String {
    let text = |key: &str| waiver.get(key).and_then(Json::as_text).unwrap_or_default();
    let approvers: Vec<&str> =
        waiver.get("approvers").map_or(&[][..], Json::items).iter().filter_map(Json::as_text).collect();
    let (author, expires, reason, instead) = (text("author"), text("expires"), text("reason"), text("compensating"));
    format!(
        "{rule} is waived by {author}, approved by {}, until {expires}: {reason}; instead: {instead}",
        approvers.join(" and ")
    )
}

/// What the record says at the end.
struct Outcome {
    is_allowed: bool,
    word: &'static str,
    as_of: String,
    /// Rule, verdict, mode of the last decision.
    verdicts: Vec<(String, String, String)>,
    /// What is waived and by whom, and waivers that do nothing, a sentence each.
    waivers: Vec<String>,
    counts: Vec<(String, i64)>,
}

impl Outcome {
    fn of(session: &Session<'_>) -> Self {
        let run = &session.run;
        let text = |json: &Json, key: &str| json.get(key).and_then(Json::as_text).unwrap_or_default().to_owned();
        let last = run.last(Predicate::Decision).map(|entry| entry.statement.predicate.clone());
        let decision = last.unwrap_or_else(|| Json::map([]));
        let list = |key: &str| decision.get(key).map_or(&[][..], Json::items).iter();
        let waived =
            list("verdicts").filter_map(|verdict| Some(waived(&text(verdict, "rule"), verdict.get("waiver")?)));
        let idle = list("idleWaivers").filter_map(|idle| {
            Some(format!("the waiver of {} does nothing: {}", text(idle.get("waiver")?, "rule"), text(idle, "finding")))
        });
        let waivers = waived.chain(idle).collect();
        let verdicts = list("verdicts").map(|v| (text(v, "rule"), text(v, "verdict"), text(v, "mode"))).collect();
        let counts = decision.get("counts").and_then(Json::members).into_iter().flatten();
        let counts = counts.filter_map(|(name, n)| Some((name.clone(), n.as_int()?))).collect();
        let is_stopped = seal::is_stopped(run.entries());
        let is_allowed = text(&decision, "effect") == "allow" && !is_stopped;
        let word = match (is_stopped, is_allowed) {
            (true, _) => "stopped",
            (_, true) => "allowed",
            (_, false) => "denied",
        };
        Self { is_allowed, word, as_of: text(&decision, "as_of"), verdicts, waivers, counts }
    }

    fn show(&self) {
        for (rule, verdict, mode) in self.verdicts.iter().filter(|(_, _, mode)| mode == "enforce") {
            screen::line(
                format!("  {rule:44} {} {}", screen::coloured(verdict), if mode == "enforce" { "" } else { mode })
                    .trim_end(),
            );
        }
        let reported = self.verdicts.iter().filter(|(_, _, mode)| mode != "enforce").count();
        if reported > 0 {
            screen::line(&format!("  and {reported} rules that are reported and do not hold the work"));
        }
        self.waivers.iter().for_each(|sentence| screen::line(&format!("  {sentence}")));
        let counts: Vec<String> = self.counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
        let of = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
        screen::line(&format!("{} as of {}{of}", self.word, self.as_of));
    }

    fn to_json(&self, out: &Path) -> Json {
        let counts = self.counts.iter().map(|(name, n)| (name.clone(), (*n).into())).collect();
        Json::map([
            ("event", Some("outcome".into())),
            ("outcome", Some(self.word.into())),
            ("as_of", Some(self.as_of.as_str().into())),
            ("counts", Some(Json::Map(counts))),
            ("waivers", (!self.waivers.is_empty()).then(|| Json::list(self.waivers.iter().map(String::as_str)))),
            ("dossier", Some(out.display().to_string().into())),
        ])
    }
}
