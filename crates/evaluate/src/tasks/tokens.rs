//! From texts to tokens: where context ends and continuation begins, which special tokens stand in front, and what is cut.
//!
//! Source: `TemplateLM._encode_pair`, `loglikelihood` and `get_rolling_token_windows` of lm-evaluation-harness 0.4.13.

use super::{prompts::Request, value::is_python_space};

/// Text to tokens and back; the model's own tokenizer behind it.
pub trait Tokenizer {
    /// With `special`, as the tokenizer does by itself (a beginning-of-text token where it adds one), else without.
    ///
    /// # Errors
    /// Whatever the tokenizer cannot do, in its words.
    fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, SeamError>;

    /// # Errors
    /// Whatever the tokenizer cannot do, in its words.
    fn decode(&self, tokens: &[u32]) -> Result<String, SeamError>;

    /// The token that an empty context becomes: beginning of text, else end of text.
    fn prefix(&self) -> u32;

    /// How `prefix` is written, when it is: a text that begins so gets no special token.
    fn prefix_text(&self) -> Option<&str>;

    /// Tokens that end an answer.
    fn ends(&self) -> &[u32];
}

/// A failure behind the seam: of the tokenizer or of the model.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SeamError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// Why a request did not become tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the tokenizer failed")]
    Tokenizer(#[source] SeamError),
    #[error("the continuation `{continuation}` is no token of its own after its context: merges swallow it")]
    EmptyContinuation { continuation: String },
    #[error("expected a continuation of at most {max} tokens, the model's context, found {found}")]
    ContinuationTooLong { max: usize, found: usize },
    #[error("a text to score is empty")]
    EmptyText,
    #[error("a generated answer of {tokens} tokens leaves no room in a context of {max}")]
    NoRoom { tokens: usize, max: usize },
}

/// Tokens to score: those of `tokens` from `first` on, each given all before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence {
    pub tokens: Vec<u32>,
    /// At least 1.
    pub first: usize,
}

impl Sequence {
    #[must_use]
    pub fn continuation(&self) -> &[u32] {
        &self.tokens[self.first..]
    }
}

/// One request in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoded {
    /// One sequence, and the context tokens that were cut off its left.
    One { sequence: Sequence, n_cut: usize },
    /// Windows of a long text.
    Windows(Vec<Sequence>),
    /// A context to go on from, and the tokens cut off its left.
    Prompt { tokens: Vec<u32>, n_cut: usize },
}

/// How a rolling text is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rolling {
    /// As the harness: where the tokenizer adds a beginning-of-text token itself, that one is scored too.
    #[default]
    AsHarness,
    /// The text alone after one prefix token.
    PrefixOnce,
}

/// Encodes one request for a model of `context` positions; answers leave room for `n_new` tokens.
///
/// # Errors
/// `TokenError`.
pub fn encode(
    request: &Request,
    tokenizer: &dyn Tokenizer,
    context: usize,
    n_new: usize,
    rolling: Rolling,
) -> Result<Encoded, TokenError> {
    match request {
        Request::LogLikelihood { context: before, continuation } => {
            let (ahead, continuation_tokens) = pair(before, continuation, tokenizer)?;
            if continuation_tokens.is_empty() {
                return Err(TokenError::EmptyContinuation { continuation: continuation.clone() });
            }
            if continuation_tokens.len() > context {
                return Err(TokenError::ContinuationTooLong { max: context, found: continuation_tokens.len() });
            }
            let n_cut = (ahead.len() + continuation_tokens.len()).saturating_sub(context + 1);
            let mut tokens = ahead[n_cut..].to_vec();
            let first = tokens.len();
            tokens.extend(continuation_tokens);
            Ok(Encoded::One { sequence: Sequence { tokens, first }, n_cut })
        }
        Request::Rolling { text } => {
            let is_whole = rolling == Rolling::AsHarness;
            let tokens = if is_whole { whole(text, tokenizer)? } else { bare(text, tokenizer)? };
            if tokens.is_empty() {
                return Err(TokenError::EmptyText);
            }
            Ok(Encoded::Windows(windows(&tokens, tokenizer.prefix(), context)))
        }
        Request::Generate { context: before } => {
            let Some(room) = context.checked_sub(n_new).filter(|room| *room > 0) else {
                return Err(TokenError::NoRoom { tokens: n_new, max: context });
            };
            let mut tokens = whole(before, tokenizer)?;
            if tokens.is_empty() {
                tokens.push(tokenizer.prefix());
            }
            let n_cut = tokens.len().saturating_sub(room);
            Ok(Encoded::Prompt { tokens: tokens.split_off(n_cut), n_cut })
        }
    }
}

