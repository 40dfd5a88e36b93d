//! Weights in safetensors files, f32.

use crate::{
    file::{WriteError, write_atomic},
    hub::Kind,
};
use candle_core::{DType, Device, Tensor};
use evidence::Digest;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use std::{
    collections::BTreeMap,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

/// SPEC: safetensors, format: an unsigned 64-bit little-endian length stands before the header.
const LENGTH_BYTES: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("cannot read the weights `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "`{}`, byte {at}: expected {expected}, found {found}; the file is damaged or incomplete: take it again from where \
         it came, or from the last snapshot",
        path.display()
    )]
    Damaged { path: PathBuf, at: usize, expected: String, found: String },
    #[error("`{}`: expected the tensor `{name}` in F32, found {found}; convert the weights to F32 first", path.display())]
    Type { path: PathBuf, name: String, found: String },
    #[error(
        "`{}`: expected sha256:{expected}, found sha256:{found}; these are not the weights that were recorded",
        path.display()
    )]
    Digest { path: PathBuf, expected: Digest, found: Digest },
    #[error("expected the tensor `{name}` in f32, found {found}")]
    NotF32 { name: String, found: String },
    #[error("the tensor `__metadata__` has a name the format keeps for itself")]
    Reserved,
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Writes f32 tensors with their names and a few words about them, whole or not at all, and gives the file's digest.
///
/// The same tensors and metadata give the same bytes: members and tensors are in the order of their names. The file is
/// read back and compared before it takes its name.
///
/// SPEC: safetensors, format; the header is padded with spaces so that the data begins at a multiple of 8.
///
/// # Errors
/// `NotF32`, `Reserved`, or `Write` naming the path and the step.
pub fn save(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<Digest, WeightsError> {
    Ok(write_atomic(path, &encode(tensors, metadata)?)?)
}

fn encode(tensors: &BTreeMap<String, Tensor>, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, WeightsError> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut members = Vec::new();
    if !metadata.is_empty() {
        let words: Vec<String> =
            metadata.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value))).collect();
        members.push(format!("\"__metadata__\":{{{}}}", words.join(",")));
    }
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        if name == "__metadata__" {
            return Err(WeightsError::Reserved);
        }
        if tensor.dtype() != DType::F32 {
            return Err(WeightsError::NotF32 { name: name.clone(), found: tensor.dtype().as_str().to_owned() });
        }
        let start = data.len();
        data.extend(tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes));
        let shape: Vec<String> = tensor.dims().iter().map(usize::to_string).collect();
        members.push(format!(
            "{}:{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[{start},{}]}}",
            quoted(name),
            shape.join(","),
            data.len()
        ));
    }
    let mut header = format!("{{{}}}", members.join(","));
    while !header.len().is_multiple_of(LENGTH_BYTES) {
        header.push(' ');
    }
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.into_bytes());
    bytes.extend(data);
    Ok(bytes)
}

/// Reads a safetensors file of f32 tensors.
///
/// # Errors
/// `Read`; `Damaged` with the byte, what was expected there and what was found; `Type` for another element type.
pub fn load(path: &Path) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    decode(path, &read(path)?)
}

/// Reads a safetensors file whose digest was recorded: one changed bit anywhere is found.
///
/// # Errors
/// `Digest` with both digests, before anything is parsed; otherwise those of `load`.
pub fn load_checked(path: &Path, expected: Digest) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let bytes = read(path)?;
    let found = Digest::of(&bytes);
    if found != expected {
        return Err(WeightsError::Digest { path: path.to_owned(), expected, found });
    }
    decode(path, &bytes)
}

/// The few words that a safetensors file says of itself.
///
/// # Errors
/// `Read`; `Damaged` where its header cannot be read.
pub fn words(path: &Path) -> Result<BTreeMap<String, String>, WeightsError> {
    let bytes = read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| WeightsError::Damaged {
        path: path.to_owned(),
        at: 0,
        expected: "a header of safetensors".to_owned(),
        found: error.to_string(),
    })?;
    let words = header.metadata().iter().flatten();
    Ok(words.map(|(name, word)| (name.clone(), word.clone())).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, WeightsError> {
    fs::read(path).map_err(|source| WeightsError::Read { path: path.to_owned(), source })
}

fn decode(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let damaged =
        |at, expected: String, found: String| WeightsError::Damaged { path: path.to_owned(), at, expected, found };
    let header_bytes = header_bytes(bytes).map_err(|(at, expected, found)| damaged(at, expected, found))?;
    let data_start = LENGTH_BYTES + header_bytes;
    let file = SafeTensors::deserialize(bytes).map_err(|error| {
        let (at, expected, found) = explain(&error, bytes, data_start);
        damaged(at, expected, found)
    })?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(WeightsError::Type { path: path.to_owned(), name, found: view.dtype().to_string() });
        }
        let (quadruples, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = quadruples.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        tensors.insert(name, Tensor::from_vec(values, view.shape(), &Device::Cpu)?);
    }
    Ok(tensors)
}

