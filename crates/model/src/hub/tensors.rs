//! Weights under their hub names, in files that stay mapped; each is made f32 when it is taken.

use crate::{
    decoder::{BLOCK, Format, NotFinite, Panels, with_slice},
    gguf::parse,
    mapped::Mapped,
    weights::{WeightsError, mapped_entries},
};
use candle_core::{Device, Tensor, TensorId, quantized::GgmlDType};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

/// A larger index of shards is refused.
const INDEX_BYTES_MAX: u64 = 1 << 26;

#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("`{}`: expected an index of weights: {cause}; take the file again from where it came", path.display())]
    Index { path: PathBuf, cause: String },
    #[error("`{}`: the shard `{shard}` with `{tensor}` is missing; take it from where the other files came", path.display())]
    Shard { path: PathBuf, shard: String, tensor: String },
    #[error("`{}`: expected `{tensor}`, which the index places here, found no such tensor; index and shard are of two models", path.display())]
    NotInShard { path: PathBuf, tensor: String },
    #[error(
        "`{}`: expected a tensor `{name}` of shape {expected:?}, found none; the configuration is of another model, or a \
         shard is missing",
        path.display()
    )]
    Missing { path: PathBuf, name: String, expected: Vec<usize> },
    #[error(
        "`{}`: expected `{name}` of shape {expected:?} by the configuration, found {found:?}; the two are of different \
         models",
        path.display()
    )]
    Shape { path: PathBuf, name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("`{}`: expected `{name}` in {expected}, found {found}; convert the weights first", path.display())]
    Type { path: PathBuf, name: String, expected: &'static str, found: String },
    #[error("`{}`: expected finite numbers in `{name}`, found {found} at index {at}; take the file again", path.display())]
    NotFinite { path: PathBuf, name: String, at: usize, found: f32 },
    #[error(
        "`{}`: expected only tensors that the configuration names, found `{name}` of shape {found:?}; the configuration \
         is of another model",
        path.display()
    )]
    Unknown { path: PathBuf, name: String, found: Vec<usize> },
    #[error(
        "`{}`: `tie_word_embeddings` says that head and embedding are one, and `{name}` is another matrix; set it to false \
         if the weights are right",
        path.display()
    )]
    NotTied { path: PathBuf, name: String },
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    F64,
    F32,
    F16,
    BF16,
    Ggml(GgmlDType),
    /// Bytes with a sign, each row with a scale in f32 that stands elsewhere in the file.
    Int8 {
        scales: usize,
    },
    /// Two thin factors in f32; the first stands at the tensor's place.
    Product {
        right: usize,
        rank: usize,
    },
    /// Whole numbers: buffers that some old files carry along, never weights.
    Whole,
}

/// What makes a stored tensor the hub's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    /// llama.cpp interleaves the halves of each of this many heads' rotary rows.
    Separate {
        heads: usize,
    },
    /// llama.cpp keeps the gain of Gemma's norms with 1 added.
    LessOne,
    Transpose,
}

/// Where one tensor stands.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) file: usize,
    pub(crate) kind: Kind,
    /// As stored, before the change.
    pub(crate) shape: Vec<usize>,
    pub(crate) place: Range<usize>,
    pub(crate) change: Change,
}

/// The tensors of one or more files.
#[derive(Debug, Default)]
pub(crate) struct Tensors {
    pub(crate) files: Vec<(PathBuf, Mapped)>,
    pub(crate) stored: BTreeMap<String, Stored>,
    /// Tensors that are held already, in f32.
    held: BTreeMap<String, Tensor>,
    /// Panels that were made of held tensors before, and those that were taken this time.
    made: Made,
    again: Made,
    taken: BTreeSet<String>,
}

/// Panels by the tensor that they were made of.
pub(crate) type Made = HashMap<TensorId, Panels>;

