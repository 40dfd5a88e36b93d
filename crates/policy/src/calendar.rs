//! The calendar of a case: on which days a rule that may apply to it comes into force, changes or ends, and which answers and
//! waivers run out.

use crate::card::{Card, Condition, Window};
use crate::decide::{Rules, View, finding, in_force};
use crate::expr::{Leaf, Operand, Source, Truth};
use crate::facts::{Facts, System};
use crate::verdict::Outcome;
use evidence::Json;
use jiff::{ToSpan as _, civil::Date};
use std::collections::{BTreeMap, BTreeSet};

/// How far a calendar looks where nobody says otherwise.
const YEARS: i64 = 3;

/// What a day brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turned {
    /// A rule comes into force, or the grace left to this system is over.
    Begins,
    /// A rule stays in force, from another window on: an amendment.
    Changes,
    /// A rule is out of force.
    Ends,
    /// A person's answer, or a declared document, is void.
    AnswerEnds,
    /// A waiver that holds today is void.
    WaiverEnds,
}

impl Turned {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Begins => "begins",
            Self::Changes => "changes",
            Self::Ends => "ends",
            Self::AnswerEnds => "answer-ends",
            Self::WaiverEnds => "waiver-ends",
        }
    }
}

/// One rule on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub day: Date,
    pub turned: Turned,
    pub pack: String,
    pub rule: String,
    pub title: String,
    /// The zone whose day is meant.
    pub tz: Option<String>,
    /// Where the date is from; for an answer the fact that it is of.
    pub source: String,
    /// Whether it is known that the rule, and this date of it, speak of the system.
    pub is_certain: bool,
    /// What today's evidence would come to, were the rule in force; `None` for a rule that is asked per request.
    pub outcome: Option<Outcome>,
}

impl Event {
    fn to_json(&self) -> Json {
        Json::map([
            ("change", Some(self.turned.name().into())),
            ("pack", Some(self.pack.as_str().into())),
            ("rule", Some(self.rule.as_str().into())),
            ("title", Some(self.title.as_str().into())),
            ("tz", self.tz.as_deref().map(Json::from)),
            ("source", Some(self.source.as_str().into())),
            ("applies", Some(if self.is_certain { "yes" } else { "unknown" }.into())),
            ("verdict", self.outcome.map(|outcome| outcome.name().into())),
        ])
    }
}

/// The days after `from`, up to and with `until`, on which something turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    pub from: Date,
    pub until: Date,
    /// Sorted by day, change, pack and rule.
    pub events: Vec<Event>,
}

impl Calendar {
    /// Days with what turns on them, and how many of each kind.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut days: BTreeMap<Date, Vec<&Event>> = BTreeMap::new();
        for event in &self.events {
            days.entry(event.day).or_default().push(event);
        }
        let day = |(day, events): (Date, Vec<&Event>)| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for event in &events {
                *counts.entry(event.turned.name().to_owned()).or_default() += 1;
            }
            Json::map([
                ("day", Some(day.into())),
                ("counts", Some(Json::Map(counts.into_iter().map(|(name, n)| (name, n.into())).collect()))),
                ("changes", Some(Json::List(events.into_iter().map(Event::to_json).collect()))),
            ])
        };
        Json::map([
            ("from", Some(self.from.into())),
            ("until", Some(self.until.into())),
            ("days", Some(Json::List(days.into_iter().map(day).collect()))),
        ])
    }
}

/// Three years on from a day.
#[must_use]
pub fn calendar_end(from: Date) -> Date {
    from.checked_add(YEARS.years()).unwrap_or(Date::MAX)
}

