//! Each kind of trouble, made on purpose, and what each answer to it does.

use crate::small::{Seen, config, corpus, digest, first, undisturbed};
use evidence::Control;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use train::{Batches, Config, Event, Loader, Outcome, Sources, Trained, Watch};

/// A run whose observer answers trouble with `answer`; what it saw beside.
fn answered(
    config: &Config,
    dir: Option<&Path>,
    loader: Option<&Loader>,
    mut answer: impl FnMut(u64) -> Control,
) -> (Result<Outcome, train::TrainError>, Seen) {
    let mut seen = Seen::default();
    let mut observe = |event: &Event<'_>| {
        seen.take(event);
        if let Event::Trouble { step, .. } = event { answer(*step) } else { Control::Continue }
    };
    let corpus = corpus();
    let sources = Sources { corpus: &corpus, held_out: None, loader };
    let outcome = train::run_with(config, first(), &sources, dir, &mut observe);
    (outcome, seen)
}

fn finished(outcome: Result<Outcome, train::TrainError>) -> Trained {
    match outcome.unwrap() {
        Outcome::Finished(trained) => trained,
        Outcome::Stopped { reason, .. } => panic!("{reason}"),
    }
}

/// A watch that tells of any step above the mean of the three before by a tenth; and a batch whose targets are turned round.
fn watchful(steps: u64) -> Config {
    let watch = Watch { window: 3, spike_sigmas: 0.1, divergence_nats: 100.0 };
    Config { watch, snapshot_every: 4, ..config(steps) }
}

/// Batch `bad` predicts what nobody could.
fn poisoned(bad: u64) -> Loader {
    Loader::new(Duration::from_secs(60), move |number| {
        let corpus = corpus();
        let mut batch = Batches::new(&corpus, 32, 8, 5)?.batch(number)?;
        if number == bad {
            batch.targets = batch.targets.affine(0.0, 95.0)?;
        }
        Ok(batch)
    })
}

fn told(seen: &Seen) -> Vec<&str> {
    let is_told = |line: &&str| line.starts_with("trouble") || line.starts_with("adjusted");
    seen.lines.iter().map(String::as_str).filter(is_told).collect()
}

#[test]
fn a_loader_of_the_same_batches_changes_nothing() {
    let config = watchful(8);
    let (plain, _) = undisturbed(&config, None);
    let (outcome, seen) = answered(&config, None, Some(&poisoned(0)), |_| Control::Continue);
    assert_eq!((digest(&finished(outcome)), told(&seen)), (digest(&plain), vec![]));
}

#[test]
fn after_a_spike_the_run_goes_on_lower_back_or_stops_as_it_is_told() {
    let config = watchful(40);
    let dir = || tempfile::tempdir().unwrap();

    let (outcome, seen) = answered(&config, None, Some(&poisoned(31)), |_| Control::Continue);
    // What is told of later comes of the step that was taken.
    assert_eq!((finished(outcome).curve.len(), told(&seen)[0]), (40, "trouble 31 spike"));

    let (outcome, seen) = answered(&config, None, Some(&poisoned(31)), |_| Control::LowerRate { percent: 25 });
    let lowered = finished(outcome);
    assert_eq!(told(&seen)[..2], ["trouble 31 spike", "adjusted 30 25 0"]);
    let rate = |step: u64, share: f64| share * config.schedule.learning_rate(config.learning_rate, step, 40);
    for (step, share) in [(30, 1.0), (31, 0.25), (32, 0.25)] {
        let found = lowered.curve[step as usize - 1].learning_rate.to_f64();
        assert!((found / rate(step, share) - 1.0).abs() < 1e-8, "{step}");
    }

    let folder = dir();
    // The first time only: what is told of later comes of the step that was taken.
    let mut is_first = true;
    let back = |_| match std::mem::take(&mut is_first) {
        true => Control::RollBack { percent: 50, skip: 3 },
        false => Control::Continue,
    };
    let (outcome, seen) = answered(&config, Some(folder.path()), Some(&poisoned(31)), back);
    let back = finished(outcome);
    assert_eq!(told(&seen)[..2], ["trouble 31 spike", "adjusted 28 50 3"], "batches 29 to 31 are left out");
    assert_eq!((back.curve.len(), back.adjustments[0].lost), (40, 2));
    assert!((back.curve[28].learning_rate.to_f64() / rate(29, 0.5) - 1.0).abs() < 1e-8);

    let folder = dir();
    let stop = |_| Control::Stop("paused".to_owned());
    let (outcome, _) = answered(&config, Some(folder.path()), Some(&poisoned(31)), stop);
    let Outcome::Stopped { step: 30, reason, snapshot: Some(_), .. } = outcome.unwrap() else { panic!("not stopped") };
    assert_eq!(reason, "paused");
}

