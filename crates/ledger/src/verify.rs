//! The log that a stranger hands over: every byte checked again, offline, by reading only.

use crate::{
    check::Check,
    checkpoint::{Checkpoint, check_origin},
    dsse::{Envelope, EnvelopeError},
    durable,
    key::VerifyingKey,
    log::{self, CHECKPOINT, Entry, envelope_path},
    manifest::{self, ManifestError},
    merkle::{self, Tree},
    receipt::Receipt,
    tiles::{self, Content, Tile, TileError},
};
use evidence::Digest;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// No file of a log is longer, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 28;

/// What a folder proved.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Those of which everything held, in order. Complete when [`Verified::ok`].
    pub entries: Vec<Entry>,
    /// The head, when it is signed.
    pub checkpoint: Option<Checkpoint>,
    /// The keys that signed the head.
    pub signers: Vec<VerifyingKey>,
    /// In a fixed order: `keys`, `checkpoint-signature`, `origin`, `log-root`, `entries`, `tiles`, `envelopes`,
    /// `signatures`, `statements`, `unexpected-files`.
    pub checks: Vec<Check>,
    note: String,
    tree: Tree,
}

impl Verified {
    /// Whether every check holds.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.checks.iter().all(Check::ok)
    }

    /// The receipt of an entry under the head that was verified; nothing for one that is not there.
    #[must_use]
    pub fn receipt(&self, index: u64) -> Option<Receipt> {
        let proof = self.tree.inclusion_proof(index, self.tree.size())?;
        self.checkpoint.as_ref().map(|_| Receipt { extra: None, index, proof, checkpoint: self.note.clone() })
    }

    /// The check `consistency`: nothing that `earlier`, a head kept from before, signed for was changed or dropped.
    #[must_use]
    pub fn consistent_with(&self, earlier: &Checkpoint) -> Check {
        const NAME: &str = "consistency";
        let Checkpoint { origin, size, root } = earlier;
        match &self.checkpoint {
            None => Check::unknown(NAME, "the present head is not to be believed"),
            Some(head) if head.origin != *origin => {
                Check::fails(NAME, format!("`{CHECKPOINT}` is of the log `{}`, expected `{origin}`", head.origin))
            }
            Some(head) if head.size < *size => {
                Check::fails(NAME, format!("`{CHECKPOINT}` has {} entries, fewer than the {size} of before", head.size))
            }
            Some(head) if head.size != self.tree.size() => Check::unknown(NAME, "the entries cannot be read"),
            Some(_) if self.tree.root_at(*size) != Some(*root) => {
                Check::fails(NAME, format!("the first {size} entries are not those of the earlier head"))
            }
            Some(_) => Check::holds(NAME, format!("the first {size} entries are those of the earlier head")),
        }
    }
}

/// Checks the log in `folder`. `trusted` are keys got elsewhere; without them the folder's own `keys/` are taken, and
/// what holds then is that one party made all of it, not who.
#[must_use]
pub fn verify(folder: impl AsRef<Path>, trusted: Option<&[VerifyingKey]>) -> Verified {
    let folder = folder.as_ref();
    let (own, mut check) = keys(folder);
    let mut checks = vec![check];
    let keys = trusted.unwrap_or(&own);
    let head;
    (head, check) = self::head(folder, keys, trusted.is_some());
    checks.push(check);
    checks.push(origin(head.as_ref()));
    let held = Held::read(folder, head.as_ref().map(|head| &head.checkpoint));
    checks.extend(held.checks(folder));
    let mut read = envelopes(folder, &held, keys);
    checks.append(&mut read.checks);
    let Signed { note, checkpoint, signers } = head.map_or_else(Signed::default, |head| head.into_signed());
    read.signers.extend(signers.iter().map(ToString::to_string));
    checks.push(unexpected(folder, &held, &own, &read));
    let tree = held.tree.unwrap_or_default();
    Verified { entries: read.entries, checkpoint, signers, checks, note, tree }
}

struct Head {
    note: String,
    checkpoint: Checkpoint,
    signers: Vec<VerifyingKey>,
}

