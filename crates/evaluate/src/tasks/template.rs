//! Jinja as task files use it: strict about what is undefined, with the methods and the printing of Python.

use super::{
    pattern::Pattern,
    value::{Value, is_python_space},
};
use minijinja::{
    Environment, Error, ErrorKind, Output, State, UndefinedBehavior, syntax::SyntaxConfig, value as jinja,
};

/// Why a template could not be rendered.
#[derive(Debug, thiserror::Error)]
#[error("the template `{}` cannot be rendered{}{}", short(template), place(*line), lacking(missing))]
pub struct TemplateError {
    pub template: String,
    /// Line within the template, from 1.
    pub line: Option<usize>,
    /// Columns it names and the row lacks, where something was undefined.
    pub missing: Vec<String>,
    #[source]
    pub source: Box<Error>,
}

fn short(template: &str) -> String {
    let mut letters = template.chars();
    let head: String = letters.by_ref().take(60).collect();
    let tail = if letters.next().is_some() { "…" } else { "" };
    format!("{}{tail}", head.replace('\n', "\\n"))
}

fn place(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

fn lacking(missing: &[String]) -> String {
    let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!(" (the row has no {})", names.join(", no ")) }
}

/// Steps of one rendering; the templates of the harness take a few hundred.
const FUEL: u64 = 2_000_000;

/// Templates of one task.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // INVARIANT: only delimiters can be wrong in a syntax, and these are the engine's own.
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(print);
        environment.set_unknown_method_callback(method);
        environment.add_filter("regex_replace", regex_replace);
        environment.add_filter("string", |value: jinja::Value| Value::from_jinja(&value).python_str());
        environment.add_filter("join", join);
        // A template is a stranger's: it may not run on.
        environment.set_recursion_limit(100);
        environment.set_fuel(Some(FUEL));
        Self { environment }
    }
}

impl Templates {
    /// Renders `template` with the columns of a row.
    ///
    /// # Errors
    /// `TemplateError`.
    pub fn render(&self, template: &str, row: &[(String, Value)]) -> Result<String, TemplateError> {
        // Most "templates" are plain text: the engine is not troubled with them.
        if !template.contains('{') {
            return Ok(template.to_owned());
        }
        let context: jinja::Value = Value::Map(row.to_vec()).to_jinja();
        self.environment.render_str(template, context).map_err(|error| TemplateError {
            template: template.to_owned(),
            line: error.line(),
            missing: if error.kind() == ErrorKind::UndefinedError { self.missing(template, row) } else { Vec::new() },
            source: Box::new(error),
        })
    }

    /// Names that a template takes from outside and that neither the row nor the engine has, in the order of letters.
    fn missing(&self, template: &str, row: &[(String, Value)]) -> Vec<String> {
        let Ok(read) = self.environment.template_from_str(template) else { return Vec::new() };
        let is_known = |name: &String| {
            row.iter().any(|(column, _)| column == name) || self.environment.globals().any(|(global, _)| global == name)
        };
        let mut names: Vec<String> =
            read.undeclared_variables(false).into_iter().filter(|name| !is_known(name)).collect();
        names.sort();
        names
    }
}

/// Prints a value as Python's `str`: lists as `['a', 'b']`, nothing as `None`.
fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &jinja::Value) -> Result<(), Error> {
    if value.is_undefined() {
        return minijinja::escape_formatter(out, state, value);
    }
    match value.as_str() {
        Some(text) => out.write_str(text),
        None => out.write_str(&Value::from_jinja(value).python_str()),
    }
    .map_err(|_| ErrorKind::WriteFailure.into())
}

fn regex_replace(text: &str, pattern: &str, replacement: &str, count: Option<usize>) -> Result<String, Error> {
    Pattern::new(pattern)
        .and_then(|pattern| pattern.substitute(text, replacement, count.unwrap_or(0)))
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "the engine hands a filter its arguments by value")]
fn join(items: &jinja::Value, between: Option<String>) -> Result<String, Error> {
    let items: Vec<String> = items.try_iter()?.map(|item| Value::from_jinja(&item).python_str()).collect();
    Ok(items.join(between.as_deref().unwrap_or("")))
}

