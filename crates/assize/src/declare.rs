//! What persons say of a system: in the case file, and in signed files beside it.

use crate::{Ended, key, run, screen};
use anyhow::{Context as _, bail};
use clap::Args;
use evidence::{Declaration, Declared, Digest, Kind, Metric, Subject, metric};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use ledger::{VerifyingKey, durable};
use std::{
    fs,
    path::{Path, PathBuf},
};
use supervise::{
    case::{Case, Declare, DeclareValue},
    signed::{self, DECLARATIONS, SignedDeclarations, system_subject},
};

#[derive(Debug, Args)]
pub(crate) struct DeclareArgs {
    /// The fact, as docs/metrics.md names it
    fact: String,
    /// The answer: true, a number, a text, a date, or a list with commas; `false` for a document that does not exist
    #[arg(long, value_name = "V", conflicts_with = "document", required_unless_present = "document")]
    value: Option<String>,
    /// The file that is the answer
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// The person or role answerable
    #[arg(long, value_name = "NAME")]
    owner: String,
    /// The first day on which it is void
    #[arg(long, value_name = "DATE")]
    expires: Date,
    /// The day on which it is made [default: today]
    #[arg(long, value_name = "DATE")]
    made: Option<Date>,
    /// A folder with an assize.toml, or the file
    #[arg(long, default_value = ".")]
    case: PathBuf,
    /// The signing key [default: as for `run`]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where it goes [default: CASE/declarations/FACT-MADE.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Everything that is declared of a case.
#[derive(Debug, Default)]
pub(crate) struct Declarations {
    /// Those of the case file, in its order.
    pub(crate) written: Vec<Declaration>,
    /// Those of signed files, sorted by file.
    pub(crate) signed: Vec<SignedDeclarations>,
}

impl Declarations {
    /// All, those of the case file first: of two on one fact the newer counts, then the later here.
    pub(crate) fn all(&self) -> Vec<Declaration> {
        let signed = self.signed.iter().flat_map(|file| &file.declarations);
        self.written.iter().chain(signed).cloned().collect()
    }
}

/// Reads what is declared of a case. Signed files are taken from the declarers that the case lists, and from `own`.
pub(crate) fn of_case(case: &Case, own: Option<VerifyingKey>) -> anyhow::Result<Declarations> {
    let written = case.declarations.iter().map(|declare| of_file(case, declare)).collect::<anyhow::Result<_>>()?;
    let keys: Vec<VerifyingKey> = case.declarers.iter().cloned().chain(own).collect();
    let files = signed::envelopes(case, DECLARATIONS).with_context(|| in_case(case))?;
    let signed = files.iter().map(|file| signed::declarations(file, case, &keys)).collect::<Result<_, _>>();
    Ok(Declarations { written, signed: signed.with_context(|| in_case(case))? })
}

fn of_file(case: &Case, declare: &Declare) -> anyhow::Result<Declaration> {
    let declared = match &declare.value {
        DeclareValue::Plain(declared) => declared.clone(),
        DeclareValue::Document(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Declared::Document(Subject::new(name, digest_of(path)?))
        }
    };
    let (metric, owner) = (declare.metric, declare.owner.clone());
    Ok(Declaration {
        metric,
        subject: system_subject(&case.name),
        declared,
        owner,
        at: declare.made,
        expires: declare.expires,
    })
}

fn digest_of(path: &Path) -> anyhow::Result<Digest> {
    let file = fs::File::open(path).and_then(Digest::of_reader);
    file.with_context(|| format!("the document {} cannot be read", path.display()))
}

/// Where the path of a signed file starts.
pub(crate) fn in_case(case: &Case) -> String {
    let here = Path::new(".");
    let folder = if case.folder.as_os_str().is_empty() { here } else { &case.folder };
    format!("in the case `{}`", folder.display())
}

/// Writes one signed declaration; a file that stands is left as it is.
pub(crate) fn declare(args: &DeclareArgs) -> anyhow::Result<Ended> {
    let case = Case::read(&args.case)?;
    let Some(metric) = metric::find(&args.fact) else {
        bail!("no fact `{}` in the catalogue; docs/metrics.md lists the facts", args.fact);
    };
    let declared = match (&args.document, &args.value) {
        (Some(path), _) if metric.kind == Kind::Document => Declared::Document(document(&case, path)?),
        (Some(_), _) => bail!("`{}` is a {}, not a document; give it with `--value`", metric.id, metric.kind.name()),
        (None, value) => plain(metric, value.as_deref().unwrap_or_default())?,
    };
    let made = args.made.unwrap_or_else(run::today);
    if args.expires <= made {
        bail!(
            "the declaration expires on {}, not after it was made on {made}; give the first day on which it is void",
            args.expires
        );
    }
    let at = TimeZone::UTC.to_timestamp(made.at(0, 0, 0, 0)).context("the date lies outside the calendar")?;
    let (owner, subject) = (args.owner.trim().to_owned(), system_subject(&case.name));
    if owner.is_empty() {
        bail!("a declaration needs somebody answerable; name the person or role with `--owner`");
    }
    let declaration = Declaration { metric, subject, declared, owner, at, expires: args.expires };
    let key = key::load(args.key.as_deref(), screen::remark)?;
    let default = || case.folder.join(DECLARATIONS).join(format!("{}-{made}.json", metric.id));
    let path = args.out.clone().unwrap_or_else(default);
    write_new(&path, &signed::sign_declaration(&declaration, &key))?;
    screen::line(&format!("wrote {}, signed by {}", path.display(), key.verifying()));
    let mine = key::known(None).ok().flatten();
    if !case.declarers.contains(&key.verifying()) && mine.as_ref() != Some(&key.verifying()) {
        let list = "`declarers` under `[policy]`";
        screen::line(&format!(
            "{list} does not hold this key yet; add \"{}\" for others to take what it signs",
            key.verifying()
        ));
    }
    Ok(Ended::Well)
}

/// Writes a file that does not stand yet.
pub(crate) fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    if path.exists() {
        bail!("{} stands already and is left as it is; name another file with `--out`", path.display());
    }
    Ok(durable::write_atomic(path, text.as_bytes())?)
}

