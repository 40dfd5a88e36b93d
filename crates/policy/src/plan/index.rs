//! One look at each member of a request says what the member says of every condition: a row of bits, one a condition.
//!
//! A condition is read as a conjunction of parts; `!(a || b)` is one as well. Where each part asks plain questions about one
//! member and nothing else, the condition is plain, and the rows say it exactly: it is false if one of its members has made a
//! part false, else an error if one of them failed, else missing if one is missing, else true, which is the order of `&&`. Of
//! any other condition a row says only that it is false, whatever else is known; what is left of those has to be asked.

use super::atom::Atom;
use super::lookup::{Lookup, answer_at};
use super::{PointPlan, Step, answer_of, bits, truth_of};
use crate::expr::{Operand, Truth, Type, Value};
use crate::request::{MEMBERS, MemberId, Request, Slot};
use std::collections::BTreeSet;

/// What is known of the conditions of a point while a request is decided, one bit each.
pub(super) struct Found<const N: usize> {
    /// Not false.
    pub(super) possible: [u64; N],
    pub(super) missing: [u64; N],
    pub(super) failed: [u64; N],
    /// The rows do not settle it.
    pub(super) asked: [u64; N],
}

/// What one member says of the conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberIndex {
    member: MemberId,
    lookup: Lookup,
    /// The conditions that the member does not make false: a row of words for each place of the lookup.
    rows: Vec<u64>,
    /// The conditions that ask about the member.
    readers: Vec<u64>,
    /// For a list the conditions that are true as soon as one element makes them true.
    by_any: Vec<u64>,
    /// For a list the conditions that have to be asked where several known elements meet.
    mixed: Vec<u64>,
}

/// A condition as a conjunction.
struct Root {
    step: u32,
    /// Each with whether it stands negated and the members that it asks; `None` among them is whatever no row can say.
    parts: Vec<(u32, bool, BTreeSet<Option<MemberId>>)>,
}

impl Root {
    fn of(plan: &PointPlan, step: u32) -> Self {
        let mut parts = Vec::new();
        let mut open = vec![(step, false)];
        while let Some((at, is_negated)) = open.pop() {
            match &plan.steps[at as usize] {
                Step::Constant(Truth::True) if !is_negated => {}
                Step::Not(inner) => open.push((*inner, !is_negated)),
                Step::And(range) if !is_negated => open.extend(plan.edges_of(range).iter().map(|part| (*part, false))),
                Step::Or(range) if is_negated => open.extend(plan.edges_of(range).iter().map(|part| (*part, true))),
                _ => parts.push((at, is_negated, members(plan, at))),
            }
        }
        Self { step, parts }
    }

    fn is_plain(&self) -> bool {
        self.parts.iter().all(|(_, _, members)| members.len() == 1 && !members.contains(&None))
    }

    fn reads(&self, member: MemberId) -> bool {
        self.parts.iter().any(|(_, _, members)| members.contains(&Some(member)))
    }

    /// How the answers for single elements of a list give the answer for all of them: true if any is true (`Some(true)`), true
    /// if all are (`Some(false)`), or neither.
    fn joined(&self, plan: &PointPlan, list: MemberId) -> Option<bool> {
        let mine: Vec<_> = self.parts.iter().filter(|(_, _, members)| members.contains(&Some(list))).collect();
        let is_settled = |(at, _, members): &&(u32, bool, BTreeSet<_>)| members.len() == 1 && is_any_of(plan, *at);
        if !mine.iter().all(is_settled) {
            return None;
        }
        match mine[..] {
            [(_, false, _)] => Some(true),
            _ => mine.iter().all(|(_, is_negated, _)| *is_negated).then_some(false),
        }
    }
}

/// The members that a step asks plain questions about; `None` among them where it asks anything else.
fn members(plan: &PointPlan, step: u32) -> BTreeSet<Option<MemberId>> {
    match &plan.steps[step as usize] {
        Step::Constant(_) => BTreeSet::from([None]),
        Step::Atom(atom) => BTreeSet::from([atom.plain_member()]),
        Step::Not(inner) => members(plan, *inner),
        Step::And(range) | Step::Or(range) => {
            plan.edges_of(range).iter().flat_map(|part| members(plan, *part)).collect()
        }
    }
}

/// A question, or questions of which one is enough.
fn is_any_of(plan: &PointPlan, step: u32) -> bool {
    match &plan.steps[step as usize] {
        Step::Atom(_) => true,
        Step::Or(range) => plan.edges_of(range).iter().all(|part| is_any_of(plan, *part)),
        _ => false,
    }
}

/// The indexes of the members that the roots of a plan ask about, and the roots that have to be asked in any case.
pub(super) fn index(plan: &PointPlan) -> (Vec<MemberIndex>, Vec<u64>) {
    let roots: Vec<(usize, Root)> = bits(&plan.whole).map(|at| (at, Root::of(plan, plan.roots[at]))).collect();
    let mut others = vec![0; plan.whole.len()];
    roots.iter().filter(|(_, root)| !root.is_plain()).for_each(|(at, _)| set(&mut others, *at));
    let mut indexes = Vec::new();
    for member in 0..MEMBERS.len() {
        let readers: Vec<&(usize, Root)> = roots.iter().filter(|(_, root)| root.reads(member)).collect();
        if !readers.is_empty() {
            indexes.push(member_index(plan, member, &readers, &mut others));
        }
    }
    (indexes, others)
}

