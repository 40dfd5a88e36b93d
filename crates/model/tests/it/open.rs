//! Folders and GGUF files of strangers: what is taken, and how each kind of damage is named.

use crate::{bits, chain, small, small_tokenizer};
use candle_core::{Device, Tensor};
use model::{Layout, Llama, OpenOptions, Row, Specials, gguf, open, open_digested, open_with, weights, write_folder};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const TOKENS: [u32; 9] = [5, 0, 36, 12, 12, 7, 30, 1, 299];

/// A folder as the hub lays it out, whole.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let llama = Llama::init(&small(300), 7).unwrap();
        weights::save(&folder.path("model.safetensors"), &llama.tensors(), &BTreeMap::new()).unwrap();
        fs::write(folder.path("config.json"), llama.config().to_json()).unwrap();
        small_tokenizer().save(&folder.path("tokenizer.json")).unwrap();
        folder.put(
            "tokenizer_config.json",
            &json!({"bos_token": "<|endoftext|>", "eos_token": {"content": "<|endoftext|>"}}),
        );
        folder.put("generation_config.json", &json!({"bos_token_id": 0, "eos_token_id": [0, 7]}));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, value: &Value) {
        fs::write(self.path(name), value.to_string()).unwrap();
    }

    fn change(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.path(name), text.replacen(from, to, 1)).unwrap();
    }

    /// What `open` says, with the folder taken out.
    fn verdict(&self) -> String {
        let message = chain(&open(self.0.path()).map(|_| ()).unwrap_err());
        message
            .replace(&format!("{}/", self.0.path().display()), "")
            .replace(&self.0.path().display().to_string(), "FOLDER")
    }

    fn tensors(&self) -> BTreeMap<String, Tensor> {
        weights::load(&self.path("model.safetensors")).unwrap()
    }

    fn save(&self, tensors: &BTreeMap<String, Tensor>) {
        weights::save(&self.path("model.safetensors"), tensors, &BTreeMap::new()).unwrap();
    }

    /// Two shards and their index.
    fn shard(&self) -> Value {
        let tensors = self.tensors();
        fs::remove_file(self.path("model.safetensors")).unwrap();
        let mut map = serde_json::Map::new();
        let middle = tensors.len() / 2;
        for (at, half) in
            [tensors.iter().take(middle).collect::<Vec<_>>(), tensors.iter().skip(middle).collect()].iter().enumerate()
        {
            let name = format!("model-{:05}-of-00002.safetensors", at + 1);
            let half: BTreeMap<String, Tensor> =
                half.iter().map(|(name, tensor)| ((*name).clone(), (*tensor).clone())).collect();
            weights::save(&self.path(&name), &half, &BTreeMap::new()).unwrap();
            map.extend(half.into_keys().map(|tensor| (tensor, json!(name))));
        }
        let index = json!({"metadata": {"total_size": 0}, "weight_map": map});
        self.put("model.safetensors.index.json", &index);
        index
    }
}

fn logits(path: &Path) -> Vec<u32> {
    bits(&open(path).unwrap().decoder.logits(&mut [Row::alone(&TOKENS)]).unwrap())
}

#[test]
fn a_folder_opens_whole_or_in_shards() {
    let folder = Folder::new();
    let model = open(folder.0.path()).unwrap();
    assert_eq!((model.layout, model.family.to_string().as_str()), (Layout::Folder, "llama"));
    assert_eq!(
        (model.tokenizer.bos(), model.tokenizer.eos(), model.tokenizer.adds_bos()),
        (Some(0), &[0, 7][..], false)
    );
    assert_eq!((model.decoder.vocab(), model.decoder.context(), model.decoder.layers()), (300, 16, 2));
    let text = "We the People";
    assert_eq!(model.tokenizer.encode(text, Specials::AsFile).unwrap(), small_tokenizer().encode(text));
    let names: Vec<String> = model.manifest().unwrap().iter().map(|(name, _, _)| name.clone()).collect();
    let digested = open_digested(model.path.as_path(), &OpenOptions::default()).unwrap();
    assert_eq!(digested.manifest().unwrap(), model.manifest().unwrap());
    // A second time it is not read again.
    assert_eq!(digested.manifest().unwrap(), model.manifest().unwrap());
    assert_eq!(
        names,
        ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    );
    let whole = logits(folder.0.path());
    folder.shard();
    assert_eq!(logits(folder.0.path()), whole);
}

