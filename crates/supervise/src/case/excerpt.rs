//! A complaint that shows the line it is about.

use std::{fmt, ops::Range, path::Path};

/// Something in the case file is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CaseError {
    pub file: String,
    /// Counted from 1; 0 when the file could not be read at all.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub message: String,
    pub hint: String,
    excerpt: String,
    width: usize,
}

impl CaseError {
    pub(super) fn at(file: &Path, text: &str, span: Range<usize>, message: String, hint: String) -> Self {
        let start = span.start.min(text.len());
        let before = text.get(..start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let excerpt = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default().to_owned();
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let room = (excerpt.chars().count() + 1).saturating_sub(column).max(1);
        let width =
            text.get(span).unwrap_or_default().lines().next().unwrap_or_default().chars().count().clamp(1, room);
        let line = before.matches('\n').count() + 1;
        Self { file: file.display().to_string(), line, column, message, hint, excerpt, width }
    }

    pub(super) fn unreadable(file: &Path, source: &std::io::Error) -> Self {
        Self {
            file: file.display().to_string(),
            line: 0,
            column: 0,
            message: format!("the case cannot be read: {source}"),
            hint: "give a folder that holds an `assize.toml`, or write one with `assize init FOLDER`".to_owned(),
            excerpt: String::new(),
            width: 0,
        }
    }
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, hint, excerpt, width } = self;
        if *line == 0 {
            return write!(f, "{file}: {message}\n  hint: {hint}");
        }
        let margin = " ".repeat(line.to_string().len());
        writeln!(f, "{message}\n{margin} ┌─ {file}:{line}:{column}")?;
        writeln!(f, "{line} │ {excerpt}")?;
        write!(f, "{margin} │ {}{}", " ".repeat(column - 1), "^".repeat(*width))?;
        if hint.is_empty() { Ok(()) } else { write!(f, "\n{margin} hint: {hint}") }
    }
}
