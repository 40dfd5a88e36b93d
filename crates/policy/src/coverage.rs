//! What a pack holds of its law, and what it does not: measured, declared, asked per request, or not implemented with the reason.

use crate::card::{Card, CardKind};
use crate::manifest::{Manifest, NotImplemented};
use crate::pack::Pack;
use evidence::{Json, Provenance};

/// The ledger of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    pub pack: String,
    pub rules: usize,
    /// Rules that need a fact which a person's word does not supply.
    pub measured: Vec<String>,
    /// Rules that declarations of named persons decide alone.
    pub declared: Vec<String>,
    /// Rules that whoever serves the model asks for each request.
    pub per_request: Vec<String>,
    pub not_implemented: Vec<NotImplemented>,
    /// Lines of the ledger that no longer hold.
    pub findings: Vec<String>,
}

/// Counts the rules of a pack; without a `pack.toml` nothing is known of what is not implemented.
#[must_use]
pub fn coverage(pack: &Pack, manifest: Option<&Manifest>) -> Coverage {
    let ids = |is_it: &dyn Fn(&&Card) -> bool| pack.cards().iter().filter(is_it).map(|card| card.id.clone()).collect();
    let not_implemented = manifest.map(|manifest| manifest.not_implemented.clone()).unwrap_or_default();
    let per_request: Vec<String> = pack.enforce_cards().iter().map(|card| card.id.clone()).collect();
    let has_card = |id: &String| pack.cards().iter().any(|card| card.id == *id) || per_request.contains(id);
    let stale = not_implemented.iter().filter(|line| has_card(&line.id));
    let mut findings: Vec<String> =
        stale.map(|line| format!("`{}` has a card now: take its line out of pack.toml", line.id)).collect();
    let mut seen: Vec<&str> = Vec::new();
    for line in &not_implemented {
        if seen.contains(&line.id.as_str()) {
            findings.push(format!("`{}` stands twice among what is not implemented", line.id));
        }
        seen.push(&line.id);
    }
    Coverage {
        pack: pack.name().to_owned(),
        rules: pack.cards().len() + per_request.len(),
        measured: ids(&|card| is_measured(card)),
        declared: ids(&|card| !is_measured(card)),
        per_request,
        not_implemented,
        findings,
    }
}

/// Whether some need of the card is not met by a declaration.
fn is_measured(card: &Card) -> bool {
    let is_asked = card.needs.iter().any(|need| need.min_provenance > Some(Provenance::Declared));
    card.kind == CardKind::Assess && is_asked
}

impl Coverage {
    #[must_use]
    pub fn to_json(&self) -> Json {
        let line = |line: &NotImplemented| {
            Json::map([
                ("id", Some(line.id.as_str().into())),
                ("title", line.title.as_deref().map(Json::from)),
                ("reason", Some(line.reason.as_str().into())),
            ])
        };
        let ids = |ids: &[String]| Json::list(ids.iter().map(String::as_str));
        Json::map([
            ("pack", Some(self.pack.as_str().into())),
            ("rules", Some(self.rules.into())),
            ("measured", Some(self.measured.len().into())),
            ("declared", Some(self.declared.len().into())),
            ("per_request", Some(self.per_request.len().into())),
            ("not_implemented", Some(self.not_implemented.len().into())),
            ("measuredRules", Some(ids(&self.measured))),
            ("declaredRules", Some(ids(&self.declared))),
            ("perRequestRules", Some(ids(&self.per_request))),
            ("notImplementedClauses", Some(Json::List(self.not_implemented.iter().map(line).collect()))),
            ("findings", (!self.findings.is_empty()).then(|| ids(&self.findings))),
        ])
    }
}
