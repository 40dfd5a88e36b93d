//! The end of a run: what the record itself is, the documents, and the manifest.

use super::{Session, figures, train};
use evidence::{Decimal, Digest, Interval, Json, Measurement, Predicate, Round, Subject};
use ledger::{Entry, LOCK, durable};
use report::Record as Page;
use supervise::Record;

/// What of a dossier the seal does not list, each with the reason.
pub(crate) const UNCOVERED: [(&str, &str); 4] = [
    ("log/", "not in the seal, which is itself an entry; covered by the signature of log/checkpoint"),
    (
        "envelopes/",
        "not in the seal, which is itself one of them; each is named by its digest, which stands in the log",
    ),
    (LOCK, "empty; held while someone writes. Not covered by anything"),
    (
        ".work/",
        "snapshots and the budget journal of a run that stopped, so that it can go on. Not covered by anything; a stop names the digest of its snapshot",
    ),
];

/// Whether the last work that entries speak of is a stop.
pub(crate) fn is_stopped(entries: &[Entry]) -> bool {
    let is_work = |entry: &&Entry| {
        let kind = entry.statement.predicate_type;
        !matches!(kind, Predicate::Seal | Predicate::Decision | Predicate::Policy | Predicate::Declarations)
    };
    entries.iter().rev().find(is_work).is_some_and(|entry| entry.statement.predicate_type == Predicate::Stop)
}

/// Entries as the report takes them.
pub(crate) fn pages(entries: &[Entry]) -> Vec<Page> {
    let page =
        |entry: &Entry| Page { index: entry.index, envelope: entry.envelope, statement: entry.statement.clone() };
    entries.iter().map(page).collect()
}

/// The documents of a dossier, by file name.
pub(crate) fn documents(entries: &[Entry]) -> [(&'static str, String); 3] {
    let pages = pages(entries);
    [
        ("evidence.json", report::evidence_json(&pages)),
        ("decisions.json", report::decisions_json(&pages)),
        ("index.html", report::index_html(&pages)),
    ]
}

impl Session<'_> {
    /// Measures the record itself: entries and gaps. Once a run.
    pub(crate) fn count_record(&mut self) -> anyhow::Result<()> {
        let is_crash = |entry: &&Entry| {
            let predicate = &entry.statement.predicate;
            entry.statement.predicate_type == Predicate::Resume
                && (predicate.get("reason").and_then(Json::as_text) == Some("after-crash")
                    || predicate.get("crashed").is_some())
        };
        let gaps = self.run.entries().iter().filter(is_crash).count();
        let held = self.run.done(Predicate::Evaluation, "suite", "record");
        let held_gaps = held.and_then(|entry| entry.statement.predicate.get("gaps")?.as_int());
        if held_gaps == Some(gaps as i64) {
            return Ok(());
        }
        let entries = self.run.ledger().entries().len();
        let subject = Subject::new("log", self.run.ledger().root());
        let count = |n: usize| Decimal::from_u128(n as u128, Round::Nearest);
        let mut record = Record::new(Predicate::Evaluation, "release");
        record.measurements = vec![
            figures::measure("record.entries", &subject, count(entries), "size of the checkpoint before this entry")?,
            figures::measure(
                "record.gaps",
                &subject,
                count(gaps),
                "resumptions after a crash, counted over the run's entries",
            )?,
            self.scopes(&subject)?,
        ];
        record.subjects = vec![subject];
        record.members = vec![("suite", "record".into()), ("gaps", gaps.into())];
        self.record(record)?;
        Ok(())
    }

    /// How many of the run's compute figures say what they count towards.
    fn scopes(&self, subject: &Subject) -> anyhow::Result<Measurement> {
        let is_compute = |measurement: &Json| {
            measurement
                .get("metric")
                .and_then(Json::as_text)
                .is_some_and(|id| ["train.compute", "kfold.compute", "evaluate.compute"].contains(&id))
        };
        let figures_of = |entry: &Entry| {
            entry
                .statement
                .predicate
                .get("measurements")
                .map_or(&[][..], Json::items)
                .iter()
                .filter(|m| is_compute(m))
                .count()
        };
        let (mut k, mut n) = (0, 0);
        for entry in self.run.entries() {
            n += figures_of(entry) as u64;
            k += if entry.statement.predicate.get("scope").is_some() { figures_of(entry) as u64 } else { 0 };
        }
        let share = Decimal::from_f64(k as f64 / n.max(1) as f64, 9, Round::Nearest)?;
        let exact = Interval { lower: share, upper: share, level: None, method: "exact-count".to_owned() };
        let counted = figures::measure(
            "compute.scope_tagged",
            subject,
            share,
            "compute figures of the run with a scope, counted",
        )?;
        Ok(Measurement { k: Some(k), n: Some(n), interval: Some(exact), ..counted })
    }

    /// Writes documents and manifest, and seals them. A run whose last entry is a seal over what lies there is left alone.
    pub(crate) fn seal(&mut self) -> anyhow::Result<()> {
        if !is_stopped(self.run.entries()) {
            train::clear(&self.work());
        }
        let left_out = UNCOVERED.map(|(path, _)| path);
        let is_sealed = |entry: &Entry| {
            let files = entry.statement.predicate.get("files").map_or(&[][..], Json::items);
            let sealed: Option<Vec<_>> = files.iter().map(ledger::Sealed::from_json).collect();
            entry.statement.predicate_type == Predicate::Seal
                && sealed.is_some_and(|sealed| {
                    ledger::differences(&self.out, &sealed, &left_out).is_ok_and(|found| found.is_empty())
                })
        };
        if self.run.entries().last().is_some_and(is_sealed) {
            return Ok(());
        }
        self.manifest_of_weights()?;
        for (name, text) in documents(self.run.ledger().entries()) {
            durable::write_atomic(&self.out.join(name), text.as_bytes())?;
        }
        let files = ledger::manifest(&self.out, &left_out)?;
        let mut record = Record::new(Predicate::Seal, "seal");
        let json = Json::List(files.iter().map(ledger::Sealed::to_json).collect());
        record.subjects = vec![Subject::new("dossier", Digest::of(json.canonical().as_bytes()))];
        record.members = vec![("files", json)];
        self.record(record)?;
        Ok(())
    }

    /// `weights/manifest.json`: what lies among the weights, by digest.
    fn manifest_of_weights(&self) -> anyhow::Result<()> {
        let folder = self.out.join("weights");
        if !folder.is_dir() {
            return Ok(());
        }
        let files = ledger::manifest(&folder, &["manifest.json"])?;
        let json = Json::map([("files", Some(Json::List(files.iter().map(ledger::Sealed::to_json).collect())))]);
        Ok(durable::write_atomic(&folder.join("manifest.json"), json.document().as_bytes())?)
    }
}
