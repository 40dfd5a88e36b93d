//! Task files found by name: those that are shipped, and those of folders that the user names.

use super::{
    shipped,
    task::{Task, TaskError},
    value::{Row, Value, column},
    yaml::{self, YamlError},
};
use crate::memorisation::edit_distance;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// Why a name does not lead to tasks.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the folder {} cannot be read", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no task, group or tag `{name}`{}", hint(near, unread))]
    Unknown { name: String, near: Vec<String>, unread: Vec<String> },
    #[error("group `{0}` contains itself")]
    GroupLoop(String),
    #[error("group `{group}`: expected its members to be names or maps, found {found}")]
    Member { group: String, found: &'static str },
    #[error(transparent)]
    Yaml(#[from] YamlError),
    #[error(transparent)]
    Task(#[from] Box<TaskError>),
}

fn hint(near: &[String], unread: &[String]) -> String {
    let mut hint = String::new();
    if !near.is_empty() {
        hint.push_str(&format!("; near it are {}", near.join(", ")));
    }
    if let Some(first) = unread.first() {
        hint.push_str(&format!("; {} task files could not be read, the first: {first}", unread.len()));
    }
    hint
}

/// An error with its cause.
fn whole(error: &YamlError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What a name stands for.
#[derive(Debug, Clone)]
enum Entry {
    Task { config: Row, folder: PathBuf },
    Group { config: Row, folder: PathBuf },
}

/// Every task file there is.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    entries: BTreeMap<String, Entry>,
    tags: BTreeMap<String, BTreeSet<String>>,
    /// Files that could not be read, with the reason: told when a name is not found.
    unread: Vec<String>,
}

/// A figure of a group, over its members.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupMetric {
    pub metric: String,
    pub is_weighted: bool,
}

/// One group that was asked for, with the names of the tasks below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub name: String,
    pub metrics: Vec<GroupMetric>,
    pub tasks: Vec<String>,
}

/// What names led to: tasks in order, each once, and the groups over them.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub tasks: Vec<Task>,
    pub groups: Vec<Group>,
}

/// Groups within groups, at most.
const DEPTH_MAX: usize = 32;

