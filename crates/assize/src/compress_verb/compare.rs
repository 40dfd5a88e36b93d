//! `assize compare A B`: two models or dossiers side by side.

use super::{
    Input,
    figures::{Row, Sides},
    governed::{self, Passed, RulesArgs, Step},
    lineage,
    suites::{self, SuiteArgs, Suites},
};
use crate::{Ended, args::RunArgs, run, screen, verify};
use anyhow::bail;
use evidence::{Control, Json, Predicate};
use ledger::durable;
use policy::Stage;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};
use supervise::Record;

#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// A model, or a dossier with one
    pub(crate) first: PathBuf,
    /// The other
    pub(crate) second: PathBuf,
    #[command(flatten)]
    pub(crate) suites: SuiteArgs,
    /// Write the comparison as a page as well
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
    /// Leave a dossier that `verify` accepts: what was asked, both sides, both lineages, decided under the rules that are named
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
    #[command(flatten)]
    pub(crate) tokens: crate::args::TokenArgs,
    /// The signing key [default: $ASSIZE_KEY, else a file in the user's configuration folder, made when absent]
    #[arg(long, value_name = "FILE", requires = "out")]
    pub(crate) key: Option<PathBuf>,
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the last decision of each dossier says of each rule.
struct Verdicts {
    /// Rule, verdict of the first, verdict of the second; only where they differ.
    changed: Vec<(String, String, String)>,
    gained: Vec<String>,
    lost: Vec<String>,
}

pub(crate) fn compare(args: &CompareArgs) -> anyhow::Result<Ended> {
    if let Some(page) = args.page.as_deref().filter(|page| page.exists()) {
        bail!("`--page`: {} stands already and was not changed; name a file that is not there yet", page.display());
    }
    let run = signed(args);
    run.as_ref().map(super::new_out).transpose()?;
    if run.is_none() && (args.rules.rules.is_some() || !args.rules.packs.is_empty()) {
        bail!("rules are decided for the record: say with `--out DIR` where the dossier goes");
    }
    let options = args.tokens.options();
    let (first, second) = (Input::open(&args.first, &options)?, Input::open(&args.second, &options)?);
    let context = first.decoder.context().min(second.decoder.context());
    let suites = Suites::read(&args.suites, &first.parts.tokenizer, context)?;
    if !suites.is_empty() && first.parts.tokenizer.to_json()? != second.parts.tokenizer.to_json()? {
        let found = Suites::read(&args.suites, &second.parts.tokenizer, context)?;
        if found.passages != suites.passages {
            bail!(
                "the two models cut the text into different tokens, so their losses a token cannot be compared; leave `--evaluate` out, or compare by `--tasks`"
            );
        }
    }
    let progress = |_: u64| Control::Continue;
    let score = |input: &Input| suites.score(&input.decoder, &input.parts.tokenizer, &mut { progress });
    let mut sides = Sides { before: first.side(score(&first)?)?, after: second.side(score(&second)?)? };
    if let Some([one, two]) = suites::speeds(&first.decoder, &second.decoder, &suites.passages)? {
        (sides.before.speed, sides.after.speed) = (Some(one), Some(two));
    }
    let rows = sides.rows()?;
    let verdicts = verdicts(&args.first, &args.second)?;
    let document = document(&first, &second, &rows, verdicts.as_ref())?;
    if let Some(page) = &args.page {
        let names = [args.first.display().to_string(), args.second.display().to_string()];
        durable::write_atomic(page, self::page(&names, &rows, verdicts.as_ref()).as_bytes())?;
    }
    if let Some(run) = run {
        return record(
            args,
            &run,
            (&first, &second),
            (&sides, &suites),
            (&document, &|| show(args, &rows, verdicts.as_ref())),
        );
    }
    if args.json {
        screen::json(&document);
    } else {
        show(args, &rows, verdicts.as_ref());
    }
    Ok(Ended::Well)
}

