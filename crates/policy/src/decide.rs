//! The decision, pure: rules, system, facts and a day give the same bytes each time.

use crate::card::{Card, CardKind, Condition, Confirmed, Need, Stage, Window};
use crate::enforce::EnforceCard;
use crate::expr::{Expr, Leaf, NodeId, Operand, Source, Truth};
use crate::facts::{Fact, Facts, System, day_of};
use crate::hatch::{self, Check};
use crate::pack::Pack;
use crate::rego;
use crate::verdict::{DecidedBy, DecidedUnder, Decision, Effect, Finding, Mode, Outcome, Reason, Unmet, Used, Verdict};
use crate::waiver::{Waiver, days_between};
use crate::why;
use jiff::civil::Date;
use std::cell::OnceCell;

/// What is decided by: packs with their mode, and waivers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    pub packs: Vec<(Pack, Mode)>,
    pub waivers: Vec<Waiver>,
}

impl Rules {
    #[must_use]
    pub fn new(packs: Vec<(Pack, Mode)>) -> Self {
        Self { packs, waivers: Vec::new() }
    }

    /// All cards with their packs, in the order of the packs.
    pub fn cards(&self) -> impl Iterator<Item = (&Pack, Mode, &Card)> {
        self.packs.iter().flat_map(|(pack, mode)| pack.cards().iter().map(move |card| (pack, *mode, card)))
    }

    /// All cards that are decided per request, with their packs, in the order of the packs.
    pub fn enforce_cards(&self) -> impl Iterator<Item = (&Pack, Mode, &EnforceCard)> {
        self.packs.iter().flat_map(|(pack, mode)| pack.enforce_cards().iter().map(move |card| (pack, *mode, card)))
    }
}

/// Decides the rules that gate `stage` (all of them for `None`) as of a day.
///
/// Deny unless: every rule that may hold the work must pass, not apply, not be in force, or be waived.
#[must_use]
pub fn decide<'a>(rules: &'a Rules, stage: Option<Stage>, system: &System, facts: &Facts, as_of: Date) -> Decision<'a> {
    let is_asked = |card: &Card| stage.is_none_or(|stage| card.gates.contains(&stage));
    let mut asked: Vec<(&Pack, Mode, &Card)> = rules.cards().filter(|(_, _, card)| is_asked(card)).collect();
    asked.sort_by(|(pack, _, card), (other_pack, _, other)| {
        (&card.id, pack.name()).cmp(&(&other.id, other_pack.name()))
    });
    let decided =
        asked.into_iter().map(|(pack, mode, card)| verdict(pack, mode, card, finding(card, system, facts, as_of)));
    let mut verdicts: Vec<Verdict<'a>> = decided.collect();
    let idle_waivers = rules.waivers.iter().filter_map(|waiver| {
        let why = lay(waiver, rules, &mut verdicts, (system, facts), as_of)?;
        Some((waiver, why))
    });
    let idle_waivers = idle_waivers.collect();
    let effect = if verdicts.iter().any(Verdict::denies) { Effect::Deny } else { Effect::Allow };
    let under = |(pack, mode): &'a (Pack, Mode)| DecidedUnder { name: pack.name(), digest: pack.digest(), mode: *mode };
    Decision { as_of, packs: rules.packs.iter().map(under).collect(), stage, effect, verdicts, idle_waivers }
}

fn verdict<'a>(pack: &'a Pack, mode: Mode, card: &'a Card, finding: Finding) -> Verdict<'a> {
    let is_unconfirmed = mode == Mode::Enforce && card.confirmed() != Confirmed::Yes;
    Verdict {
        pack: pack.name(),
        card,
        mode: if is_unconfirmed { Mode::Report } else { mode },
        mode_reason: is_unconfirmed.then_some("unconfirmed"),
        finding,
        waiver: None,
    }
}

