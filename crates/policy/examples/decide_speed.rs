//! Prints how long it takes to decide all cards of the given folders, with evidence for every fact of the catalogue.
//!
//! `decide_speed FOLDER…`: median and largest of 1,000 decisions, in microseconds, and of rendering the canonical bytes.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark: it prints and reads the clock")]

use evidence::{Declaration, Declared, Digest, Interval, Kind, Measurement, Metric, Provenance, Subject, metric};
use jiff::{Timestamp, civil::date};
use policy::expr::Value;
use policy::{Facts, Mode, Pack, Rules, System, decide};
use std::{fs, path::Path, process::ExitCode, time::Instant};

fn main() -> ExitCode {
    let mut packs = Vec::new();
    for folder in std::env::args().skip(1) {
        match pack(Path::new(&folder)) {
            Ok(pack) => packs.push((pack, Mode::Enforce)),
            Err(error) => {
                println!("cannot use `{folder}`: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let rules = Rules::new(packs);
    let (system, facts, day) = (system(), facts(), date(2026, 11, 23));
    let mut decided: Vec<u128> = Vec::new();
    let mut rendered: Vec<u128> = Vec::new();
    let mut n_bytes = 0;
    for _ in 0..1000 {
        let start = Instant::now();
        let decision = decide(&rules, None, &system, &facts, day);
        decided.push(start.elapsed().as_micros());
        n_bytes = decision.to_json().canonical().len();
        rendered.push(start.elapsed().as_micros());
    }
    decided.sort_unstable();
    rendered.sort_unstable();
    println!("cards {}", rules.cards().count());
    println!("decide: median {} us, largest {} us", decided[500], decided[999]);
    println!("decide and render {n_bytes} bytes: median {} us, largest {} us", rendered[500], rendered[999]);
    ExitCode::SUCCESS
}

fn pack(folder: &Path) -> Result<Pack, String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("pack.toml") {
            let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            files.push((path.to_string_lossy().into_owned(), text));
        }
    }
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Pack::compile(&name, &files).map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())
}

/// Offered everywhere, so that as many rules as possible are decided to the end.
fn system() -> System {
    let mut system = System::new();
    let everywhere = ["EU", "CN", "KR", "US-CA", "US-NY", "US-IL", "US-CO", "US-TX"];
    let members = [
        ("name", "play-writer".into()),
        ("role", "provider".into()),
        ("audience", "public".into()),
        ("risk_class", "high".into()),
        ("risk_route", "annex-iii".into()),
        ("general_purpose", true.into()),
        ("systemic_risk", true.into()),
        ("jurisdictions", Value::List(everywhere.map(Value::from).into())),
    ];
    for (name, value) in members {
        if let Err(error) = system.set(name, value) {
            println!("{error}");
        }
    }
    system
}

fn facts() -> Facts {
    let mut facts = Facts::new();
    let source = Digest::of(b"envelope");
    for metric in metric::CATALOGUE {
        match metric.kind {
            Kind::Count | Kind::Quantity | Kind::Proportion => facts.measure(&measurement(metric), source),
            kind => facts.declare(&declaration(metric, kind), source),
        }
    }
    facts
}

fn measurement(metric: &'static Metric) -> Measurement {
    use evidence::Decimal;
    let number = |text: &str| text.parse().unwrap_or(Decimal::ONE);
    let interval = Interval {
        lower: number("0.9"),
        upper: Decimal::ONE,
        level: Some(number("0.95")),
        method: "clopper-pearson".to_owned(),
    };
    Measurement {
        metric,
        subject: Subject::new("model", Digest::of(b"weights")),
        value: Decimal::ONE,
        interval: Some(interval),
        n: Some(5000),
        k: Some(5000),
        method: "benchmark".to_owned(),
        convention: None,
        inputs: Vec::new(),
        instrument: "benchmark".to_owned(),
        provenance: Provenance::Measured,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn declaration(metric: &'static Metric, kind: Kind) -> Declaration {
    let subject = Subject::new("file", Digest::of(b"file"));
    let declared = match kind {
        Kind::Flag => Declared::Flag(true),
        Kind::List => Declared::List(vec!["text".to_owned()]),
        Kind::Moment => Declared::Moment(Timestamp::UNIX_EPOCH),
        Kind::Document => Declared::Document(subject.clone()),
        _ => Declared::Text("360h".to_owned()),
    };
    let expires = date(2027, 6, 1);
    Declaration { metric, subject, declared, owner: "legal".to_owned(), at: Timestamp::UNIX_EPOCH, expires }
}
