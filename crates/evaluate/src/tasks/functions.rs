//! The Python functions that task files call, written natively; each is named by the folder of the task file, the module
//! and the function, for names such as `utils.process_docs` mean something else in every folder.

use super::{
    data::{DataError, Item},
    pattern::{Pattern, PatternError},
    template::capitalized,
    value::{Value, is_python_space},
};
use evidence::Digest;
use std::path::Path;

/// Changes or drops rows.
pub type DocsFn = fn(Vec<Item>) -> Result<Vec<Item>, FunctionError>;
/// Makes a field from one row.
pub type FieldFn = fn(&Item) -> Result<Value, FunctionError>;

/// What a function of a task file is here.
#[derive(Debug, Clone, Copy)]
pub enum Native {
    Docs(DocsFn),
    Field(FieldFn),
    Results(Results),
    Aggregation(Aggregation),
}

/// Scores of one item that are not the standard ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Results {
    /// Words and bytes of the page before it was detokenised.
    Wikitext,
    /// Mass of the true answers.
    TruthfulMc2,
    CrowsPairs,
    Bbq,
    /// Refused, complied, or not to be scored.
    Refusal,
}

/// Figures of many items that are not the standard ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    BbqAccuracyAmbiguous,
    BbqAccuracyDisambiguated,
    BbqBiasAmbiguous,
    BbqBiasDisambiguated,
}

/// Why a native function could not do its work on a row.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("{item}: expected column `{column}` to be {expected}, found {found}")]
    Cell { item: super::data::Origin, column: &'static str, expected: &'static str, found: String },
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

type Entry = (&'static str, &'static str, Native);

/// Folder, function, counterpart.
const NATIVE: [Entry; 41] = [
    ("hellaswag", "utils.process_docs", Native::Docs(hellaswag)),
    ("winogrande", "preprocess_winogrande.doc_to_text", Native::Field(winogrande_gold)),
    ("winogrande", "preprocess_winogrande.doc_to_target", Native::Field(winogrande_ending)),
    ("winogrande", "preprocess_winogrande.doc_to_choice", Native::Field(winogrande_contexts)),
    ("wikitext", "preprocess_wikitext.wikitext_detokenizer", Native::Field(wikitext)),
    ("wikitext", "preprocess_wikitext.process_results", Native::Results(Results::Wikitext)),
    ("truthfulqa", "utils.process_results_mc2", Native::Results(Results::TruthfulMc2)),
    ("logiqa", "utils_logiqa.doc_to_text", Native::Field(logiqa_text)),
    ("logiqa", "utils_logiqa.doc_to_target", Native::Field(logiqa_target)),
    ("copa", "utils.doc_to_text", Native::Field(copa_text)),
    ("copa", "utils.doc_to_target", Native::Field(copa_target)),
    ("copa", "utils.doc_to_choice", Native::Field(copa_choices)),
    ("crows_pairs", "utils.doc_to_choice", Native::Field(crows_choices)),
    ("crows_pairs", "utils.process_results", Native::Results(Results::CrowsPairs)),
    ("crows_pairs", "utils.filter_race_color", Native::Docs(|items| crows_of(items, "race-color"))),
    ("crows_pairs", "utils.filter_socio", Native::Docs(|items| crows_of(items, "socioeconomic"))),
    ("crows_pairs", "utils.filter_gender", Native::Docs(|items| crows_of(items, "gender"))),
    ("crows_pairs", "utils.filter_age", Native::Docs(|items| crows_of(items, "age"))),
    ("crows_pairs", "utils.filter_religion", Native::Docs(|items| crows_of(items, "religion"))),
    ("crows_pairs", "utils.filter_disability", Native::Docs(|items| crows_of(items, "disability"))),
    ("crows_pairs", "utils.filter_orientation", Native::Docs(|items| crows_of(items, "sexual-orientation"))),
    ("crows_pairs", "utils.filter_nationality", Native::Docs(|items| crows_of(items, "nationality"))),
    ("crows_pairs", "utils.filter_appearance", Native::Docs(|items| crows_of(items, "physical-appearance"))),
    ("crows_pairs", "utils.filter_autre", Native::Docs(|items| crows_of(items, "autre"))),
    ("winogender", "utils.filter_male", Native::Docs(|items| winogender_of(items, "male"))),
    ("winogender", "utils.filter_female", Native::Docs(|items| winogender_of(items, "female"))),
    ("winogender", "utils.filter_neutral", Native::Docs(|items| winogender_of(items, "neutral"))),
    ("winobias", "utils.doc_to_text", Native::Field(super::winobias::text_field)),
    ("winobias", "utils.doc_to_target", Native::Field(super::winobias::target_field)),
    ("winobias", "utils.doc_to_choice", Native::Field(super::winobias::choices_field)),
    ("xstest", "refusal.three_values", Native::Results(Results::Refusal)),
    ("bbq", "utils.process_docs", Native::Docs(|items| super::bbq::rows(items, ""))),
    ("bbq", "utils.process_docs_ambig", Native::Docs(|items| super::bbq::rows(items, "amb"))),
    ("bbq", "utils.process_docs_disambig", Native::Docs(|items| super::bbq::rows(items, "disamb"))),
    ("bbq", "utils.doc_to_choice", Native::Field(super::bbq::choices_field)),
    ("bbq", "utils.doc_to_target", Native::Field(super::bbq::target_field)),
    ("bbq", "utils.process_results_multiple_choice", Native::Results(Results::Bbq)),
    ("bbq", "utils.agg_accuracy_amb", Native::Aggregation(Aggregation::BbqAccuracyAmbiguous)),
    ("bbq", "utils.agg_accuracy_disamb", Native::Aggregation(Aggregation::BbqAccuracyDisambiguated)),
    ("bbq", "utils.agg_amb_bias_scores", Native::Aggregation(Aggregation::BbqBiasAmbiguous)),
    ("bbq", "utils.agg_disamb_bias_scores", Native::Aggregation(Aggregation::BbqBiasDisambiguated)),
];

