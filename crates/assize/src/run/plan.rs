//! The prediction, signed before anything is trained.

use super::{
    Session, data,
    data::{Data, Tokens},
    figures, folds,
    made::{self, Made},
    shape,
    shape::Shape,
};
use crate::{Ended, packs, screen};
use anyhow::Context as _;
use evaluate::tasks::Catalog;
use evidence::{Decimal, Digest, Json, Measurement, Predicate, Subject};
use meter::{Crossing, Guard, Joules, PlanInput, Quantity, Sensor};
use policy::{Rules, expr::Value, thresholds};
use std::{collections::BTreeSet, path::Path, time::Instant};
use supervise::{Record, Terms, case::Case};

/// Full windows of one scoring pass.
pub(crate) const SCORING_BATCH: usize = 16;

impl Session<'_> {
    /// Predicts and records, unless a plan stands.
    pub(crate) fn plan(&mut self, data: &Data, tokens: &Tokens, guard: &mut Guard) -> anyhow::Result<()> {
        if self.run.last(Predicate::Plan).is_some() {
            return Ok(());
        }
        let work = work_of(self.case, data, tokens)?;
        let pace = probe(&work.shape, tokens, self.case)?;
        let quantities = predict(&work, pace, guard.sensor(), guard.intensity())?;
        let subject = Subject::new("case", Digest::of(self.case.text.as_bytes()));
        let mut record = Record::new(Predicate::Plan, "plan");
        for quantity in &quantities {
            record.measurements.push(predicted(quantity, &subject)?);
        }
        let lineage = lineage(self.case, &tokens.made, &quantities);
        let thresholds = thresholds_json(&self.run.terms().rules, &quantities, lineage);
        let thresholds = with_tasks(thresholds, self.case)?;
        // A threshold counts as set beforehand only when nothing has been evaluated yet.
        let is_first = self.run.last(Predicate::Evaluation).is_none();
        let n = if is_first { thresholds.items().len() } else { 0 };
        let n = Decimal::from_u128(n as u128, evidence::Round::Nearest);
        record.measurements.push(figures::measure("plan.thresholds", &subject, n, "counted over this entry")?);
        record.members = vec![
            ("case", self.case.text.as_str().into()),
            ("system", self.case.system.to_json()),
            ("seed", work.shape.train.seed.into()),
            ("config", config_json(&work.shape)?),
            ("dataDigests", Json::list([data.corpus.digest()])),
            ("tokenizer", tokens.digest.into()),
            ("quantities", Json::List(quantities.iter().map(Quantity::to_json).collect())),
            ("thresholds", thresholds),
            ("budgetCaps", self.budget_json()),
            ("budget", figures::budget(guard.account())),
            ("spent", figures::spent_json(guard.account().spent())),
        ];
        record.subjects = vec![subject];
        self.record(record)?;
        Ok(())
    }
}

/// `assize plan`: the same prediction, shown and not recorded.
pub(crate) fn plan_only(path: &Path, is_json: bool) -> anyhow::Result<Ended> {
    let case = Case::read(path)?;
    let as_of = case.as_of.unwrap_or_else(super::today);
    let terms =
        Terms::new(packs::of_case(&case)?, case.system.clone(), as_of).map_err(|errors| packs::refuse(&errors))?;
    if case.existing.is_some() {
        return said_of(&case, &[], thresholds_of(&terms.rules, &case)?, is_json);
    }
    let corpus = data::read(&case)?;
    let scratch = std::env::temp_dir().join(format!("assize-plan-{}", std::process::id()));
    let tokens = data::tokenize(&case, &corpus, &scratch.join("tokenizer.json"));
    let _ = std::fs::remove_dir_all(&scratch);
    let tokens = tokens?;
    let work = work_of(&case, &corpus, &tokens)?;
    let pace = probe(&work.shape, &tokens, &case)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let intensity = case.country.as_deref().and_then(meter::intensity);
    let quantities = predict(&work, pace, &Sensor::find(threads), intensity.as_ref())?;
    let thresholds =
        with_tasks(thresholds_json(&terms.rules, &quantities, lineage(&case, &tokens.made, &quantities)), &case)?;
    said_of(&case, &quantities, thresholds, is_json)
}

