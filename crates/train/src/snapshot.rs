//! Snapshots: a folder `step-00000100` with `model.safetensors`, `optimizer.safetensors` and `state.json`, whole or not
//! there, and checked in full before it is taken up.

use crate::{
    optimizer::{Optimizer, State, StateError},
    run::{Adjustment, Look, Point},
};
use candle_core::Tensor;
use evidence::{Digest, Json};
use model::{
    Llama, LlamaError,
    file::write_atomic,
    weights::{self, WeightsError},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

const MODEL_FILE: &str = "model.safetensors";
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
const STATE_FILE: &str = "state.json";
const STATE_BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot {doing} `{}`", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot write `{}`; the snapshots before it are untouched", path.display())]
    Write { path: PathBuf, source: Box<WeightsError> },
    #[error("the snapshot `{}` is of another run: its configuration, model or corpus differ; restore them, or remove the folder to begin anew", path.display())]
    OtherRun { path: PathBuf },
    #[error("the snapshot `{}`, which rank 0 has taken up, cannot be read here: {reason}", path.display())]
    Unread { path: PathBuf, reason: String },
}

/// What is to be written.
pub(crate) struct Snapshot<'a> {
    pub(crate) step: u64,
    pub(crate) identity: Digest,
    pub(crate) model: &'a Llama,
    pub(crate) optimizer: BTreeMap<String, Tensor>,
    pub(crate) curve: &'a [Point],
    pub(crate) looks: &'a [Look],
    pub(crate) adjustments: &'a [Adjustment],
    /// The step of the best look, whose snapshot is kept beside the newest.
    pub(crate) best: Option<u64>,
}

/// A snapshot that stands on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) step: u64,
    pub(crate) path: PathBuf,
    /// Of the weights file.
    pub(crate) digest: Digest,
}

impl Held {
    pub(crate) fn to_json(&self) -> Json {
        Json::map([("step", Some(self.step.into())), ("digest", Some(self.digest.into()))])
    }

    /// As another rank says it of a folder.
    pub(crate) fn from_json(said: &Json, dir: &Path) -> Option<Self> {
        let step = u64::try_from(said.get("step")?.as_int()?).ok()?;
        Some(Self { step, path: dir.join(name(step)), digest: digest_of(said.get("digest")?)? })
    }
}

/// What was read back.
pub(crate) struct Restored {
    pub(crate) model: Llama,
    pub(crate) state: State,
    pub(crate) curve: Vec<Point>,
    pub(crate) looks: Vec<Look>,
    pub(crate) adjustments: Vec<Adjustment>,
}

/// A snapshot that cannot be used, and why.
pub(crate) struct Damage {
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

/// What a folder holds of a run.
pub(crate) struct Standing {
    pub(crate) newest: Option<(Held, Restored)>,
    /// Passed over on the way to it, newest first.
    pub(crate) damaged: Vec<Damage>,
}

impl Standing {
    /// For other ranks, which then read the same.
    pub(crate) fn told(&self) -> Json {
        let damage = |damage: &Damage| {
            let path = damage.path.to_string_lossy().into_owned();
            Json::map([("path", Some(path.into())), ("reason", Some(damage.reason.as_str().into()))])
        };
        Json::map([
            ("newest", self.newest.as_ref().map(|(held, _)| held.to_json())),
            ("damaged", Some(Json::List(self.damaged.iter().map(damage).collect()))),
        ])
    }

