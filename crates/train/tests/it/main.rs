//! The training loop as its users meet it, and its referees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod classes;
mod divergence;
mod penalties;
mod precision;
mod ranks;
mod regular;
mod settings;
mod sittings;
mod small;
mod snapshots;
mod threads;
mod torch;
mod trouble;
