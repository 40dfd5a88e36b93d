//! One step under supervision: decided before, held to its budget, measured and decided after, signed either way.
//!
//! Everything is made in a folder beside the one that was asked for, which takes its name when it is sealed. A step that a
//! rule refuses leaves a dossier that says so, and no weights.

use super::{
    figures::{Changed, Sides},
    lineage::{self, Ancestor},
    suites::{Scores, SuiteArgs, Suites},
};
use crate::{
    Ended,
    args::RunArgs,
    declare, key, packs, run,
    run::{UNCOVERED, documents, figures, now},
    screen::Screen,
    waive,
};
use anyhow::{Context as _, bail};
use evidence::{Control, DerivedFrom, Digest, Json, Measurement, Predicate, Subject};
use ledger::{Ledger, durable};
use meter::{Account, Caps, Guard, Sensor, flop::Blocks};
use model::{Decoder, ModelParts};
use policy::{Effect, Mode, Stage, expr::Value};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, atomic::AtomicBool},
};
use supervise::{Gate, Record, Run, Terms, case::Case, signed::SignedDeclarations};

/// The name a log gives itself.
const ORIGIN: &str = "assize.local/compression";
/// Until a unit has been timed, in seconds a FLOP.
const PACE: f64 = 1e-9;

/// What a step on a model may be held to.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesArgs {
    /// A case whose rules, system and budget hold; its data and training are not touched
    #[arg(long, value_name = "CASE")]
    pub(crate) rules: Option<PathBuf>,
    /// Decide under these packs as well (repeatable)
    #[arg(long = "pack", value_name = "PACK")]
    pub(crate) packs: Vec<String>,
}

/// What a change of a model may be held to, and what it is asked before and after.
#[derive(Debug, clap::Args)]
pub(crate) struct HeldArgs {
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
    #[command(flatten)]
    pub(crate) suites: SuiteArgs,
}

/// What is held to.
pub(crate) struct Held {
    pub(crate) case: Option<Case>,
    pub(crate) terms: Terms,
}

/// The rules of a case, and packs by name, over the system of the case.
pub(crate) fn held(rules: &RulesArgs, args: &RunArgs) -> anyhow::Result<Held> {
    let case = rules.rules.as_deref().map(Case::read).transpose()?;
    let mut all = case.as_ref().map(packs::of_case).transpose()?.unwrap_or_default();
    for name in &rules.packs {
        let path = Path::new(name);
        let pack = if path.is_dir() {
            Some(packs::read(path, &super::suites::name_of(path), Mode::Enforce)?)
        } else {
            packs::shipped(name, Mode::Enforce)
        };
        let known = packs::shipped_names().join("`, `");
        all.push(pack.with_context(|| format!("no pack `{name}`, neither a folder nor one of `{known}`"))?);
    }
    let as_of = args.as_of.or(case.as_ref().and_then(|case| case.as_of)).unwrap_or_else(run::today);
    let mut system = case.as_ref().map_or_else(policy::System::new, |case| case.system.clone());
    if case.is_none() {
        // Whoever compresses a model modifies it; nothing else is known without a case.
        system.set("role", Value::Text("modifier".to_owned()))?;
        system.set("name", Value::Text("model".to_owned()))?;
    }
    let mut terms = Terms::new(all, system, as_of).map_err(|errors| packs::refuse(&errors))?;
    if let Some(case) = &case {
        terms = waive::over(terms, case)?;
    }
    Ok(Held { case, terms })
}

/// One step on its way into a dossier.
pub(crate) struct Step {
    pub(crate) screen: Screen,
    pub(crate) run: Run,
    pub(crate) guard: Guard,
    /// Where it is made, and what it will be called.
    pub(crate) work: PathBuf,
    out: PathBuf,
    case: Option<Case>,
}

/// What a gate lets through.
pub(crate) enum Passed {
    On,
    /// Nothing further is done.
    No(Gate),
}

