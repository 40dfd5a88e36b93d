//! How well a model predicts documents: negative log-likelihood and first choices, document by document.
//!
//! Legend: B batch, T positions, V vocabulary, L `Config::context`, n tokens of a document.

use candle_core::{Device, Tensor};
use evidence::Control;
use model::{Llama, LlamaError};

/// How documents are cut and packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// L: positions of a window, 1 to the model's own context.
    pub context: usize,
    /// Most full windows of one forward pass, at least 1; moves time and memory, not results.
    pub batch: usize,
    /// The token that stands before every document; it is not itself predicted.
    pub separator: u32,
}

/// The convention that makes scores comparable, for `Measurement::convention`.
pub const CONVENTION: &str = "each document alone, preceded by the separator; windows of the model's context, each after \
     the first beginning with the token before it, the last slid left to full length (the rolling rule of \
     lm-evaluation-harness, context length 1); every token predicted once; log-softmax and sums in f64 from f32 logits";

/// The score of one document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DocumentScore {
    /// Sum of −ln p over its tokens, in nats.
    pub nll_nats: f64,
    /// Tokens predicted: all of the document.
    pub n_tokens: u64,
    /// Tokens that were the model's first choice; of equal logits the lowest token is first.
    pub n_correct: u64,
}

/// One forward pass, as a FLOP meter counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    pub batch: usize,
    pub positions: usize,
}

/// Where the work stands, told before each pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Passes done, of `n_passes`.
    pub n_done: usize,
    pub n_passes: usize,
    /// The pass that is about to be made.
    pub next: Pass,
}

/// How scoring ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// One score a document, in their order, and the passes that were made.
    Finished { scores: Vec<DocumentScore>, passes: Vec<Pass> },
    /// The observer said stop; the passes made until then were spent all the same.
    Stopped { reason: String, passes: Vec<Pass> },
}

