//! A task from its rows to its figures: read, ask, score, count.

use super::{
    catalog::Group,
    confidence::confidences,
    data::Item,
    metrics::{self, Answers, Cell, Cells, Figure, MetricError},
    prompts::{self, Doc, PromptConfig, PromptError, Request},
    scoring::{self, Decoder, Packing, Progress, ScoringError, SequenceScore, Work},
    split::{self, SplitError},
    task::{Output, Task},
    template::Templates,
    tokens::{self, Encoded, Rolling, Sequence, TokenError, Tokenizer},
    value::column,
};
use crate::statistics::{
    LEVEL, StatisticsError,
    calibration::{self, Calibration},
    cluster::{ClusteredMean, clustered_mean},
    harness::{ITERATIONS, pooled_stderr},
    slices::{Slices, slices},
};
use evidence::{Control, Digest};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// How tasks are run.
#[derive(Debug, Clone)]
pub struct Config {
    pub prompts: PromptConfig,
    pub packing: Packing,
    pub rolling: Rolling,
    /// Most tokens the model is given: its context, or less when the user says so.
    pub context: Option<usize>,
    /// Resamples of the harness's bootstrapped errors; 0 leaves them out.
    pub iterations: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prompts: PromptConfig::default(),
            packing: Packing::default(),
            rolling: Rolling::AsHarness,
            context: None,
            iterations: ITERATIONS,
        }
    }
}

/// Why a task could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Split(#[from] SplitError),
    #[error(
        "task `{task}` shows {n_shots} examples before each item; without their rows it can be asked with `--fewshot 0`, in a \
         case `fewshot = 0`"
    )]
    Examples {
        task: String,
        n_shots: usize,
        #[source]
        source: Box<SplitError>,
    },
    #[error("task `{task}`")]
    Prompt {
        task: String,
        #[source]
        source: PromptError,
    },
    #[error("task `{task}`, item {id}")]
    Token {
        task: String,
        id: usize,
        #[source]
        source: TokenError,
    },
    #[error("task `{task}`")]
    Scoring {
        task: String,
        #[source]
        source: ScoringError,
    },
    #[error("task `{task}`")]
    Metric {
        task: String,
        #[source]
        source: MetricError,
    },
    #[error("task `{task}`: {what}")]
    Statistics {
        task: String,
        what: &'static str,
        #[source]
        source: StatisticsError,
    },
    #[error("task `{task}` names neither a test split nor a validation split")]
    NoSplit { task: String },
}

/// A task with its prompts built: everything but the model.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub task: Task,
    pub docs: Vec<Doc>,
    pub n_shots: usize,
    /// What was read.
    pub files: Vec<(PathBuf, Digest)>,
}

/// One item of a finished task.
#[derive(Debug, Clone)]
pub struct Sample {
    pub doc: Doc,
    pub answers: Answers,
    pub cells: Cells,
}

/// A finished task.
#[derive(Debug, Clone)]
pub struct Report {
    pub task: Task,
    pub n_shots: usize,
    pub figures: Vec<(String, Figure)>,
    pub clustered: Option<(String, ClusteredMean)>,
    pub slices: Option<(String, Slices)>,
    pub calibration: Option<Calibration>,
    pub samples: Vec<Sample>,
    /// Items whose context was cut on the left, and the tokens lost.
    pub n_truncated: usize,
    pub n_tokens_cut: usize,
    pub work: Work,
    pub files: Vec<(PathBuf, Digest)>,
    /// Digest of all requests, in order: what was asked.
    pub prompts: Digest,
}

/// Reads a task's rows and builds its requests.
///
/// # Errors
/// `Split`, `Examples`, `Prompt`, `NoSplit`.
pub fn prepare(task: &Task, data: Option<&Path>, config: &PromptConfig) -> Result<Prepared, RunError> {
    let scored = task.eval_split().ok_or_else(|| RunError::NoSplit { task: task.name.clone() })?;
    let n_shots = prompts::num_fewshot(task, config);
    let rows = split::read(task, scored, data)?;
    let mut files = rows.files;
    let pool: Vec<Item> = match task.shot_split() {
        Some(split) if n_shots > 0 && (task.shots.samples.is_none() || task.shots.split.is_some()) => {
            let examples = split::read(task, split, data).map_err(|source| match source {
                SplitError::NotFound { .. } => {
                    RunError::Examples { task: task.name.clone(), n_shots, source: Box::new(source) }
                }
                other => other.into(),
            })?;
            files.extend(examples.files);
            examples.items
        }
        _ => Vec::new(),
    };
    files.sort();
    files.dedup();
    let docs = prompts::build(task, &rows.items, &pool, config)
        .map_err(|source| RunError::Prompt { task: task.name.clone(), source })?;
    Ok(Prepared { task: task.clone(), docs, n_shots, files })
}

