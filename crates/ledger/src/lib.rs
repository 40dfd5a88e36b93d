//! The record: signed statements in an append-only log that anybody can check from the standards alone.
//!
//! In: statements and a key. Out: a folder with `envelopes/<sha256>.json` (DSSE), `log/` (C2SP tlog-tiles with a signed
//! checkpoint) and `keys/` (public), and from such a folder, offline, a list of checks and the verified statements.
//!
//! ```
//! use evidence::{Digest, Json, Predicate, Statement, Subject};
//! use ledger::{Key, Ledger, verify};
//!
//! let folder = std::env::temp_dir().join(format!("ledger-example-{}", std::process::id()));
//! # let _ = std::fs::remove_dir_all(&folder);
//! let key = Key::generate("example.com/log")?;
//! let mut ledger = Ledger::open(&folder, key, "example.com/log")?;
//! let predicate = Json::map([("at", Some("2026-11-23T10:00:00Z".into())), ("reason", Some("budget".into()))]);
//! let subjects = vec![Subject::new("weights", Digest::of(b"weights"))];
//! let entry = ledger.append(&Statement { subjects, predicate_type: Predicate::Stop, predicate })?;
//! assert_eq!(entry.index, 0);
//!
//! let verified = verify(&folder, None);
//! assert!(verified.ok());
//! assert_eq!(verified.entries, ledger.entries());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It knows no policy, no model and no clock, and reaches no network. A log that one party keeps and signs proves order
//! and completeness only to someone who holds an earlier checkpoint or receipt, or who got the public key elsewhere.

mod check;
mod checkpoint;
pub mod dsse;
pub mod durable;
mod encoding;
mod key;
mod log;
pub mod manifest;
pub mod merkle;
pub mod note;
mod receipt;
mod recover;
pub mod tiles;
mod verify;

pub use check::{Check, Outcome};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use dsse::{Envelope, EnvelopeError};
pub use durable::DurableError;
pub use key::{Key, KeyError, VerifyingKey};
pub use log::{Entry, Ledger, LedgerError, entry_bytes, envelope_path, time_of};
pub use note::{Note, NoteError};
pub use receipt::{Receipt, ReceiptError};
pub use recover::Recovered;
pub use verify::{Verified, verify};

#[cfg(test)]
mod crash_test;
