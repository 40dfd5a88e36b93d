//! The head with its cross-entropy: no logits are kept, for a few rows at a time they are made and turned into their own slopes.
//!
//! Legend: N rows, C channels, V vocabulary.

use super::product::{Threads, View, product, product_of};
use crate::decoder::{exp, lanes, largest, vectors::for_vectors};
use rayon::prelude::*;
use std::borrow::Cow;

/// Rows whose logits stand in memory at once, at least: the table is packed anew for each block of rows.
const BLOCK: usize = 256;
/// Blocks that are taken together while their logits stay below `LOGITS`.
const BLOCKS: usize = 4;
const LOGITS: usize = 1 << 21;

/// What a row must say, and how much that counts; rows of weight 0 are not computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Targets<'a> {
    pub(super) ids: &'a [u32],
    pub(super) weights: &'a [f32],
    /// ε of label smoothing. Source: Szegedy et al. 2016, section 7.
    pub(super) smoothing: f32,
}

/// Where slopes are added.
#[derive(Debug)]
pub(super) struct Slopes<'a> {
    /// (N, C)
    pub(super) stream: &'a mut [f32],
    /// (V, C), unless the embedding is held.
    pub(super) embedding: Option<&'a mut [f32]>,
}

/// Σ wᵢ · (ln Σ_v exp(x_v) − (1 − ε) · x_target − ε · mean_v x_v) over the rows, in f64; its slopes where they are asked for.
///
/// Source: Goodfellow, Bengio and Courville 2016, equations 6.29 and 6.30; slopes in the forward pass as in Hsu et al. 2024
/// (Liger), section 3.2.
pub(super) fn loss(
    stream: &[f32],
    embedding: &[f32],
    width: usize,
    targets: Targets<'_>,
    slopes: Option<Slopes<'_>>,
) -> f64 {
    let vocab = embedding.len() / width;
    let counted: Vec<usize> = (0..targets.ids.len()).filter(|&row| targets.weights[row] != 0.0).collect();
    let (mut slopes, mut total) = (slopes, 0.0);
    for rows in counted.chunks((LOGITS / vocab).clamp(BLOCK, BLOCKS * BLOCK)) {
        // Rows one behind another are read and written where they stand.
        let run =
            Some(rows[0] * width..(rows[0] + rows.len()) * width).filter(|_| rows.is_sorted_by(|a, b| a + 1 == *b));
        let gathered: Cow<'_, [f32]> = match &run {
            Some(run) => Cow::Borrowed(&stream[run.clone()]),
            None => rows.iter().flat_map(|&row| &stream[row * width..(row + 1) * width]).copied().collect(),
        };
        let (inputs, table) = (View::rows(&gathered, width), View::rows(embedding, width));
        let mut logits = product_of(inputs, table.t());
        let losses: Vec<f64> = logits
            .par_chunks_mut(vocab)
            .zip(rows)
            .map(|(logits, &row)| row_loss(logits, targets.ids[row], targets.weights[row], targets.smoothing))
            .collect();
        total += losses.iter().sum::<f64>();
        let Some(slopes) = &mut slopes else { continue };
        let of_logits = View::rows(&logits, vocab);
        if let Some(run) = run {
            product(&mut slopes.stream[run], true, of_logits, table, 1.0, Threads::All);
        } else {
            let found = product_of(of_logits, table);
            for (from, row) in found.chunks(width).zip(rows) {
                let to = &mut slopes.stream[row * width..(row + 1) * width];
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
        if let Some(embedding) = &mut slopes.embedding {
            product(embedding, true, of_logits.t(), inputs, 1.0, Threads::All);
        }
    }
    total
}

for_vectors! {
    /// A row's loss; its logits become their slopes.
    fn row_loss(logits: &mut [f32], target: u32, weight: f32, smoothing: f32) -> f64 = row_loss_body
}

#[inline(always)]
fn row_loss_body(logits: &mut [f32], target: u32, weight: f32, smoothing: f32) -> f64 {
    let (target, share) = (target as usize, smoothing / logits.len() as f32);
    let largest = largest(logits);
    let shifted = f64::from(logits[target] - largest);
    let mean = match smoothing {
        0.0 => 0.0,
        _ => f64::from(lanes(logits, |x| x - largest)) / logits.len() as f64,
    };
    logits.iter_mut().for_each(|x| *x = exp(*x - largest));
    let sum = logits.chunks(256).map(|chunk| f64::from(lanes(chunk, |x| x))).sum::<f64>();
    let scale = (f64::from(weight) / sum) as f32;
    logits.iter_mut().for_each(|x| *x = *x * scale - weight * share);
    logits[target] -= weight * (1.0 - smoothing);
    let smoothing = f64::from(smoothing);
    f64::from(weight) * (sum.ln() - (1.0 - smoothing) * shifted - smoothing * mean)
}