/// Asks a model everything a prepared task asks, and counts.
///
/// # Errors
/// `RunError`; an observer that says stop ends in `ScoringError::Stopped`.
pub fn run<D: Decoder>(
    prepared: Prepared,
    decoder: &D,
    tokenizer: &dyn Tokenizer,
    config: &Config,
    observe: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Report, RunError> {
    let Prepared { task, docs, n_shots, files } = prepared;
    let asked = Asked::new(&task, &docs, decoder, tokenizer, config)?;
    let failed = |source| RunError::Scoring { task: task.name.clone(), source };
    let (scores, mut work) = scoring::score(decoder, &asked.sequences, config.packing, observe).map_err(failed)?;
    let mut samples = Vec::with_capacity(docs.len());
    let prompts = digest_of(&docs);
    for (doc, places) in docs.into_iter().zip(&asked.places) {
        let answers = match places {
            Places::Scores(range) => Answers::Scores(scores[range.clone()].to_vec()),
            Places::Windows(range) => {
                Answers::Rolling(scores[range.clone()].iter().map(|score| score.log_likelihood).sum())
            }
            Places::Prompt(prompt) => {
                let (until, n_new) = (&task.generation.until, task.generation.tokens_max);
                let text = scoring::generate(decoder, tokenizer, prompt, until, n_new, observe).map_err(failed)?;
                work.n_read += prompt.len();
                Answers::Text(text)
            }
        };
        let cells = metrics::cells(&task, &doc, &answers)
            .map_err(|source| RunError::Metric { task: task.name.clone(), source })?;
        samples.push(Sample { doc, answers, cells });
    }
    let figures = figures(&task, &samples, config.iterations)?;
    let (clustered, sliced) = (clustered(&task, &samples)?, sliced(&task, &samples)?);
    let calibration = calibrated(&task, &samples)?;
    let (n_truncated, n_tokens_cut) = (asked.n_truncated, asked.n_tokens_cut);
    Ok(Report {
        task,
        n_shots,
        figures,
        clustered,
        slices: sliced,
        calibration,
        samples,
        n_truncated,
        n_tokens_cut,
        work,
        files,
        prompts,
    })
}

/// Where the answers of a doc are.
enum Places {
    Scores(std::ops::Range<usize>),
    Windows(std::ops::Range<usize>),
    Prompt(Vec<u32>),
}

struct Asked {
    sequences: Vec<Sequence>,
    places: Vec<Places>,
    n_truncated: usize,
    n_tokens_cut: usize,
}

impl Asked {
    fn new<D: Decoder>(
        task: &Task,
        docs: &[Doc],
        decoder: &D,
        tokenizer: &dyn Tokenizer,
        config: &Config,
    ) -> Result<Self, RunError> {
        let context = config.context.map_or(decoder.context(), |context| context.min(decoder.context()));
        let n_new = if task.output == Output::GenerateUntil { task.generation.tokens_max } else { 0 };
        let mut asked = Self { sequences: Vec::new(), places: Vec::new(), n_truncated: 0, n_tokens_cut: 0 };
        for doc in docs {
            let start = asked.sequences.len();
            let (mut n_cut_of_doc, mut place) = (0, None);
            for request in &doc.requests {
                let encoded = tokens::encode(request, tokenizer, context, n_new, config.rolling)
                    .map_err(|source| RunError::Token { task: task.name.clone(), id: doc.id, source })?;
                match encoded {
                    Encoded::One { sequence, n_cut } => {
                        asked.sequences.push(sequence);
                        n_cut_of_doc += n_cut;
                    }
                    Encoded::Windows(windows) => {
                        asked.sequences.extend(windows);
                        place = Some(Places::Windows(start..asked.sequences.len()));
                    }
                    Encoded::Prompt { tokens, n_cut } => {
                        place = Some(Places::Prompt(tokens));
                        n_cut_of_doc += n_cut;
                    }
                }
            }
            asked.n_truncated += usize::from(n_cut_of_doc > 0);
            asked.n_tokens_cut += n_cut_of_doc;
            asked.places.push(place.unwrap_or(Places::Scores(start..asked.sequences.len())));
        }
        Ok(asked)
    }
}

fn digest_of(docs: &[Doc]) -> Digest {
    let mut bytes = Vec::new();
    let mut add = |part: &str| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part.as_bytes());
    };
    for request in docs.iter().flat_map(|doc| &doc.requests) {
        match request {
            Request::LogLikelihood { context, continuation } => {
                add(context);
                add(continuation);
            }
            Request::Rolling { text } => add(text),
            Request::Generate { context } => add(context),
        }
    }
    Digest::of(&bytes)
}

