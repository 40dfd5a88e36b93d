//! Storage formats: which there are, which a matrix can have, and what it costs in reconstruction.

use crate::{
    Tensors,
    calibrate::{LayerView, Observe, WalkError, walk},
    gptq,
    layerwise::Pruned,
    matrix::Matrix,
};
use candle_core::{Tensor, quantized::GgmlDType};
use model::{
    ModelParts, Stored,
    gguf::store::{Packed, pack, unpack},
    site,
};
use std::collections::BTreeMap;

/// Weights in a block of the plain formats, and of the K-quants.
const BLOCK: usize = 32;
const BLOCK_K: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As they are, in a hub folder.
    F32,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    /// Whole numbers from -127 to 127 with one scale a row, in a hub folder.
    Int8,
    /// Four bits by GPTQ, stored as Q4_1.
    Gptq,
}

impl Format {
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::F32, "f32"),
        (Self::Q8_0, "q8_0"),
        (Self::Q4_0, "q4_0"),
        (Self::Q4_1, "q4_1"),
        (Self::Q5_0, "q5_0"),
        (Self::Q5_1, "q5_1"),
        (Self::Q2K, "q2_k"),
        (Self::Q3K, "q3_k"),
        (Self::Q4K, "q4_k"),
        (Self::Q5K, "q5_k"),
        (Self::Q6K, "q6_k"),
        (Self::Int8, "int8"),
        (Self::Gptq, "gptq"),
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(format, _)| *format == self).map_or("", |(_, name)| name)
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(format, _)| *format)
    }

    /// Whether the model becomes a GGUF file.
    #[must_use]
    pub const fn is_gguf(self) -> bool {
        !matches!(self, Self::F32 | Self::Int8)
    }

    /// The type of a matrix's blocks; a K-quant falls back where rows are no multiple of 256, to the type that llama.cpp takes
    /// then. Rows that are no multiple of 32 stay f32.
    #[must_use]
    pub const fn kind(self, width: usize) -> GgmlDType {
        if !width.is_multiple_of(BLOCK) {
            return GgmlDType::F32;
        }
        let is_wide = width.is_multiple_of(BLOCK_K);
        match self {
            Self::F32 | Self::Int8 => GgmlDType::F32,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 | Self::Gptq => GgmlDType::Q4_1,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q2K if is_wide => GgmlDType::Q2K,
            Self::Q3K if is_wide => GgmlDType::Q3K,
            Self::Q2K | Self::Q3K => GgmlDType::Q4_0,
            Self::Q4K if is_wide => GgmlDType::Q4K,
            Self::Q4K => GgmlDType::Q5_0,
            Self::Q5K if is_wide => GgmlDType::Q5K,
            Self::Q5K => GgmlDType::Q5_1,
            Self::Q6K if is_wide => GgmlDType::Q6K,
            Self::Q6K => GgmlDType::Q8_0,
        }
    }
}

/// Bits a weight of the layers' matrices takes in a format, scales included, and the matrices that its blocks do not fit into and
/// that are stored otherwise. Known from the shapes alone.
#[must_use]
pub fn planned_bits(format: Format, tensors: &Tensors) -> (f64, usize) {
    let (mut bits, mut n, mut n_otherwise) = (0.0, 0, 0);
    for (name, tensor) in tensors {
        let (Some((_, _, is_turned)), [outputs, inputs]) = (site(name), tensor.dims()) else { continue };
        let kind = format.kind(if is_turned { *outputs } else { *inputs });
        let each = match format {
            Format::Int8 if !is_turned => 8.0,
            _ => 8.0 * kind.type_size() as f64 / kind.block_size() as f64,
        };
        bits += each * tensor.elem_count() as f64;
        n += tensor.elem_count();
        n_otherwise += usize::from(format.is_gguf() && kind != format.kind(BLOCK_K));
    }
    (if n == 0 { 32.0 } else { bits / n as f64 }, n_otherwise)
}

/// What storing cost, over all tensors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// By matrix, where calibration data were given.
    pub matrices: Vec<Pruned>,
    /// Weights in matrices that are stored in fewer bits.
    pub n_quantized: u64,
    /// Largest |restored − original|, and the root of the mean square.
    pub max_abs_error: f64,
    pub rms_error: f64,
    /// Bytes of all tensors in f32, and as stored.
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Matrices a K-quant could not take, or none could.
    pub fallbacks: Vec<(String, &'static str)>,
}