fn member_index(plan: &PointPlan, member: MemberId, readers: &[&(usize, Root)], others: &mut [u64]) -> MemberIndex {
    let questions: Vec<(usize, &Atom)> = plan
        .steps
        .iter()
        .enumerate()
        .filter_map(|(at, step)| match step {
            Step::Atom(atom) if atom.plain_member() == Some(member) => Some((at, atom)),
            _ => None,
        })
        .collect();
    let atoms: Vec<&Atom> = questions.iter().map(|(_, atom)| *atom).collect();
    let (lookup, places) = Lookup::of(&atoms);
    let none = vec![0; plan.whole.len()];
    let mut index =
        MemberIndex { member, lookup, rows: Vec::new(), readers: none.clone(), by_any: none.clone(), mixed: none };
    let unknown = |step: &Step| if matches!(step, Step::Atom(_)) { answer_of(Truth::Missing) } else { 0 };
    for place in places {
        let mut answers: Vec<u8> = plan.steps.iter().map(unknown).collect();
        questions.iter().for_each(|(at, atom)| answers[*at] = answer_of(answer_at(atom, &place)));
        let mut row = plan.whole.clone();
        for (at, root) in readers {
            // With everything else missing, a condition that is false stays false.
            if probe(plan, root.step, &mut answers) == Truth::False {
                row[at / 64] &= !(1 << (at % 64));
            }
            let mut mine = root.parts.iter().filter(|(_, _, members)| members.contains(&Some(member)));
            if !mine.all(|(step, _, _)| matches!(probe(plan, *step, &mut answers), Truth::True | Truth::False)) {
                set(others, *at);
            }
        }
        index.rows.extend(row);
    }
    let is_list = matches!(MEMBERS[member].kind, Type::List(_));
    for (at, root) in readers {
        set(&mut index.readers, *at);
        match root.joined(plan, member) {
            _ if !is_list => {}
            Some(true) => set(&mut index.by_any, *at),
            Some(false) => {}
            None => set(&mut index.mixed, *at),
        }
    }
    index
}

fn set(words: &mut [u64], at: usize) {
    words[at / 64] |= 1 << (at % 64);
}

fn probe(plan: &PointPlan, at: u32, answers: &mut [u8]) -> Truth {
    if let Some(known) = truth_of(answers[at as usize]) {
        return known;
    }
    let truth = match &plan.steps[at as usize] {
        Step::Constant(truth) => *truth,
        Step::Atom(_) => Truth::Missing,
        Step::Not(inner) => !probe(plan, *inner, answers),
        Step::And(range) => {
            plan.edges_of(range).iter().fold(Truth::True, |all, part| all.and(probe(plan, *part, answers)))
        }
        Step::Or(range) => {
            plan.edges_of(range).iter().fold(Truth::False, |all, part| all.or(probe(plan, *part, answers)))
        }
    };
    answers[at as usize] = answer_of(truth);
    truth
}

impl MemberIndex {
    /// Takes what the member says into what is found.
    pub(super) fn look<const N: usize>(&self, request: &Request, found: &mut Found<N>) {
        match request.slot(self.member) {
            Slot::Missing => join(&mut found.missing, &self.readers),
            Slot::Failed => join(&mut found.failed, &self.readers),
            Slot::There(value @ Value::List(_)) => match Operand::of(value) {
                Operand::List(items) => self.look_at_all(items, found),
                _ => join(&mut found.failed, &self.readers),
            },
            Slot::There(value) => meet(&mut found.possible, self.row(self.lookup.place(value))),
        }
    }

    /// A list is as its known elements; the others answer no question with true.
    fn look_at_all<const N: usize>(&self, items: &[Value], found: &mut Found<N>) {
        let mut places = items.iter().map(|item| self.lookup.place(item)).filter(|place| *place != 0);
        let first = places.next().unwrap_or(0);
        let Some(second) = places.find(|place| *place != first) else {
            return meet(&mut found.possible, self.row(first));
        };
        let (mut any, mut all) = ([0; N], [!0; N]);
        for place in [first, second].into_iter().chain(places) {
            join(&mut any, self.row(place));
            meet(&mut all, self.row(place));
        }
        let how = self.by_any.iter().zip(&self.mixed);
        for (((possible, any), all), (by_any, mixed)) in found.possible.iter_mut().zip(any).zip(all).zip(how) {
            *possible &= any & by_any | all & !by_any | mixed;
        }
        join(&mut found.asked, &self.mixed);
    }

    fn row(&self, place: usize) -> &[u64] {
        let n = self.readers.len();
        &self.rows[place * n..][..n]
    }
}

fn meet(words: &mut [u64], others: &[u64]) {
    words.iter_mut().zip(others).for_each(|(word, other)| *word &= other);
}

pub(super) fn join(words: &mut [u64], others: &[u64]) {
    words.iter_mut().zip(others).for_each(|(word, other)| *word |= other);
}
