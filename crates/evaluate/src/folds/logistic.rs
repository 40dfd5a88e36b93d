//! Logistic regression with an L2 penalty, fitted by gradient descent, or by stochastic gradient descent.
//!
//! J(w) = 1/n Σ −ln p(class of row i) + λ/2 ‖w‖², the intercept free. Two classes have one vector of weights, more have
//! one each. In scikit-learn's terms C = 1/(λ n).
//!
//! Legend: N rows, C columns, K vectors of weights (1 for two classes).

use super::encode::Rows;
use evidence::Digest;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use std::thread;

/// How weights are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// Nesterov's accelerated gradient descent over all rows, until no entry of the gradient exceeds `tolerance`.
    GradientDescent {
        /// Default 1e-7: predictions are then those of the minimum to about six digits.
        tolerance: f64,
        /// Default 20,000.
        steps_max: usize,
    },
    /// One row at a time, shuffled anew each epoch, with the rate 1/(λ (t + t₀)) and the mean of the last half of all steps.
    Sgd {
        /// Default 20.
        epochs: usize,
        seed: u64,
    },
}

impl Default for Method {
    fn default() -> Self {
        Self::GradientDescent { tolerance: 1e-7, steps_max: 20_000 }
    }
}

/// What is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// λ, at least 0; with 0 a separable set has no minimum and the steps run out.
    pub lambda: f64,
    pub method: Method,
}

/// Weights that were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// (K, C + 1), the intercept last.
    weights: Vec<f64>,
    n_classes: usize,
    width: usize,
    /// Largest entry of the gradient where it ended.
    pub gradient: f64,
    pub steps: usize,
}

/// Pieces of the rows whose sums are taken apart and added in order: results do not depend on the number of threads.
const PIECES: usize = 16;
/// Rows under which a second thread costs more than it gives.
const FEW_ROWS: usize = 2000;

impl Fitted {
    /// Scores of each class for one row: 0 and the linear form for two classes.
    fn scores(&self, rows: &Rows, at: usize, out: &mut Vec<f64>) {
        linear(&self.weights, self.width, rows, at, out);
        if self.n_classes == 2 {
            out.insert(0, 0.0);
        }
    }

