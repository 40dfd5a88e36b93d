//! Splits and folds by document, and the leak between two sides, looked for apart from how they were made.

use crate::{
    Corpus,
    audit::{Whole, measurement},
    permutation::permutation,
};
use evidence::{Digest, EvidenceError, Measurement, Subject};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Two disjoint sets of documents that cover the corpus, as ascending indices into `Corpus::documents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    pub train: Vec<usize>,
    pub held_out: Vec<usize>,
}

/// Parts the documents into train and held-out.
///
/// `share`: documents to hold out, a fraction in (0, 1). Equal documents are one group and stay together. The distinct
/// documents, ordered by digest, are permuted by seed and held out in that order until round(share × documents), and at
/// least one, are; the last group may take the count beyond that, and one group always stays in train. The result
/// depends on the documents' texts, `share` and `seed` alone: neither on the order of files nor on their names.
///
/// # Errors
/// `Share` outside (0, 1); `TooFew` when there are not two distinct documents.
pub fn split(corpus: &Corpus, share: f64, seed: u64) -> Result<Split, SplitError> {
    if !(share > 0.0 && share < 1.0) {
        return Err(SplitError::Share(share));
    }
    let everything: Vec<usize> = (0..corpus.documents.len()).collect();
    let mut groups = permuted_groups(corpus, &everything, "split", seed);
    if groups.len() < 2 {
        return Err(SplitError::TooFew { distinct: groups.len() });
    }
    let wanted = ((corpus.documents.len() as f64 * share).round() as usize).max(1);
    let kept_in_train = groups.pop().unwrap_or_default();
    let (mut train, mut held_out) = (kept_in_train, Vec::new());
    for group in groups {
        let side = if held_out.len() < wanted { &mut held_out } else { &mut train };
        side.extend(group);
    }
    train.sort_unstable();
    held_out.sort_unstable();
    Ok(Split { train, held_out })
}

/// Parts the documents as [`split`] does, within each stratum apart, so that each gives its share to both sides.
///
/// `strata`: of each document, which it belongs to. Equal documents stay together, where the first of them stands. A stratum of fewer than
/// two distinct documents stays in train.
///
/// # Errors
/// `Share` outside (0, 1); `TooFew` when no stratum has two distinct documents.
pub fn split_by(corpus: &Corpus, strata: &[usize], share: f64, seed: u64) -> Result<Split, SplitError> {
    if !(share > 0.0 && share < 1.0) {
        return Err(SplitError::Share(share));
    }
    let everything: Vec<usize> = (0..corpus.documents.len()).collect();
    let mut by_stratum: BTreeMap<usize, Vec<Vec<usize>>> = BTreeMap::new();
    for group in permuted_groups(corpus, &everything, "split", seed) {
        by_stratum.entry(strata[group[0]]).or_default().push(group);
    }
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    for mut groups in by_stratum.into_values() {
        let n: usize = groups.iter().map(Vec::len).sum();
        let wanted = ((n as f64 * share).round() as usize).max(1);
        train.extend(groups.pop().unwrap_or_default());
        let before = held_out.len();
        for group in groups {
            let side = if held_out.len() - before < wanted { &mut held_out } else { &mut train };
            side.extend(group);
        }
    }
    if held_out.is_empty() {
        return Err(SplitError::TooFew { distinct: 1 });
    }
    train.sort_unstable();
    held_out.sort_unstable();
    Ok(Split { train, held_out })
}

/// Deals `documents` (indices into `Corpus::documents`) into `k` disjoint, covering folds, each ascending.
///
/// Equal documents are one group and stay together. The groups, permuted as in [`split`] but independently of it, go one
/// by one to the fold with the fewest documents, the first of equals; without duplicates fold sizes differ by at most one.
///
/// # Errors
/// `Folds` unless 2 ≤ `k` ≤ distinct documents.
pub fn folds(corpus: &Corpus, documents: &[usize], k: usize, seed: u64) -> Result<Vec<Vec<usize>>, SplitError> {
    let groups = permuted_groups(corpus, documents, "folds", seed);
    if k < 2 || k > groups.len() {
        return Err(SplitError::Folds { k, distinct: groups.len() });
    }
    let mut folds = vec![Vec::new(); k];
    for group in groups {
        if let Some(lightest) = folds.iter_mut().min_by_key(|fold| fold.len()) {
            lightest.extend(group);
        }
    }
    folds.iter_mut().for_each(|fold: &mut Vec<usize>| fold.sort_unstable());
    Ok(folds)
}

/// The documents in groups of equals, ordered by digest, then permuted by seed.
fn permuted_groups(corpus: &Corpus, documents: &[usize], purpose: &str, seed: u64) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
    for &index in documents {
        groups.entry(corpus.documents[index].digest).or_default().push(index);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    permutation(groups.len(), purpose, seed).into_iter().map(|place| std::mem::take(&mut groups[place])).collect()
}

/// Held-out documents that also stand in train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// Leaked documents among `n`.
    pub k: u64,
    /// Held-out documents.
    pub n: u64,
    /// Their ids.
    pub documents: Vec<String>,
}

/// Looks for held-out documents in train by hashing every text again, whatever made the split.
#[must_use]
pub fn leak(corpus: &Corpus, split: &Split) -> Leak {
    let digest = |index: usize| Digest::of(corpus.documents[index].text.as_bytes());
    let train: BTreeSet<Digest> = split.train.iter().map(|&index| digest(index)).collect();
    let leaked = split.held_out.iter().filter(|&&index| train.contains(&digest(index)));
    let documents: Vec<String> = leaked.map(|&index| corpus.documents[index].id.clone()).collect();
    Leak { k: documents.len() as u64, n: split.held_out.len() as u64, documents }
}

impl Leak {
    /// `data.held_out_leak`; `subject` is the corpus.
    ///
    /// # Errors
    /// `UnknownMetric` if the catalogue lacks it.
    pub fn measurement(
        &self,
        subject: &Subject,
        instrument: &str,
        at: Timestamp,
    ) -> Result<Measurement, EvidenceError> {
        let (whole, inputs) = (Whole::Share { k: self.k, n: self.n }, vec![subject.digest]);
        let method = "SHA-256 of each document's text on both sides of the split, computed anew";
        measurement("data.held_out_leak", whole, method, subject, inputs, instrument, at)
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SplitError {
    #[error("expected a share of held-out documents above 0 and below 1, found {0}; correct `held_out`")]
    Share(f64),
    #[error(
        "expected at least 2 distinct documents to split, found {distinct}; add documents or split files by section"
    )]
    TooFew { distinct: usize },
    #[error("expected between 2 folds and as many as distinct documents, {distinct}, found {k}; correct `folds`")]
    Folds { k: usize, distinct: usize },
}
