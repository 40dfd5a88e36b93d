//! Deciding on the evidence there is, and explaining one verdict.

use crate::{
    Ended, check_model,
    declare::{self, Declarations},
    evaluate_evidence,
    export::{self, CheckExports},
    key, packs, run, screen, verify, waive,
};
use anyhow::{Context as _, bail};
use evidence::{Digest, Json, Predicate};
use jiff::civil::Date;
use ledger::Entry;
use model::OpenOptions;
use policy::{Effect, Elsewhere, Explanation, Facts, Mode, Pack, Rules, System, Verdict, decide};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use supervise::{PackText, Terms, case::Case, facts_of, packs_of, signed::EnvelopeFile, waivers_of};

/// Rules, system, facts and day, wherever they came from.
pub(crate) struct Ground {
    pub(crate) rules: Rules,
    pub(crate) system: System,
    pub(crate) facts: Facts,
    pub(crate) as_of: Date,
    /// The waivers of `rules`, in their order, as they lie beside the case.
    pub(crate) waivers: Vec<EnvelopeFile>,
    /// What a case declares, today and whether or not a run has recorded it.
    pub(crate) declared: Declarations,
    /// Where in a case file findings about its packs point.
    pub(crate) case: Option<Case>,
    /// The envelopes of the record, each with its place in the log.
    pub(crate) entries: BTreeMap<Digest, u64>,
}

/// The ground of a case, of a dossier or of a model. A case without a dossier has its declarations for evidence, and nothing else.
pub(crate) fn ground(path: &Path, as_of: Option<Date>, other_packs: &[String]) -> anyhow::Result<Ground> {
    ground_with(path, as_of, other_packs, &[], &OpenOptions::default())
}

/// As `ground`, with signed figures beside it, and with what is said of a model's tokens.
pub(crate) fn ground_with(
    path: &Path,
    as_of: Option<Date>,
    other_packs: &[String],
    evidence: &[PathBuf],
    tokens: &OpenOptions,
) -> anyhow::Result<Ground> {
    if check_model::is_model(path) {
        return check_model::ground(path, as_of, other_packs, evidence, tokens);
    }
    if tokens.bos.is_some() || tokens.eos.is_some() {
        bail!("`--bos` and `--eos` are said of a model, and {} is none; leave them out", path.display());
    }
    with_evidence(recorded(path, as_of, other_packs)?, evidence)
}

/// Of a dossier or a case.
fn recorded(path: &Path, as_of: Option<Date>, other_packs: &[String]) -> anyhow::Result<Ground> {
    if path.join("log/checkpoint").is_file() {
        return of_dossier(path, as_of, other_packs);
    }
    let case = Case::read(path)?;
    let dossier = case.folder.join("dossier");
    let (mut facts, day) = (Facts::new(), as_of.or(case.as_of).unwrap_or_else(run::today));
    let mut entries = BTreeMap::new();
    if dossier.join("log/checkpoint").is_file() {
        let recorded = latest_run(&verify::entries(&dossier)?);
        (facts, entries) = (facts_of(&recorded)?.0, places(&recorded));
    } else if let Some(existing) = &case.existing {
        check_model::profiled(&case.folder.join(&existing.path), &mut facts)?;
    }
    // What the case declares today counts, whether or not a run has recorded it.
    let declared = declare::of_case(&case, key::known(None)?)?;
    for declaration in &declared.written {
        facts.declare(declaration, Digest::of(case.text.as_bytes()));
    }
    for file in &declared.signed {
        file.declarations.iter().for_each(|declaration| facts.declare(declaration, file.envelope));
    }
    let packs = if other_packs.is_empty() { packs::of_case(&case)? } else { named(&case.folder, other_packs)? };
    let terms = Terms::new(packs, case.system.clone(), day).map_err(|errors| packs::refuse(&errors))?;
    let Terms { rules, system, waivers, .. } = waive::over(terms, &case)?;
    Ok(Ground { rules, system, facts, as_of: day, waivers, declared, case: Some(case), entries })
}

fn of_dossier(dossier: &Path, as_of: Option<Date>, other_packs: &[String]) -> anyhow::Result<Ground> {
    let entries = latest_run(&verify::entries(dossier)?);
    let last = |predicate: Predicate| entries.iter().rev().find(|entry| entry.statement.predicate_type == predicate);
    let decision = last(Predicate::Decision).context("the dossier holds no decision yet")?;
    let member = |name: &str| decision.statement.predicate.get(name);
    let policy = &last(Predicate::Policy).context("the dossier holds no policy")?.statement;
    let packs = if other_packs.is_empty() { packs_of(policy)? } else { named(dossier, other_packs)? };
    let (waivers, approvers) = waivers_of(policy)?;
    let system = System::from_json(member("system").context("the decision does not say what the system is")?)?;
    let held = member("as_of").and_then(Json::as_text).and_then(|day| day.parse().ok());
    let as_of = as_of.or(held).context("the decision has no date; give one with `--as-of`")?;
    let terms = Terms::new(packs, system, as_of).map_err(|errors| packs::refuse(&errors))?;
    let Terms { rules, system, waivers, .. } = terms.with_waivers(waivers, approvers)?;
    let (facts, _) = facts_of(&entries)?;
    let entries = places(&entries);
    Ok(Ground { rules, system, facts, as_of, waivers, declared: Declarations::default(), case: None, entries })
}

fn places(entries: &[Entry]) -> BTreeMap<Digest, u64> {
    entries.iter().map(|entry| (entry.envelope, entry.index)).collect()
}

