//! Cards that are decided per request, compiled: everything known before the request is settled, what is left is shared.
//!
//! A member of the request is looked at once: its value answers every plain question about it and rules out the cards that
//! cannot apply. What is left of the conditions is asked of the remaining cards alone.
//!
//! A node that several cards ask stands once and is answered once a request. Nothing is rewritten beyond what holds for four
//! values: constants are folded, operands of `&&` and `||` are put in order and named once, and a `false` under `&&` or a
//! `true` under `||` ends the search.

mod atom;
mod build;
mod index;

use crate::card::Version;
use crate::decide::{Rules, in_force};
use crate::enforce::{Acted, CardState, EnforceCard, RequestDecision, Streaming, mode_of};
use crate::expr::{Leaf, Operand, Source, Truth};
use crate::facts::System;
use crate::obligation::{Obligation, RequestEffect};
use crate::request::{Point, Request};
use crate::verdict::Mode;
use atom::Atom;
use build::Builder;
use evidence::{Digest, Json};
use index::{CARD_WORDS, CARDS_MAX, MemberIndex};
use jiff::civil::Date;
use std::collections::BTreeSet;
use std::ops::Range;

/// Nodes at one point, at most.
const NODES_MAX: usize = 8192;
/// Nodes of the plans whose answers fit a smaller table, which costs less to clear.
const NODES_FEW: usize = 1024;
/// Words of 64 bits that hold the obligations of a decision.
const WORDS: usize = 8;
/// Different obligations, at most.
const OBLIGATIONS_MAX: usize = WORDS * 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("expected at most {NODES_MAX} different conditions at the point {point}, found more")]
    Nodes { point: &'static str },
    #[error("expected at most {CARDS_MAX} cards in force at the point {point}, found {found}")]
    Cards { point: &'static str, found: usize },
    #[error("expected at most {OBLIGATIONS_MAX} different obligations, found {0}")]
    Obligations(usize),
}

/// One step of a condition; parts stand before what they are part of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Constant(Truth),
    Atom(Atom),
    Not(u32),
    /// A range of `edges`.
    And(Range<u32>),
    Or(Range<u32>),
}

/// What is to be done when its condition is not false.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owed {
    condition: u32,
    /// A range of `does`.
    does: Range<u32>,
    effect: RequestEffect,
}

/// A card that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PlanCard {
    applies: u32,
    /// A range of `owed`.
    owed: Range<u32>,
    mode: Mode,
    on_error: RequestEffect,
    streaming: Streaming,
    version: Version,
    pack: String,
    rule: String,
}

/// The cards of one point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PointPlan {
    steps: Vec<Step>,
    edges: Vec<u32>,
    owed: Vec<Owed>,
    /// Positions in the plan's obligations.
    does: Vec<u16>,
    /// Sorted by rule and pack.
    cards: Vec<PlanCard>,
    indexes: Vec<MemberIndex>,
}

/// The rules of one system as of a day, ready to be asked. Immutable; swapped as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    as_of: Date,
    digest: Digest,
    obligations: Vec<Obligation>,
    points: [PointPlan; 3],
}

impl Plan {
    /// Settles everything that is known before a request is there.
    ///
    /// # Errors
    /// `PlanError` for rules beyond the limits of a plan.
    pub fn compile(rules: &Rules, system: &System, as_of: Date) -> Result<Self, PlanError> {
        let all = |card: &EnforceCard| card.obliges.iter().flat_map(|oblige| oblige.does.clone()).collect::<Vec<_>>();
        let obligations: BTreeSet<Obligation> = rules.enforce_cards().flat_map(|(_, _, card)| all(card)).collect();
        if obligations.len() > OBLIGATIONS_MAX {
            return Err(PlanError::Obligations(obligations.len()));
        }
        let obligations: Vec<Obligation> = obligations.into_iter().collect();
        let mut points = Point::ALL.map(|_| PointPlan::default());
        for point in Point::ALL {
            points[point as usize] = point_plan(rules, point, system, as_of, &obligations)?;
        }
        Ok(Self { as_of, digest: digest(rules, system, as_of), obligations, points })
    }

    #[must_use]
    pub const fn as_of(&self) -> Date {
        self.as_of
    }

    /// SHA-256 of what the plan was made of: packs with their modes, system and day.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Cards that may act at a point.
    #[must_use]
    pub fn n_cards(&self, point: Point) -> usize {
        self.points[point as usize].cards.len()
    }