/// Methods of Python's `str`, `list` and `dict`.
pub(super) fn method(
    _: &mut State<'_, '_>,
    on: &jinja::Value,
    name: &str,
    arguments: &[jinja::Value],
) -> Result<jinja::Value, Error> {
    let unknown = || Err(Error::new(ErrorKind::UnknownMethod, format!("`{name}` is not a method of {}", on.kind())));
    match on.kind() {
        jinja::ValueKind::String => match text_method(on.as_str().unwrap_or_default(), name, arguments)? {
            Some(value) => Ok(value),
            None => unknown(),
        },
        jinja::ValueKind::Seq | jinja::ValueKind::Iterable => match list_method(on, name, arguments)? {
            Some(value) => Ok(value),
            None => unknown(),
        },
        jinja::ValueKind::Map => match map_method(on, name, arguments)? {
            Some(value) => Ok(value),
            None => unknown(),
        },
        _ => unknown(),
    }
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}

fn text_argument(arguments: &[jinja::Value], at: usize) -> Option<String> {
    arguments.get(at).and_then(|value| value.as_str().map(str::to_owned))
}

/// A string method of Python; `None` when there is none of that name.
fn text_method(text: &str, name: &str, arguments: &[jinja::Value]) -> Result<Option<jinja::Value>, Error> {
    let set = text_argument(arguments, 0);
    let is_stripped = |letter: char| set.as_ref().map_or_else(|| is_python_space(letter), |set| set.contains(letter));
    let needed = || set.clone().ok_or_else(|| refused("expected text as the first argument"));
    let limit = arguments.get(1).and_then(jinja::Value::as_i64).unwrap_or(-1);
    let place = |at: Option<usize>| at.map_or(-1, |at| text[..at].chars().count() as i64);
    Ok(Some(match name {
        "strip" => jinja::Value::from(text.trim_matches(is_stripped)),
        "lstrip" => jinja::Value::from(text.trim_start_matches(is_stripped)),
        "rstrip" => jinja::Value::from(text.trim_end_matches(is_stripped)),
        "lower" => jinja::Value::from(text.to_lowercase()),
        "upper" => jinja::Value::from(text.to_uppercase()),
        "capitalize" => jinja::Value::from(capitalized(text)),
        "title" => jinja::Value::from(titled(text)),
        "split" => pieces(text, set.as_deref(), limit)?,
        "rsplit" => pieces_from_end(text, &needed()?, limit)?,
        "splitlines" => text.lines().map(jinja::Value::from).collect(),
        "replace" => {
            let by = text_argument(arguments, 1).ok_or_else(|| refused("expected text as the second argument"))?;
            match arguments.get(2).and_then(jinja::Value::as_i64) {
                Some(count) if count >= 0 => jinja::Value::from(text.replacen(&needed()?, &by, count as usize)),
                _ => jinja::Value::from(text.replace(&needed()?, &by)),
            }
        }
        "startswith" => jinja::Value::from(text.starts_with(&needed()?)),
        "endswith" => jinja::Value::from(text.ends_with(&needed()?)),
        "count" => jinja::Value::from(text.matches(&needed()?).count()),
        "find" => jinja::Value::from(place(text.find(&needed()?))),
        "rfind" => jinja::Value::from(place(text.rfind(&needed()?))),
        "index" => match text.find(&needed()?) {
            Some(at) => jinja::Value::from(place(Some(at))),
            None => return Err(refused("the text searched for is not there")),
        },
        "join" => match arguments.first() {
            Some(items) => jinja::Value::from(join(items, Some(text.to_owned()))?),
            None => return Err(refused("expected a list to join")),
        },
        "isdigit" => jinja::Value::from(is_digits(text)),
        "isalpha" => jinja::Value::from(!text.is_empty() && text.chars().all(char::is_alphabetic)),
        "isupper" => jinja::Value::from(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)),
        "islower" => jinja::Value::from(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)),
        _ => return Ok(None),
    }))
}

fn pieces(text: &str, between: Option<&str>, limit: i64) -> Result<jinja::Value, Error> {
    let most = usize::try_from(limit).map_or(usize::MAX, |limit| limit.saturating_add(1));
    match between {
        Some("") => Err(refused("expected a separator that is not empty")),
        Some(between) => Ok(text.splitn(most, between).map(jinja::Value::from).collect()),
        None if limit < 0 => {
            Ok(text.split(is_python_space).filter(|piece| !piece.is_empty()).map(jinja::Value::from).collect())
        }
        None => Err(refused("a split at white space with a limit is not supported")),
    }
}

fn pieces_from_end(text: &str, between: &str, limit: i64) -> Result<jinja::Value, Error> {
    if between.is_empty() {
        return Err(refused("expected a separator that is not empty"));
    }
    let most = usize::try_from(limit).map_or(usize::MAX, |limit| limit.saturating_add(1));
    let mut pieces: Vec<jinja::Value> = text.rsplitn(most, between).map(jinja::Value::from).collect();
    pieces.reverse();
    Ok(pieces.into_iter().collect())
}

