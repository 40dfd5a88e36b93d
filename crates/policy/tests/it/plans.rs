//! The plan against the interpreter where its rows of bits could go wrong: lists, places of values, word borders, limits.

use crate::support::{DAY, compile, compile_all};
use crate::traffic;
use crate::worlds::Dice;
use policy::expr::{LIST_MAX, Value};
use policy::{CardState, Mode, Pack, Plan, PlanError, Point, Request, Rules, System, decide_request};

/// A card that says when it applies, and when it owes its one obligation.
fn card(at: usize, applies: &str, when: &str, does: &str) -> String {
    let when = if when.is_empty() { String::new() } else { format!("when = '{when}', ") };
    let on_error = ["allow", "hold", "block"][at % 3];
    format!(
        "schema = 1\nid = \"guard.{at}\"\nversion = \"1.0.0\"\nkind = \"enforce\"\nseverity = \"low\"\nowner = \"o\"\n\
         title = \"t\"\nremedy = \"r\"\non = \"output\"\non_error = \"{on_error}\"\napplies = '{applies}'\n\
         force = [{{ from = 2026-01-01, source = \"x\" }}]\noblige = [{{ {when}do = [\"{does}\"] }}]\n\
         cite = [{{ instrument = \"i\", locator = \"l\", says = \"s\", confirmed = \"yes\" }}]\n"
    )
}

/// The cards in three packs, of which the second only reports.
fn rules(cards: &[String]) -> Rules {
    let packs = cards.chunks(cards.len().div_ceil(3)).zip(["a", "b", "c"]).map(|(texts, name)| {
        let files: Vec<_> = texts.iter().enumerate().map(|(at, text)| (format!("{at}.toml"), text.clone())).collect();
        let pack = Pack::compile(name, &files).unwrap_or_else(|errors| panic!("{}", errors[0]));
        (pack, if name == "b" { Mode::Report } else { Mode::Enforce })
    });
    Rules::new(packs.collect())
}

/// What a request may hold at one member: nothing, a failure, or a value.
type Held = Option<Option<Value>>;

fn request(members: &[(&str, Held)]) -> Request {
    let mut request = Request::new(Point::Output);
    for (path, held) in members {
        match held {
            None => {}
            Some(None) => request.fail(path).unwrap(),
            Some(Some(value)) => request.set(path, value.clone()).unwrap(),
        }
    }
    request
}

/// Compares plan and interpreter on every pair of values of two members; gives how often a card came to each state.
fn compare(rules: &Rules, (a, of_a): (&str, &[Held]), (b, of_b): (&str, &[Held])) -> [usize; 3] {
    let system = System::new();
    let plan = Plan::compile(rules, &system, DAY).unwrap();
    let mut seen = [0; 3];
    for a_held in of_a {
        for b_held in of_b {
            let request = request(&[(a, a_held.clone()), (b, b_held.clone())]);
            let expected = decide_request(rules, &system, &request, DAY);
            assert_eq!(plan.decide(&request), expected, "{request:?}");
            for (n, state) in
                seen.iter_mut().zip([CardState::InForce, CardState::InsufficientEvidence, CardState::Error])
            {
                *n += expected.acted.iter().filter(|acted| acted.state == state).count();
            }
        }
    }
    seen
}

/// Every way to say something of a list that the rows treat apart: what one element settles, what takes all of them, what takes
/// two, alone and beside another member.
const OF_A_LIST: [&str; 16] = [
    r#""a" in response.detected"#,
    r#"!("a" in response.detected)"#,
    r#""a" in response.detected && "b" in response.detected"#,
    r#""a" in response.detected || "b" in response.detected"#,
    r#"!("a" in response.detected || "b" in response.detected)"#,
    r#"!("a" in response.detected && "b" in response.detected)"#,
    r#"!("a" in response.detected) || "b" in response.detected"#,
    r#""a" in response.detected && !("b" in response.detected)"#,
    r#"response.detected.exists(x, x in ["a", "b"])"#,
    r#"!response.detected.exists(x, x in ["a", "b"]) && !("c" in response.detected)"#,
    r#"response.detected.all(x, x != "a")"#,
    r#"size(response.detected) > 1 && "a" in response.detected"#,
    r#""a" in response.detected && request.tenant == "t""#,
    r#""a" in response.detected || request.tenant == "t""#,
    r#"!("a" in response.detected || request.tenant == "t") && !("b" in response.detected)"#,
    r#"("a" in response.detected && request.tenant == "t") || ("a" in response.detected && "b" in response.detected)"#,
];

