//! A run that leaves the finite numbers says so, and where.

use crate::small::{config, corpus, failure, first, stopped};
use candle_core::Tensor;
use model::Llama;
use train::{Config, Event, Optimizer, TrainError};

#[test]
fn divergence_is_an_error_with_its_step_and_keeps_the_snapshot_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        optimizer: Optimizer::Sgd { momentum: 0.0, nesterov: false },
        learning_rate: 1e30,
        schedule: train::Schedule { decay: train::Decay::Constant, ..train::Schedule::default() },
        clip_norm: None,
        snapshot_every: 1,
        ..config(20)
    };
    let error = failure(&config, first(), &corpus(), Some(dir.path()));
    // After the first step the weights are of the order of 1e29; normalisation keeps the loss finite, not its slope.
    let TrainError::Diverged { step: step @ 2, .. } = error else { panic!("{error}") };
    assert_eq!(
        error.to_string(),
        "training diverged: the gradient of step 2 is not a finite number; the weights before that step are untouched; \
         lower the learning rate of 1000000000000000000000000000000 or clip the gradient"
    );
    let (resumed, _, seen) = stopped(&config, Some(dir.path()), |event| matches!(event, Event::Ahead { .. }));
    assert_eq!((resumed, &seen.lines[0]), (step - 1, &format!("resumed {}", step - 1)));
}

#[test]
fn weights_that_are_not_finite_stop_at_the_first_step() {
    let mut tensors = first().tensors();
    let name = "model.norm.weight";
    let gain = Tensor::full(f32::NAN, 64, tensors[name].device()).unwrap();
    tensors.insert(name.to_owned(), gain);
    let model = Llama::from_tensors(crate::small::shape(), tensors).unwrap();
    let error = failure(&config(5), model, &corpus(), None);
    assert!(matches!(error, TrainError::Diverged { step: 1, quantity: "loss", .. }), "{error}");
}
