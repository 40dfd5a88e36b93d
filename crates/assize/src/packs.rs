//! Where packs come from: the program itself, or a folder beside the case.

use anyhow::{Context as _, bail};
use policy::Mode;
use std::{fs, path::Path};
use supervise::{PackText, case::Case};

include!(concat!(env!("OUT_DIR"), "/packs.rs"));

/// The packs a case asks for, in its order.
pub(crate) fn of_case(case: &Case) -> anyhow::Result<Vec<PackText>> {
    let mut packs = Vec::new();
    for choice in &case.packs {
        let mode = if choice.enforce { Mode::Enforce } else { Mode::Report };
        match find(&case.folder, &choice.name, mode)? {
            Some(pack) => packs.push(pack),
            None => {
                let message = format!("no pack `{}`, neither as a folder beside the case nor among the shipped ones", choice.name);
                let hint = format!("the shipped ones are `{}`", shipped_names().join("`, `"));
                bail!(case.complain(choice.place, &message, &hint));
            }
        }
    }
    Ok(packs)
}

/// A pack by name: a folder below `base`, else a shipped one.
pub(crate) fn find(base: &Path, name: &str, mode: Mode) -> anyhow::Result<Option<PackText>> {
    let folder = base.join(name);
    if folder.is_dir() {
        return read(&folder, name, mode).map(Some);
    }
    Ok(shipped(name, mode))
}

pub(crate) fn shipped(name: &str, mode: Mode) -> Option<PackText> {
    let (name, cards) = PACKS.iter().find(|(known, _)| *known == name)?;
    let cards = cards.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Some(PackText { name: (*name).to_owned(), mode, cards })
}

pub(crate) fn shipped_names() -> Vec<&'static str> {
    PACKS.iter().map(|(name, _)| *name).collect()
}

/// The cards of a folder: every `*.toml` but `pack.toml`, and the Rego that cards name, sorted by name.
pub(crate) fn read(folder: &Path, name: &str, mode: Mode) -> anyhow::Result<PackText> {
    let mut cards = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("the pack folder {} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_part = path.extension().is_some_and(|extension| extension == "toml" || extension == "rego");
        if is_part && file != "pack.toml" {
            let text = fs::read_to_string(&path).with_context(|| format!("the card {} cannot be read", path.display()))?;
            cards.push((file, text));
        }
    }
    cards.sort();
    if cards.is_empty() {
        bail!("the pack folder {} holds no card; a card is a `*.toml` file, see packs/README.md", folder.display());
    }
    Ok(PackText { name: name.to_owned(), mode, cards })
}

/// Card problems as one error, each shown with its line.
pub(crate) fn refuse(errors: &[policy::CardError]) -> anyhow::Error {
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", shown.join("\n\n"))
}
