//! Ed25519 keys in the forms of C2SP signed-note: a private key file that nobody else may read, a verifier key line.

use crate::durable::{self, DurableError};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use evidence::Digest;
use std::{fmt, fs, io, path::{Path, PathBuf}};

/// SPEC: C2SP signed-note, signature type of Ed25519.
const ED25519: u8 = 0x01;

/// A verifier key: a name and an Ed25519 public key. Displays as `name+hash+base64`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifyingKey {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SPEC: C2SP signed-note, "Ed25519 signatures": first four bytes of SHA-256(name, newline, type, key).
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let mut bytes = self.name.as_bytes().to_vec();
        bytes.extend([b'\n', ED25519]);
        bytes.extend(self.key.as_bytes());
        let digest = Digest::of(&bytes);
        let [a, b, c, d, ..] = *digest.as_bytes();
        [a, b, c, d]
    }

    /// The id as eight hexadecimal digits: the `keyid` hint of our envelopes.
    #[must_use]
    pub fn id_hex(&self) -> String {
        self.id().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The public key itself: two names do not make two keys of one.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Whether `signature` is of this key over `message`; strict, so that one message has one signature form.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(bytes) = <[u8; 64]>::try_from(signature) else { return false };
        self.key.verify_strict(message, &Signature::from_bytes(&bytes)).is_ok()
    }

    /// Reads `name+hash+base64`.
    ///
    /// # Errors
    /// `KeyError::Verifier` with what is wrong.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let wrong = |cause: &'static str| KeyError::Verifier { cause };
        let mut parts = line.trim_end_matches('\n').splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("expected `name+hash+base64`"));
        };
        let bytes = STANDARD.decode(key).map_err(|_| wrong("the key is not base64"))?;
        let Some((&ED25519, bytes)) = bytes.split_first() else {
            return Err(wrong("expected an Ed25519 key, type 1"));
        };
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| wrong("expected 32 bytes of key"))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| wrong("the key is not a point of the curve"))?;
        let key = Self { name: checked_name(name)?, key };
        if key.id_hex() == hash { Ok(key) } else { Err(wrong("the hash does not belong to name and key")) }
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ED25519];
        bytes.extend(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, self.id_hex(), STANDARD.encode(bytes))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A signing key. Never shown.
#[derive(Clone)]
pub struct Key {
    name: String,
    key: SigningKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, private part not shown)", self.verifying())
    }
}

impl Key {
    /// A fresh key from the system's generator. The name may hold no white space and no plus sign.
    ///
    /// # Errors
    /// `KeyError` for a bad name or a system without randomness.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self { name: checked_name(name)?, key: SigningKey::from_bytes(&seed) })
    }

    #[must_use]
    pub fn verifying(&self) -> VerifyingKey {
        VerifyingKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// Writes a new key file that its owner alone may read.
    ///
    /// # Errors
    /// `KeyError` naming the file; an existing file is never touched.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let mut bytes = vec![ED25519];
        bytes.extend(self.key.as_bytes());
        let line = format!("PRIVATE+KEY+{}+{}+{}\n", self.name, self.verifying().id_hex(), STANDARD.encode(bytes));
        let failed = |source| KeyError::File { path: path.to_path_buf(), doing: "written", source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut options = fs::File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        io::Write::write_all(&mut file, line.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// `KeyError` naming the file: absent, readable by others, or not a key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_path_buf(), doing: "read", source };
        #[cfg(unix)]
        {
            let metadata = fs::metadata(path).map_err(failed)?;
            let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeyError::Open { path: path.to_path_buf(), mode });
            }
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let wrong = |cause: &'static str| KeyError::NotAKey { path: path.to_path_buf(), cause };
        let rest = text.trim_end_matches('\n').strip_prefix("PRIVATE+KEY+");
        let mut parts = rest.ok_or_else(|| wrong("expected a line that begins with `PRIVATE+KEY+`"))?.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("expected `PRIVATE+KEY+name+hash+base64`"));
        };
        let bytes = STANDARD.decode(key).map_err(|_| wrong("the key is not base64"))?;
        let seed = bytes.strip_prefix(&[ED25519]).and_then(|seed| <[u8; 32]>::try_from(seed).ok());
        let key = SigningKey::from_bytes(&seed.ok_or_else(|| wrong("expected an Ed25519 key of 32 bytes"))?);
        let key = Self { name: checked_name(name)?, key };
        if key.verifying().id_hex() == hash { Ok(key) } else { Err(wrong("the hash does not belong to name and key")) }
    }
}

fn checked_name(name: &str) -> Result<String, KeyError> {
    let is_bad = name.is_empty() || name.chars().any(|c| c.is_whitespace() || c == '+' || c.is_control());
    if is_bad { Err(KeyError::Name(name.to_owned())) } else { Ok(name.to_owned()) }
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("expected a key name without white space and plus sign, found `{0}`")]
    Name(String),
    #[error("the system gives no randomness to make a key from")]
    NoRandomness,
    #[error("the key file {} cannot be {doing}", .path.display())]
    File { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("others may read the key file {} (mode {mode:03o}); run `chmod 600 {}` and consider making a new key", .path.display(), .path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("{} is not a signing key: {cause}", .path.display())]
    NotAKey { path: PathBuf, cause: &'static str },
    #[error("not a verifier key: {cause}")]
    Verifier { cause: &'static str },
    #[error(transparent)]
    Durable(#[from] DurableError),
}

/// Writes the verifier key to `DIR/keys/<name>.pub` unless it stands there.
pub(crate) fn publish(key: &VerifyingKey, dir: &Path) -> Result<(), DurableError> {
    let path = dir.join("keys").join(format!("{}.pub", key.name()));
    let line = format!("{key}\n");
    if durable::read(&path).is_ok_and(|held| held == line.as_bytes()) {
        return Ok(());
    }
    durable::write_atomic(&path, line.as_bytes())
}
