//! Results and packs in the formats of others. What becomes what stands in docs/formats.md.

use crate::{Ended, check::Ground, declare::Declarations, export_rego, policy_verbs, run, screen};
use anyhow::bail;
use clap::Args;
use evidence::{Digest, Json};
use jiff::civil::Date;
use ledger::durable;
use policy::{
    Card, Decision, Pack, Verdict,
    expr::{Source, Value},
};
use report::{CatalogPack, Checked, Location, Results};
use std::{
    collections::BTreeMap,
    env,
    path::{Component, Path, PathBuf},
};
use supervise::case::{Case, Place};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where results go besides the screen; `-` is stdout, for one of them.
#[derive(Debug, Default, Args)]
pub(crate) struct CheckExports {
    /// SARIF 2.1.0, for code scanning: what fails, is open or awaits a person
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// With `--sarif`: what holds and what does not apply as well
    #[arg(long, requires = "sarif")]
    sarif_all: bool,
    /// PolicyReport (wgpolicyk8s.io/v1alpha2)
    #[arg(long, value_name = "FILE")]
    policyreport: Option<PathBuf>,
    /// JUnit XML, red exactly when the decision denies
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// OSCAL 1.2.1 assessment results
    #[arg(long, value_name = "FILE")]
    oscal: Option<PathBuf>,
}

impl CheckExports {
    fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.sarif, &self.policyreport, &self.junit, &self.oscal].into_iter().filter_map(|file| file.as_deref())
    }

    fn to_stdout(&self) -> usize {
        self.files().filter(|file| is_stdout(file)).count()
    }

    /// Whether one of them stands on stdout in place of the usual lines.
    pub(crate) fn take_stdout(&self) -> bool {
        self.to_stdout() > 0
    }

    pub(crate) fn check(&self, is_json: bool) -> anyhow::Result<()> {
        if self.to_stdout() + usize::from(is_json) > 1 {
            bail!(
                "stdout can hold one document, and {} are asked for there; name files for the others",
                self.to_stdout() + usize::from(is_json)
            );
        }
        Ok(())
    }
}

