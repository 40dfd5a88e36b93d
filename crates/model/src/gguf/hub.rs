//! A GGUF file seen as a hub folder: its metadata as a configuration, its tensors under hub names.
//!
//! SPEC: ggml `docs/gguf.md`, standardized names; llama.cpp `convert_hf_to_gguf.py` for what the converter changes.

use super::{
    GgufError,
    parse::{self, Fault, Field, Header},
};
use crate::{
    HubConfig,
    hub::{Change, Kind, Stored, Tensors},
    mapped::Mapped,
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, path::Path};

/// The architectures that are read, with the hub's `model_type` and class.
pub(super) const ARCHITECTURES: [(&str, &str, &str); 9] = [
    ("llama", "llama", "LlamaForCausalLM"),
    ("qwen2", "qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "qwen3", "Qwen3ForCausalLM"),
    ("qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM"),
    ("gemma2", "gemma2", "Gemma2ForCausalLM"),
    ("gemma3", "gemma3_text", "Gemma3ForCausalLM"),
    ("phi3", "phi3", "Phi3ForCausalLM"),
    ("olmo2", "olmo2", "Olmo2ForCausalLM"),
    ("gpt2", "gpt2", "GPT2LMHeadModel"),
];
/// A stack of more is no stack of experts.
const EXPERTS_MAX: usize = 1 << 12;
/// Tensors that hold divisors of angles, not weights.
const DIVISORS: [&str; 3] = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/// What a GGUF file says of its tokenizer.
#[derive(Debug, Default, Clone)]
pub(crate) struct Words {
    pub(crate) model: String,
    pub(crate) pre: Option<String>,
    pub(crate) tokens: Vec<String>,
    pub(crate) scores: Vec<f32>,
    pub(crate) kinds: Vec<i64>,
    pub(crate) merges: Vec<String>,
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    pub(crate) unknown: Option<u32>,
    pub(crate) adds_bos: Option<bool>,
    pub(crate) adds_eos: Option<bool>,
    pub(crate) adds_space: Option<bool>,
    pub(crate) chat_template: Option<String>,
}

/// A file, read as far as its header.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) config: HubConfig,
    pub(crate) tensors: Tensors,
    pub(crate) words: Words,
    /// `general.name`, `general.license` and their like.
    pub(crate) card: BTreeMap<String, String>,
}

pub(crate) fn open(path: &Path) -> Result<Opened, GgufError> {
    let mapped = Mapped::open(path).map_err(|source| GgufError::Read { path: path.to_owned(), source })?;
    let damaged =
        |Fault { at, expected, found }: Fault| GgufError::Damaged { path: path.to_owned(), at, expected, found };
    let header = parse::header(&mapped).map_err(damaged)?;
    let architecture = text(&header, "general.architecture").unwrap_or_default();
    let Some(&(name, model_type, class)) = ARCHITECTURES.iter().find(|(name, _, _)| *name == architecture) else {
        let known = ARCHITECTURES.map(|(name, _, _)| name).join("`, `");
        return Err(GgufError::Architecture { path: path.to_owned(), known, found: architecture });
    };
    let source = Source { bytes: &mapped, header: &header, prefix: name };
    let config = source.config(model_type, class).map_err(damaged)?;
    let stored = source.stored().map_err(damaged)?;
    let card = ["name", "license", "basename", "size_label", "organization", "quantized_by"]
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), text(&header, &format!("general.{key}"))?)));
    Ok(Opened {
        config: HubConfig::of(config),
        card: card.collect(),
        words: words(&header),
        tensors: Tensors::of(vec![(path.to_owned(), mapped.clone())], stored),
    })
}

/// The tokenizer of a file that may hold nothing else.
pub(crate) fn words_of(path: &Path) -> Result<Words, GgufError> {
    let mapped = Mapped::open(path).map_err(|source| GgufError::Read { path: path.to_owned(), source })?;
    let header = parse::header(&mapped).map_err(|Fault { at, expected, found }| GgufError::Damaged {
        path: path.to_owned(),
        at,
        expected,
        found,
    })?;
    Ok(words(&header))
}

