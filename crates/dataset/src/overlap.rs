//! Texts that a model will be tested on, found in what it is trained on.

use crate::words::{folded, run, words};
use evidence::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// Words of a run that two texts do not share by chance. Source: Brown et al. 2020 (GPT-3), appendix C.
pub(crate) const SHARED_WORDS: usize = 13;
/// A text of fewer words is not looked for; one of fewer than thirteen is looked for whole. The same source's least.
const SHARED_WORDS_MIN: usize = 8;

/// A set of test items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tests {
    pub name: String,
    /// Of the file or files.
    pub digest: Digest,
    /// Of each item its texts: question, choices, passage. One that is found touches the item.
    pub items: Vec<Vec<String>>,
}

impl Tests {
    /// The lines of a text that hold more than white space, an item each.
    #[must_use]
    pub fn of_lines(name: &str, text: &str) -> Self {
        let items = text.lines().filter(|line| !line.trim().is_empty()).map(|line| vec![line.to_owned()]).collect();
        Self { name: name.to_owned(), digest: Digest::of(text.as_bytes()), items }
    }
}

/// Runs of words of all items, by length.
#[derive(Debug)]
pub(crate) struct Index {
    /// Of each run, the items that have it.
    runs: BTreeMap<usize, BTreeMap<u64, Vec<Item>>>,
    /// Of each set, whether each item is long enough to be looked for.
    pub(crate) covered: Vec<Vec<bool>>,
}

/// Set and place in it.
pub(crate) type Item = (usize, usize);

impl Index {
    pub(crate) fn new(tests: &[Tests]) -> Self {
        let mut runs: BTreeMap<usize, BTreeMap<u64, Vec<Item>>> = BTreeMap::new();
        let mut covered = Vec::new();
        for (set, of_set) in tests.iter().enumerate() {
            let mut covers = vec![false; of_set.items.len()];
            for (place, item) in of_set.items.iter().enumerate() {
                for text in item {
                    let folded = folded(text);
                    let words = words(&folded);
                    let length = words.len().min(SHARED_WORDS);
                    if length < SHARED_WORDS_MIN {
                        continue;
                    }
                    covers[place] = true;
                    let of_length = runs.entry(length).or_default();
                    for run in words.windows(length).map(run) {
                        let items = of_length.entry(run).or_default();
                        if items.last() != Some(&(set, place)) {
                            items.push((set, place));
                        }
                    }
                }
            }
            covered.push(covers);
        }
        Self { runs, covered }
    }

    /// The items that a text shares a run of words with.
    pub(crate) fn touched(&self, text: &str) -> BTreeSet<Item> {
        let folded = folded(text);
        let words = words(&folded);
        let mut found = BTreeSet::new();
        for (length, of_length) in &self.runs {
            for items in words.windows(*length).filter_map(|words| of_length.get(&run(words))) {
                found.extend(items);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_found_by_thirteen_words_or_whole_by_eight() {
        let long = "A train leaves the station at noon and runs for three hours at sixty miles an hour.";
        let short = "How many legs have three dogs and hens?";
        let items = [long, short, "What is it?"].map(|text| vec![text.to_owned()]).to_vec();
        let index = Index::new(&[Tests { name: "t".to_owned(), digest: Digest::of(b""), items }]);
        assert_eq!(index.covered, [[true, true, false]]);
        for (text, expected) in [
            (format!("Q: {}", long.to_uppercase()), &[0][..]),
            ("the station at noon and runs\nfor three hours, at sixty miles an afternoon".to_owned(), &[0]),
            ("the station at noon and runs for three hours at sixty kilometres an hour".to_owned(), &[]),
            (format!("x {short} y"), &[1]),
            ("How many legs have three dogs and cats?".to_owned(), &[]),
            ("What is it?".to_owned(), &[]),
        ] {
            let found: Vec<usize> = index.touched(&text).into_iter().map(|(_, place)| place).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
