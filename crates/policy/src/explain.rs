//! One verdict, opened: clause, dates, needs, evidence, expression, why, and what would change it.

use crate::card::{Card, Condition, Mapping, Need, Window};
use crate::change;
use crate::crosswalk::Elsewhere;
use crate::decide::{Rules, View, decide};
use crate::expr::Truth;
use crate::facts::{Facts, System};
use crate::verdict::Verdict;
use crate::why;
use evidence::{Digest, Json};
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One node of a condition with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// From 0, the whole condition.
    pub depth: usize,
    pub expression: String,
    pub truth: Truth,
    /// The values read, in a sentence; empty for `&&` and `||`.
    pub sentence: String,
}

/// Everything that a verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation<'a> {
    pub pack_digest: Digest,
    pub as_of: Date,
    pub verdict: Verdict<'a>,
    /// The trees of `applies`, `pass_when`, `fail_when`.
    pub steps: Vec<(Condition, Vec<Step>)>,
    /// Which fact would change the verdict, which way and how far.
    pub changes: Vec<change::Turn>,
    /// Where in a log the envelopes of the evidence stand. Filled by whoever read the log.
    pub entries: BTreeMap<Digest, u64>,
    /// Which other regimes ask the same. Filled by whoever has their packs at hand.
    pub elsewhere: Vec<Elsewhere>,
}

/// Explains one rule, of the first pack that has it; `None` when none has. With waivers and modes as in `decide`.
#[must_use]
pub fn explain<'a>(
    rules: &'a Rules,
    rule: &str,
    system: &System,
    facts: &Facts,
    as_of: Date,
) -> Option<Explanation<'a>> {
    let (pack, _, card) = rules.cards().find(|(_, _, card)| card.id == rule)?;
    let decision = decide(rules, None, system, facts, as_of);
    let verdict =
        decision.verdicts.into_iter().find(|verdict| verdict.rule() == rule && verdict.pack == pack.name())?;
    let view = View::new(card, system, facts, as_of);
    let is_written = |condition: &Condition| card.check.is_none() || *condition == Condition::Applies;
    let written = Condition::ALL.into_iter().filter(is_written);
    let steps = written.map(|condition| (condition, steps(&view, condition))).collect();
    let changes = change::changes(&view, &verdict.finding);
    let (entries, elsewhere) = (BTreeMap::new(), Vec::new());
    Some(Explanation { pack_digest: pack.digest(), as_of, verdict, steps, changes, entries, elsewhere })
}

fn steps(view: &View<'_>, condition: Condition) -> Vec<Step> {
    let expr = view.card.condition(condition);
    let mut steps = Vec::new();
    let mut open = vec![(0, expr.root())];
    while let Some((depth, id)) = open.pop() {
        let parts = why::parts(expr, id);
        let sentence = if parts.is_empty() { why::sentence(view, condition, id) } else { String::new() };
        let expression = why::unwrapped(expr.text_of(id)).to_owned();
        let truth = view.truth_of(condition, id);
        steps.push(Step { depth, expression, truth, sentence });
        open.extend(parts.iter().rev().map(|part| (depth + 1, *part)));
    }
    steps
}