impl Catalog {
    /// The shipped task files, and those below `folders`; a later folder replaces names of an earlier one.
    ///
    /// # Errors
    /// `Folder`. A file that is not a task file is passed over, and told of when a name is not found.
    pub fn open(folders: &[PathBuf]) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for (path, _) in shipped::FILES.iter().filter(|(path, _)| path.ends_with(".yaml")) {
            catalog.add(Path::new(path), &shipped::text, &mut BTreeSet::new());
        }
        for folder in folders {
            let mut files = Vec::new();
            files_below(folder, &mut files)?;
            files.sort();
            let mut seen = BTreeSet::new();
            for file in files {
                catalog.add(&file, &|path: &Path| fs::read_to_string(path), &mut seen);
            }
        }
        Ok(catalog)
    }

    /// Names of all tasks.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, entry)| matches!(entry, Entry::Task { .. })).map(|(name, _)| name.as_str())
    }

    fn add(&mut self, path: &Path, source: yaml::Source<'_>, seen: &mut BTreeSet<String>) {
        let config = match yaml::load(path, source).and_then(|config| with_members(config, path, source, 0)) {
            Ok(config) => config,
            Err(error) => return self.unread.push(whole(&error)),
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let list = column(&config, "task_list").and_then(Value::as_list).map(<[Value]>::to_vec);
        let Some(list) = list else { return self.add_config(config, folder, seen) };
        // A file may hold many tasks that differ in a few keys.
        let shared: Row = config.into_iter().filter(|(key, _)| key != "task_list").collect();
        for own in list.iter().filter_map(Value::as_map) {
            let mut config = shared.clone();
            override_keys(&mut config, own);
            self.add_config(config, folder.clone(), seen);
        }
    }

    fn add_config(&mut self, config: Row, folder: PathBuf, seen: &mut BTreeSet<String>) {
        let name = |key| column(&config, key).and_then(Value::as_text).map(str::to_owned);
        let (name, entry) = match (name("group"), name("task")) {
            (Some(group), _) => (group, Entry::Group { config, folder }),
            (None, Some(task)) => {
                for tag in texts(column(&config, "tag")) {
                    self.tags.entry(tag).or_default().insert(task.clone());
                }
                (task, Entry::Task { config, folder })
            }
            // Shared parts that other files include have neither.
            (None, None) => return,
        };
        // Within a folder the first file of a name counts, as in the harness.
        if seen.insert(name.clone()) || !self.entries.contains_key(&name) {
            self.entries.insert(name, entry);
        }
    }

    /// Tasks of these names: tasks, groups, tags, or patterns with `*`.
    ///
    /// # Errors
    /// `CatalogError`; a task that cannot be run is named with the reason.
    pub fn select(&self, names: &[String]) -> Result<Selection, CatalogError> {
        let mut selection = Selection::default();
        for name in names {
            for name in self.matching(name)? {
                self.collect(&name, &[], &mut selection, &mut Vec::new())?;
            }
        }
        Ok(selection)
    }

    fn matching(&self, name: &str) -> Result<Vec<String>, CatalogError> {
        if !name.contains('*') {
            return Ok(vec![name.to_owned()]);
        }
        let found: Vec<String> = self.entries.keys().filter(|known| is_like(known, name)).cloned().collect();
        if found.is_empty() { Err(self.unknown(name)) } else { Ok(found) }
    }

    fn unknown(&self, name: &str) -> CatalogError {
        let names = self.entries.keys().chain(self.tags.keys());
        let is_near =
            |known: &&String| known.contains(name) || name.contains(known.as_str()) || is_mistyped(name, known);
        let near = names.filter(is_near).take(5).cloned().collect();
        CatalogError::Unknown { name: name.to_owned(), near, unread: self.unread.clone() }
    }

    /// Adds what a name stands for; gives the names of the tasks.
    fn collect(
        &self,
        name: &str,
        overrides: &[(String, Value)],
        selection: &mut Selection,
        above: &mut Vec<String>,
    ) -> Result<Vec<String>, CatalogError> {
        match self.entries.get(name) {
            Some(Entry::Task { config, folder }) => {
                if !selection.tasks.iter().any(|task| task.name == name) {
                    let mut config = config.clone();
                    override_keys(&mut config, overrides);
                    override_keys(&mut config, &[("task".to_owned(), Value::Text(name.to_owned()))]);
                    let without: Row = config.into_iter().filter(|(key, _)| key != "group").collect();
                    selection.tasks.push(Task::new(&without, folder.clone()).map_err(Box::new)?);
                }
                Ok(vec![name.to_owned()])
            }
            Some(Entry::Group { config, folder }) => self.group(name, config, folder, overrides, selection, above),
            None => match self.tags.get(name) {
                Some(tasks) => {
                    let mut found = Vec::new();
                    for task in tasks {
                        found.extend(self.collect(task, overrides, selection, above)?);
                    }
                    Ok(found)
                }
                None => Err(self.unknown(name)),
            },
        }
    }

    fn group(
        &self,
        name: &str,
        config: &[(String, Value)],
        folder: &Path,
        overrides: &[(String, Value)],
        selection: &mut Selection,
        above: &mut Vec<String>,
    ) -> Result<Vec<String>, CatalogError> {
        if above.iter().any(|group| group == name) || above.len() > DEPTH_MAX {
            return Err(CatalogError::GroupLoop(name.to_owned()));
        }
        above.push(name.to_owned());
        let own = ["group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag"];
        let mut below: Row = config.iter().filter(|(key, _)| !own.contains(&key.as_str())).cloned().collect();
        override_keys(&mut below, overrides);
        let mut tasks = Vec::new();
        for member in members(name, column(config, "task"))? {
            tasks.extend(self.member(name, &member, folder, &below, selection, above)?);
        }
        above.pop();
        let metrics = column(config, "aggregate_metric_list").map(group_metrics).unwrap_or_default();
        if !selection.groups.iter().any(|group| group.name == name) {
            selection.groups.push(Group { name: name.to_owned(), metrics, tasks: tasks.clone() });
        }
        Ok(tasks)
    }

    fn member(
        &self,
        group: &str,
        member: &Value,
        folder: &Path,
        overrides: &[(String, Value)],
        selection: &mut Selection,
        above: &mut Vec<String>,
    ) -> Result<Vec<String>, CatalogError> {
        let config = match member {
            Value::Text(name) => return self.collect(name, overrides, selection, above),
            Value::Map(config) => config,
            other => return Err(CatalogError::Member { group: group.to_owned(), found: other.kind() }),
        };
        let name = |key| column(config, key).and_then(Value::as_text).map(str::to_owned);
        let mut own = overrides.to_vec();
        override_keys(&mut own, config);
        match (name("group"), name("task")) {
            (Some(inner), _) if self.entries.contains_key(&inner) => {
                self.collect(&inner, &without(&own, &["group", "task"]), selection, above)
            }
            (Some(inner), _) => self.group(&format!("{group}::{inner}"), config, folder, overrides, selection, above),
            (None, Some(task)) if self.entries.contains_key(&task) || self.tags.contains_key(&task) => {
                self.collect(&task, &without(&own, &["task"]), selection, above)
            }
            (None, Some(task)) => {
                let task = format!("{group}::{task}");
                override_keys(&mut own, &[("task".to_owned(), Value::Text(task.clone()))]);
                selection.tasks.push(Task::new(&own, folder.to_owned()).map_err(Box::new)?);
                Ok(vec![task])
            }
            (None, None) => {
                Err(CatalogError::Member { group: group.to_owned(), found: "a map without `task` or `group`" })
            }
        }
    }
}

