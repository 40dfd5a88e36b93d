//! What is done to a generated answer before it is compared.

use super::{
    pattern::{Pattern, PatternError},
    value::{Value, is_python_space},
};

/// One filter of a chain.
#[derive(Debug, Clone)]
pub enum Filter {
    /// `findall`, the match chosen by `select` (negative counts from the end), of its groups the first that is not empty.
    Regex {
        pattern: Pattern,
        select: i64,
        fallback: String,
    },
    TakeFirst,
    MajorityVote,
    RemoveWhitespace,
    Lowercase,
    Uppercase,
    Map {
        entries: Vec<(String, String)>,
        default: Option<String>,
    },
}

/// Why a filter could not be built or applied.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("expected a filter to name its `function`")]
    Unnamed,
    #[error(
        "no filter `{0}`; known are regex, take_first, majority_vote, remove_whitespace, lowercase, uppercase and map"
    )]
    Unknown(String),
    #[error("filter `{filter}`: expected `{key}` to be {expected}")]
    Argument { filter: &'static str, key: &'static str, expected: &'static str },
    #[error("filter `{filter}`")]
    Pattern {
        filter: &'static str,
        #[source]
        source: PatternError,
    },
}

/// The pattern of the harness where a `regex` filter names none.
const PATTERN: &str = r"#### (\-?[0-9\.\,]+)";

impl Filter {
    /// # Errors
    /// `FilterError`.
    pub fn new(config: &Value) -> Result<Self, FilterError> {
        let name = config.get("function").and_then(Value::as_text).ok_or(FilterError::Unnamed)?;
        let text = |key| config.get(key).and_then(Value::as_text);
        Ok(match name {
            "regex" => Self::Regex {
                pattern: Pattern::new(text("regex_pattern").unwrap_or(PATTERN))
                    .map_err(|source| FilterError::Pattern { filter: "regex", source })?,
                select: config.get("group_select").and_then(Value::as_int).unwrap_or(0),
                fallback: text("fallback").unwrap_or("[invalid]").to_owned(),
            },
            "take_first" => Self::TakeFirst,
            "majority_vote" => Self::MajorityVote,
            "remove_whitespace" => Self::RemoveWhitespace,
            "lowercase" => Self::Lowercase,
            "uppercase" => Self::Uppercase,
            "map" => {
                let expected = "a map of texts";
                let wrong = || FilterError::Argument { filter: "map", key: "mapping_dict", expected };
                let entries = config.get("mapping_dict").and_then(Value::as_map).ok_or_else(wrong)?;
                Self::Map {
                    entries: entries.iter().map(|(key, value)| (key.clone(), value.python_str())).collect(),
                    default: config.get("default_value").filter(|value| **value != Value::Null).map(Value::python_str),
                }
            }
            other => return Err(FilterError::Unknown(other.to_owned())),
        })
    }

    /// The answers of one item, filtered.
    ///
    /// # Errors
    /// `Pattern` when a pattern takes too long.
    pub fn apply(&self, answers: &[String]) -> Result<Vec<String>, FilterError> {
        let each = |change: &dyn Fn(&str) -> String| Ok(answers.iter().map(|answer| change(answer)).collect());
        match self {
            Self::Regex { pattern, select, fallback } => {
                answers.iter().map(|answer| selected(pattern, *select, fallback, answer)).collect()
            }
            Self::TakeFirst => Ok(answers.iter().take(1).cloned().collect()),
            Self::MajorityVote => Ok(majority(answers).into_iter().collect()),
            Self::RemoveWhitespace => each(&|answer| answer.trim_matches(is_python_space).to_owned()),
            Self::Lowercase => each(&str::to_lowercase),
            Self::Uppercase => each(&str::to_uppercase),
            Self::Map { entries, default } => each(&|answer| {
                let mapped = entries.iter().find(|(key, _)| key == answer).map(|(_, value)| value.clone());
                mapped.or_else(|| default.clone()).unwrap_or_else(|| "None".to_owned())
            }),
        }
    }
}

fn selected(pattern: &Pattern, select: i64, fallback: &str, answer: &str) -> Result<String, FilterError> {
    let found = pattern.find_all(answer).map_err(|source| FilterError::Pattern { filter: "regex", source })?;
    let at = if select < 0 { select + found.len() as i64 } else { select };
    let chosen = usize::try_from(at).ok().and_then(|at| found.get(at));
    let chosen = match chosen {
        // A single group may be empty; of several the first that is not.
        Some(groups) if groups.len() == 1 => Some(&groups[0]),
        Some(groups) => groups.iter().find(|group| !group.is_empty()),
        None => None,
    };
    Ok(chosen.map_or_else(|| fallback.to_owned(), |chosen| chosen.trim_matches(is_python_space).to_owned()))
}

/// The commonest answer, of equals the one that came first.
fn majority(answers: &[String]) -> Option<String> {
    let count = |answer: &String| answers.iter().filter(|other| *other == answer).count();
    let most = answers.iter().map(count).max()?;
    answers.iter().find(|answer| count(answer) == most).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(config: &str, answers: &[&str]) -> Vec<String> {
        let filter = Filter::new(&serde_json::from_str(config).unwrap()).unwrap();
        filter.apply(&answers.iter().map(|answer| (*answer).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    /// Expected: lm_eval 0.4.13, `lm_eval.filters.extraction.RegexFilter(..).apply([[answer]], [])` and its siblings.
    #[test]
    fn filters_are_those_of_the_harness() {
        let strict = r######"{"function": "regex", "regex_pattern": "#### (\\-?[0-9\\.\\,]+)"}"######;
        let flexible = r#"{"function": "regex", "group_select": -1, "regex_pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)"}"#;
        assert_eq!(filtered(strict, &["x #### 1,234. y", "no"]), ["1,234.", "[invalid]"]);
        assert_eq!(filtered(flexible, &["she has 5 and $12.50.", "none"]), ["$12.50.", "[invalid]"]);
        assert_eq!(filtered(r#"{"function": "majority_vote"}"#, &["a", "b", "b", "a"]), ["a"]);
        assert_eq!(filtered(r#"{"function": "remove_whitespace"}"#, &[" a b\n"]), ["a b"]);
        assert_eq!(
            filtered(r#"{"function": "map", "mapping_dict": {"A": 1}, "default_value": "?"}"#, &["A", "B"]),
            ["1", "?"]
        );
        assert!(matches!(
            Filter::new(&serde_json::from_str(r#"{"function": "custom"}"#).unwrap()),
            Err(FilterError::Unknown(_))
        ));
    }
}
