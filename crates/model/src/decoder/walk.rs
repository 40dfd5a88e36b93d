//! One layer at a time, with what goes into its matrices: for whoever changes a layer by what it sees.

use super::{Decoder, DecoderError, Row, rotary};
use candle_core::Tensor;

/// A place at which a layer's matrices read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// Before queries, keys and values.
    Attention,
    /// Before attention's output.
    AttentionOutput,
    /// Before gate and up, or the first matrix of the feed-forward part; before the router of experts.
    Mlp,
    /// Before the last matrix of the feed-forward part. Experts, of which each sees tokens of its own, have none.
    MlpOutput,
}

/// Is shown the input (N, C) of a site. It must not write into it.
pub type Observe<'a> = dyn FnMut(Site, &Tensor) -> candle_core::Result<()> + 'a;

impl Decoder {
    /// The stream before the first layer: (N, C). The rows must stand alone, without a cache.
    ///
    /// # Errors
    /// Those of `logits`.
    pub fn embedded(&self, rows: &[Row]) -> Result<Tensor, DecoderError> {
        self.check(rows)?;
        let positions: Vec<usize> = rows.iter().flat_map(|row| 0..row.tokens.len()).collect();
        Ok(self.embed(rows, &positions)?)
    }

    /// The stream behind layer `at`; `stream` is left as it is, and `observe` is shown what the layer's matrices read.
    ///
    /// Shapes: (N, C) → (N, C), the same rows that `embedded` was given. Computed as `logits` does, to the bit.
    ///
    /// # Errors
    /// Those of `logits`, and those of `observe`.
    pub fn layer(
        &self,
        at: usize,
        stream: &Tensor,
        rows: &mut [Row],
        observe: &mut Observe<'_>,
    ) -> Result<Tensor, DecoderError> {
        let spans = self.check(rows)?;
        let positions: Vec<usize> = rows.iter().flat_map(|row| 0..row.tokens.len()).collect();
        let turns = rotary::Turns::of(&self.rotaries, rows, &spans, &positions)?;
        let stream = stream.copy()?;
        self.layer_over(at, &stream, &turns, rows, &spans, Some(observe))?;
        Ok(stream)
    }

    /// Logits of the stream behind the last layer: (N, C) → (N, V).
    ///
    /// # Errors
    /// Those of the tensors.
    pub fn head(&self, stream: &Tensor) -> Result<Tensor, DecoderError> {
        Ok(self.project(&self.norm.apply(stream)?)?)
    }
}

/// Layer and site of a matrix by its hub name, and whether the hub keeps it as (in, out); `None` for embedding, head, norms,
/// biases, routers and experts.
#[must_use]
pub fn site(name: &str) -> Option<(usize, Site, bool)> {
    let stem = name.strip_suffix(".weight")?;
    let (before, part) = stem.split_once(".layers.").or_else(|| stem.split_once("h."))?;
    let (layer, part) = part.split_once('.')?;
    let layer = layer.parse().ok()?;
    let is_turned = before.is_empty() || before == "transformer.";
    let site = match part.rsplit('.').next()? {
        "q_proj" | "k_proj" | "v_proj" | "qkv_proj" | "query_key_value" | "c_attn" => Site::Attention,
        "o_proj" | "dense" => Site::AttentionOutput,
        "c_proj" if part.starts_with("attn.") => Site::AttentionOutput,
        _ if part.contains("experts") => return None,
        "gate_proj" | "up_proj" | "gate_up_proj" | "c_fc" | "dense_h_to_4h" => Site::Mlp,
        "down_proj" | "c_proj" | "dense_4h_to_h" => Site::MlpOutput,
        _ => return None,
    };
    Some((layer, site, is_turned))
}
