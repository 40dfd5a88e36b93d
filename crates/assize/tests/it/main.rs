//! The program as a person meets it: commands, exit codes, files, messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod authoring;
mod bad_input;
mod budget;
mod classes;
mod compress;
mod compute_law;
mod contract;
mod crash;
mod evaluate;
mod exchange;
mod folds;
mod folds_of_base;
mod generate;
mod hub;
mod lambda;
mod ranks;
mod readme;
mod rerun;
mod resume;
mod scenario;
mod screened;
mod standing;
mod tamper;
mod tasks;
mod training;

use evidence::Digest;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            if entry.file_name() != "dossier" {
                copy(&entry.path(), &target);
            }
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A folder with a copy of the smallest shipped case and a signing key of its own.
pub(crate) struct Bench {
    pub(crate) root: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let examples = repository().join("examples");
        copy(&examples.join("first-case"), &root.path().join("examples/first-case"));
        copy(&examples.join("speech-writer/data"), &root.path().join("examples/speech-writer/data"));
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn case_file(&self) -> PathBuf {
        self.path("examples/first-case/assize.toml")
    }

    pub(crate) fn dossier(&self) -> PathBuf {
        self.path("examples/first-case/dossier")
    }

    /// Replaces text of the case file; it must be there.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.case_file()).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.case_file(), text.replace(from, to)).unwrap();
    }

    /// Trains the case and writes `examples/tuned`, in which adapters are trained beside the model of `examples/base`; gives that folder.
    pub(crate) fn with_base(&self) -> PathBuf {
        self.ends("train examples/first-case", 0);
        let base = self.path("examples/base");
        fs::create_dir(&base).unwrap();
        for file in ["model.safetensors", "config.json", "tokenizer.json"] {
            fs::copy(self.dossier().join("weights").join(file), base.join(file)).unwrap();
        }
        let text = fs::read_to_string(self.case_file()).unwrap();
        let (before, rest) = text.split_once("[model]").unwrap();
        let (_, train) = rest.split_once("[train]").unwrap();
        let (train, _) = train.split_once("[compress]").unwrap();
        let model = "[model]\nbase = \"../base\"\ncontext = 32\nadapters = { rank = 2, targets = [\"q_proj\", \"down_proj\"] }\n";
        let tuned = format!("{before}{model}[train]{train}[[evaluate]]\nsuite = \"perplexity\"\n");
        let tuned = tuned.replace("15_360", "2_560").replace("\"house\"", "");
        fs::create_dir_all(self.path("examples/tuned")).unwrap();
        fs::write(self.path("examples/tuned/assize.toml"), tuned).unwrap();
        base
    }

    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assize"));
        command.args(words.split_whitespace()).current_dir(self.root.path());
        command.env("ASSIZE_KEY", self.path("assize.key")).env("NO_COLOR", "1");
        command
    }

    pub(crate) fn assize(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs it, demands the exit code, and gives stdout.
    pub(crate) fn ends(&self, words: &str, code: i32) -> String {
        let output = self.assize(words);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "assize {words}\n{out}\n{err}");
        out
    }

    /// Runs it, demands that it could not do it, and gives the message with the folder's own path taken out.
    pub(crate) fn refuses(&self, words: &str) -> String {
        let output = self.assize(words);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "assize {words}\n{}\n{err}", String::from_utf8_lossy(&output.stdout));
        err.replace(&format!("{}/", self.root.path().display()), "").trim_end().to_owned()
    }

    pub(crate) fn json(&self, words: &str, code: i32) -> Value {
        serde_json::from_str(&self.ends(words, code)).unwrap()
    }

    pub(crate) fn weights(&self) -> Digest {
        Digest::of(&fs::read(self.dossier().join("weights/model.safetensors")).unwrap())
    }
}
