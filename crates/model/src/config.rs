//! The shape of a Llama-style decoder, and the hub's `config.json`.

use serde_json::{Value, json};

/// Token that stands before every document; also its end. Row 0 of the embedding.
pub const END_OF_TEXT_ID: u32 = 0;

const VOCAB_MAX: usize = 1 << 20;
const LAYERS_MAX: usize = 1 << 10;
const WIDTH_MAX: usize = 1 << 16;
const HIDDEN_MAX: usize = 1 << 18;
const CONTEXT_MAX: usize = 1 << 20;

/// Shape and constants of the decoder. Symbols: V, L, C, H, K, F, T as in the legend of `llama`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// V: rows of the embedding, 1 to 2^20.
    pub vocab: usize,
    /// L: decoder layers, 1 to 1024.
    pub layers: usize,
    /// C: channels of the residual stream, a multiple of `heads`, to 65536.
    pub width: usize,
    /// H: query heads; `width / heads` must be even, for the rotary embedding turns pairs.
    pub heads: usize,
    /// K: key and value heads, a divisor of `heads`; equal to it there is no grouping.
    pub kv_heads: usize,
    /// F: channels inside the feed-forward part, to 2^18.
    pub hidden: usize,
    /// T: most positions that are attended to, to 2^20.
    pub context: usize,
    /// Base of the rotary wavelengths; 10000 in the original (Su et al. 2021, section 3.2.2).
    pub rope_theta: f64,
    /// Added to the mean square before the root; 1e-5 in Llama 2.
    pub norm_eps: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("expected `{member}` from 1 to {max}, found {found}")]
    Limit { member: &'static str, max: usize, found: usize },
    #[error("expected `{part}` to divide `{whole}` = {whole_value}, found {part_value}")]
    Divides { part: &'static str, part_value: usize, whole: &'static str, whole_value: usize },
    #[error("expected an even number of channels a head, found `width` / `heads` = {0}")]
    OddHead(usize),
    #[error("expected `{member}` to be a finite number above 0, found {found}")]
    NotPositive { member: &'static str, found: String },
    #[error("{line}:{column}: expected JSON, {cause}")]
    Json { line: usize, column: usize, cause: String },
    #[error("expected `{member}` to be {expected}, found {found}")]
    Member { member: &'static str, expected: String, found: String },
}

/// One kind of matrix product of the forward pass: (m, k) times (k, n), done `count` times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub name: &'static str,
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub count: usize,
}

impl Config {
    /// Checks every limit, so that shapes derived from it neither overflow nor are empty.
    ///
    /// # Errors
    /// The first limit that does not hold.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (member, found, max) in [
            ("vocab", self.vocab, VOCAB_MAX),
            ("layers", self.layers, LAYERS_MAX),
            ("width", self.width, WIDTH_MAX),
            ("heads", self.heads, WIDTH_MAX),
            ("kv_heads", self.kv_heads, WIDTH_MAX),
            ("hidden", self.hidden, HIDDEN_MAX),
            ("context", self.context, CONTEXT_MAX),
        ] {
            if found == 0 || found > max {
                return Err(ConfigError::Limit { member, max, found });
            }
        }
        let divides = |part, part_value: usize, whole, whole_value: usize| {
            let error = ConfigError::Divides { part, part_value, whole, whole_value };
            whole_value.is_multiple_of(part_value).then_some(()).ok_or(error)
        };
        divides("heads", self.heads, "width", self.width)?;
        divides("kv_heads", self.kv_heads, "heads", self.heads)?;
        if !self.head_width().is_multiple_of(2) {
            return Err(ConfigError::OddHead(self.head_width()));
        }
        for (member, value) in [("rope_theta", self.rope_theta), ("norm_eps", self.norm_eps)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(ConfigError::NotPositive { member, found: value.to_string() });
            }
        }
        Ok(())
    }

    /// D: channels of one head.
    #[must_use]
    pub const fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// K × D: channels of all keys (and of all values).
    #[must_use]
    pub const fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width()
    }

    /// Every parameter by its hub name with its shape, in the order of the names.
    ///
    /// The projections are (out, in): a row of weights for each output channel.
    #[must_use]
    pub fn shapes(&self) -> std::collections::BTreeMap<String, Vec<usize>> {
        let (width, kv_width, hidden) = (self.width, self.kv_width(), self.hidden);
        let mut shapes = std::collections::BTreeMap::from([
            ("model.embed_tokens.weight".to_owned(), vec![self.vocab, width]),
            ("model.norm.weight".to_owned(), vec![width]),
        ]);
        for layer in 0..self.layers {
            for (part, shape) in [
                ("input_layernorm", vec![width]),
                ("self_attn.q_proj", vec![width, width]),
                ("self_attn.k_proj", vec![kv_width, width]),
                ("self_attn.v_proj", vec![kv_width, width]),
                ("self_attn.o_proj", vec![width, width]),
                ("post_attention_layernorm", vec![width]),
                ("mlp.gate_proj", vec![hidden, width]),
                ("mlp.up_proj", vec![hidden, width]),
                ("mlp.down_proj", vec![width, hidden]),
            ] {
                shapes.insert(format!("model.layers.{layer}.{part}.weight"), shape);
            }
        }
        shapes
    }

    /// Number of parameters; the tied embedding counts once.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        self.shapes().values().map(|shape| shape.iter().product::<usize>()).sum()
    }

    /// Every matrix product of one forward pass over `batch` rows of `positions` tokens.
    ///
    /// Attention is counted as computed: the whole T × T square, the masked half included. One product is 2·m·k·n FLOP,
    /// a multiplication and an addition counted as two.
    #[must_use]
    pub fn products(&self, batch: usize, positions: usize) -> Vec<Product> {
        let tokens = batch * positions;
        let (layers, head_width) = (self.layers, self.head_width());
        let product = |name, m, k, n, count| Product { name, m, k, n, count };
        vec![
            product("query", tokens, self.width, self.width, layers),
            product("key", tokens, self.width, self.kv_width(), layers),
            product("value", tokens, self.width, self.kv_width(), layers),
            product("scores", positions, head_width, positions, layers * batch * self.heads),
            product("mix", positions, positions, head_width, layers * batch * self.heads),
            product("output", tokens, self.width, self.width, layers),
            product("gate", tokens, self.width, self.hidden, layers),
            product("up", tokens, self.width, self.hidden, layers),
            product("down", tokens, self.hidden, self.width, layers),
            product("logits", tokens, self.width, self.vocab, 1),
        ]
    }

    /// The hub's `config.json` of a `LlamaForCausalLM` with tied embedding; the same bytes for the same configuration.
    #[must_use]
    pub fn to_json(&self) -> String {
        let document = json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "bos_token_id": END_OF_TEXT_ID,
            "eos_token_id": END_OF_TEXT_ID,
            "head_dim": self.head_width(),
            "hidden_act": "silu",
            "hidden_size": self.width,
            "intermediate_size": self.hidden,
            "max_position_embeddings": self.context,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": true,
            "torch_dtype": "float32",
            "vocab_size": self.vocab,
        });
        format!("{document:#}\n")
    }

    /// Reads a hub `config.json`. What this crate does not compute (biases, scaled rotary embedding, another activation,
    /// an untied head) is refused; members that change nothing are passed over.
    ///
    /// # Errors
    /// `Json` with line and column, `Member` naming the member, or a limit that does not hold.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let document: Value = serde_json::from_str(text).map_err(|error| {
            let cause = error.to_string();
            let cause = cause.split(" at line ").next().unwrap_or_default().to_owned();
            ConfigError::Json { line: error.line(), column: error.column(), cause }
        })?;
        require(&document, "model_type", &json!("llama"), None)?;
        require(&document, "tie_word_embeddings", &json!(true), None)?;
        require(&document, "hidden_act", &json!("silu"), Some(&json!("silu")))?;
        require(&document, "attention_bias", &json!(false), Some(&json!(false)))?;
        require(&document, "mlp_bias", &json!(false), Some(&json!(false)))?;
        require(&document, "rope_scaling", &Value::Null, Some(&Value::Null))?;
        let heads = count(&document, "num_attention_heads")?;
        let config = Self {
            vocab: count(&document, "vocab_size")?,
            layers: count(&document, "num_hidden_layers")?,
            width: count(&document, "hidden_size")?,
            heads,
            kv_heads: if document.get("num_key_value_heads").is_some() {
                count(&document, "num_key_value_heads")?
            } else {
                heads
            },
            hidden: count(&document, "intermediate_size")?,
            context: count(&document, "max_position_embeddings")?,
            rope_theta: number(&document, "rope_theta")?,
            norm_eps: number(&document, "rms_norm_eps")?,
        };
        config.validate()?;
        let head_width = json!(config.head_width());
        require(&document, "head_dim", &head_width, Some(&head_width))?;
        Ok(config)
    }
}

/// `absent` is what a missing member means; without it the member must be there.
fn require(
    document: &Value,
    member: &'static str,
    expected: &Value,
    absent: Option<&Value>,
) -> Result<(), ConfigError> {
    let found = document.get(member).or(absent);
    if found == Some(expected) { Ok(()) } else { Err(unexpected(member, &format!("`{expected}`"), found)) }
}

fn count(document: &Value, member: &'static str) -> Result<usize, ConfigError> {
    let found = document.get(member);
    let value = found.and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok());
    value.ok_or_else(|| unexpected(member, "a whole number", found))
}

fn number(document: &Value, member: &'static str) -> Result<f64, ConfigError> {
    let found = document.get(member);
    found.and_then(Value::as_f64).ok_or_else(|| unexpected(member, "a number", found))
}

fn unexpected(member: &'static str, expected: &str, found: Option<&Value>) -> ConfigError {
    let found = found.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
    ConfigError::Member { member, expected: expected.to_owned(), found }
}
