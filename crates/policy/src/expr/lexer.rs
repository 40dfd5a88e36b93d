//! Text → tokens.

use super::ExprError;
use crate::unseen;
use std::ops::Range;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Name(String),
    /// Digits, without sign.
    Int(String),
    /// With a point or an exponent, without sign.
    Decimal(String),
    Text(String),
    Mark(&'static str),
    End,
}

impl Token {
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Name(text) | Self::Int(text) | Self::Decimal(text) => format!("`{text}`"),
            Self::Text(_) => "a text".to_owned(),
            Self::Mark(mark) => format!("`{mark}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

const MARKS: [&str; 17] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", ".", ",", "(", ")", "[", "]"];

pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, ExprError> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if matches!(first, ' ' | '\t' | '\n' | '\r') {
            at += 1;
            continue;
        }
        let (token, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = taken(&text[at..], |c| c.is_ascii_alphanumeric() || c == '_');
                (Token::Name(name.to_owned()), name.len())
            }
            '0'..='9' => number(text, at)?,
            '"' | '\'' => quoted(text, at, first)?,
            _ => {
                let mark = MARKS.into_iter().find(|mark| text[at..].starts_with(mark));
                let mark = mark.ok_or_else(|| stray(first, at))?;
                (Token::Mark(mark), mark.len())
            }
        };
        out.push((token, at..at + length));
        at += length;
    }
    out.push((Token::End, text.len()..text.len()));
    Ok(out)
}

fn stray(character: char, at: usize) -> ExprError {
    let error = ExprError::new("syntax", format!("unexpected `{character}`"), at..at + character.len_utf8());
    match character {
        '=' => error.hint("compare with `==`"),
        '&' => error.hint("write `&&`"),
        '|' => error.hint("write `||`"),
        '*' | '/' | '%' => error.hint("ratios and products are facts of their own, not made by a card"),
        '?' | ':' => error.hint("there is no conditional; write two conditions"),
        '“' | '”' | '„' | '‘' | '’' => error.hint("write straight quotation marks: `\"text\"`"),
        '≥' => error.hint("write `>=`"),
        '≤' => error.hint("write `<=`"),
        '≠' => error.hint("write `!=`"),
        '−' | '–' => error.hint("write `-`"),
        odd if !odd.is_ascii() => error.hint(unseen::told(odd)),
        _ => error,
    }
}

fn taken(text: &str, keep: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !keep(c)).unwrap_or(text.len())]
}

fn number(text: &str, at: usize) -> Result<(Token, usize), ExprError> {
    let rest = &text[at..];
    let digits = |from: usize| taken(&rest[from..], |c| c.is_ascii_digit()).len();
    let mut length = digits(0);
    let mut is_decimal = false;
    if rest[length..].starts_with('.') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
        is_decimal = true;
    }
    if rest[length..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            length += 1 + sign + exponent;
            is_decimal = true;
        }
    }
    let tail = taken(&rest[length..], |c| c.is_alphanumeric() || c == '_');
    if !tail.is_empty() {
        let message = format!("expected a number, found `{}{tail}`", &rest[..length]);
        return Err(
            ExprError::new("literal", message, at..at + length + tail.len()).hint("write `12`, `-0.5` or `1e25`")
        );
    }
    let number = rest[..length].to_owned();
    Ok((if is_decimal { Token::Decimal(number) } else { Token::Int(number) }, length))
}

fn quoted(text: &str, at: usize, quote: char) -> Result<(Token, usize), ExprError> {
    let mut out = String::new();
    let mut rest = text[at + 1..].char_indices();
    while let Some((offset, character)) = rest.next() {
        let here = at + 1 + offset;
        match character {
            c if c == quote => {
                let span = at..here + 1;
                refuse_disguise(&out, &span)?;
                return Ok((Token::Text(nfc(out, span)?), offset + 2));
            }
            '\n' | '\r' => break,
            '\\' => out.push(escape(&mut rest, here)?),
            c => out.push(c),
        }
    }
    Err(ExprError::new("syntax", "expected the closing quotation mark", at..text.len()))
}

fn escape(rest: &mut std::str::CharIndices<'_>, at: usize) -> Result<char, ExprError> {
    let bad = |width: usize| {
        ExprError::new("literal", "unknown escape in a text", at..at + width)
            .hint(r#"known are \\ \" \' \n \r \t \uXXXX"#)
    };
    match rest.next().map(|(_, character)| character) {
        Some(same @ ('\\' | '"' | '\'')) => Ok(same),
        Some('n') => Ok('\n'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some('u') => {
            let digits: String = rest.by_ref().take(4).map(|(_, digit)| digit).collect();
            let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let code = u32::from_str_radix(&digits, 16).ok().filter(|_| is_hex);
            code.and_then(char::from_u32).ok_or_else(|| bad(2))
        }
        Some(other) => Err(bad(1 + other.len_utf8())),
        None => Err(bad(1)),
    }
}

/// A text that no reader could tell from another one.
fn refuse_disguise(text: &str, span: &Range<usize>) -> Result<(), ExprError> {
    if let Some((_, odd)) = unseen::first_unseen(text) {
        return Err(ExprError::new("literal", format!("U+{:04X} cannot be seen in a text", odd as u32), span.clone()));
    }
    let Some((_, odd)) = unseen::first_lookalike(text) else { return Ok(()) };
    Err(ExprError::new("literal", format!("`{odd}` is not the letter it looks like"), span.clone())
        .hint(unseen::told(odd)))
}

/// Texts are compared code point by code point, so a literal must be in the form facts are brought into.
fn nfc(text: String, span: Range<usize>) -> Result<String, ExprError> {
    if unicode_normalization::is_nfc(&text) {
        return Ok(text);
    }
    Err(ExprError::new("literal", "expected text in Unicode normal form NFC", span))
}