/// Our own GGUF, written by `gguf::write` and compared with candle and llama.cpp's package in `gguf.rs`.
#[test]
fn a_gguf_file_is_the_same_model_as_the_folder_written_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let tokenizer = small_tokenizer();
    let llama = Llama::init(&small(303), 7).unwrap();
    gguf::write(&path, llama.config(), &tokenizer, &llama.tensors()).unwrap();
    let model = open(&path).unwrap();
    assert_eq!(model.layout, Layout::Gguf);
    assert_eq!((model.tokenizer.bos(), model.tokenizer.eos(), model.tokenizer.adds_bos()), (Some(0), &[0][..], true));
    let prose = "We hold 3,141 truths:  self-evident?\n\n naïve 人人生而自由";
    assert_eq!(model.tokenizer.encode(prose, Specials::None).unwrap(), tokenizer.encode(prose));
    assert_eq!(model.tokenizer.encode(prose, Specials::AsFile).unwrap()[1..], tokenizer.encode(prose));
    assert_eq!(model.tokenizer.decode(&tokenizer.encode(prose)).unwrap(), prose);

    let out = folder.path().join("written");
    let files = write_folder(&path, &out, &OpenOptions::default()).unwrap();
    assert_eq!(files.len(), 5);
    let written = open(&out).unwrap();
    assert_eq!(written.layout, Layout::Folder);
    assert_eq!(logits(&out), logits(&path));
    assert_eq!(
        written.tokenizer.encode(prose, Specials::AsFile).unwrap(),
        model.tokenizer.encode(prose, Specials::AsFile).unwrap()
    );
    assert_eq!((written.tokenizer.bos(), written.tokenizer.eos()), (model.tokenizer.bos(), model.tokenizer.eos()));
    let error = write_folder(&path, &out, &OpenOptions::default()).unwrap_err().to_string();
    assert!(
        error.ends_with("expected a folder that is empty or not there yet, found files in it; name another"),
        "{error}"
    );
}

#[test]
fn what_is_no_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let say =
        |path: &Path| chain(&open(path).map(|_| ()).unwrap_err()).replace(&format!("{}", folder.path().display()), "F");
    assert_eq!(
        say(folder.path()),
        "`F`: expected a folder with `config.json` and weights, or a `.gguf` file, found a folder without `config.json`"
    );
    assert_eq!(say(&folder.path().join("absent")), "cannot read `F/absent`: No such file or directory (os error 2)");
    fs::write(folder.path().join("weights.bin"), b"x").unwrap();
    assert_eq!(
        say(&folder.path().join("weights.bin")),
        "`F/weights.bin`: expected a folder with `config.json` and weights, or a `.gguf` file, found a file of another kind; \
         name the folder it stands in"
    );
    let folder = Folder::new();
    fs::remove_file(folder.path("model.safetensors")).unwrap();
    assert_eq!(
        folder.verdict(),
        "`FOLDER`: expected a folder with `config.json` and weights, or a `.gguf` file, found neither `model.safetensors` nor \
         `model.safetensors.index.json` in it"
    );
}

#[test]
fn shards_that_are_missing_or_of_another_model_are_named() {
    let folder = Folder::new();
    let mut index = folder.shard();
    fs::rename(folder.path("model-00002-of-00002.safetensors"), folder.path("kept")).unwrap();
    let verdict = folder.verdict();
    assert!(
        verdict
            .starts_with("`model.safetensors.index.json`: the shard `model-00002-of-00002.safetensors` with `model."),
        "{verdict}"
    );
    assert!(verdict.ends_with("is missing; take it from where the other files came"), "{verdict}");
    fs::rename(folder.path("kept"), folder.path("model-00002-of-00002.safetensors")).unwrap();

    index["weight_map"]["model.norm.weight"] = json!("model-00001-of-00002.safetensors");
    folder.put("model.safetensors.index.json", &index);
    assert_eq!(
        folder.verdict(),
        "`model-00001-of-00002.safetensors`: expected `model.norm.weight`, which the index places here, found no such tensor; \
         index and shard are of two models"
    );
    index["weight_map"]["model.norm.weight"] = json!("../../etc/passwd");
    folder.put("model.safetensors.index.json", &index);
    assert_eq!(
        folder.verdict(),
        "`model.safetensors.index.json`: expected an index of weights: the shard `../../etc/passwd` is no name of a file beside \
         it; take the file again from where it came"
    );
}

