//! How good a card's tests are: the card is changed in one place, and some test must notice.
//!
//! Changed are comparisons, constants, connectives, negations and parts of each condition, the bounds of each need, and each
//! date; what a Rego file says is not. A change is noticed when a test of the card no longer comes to what it expects.

use crate::card::{Card, CardTest, Condition, Window};
use crate::decide::finding;
use crate::enforce::EnforceCard;
use crate::expr::{Expr, Node, Variant};
use crate::facts::Facts;
use crate::manifest::Manifest;
use crate::suggest;
use crate::trial::{facts_of, failure_of, request_failure};
use evidence::Json;
use jiff::civil::Date;
use std::fmt;

/// One change of one card.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mutation {
    pub file: String,
    /// Where the changed part stands, from 1.
    pub line: usize,
    pub rule: String,
    /// `place: part as it stands -> part as changed`.
    pub mutation: String,
    /// A test that would notice it, to be held against the clause before it is taken; none was found when absent.
    pub suggestion: Option<String>,
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: rule `{}`: no test notices {}", self.file, self.line, self.rule, self.mutation)
    }
}

/// What came of changing one card, or all cards of a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mutated {
    /// Changes that some test notices.
    pub killed: usize,
    /// Changes that no test notices, sorted by file and line.
    pub survived: Vec<Mutation>,
    /// Of the surviving ones those that `pack.toml` lists as saying the same, with its reason.
    pub equivalent: Vec<(Mutation, String)>,
    /// Lines of `pack.toml` that are about no surviving change.
    pub idle: Vec<String>,
}

impl Mutated {
    /// Changes counted: those that say something else.
    #[must_use]
    pub const fn mutants(&self) -> usize {
        self.killed + self.survived.len()
    }

    /// Whether at most two in a hundred survive and no line of `pack.toml` is idle.
    #[must_use]
    pub const fn is_enough(&self) -> bool {
        self.survived.len() * 50 <= self.mutants() && self.idle.is_empty()
    }

    /// Adds the changes of another card.
    pub fn extend(&mut self, other: Self) {
        self.killed += other.killed;
        self.survived.extend(other.survived);
        self.equivalent.extend(other.equivalent);
        self.idle.extend(other.idle);
        self.survived.sort();
    }

    /// Sets aside what the pack says is no change at all.
    pub fn excuse(&mut self, manifest: &Manifest) {
        for line in &manifest.equivalents {
            let is_it = |mutation: &Mutation| mutation.rule == line.rule && mutation.mutation == line.mutation;
            match self.survived.iter().position(is_it) {
                Some(position) => self.equivalent.push((self.survived.remove(position), line.reason.clone())),
                None => self.idle.push(format!("no surviving change of `{}` reads `{}`", line.rule, line.mutation)),
            }
        }
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        let row = |mutation: &Mutation, reason: Option<&str>| {
            Json::map([
                ("file", Some(mutation.file.as_str().into())),
                ("line", Some(mutation.line.into())),
                ("rule", Some(mutation.rule.as_str().into())),
                ("mutation", Some(mutation.mutation.as_str().into())),
                ("suggestion", mutation.suggestion.as_deref().filter(|_| reason.is_none()).map(Json::from)),
                ("reason", reason.map(Json::from)),
            ])
        };
        Json::map([
            ("mutants", Some(self.mutants().into())),
            ("killed", Some(self.killed.into())),
            ("survived", Some(Json::List(self.survived.iter().map(|mutation| row(mutation, None)).collect()))),
            ("equivalent", Some(Json::List(self.equivalent.iter().map(|(one, why)| row(one, Some(why))).collect()))),
            ("idle", Some(Json::list(self.idle.iter().map(String::as_str)))),
        ])
    }
}

/// Changes a card in every way and runs its tests on each. With `suggest`, a test is looked for that notices what survives.
#[must_use]
pub fn mutate(card: &Card, suggest: bool) -> Mutated {
    let given: Vec<Facts> = card.tests.iter().map(facts_of).collect();
    let mut mutated = Mutated::default();
    for (mut mutation, changed) in mutants(card) {
        if is_noticed(&changed, &card.tests, &given) {
            mutated.killed += 1;
        } else {
            mutation.suggestion = suggest.then(|| suggest::test(card, &changed)).flatten();
            mutated.survived.push(mutation);
        }
    }
    mutated.survived.sort();
    mutated
}

