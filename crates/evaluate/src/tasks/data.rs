//! Rows of data sets: JSON Lines, JSON, CSV, TSV and plain text, packed with gzip or not, and Parquet.

use super::value::{Row, Value, column};
use evidence::Digest;
use flate2::read::MultiGzDecoder;
use std::{
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A file unpacks to this at most; what is larger is refused, so that a small file cannot fill the memory.
const BYTES_MAX: u64 = 4 << 30;

/// Why data could not be read. Lines, rows and items are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} unpacks to more than {} bytes", path.display(), BYTES_MAX)]
    TooLarge { path: PathBuf },
    #[error("{} is not UTF-8, from byte {at}", path.display())]
    NotUtf8 { path: PathBuf, at: usize },
    #[error("{origin} is not JSON")]
    Json {
        origin: Origin,
        #[source]
        source: serde_json::Error,
    },
    #[error("{origin} is not the table the first line announces")]
    Table {
        origin: Origin,
        #[source]
        source: csv::Error,
    },
    #[error("expected {origin} to hold a map of columns, found {found}")]
    NotARow { origin: Origin, found: &'static str },
    #[error("expected {} to hold a list of rows, or one list of rows by name, found {found}", path.display())]
    NotRows { path: PathBuf, found: &'static str },
    #[error("{} is of no known kind; known are .jsonl, .json, .csv, .tsv, .txt and .parquet, each also as .gz", path.display())]
    Kind { path: PathBuf },
    #[error("{} is Parquet, which this build cannot read; build with the feature `parquet`", path.display())]
    NoParquet { path: PathBuf },
    #[cfg(feature = "parquet")]
    #[error("{} is not the Parquet it says it is", path.display())]
    Parquet {
        path: PathBuf,
        #[source]
        source: parquet::errors::ParquetError,
    },
    #[error("{} holds no rows", path.display())]
    Empty { path: PathBuf },
    #[error("expected column `{column}` in {origin}, found {}", columns.join(", "))]
    Column { column: String, origin: Origin, columns: Vec<String> },
    #[error("{origin} has no partner in {}", other.display())]
    Unpaired { origin: Origin, other: PathBuf },
}

/// Where a row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub file: Arc<PathBuf>,
    /// From 1.
    pub number: usize,
    pub unit: Unit,
}

/// What rows of a file are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Line,
    Item,
    Row,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Line => return write!(formatter, "{}:{}", self.file.display(), self.number),
            Unit::Item => "item",
            Unit::Row => "row",
        };
        write!(formatter, "{}, {unit} {}", self.file.display(), self.number)
    }
}

/// One row and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub row: Row,
    pub origin: Origin,
}

impl Item {
    /// The column of this name.
    ///
    /// # Errors
    /// `Column` naming the file and the line.
    pub fn column(&self, name: &str) -> Result<&Value, DataError> {
        column(&self.row, name).ok_or_else(|| DataError::Column {
            column: name.to_owned(),
            origin: self.origin.clone(),
            columns: self.row.iter().map(|(key, _)| format!("`{key}`")).collect(),
        })
    }
}

/// The rows of one file, in its order.
///
/// # Errors
/// `DataError` naming the file, and the line where there is one.
pub fn read(path: &Path) -> Result<Vec<Item>, DataError> {
    let file = Arc::new(path.to_owned());
    let rows = match kind(path) {
        Some("jsonl" | "ndjson") => json_lines(&text(path)?, &file),
        Some("json") => json(&text(path)?, &file),
        Some("csv") => table(&text(path)?, b',', &file),
        Some("tsv") => table(&text(path)?, b'\t', &file),
        Some("txt" | "raw" | "dev" | "test") => Ok(lines(&text(path)?, &file)),
        Some("parquet") => columnar(path, &file),
        _ => Err(DataError::Kind { path: path.to_owned() }),
    }?;
    if rows.is_empty() { Err(DataError::Empty { path: path.to_owned() }) } else { Ok(rows) }
}

