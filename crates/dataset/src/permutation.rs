//! Seeded permutations that another program can make again.

use evidence::Digest;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

/// The numbers 0 to `n` − 1 in an order that depends on `purpose` and `seed` alone.
///
/// Fisher and Yates from the last place down, each place drawn without bias from the key stream of ChaCha20 (counter and
/// nonce zero, read as little-endian 64-bit words) under the key SHA-256(`"assize " purpose " " seed`).
pub(crate) fn permutation(n: usize, purpose: &str, seed: u64) -> Vec<usize> {
    let key = Digest::of(format!("assize {purpose} {seed}").as_bytes());
    let mut generator = ChaCha20Rng::from_seed(*key.as_bytes());
    let mut order: Vec<usize> = (0..n).collect();
    for place in (1..n).rev() {
        order.swap(place, below(place as u64 + 1, &mut generator) as usize);
    }
    order
}

/// A uniform number below `n`: words from the last, incomplete run of `n` are drawn again.
fn below(n: u64, generator: &mut ChaCha20Rng) -> u64 {
    let incomplete = (u64::MAX % n + 1) % n;
    loop {
        let word = generator.next_u64();
        if word <= u64::MAX - incomplete {
            return word % n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: `tests/fixtures/permutation.py`, which has its own ChaCha20 (checked there against RFC 8439, 2.3.2).
    #[test]
    fn permutations_are_those_of_an_independent_program() {
        assert_eq!(permutation(12, "split", 7), PYTHON_SPLIT_7);
        assert_eq!(permutation(12, "folds", 7), PYTHON_FOLDS_7);
        assert_eq!(permutation(0, "split", 7), [0; 0]);
    }

    const PYTHON_SPLIT_7: [usize; 12] = [5, 1, 8, 0, 6, 2, 4, 7, 10, 3, 11, 9];
    const PYTHON_FOLDS_7: [usize; 12] = [6, 2, 0, 3, 8, 5, 7, 4, 9, 1, 11, 10];
}