fn is_stdout(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Writes what was asked for.
pub(crate) fn results(
    exports: &CheckExports,
    path: &Path,
    ground: &Ground,
    decision: &Decision<'_>,
) -> anyhow::Result<()> {
    if exports.files().next().is_none() {
        return Ok(());
    }
    let json = decision.to_json();
    let system = match ground.system.get("name") {
        Some(Value::Text(name)) => name.as_str(),
        _ => "system",
    };
    let base = Base::of(path);
    let places: Vec<Vec<Location>> = match &ground.case {
        Some(case) => {
            let causes = |verdict| base.causes(case, &ground.declared, verdict);
            decision.verdicts.iter().map(causes).collect()
        }
        None => Vec::new(),
    };
    let files = base.evidence(ground);
    let waivers = waiver_places(&base, ground, decision);
    let checked =
        Checked { decision: &json, system, version: VERSION, places: &places, files: &files, waivers: &waivers };
    let shown = if exports.sarif_all { Results::All } else { Results::Findings };
    write(exports.sarif.as_deref(), || report::sarif(&checked, shown))?;
    write(exports.policyreport.as_deref(), || report::policy_report(&checked))?;
    write(exports.junit.as_deref(), || report::junit(&checked))?;
    write(exports.oscal.as_deref(), || report::oscal_assessment_results(&checked))
}

fn write(file: Option<&Path>, text: impl Fn() -> String) -> anyhow::Result<()> {
    match file {
        None => Ok(()),
        Some(file) if is_stdout(file) => {
            screen::text(&text());
            Ok(())
        }
        Some(file) => Ok(durable::write_atomic(file, text().as_bytes())?),
    }
}

/// Empty for a dossier: there is no case file to point into.
fn waiver_places(base: &Base, ground: &Ground, decision: &Decision<'_>) -> Vec<Location> {
    if ground.case.is_none() {
        return Vec::new();
    }
    let file = |waiver: &policy::Waiver| {
        let position = ground.rules.waivers.iter().position(|held| std::ptr::eq(held, waiver))?;
        Some(base.whole(&ground.waivers.get(position)?.path, "the waiver lies here"))
    };
    decision.idle_waivers.iter().filter_map(|(waiver, _)| file(waiver)).collect()
}

/// The folder of a case as addresses have it: relative to where the program was called, with a slash at its end.
struct Base {
    folder: String,
    file: String,
}

impl Base {
    /// A folder that does not lie below the present one has no address; its files are then named alone.
    fn of(path: &Path) -> Self {
        let is_folder = path.is_dir();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let file = if is_folder { "assize.toml".to_owned() } else { name.unwrap_or_default() };
        let folder = if is_folder { path } else { path.parent().unwrap_or(Path::new("")) };
        let here = env::current_dir().unwrap_or_default();
        let below = folder.strip_prefix(&here).unwrap_or(folder);
        let parts = below.components().filter(|part| *part != Component::CurDir);
        let parts: Option<Vec<String>> = parts
            .map(|part| match part {
                Component::Normal(name) => Some(format!("{}/", encoded(&name.to_string_lossy()))),
                _ => None,
            })
            .collect();
        Self { folder: parts.unwrap_or_default().concat(), file: encoded(&file) }
    }

    fn in_case(&self, case: &Case, place: Place, why: String) -> Location {
        let at = case.position(place);
        let (line, column, end_line, end_column) = (at.line, at.column, at.end_line, at.end_column);
        Location { uri: format!("{}{}", self.folder, self.file), line, column, end_line, end_column, why }
    }

    /// The start of a file that is beside the case.
    fn whole(&self, path: &str, why: &str) -> Location {
        let uri = format!("{}{}", self.folder, path.split('/').map(encoded).collect::<Vec<_>>().join("/"));
        Location { uri, line: 1, column: 1, end_line: 1, end_column: 2, why: why.to_owned() }
    }

    /// The files beside a case that hold what is declared, by digest.
    fn evidence(&self, ground: &Ground) -> BTreeMap<Digest, String> {
        let signed = ground.declared.signed.iter().map(|file| (file.envelope, self.whole(&file.path, "").uri));
        let written =
            ground.case.iter().map(|case| (Digest::of(case.text.as_bytes()), format!("{}{}", self.folder, self.file)));
        written.chain(signed).collect()
    }

    /// Where a verdict comes from: the declarations that answered, the keys that decide whether it applies, its pack.
    fn causes(&self, case: &Case, declared: &Declarations, verdict: &Verdict<'_>) -> Vec<Location> {
        let mut causes = Vec::new();
        let written = Digest::of(case.text.as_bytes());
        for used in &verdict.finding.evidence {
            let why = format!("{} is declared here", used.fact);
            if used.source == written {
                causes.extend(case.declare_place(used.fact).map(|place| self.in_case(case, place, why)));
            } else if let Some(file) = declared.signed.iter().find(|file| file.envelope == used.source) {
                causes.push(self.whole(&file.path, &why));
            }
        }
        for name in asked(verdict.card) {
            let why = format!("system.{name} decides whether the rule applies");
            causes.extend(case.system_place(name).map(|place| self.in_case(case, place, why)));
        }
        let pack = case.packs.iter().find(|pack| pack.name == verdict.pack).map(|pack| pack.place);
        let why = format!("the pack {} is chosen here", verdict.pack);
        causes.extend(pack.or_else(|| case.policy_place("packs")).map(|place| self.in_case(case, place, why)));
        causes
    }
}

/// The members of the system by which a card says whether it applies, in the order in which it asks.
fn asked(card: &Card) -> Vec<&'static str> {
    let mut names = Vec::new();
    for leaf in card.applies.leaves() {
        if let Source::System(name) = leaf.source
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// SPEC: RFC 3986, 2.3: everything but unreserved characters is percent-encoded.
fn encoded(name: &str) -> String {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if is_kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Where packs go, and at least one of them.
#[derive(Debug, Args)]
pub(crate) struct PackExports {
    /// Pack names or folders [default: all shipped]
    packs: Vec<String>,
    /// An OSCAL catalog of the rules; beside it goes a profile, FILE with `.profile.json`
    #[arg(long, value_name = "FILE")]
    oscal: Option<PathBuf>,
    /// A Rego v1 module for each card, what gathers them, and an input to try them with
    #[arg(long, value_name = "DIR")]
    rego: Option<PathBuf>,
    /// With `--rego`: a case or a dossier, whose system and evidence become that input
    #[arg(long = "for", value_name = "PATH", requires = "rego")]
    of: Option<PathBuf>,
    /// The day that the documents bear, and as of which the input asks [default: today]
    #[arg(long, value_name = "DATE")]
    made: Option<Date>,
}

/// Writes packs in the formats asked for.
pub(crate) fn packs(exports: &PackExports) -> anyhow::Result<Ended> {
    if exports.oscal.is_none() && exports.rego.is_none() {
        bail!(
            "nothing to write was named; `--oscal FILE` writes a catalog and a profile, `--rego DIR` a module for each card"
        );
    }
    let texts = policy_verbs::chosen(&exports.packs)?;
    let packs: Vec<Pack> = texts.iter().map(policy_verbs::compiled).collect::<anyhow::Result<_>>()?;
    let made = exports.made.unwrap_or_else(run::today);
    if let Some(file) = &exports.oscal {
        to_oscal(file, &packs, made)?;
    }
    if let Some(folder) = &exports.rego {
        export_rego::write(folder, packs, exports.of.as_deref(), exports.made)?;
    }
    Ok(Ended::Well)
}

/// A catalog and a profile. Cards that are decided per request have no place in them.
fn to_oscal(file: &Path, packs: &[Pack], made: Date) -> anyhow::Result<()> {
    if is_stdout(file) || file.file_name().is_none() {
        bail!("expected a file for the catalog, since the profile names it; found `{}`", file.display());
    }
    let n_requests: usize = packs.iter().map(|pack| pack.enforce_cards().len()).sum();
    let of = |pack: &Pack| {
        let cards: Vec<Json> = pack.cards().iter().map(Card::to_json).collect();
        CatalogPack { name: pack.name().to_owned(), digest: pack.digest(), cards }
    };
    let catalog: Vec<CatalogPack> = packs.iter().filter(|pack| !pack.cards().is_empty()).map(of).collect();
    let made = format!("{made}T00:00:00Z");
    let href = encoded(&file.file_name().unwrap_or_default().to_string_lossy());
    let profile = file.with_extension("profile.json");
    durable::write_atomic(file, report::oscal_catalog(&catalog, &made, VERSION).as_bytes())?;
    durable::write_atomic(&profile, report::oscal_profile(&catalog, &made, VERSION, &href).as_bytes())?;
    let n: usize = catalog.iter().map(|pack| pack.cards.len()).sum();
    let left_out = match n_requests {
        0 => String::new(),
        n => format!("; {n} rules per request are not in a catalog"),
    };
    screen::line(&format!("wrote {n} rules to {} and {}{left_out}", file.display(), profile.display()));
    Ok(())
}
