//! The learning rate over a run.

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    Constant,
    Linear,
    Cosine,
    /// Constant, then linear over the last `decay_steps`. Source: Hu et al. 2024 (MiniCPM), section 4.2; the linear fall is that of
    /// Hägele et al. 2024, section 3.
    StableDecay,
}

impl Decay {
    pub const ALL: [Self; 4] = [Self::Constant, Self::Linear, Self::Cosine, Self::StableDecay];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Linear => "linear",
            Self::Cosine => "cosine",
            Self::StableDecay => "warmup-stable-decay",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decay| decay.name() == name)
    }
}

/// Warm-up, then decay.
///
/// | symbol | field | range | default | whence |
/// |---|---|---|---|---|
/// | w | `warmup_steps` | 0 to steps | 0 | Goyal et al. 2017, section 2.2 |
/// | r | `min_ratio` | 0 to 1 | 0.1 | Hoffmann et al. 2022, section 3: decay to a tenth |
/// | d | `decay_steps` | 0 to steps | 0 | of `StableDecay` alone; a fifth of the steps in Hägele et al. 2024 |
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    pub decay: Decay,
    pub warmup_steps: u64,
    pub min_ratio: f64,
    pub decay_steps: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { decay: Decay::Cosine, warmup_steps: 0, min_ratio: 0.1, decay_steps: 0 }
    }
}

impl Schedule {
    /// The learning rate of `step` (1 to `n_steps`), with `peak` the rate at the end of the warm-up.
    ///
    /// For step s up to w: peak · s / w. After it, with p = (s − 1 − w) / (n − w) and f the decay
    /// (1, 1 − p, or (1 + cos πp) / 2): peak · (r + (1 − r) · f), and the constant decay is peak. The stable decay is linear with
    /// p = (s − 1 − n + d) / d, peak where that is negative.
    /// Pure, in f64. Source: Loshchilov and Hutter 2017 (SGDR), equation 5, for the cosine.
    #[must_use]
    pub fn learning_rate(&self, peak: f64, step: u64, n_steps: u64) -> f64 {
        if step <= self.warmup_steps {
            return peak * step as f64 / self.warmup_steps as f64;
        }
        let begin = match self.decay {
            Decay::StableDecay => n_steps.saturating_sub(self.decay_steps).max(self.warmup_steps),
            _ => self.warmup_steps,
        };
        let n_decaying = n_steps.saturating_sub(begin).max(1);
        let progress = ((step - 1).saturating_sub(begin) as f64 / n_decaying as f64).min(1.0);
        let fall = match self.decay {
            Decay::Constant => return peak,
            Decay::Linear | Decay::StableDecay => 1.0 - progress,
            Decay::Cosine => f64::midpoint(1.0, (std::f64::consts::PI * progress).cos()),
        };
        peak * (self.min_ratio + (1.0 - self.min_ratio) * fall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values worked by hand from the formula.
    #[test]
    fn rates_are_those_of_the_formula() {
        let table = [
            (Decay::Constant, 0, 0.1, 1, 1.0),
            (Decay::Constant, 4, 0.1, 1, 0.25),
            (Decay::Constant, 4, 0.1, 4, 1.0),
            (Decay::Constant, 4, 0.1, 99, 1.0),
            (Decay::Linear, 0, 0.0, 1, 1.0),
            (Decay::Linear, 0, 0.0, 51, 0.5),
            (Decay::Linear, 0, 0.2, 51, 0.6),
            (Decay::Cosine, 0, 0.0, 51, 0.5),
            (Decay::Cosine, 20, 0.1, 61, 0.55),
            (Decay::Cosine, 20, 0.1, 21, 1.0),
            // cos(π · 79/80) = −0.99922904; 0.1 + 0.9 · (1 − 0.99922904) / 2
            (Decay::Cosine, 20, 0.1, 100, 0.100_346_93),
            (Decay::StableDecay, 10, 0.1, 5, 0.5),
            (Decay::StableDecay, 10, 0.1, 81, 1.0),
            (Decay::StableDecay, 10, 0.1, 91, 0.55),
            (Decay::StableDecay, 0, 0.0, 100, 0.05),
        ];
        for (decay, warmup_steps, min_ratio, step, expected) in table {
            let schedule = Schedule { decay, warmup_steps, min_ratio, decay_steps: 20 };
            let rate = schedule.learning_rate(1.0, step, 100);
            assert!((rate - expected).abs() < 1e-8, "{decay:?} {warmup_steps} {min_ratio} {step}: {rate}");
        }
    }

    proptest::proptest! {
        #[test]
        fn rates_rise_in_the_warm_up_and_never_after_it(kind in 0_usize..4, warmup_steps in 0_u64..40, min_ratio in 0.0..=1.0_f64) {
            let schedule = Schedule { decay: Decay::ALL[kind], warmup_steps, min_ratio, decay_steps: 15 };
            let rates: Vec<f64> = (1..=60).map(|step| schedule.learning_rate(3e-4, step, 60)).collect();
            for (position, pair) in rates.windows(2).enumerate() {
                let rising = (position as u64) + 2 <= warmup_steps;
                let holds = if rising { pair[1] > pair[0] } else { pair[1] <= pair[0] };
                proptest::prop_assert!(holds, "position {}", position);
            }
            let least = if warmup_steps > 0 { 0.0 } else { 3e-4 * min_ratio * (1.0 - 1e-12) };
            proptest::prop_assert!(rates.iter().all(|&rate| rate >= least && rate <= 3e-4));
        }
    }

    #[test]
    fn names_round_trip() {
        assert!(Decay::ALL.iter().all(|&decay| Decay::from_name(decay.name()) == Some(decay)));
        assert_eq!(Decay::from_name("Cosine"), None);
    }
}
