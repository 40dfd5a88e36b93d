//! A pack: the cards of one folder, compiled together.

use crate::card::Card;
use crate::enforce::EnforceCard;
use crate::load::{self, Loaded};
use crate::problem::CardError;
use evidence::{Digest, Json};
use std::collections::{BTreeMap, BTreeSet};

/// Files in a pack, at most.
const FILES_MAX: usize = 2048;

/// Compiled cards, sorted by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    name: String,
    cards: Vec<Card>,
    enforce_cards: Vec<EnforceCard>,
    digest: Digest,
}

impl Pack {
    /// Compiles the card files, each given as path and text. A path that ends in `.rego` is the check of a card.
    ///
    /// # Errors
    /// Every problem of every file, sorted by file and place.
    pub fn compile(name: &str, files: &[(String, String)]) -> Result<Self, Vec<CardError>> {
        let (mut cards, mut enforce_cards, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        if let Some((path, text)) = files.get(FILES_MAX) {
            let message = format!("expected at most {FILES_MAX} cards in a pack, found {}", files.len());
            return Err(vec![CardError::at(path, text, 0..0, "limit", message)]);
        }
        let (checks, cards_of): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| path.ends_with(".rego"));
        let mut used = BTreeSet::new();
        let mut find = |name: &str| {
            let (path, text) = checks.iter().find(|(path, _)| path == name)?;
            used.insert(path.as_str());
            Some(text.as_str())
        };
        for (path, text) in cards_of {
            match load::card(path, text, &mut find) {
                Ok(Loaded::Card(card)) => cards.push(*card),
                Ok(Loaded::Enforce(card)) => enforce_cards.push(*card),
                Err(problems) => errors.extend(problems),
            }
        }
        for (path, text) in checks.iter().filter(|(path, _)| !used.contains(path.as_str())) {
            let message = "no card of the pack has this file for its `[check]`".to_owned();
            errors.push(CardError::at(path, text, 0..0, "unused", message));
        }
        errors.extend(duplicates(&cards, &enforce_cards));
        if errors.is_empty() {
            cards.sort_by(|a, b| a.id.cmp(&b.id));
            enforce_cards.sort_by(|a, b| a.id.cmp(&b.id));
            return Ok(Self { name: name.to_owned(), cards, enforce_cards, digest: digest(files) });
        }
        errors.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        Err(errors)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cards that are decided over evidence or by a person.
    #[must_use]
    pub fn cards(&self) -> &[Card] {
        &self.cards
    }

    /// The cards that are decided per request.
    #[must_use]
    pub fn enforce_cards(&self) -> &[EnforceCard] {
        &self.enforce_cards
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
        for (id, file, text) in ids(&pack.cards, &pack.enforce_cards) {
            match first.get(id) {
                Some((other, of)) => {
                    let message = format!("the id `{id}` is already that of {of} in the pack `{other}`");
                    let hint = format!(
                        "leave one of the two packs out, or give the rule of `{}` an id of its own",
                        pack.name()
                    );
                    errors.push(at_id(id, file, text, message).hint(hint));
                }
                None => {
                    first.insert(id, (pack.name(), file));
                }
            }
        }
    }
    errors
}

/// Id, file and text of every card of either kind.
fn ids<'a>(cards: &'a [Card], enforce_cards: &'a [EnforceCard]) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
    let plain = cards.iter().map(|card| (card.id.as_str(), card.file.as_str(), card.text()));
    plain.chain(enforce_cards.iter().map(|card| (card.id.as_str(), card.file.as_str(), card.text())))
}

/// A problem with a card's id, where the id is written.
fn at_id(id: &str, file: &str, text: &str, message: String) -> CardError {
    let quoted = [format!("\"{id}\""), format!("'{id}'")];
    let at = quoted.iter().find_map(|quoted| text.find(quoted)).map_or(0, |at| at + 1);
    let mut error = CardError::at(file, text, at..at + id.len(), "duplicate", message);
    id.clone_into(&mut error.rule);
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

fn duplicates(cards: &[Card], enforce_cards: &[EnforceCard]) -> Vec<CardError> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut errors = Vec::new();
    for (id, file, text) in ids(cards, enforce_cards) {
        if let Some(other) = first.get(id) {
            let message = format!("the id `{id}` is already that of {other}");
            let hint = "two cards never share an id: the later reading of a clause is a new version";
            errors.push(at_id(id, file, text, message).hint(hint));
        } else {
            first.insert(id, file);
        }
    }
    errors
}
