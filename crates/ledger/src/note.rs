//! C2SP signed notes.

use crate::key::{Key, VerifyingKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("the note has no blank line between text and signatures")]
    NoSignatures,
    #[error("the note holds a control character")]
    ControlCharacter,
    #[error("signature line {0} is malformed")]
    Line(usize),
    #[error("the signature of `{0}` does not belong to the text")]
    BadSignature(String),
    #[error("no signature by a key that is known here")]
    UnknownKeys,
}

/// Signs `text`, which must end in a newline.
#[must_use]
pub fn sign(text: &str, key: &Key) -> String {
    let verifying = key.verifying();
    let mut blob = verifying.id().to_vec();
    blob.extend(key.sign(text.as_bytes()));
    format!("{text}\n\u{2014} {} {}\n", verifying.name(), STANDARD.encode(blob))
}

/// The text of a note that at least one of `keys` signed.
///
/// SPEC: unknown keys are ignored; a known key whose signature fails rejects the note.
///
/// # Errors
/// `NoteError` with the cause.
pub fn open<'a>(note: &'a str, keys: &[VerifyingKey]) -> Result<&'a str, NoteError> {
    if note.chars().any(|character| character.is_control() && character != '\n') {
        return Err(NoteError::ControlCharacter);
    }
    let split = note.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
    let (text, signatures) = (&note[..=split], &note[split + 2..]);
    let mut is_signed = false;
    if signatures.is_empty() || !signatures.ends_with('\n') {
        return Err(NoteError::Line(1));
    }
    for (position, line) in signatures.lines().enumerate() {
        let malformed = || NoteError::Line(position + 1);
        let (name, blob) =
            line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' ')).ok_or_else(malformed)?;
        let blob = STANDARD.decode(blob).map_err(|_| malformed())?;
        let (id, signature) = blob.split_at_checked(4).ok_or_else(malformed)?;
        for key in keys.iter().filter(|key| key.name() == name && key.id() == id) {
            if !key.verifies(text.as_bytes(), signature) {
                return Err(NoteError::BadSignature(name.to_owned()));
            }
            is_signed = true;
        }
    }
    if is_signed { Ok(text) } else { Err(NoteError::UnknownKeys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the C2SP signed-note page.
    #[test]
    fn the_published_example_opens() {
        let key = VerifyingKey::parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
        let text = "This is an example message.\n";
        let blob = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=";
        let note = format!("{text}\n\u{2014} example.com/foo {blob}\n");
        assert_eq!(open(&note, std::slice::from_ref(&key)), Ok(text));
        let stranger = format!("{note}\u{2014} stranger AAAAAAAA\n");
        assert_eq!(open(&stranger, std::slice::from_ref(&key)), Ok(text));
        assert_eq!(
            open(&note.replace("example message", "Example message"), &[key]),
            Err(NoteError::BadSignature("example.com/foo".into()))
        );
        assert_eq!(open(&note, &[]), Err(NoteError::UnknownKeys));
        assert_eq!(open(text, &[]), Err(NoteError::NoSignatures));
    }
}
