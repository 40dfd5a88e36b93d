//! Characters that a reader does not see, or takes for others: a card says nothing but what stands there to be read.

/// Controls, joiners, fillers, variation selectors, and marks that turn the direction of writing.
pub(crate) fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{0}'..='\u{8}'
            | '\u{b}'
            | '\u{c}'
            | '\u{e}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The first such character, with its place in bytes.
pub(crate) fn first_unseen(text: &str) -> Option<(usize, char)> {
    text.char_indices().find(|(_, character)| is_unseen(*character))
}

/// Cyrillic, Greek and other letters that print like a letter of the Latin alphabet, each before that letter.
const LOOKALIKES: [(&str, &str); 4] = [
    ("аеорсхуіјѕһԁԛԝ", "aeopcxyijshdqw"),
    ("АВЕКМНОРСТХУІЈЅ", "ABEKMHOPCTXYIJS"),
    ("οανρυικχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "oavpuikxABEZHIKMNOPTYX"),
    ("ıɡℓⅼ∣ǀ", "iglllI"),
];

/// The ASCII character that this one prints like.
pub(crate) fn lookalike(character: char) -> Option<char> {
    let code = character as u32;
    if (0xff01..=0xff5e).contains(&code) {
        return char::from_u32(code - 0xfee0);
    }
    let find = |(odd, plain): (&str, &str)| odd.chars().zip(plain.chars()).find(|(odd, _)| *odd == character);
    LOOKALIKES.into_iter().find_map(find).map(|(_, plain)| plain)
}

/// The first character of a word that is Latin but for it.
pub(crate) fn first_lookalike(text: &str) -> Option<(usize, char)> {
    let is_latin =
        text.chars().all(|letter| letter.is_ascii() || lookalike(letter).is_some() || !letter.is_alphabetic());
    text.char_indices().find(|(_, letter)| is_latin && lookalike(*letter).is_some())
}

/// How to say what stands there.
pub(crate) fn told(character: char) -> String {
    let code = format!("U+{:04X}", character as u32);
    match lookalike(character) {
        Some(plain) => format!("it is {code}, which looks like `{plain}`: type it anew"),
        None => format!("it is {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lookalike_has_its_letter() {
        for (odd, plain) in LOOKALIKES {
            assert_eq!(odd.chars().count(), plain.chars().count(), "{odd}");
            assert!(odd.chars().all(|letter| !letter.is_ascii()) && plain.is_ascii());
        }
        assert_eq!(lookalike('Ａ'), Some('A'));
        assert_eq!(lookalike('é'), None);
    }

    /// Words of other scripts are no disguise; one letter among Latin ones is.
    #[test]
    fn only_words_that_pass_for_latin_are_suspect() {
        assert_eq!(first_lookalike("СN"), Some((0, 'С')));
        assert_eq!(first_lookalike("р"), Some((0, 'р')));
        for good in ["CN", "", "生成合成", "жизнь", "Gerät", "500 €"] {
            assert_eq!(first_lookalike(good), None, "{good}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_found_where_it_stands() {
        assert_eq!(first_unseen("a\u{200b}b"), Some((1, '\u{200b}')));
        assert_eq!(first_unseen("é\u{202e}"), Some((2, '\u{202e}')));
        assert_eq!(first_unseen("a\tb\r\n生成"), None);
    }
}