impl Step {
    /// Begins a dossier beside `out`, which must not stand yet.
    pub(crate) fn begin(args: &RunArgs, held: Held, identity: &Json) -> anyhow::Result<Self> {
        let screen = Screen::new(args.json);
        let out = super::new_out(args)?.to_owned();
        let name = out.file_name().context("`--out`: expected the name of a folder")?.to_string_lossy().into_owned();
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| format!("`--out`: {} cannot be made", folder.display()))?;
        let work = folder.join(format!(".{name}.{}.part", std::process::id()));
        fs::create_dir(&work).with_context(|| format!("`--out`: {} cannot be made", work.display()))?;
        let begun = Self::begin_in(args, held, identity, screen, [work.clone(), out]);
        if begun.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_dir_all(&work);
        }
        begun
    }

    fn begin_in(
        args: &RunArgs,
        held: Held,
        identity: &Json,
        screen: Screen,
        [work, out]: [PathBuf; 2],
    ) -> anyhow::Result<Self> {
        let key = key::load(args.key.as_deref(), |text| screen.note(text))?;
        let signer = key.verifying();
        let ledger = Ledger::open(&work, key, ORIGIN)?;
        let id = Digest::of(identity.canonical().as_bytes()).to_string()[..16].to_owned();
        let budget = held.case.as_ref().map(|case| case.budget.clone()).unwrap_or_default();
        let country = held.case.as_ref().and_then(|case| case.country.as_deref());
        let intensity = country.and_then(meter::intensity);
        if budget.carbon_gco2e.is_some() && intensity.is_none() {
            bail!("a carbon budget cannot be held without the grid: set `country` under `[site]` of the case");
        }
        let caps = Caps::new([budget.compute_flop, budget.time_s, budget.energy_kwh, budget.carbon_gco2e]);
        let account = Account::open(&work.join(run::WORK).join("budget.journal"), caps)?;
        let interrupted = interrupted()?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let guard = Guard::new(account, Sensor::find(threads), intensity, PACE, interrupted);
        let (run, _) = Run::open(ledger, id, held.terms, now)?;
        run.ledger().entries().iter().for_each(|entry| screen.recorded(entry));
        let mut step = Self { screen, run, guard, work, out, case: held.case };
        step.declare(&signer)?;
        Ok(step)
    }

    fn declare(&mut self, signer: &ledger::VerifyingKey) -> anyhow::Result<()> {
        let Some(case) = &self.case else { return Ok(()) };
        let declared = declare::of_case(case, Some(signer.clone()))?;
        let declarations = declared.all();
        if declarations.is_empty() {
            return Ok(());
        }
        let signed: Vec<Json> = declared.signed.iter().map(SignedDeclarations::to_json).collect();
        let mut record = Record::new(Predicate::Declarations, "declarations");
        record.subjects = vec![supervise::signed::system_subject(&case.name)];
        record.declarations = declarations;
        record.members = if signed.is_empty() { Vec::new() } else { vec![("signed", Json::List(signed))] };
        self.record(record)
    }

    pub(crate) fn record(&mut self, record: Record) -> anyhow::Result<()> {
        let entry = self.run.record(record)?;
        self.screen.recorded(&entry);
        Ok(())
    }

    /// May this be done? On what is planned alone.
    pub(crate) fn plan(
        &mut self,
        subject: &Subject,
        measurements: Vec<Measurement>,
        members: Vec<(&'static str, Json)>,
    ) -> anyhow::Result<Passed> {
        let mut record = Record::new(Predicate::Plan, "plan");
        record.subjects = vec![subject.clone()];
        record.measurements = measurements;
        record.members = members;
        record.members.push(("system", self.run.terms().system.to_json()));
        self.record(record)?;
        self.gate(Stage::Plan)
    }

    pub(crate) fn gate(&mut self, stage: Stage) -> anyhow::Result<Passed> {
        let before = self.run.entries().len();
        let gate = self.run.decide(stage)?;
        self.run.entries()[before..].iter().for_each(|entry| self.screen.recorded(entry));
        if gate.effect == Effect::Allow {
            return Ok(Passed::On);
        }
        self.screen.note(&format!("denied at the stage `{}`:", stage.name()));
        gate.denials.iter().for_each(|denial| self.screen.note(&format!("  {denial}")));
        Ok(Passed::No(gate))
    }

    /// Records what came of the step, and decides on it.
    pub(crate) fn result(&mut self, result: StepResult<'_>) -> anyhow::Result<Passed> {
        let StepResult { subject, parents, action, operation, parameters, sides, changed, mut lineage } = result;
        self.guard.close()?;
        let spent = self.guard.account().spent();
        let (compute, energy) = (spent.in_unit(0, evidence::Round::Up), spent.in_unit(2, evidence::Round::Up));
        lineage.push(Ancestor {
            digest: subject.digest,
            name: subject.name.clone(),
            action: Some(action.to_owned()),
            record: None,
            compute_flop: Some(compute),
            energy_kwh: Some(energy),
        });
        let (all_compute, all_energy, unrecorded) = lineage::sums(&lineage);
        let mut measurements = changed.measurements;
        let decimal = |value| evidence::Decimal::from_f64(value, evidence::DIGITS_MEASURED, evidence::Round::Up);
        let words = "summed over the lineage of this statement";
        measurements.push(figures::measure("lineage.recorded_compute", subject, decimal(all_compute)?, words)?);
        if unrecorded == 0 {
            measurements.push(figures::measure("lineage.compute", subject, decimal(all_compute)?, words)?);
        }
        let mut energy = figures::measure("lineage.recorded_energy", subject, decimal(all_energy)?, words)?;
        if !self.guard.sensor().is_counter() {
            energy.provenance = evidence::Provenance::Inferred;
            energy.instrument = format!("{}; {}", run::INSTRUMENT, self.guard.sensor().method());
        }
        measurements.push(energy);
        let unrecorded = evidence::Decimal::from_u128(unrecorded.into(), evidence::Round::Nearest);
        measurements.push(figures::measure("lineage.unrecorded", subject, unrecorded, words)?);
        let mut record = Record::new(Predicate::Compression, "compress");
        record.subjects = vec![subject.clone()];
        record.measurements = measurements;
        let edge = |parent: &Digest| DerivedFrom { parent: *parent, action: action.to_owned() };
        record.derived_from = parents.iter().map(edge).collect();
        let [before, after] = sides.to_json()?;
        record.members = vec![
            ("operation", operation.into()),
            ("parameters", parameters),
            ("before", before),
            ("after", after),
            ("lineage", Json::List(lineage.iter().map(Ancestor::to_json).collect())),
            ("suites", changed.suites),
            ("budget", figures::budget(self.guard.account())),
        ];
        self.record(record)?;
        self.gate(Stage::Compress)
    }

    /// Records a stop: of the budget, or of a person.
    pub(crate) fn stop(mut self, reason: &str, subject: &Subject) -> anyhow::Result<Ended> {
        self.guard.close()?;
        if let Some(failure) = self.guard.take_failure() {
            return Err(failure.into());
        }
        let mut record = Record::new(Predicate::Stop, "stop");
        record.subjects = vec![subject.clone()];
        record.members = vec![("reason", reason.into()), ("budget", figures::budget(self.guard.account()))];
        self.record(record)?;
        self.screen.note(&format!("stopped: {reason}"));
        self.close("stopped", &Json::map([]))
    }

    /// Seals, gives the folder its name, and tells the outcome. What was not allowed leaves no weights and no data.
    pub(crate) fn close(mut self, word: &str, summary: &Json) -> anyhow::Result<Ended> {
        let is_allowed = word == "allowed";
        let made: Vec<&str> = ["weights", "data"].into_iter().filter(|name| self.work.join(name).exists()).collect();
        for name in made.iter().filter(|_| !is_allowed) {
            fs::remove_dir_all(self.work.join(name))
                .with_context(|| format!("the refused {name} cannot be removed"))?;
        }
        self.guard.close()?;
        let scratch = self.work.join(run::WORK);
        fs::remove_dir_all(&scratch).with_context(|| format!("{} cannot be removed", scratch.display()))?;
        self.seal()?;
        let mut members = summary.members().cloned().unwrap_or_default();
        for (name, value) in [("event", "outcome"), ("outcome", word)] {
            members.insert(name.to_owned(), value.into());
        }
        members.insert("dossier".to_owned(), self.out.display().to_string().into());
        for name in made.into_iter().filter(|_| is_allowed) {
            let what = if name == "weights" { "model" } else { name };
            members.insert(what.to_owned(), self.out.join(name).display().to_string().into());
        }
        let Self { screen, run, work, out, .. } = self;
        drop(run);
        if out.exists() {
            bail!("{} was made meanwhile; the result stands in {}", out.display(), work.display());
        }
        fs::rename(&work, &out)
            .with_context(|| format!("{} cannot be renamed to {}", work.display(), out.display()))?;
        if screen.is_json() {
            screen.event(&Json::Map(members));
        } else {
            crate::screen::line(&format!("{word}; dossier: {}", out.join("index.html").display()));
        }
        Ok(if is_allowed { Ended::Well } else { Ended::Denied })
    }

    fn seal(&mut self) -> anyhow::Result<()> {
        let left_out = UNCOVERED.map(|(path, _)| path);
        let weights = self.work.join("weights");
        if weights.is_dir() {
            let files = ledger::manifest(&weights, &["manifest.json"])?;
            let json = Json::map([("files", Some(Json::List(files.iter().map(ledger::Sealed::to_json).collect())))]);
            durable::write_atomic(&weights.join("manifest.json"), json.document().as_bytes())?;
        }
        for (name, text) in documents(self.run.ledger().entries()) {
            durable::write_atomic(&self.work.join(name), text.as_bytes())?;
        }
        let files = ledger::manifest(&self.work, &left_out)?;
        let mut record = Record::new(Predicate::Seal, "seal");
        let json = Json::List(files.iter().map(ledger::Sealed::to_json).collect());
        record.subjects = vec![Subject::new("dossier", Digest::of(json.canonical().as_bytes()))];
        record.members = vec![("files", json)];
        self.record(record)
    }

    /// Removes what was begun: after an error nothing is left.
    pub(crate) fn abandon(self) {
        let Self { run, work, .. } = self;
        drop(run);
        let _ = fs::remove_dir_all(work);
    }

    /// Scores a model, each piece asked of the budget first.
    pub(crate) fn score(&mut self, suites: &Suites, parts: &ModelParts, decoder: &Decoder) -> anyhow::Result<Scores> {
        let blocks = blocks_of(decoder);
        let guard = &mut self.guard;
        let scores = suites.score(decoder, &parts.tokenizer, &mut |n| guard.ask(blocks.forward(1, n.max(1))))?;
        self.guard.done();
        Ok(scores)
    }
}

