//! `assize check MODEL`: a model that nobody has written a case for. What its files show is measured, what was signed beside it
//! is taken, and everything else is unknown.

use crate::{
    check::{Ground, named},
    compress_verb::model_in,
    declare::Declarations,
    evaluate_evidence::{Circumstances, Said, read},
    key, model_verb, packs, run, screen,
};
use anyhow::Context as _;
use evaluate::Bounds;
use evidence::{Digest, Measurement};
use jiff::civil::Date;
use model::{
    OpenOptions,
    profile::{Depth, ranks},
};
use policy::{Facts, Mode, System, expr::Value};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use supervise::{PackText, Terms};

/// The packs that ask for what can be measured of a model, where none is named.
const PACKS: [&str; 3] = ["eu-ai-act", "cn-genai", "nist-ai-rmf"];

/// Whether the path is a model, and not a case or a dossier.
pub(crate) fn is_model(path: &Path) -> bool {
    let is_case = path.join("assize.toml").is_file() || path.join("log/checkpoint").is_file();
    let is_gguf = path.is_file() && path.extension().is_some_and(|extension| extension == "gguf");
    !is_case && (is_gguf || path.join("config.json").is_file())
}

/// The ground of a model: its profile, the evidence given, and a system of which only the name is known.
pub(crate) fn ground(
    path: &Path,
    as_of: Option<Date>,
    other_packs: &[String],
    evidence: &[PathBuf],
    tokens: &OpenOptions,
) -> anyhow::Result<Ground> {
    let opened = model::open_digested(path, tokens)?;
    let (circumstances, profile) = (Circumstances::of_model(&opened)?, profile(&opened)?);
    drop(opened);
    let as_of = as_of.unwrap_or_else(run::today);
    let packs = if other_packs.is_empty() { shipped() } else { named(path, other_packs)? };
    let mut system = System::new();
    system.set("name", Value::Text(circumstances.subject.name.clone()))?;
    let terms = Terms::new(packs, system, as_of).map_err(|errors| packs::refuse(&errors))?;
    let Terms { rules, system, waivers, .. } = terms;
    let mut facts = Facts::new();
    for measurement in circumstances.measurements(&profile)? {
        show(&measurement);
        facts.measure(&measurement, circumstances.subject.digest);
    }
    let keys: Vec<_> = key::known(None)?.into_iter().collect();
    for (envelope, measurements) in read(evidence, &keys)? {
        take(&mut facts, &measurements, envelope, &circumstances)?;
    }
    screen::remark(
        "no case says what this model is used for: rules whose application depends on it stay undecided; `assize init` begins a case",
    );
    Ok(Ground {
        rules,
        system,
        facts,
        as_of,
        waivers,
        declared: Declarations::default(),
        case: None,
        entries: BTreeMap::new(),
    })
}

/// What the files of a case's own model show, before anything of it was recorded.
pub(crate) fn profiled(path: &Path, facts: &mut Facts) -> anyhow::Result<()> {
    let opened = model::open(&model_in(path))?;
    let circumstances = Circumstances::of_model(&opened)?;
    for measurement in circumstances.measurements(&profile(&opened)?)? {
        show(&measurement);
        facts.measure(&measurement, circumstances.subject.digest);
    }
    Ok(())
}

fn shipped() -> Vec<PackText> {
    PACKS.iter().filter_map(|name| packs::shipped(name, Mode::Enforce)).collect()
}

pub(crate) fn show(measurement: &Measurement) {
    screen::remark(&format!("measured {} = {}: {}", measurement.metric.id, measurement.value, measurement.method));
}

/// Evidence of another model is no evidence of this one.
fn take(
    facts: &mut Facts,
    measurements: &[Measurement],
    envelope: Digest,
    circumstances: &Circumstances,
) -> anyhow::Result<()> {
    for measurement in measurements {
        if measurement.subject.digest != circumstances.subject.digest {
            anyhow::bail!(
                "the evidence speaks of `{}`, {}, and this model is {}",
                measurement.subject.name,
                measurement.subject.digest,
                circumstances.subject.digest
            );
        }
        show(measurement);
        facts.measure(measurement, envelope);
    }
    Ok(())
}

/// What the files alone show.
pub(crate) fn profile(opened: &model::Model) -> anyhow::Result<Vec<Said>> {
    let parameters = opened.decoder.parameters();
    let ranked = ranks(&opened.decoder, Depth::Zeros, &|| {}).context("the matrices cannot be counted")?;
    let (zeros, numbers) = model_verb::zero_counts(&ranked);
    let share = zeros as f64 / numbers.max(1) as f64;
    Ok(vec![
        Said::count("model.parameters", parameters.total(), "counted over the tensors, a tied embedding once"),
        Said::count("model.parameters_active", parameters.active(), "less the experts that a token does not pass"),
        Said {
            id: "model.zeros",
            value: share,
            interval: Some((Bounds { lower: share, upper: share }, None, "exact-count")),
            n: Some(numbers),
            k: Some(zeros),
            method: "exact zeros among the numbers of the matrices, counted".to_owned(),
            convention: None,
        },
    ])
}
