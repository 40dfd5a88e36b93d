//! Answers → classes: each yes, no or open, with its dates and the path that led there.

use super::answers::Answers;
use super::classes::{Class, Classes, Part, class_of};
use crate::card::Window;
use crate::expr::{Expr, Leaf, Node, NodeId, Operand, Truth};
use crate::why;
use jiff::civil::Date;

/// Whether a use falls into a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    No,
    /// Answers that are missing could settle it either way.
    Open,
    Yes,
}

impl Answer {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Open => "open",
            Self::Yes => "yes",
        }
    }

    const fn of(truth: Truth) -> Self {
        match truth {
            Truth::True => Self::Yes,
            Truth::False => Self::No,
            Truth::Missing | Truth::Error => Self::Open,
        }
    }
}

/// Where the as-of date lies among the dates of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    InForce(&'a Window),
    /// The window that opens next.
    Announced(&'a Window),
    NoLonger(&'a Window),
    /// It has no dates of its own, or none of them speaks of this use.
    Undated,
}

impl<'a> Standing<'a> {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InForce(_) => "in-force",
            Self::Announced(_) => "announced",
            Self::NoLonger(_) => "no-longer",
            Self::Undated => "undated",
        }
    }

    #[must_use]
    pub const fn window(self) -> Option<&'a Window> {
        match self {
            Self::InForce(window) | Self::Announced(window) | Self::NoLonger(window) => Some(window),
            Self::Undated => None,
        }
    }
}

/// One class with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'a> {
    pub class: &'a Class,
    pub answer: Answer,
    pub standing: Standing<'a>,
    /// What settled it, or what is missing, in a sentence.
    pub because: String,
}

/// One node of a class's conditions with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStep<'a> {
    pub class: &'a str,
    pub part: Part,
    /// From 0, the whole condition.
    pub depth: usize,
    pub expression: String,
    pub truth: Truth,
    /// The values read; empty for what only joins others.
    pub read: String,
    /// The clause it comes from; that of the other class where the node asks for one.
    pub cite: String,
}

/// A scenario held against classes as of a day.
#[derive(Debug, Clone)]
pub struct Classified<'a> {
    pub classes: &'a Classes,
    pub answers: &'a Answers,
    pub as_of: Date,
    /// By position of the class.
    pub(super) truths: Vec<Truth>,
}

/// Classifies a use. Pure: the same classes, answers and day give the same result, in whatever order the answers were given.
#[must_use]
pub fn classify<'a>(classes: &'a Classes, answers: &'a Answers, as_of: Date) -> Classified<'a> {
    let mut classified = Classified { classes, answers, as_of, truths: vec![Truth::Missing; classes.classes().len()] };
    for position in &classes.order {
        classified.truths[*position] = classified.truth(&classes.classes()[*position]);
    }
    classified
}

