//! The rules in the words of other programs.

use crate::{Ended, check, packs, policy_verbs, run, screen};
use anyhow::{Context as _, bail};
use policy::{Facts, Mode, Rules, System, rego};
use std::{fs, path::Path};

/// Where an export goes; at least one of them.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// Pack names or folders [default: all shipped]
    packs: Vec<String>,
    /// Write every card as a Rego v1 module into this folder
    #[arg(long, value_name = "DIR")]
    rego: Option<std::path::PathBuf>,
    /// A case or a dossier, whose system and evidence become the input beside the modules
    #[arg(long = "for", value_name = "PATH")]
    of: Option<std::path::PathBuf>,
}

pub(crate) fn export(args: &ExportArgs) -> anyhow::Result<Ended> {
    let Some(folder) = &args.rego else { bail!("nothing to write: name a folder with `--rego DIR`") };
    to_rego(folder, &args.packs, args.of.as_deref())?;
    Ok(Ended::Well)
}

/// One module a card, what gathers them, and an input to try them with.
fn to_rego(folder: &Path, names: &[String], of: Option<&Path>) -> anyhow::Result<()> {
    let compiled = |text: &supervise::PackText| {
        let pack = policy::Pack::compile(&text.name, &text.cards).map_err(|errors| packs::refuse(&errors))?;
        Ok((pack, Mode::Enforce))
    };
    let rules = Rules::new(policy_verbs::chosen(names)?.iter().map(compiled).collect::<anyhow::Result<_>>()?);
    let (system, facts, as_of) = match of {
        Some(path) => {
            let ground = check::ground(path, None, &[])?;
            (ground.system, ground.facts, ground.as_of)
        }
        None => (System::new(), Facts::new(), run::today()),
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
    let (n_rules, n_guards) = (rules.cards().count(), rules.enforce_cards().count());
    let shown = folder.display();
    screen::line(&format!("{n_rules} rules over evidence and {n_guards} per request, as Rego v1 in {shown}"));
    if n_rules > 0 {
        screen::line(&format!("opa eval --data {shown} --input {shown}/input.json '{}'", rego::VERDICTS));
    }
    if n_guards > 0 {
        screen::line(&format!("opa eval --data {shown} --input REQUEST.json '{}'", rego::GATE));
    }
    screen::line("the input, and what is left out (modes, waivers): docs/rego.md");
    Ok(())
}
