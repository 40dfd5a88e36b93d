//! The logits of a saved head for texts of token ids, so that another program can say the same.
//!
//! `cargo run --release -p assize-train --example tell -- FOLDER CONTEXT < IDS`: FOLDER holds `config.json` and `model.safetensors` as
//! `assize train` saves a classifier; a line of IDS is a text, its ids with spaces between. Prints a line of logits for each.

use std::{
    error::Error,
    fs, io,
    io::{BufRead as _, Write as _},
    path::Path,
};
use train::Corpus;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, context] = arguments.as_slice() else { return Err("expected FOLDER and CONTEXT".into()) };
    let (folder, context) = (Path::new(folder), context.parse::<usize>()?);
    let config = model::Config::from_json(&fs::read_to_string(folder.join("config.json"))?)?;
    let model = model::Llama::with_classes_from(config, model::weights::load(&folder.join("model.safetensors"))?)?;
    let mut texts = Vec::new();
    for line in io::stdin().lock().lines() {
        let ids = line?.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        texts.push((ids, 0));
    }
    let told = train::tell(&model, &Corpus::labelled(&texts, context)?, context, 8)?;
    let mut out = io::stdout().lock();
    for row in told.logits.chunks(told.logits.len() / texts.len().max(1)) {
        let numbers: Vec<String> = row.iter().map(f32::to_string).collect();
        writeln!(out, "{}", numbers.join(" "))?;
    }
    Ok(())
}
