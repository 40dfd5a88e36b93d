//! Byte-level byte-pair encoding, in the hub's `tokenizer.json`.

use crate::{
    END_OF_TEXT_ID,
    file::{WriteError, write_atomic},
};
use evidence::Digest;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};
use tokenizers::{
    AddedToken, ModelWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, Trainer as _,
    models::bpe::{BPE, BpeTrainer},
    pre_tokenizers::byte_level::ByteLevel,
};

/// Stands before every document. Its token is `END_OF_TEXT_ID`.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// The 256 bytes and the end of text.
const VOCAB_MIN: usize = 257;
const VOCAB_MAX: usize = 1 << 20;
/// A pair that occurs once says nothing about the language.
const PAIR_COUNT_MIN: u64 = 2;
/// A larger `tokenizer.json` is refused; the largest on the hub is below 40 MB.
const FILE_BYTES_MAX: u64 = 1 << 26;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Text to tokens and back, without loss for any text.
#[derive(Clone)]
pub struct Tokenizer(tokenizers::Tokenizer);

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error("expected a vocabulary of 257 (the bytes and the end of text) to 1048576 tokens, found {0}")]
    VocabSize(usize),
    #[error("cannot build the tokenizer")]
    Build(#[source] Cause),
    #[error("cannot decode the tokens")]
    Decode(#[source] Cause),
    #[error("cannot read the tokenizer `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}`: expected at most {FILE_BYTES_MAX} bytes, found {found}", path.display())]
    TooLarge { path: PathBuf, found: u64 },
    #[error("`{}`: expected a `tokenizer.json`; take the file again from where it came", path.display())]
    Parse { path: PathBuf, source: Cause },
    #[error("`{}`: expected {expected}, found {found}", path.display())]
    Kind { path: PathBuf, expected: &'static str, found: String },
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Tokenizer {
    /// Learns merges from the documents until there are `vocab` tokens, or no two tokens stand side by side twice any more:
    /// `vocab_size` may be smaller than `vocab`. The same documents, in any order and with any number of threads, give the
    /// same tokenizer.
    ///
    /// Token 0 is the end of text, 1 to 256 are the bytes. Source: Radford et al. 2019 (GPT-2), section 2.2.
    ///
    /// # Errors
    /// `VocabSize` outside its limits; `Build`.
    pub fn train(documents: &[&str], vocab: usize) -> Result<Self, TokenizerError> {
        if !(VOCAB_MIN..=VOCAB_MAX).contains(&vocab) {
            return Err(TokenizerError::VocabSize(vocab));
        }
        Self::learn(documents, vocab).map_err(TokenizerError::Build)
    }

    fn learn(documents: &[&str], vocab: usize) -> Result<Self, Cause> {
        let end_of_text = AddedToken::from(END_OF_TEXT, true);
        // The crate counts words in hash maps with a random seed. The result does not show it: counts are sums, and the
        // pair to join next is the most frequent one, the smaller pair of numbers among equals.
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocab)
            .min_frequency(PAIR_COUNT_MIN)
            .special_tokens(vec![end_of_text.clone()])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .show_progress(false)
            .build();
        trainer.feed(documents.iter(), |document| {
            let mut pieces = PreTokenizedString::from(document);
            byte_level().pre_tokenize(&mut pieces)?;
            let words = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
            Ok(words.into_iter().map(|(word, _, _)| word.to_owned()).collect())
        })?;
        let mut model = BPE::default();
        trainer.train(&mut model)?;
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(byte_level())).with_decoder(Some(byte_level()));
        tokenizer.add_special_tokens([end_of_text])?;
        Ok(Self::of(tokenizer))
    }

    /// A document that holds the words `<|endoftext|>` holds those words, not the token.
    fn of(mut tokenizer: tokenizers::Tokenizer) -> Self {
        tokenizer.set_encode_special_tokens(true);
        Self(tokenizer)
    }

    /// The tokens of `text`; the end of text is never among them. Deterministic, and `decode` gives `text` back.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // INVARIANT: every byte is a token (checked when the tokenizer was made), so no text fails.
        self.0.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    /// The text of `tokens`. Bytes that are no UTF-8 (a character cut in two) become U+FFFD.
    ///
    /// # Errors
    /// `Decode` from the decoder of a loaded file.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        self.0.decode(tokens, false).map_err(TokenizerError::Decode)
    }

    /// Number of tokens, the end of text included.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// Token texts in the alphabet of GPT-2, by their number; `None` where a file left a number out.
    pub(crate) fn tokens(&self) -> Vec<Option<String>> {
        let largest = self.0.get_vocab(true).into_values().max().map_or(0, |id| id + 1);
        (0..largest).map(|id| self.0.id_to_token(id)).collect()
    }

    /// The merges, first to last, each as `left right`.
    pub(crate) fn merges(&self) -> Vec<String> {
        let ModelWrapper::BPE(model) = self.0.get_model() else { return Vec::new() };
        // The crate shows its merges only in the file it writes.
        let document = serde_json::to_value(model).unwrap_or_default();
        let pair = |merge: &serde_json::Value| Some(format!("{} {}", merge.get(0)?.as_str()?, merge.get(1)?.as_str()?));
        document["merges"].as_array().map(|merges| merges.iter().filter_map(pair).collect()).unwrap_or_default()
    }

    /// The hub's `tokenizer.json`, the same bytes for the same tokenizer.
    ///
    /// # Errors
    /// `Build` when the crate cannot express it.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        self.0.to_string(false).map_err(TokenizerError::Build)
    }

    /// Writes `tokenizer.json`, whole or not at all, and gives the file's digest.
    ///
    /// # Errors
    /// `Write` naming the path and the step.
    pub fn save(&self, path: &Path) -> Result<Digest, TokenizerError> {
        Ok(write_atomic(path, self.to_json()?.as_bytes())?)
    }

    /// Reads a `tokenizer.json` of the byte-level kind whose token 0 is the end of text.
    ///
    /// # Errors
    /// `Read`, `TooLarge`, `Parse` or `Kind`, naming the file.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let read = |source| TokenizerError::Read { path: path.to_owned(), source };
        let found = fs::metadata(path).map_err(read)?.len();
        if found > FILE_BYTES_MAX {
            return Err(TokenizerError::TooLarge { path: path.to_owned(), found });
        }
        let bytes = fs::read(path).map_err(read)?;
        let tokenizer = from_json(&bytes).map_err(|source| TokenizerError::Parse { path: path.to_owned(), source })?;
        let kind = |expected, found: String| TokenizerError::Kind { path: path.to_owned(), expected, found };
        if !matches!(tokenizer.get_model(), ModelWrapper::BPE(_)) {
            return Err(kind("byte-pair encoding", "another model".to_owned()));
        }
        let found = tokenizer.token_to_id(END_OF_TEXT);
        if found != Some(END_OF_TEXT_ID) {
            let found = found.map_or_else(|| "no such token".to_owned(), |id| format!("it as token {id}"));
            return Err(kind("`<|endoftext|>` as token 0", found));
        }
        let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        if let Some(absent) = alphabet.into_iter().find(|byte| tokenizer.token_to_id(&byte.to_string()).is_none()) {
            return Err(kind("a token for each of the 256 bytes", format!("none for `{absent}`")));
        }
        Ok(Self::of(tokenizer))
    }
}

/// A `tokenizer.json`. Its grammar is checked first: the crate panics on a decoder that is cut short.
pub(crate) fn from_json(bytes: &[u8]) -> tokenizers::Result<tokenizers::Tokenizer> {
    let _: serde_json::Value = serde_json::from_slice(bytes)?;
    tokenizers::Tokenizer::from_bytes(bytes)
}

fn byte_level() -> ByteLevel {
    ByteLevel::new(false, true, true)
}
