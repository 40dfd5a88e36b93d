//! A corpus of token ids, and the order in which its windows are trained on.
//!
//! Legend: B batch (windows), T positions (context).

use crate::{
    config::Order,
    shuffle::{Purpose, permutation},
};
use candle_core::{Device, Tensor};
use evidence::Digest;

/// What is trained on: documents joined into one stream of token ids with a separator between each two, or documents packed into
/// windows in which none sees another.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// The stream; of packed documents their tokens, one behind another.
    tokens: Vec<u32>,
    n_documents: usize,
    packed: Option<Packed>,
}

/// A document of which not every token is learned: an answer, and the question before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    pub tokens: Vec<u32>,
    /// How much it counts that each token is predicted; 0 for a question. The first is never predicted.
    pub weights: Vec<f32>,
}

/// Windows of T rows each: what is read, what must be said, how much that counts, and the first row that may be looked at.
#[derive(Debug, Clone, PartialEq)]
struct Packed {
    context: usize,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
    starts: Vec<u32>,
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
    #[error("expected a weight for each token of an example, found {weights} for {tokens} in example {example}")]
    Weights { tokens: usize, weights: usize, example: usize },
    #[error("of {n_examples} examples none has a token to learn within {context} positions; raise the context")]
    NothingToLearn { n_examples: usize, context: usize },
    #[error("expected the context {expected} that the examples were packed for, found {found}")]
    Packed { expected: usize, found: usize },
    #[error("the tensor engine could not hold a batch")]
    Engine(#[from] candle_core::Error),
}

impl Corpus {
    /// Joins `documents` with `separator` between each two; none before the first or after the last.
    #[must_use]
    pub fn new(documents: &[Vec<u32>], separator: u32) -> Self {
        Self { tokens: documents.join(&separator), n_documents: documents.len(), packed: None }
    }

