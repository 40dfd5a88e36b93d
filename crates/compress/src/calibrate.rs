//! What a model sees: calibration rows, and a walk through its layers that stops at each.

use crate::{
    Tensors,
    matrix::{Gram, Matrix},
};
use candle_core::Tensor;
use evidence::Control;
use model::{Decoder, DecoderError, HubConfig, ModelParts, OpenError, Row, Site, site};
use std::collections::BTreeMap;

/// How a text becomes calibration rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Rows; 128 in the papers.
    pub rows: usize,
    /// Positions of a row; 2,048 in the papers.
    pub positions: usize,
}

/// Too little text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected {} tokens for {rows} rows of {positions}, found {found}; give more text, or ask for fewer or shorter rows",
    .rows * .positions
)]
pub struct TooSmall {
    pub rows: usize,
    pub positions: usize,
    pub found: usize,
}

/// Rows cut out of a text at equal distances, none overlapping another. Deterministic.
///
/// # Errors
/// `TooSmall` with both counts.
pub fn rows(tokens: &[u32], config: &Config) -> Result<Vec<Vec<u32>>, TooSmall> {
    let (n, positions) = (config.rows.max(1), config.positions.max(1));
    if tokens.len() < n.saturating_mul(positions) {
        return Err(TooSmall { rows: n, positions, found: tokens.len() });
    }
    let stride = tokens.len() / n;
    Ok((0..n).map(|at| tokens[at * stride..][..positions].to_vec()).collect())
}

/// One layer, with what went into each of its matrices when the layers before it were already changed.
#[derive(Debug)]
pub struct LayerView {
    pub at: usize,
    pub grams: BTreeMap<Site, Gram>,
    /// By hub name, with where it reads.
    pub matrices: Vec<(Matrix, Site)>,
    /// Mean over tokens of 1 − cos(stream before, stream behind the layer as it was): block influence.
    pub influence: f64,
}

impl LayerView {
    /// The matrix whose hub name ends so.
    pub fn matrix_mut(&mut self, part: &str) -> Option<&mut Matrix> {
        self.matrices.iter_mut().find(|(matrix, _)| matrix.name.ends_with(part)).map(|(matrix, _)| matrix)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    #[error("expected calibration rows, found none")]
    NoRows,
    #[error("stopped: {0}")]
    Stopped(String),
    #[error("the model cannot be built")]
    Open(#[from] Box<OpenError>),
    #[error("the model could not compute")]
    Decoder(#[from] DecoderError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Tells how far a walk is, before each layer.
pub type Observe<'a> = dyn FnMut(usize, usize) -> Control + 'a;

/// Runs `rows` through the model layer by layer. At each layer `change` may rewrite its matrices; the layers behind see what
/// came of it. Gives the changed tensors.
///
/// The sequence of the authors' programs of SparseGPT, Wanda and GPTQ: inputs are gathered through the layer as it was, then
/// the layer is changed, then the rows pass it again. Deterministic.
///
/// # Errors
/// `WalkError`, and those of `change`.
pub fn walk<E: From<WalkError>>(
    parts: &ModelParts,
    rows: &[Vec<u32>],
    observe: &mut Observe<'_>,
    change: &mut dyn FnMut(&mut LayerView) -> Result<(), E>,
) -> Result<Tensors, E> {
    let mut tensors = parts.tensors.clone();
    if rows.is_empty() {
        return Err(WalkError::NoRows.into());
    }
    let mut decoder = build(parts, &parts.config, &tensors)?;
    let mut streams = rows
        .iter()
        .map(|tokens| decoder.embedded(&[Row::alone(tokens)]).map_err(WalkError::from))
        .collect::<Result<Vec<Tensor>, _>>()?;
    let n_layers = decoder.layers();
    for at in 0..n_layers {
        if let Control::Stop(reason) = observe(at, n_layers) {
            return Err(WalkError::Stopped(reason).into());
        }
        let (grams, influence) = seen(&decoder, at, rows, &streams)?;
        let matrices = matrices_of(&tensors, at).map_err(WalkError::from)?;
        let mut view = LayerView { at, grams, matrices, influence };
        change(&mut view)?;
        for (matrix, _) in &view.matrices {
            tensors.insert(matrix.name.clone(), matrix.tensor().map_err(WalkError::from)?);
        }
        decoder = build(parts, &parts.config, &tensors)?;
        for (tokens, stream) in rows.iter().zip(&mut streams) {
            let next = decoder.layer(at, stream, &mut [Row::alone(tokens)], &mut |_, _| Ok(()));
            *stream = next.map_err(WalkError::from)?;
        }
    }
    Ok(tensors)
}

fn build(parts: &ModelParts, config: &HubConfig, tensors: &Tensors) -> Result<Decoder, WalkError> {
    parts.decoder_of(config, tensors).map_err(|error| WalkError::Open(Box::new(error)))
}

/// The Gram matrices of a layer's sites, and its block influence.
fn seen(
    decoder: &Decoder,
    at: usize,
    rows: &[Vec<u32>],
    streams: &[Tensor],
) -> Result<(BTreeMap<Site, Gram>, f64), WalkError> {
    let mut grams: BTreeMap<Site, Gram> = BTreeMap::new();
    let (mut influence, mut n) = (0.0, 0_usize);
    for (tokens, stream) in rows.iter().zip(streams) {
        let behind = decoder.layer(at, stream, &mut [Row::alone(tokens)], &mut |site, input| {
            grams.entry(site).or_insert_with(|| Gram::new(input.dims()[1])).add(input)
        })?;
        let (before, behind) = (stream.to_vec2::<f32>()?, behind.to_vec2::<f32>()?);
        influence += before.iter().zip(&behind).map(|(before, behind)| 1.0 - cosine(before, behind)).sum::<f64>();
        n += tokens.len();
    }
    Ok((grams, influence / n as f64))
}

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let norms = (dot(left, left) * dot(right, right)).sqrt();
    if norms > 0.0 { dot(left, right) / norms } else { 1.0 }
}

/// The matrices of a layer that read at a site, in the order of their names.
fn matrices_of(tensors: &Tensors, layer: usize) -> candle_core::Result<Vec<(Matrix, Site)>> {
    let of_layer = tensors.iter().filter_map(|(name, tensor)| {
        let (at, site, is_turned) = site(name)?;
        (at == layer && tensor.rank() == 2).then_some((name, site, is_turned))
    });
    of_layer.map(|(name, site, is_turned)| Ok((Matrix::of(tensors, name, is_turned)?, site))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_equal_distances() {
        let tokens: Vec<u32> = (0..100).collect();
        let found = rows(&tokens, &Config { rows: 3, positions: 4 }).unwrap();
        assert_eq!(found, [[0, 1, 2, 3], [33, 34, 35, 36], [66, 67, 68, 69]]);
        let error = rows(&tokens, &Config { rows: 26, positions: 4 }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected 104 tokens for 26 rows of 4, found 100; give more text, or ask for fewer or shorter rows"
        );
    }
}