#[derive(Default)]
struct Signed {
    note: String,
    checkpoint: Option<Checkpoint>,
    signers: Vec<VerifyingKey>,
}

impl Head {
    fn into_signed(self) -> Signed {
        Signed { note: self.note, checkpoint: Some(self.checkpoint), signers: self.signers }
    }
}

/// What was found false and what could not be told, so far.
#[derive(Default)]
struct Findings {
    wrong: Vec<String>,
    unknown: Vec<String>,
}

impl Findings {
    fn unread(&mut self, path: &str, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::NotFound => self.wrong.push(format!("`{path}` is missing")),
            io::ErrorKind::InvalidInput => self.wrong.push(format!("`{path}` {error}")),
            _ => self.unknown.push(format!("`{path}` cannot be read ({error})")),
        }
    }

    fn check(&self, name: &str, good: impl Into<String>) -> Check {
        Check::of(name, &self.wrong, &self.unknown, good)
    }
}

/// The folder's own keys.
fn keys(folder: &Path) -> (Vec<VerifyingKey>, Check) {
    let (mut keys, mut findings) = (Vec::new(), Findings::default());
    for path in paths(folder, "keys/", &mut findings) {
        if path.rsplit('/').next().is_some_and(durable::is_leftover) {
            continue;
        }
        match read(folder, &path) {
            Err(error) => findings.unread(&path, &error),
            Ok(bytes) => match key(&bytes, &path) {
                Ok(key) => keys.push(key),
                Err(reason) => findings.wrong.push(format!("`{path}`: {reason}")),
            },
        }
    }
    if keys.is_empty() && findings.wrong.is_empty() && findings.unknown.is_empty() {
        findings.wrong.push("`keys/` holds no public key".to_owned());
    }
    let check = findings.check("keys", format!("{} public keys, each with the id of its name", keys.len()));
    (keys, check)
}

fn key(bytes: &[u8], path: &str) -> Result<VerifyingKey, String> {
    let line = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let key = VerifyingKey::parse(line.ok_or("expected one line of text")?).map_err(|error| error.to_string())?;
    let expected = format!("keys/{}", key.file_name());
    if expected == path { Ok(key) } else { Err(format!("expected the file name `{expected}`")) }
}

fn head(folder: &Path, keys: &[VerifyingKey], pinned: bool) -> (Option<Head>, Check) {
    const NAME: &str = "checkpoint-signature";
    let mut findings = Findings::default();
    let bytes = match read(folder, CHECKPOINT) {
        Ok(bytes) => bytes,
        Err(error) => {
            findings.unread(CHECKPOINT, &error);
            return (None, findings.check(NAME, ""));
        }
    };
    if keys.is_empty() {
        return (None, Check::unknown(NAME, format!("there is no usable public key for `{CHECKPOINT}`")));
    }
    match Checkpoint::open(&bytes, keys) {
        Err(error) => (None, Check::fails(NAME, format!("`{CHECKPOINT}`: {error}"))),
        Ok((checkpoint, signers)) => {
            let names = signers.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            let whence = if pinned { "a key given" } else { "a key of the folder itself" };
            let reason = format!("{} entries, signed by {names}, {whence}", checkpoint.size);
            let signers = signers.into_iter().cloned().collect();
            let note = String::from_utf8_lossy(&bytes).into_owned();
            (Some(Head { note, checkpoint, signers }), Check::holds(NAME, reason))
        }
    }
}

fn origin(head: Option<&Head>) -> Check {
    const NAME: &str = "origin";
    let Some(Head { checkpoint: Checkpoint { origin, .. }, .. }) = head else {
        return Check::unknown(NAME, format!("`{CHECKPOINT}` is not to be believed"));
    };
    match check_origin(origin) {
        Ok(()) => Check::holds(NAME, format!("`{origin}`")),
        Err(error) => Check::fails(NAME, format!("`{CHECKPOINT}`: {error}")),
    }
}

