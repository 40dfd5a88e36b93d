//! One run under supervision: what it has recorded so far, and the ways to add to it.

use crate::terms::{PolicyError, Terms, packs_to_json, waivers_to_json};
use evidence::{Declaration, DerivedFrom, Digest, EvidenceError, Json, Measurement, Predicate, Statement, Subject};
use jiff::Timestamp;
use ledger::{Entry, Ledger, LedgerError};
use policy::{Calendar, Decision, Effect, Facts, Stage, calendar, calendar_end, decide};
use std::collections::BTreeMap;

/// Tells the time; given by the program, so that tests can set it.
pub type Clock = fn() -> Timestamp;

/// A run: the entries of the log that share its id.
///
/// INVARIANT: everything in `entries` stands in the log, acknowledged.
#[derive(Debug)]
pub struct Run {
    ledger: Ledger,
    id: String,
    entries: Vec<Entry>,
    terms: Terms,
    policy: Digest,
    clock: Clock,
}

/// What one statement says, before it is signed.
#[derive(Debug)]
pub struct Record {
    pub predicate_type: Predicate,
    pub stage: &'static str,
    pub subjects: Vec<Subject>,
    pub measurements: Vec<Measurement>,
    pub declarations: Vec<Declaration>,
    pub derived_from: Vec<DerivedFrom>,
    /// Members beyond the common ones.
    pub members: Vec<(&'static str, Json)>,
}

impl Record {
    #[must_use]
    pub const fn new(predicate_type: Predicate, stage: &'static str) -> Self {
        Self {
            predicate_type,
            stage,
            subjects: Vec::new(),
            measurements: Vec::new(),
            declarations: Vec::new(),
            derived_from: Vec::new(),
            members: Vec::new(),
        }
    }
}

/// How a run was found when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing of it stands in the log.
    New,
    /// It was sealed, whatever its outcome.
    Sealed,
    /// It stopped by decision, recorded, and was sealed.
    Stopped,
    /// It broke off without a word.
    Broken,
}

/// The outcome of a decision at a gate, with what a person needs to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    pub effect: Effect,
    /// `rule: reason` of each rule that denies, sorted.
    pub denials: Vec<String>,
    pub decision: Json,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the record cannot be kept")]
    Ledger(#[from] LedgerError),
    #[error(
        "the clock says {now}, but the last entry of the log was recorded at {last}; set the clock, or wait until it has passed that time"
    )]
    ClockWentBack { now: Timestamp, last: Timestamp },
    #[error("entry {index} of the log cannot be used as evidence")]
    Evidence { index: u64, source: EvidenceError },
    #[error("entry {index} of the log holds a policy that cannot be used")]
    Policy { index: u64, source: PolicyError },
}

impl Run {
    /// Takes up the run `id` in an open log, or begins it.
    ///
    /// # Errors
    /// `ClockWentBack` before anything is written; those of the log.
    pub fn open(ledger: Ledger, id: String, terms: Terms, clock: Clock) -> Result<(Self, Found), RunError> {
        let last = ledger.entries().iter().filter_map(Entry::at).max();
        let now = clock();
        if let Some(last) = last.filter(|last| *last > now) {
            return Err(RunError::ClockWentBack { now, last });
        }
        let of_run = |entry: &&Entry| text(&entry.statement, "runId") == Some(&id);
        let entries: Vec<Entry> = ledger.entries().iter().filter(of_run).cloned().collect();
        let found = found(&entries);
        let mut run = Self { ledger, id, entries, terms, policy: Digest::of(b""), clock };
        run.policy = run.ensure_policy()?;
        Ok((run, found))
    }

    /// Records packs and waivers unless the last policy statement of the run already holds just these.
    fn ensure_policy(&mut self) -> Result<Digest, RunError> {
        let [waivers, approvers] = waivers_to_json(&self.terms);
        let members = [("packs", Some(packs_to_json(&self.terms.packs, &self.terms.rules))), waivers, approvers];
        let is_same =
            |entry: &&Entry| members.iter().all(|(name, value)| entry.statement.predicate.get(name) == value.as_ref());
        if let Some(entry) = self.last(Predicate::Policy).filter(is_same) {
            return Ok(entry.envelope);
        }
        let mut record = Record::new(Predicate::Policy, "policy");
        record.subjects =
            self.terms.rules.packs.iter().map(|(pack, _)| Subject::new(pack.name(), pack.digest())).collect();
        let waivers = self.terms.waivers.iter();
        record.subjects.extend(waivers.map(|file| Subject::new(file.path.as_str(), Digest::of(file.text.as_bytes()))));
        record.members.extend(members.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Ok(self.record(record)?.envelope)
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The entries of this run, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The last entry of that kind.
    #[must_use]
    pub fn last(&self, predicate: Predicate) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.statement.predicate_type == predicate)
    }

