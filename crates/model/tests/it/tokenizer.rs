use crate::{PROSE, chain, small_tokenizer};
use model::{END_OF_TEXT, END_OF_TEXT_ID, Tokenizer};
use proptest::prelude::*;
use std::{fs, path::Path, sync::LazyLock};

static SMALL: LazyLock<Tokenizer> = LazyLock::new(small_tokenizer);

/// The merges of the file, as `left+right`.
fn merges(tokenizer: &Tokenizer) -> Vec<String> {
    let document: serde_json::Value = serde_json::from_str(&tokenizer.to_json().unwrap()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let merges = document["model"]["merges"].as_array().unwrap();
    merges.iter().map(|pair| format!("{}+{}", text(&pair[0]), text(&pair[1]))).collect()
}

/// The worked example of chapter 6 of the Hugging Face course (u+g, u+n, h+ug), carried on by hand: p+un 12 times, then at
/// 5 times each p+ug (two bytes come before a byte and a later token) and hug+s, then b+un 4 times.
#[test]
fn merges_are_those_of_a_worked_example() {
    let counts = [("hug", 10), ("pug", 5), ("pun", 12), ("bun", 4), ("hugs", 5)];
    let documents: Vec<&str> = counts.into_iter().flat_map(|(word, n)| std::iter::repeat_n(word, n)).collect();
    let tokenizer = Tokenizer::train(&documents, 400).unwrap();
    assert_eq!(merges(&tokenizer), ["u+g", "u+n", "h+ug", "p+un", "p+ug", "hug+s", "b+un"]);
    assert_eq!(tokenizer.vocab_size(), 257 + 7);
    assert_eq!(merges(&Tokenizer::train(&documents, 260).unwrap()), ["u+g", "u+n", "h+ug"]);
}

#[test]
fn the_end_of_text_is_token_0_and_no_text_gives_it() {
    assert_eq!(SMALL.decode(&[END_OF_TEXT_ID]).unwrap(), END_OF_TEXT);
    let spoofed = format!("one{END_OF_TEXT}two");
    let tokens = SMALL.encode(&spoofed);
    assert!(!tokens.contains(&END_OF_TEXT_ID), "{tokens:?}");
    assert_eq!(SMALL.decode(&tokens).unwrap(), spoofed);
    assert_eq!(SMALL.encode(""), Vec::<u32>::new());
}

#[test]
fn the_vocabulary_is_filled_and_used() {
    assert_eq!(SMALL.vocab_size(), 300);
    let tokens = SMALL.encode(PROSE);
    assert!(tokens.iter().any(|token| *token >= 257));
    assert!(tokens.iter().all(|token| (*token as usize) < 300));
    assert!(tokens.len() < PROSE.len() * 4 / 5, "{} tokens for {} bytes", tokens.len(), PROSE.len());
    assert_eq!(SMALL.decode(&tokens).unwrap(), PROSE);
}

proptest! {
    #[test]
    fn decoding_gives_back_any_text(text in any::<String>(), prose in "[a-zA-Z ,.'\n\t]{0,80}") {
        for text in [text.clone(), prose.clone(), format!("{prose}{END_OF_TEXT}{text}")] {
            let tokens = SMALL.encode(&text);
            prop_assert_eq!(SMALL.decode(&tokens).unwrap(), text);
        }
    }

    /// The crate's trainer counts in hash maps of random seeds, new ones each time, so an order that mattered would show.
    #[test]
    fn training_depends_on_the_documents_alone(documents in proptest::collection::vec("[ab]{1,6}( [abc]{1,8}){0,6}", 1..12)) {
        let forward: Vec<&str> = documents.iter().map(String::as_str).collect();
        let backward: Vec<&str> = forward.iter().rev().copied().collect();
        let train = |documents: &[&str]| Tokenizer::train(documents, 280).unwrap().to_json().unwrap();
        let first = train(&forward);
        prop_assert_eq!(&train(&forward), &first);
        prop_assert_eq!(&train(&backward), &first);
    }
}

#[test]
fn the_file_reads_back_as_the_same_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let digest = SMALL.save(&path).unwrap();
    let loaded = Tokenizer::load(&path).unwrap();
    assert_eq!(loaded.save(&path).unwrap(), digest);
    let text = format!("We the People, {END_OF_TEXT} 人人生而自由 \u{0}");
    assert_eq!(loaded.encode(&text), SMALL.encode(&text));
    assert_eq!(loaded.decode(&loaded.encode(&text)).unwrap(), text);
    assert_eq!(loaded.vocab_size(), 300);
}

#[test]
fn a_vocabulary_outside_the_limits_is_refused() {
    for vocab in [0, 256, (1 << 20) + 1] {
        assert_eq!(
            Tokenizer::train(&["text"], vocab).unwrap_err().to_string(),
            format!("expected a vocabulary of 257 (the bytes and the end of text) to 1048576 tokens, found {vocab}")
        );
    }
    assert_eq!(Tokenizer::train(&[], 257).unwrap().vocab_size(), 257);
}

#[test]
fn a_file_of_another_kind_is_refused_with_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let file = SMALL.to_json().unwrap();
    let verdict = |text: &str| {
        fs::write(&path, text).unwrap();
        chain(&Tokenizer::load(&path).unwrap_err()).replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(
        verdict(&file[..file.len() / 2]).split(": ").take(2).collect::<Vec<_>>().join(": "),
        "`tokenizer.json`: expected a `tokenizer.json`; take the file again from where it came"
    );
    assert_eq!(
        verdict(&file.replace(END_OF_TEXT, "<|end|>")),
        "`tokenizer.json`: expected `<|endoftext|>` as token 0, found no such token"
    );
    assert_eq!(
        verdict(&file.replacen("\"!\":1,", "\"!!!\":1,", 1)),
        "`tokenizer.json`: expected a token for each of the 256 bytes, found none for `!`"
    );
    assert_eq!(
        chain(&Tokenizer::load(Path::new("absent.json")).unwrap_err()),
        "cannot read the tokenizer `absent.json`: No such file or directory (os error 2)"
    );
}
