//! The rules as Rego v1, for those who run OPA: the same verdicts from the same facts, unknown kept apart from no.
//!
//! Every node of a condition is one total rule with one of four texts, so that an undefined value can never read as
//! "nothing found". What the card says of dates, needs and grace goes with it; waivers and modes do not.

mod condition;
mod document;
mod module;

pub use condition::{expression_input, expression_module};
pub(crate) use document::check_input;
pub use document::{facts_input, request_input};

use crate::card::{Card, CardTest};
use crate::decide::Rules;
use crate::enforce::EnforceCard;
use crate::request::Point;
use crate::trial::{facts_of, outcome_of};
use crate::verdict::Mode;
use std::collections::BTreeMap;

/// The functions every exported rule leans on: `package assize.lib`.
pub const LIBRARY: &str = include_str!("rego/lib.rego");

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegoFile {
    pub path: String,
    pub text: String,
}

/// What OPA is asked for the verdict of every rule.
pub const VERDICTS: &str = "data.assize.verdicts";
/// What OPA is asked for one request.
pub const GATE: &str = "data.assize.gate";

/// Every card as a module, the library, and what gathers them.
#[must_use]
pub fn export(rules: &Rules) -> Vec<RegoFile> {
    let mut names = Names::default();
    let mut files = vec![RegoFile { path: "lib.rego".to_owned(), text: LIBRARY.to_owned() }];
    let file = |pack: &str, name: &str, text| RegoFile { path: format!("{pack}/{name}.rego"), text };
    let (mut verdicts, mut guards) = (Vec::new(), Vec::new());
    for (pack, _, card) in rules.cards() {
        let name = names.of(&card.id);
        files.push(file(pack.name(), &name, module::card(card, &name)));
        files.extend(card.check.as_ref().map(|check| file(pack.name(), &format!("{name}.check"), check.text.clone())));
        verdicts.push((key(rules, pack.name(), &card.id), name));
    }
    for (pack, mode, card) in rules.enforce_cards() {
        let name = names.of(&card.id);
        files.push(file(
            pack.name(),
            &name,
            module::guard(card, &name, crate::enforce::mode_of(mode, card) == Mode::Enforce),
        ));
        guards.push((card.on, name));
    }
    if !verdicts.is_empty() {
        files.push(RegoFile { path: "verdicts.rego".to_owned(), text: module::verdicts(&verdicts) });
    }
    if !guards.is_empty() {
        let at = |point: Point| guards.iter().filter(|(on, _)| *on == point).map(|(_, name)| name.as_str()).collect();
        files.push(RegoFile { path: "gate.rego".to_owned(), text: module::gate(Point::ALL.map(at)) });
    }
    files
}

/// The rule's id, with the pack before it where two packs have it.
fn key(rules: &Rules, pack: &str, id: &str) -> String {
    let n = rules.cards().filter(|(_, _, card)| card.id == id).count();
    if n > 1 { format!("{pack}/{id}") } else { id.to_owned() }
}

/// The module of one card alone, under the name `card`: `data.assize.cards.card.verdict`.
#[must_use]
pub fn card_module(card: &Card) -> String {
    module::card(card, "card")
}

/// The module of one card that is decided per request: `data.assize.requests.card.result`.
#[must_use]
pub fn guard_module(card: &EnforceCard) -> String {
    module::guard(card, "card", true)
}

/// The inputs of a card's own tests, each with the verdict that the card comes to.
#[must_use]
pub fn test_inputs(card: &Card) -> Vec<(String, &'static str)> {
    let case = |test: &CardTest| {
        let facts = facts_of(test);
        (facts_input(&test.system, &facts, test.as_of), outcome_of(card, test).outcome.name())
    };
    card.tests.iter().map(case).collect()
}

/// Names of packages: ids have characters that Rego's do not.
#[derive(Debug, Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    fn of(&mut self, id: &str) -> String {
        let plain = name_of(id);
        let n = self.0.entry(plain.clone()).or_default();
        *n += 1;
        if *n == 1 { plain } else { format!("{plain}__{n}") }
    }
}

/// An id as part of a package's path; the prefix keeps it from being a word of Rego.
pub(crate) fn name_of(id: &str) -> String {
    let plain: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("r_{plain}")
}

/// A text as Rego and JSON write it.
pub(crate) fn quoted(text: &str) -> String {
    evidence::Json::Text(text.to_owned()).canonical()
}
