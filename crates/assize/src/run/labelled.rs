//! Rows of a table that have a class: each row is a document.

use super::data::{Labels, Tokens};
use anyhow::Context as _;
use dataset::{Corpus, Document};
use evaluate::{
    folds::table::rows,
    tasks::value::{Value, column},
};
use evidence::Digest;
use std::collections::BTreeMap;
use supervise::case::{Case, DataSource, Labelled};

/// Cuts the files of a corpus into rows, where the case names a class.
pub(crate) fn cut(case: &Case, corpus: Corpus) -> anyhow::Result<(Corpus, Option<Labels>)> {
    if case.train.as_ref().is_none_or(|train| train.classifier.is_none()) {
        return Ok((corpus, None));
    }
    let mut corpus = corpus;
    corpus.documents.clear();
    let mut named = Vec::new();
    for file in 0..corpus.files.len() {
        let path = corpus.files[file].path.clone();
        let is_it = |source: &&DataSource| {
            [source.path.to_string_lossy().replace('\\', "/"), source.name.clone()].contains(&path)
        };
        let source = case.data.iter().find(is_it).with_context(|| {
            format!("`{path}`: rows with a class are read from one file of `[[data]]`, not from a folder")
        })?;
        let labelled = source.labelled.as_ref().context("a source without a class")?;
        let of = |name: &str, row: usize| format!("{path}, row {}: no column `{name}`", row + 1);
        for (row, item) in rows(&[case.folder.join(&source.path)], labelled.has_header)?.iter().enumerate() {
            let cell = |name: &str| match column(&item.row, name)? {
                Value::Null => Some(String::new()),
                value => Some(value.python_str().trim().to_owned()),
            };
            let class = cell(&labelled.label).with_context(|| of(&labelled.label, row))?;
            let names = item.row.iter().map(|(name, _)| name.as_str());
            let text = text(labelled, names, &cell).map_err(|name| anyhow::anyhow!(of(&name, row)))?;
            anyhow::ensure!(!text.is_empty(), "{path}, row {}: there is no text to read", row + 1);
            let digest = Digest::of(text.as_bytes());
            corpus.documents.push(Document { id: format!("{path}#{}", row + 1), file, text, digest, mark: None });
            named.push(class);
        }
    }
    let names: BTreeMap<&str, u32> = named.iter().map(|name| (name.as_str(), 0)).collect();
    let names: Vec<String> = names.into_keys().map(str::to_owned).collect();
    anyhow::ensure!(names.len() > 1, "expected at least two classes in the rows, found `{}` alone", names.join(""));
    let place = |name: &String| names.binary_search(name).unwrap_or(0) as u32;
    let of = named.iter().map(place).collect();
    Ok((corpus, Some(Labels { names, of })))
}

/// One column as it stands; several as `name: value`, one behind another. The name that is missing where one is.
///
/// Source: Hegselmann et al. 2023, "TabLLM", section 3.1, the list template.
fn text<'a>(
    labelled: &Labelled,
    names: impl Iterator<Item = &'a str>,
    cell: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    if let [one] = labelled.text.as_slice() {
        return cell(one).ok_or_else(|| one.clone());
    }
    let all: Vec<String> = names.filter(|name| *name != labelled.label).map(str::to_owned).collect();
    let taken = if labelled.text.is_empty() { &all } else { &labelled.text };
    let pair = |name: &String| Ok(format!("{name}: {}", cell(name).ok_or_else(|| name.clone())?));
    Ok(taken.iter().map(pair).collect::<Result<Vec<_>, String>>()?.join("; "))
}

/// What a case with a head cannot ask for.
pub(crate) fn check(case: &Case) -> anyhow::Result<()> {
    if case.train.as_ref().is_none_or(|train| train.classifier.is_none()) {
        return Ok(());
    }
    anyhow::ensure!(
        case.data.iter().all(|source| source.shards.is_none()),
        "`shards` are of whole texts, and rows with a class are not dealt: leave `shards` out"
    );
    anyhow::ensure!(
        (case.prune.is_none() && !case.quantize && case.folds.is_none() && !case.perplexity && case.tasks.is_none()),
        "a head that tells classes is evaluated by the classes it tells: leave `[compress]` and `[[evaluate]]` out, and ask for folds with `classifier = {{ folds = K }}`"
    );
    Ok(())
}

impl Tokens {
    /// Texts with their classes as training reads them; nothing where there are none.
    pub(crate) fn labelled(&self, indices: &[usize], context: usize) -> Option<anyhow::Result<train::Corpus>> {
        let labels = self.labels.as_ref()?;
        let texts: Vec<(Vec<u32>, u32)> =
            indices.iter().map(|&index| (self.documents[index].clone(), labels.of[index])).collect();
        Some(train::Corpus::labelled(&texts, context).map_err(Into::into))
    }
}