/// The same of a card that is decided per request: its conditions, those of its obligations, and its dates.
#[must_use]
pub fn mutate_enforce(card: &EnforceCard) -> Mutated {
    let bare = EnforceCard { tests: Vec::new(), text: String::new(), ..card.clone() };
    let mut all: Vec<(usize, String, EnforceCard)> = Vec::new();
    for variant in card.applies.variants() {
        let change = told("applies", &variant);
        all.push((card.line, change, EnforceCard { applies: variant.expr, ..bare.clone() }));
    }
    for (at, oblige) in card.obliges.iter().enumerate() {
        let conditions = [("when", oblige.when.as_ref()), ("unless", oblige.unless.as_ref())];
        for (name, expr) in conditions.into_iter().filter_map(|(name, expr)| Some((name, expr?))) {
            let line = line_of(&card.text, |line| line.contains(expr.text()));
            for variant in expr.variants() {
                let change = told(&format!("oblige {} {name}", at + 1), &variant);
                let mut changed = bare.clone();
                let oblige = &mut changed.obliges[at];
                *(if name == "when" { &mut oblige.when } else { &mut oblige.unless }) = Some(variant.expr);
                all.push((line, change, changed));
            }
        }
    }
    let dated = dates(&card.windows, &card.text).into_iter();
    all.extend(dated.map(|(line, change, windows)| (line, change, EnforceCard { windows, ..bare.clone() })));
    let mut mutated = Mutated::default();
    for (mutation, changed) in number(&card.file, &card.id, all) {
        if card.tests.iter().any(|test| request_failure(&changed, test).is_some()) {
            mutated.killed += 1;
        } else {
            mutated.survived.push(mutation);
        }
    }
    mutated.survived.sort();
    mutated
}

fn is_noticed(changed: &Card, tests: &[CardTest], given: &[Facts]) -> bool {
    let fails = |(test, facts): (&CardTest, &Facts)| {
        failure_of(test, &finding(changed, &test.system, facts, test.as_of)).is_some()
    };
    tests.iter().zip(given).any(fails)
}

/// Every change of a card, the changed card without its tests and text.
fn mutants(card: &Card) -> Vec<(Mutation, Card)> {
    let bare = Card { tests: Vec::new(), text: String::new(), ..card.clone() };
    let mut all: Vec<(usize, String, Card)> = Vec::new();
    for condition in Condition::ALL {
        let expr = card.condition(condition);
        let is_elsewhere = card.check.is_some() && condition != Condition::Applies;
        let is_literal = matches!(expr.node(expr.root()), Node::Literal(_));
        let is_unwritten = is_elsewhere || is_literal && card.lines[condition as usize] == 1;
        for variant in expr.variants().into_iter().filter(|_| !is_unwritten) {
            let mut changed = bare.clone();
            let change = told(condition.name(), &variant);
            *changed.condition_mut(condition) = variant.expr;
            all.push((card.lines[condition as usize], change, changed));
        }
    }
    needs(card, &bare, &mut all);
    let dated = dates(&card.windows, &card.text).into_iter();
    all.extend(dated.map(|(line, change, windows)| (line, change, Card { windows, ..bare.clone() })));
    number(&card.file, &card.id, all)
}

fn told(place: &str, variant: &Variant) -> String {
    format!("{place}: {} -> {}", variant.was, variant.is)
}

/// The same change of two places of one card is told apart by its number.
fn number<C>(file: &str, rule: &str, all: Vec<(usize, String, C)>) -> Vec<(Mutation, C)> {
    let mut seen: Vec<String> = Vec::new();
    let one = |(line, change, changed): (usize, String, C)| {
        let n_before = seen.iter().filter(|other| **other == change).count();
        seen.push(change.clone());
        let change = if n_before == 0 { change } else { format!("{change} (place {})", n_before + 1) };
        let (file, rule) = (file.to_owned(), rule.to_owned());
        (Mutation { file, line, rule, mutation: change, suggestion: None }, changed)
    };
    all.into_iter().map(one).collect()
}

