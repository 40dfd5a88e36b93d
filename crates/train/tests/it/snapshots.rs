//! Snapshots on the disk: kept, checked, passed over, refused.

use crate::small::{config, corpus, digest, failure, first, undisturbed};
use std::{fs, path::Path};
use train::Config;

fn standing(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_last_two_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (_, seen) = undisturbed(&config(17), Some(dir.path()));
    assert_eq!(standing(dir.path()), ["step-00000015", "step-00000017"]);
    assert_eq!(
        standing(&dir.path().join("step-00000017")),
        ["model.safetensors", "optimizer.safetensors", "state.json"]
    );
    let saved: Vec<&String> = seen.lines.iter().filter(|line| line.starts_with("saved")).collect();
    assert_eq!(
        saved,
        ["saved 5 step-00000005", "saved 10 step-00000010", "saved 15 step-00000015", "saved 17 step-00000017"]
    );
}

#[test]
fn how_often_snapshots_are_taken_does_not_matter_to_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(6);
    let (often, _) = undisturbed(&Config { snapshot_every: 1, keep_snapshots: 9, ..config.clone() }, Some(dir.path()));
    assert_eq!(standing(dir.path()).len(), 6);
    let (never, _) = undisturbed(&Config { snapshot_every: 0, ..config }, None);
    assert_eq!(digest(&often), digest(&never));
}

/// What a crash in the middle of writing leaves behind is neither read nor kept.
#[test]
fn a_half_written_snapshot_is_ignored_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join(".step-00000005.part");
    fs::create_dir_all(&part).unwrap();
    fs::write(part.join("model.safetensors"), "half").unwrap();
    let (_, seen) = undisturbed(&config(5), Some(dir.path()));
    assert_eq!(seen.lines[0], "ahead 1");
    assert_eq!(standing(dir.path()), ["step-00000005"]);
}

/// Spoils the newer of two snapshots, resumes to the same weights, and gives what the observer was told of it.
fn after_damage(spoil: impl Fn(&Path)) -> String {
    let (config, dir) = (config(10), tempfile::tempdir().unwrap());
    let (whole, _) = undisturbed(&config, Some(dir.path()));
    spoil(&dir.path().join("step-00000010"));
    let (again, mut seen) = undisturbed(&config, Some(dir.path()));
    assert_eq!(seen.lines[1..3], ["resumed 5", "ahead 6"]);
    assert_eq!(digest(&again), digest(&whole));
    assert_eq!(standing(dir.path()), ["step-00000005", "step-00000010"]);
    assert_eq!(undisturbed(&config, Some(dir.path())).1.lines, ["resumed 10"]);
    seen.lines.swap_remove(0)
}

fn flip(file: &Path, position: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[position] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_snapshot_gives_way_to_the_one_before_it() {
    for file in ["model.safetensors", "optimizer.safetensors"] {
        let line = after_damage(|path| flip(&path.join(file), 5000));
        let (found, reason) = line.split_once(": ").unwrap();
        let (place, reason) = reason.split_once(": ").unwrap();
        assert_eq!(found, "damaged step-00000010");
        assert!(place.ends_with(&format!("/step-00000010/{file}`")), "{place}");
        let words: Vec<&str> = reason.split(' ').filter(|word| !word.starts_with("sha256:")).collect();
        assert_eq!(words.join(" "), "expected found these are not the weights that were recorded");
    }
    let line = after_damage(|path| flip(&path.join("state.json"), 200));
    assert_eq!(line, "damaged step-00000010: `state.json` is not the state of a snapshot");
    let line = after_damage(|path| fs::write(path.join("state.json"), "").unwrap());
    assert_eq!(line, "damaged step-00000010: `state.json` is not the state of a snapshot");
    let line = after_damage(|path| fs::remove_file(path.join("state.json")).unwrap());
    assert_eq!(line, "damaged step-00000010: cannot read `state.json`: No such file or directory (os error 2)");
}

/// With nothing whole left, the run begins anew and still ends with the same weights.
#[test]
fn without_a_whole_snapshot_the_run_begins_anew() {
    let (config, dir) = (config(10), tempfile::tempdir().unwrap());
    let (whole, _) = undisturbed(&config, Some(dir.path()));
    for name in standing(dir.path()) {
        fs::remove_file(dir.path().join(name).join("model.safetensors")).unwrap();
    }
    let (again, seen) = undisturbed(&config, Some(dir.path()));
    let missing = |step: &str| {
        let path = dir.path().join(step).join("model.safetensors");
        format!("damaged {step}: cannot read the weights `{}`: No such file or directory (os error 2)", path.display())
    };
    let damaged = ["step-00000010", "step-00000005"].map(missing);
    assert_eq!((&seen.lines[..2], seen.lines[2].as_str()), (damaged.as_slice(), "ahead 1"));
    assert_eq!(digest(&again), digest(&whole));
}

#[test]
fn a_snapshot_of_another_run_is_refused() {
    let (base, dir) = (config(5), tempfile::tempdir().unwrap());
    undisturbed(&base, Some(dir.path()));
    let path = dir.path().join("step-00000005");
    let expected = format!(
        "the snapshot `{}` is of another run: its configuration, model or corpus differ; restore them, or remove the folder to begin anew",
        path.display()
    );
    let others = [
        Config { seed: 6, ..base.clone() },
        Config { steps: 6, ..base.clone() },
        Config { learning_rate: 1e-3, ..base.clone() },
        Config { clip_norm: None, ..base.clone() },
    ];
    for other in others {
        assert_eq!(failure(&other, first(), &corpus(), Some(dir.path())).to_string(), expected);
    }
    let model = model::Llama::init(&crate::small::shape(), 12).unwrap();
    assert_eq!(failure(&base, model, &corpus(), Some(dir.path())).to_string(), expected);
    let text = train::Corpus::new(&[corpus().tokens()[1..].to_vec()], 0);
    assert_eq!(failure(&base, first(), &text, Some(dir.path())).to_string(), expected);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = failure(&config(5), first(), &corpus(), Some(&file));
    assert_eq!(error.to_string(), format!("cannot list the folder `{}`", file.display()));
}

/// What stands where a snapshot must go is not ours to remove; the run ends there, with nothing half-written.
#[test]
fn a_snapshot_that_cannot_take_its_place_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("step-00000005");
    fs::write(&file, "mine").unwrap();
    let error = failure(&config(10), first(), &corpus(), Some(dir.path()));
    assert_eq!(error.to_string(), format!("cannot remove `{}`", file.display()));
    assert_eq!(standing(dir.path()), ["step-00000005"]);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}