impl Tensors {
    pub(crate) fn of(files: Vec<(PathBuf, Mapped)>, stored: BTreeMap<String, Stored>) -> Self {
        Self { files, stored, ..Self::default() }
    }

    /// Tensors in memory, under their hub names, with panels that were made of some of them before.
    pub(crate) fn of_memory(held: BTreeMap<String, Tensor>, made: Made) -> Self {
        Self { held, made, ..Self::default() }
    }

    /// The panels of the held tensors that were taken.
    pub(crate) fn into_made(self) -> Made {
        self.again
    }

    /// Every tensor as the hub has it, in f32.
    pub(crate) fn all(&self) -> Result<BTreeMap<String, Tensor>, TensorError> {
        let read = |(name, stored): (&String, &Stored)| Ok((name.clone(), self.read(name, stored)?));
        self.stored.iter().filter(|(_, stored)| stored.kind != Kind::Whole).map(read).collect()
    }

    /// One file of safetensors.
    pub(crate) fn of_file(path: &Path) -> Result<Self, TensorError> {
        let mut tensors = Self::default();
        for (name, stored) in tensors.add(path)? {
            tensors.stored.insert(name, stored);
        }
        Ok(tensors)
    }

    /// The shards that an index names, each beside it.
    pub(crate) fn of_index(path: &Path) -> Result<Self, TensorError> {
        let index = |cause: String| TensorError::Index { path: path.to_owned(), cause };
        let read = |source| TensorError::Read { path: path.to_owned(), source };
        if fs::metadata(path).map_err(read)?.len() > INDEX_BYTES_MAX {
            return Err(index(format!("it is larger than {INDEX_BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(path).map_err(read)?;
        let document: serde_json::Value = serde_json::from_str(&text).map_err(|error| index(error.to_string()))?;
        let map = document.get("weight_map").and_then(serde_json::Value::as_object);
        let map = map.ok_or_else(|| index("it has no member `weight_map`".to_owned()))?;
        let mut shards: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for (tensor, shard) in map {
            let shard = shard.as_str().ok_or_else(|| index(format!("`{tensor}` has no shard")))?;
            // A name from a stranger must not lead out of the folder.
            if Path::new(shard).file_name().is_none_or(|name| name != shard) {
                return Err(index(format!("the shard `{shard}` is no name of a file beside it")));
            }
            shards.entry(shard).or_default().push(tensor);
        }
        let mut tensors = Self::default();
        for (shard, names) in shards {
            let place = path.with_file_name(shard);
            if !place.exists() {
                let tensor = names.first().map_or_else(String::new, |name| (*name).clone());
                return Err(TensorError::Shard { path: path.to_owned(), shard: shard.to_owned(), tensor });
            }
            let mut found = tensors.add(&place)?;
            for name in names {
                let stored = found.remove(name);
                let stored =
                    stored.ok_or_else(|| TensorError::NotInShard { path: place.clone(), tensor: name.clone() })?;
                tensors.stored.insert(name.clone(), stored);
            }
        }
        Ok(tensors)
    }

    fn add(&mut self, path: &Path) -> Result<BTreeMap<String, Stored>, TensorError> {
        let mapped = Mapped::open(path).map_err(|source| TensorError::Read { path: path.to_owned(), source })?;
        let file = self.files.len();
        let entries = mapped_entries(path, &mapped)?;
        self.files.push((path.to_owned(), mapped));
        let stored = |(name, (kind, shape, place))| (name, Stored { file, kind, shape, place, change: Change::None });
        let mut stored: BTreeMap<String, Stored> = entries.into_iter().map(stored).collect();
        join_scales(&mut stored);
        join_factors(&mut stored);
        Ok(stored)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.stored.contains_key(name) || self.held.contains_key(name)
    }

    /// The file that errors about all of the weights name.
    pub(crate) fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |(path, _)| path)
    }

    /// The tensor of this name and shape, in f32.
    pub(crate) fn take(&mut self, name: &str, expected: &[usize]) -> Result<Tensor, TensorError> {
        if let Some(held) = self.held_as(name, expected)? {
            self.taken.insert(name.to_owned());
            return Ok(held);
        }
        let tensor = self.read(name, self.find(name, expected)?)?;
        self.taken.insert(name.to_owned());
        Ok(tensor)
    }

    /// The matrix of this name and shape, to multiply with: as codes where they stand so in the file.
    pub(crate) fn take_panels(&mut self, name: &str, outputs: usize, depth: usize) -> Result<Panels, TensorError> {
        if let Some(held) = self.held_as(name, &[outputs, depth])? {
            self.taken.insert(name.to_owned());
            let panels = match self.made.get(&held.id()) {
                Some(panels) => panels.clone(),
                None => Panels::of_numbers(outputs, depth, &held.flatten_all()?.to_vec1::<f32>()?),
            };
            self.again.insert(held.id(), panels.clone());
            return Ok(panels);
        }
        let stored = self.find(name, &[outputs, depth])?;
        let (path, mapped) = &self.files[stored.file];
        let panels = match (format(stored.kind), stored.change) {
            (Some(format), Change::None | Change::Separate { .. }) if depth.is_multiple_of(BLOCK) && outputs > 0 => {
                let row = separated(outputs, stored.change)?;
                Panels::of_blocks(outputs, depth, format, &mapped[stored.place.clone()], row).map_err(
                    |NotFinite { at, found }| TensorError::NotFinite {
                        path: path.clone(),
                        name: name.to_owned(),
                        at,
                        found,
                    },
                )?
            }
            _ => {
                let tensor = self.read(name, stored)?.flatten_all()?;
                with_slice(&tensor, |numbers| Panels::of_numbers(outputs, depth, numbers))?
            }
        };
        self.taken.insert(name.to_owned());
        Ok(panels)
    }

    /// A tensor that is held, when it is of this shape.
    fn held_as(&self, name: &str, expected: &[usize]) -> Result<Option<Tensor>, TensorError> {
        match self.held.get(name) {
            None => Ok(None),
            Some(held) if held.dims() == expected => Ok(Some(held.clone())),
            Some(held) => {
                let (path, found) = (self.path().to_owned(), held.dims().to_vec());
                Err(TensorError::Shape { path, name: name.to_owned(), expected: expected.to_vec(), found })
            }
        }
    }

    fn find(&self, name: &str, expected: &[usize]) -> Result<&Stored, TensorError> {
        let Some(stored) = self.stored.get(name) else {
            let (path, expected) = (self.path().to_owned(), expected.to_vec());
            return Err(TensorError::Missing { path, name: name.to_owned(), expected });
        };
        let found = hub_shape(stored);
        if found != expected {
            let (name, expected) = (name.to_owned(), expected.to_vec());
            return Err(TensorError::Shape { path: self.files[stored.file].0.clone(), name, expected, found });
        }
        Ok(stored)
    }

    /// A tensor as the hub has it, whatever its shape.
    pub(crate) fn read(&self, name: &str, stored: &Stored) -> Result<Tensor, TensorError> {
        let (path, mapped) = &self.files[stored.file];
        let data = &mapped[stored.place.clone()];
        let numbers = match stored.kind {
            Kind::F32 => parse::f32_numbers(data),
            Kind::F16 => pairs(data, parse::half),
            Kind::BF16 => pairs(data, |bits| f32::from_bits(u32::from(bits) << 16)),
            Kind::F64 => data.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
            Kind::Ggml(kind) => parse::numbers(kind, data)?,
            Kind::Product { right, rank } => {
                return product(data, &mapped[right..], &stored.shape, rank).map_err(Into::into);
            }
            Kind::Int8 { scales } => int8_numbers(data, &mapped[scales..], stored.shape[1]),
            Kind::Whole => {
                let (path, name) = (path.clone(), name.to_owned());
                let expected = "F64, F32, F16 or BF16";
                return Err(TensorError::Type {
                    path,
                    name,
                    expected,
                    found: "whole numbers or another type".to_owned(),
                });
            }
        };
        if let Some(at) = not_finite(&numbers) {
            let (path, name) = (path.clone(), name.to_owned());
            return Err(TensorError::NotFinite { path, name, at, found: numbers[at] });
        }
        let tensor = Tensor::from_vec(numbers, stored.shape.as_slice(), &Device::Cpu)?;
        Ok(changed(tensor, stored.change)?)
    }

    /// Marks tensors that no family reads as seen.
    pub(crate) fn pass_over(&mut self, is_passed: impl Fn(&str) -> bool) {
        let names = self.stored.keys().chain(self.held.keys());
        self.taken.extend(names.filter(|name| is_passed(name)).cloned());
    }

    /// Every tensor must have been taken.
    pub(crate) fn finish(&self) -> Result<(), TensorError> {
        if let Some((name, held)) = self.held.iter().find(|(name, _)| !self.taken.contains(*name)) {
            let (path, found) = (self.path().to_owned(), held.dims().to_vec());
            return Err(TensorError::Unknown { path, name: name.clone(), found });
        }
        match self.stored.iter().find(|(name, _)| !self.taken.contains(*name)) {
            None => Ok(()),
            Some((name, stored)) => {
                let path = self.files[stored.file].0.clone();
                Err(TensorError::Unknown { path, name: name.clone(), found: hub_shape(stored) })
            }
        }
    }
}

/// Matrices of whole numbers whose rows have scales beside them become matrices of numbers.
///
/// SPEC: compressed-tensors, format `int-quantized`: `NAME.weight` of I8 (out, in) and `NAME.weight_scale` (out, 1).
fn join_scales(stored: &mut BTreeMap<String, Stored>) {
    let scales: Vec<String> = stored.keys().filter(|name| name.ends_with(".weight_scale")).cloned().collect();
    for name in scales {
        let (Some(scale), Some(weight)) = (stored.get(&name), stored.get(name.trim_end_matches("_scale"))) else {
            continue;
        };
        let is_rows = weight.kind == Kind::Whole
            && scale.kind == Kind::F32
            && weight.shape.len() == 2
            && scale.shape == [weight.shape[0], 1]
            && weight.place.len() == weight.shape.iter().product::<usize>();
        if is_rows {
            let kind = Kind::Int8 { scales: scale.place.start };
            let weight = Stored { kind, ..weight.clone() };
            stored.insert(name.trim_end_matches("_scale").to_owned(), weight);
            stored.remove(&name);
        }
    }
}

/// `NAME.weight_left` (out, r) and `NAME.weight_right` (r, in) become `NAME.weight`, their product.
fn join_factors(stored: &mut BTreeMap<String, Stored>) {
    let lefts: Vec<String> = stored.keys().filter(|name| name.ends_with(".weight_left")).cloned().collect();
    for name in lefts {
        let stem = name.trim_end_matches("_left").to_owned();
        let (Some(left), Some(right)) = (stored.get(&name), stored.get(&format!("{stem}_right"))) else { continue };
        let (&[out, rank], &[other, inputs]) = (left.shape.as_slice(), right.shape.as_slice()) else { continue };
        if rank != other || left.kind != Kind::F32 || right.kind != Kind::F32 {
            continue;
        }
        let kind = Kind::Product { right: right.place.start, rank };
        let whole = Stored { kind, shape: vec![out, inputs], ..left.clone() };
        stored.remove(&format!("{stem}_right"));
        stored.remove(&name);
        stored.insert(stem, whole);
    }
}

fn product(left: &[u8], right: &[u8], shape: &[usize], rank: usize) -> candle_core::Result<Tensor> {
    let &[out, inputs] = shape else { candle_core::bail!("expected a matrix, found shape {shape:?}") };
    let right = parse::f32_numbers(&right[..rank * inputs * 4]);
    let left = Tensor::from_vec(parse::f32_numbers(left), (out, rank), &Device::Cpu)?;
    left.matmul(&Tensor::from_vec(right, (rank, inputs), &Device::Cpu)?)
}

fn int8_numbers(data: &[u8], scales: &[u8], width: usize) -> Vec<f32> {
    let rows = data.chunks_exact(width.max(1)).zip(parse::f32_numbers(&scales[..data.len() / width.max(1) * 4]));
    rows.flat_map(|(row, scale)| row.iter().map(move |step| f32::from(step.cast_signed()) * scale)).collect()
}

/// The shape of a stored tensor as the hub has it.
pub(crate) fn hub_shape(stored: &Stored) -> Vec<usize> {
    let mut shape = stored.shape.clone();
    if stored.change == Change::Transpose {
        shape.reverse();
    }
    shape
}

/// Where the first number is that is not finite.
fn not_finite(numbers: &[f32]) -> Option<usize> {
    const PIECE: usize = 1 << 16;
    // Without an early end within a piece, which a compiler then makes vectors of.
    let is_wrong = |piece: &[f32]| !piece.iter().fold(true, |is_right, number| is_right & number.is_finite());
    let piece = numbers.par_chunks(PIECE).position_first(is_wrong)?;
    let at = numbers[piece * PIECE..].iter().position(|number| !number.is_finite())?;
    Some(piece * PIECE + at)
}

const fn format(kind: Kind) -> Option<Format> {
    match kind {
        Kind::Ggml(GgmlDType::Q4_0) => Some(Format::Q4_0),
        Kind::Ggml(GgmlDType::Q4_1) => Some(Format::Q4_1),
        Kind::Ggml(GgmlDType::Q5_0) => Some(Format::Q5_0),
        Kind::Ggml(GgmlDType::Q5_1) => Some(Format::Q5_1),
        Kind::Ggml(GgmlDType::Q8_0) => Some(Format::Q8_0),
        _ => None,
    }
}

/// The stored row that becomes each row, as `changed` has it.
fn separated(rows: usize, change: Change) -> candle_core::Result<impl Fn(usize) -> usize + Sync> {
    let heads = match change {
        Change::Separate { heads } => check_heads(rows, heads)?,
        _ => 1,
    };
    let size = rows / heads;
    Ok(move |row: usize| match change {
        Change::Separate { .. } => {
            let (head, at) = (row / size, row % size);
            head * size + at % (size / 2) * 2 + at / (size / 2)
        }
        _ => row,
    })
}

fn check_heads(rows: usize, heads: usize) -> candle_core::Result<usize> {
    if heads > 0 && rows > 0 && rows.is_multiple_of(heads) && (rows / heads).is_multiple_of(2) {
        return Ok(heads);
    }
    candle_core::bail!("expected rows of {heads} heads, found {rows}")
}

fn pairs(data: &[u8], number: impl Fn(u16) -> f32 + Sync) -> Vec<f32> {
    data.as_chunks::<2>().0.par_iter().map(|bytes| number(u16::from_le_bytes(*bytes))).collect()
}

fn changed(tensor: Tensor, change: Change) -> candle_core::Result<Tensor> {
    let rows = tensor.dims().first().copied().unwrap_or(0);
    let rest: usize = tensor.dims().iter().skip(1).product();
    let shape = tensor.dims().to_vec();
    let by =
        |a: usize, b: usize| tensor.reshape((a, b, rows / a / b, rest))?.transpose(1, 2)?.reshape(shape.as_slice());
    match change {
        Change::None => Ok(tensor),
        Change::LessOne => tensor.affine(1.0, -1.0),
        Change::Transpose => tensor.t()?.contiguous(),
        Change::Separate { heads } => {
            let heads = check_heads(rows, heads)?;
            by(heads, rows / heads / 2)
        }
    }
}
