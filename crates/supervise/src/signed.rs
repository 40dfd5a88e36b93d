//! Declarations and waivers as signed files beside the case: what another person signed, where this one cannot write it.
//!
//! Each is a DSSE envelope of an in-toto statement, so that what is checked here can be checked by any other program.

use crate::case::Case;
use evidence::{Declaration, Declared, Digest, EvidenceError, Json, Predicate, Statement, StatementError, Subject};
use ledger::dsse::{self, DsseError, Signature, Signed};
use ledger::{Key, VerifyingKey};
use policy::{Waiver, WaiverError};
use std::{
    fmt, fs, io,
    path::{Component, Path},
};

/// Folder of the signed declarations beside a case.
pub const DECLARATIONS: &str = "declarations";
/// Folder of the waivers beside a case.
pub const WAIVERS: &str = "waivers";

/// One envelope as it lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeFile {
    /// Relative to the folder of the case, with `/`.
    pub path: String,
    pub text: String,
}

/// Declarations that one key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDeclarations {
    pub path: String,
    /// SHA-256 of the file.
    pub envelope: Digest,
    pub key: VerifyingKey,
    pub declarations: Vec<Declaration>,
}

impl SignedDeclarations {
    /// Where they come from, for the record.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([
            ("file", Some(self.path.as_str().into())),
            ("envelope", Some(self.envelope.into())),
            ("key", Some(self.key.to_string().into())),
        ])
    }
}

/// A signed file cannot be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct FileError {
    pub path: String,
    pub cause: FileCause,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileCause {
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("is not a signed file of ours: {0}")]
    Envelope(#[from] DsseError),
    #[error("is not a signed file of ours: {0}")]
    Statement(#[from] StatementError),
    #[error("expected a statement of the type `{expected}`, found `{found}`")]
    Predicate { expected: &'static str, found: &'static str },
    #[error("expected one signature, found {0}")]
    Signatures(usize),
    #[error("{0}")]
    Signer(Signer),
    #[error("{0}")]
    Evidence(#[from] EvidenceError),
    #[error("it speaks of the system `{found}`, this case is `{expected}`")]
    System { expected: String, found: String },
    #[error(
        "the document `{document}` has the digest {found}, the declaration says {expected}; declare it anew, or put the document back"
    )]
    Document { document: String, expected: Digest, found: Digest },
    #[error("it is void from {expires}, and was made on {made}")]
    Term { made: jiff::civil::Date, expires: jiff::civil::Date },
    #[error("{0}")]
    Waiver(#[from] WaiverError),
    #[error("it does not carry its author's public key: {0}")]
    AuthorKey(String),
    #[error("it was changed after its author `{0}` signed it; waive anew")]
    Changed(String),
    #[error("the author `{0}` cannot approve: ask two others")]
    AuthorApproves(String),
    #[error("`{0}` approved it twice: ask another, two are needed")]
    Twice(String),
}

/// Why a signature counts for nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The key id is of a key that is known, the signature is not.
    Changed {
        name: String,
    },
    Unknown {
        keyid: String,
        list: &'static str,
    },
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { name } => write!(
                f,
                "it was changed after `{name}` signed it, or only pretends to be signed by `{name}`; ask for it again"
            ),
            Self::Unknown { keyid, list } => write!(
                f,
                "it is signed by a key that this case does not know (key id `{keyid}`); if you trust the signer, add the line of that key to `{list}` under `[policy]`"
            ),
        }
    }
}

