//! What a model writes: texts it may know by heart, planted secrets, banks of questions to be refused or answered.

use crate::{
    Ended,
    args::EvaluateArgs,
    evaluate_evidence::{self, Circumstances, Said},
    evaluate_tasks::{Opened, map_of, number},
    screen,
    screen::Screen,
};
use anyhow::{Context as _, bail};
use evaluate::{
    memorisation::{self, Exposure, ExtractConfig, Extractions, NEAR},
    refusal::{
        self, Detector, Found, Verdict,
        bank::{Bank, Expect, Question, Rate, rates_of, read_bank},
    },
    statistics::{LEVEL, clopper_pearson},
    tasks::{
        chat, data,
        prompts::Request,
        scoring::{self, Decoder},
        tokens,
    },
};
use evidence::{Control, Digest, Json};
use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
pub(crate) struct TextArgs {
    /// Texts the model may know by heart: .txt files, or rows with a column `text` (repeatable)
    #[arg(long, value_name = "FILE", conflicts_with = "tasks")]
    pub(crate) memorised: Vec<PathBuf>,
    /// Tokens of each passage that are given
    #[arg(long, value_name = "N", default_value_t = 50)]
    prompt_tokens: usize,
    /// Tokens of each passage that the model's own are compared with
    #[arg(long, value_name = "N", default_value_t = 50)]
    continue_tokens: usize,
    /// Passages of one text, at most
    #[arg(long, value_name = "N", default_value_t = 1)]
    passages: usize,
    /// Planted secrets: rows with `format`, `secret`, and `digits` or `candidates`
    #[arg(long, value_name = "FILE", conflicts_with = "tasks")]
    pub(crate) canaries: Option<PathBuf>,
    /// Secrets each planted one is compared with, itself among them
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_two)]
    compared: usize,
    /// Questions to be refused or answered: rows with `question`, `expect` and `risk` or `subject` (repeatable)
    #[arg(long, value_name = "FILE", conflicts_with = "tasks")]
    pub(crate) bank: Vec<PathBuf>,
    /// A sentence that is a refusal of the system at hand (repeatable)
    #[arg(long, value_name = "TEXT")]
    refusal: Vec<String>,
    /// Tokens of an answer, at most
    #[arg(long, value_name = "N", default_value_t = 128)]
    answer_tokens: usize,
    /// Ask the bare question, without the model's chat template
    #[arg(long)]
    bare: bool,
    /// What the system says before each question
    #[arg(long, value_name = "TEXT", conflicts_with = "bare")]
    system: Option<String>,
}

impl TextArgs {
    pub(crate) fn is_meant(&self) -> bool {
        !self.memorised.is_empty() || self.canaries.is_some() || !self.bank.is_empty()
    }
}

/// What was found, and as what a card may ask for it.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) members: Vec<(&'static str, Option<Json>)>,
    pub(crate) said: Vec<Said>,
    inputs: Vec<Digest>,
}

/// How the questions of a bank are put.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) refusals: &'a [String],
    pub(crate) answer_tokens: usize,
    pub(crate) is_bare: bool,
    pub(crate) system: Option<&'a str>,
    pub(crate) limit: Option<usize>,
    pub(crate) samples: Option<&'a Path>,
}

pub(crate) fn evaluate(args: &EvaluateArgs) -> anyhow::Result<Ended> {
    let screen = Screen::new(args.json);
    evaluate_evidence::check_out(args.out.as_deref())?;
    let bank = if args.texts.bank.is_empty() { None } else { Some(read_bank(&args.texts.bank)?) };
    let canaries = args.texts.canaries.as_deref().map(memorisation::read_canaries).transpose()?;
    let given = Given { bank, canaries, texts: texts(&args.texts.memorised)? };
    let opened = Opened::resuming(args.path()?, &args.tokens.options(), args.resume.as_deref(), &screen)?;
    let mut found = Findings::default();
    for path in args.texts.memorised.iter().chain(&args.texts.canaries).chain(&args.texts.bank) {
        found.inputs.push(data::digest(path)?);
    }
    match opened.recalling() {
        Some(recalling) => all(args, &opened, &recalling, &given, &screen, &mut found)?,
        None => all(args, &opened, &opened.0.decoder, &given, &screen, &mut found)?,
    }
    finish(args, &opened, found)
}

/// What the model is asked about.
struct Given {
    bank: Option<Bank>,
    canaries: Option<Vec<memorisation::Canary>>,
    texts: Vec<String>,
}

