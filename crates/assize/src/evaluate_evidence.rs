//! Figures of an evaluation as measurements, and as a signed file that `check` takes.

use crate::{key, model_verb, run, screen};
use anyhow::Context as _;
use evaluate::{
    Bounds,
    statistics::{LEVEL, clopper_pearson},
};
use evidence::{
    DIGITS_MEASURED, Decimal, Digest, Interval, Json, Kind, Measurement, Predicate, Provenance, Round, Statement,
    Subject, metric,
};
use ledger::{VerifyingKey, dsse, durable};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What one figure says besides its value.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) id: &'static str,
    pub(crate) value: f64,
    /// Ends, their level where they have one, and how they were found.
    pub(crate) interval: Option<(Bounds, Option<f64>, &'static str)>,
    pub(crate) n: Option<u64>,
    pub(crate) k: Option<u64>,
    pub(crate) method: String,
    pub(crate) convention: Option<&'static str>,
}

impl Said {
    /// A count.
    pub(crate) fn count(id: &'static str, count: u64, method: &str) -> Self {
        let method = method.to_owned();
        Self { id, value: count as f64, interval: None, n: None, k: None, method, convention: None }
    }

    /// k of n with the exact interval, which is the one for gates.
    pub(crate) fn share(id: &'static str, k: u64, n: u64, method: String) -> anyhow::Result<Self> {
        let bounds = clopper_pearson(k, n, LEVEL)?;
        let interval = Some((bounds, Some(LEVEL), "clopper-pearson"));
        Ok(Self { id, value: k as f64 / n as f64, interval, n: Some(n), k: Some(k), method, convention: None })
    }

    /// A number with bounds at 95 %.
    pub(crate) fn quantity(
        id: &'static str,
        value: f64,
        bounds: Option<Bounds>,
        how: &'static str,
        n: u64,
        method: String,
    ) -> Self {
        let interval = bounds.map(|bounds| (bounds, Some(LEVEL), how));
        Self { id, value, interval, n: Some(n), k: None, method, convention: None }
    }
}

/// What every figure of one evaluation shares.
#[derive(Debug, Clone)]
pub(crate) struct Circumstances {
    pub(crate) subject: Subject,
    pub(crate) inputs: Vec<Digest>,
}

impl Circumstances {
    /// Of an opened model: named by its folder or file, known by its digest.
    pub(crate) fn of_model(opened: &model::Model) -> anyhow::Result<Self> {
        let digest = model_verb::digest(opened.manifest()?);
        let name = opened.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { subject: Subject::new(name, digest), inputs: vec![digest] })
    }

    /// Rounded once, here; ends outward.
    pub(crate) fn measurement(&self, said: &Said) -> anyhow::Result<Measurement> {
        let decimal = |number: f64, round| {
            Decimal::from_f64(number, DIGITS_MEASURED, round).with_context(|| format!("`{}` is no decimal", said.id))
        };
        let interval = said.interval.map(|(bounds, level, method)| -> anyhow::Result<Interval> {
            Ok(Interval {
                lower: decimal(bounds.lower, Round::Down)?,
                upper: decimal(bounds.upper, Round::Up)?,
                level: level.map(|level| decimal(level, Round::Nearest)).transpose()?,
                method: method.to_owned(),
            })
        });
        let metric = metric::find(said.id).with_context(|| format!("no metric `{}` in the catalogue", said.id))?;
        // A count is exact, however many digits it has.
        let value = match metric.kind {
            Kind::Count => Decimal::from_u128(said.value as u128, Round::Nearest),
            _ => decimal(said.value, Round::Nearest)?,
        };
        Ok(Measurement {
            metric,
            subject: self.subject.clone(),
            value,
            interval: interval.transpose()?,
            n: said.n,
            k: said.k,
            method: said.method.clone(),
            convention: said.convention.map(str::to_owned),
            inputs: self.inputs.clone(),
            instrument: run::INSTRUMENT.to_owned(),
            provenance: Provenance::Measured,
            at: run::now(),
        })
    }

    pub(crate) fn measurements(&self, said: &[Said]) -> anyhow::Result<Vec<Measurement>> {
        said.iter().map(|said| self.measurement(said)).collect()
    }
}