/// Digests of the Python files of lm_eval 0.4.13 that the counterparts were checked against.
const CHECKED: [(&str, &str, &str); 9] = [
    ("hellaswag", "utils", "07d23b60b28f2a4f658dcf8440623a63fe6644854ce9b846a114dde980dc1214"),
    ("winogrande", "preprocess_winogrande", "e55327629264a98f1d383fda24645b6779afb53fa0bce2150042b9416b1ae006"),
    ("wikitext", "preprocess_wikitext", "a44020374b172159bf5be80a64d2c4194c9d5c77284f696ac666361338c8da7d"),
    ("truthfulqa", "utils", "d3c827d1e2cd442a1e4738b527a18effd48cbb2aed478c12a652311b5ea4dbc8"),
    ("logiqa", "utils_logiqa", "46399f40065469d234c0c9e1ef3de9b67e50d5fe1c2c4130607eda2dda268260"),
    ("copa", "utils", "0be98a907db647a518c42c916a61385b64f394cf9d0171b5cb86b7a036282de7"),
    ("crows_pairs", "utils", "5b1e3c31880a82a9fe9072e14edb15ffe143d08939de5d17fea17c2dc2fe0c16"),
    ("winogender", "utils", "450d16d5f62da431f3695a0b1df2d8efbe660e06d67d69c0cd579029484370a1"),
    ("bbq", "utils", "eab60fb9adef49491233a864e7462e3654fdd3b23de0833af57acec5a7ad8885"),
];

/// The counterpart of a function that a task file in `folder` names.
#[must_use]
pub fn resolve(folder: &Path, function: &str) -> Option<Native> {
    let folder = folder.file_name()?.to_str()?;
    NATIVE.iter().find(|(of, name, _)| *of == folder && *name == function).map(|(_, _, native)| *native)
}

/// What a record should say of a function in use: where the Python file stands beside the task file and is not the one
/// that the counterpart was checked against, that is said.
#[must_use]
pub fn note(folder: &Path, function: &str) -> Option<String> {
    let name = folder.file_name()?.to_str()?;
    let (module, _) = function.rsplit_once('.')?;
    let (_, _, checked) = CHECKED.iter().find(|(of, stem, _)| *of == name && *stem == module)?;
    let file = folder.join(format!("{module}.py"));
    let found = std::fs::File::open(&file).and_then(Digest::of_reader).ok()?.to_string();
    let found = found.rsplit(':').next().unwrap_or(&found).to_owned();
    (found != *checked).then(|| {
        format!("`{name}/{function}` is the native counterpart checked against {module}.py sha256 {checked}; the file here is {found}")
    })
}

