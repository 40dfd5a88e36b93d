//! `--hub ORG/NAME`: the files of a model, fetched into a folder with progress, taken up again where they stopped.
//!
//! Each file stands as `NAME.part` until it is whole and the hub's: by the sha256 of a file in LFS, by the digest that git has of any other.

use crate::screen::Screen;
use anyhow::{Context as _, bail, ensure};
use evidence::Digest;
use indicatif::ProgressBar;
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::Path,
    time::Duration,
};

const ENDPOINT: &str = "https://huggingface.co";
/// The hub's own variable for another place, a mirror or a cache.
const ENDPOINT_VARIABLE: &str = "HF_ENDPOINT";
const REVISION: &str = "main";
const LIST_BYTES_MAX: u64 = 1 << 26;
const PIECE_BYTES: usize = 1 << 18;
const CONNECT: Duration = Duration::from_secs(20);
/// Before an answer begins.
const SILENCE: Duration = Duration::from_secs(60);
/// After that long a connection is opened anew, where the file stands: one that has gone silent ends there too.
const PATIENCE: Duration = Duration::from_secs(300);
/// In a row that brought nothing.
const ATTEMPTS: usize = 5;

/// One file as the hub lists it.
#[derive(Debug, PartialEq)]
struct Listed {
    name: String,
    bytes: u64,
    stated: Option<Stated>,
}

/// What the hub says of the bytes of a file.
#[derive(Debug, PartialEq)]
enum Stated {
    Sha256(String),
    /// SHA-1 of `blob LENGTH`, a zero byte, and the bytes, as git names them. It tells one version from another, not from a forgery.
    Blob(String),
}

impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "sha256:{digest}"),
            Self::Blob(digest) => write!(f, "the git blob {digest}"),
        }
    }
}

/// Fetches what a model needs into `folder`: weights in safetensors, configuration, tokenizer, read-me, licence.
pub(crate) fn fetch(model: &str, folder: &Path, screen: &Screen) -> anyhow::Result<()> {
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    ensure!(
        model.split_once('/').is_some_and(|(org, name)| is_name(org) && is_name(name)),
        "expected a model of the hub as ORG/NAME, found `{model}`"
    );
    let endpoint = std::env::var(ENDPOINT_VARIABLE).unwrap_or_else(|_| ENDPOINT.to_owned());
    let endpoint = endpoint.trim_end_matches('/');
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_body(Some(PATIENCE))
        .timeout_recv_response(Some(SILENCE));
    let agent = ureq::Agent::from(config.build());
    let (commit, files) = list(&agent, endpoint, model)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let total = files.iter().fold(0, |total: u64, file| total.saturating_add(file.bytes));
    let bar = screen.bar("bytes", total);
    for file in &files {
        bar.set_message(file.name.clone());
        let address = format!("{endpoint}/{model}/resolve/{commit}/{}", file.name);
        file_into(&agent, &address, file, folder, (screen, &bar))?;
    }
    bar.finish_and_clear();
    screen.note(&format!("{} files of {model} at {commit} in `{}`", files.len(), folder.display()));
    Ok(())
}

/// The commit behind the revision, and the files worth having.
fn list(agent: &ureq::Agent, endpoint: &str, model: &str) -> anyhow::Result<(String, Vec<Listed>)> {
    let address = format!("{endpoint}/api/models/{model}/revision/{REVISION}?blobs=true");
    let mut response = agent.get(&address).call().with_context(|| format!("cannot reach `{address}`"))?;
    match response.status().as_u16() {
        200 => {}
        401 | 403 => bail!("`{model}` asks for an account: fetch it with the hub's own program, then name its folder"),
        404 => bail!("the hub has no model `{model}`"),
        status => bail!("`{address}`: expected status 200, found {status}"),
    }
    let text = response.body_mut().with_config().limit(LIST_BYTES_MAX).read_to_string();
    let text = text.with_context(|| format!("cannot read `{address}`"))?;
    let document: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("`{address}`: expected JSON"))?;
    let commit = document["sha"].as_str().filter(|sha| sha.chars().all(|c| c.is_ascii_hexdigit()) && !sha.is_empty());
    let commit = commit.with_context(|| format!("`{address}`: expected a commit in `sha`"))?.to_owned();
    let all = document["siblings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let files: Vec<Listed> = all.iter().filter_map(listed).filter(|file| is_wanted(&file.name)).collect();
    let has_weights = files.iter().any(|file| file.name.ends_with(".safetensors"));
    ensure!(has_weights, "`{model}` has no weights in safetensors; name a folder with a `.gguf` file instead");
    Ok((commit, files))
}

fn listed(sibling: &serde_json::Value) -> Option<Listed> {
    let lfs = &sibling["lfs"];
    let digest = |said: &serde_json::Value| said.as_str().map(str::to_ascii_lowercase);
    // Of a file in LFS git holds a pointer alone.
    let blob = || digest(&sibling["blobId"]).filter(|_| lfs.is_null()).map(Stated::Blob);
    Some(Listed {
        name: sibling["rfilename"].as_str()?.to_owned(),
        bytes: lfs["size"].as_u64().or_else(|| sibling["size"].as_u64())?,
        stated: digest(&lfs["sha256"]).map(Stated::Sha256).or_else(blob),
    })
}

/// Files at the outermost level alone: no name leads out of the folder.
fn is_wanted(name: &str) -> bool {
    let is_plain =
        Path::new(name).file_name().is_some_and(|last| last == name) && !name.starts_with('.') && !name.contains('\\');
    let is_kind = [".json", ".safetensors", ".jinja"].iter().any(|ending| name.ends_with(ending));
    is_plain && (is_kind || name == "README.md" || name.starts_with("LICENSE"))
}

