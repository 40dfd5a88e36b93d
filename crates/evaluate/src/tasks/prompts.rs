//! From rows to requests: contexts, choices and examples, to the letter as lm-evaluation-harness writes them.
//!
//! Source: `lm_eval/api/task.py` and `lm_eval/api/samplers.py`, version 0.4.13.

use super::{
    bbq,
    data::{DataError, Item, Origin},
    functions::{FunctionError, Results},
    literal::literal,
    random::Random,
    task::{Field, Output, Sampler, Task},
    template::{TemplateError, Templates, is_digits},
    value::{Value, column, is_python_space},
};
use std::collections::BTreeSet;

/// Why a row did not become a request.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("{origin}: `{field}`")]
    Template {
        origin: Origin,
        field: &'static str,
        #[source]
        source: Box<TemplateError>,
    },
    #[error(transparent)]
    Function(#[from] FunctionError),
    #[error(transparent)]
    Column(Box<DataError>),
    #[error("{origin}: expected `{field}` to give {expected}, found {found}")]
    Kind { origin: Origin, field: &'static str, expected: &'static str, found: String },
    #[error("task `{task}`: `{field}` is missing, and output type `{output}` needs it")]
    Missing { task: String, field: &'static str, output: &'static str },
    #[error("{origin}: expected a right answer among {n} choices, found {found}")]
    Gold { origin: Origin, n: usize, found: String },
    #[error("{origin}: choice {at} is empty, so its likelihood per character has no meaning")]
    EmptyChoice { origin: Origin, at: usize },
    #[error("task `{task}`: expected at least {wanted} examples to draw from, found {found}")]
    TooFewExamples { task: String, wanted: usize, found: usize },
}

/// One question to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    LogLikelihood { context: String, continuation: String },
    Rolling { text: String },
    Generate { context: String },
}

/// The right answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Gold {
    /// Indices of choices, any of which is right.
    Choices(Vec<usize>),
    /// Texts, any of which is right.
    Texts(Vec<String>),
}

/// One item, ready to be asked.
#[derive(Debug, Clone)]
pub struct Doc {
    /// Its place among the items of the split.
    pub id: usize,
    pub item: Item,
    pub requests: Vec<Request>,
    /// Texts of the choices; where choices are contexts, the contexts.
    pub choices: Vec<String>,
    pub gold: Gold,
    /// Whether the choices are contexts that share one ending.
    pub is_multiple_input: bool,
    /// Indices of its examples in the pool.
    pub shots: Vec<usize>,
    /// Bytes of each context that are description and examples; the item's own question comes after them.
    pub head: usize,
}

/// How prompts are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptConfig {
    /// Examples before each item; a task file that says 0 keeps 0.
    pub num_fewshot: Option<usize>,
    /// Items at most, from the first.
    pub limit: Option<usize>,
    /// Seed of the generator that draws examples, 1234 in the harness.
    pub seed: u32,
    /// Whether `acc_mutual_info` is asked for, whatever the task lists.
    pub mutual_info: bool,
}

impl Default for PromptConfig {
    fn default() -> Self {
        Self { num_fewshot: None, limit: None, seed: 1234, mutual_info: false }
    }
}

/// Whether choices are contexts that share one ending, as in WinoGrande.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    is_multiple_input: bool,
}

/// Examples before each item, after what the task file insists on.
#[must_use]
pub fn num_fewshot(task: &Task, config: &PromptConfig) -> usize {
    match (task.num_fewshot, config.num_fewshot) {
        (Some(0), _) => 0,
        (own, asked) => asked.or(own).unwrap_or(0),
    }
}

