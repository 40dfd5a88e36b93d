//! The calendar of a case: what turns on which day, held against deciding every day anew.

use crate::calendar::shipped;
use crate::support::{CARD, DAY, bank, card_with, compile, declaration, facts, rules, system};
use evidence::{Declared, Digest};
use jiff::civil::{Date, date};
use policy::expr::Value;
use policy::{Calendar, Facts, Mode, Outcome, Rules, System, Turned, Version, Waiver, calendar, calendar_end, decide};
use std::collections::BTreeSet;

fn of(rules: &Rules, system: &System, facts: &Facts) -> Calendar {
    calendar(rules, system, facts, DAY, calendar_end(DAY))
}

/// Day, change, rule, certainty and outcome of each event.
fn said(calendar: &Calendar) -> Vec<String> {
    let line = |event: &policy::Event| {
        let sure = if event.is_certain { "" } else { " perhaps" };
        let outcome = event.outcome.map_or("per request", Outcome::name);
        format!("{} {} {}{sure}: {outcome} ({})", event.day, event.turned.name(), event.rule, event.source)
    };
    calendar.events.iter().map(line).collect()
}

#[test]
fn windows_begin_change_and_end() {
    let good = facts(&[bank("0.96", "0.98", "0.99")]);
    assert_eq!(said(&of(&rules(CARD), &system(), &good)), ["2027-01-01 ends house.refuse: pass (house)"]);
    let later = card_with(&[(
        "[[needs]]",
        "[[force]]\nfrom = 2027-01-01\nuntil = 2028-01-01\nsource = \"second reading\"\n\n[[force]]\nfrom = 2028-06-01\nsource = \"third\"\n\n[[needs]]",
    )]);
    assert_eq!(
        said(&of(&rules(&later), &system(), &good)),
        [
            "2027-01-01 changes house.refuse: pass (second reading)",
            "2028-01-01 ends house.refuse: pass (second reading)",
            "2028-06-01 begins house.refuse: pass (third)"
        ]
    );
    // Three years on is the last day that counts, and today is none of them.
    for (from, expected) in [("2026-11-23", 0), ("2026-11-24", 1), ("2029-11-23", 1), ("2029-11-24", 0)] {
        let one = card_with(&[("from   = 2026-01-01\nuntil  = 2027-01-01", &format!("from   = {from}"))]);
        assert_eq!(of(&rules(&one), &system(), &good).events.len(), expected, "{from}");
    }
}

#[test]
fn a_grace_ends_where_it_is_known_to_run() {
    let grace = "source = \"house\"\ngrace  = [{ when = 'system.on_market < timestamp(\"2026-01-01T00:00:00Z\")', until = 2027-06-01, source = \"old ones\" }]\n\n[[needs]]";
    let card = card_with(&[("until  = 2027-01-01\n", ""), ("source = \"house\"\n\n[[needs]]", grace)]);
    let mut old = system();
    old.set("on_market", Value::Timestamp("2025-05-01T00:00:00Z".parse().unwrap())).unwrap();
    let failing = facts(&[bank("0.90", "0.92", "0.94")]);
    assert_eq!(said(&of(&rules(&card), &old, &failing)), ["2027-06-01 begins house.refuse: fail (old ones)"]);
    // Nobody said when it came: no grace, so it is in force already and nothing is ahead.
    assert_eq!(said(&of(&rules(&card), &system(), &failing)), Vec::<String>::new());
}

#[test]
fn what_may_apply_is_marked_and_what_does_not_is_left_out() {
    let nowhere = System::new();
    assert_eq!(
        said(&of(&rules(CARD), &nowhere, &Facts::new())),
        ["2027-01-01 ends house.refuse perhaps: insufficient-evidence (house)"]
    );
    let mut elsewhere = system();
    elsewhere.set("jurisdictions", Value::List(vec!["EU".into()])).unwrap();
    assert_eq!(said(&of(&rules(CARD), &elsewhere, &Facts::new())), Vec::<String>::new());
    // A date that hangs on what nobody said.
    let dated = card_with(&[("from   = 2026-01-01", "when   = 'system.role == \"provider\"'\nfrom   = 2026-01-01")]);
    assert_eq!(
        said(&of(&rules(&dated), &system(), &facts(&[bank("0.96", "0.98", "0.99")]))),
        ["2027-01-01 ends house.refuse perhaps: pass (house)"]
    );
}