/// Why documents could not be scored. Documents and positions are counted from 0.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    #[error("expected at least one document to score, found none")]
    NoDocuments,
    #[error("expected document {document} to hold tokens, found none")]
    EmptyDocument { document: usize },
    #[error("expected a context from 1 to the model's {max}, found {found}")]
    Context { max: usize, found: usize },
    #[error("expected a batch of at least 1, found 0")]
    Batch,
    #[error("expected tokens below {vocab}, found {found} in document {document} at position {position}")]
    Token { vocab: usize, found: u32, document: usize, position: usize },
    #[error("expected a separator below {vocab}, found {found}")]
    Separator { vocab: usize, found: u32 },
    #[error("expected finite logits, found {found} in document {document} at position {position}")]
    NotFinite { found: f32, document: usize, position: usize },
    #[error("the model could not compute")]
    Model(#[from] LlamaError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// Scores every document alone.
///
/// A document of n tokens is preceded by the separator. Window i predicts tokens iL to (i + 1)L − 1 from the separator or
/// token iL − 1 and those after it: what stands before a window is not seen. The last window, when it is not full and
/// not the first, is slid left to L positions, so that its predictions see more, and only tokens not yet predicted are
/// counted. Every token is predicted exactly once.
///
/// Units: nats, tokens. Deterministic: a row of logits becomes a log-probability in f64, from the lowest token to the
/// highest; windows are added in the order of the text. Full windows of all documents are packed together and shorter
/// ones are passed alone, without padding, so no row's arithmetic depends on its neighbours: results are the same bits
/// for any `batch` and number of threads (asserted on the kernels of the machine that runs the tests).
///
/// Source: the rolling log-likelihood of lm-evaluation-harness.
///
/// # Errors
/// `ScoreError`, before the first pass where the input alone shows the cause.
pub fn score(
    model: &Llama,
    documents: &[Vec<u32>],
    config: &Config,
    observe: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Outcome, ScoreError> {
    check(model, documents, config)?;
    let lengths: Vec<usize> = documents.iter().map(Vec::len).collect();
    let windows = windows(&lengths, config.context);
    let packs = packs(&windows, config);
    let mut scored: Vec<Option<DocumentScore>> = vec![None; windows.len()];
    let mut passes = Vec::with_capacity(packs.len());
    for pack in &packs {
        let next = pass(&windows, pack);
        let progress = Progress { n_done: passes.len(), n_passes: packs.len(), next };
        if let Control::Stop(reason) = observe(&progress) {
            return Ok(Outcome::Stopped { reason, passes });
        }
        let rows: Vec<u32> = pack
            .iter()
            .flat_map(|&at| input(&documents[windows[at].document], &windows[at], config.separator))
            .collect();
        let tokens = Tensor::from_vec(rows, (next.batch, next.positions), &Device::Cpu)?;
        let logits = model.logits_detached(&tokens)?;
        for (row, &at) in pack.iter().enumerate() {
            let row = logits.get(row)?.flatten_all()?.to_vec1::<f32>()?;
            scored[at] = Some(score_window(&row, &windows[at], &documents[windows[at].document])?);
        }
        passes.push(next);
    }
    Ok(Outcome::Finished { scores: by_document(documents.len(), &windows, &scored), passes })
}

/// The passes that `score` will make for documents of these lengths: for a prediction of its cost.
#[must_use]
pub fn passes(lengths: &[usize], config: &Config) -> Vec<Pass> {
    let windows = windows(lengths, config.context.max(1));
    packs(&windows, config).iter().map(|pack| pass(&windows, pack)).collect()
}

fn check(model: &Llama, documents: &[Vec<u32>], config: &Config) -> Result<(), ScoreError> {
    let (max, vocab) = (model.config().context, model.config().vocab);
    if config.context == 0 || config.context > max {
        return Err(ScoreError::Context { max, found: config.context });
    }
    if config.batch == 0 {
        return Err(ScoreError::Batch);
    }
    if config.separator as usize >= vocab {
        return Err(ScoreError::Separator { vocab, found: config.separator });
    }
    if documents.is_empty() {
        return Err(ScoreError::NoDocuments);
    }
    for (document, tokens) in documents.iter().enumerate() {
        if tokens.is_empty() {
            return Err(ScoreError::EmptyDocument { document });
        }
        if let Some(position) = tokens.iter().position(|&token| token as usize >= vocab) {
            return Err(ScoreError::Token { vocab, found: tokens[position], document, position });
        }
    }
    Ok(())
}

/// Positions `start` to `start + positions` of the separator followed by the document are put in; each predicts the token
/// of the document with its own number.
struct Window {
    document: usize,
    start: usize,
    positions: usize,
    /// Predictions at the end of the window that count.
    n_counted: usize,
}

fn windows(lengths: &[usize], context: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    for (document, &n) in lengths.iter().enumerate() {
        let mut n_done = 0;
        while n_done < n {
            let n_counted = context.min(n - n_done);
            let end = n_done + n_counted;
            let positions = context.min(end);
            windows.push(Window { document, start: end - positions, positions, n_counted });
            n_done = end;
        }
    }
    windows
}

/// Windows by pass: full ones in packs of `batch`, then the others, one a pass; each list in the order of the text.
fn packs(windows: &[Window], config: &Config) -> Vec<Vec<usize>> {
    let (full, short): (Vec<usize>, Vec<usize>) =
        (0..windows.len()).partition(|&at| windows[at].positions == config.context);
    let full = full.chunks(config.batch.max(1)).map(<[usize]>::to_vec);
    full.chain(short.into_iter().map(|at| vec![at])).collect()
}

fn pass(windows: &[Window], pack: &[usize]) -> Pass {
    Pass { batch: pack.len(), positions: pack.first().map_or(0, |&at| windows[at].positions) }
}

fn input<'a>(document: &'a [u32], window: &Window, separator: u32) -> impl Iterator<Item = u32> + 'a {
    (window.start..window.start + window.positions).map(move |at| if at == 0 { separator } else { document[at - 1] })
}

