//! Floating-point operations of a decoder, counted exactly, and the published formulas to compare with.
//!
//! One multiply-add is 2 FLOP. Legend: `B` sequences, `T` positions, `C` width, `H` heads, `V` vocabulary.

/// How a count was made; a count never travels without it.
pub const CONVENTION: &str = "exact count of matrix products; one multiply-add is 2 FLOP; attention full (not halved for the causal mask); \
     logits counted; embedding look-up not; backward twice forward; no recomputation; windows full; precision agnostic";

/// What a count needs to know of an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Architecture {
    pub layers: u64,
    pub width: u64,
    pub heads: u64,
    pub kv_heads: u64,
    /// Dimension of one head.
    pub head_width: u64,
    /// Width of the feed-forward layer.
    pub hidden: u64,
    pub vocabulary: u64,
    /// Three matrices in the feed-forward layer (SwiGLU) rather than two.
    pub is_gated: bool,
}

impl Architecture {
    /// Forward pass over `sequences` × `positions`, in FLOP.
    ///
    /// Exact: projections, scores and values of attention over all `T` × `T`, feed-forward, logits. Saturates at 2^128 − 1.
    /// Source: Chinchilla (Hoffmann et al. 2022) appendix F, softmax left out, grouped queries and gating added.
    #[must_use]
    pub fn forward(&self, sequences: u64, positions: u64) -> u128 {
        let [layers, width, heads, kv_heads, head, hidden, vocabulary] =
            [self.layers, self.width, self.heads, self.kv_heads, self.head_width, self.hidden, self.vocabulary]
                .map(u128::from);
        let (b, t) = (u128::from(sequences), u128::from(positions));
        let product = |m: u128, k: u128, n: u128| 2_u128.saturating_mul(m).saturating_mul(k).saturating_mul(n);
        let tokens = b.saturating_mul(t);
        let all_heads = heads.saturating_mul(head);
        let queries = product(tokens, width, all_heads);
        let keys_and_values = product(tokens, width, kv_heads.saturating_mul(head).saturating_mul(2));
        let scores_and_mix = product(tokens, t, all_heads.saturating_mul(2));
        let output = product(tokens, all_heads, width);
        let feed_forward = product(tokens, width, hidden).saturating_mul(if self.is_gated { 3 } else { 2 });
        let layer =
            [queries, keys_and_values, scores_and_mix, output, feed_forward].into_iter().fold(0, u128::saturating_add);
        layer.saturating_mul(layers).saturating_add(product(tokens, width, vocabulary))
    }

    /// Forward and backward: three times forward, in FLOP.
    #[must_use]
    pub fn training(&self, sequences: u64, positions: u64) -> u128 {
        self.forward(sequences, positions).saturating_mul(3)
    }

    /// Trained parameters with a tied embedding, norms included. Saturates at 2^64 − 1.
    #[must_use]
    pub const fn parameters(&self) -> u64 {
        let heads = self.heads.saturating_add(self.kv_heads).saturating_mul(2);
        let attention = self.width.saturating_mul(self.head_width).saturating_mul(heads);
        let feed_forward = self.width.saturating_mul(self.hidden).saturating_mul(if self.is_gated { 3 } else { 2 });
        let layer = attention.saturating_add(feed_forward).saturating_add(self.width.saturating_mul(2));
        let outside = self.width.saturating_mul(self.vocabulary).saturating_add(self.width);
        self.layers.saturating_mul(layer).saturating_add(outside)
    }
}

/// One layer of a decoder whose layers may differ, as a count needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub heads: u64,
    pub kv_heads: u64,
    pub head_width: u64,
    /// Most positions a query is scored against; all without.
    pub window: Option<u64>,
    /// Matrices of the feed-forward part: 3 with a gate, else 2.
    pub matrices: u64,
    /// Width of the feed-forward part, or of one expert of it.
    pub hidden: u64,
    /// Feed-forward parts that a token passes: 1, or the experts chosen for it.
    pub active: u64,
    /// Experts that a router scores for each token; 0 without a router.
    pub routed: u64,
}

/// A decoder as a list of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    pub width: u64,
    pub vocabulary: u64,
    pub blocks: Vec<Block>,
}

