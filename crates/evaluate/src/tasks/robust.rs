//! The same items in other forms: mistyped, in other case, with other spaces, their options in another order, asked in other
//! words. What a model answers should not hang on these.
//!
//! Changed are the words of the item's own question, never its examples, its choices or what is right. Everything that is
//! drawn comes from the seed, the name of the form and the number of the item.

use super::{
    data::Item,
    metrics::Cell,
    prompts::{self, Doc, Gold, PromptConfig, Request},
    run::{Prepared, Report, RunError, choice},
    split,
    task::{Field, Task},
    value::Value,
};
use crate::statistics::{
    Bootstrap, StatisticsError,
    paired::{PairedDifference, paired_difference},
};
use evidence::Digest;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use std::path::Path;

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One word in ten has a letter doubled, dropped, exchanged with the next, or replaced by a neighbour on the keyboard.
    Typos,
    /// Lower case throughout.
    LowerCase,
    /// Upper case throughout.
    UpperCase,
    /// One to two further spaces at one gap in five.
    Spaces,
    /// Options moved up by so many places, the first ones to the end; the letters stay in their order.
    Order(usize),
    /// Another template of the question, by its number.
    Paraphrase(usize),
}

impl Change {
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Typos => "typos".to_owned(),
            Self::LowerCase => "lower-case".to_owned(),
            Self::UpperCase => "upper-case".to_owned(),
            Self::Spaces => "spaces".to_owned(),
            Self::Order(by) => format!("order-{by}"),
            Self::Paraphrase(at) => format!("paraphrase-{at}"),
        }
    }
}

/// One form of a task, ready to be asked.
#[derive(Debug, Clone)]
pub struct Form {
    pub change: Change,
    pub prepared: Prepared,
    /// Items of which at least one request differs.
    pub n_changed: usize,
}

/// How items fared in one form, beside how they fared unchanged.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub form: String,
    pub n: usize,
    pub n_changed: usize,
    pub clean: f64,
    pub changed: f64,
    /// Clean minus changed over the same items.
    pub drop: PairedDifference,
    /// 1 − changed ÷ clean; `None` where nothing was right to begin with. Source: Zhu et al. 2023 (PromptBench), PDR.
    pub relative_drop: Option<f64>,
    /// Share of items answered the same, options compared by what they say; `None` where there are no choices.
    pub consistency: Option<f64>,
}

/// All forms of one task.
#[derive(Debug, Clone, PartialEq)]
pub struct Robustness {
    pub task: String,
    pub metric: String,
    pub outcomes: Vec<Outcome>,
    /// Mean over items of the worst score in any form, the unchanged one among them.
    pub worst_case: f64,
    /// Largest minus smallest mean over the unchanged form and the paraphrases. Source: Sclar et al. 2023.
    pub format_spread: f64,
    /// Share of items answered the same in every form; `None` where there are no choices.
    pub consistency: Option<f64>,
}

/// The forms that a task allows: options can be turned only where they stand in the question under letters, and rewordings
/// need a template that words can be found in, or `metadata.paraphrase`.
///
/// # Errors
/// Those of building prompts.
pub fn forms(clean: &Prepared, data: Option<&Path>, config: &PromptConfig, seed: u64) -> Result<Vec<Form>, RunError> {
    let mut forms = Vec::new();
    for change in [Change::Typos, Change::LowerCase, Change::UpperCase, Change::Spaces] {
        let docs: Vec<Doc> = clean.docs.iter().map(|doc| worded(doc, change, &clean.task.name, seed)).collect();
        forms.extend(form(clean, change, docs));
    }
    let n_options = clean.docs.iter().map(|doc| doc.choices.len()).max().unwrap_or(0);
    for by in 1..n_options.min(ORDERS_MAX + 1) {
        if let Some(docs) = turned(clean, by, data, config)? {
            forms.extend(form(clean, Change::Order(by), docs));
        }
    }
    for (at, template) in paraphrases(&clean.task).into_iter().enumerate() {
        let task = Task { text: Field::Text(template), ..clean.task.clone() };
        let docs = rebuilt(&task, &items(clean), data, config)?;
        forms.extend(form(clean, Change::Paraphrase(at + 1), docs));
    }
    Ok(forms)
}

