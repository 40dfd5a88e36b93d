//! TOML as written → typed members with their places. Every problem of a file is collected, not only the first.

use crate::card::Version;
use crate::expr::{self, Expr, ExprError, Place, Source, Type, Unresolved};
use crate::problem::{CardError, nearest};
use crate::request::{self, MEMBERS, Point};
use crate::{facts, facts::system_member, jurisdiction, unseen};
use evidence::{Decimal, metric};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use std::{fmt::Display, ops::Range};
use toml::de::{DeTable, DeValue};

/// Bytes of one sentence for people.
pub(crate) const SENTENCE_MAX: usize = 2048;

/// Fields by which other formats draw in other files.
const IMPORTS: [&str; 5] = ["import", "imports", "include", "extends", "use"];

/// A file being read, and its problems so far.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    pub(crate) errors: Vec<CardError>,
    pub(crate) scope: Scope,
    /// The fields that were asked for, by table: what the schema is held against.
    pub(crate) asked: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

/// What the conditions that are being read may speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Facts and `system`.
    Facts,
    /// `system` alone.
    System,
    /// `system`, `request`, and `response` where it is known.
    Request(Point),
}

/// One value with its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) value: &'a DeValue<'a>,
    start: usize,
    end: usize,
}

impl Entry<'_> {
    pub(crate) fn span(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// A table from which members are taken by name; what is left over is unknown.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// As its header is written: `needs`, or empty for the card itself.
    name: &'static str,
    members: Vec<(&'a str, Range<usize>, Entry<'a>)>,
    known: Vec<&'static str>,
    pub(crate) span: Range<usize>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(name: &'static str, table: &'a DeTable<'a>, span: Range<usize>) -> Self {
        let entry = |value: &'a toml::Spanned<DeValue<'a>>| Entry {
            value: value.get_ref(),
            start: value.span().start,
            end: value.span().end,
        };
        let members = table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), entry(value))).collect();
        Self { name, members, known: Vec::new(), span }
    }

    pub(crate) fn take(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.known.push(key);
        let position = self.members.iter().position(|(name, _, _)| *name == key)?;
        Some(self.members.remove(position).2)
    }

    pub(crate) fn peek(&self, key: &str) -> Option<Entry<'a>> {
        self.members.iter().find(|(name, _, _)| *name == key).map(|(_, _, entry)| *entry)
    }

    pub(crate) fn need(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Entry<'a>> {
        let entry = self.take(key);
        if entry.is_none() {
            let place = if self.name.is_empty() { String::new() } else { format!(" in `[[{}]]`", self.name) };
            reader.error(self.span.clone(), "missing-field", format!("expected the field `{key}`{place}"));
        }
        entry
    }

    /// What is left over, with its key's place.
    pub(crate) fn rest(&mut self) -> Vec<(&'a str, Range<usize>, Entry<'a>)> {
        std::mem::take(&mut self.members)
    }

    /// Every field not taken is unknown.
    pub(crate) fn finish(mut self, reader: &mut Reader<'_>) {
        reader.asked.entry(self.name).or_default().extend(self.known.iter().copied());
        for (key, span, _) in self.rest() {
            if let Some(letter) = key.chars().find(|letter| !letter.is_ascii()) {
                let place = if self.name.is_empty() { String::new() } else { format!(" in `[[{}]]`", self.name) };
                let error = reader.error(span, "unknown-field", format!("unknown field `{key}`{place}"));
                error.hint = Some(format!("`{letter}` is no letter of a field: {}", unseen::told(letter)));
                continue;
            }
            if self.name.is_empty() && IMPORTS.contains(&key) {
                let error = reader.error(span, "unsupported", format!("`{key}`: a card imports nothing"));
                error.hint = Some("write the rule whole; a card is read, hashed and decided by itself".to_owned());
                continue;
            }
            let is_stray = !self.name.is_empty() && crate::card::FIELDS.contains(&key);
            let error = match (is_stray, self.name) {
                (true, name) => reader.error(span, "misplaced-field", format!("`{key}` stands inside `[[{name}]]`")),
                (false, "") => reader.error(span, "unknown-field", format!("unknown field `{key}`")),
                (false, name) => reader.error(span, "unknown-field", format!("unknown field `{key}` in `[[{name}]]`")),
            };
            if is_stray {
                error.hint =
                    Some("a bare key after a `[[table]]` belongs to it: move it above the first `[[…]]`".to_owned());
            } else if let Some(name) = nearest(key, self.known.iter().copied()) {
                error.hint = Some(format!("did you mean `{name}`?"));
            }
        }
    }
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, errors: Vec::new(), scope: Scope::Facts, asked: BTreeMap::new() }
    }

    /// The document, once it is known to be of a size and in letters that can be read; `None` with the problem noted.
    pub(crate) fn document(&mut self) -> Option<toml::Spanned<DeTable<'a>>> {
        if let Some(error) = CardError::of_size(self.file, self.text.len() as u64) {
            self.errors.push(error);
            return None;
        }
        if let Some((at, character)) = unseen::first_unseen(self.text) {
            let message = format!("U+{:04X} cannot be seen", character as u32);
            let error = self.error(at..at + character.len_utf8(), "unseen-character", message);
            error.hint = Some("delete it; a card says only what its reader sees".to_owned());
            return None;
        }
        match DeTable::parse(self.text) {
            Ok(document) => Some(document),
            Err(error) => {
                self.error(error.span().unwrap_or(0..0), "toml", error.message().to_owned());
                None
            }
        }
    }

    pub(crate) fn error(
        &mut self,
        span: Range<usize>,
        code: &'static str,
        message: impl Into<String>,
    ) -> &mut CardError {
        self.errors.push(CardError::at(self.file, self.text, span, code, message.into()));
        let last = self.errors.len() - 1;
        &mut self.errors[last]
    }

    pub(crate) fn wrong_type(&mut self, entry: Entry<'_>, expected: &str) {
        let found = entry.value.type_str();
        self.error(entry.span(), "field-type", format!("expected {expected}, found {found}"));
    }

    pub(crate) fn text(&mut self, entry: Option<Entry<'_>>) -> Option<String> {
        let entry = entry?;
        let Some(text) = entry.value.as_str() else {
            self.wrong_type(entry, "a text");
            return None;
        };
        if text.len() > SENTENCE_MAX {
            let message = format!("expected at most {SENTENCE_MAX} bytes, found {}", text.len());
            self.error(entry.span(), "limit", message);
            return None;
        }
        Some(text.to_owned())
    }

    /// A text that is not blank.
    pub(crate) fn sentence(&mut self, entry: Option<Entry<'_>>) -> Option<String> {
        let text = self.text(entry)?;
        if text.trim().is_empty() {
            self.error(entry.map_or(0..0, |entry| entry.span()), "field-value", "expected a sentence, found nothing");
            return None;
        }
        Some(text)
    }

    pub(crate) fn flag(&mut self, entry: Option<Entry<'_>>) -> Option<bool> {
        let entry = entry?;
        let value = entry.value.as_bool();
        if value.is_none() {
            self.wrong_type(entry, "true or false");
        }
        value
    }

    pub(crate) fn count(&mut self, entry: Option<Entry<'_>>) -> Option<u64> {
        let entry = entry?;
        let value = self.int(Some(entry))?;
        let count = u64::try_from(value).ok();
        if count.is_none() {
            self.error(entry.span(), "field-value", format!("expected a number that is not negative, found `{value}`"));
        }
        count
    }

    pub(crate) fn int(&mut self, entry: Option<Entry<'_>>) -> Option<i64> {
        let entry = entry?;
        let Some(integer) = entry.value.as_integer() else {
            self.wrong_type(entry, "an integer");
            return None;
        };
        let value = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        if value.is_none() {
            self.error(entry.span(), "field-value", "expected an integer of 64 bits");
        }
        value
    }

    /// An exact decimal: a TOML float or integer as it is written, never through a binary float.
    pub(crate) fn decimal(&mut self, entry: Option<Entry<'_>>) -> Option<Decimal> {
        let entry = entry?;
        let written = match entry.value {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().to_owned(),
            DeValue::Float(float) => float.as_str().to_owned(),
            _ => {
                self.wrong_type(entry, "a number");
                return None;
            }
        };
        let plain = written.replace('_', "").replace("e+", "e").replace("E+", "E");
        match plain.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let error: evidence::DecimalError = error;
                self.error(entry.span(), "field-value", error.to_string());
                None
            }
        }
    }

    pub(crate) fn date(&mut self, entry: Option<Entry<'_>>) -> Option<Date> {
        let entry = entry?;
        let date = entry.value.as_datetime().and_then(|time| match (time.date, time.time) {
            (Some(date), None) => Date::new(i16::try_from(date.year).ok()?, date.month as i8, date.day as i8).ok(),
            _ => None,
        });
        if date.is_none() {
            let found = entry.value.type_str();
            let hint = "write it without quotation marks: `2026-08-02`";
            self.error(entry.span(), "field-type", format!("expected a date, found {found}")).hint =
                Some(hint.to_owned());
        }
        date
    }

    pub(crate) fn version(&mut self, table: &mut Table<'_>) -> Option<Version> {
        let entry = table.need(self, "version");
        match self.text(entry)?.parse::<Version>() {
            Ok(version) => Some(version),
            Err(error) => {
                self.error(entry.map_or(0..0, |entry| entry.span()), "field-value", error.to_string());
                None
            }
        }
    }

    pub(crate) fn items<'b>(&mut self, entry: Option<Entry<'b>>) -> Option<Vec<Entry<'b>>> {
        let entry = entry?;
        let Some(items) = entry.value.as_array() else {
            self.wrong_type(entry, "a list");
            return None;
        };
        let item = |item: &'b toml::Spanned<DeValue<'b>>| Entry {
            value: item.get_ref(),
            start: item.span().start,
            end: item.span().end,
        };
        Some(items.iter().map(item).collect())
    }

    pub(crate) fn table<'b>(&mut self, name: &'static str, entry: Entry<'b>) -> Option<Table<'b>> {
        let Some(table) = entry.value.as_table() else {
            self.wrong_type(entry, "a table");
            return None;
        };
        Some(Table::new(name, table, entry.span()))
    }

    /// `[[name]]`, or a list of inline tables; none when the field is absent.
    pub(crate) fn tables<'b>(&mut self, name: &'static str, entry: Option<Entry<'b>>) -> Vec<Table<'b>> {
        let items = self.items(entry).unwrap_or_default();
        items.into_iter().filter_map(|item| self.table(name, item)).collect()
    }

    /// One of the names of `from_name`.
    pub(crate) fn choice<T>(
        &mut self,
        entry: Option<Entry<'_>>,
        known: &[&'static str],
        from_name: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(entry)?;
        let value = from_name(&text);
        if value.is_none() {
            let message = format!("expected {}, found `{text}`", one_of(known));
            self.error(entry.map_or(0..0, |entry| entry.span()), "field-value", message);
        }
        value
    }

    /// A condition over what is in scope.
    pub(crate) fn condition(&mut self, entry: Option<Entry<'_>>, place: Place) -> Option<Expr> {
        let scope = self.scope;
        self.condition_in(entry, place, &|path| resolve_in(scope, path))
    }

    /// A condition in a scope of its own.
    pub(crate) fn condition_in(
        &mut self,
        entry: Option<Entry<'_>>,
        place: Place,
        resolve: expr::Resolve<'_>,
    ) -> Option<Expr> {
        let entry = entry?;
        let text = entry.value.as_str();
        let Some(text) = text else {
            self.wrong_type(entry, "an expression in quotation marks");
            return None;
        };
        match Expr::compile(text, place, resolve) {
            Ok(expr) => {
                if let Some((name, span)) = jurisdiction::first_unknown(&expr) {
                    let span = self.within(entry, &span);
                    self.unknown_jurisdiction(span, &name);
                }
                Some(expr)
            }
            Err(error) => {
                self.expression_error(entry, error);
                None
            }
        }
    }

    pub(crate) fn unknown_jurisdiction(&mut self, span: Range<usize>, name: &str) {
        let error = self.error(span, "unknown-jurisdiction", format!("no jurisdiction `{name}`"));
        error.hint = Some(jurisdiction::hint(name));
    }

    fn expression_error(&mut self, entry: Entry<'_>, error: ExprError) {
        let span = self.within(entry, &error.span);
        self.error(span, error.code, error.message).hint = error.hint;
    }

    /// The place in the file of a place in a text; the whole value when escapes make the two differ.
    pub(crate) fn within(&self, entry: Entry<'_>, inner: &Range<usize>) -> Range<usize> {
        let raw = &self.text[entry.span()];
        let opening = match raw {
            raw if raw.starts_with("'''\n") || raw.starts_with("\"\"\"\n") => 4,
            raw if raw.starts_with("'''") || raw.starts_with("\"\"\"") => 3,
            _ => 1,
        };
        if raw.starts_with('"') && raw.contains('\\') {
            return entry.span();
        }
        entry.start + opening + inner.start..entry.start + opening + inner.end
    }
}