/// The `*.json` files of a folder beside the case, sorted by name; none where there is no folder.
///
/// # Errors
/// `FileError` naming what cannot be read.
pub fn envelopes(case: &Case, folder: &str) -> Result<Vec<EnvelopeFile>, FileError> {
    let failed = |path: &str, error: &io::Error| FileError {
        path: path.to_owned(),
        cause: FileCause::Unreadable(error.to_string()),
    };
    let entries = match fs::read_dir(case.folder.join(folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder, &error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = format!("{folder}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            let text = fs::read_to_string(&path).map_err(|error| failed(&name, &error))?;
            files.push(EnvelopeFile { path: name, text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The subject of what is said about a system: known by its name alone.
#[must_use]
pub fn system_subject(name: &str) -> Subject {
    Subject::new(name, Digest::of(name.as_bytes()))
}

/// The envelope of one declaration.
#[must_use]
pub fn sign_declaration(declaration: &Declaration, key: &Key) -> String {
    let statement = Statement {
        subjects: vec![declaration.subject.clone()],
        predicate_type: Predicate::Declarations,
        predicate: Json::map([("declarations", Some(Json::List(vec![declaration.to_json()])))]),
    };
    dsse::seal(&statement.canonical(), key)
}

/// The declarations of one file, under one of `keys`; a document that lies beside the case must be the one that was declared.
///
/// # Errors
/// `FileError` naming the file, what is wrong with it, and the way out.
pub fn declarations(file: &EnvelopeFile, case: &Case, keys: &[VerifyingKey]) -> Result<SignedDeclarations, FileError> {
    let wrong = |cause: FileCause| FileError { path: file.path.clone(), cause };
    let Signed { payload, signatures } = dsse::look(&file.text).map_err(|error| wrong(error.into()))?;
    let [signature] = &signatures[..] else { return Err(wrong(FileCause::Signatures(signatures.len()))) };
    let key = signer(signature, &payload, keys, "declarers").map_err(|signer| wrong(FileCause::Signer(signer)))?;
    let statement = statement(&payload, Predicate::Declarations).map_err(wrong)?;
    let items = statement.predicate.get("declarations").map_or(&[][..], Json::items);
    if items.is_empty() {
        return Err(wrong(EvidenceError::Member("declarations").into()));
    }
    let mut declarations = Vec::new();
    for item in items {
        let declaration = Declaration::from_json(item).map_err(|error| wrong(error.into()))?;
        check_declaration(&declaration, case).map_err(wrong)?;
        declarations.push(declaration);
    }
    let (path, envelope) = (file.path.clone(), Digest::of(file.text.as_bytes()));
    Ok(SignedDeclarations { path, envelope, key: key.clone(), declarations })
}

fn check_declaration(declaration: &Declaration, case: &Case) -> Result<(), FileCause> {
    if declaration.subject.digest != system_subject(&case.name).digest {
        let (expected, found) = (case.name.clone(), declaration.subject.name.clone());
        return Err(FileCause::System { expected, found });
    }
    let made = jiff::tz::Offset::UTC.to_datetime(declaration.at).date();
    if declaration.expires <= made {
        return Err(FileCause::Term { made, expires: declaration.expires });
    }
    let Declared::Document(document) = &declaration.declared else { return Ok(()) };
    let path = Path::new(&document.name);
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    let beside = case.folder.join(path);
    if !is_inside || !beside.is_file() {
        return Ok(());
    }
    let unreadable = |error: io::Error| FileCause::Unreadable(format!("{}: {error}", document.name));
    let found = fs::File::open(&beside).and_then(Digest::of_reader).map_err(unreadable)?;
    if found == document.digest {
        return Ok(());
    }
    Err(FileCause::Document { document: document.name.clone(), expected: document.digest, found })
}

/// The first of `keys` that made the signature.
fn signer<'a>(
    signature: &Signature,
    payload: &str,
    keys: &'a [VerifyingKey],
    list: &'static str,
) -> Result<&'a VerifyingKey, Signer> {
    if let Some(key) = keys.iter().find(|key| signature.is_of(key, payload)) {
        return Ok(key);
    }
    let named = keys.iter().find(|key| key.id_hex() == signature.keyid);
    Err(named.map_or_else(
        || Signer::Unknown { keyid: signature.keyid.chars().take(16).collect(), list },
        |key| Signer::Changed { name: key.name().to_owned() },
    ))
}

fn statement(payload: &str, expected: Predicate) -> Result<Statement, FileCause> {
    let statement = Statement::parse(payload)?;
    let found = statement.predicate_type;
    if found == expected {
        Ok(statement)
    } else {
        Err(FileCause::Predicate { expected: expected.uri(), found: found.uri() })
    }
}

/// The envelope of a waiver as its author leaves it: signed by the author, approved by nobody.
///
/// # Errors
/// `WaiverError` for terms that no approval could make good.
pub fn draft_waiver(waiver: &Waiver, key: &Key) -> Result<String, WaiverError> {
    waiver.check_terms()?;
    let mut members = waiver.to_json().members().cloned().unwrap_or_default();
    members.remove("approvers");
    members.insert("authorKey".to_owned(), key.verifying().to_string().into());
    let mut subjects = vec![system_subject(&waiver.scope)];
    subjects.extend(waiver.subject.map(|digest| Subject::new("artefact", digest)));
    let statement = Statement { subjects, predicate_type: Predicate::Waiver, predicate: Json::Map(members) };
    Ok(dsse::seal(&statement.canonical(), key))
}

/// The same waiver with one approval more.
///
/// # Errors
/// `FileError` when the key is not of an approver, is the author's, or has approved before.
pub fn approve_waiver(file: &EnvelopeFile, key: &Key, approvers: &[VerifyingKey]) -> Result<String, FileError> {
    waiver(file, approvers)?;
    let text = dsse::countersign(&file.text, key)
        .map_err(|error| FileError { path: file.path.clone(), cause: error.into() })?;
    waiver(&EnvelopeFile { path: file.path.clone(), text: text.clone() }, approvers)?;
    Ok(text)
}

/// The waiver of a file, with those of `approvers` who signed it. Fewer than two is for the decision to find.
///
/// # Errors
/// `FileError` for a waiver that was changed, that a stranger or its author approves, or whose terms are void.
pub fn waiver(file: &EnvelopeFile, approvers: &[VerifyingKey]) -> Result<Waiver, FileError> {
    read_waiver(&file.text, approvers).map_err(|cause| FileError { path: file.path.clone(), cause })
}

fn read_waiver(text: &str, approvers: &[VerifyingKey]) -> Result<Waiver, FileCause> {
    let Signed { payload, signatures } = dsse::look(text)?;
    let statement = statement(&payload, Predicate::Waiver)?;
    let mut waiver = Waiver::from_json(&statement.predicate)?;
    let author_key = statement.predicate.get("authorKey").and_then(Json::as_text).unwrap_or_default();
    let author_key = VerifyingKey::parse(author_key).map_err(|error| FileCause::AuthorKey(error.to_string()))?;
    let Some(own) = signatures.iter().position(|signature| signature.is_of(&author_key, &payload)) else {
        return Err(FileCause::Changed(waiver.author));
    };
    let others = signatures.iter().enumerate().filter(|(position, _)| *position != own);
    for (_, signature) in others {
        if signature.is_of(&author_key, &payload) {
            return Err(FileCause::AuthorApproves(waiver.author));
        }
        let key = signer(signature, &payload, approvers, "approvers").map_err(FileCause::Signer)?;
        if key.name() == waiver.author {
            return Err(FileCause::AuthorApproves(waiver.author));
        }
        if waiver.approvers.iter().any(|name| name == key.name()) {
            return Err(FileCause::Twice(key.name().to_owned()));
        }
        waiver.approvers.push(key.name().to_owned());
    }
    waiver.check_terms()?;
    Ok(waiver)
}

#[cfg(test)]
mod tests;
