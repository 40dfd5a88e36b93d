//! Compiles the cards of a folder, runs their tests and the lint, and prints what is wrong.
//!
//! `cardtest FOLDER [--strict]`: exit code 1 on a problem; with `--strict` on advice too.
#![allow(clippy::print_stdout, reason = "a command line tool for rule authors")]

use policy::{Level, Pack};
use std::{fs, io, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_strict = arguments.iter().any(|argument| argument == "--strict");
    let Some(folder) = arguments.iter().find(|argument| !argument.starts_with("--")) else {
        println!("usage: cardtest FOLDER [--strict]");
        return ExitCode::from(2);
    };
    match check(Path::new(folder), is_strict) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("cannot read `{folder}`: {error}");
            ExitCode::from(2)
        }
    }
}

fn check(folder: &Path, is_strict: bool) -> io::Result<bool> {
    let files = cards(folder)?;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let pack = match Pack::compile(&name, &files) {
        Ok(pack) => pack,
        Err(errors) => {
            for error in &errors {
                println!("{error}\n");
            }
            println!("{name}: {} problems in {} cards", errors.len(), files.len());
            return Ok(false);
        }
    };
    let (n_tests, failures) = policy::test(&pack);
    let findings = policy::lint(&pack);
    let n_errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    failures.iter().for_each(|failure| println!("{failure}"));
    findings.iter().for_each(|finding| println!("{finding}"));
    let n_advice = findings.len() - n_errors;
    println!(
        "{name}: {} cards, {n_tests} tests, {} failed, {n_errors} errors, {n_advice} advice",
        files.len(),
        failures.len()
    );
    println!("{name}: digest sha256:{}", pack.digest());
    Ok(failures.is_empty() && n_errors == 0 && (!is_strict || n_advice == 0))
}

/// `pack.toml` describes the pack and is no card.
fn is_card(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("pack.toml")
}

/// Every card below the folder, by its path from there.
fn cards(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if is_card(&path) {
                let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(&path)?));
            }
        }
    }
    files.sort();
    Ok(files)
}