/// How `Blocks` counts, where it differs from `CONVENTION`.
pub const BLOCKS_CONVENTION: &str = "as the exact count of matrix products; of a layer with a window, each position against min(positions, \
     window) keys; of experts, those a token passes, and the router's scores";

impl Blocks {
    /// Forward pass over `sequences` × `positions`, in FLOP: a prefill. Saturates at 2^128 − 1.
    ///
    /// The same count as `Architecture::forward` where all layers are alike, without window or experts.
    #[must_use]
    pub fn forward(&self, sequences: u64, positions: u64) -> u128 {
        let tokens = u128::from(sequences).saturating_mul(u128::from(positions));
        self.tokens(tokens, positions)
    }

    /// One more token of each sequence behind `before` cached ones, in FLOP. Saturates at 2^128 − 1.
    #[must_use]
    pub fn decode(&self, sequences: u64, before: u64) -> u128 {
        self.tokens(u128::from(sequences), before.saturating_add(1))
    }

    /// Forward and backward: three times forward, in FLOP.
    #[must_use]
    pub fn training(&self, sequences: u64, positions: u64) -> u128 {
        self.forward(sequences, positions).saturating_mul(3)
    }

    /// `tokens`, each scored against `keys` positions.
    fn tokens(&self, tokens: u128, keys: u64) -> u128 {
        let width = u128::from(self.width);
        let times = |factors: [u128; 3]| factors.into_iter().fold(2_u128, u128::saturating_mul);
        let layer = |block: &Block| {
            let [heads, kv_heads, head] = [block.heads, block.kv_heads, block.head_width].map(u128::from);
            let all_heads = heads.saturating_mul(head);
            let keys = u128::from(block.window.map_or(keys, |window| window.min(keys)));
            let projections = all_heads.saturating_add(kv_heads.saturating_mul(head)).saturating_mul(2);
            let passed =
                [block.matrices, block.hidden, block.active].map(u128::from).into_iter().fold(1, u128::saturating_mul);
            [
                times([tokens, width, projections]),
                times([tokens, keys, all_heads.saturating_mul(2)]),
                times([tokens, width, passed.saturating_add(u128::from(block.routed))]),
            ]
            .into_iter()
            .fold(0, u128::saturating_add)
        };
        let layers = self.blocks.iter().map(layer).fold(0, u128::saturating_add);
        layers.saturating_add(times([tokens, width, u128::from(self.vocabulary)]))
    }
}

/// 6·N·D. Valid where the sequence is much shorter than 12 widths. Source: Kaplan et al. 2020, section 2.1.
#[must_use]
pub fn six_n_d(parameters: f64, tokens: f64) -> f64 {
    6.0 * parameters * tokens
}

/// Accelerators × seconds × dense peak × utilisation. Source: Commission Guidelines C(2025) 5045, Annex A.2.
#[must_use]
pub fn hardware(accelerator_hours: f64, peak_flop_per_s: f64, utilisation: f64) -> f64 {
    accelerator_hours * 3600.0 * peak_flop_per_s * utilisation
}

/// Hardware FLOP of one batch with full recomputation. Source: Narayanan et al. 2021, equation 3.
#[must_use]
pub fn megatron(batch: f64, positions: f64, layers: f64, width: f64, vocabulary: f64) -> f64 {
    let h = width;
    96.0 * batch * positions * layers * h * h * (1.0 + positions / (6.0 * h) + vocabulary / (16.0 * layers * h))
}

/// Model FLOP of one batch. Source: Korthikanti et al. 2022, equation 7.
#[must_use]
pub fn korthikanti(batch: f64, positions: f64, layers: f64, width: f64, vocabulary: f64) -> f64 {
    let h = width;
    72.0 * batch * layers * positions * h * h * (1.0 + positions / (6.0 * h) + vocabulary / (12.0 * h * layers))
}

/// Model FLOP of one trained token, attention full. Source: PaLM (Chowdhery et al. 2022), appendix B.
#[must_use]
pub fn palm_per_token(parameters: f64, layers: f64, heads: f64, head_width: f64, positions: f64) -> f64 {
    6.0 * parameters + 12.0 * layers * heads * head_width * positions
}

