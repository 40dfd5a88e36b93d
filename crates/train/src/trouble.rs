//! Signs that a run goes wrong. They are told to the observer, who says what is done about them.

use std::collections::VecDeque;

/// What went wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// The loss or the gradient is not a finite number: the step cannot be taken.
    NotFinite { quantity: &'static str },
    /// The loss of a step lies far above those before it; nats per token.
    Spike { loss_nats: f64, mean_nats: f64 },
    /// The loss has risen well above the best it had reached, both as means over the window; nats per token.
    Divergence { mean_nats: f64, best_nats: f64 },
    /// No batch came.
    Loader { reason: String },
}

impl Trouble {
    /// The name a case file uses.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotFinite { .. } => "not-finite",
            Self::Spike { .. } => "spike",
            Self::Divergence { .. } => "divergence",
            Self::Loader { .. } => "loader",
        }
    }
}

/// When a loss is told of.
///
/// | field | unit | range | default | whence |
/// |---|---|---|---|---|
/// | `window` | steps | 2 or more | 20 | ours |
/// | `spike_sigmas` | standard deviations of the window above its mean, and at least a tenth of the mean | over 0 | 6 | ours |
/// | `divergence_nats` | nats per token above the best window | over 0 | 1 | ours |
///
/// What is done about spikes elsewhere: Chowdhery et al. 2022 (PaLM), section 5.1, go back about 100 steps and leave out 200 to 500
/// batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watch {
    pub window: usize,
    pub spike_sigmas: f64,
    pub divergence_nats: f64,
}

impl Default for Watch {
    fn default() -> Self {
        Self { window: 20, spike_sigmas: 6.0, divergence_nats: 1.0 }
    }
}

/// The losses a watch remembers. A function of the losses alone, so that a run taken up again is told the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    last: VecDeque<f64>,
    best_mean: Option<f64>,
    was_diverged: bool,
}

impl Memory {
    /// Takes note of a loss whose step is taken.
    pub(crate) fn take(&mut self, watch: &Watch, loss: f64) {
        self.last.push_back(loss);
        if self.last.len() > watch.window {
            self.last.pop_front();
        }
        if self.last.len() == watch.window {
            let mean = mean(&self.last);
            self.was_diverged = self.best_mean.is_some_and(|best| mean > best + watch.divergence_nats);
            self.best_mean = Some(self.best_mean.map_or(mean, |best| best.min(mean)));
        }
    }

    /// What a loss says, before its step is taken.
    pub(crate) fn trouble(&self, watch: &Watch, loss: f64) -> Option<Trouble> {
        if self.last.len() < watch.window.max(2) {
            return None;
        }
        let (n, mean_nats) = (self.last.len() as f64, mean(&self.last));
        let variance = self.last.iter().map(|x| (x - mean_nats).powi(2)).sum::<f64>() / (n - 1.0);
        let allowed = (watch.spike_sigmas * variance.sqrt()).max(0.1 * mean_nats.abs());
        if loss > mean_nats + allowed {
            return Some(Trouble::Spike { loss_nats: loss, mean_nats });
        }
        let next = mean_nats + (loss - self.last.front().copied().unwrap_or(loss)) / n;
        let best_nats = self.best_mean?;
        // Told once, when the mean crosses; again only after it has come back.
        let is_new = !self.was_diverged && next > best_nats + watch.divergence_nats;
        is_new.then_some(Trouble::Divergence { mean_nats: next, best_nats })
    }
}

fn mean(losses: &VecDeque<f64>) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(losses: &[f64]) -> Vec<(usize, &'static str)> {
        let watch = Watch { window: 4, ..Watch::default() };
        let mut memory = Memory::default();
        let mut told = Vec::new();
        for (at, &loss) in losses.iter().enumerate() {
            told.extend(memory.trouble(&watch, loss).map(|trouble| (at, trouble.name())));
            memory.take(&watch, loss);
        }
        told
    }

    #[test]
    fn spikes_and_divergence_are_told_once_and_falls_never() {
        assert_eq!(told(&[5.0, 4.0, 3.5, 3.2, 3.1, 3.0, 2.9, 2.9, 2.8]), []);
        assert_eq!(told(&[3.0, 3.01, 2.99, 3.0, 3.5, 3.0]), [(4, "spike")]);
        // A slow rise is no spike; the mean of four passes that of the best four by one nat at the sixth step after them.
        assert_eq!(told(&[3.0, 3.0, 3.0, 3.0, 3.28, 3.6, 3.9, 4.2, 4.5, 4.9, 5.3]), [(8, "divergence")]);
    }
}
