//! Task files as they are: YAML with `include` chains and `!function` names, nothing of which is executed.

use super::value::{Row, Value};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Why a task file could not be read. Lines are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    #[error("{}{} cannot be read", path.display(), included(by.as_deref()))]
    Read {
        path: PathBuf,
        /// The file that includes it.
        by: Option<PathBuf>,
        #[source]
        source: std::io::Error,
    },
    #[error("{}:{line}:{column}: {what}", path.display())]
    Syntax { path: PathBuf, line: usize, column: usize, what: String },
    #[error("expected {} to hold a map, found {found}", path.display())]
    NotAMap { path: PathBuf, found: &'static str },
    #[error("{} includes itself, by way of {}", path.display(), chain_of(chain))]
    IncludeLoop { path: PathBuf, chain: Vec<PathBuf> },
    #[error("{} includes more than {FILES_MAX} files, one by way of another; write out what they share", path.display())]
    TooMany { path: PathBuf },
    #[error("{}: expected a task file of at most {BYTES_MAX} bytes, found {found}", path.display())]
    TooLarge { path: PathBuf, found: usize },
    #[error("expected `include` in {} to name a file or a list of files, found {found}", path.display())]
    Include { path: PathBuf, found: &'static str },
}

fn included(by: Option<&Path>) -> String {
    by.map_or_else(String::new, |by| format!(", which {} includes,", by.display()))
}

fn chain_of(chain: &[PathBuf]) -> String {
    chain.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" → ")
}

/// Where texts of task files come from: a folder, or the files that are shipped.
pub(crate) type Source<'a> = &'a dyn Fn(&Path) -> std::io::Result<String>;

/// Deeper nesting than this is refused, as are files that alias their way to more values than `VALUES_MAX`.
const DEPTH_MAX: usize = 64;
const VALUES_MAX: usize = 1_000_000;
/// The harness's largest is below 200 KB.
const BYTES_MAX: usize = 1 << 22;
/// Files that one file includes, each as often as it is named.
const FILES_MAX: usize = 256;
/// Members above which a map is searched by an index.
const MEMBERS_INDEXED: usize = 32;

/// One file with everything it includes: keys of the including file win; `task_list` is not inherited.
///
/// # Errors
/// `YamlError` naming the file, and the line where there is one.
pub(crate) fn load(path: &Path, source: Source<'_>) -> Result<Row, YamlError> {
    load_below(path, source, &mut Vec::new(), &mut 0)
}

fn load_below(
    path: &Path,
    source: Source<'_>,
    chain: &mut Vec<PathBuf>,
    n_files: &mut usize,
) -> Result<Row, YamlError> {
    let path = normal(path);
    if chain.contains(&path) {
        return Err(YamlError::IncludeLoop { path, chain: chain.clone() });
    }
    *n_files += 1;
    if *n_files > FILES_MAX {
        return Err(YamlError::TooMany { path: chain.first().cloned().unwrap_or(path) });
    }
    let by = || chain.last().cloned();
    let text = source(&path).map_err(|source| YamlError::Read { path: path.clone(), by: by(), source })?;
    if text.len() > BYTES_MAX {
        return Err(YamlError::TooLarge { path, found: text.len() });
    }
    let own = match parse(&text, &path)? {
        Value::Map(members) => members,
        other => return Err(YamlError::NotAMap { path, found: other.kind() }),
    };
    resolve(own, &path, source, chain, n_files)
}

/// A map that stands in a file, such as a member of a group, with what its own `include` names beneath its keys.
///
/// # Errors
/// As [`load`].
pub(crate) fn included_by(own: Row, path: &Path, source: Source<'_>) -> Result<Row, YamlError> {
    resolve(own, &normal(path), source, &mut Vec::new(), &mut 0)
}

fn resolve(
    mut own: Row,
    path: &Path,
    source: Source<'_>,
    chain: &mut Vec<PathBuf>,
    n_files: &mut usize,
) -> Result<Row, YamlError> {
    let Some(at) = own.iter().position(|(key, _)| key == "include") else { return Ok(own) };
    let (_, include) = own.remove(at);
    let names: Vec<String> = match include {
        Value::Text(name) => vec![name],
        Value::List(names) if names.iter().all(|name| name.as_text().is_some()) => {
            names.iter().filter_map(Value::as_text).map(str::to_owned).collect()
        }
        other => return Err(YamlError::Include { path: path.to_owned(), found: other.kind() }),
    };
    chain.push(path.to_owned());
    let mut merged: Row = Vec::new();
    for name in names {
        let folder = path.parent().unwrap_or(Path::new(""));
        let included = load_below(&folder.join(name), source, chain, n_files)?;
        merge(&mut merged, included.into_iter().filter(|(key, _)| key != "task_list"));
    }
    chain.pop();
    merge(&mut merged, own);
    Ok(merged)
}

