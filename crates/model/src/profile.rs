//! What a decoder is made of, and how much of it does something.
//!
//! Counts are exact. Ranks are of the stored matrices, not of what a task needs.

mod spectrum;

pub use spectrum::{Spectrum, SpectrumError, spectrum};

use crate::{
    Decoder,
    decoder::{Layer, Linear, Mlp, Norm, Panels},
};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

/// Numbers of a model, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parameters {
    /// The embedding; the head as well where the two are tied.
    pub embedding: u64,
    /// Learned positions.
    pub positions: u64,
    pub attention: u64,
    /// Feed-forward parts, routers and all experts included.
    pub mlp: u64,
    pub norms: u64,
    /// A head of its own.
    pub head: u64,
    /// Those of experts that a token does not pass.
    pub idle: u64,
}

impl Parameters {
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.embedding + self.positions + self.attention + self.mlp + self.norms + self.head
    }

    /// Those that one token passes.
    #[must_use]
    pub const fn active(&self) -> u64 {
        self.total() - self.idle
    }
}

/// One layer's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_width: usize,
    pub window: Option<usize>,
    /// Matrices of the feed-forward part: 3 with a gate, else 2.
    pub matrices: usize,
    /// Width of the feed-forward part, or of one expert.
    pub hidden: usize,
    /// Experts, and how many of them a token passes; `None` without experts.
    pub experts: Option<(usize, usize)>,
}

/// One matrix of the model.
#[derive(Clone)]
pub struct Matrix<'a> {
    /// `layer.PART` or the name of a part outside the layers.
    pub name: String,
    numbers: Numbers<'a>,
}

#[derive(Clone, Copy)]
enum Numbers<'a> {
    Panels(&'a Panels),
    Tensor(&'a Tensor),
}

impl std::fmt::Debug for Matrix<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matrix").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Matrix<'_> {
    /// Its numbers, (out, in) in f32; made from codes where the file has codes.
    ///
    /// # Errors
    /// A tensor operation that failed.
    pub fn tensor(&self) -> candle_core::Result<Tensor> {
        match self.numbers {
            Numbers::Tensor(tensor) => Ok(tensor.clone()),
            Numbers::Panels(panels) => {
                Tensor::from_vec(panels.numbers(), (panels.outputs(), panels.depth()), &Device::Cpu)
            }
        }
    }
}

/// What numbers are stored in, by bytes a number. Source for the blocks: ggml, `block_q8_0` and `block_q4_0`.
pub const PRECISIONS: [(&str, f64); 4] = [("f32", 4.0), ("bf16", 2.0), ("q8_0", 34.0 / 32.0), ("q4_0", 18.0 / 32.0)];

impl Decoder {
    /// C: channels of the residual stream.
    #[must_use]
    pub fn width(&self) -> usize {
        self.embedding.depth()
    }

    /// Whether head and embedding are one matrix.
    #[must_use]
    pub const fn is_tied(&self) -> bool {
        self.is_tied
    }

