#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
//! Corpora on disk, read and split.

mod generated;
mod reading;
mod screened;
mod splitting;

use dataset::{Config, Source, Unit};
use std::path::Path;

fn source(name: &str, path: impl AsRef<Path>, split: Unit) -> Source {
    Source { name: name.into(), path: path.as_ref().into(), licence: None, source: None, generated: None, split }
}

fn config(root: &Path, sources: Vec<Source>) -> Config {
    Config { root: root.into(), sources, held_out: 0.1, seed: 1 }
}

fn write(root: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
