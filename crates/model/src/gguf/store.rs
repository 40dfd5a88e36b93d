//! Any model that opens here, written as a GGUF file with matrices in blocks.
//!
//! Metadata come from the file the model was read from, or from configuration and tokenizer of a hub folder.

use super::{
    GgufError,
    hub::{ARCHITECTURES, hub_name},
    parse::{self, Fault},
};
use crate::{
    Family, HubConfig, Layout, ModelParts,
    file::{WriteError, write_atomic},
    mapped::Mapped,
};
use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QTensor},
};
use evidence::Digest;
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

const ALIGNMENT: usize = 32;
const VERSION: u32 = 3;

/// A tensor as it is stored: rows one behind another, each a whole number of blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    pub kind: GgmlDType,
    /// (outputs, inputs) of a matrix, (n,) of a vector.
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "a folder of the family `{family}` is not written as GGUF here, only `llama`, `mistral`, `qwen2` and `qwen3`; begin \
         with a GGUF file of the model, or keep the folder (`--quantize int8`)"
    )]
    Family { family: String },
    #[error("`{member}` of the configuration is not written as GGUF here; begin with a GGUF file of the model")]
    Member { member: &'static str },
    #[error("the tokenizer is not written as GGUF here: {found}; begin with a GGUF file of the model")]
    Tokenizer { found: String },
    #[error("GGUF has no place here for the tensor `{name}`; begin with a GGUF file of the model, or keep the folder")]
    Name { name: String },
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// A tensor in blocks of `kind`; rows must be a multiple of its block.
///
/// # Errors
/// Those of the tensors.
pub fn pack(tensor: &Tensor, kind: GgmlDType) -> candle_core::Result<Packed> {
    let bytes = if kind == GgmlDType::F32 {
        tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect()
    } else {
        QTensor::quantize(&tensor.contiguous()?, kind)?.data()?.into_owned()
    };
    Ok(Packed { kind, shape: tensor.dims().to_vec(), bytes })
}

/// The numbers that stored blocks stand for.
///
/// # Errors
/// Those of the tensors.
pub fn unpack(packed: &Packed) -> candle_core::Result<Tensor> {
    Tensor::from_vec(parse::numbers(packed.kind, &packed.bytes)?, packed.shape.as_slice(), &Device::Cpu)
}

/// Writes a model, whole or not at all, and gives the file's digest. Tensors are by hub name, matrices as (outputs, inputs).
///
/// The same input gives the same bytes. SPEC: GGUF version 3, ggml `docs/gguf.md`.
///
/// # Errors
/// `StoreError` naming what has no place in the format.
pub fn write(
    path: &Path,
    parts: &ModelParts,
    config: &HubConfig,
    tensors: &BTreeMap<String, Packed>,
) -> Result<Digest, StoreError> {
    let architecture = architecture(parts)?;
    let fields = match parts.layout {
        Layout::Gguf => copied(&parts.path, config, architecture, tensors)?,
        Layout::Folder => made(parts, config, architecture, tensors)?,
    };
    let heads = whole(config, &["num_attention_heads", "n_head"]).unwrap_or(1);
    let kv_heads = whole(config, &["num_key_value_heads"]).unwrap_or(heads);
    let mut named = BTreeMap::new();
    for (name, packed) in tensors {
        let stored = gguf_name(architecture, name).ok_or_else(|| StoreError::Name { name: name.clone() })?;
        let changed = match (architecture, stored.rsplit('.').nth(1)) {
            ("llama", Some("attn_q")) => interleaved(packed, heads),
            ("llama", Some("attn_k")) => interleaved(packed, kv_heads),
            ("gemma2" | "gemma3", Some(part)) if packed.shape.len() == 1 && part.ends_with("norm") => {
                pack(&unpack(packed)?.affine(1.0, 1.0)?, GgmlDType::F32)?
            }
            _ => packed.clone(),
        };
        named.insert(stored, changed);
    }
    Ok(write_atomic(path, &assembled(&fields, &named))?)
}

fn architecture(parts: &ModelParts) -> Result<&'static str, StoreError> {
    if parts.layout == Layout::Gguf {
        let model_type = parts.config.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let found = ARCHITECTURES.iter().find(|(_, known, _)| *known == model_type);
        return found.map(|(name, _, _)| *name).ok_or_else(|| StoreError::Family { family: parts.family.to_string() });
    }
    match parts.family {
        Family::Llama | Family::Mistral => Ok("llama"),
        Family::Qwen2 => Ok("qwen2"),
        Family::Qwen3 => Ok("qwen3"),
        other => Err(StoreError::Family { family: other.to_string() }),
    }
}

