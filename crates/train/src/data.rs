//! A corpus of token ids, and the order in which its windows are trained on.
//!
//! Legend: B batch (windows), T positions (context).

use crate::shuffle::{Purpose, permutation};
use candle_core::{Device, Tensor};
use evidence::Digest;

/// Documents joined into one stream of token ids, a separator between each two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    tokens: Vec<u32>,
    n_documents: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(
        "expected at least {needed} tokens for one window of {context} positions, found {found}; add text or lower the context"
    )]
    TooShort { needed: usize, context: usize, found: usize },
    #[error("expected a context and a batch of at least 1, found {context} and {batch}")]
    Empty { context: usize, batch: usize },
    #[error(
        "token {id} at position {position} is outside the vocabulary of {vocab}; was the corpus encoded with this model's tokenizer?"
    )]
    Vocabulary { id: u32, position: usize, vocab: usize },
    #[error("the tensor engine could not hold a batch")]
    Engine(#[from] candle_core::Error),
}

impl Corpus {
    /// Joins `documents` with `separator` between each two; none before the first or after the last.
    #[must_use]
    pub fn new(documents: &[Vec<u32>], separator: u32) -> Self {
        Self { tokens: documents.join(&separator), n_documents: documents.len() }
    }

    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    #[must_use]
    pub const fn n_documents(&self) -> usize {
        self.n_documents
    }

    /// How many whole windows of `context` + 1 tokens there are: window i begins at token i · `context`, so that every
    /// token but the first is predicted once, and fewer than `context` tokens at the end are left out.
    #[must_use]
    pub fn n_windows(&self, context: usize) -> usize {
        self.tokens.len().saturating_sub(1).checked_div(context).unwrap_or(0)
    }

    /// The digest of the stream: each id as four bytes, little-endian.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let bytes: Vec<u8> = self.tokens.iter().flat_map(|id| id.to_le_bytes()).collect();
        Digest::of(&bytes)
    }

    pub(crate) fn check_vocabulary(&self, vocab: usize) -> Result<(), DataError> {
        match self.tokens.iter().position(|&id| id as usize >= vocab) {
            Some(position) => Err(DataError::Vocabulary { id: self.tokens[position], position, vocab }),
            None => Ok(()),
        }
    }

    fn window(&self, window: usize, context: usize) -> &[u32] {
        &self.tokens[window * context..(window + 1) * context + 1]
    }
}

/// One batch: what the model reads and what it must say, both (B, T), u32.
#[derive(Debug, Clone)]
pub struct Batch {
    pub inputs: Tensor,
    pub targets: Tensor,
    /// Predicted positions, B · T.
    pub n_tokens: u64,
}

impl Batch {
    /// The batch cut into at most `n` runs of windows, in order, their sizes equal to within one.
    ///
    /// # Errors
    /// Those of the tensor engine.
    pub fn shards(&self, n: usize) -> Result<Vec<Self>, DataError> {
        let (windows, context) = self.inputs.dims2()?;
        let n = n.clamp(1, windows.max(1));
        let shard = |place: usize| {
            let (begin, end) = (place * windows / n, (place + 1) * windows / n);
            let rows = |side: &Tensor| side.narrow(0, begin, end - begin);
            Ok(Self {
                inputs: rows(&self.inputs)?,
                targets: rows(&self.targets)?,
                n_tokens: ((end - begin) * context) as u64,
            })
        };
        (0..n).map(shard).collect()
    }
}

/// The batches of a run. Batch of step s is a pure function of (corpus, context, batch, seed, s), so that work taken up
/// again needs no generator state: the windows of epoch e are shuffled with stream e, epochs follow one another without
/// a gap, and step s takes places (s − 1) · B to s · B of that sequence.
#[derive(Debug)]
pub struct Batches<'a> {
    corpus: &'a Corpus,
    context: usize,
    batch: usize,
    seed: u64,
    n_windows: usize,
    /// The last epoch looked at: only a saving, never a state.
    epoch: (u64, Vec<usize>),
}

