//! The run as it went: plan, training, compression, evaluation, data, lineage.

use crate::{
    charts, figures,
    html::Html,
    run::{self, Run},
    stages, tables,
};
use evidence::{Json, Predicate};

/// Rows up to which a list of files stands open.
const OPEN_ROWS: usize = 12;

/// What a plan's quantity is held against afterwards, and whether both mean the same stretch of work.
const SCORED: &[(&str, &str, bool)] = &[
    ("plan.compute", "train.compute", true),
    ("plan.memory", "train.memory_peak", true),
    ("plan.time", "train.time", false),
    ("plan.energy", "train.energy", false),
    ("plan.carbon", "train.carbon", false),
];

pub(crate) fn plan(html: &mut Html, run: &Run<'_>) {
    let Some(record) = run.last(Predicate::Plan) else {
        return html.leaf("p", &[], "No plan stands in this run.");
    };
    let predicate = &record.statement.predicate;
    html.within("p", &[("class", "lead")], |html| {
        html.raw("Signed before the run started, in ");
        figures::entry(html, record);
        html.raw(", and held against what was measured afterwards.");
    });
    tables::table(html, "Planned against measured", |html| {
        tables::header(html, &["Quantity", "#Planned", "Interval", "#Measured", "Against the plan"]);
        html.within("tbody", &[], |html| {
            for quantity in run::list(predicate, &["quantities"]) {
                html.within("tr", &[], |html| planned(html, run, quantity));
            }
        });
    });
    thresholds(html, run::list(predicate, &["thresholds"]));
    settings(html, "Configuration and seed", predicate, &["config", "seed", "dataDigests"]);
}

fn planned(html: &mut Html, run: &Run<'_>, quantity: &Json) {
    let name = run::text(quantity, &["name", "metric"]).unwrap_or("no name");
    html.within("th", &[("scope", "row")], |html| html.leaf("code", &[], name));
    html.within("td", &[("class", "number")], |html| figures::quantity(html, quantity));
    html.within("td", &[], |html| figures::interval(html, quantity));
    let full = if name.contains('.') { name.to_owned() } else { format!("plan.{name}") };
    let scored = SCORED.iter().find(|(planned, _, _)| *planned == full);
    let (metric, same) = scored.map_or((full.as_str(), true), |(_, metric, same)| (metric, *same));
    let found = run.measurement(metric, None).filter(|(record, _)| record.statement.predicate_type != Predicate::Plan);
    html.within("td", &[("class", "number")], |html| {
        if let Some((_, measured)) = found {
            figures::quantity(html, measured);
        }
    });
    html.within("td", &[("class", "against")], |html| match found {
        None => html.leaf("span", &[("class", "quiet")], "not measured"),
        Some((record, measured)) => {
            html.raw(if same { against(quantity, measured) } else { "training only; the plan is for the whole case" });
            html.raw(" ");
            html.within("span", &[("class", "quiet")], |html| {
                html.leaf("code", &[], metric);
                html.raw(" ");
                figures::entry(html, record);
            });
        }
    });
}

/// Whether the measured value lies in the predicted interval: a comparison, not a computed figure.
fn against(planned: &Json, measured: &Json) -> &'static str {
    let number = |json: &Json, key: &str| json.get(key).and_then(Json::as_decimal);
    let bounds = (number(planned, "lower"), number(measured, "value"), number(planned, "upper"));
    match bounds {
        (Some(lower), Some(value), Some(upper)) if lower <= value && value <= upper => "within the interval",
        (Some(lower), Some(value), _) if value < lower => "below the interval",
        (_, Some(value), Some(upper)) if value > upper => "above the interval",
        _ => "no interval to hold it against",
    }
}

fn thresholds(html: &mut Html, thresholds: &[Json]) {
    if thresholds.is_empty() {
        return;
    }
    html.leaf("h3", &[], "Thresholds looked at before the start");
    tables::table(html, "Thresholds", |html| {
        tables::header(html, &["Would be crossed", "Threshold", "Rule", "Pack"]);
        html.within("tbody", &[], |html| {
            for threshold in thresholds {
                html.within("tr", &[], |html| {
                    html.within("td", &[], |html| crossed(html, threshold));
                    html.within("td", &[], |html| threshold_words(html, threshold));
                    for key in ["rule", "pack"] {
                        html.within("td", &[], |html| {
                            html.leaf("code", &[], run::text(threshold, &[key]).unwrap_or(""));
                        });
                    }
                });
            }
        });
    });
}

