//! One task, typed: what a task file of lm-evaluation-harness says, checked before any row is read.

use super::{
    filters::{Filter, FilterError},
    functions::{self, Aggregation, DocsFn, FieldFn, Native, Results},
    value::{Row, Value, column},
};
use std::path::PathBuf;

/// Why a task file does not describe a task that can be run.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("task `{task}`: expected `{key}` to be {expected}, found {found}")]
    Kind { task: String, key: String, expected: &'static str, found: String },
    #[error("task `{task}`: `{key}` is missing")]
    Missing { task: String, key: &'static str },
    #[error("task `{task}`: `{key}` is not a key of a task file")]
    UnknownKey { task: String, key: String },
    #[error("task `{task}`: `{key}` is not supported: {why}")]
    Unsupported { task: String, key: String, why: &'static str },
    #[error(
        "task `{task}`: `{key}` calls the Python function `{function}` of `{folder}`, which has no native counterpart; no Python is run"
    )]
    Function { task: String, key: String, folder: String, function: String },
    #[error("task `{task}`: no metric `{metric}` for output type `{output}`")]
    Metric { task: String, metric: String, output: &'static str },
    #[error("task `{task}`: no aggregation `{aggregation}`")]
    Aggregation { task: String, aggregation: String },
    #[error("task `{task}`: a filter cannot be built")]
    Filter {
        task: String,
        #[source]
        source: FilterError,
    },
}

/// What is asked of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    MultipleChoice,
    LogLikelihood,
    Rolling,
    GenerateUntil,
}

impl Output {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MultipleChoice => "multiple_choice",
            Self::LogLikelihood => "loglikelihood",
            Self::Rolling => "loglikelihood_rolling",
            Self::GenerateUntil => "generate_until",
        }
    }
}

/// A field made from a row.
#[derive(Debug, Clone)]
pub enum Field {
    /// The name of a column, or else a template.
    Text(String),
    /// An index or a list, the same for every row.
    Literal(Value),
    Native(FieldFn),
}

/// One metric of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub name: String,
    pub aggregation: AggregationKind,
    /// What the task file says, else what its name says.
    pub higher_is_better: bool,
    /// Options of `exact_match`.
    pub options: MatchOptions,
}

/// How scores of items become one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregationKind {
    Mean,
    Median,
    NanMean,
    Perplexity,
    WeightedPerplexity,
    BitsPerByte,
    F1,
    Mcc,
    Native(Aggregation),
}

/// What `exact_match` overlooks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MatchOptions {
    pub regexes_to_ignore: Vec<String>,
    pub ignore_case: bool,
    pub ignore_punctuation: bool,
    pub ignore_numbers: bool,
}

/// A named chain of filters.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub name: String,
    pub filters: Vec<Filter>,
}

/// How answers are generated. Always greedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub until: Vec<String>,
    pub tokens_max: usize,
}

/// How examples are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampler {
    /// `sample` of the running generator.
    Random,
    FirstN,
}

/// How examples are chosen and formed; unset fields are the task's own.
#[derive(Debug, Clone)]
pub struct Shots {
    pub split: Option<String>,
    pub samples: Option<Vec<Row>>,
    pub indices: Option<Vec<usize>>,
    pub sampler: Sampler,
    pub text: Option<Field>,
    pub target: Option<Field>,
    pub choice: Option<Field>,
    pub fewshot_delimiter: Option<String>,
    pub target_delimiter: Option<String>,
}

/// What `metadata` says of the carried data: how to find and read it. The harness passes `metadata` by.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Paths below the data folder, by split, without extension.
    pub files: Vec<(String, Vec<String>)>,
    pub pages: bool,
    /// Column and value that a row must hold to count.
    pub keep: Vec<(String, Value)>,
    /// A file with more columns, and the column that both hold.
    pub join: Option<(String, String)>,
    /// A column, or a template, whose equal values make one cluster.
    pub cluster: Option<String>,
    /// A column, or a template, whose values are reported apart.
    pub slice: Option<String>,
    /// Other templates of `doc_to_text` that ask the same.
    pub paraphrases: Vec<String>,
}