pub(crate) fn one_of(known: &[impl Display]) -> String {
    let shown: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    match shown.as_slice() {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        _ => shown.concat(),
    }
}

fn resolve_in(scope: Scope, path: &str) -> Result<(Source, Type), Unresolved> {
    let point = match scope {
        _ if path.starts_with("system.") => return resolve(path),
        Scope::Facts => return resolve(path),
        Scope::System => None,
        Scope::Request(point) => Some(point),
    };
    let refused = |code, message: String, hint: Option<String>| Err(Unresolved { code, message, hint });
    let Some(point) = point else {
        return refused(
            "out-of-scope",
            format!("`{path}` is not known before a request is there; only `system` is"),
            None,
        );
    };
    if point == Point::Input && path.starts_with("response.") {
        return refused("out-of-scope", format!("`{path}` is not known yet at the point `input`"), None);
    }
    match request::find(path) {
        Some(id) => Ok((Source::Request(id), MEMBERS[id].kind)),
        None if path.starts_with("request.") || path.starts_with("response.") => {
            let near = request::nearest_member(path).map(|near| format!("did you mean `{near}`?"));
            refused("unknown-fact", format!("no member `{path}` of a request"), near)
        }
        None => {
            let hint = "evidence is judged by an `assess` card; per request only the request itself is looked at";
            refused("out-of-scope", format!("an `enforce` card has no fact `{path}`"), Some(hint.to_owned()))
        }
    }
}

