//! Appends to the cards of folders the tests that their mutants lack, one at a time, until none more is found.
//!
//! `suggest_tests FOLDER…`: each test is what `assize policy mutate --suggest` prints, and expects what the card comes to. Read
//! them against the clauses before they are committed. Changes that `pack.toml` lists as saying the same are left alone.
#![allow(clippy::print_stdout, reason = "a command line tool for rule authors")]

use policy::{Manifest, Pack, mutate};
use std::{fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let mut is_well = true;
    for folder in std::env::args().skip(1) {
        if let Err(error) = folder_of_cards(Path::new(&folder)) {
            println!("{folder}: {error}");
            is_well = false;
        }
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn folder_of_cards(folder: &Path) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    let manifest = fs::read_to_string(folder.join("pack.toml")).unwrap_or_default();
    let equivalents = Manifest::read("pack.toml", &manifest).map(|manifest| manifest.equivalents).unwrap_or_default();
    let mut paths = fs::read_dir(folder)
        .map_err(said)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(said)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("pack.toml"));
    paths.sort();
    let (mut n_all, mut n_left) = (0, 0);
    for path in paths {
        let name = path.display().to_string();
        let mut text = fs::read_to_string(&path).map_err(said)?;
        let mut n_added = 0;
        loop {
            let compiled = Pack::compile("suggest", &[(name.clone(), text.clone())]);
            let pack = compiled.map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())?;
            let card = &pack.cards()[0];
            let mut mutated = mutate(card, true);
            mutated.survived.retain(|one| {
                !equivalents.iter().any(|other| other.rule == one.rule && other.mutation == one.mutation)
            });
            let Some(suggestion) = mutated.survived.iter().find_map(|one| one.suggestion.clone()) else {
                mutated.survived.iter().for_each(|one| println!("{one}"));
                n_left += mutated.survived.len();
                break;
            };
            text = format!("{}\n\n{suggestion}", text.trim_end());
            n_added += 1;
        }
        if n_added > 0 {
            fs::write(&path, text).map_err(said)?;
        }
        n_all += n_added;
    }
    println!("{}: {n_all} tests added, {n_left} changes that no test was found for", folder.display());
    Ok(())
}