/// Orders of options tried, at most.
const ORDERS_MAX: usize = 4;

fn items(clean: &Prepared) -> Vec<Item> {
    clean.docs.iter().map(|doc| doc.item.clone()).collect()
}

/// `None` where nothing changed at all.
fn form(clean: &Prepared, change: Change, docs: Vec<Doc>) -> Option<Form> {
    let n_changed = docs.iter().zip(&clean.docs).filter(|(new, old)| new.requests != old.requests).count();
    let prepared = Prepared { docs, ..clean.clone() };
    (n_changed > 0).then_some(Form { change, prepared, n_changed })
}

/// Items through the prompts again, with the examples of the task.
fn rebuilt(task: &Task, items: &[Item], data: Option<&Path>, config: &PromptConfig) -> Result<Vec<Doc>, RunError> {
    let n_shots = prompts::num_fewshot(task, config);
    let pool = match task.shot_split() {
        Some(from) if n_shots > 0 && (task.shots.samples.is_none() || task.shots.split.is_some()) => {
            split::read(task, from, data)?.items
        }
        _ => Vec::new(),
    };
    prompts::build(task, items, &pool, config).map_err(|source| RunError::Prompt { task: task.name.clone(), source })
}

/// A doc whose own question was changed: what all its contexts share behind the examples.
fn worded(doc: &Doc, change: Change, task: &str, seed: u64) -> Doc {
    let contexts: Vec<&str> = doc
        .requests
        .iter()
        .filter_map(|request| match request {
            // The unconditional requests have no context, and none of the question.
            Request::LogLikelihood { context, .. } | Request::Generate { context } => {
                Some(context.as_str()).filter(|context| !context.is_empty())
            }
            Request::Rolling { .. } => None,
        })
        .collect();
    let Some(question) = contexts.first().and_then(|first| first.get(doc.head..shared(&contexts))) else {
        return doc.clone();
    };
    let key = Digest::of(format!("assize robust {seed} {} {task} {}", change.name(), doc.id).as_bytes());
    let changed = reworded(question, change, &mut ChaCha20Rng::from_seed(*key.as_bytes()));
    let put = |context: &str| match context.get(doc.head..).and_then(|own| own.strip_prefix(question)) {
        Some(rest) => format!("{}{changed}{rest}", &context[..doc.head]),
        None => context.to_owned(),
    };
    let requests = doc.requests.iter().map(|request| match request {
        Request::LogLikelihood { context, continuation } => {
            Request::LogLikelihood { context: put(context), continuation: continuation.clone() }
        }
        Request::Generate { context } => Request::Generate { context: put(context) },
        Request::Rolling { text } => Request::Rolling { text: text.clone() },
    });
    Doc { requests: requests.collect(), ..doc.clone() }
}

/// Bytes that all texts begin with; where they part within a word, up to that word.
fn shared(texts: &[&str]) -> usize {
    let Some((first, others)) = texts.split_first() else { return 0 };
    let alike = |other: &&str| first.bytes().zip(other.bytes()).take_while(|(left, right)| left == right).count();
    let mut n = others.iter().map(alike).min().unwrap_or(first.len()).min(first.len());
    while !first.is_char_boundary(n) {
        n -= 1;
    }
    if texts.iter().all(|text| text.len() == n) {
        return n;
    }
    first[..n].trim_end_matches(char::is_alphabetic).len()
}

/// Rows of keys, for slips of a finger.
const KEYS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

