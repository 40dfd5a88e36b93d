//! `assize evaluate MODEL --tasks …`: task files of lm-evaluation-harness, at its own figures.

use crate::{
    Ended,
    args::EvaluateArgs,
    evaluate_evidence::{self, Circumstances},
    evaluate_scores::{self, Beside, diagram_json, is_mark},
    evaluate_thresholds, model_verb, run, screen,
    screen::Screen,
};
use anyhow::{Context as _, bail};
use evaluate::{
    statistics::{Bootstrap, slices::FEW},
    tasks::{
        self, Catalog, Config, FileTokens, Prepared, Report, Sample, bias, compare,
        metrics::{Answers, Figure},
        prompts::{Gold, Request},
        recall::{Answers as AnswerFile, Owner, Recalling},
        robust::{self, Form},
        scoring::Packing,
    },
};
use evidence::{Control, DIGITS_MEASURED, Decimal, Digest, Json, Round};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

/// Whether the verb means tasks rather than a case.
pub(crate) fn is_meant(args: &EvaluateArgs) -> anyhow::Result<bool> {
    if args.tasks.is_empty() {
        return Ok(false);
    }
    let path = args.path()?;
    let is_case = path.join("assize.toml").exists() || path.extension().is_some_and(|extension| extension == "toml");
    if is_case {
        bail!("{} is a case, and `--tasks` asks for a model: name the folder or file of the weights", path.display());
    }
    Ok(true)
}