/// Builds the requests of every item, in the order of the split.
///
/// `pool` holds the rows that examples come from. Deterministic: one generator per task runs on from item to item.
///
/// # Errors
/// `PromptError` naming the row.
pub fn build(task: &Task, items: &[Item], pool: &[Item], config: &PromptConfig) -> Result<Vec<Doc>, PromptError> {
    let names = items.iter().chain(pool).flat_map(|item| &item.row).map(|(name, _)| name.as_str());
    let fields = Fields { task, templates: Templates::default(), columns: names.collect() };
    let n_shots = num_fewshot(task, config);
    let shape = match items.first() {
        Some(first) => Shape { is_multiple_input: matches!(fields.text(first, None)?, Value::Int(_)) },
        None => return Ok(Vec::new()),
    };
    let samples = task.shots.samples.as_ref().filter(|_| task.shots.split.is_none());
    let samples: Option<Vec<Item>> =
        samples.map(|rows| rows.iter().map(|row| Item { row: row.clone(), origin: items[0].origin.clone() }).collect());
    let pool = chosen(samples.as_deref().unwrap_or(pool), task.shots.indices.as_deref());
    let mut random = Random::new(config.seed);
    let mut docs = Vec::new();
    for (id, item) in items.iter().take(config.limit.unwrap_or(usize::MAX)).enumerate() {
        let shots = if n_shots == 0 { Vec::new() } else { drawn(task, item, &pool, n_shots, &mut random)? };
        let mut head = fields.description(item)?;
        for &shot in &shots {
            fields.write_shot(pool[shot], shape, &mut head)?;
        }
        docs.push(fields.doc(id, item, &head, shape, shots, config)?);
    }
    Ok(docs)
}

fn chosen<'a>(pool: &'a [Item], indices: Option<&[usize]>) -> Vec<&'a Item> {
    match indices {
        Some(indices) if !indices.is_empty() => indices.iter().filter_map(|&index| pool.get(index)).collect(),
        _ => pool.iter().collect(),
    }
}

/// Indices of an item's examples.
fn drawn(task: &Task, item: &Item, pool: &[&Item], n: usize, random: &mut Random) -> Result<Vec<usize>, PromptError> {
    // By name, as the harness compares; both unset are equal too.
    let may_hold_item = task.shots.split.as_deref() == task.test_split.as_deref();
    let too_few = |wanted| PromptError::TooFewExamples { task: task.name.clone(), wanted, found: pool.len() };
    let is_other = |index: &usize| !may_hold_item || !is_same(&pool[*index].row, &item.row);
    match task.shots.sampler {
        Sampler::FirstN => {
            let first: Vec<usize> = (0..pool.len()).filter(is_other).take(n).collect();
            if first.len() < n { Err(too_few(n)) } else { Ok(first) }
        }
        Sampler::Random => {
            let wanted = if may_hold_item { n + 1 } else { n };
            let drawn = random.sample(pool.len(), wanted).ok_or_else(|| too_few(wanted))?;
            let kept: Vec<usize> = drawn.into_iter().filter(is_other).take(n).collect();
            if kept.len() == n {
                return Ok(kept);
            }
            // More than one copy of the item was drawn: drawn again from the others.
            let others: Vec<usize> = (0..pool.len()).filter(is_other).collect();
            let again = random.sample(others.len(), n).ok_or_else(|| too_few(n))?;
            Ok(again.into_iter().map(|index| others[index]).collect())
        }
    }
}

/// Equality of dicts: the order of columns does not count.
fn is_same(left: &[(String, Value)], right: &[(String, Value)]) -> bool {
    left.len() == right.len() && left.iter().all(|(key, value)| column(right, key) == Some(value))
}

struct Fields<'a> {
    task: &'a Task,
    templates: Templates,
    /// Columns that any row has.
    columns: BTreeSet<&'a str>,
}

