//! The dates of the law, on the cards that ship: the verdict on the day before and on the day, and what else that day changes.

use evidence::{Declaration, Declared, Digest, Interval, Measurement, Provenance, Subject, metric};
use jiff::civil::{Date, date};
use policy::expr::Value;
use policy::{Effect, Facts, Mode, Outcome, Pack, Rules, System, Verdict, decide, diff};
use std::{collections::BTreeSet, fs, path::Path};

/// A pack as it lies in the repository.
pub(crate) fn shipped(name: &str) -> Pack {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs").join(name);
    let mut files: Vec<(String, String)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .filter(|(file, _)| file.ends_with(".toml") && file != "pack.toml")
        .map(|(file, path)| (file, fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    Pack::compile(name, &files).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn enforced(name: &str) -> Rules {
    Rules::new(vec![(shipped(name), Mode::Enforce)])
}

fn flag(is_true: bool) -> Value {
    is_true.into()
}

fn list(items: &[&str]) -> Value {
    Value::List(items.iter().map(|item| (*item).into()).collect())
}

fn day(date: &str) -> Value {
    Value::Timestamp(format!("{date}T00:00:00Z").parse().unwrap())
}

fn system(members: &[&[(&'static str, Value)]]) -> System {
    let mut system = System::new();
    for (name, value) in members.iter().copied().flatten() {
        system.set(name, value.clone()).unwrap();
    }
    system
}

/// A system of the Union that was not there before the law, by role, class and route.
fn union(role: &str, class: &str, route: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("jurisdictions", list(&["EU"])),
        ("role", role.into()),
        ("risk_class", class.into()),
        ("risk_route", route.into()),
        ("general_purpose", flag(false)),
        ("systemic_risk", flag(false)),
        ("interacts", flag(true)),
        ("modalities", list(&["text", "image"])),
        ("on_market", day("2026-08-02")),
        ("redesigned", flag(false)),
        ("public_authority", flag(false)),
        ("law_enforcement", flag(false)),
        ("biometric_identification", flag(false)),
        ("modifies_existing", flag(false)),
        ("code_of_practice", list(&[])),
    ]
}

/// A model of systemic risk whose provider signed every chapter of the code.
fn frontier(on_market: &str) -> Vec<(&'static str, Value)> {
    let mut members = union("provider", "limited", "annex-iii");
    members.extend([
        ("general_purpose", flag(true)),
        ("systemic_risk", flag(true)),
        ("open_source", flag(false)),
        ("code_of_practice", list(&["transparency", "copyright", "safety"])),
        ("on_market", day(on_market)),
    ]);
    members
}

/// What somebody found or said.
enum Given {
    Said(&'static str, Declared),
    /// So many of so many, measured.
    Share(&'static str, u64, u64),
    Measured(&'static str, &'static str),
}
use Given::{Measured, Said, Share};

fn no(id: &'static str) -> Given {
    Said(id, Declared::Flag(false))
}

fn yes(id: &'static str) -> Given {
    Said(id, Declared::Flag(true))
}

fn count(id: &'static str, n: i64) -> Given {
    Said(id, Declared::Count(n))
}

fn span(id: &'static str, text: &str) -> Given {
    Said(id, Declared::Text(text.to_owned()))
}

/// Evidence of the day before.
fn facts(given: &[Given], day: Date) -> Facts {
    let at = jiff::tz::Offset::UTC.to_timestamp(day.yesterday().unwrap().at(0, 0, 0, 0)).unwrap();
    let source = Digest::of(b"envelope");
    let subject = || Subject::new("model", Digest::of(b"weights"));
    let measurement = |id: &str, value: &str| Measurement {
        metric: metric::find(id).unwrap(),
        subject: subject(),
        value: value.parse().unwrap(),
        interval: None,
        n: None,
        k: None,
        method: "counted".to_owned(),
        convention: None,
        inputs: Vec::new(),
        instrument: "test 1.0".to_owned(),
        provenance: Provenance::Measured,
        at,
    };
    let mut facts = Facts::new();
    for given in given {
        match given {
            Said(id, declared) => {
                let metric = metric::find(id).unwrap();
                let (declared, owner) = (declared.clone(), "legal".to_owned());
                facts.declare(
                    &Declaration { metric, subject: subject(), declared, owner, at, expires: date(2040, 1, 1) },
                    source,
                );
            }
            Share(id, k, n) => {
                let share = measurement(id, &format!("{}", *k as f64 / *n as f64));
                facts.measure(&Measurement { k: Some(*k), n: Some(*n), ..share }, source);
            }
            Measured(id, text) => {
                let value = text.parse().unwrap();
                let interval = Interval { lower: value, upper: value, level: None, method: "outward".to_owned() };
                facts.measure(&Measurement { interval: Some(interval), ..measurement(id, text) }, source);
            }
        }
    }
    facts
}

/// A breach of one rule, and the day from which it is one.
struct Event {
    pack: &'static str,
    rule: &'static str,
    system: System,
    breach: Vec<Given>,
    day: Date,
    /// Why the day before does not count.
    before: &'static str,
}

fn of<'a>(decision: &'a policy::Decision<'a>, rule: &str) -> &'a Verdict<'a> {
    decision.verdicts.iter().find(|verdict| verdict.rule() == rule).unwrap_or_else(|| panic!("no rule `{rule}`"))
}

/// On the day before, the breach is announced and lets through; on the day, the same evidence denies.
fn check(events: Vec<Event>) {
    for Event { pack, rule, system, breach, day, before } in events {
        let rules = enforced(pack);
        let facts = facts(&breach, day);
        let eve = decide(&rules, None, &system, &facts, day.yesterday().unwrap());
        let found = &of(&eve, rule).finding;
        assert_eq!(
            (found.outcome, found.reason.code),
            (Outcome::NotInForce, before),
            "{rule}, the day before {day}: {}",
            found.reason
        );
        let would_be = found.would_be.as_ref().map(|(outcome, _)| *outcome);
        assert_eq!(would_be, Some(Outcome::Fail), "{rule}, announced on the day before {day}");
        assert!(!of(&eve, rule).denies(), "{rule} denies on the day before {day}");
        let on_the_day = decide(&rules, None, &system, &facts, day);
        let found = of(&on_the_day, rule);
        assert_eq!(found.finding.outcome, Outcome::Fail, "{rule}, on {day}: {}", found.finding.reason);
        assert!(found.denies() && on_the_day.effect == Effect::Deny, "{rule} lets through on {day}");
    }
}

#[test]
fn the_new_prohibitions_and_the_marking_of_older_systems_bind_from_december_2026() {
    let (day_, eu) = (date(2026, 12, 2), "eu-ai-act");
    let system_ = || system(&[&union("provider", "limited", "annex-iii")]);
    let older = system(&[&union("provider", "limited", "annex-iii"), &[("on_market", day("2026-08-01"))]]);
    check(vec![
        Event {
            pack: eu,
            rule: "eu.art5.ba.ncii",
            system: system_(),
            breach: vec![yes("practice.intimate_imagery"), no("doc.misuse_safeguards")],
            day: day_,
            before: "not-yet",
        },
        Event {
            pack: eu,
            rule: "eu.art5.bb.csam",
            system: system_(),
            breach: vec![
                no("practice.abuse_material"),
                count("data.abuse_hash_matches", 1),
                no("doc.misuse_safeguards"),
            ],
            day: day_,
            before: "not-yet",
        },
        Event {
            pack: eu,
            rule: "eu.art50.2.marking",
            system: older,
            breach: vec![Share("marking.present", 99, 100)],
            day: day_,
            before: "grace",
        },
        // Who came on the general date itself has no grace.
        Event {
            pack: eu,
            rule: "eu.art50.2.marking",
            system: system_(),
            breach: vec![Share("marking.present", 99, 100)],
            day: date(2026, 8, 2),
            before: "not-yet",
        },
    ]);
}

#[test]
fn high_risk_duties_moved_to_december_2027_and_august_2028() {
    let event = |rule, role, route, given: fn() -> Vec<Given>, day| Event {
        pack: "eu-ai-act",
        rule,
        system: system(&[&union(role, "high", route)]),
        breach: given(),
        day,
        before: "not-yet",
    };
    let mut events = Vec::new();
    for (route, day) in [("annex-iii", date(2027, 12, 2)), ("annex-i", date(2028, 8, 2))] {
        events.extend([
            event("eu.art9.rms", "provider", route, || vec![no("doc.risk_management")], day),
            event("eu.art17.qms", "provider", route, || vec![count("qms.aspects", 12)], day),
            event("eu.art26.logs6m", "deployer", route, || vec![count("retention.logs_months", 5)], day),
            event("eu.art72.pmm", "provider", route, || vec![no("doc.post_market_plan")], day),
        ]);
    }
    let misclassed = vec![yes("practice.annex_iii_use"), no("classification.derogation")];
    let limited = || system(&[&union("provider", "limited", "annex-iii")]);
    let product = vec![yes("product.annex_i_a"), yes("product.third_party")];
    events.extend([
        Event {
            pack: "eu-ai-act",
            rule: "eu.art6.2.annex3",
            system: limited(),
            breach: misclassed,
            day: date(2027, 12, 2),
            before: "not-yet",
        },
        Event {
            pack: "eu-ai-act",
            rule: "eu.art6.1.product",
            system: limited(),
            breach: product,
            day: date(2028, 8, 2),
            before: "not-yet",
        },
    ]);
    check(events);
}

#[test]
fn the_dates_of_2024_bind_nobody_to_the_high_risk_chapter_any_more() {
    let rules = enforced("eu-ai-act");
    let is_chapter_iii = |rule: &str| {
        let article = rule.strip_prefix("eu.art").and_then(|rest| rest.split(['.', '-']).next());
        article.and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| (6..=49).contains(&number))
    };
    for role in ["provider", "deployer"] {
        // 2026-08-02 was the date for Annex III, 2027-08-02 that for Annex I.
        for (route, was) in [("annex-iii", date(2026, 8, 2)), ("annex-i", date(2027, 8, 2))] {
            let system = system(&[&union(role, "high", route)]);
            let decision = decide(&rules, None, &system, &Facts::new(), was);
            let (mut n_asked, mut bound) = (0, Vec::new());
            for verdict in decision.verdicts.iter().filter(|verdict| is_chapter_iii(verdict.rule())) {
                n_asked += 1;
                if !matches!(verdict.finding.outcome, Outcome::NotInForce | Outcome::NotApplicable) {
                    bound.push(verdict.rule().to_owned());
                }
            }
            assert_eq!(n_asked, 27, "rules on Art. 6 to 49");
            assert_eq!(bound, Vec::<String>::new(), "{role}, {route}, {was}");
        }
    }
}

#[test]
fn models_from_before_august_2025_have_until_august_2027() {
    let event = |rule, given| Event {
        pack: "eu-ai-act",
        rule,
        system: system(&[&frontier("2025-08-01")]),
        breach: given,
        day: date(2027, 8, 2),
        before: "grace",
    };
    let legacy = event("eu.gpai.legacy", vec![no("doc.legacy_record")]);
    check(vec![
        Event { before: "not-yet", ..legacy },
        event(
            "eu.gpai.53a.techdoc",
            vec![
                no("doc.annex_xi"),
                Measured("model.parameters", "1"),
                Measured("data.documents", "1"),
                Measured("train.compute", "1e25"),
                Measured("train.time", "1"),
                Measured("train.energy", "1"),
            ],
        ),
        event("eu.gpai.53b.downstream", vec![no("doc.annex_xii")]),
        event("eu.gpai.53c.copyright", vec![no("doc.copyright_policy")]),
        event("eu.gpai.53d.summary", vec![no("doc.training_summary")]),
        event("eu.gpai.notify", vec![no("doc.art52_notification"), span("notice.art52_delay", "0s")]),
        event("eu.gpai.55b.mitigate", vec![count("systemic.risks_unacceptable", 1), no("doc.model_report")]),
    ]);
}

#[test]
fn older_systems_of_public_authorities_have_until_august_2030() {
    let older = |more: &[(&'static str, Value)]| {
        let base = union("provider", "high", "annex-iii");
        system(&[&base, &[("on_market", day("2026-08-01")), ("public_authority", flag(true))], more])
    };
    check(vec![Event {
        pack: "eu-ai-act",
        rule: "eu.art9.rms",
        system: older(&[]),
        breach: vec![no("doc.risk_management")],
        day: date(2030, 8, 2),
        before: "grace",
    }]);
    // Changed significantly, it is bound with the others; for nobody public and unchanged, never.
    let rules = enforced("eu-ai-act");
    let table = [
        (older(&[("redesigned", flag(true))]), date(2027, 12, 2), (Outcome::Fail, "answered-no")),
        (older(&[("public_authority", flag(false))]), date(2035, 1, 1), (Outcome::NotInForce, "no-window")),
    ];
    for (system, day, expected) in table {
        let facts = facts(&[no("doc.risk_management")], day);
        let decision = decide(&rules, None, &system, &facts, day);
        let finding = &of(&decision, "eu.art9.rms").finding;
        assert_eq!((finding.outcome, finding.reason.code), expected, "{}", finding.reason);
    }
}

#[test]
fn the_act_opens_step_by_step() {
    let event = |rule, role, class, given, day| Event {
        pack: "eu-ai-act",
        rule,
        system: system(&[&union(role, class, "annex-iii")]),
        breach: given,
        day,
        before: "not-yet",
    };
    check(vec![
        event(
            "eu.art4.literacy",
            "provider",
            "limited",
            vec![count("practice.literacy_measures", 0)],
            date(2025, 2, 2),
        ),
        event("eu.art5.f.emotion", "deployer", "limited", vec![yes("practice.emotion_inference")], date(2025, 2, 2)),
        Event {
            pack: "eu-ai-act",
            rule: "eu.cop.transparency",
            system: system(&[&frontier("2025-08-02")]),
            breach: vec![no("doc.model_documentation_form"), count("retention.documents_years", 9)],
            day: date(2025, 8, 2),
            before: "not-yet",
        },
        event(
            "eu.art4a.bias-data",
            "provider",
            "limited",
            vec![yes("bias_data.processed"), no("bias_data.no_substitute")],
            date(2026, 7, 27),
        ),
        event(
            "eu.art75.ai-office",
            "provider",
            "limited",
            vec![yes("authority.own_model"), no("authority.large_platform"), no("doc.authority_routing")],
            date(2026, 7, 27),
        ),
        event(
            "eu.art50.1.interaction",
            "provider",
            "limited",
            vec![no("disclosure.first_interaction")],
            date(2026, 8, 2),
        ),
        event(
            "eu.art50.3.emotion-notice",
            "deployer",
            "limited",
            vec![yes("exposure.biometric"), no("disclosure.biometric_notice")],
            date(2026, 8, 2),
        ),
        event("eu.art73.death", "provider", "high", vec![span("incident.death_delay", "241h")], date(2026, 8, 2)),
    ]);
}

#[test]
fn the_other_regimes_open_on_their_days() {
    let at = |place: &str| {
        let public: Value = "public".into();
        system(&[&[
            ("jurisdictions", list(&[place])),
            ("role", "provider".into()),
            ("audience", public),
            ("modalities", list(&["text", "image"])),
            ("revenue_usd", Value::Decimal("500000001".parse().unwrap())),
        ]])
    };
    let frontier = || Measured("lineage.compute", "2e26");
    let late = || {
        vec![
            Measured("lineage.compute", "2e26"),
            span("incident.critical_delay", "73h"),
            span("incident.imminent_delay", "0s"),
        ]
    };
    let event =
        |pack, rule, place, breach, day| Event { pack, rule, system: at(place), breach, day, before: "not-yet" };
    let not_said = || vec![frontier(), no("organisation.frontier_developer")];
    check(vec![
        event("us-states", "us.ca.sb53.frontier", "US-CA", not_said(), date(2026, 1, 1)),
        event("us-states", "us.tx.traiga", "US-TX", vec![yes("practice.forbidden_intent")], date(2026, 1, 1)),
        event(
            "us-states",
            "us.ca.sb942",
            "US-CA",
            vec![count("users.monthly", 1_000_001), Share("marking.present", 99, 100)],
            date(2026, 8, 2),
        ),
        event("us-states", "us.ny.raise.scope", "US-NY", not_said(), date(2027, 1, 1)),
        event("us-states", "us.ny.raise.72h", "US-NY", late(), date(2027, 1, 1)),
        event("us-states", "us.il.sb315", "US-IL", not_said(), date(2027, 1, 1)),
        event("us-states", "us.il.sb315.incidents", "US-IL", late(), date(2027, 1, 1)),
        event(
            "us-states",
            "us.il.sb315.audit",
            "US-IL",
            vec![frontier(), no("doc.independent_audit")],
            date(2028, 1, 1),
        ),
        event("kr", "kr.art33.classify", "KR", vec![no("doc.high_impact_determination")], date(2026, 1, 22)),
        // From 1e26, and not only above it.
        event(
            "kr",
            "kr.art32.compute",
            "KR",
            vec![Measured("lineage.compute", "1e26"), yes("frontier.qualitative_tests"), no("frontier.msit_reported")],
            date(2026, 1, 22),
        ),
        event("cn-genai", "cn.gb45438.implicit", "CN", vec![Share("label.embedded", 99, 100)], date(2025, 9, 1)),
        event("cn-genai", "cn.csl.logs6m", "CN", vec![count("retention.logs_months", 5)], date(2026, 1, 1)),
        event(
            "cn-genai",
            "cn.anthro.2h",
            "CN",
            vec![yes("service.companion"), span("service.reminder_interval", "3h")],
            date(2026, 7, 15),
        ),
    ]);
}

/// The rules that change on a day for somebody who has shown nothing, `before` → `after`.
fn changed(rules: &Rules, system: &System, day: Date) -> Vec<String> {
    let changes = diff(rules, system, &Facts::new(), day.yesterday().unwrap(), day);
    let shown = |change: &policy::Change| format!("{} {} -> {}", change.rule, change.before.0, change.after.0);
    changes.iter().map(shown).collect()
}

fn announced(rules: &[&str], after: &str) -> Vec<String> {
    rules.iter().map(|rule| format!("{rule} not-in-force -> {after}")).collect()
}

/// `[rule, …]` of `attest` and of `assess` cards, merged as the diff sorts them.
fn expected(attest: &[&str], assess: &[&str]) -> Vec<String> {
    let mut all = announced(attest, "awaiting-person");
    all.extend(announced(assess, "insufficient-evidence"));
    all.sort();
    all
}

#[test]
fn a_day_changes_exactly_these_rules_for_a_provider() {
    let rules = enforced("eu-ai-act");
    let high = |route| system(&[&union("provider", "high", route), &[("biometric_identification", flag(true))]]);
    let both = (
        [
            "eu.art11.techdoc",
            "eu.art13.ifu",
            "eu.art15.4.robust",
            "eu.art17.qms",
            "eu.art18.docs10y",
            "eu.art19.logs6m",
            "eu.art20.corrective",
            "eu.art43-49.conformity",
            "eu.art72.pmm",
            "eu.art9.9.minors",
            "eu.art9.rms",
        ],
        [
            "eu.art10.2.governance",
            "eu.art10.2f.bias",
            "eu.art10.3.quality",
            "eu.art12.1.logs",
            "eu.art14.oversight",
            "eu.art15.5.cyber",
            "eu.art15.accuracy",
            "eu.art9.8.thresholds",
        ],
    );
    let with = |more: &[&'static str]| both.0.iter().chain(more).copied().collect::<Vec<_>>();
    // Annex III: the chapter with its own logs of identification, its classification and its derogation.
    let annex_iii = expected(&with(&["eu.art12.3.rbi-logs", "eu.art6.2.annex3", "eu.art6.3.derogation"]), &both.1);
    assert_eq!(changed(&rules, &high("annex-iii"), date(2027, 12, 2)), annex_iii);
    // On the same day a product of Annex I is asked only whether it stands in Annex III as well; on its own day for the chapter.
    assert_eq!(
        changed(&rules, &high("annex-i"), date(2027, 12, 2)),
        expected(&["eu.art6.2.annex3", "eu.art6.3.derogation"], &[])
    );
    assert_eq!(changed(&rules, &high("annex-i"), date(2028, 8, 2)), expected(&with(&["eu.art6.1.product"]), &both.1));
    // Older ones of public authorities: everything above at once, and the incident rules, which others have since 2026-08-02.
    let older = |route| {
        let more = [
            ("biometric_identification", flag(true)),
            ("on_market", day("2026-08-01")),
            ("public_authority", flag(true)),
        ];
        system(&[&union("provider", "high", route), &more])
    };
    let incidents = ["eu.art73.death", "eu.art73.freeze", "eu.art73.general", "eu.art73.widespread"];
    let mut all = with(&["eu.art12.3.rbi-logs", "eu.art6.1.product", "eu.art6.2.annex3", "eu.art6.3.derogation"]);
    all.extend(incidents);
    assert_eq!(changed(&rules, &older("annex-iii"), date(2030, 8, 2)), expected(&all, &both.1));
}

#[test]
fn a_day_changes_exactly_these_rules_for_others() {
    let rules = enforced("eu-ai-act");
    let deployer = |more: &[(&'static str, Value)]| system(&[&union("deployer", "high", "annex-iii"), more]);
    let police = [("law_enforcement", flag(true)), ("biometric_identification", flag(true))];
    let duties = ["eu.art25.modifier", "eu.art26.logs6m", "eu.art26.monitor", "eu.art27.fria"];
    assert_eq!(changed(&rules, &deployer(&[]), date(2027, 12, 2)), expected(&duties, &[]));
    let mut of_police = duties.to_vec();
    of_police.push("eu.art26.10.post-rbi");
    assert_eq!(changed(&rules, &deployer(&police), date(2027, 12, 2)), expected(&of_police, &[]));
    // December 2026: the prohibitions for everybody, marking for the older ones.
    let new = ["eu.art5.ba.ncii", "eu.art5.bb.csam"];
    assert_eq!(changed(&rules, &deployer(&[]), date(2026, 12, 2)), expected(&new, &[]));
    let provider = |market| system(&[&union("provider", "limited", "annex-iii"), &[("on_market", day(market))]]);
    assert_eq!(changed(&rules, &provider("2026-08-02"), date(2026, 12, 2)), expected(&new, &[]));
    assert_eq!(changed(&rules, &provider("2026-08-01"), date(2026, 12, 2)), expected(&new, &["eu.art50.2.marking"]));
    // August 2026: Art. 50, and incidents of systems that are high-risk.
    assert_eq!(
        changed(&rules, &provider("2026-08-02"), date(2026, 8, 2)),
        expected(&["eu.art50.1.interaction"], &["eu.art50.2.marking"])
    );
    let high = system(&[&union("provider", "high", "annex-iii")]);
    let incidents =
        ["eu.art50.1.interaction", "eu.art73.death", "eu.art73.freeze", "eu.art73.general", "eu.art73.widespread"];
    assert_eq!(changed(&rules, &high, date(2026, 8, 2)), expected(&incidents, &["eu.art50.2.marking"]));
    assert_eq!(changed(&rules, &high, date(2026, 7, 27)), expected(&["eu.art4a.bias-data", "eu.art75.ai-office"], &[]));
}

#[test]
fn a_day_changes_exactly_these_rules_for_a_model() {
    let rules = enforced("eu-ai-act");
    let attest = [
        "eu.cop.c1.framework",
        "eu.cop.c10.docs",
        "eu.cop.c2-4.risk",
        "eu.cop.c7.report",
        "eu.cop.copyright",
        "eu.cop.m9.3",
        "eu.cop.transparency",
        "eu.gpai.53b.downstream",
        "eu.gpai.53c.copyright",
        "eu.gpai.53d.summary",
        "eu.gpai.54.rep",
        "eu.gpai.55a.evals",
        "eu.gpai.55b.mitigate",
        "eu.gpai.55c.incidents",
        "eu.gpai.55d.cyber",
        "eu.gpai.notify",
        "eu.gpai.rebut",
        "eu.gpai.sysrisk.designation",
    ];
    let assess = [
        "eu.gpai.53a.techdoc",
        "eu.gpai.compute.method",
        "eu.gpai.compute.scope",
        "eu.gpai.is-gpai",
        "eu.gpai.sysrisk",
    ];
    assert_eq!(changed(&rules, &system(&[&frontier("2025-08-02")]), date(2025, 8, 2)), expected(&attest, &assess));
    assert_eq!(changed(&rules, &system(&[&frontier("2025-08-02")]), date(2027, 8, 2)), Vec::<String>::new());
    // The older model has its grace instead, and a record of its own to show.
    assert_eq!(changed(&rules, &system(&[&frontier("2025-08-01")]), date(2025, 8, 2)), graced(&attest, &assess));
    let mut older = attest.to_vec();
    older.push("eu.gpai.legacy");
    assert_eq!(changed(&rules, &system(&[&frontier("2025-08-01")]), date(2027, 8, 2)), expected(&older, &assess));
}

/// Not in force on both days, for another reason: from `not-yet` to `grace`.
fn graced(attest: &[&str], assess: &[&str]) -> Vec<String> {
    let mut all = announced(attest, "not-in-force");
    all.extend(announced(assess, "not-in-force"));
    all.sort();
    all
}

/// Whom the law knows, roughly: every role and route, old and new, public and private, models of every kind, in every place.
fn everybody() -> Vec<System> {
    let mut all = Vec::new();
    for role in ["provider", "deployer", "modifier", "importer"] {
        for route in ["annex-iii", "annex-i"] {
            for market in ["2025-03-01", "2026-08-01", "2026-08-02"] {
                for public in [true, false] {
                    let more = [
                        (
                            "jurisdictions",
                            list(&[
                                "EU", "CN", "KR", "JP", "UK", "SG", "US", "US-CA", "US-NY", "US-IL", "US-CO", "US-TX",
                            ]),
                        ),
                        ("audience", "public".into()),
                        ("opinion_attributes", flag(true)),
                        ("on_market", day(market)),
                        ("public_authority", flag(public)),
                        ("law_enforcement", flag(public)),
                        ("biometric_identification", flag(public)),
                        ("modifies_existing", flag(!public)),
                    ];
                    all.push(system(&[&frontier(market), &union(role, "high", route), &more]));
                    all.push(system(&[
                        &union(role, "high", route),
                        &frontier(market),
                        &more,
                        &[("role", role.into())],
                    ]));
                }
            }
        }
    }
    all
}

/// Between two dates of its own no rule changes, and each date of the Act changes something for somebody.
#[test]
fn nothing_changes_on_any_other_day() {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs");
    let folders = fs::read_dir(packs).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let names: BTreeSet<String> =
        folders.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let rules = Rules::new(names.iter().map(|name| (shipped(name), Mode::Enforce)).collect());
    let own = |rule: &str| -> BTreeSet<Date> {
        let card = rules.cards().find(|(_, _, card)| card.id == rule).unwrap().2;
        let of = |window: &policy::Window| {
            let graces = window.grace.iter().map(|grace| grace.until);
            [window.from].into_iter().chain(window.until).chain(graces).collect::<Vec<_>>()
        };
        card.windows.iter().flat_map(of).collect()
    };
    let mut days: BTreeSet<Date> = rules.cards().flat_map(|(_, _, card)| own(&card.id)).collect();
    days.extend(days.clone().into_iter().flat_map(|day| [day.yesterday().unwrap(), day.tomorrow().unwrap()]));
    let days: Vec<Date> = days.into_iter().collect();
    let mut of_the_act = BTreeSet::new();
    for system in everybody() {
        for pair in days.windows(2) {
            for change in diff(&rules, &system, &Facts::new(), pair[0], pair[1]) {
                let between: Vec<Date> =
                    own(&change.rule).into_iter().filter(|day| pair[0] < *day && *day <= pair[1]).collect();
                assert_eq!(between, [pair[1]], "{} changes from {} to {}", change.rule, pair[0], pair[1]);
                if change.pack == "eu-ai-act" {
                    of_the_act.insert(pair[1]);
                }
            }
        }
    }
    let expected = [
        date(2025, 2, 2),
        date(2025, 8, 2),
        date(2026, 7, 27),
        date(2026, 8, 2),
        date(2026, 12, 2),
        date(2027, 8, 2),
        date(2027, 12, 2),
        date(2028, 8, 2),
        date(2030, 8, 2),
    ];
    assert_eq!(of_the_act.into_iter().collect::<Vec<_>>(), expected);
}
