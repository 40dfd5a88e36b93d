//! Which sampled texts are kept: each condition in order, the first that is not met named.

use crate::{
    overlap::SHARED_WORDS,
    personal::identifiers,
    recipe::{Conditions, Recipe},
    terms::{Terms, language},
    words::runs,
};
use evidence::Digest;
use fancy_regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use whatlang::Lang;

/// Words of a run by which two answers are compared.
const NEAR_WORDS: usize = 5;

/// Why a text was not kept, in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejected {
    /// Nothing but white space.
    Empty,
    /// Cut off before the model ended it.
    CutOff,
    /// Of too few or too many characters.
    Length,
    /// Lacks what it must, or has what it must not match.
    Pattern,
    /// It refuses. Judged by whoever calls.
    Refusal,
    /// Of another language, or of none that can be told.
    Language,
    /// It holds an identifier of a person.
    Personal,
    /// It holds a term of the shipped lists.
    Listed,
    /// Thirteen words of it stand in an avoided text.
    Avoided,
    /// Equal to one that was kept.
    Equal,
    /// Too like one that was kept.
    Near,
}

impl Rejected {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::CutOff => "cut-off",
            Self::Length => "length",
            Self::Pattern => "pattern",
            Self::Refusal => "refusal",
            Self::Language => "language",
            Self::Personal => "personal",
            Self::Listed => "listed",
            Self::Avoided => "avoided",
            Self::Equal => "equal",
            Self::Near => "near",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("the pattern `{pattern}` cannot be compiled")]
    Pattern { pattern: String, source: Box<fancy_regex::Error> },
    #[error("the pattern `{pattern}` takes too long on a text of {characters} characters; write a simpler one")]
    Match { pattern: String, characters: usize, source: Box<fancy_regex::Error> },
}

/// Judges one text behind another; what it keeps decides on those that come later.
#[derive(Debug)]
pub struct Filter {
    conditions: Conditions,
    must: Option<Regex>,
    must_not: Option<Regex>,
    language: Option<Lang>,
    terms: Option<Terms>,
    avoided: BTreeSet<u64>,
    equal: BTreeSet<Digest>,
    /// Of each run of words, the kept answers that have it; of each kept answer, how many runs it has.
    runs: BTreeMap<u64, Vec<usize>>,
    sizes: Vec<usize>,
}

impl Filter {
    /// # Errors
    /// `Pattern`.
    pub fn new(recipe: &Recipe) -> Result<Self, FilterError> {
        let conditions = recipe.filter.clone();
        let compiled = |pattern: &Option<String>| {
            let of = |pattern: &String| {
                let wrong = |source| FilterError::Pattern { pattern: pattern.clone(), source: Box::new(source) };
                Regex::new(pattern).map_err(wrong)
            };
            pattern.as_ref().map(of).transpose()
        };
        Ok(Self {
            must: compiled(&conditions.must_match)?,
            must_not: compiled(&conditions.must_not_match)?,
            language: conditions.language.as_deref().and_then(Lang::from_code),
            terms: conditions.drops_listed.then(Terms::shipped),
            avoided: conditions.avoid.iter().flat_map(|(_, text)| runs(text, SHARED_WORDS)).collect(),
            equal: BTreeSet::new(),
            runs: BTreeMap::new(),
            sizes: Vec::new(),
            conditions,
        })
    }

    /// Keeps an answer or says why not. `document` is what becomes of it: identifiers, listed terms and avoided texts are looked for in
    /// the whole of it, its prompt included. `is_refused` is asked only of what has come so far.
    ///
    /// Deterministic in the answers and their order. Equal means equal but for white space at the ends; near, a Jaccard similarity of
    /// the sets of runs of five words, in small letters, that is at least the recipe's.
    ///
    /// # Errors
    /// `Match` for a pattern that gives up on a text.
    pub fn judge(
        &mut self,
        [answer, document]: [&str; 2],
        is_finished: bool,
        is_refused: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Rejected>, FilterError> {
        let text = answer.trim();
        let n = text.chars().count();
        let conditions = &self.conditions;
        if text.is_empty() {
            return Ok(Some(Rejected::Empty));
        }
        if conditions.is_finished && !is_finished {
            return Ok(Some(Rejected::CutOff));
        }
        if conditions.characters_min.is_some_and(|least| n < least)
            || conditions.characters_max.is_some_and(|most| n > most)
        {
            return Ok(Some(Rejected::Length));
        }
        if !matches(self.must.as_ref(), text)?.unwrap_or(true)
            || matches(self.must_not.as_ref(), text)?.unwrap_or(false)
        {
            return Ok(Some(Rejected::Pattern));
        }
        if conditions.drops_refusals && is_refused() {
            return Ok(Some(Rejected::Refusal));
        }
        if let Some(language) = self.language
            && whatlang::detect(text).is_none_or(|found| found.lang() != language)
        {
            return Ok(Some(Rejected::Language));
        }
        if conditions.drops_personal && !identifiers(document).is_empty() {
            return Ok(Some(Rejected::Personal));
        }
        // Of a language without a list, the English one at least.
        let listed = |terms: &Terms| terms.count(document, language(document)).or_else(|| terms.count(document, None));
        if self.terms.as_ref().and_then(listed).is_some_and(|n| n > 0) {
            return Ok(Some(Rejected::Listed));
        }
        if !self.avoided.is_empty() && runs(document, SHARED_WORDS).iter().any(|run| self.avoided.contains(run)) {
            return Ok(Some(Rejected::Avoided));
        }
        let digest = Digest::of(text.as_bytes());
        if self.equal.contains(&digest) {
            return Ok(Some(Rejected::Equal));
        }
        let near = self.near(text);
        if near.is_none() {
            self.equal.insert(digest);
        }
        Ok(near)
    }

    fn near(&mut self, text: &str) -> Option<Rejected> {
        let least = self.conditions.near?;
        let own = runs(text, NEAR_WORDS);
        let mut shared: BTreeMap<usize, usize> = BTreeMap::new();
        for kept in own.iter().filter_map(|run| self.runs.get(run)).flatten() {
            *shared.entry(*kept).or_default() += 1;
        }
        let is_near = |(kept, shared): (&usize, &usize)| {
            let union = own.len() + self.sizes[*kept] - shared;
            *shared as f64 >= least * union as f64
        };
        if shared.iter().any(is_near) {
            return Some(Rejected::Near);
        }
        let place = self.sizes.len();
        self.sizes.push(own.len());
        for run in own {
            self.runs.entry(run).or_default().push(place);
        }
        None
    }
}

fn matches(pattern: Option<&Regex>, text: &str) -> Result<Option<bool>, FilterError> {
    let Some(pattern) = pattern else { return Ok(None) };
    pattern.is_match(text).map(Some).map_err(|source| FilterError::Match {
        pattern: pattern.as_str().to_owned(),
        characters: text.chars().count(),
        source: Box::new(source),
    })
}
