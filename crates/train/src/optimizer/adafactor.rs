//! Adafactor: second moments of a matrix kept as one number a row and one a column.
//!
//! With ρₜ = min(η, 1/√t), αₜ = max(ε₂, rms(w)) · ρₜ and 1 − β₂ₜ = t^−γ: w ← w − η · λ · w (matrices only);
//! r ← β₂ₜ · r + (1 − β₂ₜ) · mean over columns of g²; c likewise over rows; v = r · c / mean(r), and for a vector the plain moving
//! average of g²; u = g / √max(v, ε₁²); w ← w − αₜ · u / max(1, rms(u) / d).
//! Source: Shazeer and Stern 2018, algorithms 4 and 6, with PyTorch's ε₁ in the root and its cap of ρₜ by the learning rate.
//!
//! | symbol | field | range | default | whence |
//! |---|---|---|---|---|
//! | γ | `beta2_decay` | 0 to below 1 | 0.8 | Shazeer and Stern 2018, section 7.2 |
//! | ε₁ | `eps` | over 0 | 2^−23, of f32 | PyTorch |
//! | ε₂ | `scale_floor` | over 0 | 1e-3 | Shazeer and Stern 2018, section 8 |
//! | d | `update_clip` | over 0 | 1 | section 6 there |
//! | λ | `weight_decay` | 0 or more | 0 | |

pub(super) struct Adafactor {
    pub(super) learning_rate: f64,
    pub(super) step: u64,
    pub(super) beta2_decay: f64,
    pub(super) eps: f64,
    pub(super) scale_floor: f64,
    pub(super) update_clip: f64,
}

impl Adafactor {
    fn one_less_beta2(&self) -> f32 {
        (self.step as f64).powf(-self.beta2_decay) as f32
    }

    /// A matrix of `rows.len()` rows and `columns.len()` columns.
    pub(super) fn matrix(
        &self,
        weights: &mut [f32],
        (rows, columns): (&mut [f32], &mut [f32]),
        slopes: &[f32],
        keep: f32,
        scale: f32,
    ) {
        let (n_rows, n_columns, new) = (rows.len(), columns.len(), self.one_less_beta2());
        let square = |g: &f32| f64::from(scale * g) * f64::from(scale * g);
        let mut sums = vec![0.0_f64; n_columns];
        for (row, slopes) in rows.iter_mut().zip(slopes.chunks_exact(n_columns)) {
            let sum: f64 = slopes.iter().map(square).sum();
            *row += new * ((sum / n_columns as f64) as f32 - *row);
            sums.iter_mut().zip(slopes).for_each(|(sum, g)| *sum += square(g));
        }
        for (column, sum) in columns.iter_mut().zip(&sums) {
            *column += new * ((sum / n_rows as f64) as f32 - *column);
        }
        let mean = (rows.iter().map(|&row| f64::from(row)).sum::<f64>() / n_rows as f64).max(self.eps) as f32;
        let variances = rows.iter().flat_map(|row| columns.iter().map(move |column| row * column / mean));
        self.apply(weights, variances, slopes, keep, scale);
    }

    pub(super) fn vector(&self, weights: &mut [f32], moment: &mut [f32], slopes: &[f32], keep: f32, scale: f32) {
        let new = self.one_less_beta2();
        for (v, g) in moment.iter_mut().zip(slopes) {
            let g = scale * g;
            *v += new * (g * g - *v);
        }
        self.apply(weights, moment.iter().copied(), slopes, keep, scale);
    }

    fn apply(&self, weights: &mut [f32], variances: impl Iterator<Item = f32>, slopes: &[f32], keep: f32, scale: f32) {
        let rho = self.learning_rate.min(1.0 / (self.step as f64).sqrt());
        let alpha = self.scale_floor.max(rms(weights)) * rho;
        let floor = (self.eps * self.eps) as f32;
        let update: Vec<f32> = variances.zip(slopes).map(|(v, g)| v.max(floor).sqrt().recip() * (scale * g)).collect();
        let rate = (alpha / (rms(&update) / self.update_clip).max(1.0)) as f32;
        weights.iter_mut().zip(&update).for_each(|(w, u)| *w = keep * *w - rate * u);
    }
}

fn rms(entries: &[f32]) -> f64 {
    let sum: f64 = entries.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / entries.len().max(1) as f64).sqrt()
}
