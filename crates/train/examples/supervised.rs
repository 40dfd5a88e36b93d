//! What supervision costs: the same training, by turns without anybody watching and with the budget held as `assize run` holds it.
//!
//! `cargo run --release -p assize-train --example supervised -- [ROUNDS]` (5): each round trains the shape of the shipped example for
//! 12 steps both ways, in an order that changes, and prints the seconds; the last line is the median ratio. The weights must agree.

use evidence::{Control, Digest};
use meter::{Account, Caps, Guard, Sensor};
use std::{
    io::Write as _,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};
use train::{Config, Corpus, Event, Outcome};

type Failure = Box<dyn std::error::Error>;

const SHAPE: model::Config = model::Config {
    vocab: 1024,
    layers: 4,
    width: 128,
    heads: 4,
    kv_heads: 2,
    hidden: 352,
    context: 128,
    rope_theta: 10_000.0,
    norm_eps: 1e-5,
};

fn main() -> Result<(), Failure> {
    let n_rounds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse::<usize>())?;
    let ids: Vec<u32> = (0..40_000_u32).map(|i| i.wrapping_mul(i).wrapping_mul(2_654_435_761) >> 22).collect();
    let corpus = Corpus::new(&[ids], 0);
    let config = Config::new(1, 12, 16, SHAPE.context);
    let folder = tempfile::tempdir()?;
    let mut out = std::io::stdout().lock();
    // Pages, pools and kernel choice are paid for before anything is timed.
    plain(&config, &corpus)?;
    let mut ratios = Vec::new();
    for round in 0..n_rounds {
        let journal = folder.path().join(format!("{round}.journal"));
        let (a, b) = if round % 2 == 0 {
            let a = plain(&config, &corpus)?;
            (a, supervised(&config, &corpus, &journal)?)
        } else {
            let b = supervised(&config, &corpus, &journal)?;
            (plain(&config, &corpus)?, b)
        };
        if a.1 != b.1 {
            return Err("the weights differ".into());
        }
        writeln!(out, "plain {:.3} s, supervised {:.3} s", a.0, b.0)?;
        ratios.push(b.0 / a.0);
    }
    ratios.sort_by(f64::total_cmp);
    writeln!(out, "supervised ÷ plain, median of {n_rounds}: {:.4}", ratios[n_rounds / 2])?;
    Ok(())
}

fn finished(outcome: Outcome) -> Result<Digest, Failure> {
    let Outcome::Finished(trained) = outcome else { return Err("the run was stopped".into()) };
    Ok(train::parameters_digest(trained.model.parameters())?)
}

fn plain(config: &Config, corpus: &Corpus) -> Result<(f64, Digest), Failure> {
    let model = model::Llama::init(&SHAPE, 1)?;
    let begun = Instant::now();
    let outcome = train::run(config, model, corpus, None, &mut |_| Control::Continue)?;
    Ok((begun.elapsed().as_secs_f64(), finished(outcome)?))
}

/// With a reservation before each step, made durable in a journal, and the sensor read after it.
fn supervised(config: &Config, corpus: &Corpus, journal: &Path) -> Result<(f64, Digest), Failure> {
    let caps = Caps::new([Some("1e18".parse()?), Some("1e6".parse()?), Some("1000".parse()?), None]);
    let account = Account::open(journal, caps)?;
    let threads = std::thread::available_parallelism()?.get();
    let model = model::Llama::init(&SHAPE, 1)?;
    let flop = config.tokens_per_step(corpus)? as u128 * 6 * model.n_parameters() as u128;
    let begun = Instant::now();
    let mut guard = Guard::new(account, Sensor::find(threads), None, 1e-9, Arc::new(AtomicBool::new(false)));
    let outcome = train::run(config, model, corpus, None, &mut |event| {
        match event {
            Event::Ahead { .. } => return guard.ask(flop),
            Event::Done { .. } => guard.done(),
            _ => {}
        }
        Control::Continue
    })?;
    guard.close()?;
    Ok((begun.elapsed().as_secs_f64(), finished(outcome)?))
}
