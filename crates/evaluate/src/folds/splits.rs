//! Folds: disjoint, covering, and by scikit-learn's rules, so that without shuffling they are its folds.

use evidence::Digest;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use std::collections::BTreeMap;

/// How rows are dealt to folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitKind {
    /// In the order of the rows.
    Plain,
    /// Each fold has its part of every stratum.
    Stratified,
    /// Groups stay whole.
    Grouped,
    /// Both, as far as groups allow.
    StratifiedGrouped,
}

impl SplitKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "k-fold",
            Self::Stratified => "stratified",
            Self::Grouped => "grouped",
            Self::StratifiedGrouped => "stratified-grouped",
        }
    }
}

/// Why rows cannot be cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    #[error("expected 2 to {rows} folds of {rows} rows, found {folds}")]
    Folds { folds: usize, rows: usize },
    #[error("expected at least {folds} groups, one a fold, found {groups}")]
    Groups { folds: usize, groups: usize },
    #[error("every stratum has fewer rows than the {folds} folds; the largest has {largest}")]
    Strata { folds: usize, largest: usize },
    #[error("expected a stratum and a group of each of {rows} rows, found {strata} and {groups}")]
    Lengths { rows: usize, strata: usize, groups: usize },
}

/// The fold of each row, 0 to `folds` − 1.
///
/// Shapes: `strata` (N,), `groups` (N,) or empty. Without `seed` nothing is shuffled, and folds are those of scikit-learn's
/// `KFold`, `StratifiedKFold`, `GroupKFold` and `StratifiedGroupKFold`, but for the order of groups of equal size, which is
/// by name here. With a seed rows (or groups) are shuffled first, drawn from ChaCha20.
///
/// # Errors
/// `SplitError`.
pub fn split(
    kind: SplitKind,
    strata: &[String],
    groups: &[String],
    folds: usize,
    seed: Option<u64>,
) -> Result<Vec<usize>, SplitError> {
    let n = strata.len();
    let needs_groups = matches!(kind, SplitKind::Grouped | SplitKind::StratifiedGrouped);
    if needs_groups && groups.len() != n {
        return Err(SplitError::Lengths { rows: n, strata: n, groups: groups.len() });
    }
    if folds < 2 || folds > n {
        return Err(SplitError::Folds { folds, rows: n });
    }
    let mut random = seed.map(|seed| {
        let key = Digest::of(format!("assize folds {} {seed}", kind.name()).as_bytes());
        ChaCha20Rng::from_seed(*key.as_bytes())
    });
    match kind {
        SplitKind::Plain => Ok(plain(n, folds, random.as_mut())),
        SplitKind::Stratified => stratified(strata, folds, random.as_mut()),
        SplitKind::Grouped => grouped(groups, folds, random.as_mut()),
        SplitKind::StratifiedGrouped => stratified_grouped(strata, groups, folds, random.as_mut()),
    }
}

fn shuffle<T>(items: &mut [T], random: &mut ChaCha20Rng) {
    for at in (1..items.len()).rev() {
        // The bias is below items/2^64.
        items.swap(at, (random.next_u64() % (at as u64 + 1)) as usize);
    }
}

fn plain(n: usize, folds: usize, random: Option<&mut ChaCha20Rng>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    if let Some(random) = random {
        shuffle(&mut order, random);
    }
    let (mut of, mut start) = (vec![0; n], 0);
    for fold in 0..folds {
        let size = n / folds + usize::from(fold < n % folds);
        order[start..start + size].iter().for_each(|&row| of[row] = fold);
        start += size;
    }
    of
}

/// Classes by first appearance, and the class of each row.
fn by_appearance(names: &[String]) -> (usize, Vec<usize>) {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let mut of = Vec::with_capacity(names.len());
    for name in names {
        let next = known.len();
        of.push(*known.entry(name).or_insert(next));
    }
    (known.len(), of)
}

