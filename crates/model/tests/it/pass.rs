//! The fused pass beside its plain twin: `Llama::logits` differentiated by the tensor engine.

use candle_core::{D, Device, Tensor};
use model::{
    Adapters, Config, Llama,
    pass::{Dropout, Gradients, PassOptions, Windows},
};
use std::collections::BTreeMap;

/// More positions than a block of queries, grouped heads, sides that are no multiple of a vector.
fn shape() -> Config {
    Config {
        vocab: 83,
        layers: 2,
        width: 48,
        heads: 4,
        kv_heads: 2,
        hidden: 76,
        context: 96,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    }
}

/// Fresh weights are all but linear; three times as large, every part has something to say.
fn model() -> Llama {
    let fresh = Llama::init(&shape(), 5).unwrap();
    let larger =
        |(name, tensor): (String, Tensor)| (name, if tensor.rank() > 1 { (tensor * 6.0).unwrap() } else { tensor });
    let gain = |(name, tensor): (String, Tensor)| {
        let n = tensor.elem_count();
        let ramp = Tensor::from_vec((0..n).map(|i| 0.7 + 0.01 * i as f32).collect::<Vec<_>>(), n, &Device::Cpu);
        (name, if tensor.rank() == 1 { ramp.unwrap() } else { tensor })
    };
    Llama::from_tensors(shape(), fresh.tensors().into_iter().map(larger).map(gain).collect()).unwrap()
}

struct Given {
    tokens: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
    positions: usize,
}

fn given(n_windows: usize, positions: usize) -> Given {
    let n = (n_windows * positions) as u32;
    let ids = |salt: u32| (0..n).map(|i| (i.wrapping_mul(2_654_435_761) ^ salt) >> 7).map(|i| i % 83).collect();
    let weights = (0..n).map(|i| if i % 5 == 3 { 0.0 } else { 1.0 / (1.0 + (i % 7) as f32) }).collect();
    Given { tokens: ids(1), targets: ids(77), weights, positions }
}

impl Given {
    fn windows(&self) -> Windows<'_> {
        let Self { tokens, targets, weights, positions } = self;
        Windows { positions: *positions, tokens, targets, weights, starts: None }
    }
}

fn zeros(model: &Llama) -> Gradients {
    model.parameters().iter().map(|(name, var)| (name.clone(), vec![0.0; var.elem_count()])).collect()
}

fn fused(model: &Llama, windows: &Windows<'_>, options: &PassOptions) -> (f64, Gradients) {
    let mut gradients = zeros(model);
    let loss = model.add_gradient(windows, options, &mut gradients).unwrap();
    (loss, gradients)
}

fn plain(model: &Llama, given: &Given, smoothing: f64) -> (f64, Gradients) {
    let n = given.tokens.len();
    let dims = (n / given.positions, given.positions);
    let tokens = Tensor::from_slice(&given.tokens, dims, &Device::Cpu).unwrap();
    let logits = model.logits(&tokens).unwrap().reshape((n, shape().vocab)).unwrap();
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1).unwrap()).unwrap();
    let log_sum = shifted.exp().unwrap().sum_keepdim(D::Minus1).unwrap().log().unwrap();
    let log_p = shifted.broadcast_sub(&log_sum).unwrap();
    let targets = Tensor::from_slice(&given.targets, (n, 1), &Device::Cpu).unwrap();
    let chosen = (log_p.gather(&targets, 1).unwrap().squeeze(1).unwrap() * (smoothing - 1.0)).unwrap();
    let spread = (log_p.mean(D::Minus1).unwrap() * -smoothing).unwrap();
    let weights = Tensor::from_slice(&given.weights, n, &Device::Cpu).unwrap();
    let loss = ((chosen + spread).unwrap() * weights).unwrap().sum_all().unwrap();
    let found = loss.backward().unwrap();
    let entries = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let of = |(name, var): (&String, &candle_core::Var)| (name.clone(), entries(found.get(var).unwrap()));
    (f64::from(loss.to_scalar::<f32>().unwrap()), model.parameters().iter().map(of).collect())
}

/// Tolerance: both in f32 with sums in other orders; 2e-5 of the largest entry of each gradient.
fn agree(name: &str, (loss, ours): &(f64, Gradients), (expected, theirs): &(f64, Gradients)) {
    assert!((loss / expected - 1.0).abs() < 2e-6, "{name}: {loss} {expected}");
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (parameter, theirs) in theirs {
        let largest = theirs.iter().fold(0_f32, |max, x| max.max(x.abs()));
        assert!(largest > 0.0, "{name}: {parameter} has no slope");
        for (at, (ours, theirs)) in ours[parameter].iter().zip(theirs).enumerate() {
            assert!((ours - theirs).abs() <= 2e-5 * largest, "{name}: {parameter}[{at}] {ours} {theirs} of {largest}");
        }
    }
}