#[test]
fn answers_and_waivers_run_out() {
    let card = r#"schema = 1
id = "house.policy"
version = "1.0.0"
kind = "attest"
severity = "high"
owner = "legal"
title = "There is a copyright policy"
applies = 'true'
pass_when = 'doc.copyright_policy.present'
fail_when = '!doc.copyright_policy.present'
remedy = "Write one."
cite = [{ instrument = "House rules", locator = "1", says = "one", confirmed = "yes" }]
force = [{ from = 2026-01-01, source = "house" }]
needs = [{ fact = "doc.copyright_policy", type = "document", max_age_days = 365, min_provenance = "declared" }]
"#;
    let mut answered = Facts::new();
    answered.declare(&declaration("doc.copyright_policy", Declared::Flag(false)), Digest::of(b"envelope"));
    let mut rules = Rules::new(vec![(compile(card), Mode::Enforce)]);
    let answer = "2027-06-01 answer-ends house.policy: fail (doc.copyright_policy)";
    assert_eq!(said(&of(&rules, &system(), &answered)), [answer]);
    rules.waivers = vec![Waiver {
        rule: "house.policy".to_owned(),
        from_version: Version(1, 0, 0),
        below_version: Version(2, 0, 0),
        scope: "play-writer".to_owned(),
        subject: None,
        reason: "being written".to_owned(),
        compensating: "nothing is crawled".to_owned(),
        author: "legal".to_owned(),
        approvers: vec!["release".to_owned(), "board".to_owned()],
        granted: date(2026, 11, 1),
        expires: date(2027, 3, 1),
    }];
    let waiver = "2027-03-01 waiver-ends house.policy: fail (being written)";
    assert_eq!(said(&of(&rules, &system(), &answered)), [waiver, answer]);
    // A waiver that does nothing does not end either.
    rules.waivers[0].approvers.clear();
    assert_eq!(said(&of(&rules, &system(), &answered)), [answer]);
}

/// Deciding each of the 1,096 days anew says which rules came into force or left it; the calendar must say the same, no more, no less.
#[test]
fn it_agrees_with_deciding_every_day() {
    let names = ["eu-ai-act", "cn-genai", "us-states", "us-federal", "kr", "nist-ai-rmf", "iso-42001", "intl"];
    let rules = Rules::new(names.map(|name| (shipped(name), Mode::Report)).into());
    let moment = |day: &str| Value::Timestamp(format!("{day}T00:00:00Z").parse().unwrap());
    let places: Value = Value::List(["EU", "CN", "KR", "US-NY", "US-CO", "US-IL"].map(Into::into).into());
    let mut n_events = 0;
    for (role, class, route, on_market) in [
        ("provider", "high", "annex-iii", Some("2025-03-01")),
        ("deployer", "high", "annex-i", Some("2027-01-01")),
        ("provider", "limited", "annex-iii", None),
    ] {
        let mut system = System::new();
        for (name, value) in [("jurisdictions", places.clone()), ("role", role.into()), ("risk_class", class.into())] {
            system.set(name, value).unwrap();
        }
        system.set("risk_route", route.into()).unwrap();
        on_market.into_iter().for_each(|day| system.set("on_market", moment(day)).unwrap());
        let calendar = of(&rules, &system, &Facts::new());
        let of_rules = calendar.events.iter().filter(|event| matches!(event.turned, Turned::Begins | Turned::Ends));
        let told: BTreeSet<(Date, &str, bool)> =
            of_rules.map(|event| (event.day, event.rule.as_str(), event.turned == Turned::Begins)).collect();
        let in_force = |day: Date| -> BTreeSet<String> {
            let decision = decide(&rules, None, &system, &Facts::new(), day);
            let is_in = |outcome| !matches!(outcome, Outcome::NotInForce | Outcome::NotApplicable);
            let held = decision.verdicts.iter().filter(|verdict| is_in(verdict.finding.outcome));
            held.map(|verdict| verdict.rule().to_owned()).collect()
        };
        let (mut day, mut before) = (DAY, in_force(DAY));
        let mut found: BTreeSet<(Date, String, bool)> = BTreeSet::new();
        while day < calendar_end(DAY) {
            day = day.tomorrow().unwrap();
            let now = in_force(day);
            found.extend(now.difference(&before).map(|rule| (day, rule.clone(), true)));
            found.extend(before.difference(&now).map(|rule| (day, rule.clone(), false)));
            before = now;
        }
        assert_eq!(
            found.iter().map(|(day, rule, begins)| (*day, rule.as_str(), *begins)).collect::<BTreeSet<_>>(),
            told
        );
        n_events += told.len();
    }
    assert!(n_events > 60, "{n_events}");
}
