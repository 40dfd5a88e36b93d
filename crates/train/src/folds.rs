//! K folds over documents, for cross-validation.

use crate::shuffle::{Purpose, permutation};

/// One fold: the documents trained on and those held out, both in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    pub train: Vec<usize>,
    pub held_out: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    #[error("expected at least 2 folds, found {0}")]
    TooFewFolds(usize),
    #[error("expected at least {k} documents for {k} folds, found {n_documents}")]
    TooFewDocuments { n_documents: usize, k: usize },
}

/// Deals documents `0..n_documents` into `k` folds like cards, after a seeded shuffle.
///
/// Every document is held out in exactly one fold and trained on in the others; sizes differ by at most one.
/// Pure: the same arguments give the same folds on every machine.
///
/// # Errors
/// `TooFewFolds` under 2, `TooFewDocuments` when a fold would be empty.
///
/// Source: Stone 1974, "Cross-validatory choice and assessment of statistical predictions".
pub fn deal(n_documents: usize, k: usize, seed: u64) -> Result<Vec<Fold>, FoldError> {
    if k < 2 {
        return Err(FoldError::TooFewFolds(k));
    }
    if n_documents < k {
        return Err(FoldError::TooFewDocuments { n_documents, k });
    }
    let mut fold_of = vec![0; n_documents];
    for (place, document) in permutation(Purpose::Folds, seed, 0, n_documents).into_iter().enumerate() {
        fold_of[document] = place % k;
    }
    let fold = |fold: usize| {
        let (held_out, train) = (0..n_documents).partition(|&document| fold_of[document] == fold);
        Fold { train, held_out }
    };
    Ok((0..k).map(fold).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn folds_are_disjoint_covering_and_balanced(k in 2_usize..12, extra in 0_usize..150, seed: u64) {
            let n = k + extra;
            let folds = deal(n, k, seed).unwrap();
            proptest::prop_assert_eq!(folds.len(), k);
            let mut n_held_out = vec![0; n];
            for fold in &folds {
                fold.held_out.iter().for_each(|&document| n_held_out[document] += 1);
                let mut all = [fold.train.clone(), fold.held_out.clone()].concat();
                all.sort_unstable();
                proptest::prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
                proptest::prop_assert!((n / k..=n.div_ceil(k)).contains(&fold.held_out.len()));
            }
            proptest::prop_assert!(n_held_out.iter().all(|&count| count == 1));
            proptest::prop_assert_eq!(folds, deal(n, k, seed).unwrap());
        }
    }

    #[test]
    fn the_seed_changes_the_folds() {
        assert_ne!(deal(40, 4, 1), deal(40, 4, 2));
    }

    #[test]
    fn impossible_folds_are_refused() {
        assert_eq!(deal(10, 1, 0).unwrap_err().to_string(), "expected at least 2 folds, found 1");
        assert_eq!(deal(3, 4, 0).unwrap_err().to_string(), "expected at least 4 documents for 4 folds, found 3");
    }
}