/// A path of a card: the longest id of the catalogue that stands before it, then one field; or `system.<name>`.
pub(crate) fn resolve(path: &str) -> Result<(Source, Type), Unresolved> {
    if let Some(name) = path.strip_prefix("system.") {
        let found = system_member(name).map(|(name, kind)| (Source::System(name), kind));
        return found.ok_or_else(|| Unresolved {
            code: "unknown-fact",
            message: format!("no member `{name}` of `system`"),
            hint: nearest(name, metric::SYSTEM.iter().map(|(name, _, _)| *name))
                .map(|name| format!("did you mean `{name}`?")),
        });
    }
    let is_prefix = |id: &str| path.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let longest = metric::CATALOGUE.iter().filter(|metric| is_prefix(metric.id)).max_by_key(|metric| metric.id.len());
    let Some(metric) = longest else {
        let (head, _) = path.rsplit_once('.').unwrap_or((path, ""));
        let known = || metric::CATALOGUE.iter().map(|metric| metric.id);
        let near = nearest(head, known()).or_else(|| nearest(path, known()));
        let message = format!("no fact `{head}` in the catalogue");
        return Err(Unresolved {
            code: "unknown-fact",
            message,
            hint: near.map(|near| format!("did you mean `{near}`?")),
        });
    };
    let field = path.get(metric.id.len() + 1..).unwrap_or_default();
    let fields = facts::fields(metric.kind);
    if let Some((name, kind)) = fields.iter().find(|(name, _)| *name == field) {
        return Ok((Source::Fact(metric, name), *kind));
    }
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let message = match field {
        "" => format!("`{}` is a {}; expected one of its fields", metric.id, metric.kind.name()),
        field => format!("a {} has no field `{field}`", metric.kind.name()),
    };
    Err(Unresolved { code: "unknown-fact-field", message, hint: Some(format!("it has {}", listed(&names))) })
}

