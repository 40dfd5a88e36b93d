//! Cards, expressions and decisions from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bad_cards;
mod calendar;
mod calendar_other;
mod crosswalk;
mod decisions;
mod explanations;
mod expressions;
mod lints;
mod properties;
mod support;
mod waivers;
