//! One verdict: what kind it is, and everything that stands behind it.

use crate::{
    Record, figures,
    html::{Html, slug},
    run::{self, Run},
    tables,
};
use evidence::{Digest, Json, metric};

/// The verdicts of the design, in the order in which a reader needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Fail,
    Error,
    Unknown,
    Awaiting,
    Waived,
    Pass,
    NotInForce,
    NotApplicable,
}

impl Kind {
    /// The columns of the matrix, from what holds to what does not ask.
    pub(crate) const COLUMNS: [Self; 8] = [
        Self::Pass,
        Self::Fail,
        Self::Unknown,
        Self::Awaiting,
        Self::Error,
        Self::Waived,
        Self::NotInForce,
        Self::NotApplicable,
    ];

    /// A name that is not one of the design's counts as an error: unknown words never look like a pass.
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "pass" => Self::Pass,
            "fail" => Self::Fail,
            "insufficient-evidence" => Self::Unknown,
            "awaiting-person" => Self::Awaiting,
            "not-in-force" => Self::NotInForce,
            "not-applicable" => Self::NotApplicable,
            waived if waived.starts_with("waived") => Self::Waived,
            _ => Self::Error,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Fail => "Fails",
            Self::Error => "Error",
            Self::Unknown => "Unknown",
            Self::Awaiting => "Awaits a person",
            Self::Waived => "Waived",
            Self::Pass => "Holds",
            Self::NotInForce => "Not in force",
            Self::NotApplicable => "Does not apply",
        }
    }

    /// Name of the sign and of the colour.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Error => "error",
            Self::Unknown => "unknown",
            Self::Awaiting => "awaiting",
            Self::Waived => "waived",
            Self::Pass => "pass",
            Self::NotInForce => "dormant",
            Self::NotApplicable => "apart",
        }
    }

    /// Whether a rule that is enforced lets the stage go on.
    pub(crate) const fn lets_through(self) -> bool {
        matches!(self, Self::Pass | Self::NotInForce | Self::NotApplicable | Self::Waived)
    }
}

/// A verdict and the decision it stands in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict<'a> {
    pub(crate) json: &'a Json,
    pub(crate) decision: &'a Record,
    pub(crate) kind: Kind,
    pub(crate) rule: &'a str,
    pub(crate) pack: &'a str,
}

impl<'a> Verdict<'a> {
    pub(crate) fn all(decision: &'a Record) -> Vec<Self> {
        let verdicts = run::list(&decision.statement.predicate, &["verdicts"]).iter();
        verdicts
            .map(|json| Self {
                json,
                decision,
                kind: Kind::from_name(run::text(json, &["verdict"]).unwrap_or_default()),
                rule: run::text(json, &["rule"]).unwrap_or("rule without a name"),
                pack: run::text(json, &["pack"]).unwrap_or("no pack"),
            })
            .collect()
    }

    pub(crate) fn id(&self) -> String {
        format!("rule-{}-{}", slug(self.pack), slug(self.rule))
    }

    pub(crate) fn title(&self) -> &'a str {
        run::text(self.json, &["title"]).unwrap_or(self.rule)
    }

    pub(crate) fn is_enforced(&self) -> bool {
        run::text(self.json, &["mode"]) == Some("enforce")
    }

    pub(crate) fn denies(&self) -> bool {
        self.is_enforced() && !self.kind.lets_through()
    }

    /// The citations; one written as a map counts as a list of one.
    pub(crate) fn cites(&self) -> Vec<&'a Json> {
        match self.json.get("cite") {
            Some(one @ Json::Map(_)) => vec![one],
            Some(list) => list.items().iter().collect(),
            None => Vec::new(),
        }
    }
}

/// The whole verdict: one line, opening to clause, reason, evidence and remedy.
pub(crate) fn article(html: &mut Html, run: &Run<'_>, verdict: &Verdict<'_>) {
    let class = format!("verdict {}", verdict.kind.class());
    html.within("details", &[("class", &class), ("id", &verdict.id())], |html| {
        html.within("summary", &[], |html| summary(html, verdict));
        html.within("div", &[("class", "body")], |html| {
            reason(html, verdict);
            clauses(html, verdict);
            evidence_used(html, run, verdict);
            remedy(html, verdict);
            colophon(html, run, verdict);
        });
    });
}

