//! What stands beside the scores of tasks: another model, other forms of the items, bias scores, thresholds, evidence.

use crate::{
    evaluate_evidence::{self, Circumstances, Said},
    evaluate_tasks::{figure_json, map_of, number},
    evaluate_thresholds::{Held, Threshold},
    screen,
};
use evaluate::{
    Bounds,
    statistics::{
        Bootstrap, LEVEL,
        calibration::{BINS, calibration, diagram, ece_bounds},
        ratio_bounds,
        slices::holm,
    },
    tasks::{
        CONVENTION, Report,
        compare::Comparison,
        confidence::confidences,
        metrics::{Cell, Figure},
        robust::Robustness,
    },
};
use evidence::Json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct ScoreArgs {
    /// Another model, asked the same: second minus first, item by item
    #[arg(long, value_name = "MODEL")]
    pub(crate) against: Option<PathBuf>,
    /// A column of the rows, or a template, whose values are reported apart, with the worst of them
    #[arg(long, value_name = "FIELD")]
    pub(crate) slice: Option<String>,
    /// Ask each item again mistyped, in other case and spacing, with options in other orders, and in other words
    #[arg(long)]
    pub(crate) robust: bool,
    /// A threshold named beforehand: TASK=VALUE, or TASK:METRIC=VALUE; at most it where less is better (repeatable)
    #[arg(long = "threshold", value_name = "TASK=VALUE")]
    pub(crate) thresholds: Vec<Threshold>,
    /// Seed of whatever is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// What was found beside the scores.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) robustness: Vec<Robustness>,
    pub(crate) bias: Vec<(String, Figure)>,
    pub(crate) held: Vec<Held>,
}

/// Right and all, for a metric whose cells are all 0 or 1.
fn shares(report: &Report, metric: &str) -> Option<(u64, u64)> {
    let cells = report.samples.iter().flat_map(|sample| &sample.cells).filter(|(name, _)| name == metric);
    let mut counts = (0, 0);
    for (_, cell) in cells {
        let Cell::Number(number) = cell else { return None };
        if *number != 0.0 && *number != 1.0 {
            return None;
        }
        counts.0 += u64::from(*number == 1.0);
        counts.1 += 1;
    }
    (counts.1 > 0).then_some(counts)
}

impl Beside {
    /// Members of the document that go beside `results`.
    pub(crate) fn json(&self) -> anyhow::Result<Vec<(&'static str, Json)>> {
        let mut members = Vec::new();
        if !self.comparisons.is_empty() {
            let p_values: Vec<f64> = self.tested().into_iter().map(|(_, p)| p).collect();
            let adjusted = holm(&p_values);
            let rows = self.comparisons.iter().map(|one| comparison_json(one, self.adjusted(one, &adjusted)));
            members.push(("comparison", Json::List(rows.collect::<anyhow::Result<_>>()?)));
        }
        if !self.robustness.is_empty() {
            let rows = self.robustness.iter().map(robustness_json).collect::<anyhow::Result<_>>()?;
            members.push(("robustness", Json::List(rows)));
        }
        if !self.bias.is_empty() {
            let rows = self.bias.iter().map(|(name, figure)| Ok((name.clone(), figure_json(name, figure)?)));
            members.push(("bias", Json::Map(rows.collect::<anyhow::Result<_>>()?)));
        }
        if !self.held.is_empty() {
            let rows = self.held.iter().map(Held::json).collect::<anyhow::Result<_>>()?;
            members.push(("thresholds", Json::List(rows)));
        }
        Ok(members)
    }

    /// The comparisons that make a family: each task's first metric with a test.
    fn tested(&self) -> Vec<(&Comparison, f64)> {
        let mut tested: Vec<(&Comparison, f64)> = Vec::new();
        for one in &self.comparisons {
            if let Some(test) = one.mcnemar
                && tested.iter().all(|(held, _)| held.task != one.task)
            {
                tested.push((one, test.p_exact));
            }
        }
        tested
    }

    fn adjusted(&self, one: &Comparison, adjusted: &[f64]) -> Option<f64> {
        let tested = self.tested();
        tested.iter().zip(adjusted).find(|((tested, _), _)| std::ptr::eq(*tested, one)).map(|(_, p)| *p)
    }

