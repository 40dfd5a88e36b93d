//! Where the signing key is.

use crate::{Ended, screen};
use anyhow::{Context as _, bail};
use ledger::{Key, VerifyingKey};
use std::{
    env,
    path::{Path, PathBuf},
};

/// The key file: the one given, else `$ASSIZE_KEY`, else in the user's configuration folder. Made when absent.
pub(crate) fn load(given: Option<&Path>, say: impl Fn(&str)) -> anyhow::Result<Key> {
    load_or_make(given, "assize", say)
}

fn load_or_make(given: Option<&Path>, name: &str, say: impl Fn(&str)) -> anyhow::Result<Key> {
    let path = path(given)?;
    if path.exists() {
        return Ok(Key::load(&path)?);
    }
    let key = Key::generate(name)?;
    key.save(&path)?;
    say(&format!("made a signing key, {}; its public half goes into each dossier", path.display()));
    Ok(key)
}

/// A key that stands already; none is made.
pub(crate) fn existing(given: Option<&Path>) -> anyhow::Result<Key> {
    Ok(Key::load(&path(given)?)?)
}

/// The public half of the key that would sign, if it stands already.
pub(crate) fn known(given: Option<&Path>) -> anyhow::Result<Option<VerifyingKey>> {
    match path(given) {
        Ok(path) if path.exists() => Ok(Some(Key::load(&path)?.verifying())),
        _ => Ok(None),
    }
}

/// Prints the public half of a key, which is what a case lists.
pub(crate) fn show(given: Option<&Path>, name: Option<&str>) -> anyhow::Result<Ended> {
    let key = load_or_make(given, name.unwrap_or("assize"), screen::remark)?;
    let line = key.verifying();
    if let Some(name) = name.filter(|name| *name != line.name()) {
        bail!("the key {} stands already, and its name is `{}`, not `{name}`", path(given)?.display(), line.name());
    }
    screen::line(&line.to_string());
    Ok(Ended::Well)
}

fn path(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    given.map_or_else(default_path, |path| Ok(path.to_path_buf()))
}

fn default_path() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os("ASSIZE_KEY").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let folder = env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".config")));
    let folder = folder.context("there is no home folder for the signing key; name a file with `--key` or ASSIZE_KEY")?;
    if folder.as_os_str().is_empty() {
        bail!("the configuration folder has no name; name a file with `--key` or ASSIZE_KEY");
    }
    Ok(folder.join("assize/assize.key"))
}
