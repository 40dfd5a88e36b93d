//! A list of files with their digests, and the check of a folder against it.

use crate::{check::Check, durable};
use evidence::{Digest, EvidenceError, Json};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Component, Path},
};

/// What the ledger itself keeps in a dossier; `verify` covers the first three, so a manifest need not.
pub const LEDGER_PATHS: [&str; 4] = ["log/", "envelopes/", "keys/", ".lock"];

/// One file: its path below the folder with `/` between parts, its digest and its length.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManifestFile {
    pub path: String,
    pub digest: Digest,
    pub bytes: u64,
}

impl ManifestFile {
    /// `{"path", "digest", "bytes"}`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([
            ("path", Some(self.path.as_str().into())),
            ("digest", Some(self.digest.into())),
            ("bytes", Some(self.bytes.into())),
        ])
    }

    /// # Errors
    /// `EvidenceError::Member` when a member is absent or malformed, or the path leads out of the folder.
    pub fn from_json(json: &Json) -> Result<Self, EvidenceError> {
        let path = json.get("path").and_then(Json::as_text).filter(|path| is_below(path));
        let digest = json.get("digest").and_then(|set| set.get("sha256")).and_then(Json::as_text);
        let bytes = json.get("bytes").and_then(Json::as_int).and_then(|bytes| u64::try_from(bytes).ok());
        Ok(Self {
            path: path.ok_or(EvidenceError::Member("path"))?.to_owned(),
            digest: digest.and_then(|hex| hex.parse().ok()).ok_or(EvidenceError::Member("digest"))?,
            bytes: bytes.ok_or(EvidenceError::Member("bytes"))?,
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("expected a path below the folder, found `{path}`")]
    Path { path: String },
    #[error("could not read `{path}`")]
    Read { path: String, source: io::Error },
}

/// Digests the files at `paths` below `folder`, sorted by path.
///
/// # Errors
/// `Path` for one that leads elsewhere or is a link; `Read` for one that cannot be read.
pub fn manifest<P: AsRef<str>>(
    folder: &Path,
    paths: impl IntoIterator<Item = P>,
) -> Result<Vec<ManifestFile>, ManifestError> {
    let paths: BTreeSet<String> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let read = |source| ManifestError::Read { path: path.clone(), source };
        let full = folder.join(&path);
        if !is_below(&path) || !fs::symlink_metadata(&full).map_err(read)?.is_file() {
            return Err(ManifestError::Path { path });
        }
        let (digest, bytes) = digest_file(&full).map_err(read)?;
        files.push(ManifestFile { path, digest, bytes });
    }
    Ok(files)
}

/// Every file below `folder`, sorted, as paths with `/` between parts; links are listed, not followed. `skip` holds
/// paths that are left out: a name, or a folder when it ends in `/`.
///
/// # Errors
/// `Read` for a folder that cannot be listed; `Path` for a name that is not UTF-8.
pub fn files_below(folder: &Path, skip: &[&str]) -> Result<Vec<String>, ManifestError> {
    let mut found = Vec::new();
    list(folder, "", skip, &mut found)?;
    found.sort();
    Ok(found)
}

/// The check `files`: every file of the manifest is there and unchanged, and no other file is, but for `uncovered` (a
/// name, or a folder when it ends in `/`).
#[must_use]
pub fn check_files(folder: &Path, manifest: &[ManifestFile], uncovered: &[&str]) -> Check {
    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    let mut covered = BTreeSet::new();
    for file in manifest {
        let path = &file.path;
        if !covered.insert(path.as_str()) {
            wrong.push(format!("`{path}` stands twice in the manifest"));
        }
        if !is_below(path) {
            wrong.push(format!("`{path}` of the manifest leads out of the folder"));
            continue;
        }
        let full = folder.join(path);
        let read = fs::symlink_metadata(&full).and_then(|metadata| match metadata.is_file() {
            true => digest_file(&full).map(Some),
            false => Ok(None),
        });
        match read {
            Ok(None) => wrong.push(format!("`{path}` is not a regular file")),
            Ok(Some((_, bytes))) if bytes != file.bytes => {
                wrong.push(format!("`{path}` changed: expected {} bytes, found {bytes}", file.bytes));
            }
            Ok(Some((digest, _))) if digest != file.digest => {
                wrong.push(format!("`{path}` changed: expected sha256:{}, found sha256:{digest}", file.digest));
            }
            Ok(Some(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => wrong.push(format!("`{path}` is missing")),
            Err(error) => unknown.push(format!("`{path}` cannot be read ({error})")),
        }
    }
    match files_below(folder, uncovered) {
        Ok(found) => {
            let unlisted = found.iter().filter(|path| !covered.contains(path.as_str()));
            wrong.extend(unlisted.map(|path| format!("`{path}` is not in the manifest")));
        }
        Err(ManifestError::Path { path }) => wrong.push(format!("`{path}` is not in the manifest")),
        Err(ManifestError::Read { path, source }) => unknown.push(format!("`{path}` cannot be listed ({source})")),
    }
    Check::of("files", &wrong, &unknown, format!("{} files as the manifest lists them, and no other", manifest.len()))
}

pub(crate) fn list(
    folder: &Path,
    prefix: &str,
    skip: &[&str],
    found: &mut Vec<String>,
) -> Result<(), ManifestError> {
    let shown = if prefix.is_empty() { "." } else { prefix };
    let read = |source| ManifestError::Read { path: shown.to_owned(), source };
    for child in fs::read_dir(folder).map_err(read)? {
        let child = child.map_err(read)?;
        let Ok(name) = child.file_name().into_string() else {
            return Err(ManifestError::Path { path: format!("{prefix}{}", child.file_name().to_string_lossy()) });
        };
        if child.file_type().map_err(read)?.is_dir() {
            let path = format!("{prefix}{name}/");
            if !skip.contains(&path.as_str()) {
                list(&child.path(), &path, skip, found)?;
            }
        } else {
            let path = format!("{prefix}{name}");
            if !skip.contains(&path.as_str()) {
                found.push(path);
            }
        }
    }
    Ok(())
}

fn digest_file(path: &Path) -> io::Result<(Digest, u64)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((Digest::of_reader(file)?, bytes))
}

/// Whether a path has only plain names, `/` between them, and is no leftover of an interrupted write.
fn is_below(path: &str) -> bool {
    let plain = |component: Component<'_>| matches!(component, Component::Normal(_));
    let leftover = path.rsplit('/').next().is_some_and(durable::is_leftover);
    let tidy = !path.is_empty() && !path.contains(['\\', '\0']) && !path.split('/').any(|part| part.is_empty() || part == ".");
    tidy && !leftover && Path::new(path).components().all(plain)
}
