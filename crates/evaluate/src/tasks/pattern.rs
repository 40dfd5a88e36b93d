//! Python's `re`, as far as task files use it: patterns are rewritten where the two dialects differ.

use fancy_regex::{Captures, Regex};

/// Why a pattern could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    #[error("the pattern `{pattern}` is not understood")]
    Syntax {
        pattern: String,
        #[source]
        source: Box<fancy_regex::Error>,
    },
    #[error("the pattern `{pattern}` took too long on a text of {bytes} bytes")]
    Match {
        pattern: String,
        bytes: usize,
        #[source]
        source: Box<fancy_regex::Error>,
    },
}

/// A compiled pattern of Python.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    source: String,
}

impl Pattern {
    /// # Errors
    /// `Syntax`.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let regex = Regex::new(&rewritten(pattern))
            .map_err(|source| PatternError::Syntax { pattern: pattern.to_owned(), source: Box::new(source) })?;
        Ok(Self { regex, source: pattern.to_owned() })
    }

    /// `re.findall`: the whole match where the pattern has no group, else its groups, unmatched ones empty.
    ///
    /// # Errors
    /// `Match`.
    pub fn find_all(&self, text: &str) -> Result<Vec<Vec<String>>, PatternError> {
        let n_groups = self.regex.captures_len();
        self.regex
            .captures_iter(text)
            .map(|found| {
                let found = found.map_err(|source| self.too_long(text, source))?;
                let group = |at| found.get(at).map_or_else(String::new, |group| group.as_str().to_owned());
                Ok(if n_groups == 1 { vec![group(0)] } else { (1..n_groups).map(group).collect() })
            })
            .collect()
    }

    /// `re.sub(pattern, replacement, text, count)`, with `\1` and `\g<1>` in the replacement; `count` 0 is all.
    ///
    /// # Errors
    /// `Match`.
    pub fn substitute(&self, text: &str, replacement: &str, count: usize) -> Result<String, PatternError> {
        let expand = |found: &Captures<'_>| expanded(replacement, found);
        self.regex
            .try_replacen(text, count, expand)
            .map(std::borrow::Cow::into_owned)
            .map_err(|source| self.too_long(text, source))
    }

    /// The pieces of `re.split` for a pattern without groups.
    ///
    /// # Errors
    /// `Match`.
    pub fn count_pieces(&self, text: &str) -> Result<usize, PatternError> {
        let mut pieces = 1;
        for found in self.regex.find_iter(text) {
            found.map_err(|source| self.too_long(text, source))?;
            pieces += 1;
        }
        Ok(pieces)
    }

    fn too_long(&self, text: &str, source: fancy_regex::Error) -> PatternError {
        PatternError::Match { pattern: self.source.clone(), bytes: text.len(), source: Box::new(source) }
    }
}

fn expanded(replacement: &str, found: &Captures<'_>) -> String {
    let mut out = String::new();
    let mut rest = replacement;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (group, used) = group_of(after);
        match group {
            Some(group) => out.push_str(found.get(group).map_or("", |group| group.as_str())),
            None => match after.chars().next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('\\') => out.push('\\'),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
        }
        rest = &after[used..];
    }
    out.push_str(rest);
    out
}

/// The group named after a backslash, and how many bytes the naming takes.
fn group_of(after: &str) -> (Option<usize>, usize) {
    if let Some(named) = after.strip_prefix("g<")
        && let Some(end) = named.find('>')
        && let Ok(group) = named[..end].parse()
    {
        return (Some(group), end + 3);
    }
    let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
    match after[..digits].parse() {
        Ok(group) if group > 0 => (Some(group), digits),
        _ => (None, after.chars().next().map_or(0, char::len_utf8)),
    }
}

