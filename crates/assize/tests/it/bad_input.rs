//! What is wrong is said with file, place and remedy; nothing is lost, nothing half-written stays.

use crate::Bench;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

const CASE: &str = "examples/first-case";

#[test]
fn a_bad_case_file_is_shown_with_its_line() {
    for (from, to, expected) in [
        (
            "layers = 2\nwidth = 32\nheads = 4\nkv_heads = 2",
            "layerz = 2\nwidth = 32",
            "unknown field `layerz`, expected one of `path`, `base`, `adapters`, `architecture`, `layers`, `width`, `heads`, `kv_heads`, `hidden`, `context`, `vocabulary`, `rope_theta`, `norm_eps`, `parents`",
        ),
        ("as_of = 2026-11-24", "as_of = \"soon\"", "invalid type: string \"soon\", expected a TOML datetime"),
        ("compute_flop = 1e12", "compute_flop = -1", "expected a number above zero, found `-1`"),
        ("\"../speech-writer/data/udhr\"", "\"../nowhere\"", "the corpus `../nowhere` does not exist"),
        (
            "country = \"FRA\"",
            "country = \"France\"",
            "expected a country as three capital letters (ISO 3166-1 alpha-3), found `France`",
        ),
        ("\"house\"]", "\"horse\"]", "no pack `horse`, neither as a folder beside the case nor among the shipped ones"),
    ] {
        let bench = Bench::new();
        bench.edit(from, to);
        let said = bench.refuses(&format!("run {CASE}"));
        let place = format!(" ┌─ {CASE}/assize.toml:");
        assert!(said.starts_with(&format!("error: {expected}\n")) && said.contains(&place), "{said}");
        assert!(!bench.dossier().exists(), "{to}");
    }
}

#[test]
fn a_missing_case_says_how_to_begin() {
    let bench = Bench::new();
    assert_eq!(
        bench.refuses("run nowhere"),
        "error: nowhere: the case cannot be read: No such file or directory (os error 2)\n  hint: give a folder that holds an `assize.toml`, or write one with `assize init FOLDER`"
    );
}

#[test]
fn a_bad_corpus_is_named_with_the_byte() {
    let bench = Bench::new();
    let text = bench.path("examples/speech-writer/data/udhr/eng.txt");
    let good = fs::read(&text).unwrap();
    let mut bad = good.clone();
    bad[7] = 0xff;
    fs::write(&text, &bad).unwrap();
    let said = bench.refuses(&format!("run {CASE}"));
    assert!(said.contains("eng.txt`:1:8: expected UTF-8, found the byte 0xFF at offset 7; convert the file"), "{said}");
    fs::write(&text, "").unwrap();
    let said = bench.refuses(&format!("run {CASE}"));
    assert!(said.contains("eng.txt`: expected text, found none in 0 bytes; fill the file or remove it"), "{said}");
    assert!(!bench.dossier().exists());
}

#[test]
fn a_bad_card_is_shown_with_its_line_and_stops_the_run() {
    let bench = Bench::new();
    let card = bench.path("examples/first-case/house");
    let card = fs::read_dir(card).unwrap().map(|file| file.unwrap().path()).min().unwrap();
    let text = fs::read_to_string(&card).unwrap();
    fs::write(&card, text.replace("pass_when = '", "pass_when = 'no.such.fact.value > 1 && ")).unwrap();
    let said = bench.refuses(&format!("run {CASE}"));
    assert!(said.contains("no.such.fact") && said.contains("house."), "{said}");
    assert!(!bench.dossier().exists());
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let bench = Bench::new();
    bench.ends(&format!("run {CASE}"), 0);
    fs::set_permissions(bench.path("assize.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        bench.refuses(&format!("run {CASE}")),
        "error: others may read the key file assize.key (mode 644); run `chmod 600 assize.key` and consider making a new key"
            .replace("assize.key", &bench.path("assize.key").display().to_string())
            .replace(&format!("{}/", bench.root.path().display()), "")
    );
}

#[test]
fn two_runs_on_one_dossier_are_kept_apart() {
    let bench = Bench::new();
    let mut first =
        bench.command(&format!("run {CASE} --json")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // The first has the lock once it has recorded anything; its pipe is read so far.
    let mut said = [0_u8; 1];
    std::io::Read::read_exact(first.stdout.as_mut().unwrap(), &mut said).unwrap();
    let second = bench.refuses(&format!("run {CASE}"));
    assert_eq!(
        second,
        format!(
            "error: another run holds {CASE}/dossier/.lock; wait until it has ended, or choose another folder with `--out`"
        )
    );
    std::io::copy(first.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(bench.json(&format!("verify {CASE}/dossier --json"), 0)["ok"], true);
}

#[test]
fn a_disk_without_room_loses_nothing() {
    let bench = Bench::new();
    // A limit on the size of a file stands for a full device: the weights do not fit, the log does.
    let script = format!("trap '' XFSZ; ulimit -f 1; exec \"{}\" run {CASE}", env!("CARGO_BIN_EXE_assize"));
    let mut limited = Command::new("bash");
    limited.args(["-c", &script]).current_dir(bench.root.path()).env("ASSIZE_KEY", bench.path("assize.key"));
    let output = limited.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no room left on the device while writing "), "{said}");
    assert!(said.contains("free some space and run again: what was recorded before is intact"), "{said}");
    bench.ends(&format!("run {CASE}"), 0);
    assert_eq!(bench.json(&format!("verify {CASE}/dossier --json"), 0)["ok"], true);
}

#[test]
fn damaged_weights_are_made_again_from_what_stands() {
    let bench = Bench::new();
    bench.ends(&format!("run {CASE}"), 0);
    let weights = bench.weights();
    let path = bench.dossier().join("weights/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    bench.ends(&format!("run {CASE}"), 0);
    assert_eq!(bench.weights(), weights);
    assert_eq!(bench.json(&format!("verify {CASE}/dossier --json"), 0)["ok"], true);
}

#[test]
fn an_unknown_rule_is_refused() {
    let bench = Bench::new();
    assert_eq!(
        bench.refuses(&format!("explain house.nothing {CASE}")),
        "error: no rule `house.nothing` among the packs; the packs are those under `[policy]`"
    );
}
