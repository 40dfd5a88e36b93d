//! Where a model comes from, as far as records beside it say.

use crate::verify;
use evidence::{Decimal, Digest, Json, Predicate, Subject};
use ledger::Entry;
use std::path::{Path, PathBuf};

/// One model on the way to this one.
#[derive(Debug, Clone)]
pub(crate) struct Ancestor {
    pub(crate) digest: Digest,
    pub(crate) name: String,
    /// How it came to be of the one before it; `None` for the first.
    pub(crate) action: Option<String>,
    /// The entry that says so.
    pub(crate) record: Option<Digest>,
    /// What the step to it took.
    pub(crate) compute_flop: Option<Decimal>,
    pub(crate) energy_kwh: Option<Decimal>,
}

impl Ancestor {
    pub(crate) fn to_json(&self) -> Json {
        Json::map([
            ("digest", Some(self.digest.into())),
            ("name", Some(self.name.as_str().into())),
            ("action", self.action.as_deref().map(Json::from)),
            ("record", self.record.map(Json::from)),
            ("computeFlop", self.compute_flop.map(Json::from)),
            ("energyKwh", self.energy_kwh.map(Json::from)),
        ])
    }

    fn from_json(json: &Json) -> Option<Self> {
        let text = |key: &str| json.get(key).and_then(Json::as_text);
        let digest = |key: &str| json.get(key)?.get("sha256")?.as_text()?.parse().ok();
        Some(Self {
            digest: digest("digest")?,
            name: text("name")?.to_owned(),
            action: text("action").map(str::to_owned),
            record: digest("record"),
            compute_flop: json.get("computeFlop").and_then(Json::as_decimal),
            energy_kwh: json.get("energyKwh").and_then(Json::as_decimal),
        })
    }
}

/// The dossier in which a model lies: the folder itself or one of the two above it.
pub(crate) fn dossier_of(path: &Path) -> Option<PathBuf> {
    let whole = path.canonicalize().ok()?;
    whole.ancestors().take(3).find(|folder| folder.join("log/checkpoint").is_file()).map(Path::to_path_buf)
}

/// Everything that `subject` descends from, and itself last. A dossier beside it is checked before it is believed.
///
/// # Errors
/// A dossier that does not verify.
pub(crate) fn of(path: &Path, subject: &Subject) -> anyhow::Result<Vec<Ancestor>> {
    let unknown = Ancestor {
        digest: subject.digest,
        name: subject.name.clone(),
        action: None,
        record: None,
        compute_flop: None,
        energy_kwh: None,
    };
    let Some(dossier) = dossier_of(path) else { return Ok(vec![unknown]) };
    let entries = verify::entries(&dossier)?;
    let speaks = |entry: &&Entry| {
        let kind = entry.statement.predicate_type;
        matches!(kind, Predicate::Compression | Predicate::TrainingRun)
            && entry.statement.subjects.iter().any(|known| known.digest == subject.digest)
    };
    let Some(entry) = entries.iter().rev().find(speaks) else { return Ok(vec![unknown]) };
    let predicate = &entry.statement.predicate;
    let written = predicate.get("lineage").map_or(&[][..], Json::items);
    let mut lineage: Vec<Ancestor> = written.iter().filter_map(Ancestor::from_json).collect();
    if lineage.last().is_some_and(|last| last.digest == subject.digest) {
        if let Some(last) = lineage.last_mut() {
            last.record = Some(entry.envelope);
        }
        return Ok(lineage);
    }
    // A run of a case: what it was derived from by digest, and what it measured.
    lineage.extend(predicate.get("derivedFrom").map_or(&[][..], Json::items).iter().filter_map(|edge| {
        let digest = edge.get("digest")?.get("sha256")?.as_text()?.parse().ok()?;
        let action = edge.get("action").and_then(Json::as_text).unwrap_or_default();
        (!action.starts_with("trained-on") && !action.starts_with("tokenized")).then(|| Ancestor {
            digest,
            name: "weights".to_owned(),
            action: None,
            ..unknown.clone()
        })
    }));
    // Data that models made for it: what that took is part of what the model took.
    lineage.extend(predicate.get("generated").map_or(&[][..], Json::items).iter().filter_map(|row| {
        let digest = |key: &str| row.get(key)?.get("sha256")?.as_text()?.parse().ok();
        let is_public = row.get("public").and_then(Json::as_bool) == Some(true);
        (!is_public).then_some(Ancestor {
            digest: digest("digest")?,
            name: row.get("name")?.as_text()?.to_owned(),
            action: Some("generated".to_owned()),
            record: digest("record"),
            compute_flop: row.get("computeFlop").and_then(Json::as_decimal),
            energy_kwh: row.get("energyKwh").and_then(Json::as_decimal),
        })
    }));
    let measured = |ids: &[&str]| {
        let all = entries.iter().filter_map(|entry| entry.statement.predicate.get("measurements"));
        let mut all = all.flat_map(Json::items);
        let of = |item: &&Json| item.get("metric").and_then(Json::as_text).is_some_and(|id| ids.contains(&id));
        all.find(of).and_then(|item| item.get("value")?.as_decimal())
    };
    lineage.push(Ancestor {
        action: Some(
            if entry.statement.predicate_type == Predicate::TrainingRun { "trained" } else { "compressed" }.to_owned(),
        ),
        record: Some(entry.envelope),
        compute_flop: measured(&["train.compute"]),
        energy_kwh: measured(&["train.energy"]),
        ..unknown
    });
    Ok(lineage)
}

/// Compute in FLOP and energy in kWh of all, and how many say neither.
pub(crate) fn sums(lineage: &[Ancestor]) -> (f64, f64, u64) {
    let sum = |of: fn(&Ancestor) -> Option<Decimal>| lineage.iter().filter_map(of).map(Decimal::to_f64).sum::<f64>();
    let unrecorded = lineage.iter().filter(|one| one.compute_flop.is_none()).count() as u64;
    (sum(|one| one.compute_flop), sum(|one| one.energy_kwh), unrecorded)
}

/// The weights of a dossier, or the path itself.
pub(crate) fn model_in(path: &Path) -> PathBuf {
    if !path.join("log/checkpoint").is_file() {
        return path.to_path_buf();
    }
    let weights = path.join("weights");
    ["model.gguf", "model-q8_0.gguf"]
        .into_iter()
        .map(|name| weights.join(name))
        .find(|file| file.is_file() && !weights.join("config.json").is_file())
        .unwrap_or(weights)
}
