//! What a corpus holds that one may not want to train on: identifiers of persons, terms of ill repute, texts of tests.
//!
//! Of each finding the record has document, kind and place, never the text that was found.

use crate::{
    Corpus,
    audit::{Whole, measurement},
    overlap::{Index, Item, Tests},
    personal::{Found, Identifier, identifiers},
    terms::{Terms, language},
};
use evidence::{Digest, EvidenceError, Json, Measurement, Subject};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Findings of one kind that a record lists; all are counted.
const LISTED_MAX: usize = 100;
/// Under which texts are counted whose language cannot be told.
const UNTOLD: &str = "und";

/// What was found, over every document of the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screened {
    pub n_documents: u64,
    /// Documents with identifiers of persons, in the order of the corpus.
    pub personal: Vec<(String, Vec<Found>)>,
    /// Documents with listed terms: id and number of terms.
    pub listed: Vec<(String, u64)>,
    /// Documents that a list was held against.
    pub n_listable: u64,
    /// Documents by language, ISO 639-3, `und` where it cannot be told.
    pub languages: BTreeMap<&'static str, u64>,
    /// Where there are tests.
    pub overlap: Option<Overlap>,
    corpus: Digest,
}

/// Tests in the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// Documents with the items they share words with.
    pub documents: Vec<(String, BTreeSet<Item>)>,
    /// Of each set of tests.
    pub tests: Vec<Touched>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    pub name: String,
    pub digest: Digest,
    pub n_items: u64,
    /// Long enough to be looked for.
    pub n_covered: u64,
    pub n_touched: u64,
}

/// Looks through a corpus. `tests` is what the model will be tested on; without any, nothing is said of them.
///
/// Deterministic; every document is read whole.
#[must_use]
pub fn screen(corpus: &Corpus, tests: &[Tests]) -> Screened {
    let terms = Terms::shipped();
    let mut found = Screened {
        n_documents: corpus.documents.len() as u64,
        personal: Vec::new(),
        listed: Vec::new(),
        n_listable: 0,
        languages: BTreeMap::new(),
        overlap: None,
        corpus: corpus.digest(),
    };
    for document in &corpus.documents {
        let of_persons = identifiers(&document.text);
        if !of_persons.is_empty() {
            found.personal.push((document.id.clone(), of_persons));
        }
        let language = language(&document.text);
        *found.languages.entry(language.unwrap_or(UNTOLD)).or_default() += 1;
        let Some(n) = terms.count(&document.text, language) else { continue };
        found.n_listable += 1;
        if n > 0 {
            found.listed.push((document.id.clone(), n));
        }
    }
    found.overlap = (!tests.is_empty()).then(|| overlap(corpus, tests));
    found
}

fn overlap(corpus: &Corpus, tests: &[Tests]) -> Overlap {
    let index = Index::new(tests);
    let touched = corpus.documents.iter().map(|document| (document.id.clone(), index.touched(&document.text)));
    let documents: Vec<(String, BTreeSet<Item>)> = touched.filter(|(_, items)| !items.is_empty()).collect();
    let all: BTreeSet<Item> = documents.iter().flat_map(|(_, items)| items).copied().collect();
    let of_set = |(place, set): (usize, &Tests)| Touched {
        name: set.name.clone(),
        digest: set.digest,
        n_items: set.items.len() as u64,
        n_covered: index.covered[place].iter().filter(|is_covered| **is_covered).count() as u64,
        n_touched: all.iter().filter(|(of, _)| *of == place).count() as u64,
    };
    Overlap { documents, tests: tests.iter().enumerate().map(of_set).collect() }
}

