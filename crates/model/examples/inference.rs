//! Tokens a second of an opened model: scoring, shared prefixes, one token at a time; and the share of the machine's peak.
//!
//! `cargo run --release -p assize-model --example inference -- MODEL`, with `MALLOC_MMAP_THRESHOLD_=2147483647
//! MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_ARENA_MAX=1` in the environment, which is what the command line sets for itself.
#![expect(clippy::print_stdout, reason = "a program for developers")]

use model::{Decoder, DecoderError, Row, Target, profile};
use std::{error::Error, time::Instant};

const SEQUENCES: usize = 4;
const POSITIONS: usize = 256;
const LONG: usize = 6000;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name a model")?;
    let start = Instant::now();
    let model = model::open(path.as_ref())?;
    println!("opened in {:.2} s", start.elapsed().as_secs_f64());
    let decoder = &model.decoder;
    let vocab = decoder.vocab();
    let tokens: Vec<Vec<u32>> = (0..SEQUENCES)
        .map(|row| (0..POSITIONS).map(|at| ((row * 7919 + at * at * 31 + at) % vocab) as u32).collect())
        .collect();
    let targets: Vec<Vec<Target>> = tokens
        .iter()
        .map(|row| (0..POSITIONS - 1).map(|position| Target { position, token: row[position + 1] }).collect())
        .collect();

    // Every token but the first of four rows, log-soft-max included.
    let score = || {
        let mut rows: Vec<Row> =
            tokens.iter().zip(&targets).map(|(tokens, targets)| Row { tokens, cache: None, targets }).collect();
        decoder.log_probs(&mut rows)
    };
    score()?;
    let start = Instant::now();
    let scored = score()?;
    let seconds = start.elapsed().as_secs_f64();
    let start_of_peak = Instant::now();
    let peak = profile::exercise(200_000) / start_of_peak.elapsed().as_secs_f64();
    // Matrices alone; the embedding is read, not multiplied, unless it is the head.
    let counts = decoder.parameters();
    let head = if decoder.is_tied() { counts.embedding } else { counts.head };
    let flop = 2.0 * (counts.attention + counts.mlp + head) as f64 * (SEQUENCES * POSITIONS) as f64;
    println!(
        "share of peak {:.0} % ({:.1} of {:.1} GFLOP/s)",
        100.0 * flop / seconds / peak,
        flop / seconds / 1e9,
        peak / 1e9
    );
    let (mut sum, mut n) = (0.0, 0);
    for one in scored.iter().flatten() {
        sum -= one.log_prob;
        n += 1;
    }
    println!(
        "scoring {SEQUENCES} x {POSITIONS}: {:.0} tokens/s; mean nll {:.6}",
        (SEQUENCES * POSITIONS) as f64 / seconds,
        sum / f64::from(n)
    );

    long_row(decoder)?;

    // Four answers of eight tokens behind one prefix, as many rows as an exam has.
    let start = Instant::now();
    let mut prefix = decoder.cache();
    decoder.prefill(&mut [Row { tokens: &tokens[0], cache: Some(&mut prefix), targets: &[] }])?;
    let mut caches = vec![prefix; SEQUENCES];
    let mut rows: Vec<Row> = caches
        .iter_mut()
        .zip(&tokens)
        .zip(&targets)
        .map(|((cache, tokens), targets)| Row { tokens: &tokens[..8], cache: Some(cache), targets: &targets[..7] })
        .collect();
    decoder.log_probs(&mut rows)?;
    println!("{SEQUENCES} answers of 8 tokens behind a prefix of {POSITIONS}: {:.3} s", start.elapsed().as_secs_f64());

    // As benches/decode_llama.py measures it: 128 tokens behind 256.
    let mut best = 0.0_f64;
    for _ in 0..3 {
        let start = Instant::now();
        decoder.generate(&tokens[0], 1, &[])?;
        let prefill = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let n = decoder.generate(&tokens[0], 129, &[])?.len();
        best = best.max((n - 1) as f64 / (start.elapsed().as_secs_f64() - prefill));
        println!("prefill {:.1}", POSITIONS as f64 / prefill);
    }
    println!("decode {best:.1}");
    Ok(())
}

/// One row as long as the context allows, where attention is half of the work.
fn long_row(decoder: &Decoder) -> Result<(), DecoderError> {
    let long = LONG.min(decoder.context());
    let row: Vec<u32> = (0..long).map(|at| ((at * at * 31 + at) % decoder.vocab()) as u32).collect();
    let start = Instant::now();
    let last = Target { position: long - 1, token: 0 };
    decoder.log_probs(&mut [Row { tokens: &row, cache: None, targets: &[last] }])?;
    let seconds = start.elapsed().as_secs_f64();
    let counts = decoder.parameters();
    // Scores and mixes: two products with half of the positions each, on average.
    let mixed: usize = decoder.layer_shapes().iter().map(|layer| layer.heads * layer.head_width).sum();
    let flop = 2.0 * ((counts.attention + counts.mlp) as f64 + mixed as f64 * long as f64) * long as f64;
    println!("one row of {long}: {:.0} tokens/s; {:.1} GFLOP/s", long as f64 / seconds, flop / seconds / 1e9);
    Ok(())
}
