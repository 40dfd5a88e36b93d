//! PyTorch as referee. The fixtures name the version they were made with; the programs beside them say how.

use crate::small::{config, corpus, first};
use candle_core::{Device, Tensor, Var};
use evidence::Control;
use serde_json::Value;
use std::collections::BTreeMap;
use train::{Event, Gradient, Optimizer, State};

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

/// Every optimiser there is. Tolerance: f32 updates, 50 of them in a contracting problem; 1e-6 of the largest entry of the tensor, which is 8
/// units in the last place.
#[test]
fn optimisers_agree_with_pytorch_over_fifty_steps() {
    let fixture: Value = serde_json::from_str(include_str!("../fixtures/torch_optimizer.json")).unwrap();
    let problem = fixture["problem"].as_object().unwrap();
    let tensor = |name: &str, part: &str| {
        let dims: Vec<usize> = numbers(&problem[name]["shape"]).into_iter().map(|dim| dim as usize).collect();
        Tensor::from_vec(numbers(&problem[name][part]), dims, &Device::Cpu).unwrap()
    };
    let nesterov = Optimizer::Sgd { momentum: 0.9, nesterov: true };
    for optimizer in Optimizer::ALL.into_iter().chain([nesterov]) {
        let run = &fixture["runs"][if optimizer == nesterov { "nesterov" } else { optimizer.name() }];
        let learning_rate = run["learning_rate"].as_f64().unwrap();
        let start = |name: &String| (name.clone(), Var::from_tensor(&tensor(name, "start")).unwrap());
        let parameters: BTreeMap<String, Var> = problem.keys().map(start).collect();
        let (mut state, mut gradient) = (State::new(optimizer, &parameters), Gradient::zeros(&parameters));
        for step in 1..=50 {
            let part = |(name, w): (&String, &Var)| {
                let distance = (w.as_tensor() - tensor(name, "goal")).unwrap().sqr().unwrap();
                ((tensor(name, "pull") / 2.0).unwrap() * distance).unwrap().sum_all().unwrap()
            };
            let objective = parameters.iter().map(part).reduce(|a, b| (a + b).unwrap()).unwrap();
            gradient.clear();
            gradient.add(&parameters, &[objective.backward().unwrap()]).unwrap();
            state.step(&parameters, &gradient, learning_rate, 1.0, step).unwrap();
            for (name, expected) in run["after"][step.to_string()].as_object().into_iter().flatten() {
                let (expected, found) =
                    (numbers(expected), parameters[name].flatten_all().unwrap().to_vec1::<f32>().unwrap());
                let largest = expected.iter().fold(0_f32, |max, w| max.max(w.abs()));
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() <= 1e-6 * largest,
                        "{optimizer:?} {step} {name}: {found} {expected}"
                    );
                }
            }
        }
    }
}

#[path = "../fixtures/export.rs"]
pub(crate) mod export;

/// Loss, gradient norm and learning rate of 20 steps. Tolerance: both are f32 with sums in different orders. Relative
/// differences of up to 2e-7 were seen in losses and norms over the 20 steps; 1e-5 leaves room for other kernels.
#[test]
fn the_first_twenty_steps_agree_with_a_pytorch_transcript() {
    let config = config(20);
    let problem = export::problem(&first(), &corpus(), &config).unwrap();
    if let Some(folder) = std::env::var_os("ASSIZE_TRAIN_EXPORT") {
        export::write(std::path::Path::new(&folder), &first(), &problem).unwrap();
    }

    let fixture: Value = serde_json::from_str(include_str!("../fixtures/torch_transcript.json")).unwrap();
    assert_eq!(
        fixture["first_weights"], problem["first_weights"],
        "the fixture is of other first weights: make it anew"
    );
    assert_eq!(fixture["batches"], problem["digest"], "the fixture is of other batches: make it anew");
    let mut n_compared = 0;
    let mut observe = |event: &Event<'_>| {
        if let Event::Done { step, loss_nats, learning_rate, gradient_norm, .. } = event {
            let expected = |key: &str| fixture["steps"][*step as usize - 1][key].as_f64().unwrap();
            for (key, found, tolerance) in [
                ("loss", loss_nats, 1e-5),
                ("gradient_norm", gradient_norm, 1e-5),
                ("learning_rate", learning_rate, 1e-12),
            ] {
                let difference = (found / expected(key) - 1.0).abs();
                assert!(difference < tolerance, "{key} of step {step}: relative difference {difference:e}");
            }
            n_compared += 1;
        }
        Control::Continue
    };
    train::run(&config, first(), &corpus(), None, &mut observe).unwrap();
    assert_eq!((n_compared, fixture["steps"].as_array().unwrap().len()), (20, 20));
}
