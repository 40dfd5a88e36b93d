//! Lion: the sign of an interpolated momentum.
//!
//! c = β₁ · m + (1 − β₁) · g; w ← w − η · λ · w (matrices only); w ← w − η · sign(c); m ← β₂ · m + (1 − β₂) · g.
//! Source: Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2.
//!
//! | symbol | field | range | default | whence |
//! |---|---|---|---|---|
//! | β₁ | `beta1` | 0 to below 1 | 0.9 | Chen et al. 2023, algorithm 2 |
//! | β₂ | `beta2` | 0 to below 1 | 0.99 | the same |
//! | λ | `weight_decay` | 0 or more | 0.1 | 3 to 10 times that of AdamW at a tenth to a third of its η, section 5 there |

pub(super) struct Lion {
    pub(super) beta1: f64,
    pub(super) beta2: f64,
    pub(super) rate: f32,
}

impl Lion {
    pub(super) fn update(&self, weights: &mut [f32], momentum: &mut [f32], slopes: &[f32], keep: f32, scale: f32) {
        let (beta1, one_less_beta1) = (self.beta1 as f32, (1.0 - self.beta1) as f32);
        let (beta2, one_less_beta2) = (self.beta2 as f32, (1.0 - self.beta2) as f32);
        for ((w, m), g) in weights.iter_mut().zip(momentum).zip(slopes) {
            let g = scale * g;
            let c = beta1 * *m + one_less_beta1 * g;
            let sign = f32::from(i8::from(c > 0.0) - i8::from(c < 0.0));
            *w = keep * *w - self.rate * sign;
            *m = beta2 * *m + one_less_beta2 * g;
        }
    }
}