#[test]
fn the_fused_pass_agrees_with_its_plain_twin() {
    let model = model();
    for (n_windows, positions, smoothing) in [(3, 70, 0.0), (1, 2, 0.0), (2, 64, 0.1), (2, 7, 0.3)] {
        let given = given(n_windows, positions);
        let options = PassOptions { smoothing, ..PassOptions::default() };
        let (ours, theirs) = (fused(&model, &given.windows(), &options), plain(&model, &given, smoothing));
        agree(&format!("{n_windows} × {positions}, smoothing {smoothing}"), &ours, &theirs);
        let loss = model.loss(&given.windows(), smoothing).unwrap();
        assert_eq!(loss, ours.0, "with and without a gradient");
        let again = fused(&model, &given.windows(), &PassOptions { checkpoints: true, ..options });
        assert!(again == ours, "checkpoints change no bit");
    }
}

#[test]
fn adapters_agree_with_their_plain_twin_and_with_the_merged_model() {
    let adapters = Adapters {
        rank: 3,
        alpha: 5.0,
        targets: ["q_proj", "v_proj", "o_proj", "down_proj"].map(str::to_owned).to_vec(),
    };
    let fresh = model().with_adapters(&adapters, 1).unwrap();
    assert_eq!(fresh.parameters().len(), 2 * 2 * 4);
    let given = given(2, 70);
    let first = model().loss(&given.windows(), 0.0).unwrap();
    assert_eq!(fresh.loss(&given.windows(), 0.0).unwrap(), first, "B is zero at first");
    let moved = |(name, tensor): (String, Tensor)| {
        let n = tensor.elem_count();
        let wave = Tensor::from_vec((0..n).map(|i| (i as f32 * 0.7).sin() * 0.2).collect::<Vec<_>>(), n, &Device::Cpu);
        (name, (&tensor + wave.unwrap().reshape(tensor.dims()).unwrap()).unwrap())
    };
    let model = fresh.restored(fresh.tensors().into_iter().map(moved).collect()).unwrap();
    agree("adapters", &fused(&model, &given.windows(), &PassOptions::default()), &plain(&model, &given, 0.0));
    let (beside, merged) = (model.loss(&given.windows(), 0.0), model.merged().unwrap().loss(&given.windows(), 0.0));
    let (beside, merged) = (beside.unwrap(), merged.unwrap());
    assert!((beside / merged - 1.0).abs() < 1e-6 && (beside / first - 1.0).abs() > 1e-3, "{beside} {merged} {first}");
}

/// Documents packed into one window cost and teach what they do each alone.
#[test]
fn packed_documents_do_not_see_one_another() {
    let model = model();
    let given = given(1, 90);
    let cuts = [0_usize, 20, 21, 85, 90];
    let starts: Vec<u32> = (0..90_usize).map(|at| *cuts.iter().rev().find(|&&cut| cut <= at).unwrap() as u32).collect();
    let packed = fused(&model, &Windows { starts: Some(&starts), ..given.windows() }, &PassOptions::default());
    let (mut loss, mut alone) = (0.0, zeros(&model));
    for cut in cuts.windows(2) {
        let place = cut[0]..cut[1];
        let windows = Windows {
            positions: place.len(),
            tokens: &given.tokens[place.clone()],
            targets: &given.targets[place.clone()],
            weights: &given.weights[place],
            starts: None,
        };
        loss += model.add_gradient(&windows, &PassOptions::default(), &mut alone).unwrap();
    }
    agree("packed", &packed, &(loss, alone));
    let unpacked = fused(&model, &given.windows(), &PassOptions::default());
    assert!((unpacked.0 / packed.0 - 1.0).abs() > 1e-4, "the mask does something");
}

