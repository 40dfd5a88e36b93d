//! Training: objectives, regularisers, optimisers, schedules, folds, and the loop with its snapshots.
//!
//! In: a [`Config`], a model with its first weights, a [`Corpus`] of token ids, and an observer that is asked before each
//! step. Out: an [`Outcome`] with the weights and the loss curve, or a snapshot from which work goes on.
//!
//! ```
//! use evidence::Control;
//! use train::{Config, Corpus, Event, Outcome};
//!
//! let shape = model::Config {
//!     vocab: 8, layers: 1, width: 8, heads: 2, kv_heads: 1, hidden: 16, context: 4, rope_theta: 1e4, norm_eps: 1e-5,
//! };
//! let corpus = Corpus::new(&[vec![1, 2, 3, 4, 5, 6, 7], vec![1, 2, 3, 4]], 0);
//! let config = Config { learning_rate: 1e-2, ..Config::new(7, 20, 2, 4) };
//! let mut losses = Vec::new();
//! let mut observe = |event: &Event<'_>| {
//!     if let Event::Done { loss_nats, .. } = event {
//!         losses.push(*loss_nats);
//!     }
//!     Control::Continue
//! };
//! let outcome = train::run(&config, model::Llama::init(&shape, 7)?, &corpus, None, &mut observe)?;
//! assert!(matches!(outcome, Outcome::Finished(_)));
//! assert!(losses[19] < losses[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It knows no policy, no budget and no file format but its own snapshots; what a step may cost is the observer's affair.

mod config;
mod data;
mod folds;
mod gradient;
mod groups;
mod job;
mod loader;
pub mod mixture;
mod nested;
mod objective;
mod optimizer;
mod parts;
mod ranks;
mod run;
mod schedule;
mod shuffle;
mod slices;
mod slope;
mod snapshot;
mod tell;
mod trouble;

pub use config::{Config, ConfigError, EarlyStop, Order, identity, parameters_digest};
pub use data::{Batch, Batches, Corpus, DataError, Example};
pub use folds::{Fold, FoldError, deal};
pub use gradient::{Gradient, GradientError, clip_factor};
pub use loader::Loader;
pub use model::pass::Precision;
pub use nested::{Chosen, Nested, NestedError, nested};
pub use objective::{CrossEntropy, ObjectiveError, Penalty, cross_entropy, cross_entropy_composed};
pub use optimizer::{Optimizer, State, StateError};
pub use ranks::{GiveUp, Ranks, RanksError};
pub use run::{Adjustment, Event, Look, Outcome, Point, Sources, TrainError, Trained, run, run_ranked, run_with};
pub use schedule::{Decay, Schedule};
pub use slope::SlopeError;
pub use snapshot::SnapshotError;
pub use tell::{Counted, Told, mean_loss, tell};
pub use trouble::{Trouble, Watch};
