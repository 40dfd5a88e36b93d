//! Text that goes on by chance: each token drawn from what the model expects.

use super::{Cache, Decoder, DecoderError, Row, rows};
use evidence::{Control, Digest};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// How a token is drawn: of the logits z, p ∝ exp(z / T), of which first the k likeliest are kept and then the fewest of these that
/// hold the share P.
///
/// | symbol | field | range | default | whence |
/// |---|---|---|---|---|
/// | T | `temperature` | 0 (the likeliest, always) and above | 1 | Ackley, Hinton and Sejnowski 1985 |
/// | k | `top_k` | 0 (all) to V | 0 | Fan, Lewis and Dauphin 2018 |
/// | P | `top_p` | over 0 to 1 | 1 | Holtzman et al. 2020, "nucleus sampling" |
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    pub temperature: f64,
    pub top_k: usize,
    pub top_p: f64,
    /// Most tokens of a text.
    pub tokens_max: usize,
    pub seed: u64,
}

/// What a text goes on from.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// At least one.
    pub tokens: &'a [u32],
    /// The stream of chance it is drawn from, of those that a seed has.
    pub stream: u64,
}

/// Positions that are about to be computed, of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Positions before them.
    pub before: usize,
    pub n: usize,
}

/// How sampling ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sampled {
    Finished(Vec<Drawn>),
    /// By whoever was asked, with the reason.
    Stopped(String),
}

/// What was drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    pub tokens: Vec<u32>,
    /// The model ended it; else it was cut off.
    pub is_finished: bool,
}

