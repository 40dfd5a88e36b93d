//! Tokenizers against published vectors, which are not kept in the repository: `ASSIZE_DATA` names their folder.

use model::{Specials, gguf_tokenizer};
use std::{fs, path::PathBuf};

fn folder(name: &str) -> Option<PathBuf> {
    let Some(data) = std::env::var_os("ASSIZE_DATA") else {
        eprintln!("skipped: ASSIZE_DATA is not set");
        return None;
    };
    Some(PathBuf::from(data).join(name))
}

/// llama.cpp's test texts and token numbers, made with the hub's library by its `convert_hf_to_gguf_update.py`.
#[test]
fn tokenizers_in_gguf_files_agree_with_llama_cpps_vectors() {
    let Some(folder) = folder("llama.cpp-vocab-vectors") else { return };
    for (name, n_expected) in [("gpt-2", 46), ("llama-spm", 46), ("phi-3", 46)] {
        let file = |ending: &str| folder.join(format!("ggml-vocab-{name}.gguf{ending}"));
        let tokenizer = gguf_tokenizer(&file("")).unwrap();
        let texts = fs::read_to_string(file(".inp")).unwrap();
        let numbers = fs::read_to_string(file(".out")).unwrap();
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let numbers: Vec<&str> = numbers.lines().collect();
        let mut wrong = Vec::new();
        for (text, line) in texts.iter().zip(&numbers) {
            let expected: Vec<u32> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
            let found = tokenizer.encode(text, Specials::None).unwrap();
            if found != expected {
                wrong.push(format!("{text:?}: expected {expected:?}, found {found:?}"));
            }
            // Byte-level tokens lose nothing; SentencePiece's own cleaning is not undone.
            if name == "gpt-2" {
                assert_eq!(tokenizer.decode(&found).unwrap(), *text);
            }
        }
        assert!(wrong.is_empty(), "{name}: {} of {}\n{}", wrong.len(), texts.len(), wrong.join("\n"));
        assert_eq!(texts.iter().zip(&numbers).count(), n_expected, "{name}");
    }
}

/// The vocabulary and merges of GPT-2 as its authors' files have them, against the same model in a GGUF file.
#[test]
fn gpt2s_own_files_and_its_gguf_file_hold_one_vocabulary() {
    let (Some(own), Some(vectors)) = (folder("gpt2-bpe"), folder("llama.cpp-vocab-vectors")) else { return };
    let tokenizer = gguf_tokenizer(&vectors.join("ggml-vocab-gpt-2.gguf")).unwrap();
    let encoder: serde_json::Value = serde_json::from_slice(&fs::read(own.join("encoder.json")).unwrap()).unwrap();
    let encoder = encoder.as_object().unwrap();
    assert_eq!(tokenizer.vocab_size(), encoder.len());
    for (token, id) in encoder {
        assert_eq!(tokenizer.id(token), Some(id.as_u64().unwrap() as u32), "{token}");
    }
    let document: serde_json::Value = serde_json::from_str(&tokenizer.to_json().unwrap()).unwrap();
    let merges = fs::read_to_string(own.join("vocab.bpe")).unwrap();
    let merges: Vec<&str> = merges.lines().skip(1).filter(|line| !line.is_empty()).collect();
    let found = document["model"]["merges"].as_array().unwrap();
    assert_eq!(found.len(), merges.len());
    for (found, expected) in found.iter().zip(merges) {
        assert_eq!(format!("{} {}", found[0].as_str().unwrap(), found[1].as_str().unwrap()), expected);
    }
}