/// Words in their places. A word with a colon behind it (`Answer:`), a letter with a full stop (`A.`) and whatever holds
/// anything but letters stay as they are: they are the form of the question, not its words.
fn reworded(text: &str, change: Change, random: &mut ChaCha20Rng) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_alphabetic()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let next = after.chars().next();
        let is_form = next == Some(':') || next == Some('：') || (word.chars().count() == 1 && next == Some('.'));
        if word.is_empty() || is_form {
            out.push_str(word);
        } else {
            match change {
                Change::Typos => out.push_str(&mistyped(word, random)),
                Change::LowerCase => out.push_str(&word.to_lowercase()),
                Change::UpperCase => out.push_str(&word.to_uppercase()),
                _ => out.push_str(word),
            }
        }
        let gap = after.find(char::is_alphabetic).unwrap_or(after.len());
        let between = &after[..gap];
        out.push_str(between);
        if change == Change::Spaces && between == " " && below(random, 5) == 0 {
            out.push_str(if below(random, 2) == 0 { " " } else { "  " });
        }
        rest = &after[gap..];
    }
    out
}

/// A number below `n`, which is far below 2^32: the bias is under 1e-8.
fn below(random: &mut ChaCha20Rng, n: u64) -> usize {
    (random.next_u64() % n) as usize
}

/// One word of four letters or more in ten, with one slip.
fn mistyped(word: &str, random: &mut ChaCha20Rng) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    if letters.len() < 4 || below(random, 10) != 0 {
        return word.to_owned();
    }
    // Neither the first nor the last letter.
    let at = 1 + below(random, letters.len() as u64 - 2);
    match below(random, 4) {
        0 => letters.insert(at, letters[at]),
        1 => {
            letters.remove(at);
        }
        2 => {
            let at = at.min(letters.len() - 3);
            letters.swap(at, at + 1);
        }
        _ => letters[at] = neighbour(letters[at], random),
    }
    letters.into_iter().collect()
}

fn neighbour(letter: char, random: &mut ChaCha20Rng) -> char {
    let row = KEYS.iter().find_map(|row| Some((row.as_bytes(), row.find(letter.to_ascii_lowercase())?)));
    let Some((row, at)) = row else { return letter };
    let found = if at == 0 || (at + 1 < row.len() && below(random, 2) == 0) { row[at + 1] } else { row[at - 1] };
    let found = char::from(found);
    if letter.is_uppercase() { found.to_ascii_uppercase() } else { found }
}

/// The task's own rewordings, else its template with other cue words.
fn paraphrases(task: &Task) -> Vec<String> {
    if !task.reading.paraphrases.is_empty() {
        return task.reading.paraphrases.clone();
    }
    let Field::Text(template) = &task.text else { return Vec::new() };
    const CUES: [&[(&str, &str)]; 3] = [
        &[("Question:", "Q:"), ("Answer:", "A:"), ("问题：", "题目："), ("答案：", "回答：")],
        &[
            ("Question:", "Here is a question:"),
            ("Answer:", "The answer is:"),
            ("问题：", "请看下面的问题："),
            ("答案：", "正确答案是："),
        ],
        &[("\nAnswer:", " Answer:"), ("Question:", "Question -"), ("答案：", "答：")],
    ];
    let reworded =
        |cues: &[(&str, &str)]| cues.iter().fold(template.clone(), |text, (from, to)| text.replace(from, to));
    CUES.iter().map(|cues| reworded(cues)).filter(|found| found != template).collect()
}