/// One task, ready for its rows.
#[derive(Debug, Clone)]
pub struct Task {
    pub name: String,
    /// The folder of the task file: data named by it is searched there too.
    pub folder: PathBuf,
    pub version: String,
    pub output: Output,
    pub dataset_path: Option<String>,
    pub dataset_name: Option<String>,
    pub data_files: Option<Value>,
    pub training_split: Option<String>,
    pub validation_split: Option<String>,
    pub test_split: Option<String>,
    pub process_docs: Option<DocsFn>,
    pub process_results: Option<Results>,
    pub text: Field,
    pub target: Option<Field>,
    pub choice: Option<Field>,
    pub description: String,
    pub target_delimiter: String,
    pub fewshot_delimiter: String,
    pub gen_prefix: Option<String>,
    pub num_fewshot: Option<usize>,
    pub shots: Shots,
    pub metrics: Vec<Metric>,
    pub generation: Generation,
    pub pipelines: Vec<Pipeline>,
    pub reading: Reading,
    /// What a record should say: native functions in use, and files that differ from those they were checked against.
    pub notes: Vec<String>,
}

/// New tokens of an answer when the task file does not say.
const TOKENS_MAX: usize = 256;

impl Task {
    /// # Errors
    /// `TaskError`.
    pub fn new(config: &[(String, Value)], folder: PathBuf) -> Result<Self, TaskError> {
        let name = column(config, "task").and_then(Value::as_text).unwrap_or_default().to_owned();
        let mut keys = Keys { task: name, config, folder, notes: Vec::new() };
        keys.check_names()?;
        let output = keys.output()?;
        let fewshot_delimiter = keys.text("fewshot_delimiter")?.unwrap_or_else(|| "\n\n".to_owned());
        let process_results = match keys.native("process_results")? {
            None => None,
            Some(Native::Results(results)) => Some(results),
            Some(_) => return Err(keys.kind("process_results", "a function of results")),
        };
        let text = keys.field("doc_to_text")?;
        let metrics = keys.metrics(output, process_results.is_some())?;
        Ok(Self {
            output,
            version: keys.version(),
            dataset_path: keys.text("dataset_path")?,
            dataset_name: keys.text("dataset_name")?,
            data_files: column(config, "dataset_kwargs").and_then(|value| value.get("data_files")).cloned(),
            training_split: keys.text("training_split")?,
            validation_split: keys.text("validation_split")?,
            test_split: keys.text("test_split")?,
            process_docs: keys.docs("process_docs")?,
            process_results,
            text: text.ok_or_else(|| TaskError::Missing { task: keys.task.clone(), key: "doc_to_text" })?,
            target: keys.field("doc_to_target")?,
            choice: keys.field("doc_to_choice")?,
            description: keys.text("description")?.unwrap_or_default(),
            target_delimiter: keys.text("target_delimiter")?.unwrap_or_else(|| " ".to_owned()),
            gen_prefix: keys.text("gen_prefix")?,
            num_fewshot: keys.count("num_fewshot")?,
            shots: keys.shots()?,
            metrics,
            generation: keys.generation(&fewshot_delimiter)?,
            fewshot_delimiter,
            pipelines: keys.pipelines()?,
            reading: keys.reading()?,
            notes: std::mem::take(&mut keys.notes),
            name: keys.task,
            folder: keys.folder,
        })
    }

    /// The split that is scored: test, else validation.
    #[must_use]
    pub fn eval_split(&self) -> Option<&str> {
        self.test_split.as_deref().or(self.validation_split.as_deref())
    }

    /// The split that examples come from: the one named, else training, validation, test.
    #[must_use]
    pub fn shot_split(&self) -> Option<&str> {
        let named = self.shots.split.as_deref().or(self.training_split.as_deref());
        named.or(self.validation_split.as_deref()).or(self.test_split.as_deref())
    }
}

/// What stands in `metadata` for the name of the data set, so that many tasks share one file.
const DATASET_NAME: &str = "$dataset_name";