/// What a step under rules is told of a command that names two models.
fn signed(args: &CompareArgs) -> Option<RunArgs> {
    let out = args.out.clone()?;
    Some(RunArgs { case: args.first.clone(), out: Some(out), as_of: None, key: args.key.clone(), json: args.json })
}

/// The comparison as a statement about the second model, decided like a step that made it of the first.
fn record(
    args: &CompareArgs,
    run: &RunArgs,
    (first, second): (&Input, &Input),
    (sides, suites): (&Sides, &Suites),
    (document, show): (&Json, &dyn Fn()),
) -> anyhow::Result<Ended> {
    let identity = Json::map([
        ("program", Some(run::INSTRUMENT.into())),
        ("work", Some("compare".into())),
        ("models", Some(Json::list([first.subject.digest, second.subject.digest]))),
    ]);
    let mut step = Step::begin(run, governed::held(&args.rules, run)?, &identity)?;
    let mut decided = || {
        let changed = sides.measure(&second.subject, suites)?;
        let mut record = Record::new(Predicate::Evaluation, "compress");
        record.subjects = vec![second.subject.clone(), first.subject.clone()];
        record.measurements = changed.measurements;
        let [before, after] = sides.to_json()?;
        record.members = vec![
            ("suite", "comparison".into()),
            ("first", before),
            ("second", after),
            ("suites", changed.suites),
            ("comparison", document.clone()),
        ];
        step.record(record)?;
        step.gate(Stage::Compress)
    };
    let passed = match decided() {
        Ok(passed) => passed,
        Err(error) => {
            step.abandon();
            return Err(error);
        }
    };
    if !args.json {
        show();
    }
    let summary = Json::map([("comparison", Some(document.clone()))]);
    match passed {
        Passed::On => step.close("allowed", &summary),
        Passed::No(gate) => step.close("denied", &super::denied(&gate)),
    }
}

/// Rule to verdict, of the last decision at each stage.
fn verdicts_in(dossier: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let entries = verify::entries(dossier)?;
    let mut found = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.statement.predicate_type == Predicate::Decision) {
        for verdict in entry.statement.predicate.get("verdicts").map_or(&[][..], Json::items) {
            let text = |key: &str| verdict.get(key).and_then(Json::as_text).unwrap_or_default().to_owned();
            found.insert(text("rule"), text("verdict"));
        }
    }
    Ok(found)
}

