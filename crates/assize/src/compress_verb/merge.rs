//! `assize merge A B`: two models of one shape, or a model and the adapters trained beside it, become one, with both in its lineage.

use super::{
    Input,
    figures::Sides,
    governed::{self, HeldArgs, Passed, Step, StepResult},
    lineage::{self, Ancestor},
    suites::{self, Suites},
};
use crate::{Ended, args::RunArgs, run};
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use compress::merge::{self, Method};
use evidence::{DIGITS_MEASURED, Decimal, Digest, Json, Round, Subject};
use model::Stored;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// Weighted mean
    Linear,
    /// Along the arc between the two
    Slerp,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// The first model; its tokenizer and configuration are kept
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The second model: a folder as the hub lays it out, a .gguf file, or a dossier; or adapters as PEFT or `train` saved them
    #[arg(index = 2)]
    pub(crate) other: PathBuf,
    /// How two models become one [default: linear]
    #[arg(long, value_enum)]
    pub(crate) method: Option<By>,
    /// Where between the two: 0 is the first, 1 the second [default: 0.5]
    #[arg(long, value_name = "T")]
    pub(crate) share: Option<f64>,
    #[command(flatten)]
    pub(crate) tokens: crate::args::TokenArgs,
    #[command(flatten)]
    pub(crate) held: HeldArgs,
}

/// What is made of the first model and the other.
struct Made {
    /// As the record names it.
    method: String,
    /// Of two models, where between them.
    share: Option<f64>,
    tensors: compress::Tensors,
    other: Subject,
    /// Of the other, itself included.
    lineage: Vec<Ancestor>,
}

pub(crate) fn merge(args: &MergeArgs) -> anyhow::Result<Ended> {
    super::new_out(&args.run)?;
    let first = Input::open(&args.run.case, &args.tokens.options())?;
    let made = match adapters_in(&args.other) {
        Some(_) if args.method.is_some() || args.share.is_some() => {
            bail!("adapters are added whole: `--method` and `--share` are said of two models; leave them out")
        }
        Some(folder) => with_adapters(&first, &folder)?,
        None => between(args, &first)?,
    };
    let suites = Suites::read(&args.held.suites, &first.parts.tokenizer, first.decoder.context())?;
    let share = made.share.map_or_else(String::new, |share| format!(" {share}"));
    let identity = Json::map([
        ("program", Some(run::INSTRUMENT.into())),
        ("models", Some(Json::list([first.subject.digest, made.other.digest]))),
        ("work", Some(format!("merge {}{share}", made.method).into())),
    ]);
    let held = governed::held(&args.held.rules, &args.run)?;
    let mut step = Step::begin(&args.run, held, &identity)?;
    match stages(&mut step, &first, &made, &suites) {
        Ok((word, summary)) => step.close(word, &summary),
        Err(error) => {
            step.abandon();
            Err(error)
        }
    }
}

/// The folder of adapters that a path names: itself, or the weights of a dossier.
fn adapters_in(path: &Path) -> Option<PathBuf> {
    [path.to_path_buf(), path.join("weights")].into_iter().find(|folder| model::is_adapters(folder))
}

/// W + α/r · B · A in each projection that has adapters; all other weights as they were.
fn with_adapters(first: &Input, folder: &Path) -> anyhow::Result<Made> {
    let base = model::trainable(&first.parts.path).context("adapters stand beside a model that can be trained here")?;
    let adapted = base.model.load_adapters(folder)?;
    let path = model::adapters_file(folder);
    let digest = fs::File::open(&path).and_then(Digest::of_reader);
    let digest = digest.with_context(|| format!("{} cannot be read", path.display()))?;
    let other = Subject::new(suites::name_of(&path), digest);
    let mut tensors = first.parts.tensors.clone();
    for (name, tensor) in adapted.merged()?.tensors() {
        let held = tensors.get_mut(&name).with_context(|| format!("the model has no weight `{name}`"))?;
        *held = tensor;
    }
    let lineage = lineage::of(&path, &other)?;
    Ok(Made { method: "adapters".to_owned(), share: None, tensors, other, lineage })
}

/// The model between two.
fn between(args: &MergeArgs, first: &Input) -> anyhow::Result<Made> {
    let second = Input::open(&args.other, &args.tokens.options())?;
    if !super::same_tokens(first, &second)? {
        bail!(
            "the two models have different tokenizers, so a token of one is another of the other; they cannot be merged"
        );
    }
    let (by, share) = (args.method.unwrap_or(By::Linear), args.share.unwrap_or(0.5));
    let method = if by == By::Linear { Method::Linear } else { Method::Slerp };
    let tensors = merge::merge(&merge::Config { method, share }, &first.parts.tensors, &second.parts.tensors)?;
    let method = format!("{by:?}").to_lowercase();
    Ok(Made { method, share: Some(share), tensors, other: second.subject, lineage: second.lineage })
}

fn stages(step: &mut Step, first: &Input, made: &Made, suites: &Suites) -> anyhow::Result<(&'static str, Json)> {
    let parent = |subject: &Subject| {
        Json::map([("name", Some(subject.name.as_str().into())), ("digest", Some(subject.digest.into()))])
    };
    let parents = [&first.subject, &made.other].map(parent);
    let members = vec![("merge", Json::from(made.method.as_str())), ("parents", Json::List(parents.into()))];
    if let Passed::No(gate) = step.plan(&first.subject, Vec::new(), members)? {
        return Ok(("denied", super::denied(&gate)));
    }
    let before = first.side(step.score(suites, &first.parts, &first.decoder)?)?;
    let weights = step.work.join("weights");
    let stored = made.tensors.iter().map(|(name, tensor)| Ok((name.clone(), Stored::f32(tensor)?)));
    let stored: BTreeMap<String, Stored> = stored.collect::<candle_core::Result<_>>()?;
    model::write_changed(&weights, &first.parts, &first.parts.config, &stored)?;
    let digest = Digest::of_reader(fs::File::open(weights.join("model.safetensors"))?)?;
    let after = Input::made(first, &weights, Subject::new("weights/model.safetensors", digest))?;
    let mut sides = Sides { before, after: after.side(step.score(suites, &after.parts, &after.decoder)?)? };
    if let Some([first, second]) = suites::speeds(&first.decoder, &after.decoder, &suites.passages)? {
        (sides.before.speed, sides.after.speed) = (Some(first), Some(second));
    }
    let changed = sides.measure(&after.subject, suites)?;
    let share = made.share.map(|share| Decimal::from_f64(share, DIGITS_MEASURED, Round::Nearest)).transpose()?;
    let rows = sides.rows()?;
    let mut lineage = first.lineage.clone();
    lineage.extend(
        made.lineage.iter().filter(|one| !first.lineage.iter().any(|known| known.digest == one.digest)).cloned(),
    );
    let passed = step.result(StepResult {
        subject: &after.subject,
        parents: &[first.subject.digest, made.other.digest],
        action: "merged",
        operation: "merge",
        parameters: Json::map([("method", Some(made.method.as_str().into())), ("share", share.map(Json::from))]),
        sides: &sides,
        changed,
        lineage,
    })?;
    super::show(&step.screen, &rows);
    Ok(match passed {
        Passed::On => ("allowed", Json::map([])),
        Passed::No(gate) => ("denied", super::denied(&gate)),
    })
}
