//! Norms over the last dimension.

use super::{
    rows::{each_row, filled, lanes, piece_rows, with_slice},
    vectors::for_vectors,
};
use candle_core::{Device, Tensor};

/// A norm with its weights, over rows as wide as these are.
pub(crate) enum Norm {
    /// x / √(mean(x²) + ε) · gain. Source: Zhang and Sennrich 2019.
    Rms { gain: Vec<f32>, eps: f32 },
    /// (x − mean) / √(variance + ε) · gain + bias. Source: Ba et al. 2016.
    Layer { gain: Vec<f32>, bias: Vec<f32>, eps: f32 },
}

impl Norm {
    pub(crate) fn n_parameters(&self) -> usize {
        match self {
            Self::Rms { gain, .. } => gain.len(),
            Self::Layer { gain, bias, .. } => gain.len() + bias.len(),
        }
    }

    /// A tensor of its own.
    pub(super) fn apply(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        let width = self.width();
        let size = piece_rows(width) * width;
        let normed = with_slice(rows, |rows| {
            filled(rows.len(), size, |at, out| {
                out.copy_from_slice(&rows[at * size..][..out.len()]);
                out.chunks_exact_mut(width).for_each(|row| self.apply_to(row));
            })
        })?;
        Tensor::from_vec(normed, rows.dims(), &Device::Cpu)
    }

    pub(super) const fn width(&self) -> usize {
        let (Self::Rms { gain, .. } | Self::Layer { gain, .. }) = self;
        gain.len()
    }

    pub(super) fn apply_to(&self, row: &mut [f32]) {
        match self {
            Self::Rms { gain, eps } => rms(row, gain, *eps),
            Self::Layer { gain, bias, eps } => layer(row, gain, bias, *eps),
        }
    }

    pub(super) fn apply_in_place(&self, rows: &Tensor) -> candle_core::Result<()> {
        each_row(rows, self.width(), |_, row| self.apply_to(row))
    }
}

for_vectors! {
    fn rms(row: &mut [f32], gain: &[f32], eps: f32) = rms_of
}

for_vectors! {
    fn layer(row: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) = layer_of
}

#[inline(always)]
fn rms_of(row: &mut [f32], gain: &[f32], eps: f32) {
    let scale = (lanes(row, |x| x * x) / row.len() as f32 + eps).sqrt().recip();
    row.iter_mut().zip(gain).for_each(|(x, gain)| *x = *x * scale * gain);
}

#[inline(always)]
fn layer_of(row: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
    let n = row.len() as f32;
    let mean = lanes(row, |x| x) / n;
    let variance = lanes(row, |x| (x - mean) * (x - mean)) / n;
    let scale = (variance + eps).sqrt().recip();
    let weights = gain.iter().zip(bias);
    row.iter_mut().zip(weights).for_each(|(x, (gain, bias))| *x = (*x - mean) * scale * gain + bias);
}
