//! The one encoder of what is signed: RFC 8785 (JCS) over a profile without floats and without `null`.

use crate::Decimal;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::{collections::BTreeMap, fmt};

/// Largest integer that is a JSON number; anything larger is written as text (RFC 7493, section 2.2).
pub const INT_MAX: i64 = (1 << 53) - 1;

/// A value of the profile. An absent key means "no claim"; there is no `null` and no float.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    Bool(bool),
    /// INVARIANT: within ±(2^53 − 1); made by `From`, which writes larger ones as text.
    Int(i64),
    /// Signed as text, shown in documents as a bare number.
    Decimal(Decimal),
    Text(String),
    List(Vec<Json>),
    Map(BTreeMap<String, Json>),
}

impl Json {
    /// A map of the given members; those with `None` are left out.
    #[must_use]
    pub fn map<const N: usize>(members: [(&str, Option<Json>); N]) -> Self {
        Self::Map(members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect())
    }

    #[must_use]
    pub fn list(items: impl IntoIterator<Item = impl Into<Json>>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// The bytes that are hashed and signed. SPEC: RFC 8785, sections 3.2.1 to 3.2.3.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.write_on_one_line(true, &mut out);
        out
    }

    /// The same content for programs that read a line at a time: decimals as bare numbers. Never signed.
    #[must_use]
    pub fn line(&self) -> String {
        let mut out = String::new();
        self.write_on_one_line(false, &mut out);
        out
    }

    fn write_on_one_line(&self, is_signed: bool, out: &mut String) {
        match self {
            Self::Decimal(value) if is_signed => write_text(&value.to_string(), out),
            Self::Bool(_) | Self::Int(_) | Self::Decimal(_) | Self::Text(_) => self.write_scalar(out),
            Self::List(items) => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    item.write_on_one_line(is_signed, out);
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (position, (key, value)) in in_utf16_order(members).into_iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    write_text(key, out);
                    out.push(':');
                    value.write_on_one_line(is_signed, out);
                }
                out.push('}');
            }
        }
    }

    fn write_scalar(&self, out: &mut String) {
        match self {
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::Decimal(value) => out.push_str(&value.to_string()),
            Self::Text(text) => write_text(text, out),
            Self::List(_) | Self::Map(_) => {}
        }
    }

    /// The same content for readers: indented by two spaces, decimals as bare numbers. Never signed.
    #[must_use]
    pub fn document(&self) -> String {
        let mut out = String::new();
        self.write_document(0, &mut out);
        out.push('\n');
        out
    }

    fn write_document(&self, depth: usize, out: &mut String) {
        let newline = |depth: usize, out: &mut String| {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str("  "));
        };
        match self {
            Self::List(items) if !items.is_empty() => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    newline(depth + 1, out);
                    item.write_document(depth + 1, out);
                }
                newline(depth, out);
                out.push(']');
            }
            Self::Map(members) if !members.is_empty() => {
                out.push('{');
                for (position, (key, value)) in in_utf16_order(members).into_iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    newline(depth + 1, out);
                    write_text(key, out);
                    out.push_str(": ");
                    value.write_document(depth + 1, out);
                }
                newline(depth, out);
                out.push('}');
            }
            Self::List(_) => out.push_str("[]"),
            Self::Map(_) => out.push_str("{}"),
            scalar => scalar.write_scalar(out),
        }
    }

    /// Reads text of the profile. Floats, `null` and repeated keys are errors. Signed decimals come back as `Text`.
    ///
    /// # Errors
    /// `JsonError` with line and column.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        serde_json::from_str(text).map_err(|source| JsonError {
            line: source.line(),
            column: source.column(),
            cause: cause(&source),
        })
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Map(members) => members.get(key),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A decimal however it was written: as `Decimal`, as signed text, or as an integer.
    #[must_use]
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Decimal(value) => Some(*value),
            Self::Text(text) => text.parse().ok(),
            Self::Int(value) => Decimal::new(*value, 0),
            _ => None,
        }
    }

    /// The items of a list; nothing for any other value.
    #[must_use]
    pub fn items(&self) -> &[Json] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    #[must_use]
    pub const fn members(&self) -> Option<&BTreeMap<String, Json>> {
        match self {
            Self::Map(members) => Some(members),
            _ => None,
        }
    }
}

/// SPEC: RFC 8785, section 3.2.3: members sorted by their names as arrays of UTF-16 code units.
fn in_utf16_order(members: &BTreeMap<String, Json>) -> Vec<(&str, &Json)> {
    let mut sorted: Vec<_> = members.iter().map(|(key, value)| (key.as_str(), value)).collect();
    sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    sorted
}

/// SPEC: RFC 8785, section 3.2.2.2.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if (control as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", control as u32)),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {cause}")]
pub struct JsonError {
    pub line: usize,
    pub column: usize,
    pub cause: String,
}

