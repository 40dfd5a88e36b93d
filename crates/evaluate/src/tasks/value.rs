//! One value for rows, task files and Python literals: maps keep the order of the file, because choices come from them.

use minijinja::value as jinja;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    /// `!function module.name` of a task file; never in a row.
    Function(String),
}

/// A row of data: columns in the order of the file.
pub type Row = Vec<(String, Value)>;

/// The column of this name.
#[must_use]
pub fn column<'a>(row: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    row.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

impl Value {
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer as Python counts one: `True` is 1.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            Self::Bool(bool) => Some(*bool as i64),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_map(&self) -> Option<&[(String, Value)]> {
        match self {
            Self::Map(members) => Some(members),
            _ => None,
        }
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map().and_then(|members| column(members, key))
    }

    /// What kind of value it is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Function(_) => "a function",
        }
    }

    /// Python's `str(value)`: text as it is, everything else as `repr`.
    #[must_use]
    pub fn python_str(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.python_repr(),
        }
    }

    /// Python's `repr(value)`.
    #[must_use]
    pub fn python_repr(&self) -> String {
        let mut out = String::new();
        self.write_repr(&mut out);
        out
    }

    fn write_repr(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("None"),
            Self::Bool(true) => out.push_str("True"),
            Self::Bool(false) => out.push_str("False"),
            Self::Int(int) => out.push_str(&int.to_string()),
            Self::Float(float) => out.push_str(&float_repr(*float)),
            Self::Text(text) => write_text_repr(text, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    item.write_repr(out);
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    write_text_repr(key, out);
                    out.push_str(": ");
                    value.write_repr(out);
                }
                out.push('}');
            }
            Self::Function(name) => out.push_str(&format!("<function {name}>")),
        }
    }

    /// The same value as the template engine holds it.
    #[must_use]
    pub fn to_jinja(&self) -> jinja::Value {
        match self {
            Self::Null => jinja::Value::from(()),
            Self::Bool(bool) => jinja::Value::from(*bool),
            Self::Int(int) => jinja::Value::from(*int),
            Self::Float(float) => jinja::Value::from(*float),
            Self::Text(text) | Self::Function(text) => jinja::Value::from(text.as_str()),
            Self::List(items) => items.iter().map(Self::to_jinja).collect(),
            Self::Map(members) => jinja::Value::from_object(OrderedMap(
                members.iter().map(|(key, value)| (key.clone(), value.to_jinja())).collect(),
            )),
        }
    }

    /// A value of the template engine; what it alone knows (undefined, functions) is nothing here.
    #[must_use]
    pub fn from_jinja(value: &jinja::Value) -> Self {
        match value.kind() {
            jinja::ValueKind::Bool => Self::Bool(value.is_true()),
            jinja::ValueKind::Number if value.is_integer() => value.as_i64().map_or(Self::Null, Self::Int),
            jinja::ValueKind::Number => f64::try_from(value.clone()).map_or(Self::Null, Self::Float),
            jinja::ValueKind::String => Self::Text(value.as_str().unwrap_or_default().to_owned()),
            jinja::ValueKind::Seq | jinja::ValueKind::Iterable => Self::List(
                value.try_iter().map(|items| items.map(|item| Self::from_jinja(&item)).collect()).unwrap_or_default(),
            ),
            jinja::ValueKind::Map => {
                let keys = value.try_iter().map(|keys| keys.collect::<Vec<_>>()).unwrap_or_default();
                let member = |key: &jinja::Value| {
                    let held = value.get_item(key).unwrap_or(jinja::Value::UNDEFINED);
                    (Self::from_jinja(key).python_str(), Self::from_jinja(&held))
                };
                Self::Map(keys.iter().map(member).collect())
            }
            _ => Self::Null,
        }
    }
}

/// A map of a row inside a template, in the order of the file.
#[derive(Debug)]
struct OrderedMap(Vec<(String, jinja::Value)>);

impl jinja::Object for OrderedMap {
    fn get_value(self: &std::sync::Arc<Self>, key: &jinja::Value) -> Option<jinja::Value> {
        let key = key.as_str()?;
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &std::sync::Arc<Self>) -> jinja::Enumerator {
        jinja::Enumerator::Values(self.0.iter().map(|(key, _)| jinja::Value::from(key.as_str())).collect())
    }
}

/// Python's shortest form that reads back the same.
fn float_repr(float: f64) -> String {
    if float.is_nan() {
        return "nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |digits| ("-", digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{float:?}")
}

fn write_text_repr(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if letter == quote => {
                out.push('\\');
                out.push(letter);
            }
            _ if is_printable(letter) => out.push(letter),
            _ => match letter as u32 {
                code @ 0..=0xff => out.push_str(&format!("\\x{code:02x}")),
                code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
        }
    }
    out.push(quote);
}

/// Near enough to `str.isprintable` to read back the same; unassigned code points count as printable here.
fn is_printable(letter: char) -> bool {
    let is_format = matches!(letter,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff9}'..='\u{fffb}');
    letter == ' ' || !(letter.is_control() || letter.is_whitespace() || is_format)
}

/// `str.isspace` of one character: Unicode white space and the four information separators.
#[must_use]
pub fn is_python_space(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\u{1c}'..='\u{1f}')
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Value, E> {
        Ok(Value::Int(int))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Value, E> {
        Ok(i64::try_from(int).map_or(Value::Float(int as f64), Value::Int))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Value, E> {
        Ok(Value::Float(float))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map: Row = Vec::new();
        while let Some((key, value)) = members.next_entry::<String, Value>()? {
            // Of a key that stands twice the last counts, at the place of the first, as in Python.
            match map.iter_mut().find(|(name, _)| *name == key) {
                Some((_, held)) => *held = value,
                None => map.push((key, value)),
            }
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: CPython 3.11 `repr(json.loads(..))`.
    #[test]
    fn repr_is_that_of_python() {
        for (json, expected) in [
            (r#"["a", "b's", "c\"d", "e'f\"g"]"#, r#"['a', "b's", 'c"d', 'e\'f"g']"#),
            (r#"{"z": null, "a": [true, 1, 1.5, 1e22, 1e-7]}"#, "{'z': None, 'a': [True, 1, 1.5, 1e+22, 1e-07]}"),
            (r#""\u00a0x\u200b\n\\""#, r"'\xa0x\u200b\n\\'"),
        ] {
            assert_eq!(serde_json::from_str::<Value>(json).unwrap().python_repr(), expected);
        }
    }
}
