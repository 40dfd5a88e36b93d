//! Formulas against scipy, statsmodels and scikit-learn: `tests/fixtures/statistics.py` made the expected numbers.

use crate::fixture;
use evaluate::statistics::{
    Bootstrap, calibration, clopper_pearson, cluster::clustered_mean, paired, resampled::resampled, slices::holm,
    wilson,
};
use serde_json::Value;

fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("statistics.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|item| item.as_f64().unwrap()).collect()
}

fn flags(value: &Value) -> Vec<bool> {
    numbers(value).into_iter().map(|flag| flag == 1.0).collect()
}

fn near(found: f64, expected: f64, within: f64) {
    assert!((found - expected).abs() <= within, "found {found}, expected {expected}");
}

/// Within 1e-12: scipy's inverse of the beta distribution is itself good to about that.
#[test]
fn proportions_are_those_of_statsmodels() {
    for case in expected()["proportions"].as_array().unwrap() {
        let (k, n) = (case["k"].as_u64().unwrap(), case["n"].as_u64().unwrap());
        for (found, expected) in [
            (wilson(k, n, 0.95).unwrap(), numbers(&case["wilson"])),
            (clopper_pearson(k, n, 0.95).unwrap(), numbers(&case["exact"])),
        ] {
            near(found.lower, expected[0], 1e-12);
            near(found.upper, expected[1], 1e-12);
        }
    }
}

#[test]
fn pairs_are_those_of_statsmodels_and_scipy() {
    for case in expected()["paired"].as_array().unwrap() {
        let (first, second) = (flags(&case["first"]), flags(&case["second"]));
        let found = paired::mcnemar(&first, &second).unwrap();
        near(found.p_exact, case["exact"].as_f64().unwrap(), 1e-12);
        near(found.p_mid, case["mid"].as_f64().unwrap(), 1e-12);
        let scores = |flags: &[bool]| flags.iter().map(|&flag| f64::from(u8::from(flag))).collect::<Vec<_>>();
        let found = paired::paired_difference(&scores(&first), &scores(&second), &Bootstrap::new(1)).unwrap();
        near(found.mean, case["mean"].as_f64().unwrap(), 1e-14);
        near(found.stderr, case["stderr"].as_f64().unwrap(), 1e-14);
        // The bootstrap has no expected ends: it encloses the mean and is about two errors wide on each side.
        assert!(found.bounds.lower <= found.mean && found.mean <= found.bounds.upper);
        let reach = 0.5 * (found.bounds.upper - found.bounds.lower) / found.stderr;
        assert!((1.6..2.9).contains(&reach), "{reach}");
    }
}

#[test]
fn clustered_errors_are_those_of_statsmodels() {
    for case in expected()["clusters"].as_array().unwrap() {
        let groups: Vec<String> =
            case["groups"].as_array().unwrap().iter().map(|group| group.as_str().unwrap().to_owned()).collect();
        let found = clustered_mean(&numbers(&case["values"]), &groups).unwrap();
        near(found.mean, case["mean"].as_f64().unwrap(), 1e-14);
        near(found.stderr, case["stderr"].as_f64().unwrap(), 1e-14);
        near(found.bounds.lower, numbers(&case["bounds"])[0], 1e-12);
        near(found.bounds.upper, numbers(&case["bounds"])[1], 1e-12);
    }
}

/// 200 items in 10 bins: scikit-learn's quantile edges cut them into twenties, as ours do.
#[test]
fn calibration_is_that_of_scikit_learn() {
    let case = &expected()["calibration"];
    let (confidence, correct) = (numbers(&case["confidence"]), flags(&case["correct"]));
    let found = calibration::calibration(&confidence, &correct, 10).unwrap();
    near(found.ece, case["ece"].as_f64().unwrap(), 1e-12);
    near(found.mce, case["mce"].as_f64().unwrap(), 1e-12);
    near(found.brier, case["brier"].as_f64().unwrap(), 1e-12);
    let bins = calibration::diagram(&confidence, &correct, 10).unwrap();
    for (bin, (accuracy, mean)) in bins.iter().zip(numbers(&case["accuracy"]).iter().zip(numbers(&case["mean"]))) {
        near(bin.accuracy, *accuracy, 1e-12);
        near(bin.confidence, mean, 1e-12);
    }
    let bounds = calibration::ece_bounds(&confidence, &correct, 10).unwrap();
    assert!(bounds.lower <= found.ece && found.ece <= bounds.upper && bounds.upper < 0.4);
}

#[test]
fn corrected_probabilities_are_those_of_statsmodels() {
    let case = &expected()["holm"];
    for (found, expected) in holm(&numbers(&case["p"])).into_iter().zip(numbers(&case["holm"])) {
        near(found, expected, 1e-14);
    }
}

#[test]
fn folds_allow_for_their_overlap() {
    for case in expected()["resampled"].as_array().unwrap() {
        let share = 1.0 / (case["folds"].as_f64().unwrap() - 1.0);
        let found = resampled(&numbers(&case["values"]), share, 0.95).unwrap();
        near(found.spread.mean, case["mean"].as_f64().unwrap(), 1e-14);
        near(found.stderr, case["stderr"].as_f64().unwrap(), 1e-14);
        near(found.bounds.upper - found.spread.mean, case["reach"].as_f64().unwrap(), 1e-12);
    }
}
