//! Thresholds named before tasks are asked, and what came of each.

use crate::evaluate_tasks::{map_of, number};
use anyhow::bail;
use evaluate::{
    Bounds,
    tasks::{Report, metrics, task::Task},
};
use evidence::{DIGITS_MEASURED, Decimal, Json, Round};

/// A value that one task's figure must reach: at least it, or at most it where less is better.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Threshold {
    pub(crate) task: String,
    /// The task's first metric where none is named.
    pub(crate) metric: Option<String>,
    pub(crate) value: f64,
}

impl std::str::FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected TASK=VALUE or TASK:METRIC=VALUE, found `{text}`");
        let (name, value) = text.rsplit_once('=').ok_or_else(wrong)?;
        let value: f64 = value.trim().parse().map_err(|_| wrong())?;
        if name.trim().is_empty() || !value.is_finite() {
            return Err(wrong());
        }
        let (task, metric) =
            name.split_once(':').map_or((name, None), |(task, metric)| (task, Some(metric.to_owned())));
        Ok(Self { task: task.trim().to_owned(), metric, value })
    }
}

impl Threshold {
    fn metric_of<'a>(&'a self, task: &'a Task) -> &'a str {
        self.metric.as_deref().or_else(|| task.metrics.first().map(|metric| metric.name.as_str())).unwrap_or_default()
    }

    /// Whether the figure must lie below rather than above, as the task says of its metric.
    pub(crate) fn is_most(&self, task: &Task) -> bool {
        !metrics::is_higher_better(task, self.metric_of(task))
    }
}

/// A threshold beside what was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) threshold: Threshold,
    pub(crate) metric: String,
    pub(crate) is_most: bool,
    pub(crate) value: f64,
    /// The interval that stands beside the score, and how it was found.
    pub(crate) bounds: Option<Bounds>,
    pub(crate) interval: &'static str,
    pub(crate) verdict: &'static str,
}

/// Thresholds name tasks that are asked and values that can be reached; anything else would be met by silence.
///
/// `named` is where they were written: the option, or the key of the case.
pub(crate) fn check(thresholds: &[Threshold], tasks: &[Task], named: &str) -> anyhow::Result<()> {
    for threshold in thresholds {
        let Some(task) = tasks.iter().find(|task| task.name == threshold.task) else {
            let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
            bail!(
                "a threshold names the task `{}`, which is not asked; asked are {}",
                threshold.task,
                names.join(", ")
            );
        };
        let (metric, value) = (threshold.metric_of(task), threshold.value);
        if metrics::is_share(task, metric) && !(0.0..=1.0).contains(&value) {
            let percent = if (1.0..=100.0).contains(&value) {
                format!("; for {value} % write {}", value / 100.0)
            } else {
                String::new()
            };
            bail!("{named} of `{}`: `{metric}` is a share: expected 0 to 1, found {value}{percent}", threshold.task);
        }
    }
    Ok(())
}

/// Holds each threshold against its figure: met where the whole interval is on the right side, missed where it is on the wrong
/// one, else open.
pub(crate) fn held(thresholds: &[Threshold], reports: &[Report]) -> anyhow::Result<Vec<Held>> {
    let mut found = Vec::new();
    for threshold in thresholds {
        let Some(report) = reports.iter().find(|report| report.task.name == threshold.task) else { continue };
        let metric = threshold.metric_of(&report.task);
        let Some((_, figure)) = report.figures.iter().find(|(name, _)| name == metric) else {
            let names: Vec<&str> = report.figures.iter().map(|(name, _)| name.as_str()).collect();
            bail!("task `{}` has no metric `{metric}`; it has {}", threshold.task, names.join(", "));
        };
        let is_most = threshold.is_most(&report.task);
        found.push(Held {
            metric: metric.to_owned(),
            is_most,
            value: figure.value,
            bounds: figure.bounds,
            interval: figure.interval,
            verdict: verdict(figure.bounds, threshold.value, is_most),
            threshold: threshold.clone(),
        });
    }
    Ok(found)
}

fn verdict(bounds: Option<Bounds>, value: f64, is_most: bool) -> &'static str {
    match bounds {
        Some(bounds) if !is_most && bounds.lower >= value => "met",
        Some(bounds) if !is_most && bounds.upper < value => "missed",
        Some(bounds) if is_most && bounds.upper <= value => "met",
        Some(bounds) if is_most && bounds.lower > value => "missed",
        _ => "open",
    }
}

impl Held {
    pub(crate) fn json(&self) -> anyhow::Result<Json> {
        let mut members = vec![
            ("task", Some(self.threshold.task.as_str().into())),
            ("metric", Some(self.metric.as_str().into())),
            (if self.is_most { "most" } else { "least" }, Some(number(self.threshold.value)?)),
            ("value", Some(number(self.value)?)),
        ];
        if let Some(bounds) = self.bounds {
            // Outward, as beside the score.
            let end = |value, round| Decimal::from_f64(value, DIGITS_MEASURED, round).map(Json::from);
            members.push(("lower", Some(end(bounds.lower, Round::Down)?)));
            members.push(("upper", Some(end(bounds.upper, Round::Up)?)));
            members.push(("interval", Some(self.interval.into())));
        }
        members.push(("verdict", Some(self.verdict.into())));
        Ok(map_of(members))
    }

    /// A line for people.
    pub(crate) fn line(&self) -> String {
        let side = if self.is_most { "at most" } else { "at least" };
        let bounds = self
            .bounds
            .map_or_else(|| "no interval".to_owned(), |bounds| format!("[{:.4}, {:.4}]", bounds.lower, bounds.upper));
        let (task, metric, verdict) = (&self.threshold.task, &self.metric, self.verdict);
        format!("{task:28} {metric:16} {side} {}: {:.4} {bounds}, {verdict}", self.threshold.value, self.value)
    }

    /// The threshold and its verdict in a few letters.
    pub(crate) fn brief(&self) -> String {
        let sign = if self.is_most { "<=" } else { ">=" };
        format!("{}:{} {sign} {} ({})", self.threshold.task, self.metric, self.threshold.value, self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_as_they_are_written() {
        let read = |text: &str| text.parse::<Threshold>();
        assert_eq!(read("arc_easy=0.5"), Ok(Threshold { task: "arc_easy".to_owned(), metric: None, value: 0.5 }));
        let found = read("arc_easy:acc_norm=0.25").unwrap();
        assert_eq!((found.metric.as_deref(), found.value), (Some("acc_norm"), 0.25));
        assert_eq!(read("arc_easy"), Err("expected TASK=VALUE or TASK:METRIC=VALUE, found `arc_easy`".to_owned()));
        assert!(read("=0.5").is_err() && read("a=much").is_err() && read("a=inf").is_err());
    }

    #[test]
    fn an_interval_on_the_right_side_is_met_whichever_side_that_is() {
        let bounds = Some(Bounds { lower: 9.0, upper: 11.0 });
        for (value, is_most, expected) in [
            (0.5, true, "missed"),
            (0.5, false, "met"),
            (10.0, true, "open"),
            (10.0, false, "open"),
            (12.0, true, "met"),
            (12.0, false, "missed"),
        ] {
            assert_eq!(verdict(bounds, value, is_most), expected, "{value} {is_most}");
        }
        assert_eq!(verdict(None, 0.5, true), "open");
    }
}
