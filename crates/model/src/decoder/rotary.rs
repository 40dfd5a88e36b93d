//! Rotary positions, and the ways they are stretched over longer contexts.
//!
//! Source: Su et al. 2021, equation 34, in the hub's half-split layout: channel i of a head turns against channel i + R/2,
//! where R channels of a head are turned.

use super::{DecoderError, Row, rows::each_row};
use candle_core::Tensor;
use std::{f64::consts::TAU, ops::Range};

/// How the angles are stretched. `original` is the context the model was first trained on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scaling {
    None,
    /// Source: Chen et al. 2023 (position interpolation).
    Linear {
        factor: f64,
    },
    /// A longer row turns by a larger base. Source: `dynamic` of the hub's `modeling_rope_utils`.
    Dynamic {
        factor: f64,
        original: usize,
    },
    /// Source: Peng et al. 2023 (YaRN), equations 17 to 23.
    Yarn {
        factor: f64,
        original: usize,
        fast: f64,
        slow: f64,
        is_whole: bool,
        attention: f64,
    },
    /// Source: Dubey et al. 2024 (Llama 3.1); the hub's `llama3`.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: usize,
    },
    /// A divisor for each pair; one set for rows within `original`, one for longer rows. Source: Ding et al. 2024.
    Long {
        short: Vec<f64>,
        long: Vec<f64>,
        original: usize,
        attention: f64,
    },
}

/// One table of angles.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rotary {
    /// R
    pub(crate) width: usize,
    pub(crate) theta: f64,
    pub(crate) scaling: Scaling,
}

impl Rotary {
    /// A number for the angles that a row of this length turns by; rows of one number can share a cache.
    fn variant(&self, length: usize) -> u64 {
        match &self.scaling {
            Scaling::Dynamic { original, .. } if length > *original => length as u64,
            Scaling::Long { original, .. } if length > *original => 1,
            _ => 0,
        }
    }

    /// By how much rows may be longer than the context of the configuration.
    pub(crate) const fn stretch(&self) -> f64 {
        match self.scaling {
            Scaling::Dynamic { factor, .. } => factor,
            _ => 1.0,
        }
    }

    /// Radians a position adds, for each of the R/2 pairs.
    fn frequencies(&self, variant: u64) -> Vec<f64> {
        let width = self.width as f64;
        let plain = |theta: f64| move |pair: usize| theta.powf(-2.0 * pair as f64 / width);
        let pairs = 0..self.width / 2;
        let base = plain(self.theta);
        match &self.scaling {
            Scaling::None => pairs.map(base).collect(),
            Scaling::Linear { factor } => pairs.map(|pair| base(pair) / factor).collect(),
            Scaling::Dynamic { .. } if variant == 0 => pairs.map(base).collect(),
            Scaling::Dynamic { factor, original } => {
                let stretch = factor * variant as f64 / *original as f64 - (factor - 1.0);
                pairs.map(plain(self.theta * stretch.powf(width / (width - 2.0)))).collect()
            }
            Scaling::Yarn { factor, original, fast, slow, is_whole, .. } => {
                let (low, high) = self.ramp(*original as f64, *fast, *slow, *is_whole);
                let share = |pair: usize| ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
                pairs.map(|pair| base(pair) / factor * share(pair) + base(pair) * (1.0 - share(pair))).collect()
            }
            Scaling::Llama3 { factor, low, high, original } => {
                let original = *original as f64;
                let stretched = |frequency: f64| {
                    let wavelength = TAU / frequency;
                    let share = ((original / wavelength - low) / (high - low)).clamp(0.0, 1.0);
                    (1.0 - share) * frequency / factor + share * frequency
                };
                pairs.map(|pair| stretched(base(pair))).collect()
            }
            Scaling::Long { short, long, .. } => {
                let divisors = if variant == 0 { short } else { long };
                pairs.zip(divisors).map(|(pair, divisor)| base(pair) / divisor).collect()
            }
        }
    }

    /// The pairs between which YaRN goes over from turning as trained to turning slower.
    fn ramp(&self, original: f64, fast: f64, slow: f64, is_whole: bool) -> (f64, f64) {
        let width = self.width as f64;
        let pair = |turns: f64| width * (original / (turns * TAU)).ln() / (2.0 * self.theta.ln());
        let (low, high) = (pair(fast), pair(slow));
        let (low, high) = if is_whole { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, high) = (low.max(0.0), high.min(width - 1.0));
        if low == high { (low, high + 0.001) } else { (low, high) }
    }

    /// What cosines and sines are multiplied by.
    const fn attention(&self) -> f64 {
        match self.scaling {
            Scaling::Yarn { attention, .. } | Scaling::Long { attention, .. } => attention,
            _ => 1.0,
        }
    }
}

/// Cosine and sine of each token's angles: (N, R/2) each.
pub(super) struct Turn {
    width: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

/// The turns of a call, one for each table.
pub(super) struct Turns(Vec<Turn>);

impl Turns {
    /// Marks the caches with the variants they are turned by.
    pub(super) fn of(
        tables: &[Rotary],
        rows: &mut [Row],
        spans: &[Range<usize>],
        positions: &[usize],
    ) -> Result<Self, DecoderError> {
        let mut variants = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter_mut().enumerate() {
            let length = row.n_before() + row.tokens.len();
            let row_variants: Vec<u64> = tables.iter().map(|table| table.variant(length)).collect();
            if let Some(cache) = &mut row.cache {
                if !cache.is_empty() && cache.turned.as_ref() != Some(&row_variants) {
                    return Err(DecoderError::Turned { row: at });
                }
                cache.turned = Some(row_variants.clone());
            }
            variants.push(row_variants);
        }
        let turn = |(at, table): (usize, &Rotary)| {
            let half = table.width / 2;
            let mut turn = Turn {
                width: table.width,
                cosines: vec![0.0; positions.len() * half],
                sines: vec![0.0; positions.len() * half],
            };
            for (span, variants) in spans.iter().zip(&variants) {
                let frequencies = table.frequencies(variants[at]);
                for token in span.clone() {
                    for (pair, frequency) in frequencies.iter().enumerate() {
                        let (sine, cosine) = (positions[token] as f64 * frequency).sin_cos();
                        turn.cosines[token * half + pair] = (cosine * table.attention()) as f32;
                        turn.sines[token * half + pair] = (sine * table.attention()) as f32;
                    }
                }
            }
            turn
        };
        Ok(Self(tables.iter().enumerate().map(turn).collect()))
    }

    pub(super) fn get(&self, table: usize) -> &Turn {
        &self.0[table]
    }
}

impl Turn {
    /// Turns the first R channels of each head of each token, in place. Shapes: (N, heads · D).
    pub(super) fn apply(&self, heads: &Tensor, head_width: usize) -> candle_core::Result<()> {
        let half = self.width / 2;
        each_row(heads, heads.dim(1)?, |token, row| {
            let angles = token * half..token * half + half;
            let (cosines, sines) = (&self.cosines[angles.clone()], &self.sines[angles]);
            for head in row.chunks_exact_mut(head_width) {
                let (first, second) = head[..self.width].split_at_mut(half);
                let pairs = first.iter_mut().zip(second).zip(cosines.iter().zip(sines));
                for ((x, y), (cosine, sine)) in pairs {
                    (*x, *y) = (*x * cosine - *y * sine, *y * cosine + *x * sine);
                }
            }
        })
    }
}