/// Lays a waiver over the verdicts of its rule; says why when it does nothing.
fn lay<'a>(
    waiver: &'a Waiver,
    rules: &Rules,
    verdicts: &mut [Verdict<'a>],
    (system, facts): (&System, &Facts),
    as_of: Date,
) -> Option<String> {
    if !rules.cards().any(|(_, _, card)| card.id == waiver.rule) {
        return Some(format!("no rule `{}` in the packs", waiver.rule));
    }
    let mut idle = None;
    let mut is_used = false;
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.card.id == waiver.rule) {
        let outcome = verdict.finding.outcome;
        match waiver.refusal(verdict.card, system, facts, as_of) {
            Some(why) => idle = Some(why),
            None if outcome.lets_through() => idle = Some(format!("the rule came to {}", outcome.name())),
            None => {
                verdict.waiver = Some(waiver);
                is_used = true;
            }
        }
    }
    idle.filter(|_| !is_used)
}

/// The answers of one card's conditions, given the facts that meet its needs.
pub(crate) struct View<'a> {
    pub(crate) card: &'a Card,
    pub(crate) system: &'a System,
    pub(crate) facts: &'a Facts,
    pub(crate) as_of: Date,
    /// What the card reads, each with the fact that there is.
    found: Vec<Option<&'a Fact>>,
    /// By slot: missing where the fact is absent, void, or fails a need.
    values: Vec<Operand<'a>>,
    /// The nodes of each condition, once it is asked for.
    answers: [OnceCell<Vec<Operand<'a>>>; 3],
    /// Needs that are not met, optional ones among them.
    pub(crate) unmet: Vec<Unmet>,
}

impl<'a> View<'a> {
    pub(crate) fn new(card: &'a Card, system: &'a System, facts: &'a Facts, as_of: Date) -> Self {
        let found: Vec<Option<&Fact>> = card.readings.iter().map(|reading| facts.get(reading.metric)).collect();
        let at = |need: usize| card.readings.iter().position(|reading| reading.need == Some(need));
        let mut unmet = Vec::new();
        for (place, need) in card.needs.iter().enumerate() {
            let fact = at(place).and_then(|at| found[at]);
            add_unmet(card.kind, need, fact, as_of, &mut unmet);
        }
        let value = |(leaf, read_at): (&Leaf, &Option<usize>)| match leaf.source {
            Source::System(name) => system.operand(name),
            Source::Request(_) | Source::Variable => Operand::Missing,
            Source::Fact(metric, field) => {
                let fact = match read_at {
                    Some(at) => found[*at],
                    None => facts.get(metric),
                };
                let is_unmet = unmet.iter().any(|unmet: &Unmet| unmet.fact == metric.id);
                let fact = fact.filter(|fact| !is_unmet && !is_void(fact, as_of));
                fact.map_or(Operand::Missing, |fact| fact.operand(field))
            }
        };
        let values = card.leaves.iter().zip(&card.read_at).map(value).collect();
        Self { card, system, facts, as_of, found, values, answers: Default::default(), unmet }
    }

    /// The value of a path of the card.
    pub(crate) fn operand(&self, leaf: &Leaf) -> Operand<'a> {
        self.values.get(leaf.slot).copied().unwrap_or(Operand::Missing)
    }

    /// The value of a node of a condition.
    pub(crate) fn value(&self, condition: Condition, id: NodeId) -> Operand<'a> {
        let expr = self.card.condition(condition);
        let answers = self.answers[condition as usize].get_or_init(|| expr.values(&|leaf| self.operand(leaf)));
        answers.get(id).copied().unwrap_or(Operand::Missing)
    }

    pub(crate) fn truth_of(&self, condition: Condition, id: NodeId) -> Truth {
        self.value(condition, id).truth()
    }

    pub(crate) fn truth(&self, condition: Condition) -> Truth {
        self.truth_of(condition, self.card.condition(condition).root())
    }

    /// Whether a condition may see a fact.
    pub(crate) fn is_seen(&self, id: &str) -> bool {
        !self.unmet.iter().any(|unmet| unmet.fact == id)
            && self.facts.find(id).is_some_and(|fact| !is_void(fact, self.as_of))
    }

    /// Unmet needs that leave the rule undecided.
    fn binding_unmet(&self) -> impl Iterator<Item = &Unmet> {
        let is_optional = |fact: &str| self.card.need(fact).is_some_and(|need| need.is_optional);
        self.unmet.iter().filter(move |unmet| !is_optional(unmet.fact))
    }
}