/// The pattern in the other dialect: `$` also stands before a last new line, `\Z` is `\z`, a brace that repeats nothing
/// stands for itself, and so do brackets and doubled signs inside a class.
fn rewritten(pattern: &str) -> String {
    let letters: Vec<char> = pattern.chars().collect();
    let is_multiline = pattern.starts_with("(?") && pattern.split(')').next().is_some_and(|flags| flags.contains('m'));
    let (mut out, mut at) = (String::new(), 0);
    while at < letters.len() {
        match letters[at] {
            '\\' => {
                match letters.get(at + 1) {
                    Some('Z') => out.push_str("\\z"),
                    Some(other) => out.extend(['\\', *other]),
                    None => out.push('\\'),
                }
                at += 2;
            }
            '[' => at = class(&letters, at, &mut out),
            '$' if !is_multiline => {
                out.push_str("(?:\\z|(?=\\n\\z))");
                at += 1;
            }
            '{' if !is_quantifier(&letters[at..]) => {
                out.push_str("\\{");
                at += 1;
            }
            '}' if !closes_quantifier(&letters[..at]) => {
                out.push_str("\\}");
                at += 1;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
    out
}

/// Copies a character class that opens at `start`; gives the place after it.
fn class(letters: &[char], start: usize, out: &mut String) -> usize {
    out.push('[');
    let mut at = start + 1;
    if letters.get(at) == Some(&'^') {
        out.push('^');
        at += 1;
    }
    let first = at;
    while let Some(&letter) = letters.get(at) {
        match letter {
            ']' if at > first => {
                out.push(']');
                return at + 1;
            }
            '\\' => {
                out.push('\\');
                at += 1;
                out.extend(letters.get(at));
            }
            '[' | ']' | '&' | '~' => out.extend(['\\', letter]),
            '-' if letters.get(at + 1) == Some(&'-') => out.push_str("\\-"),
            _ => out.push(letter),
        }
        at += 1;
    }
    at
}

/// Whether `{n}`, `{n,}`, `{,m}` or `{n,m}` stands first.
fn is_quantifier(letters: &[char]) -> bool {
    let Some(end) = letters.iter().position(|&letter| letter == '}') else { return false };
    let inner: String = letters[1..end].iter().collect();
    let is_number = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
    match inner.split_once(',') {
        Some((least, most)) => is_number(least) && is_number(most) && !(least.is_empty() && most.is_empty()),
        None => !inner.is_empty() && is_number(&inner),
    }
}

fn closes_quantifier(before: &[char]) -> bool {
    let Some(open) = before.iter().rposition(|&letter| letter == '{') else { return false };
    let is_escaped = before[..open].iter().rev().take_while(|&&letter| letter == '\\').count() % 2 == 1;
    let mut whole = before[open..].to_vec();
    whole.push('}');
    !is_escaped && is_quantifier(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: CPython 3.11 `re.findall(pattern, text)`, tuples as lists.
    #[test]
    fn findall_is_that_of_python() {
        for (pattern, text, expected) in [
            (r"#### (\-?[0-9\.\,]+)", "so #### 1,234. #### -5", vec![vec!["1,234."], vec!["-5"]]),
            (r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "a 5 b $12.", vec![vec!["", "5"], vec!["$12.", ""]]),
            (r"[A-D]$", "B\nC\n", vec![vec!["C"]]),
            (r"{\s*([^}]*?)\s*}", "x{ a }y", vec![vec!["a"]]),
            (r"[[(&]", "[(&", vec![vec!["["], vec!["("], vec!["&"]]),
            (r"(?<=is )\w+", "this is it", vec![vec!["is"], vec!["it"]]),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().find_all(text).unwrap(), expected, "{pattern}");
        }
    }

    /// Expected: CPython 3.11 `re.sub`.
    #[test]
    fn sub_is_that_of_python() {
        let sub = |pattern, replacement, text| Pattern::new(pattern).unwrap().substitute(text, replacement, 0).unwrap();
        assert_eq!(sub(r"\.$", "", "12.\n"), "12\n");
        assert_eq!(sub(r"\(\s*([^\)]*?)\s*\)", r"(\1)", "( a b )"), "(a b)");
        assert_eq!(sub(r"(?s).*#### ", "", "x\n#### 7"), "7");
        assert_eq!(sub(r"(a)(b)", r"\g<2>\1\\", "ab"), r"ba\");
        assert_eq!(sub(r"a$b", "x", "a$b"), "a$b");
        assert!(matches!(Pattern::new("(a"), Err(PatternError::Syntax { .. })));
    }
}
