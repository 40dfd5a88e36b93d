//! One run spread over ranks, here threads: the same weights, the same record, and a snapshot when one is lost.

use crate::small::{Seen, config, corpus, digest, first};
use evidence::{Control, Digest};
use std::{path::Path, thread, time::Duration};
use train::{
    Batch, Batches, Config, Corpus, EarlyStop, Event, Loader, Optimizer, Outcome, Penalty, Point, Ranks, Sources,
    TrainError, Trained, run_ranked,
};

/// Held-out text of its own.
fn held_out() -> Corpus {
    Corpus::new(&[corpus().tokens()[..700].iter().rev().copied().collect()], 0)
}

/// Runs `of` as each of n ranks and gives what they came to, or that they died.
fn spread<T: Send>(n: usize, of: impl Fn(Ranks) -> T + Sync) -> Vec<thread::Result<T>> {
    let of = &of;
    thread::scope(|scope| {
        let threads: Vec<_> = Ranks::in_threads(n).into_iter().map(|ranks| scope.spawn(move || of(ranks))).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    })
}

/// What each rank came to; the observer of the first sees `seen`, the others' panic.
fn together(config: &Config, dir: Option<&Path>, n: usize) -> Vec<(Result<Outcome, TrainError>, Seen)> {
    let of = |ranks: Ranks| {
        let (corpus, held_out, mut seen) = (corpus(), held_out(), Seen::default());
        let sources = Sources { corpus: &corpus, held_out: Some(&held_out), loader: None };
        let outcome = run_ranked(config, first(), &sources, dir, &ranks, &mut |event| {
            assert!(ranks.is_first(), "rank {} was asked", ranks.rank());
            seen.take(event);
            Control::Continue
        });
        (outcome, seen)
    };
    spread(n, of).into_iter().map(Result::unwrap).collect()
}

fn finished((outcome, _): (Result<Outcome, TrainError>, Seen)) -> Trained {
    match outcome.unwrap() {
        Outcome::Finished(trained) => trained,
        Outcome::Stopped { reason, .. } => panic!("{reason}"),
    }
}

fn on_all(config: &Config, dir: Option<&Path>, n: usize) -> (Digest, Vec<Point>) {
    let mut all: Vec<(Digest, Vec<Point>)> = together(config, dir, n)
        .into_iter()
        .map(|rank| {
            let trained = finished(rank);
            (digest(&trained), trained.curve)
        })
        .collect();
    assert!(all.iter().all(|rank| *rank == all[0]), "the ranks of {n} have come apart");
    all.remove(0)
}

#[test]
fn with_parts_set_the_weights_do_not_depend_on_the_number_of_ranks() {
    let penalty = Penalty { l1: 1e-6, l2: 1e-4, ..Penalty::default() };
    for config in [
        Config { parts: Some(4), ..config(8) },
        Config { parts: Some(3), dropout: 0.1, penalty, accumulate: 2, ..config(6) },
        Config { parts: Some(5), optimizer: Optimizer::GradientDescent, learning_rate: 0.5, batch: 40, ..config(3) },
        Config { parts: Some(2), early_stop: Some(EarlyStop { every: 2, patience: 2 }), ..config(8) },
    ] {
        let alone = on_all(&config, None, 1);
        for n in 2..=config.parts.unwrap() {
            assert_eq!(on_all(&config, None, n), alone, "{n} ranks, {config:?}");
        }
    }
}

/// Without parts, two ranks add in f32 what one adds in another order. Tolerance: 1e-6 relative on the loss over 30 steps, some
/// roundings of f32; measured 2.6e-8, of losses rounded to nine digits.
#[test]
fn without_parts_the_loss_curve_is_that_of_one_process_to_rounding() {
    let config = config(30);
    let (one, two) = (on_all(&config, None, 1).1, on_all(&config, None, 2).1);
    let mut largest = 0_f64;
    for (one, two) in one.iter().zip(&two) {
        let apart = (one.loss.to_f64() - two.loss.to_f64()).abs() / one.loss.to_f64();
        largest = largest.max(apart);
    }
    println!("largest relative difference {largest:e}");
    assert!(largest < 1e-6, "{largest}");
    assert_eq!(one.len(), two.len());
}

