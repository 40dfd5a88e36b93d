//! One run in one sitting or in several: the same weights, bit for bit.

use crate::small::{config, corpus, digest, first, stopped, undisturbed};
use evidence::{Control, Digest};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};
use train::{Config, Event, Optimizer, Outcome, Precision};

/// Runs until the observer is told of `step`, then dies inside the observer like a killed process would: without a word.
fn killed_after(config: &Config, dir: &Path, step: u64) {
    let died = std::panic::catch_unwind(|| {
        let mut observe = |event: &Event<'_>| {
            assert!(!matches!(event, Event::Done { step: done, .. } if *done == step), "killed");
            Control::Continue
        };
        train::run(config, first(), &corpus(), Some(dir), &mut observe).unwrap();
    });
    assert!(died.is_err());
}

fn weights_file(dir: &Path) -> Digest {
    Digest::of(&std::fs::read(dir.join("model.safetensors")).unwrap())
}

#[test]
fn a_killed_run_ends_with_the_same_weights() {
    for optimizer in Optimizer::ALL {
        let batch = if optimizer.takes_full_batch() { 64 } else { 8 };
        let dropout = if optimizer == Optimizer::LION { 0.1 } else { 0.0 };
        let accumulate = if optimizer == Optimizer::MUON { 2 } else { 1 };
        let precision = if optimizer == Optimizer::ADAM { Precision::Bf16 } else { Precision::F32 };
        let config = Config { optimizer, batch, dropout, accumulate, precision, ..config(20) };
        let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (straight, _) = undisturbed(&config, Some(whole.path()));
        killed_after(&config, broken.path(), 12);
        let (resumed, seen) = undisturbed(&config, Some(broken.path()));
        assert_eq!(seen.lines[..2], ["resumed 10", "ahead 11"]);
        assert_eq!(digest(&resumed), digest(&straight));
        assert_eq!(resumed.curve, straight.curve);
        let ((straight_path, straight_file), (resumed_path, resumed_file)) =
            (straight.snapshot.unwrap(), resumed.snapshot.unwrap());
        assert_eq!((resumed_file, weights_file(&resumed_path)), (straight_file, weights_file(&straight_path)));
    }
}

/// Also what the next test kills in a process of its own, in the folder it names.
#[test]
fn snapshots_are_told_of_once_they_stand() {
    let own = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("ASSIZE_TRAIN_KILLED").map_or(own.path().to_owned(), Into::into);
    let mut observe = |event: &Event<'_>| {
        match event {
            Event::Ahead { step, .. } => println!("\nahead {step}"),
            Event::Done { step, .. } => println!("\ndone {step}"),
            Event::Saved { step, path, digest } => {
                assert_eq!(weights_file(path), *digest);
                println!("\nsaved {step}");
            }
            _ => {}
        }
        Control::Continue
    };
    train::run(&config(20), first(), &corpus(), Some(&dir), &mut observe).unwrap();
}

/// `kill -9` between steps, while a snapshot is being written, and just after one.
#[test]
fn a_process_killed_outright_ends_with_the_same_weights() {
    let config = config(20);
    let (straight, _) = undisturbed(&config, None);
    for (moment, least) in [("ahead 9", 5), ("done 10", 5), ("done 15", 10), ("saved 15", 15)] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "sittings::snapshots_are_told_of_once_they_stand", "--nocapture"]);
        let mut child = command.env("ASSIZE_TRAIN_KILLED", dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == moment), "the run never came to `{moment}`");
        child.kill().unwrap();
        child.wait().unwrap();
        let (resumed, seen) = undisturbed(&config, Some(dir.path()));
        let from: u64 = seen.lines[0].strip_prefix("resumed ").unwrap().parse().unwrap();
        assert!(from >= least, "{moment}: {from}");
        assert_eq!(digest(&resumed), digest(&straight), "{moment}");
        assert_eq!(resumed.curve, straight.curve, "{moment}");
    }
}

