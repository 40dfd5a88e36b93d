//! Ed25519 keys in the text forms of C2SP signed notes.

use crate::{
    durable::{self, DurableError},
    encoding::{from_base64, to_base64},
};
use ed25519_dalek::{Signature, Signer, SigningKey};
use evidence::Digest;
use std::{fmt, fs::File, io::Read, path::Path};

/// SPEC: C2SP signed-note, signature types: Ed25519.
const TYPE_ED25519: u8 = 1;
const PRIVATE: &str = "PRIVATE+KEY+";
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// A public key with the name it signs under. Displays as a vkey: `<name>+<id>+<base64>`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    id: u32,
    public: ed25519_dalek::VerifyingKey,
}

impl VerifyingKey {
    fn new(name: &str, public: ed25519_dalek::VerifyingKey) -> Result<Self, KeyError> {
        let valid = !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control());
        if !valid {
            return Err(KeyError::Name(name.to_owned()));
        }
        let mut hashed = format!("{name}\n").into_bytes();
        hashed.push(TYPE_ED25519);
        hashed.extend_from_slice(public.as_bytes());
        let [a, b, c, d, ..] = *Digest::of(&hashed).as_bytes();
        Ok(Self { name: name.to_owned(), id: u32::from_be_bytes([a, b, c, d]), public })
    }

    /// Reads a vkey.
    ///
    /// # Errors
    /// `KeyError` when the text has another form, the id is not that of the key, or the point is not on the curve.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bad = || KeyError::Form { expected: "`<name>+<id>+<base64>`" };
        let mut parts = text.splitn(3, '+');
        let (name, id, encoded) =
            (parts.next().ok_or_else(bad)?, parts.next().ok_or_else(bad)?, parts.next().ok_or_else(bad)?);
        let bytes = from_base64(encoded).ok_or_else(bad)?;
        let (&kind, point) = bytes.split_first().ok_or_else(bad)?;
        if kind != TYPE_ED25519 {
            return Err(KeyError::Type(kind));
        }
        let point: &[u8; 32] = point.try_into().map_err(|_| bad())?;
        let public = ed25519_dalek::VerifyingKey::from_bytes(point).map_err(|_| KeyError::Point)?;
        Self::new(name, public)?.with_id(id)
    }

    fn with_id(self, id: &str) -> Result<Self, KeyError> {
        let expected = self.id_text();
        if expected == id { Ok(self) } else { Err(KeyError::Id { expected, found: id.chars().take(80).collect() }) }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of `SHA-256(name || 0x0A || type || key)`, which a note's signature carries.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    fn id_text(&self) -> String {
        format!("{:08x}", self.id)
    }

    /// The `keyid` that our envelopes carry: the SHA-256 of the 32 bytes of the key, in hexadecimal.
    #[must_use]
    pub fn keyid(&self) -> String {
        Digest::of(self.public.as_bytes()).to_string()
    }

    /// The name of its file in `keys/`: what is not a letter, digit, dot, hyphen or underscore becomes a hyphen.
    #[must_use]
    pub fn file_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
        format!("{}.pub", self.name.chars().map(plain).collect::<String>().trim_start_matches('.'))
    }

    /// Strict verification: no malleable encodings, no keys of small order.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature: Result<&[u8; 64], _> = signature.try_into();
        signature.is_ok_and(|bytes| self.public.verify_strict(message, &Signature::from_bytes(bytes)).is_ok())
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![TYPE_ED25519];
        bytes.extend_from_slice(self.public.as_bytes());
        write!(f, "{}+{}+{}", self.name, self.id_text(), to_base64(&bytes))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

/// A private key. It is never printed; memory is wiped when it is dropped.
pub struct Key {
    signing: SigningKey,
    verifying: VerifyingKey,
}

