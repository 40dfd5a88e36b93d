//! Prints how long it takes to decide all cards of the given folders, with evidence for every fact of the catalogue, and how
//! long a thousand cards take on ten thousand measurements and declarations.
//!
//! `decide_speed FOLDER…`: of 1,000 decisions the fastest (what the machine can do when nothing else runs), the median and the
//! slowest, in microseconds, and the same with the canonical bytes rendered. The thousand cards are those of the folders, again
//! and again under other ids.
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
    let many = match thousand(&packs) {
        Ok(pack) => Rules::new(vec![(pack, Mode::Enforce)]),
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    measure("as shipped", &Rules::new(packs), &facts(1), 1000);
    let start = Instant::now();
    let facts = facts(N_FACTS.div_ceil(metric::CATALOGUE.len()));
    println!("taking in {} measurements and declarations: {} us", n_given(), start.elapsed().as_micros());
    measure("a thousand cards", &many, &facts, 200);
    ExitCode::SUCCESS
}

const N_CARDS: usize = 1000;
const N_FACTS: usize = 10_000;

fn n_given() -> usize {
    N_FACTS.div_ceil(metric::CATALOGUE.len()) * metric::CATALOGUE.len()
}

/// The cards of the packs under new ids until there are a thousand.
fn thousand(packs: &[(Pack, Mode)]) -> Result<Pack, String> {
    let cards: Vec<&policy::Card> = packs.iter().flat_map(|(pack, _)| pack.cards()).collect();
    let again = |at: usize| {
        let card = cards[at % cards.len()];
        let (old, new) = (format!("\"{}\"", card.id), format!("\"{}.{at}\"", card.id));
        (format!("{at}.toml"), card.text().replacen(&old, &new, 1))
    };
    let files: Vec<(String, String)> = (0..N_CARDS).filter(|_| !cards.is_empty()).map(again).collect();
    Pack::compile("thousand", &files).map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())
}

fn measure(what: &str, rules: &Rules, facts: &Facts, n_times: usize) {
    let (system, day) = (system(), date(2026, 11, 23));
    let mut decided: Vec<u128> = Vec::new();
    for _ in 0..n_times {
        let start = Instant::now();
        let decision = decide(rules, None, &system, facts, day);
        decided.push(start.elapsed().as_micros());
        drop(decision);
    }
    let mut rendered: Vec<u128> = Vec::new();
    let mut n_bytes = 0;
    for _ in 0..n_times.div_ceil(10) {
        let start = Instant::now();
        let decision = decide(rules, None, &system, facts, day);
        n_bytes = decision.to_json().canonical().len();
        rendered.push(start.elapsed().as_micros());
    }
    decided.sort_unstable();
    rendered.sort_unstable();
    let told = |all: &[u128]| {
        format!("fastest {} us, median {} us, slowest {} us", all[0], all[all.len() / 2], all[all.len() - 1])
    };
    println!("{what}: {} cards", rules.cards().count());
    println!("  decide: {}", told(&decided));
    println!("  decide and render {n_bytes} bytes: {}", told(&rendered));
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

/// Every fact of the catalogue, so many times.
fn facts(n_times: usize) -> Facts {
    let mut facts = Facts::new();
    let source = Digest::of(b"envelope");
    for metric in metric::CATALOGUE.iter().cycle().take(n_times * metric::CATALOGUE.len()) {
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