/// The whole procedure for one card, waivers and modes apart.
pub(crate) fn finding(card: &Card, system: &System, facts: &Facts, as_of: Date) -> Finding {
    let view = View::new(card, system, facts, as_of);
    let applies = view.truth(Condition::Applies);
    if applies == Truth::False {
        let (by, sentence) = why::settled(&view, Condition::Applies);
        return Finding {
            outcome: Outcome::NotApplicable,
            reason: Reason::new("does-not-apply", sentence),
            decided_by: Some(by),
            unmet: Vec::new(),
            evidence: used(&view, true),
            would_be: None,
        };
    }
    let standing = in_force(&card.windows, as_of, &|leaf| view.operand(leaf));
    let inner = answered(view, applies);
    match standing {
        Ok(_) => inner,
        Err(reason) => {
            Finding { outcome: Outcome::NotInForce, reason, would_be: Some((inner.outcome, inner.reason)), ..inner }
        }
    }
}

/// Steps 3 to 5: applicability unknown, needs, conditions.
fn answered(mut view: View<'_>, applies: Truth) -> Finding {
    let is_unmet = applies == Truth::True && view.binding_unmet().next().is_some();
    if let Some(check) = view.card.check.as_ref().filter(|_| applies == Truth::True && !is_unmet) {
        return checked(&view, check);
    }
    let (outcome, code, by) = match applies {
        Truth::Missing => (Outcome::InsufficientEvidence, "applicability-unknown", Condition::Applies),
        Truth::Error | Truth::False => (Outcome::Error, "applicability-error", Condition::Applies),
        Truth::True if is_unmet => return wanting(&mut view),
        Truth::True => judge(&view),
    };
    let (by, mut sentence) = why::settled(&view, by);
    if code == "contradiction" {
        sentence.insert_str(0, "both conditions are true; ");
    }
    let (reason, decided_by) = (Reason::new(code, sentence), Some(by));
    Finding { outcome, reason, decided_by, unmet: Vec::new(), evidence: used(&view, false), would_be: None }
}

/// Step 4: what is needed is not there.
fn wanting(view: &mut View<'_>) -> Finding {
    let (card, evidence) = (view.card, used(view, false));
    let mut unmet = std::mem::take(&mut view.unmet);
    unmet.retain(|unmet| !card.need(unmet.fact).is_some_and(|need| need.is_optional));
    let outcome = match card.kind {
        CardKind::Assess => Outcome::InsufficientEvidence,
        CardKind::Attest => Outcome::AwaitingPerson,
    };
    Finding { outcome, reason: needs_reason(card.kind, &unmet), decided_by: None, unmet, evidence, would_be: None }
}

/// Step 5 by a Rego file. Whatever is not one of its three verdicts is an error.
fn checked(view: &View<'_>, check: &Check) -> Finding {
    let said = hatch::judge(check, &rego::check_input(view));
    let (outcome, code, sentence) = match said.as_deref() {
        Ok("pass") => (Outcome::Pass, "holds", format!("{} says pass", check.file)),
        Ok("fail") => (Outcome::Fail, "fails", format!("{} says fail", check.file)),
        Ok("insufficient-evidence") => {
            (Outcome::InsufficientEvidence, "undecided", format!("{} says insufficient-evidence", check.file))
        }
        Ok(other) => {
            (Outcome::Error, "evaluation-error", format!("{} says `{other}`, which is no verdict", check.file))
        }
        Err(why) => (Outcome::Error, "evaluation-error", format!("{}: {why}", check.file)),
    };
    let truth = match outcome {
        Outcome::Pass => Truth::True,
        Outcome::Fail => Truth::False,
        Outcome::Error => Truth::Error,
        _ => Truth::Missing,
    };
    let by = DecidedBy { condition: Condition::PassWhen, expression: check.rule.clone(), truth };
    Finding {
        outcome,
        reason: Reason::new(code, sentence),
        decided_by: Some(by),
        unmet: Vec::new(),
        evidence: used(view, false),
        would_be: None,
    }
}

