//! A thousand changed bytes, each found, with the file or what covers it named.

use crate::{Bench, copy};
use serde_json::Value;
use std::{fs, path::Path, thread};

const PLACES: u64 = 1000;

fn files(folder: &Path, below: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, below, found);
        } else {
            found.push(path.strip_prefix(below).unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
}

/// Whether the reason names the file, or what is checked against it first.
fn is_named(file: &str, reason: &str) -> bool {
    let covers: &[&str] = match file.split('/').next().unwrap() {
        // A changed key shows at its own line, or at the first signature made with the true one.
        "keys" => &["keys/", "log/checkpoint"],
        // A changed entry no longer hashes to the tile above it, or names no envelope.
        "log" => &["log/checkpoint", "log/tile/", "entry ", "envelopes/", "the entries lead to the root"],
        _ => &[],
    };
    reason.contains(file) || covers.iter().any(|cover| reason.contains(cover))
}

fn check(bench: &Bench, dossier: &Path, name: &str, files: &[String], places: impl Iterator<Item = u64>) {
    for place in places {
        let mut state = place;
        let mut random = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        // Each file has the same chance, so that small ones are not missed among large weights.
        let file = &files[random(files.len())];
        let path = dossier.join(file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let at = random(bad.len());
        bad[at] ^= 1 << random(8);
        fs::write(&path, &bad).unwrap();
        let found = bench.json(&format!("verify {name} --json"), 1);
        assert_eq!(found["ok"], false);
        let failed: Vec<&Value> =
            found["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).collect();
        let reasons: Vec<&str> = failed.iter().map(|check| check["reason"].as_str().unwrap()).collect();
        assert!(reasons.iter().any(|reason| is_named(file, reason)), "{file} at {at}: {reasons:?}");
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn a_changed_byte_anywhere_is_found_and_its_place_named() {
    let bench = Bench::new();
    bench.ends("run examples/first-case", 0);
    let mut names = Vec::new();
    files(&bench.dossier(), &bench.dossier(), &mut names);
    names.retain(|name| name != ".lock" && !name.starts_with(".work/"));
    assert!(names.len() > 20);
    let n_workers = 4;
    thread::scope(|scope| {
        for worker in 0..n_workers {
            let (bench, names) = (&bench, &names);
            scope.spawn(move || {
                let name = format!("copy-{worker}");
                let dossier = bench.path(&name);
                copy(&bench.dossier(), &dossier);
                check(bench, &dossier, &name, names, (0..PLACES).filter(|place| place % n_workers == worker));
            });
        }
    });
}

#[test]
fn a_missing_and_an_added_file_are_named() {
    let bench = Bench::new();
    bench.ends("run examples/first-case", 0);
    let dossier = bench.dossier();
    let reasons = || {
        let found = bench.json("verify examples/first-case/dossier --json", 1);
        let checks = found["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
        checks.map(|check| check["reason"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
    };
    fs::rename(dossier.join("weights/config.json"), bench.path("config.json")).unwrap();
    assert_eq!(reasons(), "weights/config.json is missing");
    fs::rename(bench.path("config.json"), dossier.join("weights/config.json")).unwrap();
    fs::write(dossier.join("weights/extra.bin"), "x").unwrap();
    assert_eq!(reasons(), "weights/extra.bin is not in the seal");
    fs::remove_file(dossier.join("weights/extra.bin")).unwrap();
    bench.json("verify examples/first-case/dossier --json", 0);
}