impl Findings {
    /// Σ‖WX − ŴX‖² ÷ Σ‖WX‖²; `None` without calibration data.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        let whole: f64 = self.matrices.iter().map(|matrix| matrix.energy).sum();
        let lost: f64 = self.matrices.iter().map(|matrix| matrix.error * matrix.energy).sum();
        (whole > 0.0).then(|| lost / whole)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("expected matrices that read at a known place, found none; the family cannot be quantised so")]
    NothingToQuantize,
    #[error(
        "expected finite weights of at most 8.3e6, the range of an f16 scale, found {value} in `{name}` at index {index}"
    )]
    Range { name: String, index: usize, value: f32 },
    #[error("GPTQ needs the input of `{name}`, and experts see different tokens each; choose `q4_1`")]
    Unseen { name: String },
    #[error(transparent)]
    Gptq(#[from] gptq::GptqError),
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Tensors in blocks, by hub name, matrices as (outputs, inputs).
pub type Blocks = BTreeMap<String, Packed>;

/// Every tensor in its blocks, and the numbers they stand for: what is evaluated is what is stored.
///
/// With `rows` the reconstruction error of each matrix is measured on them; GPTQ needs them. Deterministic.
///
/// # Errors
/// `FormatError`.
pub fn pack_all(
    format: Format,
    config: &gptq::Config,
    parts: &ModelParts,
    rows: Option<&[Vec<u32>]>,
    observe: &mut Observe<'_>,
) -> Result<(Blocks, Tensors, Findings), FormatError> {
    let (mut blocks, mut findings) = (Blocks::new(), Findings::default());
    let mut restored = match rows {
        Some(rows) => walk(parts, rows, observe, &mut |view: &mut LayerView| {
            for (matrix, site) in &mut view.matrices {
                let gram = view.grams.get(site);
                let before = matrix.weights.clone();
                let packed = match (format, gram) {
                    (Format::Gptq, Some(gram)) if matrix.inputs.is_multiple_of(config.group) => {
                        let quantized = gptq::quantize(config, matrix, gram)?;
                        let shape = vec![matrix.outputs, matrix.inputs];
                        Packed { kind: GgmlDType::Q4_1, shape, bytes: quantized.blocks() }
                    }
                    (Format::Gptq, None) => return Err(FormatError::Unseen { name: matrix.name.clone() }),
                    _ => pack_matrix(format, matrix)?,
                };
                if let Some(gram) = gram {
                    findings.matrices.push(Pruned::of(matrix, &before, gram)?);
                }
                blocks.insert(matrix.name.clone(), packed);
            }
            Ok::<(), FormatError>(())
        })?,
        None => parts.tensors.clone(),
    };
    let mut square = 0.0;
    for (name, original) in &parts.tensors {
        check_range(name, original)?;
        if !blocks.contains_key(name) {
            let is_turned = site(name).is_some_and(|(_, _, is_turned)| is_turned);
            let (packed, tensor) = pack_one(format, name, original, is_turned)?;
            restored.insert(name.clone(), tensor);
            blocks.insert(name.clone(), packed);
        }
        note(format, &blocks[name], name, original, &restored[name], &mut findings, &mut square)?;
    }
    if findings.n_quantized == 0 && format.is_gguf() {
        return Err(FormatError::NothingToQuantize);
    }
    findings.rms_error = (square / findings.n_quantized.max(1) as f64).sqrt();
    Ok((blocks, restored, findings))
}

fn pack_matrix(format: Format, matrix: &mut Matrix) -> Result<Packed, FormatError> {
    let shape = (matrix.outputs, matrix.inputs);
    let tensor = Tensor::from_slice(&matrix.weights, shape, &candle_core::Device::Cpu)?;
    let packed = pack(&tensor, format.kind(matrix.inputs))?;
    matrix.weights = unpack(&packed)?.flatten_all()?.to_vec1()?;
    Ok(packed)
}

/// Matrices in blocks, vectors in f32; the embedding of four-bit formats in Q8_0, for each of its rows is a token's whole input.
fn pack_one(format: Format, name: &str, original: &Tensor, is_turned: bool) -> Result<(Packed, Tensor), FormatError> {
    if original.rank() != 2 {
        return Ok((pack(original, GgmlDType::F32)?, original.clone()));
    }
    let matrix = if is_turned { original.t()?.contiguous()? } else { original.clone() };
    let is_inside = name.contains("layers.") || name.contains("h.");
    let format = if is_inside || format == Format::F32 { format } else { Format::Q8_0 };
    let kind = if name.ends_with("wpe.weight") { GgmlDType::F32 } else { format.kind(matrix.dims()[1]) };
    let packed = pack(&matrix, kind)?;
    let back = unpack(&packed)?;
    Ok((packed, if is_turned { back.t()?.contiguous()? } else { back }))
}

fn check_range(name: &str, original: &Tensor) -> Result<(), FormatError> {
    const MAGNITUDE_MAX: f32 = 127.0 * 65504.0;
    let weights = original.flatten_all()?.to_vec1::<f32>()?;
    let is_out = |weight: &f32| weight.is_nan() || weight.abs() > MAGNITUDE_MAX;
    match weights.iter().position(is_out) {
        Some(index) => Err(FormatError::Range { name: name.to_owned(), index, value: weights[index] }),
        None => Ok(()),
    }
}

fn note(
    format: Format,
    packed: &Packed,
    name: &str,
    original: &Tensor,
    restored: &Tensor,
    findings: &mut Findings,
    square: &mut f64,
) -> Result<(), FormatError> {
    findings.bytes_before += 4 * original.elem_count() as u64;
    findings.bytes_after += packed.bytes.len() as u64;
    if packed.kind == GgmlDType::F32 {
        if original.rank() == 2 && site(name).is_some() && format.is_gguf() {
            findings.fallbacks.push((name.to_owned(), "f32"));
        }
        return Ok(());
    }
    if site(name).is_some() && packed.kind != format.kind(BLOCK_K) {
        let kind = Format::ALL.iter().find(|(format, _)| format.kind(BLOCK_K) == packed.kind);
        findings.fallbacks.push((name.to_owned(), kind.map_or("", |(_, name)| name)));
    }
    let (before, after) = (original.flatten_all()?.to_vec1::<f32>()?, restored.flatten_all()?.to_vec1::<f32>()?);
    for (before, after) in before.into_iter().zip(after) {
        let error = (f64::from(after) - f64::from(before)).abs();
        findings.max_abs_error = findings.max_abs_error.max(error);
        *square += error * error;
        findings.n_quantized += 1;
    }
    Ok(())
}

/// A matrix in whole numbers from -127 to 127, each row with the scale max|w|/127: the numbers, the scales, and what they stand for.
///
/// Error of a weight at most half a scale. Source: Dettmers et al. 2022, equation 3, rows only.
#[must_use]
pub fn int8_rows(weights: &[f32], width: usize) -> (Vec<i8>, Vec<f32>, Vec<f32>) {
    let (mut steps, mut scales, mut restored) = (Vec::new(), Vec::new(), Vec::new());
    for row in weights.chunks_exact(width.max(1)) {
        let scale = row.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs())) / 127.0;
        scales.push(scale);
        for weight in row {
            let step = if scale > 0.0 { (weight / scale).round_ties_even().clamp(-127.0, 127.0) as i8 } else { 0 };
            steps.push(step);
            restored.push(f32::from(step) * scale);
        }
    }
    (steps, scales, restored)
}

