//! Conditions → shared steps, with what is known settled.

use super::Step;
use super::atom::Atom;
use crate::expr::{Expr, Leaf, Node, NodeId, Operand, Source, Truth};
use crate::facts::System;
use std::collections::BTreeMap;

/// A condition that is settled, or the step that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Built {
    Constant(Truth),
    Step(u32),
}

/// Collects the steps of all cards of a point.
pub(super) struct Builder<'a> {
    system: &'a System,
    steps: Vec<Step>,
    edges: Vec<u32>,
    /// What a step says, with the step.
    known: BTreeMap<String, u32>,
}

impl<'a> Builder<'a> {
    pub(super) const fn new(system: &'a System) -> Self {
        Self { system, steps: Vec::new(), edges: Vec::new(), known: BTreeMap::new() }
    }

    pub(super) fn finish(self) -> (Vec<Step>, Vec<u32>) {
        (self.steps, self.edges)
    }

    pub(super) fn condition(&mut self, expr: &'a Expr) -> Built {
        self.node(expr, expr.root())
    }

    /// `when && !unless`.
    pub(super) fn owed(&mut self, when: Option<&'a Expr>, unless: Option<&'a Expr>) -> Built {
        let when = when.map_or(Built::Constant(Truth::True), |when| self.condition(when));
        let unless = unless.map_or(Built::Constant(Truth::False), |unless| self.condition(unless));
        let lifted = self.not(unless);
        self.join(vec![when, lifted], true)
    }

    pub(super) fn step_of(&mut self, built: Built) -> u32 {
        match built {
            Built::Step(id) => id,
            Built::Constant(truth) => self.push(format!("constant {}", truth.name()), Step::Constant(truth)),
        }
    }

    fn push(&mut self, says: String, step: Step) -> u32 {
        let next = self.steps.len() as u32;
        let id = *self.known.entry(says).or_insert(next);
        if id == next {
            self.steps.push(step);
        }
        id
    }

    fn node(&mut self, expr: &'a Expr, id: NodeId) -> Built {
        if !reads_request(expr, id) {
            return Built::Constant(truth_at(expr, id, self.system));
        }
        match expr.node(id) {
            Node::Not(inner) => {
                let inner = self.node(expr, *inner);
                self.not(inner)
            }
            Node::And(parts) => {
                let parts = parts.iter().map(|part| self.node(expr, *part)).collect();
                self.join(parts, true)
            }
            Node::Or(parts) => {
                let parts = parts.iter().map(|part| self.node(expr, *part)).collect();
                self.join(parts, false)
            }
            _ => {
                let atom = Atom::of(expr, id, self.system);
                Built::Step(self.push(format!("{atom:?}"), Step::Atom(atom)))
            }
        }
    }

    fn not(&mut self, inner: Built) -> Built {
        match inner {
            Built::Constant(truth) => Built::Constant(!truth),
            Built::Step(id) => match self.steps[id as usize] {
                Step::Not(twice) => Built::Step(twice),
                _ => Built::Step(self.push(format!("not {id}"), Step::Not(id))),
            },
        }
    }

    /// `&&` or `||`: constants folded into one, each part once, in order.
    fn join(&mut self, parts: Vec<Built>, is_and: bool) -> Built {
        let (neutral, join): (Truth, fn(Truth, Truth) -> Truth) =
            if is_and { (Truth::True, Truth::and) } else { (Truth::False, Truth::or) };
        let mut constant = neutral;
        let mut left: Vec<u32> = Vec::new();
        for part in parts {
            match part {
                Built::Constant(truth) => constant = join(constant, truth),
                Built::Step(id) => left.push(id),
            }
        }
        if constant == !neutral || left.is_empty() {
            return Built::Constant(constant);
        }
        if constant != neutral {
            left.push(self.step_of(Built::Constant(constant)));
        }
        left.sort_unstable();
        left.dedup();
        if let [only] = left[..] {
            return Built::Step(only);
        }
        let says = format!("{} {left:?}", if is_and { "and" } else { "or" });
        if let Some(id) = self.known.get(&says) {
            return Built::Step(*id);
        }
        let start = self.edges.len() as u32;
        self.edges.extend(left);
        let range = start..self.edges.len() as u32;
        Built::Step(self.push(says, if is_and { Step::And(range) } else { Step::Or(range) }))
    }
}

fn truth_at<'a>(expr: &'a Expr, id: NodeId, system: &'a System) -> Truth {
    let value_of = |leaf: &Leaf| match leaf.source {
        Source::System(name) => system.operand(name),
        _ => Operand::Missing,
    };
    expr.truth_at(id, &value_of)
}

fn reads_request(expr: &Expr, id: NodeId) -> bool {
    match expr.node(id) {
        Node::Leaf(leaf) => matches!(expr.leaves()[*leaf].source, Source::Request(_)),
        node => node.children().into_iter().any(|child| reads_request(expr, child)),
    }
}
