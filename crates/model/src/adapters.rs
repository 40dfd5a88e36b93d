//! Low-rank adapters beside held weights, in the layout of PEFT: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Source: Hu et al. 2021, "LoRA": y = x · Wᵀ + α/r · (x · Aᵀ) · Bᵀ, with A normal and B zero at first, so that the model begins as
//! it was.

use crate::{
    Llama, LlamaError,
    file::{WriteError, write_atomic},
    random::Normal,
    weights::{self, WeightsError},
};
use candle_core::{Device, Tensor, Var};
use evidence::{Digest, Json};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// What PEFT puts before the names of the model.
const PREFIX: &str = "base_model.model.";
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Of the metadata of the weights: which model they stand beside, by what it weighs. No other program writes or reads it.
const BASE_WEIGHTS: &str = "base_weights_sha256";
/// Projections of a layer that an adapter may stand beside.
const PROJECTIONS: [(&str, &str); 7] = [
    ("self_attn", "q_proj"),
    ("self_attn", "k_proj"),
    ("self_attn", "v_proj"),
    ("self_attn", "o_proj"),
    ("mlp", "gate_proj"),
    ("mlp", "up_proj"),
    ("mlp", "down_proj"),
];

/// | symbol | field | range | default | whence |
/// |---|---|---|---|---|
/// | r | `rank` | 1 to the smaller side of a weight | 8 | Hu et al. 2021, section 7.2 |
/// | α | `alpha` | over 0 | 16 | PEFT's documentation: twice the rank |
#[derive(Debug, Clone, PartialEq)]
pub struct Adapters {
    pub rank: usize,
    pub alpha: f64,
    /// Last parts of the names of the projections, such as `q_proj`.
    pub targets: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    #[error("expected projections among {}, found `{found}`", names())]
    Target { found: String },
    #[error("expected a rank from 1 to {max}, the smaller side of `{name}`, found {found}")]
    Rank { name: String, max: usize, found: usize },
    #[error("expected `alpha` to be a finite number above 0, found {0}")]
    Alpha(f64),
    #[error("the model has adapters already; merge them first")]
    Twice,
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}`: expected {expected}, found {found}", path.display())]
    Config { path: PathBuf, expected: String, found: String },
    #[error(
        "`{}` was trained beside a model with weights sha256:{expected}, found sha256:{found}; name the model it belongs to",
        path.display()
    )]
    Base { path: PathBuf, expected: Digest, found: Digest },
    #[error("`{}` is not an adapter of this model", path.display())]
    Mismatch { path: PathBuf, source: Box<LlamaError> },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

fn names() -> String {
    PROJECTIONS.map(|(_, name)| format!("`{name}`")).join(", ")
}

impl Adapters {
    fn check(&self, model: &Llama) -> Result<(), AdapterError> {
        if model.adapters().is_some() {
            return Err(AdapterError::Twice);
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(AdapterError::Alpha(self.alpha));
        }
        let unknown = |target: &&String| !PROJECTIONS.iter().any(|(_, name)| name == target);
        if let Some(found) = self.targets.iter().find(unknown) {
            return Err(AdapterError::Target { found: found.clone() });
        }
        if self.targets.is_empty() {
            return Err(AdapterError::Target { found: String::new() });
        }
        for (name, dims) in self.places(model) {
            let max = dims[0].min(dims[1]);
            if !(1..=max).contains(&self.rank) {
                return Err(AdapterError::Rank { name, max, found: self.rank });
            }
        }
        Ok(())
    }

    /// The projections that get one, without `.weight`, with their (out, in).
    fn places(&self, model: &Llama) -> Vec<(String, Vec<usize>)> {
        let is_taken = |name: &str| self.targets.iter().any(|target| name.ends_with(&format!(".{target}")));
        let shapes = model.config().shapes().into_iter();
        let shapes = shapes.filter_map(|(name, dims)| Some((name.strip_suffix(".weight")?.to_owned(), dims)));
        shapes.filter(|(name, _)| is_taken(name)).collect()
    }

    /// Shapes of A and B, by the names of the hub's library without its prefix.
    fn shapes(&self, model: &Llama) -> BTreeMap<String, Vec<usize>> {
        let both = |(name, dims): (String, Vec<usize>)| {
            let [down, up] = pair(&name);
            [(down, vec![self.rank, dims[1]]), (up, vec![dims[0], self.rank])]
        };
        self.places(model).into_iter().flat_map(both).collect()
    }

    fn to_json(&self, base: &str) -> String {
        let document = json!({
            "base_model_name_or_path": base,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "lora_alpha": self.alpha,
            "lora_dropout": 0.0,
            "peft_type": "LORA",
            "r": self.rank,
            "target_modules": self.targets,
            "task_type": "CAUSAL_LM",
        });
        format!("{document:#}\n")
    }

    fn from_json(path: &Path, text: &str) -> Result<Self, AdapterError> {
        let config = |expected: &str, found: &str| AdapterError::Config {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found: found.chars().take(80).collect(),
        };
        let document: Value =
            serde_json::from_str(text).map_err(|error| config("a JSON document", &error.to_string()))?;
        let shown = |member: &str| document.get(member).map_or_else(|| "nothing".to_owned(), Value::to_string);
        for (member, allowed) in [
            ("peft_type", &[json!("LORA")][..]),
            ("bias", &[json!("none"), Value::Null]),
            ("fan_in_fan_out", &[json!(false), Value::Null]),
            ("use_dora", &[json!(false), Value::Null]),
            ("use_rslora", &[json!(false), Value::Null]),
            ("modules_to_save", &[Value::Null]),
            ("rank_pattern", &[json!({}), Value::Null]),
            ("alpha_pattern", &[json!({}), Value::Null]),
        ] {
            if !allowed.contains(document.get(member).unwrap_or(&Value::Null)) {
                return Err(config(&format!("`{member}` to be `{}`", allowed[0]), &shown(member)));
            }
        }
        let rank = document.get("r").and_then(Value::as_u64).and_then(|rank| usize::try_from(rank).ok());
        let alpha = document.get("lora_alpha").and_then(Value::as_f64);
        let targets = document.get("target_modules").and_then(Value::as_array);
        let targets = targets.and_then(|list| list.iter().map(|name| name.as_str().map(str::to_owned)).collect());
        match (rank, alpha, targets) {
            (Some(rank), Some(alpha), Some(targets)) => Ok(Self { rank, alpha, targets }),
            (None, _, _) => Err(config("`r` to be a whole number", &shown("r"))),
            (_, None, _) => Err(config("`lora_alpha` to be a number", &shown("lora_alpha"))),
            _ => Err(config("`target_modules` to be a list of names", &shown("target_modules"))),
        }
    }
}

/// The names of A and B beside a projection.
fn pair(name: &str) -> [String; 2] {
    ["lora_A", "lora_B"].map(|side| format!("{name}.{side}.weight"))
}

impl Llama {
    /// Holds every weight and puts fresh adapters beside the projections named; only they are trained.
    ///
    /// Deterministic in `seed`. A is normal with variance 1/(3 · in), that of PEFT's uniform; B is zero.
    ///
    /// # Errors
    /// `Target`, `Rank`, `Alpha`, `Twice`.
    pub fn with_adapters(&self, adapters: &Adapters, seed: u64) -> Result<Self, AdapterError> {
        adapters.check(self)?;
        let mut tensors = BTreeMap::new();
        for (stream, (name, dims)) in adapters.shapes(self).into_iter().enumerate() {
            let n = dims.iter().product();
            let values: Vec<f32> = if name.ends_with("lora_B.weight") {
                vec![0.0; n]
            } else {
                let std = (1.0 / (3.0 * dims[1] as f64)).sqrt();
                let mut normal = Normal::new(seed, (1 << 32) + stream as u64);
                (0..n).map(|_| (std * normal.sample()) as f32).collect()
            };
            tensors.insert(name, Tensor::from_vec(values, dims, &Device::Cpu)?);
        }
        self.adapted(adapters, tensors)
    }

    fn adapted(&self, adapters: &Adapters, tensors: BTreeMap<String, Tensor>) -> Result<Self, AdapterError> {
        let vars = tensors.into_iter().map(|(name, tensor)| Ok((name, Var::from_tensor(&tensor.contiguous()?)?)));
        let parameters = vars.collect::<candle_core::Result<_>>()?;
        Ok(self.with_parts(parameters, self.tensors(), Some(adapters.clone())))
    }

    /// One model without adapters: W + α/r · B · A. All of it is trained again.
    ///
    /// # Errors
    /// Those of the tensor engine.
    pub fn merged(&self) -> Result<Self, LlamaError> {
        if self.adapters().is_none() {
            return self.restored(self.tensors());
        }
        let mut weights = BTreeMap::new();
        for (name, held) in self.frozen() {
            let part = name.strip_suffix(".weight").and_then(|part| self.adapter_of(part));
            let weight = match part {
                Some((_, [down, up], scale)) => (held + (up.matmul(&down)? * f64::from(scale))?)?,
                None => held.clone(),
            };
            weights.insert(name.clone(), weight);
        }
        Self::from_tensors(self.config().clone(), weights)?.with_score_of(self)
    }

    /// The names of the adapter beside a projection, and α/r.
    pub(crate) fn adapter_names(&self, part: &str) -> Option<([String; 2], f32)> {
        let adapters = self.adapters()?;
        let names = pair(part);
        let scale = (adapters.alpha / adapters.rank as f64) as f32;
        self.parameters().contains_key(&names[0]).then_some((names, scale))
    }

    /// The same with their values.
    pub(crate) fn adapter_of(&self, part: &str) -> Option<([String; 2], [Tensor; 2], f32)> {
        let (names, scale) = self.adapter_names(part)?;
        let values = [self.parameters().get(&names[0])?, self.parameters().get(&names[1])?];
        Some((names, values.map(Var::as_detached_tensor), scale))
    }

    /// Writes the adapters as PEFT does, and gives the digest of the weights; `base` is what they stand beside, for the reader.
    ///
    /// # Errors
    /// `Config` when the model has none; `Write` and `Weights` naming the file.
    pub fn save_adapters(&self, folder: &Path, base: &str) -> Result<Digest, AdapterError> {
        let none = || AdapterError::Config {
            path: folder.to_owned(),
            expected: "a model with adapters".to_owned(),
            found: "one without".to_owned(),
        };
        let adapters = self.adapters().ok_or_else(none)?;
        let made = |source| WriteError { path: folder.to_owned(), doing: "making the folder", source };
        fs::create_dir_all(folder).map_err(made)?;
        write_atomic(&folder.join(CONFIG_FILE), adapters.to_json(base).as_bytes())?;
        let tensors = self.tensors().into_iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor)).collect();
        let words = BTreeMap::from([
            ("format".to_owned(), "pt".to_owned()),
            (BASE_WEIGHTS.to_owned(), digest_of(self.frozen())?.to_string()),
        ]);
        Ok(weights::save(&folder.join(WEIGHTS_FILE), &tensors, &words)?)
    }

    /// Puts the adapters that PEFT or this crate wrote beside the weights of this model. Those of this crate say beside which weights
    /// they were trained, whatever file those lay in; of others names and shapes are all there is to compare.
    ///
    /// # Errors
    /// `Read`, `Config`, `Base`, `Mismatch` naming the tensor that does not fit.
    pub fn load_adapters(&self, folder: &Path) -> Result<Self, AdapterError> {
        let path = folder.join(CONFIG_FILE);
        let read = |source| AdapterError::Read { path: path.clone(), source };
        if fs::metadata(&path).map_err(read)?.len() > CONFIG_BYTES_MAX {
            return Err(read(io::Error::new(io::ErrorKind::FileTooLarge, "the file is over 1 MiB")));
        }
        let adapters = Adapters::from_json(&path, &fs::read_to_string(&path).map_err(read)?)?;
        adapters.check(self)?;
        let path = folder.join(WEIGHTS_FILE);
        let mut found = BTreeMap::new();
        for (name, tensor) in weights::load(&path)? {
            found.insert(name.strip_prefix(PREFIX).unwrap_or(&name).to_owned(), tensor);
        }
        let zeros = adapters.shapes(self).into_iter();
        let zeros = zeros.map(|(name, dims)| Ok((name, Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu)?)));
        let empty = self.adapted(&adapters, zeros.collect::<candle_core::Result<_>>()?)?;
        let loaded = empty
            .restored(found)
            .map_err(|error| AdapterError::Mismatch { path: path.clone(), source: Box::new(error) })?;
        let said = weights::words(&path)?.get(BASE_WEIGHTS).and_then(|text| text.parse().ok());
        if let Some(expected) = said {
            let found = digest_of(&self.tensors())?;
            if found != expected {
                return Err(AdapterError::Base { path, expected, found });
            }
        }
        Ok(loaded)
    }
}

/// What a model weighs, whatever file it lies in: SHA-256 over the canonical JSON of each tensor's name with the digest of its numbers,
/// f32 and little-endian.
fn digest_of(tensors: &BTreeMap<String, Tensor>) -> Result<Digest, AdapterError> {
    let rows: Vec<_> = tensors.iter().collect();
    let digests = rows.into_par_iter().map(|(name, tensor)| {
        let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
        let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
        Ok((name.clone(), Json::from(Digest::of(&bytes))))
    });
    let digests = digests.collect::<candle_core::Result<BTreeMap<String, Json>>>()?;
    Ok(Digest::of(Json::Map(digests).canonical().as_bytes()))
}

/// Whether a folder holds adapters rather than a model.
#[must_use]
pub fn is_adapters(folder: &Path) -> bool {
    folder.join(CONFIG_FILE).is_file()
}

/// The file of a folder's adapters that holds their weights.
#[must_use]
pub fn adapters_file(folder: &Path) -> PathBuf {
    folder.join(WEIGHTS_FILE)
}