/// The text of a column.
pub(crate) fn text<'a>(item: &'a Item, column: &'static str) -> Result<&'a str, FunctionError> {
    let value = item.column(column)?;
    value.as_text().ok_or_else(|| cell(item, column, "text", value))
}

pub(crate) fn cell(item: &Item, column: &'static str, expected: &'static str, found: &Value) -> FunctionError {
    FunctionError::Cell { item: item.origin.clone(), column, expected, found: found.python_repr() }
}

/// Sets a column, at its place when it is there.
pub(crate) fn set(item: &mut Item, column: &str, value: Value) {
    match item.row.iter_mut().find(|(name, _)| name == column) {
        Some((_, held)) => *held = value,
        None => item.row.push((column.to_owned(), value)),
    }
}

fn hellaswag(mut items: Vec<Item>) -> Result<Vec<Item>, FunctionError> {
    let brackets = Pattern::new(r"\[.*?\]")?;
    for item in &mut items {
        let context = format!("{} {}", text(item, "ctx_a")?, capitalized(text(item, "ctx_b")?));
        let query = hellaswag_clean(&format!("{}: {context}", text(item, "activity_label")?), &brackets)?;
        let endings = item.column("endings")?;
        let endings = endings.as_list().ok_or_else(|| cell(item, "endings", "a list", endings))?;
        let clean = |ending: &Value| match ending.as_text() {
            Some(ending) => hellaswag_clean(ending, &brackets).map(Value::Text),
            None => Err(cell(item, "endings", "a list of texts", ending)),
        };
        let choices = endings.iter().map(clean).collect::<Result<_, _>>()?;
        let label = item.column("label")?.python_str();
        // The unlabelled test split has an empty label.
        let gold = label.trim().parse().map_or(Value::Null, Value::Int);
        set(item, "query", Value::Text(query));
        set(item, "choices", Value::List(choices));
        set(item, "gold", gold);
    }
    Ok(items)
}

fn hellaswag_clean(text: &str, brackets: &Pattern) -> Result<String, FunctionError> {
    let text = text.trim_matches(is_python_space).replace(" [title]", ". ");
    Ok(brackets.substitute(&text, "", 0)?.replace("  ", " "))
}

fn winogrande_parts(item: &Item) -> Result<(&str, &str), FunctionError> {
    let sentence = text(item, "sentence")?;
    let parts = sentence.split_once('_');
    parts.ok_or_else(|| cell(item, "sentence", "text with a blank `_`", &Value::Text(sentence.to_owned())))
}

fn winogrande_gold(item: &Item) -> Result<Value, FunctionError> {
    let answer = item.column("answer")?;
    match answer.python_str().as_str() {
        "1" => Ok(Value::Int(0)),
        "2" => Ok(Value::Int(1)),
        _ => Err(cell(item, "answer", "`1` or `2`", answer)),
    }
}

fn winogrande_ending(item: &Item) -> Result<Value, FunctionError> {
    Ok(Value::Text(winogrande_parts(item)?.1.trim_matches(is_python_space).to_owned()))
}

fn winogrande_contexts(item: &Item) -> Result<Value, FunctionError> {
    let before = winogrande_parts(item)?.0;
    let context = |column| Ok::<_, FunctionError>(Value::Text(format!("{before}{}", text(item, column)?)));
    Ok(Value::List(vec![context("option1")?, context("option2")?]))
}

