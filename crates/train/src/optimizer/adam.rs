//! Adam, and Adam with decoupled weight decay.
//!
//! m ← β₁ · m + (1 − β₁) · g; v ← β₂ · v + (1 − β₂) · g²; w ← w − η / (1 − β₁ᵗ) · m / (√(v / (1 − β₂ᵗ)) + ε).
//! **Adam**: Kingma and Ba 2015, algorithm 1; a penalty of the objective is in g.
//! **AdamW**: first w ← w − η · λ · w (matrices only). Loshchilov and Hutter 2019, "Decoupled weight decay regularization",
//! algorithm 2.
//!
//! | symbol | field | range | default | whence |
//! |---|---|---|---|---|
//! | β₁ | `beta1` | 0 to below 1 | 0.9 | Kingma and Ba 2015 |
//! | β₂ | `beta2` | 0 to below 1 | 0.999 (Adam), 0.95 (AdamW) | Kingma and Ba 2015; Touvron et al. 2023, section 2.3 |
//! | ε | `eps` | over 0 | 1e-8 | Kingma and Ba 2015 |
//! | λ | `weight_decay` | 0 or more | 0.1 (AdamW) | Touvron et al. 2023, section 2.3 |

/// The scalars of one step.
pub(super) struct Rates {
    beta1: f32,
    one_less_beta1: f32,
    beta2: f32,
    one_less_beta2: f32,
    /// η / (1 − β₁ᵗ)
    rate: f32,
    /// 1 / √(1 − β₂ᵗ)
    root_correction: f32,
    eps: f32,
}

impl Rates {
    pub(super) fn at(step: u64, learning_rate: f64, beta1: f64, beta2: f64, eps: f64) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            beta1: beta1 as f32,
            one_less_beta1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            one_less_beta2: (1.0 - beta2) as f32,
            rate: (learning_rate / correction(beta1)) as f32,
            root_correction: correction(beta2).sqrt().recip() as f32,
            eps: eps as f32,
        }
    }

    /// `keep` is 1 − η · λ.
    pub(super) fn update(
        &self,
        weights: &mut [f32],
        m: &mut [f32],
        v: &mut [f32],
        slopes: &[f32],
        keep: f32,
        scale: f32,
    ) {
        for (((w, m), v), g) in weights.iter_mut().zip(m).zip(v).zip(slopes) {
            let g = scale * g;
            *m = self.beta1 * *m + self.one_less_beta1 * g;
            *v = self.beta2 * *v + self.one_less_beta2 * g * g;
            *w = keep * *w - self.rate * *m / (v.sqrt() * self.root_correction + self.eps);
        }
    }
}
