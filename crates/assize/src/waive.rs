//! Leaving a rule unmet on purpose: one person writes the waiver, two others approve it.

use crate::{
    Ended,
    declare::{in_case, write_new},
    key, packs, run, screen,
};
use anyhow::{Context as _, bail};
use clap::Args;
use evidence::Digest;
use jiff::civil::Date;
use ledger::{Key, durable};
use policy::{Version, Waiver};
use std::{
    fs,
    path::{Path, PathBuf},
};
use supervise::{
    Terms,
    case::Case,
    signed::{self, EnvelopeFile, WAIVERS},
};

#[derive(Debug, Args)]
pub(crate) struct WaiveArgs {
    /// The rule to be left unmet
    #[arg(required_unless_present = "approve")]
    rule: Option<String>,
    /// Approve this waiver instead of writing one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rule", "reason", "instead", "author", "expires", "made", "versions", "subject", "out"])]
    approve: Option<PathBuf>,
    /// Why the rule is left unmet
    #[arg(long, value_name = "TEXT", required_unless_present = "approve")]
    reason: Option<String>,
    /// The compensating control: what is done instead
    #[arg(long, value_name = "TEXT", required_unless_present = "approve")]
    instead: Option<String>,
    /// Who asks for it; the author cannot approve
    #[arg(long, value_name = "NAME", required_unless_present = "approve")]
    author: Option<String>,
    /// The first day on which it is void, at most 365 days on
    #[arg(long, value_name = "DATE", required_unless_present = "approve")]
    expires: Option<Date>,
    /// The first day on which it holds [default: today]
    #[arg(long, value_name = "DATE")]
    made: Option<Date>,
    /// Versions of the rule it speaks of, the last one excluded [default: the present one to below the next major]
    #[arg(long, value_name = "FROM..BELOW", value_parser = versions)]
    versions: Option<(Version, Version)>,
    /// The one artefact it speaks of, by SHA-256 [default: whatever the system is made of]
    #[arg(long, value_name = "SHA256", value_parser = artefact)]
    subject: Option<Digest>,
    /// A folder with an assize.toml, or the file [default: here, or the case in which FILE lies]
    #[arg(long)]
    case: Option<PathBuf>,
    /// The signing key [default: as for `run`]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where it goes [default: CASE/waivers/RULE.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn versions(text: &str) -> Result<(Version, Version), String> {
    let (from, below) = text.split_once("..").ok_or("expected two versions such as `1.0.0..2.0.0`")?;
    let version = |text: &str| text.parse::<Version>().map_err(|error| error.to_string());
    Ok((version(from)?, version(below)?))
}

fn artefact(text: &str) -> Result<Digest, String> {
    text.strip_prefix("sha256:").unwrap_or(text).parse().map_err(|error: evidence::NotADigest| error.to_string())
}

/// The terms of a case with its waivers laid over them.
pub(crate) fn over(terms: Terms, case: &Case) -> anyhow::Result<Terms> {
    let files = signed::envelopes(case, WAIVERS).with_context(|| in_case(case))?;
    terms.with_waivers(files, case.approvers.clone()).with_context(|| in_case(case))
}

pub(crate) fn waive(args: &WaiveArgs) -> anyhow::Result<Ended> {
    match &args.approve {
        Some(file) => approve(file, args.case.as_deref(), args.key.as_deref()),
        None => write(args),
    }
}

fn write(args: &WaiveArgs) -> anyhow::Result<Ended> {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
    let case = Case::read(args.case.as_deref().unwrap_or(Path::new(".")))?;
    let rule = text(&args.rule);
    let made = args.made.unwrap_or_else(run::today);
    let terms =
        Terms::new(packs::of_case(&case)?, case.system.clone(), made).map_err(|errors| packs::refuse(&errors))?;
    let Some(version) = terms.rules.cards().find(|(_, _, card)| card.id == rule).map(|(_, _, card)| card.version)
    else {
        bail!("no rule `{rule}` among the packs of the case; `assize check` lists them");
    };
    let (from_version, below_version) = args.versions.unwrap_or((version, Version(version.0.saturating_add(1), 0, 0)));
    if version < from_version || version >= below_version {
        bail!(
            "the rule `{rule}` is of version {version}, which is not among those from {from_version} to below {below_version}"
        );
    }
    let waiver = Waiver {
        rule,
        from_version,
        below_version,
        scope: case.name.clone(),
        subject: args.subject,
        reason: text(&args.reason),
        compensating: text(&args.instead),
        author: text(&args.author),
        approvers: Vec::new(),
        granted: made,
        expires: args.expires.unwrap_or(made),
    };
    let key = key::load(args.key.as_deref(), screen::remark)?;
    let envelope = signed::draft_waiver(&waiver, &key)?;
    let default = || case.folder.join(WAIVERS).join(format!("{}.json", waiver.rule));
    let path = args.out.clone().unwrap_or_else(default);
    write_new(&path, &envelope)?;
    screen::line(&format!("wrote {}; it holds once two others approve it:", path.display()));
    screen::line(&format!("  assize waive --approve {} --key KEY", path.display()));
    if case.approvers.len() < 2 {
        let n = case.approvers.len();
        screen::line(&format!(
            "`approvers` under `[policy]` lists {n}; list two or more, each as `assize key` prints it"
        ));
    }
    Ok(Ended::Well)
}

fn approve(file: &Path, case: Option<&Path>, key: Option<&Path>) -> anyhow::Result<Ended> {
    let beside = || {
        let folder = file.canonicalize().ok().and_then(|file| Some(file.parent()?.parent()?.to_path_buf()));
        folder.filter(|folder| folder.join("assize.toml").is_file())
    };
    let case = case.map(Path::to_path_buf).or_else(beside);
    let case = Case::read(&case.context("no assize.toml above the waiver's folder; name the case with `--case`")?)?;
    let key = approver(&case, key)?;
    let shown = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("the waiver {shown} cannot be read"))?;
    let envelope = signed::approve_waiver(&EnvelopeFile { path: shown.clone(), text }, &key, &case.approvers)?;
    durable::write_atomic(file, envelope.as_bytes())?;
    let waiver = signed::waiver(&EnvelopeFile { path: shown.clone(), text: envelope }, &case.approvers)?;
    let missing = 2_usize.saturating_sub(waiver.approvers.len());
    let state =
        if missing == 0 { format!("it holds until {}", waiver.expires) } else { format!("{missing} more to go") };
    screen::line(&format!("approved {shown} for the rule {} as {}; {state}", waiver.rule, key.verifying().name()));
    Ok(Ended::Well)
}

/// The key that approves: one that stands, and that the case lists.
fn approver(case: &Case, path: Option<&Path>) -> anyhow::Result<Key> {
    let key = key::existing(path)?;
    let line = key.verifying();
    if !case.approvers.contains(&line) {
        bail!(
            "the case does not list this key as an approver's; if it is to be one, add \"{line}\" to `approvers` under `[policy]`"
        );
    }
    Ok(key)
}