/// Hardware FLOP of one batch when only the attention core is recomputed, as published; a hand count of one more forward of that
/// core gives `s/(4.5h)` where the publication has `s/(3h)`. Source: Korthikanti et al. 2022, equation 8.
#[must_use]
pub fn korthikanti_selective(batch: f64, positions: f64, layers: f64, width: f64, vocabulary: f64) -> f64 {
    let h = width;
    72.0 * batch * layers * positions * h * h * (1.0 + positions / (3.0 * h) + vocabulary / (12.0 * h * layers))
}

/// Parameters of a GPT with learned positions. Source: Narayanan et al. 2021, equation 2.
#[must_use]
pub fn megatron_parameters(positions: f64, layers: f64, width: f64, vocabulary: f64) -> f64 {
    let (l, h) = (layers, width);
    12.0 * l * h * h * (1.0 + 13.0 / (12.0 * h) + (vocabulary + positions) / (12.0 * l * h))
}

/// Training FLOP of one sequence as Chinchilla's table A4 counts: softmax counted (3 a score), embeddings and logits not.
///
/// Exact; saturates at 2^128 − 1. Source: Hoffmann et al. 2022, appendix F; that both ends are left out is from correspondence with
/// its authors, quoted by nanoGPT.
#[must_use]
pub fn chinchilla(architecture: &Architecture, positions: u64) -> u128 {
    let softmax = [architecture.layers, architecture.heads, positions, positions]
        .map(u128::from)
        .into_iter()
        .fold(3, u128::saturating_mul);
    let inside = Architecture { vocabulary: 0, ..*architecture };
    inside.forward(1, positions).saturating_add(softmax).saturating_mul(3)
}

#[cfg(test)]
mod tests {
    use super::{Architecture, Block, Blocks};

    fn smollm2() -> (Architecture, Blocks) {
        let architecture = Architecture {
            layers: 30,
            width: 576,
            heads: 9,
            kv_heads: 3,
            head_width: 64,
            hidden: 1536,
            vocabulary: 49152,
            is_gated: true,
        };
        let block = Block {
            heads: 9,
            kv_heads: 3,
            head_width: 64,
            window: None,
            matrices: 3,
            hidden: 1536,
            active: 1,
            routed: 0,
        };
        (architecture, Blocks { width: 576, vocabulary: 49152, blocks: vec![block; 30] })
    }

    #[test]
    fn layers_that_are_alike_count_as_the_architecture_does() {
        let (architecture, blocks) = smollm2();
        for (sequences, positions) in [(1, 1), (4, 256), (1, 8192), (0, 7), (u64::MAX, u64::MAX)] {
            assert_eq!(blocks.forward(sequences, positions), architecture.forward(sequences, positions));
            assert_eq!(blocks.training(sequences, positions), architecture.training(sequences, positions));
        }
    }

    /// By hand, for one layer: width 8, 2 heads of 4 with 1 key-value head, 4 experts of 5 of which 2 are passed, vocabulary
    /// 10. A token: queries and output 2·8·8·2 = 256, keys and values 2·8·4·2 = 128, router 2·8·4 = 64, experts
    /// 2·8·5·3·2 = 480, logits 2·8·10 = 160: 1088. Scores and mix of a key: 2·8·2 = 32.
    #[test]
    fn windows_and_experts_are_counted_as_by_hand() {
        let block = Block {
            heads: 2,
            kv_heads: 1,
            head_width: 4,
            window: Some(3),
            matrices: 3,
            hidden: 5,
            active: 2,
            routed: 4,
        };
        let blocks = Blocks { width: 8, vocabulary: 10, blocks: vec![block] };
        assert_eq!(blocks.forward(1, 2), 2 * 1088 + 2 * 2 * 32);
        assert_eq!(blocks.forward(2, 7), 14 * 1088 + 14 * 3 * 32);
        assert_eq!(blocks.decode(1, 0), 1088 + 32);
        assert_eq!(blocks.decode(5, 100), 5 * (1088 + 3 * 32));
    }
}
