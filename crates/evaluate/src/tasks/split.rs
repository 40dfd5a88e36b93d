//! Where the rows of a split lie, and what is done to them before they become prompts.

use super::{
    data::{self, DataError, Item},
    functions::FunctionError,
    task::Task,
    value::{Value, column},
};
use evidence::Digest;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Why a split could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    #[error("task `{task}` has no rows for split `{split}`: nothing found at {}", tried(places))]
    NotFound { task: String, split: String, places: Vec<PathBuf> },
    #[error("task `{task}`: split `{split}` lies there in more than one kind: {}", tried(files))]
    Ambiguous { task: String, split: String, files: Vec<PathBuf> },
    #[error("task `{task}`: no row of split `{split}` holds {}", tried_columns(keep))]
    NoneKept { task: String, split: String, keep: Vec<(String, Value)> },
    #[error("task `{task}`")]
    Data {
        task: String,
        #[source]
        source: DataError,
    },
    #[error("task `{task}`")]
    Function {
        task: String,
        #[source]
        source: FunctionError,
    },
}

fn tried(places: &[PathBuf]) -> String {
    if places.is_empty() {
        return "any place, for no data folder was named".to_owned();
    }
    places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn tried_columns(keep: &[(String, Value)]) -> String {
    keep.iter().map(|(name, value)| format!("`{name}` = {}", value.python_repr())).collect::<Vec<_>>().join(", ")
}

/// The rows of one split, and the files they were read from.
#[derive(Debug, Clone)]
pub struct Split {
    pub items: Vec<Item>,
    pub files: Vec<(PathBuf, Digest)>,
}

/// Reads a split of a task, looking in this order: files the task file names (`dataset_kwargs.data_files`, beside the task
/// file or below `data`); files its `metadata.files` names below `data`; and below `data` the layouts of the hub,
/// `[OWNER/]SET/[NAME/][data/]SPLIT….EXT`.
///
/// # Errors
/// `SplitError`.
pub fn read(task: &Task, split: &str, data: Option<&Path>) -> Result<Split, SplitError> {
    let failed = |source| SplitError::Data { task: task.name.clone(), source };
    let files = locate(task, split, data)?;
    let mut items = Vec::new();
    for file in &files {
        let is_paged = task.reading.pages && data::kind(file) == Some("raw");
        let rows = if is_paged { data::pages(file) } else { data::read(file) };
        items.extend(rows.map_err(failed)?);
    }
    let mut files: Vec<PathBuf> = files;
    if let Some((other, key)) = &task.reading.join
        && let Some(folder) = data
    {
        let other = folder.join(other);
        data::join(&mut items, &other, key).map_err(failed)?;
        files.push(other);
    }
    let keep = &task.reading.keep;
    let is_kept =
        |item: &Item| keep.iter().all(|(name, value)| column(&item.row, name).is_none_or(|held| held == value));
    items.retain(is_kept);
    if items.is_empty() {
        return Err(SplitError::NoneKept { task: task.name.clone(), split: split.to_owned(), keep: keep.clone() });
    }
    if let Some(process) = task.process_docs {
        items = process(items).map_err(|source| SplitError::Function { task: task.name.clone(), source })?;
    }
    let digested = files.into_iter().map(|file| data::digest(&file).map(|digest| (file, digest)));
    Ok(Split { items, files: digested.collect::<Result<_, _>>().map_err(failed)? })
}

fn locate(task: &Task, split: &str, data: Option<&Path>) -> Result<Vec<PathBuf>, SplitError> {
    let mut places = Vec::new();
    if let Some(named) = &task.data_files {
        for name in named_files(named, split) {
            places.push(task.folder.join(&name));
            places.extend(data.map(|data| data.join(&name)));
        }
        let found: Vec<PathBuf> = places.iter().filter(|place| place.is_file()).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let Some(data) = data else { return Err(not_found(task, split, places)) };
    let carried = task.reading.files.iter().find(|(of, _)| of == split);
    let stems = carried.map(|(_, stems)| stems.clone()).unwrap_or_default();
    let mut found = Vec::new();
    for stem in &stems {
        let stem = data.join(stem);
        found.extend(with_stem(&stem));
        places.push(stem);
    }
    if !found.is_empty() {
        return one_kind(task, split, found);
    }
    for root in roots(task, data) {
        let stem = root.join(split);
        let found = with_stem(&stem);
        places.push(stem);
        if !found.is_empty() {
            return one_kind(task, split, found);
        }
    }
    Err(not_found(task, split, places))
}

fn not_found(task: &Task, split: &str, mut places: Vec<PathBuf>) -> SplitError {
    // A set without an owner has two roots in one place.
    let mut seen = BTreeSet::new();
    places.retain(|place| seen.insert(place.clone()));
    SplitError::NotFound { task: task.name.clone(), split: split.to_owned(), places }
}

/// `data_files`: one name, a list, or either by split.
fn named_files(value: &Value, split: &str) -> Vec<String> {
    match value {
        Value::Text(name) => vec![name.clone()],
        Value::List(names) => names.iter().map(Value::python_str).collect(),
        Value::Map(splits) => column(splits, split).map(|value| named_files(value, split)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn roots(task: &Task, data: &Path) -> Vec<PathBuf> {
    let Some(path) = task.dataset_path.as_deref().filter(|path| !Path::new(path).is_absolute() && !path.contains(".."))
    else {
        return Vec::new();
    };
    let short = path.rsplit('/').next().unwrap_or(path);
    let mut roots = Vec::new();
    for set in [data.join(path), data.join(short)] {
        if let Some(name) = &task.dataset_name {
            roots.push(set.join(name));
            roots.push(set.join("data").join(name));
        }
        roots.push(set.join("data"));
        roots.push(set);
    }
    roots
}

/// Files whose name is the last part of `stem`, or begins with it and then a dot, a dash or an underscore; sorted.
fn with_stem(stem: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (stem.parent(), stem.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_of = |path: &PathBuf| {
        let found = path.file_name().and_then(|found| found.to_str()).and_then(|found| found.strip_prefix(name));
        found.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '_']))
            && data::is_known(path)
            && path.is_file()
    };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_of).collect();
    files.sort();
    files
}

fn one_kind(task: &Task, split: &str, files: Vec<PathBuf>) -> Result<Vec<PathBuf>, SplitError> {
    let mut kinds: Vec<&str> = files.iter().filter_map(|file| data::kind(file)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.len() > 1 {
        return Err(SplitError::Ambiguous { task: task.name.clone(), split: split.to_owned(), files });
    }
    Ok(files)
}
