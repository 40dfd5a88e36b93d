//! Any model's files, opened: a folder as the hub lays it out, or a GGUF file.

use crate::{
    ConfigError, Decoder, Family, FileTokenizer, FileTokenizerError, HubConfig, TensorError,
    family::BuildError,
    gguf::{self, GgufError},
    hub::Tensors,
};
use evidence::Digest;
use rayon::prelude::*;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    thread::{self, JoinHandle},
};

/// A larger `config.json` is refused; the largest on the hub are below 1 MB.
const CONFIG_BYTES_MAX: u64 = 1 << 23;

/// Answers to questions that the files of a model may leave open, or answer twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The text of the token that begins a text.
    pub bos: Option<String>,
    /// The text of the token that ends one.
    pub eos: Option<String>,
}

/// Where a model was opened from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A hub folder.
    Folder,
    Gguf,
}

/// A model with its tokenizer.
#[derive(Debug)]
pub struct Model {
    pub path: PathBuf,
    pub layout: Layout,
    pub family: Family,
    pub config: HubConfig,
    pub decoder: Decoder,
    pub tokenizer: FileTokenizer,
    /// What the file says of itself: `name`, `license`.
    pub card: BTreeMap<String, String>,
    files: Vec<PathBuf>,
    manifest: OnceLock<Manifest>,
    /// The manifest of `open_digested`, until it is asked for.
    coming: Mutex<Option<Coming>>,
}

/// A manifest that a thread of its own makes.
type Coming = JoinHandle<Result<Manifest, OpenError>>;

/// Name, bytes and sha256 of files.
type Manifest = Vec<(String, u64, Digest)>;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "`{}`: expected a folder with `config.json` and weights, or a `.gguf` file, found {found}",
        path.display()
    )]
    Kind { path: PathBuf, found: String },
    #[error("`{}`: expected at most {CONFIG_BYTES_MAX} bytes, found {found}", path.display())]
    TooLarge { path: PathBuf, found: u64 },
    #[error("`{}`: the configuration cannot be computed", path.display())]
    Config { path: PathBuf, source: ConfigError },
    #[error("`{}`: the weights are not those of the configuration", path.display())]
    Llama { path: PathBuf, source: Box<crate::LlamaError> },
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error(transparent)]
    Tokenizer(#[from] FileTokenizerError),
    #[error(
        "`{}`: expected at most {vocab} tokens, the rows of the embedding, found {found}; the tokenizer is of another model",
        path.display()
    )]
    Vocab { path: PathBuf, vocab: usize, found: usize },
    #[error(
        "`{}`: expected about {vocab} tokens, as the embedding has rows, found {found}; the tokenizer is of another model",
        path.display()
    )]
    FewTokens { path: PathBuf, vocab: usize, found: usize },
}

/// Embeddings have rows that no token uses, up to a multiple that suits a device: a few in a hundred. A tokenizer with less than
/// three quarters of the rows belongs elsewhere.
const TOKENS_LEAST: (usize, usize) = (3, 4);

/// Opens a model: configuration, weights in f32, tokenizer.
///
/// # Errors
/// `OpenError` naming the file, what was expected there and what was found.
pub fn open(path: &Path) -> Result<Model, OpenError> {
    open_with(path, &OpenOptions::default())
}

/// `open`, where the files disagree about the tokens that begin and end a text, or are silent.
///
/// # Errors
/// Those of `open`.
pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Model, OpenError> {
    build_of(path, parts(path, options)?)
}

/// `open_with`, for who will ask for the manifest: the files are digested while the model is built and used, not when it is asked for.
///
/// # Errors
/// Those of `open`.
pub fn open_digested(path: &Path, options: &OpenOptions) -> Result<Model, OpenError> {
    let parts = parts(path, options)?;
    let files = parts.files.clone();
    // Without a thread it is made when it is asked for. It has no name of its own, which threads of the pool would take from it.
    let coming = thread::Builder::new().spawn(move || manifest(&files)).ok();
    Ok(Model { coming: Mutex::new(coming), ..build_of(path, parts)? })
}

