//! `docs/packs.md`: every rule of every pack, read from the plain fields of the cards.

use std::{fs, path::Path};

/// What the page says of one card.
struct Rule {
    id: String,
    kind: String,
    confirmed: &'static str,
    from: String,
    title: String,
    is_measured: bool,
}

/// The page that the cards make, held against the one that stands there, or written.
pub(crate) fn page(root: &Path, write: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut table = String::new();
    let mut sections = String::new();
    for folder in sorted(&root.join("packs")).iter().filter(|path| path.join("pack.toml").is_file()) {
        let pack = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let manifest = fs::read_to_string(folder.join("pack.toml")).unwrap_or_default();
        let mut rules = Vec::new();
        for file in sorted(folder).iter().filter(|path| is_card(path)) {
            match rule(&fs::read_to_string(file).unwrap_or_default()) {
                Some(rule) => rules.push(rule),
                None => problems.push(format!("{}: its id, kind, title, or a date cannot be found", file.display())),
            }
        }
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        let missing = not_implemented(&manifest);
        problems.extend(missing.iter().filter(|(id, _)| rules.iter().any(|rule| rule.id == *id)).map(|(id, _)| {
            format!("packs/{pack}/pack.toml: `{id}` has a card now; take its `[[not_implemented]]` out")
        }));
        let measured = rules.iter().filter(|rule| rule.is_measured).count();
        let requests = rules.iter().filter(|rule| rule.kind == "enforce").count();
        let (n, declared) = (rules.len(), rules.len() - measured - requests);
        table.push_str(&format!(
            "| [`{pack}`](#{pack}) | {n} | {measured} | {declared} | {requests} | {} |\n",
            missing.len()
        ));
        sections.push_str(&section(&pack, &manifest, &rules, &missing));
    }
    let page = format!("{HEAD}{table}{sections}");
    let target = root.join("docs/packs.md");
    if write {
        if let Err(error) = fs::write(&target, &page) {
            problems.push(format!("docs/packs.md: {error}"));
        }
    } else if fs::read_to_string(&target).unwrap_or_default() != page {
        problems.push("docs/packs.md: not what the cards say; run `cargo xtask tidy --write`".to_owned());
    }
    problems
}

const HEAD: &str = "# Rules\n\nEvery rule of the shipped packs. Generated from `packs/` by `cargo xtask tidy --write`; edit the cards there.\n\n\
    *Measured* rules need a fact that a person's word does not supply; *declared* ones are decided by what named persons declare; \
    those *per request* are asked by whoever serves the model. \
    What a pack does not implement stands below its rules, with the reason. `confirmed` is how well the clause was read.\n\n\
    | pack | rules | measured | declared | per request | not implemented |\n|---|---|---|---|---|---|\n";

fn section(pack: &str, manifest: &str, rules: &[Rule], missing: &[(String, String)]) -> String {
    let title = plain(manifest, "title").unwrap_or_default();
    let status = manifest.lines().find_map(|line| value(line, "status_date")).unwrap_or_default();
    let mut out = format!(
        "\n## {pack}\n\n{title}. As of {status}.\n\n| rule | kind | confirmed | in force from | title |\n|---|---|---|---|---|\n"
    );
    for rule in rules {
        let Rule { id, kind, confirmed, from, title, .. } = rule;
        out.push_str(&format!("| `{id}` | {kind} | {confirmed} | {from} | {} |\n", title.replace('|', "\\|")));
    }
    if !missing.is_empty() {
        out.push_str("\n| not implemented | why |\n|---|---|\n");
        missing.iter().for_each(|(id, why)| out.push_str(&format!("| `{id}` | {} |\n", why.replace('|', "\\|"))));
    }
    out
}

fn rule(text: &str) -> Option<Rule> {
    // The tests of a card say nothing of the rule.
    let end = text.find("\n[[tests]]").or_else(|| text.find("\ntests")).unwrap_or(text.len());
    let text = &text[..end];
    let kind = plain(text, "kind")?;
    let marks: Vec<&str> = all(text, "confirmed").into_iter().filter_map(quoted).collect();
    let is_above = all(text, "min_provenance").into_iter().filter_map(quoted).any(|least| least != "declared");
    let dates = all(text, "from").into_iter().filter_map(|rest| rest.get(..10));
    let is_date = |day: &&str| {
        day.bytes().enumerate().all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
    };
    Some(Rule {
        id: plain(text, "id")?,
        is_measured: kind == "assess" && is_above,
        kind,
        confirmed: ["no", "part", "yes"].into_iter().find(|mark| marks.contains(mark))?,
        from: dates.filter(is_date).min()?.to_owned(),
        title: plain(text, "title")?,
    })
}

/// Clauses and reasons of the ledger.
fn not_implemented(manifest: &str) -> Vec<(String, String)> {
    let blocks = manifest.split("[[").filter_map(|block| block.strip_prefix("not_implemented]]"));
    blocks.filter_map(|block| Some((plain(block, "id")?, plain(block, "reason")?))).collect()
}

/// What follows `key =` on a line that begins so.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.trim_start().strip_prefix('=').map(str::trim)
}

/// The text of a field on a line of its own.
fn plain(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| value(line, key)).and_then(quoted).map(str::to_owned)
}

/// What follows each `key =`, in tables and in lists of inline tables.
fn all<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let found = text.match_indices(key).filter(|(at, _)| *at == 0 || !is_word(text.as_bytes()[at - 1]));
    found.filter_map(|(at, _)| text[at + key.len()..].trim_start().strip_prefix('=').map(str::trim_start)).collect()
}

fn quoted(rest: &str) -> Option<&str> {
    let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(text, _)| text)
}

fn is_card(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("pack.toml")
}

fn sorted(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
