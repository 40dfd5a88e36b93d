//! `--hub ORG/NAME`: the files of a model, fetched into a folder with progress, taken up again where they stopped.
//!
//! Each file stands as `NAME.part` until it is whole and, where the hub states one, its sha256 is right.

use crate::screen::Screen;
use anyhow::{Context as _, bail, ensure};
use evidence::Digest;
use std::{
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
    sha256: Option<String>,
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
        file_into(&agent, &address, file, folder, &|n| bar.inc(n))?;
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
    Some(Listed {
        name: sibling["rfilename"].as_str()?.to_owned(),
        bytes: lfs["size"].as_u64().or_else(|| sibling["size"].as_u64())?,
        sha256: lfs["sha256"].as_str().map(str::to_ascii_lowercase),
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
    told: &dyn Fn(u64),
) -> anyhow::Result<()> {
    let (path, part) = (folder.join(&file.name), folder.join(format!("{}.part", file.name)));
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == file.bytes) && is_right(&path, file)? {
        told(file.bytes);
        return Ok(());
    }
    let size = || fs::metadata(&part).map_or(0, |metadata| metadata.len());
    let (mut n_told, mut n_in_vain) = (0, 0);
    loop {
        let before = size();
        match rest_into(agent, address, file, &part, &mut n_told, told) {
            Ok(()) if is_right(&part, file)? => {
                let renamed = fs::rename(&part, &path);
                return renamed.with_context(|| format!("cannot rename `{}`", part.display()));
            }
            Ok(()) => {
                fs::remove_file(&part).with_context(|| format!("cannot remove `{}`", part.display()))?;
                let stated = file.sha256.as_deref().unwrap_or_default();
                bail!(
                    "`{address}`: expected sha256:{stated}, found another; the file is removed: run the command again"
                );
            }
            Err(_) if size() > before => n_in_vain = 0,
            Err(error) => {
                n_in_vain += 1;
                if n_in_vain == ATTEMPTS {
                    let (have, all) = (size(), file.bytes);
                    let why = format!("{ATTEMPTS} attempts in a row brought nothing ({error:#})");
                    bail!("`{address}`: {have} of {all} bytes, and {why}; what came is kept: run the command again");
                }
            }
        }
    }
}

fn is_right(path: &Path, file: &Listed) -> anyhow::Result<bool> {
    let Some(expected) = &file.sha256 else { return Ok(true) };
    let read = || format!("cannot read `{}`", path.display());
    Ok(File::open(path).and_then(Digest::of_reader).with_context(read)?.to_string() == *expected)
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
