//! Scoring of held-out text, with intervals.
//!
//! In: a model and documents as tokens. Out: a score a document, figures with intervals over documents, and the same
//! figures as measurements.
//!
//! ```
//! use evaluate::{Config, Outcome, score, statistics};
//! use evidence::Control;
//! use model::Llama;
//!
//! let shape = model::Config {
//!     vocab: 16, layers: 1, width: 8, heads: 2, kv_heads: 1, hidden: 12, context: 6, rope_theta: 10_000.0, norm_eps: 1e-5,
//! };
//! let model = Llama::init(&shape, 1)?;
//! let documents = [vec![3, 1, 4], vec![1, 5, 9, 2, 6, 5, 3], vec![8, 9]];
//! let config = Config { context: 6, batch: 4, separator: 0 };
//!
//! let Outcome::Finished { scores, .. } = score(&model, &documents, &config, &mut |_| Control::Continue)? else {
//!     unreachable!("nothing stopped it")
//! };
//! let whole = statistics::pooled(&scores)?;
//! assert_eq!(whole.n_tokens, 12);
//! // Fresh weights know next to nothing: the loss is near that of a guess.
//! assert!((whole.loss_nats - 16_f64.ln()).abs() < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Beside it, [`tasks`] reads task files of lm-evaluation-harness and scores them at its own figures, [`refusal`] and
//! [`memorisation`] read answers, and [`statistics`] compares, clusters and corrects.
//!
//! It does not tokenise, trains nothing, and knows no policy: a figure is neither good nor bad here. Its figures do not
//! depend on batch size, threads or the order of documents.

pub mod classes;
pub mod figures;
pub mod folds;
pub mod memorisation;
pub mod passages;
pub mod refusal;
mod score;
pub mod statistics;
pub mod tasks;

pub use score::{
    CONVENTION, Config, DocumentScore, Outcome, Pass, Progress, ScoreError, first_choice, nll_nats, passes, score,
};
pub use statistics::Bounds;
