//! Every family against the hub's own library. `tests/fixtures/families.py` made the fixtures; it says how.

use crate::values;
use model::{Decoder, Family, HubConfig, Row};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Name of the fixture, and the family it is of.
const FIXTURES: [(&str, Family); 19] = [
    ("llama", Family::Llama),
    ("llama_linear", Family::Llama),
    ("llama_dynamic", Family::Llama),
    ("llama_yarn", Family::Llama),
    ("llama3", Family::Llama),
    ("mistral", Family::Mistral),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen3),
    ("gpt2", Family::Gpt2),
    ("gpt_neox", Family::GptNeoX),
    ("gpt_neox_serial", Family::GptNeoX),
    ("gemma2", Family::Gemma2),
    ("gemma3", Family::Gemma3),
    ("phi3", Family::Phi3),
    ("phi3_long", Family::Phi3),
    ("olmo2", Family::Olmo2),
    ("qwen3_moe", Family::Qwen3Moe),
    ("qwen3_moe_mixed", Family::Qwen3Moe),
    ("mixtral", Family::Mixtral),
];

pub(crate) struct Fixture {
    pub(crate) config: Value,
    pub(crate) weights: PathBuf,
    pub(crate) rows: Vec<Vec<u32>>,
    logits: Vec<Vec<f64>>,
}

pub(crate) fn fixture(name: &str) -> Fixture {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let token = |value: &Value| value.as_u64().unwrap() as u32;
    Fixture {
        config: document["config"].clone(),
        weights: folder.join(format!("{name}.safetensors")),
        rows: list(&document["tokens"]).iter().map(|row| list(row).iter().map(token).collect()).collect(),
        logits: list(&document["logits"])
            .iter()
            .map(|row| list(row).iter().flat_map(&list).map(|x| x.as_f64().unwrap()).collect())
            .collect(),
    }
}

pub(crate) fn decoder(fixture: &Fixture) -> (Family, Decoder) {
    let config = HubConfig::from_json(&fixture.config.to_string()).unwrap();
    model::decoder(&config, &fixture.weights).unwrap()
}

/// The largest difference of two logits, all rows packed into one call.
fn difference(decoder: &Decoder, fixture: &Fixture) -> f64 {
    let mut rows: Vec<Row> = fixture.rows.iter().map(|row| Row::alone(row)).collect();
    let found = values(&decoder.logits(&mut rows).unwrap());
    let expected: Vec<f64> = fixture.logits.concat();
    assert_eq!(found.len(), expected.len());
    found.into_iter().zip(expected).map(|(found, expected)| (f64::from(found) - expected).abs()).fold(0.0, f64::max)
}

/// Tolerance 1e-4: both sides compute in f32, and logits of up to 6 end some hundred roundings of 6e-8 each on numbers of
/// that size; a wrong pairing, window, scale or norm changes them by more than 0.01, as the next test shows.
#[test]
fn logits_are_those_of_the_hubs_library() {
    for (name, family) in FIXTURES {
        let fixture = fixture(name);
        let (found, decoder) = decoder(&fixture);
        assert_eq!(found, family, "{name}");
        let difference = difference(&decoder, &fixture);
        println!("{name}: largest difference {difference:.1e}");
        assert!(difference < 1e-4, "{name}: largest difference {difference:e}");
    }
}

/// Older files have `type` alone: what it says is what was found.
#[test]
fn an_unknown_scaling_is_named_by_the_member_that_names_it() {
    for (member, scaling) in
        [("type", json!({"type": "foo"})), ("rope_type", json!({"rope_type": "foo", "type": "bar"}))]
    {
        let mut fixture = fixture("llama_linear");
        fixture.config["rope_parameters"] = Value::Null;
        fixture.config["rope_scaling"] = scaling;
        let config = HubConfig::from_json(&fixture.config.to_string()).unwrap();
        let error = format!("{:?}", model::decoder(&config, &fixture.weights).err().unwrap());
        assert!(error.contains(&format!("member: \"{member}\"")) && error.contains("foo"), "{error}");
    }
}

