//! C2SP signed notes: text that several keys may sign.

use crate::{
    encoding::{from_base64, to_base64},
    key::{Key, VerifyingKey},
};
use std::fmt;

/// More signatures than this are refused; the specification asks for at least 16.
pub const SIGNATURES_MAX: usize = 100;

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    pub name: String,
    pub id: u32,
    pub bytes: Vec<u8>,
}

/// A note. Its text means nothing before [`Note::verify`]. Displays as the note file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Signs `text`, which ends in a newline.
    ///
    /// # Errors
    /// `Text` when the text does not end in a newline or has other control characters.
    pub fn sign(text: &str, keys: &[&Key]) -> Result<Self, NoteError> {
        if !text.ends_with('\n') || has_control(text) {
            return Err(NoteError::Text);
        }
        let line = |key: &&Key| NoteSignature {
            name: key.name().to_owned(),
            id: key.verifying_key().id(),
            bytes: key.sign(text.as_bytes()).to_vec(),
        };
        Ok(Self { text: text.to_owned(), signatures: keys.iter().map(line).collect() })
    }

    /// Reads a note; the text ends at the last empty line.
    ///
    /// # Errors
    /// `NoteError` when it is not of the form, without believing anything it says.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Utf8)?;
        if has_control(note) {
            return Err(NoteError::Control);
        }
        let blank = note.rfind("\n\n").ok_or(NoteError::NoBlankLine)?;
        let (text, lines) = note.split_at_checked(blank + 1).ok_or(NoteError::NoBlankLine)?;
        let lines = lines.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n')).ok_or(NoteError::NoSignature)?;
        let mut signatures = Vec::new();
        for (position, line) in lines.split('\n').enumerate() {
            if position >= SIGNATURES_MAX {
                return Err(NoteError::TooMany);
            }
            signatures.push(signature(line).ok_or(NoteError::Signature { line: position + 1 })?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, and those of `keys` that signed it. Signatures of unknown keys are ignored; one of a known key that
    /// fails refuses the note.
    ///
    /// # Errors
    /// `Bad` with the key whose signature fails; `Unsigned` when none of `keys` signed.
    pub fn verify<'k>(&self, keys: &'k [VerifyingKey]) -> Result<(&str, Vec<&'k VerifyingKey>), NoteError> {
        let mut signers: Vec<&VerifyingKey> = Vec::new();
        for signature in &self.signatures {
            let mut known = keys.iter().filter(|key| key.name() == signature.name && key.id() == signature.id).peekable();
            if known.peek().is_none() {
                continue;
            }
            let signer = known.find(|key| key.verifies(self.text.as_bytes(), &signature.bytes));
            let signer = signer.ok_or_else(|| NoteError::Bad { name: signature.name.clone(), id: signature.id })?;
            if !signers.contains(&signer) {
                signers.push(signer);
            }
        }
        if signers.is_empty() { Err(NoteError::Unsigned) } else { Ok((&self.text, signers)) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, id, bytes } in &self.signatures {
            let mut field = id.to_be_bytes().to_vec();
            field.extend_from_slice(bytes);
            writeln!(f, "— {name} {}", to_base64(&field))?;
        }
        Ok(())
    }
}

fn signature(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
    let field = from_base64(encoded)?;
    let (id, bytes) = field.split_first_chunk::<4>()?;
    let valid = !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace()) && !bytes.is_empty();
    valid.then(|| NoteSignature { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
}

fn has_control(text: &str) -> bool {
    text.bytes().any(|byte| byte < 0x20 && byte != b'\n')
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("expected text ending in a newline, without other control characters")]
    Text,
    #[error("the note is not UTF-8")]
    Utf8,
    #[error("the note has a control character")]
    Control,
    #[error("the note has no empty line before its signatures")]
    NoBlankLine,
    #[error("the note has no signature line, or its last line does not end")]
    NoSignature,
    #[error("signature line {line} is malformed")]
    Signature { line: usize },
    #[error("the note has more than 100 signatures")]
    TooMany,
    #[error("the signature of `{name}+{id:08x}` does not fit the text")]
    Bad { name: String, id: u32 },
    #[error("none of the known keys signed")]
    Unsigned,
}
