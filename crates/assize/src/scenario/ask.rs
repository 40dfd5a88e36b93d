//! The open questions, one after another, the most decisive first; each answer may settle others.

use jiff::civil::Date;
use policy::scenario::table::{UseFact, UseKind};
use policy::scenario::{Answers, Classes, OpenQuestion, classify};
use std::{
    collections::BTreeSet,
    io::{self, BufRead, Write},
};

/// Asks until nothing is open, the input ends, or `done` is typed. An empty line leaves a question open.
///
/// # Errors
/// What reading or writing gives.
pub(super) fn ask(
    classes: &Classes,
    answers: &mut Answers,
    as_of: Date,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> io::Result<()> {
    let mut skipped: BTreeSet<&'static str> = BTreeSet::new();
    let mut n_answered = 0;
    loop {
        let questions = classify(classes, answers, as_of).open_questions();
        let mut open = questions.iter().filter(|question| !skipped.contains(question.fact.name));
        let Some(question) = open.next() else { break };
        put(question, questions.len(), output)?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 || line.trim() == "done" {
            break;
        }
        let fact = question.fact;
        if line.trim().is_empty() {
            skipped.insert(fact.name);
            continue;
        }
        match answers.set_text(fact.name, &by_name(fact, line.trim())) {
            Ok(()) => n_answered += 1,
            Err(error) => writeln!(output, "  {error}")?,
        }
    }
    if n_answered > 0 {
        writeln!(output, "\nthe answers, to be kept in a file:\n\n{}", answers.to_toml())?;
    }
    Ok(())
}

fn put(question: &OpenQuestion, n_open: usize, output: &mut dyn Write) -> io::Result<()> {
    let fact = question.fact;
    let bears = match question.classes.as_slice() {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => String::new(),
    };
    writeln!(output, "\n{} [use.{}; bears on {bears}; {n_open} open]", fact.question, fact.name)?;
    for (position, (name, means)) in fact.kind.choices().iter().enumerate() {
        writeln!(output, "  {:2} {name}: {means}", position + 1)?;
    }
    let hint = match fact.kind {
        UseKind::Any(_) => "numbers or names with commas between, or none",
        UseKind::One(_) => "a number or a name",
        UseKind::Flag => "yes or no",
        UseKind::Day => "a date such as 2026-08-02",
        UseKind::Count | UseKind::Quantity => "a number",
        UseKind::Text => "a sentence",
    };
    write!(output, "{hint}; empty leaves it open, `done` ends> ")?;
    output.flush()
}

/// Numbers of choices as their names; what is no such number stays as typed.
fn by_name(fact: &UseFact, text: &str) -> String {
    let choices = fact.kind.choices();
    if choices.is_empty() {
        return text.to_owned();
    }
    let name = |item: &str| {
        let position: Option<usize> = item.trim().parse().ok();
        let choice = position.and_then(|position| choices.get(position.checked_sub(1)?));
        choice.map_or_else(|| item.trim().to_owned(), |(name, _)| (*name).to_owned())
    };
    text.split(',').map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packs;
    use policy::scenario::Answer;

    const DAY: Date = jiff::civil::date(2026, 11, 26);

    fn classes() -> Classes {
        Classes::compile(&packs::scenario_files(None).unwrap()).unwrap()
    }

    /// Asks with the lines given; the answers and what was shown.
    fn asked(mut answers: Answers, lines: &str) -> (Answers, String) {
        let mut shown = Vec::new();
        ask(&classes(), &mut answers, DAY, &mut lines.as_bytes(), &mut shown).unwrap();
        (answers, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn the_first_question_is_where_it_is_offered_and_one_answer_may_settle_all() {
        let (answers, shown) = asked(Answers::new(), "JP\n");
        assert!(shown.starts_with("\nWhere is it offered or used? [use.jurisdictions;"), "{shown}");
        assert_eq!(shown.matches("> ").count(), 1, "{shown}");
        assert!(!classify(&classes(), &answers, DAY).is_open());
        assert!(shown.ends_with("[use]\njurisdictions = [\"JP\"]\n\n"), "{shown}");
    }

    #[test]
    fn a_refused_answer_is_asked_again() {
        let (answers, shown) = asked(Answers::new(), "Atlantis\nUK\n");
        assert!(shown.contains("for `use.jurisdictions`, found `Atlantis`"), "{shown}");
        assert_eq!(shown.matches("Where is it offered or used?").count(), 2);
        assert_eq!(answers.get("jurisdictions").unwrap().to_string(), "[\"UK\"]");
    }

    #[test]
    fn choices_may_be_given_by_number() {
        let (answers, _) = asked(Answers::new(), "4, 5\n");
        assert_eq!(answers.get("jurisdictions").unwrap().to_string(), "[\"JP\", \"UK\"]");
    }

    #[test]
    fn an_empty_line_leaves_a_question_open_and_goes_on() {
        let mut given = Answers::new();
        given.set_text("jurisdictions", "CN").unwrap();
        given.set_text("audience", "public").unwrap();
        given.set_text("generative", "true").unwrap();
        given.set_text("emotional_interaction", "false").unwrap();
        let (answers, shown) = asked(given, "\n");
        assert_eq!(answers.get("opinion_attributes"), None);
        assert_eq!(shown.matches("> ").count(), 1, "{shown}");
        assert_eq!(classify(&classes(), &answers, DAY).answer("cn.filing"), Some(Answer::Open));
        assert!(!shown.contains("[use]\n"), "nothing was answered, so nothing is to be kept: {shown}");
    }

    #[test]
    fn the_end_of_the_input_and_done_end_the_questions() {
        for lines in ["", "done\nEU\n"] {
            let (answers, shown) = asked(Answers::new(), lines);
            assert_eq!(answers, Answers::new());
            assert_eq!(shown.matches("> ").count(), 1);
        }
    }
}