/// The entries and the leaf hashes as the log holds them, and which of the two the signed root vouches for.
struct Held {
    root: Option<Digest>,
    size: u64,
    entries: Vec<Vec<u8>>,
    hashes: Vec<Digest>,
    entries_read: Findings,
    hashes_read: Findings,
    entries_root: Option<Digest>,
    /// The tree with the signed root, from the entries or else from the leaf hashes.
    tree: Option<Tree>,
}

impl Held {
    fn read(folder: &Path, head: Option<&Checkpoint>) -> Self {
        let size = head.map_or(0, |head| head.size);
        let (entries, entries_read) = row(folder, tiles::bundles(size), |bytes, width| {
            Ok(tiles::parse_bundle(bytes, width)?.into_iter().map(<[u8]>::to_vec).collect())
        });
        let (hashes, hashes_read) = row(folder, tiles::hashes(0, size), tiles::parse_hashes);
        let mut held = Self {
            root: head.map(|head| head.root),
            size,
            entries,
            hashes,
            entries_read,
            hashes_read,
            entries_root: None,
            tree: None,
        };
        let whole = |n: usize| head.is_some() && n as u64 == size;
        if whole(held.entries.len()) {
            let tree = Tree::from_leaves(held.entries.iter().map(|entry| merkle::leaf_hash(entry)));
            held.entries_root = Some(tree.root());
            held.tree = Some(tree).filter(|tree| Some(tree.root()) == held.root);
        }
        if held.tree.is_none() && whole(held.hashes.len()) {
            let tree = Tree::from_leaves(held.hashes.iter().copied());
            held.tree = Some(tree).filter(|tree| Some(tree.root()) == held.root);
        }
        held
    }

    fn checks(&self, folder: &Path) -> [Check; 3] {
        let Some(root) = self.root else {
            let why = format!("`{CHECKPOINT}` is not to be believed");
            return ["log-root", "entries", "tiles"].map(|name| Check::unknown(name, &why));
        };
        let strange = self.strange_entries();
        let log_root = match self.entries_root {
            None => Check::unknown("log-root", "the entries cannot all be read"),
            Some(found) if found == root => Check::holds("log-root", format!("the entries give the root {root}")),
            Some(found) => {
                let files: BTreeSet<_> = strange.iter().map(|&position| self.bundle_path(position)).collect();
                let files: Vec<_> = files.iter().map(|path| format!("`{path}`")).collect();
                let whose = if files.is_empty() { "the entries".to_owned() } else { files.join(", ") };
                Check::fails("log-root", format!("{whose} give the root {found}, `{CHECKPOINT}` signs {root}"))
            }
        };
        [log_root, self.check_entries(&strange), self.check_tiles(folder)]
    }

    fn check_entries(&self, strange: &[usize]) -> Check {
        let mut wrong = self.entries_read.wrong.clone();
        for &position in strange {
            wrong.push(format!("entry {position} in `{}` is not the one in the signed tree", self.bundle_path(position)));
        }
        for (position, entry) in self.entries.iter().enumerate() {
            if log::envelope_of(entry).is_none() && !strange.contains(&position) {
                wrong.push(format!("entry {position} in `{}` is not the digest of an envelope", self.bundle_path(position)));
            }
        }
        let good = format!("{} entries, each the digest of an envelope", self.size);
        Check::of("entries", &wrong, &self.entries_read.unknown, good)
    }

    /// Positions whose entry does not hash to the leaf beside it: to the signed one where the signed tree is known.
    fn strange_entries(&self) -> Vec<usize> {
        let signed = |position: usize| match &self.tree {
            Some(tree) => tree.node(0, position as u64),
            None => self.hashes.get(position).copied(),
        };
        let differs = |(position, entry): (usize, &Vec<u8>)| {
            signed(position).is_some_and(|leaf| leaf != merkle::leaf_hash(entry)).then_some(position)
        };
        self.entries.iter().enumerate().filter_map(differs).collect()
    }