/// The name in the file of a tensor by its hub name.
fn gguf_name(architecture: &str, name: &str) -> Option<String> {
    const WHOLE: [&str; 5] =
        ["token_embd.weight", "position_embd.weight", "output_norm.weight", "output_norm.bias", "output.weight"];
    const PARTS: [&str; 14] = [
        "attn_norm",
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_qkv",
        "attn_output",
        "attn_q_norm",
        "attn_k_norm",
        "ffn_norm",
        "post_attention_norm",
        "post_ffw_norm",
        "ffn_gate",
        "ffn_up",
        "ffn_down",
    ];
    let is_it = |stored: &str| hub_name(architecture, stored).is_some_and(|(hub, stacked)| hub == name && !stacked);
    if let Some(whole) = WHOLE.into_iter().find(|whole| is_it(whole)) {
        return Some(whole.to_owned());
    }
    let layer: usize = name.split('.').find_map(|part| part.parse().ok())?;
    let kind = name.rsplit('.').next()?;
    PARTS.into_iter().map(|part| format!("blk.{layer}.{part}.{kind}")).find(|stored| is_it(stored))
}

/// Within each head, row i and row i + D/2 become rows 2i and 2i + 1.
fn interleaved(packed: &Packed, heads: usize) -> Packed {
    let rows = packed.shape[0];
    let (bytes, head) = (packed.bytes.len() / rows.max(1), rows / heads.max(1));
    let mut turned = Vec::with_capacity(packed.bytes.len());
    for at in 0..rows {
        let (start, within) = (at / head * head, at % head);
        let from = start + within / 2 + within % 2 * (head / 2);
        turned.extend_from_slice(&packed.bytes[from * bytes..][..bytes]);
    }
    Packed { bytes: turned, ..packed.clone() }
}

/// Key, and the field's type and value as they are written.
type Fields = Vec<(String, Vec<u8>)>;

fn typed(kind: u32, bytes: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes(), bytes].concat()
}

fn u32_field(value: usize) -> Vec<u8> {
    typed(4, &(value as u32).to_le_bytes())
}

fn f32_field(value: f64) -> Vec<u8> {
    typed(6, &(value as f32).to_le_bytes())
}

