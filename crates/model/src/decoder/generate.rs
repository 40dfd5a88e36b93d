//! Text that goes on, the likeliest token each time.

use super::{Decoder, DecoderError, Row, rows};

impl Decoder {
    /// The likeliest tokens behind `tokens`, at most `n_max`, up to and without the first of `ends`; of equal logits the
    /// lowest token. Ends early where the context does.
    ///
    /// # Errors
    /// Those of `logits`; `NotFinite`.
    pub fn generate(&self, tokens: &[u32], n_max: usize, ends: &[u32]) -> Result<Vec<u32>, DecoderError> {
        let mut cache = self.cache();
        let mut found: Vec<u32> = Vec::new();
        let mut next = tokens.to_vec();
        while found.len() < n_max && cache.len() + next.len() <= self.context() {
            let stream = self.forward(&mut [Row { tokens: &next, cache: Some(&mut cache), targets: &[] }])?;
            let last = next.len() - 1;
            let logits = self.project(&stream.narrow(0, last, 1)?)?;
            let token = rows::with_slice(&logits, |logits| {
                if let Some(found) = logits.iter().copied().find(|logit| !logit.is_finite()) {
                    return Err(DecoderError::NotFinite { found, row: 0, position: last });
                }
                let mut first = 0;
                for (at, logit) in logits.iter().enumerate() {
                    if *logit > logits[first] {
                        first = at;
                    }
                }
                Ok(first as u32)
            })??;
            if ends.contains(&token) {
                break;
            }
            found.push(token);
            next = vec![token];
        }
        Ok(found)
    }
}
