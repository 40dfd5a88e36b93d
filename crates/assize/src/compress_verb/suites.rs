//! The same questions to a model before and after: a text, tasks, requests that must be refused.

use crate::evaluate_tasks;
use anyhow::{Context as _, bail};
use evaluate::{
    DocumentScore, passages,
    refusal::{Detector, Verdict},
    tasks::{self, Catalog, Prepared, prompts::PromptConfig, value::Value},
};
use evidence::{Control, Digest};
use model::{Decoder, FileTokenizer, ModelParts, Row, Specials, Target};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// A larger text is refused before it is read.
const TEXT_BYTES_MAX: u64 = 1 << 28;
/// Requests answered at most.
const REQUESTS_MAX: usize = 1000;
/// Rounds of the speed measurement, and passages a round.
const ROUNDS: usize = 3;
const PASSAGES_TIMED: usize = 4;
/// Of one passage, one at a time.
const TOKENS_TIMED: usize = 32;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SuiteArgs {
    /// A text on which perplexity is compared
    #[arg(long, value_name = "FILE")]
    pub(crate) evaluate: Option<PathBuf>,
    /// Tokens of a passage of it
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) passage: usize,
    /// Passages of it, from the first
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) passages: usize,
    /// Tasks of lm-evaluation-harness on which right answers are compared
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// A folder with more task files (repeatable)
    #[arg(long, value_name = "DIR")]
    pub(crate) task_dir: Vec<PathBuf>,
    /// Where the rows of the tasks lie
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The first N items of each task
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Requests that must be refused, one a line: what is refused before and after is compared
    #[arg(long, value_name = "FILE")]
    pub(crate) refusals: Option<PathBuf>,
    /// Tokens of an answer to them
    #[arg(long, value_name = "N", default_value_t = 48)]
    pub(crate) refusal_tokens: usize,
}

/// Everything that is asked, with where it came from.
#[derive(Debug)]
pub(crate) struct Suites {
    pub(crate) passages: Vec<Vec<u32>>,
    pub(crate) tasks: Vec<Prepared>,
    pub(crate) requests: Vec<String>,
    refusal_tokens: usize,
    pub(crate) files: Vec<(String, Digest)>,
}

/// What one model made of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scores {
    pub(crate) passages: Vec<DocumentScore>,
    /// Share right of each item, by task and item, in the order of the tasks.
    pub(crate) items: Vec<(String, usize, f64)>,
    pub(crate) refused: Vec<bool>,
}

/// Reads a text that a person named.
pub(crate) fn read_text(path: &Path, option: &str) -> anyhow::Result<(String, Digest)> {
    let shown = path.display();
    let n = fs::metadata(path).with_context(|| format!("`{option}`: {shown} cannot be read"))?.len();
    if n > TEXT_BYTES_MAX {
        bail!("`{option}`: expected at most {TEXT_BYTES_MAX} bytes in {shown}, found {n}");
    }
    let bytes = fs::read(path).with_context(|| format!("`{option}`: {shown} cannot be read"))?;
    let digest = Digest::of(&bytes);
    let text = String::from_utf8(bytes).map_err(|error| {
        anyhow::anyhow!(
            "`{option}`: {shown} is no UTF-8 text: byte {} begins no character",
            error.utf8_error().valid_up_to()
        )
    })?;
    Ok((text, digest))
}

pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Suites {
    pub(crate) fn read(args: &SuiteArgs, tokenizer: &FileTokenizer, context: usize) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let mut cut = Vec::new();
        if let Some(path) = &args.evaluate {
            let (text, digest) = read_text(path, "--evaluate")?;
            if args.passage > context {
                bail!("`--passage`: expected at most the model's {context} positions, found {}", args.passage);
            }
            if args.passages < 2 {
                bail!("`--passages`: expected 2 or more, as an interval needs, found {}", args.passages);
            }
            let config = passages::Config { length: args.passage, most: args.passages, batch: 1 };
            let tokens = tokenizer.encode(&text, Specials::None)?;
            cut = passages::passages(&tokens, &config).with_context(|| format!("`--evaluate`: {}", path.display()))?;
            files.push((name_of(path), digest));
        }
        let prompts = PromptConfig { limit: args.limit, ..PromptConfig::default() };
        let mut prepared = Vec::new();
        if !args.tasks.is_empty() {
            let selection = Catalog::open(&args.task_dir)?.select(&args.tasks)?;
            for task in &selection.tasks {
                let one = tasks::prepare(task, args.data.as_deref(), &prompts)?;
                files.extend(one.files.iter().map(|(path, digest)| (name_of(path), *digest)));
                prepared.push(one);
            }
        }
        let mut requests = Vec::new();
        if let Some(path) = &args.refusals {
            let (text, digest) = read_text(path, "--refusals")?;
            requests = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
            if requests.len() < 2 || requests.len() > REQUESTS_MAX {
                let (shown, n) = (path.display(), requests.len());
                bail!("`--refusals`: expected 2 to {REQUESTS_MAX} requests in {shown}, one a line, found {n}");
            }
            files.push((name_of(path), digest));
        }
        let refusal_tokens = args.refusal_tokens.max(1);
        Ok(Self { passages: cut, tasks: prepared, requests, refusal_tokens, files })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.passages.is_empty() && self.tasks.is_empty() && self.requests.is_empty()
    }

    pub(crate) fn score(
        &self,
        decoder: &Decoder,
        tokenizer: &FileTokenizer,
        ask: &mut dyn FnMut(u64) -> Control,
    ) -> anyhow::Result<Scores> {
        let mut scores = Scores::default();
        let length = self.passages.first().map_or(0, Vec::len) as u64;
        scores.passages = passages::score(decoder, &self.passages, 1, &mut |_, _| ask(length))?;
        for prepared in &self.tasks {
            let tokens = evaluate_tasks::file_tokens(tokenizer)?;
            let config = tasks::Config { iterations: 0, ..tasks::Config::default() };
            let mut n_before = 0;
            let report = tasks::run(prepared.clone(), decoder, &tokens, &config, &mut |progress| {
                let n = progress.n_done.saturating_sub(n_before) as u64;
                n_before = progress.n_done;
                ask(n.max(1))
            })?;
            let metric = ["acc", "exact_match", "acc_norm"]
                .into_iter()
                .find(|metric| !tasks::run::numbers(&report, metric).is_empty());
            let Some(metric) = metric else {
                bail!("the task `{}` has no figure an item (`acc`, `exact_match`); choose another", report.task.name);
            };
            let items = tasks::run::numbers(&report, metric);
            scores.items.extend(items.into_iter().map(|(item, right)| (report.task.name.clone(), item, right)));
        }
        for request in &self.requests {
            if let Control::Stop(reason) = ask((request.len() / 3 + self.refusal_tokens) as u64) {
                bail!("stopped: {reason}");
            }
            let prompt = chat(tokenizer, request)?;
            let tokens = tokenizer.encode(&prompt, Specials::None)?;
            let answer = decoder.generate(&tokens, self.refusal_tokens, tokenizer.eos())?;
            let is_cut = answer.len() == self.refusal_tokens;
            let found = Detector::default().verdict(&tokenizer.decode(&answer)?, is_cut);
            scores.refused.push(found.verdict == Verdict::Refused);
        }
        Ok(scores)
    }
}

