#![expect(clippy::print_stderr, reason = "a test that has nothing to read says so")]
//! What a corpus is looked through for, on texts written for it and on labelled sets.

use crate::{config, source, write};
use dataset::{Identifier, Tests, Unit, identifiers, language, screen};
use evidence::Subject;
use std::{collections::BTreeSet, fs, io::Read as _, path::PathBuf};

#[test]
fn findings_become_shares_and_never_show_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let sections = [
        "The rain fell upon the fields of the valley for the whole of the long night.",
        "Please send the signed contract to her at vera.lind@mail-post.se before the end of this week, and call +46 8 928 571 38.",
        "He shouted that they were all bullshit, and the people who stood there went home.",
        "Q: Which of these three rivers runs through the most of the countries of the continent today? A: The second.",
        "სამართლებრივი ტექსტი საქართველოს კანონმდებლობის შესახებ და მისი გამოყენება",
    ];
    write(folder.path(), "a.txt", sections.join("\n\n"));
    let corpus = dataset::read(&config(folder.path(), vec![source("s", "a.txt", Unit::BlankLineSection)])).unwrap();
    let quiz =
        Tests::of_lines("quiz", "which of THESE three rivers runs through the most of the countries?\nWhat is it?\n");
    let found = screen(&corpus, &[quiz]);
    let subject = Subject::new("corpus", corpus.digest());
    let at = "2026-11-24T00:00:00Z".parse().unwrap();
    let rows = found.measurements(&subject, "test", at).unwrap();
    let rows: Vec<(&str, u64, u64)> = rows.iter().map(|one| (one.metric.id, one.k.unwrap(), one.n.unwrap())).collect();
    assert_eq!(
        rows,
        [
            ("data.personal_identifiers", 1, 5),
            // The fifth is Georgian, of which there is no list.
            ("data.listed_terms", 1, 4),
            // Twelve words, looked for whole.
            ("data.contaminated", 1, 5),
            ("data.tests_touched", 1, 1),
        ]
    );
    let json = found.to_json().canonical();
    assert!(json.contains("\"document\":\"a.txt#2\"") && json.contains("\"character\":43"), "{json}");
    for secret in ["vera", "928", "bullshit", "rivers"] {
        assert!(!json.contains(secret), "{json}");
    }
    // Without tests nothing is said of them.
    assert_eq!(screen(&corpus, &[]).measurements(&subject, "test", at).unwrap().len(), 2);
}

fn data(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("ASSIZE_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("ASSIZE_DATA does not name the folder of data sets: {path} is not read");
    }
    folder.map(|folder| folder.join(path))
}

/// Of 1,500 sentences filled from templates: spans of each kind that a finding begins in, and findings that begin in none.
///
/// The least are what was measured, rounded down: 49 of 49, 21 of 21, 127 of 136, 16 of 16, 13 of 14 (the other is of version 6) and 54 of
/// 92 (the others stand without country code, grouping of North America or a word before them), and no finding that is none.
#[test]
fn identifiers_of_the_presidio_set() {
    let Some(path) = data("presidio-research/synth_dataset_v2.json.gz") else { return };
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let samples: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    for (kind, label, recall, precision) in [
        (Identifier::Email, "EMAIL_ADDRESS", 1.0, 1.0),
        (Identifier::Iban, "IBAN_CODE", 1.0, 1.0),
        (Identifier::Card, "CREDIT_CARD", 0.93, 1.0),
        (Identifier::SocialSecurity, "US_SSN", 1.0, 1.0),
        (Identifier::IpAddress, "IP_ADDRESS", 0.92, 1.0),
        (Identifier::Phone, "PHONE_NUMBER", 0.58, 1.0),
    ] {
        let (mut n_spans, mut n_hit, mut n_found, mut n_right) = (0_u32, 0_u32, 0_u32, 0_u32);
        for sample in &samples {
            let place = |span: &serde_json::Value, key: &str| span[key].as_u64().unwrap() as usize;
            let spans = sample["spans"].as_array().unwrap().iter().filter(|span| span["entity_type"] == label);
            let spans: Vec<_> = spans.map(|span| place(span, "start_position")..place(span, "end_position")).collect();
            let found = identifiers(sample["full_text"].as_str().unwrap());
            let begins: BTreeSet<usize> =
                found.iter().filter(|one| one.kind == kind).map(|one| one.character - 1).collect();
            n_spans += spans.len() as u32;
            n_hit += spans.iter().filter(|span| begins.iter().any(|at| span.contains(at))).count() as u32;
            n_found += begins.len() as u32;
            n_right += begins.iter().filter(|at| spans.iter().any(|span| span.contains(at))).count() as u32;
        }
        let (hit, right) = (f64::from(n_hit) / f64::from(n_spans), f64::from(n_right) / f64::from(n_found.max(1)));
        println!("{label}: {n_hit} of {n_spans} spans, {n_right} of {n_found} findings");
        assert!(hit >= recall && right >= precision, "{label}: recall {hit}, precision {right}");
    }
}

/// Of 1,000 comments, half of them labelled toxic by people: those with a listed term. Measured: 124 of 501, and 18 of the 499 others.
#[test]
fn listed_terms_of_the_surge_set() {
    let Some(path) = data("surge-toxicity/toxicity_en.csv") else { return };
    let text = fs::read_to_string(path).unwrap();
    let terms = dataset::Terms::shipped();
    let (mut n, mut hits) = ([0_u32; 2], [0_u32; 2]);
    // Rows end in a comma and the label; quotes inside a comment do not matter to words.
    let mut row = String::new();
    for line in text.lines().skip(1) {
        row.push_str(line);
        row.push('\n');
        let label = [",Not Toxic\n", ",Toxic\n"].iter().position(|label| row.ends_with(label));
        let Some(label) = label else { continue };
        n[label] += 1;
        hits[label] += u32::from(terms.count(&row, language(&row)).is_some_and(|n| n > 0));
        row.clear();
    }
    println!("toxic: {} of {} have a term; others: {} of {}", hits[1], n[1], hits[0], n[0]);
    assert_eq!(n[0] + n[1], 1000);
    let precision = f64::from(hits[1]) / f64::from(hits[0] + hits[1]);
    assert!(precision > 0.85 && hits[1] * 5 > n[1], "{precision}");
}
