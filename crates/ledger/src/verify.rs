//! Checking a log offline, by its files alone.

use crate::checkpoint::Checkpoint;
use crate::dsse::{self, DsseError};
use crate::durable::{self, DurableError};
use crate::key::{KeyError, VerifyingKey};
use crate::log::Entry;
use crate::note::NoteError;
use crate::{merkle, tiles};
use evidence::{Digest, Json, Statement, StatementError};
use std::{collections::BTreeSet, path::Path};

/// Why a log does not stand up.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    File(#[from] DurableError),
    #[error("{path} is not a verifier key")]
    Key { path: String, source: KeyError },
    #[error("log/checkpoint does not stand: {0}")]
    Checkpoint(NoteError),
    #[error("{path} is not text")]
    NotText { path: String },
    #[error("{path} does not hold the {width} entries that log/checkpoint says")]
    Bundle { path: String, width: u64 },
    #[error("{path} does not hold the hashes of the entries")]
    Tile { path: String },
    #[error("the entries lead to the root {found}, log/checkpoint says {expected}")]
    Root { expected: Digest, found: Digest },
    #[error("entry {index} is not the digest set of an envelope")]
    Entry { index: u64 },
    #[error("{path} has the digest {found}, not that of its name")]
    Envelope { path: String, found: Digest },
    #[error("{path} does not verify: {source}")]
    Dsse { path: String, source: DsseError },
    #[error("{path} does not hold a statement: {source}")]
    Statement { path: String, source: StatementError },
    #[error("{path} is not in the one encoding")]
    Encoding { path: String },
    #[error("{path} belongs to no entry of the log")]
    Unexpected { path: String },
}

/// What a log says, once it has been checked.
#[derive(Debug)]
pub struct Read {
    pub checkpoint: Checkpoint,
    pub(crate) raw: Vec<Vec<u8>>,
    pub(crate) leaves: Vec<Digest>,
    pub entries: Vec<Entry>,
}

/// The verifier keys that lie in `DIR/keys`.
///
/// # Errors
/// `VerifyError` naming the file.
pub fn keys_in(dir: &Path) -> Result<Vec<VerifyingKey>, VerifyError> {
    let mut keys = Vec::new();
    for file in durable::files_below(&dir.join("keys"))? {
        let path = format!("keys/{file}");
        let line = read_text(dir, &path)?;
        let key = VerifyingKey::parse(&line).map_err(|source| VerifyError::Key { path: path.clone(), source })?;
        if format!("{key}\n") != line || file != format!("{}.pub", key.name()) {
            return Err(VerifyError::Encoding { path });
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Reads the log in `dir` and checks everything in it: signature, entries, tiles, root, envelopes, statements. Files beyond the
/// checkpoint are not looked at; see [`unexpected`].
///
/// # Errors
/// The first thing that does not hold.
pub fn read(dir: &Path, keys: &[VerifyingKey]) -> Result<Read, VerifyError> {
    let checkpoint = Checkpoint::open(&read_text(dir, "log/checkpoint")?, keys).map_err(VerifyError::Checkpoint)?;
    let mut raw = Vec::new();
    for (name, width) in tiles::bundle_paths(checkpoint.size) {
        let path = format!("log/{name}");
        let bundle = durable::read(&dir.join(&path))?;
        raw.extend(tiles::entries_of(&bundle, width).ok_or(VerifyError::Bundle { path, width })?);
    }
    let leaves: Vec<Digest> = raw.iter().map(|entry| merkle::leaf_hash(entry)).collect();
    for (name, bytes) in tiles::hash_tiles(&leaves) {
        let path = format!("log/{name}");
        if durable::read(&dir.join(&path))? != bytes {
            return Err(VerifyError::Tile { path });
        }
    }
    let found = merkle::root(&leaves);
    if found != checkpoint.root {
        return Err(VerifyError::Root { expected: checkpoint.root, found });
    }
    let entries = raw.iter().enumerate().map(|(index, raw)| entry(dir, index as u64, raw, keys));
    let entries = entries.collect::<Result<_, _>>()?;
    Ok(Read { checkpoint, raw, leaves, entries })
}

fn entry(dir: &Path, index: u64, raw: &[u8], keys: &[VerifyingKey]) -> Result<Entry, VerifyError> {
    let set = std::str::from_utf8(raw).ok().and_then(|text| Json::parse(text).ok());
    let hex = set.as_ref().and_then(|set| set.get("sha256")).and_then(Json::as_text);
    let envelope: Digest = hex.and_then(|hex| hex.parse().ok()).ok_or(VerifyError::Entry { index })?;
    if Json::from(envelope).canonical().as_bytes() != raw {
        return Err(VerifyError::Entry { index });
    }
    let path = format!("envelopes/{envelope}.json");
    let text = read_text(dir, &path)?;
    let found = Digest::of(text.as_bytes());
    if found != envelope {
        return Err(VerifyError::Envelope { path, found });
    }
    let payload = dsse::open(&text, keys).map_err(|source| VerifyError::Dsse { path: path.clone(), source })?;
    let statement =
        Statement::parse(&payload).map_err(|source| VerifyError::Statement { path: path.clone(), source })?;
    if statement.canonical() != payload {
        return Err(VerifyError::Encoding { path });
    }
    Ok(Entry { index, envelope, statement })
}

/// The files of `log/` and `envelopes/` that a log with these entries has.
pub(crate) fn demanded(raw: &[Vec<u8>], leaves: &[Digest], entries: &[Entry]) -> BTreeSet<String> {
    let tiles = tiles::hash_tiles(leaves).into_keys().chain(tiles::entry_bundles(raw).into_keys());
    let mut names: BTreeSet<String> = tiles.map(|name| format!("log/{name}")).collect();
    names.insert("log/checkpoint".to_owned());
    names.extend(entries.iter().map(|entry| format!("envelopes/{}.json", entry.envelope)));
    names
}

/// The first file of `log/` or `envelopes/` that the checked log does not account for.
///
/// # Errors
/// `Unexpected` naming it.
pub fn unexpected(dir: &Path, read: &Read) -> Result<(), VerifyError> {
    let demanded = demanded(&read.raw, &read.leaves, &read.entries);
    for part in ["log", "envelopes"] {
        if !dir.join(part).is_dir() {
            continue;
        }
        for file in durable::files_below(&dir.join(part))? {
            let path = format!("{part}/{file}");
            if !demanded.contains(&path) {
                return Err(VerifyError::Unexpected { path });
            }
        }
    }
    Ok(())
}

fn read_text(dir: &Path, path: &str) -> Result<String, VerifyError> {
    let bytes = durable::read(&dir.join(path))?;
    String::from_utf8(bytes).map_err(|_| VerifyError::NotText { path: path.to_owned() })
}
