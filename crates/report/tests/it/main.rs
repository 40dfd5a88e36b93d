#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod documents;
mod exports;
mod figures;
mod fixture;
mod markup;
mod page;
mod waivers;