    /// Different conditions asked at a point.
    #[must_use]
    pub fn n_conditions(&self, point: Point) -> usize {
        self.points[point as usize].steps.len()
    }

    /// Decides one request. Allocates the lists of its result and nothing else.
    #[must_use]
    pub fn decide(&self, request: &Request) -> RequestDecision<'_> {
        let point = &self.points[request.point() as usize];
        if point.steps.len() <= NODES_FEW {
            self.decide_in(&mut Run { point, request, answers: [0; NODES_FEW] })
        } else {
            self.decide_in(&mut Run { point, request, answers: [0; NODES_MAX] })
        }
    }

    fn decide_in<'a, const N: usize>(&'a self, run: &mut Run<'a, '_, N>) -> RequestDecision<'a> {
        let mut decision = RequestDecision::open(run.request.point());
        let mut done = [Bits::default(), Bits::default()];
        let mut possible = [!0; CARD_WORDS];
        for index in &run.point.indexes {
            index.answer(run.request, &mut run.answers, &mut possible);
        }
        let n: u32 = run.point.words(&possible).iter().map(|word| word.count_ones()).sum();
        let mut acted = Vec::new();
        for card in run.point.possible(&possible) {
            let applies = run.truth(card.applies);
            if applies == Truth::False {
                continue;
            }
            let (state, owed) = run.card(card, applies, &mut done[card.mode as usize]);
            let Some(owed) = owed.or(state.is_open().then_some(RequestEffect::Allow)) else { continue };
            let effect = if state.is_open() { owed.max(card.on_error) } else { owed };
            match card.mode {
                Mode::Enforce => {
                    decision.effect = decision.effect.max(effect);
                    decision.streaming = decision.streaming.max(card.streaming);
                }
                Mode::Report => decision.reported_effect = decision.reported_effect.max(effect),
            }
            let (pack, rule, version, mode) = (card.pack.as_str(), card.rule.as_str(), card.version, card.mode);
            if acted.is_empty() {
                // No more can act than are left: one block is enough.
                acted.reserve_exact(n as usize);
            }
            acted.push(Acted { pack, rule, version, mode, state, effect });
        }
        decision.acted = acted;
        decision.obligations = done[Mode::Enforce as usize].of(&self.obligations);
        decision.reported = done[Mode::Report as usize].of(&self.obligations);
        decision
    }
}

impl PointPlan {
    /// The words that hold cards.
    fn words<'a>(&self, words: &'a [u64; CARD_WORDS]) -> &'a [u64] {
        &words[..self.cards.len().div_ceil(64)]
    }

    /// The cards whose bits are set, in order.
    fn possible<'p>(&'p self, words: &[u64; CARD_WORDS]) -> impl Iterator<Item = &'p PlanCard> {
        self.cards.chunks(64).zip(words).flat_map(|(cards, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let at = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                cards.get(at)
            })
        })
    }
}

/// Which obligations are owed.
#[derive(Default)]
struct Bits([u64; WORDS]);

impl Bits {
    fn set(&mut self, at: u16) {
        self.0[usize::from(at) / 64] |= 1 << (at % 64);
    }

    fn of<'a>(&self, obligations: &'a [Obligation]) -> Vec<&'a Obligation> {
        let n: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        let mut all = Vec::with_capacity(n as usize);
        for (at, word) in self.0.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                all.extend(obligations.get(at * 64 + left.trailing_zeros() as usize));
                left &= left - 1;
            }
        }
        all
    }
}

/// One request being decided. An answer is 0 until it is known.
struct Run<'p, 'r, const N: usize> {
    point: &'p PointPlan,
    request: &'r Request,
    answers: [u8; N],
}