fn figures(task: &Task, samples: &[Sample], iterations: usize) -> Result<Vec<(String, Figure)>, RunError> {
    let mut by_metric: Vec<(String, Vec<Cell>)> = Vec::new();
    for (name, cell) in samples.iter().flat_map(|sample| &sample.cells) {
        match by_metric.iter_mut().find(|(known, _)| known == name) {
            Some((_, cells)) => cells.push(cell.clone()),
            None => by_metric.push((name.clone(), vec![cell.clone()])),
        }
    }
    let mut figures = Vec::new();
    for (name, cells) in by_metric {
        let figure = metrics::figure(&name, &cells, metrics::aggregation(task, &name), iterations)
            .map_err(|source| RunError::Metric { task: task.name.clone(), source })?;
        figures.extend(figure.map(|figure| (name, figure)));
    }
    Ok(figures)
}

/// The headline metric of a task's items: the first the task lists, as plain numbers.
fn headline(task: &Task, samples: &[Sample]) -> Option<(String, Vec<f64>)> {
    let listed = task.metrics.iter().map(|metric| metric.name.as_str());
    for name in listed.chain(["acc"]) {
        let numbers: Option<Vec<f64>> = samples
            .iter()
            .map(|sample| match sample.cells.iter().find(|(known, _)| known == name) {
                Some((_, Cell::Number(number))) => Some(*number),
                _ => None,
            })
            .collect();
        if let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) {
            return Some((name.to_owned(), numbers));
        }
    }
    None
}

/// A column's or a template's text of each item; `None` where one item has none.
pub(crate) fn names_of(samples: &[Sample], by: &str) -> Option<Vec<String>> {
    named(samples.iter().map(|sample| &sample.doc), by)
}

fn named<'a>(docs: impl Iterator<Item = &'a Doc>, by: &str) -> Option<Vec<String>> {
    let templates = Templates::default();
    let name = |doc: &Doc| match column(&doc.item.row, by) {
        Some(value) => Some(value.python_str()),
        None if by.contains('{') => templates.render(by, &doc.item.row).ok(),
        None => None,
    };
    docs.map(name).collect()
}

/// Whether every item has what slices are told apart by: a column, or what a template needs.
#[must_use]
pub fn has_slices(prepared: &Prepared, by: &str) -> bool {
    named(prepared.docs.iter(), by).is_some()
}

fn clustered(task: &Task, samples: &[Sample]) -> Result<Option<(String, ClusteredMean)>, RunError> {
    let Some(by) = &task.reading.cluster else { return Ok(None) };
    let (Some((metric, numbers)), Some(clusters)) = (headline(task, samples), names_of(samples, by)) else {
        return Ok(None);
    };
    match clustered_mean(&numbers, &clusters) {
        Ok(mean) if metrics::is_share(task, &metric) => {
            Ok(Some((metric, ClusteredMean { bounds: mean.bounds.of_share(), ..mean })))
        }
        Ok(mean) => Ok(Some((metric, mean))),
        // With --limit all items may be of one cluster.
        Err(StatisticsError::TooFew { .. }) => Ok(None),
        Err(source) => Err(RunError::Statistics { task: task.name.clone(), what: "clusters", source }),
    }
}

