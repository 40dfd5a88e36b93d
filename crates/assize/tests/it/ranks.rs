//! `assize train` over several processes. What needs mpirun runs with the feature `mpi`: see `tests/mpi.sh`.

use crate::Bench;

#[test]
fn resuming_needs_something_to_resume() {
    let bench = Bench::new();
    let nothing = "so that there is nothing to resume; leave `--resume` out to begin";
    assert_eq!(
        bench.refuses("train examples/first-case --resume"),
        format!("error: no dossier stands at examples/first-case/dossier, {nothing}")
    );
    assert!(!bench.dossier().exists());
    bench.ends("train examples/first-case", 0);
    let weights = bench.weights();
    bench.ends("train examples/first-case --resume", 0);
    assert_eq!(bench.weights(), weights);
    bench.edit("seed = 7", "seed = 8");
    assert_eq!(
        bench.refuses("train examples/first-case --resume"),
        format!("error: the dossier at examples/first-case/dossier is not of this case as it is now, {nothing}")
    );
    assert_eq!(bench.weights(), weights);
}

/// A stop for want of budget, and on from there.
#[test]
fn a_stopped_training_is_resumed() {
    let (bench, straight) = (Bench::new(), Bench::new());
    straight.ends("train examples/first-case", 0);
    bench.edit("compute_flop = 1e12", "compute_flop = 1e9");
    bench.ends("train examples/first-case", 1);
    bench.edit("compute_flop = 1e9", "compute_flop = 1e12");
    bench.ends("train examples/first-case --resume", 0);
    assert_eq!(bench.weights(), straight.weights());
}

#[test]
fn under_mpirun_every_other_verb_is_refused_before_it_does_anything() {
    let bench = Bench::new();
    for verb in ["run examples/first-case", "verify examples/first-case/dossier", "evaluate examples/first-case"] {
        let output = bench.command(verb).env("OMPI_COMM_WORLD_SIZE", "2").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(
            said.trim_end(),
            "error: only `assize train` runs as several processes, and mpirun has started 2: train under mpirun, then go on without it"
        );
    }
    assert!(!bench.dossier().exists());
}

#[cfg(not(feature = "mpi"))]
#[test]
fn without_the_feature_several_processes_are_refused_with_the_remedy() {
    let bench = Bench::new();
    for variable in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"] {
        let output = bench.command("train examples/first-case").env(variable, "2").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains("without the feature `mpi`, so that 2 processes would be 2 runs of their own"), "{said}");
        assert!(said.contains("`cargo build --release --features mpi`"), "{said}");
    }
    assert!(!bench.dossier().exists());
}

#[test]
fn more_parts_than_windows_are_refused() {
    let bench = Bench::new();
    bench.edit("batch = 8", "batch = 8\nparts = 9");
    assert!(
        bench
            .refuses("train examples/first-case")
            .contains("`parts` to be from 1 to the 8 windows of a batch, found 9")
    );
}

#[cfg(feature = "mpi")]
mod mpi {
    use super::*;
    use crate::budget::statements;
    use serde_json::Value;
    use std::{
        fs,
        process::{Child, Command, ExitStatus, Stdio},
        thread,
        time::{Duration, Instant},
    };

    /// How long one mpirun may take, in seconds.
    const LIMIT: u64 = 120;

