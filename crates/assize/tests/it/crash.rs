//! `kill -9` at twenty moments of a run, each in a folder of its own; then the run is taken up again.

use crate::Bench;
use serde_json::Value;
use std::{
    fs,
    io::Read as _,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const MOMENTS: usize = 20;

/// Shares of an undisturbed run's time, spread over it and shifted by a small generator: many places, the same each time.
fn moments() -> Vec<f64> {
    let mut state = 41_u64;
    let shares = (0..MOMENTS).map(|moment| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (moment as f64 + (state >> 11) as f64 / (1_u64 << 53) as f64) / MOMENTS as f64
    });
    shares.collect()
}

/// Starts a run, kills it after `share` of `whole`, and gives the envelopes it had said were recorded.
fn killed(bench: &Bench, after: Duration) -> Vec<String> {
    let mut child = bench.command("run examples/first-case --json").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let events = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter_map(|event| event["envelope"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_killed_run_loses_nothing_and_ends_at_the_same_weights() {
    let undisturbed = Bench::new();
    let begun = Instant::now();
    undisturbed.ends("run examples/first-case", 0);
    let (whole, expected) = (begun.elapsed(), undisturbed.weights());
    let (moments, next, n_cut) = (moments(), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(share) = moments.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let bench = Bench::new();
                    let acknowledged = killed(&bench, whole.mul_f64(*share));
                    let sealed = bench.dossier().join("index.html").exists();
                    n_cut.fetch_add(usize::from(!sealed), Ordering::SeqCst);
                    bench.ends("run examples/first-case", 0);
                    assert_eq!(bench.weights(), expected, "killed at {share} of the run");
                    assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
                    for envelope in acknowledged {
                        let path = bench.dossier().join(format!("envelopes/{envelope}.json"));
                        assert!(path.is_file(), "{envelope} was acknowledged before the kill at {share}");
                    }
                    assert!(fs::read_dir(bench.dossier()).unwrap().all(|file| {
                        !file.unwrap().file_name().to_string_lossy().ends_with(".unfinished")
                    }));
                }
            });
        }
    });
    assert!(n_cut.into_inner() >= MOMENTS / 2, "most kills must come before the end");
}
