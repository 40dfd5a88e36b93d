//! Cross-validation of a case: the same figures however many folds go on at once and however often it is killed.

use crate::{Bench, budget::statements};
use evidence::{Digest, Json};
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

/// A case whose folds take a while, and nothing else does.
fn slow() -> Bench {
    let bench = Bench::new();
    bench.edit("tokens = 3_000", "tokens = 30_000");
    bench.edit("folds = 3", "folds = 4");
    bench
}

fn folds(bench: &Bench) -> Value {
    let log = statements(bench);
    let is_folds = |(kind, entry): &&(String, Value)| kind.ends_with("evaluation:v0.1") && entry["suite"] == "k-fold";
    log.iter().find(is_folds).unwrap().1.clone()
}

/// The rows of the folds and the figures made of them.
fn figures(bench: &Bench) -> (Value, Vec<Value>) {
    let entry = folds(bench);
    let values = entry["measurements"].as_array().unwrap().iter().map(|measured| measured["value"].clone());
    (entry["folds"].clone(), values.collect())
}

fn evaluated(bench: &Bench, threads: &str) {
    let mut command = bench.command("evaluate examples/first-case");
    let output = command.env("RAYON_NUM_THREADS", threads).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The file of the first fold that is finished, after which the run is killed outright.
fn killed_after_a_fold(bench: &Bench, threads: &str) -> PathBuf {
    let mut command = bench.command("evaluate examples/first-case");
    command.env("RAYON_NUM_THREADS", threads).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut child, begun) = (command.spawn().unwrap(), Instant::now());
    let finished = || {
        let runs = fs::read_dir(bench.dossier().join(".work")).into_iter().flatten().flatten();
        let files = runs.flat_map(|run| (0..4).map(move |fold| run.path().join(format!("fold-{fold}.json"))));
        files.into_iter().find(|file| file.exists())
    };
    let file = loop {
        if let Some(file) = finished() {
            break file;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "no fold was finished in two minutes");
        assert!(child.try_wait().unwrap().is_none(), "the run has ended already");
        thread::sleep(Duration::from_millis(2));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!bench.dossier().join("index.html").exists(), "the kill came too late");
    file
}

#[test]
fn folds_side_by_side_give_the_figures_of_one_after_another() {
    let (serial, parallel) = (slow(), slow());
    evaluated(&serial, "1");
    evaluated(&parallel, "3");
    assert_eq!(figures(&serial), figures(&parallel));
}

#[test]
fn a_killed_cross_validation_goes_on_without_the_folds_that_are_finished() {
    let straight = slow();
    evaluated(&straight, "2");
    for threads in ["1", "2"] {
        let bench = slow();
        killed_after_a_fold(&bench, threads);
        evaluated(&bench, "2");
        assert_eq!(figures(&bench), figures(&straight), "{threads} threads");
    }
    // A finished fold is taken as it stands: one whose figure was changed, and sealed again, shows up changed.
    let bench = slow();
    let file = killed_after_a_fold(&bench, "1");
    let kept = Json::parse(&fs::read_to_string(&file).unwrap()).unwrap();
    let Some(Json::Map(mut fold)) = kept.get("fold").cloned() else { panic!("{kept:?}") };
    fold.insert("lossBits".to_owned(), format!("{:016x}", 4.25_f64.to_bits()).as_str().into());
    let fold = Json::Map(fold);
    let sealed = Json::map([("digest", Some(Digest::of(fold.canonical().as_bytes()).into())), ("fold", Some(fold))]);
    fs::write(&file, sealed.canonical()).unwrap();
    evaluated(&bench, "2");
    let losses_of = |bench: &Bench| -> Vec<String> {
        figures(bench).0.as_array().unwrap().iter().map(|fold| fold["loss"].as_str().unwrap().to_owned()).collect()
    };
    let (losses, of_straight) = (losses_of(&bench), losses_of(&straight));
    let place = usize::from(file.file_name().unwrap().to_str().unwrap().as_bytes()[5] - b'0');
    for (fold, loss) in losses.iter().enumerate() {
        let expected = if fold == place { "4.25" } else { &of_straight[fold] };
        assert_eq!(loss, expected, "fold {fold} of {losses:?}");
    }
    // One whose figure was changed and not sealed is done anew.
    let bench = slow();
    let file = killed_after_a_fold(&bench, "1");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("nTokens\":", "nTokens\":1")).unwrap();
    evaluated(&bench, "2");
    assert_eq!(figures(&bench), figures(&straight));
}
