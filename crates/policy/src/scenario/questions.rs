//! What to ask next: the answers that are missing and could still change a class, the most decisive first.

use super::answers::{Answers, midnight};
use super::classes::{Class, Part, class_of, fact_of};
use super::classify::{Answer, Classified, classify};
use super::table::{FACTS, UseFact, UseKind};
use crate::expr::{Expr, Node, NodeId, Operand, Truth, Value};
use crate::why;
use evidence::{Decimal, Json};
use jiff::civil::date;

/// One missing answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenQuestion {
    pub fact: &'static UseFact,
    /// The open classes that it bears on, as the files have them.
    pub classes: Vec<String>,
    /// Over all answers tried, how many classes were settled, and how many answers were tried.
    pub settled: (usize, usize),
}

impl OpenQuestion {
    #[must_use]
    pub fn to_json(&self) -> Json {
        let choice = |(name, means): &(&str, &str)| {
            Json::map([("name", Some((*name).into())), ("means", Some((*means).into()))])
        };
        let choices = self.fact.kind.choices();
        Json::map([
            ("fact", Some(format!("use.{}", self.fact.name).into())),
            ("kind", Some(self.fact.kind.name().into())),
            ("question", Some(self.fact.question.into())),
            ("choices", (!choices.is_empty()).then(|| Json::List(choices.iter().map(choice).collect()))),
            ("classes", Some(Json::list(self.classes.iter().map(String::as_str)))),
        ])
    }
}

impl Classified<'_> {
    /// The missing answers that could still change a class or its date, those first that settle most.
    ///
    /// Each possible answer is tried alone; the score is the mean number of open classes that it settles. Where the scores
    /// are equal, the order of the table of facts holds.
    #[must_use]
    pub fn open_questions(&self) -> Vec<OpenQuestion> {
        let classes = self.classes.classes();
        let bears: Vec<Vec<&'static str>> = (0..classes.len()).map(|position| self.missing_for(position)).collect();
        let mut questions: Vec<OpenQuestion> = Vec::new();
        for fact in FACTS {
            let concerned: Vec<usize> =
                (0..classes.len()).filter(|position| bears[*position].contains(&fact.name)).collect();
            if !concerned.is_empty() {
                let classes = concerned.iter().map(|position| classes[*position].id.clone()).collect();
                questions.push(OpenQuestion { fact, classes, settled: self.settled(fact, &concerned) });
            }
        }
        // A stable sort by falling share; the shares are compared as fractions, exactly.
        questions.sort_by(|a, b| (b.settled.0 * a.settled.1).cmp(&(a.settled.0 * b.settled.1)));
        questions
    }

    /// The facts whose answers could settle a class, or move the date of one that is not ruled out.
    fn missing_for(&self, position: usize) -> Vec<&'static str> {
        let class = &self.classes.classes()[position];
        let mut facts = Vec::new();
        match self.truths[position] {
            Truth::False => return facts,
            Truth::True => {}
            Truth::Missing | Truth::Error => self.missing_below(class, &mut facts),
        }
        if self.standing_if(class, true) != self.standing_if(class, false) {
            class.windows.iter().filter_map(|window| window.when.as_ref()).for_each(|when| {
                self.missing_in(when, when.root(), &mut facts);
            });
        }
        facts
    }

    fn missing_below(&self, class: &Class, facts: &mut Vec<&'static str>) {
        for expr in Part::ALL.into_iter().filter_map(|part| class.condition(part)) {
            self.missing_in(expr, expr.root(), facts);
        }
    }

    /// The missing leaves of the nodes that are missing themselves: what is settled beside them cannot matter any more.
    fn missing_in(&self, expr: &Expr, id: NodeId, facts: &mut Vec<&'static str>) {
        if expr.truth_at(id, &|leaf| self.operand(leaf)) != Truth::Missing {
            return;
        }
        let parts = why::parts(expr, id);
        parts.iter().for_each(|part| self.missing_in(expr, *part, facts));
        if !parts.is_empty() {
            return;
        }
        for node in why::leaves_below(expr, id) {
            let Node::Leaf(leaf) = expr.node(node) else { continue };
            let leaf = &expr.leaves()[*leaf];
            if let Some(other) = class_of(leaf).and_then(|id| self.classes.position(id)) {
                self.missing_below(&self.classes.classes()[other], facts);
            } else if let Some(fact) =
                fact_of(leaf).filter(|fact| matches!(self.answers.operand(fact.name), Operand::Missing))
                && !facts.contains(&fact.name)
            {
                facts.push(fact.name);
            }
        }
    }

    /// How many classes the answers to one question settle, each tried alone, and how many were tried.
    fn settled(&self, fact: &'static UseFact, concerned: &[usize]) -> (usize, usize) {
        let n_open = |truths: &[Truth]| truths.iter().filter(|truth| **truth == Truth::Missing).count();
        let before = n_open(&self.truths);
        let tries = self.tries(fact, concerned);
        let settles = |value: &Value| {
            let mut answers: Answers = self.answers.clone();
            // Every value tried comes from the table or from a class, and so is one that the fact takes.
            let _ = answers.set(fact.name, value.clone());
            before.saturating_sub(n_open(&classify(self.classes, &answers, self.as_of).truths))
        };
        (tries.iter().map(settles).sum(), tries.len().max(1))
    }

    /// Answers that tell the classes apart: every choice, or both sides of every number that a class concerned asks for.
    fn tries(&self, fact: &UseFact, concerned: &[usize]) -> Vec<Value> {
        let choices = fact.kind.choices().iter().map(|(name, _)| Value::from(*name));
        match fact.kind {
            UseKind::Flag => vec![Value::Bool(true), Value::Bool(false)],
            UseKind::One(_) => choices.collect(),
            UseKind::Any(_) => {
                std::iter::once(Value::List(Vec::new())).chain(choices.map(|name| Value::List(vec![name]))).collect()
            }
            UseKind::Text => Vec::new(),
            UseKind::Count => self.bounds(fact, concerned, [Value::Int(0), Value::Int(i64::MAX)]),
            UseKind::Quantity => {
                let most = Decimal::new(1, 40).unwrap_or(Decimal::ONE);
                self.bounds(fact, concerned, [Value::Decimal(Decimal::ZERO), Value::Decimal(most)])
            }
            UseKind::Day => {
                let [first, last] = [date(1970, 1, 1), date(2200, 1, 1)].map(midnight);
                self.bounds(fact, concerned, [first, last].map(|day| Value::Timestamp(day.unwrap_or_default())))
            }
        }
    }

    /// The literals that classes compare a fact with, between two ends.
    fn bounds(&self, fact: &UseFact, concerned: &[usize], ends: [Value; 2]) -> Vec<Value> {
        let mut values = Vec::from(ends);
        let classes = concerned.iter().map(|position| &self.classes.classes()[*position]);
        for expr in classes.flat_map(Class::conditions) {
            for (id, _) in expr.nodes().iter().enumerate() {
                let Some((leaf, _, literal)) = why::bound(expr, id) else { continue };
                let is_it = matches!(expr.node(leaf), Node::Leaf(at) if fact_of(&expr.leaves()[*at]) == Some(fact));
                if let Node::Literal(value) = expr.node(literal)
                    && is_it
                    && !values.contains(value)
                {
                    values.push(value.clone());
                }
            }
        }
        values
    }

    /// Whether anything is open that an answer could settle.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outcomes().iter().any(|outcome| outcome.answer == Answer::Open)
    }
}