/// The extension that says what a file is, `.gz` taken off.
#[must_use]
pub fn kind(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.rsplit_once('.').map(|(_, extension)| extension)
}

/// Whether `read` knows files of this name.
#[must_use]
pub fn is_known(path: &Path) -> bool {
    matches!(kind(path), Some("jsonl" | "ndjson" | "json" | "csv" | "tsv" | "txt" | "raw" | "dev" | "test" | "parquet"))
}

/// The digest of the file as it lies there.
///
/// # Errors
/// `Read`.
pub fn digest(path: &Path) -> Result<Digest, DataError> {
    File::open(path).and_then(Digest::of_reader).map_err(|source| DataError::Read { path: path.to_owned(), source })
}

/// The whole text of a file, unpacked, without a byte-order mark.
///
/// # Errors
/// `Read`, `TooLarge`, `NotUtf8`.
pub fn text(path: &Path) -> Result<String, DataError> {
    let unread = |source| DataError::Read { path: path.to_owned(), source };
    let mut bytes = fs::read(path).map_err(unread)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(bytes.as_slice()).take(BYTES_MAX + 1).read_to_end(&mut unpacked).map_err(unread)?;
        bytes = unpacked;
    }
    if bytes.len() as u64 > BYTES_MAX {
        return Err(DataError::TooLarge { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| DataError::NotUtf8 { path: path.to_owned(), at: error.utf8_error().valid_up_to() })?;
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
}

fn json_lines(text: &str, file: &Arc<PathBuf>) -> Result<Vec<Item>, DataError> {
    let mut items = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let origin = Origin { file: file.clone(), number: index + 1, unit: Unit::Line };
        let value = serde_json::from_str(line).map_err(|source| DataError::Json { origin: origin.clone(), source })?;
        items.push(item(value, origin)?);
    }
    Ok(items)
}

fn json(text: &str, file: &Arc<PathBuf>) -> Result<Vec<Item>, DataError> {
    let value: Value = serde_json::from_str(text).map_err(|source| {
        let origin = Origin { file: file.clone(), number: source.line(), unit: Unit::Line };
        DataError::Json { origin, source }
    })?;
    let rows = match value {
        Value::List(rows) => rows,
        Value::Map(members) => {
            let is_rows =
                |value: &Value| value.as_list().is_some_and(|rows| rows.iter().all(|row| row.as_map().is_some()));
            let mut lists: Vec<Value> = members.into_iter().map(|(_, value)| value).filter(is_rows).collect();
            match (lists.len(), lists.pop()) {
                (1, Some(Value::List(rows))) => rows,
                _ => return Err(DataError::NotRows { path: file.to_path_buf(), found: "a map" }),
            }
        }
        other => return Err(DataError::NotRows { path: file.to_path_buf(), found: other.kind() }),
    };
    let origin = |index: usize| Origin { file: file.clone(), number: index + 1, unit: Unit::Item };
    rows.into_iter().enumerate().map(|(index, row)| item(row, origin(index))).collect()
}

fn item(value: Value, origin: Origin) -> Result<Item, DataError> {
    match value {
        Value::Map(row) => Ok(Item { row, origin }),
        other => Err(DataError::NotARow { origin, found: other.kind() }),
    }
}

