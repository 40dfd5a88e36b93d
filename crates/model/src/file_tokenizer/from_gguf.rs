//! A GGUF file's words as a `tokenizer.json`.

use crate::gguf::hub::Words;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// SPEC: `llama_token_type`.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
/// Longer pieces are never joined from others; no vocabulary has one.
const PIECE_CHARS_MAX: usize = 256;
/// What stands for a space in SentencePiece.
const SPACE: &str = "\u{2581}";

/// How a text is cut before bytes are joined. Source: llama.cpp `llama-vocab.cpp`, by the name in `tokenizer.ggml.pre`.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";

/// Expected and found.
type Fault = (String, String);

pub(super) fn document(words: &Words) -> Result<Value, Fault> {
    let mut document = match words.model.as_str() {
        "gpt2" => byte_level(words)?,
        "llama" => sentence_piece(words)?,
        other => return Err(("a tokenizer of the model `gpt2` or `llama`".to_owned(), format!("`{other}`"))),
    };
    let begins = words.adds_bos.unwrap_or_else(|| words.model == "llama" || words.pre.as_deref() == Some("llama-bpe"));
    let ends = words.adds_eos.unwrap_or(false);
    if let Some(members) = document.as_object_mut() {
        members.insert("version".to_owned(), json!("1.0"));
        members.insert("added_tokens".to_owned(), added(words));
        members.insert("post_processor".to_owned(), template(words, begins, ends));
    }
    Ok(document)
}

fn vocab(words: &Words) -> Result<Map<String, Value>, Fault> {
    if words.tokens.is_empty() {
        return Err(("`tokenizer.ggml.tokens`".to_owned(), "no tokens".to_owned()));
    }
    Ok(words.tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect())
}

fn byte_level(words: &Words) -> Result<Value, Fault> {
    let pre = words.pre.as_deref().unwrap_or("gpt-2");
    let cuts: &[&str] = match pre {
        "gpt-2" | "gpt2" | "default" | "olmo" | "phi-2" | "jina-es" | "jina-de" | "mpt" => &[GPT2],
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" => &[DIGIT, GPT2],
        "llama-bpe" | "llama3" | "llama-v3" | "dbrx" | "smaug-bpe" => &[LLAMA3],
        "qwen2" | "deepseek-r1-qwen" | "megrez" | "stablelm2" => &[QWEN2],
        other => {
            let known = "gpt-2`, `smollm`, `llama-bpe`, `qwen2` or a kin of theirs";
            return Err((format!("`tokenizer.ggml.pre` to be `{known}"), format!("`{other}`")));
        }
    };
    let mut steps: Vec<Value> = cuts
        .iter()
        .map(|cut| json!({"type": "Split", "pattern": {"Regex": cut}, "behavior": "Isolated", "invert": false}))
        .collect();
    steps.push(json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}));
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    Ok(json!({
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": cuts == [LLAMA3],
            "vocab": vocab(words)?,
            "merges": words.merges,
        },
    }))
}

/// SentencePiece joins the pair whose piece has the best score; as merges, in the order of the scores.
///
/// Source: `SentencePieceExtractor` of the hub's library.
fn sentence_piece(words: &Words) -> Result<Value, Fault> {
    if words.scores.len() != words.tokens.len() {
        let expected = format!("`tokenizer.ggml.scores` of {} tokens", words.tokens.len());
        return Err((expected, words.scores.len().to_string()));
    }
    let ids: HashMap<&str, usize> = words.tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let mut merges: Vec<(f32, usize, usize, usize)> = Vec::new();
    for (id, token) in words.tokens.iter().enumerate() {
        if token.chars().count() > PIECE_CHARS_MAX || words.kinds.get(id).is_some_and(|kind| *kind == CONTROL) {
            continue;
        }
        let mut local: Vec<(usize, usize)> = token
            .char_indices()
            .skip(1)
            .filter_map(|(at, _)| Some((*ids.get(&token[..at])?, *ids.get(&token[at..])?)))
            .collect();
        local.sort_unstable();
        merges.extend(local.into_iter().map(|(left, right)| (words.scores[id], id, left, right)));
    }
    // Stable: of equal scores the token that stands first is joined first.
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    let merges: Vec<Value> =
        merges.iter().map(|&(_, _, left, right)| json!([words.tokens[left], words.tokens[right]])).collect();
    let unknown = words.unknown.unwrap_or(0) as usize;
    let mut normalizers = Vec::new();
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if words.adds_space.unwrap_or(true) {
        normalizers.push(json!({"type": "Prepend", "prepend": SPACE}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    normalizers.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE}));
    Ok(json!({
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": words.tokens.get(unknown),
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": true,
            "ignore_merges": false,
            "vocab": vocab(words)?,
            "merges": merges,
        },
    }))
}

/// Control tokens and the user's own, which no text is cut through.
fn added(words: &Words) -> Value {
    let token = |(id, kind): (usize, &i64)| {
        let content = words.tokens.get(id).filter(|token| !token.is_empty())?;
        (*kind == CONTROL || *kind == USER_DEFINED).then(|| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind == CONTROL,
            })
        })
    };
    words.kinds.iter().enumerate().filter_map(token).collect()
}

fn template(words: &Words, begins: bool, ends: bool) -> Value {
    let special = |is_added: bool, id: Option<u32>| {
        let id = id.filter(|_| is_added)?;
        Some((words.tokens.get(id as usize)?.clone(), id))
    };
    let (bos, eos) = (special(begins, words.bos), special(ends, words.eos));
    if bos.is_none() && eos.is_none() {
        return Value::Null;
    }
    let piece = |token: &Option<(String, u32)>, kind: u32| {
        token.iter().map(|(token, _)| json!({"SpecialToken": {"id": token, "type_id": kind}})).collect::<Vec<_>>()
    };
    let sequence = |name: &str, kind: u32| {
        let text = json!({"Sequence": {"id": name, "type_id": kind}});
        [piece(&bos, kind), vec![text], piece(&eos, kind)].concat()
    };
    let specials: Map<String, Value> = [&bos, &eos]
        .into_iter()
        .flatten()
        .map(|(token, id)| (token.clone(), json!({"id": token, "ids": [id], "tokens": [token]})))
        .collect();
    json!({
        "type": "TemplateProcessing",
        "single": sequence("A", 0),
        "pair": Value::Array([sequence("A", 0), sequence("B", 1)].concat()),
        "special_tokens": specials,
    })
}
