//! Cards that are decided per request, compiled: everything known before the request is settled, what is left is shared.
//!
//! Conditions are bits. Each member of the request is looked at once, and its value says of every condition that asks plain
//! questions about it whether they leave it possible; what cannot be said so is asked of the conditions that are still possible.
//! What is owed is then taken condition by condition, for all cards that owe it at once.
//!
//! A node that several cards ask stands once and is answered once a request. Nothing is rewritten beyond what holds for four
//! values: constants are folded, operands of `&&` and `||` are put in order and named once, and a `false` under `&&` or a
//! `true` under `||` ends the search.

mod atom;
mod build;
mod index;
mod lookup;

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
use index::{Found, MemberIndex, join};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Nodes at one point, at most.
const NODES_MAX: usize = 8192;
/// Nodes of the plans whose answers fit a smaller table, which costs less to clear.
const NODES_FEW: usize = 1024;
/// Cards at one point, at most.
const CARDS_MAX: usize = 4096;
/// Words of 64 bits that hold the conditions of any plan, and of one whose tables are smaller and cost less to clear.
const ROOT_WORDS: usize = (CARDS_MAX + NODES_MAX) / 64;
const ROOT_WORDS_FEW: usize = 16;
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

/// What cards owe when a condition is not false.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Duty {
    mode: Mode,
    effect: RequestEffect,
    /// A range of `does`.
    does: Range<u32>,
    /// A range of `owners`.
    owners: Range<u32>,
}

/// A card that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PlanCard {
    pack: String,
    rule: String,
    version: Version,
    mode: Mode,
    on_error: RequestEffect,
    streaming: Streaming,
}

/// The cards of one point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PointPlan {
    steps: Vec<Step>,
    edges: Vec<u32>,
    /// Sorted by rule and pack.
    cards: Vec<PlanCard>,
    /// The steps whose answers decide: for each card whether it applies, and from the next whole word on the conditions under
    /// which something is owed.
    roots: Vec<u32>,
    /// The bits of the roots; those between the two parts are off.
    whole: Vec<u64>,
    /// For each condition under which something is owed the range of its `duties`.
    owed: Vec<Range<u32>>,
    duties: Vec<Duty>,
    /// Positions in the plan's obligations.
    does: Vec<u16>,
    /// Words of cards with their places; none without a card.
    owners: Vec<(u32, u64)>,
    indexes: Vec<MemberIndex>,
    /// The roots that the indexes do not settle.
    others: Vec<u64>,
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
        if point.whole.len() <= ROOT_WORDS_FEW {
            self.decide_in::<ROOT_WORDS_FEW>(point, request)
        } else {
            self.decide_in::<ROOT_WORDS>(point, request)
        }
    }

    fn decide_in<'a, const N: usize>(&'a self, point: &'a PointPlan, request: &Request) -> RequestDecision<'a> {
        let mut found = point.found::<N>(request);
        let mut done = [Bits::default(), Bits::default()];
        let owed = point.owed(&mut found, &mut done);
        let mut decision = RequestDecision::open(request.point());
        point.act(&found, &owed, &mut decision);
        decision.obligations = done[Mode::Enforce as usize].of(&self.obligations);
        decision.reported = done[Mode::Report as usize].of(&self.obligations);
        decision
    }
}

impl PointPlan {
    fn edges_of(&self, range: &Range<u32>) -> &[u32] {
        &self.edges[range.start as usize..range.end as usize]
    }

    /// Words that hold the cards.
    const fn card_words(&self) -> usize {
        self.cards.len().div_ceil(64)
    }

    /// What every root says of the request.
    fn found<const N: usize>(&self, request: &Request) -> Found<N> {
        let mut found = Found { possible: [0; N], missing: [0; N], failed: [0; N], asked: [0; N] };
        found.possible[..self.whole.len()].copy_from_slice(&self.whole);
        found.asked[..self.others.len()].copy_from_slice(&self.others);
        for index in &self.indexes {
            index.look(request, &mut found);
        }
        let Found { possible, asked, .. } = &found;
        if possible.iter().zip(asked).any(|(possible, asked)| possible & asked != 0) {
            if self.steps.len() <= NODES_FEW {
                Run { point: self, request, answers: [0; NODES_FEW] }.ask(&mut found);
            } else {
                Run { point: self, request, answers: [0; NODES_MAX] }.ask(&mut found);
            }
        }
        for at in 0..N {
            found.failed[at] &= found.possible[at];
            found.missing[at] &= found.possible[at] & !found.failed[at];
        }
        found
    }