fn all<D: Decoder>(
    args: &EvaluateArgs,
    opened: &Opened,
    decoder: &D,
    given: &Given,
    screen: &Screen,
    found: &mut Findings,
) -> anyhow::Result<()> {
    if !given.texts.is_empty() {
        memorised(args, opened, decoder, &given.texts, screen, found)?;
    }
    if let Some(canaries) = &given.canaries {
        let bar = screen.bar("canaries", 0);
        let (tokens, compared, seed) = (opened.tokens()?, args.texts.compared, args.scores.seed);
        let exposures =
            memorisation::exposure(decoder, &tokens, canaries, compared, seed, &mut |progress| moved(&bar, progress))?;
        bar.finish_and_clear();
        exposed(args, &exposures, found)?;
    }
    if let Some(bank) = &given.bank {
        let asking = Asking {
            refusals: &args.texts.refusal,
            answer_tokens: args.texts.answer_tokens,
            is_bare: args.texts.bare,
            system: args.texts.system.as_deref(),
            limit: args.limit,
            samples: args.samples.as_deref(),
        };
        asked(&asking, opened, decoder, bank, screen, found)?;
    }
    Ok(())
}

fn finish(args: &EvaluateArgs, opened: &Opened, found: Findings) -> anyhow::Result<Ended> {
    let Findings { mut members, said, inputs } = found;
    let mut circumstances = Circumstances::of_model(&opened.0)?;
    circumstances.inputs.extend(inputs);
    members.push(("model", Some(opened.json()?)));
    let document = map_of(members);
    if let Some(out) = &args.out {
        let measurements = circumstances.measurements(&said)?;
        evaluate_evidence::write(out, args.key.as_deref(), "texts", &measurements, document.clone())?;
    }
    if args.json {
        screen::json(&document);
    } else {
        said.iter().for_each(|said| screen::line(&evaluate_evidence::line(said)));
    }
    Ok(Ended::Well)
}

fn moved(bar: &indicatif::ProgressBar, progress: &scoring::Progress) -> Control {
    bar.set_length(progress.n_positions as u64);
    bar.set_position(progress.n_done as u64);
    Control::Continue
}

/// A file of text is one text; rows are one each.
fn texts(paths: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    for path in paths {
        if data::kind(path) == Some("txt") {
            texts.push(data::text(path)?);
            continue;
        }
        for item in data::read(path)? {
            texts.push(item.column("text")?.python_str());
        }
    }
    Ok(texts)
}

fn memorised<D: Decoder>(
    args: &EvaluateArgs,
    opened: &Opened,
    decoder: &D,
    texts: &[String],
    screen: &Screen,
    out: &mut Findings,
) -> anyhow::Result<()> {
    let config = ExtractConfig {
        prompt_tokens: args.texts.prompt_tokens,
        continuation_tokens: args.texts.continue_tokens,
        passages: args.texts.passages,
        ..ExtractConfig::default()
    };
    let texts = &texts[..args.limit.unwrap_or(texts.len()).min(texts.len())];
    let bar = screen.bar("memorised", 0);
    let found =
        memorisation::extract(decoder, &opened.tokens()?, texts, &config, &mut |progress| moved(&bar, progress))?;
    bar.finish_and_clear();
    let n = found.passages.len() as u64;
    let method = format!(
        "{} tokens given, {} compared, greedy; {n} passages of {} texts, {} texts too short",
        config.prompt_tokens,
        config.continuation_tokens,
        texts.len(),
        found.n_short
    );
    out.said.push(Said::share("memorisation.extractable", found.n_exact, n, method.clone())?);
    out.said.push(Said::share("memorisation.near", found.n_near, n, format!("{method}; edit similarity from {NEAR}"))?);
    let rate = found.n_exact as f64 / n as f64;
    out.said.push(Said::quantity("memorisation.rate", rate, Some(found.exact_bounds), "clopper-pearson", n, method));
    out.members.push(("memorisation", Some(extractions_json(&found, &config)?)));
    Ok(())
}

fn extractions_json(found: &Extractions, config: &ExtractConfig) -> anyhow::Result<Json> {
    let passage = |one: &memorisation::Extraction| -> anyhow::Result<Json> {
        Ok(Json::map([
            ("text", Some(one.text.into())),
            ("start", Some(one.start.into())),
            ("exact", Some(one.continuation.is_exact.into())),
            ("prefixTokens", Some(one.continuation.prefix_tokens.into())),
            ("similarity", Some(number(one.continuation.similarity)?)),
            ("loglikelihood", Some(number(one.log_likelihood)?)),
            ("discoverable", Some(number(one.discoverable)?)),
        ]))
    };
    Ok(Json::map([
        ("promptTokens", Some(config.prompt_tokens.into())),
        ("continuationTokens", Some(config.continuation_tokens.into())),
        ("n", Some(found.passages.len().into())),
        ("exact", Some(found.n_exact.into())),
        ("near", Some(found.n_near.into())),
        ("short", Some(found.n_short.into())),
        ("lower", Some(number(found.exact_bounds.lower)?)),
        ("upper", Some(number(found.exact_bounds.upper)?)),
        ("samples", Some(u64::from(config.samples).into())),
        ("meanDiscoverable", Some(number(found.mean_discoverable)?)),
        ("passages", Some(Json::List(found.passages.iter().map(passage).collect::<anyhow::Result<_>>()?))),
    ]))
}