fn merge(into: &mut Row, from: impl IntoIterator<Item = (String, Value)>) {
    let mut members = Members { row: std::mem::take(into), places: None };
    from.into_iter().for_each(|(key, value)| members.put(key, value));
    *into = members.row;
}

/// A map in the making; a later value of a key takes the place of the earlier.
#[derive(Default)]
struct Members {
    row: Row,
    /// Once there are many.
    places: Option<BTreeMap<String, usize>>,
}

impl Members {
    fn put(&mut self, key: String, value: Value) {
        if self.row.len() > MEMBERS_INDEXED && self.places.is_none() {
            self.places = Some(self.row.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect());
        }
        let at = match &self.places {
            Some(places) => places.get(&key).copied(),
            None => self.row.iter().position(|(name, _)| *name == key),
        };
        match at {
            Some(at) => self.row[at].1 = value,
            None => {
                if let Some(places) = &mut self.places {
                    places.insert(key.clone(), self.row.len());
                }
                self.row.push((key, value));
            }
        }
    }
}

/// The path without `.` and `..`, so that a loop is seen whatever way it is written.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The value of one YAML document, scalars resolved as PyYAML resolves them (YAML 1.1).
///
/// # Errors
/// `Syntax` with its place.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Value, YamlError> {
    let mut reader = Reader { parser: Parser::new_from_str(text), path, anchors: BTreeMap::new(), n_values: 0 };
    let mut document = Value::Null;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(document),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            other => document = reader.value(other, span, 0)?,
        }
    }
}

struct Reader<'a, I: saphyr_parser::Input> {
    parser: Parser<'a, I>,
    path: &'a Path,
    anchors: BTreeMap<usize, Value>,
    n_values: usize,
}

impl<'a, I: saphyr_parser::Input> Reader<'a, I> {
    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(YamlError::Syntax {
                path: self.path.to_owned(),
                line: error.marker().line(),
                column: error.marker().col() + 1,
                what: error.info().to_owned(),
            }),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn refuse<T>(&self, span: Span, what: impl Into<String>) -> Result<T, YamlError> {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        Err(YamlError::Syntax { path: self.path.to_owned(), line, column, what: what.into() })
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, YamlError> {
        self.n_values += 1;
        if depth > DEPTH_MAX || self.n_values > VALUES_MAX {
            return self.refuse(span, "nested too deeply, or too large");
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, tag.as_deref(), span)?, anchor),
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span)?;
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    items.push(self.value(event, span, depth + 1)?);
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span)?;
                (self.mapping(depth)?, anchor)
            }
            Event::Alias(anchor) => {
                let Some(value) = self.anchors.get(&anchor).cloned() else {
                    return self.refuse(span, "an alias of what is not there");
                };
                self.n_values += count(&value);
                (value, 0)
            }
            _ => return self.refuse(span, "ends too early"),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, YamlError> {
        let (mut own, mut merged) = (Members::default(), Row::new());
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.value(event, span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let value = self.value(event, value_span, depth + 1)?;
            match (key, value) {
                (Value::Text(key), Value::Map(members)) if key == "<<" => merge(&mut merged, members),
                (Value::List(_) | Value::Map(_), _) => {
                    return self.refuse(span, "a key that is neither text nor number");
                }
                (key, value) => own.put(key.python_str(), value),
            }
        }
        merge(&mut merged, own.row);
        Ok(Value::Map(merged))
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Value, YamlError> {
        match tag.map(|tag| (tag.handle.as_str(), tag.suffix.as_str())) {
            Some((_, "function")) => Ok(Value::Function(text.to_owned())),
            Some((_, "str")) => Ok(Value::Text(text.to_owned())),
            Some((_, "int" | "float" | "bool" | "null")) | None if style == ScalarStyle::Plain => Ok(plain(text)),
            None => Ok(Value::Text(text.to_owned())),
            Some((handle, suffix)) => self.refuse(span, unknown_tag(handle, suffix)),
        }
    }

    /// A list or a map has no tag but its own: any other asks for an object of Python.
    fn check_tag(&self, tag: Option<&Tag>, own: &str, span: Span) -> Result<(), YamlError> {
        match tag {
            Some(tag) if tag.suffix != own => self.refuse(span, unknown_tag(&tag.handle, &tag.suffix)),
            _ => Ok(()),
        }
    }
}

fn unknown_tag(handle: &str, suffix: &str) -> String {
    let why = if suffix.contains("python/") { "; no Python is run" } else { "" };
    format!("the tag `{handle}{suffix}` is not known{why}")
}

fn count(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(members) => 1 + members.iter().map(|(_, value)| count(value)).sum::<usize>(),
        _ => 1,
    }
}