/// What the calendar holds for a system: every rule that applies to it or may apply, by the system and evidence of `from`.
///
/// A rule whose date depends on what nobody has said is taken at the date that is stricter, and marked.
#[must_use]
pub fn calendar(rules: &Rules, system: &System, facts: &Facts, from: Date, until: Date) -> Calendar {
    let mut events = Vec::new();
    for (pack, _, card) in rules.cards() {
        let view = View::new(card, system, facts, from);
        let applies = view.truth(Condition::Applies);
        if applies == Truth::False {
            continue;
        }
        let found = finding(card, system, facts, from);
        let outcome = found.would_be.as_ref().map_or(found.outcome, |(outcome, _)| *outcome);
        let event = |day, turned, tz, source: &str, is_certain| Event {
            day,
            turned,
            pack: pack.name().to_owned(),
            rule: card.id.clone(),
            title: card.title.clone(),
            tz,
            source: source.to_owned(),
            is_certain: is_certain && applies == Truth::True,
            outcome: Some(outcome),
        };
        for turn in turns(&card.windows, from, until, &|leaf| view.operand(leaf)) {
            events.push(event(turn.day, turn.turned, turn.window.tz.clone(), turn.source, turn.is_certain));
        }
        let ended = answers(card, facts).filter(|(_, day)| from < *day && *day <= until);
        events.extend(ended.map(|(fact, day)| event(day, Turned::AnswerEnds, None, fact, true)));
        let waivers = rules.waivers.iter().filter(|waiver| {
            waiver.rule == card.id && waiver.expires <= until && waiver.refusal(card, system, facts, from).is_none()
        });
        let ended = waivers.filter(|_| !found.outcome.lets_through());
        events.extend(ended.map(|waiver| event(waiver.expires, Turned::WaiverEnds, None, &waiver.reason, true)));
    }
    events.extend(per_request(rules, system, from, until));
    events.sort_by(|a, b| (a.day, a.turned, &a.pack, &a.rule).cmp(&(b.day, b.turned, &b.pack, &b.rule)));
    Calendar { from, until, events }
}

/// Rules that are asked per request: whether one applies is known only then, unless the system rules it out.
fn per_request(rules: &Rules, system: &System, from: Date, until: Date) -> Vec<Event> {
    let of_system = |leaf: &Leaf| match leaf.source {
        Source::System(name) => system.operand(name),
        _ => Operand::Missing,
    };
    let mut events = Vec::new();
    for (pack, _, card) in rules.enforce_cards() {
        if card.applies.evaluate(&of_system) == Truth::False {
            continue;
        }
        events.extend(turns(&card.windows, from, until, &of_system).into_iter().map(|turn| Event {
            day: turn.day,
            turned: turn.turned,
            pack: pack.name().to_owned(),
            rule: card.id.clone(),
            title: card.title.clone(),
            tz: turn.window.tz.clone(),
            source: turn.source.to_owned(),
            is_certain: turn.is_certain,
            outcome: None,
        }));
    }
    events
}

/// A day on which the windows of a rule come to something else.
struct Turn<'a> {
    day: Date,
    turned: Turned,
    window: &'a Window,
    source: &'a str,
    is_certain: bool,
}

/// Each day on which what holds is not what held the day before.
fn turns<'a>(windows: &'a [Window], from: Date, until: Date, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Vec<Turn<'a>> {
    let is_certain =
        |window: &'a Window| window.when.as_ref().is_none_or(|when| when.evaluate(value_of) == Truth::True);
    let graces = windows.iter().flat_map(|window| window.grace.iter().map(|grace| grace.until));
    let days: BTreeSet<Date> = windows.iter().flat_map(|w| [Some(w.from), w.until]).flatten().chain(graces).collect();
    let mut turns = Vec::new();
    for day in days.into_iter().filter(|day| from < *day && *day <= until) {
        let Ok(before) = day.yesterday() else { continue };
        let (turned, window) = match (in_force(windows, before, value_of), in_force(windows, day, value_of)) {
            (Err(_), Ok(window)) => (Turned::Begins, window),
            (Ok(window), Err(_)) => (Turned::Ends, window),
            (Ok(old), Ok(new)) if !std::ptr::eq(old, new) => (Turned::Changes, new),
            _ => continue,
        };
        let grace = window.grace.iter().find(|grace| grace.until == day);
        let source = grace.map_or(window.source.as_str(), |grace| grace.source.as_str());
        turns.push(Turn { day, turned, window, source, is_certain: is_certain(window) });
    }
    turns
}

/// The answers that a rule leans on, each with the first day on which it is void.
fn answers<'a>(card: &'a Card, facts: &'a Facts) -> impl Iterator<Item = (&'static str, Date)> + 'a {
    card.needs.iter().filter_map(|need| Some((need.metric.id, facts.get(need.metric)?.expires?)))
}
