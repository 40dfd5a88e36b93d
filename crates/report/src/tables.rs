//! Tables of what was measured, declared and recorded.

use crate::{
    Record, figures,
    html::Html,
    run::{self, Run},
    verdict::fact_id,
};
use evidence::{Json, Predicate, metric};
use std::collections::BTreeSet;

/// A column: its heading, and the members that may fill it, the first present one winning.
pub(crate) type Column = (&'static str, &'static [&'static str]);

/// A table of like items; a column that no item fills is left out.
pub(crate) fn items(html: &mut Html, label: &'static str, items: &[Json], columns: &[Column]) {
    let cell = |item: &'_ Json, keys: &[&str]| keys.iter().find_map(|key| item.get(key)).cloned();
    let filled: Vec<&Column> =
        columns.iter().filter(|(_, keys)| items.iter().any(|item| cell(item, keys).is_some())).collect();
    let numeric: Vec<bool> = filled.iter().map(|(_, keys)| items.iter().all(|item| is_number(item, keys))).collect();
    let class = |position: usize| if numeric[position] { "number" } else { "" };
    table(html, label, |html| {
        html.within("thead", &[], |html| {
            html.within("tr", &[], |html| {
                for (position, (heading, _)) in filled.iter().enumerate() {
                    html.leaf("th", &[("scope", "col"), ("class", class(position))], heading);
                }
            });
        });
        html.within("tbody", &[], |html| {
            for item in items {
                html.within("tr", &[], |html| {
                    for (position, (_, keys)) in filled.iter().enumerate() {
                        html.within("td", &[("class", class(position))], |html| {
                            if let Some(json) = cell(item, keys) {
                                figures::value(html, &json);
                            }
                        });
                    }
                });
            }
        });
    });
}

fn is_number(item: &Json, keys: &[&str]) -> bool {
    keys.iter().find_map(|key| item.get(key)).is_none_or(|json| json.as_decimal().is_some())
}

/// A table that scrolls by itself where the screen is narrow.
pub(crate) fn table(html: &mut Html, label: &'static str, rows: impl FnOnce(&mut Html)) {
    html.within("div", &[("class", "scroll"), ("tabindex", "0"), ("role", "region"), ("aria-label", label)], |html| {
        html.within("table", &[("aria-label", label)], rows);
    });
}

/// A header row of the given headings; a heading with a leading `#` is of numbers.
pub(crate) fn header(html: &mut Html, headings: &[&'static str]) {
    html.within("thead", &[], |html| {
        html.within("tr", &[], |html| {
            for heading in headings {
                match heading.strip_prefix('#') {
                    Some(heading) => html.leaf("th", &[("scope", "col"), ("class", "number")], heading),
                    None => html.leaf("th", &[("scope", "col")], heading),
                }
            }
        });
    });
}

/// Every measurement, grouped by the part of the system that it is about.
pub(crate) fn measurements(html: &mut Html, run: &Run<'_>) {
    let all = run.measurements();
    let group = |json: &Json| run::text(json, &["metric"]).and_then(|id| id.split('.').next()).map(str::to_owned);
    let mut groups: Vec<String> = Vec::new();
    for name in all.iter().filter_map(|(_, json)| group(json)) {
        if !groups.contains(&name) {
            groups.push(name);
        }
    }
    if groups.is_empty() {
        return html.leaf("p", &[], "No measurement stands in this run.");
    }
    let mut places = Places::default();
    table(html, "Measurements", |html| {
        header(html, &["Fact", "#Value", "Interval", "Sample", "Provenance", "Entry"]);
        for name in groups {
            html.within("tbody", &[], |html| {
                html.within("tr", &[("class", "group")], |html| {
                    html.leaf("th", &[("colspan", "6"), ("scope", "rowgroup")], &name.replace('_', " "));
                });
                for (record, json) in all.iter().filter(|(_, json)| group(json).as_deref() == Some(&name)) {
                    measurement(html, &mut places, record, json);
                }
            });
        }
    });
}

/// Fragments given away already: of several figures of one fact in one entry, links lead to the first.
#[derive(Default)]
struct Places(BTreeSet<String>);

impl Places {
    /// A table row that is the place of `fact` in `record`, unless an earlier one is.
    fn row(&mut self, html: &mut Html, record: &Record, fact: &str, cells: impl FnOnce(&mut Html)) {
        let id = fact_id(record, fact);
        let attributes: &[(&str, &str)] = &[("class", "figures"), ("id", &id)];
        let is_first = self.0.insert(id.clone());
        html.within("tr", if is_first { attributes } else { &attributes[..1] }, cells);
    }
}

/// Two rows: the figure, and how it was had.
fn measurement(html: &mut Html, places: &mut Places, record: &Record, json: &Json) {
    let id = run::text(json, &["metric"]).unwrap_or("no metric");
    places.row(html, record, id, |html| {
        html.within("th", &[("scope", "row")], |html| html.leaf("code", &[], id));
        html.within("td", &[("class", "number")], |html| figures::quantity(html, json));
        html.within("td", &[], |html| figures::interval(html, json));
        html.within("td", &[], |html| figures::sample(html, json));
        html.within("td", &[], |html| {
            figures::provenance(html, run::text(json, &["provenance"]).unwrap_or("no provenance"));
        });
        html.within("td", &[], |html| figures::entry(html, record));
    });
    html.within("tr", &[("class", "how")], |html| {
        html.within("td", &[("colspan", "6")], |html| html.within("div", &[], |html| how(html, id, json)));
    });
}

fn how(html: &mut Html, id: &str, json: &Json) {
    let known = metric::find(id);
    html.within("p", &[], |html| {
        if let Some(name) = json.get("subject").and_then(|subject| run::text(subject, &["name"])) {
            html.leaf("span", &[("class", "name")], name);
            html.raw(" · ");
        }
        for words in known.iter().flat_map(|metric| [metric.what, metric.limits]).filter_map(wording) {
            html.text(words);
            html.raw(" ");
        }
    });
    html.within("details", &[], |html| {
        html.leaf("summary", &[], "how");
        html.within("dl", &[("class", "line")], |html| circumstances(html, json));
    });
}

/// Words of the catalogue, which is not signed: shown only where they carry no figure.
pub(crate) fn wording(text: &'static str) -> Option<&'static str> {
    (!text.is_empty() && !text.contains(|c: char| c.is_ascii_digit())).then_some(text)
}

fn circumstances(html: &mut Html, json: &Json) {
    for (label, key) in [
        ("method", "method"),
        ("convention", "convention"),
        ("interval by", "intervalMethod"),
        ("level", "level"),
        ("instrument", "instrument"),
        ("subject", "subject"),
        ("inputs", "inputs"),
        ("at", "at"),
    ] {
        if let Some(item) = json.get(key).filter(|item| !matches!(item, Json::List(items) if items.is_empty())) {
            html.within("div", &[], |html| {
                html.leaf("dt", &[], label);
                html.within("dd", &[], |html| figures::value(html, item));
            });
        }
    }
}

/// What persons said, apart from what instruments said.
pub(crate) fn declarations(html: &mut Html, run: &Run<'_>) {
    let all = run.declarations();
    if all.is_empty() {
        return html.leaf("p", &[], "No declaration stands in this run.");
    }
    let mut places = Places::default();
    table(html, "Declarations", |html| {
        header(html, &["Fact", "Declared", "By", "Void from", "Provenance", "Entry"]);
        html.within("tbody", &[], |html| {
            for (record, json) in all {
                let id = run::text(json, &["fact"]).unwrap_or("no fact");
                places.row(html, record, id, |html| {
                    html.within("th", &[("scope", "row")], |html| {
                        html.leaf("code", &[], id);
                        if let Some(what) = metric::find(id).and_then(|metric| wording(metric.what)) {
                            html.leaf("p", &[("class", "quiet")], what);
                        }
                    });
                    html.within("td", &[], |html| figures::quantity(html, json));
                    for key in ["owner", "expires"] {
                        html.within("td", &[], |html| html.text(run::text(json, &[key]).unwrap_or("not given")));
                    }
                    html.within("td", &[], |html| figures::provenance(html, "declared"));
                    html.within("td", &[], |html| figures::entry(html, record));
                });
            }
        });
    });
}

/// Every entry of the run, each leading to its envelope file.
pub(crate) fn log(html: &mut Html, run: &Run<'_>) {
    table(html, "Entries of the log", |html| {
        header(html, &["#Entry", "Says", "About", "At", "Envelope"]);
        html.within("tbody", &[], |html| {
            for record in run.records() {
                let index = record.index.to_string();
                html.within("tr", &[("id", &format!("entry-{index}"))], |html| {
                    html.leaf("th", &[("scope", "row"), ("class", "number")], &index);
                    html.within("td", &[], |html| {
                        html.raw(predicate_word(record.statement.predicate_type));
                        if let Some(detail) = detail(record) {
                            html.raw(", ");
                            html.text(detail);
                        }
                    });
                    html.within("td", &[], |html| about(html, record));
                    html.within("td", &[], |html| {
                        figures::moment(html, run::text(&record.statement.predicate, &["at"]).unwrap_or_default());
                    });
                    html.within("td", &[], |html| {
                        let href = format!("envelopes/{}.json", record.envelope);
                        html.within("a", &[("href", &href)], |html| figures::digest(html, record.envelope));
                    });
                });
            }
        });
    });
}

/// Names of the subjects; of many, the first few and words for the rest.
fn about(html: &mut Html, record: &Record) {
    const SHOWN: usize = 3;
    let subjects = &record.statement.subjects;
    for (position, subject) in subjects.iter().take(SHOWN).enumerate() {
        if position > 0 {
            html.raw(", ");
        }
        html.leaf("span", &[("class", "name"), ("title", &format!("sha256:{}", subject.digest))], &subject.name);
    }
    if subjects.len() > SHOWN {
        html.raw(" and more");
    }
}

fn detail(record: &Record) -> Option<&str> {
    let predicate = &record.statement.predicate;
    match record.statement.predicate_type {
        Predicate::Compression => run::text(predicate, &["operation"]),
        Predicate::Evaluation => run::text(predicate, &["suite"]),
        Predicate::Decision => run::stage(record),
        Predicate::Stop | Predicate::Resume => run::text(predicate, &["reason"]),
        Predicate::Intervention => run::text(predicate, &["trouble"]),
        _ => None,
    }
}

const fn predicate_word(predicate: Predicate) -> &'static str {
    match predicate {
        Predicate::Policy => "Policy",
        Predicate::Plan => "Plan",
        Predicate::DatasetAudit => "Data",
        Predicate::Generation => "Generation",
        Predicate::TrainingRun => "Training",
        Predicate::Compression => "Compression",
        Predicate::Evaluation => "Evaluation",
        Predicate::Declarations => "Declarations",
        Predicate::Waiver => "Waiver",
        Predicate::Decision => "Decision",
        Predicate::Stop => "Stop",
        Predicate::Resume => "Resumption",
        Predicate::Intervention => "Intervention",
        Predicate::Seal => "Seal",
    }
}
