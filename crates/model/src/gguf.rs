//! GGUF files of the `llama` architecture, matrices in Q8_0, as llama.cpp and its kin read them.
//!
//! SPEC: GGUF version 3, ggml `docs/gguf.md`.

pub mod half;
pub(crate) mod hub;
pub(crate) mod parse;
pub mod store;

use crate::{
    Config, ConfigError, END_OF_TEXT_ID, Llama, LlamaError, Tokenizer,
    file::{WriteError, write_atomic},
};
use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QTensor, gguf_file, gguf_file::Value},
};
use evidence::Digest;
use parse::{Field, Header};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Numbers in one block of Q8_0; the width of every matrix is a multiple of it.
pub const BLOCK: usize = 32;
const VERSION: u32 = 3;
/// SPEC: `general.file_type` of `MOSTLY_Q8_0`.
const FILE_TYPE_Q8_0: u32 = 7;
/// SPEC: `llama_token_type`: normal, control, unused.
const TOKEN_NORMAL: i32 = 1;
const TOKEN_CONTROL: i32 = 3;
const TOKEN_UNUSED: i32 = 5;

#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    #[error("expected rows of a multiple of {BLOCK} numbers for Q8_0, found `{name}` of shape {shape:?}")]
    Block { name: String, shape: Vec<usize> },
    #[error("expected at most {vocab} tokens, the rows of the embedding, found {found} in the tokenizer")]
    Vocab { vocab: usize, found: usize },
    #[error("the weights do not fit the configuration")]
    Weights(#[from] LlamaError),
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "`{}`, byte {at}: expected {expected}, found {found}; the file is damaged, incomplete or not of this kind: take it \
         again from where it came",
        path.display()
    )]
    Damaged { path: PathBuf, at: usize, expected: String, found: String },
    #[error("`{}`: the configuration cannot be computed", path.display())]
    Config { path: PathBuf, source: ConfigError },
    #[error("`{}`: expected an architecture of `{known}`, found `{found}`", path.display())]
    Architecture { path: PathBuf, known: String, found: String },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Whether a tensor of this shape is stored in Q8_0: matrices are, norms stay f32.
#[must_use]
pub const fn is_quantized(shape: &[usize]) -> bool {
    shape.len() == 2
}

/// The Q8_0 blocks of a matrix, row by row; a row is a whole number of blocks. Shapes: (rows, width).
///
/// # Errors
/// `Block` when the width is no multiple of 32.
pub fn quantize(name: &str, tensor: &Tensor) -> Result<QTensor, GgufError> {
    if !tensor.dims().last().is_some_and(|width| width.is_multiple_of(BLOCK)) {
        return Err(GgufError::Block { name: name.to_owned(), shape: tensor.dims().to_vec() });
    }
    Ok(QTensor::quantize(&tensor.contiguous()?, GgmlDType::Q8_0)?)
}

