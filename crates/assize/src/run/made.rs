//! Data that models made: what sampling it took, as far as records beside it or the case say.

use crate::{compress_verb::lineage, verify};
use anyhow::Context as _;
use dataset::Corpus;
use evidence::{Decimal, Digest, Json, Predicate};
use std::{collections::BTreeSet, fs::File, path::Path};
use supervise::case::{Case, DataSource, Generated};

/// One source with texts of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) name: String,
    /// Of the file, or of the source's files by path and digest.
    pub(crate) digest: Digest,
    /// The signed statement of how it was made, and what that took, to the FLOP.
    pub(crate) record: Option<(Digest, Decimal)>,
    /// As a person estimates it.
    stated: Option<Decimal>,
    /// Anyone can get the texts: what they took is not counted.
    is_public: bool,
    energy: Option<Decimal>,
}

/// What counts of the compute of generation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counted {
    /// By records.
    pub(crate) exact: u128,
    /// By the word of the case: estimates.
    pub(crate) stated: Vec<u128>,
}

/// Every source of the case with texts that are known to be made by a model. A dossier beside one is checked before it is believed.
///
/// # Errors
/// A dossier that does not verify.
pub(crate) fn of(case: &Case, corpus: &Corpus) -> anyhow::Result<Vec<Made>> {
    let mut found = Vec::new();
    for (set, source) in case.data.iter().enumerate() {
        let of_source: BTreeSet<usize> = corpus
            .documents
            .iter()
            .filter(|document| corpus.is_synthetic(document) && corpus.files[document.file].set == set)
            .map(|document| document.file)
            .collect();
        if !of_source.is_empty() {
            found.push(one(source, &case.folder.join(&source.path), corpus, &of_source)?);
        }
    }
    Ok(found)
}

fn one(source: &DataSource, path: &Path, corpus: &Corpus, files: &BTreeSet<usize>) -> anyhow::Result<Made> {
    let rows = files.iter().map(|file| {
        let file = &corpus.files[*file];
        Json::map([("path", Some(file.path.as_str().into())), ("digest", Some(file.digest.into()))])
    });
    let digest = match path.is_file() {
        true => File::open(path).and_then(Digest::of_reader).with_context(|| path.display().to_string())?,
        false => Digest::of(Json::List(rows.collect()).canonical().as_bytes()),
    };
    let (stated, is_public) = match &source.generated {
        Some(Generated::By { compute_flop, is_public, .. }) => (*compute_flop, *is_public),
        _ => (None, false),
    };
    let (record, energy) =
        recorded(path, digest)?.map_or((None, None), |(record, flop, energy)| (Some((record, flop)), energy));
    Ok(Made { name: source.name.clone(), digest, record, stated, is_public, energy })
}

/// The generation that made this very file, where the dossier it lies in says so: statement, FLOP, energy.
fn recorded(path: &Path, digest: Digest) -> anyhow::Result<Option<(Digest, Decimal, Option<Decimal>)>> {
    let Some(dossier) = lineage::dossier_of(path) else { return Ok(None) };
    let entries = verify::entries(&dossier)?;
    let makes = |entry: &&ledger::Entry| {
        entry.statement.predicate_type == Predicate::Generation
            && entry.statement.subjects.iter().any(|subject| subject.digest == digest)
    };
    let Some(entry) = entries.iter().rev().find(makes) else { return Ok(None) };
    let predicate = &entry.statement.predicate;
    let mut measured = predicate.get("measurements").map_or(&[][..], Json::items).iter();
    let is_compute = |item: &&Json| item.get("metric").and_then(Json::as_text) == Some("generate.compute");
    // Rounded outward only beyond 15 digits: the upper end is never too little.
    let upper = |item: &Json| item.get("upper").or_else(|| item.get("value"))?.as_decimal();
    let Some(flop) = measured.find(is_compute).and_then(upper) else { return Ok(None) };
    Ok(Some((entry.envelope, flop, predicate.get("energyKwh").and_then(Json::as_decimal))))
}

/// What counts towards the compute of a model that is trained on these; nothing when what one of them took is not known. Texts of
/// one generation count once, however often they are named, and those that were thrown away count as well.
///
/// SPEC: Commission Guidelines C(2025) 5045, Annex A.1: synthetic data generation counts unless the data is publicly accessible.
pub(crate) fn counted(made: &[Made]) -> Option<Counted> {
    let (mut counted, mut seen) = (Counted::default(), BTreeSet::new());
    for one in made.iter().filter(|one| !one.is_public) {
        match (&one.record, one.stated) {
            (Some((record, flop)), _) => {
                if seen.insert(*record) {
                    counted.exact = counted.exact.saturating_add(flop.to_u128()?);
                }
            }
            (None, Some(stated)) => counted.stated.push(stated.to_u128()?),
            (None, None) => return None,
        }
    }
    Some(counted)
}

/// For the record, and for whoever derives a model from the one trained here.
pub(crate) fn to_json(made: &[Made]) -> Json {
    let row = |one: &Made| {
        Json::map([
            ("name", Some(one.name.as_str().into())),
            ("digest", Some(one.digest.into())),
            ("record", one.record.map(|(record, _)| record.into())),
            ("computeFlop", one.record.map(|(_, flop)| flop).or(one.stated).map(Json::from)),
            ("energyKwh", one.energy.map(Json::from)),
            ("public", Some(one.is_public.into())),
        ])
    };
    Json::List(made.iter().map(row).collect())
}
