//! What texts a model is to make: a TOML file, read strictly, and its meaning as a digest.

use crate::terms::Terms;
use evidence::{DIGITS_MAX, Decimal, Digest, INT_MAX, Json, Round};
use serde::Deserialize;
use std::{
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
};
use toml::Spanned;

/// A larger recipe or file of prompts is refused.
const FILE_BYTES_MAX: u64 = 16 << 20;
const DOCUMENTS_MAX: u64 = 10_000_000;

/// A recipe, with everything worked out. Two files that mean the same have the same digest, whatever their comments and order.
///
/// | key | range | default |
/// |---|---|---|
/// | `number` | 1 to 10 million texts that are kept | |
/// | `draws_max` | `number` to 10 million texts that are sampled | 4 · `number` |
/// | `seed` | 0 to 2^53 − 1 | 0 |
/// | `temperature` | 0 to 10 | 1 |
/// | `top_p`, `top_k` | over 0 to 1; 0 (all) and above | 1; 0 |
/// | `max_tokens` | 1 and above | 256 |
/// | `batch` | 1 to 256 texts side by side; changes no text, only how many are sampled beyond the last kept | 8 |
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    pub number: u64,
    pub draws_max: u64,
    pub seed: u64,
    pub temperature: f64,
    pub top_p: f64,
    pub top_k: usize,
    pub tokens_max: usize,
    pub batch: usize,
    /// Taken in turn: draw i begins with prompt i modulo their number.
    pub prompts: Vec<String>,
    /// By the model's own chat template, rather than as a beginning that is gone on from.
    pub is_chat: bool,
    pub system: Option<String>,
    /// What a kept text becomes: `{prompt}` and `{answer}` stand for the two.
    pub document: String,
    /// Of the texts, as declared: what the generator's terms allow.
    pub licence: Option<String>,
    pub filter: Conditions,
    /// What a model will be tested on, a line an item: looked for in what was kept. No text depends on it.
    pub tests: Vec<(String, String)>,
}

/// What a text must be to be kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions {
    /// Of the answer, in characters.
    pub characters_min: Option<usize>,
    pub characters_max: Option<usize>,
    /// The model ended it; else a text cut off at `max_tokens` may be kept.
    pub is_finished: bool,
    /// Regular expressions that each answer must, and must not, hold a match of.
    pub must_match: Option<String>,
    pub must_not_match: Option<String>,
    /// ISO 639-3, such as `eng`.
    pub language: Option<String>,
    /// Answers that refuse are dropped; who refuses is not judged in this crate.
    pub drops_refusals: bool,
    /// Texts with an identifier of a person, and with a term of the shipped lists, are dropped.
    pub drops_personal: bool,
    pub drops_listed: bool,
    /// Least Jaccard similarity of two answers' runs of five words at which the later one is dropped. Equal ones always are.
    pub near: Option<f64>,
    /// Texts no thirteen words of which may be in what is kept: what a model will be tested on. Name and text.
    pub avoid: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    generate: Generate,
    #[serde(default)]
    filter: WireFilter,
    #[serde(default)]
    audit: WireAudit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generate {
    number: Spanned<u64>,
    draws_max: Option<Spanned<u64>>,
    seed: Option<Spanned<u64>>,
    temperature: Option<Spanned<f64>>,
    top_p: Option<Spanned<f64>>,
    #[serde(default)]
    top_k: usize,
    max_tokens: Option<Spanned<usize>>,
    batch: Option<Spanned<usize>>,
    prompts: Option<Spanned<Vec<String>>>,
    prompt_file: Option<Spanned<String>>,
    #[serde(default)]
    chat: bool,
    system: Option<Spanned<String>>,
    document: Option<Spanned<String>>,
    licence: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WireFilter {
    characters_min: Option<usize>,
    characters_max: Option<Spanned<usize>>,
    #[serde(default)]
    finished: bool,
    must_match: Option<Spanned<String>>,
    must_not_match: Option<Spanned<String>>,
    language: Option<Spanned<String>>,
    #[serde(default)]
    drop_refusals: bool,
    #[serde(default)]
    drop_personal: bool,
    #[serde(default)]
    drop_listed: bool,
    near: Option<Spanned<f64>>,
    #[serde(default)]
    avoid: Vec<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WireAudit {
    #[serde(default)]
    tests: Vec<Spanned<String>>,
}

/// Something in a recipe is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RecipeError {
    file: String,
    /// From 1; 0 when the file could not be read at all.
    line: usize,
    column: usize,
    message: String,
    hint: &'static str,
    excerpt: String,
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, hint, excerpt } = self;
        if *line == 0 {
            return write!(f, "{file}: {message}\n  hint: {hint}");
        }
        let margin = " ".repeat(line.to_string().len());
        writeln!(f, "{message}\n{margin} ┌─ {file}:{line}:{column}\n{line} │ {excerpt}")?;
        write!(f, "{margin} │ {}^\n{margin} hint: {hint}", " ".repeat(column - 1))
    }
}

