//! Scoring of held-out text, with intervals.
