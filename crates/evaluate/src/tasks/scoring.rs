//! The model behind a seam, and everything that is asked of it: log-probabilities over a tree of prefixes, greedy answers.

use super::{
    prefix_tree::{Target, Tree},
    tokens::{SeamError, Sequence, TokenError, Tokenizer},
};
use evidence::Control;

/// A model that reads tokens after what it has read.
///
/// Figures must not depend on which rows are read together, nor on whether a beginning was read before: the caller packs as
/// it likes. Two implementations: a fake one in tests, and the models of this workspace.
pub trait Decoder {
    /// What was read: cheap to clone; a clone that grows leaves the other as it is.
    type Cache: Clone;

    /// Tokens it knows.
    fn vocab(&self) -> usize;

    /// Most positions of a row, what stands in the cache included.
    fn context(&self) -> usize;

    /// Nothing read yet.
    fn cache(&self) -> Self::Cache;

    /// Reads each row after its cache, which grows by it, and answers its targets in their order.
    ///
    /// # Errors
    /// Whatever the model cannot do, in its words.
    fn log_probs(&self, rows: &mut [Row<'_, Self::Cache>]) -> Result<Vec<Vec<Scored>>, SeamError>;

    /// Reads each row after its cache; gives the first choice after its last token, the lowest of equals.
    ///
    /// # Errors
    /// Whatever the model cannot do, in its words.
    fn next_tokens(&self, rows: &mut [Row<'_, Self::Cache>]) -> Result<Vec<u32>, SeamError>;
}

/// Tokens to read after a cache.
#[derive(Debug)]
pub struct Row<'a, C> {
    /// At least one.
    pub tokens: &'a [u32],
    pub cache: &'a mut C,
    pub targets: &'a [Target],
}

/// One token, scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// ln p, in nats.
    pub log_prob: f64,
    /// Whether it was the first choice, the lowest of equals.
    pub is_first: bool,
}

/// Score of one sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SequenceScore {
    /// Σ ln p over the continuation, in the order of the text, in f64.
    pub log_likelihood: f64,
    /// Whether every token was the first choice.
    pub is_greedy: bool,
    pub n_tokens: usize,
}

/// How much is read at once; moves time and memory, not results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Positions of one call to the model, at most, unless one row alone is longer.
    pub positions: usize,
    /// Whether beginnings are shared. Off, every sequence is read whole: the plain twin.
    pub shares_prefixes: bool,
}

impl Default for Packing {
    fn default() -> Self {
        Self { positions: 1024, shares_prefixes: true }
    }
}

/// Work done and work avoided, in positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    pub n_read: usize,
    pub n_apart: usize,
    pub n_calls: usize,
}

/// Told before each call to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub n_done: usize,
    pub n_positions: usize,
    /// Of the call that is about to be made.
    pub next_rows: usize,
    pub next_positions: usize,
}

