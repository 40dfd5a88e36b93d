//! No number that a person can read on the page is absent from the signed entries.

use crate::{
    fixture,
    markup::{Piece, pieces},
};
use evidence::Digest;
use report::Record;
use std::collections::BTreeSet;

/// Names of standards that the page's own words use; their digits are no figures.
const NAMES: [&str; 2] = ["SHA-256", "C2SP"];
/// Attributes that are read by a person or read out to one.
const READ_OUT: [&str; 4] = ["title", "aria-label", "alt", "datetime"];

/// Maximal runs of digits, with a point where digits follow it.
fn numbers(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        while is_digit(at) || (at > start && bytes[at..].first() == Some(&b'.') && is_digit(at + 1)) {
            at += 1;
        }
        if at > start {
            found.push(&text[start..at]);
        }
        at = at.max(start + 1);
    }
    found
}

struct Signed {
    canonical: String,
    numbers: BTreeSet<String>,
    digests: BTreeSet<String>,
}

impl Signed {
    fn of(records: &[Record]) -> Self {
        let canonical: String = records.iter().map(|record| record.statement.canonical() + "\n").collect();
        let mut signed: BTreeSet<String> = numbers(&canonical).into_iter().map(str::to_owned).collect();
        signed.extend(records.iter().map(|record| record.index.to_string()));
        let is_digest = |word: &&str| word.parse::<Digest>().is_ok();
        let mut digests: BTreeSet<String> = canonical.split('"').filter(is_digest).map(str::to_owned).collect();
        digests.extend(records.iter().map(|record| record.envelope.to_string()));
        Self { canonical, numbers: signed, digests }
    }

    /// Whether the text is a whole signed value: a decimal, an integer, or a text.
    fn holds_value(&self, text: &str) -> bool {
        [format!("\"{text}\""), format!(":{text},"), format!(":{text}}}")]
            .iter()
            .any(|form| self.canonical.contains(form))
    }
}

/// What is on the page and not in the entries.
fn unsigned(page: &str, records: &[Record]) -> Vec<String> {
    let signed = Signed::of(records);
    let mut missing = Vec::new();
    let mut check = |text: &str| {
        let words = NAMES.iter().fold(text.to_owned(), |text, name| text.replace(name, ""));
        missing.extend(numbers(&words).into_iter().filter(|n| !signed.numbers.contains(*n)).map(str::to_owned));
    };
    let mut text = String::new();
    let mut special: Option<(String, String)> = None;
    let mut bad = Vec::new();
    let pieces = pieces(page);
    let mut silent = false;
    for piece in &pieces {
        match piece {
            Piece::Open { tag, attributes } => {
                silent = silent || tag == "style" || tag == "script";
                // The elements that space a figure hold none of its characters apart; all others do.
                if tag != "i" {
                    text.push(' ');
                }
                let class = attributes.get("class").map(String::as_str);
                match (tag.as_str(), class) {
                    ("code", Some("digest")) => {
                        let whole = attributes["title"].strip_prefix("sha256:").unwrap_or_default().to_owned();
                        special = Some(("code".into(), whole));
                        text.clear();
                        continue;
                    }
                    ("time", _) => {
                        special = Some(("time".into(), attributes["datetime"].clone()));
                        text.clear();
                    }
                    ("span", Some("figure")) => {
                        special = Some(("span".into(), String::new()));
                        text.clear();
                    }
                    _ => {}
                }
                for value in READ_OUT.iter().filter_map(|name| attributes.get(*name)) {
                    match value.strip_prefix("sha256:") {
                        Some(digest) if signed.digests.contains(digest) => {}
                        _ => check(value),
                    }
                }
            }
            Piece::Close(tag) => {
                if let Some((closing, whole)) = special.take_if(|(closing, _)| closing == tag) {
                    let shown = text.trim();
                    let is_signed = match closing.as_str() {
                        "code" => signed.digests.contains(&whole) && whole.starts_with(shown.trim_end_matches('…')),
                        "time" => {
                            let second = shown.trim_end_matches("\u{a0}UTC").replacen(' ', "T", 1);
                            signed.holds_value(&whole) && whole.starts_with(&second)
                        }
                        _ => signed.holds_value(shown),
                    };
                    if !is_signed {
                        bad.push(shown.to_owned());
                    }
                    text.clear();
                } else if tag == "style" || tag == "script" {
                    silent = false;
                    text.clear();
                } else if tag != "i" {
                    if special.is_none() {
                        check(&text);
                        text.clear();
                    }
                    text.push(' ');
                }
            }
            Piece::Text(words) if !silent => text.push_str(words),
            Piece::Text(_) => {}
        }
    }
    check(&text);
    missing.extend(bad);
    missing
}

#[test]
fn every_figure_of_the_page_stands_in_an_entry() {
    for records in [fixture::allowed(), fixture::denied(), fixture::under_many_rules()] {
        let page = report::index_html(&records);
        assert_eq!(unsigned(&page, &records), Vec::<String>::new());
    }
}

/// The reader of figures is itself held to account: each of these additions is noticed, as what it is.
#[test]
fn a_figure_that_nobody_signed_is_noticed() {
    let records = fixture::allowed();
    let page = report::index_html(&records);
    for (from, to, noticed) in [
        ("</main>", "<p>81.09 percent</p></main>", "81.09"),
        ("</main>", "<p title=\"about 90210 things\">x</p></main>", "90210"),
        ("</main>", "<svg><title>4.4444</title></svg></main>", "4.4444"),
        ("<i>621</i>", "<i>622</i>", "1622872345088"),
        ("</main>", "<span class=\"figure\">0.25</span></main>", "0.25"),
        ("</main>", "<code class=\"digest\" title=\"sha256:ab\">abc…</code></main>", "abc…"),
    ] {
        let changed = page.replacen(from, to, 1);
        assert_ne!(changed, page);
        assert_eq!(unsigned(&changed, &records), [noticed]);
    }
}

#[test]
fn counts_are_those_that_were_signed() {
    let mut records = fixture::allowed();
    let release = records.iter_mut().rev().find(|record| record.statement.predicate.get("counts").is_some()).unwrap();
    let text = release.statement.canonical().replace("\"counts\":{", "\"counts\":{\"error\":4321,");
    release.statement = evidence::Statement::parse(&text).unwrap();
    let page = report::index_html(&records);
    // No verdict is an error, so no column stands for it and its count is not shown; those of columns are.
    assert!(!page.contains("4321"));
    let text = text.replace("\"fail\":1", "\"fail\":1234");
    records.iter_mut().rev().find(|record| record.statement.predicate.get("counts").is_some()).unwrap().statement =
        evidence::Statement::parse(&text).unwrap();
    assert!(report::index_html(&records).contains("<span class=\"number\"><span class=\"figure\">1234</span></span>"));
}
