//! The weight λ of a penalty, chosen by nested cross-validation: the folds that choose never hold what is scored.

use crate::folds::{Fold, FoldError, deal};

/// One outer fold: what its inner folds chose, and what that came to on the documents they never saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// The place of the candidate.
    pub candidate: usize,
    /// Mean loss of the inner folds with it.
    pub inner_loss: f64,
    /// Loss on the outer fold's held-out documents.
    pub outer_loss: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Nested {
    /// One an outer fold: their mean loss is the estimate of the whole procedure.
    pub outer: Vec<Chosen>,
    /// Chosen by the inner folds over all documents: what a final training takes.
    pub candidate: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum NestedError<E> {
    #[error(transparent)]
    Folds(#[from] FoldError),
    #[error("expected at least one candidate, found none")]
    NoCandidate,
    #[error("the training of a fold failed")]
    Fit(#[source] E),
}

/// Chooses among `n_candidates` for documents `0..n_documents`: `fit` trains with a candidate on the documents of a fold and gives
/// the loss on those held out, and is called outer · (inner · candidates + 1) + inner · candidates times. Of equal candidates the
/// first is chosen.
///
/// Source: Stone 1974, section 3.1; Varma and Simon 2006, "Bias in error estimation when using cross-validation for model
/// selection".
///
/// # Errors
/// `Folds`, `NoCandidate`; what `fit` gave.
pub fn nested<E>(
    n_documents: usize,
    (outer, inner): (usize, usize),
    n_candidates: usize,
    seed: u64,
    mut fit: impl FnMut(usize, &Fold) -> Result<f64, E>,
) -> Result<Nested, NestedError<E>> {
    if n_candidates == 0 {
        return Err(NestedError::NoCandidate);
    }
    let all: Vec<usize> = (0..n_documents).collect();
    let mut found = Vec::new();
    for fold in deal(n_documents, outer, seed)? {
        let (candidate, inner_loss) = choose(&fold.train, inner, n_candidates, seed, &mut fit)?;
        let outer_loss = fit(candidate, &fold).map_err(NestedError::Fit)?;
        found.push(Chosen { candidate, inner_loss, outer_loss });
    }
    let (candidate, _) = choose(&all, inner, n_candidates, seed, &mut fit)?;
    Ok(Nested { outer: found, candidate })
}

fn choose<E>(
    documents: &[usize],
    inner: usize,
    n_candidates: usize,
    seed: u64,
    fit: &mut impl FnMut(usize, &Fold) -> Result<f64, E>,
) -> Result<(usize, f64), NestedError<E>> {
    let named = |places: Vec<usize>| places.into_iter().map(|place| documents[place]).collect();
    let folds: Vec<Fold> = deal(documents.len(), inner, seed)?
        .into_iter()
        .map(|fold| Fold { train: named(fold.train), held_out: named(fold.held_out) })
        .collect();
    let mut best = (0, f64::INFINITY);
    for candidate in 0..n_candidates {
        let mut sum = 0.0;
        for fold in &folds {
            sum += fit(candidate, fold).map_err(NestedError::Fit)?;
        }
        let mean = sum / folds.len() as f64;
        if mean < best.1 {
            best = (candidate, mean);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Losses that depend on the candidate, and on the size of a fold, which is the same in all.
    #[test]
    fn the_candidate_of_least_inner_loss_is_taken_and_scored_elsewhere() {
        let mut calls = Vec::new();
        let losses = [1.0, 0.25, 0.5];
        let found = nested(12, (3, 2), 3, 7, |candidate, fold| {
            calls.push((candidate, fold.clone()));
            Ok::<f64, Infallible>(losses[candidate] + 0.0625 * fold.held_out.len() as f64)
        });
        let found = found.unwrap();
        assert_eq!(found.candidate, 1);
        assert_eq!(found.outer.len(), 3);
        for chosen in &found.outer {
            assert_eq!((chosen.candidate, chosen.inner_loss, chosen.outer_loss), (1, 0.5, 0.5));
        }
        assert_eq!(calls.len(), 3 * (2 * 3 + 1) + 2 * 3);
        // No inner fold of an outer one touches a document that the outer one holds out.
        for outer in calls[..21].chunks(7) {
            let held = &outer[6].1.held_out;
            assert_eq!(held.len(), 4);
            for (_, inner) in &outer[..6] {
                assert!(inner.train.iter().chain(&inner.held_out).all(|document| !held.contains(document)));
                assert_eq!(inner.train.len() + inner.held_out.len(), 8);
            }
        }
    }

    #[test]
    fn failures_and_impossible_folds_are_told() {
        let none = nested(12, (3, 2), 0, 7, |_, _| Ok::<f64, Infallible>(0.0)).unwrap_err();
        assert_eq!(none.to_string(), "expected at least one candidate, found none");
        let few = nested(3, (3, 4), 1, 7, |_, _| Ok::<f64, Infallible>(0.0)).unwrap_err();
        assert_eq!(few.to_string(), "expected at least 4 documents for 4 folds, found 2");
        let failed = nested(12, (3, 2), 1, 7, |_, _| Err::<f64, _>(std::io::Error::other("no"))).unwrap_err();
        assert_eq!(failed.to_string(), "the training of a fold failed");
    }
}
