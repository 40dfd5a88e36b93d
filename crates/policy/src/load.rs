//! TOML card → compiled card, or every problem of its file.

pub(crate) mod enforce;

use crate::card::{
    Card, CardKind, CardTest, Cite, Confirmed, Grace, IntervalNeed, Mapping, Need, SCHEMA, Severity, Stage, Version,
    Window,
};
use crate::enforce::EnforceCard;
use crate::expr::{Expr, Place, Value};
use crate::facts::{self, Fact, System, system_member};
use crate::hatch::{self, Check};
use crate::jurisdiction::is_jurisdiction;
use crate::problem::{CardError, nearest};
use crate::schema::PROVENANCES;
use crate::unseen;
use crate::verdict::{Outcome, REASONS};
use crate::wire::{self, Entry, Reader, Table};
use evidence::{Decimal, Digest, Kind, Metric, Provenance, metric};
use jiff::{Timestamp, civil::Date};

/// A card of either kind.
#[derive(Debug)]
pub(crate) enum Loaded {
    Card(Box<Card>),
    Enforce(Box<EnforceCard>),
}

/// The Rego text that stands in the pack under a path.
pub(crate) type Checks<'a> = dyn FnMut(&str) -> Option<&'a str> + 'a;

/// Compiles one card file.
pub(crate) fn card(file: &str, text: &str, checks: &mut Checks<'_>) -> Result<Loaded, Vec<CardError>> {
    let mut reader = Reader::new(file, text);
    let Some(document) = reader.document() else { return Err(reader.errors) };
    let mut table = Table::new("", document.get_ref(), 0..0);
    let id = id(&mut reader, &mut table);
    let card = any_kind(&mut reader, table, id.clone(), checks);
    match card.filter(|_| reader.errors.is_empty()) {
        Some(card) => Ok(card),
        None => {
            let rule = id.unwrap_or_default();
            reader.errors.iter_mut().for_each(|error| error.rule.clone_from(&rule));
            reader.errors.sort_by_key(|error| (error.line, error.column));
            Err(once_each(reader.errors))
        }
    }
}

fn any_kind(
    reader: &mut Reader<'_>,
    mut table: Table<'_>,
    id: Option<String>,
    checks: &mut Checks<'_>,
) -> Option<Loaded> {
    if refuses_check(reader, &mut table) {
        return None;
    }
    let is_enforce = table.peek("kind").is_some_and(|kind| kind.value.as_str() == Some("enforce"));
    let card = if is_enforce {
        table.take("kind");
        enforce::members(reader, &mut table, id).map(|card| Loaded::Enforce(Box::new(card)))
    } else {
        members(reader, &mut table, id, checks).map(|card| Loaded::Card(Box::new(card)))
    };
    table.finish(reader);
    card
}

/// An unknown fact is named where it first stands, not in every test again.
fn once_each(errors: Vec<CardError>) -> Vec<CardError> {
    let mut kept: Vec<CardError> = Vec::new();
    for error in errors {
        if error.code != "unknown-fact" || !kept.iter().any(|other| other.message == error.message) {
            kept.push(error);
        }
    }
    kept
}