fn build_of(path: &Path, parts: Parts) -> Result<Model, OpenError> {
    let Parts { config, mut tensors, tokenizer, card, config_path, layout, files } = parts;
    let (family, decoder) = build(&config, &config_path, &mut tensors)?;
    let (vocab, found) = (decoder.vocab(), tokenizer.vocab_size());
    if found > vocab {
        return Err(OpenError::Vocab { path: tokenizer.path().to_owned(), vocab, found });
    }
    if found * TOKENS_LEAST.1 < vocab * TOKENS_LEAST.0 {
        return Err(OpenError::FewTokens { path: tokenizer.path().to_owned(), vocab, found });
    }
    let (manifest, coming) = (OnceLock::new(), Mutex::new(None));
    Ok(Model { path: path.to_owned(), layout, family, config, decoder, tokenizer, card, files, manifest, coming })
}

/// A model of others that can be trained further.
#[derive(Debug)]
pub struct Trainable {
    pub model: crate::Llama,
    pub config: HubConfig,
    pub tokenizer: FileTokenizer,
    files: Vec<PathBuf>,
}

impl Trainable {
    /// Name, bytes and sha256 of each file it was read from or that stands beside it; reads them whole.
    ///
    /// # Errors
    /// `Read` naming the file.
    pub fn manifest(&self) -> Result<Manifest, OpenError> {
        manifest(&self.files)
    }
}

/// Opens a Llama-style model with tied embedding for training: weights in f32, to be changed in place.
///
/// # Errors
/// Those of `open`; `Config` when it is of a family that is computed here and not trained.
pub fn trainable(path: &Path) -> Result<Trainable, OpenError> {
    let Parts { config, mut tensors, tokenizer, config_path, files, .. } = parts(path, &OpenOptions::default())?;
    let refused = |source| OpenError::Config { path: config_path.clone(), source };
    let shape = crate::Config::from_json(&config.to_json()).map_err(refused)?;
    let mut weights = BTreeMap::new();
    for (name, dims) in shape.shapes() {
        let tensor = tensors.take(&name, &dims)?;
        weights.insert(name, tensor);
    }
    let model = crate::Llama::from_tensors(shape, weights)
        .map_err(|source| OpenError::Llama { path: path.to_owned(), source: Box::new(source) })?;
    Ok(Trainable { model, config, tokenizer, files })
}

/// A decoder alone: a configuration, and one file of safetensors.
///
/// # Errors
/// `OpenError`; a configuration is named by the file of the weights.
pub fn decoder(config: &HubConfig, weights: &Path) -> Result<(Family, Decoder), OpenError> {
    let mut tensors = Tensors::of_file(weights)?;
    build(config, weights, &mut tensors)
}

pub(crate) fn build(
    config: &HubConfig,
    config_path: &Path,
    tensors: &mut Tensors,
) -> Result<(Family, Decoder), OpenError> {
    let family = Family::of(config).map_err(|source| OpenError::Config { path: config_path.to_owned(), source })?;
    let decoder = family.build(config, tensors).map_err(|error| match error {
        BuildError::Config(source) => OpenError::Config { path: config_path.to_owned(), source },
        BuildError::Tensor(error) => error.into(),
    })?;
    Ok((family, decoder))
}

/// A model before its decoder is built.
pub(crate) struct Parts {
    pub(crate) config: HubConfig,
    pub(crate) config_path: PathBuf,
    pub(crate) tensors: Tensors,
    pub(crate) tokenizer: FileTokenizer,
    pub(crate) card: BTreeMap<String, String>,
    pub(crate) layout: Layout,
    pub(crate) files: Vec<PathBuf>,
}