/// Columns by the first line. A column whose every cell is an integer as a program writes it becomes one of integers; an
/// empty cell is nothing; all else stays text, so that no figure in a prompt changes its look.
fn table(text: &str, separator: u8, file: &Arc<PathBuf>) -> Result<Vec<Item>, DataError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(text.as_bytes());
    let failed = |source: csv::Error| {
        let number = source.position().map_or(1, |position| position.line() as usize);
        DataError::Table { origin: Origin { file: file.clone(), number, unit: Unit::Line }, source }
    };
    let headers = reader.headers().map_err(failed)?;
    // A column without a name gets the one that pandas gives it, so that no empty field of a task file means it.
    let named = |(at, name): (usize, &str)| if name.is_empty() { format!("Unnamed: {at}") } else { name.to_owned() };
    let names: Vec<String> = headers.iter().enumerate().map(named).collect();
    let mut cells: Vec<(usize, Vec<String>)> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        cells.push((line, record.iter().map(str::to_owned).collect()));
    }
    let is_int = |cell: &String| cell.parse::<i64>().is_ok_and(|int| int.to_string() == *cell);
    let ints: Vec<bool> = (0..names.len()).map(|at| cells.iter().all(|(_, row)| is_int(&row[at]))).collect();
    let value = |at: usize, cell: String| match cell.parse() {
        _ if cell.is_empty() => Value::Null,
        Ok(int) if ints[at] => Value::Int(int),
        _ => Value::Text(cell),
    };
    Ok(cells
        .into_iter()
        .map(|(number, row)| Item {
            row: names.iter().cloned().zip(row.into_iter().enumerate().map(|(at, cell)| value(at, cell))).collect(),
            origin: Origin { file: file.clone(), number, unit: Unit::Line },
        })
        .collect())
}

fn lines(text: &str, file: &Arc<PathBuf>) -> Vec<Item> {
    let row = |(index, line): (usize, &str)| Item {
        row: vec![("text".to_owned(), Value::Text(line.to_owned()))],
        origin: Origin { file: file.clone(), number: index + 1, unit: Unit::Line },
    };
    text.lines().enumerate().map(row).collect()
}

#[cfg(not(feature = "parquet"))]
fn columnar(path: &Path, _: &Arc<PathBuf>) -> Result<Vec<Item>, DataError> {
    Err(DataError::NoParquet { path: path.to_owned() })
}

#[cfg(feature = "parquet")]
fn columnar(path: &Path, file: &Arc<PathBuf>) -> Result<Vec<Item>, DataError> {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    let opened = File::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let failed = |source| DataError::Parquet { path: path.to_owned(), source };
    let reader = SerializedFileReader::new(opened).map_err(failed)?;
    let groups = reader.metadata().row_groups().iter();
    let unpacked =
        groups.fold(0_u64, |sum, group| sum.saturating_add(u64::try_from(group.total_byte_size()).unwrap_or(0)));
    if unpacked > BYTES_MAX {
        return Err(DataError::TooLarge { path: path.to_owned() });
    }
    let rows = reader.get_row_iter(None).map_err(failed)?;
    rows.enumerate()
        .map(|(index, row)| {
            let row = row.map_err(failed)?;
            let columns = row.get_column_iter().map(|(name, field)| (name.clone(), of_field(field))).collect();
            Ok(Item { row: columns, origin: Origin { file: file.clone(), number: index + 1, unit: Unit::Row } })
        })
        .collect()
}

#[cfg(feature = "parquet")]
fn of_field(field: &parquet::record::Field) -> Value {
    use parquet::record::Field;

    match field {
        Field::Null => Value::Null,
        Field::Bool(bool) => Value::Bool(*bool),
        Field::Byte(int) => Value::Int(i64::from(*int)),
        Field::Short(int) => Value::Int(i64::from(*int)),
        Field::Int(int) => Value::Int(i64::from(*int)),
        Field::Long(int) => Value::Int(*int),
        Field::UByte(int) => Value::Int(i64::from(*int)),
        Field::UShort(int) => Value::Int(i64::from(*int)),
        Field::UInt(int) => Value::Int(i64::from(*int)),
        Field::ULong(int) => i64::try_from(*int).map_or(Value::Float(*int as f64), Value::Int),
        Field::Float(float) => Value::Float(f64::from(*float)),
        Field::Double(float) => Value::Float(*float),
        Field::Str(text) => Value::Text(text.clone()),
        Field::Group(row) => {
            Value::Map(row.get_column_iter().map(|(name, field)| (name.clone(), of_field(field))).collect())
        }
        Field::ListInternal(list) => Value::List(list.elements().iter().map(of_field).collect()),
        Field::MapInternal(map) => {
            Value::Map(map.entries().iter().map(|(key, value)| (of_field(key).python_str(), of_field(value))).collect())
        }
        other => Value::Text(other.to_string()),
    }
}

