//! Folds from rows to figures: fit, choose λ within, score without.

use super::{
    encode::Encoder,
    logistic::{Head, Method, fit},
    splits::{SplitError, SplitKind, split},
    table::Table,
};
use crate::{
    Bounds,
    statistics::{
        LEVEL, StatisticsError, clopper_pearson,
        resampled::{Resampled, resampled},
    },
};
use evidence::Control;
use std::collections::{BTreeMap, BTreeSet};

/// How rows are cut and what is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldConfig {
    /// K: 5 or 10 (Kohavi 1995).
    pub folds: usize,
    pub repeats: usize,
    pub kind: SplitKind,
    /// `None`: in the order of the rows, as scikit-learn without shuffling; only for one repeat.
    pub seed: Option<u64>,
    /// λ tried, in falling order; one alone is taken without inner folds.
    pub lambdas: Vec<f64>,
    /// Inner folds in which λ is chosen.
    pub inner: usize,
    pub method: Method,
}

impl Default for FoldConfig {
    fn default() -> Self {
        Self {
            folds: 5,
            repeats: 1,
            kind: SplitKind::Stratified,
            seed: Some(0),
            lambdas: vec![1.0, 0.1, 0.01, 0.001, 0.0001],
            inner: 3,
            method: Method::default(),
        }
    }
}

/// One fold of one repeat.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    pub repeat: usize,
    pub fold: usize,
    pub n_train: usize,
    pub n_test: usize,
    pub n_right: usize,
    pub lambda: f64,
    /// Right answers in inner folds, for each λ tried.
    pub inner_right: Vec<usize>,
    /// Inner fold of each training row, in the order of the rows; empty where λ was not chosen.
    pub inner: Vec<usize>,
    /// Largest entry of the gradient where the fit ended.
    pub gradient: f64,
    /// Test rows of which a copy stands in the training part.
    pub n_leaked: usize,
}

impl Folded {
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.n_right as f64 / self.n_test as f64
    }
}

