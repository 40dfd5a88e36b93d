//! Regularisation in a run: early stopping, accumulation, smoothing, dropout, the group lasso.

use crate::small::{Seen, config, corpus, digest, first, undisturbed};
use evidence::Control;
use std::path::Path;
use train::{Config, Corpus, EarlyStop, Event, Optimizer, Outcome, Penalty, Sources, Trained};

fn held_out() -> Corpus {
    // Another law of succession than the corpus has: learning the corpus makes it worse after a while.
    Corpus::new(&[(0..400_u32).map(|i| 1 + (i * i + 7 * i) % 95).collect()], 0)
}

fn looking(config: &Config, dir: Option<&Path>, stop_at: Option<u64>) -> (Outcome, Seen) {
    let (corpus, held_out) = (corpus(), held_out());
    let sources = Sources { corpus: &corpus, held_out: Some(&held_out), loader: None };
    let mut seen = Seen::default();
    let mut observe = |event: &Event<'_>| {
        seen.take(event);
        match event {
            Event::Done { step, .. } if Some(*step) == stop_at => Control::Stop("enough".to_owned()),
            _ => Control::Continue,
        }
    };
    let outcome = train::run_with(config, first(), &sources, dir, &mut observe).unwrap();
    (outcome, seen)
}

fn finished(outcome: Outcome) -> Trained {
    match outcome {
        Outcome::Finished(trained) => trained,
        Outcome::Stopped { reason, .. } => panic!("{reason}"),
    }
}

#[test]
fn a_run_that_no_longer_helps_ends_with_its_best_weights() {
    let config = Config { early_stop: Some(EarlyStop { every: 2, patience: 3 }), keep_snapshots: 1, ..config(60) };
    let dir = tempfile::tempdir().unwrap();
    let (outcome, seen) = looking(&config, Some(dir.path()), None);
    let trained = finished(outcome);
    let best = trained.looks.iter().min_by_key(|look| (look.loss, look.step)).unwrap().step;
    let last = trained.looks.last().unwrap().step;
    assert!(last < 60 && last == best + 6, "{:?}", trained.looks);
    assert!(seen.lines.contains(&format!("held out {best} best")));
    // The best snapshot is kept beside the newest, and the weights are its.
    let mut kept: Vec<String> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    kept.sort();
    assert_eq!(kept, [format!("step-{best:08}"), format!("step-{last:08}")]);
    let file = dir.path().join(&kept[0]).join("model.safetensors");
    let held = first().restored(model::weights::load(&file).unwrap()).unwrap();
    assert_eq!(train::parameters_digest(held.parameters()).unwrap(), digest(&trained));
    // In two sittings, and taken up when nothing is left.
    let broken = tempfile::tempdir().unwrap();
    assert!(matches!(looking(&config, Some(broken.path()), Some(best + 1)).0, Outcome::Stopped { .. }));
    let resumed = finished(looking(&config, Some(broken.path()), None).0);
    assert_eq!((digest(&resumed), &resumed.looks), (digest(&trained), &trained.looks));
    let (outcome, seen) = looking(&config, Some(broken.path()), None);
    assert_eq!((digest(&finished(outcome)), seen.lines.len()), (digest(&trained), 1));
}

/// A budget may end before a look as before a step: what was left out is done when the work is taken up, at the last step too.
#[test]
fn a_look_that_was_stopped_is_taken_up() {
    let config = Config { early_stop: Some(EarlyStop { every: 2, patience: 9 }), ..config(6) };
    let trained = finished(looking(&config, None, None).0);
    let (corpus, held_out) = (corpus(), held_out());
    let sources = Sources { corpus: &corpus, held_out: Some(&held_out), loader: None };
    for refused in [4, 6] {
        let dir = tempfile::tempdir().unwrap();
        let mut observe = |event: &Event<'_>| match event {
            Event::Scoring { step, .. } if *step == refused => Control::Stop("no room".to_owned()),
            _ => Control::Continue,
        };
        let outcome = train::run_with(&config, first(), &sources, Some(dir.path()), &mut observe).unwrap();
        assert!(matches!(outcome, Outcome::Stopped { step, .. } if step == refused), "{outcome:?}");
        let resumed = finished(looking(&config, Some(dir.path()), None).0);
        assert_eq!((digest(&resumed), &resumed.looks), (digest(&trained), &trained.looks), "{refused}");
    }
}

#[test]
fn early_stopping_without_held_out_text_is_refused() {
    let config = Config { early_stop: Some(EarlyStop { every: 2, patience: 3 }), ..config(6) };
    let error = train::run(&config, first(), &corpus(), None, &mut |_| Control::Continue).unwrap_err();
    assert_eq!(error.to_string(), "early stopping needs held-out text");
}

/// Four batches of 2 make the step of one of 8: the same windows in the same order. Tolerance: sums in f32 in another order,
/// 1e-5 of the loss after 20 steps.
#[test]
fn accumulated_batches_make_the_step_of_one_large_one() {
    let (whole, _) = undisturbed(&config(20), None);
    let (parts, _) = undisturbed(&Config { batch: 2, accumulate: 4, ..config(20) }, None);
    for (a, b) in whole.curve.iter().zip(&parts.curve) {
        assert!((a.loss.to_f64() / b.loss.to_f64() - 1.0).abs() < 1e-5, "{a:?} {b:?}");
    }
    assert_ne!(whole.curve[0].loss, undisturbed(&Config { batch: 2, ..config(1) }, None).0.curve[0].loss);
}

#[test]
fn checkpoints_change_memory_and_no_bit() {
    let (plain, _) = undisturbed(&config(6), None);
    let (again, _) = undisturbed(&Config { checkpoints: true, ..config(6) }, None);
    assert_eq!(digest(&plain), digest(&again));
}

/// Smoothing keeps the model from certainty: its loss is over −ln(1 − ε + ε/V) − …, and above that without; dropout slows the fit.
#[test]
fn smoothing_and_dropout_hold_a_fit_back() {
    let last = |config: &Config| undisturbed(config, None).0.curve.last().unwrap().loss.to_f64();
    let plain = last(&config(60));
    let smoothed = last(&Config { label_smoothing: 0.2, ..config(60) });
    let dropped = last(&Config { dropout: 0.3, ..config(60) });
    assert!(smoothed > plain + 0.1 && dropped > plain, "{plain} {smoothed} {dropped}");
}

#[test]
fn the_group_lasso_draws_whole_channels_together() {
    let norm = |penalty: Penalty| {
        let optimizer = Optimizer::Sgd { momentum: 0.0, nesterov: false };
        let config = Config { optimizer, learning_rate: 0.05, penalty, ..config(20) };
        let tensors = undisturbed(&config, None).0.model.tensors();
        let of = |name: &str| tensors[name].sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        (of("model.layers.1.mlp.up_proj.weight"), of("model.layers.1.self_attn.q_proj.weight"))
    };
    let (plain, channels, heads) = (
        norm(Penalty::default()),
        norm(Penalty { channels: 0.01, ..Penalty::default() }),
        norm(Penalty { heads: 0.01, ..Penalty::default() }),
    );
    assert!(channels.0 < 0.99 * plain.0 && heads.1 < 0.99 * plain.1, "{plain:?} {channels:?} {heads:?}");
}