pub(crate) fn evaluate(args: &EvaluateArgs) -> anyhow::Result<Ended> {
    let screen = Screen::new(args.json);
    evaluate_evidence::check_out(args.out.as_deref())?;
    let catalog = Catalog::open(&args.task_dir)?;
    let mut selection = catalog.select(&args.tasks)?;
    evaluate_thresholds::check(&args.scores.thresholds, &selection.tasks, "`--threshold`")?;
    if let Some(field) = &args.scores.slice {
        selection.tasks.iter_mut().for_each(|task| task.reading.slice = Some(field.clone()));
    }
    let mut config = Config::default();
    config.prompts.num_fewshot = args.fewshot;
    config.prompts.limit = args.limit;
    let data = data_folder(args)?;
    let mut samples = args.samples.as_deref().map(create).transpose()?;
    // All prompts are built before the model is read: what is wrong with the data shows at once.
    let prepare = |task| tasks::prepare(task, data, &config.prompts);
    let prepared = selection.tasks.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
    let sliced = args.scores.slice.as_ref().map(|field| check_slices(&prepared, field, &screen)).transpose()?;
    let forms = |prepared: &Prepared| match args.scores.robust {
        true => robust::forms(prepared, data, &config.prompts, args.scores.seed),
        false => Ok(Vec::new()),
    };
    let forms = prepared.iter().map(forms).collect::<Result<Vec<Vec<Form>>, _>>()?;
    for note in selection.tasks.iter().flat_map(|task| &task.notes) {
        screen.note(note);
    }

    let model = Opened::resuming(args.path()?, &args.tokens.options(), args.resume.as_deref(), &screen)?;
    config.packing = packing(&model.0.decoder);
    let reports = asked(&model, prepared.clone(), None, &config, &screen)?;
    if let Some((path, file)) = &mut samples {
        reports
            .iter()
            .try_for_each(|report| write_samples(report, file))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let is_meant = |report: &&Report| sliced.iter().flatten().any(|name| *name == report.task.name);
    for report in reports.iter().filter(is_meant).filter(|report| report.slices.is_none()) {
        screen.note(&format!("task `{}` is not sliced, for its first metric is no yes or no", report.task.name));
    }
    if let Some((path, mut file)) = samples {
        file.flush().with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let mut beside = beside(args, &model, &reports, forms, &config, &screen)?;
    let (model_json, circumstances) = (model.json()?, Circumstances::of_model(&model.0)?);
    drop(model);
    if let Some(other) = &args.scores.against {
        let answers = args.resume.as_ref().map(|path| beside_of(path));
        let which = || format!("the model of `--against`, {}", other.display());
        let second = Opened::resuming(other, &model::OpenOptions::default(), answers.as_deref(), &screen)?;
        let seconds = asked(&second, prepared, None, &config, &screen).with_context(which)?;
        let bootstrap = Bootstrap::new(args.scores.seed);
        for (first, second) in reports.iter().zip(seconds) {
            beside.comparisons.extend(compare::compare(first, &second, &bootstrap)?);
        }
    }
    let groups: Vec<(String, Vec<(String, Figure)>)> =
        selection.groups.iter().map(|group| (group.name.clone(), tasks::group_figures(group, &reports))).collect();
    let document = document(&reports, &groups, &model_json, &config, &beside)?;
    if let Some(out) = &args.out {
        let said = evaluate_scores::said(&reports, &beside)?;
        evaluate_scores::write(out, args.key.as_deref(), &circumstances, &said, document.clone())?;
    }
    if args.json {
        screen::json(&document);
    } else {
        print(&reports, &groups, args.scores.slice.is_some());
        reports.iter().try_for_each(evaluate_scores::print_diagram)?;
        beside.print();
    }
    Ok(Ended::Well)
}

pub(crate) fn file_tokens(tokenizer: &model::FileTokenizer) -> anyhow::Result<FileTokens<'_>> {
    FileTokens::new(tokenizer)
        .context("the tokenizer names no token that begins or ends a text, so nothing can stand for an empty context")
}

/// Tasks that can be sliced, before anything is asked: a name that no row has would show only at the end.
fn check_slices(prepared: &[Prepared], field: &str, screen: &Screen) -> anyhow::Result<Vec<String>> {
    let (with, without): (Vec<&Prepared>, Vec<&Prepared>) =
        prepared.iter().partition(|prepared| tasks::has_slices(prepared, field));
    if let ([], Some(first)) = (with.as_slice(), without.first()) {
        let columns = first.docs.first().map_or(&[][..], |doc| &doc.item.row);
        let names: Vec<String> = columns.iter().map(|(name, _)| format!("`{name}`")).collect();
        bail!(
            "`--slice {field}`: not every row has that; the first of task `{}` has {}",
            first.task.name,
            names.join(", ")
        );
    }
    for prepared in without {
        screen.note(&format!("task `{}` is not sliced, for not every row has `{field}`", prepared.task.name));
    }
    Ok(with.into_iter().map(|prepared| prepared.task.name.clone()).collect())
}

/// The one folder that rows are read from.
fn data_folder(args: &EvaluateArgs) -> anyhow::Result<Option<&Path>> {
    match args.data.as_slice() {
        [] => Ok(None),
        [folder] => Ok(Some(folder)),
        more => bail!("tasks are read from one folder, and `--data` names {}", more.len()),
    }
}

/// Asks a model everything, task by task; `form` names another form of the items to who watches.
fn asked(
    opened: &Opened,
    prepared: Vec<Prepared>,
    form: Option<&str>,
    config: &Config,
    screen: &Screen,
) -> anyhow::Result<Vec<Report>> {
    let (mut reports, n) = (Vec::new(), prepared.len());
    for (at, prepared) in prepared.into_iter().enumerate() {
        let bar = screen.bar("evaluate", 0);
        bar.set_message(match form {
            Some(form) => format!("{}, {form}", prepared.task.name),
            None => format!("{} ({} of {n})", prepared.task.name, at + 1),
        });
        reports.push(opened.run(prepared, config, &mut |progress| {
            bar.set_length(progress.n_positions as u64);
            bar.set_position(progress.n_done as u64);
            Control::Continue
        })?);
        bar.finish_and_clear();
    }
    Ok(reports)
}

/// What this model shows beside its scores: the other forms of its items, bias, thresholds.
fn beside(
    args: &EvaluateArgs,
    opened: &Opened,
    reports: &[Report],
    forms: Vec<Vec<Form>>,
    config: &Config,
    screen: &Screen,
) -> anyhow::Result<Beside> {
    let bootstrap = Bootstrap::new(args.scores.seed);
    let mut beside = Beside {
        bias: bias::findings(reports)?,
        held: evaluate_thresholds::held(&args.scores.thresholds, reports)?,
        ..Beside::default()
    };
    for (report, forms) in reports.iter().zip(forms) {
        let mut changed = Vec::new();
        let n_forms = forms.len();
        for (at, Form { change, prepared, n_changed }) in forms.into_iter().enumerate() {
            // The error of a form is that of the pairs; the harness's own is not asked for again.
            let config = Config { iterations: 0, ..config.clone() };
            let form = format!("{} (form {} of {n_forms})", change.name(), at + 1);
            let found = asked(opened, vec![prepared], Some(&form), &config, screen)?;
            changed.extend(found.into_iter().map(|report| (change, n_changed, report)));
        }
        beside.robustness.extend(if changed.is_empty() {
            None
        } else {
            robust::robustness(report, &changed, &bootstrap)?
        });
    }
    Ok(beside)
}

/// Positions of one call, at most: beyond some thousand rows the products are no faster.
const POSITIONS_MAX: usize = 2048;
/// Where the memory of the machine is not known.
const MEMORY_BYTES: u64 = 4 << 30;

/// As much at once as a sixteenth of the memory holds; the figures do not depend on it.
pub(crate) fn packing(decoder: &model::Decoder) -> Packing {
    let hidden = |shape: &model::profile::LayerShape| shape.hidden * shape.experts.map_or(1, |(_, active)| active);
    let hidden = decoder.layer_shapes().iter().map(hidden).max().unwrap_or(0);
    // The stream and what is made of it, twice each for packing; keys and values of all layers. Four bytes a number.
    let bytes = 4 * (16 * decoder.width() + 6 * hidden + decoder.cache_numbers_per_token());
    let memory = meter::Hardware::find().memory_bytes.unwrap_or(MEMORY_BYTES) / 16;
    let fitting = usize::try_from(memory / bytes as u64).unwrap_or(POSITIONS_MAX);
    Packing { positions: fitting.clamp(1, POSITIONS_MAX), ..Packing::default() }
}

type SampleFile<'a> = (&'a Path, BufWriter<File>);