fn crossed(html: &mut Html, threshold: &Json) {
    let (class, symbol, word) = match run::text(threshold, &["crossed"]) {
        Some("no") => ("gate quiet", "none", "no"),
        Some("yes") => ("gate unknown", "error", "yes"),
        Some("possible") => ("gate unknown", "unknown", "possibly"),
        _ => ("gate quiet", "none", "not said"),
    };
    html.within("span", &[("class", class)], |html| {
        html.symbol(symbol);
        html.raw(word);
    });
}

fn threshold_words(html: &mut Html, threshold: &Json) {
    html.within("code", &[], |html| {
        html.text(run::text(threshold, &["fact"]).unwrap_or("no fact"));
        if let Some(field) = run::text(threshold, &["field"]) {
            html.raw(".");
            html.text(field);
        }
        html.raw(" ");
        html.text(run::text(threshold, &["operator"]).unwrap_or(""));
        html.raw(" ");
        figures::quantity(html, threshold);
    });
}

/// Members of a predicate that say how it was done, closed until asked for.
fn settings(html: &mut Html, label: &'static str, predicate: &Json, keys: &[&'static str]) {
    let present: Vec<_> = keys.iter().filter_map(|key| Some((*key, predicate.get(key)?))).collect();
    if present.is_empty() {
        return;
    }
    html.within("details", &[("class", "more")], |html| {
        html.leaf("summary", &[], label);
        html.within("dl", &[("class", "tree")], |html| {
            for (key, json) in present {
                html.leaf("dt", &[], &figures::spaced(key));
                html.within("dd", &[], |html| figures::tree(html, json));
            }
        });
    });
}

pub(crate) fn training(html: &mut Html, run: &Run<'_>) {
    let Some(record) = run.last(Predicate::TrainingRun) else {
        html.leaf("p", &[], "No finished training stands in this run.");
        return stages::interruptions(html, run);
    };
    let predicate = &record.statement.predicate;
    let (curve, budgets) = (run::list(predicate, &["curve"]), run::list(predicate, &["budget"]));
    html.within("p", &[("class", "lead")], |html| {
        html.raw("From ");
        figures::entry(html, record);
        if let Some(weights) = predicate.get("weights") {
            html.raw("; weights ");
            figures::value(html, weights);
        }
        html.raw(".");
    });
    html.within("div", &[("class", "plots")], |html| {
        charts::loss(html, curve);
        charts::compute(html, curve, budgets);
    });
    if !curve.is_empty() {
        html.within("details", &[("class", "more screen-only")], |html| {
            html.leaf("summary", &[], "The curve as a table");
            tables::items(
                html,
                "Training curve",
                curve,
                &[
                    ("Step", &["step"]),
                    ("Loss", &["loss"]),
                    ("Learning rate", &["learningRate"]),
                    ("FLOP", &["computeFlop"]),
                ],
            );
        });
    }
    if !budgets.is_empty() {
        html.leaf("h3", &[], "Budgets");
        budget_table(html, budgets);
    }
    html.leaf("h3", &[], "Stops, resumptions and gaps");
    stages::interruptions(html, run);
    settings(html, "Configuration of the training", predicate, &["config", "seed"]);
}

fn budget_table(html: &mut Html, budgets: &[Json]) {
    tables::table(html, "Budgets", |html| {
        tables::header(html, &["Budget", "#Used", "#Cap", "Share"]);
        html.within("tbody", &[], |html| {
            for budget in budgets {
                html.within("tr", &[], |html| {
                    html.leaf("th", &[("scope", "row")], run::text(budget, &["name"]).unwrap_or("no name"));
                    for key in ["used", "cap"] {
                        html.within("td", &[("class", "number")], |html| {
                            if let Some(number) = budget.get(key) {
                                figures::value(html, number);
                                figures::unit(html, budget);
                            }
                        });
                    }
                    html.within("td", &[("class", "drawn")], |html| {
                        charts::bar(html, "budget", budget.get("used"), budget.get("cap"));
                    });
                });
            }
        });
    });
}

