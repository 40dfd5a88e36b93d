//! Whole models: what a method leaves is a model that opens, and its files say what was evaluated.

use candle_core::{Device, Tensor};
use compress::{
    calibrate::{self, LayerView, WalkError, walk},
    formats::{self, Format},
    gptq,
    layerwise::{self, Config, Method, Pattern},
    learn,
    structured::{self, Unit},
};
use evidence::Control;
use model::{Llama, ModelParts, OpenOptions, Row, Site, Stored, Tokenizer, gguf, take_apart, weights, write_changed};
use std::{collections::BTreeMap, fs, path::Path};

/// A hub folder of a small random model whose widths blocks can have.
fn folder(path: &Path) -> ModelParts {
    let config = model::Config {
        vocab: 300,
        layers: 3,
        width: 64,
        heads: 4,
        kv_heads: 2,
        hidden: 128,
        context: 64,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    };
    let llama = Llama::init(&config, 11).unwrap();
    fs::create_dir_all(path).unwrap();
    weights::save(&path.join("model.safetensors"), &llama.tensors(), &BTreeMap::new()).unwrap();
    fs::write(path.join("config.json"), config.to_json()).unwrap();
    Tokenizer::train(&["we hold these truths to be self-evident, that all men are created equal"], 290)
        .unwrap()
        .save(&path.join("tokenizer.json"))
        .unwrap();
    fs::write(path.join("tokenizer_config.json"), r#"{"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}"#)
        .unwrap();
    take_apart(path, &OpenOptions::default()).unwrap()
}

fn rows() -> Vec<Vec<u32>> {
    let tokens: Vec<u32> = (0..640_u32).map(|at| at * 7919 % 293).collect();
    calibrate::rows(&tokens, &calibrate::Config { rows: 8, positions: 48 }).unwrap()
}

fn logits(parts: &ModelParts, config: &model::HubConfig, tensors: &BTreeMap<String, Tensor>) -> Vec<f32> {
    let decoder = parts.decoder_of(config, tensors).unwrap();
    let tokens = [5, 0, 36, 12, 200, 7];
    decoder.logits(&mut [Row::alone(&tokens)]).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn watch(_: usize, _: usize) -> Control {
    Control::Continue
}

/// The walk's layers, one behind another, give the logits of the whole decoder to the bit; and the matrices that a site shows give
/// back what the layer computes.
#[test]
fn a_walk_that_changes_nothing_is_the_forward_pass() {
    let scratch = tempfile::tempdir().unwrap();
    let parts = folder(scratch.path());
    let decoder = parts.decoder().unwrap();
    let tokens = [5, 0, 36, 12, 200, 7];
    let mut stream = decoder.embedded(&[Row::alone(&tokens)]).unwrap();
    let mut sites = Vec::new();
    for at in 0..decoder.layers() {
        stream = decoder
            .layer(at, &stream, &mut [Row::alone(&tokens)], &mut |site, input| {
                sites.push((at, site, input.dims().to_vec()));
                Ok(())
            })
            .unwrap();
    }
    let found: Vec<f32> = decoder.head(&stream).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let whole: Vec<f32> = decoder.logits(&mut [Row::alone(&tokens)]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found, whole);
    let expected = [(Site::Attention, 64), (Site::AttentionOutput, 64), (Site::Mlp, 64), (Site::MlpOutput, 128)];
    assert_eq!(sites.len(), 12);
    for (at, (layer, site, dims)) in sites.into_iter().enumerate() {
        assert_eq!((layer, site, dims), (at / 4, expected[at % 4].0, vec![6, expected[at % 4].1]));
    }
    let mut n = 0;
    let tensors = walk(&parts, &rows(), &mut watch, &mut |view: &mut LayerView| -> Result<(), WalkError> {
        assert_eq!((view.matrices.len(), view.grams.len()), (7, 4));
        assert!(view.grams.values().all(|gram| gram.n == 8 * 48));
        n += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(n, 3);
    assert_eq!(logits(&parts, &parts.config, &tensors), whole_of(&parts));
}

fn whole_of(parts: &ModelParts) -> Vec<f32> {
    logits(parts, &parts.config, &parts.tensors)
}

#[test]
fn each_method_leaves_as_many_zeros_as_asked_and_measures_what_it_cost() {
    let scratch = tempfile::tempdir().unwrap();
    let parts = folder(scratch.path());
    let mut errors = BTreeMap::new();
    for method in [Method::Magnitude, Method::Wanda, Method::SparseGpt] {
        for pattern in [None, Some(Pattern { kept: 2, of: 4 })] {
            let config = Config { method, sparsity: 0.5, pattern, damping: 0.01 };
            let (tensors, findings) = layerwise::prune(&config, &parts, &rows(), &mut watch).unwrap();
            assert_eq!(findings.matrices.len(), 21);
            let share = findings.n_zero() as f64 / findings.n_prunable() as f64;
            // SparseGPT counts by blocks and takes ties along.
            assert!((share - 0.5).abs() < 0.005, "{method:?}: {share}");
            assert!(findings.error() > 0.0 && findings.error() < 1.0);
            for (name, tensor) in &tensors {
                if pattern.is_some() && model::site(name).is_some() {
                    let weights = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    let most = weights.chunks(4).map(|group| group.iter().filter(|w| **w != 0.0).count()).max();
                    assert_eq!(most, Some(2), "{method:?} {name}");
                }
                if model::site(name).is_none() {
                    let same = tensor.eq(&parts.tensors[name]).unwrap().to_dtype(candle_core::DType::F32).unwrap();
                    assert_eq!(same.min_all().unwrap().to_scalar::<f32>().unwrap(), 1.0, "{name}");
                }
            }
            errors.insert((format!("{method:?}"), pattern.is_some()), findings.error());
        }
    }
    // What makes up for each weight costs the outputs least. Of the others neither must win here: fresh weights see inputs that are
    // alike in all directions, where norms say nothing (the referee's layer is not like that).
    for is_pattern in [false, true] {
        let error = |method: &str| errors[&(method.to_owned(), is_pattern)];
        assert!(error("SparseGpt") < error("Wanda") && error("SparseGpt") < error("Magnitude"), "{errors:?}");
    }
}

#[test]
fn structured_cuts_leave_a_smaller_model_that_opens() {
    let scratch = tempfile::tempdir().unwrap();
    let parts = folder(scratch.path());
    let before = parts.decoder().unwrap().parameters().total();
    for (unit, share, member, size) in [
        (Unit::Heads, 0.5, "num_attention_heads", 2),
        (Unit::Channels, 0.25, "intermediate_size", 96),
        (Unit::Layers, 0.34, "num_hidden_layers", 2),
    ] {
        let config = structured::Config { unit, share };
        let (changed, tensors, findings) = structured::prune(&config, &parts, &rows(), &mut watch).unwrap();
        assert_eq!(changed.get(member).and_then(serde_json::Value::as_u64), Some(size), "{unit:?}");
        let decoder = parts.decoder_of(&changed, &tensors).unwrap();
        assert!(decoder.parameters().total() < before);
        let stored = tensors.iter().map(|(name, tensor)| (name.clone(), Stored::f32(tensor).unwrap())).collect();
        let out = tempfile::tempdir().unwrap();
        write_changed(out.path(), &parts, &changed, &stored).unwrap();
        let again = model::open(out.path()).unwrap();
        let tokens = [5, 0, 36, 12];
        let of = |decoder: &model::Decoder| -> Vec<f32> {
            decoder.logits(&mut [Row::alone(&tokens)]).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        assert_eq!(of(&again.decoder), of(&decoder), "{unit:?}");
        assert_eq!(findings.matrices.is_empty(), unit == Unit::Layers);
    }
}

/// The refit is the least-squares answer: no small change of a kept weight makes the error smaller.
#[test]
fn the_refit_is_a_minimum() {
    let weights: Vec<f32> = (0..6 * 16).map(|at| ((at * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let inputs: Vec<f32> =
        (0..80 * 16).map(|at| ((at * 7919 % 1009) as f32 - 504.0) / 504.0 + (at / 16 % 7) as f32 * 0.1).collect();
    let mut gram = compress::matrix::Gram::new(16);
    gram.add(&Tensor::from_vec(inputs, (80, 16), &Device::Cpu).unwrap()).unwrap();
    let matrix = compress::matrix::Matrix {
        name: "w".to_owned(),
        outputs: 6,
        inputs: 16,
        weights: weights.clone(),
        is_turned: false,
    };
    let kept: Vec<usize> = (0..16).filter(|at| at % 3 != 0).collect();
    let fitted = compress::obs::refit(&matrix, &gram, &kept, 1e-9).unwrap();
    let whole = |fitted: &[f32]| {
        let mut after = vec![0.0; weights.len()];
        for (row, fitted) in after.chunks_mut(16).zip(fitted.chunks(kept.len())) {
            kept.iter().zip(fitted).for_each(|(&at, weight)| row[at] = *weight);
        }
        gram.relative_error(&weights, &after).unwrap().0
    };
    let least = whole(&fitted);
    for at in 0..fitted.len() {
        for step in [0.02, -0.02] {
            let mut moved = fitted.clone();
            moved[at] += step;
            assert!(whole(&moved) > least, "weight {at} moved by {step}");
        }
    }
}

#[test]
fn every_format_reads_back_as_what_was_evaluated() {
    let scratch = tempfile::tempdir().unwrap();
    let parts = folder(scratch.path());
    let dense = whole_of(&parts);
    let mut last = f64::INFINITY;
    for format in [Format::Q4_0, Format::Q4_1, Format::Gptq, Format::Q5_1, Format::Q4K, Format::Q6K, Format::Q8_0] {
        let rows = rows();
        let (blocks, tensors, findings) =
            formats::pack_all(format, &gptq::Config::default(), &parts, Some(&rows), &mut watch).unwrap();
        let path = scratch.path().join(format!("{}.gguf", format.name()));
        gguf::store::write(&path, &parts, &parts.config, &blocks).unwrap();
        let again = take_apart(&path, &OpenOptions::default()).unwrap();
        assert_eq!(whole_of(&again), logits(&parts, &parts.config, &tensors), "{format:?}");
        let error = findings.error().unwrap();
        assert!(error > 0.0 && error < 0.02, "{format:?}: {error}");
        if format == Format::Q8_0 {
            assert!(error < 1e-4 && findings.bytes_after * 3 < findings.bytes_before);
            let worst = whole_of(&again).iter().zip(&dense).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 0.05, "{worst}");
        }
        // K-quants fall back at these widths, and say so.
        assert_eq!(findings.fallbacks.len(), if matches!(format, Format::Q4K | Format::Q6K) { 21 } else { 0 });
        // The plan knows it from the shapes.
        let (bits, n_otherwise) = formats::planned_bits(format, &parts.tensors);
        assert_eq!(n_otherwise, findings.fallbacks.len());
        let stored: usize =
            blocks.iter().filter(|(name, _)| name.contains("layers.")).map(|(_, one)| one.bytes.len()).sum();
        let inside: usize =
            parts.tensors.iter().filter(|(name, _)| name.contains("layers.")).map(|(_, one)| one.elem_count()).sum();
        let found = 8.0 * stored as f64 / inside as f64;
        assert!(bits <= found && found < bits * 1.2, "{format:?}: {bits} planned, {found} with the norms");
        last = last.min(error);
    }
    assert!(last < 1e-4);
    let (stored, tensors, findings) = formats::int8_all(&parts, None, &mut watch).unwrap();
    let out = scratch.path().join("int8");
    write_changed(&out, &parts, &parts.config, &stored).unwrap();
    let again = take_apart(&out, &OpenOptions::default()).unwrap();
    assert_eq!(whole_of(&again), logits(&parts, &parts.config, &tensors));
    assert!(findings.max_abs_error > 0.0);
}

/// A GGUF file written from another GGUF file keeps its metadata; the numbers are those of the folder.
#[test]
fn a_gguf_file_can_be_the_source_too() {
    let scratch = tempfile::tempdir().unwrap();
    let parts = folder(scratch.path());
    let pack = |parts: &ModelParts, format| {
        formats::pack_all(format, &gptq::Config::default(), parts, None, &mut watch).unwrap()
    };
    let first = scratch.path().join("first.gguf");
    let (blocks, _, _) = pack(&parts, Format::Q8_0);
    gguf::store::write(&first, &parts, &parts.config, &blocks).unwrap();
    let middle = take_apart(&first, &OpenOptions::default()).unwrap();
    let text = "we hold these truths";
    let encode = |parts: &ModelParts| parts.tokenizer.encode(text, model::Specials::None).unwrap();
    assert_eq!(encode(&middle), encode(&parts));
    let second = scratch.path().join("second.gguf");
    let (blocks, tensors, _) = pack(&middle, Format::Q8_0);
    gguf::store::write(&second, &middle, &middle.config, &blocks).unwrap();
    let last = take_apart(&second, &OpenOptions::default()).unwrap();
    assert_eq!(encode(&last), encode(&parts));
    assert_eq!(whole_of(&last), logits(&middle, &middle.config, &tensors));
}

#[test]
fn what_cannot_be_done_is_named_before_anything_is_computed() {
    let scratch = tempfile::tempdir().unwrap();
    let parts = folder(scratch.path());
    let config = Config { method: Method::Wanda, sparsity: 0.5, pattern: None, damping: 0.01 };
    let said = |config: Config| layerwise::check(&config, &parts.tensors).unwrap_err().to_string();
    assert_eq!(said(Config { sparsity: 1.0, ..config }), "expected a sparsity of at least 0 and below 1, found 1");
    let pattern = |kept, of| Config { pattern: Some(Pattern { kept, of }), ..config };
    assert_eq!(said(pattern(5, 4)), "expected a pattern KEPT:OF with 0 < KEPT < OF ≤ 128 that divides 128, found 5:4");
    assert_eq!(
        said(pattern(1, 4)),
        "the pattern 1:4 leaves 0.75 of the weights zero, not 0.5; leave out the sparsity, or give one of the two that fits"
    );
    assert_eq!(said(pattern(64, 128)).split('`').next(), Some("the mask 64:128 does not fit "));
    let none = layerwise::prune(&config, &parts, &[], &mut watch).unwrap_err().to_string();
    assert_eq!(none, "expected calibration rows, found none");
    let group = gptq::Config { group: 128, ..gptq::Config::default() };
    let (blocks, _, _) = formats::pack_all(Format::Gptq, &group, &parts, Some(&rows()), &mut watch).unwrap();
    // Rows of 64 have no group of 128: they are rounded to nearest.
    assert_eq!(blocks["model.layers.0.self_attn.q_proj.weight"].bytes.len(), 64 * 64 / 32 * 20);
    let stopped = layerwise::prune(&config, &parts, &rows(), &mut |_, _| Control::Stop("the budget".to_owned()));
    assert_eq!(stopped.unwrap_err().to_string(), "stopped: the budget");
}

/// A pattern to learn: every row counts in steps of one number.
fn counting() -> Vec<Vec<u32>> {
    (0..8_u32).map(|row| (0..24).map(|at| (row * 31 + at * 7) % 64).collect()).collect()
}

#[test]
fn recovery_lowers_the_loss_and_holds_the_mask() {
    let scratch = tempfile::tempdir().unwrap();
    let mut parts = folder(scratch.path());
    let config = Config { method: Method::Wanda, sparsity: 0.5, pattern: None, damping: 0.01 };
    let (tensors, findings) = layerwise::prune(&config, &parts, &rows(), &mut watch).unwrap();
    parts.tensors = tensors;
    let config = learn::Config { steps: 20, batch: 4, rate: 3e-3 };
    let (learned, found) =
        learn::learn(&config, learn::Goal::NextToken, (&parts.config, &parts.tensors), &counting(), true, &mut watch)
            .unwrap();
    let (first, last) = (found.losses[0], found.losses[19]);
    assert!(last < 0.8 * first, "{first} to {last}");
    assert_eq!(found.n_held, findings.n_zero());
    let mut moved = 0;
    for (name, tensor) in &parts.tensors {
        let (before, after) = (tensor.flatten_all().unwrap(), learned[name].flatten_all().unwrap());
        let pairs = before.to_vec1::<f32>().unwrap().into_iter().zip(after.to_vec1::<f32>().unwrap());
        for (before, after) in pairs {
            assert!(before != 0.0 || after == 0.0 || model::site(name).is_none(), "{name}");
            moved += usize::from(before.to_bits() != after.to_bits());
        }
    }
    assert!(moved > 10_000);
}

/// A student that begins elsewhere comes nearer to its teacher; one that is the teacher has nothing to learn.
#[test]
fn distillation_comes_nearer_to_the_teacher() {
    let scratch = tempfile::tempdir().unwrap();
    let parts = folder(scratch.path());
    let teacher = parts.decoder().unwrap();
    let goal = learn::Goal::Teacher { teacher: &teacher, temperature: 2.0 };
    let config = learn::Config { steps: 15, batch: 4, rate: 2e-3 };
    let same = learn::Config { steps: 1, ..config };
    let (_, found) =
        learn::learn(&same, goal, (&parts.config, &parts.tensors), &counting(), false, &mut watch).unwrap();
    assert!(found.losses[0].abs() < 1e-5, "{}", found.losses[0]);
    let other = Llama::init(&learn::llama_shape(&parts.config, &parts.tensors, 64).unwrap(), 99).unwrap().tensors();
    let (_, found) = learn::learn(&config, goal, (&parts.config, &other), &counting(), false, &mut watch).unwrap();
    assert!(found.losses[14] < 0.8 * found.losses[0], "{:?}", found.losses);
    let cold = learn::Goal::Teacher { teacher: &teacher, temperature: 0.0 };
    let error = learn::learn(&config, cold, (&parts.config, &other), &counting(), false, &mut watch).unwrap_err();
    assert_eq!(error.to_string(), "expected a temperature above 0, found 0");
}