fn text(header: &Header, key: &str) -> Option<String> {
    match header.field(key) {
        Some(Field::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

fn words(header: &Header) -> Words {
    let key = |key: &str| format!("tokenizer.ggml.{key}");
    let texts = |name: &str| match header.field(&key(name)) {
        Some(Field::Texts(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let id = |name: &str| match header.field(&key(name)) {
        Some(Field::Whole(id)) => u32::try_from(*id).ok(),
        _ => None,
    };
    let truth = |name: &str| match header.field(&key(name)) {
        Some(Field::Truth(truth)) => Some(*truth),
        _ => None,
    };
    Words {
        model: text(header, &key("model")).unwrap_or_default(),
        pre: text(header, &key("pre")),
        tokens: texts("tokens"),
        scores: match header.field(&key("scores")) {
            Some(Field::Numbers(numbers)) => numbers.clone(),
            _ => Vec::new(),
        },
        kinds: match header.field(&key("token_type")) {
            Some(Field::Wholes(wholes)) => wholes.clone(),
            _ => Vec::new(),
        },
        merges: texts("merges"),
        bos: id("bos_token_id"),
        eos: id("eos_token_id"),
        unknown: id("unknown_token_id"),
        adds_bos: truth("add_bos_token"),
        adds_eos: truth("add_eos_token"),
        adds_space: truth("add_space_prefix"),
        chat_template: text(header, "tokenizer.chat_template"),
    }
}

struct Source<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    /// The architecture, which stands before every key.
    prefix: &'static str,
}

impl Source<'_> {
    fn count(&self, key: &str) -> Result<usize, Fault> {
        self.header.count(&format!("{}.{key}", self.prefix))
    }

    fn maybe(&self, key: &str) -> Option<usize> {
        self.count(key).ok()
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.header.number(&format!("{}.{key}", self.prefix)).ok().filter(|number| number.is_finite())
    }

    /// The hub's `config.json` for these metadata.
    fn config(&self, model_type: &str, class: &str) -> Result<Value, Fault> {
        let vocab = match self.header.tensors.get("token_embd.weight").map(|entry| entry.shape.as_slice()) {
            Some(&[vocab, _]) => vocab,
            _ => self.count("vocab_size")?,
        };
        let is_tied = !self.header.tensors.contains_key("output.weight");
        let mut members = if self.prefix == "gpt2" {
            json!({
                "n_embd": self.count("embedding_length")?,
                "n_head": self.count("attention.head_count")?,
                "n_layer": self.count("block_count")?,
                "n_positions": self.count("context_length")?,
                "n_inner": self.count("feed_forward_length")?,
                "layer_norm_epsilon": self.number("attention.layer_norm_epsilon").unwrap_or(1e-5),
                "activation_function": "gelu_new",
            })
        } else {
            self.usual()?
        };
        let ids = words(self.header);
        let words = [("bos_token_id", ids.bos), ("eos_token_id", ids.eos)];
        if let Some(members) = members.as_object_mut() {
            members.insert("model_type".to_owned(), json!(model_type));
            members.insert("architectures".to_owned(), json!([class]));
            members.insert("vocab_size".to_owned(), json!(vocab));
            members.insert("tie_word_embeddings".to_owned(), json!(is_tied));
            members.extend(words.into_iter().filter_map(|(name, id)| Some((name.to_owned(), json!(id?)))));
        }
        Ok(members)
    }

    fn usual(&self) -> Result<Value, Fault> {
        let (width, heads) = (self.count("embedding_length")?, self.count("attention.head_count")?);
        let kv_heads = match self.header.field(&format!("{}.attention.head_count_kv", self.prefix)) {
            None => heads,
            Some(_) => self.count("attention.head_count_kv")?,
        };
        let mut members = json!({
            "hidden_size": width,
            "num_hidden_layers": self.count("block_count")?,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "head_dim": self.maybe("attention.key_length").unwrap_or(width / heads.max(1)),
            "intermediate_size": self.count("feed_forward_length")?,
            "max_position_embeddings": self.count("context_length")?,
            "rms_norm_eps": self.number("attention.layer_norm_rms_epsilon").unwrap_or(1e-6),
            "hidden_act": "silu",
        });
        let theta = self.number("rope.freq_base");
        let window = self.maybe("attention.sliding_window").filter(|window| *window > 0);
        let Some(all) = members.as_object_mut() else { return Ok(members) };
        let mut set = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
        set("rope_theta", json!(theta.unwrap_or(if self.prefix == "gemma3" { 1e6 } else { 1e4 })));
        set("sliding_window", json!(window));
        match self.prefix {
            "llama" => {
                let is_biased = self.header.tensors.contains_key("blk.0.attn_q.bias");
                set("attention_bias", json!(is_biased));
                set("mlp_bias", json!(self.header.tensors.contains_key("blk.0.ffn_down.bias")));
            }
            "qwen3moe" => {
                set("num_experts", json!(self.count("expert_count")?));
                set("num_experts_per_tok", json!(self.count("expert_used_count")?));
                set("moe_intermediate_size", json!(self.count("expert_feed_forward_length")?));
                set("norm_topk_prob", json!(true));
                let is_dense =
                    |layer: &usize| self.header.tensors.contains_key(&format!("blk.{layer}.ffn_gate.weight"));
                let layers = self.count("block_count")?.min(self.header.tensors.len());
                set("mlp_only_layers", json!((0..layers).filter(is_dense).collect::<Vec<usize>>()));
            }
            "gemma2" | "gemma3" => {
                set("hidden_activation", json!("gelu_pytorch_tanh"));
                // The key is not kept; by the converter's models it is the head's width, except for one size.
                let head = self.maybe("attention.key_length").unwrap_or(256);
                let large = (self.prefix, self.maybe("block_count"));
                let scalar = match large {
                    ("gemma2", Some(46)) | ("gemma3", Some(62)) => width / heads.max(1),
                    _ => head,
                };
                set("query_pre_attn_scalar", json!(scalar));
                if self.prefix == "gemma2" {
                    set("attn_logit_softcapping", json!(self.number("attn_logit_softcapping")));
                    set("final_logit_softcapping", json!(self.number("final_logit_softcapping")));
                }
            }
            _ => {}
        }
        self.stretched(all)?;
        Ok(members)
    }

    /// How positions are stretched: by name and factor, or by divisors that stand among the tensors.
    fn stretched(&self, all: &mut Map<String, Value>) -> Result<(), Fault> {
        let divisors = |name: &str| self.divisors(name);
        let original = self.maybe("rope.scaling.original_context_length");
        let scaling = match (divisors("rope_freqs.weight")?, divisors("rope_factors_long.weight")?) {
            (Some(all), _) => json!({
                "rope_type": "longrope", "short_factor": all, "long_factor": all, "attention_factor": 1.0,
            }),
            (None, Some(long)) => json!({
                "rope_type": "longrope",
                "short_factor": divisors("rope_factors_short.weight")?,
                "long_factor": long,
                "attention_factor": self.number("rope.scaling.attn_factor"),
                "original_max_position_embeddings": original,
            }),
            (None, None) => match text(self.header, &format!("{}.rope.scaling.type", self.prefix)).as_deref() {
                Some(kind @ ("linear" | "yarn")) => json!({
                    "rope_type": kind,
                    "factor": self.number("rope.scaling.factor"),
                    "original_max_position_embeddings": original,
                }),
                _ => return Ok(()),
            },
        };
        all.insert("rope_scaling".to_owned(), scaling);
        Ok(())
    }

    fn divisors(&self, name: &str) -> Result<Option<Vec<f32>>, Fault> {
        let Some(entry) = self.header.tensors.get(name) else { return Ok(None) };
        let (kind, place) = parse::place(self.bytes.len(), self.header, name, entry)?;
        let numbers = parse::numbers(kind, &self.bytes[place]).map_err(|error| Fault {
            at: entry.at,
            expected: format!("numbers in `{name}`"),
            found: error.to_string(),
        })?;
        Ok(Some(numbers))
    }

    /// Every tensor, under its hub name.
    fn stored(&self) -> Result<BTreeMap<String, Stored>, Fault> {
        let heads = self.maybe("attention.head_count").unwrap_or(1);
        let kv_heads = self.maybe("attention.head_count_kv").unwrap_or(heads);
        let mut stored = BTreeMap::new();
        for (name, entry) in self.header.tensors.iter().filter(|(name, _)| !DIVISORS.contains(&name.as_str())) {
            let (kind, place) = parse::place(self.bytes.len(), self.header, name, entry)?;
            let Some((hub_name, is_stacked)) = hub_name(self.prefix, name) else {
                let expected = format!("a tensor that the architecture `{}` has", self.prefix);
                return Err(Fault { at: entry.at, expected, found: format!("`{name}`") });
            };
            let change = match (self.prefix, name.rsplit('.').nth(1), entry.shape.len()) {
                ("llama", Some("attn_q"), _) => Change::Separate { heads },
                ("llama", Some("attn_k"), _) => Change::Separate { heads: kv_heads },
                ("gemma2" | "gemma3", Some(part), 1) if part.ends_with("norm") => Change::LessOne,
                ("gpt2", Some("attn_qkv" | "attn_output" | "ffn_up" | "ffn_down"), 2) => Change::Transpose,
                _ => Change::None,
            };
            let whole = Stored { file: 0, kind: Kind::Ggml(kind), shape: entry.shape.clone(), place, change };
            if is_stacked {
                stored.extend(unstacked(&whole, &hub_name));
            } else {
                stored.insert(hub_name, whole);
            }
        }
        Ok(stored)
    }
}

/// Experts stand one behind another in one tensor (experts, out, in).
fn unstacked(whole: &Stored, hub_name: &str) -> Vec<(String, Stored)> {
    let alone = || vec![(hub_name.to_owned(), whole.clone())];
    let &[n, out, inputs] = whole.shape.as_slice() else { return alone() };
    if n > EXPERTS_MAX {
        return alone();
    }
    let bytes = whole.place.len() / n.max(1);
    let one = |expert: usize| {
        let start = whole.place.start + expert * bytes;
        let part = Stored { shape: vec![out, inputs], place: start..start + bytes, ..whole.clone() };
        (hub_name.replace("{}", &expert.to_string()), part)
    };
    (0..n).map(one).collect()
}

/// The hub's name, and whether the tensor is a stack of experts (`{}` stands for their number).
pub(super) fn hub_name(architecture: &str, name: &str) -> Option<(String, bool)> {
    if architecture == "gpt2" {
        return gpt2_name(name).map(|name| (name, false));
    }
    let whole = match name {
        "token_embd.weight" => Some("model.embed_tokens.weight"),
        "output_norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        _ => None,
    };
    if let Some(whole) = whole {
        return Some((whole.to_owned(), false));
    }
    let (layer, part, kind) = block(name)?;
    let is_gemma = architecture.starts_with("gemma");
    let (part, is_stacked) = match part {
        "attn_norm" => ("input_layernorm", false),
        "attn_q" => ("self_attn.q_proj", false),
        "attn_k" => ("self_attn.k_proj", false),
        "attn_v" => ("self_attn.v_proj", false),
        "attn_qkv" => ("self_attn.qkv_proj", false),
        "attn_output" => ("self_attn.o_proj", false),
        "attn_q_norm" => ("self_attn.q_norm", false),
        "attn_k_norm" => ("self_attn.k_norm", false),
        "ffn_norm" if is_gemma => ("pre_feedforward_layernorm", false),
        "ffn_norm" => ("post_attention_layernorm", false),
        "post_attention_norm" => ("post_attention_layernorm", false),
        "post_ffw_norm" => ("post_feedforward_layernorm", false),
        "ffn_gate" => ("mlp.gate_proj", false),
        "ffn_up" if architecture == "phi3" => ("mlp.gate_up_proj", false),
        "ffn_up" => ("mlp.up_proj", false),
        "ffn_down" => ("mlp.down_proj", false),
        "ffn_gate_inp" => ("mlp.gate", false),
        "ffn_gate_exps" => ("mlp.experts.{}.gate_proj", true),
        "ffn_up_exps" => ("mlp.experts.{}.up_proj", true),
        "ffn_down_exps" => ("mlp.experts.{}.down_proj", true),
        _ => return None,
    };
    Some((format!("model.layers.{layer}.{part}.{kind}"), is_stacked))
}

fn gpt2_name(name: &str) -> Option<String> {
    let whole = match name {
        "token_embd.weight" => Some("transformer.wte.weight"),
        "position_embd.weight" => Some("transformer.wpe.weight"),
        "output_norm.weight" => Some("transformer.ln_f.weight"),
        "output_norm.bias" => Some("transformer.ln_f.bias"),
        "output.weight" => Some("lm_head.weight"),
        _ => None,
    };
    if let Some(whole) = whole {
        return Some(whole.to_owned());
    }
    let (layer, part, kind) = block(name)?;
    let part = match part {
        "attn_norm" => "ln_1",
        "ffn_norm" => "ln_2",
        "attn_qkv" => "attn.c_attn",
        "attn_output" => "attn.c_proj",
        "ffn_up" => "mlp.c_fc",
        "ffn_down" => "mlp.c_proj",
        _ => return None,
    };
    Some(format!("transformer.h.{layer}.{part}.{kind}"))
}

/// `blk.LAYER.PART.KIND`
fn block(name: &str) -> Option<(usize, &str, &str)> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    matches!(kind, "weight" | "bias").then_some((layer.parse().ok()?, part, kind))
}
