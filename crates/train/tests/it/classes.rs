//! Heads that tell classes: `transformers` as referee, and what is trained and what is held.

use crate::small::{config, first};
use evidence::{Control, Digest};
use model::{Adapters, Below, Llama};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};
use train::{Batch, Batches, Config, Corpus, Counted, Event, Outcome, Precision};

const CLASSES: usize = 3;

/// Sixty texts of 2 to 28 tokens; the class is in how ids follow one another.
fn texts() -> Vec<(Vec<u32>, u32)> {
    let text = |number: u32| {
        let class = number % CLASSES as u32;
        let n = 2 + (number * 7919) % 27;
        let id = |at: u32| (number * 31 + at * [3, 5, 11][class as usize]) % 95 + 1;
        ((0..n).map(id).collect(), class)
    };
    (0..60).map(text).collect()
}

fn corpus() -> Corpus {
    Corpus::labelled(&texts(), 32).unwrap()
}

fn whole() -> Llama {
    first().with_classes(CLASSES, Below::Trained, 5).unwrap()
}

fn train(config: &Config, model: Llama, dir: Option<&Path>) -> (Llama, Vec<(f64, f64)>) {
    let mut seen = Vec::new();
    let mut observe = |event: &Event<'_>| {
        if let Event::Done { loss_nats, gradient_norm, .. } = event {
            seen.push((*loss_nats, *gradient_norm));
        }
        Control::Continue
    };
    match train::run(config, model, &corpus(), dir, &mut observe).unwrap() {
        Outcome::Finished(trained) => (trained.model, seen),
        Outcome::Stopped { .. } => panic!("nobody asked for a stop"),
    }
}

/// The texts of a batch with their classes, read off its rows.
fn texts_of(batch: &Batch) -> Vec<Value> {
    let ids = |side: &candle_core::Tensor| side.flatten_all().unwrap().to_vec1::<u32>().unwrap();
    let (inputs, targets) = (ids(&batch.inputs), ids(&batch.targets));
    let (weights, starts) = (batch.weights.as_ref().unwrap(), batch.starts.as_ref().unwrap());
    let ends = (0..inputs.len()).filter(|&row| weights[row] != 0.0);
    ends.map(|end| {
        let window = end / 32 * 32;
        json!({"tokens": &inputs[window + starts[end] as usize..=end], "class": targets[end]})
    })
    .collect()
}

fn problem() -> Value {
    let (config, corpus) = (config(20), corpus());
    let mut from = Batches::new(&corpus, 32, config.batch, config.seed).unwrap();
    let batches: Value = (1..=20).map(|step| Value::from(texts_of(&from.batch(step).unwrap()))).collect();
    let shape = first().config().clone();
    let train::Optimizer::AdamW { beta1, beta2, eps, weight_decay } = config.optimizer else { panic!("AdamW") };
    json!({
        "first_weights": train::parameters_digest(whole().parameters()).unwrap().to_string(),
        "digest": Digest::of(batches.to_string().as_bytes()).to_string(),
        "batches": batches,
        "texts": texts().into_iter().map(|(tokens, _)| tokens).collect::<Vec<_>>(),
        "shape": {"layers": shape.layers, "width": shape.width, "heads": shape.heads, "kv_heads": shape.kv_heads,
            "rope_theta": shape.rope_theta, "norm_eps": shape.norm_eps},
        "config": {"steps": config.steps, "learning_rate": config.learning_rate, "clip_norm": config.clip_norm,
            "warmup_steps": config.schedule.warmup_steps, "min_ratio": config.schedule.min_ratio,
            "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay},
    })
}

fn names() -> Vec<String> {
    ["three", "five", "eleven"].map(str::to_owned).to_vec()
}

/// `transformers`' `LlamaForSequenceClassification`, from the files as they are saved: loss and gradient norm of 20 steps, of all
/// weights and of the head alone, and the logits at the end. Tolerance: f32 with sums in another order; relative 1e-5 for losses and
/// 1e-4 for norms, absolute 1e-4 for logits.
#[test]
fn twenty_steps_and_the_logits_agree_with_transformers() {
    let problem = problem();
    if let Some(folder) = std::env::var_os("ASSIZE_TRAIN_EXPORT_CLASSES") {
        let folder = Path::new(&folder);
        fs::create_dir_all(folder).unwrap();
        let format = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let tensors = whole().whole_tensors().unwrap();
        model::weights::save(&folder.join("model.safetensors"), &tensors, &format).unwrap();
        model::weights::save(&folder.join("first.safetensors"), &tensors, &format).unwrap();
        fs::write(folder.join("config.json"), whole().classes_json(&names(), None)).unwrap();
        fs::write(folder.join("batches.json"), problem.to_string()).unwrap();
    }
    let fixture: Value = serde_json::from_str(include_str!("../fixtures/torch_classes.json")).unwrap();
    assert_eq!(fixture["first_weights"], problem["first_weights"], "the fixture is of other first weights");
    assert_eq!(fixture["batches"], problem["digest"], "the fixture is of other batches");
    let number = |value: &Value| value.as_f64().unwrap();
    let held = first().with_classes(CLASSES, Below::Held, 5).unwrap();
    for (part, model) in [("all", whole()), ("head", held)] {
        let fixture = &fixture[part];
        let (trained, seen) = train(&config(20), model, None);
        assert_eq!((seen.len(), fixture["steps"].as_array().unwrap().len()), (20, 20));
        for (step, (loss, norm)) in seen.into_iter().enumerate() {
            let expected = &fixture["steps"][step];
            for (key, found, tolerance) in [("loss", loss, 1e-5), ("gradient_norm", norm, 1e-4)] {
                let apart = (found / number(&expected[key]) - 1.0).abs();
                assert!(apart < tolerance, "{part}: {key} of step {}: relative difference {apart:e}", step + 1);
            }
        }
        let told = train::tell(&trained, &corpus(), 32, 4).unwrap();
        let expected = fixture["logits"].as_array().unwrap().iter().map(number);
        assert_eq!(told.logits.len(), 60 * CLASSES);
        for (found, expected) in told.logits.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{part}: {found} {expected}");
        }
        assert_eq!(told.targets, texts().iter().map(|(_, class)| *class as usize).collect::<Vec<_>>());
    }
}

