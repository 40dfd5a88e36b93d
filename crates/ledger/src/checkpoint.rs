//! C2SP tlog-checkpoint: the signed head of the log.

use crate::key::{Key, VerifyingKey};
use crate::note::{self, NoteError};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use evidence::Digest;

/// Origin, size and root of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// A name without scheme, white space and trailing slash.
    pub origin: String,
    pub size: u64,
    pub root: Digest,
}

impl Checkpoint {
    /// The signed note.
    #[must_use]
    pub fn sign(&self, key: &Key) -> String {
        let Self { origin, size, root } = self;
        note::sign(&format!("{origin}\n{size}\n{}\n", STANDARD.encode(root.as_bytes())), key)
    }

    /// Reads a signed checkpoint.
    ///
    /// # Errors
    /// `NoteError`; a body that is not a checkpoint's counts as malformed.
    pub fn open(text: &str, keys: &[VerifyingKey]) -> Result<Self, NoteError> {
        let body = note::open(text, keys)?;
        let mut lines = body.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::NoSignatures);
        };
        let size: u64 = size.parse().ok().filter(|n: &u64| n.to_string() == size).ok_or(NoteError::NoSignatures)?;
        let root = STANDARD.decode(root).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let root = Digest::from_bytes(root.ok_or(NoteError::NoSignatures)?);
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}