/// The docs with options moved up by `by`; `None` where options do not stand in the question under letters.
fn turned(
    clean: &Prepared,
    by: usize,
    data: Option<&Path>,
    config: &PromptConfig,
) -> Result<Option<Vec<Doc>>, RunError> {
    let is_letters = |doc: &Doc| {
        doc.choices.len() > 1
            && doc.choices.iter().enumerate().all(|(at, choice)| *choice == char::from(b'A' + at as u8).to_string())
    };
    if clean.docs.is_empty() || !clean.docs.iter().all(is_letters) {
        return Ok(None);
    }
    let items: Option<Vec<Item>> = clean.docs.iter().map(|doc| turned_item(doc, by)).collect();
    let Some(items) = items else { return Ok(None) };
    let docs = rebuilt(&clean.task, &items, data, config)?;
    // What is right must have moved with its option, or the row was not understood.
    let is_moved = |(new, old): (&Doc, &Doc)| {
        let n = old.choices.len();
        let moved = |gold: &Gold| match gold {
            Gold::Choices(gold) => Some(gold.iter().map(|&at| (at + n - by % n) % n).collect()),
            Gold::Texts(_) => None::<Vec<usize>>,
        };
        matches!(&new.gold, Gold::Choices(gold) if Some(gold) == moved(&old.gold).as_ref())
    };
    Ok(docs.iter().zip(&clean.docs).all(is_moved).then_some(docs))
}

/// A row with a list of options and the index of the right one, or with columns `A`, `B`, … and its letter.
fn turned_item(doc: &Doc, by: usize) -> Option<Item> {
    let n = doc.choices.len();
    let by = by % n;
    let Gold::Choices(gold) = &doc.gold else { return None };
    let &[gold] = gold.as_slice() else { return None };
    let new_gold = (gold + n - by) % n;
    let letter = |at: usize| char::from(b'A' + at as u8).to_string();
    let mut item = doc.item.clone();
    let is_list = |(name, value): &(String, Value)| {
        ["choices", "options"].contains(&name.as_str()) && value.as_list().is_some_and(|list| list.len() == n)
    };
    if let Some((_, Value::List(options))) = item.row.iter_mut().find(|column| is_list(column)) {
        options.rotate_left(by);
    } else {
        let held: Option<Vec<Value>> =
            (0..n).map(|at| super::value::column(&doc.item.row, &letter(at)).cloned()).collect();
        let held = held?;
        for (name, value) in &mut item.row {
            if let Some(at) = (0..n).find(|&at| *name == letter(at)) {
                *value = held[(at + by) % n].clone();
            }
        }
    }
    let is_gold = |name: &str| ["answer", "Answer", "gold", "label"].contains(&name);
    for (_, value) in item.row.iter_mut().filter(|(name, _)| is_gold(name)) {
        match value {
            Value::Int(at) if *at == gold as i64 => *at = new_gold as i64,
            Value::Text(text) if *text == letter(gold) => *text = letter(new_gold),
            _ => {}
        }
    }
    Some(item)
}

/// The first metric of a report that scores every item by a number.
fn headline(report: &Report) -> Option<(String, Vec<f64>)> {
    let listed = report.task.metrics.iter().map(|metric| metric.name.clone());
    let named = report.figures.iter().map(|(name, _)| name.clone());
    listed.chain(named).find_map(|name| Some((name.clone(), scores(report, &name)?)))
}

fn scores(report: &Report, metric: &str) -> Option<Vec<f64>> {
    let of = |sample: &super::run::Sample| match sample.cells.iter().find(|(name, _)| name == metric) {
        Some((_, Cell::Number(number))) => Some(*number),
        _ => None,
    };
    report.samples.iter().map(of).collect()
}

