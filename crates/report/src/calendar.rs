//! The calendar of the case: day by day, what comes into force, changes, ends or runs out, with what today's evidence would come to.

use crate::{
    Record, figures,
    html::{Html, slug},
    run::{self, Run},
    tables,
    verdict::{Kind, Verdict},
};
use evidence::Json;
use std::collections::BTreeSet;

/// Changes in the order in which a day tells them: as signed, sign, words of one rule, words beside a count.
const CHANGES: [(&str, &str, &str, &str); 5] = [
    ("begins", "resume", "comes into force", "into force"),
    ("changes", "waived", "changes", "changed"),
    ("ends", "stop", "ends", "ended"),
    ("answer-ends", "declared", "an answer runs out", "left without an answer"),
    ("waiver-ends", "waived", "its waiver runs out", "left without a waiver"),
];

/// The part of the page, as the decision that it is about holds it.
pub(crate) fn calendar(html: &mut Html, run: &Run<'_>) {
    let Some((decision, calendar)) = held(run) else {
        return html.leaf("p", &[], "The decision on this page holds no calendar.");
    };
    html.within("p", &[("class", "lead")], |html| {
        html.raw("After ");
        day(html, run::text(calendar, &["from"]));
        html.raw(", up to ");
        day(html, run::text(calendar, &["until"]));
        html.raw(
            ": the rules of these packs that apply to the system or may apply, as they come into force, change or end. In ",
        );
        figures::entry(html, decision);
        html.raw(".");
    });
    let days = run::list(calendar, &["days"]);
    if days.is_empty() {
        return html.leaf("p", &[], "Nothing changes in that time.");
    }
    let verdicts = Verdict::all(decision);
    let shown: BTreeSet<(&str, &str)> = verdicts.iter().map(|verdict| (verdict.pack, verdict.rule)).collect();
    html.within("ol", &[("class", "calendar")], |html| {
        for item in days {
            html.within("li", &[], |html| of_day(html, item, &shown));
        }
    });
    html.leaf(
        "p",
        &[("class", "legend")],
        "Each mark is one rule, and says what today's evidence would come to on it. A date says when a clause takes effect, not \
         that the evidence will still be fresh by then. Dashed: whether it speaks of this system is not known yet.",
    );
}

fn held<'a>(run: &Run<'a>) -> Option<(&'a Record, &'a Json)> {
    let decision = run.decision()?;
    Some((decision, decision.statement.predicate.get("calendar")?))
}

fn day(html: &mut Html, date: Option<&str>) {
    let date = date.unwrap_or_default();
    html.leaf("time", &[("datetime", date)], date);
}

type Shown<'a> = BTreeSet<(&'a str, &'a str)>;

fn of_day(html: &mut Html, item: &Json, shown: &Shown<'_>) {
    html.within("h3", &[("class", "day")], |html| day(html, run::text(item, &["day"])));
    let changes = run::list(item, &["changes"]);
    html.within("div", &[("class", "brings")], |html| {
        for change @ (name, sign, _, words) in CHANGES {
            let those: Vec<&Json> = changes.iter().filter(|it| run::text(it, &["change"]) == Some(name)).collect();
            if those.is_empty() {
                continue;
            }
            html.within("p", &[("class", "change")], |html| {
                html.symbol(sign);
                html.within("strong", &[], |html| {
                    if let Some(count) = item.get("counts").and_then(|counts| counts.get(name)) {
                        figures::value(html, count);
                    }
                });
                html.raw(" ");
                html.text(words);
            });
            marks(html, &change, &those, shown);
        }
        html.within("details", &[("class", "more")], |html| {
            html.leaf("summary", &[], "Rules and sources");
            table(html, changes, shown);
        });
    });
}

/// One line a pack, one mark a rule.
fn marks(html: &mut Html, change: &(&str, &str, &str, &str), those: &[&Json], shown: &Shown<'_>) {
    let mut packs: Vec<&str> = those.iter().filter_map(|it| run::text(it, &["pack"])).collect();
    packs.dedup();
    for pack in packs {
        html.within("p", &[("class", "marks")], |html| {
            html.leaf("span", &[("class", "quiet pack")], pack);
            html.within("span", &[], |html| {
                for it in those.iter().filter(|it| run::text(it, &["pack"]) == Some(pack)) {
                    mark(html, change.2, it, shown);
                }
            });
        });
    }
}

fn mark(html: &mut Html, words: &str, it: &Json, shown: &Shown<'_>) {
    let text = |key: &str| run::text(it, &[key]).unwrap_or_default();
    let kind = run::text(it, &["verdict"]).map(Kind::from_name);
    let now = kind.map_or("asked per request", Kind::word);
    let label = format!("{} ({}): {words}; on today's evidence: {now}", text("title"), text("rule"));
    let sure = if text("applies") == "yes" { "dot" } else { "dot unsure" };
    let class = format!("{sure} {}", kind.map_or("apart", Kind::class));
    let sign = kind.map_or("none", Kind::class);
    let href = href(it, shown);
    let (tag, more) = match &href {
        Some(href) => ("a", ("href", href.as_str())),
        None => ("span", ("role", "img")),
    };
    let attributes = [("class", class.as_str()), ("title", &label), ("aria-label", &label), more];
    html.within(tag, &attributes, |html| html.symbol(sign));
}

/// Where the rule's verdict stands on the page.
fn href(it: &Json, shown: &Shown<'_>) -> Option<String> {
    let (pack, rule) = (run::text(it, &["pack"])?, run::text(it, &["rule"])?);
    shown.contains(&(pack, rule)).then(|| format!("#rule-{}-{}", slug(pack), slug(rule)))
}

fn table(html: &mut Html, changes: &[Json], shown: &Shown<'_>) {
    tables::table(html, "What the day brings", |html| {
        tables::header(html, &["Rule", "Change", "On today's evidence", "Source of the date"]);
        html.within("tbody", &[], |html| {
            for it in changes {
                html.within("tr", &[], |html| row(html, it, shown));
            }
        });
    });
}

fn row(html: &mut Html, it: &Json, shown: &Shown<'_>) {
    let text = |key: &str| run::text(it, &[key]).unwrap_or_default();
    html.within("th", &[("scope", "row")], |html| {
        html.text(text("title"));
        html.raw(" ");
        match href(it, shown) {
            Some(href) => html.leaf("a", &[("href", &href), ("class", "rule")], text("rule")),
            None => html.leaf("code", &[("class", "rule")], text("rule")),
        }
    });
    let words =
        CHANGES.iter().find(|(name, ..)| *name == text("change")).map_or(text("change"), |(_, _, words, _)| words);
    html.within("td", &[], |html| {
        html.text(words);
        if text("applies") != "yes" {
            html.leaf("p", &[("class", "quiet")], "if it applies");
        }
    });
    html.within("td", &[], |html| match run::text(it, &["verdict"]).map(Kind::from_name) {
        Some(kind) => html.leaf("span", &[("class", kind.class())], kind.word()),
        None => html.leaf("span", &[("class", "quiet")], "asked per request"),
    });
    html.within("td", &[], |html| {
        html.text(text("source"));
        if let Some(tz) = run::text(it, &["tz"]) {
            html.raw(" ");
            html.leaf("span", &[("class", "quiet")], tz);
        }
    });
}
