//! Cards, expressions and decisions from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bad_cards;
mod decisions;
mod explanations;
mod expressions;
mod lints;
mod properties;
mod scenarios;
mod support;
mod waivers;
