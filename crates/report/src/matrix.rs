//! The verdicts at a glance: one row a pack, one column a kind of verdict, one mark a rule.

use crate::{
    Record, figures,
    html::Html,
    run::{self, Run},
    verdict::{self, Kind, Verdict},
};
use evidence::{Json, Predicate};
use std::collections::BTreeSet;

/// Columns that stand even when they are empty, so that an empty one is seen.
const ALWAYS: [Kind; 5] = [Kind::Pass, Kind::Fail, Kind::Unknown, Kind::NotInForce, Kind::NotApplicable];

/// Packs in the order in which the policy names them; those it does not name follow by name.
pub(crate) fn packs<'a>(run: &Run<'a>, verdicts: &[Verdict<'a>]) -> Vec<&'a str> {
    let named =
        run.last(Predicate::Policy).map_or(&[][..], |record| run::list(&record.statement.predicate, &["packs"]));
    let used: BTreeSet<&str> = verdicts.iter().map(|verdict| verdict.pack).collect();
    let mut packs: Vec<&str> = Vec::new();
    for name in named.iter().filter_map(|pack| run::text(pack, &["name"])).chain(used.iter().copied()) {
        if used.contains(name) && !packs.contains(&name) {
            packs.push(name);
        }
    }
    packs
}

/// The table, with its legend.
pub(crate) fn matrix(html: &mut Html, run: &Run<'_>, decision: &Record, verdicts: &[Verdict<'_>]) {
    let columns: Vec<Kind> = Kind::COLUMNS
        .into_iter()
        .filter(|kind| ALWAYS.contains(kind) || verdicts.iter().any(|verdict| verdict.kind == *kind))
        .collect();
    let label = "Verdicts by pack; each mark is one rule and leads to its verdict";
    html.within("table", &[("class", "matrix"), ("aria-label", label)], |html| {
        html.within("thead", &[], |html| {
            html.within("tr", &[], |html| {
                html.leaf("th", &[("scope", "col"), ("class", "pack")], "Pack");
                for kind in &columns {
                    let class = format!("count {}", kind.class());
                    html.within("th", &[("scope", "col"), ("class", &class)], |html| {
                        count(html, decision, *kind, verdicts);
                    });
                }
            });
        });
        html.within("tbody", &[], |html| {
            for pack in packs(run, verdicts) {
                row(html, run, pack, &columns, verdicts);
            }
        });
    });
    legend(html, verdicts);
}

/// The count that the decision carries; the report does not count.
fn count(html: &mut Html, decision: &Record, kind: Kind, verdicts: &[Verdict<'_>]) {
    let counts = decision.statement.predicate.get("counts").and_then(Json::members);
    let mut signed = counts.into_iter().flatten().filter(|(name, _)| Kind::from_name(name) == kind).peekable();
    html.within("span", &[("class", "number")], |html| {
        if signed.peek().is_none() && !verdicts.iter().any(|verdict| verdict.kind == kind) {
            html.leaf("span", &[("class", "none")], "none");
        }
        for (position, (_, number)) in signed.enumerate() {
            if position > 0 {
                html.raw(" + ");
            }
            figures::value(html, number);
        }
    });
    html.within("span", &[("class", "label")], |html| {
        html.symbol(kind.class());
        html.text(kind.word());
    });
}

fn row(html: &mut Html, run: &Run<'_>, pack: &str, columns: &[Kind], verdicts: &[Verdict<'_>]) {
    html.within("tr", &[], |html| {
        html.within("th", &[("scope", "row"), ("class", "pack")], |html| {
            html.leaf("a", &[("href", &format!("#{}", section_id(pack)))], pack);
            if let Some(mode) = mode(run, pack) {
                html.raw(" ");
                html.leaf("span", &[("class", "quiet mode-word")], mode);
            }
        });
        for kind in columns {
            html.within("td", &[("class", kind.class())], |html| {
                let mut marks: Vec<_> = verdicts.iter().filter(|v| v.pack == pack && v.kind == *kind).collect();
                marks.sort_by_key(|verdict| (!verdict.is_enforced(), verdict.rule));
                for verdict in marks {
                    mark(html, verdict);
                }
            });
        }
    });
}

fn mark(html: &mut Html, verdict: &Verdict<'_>) {
    let class = if verdict.is_enforced() { "dot enforced" } else { "dot" };
    let label = format!("{}: {} ({})", verdict.kind.word(), verdict.title(), verdict.rule);
    let href = format!("#{}", verdict.id());
    html.within("a", &[("class", class), ("href", &href), ("title", &label), ("aria-label", &label)], |html| {
        html.symbol(verdict.kind.class());
    });
}

fn legend(html: &mut Html, verdicts: &[Verdict<'_>]) {
    html.within("p", &[("class", "legend")], |html| {
        html.raw(
            "<span class=\"dot enforced sample\" aria-hidden=\"true\"></span> filled: enforced, can deny. \
             <span class=\"dot sample\" aria-hidden=\"true\"></span> outlined: reported only. ",
        );
        if verdicts.iter().any(|verdict| verdict.kind == Kind::Unknown) {
            html.raw(
                "Unknown means that the evidence does not settle the rule either way; it never counts as holding.",
            );
        }
    });
}

fn mode(run: &Run<'_>, pack: &str) -> Option<&'static str> {
    let policy = run.last(Predicate::Policy)?;
    let named = run::list(&policy.statement.predicate, &["packs"]);
    match run::text(named.iter().find(|item| run::text(item, &["name"]) == Some(pack))?, &["mode"])? {
        "enforce" => Some("enforced"),
        "report" => Some("reported only"),
        _ => None,
    }
}

/// Every verdict of one pack, worst first; the matrix leads to a section that is its pack's `place`.
pub(crate) fn pack_section(html: &mut Html, run: &Run<'_>, pack: &str, verdicts: &[Verdict<'_>], place: bool) {
    let mut those: Vec<_> = verdicts.iter().filter(|verdict| verdict.pack == pack).collect();
    those.sort_by_key(|verdict| (verdict.kind, !verdict.is_enforced(), verdict.rule));
    let id = section_id(pack);
    let attributes: &[(&str, &str)] = &[("class", "pack"), ("id", &id)];
    html.within("section", if place { attributes } else { &attributes[..1] }, |html| {
        html.within("h3", &[], |html| {
            html.text(pack);
            if let Some(mode) = mode(run, pack) {
                html.raw(" ");
                html.leaf("span", &[("class", "quiet")], mode);
            }
        });
        for verdict in those {
            verdict::article(html, run, verdict);
        }
    });
}

fn section_id(pack: &str) -> String {
    format!("pack-{}", crate::html::slug(pack))
}
