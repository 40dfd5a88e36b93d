//! Files into documents.

use crate::generated::{self, Mark};
use evidence::{Digest, Json};
use serde_json::Value;
use std::{
    fs,
    io::Read as _,
    path::{Component, Path, PathBuf},
};

/// Largest file that is read: 256 MiB.
pub const FILE_BYTES_MAX: u64 = 256 << 20;
/// Largest corpus, which is held in memory whole: 2 GiB.
pub const BYTES_MAX: u64 = 2 << 30;
/// Most files of one corpus.
pub const FILES_MAX: usize = 100_000;

/// Characters of what was found that a complaint shows.
const FOUND_MAX: usize = 80;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// What a case says of its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The folder that source paths are relative to; it never appears in evidence.
    pub root: PathBuf,
    pub sources: Vec<Source>,
    /// Share of documents held out, in (0, 1); the usual is 0.1.
    pub held_out: f64,
    /// Seed of splits and folds.
    pub seed: u64,
}

/// One `[[data]]` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    /// A file, of JSON Lines where its name ends in `.jsonl`, or a folder whose `*.txt` files are taken; relative to `Config::root`.
    pub path: PathBuf,
    /// SPDX identifier or `public-domain`, as declared.
    pub licence: Option<String>,
    /// Where the files come from, as declared.
    pub source: Option<String>,
    /// Whether a model made the texts, as declared.
    pub generated: Option<bool>,
    pub split: Unit,
}

/// What one document is: the unit of splitting, folding and resampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    #[default]
    File,
    /// The lines between lines that hold white space only.
    BlankLineSection,
}

/// A corpus in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// Sorted by path, whatever the order of the sources.
    pub files: Vec<File>,
    /// In the order of the files, then of the text.
    pub documents: Vec<Document>,
    /// Entries of the folders that are not `*.txt` and were not taken, sorted.
    pub passed_over: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Relative to the case, with `/`. A path outside the case is shown under the name of its source.
    pub path: String,
    /// Stored size.
    pub bytes: u64,
    /// Of the stored bytes, byte-order mark included.
    pub digest: Digest,
    /// Index into `Config::sources`.
    pub set: usize,
    pub licence: Option<String>,
    pub source: Option<String>,
    /// Whether a model made its texts, as declared.
    pub generated: Option<bool>,
    /// Whether the file began with a byte-order mark, which is not part of any document.
    pub byte_order_mark: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The file's path; for a section or a line followed by `#` and its number from 1.
    pub id: String,
    /// Index into `Corpus::files`.
    pub file: usize,
    pub text: String,
    /// Of the text.
    pub digest: Digest,
    /// Of a text that a model made and whose line says so.
    pub mark: Option<Mark>,
}

impl Corpus {
    /// SHA-256 over the canonical JSON of `[{"digest": {"sha256": …}, "path": …}, …]`, sorted by path.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let entry =
            |file: &File| Json::map([("path", Some(file.path.as_str().into())), ("digest", Some(file.digest.into()))]);
        Digest::of(Json::List(self.files.iter().map(entry).collect()).canonical().as_bytes())
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Reads every file of the sources.
///
/// A byte-order mark at the start of a file is left out of its text; no other character is changed. Deterministic: the
/// result depends on the paths and bytes of the files, not on the order of sources or of the folder.
///
/// # Errors
/// The first cause in the order of the sources, then of the file names, naming the file and the remedy.
pub fn read(config: &Config) -> Result<Corpus, DatasetError> {
    read_within(config, &Limits { file_bytes: FILE_BYTES_MAX, bytes: BYTES_MAX, files: FILES_MAX })
}

struct Limits {
    file_bytes: u64,
    bytes: u64,
    files: usize,
}

fn read_within(config: &Config, limits: &Limits) -> Result<Corpus, DatasetError> {
    let mut found = Vec::new();
    let mut passed_over = Vec::new();
    for (set, source) in config.sources.iter().enumerate() {
        let of_set = find(&config.root, source, &mut passed_over)?;
        found.extend(of_set.into_iter().map(|found| Found { set, ..found }));
    }
    if found.is_empty() {
        return Err(DatasetError::NoSources);
    }
    check_found(&found, limits.files)?;

    let mut files = Vec::new();
    let mut bytes = 0;
    for found in found {
        let source = found.source;
        let (file, text) = read_file(found, limits.file_bytes)?;
        bytes += file.bytes;
        if bytes > limits.bytes {
            return Err(DatasetError::CorpusTooLarge { path: file.path, bytes, limit: limits.bytes });
        }
        files.push((file, text, source.split));
    }
    files.sort_by(|(a, ..), (b, ..)| a.path.cmp(&b.path));
    passed_over.sort();

    let mut corpus = Corpus { files: Vec::new(), documents: Vec::new(), passed_over };
    for (index, (file, text, unit)) in files.into_iter().enumerate() {
        corpus.documents.extend(documents(&file.path, index, text, unit)?);
        corpus.files.push(file);
    }
    Ok(corpus)
}

/// A file to read: its path for people and evidence, and where it is stored.
struct Found<'a> {
    path: String,
    stored: PathBuf,
    source: &'a Source,
    set: usize,
}