    /// What the first rank told of.
    pub(crate) fn of(
        told: &Json,
        dir: &Path,
        identity: &Digest,
        optimizer: Optimizer,
        model: &Llama,
    ) -> Result<Self, SnapshotError> {
        let damage = |damage: &Json| {
            let text = |key: &str| Some(damage.get(key)?.as_text()?.to_owned());
            Some(Damage { path: PathBuf::from(text("path")?), reason: text("reason")? })
        };
        let damaged = told.get("damaged").map_or(&[][..], Json::items).iter().filter_map(damage).collect();
        let Some(held) = told.get("newest").and_then(|said| Held::from_json(said, dir)) else {
            return Ok(Self { newest: None, damaged });
        };
        let unread = |fault: Fault| SnapshotError::Unread { path: held.path.clone(), reason: chain(&fault) };
        let newest = read(&held.path, held.step, identity, optimizer, model).map_err(unread)?;
        Ok(Self { newest: Some(newest), damaged })
    }
}

/// Writes a snapshot under another name, flushes it to the disk, renames it, and removes all but the newest `keep` and the best.
///
/// Whatever has a later step is removed too: it was found damaged, or it would have been taken up.
pub(crate) fn write(dir: &Path, snapshot: &Snapshot<'_>, keep: usize) -> Result<Held, SnapshotError> {
    fs::create_dir_all(dir).map_err(io_error("create the folder", dir))?;
    let name = name(snapshot.step);
    let (path, part) = (dir.join(&name), dir.join(format!(".{name}.part")));
    let written = write_files(&part, snapshot).and_then(|digest| {
        remove(&path)?;
        fs::rename(&part, &path).map_err(io_error("rename the finished snapshot to", &path))?;
        flush(dir)?;
        Ok(digest)
    });
    if written.is_err() {
        // The first error is the one to tell; a part that stays is removed by the next attempt.
        let _ = fs::remove_dir_all(&part);
    }
    let digest = written?;
    let (later, earlier): (Vec<_>, Vec<_>) = folders(dir)?.into_iter().partition(|(step, _)| *step > snapshot.step);
    let spared = earlier.iter().skip(keep).filter(|(step, _)| Some(*step) != snapshot.best);
    for (_, path) in later.iter().chain(spared) {
        remove(path)?;
    }
    Ok(Held { step: snapshot.step, path, digest })
}

fn name(step: u64) -> String {
    format!("step-{step:08}")
}

fn digest_of(set: &Json) -> Option<Digest> {
    set.get("sha256").and_then(Json::as_text)?.parse().ok()
}

fn write_files(part: &Path, snapshot: &Snapshot<'_>) -> Result<Digest, SnapshotError> {
    remove(part)?;
    fs::create_dir_all(part).map_err(io_error("create the folder", part))?;
    let save = |file: &str, tensors: &BTreeMap<String, Tensor>| {
        let path = part.join(file);
        weights::save(&path, tensors, &BTreeMap::new())
            .map_err(|error| SnapshotError::Write { path, source: Box::new(error) })
    };
    let digest = save(MODEL_FILE, &snapshot.model.tensors())?;
    let optimizer = save(OPTIMIZER_FILE, &snapshot.optimizer)?;
    let state = Json::map([
        ("step", Some(snapshot.step.into())),
        ("identity", Some(snapshot.identity.into())),
        ("weights", Some(digest.into())),
        ("optimizer", Some(optimizer.into())),
        ("curve", Some(Json::List(snapshot.curve.iter().map(point_to_json).collect()))),
        ("looks", Some(Json::List(snapshot.looks.iter().map(look_to_json).collect()))),
        ("adjustments", Some(Json::List(snapshot.adjustments.iter().map(adjustment_to_json).collect()))),
    ]);
    let sealed = Json::map([("digest", Some(Digest::of(state.canonical().as_bytes()).into())), ("state", Some(state))]);
    let path = part.join(STATE_FILE);
    write_atomic(&path, sealed.canonical().as_bytes())
        .map_err(|error| SnapshotError::Write { path: path.clone(), source: Box::new(error.into()) })?;
    flush(part)?;
    Ok(digest)
}

/// The newest snapshot of this run that is whole, and those that were passed over on the way to it.
pub(crate) fn newest(
    dir: &Path,
    identity: &Digest,
    optimizer: Optimizer,
    model: &Llama,
) -> Result<Standing, SnapshotError> {
    let mut damaged = Vec::new();
    for (step, path) in folders(dir)? {
        match read(&path, step, identity, optimizer, model) {
            Ok(found) => return Ok(Standing { newest: Some(found), damaged }),
            Err(Fault::OtherRun) => return Err(SnapshotError::OtherRun { path }),
            Err(fault) => damaged.push(Damage { path, reason: chain(&fault) }),
        }
    }
    Ok(Standing { newest: None, damaged })
}

/// The weights of the snapshot of one step; `None` when it does not stand or is not whole.
pub(crate) fn weights_of(
    dir: &Path,
    step: u64,
    identity: &Digest,
    optimizer: Optimizer,
    model: &Llama,
) -> Result<Option<BTreeMap<String, Tensor>>, SnapshotError> {
    let found = folders(dir)?.into_iter().find(|(of, _)| *of == step);
    let read = found.and_then(|(step, path)| read(&path, step, identity, optimizer, model).ok());
    Ok(read.map(|(_, restored)| restored.model.tensors()))
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot read `{STATE_FILE}`")]
    Io(#[from] io::Error),
    #[error("`{STATE_FILE}` is not the state of a snapshot")]
    State,
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("`{MODEL_FILE}` does not hold this model")]
    Model(#[from] LlamaError),
    #[error("`{OPTIMIZER_FILE}` does not hold this optimiser's state")]
    Optimizer(#[from] StateError),
    #[error("it is of another run")]
    OtherRun,
}

fn read(
    path: &Path,
    step: u64,
    identity: &Digest,
    optimizer: Optimizer,
    model: &Llama,
) -> Result<(Held, Restored), Fault> {
    let state = read_state(path)?;
    let digest = |key: &str| state.get(key).and_then(digest_of).ok_or(Fault::State);
    if digest("identity")? != *identity {
        return Err(Fault::OtherRun);
    }
    let curve: Option<Vec<Point>> =
        state.get("curve").ok_or(Fault::State)?.items().iter().map(point_from_json).collect();
    let curve = curve.filter(|curve| curve.len() as u64 == step).ok_or(Fault::State)?;
    let list = |key: &str| state.get(key).map_or(&[][..], Json::items).iter();
    let looks = list("looks").map(look_from_json).collect::<Option<_>>().ok_or(Fault::State)?;
    let adjustments = list("adjustments").map(adjustment_from_json).collect::<Option<_>>().ok_or(Fault::State)?;
    let weights_digest = digest("weights")?;
    let tensors = weights::load_checked(&path.join(MODEL_FILE), weights_digest)?;
    let model = model.restored(tensors)?;
    let tensors = weights::load_checked(&path.join(OPTIMIZER_FILE), digest("optimizer")?)?;
    let state = State::from_tensors(optimizer, model.parameters(), &tensors)?;
    let held = Held { step, path: path.to_owned(), digest: weights_digest };
    Ok((held, Restored { model, state, curve, looks, adjustments }))
}

/// The state, its own digest checked.
fn read_state(path: &Path) -> Result<Json, Fault> {
    let file = File::open(path.join(STATE_FILE))?;
    if file.metadata()?.len() > STATE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is over 1 GiB").into());
    }
    let text = io::read_to_string(file)?;
    let sealed = Json::parse(&text).map_err(|_| Fault::State)?;
    let state = sealed.get("state").ok_or(Fault::State)?;
    if sealed.get("digest") != Some(&Digest::of(state.canonical().as_bytes()).into()) {
        return Err(Fault::State);
    }
    Ok(state.clone())
}

fn point_to_json(point: &Point) -> Json {
    Json::map([
        ("step", Some(point.step.into())),
        ("loss", Some(point.loss.into())),
        ("learningRate", Some(point.learning_rate.into())),
        ("gradientNorm", Some(point.gradient_norm.into())),
    ])
}

fn look_to_json(look: &Look) -> Json {
    Json::map([("step", Some(look.step.into())), ("loss", Some(look.loss.into()))])
}

fn look_from_json(json: &Json) -> Option<Look> {
    let step = u64::try_from(json.get("step")?.as_int()?).ok()?;
    Some(Look { step, loss: json.get("loss")?.as_decimal()? })
}

fn adjustment_to_json(adjustment: &Adjustment) -> Json {
    Json::map([
        ("step", Some(adjustment.step.into())),
        ("percent", Some(i64::from(adjustment.percent).into())),
        ("skip", Some(adjustment.skip.into())),
        ("lost", Some(adjustment.lost.into())),
    ])
}

fn adjustment_from_json(json: &Json) -> Option<Adjustment> {
    let count = |key: &str| json.get(key)?.as_int();
    Some(Adjustment {
        step: u64::try_from(count("step")?).ok()?,
        percent: u32::try_from(count("percent")?).ok()?,
        skip: u64::try_from(count("skip")?).ok()?,
        lost: u64::try_from(count("lost")?).ok()?,
    })
}

fn point_from_json(json: &Json) -> Option<Point> {
    let decimal = |key: &str| json.get(key).and_then(Json::as_decimal);
    Some(Point {
        step: u64::try_from(json.get("step")?.as_int()?).ok()?,
        loss: decimal("loss")?,
        learning_rate: decimal("learningRate")?,
        gradient_norm: decimal("gradientNorm")?,
    })
}

/// The snapshot folders by step, newest first; anything else in the folder is not ours.
fn folders(dir: &Path) -> Result<Vec<(u64, PathBuf)>, SnapshotError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io_error("list the folder", dir))?,
    };
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("list the folder", dir))?;
        let step = entry.file_name().to_str().and_then(|name| name.strip_prefix("step-")?.parse().ok());
        found.extend(step.map(|step| (step, entry.path())));
    }
    found.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    Ok(found)
}

fn remove(path: &Path) -> Result<(), SnapshotError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        _ => Ok(()),
    }
}

fn flush(folder: &Path) -> Result<(), SnapshotError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("flush to the disk", folder))
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    let path = path.to_owned();
    move |source| SnapshotError::Io { doing, path, source }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
