//! Words of a text, cut the same way wherever two texts are compared.

use evidence::Digest;
use std::collections::BTreeSet;

/// Full-width letters, digits and signs as the usual ones. One character stays one character.
pub(crate) fn narrow(letter: char) -> char {
    match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
        '\u{3000}' => ' ',
        _ => letter,
    }
}

/// In small letters and usual width.
pub(crate) fn folded(text: &str) -> String {
    text.chars().map(narrow).flat_map(char::to_lowercase).collect()
}

/// Runs of letters and digits; of scripts that put no spaces between words, each letter by itself.
pub(crate) fn words(folded: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open = None;
    for (at, letter) in folded.char_indices() {
        let is_alone = is_unspaced(letter);
        if is_alone || !letter.is_alphanumeric() {
            found.extend(open.take().map(|start| &folded[start..at]));
        } else if open.is_none() {
            open = Some(at);
        }
        if is_alone && letter.is_alphanumeric() {
            found.push(&folded[at..at + letter.len_utf8()]);
        }
    }
    found.extend(open.map(|start| &folded[start..]));
    found
}

/// Thai, Lao, Burmese, Khmer, kana and Han.
pub(crate) fn is_unspaced(letter: char) -> bool {
    matches!(u32::from(letter),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3041..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// The first eight bytes of the SHA-256 of these words with spaces between.
pub(crate) fn run(words: &[&str]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *Digest::of(words.join(" ").as_bytes()).as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Every run of `n` words of a text; a text of fewer words is one run.
pub(crate) fn runs(text: &str, n: usize) -> BTreeSet<u64> {
    let folded = folded(text);
    let words = words(&folded);
    if words.len() < n { BTreeSet::from([run(&words)]) } else { words.windows(n).map(run).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_run_of_letters_or_one_letter_of_an_unspaced_script() {
        for (text, expected) in [
            ("It's 3.5 km, said Zoë.", &["it", "s", "3", "5", "km", "said", "zoë"][..]),
            ("电话Ａ１２，是", &["电", "话", "a12", "是"]),
            ("한국어 말", &["한국어", "말"]),
            ("...", &[]),
        ] {
            assert_eq!(words(&folded(text)), expected, "{text}");
        }
    }
}