/// The same models as llama.cpp lays them out. `tests/fixtures/families_gguf.py` made the files and had the hub's library
/// read all but OLMo 2's back, to logits within 5e-7 of the folders'; it says how.
#[test]
fn logits_of_gguf_files_are_those_of_the_folders() {
    for name in ["llama_linear", "qwen2", "qwen3", "gpt2", "gemma2", "gemma3", "phi3", "olmo2", "qwen3_moe"] {
        let mut fixture = fixture(name);
        let path = fixture.weights.with_extension("gguf");
        let model = model::open(&path).unwrap();
        // What the format has no place for is what llama.cpp takes it to be; the folder is asked the same.
        let taken: &[(&str, Value)] = match name {
            "qwen2" => &[("use_sliding_window", json!(false))],
            "gemma2" => &[("query_pre_attn_scalar", json!(16))],
            "gemma3" => &[
                ("query_pre_attn_scalar", json!(16)),
                ("layer_types", Value::Null),
                ("sliding_window_pattern", Value::Null),
            ],
            _ => &[],
        };
        if !taken.is_empty() {
            for (member, value) in taken {
                fixture.config[*member] = value.clone();
            }
            let (_, folder) = decoder(&fixture);
            let mut rows: Vec<Row> = fixture.rows.iter().map(|row| Row::alone(row)).collect();
            let expected = values(&folder.logits(&mut rows).unwrap());
            fixture.logits = vec![expected.into_iter().map(f64::from).collect()];
        }
        let difference = difference(&model.decoder, &fixture);
        assert!(difference < 1e-4, "{name}: largest difference {difference:e}");
        assert_eq!((model.tokenizer.bos(), model.tokenizer.eos()), (Some(1), &[2][..]), "{name}");
    }
}

/// Each member that changes the arithmetic of a family changes the logits: the fixtures would notice it ignored.
#[test]
fn members_that_matter_are_read() {
    for (name, member, value) in [
        ("llama_linear", "rope_parameters", json!({"rope_theta": 10000.0, "rope_type": "default"})),
        ("llama_dynamic", "rope_parameters", json!({"rope_theta": 10000.0, "rope_type": "default"})),
        ("llama3", "rope_parameters", json!({"rope_theta": 10000.0, "rope_type": "default"})),
        ("llama_yarn", "rope_parameters", json!({"rope_theta": 10000.0, "rope_type": "default"})),
        ("mistral", "sliding_window", Value::Null),
        ("qwen2", "layer_types", json!(["full_attention", "full_attention"])),
        ("qwen2", "use_sliding_window", json!(false)),
        ("gpt_neox", "use_parallel_residual", json!(false)),
        ("gpt_neox", "hidden_act", json!("gelu_new")),
        ("gpt2", "activation_function", json!("gelu")),
        ("gemma2", "attn_logit_softcapping", Value::Null),
        ("gemma2", "final_logit_softcapping", Value::Null),
        ("gemma2", "query_pre_attn_scalar", json!(16)),
        ("gemma3", "layer_types", json!(["full_attention", "sliding_attention", "full_attention"])),
        ("phi3_long", "original_max_position_embeddings", json!(32)),
        ("qwen3_moe", "norm_topk_prob", json!(false)),
        ("qwen3_moe", "num_experts_per_tok", json!(1)),
        ("mixtral", "num_experts_per_tok", json!(1)),
    ] {
        let mut fixture = fixture(name);
        fixture.config[member] = value;
        if name == "llama_dynamic" {
            fixture.config["max_position_embeddings"] = json!(32);
        }
        if member == "original_max_position_embeddings" {
            fixture.config["rope_parameters"][member] = json!(32);
        }
        let (_, decoder) = decoder(&fixture);
        // Activations differ least: their two forms of GELU are 0.0005 apart at most.
        let least = if member.contains("act") { 1e-4 } else { 0.01 };
        let difference = difference(&decoder, &fixture);
        assert!(difference > least, "{name} without {member}: {difference:e}");
    }
}

/// Versions before 5 of the hub's library wrote the base apart and the scaling under another name.
#[test]
fn configurations_of_older_versions_mean_the_same() {
    for (name, _) in FIXTURES {
        let mut fixture = fixture(name);
        let config = fixture.config.as_object_mut().unwrap();
        let Some(given) = config.remove("rope_parameters") else { continue };
        config.remove("layer_types");
        match name {
            "gemma3" => {
                config.insert("rope_theta".to_owned(), given["full_attention"]["rope_theta"].clone());
                config.insert("rope_local_base_freq".to_owned(), given["sliding_attention"]["rope_theta"].clone());
            }
            "gpt_neox" | "gpt_neox_serial" => {
                config.insert("rotary_emb_base".to_owned(), given["rope_theta"].clone());
                config.insert("rotary_pct".to_owned(), given["partial_rotary_factor"].clone());
            }
            _ => {
                config.insert("rope_theta".to_owned(), given["rope_theta"].clone());
                if given["rope_type"] != "default" {
                    let mut given = given.as_object().unwrap().clone();
                    given.remove("rope_theta");
                    let kind = given.remove("rope_type").unwrap();
                    given.insert("type".to_owned(), kind);
                    config.insert("rope_scaling".to_owned(), given.into());
                }
            }
        }
        let (_, decoder) = decoder(&fixture);
        let difference = difference(&decoder, &fixture);
        assert!(difference < 1e-4, "{name}: largest difference {difference:e}");
    }
}
