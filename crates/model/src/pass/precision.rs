//! What the numbers of a pass are rounded to.
//!
//! In bf16 a pass sees weights and activations with 8 bits of exponent and 7 of fraction, each rounded to nearest, ties to even, where
//! `docs/decisions/0037-bf16-with-f32-masters.md` says. Products and sums between them are in f32, and so are slopes and gradients:
//! rounding has the slope 1. What is kept for the way back takes two bytes. A weight is rounded as it is read, a matrix at a time:
//! the rounded copy of all of them never stands in memory.
//!
//! Source: Micikevicius et al. 2018, "Mixed precision training", section 3.1, for the master weights; Kalamkar et al. 2019, "A study of
//! bfloat16 for deep learning training".

use super::linear::with_slice;
use candle_core::Tensor;
use rayon::prelude::*;

const PIECE: usize = 1 << 14;

/// In what weights and activations are seen; masters are f32 either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    #[default]
    F32,
    Bf16,
}

impl Precision {
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// As a case and a record write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }

    /// In place.
    pub(super) fn round(self, numbers: &mut [f32]) {
        if self == Self::Bf16 {
            numbers.par_chunks_mut(PIECE).for_each(|piece| piece.iter_mut().for_each(|x| *x = widened(narrowed(*x))));
        }
    }

    /// The numbers of a weight as a pass sees them.
    pub(super) fn with_weight<T>(self, weight: &Tensor, read: impl FnOnce(&[f32]) -> T) -> candle_core::Result<T> {
        if self == Self::F32 {
            return with_slice(weight, read);
        }
        let mut rounded = with_slice(weight, <[f32]>::to_vec)?;
        self.round(&mut rounded);
        Ok(read(&rounded))
    }

    /// Rows that were rounded already, as they are kept.
    pub(super) fn keep(self, rows: Vec<f32>) -> Rows {
        match self {
            Self::F32 => Rows::F32(rows),
            Self::Bf16 => {
                let mut narrow = vec![0; rows.len()];
                let pieces = narrow.par_chunks_mut(PIECE).zip(rows.par_chunks(PIECE));
                pieces.for_each(|(to, from)| to.iter_mut().zip(from).for_each(|(to, from)| *to = narrowed(*from)));
                Rows::Bf16(narrow)
            }
        }
    }
}

/// What is kept of a pass for the way back.
pub(super) enum Rows {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
}

impl Rows {
    pub(super) fn taken(self) -> Vec<f32> {
        match self {
            Self::F32(rows) => rows,
            Self::Bf16(narrow) => {
                let mut rows = vec![0.0; narrow.len()];
                let pieces = rows.par_chunks_mut(PIECE).zip(narrow.par_chunks(PIECE));
                pieces.for_each(|(to, from)| to.iter_mut().zip(from).for_each(|(to, from)| *to = widened(*from)));
                rows
            }
        }
    }
}

/// The upper half of a number's bits, rounded to nearest, ties to even; a NaN stays one.
const fn narrowed(x: f32) -> u16 {
    let bits = x.to_bits();
    let quiet = (bits >> 16) as u16 | 0x40;
    let nearest = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
    if x.is_nan() { quiet } else { nearest }
}

const fn widened(x: u16) -> f32 {
    f32::from_bits((x as u32) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: between 1 and 2 neighbours are 2⁻⁷ apart; half-way cases go to the even one.
    #[test]
    fn numbers_go_to_the_nearest_and_ties_to_the_even_one() {
        let step = 2.0_f32.powi(-7);
        for (x, expected) in [
            (1.0, 1.0),
            (1.0 + 0.5 * step, 1.0),
            (1.0 + 0.5 * step + f32::EPSILON, 1.0 + step),
            (1.0 + 1.5 * step, 1.0 + 2.0 * step),
            (-1.0 - 1.5 * step, -1.0 - 2.0 * step),
            (2.0 - f32::EPSILON, 2.0),
            (0.0, 0.0),
            (f32::INFINITY, f32::INFINITY),
            (f32::MAX, f32::INFINITY),
        ] {
            assert_eq!(widened(narrowed(x)), expected, "{x}");
        }
        assert!(widened(narrowed(f32::NAN)).is_nan());
        assert!(widened(narrowed(f32::from_bits(0x7f80_0001))).is_nan());
    }

    #[test]
    fn what_is_kept_is_what_was_seen() {
        let mut seen: Vec<f32> = (0..100_000).map(|at| (at as f32 * 0.37).sin()).collect();
        Precision::Bf16.round(&mut seen);
        assert_eq!(Precision::Bf16.keep(seen.clone()).taken(), seen);
        assert_eq!(Precision::F32.keep(seen.clone()).taken(), seen);
    }
}
