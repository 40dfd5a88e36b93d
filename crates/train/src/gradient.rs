//! The gradient of J, by parameter name: gathered over chunks, penalised, measured and clipped.

use crate::{groups, objective::Penalty, slices::with_entries};
use candle_core::{Var, backprop::GradStore};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// One buffer a parameter, in the order of the names, kept from step to step.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradient {
    by_name: BTreeMap<String, Vec<f32>>,
}

#[derive(Debug, thiserror::Error)]
pub enum GradientError {
    #[error("the objective does not depend on parameter `{0}`")]
    Unused(String),
    #[error("the tensor engine failed in the gradient")]
    Engine(#[from] candle_core::Error),
}

impl Gradient {
    /// Zero for every parameter.
    #[must_use]
    pub fn zeros(parameters: &BTreeMap<String, Var>) -> Self {
        Self { by_name: parameters.iter().map(|(name, var)| (name.clone(), vec![0.0; var.elem_count()])).collect() }
    }

    #[must_use]
    pub const fn by_name(&self) -> &BTreeMap<String, Vec<f32>> {
        &self.by_name
    }

    /// Where a pass adds what it finds.
    pub(crate) const fn by_name_mut(&mut self) -> &mut BTreeMap<String, Vec<f32>> {
        &mut self.by_name
    }

    /// Brings every entry to within ±`limit`. Source: Mikolov 2012, "Statistical language models based on neural networks",
    /// section 3.2.2.
    pub fn clip_values(&mut self, limit: f64) {
        let limit = limit as f32;
        // A NaN stays one, and is found in the norm.
        self.by_name.values_mut().flatten().for_each(|slope| *slope = slope.clamp(-limit, limit));
    }

    pub fn clear(&mut self) {
        self.by_name.par_iter_mut().for_each(|(_, sum)| sum.fill(0.0));
    }

    /// Adds what backward passes found, entry by entry, in f32, one pass after the other in the order given.
    ///
    /// Deterministic: names are spread over threads, the sum of one entry never is.
    ///
    /// # Errors
    /// `Unused` when a parameter has no gradient.
    pub fn add(&mut self, parameters: &BTreeMap<String, Var>, found: &[GradStore]) -> Result<(), GradientError> {
        self.by_name.par_iter_mut().try_for_each(|(name, sum)| {
            for found in found {
                let slopes = parameters.get(name).and_then(|var| found.get(var));
                let slopes = slopes.ok_or_else(|| GradientError::Unused(name.clone()))?;
                with_entries(slopes, |slopes| sum.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope))?;
            }
            Ok(())
        })
    }

    /// Adds the slope of J_R and gives its value, summed over names in order, in f64: of every matrix, and of the groups of a
    /// model with `heads` query heads a layer.
    ///
    /// # Errors
    /// `Engine` when a parameter cannot be read.
    pub fn penalise(
        &mut self,
        parameters: &BTreeMap<String, Var>,
        penalty: &Penalty,
        heads: usize,
    ) -> Result<f64, GradientError> {
        let mut value = groups::penalise(&mut self.by_name, parameters, penalty, heads)?;
        let is_plain = penalty.l1 == 0.0 && penalty.l2 == 0.0;
        for (name, var) in parameters.iter().filter(|(_, var)| !is_plain && is_matrix(var)) {
            let slopes = self.by_name.get_mut(name).ok_or_else(|| GradientError::Unused(name.clone()))?;
            value += with_entries(var, |weights| {
                penalty.add_slope(weights, slopes);
                penalty.value(weights)
            })?;
        }
        Ok(value)
    }

    /// The Euclidean norm of all entries, in f64. Deterministic: names in order, eight interleaved lanes a name.
    #[must_use]
    pub fn norm(&self) -> f64 {
        let of_each: Vec<f64> = self.by_name.par_iter().map(|(_, slopes)| sum_of_squares(slopes)).collect();
        of_each.iter().sum::<f64>().sqrt()
    }
}

/// The factor that brings a gradient of `norm` down to `limit`, and 1 when it is under it already.
///
/// Source: Pascanu, Mikolov and Bengio 2013, algorithm 1.
#[must_use]
pub fn clip_factor(norm: f64, limit: Option<f64>) -> f64 {
    match limit {
        Some(limit) if norm > limit => limit / norm,
        _ => 1.0,
    }
}

/// Rank 2 or more: what penalties and weight decay apply to.
pub(crate) fn is_matrix(var: &Var) -> bool {
    var.rank() >= 2
}