/// Writes the model, matrices in Q8_0 and norms in f32, whole or not at all, and gives the file's digest.
///
/// The rows of the query and key projections are put into llama.cpp's order: the two halves of the hub's rotary layout
/// interleaved. Embedding rows beyond the tokenizer's become unused tokens. The same input gives the same bytes.
///
/// # Errors
/// `Weights` when the tensors are not those of `config`, `Block`, `Vocab`, `Write`.
pub fn write(
    path: &Path,
    config: &Config,
    tokenizer: &Tokenizer,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<Digest, GgufError> {
    // Names and shapes are checked where every model is made.
    let tensors = Llama::from_tensors(config.clone(), tensors.clone())?.tensors();
    let mut stored = Vec::new();
    for (hub_name, name) in names(config) {
        let rows = match rotary_heads(config, &hub_name) {
            Some(heads) => interleave(&tensors[&hub_name], heads)?,
            None => tensors[&hub_name].clone(),
        };
        let blocks = if is_quantized(rows.dims()) {
            quantize(&hub_name, &rows)?
        } else {
            QTensor::quantize(&rows, GgmlDType::F32)?
        };
        stored.push((name, blocks));
    }
    let metadata = metadata(config, tokenizer)?;
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let stored: Vec<(&str, &QTensor)> = stored.iter().map(|(name, blocks)| (name.as_str(), blocks)).collect();
    let mut bytes = io::Cursor::new(Vec::new());
    gguf_file::write(&mut bytes, &metadata, &stored)?;
    let mut bytes = bytes.into_inner();
    // candle writes version 2; version 3 of a little-endian file differs in this number alone.
    bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
    Ok(write_atomic(path, &bytes)?)
}

/// Reads a file of this kind: Q8_0 or f32, dequantised to f32, rows back in the hub's order, hub names.
///
/// # Errors
/// `Read`; `Damaged` with the byte, what was expected there and what was found; `Config`.
pub fn read(path: &Path) -> Result<(Config, BTreeMap<String, Tensor>), GgufError> {
    let bytes = fs::read(path).map_err(|source| GgufError::Read { path: path.to_owned(), source })?;
    let damaged =
        |parse::Fault { at, expected, found }| GgufError::Damaged { path: path.to_owned(), at, expected, found };
    let header = parse::header(&bytes).map_err(damaged)?;
    let config = config_of(&header).map_err(damaged)?;
    config.validate().map_err(|source| GgufError::Config { path: path.to_owned(), source })?;
    let mut tensors = BTreeMap::new();
    for ((hub_name, name), shape) in names(&config).into_iter().zip(config.shapes().into_values()) {
        let stored = header.tensor(&name, &shape).map_err(damaged)?;
        if !matches!(parse::ggml(stored.kind), Some(GgmlDType::F32 | GgmlDType::Q8_0)) {
            let (expected, found) =
                (format!("the tensor `{name}` in F32 or Q8_0"), format!("ggml type {}", stored.kind));
            return Err(damaged(parse::Fault { at: stored.at, expected, found }));
        }
        let (kind, place) = parse::place(bytes.len(), &header, &name, stored).map_err(damaged)?;
        let numbers = parse::numbers(kind, &bytes[place])?;
        let rows = Tensor::from_vec(numbers, shape, &Device::Cpu)?;
        let rows = match rotary_heads(&config, &hub_name) {
            Some(heads) => separate(&rows, heads)?,
            None => rows,
        };
        tensors.insert(hub_name, rows);
    }
    Ok((config, tensors))
}

/// Hub name and GGUF name of every tensor, in the order of the hub names.
///
/// SPEC: ggml `docs/gguf.md`, standardized tensor names. With a tied embedding there is no `output.weight`.
fn names(config: &Config) -> Vec<(String, String)> {
    const PARTS: [(&str, &str); 9] = [
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ];
    let mut names = vec![
        ("model.embed_tokens.weight".to_owned(), "token_embd.weight".to_owned()),
        ("model.norm.weight".to_owned(), "output_norm.weight".to_owned()),
    ];
    for layer in 0..config.layers {
        for (hub, gguf) in PARTS {
            names.push((format!("model.layers.{layer}.{hub}.weight"), format!("blk.{layer}.{gguf}.weight")));
        }
    }
    names.sort();
    names
}

/// Number of heads of a projection whose rows the rotary embedding turns.
fn rotary_heads(config: &Config, hub_name: &str) -> Option<usize> {
    if hub_name.ends_with("q_proj.weight") {
        Some(config.heads)
    } else if hub_name.ends_with("k_proj.weight") {
        Some(config.kv_heads)
    } else {
        None
    }
}

/// Within each head, row i and row i + D/2 become rows 2i and 2i + 1. Shapes: (heads·D, C) → same.
fn interleave(rows: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (n, width) = rows.dims2()?;
    rows.reshape((heads, 2, n / heads / 2, width))?.transpose(1, 2)?.reshape((n, width))
}

/// Undoes `interleave`.
fn separate(rows: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (n, width) = rows.dims2()?;
    rows.reshape((heads, n / heads / 2, 2, width))?.transpose(1, 2)?.reshape((n, width))
}

fn metadata(config: &Config, tokenizer: &Tokenizer) -> Result<Vec<(&'static str, Value)>, GgufError> {
    let mut tokens = tokenizer.tokens();
    if tokens.len() > config.vocab {
        return Err(GgufError::Vocab { vocab: config.vocab, found: tokens.len() });
    }
    tokens.resize(config.vocab, None);
    let kind = |(id, token): (u32, &Option<String>)| match token {
        None => TOKEN_UNUSED,
        Some(_) if id == END_OF_TEXT_ID => TOKEN_CONTROL,
        Some(_) => TOKEN_NORMAL,
    };
    let kinds = (0..).zip(&tokens).map(kind).map(Value::I32).collect();
    let text = |(id, token): (usize, Option<String>)| token.unwrap_or_else(|| format!("[PAD{id}]"));
    let tokens = tokens.into_iter().enumerate().map(text).map(Value::String).collect();
    let count = |value: usize| Value::U32(value as u32);
    let word = |text: &str| Value::String(text.to_owned());
    Ok(vec![
        ("general.architecture", word("llama")),
        ("general.file_type", Value::U32(FILE_TYPE_Q8_0)),
        ("general.quantization_version", Value::U32(2)),
        ("llama.vocab_size", count(config.vocab)),
        ("llama.context_length", count(config.context)),
        ("llama.embedding_length", count(config.width)),
        ("llama.block_count", count(config.layers)),
        ("llama.feed_forward_length", count(config.hidden)),
        ("llama.attention.head_count", count(config.heads)),
        ("llama.attention.head_count_kv", count(config.kv_heads)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(config.norm_eps as f32)),
        ("llama.rope.dimension_count", count(config.head_width())),
        ("llama.rope.freq_base", Value::F32(config.rope_theta as f32)),
        ("tokenizer.ggml.model", word("gpt2")),
        ("tokenizer.ggml.pre", word("gpt-2")),
        ("tokenizer.ggml.tokens", Value::Array(tokens)),
        ("tokenizer.ggml.token_type", Value::Array(kinds)),
        ("tokenizer.ggml.merges", Value::Array(tokenizer.merges().into_iter().map(Value::String).collect())),
        ("tokenizer.ggml.bos_token_id", Value::U32(END_OF_TEXT_ID)),
        ("tokenizer.ggml.eos_token_id", Value::U32(END_OF_TEXT_ID)),
        // Every document of the training stood behind the end of text, so a prompt does as well.
        ("tokenizer.ggml.add_bos_token", Value::Bool(true)),
    ])
}

fn config_of(header: &Header) -> Result<Config, parse::Fault> {
    header.expect_text("general.architecture", "llama")?;
    let heads = header.count("llama.attention.head_count")?;
    Ok(Config {
        vocab: header.count("llama.vocab_size")?,
        layers: header.count("llama.block_count")?,
        width: header.count("llama.embedding_length")?,
        heads,
        kv_heads: match header.field("llama.attention.head_count_kv") {
            Some(Field::Whole(_)) => header.count("llama.attention.head_count_kv")?,
            _ => heads,
        },
        hidden: header.count("llama.feed_forward_length")?,
        context: header.count("llama.context_length")?,
        rope_theta: header.number("llama.rope.freq_base")?,
        norm_eps: header.number("llama.attention.layer_norm_rms_epsilon")?,
    })
}