fn check_found(found: &[Found<'_>], limit: usize) -> Result<(), DatasetError> {
    if found.len() > limit {
        return Err(DatasetError::TooManyFiles { files: found.len(), limit });
    }
    let mut sorted: Vec<_> = found.iter().map(|file| (file.path.as_str(), file.source.name.as_str())).collect();
    sorted.sort_by_key(|(path, _)| *path);
    let twice = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0);
    twice.map_or(Ok(()), |pair| {
        Err(DatasetError::Twice { path: pair[0].0.into(), first: pair[0].1.into(), second: pair[1].1.into() })
    })
}

/// The files of one source, sorted by name.
fn find<'a>(root: &Path, source: &'a Source, passed_over: &mut Vec<String>) -> Result<Vec<Found<'a>>, DatasetError> {
    let stored = root.join(&source.path);
    let path = shown(source)?;
    let metadata = match fs::metadata(&stored) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(DatasetError::Missing { path, name: source.name.clone() });
        }
        Err(source) => return Err(DatasetError::Unreadable { path, source }),
    };
    if !metadata.is_dir() {
        return Ok(vec![Found { path, stored, source, set: 0 }]);
    }
    let unreadable = |source| DatasetError::Unreadable { path: or_dot(&path), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(&stored).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let Some(name) = name.to_str() else {
            return Err(DatasetError::Name { path: join(&path, &name.to_string_lossy()) });
        };
        if name.ends_with(".txt") {
            found.push(Found { path: join(&path, name), stored: stored.join(name), source, set: 0 });
        } else {
            passed_over.push(join(&path, name));
        }
    }
    if found.is_empty() {
        return Err(DatasetError::EmptyFolder { path: or_dot(&path) });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The path of a source as evidence shows it: without `.` and, outside the case, under the name of the source.
fn shown(source: &Source) -> Result<String, DatasetError> {
    let mut parts = Vec::new();
    let mut outside = false;
    for component in source.path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => outside = true,
        }
    }
    let kept = if outside { &parts[parts.len().saturating_sub(1)..] } else { &parts[..] };
    let mut path = if outside { source.name.clone() } else { String::new() };
    for part in kept {
        let part = part.to_str().ok_or_else(|| DatasetError::Name { path: join(&path, &part.to_string_lossy()) })?;
        path = join(&path, part);
    }
    Ok(path)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn or_dot(path: &str) -> String {
    if path.is_empty() { ".".to_owned() } else { path.to_owned() }
}

fn read_file(found: Found<'_>, limit: u64) -> Result<(File, String), DatasetError> {
    let Found { path, stored, source, set } = found;
    // Looked at before it is opened: opening a named pipe would wait for its writer.
    let metadata = match fs::metadata(&stored) {
        Ok(metadata) => metadata,
        Err(source) => return Err(DatasetError::Unreadable { path, source }),
    };
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "a pipe, socket or device" };
        return Err(DatasetError::NotRegular { path, found });
    }
    let too_large = |path, bytes| DatasetError::FileTooLarge { path, bytes, limit };
    if metadata.len() > limit {
        return Err(too_large(path, metadata.len()));
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(&stored).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    if let Err(source) = read {
        return Err(DatasetError::Unreadable { path, source });
    }
    if bytes.len() as u64 > limit {
        return Err(too_large(path, bytes.len() as u64));
    }

    let digest = Digest::of(&bytes);
    let size = bytes.len() as u64;
    let text = String::from_utf8(bytes).map_err(|error| encoding(&path, &error))?;
    let (text, byte_order_mark) = match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (rest.to_owned(), true),
        None => (text, false),
    };
    if text.trim().is_empty() {
        return Err(DatasetError::Empty { path, bytes: size });
    }
    let (licence, origin, generated) = (source.licence.clone(), source.source.clone(), source.generated);
    Ok((File { path, bytes: size, digest, set, licence, source: origin, generated, byte_order_mark }, text))
}

/// Where the bytes stop being UTF-8: line and column in characters from 1, offset in bytes from 0.
fn encoding(path: &str, error: &std::string::FromUtf8Error) -> DatasetError {
    let offset = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let before = std::str::from_utf8(&bytes[..offset]).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let in_line = before[line_start..].trim_start_matches(BYTE_ORDER_MARK);
    DatasetError::Encoding {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: in_line.chars().count() + 1,
        offset,
        byte: bytes.get(offset).copied().unwrap_or_default(),
        problem: if error.utf8_error().error_len().is_none() {
            ", a character cut off by the end of the file"
        } else {
            ""
        },
    }
}

