//! Class files → compiled classes: TOML in, a graph without cycles out.

use super::answers::{document, finished};
use super::table;
use crate::card::{Cite, Confirmed, SCHEMA, Window};
use crate::expr::{Expr, Leaf, Place, Source, Type, Unresolved};
use crate::problem::{CardError, nearest};
use crate::wire::{Entry, Reader, Table};

/// How strict an EU class is, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RiskClass {
    Minimal,
    Limited,
    High,
    Prohibited,
}

impl RiskClass {
    const NAMES: [&str; 4] = ["minimal", "limited", "high", "prohibited"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Minimal, Self::Limited, Self::High, Self::Prohibited].into_iter().find(|class| class.name() == name)
    }
}

/// What a class says that a case may claim under `[system]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Implies {
    pub risk_class: Option<RiskClass>,
    pub risk_route: Option<String>,
    /// Flags of `system` that hold exactly where one of their classes does.
    pub flags: Vec<&'static str>,
}

/// One class: the conditions under which a use falls into it, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub regime: String,
    pub id: String,
    pub title: String,
    /// What the whole file asks for first.
    pub scope: Option<Expr>,
    pub when: Expr,
    pub unless: Option<Expr>,
    pub cites: Vec<Cite>,
    /// Empty for a class that has no dates of its own.
    pub windows: Vec<Window>,
    pub binds: Vec<String>,
    /// Rules that the class brings in.
    pub rules: Vec<String>,
    pub implies: Implies,
    pub note: Option<String>,
}

/// A part of a class's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Scope,
    When,
    Unless,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Scope, Self::When, Self::Unless];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::When => "when",
            Self::Unless => "unless",
        }
    }
}

impl Class {
    #[must_use]
    pub const fn condition(&self, part: Part) -> Option<&Expr> {
        match part {
            Part::Scope => self.scope.as_ref(),
            Part::When => Some(&self.when),
            Part::Unless => self.unless.as_ref(),
        }
    }

    /// The weakest mark among the clauses.
    #[must_use]
    pub fn confirmed(&self) -> Confirmed {
        self.cites.iter().map(|cite| cite.confirmed).min().unwrap_or(Confirmed::No)
    }

    /// Where it stands, in short: the locators of its clauses.
    #[must_use]
    pub fn locator(&self) -> String {
        self.cites.iter().map(|cite| cite.locator.as_str()).collect::<Vec<_>>().join("; ")
    }

    /// Every expression of the class, those of its dates among them.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Expr> {
        let dated = self.windows.iter().filter_map(|window| window.when.as_ref());
        Part::ALL.into_iter().filter_map(|part| self.condition(part)).chain(dated)
    }
}

/// Something of a regime that its files leave out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub regime: String,
    pub what: String,
}

/// The classes of all files, each after those that it asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes {
    classes: Vec<Class>,
    /// Positions in the order of evaluation.
    pub(super) order: Vec<usize>,
    left_out: Vec<LeftOut>,
}

impl Classes {
    /// Compiles class files, each given as path and text.
    ///
    /// # Errors
    /// Every problem of every file; a class named that no file has; classes that ask for one another in a circle.
    pub fn compile(files: &[(String, String)]) -> Result<Self, Vec<CardError>> {
        let (mut all, mut errors) = (Self::default(), Vec::new());
        for (path, text) in files {
            match file(path, text) {
                Ok((classes, left_out)) => {
                    all.classes.extend(classes);
                    all.left_out.extend(left_out);
                }
                Err(problems) => errors.extend(problems),
            }
        }
        if errors.is_empty() {
            errors = all.link(files);
        }
        if errors.is_empty() {
            return Ok(all);
        }
        errors.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        Err(errors)
    }