fn stratified(strata: &[String], folds: usize, mut random: Option<&mut ChaCha20Rng>) -> Result<Vec<usize>, SplitError> {
    let (n_classes, of) = by_appearance(strata);
    let mut counts = vec![0; n_classes];
    of.iter().for_each(|&class| counts[class] += 1);
    let largest = counts.iter().copied().max().unwrap_or(0);
    if largest < folds {
        return Err(SplitError::Strata { folds, largest });
    }
    // The labels in order; fold i takes every K-th from i.
    let mut sorted = of.clone();
    sorted.sort_unstable();
    let mut allocation = vec![vec![0; folds]; n_classes];
    for (at, &class) in sorted.iter().enumerate() {
        allocation[class][at % folds] += 1;
    }
    let mut dealt: Vec<Vec<usize>> = Vec::with_capacity(n_classes);
    for by_fold in allocation {
        let mut blocks: Vec<usize> =
            by_fold.into_iter().enumerate().flat_map(|(fold, n)| std::iter::repeat_n(fold, n)).collect();
        if let Some(random) = random.as_deref_mut() {
            shuffle(&mut blocks, random);
        }
        blocks.reverse();
        dealt.push(blocks);
    }
    Ok(of.iter().map(|&class| dealt[class].pop().unwrap_or(0)).collect())
}

fn grouped(groups: &[String], folds: usize, random: Option<&mut ChaCha20Rng>) -> Result<Vec<usize>, SplitError> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    groups.iter().for_each(|group| *sizes.entry(group).or_insert(0) += 1);
    if sizes.len() < folds {
        return Err(SplitError::Groups { folds, groups: sizes.len() });
    }
    let mut order: Vec<(&str, usize)> = sizes.into_iter().collect();
    if let Some(random) = random {
        shuffle(&mut order, random);
    }
    // Largest first; of equals the later name, as NumPy's reversed argsort has them where it sorts stably.
    order.sort_by_key(|(_, size)| *size);
    order.reverse();
    let (mut load, mut fold_of) = (vec![0; folds], BTreeMap::new());
    for (group, size) in order {
        let lightest = (1..folds).fold(0, |best, fold| if load[fold] < load[best] { fold } else { best });
        load[lightest] += size;
        fold_of.insert(group, lightest);
    }
    Ok(groups.iter().filter_map(|group| fold_of.get(group.as_str()).copied()).collect())
}

fn stratified_grouped(
    strata: &[String],
    groups: &[String],
    folds: usize,
    random: Option<&mut ChaCha20Rng>,
) -> Result<Vec<usize>, SplitError> {
    let (classes, of) = super::table::numbered(strata);
    let (names, group_of) = super::table::numbered(groups);
    if names.len() < folds {
        return Err(SplitError::Groups { folds, groups: names.len() });
    }
    let (mut counts, mut totals) = (vec![vec![0.0; classes.len()]; names.len()], vec![0.0; classes.len()]);
    for (&class, &group) in of.iter().zip(&group_of) {
        counts[group][class] += 1.0;
        totals[class] += 1.0;
    }
    let largest = totals.iter().copied().fold(0.0, f64::max);
    if largest < folds as f64 {
        return Err(SplitError::Strata { folds, largest: largest as usize });
    }
    let mut order: Vec<usize> = (0..names.len()).collect();
    if let Some(random) = random {
        shuffle(&mut order, random);
    }
    // Groups whose classes are least even first; the sort is stable.
    order.sort_by(|&left, &right| deviation(&counts[right]).total_cmp(&deviation(&counts[left])));
    let (mut held, mut fold_of) = (vec![vec![0.0; classes.len()]; folds], vec![0; names.len()]);
    for group in order {
        let fold = best_fold(&held, &counts[group], &totals);
        held[fold].iter_mut().zip(&counts[group]).for_each(|(held, count)| *held += count);
        fold_of[group] = fold;
    }
    Ok(group_of.into_iter().map(|group| fold_of[group]).collect())
}

