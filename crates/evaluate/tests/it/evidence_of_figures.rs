use evaluate::{
    DocumentScore,
    figures::{Circumstances, folds, held_out, loss_change, sparsity},
    statistics::Bootstrap,
};
use evidence::{Digest, Measurement, Provenance, Subject};

fn circumstances() -> Circumstances {
    Circumstances {
        subject: Subject::new("model.safetensors", Digest::of(b"weights")),
        inputs: vec![Digest::of(b"weights"), Digest::of(b"documents")],
        instrument: "evaluate 0.1.0".into(),
        at: "2026-01-02T03:04:05Z".parse().unwrap(),
    }
}

fn score(nll_nats: f64, n_tokens: u64, n_correct: u64) -> DocumentScore {
    DocumentScore { nll_nats, n_tokens, n_correct }
}

/// Metric, value, unit, [ends; level; method], k/n.
fn show(measurement: &Measurement) -> String {
    assert_eq!(Measurement::from_json(&measurement.to_json()).unwrap(), *measurement);
    assert_eq!((measurement.provenance, &measurement.subject), (Provenance::Measured, &circumstances().subject));
    assert_eq!(measurement.inputs, circumstances().inputs);
    let mut text = format!("{} {} {}", measurement.metric.id, measurement.value, measurement.unit());
    if let Some(interval) = &measurement.interval {
        let level = interval.level.map_or_else(|| "certain".to_owned(), |level| level.to_string());
        text += &format!(" [{}, {}; {level}; {}]", interval.lower, interval.upper, interval.method);
    }
    let k = measurement.k.map(|k| format!("{k}/")).unwrap_or_default();
    text + &measurement.n.map(|n| format!(" {k}{n}")).unwrap_or_default()
}

/// By hand: every document has loss 7/3 and accuracy 1/3, so every resample has; what is left is rounding, outward.
/// exp(7/3) = 10.312258501325767 (python3).
#[test]
fn held_out_figures_are_rounded_outward() {
    let scores = [score(7.0, 3, 1), score(14.0, 6, 2), score(28.0, 12, 4)];
    let measurements = held_out(&scores, &Bootstrap::new(1), &circumstances()).unwrap();
    let shown: Vec<String> = measurements.iter().map(show).collect();
    assert_eq!(
        shown,
        [
            "heldout.loss 2.33333333 nat/token [2.33333333, 2.33333334; 0.95; bootstrap-documents] 3",
            "heldout.perplexity 10.3122585 1 [10.3122585, 10.3122586; 0.95; bootstrap-documents] 3",
            "heldout.accuracy 0.333333333 1 [0.333333333, 0.333333334; 0.95; bootstrap-documents] 7/21",
        ]
    );
    assert_eq!(
        measurements[0].method,
        "mean negative log-likelihood over 21 tokens of 3 documents; 2000 resamples of documents, seed 1, percentiles \
         widened for few documents"
    );
    assert_eq!(measurements[0].convention.as_deref(), Some(evaluate::CONVENTION));
}

#[test]
fn one_document_gives_figures_without_intervals() {
    let measurements = held_out(&[score(6.0, 4, 1)], &Bootstrap::new(1), &circumstances()).unwrap();
    let shown: Vec<String> = measurements.iter().map(show).collect();
    // exp(1.5) = 4.4816890703380645 (python3).
    assert_eq!(
        shown,
        ["heldout.loss 1.5 nat/token 1", "heldout.perplexity 4.48168907 1 1", "heldout.accuracy 0.25 1 1/4"]
    );
}

#[test]
fn a_change_is_paired_and_signed() {
    let before = [score(8.0, 4, 1), score(20.0, 5, 2), score(3.0, 2, 1)];
    let after = before.map(|s| score(s.nll_nats - 0.125 * s.n_tokens as f64, s.n_tokens, 0));
    let change = loss_change("quantize.loss_change", &before, &after, &Bootstrap::new(1), &circumstances()).unwrap();
    assert_eq!(show(&change), "quantize.loss_change -0.125 nat/token [-0.125, -0.125; 0.95; bootstrap-documents] 3");

    let refused = |metric, after: &[DocumentScore]| {
        let error = loss_change(metric, &before, after, &Bootstrap::new(1), &circumstances()).unwrap_err();
        (error.to_string(), std::error::Error::source(&error).map(ToString::to_string))
    };
    assert_eq!(
        refused("prune.loss_change", &after[..2]),
        (
            "`prune.loss_change` cannot be computed".into(),
            Some("expected as many denominators as numerators, 3, found 2".into())
        )
    );
    assert_eq!(refused("prune.change", &after), ("no metric `prune.change` in the catalogue".into(), None));
}

/// Expected: python3 `statistics.stdev([5.02, 4.95, 5.11])` = 0.08020806277010653, and m ± t · √(1/3 + 1/2) · s by scipy's `t.ppf(0.975, 2)`.
#[test]
fn folds_give_mean_interval_and_spread() {
    let losses = [5.02, 4.95, 5.11];
    let shown: Vec<String> = folds(&losses, None, &circumstances()).unwrap().iter().map(show).collect();
    assert_eq!(
        shown,
        [
            "kfold.loss 5.02666667 nat/token [4.71162811, 5.34170522; 0.95; corrected-resampled-t] 3",
            "kfold.perplexity 152.424085 1 [111.233113, 208.868573; 0.95; corrected-resampled-t] 3",
            "kfold.loss_spread 0.0802080628 nat/token 3",
            "kfold.folds 3 1 3",
        ]
    );
    let found = folds(&losses, Some(&[5.5, 5.3, 5.6]), &circumstances()).unwrap();
    assert_eq!(found.len(), 5);
    assert!(
        found.iter().all(|found| found.convention.as_deref().unwrap().starts_with("the tokens that training counts"))
    );
    assert_eq!(
        show(&found[1]),
        "kfold.loss_change -0.44 nat/token [-0.746768378, -0.133231622; 0.95; corrected-resampled-t] 3"
    );
    for (losses, before) in [(&[5.0][..], None), (&[5.0, 5.1], Some(&[5.0][..]))] {
        let refused = folds(losses, before, &circumstances()).unwrap_err().to_string();
        assert!(refused.ends_with("cannot be computed"), "{refused}");
    }
}

#[test]
fn sparsity_is_an_exact_count() {
    let third = sparsity(1, 3, &circumstances()).unwrap();
    assert_eq!(show(&third), "prune.sparsity 0.333333333 1 [0.333333333, 0.333333334; certain; exact-count] 1/3");
    assert_eq!(third.convention, None);
    let error = sparsity(4, 3, &circumstances()).unwrap_err();
    assert_eq!(error.to_string(), "expected at most 3 zeros among 3 weights, found 4");
}