const KNOWN: [&str; 33] = [
    "task",
    "task_alias",
    "tag",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "training_split",
    "validation_split",
    "test_split",
    "fewshot_split",
    "process_docs",
    "doc_to_text",
    "doc_to_target",
    "doc_to_choice",
    "process_results",
    "description",
    "target_delimiter",
    "fewshot_delimiter",
    "fewshot_config",
    "num_fewshot",
    "metric_list",
    "output_type",
    "generation_kwargs",
    "repeats",
    "filter_list",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "gen_prefix",
    "metadata",
    "group",
    "task_list",
    "unsafe_code",
    "group_alias",
];

const UNSUPPORTED: [(&str, &str); 5] = [
    ("class", "it names a Python class"),
    ("custom_dataset", "it names a Python function"),
    ("use_prompt", "it fetches a prompt from elsewhere"),
    ("doc_to_image", "only text is evaluated"),
    ("doc_to_audio", "only text is evaluated"),
];

struct Keys<'a> {
    task: String,
    config: &'a [(String, Value)],
    folder: PathBuf,
    notes: Vec<String>,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        column(self.config, key).filter(|value| !matches!(value, Value::Null))
    }

    fn kind(&self, key: &str, expected: &'static str) -> TaskError {
        let found = self.get(key).map_or("nothing", Value::kind).to_owned();
        TaskError::Kind { task: self.task.clone(), key: key.to_owned(), expected, found }
    }

    fn unsupported(&self, key: impl Into<String>, why: &'static str) -> TaskError {
        TaskError::Unsupported { task: self.task.clone(), key: key.into(), why }
    }

    fn check_names(&self) -> Result<(), TaskError> {
        for (key, value) in self.config {
            if let Some((_, why)) = UNSUPPORTED.iter().find(|(name, _)| name == key)
                && !matches!(value, Value::Null)
            {
                return Err(self.unsupported(key, why));
            }
            let is_known = KNOWN.contains(&key.as_str()) || UNSUPPORTED.iter().any(|(name, _)| name == key);
            if !is_known {
                return Err(TaskError::UnknownKey { task: self.task.clone(), key: key.clone() });
            }
        }
        if matches!(self.get("unsafe_code"), Some(Value::Bool(true))) {
            return Err(self.unsupported("unsafe_code", "answers are never run"));
        }
        if self.count("repeats")?.unwrap_or(1) > 1 {
            return Err(self.unsupported("repeats", "answers are greedy, so repeats are all the same"));
        }
        Ok(())
    }

    fn text(&self, key: &str) -> Result<Option<String>, TaskError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            // A name such as `2020` is a number in YAML.
            Some(value @ (Value::Int(_) | Value::Float(_))) => Ok(Some(value.python_str())),
            Some(Value::Function(function)) => Err(self.function(key, function)),
            Some(_) => Err(self.kind(key, "text")),
        }
    }

    fn count(&self, key: &str) -> Result<Option<usize>, TaskError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_int().and_then(|int| usize::try_from(int).ok()) {
                Some(count) => Ok(Some(count)),
                None => Err(self.kind(key, "a count")),
            },
        }
    }

    fn output(&self) -> Result<Output, TaskError> {
        match self.text("output_type")?.as_deref() {
            Some("multiple_choice") => Ok(Output::MultipleChoice),
            Some("loglikelihood") => Ok(Output::LogLikelihood),
            Some("loglikelihood_rolling") => Ok(Output::Rolling),
            None | Some("generate_until") => Ok(Output::GenerateUntil),
            Some(other) => Err(TaskError::Kind {
                task: self.task.clone(),
                key: "output_type".to_owned(),
                expected: "multiple_choice, loglikelihood, loglikelihood_rolling or generate_until",
                found: format!("`{other}`"),
            }),
        }
    }

    fn version(&self) -> String {
        let version = self.get("metadata").and_then(|metadata| metadata.get("version"));
        version.map_or_else(|| "unversioned".to_owned(), Value::python_str)
    }

    fn function(&self, key: &str, function: &str) -> TaskError {
        let folder = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        TaskError::Function { task: self.task.clone(), key: key.to_owned(), folder, function: function.to_owned() }
    }

    fn native(&mut self, key: &str) -> Result<Option<Native>, TaskError> {
        let Some(Value::Function(function)) = self.get(key) else { return Ok(None) };
        let function = function.clone();
        self.resolved(key, &function).map(Some)
    }

    fn resolved(&mut self, key: &str, function: &str) -> Result<Native, TaskError> {
        let Some(native) = functions::resolve(&self.folder, function) else { return Err(self.function(key, function)) };
        if let Some(note) = functions::note(&self.folder, function)
            && !self.notes.contains(&note)
        {
            self.notes.push(note);
        }
        Ok(native)
    }

    fn docs(&mut self, key: &str) -> Result<Option<DocsFn>, TaskError> {
        match self.native(key)? {
            Some(Native::Docs(docs)) => Ok(Some(docs)),
            None if self.get(key).is_none() => Ok(None),
            _ => Err(self.kind(key, "a function of rows")),
        }
    }

    fn field(&mut self, key: &str) -> Result<Option<Field>, TaskError> {
        let value = self.get(key).cloned();
        self.field_of(key, value.as_ref())
    }

    fn field_of(&mut self, key: &str, value: Option<&Value>) -> Result<Option<Field>, TaskError> {
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(Field::Text(text.clone()))),
            Some(value @ (Value::Int(_) | Value::List(_))) => Ok(Some(Field::Literal(value.clone()))),
            // Of a map of choices the values are the choices.
            Some(Value::Map(members)) => {
                Ok(Some(Field::Literal(Value::List(members.iter().map(|(_, value)| value.clone()).collect()))))
            }
            Some(Value::Function(function)) => match self.resolved(key, function)? {
                Native::Field(field) => Ok(Some(Field::Native(field))),
                _ => Err(self.kind(key, "a function of one row")),
            },
            Some(_) => Err(self.kind(key, "text, an index or a list")),
        }
    }

    fn shots(&mut self) -> Result<Shots, TaskError> {
        let config = self.get("fewshot_config").cloned().unwrap_or(Value::Map(Vec::new()));
        let text = |key: &str| config.get(key).and_then(Value::as_text).map(str::to_owned);
        let sampler = match text("sampler").as_deref() {
            None | Some("default") => Sampler::Random,
            Some("first_n") => Sampler::FirstN,
            Some(_) => return Err(self.unsupported("fewshot_config.sampler", "known are `default` and `first_n`")),
        };
        if config.get("process_docs").is_some() {
            return Err(self.unsupported("fewshot_config.process_docs", "examples pass through the task's own"));
        }
        let samples = match config.get("samples") {
            None | Some(Value::Null) => None,
            Some(Value::List(rows)) if rows.iter().all(|row| row.as_map().is_some()) => {
                Some(rows.iter().filter_map(Value::as_map).map(<[_]>::to_vec).collect())
            }
            Some(Value::Function(function)) => return Err(self.function("fewshot_config.samples", function)),
            Some(_) => return Err(self.kind("fewshot_config", "a map with a list of samples")),
        };
        let indices = config.get("fewshot_indices").and_then(Value::as_list).map(|indices| {
            indices.iter().filter_map(Value::as_int).filter_map(|index| usize::try_from(index).ok()).collect()
        });
        Ok(Shots {
            split: text("split").or(self.text("fewshot_split")?),
            samples,
            indices,
            sampler,
            text: self.field_of("fewshot_config.doc_to_text", config.get("doc_to_text"))?,
            target: self.field_of("fewshot_config.doc_to_target", config.get("doc_to_target"))?,
            choice: self.field_of("fewshot_config.doc_to_choice", config.get("doc_to_choice"))?,
            fewshot_delimiter: text("fewshot_delimiter"),
            target_delimiter: text("target_delimiter"),
        })
    }

    fn generation(&self, fewshot_delimiter: &str) -> Result<Generation, TaskError> {
        let default = Generation { until: vec![fewshot_delimiter.to_owned()], tokens_max: TOKENS_MAX };
        let Some(config) = self.get("generation_kwargs") else { return Ok(default) };
        let is_sampled = matches!(config.get("do_sample"), Some(Value::Bool(true)));
        let is_warm = match config.get("temperature") {
            Some(Value::Float(temperature)) => *temperature != 0.0,
            Some(Value::Int(temperature)) => *temperature != 0,
            _ => false,
        };
        if is_sampled && is_warm {
            return Err(self.unsupported("generation_kwargs.do_sample", "answers are greedy"));
        }
        let until = match config.get("until") {
            None | Some(Value::Null) => default.until,
            Some(Value::Text(text)) => vec![text.clone()],
            Some(Value::List(texts)) => texts.iter().map(Value::python_str).collect(),
            Some(_) => return Err(self.kind("generation_kwargs", "a map with stop texts")),
        };
        let most = ["max_gen_toks", "max_tokens", "max_new_tokens"]
            .iter()
            .find_map(|key| config.get(key))
            .and_then(Value::as_int);
        let tokens_max = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(TOKENS_MAX);
        Ok(Generation { until, tokens_max })
    }

    fn pipelines(&self) -> Result<Vec<Pipeline>, TaskError> {
        let Some(list) = self.get("filter_list") else {
            return Ok(vec![Pipeline { name: "none".to_owned(), filters: vec![Filter::TakeFirst] }]);
        };
        let wrong = || self.kind("filter_list", "a list of named chains of filters");
        let mut pipelines = Vec::new();
        for chain in list.as_list().ok_or_else(wrong)? {
            let name = chain.get("name").map(Value::python_str).ok_or_else(wrong)?;
            let filters = chain.get("filter").and_then(Value::as_list).ok_or_else(wrong)?;
            let filters = filters
                .iter()
                .map(|filter| {
                    Filter::new(filter).map_err(|source| TaskError::Filter { task: self.task.clone(), source })
                })
                .collect::<Result<_, _>>()?;
            pipelines.push(Pipeline { name, filters });
        }
        Ok(pipelines)
    }

    fn metrics(&mut self, output: Output, is_native: bool) -> Result<Vec<Metric>, TaskError> {
        let list = match self.get("metric_list") {
            Some(Value::List(list)) => list.clone(),
            Some(_) => return Err(self.kind("metric_list", "a list of metrics")),
            None => default_metrics(output)
                .iter()
                .map(|name| Value::Map(vec![("metric".to_owned(), Value::Text((*name).to_owned()))]))
                .collect(),
        };
        list.iter().map(|entry| self.metric(entry, output, is_native)).collect()
    }

    fn metric(&mut self, entry: &Value, output: Output, is_native: bool) -> Result<Metric, TaskError> {
        let name = match entry.get("metric") {
            Some(Value::Text(name)) => name.clone(),
            Some(Value::Function(function)) => return Err(self.function("metric_list", function)),
            _ => return Err(TaskError::Missing { task: self.task.clone(), key: "metric_list.metric" }),
        };
        let task = self.task.clone();
        let unknown = || TaskError::Metric { task: task.clone(), metric: name.clone(), output: output.name() };
        let own = known_metric(output, &name);
        let aggregation = match entry.get("aggregation") {
            Some(Value::Text(aggregation)) => aggregation_of(aggregation)
                .ok_or_else(|| TaskError::Aggregation { task: self.task.clone(), aggregation: aggregation.clone() })?,
            Some(Value::Function(function)) => match self.resolved("metric_list.aggregation", function)? {
                Native::Aggregation(aggregation) => AggregationKind::Native(aggregation),
                _ => return Err(self.function("metric_list.aggregation", function)),
            },
            _ => own.ok_or_else(unknown)?,
        };
        if own.is_none() && !is_native {
            return Err(unknown());
        }
        let is_set = |key| matches!(entry.get(key), Some(Value::Bool(true)));
        let regexes = entry.get("regexes_to_ignore").and_then(Value::as_list).unwrap_or_default();
        let options = MatchOptions {
            regexes_to_ignore: regexes.iter().map(Value::python_str).collect(),
            ignore_case: is_set("ignore_case"),
            ignore_punctuation: is_set("ignore_punctuation"),
            ignore_numbers: is_set("ignore_numbers"),
        };
        let higher_is_better = match entry.get("higher_is_better") {
            Some(Value::Bool(is_so)) => *is_so,
            _ => super::metrics::is_usually_higher_better(&name),
        };
        Ok(Metric { name, aggregation, higher_is_better, options })
    }

    fn reading(&self) -> Result<Reading, TaskError> {
        let Some(metadata) = self.get("metadata") else { return Ok(Reading::default()) };
        let name = self.text("dataset_name")?.unwrap_or_default();
        let filled = |value: &Value| value.python_str().replace(DATASET_NAME, &name);
        let texts = |value: &Value| match value {
            Value::List(items) => items.iter().map(filled).collect(),
            other => vec![filled(other)],
        };
        let members = |key| metadata.get(key).and_then(Value::as_map).unwrap_or_default();
        let text = |value: Option<&Value>| value.map(Value::python_str);
        let join = metadata.get("join").map(|join| match (text(join.get("file")), text(join.get("key"))) {
            (Some(file), Some(on)) => Ok((file, on)),
            _ => Err(self.kind("metadata", "a map whose `join` names `file` and `key`")),
        });
        let pages = match text(metadata.get("reader")).as_deref() {
            None => false,
            Some("pages") => true,
            Some(_) => return Err(self.unsupported("metadata.reader", "known is `pages`")),
        };
        Ok(Reading {
            files: members("files").iter().map(|(split, files)| (split.clone(), texts(files))).collect(),
            pages,
            keep: members("keep")
                .iter()
                .map(|(column, value)| {
                    (
                        column.clone(),
                        match value {
                            Value::Text(_) => Value::Text(filled(value)),
                            other => other.clone(),
                        },
                    )
                })
                .collect(),
            join: join.transpose()?,
            cluster: text(metadata.get("cluster")),
            slice: text(metadata.get("slice")),
            paraphrases: metadata.get("paraphrase").map(texts).unwrap_or_default(),
        })
    }
}