/// Pages of WikiText in its raw form, cut as the document-level copy of the set is: a page begins at each line like
/// ` = Title = `, also where such a line is part of a formula; what stands before the first title is dropped when blank.
///
/// # Errors
/// As `text`, and `Empty`.
pub fn pages(path: &Path) -> Result<Vec<Item>, DataError> {
    let (whole, file) = (text(path)?, Arc::new(path.to_owned()));
    let mut items: Vec<Item> = Vec::new();
    let (mut page, mut first): (Vec<&str>, usize) = (Vec::new(), 1);
    let mut close = |page: &mut Vec<&str>, first: usize| {
        let joined = std::mem::take(page).join("\n");
        if !joined.trim().is_empty() {
            let origin = Origin { file: file.clone(), number: first, unit: Unit::Line };
            items.push(Item { row: vec![("page".to_owned(), Value::Text(joined))], origin });
        }
    };
    for (index, line) in whole.split('\n').enumerate() {
        if is_title(line) {
            close(&mut page, first);
            first = index + 1;
        }
        page.push(line);
    }
    close(&mut page, first);
    if items.is_empty() { Err(DataError::Empty { path: path.to_owned() }) } else { Ok(items) }
}

/// ` = Title = `, but not ` = = Section = = `.
fn is_title(line: &str) -> bool {
    let joined = line.replace("= = =", "===").replace("= =", "==");
    joined.starts_with(" = ") && joined.trim().ends_with(" =")
}

