//! Where the shipped packs but the EU's point at other frameworks, the control they name exists there.

use crate::calendar_other::shipped;
use policy::Mapping;
use std::collections::BTreeSet;

/// The twelve risks of NIST AI 600-1.
const RISKS: [&str; 12] = [
    "CBRN information or capabilities",
    "confabulation",
    "dangerous, violent or hateful content",
    "data privacy",
    "environmental impacts",
    "harmful bias and homogenization",
    "human-AI configuration",
    "information integrity",
    "information security",
    "intellectual property",
    "obscene, degrading or abusive content",
    "value chain and component integrity",
];

/// Subcategories of NIST AI RMF 1.0 in each category: 72 in all.
const SUBCATEGORIES: [(&str, &[u32]); 4] = [
    ("GOVERN", &[7, 3, 2, 3, 2, 2]),
    ("MAP", &[6, 3, 5, 2, 2]),
    ("MEASURE", &[3, 13, 3, 3]),
    ("MANAGE", &[4, 4, 2, 3]),
];

const PACKS: [&str; 7] = ["cn-genai", "intl", "iso-42001", "kr", "nist-ai-rmf", "us-federal", "us-states"];

fn subcategories() -> BTreeSet<String> {
    let of = |(function, counts): (&str, &[u32])| {
        let numbers = counts.iter().zip(1..).flat_map(|(count, category)| (1..=*count).map(move |n| (category, n)));
        numbers.map(|(category, n): (u32, u32)| format!("{function} {category}.{n}")).collect::<Vec<_>>()
    };
    SUBCATEGORIES.into_iter().flat_map(of).collect()
}

/// Controls by the locator of their card.
fn locators(pack: &str) -> BTreeSet<String> {
    shipped(pack).cards().flat_map(|(_, _, card)| card.cites.iter().map(|cite| cite.locator.clone())).collect()
}

fn is_eu(control: &str) -> bool {
    let annex = ["Annex III", "Annex IV", "Annex XI", "Annex XII", "Annex XIII"];
    let article = control.strip_prefix("Art. ").and_then(|rest| rest.split('(').next()?.parse::<u32>().ok());
    annex.contains(&control) || article.is_some_and(|article| (1..=113).contains(&article))
}

#[test]
fn every_mapping_names_a_control_that_exists() {
    let (nist, iso) = (subcategories(), locators("iso-42001"));
    assert_eq!((nist.len(), iso.len()), (72, 38));
    assert!(locators("nist-ai-rmf").is_subset(&nist));
    let mut risks = BTreeSet::new();
    for pack in PACKS {
        for (_, _, card) in shipped(pack).cards() {
            assert!(!card.maps.is_empty(), "{} was mapped to nothing, and nobody says why", card.id);
            for mapping in &card.maps {
                let Mapping::To(to) = mapping else { continue };
                let (framework, control) = to.split_once(':').unwrap_or((to, ""));
                let is_known = match framework {
                    "eu-ai-act" => is_eu(control),
                    "nist-ai-rmf" => nist.contains(control),
                    "nist-ai-600-1" => risks.insert(control.to_owned()) || risks.contains(control),
                    "iso-42001" => iso.contains(control),
                    _ => false,
                };
                assert!(is_known, "{}: no control `{to}`", card.id);
            }
        }
    }
    assert_eq!(risks, RISKS.iter().map(|risk| (*risk).to_owned()).collect(), "each risk of NIST AI 600-1 and no other");
}
