use crate::{chain, small};
use model::{Config, Llama};

#[test]
fn a_limit_that_does_not_hold_is_named_with_what_was_found() {
    let base = small(300);
    let table: [(Config, &str); 9] = [
        (Config { vocab: 0, ..base.clone() }, "expected `vocab` from 1 to 1048576, found 0"),
        (Config { layers: 0, ..base.clone() }, "expected `layers` from 1 to 1024, found 0"),
        (Config { context: 1 << 21, ..base.clone() }, "expected `context` from 1 to 1048576, found 2097152"),
        (Config { heads: 3, ..base.clone() }, "expected `heads` to divide `width` = 32, found 3"),
        (Config { kv_heads: 3, ..base.clone() }, "expected `kv_heads` to divide `heads` = 4, found 3"),
        (
            Config { heads: 32, kv_heads: 2, ..base.clone() },
            "expected an even number of channels a head, found `width` / `heads` = 1",
        ),
        (Config { norm_eps: 0.0, ..base.clone() }, "expected `norm_eps` to be a finite number above 0, found 0"),
        (Config { norm_eps: f64::NAN, ..base.clone() }, "expected `norm_eps` to be a finite number above 0, found NaN"),
        (
            Config { rope_theta: f64::INFINITY, ..base.clone() },
            "expected `rope_theta` to be a finite number above 0, found inf",
        ),
    ];
    for (config, message) in table {
        assert_eq!(config.validate().unwrap_err().to_string(), message);
    }
    let error = Llama::init(&Config { heads: 3, ..base }, 1).unwrap_err();
    assert_eq!(
        chain(&error),
        "the configuration cannot be computed: expected `heads` to divide `width` = 32, found 3"
    );
}

#[test]
fn the_hub_file_reads_back_as_it_was() {
    for config in [
        small(300),
        Config { rope_theta: 500_000.0, norm_eps: 1e-6, kv_heads: 1, ..small(49_152) },
        Config { kv_heads: 4, ..small(1) },
    ] {
        assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
        assert_eq!(config.to_json(), config.to_json());
    }
}

/// The members the hub's own loader needs, written from its documentation of `LlamaConfig`.
#[test]
fn the_hub_file_has_the_members_of_the_hub() {
    let expected = r#"{
  "architectures": [
    "LlamaForCausalLM"
  ],
  "attention_bias": false,
  "bos_token_id": 0,
  "eos_token_id": 0,
  "head_dim": 8,
  "hidden_act": "silu",
  "hidden_size": 32,
  "intermediate_size": 64,
  "max_position_embeddings": 16,
  "mlp_bias": false,
  "model_type": "llama",
  "num_attention_heads": 4,
  "num_hidden_layers": 2,
  "num_key_value_heads": 2,
  "rms_norm_eps": 0.00001,
  "rope_theta": 10000.0,
  "tie_word_embeddings": true,
  "torch_dtype": "float32",
  "vocab_size": 300
}
"#;
    assert_eq!(small(300).to_json().replace("1e-5", "0.00001"), expected);
}

#[test]
fn a_hub_file_this_crate_cannot_compute_is_refused_by_its_member() {
    let file = small(300).to_json();
    for (from, to, message) in [
        ("\"llama\"", "\"mistral\"", "expected `model_type` to be `\"llama\"`, found `\"mistral\"`"),
        (
            "\"tie_word_embeddings\": true",
            "\"tie_word_embeddings\": false",
            "expected `tie_word_embeddings` to be `true`, found `false`",
        ),
        ("\"silu\"", "\"gelu\"", "expected `hidden_act` to be `\"silu\"`, found `\"gelu\"`"),
        ("\"mlp_bias\": false", "\"mlp_bias\": true", "expected `mlp_bias` to be `false`, found `true`"),
        ("\"head_dim\": 8", "\"head_dim\": 16", "expected `head_dim` to be `8`, found `16`"),
        ("\"hidden_size\": 32", "\"hidden_size\": 32.5", "expected `hidden_size` to be a whole number, found `32.5`"),
        ("\"vocab_size\"", "\"vocab\"", "expected `vocab_size` to be a whole number, found nothing"),
        (
            "\"vocab_size\": 300",
            "\"rope_scaling\": {\"factor\": 8}, \"vocab_size\": 300",
            "expected `rope_scaling` to be `null`, found `{\"factor\":8}`",
        ),
        ("\"vocab_size\": 300", "\"vocab_size\" 300", "22:16: expected JSON, expected `:`"),
        ("\"vocab_size\": 300", "\"vocab_size\": 0", "expected `vocab` from 1 to 1048576, found 0"),
    ] {
        assert!(file.contains(from), "{from}");
        assert_eq!(Config::from_json(&file.replacen(from, to, 1)).unwrap_err().to_string(), message);
    }
}

/// By hand: embedding 300·32; a layer q and o 32·32, k and v 16·32, three of 64·32, two norms 32; the last norm 32.
#[test]
fn parameters_are_counted_once() {
    let config = small(300);
    let expected = 300 * 32 + 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32 + 2 * 32) + 32;
    assert_eq!(config.n_parameters(), expected);
    let llama = Llama::init(&config, 1).unwrap();
    assert_eq!(llama.n_parameters(), expected);
    assert_eq!(llama.parameters().values().map(|parameter| parameter.elem_count()).sum::<usize>(), expected);
}

/// By hand, from the closed form: 2·N·(weights of the matrices, embedding once) + 4·L·B·T²·C, N = B·T.
#[test]
fn products_add_up_to_the_closed_form() {
    let (batch, positions) = (3, 5);
    let flop: usize = small(300).products(batch, positions).iter().map(|p| 2 * p.m * p.k * p.n * p.count).sum();
    let matrices = 300 * 32 + 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32);
    assert_eq!(flop, 2 * 15 * matrices + 4 * 2 * 3 * 25 * 32);
}