#[test]
fn lists_of_any_known_and_unknown_elements() {
    let mut cards = Vec::new();
    for (at, condition) in OF_A_LIST.iter().enumerate() {
        cards.push(card(3 * at, condition, "", "redact:list"));
        cards.push(card(3 * at + 1, r#"request.tenant == "t""#, condition, &format!("hold:h{at}")));
        cards.push(card(3 * at + 2, condition, OF_A_LIST[(at + 5) % OF_A_LIST.len()], "block"));
    }
    // Every choice of three known elements and two that no card names, each up to twice, both ways round.
    let names = ["a", "b", "c", "x", "aa"];
    let mut lists: Vec<Held> = vec![None, Some(None)];
    for chosen in 0..3_usize.pow(5) {
        let times = |at: usize| chosen / 3_usize.pow(at as u32) % 3;
        let mut list: Vec<Value> =
            (0..5).flat_map(|at| std::iter::repeat_n(Value::from(names[at]), times(at))).collect();
        lists.push(Some(Some(Value::List(list.clone()))));
        list.reverse();
        lists.push(Some(Some(Value::List(list))));
    }
    for n in [LIST_MAX, LIST_MAX + 1] {
        lists.push(Some(Some(Value::List(vec!["a".into(); n]))));
    }
    let tenants = [None, Some(None), Some(Some("t".into())), Some(Some("u".into()))];
    let seen = compare(&rules(&cards), ("response.detected", &lists), ("request.tenant", &tenants));
    assert!(seen.iter().all(|n| *n > 100), "{seen:?}");
}

/// Places of values: at, beside and between those that cards name, for texts with and without an order.
#[test]
fn values_beside_those_that_cards_name() {
    let long = "a tenant with a name of more than sixteen bytes";
    let conditions = [
        r#"request.tenant == """#.to_owned(),
        r#"request.tenant != "b""#.to_owned(),
        r#"!(request.tenant in ["b", "bb", "ä"])"#.to_owned(),
        format!("request.tenant == \"{long}\""),
        format!("request.tenant in [\"{long}s\", \"b\"] || response.risk < 0.5"),
        "response.risk >= 0.50 && response.risk != 0.75".to_owned(),
        "!(response.risk > 0.5) && request.tenant != \"b\"".to_owned(),
        "response.risk <= 0.0 || response.risk == 1.0".to_owned(),
    ];
    let ordered = [r#"request.tenant < "b""#.to_owned(), r#""bb" <= request.tenant"#.to_owned()];
    let words = ["", "a", "b", "ba", "bb", "bc", "ä", "a\u{308}", "0123456", "01234567", long, "a tenant with"];
    let mut tenants: Vec<Held> = words.map(|word| Some(Some(word.into()))).to_vec();
    tenants.extend([None, Some(None)]);
    let mut risks: Vec<Held> = ["0", "0.25", "0.5", "0.500", "0.75", "1", "1.5", "-1"]
        .map(|risk| Some(Some(Value::Decimal(risk.parse().unwrap()))))
        .to_vec();
    risks.extend([None, Some(None)]);
    for with_order in [false, true] {
        let conditions: Vec<&String> = conditions.iter().chain(ordered.iter().filter(|_| with_order)).collect();
        let mut cards = Vec::new();
        for (at, condition) in conditions.iter().enumerate() {
            cards.push(card(2 * at, condition, "", "redact:value"));
            cards.push(card(2 * at + 1, "response.risk != 0.25", condition, &format!("hold:h{at}")));
        }
        let seen = compare(&rules(&cards), ("request.tenant", &tenants), ("response.risk", &risks));
        assert!(seen.iter().all(|n| *n > 100), "{seen:?}");
    }
}

/// Cards at the borders of the words that hold them, and conditions behind.
#[test]
fn any_number_of_cards() {
    for n in [1, 2, 63, 64, 65, 127, 128, 129] {
        let cards: Vec<String> = (0..n)
            .map(|at| {
                card(at, &format!("request.tenant == \"t-{}\"", at % 3), "request.stream", &format!("hold:h{at}"))
            })
            .collect();
        let tenants = ["t-0", "t-1", "t-2", "t-3"].map(|tenant| Some(Some(tenant.into())));
        let streams = [None, Some(None), Some(Some(true.into())), Some(Some(false.into()))];
        compare(&rules(&cards), ("request.tenant", &tenants), ("request.stream", &streams));
    }
}

/// Plans whose tables are the large ones, of roots and of answers.
#[test]
fn a_plan_beyond_the_small_tables_says_what_the_interpreter_says() {
    let mut dice = Dice(21);
    let mut cards: Vec<String> = (0..1300).map(|at| traffic::scoped_card(&mut dice, at)).collect();
    cards.extend((1300..1900).map(|at| traffic::card(&mut dice, at)));
    let rules = Rules::new(vec![(compile_all(&cards.iter().map(String::as_str).collect::<Vec<_>>()), Mode::Enforce)]);
    let system = traffic::system(&mut dice);
    let plan = Plan::compile(&rules, &system, DAY).unwrap();
    assert!(plan.n_conditions(Point::Output) > 1024 && plan.n_cards(Point::Output) > 1024);
    for at in 0..300 {
        let request = match at % 2 {
            0 => traffic::request(&mut dice, Point::Output),
            _ => traffic::whole_request(&mut dice, Point::Output),
        };
        assert_eq!(plan.decide(&request), decide_request(&rules, &system, &request, DAY), "{request:?}");
    }
}

#[test]
fn a_plan_without_cards_allows() {
    let rules = Rules::new(vec![(
        compile(&card(0, "request.stream", "", "block").replace("\"output\"", "\"tool\"")),
        Mode::Enforce,
    )]);
    let plan = Plan::compile(&rules, &System::new(), DAY).unwrap();
    for point in Point::ALL {
        let request = Request::new(point);
        assert_eq!(plan.decide(&request), decide_request(&rules, &System::new(), &request, DAY));
    }
}

#[test]
fn a_plan_says_which_limit_was_passed() {
    let compiled = |n: usize, applies: &dyn Fn(usize) -> String, does: &dyn Fn(usize) -> String| {
        let cards: Vec<String> = (0..n).map(|at| card(at, &applies(at), "", &does(at))).collect();
        Plan::compile(&rules(&cards), &System::new(), DAY).map(|plan| plan.n_cards(Point::Output))
    };
    let (stream, block) = (|_| "request.stream".to_owned(), |_| "block".to_owned());
    assert_eq!(compiled(4096, &stream, &block), Ok(4096));
    assert_eq!(compiled(4097, &stream, &block), Err(PlanError::Cards { point: "output", found: 4097 }));
    let own = |at: usize| format!("hold:h{at}");
    assert_eq!(compiled(512, &stream, &own), Ok(512));
    assert_eq!(compiled(513, &stream, &own), Err(PlanError::Obligations(513)));
    let many = |at: usize| {
        let parts: Vec<String> = (0..10).map(|part| format!("request.n_tokens == {}", 10 * at + part)).collect();
        parts.join(" || ")
    };
    assert_eq!(compiled(800, &many, &block), Err(PlanError::Nodes { point: "output" }));
}