pub(crate) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A scalar or list as written, for a declared value of that type.
pub(crate) fn value(reader: &mut Reader<'_>, entry: Entry<'_>, expected: Type) -> Option<expr::Value> {
    use expr::Value;
    Some(match expected {
        Type::BOOL => Value::Bool(reader.flag(Some(entry))?),
        Type::INT => Value::Int(reader.int(Some(entry))?),
        Type::DECIMAL => Value::Decimal(reader.decimal(Some(entry))?),
        Type::TEXT => Value::Text(reader.text(Some(entry))?),
        Type::DURATION => Value::Duration(reader.duration(entry)?),
        Type::TIMESTAMP => Value::Timestamp(reader.moment(entry)?),
        Type::TEXTS => {
            let items = reader.items(Some(entry))?;
            Value::List(items.into_iter().filter_map(|item| reader.text(Some(item))).map(Value::Text).collect())
        }
        _ => {
            reader.wrong_type(entry, &expected.to_string());
            return None;
        }
    })
}

impl Reader<'_> {
    fn duration(&mut self, entry: Entry<'_>) -> Option<i64> {
        let text = self.text(Some(entry))?;
        let nanos = expr::parse_duration(&text);
        if nanos.is_none() {
            let error = self.error(entry.span(), "field-value", format!("expected a duration, found `{text}`"));
            error.hint = Some("hours, minutes and seconds only: `360h` for 15 days".to_owned());
        }
        nanos
    }

    /// An instant, or a date: its first instant in UTC.
    fn moment(&mut self, entry: Entry<'_>) -> Option<jiff::Timestamp> {
        let written = entry.value.as_datetime().map(ToString::to_string);
        let written = match (written, entry.value.as_str()) {
            (Some(written), _) if written.len() == 10 => format!("{written}T00:00:00Z"),
            (Some(written), _) => written.replace(' ', "T"),
            (None, Some(text)) => text.to_owned(),
            (None, None) => {
                self.wrong_type(entry, "a date or an instant");
                return None;
            }
        };
        let time = expr::parse_timestamp(&written);
        if time.is_none() {
            self.error(entry.span(), "field-value", format!("expected a date or an instant, found `{written}`"));
        }
        time
    }
}
