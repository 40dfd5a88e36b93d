//! The program as a person meets it: commands, exit codes, files, messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod authoring;