/// Type, shape and place of each tensor, by its name.
type Entries = BTreeMap<String, (Kind, Vec<usize>, Range<usize>)>;

/// Type, shape and place of every tensor of a file that stays where it is.
pub(crate) fn mapped_entries(path: &Path, bytes: &[u8]) -> Result<Entries, WeightsError> {
    let damaged =
        |at, expected: String, found: String| WeightsError::Damaged { path: path.to_owned(), at, expected, found };
    let data_start =
        LENGTH_BYTES + header_bytes(bytes).map_err(|(at, expected, found)| damaged(at, expected, found))?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| {
        let (at, expected, found) = explain(&error, bytes, data_start);
        damaged(at, expected, found)
    })?;
    let mut entries = BTreeMap::new();
    for name in metadata.offset_keys() {
        let Some(entry) = metadata.info(&name) else { continue };
        let kind = match entry.dtype {
            Dtype::F64 => Kind::F64,
            Dtype::F32 => Kind::F32,
            Dtype::F16 => Kind::F16,
            Dtype::BF16 => Kind::BF16,
            _ => Kind::Whole,
        };
        let (start, end) = entry.data_offsets;
        entries.insert(name, (kind, entry.shape.clone(), data_start + start..data_start + end));
    }
    Ok(entries)
}

/// Length of the header, when the file is long enough for it.
fn header_bytes(bytes: &[u8]) -> Result<usize, (usize, String, String)> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Err((0, "the 8 bytes of the header's length".to_owned(), format!("a file of {} bytes", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    let rest = bytes.len() - LENGTH_BYTES;
    match usize::try_from(length) {
        Ok(length) if length <= rest => Ok(length),
        _ => Err((LENGTH_BYTES, format!("a header of {length} bytes"), format!("{rest} bytes to the end of the file"))),
    }
}

/// The place, the expectation and the finding behind the parser's verdict.
fn explain(error: &SafeTensorError, bytes: &[u8], data_start: usize) -> (usize, String, String) {
    let header = &bytes[LENGTH_BYTES..data_start];
    match error {
        SafeTensorError::InvalidHeader(error) => {
            (LENGTH_BYTES + error.valid_up_to(), "a header in UTF-8".to_owned(), "another byte".to_owned())
        }
        SafeTensorError::InvalidHeaderDeserialization(error) | SafeTensorError::JsonError(error) => {
            let cause = error.to_string();
            let cause = cause.split(" at line ").next().unwrap_or_default().to_owned();
            let at = LENGTH_BYTES + offset(header, error.line(), error.column());
            (at, "a header in JSON as safetensors has it".to_owned(), cause)
        }
        SafeTensorError::MetadataIncompleteBuffer => {
            let found = format!("{} bytes", bytes.len() - data_start);
            (data_start, "as many bytes of data as the header declares".to_owned(), found)
        }
        SafeTensorError::InvalidOffset(name) => {
            let expected = format!("the tensor `{name}` to begin where the one before it ends");
            (place_of(header, name), expected, "a gap or an overlap".to_owned())
        }
        SafeTensorError::TensorInvalidInfo => {
            let expected = "data offsets as long as shape and element type say".to_owned();
            (LENGTH_BYTES, expected, "a header in which they differ".to_owned())
        }
        other => (LENGTH_BYTES, "a safetensors header".to_owned(), other.to_string()),
    }
}

/// Byte offset of a line and column (both from 1) within `header`.
fn offset(header: &[u8], line: usize, column: usize) -> usize {
    let before: usize =
        header.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (before + column.saturating_sub(1)).min(header.len())
}

/// Byte of the file at which the header names the tensor.
fn place_of(header: &[u8], name: &str) -> usize {
    let quoted = serde_json::Value::from(name).to_string().into_bytes();
    LENGTH_BYTES + header.windows(quoted.len()).position(|window| window == quoted).unwrap_or(0)
}
