//! One evidence under every regime at once: which rules hold where, and what is nearest to changing the others.

use crate::{Ended, check, packs, screen};
use evidence::Json;
use jiff::civil::Date;
use model::OpenOptions;
use policy::{Decision, Effect, Nearest, decide};
use std::{collections::BTreeMap, path::Path};
use supervise::case::Case;

/// The columns, in the order in which a person looks for them.
const OUTCOMES: [&str; 7] =
    ["pass", "fail", "insufficient-evidence", "awaiting-person", "not-in-force", "not-applicable", "error"];

/// Every shipped pack, and those a case brings itself.
fn all_packs(path: &Path) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = packs::shipped_names().into_iter().map(str::to_owned).collect();
    if !path.join("log/checkpoint").is_file() {
        let own = Case::read(path)?.packs.into_iter().map(|choice| choice.name);
        names.extend(own.filter(|name| packs::shipped(name, policy::Mode::Report).is_none()));
    }
    Ok(names)
}

pub(crate) fn check(path: &Path, as_of: Option<Date>, tokens: &OpenOptions, is_json: bool) -> anyhow::Result<Ended> {
    let ground = check::ground_with(path, as_of, &all_packs(path)?, &[], tokens)?;
    let decision = decide(&ground.rules, None, &ground.system, &ground.facts, ground.as_of);
    let nearest = policy::nearest(&decision, &ground.system, &ground.facts);
    let matrix = matrix(&decision);
    if is_json {
        let rows = matrix.iter().map(|(pack, counts)| {
            let counts = counts.iter().map(|(outcome, n)| ((*outcome).to_owned(), (*n).into())).collect();
            Json::map([("pack", Some((*pack).into())), ("counts", Some(Json::Map(counts)))])
        });
        let mut members = decision.to_json().members().cloned().unwrap_or_default();
        members.insert("regimes".to_owned(), Json::List(rows.collect()));
        members.insert("nearest".to_owned(), Json::List(nearest.iter().map(Nearest::to_json).collect()));
        screen::json(&Json::Map(members));
    } else {
        show(&matrix, &nearest);
        screen::line(&format!("{} as of {}, under every rule", decision.effect.name(), decision.as_of));
    }
    Ok(if decision.effect == Effect::Allow { Ended::Well } else { Ended::Denied })
}

/// How many rules of each pack came to each outcome; a waived one counts as what it would be.
fn matrix<'a>(decision: &'a Decision<'_>) -> BTreeMap<&'a str, BTreeMap<&'static str, usize>> {
    let mut matrix: BTreeMap<&str, BTreeMap<&'static str, usize>> = BTreeMap::new();
    for verdict in &decision.verdicts {
        *matrix.entry(verdict.pack).or_default().entry(verdict.finding.outcome.name()).or_default() += 1;
    }
    matrix
}

fn show(matrix: &BTreeMap<&str, BTreeMap<&'static str, usize>>, nearest: &[Nearest]) {
    let header: String = OUTCOMES.iter().map(|outcome| format!(" {outcome:>21}")).collect();
    screen::line(format!("{:16}{header}", "pack").trim_end());
    for (pack, counts) in matrix {
        let cell = |outcome: &&str| counts.get(*outcome).map_or(format!(" {:>21}", "·"), |n| format!(" {n:>21}"));
        screen::line(format!("{pack:16}{}", OUTCOMES.iter().map(cell).collect::<String>()).trim_end());
    }
    for rule in nearest {
        screen::line(&format!("{:44} {}", rule.rule, screen::coloured(&rule.verdict)));
        for turn in &rule.turns {
            screen::line(&format!("{:44} {}", "", turn.sentence));
        }
    }
}