fn create(path: &Path) -> anyhow::Result<SampleFile<'_>> {
    let file = File::create(path).with_context(|| format!("{} cannot be made", path.display()))?;
    Ok((path, BufWriter::new(file)))
}

/// A model, from a folder as the hub lays it out or a GGUF file.
pub(crate) struct Opened(pub(crate) model::Model, Option<AnswerFile>);

/// Where the answers of the other model of a comparison go.
fn beside_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".against");
    PathBuf::from(name)
}

impl Opened {
    pub(crate) fn new(path: &Path, tokens: &model::OpenOptions) -> anyhow::Result<Self> {
        Ok(Self(model::open_digested(path, tokens)?, None))
    }

    /// With a file of answers: those that stand in it are not asked again, new ones are written there as they come.
    pub(crate) fn resuming(
        path: &Path,
        tokens: &model::OpenOptions,
        answers: Option<&Path>,
        screen: &Screen,
    ) -> anyhow::Result<Self> {
        let Self(model, _) = Self::new(path, tokens)?;
        let Some(file) = answers else { return Ok(Self(model, None)) };
        let digest = model_verb::digest(model.manifest()?);
        let owner = Owner { program: run::INSTRUMENT, model: digest, convention: tasks::CONVENTION };
        let answers = AnswerFile::open(file, &owner).context("`--resume`")?;
        let (n_held, n_damaged) = (answers.n_held(), answers.n_damaged());
        if n_held > 0 {
            screen.note(&format!("{n_held} answers stand in {} and are not asked again", file.display()));
        }
        if n_damaged > 0 {
            screen.note(&format!("{n_damaged} lines of {} are damaged and are asked again", file.display()));
        }
        Ok(Self(model, Some(answers)))
    }

