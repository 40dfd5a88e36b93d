//! Writes the page of the test fixture to a file, to be looked at: `cargo run -p assize-report --example page -- FILE [denied]`.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub, reason = "the fixture is a test's")]

#[path = "../tests/it/fixture.rs"]
mod fixture;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or_else(|| std::io::Error::other("expected a path to write to"))?;
    let records = match arguments.next().as_deref() {
        Some("denied") => fixture::denied(),
        Some("many") => fixture::under_many_rules(),
        _ => fixture::allowed(),
    };
    std::fs::write(path, report::index_html(&records))
}