/// Before anything is asked: a file that stands is not written over.
pub(crate) fn check_out(path: Option<&Path>) -> anyhow::Result<()> {
    match path {
        Some(path) if path.exists() => {
            anyhow::bail!("{} stands already and is left as it is; name another file with `--out`", path.display())
        }
        _ => Ok(()),
    }
}

/// Writes measurements as one signed statement; a file that stands is left as it is.
pub(crate) fn write(
    path: &Path,
    key: Option<&Path>,
    suite: &str,
    measurements: &[Measurement],
    details: Json,
) -> anyhow::Result<()> {
    check_out(Some(path))?;
    let key = key::load(key, screen::remark)?;
    let subjects = measurements.first().map(|measurement| measurement.subject.clone()).into_iter().collect();
    let predicate = Json::map([
        ("stage", Some("evaluate".into())),
        ("at", Some(run::now().into())),
        ("suite", Some(suite.into())),
        ("measurements", Some(Json::List(measurements.iter().map(Measurement::to_json).collect()))),
        ("details", Some(details)),
    ]);
    let statement = Statement { subjects, predicate_type: Predicate::Evaluation, predicate };
    durable::write_atomic(path, dsse::seal(&statement.canonical(), &key).as_bytes())?;
    screen::remark(&format!(
        "wrote {} measurements into {}, signed by {}",
        measurements.len(),
        path.display(),
        key.verifying()
    ));
    Ok(())
}

/// One file of evidence: the digest of its envelope, and its measurements.
pub(crate) type Taken = (Digest, Vec<Measurement>);

/// Reads signed evaluations, each under one of `keys`.
pub(crate) fn read(paths: &[PathBuf], keys: &[VerifyingKey]) -> anyhow::Result<Vec<Taken>> {
    paths.iter().map(|path| one(path, keys).with_context(|| format!("the evidence {}", path.display()))).collect()
}

fn one(path: &Path, keys: &[VerifyingKey]) -> anyhow::Result<Taken> {
    let text = fs::read_to_string(path).context("cannot be read")?;
    let signed = dsse::look(&text).context("is not a signed file of ours")?;
    let is_known =
        signed.signatures.iter().any(|signature| keys.iter().any(|key| signature.is_of(key, &signed.payload)));
    if !is_known {
        let keyid = signed.signatures.first().map(|signature| signature.keyid.clone()).unwrap_or_default();
        anyhow::bail!(
            "is not signed by a key that is known here (key id `{keyid}`), or was changed after it was signed; sign with the key of this program, or list the signer's line under `declarers` of a case"
        );
    }
    let statement = Statement::parse(&signed.payload).context("is not a signed file of ours")?;
    if statement.predicate_type != Predicate::Evaluation {
        anyhow::bail!("holds no evaluation but {}", statement.predicate_type.uri());
    }
    let items = statement.predicate.get("measurements").map_or(&[][..], Json::items);
    let measurements = items.iter().map(Measurement::from_json).collect::<Result<_, _>>()?;
    Ok((Digest::of(text.as_bytes()), measurements))
}

/// A figure on the screen.
pub(crate) fn line(said: &Said) -> String {
    let bounds = said
        .interval
        .map_or_else(String::new, |(bounds, _, how)| format!("[{:.4}, {:.4}] {how}", bounds.lower, bounds.upper));
    let counts = match (said.k, said.n) {
        (Some(k), Some(n)) => format!("{k} of {n}"),
        (None, Some(n)) => format!("n {n}"),
        _ => String::new(),
    };
    // What was counted is a whole number.
    let digits = if said.n.is_none() && said.interval.is_none() && said.value.fract() == 0.0 { 0 } else { 4 };
    format!("{:32} {:>10.digits$} {counts:14} {bounds}", said.id, said.value).trim_end().to_owned()
}