    /// The model that asks its file of answers first, where there is one.
    pub(crate) fn recalling(&self) -> Option<Recalling<'_, model::Decoder>> {
        self.1.as_ref().map(|answers| Recalling { decoder: &self.0.decoder, answers })
    }

    fn run(
        &self,
        prepared: tasks::Prepared,
        config: &Config,
        observe: &mut dyn FnMut(&tasks::scoring::Progress) -> Control,
    ) -> anyhow::Result<Report> {
        let tokens = self.tokens()?;
        Ok(match self.recalling() {
            Some(recalling) => tasks::run(prepared, &recalling, &tokens, config, observe)?,
            None => tasks::run(prepared, &self.0.decoder, &tokens, config, observe)?,
        })
    }

    pub(crate) fn tokens(&self) -> anyhow::Result<FileTokens<'_>> {
        file_tokens(&self.0.tokenizer)
    }

    /// The files by digest, and what stands before a text.
    pub(crate) fn json(&self) -> anyhow::Result<Json> {
        let file = |(name, bytes, digest): &(String, u64, Digest)| {
            Json::map([
                ("name", Some(name.as_str().into())),
                ("bytes", Some((*bytes).into())),
                ("sha256", Some(digest.to_string().into())),
            ])
        };
        let tokenizer = &self.0.tokenizer;
        Ok(Json::map([
            ("files", Some(Json::list(self.0.manifest()?.iter().map(file)))),
            ("bos", tokenizer.bos().map(Into::into)),
            ("eos", Some(Json::list(tokenizer.eos().iter().copied()))),
            ("addsBos", Some(tokenizer.adds_bos().into())),
            ("context", Some(self.0.decoder.context().into())),
        ]))
    }
}

/// Probabilities may be smaller than any decimal; such a one is 0 to every reader.
pub(crate) fn number(value: f64) -> anyhow::Result<Json> {
    const LEAST: f64 = 1e-40;
    let value = if value.abs() < LEAST { 0.0 } else { value };
    Ok(Decimal::from_f64(value, DIGITS_MEASURED, Round::Nearest)?.into())
}