/// The files' tensors in int8 with scales beside them, and the numbers they stand for. SPEC: compressed-tensors, `int-quantized`.
///
/// # Errors
/// `FormatError`.
pub fn int8_all(
    parts: &ModelParts,
    rows: Option<&[Vec<u32>]>,
    observe: &mut Observe<'_>,
) -> Result<(BTreeMap<String, Stored>, Tensors, Findings), FormatError> {
    let (mut stored, mut findings) = (BTreeMap::new(), Findings::default());
    let mut restored = parts.tensors.clone();
    let mut square = 0.0;
    for (name, original) in &parts.tensors {
        check_range(name, original)?;
        findings.bytes_before += 4 * original.elem_count() as u64;
        let is_matrix = site(name).is_some_and(|(_, _, is_turned)| !is_turned) && original.rank() == 2;
        if !is_matrix {
            let plain = Stored::f32(original)?;
            findings.bytes_after += plain.bytes.len() as u64;
            stored.insert(name.clone(), plain);
            continue;
        }
        let (outputs, inputs) = original.dims2()?;
        let before = original.flatten_all()?.to_vec1::<f32>()?;
        let (steps, scales, after) = int8_rows(&before, inputs);
        for (before, after) in before.iter().zip(&after) {
            let error = (f64::from(*after) - f64::from(*before)).abs();
            findings.max_abs_error = findings.max_abs_error.max(error);
            square += error * error;
        }
        findings.n_quantized += before.len() as u64;
        findings.bytes_after += (steps.len() + 4 * scales.len()) as u64;
        let bytes = steps.into_iter().map(i8::cast_unsigned).collect();
        stored.insert(name.clone(), Stored { kind: "I8", shape: vec![outputs, inputs], bytes });
        let bytes = scales.into_iter().flat_map(f32::to_le_bytes).collect();
        stored.insert(format!("{name}_scale"), Stored { kind: "F32", shape: vec![outputs, 1], bytes });
        restored.insert(name.clone(), Tensor::from_vec(after, (outputs, inputs), original.device())?);
    }
    if findings.n_quantized == 0 {
        return Err(FormatError::NothingToQuantize);
    }
    findings.rms_error = (square / findings.n_quantized as f64).sqrt();
    if let Some(rows) = rows {
        walk(parts, rows, observe, &mut |view: &mut LayerView| -> Result<(), FormatError> {
            for (matrix, site) in &mut view.matrices {
                let Some(gram) = view.grams.get(site) else { continue };
                let before = matrix.weights.clone();
                matrix.weights = int8_rows(&before, matrix.inputs).2;
                findings.matrices.push(Pruned::of(matrix, &before, gram)?);
            }
            Ok(())
        })?;
    }
    Ok((stored, restored, findings))
}