/// Set by a signal. A search begins several steps, and a program has one handler.
fn interrupted() -> anyhow::Result<Arc<AtomicBool>> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(Arc::clone(flag));
    }
    let flag = Arc::clone(FLAG.get_or_init(|| Arc::new(AtomicBool::new(false))));
    let held = Arc::clone(&flag);
    ctrlc::set_handler(move || held.store(true, std::sync::atomic::Ordering::SeqCst))
        .context("signals cannot be caught")?;
    Ok(flag)
}

/// What a finished step says.
pub(crate) struct StepResult<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) parents: &'a [Digest],
    pub(crate) action: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) parameters: Json,
    pub(crate) sides: &'a Sides,
    pub(crate) changed: Changed,
    /// Of the parents, themselves included.
    pub(crate) lineage: Vec<Ancestor>,
}

/// A decoder as the meter counts it.
pub(crate) fn blocks_of(decoder: &Decoder) -> Blocks {
    let block = |shape: model::profile::LayerShape| meter::flop::Block {
        heads: shape.heads as u64,
        kv_heads: shape.kv_heads as u64,
        head_width: shape.head_width as u64,
        window: shape.window.map(|window| window as u64),
        matrices: shape.matrices as u64,
        hidden: shape.hidden as u64,
        active: shape.experts.map_or(1, |(_, active)| active as u64),
        routed: shape.experts.map_or(0, |(n, _)| n as u64),
    };
    Blocks {
        width: decoder.width() as u64,
        vocabulary: decoder.vocab() as u64,
        blocks: decoder.layer_shapes().into_iter().map(block).collect(),
    }
}

