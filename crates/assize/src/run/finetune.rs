//! A model of others, trained further.

use super::{
    data::{Data, Tokens, Words},
    shape::Shape,
};
use anyhow::Context as _;
use evidence::{Digest, Json};
use model::{Llama, Specials, chat::Turn};
use std::{fs, path::Path};
use supervise::case::{Base, Case, Chat};

/// The first weights of a training: fresh, those of the base, or those held with fresh adapters beside them.
pub(crate) fn first(shape: &Shape, tokens: &Tokens, seed: u64) -> anyhow::Result<Llama> {
    let below = match (&tokens.base, &shape.adapters) {
        (None, _) => Llama::init(&shape.model, seed)?,
        // A copy: what is trained changes in place.
        (Some((base, _)), None) => base.model.merged()?,
        (Some((base, _)), Some(adapters)) => {
            let supervise::case::Adapters { rank, alpha, targets } = adapters.clone();
            base.model.with_adapters(&model::Adapters { rank, alpha, targets }, seed)?
        }
    };
    let Some(head) = shape.head else { return Ok(below) };
    let part = if head.is_alone { model::Below::Held } else { model::Below::Trained };
    Ok(below.with_classes(head.n_classes, part, seed)?)
}

/// Opens the base and encodes every document with its tokenizer, as a conversation where the case says how.
pub(crate) fn tokenize(case: &Case, base: &Base, data: &Data, path: &Path) -> anyhow::Result<Tokens> {
    anyhow::ensure!(
        case.prune.is_none() && !case.quantize,
        "a model that is trained further is not compressed in the same case: leave `[compress]` out"
    );
    let place = case.folder.join(&base.path);
    let held = model::trainable(&place)?;
    let context = held.model.config().context;
    anyhow::ensure!(
        base.context <= context,
        "expected a context of at most the model's {context}, found {}",
        base.context
    );
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    let digest = model::file::write_atomic(path, held.tokenizer.to_json()?.as_bytes())?;
    let chat = case.train.as_ref().and_then(|train| train.chat.as_ref());
    let (mut documents, mut weights) = (Vec::new(), Vec::new());
    for document in &data.corpus.documents {
        let (tokens, of_tokens) = match chat {
            Some(chat) => {
                let turns = turns(&document.text, chat)
                    .with_context(|| format!("{}: no turn begins with `{}`", document.id, chat.assistant))?;
                model::chat::tokens(&held.tokenizer, &turns).with_context(|| document.id.clone())?
            }
            // A text whose class is told ends where it ends, as `transformers` reads it.
            None if data.labels.is_some() => (held.tokenizer.encode(&document.text, Specials::AsFile)?, Vec::new()),
            None => {
                let mut tokens = held.tokenizer.encode(&document.text, Specials::None)?;
                tokens.extend(held.tokenizer.eos().first());
                let weights = vec![1.0; tokens.len()];
                (tokens, weights)
            }
        };
        documents.push(tokens);
        weights.push(of_tokens);
    }
    let (train, held_out) = (data.split.train.clone(), data.split.held_out.clone());
    let base = Some((Box::new(held), digest_of(&place)?));
    let (labels, made) = (data.labels.clone(), data.made.clone());
    let weights = labels.is_none().then_some(weights);
    Ok(Tokens { tokenizer: Words::Base, base, weights, labels, digest, documents, train, held_out, made })
}

/// Turns of a document: each begins at a line with its mark and goes on to the next. Nothing without an answer.
fn turns(text: &str, chat: &Chat) -> Option<Vec<Turn>> {
    let mut turns: Vec<Turn> = Vec::new();
    let turn = |role: &str, content: &str| Turn { role: role.to_owned(), content: content.trim().to_owned() };
    turns.extend(chat.system.as_deref().map(|system| turn("system", system)));
    for line in text.lines() {
        let begun = [(&chat.user, "user"), (&chat.assistant, "assistant")]
            .into_iter()
            .find_map(|(mark, role)| Some(turn(role, line.strip_prefix(mark.as_str())?)));
        match (begun, turns.last_mut()) {
            (Some(begun), _) => turns.push(begun),
            (None, Some(last)) if last.role != "system" => {
                last.content.push('\n');
                last.content.push_str(line);
            }
            _ => {}
        }
    }
    turns.iter_mut().for_each(|turn| turn.content.truncate(turn.content.trim_end().len()));
    turns.iter().any(|turn| turn.role == "assistant").then_some(turns)
}

/// What stands at the path of a base: the file's digest, or of a folder that of its files' names and digests.
pub(crate) fn digest_of(path: &Path) -> anyhow::Result<Digest> {
    let of_file = |path: &Path| -> anyhow::Result<Digest> {
        let file = fs::File::open(path).with_context(|| format!("the model {} cannot be read", path.display()))?;
        Ok(Digest::of_reader(file)?)
    };
    if !path.is_dir() {
        return of_file(path);
    }
    let mut rows = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let kept = path.extension().is_some_and(|kind| ["json", "safetensors"].iter().any(|known| kind == *known));
        if kept {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            rows.push((name, Json::from(of_file(&path)?)));
        }
    }
    Ok(Digest::of(Json::Map(rows.into_iter().collect()).canonical().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_begin_at_their_marks() {
        let chat = Chat { user: "Q:".to_owned(), assistant: "A:".to_owned(), system: Some("Reckon.".to_owned()) };
        let turns = turns("Q: How many?\nIn all?\nA: Four.\nQ: Sure?\nA: Yes.\n", &chat).unwrap();
        let found: Vec<(&str, &str)> = turns.iter().map(|turn| (turn.role.as_str(), turn.content.as_str())).collect();
        let expected = [
            ("system", "Reckon."),
            ("user", "How many?\nIn all?"),
            ("assistant", "Four."),
            ("user", "Sure?"),
            ("assistant", "Yes."),
        ];
        assert_eq!(found, expected);
        assert_eq!(super::turns("Q: Nobody answers\n", &chat), None);
    }
}
