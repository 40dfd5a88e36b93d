//! Rows with a class: of a table, of texts, of anything with columns.

use crate::tasks::{
    data::{self, DataError, Item, Origin, Unit},
    value::{Row, Value, column},
};
use evidence::Digest;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// One column of features.
#[derive(Debug, Clone, PartialEq)]
pub enum Feature {
    /// (N,) finite numbers.
    Numeric(Vec<f64>),
    /// (N,) names; an empty one is a name like others.
    Category(Vec<String>),
}

/// What a head is fitted on.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Columns by name, encoded anew in each fold.
    Columns(Vec<(String, Feature)>),
    /// (N, C) representations by a model, row behind row.
    Dense { values: Vec<f32>, width: usize },
}

/// Rows, cut by nothing yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub features: Features,
    /// (N,) classes as indices into `classes`.
    pub target: Vec<usize>,
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
    /// (N,) what folds are stratified by; the classes where the user names nothing.
    pub strata: Vec<String>,
    /// (N,) what must not be cut in two.
    pub groups: Option<Vec<String>>,
    /// (N,) digest of everything a row is known by, its class left out: equal ones are copies.
    pub keys: Vec<Digest>,
    /// Text to be read by a model, where there is one.
    pub texts: Vec<String>,
}

/// Which columns are what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    /// The class; the last column where nothing is named.
    pub target: Option<String>,
    /// The text that a model reads; the others are then no features.
    pub text: Option<String>,
    pub stratify: Option<String>,
    pub group: Option<String>,
    /// Columns left out, as what would give the class away.
    pub drop: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("{path}, line {line}: expected {expected} columns as in the first line, found {found}")]
    Columns { path: String, line: usize, expected: usize, found: usize },
    #[error("{path}: cannot be read as a table")]
    Csv { path: String, source: csv::Error },
    #[error("expected at least two classes in `{column}`, found `{found}` alone")]
    OneClass { column: String, found: String },
    #[error("no column is left to learn from beside `{target}`")]
    NoFeatures { target: String },
}

/// The rows of some files, behind one another. Without a header the columns of a table are `c1`, `c2`, …
///
/// # Errors
/// `TableError` naming file and line.
pub fn rows(paths: &[impl AsRef<Path>], has_header: bool) -> Result<Vec<Item>, TableError> {
    let mut items = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let is_table = matches!(data::kind(path), Some("csv" | "tsv" | "data" | "txt"));
        items.extend(if is_table && !has_header { headless(path)? } else { data::read(path)? });
    }
    Ok(items)
}