    /// The likeliest class of each row, the first of equals.
    #[must_use]
    pub fn predict(&self, rows: &Rows) -> Vec<usize> {
        let mut scores = Vec::new();
        let one = |at: usize| {
            self.scores(rows, at, &mut scores);
            (1..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
        };
        (0..rows.len()).map(one).collect()
    }

    /// Probabilities (N, classes), row behind row.
    #[must_use]
    pub fn probabilities(&self, rows: &Rows) -> Vec<f64> {
        let (mut scores, mut all) = (Vec::new(), Vec::with_capacity(rows.len() * self.n_classes));
        for at in 0..rows.len() {
            self.scores(rows, at, &mut scores);
            all.extend(crate::statistics::calibration::softmax(&scores));
        }
        all
    }
}

/// Linear forms of one row: K numbers.
fn linear(weights: &[f64], width: usize, rows: &Rows, at: usize, out: &mut Vec<f64>) {
    out.clear();
    for vector in weights.chunks_exact(width + 1) {
        let sum: f64 = rows.row(at).map(|(column, value)| vector[column] * value).sum();
        out.push(sum + vector[width]);
    }
}

/// Loss of one row and its derivative by each linear form.
fn slope(forms: &[f64], class: usize, out: &mut Vec<f64>) -> f64 {
    out.clear();
    if let [form] = forms {
        // −ln σ(±x) = ln(1 + e^∓x), without overflow.
        let sign = if class == 1 { 1.0 } else { -1.0 };
        let x = sign * form;
        let loss = (-x.abs()).exp().ln_1p() + (-x).max(0.0);
        let wrong = if x >= 0.0 { (-x).exp() / (1.0 + (-x).exp()) } else { 1.0 / (1.0 + x.exp()) };
        out.push(-sign * wrong);
        return loss;
    }
    let largest = forms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = forms.iter().map(|form| (form - largest).exp()).sum();
    out.extend(
        forms.iter().enumerate().map(|(at, form)| (form - largest).exp() / sum - f64::from(u8::from(at == class))),
    );
    sum.ln() - (forms[class] - largest)
}

/// Fits a head; `warm` begins where another ended.
///
/// Shapes: `rows` (N, C), `target` (N,) below `n_classes` ≥ 2. Deterministic for any number of threads.
#[must_use]
pub fn fit(head: &Head, rows: &Rows, target: &[usize], n_classes: usize, warm: Option<&Fitted>) -> Fitted {
    let n_vectors = if n_classes == 2 { 1 } else { n_classes };
    let n_weights = n_vectors * (rows.width + 1);
    let begun = warm.filter(|warm| warm.weights.len() == n_weights).map(|warm| warm.weights.clone());
    let weights = begun.unwrap_or_else(|| vec![0.0; n_weights]);
    let found = Fitted { weights, n_classes, width: rows.width, gradient: f64::INFINITY, steps: 0 };
    match head.method {
        Method::GradientDescent { tolerance, steps_max } => {
            descend(head.lambda, rows, target, &found, tolerance, steps_max)
        }
        Method::Sgd { epochs, seed } => stochastic(head.lambda, rows, target, &found, epochs, seed),
    }
}

/// Mean gradient of the data term at `weights`, penalty included.
fn gradient(lambda: f64, rows: &Rows, target: &[usize], weights: &[f64]) -> Vec<f64> {
    let n = rows.len();
    let of_piece = |piece: usize| {
        let mut sum = vec![0.0; weights.len()];
        let (mut forms, mut slopes) = (Vec::new(), Vec::new());
        let from = piece * n / PIECES;
        for (at, &class) in target[from..(piece + 1) * n / PIECES].iter().enumerate() {
            let at = from + at;
            linear(weights, rows.width, rows, at, &mut forms);
            slope(&forms, class, &mut slopes);
            for (vector, slope) in sum.chunks_exact_mut(rows.width + 1).zip(&slopes) {
                for (column, value) in rows.row(at) {
                    vector[column] += slope * value;
                }
                vector[rows.width] += slope;
            }
        }
        sum
    };
    let n_threads = thread::available_parallelism().map_or(1, usize::from).min(PIECES);
    let pieces: Vec<Vec<f64>> = if n < FEW_ROWS || n_threads == 1 {
        (0..PIECES).map(of_piece).collect()
    } else {
        thread::scope(|scope| {
            let share = PIECES.div_ceil(n_threads);
            let workers: Vec<_> = (0..n_threads)
                .map(|worker| {
                    let (of_piece, pieces) = (&of_piece, worker * share..((worker + 1) * share).min(PIECES));
                    scope.spawn(move || pieces.map(of_piece).collect::<Vec<_>>())
                })
                .collect();
            // A worker that panicked leaves NaN, at which the descent ends.
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|_| vec![vec![f64::NAN]])).collect()
        })
    };
    let mut sum = vec![0.0; weights.len()];
    for piece in &pieces {
        sum.iter_mut().zip(piece).for_each(|(sum, part)| *sum += part);
    }
    for (vector, held) in sum.chunks_exact_mut(rows.width + 1).zip(weights.chunks_exact(rows.width + 1)) {
        vector.iter_mut().for_each(|entry| *entry /= n as f64);
        vector[..rows.width].iter_mut().zip(held).for_each(|(entry, weight)| *entry += lambda * weight);
    }
    sum
}