/// `str.capitalize`: the rest becomes lower case too.
#[must_use]
pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return String::new() };
    first.to_uppercase().chain(letters.as_str().to_lowercase().chars()).collect()
}

fn titled(text: &str) -> String {
    let mut after_letter = false;
    let mut out = String::new();
    for letter in text.chars() {
        if after_letter {
            out.extend(letter.to_lowercase());
        } else {
            out.extend(letter.to_uppercase());
        }
        after_letter = letter.is_alphabetic();
    }
    out
}

/// `str.isdigit`, as far as ASCII and the decimal digits of other scripts go.
#[must_use]
pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit())
}

fn list_method(on: &jinja::Value, name: &str, arguments: &[jinja::Value]) -> Result<Option<jinja::Value>, Error> {
    let Some(wanted) = arguments.first() else { return Ok(None) };
    let mut items = on.try_iter()?;
    match name {
        "index" => match items.position(|item| item == *wanted) {
            Some(at) => Ok(Some(jinja::Value::from(at))),
            None => Err(refused(&format!("{} is not in the list", Value::from_jinja(wanted).python_repr()))),
        },
        "count" => Ok(Some(jinja::Value::from(items.filter(|item| item == wanted).count()))),
        _ => Ok(None),
    }
}

fn map_method(on: &jinja::Value, name: &str, arguments: &[jinja::Value]) -> Result<Option<jinja::Value>, Error> {
    let entry = |key: &jinja::Value| on.get_item(key).unwrap_or(jinja::Value::UNDEFINED);
    Ok(Some(match name {
        "keys" => on.try_iter()?.collect(),
        "values" => on.try_iter()?.map(|key| entry(&key)).collect(),
        "items" => on.try_iter()?.map(|key| jinja::Value::from(vec![key.clone(), entry(&key)])).collect(),
        "get" => {
            let Some(key) = arguments.first() else { return Ok(None) };
            let held = entry(key);
            if held.is_undefined() { arguments.get(1).cloned().unwrap_or_else(|| jinja::Value::from(())) } else { held }
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Vec<(String, Value)> {
        match serde_json::from_str(json).unwrap() {
            Value::Map(row) => row,
            other => unreachable!("{other:?}"),
        }
    }

    /// Expected: jinja2 3.1 with `StrictUndefined`, `keep_trailing_newline=True` and the harness's filter, CPython 3.11.
    #[test]
    fn templates_render_as_in_jinja2() {
        let row = row(
            r#"{"q": " Why? ", "choices": {"text": ["it's", "b"], "label": ["A", "B"]}, "key": "B", "n": 3, "none": null,
                "yes": true, "text": "a b c", "targets": {"z": 1, "a": 0}, "f": 0.5}"#,
        );
        for (template, expected) in [
            ("Question: {{q.strip()}}\nAnswer:\n", "Question: Why?\nAnswer:\n"),
            ("{{choices.text}}", r#"["it's", 'b']"#),
            ("{{choices.label.index(key)}}", "1"),
            ("{{[key, n, none, yes, f]}}", "['B', 3, None, True, 0.5]"),
            ("{{text.split(' ')[:-1]|join(' ')}}|{{' '+text.split(' ')[-1]}}", "a b| c"),
            ("{{targets.keys()|list}} {{targets}}", "['z', 'a'] {'z': 1, 'a': 0}"),
            ("{{n if n is defined else 1}}{{zz if zz is defined else 'no'}}", "3no"),
            ("{% set p = 'x\n\ny' %}{{p + '!' + q}}", "x\n\ny! Why? "),
            ("{{text | regex_replace('[ab] ', '')}}", "c"),
            ("{{'hELLO wORLD'.capitalize()}} {{yes|string}} {{none}}", "Hello world True None"),
            ("{% for c in choices.text %}{{loop.index}}. {{c}}\n{% endfor %}", "1. it's\n2. b\n"),
            ("{{ {'A': 0, 'B': 1}[key] }}", "1"),
            ("{{text|length}} {{choices.text|length}} {{text[0]|upper}}", "5 2 A"),
        ] {
            assert_eq!(Templates::default().render(template, &row).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn a_missing_column_is_an_error() {
        let error = Templates::default().render("a\n{{b}}", &row("{\"a\": 1}")).unwrap_err();
        assert_eq!((error.line, error.source.kind()), (Some(2), ErrorKind::UndefinedError));
        assert!(Templates::default().render("{{a.items}}", &row("{\"a\": {}}")).is_err());
        assert!(Templates::default().render("{{a.x()}}", &row("{\"a\": {}}")).is_err());
    }
}