    /// Packs examples into windows of `context` rows, each whole, in the order given: an example goes into the window being filled
    /// when it fits, else a new one is begun. One that is longer than a window is cut at its end. Attention never crosses from one
    /// to another; what is left of a window counts for nothing.
    ///
    /// # Errors
    /// `Weights` for an example whose weights are not as many as its tokens; `NothingToLearn`.
    pub fn packed(examples: &[Example], context: usize) -> Result<Self, DataError> {
        let (mut inputs, mut targets, mut weights, mut starts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (example, Example { tokens, weights: of_tokens }) in examples.iter().enumerate() {
            if tokens.len() != of_tokens.len() {
                return Err(DataError::Weights { tokens: tokens.len(), weights: of_tokens.len(), example });
            }
            let n = tokens.len().saturating_sub(1).min(context);
            if of_tokens.iter().skip(1).take(n).all(|&weight| weight == 0.0) {
                continue;
            }
            let mut place = inputs.len() % context;
            if place + n > context {
                pad(context - place, place, (&mut inputs, &mut targets, &mut weights, &mut starts));
                place = 0;
            }
            inputs.extend(&tokens[..n]);
            targets.extend(&tokens[1..=n]);
            weights.extend(&of_tokens[1..=n]);
            starts.extend(std::iter::repeat_n(place as u32, n));
        }
        if inputs.is_empty() {
            return Err(DataError::NothingToLearn { n_examples: examples.len(), context });
        }
        let place = inputs.len() % context;
        if place > 0 {
            pad(context - place, place, (&mut inputs, &mut targets, &mut weights, &mut starts));
        }
        let tokens = examples.iter().flat_map(|example| &example.tokens).copied().collect();
        let packed = Some(Packed { context, inputs, targets, weights, starts });
        Ok(Self { tokens, n_documents: examples.len(), packed })
    }

    /// Packs texts that have a class like `packed`: all of a text is read, and its class is said at its last token, where it counts 1.
    /// A text that is longer than a window is cut at its end.
    ///
    /// # Errors
    /// `NothingToLearn` where no text has a token.
    pub fn labelled(texts: &[(Vec<u32>, u32)], context: usize) -> Result<Self, DataError> {
        let (mut inputs, mut targets, mut weights, mut starts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (tokens, class) in texts {
            let n = tokens.len().min(context);
            if n == 0 {
                return Err(DataError::NothingToLearn { n_examples: texts.len(), context });
            }
            let mut place = inputs.len() % context;
            if place + n > context {
                pad(context - place, place, (&mut inputs, &mut targets, &mut weights, &mut starts));
                place = 0;
            }
            inputs.extend(&tokens[..n]);
            targets.extend(std::iter::repeat_n(0, n - 1).chain([*class]));
            weights.extend(std::iter::repeat_n(0.0, n - 1).chain([1.0]));
            starts.extend(std::iter::repeat_n(place as u32, n));
        }
        let place = inputs.len() % context;
        if inputs.is_empty() {
            return Err(DataError::NothingToLearn { n_examples: texts.len(), context });
        }
        if place > 0 {
            pad(context - place, place, (&mut inputs, &mut targets, &mut weights, &mut starts));
        }
        let tokens = texts.iter().flat_map(|(tokens, _)| tokens).copied().collect();
        let packed = Some(Packed { context, inputs, targets, weights, starts });
        Ok(Self { tokens, n_documents: texts.len(), packed })
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
        if let Some(packed) = &self.packed {
            return if context == packed.context { packed.inputs.len() / context } else { 0 };
        }
        self.tokens.len().saturating_sub(1).checked_div(context).unwrap_or(0)
    }

    /// The digest of the stream: each id as four bytes, little-endian; of packed windows, of what is read, said, counted and seen.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut bytes: Vec<u8> = self.tokens.iter().flat_map(|id| id.to_le_bytes()).collect();
        if let Some(Packed { context, inputs, targets, weights, starts }) = &self.packed {
            bytes.extend((*context as u64).to_le_bytes());
            bytes.extend([inputs, targets, starts].into_iter().flatten().flat_map(|id| id.to_le_bytes()));
            bytes.extend(weights.iter().flat_map(|weight| weight.to_le_bytes()));
        }
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

/// Rows that are read by nobody and count for nothing.
fn pad(n: usize, place: usize, sides: (&mut Vec<u32>, &mut Vec<u32>, &mut Vec<f32>, &mut Vec<u32>)) {
    let (inputs, targets, weights, starts) = sides;
    inputs.extend(std::iter::repeat_n(0, n));
    targets.extend(std::iter::repeat_n(0, n));
    weights.extend(std::iter::repeat_n(0.0, n));
    starts.extend((place..place + n).map(|at| at as u32));
}

/// One batch: what the model reads and what it must say, both (B, T), u32.
#[derive(Debug, Clone)]
pub struct Batch {
    pub inputs: Tensor,
    pub targets: Tensor,
    /// Predicted positions, B · T.
    pub n_tokens: u64,
    /// (B · T,), of packed examples: how much each position counts, and the first of its window that it may look at.
    pub weights: Option<Vec<f32>>,
    pub starts: Option<Vec<u32>>,
}

impl Batch {
    /// Σ of the weights; without weights each position counts 1.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.weights.as_ref().map_or(self.n_tokens as f64, |all| all.iter().map(|&weight| f64::from(weight)).sum())
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
    order: Order,
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
        if let Some(packed) = corpus.packed.as_ref().filter(|packed| packed.context != context) {
            return Err(DataError::Packed { expected: packed.context, found: context });
        }
        let n_windows = corpus.n_windows(context);
        if n_windows == 0 {
            return Err(DataError::TooShort { needed: context + 1, context, found: corpus.tokens.len() });
        }
        let epoch = (0, permutation(Purpose::Windows, seed, 0, n_windows));
        Ok(Self { corpus, context, batch, seed, n_windows, order: Order::Shuffled, epoch })
    }

    /// The same batches in another order.
    #[must_use]
    pub const fn in_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// The windows of `step` (1, 2, …), in order.
    pub fn windows(&mut self, step: u64) -> Vec<usize> {
        let first = (step - 1) * self.batch as u64;
        (first..first + self.batch as u64).map(|place| self.window_at(place)).collect()
    }

    fn window_at(&mut self, place: u64) -> usize {
        let (epoch, offset) = (place / self.n_windows as u64, place % self.n_windows as u64);
        if self.order == Order::AsGiven {
            return offset as usize;
        }
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
        let (t, shape) = (self.context, (windows.len(), self.context));
        let n_tokens = (windows.len() * t) as u64;
        let ids = |ids: Vec<u32>| Tensor::from_vec(ids, shape, &Device::Cpu);
        if let Some(packed) = &self.corpus.packed {
            let (inputs, targets) =
                (ids(picked(&packed.inputs, windows, t))?, ids(picked(&packed.targets, windows, t))?);
            let (weights, starts) = (picked(&packed.weights, windows, t), picked(&packed.starts, windows, t));
            return Ok(Batch { inputs, targets, n_tokens, weights: Some(weights), starts: Some(starts) });
        }
        let side = |offset: usize| {
            let of = |&window: &usize| self.corpus.window(window, t)[offset..offset + t].iter().copied();
            ids(windows.iter().flat_map(of).collect())
        };
        Ok(Batch { inputs: side(0)?, targets: side(1)?, n_tokens, weights: None, starts: None })
    }
}

/// The rows of these windows, one behind another.
fn picked<T: Copy>(rows: &[T], windows: &[usize], context: usize) -> Vec<T> {
    windows.iter().flat_map(|&window| &rows[window * context..(window + 1) * context]).copied().collect()
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
    fn a_curriculum_is_walked_as_given() {
        let corpus = counting(21);
        let mut batches = Batches::new(&corpus, 5, 3, 1).unwrap().in_order(Order::AsGiven);
        assert_eq!((batches.windows(1), batches.windows(2)), (vec![0, 1, 2], vec![3, 0, 1]));
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

    /// By hand: rows of 2 and 3 fill a window of 5, one of 4 begins the next, one of 9 is cut to a window of its own.
    #[test]
    fn examples_are_packed_whole_and_see_only_themselves() {
        let example = |tokens: std::ops::Range<u32>, n_asked: usize| {
            let weights = tokens.clone().enumerate().map(|(at, _)| if at < n_asked { 0.0 } else { 1.0 }).collect();
            Example { tokens: tokens.collect(), weights }
        };
        let examples =
            [example(10..13, 1), example(20..24, 3), example(30..33, 3), example(40..45, 2), example(50..60, 4)];
        let corpus = Corpus::packed(&examples, 5).unwrap();
        assert_eq!((corpus.n_windows(5), corpus.n_documents()), (3, 5));
        let batches = Batches::new(&corpus, 5, 3, 1).unwrap();
        let batch = batches.full().next().unwrap().unwrap();
        let ids = |side: &Tensor| side.flatten_all().unwrap().to_vec1::<u32>().unwrap();
        assert_eq!(ids(&batch.inputs), [10, 11, 20, 21, 22, 40, 41, 42, 43, 0, 50, 51, 52, 53, 54]);
        assert_eq!(ids(&batch.targets), [11, 12, 21, 22, 23, 41, 42, 43, 44, 0, 51, 52, 53, 54, 55]);
        let weights = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0];
        assert_eq!(batch.weights.as_deref(), Some(&weights[..]));
        assert_eq!(batch.starts.as_deref(), Some(&[0, 0, 2, 2, 2, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0][..]));
        assert_eq!((batch.n_tokens, batch.weight()), (15, 8.0));
        assert_eq!(
            Batches::new(&corpus, 4, 1, 1).unwrap_err().to_string(),
            "expected the context 5 that the examples were packed for, found 4"
        );
        assert_eq!(
            Corpus::packed(&examples[2..3], 5).unwrap_err().to_string(),
            "of 1 examples none has a token to learn within 5 positions; raise the context"
        );
        assert_ne!(corpus.digest(), Corpus::packed(&examples[..4], 5).unwrap().digest());
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