/// Largest eigenvalue of XᵀX/n with the intercept's column of ones, by 50 steps of power iteration and a margin of 5 %.
fn largest_eigenvalue(rows: &Rows) -> f64 {
    let n = rows.len() as f64;
    let mut vector = vec![1.0; rows.width + 1];
    let mut value = 1.0;
    for _ in 0..50 {
        let norm = vector.iter().map(|entry| entry * entry).sum::<f64>().sqrt();
        if norm == 0.0 {
            break;
        }
        vector.iter_mut().for_each(|entry| *entry /= norm);
        let mut next = vec![0.0; rows.width + 1];
        for at in 0..rows.len() {
            let form = rows.row(at).map(|(column, value)| vector[column] * value).sum::<f64>() + vector[rows.width];
            rows.row(at).for_each(|(column, value)| next[column] += form * value / n);
            next[rows.width] += form / n;
        }
        value = next.iter().zip(&vector).map(|(next, held)| next * held).sum();
        vector = next;
    }
    1.05 * value
}

/// Step 1/L; the momentum is begun anew where it points uphill. Source: Nesterov 1983; restart of O'Donoghue and Candès 2015.
fn descend(lambda: f64, rows: &Rows, target: &[usize], begun: &Fitted, tolerance: f64, steps_max: usize) -> Fitted {
    // The second derivative of −ln σ is at most 1/4, that of a soft-max at most 1/2.
    let curvature = if begun.n_classes == 2 { 0.25 } else { 0.5 };
    let step = 1.0 / (curvature * largest_eigenvalue(rows) + lambda);
    let (mut weights, mut ahead, mut momentum) = (begun.weights.clone(), begun.weights.clone(), 1.0_f64);
    let (mut largest, mut steps) = (f64::INFINITY, 0);
    while steps < steps_max {
        let slopes = gradient(lambda, rows, target, &ahead);
        steps += 1;
        largest = slopes.iter().fold(0.0, |largest, slope| f64::max(largest, slope.abs()));
        if largest <= tolerance || !largest.is_finite() {
            weights.clone_from(&ahead);
            break;
        }
        let next: Vec<f64> = ahead.iter().zip(&slopes).map(|(weight, slope)| weight - step * slope).collect();
        let uphill: f64 =
            slopes.iter().zip(next.iter().zip(&weights)).map(|(slope, (new, old))| slope * (new - old)).sum();
        let grown = 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt());
        let push = if uphill > 0.0 { 0.0 } else { (momentum - 1.0) / grown };
        momentum = if uphill > 0.0 { 1.0 } else { grown };
        ahead = next.iter().zip(&weights).map(|(new, old)| new + push * (new - old)).collect();
        weights = next;
    }
    Fitted { weights, gradient: largest, steps, ..*begun }
}

