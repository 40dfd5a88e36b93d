//! One look at each member answers every plain question about it, and leaves the cards that it does not rule out.

use super::atom::Atom;
use super::{PointPlan, Step, answer_of, truth_of};
use crate::expr::{Comparison, Operand, Truth, Type, Value, order_of};
use crate::request::{MEMBERS, MemberId, Request, Slot};
use std::cmp::Ordering;

/// Cards at one point, at most.
pub(super) const CARDS_MAX: usize = 4096;
/// Words of 64 bits that hold them.
pub(super) const CARD_WORDS: usize = CARDS_MAX / 64;

/// The questions about one member, which stand side by side among the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberIndex {
    member: MemberId,
    first: usize,
    /// Every value that a question names, sorted.
    known: Vec<Value>,
    /// For a scalar the answers at each place: below the first known value, at it, between it and the next, and so on. For a
    /// list the answers to each known value as an element.
    rows: Vec<Vec<u8>>,
    /// For each place (for a list: for none of the known values) the cards that may still apply; empty where all may.
    cards: Vec<Vec<u64>>,
}

/// Reorders the steps so that the questions about one member stand side by side, and indexes them.
pub(super) fn index(plan: &mut PointPlan) -> Vec<MemberIndex> {
    let key = |step: &Step| match step {
        Step::Atom(atom) => atom.plain_member().unwrap_or(MEMBERS.len()),
        _ => MEMBERS.len(),
    };
    let mut order: Vec<u32> = (0..plan.steps.len() as u32).collect();
    order.sort_by_key(|at| key(&plan.steps[*at as usize]));
    let mut place = vec![0_u32; order.len()];
    for (to, from) in order.iter().enumerate() {
        place[*from as usize] = to as u32;
    }
    plan.steps = order.iter().map(|from| plan.steps[*from as usize].clone()).collect();
    for step in &mut plan.steps {
        if let Step::Not(inner) = step {
            *inner = place[*inner as usize];
        }
    }
    plan.edges
        .iter_mut()
        .chain(plan.owed.iter_mut().map(|owed| &mut owed.condition))
        .for_each(|at| *at = place[*at as usize]);
    plan.cards.iter_mut().for_each(|card| card.applies = place[card.applies as usize]);

    let mut indexes = Vec::new();
    for member in 0..MEMBERS.len() {
        let Some(first) = plan.steps.iter().position(|step| key(step) == member) else { continue };
        let atoms = plan.steps[first..].iter().take_while(|step| key(step) == member).filter_map(|step| match step {
            Step::Atom(atom) => Some(atom),
            _ => None,
        });
        indexes.push(member_index(plan, member, first, &atoms.collect::<Vec<_>>()));
    }
    indexes
}

fn member_index(plan: &PointPlan, member: MemberId, first: usize, atoms: &[&Atom]) -> MemberIndex {
    let mut known: Vec<Value> = atoms.iter().flat_map(|atom| atom.named()).collect();
    known.sort_by(|a, b| order_of(Operand::of(a), Operand::of(b)).unwrap_or(Ordering::Equal));
    known.dedup();
    let is_list = matches!(MEMBERS[member].kind, Type::List(_));
    let rows: Vec<Vec<u8>> = if is_list {
        let has = |atom: &Atom, value: &Value| answer_of(atom.named().contains(value).into());
        known.iter().map(|value| atoms.iter().map(|&atom| has(atom, value)).collect()).collect()
    } else {
        (0..=2 * known.len())
            .map(|at| atoms.iter().map(|atom| answer_of(answer_at(atom, &known, at))).collect())
            .collect()
    };
    let none = vec![answer_of(Truth::False); atoms.len()];
    let tried: &[Vec<u8>] = if is_list { std::slice::from_ref(&none) } else { &rows };
    let cards = if reads(plan, first, atoms.len()).is_empty() {
        Vec::new()
    } else {
        tried.iter().map(|row| possible(plan, first, row)).collect()
    };
    MemberIndex { member, first, known, rows, cards }
}

/// The answer to a question about a scalar that stands at a place among the known values.
fn answer_at(atom: &Atom, known: &[Value], at: usize) -> Truth {
    let beside =
        |value: &Value| known.iter().position(|other| other == value).map(|position| at.cmp(&(2 * position + 1)));
    match atom {
        Atom::Flag(_) => (beside(&Value::Bool(true)) == Some(Ordering::Equal)).into(),
        Atom::Compare(_, comparison, value) => beside(value).map_or(Truth::Error, |order| {
            let holds = match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            };
            holds.into()
        }),
        other => other.named().iter().any(|value| beside(value) == Some(Ordering::Equal)).into(),
    }
}

