//! `pack.toml`: what a pack says of itself, and of what it does not hold.

use crate::card::Version;
use crate::problem::CardError;
use crate::wire::{Reader, Table};
use jiff::civil::Date;

/// A clause of the pack's law that no card decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotImplemented {
    /// As the rule would be called.
    pub id: String,
    pub title: Option<String>,
    pub reason: String,
}

/// A change of a card that no test can tell from the card, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equivalent {
    pub rule: String,
    /// As `policy mutate` words it.
    pub mutation: String,
    pub reason: String,
}

/// `pack.toml`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub name: String,
    pub version: Version,
    pub title: String,
    /// The day up to which the law was followed.
    pub status_date: Date,
    pub licence: String,
    pub note: Option<String>,
    /// Key and text.
    pub sources: Vec<(String, String)>,
    pub not_implemented: Vec<NotImplemented>,
    pub equivalents: Vec<Equivalent>,
}

impl Manifest {
    /// Reads the text of a `pack.toml`.
    ///
    /// # Errors
    /// Every problem of the file, sorted by place.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<CardError>> {
        let mut reader = Reader::new(file, text);
        let Some(document) = reader.document() else { return Err(reader.errors) };
        let mut table = Table::new("", document.get_ref(), 0..0);
        let manifest = members(&mut reader, &mut table);
        table.finish(&mut reader);
        match manifest.filter(|_| reader.errors.is_empty()) {
            Some(manifest) => Ok(manifest),
            None => {
                reader.errors.sort_by_key(|error| (error.line, error.column));
                Err(reader.errors)
            }
        }
    }
}

fn members(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<Manifest> {
    let mut sentence = |reader: &mut Reader<'_>, key| {
        let entry = table.need(reader, key);
        reader.sentence(entry)
    };
    let [name, title, licence] = ["name", "title", "licence"].map(|key| sentence(reader, key));
    let version = reader.version(table);
    let status_date = table.need(reader, "status_date");
    let status_date = reader.date(status_date);
    let note = reader.sentence(table.take("note"));
    let sources = rows(reader, table, "sources", ["key", "text"], None);
    let not_implemented = rows(reader, table, "not_implemented", ["id", "reason"], Some("title"));
    let not_implemented = not_implemented.into_iter().map(|([id, reason], title)| NotImplemented { id, title, reason });
    let mutants = rows(reader, table, "mutant", ["rule", "mutation", "reason"], None);
    let mutants = mutants.into_iter().map(|([rule, mutation, reason], _)| Equivalent { rule, mutation, reason });
    Some(Manifest {
        name: name?,
        version: version?,
        title: title?,
        status_date: status_date?,
        licence: licence?,
        note,
        sources: sources.into_iter().map(|([key, text], _)| (key, text)).collect(),
        not_implemented: not_implemented.collect(),
        equivalents: mutants.collect(),
    })
}

/// `[[name]]` of sentences: those it must have and one that it may.
fn rows<const N: usize>(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    name: &'static str,
    needed: [&'static str; N],
    optional: Option<&'static str>,
) -> Vec<([String; N], Option<String>)> {
    let entry = table.take(name);
    let mut rows = Vec::new();
    for mut table in reader.tables(name, entry) {
        let mut texts = Vec::new();
        for key in needed {
            let entry = table.need(reader, key);
            texts.extend(reader.sentence(entry));
        }
        let more = optional.and_then(|key| reader.sentence(table.take(key)));
        table.finish(reader);
        rows.extend(<[String; N]>::try_from(texts).ok().map(|texts| (texts, more)));
    }
    rows
}
