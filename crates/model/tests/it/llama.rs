use crate::{all_bits, bits, chain, small, tokens, values};
use candle_core::{DType, Device, Tensor};
use model::{Config, Llama, weights};
use std::{collections::BTreeMap, path::Path};

/// `tests/fixtures/tiny_llama.py` made the fixture with numpy in float64, seed 20240607; it says how.
struct Fixture {
    config: Config,
    tensors: BTreeMap<String, Tensor>,
    rows: Vec<Vec<u32>>,
    logits: Vec<f64>,
}

fn fixture() -> Fixture {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let text = std::fs::read_to_string(folder.join("tiny_llama.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let rows = |value: &serde_json::Value| -> Vec<Vec<f64>> { value.as_array().unwrap().iter().map(numbers).collect() };
    Fixture {
        config: Config::from_json(&document["config"].to_string()).unwrap(),
        tensors: weights::load(&folder.join("tiny_llama.safetensors")).unwrap(),
        rows: rows(&document["tokens"]).into_iter().map(|row| row.into_iter().map(|token| token as u32).collect()).collect(),
        logits: document["logits"].as_array().unwrap().iter().flat_map(rows).flatten().collect(),
    }
}

/// Tolerance 1e-4: the referee works in f64; in f32 a logit of up to 5 is the end of some 400 roundings of 6e-8 each on
/// numbers of that size, 1e-5 if they mostly agree in sign, with a factor of ten above. A wrong pairing of channels, a
/// missing scale or a shifted position changes logits by more than 0.1.
#[test]
fn logits_agree_with_an_independent_implementation() {
    let Fixture { config, tensors, rows, logits } = fixture();
    let llama = Llama::from_tensors(config.clone(), tensors).unwrap();
    let found = llama.logits(&tokens(&rows)).unwrap();
    assert_eq!(found.dims(), [rows.len(), rows[0].len(), config.vocab]);
    let found = values(&found);
    assert_eq!(found.len(), logits.len());
    for (at, (found, expected)) in found.into_iter().zip(logits).enumerate() {
        assert!((f64::from(found) - expected).abs() < 1e-4, "logit {at}: expected {expected}, found {found}");
    }
}

/// Fixed directions ±1 by a hash of the position, so that no symmetry hides an error.
fn direction(at: usize) -> f64 {
    if (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 0 { 1.0 } else { -1.0 }
}

fn objective(llama: &Llama, rows: &[Vec<u32>]) -> f64 {
    let logits = values(&llama.logits_detached(&tokens(rows)).unwrap());
    logits.into_iter().enumerate().map(|(at, logit)| direction(at) * f64::from(logit)).sum()
}

/// The objective is a sum of all 666 logits with fixed signs. Fourth-order central difference with h = 0.02: the rounding
/// of the logits (1e-6 each, 666 of them with mixed signs, 3e-5 together) over h gives 2e-3, and h⁴ = 1.6e-7 times a
/// fifth derivative of up to a few thousand gives 1e-3. Tolerance 0.01 + 0.002·|gradient|; gradients are of size 1 to 100.
#[test]
fn gradients_agree_with_finite_differences_for_every_tensor() {
    let Fixture { config, tensors, rows, .. } = fixture();
    let llama = Llama::from_tensors(config.clone(), tensors.clone()).unwrap();
    let logits = llama.logits(&tokens(&rows)).unwrap();
    let n = logits.elem_count();
    let signs: Vec<f32> = (0..n).map(|at| direction(at) as f32).collect();
    let signs = Tensor::from_vec(signs, logits.dims(), &Device::Cpu).unwrap();
    let gradients = (logits * signs).unwrap().sum_all().unwrap().backward().unwrap();

    let mut largest: f64 = 0.0;
    for (name, tensor) in &tensors {
        let gradient = gradients.get(llama.parameters()[name].as_tensor()).unwrap_or_else(|| panic!("no gradient of {name}"));
        let gradient = values(gradient);
        let original = values(tensor);
        for index in (0..original.len()).step_by(original.len().div_ceil(7)) {
            let at = |shift: f64| {
                let mut changed = original.clone();
                changed[index] = (f64::from(changed[index]) + shift) as f32;
                let exact_shift = f64::from(changed[index]) - f64::from(original[index]);
                let mut tensors = tensors.clone();
                let changed = Tensor::from_vec(changed, tensor.shape(), &Device::Cpu).unwrap();
                tensors.insert(name.clone(), changed);
                let value = objective(&Llama::from_tensors(config.clone(), tensors).unwrap(), &rows);
                (value, exact_shift)
            };
            let slope = |h: f64| {
                let ((above, up), (below, down)) = (at(h), at(-h));
                (above - below) / (up - down)
            };
            for h in [0.002, 0.005, 0.01] { let e = (4.0 * slope(h) - slope(2.0*h)) / 3.0; eprint!("{h} {:.5} ", e - f64::from(gradient[index])); }
            eprintln!("{name} {}", gradient[index]);
            let expected = (4.0 * slope(0.005) - slope(0.01)) / 3.0;
            let found = f64::from(gradient[index]);
            largest = largest.max(found.abs());
            let tolerance = 0.01 + 0.002 * found.abs();
            assert!((found - expected).abs() < tolerance, "{name}[{index}]: expected {expected}, found {found}");
        }
    }
    assert!(largest > 1.0, "the objective does not depend on the parameters: {largest}");
}

#[test]
fn a_seed_is_a_model() {
    let config = small(300);
    let model = |seed| all_bits(&Llama::init(&config, seed).unwrap().tensors());
    assert_eq!(model(7), model(7));
    for (name, weights) in model(7) {
        let differs = weights != model(8)[&name];
        assert_eq!(differs, !name.contains("norm"), "{name}");
    }
}

/// Golden vector of the initialisation, so that a seed stays a model over releases: first numbers of two tensors from
/// this implementation (whose moments and logarithm have referees of their own), seed 7.
#[test]
fn the_initialisation_does_not_change_between_releases() {
    let tensors = Llama::init(&small(300), 7).unwrap().tensors();
    let first = |name: &str| values(&tensors[name])[..3].to_vec();
    assert_eq!(first("model.embed_tokens.weight"), GOLDEN_EMBEDDING);
    assert_eq!(first("model.layers.1.mlp.down_proj.weight"), GOLDEN_DOWN);
}

const GOLDEN_EMBEDDING: [f32; 3] = [-0.0069597894, -0.00715637, 0.01341724];
const GOLDEN_DOWN: [f32; 3] = [-0.012021128, 0.017839523, -0.018016703];

/// Expected: 0.02, for the two residual projections 0.02/√(2·2) = 0.01, norms exactly 1. Tolerance: five standard errors
/// of a standard deviation, σ/√(2n).
#[test]
fn fresh_weights_have_the_stated_spread() {
    for (name, tensor) in Llama::init(&small(2000), 3).unwrap().tensors() {
        let weights = values(&tensor);
        if name.contains("norm") {
            assert!(weights.iter().all(|weight| *weight == 1.0), "{name}");
            continue;
        }
        let expected = if name.contains("o_proj") || name.contains("down_proj") { 0.01 } else { 0.02 };
        let n = weights.len() as f64;
        let std = (weights.iter().map(|weight| f64::from(*weight).powi(2)).sum::<f64>() / n).sqrt();
        assert!((std - expected).abs() < 5.0 * expected / (2.0 * n).sqrt(), "{name}: {std}");
    }
}

#[test]
fn a_later_token_does_not_change_earlier_logits() {
    let Fixture { config, tensors, mut rows, .. } = fixture();
    let llama = Llama::from_tensors(config.clone(), tensors).unwrap();
    let before = bits(&llama.logits(&tokens(&rows)).unwrap());
    for position in (0..rows[0].len()).rev() {
        rows[0][position] = (rows[0][position] + 11) % config.vocab as u32;
        let after = bits(&llama.logits(&tokens(&rows)).unwrap());
        let first_changed = before.iter().zip(&after).position(|(before, after)| before != after).unwrap();
        assert_eq!(first_changed / config.vocab, position);
        let row = rows[0].len() * config.vocab;
        assert_eq!(before[row..], after[row..], "the other row of the batch changed");
    }
}

/// To 1e-5 and not to the bit: a matrix product of other dimensions may be split otherwise.
#[test]
fn logits_do_not_depend_on_the_batch_or_on_what_follows() {
    let Fixture { config, tensors, rows, .. } = fixture();
    let llama = Llama::from_tensors(config.clone(), tensors).unwrap();
    let whole = values(&llama.logits(&tokens(&rows)).unwrap());
    let part = values(&llama.logits(&tokens(&[rows[1][..4].to_vec()])).unwrap());
    let start = rows[0].len() * config.vocab;
    for (whole, part) in whole[start..].iter().zip(&part) {
        assert!((whole - part).abs() < 1e-5, "expected {whole}, found {part}");
    }
}

#[test]
fn detached_logits_are_the_same_bits_and_hold_no_graph() {
    let Fixture { config, tensors, rows, .. } = fixture();
    let llama = Llama::from_tensors(config, tensors).unwrap();
    let detached = llama.logits_detached(&tokens(&rows)).unwrap();
    assert_eq!(bits(&llama.logits(&tokens(&rows)).unwrap()), bits(&detached));
    let gradients = detached.sum_all().unwrap().backward().unwrap();
    assert!(llama.parameters().values().all(|parameter| gradients.get(parameter.as_tensor()).is_none()));
}

#[test]
fn an_optimiser_sets_parameters_in_place() {
    let llama = Llama::init(&small(300), 1).unwrap();
    let input = tokens(&[vec![1, 2, 3]]);
    for parameter in llama.parameters().values() {
        parameter.set(&parameter.zeros_like().unwrap()).unwrap();
    }
    assert!(values(&llama.logits(&input).unwrap()).into_iter().all(|logit| logit == 0.0));
}

#[test]
fn tokens_the_model_has_no_answer_to_are_refused() {
    let llama = Llama::init(&small(300), 1).unwrap();
    let long = Tensor::zeros((1, 17), DType::U32, &Device::Cpu).unwrap();
    let empty = Tensor::zeros((1, 0), DType::U32, &Device::Cpu).unwrap();
    let flat = Tensor::zeros(4, DType::U32, &Device::Cpu).unwrap();
    let floats = Tensor::zeros((1, 4), DType::F32, &Device::Cpu).unwrap();
    for (input, message) in [
        (tokens(&[vec![0, 300]]), "expected tokens below 300, found 300"),
        (long, "expected 1 to 16 positions, found 17"),
        (empty, "expected 1 to 16 positions, found 0"),
        (flat, "expected tokens of shape (batch, positions) in u32, found [4] in u32"),
        (floats, "expected tokens of shape (batch, positions) in u32, found [1, 4] in f32"),
    ] {
        assert_eq!(chain(&llama.logits(&input).unwrap_err()), message);
    }
}

#[test]
fn weights_that_do_not_fit_are_named_with_both_shapes() {
    let config = small(300);
    let tensors = Llama::init(&config, 1).unwrap().tensors();
    let name = "model.layers.1.self_attn.k_proj.weight";
    let with = |tensor: Option<Tensor>| {
        let mut tensors = tensors.clone();
        tensors.remove(name);
        tensor.map(|tensor| tensors.insert(name.to_owned(), tensor));
        Llama::from_tensors(config.clone(), tensors).unwrap_err().to_string()
    };
    assert_eq!(with(None), format!("expected a tensor `{name}` of shape [16, 32], found none"));
    let wide = Tensor::zeros((32, 32), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(with(Some(wide)), format!("expected `{name}` of shape [16, 32], found [32, 32]"));
    let double = Tensor::zeros((16, 32), DType::F64, &Device::Cpu).unwrap();
    assert_eq!(with(Some(double)), format!("expected `{name}` in f32, found f64"));
    let mut extra = tensors;
    extra.insert("lm_head.weight".to_owned(), Tensor::zeros((300, 32), DType::F32, &Device::Cpu).unwrap());
    assert_eq!(
        Llama::from_tensors(config, extra).unwrap_err().to_string(),
        "expected only the tensors of the configuration, found `lm_head.weight` of shape [300, 32]"
    );
}
