//! Cards that are decided per request, and the plain interpreter of them. `plan.rs` is the fast twin.

use crate::card::{Cite, Confirmed, Mapping, Severity, Version, Window};
use crate::decide::{Rules, in_force};
use crate::expr::{Expr, Leaf, Operand, Source, Truth};
use crate::facts::System;
use crate::obligation::{Obligation, RequestEffect};
use crate::request::{Point, Request};
use crate::verdict::Mode;
use evidence::{Digest, Json};
use jiff::civil::Date;

/// How text is let out while a rule still looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Streaming {
    /// Whatever can no longer become a hit goes out at once.
    FirstSafeBoundary,
    /// Nothing goes out before the whole answer was looked at.
    Buffer,
}

impl Streaming {
    pub(crate) const NAMES: [&str; 2] = ["first-safe-boundary", "buffer"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::FirstSafeBoundary, Self::Buffer].into_iter().find(|streaming| streaming.name() == name)
    }
}

/// What is to be done, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oblige {
    /// `None`: always. Missing is taken.
    pub when: Option<Expr>,
    /// `None`: never lifted. Missing does not lift.
    pub unless: Option<Expr>,
    /// Sorted.
    pub does: Vec<Obligation>,
}

/// One rule that is decided per request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnforceCard {
    pub file: String,
    pub digest: Digest,
    pub id: String,
    pub version: Version,
    pub title: String,
    pub severity: Severity,
    pub owner: String,
    pub remedy: String,
    pub on: Point,
    /// What becomes of a request that the card cannot decide.
    pub on_error: RequestEffect,
    pub streaming: Streaming,
    pub applies: Expr,
    pub obliges: Vec<Oblige>,
    pub cites: Vec<Cite>,
    pub windows: Vec<Window>,
    pub maps: Vec<Mapping>,
    pub tests: Vec<RequestTest>,
    /// Line, from 1, of `applies`.
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl EnforceCard {
    /// The weakest mark among the card's cites.
    #[must_use]
    pub fn confirmed(&self) -> Confirmed {
        self.cites.iter().map(|cite| cite.confirmed).min().unwrap_or(Confirmed::No)
    }

    /// The text of the card as it was compiled.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// One case a card brings to show what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTest {
    pub as_of: Date,
    pub system: System,
    pub request: Request,
    pub expect: CardState,
    pub because: Option<String>,
    /// Everything the card obliges to, sorted; `None`: not looked at.
    pub oblige: Option<Vec<Obligation>>,
    pub effect: Option<RequestEffect>,
    pub line: usize,
}

/// How a card stands to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardState {
    InForce,
    NotApplicable,
    NotInForce,
    /// Nobody can say whether it applies: it is done as if it did, and `on_error` on top.
    InsufficientEvidence,
    /// Something it asks could not be found out: done as if it were so, and `on_error` on top.
    Error,
}

impl CardState {
    pub const ALL: [Self; 5] =
        [Self::InForce, Self::NotApplicable, Self::NotInForce, Self::InsufficientEvidence, Self::Error];
    pub(crate) const NAMES: [&str; 5] =
        ["in-force", "not-applicable", "not-in-force", "insufficient-evidence", "error"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the card could not be decided.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::InsufficientEvidence | Self::Error)
    }
}

/// What one card says of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFinding<'a> {
    pub state: CardState,
    pub code: &'static str,
    pub effect: RequestEffect,
    /// Sorted, each once.
    pub obligations: Vec<&'a Obligation>,
}

/// A card that did something to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acted<'a> {
    pub pack: &'a str,
    pub rule: &'a str,
    pub version: Version,
    /// A rule in report mode is recorded and changes nothing.
    pub mode: Mode,
    pub state: CardState,
    pub effect: RequestEffect,
}

/// What becomes of a request, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestDecision<'a> {
    pub point: Point,
    pub effect: RequestEffect,
    pub streaming: Streaming,
    /// Sorted, each once.
    pub obligations: Vec<&'a Obligation>,
    /// What the rules in report mode would have added.
    pub reported: Vec<&'a Obligation>,
    pub reported_effect: RequestEffect,
    /// The rules that obliged to something or could not be decided, sorted.
    pub acted: Vec<Acted<'a>>,
}

impl RequestDecision<'_> {
    pub(crate) const fn open(point: Point) -> Self {
        Self {
            point,
            effect: RequestEffect::Allow,
            streaming: Streaming::FirstSafeBoundary,
            obligations: Vec::new(),
            reported: Vec::new(),
            reported_effect: RequestEffect::Allow,
            acted: Vec::new(),
        }
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        let texts = |all: &[&Obligation]| Json::list(all.iter().map(|obligation| obligation.text()));
        let acted = self.acted.iter().map(|acted| {
            Json::map([
                ("rule", Some(acted.rule.into())),
                ("pack", Some(acted.pack.into())),
                ("version", Some(acted.version.to_string().into())),
                ("mode", Some(acted.mode.name().into())),
                ("state", Some(acted.state.name().into())),
                ("effect", Some(acted.effect.name().into())),
            ])
        });
        let is_reported = !self.reported.is_empty() || self.reported_effect != RequestEffect::Allow;
        Json::map([
            ("on", Some(self.point.name().into())),
            ("effect", Some(self.effect.name().into())),
            ("streaming", Some(self.streaming.name().into())),
            ("obligations", Some(texts(&self.obligations))),
            ("reported", is_reported.then(|| texts(&self.reported))),
            ("reportedEffect", is_reported.then(|| self.reported_effect.name().into())),
            ("rules", Some(Json::List(acted.collect()))),
        ])
    }
}