/// Encoded as the tokenizer does, unless the text writes the prefix token itself.
fn whole(text: &str, tokenizer: &dyn Tokenizer) -> Result<Vec<u32>, TokenError> {
    let has_prefix = tokenizer.prefix_text().is_some_and(|prefix| !prefix.is_empty() && text.starts_with(prefix));
    tokenizer.encode(text, !has_prefix).map_err(TokenError::Tokenizer)
}

fn bare(text: &str, tokenizer: &dyn Tokenizer) -> Result<Vec<u32>, TokenError> {
    tokenizer.encode(text, false).map_err(TokenError::Tokenizer)
}

/// Context and continuation in tokens. White space at the end of the context belongs to the continuation; the border is
/// found by count: the continuation is what the whole has beyond as many tokens as the context alone.
fn pair(context: &str, continuation: &str, tokenizer: &dyn Tokenizer) -> Result<(Vec<u32>, Vec<u32>), TokenError> {
    if context.is_empty() {
        let mut tokens = bare(continuation, tokenizer)?;
        if tokens.first() == Some(&tokenizer.prefix()) {
            let rest = tokens.split_off(1);
            return Ok((tokens, rest));
        }
        return Ok((vec![tokenizer.prefix()], tokens));
    }
    let bare_context = context.trim_end_matches(is_python_space);
    let moved = &context[bare_context.len()..];
    let mut all = whole(&format!("{bare_context}{moved}{continuation}"), tokenizer)?;
    let before = whole(bare_context, tokenizer)?;
    if before.is_empty() {
        // A context of white space alone, without a special token: the model still needs something to go on from.
        return Ok((vec![tokenizer.prefix()], all));
    }
    let rest = all.split_off(before.len().min(all.len()));
    Ok((before, rest))
}

