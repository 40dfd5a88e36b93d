//! Scenarios as data, each resting on a point of an annex or an article; laws that hold for any answers; trees for reading.

use jiff::civil::{Date, date};
use policy::expr::Value;
use policy::scenario::table::{FACTS, UseKind};
use policy::scenario::{Answer, Answers, Classes, RiskClass, ScenarioFile, classify, disagreements};
use policy::{Pack, System};
use proptest::prelude::*;
use std::{collections::BTreeSet, fs, path::Path, sync::LazyLock};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The day of cases that name none.
const TODAY: Date = date(2026, 11, 26);

static CLASSES: LazyLock<Classes> = LazyLock::new(|| {
    let mut files = Vec::new();
    for pack in ["eu-ai-act", "cn-genai", "us-states", "kr"] {
        files.extend(toml_files(&format!("{ROOT}/packs/{pack}/scenario")));
    }
    Classes::compile(&files).unwrap_or_else(|errors| panic!("{}", errors[0]))
});

/// The TOML files of a folder, sorted by name.
fn toml_files(folder: &str) -> Vec<(String, String)> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn base() -> Answers {
    let text = fs::read_to_string(format!("{ROOT}/crates/policy/tests/scenarios/base.toml")).unwrap();
    ScenarioFile::read("base.toml", &text).unwrap_or_else(|errors| panic!("{}", errors[0])).answers
}

/// A scenario of the files: answers, day, and what it must come to.
struct Case {
    name: String,
    answers: Answers,
    as_of: Date,
    yes: BTreeSet<String>,
    open: BTreeSet<String>,
    ask: Vec<String>,
    standing: Vec<(String, String)>,
}

