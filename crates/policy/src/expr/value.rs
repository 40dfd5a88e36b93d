//! Types and values of expressions.

use evidence::{Decimal, Json};
use jiff::Timestamp;
use std::fmt;

/// A type that is not a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    Bool,
    Int,
    Decimal,
    Text,
    Timestamp,
    Duration,
    /// The element of the empty list literal: fits every list.
    Any,
}

impl Scalar {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Decimal => "decimal",
            Self::Text => "text",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::Any => "anything",
        }
    }
}

/// The type of a node: a scalar or a list of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    One(Scalar),
    List(Scalar),
}

impl Type {
    pub const BOOL: Self = Self::One(Scalar::Bool);
    pub const INT: Self = Self::One(Scalar::Int);
    pub const DECIMAL: Self = Self::One(Scalar::Decimal);
    pub const TEXT: Self = Self::One(Scalar::Text);
    pub const TIMESTAMP: Self = Self::One(Scalar::Timestamp);
    pub const DURATION: Self = Self::One(Scalar::Duration);
    pub const TEXTS: Self = Self::List(Scalar::Text);
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(scalar) => f.write_str(scalar.name()),
            Self::List(scalar) => write!(f, "list of {}", scalar.name()),
        }
    }
}

/// A value of the subset. Displays as it would be written in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Decimal(Decimal),
    Text(String),
    Timestamp(Timestamp),
    /// Nanoseconds.
    Duration(i64),
    List(Vec<Value>),
}

impl Value {
    #[must_use]
    pub fn kind(&self) -> Type {
        match self {
            Self::Bool(_) => Type::BOOL,
            Self::Int(_) => Type::INT,
            Self::Decimal(_) => Type::DECIMAL,
            Self::Text(_) => Type::TEXT,
            Self::Timestamp(_) => Type::TIMESTAMP,
            Self::Duration(_) => Type::DURATION,
            Self::List(items) => match items.first().map(Self::kind) {
                Some(Type::One(scalar)) => Type::List(scalar),
                _ => Type::List(Scalar::Any),
            },
        }
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Decimal(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
            Self::Timestamp(value) => (*value).into(),
            Self::Duration(value) => super::duration_text(*value).into(),
            Self::List(items) => Json::List(items.iter().map(Self::to_json).collect()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Decimal(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(&super::literal::quoted(value)),
            Self::Timestamp(value) => write!(f, "timestamp(\"{value}\")"),
            Self::Duration(value) => write!(f, "duration(\"{}\")", super::duration_text(*value)),
            Self::List(items) => {
                f.write_str("[")?;
                for (position, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if position > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
