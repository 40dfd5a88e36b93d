//! The weights do not depend on the number of threads. Each number needs a process of its own, for the pools of the
//! tensor engine are made once.

use evidence::{Control, Digest};
use std::process::Command;
use train::{Config, Corpus, Outcome, Penalty, Precision};

/// Large enough for what the engine spreads over threads: matrix products of 10⁶ multiplications and more, tensors of
/// 65,536 entries and more.
fn weights() -> Digest {
    let both = Precision::ALL.map(|precision| weights_in(precision).to_string());
    assert_ne!(both[0], both[1]);
    Digest::of(both.concat().as_bytes())
}

fn weights_in(precision: Precision) -> Digest {
    let shape = model::Config {
        vocab: 512,
        layers: 2,
        width: 128,
        heads: 4,
        kv_heads: 2,
        hidden: 344,
        context: 64,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    };
    let ids = (0..20_000_u32).map(|i| i.wrapping_mul(i).wrapping_mul(2_654_435_761) >> 23).collect();
    let penalty = Penalty { l1: 1e-6, l2: 1e-4, ..Penalty::default() };
    let config = Config { penalty, precision, ..Config::new(3, 5, 16, 64) };
    let model = model::Llama::init(&shape, 3).unwrap();
    let outcome = train::run(&config, model, &Corpus::new(&[ids], 0), None, &mut |_| Control::Continue).unwrap();
    let Outcome::Finished(trained) = outcome else { panic!("nobody asked for a stop") };
    train::parameters_digest(trained.model.parameters()).unwrap()
}

/// Also what the other test runs in a process of its own.
#[test]
fn a_second_run_gives_the_same_weights() {
    let first = weights();
    assert_eq!(first, weights());
    println!("\nweights {first}");
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let digest = |n_threads: &str| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "threads::a_second_run_gives_the_same_weights", "--nocapture"]);
        child.env("RAYON_NUM_THREADS", n_threads).env("CANDLE_NUM_THREADS", n_threads);
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find_map(|line| line.strip_prefix("weights ")).unwrap().parse::<Digest>().unwrap()
    };
    let one = digest("1");
    assert_eq!(one, weights());
    for n_threads in ["2", "3"] {
        assert_eq!(one, digest(n_threads), "{n_threads} threads");
    }
}