    pub(crate) fn print(&self) {
        for one in &self.comparisons {
            let Bounds { lower, upper } = one.difference.bounds;
            let test = one.mcnemar.map_or_else(String::new, |test| {
                format!(
                    "only first {} only second {} p {:.4} (mid {:.4})",
                    test.only_first, test.only_second, test.p_exact, test.p_mid
                )
            });
            screen::line(&format!(
                "{:28} {:16} {:.4} -> {:.4}: {:+.4} [{lower:+.4}, {upper:+.4}] {test}",
                one.task, one.metric, one.first, one.second, one.difference.mean
            ));
        }
        for one in &self.robustness {
            for form in &one.outcomes {
                let Bounds { lower, upper } = form.drop.bounds;
                let alike = form.consistency.map_or_else(String::new, |share| format!("alike {share:.3}"));
                screen::line(&format!(
                    "{:28} {:16} {:.4} -> {:.4}: drop {:+.4} [{lower:+.4}, {upper:+.4}] {alike} changed {} of {}",
                    one.task, form.form, form.clean, form.changed, form.drop.mean, form.n_changed, form.n
                ));
            }
            let alike = one.consistency.map_or_else(String::new, |share| format!(", alike in every form {share:.3}"));
            screen::line(&format!(
                "{:28} worst case {:.4}, format spread {:.4}{alike}",
                one.task, one.worst_case, one.format_spread
            ));
        }
        for (name, figure) in &self.bias {
            let bounds =
                figure.bounds.map_or_else(String::new, |bounds| format!("[{:.4}, {:.4}]", bounds.lower, bounds.upper));
            screen::line(&format!("{name:45} {:>10.4} {bounds:20} n {}", figure.value, figure.n));
        }
        self.held.iter().for_each(|held| screen::line(&held.line()));
    }
}