/// Shapes: `logits` (T × V) flat.
fn score_window(logits: &[f32], window: &Window, document: &[u32]) -> Result<DocumentScore, ScoreError> {
    let vocab = logits.len() / window.positions;
    let mut score = DocumentScore { nll_nats: 0.0, n_tokens: 0, n_correct: 0 };
    for place in window.positions - window.n_counted..window.positions {
        let (row, position) = (&logits[place * vocab..(place + 1) * vocab], window.start + place);
        if let Some(&found) = row.iter().find(|logit| !logit.is_finite()) {
            return Err(ScoreError::NotFinite { found, document: window.document, position });
        }
        let token = document[position] as usize;
        score.nll_nats += nll_nats(row, token);
        score.n_tokens += 1;
        score.n_correct += u64::from(first_choice(row) == token);
    }
    Ok(score)
}

/// −ln softmax(logits)\[token\], in nats: ln Σ exp(x − max) − (x_token − max), summed in f64 from the lowest token up.
///
/// Shapes: `logits` (V,), finite; `token` < V. At least 0.
#[must_use]
pub fn nll_nats(logits: &[f32], token: usize) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    sum.ln() - (f64::from(logits[token]) - largest)
}

/// The token of the largest logit, the lowest of equals.
#[must_use]
pub fn first_choice(logits: &[f32]) -> usize {
    let mut first = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[first] {
            first = token;
        }
    }
    first
}

fn by_document(n_documents: usize, windows: &[Window], scored: &[Option<DocumentScore>]) -> Vec<DocumentScore> {
    let mut scores = vec![DocumentScore { nll_nats: 0.0, n_tokens: 0, n_correct: 0 }; n_documents];
    for (window, part) in windows.iter().zip(scored) {
        // INVARIANT: every window stands in exactly one pack, so each has a score.
        if let Some(part) = part {
            let score = &mut scores[window.document];
            score.nll_nats += part.nll_nats;
            score.n_tokens += part.n_tokens;
            score.n_correct += part.n_correct;
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Tokens counted, by number, over all windows of a document: each once, in order; no window longer than the
        /// context, none shorter than it could be.
        #[test]
        fn every_token_is_predicted_once(lengths in proptest::collection::vec(1_usize..60, 1..6), context in 1_usize..20) {
            let windows = windows(&lengths, context);
            for (document, &n) in lengths.iter().enumerate() {
                let own = windows.iter().filter(|window| window.document == document);
                let counted: Vec<usize> = own
                    .clone()
                    .flat_map(|w| w.start + w.positions - w.n_counted..w.start + w.positions)
                    .collect();
                proptest::prop_assert_eq!(counted, (0..n).collect::<Vec<_>>());
                for window in own {
                    proptest::prop_assert_eq!(window.positions, context.min(n));
                }
            }
        }

        /// Whatever the batch, each window is passed once and its pass has its length.
        #[test]
        fn every_window_is_passed_once(
            lengths in proptest::collection::vec(1_usize..60, 1..6), context in 1_usize..20, batch in 1_usize..9,
        ) {
            let config = Config { context, batch, separator: 0 };
            let windows = windows(&lengths, context);
            let packs = packs(&windows, &config);
            let mut passed: Vec<usize> = packs.iter().flatten().copied().collect();
            passed.sort_unstable();
            proptest::prop_assert_eq!(passed, (0..windows.len()).collect::<Vec<_>>());
            for pack in &packs {
                let pass = pass(&windows, pack);
                proptest::prop_assert!(pass.batch <= batch);
                proptest::prop_assert!(pack.iter().all(|&at| windows[at].positions == pass.positions));
            }
        }
    }

    #[test]
    fn of_equal_logits_the_lowest_token_is_first() {
        assert_eq!(first_choice(&[1.0, 3.0, 3.0, -2.0]), 1);
        assert_eq!(first_choice(&[0.0]), 0);
    }

    /// By hand: equal logits give ln V; a lead of 1000 leaves nothing to the other, which then costs the lead.
    #[test]
    fn log_softmax_holds_at_the_ends() {
        assert_eq!(nll_nats(&[5.0; 4], 2), 4_f64.ln());
        assert_eq!(nll_nats(&[1000.0, 0.0], 0), 0.0);
        assert_eq!(nll_nats(&[1000.0, 0.0], 1), 1000.0);
        assert_eq!(nll_nats(&[f32::MAX, f32::MIN], 1), 2.0 * f64::from(f32::MAX));
    }
}
