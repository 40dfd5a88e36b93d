//! Every decision of a log, taken again from the evidence it names, and compared.

use crate::run::{decision_members, facts_of, says, text};
use crate::terms::rules_of;
use evidence::{Digest, Json, Predicate};
use jiff::civil::Date;
use ledger::Entry;
use policy::{Stage, System, decide};

/// What came of deciding one decision entry again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rechecked {
    /// Index of the decision in the log.
    pub index: u64,
    /// Why it does not stand; `None` when it does.
    pub problem: Option<String>,
}

/// Decides again every decision among verified entries.
#[must_use]
pub fn recheck(entries: &[Entry]) -> Vec<Rechecked> {
    let decisions = entries.iter().filter(|entry| entry.statement.predicate_type == Predicate::Decision);
    decisions.map(|entry| Rechecked { index: entry.index, problem: again(entry, entries).err() }).collect()
}

fn again(entry: &Entry, entries: &[Entry]) -> Result<(), String> {
    let predicate = &entry.statement.predicate;
    let before = |digest: Digest, what: &str| {
        let found = entries.iter().find(|other| other.envelope == digest && other.index < entry.index);
        found.ok_or_else(|| format!("{what} {digest} does not stand in the log before it"))
    };
    let policy = digest(predicate.get("policy")).ok_or("it names no policy")?;
    let rules = rules_of(&before(policy, "the policy")?.statement).map_err(|error| error.to_string())?;
    let named = predicate.get("evidence").map_or(&[][..], Json::items);
    let sources: Vec<Digest> = named
        .iter()
        .map(|item| digest(Some(item)))
        .collect::<Option<_>>()
        .ok_or("its list of evidence is malformed")?;
    let evidence = sources.iter().map(|source| before(*source, "the evidence").cloned());
    let evidence: Vec<Entry> = evidence.collect::<Result<_, _>>()?;
    let (facts, _) = facts_of(&evidence).map_err(|error| error.to_string())?;
    let system = System::from_json(predicate.get("system").ok_or("it does not say what the system is")?)
        .map_err(|error| error.to_string())?;
    let as_of: Date = text(&entry.statement, "as_of").and_then(|day| day.parse().ok()).ok_or("it has no as-of date")?;
    let stage = text(&entry.statement, "stage").and_then(Stage::from_name).ok_or("it names no stage")?;
    let decision = decide(&rules, (stage != Stage::Release).then_some(stage), &system, &facts, as_of);
    let members = decision_members(&decision, policy, &sources, &system);
    if says(entry, &members) { Ok(()) } else { Err("deciding again from its evidence gives another result".to_owned()) }
}

fn digest(set: Option<&Json>) -> Option<Digest> {
    set?.get("sha256")?.as_text()?.parse().ok()
}
