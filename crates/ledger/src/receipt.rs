//! Receipts: C2SP tlog-proof, one entry's place in the log as a text that is checked without the log.

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    encoding::{from_base64, to_base64, to_count},
    key::VerifyingKey,
    merkle::{self, ProofError},
};
use evidence::Digest;
use std::fmt;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^64 entries has paths of this length.
const PROOF_MAX: usize = 64;

/// An inclusion proof with the checkpoint it leads to. Displays as a `.tlog-proof` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Not authenticated.
    pub extra: Option<Vec<u8>>,
    pub index: u64,
    /// Siblings from the leaf upwards.
    pub proof: Vec<Digest>,
    /// The checkpoint file as it is, with any cosignatures.
    pub checkpoint: String,
}

impl Receipt {
    /// # Errors
    /// `Line` with the line that is absent or malformed.
    pub fn parse(text: &str) -> Result<Self, ReceiptError> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ReceiptError::Line("empty line"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(ReceiptError::Line("first line"));
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => Some(from_base64(&line["extra ".len()..]).ok_or(ReceiptError::Line("extra line"))?),
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(to_count);
        let index = index.ok_or(ReceiptError::Line("index line"))?;
        let hash = |line: &str| from_base64(line)?.try_into().ok().map(Digest::from_bytes);
        let proof: Option<Vec<_>> = lines.take(PROOF_MAX + 1).map(hash).collect();
        let proof = proof.filter(|proof| proof.len() <= PROOF_MAX).ok_or(ReceiptError::Line("hash line"))?;
        Ok(Self { extra, index, proof, checkpoint: checkpoint.to_owned() })
    }

    /// Whether `entry` stands in the log `origin` as its checkpoint, signed by one of `keys`, says. The entry of an
    /// envelope is its canonical digest set, see [`crate::entry_bytes`].
    ///
    /// # Errors
    /// `Checkpoint` when it is not believed; `Origin` when it is another log's; `Proof` when the entry is not there.
    pub fn verify(&self, entry: &[u8], keys: &[VerifyingKey], origin: &str) -> Result<Checkpoint, ReceiptError> {
        let (checkpoint, _) = Checkpoint::open(self.checkpoint.as_bytes(), keys)?;
        if checkpoint.origin != origin {
            return Err(ReceiptError::Origin { expected: origin.to_owned(), found: checkpoint.origin });
        }
        let leaf = merkle::leaf_hash(entry);
        merkle::verify_inclusion(&leaf, self.index, checkpoint.size, &self.proof, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", to_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.proof {
            writeln!(f, "{}", to_base64(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    #[error("the receipt's {0} is absent or malformed")]
    Line(&'static str),
    #[error("the receipt's checkpoint is not to be believed")]
    Checkpoint(#[from] CheckpointError),
    #[error("expected a receipt of the log `{expected}`, found one of `{found}`")]
    Origin { expected: String, found: String },
    #[error("the entry is not where the receipt says")]
    Proof(#[from] ProofError),
}
