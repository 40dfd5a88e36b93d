//! Planted secrets: how much likelier the model finds the one it may have seen than others of the same kind.

use super::MemoryError;
use crate::tasks::{
    data::{DataError, Item, read},
    prompts::Request,
    scoring::{self, Decoder, Packing, Progress},
    tokens::{self, Encoded, Rolling, Sequence, Tokenizer},
    value::{Value, column},
};
use evidence::{Control, Digest};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use std::{collections::BTreeSet, path::Path};

/// The secrets that could have stood in a canary's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Space {
    /// All texts of so many digits.
    Digits(u32),
    /// These; the secret is one of them or stands beside them.
    Listed(Vec<String>),
}

/// One planted secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// The sentence with `{}` where the secret stands.
    pub format: String,
    pub secret: String,
    pub space: Space,
}

/// Why a file of canaries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("{origin}: expected {expected}")]
    Row { origin: crate::tasks::data::Origin, expected: &'static str },
}

/// How exposed one secret is.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposure {
    pub secret: String,
    /// 1 + the others that are likelier or as likely.
    pub rank: u64,
    /// Secrets compared, itself among them.
    pub n_compared: u64,
    /// Secrets there are.
    pub n_space: u64,
    /// log₂ n_compared − log₂ rank, in bits. Where not all were compared, the largest it can come to is log₂ n_compared.
    pub bits: f64,
    pub log_likelihood: f64,
}

/// Reads canaries: rows with `format`, `secret`, and `digits` or `candidates`.
///
/// # Errors
/// `CanaryError` naming the row.
pub fn read_canaries(path: &Path) -> Result<Vec<Canary>, CanaryError> {
    read(path)?.iter().map(canary).collect()
}

fn canary(item: &Item) -> Result<Canary, CanaryError> {
    let wrong = |expected| CanaryError::Row { origin: item.origin.clone(), expected };
    let text =
        |name: &str| column(&item.row, name).filter(|value| !matches!(value, Value::Null)).map(Value::python_str);
    let format = text("format").filter(|format| format.matches("{}").count() == 1);
    let format = format.ok_or_else(|| wrong("`format` with `{}` once, where the secret stands"))?;
    let secret = text("secret").filter(|secret| !secret.is_empty());
    let secret = secret.ok_or_else(|| wrong("`secret`, a text"))?;
    let listed = column(&item.row, "candidates").and_then(Value::as_list);
    let digits = column(&item.row, "digits").and_then(|value| match value {
        Value::Text(text) => text.parse().ok(),
        other => other.as_int().and_then(|digits| u32::try_from(digits).ok()),
    });
    let space = match (listed, digits) {
        (Some(listed), _) => Space::Listed(listed.iter().map(Value::python_str).collect()),
        (None, Some(digits @ 1..=18)) => Space::Digits(digits),
        _ => return Err(wrong("`digits` from 1 to 18, or `candidates`, a list")),
    };
    let is_digits = |digits: u32| secret.len() == digits as usize && secret.bytes().all(|byte| byte.is_ascii_digit());
    if matches!(space, Space::Digits(digits) if !is_digits(digits)) {
        return Err(wrong("a secret of as many digits as `digits` says"));
    }
    Ok(Canary { format, secret, space })
}

/// Exposure of each canary among at most `n_compared` of its space; more are drawn by the seed, without repetition.
///
/// The whole sentence is scored from nothing, so secrets are told apart by their likelihood alone. A secret as likely as the
/// canary counts as before it. Deterministic. Source: Carlini et al. 2019, definition 5.
///
/// # Errors
/// `MemoryError`.
pub fn exposure<D: Decoder>(
    decoder: &D,
    tokenizer: &dyn Tokenizer,
    canaries: &[Canary],
    n_compared: usize,
    seed: u64,
    observe: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Vec<Exposure>, MemoryError> {
    let mut found = Vec::new();
    for (at, canary) in canaries.iter().enumerate() {
        let (others, n_space) = others(canary, n_compared, seed, at);
        let mut sequences: Vec<Sequence> = Vec::with_capacity(others.len() + 1);
        for secret in std::iter::once(&canary.secret).chain(&others) {
            let text = canary.format.replacen("{}", secret, 1);
            let request = Request::LogLikelihood { context: String::new(), continuation: text };
            let encoded = tokens::encode(&request, tokenizer, decoder.context(), 0, Rolling::AsHarness);
            if let Encoded::One { sequence, .. } = encoded.map_err(scoring::ScoringError::from)? {
                sequences.push(sequence);
            }
        }
        let (scores, _) = scoring::score(decoder, &sequences, Packing::default(), observe)?;
        let Some((own, rest)) = scores.split_first() else { continue };
        let before = rest.iter().filter(|score| score.log_likelihood >= own.log_likelihood).count() as u64;
        let (rank, n_compared) = (before + 1, scores.len() as u64);
        let bits = (n_compared as f64).log2() - (rank as f64).log2();
        let (secret, log_likelihood) = (canary.secret.clone(), own.log_likelihood);
        found.push(Exposure { secret, rank, n_compared, n_space, bits, log_likelihood });
    }
    Ok(found)
}

/// Other secrets of the space, and how many there are with the canary's own.
fn others(canary: &Canary, n_compared: usize, seed: u64, at: usize) -> (Vec<String>, u64) {
    let wanted = n_compared.max(2) - 1;
    match &canary.space {
        Space::Listed(listed) => {
            let all: BTreeSet<&String> = listed.iter().filter(|other| **other != canary.secret).collect();
            let n_space = all.len() as u64 + 1;
            (all.into_iter().take(wanted).cloned().collect(), n_space)
        }
        Space::Digits(digits) => {
            let (n_space, width) = (10_u64.pow(*digits), *digits as usize);
            if n_space - 1 <= wanted as u64 {
                let all = (0..n_space).map(|number| format!("{number:0width$}"));
                return (all.filter(|other| *other != canary.secret).collect(), n_space);
            }
            let key = Digest::of(format!("assize canary {seed} {at}").as_bytes());
            let mut random = ChaCha20Rng::from_seed(*key.as_bytes());
            let mut drawn = BTreeSet::new();
            while drawn.len() < wanted {
                let other = format!("{:0width$}", random.next_u64() % n_space);
                if other != canary.secret {
                    drawn.insert(other);
                }
            }
            (drawn.into_iter().collect(), n_space)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_of_the_space_and_never_the_secret() {
        let canary = |space| Canary { format: "pin {}".to_owned(), secret: "42".to_owned(), space };
        let (all, n) = others(&canary(Space::Digits(2)), 1000, 1, 0);
        assert_eq!((all.len(), n), (99, 100));
        assert!(!all.contains(&"42".to_owned()) && all.contains(&"07".to_owned()));
        let (drawn, n) = others(&canary(Space::Digits(2)), 11, 1, 0);
        assert_eq!((drawn.len(), n), (10, 100));
        assert_eq!(drawn, others(&canary(Space::Digits(2)), 11, 1, 0).0);
        let listed = ["42", "blue", "blue", "red"].map(str::to_owned).to_vec();
        assert_eq!(others(&canary(Space::Listed(listed)), 9, 1, 0), (vec!["blue".to_owned(), "red".to_owned()], 3));
    }
}