    /// Whether any of these cards owes something under a condition.
    fn is_owed(&self, condition: usize, cards: &[u64]) -> bool {
        let mut duties = self.duties_of(condition).iter();
        duties.any(|duty| self.owners_of(duty).iter().any(|(word, owners)| cards[*word as usize] & owners != 0))
    }

    fn duties_of(&self, condition: usize) -> &[Duty] {
        let range = &self.owed[condition];
        &self.duties[range.start as usize..range.end as usize]
    }

    fn owners_of(&self, duty: &Duty) -> &[(u32, u64)] {
        &self.owners[duty.owners.start as usize..duty.owners.end as usize]
    }

    /// The cards that owe something, by its effect. A card that applies for certain fails where a condition of it does.
    fn owed<const N: usize>(&self, found: &mut Found<N>, done: &mut [Bits; 2]) -> [[u64; N]; 4] {
        let Found { possible, missing, failed, .. } = found;
        let (mut owed, first) = ([[0; N]; 4], self.card_words());
        for at in bits(&possible[first..self.whole.len()]) {
            let has_failed = failed[first + at / 64] >> (at % 64) & 1 == 1;
            for duty in self.duties_of(at) {
                let (level, mut any) = (&mut owed[duty.effect as usize], 0);
                for (word, owners) in self.owners_of(duty) {
                    let word = *word as usize;
                    let hit = possible[word] & owners;
                    any |= hit;
                    level[word] |= hit;
                    if has_failed {
                        failed[word] |= hit & !missing[word];
                    }
                }
                if any != 0 {
                    let does = &self.does[duty.does.start as usize..duty.does.end as usize];
                    does.iter().for_each(|does| done[duty.mode as usize].set(*does));
                }
            }
        }
        owed
    }

    /// Takes in the cards that owe something or could not be decided.
    fn act<'a, const N: usize>(&'a self, found: &Found<N>, owed: &[[u64; N]; 4], decision: &mut RequestDecision<'a>) {
        let words = self.card_words();
        let mut acting = [0; N];
        for level in owed.iter().chain([&found.missing, &found.failed]) {
            join(&mut acting[..words], level);
        }
        let n: u32 = acting.iter().map(|word| word.count_ones()).sum();
        decision.acted.reserve_exact(n as usize);
        for at in bits(&acting[..words]) {
            let has = |words: &[u64; N]| words[at / 64] >> (at % 64) & 1 == 1;
            let card = &self.cards[at];
            let state = match (has(&found.missing), has(&found.failed)) {
                (true, _) => CardState::InsufficientEvidence,
                (_, true) => CardState::Error,
                _ => CardState::InForce,
            };
            let level = [RequestEffect::Block, RequestEffect::Hold, RequestEffect::Redact];
            let level = level.into_iter().find(|level| has(&owed[*level as usize])).unwrap_or(RequestEffect::Allow);
            let effect = if state.is_open() { level.max(card.on_error) } else { level };
            match card.mode {
                Mode::Enforce => {
                    decision.effect = decision.effect.max(effect);
                    decision.streaming = decision.streaming.max(card.streaming);
                }
                Mode::Report => decision.reported_effect = decision.reported_effect.max(effect),
            }
            let (pack, rule, version, mode) = (card.pack.as_str(), card.rule.as_str(), card.version, card.mode);
            decision.acted.push(Acted { pack, rule, version, mode, state, effect });
        }
    }
}

