//! The same case gives the same weights: again, on one thread, and when nothing is left to do.

use crate::Bench;

#[test]
fn threads_and_repetition_do_not_change_the_weights() {
    let digest = |n_threads: &str| {
        let bench = Bench::new();
        let mut command = bench.command("run examples/first-case");
        let status = command.env("RAYON_NUM_THREADS", n_threads).env("CANDLE_NUM_THREADS", n_threads).output().unwrap();
        assert!(status.status.success());
        bench.weights()
    };
    let one = digest("1");
    assert_eq!(one, digest("2"));
    assert_eq!(one, digest("2"));
}

#[test]
fn a_finished_case_is_not_done_again() {
    let bench = Bench::new();
    let first = bench.ends("run examples/first-case --json", 0);
    let weights = bench.weights();
    let again = bench.ends("run examples/first-case --json", 0);
    assert_eq!(bench.weights(), weights);
    assert!(first.lines().count() > 10);
    assert_eq!(again.lines().count(), 1, "the outcome alone: {again}");
}