/// A plain scalar by the rules of YAML 1.1 as PyYAML has them: `yes` is true, `1_000` is 1000, `1e3` is text, `1.e+3` a number.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.trim_start_matches(['-', '+']);
    if text.len() - digits.len() > 1 || !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Value::Text(text.to_owned());
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let bare: String = digits.chars().filter(|&letter| letter != '_').collect();
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(|int| Value::Int(sign * int));
    let int = match bare.get(..2) {
        Some("0x") => radix(&bare[2..], 16),
        Some("0b") => radix(&bare[2..], 2),
        _ if bare.len() > 1 && bare.starts_with('0') => radix(&bare[1..], 8),
        _ => radix(&bare, 10),
    };
    if let Some(int) = int {
        return int;
    }
    let is_decimal = bare.contains('.') && !bare.contains(':');
    let has_signed_exponent = !bare.contains(['e', 'E'])
        || bare.contains("e+")
        || bare.contains("e-")
        || bare.contains("E+")
        || bare.contains("E-");
    match bare.parse::<f64>() {
        Ok(float) if is_decimal && has_signed_exponent => Value::Float(f64::from(sign as i32) * float),
        _ => Value::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn read(text: &str) -> Result<Value, YamlError> {
        parse(text, Path::new("task.yaml"))
    }

    /// Expected: PyYAML 6.0 `yaml.safe_load`, printed with `repr`; the function tag as the harness's loader has it.
    #[test]
    fn scalars_are_those_of_pyyaml() {
        for (text, expected) in [
            ("[yes, no, ~, null, on]", "[True, False, None, None, True]"),
            ("[1, -2, 0x10, 010, 1_000, 1.5, -.5, 1e3, 1.0e+3]", "[1, -2, 16, 8, 1000, 1.5, -0.5, '1e3', 1000.0]"),
            ("[\"no\", 'yes', a b, -x, +]", "['no', 'yes', 'a b', '-x', '+']"),
            ("a: &x {b: 1}\nc:\n  <<: *x\n  d: *x", "{'a': {'b': 1}, 'c': {'b': 1, 'd': {'b': 1}}}"),
            (
                "t: \"Question: {{q}}\\nAnswer:\"\nu: |\n  x\n  y\n",
                "{'t': 'Question: {{q}}\\nAnswer:', 'u': 'x\\ny\\n'}",
            ),
            ("f: !function utils.process_docs", "{'f': <function utils.process_docs>}"),
        ] {
            assert_eq!(read(text).unwrap().python_repr(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let Err(YamlError::Syntax { line, .. }) = read("a: 1\nb: [1, 2\nc: 3") else { unreachable!("is not closed") };
        assert!(line >= 2);
        assert!(matches!(read("a: !!python/object:os.system x"), Err(YamlError::Syntax { line: 1, .. })));
        assert!(matches!(read(&"[".repeat(5000)), Err(YamlError::Syntax { .. })));
    }

    fn files(path: &Path) -> io::Result<String> {
        Ok(match path.to_str() {
            Some("a/child.yaml") => "include: ../b/base\ntask: child\nx: 2",
            Some("b/base") => "include: [../c/root.yaml]\nx: 1\ny: 1\ntask_list: [1]",
            Some("c/root.yaml") => "z: 0\ny: 0",
            Some("a/loop.yaml") => "include: ./loop2.yaml",
            Some("a/loop2.yaml") => "include: ../a/loop.yaml",
            _ => return Err(io::ErrorKind::NotFound.into()),
        }
        .to_owned())
    }

    #[test]
    fn the_including_file_wins() {
        let merged = Value::Map(load(Path::new("a/child.yaml"), &files).unwrap());
        assert_eq!(merged.python_repr(), "{'z': 0, 'y': 1, 'x': 2, 'task': 'child'}");
    }

    /// Each file includes the next twice: 2^40 files without a limit.
    #[test]
    fn includes_that_multiply_are_refused() {
        let doubled = |path: &Path| {
            let at: usize = path.to_str().and_then(|name| name.parse().ok()).unwrap_or(0);
            Ok(format!("include: [\"{0}\", \"./{0}\"]\nx: {at}", at + 1))
        };
        let message = load(Path::new("0"), &doubled).unwrap_err().to_string();
        assert_eq!(message, "0 includes more than 256 files, one by way of another; write out what they share");
    }

    #[test]
    fn large_maps_keep_their_order_and_the_last_value() {
        let text: String = (0..5000).map(|at| format!("k{}: {at}\n", at % 4000)).collect();
        let Value::Map(row) = read(&text).unwrap() else { unreachable!("it is a map") };
        assert_eq!((row.len(), row[0].1.as_int(), row[3999].1.as_int()), (4000, Some(4000), Some(3999)));
        let long = |_: &Path| Ok(" ".repeat(BYTES_MAX + 1));
        let message = load(Path::new("x"), &long).unwrap_err().to_string();
        assert_eq!(message, "x: expected a task file of at most 4194304 bytes, found 4194305");
    }

    #[test]
    fn a_loop_of_includes_is_refused() {
        let Err(YamlError::IncludeLoop { path, chain }) = load(Path::new("a/loop.yaml"), &files) else {
            unreachable!("it is a loop")
        };
        assert_eq!((path.to_str(), chain.len()), (Some("a/loop.yaml"), 2));
    }
}