    /// An mpirun over this program: nothing that it started outlives it, whatever becomes of the test.
    struct Started<'a> {
        bench: &'a Bench,
        mpirun: Child,
        begun: Instant,
    }

    /// What it came to.
    struct Ended {
        status: ExitStatus,
        said: String,
    }

    impl<'a> Started<'a> {
        /// `words` may hold `PROGRAM`.
        fn new(bench: &'a Bench, words: &str) -> Self {
            let mut command = Command::new("timeout");
            command.args(["--kill-after=5", &LIMIT.to_string(), "mpirun", "--allow-run-as-root", "--oversubscribe"]);
            let program = env!("CARGO_BIN_EXE_assize");
            command.args(words.split_whitespace().map(|word| if word == "PROGRAM" { program } else { word }));
            command.current_dir(bench.root.path()).env("ASSIZE_KEY", bench.path("assize.key")).env("NO_COLOR", "1");
            // A few threads each, or they are in one another's way.
            command.env("RAYON_NUM_THREADS", "1");
            // A file, for a pipe would stay open as long as anybody lives who holds it.
            command.stdout(Stdio::null()).stderr(fs::File::create(bench.path("said")).unwrap());
            Self { bench, mpirun: command.spawn().unwrap(), begun: Instant::now() }
        }

        /// Waits for the end of all.
        fn ended(mut self) -> Ended {
            let status = self.mpirun.wait().unwrap();
            let said = fs::read_to_string(self.bench.path("said")).unwrap();
            assert!(self.begun.elapsed() < Duration::from_secs(LIMIT), "given up on after {LIMIT} s: {said}");
            let parted = Instant::now();
            while !processes(self.bench).is_empty() {
                assert!(parted.elapsed() < Duration::from_secs(5), "mpirun has ended and a rank lives on: {said}");
                thread::sleep(Duration::from_millis(20));
            }
            Ended { status, said }
        }
    }

    impl Drop for Started<'_> {
        fn drop(&mut self) {
            for id in processes(self.bench) {
                let _ = kill(id);
            }
            let _ = self.mpirun.wait();
        }
    }

    /// The processes that work in the folder of this test: `timeout`, mpirun, and the ranks.
    fn processes(bench: &Bench) -> Vec<u32> {
        let here = bench.root.path().canonicalize().unwrap();
        let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.filter(|id| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|at| at == here)).collect()
    }

    /// The process of a rank.
    fn process_of(bench: &Bench, rank: usize) -> Option<u32> {
        let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
        let is_rank = |id: &u32| {
            let variables = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            variables.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        processes(bench).into_iter().find(is_rank)
    }

    fn kill(id: u32) -> std::io::Result<ExitStatus> {
        Command::new("kill").args(["-KILL", &id.to_string()]).status()
    }

    fn train(bench: &Bench, n: usize, options: &str) -> Ended {
        Started::new(bench, &format!("-n {n} PROGRAM train examples/first-case {options}")).ended()
    }

    fn finishes(bench: &Bench, n: usize, options: &str) {
        let Ended { status, said } = train(bench, n, options);
        assert!(status.success(), "{said}");
    }

    fn losses(bench: &Bench) -> Vec<f64> {
        let log = statements(bench);
        let (_, run) = log.iter().find(|(kind, _)| kind == "urn:assize:training-run:v0.1").unwrap();
        let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap();
        run["curve"].as_array().unwrap().iter().map(|point| number(&point["loss"])).collect()
    }

    #[test]
    fn the_weights_do_not_depend_on_the_number_of_processes() {
        let alone = Bench::new();
        alone.edit("batch = 8", "batch = 8\nparts = 3");
        alone.ends("train examples/first-case", 0);
        for n in [2, 3] {
            let bench = Bench::new();
            bench.edit("batch = 8", "batch = 8\nparts = 3");
            finishes(&bench, n, "");
            assert_eq!(bench.weights(), alone.weights(), "{n} processes");
            assert_eq!(losses(&bench), losses(&alone));
            let log = statements(&bench);
            let (_, run) = log.iter().find(|(kind, _)| kind == "urn:assize:training-run:v0.1").unwrap();
            assert_eq!((run["ranks"].as_u64(), run["config"]["train"]["parts"].as_u64()), (Some(n as u64), Some(3)));
            assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
            // The rest of the case is done without mpirun, from the weights that stand.
            if n == 2 {
                bench.ends("run examples/first-case", 0);
            }
        }
    }

    /// As in `train`: 2e-5 relative on the loss.
    #[test]
    fn without_parts_the_loss_curve_is_that_of_one_process_to_rounding() {
        let (alone, bench) = (Bench::new(), Bench::new());
        alone.ends("train examples/first-case", 0);
        finishes(&bench, 2, "");
        let (one, two) = (losses(&alone), losses(&bench));
        assert_eq!(one.len(), two.len());
        let largest = one.iter().zip(&two).map(|(one, two)| (one - two).abs() / one).fold(0.0, f64::max);
        println!("largest relative difference {largest:e}");
        assert!(largest < 2e-5, "{largest}");
    }

    #[test]
    fn a_stopped_training_is_resumed_by_another_number_of_processes() {
        let straight = Bench::new();
        straight.edit("batch = 8", "batch = 8\nparts = 4");
        straight.ends("train examples/first-case", 0);
        for (first, second) in [(2, 1), (1, 3), (3, 2)] {
            let bench = Bench::new();
            bench.edit("batch = 8", "batch = 8\nparts = 4");
            bench.edit("compute_flop = 1e12", "compute_flop = 1e9");
            let said = train(&bench, first, "").said;
            assert!(said.contains("stopped: the compute budget"), "{said}");
            bench.edit("compute_flop = 1e9", "compute_flop = 1e12");
            finishes(&bench, second, "--resume");
            assert_eq!(bench.weights(), straight.weights(), "{first} then {second}");
            assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
        }
    }

    /// Begins a training of two ranks that takes some seconds, waits for a snapshot, and kills one of them outright.
    fn killed(bench: &Bench, rank: usize) -> Ended {
        let mut started = Started::new(bench, "-n 2 PROGRAM train examples/first-case");
        let work = bench.dossier().join(".work");
        let has_snapshot = || {
            let runs = fs::read_dir(&work).into_iter().flatten().flatten();
            runs.into_iter().any(|run| run.path().join("train/step-00000010").exists())
        };
        while !has_snapshot() {
            assert!(started.begun.elapsed() < Duration::from_secs(60), "no snapshot in a minute");
            assert!(started.mpirun.try_wait().unwrap().is_none(), "the training has ended already");
            thread::sleep(Duration::from_millis(5));
        }
        assert!(kill(process_of(bench, rank).expect("the rank is there")).unwrap().success());
        let ended = started.ended();
        assert!(!ended.status.success());
        ended
    }

    fn slow() -> Bench {
        let bench = Bench::new();
        bench.edit("tokens = 15_360", "tokens = 153_600");
        bench.edit("batch = 8", "batch = 8\nparts = 2");
        bench
    }

    #[test]
    fn when_a_rank_is_killed_the_first_leaves_a_snapshot_and_an_entry() {
        let (bench, straight) = (slow(), slow());
        let Ended { said, .. } = killed(&bench, 1);
        let log = statements(&bench);
        let (_, stop) = log.iter().find(|(kind, _)| kind == "urn:assize:stop:v0.1").unwrap_or_else(|| panic!("{said}"));
        let reason = stop["reason"].as_str().unwrap();
        assert!(reason.contains("rank 1 is gone: its process"), "{reason}\n{said}");
        assert!(stop["snapshot"]["step"].as_u64().unwrap() >= 10, "{}", stop["snapshot"]);
        assert_eq!(bench.json("verify examples/first-case/dossier --json", 0)["ok"], true);
        bench.ends("train examples/first-case --resume", 0);
        straight.ends("train examples/first-case", 0);
        assert_eq!(bench.weights(), straight.weights());
    }

    #[test]
    fn when_the_first_rank_is_killed_the_crash_becomes_an_entry() {
        let (bench, straight) = (slow(), slow());
        killed(&bench, 0);
        finishes(&bench, 2, "--resume");
        let log = statements(&bench);
        let (_, resume) = log.iter().find(|(kind, _)| kind == "urn:assize:resume:v0.1").unwrap();
        assert_eq!(resume["reason"], "after-crash");
        straight.ends("train examples/first-case", 0);
        assert_eq!(bench.weights(), straight.weights());
    }

    #[test]
    fn ranks_of_different_programs_are_refused_before_anything_is_written() {
        let bench = Bench::new();
        let other = bench.path("other");
        let mut program = fs::read(env!("CARGO_BIN_EXE_assize")).unwrap();
        // Behind the last section nobody reads.
        program.push(0);
        fs::write(&other, program).unwrap();
        fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let words =
            format!("-n 1 PROGRAM train examples/first-case : -n 1 {} train examples/first-case", other.display());
        let Ended { status, said } = Started::new(&bench, &words).ended();
        assert!(!status.success());
        let told = "every rank must run the same file of this program; nothing was read or written: rank 1 differs from rank 0 in its program";
        assert_eq!(said.matches(told).count(), 2, "{said}");
        assert!(!bench.dossier().exists());
    }

    #[test]
    fn ranks_of_different_cases_are_refused_before_anything_is_written() {
        let bench = Bench::new();
        crate::copy(&bench.path("examples/first-case"), &bench.path("examples/second-case"));
        let second = bench.path("examples/second-case/assize.toml");
        let text = fs::read_to_string(&second).unwrap();
        fs::write(&second, text.replace("seed = 7", "seed = 8")).unwrap();
        let words = "-n 1 PROGRAM train examples/first-case : -n 1 PROGRAM train examples/second-case";
        let Ended { status, said } = Started::new(&bench, words).ended();
        assert!(!status.success());
        assert_eq!(said.matches("rank 1 differs from rank 0 in its case, with its data").count(), 2, "{said}");
        assert!(!bench.dossier().exists());
    }
}