    /// As their files have them.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.classes.iter().position(|class| class.id == id)
    }

    /// Finds the order of evaluation; says what stands in its way.
    fn link(&mut self, files: &[(String, String)]) -> Vec<CardError> {
        let at = |class: &Class, code: &'static str, message: String| {
            let text = files.iter().find(|(path, _)| *path == class.file).map_or("", |(_, text)| text);
            let start: usize = text.split_inclusive('\n').take(class.line - 1).map(str::len).sum();
            let mut error = CardError::at(&class.file, text, start..start, code, message);
            error.rule.clone_from(&class.id);
            error
        };
        let mut errors = Vec::new();
        let mut below: Vec<Vec<usize>> = Vec::new();
        for (position, class) in self.classes.iter().enumerate() {
            if self.position(&class.id) != Some(position) {
                errors.push(at(class, "duplicate", format!("the id `{}` is already taken", class.id)));
            }
            let mut asked = Vec::new();
            for id in class.conditions().flat_map(Expr::leaves).filter_map(class_of) {
                match self.position(id) {
                    Some(other) => asked.push(other),
                    None => errors.push(at(class, "unknown-class", format!("no class `{id}`"))),
                }
            }
            below.push(asked);
        }
        let mut is_placed = vec![false; self.classes.len()];
        while errors.is_empty() && self.order.len() < self.classes.len() {
            let is_ready =
                |position: &usize| !is_placed[*position] && below[*position].iter().all(|other| is_placed[*other]);
            let ready: Vec<usize> = (0..self.classes.len()).filter(is_ready).collect();
            if ready.is_empty() {
                let stuck = self.classes.iter().zip(&is_placed).find(|(_, is_placed)| !**is_placed);
                errors.extend(
                    stuck.map(|(class, _)| at(class, "cycle", "classes ask for one another in a circle".to_owned())),
                );
                break;
            }
            ready.iter().for_each(|position| is_placed[*position] = true);
            self.order.extend(ready);
        }
        errors
    }
}

/// The id of the class that a path names.
pub(super) fn class_of(leaf: &Leaf) -> Option<&str> {
    leaf.path.strip_prefix("class.")
}

/// The name of the fact that a path names.
pub(super) fn fact_of(leaf: &Leaf) -> Option<&'static table::UseFact> {
    leaf.path.strip_prefix("use.").and_then(table::find)
}

/// A path of a class: `use.<fact>`, or `class.<id>`, which is looked for when all files are read.
fn resolve(path: &str) -> Result<(Source, Type), Unresolved> {
    if path.starts_with("class.") {
        return Ok((Source::Variable, Type::BOOL));
    }
    let name = path.strip_prefix("use.").unwrap_or_default();
    if let Some(fact) = table::find(name) {
        return Ok((Source::Variable, fact.kind.value_type()));
    }
    let near = nearest(name, table::FACTS.iter().map(|fact| fact.name));
    Err(Unresolved {
        code: "unknown-fact",
        message: format!("no fact `{path}`; a class asks for `use.<fact>` or `class.<id>`"),
        hint: near.map(|near| format!("did you mean `use.{near}`?")),
    })
}

/// What stands at the head of a file and holds for each of its classes.
struct Head {
    regime: String,
    instrument: String,
    tz: Option<String>,
    scope: Option<Expr>,
    windows: Vec<Window>,
}

fn file(path: &str, text: &str) -> Result<(Vec<Class>, Vec<LeftOut>), Vec<CardError>> {
    let mut reader = Reader::new(path, text);
    let read = document(&mut reader, |reader, mut table| {
        let schema = table.need(reader, "schema");
        if let Some(found) = reader.int(schema).filter(|schema| *schema != SCHEMA) {
            let span = schema.map_or(0..0, |entry| entry.span());
            reader.error(span, "field-value", format!("expected schema {SCHEMA}, found {found}"));
        }
        let head = head(reader, &mut table);
        let left_out = table.take("left_out");
        let items = reader.items(left_out).unwrap_or_default();
        let left_out: Vec<String> = items.into_iter().filter_map(|item| reader.sentence(Some(item))).collect();
        let entry = table.need(reader, "class");
        let tables = reader.tables("class", entry);
        table.finish(reader);
        let Some(head) = head else { return (Vec::new(), Vec::new()) };
        let classes: Vec<Class> = tables.into_iter().filter_map(|table| class(reader, table, &head)).collect();
        let left_out = left_out.into_iter().map(|what| LeftOut { regime: head.regime.clone(), what });
        (classes, left_out.collect())
    });
    finished(reader, read)
}

fn head(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<Head> {
    let mut needed = |reader: &mut Reader<'_>, key| {
        let entry = table.need(reader, key);
        reader.sentence(entry)
    };
    let [regime, instrument] = ["regime", "instrument"].map(|key| needed(reader, key));
    let tz = reader.sentence(table.take("tz"));
    let scope = reader.condition_in(table.take("scope"), Place::Elsewhere, &resolve);
    let force = table.take("force");
    let windows = windows(reader, force, tz.as_deref());
    Some(Head { regime: regime?, instrument: instrument?, tz, scope, windows })
}

