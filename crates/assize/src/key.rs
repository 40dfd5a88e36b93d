//! Where the signing key is.

use anyhow::{Context as _, bail};
use ledger::Key;
use std::{
    env,
    path::{Path, PathBuf},
};

/// The key file: the one given, else `$ASSIZE_KEY`, else in the user's configuration folder. Made when absent.
pub(crate) fn load(given: Option<&Path>, say: impl Fn(&str)) -> anyhow::Result<Key> {
    let path = match given {
        Some(path) => path.to_path_buf(),
        None => default_path()?,
    };
    if path.exists() {
        return Ok(Key::load(&path)?);
    }
    let key = Key::generate("assize")?;
    key.save(&path)?;
    say(&format!("made a signing key, {}; its public half goes into each dossier", path.display()));
    Ok(key)
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
