//! Cards that are decided per request: how they are refused, what they say, and that the plan says the same.

use crate::support::{DAY, compile, compile_all, problems};
use crate::traffic;
use crate::worlds::Dice;
use jiff::civil::{Date, date};
use policy::expr::Value;
use policy::{
    CardState, Mode, Pack, Plan, Point, Request, RequestDecision, RequestEffect, Rules, System, decide_request,
};
use std::collections::BTreeMap;

const GUARD: &str = r#"schema    = 1
id        = "house.label"
version   = "2.0.0"
kind      = "enforce"
severity  = "high"
owner     = "serving"
title     = "Generated text leaves marked as generated"
on        = "output"
applies   = 'request.scenario.audience == "public" && response.kind in ["text", "file"]'
remedy    = "Turn the label template on."
cite      = [{ instrument = "House rules", locator = "1", says = "text is labelled", confirmed = "yes" }]
force     = [
  { when = '"CN" in system.jurisdictions', from = 2025-09-01, source = "house" },
  { when = '"EU" in system.jurisdictions', from = 2026-08-02, source = "house", grace = [{ when = 'system.on_market < timestamp("2026-08-02T00:00:00Z")', until = 2026-12-02, source = "house" }] },
]
oblige    = [
  { when = '"CN" in system.jurisdictions', unless = 'request.scenario.recipient_agreement', do = ["label.visible:cn-text"] },
  { when = '"CN" in system.jurisdictions && request.scenario.recipient_agreement', do = ["log.recipient:184d"] },
  { when = '"EU" in system.jurisdictions', do = ["label.machine-readable:eu-50-2"] },
  { when = '"illegal" in response.detected', do = ["block:illegal"] },
]
"#;

