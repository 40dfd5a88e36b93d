//! What a model says of texts it is not trained on: their mean loss, and the classes that a head tells.

use crate::{
    config::ConfigError,
    data::{Batches, Corpus},
    run::TrainError,
    slope::{self, SlopeError},
};
use evidence::Control;
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

/// A loss over what counts of a corpus.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    /// Nats a position that counts; of labelled texts, a text.
    pub loss_nats: f64,
    /// Σ of the weights.
    pub weight: f64,
}

/// Mean loss of a corpus, by the weights that training has. `ask` is told the positions of each batch ahead; the reason where it stops.
///
/// # Errors
/// `Data` and `Step` as training has them.
pub fn mean_loss(
    model: &Llama,
    corpus: &Corpus,
    (context, batch): (usize, usize),
    ask: &mut dyn FnMut(u64) -> Control,
) -> Result<Result<Counted, String>, TrainError> {
    let batches = Batches::new(corpus, context, batch, 0)?;
    let mut weight = 0.0;
    for batch in batches.full() {
        weight += batch?.weight();
    }
    let mut loss_nats = 0.0;
    for batch in batches.full() {
        let batch = batch?;
        if let Control::Stop(reason) = ask(batch.n_tokens) {
            return Ok(Err(reason));
        }
        loss_nats += slope::loss(model, &batch, weight).map_err(|source| TrainError::Step { step: 0, source })?;
    }
    Ok(Ok(Counted { loss_nats, weight }))
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