/// The page as it was before it was tokenised, or what comes nearest.
///
/// One pattern of the original, `/' [0-9]/`, is written with slashes that match nothing but slashes; it is kept.
fn wikitext(item: &Item) -> Result<Value, FunctionError> {
    let mut page = text(item, "page")?.replace("s '", "s'");
    page = Pattern::new(r"/' [0-9]/")?.substitute(&page, r"/'[0-9]/", 0)?;
    for (from, to) in [
        (" @-@ ", "-"),
        (" @,@ ", ","),
        (" @.@ ", "."),
        (" : ", ": "),
        (" ; ", "; "),
        (" . ", ". "),
        (" ! ", "! "),
        (" ? ", "? "),
        (" , ", ", "),
    ] {
        page = page.replace(from, to);
    }
    for (pattern, by) in [
        (r"\(\s*([^\)]*?)\s*\)", r"(\1)"),
        (r"\[\s*([^\]]*?)\s*\]", r"[\1]"),
        (r"{\s*([^}]*?)\s*}", r"{\1}"),
        (r#"\"\s*([^\"]*?)\s*\""#, r#""\1""#),
        (r"'\s*([^']*?)\s*'", r"'\1'"),
    ] {
        page = Pattern::new(pattern)?.substitute(&page, by, 0)?;
    }
    for (from, to) in [
        ("= = = =", "===="),
        ("= = =", "==="),
        ("= =", "=="),
        (" \u{b0} ", "\u{b0}"),
        (" \n", "\n"),
        ("\n ", "\n"),
        (" N ", " 1 "),
        (" 's", "'s"),
    ] {
        page = page.replace(from, to);
    }
    Ok(Value::Text(page))
}

/// Pieces between runs of white space, and UTF-8 bytes, of a page as it stands in the data.
///
/// # Errors
/// `FunctionError` when the row has no page.
pub(crate) fn wikitext_counts(item: &Item) -> Result<(usize, usize), FunctionError> {
    let page = text(item, "page")?;
    Ok((count_words(page)?, page.len()))
}

/// `len(re.split(r"\s+", text))`: empty pieces at both ends count.
pub(crate) fn count_words(text: &str) -> Result<usize, FunctionError> {
    Ok(Pattern::new(r"\s+")?.count_pieces(text)?)
}

fn logiqa_text(item: &Item) -> Result<Value, FunctionError> {
    let mut prompt = format!("Passage: {}\nQuestion: {}\nChoices:\n", text(item, "context")?, text(item, "question")?);
    let options = item.column("options")?;
    let options = options.as_list().ok_or_else(|| cell(item, "options", "a list", options))?;
    for (letter, option) in ('A'..='D').zip(options) {
        prompt.push_str(&format!("{letter}. {}\n", option.python_str()));
    }
    prompt.push_str("Answer:");
    Ok(Value::Text(prompt))
}

fn logiqa_target(item: &Item) -> Result<Value, FunctionError> {
    let label = text(item, "label")?;
    match ["a", "b", "c", "d"].iter().position(|letter| *letter == label.trim_matches(is_python_space)) {
        Some(at) => Ok(Value::Int(at as i64)),
        None => Err(cell(item, "label", "one of a, b, c, d", &Value::Text(label.to_owned()))),
    }
}

fn copa_text(item: &Item) -> Result<Value, FunctionError> {
    let connector = match text(item, "question")? {
        "cause" => "because",
        "effect" => "therefore",
        other => return Err(cell(item, "question", "`cause` or `effect`", &Value::Text(other.to_owned()))),
    };
    let mut premise = text(item, "premise")?.trim_matches(is_python_space).to_owned();
    premise.pop();
    Ok(Value::Text(format!("{premise} {connector}")))
}

fn copa_choice(item: &Item, column: &'static str) -> Result<Value, FunctionError> {
    let choice = text(item, column)?;
    let mut letters = choice.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
    Ok(Value::Text(format!(" {first}{}", letters.as_str())))
}

fn copa_target(item: &Item) -> Result<Value, FunctionError> {
    let is_first = item.column("label")?.as_int() == Some(0);
    copa_choice(item, if is_first { "choice1" } else { "choice2" })
}

fn copa_choices(item: &Item) -> Result<Value, FunctionError> {
    Ok(Value::List(vec![copa_choice(item, "choice1")?, copa_choice(item, "choice2")?]))
}

fn crows_choices(item: &Item) -> Result<Value, FunctionError> {
    let sentence = |column| text(item, column).map(|text| Value::Text(text.to_owned()));
    Ok(Value::List(vec![sentence("sent_more")?, sentence("sent_less")?]))
}

fn crows_of(items: Vec<Item>, bias: &str) -> Result<Vec<Item>, FunctionError> {
    kept(items, "bias_type", |found| found.starts_with(bias))
}

fn winogender_of(items: Vec<Item>, gender: &str) -> Result<Vec<Item>, FunctionError> {
    kept(items, "gender", |found| found == gender)
}

/// Rows whose text in `column` is wanted.
pub(crate) fn kept(
    items: Vec<Item>,
    column: &'static str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Item>, FunctionError> {
    let mut wanted = Vec::new();
    for item in items {
        if is_wanted(text(&item, column)?) {
            wanted.push(item);
        }
    }
    Ok(wanted)
}