fn sliced(task: &Task, samples: &[Sample]) -> Result<Option<(String, Slices)>, RunError> {
    let Some(by) = &task.reading.slice else { return Ok(None) };
    let (Some((metric, numbers)), Some(names)) = (headline(task, samples), names_of(samples, by)) else {
        return Ok(None);
    };
    if numbers.iter().any(|number| *number != 0.0 && *number != 1.0) {
        return Ok(None);
    }
    let correct: Vec<bool> = numbers.iter().map(|number| *number == 1.0).collect();
    let slices = slices(&correct, &names, LEVEL);
    slices.map(|slices| Some((metric, slices))).map_err(|source| RunError::Statistics {
        task: task.name.clone(),
        what: "slices",
        source,
    })
}

fn calibrated(task: &Task, samples: &[Sample]) -> Result<Option<Calibration>, RunError> {
    let Some((confidence, correct)) = confidences(task, samples) else { return Ok(None) };
    let found = calibration::calibration(&confidence, &correct, calibration::BINS);
    found.map(Some).map_err(|source| RunError::Statistics { task: task.name.clone(), what: "calibration", source })
}

/// The figures of a group: means over its tasks, weighted by their items unless the group says otherwise.
#[must_use]
pub fn group_figures(group: &Group, reports: &[Report]) -> Vec<(String, Figure)> {
    let members: Vec<&Report> =
        group.tasks.iter().filter_map(|name| reports.iter().find(|report| report.task.name == *name)).collect();
    let mut figures = Vec::new();
    for metric in &group.metrics {
        let own: Vec<&Figure> = members
            .iter()
            .filter_map(|report| {
                report.figures.iter().find(|(name, _)| *name == metric.metric).map(|(_, figure)| figure)
            })
            .collect();
        if own.is_empty() || own.len() != members.len() {
            continue;
        }
        let sizes: Vec<usize> = own.iter().map(|figure| figure.n).collect();
        let n: usize = sizes.iter().sum();
        let weight =
            |figure: &Figure| if metric.is_weighted { figure.n as f64 / n as f64 } else { 1.0 / own.len() as f64 };
        let value = own.iter().map(|figure| figure.value * weight(figure)).sum();
        let stderrs: Option<Vec<f64>> = own.iter().map(|figure| figure.stderr).collect();
        let stderr = stderrs.and_then(|stderrs| pooled_stderr(&stderrs, &sizes));
        let bounds = stderr.map(|stderr| {
            // Two-sided 95 % of the normal; a group has hundreds of items.
            let reach = 1.959_963_984_540_054 * stderr;
            let bounds = crate::Bounds { lower: value - reach, upper: value + reach };
            let is_share = members.iter().all(|report| metrics::is_share(&report.task, &metric.metric));
            if is_share { bounds.of_share() } else { bounds }
        });
        figures.push((metric.metric.clone(), Figure { value, stderr, bounds, interval: "pooled-normal", n }));
    }
    figures
}

/// The choice a sample's answers come to, where there are choices.
#[must_use]
pub fn choice(sample: &Sample) -> Option<usize> {
    match &sample.answers {
        Answers::Scores(scores) if !sample.doc.choices.is_empty() => {
            let sums: Vec<f64> =
                metrics::conditional(&sample.doc, scores).iter().map(|score| score.log_likelihood).collect();
            Some(metrics::arg_max(&sums))
        }
        _ => None,
    }
}

/// Scores of each request, for a record of samples.
#[must_use]
pub fn request_scores(sample: &Sample) -> &[SequenceScore] {
    match &sample.answers {
        Answers::Scores(scores) => scores,
        Answers::Rolling(_) | Answers::Text(_) => &[],
    }
}

/// Scores of items by task and metric, for comparisons of two models.
#[must_use]
pub fn numbers(report: &Report, metric: &str) -> BTreeMap<usize, f64> {
    let number = |sample: &Sample| match sample.cells.iter().find(|(name, _)| name == metric) {
        Some((_, Cell::Number(number))) => Some((sample.doc.id, *number)),
        _ => None,
    };
    report.samples.iter().filter_map(number).collect()
}
