//! Marks, recipes and filters.

use crate::{config, source, write};
use dataset::{Filter, Mark, Recipe, Rejected, Unit, origins};
use evidence::{Digest, Provenance, Subject};
use std::path::Path;

fn mark(index: u64) -> Mark {
    Mark { generator: Digest::of(b"weights"), recipe: Digest::of(b"recipe"), seed: 7, index }
}

#[test]
fn a_line_is_a_document_and_its_mark_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let lines = format!("{}\n\n{{\"text\": \"By hand.\", \"id\": 4}}\n", mark(12).line("By a\nmodel."));
    write(folder.path(), "a.jsonl", &lines);
    let corpus = dataset::read(&config(folder.path(), vec![source("s", "a.jsonl", Unit::File)])).unwrap();
    let found: Vec<(&str, &str, Option<Mark>)> =
        corpus.documents.iter().map(|one| (one.id.as_str(), one.text.as_str(), one.mark)).collect();
    assert_eq!(found, [("a.jsonl#1", "By a\nmodel.", Some(mark(12))), ("a.jsonl#3", "By hand.", None)]);
}

#[test]
fn a_line_that_is_no_document_is_named() {
    for (line, expected) in [
        ("{\"text\": \"cut", "expected an object of JSON, found EOF while parsing a string at line 1 column 13"),
        ("[1]", "expected an object with a member `text` that is not empty, found [1]"),
        ("{\"text\": \" \"}", "expected an object with a member `text` that is not empty, found {\"text\": \" \"}"),
        (
            "{\"text\": \"a\", \"generated\": true}",
            "expected a mark with a SHA-256 in 64 hexadecimal digits, found `generator` of nothing",
        ),
        (
            &mark(1).line("a").replace("\"seed\":7", "\"seed\":-7"),
            "expected a mark with a whole number, found `seed` of -7",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.jsonl", format!("{{\"text\": \"first\"}}\n{line}\n"));
        let read = dataset::read(&config(folder.path(), vec![source("s", "a.jsonl", Unit::File)]));
        let expected = format!("`a.jsonl`:2: {expected}; correct the line or take it out");
        assert_eq!(read.unwrap_err().to_string(), expected, "{line}");
    }
}

/// By hand: of five documents two are marked, one more is declared, and one is declared to be no model's.
#[test]
fn shares_are_counted_from_marks_and_declarations() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "marked.jsonl", format!("{}\n{}\n", mark(0).line("one"), mark(1).line("two")));
    write(folder.path(), "said.txt", "three");
    write(folder.path(), "people.txt", "four");
    write(folder.path(), "unknown.txt", "five");
    let with = |people: &str, said: Option<bool>| {
        let of = |path: &str, generated| dataset::Source { generated, ..source(path, path, Unit::File) };
        let sources = vec![
            of("marked.jsonl", None),
            of("said.txt", said),
            of(people, said.map(|_| false)),
            of("unknown.txt", None),
        ];
        let corpus = dataset::read(&config(folder.path(), sources)).unwrap();
        let subject = Subject::new("corpus", corpus.digest());
        let at = "2026-11-24T00:00:00Z".parse().unwrap();
        let found = origins(&corpus).measurements(Some((10, 40)), &subject, "test", at).unwrap();
        let rows = found.iter().map(|one| (one.metric.id, one.k.unwrap(), one.n.unwrap(), one.provenance));
        (rows.collect::<Vec<_>>(), origins(&corpus))
    };
    let rows = |k: u64, stated: u64, provenance| {
        vec![
            ("data.synthetic_share", k, 5, provenance),
            ("data.origin_stated", stated, 5, provenance),
            ("data.synthetic_token_share", 10, 40, provenance),
        ]
    };
    let (found, origins) = with("people.txt", Some(true));
    assert_eq!(found, rows(3, 4, Provenance::Declared));
    assert_eq!(origins.marks, [(Digest::of(b"weights"), Digest::of(b"recipe"), 2)]);
    assert!(origins.contradicted.is_empty());
    // Without a word of the case the marks alone count, and they are measured.
    assert_eq!(with("people.txt", None).0, rows(2, 2, Provenance::Measured));
    // A declaration does not take a mark away.
    write(folder.path(), "denied.jsonl", format!("{}\n", mark(2).line("four")));
    let (found, origins) = with("denied.jsonl", Some(true));
    assert_eq!(found[0], ("data.synthetic_share", 4, 5, Provenance::Declared));
    assert_eq!(origins.contradicted, ["denied.jsonl"]);
}