/// Adds to each row the columns that the other file holds under the row's `key`: a map by key, or rows with that column.
///
/// # Errors
/// As `read`; `Column`, `Unpaired`.
pub fn join(items: &mut [Item], other: &Path, key: &str) -> Result<(), DataError> {
    let partners: Row = match serde_json::from_str::<Value>(&text(other)?) {
        Ok(Value::Map(members)) if members.iter().all(|(_, value)| value.as_map().is_some()) => members,
        _ => read(other)?
            .into_iter()
            .map(|item| Ok((item.column(key)?.python_str(), Value::Map(item.row))))
            .collect::<Result<_, DataError>>()?,
    };
    let partners: std::collections::BTreeMap<&str, &Value> =
        partners.iter().map(|(key, value)| (key.as_str(), value)).collect();
    for item in items {
        let wanted = item.column(key)?.python_str();
        let Some(partner) = partners.get(wanted.as_str()).and_then(|value| value.as_map()) else {
            return Err(DataError::Unpaired { origin: item.origin.clone(), other: other.to_owned() });
        };
        for (name, value) in partner {
            if column(&item.row, name).is_none() {
                item.row.push((name.clone(), value.clone()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn rows(name: &str, bytes: &[u8]) -> String {
        let (_folder, path) = file(name, bytes);
        read(&path).unwrap().into_iter().map(|item| Value::Map(item.row).python_repr()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_kind_gives_the_same_rows() {
        let expected = "{'q': 'a, \"b\"', 'n': 1} {'q': 'c', 'n': 2}";
        let lines = b"{\"q\": \"a, \\\"b\\\"\", \"n\": 1}\n\n{\"q\": \"c\", \"n\": 2}\n";
        assert_eq!(rows("x.jsonl", lines), expected);
        assert_eq!(rows("x.json", b"[{\"q\": \"a, \\\"b\\\"\", \"n\": 1}, {\"q\": \"c\", \"n\": 2}]"), expected);
        assert_eq!(
            rows(
                "x.json",
                b"{\"name\": \"x\", \"rows\": [{\"q\": \"a, \\\"b\\\"\", \"n\": 1}, {\"q\": \"c\", \"n\": 2}]}"
            ),
            expected
        );
        assert_eq!(rows("x.csv", b"\xef\xbb\xbfq,n\n\"a, \"\"b\"\"\",1\nc,2\n"), expected);
        assert_eq!(rows("x.tsv", b"q\tn\n\"a, \"\"b\"\"\"\t1\nc\t2\n"), expected);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(lines).unwrap();
        assert_eq!(rows("x.jsonl.gz", &packed.finish().unwrap()), expected);
    }

    /// Written by pyarrow; `tests/fixtures/rows_parquet.py` says how.
    #[cfg(feature = "parquet")]
    #[test]
    fn parquet_gives_the_rows_that_were_written() {
        let expected = "{'id': 'A_1', 'question': 'Was ist naß?', 'choices': {'text': ['Öl', 'the sky'], 'label': ['A', 'B']}, \
                        'answerKey': 'A', 'n': 3, 'share': 0.25, 'is': True} {'id': 'A_2', 'question': 'x', 'choices': {'text': [], \
                        'label': []}, 'answerKey': None, 'n': -7, 'share': -1.5, 'is': False}";
        let whole: &[u8] = include_bytes!("../../tests/fixtures/rows.zstd.parquet");
        assert_eq!(rows("x.parquet", include_bytes!("../../tests/fixtures/rows.snappy.parquet")), expected);
        assert_eq!(rows("x.parquet", whole), expected);
        for length in (0..whole.len()).step_by(13) {
            let (_folder, path) = file("x.parquet", &whole[..length]);
            assert!(matches!(read(&path), Err(DataError::Parquet { .. })), "{length} bytes");
        }
        let (_folder, path) = file("x.parquet", b"PAR1 is not enough");
        let message = read(&path).unwrap_err().to_string();
        assert_eq!(message, format!("{} is not the Parquet it says it is", path.display()));
    }

    #[test]
    fn numbers_keep_their_look() {
        assert_eq!(rows("x.csv", b",a\n0,x\n"), "{'Unnamed: 0': 0, 'a': 'x'}");
        assert_eq!(
            rows("x.csv", b"a,b,c\n007,1,\n8,-2,x\n"),
            "{'a': '007', 'b': 1, 'c': None} {'a': '8', 'b': -2, 'c': 'x'}"
        );
    }

    #[test]
    fn a_broken_row_is_named_with_its_line() {
        let (_folder, path) = file("x.jsonl", b"{\"a\": 1}\n{\"a\": \n");
        assert!(matches!(read(&path), Err(DataError::Json { origin: Origin { number: 2, .. }, .. })));
        let (_folder, path) = file("x.csv", b"a,b\n1,2\n3\n");
        assert!(matches!(read(&path), Err(DataError::Table { origin: Origin { number: 3, .. }, .. })));
        let (_folder, path) = file("x.jsonl", b"[1]\n");
        assert!(matches!(read(&path), Err(DataError::NotARow { found: "a list", .. })));
        let (_folder, path) = file("x.jsonl", b"\xff\xfe");
        assert!(matches!(read(&path), Err(DataError::NotUtf8 { at: 0, .. })));
        let (_folder, path) = file("x.xlsx", b"");
        assert!(matches!(read(&path), Err(DataError::Kind { .. })));
        let (_folder, path) = file("x.jsonl", b"\n");
        assert!(matches!(read(&path), Err(DataError::Empty { .. })));
    }

    #[test]
    fn pages_begin_at_titles() {
        let (_folder, path) =
            file("wiki.raw", b" \n = One = \n \n text \n = = Part = = \n \n more \n \n = Two = \n \n end \n");
        let pages: Vec<String> = pages(&path).unwrap().iter().map(|item| item.row[0].1.python_str()).collect();
        assert_eq!(pages, [" = One = \n \n text \n = = Part = = \n \n more \n ", " = Two = \n \n end \n"]);
    }
}
