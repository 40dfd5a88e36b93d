//! Where packs come from: the program itself, or a folder beside the case.

use anyhow::{Context as _, bail};
use policy::{CARD_BYTES_MAX, CardError, Mode};
use std::{fs, io::Read as _, path::Path};
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
                let message = format!(
                    "no pack `{}`, neither as a folder beside the case nor among the shipped ones",
                    choice.name
                );
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
    let entries =
        fs::read_dir(folder).with_context(|| format!("the pack folder {} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_rego = path.is_file() && path.extension().is_some_and(|extension| extension == "rego");
        if (is_toml(&path) || is_rego) && file != "pack.toml" {
            cards.push((file, bounded(&path)?));
        }
    }
    cards.sort();
    if cards.is_empty() {
        bail!("the pack folder {} holds no card; a card is a `*.toml` file, see packs/README.md", folder.display());
    }
    Ok(PackText { name: name.to_owned(), mode, cards })
}

/// The text of a file that a stranger may have made: no more is read than a card may have.
fn bounded(path: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("the card {} cannot be read", path.display());
    let file = fs::File::open(path).with_context(unreadable)?;
    let n_bytes = file.metadata().with_context(unreadable)?.len();
    let name = path.display().to_string();
    if let Some(error) = CardError::of_size(&name, n_bytes) {
        return Err(refuse(&[error]));
    }
    // One byte more than allowed, so that a file that grew meanwhile is refused by the loader.
    let mut bytes = Vec::new();
    file.take(CARD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).with_context(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow::anyhow!("the card {name} is no UTF-8 text: byte {at} begins no character; save it as UTF-8")
    })
}

/// `pack.toml` of a folder of that name, else of the shipped pack: path and text; `None` where there is none.
pub(crate) fn manifest(name: &str) -> anyhow::Result<Option<(String, String)>> {
    let folder = Path::new(name);
    if folder.is_dir() {
        let path = folder.join("pack.toml");
        return path.is_file().then(|| Ok((path.display().to_string(), bounded(&path)?))).transpose();
    }
    let shipped = MANIFESTS.iter().find(|(known, _)| *known == name);
    Ok(shipped.map(|(name, text)| (format!("{name}/pack.toml"), (*text).to_owned())))
}

fn is_toml(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "toml")
}

/// The class files of scenarios: those that ship, and those in the folder `scenario` of a case's own packs. A folder that has the
/// name of a shipped pack stands in its place, as it does for cards.
pub(crate) fn scenario_files(case: Option<&Case>) -> anyhow::Result<Vec<(String, String)>> {
    let mut own = Vec::new();
    let mut replaced: Vec<&str> = Vec::new();
    for choice in case.into_iter().flat_map(|case| &case.packs) {
        let pack = case.map(|case| case.folder.join(&choice.name)).unwrap_or_default();
        if pack.is_dir() {
            replaced.push(&choice.name);
            own.extend(class_files(&pack.join("scenario"), &choice.name)?);
        }
    }
    let shipped = SCENARIOS.iter().filter(|(pack, _)| !replaced.contains(pack));
    let files = shipped.flat_map(|(pack, files)| {
        files.iter().map(move |(file, text)| (format!("{pack}/scenario/{file}"), (*text).to_owned()))
    });
    Ok(files.chain(own).collect())
}

fn class_files(folder: &Path, pack: &str) -> anyhow::Result<Vec<(String, String)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("the folder {} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if is_toml(&path) {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((format!("{pack}/scenario/{file}"), bounded(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

/// Card problems as one error, each shown with its line.
pub(crate) fn refuse(errors: &[policy::CardError]) -> anyhow::Error {
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", shown.join("\n\n"))
}