    /// Every number of the model, counted once.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        let linear = |linear: &Linear| linear.n_parameters() as u64;
        let norms = |norms: &(Option<Norm>, Option<Norm>)| {
            [&norms.0, &norms.1].into_iter().flatten().map(|norm| norm.n_parameters() as u64).sum::<u64>()
        };
        let mut all = Parameters {
            embedding: (self.embedding.outputs() * self.embedding.depth()) as u64,
            positions: self.positions.as_ref().map_or(0, |positions| positions.elem_count() as u64),
            norms: self.norm.n_parameters() as u64,
            head: if self.is_tied { 0 } else { linear(&self.head) },
            ..Parameters::default()
        };
        for Layer { attention, attention_norms, mlp, mlp_norms, .. } in &self.layers {
            all.attention += [&attention.query, &attention.key, &attention.value, &attention.output]
                .into_iter()
                .map(linear)
                .sum::<u64>();
            all.norms += norms(attention_norms) + norms(mlp_norms);
            if let Some((query, key)) = &attention.head_norms {
                all.norms += (query.norm().n_parameters() + key.norm().n_parameters()) as u64;
            }
            all.mlp += match mlp {
                Mlp::Gated { gate, up, down, .. } => linear(gate) + linear(up) + linear(down),
                Mlp::Plain { up, down, .. } => linear(up) + linear(down),
                Mlp::Experts(experts) => {
                    let each: Vec<u64> =
                        experts.experts.iter().map(|parts| parts.iter().map(linear).sum::<u64>()).collect();
                    // Experts of a layer are of one size.
                    let idle = each.len().saturating_sub(experts.n_active) as u64;
                    all.idle += each.first().map_or(0, |one| one * idle);
                    linear(&experts.router) + each.iter().sum::<u64>()
                }
            };
        }
        all
    }

    /// Shapes of the layers, first to last.
    #[must_use]
    pub fn layer_shapes(&self) -> Vec<LayerShape> {
        let shape = |Layer { attention, mlp, .. }: &Layer| {
            let (matrices, hidden, experts) = match mlp {
                Mlp::Gated { up, .. } => (3, up.outputs(), None),
                Mlp::Plain { up, .. } => (2, up.outputs(), None),
                Mlp::Experts(experts) => {
                    let hidden = experts.experts.first().map_or(0, |[gate, ..]| gate.outputs());
                    (3, hidden, Some((experts.experts.len(), experts.n_active)))
                }
            };
            LayerShape {
                heads: attention.heads,
                kv_heads: attention.kv_heads,
                head_width: attention.head_width,
                window: attention.window,
                matrices,
                hidden,
                experts,
            }
        };
        self.layers.iter().map(shape).collect()
    }

    /// Keys and values that one position adds to the cache, over all layers; those behind a window are dropped again.
    #[must_use]
    pub fn cache_numbers_per_token(&self) -> usize {
        self.layers.iter().map(|layer| 2 * layer.attention.kv_width()).sum()
    }

    /// Keys and values of a sequence of `positions` whose layers with windows keep no more than they see.
    #[must_use]
    pub fn cache_numbers(&self, positions: usize) -> usize {
        let layer =
            |layer: &Layer| 2 * layer.attention.kv_width() * layer.attention.window.unwrap_or(positions).min(positions);
        self.layers.iter().map(layer).sum()
    }

    /// Every matrix, embedding first, then layer by layer.
    #[must_use]
    pub fn matrices(&self) -> Vec<Matrix<'_>> {
        fn of(name: String, panels: &Panels) -> Matrix<'_> {
            Matrix { name, numbers: Numbers::Panels(panels) }
        }
        let mut all = vec![of("embedding".to_owned(), &self.embedding)];
        let positions = self.positions.iter();
        all.extend(positions.map(|tensor| Matrix { name: "positions".to_owned(), numbers: Numbers::Tensor(tensor) }));
        for (at, Layer { attention, mlp, .. }) in self.layers.iter().enumerate() {
            let attention = [
                ("query", &attention.query),
                ("key", &attention.key),
                ("value", &attention.value),
                ("output", &attention.output),
            ];
            all.extend(attention.map(|(part, linear)| of(format!("{at}.attention.{part}"), &linear.weight)));
            let parts: Vec<(String, &Linear)> = match mlp {
                Mlp::Gated { gate, up, down, .. } => {
                    [("gate", gate), ("up", up), ("down", down)].map(|(part, linear)| (part.to_owned(), linear)).into()
                }
                Mlp::Plain { up, down, .. } => {
                    [("up", up), ("down", down)].map(|(part, linear)| (part.to_owned(), linear)).into()
                }
                Mlp::Experts(experts) => {
                    let each = experts.experts.iter().enumerate().flat_map(|(expert, [gate, up, down])| {
                        [("gate", gate), ("up", up), ("down", down)]
                            .map(|(part, linear)| (format!("expert.{expert}.{part}"), linear))
                    });
                    std::iter::once(("router".to_owned(), &experts.router)).chain(each).collect()
                }
            };
            all.extend(parts.into_iter().map(|(part, linear)| of(format!("{at}.mlp.{part}"), &linear.weight)));
        }
        if !self.is_tied {
            all.push(of("head".to_owned(), &self.head.weight));
        }
        all
    }
}

/// Numbers of a matrix that are exactly 0.
///
/// # Errors
/// A tensor operation that failed.
pub fn n_zeros(tensor: &Tensor) -> candle_core::Result<u64> {
    let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(numbers.par_iter().filter(|number| **number == 0.0).count() as u64)
}

/// One matrix's zeros and directions.
#[derive(Debug, Clone)]
pub struct Ranked {
    pub name: String,
    pub shape: Vec<usize>,
    pub n_zeros: u64,
    /// `None` where it was not asked for.
    pub spectrum: Option<Spectrum>,
}

/// What is asked of `ranks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Zeros alone.
    Zeros,
    /// Stable rank and participation as well.
    Ranks,
    /// The entropy of all singular values as well.
    Full,
}

/// Zeros and directions of every matrix, in the order of `Decoder::matrices`; `done` is told after each.
///
/// # Errors
/// The first `SpectrumError`.
pub fn ranks(decoder: &Decoder, depth: Depth, done: &(dyn Fn() + Sync)) -> Result<Vec<Ranked>, SpectrumError> {
    let one = |matrix: &Matrix<'_>| {
        let tensor = matrix.tensor()?;
        let spectrum = match depth {
            Depth::Zeros => None,
            Depth::Ranks | Depth::Full => Some(spectrum(&tensor, depth == Depth::Full)?),
        };
        let n_zeros = n_zeros(&tensor)?;
        done();
        Ok(Ranked { name: matrix.name.clone(), shape: tensor.dims().to_vec(), n_zeros, spectrum })
    };
    decoder.matrices().par_iter().map(one).collect()
}