impl<'a> Batches<'a> {
    /// # Errors
    /// `Empty` if `context` or `batch` is 0, `TooShort` if the corpus has no whole window.
    pub fn new(corpus: &'a Corpus, context: usize, batch: usize, seed: u64) -> Result<Self, DataError> {
        if context == 0 || batch == 0 {
            return Err(DataError::Empty { context, batch });
        }
        let n_windows = corpus.n_windows(context);
        if n_windows == 0 {
            return Err(DataError::TooShort { needed: context + 1, context, found: corpus.tokens.len() });
        }
        let epoch = (0, permutation(Purpose::Windows, seed, 0, n_windows));
        Ok(Self { corpus, context, batch, seed, n_windows, epoch })
    }

    /// The windows of `step` (1, 2, …), in order.
    pub fn windows(&mut self, step: u64) -> Vec<usize> {
        let first = (step - 1) * self.batch as u64;
        (first..first + self.batch as u64).map(|place| self.window_at(place)).collect()
    }

    fn window_at(&mut self, place: u64) -> usize {
        let (epoch, offset) = (place / self.n_windows as u64, place % self.n_windows as u64);
        if self.epoch.0 != epoch {
            self.epoch = (epoch, permutation(Purpose::Windows, self.seed, epoch, self.n_windows));
        }
        self.epoch.1[offset as usize]
    }

    /// The batch of `step` (1, 2, …).
    ///
    /// # Errors
    /// `Engine` if the tensors cannot be made.
    pub fn batch(&mut self, step: u64) -> Result<Batch, DataError> {
        let windows = self.windows(step);
        self.gather(&windows)
    }

