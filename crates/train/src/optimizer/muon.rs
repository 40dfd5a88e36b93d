//! Muon: momentum, made orthogonal, for the matrices inside the layers; the embedding, the head and vectors go by AdamW.
//!
//! u ← u + (1 − μ) · (g − u); d = g + μ · (u − g), Nesterov's form; X = d / max(‖d‖, ε), its shorter side first; five times
//! X ← a · X + (b · A + c · A²) · X with A = X · Xᵀ and (a, b, c) = (3.4445, −4.7750, 2.0315), which drives every singular value
//! towards 1; w ← w − η · λ · w; w ← w − 0.2 · √max(rows, columns) · η · X.
//!
//! Sources: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", for the iteration and its
//! coefficients; Liu et al. 2025, "Muon is scalable for LLM training", section 2.2, for the factor that makes the steps as long as
//! AdamW's, so that one learning rate serves both. The iteration is in f32, not in bfloat16.
//!
//! | symbol | field | range | default | whence |
//! |---|---|---|---|---|
//! | μ | `momentum` | 0 to below 1 | 0.95 | Jordan et al. 2024 |
//! | λ | `weight_decay` | 0 or more | 0.1 | Liu et al. 2025 |
//! | β₁, β₂, ε | `beta1`, `beta2`, `eps` | as AdamW's | 0.9, 0.95, 1e-8 | of AdamW, for the rest |

use candle_core::{Device, Tensor};

const COEFFICIENTS: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);
const N_ITERATIONS: usize = 5;
const NORM_MIN: f64 = 1e-7;

pub(super) struct Muon {
    pub(super) momentum: f64,
    pub(super) learning_rate: f64,
}

/// Whether a parameter is one of the matrices inside the layers.
pub(super) fn takes(name: &str, dims: &[usize]) -> bool {
    dims.len() == 2 && !name.contains("embed") && !name.contains("head") && !name.contains("score")
}

impl Muon {
    pub(super) fn update(
        &self,
        weights: &mut [f32],
        momentum: &mut [f32],
        slopes: &[f32],
        (rows, columns): (usize, usize),
        keep: f32,
        scale: f32,
    ) -> candle_core::Result<()> {
        let (mu, new) = (self.momentum as f32, (1.0 - self.momentum) as f32);
        let direction: Vec<f32> = momentum
            .iter_mut()
            .zip(slopes)
            .map(|(u, g)| {
                let g = scale * g;
                *u += new * (g - *u);
                // lerp from the nearer end, as PyTorch does it.
                if mu < 0.5 { g + mu * (*u - g) } else { *u - (*u - g) * (1.0 - mu) }
            })
            .collect();
        let direction = orthogonal(direction, rows, columns)?;
        let rate = (0.2 * (rows.max(columns) as f64).sqrt() * self.learning_rate) as f32;
        weights.iter_mut().zip(&direction).for_each(|(w, d)| *w = keep * *w - rate * d);
        Ok(())
    }
}

/// Near U · Vᵀ of the singular value decomposition U · S · Vᵀ; row-major both ways.
fn orthogonal(entries: Vec<f32>, rows: usize, columns: usize) -> candle_core::Result<Vec<f32>> {
    let norm = entries.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt().max(NORM_MIN);
    let x = Tensor::from_vec(entries, (rows, columns), &Device::Cpu)?;
    let turn = |x: &Tensor| if rows > columns { x.t()?.contiguous() } else { Ok(x.clone()) };
    let mut x = (turn(&x)? / norm)?;
    let (a, b, c) = COEFFICIENTS;
    for _ in 0..N_ITERATIONS {
        let gram = x.matmul(&x.t()?)?;
        let update = ((&gram * b)? + (gram.matmul(&gram)? * c)?)?;
        x = ((&x * a)? + update.matmul(&x)?)?;
    }
    turn(&x)?.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The iteration brings singular values near 1 and no nearer: Jordan et al. 2024 give about 0.7 to 1.2. Of a rotation scaled by
    /// 7 both are equal, so the result is the rotation times one such number.
    #[test]
    fn directions_are_made_orthogonal() {
        let (sine, cosine) = 0.7_f64.sin_cos();
        let turned = [cosine, -sine, sine, cosine].map(|x| (7.0 * x) as f32);
        let found = orthogonal(turned.to_vec(), 2, 2).unwrap();
        let length = f64::from(found[0]).hypot(f64::from(found[2]));
        assert!((0.65..1.25).contains(&length), "{length}");
        assert!(
            (f64::from(found[0]) - cosine * length).abs() < 1e-6 && (f64::from(found[2]) - sine * length).abs() < 1e-6
        );
        // Both orders of the sides: the transpose of one is the other.
        let tall: Vec<f32> = (0..8_u8).map(|i| f32::from(i * i % 5) - 2.0).collect();
        let wide: Vec<f32> = (0..8).map(|at| tall[at % 4 * 2 + at / 4]).collect();
        let (tall, wide) = (orthogonal(tall, 4, 2).unwrap(), orthogonal(wide, 2, 4).unwrap());
        assert!((0..8).all(|at| (wide[at] - tall[at % 4 * 2 + at / 4]).abs() < 1e-6), "{tall:?} {wide:?}");
    }

    #[test]
    fn only_the_matrices_inside_the_layers_are_taken() {
        for (name, dims, taken) in [
            ("model.layers.0.self_attn.q_proj.weight", &[4, 4][..], true),
            ("model.layers.0.input_layernorm.weight", &[4], false),
            ("model.embed_tokens.weight", &[9, 4], false),
            ("score.weight", &[3, 4], false),
            ("lm_head.weight", &[9, 4], false),
        ] {
            assert_eq!(takes(name, dims), taken, "{name}");
        }
    }
}