/// The mode that counts: a rule whose cites are not all confirmed never acts by itself.
pub(crate) fn mode_of(mode: Mode, card: &EnforceCard) -> Mode {
    if card.confirmed() == Confirmed::Yes { mode } else { Mode::Report }
}

/// Decides a request by reading every card. Slow and plain; a gateway compiles a `Plan` once and asks that.
#[must_use]
pub fn decide_request<'a>(rules: &'a Rules, system: &System, request: &Request, as_of: Date) -> RequestDecision<'a> {
    let mut decision = RequestDecision::open(request.point());
    for (pack, mode, card) in rules.enforce_cards().filter(|(_, _, card)| card.on == request.point()) {
        let finding = card_finding(card, system, request, as_of);
        if finding.obligations.is_empty() && !finding.state.is_open() {
            continue;
        }
        let mode = mode_of(mode, card);
        let (effect, obligations) = match mode {
            Mode::Enforce => (&mut decision.effect, &mut decision.obligations),
            Mode::Report => (&mut decision.reported_effect, &mut decision.reported),
        };
        *effect = finding.effect.max(*effect);
        obligations.extend(&finding.obligations);
        if mode == Mode::Enforce {
            decision.streaming = decision.streaming.max(card.streaming);
        }
        let (pack, rule, version) = (pack.name(), card.id.as_str(), card.version);
        decision.acted.push(Acted { pack, rule, version, mode, state: finding.state, effect: finding.effect });
    }
    for obligations in [&mut decision.obligations, &mut decision.reported] {
        obligations.sort_unstable();
        obligations.dedup();
    }
    decision.acted.sort_by_key(|acted| (acted.rule, acted.pack));
    decision
}

/// What one card says: applicability, dates, then each obligation.
///
/// What is not known never loosens: a card that may apply is done as if it did, and an obligation that may be owed is
/// owed; where that was not for certain, `on_error` comes on top.
#[must_use]
pub fn card_finding<'a>(card: &'a EnforceCard, system: &System, request: &Request, as_of: Date) -> CardFinding<'a> {
    let none = |state, code| CardFinding { state, code, effect: RequestEffect::Allow, obligations: Vec::new() };
    let applies = truth(&card.applies, system, request);
    if applies == Truth::False {
        return none(CardState::NotApplicable, "does-not-apply");
    }
    let of_system = |leaf: &Leaf| match leaf.source {
        Source::System(name) => system.operand(name),
        _ => Operand::Missing,
    };
    if let Err(reason) = in_force(&card.windows, as_of, &of_system) {
        return none(CardState::NotInForce, reason.code);
    }
    let (mut state, mut code) = match applies {
        Truth::Missing => (CardState::InsufficientEvidence, "applicability-unknown"),
        Truth::Error => (CardState::Error, "applicability-error"),
        _ => (CardState::InForce, "applies"),
    };
    let mut obligations = Vec::new();
    for oblige in &card.obliges {
        match is_owed(oblige, system, request) {
            Truth::False => continue,
            Truth::Error if !state.is_open() => (state, code) = (CardState::Error, "evaluation-error"),
            _ => {}
        }
        obligations.extend(&oblige.does);
    }
    obligations.sort_unstable();
    obligations.dedup();
    let owed = obligations.iter().map(|obligation| obligation.effect()).max().unwrap_or(RequestEffect::Allow);
    let effect = if state.is_open() { owed.max(card.on_error) } else { owed };
    CardFinding { state, code, effect, obligations }
}

fn is_owed(oblige: &Oblige, system: &System, request: &Request) -> Truth {
    let of = |expr: &Option<Expr>, otherwise| expr.as_ref().map_or(otherwise, |expr| truth(expr, system, request));
    of(&oblige.when, Truth::True).and(!of(&oblige.unless, Truth::False))
}

fn truth(expr: &Expr, system: &System, request: &Request) -> Truth {
    evaluate(expr, &|leaf| match leaf.source {
        Source::System(name) => system.operand(name),
        Source::Request(member) => request.operand(member),
        Source::Fact(..) | Source::Variable => Operand::Missing,
    })
}

/// One lifetime for the condition and what it reads.
fn evaluate<'a>(expr: &'a Expr, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Truth {
    expr.evaluate(value_of)
}
