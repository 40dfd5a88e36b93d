//! The README's commands are run as they stand.

use crate::{Bench, copy, repository};
use std::fs;

#[test]
fn the_session_of_the_readme_runs() {
    let bench = Bench::new();
    copy(&repository().join("examples/speech-writer"), &bench.path("examples/speech-writer"));
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let session = readme.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let commands: Vec<&str> = session.lines().filter_map(|line| line.strip_prefix("$ assize ")).collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let words = command.split('#').next().unwrap().trim();
        bench.ends(words, 0);
    }
}

#[test]
fn the_two_commands_and_the_named_files_are_there() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    assert!(readme.contains("cargo run --release -- run examples/speech-writer\ncargo test --release\n"));
    for (position, _) in readme.match_indices("`docs/") {
        let name = readme[position + 1..].split('`').next().unwrap();
        assert!(repository().join(name).exists(), "{name}");
    }
}
