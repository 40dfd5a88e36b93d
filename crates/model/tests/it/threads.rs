//! One thread and two, each in a process of its own, for the number is fixed when a process first asks for it.

use crate::{PROSE, small, values};
use candle_core::{Device, Tensor};
use evidence::Digest;
use model::{Config, Llama, Tokenizer};
use std::{env, fs, process::Command};

/// Set in the child: where it writes what it computed.
const RESULT: &str = "ASSIZE_MODEL_TEST_RESULT";

/// Large enough that the matrix products are split over threads.
fn compute() -> String {
    let tokenizer = Tokenizer::train(&PROSE.split("\n\n").collect::<Vec<_>>(), 512).unwrap();
    let config = Config { vocab: 512, width: 128, hidden: 384, context: 64, ..small(512) };
    let llama = Llama::init(&config, 5).unwrap();
    let tokens = Tensor::from_slice(&tokenizer.encode(PROSE)[..8 * 64], (8, 64), &Device::Cpu).unwrap();
    let logits = llama.logits(&tokens).unwrap();
    let gradients = logits.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let digest = |tensor: &Tensor| {
        let bytes: Vec<u8> = values(tensor).into_iter().flat_map(f32::to_le_bytes).collect();
        Digest::of(&bytes).to_string()
    };
    let mut lines = vec![tokenizer.to_json().unwrap(), digest(&logits)];
    lines.extend(llama.parameters().values().map(|parameter| digest(gradients.get(parameter.as_tensor()).unwrap())));
    lines.join("\n")
}

#[test]
fn tokenizer_logits_and_gradients_are_the_same_bits_with_one_thread_and_two() {
    if let Some(path) = env::var_os(RESULT) {
        fs::write(path, compute()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["1", "2"].map(|threads| {
        let result = folder.path().join(threads);
        let status = Command::new(env::current_exe().unwrap())
            .args(["--exact", "threads::tokenizer_logits_and_gradients_are_the_same_bits_with_one_thread_and_two"])
            .env(RESULT, &result)
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap()
            .status;
        assert!(status.success());
        fs::read_to_string(result).unwrap()
    });
    assert_eq!(one, two);
}