/// Source: Bottou 2012 for the rate; Polyak and Juditsky 1992 for the mean.
fn stochastic(lambda: f64, rows: &Rows, target: &[usize], begun: &Fitted, epochs: usize, seed: u64) -> Fitted {
    let key = Digest::of(format!("assize sgd {seed}").as_bytes());
    let mut random = ChaCha20Rng::from_seed(*key.as_bytes());
    let curvature = if begun.n_classes == 2 { 0.25 } else { 0.5 };
    let squares = |at: usize| 1.0 + rows.row(at).map(|(_, value)| value * value).sum::<f64>();
    let steepest = curvature * (0..rows.len()).map(squares).fold(0.0, f64::max) + lambda;
    let rate_of = lambda.max(1.0 / rows.len() as f64);
    // The first rate is 1/L of the steepest row.
    let offset = steepest / rate_of;
    let (mut weights, mut mean, mut n_mean) = (begun.weights.clone(), vec![0.0; begun.weights.len()], 0.0);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let (total, mut step) = (epochs * rows.len(), 0);
    let (mut forms, mut slopes) = (Vec::new(), Vec::new());
    for _ in 0..epochs {
        for at in (1..order.len()).rev() {
            order.swap(at, (random.next_u64() % (at as u64 + 1)) as usize);
        }
        for &at in &order {
            let rate = 1.0 / (rate_of * (step as f64 + offset));
            linear(&weights, rows.width, rows, at, &mut forms);
            slope(&forms, target[at], &mut slopes);
            for (vector, slope) in weights.chunks_exact_mut(rows.width + 1).zip(&slopes) {
                vector[..rows.width].iter_mut().for_each(|weight| *weight *= 1.0 - rate * lambda);
                for (column, value) in rows.row(at) {
                    vector[column] -= rate * slope * value;
                }
                vector[rows.width] -= rate * slope;
            }
            step += 1;
            if 2 * step > total {
                n_mean += 1.0;
                mean.iter_mut().zip(&weights).for_each(|(mean, weight)| *mean += (weight - *mean) / n_mean);
            }
        }
    }
    if n_mean > 0.0 {
        weights = mean;
    }
    let slopes = gradient(lambda, rows, target, &weights);
    let gradient = slopes.iter().fold(0.0, |largest, slope| f64::max(largest, slope.abs()));
    Fitted { weights, gradient, steps: step, ..*begun }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::{
        encode::Encoder,
        table::{Feature, Features},
    };

    fn fixture() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/fixtures/folds.json")).unwrap()
    }

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|item| item.as_f64().unwrap()).collect()
    }

    /// Expected: scikit-learn 1.9.1 by `tests/fixtures/folds.py`, section `logistic`: lbfgs to 1e-12 on the same columns.
    /// Tolerance 1e-5 on probabilities: the descent ends at gradients below 1e-7.
    #[test]
    fn weights_are_those_of_scikit_learn() {
        for case in fixture()["logistic"].as_array().unwrap() {
            let columns: Vec<(String, Feature)> = case["columns"]
                .as_array()
                .unwrap()
                .iter()
                .enumerate()
                .map(|(at, column)| (format!("x{at}"), Feature::Numeric(numbers(column))))
                .collect();
            let target: Vec<usize> = numbers(&case["target"]).into_iter().map(|class| class as usize).collect();
            let features = Features::Columns(columns);
            let all: Vec<usize> = (0..target.len()).collect();
            let rows = Encoder::learn(&features, &all).encode(&features, &all);
            let n_classes = case["classes"].as_u64().unwrap() as usize;
            let head = Head { lambda: case["lambda"].as_f64().unwrap(), method: Method::default() };
            let found = fit(&head, &rows, &target, n_classes, None);
            assert!(found.gradient <= 1e-7, "{} after {}", found.gradient, found.steps);
            for (found, expected) in found.probabilities(&rows).iter().zip(numbers(&case["probabilities"])) {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
            // One row at a time comes near, and the same each time.
            let sgd = Head { method: Method::Sgd { epochs: 60, seed: 3 }, ..head };
            let near = fit(&sgd, &rows, &target, n_classes, None);
            for (near, expected) in near.probabilities(&rows).iter().zip(numbers(&case["probabilities"])) {
                assert!((near - expected).abs() < 0.05, "{near} {expected}");
            }
            assert_eq!(near, fit(&sgd, &rows, &target, n_classes, None));
        }
    }

    /// Finite differences of the loss, two and three classes.
    #[test]
    fn slopes_are_derivatives() {
        let mut slopes = Vec::new();
        for (forms, class) in [(vec![0.3], 0), (vec![-2.0], 1), (vec![40.0], 0), (vec![0.5, -1.0, 2.0], 1)] {
            slope(&forms, class, &mut slopes);
            for (at, found) in slopes.clone().into_iter().enumerate() {
                let moved = |by: f64| {
                    let mut forms = forms.clone();
                    forms[at] += by;
                    slope(&forms, class, &mut Vec::new())
                };
                assert!((found - (moved(1e-6) - moved(-1e-6)) / 2e-6).abs() < 1e-8, "{forms:?} {class}");
            }
        }
    }
}