pub(crate) fn compression(html: &mut Html, run: &Run<'_>) {
    let mut steps = run.of(Predicate::Compression).peekable();
    if steps.peek().is_none() {
        return html.leaf("p", &[], "Nothing was compressed in this run.");
    }
    for record in steps {
        let predicate = &record.statement.predicate;
        html.within("section", &[("class", "step")], |html| {
            html.within("h3", &[], |html| {
                let operation = run::text(predicate, &["operation"]).unwrap_or("compression");
                html.text(match operation {
                    "prune" => "Pruned",
                    "quantize" => "Quantised",
                    other => other,
                });
                html.raw(" ");
                html.within("span", &[("class", "quiet")], |html| figures::entry(html, record));
            });
            if let Some(parameters) = predicate.get("parameters") {
                html.within("p", &[("class", "quiet")], |html| figures::value(html, parameters));
            }
            before_after(html, predicate);
            changes(html, predicate);
        });
    }
}

fn before_after(html: &mut Html, predicate: &Json) {
    let side = |key: &str| predicate.get(key).and_then(Json::members);
    let (Some(before), Some(after)) = (side("before"), side("after")) else { return };
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    tables::table(html, "Before and after", |html| {
        tables::header(html, &["", "#Before", "#After", "Grey: before; blue: after"]);
        html.within("tbody", &[], |html| {
            for key in keys {
                let pair = [before.get(key), after.get(key)];
                html.within("tr", &[], |html| {
                    html.leaf("th", &[("scope", "row")], &figures::spaced(key));
                    for json in pair {
                        html.within("td", &[("class", "number")], |html| sided(html, json));
                    }
                    html.within("td", &[("class", "drawn")], |html| pair_of_bars(html, pair));
                });
            }
        });
    });
}

fn sided(html: &mut Html, json: Option<&Json>) {
    match json {
        Some(json) if json.get("value").is_some() => figures::quantity(html, json),
        Some(json) => figures::value(html, json),
        None => {}
    }
}

/// Two bars on one scale, whose end is the larger of the two.
fn pair_of_bars(html: &mut Html, pair: [Option<&Json>; 2]) {
    let inner = pair.map(|json| json.map(|json| json.get("value").unwrap_or(json)));
    let [before, after] = inner.map(|json| json.and_then(Json::as_decimal));
    let (Some(before), Some(after)) = (before, after) else { return };
    let whole = if before >= after { inner[0] } else { inner[1] };
    charts::bar(html, "before", inner[0], whole);
    charts::bar(html, "after", inner[1], whole);
}

/// The step's own measurements of change, with their intervals.
fn changes(html: &mut Html, predicate: &Json) {
    let is_change = |json: &&Json| {
        run::text(json, &["metric"]).is_some_and(|id| id.starts_with("prune.") || id.starts_with("quantize."))
    };
    let changes: Vec<_> = run::list(predicate, &["measurements"]).iter().filter(is_change).collect();
    if changes.is_empty() {
        return;
    }
    html.within("ul", &[("class", "changes")], |html| {
        for change in changes {
            html.within("li", &[], |html| {
                html.leaf("code", &[], run::text(change, &["metric"]).unwrap_or_default());
                html.raw(" ");
                html.within("strong", &[], |html| figures::quantity(html, change));
                html.raw(" ");
                figures::interval(html, change);
                html.raw(" ");
                figures::provenance(html, run::text(change, &["provenance"]).unwrap_or("no provenance"));
            });
        }
    });
}