#[test]
fn damaged_weights_are_named_with_their_place() {
    let folder = Folder::new();
    let bytes = fs::read(folder.path("model.safetensors")).unwrap();
    let mut long = bytes.clone();
    long[..8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    fs::write(folder.path("model.safetensors"), &long).unwrap();
    assert_eq!(
        folder.verdict(),
        format!(
            "`model.safetensors`, byte 8: expected a header of 1099511627776 bytes, found {} bytes to the end of the file; the file \
             is damaged or incomplete: take it again from where it came, or from the last snapshot",
            bytes.len() - 8
        )
    );
    fs::write(folder.path("model.safetensors"), &bytes[..bytes.len() - 5]).unwrap();
    assert!(folder.verdict().contains("expected as many bytes of data as the header declares"), "{}", folder.verdict());
}

#[test]
fn weights_that_contradict_the_configuration_are_named() {
    let folder = Folder::new();
    let original = folder.tensors();
    let with = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut tensors = original.clone();
        change(&mut tensors);
        folder.save(&tensors);
        folder.verdict()
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let verdict =
        with(&|tensors| drop(tensors.insert("model.layers.1.mlp.up_proj.weight".to_owned(), zeros(&[63, 32]))));
    assert_eq!(
        verdict,
        "`model.safetensors`: expected `model.layers.1.mlp.up_proj.weight` of shape [64, 32] by the configuration, found [63, 32]; \
         the two are of different models"
    );
    let verdict = with(&|tensors| drop(tensors.remove("model.norm.weight")));
    assert_eq!(
        verdict,
        "`model.safetensors`: expected a tensor `model.norm.weight` of shape [32], found none; the configuration is of another \
         model, or a shard is missing"
    );
    let verdict =
        with(&|tensors| drop(tensors.insert("model.layers.2.mlp.up_proj.weight".to_owned(), zeros(&[64, 32]))));
    assert_eq!(
        verdict,
        "`model.safetensors`: expected only tensors that the configuration names, found `model.layers.2.mlp.up_proj.weight` of \
         shape [64, 32]; the configuration is of another model"
    );
    let verdict = with(&|tensors| {
        let mut norm = vec![1.0_f32; 32];
        norm[5] = f32::NAN;
        tensors.insert("model.norm.weight".to_owned(), Tensor::from_vec(norm, 32, &Device::Cpu).unwrap());
    });
    assert_eq!(
        verdict,
        "`model.safetensors`: expected finite numbers in `model.norm.weight`, found NaN at index 5; take the file again"
    );
    let verdict = with(&|tensors| drop(tensors.insert("lm_head.weight".to_owned(), zeros(&[300, 32]))));
    assert_eq!(
        verdict,
        "`model.safetensors`: `tie_word_embeddings` says that head and embedding are one, and `lm_head.weight` is another matrix; \
         set it to false if the weights are right"
    );
    // The same numbers twice contradict nothing.
    let mut tensors = original.clone();
    tensors.insert("lm_head.weight".to_owned(), original["model.embed_tokens.weight"].clone());
    folder.save(&tensors);
    assert!(open(folder.0.path()).is_ok());
}

#[test]
fn configurations_that_cannot_be_computed_are_named() {
    for (from, to, expected) in [
        (
            "\"llama\"",
            "\"mamba\"",
            "`config.json`: the configuration cannot be computed: expected `model_type` to be one of `llama`, `mistral`, `qwen2`, \
             `qwen3`, `gpt2`, `gpt_neox`, `gemma2`, `gemma3_text`, `gemma3`, `phi3`, `olmo2`, `qwen3_moe`, `mixtral`, found `\"mamba\"`",
        ),
        (
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": 3",
            "`config.json`: the configuration cannot be computed: expected `num_key_value_heads` to divide `num_attention_heads` = 3, \
             found 2",
        ),
        (
            "\"hidden_size\": 32",
            "\"hidden_size\": 4294967296",
            "`config.json`: the configuration cannot be computed: expected `hidden_size` from 1 to 65536, found 4294967296",
        ),
        (
            "\"silu\"",
            "\"mish\"",
            "`config.json`: the configuration cannot be computed: expected `hidden_act` to be `silu`, `gelu`, `gelu_new`, \
             `gelu_pytorch_tanh` or `relu`, found `\"mish\"`",
        ),
        (
            "\"vocab_size\"",
            "vocab",
            "`config.json`: the configuration cannot be computed: 22:3: expected JSON, key must be a string",
        ),
    ] {
        let folder = Folder::new();
        folder.change("config.json", from, to);
        assert_eq!(folder.verdict(), expected);
    }
}

#[test]
fn a_tokenizer_of_another_model_is_named() {
    let folder = Folder::new();
    let llama = Llama::init(&small(299), 7).unwrap();
    folder.save(&llama.tensors());
    fs::write(folder.path("config.json"), llama.config().to_json()).unwrap();
    assert_eq!(
        folder.verdict(),
        "`tokenizer.json`: expected at most 299 tokens, the rows of the embedding, found 300; the tokenizer is of another model"
    );
    // Rows that no token uses, as padding leaves them: up to a quarter.
    for (rows, expected) in
        [(400, None), (401, Some("expected about 401 tokens, as the embedding has rows, found 300"))]
    {
        let llama = Llama::init(&small(rows), 7).unwrap();
        folder.save(&llama.tensors());
        fs::write(folder.path("config.json"), llama.config().to_json()).unwrap();
        match expected {
            Some(expected) => {
                assert_eq!(
                    folder.verdict(),
                    format!("`tokenizer.json`: {expected}; the tokenizer is of another model")
                );
            }
            None => assert_eq!(open(folder.0.path()).unwrap().decoder.vocab(), rows),
        }
    }
    let folder = Folder::new();
    folder.put("tokenizer_config.json", &json!({"eos_token": "</s>"}));
    assert_eq!(
        folder.verdict(),
        "`tokenizer_config.json`: `eos_token` is `</s>`, which `tokenizer.json` does not have; the tokenizer is of another model"
    );
    folder.put("tokenizer_config.json", &json!({}));
    fs::remove_file(folder.path("tokenizer.json")).unwrap();
    assert_eq!(
        folder.verdict(),
        "`tokenizer.json` is not there: copy it from where the weights came from, for a folder of weights is read with it"
    );
    fs::write(folder.path("tokenizer.json"), "{").unwrap();
    assert!(
        folder
            .verdict()
            .starts_with("`tokenizer.json`: expected a tokenizer; take the file again from where it came: ")
    );
}

#[test]
fn files_that_disagree_about_a_token_are_both_named() {
    for (file, value, expected) in [
        (
            "generation_config.json",
            json!({"eos_token_id": 9}),
            "`tokenizer_config.json`: `eos_token` is `<|endoftext|>`, token 0, but `generation_config.json`: `eos_token_id` is 9; the \
             files are not of one model, or one of them is wrong: correct it, or say which token is meant with `--eos`",
        ),
        (
            "special_tokens_map.json",
            json!({"bos_token": "!"}),
            "`tokenizer_config.json`: `bos_token` is `<|endoftext|>`, token 0, but `special_tokens_map.json`: `bos_token` is `!`, token \
             1; the files are not of one model, or one of them is wrong: correct it, or say which token is meant with `--bos`",
        ),
        (
            "tokenizer_config.json",
            json!({"bos_token": "<|endoftext|>", "add_bos_token": true}),
            "`tokenizer_config.json`: `add_bos_token` is true, but `tokenizer.json`: a text gets no such token at its beginning; the \
             files are not of one model, or one of them is wrong: correct it, or say which token is meant with `--bos`",
        ),
    ] {
        let folder = Folder::new();
        folder.put(file, &value);
        assert_eq!(folder.verdict(), expected);
        let options = OpenOptions { bos: Some("<|endoftext|>".to_owned()), eos: Some("<|endoftext|>".to_owned()) };
        let model = open_with(folder.0.path(), &options).unwrap();
        assert_eq!((model.tokenizer.bos(), model.tokenizer.eos()[0]), (Some(0), 0));
    }
    let folder = Folder::new();
    folder.change("config.json", "\"eos_token_id\": 0", "\"eos_token_id\": 3");
    assert!(folder.verdict().contains("but `config.json`: `eos_token_id` is 3"), "{}", folder.verdict());
    let options = OpenOptions { bos: None, eos: Some("</s>".to_owned()) };
    assert_eq!(
        chain(&open_with(folder.0.path(), &options).map(|_| ()).unwrap_err()),
        "expected a token of the model, found `</s>`; it is named in `--bos` or `--eos`"
    );
}

#[test]
fn damaged_gguf_files_are_refused_and_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let llama = Llama::init(&small(300), 7).unwrap();
    gguf::write(&path, llama.config(), &small_tokenizer(), &llama.tensors()).unwrap();
    let bytes = fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(997) {
        fs::write(&path, &bytes[..length]).unwrap();
        let message = chain(&open(&path).map(|_| ()).unwrap_err());
        assert!(message.contains("m.gguf`, byte "), "{message}");
    }
    let mut other = bytes.clone();
    let at = bytes.windows(5).position(|window| window == b"llama").unwrap();
    other[at..at + 5].copy_from_slice(b"mamba");
    fs::write(&path, &other).unwrap();
    let message = chain(&open(&path).map(|_| ()).unwrap_err());
    assert!(message.ends_with("m.gguf`: expected an architecture of `llama`, `qwen2`, `qwen3`, `qwen3moe`, `gemma2`, `gemma3`, `phi3`, `olmo2`, `gpt2`, found `mamba`"), "{message}");
}
