//! Llama-style decoders, and the files they live in: safetensors, GGUF, `config.json`, `tokenizer.json`.
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
//! It does not train, read corpora or know what a policy is. Files from strangers are bounded and never run.

// Named only to turn on candle's AVX-512 matrix kernels, which are chosen at run time.
use gemm as _;

mod config;
pub mod file;
pub mod gguf;
mod llama;
mod random;
mod tokenizer;
pub mod weights;

pub use config::{Config, ConfigError, END_OF_TEXT_ID, Product};
pub use llama::{Llama, LlamaError};
pub use tokenizer::{END_OF_TEXT, Tokenizer, TokenizerError};