/// What is held is the same bits afterwards, what is trained is not, and a saved model tells what it told before.
#[test]
fn what_is_held_stays_and_what_is_saved_tells_the_same() {
    let lora = first().with_adapters(&Adapters { rank: 2, alpha: 4.0, targets: vec!["q_proj".to_owned()] }, 3).unwrap();
    for (name, model, n_trained) in [
        ("head", first().with_classes(CLASSES, Below::Held, 5).unwrap(), 1),
        ("adapters", lora.with_classes(CLASSES, Below::Trained, 5).unwrap(), 5),
        ("all", whole(), 21),
    ] {
        assert_eq!((model.parameters().len(), model.n_classes()), (n_trained, Some(CLASSES)), "{name}");
        let before = first().tensors();
        let (trained, seen) = train(&config(30), model, None);
        let mean = |steps: &[(f64, f64)]| steps.iter().map(|(loss, _)| loss).sum::<f64>() / steps.len() as f64;
        assert!(mean(&seen[25..]) < mean(&seen[..5]), "{name}: {seen:?}");
        let after = trained.whole_tensors().unwrap();
        let is_same = |name: &str| {
            let entries = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            entries(&before[name]) == entries(&after[name])
        };
        let changed = before.keys().filter(|name| !is_same(name)).count();
        assert_eq!(
            changed,
            match name {
                "head" => 0,
                "adapters" => 2,
                _ => 20,
            },
            "{name}"
        );
        let again = Llama::with_classes_from(trained.config().clone(), after).unwrap();
        let told = |model: &Llama| train::tell(model, &corpus(), 32, 4).unwrap();
        let (first, second) = (told(&trained), told(&again));
        assert_eq!(first.classes, second.classes, "{name}");
        let apart = first.logits.iter().zip(&second.logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{name}: {apart}");
    }
}

/// A run that is taken up again ends with the same bits, in bf16 too; logits do not depend on how texts are packed.
#[test]
fn a_head_is_taken_up_again_and_packing_changes_nothing() {
    let config = Config { precision: Precision::Bf16, dropout: 0.1, ..config(20) };
    let (straight, _) = train(&config, whole(), None);
    let dir = tempfile::tempdir().unwrap();
    let mut stop = |event: &Event<'_>| match event {
        Event::Done { step: 7, .. } => Control::Stop("enough".to_owned()),
        _ => Control::Continue,
    };
    let outcome = train::run(&config, whole(), &corpus(), Some(dir.path()), &mut stop).unwrap();
    assert!(matches!(outcome, Outcome::Stopped { step: 7, .. }));
    let (resumed, seen) = train(&config, whole(), Some(dir.path()));
    assert_eq!(seen.len(), 13);
    let digest = |model: &Llama| train::parameters_digest(model.parameters()).unwrap();
    assert_eq!(digest(&resumed), digest(&straight));

    let told = train::tell(&straight, &corpus(), 32, 4).unwrap();
    for (at, text) in texts().into_iter().enumerate() {
        let alone = train::tell(&straight, &Corpus::labelled(&[text], 32).unwrap(), 32, 1).unwrap();
        let packed = &told.logits[at * CLASSES..(at + 1) * CLASSES];
        let apart = alone.logits.iter().zip(packed).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{at}: {apart}");
    }
    let mut asked = Vec::new();
    let ask = &mut |n_tokens| {
        asked.push(n_tokens);
        Control::Continue
    };
    let Counted { loss_nats: loss, weight } = train::mean_loss(&straight, &corpus(), (32, 4), ask).unwrap().unwrap();
    assert_eq!((weight, asked.iter().sum::<u64>()), (60.0, 32 * corpus().n_windows(32) as u64));
    let stopped = train::mean_loss(&straight, &corpus(), (32, 4), &mut |_| Control::Stop("enough".to_owned()));
    assert_eq!(stopped.unwrap(), Err("enough".to_owned()));
    let of_row = |(row, target): (&[f32], &usize)| {
        let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
        sum.ln() - f64::from(row[*target])
    };
    let by_hand = told.logits.chunks(CLASSES).zip(&told.targets).map(of_row).sum::<f64>() / 60.0;
    assert!((loss - by_hand).abs() < 1e-6, "{loss} {by_hand}");
}

#[test]
fn a_class_that_the_head_does_not_know_is_refused() {
    let corpus = Corpus::labelled(&[(vec![1, 2], 3)], 32).unwrap();
    let error = train::run(&config(1), whole(), &corpus, None, &mut |_| Control::Continue).unwrap_err();
    let chain = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(chain.contains("cannot take step 1"), "{chain}");
    assert!(Corpus::labelled(&[(Vec::new(), 0)], 32).is_err());
    let none = Llama::with_classes_from(first().config().clone(), first().tensors()).unwrap_err();
    assert_eq!(none.to_string(), "expected a tensor `score.weight` of shape [2, 64], found none");
}