/// Central differences along the gradient's own direction, h such that rounding in f32 and the third derivative are both under
/// one in a thousand; the same entries fall out at every point.
#[test]
fn dropout_has_the_gradient_of_what_it_computes() {
    let model = model();
    let given = given(2, 40);
    let dropout = Dropout { rate: 0.25, seed: 3, step: 9, first_row: 0 };
    let options = PassOptions { dropout: Some(dropout), ..PassOptions::default() };
    let (loss, gradients) = fused(&model, &given.windows(), &options);
    let length = gradients.values().flatten().map(|g| f64::from(*g).powi(2)).sum::<f64>();
    let moved = |h: f64| {
        let step = |(name, tensor): (String, Tensor)| {
            let slopes = Tensor::from_slice(&gradients[&name], tensor.dims(), &Device::Cpu).unwrap();
            (name, (tensor + (slopes * h).unwrap()).unwrap())
        };
        let model = model.restored(model.tensors().into_iter().map(step).collect()).unwrap();
        fused(&model, &given.windows(), &options).0
    };
    let h = 1e-2 / length.sqrt();
    let found = (moved(h) - moved(-h)) / (2.0 * h);
    assert!((found / length - 1.0).abs() < 2e-3, "{found} {length}");
    let other = PassOptions { dropout: Some(Dropout { step: 10, ..dropout }), ..options };
    assert_ne!(fused(&model, &given.windows(), &other).0, loss);
    // Rows go by their number in the step, not by their place in a pass.
    let half = |at: usize| Windows {
        positions: 40,
        tokens: &given.tokens[at * 40..][..40],
        targets: &given.targets[at * 40..][..40],
        weights: &given.weights[at * 40..][..40],
        starts: None,
    };
    let part = |at: usize| {
        let dropout = Dropout { first_row: at as u64 * 40, ..dropout };
        fused(&model, &half(at), &PassOptions { dropout: Some(dropout), ..options }).0
    };
    assert!(((part(0) + part(1)) / loss - 1.0).abs() < 1e-6);
}

#[test]
fn adapters_are_written_as_peft_does_and_read_back() {
    let model = model();
    let adapters = Adapters { rank: 2, alpha: 4.0, targets: vec!["q_proj".to_owned()] };
    let adapted = model.with_adapters(&adapters, 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    adapted.save_adapters(folder.path(), "base").unwrap();
    let names: Vec<String> =
        model::weights::load(&folder.path().join("adapter_model.safetensors")).unwrap().into_keys().collect();
    assert_eq!(names[0], "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
    let read = model.load_adapters(folder.path()).unwrap();
    assert_eq!(read.adapters(), Some(&adapters));
    let entries = |model: &Llama| -> BTreeMap<String, Vec<f32>> {
        model.tensors().into_iter().map(|(n, t)| (n, t.flatten_all().unwrap().to_vec1().unwrap())).collect()
    };
    assert_eq!(entries(&read), entries(&adapted));
}

#[test]
fn adapters_that_do_not_fit_are_refused() {
    let model = model();
    let said = |rank: usize, alpha: f64, target: &str| {
        model.with_adapters(&Adapters { rank, alpha, targets: vec![target.to_owned()] }, 1).unwrap_err().to_string()
    };
    assert_eq!(
        said(2, 4.0, "c_attn"),
        "expected projections among `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`, found `c_attn`"
    );
    assert_eq!(
        said(25, 4.0, "k_proj"),
        "expected a rank from 1 to 24, the smaller side of `model.layers.0.self_attn.k_proj`, found 25"
    );
    assert_eq!(said(2, 0.0, "k_proj"), "expected `alpha` to be a finite number above 0, found 0");
    let other = Llama::init(&Config { width: 64, heads: 4, ..shape() }, 1).unwrap();
    let adapters = Adapters { rank: 2, alpha: 4.0, targets: vec!["q_proj".to_owned()] };
    let folder = tempfile::tempdir().unwrap();
    other.with_adapters(&adapters, 1).unwrap().save_adapters(folder.path(), "base").unwrap();
    let error = model.load_adapters(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("adapter_model.safetensors` is not an adapter of this model"), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "expected `model.layers.0.self_attn.q_proj.lora_A.weight` of shape [2, 48], found [2, 64]");
    // Of the same shapes and other weights: names and shapes do not tell, the weights do.
    let like = Llama::init(&shape(), 2).unwrap();
    like.with_adapters(&adapters, 1).unwrap().save_adapters(folder.path(), "base").unwrap();
    let error = model.load_adapters(folder.path()).unwrap_err();
    assert!(matches!(error, model::AdapterError::Base { .. }), "{error}");
    assert!(error.to_string().contains("was trained beside a model with weights sha256:"), "{error}");
    assert!(like.load_adapters(folder.path()).is_ok());
    let config = folder.path().join("adapter_config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("q_proj", "c_attn")).unwrap();
    let error = like.load_adapters(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("expected projections among `q_proj`") && error.ends_with("found `c_attn`"), "{error}");
    std::fs::write(folder.path().join("adapter_config.json"), r#"{"peft_type": "IA3"}"#).unwrap();
    let error = model.load_adapters(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("adapter_config.json`: expected `peft_type` to be `\"LORA\"`, found \"IA3\""), "{error}");
}