#[test]
fn a_stopped_run_ends_with_the_same_weights() {
    let config = config(20);
    let (straight, _) = undisturbed(&config, None);
    type Place = fn(&Event<'_>) -> bool;
    let stops: [(&str, u64, Place); 5] = [
        ("before the first step", 0, |event| matches!(event, Event::Ahead { step: 1, .. })),
        ("before a step", 7, |event| matches!(event, Event::Ahead { step: 8, .. })),
        ("after a step", 8, |event| matches!(event, Event::Done { step: 8, .. })),
        ("after a step that is saved anyway", 10, |event| matches!(event, Event::Done { step: 10, .. })),
        ("after a snapshot", 5, |event| matches!(event, Event::Saved { step: 5, .. })),
    ];
    for (place, expected, at) in stops {
        let dir = tempfile::tempdir().unwrap();
        let (step, snapshot, seen) = stopped(&config, Some(dir.path()), at);
        let (path, file) = snapshot.unwrap();
        assert_eq!((step, weights_file(&path)), (expected, file), "{place}");
        assert_eq!(seen.lines.last().unwrap(), &format!("saved {step} step-{step:08}"), "{place}");
        let (resumed, seen) = undisturbed(&config, Some(dir.path()));
        assert_eq!(seen.lines[0], format!("resumed {step}"), "{place}");
        assert_eq!(digest(&resumed), digest(&straight), "{place}");
        assert_eq!(resumed.curve, straight.curve, "{place}");
    }
}

#[test]
fn a_step_that_is_refused_is_not_taken() {
    let (step, snapshot, seen) = stopped(&config(20), None, |event| matches!(event, Event::Ahead { step: 4, .. }));
    assert_eq!((step, snapshot), (3, None));
    assert_eq!(seen.lines, ["ahead 1", "done 1", "ahead 2", "done 2", "ahead 3", "done 3", "ahead 4"]);
}

#[test]
fn a_stop_while_resuming_takes_no_step() {
    let (config, dir) = (config(20), tempfile::tempdir().unwrap());
    stopped(&config, Some(dir.path()), |event| matches!(event, Event::Ahead { step: 8, .. }));
    let (step, snapshot, seen) = stopped(&config, Some(dir.path()), |event| matches!(event, Event::Resumed { .. }));
    assert_eq!((step, seen.lines.as_slice()), (7, ["resumed 7".to_owned()].as_slice()));
    assert_eq!(snapshot.unwrap().0, dir.path().join("step-00000007"));
}

#[test]
fn a_finished_run_takes_no_further_step() {
    let (config, dir) = (config(6), tempfile::tempdir().unwrap());
    let (once, _) = undisturbed(&config, Some(dir.path()));
    let (again, seen) = undisturbed(&config, Some(dir.path()));
    assert_eq!(seen.lines, ["resumed 6"]);
    assert_eq!((digest(&again), again.curve, again.snapshot), (digest(&once), once.curve, once.snapshot));
}

/// A warning, and a stop once everything is done, change nothing.
#[test]
fn a_warning_does_not_stop() {
    let config = config(3);
    let mut n_events = 0;
    let mut observe = |event: &Event<'_>| {
        n_events += 1;
        if matches!(event, Event::Done { step: 3, .. }) {
            Control::Stop("late".to_owned())
        } else {
            Control::Warn("hm".to_owned())
        }
    };
    let outcome = train::run(&config, first(), &corpus(), None, &mut observe).unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)));
    assert_eq!(n_events, 6);
}

#[test]
fn the_loss_falls_under_every_optimiser() {
    let rates = [(Optimizer::ADAM_W, 3e-3, 30), (Optimizer::SGD, 0.3, 30), (Optimizer::GradientDescent, 1.0, 10)];
    for (optimizer, learning_rate, steps) in rates {
        let schedule = train::Schedule { warmup_steps: 2, ..config(steps).schedule };
        let config = Config { optimizer, learning_rate, schedule, ..config(steps) };
        let (_, seen) = undisturbed(&config, None);
        let (begun, ended) = (seen.losses[0], *seen.losses.last().unwrap());
        // Fresh weights know nothing: the first loss is near ln 96 = 4.564.
        assert!((begun - 96_f64.ln()).abs() < 0.2, "{optimizer:?}: {begun}");
        assert!(ended < begun - 0.5, "{optimizer:?}: {begun} to {ended}");
    }
}

/// The full batch is one and the same function of the weights however it is cut into chunks. Tolerance: f32 sums in
/// another order, 1e-5 relative on the loss after three steps.
#[test]
fn the_full_batch_does_not_depend_on_its_chunks() {
    let losses = |batch: usize| {
        let config = Config { optimizer: Optimizer::GradientDescent, learning_rate: 0.5, batch, ..config(3) };
        undisturbed(&config, None).1.losses
    };
    for (one, other) in losses(7).into_iter().zip(losses(50)) {
        assert!((one - other).abs() < 1e-5 * one, "{one} {other}");
    }
}