/// Why sequences could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoringError {
    #[error("the model failed")]
    Model(#[source] SeamError),
    #[error("stopped: {0}")]
    Stopped(String),
    #[error("expected tokens below {vocab}, found {found}: tokenizer and model do not belong together")]
    Vocab { vocab: usize, found: u32 },
    #[error("expected {expected} answers of the model, found {found}")]
    Answers { expected: usize, found: usize },
    #[error("the model gave a log-probability of {0}")]
    NotFinite(f64),
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Scores sequences; one score each, in their order.
///
/// Branches of the tree are read together up to `packing.positions`, deepest first, so that few caches are held at a time.
/// Deterministic: the tree and its order depend on the sequences alone.
///
/// # Errors
/// `ScoringError`.
pub fn score<D: Decoder>(
    decoder: &D,
    sequences: &[Sequence],
    packing: Packing,
    observe: &mut dyn FnMut(&Progress) -> Control,
) -> Result<(Vec<SequenceScore>, Work), ScoringError> {
    let vocab = decoder.vocab();
    if let Some(&found) = sequences.iter().flat_map(|sequence| &sequence.tokens).find(|token| **token as usize >= vocab)
    {
        return Err(ScoringError::Vocab { vocab, found });
    }
    if !packing.shares_prefixes {
        return score_apart(decoder, sequences, packing, observe);
    }
    let tree = Tree::new(sequences);
    let (answers, mut work) = read(decoder, &tree, packing, observe)?;
    work.n_apart = Tree::n_positions_apart(sequences);
    let scores = tree.places.iter().map(|places| {
        let mut score = SequenceScore { log_likelihood: 0.0, is_greedy: true, n_tokens: places.len() };
        for place in places {
            let scored = answers[place.node][place.target];
            score.log_likelihood += scored.log_prob;
            score.is_greedy &= scored.is_first;
        }
        score
    });
    Ok((scores.collect(), work))
}

/// Every sequence read whole from nothing: slow, and the measure of the other.
fn score_apart<D: Decoder>(
    decoder: &D,
    sequences: &[Sequence],
    packing: Packing,
    observe: &mut dyn FnMut(&Progress) -> Control,
) -> Result<(Vec<SequenceScore>, Work), ScoringError> {
    let mut scores = Vec::with_capacity(sequences.len());
    let mut work = Work { n_apart: Tree::n_positions_apart(sequences), ..Work::default() };
    for sequence in sequences {
        let packing = Packing { shares_prefixes: true, ..packing };
        let (score, done) = score(decoder, std::slice::from_ref(sequence), packing, observe)?;
        scores.extend(score);
        work.n_read += done.n_read;
        work.n_calls += done.n_calls;
    }
    Ok((scores, work))
}

/// Reads every node of a tree; the answers of each node's targets.
fn read<D: Decoder>(
    decoder: &D,
    tree: &Tree,
    packing: Packing,
    observe: &mut dyn FnMut(&Progress) -> Control,
) -> Result<(Vec<Vec<Scored>>, Work), ScoringError> {
    let n_positions = tree.n_positions();
    let mut answers: Vec<Vec<Scored>> = vec![Vec::new(); tree.nodes.len()];
    let mut caches: Vec<Option<D::Cache>> = vec![None; tree.nodes.len()];
    let mut n_waiting: Vec<usize> = tree.nodes.iter().map(|node| node.children.len()).collect();
    let mut work = Work::default();
    // Nodes whose parent has been read; the last is read next.
    let mut ready: Vec<usize> = (0..tree.nodes.len()).filter(|&node| tree.nodes[node].parent.is_none()).rev().collect();
    while !ready.is_empty() {
        let pack = take_pack(tree, &mut ready, packing.positions);
        let next_positions = pack.iter().map(|&node| tree.nodes[node].tokens.len()).sum();
        let progress = Progress { n_done: work.n_read, n_positions, next_rows: pack.len(), next_positions };
        if let Control::Stop(reason) = observe(&progress) {
            return Err(ScoringError::Stopped(reason));
        }
        let mut grown: Vec<D::Cache> = pack
            .iter()
            .map(|&node| {
                tree.nodes[node].parent.and_then(|parent| caches[parent].clone()).unwrap_or_else(|| decoder.cache())
            })
            .collect();
        let mut rows: Vec<Row<'_, D::Cache>> = pack
            .iter()
            .zip(&mut grown)
            .map(|(&node, cache)| Row { tokens: &tree.nodes[node].tokens, cache, targets: &tree.nodes[node].targets })
            .collect();
        let answered = decoder.log_probs(&mut rows).map_err(ScoringError::Model)?;
        check_answers(tree, &pack, &answered)?;
        work.n_read += next_positions;
        work.n_calls += 1;
        for ((&node, cache), scored) in pack.iter().zip(grown).zip(answered) {
            answers[node] = scored;
            if !tree.nodes[node].children.is_empty() {
                caches[node] = Some(cache);
                ready.extend(tree.nodes[node].children.iter().rev());
            }
            if let Some(parent) = tree.nodes[node].parent {
                n_waiting[parent] -= 1;
                if n_waiting[parent] == 0 {
                    caches[parent] = None;
                }
            }
        }
    }
    Ok((answers, work))
}

fn take_pack(tree: &Tree, ready: &mut Vec<usize>, positions: usize) -> Vec<usize> {
    let (mut pack, mut n) = (Vec::new(), 0);
    while let Some(&node) = ready.last() {
        n += tree.nodes[node].tokens.len();
        if !pack.is_empty() && n > positions {
            break;
        }
        ready.pop();
        pack.push(node);
    }
    pack
}

fn check_answers(tree: &Tree, pack: &[usize], answered: &[Vec<Scored>]) -> Result<(), ScoringError> {
    if answered.len() != pack.len() {
        return Err(ScoringError::Answers { expected: pack.len(), found: answered.len() });
    }
    for (&node, scored) in pack.iter().zip(answered) {
        let expected = tree.nodes[node].targets.len();
        if scored.len() != expected {
            return Err(ScoringError::Answers { expected, found: scored.len() });
        }
        if let Some(scored) = scored.iter().find(|scored| !scored.log_prob.is_finite()) {
            return Err(ScoringError::NotFinite(scored.log_prob));
        }
    }
    Ok(())
}

/// A greedy answer: its text, cut before the first stop text.
///
/// Ends at an end token, at a stop text or after `n_new` tokens.
///
/// # Errors
/// `ScoringError`.
pub fn generate<D: Decoder>(
    decoder: &D,
    tokenizer: &dyn Tokenizer,
    prompt: &[u32],
    until: &[String],
    n_new: usize,
    observe: &mut dyn FnMut(&Progress) -> Control,
) -> Result<String, ScoringError> {
    let mut cache = decoder.cache();
    let (mut tokens, mut input) = (Vec::new(), prompt.to_vec());
    loop {
        let n_done = if tokens.is_empty() { 0 } else { prompt.len() + tokens.len() - 1 };
        let progress =
            Progress { n_done, n_positions: prompt.len() + n_new, next_rows: 1, next_positions: input.len() };
        if let Control::Stop(reason) = observe(&progress) {
            return Err(ScoringError::Stopped(reason));
        }
        let mut rows = [Row { tokens: &input, cache: &mut cache, targets: &[] }];
        let next = decoder.next_tokens(&mut rows).map_err(ScoringError::Model)?;
        let &[token] = next.as_slice() else { return Err(ScoringError::Answers { expected: 1, found: next.len() }) };
        if !tokenizer.ends().contains(&token) {
            tokens.push(token);
        }
        let text = tokenizer.decode(&tokens).map_err(TokenError::Tokenizer)?;
        let stops: Vec<&String> =
            until.iter().filter(|stop| !stop.is_empty() && text.contains(stop.as_str())).collect();
        if !stops.is_empty() {
            // One after the other, as the harness cuts.
            let cut = |text: String, stop: &String| text.split(stop.as_str()).next().unwrap_or_default().to_owned();
            return Ok(until.iter().filter(|stop| !stop.is_empty()).fold(text, cut));
        }
        if tokenizer.ends().contains(&token) || tokens.len() >= n_new {
            return Ok(text);
        }
        input = vec![token];
    }
}
