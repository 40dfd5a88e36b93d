//! A pack: the cards of one folder, compiled together.

use crate::card::Card;
use crate::load;
use crate::problem::CardError;
use evidence::{Digest, Json};
use std::collections::BTreeMap;

/// Files in a pack, at most.
const FILES_MAX: usize = 2048;

/// Compiled cards, sorted by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    name: String,
    cards: Vec<Card>,
    digest: Digest,
}

impl Pack {
    /// Compiles the card files, each given as path and text.
    ///
    /// # Errors
    /// Every problem of every file, sorted by file and place.
    pub fn compile(name: &str, files: &[(String, String)]) -> Result<Self, Vec<CardError>> {
        let (mut cards, mut errors) = (Vec::new(), Vec::new());
        if let Some((path, text)) = files.get(FILES_MAX) {
            let message = format!("expected at most {FILES_MAX} cards in a pack, found {}", files.len());
            return Err(vec![CardError::at(path, text, 0..0, "limit", message)]);
        }
        for (path, text) in files {
            match load::card(path, text) {
                Ok(card) => cards.push(card),
                Err(problems) => errors.extend(problems),
            }
        }
        errors.extend(duplicates(&cards));
        if errors.is_empty() {
            cards.sort_by(|a, b| a.id.cmp(&b.id));
            return Ok(Self { name: name.to_owned(), cards, digest: digest(files) });
        }
        errors.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        Err(errors)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn cards(&self) -> &[Card] {
        &self.cards
    }

    /// SHA-256 of the canonical list of paths and digests, sorted by path.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// Packs that cannot be decided under together: one given twice, or one id in two of them.
#[must_use]
pub fn clashes<'a>(packs: impl IntoIterator<Item = &'a Pack>) -> Vec<CardError> {
    let mut names: Vec<&str> = Vec::new();
    let mut first: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let mut errors = Vec::new();
    for pack in packs {
        if names.contains(&pack.name()) {
            let message = format!("the pack `{}` is given twice", pack.name());
            let at = pack.cards.first().map_or("pack.toml", |card| &card.file);
            errors.push(CardError::at(at, "", 0..0, "duplicate", message).hint("name each pack once under `[policy]`"));
            continue;
        }
        names.push(pack.name());
        for card in &pack.cards {
            match first.get(card.id.as_str()) {
                Some((other, file)) => {
                    let message = format!("the id `{}` is already that of {file} in the pack `{other}`", card.id);
                    let hint = format!(
                        "leave one of the two packs out, or give the rule of `{}` an id of its own",
                        pack.name()
                    );
                    errors.push(at_id(card, message).hint(hint));
                }
                None => {
                    first.insert(&card.id, (pack.name(), &card.file));
                }
            }
        }
    }
    errors
}

/// A problem with a card's id, where the id is written.
fn at_id(card: &Card, message: String) -> CardError {
    let quoted = [format!("\"{}\"", card.id), format!("'{}'", card.id)];
    let at = quoted.iter().find_map(|quoted| card.text.find(quoted)).map_or(0, |at| at + 1);
    let mut error = CardError::at(&card.file, &card.text, at..at + card.id.len(), "duplicate", message);
    error.rule.clone_from(&card.id);
    error
}

fn digest(files: &[(String, String)]) -> Digest {
    let mut sorted: Vec<(&str, Digest)> =
        files.iter().map(|(path, text)| (path.as_str(), Digest::of(text.as_bytes()))).collect();
    sorted.sort();
    let entry =
        |(path, digest): (&str, Digest)| Json::map([("path", Some(path.into())), ("digest", Some(digest.into()))]);
    Digest::of(Json::List(sorted.into_iter().map(entry).collect()).canonical().as_bytes())
}

fn duplicates(cards: &[Card]) -> Vec<CardError> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut errors = Vec::new();
    for card in cards {
        if let Some(other) = first.get(card.id.as_str()) {
            let message = format!("the id `{}` is already that of {other}", card.id);
            errors.push(
                at_id(card, message)
                    .hint("two cards never share an id: the later reading of a clause is a new version"),
            );
        } else {
            first.insert(&card.id, &card.file);
        }
    }
    errors
}