/// The truth table of the two conditions, and which of them settled it.
fn judge(view: &View<'_>) -> (Outcome, &'static str, Condition) {
    use Condition::{FailWhen, PassWhen};
    use Truth::{Error, False, Missing, True};
    let is_attest = view.card.kind == CardKind::Attest;
    match (view.truth(PassWhen), view.truth(FailWhen)) {
        (Error, _) => (Outcome::Error, "evaluation-error", PassWhen),
        (_, Error) => (Outcome::Error, "evaluation-error", FailWhen),
        (True, True) => (Outcome::Error, "contradiction", PassWhen),
        (True, False) => (Outcome::Pass, if is_attest { "answered" } else { "holds" }, PassWhen),
        (False | Missing, True) => (Outcome::Fail, if is_attest { "answered-no" } else { "fails" }, FailWhen),
        (False, False) => (Outcome::InsufficientEvidence, "between-bounds", PassWhen),
        (True | False, Missing) => (Outcome::InsufficientEvidence, "undecided", FailWhen),
        (Missing, _) => (Outcome::InsufficientEvidence, "undecided", PassWhen),
    }
}

fn needs_reason(kind: CardKind, unmet: &[Unmet]) -> Reason {
    let sentences: Vec<&str> = unmet.iter().map(|unmet| unmet.sentence.as_str()).collect();
    let first = unmet.first().map_or("needs-unmet", |unmet| unmet.code);
    let is_one = unmet.iter().all(|unmet| unmet.code == first);
    let code = match (kind, is_one) {
        (_, true) => first,
        (CardKind::Assess, false) => "needs-unmet",
        (CardKind::Attest, false) => "no-answer",
    };
    Reason::new(code, sentences.join("; "))
}

fn is_void(fact: &Fact, as_of: Date) -> bool {
    fact.expires.is_some_and(|expires| as_of >= expires)
}

/// Adds everything that a fact lacks of what a need asks.
fn add_unmet(kind: CardKind, need: &Need, fact: Option<&Fact>, as_of: Date, all: &mut Vec<Unmet>) {
    let id = need.metric.id;
    let unmet = |code, sentence| Unmet { fact: id, code, sentence };
    let codes = match kind {
        CardKind::Assess => ["evidence-missing", "evidence-expired", "evidence-too-old"],
        CardKind::Attest => ["no-answer", "answer-expired", "answer-too-old"],
    };
    let Some(fact) = fact else {
        let what = if kind == CardKind::Attest { "nobody has declared" } else { "there is no evidence of" };
        return all.push(unmet(codes[0], format!("{what} {id}")));
    };
    if kind == CardKind::Attest && !fact.is_declared {
        all.push(unmet(codes[0], format!("{id} is {}, not declared by a person", fact.provenance.name())));
    }
    if let Some(expires) = fact.expires.filter(|_| is_void(fact, as_of)) {
        all.push(unmet(codes[1], format!("the declaration of {id} is void since {expires}")));
    }
    if let Some(max) = need.max_age_days {
        // Evidence newer than the as-of date has age 0.
        let age = days_between(day_of(fact.at), as_of).max(0);
        if u64::from(age.unsigned_abs()) > max {
            all.push(unmet(codes[2], format!("{id} is {age} days old, at most {max} are allowed")));
        }
    }
    if let Some(min_n) = need.min_n.filter(|min_n| fact.n.is_none_or(|n| n < *min_n)) {
        let n = fact.n.map_or("no sample size".to_owned(), |n| format!("n = {n}"));
        all.push(unmet("sample-too-small", format!("{id} has {n}, at least {min_n} are needed")));
    }
    if let Some(min) = need.min_provenance.filter(|min| fact.provenance < *min) {
        let sentence = format!("{id} is {}, at least {} is needed", fact.provenance.name(), min.name());
        all.push(unmet("provenance-too-low", sentence));
    }
    all.extend(interval_unmet(need, fact).map(|sentence| unmet("interval-method", sentence)));
}