#[test]
fn snapshots_are_taken_up_by_any_number_of_ranks() {
    let config = Config { parts: Some(4), ..config(12) };
    let straight = on_all(&config, None, 1);
    for order in [[2, 1, 3], [1, 4, 2]] {
        let dir = tempfile::tempdir().unwrap();
        for (sitting, n) in order.into_iter().enumerate() {
            let steps = [5, 10, 12][sitting] as u64;
            let stop = |event: &Event<'_>| matches!(event, Event::Done { step, .. } if *step == steps);
            let of = |ranks: Ranks| {
                let corpus = corpus();
                let sources = Sources { corpus: &corpus, held_out: None, loader: None };
                run_ranked(&config, first(), &sources, Some(dir.path()), &ranks, &mut |event| {
                    if stop(event) { Control::Stop("enough".to_owned()) } else { Control::Continue }
                })
            };
            let stopped: Vec<Outcome> = spread(n, of).into_iter().map(Result::unwrap).map(Result::unwrap).collect();
            for outcome in stopped {
                match outcome {
                    Outcome::Stopped { step, reason, .. } => assert_eq!((step, reason.as_str()), (steps, "enough")),
                    Outcome::Finished(trained) => assert_eq!((digest(&trained), trained.curve), straight, "{order:?}"),
                }
            }
        }
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}

/// A loader that gives what the corpus would, but on the second rank something else as its fourth batch.
fn loader(rank: usize, fourth: fn(Batch) -> Batch) -> Loader {
    let corpus = corpus();
    Loader::new(Duration::from_secs(60), move |number| {
        let batch = Batches::new(&corpus, 32, 8, 5)?.batch(number)?;
        Ok(if (rank, number) == (1, 4) { fourth(batch) } else { batch })
    })
}

/// One that can be computed nowhere, and one that brings its thread down.
#[test]
fn a_rank_that_fails_or_dies_leaves_a_snapshot_and_the_reason() {
    let config = Config { parts: Some(2), ..config(12) };
    let straight = on_all(&config, None, 1);
    let unknown = |batch: Batch| Batch { inputs: (batch.inputs * 5.0).unwrap(), ..batch };
    let deadly = |batch: Batch| Batch { weights: Some(Vec::new()), ..batch };
    for (fourth, told) in [
        (
            unknown as fn(Batch) -> Batch,
            "rank 1 could not go on: the pass through the model failed: expected tokens below 96",
        ),
        (deadly, "rank 1 is gone"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let of = |ranks: Ranks| {
            let (corpus, loader) = (corpus(), loader(ranks.rank(), fourth));
            let sources = Sources { corpus: &corpus, held_out: None, loader: Some(&loader) };
            run_ranked(&config, first(), &sources, Some(dir.path()), &ranks, &mut |_| Control::Continue)
        };
        let mut ended = spread(2, of);
        let second = ended.pop().unwrap();
        assert!(second.is_err() || second.unwrap().is_err());
        let kept = ended.pop().unwrap().unwrap();
        let Ok(Outcome::Stopped { step, reason, snapshot, .. }) = kept else { panic!("{kept:?}") };
        assert!(reason.contains(told), "{reason}");
        assert_eq!((step, snapshot.unwrap().0), (3, dir.path().join("step-00000003")));
        assert_eq!(on_all(&config, Some(dir.path()), 1), straight);
    }
}

#[test]
fn ranks_that_differ_are_told_apart_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let of = |ranks: Ranks| {
        let (config, corpus) = (Config { seed: 5 + ranks.rank() as u64, ..config(4) }, corpus());
        let sources = Sources { corpus: &corpus, held_out: None, loader: None };
        let run = run_ranked(&config, first(), &sources, Some(dir.path()), &ranks, &mut |_| Control::Continue);
        run.unwrap_err().to_string()
    };
    let messages: Vec<String> = spread(2, of).into_iter().map(Result::unwrap).collect();
    for message in messages {
        assert!(message.starts_with("rank 1 differs from rank 0 in its run"), "{message}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn more_ranks_than_parts_are_refused() {
    for (config, found, message) in [
        (
            Config { parts: Some(2), ..config(4) },
            3,
            "expected `ranks` to be at most as many as the 2 `parts` of a batch, found 3",
        ),
        (
            Config { batch: 2, ..config(4) },
            3,
            "expected `ranks` to be at most as many as the 2 windows of a batch, found 3",
        ),
        (
            Config { parts: Some(9), ..config(4) },
            1,
            "expected `parts` to be from 1 to the 8 windows of a batch, found 9",
        ),
    ] {
        for (outcome, _) in together(&config, None, found) {
            assert_eq!(outcome.unwrap_err().to_string(), message);
        }
    }
}

#[test]
fn the_first_rank_alone_is_asked_and_its_answers_are_everybodys() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { early_stop: Some(EarlyStop { every: 3, patience: 5 }), ..config(6) };
    let mut all = together(&config, Some(dir.path()), 2);
    let (alone, other) = (together(&config, None, 1).remove(0).1, all.remove(1));
    let seen = &all[0].1;
    assert_eq!(other.1.lines.len(), 0);
    let without =
        |seen: &Seen| -> Vec<String> { seen.lines.iter().filter(|line| !line.starts_with("saved")).cloned().collect() };
    assert_eq!(without(seen), without(&alone));
    assert!(seen.lines.iter().any(|line| line.starts_with("held out")));
    finished(other);
}
