//! 8-bit quantisation in blocks, as GGUF stores it.

use crate::Tensors;
use candle_core::Device;
use model::gguf::{self, GgufError, is_quantized};

/// The format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Blocks of 32 whole numbers from -127 to 127 with one f16 scale: 34 bytes for 32 weights.
    Q8_0,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    pub format: Format,
}

/// What quantisation changed, over all matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Weights in the quantised matrices.
    pub n_quantized: u64,
    /// Largest |dequantised − original|.
    pub max_abs_error: f64,
    /// Root of the mean square of dequantised − original.
    pub rms_error: f64,
    /// Bytes of all tensors in f32, without any file's header.
    pub bytes_before: u64,
    /// Bytes of all tensors as stored: matrices in blocks, norms in f32.
    pub bytes_after: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    #[error(
        "expected weights up to 8.3e6 in magnitude, the range of an f16 scale, found {value} in `{name}` at index {index}"
    )]
    Range { name: String, index: usize, value: f32 },
    #[error("expected matrices, found none")]
    NothingToQuantize,
    #[error("a matrix cannot be stored in blocks")]
    Gguf(#[from] GgufError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Largest magnitude whose scale is a finite f16: 127 × 65504.
const MAGNITUDE_MAX: f32 = 127.0 * 65504.0;

/// Rounds every matrix to its blocks and back, so that what is evaluated is what the GGUF file holds. Norms are passed on.
///
/// Shapes: as given, rows of a multiple of 32. Error of a weight x of a block with scale d = max|x|/127: at most d/2 for
/// rounding the weight and 127·d·2⁻¹¹ for rounding the scale to f16 (127·2⁻²⁵ below the normal range of f16, d < 6.1e-5).
/// Sums are in f64 in the order of the names. Deterministic. Source: ggml, `block_q8_0`.
///
/// # Errors
/// `NothingToQuantize`, `Range` (infinities and NaN too) naming the weight, `Gguf` when a row is not a multiple of 32.
pub fn quantize(config: &Config, tensors: &Tensors) -> Result<(Tensors, Findings), QuantizeError> {
    let Format::Q8_0 = config.format;
    let mut quantized = tensors.clone();
    let (mut n_quantized, mut max_abs_error, mut square_error) = (0_u64, 0.0_f64, 0.0_f64);
    let (mut bytes_before, mut bytes_after) = (0, 0);
    for (name, tensor) in tensors {
        let n_bytes = 4 * tensor.elem_count() as u64;
        bytes_before += n_bytes;
        if !is_quantized(tensor.dims()) {
            bytes_after += n_bytes;
            continue;
        }
        let original = tensor.flatten_all()?.to_vec1::<f32>()?;
        let within = |weight: &f32| weight.abs() <= MAGNITUDE_MAX;
        if let Some(index) = original.iter().position(|weight| !within(weight)) {
            return Err(QuantizeError::Range { name: name.clone(), index, value: original[index] });
        }
        let blocks = gguf::quantize(name, tensor)?;
        bytes_after += blocks.storage_size_in_bytes() as u64;
        let restored = blocks.dequantize(&Device::Cpu)?;
        for (restored, original) in restored.flatten_all()?.to_vec1::<f32>()?.into_iter().zip(original) {
            let error = (f64::from(restored) - f64::from(original)).abs();
            max_abs_error = max_abs_error.max(error);
            square_error += error * error;
            n_quantized += 1;
        }
        quantized.insert(name.clone(), restored);
    }
    if n_quantized == 0 {
        return Err(QuantizeError::NothingToQuantize);
    }
    let rms_error = (square_error / n_quantized as f64).sqrt();
    Ok((quantized, Findings { n_quantized, max_abs_error, rms_error, bytes_before, bytes_after }))
}