impl Explanation<'_> {
    #[must_use]
    pub fn to_json(&self) -> Json {
        let step = |step: &Step| {
            Json::map([
                ("depth", Some(step.depth.into())),
                ("expression", Some(step.expression.as_str().into())),
                ("value", Some(step.truth.name().into())),
                ("read", (!step.sentence.is_empty()).then(|| step.sentence.as_str().into())),
            ])
        };
        let tree = |(condition, steps): &(Condition, Vec<Step>)| {
            (condition.name().to_owned(), Json::List(steps.iter().map(step).collect()))
        };
        let card = self.verdict.card;
        let entries = self.verdict.finding.evidence.iter().filter_map(|used| {
            let entry = *self.entries.get(&used.source)?;
            Some((used.fact.to_owned(), entry.into()))
        });
        let unmapped = card.maps.iter().filter_map(|mapping| match mapping {
            Mapping::To(_) => None,
            Mapping::None(reason) => Some(reason.as_str()),
        });
        Json::map([
            ("as_of", Some(self.as_of.into())),
            ("packDigest", Some(self.pack_digest.into())),
            ("verdict", Some(self.verdict.to_json())),
            ("force", Some(Json::List(card.windows.iter().map(window_json).collect()))),
            ("needs", Some(Json::List(card.needs.iter().map(need_json).collect()))),
            ("conditions", Some(Json::Map(self.steps.iter().map(tree).collect()))),
            ("wouldChange", Some(Json::list(self.changes.iter().map(|turn| turn.sentence.as_str())))),
            ("ledgerEntries", (!self.entries.is_empty()).then(|| Json::Map(entries.collect()))),
            ("elsewhere", Some(Json::List(self.elsewhere.iter().map(Elsewhere::to_json).collect()))),
            ("unmapped", Some(Json::list(unmapped))),
        ])
    }

    /// For a terminal or a page: sections with two spaces of indent.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (verdict, card) = (&self.verdict, self.verdict.card);
        let mut out = String::new();
        let unconfirmed = verdict.mode_reason.map(|reason| format!(", {reason}")).unwrap_or_default();
        let _ =
            writeln!(out, "{} {}: {} ({}{unconfirmed})", card.id, card.version, verdict.name(), verdict.mode.name());
        let _ = writeln!(out, "  {}", card.title);
        let _ = writeln!(out, "  as of {}, pack {} sha256:{}", self.as_of, verdict.pack, self.pack_digest);
        clause_section(card, &mut out);
        section("dates", card.windows.iter().map(window_text), &mut out);
        section("needs", card.needs.iter().map(|need| need_text(need, verdict)), &mut out);
        let evidence = verdict.finding.evidence.iter().map(|used| {
            let value = |(field, value): &(&str, Json)| format!("{field} = {}", value.document().trim_end());
            let values: Vec<String> = used.values.iter().map(value).collect();
            let entry = self.entries.get(&used.source).map(|entry| format!("entry {entry} of the log, "));
            let (name, entry) = (used.provenance.name(), entry.unwrap_or_default());
            format!("{} ({name}, {entry}sha256:{}): {}", used.fact, used.source, values.join(", "))
        });
        section("evidence", evidence, &mut out);
        let lines = self.steps.iter().flat_map(|(condition, steps)| {
            let line = |step: &Step| {
                let indent = "  ".repeat(step.depth + 1);
                let read = if step.sentence.is_empty() { String::new() } else { format!("   [{}]", step.sentence) };
                format!("{indent}{}: {}{read}", step.expression, step.truth.name())
            };
            std::iter::once(condition.name().to_owned()).chain(steps.iter().map(line)).collect::<Vec<_>>()
        });
        section("expression", lines, &mut out);
        let would_be = verdict.finding.would_be.as_ref();
        let would_be = would_be.map(|(outcome, reason)| format!("if it were in force: {} ({reason})", outcome.name()));
        let waiver = verdict.waiver.map(|waiver| format!("waived until {}: {}", waiver.expires, waiver.reason));
        section("why", [Some(verdict.finding.reason.to_string()), would_be, waiver].into_iter().flatten(), &mut out);
        section("what would change it", self.changes.iter().map(|turn| turn.sentence.clone()), &mut out);
        section("remedy", [card.remedy.clone()], &mut out);
        let unmapped = card.maps.iter().filter_map(|mapping| match mapping {
            Mapping::To(_) => None,
            Mapping::None(reason) => Some(format!("looked at, and no other: {reason}")),
        });
        section("asked elsewhere", self.elsewhere.iter().map(Elsewhere::to_text).chain(unmapped), &mut out);
        out
    }
}

fn section(title: &str, lines: impl IntoIterator<Item = String>, out: &mut String) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        let _ = writeln!(out, "\n{title}");
        lines.for_each(|line| {
            let _ = writeln!(out, "  {line}");
        });
    }
}