impl Decoder {
    /// A text behind each start, side by side. Starts that are alike are computed once. `ask` is asked before each pass.
    ///
    /// Deterministic: a text depends on its start, its stream, the seed and the settings alone, not on its company nor on the number of
    /// threads. Chance is ChaCha20 with key SHA-256("assize/sample/<seed>"), 53 bits a token.
    ///
    /// # Errors
    /// Those of `logits`; `NotFinite`.
    pub fn sample(
        &self,
        starts: &[Start<'_>],
        sampling: &Sampling,
        ends: &[u32],
        ask: &mut dyn FnMut(&[Ahead]) -> Control,
    ) -> Result<Sampled, DecoderError> {
        let mut texts = match self.begun(starts, sampling.seed, ask)? {
            Ok(texts) => texts,
            Err(reason) => return Ok(Sampled::Stopped(reason)),
        };
        loop {
            let mut going: Vec<&mut Text> =
                texts.iter_mut().filter(|text| text.goes_on(sampling.tokens_max, self.context())).collect();
            if going.is_empty() {
                break;
            }
            let ahead: Vec<Ahead> = going.iter().map(|text| Ahead { before: text.cache.len(), n: 1 }).collect();
            if let Control::Stop(reason) = ask(&ahead) {
                return Ok(Sampled::Stopped(reason));
            }
            let mut rows: Vec<Row<'_>> = Vec::with_capacity(going.len());
            for text in &mut going {
                rows.push(Row { tokens: std::slice::from_ref(&text.next), cache: Some(&mut text.cache), targets: &[] });
            }
            let logits = self.project(&self.forward(&mut rows)?)?;
            drop(rows);
            rows::with_slice(&logits, |logits| {
                let of_each = logits.par_chunks_exact(self.vocab());
                of_each.zip(&mut going).enumerate().try_for_each(|(row, (logits, text))| {
                    if let Some(found) = logits.iter().copied().find(|logit| !logit.is_finite()) {
                        return Err(DecoderError::NotFinite { found, row, position: text.cache.len() - 1 });
                    }
                    let token = pick(logits, sampling, &mut text.chance);
                    text.take(token, ends);
                    Ok(())
                })
            })??;
        }
        Ok(Sampled::Finished(texts.into_iter().map(|text| text.drawn).collect()))
    }

    /// Every start but its last token, computed; or why it was not.
    fn begun(
        &self,
        starts: &[Start<'_>],
        seed: u64,
        ask: &mut dyn FnMut(&[Ahead]) -> Control,
    ) -> Result<Result<Vec<Text>, String>, DecoderError> {
        let key = Digest::of(format!("assize/sample/{seed}").as_bytes());
        let mut prefixes: BTreeMap<&[u32], Cache> = BTreeMap::new();
        let mut texts = Vec::with_capacity(starts.len());
        for (row, start) in starts.iter().enumerate() {
            let Some((&next, before)) = start.tokens.split_last() else { return Err(DecoderError::Empty { row }) };
            if !prefixes.contains_key(before) {
                let mut cache = self.cache();
                if !before.is_empty() {
                    if let Control::Stop(reason) = ask(&[Ahead { before: 0, n: before.len() }]) {
                        return Ok(Err(reason));
                    }
                    self.prefill(&mut [Row { tokens: before, cache: Some(&mut cache), targets: &[] }])?;
                }
                prefixes.insert(before, cache);
            }
            let mut chance = ChaCha20Rng::from_seed(*key.as_bytes());
            chance.set_stream(start.stream);
            let cache = prefixes.get(before).cloned().unwrap_or_else(|| self.cache());
            let drawn = Drawn { tokens: Vec::new(), is_finished: false };
            texts.push(Text { cache, next, chance, drawn });
        }
        Ok(Ok(texts))
    }
}

/// One text on its way.
struct Text {
    cache: Cache,
    /// Computed next.
    next: u32,
    chance: ChaCha20Rng,
    drawn: Drawn,
}

impl Text {
    fn goes_on(&self, tokens_max: usize, context: usize) -> bool {
        !self.drawn.is_finished && self.drawn.tokens.len() < tokens_max && self.cache.len() < context
    }

    fn take(&mut self, token: u32, ends: &[u32]) {
        if ends.contains(&token) {
            self.drawn.is_finished = true;
            return;
        }
        self.drawn.tokens.push(token);
        self.next = token;
    }
}

/// One token. Sums in f64, in an order that the logits alone decide: by number, or where P cuts from the likeliest down.
fn pick(logits: &[f32], sampling: &Sampling, chance: &mut ChaCha20Rng) -> u32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if sampling.temperature <= 0.0 {
        return logits.iter().position(|logit| *logit >= most).unwrap_or_default() as u32;
    }
    let mass = |logit: f32| ((f64::from(logit) - f64::from(most)) / sampling.temperature).exp();
    let mut kept: Vec<(u32, f64)> = logits.iter().enumerate().map(|(id, logit)| (id as u32, mass(*logit))).collect();
    let likeliest = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if sampling.top_k > 0 && sampling.top_k < kept.len() {
        kept.select_nth_unstable_by(sampling.top_k - 1, likeliest);
        kept.truncate(sampling.top_k);
        kept.sort_unstable_by_key(|(id, _)| *id);
    }
    let mut total: f64 = kept.iter().map(|(_, mass)| mass).sum();
    if sampling.top_p < 1.0 {
        // What is rarer than an equal share of what is left over cannot be among the fewest: all of it together is less than that.
        let least = (1.0 - sampling.top_p) * total / kept.len() as f64;
        kept.retain(|(_, mass)| *mass >= least);
        kept.sort_unstable_by(likeliest);
        let (wanted, mut held) = (sampling.top_p * total, 0.0);
        let n = kept.iter().take_while(|(_, mass)| {
            let is_taken = held < wanted;
            held += mass;
            is_taken
        });
        let n = n.count().max(1);
        kept.truncate(n);
        total = kept.iter().map(|(_, mass)| mass).sum();
    }
    let mut left = (chance.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * total;
    for (id, mass) in &kept {
        left -= mass;
        if left < 0.0 {
            return *id;
        }
    }
    // Rounding may leave a hair: it belongs to the last that could be drawn.
    kept.iter().rev().find(|(_, mass)| *mass > 0.0).map_or(0, |(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequencies(logits: &[f32], sampling: &Sampling, n: usize) -> Vec<f64> {
        let mut chance = ChaCha20Rng::from_seed([7; 32]);
        let mut counts = vec![0_u32; logits.len()];
        (0..n).for_each(|_| counts[pick(logits, sampling, &mut chance) as usize] += 1);
        counts.into_iter().map(|count| f64::from(count) / n as f64).collect()
    }

    /// p = (8, 4, 2, 1, 1) / 16 by logits ln p; expected shares by hand. 20,000 draws: a standard deviation of at most 0.0036, of which
    /// four are allowed.
    #[test]
    fn tokens_are_drawn_in_proportion_to_what_is_kept() {
        let logits: Vec<f32> = [8.0_f32, 4.0, 2.0, 1.0, 1.0].iter().map(|p| p.ln()).collect();
        let plain = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, tokens_max: 1, seed: 0 };
        for (sampling, expected) in [
            (plain, [0.5, 0.25, 0.125, 0.0625, 0.0625]),
            (Sampling { top_k: 2, ..plain }, [2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0, 0.0]),
            // 0.5 + 0.25 reach 0.7; three of them would be needed for 0.76.
            (Sampling { top_p: 0.7, ..plain }, [2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0, 0.0]),
            (Sampling { top_p: 0.76, ..plain }, [8.0 / 14.0, 4.0 / 14.0, 2.0 / 14.0, 0.0, 0.0]),
            // p ∝ (64, 16, 4, 1, 1).
            (Sampling { temperature: 0.5, ..plain }, [64.0 / 86.0, 16.0 / 86.0, 4.0 / 86.0, 1.0 / 86.0, 1.0 / 86.0]),
            (Sampling { temperature: 0.0, ..plain }, [1.0, 0.0, 0.0, 0.0, 0.0]),
        ] {
            let found = frequencies(&logits, &sampling, 20_000);
            let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.0145);
            assert!(near, "{sampling:?}: {found:?}");
            let never = found.iter().zip(expected).all(|(found, expected)| expected > 0.0 || *found == 0.0);
            assert!(never, "{sampling:?}: {found:?}");
        }
    }

    #[test]
    fn of_equals_the_lowest_is_the_likeliest() {
        let greedy = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, tokens_max: 1, seed: 0 };
        assert_eq!(frequencies(&[1.0, 3.0, 3.0], &greedy, 5), [0.0, 1.0, 0.0]);
    }
}
