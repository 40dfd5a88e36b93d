//! Two models on the same items of a task.

use super::{
    metrics::Cell,
    run::{Report, names_of},
};
use crate::statistics::{
    Bootstrap, StatisticsError,
    cluster::{ClusteredMean, clustered_mean},
    paired::{McNemar, PairedDifference, mcnemar, paired_difference},
};

/// One metric of one task, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub task: String,
    pub metric: String,
    pub n: usize,
    pub first: f64,
    pub second: f64,
    /// Second minus first, item by item.
    pub difference: PairedDifference,
    /// For scores that are 0 or 1.
    pub mcnemar: Option<McNemar>,
    /// The difference with an error that allows for the task's clusters, where it has them.
    pub clustered: Option<ClusteredMean>,
}

/// Why two reports are not compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompareError {
    #[error("the reports are of two tasks, `{first}` and `{second}`")]
    Tasks { first: String, second: String },
    #[error("task `{task}`: the two models were not asked the same: the requests differ")]
    Requests { task: String },
    #[error("task `{task}`, metric `{metric}`")]
    Statistics {
        task: String,
        metric: String,
        #[source]
        source: StatisticsError,
    },
}

/// Compares every metric that scores items one by one, in the order of the first report.
///
/// Pairing takes what makes an item hard out of the difference. Perplexities and figures that only exist over many items
/// are left out. Deterministic: the bootstrap draws from `bootstrap`.
///
/// # Errors
/// `CompareError`; two models are compared on the same requests or not at all.
pub fn compare(first: &Report, second: &Report, bootstrap: &Bootstrap) -> Result<Vec<Comparison>, CompareError> {
    let task = first.task.name.clone();
    if task != second.task.name {
        return Err(CompareError::Tasks { first: task, second: second.task.name.clone() });
    }
    if first.prompts != second.prompts || first.samples.len() != second.samples.len() {
        return Err(CompareError::Requests { task });
    }
    let clusters = first.task.reading.cluster.as_ref().and_then(|by| names_of(&first.samples, by));
    let mut comparisons = Vec::new();
    for (metric, _) in &first.figures {
        let pair = [numbers(first, metric), numbers(second, metric)];
        let [Some(before), Some(after)] = pair else { continue };
        if before.len() < 2 || metric == "perplexity" {
            continue;
        }
        let failed = |source| CompareError::Statistics { task: task.clone(), metric: metric.clone(), source };
        let difference = paired_difference(&before, &after, bootstrap).map_err(failed)?;
        let differences: Vec<f64> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
        let clustered = match &clusters {
            Some(clusters) if clusters.len() == differences.len() => clustered_mean(&differences, clusters).ok(),
            _ => None,
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let test = match (yes_or_no(&before), yes_or_no(&after)) {
            (Some(before), Some(after)) => Some(mcnemar(&before, &after).map_err(failed)?),
            _ => None,
        };
        comparisons.push(Comparison {
            task: task.clone(),
            metric: metric.clone(),
            n: before.len(),
            first: mean(&before),
            second: mean(&after),
            difference,
            mcnemar: test,
            clustered,
        });
    }
    Ok(comparisons)
}

/// The metric's score of every item that has one; `None` where none is a plain number.
fn numbers(report: &Report, metric: &str) -> Option<Vec<f64>> {
    let of = report.samples.iter().flat_map(|sample| &sample.cells).filter(|(name, _)| name == metric);
    of.map(|(_, cell)| if let Cell::Number(number) = cell { Some(*number) } else { None }).collect()
}

fn yes_or_no(values: &[f64]) -> Option<Vec<bool>> {
    values
        .iter()
        .map(|value| [(0.0, false), (1.0, true)].iter().find(|(known, _)| known == value).map(|found| found.1))
        .collect()
}