/// A group's members that are maps, each with what its own `include` names beneath its keys; groups within it too.
fn with_members(mut config: Row, path: &Path, source: yaml::Source<'_>, depth: usize) -> Result<Row, YamlError> {
    let is_group = config.iter().any(|(key, _)| key == "group");
    let members = config.iter_mut().find(|(key, _)| is_group && key == "task");
    if let Some((_, Value::List(members))) = members.filter(|_| depth < DEPTH_MAX) {
        for member in members {
            if let Value::Map(own) = member {
                let own = yaml::included_by(std::mem::take(own), path, source)?;
                *member = Value::Map(with_members(own, path, source, depth + 1)?);
            }
        }
    }
    Ok(config)
}

fn without(row: &[(String, Value)], keys: &[&str]) -> Row {
    row.iter().filter(|(key, _)| !keys.contains(&key.as_str())).cloned().collect()
}

fn members(group: &str, value: Option<&Value>) -> Result<Vec<Value>, CatalogError> {
    match value {
        Some(Value::List(members)) => Ok(members.clone()),
        Some(Value::Text(name)) => Ok(vec![Value::Text(name.clone())]),
        Some(other) => Err(CatalogError::Member { group: group.to_owned(), found: other.kind() }),
        None => Ok(Vec::new()),
    }
}

fn group_metrics(value: &Value) -> Vec<GroupMetric> {
    let entries = match value {
        Value::List(entries) => entries.as_slice(),
        single => std::slice::from_ref(single),
    };
    let metric = |entry: &Value| {
        let metric = entry.get("metric").and_then(Value::as_text)?.to_owned();
        Some(GroupMetric { metric, is_weighted: !matches!(entry.get("weight_by_size"), Some(Value::Bool(false))) })
    };
    entries.iter().filter_map(metric).collect()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Text(text)) => vec![text.clone()],
        Some(Value::List(items)) => items.iter().filter_map(Value::as_text).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn override_keys(config: &mut Row, by: &[(String, Value)]) {
    for (key, value) in by {
        match config.iter_mut().find(|(name, _)| name == key) {
            Some((_, held)) => *held = value.clone(),
            None => config.push((key.clone(), value.clone())),
        }
    }
}

/// Whether a name is like a pattern in which `*` stands for anything.
fn is_like(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|after| {
            (0..=after.len()).filter(|&at| after.is_char_boundary(at)).any(|at| is_like(&after[at..], rest))
        }),
    }
}

/// Whether one name may be meant by the other: two edits apart, as two exchanged letters are, of names of four letters or more.
fn is_mistyped(name: &str, known: &str) -> bool {
    let [name, known] = [name, known].map(|name| name.chars().collect::<Vec<char>>());
    name.len().min(known.len()) > 3 && edit_distance(&name, &known) <= 2
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), CatalogError> {
    let failed = |source| CatalogError::Folder { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        if kind.is_dir() {
            let name = entry.file_name();
            if name != "__pycache__" && name != ".ipynb_checkpoints" {
                files_below(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}
