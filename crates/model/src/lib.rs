//! Decoders, and the files they live in: safetensors, GGUF, `config.json`, `tokenizer.json`. One Llama-style decoder that
//! is trained here (`Llama`), and every family that others have trained (`open`).
//!
//! In: a configuration and a seed, or files. Out: logits at every position with their gradient, and the same files again,
//! each written whole or not at all.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use model::{Config, Llama, Tokenizer};
//!
//! let tokenizer = Tokenizer::train(&["we the people", "we hold these truths"], 300)?;
//! let config = Config {
//!     vocab: tokenizer.vocab_size(), layers: 2, width: 32, heads: 4, kv_heads: 2, hidden: 64, context: 16,
//!     rope_theta: 10_000.0, norm_eps: 1e-5,
//! };
//! let llama = Llama::init(&config, 7)?;
//! let tokens = tokenizer.encode("we the people");
//! let logits = llama.logits(&Tensor::new(tokens.as_slice(), &Device::Cpu)?.unsqueeze(0)?)?;
//! assert_eq!(logits.dims(), [1, tokens.len(), config.vocab]);
//! assert_eq!(tokenizer.decode(&tokens)?, "we the people");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Any open-weight model of a known family is opened by its path, a hub folder or a GGUF file, and computed with a cache:
//!
//! ```no_run
//! use model::{Row, Specials, Target};
//!
//! let model = model::open("SmolLM2-135M-Instruct".as_ref())?;
//! let context = model.tokenizer.encode("The sky is", Specials::AsFile)?;
//! let answer = model.tokenizer.encode(" blue", Specials::None)?;
//! // What stands before is computed once, whatever follows it.
//! let mut prefix = model.decoder.cache();
//! let (last, before) = context.split_last().ok_or("no text")?;
//! model.decoder.prefill(&mut [Row { tokens: before, cache: Some(&mut prefix), targets: &[] }])?;
//! let targets = [Target { position: 0, token: answer[0] }];
//! let scored = model.decoder.log_probs(&mut [Row { tokens: &[*last], cache: Some(&mut prefix), targets: &targets }])?;
//! println!("{} nats", scored[0][0].log_prob);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It does not train, read corpora or know what a policy is. Files from strangers are bounded and never run.

mod adapters;
pub mod card;
pub mod chat;
mod classes;
mod config;
mod decoder;
mod family;
pub mod file;
mod file_tokenizer;
pub mod gguf;
mod hub;
mod llama;
mod mapped;
mod open;
mod parts;
pub mod pass;
pub mod profile;
mod random;
mod tokenizer;
pub mod weights;
mod write;

pub use adapters::{AdapterError, Adapters, adapters_file, is_adapters};
pub use classes::Below;
pub use config::{Config, ConfigError, END_OF_TEXT_ID, Product};
pub use decoder::{
    Ahead, Cache, Decoder, DecoderError, Drawn, Observe, Row, Sampled, Sampling, Scored, Site, Start, Target, site,
};
pub use family::Family;
pub use file_tokenizer::{FileTokenizer, FileTokenizerError, Specials};
pub use hub::{HubConfig, TensorError};
pub use llama::{Llama, LlamaError};
pub use open::{
    Layout, Model, OpenError, OpenOptions, Trainable, decoder, gguf_tokenizer, open, open_digested, open_with,
    trainable,
};
pub use parts::{ModelParts, NamedTensors, take_apart};
pub use tokenizer::{END_OF_TEXT, Tokenizer, TokenizerError};
pub use write::{Stored, WriteFolderError, write_changed, write_folder};
