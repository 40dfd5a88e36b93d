//! The tokenizer of a model's own files, and what they say of the tokens that begin and end a text.

mod from_gguf;

use crate::{HubConfig, OpenOptions, gguf::hub::Words, tokenizer};
use serde_json::Value;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// A larger `tokenizer.json` is refused; the largest on the hub is below 40 MB.
const FILE_BYTES_MAX: u64 = 1 << 26;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Which tokens `encode` adds by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// Those that the files ask for: usually one that begins a text, or none.
    AsFile,
    None,
}

/// Text to the tokens of one model, and back.
#[derive(Clone)]
pub struct FileTokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: Vec<u32>,
    adds_bos: bool,
    chat_template: Option<String>,
    vocab_size: usize,
}

impl fmt::Debug for FileTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, bos, eos, adds_bos, vocab_size, .. } = self;
        f.debug_struct("FileTokenizer")
            .field("path", path)
            .field("vocab_size", vocab_size)
            .field("bos", bos)
            .field("eos", eos)
            .field("adds_bos", adds_bos)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FileTokenizerError {
    #[error("`{}` is not there: copy it from where the weights came from, for a folder of weights is read with it", path.display())]
    Missing { path: PathBuf },
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}`: expected at most {max} bytes, found {found}", path.display())]
    TooLarge { path: PathBuf, max: u64, found: u64 },
    #[error("`{}`: expected a tokenizer; take the file again from where it came", path.display())]
    Parse { path: PathBuf, source: Cause },
    #[error("`{}`: expected {expected}, found {found}", path.display())]
    Kind { path: PathBuf, expected: String, found: String },
    #[error(
        "`{}`: {one_says}, but `{}`: {other_says}; the files are not of one model, or one of them is wrong: correct it, or \
         say which token is meant with `{option}`",
        one.display(),
        other.display()
    )]
    Disagree { one: PathBuf, one_says: String, other: PathBuf, other_says: String, option: &'static str },
    #[error("`{}`: {member} is `{token}`, which `{}` does not have; the tokenizer is of another model", path.display(), tokenizer.display())]
    NoSuchToken { path: PathBuf, member: String, token: String, tokenizer: PathBuf },
    #[error("expected a token of the model, found `{0}`; it is named in `--bos` or `--eos`")]
    Option(String),
    #[error("cannot encode the text")]
    Encode(#[source] Cause),
    #[error("cannot decode the tokens")]
    Decode(#[source] Cause),
}

/// What one file says of a token.
struct Says {
    file: PathBuf,
    words: String,
    ids: Vec<u32>,
}

impl FileTokenizer {
    pub(crate) fn of_folder(
        folder: &Path,
        config: &HubConfig,
        options: &OpenOptions,
    ) -> Result<Self, FileTokenizerError> {
        let path = folder.join("tokenizer.json");
        if !path.exists() {
            return Err(FileTokenizerError::Missing { path });
        }
        let inner = parse(&path, &read(&path, FILE_BYTES_MAX)?)?;
        let mut files = Vec::new();
        for name in ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"] {
            let path = folder.join(name);
            if path.exists() {
                let bytes = read(&path, FILE_BYTES_MAX)?;
                let document: Value = serde_json::from_slice(&bytes)
                    .map_err(|error| FileTokenizerError::Parse { path: path.clone(), source: error.into() })?;
                files.push((path, document));
            }
        }
        let config_path = folder.join("config.json");
        let template = folder.join("chat_template.jinja");
        let chat_template = if template.exists() {
            let bytes = read(&template, FILE_BYTES_MAX)?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        } else {
            files.iter().find_map(|(_, document)| chat_template(document))
        };
        let says = |role: &'static str| -> Result<Vec<Says>, FileTokenizerError> {
            let mut all = Vec::new();
            for (file, document) in &files {
                all.extend(by_text(&inner, &path, file, document, role)?);
                all.extend(by_id(file, document.get(format!("{role}_token_id")), role));
            }
            all.extend(by_id(&config_path, config.get(&format!("{role}_token_id")), role));
            Ok(all)
        };
        let (bos, eos) = (says("bos")?, says("eos")?);
        let mut tokenizer = Self::with(path, inner, &bos, &eos, options)?;
        tokenizer.chat_template = chat_template;
        let stated = files.iter().find_map(|(file, document)| Some((file, document.get("add_bos_token")?.as_bool()?)));
        // Whoever names the token knows that the files disagree.
        if let Some((file, stated)) = stated
            && stated != tokenizer.adds_bos
            && tokenizer.bos.is_some()
            && options.bos.is_none()
        {
            return Err(FileTokenizerError::Disagree {
                one: file.clone(),
                one_says: format!("`add_bos_token` is {stated}"),
                other: tokenizer.path.clone(),
                other_says: format!("a text gets {} at its beginning", if stated { "no such token" } else { "one" }),
                option: "--bos",
            });
        }
        Ok(tokenizer)
    }

    pub(crate) fn of_gguf(path: &Path, words: &Words, options: &OpenOptions) -> Result<Self, FileTokenizerError> {
        let document = from_gguf::document(words).map_err(|(expected, found)| FileTokenizerError::Kind {
            path: path.to_owned(),
            expected,
            found,
        })?;
        let inner = parse(path, document.to_string().as_bytes())?;
        let says = |key: &str, id: Option<u32>| -> Vec<Says> {
            let words = |id: u32| format!("`tokenizer.ggml.{key}_token_id` is {id}");
            id.map(|id| Says { file: path.to_owned(), words: words(id), ids: vec![id] }).into_iter().collect()
        };
        let mut tokenizer =
            Self::with(path.to_owned(), inner, &says("bos", words.bos), &says("eos", words.eos), options)?;
        tokenizer.chat_template.clone_from(&words.chat_template);
        Ok(tokenizer)
    }

    fn with(
        path: PathBuf,
        inner: tokenizers::Tokenizer,
        bos: &[Says],
        eos: &[Says],
        options: &OpenOptions,
    ) -> Result<Self, FileTokenizerError> {
        let named = |text: &String| inner.token_to_id(text).ok_or_else(|| FileTokenizerError::Option(text.clone()));
        let bos = match &options.bos {
            Some(text) => Some(named(text)?),
            None => agreed(bos, "--bos", |one, other| one == other)?.and_then(|says| says.ids.first().copied()),
        };
        let mut all: Vec<u32> = Vec::new();
        match &options.eos {
            Some(text) => all.push(named(text)?),
            // A generation may end at more tokens than the tokenizer's own, or than the configuration's.
            None => {
                if let Some(first) = agreed(eos, "--eos", |one, other| one.iter().any(|id| other.contains(id)))? {
                    all.extend(&first.ids);
                }
            }
        }
        for id in eos.iter().flat_map(|says| &says.ids) {
            if !all.contains(id) {
                all.push(*id);
            }
        }
        let vocab_size = inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let begins = inner.encode("a", true).ok().and_then(|encoding| encoding.get_ids().first().copied());
        let adds_bos = bos.is_some() && begins == bos;
        Ok(Self { path, inner, bos, eos: all, adds_bos, chat_template: None, vocab_size })
    }

    /// The file it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokens of `text`. Words that are special tokens become those, as in the hub's library.
    ///
    /// # Errors
    /// `Encode` from the tokenizer of the file.
    pub fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, FileTokenizerError> {
        let encoding =
            self.inner.encode_fast(text, specials == Specials::AsFile).map_err(FileTokenizerError::Encode)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `tokens`, special ones included.
    ///
    /// # Errors
    /// `Decode` from the tokenizer of the file.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, FileTokenizerError> {
        self.inner.decode(tokens, false).map_err(FileTokenizerError::Decode)
    }

    /// The token that begins a text.
    #[must_use]
    pub const fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens that end one, the tokenizer's own first.
    #[must_use]
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// Whether `Specials::AsFile` puts the token that begins a text before it.
    #[must_use]
    pub const fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Largest token and 1.
    #[must_use]
    pub const fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// A token's text, in the alphabet of the file.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The Jinja template of a conversation, as the files have it.
    #[must_use]
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// The hub's `tokenizer.json`.
    ///
    /// # Errors
    /// `Encode` when the crate cannot express it.
    pub fn to_json(&self) -> Result<String, FileTokenizerError> {
        self.inner.to_string(false).map_err(FileTokenizerError::Encode)
    }
}

fn read(path: &Path, max: u64) -> Result<Vec<u8>, FileTokenizerError> {
    let read = |source| FileTokenizerError::Read { path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(read)?.len();
    if found > max {
        return Err(FileTokenizerError::TooLarge { path: path.to_owned(), max, found });
    }
    fs::read(path).map_err(read)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<tokenizers::Tokenizer, FileTokenizerError> {
    tokenizer::from_json(bytes).map_err(|source| FileTokenizerError::Parse { path: path.to_owned(), source })
}

/// The first that says something, when the others agree with it.
fn agreed<'a>(
    says: &'a [Says],
    option: &'static str,
    agrees: impl Fn(&[u32], &[u32]) -> bool,
) -> Result<Option<&'a Says>, FileTokenizerError> {
    let Some(first) = says.first() else { return Ok(None) };
    match says.iter().find(|other| !agrees(&first.ids, &other.ids)) {
        None => Ok(Some(first)),
        Some(other) => Err(FileTokenizerError::Disagree {
            one: first.file.clone(),
            one_says: first.words.clone(),
            other: other.file.clone(),
            other_says: other.words.clone(),
            option,
        }),
    }
}

fn by_text(
    inner: &tokenizers::Tokenizer,
    tokenizer: &Path,
    file: &Path,
    document: &Value,
    role: &str,
) -> Result<Option<Says>, FileTokenizerError> {
    let member = format!("{role}_token");
    let token = document.get(&member).map(|value| value.get("content").unwrap_or(value)).and_then(Value::as_str);
    let Some(token) = token else { return Ok(None) };
    let Some(id) = inner.token_to_id(token) else {
        let (path, tokenizer) = (file.to_owned(), tokenizer.to_owned());
        return Err(FileTokenizerError::NoSuchToken {
            path,
            member: format!("`{member}`"),
            token: token.to_owned(),
            tokenizer,
        });
    };
    let words = format!("`{member}` is `{token}`, token {id}");
    Ok(Some(Says { file: file.to_owned(), words, ids: vec![id] }))
}

/// One number or a list of them.
fn by_id(file: &Path, value: Option<&Value>, role: &str) -> Option<Says> {
    let value = value?;
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids: Vec<u32> = match value {
        Value::Array(ids) => ids.iter().filter_map(id).collect(),
        one => id(one).into_iter().collect(),
    };
    let words = format!("`{role}_token_id` is {value}");
    (!ids.is_empty()).then(|| Says { file: file.to_owned(), words, ids })
}

/// One template, or the one named `default`.
fn chat_template(document: &Value) -> Option<String> {
    match document.get("chat_template")? {
        Value::String(template) => Some(template.clone()),
        Value::Array(all) => {
            let default = all.iter().find(|one| one.get("name").and_then(Value::as_str) == Some("default"))?;
            Some(default.get("template")?.as_str()?.to_owned())
        }
        _ => None,
    }
}