/// Signed figures beside what a case or a dossier holds: under the key of this program, or one that the case lists.
fn with_evidence(mut ground: Ground, evidence: &[PathBuf]) -> anyhow::Result<Ground> {
    let listed = ground.case.iter().flat_map(|case| case.declarers.iter().cloned());
    let keys: Vec<_> = listed.chain(key::known(None)?).collect();
    for (envelope, measurements) in evaluate_evidence::read(evidence, &keys)? {
        measurements.iter().for_each(|measurement| ground.facts.measure(measurement, envelope));
    }
    Ok(ground)
}

/// The entries of the run that wrote last.
fn latest_run(entries: &[Entry]) -> Vec<Entry> {
    let run = |entry: &Entry| entry.statement.predicate.get("runId").and_then(Json::as_text).map(str::to_owned);
    let last = entries.last().and_then(run);
    entries.iter().filter(|entry| run(entry) == last).cloned().collect()
}

pub(crate) fn named(base: &Path, names: &[String]) -> anyhow::Result<Vec<PackText>> {
    let find = |name: &String| {
        let found = packs::find(base, name, Mode::Enforce)?;
        let found = found.or(packs::find(Path::new(""), name, Mode::Enforce)?);
        found.with_context(|| {
            format!("no pack `{name}`; the shipped ones are `{}`", packs::shipped_names().join("`, `"))
        })
    };
    names.iter().map(find).collect()
}

/// Which rules of the packs in use, and of every shipped one, ask what an explained rule asks; on the same evidence.
fn elsewhere(ground: &Ground, explained: &Explanation<'_>) -> anyhow::Result<Vec<Elsewhere>> {
    let mut all = ground.rules.clone();
    let is_used = |name: &str| ground.rules.packs.iter().any(|(pack, _)| pack.name() == name);
    for name in packs::shipped_names().into_iter().filter(|name| !is_used(name)) {
        let text = packs::shipped(name, Mode::Report).with_context(|| format!("no pack `{name}`"))?;
        let pack = Pack::compile(&text.name, &text.cards).map_err(|errors| packs::refuse(&errors))?;
        all.packs.push((pack, Mode::Report));
    }
    let Explanation { verdict, .. } = explained;
    let mut found = policy::crosswalk(verdict.card, verdict.pack, all.packs.iter().map(|(pack, _)| pack));
    let decision = decide(&all, None, &ground.system, &ground.facts, ground.as_of);
    for asked in &mut found {
        let is_it = |verdict: &&Verdict<'_>| asked.rule.as_ref().is_some_and(|(id, _)| verdict.rule() == id);
        asked.verdict = decision.verdicts.iter().find(is_it).map(Verdict::name);
    }
    Ok(found)
}

pub(crate) fn check(
    path: &Path,
    as_of: Option<Date>,
    packs: &[String],
    evidence: &[PathBuf],
    tokens: &OpenOptions,
    is_json: bool,
    exports: &CheckExports,
) -> anyhow::Result<Ended> {
    exports.check(is_json)?;
    let ground = ground_with(path, as_of, packs, evidence, tokens)?;
    let decision = decide(&ground.rules, None, &ground.system, &ground.facts, ground.as_of);
    export::results(exports, path, &ground, &decision)?;
    if exports.take_stdout() {
        // The results themselves stand there.
    } else if is_json {
        screen::json(&decision.to_json());
    } else {
        for verdict in &decision.verdicts {
            let name = verdict.name();
            let mode = if verdict.mode == Mode::Report { " (reported)" } else { "" };
            screen::line(&format!("{:44} {}{mode}", verdict.rule(), screen::coloured(&name)));
            screen::line(&format!("{:44} {}", "", verdict.finding.reason));
            if let Some(waiver) = verdict.waiver {
                screen::line(&format!("{:44} {}", "", run::waived(verdict.rule(), &waiver.to_json())));
            }
        }
        for (waiver, why) in &decision.idle_waivers {
            screen::line(&format!("the waiver of {} does nothing: {why}", waiver.rule));
        }
        screen::line(&format!("{} as of {}", decision.effect.name(), decision.as_of));
    }
    Ok(if decision.effect == Effect::Allow { Ended::Well } else { Ended::Denied })
}

pub(crate) fn explain(rule: &str, path: Option<&Path>, as_of: Option<Date>, is_json: bool) -> anyhow::Result<Ended> {
    let ground = match path {
        Some(path) => ground(path, as_of, &[])?,
        None => {
            let shipped = packs::shipped_names();
            let packs = shipped.iter().filter_map(|name| packs::shipped(name, Mode::Report)).collect();
            let as_of = as_of.unwrap_or_else(run::today);
            let terms = Terms::new(packs, System::new(), as_of).map_err(|errors| packs::refuse(&errors))?;
            let Terms { rules, system, waivers, .. } = terms;
            let (facts, entries) = (Facts::new(), BTreeMap::new());
            Ground { rules, system, facts, as_of, waivers, declared: Declarations::default(), case: None, entries }
        }
    };
    let explained = policy::explain(&ground.rules, rule, &ground.system, &ground.facts, ground.as_of);
    let Some(mut explained) = explained else {
        let hint = ground
            .case
            .as_ref()
            .map_or("`assize policy list` names the packs", |_| "the packs are those under `[policy]`");
        bail!("no rule `{rule}` among the packs; {hint}");
    };
    explained.entries.clone_from(&ground.entries);
    explained.elsewhere = elsewhere(&ground, &explained)?;
    if is_json {
        screen::json(&explained.to_json());
    } else {
        screen::line(explained.to_text().trim_end());
    }
    Ok(Ended::Well)
}