fn class(reader: &mut Reader<'_>, mut table: Table<'_>, head: &Head) -> Option<Class> {
    let line = reader.text[..table.span.start].matches('\n').count() + 1;
    let id_entry = table.need(reader, "id");
    let id = reader.sentence(id_entry).filter(|id| {
        // A path of an expression names it, so it is made of the letters of paths.
        let is_plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let is_name = |part: &str| is_plain(part) && part.starts_with(|first: char| !first.is_ascii_digit());
        let is_good = id.len() <= 100 && id.split('.').all(is_name);
        if !is_good {
            let message =
                "expected names of the letters a-z, digits and `_`, none beginning with a digit, joined by `.`";
            reader.error(id_entry.map_or(0..0, |entry| entry.span()), "field-value", message);
        }
        is_good
    });
    let n_before = reader.errors.len();
    let title = table.need(reader, "title");
    let title = reader.sentence(title);
    let when = table.need(reader, "when");
    let when = reader.condition_in(when, Place::Elsewhere, &resolve);
    let unless = reader.condition_in(table.take("unless"), Place::Elsewhere, &resolve);
    let cites = cites(reader, &mut table, head);
    let windows = match table.take("force") {
        None => head.windows.clone(),
        force => windows(reader, force, head.tz.as_deref()),
    };
    let [binds, rules] = ["binds", "rules"].map(|key| texts(reader, table.take(key)));
    let implies = table.take("implies").map(|entry| implies(reader, entry)).unwrap_or_default();
    let note = reader.sentence(table.take("note"));
    table.finish(reader);
    if let Some(id) = &id {
        reader.errors[n_before..].iter_mut().for_each(|error| error.rule.clone_from(id));
    }
    let (file, regime, scope) = (reader.file.to_owned(), head.regime.clone(), head.scope.clone());
    let (id, title, when) = (id?, title?, when?);
    Some(Class { file, line, regime, id, title, scope, when, unless, cites, windows, binds, rules, implies, note })
}

fn texts(reader: &mut Reader<'_>, entry: Option<Entry<'_>>) -> Vec<String> {
    let items = entry.and_then(|entry| reader.items(Some(entry))).unwrap_or_default();
    items.into_iter().filter_map(|item| reader.sentence(Some(item))).collect()
}

fn cites(reader: &mut Reader<'_>, table: &mut Table<'_>, head: &Head) -> Vec<Cite> {
    let entry = table.need(reader, "cite");
    let tables = reader.tables("cite", entry);
    if let Some(entry) = entry.filter(|_| tables.is_empty()) {
        reader.error(entry.span(), "field-value", "expected at least one clause");
    }
    let cites = tables.into_iter().filter_map(|mut table| {
        let instrument = reader.sentence(table.take("instrument")).unwrap_or_else(|| head.instrument.clone());
        let mut needed = |reader: &mut Reader<'_>, key| {
            let entry = table.need(reader, key);
            reader.sentence(entry)
        };
        let [locator, says] = ["locator", "says"].map(|key| needed(reader, key));
        let house = reader.sentence(table.take("house"));
        let confirmed = table.need(reader, "confirmed");
        let confirmed = reader.choice(confirmed, &Confirmed::NAMES, Confirmed::from_name);
        table.finish(reader);
        let (locator, says, confirmed) = (locator?, says?, confirmed?);
        Some(Cite { instrument, locator, says, house, sanction: None, confirmed, read: None })
    });
    cites.collect()
}

fn windows(reader: &mut Reader<'_>, entry: Option<Entry<'_>>, tz: Option<&str>) -> Vec<Window> {
    let tables = reader.tables("force", entry);
    let windows = tables.into_iter().filter_map(|mut table| {
        let when = reader.condition_in(table.take("when"), Place::Elsewhere, &resolve);
        let from = table.need(reader, "from");
        let from = reader.date(from);
        let until_entry = table.take("until");
        let until = reader.date(until_entry);
        let source = table.need(reader, "source");
        let source = reader.sentence(source);
        table.finish(reader);
        if let (Some(from), Some(until), Some(entry)) = (from, until, until_entry)
            && from >= until
        {
            reader.error(entry.span(), "dates-reversed", format!("expected a day after {from}, found {until}"));
        }
        Some(Window { when, from: from?, until, tz: tz.map(str::to_owned), source: source?, grace: Vec::new() })
    });
    windows.collect()
}

fn implies(reader: &mut Reader<'_>, entry: Entry<'_>) -> Implies {
    let Some(mut table) = reader.table("implies", entry) else { return Implies::default() };
    let risk_class = reader.choice(table.take("risk_class"), &RiskClass::NAMES, RiskClass::from_name);
    let routes = ["annex-i", "annex-iii"];
    let risk_route =
        reader.choice(table.take("risk_route"), &routes, |name| routes.contains(&name).then(|| name.to_owned()));
    let names = ["general_purpose", "systemic_risk"].into_iter();
    let flags = names.filter(|name| reader.flag(table.take(name)) == Some(true)).collect();
    table.finish(reader);
    Implies { risk_class, risk_route, flags }
}