    /// Every window once, in corpus order, in chunks of at most B: the full batch of gradient descent.
    pub fn full(&self) -> impl Iterator<Item = Result<Batch, DataError>> + '_ {
        let windows: Vec<usize> = (0..self.n_windows).collect();
        let chunks: Vec<Vec<usize>> = windows.chunks(self.batch).map(<[usize]>::to_vec).collect();
        chunks.into_iter().map(|windows| self.gather(&windows))
    }

    /// Predicted positions of one step: B · T, or all of them when the step takes the full batch.
    #[must_use]
    pub const fn n_tokens(&self, full: bool) -> u64 {
        (if full { self.n_windows } else { self.batch }) as u64 * self.context as u64
    }

    fn gather(&self, windows: &[usize]) -> Result<Batch, DataError> {
        let shape = (windows.len(), self.context);
        let side = |offset: usize| {
            let ids = windows.iter().flat_map(|&window| {
                self.corpus.window(window, self.context)[offset..offset + self.context].iter().copied()
            });
            Tensor::from_vec(ids.collect::<Vec<u32>>(), shape, &Device::Cpu)
        };
        Ok(Batch { inputs: side(0)?, targets: side(1)?, n_tokens: (windows.len() * self.context) as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(n: u32) -> Corpus {
        Corpus::new(&[(0..n).collect()], 0)
    }

    #[test]
    fn documents_are_joined_by_the_separator() {
        let corpus = Corpus::new(&[vec![1, 2], vec![3], vec![4, 5]], 9);
        assert_eq!(corpus.tokens(), [1, 2, 9, 3, 9, 4, 5]);
        assert_eq!((corpus.n_documents(), corpus.n_windows(3), corpus.n_windows(7), corpus.n_windows(0)), (3, 2, 0, 0));
    }

    #[test]
    fn targets_are_the_inputs_one_token_on() {
        let corpus = counting(100);
        let mut batches = Batches::new(&corpus, 5, 4, 1).unwrap();
        let batch = batches.batch(3).unwrap();
        let (inputs, targets) = (batch.inputs.to_vec2::<u32>().unwrap(), batch.targets.to_vec2::<u32>().unwrap());
        assert_eq!((inputs.len(), inputs[0].len(), batch.n_tokens), (4, 5, 20));
        for (input, target) in inputs.iter().flatten().zip(targets.iter().flatten()) {
            assert_eq!(*target, input + 1);
        }
    }

    proptest::proptest! {
        #[test]
        fn each_epoch_takes_each_window_once(n in 12_u32..300, context in 1_usize..6, batch in 1_usize..9, seed: u64) {
            let corpus = counting(n);
            let mut batches = Batches::new(&corpus, context, batch, seed).unwrap();
            let n_windows = corpus.n_windows(context);
            let n_steps = (3 * n_windows).div_ceil(batch) as u64;
            let order: Vec<usize> = (1..=n_steps).flat_map(|step| batches.windows(step)).collect();
            for epoch in order.chunks_exact(n_windows) {
                let mut sorted = epoch.to_vec();
                sorted.sort_unstable();
                proptest::prop_assert_eq!(sorted, (0..n_windows).collect::<Vec<_>>());
            }
        }

        #[test]
        fn a_batch_does_not_depend_on_those_before_it(steps in proptest::collection::vec(1_u64..200, 1..20), seed: u64) {
            let corpus = counting(90);
            let mut walked = Batches::new(&corpus, 4, 3, seed).unwrap();
            for step in steps {
                let fresh = Batches::new(&corpus, 4, 3, seed).unwrap().windows(step);
                proptest::prop_assert_eq!(walked.windows(step), fresh);
            }
        }
    }

    #[test]
    fn the_full_batch_holds_every_window_once_in_order() {
        let corpus = counting(48);
        let batches = Batches::new(&corpus, 5, 4, 1).unwrap();
        let chunks: Vec<Batch> = batches.full().map(Result::unwrap).collect();
        let inputs: Vec<u32> =
            chunks.iter().flat_map(|chunk| chunk.inputs.flatten_all().unwrap().to_vec1::<u32>().unwrap()).collect();
        assert_eq!(inputs, (0..45).collect::<Vec<_>>());
        assert_eq!(chunks.iter().map(|chunk| chunk.n_tokens).collect::<Vec<_>>(), [20, 20, 5]);
        assert_eq!((batches.n_tokens(true), batches.n_tokens(false)), (45, 20));
    }

    #[test]
    fn shards_are_the_batch_in_order() {
        let corpus = counting(61);
        let batch = Batches::new(&corpus, 5, 10, 1).unwrap().batch(1).unwrap();
        let ids = |side: &Tensor| side.flatten_all().unwrap().to_vec1::<u32>().unwrap();
        for (n, sizes) in [(1, vec![50]), (4, vec![10, 15, 10, 15]), (99, vec![5; 10])] {
            let shards = batch.shards(n).unwrap();
            assert_eq!(shards.iter().map(|shard| shard.n_tokens).collect::<Vec<_>>(), sizes);
            assert_eq!(shards.iter().flat_map(|shard| ids(&shard.inputs)).collect::<Vec<_>>(), ids(&batch.inputs));
            assert_eq!(shards.iter().flat_map(|shard| ids(&shard.targets)).collect::<Vec<_>>(), ids(&batch.targets));
        }
    }

    #[test]
    fn bad_corpora_are_refused() {
        let corpus = counting(5);
        assert_eq!(
            Batches::new(&corpus, 5, 1, 0).unwrap_err().to_string(),
            "expected at least 6 tokens for one window of 5 positions, found 5; add text or lower the context"
        );
        assert_eq!(
            Batches::new(&corpus, 5, 0, 0).unwrap_err().to_string(),
            "expected a context and a batch of at least 1, found 5 and 0"
        );
        assert_eq!(
            corpus.check_vocabulary(3).unwrap_err().to_string(),
            "token 3 at position 3 is outside the vocabulary of 3; was the corpus encoded with this model's tokenizer?"
        );
        assert!(corpus.check_vocabulary(5).is_ok());
    }

    /// `printf '\x01\x00\x00\x00\x02\x01\x00\x00' | sha256sum`
    #[test]
    fn the_digest_is_of_little_endian_ids() {
        let corpus = Corpus::new(&[vec![1, 258]], 0);
        assert_eq!(corpus.digest().to_string(), "fb8bbe2ad3ab5292f19bc5d75bbab9b5fbddc5a78ce47ab41b2d3d59bca08596");
    }
}