impl Screened {
    /// `data.personal_identifiers`, `data.listed_terms`, and where there were tests `data.contaminated` and `data.tests_touched`. What was
    /// looked for in no document or item is not measured.
    ///
    /// # Errors
    /// `UnknownMetric` if the catalogue lacks one of them.
    pub fn measurements(
        &self,
        subject: &Subject,
        instrument: &str,
        at: Timestamp,
    ) -> Result<Vec<Measurement>, EvidenceError> {
        let n = self.n_documents;
        let share = |found: usize, n: u64| Whole::Share { k: found as u64, n };
        let mut rows = vec![
            (
                "data.personal_identifiers",
                share(self.personal.len(), n),
                "seven kinds of identifiers by form, check and context; documents with at least one, counted",
                vec![self.corpus],
            ),
            (
                "data.listed_terms",
                share(self.listed.len(), self.n_listable),
                "whole words of the shipped lists, English and the document's language; documents with at least one, counted",
                vec![self.corpus, Terms::digest()],
            ),
        ];
        if let Some(overlap) = &self.overlap {
            let sum = |of: fn(&Touched) -> u64| overlap.tests.iter().map(of).sum();
            let inputs: Vec<Digest> =
                [self.corpus].into_iter().chain(overlap.tests.iter().map(|set| set.digest)).collect();
            let method = "runs of 13 words, of texts of 8 to 12 words the whole";
            let touched = Whole::Share { k: sum(|set| set.n_touched), n: sum(|set| set.n_covered) };
            rows.push(("data.contaminated", share(overlap.documents.len(), n), method, inputs.clone()));
            rows.push(("data.tests_touched", touched, method, inputs));
        }
        let said = rows.into_iter().filter(|(_, whole, ..)| !matches!(whole, Whole::Share { n: 0, .. }));
        let row = |(id, whole, method, inputs)| measurement(id, whole, method, subject, inputs, instrument, at);
        said.map(row).collect()
    }

    /// For the record: counts, and of each kind the first hundred findings by document.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut kinds: BTreeMap<Identifier, u64> = BTreeMap::new();
        self.personal.iter().flat_map(|(_, found)| found).for_each(|one| *kinds.entry(one.kind).or_default() += 1);
        let identifier = |(id, found): &(String, Vec<Found>)| {
            let one = |one: &Found| {
                Json::map([("kind", Some(one.kind.name().into())), ("character", Some((one.character as u64).into()))])
            };
            let found = found.iter().take(LISTED_MAX).map(one).collect();
            Json::map([("document", Some(id.as_str().into())), ("identifiers", Some(Json::List(found)))])
        };
        let listed =
            |(id, n): &(String, u64)| Json::map([("document", Some(id.as_str().into())), ("terms", Some((*n).into()))]);
        let counts =
            |rows: Vec<(&str, u64)>| Json::Map(rows.into_iter().map(|(name, n)| (name.to_owned(), n.into())).collect());
        Json::map([
            ("identifiers", Some(counts(kinds.into_iter().map(|(kind, n)| (kind.name(), n)).collect()))),
            ("personal", Some(Json::List(self.personal.iter().take(LISTED_MAX).map(identifier).collect()))),
            ("listed", Some(Json::List(self.listed.iter().take(LISTED_MAX).map(listed).collect()))),
            ("lists", Some(Terms::digest().into())),
            ("languages", Some(counts(self.languages.iter().map(|(name, n)| (*name, *n)).collect()))),
            ("overlap", self.overlap.as_ref().map(Overlap::to_json)),
        ])
    }
}

impl Overlap {
    fn to_json(&self) -> Json {
        let set = |set: &Touched| {
            Json::map([
                ("name", Some(set.name.as_str().into())),
                ("digest", Some(set.digest.into())),
                ("items", Some(set.n_items.into())),
                ("covered", Some(set.n_covered.into())),
                ("touched", Some(set.n_touched.into())),
            ])
        };
        let item = |(set, place): &Item| {
            Json::map([("tests", Some(self.tests[*set].name.as_str().into())), ("item", Some((*place as u64).into()))])
        };
        let document = |(id, items): &(String, BTreeSet<Item>)| {
            let items = items.iter().take(LISTED_MAX).map(item).collect();
            Json::map([("document", Some(id.as_str().into())), ("items", Some(Json::List(items)))])
        };
        Json::map([
            ("tests", Some(Json::List(self.tests.iter().map(set).collect()))),
            ("documents", Some(Json::List(self.documents.iter().take(LISTED_MAX).map(document).collect()))),
        ])
    }
}