fn texts(table: &toml::Table, key: &str) -> Vec<String> {
    let items = table.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
    items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn case(file: &toml::Table, scenario: &toml::Table) -> Case {
    let name = scenario["name"].as_str().unwrap().to_owned();
    assert!(!scenario["rests_on"].as_str().unwrap().is_empty(), "{name} rests on nothing");
    let mut answers = base();
    answers.set_text("jurisdictions", file["jurisdictions"].as_str().unwrap()).unwrap();
    for (key, value) in scenario["use"].as_table().unwrap() {
        answers.set_text(key, value.as_str().unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for key in texts(scenario, "without") {
        assert!(answers.remove(&key), "{name}: {key} was not answered");
    }
    let mut yes: BTreeSet<String> = texts(scenario, "yes").into_iter().collect();
    if scenario.get("without_always").is_none() {
        yes.extend(texts(file, "always"));
    }
    let as_of = scenario.get("as_of").map_or(TODAY, |day| day.to_string().parse().unwrap());
    let standing = scenario.get("standing").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let standing = standing.into_iter().map(|(id, word)| (id, word.as_str().unwrap().to_owned())).collect();
    let (open, ask) = (texts(scenario, "open").into_iter().collect(), texts(scenario, "ask"));
    Case { name, answers, as_of, yes, open, ask, standing }
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (path, text) in toml_files(&format!("{ROOT}/crates/policy/tests/scenarios")) {
        let file: toml::Table = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let scenarios = file.get("scenario").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        all.extend(scenarios.iter().map(|scenario| case(&file, scenario.as_table().unwrap())));
    }
    all
}

#[test]
fn every_scenario_comes_to_its_classes_and_questions() {
    let cases = cases();
    assert!(cases.len() >= 60, "{} scenarios", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let classified = classify(&CLASSES, &case.answers, case.as_of);
        let outcomes = classified.outcomes();
        let of = |answer| -> BTreeSet<String> {
            outcomes.iter().filter(|outcome| outcome.answer == answer).map(|outcome| outcome.class.id.clone()).collect()
        };
        for (what, expected, found) in [("yes", &case.yes, of(Answer::Yes)), ("open", &case.open, of(Answer::Open))] {
            if *expected != found {
                wrong.push(format!("{}: {what} expected {expected:?}, found {found:?}", case.name));
            }
        }
        let asked: Vec<String> =
            classified.open_questions().iter().map(|question| question.fact.name.to_owned()).collect();
        if asked != case.ask {
            wrong.push(format!("{}: asks {asked:?}, expected {:?}", case.name, case.ask));
        }
        for (id, word) in &case.standing {
            let outcome = outcomes.iter().find(|outcome| outcome.class.id == *id);
            let found = outcome.map(|outcome| outcome.standing.name());
            if found != Some(word.as_str()) {
                wrong.push(format!("{}: {id} is {found:?}, expected {word}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A class that no scenario brings about could say anything.
#[test]
fn every_class_is_brought_about_by_a_scenario() {
    let reached: BTreeSet<String> = cases().into_iter().flat_map(|case| case.yes).collect();
    let idle: Vec<&str> =
        CLASSES.classes().iter().map(|class| class.id.as_str()).filter(|id| !reached.contains(*id)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

#[test]
fn every_fact_is_asked_by_a_class_or_says_that_it_is_for_people() {
    let mut read: BTreeSet<String> = BTreeSet::new();
    for class in CLASSES.classes() {
        let conditions = [class.scope.as_ref(), Some(&class.when), class.unless.as_ref()];
        let dated = class.windows.iter().map(|window| window.when.as_ref());
        let leaves = conditions.into_iter().chain(dated).flatten().flat_map(|expr| expr.leaves());
        read.extend(leaves.map(|leaf| leaf.path.clone()));
    }
    let idle = FACTS.iter().filter(|fact| fact.kind != UseKind::Text && !read.contains(&format!("use.{}", fact.name)));
    let idle: Vec<&str> = idle.map(|fact| fact.name).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

#[test]
fn names_of_facts_and_choices_are_distinct() {
    let names: BTreeSet<&str> = FACTS.iter().map(|fact| fact.name).collect();
    assert_eq!(names.len(), FACTS.len());
    for fact in FACTS {
        let choices: BTreeSet<&str> = fact.kind.choices().iter().map(|(name, _)| *name).collect();
        assert_eq!(choices.len(), fact.kind.choices().len(), "{}", fact.name);
        assert!(fact.question.ends_with('?'), "{}", fact.name);
    }
}

/// A literal that is no choice of its fact can never be met: a misspelling the types do not see.
#[test]
fn every_text_that_a_class_compares_with_is_a_choice() {
    let choices: BTreeSet<&str> = FACTS.iter().flat_map(|fact| fact.kind.choices()).map(|(name, _)| *name).collect();
    for class in CLASSES.classes() {
        for expr in [class.scope.as_ref(), Some(&class.when), class.unless.as_ref()].into_iter().flatten() {
            // Odd pieces between quotation marks are literals; classes write no other marks.
            for literal in expr.text().split('"').skip(1).step_by(2).filter(|literal| !literal.starts_with("20")) {
                assert!(choices.contains(literal), "{}: `{literal}`", class.id);
            }
        }
    }
}

/// One possible answer to each fact, drawn by the number.
fn drawn(kind: UseKind, roll: u32) -> Option<Value> {
    let number = |text: &str| Some(Value::Decimal(text.parse().unwrap()));
    match kind {
        UseKind::Flag => Some(Value::Bool(roll.is_multiple_of(2))),
        UseKind::One(choices) => Some(choices[roll as usize % choices.len()].0.into()),
        UseKind::Any(choices) => {
            // At most a few of many, so that classes of all points come up.
            let first = roll as usize % (choices.len() + 1);
            let second = (roll / 64) as usize % (choices.len() * 2);
            let chosen =
                [first, second].into_iter().filter_map(|at| choices.get(at)).map(|(name, _)| Value::from(*name));
            Some(Value::List(chosen.collect()))
        }
        UseKind::Count => {
            Some(Value::Int([0, 9_999, 10_000, 99_999, 100_000, 1_000_000, 1_000_001][roll as usize % 7]))
        }
        UseKind::Quantity => number(
            ["0", "0.5", "1e22", "1e23", "2e23", "1e25", "2e25", "1e26", "2e26", "600000000"][roll as usize % 10],
        ),
        UseKind::Day => {
            let days = ["2021-06-01", "2024-06-01", "2026-08-01", "2026-08-02", "2027-01-01"];
            Some(Value::Timestamp(format!("{}T00:00:00Z", days[roll as usize % 5]).parse().unwrap()))
        }
        UseKind::Text => None,
    }
}

/// Some facts answered, some not: what is drawn odd is left out.
fn some_answers() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    proptest::collection::vec(any::<(u32, u8)>(), FACTS.len()).prop_map(|rolls| {
        let pairs = FACTS.iter().zip(rolls);
        // The regimes are always in, or most draws would classify nothing.
        let kept = pairs.filter(|(fact, (_, keep))| keep % 8 != 0 || fact.name == "exclusion");
        let answer = |(fact, (roll, _)): (&'static policy::scenario::table::UseFact, (u32, u8))| {
            let value = match fact.name {
                "jurisdictions" => {
                    Value::List(fact.kind.choices().iter().map(|(name, _)| Value::from(*name)).collect())
                }
                "exclusion" => "none".into(),
                _ => drawn(fact.kind, roll)?,
            };
            Some((fact.name, value))
        };
        kept.filter_map(answer).collect()
    })
}

fn answers_of(pairs: &[(&'static str, Value)]) -> Answers {
    let mut answers = Answers::new();
    pairs.iter().for_each(|(name, value)| answers.set(name, value.clone()).unwrap());
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Taking an answer away may open a class; it never rules one out, and never brings one about.
    #[test]
    fn less_is_known_and_no_class_is_ruled_out(pairs in some_answers(), at in any::<prop::sample::Index>()) {
        prop_assume!(!pairs.is_empty());
        let whole = answers_of(&pairs);
        let mut less = whole.clone();
        less.remove(pairs[at.index(pairs.len())].0);
        let (before, after) = (classify(&CLASSES, &whole, TODAY), classify(&CLASSES, &less, TODAY));
        for (before, after) in before.outcomes().iter().zip(after.outcomes()) {
            let kept = after.answer == before.answer || after.answer == Answer::Open;
            prop_assert!(kept, "{}: {} became {}", before.class.id, before.answer.name(), after.answer.name());
        }
    }

    /// The strictest class that may still hold never gets milder when less is known.
    #[test]
    fn less_is_known_and_the_strictest_possible_class_stays(pairs in some_answers(), at in any::<prop::sample::Index>()) {
        prop_assume!(!pairs.is_empty());
        let strictest = |answers: &Answers| -> Option<RiskClass> {
            let classified = classify(&CLASSES, answers, TODAY);
            let possible = classified.outcomes().into_iter().filter(|outcome| outcome.answer != Answer::No);
            possible.filter_map(|outcome| outcome.class.implies.risk_class).max()
        };
        let whole = answers_of(&pairs);
        let mut less = whole.clone();
        less.remove(pairs[at.index(pairs.len())].0);
        prop_assert!(strictest(&less) >= strictest(&whole));
    }

    #[test]
    fn the_order_of_answers_changes_nothing(pairs in some_answers().prop_flat_map(|pairs| (Just(pairs.clone()), Just(pairs).prop_shuffle()))) {
        let (given, shuffled) = pairs;
        let reversed: Vec<_> = given.iter().rev().map(|(name, value)| match value {
            Value::List(items) => (*name, Value::List(items.iter().rev().cloned().collect())),
            other => (*name, other.clone()),
        }).collect();
        let json = |pairs: &[(&'static str, Value)]| classify(&CLASSES, &answers_of(pairs), TODAY).to_json(&|_| true, None).canonical();
        let expected = json(&given);
        prop_assert_eq!(&json(&shuffled), &expected);
        prop_assert_eq!(&json(&reversed), &expected);
    }

    /// What is written as a table is read again as the same answers.
    #[test]
    fn answers_survive_being_written_down(pairs in some_answers()) {
        let answers = answers_of(&pairs);
        prop_assert_eq!(Answers::in_toml("again.toml", &answers.to_toml()).unwrap(), answers);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A question is there for every class that is open, and answering all of them leaves nothing open.
    #[test]
    fn answering_what_is_asked_settles_everything(pairs in some_answers(), rolls in proptest::collection::vec(any::<u32>(), 128)) {
        let mut answers = answers_of(&pairs);
        for roll in rolls {
            let classified = classify(&CLASSES, &answers, TODAY);
            let questions = classified.open_questions();
            let Some(question) = questions.first() else {
                prop_assert!(!classified.is_open());
                return Ok(());
            };
            let (name, kind) = (question.fact.name, question.fact.kind);
            answers.set(name, drawn(kind, roll).unwrap()).unwrap();
        }
        prop_assert!(false, "128 questions were not enough");
    }
}

/// The facts as the page shows them.
fn page_of_facts() -> String {
    let row = |fact: &policy::scenario::table::UseFact| {
        let choices: Vec<String> =
            fact.kind.choices().iter().map(|(name, means)| format!("`{name}` {means}")).collect();
        format!("| `{}` | {} | {} | {} |\n", fact.name, fact.kind.name(), fact.question, choices.join("; "))
    };
    FACTS.iter().map(row).collect()
}

#[test]
fn the_page_lists_every_fact_as_it_is_asked() {
    let page = fs::read_to_string(format!("{ROOT}/docs/scenario.md")).unwrap();
    let table = page_of_facts();
    assert!(page.contains(&table), "docs/scenario.md should hold this table:\n{table}");
}

fn example(name: &str) -> (Answers, String) {
    let path = format!("{ROOT}/examples/scenarios/{name}.toml");
    let read = ScenarioFile::read(&path, &fs::read_to_string(&path).unwrap());
    let file = read.unwrap_or_else(|errors| panic!("{}", errors[0]));
    (file.answers, file.title.unwrap())
}

#[test]
fn the_tree_of_the_cv_screening() {
    let (answers, _) = example("cv-screening");
    insta::assert_snapshot!(classify(&CLASSES, &answers, TODAY).to_text(&|id| !WITHOUT_CARD.contains(&id)));
}

#[test]
fn the_tree_of_the_companion() {
    let (answers, _) = example("companion-chat");
    insta::assert_snapshot!(classify(&CLASSES, &answers, TODAY).to_text(&|id| !WITHOUT_CARD.contains(&id)));
}

#[test]
fn the_tree_of_the_customer_service_bot() {
    let (answers, _) = example("customer-service-bot");
    insta::assert_snapshot!(classify(&CLASSES, &answers, TODAY).to_text(&|id| !WITHOUT_CARD.contains(&id)));
}

#[test]
fn the_json_has_four_regimes_a_path_and_questions() {
    let (answers, _) = example("companion-chat");
    let json = classify(&CLASSES, &answers, TODAY).to_json(&|id| id == "cn.anthro.2h", None);
    let regimes: Vec<&str> = json.get("classes").unwrap().members().unwrap().keys().map(String::as_str).collect();
    assert_eq!(regimes, ["cn", "eu", "kr", "us"]);
    let first = &json.get("open_questions").unwrap().items()[0];
    assert_eq!(first.get("fact").unwrap().as_text(), Some("use.monthly_users"));
    let of = |regime: &str, id: &str| {
        let all = json.get("classes").unwrap().get(regime).unwrap().items();
        all.iter().find(|class| class.get("id").unwrap().as_text() == Some(id)).unwrap().clone()
    };
    let companion = of("cn", "cn.anthropomorphic");
    assert_eq!(companion.get("value").unwrap().as_text(), Some("yes"));
    let cards: Vec<bool> = companion
        .get("rules")
        .unwrap()
        .items()
        .iter()
        .map(|rule| rule.get("card").unwrap().as_bool().unwrap())
        .collect();
    assert_eq!(cards, [false, true, false, false]);
    let is_step =
        |step: &&evidence::Json| step.get("class").unwrap().as_text() == Some("cn.anthropomorphic.assessment");
    assert!(json.get("path").unwrap().items().iter().filter(is_step).count() >= 4);
}

fn system(pairs: &[(&str, Value)]) -> System {
    let mut system = System::new();
    pairs.iter().for_each(|(name, value)| system.set(name, value.clone()).unwrap());
    system
}

fn members(answers: &Answers, pairs: &[(&str, Value)]) -> Vec<String> {
    let classified = classify(&CLASSES, answers, TODAY);
    disagreements(&classified, &system(pairs)).iter().map(ToString::to_string).collect()
}

#[test]
fn a_claim_that_is_too_mild_is_shown_with_what_holds() {
    let (answers, _) = example("cv-screening");
    assert_eq!(
        members(&answers, &[("risk_class", "limited".into())]),
        ["the case claims `system.risk_class = \"limited\"`; the scenario comes to `high` by eu.high_risk.annex3 \
          (Art. 6(2)-(3), Annex III, announced, from 2027-12-02)"]
    );
    assert!(members(&answers, &[("risk_class", "high".into()), ("risk_route", "annex-iii".into())]).is_empty());
}

#[test]
fn a_claim_that_is_too_strict_is_shown_too() {
    let (answers, _) = example("customer-service-bot");
    let found = members(&answers, &[("risk_class", "high".into())]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("comes to `limited` by eu.art50.p2"), "{}", found[0]);
}

#[test]
fn the_wrong_route_names_the_right_one() {
    let (answers, _) = example("cv-screening");
    let found = members(&answers, &[("risk_route", "annex-i".into())]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("high-risk by eu.high_risk.annex3"), "{}", found[0]);
}

#[test]
fn a_claim_stands_while_an_open_class_could_make_it_true() {
    let (mut answers, _) = example("cv-screening");
    answers.remove("profiling");
    assert!(members(&answers, &[("risk_class", "high".into())]).is_empty());
    assert!(members(&answers, &[("risk_class", "minimal".into())]).is_empty());
    // Nothing open could make it limited: it neither talks to people nor generates.
    assert_eq!(members(&answers, &[("risk_class", "limited".into())]).len(), 1);
}

#[test]
fn flags_of_the_model_are_compared_with_its_classes() {
    let mut answers = base();
    answers.set_text("jurisdictions", "EU").unwrap();
    answers.set_text("general_model", "true").unwrap();
    answers.set_text("training_flop", "3e24").unwrap();
    let claims = [("general_purpose", false.into()), ("systemic_risk", true.into())];
    let found = members(&answers, &claims);
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("eu.gpai (Art. 3(63); Guidelines para 17) is yes"), "{}", found[0]);
    assert!(found[1].contains("eu.gpai.systemic (Art. 51(1)-(2)) is no"), "{}", found[1]);
    assert!(members(&answers, &[("general_purpose", true.into()), ("systemic_risk", false.into())]).is_empty());
}

#[test]
fn a_fact_said_twice_must_be_the_same() {
    let (answers, _) = example("customer-service-bot");
    let found = members(&answers, &[("audience", "internal".into()), ("role", "deployer".into())]);
    assert_eq!(
        found,
        ["the case claims `system.audience = \"internal\"`; the scenario answers `use.audience = \"public\"`"]
    );
}

#[test]
fn no_claim_is_judged_where_the_regime_does_not_apply() {
    let mut answers = base();
    answers.set_text("jurisdictions", "CN").unwrap();
    let claims = [("risk_class", "high".into()), ("risk_route", "annex-i".into()), ("general_purpose", true.into())];
    assert!(members(&answers, &claims).is_empty());
    answers.set_text("jurisdictions", "CN, EU").unwrap();
    assert_eq!(members(&answers, &claims).len(), 3);
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let errors = ScenarioFile::read("s.toml", text).unwrap_err();
    assert_eq!(format!("{}:{}: {}", errors[0].line, errors[0].column, errors[0].message), expected);
}

#[test]
fn a_scenario_file_is_read_strictly() {
    refused("[use]\nfunktions = []\n", "2:1: no fact `use.funktions`");
    refused("[use]\nrole = \"owner\"\n", "2:8: expected `provider`, `deployer` or `modifier`, found \"owner\"");
    refused("[use]\nprofiling = \"yes\"\n", "2:13: expected true or false, found string");
    refused("[use]\nminors = true\nminors = false\n", "3:1: duplicate key");
    refused("titel = \"x\"\n[use]\n", "1:1: unknown field `titel`");
    refused("title = \"x\"\n", "1:1: expected the field `use`");
    refused("[use]\nmonthly_users = -1\n", "2:17: expected a count such as `100000`, found -1");
}

#[test]
fn a_typed_answer_says_what_it_takes() {
    let mut answers = Answers::new();
    let error = |result: Result<(), policy::scenario::AnswerError>| result.unwrap_err().to_string();
    assert_eq!(error(answers.set_text("functons", "none")), "no fact `use.functons`; did you mean `functions`?");
    assert_eq!(
        error(answers.set_text("use.profiling", "maybe")),
        "expected `true` or `false` for `use.profiling`, found `maybe`"
    );
    assert_eq!(
        error(answers.set_text("on_market", "soon")),
        "expected a date such as `2026-08-02` for `use.on_market`, found `soon`"
    );
    answers.set_text("use.jurisdictions", "US-CA, EU").unwrap();
    assert_eq!(answers.get("jurisdictions").unwrap().to_string(), "[\"EU\", \"US-CA\"]");
    answers.set_text("functions", "none").unwrap();
    assert_eq!(answers.get("use.functions"), Some(&Value::List(Vec::new())));
}

const HEAD: &str = "schema = 1\nregime = \"house\"\ninstrument = \"House\"\n";

fn class_errors(body: &str) -> Vec<String> {
    let files = [("house.toml".to_owned(), format!("{HEAD}{body}"))];
    Classes::compile(&files).unwrap_err().iter().map(|error| format!("{}: {}", error.code, error.message)).collect()
}

#[test]
fn a_class_file_is_refused_with_its_reason() {
    let class = |id: &str, when: &str| {
        format!(
            "[[class]]\nid = \"{id}\"\ntitle = \"t\"\nwhen = '{when}'\ncite = [{{ locator = \"1\", says = \"s\", confirmed = \"yes\" }}]\n"
        )
    };
    let errors =
        |parts: &[(&str, &str)]| class_errors(&parts.iter().map(|(id, when)| class(id, when)).collect::<String>());
    assert_eq!(errors(&[("a", "class.b"), ("b", "class.a")]), ["cycle: classes ask for one another in a circle"]);
    assert_eq!(errors(&[("a", "class.c")]), ["unknown-class: no class `c`"]);
    assert_eq!(errors(&[("a", "use.minors"), ("a", "!use.minors")]), ["duplicate: the id `a` is already taken"]);
    let unknown = "unknown-fact: no fact `use.minor`; a class asks for `use.<fact>` or `class.<id>`";
    assert_eq!(errors(&[("a", "use.minor")]), [unknown]);
    assert_eq!(errors(&[("a", "system.interacts")])[0].split(':').next(), Some("unknown-fact"));
    assert_eq!(errors(&[("a", "use.monthly_users > 1.0")]), ["type: expected int beside `>`, found decimal"]);
    assert_eq!(errors(&[("a", "has(use.minors)")]), ["has: `has` may stand only in `pass_when`, un-negated"]);
    assert_eq!(errors(&[("1a", "use.minors")])[0].split(':').next(), Some("field-value"));
}

/// The classes stand beside the cards and are none of them.
#[test]
fn rules_that_a_class_brings_in_are_cards_or_named_as_missing() {
    let mut ids = BTreeSet::new();
    for pack in ["eu-ai-act", "cn-genai", "us-states", "kr"] {
        let files: Vec<_> =
            toml_files(&format!("{ROOT}/packs/{pack}")).into_iter().filter(|(name, _)| name != "pack.toml").collect();
        let compiled = Pack::compile(pack, &files).unwrap_or_else(|errors| panic!("{}", errors[0]));
        ids.extend(compiled.cards().iter().map(|card| card.id.clone()));
    }
    let known: BTreeSet<&str> = WITHOUT_CARD.iter().copied().collect();
    for class in CLASSES.classes() {
        for rule in &class.rules {
            assert!(ids.contains(rule) || known.contains(rule.as_str()), "{}: {rule}", class.id);
        }
    }
}

/// Rules of the regimes that may be without a card; a card that comes later needs no change here.
const WITHOUT_CARD: [&str; 30] = [
    "eu.art5.h.rt-rbi",
    "eu.art6.1.product",
    "eu.art6.3.derogation",
    "eu.art9.9.minors",
    "eu.art15.4.robust",
    "eu.art20.corrective",
    "eu.art26.logs6m",
    "eu.art26.monitor",
    "eu.art27.fria",
    "eu.art50.3.emotion-notice",
    "eu.art50.4.deepfake",
    "eu.gpai.55a.evals",
    "eu.gpai.55b.mitigate",
    "eu.gpai.55c.incidents",
    "eu.gpai.55d.cyber",
    "cn.im.art2.scope",
    "cn.im.art12.label",
    "cn.gb45438.image",
    "cn.gb45438.audio",
    "cn.gb45438.video",
    "cn.anthro.scope",
    "cn.anthro.crisis",
    "cn.anthro.filing",
    "cn.anthro.minors",
    "us.ca.sb53.large",
    "us.ca.sb53.quarterly",
    "us.ca.sb53.whistle",
    "us.co.26-189",
    "us.nyc.ll144",
    "eu.art4a.bias-data",
];
