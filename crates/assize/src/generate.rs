//! `assize generate MODEL --recipe FILE`: texts sampled from a model, each marked, as a governed step with a dossier of its own.

use crate::{
    Ended,
    args::RunArgs,
    compress_verb::{
        self, Input,
        governed::{self, Passed, RulesArgs, Step},
    },
    run::{INSTRUMENT, figures, now, screened},
    screen,
};
use anyhow::{Context as _, bail};
use dataset::{Filter, Mark, Recipe, Rejected, Screened, Source, Tests, Unit};
use evaluate::refusal::{Detector, Verdict};
use evidence::{Control, Decimal, DerivedFrom, Digest, Interval, Json, Measurement, Predicate, Round, Subject};
use meter::{Guard, flop::Blocks};
use model::{Ahead, Sampled, Sampling, Specials, Start, chat, chat::Turn};
use policy::Stage;
use std::{collections::BTreeMap, fs, path::PathBuf};
use supervise::Record;

/// Where in the dossier the texts lie.
const FILE: &str = "data/generated.jsonl";

#[derive(Debug, clap::Args)]
pub(crate) struct GenerateArgs {
    /// The model the texts are sampled from: a folder as the hub lays it out, a .gguf file, or a dossier
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// What is made, how and how much of it: a TOML file, as docs/generate.md lists its keys
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: PathBuf,
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
    #[command(flatten)]
    pub(crate) tokens: crate::args::TokenArgs,
}

/// What was sampled.
struct Texts {
    /// Lines of the file.
    lines: Vec<String>,
    n_drawn: u64,
    rejected: BTreeMap<Rejected, u64>,
    flop: u128,
}

pub(crate) fn generate(args: &GenerateArgs) -> anyhow::Result<Ended> {
    compress_verb::new_out(&args.run)?;
    let recipe = Recipe::read(&args.recipe)?;
    let input = Input::open(&args.run.case, &args.tokens.options())?;
    let prompts = prompts(&recipe, &input)?;
    let identity = Json::map([
        ("program", Some(INSTRUMENT.into())),
        ("model", Some(input.subject.digest.into())),
        ("work", Some("generate".into())),
        ("recipe", Some(recipe.digest().into())),
    ]);
    let held = governed::held(&args.rules, &args.run)?;
    let tests = tests(&recipe, &held)?;
    let mut step = Step::begin(&args.run, held, &identity)?;
    match stages(&mut step, &recipe, &input, (&prompts, &tests)) {
        Ok((word, summary)) => step.close(word, &summary),
        Err(error) => match governed::stopped(&error) {
            Some(reason) => step.stop(&reason, &input.subject),
            None => {
                step.abandon();
                Err(error)
            }
        },
    }
}

/// What the texts are held against: the tasks of the case whose rules hold, and the tests and avoided texts of the recipe.
fn tests(recipe: &Recipe, held: &governed::Held) -> anyhow::Result<Vec<Tests>> {
    let plan = held.case.as_ref().and_then(|case| case.tasks.as_ref());
    let mut tests = plan.map(screened::tests_of).transpose()?.unwrap_or_default();
    tests.extend(recipe.tests.iter().chain(&recipe.filter.avoid).map(|(name, text)| Tests::of_lines(name, text)));
    Ok(tests)
}

/// The tokens that each prompt comes to.
fn prompts(recipe: &Recipe, input: &Input) -> anyhow::Result<Vec<Vec<u32>>> {
    let tokenizer = &input.parts.tokenizer;
    let turn = |role: &str, content: &str| Turn { role: role.to_owned(), content: content.to_owned() };
    let mut all = Vec::new();
    for (at, prompt) in recipe.prompts.iter().enumerate() {
        let tokens = if recipe.is_chat {
            let template = tokenizer.chat_template();
            let template = template.context("the model has no chat template; leave `chat` out of the recipe")?;
            let system = recipe.system.as_deref().map(|system| turn("system", system));
            let turns: Vec<Turn> = system.into_iter().chain([turn("user", prompt)]).collect();
            tokenizer.encode(&chat::render(template, &turns, true)?, Specials::None)?
        } else {
            tokenizer.encode(prompt, Specials::AsFile)?
        };
        let context = input.decoder.context();
        if tokens.is_empty() || tokens.len() >= context {
            bail!(
                "prompt {} of the recipe: expected 1 to {} tokens, so that the model's {context} positions have room for an answer, found {}",
                at + 1,
                context - 1,
                tokens.len()
            );
        }
        all.push(tokens);
    }
    Ok(all)
}

