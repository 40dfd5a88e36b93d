//! What a decoder knows of a text before it speaks: the stream its head reads.

use super::{Decoder, DecoderError, Row};

impl Decoder {
    /// The normed stream behind the last layer at every position of one text that stands alone.
    ///
    /// Shapes: (T,) → (T, C), row behind row, f32. Deterministic like `logits`.
    ///
    /// # Errors
    /// Those of `logits`.
    pub fn states(&self, tokens: &[u32]) -> Result<Vec<f32>, DecoderError> {
        let stream = self.forward(&mut [Row::alone(tokens)])?;
        Ok(stream.flatten_all()?.to_vec1()?)
    }
}