fn summary(html: &mut Html, verdict: &Verdict<'_>) {
    html.symbol(verdict.kind.class());
    html.within("span", &[("class", "what")], |html| {
        html.leaf("span", &[("class", "title")], verdict.title());
        html.raw(" ");
        html.leaf("code", &[("class", "rule")], verdict.rule);
    });
    html.within("span", &[("class", "says")], |html| {
        let name = run::text(verdict.json, &["verdict"]).unwrap_or("no verdict");
        html.leaf("strong", &[("class", "word")], verdict.kind.word());
        if verdict.kind == Kind::Waived || verdict.kind == Kind::Error {
            html.raw(" ");
            html.leaf("span", &[("class", "quiet")], name);
        }
        html.raw(" ");
        let mode = run::text(verdict.json, &["mode"]).unwrap_or("no mode");
        html.leaf("span", &[("class", if verdict.is_enforced() { "mode enforced" } else { "mode" })], mode_word(mode));
    });
}

fn mode_word(mode: &str) -> &str {
    match mode {
        "enforce" => "enforced",
        "report" => "reported only",
        other => other,
    }
}

fn reason(html: &mut Html, verdict: &Verdict<'_>) {
    part(html, "Why", |html| {
        html.within("p", &[], |html| sentence(html, run::text(verdict.json, &["reason"])));
        for unmet in run::list(verdict.json, &["unmet"]) {
            html.within("p", &[("class", "absent")], |html| {
                html.text(run::text(unmet, &["sentence"]).unwrap_or_default());
            });
        }
        if let Some(decided) = verdict.json.get("decidedBy") {
            decided_by(html, decided);
        }
        if let Some(would_be) = verdict.json.get("wouldBe") {
            html.within("p", &[], |html| {
                html.raw("If it were in force: ");
                let name = would_be.as_text().or_else(|| run::text(would_be, &["verdict"])).unwrap_or_default();
                html.leaf("strong", &[], &Kind::from_name(name).word().to_lowercase());
                if let Some(why) = run::text(would_be, &["reason"]) {
                    html.raw("; ");
                    sentence(html, Some(why));
                }
            });
        }
        if let Some(waiver) = verdict.json.get("waiver") {
            waived(html, waiver);
        }
    });
}

/// Who left it unmet, until when, why, and what is done instead.
fn waived(html: &mut Html, waiver: &Json) {
    let text = |key: &str| run::text(waiver, &[key]).unwrap_or("not given");
    let approvers: Vec<&str> = run::list(waiver, &["approvers"]).iter().filter_map(Json::as_text).collect();
    html.within("p", &[], |html| {
        html.raw("Waived by ");
        html.leaf("strong", &[], text("author"));
        html.raw(", approved by ");
        html.leaf("strong", &[], &approvers.join(" and "));
        html.raw(", from ");
        html.text(text("granted"));
        html.raw(" to the day before ");
        html.leaf("strong", &[], text("expires"));
        html.raw(".");
    });
    for (key, label) in [("reason", "Reason"), ("compensating", "Instead")] {
        html.within("p", &[], |html| {
            html.leaf("span", &[("class", "quiet")], label);
            html.raw(" ");
            html.text(text(key));
        });
    }
    if let Some(subject) = waiver.get("subject").and_then(run::digest) {
        html.within("p", &[], |html| {
            html.leaf("span", &[("class", "quiet")], "Of this artefact alone");
            html.raw(" ");
            figures::digest(html, subject);
        });
    }
}

/// A reason, which is a code and a sentence: the sentence first.
fn sentence(html: &mut Html, reason: Option<&str>) {
    let Some(reason) = reason else { return html.raw("The decision gives no reason.") };
    let is_code = |code: &str| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    match reason.split_once(": ").filter(|(code, _)| is_code(code)) {
        Some((code, sentence)) => {
            html.leaf("span", &[("class", "sentence")], sentence);
            html.raw(" ");
            html.leaf("code", &[("class", "quiet")], code);
        }
        None => html.text(reason),
    }
}