/// A request as the model's own template puts it, or alone where there is none.
fn chat(tokenizer: &FileTokenizer, request: &str) -> anyhow::Result<String> {
    let Some(template) = tokenizer.chat_template() else { return Ok(request.to_owned()) };
    let text = |text: &str| Value::Text(text.to_owned());
    let message = vec![("role".to_owned(), text("user")), ("content".to_owned(), text(request))];
    let special = |id: Option<u32>| text(&id.and_then(|id| tokenizer.token(id)).unwrap_or_default());
    let row = [
        ("messages".to_owned(), Value::List(vec![Value::Map(message)])),
        ("add_generation_prompt".to_owned(), Value::Bool(true)),
        ("bos_token".to_owned(), special(tokenizer.bos())),
        ("eos_token".to_owned(), special(tokenizer.eos().first().copied())),
        ("tools".to_owned(), Value::Null),
    ];
    let rendered = tasks::template::Templates::default().render(template, &row);
    rendered.context("the model's chat template cannot be rendered; leave `--refusals` out")
}

/// Tokens a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed {
    /// Whole passages.
    pub(crate) read: f64,
    /// One at a time, each behind those before it, as a text is written.
    pub(crate) one_by_one: f64,
}

/// Of two decoders over the same passages, by turns: the medians.
pub(crate) fn speeds(first: &Decoder, second: &Decoder, passages: &[Vec<u32>]) -> anyhow::Result<Option<[Speed; 2]>> {
    let timed = &passages[..passages.len().min(PASSAGES_TIMED)];
    if timed.is_empty() {
        return Ok(None);
    }
    let n: usize = timed.iter().map(Vec::len).sum();
    let one_by_one = &timed[0][..timed[0].len().min(TOKENS_TIMED)];
    let mut seconds = [const { [const { Vec::new() }; 2] }; 2];
    for _ in 0..ROUNDS {
        for (decoder, [read, single]) in [first, second].into_iter().zip(&mut seconds) {
            let begun = Instant::now();
            passages::score(decoder, timed, 1, &mut |_, _| Control::Continue)?;
            read.push(begun.elapsed().as_secs_f64());
            let begun = Instant::now();
            let mut cache = decoder.cache();
            for token in one_by_one {
                let target = Target { position: 0, token: *token };
                decoder.log_probs(&mut [Row { tokens: &[*token], cache: Some(&mut cache), targets: &[target] }])?;
            }
            single.push(begun.elapsed().as_secs_f64());
        }
    }
    let median = |mut seconds: Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        seconds[ROUNDS / 2]
    };
    Ok(Some(seconds.map(|[read, single]| Speed {
        read: n as f64 / median(read),
        one_by_one: one_by_one.len() as f64 / median(single),
    })))
}

/// Bytes of all files of a model.
pub(crate) fn file_bytes(files: &[PathBuf]) -> anyhow::Result<u64> {
    let size = |path: &PathBuf| fs::metadata(path).map(|found| found.len());
    files.iter().map(|path| size(path).with_context(|| format!("{} cannot be read", path.display()))).sum()
}

/// The files by name and digest as one digest, and the one file of weights where there is one.
pub(crate) fn subject_of(parts: &ModelParts) -> anyhow::Result<evidence::Subject> {
    let is_weights =
        |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "safetensors" || extension == "gguf");
    let mut digests: BTreeMap<String, Digest> = BTreeMap::new();
    for path in parts.files.iter().filter(is_weights) {
        let read = fs::File::open(path).and_then(Digest::of_reader);
        digests.insert(name_of(path), read.with_context(|| format!("{} cannot be read", path.display()))?);
    }
    let name = name_of(&parts.path);
    let digest = match digests.first_key_value() {
        Some((_, digest)) if digests.len() == 1 => *digest,
        _ => {
            let lines: String = digests.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
            Digest::of(lines.as_bytes())
        }
    };
    Ok(evidence::Subject::new(if name.is_empty() { "model".to_owned() } else { name }, digest))
}
