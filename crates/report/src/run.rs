//! Which entries belong to the latest run, and how to find things in them.

use crate::Record;
use evidence::{Digest, Json, Predicate};
use std::collections::{BTreeMap, BTreeSet};

/// The entries of one run, in entry order.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    records: Vec<&'a Record>,
}

impl<'a> Run<'a> {
    /// The latest run: the entries that carry the last `runId` of the log, with those that carry none beside them from
    /// the run's first entry on; where no entry carries one, everything from the last plan on. Added to these are the
    /// earlier entries that they name by the digest of the envelope, such as the rule cards and the declarations.
    pub(crate) fn latest(records: &'a [Record]) -> Self {
        let mut sorted: Vec<&Record> = records.iter().collect();
        sorted.sort_by_key(|record| record.index);
        let id = sorted.iter().rev().find_map(|record| run_id(record));
        let first = match id {
            Some(id) => sorted.iter().position(|record| run_id(record) == Some(id)),
            None => sorted.iter().rposition(|record| record.statement.predicate_type == Predicate::Plan),
        }
        .unwrap_or(0);
        let mut taken: Vec<bool> = sorted
            .iter()
            .enumerate()
            .map(|(position, record)| position >= first && (run_id(record).is_none() || run_id(record) == id))
            .collect();
        take_what_is_named(&sorted, &mut taken);
        Self { records: sorted.into_iter().zip(taken).filter_map(|(record, taken)| taken.then_some(record)).collect() }
    }

    pub(crate) fn records(&self) -> &[&'a Record] {
        &self.records
    }

    pub(crate) fn of(&self, predicate: Predicate) -> impl DoubleEndedIterator<Item = &'a Record> {
        self.records.iter().copied().filter(move |record| record.statement.predicate_type == predicate)
    }

    pub(crate) fn last(&self, predicate: Predicate) -> Option<&'a Record> {
        self.of(predicate).next_back()
    }

    /// The entry whose envelope has that digest.
    pub(crate) fn entry(&self, envelope: Digest) -> Option<&'a Record> {
        self.records.iter().copied().find(|record| record.envelope == envelope)
    }

    pub(crate) fn id(&self) -> Option<&'a str> {
        self.records.iter().rev().find_map(|record| run_id(record))
    }

    /// The first text under any of `keys` in the latest statement that has one.
    pub(crate) fn latest_text(&self, keys: &[&str]) -> Option<&'a str> {
        self.records.iter().rev().find_map(|record| text(&record.statement.predicate, keys))
    }

    /// What the case says of its system: of the plan, else of a decision.
    pub(crate) fn system(&self) -> Option<&'a Json> {
        let system = |record: &'a Record| record.statement.predicate.get("system");
        self.of(Predicate::Plan).rev().find_map(system).or_else(|| self.of(Predicate::Decision).rev().find_map(system))
    }

    /// The decision that the page is about: of the release where there is one, else the last.
    pub(crate) fn decision(&self) -> Option<&'a Record> {
        let is_release = |record: &&Record| matches!(stage(record), None | Some("release"));
        self.of(Predicate::Decision).rev().find(is_release).or_else(|| self.last(Predicate::Decision))
    }

    /// Every signed measurement with the entry it stands in, in entry order.
    pub(crate) fn measurements(&self) -> Vec<(&'a Record, &'a Json)> {
        self.listed("measurements")
    }

    /// Every signed declaration with the entry it stands in, in entry order.
    pub(crate) fn declarations(&self) -> Vec<(&'a Record, &'a Json)> {
        self.listed("declarations")
    }

    fn listed(&self, key: &str) -> Vec<(&'a Record, &'a Json)> {
        let items = |record: &'a Record| record.statement.predicate.get(key).map_or(&[][..], Json::items);
        self.records.iter().flat_map(|record| items(record).iter().map(move |item| (*record, item))).collect()
    }

    /// The measurement of `metric` in the entry `envelope`, else the last of the run.
    pub(crate) fn measurement(&self, metric: &str, envelope: Option<Digest>) -> Option<(&'a Record, &'a Json)> {
        preferred(&self.measurements(), "metric", metric, envelope)
    }

    /// The declaration of `fact` in the entry `envelope`, else the last of the run.
    pub(crate) fn declaration(&self, fact: &str, envelope: Option<Digest>) -> Option<(&'a Record, &'a Json)> {
        preferred(&self.declarations(), "fact", fact, envelope)
    }

    /// Names of the things that the run's statements are about, by digest; of several names the first.
    pub(crate) fn names(&self) -> BTreeMap<Digest, &'a str> {
        let mut names = BTreeMap::new();
        for subject in self.records.iter().flat_map(|record| &record.statement.subjects) {
            names.entry(subject.digest).or_insert(subject.name.as_str());
        }
        names
    }
}

/// The last item whose member `key` is `name`, those of the entry `envelope` before all others.
fn preferred<'a>(
    all: &[(&'a Record, &'a Json)],
    key: &str,
    name: &str,
    envelope: Option<Digest>,
) -> Option<(&'a Record, &'a Json)> {
    let asked: Vec<_> = all.iter().filter(|(_, item)| text(item, &[key]) == Some(name)).collect();
    let there = asked.iter().rev().find(|(record, _)| Some(record.envelope) == envelope);
    there.or_else(|| asked.last()).map(|found| **found)
}

/// Adds, from the last entry to the first, every entry whose envelope a taken one names.
fn take_what_is_named(sorted: &[&Record], taken: &mut [bool]) {
    let mut named = BTreeSet::new();
    for (position, record) in sorted.iter().enumerate().rev() {
        if taken[position] || named.contains(&record.envelope) {
            taken[position] = true;
            collect_digests(&record.statement.predicate, &mut named);
            named.extend(record.statement.subjects.iter().map(|subject| subject.digest));
        }
    }
}

fn collect_digests(json: &Json, found: &mut BTreeSet<Digest>) {
    match json {
        Json::Text(text) => found.extend(text.parse::<Digest>()),
        Json::List(items) => items.iter().for_each(|item| collect_digests(item, found)),
        Json::Map(members) => members.values().for_each(|item| collect_digests(item, found)),
        Json::Bool(_) | Json::Int(_) | Json::Decimal(_) => {}
    }
}

pub(crate) fn run_id(record: &Record) -> Option<&str> {
    text(&record.statement.predicate, &["runId"])
}

pub(crate) fn stage(record: &Record) -> Option<&str> {
    text(&record.statement.predicate, &["stage"])
}

/// The first text among the members `keys`.
pub(crate) fn text<'a>(json: &'a Json, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| json.get(key)?.as_text()).filter(|text| !text.is_empty())
}

/// The first list among the members `keys`; empty when there is none.
pub(crate) fn list<'a>(json: &'a Json, keys: &[&str]) -> &'a [Json] {
    keys.iter().find_map(|key| json.get(key)).map_or(&[][..], Json::items)
}

/// A digest as hexadecimal text or as an in-toto `DigestSet`.
pub(crate) fn digest(json: &Json) -> Option<Digest> {
    json.as_text().or_else(|| json.get("sha256")?.as_text())?.parse().ok()
}