fn headless(path: &Path) -> Result<Vec<Item>, TableError> {
    let text = data::text(path)?;
    let name = path.display().to_string();
    let delimiter = if data::kind(path) == Some("tsv") { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let (file, mut items, mut width) = (Arc::new(path.to_owned()), Vec::<Item>::new(), None);
    for (at, record) in reader.records().enumerate() {
        let record = record.map_err(|source| TableError::Csv { path: name.clone(), source })?;
        if record.iter().all(str::is_empty) {
            continue;
        }
        let expected = *width.get_or_insert(record.len());
        if record.len() != expected {
            let line = record.position().map_or(at + 1, |place| place.line() as usize);
            return Err(TableError::Columns { path: name, line, expected, found: record.len() });
        }
        let row = record.iter().enumerate();
        let row: Row = row.map(|(at, cell)| (format!("c{}", at + 1), Value::Text(cell.to_owned()))).collect();
        items.push(Item { row, origin: Origin { file: Arc::clone(&file), number: at + 1, unit: Unit::Line } });
    }
    if items.is_empty() { Err(DataError::Empty { path: path.to_owned() }.into()) } else { Ok(items) }
}

/// Sorts columns into their roles. A column is numeric when every one of its cells is a finite number, else of categories.
///
/// A trailing full stop of a class is dropped, as the test half of Adult has it.
///
/// # Errors
/// `TableError` naming the row and the column.
pub fn table(items: &[Item], roles: &Roles) -> Result<Table, TableError> {
    let last = items.first().and_then(|item| item.row.last()).map(|(name, _)| name.clone());
    let target = roles.target.clone().or(last).unwrap_or_default();
    let texts_of = |name: &str| -> Result<Vec<String>, TableError> {
        items.iter().map(|item| Ok(item.column(name)?.python_str().trim().to_owned())).collect()
    };
    let named: Vec<String> = texts_of(&target)?
        .into_iter()
        .map(|class| class.strip_suffix('.').map_or(class.clone(), str::to_owned))
        .collect();
    let (classes, of) = numbered(&named);
    if classes.len() < 2 {
        return Err(TableError::OneClass { column: target, found: classes.first().cloned().unwrap_or_default() });
    }
    let groups = roles.group.as_deref().map(texts_of).transpose()?;
    let strata = roles.stratify.as_deref().map(texts_of).transpose()?;
    let texts = roles.text.as_deref().map(texts_of).transpose()?.unwrap_or_default();
    let is_kept = |name: &str| {
        name != target && Some(name) != roles.group.as_deref() && !roles.drop.iter().any(|drop| drop == name)
    };
    let names = items.first().map(|item| item.row.as_slice()).unwrap_or_default().iter().map(|(name, _)| name.as_str());
    let names: Vec<&str> = names.filter(|name| is_kept(name)).collect();
    let mut columns = Vec::new();
    if texts.is_empty() {
        for name in &names {
            columns.push(((*name).to_owned(), feature(texts_of(name)?)));
        }
        if columns.is_empty() {
            return Err(TableError::NoFeatures { target });
        }
    }
    let keys = items.iter().enumerate().map(|(at, item)| key(item, texts.get(at), &names)).collect();
    let strata = strata.unwrap_or_else(|| named.clone());
    Ok(Table { features: Features::Columns(columns), target: of, classes, strata, groups, keys, texts })
}

/// Distinct names, sorted, and the number of each.
pub(crate) fn numbered(names: &[String]) -> (Vec<String>, Vec<usize>) {
    let mut known: BTreeMap<&str, usize> = names.iter().map(|name| (name.as_str(), 0)).collect();
    known.values_mut().enumerate().for_each(|(at, number)| *number = at);
    let of = names.iter().filter_map(|name| known.get(name.as_str()).copied()).collect();
    (known.keys().map(|name| (*name).to_owned()).collect(), of)
}

fn feature(cells: Vec<String>) -> Feature {
    let numbers: Option<Vec<f64>> =
        cells.iter().map(|cell| cell.parse::<f64>().ok().filter(|number| number.is_finite())).collect();
    numbers.map_or(Feature::Category(cells), Feature::Numeric)
}

/// Case and white space aside, copies of a text are one.
fn key(item: &Item, text: Option<&String>, names: &[&str]) -> Digest {
    let mut bytes = Vec::new();
    let mut add = |part: &str| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part.as_bytes());
    };
    match text {
        Some(text) => add(&text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")),
        None => names.iter().for_each(|name| add(&column(&item.row, name).map(Value::python_str).unwrap_or_default())),
    }
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_find_their_roles() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, "1, a, >50K.\n2.5, b, <=50K\n\n1, a, >50K\n").unwrap();
        let items = rows(&[&path], false).unwrap();
        let found = table(&items, &Roles::default()).unwrap();
        assert_eq!(
            (found.classes.as_slice(), found.target.as_slice()),
            (&["<=50K".to_owned(), ">50K".to_owned()][..], &[1, 0, 1][..])
        );
        let Features::Columns(columns) = &found.features else { panic!("a table") };
        assert_eq!(columns[0], ("c1".to_owned(), Feature::Numeric(vec![1.0, 2.5, 1.0])));
        assert_eq!(columns[1].1, Feature::Category(["a", "b", "a"].map(str::to_owned).to_vec()));
        assert!(found.keys[0] == found.keys[2] && found.keys[0] != found.keys[1]);
        std::fs::write(&path, "1,a\n2\n").unwrap();
        assert_eq!(
            rows(&[&path], false).unwrap_err().to_string(),
            format!("{}, line 2: expected 2 columns as in the first line, found 1", path.display())
        );
        std::fs::write(&path, "1,a\n2,a\n").unwrap();
        let error = table(&rows(&[&path], false).unwrap(), &Roles::default()).unwrap_err();
        assert_eq!(error.to_string(), "expected at least two classes in `c2`, found `a` alone");
    }
}
