use crate::{config, source, write};
use dataset::{Corpus, Split, SplitError, Unit, folds, leak, read, split};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A corpus of files `<name>.txt`, read from disk.
fn corpus(files: &[(String, String)]) -> Corpus {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(folder.path(), &format!("{name}.txt"), text);
    }
    read(&config(folder.path(), vec![source("all", ".", Unit::File)])).unwrap()
}

fn numbered(texts: &[u8]) -> Vec<(String, String)> {
    texts.iter().enumerate().map(|(index, text)| (format!("{index:03}"), format!("text {text}\n"))).collect()
}

fn texts(corpus: &Corpus, side: &[usize]) -> Vec<String> {
    let mut texts: Vec<String> = side.iter().map(|&index| corpus.documents[index].text.clone()).collect();
    texts.sort();
    texts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Few distinct texts, so that most corpora hold duplicates.
    #[test]
    fn splits_are_disjoint_covering_without_leak_and_near_the_share(
        kinds in proptest::collection::vec(0_u8..12, 2..40), share in 0.01_f64..0.99, seed: u64,
    ) {
        let corpus = corpus(&numbered(&kinds));
        let distinct: BTreeSet<u8> = kinds.iter().copied().collect();
        let parts = split(&corpus, share, seed);
        if distinct.len() < 2 {
            prop_assert_eq!(parts, Err(SplitError::TooFew { distinct: 1 }));
            return Ok(());
        }
        let parts = parts.unwrap();
        let mut all: Vec<usize> = parts.train.iter().chain(&parts.held_out).copied().collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..kinds.len()).collect::<Vec<_>>());
        prop_assert!(!parts.train.is_empty() && !parts.held_out.is_empty());
        prop_assert_eq!(leak(&corpus, &parts).k, 0);

        let most = kinds.iter().map(|kind| kinds.iter().filter(|other| *other == kind).count()).max().unwrap();
        let wanted = ((kinds.len() as f64 * share).round() as usize).max(1);
        prop_assert!(parts.held_out.len() < wanted + most);
        prop_assert!(parts.held_out.len() + most >= wanted);
    }

    #[test]
    fn splits_do_not_depend_on_the_order_or_names_of_files(
        kinds in proptest::collection::vec(0_u8..30, 5..30), shift in 1_usize..30, seed: u64,
    ) {
        prop_assume!(kinds.iter().any(|kind| *kind != kinds[0]));
        let turned: Vec<u8> = (0..kinds.len()).map(|index| kinds[(index + shift) % kinds.len()]).collect();
        let (one, two) = (corpus(&numbered(&kinds)), corpus(&numbered(&turned)));
        let (first, second) = (split(&one, 0.3, seed).unwrap(), split(&two, 0.3, seed).unwrap());
        prop_assert_eq!(texts(&one, &first.train), texts(&two, &second.train));
        prop_assert_eq!(texts(&one, &first.held_out), texts(&two, &second.held_out));
    }

    #[test]
    fn folds_are_disjoint_covering_balanced_and_without_leak(
        kinds in proptest::collection::vec(0_u8..60, 4..40), k in 2_usize..6, seed: u64,
    ) {
        let corpus = corpus(&numbered(&kinds));
        let documents: Vec<usize> = (0..kinds.len()).step_by(2).collect();
        let distinct: BTreeSet<u8> = documents.iter().map(|&index| kinds[index]).collect();
        let dealt = folds(&corpus, &documents, k, seed);
        if distinct.len() < k {
            prop_assert_eq!(dealt, Err(SplitError::Folds { k, distinct: distinct.len() }));
            return Ok(());
        }
        let dealt = dealt.unwrap();
        let mut all: Vec<usize> = dealt.iter().flatten().copied().collect();
        all.sort_unstable();
        prop_assert_eq!(&all, &documents);
        for fold in &dealt {
            let train = documents.iter().copied().filter(|index| !fold.contains(index)).collect();
            prop_assert_eq!(leak(&corpus, &Split { train, held_out: fold.clone() }).k, 0);
        }
        let sizes: Vec<usize> = dealt.iter().map(Vec::len).collect();
        if distinct.len() == documents.len() {
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }
}

/// The search for leaks does not trust the split: given a bad one, it finds what leaked.
#[test]
fn a_leak_is_found_whatever_made_the_split() {
    let corpus = corpus(&numbered(&[1, 2, 1, 3]));
    let found = leak(&corpus, &Split { train: vec![0, 1], held_out: vec![2, 3] });
    assert_eq!((found.k, found.n, found.documents.as_slice()), (1, 2, &["002.txt".to_owned()][..]));
}

#[test]
fn seeds_make_different_splits() {
    let corpus = corpus(&numbered(&(0..40).collect::<Vec<u8>>()));
    let sides: BTreeSet<Vec<usize>> = (0..20).map(|seed| split(&corpus, 0.25, seed).unwrap().held_out).collect();
    // 40 choose 10 is about 8 × 10^8: twenty draws of it agree with probability below 10^-6.
    assert_eq!(sides.len(), 20);
}

#[test]
fn impossible_splits_are_refused() {
    let one = corpus(&numbered(&[1, 1, 1]));
    let two = corpus(&numbered(&[1, 2]));
    for (result, message) in [
        (
            split(&two, 0.0, 1).map(|_| ()),
            "expected a share of held-out documents above 0 and below 1, found 0; correct `held_out`",
        ),
        (
            split(&two, f64::NAN, 1).map(|_| ()),
            "expected a share of held-out documents above 0 and below 1, found NaN; correct `held_out`",
        ),
        (
            split(&one, 0.5, 1).map(|_| ()),
            "expected at least 2 distinct documents to split, found 1; add documents or split files by section",
        ),
        (
            folds(&two, &[0, 1], 3, 1).map(|_| ()),
            "expected between 2 folds and as many as distinct documents, 2, found 3; correct `folds`",
        ),
        (
            folds(&two, &[0, 1], 1, 1).map(|_| ()),
            "expected between 2 folds and as many as distinct documents, 2, found 1; correct `folds`",
        ),
    ] {
        assert_eq!(result.unwrap_err().to_string(), message);
    }
}