/// Operations of one layer of a walk: two passes, the Gram matrices, and O·I² for each matrix that is swept.
pub(crate) fn walk_flop(decoder: &Decoder, rows: &[Vec<u32>]) -> u128 {
    let (blocks, shapes) = (blocks_of(decoder), decoder.layer_shapes());
    let n: u64 = rows.iter().map(|row| row.len() as u64).sum();
    let length = rows.first().map_or(1, |row| row.len() as u64);
    let layers = shapes.len().max(1) as u128;
    let passes = 2 * blocks.forward(1, length) * u128::from(n / length.max(1)) / layers;
    let wide = shapes.first().map_or(0, |shape| shape.hidden) as u128;
    let width = u128::from(blocks.width);
    let grams = 2 * u128::from(n) * (3 * width * width + wide * wide);
    passes + grams + 8 * width * width * width + 2 * width * wide * (width + wide)
}

/// Whether an observer's answer ends a step.
pub(crate) fn stopped(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| cause.to_string().strip_prefix("stopped: ").map(str::to_owned))
}

/// An observer of a walk that asks the budget before each layer.
pub(crate) fn ask_layers(guard: &mut Guard, flop: u128) -> impl FnMut(usize, usize) -> Control + '_ {
    move |_, _| guard.ask(flop)
}
