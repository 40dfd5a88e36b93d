//! An `enforce` card: what it may say, and its tests.

use super::{cites, header, line_of, maps, windows};
use crate::enforce::{CardState, EnforceCard, Oblige, RequestTest, Streaming};
use crate::expr::{Expr, Place};
use crate::obligation::{Obligation, ObligationError, RequestEffect};
use crate::request::{self, MEMBERS, Point, Request};
use crate::wire::{self, Entry, Reader, Scope, Table};
use evidence::Digest;

/// What `on_error` may say.
pub(crate) const ON_ERRORS: [&str; 3] = ["block", "allow", "hold"];

/// Why a card stands as it does, with the state that goes with it.
pub(crate) const REASONS: [(&str, CardState); 9] = [
    ("applies", CardState::InForce),
    ("does-not-apply", CardState::NotApplicable),
    ("not-yet", CardState::NotInForce),
    ("no-longer", CardState::NotInForce),
    ("grace", CardState::NotInForce),
    ("no-window", CardState::NotInForce),
    ("applicability-unknown", CardState::InsufficientEvidence),
    ("applicability-error", CardState::Error),
    ("evaluation-error", CardState::Error),
];

/// Reads the members of an `enforce` card; `None` when something needed is missing, with the errors in the reader.
pub(crate) fn members(reader: &mut Reader<'_>, table: &mut Table<'_>, id: Option<String>) -> Option<EnforceCard> {
    let header = header(reader, table);
    let on = table.need(reader, "on");
    let on = reader.choice(on, &Point::NAMES, Point::from_name);
    let on_error = reader.choice(table.take("on_error"), &ON_ERRORS, on_error);
    let streaming = reader.choice(table.take("streaming"), &Streaming::NAMES, Streaming::from_name);
    let cites = cites(reader, table);
    // Dates are settled before any request is there.
    reader.scope = Scope::System;
    let windows = windows(reader, table);
    let maps = maps(reader, table);
    // An unknown `on` is an error already: its conditions are read with everything in scope.
    reader.scope = Scope::Request(on.unwrap_or(Point::Output));
    let applies = table.need(reader, "applies");
    let line = line_of(reader, applies);
    let applies = reader.condition(applies, Place::Elsewhere);
    let obliges = obliges(reader, table);
    let tests = tests(reader, table, on.unwrap_or(Point::Output));
    let header = header?;
    Some(EnforceCard {
        file: reader.file.to_owned(),
        digest: Digest::of(reader.text.as_bytes()),
        id: id?,
        version: header.version,
        title: header.title,
        severity: header.severity,
        owner: header.owner,
        remedy: header.remedy,
        on: on?,
        on_error: on_error.unwrap_or(RequestEffect::Block),
        streaming: streaming.unwrap_or(Streaming::FirstSafeBoundary),
        applies: applies?,
        obliges,
        cites,
        windows,
        maps,
        tests,
        line,
        text: reader.text.to_owned(),
    })
}

fn on_error(name: &str) -> Option<RequestEffect> {
    [RequestEffect::Block, RequestEffect::Allow, RequestEffect::Hold].into_iter().find(|effect| effect.name() == name)
}

