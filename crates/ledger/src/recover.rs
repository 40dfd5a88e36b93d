//! Opening a log after anything: the signed head says what was acknowledged; what lies beyond it was in flight.
//!
//! An append writes envelope, bundle and tiles before it signs. So an entry beyond the head whose files are all there
//! may have been signed for: it is finished, which gives the very head that may have been signed, and no two heads are
//! ever at odds. One with a file missing was never signed for: its files are removed. More than one entry beyond the
//! head cannot come from a crash: the head was set back, and the log is not opened.

use crate::{
    checkpoint::Checkpoint,
    dsse::{Envelope, EnvelopeError},
    durable,
    key::{Key, VerifyingKey},
    log::{self, CHECKPOINT, Entry, LedgerError, entry_bytes, envelope_path},
    manifest,
    merkle::{self, Tree},
    tiles::{self, Content, Tile},
};
use evidence::Digest;
use std::{collections::BTreeSet, fs, io, path::Path};

/// What a crash had left unfinished.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The index of an entry that was complete but perhaps not acknowledged, and is now in the log.
    pub finished: Option<u64>,
    /// Files that were removed, below the folder: torn writes, and those of an entry that was not complete.
    pub removed: Vec<String>,
}

pub(crate) struct Opened {
    pub(crate) tree: Tree,
    pub(crate) entries: Vec<Entry>,
    pub(crate) recovered: Recovered,
}

pub(crate) fn open(folder: &Path, key: &Key, origin: &str) -> Result<Opened, LedgerError> {
    let keys = [key.verifying_key().clone()];
    let head = head(folder, &keys, origin)?;
    let found = found(folder)?;
    let beyond = |tile: &&Tile| tile.size_min() > head.size.saturating_add(1);
    if let Some(tile) = found.tiles.iter().find(beyond) {
        let path = shown(folder, &format!("log/{}", tile.path()));
        return Err(LedgerError::RolledBack { size: head.size, path });
    }
    let mut entries = Vec::new();
    for tile in tiles::bundles(head.size) {
        bundle(folder, &tile, &keys, &mut entries)?;
    }
    let mut tree = Tree::from_leaves(entries.iter().map(leaf));
    if tree.root() != head.root {
        return Err(altered(folder, head.size));
    }
    check_tiles(folder, &tree)?;
    let mut recovered = Recovered::default();
    if let Some((entry, grown)) = in_flight(folder, &tree, &entries, &keys) {
        log::publish(folder, &Checkpoint { size: grown.size(), root: grown.root(), ..head }, key)?;
        recovered.finished = Some(entry.index);
        entries.push(entry);
        tree = grown;
    }
    recovered.removed = remove_unwanted(folder, &found, &entries)?;
    let public = key.verifying_key();
    let path = format!("keys/{}", public.file_name());
    if read(folder, &path)? != format!("{public}\n").into_bytes() {
        return Err(LedgerError::Altered { path: shown(folder, &path) });
    }
    Ok(Opened { tree, entries, recovered })
}

fn head(folder: &Path, keys: &[VerifyingKey; 1], origin: &str) -> Result<Checkpoint, LedgerError> {
    let path = shown(folder, CHECKPOINT);
    let bytes = read(folder, CHECKPOINT)?;
    let [key] = keys;
    let opened = Checkpoint::open(&bytes, keys);
    let (head, _) =
        opened.map_err(|source| LedgerError::Checkpoint { path: path.clone(), key: key.to_string(), source })?;
    if head.origin == origin {
        return Ok(head);
    }
    Err(LedgerError::OtherLog { path, expected: origin.to_owned(), found: head.origin })
}

/// Reads one bundle and the envelopes of its entries.
fn bundle(folder: &Path, tile: &Tile, keys: &[VerifyingKey], entries: &mut Vec<Entry>) -> Result<(), LedgerError> {
    let path = format!("log/{}", tile.path());
    let altered = || LedgerError::Altered { path: shown(folder, &path) };
    let bytes = read(folder, &path)?;
    for entry in tiles::parse_bundle(&bytes, tile.width).map_err(|_| altered())? {
        let digest = log::envelope_of(entry).ok_or_else(altered)?;
        entries.push(entry_of(folder, entries.len() as u64, digest, keys)?);
    }
    Ok(())
}

fn entry_of(folder: &Path, index: u64, envelope: Digest, keys: &[VerifyingKey]) -> Result<Entry, LedgerError> {
    let path = envelope_path(&envelope);
    let wrong = |source| LedgerError::Envelope { path: shown(folder, &path), source };
    let bytes = read(folder, &path)?;
    if Digest::of(&bytes) != envelope {
        return Err(LedgerError::Altered { path: shown(folder, &path) });
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong(EnvelopeError::Canonical))?;
    let statement = Envelope::parse(text).and_then(|envelope| envelope.statement(keys)).map_err(wrong)?;
    let at = log::time_of(&statement).ok_or_else(|| wrong(EnvelopeError::Member("at")))?;
    Ok(Entry { index, envelope, statement, at })
}

fn leaf(entry: &Entry) -> Digest {
    merkle::leaf_hash(&entry_bytes(&entry.envelope))
}

/// Which bundle to name when the root is wrong: the first whose entries differ from the hashes beside it.
fn altered(folder: &Path, size: u64) -> LedgerError {
    let differs = |(bundle, hashes): &(Tile, Tile)| {
        let read = |tile: &Tile| read(folder, &format!("log/{}", tile.path())).ok();
        let (Some(entries), Some(hashes)) = (read(bundle), read(hashes)) else { return true };
        let leaves = tiles::parse_bundle(&entries, bundle.width)
            .map(|entries| entries.into_iter().map(merkle::leaf_hash).collect::<Vec<_>>());
        leaves.ok() != tiles::parse_hashes(&hashes, bundle.width).ok()
    };
    let first = tiles::bundles(size).zip(tiles::hashes(0, size)).find(differs);
    let path = first.map_or_else(|| CHECKPOINT.to_owned(), |(bundle, _)| format!("log/{}", bundle.path()));
    LedgerError::Altered { path: shown(folder, &path) }
}