/// Windows of at most `context` positions, every token scored once: each full window after the first sees one token before
/// it, the last is slid left to full length.
#[must_use]
pub fn windows(tokens: &[u32], prefix: u32, context: usize) -> Vec<Sequence> {
    let n_first = context.min(tokens.len());
    let first = std::iter::once(prefix).chain(tokens[..n_first].iter().copied()).collect();
    let mut windows = vec![Sequence { tokens: first, first: 1 }];
    let mut n_done = n_first;
    while n_done < tokens.len() {
        let n_scored = context.min(tokens.len() - n_done);
        let end = n_done + n_scored;
        let window = tokens[end - context - 1..end].to_vec();
        windows.push(Sequence { first: window.len() - n_scored, tokens: window });
        n_done = end;
    }
    windows
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One token a character, save that `ab` is one token: enough for merges across a border.
    #[derive(Debug)]
    pub(crate) struct Letters {
        pub(crate) adds_prefix: bool,
    }

    const PREFIX: u32 = 1;
    const AB: u32 = 2;

    impl Tokenizer for Letters {
        fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, SeamError> {
            let mut tokens = if special && self.adds_prefix { vec![PREFIX] } else { Vec::new() };
            let mut rest = text;
            while let Some(letter) = rest.chars().next() {
                if let Some(after) = rest.strip_prefix("<s>") {
                    tokens.push(PREFIX);
                    rest = after;
                } else if let Some(after) = rest.strip_prefix("ab") {
                    tokens.push(AB);
                    rest = after;
                } else {
                    tokens.push(letter as u32);
                    rest = &rest[letter.len_utf8()..];
                }
            }
            Ok(tokens)
        }

        fn decode(&self, tokens: &[u32]) -> Result<String, SeamError> {
            Ok(tokens
                .iter()
                .map(|&token| match token {
                    PREFIX => String::new(),
                    AB => "ab".to_owned(),
                    other => char::from_u32(other).map_or_else(String::new, String::from),
                })
                .collect())
        }

        fn prefix(&self) -> u32 {
            PREFIX
        }

        fn prefix_text(&self) -> Option<&str> {
            Some("<s>")
        }

        fn ends(&self) -> &[u32] {
            &[PREFIX]
        }
    }

    fn one(
        context: &str,
        continuation: &str,
        adds_prefix: bool,
        max: usize,
    ) -> Result<(Vec<u32>, Vec<u32>, usize), TokenError> {
        let request = Request::LogLikelihood { context: context.to_owned(), continuation: continuation.to_owned() };
        match encode(&request, &Letters { adds_prefix }, max, 0, Rolling::AsHarness)? {
            Encoded::One { sequence, n_cut } => {
                Ok((sequence.tokens[..sequence.first].to_vec(), sequence.continuation().to_vec(), n_cut))
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn letters(text: &str) -> Vec<u32> {
        text.chars().map(u32::from).collect()
    }

    #[test]
    fn white_space_goes_to_the_continuation() {
        assert_eq!(one("x \n", "y", false, 99).unwrap(), (letters("x"), letters(" \ny"), 0));
    }

    /// `xa` alone is two tokens; `xab` is `x` and `ab`: the border is after two tokens, so nothing is left.
    #[test]
    fn the_border_is_found_by_count() {
        assert!(matches!(one("xa", "b", false, 99), Err(TokenError::EmptyContinuation { .. })));
        assert_eq!(one("xa", "bc", false, 99).unwrap(), (letters("xa"), letters("c"), 0));
    }

    #[test]
    fn special_tokens_stand_once() {
        assert_eq!(one("x", "y", true, 99).unwrap(), (vec![1, 'x' as u32], letters("y"), 0));
        assert_eq!(one("<s>x", "y", true, 99).unwrap(), (vec![1, 'x' as u32], letters("y"), 0));
        assert_eq!(one("", "y", true, 99).unwrap(), (vec![1], letters("y"), 0));
        assert_eq!(one("", "<s>y", false, 99).unwrap(), (vec![1], letters("y"), 0));
    }

    /// Context 3: the input is the last 4 tokens but one.
    #[test]
    fn what_is_too_long_is_cut_on_the_left_and_counted() {
        assert_eq!(one("vwx", "yz", true, 3).unwrap(), (letters("wx"), letters("yz"), 2));
        assert_eq!(one("v", "xyz", true, 3).unwrap(), (letters("v"), letters("xyz"), 1));
        assert!(matches!(one("v", "wxyz", true, 3), Err(TokenError::ContinuationTooLong { max: 3, found: 4 })));
    }

    /// Expected: lm_eval 0.4.13, `list(get_rolling_token_windows(list(range(10, 10 + n)), 1, 4, 1))`, the input and its
    /// predictions joined.
    #[test]
    fn windows_are_those_of_the_harness() {
        let of = |n: u32| {
            let windows = windows(&(10..10 + n).collect::<Vec<_>>(), 1, 4);
            windows.into_iter().map(|window| (window.tokens, window.first)).collect::<Vec<_>>()
        };
        assert_eq!(of(3), [(vec![1, 10, 11, 12], 1)]);
        assert_eq!(of(8), [(vec![1, 10, 11, 12, 13], 1), (vec![13, 14, 15, 16, 17], 1)]);
        assert_eq!(
            of(10),
            [(vec![1, 10, 11, 12, 13], 1), (vec![13, 14, 15, 16, 17], 1), (vec![15, 16, 17, 18, 19], 3)]
        );
    }

    #[test]
    fn the_prefix_is_scored_only_as_the_harness_scores_it() {
        let request = Request::Rolling { text: "xy".to_owned() };
        let of = |rolling| match encode(&request, &Letters { adds_prefix: true }, 9, 0, rolling).unwrap() {
            Encoded::Windows(windows) => windows[0].tokens.clone(),
            other => unreachable!("{other:?}"),
        };
        assert_eq!(of(Rolling::AsHarness), [1, 1, 'x' as u32, 'y' as u32]);
        assert_eq!(of(Rolling::PrefixOnce), [1, 'x' as u32, 'y' as u32]);
    }
}
