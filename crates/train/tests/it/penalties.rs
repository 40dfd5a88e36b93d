//! J = J_D + J_R in a run: one step of plain descent shows the whole gradient.

use crate::small::{config, first, undisturbed};
use std::collections::BTreeMap;
use train::{Config, Optimizer, Penalty};

const RATE: f64 = 0.5;

fn one_step(penalty: Penalty) -> (BTreeMap<String, Vec<f32>>, f64, f64) {
    let schedule = train::Schedule { decay: train::Decay::Constant, ..train::Schedule::default() };
    let optimizer = Optimizer::Sgd { momentum: 0.0, nesterov: false };
    let config = Config { optimizer, learning_rate: RATE, schedule, clip_norm: None, penalty, ..config(1) };
    let (trained, seen) = undisturbed(&config, None);
    (entries(&trained.model), seen.losses[0], seen.penalties[0])
}

fn entries(model: &model::Llama) -> BTreeMap<String, Vec<f32>> {
    let flat = |tensor: candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    model.tensors().into_iter().map(|(name, tensor)| (name, flat(tensor))).collect()
}

/// Expected: −η · (l1 · sign(w) + l2 · w) for matrices, nothing for gains, on top of the step without penalty.
/// Tolerance: a few units in the last place of weights below 1, 3e-7.
#[test]
fn penalties_move_matrices_by_their_slope_and_leave_gains() {
    let penalty = Penalty { l1: 1e-3, l2: 2e-2, ..Penalty::default() };
    let (plain, plain_loss, none) = one_step(Penalty::default());
    let (penalised, loss, value) = one_step(penalty);
    let before = entries(&first());
    assert_eq!((plain_loss, none), (loss, 0.0));
    let mut expected_value = 0.0;
    for (name, weights) in &before {
        let is_gain = name.ends_with("norm.weight");
        for (position, &w) in weights.iter().enumerate() {
            let w = f64::from(w);
            let slope = if is_gain { 0.0 } else { penalty.l1 * w.signum() + penalty.l2 * w };
            expected_value += if is_gain { 0.0 } else { penalty.l1 * w.abs() + penalty.l2 / 2.0 * w * w };
            let moved = f64::from(penalised[name][position]) - f64::from(plain[name][position]);
            assert!((moved + RATE * slope).abs() < 3e-7, "{name} {position}: {moved}");
        }
    }
    // The reported J_R is a sum of 10⁵ f32 terms in f64.
    assert!((value - expected_value).abs() < 1e-6 * expected_value, "{value} {expected_value}");
}