const RECIPE: &str = "[generate]\nnumber = 3\nprompts = [\"a\"]\n";

fn recipe(folder: &Path, text: &str) -> Result<Recipe, String> {
    write(folder, "recipe.toml", text);
    Recipe::read(&folder.join("recipe.toml"))
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.display()), ""))
}

#[test]
fn a_recipe_is_named_by_its_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let base = recipe(folder.path(), RECIPE).unwrap();
    assert_eq!(
        (base.draws_max, base.batch, base.tokens_max, base.temperature.to_bits()),
        (12, 8, 256, 1.0_f64.to_bits())
    );
    let same = recipe(folder.path(), "# other words\n[generate]\nprompt_file = \"p.txt\"\nnumber = 3\ntop_p = 1.0\n");
    assert!(same.unwrap_err().starts_with("`p.txt` cannot be read: "));
    write(folder.path(), "p.txt", "a\n\n");
    let same =
        recipe(folder.path(), "# other words\n[generate]\nprompt_file = \"p.txt\"\nnumber = 3\ntop_p = 1.0\n").unwrap();
    assert_eq!(same.digest(), base.digest());
    assert_eq!(recipe(folder.path(), &format!("{RECIPE}batch = 2\n")).unwrap().digest(), base.digest());
    for other in ["seed = 1", "temperature = 0.5", "[filter]\nnear = 0.8", "[filter]\navoid = [\"p.txt\"]"] {
        assert_ne!(recipe(folder.path(), &format!("{RECIPE}{other}\n")).unwrap().digest(), base.digest(), "{other}");
    }
    let turns = Recipe { document: "Q: {prompt}\nA: {answer} {x}".to_owned(), ..base };
    assert_eq!(turns.document("{answer}?", "4"), "Q: {answer}?\nA: 4 {x}");
}

#[test]
fn a_recipe_that_cannot_be_followed_is_refused_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let said = |rest: &str| recipe(folder.path(), &format!("{RECIPE}{rest}\n")).unwrap_err();
    assert_eq!(
        said("temperature = -0.5"),
        "expected `temperature` from 0 to 10, found `-0.5`\n  ┌─ recipe.toml:4:15\n4 │ temperature = -0.5\n  │               ^\n  \
         hint: docs/generate.md lists the keys with their ranges"
    );
    for (rest, expected) in [
        ("prompt_file = \"p\"", "expected `prompts` or `prompt_file`, found both"),
        ("draws_max = 2", "expected `draws_max` from 3 to 10000000, found `2`"),
        ("top_p = 0.0", "expected `top_p` above 0, found `0`"),
        ("system = \"s\"", "`system` is the first turn of a conversation, and `chat` is not true"),
        ("document = \"{prompt}\"", "expected `{answer}` in `document`, found `{prompt}`"),
        ("colour = 1", "unknown field `colour`"),
        ("[filter]\nmust_match = \"(\"", "expected a regular expression, found `(`"),
        ("[filter]\nlanguage = \"en\"", "expected a language that can be told by its letters, found `en`"),
        (
            "[filter]\ncharacters_min = 5\ncharacters_max = 4",
            "expected `characters_max` of at least `characters_min` = 5, found `4`",
        ),
        ("[filter]\nnear = 0.0", "expected `near` from 0.05 to 1, found `0`"),
        ("[filter]\navoid = [\"nowhere\"]", "`nowhere` cannot be read"),
    ] {
        let said = said(rest);
        assert!(said.starts_with(expected) && said.contains("recipe.toml:"), "{said}");
    }
    let said = recipe(folder.path(), "[generate]\nnumber = 3\n").unwrap_err();
    assert!(said.starts_with("expected `prompts` or `prompt_file`, found neither\n  ┌─ recipe.toml:2:10"), "{said}");
}

