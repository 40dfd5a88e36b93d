//! A card's condition as a Rego file: what such a file may be, whichever program evaluates it.
//!
//! The file is one module with a total rule `verdict`, and calls only functions that every referee has. It is evaluated by the
//! regorus interpreter once an assessment, with a limit on its steps, where the feature `rego` is on.

#[cfg(feature = "rego")]
#[path = "hatch/interpreter.rs"]
mod engine;
#[cfg(not(feature = "rego"))]
#[path = "hatch/absent.rs"]
mod engine;

pub(crate) use engine::{IS_SUPPORTED, judge, problem};

/// Bytes of one file.
const TEXT_MAX: usize = 16 * 1024;

/// Functions that a file may call: pure, total enough, and the same in every referee.
const ALLOWED: [&str; 38] = [
    "abs",
    "array.concat",
    "array.reverse",
    "array.slice",
    "ceil",
    "concat",
    "contains",
    "count",
    "endswith",
    "floor",
    "indexof",
    "intersection",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "lower",
    "max",
    "min",
    "object.get",
    "object.keys",
    "product",
    "replace",
    "round",
    "sort",
    "split",
    "sprintf",
    "startswith",
    "substring",
    "sum",
    "to_number",
    "trim",
    "trim_space",
    "union",
    "upper",
];

/// The Rego file of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub file: String,
    pub text: String,
    /// `data.assize.checks.NAME.verdict`.
    pub rule: String,
}

/// The package that a card's file must be: its id with `_` for whatever is no letter or digit.
pub(crate) fn package_of(id: &str) -> String {
    let plain: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("assize.checks.{plain}")
}

impl Check {
    /// # Errors
    /// What is wrong with the file, in a sentence.
    pub(crate) fn new(id: &str, file: &str, text: &str) -> Result<Self, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("expected at most {TEXT_MAX} bytes of Rego, found {}", text.len()));
        }
        if text.lines().any(|line| line.trim_start().starts_with("# METADATA")) {
            return Err("annotations (`# METADATA`) are not read alike by all engines: leave them out".to_owned());
        }
        let package = package_of(id);
        let words = words(text);
        let stands = |sequence: &[&str]| words.windows(sequence.len()).any(|window| window == sequence);
        if words.first().map(String::as_str) != Some("package") || words.get(1) != Some(&package) {
            return Err(format!("expected `package {package}` at the start"));
        }
        if !stands(&["default", "verdict", ":="]) {
            return Err("expected a total rule: `default verdict := \"insufficient-evidence\"`".to_owned());
        }
        if let Some(word) = words.iter().find(|word| *word == "with" || *word == "walk" || *word == "every") {
            return Err(format!("`{word}` is refused: engines do not agree on it"));
        }
        for window in words.windows(2) {
            match [window[0].as_str(), window[1].as_str()] {
                ["import", "rego.v1"] => {}
                ["import", other] => return Err(format!("`import {other}` is refused: the file stands alone")),
                [name, "("] if is_function(name) && !ALLOWED.contains(&name) && !is_defined(text, name) => {
                    return Err(format!("the function `{name}` is refused: it is not one that every referee has"));
                }
                _ => {}
            }
        }
        let check = Self { file: file.to_owned(), text: text.to_owned(), rule: format!("data.{package}.verdict") };
        match problem(&check) {
            Some(problem) => Err(problem),
            None => Ok(check),
        }
    }
}

fn is_function(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !["if", "else", "in", "not", "some", "contains"].contains(&name)
}

/// Whether a line of the file starts with the head of that function.
fn is_defined(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
}

/// Names with their dots, `:=`, and single marks; texts and comments are left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' => quoted_length(rest),
            '`' => rest[1..].find('`').map_or(rest.len(), |end| end + 2),
            c if c.is_ascii_alphabetic() || c == '_' => {
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len())
            }
            ':' if rest.starts_with(":=") => 2,
            c => c.len_utf8(),
        };
        let (word, after) = rest.split_at(length);
        if !matches!(first, '#' | '"' | '`') && !first.is_whitespace() {
            words.push(word.to_owned());
        }
        rest = after;
    }
    words
}

fn quoted_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match (is_escaped, c) {
            (false, '"') => return at + 1,
            (false, '\\') => is_escaped = true,
            _ => is_escaped = false,
        }
    }
    text.len()
}