/// All folds.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldOutcome {
    pub folds: Vec<Folded>,
    /// Fold of each row, by repeat.
    pub assigned: Vec<Vec<usize>>,
    /// Class given to each row when it was held out, by repeat.
    pub predicted: Vec<Vec<usize>>,
    /// Mean over folds and repeats with the corrected resampled interval.
    pub accuracy: Resampled,
    /// Right answers over all rows of the first repeat, and the exact interval that takes folds for one model.
    pub pooled: (u64, u64),
    pub pooled_bounds: Bounds,
    /// Share of the largest class: what knowing nothing comes to.
    pub baseline: f64,
    /// Rows whose group stands on both sides of a fold; 0 where folds are by group.
    pub n_straddling: usize,
    /// Rows that have a copy among the others.
    pub n_copies: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum FoldsError {
    #[error(transparent)]
    Split(#[from] SplitError),
    #[error("repeat {repeat}, fold {fold}: the inner folds cannot be cut")]
    Inner { repeat: usize, fold: usize, source: SplitError },
    #[error("expected a seed, for {repeats} repeats without shuffling would be the same")]
    Seedless { repeats: usize },
    #[error("expected at least one λ of at least 0, found {0:?}")]
    Lambdas(Vec<f64>),
    #[error("fold {fold} of repeat {repeat} holds no row to test on, or none of a class to train on")]
    Empty { repeat: usize, fold: usize },
    #[error("the figures cannot be computed")]
    Statistics(#[from] StatisticsError),
    #[error("stopped: {0}")]
    Stopped(String),
}

/// Cross-validates a head over a table.
///
/// Each row is held out once a repeat. `observe` is asked before each outer fold with the folds done and their number. Folds
/// are checked to be disjoint and covering, and copies and groups on both sides are counted. Deterministic.
///
/// # Errors
/// `FoldsError`.
pub fn cross_validate(
    table: &Table,
    config: &FoldConfig,
    observe: &mut dyn FnMut(usize, usize) -> Control,
) -> Result<FoldOutcome, FoldsError> {
    if config.repeats > 1 && config.seed.is_none() {
        return Err(FoldsError::Seedless { repeats: config.repeats });
    }
    if config.lambdas.is_empty() || config.lambdas.iter().any(|lambda| !lambda.is_finite() || *lambda < 0.0) {
        return Err(FoldsError::Lambdas(config.lambdas.clone()));
    }
    let groups = table.groups.as_deref().unwrap_or_default();
    let n = table.target.len();
    let (mut folds, mut assigned, mut predicted) = (Vec::new(), Vec::new(), Vec::new());
    for repeat in 0..config.repeats {
        let seed = config.seed.map(|seed| seed.wrapping_mul(1000).wrapping_add(repeat as u64));
        let of = split(config.kind, &table.strata, groups, config.folds, seed)?;
        let mut given = vec![usize::MAX; n];
        for fold in 0..config.folds {
            if let Control::Stop(reason) = observe(folds.len(), config.folds * config.repeats) {
                return Err(FoldsError::Stopped(reason));
            }
            let (found, predictions) = one_fold(table, config, &of, repeat, fold, seed)?;
            for (row, class) in predictions {
                given[row] = class;
            }
            folds.push(found);
        }
        // Every row was held out, and once: folds are numbers of rows, so a row cannot be in two.
        if let Some(row) = given.iter().position(|class| *class == usize::MAX) {
            return Err(FoldsError::Empty { repeat, fold: of[row] });
        }
        assigned.push(of);
        predicted.push(given);
    }
    let values: Vec<f64> = folds.iter().map(Folded::accuracy).collect();
    let mut accuracy = resampled(&values, 1.0 / (config.folds as f64 - 1.0), LEVEL)?;
    accuracy.bounds = accuracy.bounds.of_share();
    let right = predicted[0].iter().zip(&table.target).filter(|(given, class)| given == class).count() as u64;
    let straddling = assigned.iter().map(|of| straddling(of, groups)).max().unwrap_or(0);
    Ok(FoldOutcome {
        folds,
        accuracy,
        pooled: (right, n as u64),
        pooled_bounds: clopper_pearson(right, n as u64, LEVEL)?,
        baseline: baseline(table),
        n_straddling: straddling,
        n_copies: copies(table),
        assigned,
        predicted,
    })
}

/// Rows of which the group also stands in another fold.
fn straddling(of: &[usize], groups: &[String]) -> usize {
    let mut folds: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    groups.iter().zip(of).for_each(|(group, fold)| {
        folds.entry(group).or_default().insert(*fold);
    });
    groups.iter().filter(|group| folds.get(group.as_str()).is_some_and(|folds| folds.len() > 1)).count()
}

fn copies(table: &Table) -> usize {
    let mut counts = BTreeMap::new();
    table.keys.iter().for_each(|key| *counts.entry(key).or_insert(0) += 1);
    table.keys.iter().filter(|key| counts.get(key).is_some_and(|count| *count > 1)).count()
}

fn baseline(table: &Table) -> f64 {
    let mut counts = vec![0_usize; table.classes.len()];
    table.target.iter().for_each(|&class| counts[class] += 1);
    counts.iter().copied().max().unwrap_or(0) as f64 / table.target.len() as f64
}

type Predictions = Vec<(usize, usize)>;

fn one_fold(
    table: &Table,
    config: &FoldConfig,
    of: &[usize],
    repeat: usize,
    fold: usize,
    seed: Option<u64>,
) -> Result<(Folded, Predictions), FoldsError> {
    let (test, train): (Vec<usize>, Vec<usize>) = (0..of.len()).partition(|&row| of[row] == fold);
    let classes: BTreeSet<usize> = train.iter().map(|&row| table.target[row]).collect();
    if test.is_empty() || classes.len() < 2 {
        return Err(FoldsError::Empty { repeat, fold });
    }
    let (inner, inner_right) = if config.lambdas.len() > 1 {
        chosen(table, config, &train, seed).map_err(|source| FoldsError::Inner { repeat, fold, source })?
    } else {
        (Vec::new(), vec![0])
    };
    // The most right; of equals the first, which is the largest λ.
    let best = (1..inner_right.len()).fold(0, |best, at| if inner_right[at] > inner_right[best] { at } else { best });
    let lambda = config.lambdas[best];
    let (given, gradient) = held_out(table, &Head { lambda, method: config.method }, &train, &test);
    let known: BTreeSet<_> = train.iter().map(|&row| table.keys[row]).collect();
    let found = Folded {
        repeat,
        fold,
        n_train: train.len(),
        n_test: test.len(),
        n_right: test.iter().zip(&given).filter(|(row, class)| table.target[**row] == **class).count(),
        lambda,
        inner_right,
        inner,
        gradient,
        n_leaked: test.iter().filter(|&&row| known.contains(&table.keys[row])).count(),
    };
    Ok((found, test.into_iter().zip(given).collect()))
}

/// Inner folds of the training rows by the same rule, and for each λ the right answers over them.
fn chosen(
    table: &Table,
    config: &FoldConfig,
    train: &[usize],
    seed: Option<u64>,
) -> Result<(Vec<usize>, Vec<usize>), SplitError> {
    let strata: Vec<String> = train.iter().map(|&row| table.strata[row].clone()).collect();
    let groups: Vec<String> =
        table.groups.iter().flat_map(|groups| train.iter().map(|&row| groups[row].clone())).collect();
    let inner = split(config.kind, &strata, &groups, config.inner, seed)?;
    let mut right = vec![0; config.lambdas.len()];
    for fold in 0..config.inner {
        let (test, rest): (Vec<usize>, Vec<usize>) = (0..train.len()).partition(|&at| inner[at] == fold);
        let rows = |places: &[usize]| places.iter().map(|&at| train[at]).collect::<Vec<_>>();
        let (test, rest) = (rows(&test), rows(&rest));
        let encoder = Encoder::learn(&table.features, &rest);
        let (train_rows, test_rows) = (encoder.encode(&table.features, &rest), encoder.encode(&table.features, &test));
        let target: Vec<usize> = rest.iter().map(|&row| table.target[row]).collect();
        let mut warm = None;
        for (at, &lambda) in config.lambdas.iter().enumerate() {
            let head = Head { lambda, method: config.method };
            let fitted = fit(&head, &train_rows, &target, table.classes.len(), warm.as_ref());
            let given = fitted.predict(&test_rows);
            right[at] += test.iter().zip(&given).filter(|(row, class)| table.target[**row] == **class).count();
            // The next λ is smaller, and its minimum is near. A stochastic fit begins from nothing each time.
            warm = matches!(config.method, Method::GradientDescent { .. }).then_some(fitted);
        }
    }
    Ok((inner, right))
}

/// Classes given to `test` by a head fitted on `train`, and how far the fit came.
fn held_out(table: &Table, head: &Head, train: &[usize], test: &[usize]) -> (Vec<usize>, f64) {
    let encoder = Encoder::learn(&table.features, train);
    let (train_rows, test_rows) = (encoder.encode(&table.features, train), encoder.encode(&table.features, test));
    let target: Vec<usize> = train.iter().map(|&row| table.target[row]).collect();
    let fitted = fit(head, &train_rows, &target, table.classes.len(), None);
    (fitted.predict(&test_rows), fitted.gradient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::table::{Feature, Features};
    use evidence::Digest;

    /// Two clouds that overlap; rows of one person are copies but for their noise-free twin.
    fn clouds(n: usize) -> Table {
        let value = |at: usize, salt: usize| ((at * 7919 + salt * 104_729) % 1000) as f64 / 500.0 - 1.0;
        let target: Vec<usize> = (0..n).map(|at| at % 2).collect();
        let x: Vec<f64> = (0..n).map(|at| value(at, 1) + 0.8 * target[at] as f64).collect();
        let y: Vec<f64> = (0..n).map(|at| value(at, 5)).collect();
        let names = |names: Vec<usize>| names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let keys = (0..n).map(|at| Digest::of(format!("{} {}", x[at], y[at]).as_bytes())).collect();
        Table {
            features: Features::Columns(vec![
                ("x".to_owned(), Feature::Numeric(x)),
                ("y".to_owned(), Feature::Numeric(y)),
            ]),
            strata: names(target.clone()),
            target,
            classes: vec!["a".to_owned(), "b".to_owned()],
            groups: Some(names((0..n).map(|at| at / 4).collect())),
            keys,
            texts: Vec::new(),
        }
    }

    fn run(table: &Table, config: &FoldConfig) -> FoldOutcome {
        cross_validate(table, config, &mut |_, _| Control::Continue).unwrap()
    }

    #[test]
    fn every_row_is_held_out_once_a_repeat() {
        let table = clouds(200);
        let found = run(&table, &FoldConfig { repeats: 3, ..FoldConfig::default() });
        assert_eq!((found.folds.len(), found.assigned.len(), found.accuracy.n_values), (15, 3, 15));
        for repeat in 0..3 {
            let right =
                found.predicted[repeat].iter().zip(&table.target).filter(|(given, class)| given == class).count();
            let counted: usize = found.folds.iter().filter(|fold| fold.repeat == repeat).map(|fold| fold.n_right).sum();
            assert_eq!(right, counted);
            assert!(found.folds.iter().all(|fold| fold.n_train + fold.n_test == 200 && fold.n_test == 40));
        }
        assert_ne!(found.assigned[0], found.assigned[1]);
        assert!(found.accuracy.spread.mean > 0.6 && found.baseline == 0.5);
        assert_eq!(found, run(&table, &FoldConfig { repeats: 3, ..FoldConfig::default() }));
    }

    #[test]
    fn copies_and_groups_on_both_sides_are_counted() {
        let mut table = clouds(200);
        let whole = run(&table, &FoldConfig { kind: SplitKind::StratifiedGrouped, ..FoldConfig::default() });
        assert_eq!(whole.n_straddling, 0);
        let cut = run(&table, &FoldConfig::default());
        assert!(cut.n_straddling > 100, "{}", cut.n_straddling);
        assert_eq!(cut.folds.iter().map(|fold| fold.n_leaked).sum::<usize>(), 0);
        for at in 0..20 {
            table.keys[at] = table.keys[100 + at];
        }
        let found = run(&table, &FoldConfig::default());
        assert_eq!(found.n_copies, 40);
        let leaked: usize = found.folds.iter().map(|fold| fold.n_leaked).sum();
        assert!((20..=40).contains(&leaked) && leaked.is_multiple_of(2), "{leaked}");
    }

    /// λ is chosen without a look at the rows it is judged on: exchanging the classes of the held-out rows changes no choice.
    #[test]
    fn the_held_out_rows_have_no_say_in_what_is_chosen() {
        let table = clouds(120);
        let found = run(&table, &FoldConfig { kind: SplitKind::Plain, seed: None, ..FoldConfig::default() });
        let mut turned = table.clone();
        for row in 0..120 {
            if found.assigned[0][row] == 2 {
                turned.target[row] = 1 - turned.target[row];
            }
        }
        let again = run(&turned, &FoldConfig { kind: SplitKind::Plain, seed: None, ..FoldConfig::default() });
        let (before, after) = (&found.folds[2], &again.folds[2]);
        assert_eq!((before.lambda, &before.inner_right), (after.lambda, &after.inner_right));
        assert_eq!(before.n_right + after.n_right, before.n_test);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let table = clouds(40);
        let wrong = |config: FoldConfig| {
            cross_validate(&table, &config, &mut |_, _| Control::Continue).unwrap_err().to_string()
        };
        let seedless = FoldConfig { repeats: 2, seed: None, ..FoldConfig::default() };
        assert_eq!(wrong(seedless), "expected a seed, for 2 repeats without shuffling would be the same");
        assert!(
            wrong(FoldConfig { lambdas: vec![-1.0], ..FoldConfig::default() }).starts_with("expected at least one λ")
        );
        assert_eq!(
            wrong(FoldConfig { folds: 41, ..FoldConfig::default() }),
            "expected 2 to 40 folds of 40 rows, found 41"
        );
    }
}