fn file_into(
    agent: &ureq::Agent,
    address: &str,
    file: &Listed,
    folder: &Path,
    (screen, bar): (&Screen, &ProgressBar),
) -> anyhow::Result<()> {
    let (path, part) = (folder.join(&file.name), folder.join(format!("{}.part", file.name)));
    let size = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.len());
    let standing = size(&path);
    if standing == Some(file.bytes) && is_stated(&path, file)? == Some(true) {
        bar.inc(file.bytes);
        return Ok(());
    }
    if standing.is_some() && file.stated.is_some() {
        bar.suspend(|| screen.note(&format!("`{}` is not the hub's, and is fetched anew", path.display())));
    }
    let discard = || match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", part.display()))
        }
        _ => Ok(()),
    };
    if file.stated.is_none() {
        // Nothing would show that it is the beginning of another version.
        discard()?;
    }
    let have = || size(&part).unwrap_or(0);
    let mut is_old = have() > 0;
    let (mut n_told, mut n_in_vain) = (0, 0);
    loop {
        let before = have();
        match rest_into(agent, address, file, &part, &mut n_told, &|n| bar.inc(n)) {
            Ok(()) if is_stated(&part, file)? != Some(false) => {
                let renamed = fs::rename(&part, &path);
                return renamed.with_context(|| format!("cannot rename `{}`", part.display()));
            }
            // It may have been begun when the hub had another version.
            Ok(()) if is_old => {
                discard()?;
                is_old = false;
            }
            Ok(()) => {
                discard()?;
                let stated = file.stated.as_ref().map(Stated::to_string).unwrap_or_default();
                bail!("`{address}`: expected {stated}, found another; the file is removed: run the command again");
            }
            Err(_) if have() > before => n_in_vain = 0,
            Err(error) => {
                n_in_vain += 1;
                if n_in_vain == ATTEMPTS {
                    let (have, all) = (have(), file.bytes);
                    let why = format!("{ATTEMPTS} attempts in a row brought nothing ({error:#})");
                    bail!("`{address}`: {have} of {all} bytes, and {why}; what came is kept: run the command again");
                }
            }
        }
    }
}

/// Whether a file is what the hub states; `None` where it states nothing.
fn is_stated(path: &Path, file: &Listed) -> anyhow::Result<Option<bool>> {
    let read = || format!("cannot read `{}`", path.display());
    Ok(match &file.stated {
        None => None,
        Some(Stated::Sha256(expected)) => {
            Some(File::open(path).and_then(Digest::of_reader).with_context(read)?.to_string() == *expected)
        }
        Some(Stated::Blob(expected)) => Some(blob_of(path).with_context(read)? == *expected),
    })
}

/// The digest by which git names the content of a file.
fn blob_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut sha1 = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    sha1.update(format!("blob {}\0", file.metadata()?.len()).as_bytes());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(sha1.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => sha1.update(&piece[..n]),
        }
    }
}

/// Everything behind what the part already holds.
fn rest_into(
    agent: &ureq::Agent,
    address: &str,
    file: &Listed,
    part: &Path,
    n_told: &mut u64,
    told: &dyn Fn(u64),
) -> anyhow::Result<()> {
    let mut have = fs::metadata(part).map_or(0, |metadata| metadata.len());
    if have > file.bytes {
        have = 0;
    }
    let mut out = OpenOptions::new().create(true).write(true).truncate(have == 0).open(part)?;
    if have < file.bytes || file.bytes == 0 {
        let request = agent.get(address);
        let request = if have > 0 { request.header("Range", format!("bytes={have}-")) } else { request };
        let mut response = request.call()?;
        match response.status().as_u16() {
            // A server that does not know ranges begins again.
            200 => have = 0,
            206 => {}
            status => bail!("expected status 200 or 206, found {status}"),
        }
        out.set_len(have)?;
        io::Seek::seek(&mut out, io::SeekFrom::Start(have))?;
        let mut body = response.body_mut().as_reader();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let n = body.read(&mut piece)?;
            if n == 0 {
                break;
            }
            have += n as u64;
            ensure!(have <= file.bytes, "expected {} bytes, found more", file.bytes);
            out.write_all(&piece[..n])?;
            told(have.saturating_sub(*n_told));
            *n_told = have.max(*n_told);
        }
    }
    out.sync_all()?;
    ensure!(have == file.bytes, "expected {} bytes, found {have}", file.bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::fetch;
    use crate::screen::Screen;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let folder = std::env::temp_dir();
        for name in ["", "gpt2", "../x", "a/b/c", "a/..", "a b/c", "a/b?x=1"] {
            let error = fetch(name, &folder, &Screen::new(true)).unwrap_err().to_string();
            assert_eq!(error, format!("expected a model of the hub as ORG/NAME, found `{name}`"));
        }
    }

    /// As `git hash-object` says it.
    #[test]
    fn a_blob_has_the_name_that_git_gives_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for (text, expected) in [
            ("", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            ("test content\n", "d670460b4b4aece5915caf5c68d12f560a9fe3e4"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(super::blob_of(&path).unwrap(), expected);
        }
    }

    #[test]
    fn only_what_a_model_needs_is_fetched() {
        for (name, expected) in [
            ("config.json", true),
            ("model-00001-of-00002.safetensors", true),
            ("README.md", true),
            ("LICENSE.txt", true),
            ("chat_template.jinja", true),
            ("pytorch_model.bin", false),
            ("onnx/model.onnx", false),
            ("../config.json", false),
            (".hidden.json", false),
            ("..\\x.json", false),
        ] {
            assert_eq!(super::is_wanted(name), expected, "{name}");
        }
    }
}