fn exposed(args: &EvaluateArgs, exposures: &[Exposure], out: &mut Findings) -> anyhow::Result<()> {
    let worst = exposures.iter().max_by(|left, right| left.bits.total_cmp(&right.bits)).context("no secret")?;
    let method = format!(
        "rank {} of {} secrets compared of {}, seed {}; the largest of {} planted secrets",
        worst.rank,
        worst.n_compared,
        worst.n_space,
        args.scores.seed,
        exposures.len()
    );
    out.said.push(Said {
        id: "memorisation.exposure",
        value: worst.bits,
        interval: None,
        n: Some(worst.n_compared),
        k: None,
        method,
        convention: None,
    });
    let row = |one: &Exposure| -> anyhow::Result<Json> {
        Ok(Json::map([
            ("secret", Some(Digest::of(one.secret.as_bytes()).to_string().into())),
            ("rank", Some(one.rank.into())),
            ("compared", Some(one.n_compared.into())),
            ("space", Some(one.n_space.to_string().into())),
            ("bits", Some(number(one.bits)?)),
            ("mostBits", Some(number((one.n_compared as f64).log2())?)),
            ("loglikelihood", Some(number(one.log_likelihood)?)),
        ]))
    };
    out.members.push(("exposure", Some(Json::List(exposures.iter().map(row).collect::<anyhow::Result<_>>()?))));
    Ok(())
}

/// One answer, judged.
struct Answer<'a> {
    question: &'a Question,
    text: String,
    found: Found,
}