fn text_bytes(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn text_field(text: &str) -> Vec<u8> {
    typed(8, &text_bytes(text))
}

fn list_field(kind: u32, items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((items.len() as u64).to_le_bytes());
    bytes.extend(items.concat());
    typed(9, &bytes)
}

/// What the sizes of the (perhaps smaller) model are called.
const SIZES: [(&str, &[&str]); 4] = [
    ("block_count", &["num_hidden_layers", "n_layer"]),
    ("feed_forward_length", &["intermediate_size", "n_inner"]),
    ("attention.head_count", &["num_attention_heads", "n_head"]),
    ("attention.head_count_kv", &["num_key_value_heads"]),
];

/// The fields of the file that the model came from; sizes, head width and the type of most tensors as they are now.
fn copied(
    path: &Path,
    config: &HubConfig,
    architecture: &str,
    tensors: &BTreeMap<String, Packed>,
) -> Result<Fields, StoreError> {
    let read = |source| GgufError::Read { path: path.to_owned(), source };
    let damaged =
        |Fault { at, expected, found }: Fault| GgufError::Damaged { path: path.to_owned(), at, expected, found };
    let mapped = Mapped::open(path).map_err(read)?;
    let mut fields: Fields = parse::raw_fields(&mapped).map_err(damaged)?;
    let mut set = |key: String, value: Vec<u8>| match fields.iter_mut().find(|(held, _)| *held == key) {
        Some((_, held)) => *held = value,
        None => fields.push((key, value)),
    };
    for (key, members) in SIZES {
        if let Some(size) = whole(config, members) {
            set(format!("{architecture}.{key}"), u32_field(size));
        }
    }
    if let Some(head) = whole(config, &["head_dim"]) {
        set(format!("{architecture}.attention.key_length"), u32_field(head));
        set(format!("{architecture}.attention.value_length"), u32_field(head));
    }
    set("general.file_type".to_owned(), u32_field(file_type(tensors)));
    set("general.quantization_version".to_owned(), u32_field(2));
    Ok(fields)
}

fn whole(config: &HubConfig, members: &[&str]) -> Option<usize> {
    members.iter().find_map(|member| config.get(member)?.as_u64()).and_then(|value| usize::try_from(value).ok())
}

/// SPEC: ggml `llama_ftype`, by the type of most numbers in the layers.
fn file_type(tensors: &BTreeMap<String, Packed>) -> usize {
    const KINDS: [(GgmlDType, usize); 11] = [
        (GgmlDType::F32, 0),
        (GgmlDType::F16, 1),
        (GgmlDType::Q4_0, 2),
        (GgmlDType::Q4_1, 3),
        (GgmlDType::Q8_0, 7),
        (GgmlDType::Q5_0, 8),
        (GgmlDType::Q5_1, 9),
        (GgmlDType::Q2K, 10),
        (GgmlDType::Q4K, 14),
        (GgmlDType::Q5K, 16),
        (GgmlDType::Q6K, 18),
    ];
    let count = |kind: GgmlDType| -> usize {
        let of_kind = tensors.iter().filter(|(name, packed)| packed.kind == kind && name.contains(".layers."));
        of_kind.map(|(_, packed)| packed.shape.iter().product::<usize>()).sum()
    };
    KINDS.iter().max_by_key(|(kind, _)| count(*kind)).map_or(0, |(_, number)| *number)
}

/// The fields for a hub folder.
fn made(
    parts: &ModelParts,
    config: &HubConfig,
    architecture: &str,
    tensors: &BTreeMap<String, Packed>,
) -> Result<Fields, StoreError> {
    for member in ["rope_scaling", "quantization_config"] {
        let is_plain = config.get(member).is_none_or(|value| {
            value.get("rope_type").or_else(|| value.get("type")).and_then(Value::as_str) == Some("default")
        });
        if !is_plain {
            return Err(StoreError::Member { member });
        }
    }
    let key = |key: &str| format!("{architecture}.{key}");
    let number = |member: &str| config.get(member).and_then(Value::as_f64);
    let theta =
        number("rope_theta").or_else(|| config.get("rope_parameters")?.get("rope_theta")?.as_f64()).unwrap_or(10_000.0);
    let heads = whole(config, &["num_attention_heads"]).ok_or(StoreError::Member { member: "num_attention_heads" })?;
    let width = whole(config, &["hidden_size"]).ok_or(StoreError::Member { member: "hidden_size" })?;
    let head = whole(config, &["head_dim"]).unwrap_or(width / heads.max(1));
    let context = whole(config, &["max_position_embeddings"]).unwrap_or(2048);
    let vocab = tensors.get("model.embed_tokens.weight").map_or(0, |packed| packed.shape[0]);
    let mut fields: Fields = vec![
        ("general.architecture".to_owned(), text_field(architecture)),
        ("general.file_type".to_owned(), u32_field(file_type(tensors))),
        ("general.quantization_version".to_owned(), u32_field(2)),
        (key("context_length"), u32_field(context)),
        (key("embedding_length"), u32_field(width)),
        (key("attention.key_length"), u32_field(head)),
        (key("attention.value_length"), u32_field(head)),
        (key("attention.layer_norm_rms_epsilon"), f32_field(number("rms_norm_eps").unwrap_or(1e-6))),
        (key("rope.dimension_count"), u32_field(head)),
        (key("rope.freq_base"), f32_field(theta)),
        (key("vocab_size"), u32_field(vocab)),
    ];
    for (name, members) in SIZES {
        let size = whole(config, members).or_else(|| (name == "attention.head_count_kv").then_some(heads));
        fields.push((key(name), u32_field(size.ok_or(StoreError::Member { member: "num_hidden_layers" })?)));
    }
    fields.extend(tokenizer(parts, vocab)?);
    Ok(fields)
}

/// SPEC: `llama_token_type`: normal, control, user-defined, unused.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

fn tokenizer(parts: &ModelParts, vocab: usize) -> Result<Fields, StoreError> {
    let wrong = |found: &str| StoreError::Tokenizer { found: found.to_owned() };
    let text = parts.tokenizer.to_json().map_err(|error| wrong(&error.to_string()))?;
    let document: Value = serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
    let model = &document["model"];
    let pre = pre_tokenizer(&document["pre_tokenizer"]).filter(|_| model["type"] == "BPE");
    let pre = pre.ok_or_else(|| wrong("expected byte-level BPE"))?;
    let mut tokens: Vec<(String, i32)> = (0..vocab).map(|id| (format!("[PAD{id}]"), UNUSED)).collect();
    let mut put = |token: &str, id: Option<u64>, kind: i32| {
        let place = id.and_then(|id| tokens.get_mut(usize::try_from(id).ok()?));
        place.map(|place| *place = (token.to_owned(), kind)).ok_or_else(|| wrong("a token beyond the embedding"))
    };
    for (token, id) in model["vocab"].as_object().into_iter().flatten() {
        put(token, id.as_u64(), NORMAL)?;
    }
    for added in document["added_tokens"].as_array().into_iter().flatten() {
        let kind = if added["special"] == true { CONTROL } else { USER_DEFINED };
        put(added["content"].as_str().unwrap_or_default(), added["id"].as_u64(), kind)?;
    }
    let merge = |merge: &Value| match merge {
        Value::String(text) => Some(text.clone()),
        Value::Array(pair) => Some(format!("{} {}", pair.first()?.as_str()?, pair.get(1)?.as_str()?)),
        _ => None,
    };
    let merges: Option<Vec<String>> = model["merges"].as_array().into_iter().flatten().map(merge).collect();
    let merges = merges.ok_or_else(|| wrong("a merge that is no pair"))?;
    let key = |key: &str| format!("tokenizer.ggml.{key}");
    let texts = |texts: &mut dyn Iterator<Item = &String>| -> Vec<u8> {
        list_field(8, &texts.map(|text| text_bytes(text)).collect::<Vec<_>>())
    };
    let kinds: Vec<Vec<u8>> = tokens.iter().map(|(_, kind)| kind.to_le_bytes().to_vec()).collect();
    let mut fields: Fields = vec![
        (key("model"), text_field("gpt2")),
        (key("pre"), text_field(pre)),
        (key("tokens"), texts(&mut tokens.iter().map(|(token, _)| token))),
        (key("token_type"), list_field(5, &kinds)),
        (key("merges"), texts(&mut merges.iter())),
        (key("add_bos_token"), typed(7, &[u8::from(parts.tokenizer.adds_bos())])),
    ];
    let ids = [("bos_token_id", parts.tokenizer.bos()), ("eos_token_id", parts.tokenizer.eos().first().copied())];
    fields.extend(ids.into_iter().filter_map(|(name, id)| Some((key(name), u32_field(id? as usize)))));
    fields.extend(parts.tokenizer.chat_template().map(|text| ("tokenizer.chat_template".to_owned(), text_field(text))));
    Ok(fields)
}

/// How llama.cpp calls the way a text is cut. Source: `llama-vocab.cpp`.
fn pre_tokenizer(document: &Value) -> Option<&'static str> {
    let text = document.to_string();
    if !text.contains("ByteLevel") {
        return None;
    }
    let digits = r#""\\p{N}""#;
    Some(if text.contains(r"\\p{N}{1,3}") {
        "llama-bpe"
    } else if text.contains(r"(?i:'s|'t") {
        "qwen2"
    } else if text.contains(digits) || text.contains(r#""Digits""#) {
        "smollm"
    } else {
        "gpt-2"
    })
}

fn assembled(fields: &Fields, tensors: &BTreeMap<String, Packed>) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    // A file with another alignment gives its data the usual one here.
    let fields: Vec<_> = fields.iter().filter(|(key, _)| key != "general.alignment").collect();
    bytes.extend((fields.len() as u64).to_le_bytes());
    for (key, value) in fields {
        bytes.extend(text_bytes(key));
        bytes.extend_from_slice(value);
    }
    let mut offset = 0_usize;
    for (name, packed) in tensors {
        bytes.extend(text_bytes(name));
        bytes.extend((packed.shape.len() as u32).to_le_bytes());
        packed.shape.iter().rev().for_each(|size| bytes.extend((*size as u64).to_le_bytes()));
        bytes.extend(parse::ggml_number(packed.kind).to_le_bytes());
        bytes.extend((offset as u64).to_le_bytes());
        offset = (offset + packed.bytes.len()).next_multiple_of(ALIGNMENT);
    }
    for packed in tensors.values() {
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend_from_slice(&packed.bytes);
    }
    bytes
}
