//! The ledger that is written: append a statement, durably, then say so.

use crate::{
    checkpoint::{Checkpoint, CheckpointError, check_origin},
    dsse::{Envelope, EnvelopeError},
    durable::{self, DurableError},
    key::{Key, KeyError, VerifyingKey},
    merkle::{self, Tree},
    receipt::Receipt,
    recover::{self, Recovered},
    tiles::{self, Content, Tile},
};
use evidence::{Digest, Json, Statement, StatementError};
use jiff::Timestamp;
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

pub(crate) const CHECKPOINT: &str = "log/checkpoint";

/// A statement in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub index: u64,
    /// Of the envelope file, which is named by it.
    pub envelope: Digest,
    /// As it is read back: decimals are text.
    pub statement: Statement,
    /// The statement's `predicate.at`.
    pub at: Timestamp,
}

/// The bytes that the log holds for an envelope: its canonical in-toto `DigestSet`.
#[must_use]
pub fn entry_bytes(envelope: &Digest) -> Vec<u8> {
    Json::from(*envelope).canonical().into_bytes()
}

/// The digest of the envelope that an entry of the log stands for.
#[must_use]
pub(crate) fn envelope_of(entry: &[u8]) -> Option<Digest> {
    let hex = entry.strip_prefix(br#"{"sha256":""#)?.strip_suffix(br#""}"#)?;
    std::str::from_utf8(hex).ok()?.parse().ok()
}

/// Where the envelope of that digest stands below the folder.
#[must_use]
pub fn envelope_path(envelope: &Digest) -> String {
    format!("envelopes/{envelope}.json")
}

/// The time that a statement says it was made at: `predicate.at`, RFC 3339.
#[must_use]
pub fn time_of(statement: &Statement) -> Option<Timestamp> {
    statement.predicate.get("at")?.as_text()?.parse().ok()
}

/// The one writer of a folder's log; others are kept out by a lock until it is dropped.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    key: Key,
    origin: String,
    tree: Tree,
    entries: Vec<Entry>,
    recovered: Recovered,
    /// After a write that failed, what is on disk is found out only by opening again.
    broken: bool,
    _lock: File,
}

impl Ledger {
    /// Opens the log in `folder`, or starts an empty one when there is none. What a crash left unfinished is finished
    /// or removed, see [`Ledger::recovered`].
    ///
    /// # Errors
    /// `Locked` when another holds it; otherwise what of the log is wrong, with the file and the way out. Nothing is
    /// repaired that a crash of this program cannot explain.
    pub fn open(folder: impl AsRef<Path>, key: Key, origin: &str) -> Result<Self, LedgerError> {
        let folder = folder.as_ref().to_owned();
        check_origin(origin).map_err(LedgerError::Origin)?;
        durable::create_folder(&folder)?;
        let lock = lock(&folder)?;
        if !folder.join(CHECKPOINT).exists() {
            create(&folder, &key, origin)?;
        }
        let recovered = recover::open(&folder, &key, origin)?;
        let recover::Opened { tree, entries, recovered } = recovered;
        Ok(Self { folder, key, origin: origin.to_owned(), tree, entries, recovered, broken: false, _lock: lock })
    }

    /// Signs a statement and adds it to the log. When this returns, the entry survives any crash.
    ///
    /// Order: envelope, bundle, tiles, checkpoint, each written whole and synced; then the partial tiles that the new
    /// checkpoint has no use for are removed.
    ///
    /// # Errors
    /// `NoTime` when the statement does not say when it was made; `Durable` when a file could not be written; `Broken`
    /// after that. An entry whose append failed is in the log or not, as the next opening finds.
    pub fn append(&mut self, statement: &Statement) -> Result<Entry, LedgerError> {
        if self.broken {
            return Err(LedgerError::Broken { folder: self.folder.display().to_string() });
        }
        let payload = statement.canonical();
        // Read back what is about to be signed, so that nothing is recorded that no reader accepts.
        let statement = Statement::parse(&payload)?;
        let at = time_of(&statement).ok_or(LedgerError::NoTime)?;
        let text = Envelope::sign_statement(&statement, &self.key).to_text();
        let envelope = Digest::of(text.as_bytes());
        let entry = Entry { index: self.tree.size(), envelope, statement, at };
        self.broken = true;
        self.write(&entry, &text)?;
        self.broken = false;
        self.entries.push(entry.clone());
        Ok(entry)
    }

    fn write(&mut self, entry: &Entry, envelope: &str) -> Result<(), LedgerError> {
        let path = self.folder.join(envelope_path(&entry.envelope));
        durable::create_folder(&self.folder.join("envelopes"))?;
        durable::write_atomic(&path, envelope.as_bytes())?;
        self.tree.push(merkle::leaf_hash(&entry_bytes(&entry.envelope)));
        let size = self.tree.size();
        for tile in tiles::grown(size) {
            let bytes = self.tile(&tile, entry).ok_or(LedgerError::Inconsistent)?;
            write_tile(&self.folder, &tile, &bytes)?;
        }
        let head = Checkpoint { origin: self.origin.clone(), size, root: self.tree.root() };
        publish(&self.folder, &head, &self.key)?;
        recover::remove_superseded(&self.folder, size)?;
        Ok(())
    }