#[test]
fn a_run_that_went_back_and_was_killed_ends_as_one_that_was_not() {
    let config = watchful(40);
    let back = |_| Control::RollBack { percent: 50, skip: 3 };
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (outcome, _) = answered(&config, Some(whole.path()), Some(&poisoned(31)), back);
    let straight = finished(outcome);
    // Stopped after it went back, then taken up: the adjustment is in the snapshot, and no trouble is met again.
    let mut seen = Seen::default();
    let loader = poisoned(31);
    let corpus = corpus();
    let sources = Sources { corpus: &corpus, held_out: None, loader: Some(&loader) };
    let mut observe = |event: &Event<'_>| {
        seen.take(event);
        match event {
            Event::Trouble { .. } => Control::RollBack { percent: 50, skip: 3 },
            Event::Done { step: 33, .. } => Control::Stop("enough".to_owned()),
            _ => Control::Continue,
        }
    };
    train::run_with(&config, first(), &sources, Some(broken.path()), &mut observe).unwrap();
    let (outcome, seen) = answered(&config, Some(broken.path()), Some(&poisoned(31)), |_| Control::Continue);
    assert_eq!((seen.lines[0].as_str(), told(&seen)), ("resumed 33", vec![]));
    let resumed = finished(outcome);
    assert_eq!(digest(&resumed), digest(&straight));
    assert_eq!((resumed.curve, resumed.adjustments), (straight.curve, straight.adjustments));
}

#[test]
fn nothing_to_go_back_to_is_an_error() {
    let config = Config { snapshot_every: 0, ..watchful(40) };
    let back = |_| Control::RollBack { percent: 50, skip: 0 };
    let (outcome, _) = answered(&config, None, Some(&poisoned(31)), back);
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "cannot roll back at step 31: no snapshot of this run stands; give a folder and a smaller `snapshot_every`"
    );
}

/// A batch that counts for NaN makes the loss one.
#[test]
fn a_run_that_leaves_the_finite_numbers_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let loader = Loader::new(Duration::from_secs(60), |number| {
        let mut batch = Batches::new(&corpus(), 32, 8, 5)?.batch(number)?;
        batch.weights = (number == 6).then(|| vec![f32::NAN; 256]);
        Ok(batch)
    });
    for (answer, expected) in [
        (Control::RollBack { percent: 50, skip: 2 }, ["trouble 6 not-finite", "adjusted 5 50 2"]),
        (Control::RollBack { percent: 100, skip: 1 }, ["trouble 6 not-finite", "adjusted 5 100 1"]),
    ] {
        let config = Config { snapshot_every: 5, ..config(8) };
        let (outcome, seen) = answered(&config, Some(folder.path()), Some(&loader), |_| answer.clone());
        assert_eq!((finished(outcome).curve.len(), told(&seen)), (8, expected.to_vec()));
        std::fs::remove_dir_all(folder.path()).unwrap();
    }
    let (outcome, _) = answered(&config(8), None, Some(&loader), |_| Control::Continue);
    assert!(matches!(outcome.unwrap_err(), train::TrainError::Diverged { step: 6, quantity: "loss", .. }));
}

#[test]
fn divergence_is_told_of() {
    let watch = Watch { window: 2, spike_sigmas: 1e6, divergence_nats: 0.05 };
    let config = Config { watch, learning_rate: 1.0, clip_norm: None, ..config(30) };
    let (outcome, seen) = answered(&config, None, None, |_| Control::Stop("it diverges".to_owned()));
    assert!(matches!(outcome.unwrap(), Outcome::Stopped { reason, .. } if reason == "it diverges"));
    assert!(told(&seen)[0].ends_with("divergence"), "{:?}", told(&seen));
}

#[test]
fn a_dead_loader_is_told_of_asked_again_and_given_up_on() {
    let asked = Arc::new(AtomicU64::new(0));
    let failing = |until: u64, how: fn()| {
        let asked = Arc::clone(&asked);
        asked.store(0, Ordering::SeqCst);
        Loader::new(Duration::from_millis(300), move |number| {
            if number == 3 && asked.fetch_add(1, Ordering::SeqCst) < until {
                how();
                return Err(train::DataError::Empty { context: 0, batch: 0 });
            }
            Batches::new(&corpus(), 32, 8, 5)?.batch(number)
        })
    };
    let (plain, _) = undisturbed(&config(5), None);
    let fails: fn() = || ();
    let dies: fn() = || panic!("on purpose");
    let hangs: fn() = || std::thread::sleep(Duration::from_secs(1));
    for (name, how, reason) in [
        ("fails", fails, "expected a context and a batch of at least 1, found 0 and 0"),
        ("dies", dies, "the loader died"),
        ("hangs", hangs, "no batch in 0.3 s"),
    ] {
        let (outcome, seen) = answered(&config(5), None, Some(&failing(2, how)), |_| Control::Continue);
        assert_eq!(told(&seen), ["trouble 3 loader"; 2], "{name}");
        assert_eq!(digest(&finished(outcome)), digest(&plain), "{name}");
        let (outcome, _) = answered(&config(5), None, Some(&failing(99, how)), |_| Control::Continue);
        let expected =
            format!("no batch came for step 3 in 3 tries: {reason}; the weights before that step are untouched");
        assert_eq!(outcome.unwrap_err().to_string(), expected);
    }
}