/// Each answer behind the one before it, with why it is not kept.
#[test]
fn filters_name_the_first_condition_that_is_not_met() {
    const TWELVE: &str = "one two three four five six seven eight nine ten eleven twelve";
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "test.txt", format!("It is known: {TWELVE} thirteen, and more."));
    let conditions = "[filter]\nfinished = true\ncharacters_min = 8\ncharacters_max = 200\nmust_not_match = '\\d{3}'\nlanguage = \"eng\"\n\
                      drop_refusals = true\nnear = 0.5\navoid = [\"test.txt\"]\n";
    let mut filter = Filter::new(&recipe(folder.path(), &format!("{RECIPE}{conditions}")).unwrap()).unwrap();
    let mut judge = |text: &str, is_finished: bool, is_refused: bool| {
        filter.judge([text, text], is_finished, &mut || is_refused).unwrap()
    };
    let first = "The house on the hill was built by the people of the town in the year of the great flood.";
    for (text, is_finished, is_refused, expected) in [
        (" \n", true, false, Some(Rejected::Empty)),
        (first, false, false, Some(Rejected::CutOff)),
        ("Short.", true, false, Some(Rejected::Length)),
        ("The number of the house is 1234.", true, false, Some(Rejected::Pattern)),
        (first, true, true, Some(Rejected::Refusal)),
        (
            "La maison sur la colline a été construite par les habitants du village.",
            true,
            false,
            Some(Rejected::Language),
        ),
        (&format!("{TWELVE} thirteen is what the teacher wrote."), true, false, Some(Rejected::Avoided)),
        (first, true, false, None),
        (&format!("  {first}\n"), true, false, Some(Rejected::Equal)),
        // Of 16 and 15 runs of five words 11 are shared: 11 / 20.
        (&first.replace("in the year of", "in that year of"), true, false, Some(Rejected::Near)),
        (
            "When the rain came down upon the fields the farmers went home to their families and waited.",
            true,
            false,
            None,
        ),
    ] {
        assert_eq!(judge(text, is_finished, is_refused), expected, "{text}");
    }
}

/// Two sources of 10 and 2 documents; half of each is held out, whatever the seed, where the split is by source.
#[test]
fn a_split_by_source_takes_its_share_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let sections = |word: &str, n: usize| (0..n).map(|at| format!("{word} {at}\n\n")).collect::<String>();
    write(folder.path(), "long.txt", sections("long", 10));
    write(folder.path(), "short.txt", sections("short", 2));
    let sources = ["long.txt", "short.txt"].map(|path| source(path, path, Unit::BlankLineSection));
    let corpus = dataset::read(&config(folder.path(), sources.into())).unwrap();
    let strata: Vec<usize> = corpus.documents.iter().map(|document| document.file).collect();
    for seed in 0..20 {
        let split = dataset::split_by(&corpus, &strata, 0.5, seed).unwrap();
        let of_short = |side: &[usize]| side.iter().filter(|document| strata[**document] == 1).count();
        assert_eq!((split.held_out.len(), of_short(&split.held_out), of_short(&split.train)), (6, 1, 1));
        assert_eq!(dataset::leak(&corpus, &split).k, 0);
    }
    assert!(dataset::split_by(&corpus, &strata, 1.5, 0).is_err());
    let alone: Vec<usize> = (0..corpus.documents.len()).collect();
    assert!(dataset::split_by(&corpus, &alone, 0.5, 0).is_err());
}
