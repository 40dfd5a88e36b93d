//! `assize model FOLDER --hub ORG/NAME` against a server on loopback that behaves, breaks off, or lies.

use crate::Bench;
use evidence::Digest;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What the server does with `model.safetensors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Honest,
    /// Breaks off after so many bytes, each time it is asked.
    Breaks(usize),
    /// Always begins again.
    KnowsNoRanges,
    /// Other bytes than those whose digest it states.
    Lies,
    Silent,
    /// States lengths alone of what is not in LFS.
    StatesNoBlobs,
}

struct Hub {
    address: String,
    /// Paths asked for, with the first byte of the range.
    asked: Arc<Mutex<Vec<(String, usize)>>>,
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Files of a model that opens: those of a case's dossier would do as well, but these are small.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let text = "We the People of the United States, in Order to form a more perfect Union";
    let tokenizer = model::Tokenizer::train(&[text, text], 280).unwrap();
    let config = model::Config {
        vocab: tokenizer.vocab_size(),
        layers: 1,
        width: 32,
        heads: 2,
        kv_heads: 1,
        hidden: 32,
        context: 16,
        rope_theta: 1e4,
        norm_eps: 1e-5,
    };
    let llama = model::Llama::init(&config, 1).unwrap();
    let path = folder.path().join("w");
    model::weights::save(&path, &llama.tensors(), &std::collections::BTreeMap::new()).unwrap();
    vec![
        ("README.md", b"---\nlicense: mit\n---\n".to_vec()),
        ("config.json", config.to_json().into_bytes()),
        ("model.safetensors", fs::read(path).unwrap()),
        ("tokenizer.json", tokenizer.to_json().unwrap().into_bytes()),
        ("onnx/model.onnx", b"not wanted".to_vec()),
        ("pytorch_model.bin", b"not wanted".to_vec()),
    ]
}

/// As git names a content.
fn blob(bytes: &[u8]) -> String {
    let whole = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &whole);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Hub {
    fn new(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let hub = Self { address, asked: asked.clone() };
        let files = files();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that has gone is no concern of the server.
                let _ = stream.and_then(|stream| answer(stream, &files, mood, &asked));
            }
        });
        hub
    }

    fn asked(&self, name: &str) -> Vec<usize> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(path, _)| path.ends_with(name)).map(|(_, first)| *first).collect()
    }
}

fn answer(
    mut stream: TcpStream,
    files: &[(&'static str, Vec<u8>)],
    mood: Mood,
    asked: &Mutex<Vec<(String, usize)>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let mut start = 0;
    for line in lines.by_ref() {
        let line = line?.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    asked.lock().unwrap().push((path.clone(), start));
    let mut send = |status: &str, length: usize, body: &[u8]| {
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
        stream.write_all(body)
    };
    if path == "/api/models/org/name/revision/main?blobs=true" {
        let sibling = |(name, bytes): &(&str, Vec<u8>)| {
            let mut entry = json!({"rfilename": name, "size": bytes.len()});
            if name.ends_with(".safetensors") {
                entry["lfs"] = json!({"size": bytes.len(), "sha256": Digest::of(bytes).to_string()});
                // Git holds a pointer alone, whose digest this is not.
                entry["blobId"] = json!("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
            } else if mood != Mood::StatesNoBlobs {
                entry["blobId"] = json!(blob(bytes));
            }
            entry
        };
        let siblings: Vec<Value> = files.iter().map(sibling).collect();
        let body = json!({"sha": COMMIT, "siblings": siblings}).to_string();
        return send("200 OK", body.len(), body.as_bytes());
    }
    let name = path.strip_prefix(&format!("/org/name/resolve/{COMMIT}/"));
    let Some((name, bytes)) = files.iter().find(|(file, _)| Some(*file) == name) else {
        let status = if path.contains("/org/closed/") { "401 Unauthorized" } else { "404 Not Found" };
        return send(status, 0, b"");
    };
    let is_weights = name.ends_with(".safetensors");
    match mood {
        Mood::Breaks(n) if is_weights => {
            let end = bytes.len().min(start + n);
            send("206 Partial Content", bytes.len() - start, &bytes[start..end])
        }
        Mood::KnowsNoRanges => send("200 OK", bytes.len(), bytes),
        Mood::Lies if is_weights => send("200 OK", bytes.len(), &vec![b'x'; bytes.len()]),
        Mood::Silent if is_weights => Ok(()),
        _ if start > 0 => send("206 Partial Content", bytes.len() - start, &bytes[start..]),
        _ => send("200 OK", bytes.len(), bytes),
    }
}

/// Runs `assize model got --hub …` against the hub; exit code and messages, with address and folder taken out.
fn fetched(bench: &Bench, hub: &Hub, model: &str) -> (Option<i32>, String) {
    let words = format!("model got --hub {model} --ranks none --json");
    let output = bench.command(&words).env("HF_ENDPOINT", &hub.address).env("NO_PROXY", "127.0.0.1").output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap().replace(&hub.address, "HUB");
    (output.status.code(), messages.replace(&format!("{}/", bench.root.path().display()), ""))
}

#[test]
fn a_model_is_fetched_whole_and_opened() {
    let (bench, hub) = (Bench::new(), Hub::new(Mood::Honest));
    let (code, messages) = fetched(&bench, &hub, "org/name");
    assert_eq!((code, messages.as_str()), (Some(0), format!("4 files of org/name at {COMMIT} in `got`\n").as_str()));
    let mut names: Vec<String> = fs::read_dir(bench.path("got"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["README.md", "config.json", "model.safetensors", "tokenizer.json"]);
    for (name, bytes) in files().iter().take(4) {
        assert_eq!(fs::read(bench.path("got").join(name)).unwrap(), *bytes, "{name}");
    }
    // A second time nothing but the list is asked for.
    assert_eq!(fetched(&bench, &hub, "org/name").0, Some(0));
    assert_eq!((hub.asked("config.json").len(), hub.asked("model.safetensors").len()), (1, 1));
}

#[test]
fn what_breaks_off_goes_on_where_it_stopped() {
    let (bench, hub) = (Bench::new(), Hub::new(Mood::Breaks(20_000)));
    let (code, messages) = fetched(&bench, &hub, "org/name");
    assert_eq!(code, Some(0), "{messages}");
    let bytes = &files()[2].1;
    assert_eq!(fs::read(bench.path("got/model.safetensors")).unwrap(), *bytes);
    let asked = hub.asked("model.safetensors");
    assert!(asked.len() == bytes.len().div_ceil(20_000) && asked.is_sorted() && asked[1] > 0, "{asked:?}");
}

#[test]
fn a_part_of_an_earlier_run_is_taken_up() {
    for (mood, expected) in [(Mood::Honest, 10_000), (Mood::KnowsNoRanges, 10_000)] {
        let (bench, hub) = (Bench::new(), Hub::new(mood));
        let bytes = &files()[2].1;
        fs::create_dir(bench.path("got")).unwrap();
        fs::write(bench.path("got/model.safetensors.part"), &bytes[..10_000]).unwrap();
        let (code, messages) = fetched(&bench, &hub, "org/name");
        assert_eq!(code, Some(0), "{mood:?}: {messages}");
        assert_eq!(hub.asked("model.safetensors"), [expected]);
        assert_eq!(fs::read(bench.path("got/model.safetensors")).unwrap(), *bytes);
        assert!(!bench.path("got/model.safetensors.part").exists());
    }
}

#[test]
fn a_changed_file_of_the_same_length_is_fetched_anew() {
    for (mood, said) in
        [(Mood::Honest, "`got/config.json` is not the hub's, and is fetched anew\n"), (Mood::StatesNoBlobs, "")]
    {
        let (bench, hub) = (Bench::new(), Hub::new(mood));
        assert_eq!(fetched(&bench, &hub, "org/name").0, Some(0));
        let (path, files) = (bench.path("got/config.json"), files());
        fs::write(&path, String::from_utf8(files[1].1.clone()).unwrap().replace("16", "17")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), files[1].1.len() as u64);
        assert_ne!(fs::read(&path).unwrap(), files[1].1);
        let (code, messages) = fetched(&bench, &hub, "org/name");
        assert_eq!((code, messages), (Some(0), format!("{said}4 files of org/name at {COMMIT} in `got`\n")));
        assert_eq!(fs::read(&path).unwrap(), files[1].1, "{mood:?}");
        assert_eq!(hub.asked("model.safetensors").len(), 1, "what is right is kept");
    }
}

#[test]
fn a_part_of_another_version_is_not_spliced() {
    for (mood, config) in [(Mood::Honest, [20, 0].as_slice()), (Mood::StatesNoBlobs, [0].as_slice())] {
        let (bench, hub) = (Bench::new(), Hub::new(mood));
        fs::create_dir(bench.path("got")).unwrap();
        fs::write(bench.path("got/config.json.part"), [b'x'; 20]).unwrap();
        fs::write(bench.path("got/model.safetensors.part"), [b'x'; 10_000]).unwrap();
        let (code, messages) = fetched(&bench, &hub, "org/name");
        assert_eq!(code, Some(0), "{mood:?}: {messages}");
        for (name, bytes) in files().iter().take(4) {
            assert_eq!(fs::read(bench.path("got").join(name)).unwrap(), *bytes, "{name}");
        }
        assert_eq!(hub.asked("config.json"), config);
        assert_eq!(hub.asked("model.safetensors"), [10_000, 0]);
    }
}

#[test]
fn what_cannot_be_fetched_is_named_with_the_remedy() {
    let digest = Digest::of(&files()[2].1);
    let n = files()[2].1.len();
    let place = format!("`HUB/org/name/resolve/{COMMIT}/model.safetensors`");
    for (mood, model, expected) in [
        (
            Mood::Lies,
            "org/name",
            format!("{place}: expected sha256:{digest}, found another; the file is removed: run the command again"),
        ),
        (
            Mood::Honest,
            "org/closed",
            "`org/closed` asks for an account: fetch it with the hub's own program, then name its folder".to_owned(),
        ),
        (Mood::Honest, "org/absent", "the hub has no model `org/absent`".to_owned()),
        (Mood::Honest, "../x/y", "expected a model of the hub as ORG/NAME, found `../x/y`".to_owned()),
    ] {
        let (bench, hub) = (Bench::new(), Hub::new(mood));
        let (code, messages) = fetched(&bench, &hub, model);
        assert_eq!((code, messages.trim_end()), (Some(2), format!("error: {expected}").as_str()));
        assert!(!bench.path("got/model.safetensors").exists());
    }
    let (bench, hub) = (Bench::new(), Hub::new(Mood::Silent));
    let (code, messages) = fetched(&bench, &hub, "org/name");
    assert_eq!(code, Some(2));
    let begins = format!("error: {place}: 0 of {n} bytes, and 5 attempts in a row brought nothing (");
    assert!(messages.starts_with(&begins), "{messages}");
    assert!(messages.trim_end().ends_with("); what came is kept: run the command again"), "{messages}");
    assert_eq!(hub.asked("model.safetensors").len(), 5);
}
