//! The calendar of the shipped packs but the EU's: what each date changes, the day before it and on the day.

use evidence::{Declaration, Declared, Digest, Interval, Measurement, Provenance, Subject, metric};
use jiff::civil::{Date, date};
use policy::expr::Value;
use policy::{Facts, Mode, Outcome, Pack, Rules, System, decide};
use std::fs;

/// A pack as it ships, from the folder.
pub(crate) fn shipped(name: &str) -> Rules {
    let folder = format!("{}/../../packs/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}")) {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        if file.ends_with(".toml") && file != "pack.toml" {
            files.push((file, fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort();
    let pack = Pack::compile(name, &files).unwrap_or_else(|errors| panic!("{}", errors[0]));
    Rules::new(vec![(pack, Mode::Enforce)])
}

/// Offered everywhere, so that every rule of a pack that binds the role applies.
fn everywhere(role: &str) -> System {
    let places = ["CN", "KR", "JP", "UK", "SG", "US", "US-CA", "US-NY", "US-IL", "US-CO", "US-TX"];
    let texts = |items: &[&str]| Value::List(items.iter().map(|item| Value::from(*item)).collect());
    let mut system = System::new();
    system.set("jurisdictions", texts(&places)).unwrap();
    system.set("role", role.into()).unwrap();
    system.set("audience", "public".into()).unwrap();
    system.set("modalities", texts(&["text", "image", "audio", "video"])).unwrap();
    system.set("opinion_attributes", true.into()).unwrap();
    system.set("modifies_existing", false.into()).unwrap();
    system.set("revenue_usd", Value::Decimal("600000000".parse().unwrap())).unwrap();
    system
}

/// Rules that bind on the day, for a provider or a deployer.
fn in_force(rules: &Rules, day: Date) -> Vec<String> {
    let mut ids: Vec<String> = ["provider", "deployer"]
        .iter()
        .flat_map(|role| {
            let (system, facts) = (everywhere(role), Facts::new());
            let decision = decide(rules, None, &system, &facts, day);
            let binds = |outcome| !matches!(outcome, Outcome::NotInForce | Outcome::NotApplicable);
            let bound = decision.verdicts.iter().filter(|verdict| binds(verdict.finding.outcome));
            bound.map(|verdict| verdict.card.id.clone()).collect::<Vec<_>>()
        })
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

/// Each date brings the rules named, no fewer and no more, and together they are the whole pack.
fn check_calendar(pack: &str, calendar: &[(Date, &[&str])]) {
    let rules = shipped(pack);
    let mut brought = Vec::new();
    for (day, expected) in calendar {
        let before = in_force(&rules, day.yesterday().unwrap());
        let mut new = in_force(&rules, *day);
        assert!(before.iter().all(|id| new.contains(id)), "{pack}: a rule lapses on {day}");
        new.retain(|id| !before.contains(id));
        assert_eq!(new, *expected, "{pack}: what {day} brings");
        brought.extend(new);
    }
    brought.sort();
    let all: Vec<String> = rules.cards().map(|(_, _, card)| card.id.clone()).collect();
    assert_eq!(brought, all, "{pack}: every rule starts on some day of the calendar");
}

#[test]
fn china_by_date() {
    let calendar: [(Date, &[&str]); 6] = [
        (
            date(2023, 8, 15),
            &[
                "cn.im.art12.label",
                "cn.im.art14.stop-retrain",
                "cn.im.art17.filing",
                "cn.im.art2.scope",
                "cn.im.art7.data",
                "cn.im.art8.annotation",
            ],
        ),
        (
            date(2024, 2, 29),
            &[
                "cn.bank.generated",
                "cn.bank.nonrefuse",
                "cn.bank.refuse",
                "cn.corpus.auto",
                "cn.corpus.manual",
                "cn.corpus.source5",
                "cn.eval.generated90",
                "cn.eval.nonrefuse5",
                "cn.eval.refuse95",
                "cn.keywords.size",
                "cn.user.suspend",
            ],
        ),
        (
            date(2025, 9, 1),
            &[
                "cn.gb45438.audio",
                "cn.gb45438.image",
                "cn.gb45438.implicit",
                "cn.gb45438.text",
                "cn.gb45438.video",
                "cn.label.platform",
                "cn.label.unlabelled6m",
            ],
        ),
        (date(2025, 11, 1), &["cn.gbt45652", "cn.gbt45652.source", "cn.gbt45652.usage", "cn.gbt45674", "cn.risks31"]),
        (date(2026, 1, 1), &["cn.csl.logs6m"]),
        (
            date(2026, 7, 15),
            &[
                "cn.anthro.2h",
                "cn.anthro.assess",
                "cn.anthro.crisis",
                "cn.anthro.filing",
                "cn.anthro.minors",
                "cn.anthro.scope",
            ],
        ),
    ];
    check_calendar("cn-genai", &calendar);
}

#[test]
fn the_states_by_date() {
    let calendar: [(Date, &[&str]); 5] = [
        (date(2023, 7, 5), &["us.nyc.ll144"]),
        (
            date(2026, 1, 1),
            &[
                "us.ca.ab2013",
                "us.ca.sb243",
                "us.ca.sb53.framework",
                "us.ca.sb53.frontier",
                "us.ca.sb53.incident15",
                "us.ca.sb53.incident24",
                "us.ca.sb53.keep5",
                "us.ca.sb53.large",
                "us.ca.sb53.quarterly",
                "us.ca.sb53.report",
                "us.ca.sb53.whistle",
                "us.tx.traiga",
            ],
        ),
        (date(2026, 8, 2), &["us.ca.sb942"]),
        (
            date(2027, 1, 1),
            &[
                "us.co.26-189",
                "us.il.sb315",
                "us.il.sb315.framework",
                "us.il.sb315.incidents",
                "us.ny.raise.72h",
                "us.ny.raise.framework",
                "us.ny.raise.scope",
            ],
        ),
        (date(2028, 1, 1), &["us.il.sb315.audit"]),
    ];
    check_calendar("us-states", &calendar);
}

#[test]
fn the_federation_korea_and_the_others_by_date() {
    // M-25-21 gave agencies 365 days from 2025-04-03.
    check_calendar(
        "us-federal",
        &[
            (date(2026, 3, 11), &["us.omb.m2604"]),
            (date(2026, 4, 3), &["us.omb.m2521"]),
            (date(2026, 5, 19), &["us.takeitdown"]),
        ],
    );
    let korea: &[&str] =
        &["kr.art31.label", "kr.art32.compute", "kr.art33.classify", "kr.art34.highimpact", "kr.art36.rep"];
    check_calendar("kr", &[(date(2026, 1, 22), korea)]);
    check_calendar(
        "intl",
        &[(date(2024, 5, 30), &["sg.mgf"]), (date(2025, 9, 1), &["jp.status"]), (date(2026, 2, 5), &["uk.status"])],
    );
}

#[test]
fn voluntary_frameworks_start_with_their_publication() {
    for (pack, published, n_rules) in [("nist-ai-rmf", date(2023, 1, 26), 22), ("iso-42001", date(2023, 12, 18), 38)] {
        let rules = shipped(pack);
        assert_eq!(in_force(&rules, published.yesterday().unwrap()), Vec::<String>::new());
        assert_eq!(in_force(&rules, published).len(), n_rules, "{pack}");
        assert!(
            rules.cards().all(|(_, _, card)| card.windows.iter().all(|window| window.source.contains("voluntary"))),
            "{pack}"
        );
    }
}

/// SB 24-205 was to bind from 2026-02-01, then from 2026-06-30, and never did: SB 26-189 repeals it.
#[test]
fn colorado_has_the_replacement_and_not_the_repealed_act() {
    let rules = shipped("us-states");
    let mut system = System::new();
    system.set("jurisdictions", Value::List(vec!["US-CO".into()])).unwrap();
    system.set("role", "deployer".into()).unwrap();
    let bound = |day| {
        let facts = Facts::new();
        let decision = decide(&rules, None, &system, &facts, day);
        let is_bound = |outcome| !matches!(outcome, Outcome::NotInForce | Outcome::NotApplicable);
        decision
            .verdicts
            .iter()
            .filter(|verdict| is_bound(verdict.finding.outcome))
            .map(|verdict| verdict.card.id.clone())
            .collect::<Vec<_>>()
    };
    for day in [date(2026, 2, 1), date(2026, 6, 30), date(2026, 12, 31)] {
        assert_eq!(bound(day), Vec::<String>::new(), "{day}");
    }
    assert_eq!(bound(date(2027, 1, 1)), ["us.co.26-189"]);
}

/// A fact as an instrument gives it or a person says it, ten days before the date in question.
#[derive(Clone, Copy)]
enum Given {
    Said(&'static str, Said),
    /// Value and both bounds.
    Figure(&'static str, &'static str),
    /// `k` of `n`.
    Share(&'static str, u64, u64),
    Number(&'static str, &'static str),
}

#[derive(Clone, Copy)]
enum Said {
    Flag(bool),
    Count(i64),
    Span(&'static str),
    /// That there is a document, or that there is none.
    Document(bool),
}

fn facts(given: &[Given], day: Date) -> Facts {
    let at = day.checked_sub(jiff::Span::new().days(10)).unwrap().at(8, 0, 0, 0);
    let at = jiff::tz::Offset::UTC.to_timestamp(at).unwrap();
    let subject = Subject::new("system", Digest::of(b"system"));
    let measured = |id, value: &str, bounds: Option<(&str, &str)>, counts: Option<(u64, u64)>| Measurement {
        metric: metric::find(id).unwrap(),
        subject: subject.clone(),
        value: value.parse().unwrap(),
        interval: bounds.map(|(lower, upper)| Interval {
            lower: lower.parse().unwrap(),
            upper: upper.parse().unwrap(),
            level: None,
            method: "outward".to_owned(),
        }),
        n: counts.map(|(_, n)| n),
        k: counts.map(|(k, _)| k),
        method: "counted".to_owned(),
        convention: None,
        inputs: Vec::new(),
        instrument: "test 1.0".to_owned(),
        provenance: Provenance::Measured,
        at,
    };
    let mut facts = Facts::new();
    for fact in given {
        match *fact {
            Given::Figure(id, value) => {
                facts.measure(&measured(id, value, Some((value, value)), None), Digest::of(b"envelope"));
            }
            Given::Share(id, k, n) => {
                let value = if k == n { "1" } else { "0.99" };
                facts.measure(&measured(id, value, None, Some((k, n))), Digest::of(b"envelope"));
            }
            Given::Number(id, value) => facts.measure(&measured(id, value, None, None), Digest::of(b"envelope")),
            Given::Said(id, said) => {
                let declared = match said {
                    Said::Flag(value) => Declared::Flag(value),
                    Said::Count(value) => Declared::Count(value),
                    Said::Span(value) => Declared::Text(value.to_owned()),
                    Said::Document(true) => Declared::Document(subject.clone()),
                    Said::Document(false) => Declared::Flag(false),
                };
                let (owner, expires) = ("legal".to_owned(), day.checked_add(jiff::Span::new().days(90)).unwrap());
                let declaration = Declaration {
                    metric: metric::find(id).unwrap(),
                    subject: subject.clone(),
                    declared,
                    owner,
                    at,
                    expires,
                };
                facts.declare(&declaration, Digest::of(b"envelope"));
            }
        }
    }
    facts
}

/// The day before, a rule is not in force and says what it would come to; on the day it comes to that.
fn check(pack: &str, rule: &str, role: &str, day: Date, given: &[Given], expected: (Outcome, &str)) {
    let (rules, system, facts) = (shipped(pack), everywhere(role), facts(given, day));
    let on = |day| {
        let decision = decide(&rules, None, &system, &facts, day);
        let verdict = decision
            .verdicts
            .iter()
            .find(|verdict| verdict.card.id == rule)
            .unwrap_or_else(|| panic!("no rule {rule}"));
        let finding = &verdict.finding;
        let would_be = finding.would_be.as_ref().map(|(outcome, reason)| (*outcome, reason.code));
        ((finding.outcome, finding.reason.code), would_be)
    };
    let before = on(day.yesterday().unwrap());
    assert_eq!(before.0.0, Outcome::NotInForce, "{rule} the day before {day}");
    assert_eq!(before.1, Some(expected), "what {rule} would be the day before {day}");
    assert_eq!(on(day), (expected, None), "{rule} on {day}");
}

#[test]
fn verdicts_in_china_turn_on_the_day() {
    use Given::{Number, Said as Says, Share};
    use Outcome::{Fail, Pass};
    let labelling = date(2025, 9, 1);
    check("cn-genai", "cn.gb45438.text", "provider", labelling, &[Share("label.visible", 100, 100)], (Pass, "holds"));
    check("cn-genai", "cn.gb45438.text", "provider", labelling, &[Share("label.visible", 99, 100)], (Fail, "fails"));
    let video = |span| [Says("label.video_sampled", Said::Count(100)), Says("label.video_span_min", Said::Span(span))];
    check("cn-genai", "cn.gb45438.video", "provider", labelling, &video("2s"), (Pass, "answered"));
    check("cn-genai", "cn.gb45438.video", "provider", labelling, &video("1.9s"), (Fail, "answered-no"));
    let standards = date(2025, 11, 1);
    check("cn-genai", "cn.risks31", "provider", standards, &[Number("bank.risks", "30")], (Fail, "fails"));
    let file = |is_there| [Says("doc.training_data_security", Said::Document(is_there))];
    check("cn-genai", "cn.gbt45652", "provider", standards, &file(true), (Pass, "answered"));
    check("cn-genai", "cn.gbt45652", "provider", standards, &file(false), (Fail, "answered-no"));
    let months = |n| [Says("retention.logs_months", Said::Count(n))];
    check("cn-genai", "cn.csl.logs6m", "provider", date(2026, 1, 1), &months(6), (Pass, "answered"));
    check("cn-genai", "cn.csl.logs6m", "provider", date(2026, 1, 1), &months(5), (Fail, "answered-no"));
    let companion = |is_filed| {
        [Says("service.companion", Said::Flag(true)), Says("doc.algorithm_filing", Said::Document(is_filed))]
    };
    check("cn-genai", "cn.anthro.filing", "provider", date(2026, 7, 15), &companion(true), (Pass, "answered"));
    check("cn-genai", "cn.anthro.filing", "provider", date(2026, 7, 15), &companion(false), (Fail, "answered-no"));
}

/// At 1e26 itself the states ask for nothing and Korea asks: above there, from here on.
#[test]
fn verdicts_on_compute_turn_on_the_day_and_mind_the_operator() {
    use Given::{Figure, Said as Says};
    use Outcome::{Fail, Pass};
    let denies =
        |compute| [Figure("lineage.compute", compute), Says("organisation.frontier_developer", Said::Flag(false))];
    let states = [
        ("us.ca.sb53.frontier", date(2026, 1, 1)),
        ("us.ny.raise.scope", date(2027, 1, 1)),
        ("us.il.sb315", date(2027, 1, 1)),
    ];
    for (rule, day) in states {
        check("us-states", rule, "provider", day, &denies("1e26"), (Pass, "holds"));
        check("us-states", rule, "provider", day, &denies("1.000001e26"), (Fail, "fails"));
    }
    let korea = |compute| {
        let tests = Says("frontier.qualitative_tests", Said::Flag(true));
        [Figure("lineage.compute", compute), tests, Says("frontier.msit_reported", Said::Flag(false))]
    };
    check("kr", "kr.art32.compute", "provider", date(2026, 1, 22), &korea("9.99999e25"), (Pass, "holds"));
    check("kr", "kr.art32.compute", "provider", date(2026, 1, 22), &korea("1e26"), (Fail, "fails"));
    let audit = |is_there| [Figure("lineage.compute", "3e26"), Says("doc.independent_audit", Said::Document(is_there))];
    check("us-states", "us.il.sb315.audit", "provider", date(2028, 1, 1), &audit(true), (Pass, "holds"));
    check("us-states", "us.il.sb315.audit", "provider", date(2028, 1, 1), &audit(false), (Fail, "fails"));
}

#[test]
fn verdicts_on_people_and_platforms_turn_on_the_day() {
    use Given::Said as Says;
    use Outcome::{Fail, Pass};
    let explained = |span| {
        [
            Says("practice.significant_decisions", Said::Flag(true)),
            Says("retention.decisions_years", Said::Count(3)),
            Says("decision.notice", Said::Flag(true)),
            Says("decision.explanation_delay", Said::Span(span)),
            Says("decision.correction", Said::Flag(true)),
            Says("decision.human_review", Said::Flag(true)),
        ]
    };
    check("us-states", "us.co.26-189", "deployer", date(2027, 1, 1), &explained("720h"), (Pass, "answered"));
    check("us-states", "us.co.26-189", "deployer", date(2027, 1, 1), &explained("721h"), (Fail, "answered-no"));
    let removed =
        |span| [Says("service.covered_platform", Said::Flag(true)), Says("incident.takedown_delay", Said::Span(span))];
    check("us-federal", "us.takeitdown", "provider", date(2026, 5, 19), &removed("48h"), (Pass, "answered"));
    check("us-federal", "us.takeitdown", "provider", date(2026, 5, 19), &removed("49h"), (Fail, "answered-no"));
    let agency =
        |n| [Says("service.federal_high_impact", Said::Flag(true)), Says("practice.federal_minimum", Said::Count(n))];
    check("us-federal", "us.omb.m2521", "deployer", date(2026, 4, 3), &agency(7), (Pass, "answered"));
    check("us-federal", "us.omb.m2521", "deployer", date(2026, 4, 3), &agency(6), (Fail, "answered-no"));
    let safeguards = |is_there| {
        [Says("practice.significant_decisions", Said::Flag(true)), Says("doc.adm_safeguards", Said::Document(is_there))]
    };
    check("intl", "uk.status", "deployer", date(2026, 2, 5), &safeguards(true), (Pass, "answered"));
    check("intl", "uk.status", "deployer", date(2026, 2, 5), &safeguards(false), (Fail, "answered-no"));
}
