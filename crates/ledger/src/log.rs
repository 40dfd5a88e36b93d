//! The log as a folder: appended to durably, opened after any crash.

use crate::checkpoint::Checkpoint;
use crate::durable::{self, DurableError, UNFINISHED};
use crate::key::{self, Key};
use crate::verify::{self, Read, VerifyError};
use crate::{dsse, merkle, tiles};
use evidence::{Digest, Json, Statement, StatementError};
use jiff::Timestamp;
use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// The file whose lock says that someone is writing.
pub const LOCK: &str = ".lock";

/// One acknowledged entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position in the log, from 0.
    pub index: u64,
    /// SHA-256 of the envelope file, and so its name.
    pub envelope: Digest,
    pub statement: Statement,
}

impl Entry {
    /// When the statement was recorded, as it says itself.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.statement.predicate.get("at")?.as_text()?.parse().ok()
    }
}

/// An open log with its folder `DIR`: `log/`, `envelopes/`, `keys/`.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    origin: String,
    key: Key,
    raw: Vec<Vec<u8>>,
    leaves: Vec<Digest>,
    entries: Vec<Entry>,
    removed: Vec<String>,
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("another run holds {}; wait until it has ended, or choose another folder with `--out`", .path.display())]
    Held { path: PathBuf },
    #[error("the lock {} cannot be taken", .path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Durable(#[from] DurableError),
    #[error("the statement cannot be read back and is not signed")]
    Statement(#[from] StatementError),
    #[error("the log in {} does not stand up and is not written to; keep it as it is and choose another folder with `--out`", .dir.display())]
    Broken { dir: PathBuf, source: VerifyError },
    #[error("the log in {} was signed by another key than {key}; give that key with `--key`, or choose another folder with `--out`", .dir.display())]
    OtherKey { dir: PathBuf, key: String },
}

impl Ledger {
    /// Opens the log in `dir`, or begins one. What a crash left beyond the last checkpoint is removed and named by
    /// [`Ledger::removed`].
    ///
    /// # Errors
    /// `LedgerError`; nothing is changed then.
    pub fn open(dir: &Path, key: Key, origin: &str) -> Result<Self, LedgerError> {
        fs::create_dir_all(dir).map_err(|source| LedgerError::Lock { path: dir.to_path_buf(), source })?;
        let lock = lock(dir)?;
        let mut ledger = Self {
            dir: dir.to_path_buf(),
            origin: origin.to_owned(),
            key,
            raw: Vec::new(),
            leaves: Vec::new(),
            entries: Vec::new(),
            removed: Vec::new(),
            _lock: lock,
        };
        if dir.join("log/checkpoint").exists() {
            ledger.take_up()?;
        } else {
            ledger.clean(&BTreeSet::new())?;
            key::publish(&ledger.key.verifying(), dir)?;
            ledger.write_checkpoint()?;
        }
        Ok(ledger)
    }

    /// Reads what the checkpoint acknowledges, with every check of a verifier.
    fn take_up(&mut self) -> Result<(), LedgerError> {
        let keys = [self.key.verifying()];
        let Read { checkpoint, raw, leaves, entries } = verify::read(&self.dir, &keys).map_err(|source| match source {
            VerifyError::Checkpoint(crate::note::NoteError::UnknownKeys) => {
                LedgerError::OtherKey { dir: self.dir.clone(), key: self.key.verifying().to_string() }
            }
            source => LedgerError::Broken { dir: self.dir.clone(), source },
        })?;
        self.origin = checkpoint.origin;
        (self.raw, self.leaves, self.entries) = (raw, leaves, entries);
        self.clean(&self.demanded())?;
        Ok(key::publish(&self.key.verifying(), &self.dir)?)
    }

    /// The files of `log/` and `envelopes/` that the entries demand.
    fn demanded(&self) -> BTreeSet<String> {
        verify::demanded(&self.raw, &self.leaves, &self.entries)
    }

