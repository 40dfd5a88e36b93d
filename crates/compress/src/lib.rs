//! Pruning and quantisation of a model's weights.
//!
//! In: what to do and the tensors by their hub names. Out: new tensors of the same names and shapes, and findings that
//! become evidence. Each operation has the same three parts: a `Config`, a function, its `Findings`.
//!
//! ```
//! use compress::{prune, quantize};
//! use model::Llama;
//!
//! let config = model::Config {
//!     vocab: 64, layers: 1, width: 32, heads: 4, kv_heads: 2, hidden: 64, context: 8, rope_theta: 1e4, norm_eps: 1e-5,
//! };
//! let weights = Llama::init(&config, 7)?.tensors();
//! let half = prune::Config { sparsity: 0.5, scope: prune::Scope::Global };
//! let (pruned, findings) = prune::prune(&half, &weights)?;
//! assert_eq!(2 * findings.n_zero, findings.n_prunable);
//! let (_, findings) = quantize::quantize(&quantize::Config { format: quantize::Format::Q8_0 }, &pruned)?;
//! assert!(findings.bytes_after * 3 < findings.bytes_before);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It does not evaluate what it has changed, and knows no policy.

pub mod calibrate;
pub mod factor;
pub mod formats;
pub mod gptq;
pub mod layerwise;
pub mod learn;
pub mod low_rank;
pub mod matrix;
pub mod merge;
pub mod obs;
pub mod prune;
pub mod quantize;
pub mod structured;

use candle_core::Tensor;
use std::collections::BTreeMap;

/// Weights by their hub names.
pub type Tensors = BTreeMap<String, Tensor>;

/// Whether pruning touches a tensor: the projections of attention and feed-forward, not embedding or norms.
#[must_use]
pub fn is_prunable(name: &str, shape: &[usize]) -> bool {
    shape.len() == 2 && (name.contains(".self_attn.") || name.contains(".mlp."))
}
