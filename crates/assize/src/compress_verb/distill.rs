//! `assize distill TEACHER STUDENT`: a student learns a teacher's distributions, both in its lineage.

use super::{
    Input,
    figures::Sides,
    governed::{self, HeldArgs, Passed, Step, StepResult},
    suites::{self, Suites},
};
use crate::{Ended, args::RunArgs, run};
use anyhow::{Context as _, bail};
use compress::{calibrate, learn};
use evidence::{DIGITS_MEASURED, Decimal, Digest, Json, Round, Subject};
use model::{Specials, Stored};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// Rows of all steps together.
const ROWS_MAX: usize = 1 << 32;

#[derive(Debug, clap::Args)]
pub(crate) struct DistillArgs {
    /// The teacher: a folder as the hub lays it out, a .gguf file, or a dossier
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The student, of the plain Llama shape and with the teacher's tokenizer; it is not changed
    #[arg(index = 2)]
    pub(crate) student: PathBuf,
    /// The text on which the student learns
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// Steps of learning
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) steps: usize,
    /// Rows of a step
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) batch: usize,
    /// Tokens of a row
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) length: usize,
    /// Learning rate
    #[arg(long, value_name = "R", default_value_t = 1e-4)]
    pub(crate) rate: f64,
    /// What logits are divided by before they are compared
    #[arg(long, value_name = "T", default_value_t = 2.0)]
    pub(crate) temperature: f64,
    #[command(flatten)]
    pub(crate) tokens: crate::args::TokenArgs,
    #[command(flatten)]
    pub(crate) held: HeldArgs,
}

pub(crate) fn distill(args: &DistillArgs) -> anyhow::Result<Ended> {
    super::new_out(&args.run)?;
    let options = args.tokens.options();
    let (teacher, student) = (Input::open(&args.run.case, &options)?, Input::open(&args.student, &options)?);
    if !super::same_tokens(&teacher, &student)? {
        bail!("teacher and student have different tokenizers, so a token of one is another of the other");
    }
    let rows_max = args.steps.checked_mul(args.batch).filter(|rows| (1..=ROWS_MAX).contains(rows));
    let Some(rows_max) = rows_max else {
        let (steps, batch) = (args.steps, args.batch);
        bail!("`--steps` and `--batch`: expected 1 to {ROWS_MAX} rows in all steps, found {steps} steps of {batch}");
    };
    if !(args.rate > 0.0 && args.rate.is_finite()) {
        bail!("`--rate`: expected a number above 0, found {}", args.rate);
    }
    let context = teacher.decoder.context().min(student.decoder.context());
    if !(2..=context).contains(&args.length) {
        bail!(
            "`--length`: expected 2 to {context} tokens, the positions of the smaller context, found {}",
            args.length
        );
    }
    learn::llama_shape(&student.parts.config, &student.parts.tensors, args.length)?;
    let (text, digest) = suites::read_text(&args.text, "--text")?;
    let tokens = student.parts.tokenizer.encode(&text, Specials::None)?;
    let config = calibrate::Config { rows: (tokens.len() / args.length).clamp(1, rows_max), positions: args.length };
    let rows =
        calibrate::rows(&tokens, &config).with_context(|| format!("the text {} is too small", args.text.display()))?;
    let suites = Suites::read(&args.held.suites, &student.parts.tokenizer, student.decoder.context())?;
    let identity = Json::map([
        ("program", Some(run::INSTRUMENT.into())),
        ("models", Some(Json::list([teacher.subject.digest, student.subject.digest]))),
        ("text", Some(digest.into())),
        (
            "work",
            Some(
                format!("distill {} {} {} {} {}", args.steps, args.batch, args.length, args.rate, args.temperature)
                    .into(),
            ),
        ),
    ]);
    let held = governed::held(&args.held.rules, &args.run)?;
    let mut step = Step::begin(&args.run, held, &identity)?;
    let text = (suites::name_of(&args.text), digest);
    match stages(args, &mut step, [&teacher, &student], (&rows[..], text), &suites) {
        Ok((word, summary)) => step.close(word, &summary),
        Err(error) => match governed::stopped(&error) {
            Some(reason) => step.stop(&reason, &student.subject),
            None => {
                step.abandon();
                Err(error)
            }
        },
    }
}

fn stages(
    args: &DistillArgs,
    step: &mut Step,
    [teacher, student]: [&Input; 2],
    (rows, text): (&[Vec<u32>], (String, Digest)),
    suites: &Suites,
) -> anyhow::Result<(&'static str, Json)> {
    let decimal = |value: f64| Decimal::from_f64(value, DIGITS_MEASURED, Round::Nearest).map(Json::from);
    let file = Json::map([("name", Some(text.0.into())), ("digest", Some(text.1.into()))]);
    let members = vec![
        ("distill", Json::map([("steps", Some(args.steps.into())), ("temperature", Some(decimal(args.temperature)?))])),
        ("teacher", Json::from(teacher.subject.digest)),
        ("dataDigests", Json::List(vec![file.clone()])),
    ];
    if let Passed::No(gate) = step.plan(&student.subject, Vec::new(), members)? {
        return Ok(("denied", super::denied(&gate)));
    }
    let before = student.side(step.score(suites, &student.parts, &student.decoder)?)?;
    let length = args.length as u64;
    let flop = governed::blocks_of(&student.decoder).training(args.batch as u64, length)
        + governed::blocks_of(&teacher.decoder).forward(args.batch as u64, length);
    let config = learn::Config { steps: args.steps, batch: args.batch, rate: args.rate };
    let goal = learn::Goal::Teacher { teacher: &teacher.decoder, temperature: args.temperature };
    let guard = &mut step.guard;
    let model = (&student.parts.config, &student.parts.tensors);
    let (tensors, found) = learn::learn(&config, goal, model, rows, false, &mut |_, _| guard.ask(flop))?;
    step.guard.done();
    let weights = step.work.join("weights");
    let stored = tensors.iter().map(|(name, tensor)| Ok((name.clone(), Stored::f32(tensor)?)));
    let stored: BTreeMap<String, Stored> = stored.collect::<candle_core::Result<_>>()?;
    model::write_changed(&weights, &student.parts, &student.parts.config, &stored)?;
    let digest = Digest::of_reader(fs::File::open(weights.join("model.safetensors"))?)?;
    let after = Input::made(student, &weights, Subject::new("weights/model.safetensors", digest))?;
    let mut sides = Sides { before, after: after.side(step.score(suites, &after.parts, &after.decoder)?)? };
    if let Some([first, second]) = suites::speeds(&student.decoder, &after.decoder, &suites.passages)? {
        (sides.before.speed, sides.after.speed) = (Some(first), Some(second));
    }
    let changed = sides.measure(&after.subject, suites)?;
    let rows = sides.rows()?;
    let mut lineage = teacher.lineage.clone();
    lineage.extend(
        student.lineage.iter().filter(|one| !teacher.lineage.iter().any(|known| known.digest == one.digest)).cloned(),
    );
    let losses = found.losses.iter().map(|loss| decimal(*loss)).collect::<Result<Vec<Json>, _>>()?;
    let passed = step.result(StepResult {
        subject: &after.subject,
        parents: &[teacher.subject.digest, student.subject.digest],
        action: "distilled",
        operation: "distill",
        parameters: Json::map([
            ("temperature", Some(decimal(args.temperature)?)),
            ("rate", Some(decimal(args.rate)?)),
            ("steps", Some(args.steps.into())),
            ("batch", Some(args.batch.into())),
            ("length", Some(args.length.into())),
            ("text", Some(file)),
            ("divergence", Some(Json::List(losses))),
        ]),
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