    /// Removes from `log/` and `envelopes/` whatever is not demanded: the leftovers of a crash, and outgrown partial tiles.
    fn clean(&mut self, demanded: &BTreeSet<String>) -> Result<(), DurableError> {
        for part in ["log", "envelopes"] {
            let folder = self.dir.join(part);
            if !folder.is_dir() {
                continue;
            }
            for file in durable::files_below(&folder)? {
                let name = format!("{part}/{file}");
                if !demanded.contains(&name) && fs::remove_file(self.dir.join(&name)).is_ok() {
                    self.removed.push(name);
                }
            }
            remove_empty_folders(&folder);
        }
        for file in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if file.path().extension().is_some_and(|extension| extension == UNFINISHED) {
                let _ = fs::remove_file(file.path());
            }
        }
        Ok(())
    }

    /// What a crash had left beyond the last checkpoint, and opening removed.
    #[must_use]
    pub fn removed(&self) -> &[String] {
        &self.removed
    }

    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The root over all entries.
    #[must_use]
    pub fn root(&self) -> Digest {
        merkle::root(&self.leaves)
    }

    /// Signs a statement and appends it. When this returns the entry is on disk: envelope, tiles, checkpoint, in that order.
    ///
    /// The entry holds the statement as a reader will find it: decimals are text there.
    ///
    /// # Errors
    /// `LedgerError`; the log stands as before then, and what was written beyond it is removed when it is next opened.
    pub fn append(&mut self, statement: &Statement) -> Result<Entry, LedgerError> {
        let payload = statement.canonical();
        // Read back before it is signed, so that nothing is recorded that no reader accepts.
        let statement = Statement::parse(&payload)?;
        let envelope = dsse::seal(&payload, &self.key);
        let digest = Digest::of(envelope.as_bytes());
        durable::write_atomic(&self.dir.join(format!("envelopes/{digest}.json")), envelope.as_bytes())?;
        let raw = Json::from(digest).canonical().into_bytes();
        let leaf = merkle::leaf_hash(&raw);
        let entry = Entry { index: self.entries.len() as u64, envelope: digest, statement };
        self.raw.push(raw);
        self.leaves.push(leaf);
        self.entries.push(entry.clone());
        if let Err(error) = self.publish() {
            self.raw.pop();
            self.leaves.pop();
            self.entries.pop();
            return Err(error.into());
        }
        Ok(entry)
    }

    /// Writes the tiles that the new size has and the old one had not, then the checkpoint; then drops what is outgrown.
    fn publish(&mut self) -> Result<(), DurableError> {
        let files = tiles::hash_tiles(&self.leaves).into_iter().chain(tiles::entry_bundles(&self.raw));
        let mut kept = BTreeSet::new();
        for (name, bytes) in files {
            let path = self.dir.join("log").join(&name);
            if !path.exists() {
                durable::write_atomic(&path, &bytes)?;
            }
            kept.insert(name);
        }
        self.write_checkpoint()?;
        let tiles = durable::files_below(&self.dir.join("log/tile"))?;
        for outgrown in tiles.iter().map(|name| format!("tile/{name}")).filter(|name| !kept.contains(name)) {
            let path = self.dir.join("log").join(outgrown);
            let _ = fs::remove_file(&path);
            let _ = path.parent().map(fs::remove_dir);
        }
        Ok(())
    }

    fn write_checkpoint(&self) -> Result<(), DurableError> {
        let checkpoint =
            Checkpoint { origin: self.origin.clone(), size: self.leaves.len() as u64, root: self.root() };
        durable::write_atomic(&self.dir.join("log/checkpoint"), checkpoint.sign(&self.key).as_bytes())
    }
}

fn lock(dir: &Path) -> Result<File, LedgerError> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| LedgerError::Lock { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Held { path }),
        Err(TryLockError::Error(source)) => Err(LedgerError::Lock { path, source }),
    }
}

fn remove_empty_folders(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_empty_folders(&path);
            let _ = fs::remove_dir(&path);
        }
    }
}

