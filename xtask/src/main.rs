//! The maintainers' chores, with the standard library alone: `cargo xtask tidy [--write]`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

mod metrics;
mod packs;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // Of the checkout that runs it: where checkouts share a target folder, another one may have built the program.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&own).join("..");
    let problems = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(&root, false),
        ["tidy", "--write"] => tidy(&root, true),
        _ => vec!["usage: cargo xtask tidy [--write]".to_owned()],
    };
    for problem in &problems {
        say(problem);
    }
    if problems.is_empty() {
        say("tidy: all is as it should be");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(clippy::print_stdout, reason = "this program's whole purpose is to print")]
fn say(line: &str) {
    println!("{line}");
}

/// Everything the compiler cannot see. Each problem is one line that names file and remedy.
fn tidy(root: &Path, write: bool) -> Vec<String> {
    let mut problems = Vec::new();
    problems.extend(edges(root));
    problems.extend(library_headers(root));
    problems.extend(ratchets(root));
    problems.extend(page_length(root));
    problems.extend(metrics::catalogue(root, write));
    problems.extend(packs::page(root, write));
    problems
}

/// The edge list of ARCHITECTURE.md against what cargo says.
fn edges(root: &Path) -> Vec<String> {
    let Ok(page) = fs::read_to_string(root.join("ARCHITECTURE.md")) else {
        return vec!["ARCHITECTURE.md: cannot be read".to_owned()];
    };
    let mut stated = BTreeMap::new();
    for line in page.lines().skip_while(|line| !line.starts_with("```edges")).skip(1).take_while(|line| *line != "```")
    {
        let (from, to) = line.split_once(':').unwrap_or((line, ""));
        let targets: BTreeSet<String> = to.split_whitespace().map(str::to_owned).collect();
        stated.insert(from.trim().to_owned(), targets);
    }
    let output =
        Command::new(env!("CARGO")).args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root).output();
    let Ok(output) = output else {
        return vec!["cargo metadata: cannot be run".to_owned()];
    };
    let actual = declared_edges(root, &String::from_utf8_lossy(&output.stdout));
    let mut problems = Vec::new();
    for name in stated.keys().chain(actual.keys()).collect::<BTreeSet<_>>() {
        match (stated.get(name), actual.get(name)) {
            (Some(page), Some(cargo)) if page == cargo => {}
            (page, cargo) => problems.push(format!(
                "ARCHITECTURE.md: edges of `{name}`: the page says {:?}, cargo says {:?}; change the code, or the page with a decision record",
                page.map(|set| set.iter().collect::<Vec<_>>()),
                cargo.map(|set| set.iter().collect::<Vec<_>>()),
            )),
        }
    }
    problems
}

/// Edges between our own packages, dev-dependencies left out, from the manifests that cargo names.
///
/// Reading the manifests' `[dependencies]` keeps this free of a JSON parser; cargo's answer supplies the list of packages.
fn declared_edges(root: &Path, metadata: &str) -> BTreeMap<String, BTreeSet<String>> {
    let short = |name: &str| name.strip_prefix("assize-").unwrap_or(name).to_owned();
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root.join("crates")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    folders.push(root.join("xtask"));
    let mut edges = BTreeMap::new();
    for folder in folders {
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let name =
            manifest.lines().find_map(|line| line.strip_prefix("name = \"")).and_then(|rest| rest.strip_suffix('"'));
        let Some(name) = name.filter(|name| metadata.contains(&format!("\"name\":\"{name}\""))) else { continue };
        let names: BTreeSet<String> = fs::read_dir(root.join("crates"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let dependencies = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
        let targets = dependencies
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|word| names.contains(*word))
            .map(str::to_owned)
            .collect();
        edges.insert(short(name), targets);
    }
    edges
}

/// Every library says at its top what it is.
fn library_headers(root: &Path) -> Vec<String> {
    let files = rust_files(root);
    let roots = files.iter().filter(|path| path.ends_with("src/lib.rs"));
    roots
        .filter(|path| !fs::read_to_string(path).unwrap_or_default().starts_with("//!"))
        .map(|path| format!("{}: opens without `//!`; say what goes in and out", shown(root, path)))
        .collect()
}

/// Limits that only refuse growth: lines of a file, lines of a function.
fn ratchets(root: &Path) -> Vec<String> {
    const FILE_MAX: usize = 750;
    const FUNCTION_MAX: usize = 80;
    let mut problems = Vec::new();
    for path in rust_files(root) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let length = text.lines().count();
        if length > FILE_MAX {
            problems.push(format!("{}: {length} lines, at most {FILE_MAX}; one subject a file", shown(root, &path)));
        }
        for (line, name, length) in long_functions(&text, FUNCTION_MAX) {
            let place = shown(root, &path);
            problems.push(format!("{place}:{line}: `{name}` has {length} lines, at most {FUNCTION_MAX}; split it"));
        }
    }
    problems
}

/// Functions by the indentation of their closing brace, which rustfmt guarantees.
fn long_functions(text: &str, limit: usize) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let head = body
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub ")
            .trim_start_matches("const ");
        let Some(rest) = head.strip_prefix("fn ") else { continue };
        let indent = &line[..line.len() - body.len()];
        let closing = format!("{indent}}}");
        let end = lines[start..].iter().position(|line| *line == closing);
        if let Some(length) = end.map(|end| end + 1).filter(|length| *length > limit) {
            let name = rest.split(['(', '<']).next().unwrap_or(rest);
            found.push((start + 1, name.to_owned(), length));
        }
    }
    found
}

/// ARCHITECTURE.md stays a page one reads in one sitting.
fn page_length(root: &Path) -> Vec<String> {
    let lines = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default().lines().count();
    if lines > 250 { vec![format!("ARCHITECTURE.md: {lines} lines, at most 250")] } else { Vec::new() }
}

fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
