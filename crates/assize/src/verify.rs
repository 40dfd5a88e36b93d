//! Checking a dossier, offline and by its files alone.

use crate::{
    Ended,
    run::{UNCOVERED, documents},
    screen,
};
use anyhow::{Context as _, bail};
use evidence::{Json, Predicate};
use ledger::{Entry, Sealed, VerifyingKey, durable};
use std::{fs, path::Path};
use supervise::recheck;

/// One check and what came of it.
struct Check {
    name: &'static str,
    problem: Option<String>,
    /// What was found, when it holds.
    found: String,
}

impl Check {
    fn new(name: &'static str, result: Result<String, String>) -> Self {
        match result {
            Ok(found) => Self { name, problem: None, found },
            Err(problem) => Self { name, problem: Some(problem), found: String::new() },
        }
    }

    fn to_json(&self) -> Json {
        let reason = self.problem.as_deref().unwrap_or(&self.found);
        Json::map([
            ("name", Some(self.name.into())),
            ("ok", Some(self.problem.is_none().into())),
            ("reason", Some(reason.into())),
        ])
    }
}

pub(crate) fn verify(
    dossier: Option<&Path>,
    key: Option<&Path>,
    uncovered: bool,
    is_json: bool,
) -> anyhow::Result<Ended> {
    if uncovered {
        return Ok(show_uncovered(is_json));
    }
    let dossier = dossier.context("which dossier? give its folder")?;
    if !dossier.is_dir() {
        bail!("{} is not a folder; a dossier is the folder that `assize run` leaves", dossier.display());
    }
    let pinned = key.map(pinned_key).transpose()?;
    let checks = checks(dossier, pinned);
    let is_well = checks.iter().all(|check| check.problem.is_none());
    if is_json {
        let rows = Json::List(checks.iter().map(Check::to_json).collect());
        screen::json(&Json::map([("ok", Some(is_well.into())), ("checks", Some(rows))]));
    } else {
        for check in &checks {
            let (mark, text) = check.problem.as_ref().map_or(("ok  ", &check.found), |problem| ("FAIL", problem));
            screen::line(&format!("{mark} {:12} {text}", check.name));
        }
        screen::line(if is_well {
            "intact: what was signed is what lies here. Whether the signer is who you think is for you to know: compare the key"
        } else {
            "not intact"
        });
    }
    Ok(if is_well { Ended::Well } else { Ended::Denied })
}

fn show_uncovered(is_json: bool) -> Ended {
    if is_json {
        let row =
            |(path, reason): (&str, &str)| Json::map([("path", Some(path.into())), ("reason", Some(reason.into()))]);
        screen::json(&Json::map([("uncovered", Some(Json::List(UNCOVERED[2..].iter().copied().map(row).collect())))]));
    } else {
        UNCOVERED[2..].iter().for_each(|(path, reason)| screen::line(&format!("{path:8} {reason}")));
    }
    Ended::Well
}

fn pinned_key(path: &Path) -> anyhow::Result<VerifyingKey> {
    let line = fs::read_to_string(path).with_context(|| format!("the key {} cannot be read", path.display()))?;
    VerifyingKey::parse(&line).with_context(|| format!("{} does not hold a key", path.display()))
}