impl<'p, const N: usize> Run<'p, '_, N> {
    /// The state of a card that is in force and may apply, and the effect of what is owed, if anything is.
    fn card(&mut self, card: &PlanCard, applies: Truth, done: &mut Bits) -> (CardState, Option<RequestEffect>) {
        let mut state = match applies {
            Truth::Missing => CardState::InsufficientEvidence,
            Truth::Error => CardState::Error,
            Truth::True | Truth::False => CardState::InForce,
        };
        let mut effect = None;
        let point: &'p PointPlan = self.point;
        for owed in &point.owed[card.owed.start as usize..card.owed.end as usize] {
            match self.truth(owed.condition) {
                Truth::False => continue,
                Truth::Error if !state.is_open() => state = CardState::Error,
                _ => {}
            }
            effect = effect.max(Some(owed.effect));
            point.does[owed.does.start as usize..owed.does.end as usize].iter().for_each(|at| done.set(*at));
        }
        (state, effect)
    }

    fn truth(&mut self, id: u32) -> Truth {
        if let Some(known) = truth_of(self.answers[id as usize]) {
            return known;
        }
        let point: &'p PointPlan = self.point;
        let truth = match &point.steps[id as usize] {
            Step::Constant(truth) => *truth,
            Step::Atom(atom) => atom.truth(self.request),
            Step::Not(inner) => !self.truth(*inner),
            Step::And(parts) => {
                self.fold(&point.edges[parts.start as usize..parts.end as usize], Truth::True, Truth::and)
            }
            Step::Or(parts) => {
                self.fold(&point.edges[parts.start as usize..parts.end as usize], Truth::False, Truth::or)
            }
        };
        self.answers[id as usize] = answer_of(truth);
        truth
    }

    /// Ends at the first part that settles the whole: what no other part can change.
    fn fold(&mut self, parts: &[u32], neutral: Truth, join: fn(Truth, Truth) -> Truth) -> Truth {
        let mut all = neutral;
        for part in parts {
            all = join(all, self.truth(*part));
            if all == !neutral {
                break;
            }
        }
        all
    }
}

const fn answer_of(truth: Truth) -> u8 {
    truth as u8 + 1
}

const fn truth_of(answer: u8) -> Option<Truth> {
    match answer {
        0 => None,
        1 => Some(Truth::True),
        2 => Some(Truth::False),
        3 => Some(Truth::Missing),
        _ => Some(Truth::Error),
    }
}

fn point_plan(
    rules: &Rules,
    point: Point,
    system: &System,
    as_of: Date,
    obligations: &[Obligation],
) -> Result<PointPlan, PlanError> {
    let of_system = |leaf: &Leaf| match leaf.source {
        Source::System(name) => system.operand(name),
        _ => Operand::Missing,
    };
    let mut cards: Vec<(&str, Mode, &EnforceCard)> = rules
        .enforce_cards()
        .filter(|(_, _, card)| card.on == point && in_force(&card.windows, as_of, &of_system).is_ok())
        .map(|(pack, mode, card)| (pack.name(), mode_of(mode, card), card))
        .collect();
    cards.sort_by_key(|(pack, _, card)| (card.id.as_str(), *pack));
    let (mut plan, mut builder) = (PointPlan::default(), Builder::new(system));
    for (pack, mode, card) in cards {
        let applies = builder.condition(&card.applies);
        if applies == build::Built::Constant(Truth::False) {
            continue;
        }
        let first = plan.owed.len() as u32;
        for oblige in &card.obliges {
            let condition = builder.owed(oblige.when.as_ref(), oblige.unless.as_ref());
            if condition == build::Built::Constant(Truth::False) {
                continue;
            }
            let start = plan.does.len() as u32;
            let position = |obligation: &Obligation| obligations.binary_search(obligation).ok().map(|at| at as u16);
            plan.does.extend(oblige.does.iter().filter_map(position));
            let effect = oblige.does.iter().map(Obligation::effect).max().unwrap_or(RequestEffect::Allow);
            plan.owed.push(Owed { condition: builder.step_of(condition), does: start..plan.does.len() as u32, effect });
        }
        plan.cards.push(PlanCard {
            applies: builder.step_of(applies),
            owed: first..plan.owed.len() as u32,
            mode,
            on_error: card.on_error,
            streaming: card.streaming,
            version: card.version,
            pack: pack.to_owned(),
            rule: card.id.clone(),
        });
    }
    (plan.steps, plan.edges) = builder.finish();
    if plan.steps.len() > NODES_MAX {
        return Err(PlanError::Nodes { point: point.name() });
    }
    if plan.cards.len() > CARDS_MAX {
        return Err(PlanError::Cards { point: point.name(), found: plan.cards.len() });
    }
    plan.indexes = index::index(&mut plan);
    Ok(plan)
}

fn digest(rules: &Rules, system: &System, as_of: Date) -> Digest {
    let packs = rules.packs.iter().map(|(pack, mode)| {
        Json::map([
            ("name", Some(pack.name().into())),
            ("digest", Some(pack.digest().into())),
            ("mode", Some(mode.name().into())),
        ])
    });
    let whole = Json::map([
        ("packs", Some(Json::List(packs.collect()))),
        ("system", Some(system.to_json())),
        ("as_of", Some(as_of.into())),
    ]);
    Digest::of(whole.canonical().as_bytes())
}