pub(crate) fn evaluation(html: &mut Html, run: &Run<'_>) {
    let held_out: Vec<_> = run
        .measurements()
        .into_iter()
        .filter(|(_, json)| run::text(json, &["metric"]).is_some_and(|id| id.starts_with("heldout.")))
        .collect();
    if !held_out.is_empty() {
        html.leaf("h3", &[], "Held-out documents");
        let mut ids: Vec<&str> = held_out.iter().filter_map(|(_, json)| run::text(json, &["metric"])).collect();
        ids.sort_unstable();
        ids.dedup();
        tables::table(html, "Held-out scores", |html| {
            tables::header(html, &["Model", "#Score", "Interval", "Side by side", "Entry"]);
            for id in ids {
                let those: Vec<_> =
                    held_out.iter().filter(|(_, json)| run::text(json, &["metric"]) == Some(id)).collect();
                let all: Vec<&Json> = those.iter().map(|(_, json)| *json).collect();
                html.within("tbody", &[], |html| {
                    html.within("tr", &[("class", "group")], |html| {
                        html.within("th", &[("colspan", "5"), ("scope", "rowgroup")], |html| {
                            html.leaf("code", &[], id);
                        });
                    });
                    for (record, json) in those {
                        html.within("tr", &[], |html| {
                            let name = json.get("subject").and_then(|subject| run::text(subject, &["name"]));
                            html.leaf("th", &[("scope", "row"), ("class", "name")], name.unwrap_or("no subject"));
                            html.within("td", &[("class", "number")], |html| figures::quantity(html, json));
                            html.within("td", &[], |html| figures::interval(html, json));
                            html.within("td", &[("class", "drawn")], |html| charts::strip(html, json, &all));
                            html.within("td", &[], |html| figures::entry(html, record));
                        });
                    }
                });
            }
        });
    }
    folds(html, run);
    if held_out.is_empty() && run.last(Predicate::Evaluation).is_none() {
        html.leaf("p", &[], "No evaluation stands in this run.");
    }
}

fn folds(html: &mut Html, run: &Run<'_>) {
    let folded = |record: &&crate::Record| !run::list(&record.statement.predicate, &["folds"]).is_empty();
    let Some(record) = run.of(Predicate::Evaluation).rev().find(folded) else { return };
    let folds = run::list(&record.statement.predicate, &["folds"]);
    let all: Vec<&Json> = folds.iter().collect();
    html.within("h3", &[], |html| {
        html.raw("Cross-validation by fold ");
        html.within("span", &[("class", "quiet")], |html| figures::entry(html, record));
    });
    tables::table(html, "Folds", |html| {
        // Figures that only some records have stand where they are there.
        let columns: [(&str, &[&str]); 9] = [
            ("#Fold", &["fold"]),
            ("#Documents", &["nDocuments", "n_documents"]),
            ("#Tokens", &["nTokens", "n_tokens"]),
            ("#Loss before", &["lossBefore"]),
            ("#Held-out loss", &["loss"]),
            ("#Perplexity before", &["perplexityBefore"]),
            ("#Perplexity", &["perplexity"]),
            ("#Texts", &["n"]),
            ("#Right", &["right"]),
        ];
        let stands = |keys: &[&str]| keys.iter().any(|key| folds.iter().any(|fold| fold.get(key).is_some()));
        let columns: Vec<_> = columns.into_iter().filter(|(_, keys)| stands(keys)).collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).chain(["Spread of the folds"]).collect();
        tables::header(html, &names);
        html.within("tbody", &[], |html| {
            for fold in folds {
                html.within("tr", &[], |html| {
                    for (_, keys) in &columns {
                        html.within("td", &[("class", "number")], |html| {
                            if let Some(json) = keys.iter().find_map(|key| fold.get(key)) {
                                sided(html, Some(json));
                            }
                        });
                    }
                    html.within("td", &[("class", "drawn")], |html| charts::strip(html, fold, &all));
                });
            }
        });
    });
    let summary: Vec<_> = ["kfold.loss", "kfold.loss_change", "kfold.perplexity", "kfold.loss_spread"]
        .iter()
        .filter_map(|id| run.measurement(id, None))
        .collect();
    html.within("ul", &[("class", "changes")], |html| {
        for (_, json) in summary {
            html.within("li", &[], |html| {
                html.leaf("code", &[], run::text(json, &["metric"]).unwrap_or_default());
                html.raw(" ");
                html.within("strong", &[], |html| figures::quantity(html, json));
                html.raw(" ");
                figures::interval(html, json);
            });
        }
    });
}

