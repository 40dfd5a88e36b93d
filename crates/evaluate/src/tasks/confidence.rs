//! How sure the model was of each choice, and whether the choice was right: what calibration is counted from.

use super::{
    metrics::{self, Answers},
    prompts::Gold,
    run::Sample,
    task::{Output, Task},
};
use crate::statistics::calibration::softmax;

/// Confidence of the first choice under a soft-max over the sums of the choices, and whether it was right, item by item.
///
/// `None` for tasks without one right choice among several: there is nothing to be sure of.
#[must_use]
pub fn confidences(task: &Task, samples: &[Sample]) -> Option<(Vec<f64>, Vec<bool>)> {
    if task.output != Output::MultipleChoice || task.process_results.is_some() || samples.is_empty() {
        return None;
    }
    let (mut confidence, mut correct) = (Vec::new(), Vec::new());
    for sample in samples {
        let (Answers::Scores(scores), Gold::Choices(gold)) = (&sample.answers, &sample.doc.gold) else {
            return None;
        };
        let sums: Vec<f64> =
            metrics::conditional(&sample.doc, scores).iter().map(|score| score.log_likelihood).collect();
        let choice = metrics::arg_max(&sums);
        confidence.push(softmax(&sums)[choice].min(1.0));
        correct.push(gold.contains(&choice));
    }
    Some((confidence, correct))
}