fn stages(
    step: &mut Step,
    recipe: &Recipe,
    input: &Input,
    (prompts, tests): (&[Vec<u32>], &[Tests]),
) -> anyhow::Result<(&'static str, Json)> {
    let members = vec![("recipe", recipe.to_json()), ("recipeDigest", recipe.digest().into())];
    if let Passed::No(gate) = step.plan(&input.subject, Vec::new(), members)? {
        return Ok(("denied", compress_verb::denied(&gate)));
    }
    let texts = sampled(step, recipe, input, prompts)?;
    if texts.lines.is_empty() {
        bail!("stopped: of {} texts that were sampled none passed the filters: {}", texts.n_drawn, reasons(&texts));
    }
    let path = step.work.join(FILE);
    fs::create_dir_all(step.work.join("data")).context("the folder of the texts cannot be made")?;
    let mut lines = texts.lines.join("\n");
    lines.push('\n');
    ledger::durable::write_atomic(&path, lines.as_bytes())?;
    let subject = Subject::new(FILE, Digest::of(lines.as_bytes()));
    record(step, recipe, input, &texts, &subject)?;
    let screened = audit(step, recipe, input, tests)?;
    let n_kept = texts.lines.len() as u64;
    if n_kept < recipe.number {
        let said =
            format!("{n_kept} of {} texts were kept of {} sampled: {}", recipe.number, texts.n_drawn, reasons(&texts));
        step.screen.note(&said);
    }
    let summary = Json::map([
        ("documents", Some(n_kept.into())),
        ("drawn", Some(texts.n_drawn.into())),
        ("rejected", Some(rejected(&texts))),
        ("digest", Some(subject.digest.to_string().into())),
        ("screened", Some(screened.to_json())),
    ]);
    if !step.screen.is_json() {
        screen::line(&format!("{n_kept} texts of {} sampled, {:.3e} FLOP", texts.n_drawn, texts.flop as f64));
        screen::line(&screened::line(&screened));
    }
    Ok(match step.gate(Stage::Data)? {
        Passed::On => ("allowed", summary),
        Passed::No(gate) => ("denied", compress_verb::denied(&gate)),
    })
}

/// Samples until enough are kept, each pass asked of the budget first.
fn sampled(step: &mut Step, recipe: &Recipe, input: &Input, prompts: &[Vec<u32>]) -> anyhow::Result<Texts> {
    let (decoder, tokenizer) = (&input.decoder, &input.parts.tokenizer);
    let blocks = governed::blocks_of(decoder);
    let sampling = Sampling {
        temperature: recipe.temperature,
        top_k: recipe.top_k,
        top_p: recipe.top_p,
        tokens_max: recipe.tokens_max,
        seed: recipe.seed,
    };
    let (generator, recipe_digest) = (input.subject.digest, recipe.digest());
    let mut filter = Filter::new(recipe)?;
    let mut texts = Texts { lines: Vec::new(), n_drawn: 0, rejected: BTreeMap::new(), flop: 0 };
    let bar = step.screen.bar("generate", recipe.number);
    while (texts.lines.len() as u64) < recipe.number && texts.n_drawn < recipe.draws_max {
        let first = texts.n_drawn;
        let n = (recipe.batch as u64).min(recipe.draws_max - first);
        let prompt_of = |index: u64| (index % prompts.len() as u64) as usize;
        let starts: Vec<Start<'_>> =
            (first..first + n).map(|index| Start { tokens: &prompts[prompt_of(index)], stream: index }).collect();
        let drawn = match decoder.sample(&starts, &sampling, tokenizer.eos(), &mut |ahead| {
            ask(&mut step.guard, &blocks, ahead, &mut texts.flop)
        })? {
            Sampled::Finished(drawn) => drawn,
            Sampled::Stopped(reason) => bail!("stopped: {reason}"),
        };
        texts.n_drawn += n;
        for (index, drawn) in (first..).zip(drawn) {
            if texts.lines.len() as u64 == recipe.number {
                break;
            }
            let answer = tokenizer.decode(&drawn.tokens)?;
            let document = recipe.document(&recipe.prompts[prompt_of(index)], answer.trim());
            let mut refuses = || Detector::default().verdict(&answer, !drawn.is_finished).verdict == Verdict::Refused;
            if let Some(reason) = filter.judge([&answer, &document], drawn.is_finished, &mut refuses)? {
                *texts.rejected.entry(reason).or_default() += 1;
                continue;
            }
            let mark = Mark { generator, recipe: recipe_digest, seed: recipe.seed, index };
            texts.lines.push(mark.line(&document));
        }
        bar.set_position(texts.lines.len() as u64);
        bar.set_message(format!("{} sampled", texts.n_drawn));
    }
    step.guard.close()?;
    bar.finish_and_clear();
    Ok(texts)
}

