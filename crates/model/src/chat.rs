//! Conversations by a model's own template.

use crate::{FileTokenizer, FileTokenizerError, Specials};
use minijinja::{Environment, ErrorKind, context, syntax::SyntaxConfig, value::Value};

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// `system`, `user` or `assistant`.
    pub role: String,
    pub content: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    #[error("the model has no chat template")]
    NoTemplate,
    #[error("the chat template cannot be followed")]
    Template(#[from] minijinja::Error),
    #[error(
        "the chat template writes turn {turn} otherwise once it is answered; what is asked and what is answered cannot be told apart"
    )]
    NotAPrefix { turn: usize },
    #[error(transparent)]
    Tokenizer(#[from] FileTokenizerError),
}

/// Steps of a template, which is a program of a stranger's.
const FUEL: u64 = 1_000_000;

/// The tokens of a conversation with how much each is to be learned: 1 for what the assistant says with the word that ends it,
/// 0 for all else.
///
/// Each answer is encoded behind what the template writes before it, exactly as it is when the model answers.
///
/// # Errors
/// `ChatError`; `NotAPrefix` for a template that changes earlier turns.
pub fn tokens(tokenizer: &FileTokenizer, turns: &[Turn]) -> Result<(Vec<u32>, Vec<f32>), ChatError> {
    let template = tokenizer.chat_template().ok_or(ChatError::NoTemplate)?;
    let (mut tokens, mut weights) = (Vec::new(), Vec::new());
    let mut take = |text: &str, weight: f32| -> Result<(), ChatError> {
        let more = tokenizer.encode(text, Specials::None)?;
        weights.extend(std::iter::repeat_n(weight, more.len()));
        tokens.extend(more);
        Ok(())
    };
    let mut written = String::new();
    for (turn, _) in turns.iter().enumerate().filter(|(_, turn)| turn.role == "assistant") {
        let asked = render(template, &turns[..turn], true)?;
        let answered = render(template, &turns[..=turn], false)?;
        let (Some(question), Some(answer)) = (asked.strip_prefix(&written), answered.strip_prefix(&asked)) else {
            return Err(ChatError::NotAPrefix { turn });
        };
        take(question, 0.0)?;
        // Templates end a turn with a new line behind its last word; no model says that.
        let said = answer.strip_suffix('\n').unwrap_or(answer);
        take(said, 1.0)?;
        take(&answer[said.len()..], 0.0)?;
        written = answered;
    }
    Ok((tokens, weights))
}

/// A conversation as text; `is_asked` opens the assistant's turn.
///
/// # Errors
/// `Template`.
pub fn render(template: &str, turns: &[Turn], is_asked: bool) -> Result<String, ChatError> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    // As the hub's library sets it.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    // INVARIANT: only delimiters can be wrong in a syntax, and these are the engine's own.
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.add_function("raise_exception", |text: String| -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
    });
    let messages: Vec<Value> =
        turns.iter().map(|turn| context! { role => turn.role.as_str(), content => turn.content.as_str() }).collect();
    let template = environment.template_from_str(template)?;
    Ok(template.render(context! { messages, add_generation_prompt => is_asked })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(role: &str, content: &str) -> Turn {
        Turn { role: role.to_owned(), content: content.to_owned() }
    }

    /// The template of SmolLM2-135M-Instruct, in its words; what it writes as its card shows it.
    #[test]
    fn a_template_is_followed() {
        let template = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
            {{ '<|im_start|>system\nYou are helpful<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + \
            message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}\
            {{ '<|im_start|>assistant\n' }}{% endif %}";
        let turns = [turn("user", "2 + 2?"), turn("assistant", "4")];
        assert_eq!(
            render(template, &turns[..1], true).unwrap(),
            "<|im_start|>system\nYou are helpful<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
        );
        assert!(render(template, &turns, false).unwrap().ends_with("<|im_start|>assistant\n4<|im_end|>\n"));
        let error = render("{{ raise_exception('roles must alternate') }}", &turns, false).unwrap_err();
        assert_eq!(error.to_string(), "the chat template cannot be followed");
        let endless = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
        assert!(render(endless, &turns, false).is_err());
    }
}
