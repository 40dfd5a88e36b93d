//! `assize evaluate [MODEL] --folds K --data FILE …`: cross-validation of a head on frozen representations, or on a table.

use crate::{
    Ended,
    args::EvaluateArgs,
    evaluate_evidence::{self, Circumstances, Said},
    evaluate_tasks::{Opened, map_of, number},
    screen,
    screen::Screen,
};
use anyhow::bail;
use evaluate::{
    folds::{
        FoldConfig, FoldOutcome, Method, SplitKind, cross_validate,
        represent::{Pool, represent},
        table::{Features, Roles, Table, rows, table},
    },
    tasks::data,
};
use evidence::{Control, Digest, Json, Subject};
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
pub(crate) struct FoldArgs {
    /// Cross-validate a classifier over so many folds: on a model's representations of `--text`, or on a table
    #[arg(long, value_name = "K", conflicts_with_all = ["tasks", "memorised", "canaries", "bank"])]
    pub(crate) folds: Option<usize>,
    /// Fresh shuffles
    #[arg(long, value_name = "R", default_value_t = 1)]
    repeats: usize,
    /// The class to be told [default: the last column]
    #[arg(long, value_name = "FIELD")]
    target: Option<String>,
    /// The text that the model reads
    #[arg(long, value_name = "FIELD")]
    text: Option<String>,
    /// Each fold has its part of every value [default: the class]
    #[arg(long, value_name = "FIELD")]
    stratify: Option<String>,
    /// Rows of equal value stay together
    #[arg(long, value_name = "FIELD")]
    group: Option<String>,
    /// A column left out (repeatable)
    #[arg(long, value_name = "FIELD")]
    drop: Vec<String>,
    /// The first line of a table is a row; columns are then c1, c2, …
    #[arg(long)]
    no_header: bool,
    /// Rows in their order, and folds by number alone, not by class
    #[arg(long)]
    no_stratify: bool,
    /// Rows are not shuffled before they are dealt
    #[arg(long)]
    no_shuffle: bool,
    /// λ tried, from the largest; one alone is taken as it is
    #[arg(long, value_name = "λ", value_delimiter = ',')]
    lambda: Vec<f64>,
    /// Inner folds in which λ is chosen
    #[arg(long, value_name = "K", default_value_t = 3)]
    inner: usize,
    /// How the head is fitted
    #[arg(long, value_enum, default_value_t = HeadMethod::GradientDescent)]
    head: HeadMethod,
    /// How the positions of a text become one vector
    #[arg(long, value_enum, default_value_t = Pooled::Mean)]
    pool: Pooled,
    /// Write the folds, the inner ones, what was chosen and every prediction
    #[arg(long, value_name = "FILE")]
    folds_out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum HeadMethod {
    GradientDescent,
    Sgd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Pooled {
    Mean,
    Last,
}

pub(crate) fn evaluate(args: &EvaluateArgs) -> anyhow::Result<Ended> {
    let screen = Screen::new(args.json);
    // A table needs no model: then the path is one more file of rows.
    let (model, mut files) = (args.path.as_deref().filter(|_| args.folds.text.is_some()), args.data.clone());
    if model.is_none() {
        files.splice(0..0, args.path.clone());
    }
    if files.is_empty() {
        bail!("name the rows with `--data`");
    }
    if args.folds.text.is_some() && model.is_none() {
        bail!("`--text` is read by a model: name its folder or file before the options");
    }
    let mut items = rows(&files, !args.folds.no_header)?;
    items.truncate(args.limit.unwrap_or(items.len()));
    let roles = Roles {
        target: args.folds.target.clone(),
        text: args.folds.text.clone(),
        stratify: args.folds.stratify.clone(),
        group: args.folds.group.clone(),
        drop: args.folds.drop.clone(),
    };
    let mut table = table(&items, &roles)?;
    let digests = files.iter().map(|file| data::digest(file)).collect::<Result<Vec<_>, _>>()?;
    let (circumstances, model_json) = match model {
        Some(model) => {
            let opened = Opened::new(model, &args.tokens.options())?;
            read(args, &opened, &mut table, &screen)?;
            let mut circumstances = Circumstances::of_model(&opened.0)?;
            circumstances.inputs.extend(&digests);
            (circumstances, Some(opened.json()?))
        }
        None => (of_table(&files, &digests), None),
    };
    let config = config(args);
    let bar = screen.bar("folds", (config.folds * config.repeats) as u64);
    let found = cross_validate(&table, &config, &mut |done, _| {
        bar.set_position(done as u64);
        Control::Continue
    })?;
    bar.finish_and_clear();
    finish(args, &table, &config, &found, &circumstances, model_json)
}

/// Without a model the figures are of the table.
fn of_table(files: &[PathBuf], digests: &[Digest]) -> Circumstances {
    let name = files.first().and_then(|file| file.file_name()).unwrap_or_default().to_string_lossy().into_owned();
    let subject = match digests {
        [one] => *one,
        more => Digest::of(more.iter().map(|digest| format!("{digest}\n")).collect::<String>().as_bytes()),
    };
    Circumstances { subject: Subject::new(name, subject), inputs: digests.to_vec() }
}

/// Replaces the columns by the model's representations of the texts.
fn read(args: &EvaluateArgs, opened: &Opened, table: &mut Table, screen: &Screen) -> anyhow::Result<()> {
    let pool = if args.folds.pool == Pooled::Last { Pool::Last } else { Pool::Mean };
    let bar = screen.bar("texts", table.texts.len() as u64);
    let read = represent(&opened.0.decoder, &opened.tokens()?, &table.texts, pool, &mut |progress| {
        bar.set_position(progress.n_done as u64);
        Control::Continue
    })?;
    bar.finish_and_clear();
    if read.n_cut > 0 {
        screen.note(&format!("{} texts are longer than the model's context: their beginning was read", read.n_cut));
    }
    table.features = read.features;
    Ok(())
}

fn config(args: &EvaluateArgs) -> FoldConfig {
    let folds = &args.folds;
    let is_stratified = folds.stratify.is_some() || !folds.no_stratify;
    let kind = match (is_stratified, folds.group.is_some()) {
        (false, false) => SplitKind::Plain,
        (true, false) => SplitKind::Stratified,
        (false, true) => SplitKind::Grouped,
        (true, true) => SplitKind::StratifiedGrouped,
    };
    let usual = FoldConfig::default();
    let mut lambdas = if folds.lambda.is_empty() { usual.lambdas } else { folds.lambda.clone() };
    lambdas.sort_by(|left, right| right.total_cmp(left));
    FoldConfig {
        folds: folds.folds.unwrap_or(usual.folds),
        repeats: folds.repeats.max(1),
        kind,
        seed: (!folds.no_shuffle).then_some(args.scores.seed),
        lambdas,
        inner: folds.inner,
        method: match folds.head {
            HeadMethod::GradientDescent => Method::default(),
            HeadMethod::Sgd => Method::Sgd { epochs: 20, seed: args.scores.seed },
        },
    }
}

fn finish(
    args: &EvaluateArgs,
    table: &Table,
    config: &FoldConfig,
    found: &FoldOutcome,
    circumstances: &Circumstances,
    model: Option<Json>,
) -> anyhow::Result<Ended> {
    if let Some(path) = &args.folds.folds_out {
        export(path, config, table, found)?;
    }
    let document = document(config, table, found, model)?;
    let said = said(config, found);
    if let Some(out) = &args.out {
        let measurements = circumstances.measurements(&said)?;
        evaluate_evidence::write(out, args.key.as_deref(), "cross-validation", &measurements, document.clone())?;
    }
    if args.json {
        screen::json(&document);
    } else {
        print(config, found);
    }
    Ok(Ended::Well)
}

fn leaked(found: &FoldOutcome) -> u64 {
    let copies: usize = found.folds.iter().map(|fold| fold.n_leaked).sum();
    copies.max(found.n_straddling) as u64
}

fn said(config: &FoldConfig, found: &FoldOutcome) -> Vec<Said> {
    let method = format!(
        "{} {} folds, {} repeats, seed {}, λ of {:?} chosen in {} inner folds",
        config.folds,
        config.kind.name(),
        config.repeats,
        config.seed.map_or_else(|| "none".to_owned(), |seed| seed.to_string()),
        config.lambdas,
        config.inner
    );
    let (spread, n) = (found.accuracy.spread, found.pooled.1);
    let mut accuracy = found.accuracy.bounds;
    (accuracy.lower, accuracy.upper) = (accuracy.lower.max(0.0), accuracy.upper.min(1.0));
    vec![
        Said::quantity("crossval.accuracy", spread.mean, Some(accuracy), "corrected-resampled-t", n, method.clone()),
        Said::quantity("crossval.spread", spread.deviation, None, "", found.folds.len() as u64, method.clone()),
        Said::count("crossval.folds", found.folds.len() as u64, &method),
        Said::count("crossval.leaked", leaked(found), &method),
    ]
}

fn document(config: &FoldConfig, table: &Table, found: &FoldOutcome, model: Option<Json>) -> anyhow::Result<Json> {
    let fold = |fold: &evaluate::folds::Folded| -> anyhow::Result<Json> {
        Ok(Json::map([
            ("repeat", Some(fold.repeat.into())),
            ("fold", Some(fold.fold.into())),
            ("train", Some(fold.n_train.into())),
            ("test", Some(fold.n_test.into())),
            ("right", Some(fold.n_right.into())),
            ("accuracy", Some(number(fold.accuracy())?)),
            ("lambda", Some(number(fold.lambda)?)),
            ("gradient", Some(number(fold.gradient)?)),
            ("leaked", Some(fold.n_leaked.into())),
        ]))
    };
    let spread = found.accuracy.spread;
    let accuracy = Json::map([
        ("mean", Some(number(spread.mean)?)),
        ("least", Some(number(spread.least)?)),
        ("largest", Some(number(spread.largest)?)),
        ("deviation", Some(number(spread.deviation)?)),
        ("stderr", Some(number(found.accuracy.stderr)?)),
        ("lower", Some(number(found.accuracy.bounds.lower)?)),
        ("upper", Some(number(found.accuracy.bounds.upper)?)),
        ("interval", Some("corrected resampled t (Nadeau and Bengio 2003)".into())),
        ("n", Some(found.accuracy.n_values.into())),
    ]);
    let pooled = Json::map([
        ("k", Some(found.pooled.0.into())),
        ("n", Some(found.pooled.1.into())),
        ("lower", Some(number(found.pooled_bounds.lower)?)),
        ("upper", Some(number(found.pooled_bounds.upper)?)),
        ("interval", Some("clopper-pearson".into())),
    ]);
    let width = match &table.features {
        Features::Columns(columns) => columns.len(),
        Features::Dense { width, .. } => *width,
    };
    Ok(map_of([
        ("rows", Some(table.target.len().into())),
        ("columns", Some(width.into())),
        ("classes", Some(Json::list(table.classes.iter().map(String::as_str)))),
        ("split", Some(config.kind.name().into())),
        ("k", Some(config.folds.into())),
        ("repeats", Some(config.repeats.into())),
        ("seed", config.seed.map(Json::from)),
        ("folds", Some(Json::List(found.folds.iter().map(fold).collect::<anyhow::Result<_>>()?))),
        ("accuracy", Some(accuracy)),
        ("pooled", Some(pooled)),
        ("baseline", Some(number(found.baseline)?)),
        ("copies", Some(found.n_copies.into())),
        ("straddling", Some(found.n_straddling.into())),
        ("leaked", Some(leaked(found).into())),
        ("model", model),
    ]))
}

/// Everything another program needs to do the same on the same folds.
fn export(path: &Path, config: &FoldConfig, table: &Table, found: &FoldOutcome) -> anyhow::Result<()> {
    let folds: Vec<serde_json::Value> = found
        .folds
        .iter()
        .map(|fold| {
            serde_json::json!({
                "repeat": fold.repeat, "fold": fold.fold, "lambda": fold.lambda, "right": fold.n_right, "test": fold.n_test,
                "inner": fold.inner, "innerRight": fold.inner_right,
            })
        })
        .collect();
    let document = serde_json::json!({
        "classes": table.classes, "target": table.target, "lambdas": config.lambdas, "assigned": found.assigned,
        "predicted": found.predicted, "folds": folds,
    });
    fs::write(path, format!("{document}\n"))?;
    Ok(())
}

fn print(config: &FoldConfig, found: &FoldOutcome) {
    for fold in &found.folds {
        screen::line(&format!(
            "repeat {} fold {:2}: {:5} of {:5} = {:.4}, λ {}{}",
            fold.repeat + 1,
            fold.fold + 1,
            fold.n_right,
            fold.n_test,
            fold.accuracy(),
            fold.lambda,
            if fold.n_leaked > 0 { format!(", {} copies of training rows", fold.n_leaked) } else { String::new() }
        ));
    }
    let (spread, bounds) = (found.accuracy.spread, found.accuracy.bounds);
    screen::line(&format!(
        "mean {:.4} [{:.4}, {:.4}] corrected for overlap; folds from {:.4} to {:.4}, deviation {:.4}, which is no standard error",
        spread.mean, bounds.lower, bounds.upper, spread.least, spread.largest, spread.deviation
    ));
    screen::line(&format!(
        "pooled {} of {}; the largest class alone {:.4}; {} folds, {} copies among the rows, {} rows leaked",
        found.pooled.0,
        found.pooled.1,
        found.baseline,
        config.kind.name(),
        found.n_copies,
        leaked(found)
    ));
}
