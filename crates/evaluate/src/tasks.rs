//! Tasks of lm-evaluation-harness, read as they are and scored as it scores them.
//!
//! In: task files, rows, a model behind [`scoring::Decoder`] and [`tokens::Tokenizer`]. Out: figures with the harness's
//! standard errors and with intervals, and the scores of every request. No Python is run: functions that task files name
//! have native counterparts ([`functions`]) or are refused by name.

mod bbq;
pub mod bias;
pub mod catalog;
pub mod chat;
pub mod compare;
pub mod confidence;
pub mod data;
pub mod filters;
pub mod functions;
pub mod literal;
pub mod metrics;
mod own;
pub mod pattern;
pub mod prefix_tree;
pub mod prompts;
pub mod random;
pub mod recall;
pub mod robust;
pub mod run;
pub mod scoring;
mod shipped;
pub mod split;
pub mod task;
pub mod template;
pub mod tokens;
pub mod value;
mod winobias;
mod yaml;

pub use catalog::{Catalog, CatalogError, Group, Selection};
pub use own::{FileTokens, Reread};
pub use run::{Config, Prepared, Report, RunError, Sample, group_figures, has_slices, prepare, run};
pub use yaml::YamlError;

/// The convention of a task's figures, for `Measurement::convention`.
pub const CONVENTION: &str = "lm-evaluation-harness 0.4.13: target delimiter as the task says, white space at the end of a context \
     moved to its continuation, border by token count, special tokens as the tokenizer adds them, truncation on the left; \
     acc_norm per character, acc_bytes per byte, acc_tokens per token; log-softmax and sums in f64 from f32 logits; \
     of equals the first choice";
