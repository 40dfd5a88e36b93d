//! Every decision of a log, taken again from the evidence it names, and compared.

use crate::run::{decision_members, facts_of, says, text};
use crate::terms::rules_of;
use evidence::{Digest, Json, Predicate};
use jiff::civil::Date;
use ledger::Entry;
use policy::{Rules, Stage, System, calendar, decide};
use std::collections::BTreeMap;

/// What came of deciding one decision entry again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rechecked {
    /// Index of the decision in the log.
    pub index: u64,
    /// Why it does not stand; `None` when it does.
    pub problem: Option<String>,
}

/// The rules of each policy entry, by the digest of its envelope, or why it gives none.
type Compiled = BTreeMap<Digest, Result<Rules, String>>;

/// Decides again every decision among verified entries. The rules of a policy entry are compiled once.
#[must_use]
pub fn recheck(entries: &[Entry]) -> Vec<Rechecked> {
    let mut compiled = Compiled::new();
    let decisions = entries.iter().filter(|entry| entry.statement.predicate_type == Predicate::Decision);
    let recheck = |entry: &Entry| Rechecked { index: entry.index, problem: again(entry, entries, &mut compiled).err() };
    decisions.map(recheck).collect()
}

fn again(entry: &Entry, entries: &[Entry], compiled: &mut Compiled) -> Result<(), String> {
    let predicate = &entry.statement.predicate;
    let before = |digest: Digest, what: &str| {
        let found = entries.iter().find(|other| other.envelope == digest && other.index < entry.index);
        found.ok_or_else(|| format!("{what} {digest} does not stand in the log before it"))
    };
    let policy = digest(predicate.get("policy")).ok_or("it names no policy")?;
    let statement = &before(policy, "the policy")?.statement;
    let rules = compiled.entry(policy).or_insert_with(|| rules_of(statement).map_err(|error| error.to_string()));
    let rules = rules.as_ref().map_err(Clone::clone)?;
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
    let day = |json: Option<&Json>| json.and_then(Json::as_text).and_then(|day| day.parse::<Date>().ok());
    let as_of = day(predicate.get("as_of")).ok_or("it has no as-of date")?;
    let stage = text(&entry.statement, "stage").and_then(Stage::from_name).ok_or("it names no stage")?;
    let decision = decide(rules, (stage != Stage::Release).then_some(stage), &system, &facts, as_of);
    // Decisions of older records have no calendar, and one may look further than another.
    let calendar = predicate.get("calendar").map(|held| {
        let until = day(held.get("until")).ok_or("its calendar has no end")?;
        Ok::<_, String>(calendar(rules, &system, &facts, as_of, until))
    });
    let members = decision_members(&decision, calendar.transpose()?.as_ref(), policy, &sources, &system);
    if says(entry, &members) { Ok(()) } else { Err("deciding again from its evidence gives another result".to_owned()) }
}

fn digest(set: Option<&Json>) -> Option<Digest> {
    set?.get("sha256")?.as_text()?.parse().ok()
}
