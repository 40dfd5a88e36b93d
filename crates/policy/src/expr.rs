//! The expression subset: text → syntax tree → typed arena → four-valued answer.
//!
//! Every sentence is a sentence of CEL with the same meaning; nothing is added. Integers are not compared with decimals:
//! write `10.0` beside a decimal field, as CEL with typed variables demands too.

mod check;
mod eval;
mod lexer;
mod literal;
mod parser;
mod value;
mod vary;

pub use check::{Leaf, Source};
pub use eval::{Fault, Operand, Truth};
pub(crate) use eval::{compare as compare_operands, ordering as order_of};
pub use literal::{duration_text, parse_duration, parse_timestamp};
pub use value::{Scalar, Type, Value};
pub(crate) use vary::{Variant, decimal_text};

use std::ops::Range;

/// Bytes of one expression.
pub const TEXT_MAX: usize = 2048;
/// Height of the syntax tree, and nesting of parentheses.
pub const DEPTH_MAX: usize = 16;
/// Nodes of the syntax tree.
pub const NODES_MAX: usize = 64;
/// Elements of a list, whether written or found in a fact.
pub const LIST_MAX: usize = 4096;

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether it holds for a value that stands in that order to the other.
    pub(crate) const fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// The comparison that says the same with its sides exchanged.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Plus,
    Minus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantifier {
    Exists,
    All,
}

/// Position of a node in its arena. Children stand before their parents.
pub(crate) type NodeId = usize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Literal(Value),
    Leaf(usize),
    /// The element under an `exists` or `all`.
    Element,
    Not(NodeId),
    And(Vec<NodeId>),
    Or(Vec<NodeId>),
    Compare(Comparison, NodeId, NodeId),
    In(NodeId, NodeId),
    Sum(Sign, NodeId, NodeId),
    Test(TextTest, NodeId, NodeId),
    Each(Quantifier, NodeId, NodeId),
    Size(NodeId),
    Has(NodeId),
}

impl Node {
    /// The nodes it is made of.
    pub(crate) fn children(&self) -> Vec<NodeId> {
        match self {
            Self::Literal(_) | Self::Leaf(_) | Self::Element => Vec::new(),
            Self::Not(inner) | Self::Size(inner) | Self::Has(inner) => vec![*inner],
            Self::And(parts) | Self::Or(parts) => parts.clone(),
            Self::Compare(_, a, b)
            | Self::In(a, b)
            | Self::Sum(_, a, b)
            | Self::Test(_, a, b)
            | Self::Each(_, a, b) => {
                vec![*a, *b]
            }
        }
    }
}

/// Where an expression stands, and so what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `has` may stand here, outside any negation.
    PassWhen,
    /// `has` may not stand here: it would turn a missing fact into an answer.
    Elsewhere,
}

/// A compiled, well-typed condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    text: String,
    nodes: Vec<Node>,
    spans: Vec<Range<usize>>,
    leaves: Vec<Leaf>,
}

/// Why a text is not a condition; `span` is in bytes of that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExprError {
    pub code: &'static str,
    pub message: String,
    pub span: Range<usize>,
    pub hint: Option<String>,
}

impl ExprError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>, span: Range<usize>) -> Self {
        Self { code, message: message.into(), span, hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What a path means in a scope: where its value comes from and its type.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Result<(Source, Type), Unresolved>;

/// Why a path means nothing in a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

impl Expr {
    /// Reads and types a condition.
    ///
    /// # Errors
    /// `ExprError` for what does not parse, is not typed, is unknown in the scope, or exceeds a limit.
    pub fn compile(text: &str, place: Place, resolve: Resolve<'_>) -> Result<Self, ExprError> {
        if text.len() > TEXT_MAX {
            let message = format!("expected at most {TEXT_MAX} bytes, found {}", text.len());
            return Err(ExprError::new("limit", message, 0..text.len()));
        }
        let tree = parser::parse(text)?;
        check::check(text, &tree, place, resolve)
    }

    /// The constant condition of that truth.
    #[must_use]
    pub fn constant(truth: bool) -> Self {
        let text = truth.to_string();
        let spans = std::iter::once(0..text.len()).collect();
        Self { text, nodes: vec![Node::Literal(Value::Bool(truth))], spans, leaves: Vec::new() }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The paths it reads, in order of first use.
    #[must_use]
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    pub(crate) fn leaves_mut(&mut self) -> &mut [Leaf] {
        &mut self.leaves
    }

    pub(crate) fn root(&self) -> NodeId {
        self.nodes.len() - 1
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn span(&self, id: NodeId) -> Range<usize> {
        self.spans[id].clone()
    }

    /// The source of one node.
    pub(crate) fn text_of(&self, id: NodeId) -> &str {
        self.text.get(self.spans[id].clone()).unwrap_or(&self.text)
    }
}
