//! Words of ill repute, by published lists: candidates for a look, no verdicts.
//!
//! The lists are those of `lists/NOTICE.md`, unchanged. A term that is one letter of an unspaced script, or has no word of three
//! letters, is left out: each alone would find harmless text by the page.

use crate::words::{folded, is_unspaced, words};
use evidence::Digest;
use std::collections::BTreeMap;

const LISTS: [(&str, &str); 24] = [
    ("ara", include_str!("../lists/ar.txt")),
    ("ces", include_str!("../lists/cs.txt")),
    ("cmn", include_str!("../lists/zh.txt")),
    ("dan", include_str!("../lists/da.txt")),
    ("deu", include_str!("../lists/de.txt")),
    ("eng", include_str!("../lists/en.txt")),
    ("epo", include_str!("../lists/eo.txt")),
    ("fin", include_str!("../lists/fi.txt")),
    ("fra", include_str!("../lists/fr.txt")),
    ("hin", include_str!("../lists/hi.txt")),
    ("hun", include_str!("../lists/hu.txt")),
    ("ita", include_str!("../lists/it.txt")),
    ("jpn", include_str!("../lists/ja.txt")),
    ("kor", include_str!("../lists/ko.txt")),
    ("nld", include_str!("../lists/nl.txt")),
    ("nob", include_str!("../lists/no.txt")),
    ("pes", include_str!("../lists/fa.txt")),
    ("pol", include_str!("../lists/pl.txt")),
    ("por", include_str!("../lists/pt.txt")),
    ("rus", include_str!("../lists/ru.txt")),
    ("spa", include_str!("../lists/es.txt")),
    ("swe", include_str!("../lists/sv.txt")),
    ("tha", include_str!("../lists/th.txt")),
    ("tur", include_str!("../lists/tr.txt")),
];

/// The list that every text is held against.
const ALWAYS: &str = "eng";

/// Characters of a text by which its language is told.
const TOLD_BY: usize = 2000;

/// By first word, the words behind it.
type List = BTreeMap<String, Vec<Vec<String>>>;

/// The lists, ready for use.
#[derive(Debug)]
pub struct Terms {
    lists: BTreeMap<&'static str, List>,
}

impl Terms {
    #[must_use]
    pub fn shipped() -> Self {
        let mut lists = BTreeMap::new();
        for (language, text) in LISTS {
            let mut list = List::new();
            for line in text.lines() {
                let folded = folded(line);
                let mut term = words(&folded).into_iter().map(str::to_owned);
                if tells(&folded)
                    && let Some(first) = term.next()
                {
                    list.entry(first).or_default().push(term.collect());
                }
            }
            lists.insert(language, list);
        }
        Self { lists }
    }

    /// Places of a text where a listed term begins: of the English list, and of that of its language. `None` of a text whose
    /// language is told and has no list.
    #[must_use]
    pub fn count(&self, text: &str, language: Option<&str>) -> Option<u64> {
        let own = match language {
            Some(language) if language != ALWAYS => Some(self.lists.get(language)?),
            _ => None,
        };
        let folded = folded(text);
        let words = words(&folded);
        let begins = |list: &List, at: usize| {
            let rests = list.get(words[at]).map_or(&[][..], Vec::as_slice);
            rests.iter().any(|rest| words[at + 1..].iter().zip(rest).filter(|(a, b)| *a == b).count() == rest.len())
        };
        let lists: Vec<&List> = self.lists.get(ALWAYS).into_iter().chain(own).collect();
        Some((0..words.len()).filter(|at| lists.iter().any(|list| begins(list, *at))).count() as u64)
    }

    /// Of the files, one behind another.
    #[must_use]
    pub fn digest() -> Digest {
        Digest::of(LISTS.map(|(_, text)| text).concat().as_bytes())
    }
}

/// A word of three letters with a letter among its signs, or two letters of an unspaced script.
fn tells(folded: &str) -> bool {
    let is_long = |word: &&str| word.chars().count() > 2 && word.chars().any(char::is_alphabetic);
    folded.chars().filter(|letter| is_unspaced(*letter)).count() > 1 || words(folded).iter().any(is_long)
}

/// What the language of a text is taken for, in three letters of ISO 639-3; `None` where it cannot be told with confidence.
#[must_use]
pub fn language(text: &str) -> Option<&'static str> {
    let end = text.char_indices().nth(TOLD_BY).map_or(text.len(), |(at, _)| at);
    whatlang::detect(&text[..end]).filter(whatlang::Info::is_reliable).map(|found| found.lang().code())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Terms as the lists have them: `ball sucking`, `porn` and `sex` in English, `三级片` and `性` in Chinese, of which the last is left out.
    #[test]
    fn terms_are_whole_words_of_the_texts_language() {
        let terms = Terms::shipped();
        for (text, language, expected) in [
            ("Essex lies by the sea; the ball is round.", Some("eng"), Some(0)),
            ("Porn, and SEX.", None, Some(2)),
            ("Ｐｏｒｎ in full width", None, Some(1)),
            ("他说三级片不是性教育", Some("cmn"), Some(1)),
            ("他说三级片不是性教育", None, Some(0)),
            ("Det er porn på norsk", Some("nob"), Some(1)),
            ("ქართული ტექსტი", Some("kat"), None),
        ] {
            assert_eq!(terms.count(text, language), expected, "{text}");
        }
        assert!(terms.lists.values().all(|list| !list.is_empty()));
    }
}
