//! What is in a corpus.

use crate::Corpus;
use evidence::{Decimal, Digest, EvidenceError, Interval, Measurement, Provenance, Round, Subject, metric};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What the audit may say. Counts are of the whole corpus: nothing is sampled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    pub n_files: u64,
    pub n_documents: u64,
    /// Stored bytes of the files.
    pub bytes: u64,
    /// Unicode scalar values in the documents.
    pub characters: u64,
    /// Documents that equal an earlier one byte for byte, in order of the later one.
    pub exact_duplicates: Vec<Duplicate>,
    /// Paths of files without a declared licence; white space declares nothing.
    pub without_licence: Vec<String>,
    /// Paths of files without a declared source.
    pub without_source: Vec<String>,
    /// Entries of the folders that were not taken.
    pub passed_over: Vec<String>,
    /// Paths of files whose byte-order mark was left out.
    pub byte_order_marks: Vec<String>,
    corpus: Digest,
}

/// Two equal documents, by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The first of all equals.
    pub original: String,
    pub copy: String,
}

/// Counts the corpus.
///
/// Deterministic; the first of equal documents, in the corpus's order, is the original.
#[must_use]
pub fn audit(corpus: &Corpus) -> Findings {
    let is_blank = |text: &Option<String>| text.as_ref().is_none_or(|text| text.trim().is_empty());
    let paths = |wanted: &dyn Fn(&crate::File) -> bool| -> Vec<String> {
        corpus.files.iter().filter(|file| wanted(file)).map(|file| file.path.clone()).collect()
    };
    Findings {
        n_files: corpus.files.len() as u64,
        n_documents: corpus.documents.len() as u64,
        bytes: corpus.bytes(),
        characters: corpus.documents.iter().map(|document| document.text.chars().count() as u64).sum(),
        exact_duplicates: exact_duplicates(corpus),
        without_licence: paths(&|file| is_blank(&file.licence)),
        without_source: paths(&|file| is_blank(&file.source)),
        passed_over: corpus.passed_over.clone(),
        byte_order_marks: paths(&|file| file.byte_order_mark),
        corpus: corpus.digest(),
    }
}

fn exact_duplicates(corpus: &Corpus) -> Vec<Duplicate> {
    let mut first: BTreeMap<Digest, &str> = BTreeMap::new();
    let mut duplicates = Vec::new();
    for document in &corpus.documents {
        match first.get(&document.digest) {
            Some(original) => {
                duplicates.push(Duplicate { original: (*original).to_owned(), copy: document.id.clone() });
            }
            None => {
                first.insert(document.digest, &document.id);
            }
        }
    }
    duplicates
}

impl Findings {
    /// The findings as evidence: `data.bytes`, `data.documents`, `data.exact_duplicates`, `data.licence_declared`,
    /// `data.source_declared`. `subject` is the corpus; `instrument` names program and version.
    ///
    /// # Errors
    /// `UnknownMetric` if the catalogue lacks one of them.
    pub fn measurements(
        &self,
        subject: &Subject,
        instrument: &str,
        at: Timestamp,
    ) -> Result<Vec<Measurement>, EvidenceError> {
        let with = |without: &[String]| self.n_files - without.len() as u64;
        let n_copies = self.exact_duplicates.len() as u64;
        let rows = [
            ("data.bytes", Whole::Count(self.bytes), "sum of file sizes"),
            ("data.documents", Whole::Count(self.n_documents), "documents counted"),
            (
                "data.exact_duplicates",
                Whole::Share { k: n_copies, n: self.n_documents },
                "SHA-256 of each document; the first of equals is the original",
            ),
            (
                "data.licence_declared",
                Whole::Share { k: with(&self.without_licence), n: self.n_files },
                "files with a declared licence, counted",
            ),
            (
                "data.source_declared",
                Whole::Share { k: with(&self.without_source), n: self.n_files },
                "files with a declared source, counted",
            ),
        ];
        let measure = |(id, whole, method)| measurement(id, whole, method, subject, vec![self.corpus], instrument, at);
        rows.into_iter().map(measure).collect()
    }
}

/// `data.tokens`: tokens of the corpus, counted by whoever holds the tokenizer with digest `tokenizer`.
///
/// # Errors
/// `UnknownMetric` if the catalogue lacks it.
pub fn tokens_measurement(
    n_tokens: u64,
    tokenizer: Digest,
    subject: &Subject,
    instrument: &str,
    at: Timestamp,
) -> Result<Measurement, EvidenceError> {
    let method = "tokens of each document encoded alone, summed";
    let inputs = vec![subject.digest, tokenizer];
    measurement("data.tokens", Whole::Count(n_tokens), method, subject, inputs, instrument, at)
}

/// A number taken of everything there is, so that nothing but rounding separates its bounds.
#[derive(Clone, Copy)]
pub(crate) enum Whole {
    Count(u64),
    /// INVARIANT: `k` ≤ `n`.
    Share {
        k: u64,
        n: u64,
    },
}

pub(crate) fn measurement(
    id: &'static str,
    whole: Whole,
    method: &str,
    subject: &Subject,
    inputs: Vec<Digest>,
    instrument: &str,
    at: Timestamp,
) -> Result<Measurement, EvidenceError> {
    let (value, interval, n, k) = match whole {
        Whole::Count(count) => (Decimal::from_u128(u128::from(count), Round::Nearest), None, None, None),
        Whole::Share { k, n } => {
            let [lower, value, upper] = [Round::Down, Round::Nearest, Round::Up].map(|round| share(k, n, round));
            (value, Some(Interval { lower, upper, level: None, method: "exact-count".into() }), Some(n), Some(k))
        }
    };
    Ok(Measurement {
        metric: metric::find(id).ok_or_else(|| EvidenceError::UnknownMetric(id.to_owned()))?,
        subject: subject.clone(),
        value,
        interval,
        n,
        k,
        method: method.to_owned(),
        convention: None,
        inputs,
        instrument: instrument.to_owned(),
        provenance: Provenance::Measured,
        at,
    })
}

/// `k` ÷ `n` to nine decimal places, computed in integers; 0 of 0 is 0.
fn share(k: u64, n: u64, round: Round) -> Decimal {
    const PLACES: u32 = 9;
    let (n, scaled) = (u128::from(n.max(1)), u128::from(k) * 10_u128.pow(PLACES));
    let mantissa = match round {
        Round::Down => scaled / n,
        Round::Nearest => (2 * scaled + n) / (2 * n),
        Round::Up => scaled.div_ceil(n),
    };
    i64::try_from(mantissa).ok().and_then(|mantissa| Decimal::new(mantissa, -(PLACES as i32))).unwrap_or(Decimal::ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected numbers by hand.
    #[test]
    fn shares_are_rounded_outward_from_exact_integers() {
        let shown = |k, n| [Round::Down, Round::Nearest, Round::Up].map(|round| share(k, n, round).to_string());
        assert_eq!(shown(1, 3), ["0.333333333", "0.333333333", "0.333333334"]);
        assert_eq!(shown(2, 3), ["0.666666666", "0.666666667", "0.666666667"]);
        assert_eq!(shown(64, 64), ["1", "1", "1"]);
        assert_eq!(shown(0, 7), ["0", "0", "0"]);
        assert_eq!(shown(1, 10), ["0.1", "0.1", "0.1"]);
    }
}
