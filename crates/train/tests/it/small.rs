//! A model and a corpus small enough to train in a test.

use evidence::{Control, Digest};
use model::Llama;
use std::path::{Path, PathBuf};
use train::{Config, Corpus, Event, Outcome, TrainError, Trained};

pub(crate) fn shape() -> model::Config {
    model::Config {
        vocab: 96,
        layers: 2,
        width: 64,
        heads: 4,
        kv_heads: 2,
        hidden: 172,
        context: 32,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    }
}

pub(crate) fn first() -> Llama {
    Llama::init(&shape(), 11).unwrap()
}

/// Five documents with something to learn: mostly a fixed successor, now and then a jump; ids 1 to 95, separator 0.
pub(crate) fn corpus() -> Corpus {
    let document = |number: u64| {
        let (mut id, mut hash) = (number, number);
        let next = |_| {
            hash = hash.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            id = if hash >> 61 == 0 { (hash >> 20) % 95 } else { (id * 5 + 3) % 95 };
            id as u32 + 1
        };
        (0..700 + 13 * number).map(next).collect()
    };
    Corpus::new(&(1..=5).map(document).collect::<Vec<_>>(), 0)
}

pub(crate) fn config(steps: u64) -> Config {
    let config = Config::new(5, steps, 8, 32);
    let schedule = train::Schedule { warmup_steps: 5, ..config.schedule };
    Config { learning_rate: 3e-3, schedule, snapshot_every: 5, ..config }
}

/// What an observer saw, as lines.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) lines: Vec<String>,
    pub(crate) losses: Vec<f64>,
    pub(crate) penalties: Vec<f64>,
}

impl Seen {
    pub(crate) fn take(&mut self, event: &Event<'_>) {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        match event {
            Event::Ahead { step, .. } => self.lines.push(format!("ahead {step}")),
            Event::Done { step, loss_nats, penalty, .. } => {
                self.lines.push(format!("done {step}"));
                self.losses.push(*loss_nats);
                self.penalties.push(*penalty);
            }
            Event::Saved { step, path, .. } => self.lines.push(format!("saved {step} {}", name(path))),
            Event::Damaged { path, reason } => self.lines.push(format!("damaged {}: {reason}", name(path))),
            Event::Resumed { step } => self.lines.push(format!("resumed {step}")),
            Event::Scoring { step, .. } => self.lines.push(format!("scoring {step}")),
            Event::HeldOut { step, is_best, .. } => {
                self.lines.push(format!("held out {step}{}", if *is_best { " best" } else { "" }));
            }
            Event::Trouble { step, trouble } => self.lines.push(format!("trouble {step} {}", trouble.name())),
            Event::Adjusted { step, adjustment } => {
                self.lines.push(format!("adjusted {step} {} {}", adjustment.percent, adjustment.skip));
            }
        }
    }
}

/// A run that nobody stops.
pub(crate) fn undisturbed(config: &Config, dir: Option<&Path>) -> (Trained, Seen) {
    let mut seen = Seen::default();
    let mut observe = |event: &Event<'_>| {
        seen.take(event);
        Control::Continue
    };
    match train::run(config, first(), &corpus(), dir, &mut observe).unwrap() {
        Outcome::Finished(trained) => (trained, seen),
        Outcome::Stopped { .. } => panic!("nobody asked for a stop"),
    }
}

/// A run that is stopped at the first event for which `at` holds.
pub(crate) fn stopped(
    config: &Config,
    dir: Option<&Path>,
    at: impl Fn(&Event<'_>) -> bool,
) -> (u64, Option<(PathBuf, Digest)>, Seen) {
    let mut seen = Seen::default();
    let mut observe = |event: &Event<'_>| {
        seen.take(event);
        if at(event) { Control::Stop("enough".to_owned()) } else { Control::Continue }
    };
    match train::run(config, first(), &corpus(), dir, &mut observe).unwrap() {
        Outcome::Stopped { step, reason, snapshot, curve } => {
            assert_eq!((reason.as_str(), curve.len() as u64), ("enough", step));
            (step, snapshot, seen)
        }
        Outcome::Finished(_) => panic!("the run was not stopped"),
    }
}

pub(crate) fn failure(config: &Config, model: Llama, corpus: &Corpus, dir: Option<&Path>) -> TrainError {
    train::run(config, model, corpus, dir, &mut |_| Control::Continue).unwrap_err()
}

pub(crate) fn digest(trained: &Trained) -> Digest {
    train::parameters_digest(trained.model.parameters()).unwrap()
}