    /// The entry of a finished step, known by kind and by one member's value.
    #[must_use]
    pub fn done(&self, predicate: Predicate, member: &str, value: &str) -> Option<&Entry> {
        let is_it = |entry: &&Entry| {
            entry.statement.predicate_type == predicate && text(&entry.statement, member) == Some(value)
        };
        self.entries.iter().rev().find(is_it)
    }

    /// Signs and appends; returns when it is durable.
    ///
    /// # Errors
    /// Those of the log; nothing is half-written then.
    pub fn record(&mut self, record: Record) -> Result<Entry, RunError> {
        let list = |items: Vec<Json>| (!items.is_empty()).then_some(Json::List(items));
        let mut members = BTreeMap::from([
            ("runId".to_owned(), Json::from(self.id.as_str())),
            ("stage".to_owned(), record.stage.into()),
            ("at".to_owned(), self.now().into()),
        ]);
        let common = [
            ("measurements", list(record.measurements.iter().map(Measurement::to_json).collect())),
            ("declarations", list(record.declarations.iter().map(Declaration::to_json).collect())),
            ("derivedFrom", list(record.derived_from.iter().map(DerivedFrom::to_json).collect())),
        ];
        members.extend(common.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        members.extend(record.members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let statement = Statement {
            subjects: record.subjects,
            predicate_type: record.predicate_type,
            predicate: Json::Map(members),
        };
        let entry = self.ledger.append(&statement)?;
        self.entries.push(entry.clone());
        Ok(entry)
    }

    /// Decides at a stage, or over all rules, on what the run has recorded up to that stage, and records the decision.
    ///
    /// A decision that stands already, on the same evidence under the same terms, is not written again. One after which
    /// nothing further is done holds the calendar as well.
    ///
    /// # Errors
    /// Those of the log, and evidence that does not read.
    pub fn decide(&mut self, stage: Stage) -> Result<Gate, RunError> {
        let evidence: Vec<Entry> = self.entries.iter().filter(|entry| is_before(entry, stage)).cloned().collect();
        let (facts, sources) = facts_of(&evidence)?;
        let asked = (stage != Stage::Release).then_some(stage);
        let decision = decide(&self.terms.rules, asked, &self.terms.system, &facts, self.terms.as_of);
        let Terms { rules, system, as_of, .. } = &self.terms;
        let is_last = stage == Stage::Release || decision.effect == Effect::Deny;
        let calendar = is_last.then(|| calendar(rules, system, &facts, *as_of, calendar_end(*as_of)));
        let gate = Gate {
            effect: decision.effect,
            denials: decision.denials().map(|v| format!("{}: {}", v.rule(), v.finding.reason)).collect(),
            decision: decision_members(&decision, calendar.as_ref(), self.policy, &sources, system),
        };
        if self.done(Predicate::Decision, "stage", stage.name()).is_some_and(|entry| says(entry, &gate.decision)) {
            return Ok(gate);
        }
        let mut record = Record::new(Predicate::Decision, stage.name());
        record.subjects = self.decided_about();
        let members = gate.decision.members().into_iter().flatten();
        let known = |name: &str| DECISION_MEMBERS.into_iter().find(|member| *member == name);
        record.members = members.filter_map(|(name, value)| Some((known(name)?, value.clone()))).collect();
        self.record(record)?;
        Ok(gate)
    }

    /// The artefacts recorded last: of the newest entry that has subjects and is not itself a decision.
    fn decided_about(&self) -> Vec<Subject> {
        let is_about = |entry: &&Entry| {
            let kind = entry.statement.predicate_type;
            !matches!(kind, Predicate::Decision | Predicate::Policy | Predicate::Declarations | Predicate::Seal)
                && !entry.statement.subjects.is_empty()
        };
        self.entries.iter().rev().find(is_about).map(|entry| entry.statement.subjects.clone()).unwrap_or_default()
    }
}

/// What a decision statement holds beyond the common members.
const DECISION_MEMBERS: [&str; 10] =
    ["as_of", "packs", "effect", "verdicts", "idleWaivers", "counts", "calendar", "policy", "evidence", "system"];

/// The members by which a decision can be taken again, and those that it says.
pub(crate) fn decision_members(
    decision: &Decision<'_>,
    calendar: Option<&Calendar>,
    policy: Digest,
    sources: &[Digest],
    system: &policy::System,
) -> Json {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for verdict in &decision.verdicts {
        *counts.entry(verdict.name()).or_default() += 1;
    }
    let mut members = decision.to_json().members().cloned().unwrap_or_default();
    members.remove("stage");
    members.insert("counts".into(), Json::Map(counts.into_iter().map(|(name, n)| (name, n.into())).collect()));
    members.extend(calendar.map(|calendar| ("calendar".to_owned(), calendar.to_json())));
    members.insert("policy".into(), policy.into());
    members.insert("evidence".into(), Json::list(sources.iter().copied()));
    members.insert("system".into(), system.to_json());
    Json::Map(members)
}

/// Whether a decision entry says exactly these members. Compared as signed: decimals are text there.
pub(crate) fn says(entry: &Entry, decision: &Json) -> bool {
    let members = decision.members().into_iter().flatten();
    members.into_iter().all(|(name, value)| {
        entry.statement.predicate.get(name).is_some_and(|held| held.canonical() == value.canonical())
    })
}

/// The facts that entries hold, and the envelopes they come from, in the order of the log.
///
/// Of several declarations statements only the last counts: it replaces the others.
///
/// # Errors
/// `RunError::Evidence` naming the entry.
pub fn facts_of(entries: &[Entry]) -> Result<(Facts, Vec<Digest>), RunError> {
    let is_declarations = |entry: &&Entry| entry.statement.predicate_type == Predicate::Declarations;
    let valid_declarations = entries.iter().rev().find(is_declarations).map(|entry| entry.index);
    let (mut facts, mut sources) = (Facts::new(), Vec::new());
    for entry in entries {
        if is_declarations(&entry) && Some(entry.index) != valid_declarations {
            continue;
        }
        let wrong = |source| RunError::Evidence { index: entry.index, source };
        let member = |name: &str| entry.statement.predicate.get(name).map_or(&[][..], Json::items);
        for measurement in member("measurements") {
            facts.measure(&Measurement::from_json(measurement).map_err(wrong)?, entry.envelope);
        }
        for declaration in member("declarations") {
            facts.declare(&Declaration::from_json(declaration).map_err(wrong)?, entry.envelope);
        }
        if !member("measurements").is_empty() || !member("declarations").is_empty() {
            sources.push(entry.envelope);
        }
    }
    Ok((facts, sources))
}

/// The stages in the order in which a run does them.
const IN_ORDER: [Stage; 6] = [Stage::Data, Stage::Plan, Stage::Train, Stage::Evaluate, Stage::Compress, Stage::Release];

/// Whether an entry was recorded at or before a stage, so that a run taken up again decides a gate on what it decided it on.
fn is_before(entry: &Entry, stage: Stage) -> bool {
    let place = |stage: Stage| IN_ORDER.iter().position(|other| *other == stage);
    let of = text(&entry.statement, "stage").and_then(Stage::from_name);
    of.is_none_or(|of| place(of) <= place(stage))
}

fn found(entries: &[Entry]) -> Found {
    let Some(last) = entries.last() else { return Found::New };
    if last.statement.predicate_type != Predicate::Seal {
        return Found::Broken;
    }
    let is_work = |entry: &&Entry| {
        !matches!(
            entry.statement.predicate_type,
            Predicate::Seal | Predicate::Decision | Predicate::Policy | Predicate::Declarations
        )
    };
    let work = entries.iter().rev().find(is_work).map(|entry| entry.statement.predicate_type);
    if work == Some(Predicate::Stop) { Found::Stopped } else { Found::Sealed }
}

pub(crate) fn text<'a>(statement: &'a Statement, member: &str) -> Option<&'a str> {
    statement.predicate.get(member).and_then(Json::as_text)
}
