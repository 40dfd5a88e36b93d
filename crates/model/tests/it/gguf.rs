use crate::{all_bits, bits, chain, small, small_tokenizer, tokens};
use candle_core::{Device, Tensor, quantized::gguf_file};
use model::{Config, Llama, Tokenizer, gguf, weights};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn example() -> (Config, Tokenizer, BTreeMap<String, Tensor>) {
    let tokenizer = small_tokenizer();
    // Three rows more than the tokenizer has tokens.
    let config = small(303);
    let tensors = Llama::init(&config, 7).unwrap().tensors();
    (config, tokenizer, tensors)
}

fn dequantised(name: &str, tensor: &Tensor) -> Tensor {
    if gguf::is_quantized(tensor.dims()) {
        gguf::quantize(name, tensor).unwrap().dequantize(&Device::Cpu).unwrap()
    } else {
        tensor.clone()
    }
}

#[test]
fn a_file_reads_back_as_the_quantised_model() {
    let (config, tokenizer, tensors) = example();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let digest = gguf::write(&path, &config, &tokenizer, &tensors).unwrap();
    assert_eq!(gguf::write(&path, &config, &tokenizer, &tensors).unwrap(), digest);
    let (read_config, read) = gguf::read(&path).unwrap();
    assert_eq!(read_config, config);
    let expected = tensors.iter().map(|(name, tensor)| (name.clone(), dequantised(name, tensor))).collect();
    assert_eq!(all_bits(&read), all_bits(&expected));
    let input = tokens(&[vec![0, 5, 301]]);
    let logits = |tensors| Llama::from_tensors(config.clone(), tensors).unwrap().logits(&input).unwrap();
    assert_eq!(bits(&logits(read)), bits(&logits(expected)));
}

/// Referee: candle's own reader of the format. By llama.cpp's converter, row 2i of a head is the hub's row i and row
/// 2i + 1 the hub's row i + D/2; here D = 8.
#[test]
fn candle_reads_the_same_tensors_with_rotary_rows_interleaved() {
    let (config, tokenizer, tensors) = example();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    gguf::write(&path, &config, &tokenizer, &tensors).unwrap();
    let mut file = fs::File::open(&path).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    assert_eq!(content.tensor_infos.len(), tensors.len());
    for (gguf_name, hub_name, order) in [
        ("blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", Some(32)),
        ("blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", Some(16)),
        ("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight", None),
        ("token_embd.weight", "model.embed_tokens.weight", None),
        ("output_norm.weight", "model.norm.weight", None),
    ] {
        let found = content.tensor(&mut file, gguf_name, &Device::Cpu).unwrap().dequantize(&Device::Cpu).unwrap();
        let mut expected = dequantised(hub_name, &tensors[hub_name]);
        if let Some(rows) = order {
            let order: Vec<u32> = (0..rows).map(|row| row / 8 * 8 + row % 8 / 2 + row % 2 * 4).collect();
            expected = expected.index_select(&Tensor::new(order.as_slice(), &Device::Cpu).unwrap(), 0).unwrap();
        }
        assert_eq!(bits(&found), bits(&expected), "{gguf_name}");
    }
    let token =
        |id: usize| content.metadata["tokenizer.ggml.tokens"].to_vec().unwrap()[id].to_string().unwrap().clone();
    assert_eq!((token(0), token(1), token(302)), ("<|endoftext|>".to_owned(), "!".to_owned(), "[PAD302]".to_owned()));
    let kind = |id: usize| content.metadata["tokenizer.ggml.token_type"].to_vec().unwrap()[id].to_i32().unwrap();
    assert_eq!((kind(0), kind(1), kind(302)), (3, 1, 5));
    assert_eq!(content.metadata["tokenizer.ggml.merges"].to_vec().unwrap().len(), 300 - 257);
}

/// Referee: llama.cpp's own Python package, by `tests/referees/gguf_read.py`. `ASSIZE_REFEREE_PYTHON` names a Python that
/// has the packages `gguf` and `numpy`.
#[test]
fn the_python_package_of_llama_cpp_reads_the_same_numbers() {
    let Some(python) = std::env::var_os("ASSIZE_REFEREE_PYTHON") else {
        eprintln!("skipped: ASSIZE_REFEREE_PYTHON is not set");
        return;
    };
    let (config, tokenizer, tensors) = example();
    let folder = tempfile::tempdir().unwrap();
    let (gguf_path, weights_path) = (folder.path().join("model.gguf"), folder.path().join("model.safetensors"));
    gguf::write(&gguf_path, &config, &tokenizer, &tensors).unwrap();
    weights::save(&weights_path, &tensors, &BTreeMap::new()).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/referees/gguf_read.py");
    let run = |gguf: &Path| Command::new(&python).arg(&program).arg(gguf).arg(&weights_path).output().unwrap();
    let output = run(&gguf_path);
    eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    // The referee can say no: another model's file is refused.
    let other = Llama::init(&config, 8).unwrap().tensors();
    gguf::write(&gguf_path, &config, &tokenizer, &other).unwrap();
    assert_eq!(run(&gguf_path).status.code(), Some(1));
}

/// What `read` says of these bytes, with the folder taken out; `None` when it takes them.
fn verdict(path: &Path, bytes: &[u8]) -> Option<String> {
    fs::write(path, bytes).unwrap();
    let folder = format!("{}/", path.parent().unwrap().display());
    gguf::read(path).err().map(|error| chain(&error).replace(&folder, ""))
}

