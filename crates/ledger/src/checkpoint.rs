//! The signed head of the log: C2SP tlog-checkpoint.

use crate::{
    encoding::{from_base64, to_base64, to_count},
    key::{Key, VerifyingKey},
    note::{Note, NoteError},
};
use evidence::Digest;

/// What a log says of itself: its identity, how many entries it has, and the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity: a URL prefix without scheme and closing slash.
    pub origin: String,
    pub size: u64,
    pub root: Digest,
}

impl Checkpoint {
    /// The note of this head, signed: the same head and key give the same bytes.
    ///
    /// # Errors
    /// `Origin` when the origin is not of the form.
    pub fn sign(&self, key: &Key) -> Result<Note, CheckpointError> {
        check_origin(&self.origin)?;
        Ok(Note::sign(&self.text(), &[key])?)
    }

    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, to_base64(self.root.as_bytes()))
    }

    /// Verifies a checkpoint file, then reads the text verified.
    ///
    /// # Errors
    /// `CheckpointError` when the note is malformed, none of `keys` signed it, or its text is no checkpoint.
    pub fn open<'k>(bytes: &[u8], keys: &'k [VerifyingKey]) -> Result<(Self, Vec<&'k VerifyingKey>), CheckpointError> {
        let note = Note::parse(bytes)?;
        let (text, signers) = note.verify(keys)?;
        Ok((Self::parse(text)?, signers))
    }

    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split_terminator('\n');
        let mut line = |what: &'static str| lines.next().ok_or(CheckpointError::Line(what));
        let origin = line("origin")?.to_owned();
        let size = to_count(line("size")?).ok_or(CheckpointError::Line("size"))?;
        let root = from_base64(line("root")?).and_then(|root| root.try_into().ok());
        let root = Digest::from_bytes(root.ok_or(CheckpointError::Line("root"))?);
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(CheckpointError::Line("origin"));
        }
        Ok(Self { origin, size, root })
    }
}

/// Whether an origin may name a log of ours.
///
/// # Errors
/// `Origin` for one that is empty, has spaces, control characters or `+`, a scheme, or a closing slash.
pub(crate) fn check_origin(origin: &str) -> Result<(), CheckpointError> {
    let stray = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    let bad = origin.is_empty() || origin.contains(stray) || origin.contains("://") || origin.ends_with('/');
    if bad { Err(CheckpointError::Origin(origin.to_owned())) } else { Ok(()) }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("the {0} line is absent or malformed")]
    Line(&'static str),
    #[error("expected an origin like `example.com/log`, without scheme, spaces, `+` and closing slash, found `{0}`")]
    Origin(String),
}