fn guard_with(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(GUARD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` does not stand in the card");
        text.replacen(from, to, 1)
    })
}

fn rules(text: &str) -> Rules {
    Rules::new(vec![(compile(text), Mode::Enforce)])
}

fn offered_in(jurisdictions: &[&str]) -> System {
    let mut system = System::new();
    system.set("jurisdictions", Value::List(jurisdictions.iter().map(|name| Value::from(*name)).collect())).unwrap();
    system
}

fn answer(members: &[(&str, Value)]) -> Request {
    let mut request = Request::new(Point::Output);
    members.iter().for_each(|(path, value)| request.set(path, value.clone()).unwrap());
    request
}

fn public_text(is_agreed: bool) -> Vec<(&'static str, Value)> {
    vec![
        ("request.scenario.audience", "public".into()),
        ("request.scenario.recipient_agreement", is_agreed.into()),
        ("response.kind", "text".into()),
        ("response.detected", Value::List(Vec::new())),
    ]
}

fn without(mut members: Vec<(&'static str, Value)>, path: &str) -> Vec<(&'static str, Value)> {
    members.retain(|(known, _)| *known != path);
    members
}

fn said(decision: &RequestDecision<'_>) -> String {
    let obligations: Vec<&str> = decision.obligations.iter().map(|obligation| obligation.text()).collect();
    let states: Vec<&str> = decision.acted.iter().map(|acted| acted.state.name()).collect();
    format!("{} [{}] {}", decision.effect.name(), obligations.join(" "), states.join(" "))
}

/// The interpreter's answer, and the plan's, which must be the same.
#[track_caller]
fn check(card: &str, system: &System, members: &[(&str, Value)], as_of: Date, expected: &str) {
    let (rules, request) = (rules(card), answer(members));
    let decision = decide_request(&rules, system, &request, as_of);
    assert_eq!(said(&decision), expected);
    assert_eq!(Plan::compile(&rules, system, as_of).unwrap().decide(&request), decision);
}

#[test]
fn obligations_are_those_that_are_owed() {
    let (cn, both) = (offered_in(&["CN"]), offered_in(&["CN", "EU"]));
    check(GUARD, &cn, &public_text(false), DAY, "allow [label.visible:cn-text] in-force");
    check(GUARD, &cn, &public_text(true), DAY, "allow [log.recipient:184d] in-force");
    check(
        GUARD,
        &both,
        &public_text(false),
        DAY,
        "allow [label.machine-readable:eu-50-2 label.visible:cn-text] in-force",
    );
    let internal = [("request.scenario.audience", "internal".into()), ("response.kind", "text".into())];
    check(GUARD, &cn, &internal, DAY, "allow [] ");
}

#[test]
fn windows_and_grace_hold_per_request() {
    let mut old = offered_in(&["EU"]);
    let owed = "allow [label.machine-readable:eu-50-2] in-force";
    check(GUARD, &old, &public_text(false), date(2026, 8, 1), "allow [] ");
    check(GUARD, &old, &public_text(false), date(2026, 8, 2), owed);
    old.set("on_market", Value::Timestamp("2026-08-01T23:59:59Z".parse().unwrap())).unwrap();
    check(GUARD, &old, &public_text(false), date(2026, 12, 1), "allow [] ");
    check(GUARD, &old, &public_text(false), date(2026, 12, 2), owed);
}

#[test]
fn what_is_not_known_blocks_unless_the_card_says_otherwise() {
    let cn = offered_in(&["CN"]);
    let unknown = without(public_text(false), "response.kind");
    check(GUARD, &cn, &unknown, DAY, "block [label.visible:cn-text] insufficient-evidence");
    for (on_error, effect) in [("allow", "allow"), ("hold", "hold"), ("block", "block")] {
        let card = guard_with(&[("on        =", &format!("on_error = \"{on_error}\"\non        ="))]);
        check(&card, &cn, &unknown, DAY, &format!("{effect} [label.visible:cn-text] insufficient-evidence"));
    }
    // The agreement is not known: it does not lift, and both duties are done.
    let agreement = without(public_text(true), "request.scenario.recipient_agreement");
    check(GUARD, &cn, &agreement, DAY, "allow [label.visible:cn-text log.recipient:184d] in-force");
    // Nobody has looked at the answer: it may be illegal.
    check(
        GUARD,
        &cn,
        &without(public_text(false), "response.detected"),
        DAY,
        "block [block:illegal label.visible:cn-text] in-force",
    );
}

#[test]
fn a_detector_that_failed_does_what_the_card_says() {
    let cn = offered_in(&["CN"]);
    for (on_error, effect) in
        [("block", RequestEffect::Block), ("hold", RequestEffect::Hold), ("allow", RequestEffect::Redact)]
    {
        let card = guard_with(&[
            ("on        =", &format!("on_error = \"{on_error}\"\non        =")),
            ("block:illegal", "redact:illegal"),
        ]);
        let (rules, mut request) = (rules(&card), answer(&public_text(false)));
        request.fail("response.detected").unwrap();
        let decision = decide_request(&rules, &cn, &request, DAY);
        assert_eq!((decision.effect, decision.acted[0].state), (effect, CardState::Error));
        assert_eq!(Plan::compile(&rules, &cn, DAY).unwrap().decide(&request), decision);
    }
}

#[test]
fn block_beats_hold_beats_redact_beats_allow() {
    let order = ["notice:ai", "redact:secret", "hold:review", "block"];
    let cn = offered_in(&["CN"]);
    for (at, effect) in ["allow", "redact", "hold", "block"].into_iter().enumerate() {
        let cards: Vec<String> = order[..=at]
            .iter()
            .enumerate()
            .map(|(n, does)| guard_with(&[("house.label", &format!("house.{n}")), ("label.visible:cn-text", does)]))
            .collect();
        let pack = compile_all(&cards.iter().map(String::as_str).collect::<Vec<_>>());
        let rules = Rules::new(vec![(pack, Mode::Enforce)]);
        assert_eq!(decide_request(&rules, &cn, &answer(&public_text(false)), DAY).effect.name(), effect);
    }
}

#[test]
fn a_rule_in_report_mode_changes_nothing_and_is_recorded() {
    let cn = offered_in(&["CN"]);
    let request = answer(&without(public_text(false), "response.kind"));
    let reported = Rules::new(vec![(compile(GUARD), Mode::Report)]);
    let unconfirmed = rules(&guard_with(&[("confirmed = \"yes\"", "confirmed = \"part\"")]));
    for rules in [reported, unconfirmed] {
        let decision = decide_request(&rules, &cn, &request, DAY);
        assert_eq!(
            decision.to_json().canonical(),
            r#"{"effect":"allow","obligations":[],"on":"output","reported":["label.visible:cn-text"],"reportedEffect":"block","rules":[{"effect":"block","mode":"report","pack":"house","rule":"house.label","state":"insufficient-evidence","version":"2.0.0"}],"streaming":"first-safe-boundary"}"#
        );
        assert_eq!(Plan::compile(&rules, &cn, DAY).unwrap().decide(&request), decision);
    }
}

#[test]
fn a_pack_of_both_kinds_decides_each_where_it_belongs() {
    let pack = compile_all(&[crate::support::CARD, GUARD]);
    assert_eq!((pack.cards().len(), pack.enforce_cards().len()), (1, 1));
    let twice =
        Pack::compile("house", &[("a".to_owned(), GUARD.to_owned()), ("b".to_owned(), GUARD.to_owned())]).unwrap_err();
    assert_eq!(twice[0].code, "duplicate");
}

#[test]
fn bad_guards_are_refused() {
    let refused = |changes: &[(&str, &str)]| problems(&guard_with(changes));
    assert_eq!(
        refused(&[("request.scenario.audience ==", "request.scenario.audiense ==")]),
        r#"error[unknown-fact]: rule `house.label`
  ┌─ house/refuse.toml:9:14
9 │ applies   = 'request.scenario.audiense == "public" && response.kind in ["text", "file"]'
  │              ^^^^^^^^^^^^^^^^^^^^^^^^^ no member `request.scenario.audiense` of a request
  = hint: did you mean `request.scenario.audience`?"#
    );
    assert_eq!(
        refused(&[("response.kind in [\"text\", \"file\"]", "response.kind > 3")]),
        r#"error[type]: rule `house.label`
  ┌─ house/refuse.toml:9:71
9 │ applies   = 'request.scenario.audience == "public" && response.kind > 3'
  │                                                                       ^ expected text beside `>`, found int"#
    );
    assert_eq!(
        refused(&[("on        = \"output\"", "on        = \"input\"")])
            .matches("is not known yet at the point `input`")
            .count(),
        2
    );
    assert!(
        refused(&[("request.scenario.audience == \"public\"", "refusal_bank.value > 0.5")])
            .contains("an `enforce` card has no fact `refusal_bank.value`")
    );
    assert!(
        refused(&[("{ when = '\"CN\" in system.jurisdictions', from", "{ when = 'request.stream', from")])
            .contains("`request.stream` is not known before a request is there; only `system` is")
    );
    assert_eq!(
        refused(&[("\"log.recipient:184d\"", "\"log.recipient:six-months\"")]),
        r#"error[unknown-obligation]: rule `house.label`
   ┌─ house/refuse.toml:18:90
18 │   { when = '"CN" in system.jurisdictions && request.scenario.recipient_agreement', do = ["log.recipient:six-months"] },
   │                                                                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `log.recipient:DAYSd`, such as `log.recipient:184d`, found `log.recipient:six-months`"#
    );
    assert!(
        refused(&[("\"block:illegal\"", "\"blok:illegal\"")])
            .contains("unknown obligation `blok`\n   = hint: did you mean `block`?")
    );
    assert!(refused(&[("owner     =", "gates = [\"release\"]\nowner     =")]).contains("unknown field `gates`"));
    assert!(refused(&[("on        = \"output\"\n", "")]).contains("expected the field `on`"));
    assert!(refused(&[("remedy ", "pass_when = 'true'\nremedy ")]).contains("unknown field `pass_when`"));
}

#[test]
fn tests_of_a_guard_run() {
    let test = |test: &str| {
        let (n, failures) = policy::test(&compile(&format!("{GUARD}{test}")));
        assert_eq!(n, 1);
        failures.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let good = "tests = [{ as_of = 2026-11-23, system = { jurisdictions = [\"EU\"] }, request = { scenario = { audience = \"public\", recipient_agreement = false } }, response = { kind = \"text\", detected = [] }, expect = \"in-force\", oblige = [\"label.machine-readable:eu-50-2\"], effect = \"allow\" }]\n";
    assert_eq!(test(good), Vec::<String>::new());
    assert_eq!(
        test(&good.replace("detected = []", "detected = [\"illegal\"]")),
        [
            "house/0.toml:22: rule `house.label`: expected in-force, effect allow, obligations [label.machine-readable:eu-50-2], \
             found in-force because applies, effect block, obligations [block:illegal, label.machine-readable:eu-50-2]"
        ]
    );
    let failed = good.replace(", detected = []", "").replace(
        "expect = \"in-force\"",
        "failed = [\"response.detected\"], expect = \"error\", because = \"evaluation-error\"",
    );
    let failed = failed
        .replace("effect = \"allow\"", "effect = \"block\"")
        .replace("oblige = [", "oblige = [\"block:illegal\", ");
    assert_eq!(test(&failed), Vec::<String>::new());
}

/// 500 sets of cards, 60 requests each: 30,000 requests, the plan against the interpreter.
#[test]
fn the_plan_says_what_the_interpreter_says() {
    let mut n = 0;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..500 {
        let mut dice = Dice(seed);
        let cards: Vec<String> = (0..1 + dice.below(12)).map(|at| traffic::card(&mut dice, at)).collect();
        let pack = compile_all(&cards.iter().map(String::as_str).collect::<Vec<_>>());
        let rules = Rules::new(vec![(pack, Mode::Enforce)]);
        let system = traffic::system(&mut dice);
        let plan = Plan::compile(&rules, &system, DAY).unwrap();
        for _ in 0..60 {
            let point = dice.of(&Point::ALL);
            let request = traffic::request(&mut dice, point);
            let expected = decide_request(&rules, &system, &request, DAY);
            assert_eq!(plan.decide(&request), expected, "seed {seed}, {request:?}");
            *seen.entry(expected.effect.name().to_owned()).or_default() += 1;
            expected.acted.iter().for_each(|acted| *seen.entry(acted.state.name().to_owned()).or_default() += 1);
            n += 1;
        }
    }
    assert_eq!(n, 30_000);
    // Every effect and every state in which a card acts was drawn often.
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(names, ["allow", "block", "error", "hold", "in-force", "insufficient-evidence", "redact"]);
    assert!(seen.values().all(|n| *n > 300), "{seen:?}");
}

/// One large plan of scoped cards, so that the index of each member has many values.
#[test]
fn a_large_plan_says_what_the_interpreter_says() {
    let mut dice = Dice(11);
    let mut cards: Vec<String> = (0..200).map(|at| traffic::scoped_card(&mut dice, at)).collect();
    cards.extend((200..260).map(|at| traffic::card(&mut dice, at)));
    let rules = Rules::new(vec![(compile_all(&cards.iter().map(String::as_str).collect::<Vec<_>>()), Mode::Enforce)]);
    let system = traffic::system(&mut dice);
    let plan = Plan::compile(&rules, &system, DAY).unwrap();
    for at in 0..1500 {
        let point = dice.of(&Point::ALL);
        let request =
            if at % 2 == 0 { traffic::request(&mut dice, point) } else { traffic::whole_request(&mut dice, point) };
        assert_eq!(plan.decide(&request), decide_request(&rules, &system, &request, DAY), "{request:?}");
    }
}

/// A decision takes memory for the lists of its result and nothing else.
#[test]
fn a_decision_allocates_its_result_alone() {
    let mut dice = Dice(12);
    let cards: Vec<String> = (0..100).map(|at| traffic::scoped_card(&mut dice, at)).collect();
    let rules = Rules::new(vec![(compile_all(&cards.iter().map(String::as_str).collect::<Vec<_>>()), Mode::Enforce)]);
    let plan = Plan::compile(&rules, &traffic::system(&mut dice), DAY).unwrap();
    for _ in 0..500 {
        let request = traffic::whole_request(&mut dice, Point::Output);
        let before = crate::ALLOCATED.with(std::cell::Cell::get);
        let decision = plan.decide(&request);
        let n = crate::ALLOCATED.with(std::cell::Cell::get) - before;
        let lists = [decision.obligations.len(), decision.reported.len(), decision.acted.len()];
        assert!(n <= lists.iter().filter(|n| **n > 0).count(), "{n} allocations for {lists:?}");
    }
}

/// Not knowing something never takes an obligation away, and never softens the effect of a card that blocks on error.
#[test]
fn less_known_of_a_request_never_loosens() {
    for seed in 0..600 {
        let mut dice = Dice(seed);
        let point = dice.of(&Point::ALL);
        let card = traffic::card(&mut dice, 0);
        let card = ["allow", "hold"]
            .iter()
            .fold(card, |card, other| card.replace(&format!("on_error = \"{other}\""), "on_error = \"block\""));
        let rules = rules(&card.replace("confirmed = \"part\"", "confirmed = \"yes\""));
        let system = traffic::system(&mut dice);
        let whole = traffic::whole_request(&mut dice, point);
        let before = decide_request(&rules, &system, &whole, DAY);
        for member in &policy::MEMBERS {
            let mut less = whole.clone();
            if less.fail(member.path).is_ok() {
                let after = decide_request(&rules, &system, &less, DAY);
                assert!(after.effect >= before.effect, "seed {seed}: {} softened {card}", member.path);
                assert!(
                    before.obligations.iter().all(|owed| after.obligations.contains(owed)),
                    "seed {seed}: {}",
                    member.path
                );
            }
        }
    }
}