/// A need without each of its bounds.
fn needs(card: &Card, bare: &Card, all: &mut Vec<(usize, String, Card)>) {
    for (at, need) in card.needs.iter().enumerate() {
        let id = need.metric.id;
        let line = line_of(&card.text, |line| line.contains("fact") && line.contains(&format!("\"{id}\"")));
        let mut add = |bound: &str, is_there: bool, change: &dyn Fn(&mut crate::card::Need)| {
            if is_there {
                let mut changed = bare.clone();
                change(&mut changed.needs[at]);
                all.push((line, format!("needs {id}: {bound} -> none"), changed));
            }
        };
        add("min_n", need.min_n.is_some(), &|need| need.min_n = None);
        add("max_age_days", need.max_age_days.is_some(), &|need| need.max_age_days = None);
        let is_above = need.min_provenance.is_some_and(|least| least > evidence::Provenance::Declared);
        add("min_provenance", is_above, &|need| need.min_provenance = None);
        add("interval", need.interval.is_some(), &|need| need.interval = None);
        for step in [-1, 1] {
            let moved = |bound: Option<u64>| bound.and_then(|bound| bound.checked_add_signed(step));
            let (n, age) = (moved(need.min_n), moved(need.max_age_days));
            let mut step_to =
                |bound: &str, was: Option<u64>, is: Option<u64>, change: &dyn Fn(&mut crate::card::Need, u64)| {
                    if let (Some(was), Some(is)) = (was, is) {
                        let mut changed = bare.clone();
                        change(&mut changed.needs[at], is);
                        all.push((line, format!("needs {id}: {bound} {was} -> {is}"), changed));
                    }
                };
            step_to("min_n", need.min_n, n, &|need, n| need.min_n = Some(n));
            step_to("max_age_days", need.max_age_days, age, &|need, days| need.max_age_days = Some(days));
        }
    }
}

/// A window or grace a day earlier or later, and its condition changed.
fn dates(windows: &[Window], text: &str) -> Vec<(usize, String, Vec<Window>)> {
    let mut all = Vec::new();
    for (at, window) in windows.iter().enumerate() {
        let place = format!("force {}", at + 1);
        let line = |date: Date| line_of(text, |line| line.contains(&date.to_string()));
        let mut add = |line: usize, change: String, make: &dyn Fn(&mut Window)| {
            let mut changed = windows.to_vec();
            make(&mut changed[at]);
            all.push((line, change, changed));
        };
        let whens = |when: &Option<Expr>| when.as_ref().map(Expr::variants).unwrap_or_default();
        for variant in whens(&window.when) {
            add(line(window.from), told(&format!("{place} when"), &variant), &|w| w.when = Some(variant.expr.clone()));
        }
        for day in beside(window.from) {
            add(line(window.from), format!("{place} from: {} -> {day}", window.from), &|w| w.from = day);
        }
        for (until, day) in window.until.into_iter().flat_map(|until| beside(until).map(move |day| (until, day))) {
            add(line(until), format!("{place} until: {until} -> {day}"), &|w| w.until = Some(day));
        }
        for (nth, grace) in window.grace.iter().enumerate() {
            let place = format!("{place} grace {}", nth + 1);
            for variant in whens(&grace.when) {
                let change = told(&format!("{place} when"), &variant);
                add(line(grace.until), change, &|w| w.grace[nth].when = Some(variant.expr.clone()));
            }
            for day in beside(grace.until) {
                add(line(grace.until), format!("{place} until: {} -> {day}", grace.until), &|w| {
                    w.grace[nth].until = day;
                });
            }
        }
    }
    all
}

pub(crate) fn beside(day: Date) -> impl Iterator<Item = Date> {
    [day.yesterday().ok(), day.tomorrow().ok()].into_iter().flatten()
}

/// The first line that is so, from 1; 1 where none is.
fn line_of(text: &str, is_it: impl Fn(&str) -> bool) -> usize {
    text.lines().position(is_it).map_or(1, |at| at + 1)
}