fn interval_unmet(need: &Need, fact: &Fact) -> Option<String> {
    let interval = need.interval.as_ref()?;
    let id = need.metric.id;
    let Some(method) = fact.interval_method.as_deref() else { return Some(format!("{id} has no interval")) };
    if method != interval.method {
        return Some(format!("{id} has an interval by {method}, {} is needed", interval.method));
    }
    let level = interval.level?;
    match fact.interval_level {
        Some(found) if found == level => None,
        Some(found) => Some(format!("{id} has an interval at level {found}, {level} is needed")),
        None => Some(format!("{id} has an interval without level, {level} is needed")),
    }
}

/// The window that holds, or the reason why none does. A window whose `when` is missing is taken, a grace is not.
pub(crate) fn in_force<'a>(
    windows: &'a [Window],
    as_of: Date,
    value_of: &dyn Fn(&Leaf) -> Operand<'a>,
) -> Result<&'a Window, Reason> {
    let truth = |when: &'a Option<Expr>| when.as_ref().map_or(Truth::True, |when| when.evaluate(value_of));
    let is_taken = |window: &&'a Window| truth(&window.when) != Truth::False;
    let is_open = |window: &&Window| window.from <= as_of && window.until.is_none_or(|until| as_of < until);
    let mut reason = None;
    for window in windows.iter().filter(is_open).filter(is_taken) {
        let is_running = |grace: &&'a crate::card::Grace| as_of < grace.until && truth(&grace.when) == Truth::True;
        match window.grace.iter().filter(is_running).max_by_key(|grace| grace.until) {
            None => return Ok(window),
            Some(grace) => {
                reason = Some(Reason::new("grace", format!("grace until {} ({})", grace.until, grace.source)));
            }
        }
    }
    let taken: Vec<&'a Window> = windows.iter().filter(is_taken).collect();
    let zone = |window: &Window| window.tz.as_ref().map(|tz| format!(", {tz}")).unwrap_or_default();
    let next = taken.iter().filter(|window| window.from > as_of).min_by_key(|window| window.from);
    let last = taken.iter().filter_map(|window| Some((window.until?, window))).max_by_key(|(until, _)| *until);
    Err(match (reason, next, last) {
        (Some(grace), _, _) => grace,
        (None, Some(next), _) => {
            Reason::new("not-yet", format!("in force from {}{} ({})", next.from, zone(next), next.source))
        }
        (None, None, Some((until, last))) => {
            Reason::new("no-longer", format!("out of force since {until}{} ({})", zone(last), last.source))
        }
        (None, None, None) => Reason::new("no-window", "no date of the rule speaks of this system"),
    })
}

/// The facts that the needs and all conditions name, or `applies` alone, with the fields they read, sorted by id.
fn used(view: &View<'_>, of_applies: bool) -> Vec<Used> {
    let all = view.card.readings.iter().zip(&view.found);
    let named = all.filter(|(reading, _)| !of_applies || !reading.of_applies.is_empty());
    let used = named.filter_map(|(reading, fact)| {
        let read = if of_applies { &reading.of_applies } else { &reading.fields };
        let need = reading.need.map(|at| &view.card.needs[at]);
        Some(used_fact((*fact)?, need, read))
    });
    used.collect()
}

fn used_fact(fact: &Fact, need: Option<&Need>, read: &[&'static str]) -> Used {
    use evidence::Json;
    let is_read = |field: &str| read.is_empty() || read.contains(&field);
    let shown = |held: &crate::facts::Held| match held {
        Ok(value) => value.to_json(),
        Err(_) => Json::Text("error".to_owned()),
    };
    let read = fact.fields.iter().filter(|(field, _)| is_read(field));
    let mut values: Vec<(&'static str, Json)> = read.map(|(field, held)| (*field, shown(held))).collect();
    if let Some(n) = fact.n.filter(|_| need.is_some_and(|need| need.min_n.is_some()))
        && !values.iter().any(|(field, _)| *field == "n")
    {
        values.push(("n", n.into()));
    }
    Used { fact: fact.metric.id, source: fact.source, provenance: fact.provenance, values }
}
