//! From the description of a use to its classes: file or case in, trees and open questions out.

mod ask;

use crate::{Ended, packs, run, screen};
use anyhow::{Context as _, anyhow};
use jiff::civil::Date;
use policy::scenario::{Answers, Classes, Classified, Disagreement, ScenarioFile, classify, disagreements};
use policy::{CardError, Mode, Pack};
use std::{
    collections::BTreeSet,
    fs,
    io::{IsTerminal as _, stderr, stdin},
    path::Path,
};
use supervise::case::Case;

/// A scenario and, where it stands in a case, the case.
struct Ground {
    answers: Answers,
    as_of: Option<Date>,
    case: Option<Case>,
}

pub(crate) fn scenario(path: &Path, sets: &[String], as_of: Option<Date>, is_json: bool) -> anyhow::Result<Ended> {
    let mut ground = ground(path)?;
    for set in sets {
        let (key, value) = set.split_once('=').with_context(|| format!("expected `--set KEY=VALUE`, found `{set}`"))?;
        ground.answers.set_text(key.trim(), value).context("the answer given with `--set` is refused")?;
    }
    let files = packs::scenario_files(ground.case.as_ref())?;
    let classes = Classes::compile(&files).map_err(|errors| refuse(&errors, "the classes cannot be read"))?;
    let day = as_of.or(ground.as_of).unwrap_or_else(run::today);
    if stdin().is_terminal() && stderr().is_terminal() {
        ask::ask(&classes, &mut ground.answers, day, &mut stdin().lock(), &mut stderr().lock())?;
    }
    let classified = classify(&classes, &ground.answers, day);
    let findings = ground.case.as_ref().map(|case| disagreements(&classified, &case.system));
    let cards = cards(ground.case.as_ref())?;
    let has_card = |id: &str| cards.contains(id);
    if is_json {
        screen::json(&classified.to_json(&has_card, findings.as_deref()));
    } else {
        screen::line(classified.to_text(&has_card).trim_end());
        show(&classified, findings.as_deref().unwrap_or_default(), &has_card);
    }
    Ok(if findings.is_none_or(|findings| findings.is_empty()) { Ended::Well } else { Ended::Denied })
}

/// A folder and a file with `[system]` are cases; any other file is a scenario of its own.
fn ground(path: &Path) -> anyhow::Result<Ground> {
    let text = if path.is_dir() {
        None
    } else {
        let hint = "give a file with a `[use]` table, or a case; docs/scenario.md lists the facts";
        Some(
            fs::read_to_string(path)
                .with_context(|| format!("the scenario {} cannot be read; {hint}", path.display()))?,
        )
    };
    let is_case = |text: &String| text.lines().any(|line| line.trim_start().starts_with("[system]"));
    let Some(text) = text.filter(|text| !is_case(text)) else {
        let case = Case::read(path)?;
        let mut answers = case.scenario.clone();
        answers.fill_from(&Answers::of_system(&case.system));
        return Ok(Ground { answers, as_of: case.as_of, case: Some(case) });
    };
    let read = ScenarioFile::read(&path.display().to_string(), &text);
    let file = read.map_err(|errors| refuse(&errors, "the scenario cannot be read"))?;
    Ok(Ground { answers: file.answers, as_of: file.as_of, case: None })
}

fn refuse(errors: &[CardError], title: &str) -> anyhow::Error {
    let shown: Vec<String> = errors.iter().map(|error| error.titled(title)).collect();
    anyhow!("{}", shown.join("\n\n"))
}

/// The ids of all rules that have a card, among the shipped packs and those of the case.
fn cards(case: Option<&Case>) -> anyhow::Result<BTreeSet<String>> {
    let shipped = packs::shipped_names().into_iter().filter_map(|name| packs::shipped(name, Mode::Report));
    let own = case.map(packs::of_case).transpose()?.unwrap_or_default();
    let mut ids = BTreeSet::new();
    for pack in shipped.chain(own) {
        let pack = Pack::compile(&pack.name, &pack.cards).map_err(|errors| packs::refuse(&errors))?;
        ids.extend(pack.cards().iter().map(|card| card.id.clone()));
    }
    Ok(ids)
}

/// Each claim that the scenario contradicts, and the trees of the classes that show why.
fn show(classified: &Classified<'_>, findings: &[Disagreement], has_card: &dyn Fn(&str) -> bool) {
    let outcomes = classified.outcomes();
    for finding in findings {
        screen::line(&format!("\nfinding: {finding}"));
        for outcome in outcomes.iter().filter(|outcome| finding.classes.contains(&outcome.class.id)) {
            screen::line(classified.tree(outcome, has_card).trim_end());
        }
    }
    if !findings.is_empty() {
        screen::line(&format!("\n{} claims of the case disagree with its scenario", findings.len()));
    }
}