/// Counts a pass, once the budget has room for it.
fn ask(guard: &mut Guard, blocks: &Blocks, ahead: &[Ahead], spent: &mut u128) -> Control {
    let cost = |piece: &Ahead| match piece {
        Ahead { before, n: 1 } => blocks.decode(1, *before as u64),
        Ahead { n, .. } => blocks.forward(1, *n as u64),
    };
    let flop: u128 = ahead.iter().map(cost).sum();
    let answer = guard.ask(flop);
    if answer == Control::Continue {
        *spent += flop;
    }
    answer
}

fn reasons(texts: &Texts) -> String {
    let rows: Vec<String> = texts.rejected.iter().map(|(reason, n)| format!("{n} {}", reason.name())).collect();
    if rows.is_empty() { "nothing was rejected".to_owned() } else { rows.join(", ") }
}

fn rejected(texts: &Texts) -> Json {
    Json::Map(texts.rejected.iter().map(|(reason, n)| (reason.name().to_owned(), (*n).into())).collect())
}

/// The statement about the file: what it was made of, and what that took.
fn record(step: &mut Step, recipe: &Recipe, input: &Input, texts: &Texts, subject: &Subject) -> anyhow::Result<()> {
    let inputs = vec![input.subject.digest, recipe.digest()];
    let compute = figures::flop("generate.compute", subject, texts.flop, inputs)?;
    let n_kept = texts.lines.len() as u64;
    let count = |n: u64| Decimal::from_u128(n.into(), Round::Nearest);
    let share = |round| Decimal::from_f64(n_kept as f64 / texts.n_drawn.max(1) as f64, 9, round);
    let exact = Interval {
        lower: share(Round::Down)?,
        upper: share(Round::Up)?,
        level: None,
        method: "exact-count".to_owned(),
    };
    let kept = figures::measure("generate.kept", subject, share(Round::Nearest)?, "kept by sampled, counted")?;
    let spent = step.guard.account().spent();
    let mut record = Record::new(Predicate::Generation, "data");
    record.measurements = vec![
        Measurement { convention: Some(meter::flop::BLOCKS_CONVENTION.to_owned()), ..compute },
        figures::measure("generate.documents", subject, count(n_kept), "lines of the file, counted")?,
        Measurement { k: Some(n_kept), n: Some(texts.n_drawn), interval: Some(exact), ..kept },
    ];
    record.subjects = vec![subject.clone()];
    let from = DerivedFrom { parent: input.subject.digest, action: "generated-by".to_owned() };
    record.derived_from = vec![from];
    record.members = vec![
        ("generator", input.subject.to_json()),
        ("recipe", recipe.to_json()),
        ("recipeDigest", recipe.digest().into()),
        ("drawn", texts.n_drawn.into()),
        ("batch", recipe.batch.into()),
        ("rejected", rejected(texts)),
        ("energyKwh", spent.in_unit(2, Round::Up).into()),
        ("scope", "counted, unless the texts are publicly accessible".into()),
        ("budget", figures::budget(step.guard.account())),
    ];
    step.record(record)
}

/// The file, read back and audited like any data.
fn audit(step: &mut Step, recipe: &Recipe, input: &Input, tests: &[Tests]) -> anyhow::Result<Screened> {
    let source = Source {
        name: "generated".to_owned(),
        path: FILE.into(),
        licence: recipe.licence.clone(),
        source: Some(format!("sampled from {}, sha256:{}", input.subject.name, input.subject.digest)),
        generated: None,
        split: Unit::File,
    };
    let config = dataset::Config { root: step.work.clone(), sources: vec![source], held_out: 0.1, seed: recipe.seed };
    let corpus = dataset::read(&config)?;
    let subject = Subject::new("corpus", corpus.digest());
    let (findings, origins) = (dataset::audit(&corpus), dataset::origins(&corpus));
    let mut record = Record::new(Predicate::DatasetAudit, "data");
    record.measurements = findings.measurements(&subject, INSTRUMENT, now())?;
    record.measurements.extend(origins.measurements(None, &subject, INSTRUMENT, now())?);
    record.members = vec![("corpus", corpus.digest().to_string().into()), ("origins", origins.to_json())];
    let screened = screened::screen(&corpus, tests, &subject, &mut record)?;
    record.subjects = vec![subject];
    step.record(record)?;
    Ok(screened)
}