fn sum_of_squares(slopes: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0_f64; LANES];
    let (chunks, rest) = slopes.as_chunks::<LANES>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &slope)| *lane += f64::from(slope) * f64::from(slope));
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&slope| f64::from(slope) * f64::from(slope)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn parameters() -> BTreeMap<String, Var> {
        let matrix = Var::new(&[[3_f32, -1.0], [0.5, 2.0]], &Device::Cpu).unwrap();
        let gain = Var::new(&[1_f32, 4.0], &Device::Cpu).unwrap();
        BTreeMap::from([("gain".to_owned(), gain), ("matrix".to_owned(), matrix)])
    }

    /// f = Σ(M·g) has df/dg = column sums (3.5, 1) and df/dM = g in each row; norm² = 12.25 + 1 + 2 · (1 + 16) by hand.
    #[test]
    fn slopes_are_gathered_added_and_measured() {
        let parameters = parameters();
        let product = parameters["matrix"].broadcast_mul(&parameters["gain"]).unwrap();
        let found = product.sum_all().unwrap().backward().unwrap();
        let mut gradient = Gradient::zeros(&parameters);
        let again = product.sum_all().unwrap().backward().unwrap();
        gradient.add(&parameters, &[found]).unwrap();
        assert_eq!(gradient.by_name()["gain"], [3.5, 1.0]);
        assert_eq!(gradient.by_name()["matrix"], [1.0, 4.0, 1.0, 4.0]);
        assert!((gradient.norm() - 47.25_f64.sqrt()).abs() < 1e-12);
        gradient.add(&parameters, &[again]).unwrap();
        assert_eq!(gradient.by_name()["gain"], [7.0, 2.0]);
        gradient.clear();
        assert_eq!(gradient, Gradient::zeros(&parameters));
    }

    /// J_R of the matrix alone: 0.5 · (3 + 1 + 0.5 + 2) + 0.2 / 2 · (9 + 1 + 0.25 + 4) = 4.675, by hand.
    #[test]
    fn penalties_leave_vectors_alone() {
        let parameters = parameters();
        let mut gradient = Gradient::zeros(&parameters);
        let value = gradient.penalise(&parameters, &Penalty { l1: 0.5, l2: 0.2, ..Penalty::default() }, 1).unwrap();
        assert!((value - 4.675).abs() < 1e-9, "{value}");
        assert_eq!(gradient.by_name()["gain"], [0.0, 0.0]);
        let expected = [0.5 + 0.2 * 3.0, -0.5 - 0.2, 0.5 + 0.2 * 0.5, 0.5 + 0.2 * 2.0];
        for (slope, expected) in gradient.by_name()["matrix"].iter().zip(expected) {
            assert!((slope - expected).abs() < 1e-6, "{slope} {expected}");
        }
        assert_eq!(Gradient::zeros(&parameters).penalise(&parameters, &Penalty::default(), 1).unwrap(), 0.0);
    }

    #[test]
    fn a_parameter_without_a_gradient_is_an_error() {
        let parameters = parameters();
        let found = parameters["gain"].sum_all().unwrap().backward().unwrap();
        let error = Gradient::zeros(&parameters).add(&parameters, &[found]).unwrap_err();
        assert_eq!(error.to_string(), "the objective does not depend on parameter `matrix`");
    }

    #[test]
    fn entries_are_clipped_to_the_limit_and_a_nan_is_not_hidden() {
        let parameters = parameters();
        let mut gradient = Gradient::zeros(&parameters);
        gradient.by_name_mut().get_mut("gain").unwrap().copy_from_slice(&[3.0, -0.5]);
        gradient.by_name_mut().get_mut("matrix").unwrap()[1] = -7.0;
        gradient.clip_values(1.5);
        assert_eq!((&gradient.by_name()["gain"][..], gradient.by_name()["matrix"][1]), (&[1.5, -0.5][..], -1.5));
        gradient.by_name_mut().get_mut("gain").unwrap()[0] = f32::NAN;
        gradient.clip_values(1.5);
        assert!(gradient.norm().is_nan());
    }

    #[test]
    fn clipping_only_ever_shortens() {
        for (norm, limit, factor) in
            [(2.0, Some(1.0), 0.5), (0.5, Some(1.0), 1.0), (9.0, None, 1.0), (0.0, Some(1.0), 1.0)]
        {
            assert_eq!(clip_factor(norm, limit), factor);
        }
    }
}