fn clause_section(card: &Card, out: &mut String) {
    let lines = card.cites.iter().flat_map(|cite| {
        let labelled = |label: &str, text: &Option<String>| text.as_ref().map(|text| format!("  {label}: {text}"));
        let clause = format!("{}, {} (confirmed: {})", cite.instrument, cite.locator, cite.confirmed.name());
        let read = cite.read.as_ref().map(|(by, on)| format!("  read by {by} on {on}"));
        [
            Some(clause),
            Some(format!("  says: {}", cite.says)),
            labelled("our reading", &cite.house),
            labelled("sanction", &cite.sanction),
            read,
        ]
    });
    section("clause", lines.flatten(), out);
}

fn window_text(window: &Window) -> String {
    let mut text = format!("from {}", window.from);
    if let Some(until) = window.until {
        let _ = write!(text, " until {until}");
    }
    if let Some(when) = &window.when {
        let _ = write!(text, " when {}", when.text());
    }
    if let Some(tz) = &window.tz {
        let _ = write!(text, ", {tz}");
    }
    let _ = write!(text, " ({})", window.source);
    for grace in &window.grace {
        let when = grace.when.as_ref().map(|when| format!(" when {}", when.text())).unwrap_or_default();
        let _ = write!(text, "; grace until {}{when} ({})", grace.until, grace.source);
    }
    text
}

fn window_json(window: &Window) -> Json {
    let when = |when: &Option<crate::expr::Expr>| when.as_ref().map(|when| Json::from(when.text()));
    let grace = window.grace.iter().map(|grace| {
        Json::map([
            ("when", when(&grace.when)),
            ("until", Some(grace.until.into())),
            ("source", Some(grace.source.as_str().into())),
        ])
    });
    Json::map([
        ("when", when(&window.when)),
        ("from", Some(window.from.into())),
        ("until", window.until.map(Json::from)),
        ("tz", window.tz.as_deref().map(Json::from)),
        ("source", Some(window.source.as_str().into())),
        ("grace", (!window.grace.is_empty()).then(|| Json::List(grace.collect()))),
    ])
}

fn need_text(need: &Need, verdict: &Verdict<'_>) -> String {
    let mut parts = vec![need.metric.kind.name().to_owned()];
    parts.extend(need.min_n.map(|n| format!("n ≥ {n}")));
    parts.extend(need.max_age_days.map(|days| format!("at most {days} days old")));
    parts.extend(need.min_provenance.map(|provenance| format!("at least {}", provenance.name())));
    parts.extend(need.interval.as_ref().map(|interval| match interval.level {
        Some(level) => format!("interval by {} at level {level}", interval.method),
        None => format!("interval by {}", interval.method),
    }));
    parts.extend(need.is_optional.then(|| "optional".to_owned()));
    let unmet: Vec<&str> =
        verdict.finding.unmet.iter().filter(|unmet| unmet.fact == need.metric.id).map(|u| u.code).collect();
    let state = if unmet.is_empty() { String::new() } else { format!(": {}", unmet.join(", ")) };
    format!("{}: {}{state}", need.metric.id, parts.join(", "))
}

fn need_json(need: &Need) -> Json {
    let interval = need.interval.as_ref().map(|interval| {
        Json::map([
            ("method", Some(interval.method.as_str().into())),
            ("level", interval.level.map(Json::from)),
            ("sides", Some(interval.sides.into())),
        ])
    });
    Json::map([
        ("fact", Some(need.metric.id.into())),
        ("type", Some(need.metric.kind.name().into())),
        ("minN", need.min_n.map(Json::from)),
        ("maxAgeDays", need.max_age_days.map(Json::from)),
        ("minProvenance", need.min_provenance.map(|provenance| provenance.name().into())),
        ("interval", interval),
        ("optional", need.is_optional.then_some(true.into())),
    ])
}
