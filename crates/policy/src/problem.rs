//! A problem in a card file, shown with the line it stands on.

use std::{fmt, ops::Range};

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
    /// The line of the file.
    pub source: String,
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
        let source = text[line_start..line_end].trim_end_matches('\r');
        Self {
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            code,
            rule: String::new(),
            message,
            source: source.to_owned(),
            width: text.get(start..end).map_or(1, |part| part.chars().count().max(1)),
            hint: None,
        }
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
        // A tab is shown as one space, so that the carets stand where they should.
        writeln!(f, "{number} │ {}", self.source.replace('\t', " "))?;
        let (indent, carets) = (" ".repeat(self.column - 1), "^".repeat(self.width));
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