fn decided_by(html: &mut Html, decided: &Json) {
    let Some(expression) = decided.as_text().or_else(|| run::text(decided, &["expression", "text"])) else {
        return figures::tree(html, decided);
    };
    html.within("p", &[("class", "expression")], |html| {
        html.leaf("span", &[("class", "quiet")], "Decided by");
        html.raw(" ");
        html.leaf("code", &[], expression);
        if let (Some(condition), Some(value)) = (run::text(decided, &["condition"]), decided.get("value")) {
            html.raw(" ");
            html.within("span", &[("class", "quiet")], |html| {
                html.raw("of ");
                html.leaf("code", &[], condition);
                html.raw(", which is ");
                figures::value(html, value);
            });
        }
    });
}

fn clauses(html: &mut Html, verdict: &Verdict<'_>) {
    let cites = verdict.cites();
    if cites.is_empty() {
        return;
    }
    part(html, "Clause", |html| {
        for cite in cites {
            html.within("div", &[("class", "cite")], |html| clause(html, verdict, cite));
        }
    });
}

fn clause(html: &mut Html, verdict: &Verdict<'_>, cite: &Json) {
    html.within("p", &[], |html| {
        if let Some(locator) = run::text(cite, &["locator"]) {
            html.leaf("strong", &[], locator);
            html.raw(" · ");
        }
        html.text(run::text(cite, &["instrument"]).unwrap_or("no instrument named"));
        html.raw(" ");
        let confirmed = run::text(cite, &["confirmed"]).or_else(|| run::text(verdict.json, &["confirmed"]));
        let (class, words) = match confirmed {
            Some("yes") => ("mark yes", "text confirmed"),
            Some("part") => ("mark part", "text confirmed in part"),
            Some("no") => ("mark no", "text not confirmed"),
            _ => ("mark no", "no confirmation given"),
        };
        html.leaf("span", &[("class", class)], words);
        if let (Some(by), Some(on)) = (run::text(cite, &["readBy"]), run::text(cite, &["readOn"])) {
            html.raw(" ");
            html.within("span", &[("class", "quiet")], |html| {
                html.raw("card held against the clause by ");
                html.text(by);
                html.raw(" on ");
                html.text(on);
            });
        }
    });
    for (key, class, label) in
        [("says", "clause", "Says"), ("house", "house", "Our reading, not the law"), ("sanction", "clause", "Sanction")]
    {
        if let Some(text) = run::text(cite, &[key]) {
            html.within("p", &[("class", class)], |html| {
                html.leaf("span", &[("class", "quiet")], label);
                html.raw(" ");
                html.text(text);
            });
        }
    }
}

fn evidence_used(html: &mut Html, run: &Run<'_>, verdict: &Verdict<'_>) {
    let items = run::list(verdict.json, &["evidence"]);
    part(html, "Evidence", |html| {
        if items.is_empty() {
            return html.leaf("p", &[("class", "quiet")], "The verdict used no evidence.");
        }
        html.within("ul", &[("class", "evidence")], |html| {
            for item in items {
                html.within("li", &[], |html| evidence_item(html, run, item));
            }
        });
    });
}

/// A fact with its value as the decision carries it, else as the measurement or declaration that it names does.
fn evidence_item(html: &mut Html, run: &Run<'_>, item: &Json) {
    let fact = run::text(item, &["fact", "metric", "path", "id"]);
    let fact = fact.or_else(|| item.as_text().filter(|text| text.parse::<Digest>().is_err()));
    let source = ["source", "envelope", "digest"].iter().find_map(|key| run::digest(item.get(key)?));
    let source = source.or_else(|| run::digest(item));
    let found = fact.and_then(|fact| run.measurement(fact, source).or_else(|| run.declaration(fact, source)));
    if let Some(fact) = fact {
        let what = metric::find(fact).and_then(|metric| tables::wording(metric.what)).unwrap_or_default();
        match found {
            Some((record, _)) => {
                let href = format!("#{}", fact_id(record, fact));
                html.within("a", &[("href", &href), ("title", what)], |html| html.leaf("code", &[], fact));
            }
            None => html.leaf("code", &[("title", what)], fact),
        }
        html.raw(" ");
    }
    let shown = if item.get("value").or_else(|| item.get("values")).is_some() {
        Some(item)
    } else {
        found.map(|(_, signed)| signed)
    };
    match shown {
        Some(shown) => evidence_value(html, shown, found.map(|(_, signed)| signed)),
        None if fact.is_some() => html.leaf("span", &[("class", "absent")], "no evidence in this run "),
        None => {}
    }
    if let Some(sha256) = source.or_else(|| found.map(|(record, _)| record.envelope)) {
        figures::source(html, run, sha256);
    }
}

