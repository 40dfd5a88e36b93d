//! The catalogue of metrics: every row documented, and `docs/metrics.md` generated from it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rows are read from the source text, so that this program needs no dependency.
///
/// A row is `row("id", Kind, Unit::X, About, ["what", "method", "limits", "example"]),` over several lines.
pub(crate) fn catalogue(root: &Path, write: bool) -> Vec<String> {
    let source = "crates/evidence/src/metric/catalogue";
    let mut problems = Vec::new();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for file in parts(root, source) {
        let Ok(text) = fs::read_to_string(&file) else {
            problems.push(format!("{}: cannot be read", file.display()));
            continue;
        };
        let found: Vec<Vec<String>> = text.split("row(").skip(1).filter_map(row).collect();
        for pair in found.windows(2).filter(|pair| pair[0][0] >= pair[1][0]) {
            problems.push(format!(
                "{}: `{}` stands after `{}`; keep the rows sorted by id",
                file.display(),
                pair[1][0],
                pair[0][0]
            ));
        }
        rows.extend(found);
    }
    rows.sort();
    for row in &rows {
        for (name, position) in [("what", 4), ("method", 5), ("example", 7)] {
            if row[position].is_empty() {
                problems.push(format!("{source}: `{}` says nothing under `{name}`", row[0]));
            }
        }
    }
    let page = page(&rows);
    let target = root.join("docs/metrics.md");
    if write {
        if let Err(error) = fs::write(&target, &page) {
            problems.push(format!("docs/metrics.md: {error}"));
        }
    } else if fs::read_to_string(&target).unwrap_or_default() != page {
        problems.push("docs/metrics.md: not what the catalogue says; run `cargo xtask tidy --write`".to_owned());
    }
    problems
}

/// The file of what is measured, then those of its folder.
fn parts(root: &Path, source: &str) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> =
        fs::read_dir(root.join(source)).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    parts.push(root.join(format!("{source}.rs")));
    parts.sort();
    parts
}

/// `[id, kind, unit, about, what, method, limits, example]`; nothing for text that is not a row.
fn row(text: &str) -> Option<Vec<String>> {
    let text = &text[..text.find("]),").or_else(|| text.find("],\n    ),"))?];
    let (head, tail) = text.split_once('[')?;
    let words: Vec<&str> = head.split(',').map(str::trim).collect();
    let mut fields = vec![
        words.first()?.trim_matches('"').to_owned(),
        words.get(1)?.to_lowercase(),
        words.get(2)?.strip_prefix("Unit::")?.to_owned(),
        words.get(3)?.to_lowercase(),
    ];
    let mut rest = tail;
    while let Some(start) = rest.find('"') {
        let end = start + 1 + rest[start + 1..].find('"')?;
        fields.push(rest[start + 1..end].to_owned());
        rest = &rest[end + 1..];
    }
    (fields.len() == 8).then_some(fields)
}

fn page(rows: &[Vec<String>]) -> String {
    let mut page = String::from(
        "# Metrics\n\nEverything a rule card may ask for. Generated from `crates/evidence/src/metric/catalogue.rs` and the files of the folder \
         `catalogue` by `cargo xtask tidy --write`; edit it there.\n",
    );
    for row in rows {
        let [id, kind, unit, about, what, method, limits, example] = &row[..] else { continue };
        let limits = if limits.is_empty() { "none known." } else { limits };
        page.push_str(&format!(
            "\n## `{id}`\n\n{what}\n\n- **Kind**: {kind}, unit `{unit}`, about the {about}\n- **Method**: {method}\n- **Limits**: {limits}\n- \
             **Example**: {example}\n",
        ));
    }
    page
}
