//! Cards, expressions and decisions from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bad_cards;
#[cfg(feature = "rego")]
mod checks;
mod decisions;
#[cfg(feature = "rego")]
#[path = "../../examples/drawn/mod.rs"]
mod drawn;
mod explanations;
mod expressions;
mod lints;
mod properties;
#[cfg(feature = "rego")]
mod rego;
mod requests;
mod support;
mod traffic;
mod waivers;
mod worlds;
