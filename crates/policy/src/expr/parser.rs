//! Tokens → syntax tree, within the limits.

use super::lexer::{Token, tokens};
use super::{Comparison, DEPTH_MAX, ExprError, LIST_MAX, NODES_MAX, Quantifier, Sign, TextTest, Value, literal};
use evidence::Decimal;
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Path(String),
    Literal(Value),
    Not(Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Compare(Comparison, Box<Tree>, Box<Tree>),
    In(Box<Tree>, Box<Tree>),
    Sum(Sign, Box<Tree>, Box<Tree>),
    Test(TextTest, Box<Tree>, Box<Tree>),
    Each { quantifier: Quantifier, list: Box<Tree>, name: String, name_span: Range<usize>, body: Box<Tree> },
    Size(Box<Tree>),
    Has(Box<Tree>),
}

impl Tree {
    pub(super) fn children(&self) -> Vec<&Tree> {
        match &self.kind {
            Kind::Path(_) | Kind::Literal(_) => Vec::new(),
            Kind::Not(a) | Kind::Size(a) | Kind::Has(a) => vec![a],
            Kind::And(all) | Kind::Or(all) => all.iter().collect(),
            Kind::Compare(_, a, b) | Kind::In(a, b) | Kind::Sum(_, a, b) | Kind::Test(_, a, b) => vec![a, b],
            Kind::Each { list, body, .. } => vec![list, body],
        }
    }

    fn size(&self) -> (usize, usize) {
        let below = self.children().into_iter().map(Self::size);
        let (nodes, depth) = below.fold((0, 0), |(nodes, depth), (n, d)| (nodes + n, depth.max(d)));
        (nodes + 1, depth + 1)
    }
}

/// SPEC: the reserved words of CEL; none may name a fact or an element.
const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "null",
];

pub(super) fn parse(text: &str) -> Result<Tree, ExprError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let tree = parser.disjunction()?;
    if *parser.peek() != Token::End {
        return Err(parser.unexpected("an operator or the end"));
    }
    let (nodes, depth) = tree.size();
    if nodes > NODES_MAX {
        let message = format!("expected at most {NODES_MAX} nodes, found {nodes}");
        return Err(ExprError::new("limit", message, tree.span).hint("split the rule in two"));
    }
    if depth > DEPTH_MAX {
        let message = format!("expected a depth of at most {DEPTH_MAX}, found {depth}");
        return Err(ExprError::new("limit", message, tree.span).hint("split the rule in two"));
    }
    Ok(tree)
}

struct Parser {
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn span(&self) -> Range<usize> {
        self.tokens[self.at].1.clone()
    }

