//! A model compressed in memory, and written.

use super::spec::{Prune, Spec};
use anyhow::Context as _;
use compress::{
    Tensors,
    calibrate::LayerView,
    formats::{self, Blocks, Format},
    layerwise, learn, low_rank, structured,
};
use evidence::{Control, Digest};
use model::{HubConfig, ModelParts, Stored, gguf};
use serde_json::json;
use std::{collections::BTreeMap, fs, path::Path};

/// How the weights lie in their file.
#[derive(Debug)]
pub(crate) enum Storage {
    Folder(BTreeMap<String, Stored>),
    Gguf(Blocks),
}

/// What came of a specification.
#[derive(Debug)]
pub(crate) struct Compressed {
    pub(crate) config: HubConfig,
    /// The numbers that the stored ones stand for.
    pub(crate) tensors: Tensors,
    pub(crate) storage: Storage,
    pub(crate) pruned: Option<layerwise::Findings>,
    pub(crate) packed: Option<formats::Findings>,
    pub(crate) learned: Option<learn::Findings>,
}

pub(crate) type Observe<'a> = dyn FnMut(usize, usize) -> Control + 'a;

/// Prunes, then stores what came of it.
pub(crate) fn compress(
    spec: &Spec,
    parts: &ModelParts,
    rows: Option<&[Vec<u32>]>,
    observe: &mut Observe<'_>,
) -> anyhow::Result<Compressed> {
    let mut parts = parts.clone();
    let mut factors = BTreeMap::new();
    let pruned = prune(spec, &mut parts, rows, observe, &mut factors)?;
    let learned = match spec.recover {
        None => None,
        Some(config) => {
            let (tensors, found) = learn::learn(
                &config,
                learn::Goal::NextToken,
                (&parts.config, &parts.tensors),
                rows.context("no calibration rows")?,
                true,
                observe,
            )?;
            parts.tensors = tensors;
            Some(found)
        }
    };
    let (storage, tensors, packed) = match spec.format {
        Format::F32 => {
            let mut stored = BTreeMap::new();
            for (name, tensor) in
                parts.tensors.iter().filter(|(name, _)| !factors.contains_key(&format!("{name}_left")))
            {
                stored.insert(name.clone(), Stored::f32(tensor)?);
            }
            stored.extend(factors);
            (Storage::Folder(stored), parts.tensors, None)
        }
        Format::Int8 => {
            let (stored, tensors, findings) = formats::int8_all(&parts, rows, observe)?;
            parts.config = parts.config.with("quantization_config", int8_config());
            (Storage::Folder(stored), tensors, Some(findings))
        }
        format => {
            let (blocks, tensors, findings) = formats::pack_all(format, &spec.gptq, &parts, rows, observe)?;
            (Storage::Gguf(blocks), tensors, Some(findings))
        }
    };
    Ok(Compressed { config: parts.config, tensors, storage, pruned, packed, learned })
}

/// SPEC: compressed-tensors, `QuantizationConfig`.
fn int8_config() -> serde_json::Value {
    json!({
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "symmetric": true, "strategy": "channel", "dynamic": false},
        }},
    })
}

fn prune(
    spec: &Spec,
    parts: &mut ModelParts,
    rows: Option<&[Vec<u32>]>,
    observe: &mut Observe<'_>,
    factors: &mut BTreeMap<String, Stored>,
) -> anyhow::Result<Option<layerwise::Findings>> {
    let Some((method, share)) = spec.prune else { return Ok(None) };
    if let Some(config) = spec.structured() {
        let rows = rows.context("no calibration rows")?;
        let (changed, tensors, findings) = structured::prune(&config, parts, rows, observe)?;
        (parts.config, parts.tensors) = (changed, tensors);
        return Ok(Some(findings));
    }
    let (tensors, findings) = match (spec.layerwise(), method) {
        (_, Prune::LowRank) => {
            let rows = rows.context("no calibration rows")?;
            let mut findings = layerwise::Findings::default();
            let tensors = compress::calibrate::walk(parts, rows, observe, &mut |view: &mut LayerView| {
                factor_layer(view, 1.0 - share, factors, &mut findings)
            })?;
            (tensors, findings)
        }
        (Some(config), _) if rows.is_some() => layerwise::prune(&config, parts, rows.unwrap_or_default(), observe)?,
        (Some(config), _) => {
            layerwise::check(&config, &parts.tensors)?;
            layerwise::prune_unseen(&config, &parts.tensors)?
        }
        (None, _) => layerwise::prune_global(share, &parts.tensors)?,
    };
    parts.tensors = tensors;
    Ok(Some(findings))
}

/// What a layer's factoring may end in.
#[derive(Debug, thiserror::Error)]
enum FactorError {
    #[error(transparent)]
    Walk(#[from] compress::calibrate::WalkError),
    #[error(transparent)]
    LowRank(#[from] low_rank::LowRankError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

fn factor_layer(
    view: &mut LayerView,
    share: f64,
    factors: &mut BTreeMap<String, Stored>,
    findings: &mut layerwise::Findings,
) -> Result<(), FactorError> {
    for (matrix, site) in &mut view.matrices {
        let Some(gram) = view.grams.get(site) else { continue };
        if matrix.is_turned {
            continue;
        }
        let before = matrix.weights.clone();
        let rank = low_rank::rank_for(share, matrix.outputs, matrix.inputs);
        let factored = low_rank::factor(matrix, gram, rank)?;
        factors.insert(format!("{}_left", matrix.name), Stored::f32(&factored.left)?);
        factors.insert(format!("{}_right", matrix.name), Stored::f32(&factored.right)?);
        findings.matrices.push(layerwise::Pruned::of(matrix, &before, gram)?);
    }
    Ok(())
}

impl Compressed {
    /// Writes the model into `folder`, which is made. Gives the file of the weights and its digest.
    pub(crate) fn write(&self, folder: &Path, parts: &ModelParts) -> anyhow::Result<(String, Digest)> {
        match &self.storage {
            Storage::Folder(stored) => {
                model::write_changed(folder, parts, &self.config, stored)?;
                let file = fs::File::open(folder.join("model.safetensors"))?;
                Ok(("model.safetensors".to_owned(), Digest::of_reader(file)?))
            }
            Storage::Gguf(blocks) => {
                fs::create_dir_all(folder)?;
                let digest = gguf::store::write(&folder.join("model.gguf"), parts, &self.config, blocks)?;
                Ok(("model.gguf".to_owned(), digest))
            }
        }
    }
}