pub(crate) fn data(html: &mut Html, run: &Run<'_>) {
    let mut audits = run.of(Predicate::DatasetAudit).peekable();
    if audits.peek().is_none() {
        return html.leaf("p", &[], "No record of the data stands in this run.");
    }
    for record in audits {
        let predicate = &record.statement.predicate;
        html.within("p", &[("class", "lead")], |html| {
            html.raw("Read and digested in ");
            figures::entry(html, record);
            html.raw(". Licence and source are as the case declares them.");
        });
        for (key, label) in [("sets", "Sets"), ("data", "Sets"), ("files", "Files"), ("documents", "Documents")] {
            let rows = run::list(predicate, &[key]);
            if rows.is_empty() || !rows.iter().all(|row| row.members().is_some()) {
                continue;
            }
            let open: &[(&str, &str)] = &[("class", "more"), ("open", "")];
            html.within("details", if rows.len() <= OPEN_ROWS { open } else { &open[..1] }, |html| {
                html.leaf("summary", &[], label);
                tables::items(html, label, rows, DATA_COLUMNS);
            });
        }
        let rest = other_members(predicate, &["sets", "data", "files", "documents"]);
        if !rest.is_empty() {
            html.within("dl", &[("class", "tree")], |html| {
                for (key, json) in rest {
                    html.leaf("dt", &[], &figures::spaced(key));
                    html.within("dd", &[], |html| figures::tree(html, json));
                }
            });
        }
    }
}

const DATA_COLUMNS: &[tables::Column] = &[
    ("Set", &["set", "dataset"]),
    ("Name", &["name", "path"]),
    ("Part", &["part", "split"]),
    ("Licence", &["licence", "license"]),
    ("Source", &["source"]),
    ("Files", &["nFiles"]),
    ("Documents", &["nDocuments", "documents"]),
    ("Bytes", &["bytes", "nBytes"]),
    ("Tokens", &["tokens", "nTokens"]),
    ("Duplicate of", &["duplicateOf"]),
    ("Digest", &["digest", "sha256"]),
];

/// Members that no table shows and that are not common to all statements.
fn other_members<'a>(predicate: &'a Json, shown: &[&str]) -> Vec<(&'a str, &'a Json)> {
    const COMMON: [&str; 6] = ["runId", "stage", "at", "measurements", "declarations", "derivedFrom"];
    let members = predicate.members().into_iter().flatten();
    let is_other = |key: &str| !COMMON.contains(&key) && !shown.contains(&key);
    members.map(|(key, json)| (key.as_str(), json)).filter(|(key, _)| is_other(key)).collect()
}

/// What was made from what: child, action, parent.
pub(crate) fn lineage(html: &mut Html, run: &Run<'_>) {
    let names = run.names();
    let edges: Vec<_> = run
        .records()
        .iter()
        .flat_map(|record| {
            run::list(&record.statement.predicate, &["derivedFrom"]).iter().map(move |edge| (*record, edge))
        })
        .collect();
    if edges.is_empty() {
        return html.leaf("p", &[], "No lineage stands in this run.");
    }
    html.within("ul", &[("class", "lineage")], |html| {
        for (record, edge) in edges {
            html.within("li", &[], |html| {
                if let Some(child) = record.statement.subjects.first() {
                    named(html, &child.name, child.digest);
                }
                html.raw(" ");
                html.leaf("span", &[("class", "action")], run::text(edge, &["action"]).unwrap_or("from"));
                html.raw(" ");
                match edge.get("digest").and_then(run::digest) {
                    Some(parent) => named(html, names.get(&parent).copied().unwrap_or(""), parent),
                    None => html.raw("no parent named"),
                }
                html.raw(" ");
                figures::entry(html, record);
            });
        }
    });
}

fn named(html: &mut Html, name: &str, digest: evidence::Digest) {
    html.within("span", &[("class", "artefact")], |html| {
        if !name.is_empty() {
            html.leaf("span", &[("class", "name")], name);
            html.raw(" ");
        }
        figures::digest(html, digest);
    });
}
