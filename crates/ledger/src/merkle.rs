//! RFC 6962 trees: roots, and proofs made and checked.

use evidence::Digest;

/// SPEC: RFC 6962, section 2.1.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Digest {
    let mut bytes = vec![0x00];
    bytes.extend(entry);
    Digest::of(&bytes)
}

/// SPEC: RFC 6962, section 2.1.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = vec![0x01];
    bytes.extend(left.as_bytes());
    bytes.extend(right.as_bytes());
    Digest::of(&bytes)
}

/// The root over leaf hashes; of none, the hash of nothing.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `n`, for `n` of 2 or more.
const fn split(n: usize) -> usize {
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
}

/// The audit path of leaf `index`, leaf side first; `None` outside the tree. SPEC: RFC 6962, section 2.1.1.
#[must_use]
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, sibling) = if index < left.len() {
        (inclusion_proof(left, index)?, root(right))
    } else {
        (inclusion_proof(right, index - left.len())?, root(left))
    };
    path.push(sibling);
    Some(path)
}

/// The proof that the tree over the first `old` leaves is a prefix of this one. SPEC: RFC 6962, section 2.1.2.
#[must_use]
pub fn consistency_proof(leaves: &[Digest], old: usize) -> Option<Vec<Digest>> {
    if old == 0 || old > leaves.len() {
        return None;
    }
    Some(subproof(leaves, old, true))
}

fn subproof(leaves: &[Digest], old: usize, is_whole: bool) -> Vec<Digest> {
    if old == leaves.len() {
        return if is_whole { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, sibling) = if old <= left.len() {
        (subproof(left, old, is_whole), root(right))
    } else {
        (subproof(right, old - left.len(), false), root(left))
    };
    path.push(sibling);
    path
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("the index {index} lies outside a tree of {size}")]
    Index { index: u64, size: u64 },
    #[error("the sizes {old} and {new} are not those of a growing tree")]
    Sizes { old: u64, new: u64 },
    #[error("expected {expected} hashes in the proof, found {found}")]
    Length { expected: usize, found: usize },
    #[error("the proof leads to another root")]
    Root,
}

/// Checks that `leaf` stands at `index` of the tree of `size` leaves with that root. SPEC: RFC 9162, section 2.1.3.2.
///
/// # Errors
/// `ProofError` with the cause.
pub fn verify_inclusion(leaf: Digest, index: u64, size: u64, proof: &[Digest], root: Digest) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let (inner, border) = path_lengths(index, size);
    let expected = inner + border;
    if proof.len() != expected {
        return Err(ProofError::Length { expected, found: proof.len() });
    }
    let hash = chain_inner(leaf, &proof[..inner], index);
    let hash = proof[inner..].iter().fold(hash, |hash, left| node_hash(left, &hash));
    if hash == root { Ok(()) } else { Err(ProofError::Root) }
}

/// Hashes on the path that may be on either side, and those that are always on the left.
const fn path_lengths(index: u64, size: u64) -> (usize, usize) {
    let inner = (u64::BITS - (index ^ (size - 1)).leading_zeros()) as usize;
    let border = if inner >= 64 { 0 } else { (index >> inner).count_ones() as usize };
    (inner, border)
}

fn chain_inner(seed: Digest, proof: &[Digest], index: u64) -> Digest {
    proof.iter().enumerate().fold(seed, |hash, (level, sibling)| {
        if index >> level & 1 == 0 { node_hash(&hash, sibling) } else { node_hash(sibling, &hash) }
    })
}

/// Checks that the tree of `old` leaves is a prefix of the tree of `new`. SPEC: RFC 9162, section 2.1.4.2.
///
/// # Errors
/// `ProofError` with the cause.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Digest],
    old_root: Digest,
    new_root: Digest,
) -> Result<(), ProofError> {
    // A proof from the empty tree would prove nothing.
    if old == 0 || new < old {
        return Err(ProofError::Sizes { old, new });
    }
    if old == new {
        if !proof.is_empty() {
            return Err(ProofError::Length { expected: 0, found: proof.len() });
        }
        return if old_root == new_root { Ok(()) } else { Err(ProofError::Root) };
    }
    let shift = old.trailing_zeros() as usize;
    let (inner, border) = path_lengths(old - 1, new);
    let inner = inner - shift;
    let is_power_of_two = old == 1 << shift;
    let start = usize::from(!is_power_of_two);
    let expected = start + inner + border;
    if proof.len() != expected {
        return Err(ProofError::Length { expected, found: proof.len() });
    }
    let seed = if is_power_of_two { old_root } else { proof[0] };
    let (inner_part, border_part) = proof[start..].split_at(inner);
    let mask = (old - 1) >> shift;
    let old_hash = inner_part
        .iter()
        .enumerate()
        .filter(|(level, _)| mask >> level & 1 == 1)
        .fold(seed, |hash, (_, sibling)| node_hash(sibling, &hash));
    let old_hash = border_part.iter().fold(old_hash, |hash, left| node_hash(left, &hash));
    if old_hash != old_root {
        return Err(ProofError::Root);
    }
    let new_hash = chain_inner(seed, inner_part, mask);
    let new_hash = border_part.iter().fold(new_hash, |hash, left| node_hash(left, &hash));
    if new_hash == new_root { Ok(()) } else { Err(ProofError::Root) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: usize) -> Vec<Digest> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    proptest::proptest! {
        #[test]
        fn every_proof_made_is_accepted_and_a_changed_one_is_not(n in 1_usize..600, pick in 0_usize..600, cut in 1_usize..600, bit in 0_usize..4096) {
            let all = leaves(n);
            let (index, old) = (pick % n, cut % n + 1);
            let proof = inclusion_proof(&all, index).unwrap();
            let check = |proof: &[Digest]| verify_inclusion(all[index], index as u64, n as u64, proof, root(&all));
            proptest::prop_assert_eq!(check(&proof), Ok(()));
            proptest::prop_assert_eq!(proof.is_empty() || check(&flipped(&proof, bit)) == Err(ProofError::Root), true);
            let proof = consistency_proof(&all, old).unwrap();
            let check = |proof: &[Digest]| verify_consistency(old as u64, n as u64, proof, root(&all[..old]), root(&all));
            proptest::prop_assert_eq!(check(&proof), Ok(()));
            proptest::prop_assert_eq!(proof.is_empty() || check(&flipped(&proof, bit)) == Err(ProofError::Root), true);
        }
    }

    fn flipped(proof: &[Digest], bit: usize) -> Vec<Digest> {
        let mut proof = proof.to_vec();
        let place = bit / 256 % proof.len().max(1);
        if let Some(hash) = proof.get_mut(place) {
            let mut bytes = *hash.as_bytes();
            bytes[bit / 8 % 32] ^= 1 << (bit % 8);
            *hash = Digest::from_bytes(bytes);
        }
        proof
    }
}