/// All checks, in order; after the log itself fails nothing that stands on it can be told.
fn checks(dossier: &Path, pinned: Option<VerifyingKey>) -> Vec<Check> {
    let mut checks = Vec::new();
    let keys = match ledger::keys_in(dossier) {
        Ok(keys) if !keys.is_empty() => keys,
        Ok(_) => return vec![Check::new("keys", Err("keys/ holds no verifier key".to_owned()))],
        Err(error) => return vec![Check::new("keys", Err(chain(&error)))],
    };
    let shown = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let keys = match pinned {
        Some(pinned) if keys.contains(&pinned) => {
            checks.push(Check::new("keys", Ok(format!("signed by the key you gave, {pinned}"))));
            vec![pinned]
        }
        Some(pinned) => {
            checks
                .push(Check::new("keys", Err(format!("the dossier carries {shown}, not the key you gave, {pinned}"))));
            return checks;
        }
        None => {
            checks.push(Check::new("keys", Ok(format!("taken from the dossier itself: {shown}"))));
            keys
        }
    };
    let read = match ledger::read(dossier, &keys) {
        Ok(read) => read,
        Err(error) => {
            checks.push(Check::new("log", Err(chain(&error))));
            return checks;
        }
    };
    let size = read.checkpoint.size;
    checks.push(Check::new(
        "log",
        Ok(format!("{size} entries, signatures, tiles and root of {}", read.checkpoint.origin)),
    ));
    let unexpected = ledger::unexpected(dossier, &read).map_err(|error| chain(&error));
    checks.push(Check::new(
        "extras",
        unexpected.map(|()| "no file in log/ and envelopes/ beyond the entries".to_owned()),
    ));
    checks.push(Check::new("seal", sealed(dossier, &read.entries)));
    checks.push(Check::new("decisions", decisions(&read.entries)));
    checks.push(Check::new("documents", same_documents(dossier, &read.entries)));
    checks
}

/// The files of the seal against those that lie there.
fn sealed(dossier: &Path, entries: &[Entry]) -> Result<String, String> {
    let last = entries.last().filter(|entry| entry.statement.predicate_type == Predicate::Seal);
    let last =
        last.ok_or("the last entry is not a seal: a run is under way or was broken off; run it again to its end")?;
    let files = last.statement.predicate.get("files").map_or(&[][..], Json::items);
    let files: Vec<Sealed> =
        files.iter().map(Sealed::from_json).collect::<Option<_>>().ok_or("the seal's list is malformed")?;
    let differences =
        ledger::differences(dossier, &files, &UNCOVERED.map(|(path, _)| path)).map_err(|error| chain(&error))?;
    if differences.is_empty() { Ok(format!("{} files as sealed", files.len())) } else { Err(differences.join("; ")) }
}

fn decisions(entries: &[Entry]) -> Result<String, String> {
    let rechecked = recheck(entries);
    match rechecked.iter().find_map(|decision| Some((decision.index, decision.problem.as_ref()?))) {
        Some((index, problem)) => Err(format!("decision at entry {index}: {problem}")),
        None => Ok(format!("{} taken again from their evidence, each the same", rechecked.len())),
    }
}

/// The documents for programs are what the entries say. The page is covered by the seal alone: its looks may change with a version.
fn same_documents(dossier: &Path, entries: &[Entry]) -> Result<String, String> {
    // They were written before the seal was.
    let before = &entries[..entries.len().saturating_sub(1)];
    for (name, text) in documents(before).iter().filter(|(name, _)| name.ends_with(".json")) {
        let held = durable::read(&dossier.join(name)).map_err(|error| chain(&error))?;
        if held != text.as_bytes() {
            return Err(format!("{name} does not say what the entries say"));
        }
    }
    Ok("evidence.json and decisions.json say what the entries say".to_owned())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if !text.contains(&cause.to_string()) {
            text = format!("{text}: {cause}");
        }
        source = cause.source();
    }
    text
}

/// Renders the documents anew, beside the dossier: a sealed one is not touched.
pub(crate) fn report(dossier: &Path, out: &Path) -> anyhow::Result<Ended> {
    let entries = entries(dossier)?;
    let before = entries.split_last().filter(|(last, _)| last.statement.predicate_type == Predicate::Seal);
    let entries = before.map_or(&entries[..], |(_, before)| before);
    for (name, text) in documents(entries) {
        durable::write_atomic(&out.join(name), text.as_bytes())?;
    }
    screen::line(&format!("{}", out.join("index.html").display()));
    Ok(Ended::Well)
}

/// The checked entries of a dossier.
pub(crate) fn entries(dossier: &Path) -> anyhow::Result<Vec<Entry>> {
    let shown = dossier.display();
    let keys = ledger::keys_in(dossier).with_context(|| format!("{shown} is not a dossier"))?;
    let read = ledger::read(dossier, &keys)
        .with_context(|| format!("the dossier {shown} does not verify; run `assize verify {shown}`"))?;
    Ok(read.entries)
}
