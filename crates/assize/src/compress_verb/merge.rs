//! `assize merge A B`: two models of one shape become one, with both in its lineage.

use super::{
    Input,
    figures::Sides,
    governed::{self, HeldArgs, Passed, Step, StepResult},
    suites::{self, Suites},
};
use crate::{Ended, args::RunArgs, run};
use anyhow::bail;
use clap::ValueEnum;
use compress::merge::{self, Method};
use evidence::{DIGITS_MEASURED, Decimal, Digest, Json, Round, Subject};
use model::{OpenOptions, Stored};
use std::{collections::BTreeMap, fs, path::PathBuf};

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
    /// The second model: a folder as the hub lays it out, a .gguf file, or a dossier
    pub(crate) other: PathBuf,
    #[arg(long, value_enum, default_value_t = By::Linear)]
    pub(crate) method: By,
    /// Where between the two: 0 is the first, 1 the second
    #[arg(long, value_name = "T", default_value_t = 0.5)]
    pub(crate) share: f64,
    #[command(flatten)]
    pub(crate) held: HeldArgs,
}

pub(crate) fn merge(args: &MergeArgs) -> anyhow::Result<Ended> {
    super::check_out(&args.run)?;
    let (first, second) = (Input::open(&args.run.case)?, Input::open(&args.other)?);
    let same = |input: &Input| input.parts.tokenizer.to_json();
    if same(&first)? != same(&second)? {
        bail!(
            "the two models have different tokenizers, so a token of one is another of the other; they cannot be merged"
        );
    }
    let method = if args.method == By::Linear { Method::Linear } else { Method::Slerp };
    let tensors =
        merge::merge(&merge::Config { method, share: args.share }, &first.parts.tensors, &second.parts.tensors)?;
    let suites = Suites::read(&args.held.suites, &first.parts.tokenizer, first.decoder.context())?;
    let identity = Json::map([
        ("program", Some(run::INSTRUMENT.into())),
        ("models", Some(Json::list([first.subject.digest, second.subject.digest]))),
        ("work", Some(format!("merge {method:?} {}", args.share).into())),
    ]);
    let held = governed::held(&args.held, &args.run)?;
    let mut step = Step::begin(&args.run, held, &identity)?;
    match stages(args, &mut step, [&first, &second], &tensors, &suites) {
        Ok((word, summary)) => step.close(word, &summary),
        Err(error) => {
            step.abandon();
            Err(error)
        }
    }
}

fn stages(
    args: &MergeArgs,
    step: &mut Step,
    [first, second]: [&Input; 2],
    tensors: &compress::Tensors,
    suites: &Suites,
) -> anyhow::Result<(&'static str, Json)> {
    let method = format!("{:?}", args.method).to_lowercase();
    let parents = |input: &Input| {
        Json::map([("name", Some(input.subject.name.as_str().into())), ("digest", Some(input.subject.digest.into()))])
    };
    let members =
        vec![("merge", Json::from(method.as_str())), ("parents", Json::List([first, second].map(parents).into()))];
    if let Passed::No(gate) = step.plan(&first.subject, Vec::new(), members)? {
        return Ok(("denied", super::denied(&gate)));
    }
    let before = first.side(step.score(suites, &first.parts, &first.decoder)?)?;
    let weights = step.work.join("weights");
    let stored = tensors.iter().map(|(name, tensor)| Ok((name.clone(), Stored::f32(tensor)?)));
    let stored: BTreeMap<String, Stored> = stored.collect::<candle_core::Result<_>>()?;
    model::write_changed(&weights, &first.parts, &first.parts.config, &stored)?;
    let digest = Digest::of_reader(fs::File::open(weights.join("model.safetensors"))?)?;
    let parts = model::take_apart(&weights, &OpenOptions::default())?;
    let subject = Subject::new("weights/model.safetensors", digest);
    let after = Input { decoder: parts.decoder()?, subject, lineage: Vec::new(), parts };
    let mut sides = Sides { before, after: after.side(step.score(suites, &after.parts, &after.decoder)?)? };
    if let Some([first, second]) = suites::speeds(&first.decoder, &after.decoder, &suites.passages)? {
        (sides.before.tokens_per_s, sides.after.tokens_per_s) = (Some(first), Some(second));
    }
    let changed = sides.measure(&after.subject, suites)?;
    let share = Decimal::from_f64(args.share, DIGITS_MEASURED, Round::Nearest)?;
    let rows = sides.rows()?;
    let mut lineage = first.lineage.clone();
    lineage.extend(
        second.lineage.iter().filter(|one| !first.lineage.iter().any(|known| known.digest == one.digest)).cloned(),
    );
    let passed = step.result(StepResult {
        subject: &after.subject,
        parents: &[first.subject.digest, second.subject.digest],
        action: "merged",
        operation: "merge",
        parameters: Json::map([("method", Some(method.into())), ("share", Some(share.into()))]),
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
