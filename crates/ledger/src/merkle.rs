//! The Merkle tree of RFC 6962, section 2.1, over SHA-256: roots, inclusion and consistency proofs.
//!
//! Legend: `size` leaves of a tree, `index` of a leaf, `level` k holds the hashes of complete subtrees of 2^k leaves.

use evidence::Digest;

/// `MTH({})`: the hash of nothing.
#[must_use]
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// `SHA-256(0x00 || entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Digest {
    let mut bytes = Vec::with_capacity(entry.len() + 1);
    bytes.push(0);
    bytes.extend_from_slice(entry);
    Digest::of(&bytes)
}

/// `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = Vec::with_capacity(65);
    bytes.push(1);
    bytes.extend_from_slice(left.as_bytes());
    bytes.extend_from_slice(right.as_bytes());
    Digest::of(&bytes)
}

/// A tree in memory: every complete subtree's hash, about 64 bytes a leaf.
///
/// INVARIANT: `levels[k][i]` is `MTH(D[i·2^k : (i+1)·2^k])`, and every complete subtree is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    #[must_use]
    pub fn from_leaves(leaves: impl IntoIterator<Item = Digest>) -> Self {
        let mut tree = Self::default();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Digest) {
        let (mut hash, mut level) = (leaf, 0);
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { return };
            hashes.push(hash);
            match hashes.as_slice() {
                [.., left, right] if hashes.len() % 2 == 0 => hash = node_hash(left, right),
                _ => return,
            }
            level += 1;
        }
    }

    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    #[must_use]
    pub fn root(&self) -> Digest {
        self.root_at(self.size()).unwrap_or_else(empty_root)
    }

    /// The root when the tree had `size` leaves; nothing beyond its present size.
    #[must_use]
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        if size == 0 { Some(empty_root()) } else { self.range(0, size) }
    }

    /// The hash of the complete subtree `index` of 2^`level` leaves.
    #[must_use]
    pub fn node(&self, level: u32, index: u64) -> Option<Digest> {
        self.levels.get(level as usize)?.get(usize::try_from(index).ok()?).copied()
    }

    /// `PATH(index, D[size])`: siblings from the leaf upwards; nothing unless `index < size` and `size` leaves are there.
    #[must_use]
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Option<Vec<Digest>> {
        if index >= size || size > self.size() {
            return None;
        }
        let mut proof = Vec::new();
        self.path(index, 0, size, &mut proof)?;
        Some(proof)
    }

    /// `PROOF(from, D[to])`; nothing unless `0 < from <= to` and `to` leaves are there.
    #[must_use]
    pub fn consistency_proof(&self, from: u64, to: u64) -> Option<Vec<Digest>> {
        if from == 0 || from > to || to > self.size() {
            return None;
        }
        let mut proof = Vec::new();
        self.subproof(from, 0, to, true, &mut proof)?;
        Some(proof)
    }

    /// `MTH(D[start : start + n])` for a range that the recursion of the RFC meets: `start` a multiple of the power of
    /// two at or above `n`.
    fn range(&self, start: u64, n: u64) -> Option<Digest> {
        if n.is_power_of_two() {
            return self.node(n.trailing_zeros(), start >> n.trailing_zeros());
        }
        let left = split(n);
        Some(node_hash(&self.range(start, left)?, &self.range(start + left, n - left)?))
    }

    fn path(&self, index: u64, start: u64, n: u64, proof: &mut Vec<Digest>) -> Option<()> {
        if n == 1 {
            return Some(());
        }
        let left = split(n);
        if index < left {
            self.path(index, start, left, proof)?;
            proof.push(self.range(start + left, n - left)?);
        } else {
            self.path(index - left, start + left, n - left, proof)?;
            proof.push(self.range(start, left)?);
        }
        Some(())
    }

    fn subproof(&self, from: u64, start: u64, n: u64, known: bool, proof: &mut Vec<Digest>) -> Option<()> {
        if from == n {
            if !known {
                proof.push(self.range(start, n)?);
            }
            return Some(());
        }
        let left = split(n);
        if from <= left {
            self.subproof(from, start, left, known, proof)?;
            proof.push(self.range(start + left, n - left)?);
        } else {
            self.subproof(from - left, start + left, n - left, false, proof)?;
            proof.push(self.range(start, left)?);
        }
        Some(())
    }
}

/// The largest power of two below `n`, for `n > 1`.
const fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("index {index} is not in a tree of {size} entries")]
    Index { index: u64, size: u64 },
    #[error("a tree of {from} entries cannot be shown to precede one of {to}")]
    Sizes { from: u64, to: u64 },
    #[error("a proof of {found} hashes has the wrong length")]
    Length { found: usize },
    #[error("expected the root {expected}, found {found}")]
    Root { expected: Digest, found: Digest },
}

/// Whether `leaf` stands at `index` in the tree of `size` leaves with that `root`.
///
/// # Errors
/// `ProofError` with what does not fit. Source: RFC 9162, section 2.1.3.2.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length { found: proof.len() });
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length { found: proof.len() });
    }
    same_root(root, hash)
}

/// Whether the tree of `from` leaves with root `from_root` is a prefix of the tree of `to` leaves with root `to_root`.
///
/// # Errors
/// `ProofError` with what does not fit; an empty tree precedes everything and so proves nothing, which is an error.
/// Source: RFC 9162, section 2.1.4.2.
pub fn verify_consistency(
    from: u64,
    to: u64,
    proof: &[Digest],
    from_root: &Digest,
    to_root: &Digest,
) -> Result<(), ProofError> {
    if from == 0 || from > to {
        return Err(ProofError::Sizes { from, to });
    }
    let length = ProofError::Length { found: proof.len() };
    if from == to {
        return if proof.is_empty() { same_root(to_root, *from_root) } else { Err(length) };
    }
    let (seed, rest) = match proof {
        [] => return Err(length),
        rest if from.is_power_of_two() => (*from_root, rest),
        [seed, rest @ ..] => (*seed, rest),
    };
    let trailing = (from - 1).trailing_ones();
    let (mut node, mut last) = ((from - 1) >> trailing, (to - 1) >> trailing);
    let (mut old, mut new) = (seed, seed);
    for hash in rest {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            (old, new) = (node_hash(hash, &old), node_hash(hash, &new));
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, hash);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(length);
    }
    same_root(from_root, old)?;
    same_root(to_root, new)
}

fn same_root(expected: &Digest, found: Digest) -> Result<(), ProofError> {
    if *expected == found { Ok(()) } else { Err(ProofError::Root { expected: *expected, found }) }
}