impl<'a> Classified<'a> {
    /// The value of a path: an answer, or another class.
    pub(super) fn operand(&self, leaf: &Leaf) -> Operand<'a> {
        let Some(id) = class_of(leaf) else {
            return self.answers.operand(leaf.path.strip_prefix("use.").unwrap_or_default());
        };
        self.classes.position(id).map_or(Operand::Missing, |position| self.truths[position].into())
    }

    pub(super) fn truth_of(&self, expr: &'a Expr) -> Truth {
        expr.evaluate(&|leaf| self.operand(leaf))
    }

    pub(super) fn truth_at(&self, expr: &'a Expr, id: NodeId) -> Truth {
        expr.truth_at(id, &|leaf| self.operand(leaf))
    }

    fn truth(&self, class: &'a Class) -> Truth {
        let part = |part: Part| {
            let truth = class.condition(part).map(|expr| self.truth_of(expr));
            match part {
                Part::Unless => truth.map_or(Truth::True, |truth| !truth),
                Part::Scope | Part::When => truth.unwrap_or(Truth::True),
            }
        };
        Part::ALL.into_iter().map(part).fold(Truth::True, Truth::and)
    }

    /// The answer for one class; `None` where no file has it.
    #[must_use]
    pub fn answer(&self, id: &str) -> Option<Answer> {
        self.classes.position(id).map(|position| Answer::of(self.truths[position]))
    }

    /// Every class with its answer, as the files have them.
    #[must_use]
    pub fn outcomes(&self) -> Vec<Outcome<'a>> {
        let outcome = |(class, truth): (&'a Class, &Truth)| Outcome {
            class,
            answer: Answer::of(*truth),
            standing: self.standing(class),
            because: self.because(class, *truth),
        };
        self.classes.classes().iter().zip(&self.truths).map(outcome).collect()
    }

    /// A date whose condition is not known counts: rather too early than too late.
    fn standing(&self, class: &'a Class) -> Standing<'a> {
        self.standing_if(class, true)
    }

    pub(super) fn standing_if(&self, class: &'a Class, counts_unknown: bool) -> Standing<'a> {
        let is_taken = |window: &&Window| match window.when.as_ref().map(|when| self.truth_of(when)) {
            None | Some(Truth::True) => true,
            Some(Truth::False) => false,
            Some(Truth::Missing | Truth::Error) => counts_unknown,
        };
        let taken: Vec<&'a Window> = class.windows.iter().filter(is_taken).collect();
        let is_open =
            |window: &Window| window.from <= self.as_of && window.until.is_none_or(|until| self.as_of < until);
        if let Some(window) = taken.iter().find(|window| is_open(window)) {
            return Standing::InForce(window);
        }
        let next = taken.iter().filter(|window| window.from > self.as_of).min_by_key(|window| window.from);
        let last = taken.iter().filter(|window| window.until.is_some()).max_by_key(|window| window.until);
        match (next, last) {
            (Some(next), _) => Standing::Announced(next),
            (None, Some(last)) => Standing::NoLonger(last),
            (None, None) => Standing::Undated,
        }
    }

    /// The atoms that settled the class, or those that keep it open.
    fn because(&self, class: &'a Class, truth: Truth) -> String {
        let settles = |part: Part, truth: Truth| match part {
            Part::Unless => !truth,
            Part::Scope | Part::When => truth,
        };
        let mut sentences: Vec<String> = Vec::new();
        for part in Part::ALL {
            let Some(expr) = class.condition(part) else { continue };
            // `unless` never brings a class about, so it is not named among the reasons for a yes.
            let is_silent = truth == Truth::True && part == Part::Unless;
            if is_silent || settles(part, self.truth_of(expr)) != truth {
                continue;
            }
            let (_, atoms) = why::decisive_of(&|id| self.truth_at(expr, id), expr, expr.root());
            for atom in atoms {
                let sentence = self.sentence(expr, atom);
                if !sentences.contains(&sentence) {
                    sentences.push(sentence);
                }
            }
            if truth == Truth::False {
                break;
            }
        }
        sentences.join("; ")
    }

    /// One atom with its value and what was read, as a sentence.
    fn sentence(&self, expr: &'a Expr, id: NodeId) -> String {
        let read = self.read(expr, id);
        let truth = self.truth_at(expr, id);
        match (self.class_at(expr, id), expr.node(id)) {
            (Some(other), _) => format!("{} is {read}", other.id),
            (None, Node::Leaf(_)) => format!("{} is {read}", expr.text_of(id)),
            (None, _) if truth == Truth::Missing => read,
            (None, _) => format!("`{}` is {} ({read})", why::unwrapped(expr.text_of(id)), truth.name()),
        }
    }

    /// What was read to answer one atom: the value of a path alone, or each path with its value.
    fn read(&self, expr: &'a Expr, id: NodeId) -> String {
        if let Some(other) = self.class_at(expr, id) {
            return self.answer(&other.id).unwrap_or(Answer::Open).name().to_owned();
        }
        let value = |id: NodeId| shown(expr.value_at(id, &|leaf| self.operand(leaf)));
        if matches!(expr.node(id), Node::Leaf(_)) {
            return value(id);
        }
        let pair = |leaf: NodeId| match (expr.text_of(leaf), value(leaf)) {
            (path, value) if value == UNANSWERED => format!("{path} is {value}"),
            (path, value) => format!("{path} = {value}"),
        };
        why::leaves_below(expr, id).into_iter().map(pair).collect::<Vec<_>>().join(", ")
    }

    /// The class that a node asks for.
    pub(super) fn class_at(&self, expr: &Expr, id: NodeId) -> Option<&'a Class> {
        let Node::Leaf(leaf) = expr.node(id) else { return None };
        let position = self.classes.position(class_of(&expr.leaves()[*leaf])?)?;
        Some(&self.classes.classes()[position])
    }

    /// The conditions of one class, node by node, each before its parts.
    #[must_use]
    pub fn path(&self, class: &'a Class) -> Vec<PathStep<'a>> {
        let locator = class.locator();
        let mut steps = Vec::new();
        for part in Part::ALL {
            let Some(expr) = class.condition(part) else { continue };
            let mut open = vec![(0, expr.root())];
            while let Some((depth, id)) = open.pop() {
                let parts = why::parts(expr, id);
                let read = if parts.is_empty() { self.read(expr, id) } else { String::new() };
                let cite = self.class_at(expr, id).map_or_else(|| locator.clone(), Class::locator);
                let expression = why::unwrapped(expr.text_of(id)).to_owned();
                steps.push(PathStep {
                    class: &class.id,
                    part,
                    depth,
                    expression,
                    truth: self.truth_at(expr, id),
                    read,
                    cite,
                });
                open.extend(parts.iter().rev().map(|part| (depth + 1, *part)));
            }
        }
        steps
    }
}

const UNANSWERED: &str = "not answered";

/// A value for people: a large round number by its power of ten.
fn shown(operand: Operand<'_>) -> String {
    let text = match operand {
        Operand::Missing => return UNANSWERED.to_owned(),
        Operand::Decimal(number) => number.to_string(),
        other => return other.shown(),
    };
    let digits = text.trim_end_matches('0');
    let n_zeros = text.len() - digits.len();
    if text.contains('.') || n_zeros < 9 {
        return text;
    }
    let (first, rest) = digits.split_at(digits.len().min(1));
    let point = if rest.is_empty() { "" } else { "." };
    format!("{first}{point}{rest}e{}", text.len() - 1)
}
