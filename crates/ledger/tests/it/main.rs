//! One binary for all tests of the crate from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod append;
mod keys;
mod manifests;
mod notes;
mod proofs;
mod support;
mod tamper;
mod tree;
