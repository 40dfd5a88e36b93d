//! What a model says of texts it is not trained on: their mean loss, and the classes that a head tells.

use crate::{
    config::ConfigError,
    data::{Batch, Batches, Corpus},
    run::TrainError,
    slope::{self, SlopeError},
};
use model::Llama;

/// Classes told of labelled texts, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The likeliest, of equals the first.
    pub classes: Vec<usize>,
    /// What stands there.
    pub targets: Vec<usize>,
    /// Logits, row behind row.
    pub logits: Vec<f32>,
}

/// Mean loss of a corpus in nats a position that counts; of labelled texts, a text.
///
/// # Errors
/// `Data` and `Step` as training has them.
pub fn mean_loss(model: &Llama, corpus: &Corpus, context: usize, batch: usize) -> Result<f64, TrainError> {
    let batches = Batches::new(corpus, context, batch, 0)?.full().collect::<Result<Vec<_>, _>>()?;
    let total: f64 = batches.iter().map(Batch::weight).sum();
    let mut sum = 0.0;
    for batch in &batches {
        sum += slope::loss(model, batch, total).map_err(|source| TrainError::Step { step: 0, source })?;
    }
    Ok(sum)
}

/// Has a head tell the class of every text of `Corpus::labelled`.
///
/// # Errors
/// `Data` and `Step` as training has them, `Config` when the corpus was encoded for another model.
pub fn tell(model: &Llama, corpus: &Corpus, context: usize, batch: usize) -> Result<Told, TrainError> {
    corpus.check_vocabulary(model.config().vocab).map_err(ConfigError::from)?;
    let n_classes = model.n_classes().unwrap_or(1);
    let mut told = Told { classes: Vec::new(), targets: Vec::new(), logits: Vec::new() };
    for batch in Batches::new(corpus, context, batch, 0)?.full() {
        let read = |windows: &model::pass::Windows<'_>| -> Result<_, SlopeError> {
            let counted = windows.targets.iter().zip(windows.weights).filter(|(_, weight)| **weight != 0.0);
            Ok((counted.map(|(class, _)| *class as usize).collect::<Vec<_>>(), model.class_logits(windows)?))
        };
        let (targets, logits) =
            slope::with_windows(&batch?, 1.0, read).map_err(|source| TrainError::Step { step: 0, source })?;
        let best = |row: &[f32]| (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best });
        told.classes.extend(logits.chunks(n_classes).map(best));
        told.targets.extend(targets);
        told.logits.extend(logits);
    }
    Ok(told)
}