/// The example in a file, and its bytes.
fn written() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let (config, tokenizer, tensors) = example();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    gguf::write(&path, &config, &tokenizer, &tensors).unwrap();
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes)
}

fn position(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).position(|window| window == text).unwrap()
}

const REMEDY: &str = "; the file is damaged, incomplete or not of this kind: take it again from where it came";

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let (_folder, path, bytes) = written();
    for length in (0..bytes.len()).step_by(61) {
        let message = verdict(&path, &bytes[..length]).unwrap();
        assert!(message.starts_with("`m.gguf`, byte ") && message.ends_with(REMEDY), "{message}");
    }
    for (length, message) in [
        (0, "byte 0: expected 4 bytes of magic, found 0 bytes to the end of the file"),
        (7, "byte 4: expected 4 bytes of version, found 3 bytes to the end of the file"),
        (30, "byte 8: expected no more tensors than 14 bytes can hold, found 20"),
    ] {
        assert_eq!(verdict(&path, &bytes[..length]).unwrap(), format!("`m.gguf`, {message}{REMEDY}"));
    }
    // The last tensor of the file is the last norm: 32 numbers of 4 bytes, a whole number of alignments.
    let start = bytes.len() - 128;
    assert_eq!(
        verdict(&path, &bytes[..bytes.len() - 1]).unwrap(),
        format!(
            "`m.gguf`, byte {start}: expected 128 bytes of `output_norm.weight`, found 127 bytes to the end of the \
             file{REMEDY}"
        )
    );
}

#[test]
fn a_flipped_bit_in_the_header_never_panics() {
    let (_folder, path, bytes) = written();
    let position = |text: &[u8]| position(&bytes, text);
    // All of the numbers before the tokens, and the names, shapes and offsets of the tensors; the tokens themselves in steps.
    let tokens = position(b"tokenizer.ggml.tokens");
    let entries = position(b"tokenizer.ggml.add_bos_token");
    let header_end = position(b"output_norm.weight") + 40;
    let places = (0..tokens).chain((tokens..entries).step_by(97)).chain(entries..header_end);
    let mut n_refused = 0;
    for at in places {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        n_refused += usize::from(verdict(&path, &changed).is_some());
    }
    assert!(n_refused > 500, "{n_refused} refused");
}

#[test]
fn damage_is_named_with_its_place() {
    let (_folder, path, bytes) = written();
    let position = |text: &[u8]| position(&bytes, text);
    let with = |at: usize, value: &[u8]| {
        let mut changed = bytes.clone();
        changed[at..at + value.len()].copy_from_slice(value);
        verdict(&path, &changed).unwrap()
    };
    let heads = position(b"llama.attention.head_count") + 26 + 4;
    let shape = position(b"token_embd.weight") + 17 + 4;
    let entry = position(b"token_embd.weight") - 8;
    for (at, value, message) in [
        (0, &b"GGML"[..], "`m.gguf`, byte 0: expected the magic `GGUF`, found other bytes".to_owned() + REMEDY),
        (4, &[1], "`m.gguf`, byte 4: expected version 2 or 3, found 1".to_owned() + REMEDY),
        (
            position(b"general.architecture") + 20 + 12,
            b"gemma",
            format!(
                "`m.gguf`, byte 8: expected the metadata `general.architecture` to be `llama`, found `gemma`{REMEDY}"
            ),
        ),
        (
            heads,
            &[3],
            "`m.gguf`: the configuration cannot be computed: expected `heads` to divide `width` = 32, found 3"
                .to_owned(),
        ),
        (
            shape,
            &[64],
            format!(
                "`m.gguf`, byte {entry}: expected the tensor `token_embd.weight` of shape [303, 32], found [303, 64]{REMEDY}"
            ),
        ),
        (
            shape + 16,
            &[2],
            format!(
                "`m.gguf`, byte {entry}: expected the tensor `token_embd.weight` in F32 or Q8_0, found ggml type 2{REMEDY}"
            ),
        ),
    ] {
        assert_eq!(with(at, value), message);
    }
}

#[test]
fn a_model_that_does_not_fit_the_format_is_refused_before_anything_is_written() {
    let (config, tokenizer, tensors) = example();
    let path = Path::new("never-written.gguf");
    let narrow = Config { width: 24, ..small(303) };
    let weights = Llama::init(&narrow, 1).unwrap().tensors();
    assert_eq!(
        chain(&gguf::write(path, &narrow, &tokenizer, &weights).unwrap_err()),
        "expected rows of a multiple of 32 numbers for Q8_0, found `model.embed_tokens.weight` of shape [303, 24]"
    );
    let few = Config { vocab: 299, ..small(303) };
    let weights = Llama::init(&few, 1).unwrap().tensors();
    assert_eq!(
        chain(&gguf::write(path, &few, &tokenizer, &weights).unwrap_err()),
        "expected at most 299 tokens, the rows of the embedding, found 300 in the tokenizer"
    );
    let mut missing = tensors;
    missing.remove("model.norm.weight");
    assert_eq!(
        chain(&gguf::write(path, &config, &tokenizer, &missing).unwrap_err()),
        "the weights do not fit the configuration: expected a tensor `model.norm.weight` of shape [32], found none"
    );
}
