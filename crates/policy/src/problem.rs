//! A problem in a card file, shown with the line it stands on.

use crate::unseen::is_unseen;
use std::{fmt, ops::Range};

/// Bytes of one card file.
pub const CARD_BYTES_MAX: usize = 64 * 1024;
/// Characters of a line that are shown before and after the place of a problem.
const SHOWN_AROUND: usize = 120;

/// Why a card was refused: where, what, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardError {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Machine code, e.g. `unknown-fact`.
    pub code: &'static str,
    /// The rule's id, or empty when the file did not get so far.
    pub rule: String,
    pub message: String,
    /// The line of the file: of a very long one the part around the problem.
    pub source: String,
    /// Characters of `source` before the carets.
    pub indent: usize,
    /// Characters of `source` that the carets stand under.
    pub width: usize,
    pub hint: Option<String>,
}

impl CardError {
    /// A problem at the bytes `span` of `text`.
    pub(crate) fn at(file: &str, text: &str, span: Range<usize>, code: &'static str, message: String) -> Self {
        let start = (0..=span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = span.end.clamp(start, line_end);
        let (source, indent) = shown(text[line_start..line_end].trim_end_matches('\r'), start - line_start);
        let width = text.get(start..end).map_or(1, |part| part.chars().count().max(1));
        Self {
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            code,
            rule: String::new(),
            message,
            width: width.min(source.chars().count().saturating_sub(indent).max(1)),
            source,
            indent,
            hint: None,
        }
    }

    /// The refusal of a file by its size alone, so that nobody need read it.
    #[must_use]
    pub fn of_size(file: &str, n_bytes: u64) -> Option<Self> {
        let limit = u64::try_from(CARD_BYTES_MAX).unwrap_or(u64::MAX);
        let message = format!("expected at most {CARD_BYTES_MAX} bytes, found {n_bytes}");
        let error = || {
            Self::at(file, "", 0..0, "limit", message)
                .hint("a file holds one rule: split it, and keep documents elsewhere")
        };
        (n_bytes > limit).then(error)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl CardError {
    /// The problem under another heading than a card's: for files that are no cards.
    #[must_use]
    pub fn titled(&self, title: &str) -> String {
        let mut out = String::new();
        // Writing into a string does not fail.
        let _ = self.write(&mut out, title);
        out
    }

    fn write(&self, f: &mut dyn fmt::Write, title: &str) -> fmt::Result {
        let (number, gap) = (self.line.to_string(), " ".repeat(self.line.to_string().len()));
        writeln!(f, "error[{}]: {title}", self.code)?;
        writeln!(f, "{gap} ┌─ {}:{}:{}", self.file, self.line, self.column)?;
        // A tab is shown as one space and what cannot be seen as a mark, so that the carets stand where they should.
        writeln!(f, "{number} │ {}", self.source.replace('\t', " ").replace(is_unseen, "\u{fffd}"))?;
        let (indent, carets) = (" ".repeat(self.indent), "^".repeat(self.width));
        write!(f, "{gap} │ {indent}{carets} {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n{gap} = hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for CardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule.as_str() {
            "" => self.write(f, "the card cannot be read"),
            rule => self.write(f, &format!("rule `{rule}`")),
        }
    }
}

impl std::error::Error for CardError {}

/// A line as it is shown, and the characters before its byte `at`.
fn shown(line: &str, at: usize) -> (String, usize) {
    let n_before = line.get(..at).map_or(0, |before| before.chars().count());
    let n_all = line.chars().count();
    if n_all <= 4 * SHOWN_AROUND {
        return (line.to_owned(), n_before);
    }
    let first = n_before.saturating_sub(SHOWN_AROUND);
    let part: String = line.chars().skip(first).take(2 * SHOWN_AROUND).collect();
    let (head, tail) = (if first > 0 { "…" } else { "" }, if first + 2 * SHOWN_AROUND < n_all { "…" } else { "" });
    (format!("{head}{part}{tail}"), n_before - first + head.chars().count())
}

/// The known name closest to `found`, if it is close: at most a third of its letters differ.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let best = known.into_iter().map(|name| (distance(found, name), name)).min_by_key(|(distance, _)| *distance)?;
    (best.0 <= found.chars().count().max(3) / 3).then_some(best.1)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