    fn check_tiles(&self, folder: &Path) -> Check {
        let mut findings =
            Findings { wrong: self.hashes_read.wrong.clone(), unknown: self.hashes_read.unknown.clone() };
        let Some(tree) = &self.tree else {
            findings.unknown.push("neither entries nor hashes give the signed root".to_owned());
            return findings.check("tiles", "");
        };
        let mut n_tiles = 0;
        for tile in tiles::layout(self.size).filter(|tile| tile.content != Content::Entries) {
            n_tiles += 1;
            let path = format!("log/{}", tile.path());
            let seen = |path: &str| findings.wrong.iter().chain(&findings.unknown).any(|finding| finding.contains(path));
            if seen(&format!("`{path}`")) {
                continue;
            }
            match read(folder, &path) {
                Err(error) => findings.unread(&path, &error),
                Ok(bytes) if Some(&bytes) != tile.hashes(tree).as_ref() => {
                    findings.wrong.push(format!("`{path}` does not hold the hashes of the signed tree"));
                }
                Ok(_) => {}
            }
        }
        findings.check("tiles", format!("{n_tiles} tiles, each computed again and equal"))
    }

    fn bundle_path(&self, position: usize) -> String {
        let tile = tiles::bundles(self.size).nth(position / usize::from(tiles::WIDTH_FULL));
        tile.map_or_else(|| "log/tile/entries/".to_owned(), |tile| format!("log/{}", tile.path()))
    }

    /// The envelopes that the signed tree vouches for, and whether these are all.
    fn envelopes(&self) -> (Vec<(u64, Digest)>, bool) {
        let Some(tree) = &self.tree else { return (Vec::new(), false) };
        let believed = |(position, entry): (usize, &Vec<u8>)| {
            let position = position as u64;
            let same = tree.node(0, position) == Some(merkle::leaf_hash(entry));
            log::envelope_of(entry).filter(|_| same).map(|digest| (position, digest))
        };
        let envelopes: Vec<_> = self.entries.iter().enumerate().filter_map(believed).collect();
        let all = envelopes.len() as u64 == self.size;
        (envelopes, all)
    }
}

/// Reads a row of tiles up to the first that cannot be read or is malformed.
fn row<T>(
    folder: &Path,
    tiles: impl Iterator<Item = Tile>,
    parse: impl Fn(&[u8], u16) -> Result<Vec<T>, TileError>,
) -> (Vec<T>, Findings) {
    let (mut items, mut findings) = (Vec::new(), Findings::default());
    for tile in tiles {
        let path = format!("log/{}", tile.path());
        match read(folder, &path) {
            Err(error) => findings.unread(&path, &error),
            Ok(bytes) => match parse(&bytes, tile.width) {
                Ok(more) => {
                    items.extend(more);
                    continue;
                }
                Err(error) => findings.wrong.push(format!("`{path}`: {error}")),
            },
        }
        break;
    }
    (items, findings)
}

struct Envelopes {
    entries: Vec<Entry>,
    logged: BTreeSet<String>,
    /// Whether every entry of the log led to its envelope's digest.
    all: bool,
    signers: BTreeSet<String>,
    checks: Vec<Check>,
}

fn envelopes(folder: &Path, held: &Held, keys: &[VerifyingKey]) -> Envelopes {
    let (digests, all) = held.envelopes();
    let mut entries = Vec::new();
    let (mut logged, mut signers) = (BTreeSet::new(), BTreeSet::new());
    let [mut files, mut signatures, mut statements] = [const { Findings { wrong: Vec::new(), unknown: Vec::new() } }; 3];
    for (index, digest) in digests {
        let path = envelope_path(&digest);
        logged.insert(path.clone());
        let bytes = match read(folder, &path) {
            Ok(bytes) => bytes,
            Err(error) => {
                files.unread(&path, &error);
                continue;
            }
        };
        let found = Digest::of(&bytes);
        if found != digest {
            files.wrong.push(format!("`{path}` changed: its digest is {found}"));
            continue;
        }
        match statement(&bytes, keys, index, digest) {
            Ok((entry, signer)) => {
                entries.push(entry);
                signers.insert(signer);
            }
            Err(error @ EnvelopeError::Unsigned) => signatures.wrong.push(format!("`{path}`: {error}")),
            Err(error) => statements.wrong.push(format!("`{path}`: {}", chain(&error))),
        }
    }
    if !all {
        files.unknown.push("the entries that name envelopes cannot all be believed".to_owned());
    }
    if !all || !files.wrong.is_empty() || !files.unknown.is_empty() {
        signatures.unknown.push("not every envelope could be read".to_owned());
        statements.unknown.push("not every envelope could be read".to_owned());
    } else if !signatures.wrong.is_empty() {
        statements.unknown.push("not every envelope is signed".to_owned());
    }
    let n = entries.len();
    let checks = vec![
        files.check("envelopes", format!("{} envelopes, each named by its digest", logged.len())),
        signatures.check("signatures", format!("{n} statements, each signed by a known key")),
        statements.check("statements", format!("{n} statements in the canonical encoding, each with its time")),
    ];
    Envelopes { entries, logged, all, signers, checks }
}