/// `None` unless both lie in dossiers.
fn verdicts(first: &Path, second: &Path) -> anyhow::Result<Option<Verdicts>> {
    let (Some(first), Some(second)) = (lineage::dossier_of(first), lineage::dossier_of(second)) else {
        return Ok(None);
    };
    let (first, second) = (verdicts_in(&first)?, verdicts_in(&second)?);
    let rules: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let (mut changed, mut gained, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for rule in rules {
        let of =
            |verdicts: &BTreeMap<String, String>| verdicts.get(rule).cloned().unwrap_or_else(|| "not asked".to_owned());
        let (one, two) = (of(&first), of(&second));
        if one == two {
            continue;
        }
        match (one.as_str(), two.as_str()) {
            (_, "pass") => gained.push(rule.clone()),
            ("pass", _) => lost.push(rule.clone()),
            _ => {}
        }
        changed.push((rule.clone(), one, two));
    }
    Ok(Some(Verdicts { changed, gained, lost }))
}

fn document(first: &Input, second: &Input, rows: &[Row], verdicts: Option<&Verdicts>) -> anyhow::Result<Json> {
    let side = |input: &Input| {
        Json::map([
            ("path", Some(input.parts.path.display().to_string().into())),
            ("digest", Some(input.subject.digest.into())),
            ("lineage", Some(Json::List(input.lineage.iter().map(lineage::Ancestor::to_json).collect()))),
        ])
    };
    let changed = |(rule, one, two): &(String, String, String)| {
        Json::map([
            ("rule", Some(rule.as_str().into())),
            ("first", Some(one.as_str().into())),
            ("second", Some(two.as_str().into())),
        ])
    };
    let verdicts = verdicts.map(|found| {
        Json::map([
            ("gained", Some(Json::list(found.gained.iter().map(String::as_str)))),
            ("lost", Some(Json::list(found.lost.iter().map(String::as_str)))),
            ("changed", Some(Json::List(found.changed.iter().map(changed).collect()))),
        ])
    });
    Ok(Json::map([
        ("first", Some(side(first))),
        ("second", Some(side(second))),
        ("rows", Some(Json::List(rows.iter().map(Row::to_json).collect::<anyhow::Result<_>>()?))),
        ("verdicts", verdicts),
    ]))
}

fn show(args: &CompareArgs, rows: &[Row], verdicts: Option<&Verdicts>) {
    screen::line(&format!("first   {}", args.first.display()));
    screen::line(&format!("second  {}", args.second.display()));
    screen::line(&format!("{:20} {:>14} {:>14}   change", "", "first", "second"));
    rows.iter().for_each(|row| screen::line(&row.text()));
    match verdicts {
        None => screen::line("verdicts are compared where both lie in dossiers"),
        Some(found) if found.changed.is_empty() => screen::line("verdicts: the same"),
        Some(found) => {
            for (rule, one, two) in &found.changed {
                screen::line(&format!("  {rule:44} {} -> {}", screen::coloured(one), screen::coloured(two)));
            }
            screen::line(&format!("{} gained, {} lost", found.gained.len(), found.lost.len()));
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// One page that needs nothing else.
fn page(names: &[String; 2], rows: &[Row], verdicts: Option<&Verdicts>) -> String {
    let [first, second] = names.each_ref().map(|name| escaped(name));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{first} and {second}</title>\n<style>body{{font:16px/1.5 \
         system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}table{{border-collapse:collapse;width:100%}}\
         td,th{{padding:.4rem;border-bottom:1px solid #ccc;text-align:right}}td:first-child,th:first-child{{text-align:left}}\
         .lost{{color:#a11}}.gained{{color:#176}}</style>\n<h1>Two models side by side</h1>\n\
         <p>First: <code>{first}</code><br>Second: <code>{second}</code></p>\n\
         <table><thead><tr><th>Figure</th><th>First</th><th>Second</th><th>Change</th><th>95 % interval</th></tr></thead><tbody>\n"
    );
    for row in rows {
        let sign = if row.note == "ratio" { "× " } else { "" };
        let change = row.change.map_or_else(String::new, |(change, _)| format!("{sign}{change:.4}"));
        let ends = row.change.filter(|(_, [lower, upper])| lower.to_bits() != upper.to_bits());
        let ends = ends.map_or_else(String::new, |(_, [lower, upper])| format!("{lower:.4} to {upper:.4}"));
        let [before, after] = [row.before, row.after].map(super::figures::shown);
        let name = escaped(&row.name);
        out.push_str(&format!(
            "<tr><td>{name}</td><td>{before}</td><td>{after}</td><td>{change}</td><td>{ends}</td></tr>\n"
        ));
    }
    out.push_str("</tbody></table>\n");
    if let Some(found) = verdicts {
        out.push_str("<h2>Verdicts that differ</h2>\n<table><thead><tr><th>Rule</th><th>First</th><th>Second</th></tr></thead><tbody>\n");
        for (rule, one, two) in &found.changed {
            let class = if found.lost.contains(rule) { "lost" } else { "gained" };
            let [rule, one, two] = [rule, one, two].map(|text| escaped(text));
            out.push_str(&format!("<tr class=\"{class}\"><td>{rule}</td><td>{one}</td><td>{two}</td></tr>\n"));
        }
        out.push_str(&format!("</tbody></table>\n<p>{} gained, {} lost.</p>\n", found.gained.len(), found.lost.len()));
    }
    out.push_str("</html>\n");
    out
}
