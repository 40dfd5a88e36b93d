//! Two models of one shape become one.

use crate::Tensors;
use candle_core::{Device, Tensor};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// (1 − t)·a + t·b. Source: Wortsman et al. 2022 (model soups).
    Linear,
    /// Along the arc between the two, tensor by tensor: sin((1 − t)Ω)/sin Ω · a + sin(tΩ)/sin Ω · b with Ω the angle between
    /// them. Source: Shoemake 1985, equation 3.
    Slerp,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    pub method: Method,
    /// t in [0, 1]: 0 is the first model, 1 the second.
    pub share: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error("expected a share from 0 to 1, found {0}")]
    Share(f64),
    #[error("`{name}` stands in one model only; the two are not of one family and size")]
    OnlyOne { name: String },
    #[error("`{name}` is of shape {first:?} in the first model and {second:?} in the second; they must be of one size")]
    Shape { name: String, first: Vec<usize>, second: Vec<usize> },
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Below this angle the arc is a line: sin Ω is then lost in rounding.
const ANGLE_MIN: f64 = 1e-4;

/// The model between two, tensor by tensor. Sums in f64. Deterministic.
///
/// # Errors
/// `Share`, `OnlyOne`, `Shape`.
pub fn merge(config: &Config, first: &Tensors, second: &Tensors) -> Result<Tensors, MergeError> {
    if !(0.0..=1.0).contains(&config.share) {
        return Err(MergeError::Share(config.share));
    }
    if let Some(name) = second.keys().find(|name| !first.contains_key(*name)) {
        return Err(MergeError::OnlyOne { name: name.clone() });
    }
    let mut merged = Tensors::new();
    for (name, a) in first {
        let b = second.get(name).ok_or_else(|| MergeError::OnlyOne { name: name.clone() })?;
        if a.dims() != b.dims() {
            let (first, second) = (a.dims().to_vec(), b.dims().to_vec());
            return Err(MergeError::Shape { name: name.clone(), first, second });
        }
        let (x, y) = (a.flatten_all()?.to_vec1::<f32>()?, b.flatten_all()?.to_vec1::<f32>()?);
        let [wa, wb] = weights(config, &x, &y);
        let mixed: Vec<f32> = x.iter().zip(&y).map(|(x, y)| (wa * f64::from(*x) + wb * f64::from(*y)) as f32).collect();
        merged.insert(name.clone(), Tensor::from_vec(mixed, a.shape(), &Device::Cpu)?);
    }
    Ok(merged)
}

fn weights(config: &Config, x: &[f32], y: &[f32]) -> [f64; 2] {
    let t = config.share;
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let norms = (dot(x, x) * dot(y, y)).sqrt();
    let angle = if norms > 0.0 { (dot(x, y) / norms).clamp(-1.0, 1.0).acos() } else { 0.0 };
    // Opposite tensors have no arc of their own; the line is taken there as well.
    let is_line = config.method == Method::Linear || !(ANGLE_MIN..=std::f64::consts::PI - ANGLE_MIN).contains(&angle);
    if is_line { [1.0 - t, t] } else { [((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(values: &[f32]) -> Tensors {
        Tensors::from([("w".to_owned(), Tensor::new(values, &Device::Cpu).unwrap())])
    }

    fn check(method: Method, share: f64, expected: &[f32]) {
        let merged = merge(&Config { method, share }, &one(&[2.0, 0.0]), &one(&[0.0, 2.0])).unwrap();
        let found = merged["w"].to_vec1::<f32>().unwrap();
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6), "{method:?} {share}: {found:?}");
    }

    /// Between two vectors at a right angle the arc keeps the length 2, the line does not.
    #[test]
    fn slerp_keeps_the_length_and_the_line_does_not() {
        let side = 2.0_f32.sqrt();
        for (method, share, expected) in [
            (Method::Linear, 0.0, [2.0, 0.0]),
            (Method::Linear, 0.25, [1.5, 0.5]),
            (Method::Slerp, 1.0, [0.0, 2.0]),
            (Method::Slerp, 0.5, [side, side]),
            (Method::Slerp, 1.0 / 3.0, [3.0_f32.sqrt(), 1.0]),
        ] {
            check(method, share, &expected);
        }
    }

    #[test]
    fn models_of_other_shapes_are_named() {
        let config = Config { method: Method::Linear, share: 0.5 };
        let error = merge(&config, &one(&[1.0]), &one(&[1.0, 2.0])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`w` is of shape [1] in the first model and [2] in the second; they must be of one size"
        );
        let error = merge(&Config { share: 1.5, ..config }, &one(&[1.0]), &one(&[1.0])).unwrap_err();
        assert_eq!(error.to_string(), "expected a share from 0 to 1, found 1.5");
    }
}
