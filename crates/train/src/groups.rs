//! The group lasso: whole heads and whole channels are drawn to zero together, so that they can be taken out afterwards.
//!
//! J_R = λ · Σ over groups g of √n_g · ‖w_g‖₂, n_g the number of weights of the group. A head's group are its rows of the query
//! projection and its columns of the output projection; a channel's its rows of gate and up and its column of down. Of a group that
//! is zero the subgradient taken is 0.
//! Sources: Yuan and Lin 2006, "Model selection and estimation in regression with grouped variables", equation 2.2; Wen et al. 2016,
//! "Learning structured sparsity in deep neural networks", section 3.

use crate::{gradient::GradientError, objective::Penalty, slices::with_entries};
use candle_core::Var;
use std::collections::BTreeMap;

/// Which side of a matrix the groups lie along.
#[derive(Debug, Clone, Copy)]
enum Side {
    Rows,
    Columns,
}

/// Projections that share groups.
const HEADS: [(&str, Side); 2] = [("self_attn.q_proj", Side::Rows), ("self_attn.o_proj", Side::Columns)];
const CHANNELS: [(&str, Side); 3] =
    [("mlp.gate_proj", Side::Rows), ("mlp.up_proj", Side::Rows), ("mlp.down_proj", Side::Columns)];

type Slopes = BTreeMap<String, Vec<f32>>;

/// Adds the slopes of the group lasso and gives its value, in f64, in the order of layers and groups.
pub(crate) fn penalise(
    slopes: &mut Slopes,
    parameters: &BTreeMap<String, Var>,
    penalty: &Penalty,
    heads: usize,
) -> Result<f64, GradientError> {
    let mut value = 0.0;
    for (lambda, members) in [(penalty.heads, &HEADS[..]), (penalty.channels, &CHANNELS[..])] {
        if lambda == 0.0 {
            continue;
        }
        let (first, _) = members[0];
        let prefixes = parameters.keys().filter_map(|name| name.strip_suffix(&format!("{first}.weight")));
        for prefix in prefixes {
            let names: Vec<(String, Side)> =
                members.iter().map(|(part, side)| (format!("{prefix}{part}.weight"), *side)).collect();
            let rows = parameters[&names[0].0].dims()[0];
            let n_groups = if members.len() == HEADS.len() { heads } else { rows };
            value += one_layer(slopes, parameters, &names, n_groups, lambda)?;
        }
    }
    Ok(value)
}

fn one_layer(
    slopes: &mut Slopes,
    parameters: &BTreeMap<String, Var>,
    names: &[(String, Side)],
    n_groups: usize,
    lambda: f64,
) -> Result<f64, GradientError> {
    let missing = |name: &String| GradientError::Unused(name.clone());
    let (mut squares, mut n_weights) = (vec![0.0_f64; n_groups], 0);
    for (name, side) in names {
        let var = parameters.get(name).ok_or_else(|| missing(name))?;
        n_weights += var.elem_count() / n_groups;
        let n_columns = var.dims()[1];
        with_entries(var, |weights| {
            for (at, w) in weights.iter().enumerate() {
                squares[group(at, weights.len(), n_columns, n_groups, *side)] += f64::from(*w) * f64::from(*w);
            }
        })?;
    }
    let root = (n_weights as f64).sqrt();
    let pull = |square: &f64| if *square > 0.0 { (lambda * root / square.sqrt()) as f32 } else { 0.0 };
    let pulls: Vec<f32> = squares.iter().map(pull).collect();
    for (name, side) in names {
        let (var, slopes) = (&parameters[name], slopes.get_mut(name).ok_or_else(|| missing(name))?);
        let n_columns = var.dims()[1];
        with_entries(var, |weights| {
            for (at, (slope, w)) in slopes.iter_mut().zip(weights).enumerate() {
                *slope += pulls[group(at, weights.len(), n_columns, n_groups, *side)] * w;
            }
        })?;
    }
    Ok(lambda * root * squares.iter().map(|square| square.sqrt()).sum::<f64>())
}

const fn group(at: usize, n: usize, n_columns: usize, n_groups: usize, side: Side) -> usize {
    match side {
        Side::Rows => at / (n / n_groups),
        Side::Columns => at % n_columns / (n_columns / n_groups),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    fn parameters(entries: &[Vec<f32>; 5]) -> BTreeMap<String, Var> {
        let shapes = [(4, 3), (3, 4), (2, 3), (2, 3), (3, 2)];
        let parts = ["self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"];
        let var = |((part, shape), entries): ((&str, (usize, usize)), &Vec<f32>)| {
            let tensor = Tensor::from_slice(entries, shape, &Device::Cpu).unwrap();
            (format!("model.layers.0.{part}.weight"), Var::from_tensor(&tensor).unwrap())
        };
        parts.into_iter().zip(shapes).zip(entries).map(var).collect()
    }

    fn ramp(n: usize, from: f32) -> Vec<f32> {
        (0..n).map(|i| from + 0.25 * i as f32).collect()
    }

    /// Central differences of the value, h = 1/64: relative error about h²/‖w‖², under 1e-4 of slopes of order 1.
    #[test]
    fn the_slope_is_that_of_finite_differences() {
        let entries = [ramp(12, -1.0), ramp(12, 0.5), ramp(6, -2.0), ramp(6, 1.0), ramp(6, -0.6)];
        let penalty = Penalty { heads: 0.3, channels: 0.7, ..Penalty::default() };
        let value =
            |entries: &[Vec<f32>; 5], slopes: &mut Slopes| penalise(slopes, &parameters(entries), &penalty, 2).unwrap();
        let zeros = || -> Slopes {
            parameters(&entries).iter().map(|(name, var)| (name.clone(), vec![0.0; var.elem_count()])).collect()
        };
        let mut slopes = zeros();
        value(&entries, &mut slopes);
        let names = parameters(&entries);
        let order = ["self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"];
        assert_eq!(names.len(), 5);
        for (which, part) in order.iter().enumerate() {
            for at in 0..entries[which].len() {
                let moved = |h: f32| {
                    let mut entries = entries.clone();
                    entries[which][at] += h;
                    value(&entries, &mut zeros())
                };
                let expected = (moved(1.0 / 64.0) - moved(-1.0 / 64.0)) * 32.0;
                let found = f64::from(slopes[&format!("model.layers.0.{part}.weight")][at]);
                assert!((found - expected).abs() < 2e-4, "{part}[{at}]: {found} {expected}");
            }
        }
    }

    /// By hand: two channels, the second zero; of the first gate (1, 2, 2), up (0, 0, 0), down (0, 4, 0): √9 · √25 · λ = 15 · λ.
    #[test]
    fn a_group_of_zeros_stays_where_it_is() {
        let entries = [
            vec![0.0; 12],
            vec![0.0; 12],
            vec![1.0, 2.0, 2.0, 0.0, 0.0, 0.0],
            vec![0.0; 6],
            vec![0.0, 0.0, 4.0, 0.0, 0.0, 0.0],
        ];
        let parameters = parameters(&entries);
        let mut slopes: Slopes = parameters.iter().map(|(n, var)| (n.clone(), vec![0.0; var.elem_count()])).collect();
        let penalty = Penalty { channels: 0.1, ..Penalty::default() };
        let value = penalise(&mut slopes, &parameters, &penalty, 2).unwrap();
        assert!((value - 1.5).abs() < 1e-12, "{value}");
        assert_eq!(slopes["model.layers.0.mlp.gate_proj.weight"][3..], [0.0; 3]);
        assert!((slopes["model.layers.0.mlp.down_proj.weight"][2] - 0.24).abs() < 1e-6);
    }
}
