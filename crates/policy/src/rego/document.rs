//! The input that an exported rule reads.

use super::quoted;
use crate::decide::View;
use crate::expr::{Operand, Value};
use crate::facts::{Facts, System, day_of};
use crate::request::{MEMBERS, Request, Slot};
use crate::waiver::days_between;
use jiff::civil::Date;

const NANOS: i128 = 1_000_000_000;

/// A value as a term of Rego: integers are whole whatever their size, times are pairs, large decimals go through the library.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::List(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Decimal(number) if is_large(&number.to_string()) => format!("lib.large({number})"),
        scalar => given(Operand::of(scalar)),
    }
}

/// From 10^15 on: no decimal of a card that has a fraction is so large.
fn is_large(number: &str) -> bool {
    !number.contains('.') && number.trim_start_matches('-').len() > 15
}

/// A value as it stands in an input.
pub(super) fn given(operand: Operand<'_>) -> String {
    match operand {
        Operand::Bool(value) => value.to_string(),
        Operand::Int(value) => value.to_string(),
        Operand::Decimal(value) => value.to_string(),
        Operand::Text(text) => quoted(text),
        Operand::Instant(nanos) => pair(nanos),
        Operand::Duration(nanos) => pair(i128::from(nanos)),
        Operand::List(items) => format!("[{}]", items.iter().map(given_value).collect::<Vec<_>>().join(", ")),
        Operand::Missing => "null".to_owned(),
        Operand::Error(_) => "{\"error\": true}".to_owned(),
    }
}

fn given_value(value: &Value) -> String {
    given(Operand::of(value))
}

fn pair(nanos: i128) -> String {
    format!("[{}, {}]", nanos.div_euclid(NANOS), nanos.rem_euclid(NANOS))
}

fn object(members: impl IntoIterator<Item = (String, Option<String>)>) -> String {
    let member = |(key, value): (String, Option<String>)| Some(format!("{}: {}", quoted(&key), value?));
    let members: Vec<String> = members.into_iter().filter_map(member).collect();
    format!("{{{}}}", members.join(", "))
}

fn system_object(system: &System) -> String {
    let names = evidence::metric::SYSTEM.iter().map(|(name, _, _)| *name);
    object(names.map(|name| (name.to_owned(), system.get(name).map(given_value))))
}

/// The input for the verdicts: the day, the system, and each fact with what needs ask of it.
#[must_use]
pub fn facts_input(system: &System, facts: &Facts, as_of: Date) -> String {
    facts_where(system, facts, as_of, &|_| true)
}

/// The input of a card's own Rego file: of the facts those that the card needs, where they meet it.
pub(crate) fn check_input(view: &View<'_>) -> String {
    facts_where(view.system, view.facts, view.as_of, &|id| view.card.need(id).is_some() && view.is_seen(id))
}

fn facts_where(system: &System, facts: &Facts, as_of: Date, is_seen: &dyn Fn(&str) -> bool) -> String {
    let fact = |id: &'static str| {
        let fact = facts.find(id)?;
        let fields = fact.fields.iter().map(|(field, held)| {
            let value = held.as_ref().map_or_else(|_| "{\"error\": true}".to_owned(), given_value);
            ((*field).to_owned(), Some(value))
        });
        let interval = fact.interval_method.as_ref().map(|method| {
            let level = fact.interval_level.map(|level| level.to_string());
            object([("method".to_owned(), Some(quoted(method))), ("level".to_owned(), level)])
        });
        let age = days_between(day_of(fact.at), as_of).max(0);
        Some(object([
            ("fields".to_owned(), Some(object(fields))),
            ("n".to_owned(), fact.n.map(|n| n.to_string())),
            ("age_days".to_owned(), Some(age.to_string())),
            ("provenance".to_owned(), Some(quoted(fact.provenance.name()))),
            ("declared".to_owned(), Some(fact.is_declared.to_string())),
            ("expires".to_owned(), fact.expires.map(|day| quoted(&day.to_string()))),
            ("interval".to_owned(), interval),
        ]))
    };
    object([
        ("as_of".to_owned(), Some(quoted(&as_of.to_string()))),
        ("system".to_owned(), Some(system_object(system))),
        ("facts".to_owned(), Some(object(facts.ids().filter(|id| is_seen(id)).map(|id| (id.to_owned(), fact(id)))))),
    ])
}

/// The input for one request: the day, the system, the point, and what is known of the request by path.
#[must_use]
pub fn request_input(system: &System, request: &Request, as_of: Date) -> String {
    let members = MEMBERS.iter().enumerate().map(|(id, member)| {
        let value = match request.slot(id) {
            Slot::Missing => None,
            Slot::Failed => Some("{\"error\": true}".to_owned()),
            Slot::There(value) => Some(given_value(value)),
        };
        (member.path.to_owned(), value)
    });
    object([
        ("as_of".to_owned(), Some(quoted(&as_of.to_string()))),
        ("system".to_owned(), Some(system_object(system))),
        ("point".to_owned(), Some(quoted(request.point().name()))),
        ("request".to_owned(), Some(object(members))),
    ])
}
