//! A question as the model's own chat template puts it.

use super::value::Value;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig};

/// Why a chat template gave no prompt.
#[derive(Debug, thiserror::Error)]
#[error("the model's chat template cannot be rendered")]
pub struct ChatError(#[from] Error);

/// Who says what, in order.
pub type Messages<'a> = [(&'a str, &'a str)];

/// The prompt of these messages, ending where the model's answer begins.
///
/// White space around blocks is trimmed and what is undefined is empty, as `transformers` renders templates. Nothing of the
/// template is run but Jinja, with a bound on its recursion.
///
/// # Errors
/// `ChatError`, also where the template itself refuses the messages.
pub fn prompt(template: &str, messages: &Messages<'_>, bos: &str, eos: &str) -> Result<String, ChatError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    // INVARIANT: only delimiters can be wrong in a syntax, and these are the engine's own.
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(super::template::method);
    environment.set_recursion_limit(100);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    let said = |(role, content): &(&str, &str)| {
        let text = |text: &str| Value::Text(text.to_owned());
        Value::Map(vec![("role".to_owned(), text(role)), ("content".to_owned(), text(content))])
    };
    let row = Value::Map(vec![
        ("messages".to_owned(), Value::List(messages.iter().map(said).collect())),
        ("add_generation_prompt".to_owned(), Value::Bool(true)),
        ("bos_token".to_owned(), Value::Text(bos.to_owned())),
        ("eos_token".to_owned(), Value::Text(eos.to_owned())),
    ]);
    Ok(environment.render_str(template, row.to_jinja())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: transformers 4.57, `apply_chat_template(messages, tokenize=False, add_generation_prompt=True)` with the
    /// template of SmolLM2, and by hand.
    #[test]
    fn templates_of_models_are_rendered() {
        let template = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n\
            You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}\
            {{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
            {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
        let found = prompt(template, &[("user", "Hello {{x}}")], "<|im_start|>", "<|im_end|>").unwrap();
        assert_eq!(
            found,
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
             <|im_start|>user\nHello {{x}}<|im_end|>\n<|im_start|>assistant\n"
        );
        let trimmed = "{{ bos_token }}{% if tools %}tools{% endif %}\n{%- for message in messages %}\n[INST] {{ message.content.strip() }} [/INST]\n{%- endfor %}";
        assert_eq!(prompt(trimmed, &[("user", " a ")], "<s>", "</s>").unwrap(), "<s>[INST] a [/INST]");
        let refusing = "{{ raise_exception('roles must alternate') }}";
        let error = prompt(refusing, &[("user", "a")], "", "").unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("roles must alternate"));
    }
}
