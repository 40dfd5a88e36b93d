//! Against the authors' procedures, computed again in PyTorch: `tests/referees/prune_torch.py` says how, and made the fixture.
//!
//! Tolerances: masks to 99.9 % of the weights and errors to 1 %, for the referee factors in f32 and we in f64; a weight whose score
//! lies on the threshold may fall to either side.

use candle_core::{Device, Tensor};
use compress::{
    gptq,
    layerwise::{Config, Method, Pattern, prune_matrix},
    matrix::{Gram, Matrix},
    obs::DAMPING,
};
use serde_json::Value;

const OUTPUTS: usize = 24;
const INPUTS: usize = 192;
const TOKENS: usize = 640;

/// Multiples of 2⁻²³ in [−1, 1), as the referee makes them.
fn uniform(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed;
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn layer() -> (Matrix, Gram) {
    let weights = uniform(OUTPUTS * INPUTS, 1);
    let z = uniform(TOKENS * INPUTS, 2);
    let input = |at: usize| {
        let column = at % INPUTS;
        let scaled = z[at] * (0.25 + (7 * column % 32) as f32 / 16.0);
        if column == 0 { scaled } else { scaled + 0.5 * z[at - 1] }
    };
    let inputs: Vec<f32> = (0..TOKENS * INPUTS).map(input).collect();
    let mut gram = Gram::new(INPUTS);
    gram.add(&Tensor::from_vec(inputs, (TOKENS, INPUTS), &Device::Cpu).unwrap()).unwrap();
    (Matrix { name: "layer".to_owned(), outputs: OUTPUTS, inputs: INPUTS, weights, is_turned: false }, gram)
}

fn cases() -> Value {
    let document: Value = serde_json::from_str(include_str!("../fixtures/prune_torch.json")).unwrap();
    assert_eq!((document["outputs"].as_u64(), document["inputs"].as_u64()), (Some(24), Some(192)));
    document["cases"].clone()
}

fn letters(case: &Value, member: &str) -> Vec<char> {
    case[member].as_array().unwrap().iter().flat_map(|row| row.as_str().unwrap().chars()).collect()
}

fn close(name: &str, found: f64, case: &Value) {
    let expected = case["error"].as_f64().unwrap();
    assert!((found - expected).abs() <= 0.01 * expected, "{name}: expected an error of {expected}, found {found}");
}

#[test]
fn masks_and_errors_are_those_of_the_authors_procedures() {
    let cases = cases();
    let pattern = |kept, of| Some(Pattern { kept, of });
    for (name, method, pattern) in [
        ("magnitude 0.5", Method::Magnitude, None),
        ("wanda 0.5", Method::Wanda, None),
        ("wanda 2:4", Method::Wanda, pattern(2, 4)),
        ("sparsegpt 0.5", Method::SparseGpt, None),
        ("sparsegpt 2:4", Method::SparseGpt, pattern(2, 4)),
        ("sparsegpt 4:8", Method::SparseGpt, pattern(4, 8)),
    ] {
        let (mut matrix, gram) = layer();
        let config = Config { method, sparsity: 0.5, pattern, damping: DAMPING };
        let pruned = prune_matrix(&config, &mut matrix, &gram).unwrap();
        let expected = letters(&cases[name], "kept");
        let same = matrix.weights.iter().zip(&expected).filter(|(weight, kept)| (**weight != 0.0) == (**kept == '1'));
        let same = same.count();
        assert!(same * 1000 >= expected.len() * 999, "{name}: {same} of {} alike", expected.len());
        close(name, pruned.error, &cases[name]);
    }
}

#[test]
fn steps_and_errors_of_gptq_are_those_of_the_authors_procedure() {
    let cases = cases();
    for group in [32, 64] {
        let name = format!("gptq {group}");
        let (mut matrix, gram) = layer();
        let before = matrix.weights.clone();
        let config = gptq::Config { group, ..gptq::Config::default() };
        let quantized = gptq::quantize(&config, &mut matrix, &gram).unwrap();
        let expected = letters(&cases[&name], "steps");
        let same =
            quantized.steps.iter().zip(&expected).filter(|(step, digit)| Some(u32::from(**step)) == digit.to_digit(16));
        let same = same.count();
        // Rounding to nearest turns on the last bit more often than a mask does: a step on its border may fall to either side.
        assert!(same * 100 >= expected.len() * 99, "{name}: {same} of {} alike", expected.len());
        close(&name, gram.relative_error(&before, &matrix.weights).unwrap().0, &cases[&name]);
    }
}

/// What rounding to the same grid without making up for it costs: GPTQ must do better, or it does nothing.
#[test]
fn gptq_is_better_than_rounding_to_nearest() {
    let (mut matrix, gram) = layer();
    let before = matrix.weights.clone();
    gptq::quantize(&gptq::Config::default(), &mut matrix, &gram).unwrap();
    let nearest: Vec<f32> = before
        .chunks(32)
        .flat_map(|group| {
            let (least, most) = group.iter().fold((0.0_f32, 0.0_f32), |(l, m), w| (l.min(*w), m.max(*w)));
            let scale = (most - least) / 15.0;
            group.iter().map(move |w| ((w - least) / scale).round() * scale + least).collect::<Vec<f32>>()
        })
        .collect();
    let [ours, plain] = [&matrix.weights, &nearest].map(|after| gram.relative_error(&before, after).unwrap().0);
    assert!(ours < 0.75 * plain, "{ours} against {plain}");
}