/// The cards whose applicability asks one of these questions.
fn reads(plan: &PointPlan, first: usize, n: usize) -> Vec<usize> {
    let asks = |card: &super::PlanCard| {
        let mut open = vec![card.applies];
        while let Some(at) = open.pop() {
            match &plan.steps[at as usize] {
                Step::Atom(_) if (first..first + n).contains(&(at as usize)) => return true,
                Step::Atom(_) | Step::Constant(_) => {}
                Step::Not(inner) => open.push(*inner),
                Step::And(parts) | Step::Or(parts) => {
                    open.extend(&plan.edges[parts.start as usize..parts.end as usize]);
                }
            }
        }
        false
    };
    plan.cards.iter().enumerate().filter(|(_, card)| asks(card)).map(|(at, _)| at).collect()
}

/// The cards that answers to these questions do not rule out, whatever else is known: with everything else missing, a card
/// that does not apply will not apply.
fn possible(plan: &PointPlan, first: usize, row: &[u8]) -> Vec<u64> {
    let mut cards = vec![!0_u64; plan.cards.len().div_ceil(64)];
    let atom = |step: &Step| if matches!(step, Step::Atom(_)) { answer_of(Truth::Missing) } else { 0 };
    let mut answers: Vec<u8> = plan.steps.iter().map(atom).collect();
    answers[first..first + row.len()].copy_from_slice(row);
    for at in reads(plan, first, row.len()) {
        if probe(plan, plan.cards[at].applies, &mut answers) == Truth::False {
            cards[at / 64] &= !(1 << (at % 64));
        }
    }
    cards
}

fn probe(plan: &PointPlan, at: u32, answers: &mut [u8]) -> Truth {
    if let Some(known) = truth_of(answers[at as usize]) {
        return known;
    }
    let truth = match &plan.steps[at as usize] {
        Step::Constant(truth) => *truth,
        Step::Atom(_) => Truth::Missing,
        Step::Not(inner) => !probe(plan, *inner, answers),
        Step::And(parts) => {
            let parts = &plan.edges[parts.start as usize..parts.end as usize];
            parts.iter().fold(Truth::True, |all, part| all.and(probe(plan, *part, answers)))
        }
        Step::Or(parts) => {
            let parts = &plan.edges[parts.start as usize..parts.end as usize];
            parts.iter().fold(Truth::False, |all, part| all.or(probe(plan, *part, answers)))
        }
    };
    answers[at as usize] = answer_of(truth);
    truth
}

impl MemberIndex {
    /// Answers the questions about the member, and takes away the cards that it rules out.
    pub(super) fn answer(&self, request: &Request, answers: &mut [u8], cards: &mut [u64; CARD_WORDS]) {
        let n = self.rows.first().map_or(0, Vec::len);
        let answers = &mut answers[self.first..self.first + n];
        let place = match request.slot(self.member) {
            Slot::Missing => return answers.fill(answer_of(Truth::Missing)),
            Slot::Failed => return answers.fill(answer_of(Truth::Error)),
            Slot::There(value) => match Operand::of(value) {
                Operand::List(items) => {
                    answers.fill(answer_of(Truth::False));
                    let mut is_none = true;
                    for row in items.iter().filter_map(|item| self.find(item).ok()).map(|at| &self.rows[at]) {
                        is_none = false;
                        // A question that one element answers with true is true.
                        answers.iter_mut().zip(row).for_each(|(answer, other)| *answer = (*answer).min(*other));
                    }
                    if is_none { 0 } else { return }
                }
                Operand::Error(_) => return answers.fill(answer_of(Truth::Error)),
                _ => {
                    let place = self.find(value).map_or_else(|next| 2 * next, |at| 2 * at + 1);
                    answers.copy_from_slice(&self.rows[place]);
                    place
                }
            },
        };
        if let Some(possible) = self.cards.get(place) {
            cards.iter_mut().zip(possible).for_each(|(cards, possible)| *cards &= possible);
        }
    }

    fn find(&self, value: &Value) -> Result<usize, usize> {
        let value = Operand::of(value);
        self.known.binary_search_by(|known| order_of(Operand::of(known), value).unwrap_or(Ordering::Less))
    }
}
