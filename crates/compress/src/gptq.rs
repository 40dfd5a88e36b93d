//! Four bits a weight by GPTQ: the grid of a group is fixed, and each rounding error is made up for by the columns behind.
//!
//! What comes out is a matrix in ggml's Q4_1, so that any program that reads GGUF computes it.

use crate::{
    factor::NotDefinite,
    matrix::{Gram, Matrix},
    obs::{BLOCK, Columns, Factor, sweep},
};
use model::gguf::half;

/// Weights in a block of Q4_1.
const BLOCK_Q4_1: usize = 32;
const STEPS: f64 = 15.0;

/// How weights are grouped and the Gram matrix damped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Weights that share scale and least value: a multiple of 32 up to 128. GPTQ's usual 128; 32 costs no more here, for
    /// Q4_1 keeps both for every 32 in any case.
    pub group: usize,
    /// λ as a share of the mean of the diagonal; 0.01 in the authors' program.
    pub damping: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { group: 32, damping: crate::obs::DAMPING }
    }
}

/// A matrix in steps: ŵ = scale · step + least.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    pub group: usize,
    /// 0 to 15, (O, I).
    pub steps: Vec<u8>,
    /// Scale and least value of each group, (O, I / group), exactly representable in f16.
    pub grids: Vec<(f32, f32)>,
}

impl Quantized {
    /// The blocks of ggml's Q4_1: scale and least value in f16, then 16 bytes with steps i and i + 16 in their halves.
    ///
    /// SPEC: ggml, `block_q4_1`.
    #[must_use]
    pub fn blocks(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.steps.len() / BLOCK_Q4_1 * 20);
        for (at, steps) in self.steps.chunks_exact(BLOCK_Q4_1).enumerate() {
            let (scale, least) = self.grids[at * BLOCK_Q4_1 / self.group];
            bytes.extend(half::bits(scale).to_le_bytes());
            bytes.extend(half::bits(least).to_le_bytes());
            bytes.extend((0..BLOCK_Q4_1 / 2).map(|at| steps[at] | steps[at + BLOCK_Q4_1 / 2] << 4));
        }
        bytes
    }
}

/// Why a matrix cannot be quantised so.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GptqError {
    #[error("expected groups of 32, 64 or 128 weights, found {0}")]
    Group(usize),
    #[error("expected `{name}` to have inputs in a multiple of {group}, found {inputs}; choose a smaller group")]
    Width { name: String, inputs: usize, group: usize },
    #[error("`{name}` cannot be made up for")]
    Factor { name: String, source: NotDefinite },
}

/// Rounds a matrix to four bits; its weights become those that the blocks hold.
///
/// The grid of a group is set when the sweep reaches it, over the weights as they stand then and with 0 inside, and rounded to
/// f16 as stored. Deterministic. Source: Frantar et al. 2023, algorithm 1, without reordering of the columns.
///
/// # Errors
/// `Group`, `Width`, `Factor`.
pub fn quantize(config: &Config, matrix: &mut Matrix, gram: &Gram) -> Result<Quantized, GptqError> {
    if ![32, 64, 128].contains(&config.group) {
        return Err(GptqError::Group(config.group));
    }
    let (name, inputs, group) = (matrix.name.clone(), matrix.inputs, config.group);
    if !inputs.is_multiple_of(group) {
        return Err(GptqError::Width { name, inputs, group });
    }
    let factor = Factor::new(gram, config.damping).map_err(|source| GptqError::Factor { name, source })?;
    let mut grid = Grid { group, grids: vec![Vec::with_capacity(inputs / group); matrix.outputs] };
    sweep(matrix, &factor, BLOCK, &mut grid);
    let grids: Vec<(f32, f32)> = grid.grids.concat();
    let steps = matrix.weights.chunks_exact_mut(group).zip(&grids).flat_map(|(weights, &(scale, least))| {
        weights.iter_mut().map(move |weight| {
            let step = step_of(f64::from(*weight), scale, least);
            *weight = f32::from(step) * scale + least;
            step
        })
    });
    let steps = steps.collect();
    Ok(Quantized { group, steps, grids })
}

/// The nearest step of a grid.
fn step_of(weight: f64, scale: f32, least: f32) -> u8 {
    if scale == 0.0 {
        return 0;
    }
    ((weight - f64::from(least)) / f64::from(scale)).round_ties_even().clamp(0.0, STEPS) as u8
}

/// Scale and least value for these weights, in f16.
fn grid_of(weights: &[f64]) -> (f32, f32) {
    let (least, most) = weights.iter().fold((0.0_f64, 0.0_f64), |(least, most), w| (least.min(*w), most.max(*w)));
    let scale = half::round(((most - least) / STEPS) as f32);
    if scale == 0.0 {
        return (0.0, 0.0);
    }
    // 0 is a step of its own, as in the authors' program.
    let zero = (-least / f64::from(scale)).round_ties_even().clamp(0.0, STEPS);
    (scale, half::round(-(f64::from(scale) * zero) as f32))
}

/// The grids of each row, as the sweep comes to them.
struct Grid {
    group: usize,
    grids: Vec<Vec<(f32, f32)>>,
}

impl Columns for Grid {
    type Row = Vec<(f32, f32)>;

    fn block(&mut self, rows: &[Vec<f64>], _: usize, _: usize, _: &Factor) -> Vec<Self::Row> {
        vec![Vec::new(); rows.len()]
    }

    fn value(&self, held: &mut Self::Row, row: &[f64], at: usize, start: usize, _: usize, _: &Factor) -> f64 {
        if (at - start).is_multiple_of(self.group) {
            held.push(grid_of(&row[at..at + self.group]));
        }
        let (scale, least) = held[(at - start) / self.group];
        f64::from(f32::from(step_of(row[at], scale, least)) * scale + least)
    }

    fn done(&mut self, held: Vec<Self::Row>) {
        self.grids.iter_mut().zip(held).for_each(|(grids, of_block)| grids.extend(of_block));
    }
}
