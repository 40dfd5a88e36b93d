//! A model's files, written out as a hub folder.

use crate::{
    FileTokenizer, HubConfig, ModelParts, OpenError, OpenOptions, TensorError,
    file::{WriteError, write_atomic},
    hub::{Tensors, hub_shape},
    open::parts,
};
use candle_core::Tensor;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
pub enum WriteFolderError {
    #[error(transparent)]
    Open(Box<OpenError>),
    #[error("`{}`: expected a folder that is empty or not there yet, found {found}; name another", path.display())]
    Occupied { path: PathBuf, found: String },
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<OpenError> for WriteFolderError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

/// Writes the model at `path` into `folder` as the hub lays it out: weights in f32, one file; `config.json`,
/// `tokenizer.json`, `tokenizer_config.json`, `generation_config.json`. Gives the files in the order they were written.
///
/// # Errors
/// `Open` for the model; `Occupied`; `Write` naming file and step. What was written before stays, the weights come last.
pub fn write_folder(path: &Path, folder: &Path, options: &OpenOptions) -> Result<Vec<PathBuf>, WriteFolderError> {
    let parts = parts(path, options)?;
    make_empty(folder)?;
    let mut files = write_texts(folder, &parts.config, &parts.tokenizer)?;
    let path = folder.join("model.safetensors");
    write_weights(&path, &parts.tensors)?;
    files.push(path);
    Ok(files)
}

/// Configuration and tokenizer.
fn write_texts(folder: &Path, config: &HubConfig, tokenizer: &FileTokenizer) -> Result<Vec<PathBuf>, WriteFolderError> {
    let token = |id: Option<u32>| id.and_then(|id| tokenizer.token(id));
    let mut words = Map::new();
    for (member, value) in [
        ("tokenizer_class", Some(json!("PreTrainedTokenizerFast"))),
        ("bos_token", token(tokenizer.bos()).map(Value::from)),
        ("eos_token", token(tokenizer.eos().first().copied()).map(Value::from)),
        ("chat_template", tokenizer.chat_template().map(Value::from)),
        ("add_bos_token", tokenizer.bos().map(|_| Value::from(tokenizer.adds_bos()))),
    ] {
        words.extend(value.map(|value| (member.to_owned(), value)));
    }
    let mut generation = Map::new();
    generation.extend(tokenizer.bos().map(|id| ("bos_token_id".to_owned(), json!(id))));
    if !tokenizer.eos().is_empty() {
        generation.insert("eos_token_id".to_owned(), json!(tokenizer.eos()));
    }
    let tokenizer_text = tokenizer.to_json().map_err(OpenError::from)?;
    let texts = [
        ("config.json", config.to_json()),
        ("generation_config.json", format!("{:#}\n", Value::Object(generation))),
        ("tokenizer.json", tokenizer_text),
        ("tokenizer_config.json", format!("{:#}\n", Value::Object(words))),
    ];
    let mut files = Vec::new();
    for (name, text) in texts {
        let path = folder.join(name);
        write_atomic(&path, text.as_bytes())?;
        files.push(path);
    }
    Ok(files)
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The element type as safetensors names it: `F32`, `I8`.
    pub kind: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Stored {
    /// # Errors
    /// Those of the tensor.
    pub fn f32(tensor: &Tensor) -> candle_core::Result<Self> {
        Ok(Self { kind: "F32", shape: tensor.dims().to_vec(), bytes: bytes(tensor)? })
    }
}

/// Writes a changed model into `folder`, which must not be there yet or be empty: as `write_folder` does, with the licence and the
/// read-me of the folder it came from. Gives the files; the weights come last.
///
/// # Errors
/// Those of `write_folder`.
pub fn write_changed(
    folder: &Path,
    parts: &ModelParts,
    config: &HubConfig,
    tensors: &BTreeMap<String, Stored>,
) -> Result<Vec<PathBuf>, WriteFolderError> {
    make_empty(folder)?;
    let mut files = write_texts(folder, config, &parts.tokenizer)?;
    for name in ["LICENSE", "README.md"] {
        if let Some(from) = parts.files.iter().find(|file| file.file_name() == Some(name.as_ref())) {
            let read = |source| OpenError::Read { path: from.clone(), source };
            let path = folder.join(name);
            write_atomic(&path, &fs::read(from).map_err(read)?)?;
            files.push(path);
        }
    }
    let mut members = vec!["\"__metadata__\":{\"format\":\"pt\"}".to_owned()];
    let mut at = 0;
    for (name, stored) in tensors {
        let end = at + stored.bytes.len();
        let sizes: Vec<String> = stored.shape.iter().map(usize::to_string).collect();
        let (name, kind, sizes) = (Value::from(name.as_str()), stored.kind, sizes.join(","));
        members.push(format!("{name}:{{\"dtype\":\"{kind}\",\"shape\":[{sizes}],\"data_offsets\":[{at},{end}]}}"));
        at = end;
    }
    let mut header = format!("{{{}}}", members.join(","));
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.into_bytes());
    tensors.values().for_each(|stored| bytes.extend_from_slice(&stored.bytes));
    let path = folder.join("model.safetensors");
    write_atomic(&path, &bytes)?;
    files.push(path);
    Ok(files)
}

fn make_empty(folder: &Path) -> Result<(), WriteFolderError> {
    if folder.exists() {
        let found = match fs::read_dir(folder).map(|mut entries| entries.next()) {
            Ok(None) => None,
            Ok(Some(_)) => Some("files in it".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(found) = found {
            return Err(WriteFolderError::Occupied { path: folder.to_owned(), found });
        }
    }
    let made = |source| WriteError { path: folder.to_owned(), doing: "making the folder", source };
    Ok(fs::create_dir_all(folder).map_err(made)?)
}

/// One tensor after another, so that no more than one is held; the file takes its name when all are on the disk.
fn write_weights(path: &Path, tensors: &Tensors) -> Result<(), WriteFolderError> {
    let beside = path.with_extension("safetensors.part");
    let written = stream(&beside, tensors).and_then(|()| {
        let renamed = fs::rename(&beside, path);
        Ok(renamed.map_err(|source| WriteError {
            path: path.to_owned(),
            doing: "renaming the finished file",
            source,
        })?)
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn stream(path: &Path, tensors: &Tensors) -> Result<(), WriteFolderError> {
    let error = |doing| move |source: io::Error| WriteError { path: path.to_owned(), doing, source };
    let mut file = BufWriter::new(File::create(path).map_err(error("creating the file beside it"))?);
    let mut members = vec!["\"__metadata__\":{\"format\":\"pt\"}".to_owned()];
    let mut at = 0_usize;
    for (name, stored) in &tensors.stored {
        let shape = hub_shape(stored);
        let end = at + shape.iter().product::<usize>() * 4;
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        let (name, sizes) = (Value::from(name.as_str()), sizes.join(","));
        members.push(format!("{name}:{{\"dtype\":\"F32\",\"shape\":[{sizes}],\"data_offsets\":[{at},{end}]}}"));
        at = end;
    }
    let mut header = format!("{{{}}}", members.join(","));
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(error("writing"));
    put(&(header.len() as u64).to_le_bytes())?;
    put(header.as_bytes())?;
    for (name, stored) in &tensors.stored {
        put(&bytes(&tensors.read(name, stored).map_err(OpenError::from)?)
            .map_err(|error| OpenError::from(TensorError::from(error)))?)?;
    }
    file.into_inner()
        .map_err(|error| error.into_error())
        .and_then(|file| file.sync_all())
        .map_err(error("flushing to the disk"))?;
    Ok(())
}

fn bytes(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect())
}
