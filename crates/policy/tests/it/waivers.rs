//! A waiver is laid over a verdict and never replaces it.

use crate::support::{CARD, DAY, bank, facts, rules, said, system};
use evidence::{Digest, Json};
use jiff::civil::date;
use policy::{Effect, Facts, Version, Waiver, decide};

fn waiver() -> Waiver {
    Waiver {
        rule: "house.refuse".to_owned(),
        from_version: Version(1, 0, 0),
        below_version: Version(2, 0, 0),
        scope: "play-writer".to_owned(),
        subject: None,
        reason: "the bank is being asked".to_owned(),
        compensating: "no public access until then".to_owned(),
        author: "ana".to_owned(),
        approvers: vec!["ben".to_owned(), "chen".to_owned()],
        granted: date(2026, 11, 1),
        expires: date(2027, 1, 1),
    }
}

#[test]
fn a_waiver_lets_through_and_the_verdict_stays() {
    let mut rules = rules(CARD);
    rules.waivers.push(waiver());
    let decision = decide(&rules, None, &system(), &Facts::new(), DAY);
    let expected = "waived(insufficient-evidence) evidence-missing: there is no evidence of refusal_bank";
    assert_eq!((said(&decision.verdicts[0]).as_str(), decision.effect), (expected, Effect::Allow));
    assert_eq!(decision.idle_waivers, []);
    let json = decision.to_json().canonical();
    assert!(json.contains(r#""verdict":"waived(insufficient-evidence)","version":"1.2.0","waiver":{"approvers":["ben","chen"]"#));
    let facts = facts(&[bank("0.87", "0.9", "0.925")]);
    let decision = decide(&rules, None, &system(), &facts, DAY);
    assert_eq!((decision.verdicts[0].name().as_str(), decision.effect), ("waived(fail)", Effect::Allow));
}

#[test]
fn a_waiver_that_does_nothing_is_a_finding() {
    type Edit<'a> = &'a dyn Fn(&mut Waiver);
    let table: [(Edit<'_>, &str); 9] = [
        (&|w| w.rule = "house.none".to_owned(), "no rule `house.none` in the packs"),
        (&|w| w.below_version = Version(1, 2, 0), "it speaks of versions 1.0.0 to below 1.2.0, the rule is 1.2.0"),
        (&|w| w.scope = "another".to_owned(), "its scope is the system `another`"),
        (
            &|w| w.subject = Some(Digest::of(b"older weights")),
            "its scope is the artefact sha256:627903ea48c7933fcaba7acb10d4b0c92ffc97b8afa2b6176d151f33facbfeac, of which no evidence speaks",
        ),
        (&|w| w.expires = DAY, "it holds from 2026-11-01 to the day before 2026-11-23"),
        (&|w| w.granted = date(2026, 11, 24), "it holds from 2026-11-24 to the day before 2027-01-01"),
        (&|w| w.approvers = vec!["ana".to_owned(), "ben".to_owned(), "ben ".to_owned()], "expected two approvers who are not the author, found 1"),
        (&|w| w.expires = date(2027, 11, 2), "expected an expiry from 1 to 365 days after 2026-11-01, found 2027-11-02"),
        (&|w| w.compensating = " ".to_owned(), "expected a compensating control, found nothing"),
    ];
    for (change, expected) in table {
        let mut waiver = waiver();
        change(&mut waiver);
        let mut rules = rules(CARD);
        rules.waivers.push(waiver);
        let decision = decide(&rules, None, &system(), &Facts::new(), DAY);
        let why: Vec<&str> = decision.idle_waivers.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!((why.as_slice(), decision.effect), ([expected].as_slice(), Effect::Deny));
    }
}

#[test]
fn a_waiver_of_a_rule_that_passes_is_idle() {
    let mut rules = rules(CARD);
    rules.waivers.push(waiver());
    let facts = facts(&[bank("0.988", "0.998", "0.9999")]);
    let decision = decide(&rules, None, &system(), &facts, DAY);
    assert_eq!(decision.idle_waivers[0].1, "the rule came to pass");
    assert_eq!(decision.verdicts[0].name(), "pass");
}

#[test]
fn a_waiver_of_one_artefact_holds_while_the_evidence_speaks_of_it() {
    let mut rules = rules(CARD);
    rules.waivers.push(Waiver { subject: Some(Digest::of(b"weights")), ..waiver() });
    let measured = facts(&[bank("0.87", "0.9", "0.925")]);
    let decision = decide(&rules, None, &system(), &measured, DAY);
    assert_eq!((decision.verdicts[0].name().as_str(), decision.effect), ("waived(fail)", Effect::Allow));
}

#[test]
fn what_is_written_reads_back_without_its_approvers() {
    for subject in [None, Some(Digest::of(b"weights"))] {
        let written = Waiver { subject, ..waiver() };
        let read = Waiver::from_json(&written.to_json()).unwrap();
        assert_eq!(read, Waiver { approvers: Vec::new(), ..written });
        assert_eq!(read.check_terms(), Ok(()));
        assert_eq!(read.check().unwrap_err().to_string(), "expected two approvers who are not the author, found 0");
    }
    let json = Json::map([("rule", Some("house.refuse".into())), ("fromVersion", Some("1".into()))]);
    let error = Waiver::from_json(&json).unwrap_err();
    assert_eq!(error.to_string(), "the waiver's member `fromVersion` is absent or malformed");
}