fn default_metrics(output: Output) -> &'static [&'static str] {
    match output {
        Output::MultipleChoice => &["acc", "acc_norm"],
        Output::LogLikelihood => &["perplexity", "acc"],
        Output::Rolling => &["word_perplexity", "byte_perplexity", "bits_per_byte"],
        Output::GenerateUntil => &["exact_match"],
    }
}

/// The aggregation of a metric where the task file names none; `None` where the output type has no such metric.
fn known_metric(output: Output, name: &str) -> Option<AggregationKind> {
    let known: &[(&str, AggregationKind)] = match output {
        Output::MultipleChoice => &[
            ("acc", AggregationKind::Mean),
            ("acc_norm", AggregationKind::Mean),
            ("acc_bytes", AggregationKind::Mean),
            ("acc_mutual_info", AggregationKind::Mean),
            ("exact_match", AggregationKind::Mean),
            ("brier_score", AggregationKind::Mean),
            ("f1", AggregationKind::F1),
            ("mcc", AggregationKind::Mcc),
        ],
        Output::LogLikelihood => &[("perplexity", AggregationKind::Perplexity), ("acc", AggregationKind::Mean)],
        Output::Rolling => &[
            ("word_perplexity", AggregationKind::WeightedPerplexity),
            ("byte_perplexity", AggregationKind::WeightedPerplexity),
            ("bits_per_byte", AggregationKind::BitsPerByte),
        ],
        Output::GenerateUntil => &[("exact_match", AggregationKind::Mean)],
    };
    known.iter().find(|(known, _)| *known == name).map(|(_, aggregation)| *aggregation)
}

fn aggregation_of(name: &str) -> Option<AggregationKind> {
    Some(match name {
        "mean" | "brier_score" => AggregationKind::Mean,
        "median" => AggregationKind::Median,
        "nanmean" => AggregationKind::NanMean,
        "perplexity" => AggregationKind::Perplexity,
        "weighted_perplexity" => AggregationKind::WeightedPerplexity,
        "bits_per_byte" => AggregationKind::BitsPerByte,
        "f1" => AggregationKind::F1,
        "matthews_corrcoef" => AggregationKind::Mcc,
        _ => return None,
    })
}