    /// The next token; the last one, `End`, is never passed.
    fn next(&mut self) -> (Token, Range<usize>) {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn take(&mut self, mark: &str) -> bool {
        let is_there = matches!(self.peek(), Token::Mark(found) if *found == mark);
        if is_there {
            self.next();
        }
        is_there
    }

    fn expect(&mut self, mark: &'static str) -> Result<Range<usize>, ExprError> {
        let span = self.span();
        if self.take(mark) { Ok(span) } else { Err(self.unexpected(&format!("`{mark}`"))) }
    }

    fn unexpected(&self, expected: &str) -> ExprError {
        ExprError::new("syntax", format!("expected {expected}, found {}", self.peek().shown()), self.span())
    }

    fn name(&mut self, what: &str) -> Result<(String, Range<usize>), ExprError> {
        let Token::Name(name) = self.peek().clone() else { return Err(self.unexpected(what)) };
        Ok((name, self.next().1))
    }

    fn disjunction(&mut self) -> Result<Tree, ExprError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ExprError::new(
                "limit",
                format!("expected at most {DEPTH_MAX} levels of nesting"),
                self.span(),
            ));
        }
        let tree = self.chain("||", Self::conjunction, Kind::Or);
        self.depth -= 1;
        tree
    }

    fn conjunction(&mut self) -> Result<Tree, ExprError> {
        self.chain("&&", Self::relation, Kind::And)
    }

    fn chain(
        &mut self,
        mark: &str,
        part: fn(&mut Self) -> Result<Tree, ExprError>,
        make: fn(Vec<Tree>) -> Kind,
    ) -> Result<Tree, ExprError> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.take(mark) {
            parts.push(part(self)?);
        }
        if parts.len() > 1 {
            let span = parts[0].span.start..parts[parts.len() - 1].span.end;
            return Ok(Tree { span, kind: make(parts) });
        }
        Ok(parts.remove(0))
    }

    fn relation(&mut self) -> Result<Tree, ExprError> {
        let left = self.sum()?;
        let Some(make) = self.relation_mark() else { return Ok(left) };
        self.next();
        let right = self.sum()?;
        if self.relation_mark().is_some() {
            return Err(
                ExprError::new("syntax", "comparisons are not chained", self.span()).hint("write `a < b && b < c`")
            );
        }
        let span = left.span.start..right.span.end;
        let (left, right) = (Box::new(left), Box::new(right));
        let kind = match make {
            Some(comparison) => Kind::Compare(comparison, left, right),
            None => Kind::In(left, right),
        };
        Ok(Tree { span, kind })
    }

    /// The comparison that comes next; `Some(None)` for `in`.
    fn relation_mark(&self) -> Option<Option<Comparison>> {
        match self.peek() {
            Token::Name(name) if name == "in" => Some(None),
            Token::Mark("==") => Some(Some(Comparison::Equal)),
            Token::Mark("!=") => Some(Some(Comparison::NotEqual)),
            Token::Mark("<") => Some(Some(Comparison::Less)),
            Token::Mark("<=") => Some(Some(Comparison::LessOrEqual)),
            Token::Mark(">") => Some(Some(Comparison::Greater)),
            Token::Mark(">=") => Some(Some(Comparison::GreaterOrEqual)),
            _ => None,
        }
    }

    fn sum(&mut self) -> Result<Tree, ExprError> {
        let mut left = self.unary()?;
        loop {
            let sign = match self.peek() {
                Token::Mark("+") => Sign::Plus,
                Token::Mark("-") => Sign::Minus,
                _ => return Ok(left),
            };
            self.next();
            let right = self.unary()?;
            let span = left.span.start..right.span.end;
            left = Tree { span, kind: Kind::Sum(sign, Box::new(left), Box::new(right)) };
        }
    }

    fn unary(&mut self) -> Result<Tree, ExprError> {
        let start = self.span().start;
        if !self.take("!") {
            return self.postfix();
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ExprError::new(
                "limit",
                format!("expected at most {DEPTH_MAX} levels of nesting"),
                self.span(),
            ));
        }
        let inner = self.unary()?;
        self.depth -= 1;
        Ok(Tree { span: start..inner.span.end, kind: Kind::Not(Box::new(inner)) })
    }

    fn postfix(&mut self) -> Result<Tree, ExprError> {
        let mut tree = self.primary()?;
        while self.take(".") {
            let (method, span) = self.name("a method")?;
            self.expect("(")?;
            let kind = self.method(&method, span, tree)?;
            let end = self.expect(")")?.end;
            tree = Tree { span: kind.0..end, kind: kind.1 };
        }
        Ok(tree)
    }

    fn method(&mut self, method: &str, span: Range<usize>, tree: Tree) -> Result<(usize, Kind), ExprError> {
        let start = tree.span.start;
        let test = match method {
            "startsWith" => TextTest::StartsWith,
            "endsWith" => TextTest::EndsWith,
            "contains" => TextTest::Contains,
            "exists" => return Ok((start, self.each(Quantifier::Exists, tree)?)),
            "all" => return Ok((start, self.each(Quantifier::All, tree)?)),
            _ => {
                let known = "known are `startsWith`, `endsWith`, `contains`, `exists`, `all`";
                return Err(ExprError::new("syntax", format!("unknown method `{method}`"), span).hint(known));
            }
        };
        let argument = self.disjunction()?;
        Ok((start, Kind::Test(test, Box::new(tree), Box::new(argument))))
    }

    fn each(&mut self, quantifier: Quantifier, list: Tree) -> Result<Kind, ExprError> {
        let (name, name_span) = self.name("a name for the element")?;
        refuse_reserved(&name, &name_span)?;
        self.expect(",")?;
        let body = Box::new(self.disjunction()?);
        Ok(Kind::Each { quantifier, list: Box::new(list), name, name_span, body })
    }

    fn primary(&mut self) -> Result<Tree, ExprError> {
        let span = self.span();
        match self.peek().clone() {
            Token::Mark("(") => {
                self.next();
                let inner = self.disjunction()?;
                let end = self.expect(")")?.end;
                Ok(Tree { span: span.start..end, kind: inner.kind })
            }
            Token::Mark("[") => self.list(),
            Token::Name(name) if !matches!(name.as_str(), "true" | "false") => {
                if matches!(self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0, Token::Mark("(")) {
                    return self.call(&name);
                }
                self.path()
            }
            _ => {
                let value = self.literal()?;
                let end = self.tokens[self.at - 1].1.end;
                Ok(Tree { span: span.start..end, kind: Kind::Literal(value) })
            }
        }
    }

    fn list(&mut self) -> Result<Tree, ExprError> {
        let start = self.expect("[")?.start;
        let mut items = Vec::new();
        while !matches!(self.peek(), Token::Mark("]")) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(self.literal()?);
        }
        let span = start..self.expect("]")?.end;
        if items.len() > LIST_MAX {
            return Err(ExprError::new("limit", format!("expected at most {LIST_MAX} elements"), span));
        }
        if items.iter().any(|item| item.kind() != items[0].kind()) {
            return Err(ExprError::new("type", "expected a list of one type", span));
        }
        Ok(Tree { span, kind: Kind::Literal(Value::List(items)) })
    }

    fn literal(&mut self) -> Result<Value, ExprError> {
        let start = self.span().start;
        let is_negative = self.take("-");
        let (token, span) = self.next();
        let span = start..span.end;
        match token {
            Token::Int(digits) => {
                let text = if is_negative { format!("-{digits}") } else { digits };
                text.parse().map(Value::Int).map_err(|_| {
                    ExprError::new("literal", format!("expected an integer of 64 bits, found `{text}`"), span)
                })
            }
            Token::Decimal(digits) => {
                let text = if is_negative { format!("-{digits}") } else { digits };
                let plain = text.replace("e+", "e").replace("E+", "E");
                let number: Result<Decimal, _> = plain.parse();
                number.map(Value::Decimal).map_err(|error| ExprError::new("literal", error.to_string(), span))
            }
            Token::Text(text) if !is_negative => Ok(Value::Text(text)),
            Token::Name(name) if !is_negative && name == "true" => Ok(Value::Bool(true)),
            Token::Name(name) if !is_negative && name == "false" => Ok(Value::Bool(false)),
            Token::Name(_) if is_negative => {
                Err(ExprError::new("syntax", "expected a number after `-`", span).hint("only literals may be negative"))
            }
            token => Err(ExprError::new("syntax", format!("expected a value, found {}", token.shown()), span)),
        }
    }

    fn call(&mut self, name: &str) -> Result<Tree, ExprError> {
        let (_, name_span) = self.next();
        self.expect("(")?;
        let kind = match name {
            "size" => Kind::Size(Box::new(self.path()?)),
            "has" => Kind::Has(Box::new(self.path()?)),
            "timestamp" => {
                let hint = "write the whole instant: `timestamp(\"2026-08-02T00:00:00Z\")`";
                Kind::Literal(self.time(literal::parse_timestamp, "a timestamp", hint).map(Value::Timestamp)?)
            }
            "duration" => {
                let hint = "hours, minutes and seconds only: `duration(\"360h\")` for 15 days";
                Kind::Literal(self.time(literal::parse_duration, "a duration", hint).map(Value::Duration)?)
            }
            _ => {
                let known = "known are `size`, `has`, `timestamp`, `duration`";
                return Err(ExprError::new("syntax", format!("unknown function `{name}`"), name_span).hint(known));
            }
        };
        let end = self.expect(")")?.end;
        Ok(Tree { span: name_span.start..end, kind })
    }

    fn time<T>(&mut self, read: fn(&str) -> Option<T>, what: &str, hint: &str) -> Result<T, ExprError> {
        let (token, span) = self.next();
        let found = match token {
            Token::Text(text) => match read(&text) {
                Some(time) => return Ok(time),
                None => format!("`{text}`"),
            },
            other => other.shown(),
        };
        Err(ExprError::new("literal", format!("expected {what}, found {found}"), span).hint(hint))
    }

    fn path(&mut self) -> Result<Tree, ExprError> {
        let (mut path, mut span) = self.name("a path")?;
        refuse_reserved(&path, &span)?;
        while self.is_member() {
            self.next();
            let (token, part) = self.next();
            if let Token::Name(name) = token {
                refuse_reserved(&name, &part)?;
                path.push('.');
                path.push_str(&name);
                span.end = part.end;
            }
        }
        Ok(Tree { span, kind: Kind::Path(path) })
    }

    /// `.name` that is not the start of a method call.
    fn is_member(&self) -> bool {
        let token = |ahead: usize| self.tokens.get(self.at + ahead).map(|(token, _)| token);
        matches!(token(0), Some(Token::Mark(".")))
            && matches!(token(1), Some(Token::Name(_)))
            && !matches!(token(2), Some(Token::Mark("(")))
    }
}

fn refuse_reserved(name: &str, span: &Range<usize>) -> Result<(), ExprError> {
    if RESERVED.contains(&name) || matches!(name, "true" | "false" | "in") {
        return Err(ExprError::new("syntax", format!("`{name}` is a reserved word"), span.clone()));
    }
    Ok(())
}