pub(crate) fn id(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<String> {
    let entry = table.need(reader, "id");
    let id = reader.sentence(entry)?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    if id.len() > 100 || !id.bytes().all(is_plain) {
        let span = entry.map_or(0..0, |entry| entry.span());
        let odd = id.chars().find(|letter| !letter.is_ascii());
        let error = reader.error(span, "field-value", "expected at most 100 of the letters a-z, digits, `.`, `-`, `_`");
        error.hint = odd.map(|letter| format!("`{letter}` is none of them: {}", unseen::told(letter)));
        return None;
    }
    Some(id)
}

/// Without Rego in the build, a card with `[check]` is refused as a whole, so that its other fields make no noise.
fn refuses_check(reader: &mut Reader<'_>, table: &mut Table<'_>) -> bool {
    let Some(check) = table.peek("check").filter(|_| !hatch::IS_SUPPORTED) else { return false };
    let error = reader.error(check.span(), "unsupported", "`[check]` with Rego is not part of this build");
    error.hint =
        Some("write the two conditions `pass_when` and `fail_when`, or build with the feature `rego`".to_owned());
    true
}

/// `[check]`: the Rego file instead of the two conditions.
fn check(reader: &mut Reader<'_>, entry: Entry<'_>, id: Option<&str>, checks: &mut Checks<'_>) -> Option<Check> {
    let mut table = reader.table("check", entry)?;
    let rego = table.need(reader, "rego");
    let path = reader.sentence(rego);
    table.finish(reader);
    let (path, rego) = (path?, rego?);
    // The file stands beside the card.
    let beside = reader.file.rsplit_once('/').map_or(path.clone(), |(folder, _)| format!("{folder}/{path}"));
    let Some(text) = checks(&beside) else {
        reader.error(rego.span(), "missing-file", format!("no file `{beside}` in the pack"));
        return None;
    };
    match Check::new(id?, &beside, text) {
        Ok(check) => Some(check),
        Err(problem) => {
            reader.error(rego.span(), "rego", problem);
            None
        }
    }
}

/// The plain fields that every card has.
struct Header {
    version: Version,
    title: String,
    severity: Severity,
    owner: String,
    remedy: String,
}

fn header(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<Header> {
    let schema = table.need(reader, "schema");
    if let Some(found) = reader.int(schema).filter(|schema| *schema != SCHEMA) {
        let span = schema.map_or(0..0, |entry| entry.span());
        reader.error(span, "field-value", format!("expected schema {SCHEMA}, found {found}"));
    }
    let version = reader.version(table);
    let mut sentence = |reader: &mut Reader<'_>, key| {
        let entry = table.need(reader, key);
        reader.sentence(entry)
    };
    let [title, owner, remedy] = ["title", "owner", "remedy"].map(|key| sentence(reader, key));
    let severity = table.need(reader, "severity");
    let severity = reader.choice(severity, &Severity::NAMES, Severity::from_name);
    Some(Header { version: version?, title: title?, severity: severity?, owner: owner?, remedy: remedy? })
}

pub(crate) fn members(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    id: Option<String>,
    checks: &mut Checks<'_>,
) -> Option<Card> {
    let header = header(reader, table);
    let kind = table.need(reader, "kind");
    let kind = reader.choice(kind, &["assess", "attest", "enforce"], |name| {
        [CardKind::Assess, CardKind::Attest].into_iter().find(|kind| kind.name() == name)
    });
    let gates = gates(reader, table);
    let cites = cites(reader, table);
    let windows = windows(reader, table);
    let needs = needs(reader, table);
    let maps = maps(reader, table);
    let check_entry = table.take("check");
    let check = check_entry.and_then(|entry| check(reader, entry, id.as_deref(), checks));
    let conditions = match check_entry {
        Some(entry) => checked_conditions(reader, table, kind, entry),
        None => conditions(reader, table, kind, &needs),
    };
    let tests = tests(reader, table, &needs);
    let (conditions, lines) = conditions?;
    let [applies, pass_when, fail_when] = conditions;
    let header = header?;
    let card = Card {
        file: reader.file.to_owned(),
        digest: Digest::of(reader.text.as_bytes()),
        id: id?,
        version: header.version,
        kind: kind?,
        title: header.title,
        severity: header.severity,
        owner: header.owner,
        remedy: header.remedy,
        gates,
        applies,
        pass_when,
        fail_when,
        check,
        cites,
        windows,
        needs,
        maps,
        tests,
        leaves: Vec::new(),
        readings: Vec::new(),
        read_at: Vec::new(),
        lines,
        text: reader.text.to_owned(),
    };
    Some(card.with_slots())
}

fn gates(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Vec<Stage> {
    let Some(entry) = table.take("gates") else { return vec![Stage::Release] };
    let items = reader.items(Some(entry)).unwrap_or_default();
    if items.is_empty() {
        reader.error(entry.span(), "field-value", "expected at least one stage");
    }
    let mut gates: Vec<Stage> =
        items.into_iter().filter_map(|item| reader.choice(Some(item), &Stage::NAMES, Stage::from_name)).collect();
    gates.sort_unstable();
    gates.dedup();
    gates
}

fn cites(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Vec<Cite> {
    let entry = table.need(reader, "cite");
    let cites = reader.tables("cite", entry);
    if let Some(entry) = entry.filter(|_| cites.is_empty()) {
        reader.error(entry.span(), "field-value", "expected at least one clause");
    }
    cites.into_iter().filter_map(|table| cite(reader, table)).collect()
}

fn cite(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Cite> {
    let mut needed = |reader: &mut Reader<'_>, key| {
        let entry = table.need(reader, key);
        reader.sentence(entry)
    };
    let [instrument, locator, says] = ["instrument", "locator", "says"].map(|key| needed(reader, key));
    let [house, sanction] = ["house", "sanction"].map(|key| reader.sentence(table.take(key)));
    let confirmed = table.need(reader, "confirmed");
    let confirmed = reader.choice(confirmed, &Confirmed::NAMES, Confirmed::from_name);
    let read = table.take("read").and_then(|entry| {
        let mut read = reader.table("cite.read", entry)?;
        let (by, on) = (read.need(reader, "by"), read.need(reader, "on"));
        let pair = (reader.sentence(by), reader.date(on));
        read.finish(reader);
        Some((pair.0?, pair.1?))
    });
    table.finish(reader);
    Some(Cite { instrument: instrument?, locator: locator?, says: says?, house, sanction, confirmed: confirmed?, read })
}

fn windows(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Vec<Window> {
    let entry = table.need(reader, "force");
    let windows = reader.tables("force", entry);
    if let Some(entry) = entry.filter(|_| windows.is_empty()) {
        reader.error(entry.span(), "field-value", "expected at least one window: a rule without one is never in force");
    }
    let mut known: Vec<Window> = Vec::new();
    for table in windows {
        let span = table.span.clone();
        let Some(window) = window(reader, table) else { continue };
        if let Some(other) = known.iter().find(|other| contradicts(other, &window)) {
            let until = other.until.map_or("without end".to_owned(), |until| format!("to {until}"));
            let message = format!("overlaps the window from {} {until} for the same systems", other.from);
            let error = reader.error(span, "dates-overlap", message);
            error.hint = Some("end the earlier window with `until`, or tell the two apart with `when`".to_owned());
        }
        known.push(window);
    }
    known
}

/// Two windows over the same systems that share a day: which of their graces and ends counts would be chance.
fn contradicts(a: &Window, b: &Window) -> bool {
    let text = |window: &Window| window.when.as_ref().map(|when| when.text().to_owned());
    let ends_before = |one: &Window, other: &Window| one.until.is_some_and(|until| until <= other.from);
    text(a) == text(b) && !ends_before(a, b) && !ends_before(b, a)
}

fn window(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Window> {
    let when = reader.condition(table.take("when"), Place::Elsewhere);
    let from = table.need(reader, "from");
    let from = reader.date(from);
    let until_entry = table.take("until");
    let last = reader.date(until_entry);
    refuse_reversed(reader, from, last, until_entry);
    let tz = reader.sentence(table.take("tz"));
    let source = table.need(reader, "source");
    let source = reader.sentence(source);
    let grace = table.take("grace");
    let grace = reader.tables("force.grace", grace).into_iter().filter_map(|mut table| {
        let when = reader.condition(table.take("when"), Place::Elsewhere);
        let entry = table.need(reader, "until");
        let until = reader.date(entry);
        refuse_reversed(reader, from, until, entry);
        refuse_outlasting(reader, last, until, entry);
        let source = table.need(reader, "source");
        let source = reader.sentence(source);
        table.finish(reader);
        Some(Grace { when, until: until?, source: source? })
    });
    let grace = grace.collect();
    table.finish(reader);
    Some(Window { when, from: from?, until: last, tz, source: source?, grace })
}

fn refuse_reversed(reader: &mut Reader<'_>, from: Option<Date>, until: Option<Date>, entry: Option<Entry<'_>>) {
    if let (Some(from), Some(until), Some(entry)) = (from, until, entry)
        && from >= until
    {
        let message = format!("expected a day after {from}, found {until}");
        let error = reader.error(entry.span(), "dates-reversed", message);
        error.hint = Some("`until` is the first day out of force".to_owned());
    }
}

/// A grace that lasts as long as its window leaves no day in force.
fn refuse_outlasting(reader: &mut Reader<'_>, window: Option<Date>, grace: Option<Date>, entry: Option<Entry<'_>>) {
    if let (Some(window), Some(grace), Some(entry)) = (window, grace, entry)
        && grace >= window
    {
        let message = format!("expected a day before {window}, the end of the window, found {grace}");
        reader.error(entry.span(), "dates-overlap", message).hint =
            Some("the grace ends before the rule does, or the rule binds nobody".to_owned());
    }
}

fn needs(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Vec<Need> {
    let entry = table.take("needs");
    let mut needs: Vec<Need> = Vec::new();
    for table in reader.tables("needs", entry) {
        let span = table.span.clone();
        let Some(need) = need(reader, table) else { continue };
        if needs.iter().any(|other| other.metric.id == need.metric.id) {
            reader.error(span, "duplicate", format!("the fact `{}` is needed twice", need.metric.id));
        }
        needs.push(need);
    }
    needs
}

fn need(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Need> {
    let entry = table.need(reader, "fact");
    let fact = reader.text(entry);
    let metric = fact.and_then(|id| known_fact(reader, entry?, &id));
    agrees(reader, &mut table, "type", metric.map(|metric| metric.kind.name()), true);
    agrees(reader, &mut table, "subject", metric.map(|metric| metric.about.name()), false);
    agrees(reader, &mut table, "unit", metric.map(|metric| metric.unit.symbol()), false);
    let min_n = reader.count(table.take("min_n"));
    let max_age_days = reader.count(table.take("max_age_days"));
    let min_provenance = reader.choice(table.take("min_provenance"), &PROVENANCES, Provenance::from_name);
    let interval = table.take("interval").and_then(|entry| interval(reader, entry));
    let is_optional = reader.flag(table.take("optional")).unwrap_or(false);
    table.finish(reader);
    Some(Need { metric: metric?, min_n, max_age_days, min_provenance, interval, is_optional })
}

fn interval(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<IntervalNeed> {
    let mut table = reader.table("needs.interval", entry)?;
    let method = table.need(reader, "method");
    let method = reader.sentence(method);
    let level = reader.decimal(table.take("level"));
    let sides_entry = table.take("sides");
    let sides = reader.count(sides_entry).unwrap_or(2);
    if let Some(entry) = sides_entry.filter(|_| sides != 1 && sides != 2) {
        reader.error(entry.span(), "field-value", format!("expected 1 or 2 sides, found {sides}"));
    }
    table.finish(reader);
    Some(IntervalNeed { method: method?, level, sides })
}

fn known_fact(reader: &mut Reader<'_>, entry: Entry<'_>, id: &str) -> Option<&'static Metric> {
    let found = metric::find(id);
    if found.is_none() {
        let near = nearest(id, metric::CATALOGUE.iter().map(|metric| metric.id));
        let span = reader.within(entry, &(0..id.len()));
        let error = reader.error(span, "unknown-fact", format!("no fact `{id}` in the catalogue"));
        error.hint = near.map(|near| format!("did you mean `{near}`?"));
    }
    found
}

/// What the card says of a fact must be what the catalogue says.
fn agrees(reader: &mut Reader<'_>, table: &mut Table<'_>, key: &'static str, known: Option<&str>, is_required: bool) {
    let entry = if is_required { table.need(reader, key) } else { table.take(key) };
    let (Some(entry), Some(known)) = (entry, known) else { return };
    if let Some(found) = reader.text(Some(entry)).filter(|found| found != known) {
        let message = format!("expected the {key} `{known}` of the catalogue, found `{found}`");
        reader.error(entry.span(), "fact-mismatch", message);
    }
}

fn maps(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Vec<Mapping> {
    let entry = table.take("maps");
    let tables = reader.tables("maps", entry);
    tables.into_iter().filter_map(|table| mapping(reader, table)).collect()
}

fn mapping(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<Mapping> {
    let span = table.span.clone();
    let to = reader.sentence(table.take("to"));
    let reviewed = reader.flag(table.take("reviewed"));
    let reason = reader.sentence(table.take("reason"));
    table.finish(reader);
    match (to, reviewed, reason) {
        (Some(to), None, None) => Some(Mapping::To(to)),
        (None, Some(false), Some(reason)) => Some(Mapping::None(reason)),
        _ => {
            let message = "expected `to = \"framework:control\"`, or `reviewed = false` with a `reason`";
            reader.error(span, "field-value", message);
            None
        }
    }
}

type Conditions = ([Expr; 3], [usize; 3]);

fn conditions(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    kind: Option<CardKind>,
    needs: &[Need],
) -> Option<Conditions> {
    let applies = table.need(reader, "applies");
    let pass = table.take("pass_when");
    let fail = table.take("fail_when");
    let lines = [line_of(reader, applies), line_of(reader, pass), line_of(reader, fail)];
    let applies = reader.condition(applies, Place::Elsewhere);
    let (pass, fail) = match (kind?, pass, fail) {
        (CardKind::Attest, None, None) => answered(reader, needs)?,
        (_, None, _) => {
            reader.error(0..0, "missing-field", "expected the field `pass_when`");
            return None;
        }
        (_, pass, fail) => {
            let pass = reader.condition(pass, Place::PassWhen);
            // A card without `fail_when` never fails: what is not shown stays unknown.
            let fail = match fail {
                None => Some(Expr::constant(false)),
                fail => reader.condition(fail, Place::Elsewhere),
            };
            (pass?, fail?)
        }
    };
    Some(([applies?, pass, fail], lines))
}

/// The conditions of a card with a Rego file: `applies` as ever, the other two never hold.
fn checked_conditions(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    kind: Option<CardKind>,
    check: Entry<'_>,
) -> Option<Conditions> {
    let applies = table.need(reader, "applies");
    let lines = [line_of(reader, applies), line_of(reader, Some(check)), line_of(reader, Some(check))];
    let applies = reader.condition(applies, Place::Elsewhere);
    for other in ["pass_when", "fail_when"] {
        if let Some(entry) = table.take(other) {
            reader.error(
                entry.span(),
                "field-value",
                format!("`{other}` stands beside `[check]`: one of them decides"),
            );
        }
    }
    if kind == Some(CardKind::Attest) {
        reader.error(
            check.span(),
            "field-value",
            "`[check]` is for `assess` cards: a person's answer needs no program",
        );
    }
    Some(([applies?, Expr::constant(false), Expr::constant(false)], lines))
}

/// From 1; 1 for what is not written.
fn line_of(reader: &Reader<'_>, entry: Option<Entry<'_>>) -> usize {
    entry.map_or(1, |entry| reader.text[..entry.span().start].matches('\n').count() + 1)
}

/// The conditions of an `attest` card that writes none: every answer is there, and no answer is `no`.
fn answered(reader: &mut Reader<'_>, needs: &[Need]) -> Option<(Expr, Expr)> {
    if needs.is_empty() {
        let error = reader.error(0..0, "missing-field", "expected the field `needs`");
        error.hint = Some("an `attest` card passes on the declarations it needs".to_owned());
        return None;
    }
    let pass: Vec<String> = needs
        .iter()
        .map(|need| match need.metric.kind {
            Kind::Flag => format!("{}.value", need.metric.id),
            Kind::Document => format!("{}.present", need.metric.id),
            _ => format!("has({}.value)", need.metric.id),
        })
        .collect();
    let fail = needs.iter().filter_map(|need| match need.metric.kind {
        Kind::Flag => Some(format!("!{}.value", need.metric.id)),
        Kind::Document => Some(format!("!{}.present", need.metric.id)),
        _ => None,
    });
    let fail: Vec<String> = fail.collect();
    let pass = Expr::compile(&pass.join(" && "), Place::PassWhen, &wire::resolve);
    let fail = match fail.as_slice() {
        [] => Ok(Expr::constant(false)),
        fail => Expr::compile(&fail.join(" || "), Place::Elsewhere, &wire::resolve),
    };
    match (pass, fail) {
        (Ok(pass), Ok(fail)) => Some((pass, fail)),
        (Err(error), _) | (_, Err(error)) => {
            reader.error(0..0, error.code, error.message);
            None
        }
    }
}

fn tests(reader: &mut Reader<'_>, table: &mut Table<'_>, needs: &[Need]) -> Vec<CardTest> {
    let entry = table.take("tests");
    let tables = reader.tables("tests", entry);
    tables.into_iter().filter_map(|table| test(reader, table, needs)).collect()
}

fn test(reader: &mut Reader<'_>, mut table: Table<'_>, needs: &[Need]) -> Option<CardTest> {
    let line = reader.text[..table.span.start].matches('\n').count() + 1;
    let as_of = table.need(reader, "as_of");
    let as_of = reader.date(as_of);
    let system = table.take("system").map(|entry| system(reader, entry)).unwrap_or_default();
    let given = table.take("given").map(|entry| given(reader, entry, as_of, needs)).unwrap_or_default();
    let expect = table.need(reader, "expect");
    let expect = reader.choice(expect, &Outcome::NAMES, Outcome::from_name);
    let because = table.take("because");
    let because = because.and_then(|entry| {
        let code = reader.text(Some(entry))?;
        let known = REASONS.iter().filter(|(_, outcome)| expect.is_none_or(|expect| expect == *outcome));
        let known: Vec<&str> = known.map(|(code, _)| *code).collect();
        if !known.contains(&code.as_str()) {
            let message = format!("expected {}, found `{code}`", wire::one_of(&known));
            reader.error(entry.span(), "field-value", message);
        }
        Some(code)
    });
    table.finish(reader);
    Some(CardTest { as_of: as_of?, system, given, expect: expect?, because, line })
}

fn system(reader: &mut Reader<'_>, entry: Entry<'_>) -> System {
    let mut system = System::new();
    let Some(mut table) = reader.table("tests.system", entry) else { return system };
    for (name, span, entry) in table.rest() {
        let Some((name, kind)) = system_member(name) else {
            let near = nearest(name, metric::SYSTEM.iter().map(|(name, _, _)| *name));
            let error = reader.error(span, "unknown-fact", format!("no member `{name}` of `system`"));
            error.hint = near.map(|near| format!("did you mean `{near}`?"));
            continue;
        };
        let Some(value) = wire::value(reader, entry, kind) else { continue };
        if name == "jurisdictions" {
            check_jurisdictions(reader, entry, &value);
        }
        if let Err(error) = system.set(name, value) {
            reader.error(entry.span(), "field-type", error.to_string());
        }
    }
    system
}

fn check_jurisdictions(reader: &mut Reader<'_>, entry: Entry<'_>, value: &Value) {
    let Value::List(items) = value else { return };
    for item in items {
        if let Value::Text(name) = item
            && !is_jurisdiction(name)
        {
            reader.unknown_jurisdiction(entry.span(), name);
        }
    }
}

/// The facts of a test: keys may be dotted, so tables are opened until their joined name is an id.
fn given(reader: &mut Reader<'_>, entry: Entry<'_>, as_of: Option<Date>, needs: &[Need]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut open = vec![(String::new(), entry.span(), entry)];
    while let Some((name, key, entry)) = open.pop() {
        if let Some(metric) = metric::find(&name) {
            let need = needs.iter().find(|need| need.metric.id == metric.id);
            facts.extend(as_of.and_then(|as_of| given_fact(reader, entry, metric, as_of, need)));
            continue;
        }
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        let is_prefix = name.is_empty() || metric::CATALOGUE.iter().any(|metric| metric.id.starts_with(&prefix));
        if !is_prefix {
            let near = nearest(&name, metric::CATALOGUE.iter().map(|metric| metric.id));
            let error = reader.error(key, "unknown-fact", format!("no fact `{name}` in the catalogue"));
            error.hint = near.map(|near| format!("did you mean `{near}`?"));
            continue;
        }
        let Some(mut table) = reader.table("tests.given", entry) else { continue };
        open.extend(table.rest().into_iter().map(|(key, span, entry)| (format!("{prefix}{key}"), span, entry)));
    }
    facts.sort_by_key(|fact: &Fact| fact.metric.id);
    facts
}

fn given_fact(
    reader: &mut Reader<'_>,
    entry: Entry<'_>,
    metric: &'static Metric,
    as_of: Date,
    need: Option<&Need>,
) -> Option<Fact> {
    let mut table = reader.table("tests.given", entry)?;
    let mut held = Vec::new();
    for (field, kind) in facts::fields(metric.kind) {
        let Some(entry) = table.take(field) else { continue };
        held.extend(wire::value(reader, entry, *kind).map(|value| (*field, Ok(value))));
    }
    let n = match held.iter().find(|(field, _)| *field == "n") {
        Some((_, Ok(Value::Int(n)))) => u64::try_from(*n).ok(),
        _ => reader.count(table.take("n")),
    };
    let is_declared_kind = matches!(metric.kind, Kind::Flag | Kind::Text | Kind::List | Kind::Moment | Kind::Document);
    let default = if is_declared_kind { Provenance::Declared } else { Provenance::Measured };
    let provenance = reader.choice(table.take("provenance"), &PROVENANCES, Provenance::from_name).unwrap_or(default);
    let age = reader.count(table.take("age_days")).unwrap_or(0);
    let expires = reader.count(table.take("expires_in_days")).unwrap_or(365);
    let needed = need.and_then(|need| need.interval.as_ref());
    let method = reader.sentence(table.take("method")).or_else(|| needed.map(|interval| interval.method.clone()));
    let level = reader.decimal(table.take("level")).or_else(|| needed.and_then(|interval| interval.level));
    table.finish(reader);
    let is_declared = provenance == Provenance::Declared;
    let at = days_after(as_of, -i64::try_from(age).ok()?)?;
    Some(Fact {
        metric,
        source: Digest::of(metric.id.as_bytes()),
        subject: None,
        provenance,
        at: midnight(at)?,
        expires: if is_declared { Some(days_after(as_of, i64::try_from(expires).ok()?)?) } else { None },
        is_declared,
        n,
        interval_method: method,
        interval_level: level.or(Decimal::new(95, -2)),
        fields: held,
    })
}

fn days_after(day: Date, days: i64) -> Option<Date> {
    day.checked_add(jiff::SignedDuration::from_hours(days.checked_mul(24)?)).ok()
}

fn midnight(day: Date) -> Option<Timestamp> {
    jiff::tz::Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
}
