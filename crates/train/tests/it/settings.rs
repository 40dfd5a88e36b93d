//! Settings outside their range, and corpora that do not fit, are refused before any work.

use crate::small::{config, corpus, failure, first};
use train::{Config, Corpus, Decay, Optimizer, Penalty, Schedule};

#[test]
fn settings_outside_their_range_are_refused() {
    let adam = |beta1, eps| Optimizer::AdamW { beta1, beta2: 0.95, eps, weight_decay: 0.1 };
    let table = [
        (Config { steps: 0, ..config(1) }, "expected `steps` to be at least 1, found 0"),
        (Config { context: 33, ..config(1) }, "expected `context` to be at most the model's 32, found 33"),
        (Config { context: 0, ..config(1) }, "expected a context and a batch of at least 1, found 0 and 8"),
        (Config { batch: 0, ..config(1) }, "expected a context and a batch of at least 1, found 32 and 0"),
        (Config { keep_snapshots: 0, ..config(1) }, "expected `keep_snapshots` to be at least 1, found 0"),
        (Config { learning_rate: 0.0, ..config(1) }, "expected `learning_rate` to be a finite number above 0, found 0"),
        (
            Config { learning_rate: f64::NAN, ..config(1) },
            "expected `learning_rate` to be a finite number above 0, found NaN",
        ),
        (Config { clip_norm: Some(-1.0), ..config(1) }, "expected `clip_norm` to be a finite number above 0, found -1"),
        (
            Config { penalty: Penalty { l1: -0.1, ..Penalty::default() }, ..config(1) },
            "expected `l1` to be a finite number of at least 0, found -0.1",
        ),
        (
            Config { optimizer: Optimizer::Sgd { momentum: 1.0, nesterov: false }, ..config(1) },
            "expected `momentum` to be at least 0 and below 1, found 1",
        ),
        (
            Config { optimizer: adam(-0.5, 1e-8), ..config(1) },
            "expected `beta1` to be at least 0 and below 1, found -0.5",
        ),
        (Config { optimizer: adam(0.9, 0.0), ..config(1) }, "expected `eps` to be a finite number above 0, found 0"),
        (
            Config { schedule: Schedule { decay: Decay::Linear, min_ratio: 1.5, ..Schedule::default() }, ..config(1) },
            "expected `min_ratio` to be from 0 to 1, found 1.5",
        ),
    ];
    for (config, message) in table {
        assert_eq!(failure(&config, first(), &corpus(), None).to_string(), message);
    }
}

#[test]
fn corpora_that_do_not_fit_are_refused() {
    let short = Corpus::new(&[vec![1; 32]], 0);
    assert_eq!(
        failure(&config(1), first(), &short, None).to_string(),
        "expected at least 33 tokens for one window of 32 positions, found 32; add text or lower the context"
    );
    let strange = Corpus::new(&[vec![1; 40], vec![96]], 0);
    assert_eq!(
        failure(&config(1), first(), &strange, None).to_string(),
        "token 96 at position 41 is outside the vocabulary of 96; was the corpus encoded with this model's tokenizer?"
    );
}

/// By hand: 5 documents of 700 + 13 · i ids and 4 separators are 3699 tokens, 115 windows of 32.
#[test]
fn the_tokens_of_a_step_are_known_before_it() {
    assert_eq!((corpus().tokens().len(), corpus().n_windows(32)), (3699, 115));
    assert_eq!(config(1).tokens_per_step(&corpus()).unwrap(), 8 * 32);
    let full = Config { optimizer: Optimizer::GradientDescent, ..config(1) };
    assert_eq!(full.tokens_per_step(&corpus()).unwrap(), 115 * 32);
}

#[test]
fn what_shapes_the_weights_is_written_exactly() {
    let expected = "{\"adamw\":{\"beta1\":\"0.9\",\"beta2\":\"0.95\",\"eps\":\"0.00000001\",\"weightDecay\":\"0.1\"},\"batch\":8,\
        \"clipNorm\":\"1\",\"context\":32,\"l1\":\"0\",\"l2\":\"0\",\"learningRate\":\"0.003\",\"optimizer\":\"adamw\",\
        \"schedule\":{\"decay\":\"cosine\",\"minRatio\":\"0.1\",\"warmupSteps\":5},\"seed\":5,\"steps\":20}";
    assert_eq!(config(20).to_json().unwrap().canonical(), expected);
}
