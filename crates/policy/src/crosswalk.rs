//! Which other rules ask the same: what a card is mapped to, and what is mapped to it.

use crate::card::{Card, Mapping};
use crate::pack::Pack;
use evidence::Json;

/// A control of another framework, or a rule about it, that asks what a card asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Elsewhere {
    /// A pack's name, or a framework that has no pack.
    pub framework: String,
    /// As the mapping names it: a rule's id or a locator.
    pub control: String,
    /// The rule and its title, where a pack at hand has one.
    pub rule: Option<(String, String)>,
    /// What the rule comes to on the same evidence, where somebody decided it.
    pub verdict: Option<String>,
}

impl Elsewhere {
    #[must_use]
    pub fn to_json(&self) -> Json {
        let rule = self.rule.as_ref();
        Json::map([
            ("framework", Some(self.framework.as_str().into())),
            ("control", Some(self.control.as_str().into())),
            ("rule", rule.map(|(id, _)| id.as_str().into())),
            ("title", rule.map(|(_, title)| title.as_str().into())),
            ("verdict", self.verdict.as_deref().map(Json::from)),
        ])
    }

    pub(crate) fn to_text(&self) -> String {
        let Some((rule, title)) = &self.rule else { return format!("{} {}", self.framework, self.control) };
        let control = if *rule == self.control { String::new() } else { format!(" {}", self.control) };
        let verdict = self.verdict.as_ref().map(|verdict| format!(": {verdict}")).unwrap_or_default();
        format!("{}{control}, rule {rule}{verdict} ({title})", self.framework)
    }
}

/// What a card of the pack `name` is mapped to, and what of the packs is mapped to it; sorted, each once.
#[must_use]
pub fn crosswalk<'a>(card: &Card, name: &str, packs: impl IntoIterator<Item = &'a Pack>) -> Vec<Elsewhere> {
    let packs: Vec<&Pack> = packs.into_iter().collect();
    let mut all = Vec::new();
    for (framework, control) in mapped(card) {
        let before = all.len();
        for other in packs.iter().filter(|pack| pack.name() == framework).flat_map(|pack| pack.cards()) {
            if answers(other, control) {
                all.push(found(framework, control, Some(other)));
            }
        }
        if all.len() == before {
            all.push(found(framework, control, None));
        }
    }
    for pack in packs.iter().filter(|pack| pack.name() != name) {
        for other in pack.cards() {
            let points_here = mapped(other).any(|(framework, control)| framework == name && answers(card, control));
            if points_here && !all.iter().any(|known| known.rule.as_ref().is_some_and(|(id, _)| *id == other.id)) {
                all.push(found(pack.name(), &other.id, Some(other)));
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

fn found(framework: &str, control: &str, card: Option<&Card>) -> Elsewhere {
    let rule = card.map(|card| (card.id.clone(), card.title.clone()));
    Elsewhere { framework: framework.to_owned(), control: control.to_owned(), rule, verdict: None }
}

fn mapped(card: &Card) -> impl Iterator<Item = (&str, &str)> {
    card.maps.iter().filter_map(|mapping| match mapping {
        Mapping::To(to) => to.split_once(':'),
        Mapping::None(_) => None,
    })
}

/// Whether a card is about a control: by its id, or by a locator that names it.
fn answers(card: &Card, control: &str) -> bool {
    card.id == control || card.cites.iter().any(|cite| names(&cite.locator, control))
}

/// Whether a locator such as `Art. 9(1)-(2), 111(4)` names a control such as `Art. 9(2)`, `Art. 9` or `A.5.2`.
fn names(locator: &str, control: &str) -> bool {
    let Some(control_rest) = control.strip_prefix("Art. ") else {
        return locator.split([',', ';']).any(|part| part.trim() == control);
    };
    let (article, paragraph) = split(control_rest);
    let mut of = "";
    let parts = locator.strip_prefix("Art. ").unwrap_or_default().split([',', ';']).map(str::trim);
    parts.filter(|part| !part.is_empty()).any(|part| {
        let (number, rest) = split(part);
        // `(5)` after a comma is of the article before it.
        of = if number.is_empty() { of } else { number };
        of == article && (paragraph.is_empty() || rest.is_empty() || rest.contains(first(paragraph)))
    })
}

/// An article's number, and what stands behind it.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len()))
}

/// `(2)` of `(2)(b)`.
fn first(paragraph: &str) -> &str {
    paragraph.find(')').map_or(paragraph, |end| &paragraph[..=end])
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn locators_name_controls() {
        for (locator, control, expected) in [
            ("Art. 14(4)(a)-(e), 14(5)", "Art. 14", true),
            ("Art. 14(4)(a)-(e), 14(5)", "Art. 14(5)", true),
            ("Art. 14(4)(a)-(e), 14(5)", "Art. 14(1)", false),
            ("Art. 9(1)-(2),(5)", "Art. 9(5)", true),
            ("Art. 9(1)-(2),(5)", "Art. 9(2)(b)", true),
            ("Art. 19", "Art. 1", false),
            ("Art. 11, Annex IV", "Annex IV", true),
            ("Art. 11, Annex IV", "Art. 11", true),
            ("Art. 50(2), 111(4)", "Art. 111(4)", true),
            ("Art. 50(2), 111(4)", "Art. 50(4)", false),
            ("A.5.2", "A.5.2", true),
            ("A.5.2", "A.5", false),
            ("MAP 2.3", "MAP 2.3", true),
        ] {
            assert_eq!(names(locator, control), expected, "{locator} / {control}");
        }
    }
}
