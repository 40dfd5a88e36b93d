//! Gradient descent and its stochastic kin.
//!
//! **Gradient descent**: w ← w − η · g, with g over the whole corpus at each step. Source: Cauchy 1847.
//!
//! **SGD**: u ← μ · u + g; w ← w − η · u, with g over one batch. With Nesterov's correction the step is along g + μ · u.
//! Sources: Robbins and Monro 1951 for μ = 0; Sutskever et al. 2013, section 3, for momentum and for Nesterov's form, both as
//! PyTorch writes them, where η multiplies the sum.
//!
//! | symbol | field | range | default | whence |
//! |---|---|---|---|---|
//! | μ | `momentum` | 0 to below 1 | 0.9 | Sutskever et al. 2013 |
//! | | `nesterov` | yes or no | no | |

pub(super) fn descend(weights: &mut [f32], slopes: &[f32], rate: f32) {
    weights.iter_mut().zip(slopes).for_each(|(w, g)| *w -= rate * g);
}

pub(super) struct Sgd {
    pub(super) momentum: f32,
    pub(super) nesterov: bool,
    pub(super) rate: f32,
}

impl Sgd {
    pub(super) fn update(&self, weights: &mut [f32], velocity: &mut [f32], slopes: &[f32], scale: f32) {
        for ((w, u), g) in weights.iter_mut().zip(velocity).zip(slopes) {
            let g = scale * g;
            *u = self.momentum * *u + g;
            *w -= self.rate * if self.nesterov { g + self.momentum * *u } else { *u };
        }
    }
}
