//! Dropout of what a layer's halves add to the stream.
//!
//! Source: Srivastava et al. 2014, with what stays multiplied by 1 / (1 − p); where it stands: Vaswani et al. 2017, section 5.4.

use evidence::Digest;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use rayon::prelude::*;

/// Which entries fall out is a function of these and of the place alone, whatever the number of threads, sittings or passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// p: 0 to below 1.
    pub rate: f64,
    pub seed: u64,
    /// Of the run, from 1.
    pub step: u64,
    /// Windows' rows of this step that were gone through before these.
    pub first_row: u64,
}

/// In place, at the `site`-th of the places of a model.
pub(super) fn apply(dropout: Option<Dropout>, site: usize, rows: &mut [f32], width: usize) {
    let Some(dropout) = dropout else { return };
    let key = Digest::of(format!("assize/train/dropout/{}/{}/{site}", dropout.seed, dropout.step).as_bytes());
    // An entry stays when its 16 bits are at or above p in 65536ths.
    let threshold = (dropout.rate * 65_536.0).round() as u64;
    let keep = (65_536.0 / (65_536.0 - threshold as f64)) as f32;
    rows.par_chunks_mut(width).enumerate().with_min_len(32).for_each(|(row, entries)| {
        let mut generator = ChaCha20Rng::from_seed(*key.as_bytes());
        generator.set_stream(dropout.first_row + row as u64);
        for four in entries.chunks_mut(4) {
            let mut bits = generator.next_u64();
            for entry in four {
                *entry *= if bits & 0xffff >= threshold { keep } else { 0.0 };
                bits >>= 16;
            }
        }
    });
}

/// A copy of slopes with the same entries dropped; nothing without dropout.
pub(super) fn dropped(dropout: Option<Dropout>, site: usize, slopes: &[f32], width: usize) -> Option<Vec<f32>> {
    dropout?;
    let mut copy = slopes.to_vec();
    apply(dropout, site, &mut copy, width);
    Some(copy)
}
