//! The rules as Rego v1: a folder of modules, and an input to try them with. docs/rego.md says what is in it.

use crate::{check, run, screen};
use anyhow::Context as _;
use jiff::civil::Date;
use policy::{Facts, Mode, Pack, Rules, System, rego};
use std::{fs, path::Path};

/// One module a card, what gathers them, and an input.
pub(crate) fn write(folder: &Path, packs: Vec<Pack>, of: Option<&Path>, as_of: Option<Date>) -> anyhow::Result<()> {
    let rules = Rules::new(packs.into_iter().map(|pack| (pack, Mode::Enforce)).collect());
    let (system, facts, as_of) = match of {
        Some(path) => {
            let ground = check::ground(path, as_of, &[])?;
            (ground.system, ground.facts, ground.as_of)
        }
        None => (System::new(), Facts::new(), as_of.unwrap_or_else(run::today)),
    };
    let mut files = rego::export(&rules);
    let input = rego::facts_input(&system, &facts, as_of);
    files.push(rego::RegoFile { path: "input.json".to_owned(), text: format!("{input}\n") });
    for file in &files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("the folder {} cannot be made", parent.display()))?;
        fs::write(&path, &file.text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let (n_rules, n_requests) = (rules.cards().count(), rules.enforce_cards().count());
    let shown = folder.display();
    screen::line(&format!("{n_rules} rules over evidence and {n_requests} per request, as Rego v1 in {shown}"));
    if n_rules > 0 {
        screen::line(&format!("opa eval --data {shown} --input {shown}/input.json '{}'", rego::VERDICTS));
    }
    if n_requests > 0 {
        screen::line(&format!("opa eval --data {shown} --input REQUEST.json '{}'", rego::GATE));
    }
    screen::line("the input, and what is left out (modes, waivers): docs/rego.md");
    Ok(())
}
