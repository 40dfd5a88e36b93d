//! What a corpus is looked through for: identifiers of persons, listed terms, and the tests of the case.

use super::{INSTRUMENT, now};
use dataset::{Corpus, Screened, Tests};
use evaluate::tasks::{self, Catalog, prompts::PromptConfig, value::Value};
use evidence::{Digest, Json, Subject};
use supervise::{Record, case::TaskPlan};

/// The items of the tasks of a plan: every text of their rows, question, choices and passage alike.
pub(crate) fn tests_of(plan: &TaskPlan) -> anyhow::Result<Vec<Tests>> {
    let config = PromptConfig { num_fewshot: Some(0), limit: plan.limit, ..PromptConfig::default() };
    let selection = Catalog::open(plan.task_dir.as_slice())?.select(&plan.tasks)?;
    let mut all = Vec::new();
    for task in &selection.tasks {
        let prepared = tasks::prepare(task, plan.data.as_deref(), &config)?;
        let digests = prepared.files.iter().map(|(_, digest)| Json::from(*digest)).collect();
        let items = prepared.docs.iter().map(|doc| {
            let mut texts = Vec::new();
            doc.item.row.iter().for_each(|(_, value)| texts_of(value, &mut texts));
            texts
        });
        all.push(Tests {
            name: task.name.clone(),
            digest: Digest::of(Json::List(digests).canonical().as_bytes()),
            items: items.collect(),
        });
    }
    Ok(all)
}

fn texts_of(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Text(text) => texts.push(text.clone()),
        Value::List(values) => values.iter().for_each(|value| texts_of(value, texts)),
        Value::Map(members) => members.iter().for_each(|(_, value)| texts_of(value, texts)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Function(_) => {}
    }
}

/// Looks through a corpus, and adds what was found to the record of its audit.
pub(crate) fn screen(
    corpus: &Corpus,
    tests: &[Tests],
    subject: &Subject,
    record: &mut Record,
) -> anyhow::Result<Screened> {
    let screened = dataset::screen(corpus, tests);
    record.measurements.extend(screened.measurements(subject, INSTRUMENT, now())?);
    record.members.push(("screened", screened.to_json()));
    Ok(screened)
}

/// For people: what was found, in a line.
pub(crate) fn line(screened: &Screened) -> String {
    let (n, overlap) = (screened.n_documents, screened.overlap.as_ref());
    let shared = overlap.map_or_else(
        || "no tests were named to look for".to_owned(),
        |overlap| format!("words of the tests in {}", overlap.documents.len()),
    );
    let (personal, listed) = (screened.personal.len(), screened.listed.len());
    format!("of {n} texts: identifiers of persons in {personal}, listed terms in {listed}, {shared}")
}
