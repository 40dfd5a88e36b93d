//! Prints the requests of tasks, one JSON object a line, for the programs under tests/referees.
//!
//!     task_requests DATA TASKS LIMIT FEWSHOT [TASK_DIR]

use evaluate::tasks::{
    Catalog, prepare,
    prompts::{Gold, PromptConfig, Request},
};
use serde_json::json;
use std::{env, error::Error, io::Write as _, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [data, tasks, limit, fewshot, rest @ ..] = arguments.as_slice() else {
        return Err("expected DATA TASKS LIMIT FEWSHOT [TASK_DIR]".into());
    };
    let folders: Vec<PathBuf> = rest.iter().map(PathBuf::from).collect();
    let names: Vec<String> = tasks.split(',').map(str::to_owned).collect();
    let config =
        PromptConfig { limit: Some(limit.parse()?), num_fewshot: Some(fewshot.parse()?), ..PromptConfig::default() };
    let mut out = std::io::stdout().lock();
    for task in Catalog::open(&folders)?.select(&names)?.tasks {
        let prepared = prepare(&task, Some(data.as_ref()), &config)?;
        for doc in prepared.docs {
            let requests = doc.requests.iter().map(|request| match request {
                Request::LogLikelihood { context, continuation } => json!([context, continuation]),
                Request::Rolling { text } => json!([text]),
                Request::Generate { context } => json!([context]),
            });
            let gold = match &doc.gold {
                Gold::Choices(gold) => json!(gold),
                Gold::Texts(gold) => json!(gold),
            };
            let requests: Vec<_> = requests.collect();
            writeln!(
                out,
                "{}",
                json!({"task": task.name, "doc_id": doc.id, "requests": requests, "gold": gold, "shots": doc.shots})
            )?;
        }
    }
    Ok(())
}