pub(crate) fn parts(path: &Path, options: &OpenOptions) -> Result<Parts, OpenError> {
    let metadata = fs::metadata(path).map_err(|source| OpenError::Read { path: path.to_owned(), source })?;
    if metadata.is_dir() {
        return folder(path, options);
    }
    if path.extension().is_some_and(|extension| extension == "gguf") {
        let gguf::hub::Opened { config, tensors, words, card } = gguf::hub::open(path)?;
        let tokenizer = FileTokenizer::of_gguf(path, &words, options)?;
        let (config_path, files) = (path.to_owned(), vec![path.to_owned()]);
        return Ok(Parts { config, config_path, tensors, tokenizer, card, layout: Layout::Gguf, files });
    }
    let found = "a file of another kind; name the folder it stands in".to_owned();
    Err(OpenError::Kind { path: path.to_owned(), found })
}

fn folder(path: &Path, options: &OpenOptions) -> Result<Parts, OpenError> {
    let config_path = path.join("config.json");
    if !config_path.exists() {
        return Err(OpenError::Kind { path: path.to_owned(), found: "a folder without `config.json`".to_owned() });
    }
    let config = HubConfig::from_json(&read_text(&config_path)?)
        .map_err(|source| OpenError::Config { path: config_path.clone(), source })?;
    let tensors = weights(path)?;
    let tokenizer = FileTokenizer::of_folder(path, &config, options)?;
    let mut files: Vec<PathBuf> = tensors.files.iter().map(|(file, _)| file.clone()).collect();
    for name in SIDE_FILES {
        files.extend(Some(path.join(name)).filter(|file| file.exists()));
    }
    files.sort();
    Ok(Parts { config, config_path, tensors, tokenizer, card: BTreeMap::new(), layout: Layout::Folder, files })
}

/// What else makes a model, beside its weights.
const SIDE_FILES: [&str; 9] = [
    "README.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "LICENSE",
];

fn weights(path: &Path) -> Result<Tensors, OpenError> {
    let (index, one) = (path.join("model.safetensors.index.json"), path.join("model.safetensors"));
    if index.exists() {
        Ok(Tensors::of_index(&index)?)
    } else if one.exists() {
        Ok(Tensors::of_file(&one)?)
    } else {
        let found = "neither `model.safetensors` nor `model.safetensors.index.json` in it".to_owned();
        Err(OpenError::Kind { path: path.to_owned(), found })
    }
}

pub(crate) fn read_text(path: &Path) -> Result<String, OpenError> {
    let read = |source| OpenError::Read { path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(read)?.len();
    if found > CONFIG_BYTES_MAX {
        return Err(OpenError::TooLarge { path: path.to_owned(), found });
    }
    fs::read_to_string(path).map_err(read)
}

impl Model {
    /// Every file the model was read from or that stands beside it, in the order of their names.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Name, bytes and sha256 of each file; reads them whole, once.
    ///
    /// # Errors
    /// `Read` naming the file.
    pub fn manifest(&self) -> Result<&[(String, u64, Digest)], OpenError> {
        if let Some(manifest) = self.manifest.get() {
            return Ok(manifest);
        }
        let coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner).take();
        let found = match coming.map(JoinHandle::join) {
            Some(Ok(found)) => found?,
            None | Some(Err(_)) => manifest(&self.files)?,
        };
        Ok(self.manifest.get_or_init(|| found))
    }
}

fn manifest(files: &[PathBuf]) -> Result<Manifest, OpenError> {
    let entry = |path: &PathBuf| {
        let read = |source| OpenError::Read { path: path.clone(), source };
        let bytes = fs::metadata(path).map_err(read)?.len();
        let digest = File::open(path).and_then(Digest::of_reader).map_err(read)?;
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok((name, bytes, digest))
    };
    files.par_iter().map(entry).collect()
}

/// The tokenizer of a GGUF file, which may hold nothing else.
///
/// # Errors
/// `Gguf`, `Tokenizer`.
pub fn gguf_tokenizer(path: &Path) -> Result<FileTokenizer, OpenError> {
    let words = gguf::hub::words_of(path)?;
    Ok(FileTokenizer::of_gguf(path, &words, &OpenOptions::default())?)
}
