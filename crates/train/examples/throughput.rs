//! Tokens a second of a training step of a given shape, its share of what the machine's products reach, and the digest of the weights
//! it ends with.
//!
//! `cargo run --release -p assize-train --example throughput -- layers=4 width=256 heads=8 kv_heads=4 hidden=688
//! vocab=2048 context=128 batch=16 steps=20 optimizer=adamw precision=f32`; every argument has the default shown. `export=FOLDER` writes
//! the same problem down for another program. What the binary sets for itself is set here from outside:
//! `MALLOC_MMAP_THRESHOLD_=2147483647 MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_ARENA_MAX=1`.

use evidence::Control;
use std::{collections::BTreeMap, io::Write as _, path::Path, time::Instant};
use train::{Config, Corpus, Event, Optimizer, Outcome, Precision};

#[path = "../tests/fixtures/export.rs"]
mod export;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').ok_or("expected arguments of the form name=value")?;
        settings.insert(name.to_owned(), value.to_owned());
    }
    let mut count = |name: &str, default: usize| settings.remove(name).map_or(Ok(default), |value| value.parse());
    let shape = model::Config {
        layers: count("layers", 4)?,
        width: count("width", 256)?,
        heads: count("heads", 8)?,
        kv_heads: count("kv_heads", 4)?,
        hidden: count("hidden", 688)?,
        vocab: count("vocab", 2048)?,
        context: count("context", 128)?,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    };
    let (batch, steps) = (count("batch", 16)?, count("steps", 20)? as u64);
    let export = settings.remove("export");
    let optimizer = settings.remove("optimizer").unwrap_or_else(|| "adamw".to_owned());
    let optimizer = Optimizer::from_name(&optimizer).ok_or("expected an optimiser of docs/case.md")?;
    let precision = settings.remove("precision").unwrap_or_else(|| "f32".to_owned());
    let precision = Precision::from_name(&precision).ok_or("expected f32 or bf16")?;
    if let Some(name) = settings.keys().next() {
        return Err(format!("no setting `{name}`").into());
    }
    let corpus = Corpus::new(&[ids(20 * batch * shape.context + 1, shape.vocab)], 0);
    let config = Config { optimizer, precision, ..Config::new(1, steps, batch, shape.context) };
    let model = model::Llama::init(&shape, 1)?;
    let n_parameters = model.n_parameters();
    let architecture = meter::flop::Architecture {
        layers: shape.layers as u64,
        width: shape.width as u64,
        heads: shape.heads as u64,
        kv_heads: shape.kv_heads as u64,
        head_width: shape.head_width() as u64,
        hidden: shape.hidden as u64,
        vocabulary: shape.vocab as u64,
        is_gated: true,
    };
    let flop_per_token = architecture.training(1, shape.context as u64) as f64 / shape.context as f64;
    if let Some(folder) = export {
        export::write(Path::new(&folder), &model, &export::problem(&model, &corpus, &config)?)?;
    }

    // The first step pays for pages, pools and kernel choice; it is left out.
    let (mut begun, mut n_tokens_timed, mut fastest) = (Instant::now(), 0, 0.0_f64);
    let mut observe = |event: &Event<'_>| {
        match event {
            Event::Done { step: 1, .. } => begun = Instant::now(),
            Event::Done { n_tokens, seconds, .. } => {
                n_tokens_timed += n_tokens;
                fastest = fastest.max(*n_tokens as f64 / seconds);
            }
            _ => {}
        }
        Control::Continue
    };
    let Outcome::Finished(trained) = train::run(&config, model, &corpus, None, &mut observe)? else {
        return Err("the run was stopped".into());
    };
    let seconds = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let peak = model::profile::exercise(50_000) / begun.elapsed().as_secs_f64();
    let done = flop_per_token * n_tokens_timed as f64 / seconds;
    let mut out = std::io::stdout().lock();
    writeln!(out, "parameters        {n_parameters}")?;
    writeln!(out, "last loss         {} nat/token", trained.curve.last().ok_or("no step was taken")?.loss)?;
    writeln!(out, "tokens per second {:.0}", n_tokens_timed as f64 / seconds)?;
    writeln!(out, "fastest step      {fastest:.0} tokens per second")?;
    let (share, done, peak) = (100.0 * done / peak, done / 1e9, peak / 1e9);
    writeln!(out, "share of peak     {share:.0} % ({done:.1} of {peak:.1} GFLOP/s)")?;
    writeln!(out, "peak memory       {} byte", meter::memory_peak().unwrap_or(0))?;
    writeln!(out, "weights           {}", train::parameters_digest(trained.model.parameters())?)?;
    Ok(())
}

/// A text with something to learn: mostly a fixed successor, now and then a jump.
fn ids(n: usize, vocab: usize) -> Vec<u32> {
    let mut id = 1_u64;
    let mut hash = 1_u64;
    let next = |_| {
        hash = hash.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        id = if hash >> 61 == 0 { (hash >> 20) % vocab as u64 } else { (id * 5 + 3) % vocab as u64 };
        id as u32
    };
    (0..n).map(next).collect()
}
