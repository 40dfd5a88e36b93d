//! Cards, expressions and decisions from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bad_cards;
mod bad_packs;
mod calendar;
mod calendar_other;
mod crosswalk;
mod decisions;
mod drafts;
mod explanations;
mod expressions;
mod lints;
mod mutations;
mod nearest;
mod properties;
mod scenarios;
mod shipped;
mod support;
mod waivers;
