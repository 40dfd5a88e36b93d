//! Envelopes, the tiled log, checkpoints, proofs, and their verification.
//!
//! In: statements, and a signing key. Out: a folder that another program can check from public standards: DSSE envelopes, C2SP
//! tlog-tiles, a signed-note checkpoint. It cannot tell a decision from a cat picture, and it has no clock.
//!
//! ```
//! use evidence::{Digest, Json, Predicate, Statement, Subject};
//! use ledger::{Key, Ledger, keys_in, read};
//!
//! let dir = tempfile::tempdir()?;
//! let mut ledger = Ledger::open(dir.path(), Key::generate("example")?, "example/log")?;
//! let subject = Subject::new("weights", Digest::of(b"weights"));
//! let statement = Statement { subjects: vec![subject], predicate_type: Predicate::Seal, predicate: Json::map([]) };
//! let entry = ledger.append(&statement)?;
//! let checked = read(dir.path(), &keys_in(dir.path())?)?;
//! assert_eq!(checked.entries, [entry]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
pub mod dsse;
pub mod durable;
mod key;
mod log;
mod manifest;
pub mod merkle;
pub mod note;
pub mod tiles;
mod verify;

pub use checkpoint::Checkpoint;
pub use key::{Key, KeyError, VerifyingKey};
pub use log::{Entry, LOCK, Ledger, LedgerError};
pub use manifest::{Sealed, differences, manifest};
pub use verify::{Read, VerifyError, keys_in, read, unexpected};
