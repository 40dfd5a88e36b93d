//! Python literals, read as `ast.literal_eval` reads them: a rendered list of choices comes back through here.

use super::value::{Value, is_python_space};

/// Why a text is not a Python literal. `at` counts characters from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a Python literal, found {found} at character {at}")]
pub struct LiteralError {
    pub at: usize,
    pub found: String,
}

/// Nesting deeper than this is refused.
const DEPTH_MAX: usize = 64;

/// Reads text, numbers, `None`, `True`, `False`, lists, tuples and dicts; tuples become lists, keys become text.
///
/// # Errors
/// `LiteralError` where anything else stands.
pub fn literal(text: &str) -> Result<Value, LiteralError> {
    let mut reader = Reader { letters: text.chars().collect(), at: 0 };
    // Leading blanks and tabs are removed by `literal_eval` itself.
    reader.blanks();
    let value = reader.value(0)?;
    reader.blanks();
    if reader.at < reader.letters.len() { reader.refuse() } else { Ok(value) }
}

struct Reader {
    letters: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(is_python_space) {
            self.at += 1;
        }
    }

    fn refuse<T>(&self) -> Result<T, LiteralError> {
        let found = self.peek().map_or_else(|| "the end".to_owned(), |letter| format!("`{letter}`"));
        Err(LiteralError { at: self.at, found })
    }

    fn value(&mut self, depth: usize) -> Result<Value, LiteralError> {
        if depth > DEPTH_MAX {
            return self.refuse();
        }
        match self.peek() {
            Some('[') => self.items(']', depth).map(|(items, _)| Value::List(items)),
            Some('(') => {
                let (mut items, had_comma) = self.items(')', depth)?;
                // Brackets around one value are not a tuple.
                if items.len() == 1 && !had_comma { Ok(items.remove(0)) } else { Ok(Value::List(items)) }
            }
            Some('{') => self.dict(depth),
            Some('\'' | '"') => self.texts(),
            Some('r' | 'R' | 'u' | 'U' | 'b' | 'B') if matches!(self.letters.get(self.at + 1), Some('\'' | '"')) => {
                self.texts()
            }
            Some('-' | '+' | '.' | '0'..='9') => self.number(),
            Some('A'..='Z' | 'a'..='z') => self.name(),
            _ => self.refuse(),
        }
    }

    fn items(&mut self, end: char, depth: usize) -> Result<(Vec<Value>, bool), LiteralError> {
        self.at += 1;
        let (mut items, mut had_comma) = (Vec::new(), false);
        loop {
            self.blanks();
            if self.peek() == Some(end) {
                self.at += 1;
                return Ok((items, had_comma));
            }
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(',') => {
                    had_comma = true;
                    self.at += 1;
                }
                Some(letter) if letter == end => {}
                _ => return self.refuse(),
            }
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Value, LiteralError> {
        self.at += 1;
        let mut members: Vec<(String, Value)> = Vec::new();
        loop {
            self.blanks();
            if self.peek() == Some('}') {
                self.at += 1;
                return Ok(Value::Map(members));
            }
            let key = self.value(depth + 1)?.python_str();
            self.blanks();
            if self.peek() != Some(':') {
                return self.refuse();
            }
            self.at += 1;
            self.blanks();
            let value = self.value(depth + 1)?;
            match members.iter_mut().find(|(name, _)| *name == key) {
                Some((_, held)) => *held = value,
                None => members.push((key, value)),
            }
            self.blanks();
            match self.peek() {
                Some(',') => self.at += 1,
                Some('}') => {}
                _ => return self.refuse(),
            }
        }
    }

    /// Texts that stand side by side are one.
    fn texts(&mut self) -> Result<Value, LiteralError> {
        let mut whole = String::new();
        loop {
            let is_raw = match self.peek() {
                Some('r' | 'R') => {
                    self.at += 1;
                    true
                }
                Some('u' | 'U') => {
                    self.at += 1;
                    false
                }
                _ => false,
            };
            self.text(is_raw, &mut whole)?;
            self.blanks();
            let next = self.letters.get(self.at + 1);
            match self.peek() {
                Some('\'' | '"') => {}
                Some('r' | 'R' | 'u' | 'U') if matches!(next, Some('\'' | '"')) => {}
                _ => return Ok(Value::Text(whole)),
            }
        }
    }

    fn text(&mut self, is_raw: bool, whole: &mut String) -> Result<(), LiteralError> {
        let Some(quote @ ('\'' | '"')) = self.peek() else { return self.refuse() };
        let triple =
            self.letters.get(self.at..self.at + 3).is_some_and(|three| three.iter().all(|&letter| letter == quote));
        let width = if triple { 3 } else { 1 };
        self.at += width;
        loop {
            let Some(letter) = self.peek() else { return self.refuse() };
            let is_end =
                self.letters.get(self.at..self.at + width).is_some_and(|end| end.iter().all(|&letter| letter == quote));
            if is_end {
                self.at += width;
                return Ok(());
            }
            if letter == '\n' && !triple {
                return self.refuse();
            }
            self.at += 1;
            if letter != '\\' {
                whole.push(letter);
            } else if is_raw {
                whole.push('\\');
                whole.extend(self.peek());
                self.at += 1;
            } else {
                self.escape(whole)?;
            }
        }
    }

    fn escape(&mut self, whole: &mut String) -> Result<(), LiteralError> {
        let Some(letter) = self.peek() else { return self.refuse() };
        self.at += 1;
        match letter {
            '\n' => {}
            '\\' | '\'' | '"' => whole.push(letter),
            'a' => whole.push('\u{7}'),
            'b' => whole.push('\u{8}'),
            'f' => whole.push('\u{c}'),
            'n' => whole.push('\n'),
            'r' => whole.push('\r'),
            't' => whole.push('\t'),
            'v' => whole.push('\u{b}'),
            'x' => whole.push(self.code(2, 16)?),
            'u' => whole.push(self.code(4, 16)?),
            'U' => whole.push(self.code(8, 16)?),
            '0'..='7' => {
                self.at -= 1;
                let digits = self.letters[self.at..].iter().take(3).take_while(|digit| digit.is_digit(8)).count();
                whole.push(self.code(digits, 8)?);
            }
            'N' => return self.refuse(),
            other => {
                whole.push('\\');
                whole.push(other);
            }
        }
        Ok(())
    }

    fn code(&mut self, digits: usize, radix: u32) -> Result<char, LiteralError> {
        let text: String = self.letters.iter().skip(self.at).take(digits).collect();
        let code = u32::from_str_radix(&text, radix).ok().filter(|_| text.len() == digits).and_then(char::from_u32);
        let Some(letter) = code else { return self.refuse() };
        self.at += digits;
        Ok(letter)
    }

    fn number(&mut self) -> Result<Value, LiteralError> {
        let start = self.at;
        if matches!(self.peek(), Some('-' | '+')) {
            self.at += 1;
        }
        while self.peek().is_some_and(|letter| {
            letter.is_ascii_digit()
                || matches!(letter, '.' | '_' | 'e' | 'E')
                || (matches!(letter, '-' | '+') && matches!(self.letters[self.at - 1], 'e' | 'E'))
        }) {
            self.at += 1;
        }
        let text: String = self.letters[start..self.at].iter().filter(|&&letter| letter != '_').collect();
        let digits = text.trim_start_matches(['-', '+']);
        let is_octal_of_old =
            digits.len() > 1 && digits.starts_with('0') && digits.chars().all(|digit| digit.is_ascii_digit());
        if is_octal_of_old && digits.chars().any(|digit| digit != '0') {
            self.at = start;
            return self.refuse();
        }
        if let Ok(int) = text.parse() {
            return Ok(Value::Int(int));
        }
        match text.parse() {
            Ok(float) => Ok(Value::Float(float)),
            Err(_) => {
                self.at = start;
                self.refuse()
            }
        }
    }

    fn name(&mut self) -> Result<Value, LiteralError> {
        for (name, value) in [("None", Value::Null), ("True", Value::Bool(true)), ("False", Value::Bool(false))] {
            let end = self.at + name.len();
            let stands = self.letters.get(self.at..end).is_some_and(|letters| letters.iter().copied().eq(name.chars()));
            if stands && !self.letters.get(end).is_some_and(|letter| letter.is_alphanumeric() || *letter == '_') {
                self.at = end;
                return Ok(value);
            }
        }
        self.refuse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: CPython 3.11 `ast.literal_eval`, printed with `repr`.
    #[test]
    fn literals_are_read_as_python_reads_them() {
        for (text, expected) in [
            (r#"['a', "b's", 'c' 'd']"#, r#"['a', "b's", 'cd']"#),
            ("(1, -2.5, 1e3)", "[1, -2.5, 1000.0]"),
            ("('x')", "'x'"),
            ("{'k': None, 1: True}", "{'k': None, '1': True}"),
            (r"'\x41\u00e9\q\101'", r"'Aé\\qA'"),
            ("\"\"\"a\nb\"\"\"", r"'a\nb'"),
            (" [ ]", "[]"),
        ] {
            assert_eq!(literal(text).unwrap().python_repr(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_literal_is_refused_with_its_place() {
        for (text, at) in [("[a]", 1), ("['x'", 4), ("'a\nb'", 2), ("1 + x", 2), ("f'x'", 0), ("012", 0), ("", 0)] {
            assert_eq!(literal(text).unwrap_err().at, at, "{text}");
        }
        assert!(literal(&"[".repeat(10_000)).is_err());
    }
}