/// Held while a file is read, so that every complaint can show its line.
struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn complain(&self, span: Range<usize>, message: String, hint: &'static str) -> RecipeError {
        let before = self.text.get(..span.start.min(self.text.len())).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        RecipeError {
            file: self.file.display().to_string(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            message,
            hint,
            excerpt: self.text[start..].lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// A number from `least` to `most`, or the default where there is none.
    fn within<T: PartialOrd + Copy + fmt::Display>(
        &self,
        name: &str,
        said: Option<&Spanned<T>>,
        [default, least, most]: [T; 3],
    ) -> Result<T, RecipeError> {
        let Some(said) = said else { return Ok(default) };
        let value = *said.get_ref();
        if value >= least && value <= most {
            return Ok(value);
        }
        let message = format!("expected `{name}` from {least} to {most}, found `{value}`");
        Err(self.complain(said.span(), message, "docs/generate.md lists the keys with their ranges"))
    }

    fn beside(&self, name: &Spanned<String>) -> Result<String, RecipeError> {
        let path = self.file.parent().unwrap_or(Path::new("")).join(name.get_ref());
        read_text(&path).map_err(|cause| {
            let message = format!("`{}` cannot be read: {cause}", name.get_ref());
            self.complain(name.span(), message, "paths are relative to the folder of the recipe")
        })
    }

    /// Files by name and text.
    fn texts(&self, names: &[Spanned<String>]) -> Result<Vec<(String, String)>, RecipeError> {
        names.iter().map(|name| Ok((name.get_ref().clone(), self.beside(name)?))).collect()
    }

    fn prompts(&self, wire: &Generate) -> Result<Vec<String>, RecipeError> {
        let (prompts, span): (Vec<String>, _) = match (&wire.prompts, &wire.prompt_file) {
            (Some(list), None) => (list.get_ref().clone(), list.span()),
            (None, Some(file)) => (self.beside(file)?.lines().map(str::to_owned).collect(), file.span()),
            (None, None) => {
                let message = "expected `prompts` or `prompt_file`, found neither".to_owned();
                return Err(self.complain(
                    wire.number.span(),
                    message,
                    "for example `prompts = [\"Once upon a time\"]`",
                ));
            }
            (Some(_), Some(file)) => {
                let message = "expected `prompts` or `prompt_file`, found both".to_owned();
                return Err(self.complain(file.span(), message, "leave one of the two out"));
            }
        };
        let prompts: Vec<String> = prompts.into_iter().filter(|prompt| !prompt.trim().is_empty()).collect();
        if prompts.is_empty() {
            return Err(self.complain(span, "expected at least one prompt, found none".to_owned(), "a prompt a line"));
        }
        Ok(prompts)
    }

    fn pattern(&self, said: Option<&Spanned<String>>) -> Result<Option<String>, RecipeError> {
        let Some(said) = said else { return Ok(None) };
        match fancy_regex::Regex::new(said.get_ref()) {
            Ok(_) => Ok(Some(said.get_ref().clone())),
            Err(error) => {
                let message = format!("expected a regular expression, found `{}`: {error}", said.get_ref());
                Err(self.complain(said.span(), message, "single quotes keep backslashes as they are"))
            }
        }
    }

    fn conditions(&self, wire: &WireFilter) -> Result<Conditions, RecipeError> {
        if let (Some(least), Some(most)) = (wire.characters_min, &wire.characters_max)
            && least > *most.get_ref()
        {
            let message =
                format!("expected `characters_max` of at least `characters_min` = {least}, found `{}`", most.get_ref());
            return Err(self.complain(most.span(), message, "nothing would be kept"));
        }
        if let Some(language) =
            wire.language.as_ref().filter(|code| whatlang::Lang::from_code(code.get_ref()).is_none())
        {
            let message =
                format!("expected a language that can be told by its letters, found `{}`", language.get_ref());
            return Err(self.complain(
                language.span(),
                message,
                "three letters of ISO 639-3, for example `eng`, `fra`, `cmn`",
            ));
        }
        let near = wire.near.as_ref().map(|near| self.within("near", Some(near), [1.0, 0.05, 1.0])).transpose()?;
        Ok(Conditions {
            characters_min: wire.characters_min,
            characters_max: wire.characters_max.as_ref().map(|most| *most.get_ref()),
            is_finished: wire.finished,
            must_match: self.pattern(wire.must_match.as_ref())?,
            must_not_match: self.pattern(wire.must_not_match.as_ref())?,
            language: wire.language.as_ref().map(|code| code.get_ref().clone()),
            drops_refusals: wire.drop_refusals,
            drops_personal: wire.drop_personal,
            drops_listed: wire.drop_listed,
            near,
            avoid: self.texts(&wire.avoid)?,
        })
    }

    fn recipe(&self, wire: &Wire) -> Result<Recipe, RecipeError> {
        let said = &wire.generate;
        let number = self.within("number", Some(&said.number), [1, 1, DOCUMENTS_MAX])?;
        let usual = number.saturating_mul(4).min(DOCUMENTS_MAX);
        if let Some(system) = said.system.as_ref().filter(|_| !said.chat) {
            let message = "`system` is the first turn of a conversation, and `chat` is not true".to_owned();
            return Err(self.complain(system.span(), message, "write `chat = true`, or leave it out"));
        }
        if let Some(document) = said.document.as_ref().filter(|document| !document.get_ref().contains("{answer}")) {
            let message = format!("expected `{{answer}}` in `document`, found `{}`", document.get_ref());
            return Err(self.complain(document.span(), message, "what the model says would be nowhere in the text"));
        }
        let top_p = self.within("top_p", said.top_p.as_ref(), [1.0, 0.0, 1.0])?;
        if let Some(zero) = said.top_p.as_ref().filter(|_| top_p <= 0.0) {
            let message = "expected `top_p` above 0, found `0`".to_owned();
            return Err(self.complain(zero.span(), message, "`temperature = 0` takes the likeliest token each time"));
        }
        Ok(Recipe {
            number,
            draws_max: self.within("draws_max", said.draws_max.as_ref(), [usual, number, DOCUMENTS_MAX])?,
            seed: self.within("seed", said.seed.as_ref(), [0, 0, INT_MAX as u64])?,
            temperature: self.within("temperature", said.temperature.as_ref(), [1.0, 0.0, 10.0])?,
            top_p,
            top_k: said.top_k,
            tokens_max: self.within("max_tokens", said.max_tokens.as_ref(), [256, 1, 1 << 20])?,
            batch: self.within("batch", said.batch.as_ref(), [8, 1, 256])?,
            prompts: self.prompts(said)?,
            is_chat: said.chat,
            system: said.system.as_ref().map(|system| system.get_ref().clone()),
            document: said.document.as_ref().map_or_else(|| "{answer}".to_owned(), |text| text.get_ref().clone()),
            licence: said.licence.clone(),
            filter: self.conditions(&wire.filter)?,
            tests: self.texts(&wire.audit.tests)?,
        })
    }
}

fn read_text(path: &PathBuf) -> Result<String, String> {
    let n = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if n > FILE_BYTES_MAX {
        return Err(format!("expected at most {FILE_BYTES_MAX} bytes, found {n}"));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// `RecipeError` naming file, line, column, what was expected and the way out.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let unreadable = |cause: String| RecipeError {
            file: path.display().to_string(),
            line: 0,
            column: 0,
            message: format!("the recipe cannot be read: {cause}"),
            hint: "name a TOML file with a table `[generate]`; docs/generate.md shows one",
            excerpt: String::new(),
        };
        let text = read_text(&path.to_path_buf()).map_err(unreadable)?;
        let reader = Reader { file: path, text: &text };
        let wire: Wire = toml::from_str(&text).map_err(|error| {
            let message = error.message().trim().to_owned();
            reader.complain(error.span().unwrap_or(0..0), message, "docs/generate.md lists the keys with their ranges")
        })?;
        reader.recipe(&wire)
    }

    /// What it means, with prompts whole and avoided texts by digest. `batch` and the tests of the audit are not part of it: no text depends on them.
    #[must_use]
    pub fn to_json(&self) -> Json {
        // INVARIANT: numbers within the ranges above are decimals.
        let number = |value: f64| Decimal::from_f64(value, DIGITS_MAX, Round::Nearest).ok().map(Json::from);
        let text = |text: &Option<String>| text.as_deref().map(Json::from);
        let filter = &self.filter;
        let avoid = |(name, text): &(String, String)| {
            Json::map([("name", Some(name.as_str().into())), ("digest", Some(Digest::of(text.as_bytes()).into()))])
        };
        let conditions = Json::map([
            ("charactersMin", filter.characters_min.map(Json::from)),
            ("charactersMax", filter.characters_max.map(Json::from)),
            ("finished", Some(filter.is_finished.into())),
            ("mustMatch", text(&filter.must_match)),
            ("mustNotMatch", text(&filter.must_not_match)),
            ("language", text(&filter.language)),
            ("dropRefusals", Some(filter.drops_refusals.into())),
            ("dropPersonal", filter.drops_personal.then(|| true.into())),
            ("dropListed", filter.drops_listed.then(|| Terms::digest().into())),
            ("near", filter.near.and_then(number)),
            ("avoid", Some(Json::List(filter.avoid.iter().map(avoid).collect()))),
        ]);
        Json::map([
            ("number", Some(self.number.into())),
            ("drawsMax", Some(self.draws_max.into())),
            ("seed", Some(self.seed.into())),
            ("temperature", number(self.temperature)),
            ("topP", number(self.top_p)),
            ("topK", Some(self.top_k.into())),
            ("maxTokens", Some(self.tokens_max.into())),
            ("prompts", Some(Json::list(self.prompts.iter().map(String::as_str)))),
            ("chat", Some(self.is_chat.into())),
            ("system", text(&self.system)),
            ("document", Some(self.document.as_str().into())),
            ("licence", text(&self.licence)),
            ("filter", Some(conditions)),
        ])
    }

    /// SHA-256 over the canonical form of what it means.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_json().canonical().as_bytes())
    }

    /// The text that is kept of an answer.
    #[must_use]
    pub fn document(&self, prompt: &str, answer: &str) -> String {
        // In one pass: a prompt that holds `{answer}` stays as it is.
        let mut text = String::new();
        let mut rest = self.document.as_str();
        while let Some(at) = rest.find('{') {
            let (before, behind) = rest.split_at(at);
            text.push_str(before);
            let (word, shown) = if behind.starts_with("{prompt}") {
                ("{prompt}", prompt)
            } else if behind.starts_with("{answer}") {
                ("{answer}", answer)
            } else {
                ("{", "{")
            };
            text.push_str(shown);
            rest = &behind[word.len()..];
        }
        text + rest
    }
}