/// The parser's message without the position that it repeats at the end.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Profile;
        impl<'de> Visitor<'de> for Profile {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value without floats and without `null`")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Json, E> {
                if value.abs() > INT_MAX {
                    return Err(E::custom("an integer beyond 2^53 - 1 must be written as text"));
                }
                Ok(Json::Int(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Json, E> {
                i64::try_from(value).map_or_else(
                    |_| Err(E::custom("an integer beyond 2^53 - 1 must be written as text")),
                    |value| self.visit_i64(value),
                )
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = sequence.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, value)) = entries.next_entry::<String, Json>()? {
                    if members.contains_key(&key) {
                        return Err(A::Error::custom(format!("the key `{key}` stands twice")));
                    }
                    members.insert(key, value);
                }
                Ok(Json::Map(members))
            }
        }
        deserializer.deserialize_any(Profile)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        if value.abs() > INT_MAX { Self::Text(value.to_string()) } else { Self::Int(value) }
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or_else(|_| Self::Text(value.to_string()), Self::from)
    }
}

impl From<usize> for Json {
    fn from(value: usize) -> Self {
        Self::from(value as u64)
    }
}

impl From<u32> for Json {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<Decimal> for Json {
    fn from(value: Decimal) -> Self {
        Self::Decimal(value)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<crate::Digest> for Json {
    /// An in-toto `DigestSet`: `{"sha256": "…"}`.
    fn from(digest: crate::Digest) -> Self {
        Self::map([("sha256", Some(digest.to_string().into()))])
    }
}

impl From<jiff::Timestamp> for Json {
    /// RFC 3339 in UTC.
    fn from(time: jiff::Timestamp) -> Self {
        Self::Text(time.to_string())
    }
}

impl From<jiff::civil::Date> for Json {
    fn from(date: jiff::civil::Date) -> Self {
        Self::Text(date.to_string())
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(items: Vec<T>) -> Self {
        Self::list(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden vectors, worked by hand from RFC 8785 section 3.2; the key order example is the RFC's own (3.2.3).
    #[test]
    fn canonical_bytes_are_those_of_the_rfc() {
        let table: [(Json, &str); 6] = [
            (Json::Bool(true), "true"),
            (Json::Int(-7), "-7"),
            (Json::Decimal("0.10".parse().unwrap()), "\"0.1\""),
            (Json::Text("€$\u{f}\nA'B\"\\\\\"/".into()), "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\""),
            (
                Json::map([("b", Some(1_u64.into())), ("a", Some(Json::list([true, false]))), ("none", None)]),
                "{\"a\":[true,false],\"b\":1}",
            ),
            (
                Json::map([
                    ("\u{20ac}", Some("Euro Sign".into())),
                    ("\r", Some("Carriage Return".into())),
                    ("\u{fb33}", Some("Hebrew Letter Dalet With Dagesh".into())),
                    ("1", Some("One".into())),
                    ("\u{1f600}", Some("Emoji: Grinning Face".into())),
                    ("\u{80}", Some("Control".into())),
                    ("\u{f6}", Some("Latin Small Letter O With Diaeresis".into())),
                ]),
                "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
            ),
        ];
        for (value, bytes) in table {
            assert_eq!(value.canonical(), bytes);
        }
    }

    #[test]
    fn large_integers_are_text() {
        assert_eq!(Json::from((1_u64 << 53) - 1).canonical(), "9007199254740991");
        assert_eq!(Json::from(1_u64 << 53).canonical(), "\"9007199254740992\"");
    }

    #[test]
    fn what_is_outside_the_profile_is_refused_with_its_place() {
        for (text, cause) in [
            (
                "{\"a\": 1.5}",
                "invalid type: floating point `1.5`, expected a JSON value without floats and without `null`",
            ),
            ("{\"a\": null}", "invalid type: null, expected a JSON value without floats and without `null`"),
            ("{\"a\": 1, \"a\": 2}", "the key `a` stands twice"),
            ("9007199254740992", "an integer beyond 2^53 - 1 must be written as text"),
        ] {
            assert_eq!(Json::parse(text).unwrap_err().cause, cause);
        }
        assert_eq!(Json::parse("{\n \"a\" 1}").unwrap_err().to_string(), "2:6: expected `:`");
    }

    fn any_json() -> impl proptest::strategy::Strategy<Value = Json> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            any::<bool>().prop_map(Json::Bool),
            (-INT_MAX..=INT_MAX).prop_map(Json::Int),
            any::<String>().prop_map(Json::Text)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::List),
                proptest::collection::btree_map(any::<String>(), inner, 0..6).prop_map(Json::Map),
            ]
        })
    }

    proptest::proptest! {
        /// Referee: the `serde_json_canonicalizer` crate on the same value.
        #[test]
        fn agrees_with_an_independent_canonicaliser(value in any_json()) {
            let ours = value.canonical();
            let parsed: serde_json::Value = serde_json::from_str(&ours).unwrap();
            proptest::prop_assert_eq!(serde_json_canonicalizer::to_string(&parsed).unwrap(), ours.clone());
            proptest::prop_assert_eq!(Json::parse(&ours).unwrap(), value.clone());
            proptest::prop_assert_eq!(Json::parse(&value.document()).unwrap(), value);
        }
    }
}