fn check_tiles(folder: &Path, tree: &Tree) -> Result<(), LedgerError> {
    for tile in tiles::layout(tree.size()).filter(|tile| tile.content != Content::Entries) {
        let path = format!("log/{}", tile.path());
        if Some(read(folder, &path)?) != tile.hashes(tree) {
            return Err(LedgerError::Altered { path: shown(folder, &path) });
        }
    }
    Ok(())
}

/// The entry after the head, and the tree with it, when every file that its append writes before signing is there.
fn in_flight(folder: &Path, tree: &Tree, entries: &[Entry], keys: &[VerifyingKey]) -> Option<(Entry, Tree)> {
    let size = tree.size() + 1;
    let (bundle, hashes) = tiles::grown(size).split_first().map(|(first, rest)| (*first, rest.to_vec()))?;
    let bytes = read(folder, &format!("log/{}", bundle.path())).ok()?;
    let held = tiles::parse_bundle(&bytes, bundle.width).ok()?;
    let before = usize::from(bundle.width) - 1;
    let expected = entries.iter().skip(entries.len() - before).map(|entry| entry_bytes(&entry.envelope));
    if !held.iter().take(before).copied().eq(expected) {
        return None;
    }
    let entry = entry_of(folder, tree.size(), log::envelope_of(held.last()?)?, keys).ok()?;
    let mut grown = tree.clone();
    grown.push(leaf(&entry));
    let whole = |tile: &Tile| read(folder, &format!("log/{}", tile.path())).ok() == tile.hashes(&grown);
    hashes.iter().all(whole).then_some((entry, grown))
}

struct Found {
    tiles: Vec<Tile>,
    envelopes: Vec<Digest>,
    leftovers: Vec<String>,
}

/// The files below `log/`, `envelopes/` and `keys/` that are of a kind this program writes. Others are not touched.
fn found(folder: &Path) -> Result<Found, LedgerError> {
    let mut found = Found { tiles: Vec::new(), envelopes: Vec::new(), leftovers: Vec::new() };
    for below in ["log/", "envelopes/", "keys/"] {
        let mut paths = Vec::new();
        let full = folder.join(below);
        if full.exists() {
            manifest::list(&full, below, &[], &mut paths).map_err(|error| match error {
                manifest::ManifestError::Read { path, source } => LedgerError::Read { path: shown(folder, &path), source },
                manifest::ManifestError::Path { path } => LedgerError::Altered { path: shown(folder, &path) },
            })?;
        }
        paths.sort();
        for path in paths {
            let digest = path.strip_prefix("envelopes/").and_then(|name| name.strip_suffix(".json")?.parse().ok());
            if path.rsplit('/').next().is_some_and(durable::is_leftover) {
                found.leftovers.push(path);
            } else if let Some(tile) = path.strip_prefix("log/").and_then(Tile::from_path) {
                found.tiles.push(tile);
            } else if let Some(digest) = digest {
                found.envelopes.push(digest);
            }
        }
    }
    Ok(found)
}

fn remove_unwanted(folder: &Path, found: &Found, entries: &[Entry]) -> Result<Vec<String>, LedgerError> {
    let wanted: BTreeSet<Tile> = tiles::layout(entries.len() as u64).collect();
    let logged: BTreeSet<Digest> = entries.iter().map(|entry| entry.envelope).collect();
    let envelopes: Vec<_> = found.envelopes.iter().filter(|digest| !logged.contains(digest)).collect();
    if let [_, second, ..] = envelopes.as_slice() {
        let path = shown(folder, &envelope_path(second));
        return Err(LedgerError::RolledBack { size: entries.len() as u64, path });
    }
    let mut removed = found.leftovers.clone();
    removed.extend(found.tiles.iter().filter(|tile| !wanted.contains(tile)).map(|tile| format!("log/{}", tile.path())));
    removed.extend(envelopes.into_iter().map(envelope_path));
    for path in &removed {
        durable::remove_file(&folder.join(path))?;
        remove_if_empty(folder, path);
    }
    Ok(removed)
}

/// Removes the partial tiles that stood in the place of those that a log of `size` entries gained last.
pub(crate) fn remove_superseded(folder: &Path, size: u64) -> Result<(), LedgerError> {
    for tile in tiles::grown(size) {
        if tile.width > 1 {
            let path = format!("log/{}", Tile { width: tile.width - 1, ..tile }.path());
            durable::remove_file(&folder.join(&path))?;
            remove_if_empty(folder, &path);
        }
    }
    Ok(())
}

/// Removes the `.p` folder of a partial tile once nothing is in it. A folder alone says nothing, so failing is no error.
fn remove_if_empty(folder: &Path, path: &str) {
    if let Some((above, _)) = path.rsplit_once('/').filter(|(above, _)| above.ends_with(".p")) {
        let _ = fs::remove_dir(folder.join(above));
    }
}

fn read(folder: &Path, path: &str) -> Result<Vec<u8>, LedgerError> {
    fs::read(folder.join(path)).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => LedgerError::Missing { path: shown(folder, path) },
        _ => LedgerError::Read { path: shown(folder, path), source },
    })
}

fn shown(folder: &Path, path: &str) -> String {
    folder.join(path).display().to_string()
}