/// As `Json::map`, for members whose number is not known beforehand.
pub(crate) fn map_of(members: impl IntoIterator<Item = (&'static str, Option<Json>)>) -> Json {
    Json::Map(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

fn members(pairs: impl IntoIterator<Item = (String, Json)>) -> Json {
    Json::Map(pairs.into_iter().collect())
}

pub(crate) fn figure_json(name: &str, figure: &Figure) -> anyhow::Result<Json> {
    let end = |value: Option<f64>, round| -> anyhow::Result<Option<Json>> {
        value.map(|value| Ok(Decimal::from_f64(value, DIGITS_MEASURED, round)?.into())).transpose()
    };
    Ok(Json::map([
        ("value", Some(number(figure.value)?)),
        ("stderr", figure.stderr.map(number).transpose()?),
        ("lower", end(figure.bounds.map(|bounds| bounds.lower), Round::Down)?),
        ("upper", end(figure.bounds.map(|bounds| bounds.upper), Round::Up)?),
        ("interval", Some(figure.interval.into())),
        ("n", Some(figure.n.into())),
        ("normalisation", normalisation(name).map(Json::from)),
    ]))
}

/// What the sums of choices are divided by before the largest is taken.
fn normalisation(metric: &str) -> Option<&'static str> {
    Some(match metric {
        "acc" => "sum",
        "acc_norm" => "per character of the choice",
        "acc_bytes" => "per byte of the choice",
        "acc_tokens" => "per token of the continuation",
        "acc_mutual_info" => "less the sum of the choice alone",
        _ => return None,
    })
}

fn figures_json(figures: &[(String, Figure)]) -> anyhow::Result<Json> {
    let pairs = figures.iter().map(|(name, figure)| Ok((name.clone(), figure_json(name, figure)?)));
    Ok(members(pairs.collect::<anyhow::Result<Vec<_>>>()?))
}

pub(crate) fn document(
    reports: &[Report],
    groups: &[(String, Vec<(String, Figure)>)],
    model: &Json,
    config: &Config,
    beside: &Beside,
) -> anyhow::Result<Json> {
    let mut results = Vec::new();
    let mut details = Vec::new();
    for report in reports {
        results.push((report.task.name.clone(), figures_json(&report.figures)?));
        details.push((report.task.name.clone(), details_json(report, config)?));
    }
    let groups = groups.iter().map(|(name, figures)| Ok((name.clone(), figures_json(figures)?)));
    let groups = groups.collect::<anyhow::Result<Vec<_>>>()?;
    let mut all = vec![
        ("results", Some(members(results))),
        ("groups", Some(members(groups))),
        ("tasks", Some(members(details))),
        ("convention", Some(tasks::CONVENTION.into())),
        ("model", Some(model.clone())),
    ];
    all.extend(beside.json()?.into_iter().map(|(name, value)| (name, Some(value))));
    Ok(map_of(all))
}

/// Everything a reader needs to ask the same again, and what goes with the figures.
fn details_json(report: &Report, config: &Config) -> anyhow::Result<Json> {
    let file = |(path, digest): &(std::path::PathBuf, Digest)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Json::map([("name", Some(name.into())), ("sha256", Some(digest.to_string().into()))])
    };
    let clustered = report.clustered.as_ref().map(|(metric, mean)| -> anyhow::Result<Json> {
        Ok(Json::map([
            ("metric", Some(metric.as_str().into())),
            ("clusters", Some(mean.n_clusters.into())),
            ("stderr", Some(number(mean.stderr)?)),
            ("lower", Some(number(mean.bounds.lower)?)),
            ("upper", Some(number(mean.bounds.upper)?)),
            ("designEffect", Some(number(mean.design_effect)?)),
        ]))
    });
    let calibration = report.calibration.as_ref().map(|found| -> anyhow::Result<Json> {
        Ok(Json::map([
            ("ece", Some(number(found.ece)?)),
            ("bins", Some(found.ece_bins.into())),
            ("mce", Some(number(found.mce)?)),
            ("brier", Some(number(found.brier)?)),
            ("reliability", Some(number(found.reliability)?)),
            ("resolution", Some(number(found.resolution)?)),
            ("uncertainty", Some(number(found.uncertainty)?)),
        ]))
    });
    Ok(Json::map([
        ("version", Some(report.task.version.as_str().into())),
        ("split", report.task.eval_split().map(Into::into)),
        ("fewshot", Some(report.n_shots.into())),
        ("fewshotSeed", Some(config.prompts.seed.into())),
        ("targetDelimiter", Some(report.task.target_delimiter.as_str().into())),
        ("prompts", Some(report.prompts.to_string().into())),
        ("truncatedItems", Some(report.n_truncated.into())),
        ("truncatedTokens", Some(report.n_tokens_cut.into())),
        ("positionsRead", Some(report.work.n_read.into())),
        ("positionsWithoutSharing", Some(report.work.n_apart.into())),
        ("files", Some(Json::list(report.files.iter().map(file)))),
        ("clustered", clustered.transpose()?),
        ("calibration", calibration.transpose()?),
        ("reliabilityDiagram", diagram_json(report)?),
        ("slices", report.slices.as_ref().map(slices_json).transpose()?),
        ("notes", Some(Json::list(report.task.notes.iter().map(String::as_str)))),
    ]))
}

fn slices_json((metric, found): &(String, evaluate::statistics::slices::Slices)) -> anyhow::Result<Json> {
    let slice = |slice: &evaluate::statistics::slices::Slice| -> anyhow::Result<Json> {
        Ok(Json::map([
            ("name", Some(slice.name.as_str().into())),
            ("k", Some(slice.n_right.into())),
            ("n", Some(slice.n.into())),
            ("lower", Some(number(slice.bounds.lower)?)),
            ("upper", Some(number(slice.bounds.upper)?)),
        ]))
    };
    let slices = found.slices.iter().map(slice).collect::<anyhow::Result<Vec<_>>>()?;
    let interval = "clopper-pearson, level divided by the number of slices (Bonferroni)";
    Ok(Json::map([
        ("metric", Some(metric.as_str().into())),
        ("worst", is_mark(metric).then(|| found.slices[found.worst].name.as_str().into())),
        ("interval", Some(interval.into())),
        ("slices", Some(Json::List(slices))),
    ]))
}

/// One line an item: what was asked, by digest, and what came back.
fn write_samples(report: &Report, file: &mut BufWriter<File>) -> anyhow::Result<()> {
    for sample in &report.samples {
        writeln!(file, "{}", sample_json(report, sample))?;
    }
    Ok(())
}

/// Log-likelihoods are whole doubles here, not rounded: the lines are for comparing, not for signing.
fn sample_json(report: &Report, sample: &Sample) -> Value {
    let scores = tasks::run::request_scores(sample);
    let request = |(at, request): (usize, &Request)| {
        let (context, continuation) = match request {
            Request::LogLikelihood { context, continuation } => (context.as_str(), Some(continuation)),
            Request::Rolling { text } => ("", Some(text)),
            Request::Generate { context } => (context.as_str(), None),
        };
        let whole = match &sample.answers {
            Answers::Rolling(log_likelihood) => Some(*log_likelihood),
            _ => scores.get(at).map(|score| score.log_likelihood),
        };
        json!({
            "context_sha256": Digest::of(context.as_bytes()).to_string(),
            "continuation": continuation,
            "loglikelihood": whole,
            "greedy": scores.get(at).map(|score| score.is_greedy),
            "tokens": scores.get(at).map(|score| score.n_tokens),
        })
    };
    let requests: Vec<Value> = sample.doc.requests.iter().enumerate().map(request).collect();
    let gold = match &sample.doc.gold {
        Gold::Choices(gold) => json!(gold),
        Gold::Texts(gold) => json!(gold),
    };
    let answer = match &sample.answers {
        Answers::Text(text) => Some(text),
        _ => None,
    };
    json!({
        "task": report.task.name,
        "doc_id": sample.doc.id,
        "requests": requests,
        "choice": tasks::run::choice(sample),
        "gold": gold,
        "answer": answer,
        "fewshot": sample.doc.shots,
    })
}

/// With `slices` each of them, as where none is the worst; else the worst alone.
fn print(reports: &[Report], groups: &[(String, Vec<(String, Figure)>)], slices: bool) {
    let row = |task: &str, metric: &str, figure: &Figure| {
        let stderr = figure.stderr.map_or_else(String::new, |stderr| format!("± {stderr:.4}"));
        let bounds =
            figure.bounds.map_or_else(String::new, |bounds| format!("[{:.4}, {:.4}]", bounds.lower, bounds.upper));
        screen::line(&format!("{task:28} {metric:24} {:>10.4} {stderr:10} {bounds:20} n {}", figure.value, figure.n));
    };
    for report in reports {
        for (metric, figure) in &report.figures {
            row(&report.task.name, metric, figure);
        }
        if let Some((metric, mean)) = &report.clustered {
            screen::line(&format!(
                "{:28} {metric:24} {:>10.4} ± {:.4}   [{:.4}, {:.4}] by {} clusters, design effect {:.2}",
                report.task.name,
                mean.mean,
                mean.stderr,
                mean.bounds.lower,
                mean.bounds.upper,
                mean.n_clusters,
                mean.design_effect
            ));
        }
        if let Some((metric, found)) = &report.slices {
            for slice in found.slices.iter().filter(|_| slices || !is_mark(metric)) {
                let (lower, upper) = (slice.bounds.lower, slice.bounds.upper);
                let (share, few) = (slice.n_right as f64 / slice.n as f64, if slice.n < FEW { ", few" } else { "" });
                screen::line(&format!(
                    "{:28} {metric:24} {share:>10.4}            [{lower:.4}, {upper:.4}]     n {}{few}: {}",
                    report.task.name, slice.n, slice.name
                ));
            }
            if is_mark(metric) {
                let worst = &found.slices[found.worst];
                screen::line(&format!(
                    "{:28} {metric:24} worst of {} slices: {} {} of {} [{:.4}, {:.4}] for all slices together",
                    report.task.name,
                    found.slices.len(),
                    worst.name,
                    worst.n_right,
                    worst.n,
                    worst.bounds.lower,
                    worst.bounds.upper
                ));
            }
        }
        if report.n_truncated > 0 {
            let (items, tokens) = (report.n_truncated, report.n_tokens_cut);
            screen::line(&format!(
                "{:28} {items} items were cut on the left, {tokens} tokens in all",
                report.task.name
            ));
        }
    }
    for (group, figures) in groups {
        for (metric, figure) in figures {
            row(group, metric, figure);
        }
    }
}