/// The bits that are set, in order.
fn bits(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(at, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(at * 64 + bit)
        })
    })
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
        all.extend(bits(&self.0).filter_map(|at| obligations.get(at)));
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
    /// Answers what the rows do not settle: of the cards first, then of what a card that may apply would owe.
    fn ask<const W: usize>(&mut self, found: &mut Found<W>) {
        let point: &'p PointPlan = self.point;
        let first = point.card_words();
        for word in 0..point.whole.len() {
            let asked = [found.possible[word] & found.asked[word]];
            for at in bits(&asked) {
                let root = word * 64 + at;
                let is_owed = word < first || point.is_owed(root - first * 64, &found.possible);
                let truth = if is_owed { self.truth(point.roots[root]) } else { Truth::False };
                let put = |word: &mut u64, is: bool| *word = *word & !(1 << at) | u64::from(is) << at;
                put(&mut found.possible[word], truth != Truth::False);
                put(&mut found.missing[word], truth == Truth::Missing);
                put(&mut found.failed[word], truth == Truth::Error);
            }
        }
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
            Step::And(parts) => self.fold(point.edges_of(parts), Truth::True, Truth::and),
            Step::Or(parts) => self.fold(point.edges_of(parts), Truth::False, Truth::or),
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
    let (mut applies, mut owed) = (Vec::new(), Owed::new());
    for (pack, mode, card) in cards {
        let built = builder.condition(&card.applies);
        if built == build::Built::Constant(Truth::False) {
            continue;
        }
        for oblige in &card.obliges {
            let condition = builder.owed(oblige.when.as_ref(), oblige.unless.as_ref());
            if condition == build::Built::Constant(Truth::False) {
                continue;
            }
            let position = |obligation: &Obligation| obligations.binary_search(obligation).ok().map(|at| at as u16);
            let does: BTreeSet<u16> = oblige.does.iter().filter_map(position).collect();
            let duties = owed.entry(builder.step_of(condition)).or_default();
            duties.entry((mode.name(), does)).or_insert((mode, Vec::new())).1.push(plan.cards.len());
        }
        applies.push(builder.step_of(built));
        let (pack, rule) = (pack.to_owned(), card.id.clone());
        let (version, on_error, streaming) = (card.version, card.on_error, card.streaming);
        plan.cards.push(PlanCard { pack, rule, version, mode, on_error, streaming });
    }
    (plan.steps, plan.edges) = builder.finish();
    if plan.steps.len() > NODES_MAX {
        return Err(PlanError::Nodes { point: point.name() });
    }
    if plan.cards.len() > CARDS_MAX {
        return Err(PlanError::Cards { point: point.name(), found: plan.cards.len() });
    }
    lay_out(&mut plan, &applies, &owed, obligations);
    (plan.indexes, plan.others) = index::index(&plan);
    Ok(plan)
}

/// By condition, then by mode and obligations: the cards that owe them.
type Owed = BTreeMap<u32, BTreeMap<(&'static str, BTreeSet<u16>), (Mode, Vec<usize>)>>;

/// Gives every root its bit and writes down what is owed.
fn lay_out(plan: &mut PointPlan, applies: &[u32], owed: &Owed, obligations: &[Obligation]) {
    let first = plan.card_words() * 64;
    let n = first + owed.len();
    plan.roots = applies.to_vec();
    plan.roots.resize(first, 0);
    plan.roots.extend(owed.keys());
    plan.whole = vec![0; n.div_ceil(64)];
    (0..applies.len()).chain(first..n).for_each(|at| plan.whole[at / 64] |= 1 << (at % 64));
    for duties in owed.values() {
        let start = plan.duties.len() as u32;
        for ((_, does), (mode, cards)) in duties {
            let effect = does.iter().map(|at| obligations[usize::from(*at)].effect()).max();
            let (does_start, owners_start) = (plan.does.len() as u32, plan.owners.len() as u32);
            plan.does.extend(does);
            for card in cards {
                let word = (card / 64) as u32;
                if plan.owners.last().is_none_or(|(last, _)| *last != word) || plan.owners.len() as u32 == owners_start
                {
                    plan.owners.push((word, 0));
                }
                plan.owners.last_mut().into_iter().for_each(|(_, owners)| *owners |= 1 << (card % 64));
            }
            plan.duties.push(Duty {
                mode: *mode,
                effect: effect.unwrap_or(RequestEffect::Allow),
                does: does_start..plan.does.len() as u32,
                owners: owners_start..plan.owners.len() as u32,
            });
        }
        plan.owed.push(start..plan.duties.len() as u32);
    }
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
