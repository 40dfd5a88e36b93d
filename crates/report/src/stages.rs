//! The gates that a run passes, and what interrupted it.

use crate::{
    Record, figures,
    html::Html,
    run::{self, Run},
    verdict::Verdict,
};
use evidence::Predicate;

/// In the order of the loop, with the words a person reads.
const STAGES: [(&str, &str); 6] = [
    ("data", "Data"),
    ("plan", "Plan"),
    ("train", "Train"),
    ("evaluate", "Evaluate"),
    ("compress", "Compress"),
    ("release", "Release"),
];

/// What a decision did, as class, sign and word.
pub(crate) fn effect(decision: &Record) -> (&'static str, &'static str, &'static str) {
    match run::text(&decision.statement.predicate, &["effect"]) {
        Some("allow") => ("allow", "pass", "allowed"),
        Some("deny") => ("deny", "fail", "denied"),
        _ => ("deny", "error", "no effect stated"),
    }
}

/// One step a stage, with every decision that was taken there.
pub(crate) fn timeline(html: &mut Html, run: &Run<'_>) {
    html.within("ol", &[("class", "stages")], |html| {
        for (name, word) in STAGES {
            let decisions: Vec<&Record> =
                run.of(Predicate::Decision).filter(|record| run::stage(record).unwrap_or("release") == name).collect();
            let class = decisions.last().map_or("open", |last| effect(last).0);
            html.within("li", &[("class", class)], |html| step(html, word, &decisions));
        }
    });
}

fn step(html: &mut Html, word: &'static str, decisions: &[&Record]) {
    html.leaf("strong", &[("class", "stage")], word);
    if decisions.is_empty() {
        html.within("span", &[("class", "gate")], |html| {
            html.symbol("none");
            html.raw("no decision");
        });
    }
    for decision in decisions {
        let (class, symbol, word) = effect(decision);
        html.within("span", &[("class", &format!("gate {class}"))], |html| {
            html.symbol(symbol);
            html.text(word);
        });
        html.within("span", &[("class", "quiet when")], |html| {
            if let Some(at) = run::text(&decision.statement.predicate, &["at"]) {
                figures::moment(html, at);
                html.raw(" ");
            }
            figures::entry(html, decision);
        });
        denied_by(html, decision, "Denied by ");
    }
}

/// The rules that denied, each a link; nothing where the decision allows.
pub(crate) fn denied_by(html: &mut Html, decision: &Record, label: &'static str) {
    let denying: Vec<_> = Verdict::all(decision).into_iter().filter(Verdict::denies).collect();
    if denying.is_empty() || effect(decision).0 == "allow" {
        return;
    }
    html.within("span", &[("class", "denied-by")], |html| {
        html.raw(label);
        for (position, verdict) in denying.iter().enumerate() {
            if position > 0 {
                html.raw(", ");
            }
            html.leaf("a", &[("href", &format!("#{}", verdict.id()))], verdict.rule);
        }
    });
}

/// Stops and resumptions in entry order.
pub(crate) fn interruptions(html: &mut Html, run: &Run<'_>) {
    let is_interruption =
        |record: &&&Record| matches!(record.statement.predicate_type, Predicate::Stop | Predicate::Resume);
    let found: Vec<_> = run.records().iter().filter(is_interruption).collect();
    if let Some((record, gaps)) = run.measurement("record.gaps", None) {
        html.within("p", &[], |html| {
            html.raw("Gaps in observation: ");
            html.within("strong", &[], |html| figures::quantity(html, gaps));
            html.raw(" ");
            figures::entry(html, record);
        });
    }
    if found.is_empty() {
        return html.leaf("p", &[], "The log of this run records no stop and no resumption.");
    }
    html.within("ul", &[("class", "events")], |html| {
        for record in found {
            html.within("li", &[], |html| interruption(html, record));
        }
    });
}

fn interruption(html: &mut Html, record: &Record) {
    let predicate = &record.statement.predicate;
    let is_stop = record.statement.predicate_type == Predicate::Stop;
    html.symbol(if is_stop { "stop" } else { "resume" });
    html.within("div", &[], |html| {
        html.within("p", &[], |html| {
            html.leaf("strong", &[], if is_stop { "Stopped" } else { "Resumed" });
            html.raw(": ");
            let reason = run::text(predicate, &["reason"]).unwrap_or("no reason given");
            html.text(match reason {
                "after-stop" => "after a stop",
                "after-crash" => "after a crash; what happened in between was not observed",
                "after-pause" => "after a pause, by a person who had looked at it",
                "budget-raised" => "with a raised budget",
                other => other,
            });
            html.raw(" ");
            html.within("span", &[("class", "quiet")], |html| {
                if let Some(at) = run::text(predicate, &["at"]) {
                    figures::moment(html, at);
                    html.raw(" ");
                }
                figures::entry(html, record);
            });
        });
        for (key, label) in [("pause", "Pause"), ("snapshot", "Snapshot"), ("gap", "Gap in observation")] {
            if let Some(json) = predicate.get(key) {
                html.within("p", &[("class", "quiet")], |html| {
                    html.raw(label);
                    html.raw(" ");
                    figures::value(html, json);
                });
            }
        }
        for (key, label) in
            [("budget", "Budget at that moment"), ("budgetBefore", "Budget before"), ("budgetAfter", "Budget after")]
        {
            budget_lines(html, run::list(predicate, &[key]), label);
        }
    });
}

fn budget_lines(html: &mut Html, budgets: &[evidence::Json], label: &'static str) {
    if budgets.is_empty() {
        return;
    }
    html.within("p", &[("class", "quiet")], |html| {
        html.raw(label);
        html.raw(": ");
        for (position, budget) in budgets.iter().enumerate() {
            if position > 0 {
                html.raw("; ");
            }
            html.text(run::text(budget, &["name"]).unwrap_or("budget"));
            if let Some(used) = budget.get("used") {
                html.raw(" used ");
                figures::value(html, used);
            }
            if let Some(cap) = budget.get("cap") {
                html.raw(" of ");
                figures::value(html, cap);
            }
            figures::unit(html, budget);
        }
    });
}
