//! The manifest of a folder: path, digest and size of each file, and the comparison with what lies there.

use crate::durable::{self, DurableError};
use evidence::{Digest, Json};
use std::{collections::BTreeMap, path::Path};

/// One file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Relative to the folder, with `/`.
    pub path: String,
    pub digest: Digest,
    pub bytes: u64,
}

impl Sealed {
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([
            ("path", Some(self.path.as_str().into())),
            ("digest", Some(self.digest.into())),
            ("bytes", Some(self.bytes.into())),
        ])
    }

    #[must_use]
    pub fn from_json(json: &Json) -> Option<Self> {
        Some(Self {
            path: json.get("path")?.as_text()?.to_owned(),
            digest: json.get("digest")?.get("sha256")?.as_text()?.parse().ok()?,
            bytes: u64::try_from(json.get("bytes")?.as_int()?).ok()?,
        })
    }
}

/// Every file below `dir` but those whose path begins with one of `left_out`, sorted by path.
///
/// # Errors
/// `DurableError` naming the file that cannot be read.
pub fn manifest(dir: &Path, left_out: &[&str]) -> Result<Vec<Sealed>, DurableError> {
    let is_covered = |path: &String| !left_out.iter().any(|prefix| path.starts_with(prefix));
    let seal = |path: String| {
        let bytes = durable::read(&dir.join(&path))?;
        Ok(Sealed { digest: Digest::of(&bytes), bytes: bytes.len() as u64, path })
    };
    durable::files_below(dir)?.into_iter().filter(is_covered).map(seal).collect()
}

/// What differs between a manifest and the folder: missing, changed and unlisted files, each as a sentence, sorted by path.
///
/// # Errors
/// `DurableError` naming the file that cannot be read.
pub fn differences(dir: &Path, sealed: &[Sealed], left_out: &[&str]) -> Result<Vec<String>, DurableError> {
    let found: BTreeMap<String, Sealed> =
        manifest(dir, left_out)?.into_iter().map(|file| (file.path.clone(), file)).collect();
    let listed: BTreeMap<&str, &Sealed> = sealed.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut sentences = Vec::new();
    for (path, file) in &listed {
        match found.get(*path) {
            None => sentences.push(format!("{path} is missing")),
            Some(there) if there.digest != file.digest => {
                sentences.push(format!("{path} has the digest {}, the seal says {}", there.digest, file.digest));
            }
            Some(_) => {}
        }
    }
    sentences.extend(
        found
            .keys()
            .filter(|path| !listed.contains_key(path.as_str()))
            .map(|path| format!("{path} is not in the seal")),
    );
    Ok(sentences)
}
