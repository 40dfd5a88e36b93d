//! Pruning and quantisation against plain twins, and their refusals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod referee;
mod whole;

use candle_core::{Device, Tensor};
use compress::{Tensors, prune, quantize};

/// A small model with weights from the model's own initialisation: heads, feed-forward, norms and embedding.
fn model() -> Tensors {
    let config = model::Config {
        vocab: 300,
        layers: 2,
        width: 64,
        heads: 4,
        kv_heads: 2,
        hidden: 96,
        context: 16,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    };
    model::Llama::init(&config, 5).unwrap().tensors()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The plain twin: sort all candidates by magnitude, keep the place for ties, drop the first ones.
fn sorted_away(lists: &[&str], tensors: &Tensors, sparsity: f64) -> Tensors {
    let mut all: Vec<(f32, &str, usize)> = Vec::new();
    for name in lists {
        all.extend(
            numbers(&tensors[*name]).into_iter().enumerate().map(|(index, weight)| (weight.abs(), *name, index)),
        );
    }
    let n_zero = (sparsity * all.len() as f64).round() as usize;
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut pruned = tensors.clone();
    for name in lists {
        let mut weights = numbers(&tensors[*name]);
        all[..n_zero].iter().filter(|(_, other, _)| other == name).for_each(|(_, _, index)| weights[*index] = 0.0);
        pruned.insert((*name).to_owned(), Tensor::from_vec(weights, tensors[*name].shape(), &Device::Cpu).unwrap());
    }
    pruned
}

fn prunable(tensors: &Tensors) -> Vec<&str> {
    let config = prune::Config { sparsity: 0.0, scope: prune::Scope::Global };
    let (_, findings) = prune::prune(&config, tensors).unwrap();
    tensors
        .keys()
        .map(String::as_str)
        .filter(|name| findings.per_matrix.iter().any(|(other, _, _)| other == name))
        .collect()
}

fn same(a: &Tensors, b: &Tensors) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, tensor) in a {
        assert_eq!(numbers(tensor), numbers(&b[name]), "{name}");
    }
}

#[test]
fn pruning_is_what_sorting_all_weights_gives() {
    let tensors = model();
    let names = prunable(&tensors);
    assert_eq!(names.len(), 2 * 7, "four matrices of attention and three of the feed-forward in each layer");
    for sparsity in [0.0, 0.001, 0.3, 0.5, 0.97, 1.0] {
        let config = prune::Config { sparsity, scope: prune::Scope::Global };
        let (pruned, findings) = prune::prune(&config, &tensors).unwrap();
        same(&pruned, &sorted_away(&names, &tensors, sparsity));
        assert_eq!(findings.n_zero, (sparsity * findings.n_prunable as f64).round() as u64);
        let config = prune::Config { sparsity, scope: prune::Scope::PerMatrix };
        let (pruned, _) = prune::prune(&config, &tensors).unwrap();
        let each = names.iter().fold(tensors.clone(), |tensors, name| sorted_away(&[name], &tensors, sparsity));
        same(&pruned, &each);
    }
}

#[test]
fn pruning_twice_is_pruning_once_and_the_rest_is_untouched() {
    let tensors = model();
    let config = prune::Config { sparsity: 0.4, scope: prune::Scope::Global };
    let (once, _) = prune::prune(&config, &tensors).unwrap();
    let (twice, _) = prune::prune(&config, &once).unwrap();
    same(&once, &twice);
    let names = prunable(&tensors);
    for (name, tensor) in tensors.iter().filter(|(name, _)| !names.contains(&name.as_str())) {
        assert_eq!(numbers(tensor), numbers(&once[name]), "{name}");
    }
}

#[test]
fn equal_magnitudes_go_in_the_order_of_names_and_rows() {
    let name = prunable(&model())[0].to_owned();
    let weights = Tensor::from_vec(vec![1.0_f32, -1.0, 1.0, 2.0], (2, 2), &Device::Cpu).unwrap();
    let config = prune::Config { sparsity: 0.5, scope: prune::Scope::Global };
    let (pruned, _) = prune::prune(&config, &Tensors::from([(name.clone(), weights)])).unwrap();
    assert_eq!(numbers(&pruned[&name]), [0.0, 0.0, 1.0, 2.0]);
}

#[test]
fn what_cannot_be_pruned_is_refused_by_name() {
    let tensors = model();
    for sparsity in [-0.1, 1.1, f64::NAN] {
        let error = prune::prune(&prune::Config { sparsity, scope: prune::Scope::Global }, &tensors).unwrap_err();
        assert_eq!(error.to_string(), format!("expected a sparsity from 0 to 1, found {sparsity}"));
    }
    let config = prune::Config { sparsity: 0.5, scope: prune::Scope::Global };
    assert_eq!(
        prune::prune(&config, &Tensors::new()).unwrap_err().to_string(),
        "expected matrices of attention or feed-forward, found none"
    );
    let name = prunable(&tensors)[0].to_owned();
    let weights = Tensor::from_vec(vec![1.0_f32, f32::NAN], (1, 2), &Device::Cpu).unwrap();
    assert_eq!(
        prune::prune(&config, &Tensors::from([(name.clone(), weights)])).unwrap_err().to_string(),
        format!("expected finite weights, found NaN in `{name}` at index 1")
    );
}

/// `block_q8_0` of ggml in plain words: the scale is the largest magnitude ÷ 127, rounded to f16; each weight is rounded with
/// the scale before it was rounded, half away from zero.
fn block(weights: &[f32]) -> Vec<f32> {
    let scale = weights.iter().fold(0.0_f32, |max, weight| max.max(weight.abs())) / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let tensor = Tensor::new(&[scale], &Device::Cpu).unwrap().to_dtype(candle_core::DType::F16).unwrap();
    let stored = tensor.to_dtype(candle_core::DType::F32).unwrap().to_vec1::<f32>().unwrap()[0];
    weights.iter().map(|weight| (weight * inverse).round() * stored).collect()
}

#[test]
fn quantising_is_what_each_block_alone_gives() {
    let tensors = model();
    let (quantized, findings) =
        quantize::quantize(&quantize::Config { format: quantize::Format::Q8_0 }, &tensors).unwrap();
    let (mut n, mut largest) = (0_u64, 0.0_f64);
    for (name, tensor) in &tensors {
        let (original, restored) = (numbers(tensor), numbers(&quantized[name]));
        if tensor.dims().len() < 2 {
            assert_eq!(original, restored, "{name}");
            continue;
        }
        let plain: Vec<f32> = original.chunks(32).flat_map(block).collect();
        assert_eq!(restored, plain, "{name}");
        n += original.len() as u64;
        let errors = original.iter().zip(&restored).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
        largest = errors.fold(largest, f64::max);
    }
    assert_eq!((findings.n_quantized, findings.max_abs_error), (n, largest));
    assert_eq!(findings.bytes_after - (findings.bytes_before - 4 * n), n / 32 * 34);
}

#[test]
fn what_cannot_be_quantised_is_refused_by_name() {
    let config = quantize::Config { format: quantize::Format::Q8_0 };
    assert_eq!(quantize::quantize(&config, &Tensors::new()).unwrap_err().to_string(), "expected matrices, found none");
    let mut weights = vec![1.0_f32; 64];
    weights[40] = f32::INFINITY;
    let tensors = Tensors::from([("w".to_owned(), Tensor::from_vec(weights, (2, 32), &Device::Cpu).unwrap())]);
    assert_eq!(
        quantize::quantize(&config, &tensors).unwrap_err().to_string(),
        "expected weights up to 8.3e6 in magnitude, the range of an f16 scale, found inf in `w` at index 40"
    );
}