fn obliges(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Vec<Oblige> {
    let entry = table.need(reader, "oblige");
    let tables = reader.tables("oblige", entry);
    if let Some(entry) = entry.filter(|_| tables.is_empty()) {
        reader.error(entry.span(), "field-value", "expected at least one obligation: a card without one does nothing");
    }
    tables.into_iter().filter_map(|table| oblige(reader, table)).collect()
}

fn oblige(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Oblige> {
    let condition = |reader: &mut Reader<'_>, entry: Option<Entry<'_>>| -> Option<Option<Expr>> {
        match entry {
            None => Some(None),
            entry => reader.condition(entry, Place::Elsewhere).map(Some),
        }
    };
    let when = condition(reader, table.take("when"));
    let unless = condition(reader, table.take("unless"));
    let entry = table.need(reader, "do");
    let does = obligations(reader, entry);
    if let Some(entry) = entry.filter(|entry| entry.value.as_array().is_some_and(|items| items.is_empty())) {
        reader.error(entry.span(), "field-value", "expected at least one obligation");
    }
    table.finish(reader);
    Some(Oblige { when: when?, unless: unless?, does: does? })
}

/// A list of obligations, sorted.
fn obligations(reader: &mut Reader<'_>, entry: Option<Entry<'_>>) -> Option<Vec<Obligation>> {
    let items = reader.items(entry)?;
    let mut all: Vec<Obligation> = items.into_iter().filter_map(|item| obligation(reader, item)).collect();
    all.sort();
    all.dedup();
    Some(all)
}

fn obligation(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<Obligation> {
    let text = reader.text(Some(entry))?;
    match Obligation::parse(&text) {
        Ok(obligation) => Some(obligation),
        Err(error) => {
            let near = match &error {
                ObligationError::Verb { near, .. } => *near,
                ObligationError::Argument { .. } => None,
            };
            let shown = reader.error(entry.span(), "unknown-obligation", error.to_string());
            shown.hint = near.map(|near| format!("did you mean `{near}`?"));
            None
        }
    }
}

fn tests(reader: &mut Reader<'_>, table: &mut Table<'_>, on: Point) -> Vec<RequestTest> {
    let entry = table.take("tests");
    let tables = reader.tables("tests", entry);
    tables.into_iter().filter_map(|table| test(reader, table, on)).collect()
}

fn test(reader: &mut Reader<'_>, mut table: Table<'_>, on: Point) -> Option<RequestTest> {
    let line = reader.text[..table.span.start].matches('\n').count() + 1;
    let as_of = table.need(reader, "as_of");
    let as_of = reader.date(as_of);
    let system = table.take("system").map(|entry| super::system(reader, entry)).unwrap_or_default();
    let mut request = Request::new(on);
    for root in ["request", "response"] {
        if let Some(entry) = table.take(root) {
            given(reader, root, entry, &mut request);
        }
    }
    let failed = table.take("failed");
    for entry in reader.items(failed).unwrap_or_default() {
        let path = reader.text(Some(entry)).unwrap_or_default();
        if request.fail(&path).is_err() {
            unknown(reader, entry, &path);
        }
    }
    let expect = table.need(reader, "expect");
    let expect = reader.choice(expect, &CardState::NAMES, CardState::from_name);
    let because = table.take("because").and_then(|entry| because(reader, entry, expect));
    let oblige = table.take("oblige").and_then(|entry| obligations(reader, Some(entry)));
    let effect = reader.choice(table.take("effect"), &RequestEffect::NAMES, |name| {
        use RequestEffect::{Allow, Block, Hold, Redact};
        [Allow, Redact, Hold, Block].into_iter().find(|effect| effect.name() == name)
    });
    table.finish(reader);
    Some(RequestTest { as_of: as_of?, system, request, expect: expect?, because, oblige, effect, line })
}

fn because(reader: &mut Reader<'_>, entry: Entry<'_>, expect: Option<CardState>) -> Option<String> {
    let code = reader.text(Some(entry))?;
    let known = REASONS.iter().filter(|(_, state)| expect.is_none_or(|expect| expect == *state));
    let known: Vec<&str> = known.map(|(code, _)| *code).collect();
    if !known.contains(&code.as_str()) {
        reader.error(entry.span(), "field-value", format!("expected {}, found `{code}`", wire::one_of(&known)));
    }
    Some(code)
}

/// Members of a test: tables are opened until their joined name is a member.
fn given(reader: &mut Reader<'_>, root: &'static str, entry: Entry<'_>, request: &mut Request) {
    let mut open = vec![(root.to_owned(), entry)];
    while let Some((path, entry)) = open.pop() {
        let Some(id) = request::find(&path) else {
            if !MEMBERS.iter().any(|member| member.path.starts_with(&format!("{path}."))) {
                unknown(reader, entry, &path);
            } else if let Some(mut table) = reader.table("tests.request", entry) {
                open.extend(table.rest().into_iter().map(|(key, _, entry)| (format!("{path}.{key}"), entry)));
            }
            continue;
        };
        let Some(value) = wire::value(reader, entry, MEMBERS[id].kind) else { continue };
        if let Err(error) = request.set(&path, value) {
            reader.error(entry.span(), "field-type", error.to_string());
        }
    }
}

fn unknown(reader: &mut Reader<'_>, entry: Entry<'_>, path: &str) {
    let error = reader.error(entry.span(), "unknown-fact", format!("no member `{path}` of a request"));
    error.hint = request::nearest_member(path).map(|near| format!("did you mean `{near}`?"));
}