fn documents(path: &str, file: usize, text: String, unit: Unit) -> Result<Vec<Document>, DatasetError> {
    if path.ends_with(".jsonl") {
        return lines(path, file, &text);
    }
    let document = |id, text: String| Document { id, file, digest: Digest::of(text.as_bytes()), text, mark: None };
    Ok(match unit {
        Unit::File => vec![document(path.to_owned(), text)],
        Unit::BlankLineSection => sections(&text)
            .into_iter()
            .enumerate()
            .map(|(index, section)| document(format!("{path}#{}", index + 1), section.to_owned()))
            .collect(),
    })
}

/// SPEC: JSON Lines. Each line that is not blank is an object whose member `text` is a document; `generated` is its mark, and other
/// members are for others.
fn lines(path: &str, file: usize, text: &str) -> Result<Vec<Document>, DatasetError> {
    let mut documents = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |(expected, found): (&'static str, String)| {
            let found = found.chars().take(FOUND_MAX).collect();
            DatasetError::Line { path: path.to_owned(), line: at + 1, expected, found }
        };
        let value: Value =
            serde_json::from_str(line).map_err(|error| wrong(("an object of JSON", error.to_string())))?;
        let said = value.get("text").and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let text = said.ok_or_else(|| wrong(("an object with a member `text` that is not empty", line.to_owned())))?;
        let mark = value.get(generated::MEMBER).map(Mark::of).transpose().map_err(wrong)?;
        let (id, digest) = (format!("{path}#{}", at + 1), Digest::of(text.as_bytes()));
        documents.push(Document { id, file, text: text.to_owned(), digest, mark });
    }
    Ok(documents)
}

/// The runs of lines that hold more than white space, each without the line end that closes it.
fn sections(text: &str) -> Vec<&str> {
    let mut sections = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            sections.extend(open.take());
        } else {
            let end = at + line.trim_end_matches(['\r', '\n']).len();
            open = Some((open.map_or(at, |(start, _)| start), end));
        }
        at += line.len();
    }
    sections.extend(open);
    sections.into_iter().map(|(start, end)| &text[start..end]).collect()
}

/// Why a corpus could not be read. Paths are as in evidence: relative to the case.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("expected at least one source of data, found none; add a `[[data]]` entry")]
    NoSources,
    #[error("`{path}`: expected the file or folder of the source `{name}`, found nothing; correct its `path`")]
    Missing { path: String, name: String },
    #[error("`{path}`: cannot be read; check that it is there and may be read")]
    Unreadable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{path}`: expected a file name in UTF-8 (`\u{fffd}` stands for what is not); rename the file")]
    Name { path: String },
    #[error("`{path}`: expected a regular file, found {found}; put the text into a file")]
    NotRegular { path: String, found: &'static str },
    #[error("`{path}`: expected at least one `*.txt` file in this folder, found none; add one or take the source out")]
    EmptyFolder { path: String },
    #[error("`{path}`: expected text, found none in {bytes} bytes; fill the file or remove it")]
    Empty { path: String, bytes: u64 },
    #[error("`{path}`: expected at most {limit} bytes, found {bytes}; divide the file")]
    FileTooLarge { path: String, bytes: u64, limit: u64 },
    #[error("`{path}`: expected a corpus of at most {limit} bytes, found {bytes} up to this file; take fewer files")]
    CorpusTooLarge { path: String, bytes: u64, limit: u64 },
    #[error("expected at most {limit} files, found {files}; join small files")]
    TooManyFiles { files: usize, limit: usize },
    #[error("`{path}`: expected each file once, found it in the sources `{first}` and `{second}`; take it out of one")]
    Twice { path: String, first: String, second: String },
    #[error("`{path}`:{line}: expected {expected}, found {found}; correct the line or take it out")]
    Line { path: String, line: usize, expected: &'static str, found: String },
    #[error(
        "`{path}`:{line}:{column}: expected UTF-8, found the byte 0x{byte:02X} at offset {offset}{problem}; convert the \
         file, for example with `iconv -f ENCODING -t UTF-8`"
    )]
    Encoding { path: String, line: usize, column: usize, offset: usize, byte: u8, problem: &'static str },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_to_the_last_byte_and_file() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.txt", "b.txt", "c.txt"] {
            fs::write(folder.path().join(name), "four").unwrap();
        }
        let source = Source {
            name: "s".into(),
            path: ".".into(),
            licence: None,
            source: None,
            generated: None,
            split: Unit::File,
        };
        let config = Config { root: folder.path().into(), sources: vec![source], held_out: 0.5, seed: 0 };
        let message = |file_bytes, bytes, files| {
            read_within(&config, &Limits { file_bytes, bytes, files }).err().map(|error| error.to_string())
        };
        assert_eq!(message(4, 12, 3), None);
        assert_eq!(message(4, 12, 2).unwrap(), "expected at most 2 files, found 3; join small files");
        assert_eq!(message(3, 12, 3).unwrap(), "`a.txt`: expected at most 3 bytes, found 4; divide the file");
        assert_eq!(
            message(4, 11, 3).unwrap(),
            "`c.txt`: expected a corpus of at most 11 bytes, found 12 up to this file; take fewer files"
        );
    }
}
