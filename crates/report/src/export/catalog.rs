//! OSCAL 1.2.1: the rules of packs as a catalog, and a profile that selects them.

use crate::run;
use evidence::{Digest, Json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// SPEC: OSCAL 1.2.1.
pub(super) const OSCAL: &str = "1.2.1";
/// The namespace of our own properties.
pub(super) const NAMESPACE: &str = "urn:assize:oscal:v0.1";
const DISCLAIMER: &str =
    "Paraphrases of public texts, with our readings of them apart. Not the text of the law, and not legal advice.";

/// One pack as a catalog shows it.
#[derive(Debug, Clone)]
pub struct CatalogPack {
    pub name: String,
    pub digest: Digest,
    /// Each as `policy::Card::to_json` gives it.
    pub cards: Vec<Json>,
}

/// The rules as controls, a group a pack. The clauses' instruments are resources, which the controls link to.
///
/// `made` is an RFC 3339 time. Every id follows from the content, so that the same packs give the same document.
#[must_use]
pub fn oscal_catalog(packs: &[CatalogPack], made: &str, version: &str) -> String {
    let mut instruments: BTreeMap<&str, String> = BTreeMap::new();
    for cite in packs.iter().flat_map(|pack| &pack.cards).flat_map(|card| run::list(card, &["cite"])) {
        let instrument = run::text(cite, &["instrument"]).unwrap_or_default();
        instruments.insert(instrument, uuid("instrument", instrument));
    }
    let groups: Vec<Json> = packs.iter().map(|pack| group(pack, &instruments)).collect();
    let resource = |(title, uuid): (&&str, &String)| {
        let citation = Json::map([("text", Some((*title).into()))]);
        Json::map([
            ("uuid", Some(uuid.as_str().into())),
            ("title", Some((*title).into())),
            ("citation", Some(citation)),
        ])
    };
    let resources: Vec<Json> = instruments.iter().map(resource).collect();
    let resources = (!resources.is_empty()).then(|| Json::map([("resources", Some(Json::List(resources)))]));
    let body = Json::map([
        ("metadata", Some(metadata(&format!("Rules of {}", names(packs)), made, version, Some(DISCLAIMER)))),
        ("groups", (!groups.is_empty()).then_some(Json::List(groups))),
        ("back-matter", resources),
    ]);
    Json::map([("catalog", Some(identified("catalog", body)))]).document()
}

/// A profile that imports every rule of the packs, by id, from the catalog at `href`.
#[must_use]
pub fn oscal_profile(packs: &[CatalogPack], made: &str, version: &str, href: &str) -> String {
    let ids = packs.iter().flat_map(|pack| &pack.cards).filter_map(|card| run::text(card, &["rule"]));
    let select = Json::map([("with-ids", Some(Json::list(ids)))]);
    let import = Json::map([("href", Some(href.into())), ("include-controls", Some(Json::List(vec![select])))]);
    let body = Json::map([
        ("metadata", Some(metadata(&format!("Profile of {}", names(packs)), made, version, None))),
        ("imports", Some(Json::List(vec![import]))),
        ("merge", Some(Json::map([("as-is", Some(true.into()))]))),
    ]);
    Json::map([("profile", Some(identified("profile", body)))]).document()
}

fn names(packs: &[CatalogPack]) -> String {
    packs.iter().map(|pack| pack.name.as_str()).collect::<Vec<_>>().join(", ")
}

pub(super) fn metadata(title: &str, made: &str, version: &str, remarks: Option<&str>) -> Json {
    Json::map([
        ("title", Some(title.into())),
        ("last-modified", Some(made.into())),
        ("version", Some(version.into())),
        ("oscal-version", Some(OSCAL.into())),
        ("remarks", remarks.map(Json::from)),
    ])
}

/// The body with a `uuid` that follows from it.
pub(super) fn identified(what: &str, body: Json) -> Json {
    let uuid = uuid(what, &body.canonical());
    match body {
        Json::Map(mut members) => {
            members.insert("uuid".to_owned(), uuid.into());
            Json::Map(members)
        }
        other => other,
    }
}

/// SPEC: RFC 9562, version 5, in the namespace of `urn:assize:oscal:v0.1` under that of URLs.
pub(super) fn uuid(what: &str, content: &str) -> String {
    let ours = Uuid::new_v5(&Uuid::NAMESPACE_URL, NAMESPACE.as_bytes());
    Uuid::new_v5(&ours, format!("{what}\n{content}").as_bytes()).to_string()
}

/// A property in our namespace. SPEC: a value has no white space at its ends and no line break.
pub(super) fn property(name: &str, value: &str) -> Option<Json> {
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let property = Json::map([
        ("name", Some(name.into())),
        ("ns", Some(NAMESPACE.into())),
        ("value", Some(value.as_str().into())),
    ]);
    (!value.is_empty()).then_some(property)
}

fn group(pack: &CatalogPack, instruments: &BTreeMap<&str, String>) -> Json {
    let controls: Vec<Json> = pack.cards.iter().map(|card| control(card, instruments)).collect();
    Json::map([
        ("id", Some(token(&pack.name).into())),
        ("class", Some("pack".into())),
        ("title", Some(pack.name.as_str().into())),
        ("props", property("sha256", &pack.digest.to_string()).map(|property| Json::List(vec![property]))),
        ("controls", (!controls.is_empty()).then_some(Json::List(controls))),
    ])
}

/// SPEC: OSCAL token: a letter or underscore, then letters, digits, `.`, `-`, `_`.
fn token(name: &str) -> String {
    let letters: String =
        name.chars().map(|c| if c.is_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect();
    if letters.starts_with(|c: char| c.is_alphabetic() || c == '_') { letters } else { format!("_{letters}") }
}

fn control(card: &Json, instruments: &BTreeMap<&str, String>) -> Json {
    let text = |key: &str| run::text(card, &[key]).unwrap_or_default();
    let id = text("rule");
    let card_digest = card.get("card").and_then(run::digest).map(|digest| digest.to_string()).unwrap_or_default();
    let properties = ["version", "severity", "confirmed", "owner"].map(|name| property(name, text(name)));
    let properties: Vec<Json> = properties.into_iter().chain([property("sha256", &card_digest)]).flatten().collect();
    let cites = run::list(card, &["cite"]);
    let items: Vec<Json> = cites.iter().enumerate().map(|(at, cite)| item(id, at + 1, cite, instruments)).collect();
    let house: Vec<&str> = cites.iter().filter_map(|cite| run::text(cite, &["house"])).collect();
    // `remedy` is our own name for a part, `guidance` is OSCAL's.
    let part = |suffix: &str, name: &str, ns: Option<&str>, prose: String| {
        Json::map([
            ("id", Some(format!("{id}_{suffix}").into())),
            ("name", Some(name.into())),
            ("ns", ns.map(Json::from)),
            ("prose", Some(prose.into())),
        ])
    };
    let statement = Json::map([
        ("id", Some(format!("{id}_smt").into())),
        ("name", Some("statement".into())),
        ("parts", (!items.is_empty()).then_some(Json::List(items))),
    ]);
    let mut parts = vec![statement];
    parts.extend(
        (!house.is_empty())
            .then(|| part("gdn", "guidance", None, format!("Our reading, not the law: {}", house.join("; ")))),
    );
    parts.push(part("rem", "remedy", Some(NAMESPACE), text("remedy").to_owned()));
    Json::map([
        ("id", Some(id.into())),
        ("class", Some(text("kind").into())),
        ("title", Some(text("title").into())),
        ("props", Some(Json::List(properties))),
        ("parts", Some(Json::List(parts))),
    ])
}

/// What one clause says, with a link to its instrument.
fn item(id: &str, number: usize, cite: &Json, instruments: &BTreeMap<&str, String>) -> Json {
    let text = |key: &str| run::text(cite, &[key]).unwrap_or_default();
    let link = instruments.get(text("instrument")).map(|uuid| {
        let link = Json::map([
            ("href", Some(format!("#{uuid}").into())),
            ("rel", Some("reference".into())),
            ("text", Some(text("locator").into())),
        ]);
        Json::List(vec![link])
    });
    let properties: Vec<Json> = [property("locator", text("locator")), property("confirmed", text("confirmed"))]
        .into_iter()
        .flatten()
        .collect();
    Json::map([
        ("id", Some(format!("{id}_smt.{number}").into())),
        ("name", Some("item".into())),
        ("props", Some(Json::List(properties))),
        ("prose", Some(text("says").into())),
        ("links", link),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's `uuid.uuid5` (3.11): `uuid5(uuid5(NAMESPACE_URL, "urn:assize:oscal:v0.1"), "catalog\na")`.
    #[test]
    fn ids_are_those_of_the_rfc() {
        assert_eq!(uuid("catalog", "a"), "fec69efe-b7c1-535c-9cb3-1d4b9d592704");
    }

    #[test]
    fn tokens_begin_with_a_letter() {
        assert_eq!(token("eu-ai-act"), "eu-ai-act");
        assert_eq!(token("2 packs/x"), "_2_packs_x");
    }
}
