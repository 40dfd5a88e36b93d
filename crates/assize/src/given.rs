//! An option that nothing reads is an error: a bound that nobody holds is worse than none.

use anyhow::bail;
use clap::{ArgMatches, parser::ValueSource};
use std::collections::BTreeMap;

/// An option, and those of which one must stand beside it for it to be read; `--x=v` asks for that value.
type Beside = (&'static str, &'static [&'static str]);

/// What makes `evaluate` read a model or a table instead of a case.
const EVALUATE_MODEL: &[&str] = &["--tasks", "--memorised", "--canaries", "--bank", "--folds"];
/// What makes `compress` read a model instead of a case.
const COMPRESS_MODEL: &[&str] = &["--prune", "--quantize", "--target"];

const EVALUATE: &[Beside] = &[
    ("--task-dir", &["--tasks"]),
    ("--fewshot", &["--tasks"]),
    ("--against", &["--tasks"]),
    ("--slice", &["--tasks"]),
    ("--robust", &["--tasks"]),
    ("--threshold", &["--tasks"]),
    ("--data", &["--tasks", "--folds"]),
    ("--limit", &["--tasks", "--folds", "--memorised", "--bank"]),
    ("--samples", &["--tasks", "--bank"]),
    ("--resume", &["--tasks", "--memorised", "--canaries", "--bank"]),
    ("--bos", &["--tasks", "--memorised", "--canaries", "--bank", "--text"]),
    ("--eos", &["--tasks", "--memorised", "--canaries", "--bank", "--text"]),
    ("--seed", EVALUATE_MODEL),
    ("--prompt-tokens", &["--memorised"]),
    ("--continue-tokens", &["--memorised"]),
    ("--passages", &["--memorised"]),
    ("--compared", &["--canaries"]),
    ("--refusal", &["--bank"]),
    ("--answer-tokens", &["--bank"]),
    ("--bare", &["--bank"]),
    ("--system", &["--bank"]),
    ("--repeats", &["--folds"]),
    ("--target", &["--folds"]),
    ("--text", &["--folds"]),
    ("--stratify", &["--folds"]),
    ("--group", &["--folds"]),
    ("--drop", &["--folds"]),
    ("--no-header", &["--folds"]),
    ("--no-stratify", &["--folds"]),
    ("--no-shuffle", &["--folds"]),
    ("--lambda", &["--folds"]),
    ("--inner", &["--folds"]),
    ("--head", &["--folds"]),
    ("--pool", &["--text"]),
    ("--folds-out", &["--folds"]),
];

/// Of the suites on which two models are compared.
const SUITES: &[Beside] = &[
    ("--passage", &["--evaluate"]),
    ("--passages", &["--evaluate"]),
    ("--task-dir", &["--tasks"]),
    ("--data", &["--tasks"]),
    ("--limit", &["--tasks"]),
    ("--refusal-tokens", &["--refusals"]),
];

const COMPRESS: &[Beside] = &[
    ("--sparsity", &["--prune"]),
    ("--pattern", &["--prune"]),
    ("--calibration", COMPRESS_MODEL),
    ("--calibration-rows", &["--calibration"]),
    ("--calibration-length", &["--calibration"]),
    ("--recover", &["--prune"]),
    ("--recover", &["--calibration"]),
    ("--recover-rate", &["--recover"]),
    ("--group", &["--quantize=gptq"]),
    ("--keep", &["--target"]),
    ("--rules", COMPRESS_MODEL),
    ("--pack", COMPRESS_MODEL),
    ("--evaluate", COMPRESS_MODEL),
    ("--tasks", COMPRESS_MODEL),
    ("--refusals", COMPRESS_MODEL),
    ("--bos", COMPRESS_MODEL),
    ("--eos", COMPRESS_MODEL),
];

/// What the command line says, by `--name`, with the values as they were written.
struct Given(BTreeMap<String, Vec<String>>);

impl Given {
    fn has(&self, wanted: &str) -> bool {
        let (name, value) = wanted.split_once('=').map_or((wanted, None), |(name, value)| (name, Some(value)));
        self.0.get(name).is_some_and(|values| value.is_none_or(|value| values.iter().any(|one| one == value)))
    }

    /// That each option stands beside one that reads it.
    fn stand_beside(&self, pairs: &[Beside]) -> anyhow::Result<()> {
        match pairs.iter().find(|(option, beside)| self.has(option) && !beside.iter().any(|one| self.has(one))) {
            None => Ok(()),
            Some((option, beside)) => {
                bail!("`{option}` is read only beside {}; give that, or leave `{option}` out", named(beside))
            }
        }
    }

    /// That an option is not given together with any of those beside which nothing reads it.
    fn stand_apart(&self, option: &str, apart: &[&str]) -> anyhow::Result<()> {
        match apart.iter().find(|one| self.has(option) && self.has(one)) {
            None => Ok(()),
            Some(other) => bail!("`{option}` is not read beside `{other}`; leave it out"),
        }
    }
}

fn named(options: &[&str]) -> String {
    let options: Vec<String> = options.iter().map(|one| format!("`{}`", one.replace('=', " "))).collect();
    match options.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => options.concat(),
    }
}

/// What `requires` of the parser cannot say: it is waived where the required option conflicts with one that is given.
///
/// # Errors
/// An option that nothing reads beside the others.
pub(crate) fn check(matches: &ArgMatches) -> anyhow::Result<()> {
    let Some((verb, matches)) = matches.subcommand() else { return Ok(()) };
    let command = crate::args::command();
    let Some(command) = command.find_subcommand(verb) else { return Ok(()) };
    let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let given = command.get_arguments().filter(|argument| is_given(argument.get_id().as_str()));
    let given = given.filter_map(|argument| {
        let values = matches.get_raw(argument.get_id().as_str()).unwrap_or_default();
        let values = values.map(|value| value.to_string_lossy().into_owned()).collect();
        Some((format!("--{}", argument.get_long()?), values))
    });
    let given = Given(given.collect());
    match verb {
        "evaluate" => {
            given.stand_beside(EVALUATE)?;
            given.stand_apart("--as-of", EVALUATE_MODEL)?;
            // Figures of a model are signed only where they are written.
            if EVALUATE_MODEL.iter().any(|one| given.has(one)) {
                given.stand_beside(&[("--key", &["--out"])])
            } else {
                Ok(())
            }
        }
        "compress" => given.stand_beside(COMPRESS).and_then(|()| given.stand_beside(SUITES)),
        "merge" | "distill" | "compare" => given.stand_beside(SUITES),
        "model" => {
            ["--json", "--ranks", "--context"].into_iter().try_for_each(|one| given.stand_apart(one, &["--write"]))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that no verb has would never be found given, and its rule would guard nothing.
    #[test]
    fn every_name_is_an_option_of_its_verb() {
        let command = crate::args::command();
        let of = |verb: &str| -> Vec<String> {
            let verb = command.find_subcommand(verb).unwrap();
            verb.get_arguments().filter_map(|one| Some(format!("--{}", one.get_long()?))).collect()
        };
        let known = |verb: &str, pairs: &[Beside]| {
            let options = of(verb);
            for one in pairs.iter().flat_map(|(option, beside)| std::iter::once(option).chain(*beside)) {
                let name = one.split('=').next().unwrap().to_owned();
                assert!(options.contains(&name), "{verb} {name}");
            }
        };
        known("evaluate", EVALUATE);
        known("compress", COMPRESS);
        ["compress", "merge", "distill", "compare"].into_iter().for_each(|verb| known(verb, SUITES));
    }

    #[test]
    fn what_nothing_reads_is_told() {
        let check = |line: &str| {
            let words = std::iter::once("assize").chain(line.split(' '));
            check(&crate::args::command().try_get_matches_from(words).unwrap()).map_err(|error| error.to_string())
        };
        let beside = |line: &str, option: &str| {
            let error = check(line).unwrap_err();
            assert!(error.starts_with(&format!("`{option}` is ")), "{line}: {error}");
        };
        beside("compress m --quantize q4_0 --keep perplexity<=+1%", "--keep");
        beside("compress m --quantize q4_0 --calibration c --group 64", "--group");
        beside("compress m --quantize q4_0 --passages 3", "--passages");
        beside("compress case --rules r", "--rules");
        beside("compress case --group 77", "--group");
        beside("evaluate m --bank b --against m2", "--against");
        beside("evaluate m --memorised b --robust", "--robust");
        beside("evaluate m --tasks piqa --bare", "--bare");
        beside("evaluate m --tasks piqa --lambda 1", "--lambda");
        beside("evaluate m --tasks piqa --as-of 2026-01-01", "--as-of");
        beside("evaluate m --tasks piqa --key k", "--key");
        beside("evaluate --folds 3 --data d --fewshot 3", "--fewshot");
        beside("model m --write d --json", "--json");
        beside("compare a b --limit 3", "--limit");
        for line in [
            "compress m --quantize gptq --calibration c --group 64",
            "compress m --prune wanda --sparsity 0.5 --calibration c --recover 3 --recover-rate 1e-4",
            "compress m --target size=50% --keep perplexity<=+1% --evaluate e --passages 3",
            "compress case --out d --key k",
            "evaluate case --key k --as-of 2026-01-01",
            "evaluate m --tasks piqa --limit 2 --key k --out o --seed 3",
            "evaluate m --folds 3 --text t --pool last --data d --bos x",
            "model m --write d --bos x",
        ] {
            check(line).unwrap();
        }
    }
}
