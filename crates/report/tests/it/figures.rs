//! No number that a person can read on the page is absent from the signed entries.

use crate::{
    fixture,
    markup::{Piece, pieces},
};
use evidence::Digest;
use report::Record;
use std::collections::{BTreeMap, BTreeSet};

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

/// An element whose text is held against one value: its tag, and the whole that its attribute gives.
type Held = (String, String);

/// Reads the page and keeps what is on it and not in the entries.
struct Reader<'a> {
    signed: &'a Signed,
    text: String,
    held: Option<Held>,
    is_silent: bool,
    unsigned: Vec<String>,
}

impl Reader<'_> {
    fn check(&mut self, text: &str) {
        let words = NAMES.iter().fold(text.to_owned(), |text, name| text.replace(name, ""));
        let found = numbers(&words).into_iter().filter(|number| !self.signed.numbers.contains(*number));
        self.unsigned.extend(found.map(str::to_owned));
    }

    fn read(&mut self, piece: &Piece) {
        match piece {
            Piece::Open { tag, attributes } => self.open(tag, attributes),
            Piece::Close(tag) => self.close(tag),
            Piece::Text(words) if !self.is_silent => self.text.push_str(words),
            Piece::Text(_) => {}
        }
    }

    fn open(&mut self, tag: &str, attributes: &BTreeMap<String, String>) {
        // The elements that space a figure hold none of its characters apart; all others do.
        if tag == "i" {
            return;
        }
        self.is_silent |= tag == "style" || tag == "script";
        self.text.push(' ');
        let held = match (tag, attributes.get("class").map(String::as_str)) {
            ("code", Some("digest")) => attributes["title"].strip_prefix("sha256:").map(str::to_owned),
            ("time", _) => Some(attributes["datetime"].clone()),
            ("span", Some("figure")) => Some(String::new()),
            _ => None,
        };
        if let Some(whole) = held {
            let before = std::mem::take(&mut self.text);
            self.check(&before);
            self.held = Some((tag.to_owned(), whole));
            return;
        }
        for value in READ_OUT.iter().filter_map(|name| attributes.get(*name)) {
            if !value.strip_prefix("sha256:").is_some_and(|digest| self.signed.digests.contains(digest)) {
                self.check(value);
            }
        }
    }

    fn close(&mut self, tag: &str) {
        if tag == "i" {
            return;
        }
        let text = std::mem::take(&mut self.text);
        match self.held.take_if(|(held, _)| held == tag) {
            Some(held) if !self.is_signed(&held, text.trim()) => self.unsigned.push(text.trim().to_owned()),
            Some(_) => {}
            None if self.is_silent => self.is_silent = tag != "style" && tag != "script",
            None => self.check(&text),
        }
    }

    fn is_signed(&self, (tag, whole): &Held, shown: &str) -> bool {
        match tag.as_str() {
            "code" => self.signed.digests.contains(whole) && whole.starts_with(shown.trim_end_matches('…')),
            "time" => {
                let second = shown.trim_end_matches("\u{a0}UTC").replacen(' ', "T", 1);
                self.signed.holds_value(whole) && whole.starts_with(&second)
            }
            _ => self.signed.holds_value(shown),
        }
    }
}

/// What is on the page and not in the entries.
fn unsigned(page: &str, records: &[Record]) -> Vec<String> {
    let signed = Signed::of(records);
    let mut reader =
        Reader { signed: &signed, text: String::new(), held: None, is_silent: false, unsigned: Vec::new() };
    pieces(page).iter().for_each(|piece| reader.read(piece));
    reader.unsigned
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