impl Fields<'_> {
    /// What a row has in the column that a field names; `None` where no row has such a column, and the field is a template.
    ///
    /// A row that lacks what others have would else be asked the name of the column.
    fn column<'r>(&self, item: &'r Item, name: &str) -> Result<Option<&'r Value>, PromptError> {
        match column(&item.row, name) {
            None if self.columns.contains(name) => {
                item.column(name).map(Some).map_err(|error| PromptError::Column(Box::new(error)))
            }
            found => Ok(found),
        }
    }

    fn render(&self, item: &Item, field: &'static str, template: &str) -> Result<String, PromptError> {
        self.templates.render(template, &item.row).map_err(|source| PromptError::Template {
            origin: item.origin.clone(),
            field,
            source: Box::new(source),
        })
    }

    fn kind(item: &Item, field: &'static str, expected: &'static str, found: &Value) -> PromptError {
        PromptError::Kind { origin: item.origin.clone(), field, expected, found: found.python_repr() }
    }

    /// The value of `doc_to_text`: text, or an index where choices are contexts.
    fn text(&self, item: &Item, own: Option<&Field>) -> Result<Value, PromptError> {
        match own.unwrap_or(&self.task.text) {
            Field::Literal(value) => Ok(value.clone()),
            Field::Native(function) => Ok(function(item)?),
            Field::Text(name) => match self.column(item, name)? {
                Some(value) => Ok(value.clone()),
                None => self.render(item, "doc_to_text", name).map(|text| self.indexed(text)),
            },
        }
    }

    /// Digits alone are an index where there are choices.
    fn indexed(&self, text: String) -> Value {
        match text.parse() {
            Ok(index) if self.task.choice.is_some() && is_digits(&text) => Value::Int(index),
            _ => Value::Text(text),
        }
    }

    fn target(&self, item: &Item, own: Option<&Field>) -> Result<Value, PromptError> {
        let missing = || PromptError::Missing {
            task: self.task.name.clone(),
            field: "doc_to_target",
            output: self.task.output.name(),
        };
        match own.or(self.task.target.as_ref()).ok_or_else(missing)? {
            Field::Literal(value) => Ok(value.clone()),
            Field::Native(function) => Ok(function(item)?),
            Field::Text(name) => match self.column(item, name)? {
                Some(value) => Ok(value.clone()),
                None => {
                    let text = self.render(item, "doc_to_target", name)?;
                    if text.starts_with('[') && text.ends_with(']') {
                        return Ok(literal(&text).unwrap_or(Value::Text(text)));
                    }
                    Ok(self.indexed(text))
                }
            },
        }
    }

    fn choices(&self, item: &Item, own: Option<&Field>) -> Result<Option<Vec<String>>, PromptError> {
        let value = match own.or(self.task.choice.as_ref()) {
            None => return Ok(None),
            Some(Field::Literal(value)) => value.clone(),
            Some(Field::Native(function)) => function(item)?,
            Some(Field::Text(name)) => match self.column(item, name)? {
                Some(value) => value.clone(),
                None => {
                    let text = self.render(item, "doc_to_choice", name)?;
                    literal(&text).map_err(|_| Self::kind(item, "doc_to_choice", "a list", &Value::Text(text)))?
                }
            },
        };
        let items = value.as_list().ok_or_else(|| Self::kind(item, "doc_to_choice", "a list", &value))?;
        let text = |choice: &Value| {
            choice
                .as_text()
                .map(str::to_owned)
                .ok_or_else(|| Self::kind(item, "doc_to_choice", "a list of texts", choice))
        };
        items.iter().map(text).collect::<Result<Vec<_>, _>>().map(Some)
    }

    fn description(&self, item: &Item) -> Result<String, PromptError> {
        let description = &self.task.description;
        if description.is_empty() {
            return Ok(String::new());
        }
        match self.column(item, description)? {
            Some(value) => Ok(value.python_str()),
            None => self.render(item, "description", description),
        }
    }

    fn prefix(&self, item: &Item) -> Result<Option<String>, PromptError> {
        match &self.task.gen_prefix {
            None => Ok(None),
            Some(name) => match self.column(item, name)? {
                Some(value) => Ok(Some(value.python_str())),
                None => self.render(item, "gen_prefix", name).map(Some),
            },
        }
    }

    /// One example with its answer.
    fn write_shot(&self, item: &Item, shape: Shape, out: &mut String) -> Result<(), PromptError> {
        let shots = &self.task.shots;
        let question = self.text(item, shots.text.as_ref())?;
        let choices = self.choices(item, shots.choice.as_ref())?;
        let answer = self.target(item, shots.target.as_ref())?;
        let question = match (&question, &choices) {
            (Value::Int(index), Some(options)) if shape.is_multiple_input => {
                let context = usize::try_from(*index).ok().and_then(|index| options.get(index)).cloned();
                context.ok_or_else(|| Self::kind(item, "doc_to_text", "the index of a choice", &question))?
            }
            (Value::Text(text), _) => text.clone(),
            _ => return Err(Self::kind(item, "doc_to_text", "text", &question)),
        };
        // The answer to a context is its ending, never one of the contexts.
        let choices = choices.filter(|_| !shape.is_multiple_input);
        let answer = match (&answer, &choices) {
            (Value::Null, _) => None,
            (Value::Text(text), _) if text.is_empty() => None,
            (value @ (Value::Int(_) | Value::Bool(_)), Some(options)) if !options.is_empty() => {
                let chosen =
                    value.as_int().and_then(|index| at(index, options.len())).and_then(|index| options.get(index));
                Some(chosen.cloned().ok_or_else(|| Self::kind(item, "doc_to_target", "the index of a choice", value))?)
            }
            (Value::List(texts), _) => {
                let first = texts.first().and_then(Value::as_text);
                Some(first.ok_or_else(|| Self::kind(item, "doc_to_target", "a list of texts", &answer))?.to_owned())
            }
            (Value::Text(text), _) => Some(text.clone()),
            (other, _) => return Err(Self::kind(item, "doc_to_target", "text, or the index of a choice", other)),
        };
        let prefix = self.prefix(item)?;
        let target_delimiter = shots.target_delimiter.as_ref().unwrap_or(&self.task.target_delimiter);
        out.push_str(&question);
        match (answer, prefix) {
            (Some(answer), prefix) => {
                let is_apart =
                    prefix.as_deref().is_none_or(|prefix| prefix.is_empty() || needs_delimiter(&question, prefix));
                out.push_str(if is_apart { target_delimiter } else { "" });
                out.push_str(&joined(prefix.as_deref().unwrap_or(""), &answer, " "));
                out.push_str(shots.fewshot_delimiter.as_ref().unwrap_or(&self.task.fewshot_delimiter));
            }
            (None, Some(prefix)) if !prefix.is_empty() => {
                out.push_str(if needs_delimiter(&question, &prefix) { target_delimiter } else { "" });
                out.push_str(&prefix);
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// The question of the item itself, without an answer.
    fn question(&self, item: &Item, question: &str) -> Result<String, PromptError> {
        let mut out = question.to_owned();
        if let Some(prefix) = self.prefix(item)?.filter(|prefix| !prefix.is_empty()) {
            out.push_str(if needs_delimiter(question, &prefix) { &self.task.target_delimiter } else { "" });
            out.push_str(&prefix);
        }
        Ok(out)
    }

    fn doc(
        &self,
        id: usize,
        item: &Item,
        head: &str,
        shape: Shape,
        shots: Vec<usize>,
        config: &PromptConfig,
    ) -> Result<Doc, PromptError> {
        let (text, choices) = (self.text(item, None)?, self.choices(item, None)?);
        let context = |text: &Value| match text {
            Value::Text(text) => Ok(format!("{head}{}", self.question(item, text)?)),
            other => Err(Self::kind(item, "doc_to_text", "text", other)),
        };
        let (requests, gold) = match self.task.output {
            Output::MultipleChoice => {
                let options = choices.clone().ok_or_else(|| PromptError::Missing {
                    task: self.task.name.clone(),
                    field: "doc_to_choice",
                    output: self.task.output.name(),
                })?;
                self.multiple_choice(item, head, shape, &text, &options, config)?
            }
            Output::LogLikelihood => {
                let target = self.target(item, None)?.python_str();
                let request = Request::LogLikelihood { context: context(&text)?, continuation: target.clone() };
                (vec![request], Gold::Texts(vec![target]))
            }
            Output::Rolling => {
                let target = self.target(item, None)?.python_str();
                (vec![Request::Rolling { text: target }], Gold::Texts(Vec::new()))
            }
            Output::GenerateUntil => {
                let gold = self.generated_gold(item, choices.as_deref())?;
                (vec![Request::Generate { context: context(&text)? }], Gold::Texts(gold))
            }
        };
        Ok(Doc {
            id,
            item: item.clone(),
            requests,
            choices: choices.unwrap_or_default(),
            gold,
            is_multiple_input: shape.is_multiple_input,
            shots,
            head: head.len(),
        })
    }

    fn multiple_choice(
        &self,
        item: &Item,
        head: &str,
        shape: Shape,
        text: &Value,
        choices: &[String],
        config: &PromptConfig,
    ) -> Result<(Vec<Request>, Gold), PromptError> {
        let delimiter = &self.task.target_delimiter;
        let of = |context: String, ending: &str| Request::LogLikelihood {
            context,
            continuation: format!("{delimiter}{ending}"),
        };
        let mut requests = if shape.is_multiple_input {
            let ending = self.target(item, None)?.python_str();
            let context = |choice: &String| Ok(of(format!("{head}{}", self.question(item, choice)?), &ending));
            choices.iter().map(context).collect::<Result<Vec<_>, PromptError>>()?
        } else {
            let Value::Text(question) = text else { return Err(Self::kind(item, "doc_to_text", "text", text)) };
            let context = format!("{head}{}", self.question(item, question)?);
            choices.iter().map(|choice| of(context.clone(), choice)).collect()
        };
        if let Some(at) = choices.iter().position(String::is_empty) {
            return Err(PromptError::EmptyChoice { origin: item.origin.clone(), at });
        }
        if config.mutual_info || self.task.metrics.iter().any(|metric| metric.name == "acc_mutual_info") {
            requests.extend(choices.iter().map(|choice| of(String::new(), choice)));
        }
        let gold = if shape.is_multiple_input { text.clone() } else { self.target(item, None)? };
        Ok((requests, Gold::Choices(self.gold_choices(item, &gold, choices)?)))
    }

    /// The harness scores an item with no right choice as wrong and warns; here it is an error, because the data is.
    fn gold_choices(&self, item: &Item, gold: &Value, choices: &[String]) -> Result<Vec<usize>, PromptError> {
        if self.task.process_results == Some(Results::Bbq) {
            return Ok(bbq::targets(item)?);
        }
        let wrong = || PromptError::Gold { origin: item.origin.clone(), n: choices.len(), found: gold.python_repr() };
        let index = |value: &Value| match value {
            Value::Int(_) | Value::Bool(_) => value.as_int().and_then(|index| at(index, choices.len())),
            Value::Text(text) => choices.iter().position(|choice| choice == text),
            _ => None,
        };
        match gold {
            Value::List(golds) if !golds.is_empty() => golds.iter().map(|gold| index(gold).ok_or_else(wrong)).collect(),
            single => Ok(vec![index(single).ok_or_else(wrong)?]),
        }
    }

    fn generated_gold(&self, item: &Item, choices: Option<&[String]>) -> Result<Vec<String>, PromptError> {
        let gold = self.target(item, None)?;
        match (&gold, choices) {
            (Value::Int(index), Some(choices)) => {
                let chosen = at(*index, choices.len()).map(|index| choices[index].clone());
                let found = || gold.python_repr();
                let wrong = || PromptError::Gold { origin: item.origin.clone(), n: choices.len(), found: found() };
                Ok(vec![chosen.ok_or_else(wrong)?])
            }
            (Value::List(golds), _) => Ok(golds.iter().map(Value::python_str).collect()),
            (single, _) => Ok(vec![single.python_str()]),
        }
    }
}

/// An index as a place below `n`; negative ones are refused, which Python would count from the end.
fn at(index: i64, n: usize) -> Option<usize> {
    usize::try_from(index).ok().filter(|index| *index < n)
}

fn needs_delimiter(before: &str, after: &str) -> bool {
    !before.is_empty() && !before.ends_with(is_python_space) && !after.starts_with(is_python_space)
}

/// Both with `delimiter` between them, unless white space stands there already or one is empty.
fn joined(before: &str, after: &str, delimiter: &str) -> String {
    if before.is_empty() || after.is_empty() || !needs_delimiter(before, after) {
        return format!("{before}{after}");
    }
    format!("{before}{delimiter}{after}")
}
