//! The verbs of rule authors.

use crate::{Ended, check, packs, screen};
use anyhow::Context as _;
use evidence::Json;
use jiff::civil::Date;
use policy::{Facts, Level, Mode, Pack, Rules, System};
use std::path::Path;
use supervise::PackText;

/// The packs named, or all that ship.
pub(crate) fn chosen(names: &[String]) -> anyhow::Result<Vec<PackText>> {
    if names.is_empty() {
        return Ok(packs::shipped_names().iter().filter_map(|name| packs::shipped(name, Mode::Enforce)).collect());
    }
    let find = |name: &String| {
        let found = packs::find(Path::new(""), name, Mode::Enforce)?;
        found.with_context(|| {
            format!("no pack `{name}`, neither a folder nor one of `{}`", packs::shipped_names().join("`, `"))
        })
    };
    names.iter().map(find).collect()
}

pub(crate) fn compiled(text: &PackText) -> anyhow::Result<Pack> {
    Pack::compile(&text.name, &text.cards).map_err(|errors| packs::refuse(&errors))
}

pub(crate) fn list(pack: Option<&str>, is_json: bool) -> anyhow::Result<Ended> {
    let named: Vec<String> = pack.iter().map(|&name| name.to_owned()).collect();
    let mut rows = Vec::new();
    for text in chosen(&named)? {
        let compiled = compiled(&text)?;
        let row = |id: &str, version: policy::Version, kind: &str, confirmed: policy::Confirmed, title: &str| {
            Json::map([
                ("pack", Some(text.name.as_str().into())),
                ("rule", Some(id.into())),
                ("version", Some(version.to_string().into())),
                ("kind", Some(kind.into())),
                ("confirmed", Some(confirmed.name().into())),
                ("title", Some(title.into())),
            ])
        };
        let plain = compiled.cards().iter();
        rows.extend(plain.map(|card| row(&card.id, card.version, card.kind.name(), card.confirmed(), &card.title)));
        let enforced = compiled.enforce_cards().iter();
        rows.extend(enforced.map(|card| row(&card.id, card.version, "enforce", card.confirmed(), &card.title)));
    }
    if is_json {
        screen::json(&Json::map([("rules", Some(Json::List(rows)))]));
        return Ok(Ended::Well);
    }
    let text = |row: &Json, key: &str| row.get(key).and_then(Json::as_text).unwrap_or_default().to_owned();
    if pack.is_some() {
        rows.iter().for_each(|row| {
            screen::line(&format!("{:40} {:7} {}", text(row, "rule"), text(row, "kind"), text(row, "title")));
        });
    } else {
        for name in packs::shipped_names() {
            let n = rows.iter().filter(|row| text(row, "pack") == name).count();
            screen::line(&format!("{name:16} {n} rules"));
        }
    }
    Ok(Ended::Well)
}

pub(crate) fn test(names: &[String], is_json: bool) -> anyhow::Result<Ended> {
    let (mut n, mut failures) = (0, Vec::new());
    for text in chosen(names)? {
        let (tests, failed) = policy::test(&compiled(&text)?);
        n += tests;
        failures.extend(failed.iter().map(ToString::to_string));
    }
    if is_json {
        let failed = Json::list(failures.iter().map(String::as_str));
        screen::json(&Json::map([("tests", Some(n.into())), ("failures", Some(failed))]));
    } else {
        failures.iter().for_each(|failure| screen::line(failure));
        screen::line(&format!("{} passed, {} failed", n - failures.len(), failures.len()));
    }
    Ok(if failures.is_empty() { Ended::Well } else { Ended::Denied })
}

pub(crate) fn lint(names: &[String], is_json: bool) -> anyhow::Result<Ended> {
    let mut lints = Vec::new();
    for text in chosen(names)? {
        lints.extend(policy::lint(&compiled(&text)?));
    }
    let has_errors = lints.iter().any(|lint| lint.level == Level::Error);
    if is_json {
        let row = |lint: &policy::Lint| {
            Json::map([
                ("level", Some(if lint.level == Level::Error { "error" } else { "advice" }.into())),
                ("code", Some(lint.code.into())),
                ("file", Some(lint.file.as_str().into())),
                ("line", Some(lint.line.into())),
                ("rule", Some(lint.rule.as_str().into())),
                ("message", Some(lint.message.as_str().into())),
            ])
        };
        screen::json(&Json::map([("lints", Some(Json::List(lints.iter().map(row).collect())))]));
    } else {
        lints.iter().for_each(|lint| screen::line(&lint.to_string()));
        screen::line(&format!("{} lints", lints.len()));
    }
    Ok(if has_errors { Ended::Denied } else { Ended::Well })
}

pub(crate) fn diff(from: Date, to: Date, path: Option<&Path>, is_json: bool) -> anyhow::Result<Ended> {
    let (rules, system, facts) = match path {
        Some(path) => {
            let ground = check::ground(path, Some(from), &[])?;
            (ground.rules, ground.system, ground.facts)
        }
        None => {
            let packs =
                chosen(&[])?.iter().map(|text| Ok((compiled(text)?, Mode::Enforce))).collect::<anyhow::Result<_>>()?;
            (Rules::new(packs), System::new(), Facts::new())
        }
    };
    let changes = policy::diff(&rules, &system, &facts, from, to);
    if is_json {
        let rows = Json::List(changes.iter().map(policy::Change::to_json).collect());
        screen::json(&Json::map([("from", Some(from.into())), ("to", Some(to.into())), ("changes", Some(rows))]));
    } else {
        for change in &changes {
            screen::line(&format!("{:44} {} -> {}", change.rule, change.before.0, change.after.0));
            screen::line(&format!("{:44} {}", "", change.after.1));
        }
        screen::line(&format!("{} rules change from {from} to {to}", changes.len()));
    }
    Ok(Ended::Well)
}