impl Key {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// `Name` when notes cannot carry the name; `Random` when the system gives no randomness.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        let key = Self::from_seed(name, &seed);
        wipe(&mut seed);
        key
    }

    fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let signing = SigningKey::from_bytes(seed);
        let verifying = VerifyingKey::new(name, signing.verifying_key())?;
        Ok(Self { signing, verifying })
    }

    /// Reads `PRIVATE+KEY+<name>+<id>+<base64>`.
    ///
    /// # Errors
    /// `KeyError` when the text has another form or the id is not that of the key. The text is not repeated in it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bad = || KeyError::Form { expected: "`PRIVATE+KEY+<name>+<id>+<base64>`" };
        let mut parts = text.strip_prefix(PRIVATE).ok_or_else(bad)?.splitn(3, '+');
        let (name, id, encoded) =
            (parts.next().ok_or_else(bad)?, parts.next().ok_or_else(bad)?, parts.next().ok_or_else(bad)?);
        let mut bytes = from_base64(encoded).ok_or_else(bad)?;
        let key = match bytes.split_first() {
            Some((&TYPE_ED25519, seed)) => seed.try_into().map_err(|_| bad()).and_then(|seed| Self::from_seed(name, seed)),
            Some((&kind, _)) => Err(KeyError::Type(kind)),
            None => Err(bad()),
        };
        wipe(&mut bytes);
        let Self { signing, verifying } = key?;
        Ok(Self { signing, verifying: verifying.with_id(id)? })
    }

    /// Reads a key file that only its owner may read.
    ///
    /// # Errors
    /// `Open` to others, with the mode and the remedy; `File` when it is truncated or not a key; `Read`.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let read = |source| KeyError::Read { path: path.display().to_string(), source };
        let file = File::open(path).map_err(read)?;
        refuse_open_to_others(&file, path)?;
        let mut bytes = Vec::new();
        file.take(KEY_FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(read)?;
        let key = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.strip_suffix('\n'))
            .ok_or(KeyError::Form { expected: "one line of text, newline at its end" })
            .and_then(Self::parse);
        wipe(&mut bytes);
        key.map_err(|source| KeyError::File { path: path.display().to_string(), source: Box::new(source) })
    }

    /// Writes the key to a new file that only its owner may read, durably: after a crash the file is whole or absent.
    ///
    /// # Errors
    /// `Durable`, also when the file exists: a key is never written over.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let mut bytes = vec![TYPE_ED25519];
        bytes.extend_from_slice(self.signing.as_bytes());
        let VerifyingKey { name, .. } = &self.verifying;
        let mut text = format!("{PRIVATE}{name}+{}+{}\n", self.verifying.id_text(), to_base64(&bytes)).into_bytes();
        let saved = durable::write_new_private(path, &text);
        wipe(&mut bytes);
        wipe(&mut text);
        Ok(saved?)
    }

    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.verifying.name()
    }

    /// The signature of RFC 8032: the same message gives the same 64 bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}+{}, private part not shown)", self.verifying.name, self.verifying.id_text())
    }
}

/// Best effort: the compiler is kept from dropping the write.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

#[cfg(unix)]
fn refuse_open_to_others(file: &File, path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let path = path.display().to_string();
    let mode = match file.metadata() {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(source) => return Err(KeyError::Read { path, source }),
    };
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Open { path, mode }) }
}

#[cfg(not(unix))]
fn refuse_open_to_others(_: &File, _: &Path) -> Result<(), KeyError> {
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("expected a key name without spaces, control characters and `+`, found `{0}`")]
    Name(String),
    #[error("expected a key of the form {expected}")]
    Form { expected: &'static str },
    #[error("expected an Ed25519 key (type 1), found type {0}")]
    Type(u8),
    #[error("expected the key id {expected}, found `{found}`")]
    Id { expected: String, found: String },
    #[error("the public key is not a point of the curve")]
    Point,
    #[error("the system gives no randomness")]
    Random(#[source] getrandom::Error),
    #[error("could not read the key file `{path}`")]
    Read { path: String, source: std::io::Error },
    #[error("the key file `{path}` has mode {mode:04o}, open to others than its owner; run `chmod 600 {path}`")]
    Open { path: String, mode: u32 },
    #[error("the key file `{path}` is damaged; put back a copy of it, or move it away to start with a new key")]
    File { path: String, source: Box<KeyError> },
    #[error(transparent)]
    Durable(#[from] DurableError),
}