    /// The bytes of a tile once `last` is in the tree.
    fn tile(&self, tile: &Tile, last: &Entry) -> Option<Vec<u8>> {
        if tile.content != Content::Entries {
            return tile.hashes(&self.tree);
        }
        let before = self.entries.iter().skip(usize::try_from(tile.index).ok()?.checked_mul(256)?);
        let entries: Vec<_> = before.chain([last]).map(|entry| entry_bytes(&entry.envelope)).collect();
        tiles::bundle(entries.iter().map(Vec::as_slice)).filter(|_| entries.len() == usize::from(tile.width))
    }

    /// All entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What opening found unfinished.
    #[must_use]
    pub const fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// When the last statement says it was made: a caller whose clock is behind it has had its clock set back.
    #[must_use]
    pub fn last_at(&self) -> Option<Timestamp> {
        self.entries.last().map(|entry| entry.at)
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    /// The present head.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: self.origin.clone(), size: self.tree.size(), root: self.tree.root() }
    }

    /// The receipt of an entry under the present head; nothing for an index that is not there.
    ///
    /// # Errors
    /// `Broken` after a write that failed.
    pub fn receipt(&self, index: u64) -> Result<Option<Receipt>, LedgerError> {
        if self.broken {
            return Err(LedgerError::Broken { folder: self.folder.display().to_string() });
        }
        let Some(proof) = self.tree.inclusion_proof(index, self.tree.size()) else { return Ok(None) };
        let checkpoint = self.checkpoint().sign(&self.key).map_err(LedgerError::Origin)?.to_string();
        Ok(Some(Receipt { extra: None, index, proof, checkpoint }))
    }
}

fn lock(folder: &Path) -> Result<File, LedgerError> {
    let path = folder.join(".lock");
    let read = |source| LedgerError::Read { path: path.display().to_string(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(read)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Locked { path: path.display().to_string() }),
        Err(TryLockError::Error(source)) => Err(read(source)),
    }
}

/// The empty log: the public key, then a head of no entries.
fn create(folder: &Path, key: &Key, origin: &str) -> Result<(), LedgerError> {
    for below in ["envelopes", "log"] {
        let full = folder.join(below);
        let read = |source| LedgerError::Read { path: full.display().to_string(), source };
        let children = match fs::read_dir(&full) {
            Ok(children) => children.collect::<Result<Vec<_>, _>>().map_err(read)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(read(error)),
        };
        if children.iter().any(|child| !durable::is_leftover(&child.file_name().to_string_lossy())) {
            return Err(LedgerError::NoCheckpoint { path: folder.join(CHECKPOINT).display().to_string() });
        }
    }
    for below in ["envelopes", "keys", "log"] {
        durable::create_folder(&folder.join(below))?;
    }
    let public = key.verifying_key();
    durable::write_atomic(&folder.join("keys").join(public.file_name()), format!("{public}\n").as_bytes())?;
    let head = Checkpoint { origin: origin.to_owned(), size: 0, root: merkle::empty_root() };
    publish(folder, &head, key)
}

pub(crate) fn publish(folder: &Path, head: &Checkpoint, key: &Key) -> Result<(), LedgerError> {
    let note = head.sign(key).map_err(LedgerError::Origin)?;
    Ok(durable::write_atomic(&folder.join(CHECKPOINT), note.to_string().as_bytes())?)
}

fn write_tile(folder: &Path, tile: &Tile, bytes: &[u8]) -> Result<(), DurableError> {
    let path = folder.join("log").join(tile.path());
    if let Some(above) = path.parent() {
        durable::create_folder(above)?;
    }
    durable::write_atomic(&path, bytes)
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("another run holds `{path}`; wait for it to end or stop it, then run again")]
    Locked { path: String },
    #[error(transparent)]
    Durable(#[from] DurableError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the log cannot be signed under this origin")]
    Origin(#[source] CheckpointError),
    #[error("could not read `{path}`")]
    Read { path: String, source: io::Error },
    #[error("`{path}` is missing, but the log has entries; put back a copy of the folder, or start a new one elsewhere")]
    NoCheckpoint { path: String },
    #[error("`{path}` is not a checkpoint signed by `{key}`; use the key that started the log, or put back a copy of the folder")]
    Checkpoint { path: String, key: String, source: CheckpointError },
    #[error("`{path}` is of the log `{found}`, expected `{expected}`; use the origin that started the log")]
    OtherLog { path: String, expected: String, found: String },
    #[error("`{path}` is missing; put back a copy of the folder")]
    Missing { path: String },
    #[error("`{path}` does not hold what `log/checkpoint` signs; put back a copy of the folder")]
    Altered { path: String },
    #[error("`log/checkpoint` signs {size} entries, but `{path}` is of a later log; put back the latest copy of the folder")]
    RolledBack { size: u64, path: String },
    #[error("`{path}` is not a valid envelope; put back a copy of the folder")]
    Envelope { path: String, source: EnvelopeError },
    #[error("the statement has no `at` with the time at which it is made")]
    NoTime,
    #[error("the statement cannot be read back")]
    Statement(#[from] StatementError),
    #[error("an earlier write to `{folder}` failed; open the log again")]
    Broken { folder: String },
    #[error("the tree does not hold what was put into it")]
    Inconsistent,
}
