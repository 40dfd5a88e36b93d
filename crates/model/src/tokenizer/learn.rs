//! Which pairs of tokens to join: the training of byte-pair encoding, to the bit.
//!
//! The trainer of the `tokenizers` crate keeps words and pairs in hash maps with a random seed. When a join gives a token
//! that is already there (`a`+`bc` after `ab`+`c`), it may queue one pair twice, each entry with a part of the places;
//! which part is joined first then depends on the hash, and so may all merges after it. Here every pair is in the queue
//! once, with its exact count, and ties fall to the smaller pair of numbers, as the crate has it too.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

type Pair = (u32, u32);

/// A pair that occurs once says nothing about the language.
const COUNT_MIN: u64 = 2;

pub(super) struct Learned {
    /// Token texts by number.
    pub(super) tokens: Vec<String>,
    /// In the order in which they are applied.
    pub(super) merges: Vec<Pair>,
}

/// Joins the most frequent pair, the smaller pair of numbers first among equals, until there are `vocab` tokens or no pair
/// occurs twice. Source: Sennrich, Haddow and Birch 2016, algorithm 1.
///
/// `tokens` are the symbols to begin with, among them each character of `words`. Deterministic.
pub(super) fn learn(words: &BTreeMap<String, u64>, tokens: Vec<String>, vocab: usize) -> Learned {
    let mut numbers: BTreeMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
    let mut learned = Learned { tokens, merges: Vec::new() };
    let symbol = |character: char| numbers.get(character.encode_utf8(&mut [0; 4]) as &str).copied();
    let words = words.iter().map(|(word, count)| (word.chars().filter_map(symbol).collect(), *count)).collect();
    let mut pairs = Pairs::new(words);
    while learned.tokens.len() < vocab {
        let Some(pair) = pairs.most_frequent() else { break };
        let joined = [pair.0, pair.1].map(|token| learned.tokens[token as usize].as_str()).concat();
        let number = numbers.get(&joined).copied().unwrap_or_else(|| {
            let number = learned.tokens.len() as u32;
            numbers.insert(joined.clone(), number);
            learned.tokens.push(joined);
            number
        });
        learned.merges.push(pair);
        pairs.join(pair, number);
    }
    learned
}

/// INVARIANT: `places` holds the exact count of each pair and the words it occurs in; `queue` holds each pair once.
struct Pairs {
    words: Vec<(Vec<u32>, u64)>,
    places: BTreeMap<Pair, (u64, BTreeSet<usize>)>,
    queue: BTreeSet<(u64, Reverse<Pair>)>,
}

impl Pairs {
    fn new(words: Vec<(Vec<u32>, u64)>) -> Self {
        let mut pairs = Self { words, places: BTreeMap::new(), queue: BTreeSet::new() };
        for word in 0..pairs.words.len() {
            let (counts, word_count) = pairs.pairs_of(word);
            for (pair, times) in counts {
                let (count, words) = pairs.places.entry(pair).or_default();
                *count += times * word_count;
                words.insert(word);
            }
        }
        pairs.queue = pairs.places.iter().map(|(pair, (count, _))| (*count, Reverse(*pair))).collect();
        pairs
    }

    fn most_frequent(&self) -> Option<Pair> {
        self.queue.last().filter(|(count, _)| *count >= COUNT_MIN).map(|(_, Reverse(pair))| *pair)
    }

    /// How often each pair occurs in one word, and how often the word does.
    fn pairs_of(&self, word: usize) -> (BTreeMap<Pair, u64>, u64) {
        let (tokens, count) = &self.words[word];
        let mut counts = BTreeMap::new();
        for pair in tokens.windows(2) {
            *counts.entry((pair[0], pair[1])).or_default() += 1;
        }
        (counts, *count)
    }

    /// Joins `pair` from left to right in every word that holds it.
    fn join(&mut self, pair: Pair, number: u32) {
        let Some((_, words)) = self.places.get(&pair).cloned() else { return };
        for word in words {
            let (before, word_count) = self.pairs_of(word);
            let tokens = &mut self.words[word].0;
            let mut joined = Vec::with_capacity(tokens.len());
            let mut at = 0;
            while at < tokens.len() {
                let found = tokens[at] == pair.0 && tokens.get(at + 1) == Some(&pair.1);
                joined.push(if found { number } else { tokens[at] });
                at += if found { 2 } else { 1 };
            }
            *tokens = joined;
            let (after, _) = self.pairs_of(word);
            for touched in before.keys().chain(after.keys().filter(|pair| !before.contains_key(pair))) {
                let times = |counts: &BTreeMap<Pair, u64>| counts.get(touched).copied().unwrap_or(0);
                self.recount(*touched, word, times(&before) * word_count, times(&after) * word_count);
            }
        }
    }

    /// Moves one word's part of a pair's count from `before` to `after`.
    fn recount(&mut self, pair: Pair, word: usize, before: u64, after: u64) {
        let (count, words) = self.places.entry(pair).or_default();
        self.queue.remove(&(*count, Reverse(pair)));
        *count = *count - before + after;
        if after == 0 {
            words.remove(&word);
        } else {
            words.insert(word);
        }
        if *count == 0 {
            self.places.remove(&pair);
        } else {
            self.queue.insert((*count, Reverse(pair)));
        }
    }
}
