//! Scoring of held-out text, with intervals.

/// The score of one document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DocumentScore {
    pub nll_nats: f64,
    pub n_tokens: u64,
    pub n_correct: u64,
}
mod statistics;
pub use statistics::*;