/// Puts the forms beside the unchanged items; `None` for a task that scores no item by a number.
///
/// `changed` holds the report of each form, in the order of `forms`. Deterministic.
///
/// # Errors
/// Those of the statistics; fewer than two items are too few.
pub fn robustness(
    clean: &Report,
    changed: &[(Change, usize, Report)],
    bootstrap: &Bootstrap,
) -> Result<Option<Robustness>, StatisticsError> {
    let Some((metric, before)) = headline(clean) else { return Ok(None) };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let answers: Vec<Option<usize>> = clean.samples.iter().map(choice).collect();
    let (mut worst, mut is_same) = (before.clone(), vec![true; before.len()]);
    let (mut outcomes, mut means) = (Vec::new(), vec![mean(&before)]);
    for (change, n_changed, report) in changed {
        let Some(after) = scores(report, &metric) else { continue };
        let drop = paired_difference(&after, &before, bootstrap)?;
        worst.iter_mut().zip(&after).for_each(|(worst, after)| *worst = worst.min(*after));
        let n_options = |at: usize| clean.samples[at].doc.choices.len().max(1);
        let turned = |(at, sample): (usize, &super::run::Sample)| {
            let by = if let Change::Order(by) = change { *by } else { 0 };
            choice(sample).map(|choice| (choice + by) % n_options(at))
        };
        let alike: Vec<bool> =
            report.samples.iter().enumerate().map(turned).zip(&answers).map(|(new, old)| new == *old).collect();
        is_same.iter_mut().zip(&alike).for_each(|(all, alike)| *all &= alike);
        let has_choices = answers.iter().all(Option::is_some);
        if matches!(change, Change::Paraphrase(_)) {
            means.push(mean(&after));
        }
        outcomes.push(Outcome {
            form: change.name(),
            n: after.len(),
            n_changed: *n_changed,
            clean: mean(&before),
            changed: mean(&after),
            drop,
            relative_drop: (mean(&before) > 0.0).then(|| 1.0 - mean(&after) / mean(&before)),
            consistency: has_choices.then(|| share(&alike)),
        });
    }
    let largest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let smallest = means.iter().copied().fold(f64::INFINITY, f64::min);
    let consistency = answers.iter().all(Option::is_some).then(|| share(&is_same));
    let (worst_case, format_spread) = (mean(&worst), largest - smallest);
    Ok(Some(Robustness { task: clean.task.name.clone(), metric, outcomes, worst_case, format_spread, consistency }))
}

fn share(flags: &[bool]) -> f64 {
    flags.iter().filter(|flag| **flag).count() as f64 / flags.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, change: Change) -> String {
        reworded(text, change, &mut ChaCha20Rng::from_seed([7; 32]))
    }

    #[test]
    fn words_change_and_the_form_of_the_question_stays() {
        let text = "Question: Why does ICE float?\nA. density\nB. Zeal 42\nAnswer:";
        assert_eq!(changed(text, Change::LowerCase), "Question: why does ice float?\nA. density\nB. zeal 42\nAnswer:");
        assert_eq!(changed(text, Change::UpperCase), "Question: WHY DOES ICE FLOAT?\nA. DENSITY\nB. ZEAL 42\nAnswer:");
        let spaced = changed(&"word word ".repeat(50), Change::Spaces);
        assert!(spaced.len() > 500 && spaced.split_whitespace().count() == 100);
    }

    #[test]
    fn one_word_in_ten_is_mistyped_by_one_slip() {
        let text = "several longer words stand here ".repeat(200);
        let found = changed(&text, Change::Typos);
        let pairs: Vec<(&str, &str)> = text.split(' ').zip(found.split(' ')).filter(|(old, new)| old != new).collect();
        // 1,000 words, a tenth of them: 100 with a standard deviation of 9.5; less the slips that change nothing (`ee`).
        assert!((60..=135).contains(&pairs.len()), "{}", pairs.len());
        for (old, new) in pairs {
            assert!(old.chars().count().abs_diff(new.chars().count()) <= 1, "{old} {new}");
            assert_eq!(
                (old.chars().next(), old.chars().last()),
                (new.chars().next(), new.chars().last()),
                "{old} {new}"
            );
        }
        assert_eq!(changed(&text, Change::Typos), found);
    }

    #[test]
    fn what_all_contexts_share_ends_between_words() {
        assert_eq!((shared(&["to abä", "to abö"]), shared(&["a ä", "a ö"])), (3, 2));
        assert_eq!((shared(&["abc", "abc"]), shared(&["a. b", "a. bd"]), shared(&[])), (3, 3, 0));
    }
}