fn statement(
    bytes: &[u8],
    keys: &[VerifyingKey],
    index: u64,
    digest: Digest,
) -> Result<(Entry, String), EnvelopeError> {
    let text = std::str::from_utf8(bytes).map_err(|_| EnvelopeError::Canonical)?;
    let envelope = Envelope::parse(text)?;
    let statement = envelope.statement(keys)?;
    let (_, _, signer) = envelope.verify(keys)?;
    if envelope.to_text() != text {
        return Err(EnvelopeError::Canonical);
    }
    let at = log::time_of(&statement).ok_or(EnvelopeError::Member("at"))?;
    Ok((Entry { index, envelope: digest, statement, at }, signer.to_string()))
}

/// Files below `log/`, `envelopes/` and `keys/` that the head does not ask for.
fn unexpected(folder: &Path, held: &Held, own: &[VerifyingKey], read: &Envelopes) -> Check {
    let mut findings = Findings::default();
    let mut expected = read.logged.clone();
    expected.insert(CHECKPOINT.to_owned());
    if held.tree.is_some() {
        expected.extend(tiles::layout(held.size).map(|tile| format!("log/{}", tile.path())));
    }
    let unused = |path: &str| {
        own.iter().any(|key| path == format!("keys/{}", key.file_name()) && !read.signers.contains(&key.to_string()))
    };
    for below in ["envelopes/", "keys/", "log/"] {
        for path in paths(folder, below, &mut findings) {
            let told = if below == "log/" { held.tree.is_some() } else { read.all };
            if path.rsplit('/').next().is_some_and(durable::is_leftover) {
                findings.wrong.push(format!("`{path}` is left over from an interrupted write"));
            } else if below == "keys/" {
                if told && unused(&path) {
                    findings.wrong.push(format!("`{path}` signed nothing here"));
                }
            } else if !expected.contains(&path) {
                if told {
                    findings.wrong.push(format!("`{path}` is not of the log that `{CHECKPOINT}` signs"));
                } else if findings.unknown.is_empty() {
                    findings.unknown.push("which files the log should have".to_owned());
                }
            }
        }
    }
    findings.check("unexpected-files", "no file that the log does not account for")
}

fn paths(folder: &Path, below: &str, findings: &mut Findings) -> Vec<String> {
    let mut found = Vec::new();
    match manifest::list(&folder.join(below), below, &[], &mut found) {
        Ok(()) => {}
        Err(ManifestError::Path { path }) => findings.wrong.push(format!("`{path}` is not a file name of ours")),
        // A folder that is not there has no files; what should be in it is missed one by one.
        Err(ManifestError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        Err(ManifestError::Read { path, source }) => {
            findings.unknown.push(format!("`{path}` cannot be listed ({source})"));
        }
    }
    found.sort();
    found
}

/// A regular file of bounded length; links and oversized files are `InvalidInput`.
fn read(folder: &Path, path: &str) -> io::Result<Vec<u8>> {
    let full = folder.join(path);
    let refused = |reason: &str| io::Error::new(io::ErrorKind::InvalidInput, reason.to_owned());
    let metadata = fs::symlink_metadata(&full)?;
    if !metadata.is_file() {
        return Err(refused("is not a regular file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(refused("is longer than any file of a log"));
    }
    let mut bytes = Vec::new();
    File::open(full)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
