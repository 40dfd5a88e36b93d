//! Which documents are trained on, how often, and in what order: shards by content, mixtures by weight, a curriculum.

use crate::shuffle::{Purpose, permutation};
use evidence::Digest;

/// One source of a mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// How much it counts beside the others, over 0.
    pub weight: f64,
    /// (document, tokens of it), each at least one token.
    pub documents: Vec<(usize, usize)>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MixtureError {
    #[error("expected each weight of a mixture to be a finite number above 0, found {0}")]
    Weight(f64),
    #[error("expected a temperature that is a finite number above 0, found {0}")]
    Temperature(f64),
    #[error("part {0} of the mixture has no tokens")]
    Empty(usize),
}

/// The shard of a document among `n`: its digest's first eight bytes, read as a number, modulo n. The same on every machine, in
/// whatever company; equal texts fall into one shard.
#[must_use]
pub fn shard(document: &Digest, n: u64) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *document.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) % n.max(1)
}

/// The documents in a seeded order.
#[must_use]
pub fn shuffled(documents: &[usize], seed: u64) -> Vec<usize> {
    // No stream of a part in `draw`: those are below 2^63.
    permutation(Purpose::Mixture, seed, 1 << 63, documents.len()).into_iter().map(|at| documents[at]).collect()
}

/// The share of tokens that each part is to have: pᵢ ∝ wᵢ · nᵢ^(1/τ), nᵢ its tokens. With τ = 1 parts have their natural shares times
/// their weights; the larger τ, the more alike all become.
///
/// Source: Arivazhagan et al. 2019, "Massively multilingual neural machine translation in the wild", section 4.1.
///
/// # Errors
/// `Weight`, `Temperature`, `Empty`.
pub fn shares(parts: &[Part], temperature: f64) -> Result<Vec<f64>, MixtureError> {
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(MixtureError::Temperature(temperature));
    }
    let mut masses = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        if !(part.weight.is_finite() && part.weight > 0.0) {
            return Err(MixtureError::Weight(part.weight));
        }
        let n: usize = part.documents.iter().map(|(_, tokens)| tokens).sum();
        if n == 0 {
            return Err(MixtureError::Empty(at));
        }
        masses.push(part.weight * (n as f64).powf(temperature.recip()));
    }
    let total: f64 = masses.iter().sum();
    Ok(masses.into_iter().map(|mass| mass / total).collect())
}

/// Documents in the order drawn, until `n_tokens` of them are there: the next is always of the part that lags furthest behind its
/// share, the first of equals; a part's documents come in a seeded order, each once before any comes again.
///
/// Deterministic in everything given. At any length the tokens of a part are within one document of its share.
///
/// # Errors
/// Those of `shares`.
pub fn draw(parts: &[Part], temperature: f64, n_tokens: usize, seed: u64) -> Result<Vec<usize>, MixtureError> {
    let shares = shares(parts, temperature)?;
    let (mut drawn, mut total) = (Vec::new(), 0_usize);
    let mut tokens = vec![0_usize; parts.len()];
    let mut taken = vec![0_usize; parts.len()];
    let order = |part: usize, round: usize| {
        let stream = ((part as u64) << 32) | round as u64;
        permutation(Purpose::Mixture, seed, stream, parts[part].documents.len())
    };
    let mut orders: Vec<Vec<usize>> = (0..parts.len()).map(|part| order(part, 0)).collect();
    while total < n_tokens && !parts.is_empty() {
        let lag = |part: usize| tokens[part] as f64 - shares[part] * (total as f64 + 1.0);
        let mut next = 0;
        for part in 1..parts.len() {
            if lag(part) < lag(next) {
                next = part;
            }
        }
        let n = parts[next].documents.len();
        if taken[next] > 0 && taken[next].is_multiple_of(n) {
            orders[next] = order(next, taken[next] / n);
        }
        let (document, n_of_it) = parts[next].documents[orders[next][taken[next] % n]];
        taken[next] += 1;
        tokens[next] += n_of_it;
        total += n_of_it;
        drawn.push(document);
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(weight: f64, first: usize, n: usize, tokens: usize) -> Part {
        Part { weight, documents: (first..first + n).map(|document| (document, tokens)).collect() }
    }

    /// By hand: 900 and 100 tokens; τ = 1 gives 0.9 and 0.1, τ = 2 gives 30 : 10; a weight of 9 on the second makes τ = 1 even.
    #[test]
    fn shares_are_those_of_the_formula() {
        let parts = [part(1.0, 0, 9, 100), part(1.0, 9, 1, 100)];
        let near = |found: Vec<f64>, expected: [f64; 2]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(shares(&parts, 1.0).unwrap(), [0.9, 0.1]));
        assert!(near(shares(&parts, 2.0).unwrap(), [0.75, 0.25]));
        assert!(near(shares(&[parts[0].clone(), part(9.0, 9, 1, 100)], 1.0).unwrap(), [0.5, 0.5]));
        assert_eq!(shares(&[part(0.0, 0, 1, 1)], 1.0), Err(MixtureError::Weight(0.0)));
        assert_eq!(shares(&parts, 0.0), Err(MixtureError::Temperature(0.0)));
        assert_eq!(shares(&[part(1.0, 0, 0, 1)], 1.0), Err(MixtureError::Empty(0)));
    }

    proptest::proptest! {
        #[test]
        fn a_draw_keeps_to_its_shares_and_uses_documents_evenly(
            sizes in proptest::collection::vec((1_usize..8, 1_usize..40, 0.2..5.0_f64), 1..4),
            n_tokens in 1_usize..3000,
            seed: u64,
        ) {
            let mut first = 0;
            let parts: Vec<Part> = sizes.iter().map(|&(n, tokens, weight)| {
                first += n;
                part(weight, first - n, n, tokens)
            }).collect();
            let drawn = draw(&parts, 1.5, n_tokens, seed).unwrap();
            let again = draw(&parts, 1.5, n_tokens, seed).unwrap();
            proptest::prop_assert_eq!(&drawn, &again);
            let count = |document: usize| drawn.iter().filter(|&&of| of == document).count();
            let tokens: Vec<usize> = parts.iter()
                .map(|part| part.documents.iter().map(|&(document, n)| count(document) * n).sum()).collect();
            let total: usize = tokens.iter().sum();
            proptest::prop_assert!(total >= n_tokens);
            let largest = sizes.iter().map(|&(_, tokens, _)| tokens).max().unwrap();
            for ((part, share), tokens) in parts.iter().zip(shares(&parts, 1.5).unwrap()).zip(&tokens) {
                // One document over, and one for each part that went before it in a tie.
                let slack = (largest * parts.len() + 1) as f64;
                proptest::prop_assert!((*tokens as f64 - share * total as f64).abs() <= slack);
                let counts: Vec<usize> = part.documents.iter().map(|&(document, _)| count(document)).collect();
                proptest::prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
            }
        }
    }

    #[test]
    fn shards_are_a_function_of_the_text_alone() {
        let digest = Digest::of(b"a text");
        assert_eq!(shard(&digest, 4), shard(&Digest::of(b"a text"), 4));
        let counts = (0..4000_u32).fold([0_u32; 4], |mut counts, at| {
            counts[shard(&Digest::of(&at.to_le_bytes()), 4) as usize] += 1;
            counts
        });
        // 1000 each, with a standard deviation of 27.
        assert!(counts.iter().all(|&n| n.abs_diff(1000) < 120), "{counts:?}");
    }
}
