//! The command line: parse, compose, exit.

mod args;
mod authoring;
mod check;
mod check_model;
mod compress_verb;
mod declare;
mod evaluate_evidence;
mod evaluate_folds;
mod evaluate_scores;
mod evaluate_tasks;
mod evaluate_texts;
mod evaluate_thresholds;
mod export;
mod export_rego;
mod generate;
mod given;
mod hub;
mod init;
mod key;
mod model_verb;
mod packs;
mod policy_verbs;
mod ranks;
mod regimes;
mod run;
mod scenario;
mod screen;
mod verify;
mod waive;

use args::{Args, PolicyVerb, Verb};
use clap::FromArgMatches as _;
use run::Upto;
use std::process::ExitCode;

/// How a verb ended, short of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It holds, is allowed, or there was nothing to decide.
    Well,
    /// Denied, stopped, or with findings.
    Denied,
}

fn main() -> ExitCode {
    keep_freed_memory();
    let matches = args::command().get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match given::check(&matches).and_then(|()| verb(args.verb)) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Denied) => ExitCode::from(1),
        Err(error) => {
            screen::complain(&error);
            ExitCode::from(2)
        }
    }
}

fn verb(verb: Verb) -> anyhow::Result<Ended> {
    if !matches!(verb, Verb::Train(_)) {
        ranks::refuse_many()?;
    }
    match verb {
        Verb::Init { folder } => init::init(&folder),
        Verb::Plan { case, json } => run::plan_only(&case, json),
        Verb::Run(args) => run::run(&args, Upto::Release),
        Verb::Train(args) => ranks::train(&args),
        Verb::Evaluate(args) if args.folds.folds.is_some() => evaluate_folds::evaluate(&args),
        Verb::Evaluate(args) if args.texts.is_meant() => evaluate_texts::evaluate(&args),
        Verb::Evaluate(args) if evaluate_tasks::is_meant(&args)? => evaluate_tasks::evaluate(&args),
        Verb::Evaluate(args) => run::run(&args.run()?, Upto::Evaluate),
        Verb::Compress(args) if compress_verb::is_meant(&args)? => compress_verb::compress(&args),
        Verb::Compress(args) => run::run(&args.run, Upto::Compress),
        Verb::Generate(args) => generate::generate(&args),
        Verb::Merge(args) => compress_verb::merge::merge(&args),
        Verb::Distill(args) => compress_verb::distill::distill(&args),
        Verb::Compare(args) => compress_verb::compare::compare(&args),
        Verb::Check { path, as_of, all_regimes: true, tokens, json, .. } => {
            regimes::check(&path, as_of, &tokens.options(), json)
        }
        Verb::Check { path, as_of, packs, evidence, tokens, json, exports, .. } => {
            check::check(&path, as_of, &packs, &evidence, &tokens.options(), json, &exports)
        }
        Verb::Declare(args) => declare::declare(&args),
        Verb::Waive(args) => waive::waive(&args),
        Verb::Key { key, name } => key::show(key.as_deref(), name.as_deref()),
        Verb::Explain { rule, path, as_of, json } => check::explain(&rule, path.as_deref(), as_of, json),
        Verb::Verify { dossier, key, uncovered, json } => {
            verify::verify(dossier.as_deref(), key.as_deref(), uncovered, json)
        }
        Verb::Report { dossier, out } => verify::report(&dossier, &out),
        Verb::Scenario { path, sets, as_of, json } => scenario::scenario(&path, &sets, as_of, json),
        Verb::Model(args) => model_verb::model(&args),
        Verb::Policy { verb } => match verb {
            PolicyVerb::List { pack, json } => policy_verbs::list(pack.as_deref(), json),
            PolicyVerb::Test { packs, json } => policy_verbs::test(&packs, json),
            PolicyVerb::Lint { packs, json } => policy_verbs::lint(&packs, json),
            PolicyVerb::Coverage { packs, json } => authoring::coverage(&policy_verbs::chosen(&packs)?, json),
            PolicyVerb::Mutate { packs, suggest, json } => {
                authoring::mutate(&policy_verbs::chosen(&packs)?, suggest, json)
            }
            PolicyVerb::New { id, fact, pack } => authoring::new(&id, &fact, &pack, run::today()),
            PolicyVerb::Schema => Ok(authoring::schema()),
            PolicyVerb::Export(exports) => export::packs(&exports),
            PolicyVerb::Diff { from, to, path, json } => policy_verbs::diff(from, to, path.as_deref(), json),
        },
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut args::command(), "assize", &mut std::io::stdout());
            Ok(Ended::Well)
        }
    }
}

/// Keeps large freed blocks in the process: the C library gives each tensor back to the kernel otherwise, which costs a third of the
/// training speed (docs/decisions/0001-tensor-engine.md). And in one arena: what one thread frees serves the others, where an arena for each
/// thread keeps the most that each ever had (docs/decisions/0048-one-arena.md).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
fn keep_freed_memory() {
    // SAFETY: called once, before any thread is started; the options take any int.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory() {}