/// A document by its path from the case, where it lies inside, else by its name.
fn document(case: &Case, path: &Path) -> anyhow::Result<Subject> {
    let digest = digest_of(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = if case.folder.as_os_str().is_empty() { Path::new(".") } else { &case.folder };
    let inside = match (folder.canonicalize(), path.canonicalize()) {
        (Ok(folder), Ok(path)) => path.strip_prefix(folder).ok().map(Path::to_path_buf),
        _ => None,
    };
    let parts = inside
        .map(|inside| inside.iter().map(|part| part.to_string_lossy().into_owned()).collect::<Vec<_>>().join("/"));
    Ok(Subject::new(parts.unwrap_or(name), digest))
}

fn plain(metric: &Metric, text: &str) -> anyhow::Result<Declared> {
    let declared = match metric.kind {
        Kind::Flag => text.parse().ok().map(Declared::Flag),
        Kind::Document => (text == "false").then_some(Declared::Flag(false)),
        Kind::Count => text.parse().ok().map(Declared::Count),
        Kind::Quantity | Kind::Proportion => text.parse().ok().map(Declared::Quantity),
        Kind::Text | Kind::Span => (!text.is_empty()).then(|| Declared::Text(text.to_owned())),
        Kind::List => Some(Declared::List(
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect(),
        )),
        Kind::Moment => moment(text).map(Declared::Moment),
    };
    let expected = match metric.kind {
        Kind::Flag => "`true` or `false`",
        Kind::Document => "`--document FILE`, or `--value false` when there is none,",
        Kind::Count => "a whole number",
        Kind::Quantity | Kind::Proportion => "a number",
        Kind::Text | Kind::List => "a text",
        Kind::Span => "a duration such as `360h`",
        Kind::Moment => "a date such as `2026-11-24`",
    };
    declared.with_context(|| format!("expected {expected} for `{}`, found `{text}`", metric.id))
}

/// A date is its first instant in UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let of_day = |day: Date| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok();
    text.parse::<Timestamp>().ok().or_else(|| of_day(text.parse().ok()?))
}