/// The fold in which the group leaves the shares of the classes most even over folds; of equals the one with fewest rows.
fn best_fold(held: &[Vec<f64>], group: &[f64], totals: &[f64]) -> usize {
    let (mut best, mut least, mut fewest) = (0, f64::INFINITY, f64::INFINITY);
    for fold in 0..held.len() {
        let share = |other: usize, class: usize| {
            (held[other][class] + if other == fold { group[class] } else { 0.0 }) / totals[class]
        };
        let of_class = |class: usize| deviation(&(0..held.len()).map(|other| share(other, class)).collect::<Vec<_>>());
        let score = (0..totals.len()).map(of_class).sum::<f64>() / totals.len() as f64;
        let rows: f64 = held[fold].iter().sum();
        // NumPy's isclose, by which scikit-learn calls two scores equal.
        let is_equal = (score - least).abs() <= 1e-8 + 1e-5 * least.abs() && least.is_finite();
        if score < least || (is_equal && rows < fewest) {
            (best, least, fewest) = (fold, score, rows);
        }
    }
    best
}

/// Divisor N.
fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// Expected: scikit-learn 1.9.1 by `tests/fixtures/folds.py`, section `splits`.
    #[test]
    fn unshuffled_folds_are_those_of_scikit_learn() {
        let fixture = include_str!("../../tests/fixtures/folds.json");
        let fixture: serde_json::Value = serde_json::from_str(fixture).unwrap();
        let texts = |value: &serde_json::Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
        };
        let mut n = 0;
        for case in fixture["splits"].as_array().unwrap() {
            let kind = [SplitKind::Plain, SplitKind::Stratified, SplitKind::Grouped, SplitKind::StratifiedGrouped];
            let kind = kind.into_iter().find(|kind| kind.name() == case["kind"]).unwrap();
            let folds = case["folds"].as_u64().unwrap() as usize;
            let found = split(kind, &texts(&case["strata"]), &texts(&case["groups"]), folds, None).unwrap();
            let expected: Vec<usize> =
                case["expected"].as_array().unwrap().iter().map(|fold| fold.as_u64().unwrap() as usize).collect();
            assert_eq!(found, expected, "{} in {folds}", kind.name());
            n += 1;
        }
        assert!(n >= 12, "{n}");
    }

    proptest::proptest! {
        /// Every row in one fold, every fold with rows, groups whole, sizes within one where nothing but their number counts.
        #[test]
        fn folds_are_disjoint_and_cover(
            rows in proptest::collection::vec((0_u8..3, 0_u8..12), 12..80), folds in 2_usize..5, seed in 0_u64..9,
        ) {
            let strata: Vec<String> = rows.iter().map(|(class, _)| class.to_string()).collect();
            let groups: Vec<String> = rows.iter().map(|(_, group)| group.to_string()).collect();
            for kind in [SplitKind::Plain, SplitKind::Stratified, SplitKind::Grouped, SplitKind::StratifiedGrouped] {
                let Ok(of) = split(kind, &strata, &groups, folds, Some(seed)) else { continue };
                proptest::prop_assert_eq!(of.len(), rows.len());
                let mut sizes = vec![0; folds];
                of.iter().for_each(|&fold| sizes[fold] += 1);
                if matches!(kind, SplitKind::Plain | SplitKind::Stratified) {
                    let (least, largest) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                    let slack = if kind == SplitKind::Plain { 1 } else { 3 };
                    proptest::prop_assert!(*least > 0 && largest - least <= slack);
                } else {
                    for (at, other) in (0..rows.len()).flat_map(|at| (0..at).map(move |other| (at, other))) {
                        proptest::prop_assert!(groups[at] != groups[other] || of[at] == of[other]);
                    }
                }
                proptest::prop_assert_eq!(&of, &split(kind, &strata, &groups, folds, Some(seed)).unwrap());
            }
        }
    }

    #[test]
    fn rows_that_cannot_be_cut_are_said() {
        let strata = names(&["a", "b", "a", "b"]);
        assert_eq!(split(SplitKind::Plain, &strata, &[], 5, None), Err(SplitError::Folds { folds: 5, rows: 4 }));
        assert_eq!(
            split(SplitKind::Stratified, &strata, &[], 3, None),
            Err(SplitError::Strata { folds: 3, largest: 2 })
        );
        let groups = names(&["x", "x", "y", "y"]);
        assert_eq!(
            split(SplitKind::Grouped, &strata, &groups, 3, None),
            Err(SplitError::Groups { folds: 3, groups: 2 })
        );
    }
}