fn bounds_json(bounds: Bounds) -> anyhow::Result<[(&'static str, Option<Json>); 2]> {
    Ok([("lower", Some(number(bounds.lower)?)), ("upper", Some(number(bounds.upper)?))])
}

fn comparison_json(one: &Comparison, adjusted: Option<f64>) -> anyhow::Result<Json> {
    let mut members = vec![
        ("task", Some(one.task.as_str().into())),
        ("metric", Some(one.metric.as_str().into())),
        ("n", Some(one.n.into())),
        ("first", Some(number(one.first)?)),
        ("second", Some(number(one.second)?)),
        ("difference", Some(number(one.difference.mean)?)),
        ("stderr", Some(number(one.difference.stderr)?)),
        ("interval", Some("bootstrap-items, whole pairs".into())),
        ("detectable", one.difference.detectable.map(number).transpose()?),
    ];
    members.extend(bounds_json(one.difference.bounds)?);
    if let Some(test) = one.mcnemar {
        let mcnemar = Json::map([
            ("onlyFirst", Some(test.only_first.into())),
            ("onlySecond", Some(test.only_second.into())),
            ("pExact", Some(number(test.p_exact)?)),
            ("pMid", Some(number(test.p_mid)?)),
            ("pHolm", adjusted.map(number).transpose()?),
        ]);
        members.push(("mcnemar", Some(mcnemar)));
    }
    if let Some(mean) = &one.clustered {
        let mut clustered = vec![("clusters", Some(mean.n_clusters.into())), ("stderr", Some(number(mean.stderr)?))];
        clustered.extend(bounds_json(mean.bounds)?);
        members.push(("clustered", Some(map_of(clustered))));
    }
    Ok(map_of(members))
}

fn robustness_json(one: &Robustness) -> anyhow::Result<Json> {
    let form = |form: &evaluate::tasks::robust::Outcome| -> anyhow::Result<Json> {
        let mut members = vec![
            ("form", Some(form.form.as_str().into())),
            ("n", Some(form.n.into())),
            ("changedItems", Some(form.n_changed.into())),
            ("clean", Some(number(form.clean)?)),
            ("changed", Some(number(form.changed)?)),
            ("drop", Some(number(form.drop.mean)?)),
            ("relativeDrop", form.relative_drop.map(number).transpose()?),
            ("consistency", form.consistency.map(number).transpose()?),
        ];
        members.extend(bounds_json(form.drop.bounds)?);
        Ok(map_of(members))
    };
    Ok(Json::map([
        ("task", Some(one.task.as_str().into())),
        ("metric", Some(one.metric.as_str().into())),
        ("forms", Some(Json::List(one.outcomes.iter().map(form).collect::<anyhow::Result<_>>()?))),
        ("worstCase", Some(number(one.worst_case)?)),
        ("formatSpread", Some(number(one.format_spread)?)),
        ("consistency", one.consistency.map(number).transpose()?),
    ]))
}

/// The reliability diagram of a report, bin by bin.
pub(crate) fn diagram_json(report: &Report) -> anyhow::Result<Option<Json>> {
    let Some((confidence, correct)) = confidences(&report.task, &report.samples) else { return Ok(None) };
    let bins = diagram(&confidence, &correct, BINS)?;
    let bin = |bin: &evaluate::statistics::calibration::Bin| -> anyhow::Result<Json> {
        let mut members = vec![
            ("n", Some(bin.n.into())),
            ("k", Some(bin.n_right.into())),
            ("confidence", Some(number(bin.confidence)?)),
            ("accuracy", Some(number(bin.accuracy)?)),
        ];
        members.extend(bounds_json(bin.bounds)?);
        Ok(map_of(members))
    };
    Ok(Some(Json::List(bins.iter().map(bin).collect::<anyhow::Result<_>>()?)))
}

/// The diagram in letters: a line a bin, `o` where confidence is and `#` where accuracy is.
pub(crate) fn print_diagram(report: &Report) -> anyhow::Result<()> {
    const WIDTH: usize = 40;
    let Some((confidence, correct)) = confidences(&report.task, &report.samples) else { return Ok(()) };
    let found = calibration(&confidence, &correct, BINS)?;
    screen::line(&format!(
        "{:28} ECE {:.4} over {} bins, Brier {:.4} = {:.4} - {:.4} + {:.4}",
        report.task.name,
        found.ece,
        found.ece_bins,
        found.brier,
        found.reliability,
        found.resolution,
        found.uncertainty
    ));
    for bin in diagram(&confidence, &correct, BINS)? {
        let place = |share: f64| ((share * WIDTH as f64) as usize).min(WIDTH - 1);
        let mut bar = vec![b'.'; WIDTH];
        bar[place(bin.confidence)] = b'o';
        bar[place(bin.accuracy)] = b'#';
        let bar: String = bar.into_iter().map(char::from).collect();
        screen::line(&format!(
            "{:28} {bar} confidence {:.3} accuracy {:.3} n {}",
            "", bin.confidence, bin.accuracy, bin.n
        ));
    }
    Ok(())
}

/// Everything the reports say that a card may ask for.
pub(crate) fn said(reports: &[Report], beside: &Beside) -> anyhow::Result<Vec<Said>> {
    let mut said = benchmark(reports)?;
    said.extend(calibrated(reports)?);
    said.extend(refusals(reports)?);
    said.extend(biased(reports, beside)?);
    said.extend(robust(beside)?);
    if !beside.held.is_empty() {
        let count = |verdict: &str| beside.held.iter().filter(|held| held.verdict == verdict).count() as u64;
        let names: Vec<String> = beside.held.iter().map(Held::brief).collect();
        let method = format!("thresholds named before the tasks were asked: {}", names.join(", "));
        said.push(Said::count("benchmark.thresholds", beside.held.len() as u64, &method));
        said.push(Said::count("benchmark.thresholds_met", count("met"), &method));
        said.push(Said::count("benchmark.thresholds_missed", count("missed"), &method));
    }
    said.iter_mut().for_each(|said| said.convention = Some(CONVENTION));
    Ok(said)
}

/// Whether a metric marks items right or wrong: only then is the slice with the lowest share the worst.
pub(crate) fn is_mark(name: &str) -> bool {
    ["acc", "acc_norm", "exact_match"].contains(&name.split(',').next().unwrap_or(name))
}

/// The first listed metric of a task that marks items right or wrong.
fn marked(report: &Report) -> Option<(&str, u64, u64)> {
    let of = |(name, _): &'_ (String, Figure)| -> Option<(u64, u64)> { shares(report, name) };
    let found = report.figures.iter().find(|figure| is_mark(&figure.0) && of(figure).is_some())?;
    let (k, n) = of(found)?;
    Some((found.0.as_str(), k, n))
}

fn benchmark(reports: &[Report]) -> anyhow::Result<Vec<Said>> {
    let marks: Vec<(&str, &str, u64, u64)> = reports
        .iter()
        .filter_map(|report| marked(report).map(|(metric, k, n)| (report.task.name.as_str(), metric, k, n)))
        .collect();
    let items: u64 = reports.iter().map(|report| report.samples.len() as u64).sum();
    let mut said = vec![Said::count("benchmark.items", items, "counted over the tasks asked")];
    if !marks.is_empty() {
        let (k, n) = marks.iter().fold((0, 0), |(k, n), mark| (k + mark.2, n + mark.3));
        let names: Vec<String> =
            marks.iter().map(|(task, metric, k, n)| format!("{task}:{metric} {k} of {n}")).collect();
        said.push(Said::share("benchmark.accuracy", k, n, format!("pooled over {}", names.join(", ")))?);
    }
    let worst = reports.iter().filter_map(|report| {
        let (metric, found) = report.slices.as_ref().filter(|(metric, _)| is_mark(metric))?;
        Some((report, metric, &found.slices[found.worst], found.slices.len()))
    });
    let share = |(_, _, slice, _): &(&Report, &String, &evaluate::statistics::slices::Slice, usize)| {
        slice.n_right as f64 / slice.n as f64
    };
    if let Some((report, metric, slice, n_slices)) = worst.min_by(|left, right| share(left).total_cmp(&share(right))) {
        let method = format!(
            "{}:{metric}, slice `{}`, the worst of {n_slices}; level divided by their number",
            report.task.name, slice.name
        );
        said.push(Said {
            id: "benchmark.worst_slice",
            value: slice.n_right as f64 / slice.n as f64,
            interval: Some((slice.bounds, Some(LEVEL), "clopper-pearson-bonferroni")),
            n: Some(slice.n),
            k: Some(slice.n_right),
            method,
            convention: None,
        });
    }
    Ok(said)
}

fn calibrated(reports: &[Report]) -> anyhow::Result<Vec<Said>> {
    let (mut confidence, mut correct, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for report in reports {
        if let Some((own, right)) = confidences(&report.task, &report.samples) {
            confidence.extend(own);
            correct.extend(right);
            names.push(report.task.name.as_str());
        }
    }
    if confidence.len() < 2 {
        return Ok(Vec::new());
    }
    let (found, n) = (calibration(&confidence, &correct, BINS)?, confidence.len() as u64);
    let method = format!("pooled over {}, {} bins of equal mass", names.join(", "), found.ece_bins);
    let bounds = ece_bounds(&confidence, &correct, BINS)?;
    let squares: Vec<f64> = confidence
        .iter()
        .zip(&correct)
        .map(|(confidence, right)| (confidence - f64::from(u8::from(*right))).powi(2))
        .collect();
    let brier = ratio_bounds(&squares, &vec![1.0; squares.len()], &Bootstrap::new(0))?;
    Ok(vec![
        Said::quantity("calibration.ece", found.ece, Some(bounds), "bootstrap-items", n, method.clone()),
        Said::quantity("calibration.brier", found.brier, Some(brier), "bootstrap-items", n, method),
    ])
}

/// Refusals of the safety set: harmful questions refused, harmless ones refused, and what could not be told.
fn refusals(reports: &[Report]) -> anyhow::Result<Vec<Said>> {
    let mut said = Vec::new();
    for report in reports {
        let count = |metric: &str| shares(report, metric);
        let method = format!("{}, word detector of refusals", report.task.name);
        for (id, metric) in [
            ("refusal.rate", "refused_harmful"),
            ("over_refusal.rate", "over_refused"),
            ("refusal.unscored", "unscored"),
        ] {
            if let Some((k, n)) = count(metric) {
                said.push(Said::share(id, k, n, method.clone())?);
            }
        }
    }
    Ok(said)
}

fn biased(reports: &[Report], beside: &Beside) -> anyhow::Result<Vec<Said>> {
    let figure = |name: &str| beside.bias.iter().find(|(known, _)| known == name).map(|(_, figure)| figure);
    let mut said = Vec::new();
    let mut largest: Option<(f64, Bounds, &str, u64)> = None;
    let mut consider = |value: f64, bounds: Option<Bounds>, name: &'static str, n: u64| {
        let Some(bounds) = bounds else { return };
        let (low, high) = (bounds.lower.abs().min(bounds.upper.abs()), bounds.lower.abs().max(bounds.upper.abs()));
        let lower = if bounds.lower <= 0.0 && bounds.upper >= 0.0 { 0.0 } else { low };
        if largest.is_none_or(|(held, ..)| value.abs() > held) {
            largest = Some((value.abs(), Bounds { lower, upper: high }, name, n));
        }
    };
    for (id, name) in [("bias.bbq_ambiguous", "bbq.s_amb"), ("bias.bbq_disambiguated", "bbq.s_dis")] {
        if let Some(found) = figure(name) {
            let method = format!("{name} of the task bbq");
            said.push(Said::quantity(id, found.value, found.bounds, found.interval, found.n as u64, method));
            consider(found.value, found.bounds, id, found.n as u64);
        }
    }
    let crows = reports.iter().find(|report| report.task.name == "crows_pairs_english");
    if let Some((k, n)) = crows.and_then(|report| shares(report, "pct_stereotype")) {
        let share = Said::share("bias.crows_pairs", k, n, "pct_stereotype of the task crows_pairs_english".to_owned())?;
        let score = |share: f64| 2.0 * (share - 0.5);
        let bounds =
            share.interval.map(|(bounds, ..)| Bounds { lower: score(bounds.lower), upper: score(bounds.upper) });
        consider(score(share.value), bounds, "bias.crows_pairs", n);
        said.push(share);
    }
    let gaps = ["winobias.gap_type1", "winobias.gap_type2"].into_iter().filter_map(|name| Some((name, figure(name)?)));
    if let Some((name, found)) = gaps.max_by(|left, right| left.1.value.abs().total_cmp(&right.1.value.abs())) {
        let (n, method) = (found.n as u64, format!("{name}, with the stereotype minus against it"));
        said.push(Said::quantity("bias.winobias_gap", found.value, found.bounds, found.interval, n, method));
        consider(found.value, found.bounds, "bias.winobias_gap", n);
    }
    if let Some(found) = figure("winogender.gap") {
        consider(found.value, found.bounds, "winogender.gap", found.n as u64);
    }
    if let Some(found) = figure("winogender.agreement") {
        let k = (found.value * found.n as f64).round() as u64;
        said.push(Said::share(
            "bias.winogender_agreement",
            k,
            found.n as u64,
            "sentences in all their forms".to_owned(),
        )?);
    }
    if let Some((value, bounds, name, n)) = largest {
        said.push(Said::quantity(
            "bias.largest",
            value,
            Some(bounds),
            "as-of-the-score",
            n,
            format!("the largest is {name}"),
        ));
    }
    Ok(said)
}

fn robust(beside: &Beside) -> anyhow::Result<Vec<Said>> {
    let forms = beside.robustness.iter().flat_map(|one| one.outcomes.iter().map(move |form| (one, form)));
    let worst = forms.max_by(|left, right| left.1.drop.mean.total_cmp(&right.1.drop.mean));
    let Some((one, form)) = worst else { return Ok(Vec::new()) };
    let n_forms: usize = beside.robustness.iter().map(|one| one.outcomes.len()).sum();
    let method = format!("{}:{}, form `{}`, the largest drop of {n_forms} forms", one.task, one.metric, form.form);
    let clamp = |value: f64| value.max(0.0);
    let bounds = Bounds { lower: clamp(form.drop.bounds.lower), upper: clamp(form.drop.bounds.upper) };
    let drop = clamp(form.drop.mean);
    let mut said =
        vec![Said::quantity("robustness.drop", drop, Some(bounds), "bootstrap-items", form.n as u64, method)];
    let items = |one: &Robustness| one.outcomes.first().map_or(0, |form| form.n);
    let n: usize = beside.robustness.iter().map(items).sum();
    let mean: f64 =
        beside.robustness.iter().map(|one| one.worst_case * items(one) as f64).sum::<f64>() / n.max(1) as f64;
    let names: Vec<&str> = beside.robustness.iter().map(|one| one.task.as_str()).collect();
    let method = format!("over {}, {n_forms} forms and the unchanged one", names.join(", "));
    said.push(Said::quantity("robustness.worst_case", mean, None, "", n as u64, method.clone()));
    let with_choices: Vec<(f64, usize)> =
        beside.robustness.iter().filter_map(|one| Some((one.consistency?, items(one)))).collect();
    let n: usize = with_choices.iter().map(|(_, n)| n).sum();
    if n > 0 {
        let k = with_choices.iter().map(|(share, n)| (share * *n as f64).round() as u64).sum();
        said.push(Said::share("robustness.consistency", k, n as u64, method)?);
    }
    Ok(said)
}

/// Signs what was found into a file.
pub(crate) fn write(
    path: &std::path::Path,
    key: Option<&std::path::Path>,
    circumstances: &Circumstances,
    said: &[Said],
    details: Json,
) -> anyhow::Result<()> {
    evaluate_evidence::write(path, key, "tasks", &circumstances.measurements(said)?, details)
}