/// The fields that the conditions read, or else the whole value.
fn evidence_value(html: &mut Html, shown: &Json, signed: Option<&Json>) {
    let signed = signed.unwrap_or(shown);
    if let Some(fields) = shown.get("values").and_then(Json::members) {
        for (field, value) in fields {
            html.within("span", &[("class", "field")], |html| {
                html.leaf("span", &[("class", "quiet")], field);
                html.raw(" ");
                html.within("span", &[("class", "used")], |html| {
                    figures::value(html, value);
                    if matches!(field.as_str(), "value" | "lower" | "upper") {
                        figures::unit(html, signed);
                    }
                });
            });
            html.raw(" ");
        }
    } else {
        html.within("span", &[("class", "used")], |html| {
            if let Some(number) = shown.get("value") {
                figures::value(html, number);
            }
            figures::unit(html, if shown.get("unit").is_some() { shown } else { signed });
        });
        html.raw(" ");
        figures::interval(html, shown);
        html.raw(" ");
        html.within("span", &[("class", "quiet")], |html| figures::sample(html, shown));
    }
    if let Some(name) = run::text(shown, &["provenance"]).or_else(|| run::text(signed, &["provenance"])) {
        figures::provenance(html, name);
        html.raw(" ");
    }
}

/// Where the table of measurements, or that of declarations, shows this fact of this entry.
pub(crate) fn fact_id(record: &Record, fact: &str) -> String {
    format!("fact-{}-{}", record.index, slug(fact))
}

fn remedy(html: &mut Html, verdict: &Verdict<'_>) {
    let Some(remedy) = run::text(verdict.json, &["remedy"]) else { return };
    let label = if verdict.kind.lets_through() { "If it fails" } else { "Remedy" };
    part(html, label, |html| html.leaf("p", &[], remedy));
}

fn colophon(html: &mut Html, run: &Run<'_>, verdict: &Verdict<'_>) {
    html.within("p", &[("class", "colophon")], |html| {
        html.raw("Rule ");
        html.leaf("code", &[], verdict.rule);
        if let Some(version) = run::text(verdict.json, &["version"]) {
            html.raw(", card version ");
            html.text(version);
        }
        if let Some(card) = verdict.json.get("card").and_then(run::digest) {
            html.raw(" ");
            figures::digest(html, card);
        }
        html.raw(", pack ");
        html.text(verdict.pack);
        if run::text(verdict.json, &["modeReason"]) == Some("unconfirmed") {
            html.raw("; reported only, because its citation is not confirmed in full");
        } else if let Some(why) = run::text(verdict.json, &["modeReason"]) {
            html.raw("; ");
            html.text(why);
        }
        for (key, label) in [("severity", "; severity "), ("owner", "; answerable: ")] {
            if let Some(text) = run::text(verdict.json, &[key]) {
                html.raw(label);
                html.text(text);
            }
        }
        html.raw(". Decided in ");
        figures::entry(html, verdict.decision);
        if let Some(policy) = verdict.decision.statement.predicate.get("policy").and_then(run::digest) {
            html.raw(", card text in ");
            figures::source(html, run, policy);
        }
        html.raw(".");
    });
}

fn part(html: &mut Html, label: &'static str, content: impl FnOnce(&mut Html)) {
    html.within("section", &[("class", "part")], |html| {
        html.leaf("h4", &[], label);
        html.within("div", &[], content);
    });
}
