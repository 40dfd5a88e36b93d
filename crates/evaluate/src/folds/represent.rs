//! Texts as a model's frozen representations.

use super::table::Features;
use crate::tasks::tokens::{SeamError, Tokenizer};
use evidence::Control;

/// How the positions of a text become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pool {
    #[default]
    Mean,
    Last,
}

/// Told before each text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextProgress {
    pub n_done: usize,
    pub n_texts: usize,
    pub next_positions: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum RepresentError {
    #[error("text {at}: the tokenizer failed")]
    Tokenizer { at: usize, source: SeamError },
    #[error("text {at}: the model failed")]
    Model { at: usize, source: model::DecoderError },
    #[error("stopped: {0}")]
    Stopped(String),
}

/// What texts became.
#[derive(Debug, Clone, PartialEq)]
pub struct Represented {
    pub features: Features,
    /// Texts longer than the context, of which the beginning was read.
    pub n_cut: usize,
}

/// The normed stream behind the last layer, pooled over the positions of each text.
///
/// Shapes: texts (N,) → (N, C), C the model's width. A text without a token is read as the prefix token alone. Deterministic
/// as the model is: every text is read by itself.
///
/// # Errors
/// `RepresentError` naming the text.
pub fn represent(
    decoder: &model::Decoder,
    tokenizer: &dyn Tokenizer,
    texts: &[String],
    pool: Pool,
    observe: &mut dyn FnMut(&TextProgress) -> Control,
) -> Result<Represented, RepresentError> {
    let (width, mut n_cut) = (decoder.width(), 0);
    let mut values = Vec::with_capacity(texts.len() * width);
    for (at, text) in texts.iter().enumerate() {
        let mut tokens = tokenizer.encode(text, true).map_err(|source| RepresentError::Tokenizer { at, source })?;
        if tokens.is_empty() {
            tokens.push(tokenizer.prefix());
        }
        if tokens.len() > decoder.context() {
            tokens.truncate(decoder.context());
            n_cut += 1;
        }
        let progress = TextProgress { n_done: at, n_texts: texts.len(), next_positions: tokens.len() };
        if let Control::Stop(reason) = observe(&progress) {
            return Err(RepresentError::Stopped(reason));
        }
        let states = decoder.states(&tokens).map_err(|source| RepresentError::Model { at, source })?;
        let n = states.len() / width;
        match pool {
            Pool::Last => values.extend(&states[(n - 1) * width..]),
            Pool::Mean => {
                let of =
                    |column: usize| (0..n).map(|row| f64::from(states[row * width + column])).sum::<f64>() / n as f64;
                values.extend((0..width).map(|column| of(column) as f32));
            }
        }
    }
    Ok(Represented { features: Features::Dense { values, width }, n_cut })
}
