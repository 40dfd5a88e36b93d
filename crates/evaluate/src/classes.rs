//! What a head told against what stands there.

use crate::{
    Bounds,
    statistics::{StatisticsError, wilson},
};

/// How often each class was told of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// Row by row: told (column) of those that are of the row's class.
    counts: Vec<Vec<u64>>,
}

/// k of n with its score interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    pub k: u64,
    pub n: u64,
    pub bounds: Bounds,
}

impl Share {
    /// Source of the interval: Wilson 1927.
    ///
    /// # Errors
    /// `Counts` where n is 0.
    pub fn new(k: u64, n: u64, level: f64) -> Result<Self, StatisticsError> {
        Ok(Self { k, n, bounds: wilson(k, n, level)? })
    }

    #[must_use]
    pub fn value(&self) -> f64 {
        self.k as f64 / self.n as f64
    }
}

impl Confusion {
    /// Of `n_classes`, from pairs of what stands there and what was told.
    #[must_use]
    pub fn new(n_classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut counts = vec![vec![0; n_classes]; n_classes];
        pairs.into_iter().for_each(|(class, told)| counts[class][told] += 1);
        Self { counts }
    }

    #[must_use]
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// Texts of each class.
    #[must_use]
    pub fn sizes(&self) -> Vec<u64> {
        self.counts.iter().map(|row| row.iter().sum()).collect()
    }

    /// (right, all)
    #[must_use]
    pub fn right(&self) -> (u64, u64) {
        ((0..self.counts.len()).map(|class| self.counts[class][class]).sum(), self.sizes().iter().sum())
    }

    /// The mean over classes of 2·k / (texts of the class + texts told to be of it); a class that neither stands there nor was told
    /// is left out, as scikit-learn does.
    #[must_use]
    pub fn macro_f1(&self) -> f64 {
        let told = |class: usize| self.counts.iter().map(|row| row[class]).sum::<u64>();
        let both = self.sizes().into_iter().enumerate().map(|(class, size)| (class, size + told(class)));
        let scores: Vec<f64> = both
            .filter(|(_, both)| *both > 0)
            .map(|(class, both)| 2.0 * self.counts[class][class] as f64 / both as f64)
            .collect();
        scores.iter().sum::<f64>() / scores.len().max(1) as f64
    }

    /// Share of each class that was told to be of it; nothing of a class without a text.
    ///
    /// # Errors
    /// `Level` outside (0, 1).
    pub fn recalls(&self, level: f64) -> Result<Vec<Option<Share>>, StatisticsError> {
        let sizes = self.sizes().into_iter().enumerate();
        sizes.map(|(class, n)| (n > 0).then(|| Share::new(self.counts[class][class], n, level)).transpose()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand.
    #[test]
    fn figures_are_those_of_the_definitions() {
        let confusion = Confusion::new(4, [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (2, 0)]);
        assert_eq!(confusion.right(), (3, 6));
        assert_eq!(confusion.sizes(), [3, 2, 1, 0]);
        // 4/7, 2/4, 0 of three classes; the fourth is nowhere.
        assert!((confusion.macro_f1() - (4.0 / 7.0 + 0.5) / 3.0).abs() < 1e-15, "{}", confusion.macro_f1());
        let recalls = confusion.recalls(0.95).unwrap();
        let found: Vec<Option<(u64, u64)>> =
            recalls.iter().map(|recall| recall.map(|share| (share.k, share.n))).collect();
        assert_eq!(found, [Some((2, 3)), Some((1, 2)), Some((0, 1)), None]);
        assert_eq!(Confusion::new(2, []).macro_f1(), 0.0);
    }
}
