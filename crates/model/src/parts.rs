//! A model taken apart: configuration, weights under their hub names, tokenizer. For whoever changes weights.

use crate::{
    Decoder, Family, FileTokenizer, HubConfig, Layout, OpenError, OpenOptions,
    hub::{Made, Tensors},
    open::{build, parts},
};
use candle_core::Tensor;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Weights by their hub names, in f32.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// A model before its decoder is built. Its tensors are shared by its clones.
#[derive(Debug, Clone)]
pub struct ModelParts {
    pub path: PathBuf,
    pub layout: Layout,
    pub family: Family,
    pub config: HubConfig,
    pub tensors: NamedTensors,
    pub tokenizer: FileTokenizer,
    /// What the file says of itself: `name`, `license`.
    pub card: BTreeMap<String, String>,
    pub files: Vec<PathBuf>,
    /// What the last decoder was made of: one that differs in a layer shares the rest with it.
    made: Arc<Mutex<Made>>,
}

/// Opens a model as `open_with` does, every tensor in f32 under its hub name.
///
/// # Errors
/// Those of `open`.
pub fn take_apart(path: &Path, options: &OpenOptions) -> Result<ModelParts, OpenError> {
    let parts = parts(path, options)?;
    let tensors = parts.tensors.all()?;
    let config_path = parts.config_path;
    let (config, tokenizer, card) = (parts.config, parts.tokenizer, parts.card);
    let family = Family::of(&config).map_err(|source| OpenError::Config { path: config_path, source })?;
    let (path, layout, files) = (path.to_owned(), parts.layout, parts.files);
    Ok(ModelParts { path, layout, family, config, tensors, tokenizer, card, files, made: Arc::default() })
}

impl ModelParts {
    /// The decoder of these weights; matrices are shared, not copied.
    ///
    /// # Errors
    /// `OpenError` where weights and configuration do not fit.
    pub fn decoder(&self) -> Result<Decoder, OpenError> {
        self.decoder_of(&self.config, &self.tensors)
    }

    /// The decoder of other weights of this model, perhaps of another shape.
    ///
    /// # Errors
    /// `OpenError` where weights and configuration do not fit.
    pub fn decoder_of(&self, config: &HubConfig, tensors: &NamedTensors) -> Result<Decoder, OpenError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tensors = Tensors::of_memory(tensors.clone(), std::mem::take(&mut *made));
        let decoder = build(config, &self.path, &mut tensors).map(|(_, decoder)| decoder);
        *made = tensors.into_made();
        decoder
    }
}