fn said_of(case: &Case, quantities: &[Quantity], thresholds: Json, is_json: bool) -> anyhow::Result<Ended> {
    let plan = Json::map([
        ("name", Some(case.name.as_str().into())),
        ("quantities", Some(Json::List(quantities.iter().map(Quantity::to_json).collect()))),
        ("thresholds", Some(thresholds)),
    ]);
    if is_json {
        screen::json(&plan);
    } else {
        show(&plan);
    }
    Ok(Ended::Well)
}

fn show(plan: &Json) {
    let text = |json: &Json, key: &str| match json.get(key) {
        Some(Json::Decimal(value)) => value.to_string(),
        Some(value) => value.as_text().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    for q in plan.get("quantities").map_or(&[][..], Json::items) {
        let [name, value, lower, upper, unit] = ["name", "value", "lower", "upper", "unit"].map(|key| text(q, key));
        screen::line(&format!("{name:8} {value:>16} {unit:6} from {lower} to {upper}"));
    }
    for t in plan.get("thresholds").map_or(&[][..], Json::items) {
        let [rule, fact, operator, value, unit, crossed] =
            ["rule", "fact", "operator", "value", "unit", "crossed"].map(|key| text(t, key));
        let crossed = if crossed.is_empty() { "not predicted" } else { &crossed };
        screen::line(&format!("{rule:40} {fact} {operator} {value} {unit}: {crossed}"));
    }
}

/// Everything a case will do, in FLOP.
pub(crate) struct Work {
    pub(crate) shape: Shape,
    training: u128,
    whole: u128,
}

fn work_of(case: &Case, data: &Data, tokens: &Tokens) -> anyhow::Result<Work> {
    let shape = shape::of_case(case, tokens)?;
    let training = training_flop(&shape, tokens, &tokens.train)?;
    let lengths: Vec<usize> = tokens.held_out.iter().map(|&index| tokens.documents[index].len()).collect();
    let scorings = 1
        + u64::from(case.prune.is_some())
        + u64::from(case.quantize)
        + u64::from(case.base.is_some() && case.perplexity);
    let scoring =
        if tokens.labels.is_some() { classes_flop(case, &shape, tokens)? } else { scoring_flop(&shape, &lengths) };
    let mut whole = training + scoring * u128::from(scorings) + choice_flop(case, tokens)?;
    if let Some(folds) = &case.folds {
        let shape = shape::of_folds(case, folds, tokens)?;
        for part in folds::parts(folds, &shape, data, tokens)? {
            whole += training_flop(&shape, tokens, &part.rest)? + fold_flop(&shape, tokens, &part.held_out)?;
        }
    }
    Ok(Work { shape, training, whole })
}

/// Scoring a fold, and where a base is trained further that one too.
fn fold_flop(shape: &Shape, tokens: &Tokens, documents: &[usize]) -> anyhow::Result<u128> {
    if tokens.weights.is_none() {
        let lengths: Vec<usize> = documents.iter().map(|&index| tokens.documents[index].len()).collect();
        return Ok(scoring_flop(shape, &lengths));
    }
    let reading = shape.corpus_flop(&tokens.corpus(documents, shape.train.context)?);
    Ok(reading * if tokens.base.is_some() { 2 } else { 1 })
}

/// Telling classes of held-out texts, and training and telling over the folds.
fn classes_flop(case: &Case, shape: &Shape, tokens: &Tokens) -> anyhow::Result<u128> {
    let context = shape.train.context;
    let reading = |documents: &[usize]| anyhow::Ok(shape.corpus_flop(&tokens.corpus(documents, context)?));
    let folds = case.train.as_ref().and_then(|train| train.classifier).and_then(|classifier| classifier.folds);
    let documents = tokens.distinct();
    let of_folds = match folds {
        Some(folds) => training_flop(shape, tokens, &documents)? * folds as u128 + reading(&documents)?,
        None => 0,
    };
    Ok(reading(&tokens.held_out)? + of_folds)
}

/// All fits that choose λ, each scored: every document once for each candidate of an outer fold, and once for the outer folds.
fn choice_flop(case: &Case, tokens: &Tokens) -> anyhow::Result<u128> {
    let Some(lambda) = case.train.as_ref().and_then(|train| train.lambda.as_ref()) else { return Ok(0) };
    let shape = shape::of_fits(case, lambda, tokens)?;
    let (documents, candidates) = (tokens.distinct(), lambda.candidates.len());
    let n_fits = lambda.outer * (lambda.inner * candidates + 1) + lambda.inner * candidates;
    let scoring = shape.corpus_flop(&tokens.corpus(&documents, shape.train.context)?);
    let n_scorings = (lambda.outer + 1) * candidates + 1;
    Ok(training_flop(&shape, tokens, &documents)? * n_fits as u128 + scoring * n_scorings as u128)
}

pub(crate) fn training_flop(shape: &Shape, tokens: &Tokens, documents: &[usize]) -> anyhow::Result<u128> {
    let corpus = tokens.corpus(documents, shape.train.context)?;
    let n_tokens = shape.train.tokens_per_step(&corpus)?;
    Ok(shape.step_flop(n_tokens) * u128::from(shape.train.steps))
}

pub(crate) fn scoring_flop(shape: &Shape, lengths: &[usize]) -> u128 {
    let architecture = shape::architecture(&shape.model);
    let passes = evaluate::passes(lengths, &shape.scoring(SCORING_BATCH));
    passes.iter().map(|pass| architecture.forward(pass.batch as u64, pass.positions as u64)).sum()
}

/// FLOP a second of this machine: two steps of the case's own shape on throw-away weights, the second timed.
fn probe(shape: &Shape, tokens: &Tokens, case: &Case) -> anyhow::Result<Joules> {
    let seed = case.train.as_ref().map_or(0, |train| train.seed);
    // A probe asks how fast steps are, not where they lead: it has no held-out text, and its trouble is nobody's.
    let penalty = train::Penalty::default();
    let config = train::Config { steps: 2, early_stop: None, penalty, ..shape.train.clone() };
    let corpus = tokens.corpus(&tokens.train, shape.train.context)?;
    let flop = shape.step_flop(config.tokens_per_step(&corpus)?);
    let (mut begun, mut seconds) = (Instant::now(), f64::INFINITY);
    train::run(&config, super::finetune::first(shape, tokens, seed)?, &corpus, None, &mut |event| {
        match event {
            train::Event::Ahead { .. } => begun = Instant::now(),
            train::Event::Done { .. } => seconds = seconds.min(begun.elapsed().as_secs_f64()),
            _ => {}
        }
        evidence::Control::Continue
    })?;
    let rate = flop as f64 / seconds.max(1e-9);
    Ok(Joules { lower: rate / 1.6, value: rate, upper: rate * 1.3 })
}

fn predict(
    work: &Work,
    pace: Joules,
    sensor: &Sensor,
    intensity: Option<&meter::Intensity>,
) -> anyhow::Result<Vec<Quantity>> {
    let input = PlanInput {
        architecture: shape::architecture(&work.shape.model),
        batch: work.shape.train.batch as u64,
        context: work.shape.train.context as u64,
        training_flop: work.training,
        case_flop: work.whole,
        flop_per_s: pace,
        watts: sensor.watts(),
        power_method: &sensor.method(),
        intensity,
        trained: work.shape.n_trained() as u64,
        optimizer_states: work.shape.train.optimizer.n_states(),
        halves_activations: work.shape.train.precision == train::Precision::Bf16,
    };
    Ok(meter::predict(&input)?)
}

/// A predicted quantity as evidence: inferred, with its interval.
fn predicted(quantity: &Quantity, subject: &Subject) -> anyhow::Result<Measurement> {
    let interval =
        evidence::Interval { lower: quantity.lower, upper: quantity.upper, level: None, method: "planner".to_owned() };
    let base = figures::measure(&format!("plan.{}", quantity.name), subject, quantity.value, &quantity.method)?;
    Ok(Measurement { interval: Some(interval), provenance: evidence::Provenance::Inferred, ..base })
}

pub(crate) fn config_json(shape: &Shape) -> anyhow::Result<Json> {
    let model = &shape.model;
    let sizes = Json::map([
        ("architecture", Some("llama".into())),
        ("layers", Some(model.layers.into())),
        ("width", Some(model.width.into())),
        ("heads", Some(model.heads.into())),
        ("kvHeads", Some(model.kv_heads.into())),
        ("hidden", Some(model.hidden.into())),
        ("context", Some(model.context.into())),
        ("vocabulary", Some(model.vocab.into())),
    ]);
    let adapters = shape.adapters.as_ref().map(|adapters| {
        let alpha = Decimal::from_f64(adapters.alpha, evidence::DIGITS_MAX, evidence::Round::Nearest);
        let targets = Json::list(adapters.targets.iter().map(String::as_str));
        anyhow::Ok(Json::map([
            ("rank", Some(adapters.rank.into())),
            ("alpha", Some(alpha?.into())),
            ("targets", Some(targets)),
            ("trained", Some(shape.n_trained().into())),
        ]))
    });
    let train = shape.train.to_json()?;
    let head = shape
        .head
        .map(|head| Json::map([("classes", Some(head.n_classes.into())), ("alone", Some(head.is_alone.into()))]));
    Ok(Json::map([("model", Some(sizes)), ("adapters", adapters.transpose()?), ("head", head), ("train", Some(train))]))
}

/// Bounds of the compute along the ancestry, that of making data included; `None` when a part of it is unknown.
fn lineage(case: &Case, made: &[Made], quantities: &[Quantity]) -> Option<(Decimal, Decimal)> {
    let own = quantities.iter().find(|quantity| quantity.name == "compute")?;
    let parents = case.parents().iter().map(|parent| parent.compute_flop?.to_u128());
    let made::Counted { exact, mut stated } = made::counted(made)?;
    stated.extend(parents.collect::<Option<Vec<_>>>()?);
    let [least, _, most] = meter::stated(&stated)?.map(|end| end.saturating_add(exact));
    let sum = |own: Decimal, before: u128, round| Decimal::from_f64(own.to_f64() + before as f64, 15, round).ok();
    Some((sum(own.lower, least, evidence::Round::Down)?, sum(own.upper, most, evidence::Round::Up)?))
}

/// Every threshold of the rules on a quantity that is predicted or will be measured, in the sense in which it is crossed.
fn thresholds_json(rules: &Rules, quantities: &[Quantity], lineage: Option<(Decimal, Decimal)>) -> Json {
    let bounds = |fact: &str| {
        let name = match fact {
            "lineage.compute" => return lineage,
            "train.memory_peak" => "memory",
            fact => fact.strip_prefix("train.").or_else(|| fact.strip_prefix("plan."))?,
        };
        let quantity = quantities.iter().find(|quantity| quantity.name == name)?;
        Some((quantity.lower, quantity.upper))
    };
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for threshold in thresholds(rules) {
        let value = match &threshold.value {
            Value::Decimal(value) => *value,
            Value::Int(value) => Json::from(*value).as_decimal().unwrap_or(Decimal::ZERO),
            _ => continue,
        };
        // A condition to stay below is crossed above it, and the other way round.
        let (operator, crosses): (&str, fn(Decimal, Decimal) -> bool) = match threshold.operator {
            "<=" => (">", |x, limit| x > limit),
            "<" => (">=", |x, limit| x >= limit),
            ">" => (">", |x, limit| x > limit),
            ">=" => (">=", |x, limit| x >= limit),
            _ => continue,
        };
        if !seen.insert((threshold.rule.clone(), threshold.fact, operator, value)) {
            continue;
        }
        let crossed =
            bounds(threshold.fact).map(|(lower, upper)| Crossing::of(lower, upper, |x| crosses(x, value)).name());
        rows.push(Json::map([
            ("rule", Some(threshold.rule.into())),
            ("pack", Some(threshold.pack.into())),
            ("fact", Some(threshold.fact.into())),
            ("field", Some(threshold.field.into())),
            ("operator", Some(operator.into())),
            ("value", Some(value.into())),
            ("unit", Some(threshold.unit.symbol().into())),
            ("crossed", crossed.map(Json::from)),
        ]));
    }
    Json::List(rows)
}

/// The thresholds of rules and case where nothing is trained, so that nothing is predicted.
pub(crate) fn thresholds_of(rules: &Rules, case: &Case) -> anyhow::Result<Json> {
    with_tasks(thresholds_json(rules, &[], None), case)
}

/// Beside the thresholds of the rules those that the case names for its tasks: crossed when a figure's bound is on the wrong side.
fn with_tasks(thresholds: Json, case: &Case) -> anyhow::Result<Json> {
    let Json::List(mut rows) = thresholds else { return Ok(thresholds) };
    let Some(plan) = case.tasks.as_ref().filter(|plan| !plan.thresholds.is_empty()) else {
        return Ok(Json::List(rows));
    };
    let asked = Catalog::open(plan.task_dir.as_slice())?.select(&plan.tasks)?.tasks;
    for threshold in super::tasks::thresholds(plan, &asked)? {
        let fact = format!("{}:{}", threshold.task, threshold.metric.as_deref().unwrap_or("first metric"));
        let value = Decimal::from_f64(threshold.value, evidence::DIGITS_MAX, evidence::Round::Nearest)?;
        let is_most = asked.iter().any(|task| task.name == threshold.task && threshold.is_most(task));
        let (field, operator) = if is_most { ("upper", ">") } else { ("lower", "<") };
        rows.push(Json::map([
            ("rule", Some("assize.toml".into())),
            ("pack", Some("case".into())),
            ("fact", Some(fact.into())),
            ("field", Some(field.into())),
            ("operator", Some(operator.into())),
            ("value", Some(value.into())),
            ("unit", Some(evidence::Unit::One.symbol().into())),
        ]));
    }
    Ok(Json::List(rows))
}

/// The plan of a run, when its predictions are to be compared.
pub(crate) fn planned(entry: &ledger::Entry, name: &str) -> anyhow::Result<Quantity> {
    let quantities = entry.statement.predicate.get("quantities").map_or(&[][..], Json::items);
    let quantity = quantities.iter().find(|quantity| quantity.get("name").and_then(Json::as_text) == Some(name));
    let quantity = quantity.with_context(|| format!("the plan predicts no `{name}`"))?;
    let decimal = |key: &str| {
        quantity.get(key).and_then(Json::as_decimal).with_context(|| format!("the plan's `{name}` has no `{key}`"))
    };
    let names = ["compute", "time", "memory", "energy", "carbon"];
    let name = names.into_iter().find(|known| *known == name).context("not a planned kind")?;
    let unit = quantity.get("unit").and_then(Json::as_text).and_then(evidence::Unit::from_symbol).context("no unit")?;
    Ok(Quantity {
        name,
        value: decimal("value")?,
        lower: decimal("lower")?,
        upper: decimal("upper")?,
        unit,
        method: String::new(),
    })
}