pub(crate) fn asked<D: Decoder>(
    asking: &Asking<'_>,
    opened: &Opened,
    decoder: &D,
    bank: &Bank,
    screen: &Screen,
    out: &mut Findings,
) -> anyhow::Result<()> {
    let template = opened.0.tokenizer.chat_template().filter(|_| !asking.is_bare);
    if template.is_none() {
        screen.note("questions are asked bare: the model has no chat template, or --bare was said");
    }
    let n = asking.limit.unwrap_or(bank.questions.len()).min(bank.questions.len());
    let bar = screen.bar("bank", n as u64);
    let detector = Detector { registered: asking.refusals.to_vec() };
    let mut answers = Vec::new();
    for question in &bank.questions[..n] {
        let text = answer(asking, opened, decoder, template, &question.text)?;
        let found = detector.verdict(&text, false);
        answers.push(Answer { question, text, found });
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(path) = asking.samples {
        write_answers(path, &answers).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    counted(bank, &answers, template.is_some(), asking, out)
}

/// The model's answer to one question, by its chat template where it has one.
fn answer<D: Decoder>(
    asking: &Asking<'_>,
    opened: &Opened,
    decoder: &D,
    template: Option<&str>,
    question: &str,
) -> anyhow::Result<String> {
    let tokenizer = opened.tokens()?;
    let token = |id: Option<u32>| id.and_then(|id| opened.0.tokenizer.token(id)).unwrap_or_default();
    let context = match template {
        Some(template) => {
            let (bos, eos) = (token(opened.0.tokenizer.bos()), token(opened.0.tokenizer.eos().first().copied()));
            let system = asking.system.map(|said| ("system", said));
            let messages: Vec<(&str, &str)> = system.into_iter().chain([("user", question)]).collect();
            chat::prompt(template, &messages, &bos, &eos)?
        }
        None if asking.system.is_some() => bail!("`--system` needs a model with a chat template"),
        None => question.to_owned(),
    };
    let n_new = asking.answer_tokens;
    let request = Request::Generate { context };
    let encoded = tokens::encode(&request, &tokenizer, decoder.context(), n_new, tokens::Rolling::AsHarness)?;
    let tokens::Encoded::Prompt { tokens: prompt, .. } = encoded else { bail!("a question became no prompt") };
    Ok(scoring::generate(decoder, &tokenizer, &prompt, &[], n_new, &mut |_| Control::Continue)?)
}

fn counted(
    bank: &Bank,
    answers: &[Answer<'_>],
    is_chat: bool,
    asking: &Asking<'_>,
    out: &mut Findings,
) -> anyhow::Result<()> {
    let verdicts: Vec<(Expect, Verdict)> =
        answers.iter().map(|answer| (answer.question.expect, answer.found.verdict)).collect();
    let [refuse, answer] = rates_of(&verdicts)?;
    let how = if is_chat { "by the model's chat template" } else { "bare" };
    let method = format!("asked {how}, greedy, at most {} tokens; word detector of refusals", asking.answer_tokens);
    // A bank that was cut short is not the bank: only its rates are said.
    if answers.len() == bank.questions.len() {
        let counts = bank.counts();
        let counted = "counted over the bank, copies left out";
        for (id, count) in [
            ("bank.refusal", counts.refuse),
            ("bank.refusal_min", counts.refuse_min),
            ("bank.answer", counts.answer),
            ("bank.answer_min", counts.answer_min),
            ("bank.risks", counts.risks),
        ] {
            out.said.push(Said::count(id, count, counted));
        }
    }
    let unscored = "what the detector cannot tell counts";
    for (rate, ids, side) in [
        (refuse, ["refusal_bank", "refusal.rate"], "as not refused"),
        (answer, ["over_refusal_bank", "over_refusal.rate"], "as refused"),
    ] {
        let Some(rate) = rate else { continue };
        for id in ids {
            out.said.push(Said::share(id, rate.k, rate.n, format!("{method}; {unscored} {side}"))?);
        }
    }
    if refuse.is_none() || answer.is_none() {
        let lacking = if refuse.is_none() { "must be refused" } else { "must be answered" };
        screen::remark(&format!("the bank asks no question that {lacking}: one rate alone says little"));
    }
    let n_unscored = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Unscored).count() as u64;
    out.said.push(Said::share("refusal.unscored", n_unscored, verdicts.len() as u64, method)?);
    let rates = [("mustRefuse", refuse), ("mustAnswer", answer)]
        .into_iter()
        .map(|(name, rate)| Ok((name, rate.map(|rate| rate_json(&rate)).transpose()?)));
    let mut members = rates.collect::<anyhow::Result<Vec<_>>>()?;
    members.push(("detector", Some(detector_json()?)));
    out.members.push(("bank", Some(map_of(members))));
    Ok(())
}

/// How the detector did on the answers with labels that it carries.
fn detector_json() -> anyhow::Result<Json> {
    let found = refusal::measured();
    let share = |(k, n): (u64, u64)| -> anyhow::Result<Json> {
        let bounds = clopper_pearson(k, n, LEVEL)?;
        Ok(Json::map([
            ("k", Some(k.into())),
            ("n", Some(n.into())),
            ("lower", Some(number(bounds.lower)?)),
            ("upper", Some(number(bounds.upper)?)),
        ]))
    };
    let [refused, complied] = found.shares();
    Ok(Json::map([
        (
            "measuredOn",
            Some("answers of SmolLM2-135M-Instruct to XSTest, labelled by one reader (docs/evaluate.md)".into()),
        ),
        ("refusedFound", Some(share(refused)?)),
        ("compliedFound", Some(share(complied)?)),
        ("unscoredRefused", Some(found.unscored_refused.into())),
        ("unscoredComplied", Some(found.unscored_complied.into())),
    ]))
}

/// One secret compared with itself alone has rank 1 whatever the model knows.
fn at_least_two(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n >= 2 => Ok(n),
        _ => Err(format!("expected a count of at least 2, the planted secret and one other, found `{text}`")),
    }
}

/// A rate as called, and corrected for what the detector is known to get wrong.
fn rate_json(rate: &Rate) -> anyhow::Result<Json> {
    let corrected = refusal::measured().corrected(rate.refused, rate.refused + rate.complied).ok();
    let corrected = corrected.map(|found| -> anyhow::Result<Json> {
        Ok(Json::map([
            ("refusedShare", Some(number(found.share)?)),
            ("lower", Some(number(found.bounds.lower)?)),
            ("upper", Some(number(found.bounds.upper)?)),
        ]))
    });
    Ok(Json::map([
        ("n", Some(rate.n.into())),
        ("refused", Some(rate.refused.into())),
        ("complied", Some(rate.complied.into())),
        ("unscored", Some(rate.unscored.into())),
        ("k", Some(rate.k.into())),
        ("lower", Some(number(rate.bounds.lower)?)),
        ("upper", Some(number(rate.bounds.upper)?)),
        ("interval", Some("clopper-pearson".into())),
        ("corrected", corrected.transpose()?),
    ]))
}

fn write_answers(path: &Path, answers: &[Answer<'_>]) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for answer in answers {
        let expect = if answer.question.expect == Expect::Refuse { "refuse" } else { "answer" };
        let row = serde_json::json!({
            "question": answer.question.text,
            "expect": expect,
            "subject": answer.question.subject,
            "answer": answer.text,
            "verdict": format!("{:?}", answer.found.verdict).to_lowercase(),
            "reason": format!("{:?}", answer.found.reason),
        });
        writeln!(file, "{row}")?;
    }
    file.flush()?;
    Ok(())
}
