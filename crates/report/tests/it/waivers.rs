//! A waiver is seen on the page: the one that lets through, and the one that does nothing.

use crate::fixture;
use evidence::{Json, Predicate};
use report::Record;

/// The denied run with `more` in its last decision, and every failing verdict waived.
fn waived() -> Vec<Record> {
    let waiver = r#"{"rule": "cn.label.visible", "fromVersion": "1.0.0", "belowVersion": "2.0.0", "scope": "speech-writer",
        "reason": "the template is <b>on order</b>", "compensating": "no publication until then", "author": "ana",
        "approvers": ["ben", "chen"], "granted": "2026-11-01", "expires": "2027-01-01"}"#;
    let waiver = Json::parse(waiver).unwrap();
    let idle =
        Json::map([("waiver", Some(waiver.clone())), ("finding", Some("no rule `cn.gone` in the packs".into()))]);
    let mut records = fixture::denied();
    let decision = records.iter_mut().rfind(|record| record.statement.predicate_type == Predicate::Decision).unwrap();
    let Json::Map(members) = &mut decision.statement.predicate else { panic!("a decision is a map") };
    members.insert("idleWaivers".to_owned(), Json::List(vec![idle]));
    let Some(Json::List(verdicts)) = members.get_mut("verdicts") else { panic!("a decision has verdicts") };
    for verdict in verdicts {
        let Json::Map(verdict) = verdict else { panic!("a verdict is a map") };
        if verdict["verdict"] == Json::from("fail") {
            verdict.insert("verdict".to_owned(), "waived(fail)".into());
            verdict.insert("waiver".to_owned(), waiver.clone());
        }
    }
    records
}

#[test]
fn who_waived_until_when_and_why_stands_at_the_verdict() {
    let page = report::index_html(&waived());
    for said in [
        "<strong class=\"word\">Waived</strong> <span class=\"quiet\">waived(fail)</span>",
        "<p>Waived by <strong>ana</strong>, approved by <strong>ben and chen</strong>, from 2026-11-01 to the day before <strong>2027-01-01</strong>.</p>",
        "<span class=\"quiet\">Reason</span> the template is &lt;b&gt;on order&lt;/b&gt;",
        "<span class=\"quiet\">Instead</span> no publication until then",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn a_waiver_that_does_nothing_is_a_finding_of_its_own() {
    let page = report::index_html(&waived());
    let (_, after) = page.split_once("Waivers that do nothing</h3>").unwrap();
    assert!(after.contains("<code>cn.label.visible</code>: no rule `cn.gone` in the packs"), "{}", &after[..400]);
    assert!(!report::index_html(&fixture::denied()).contains("Waivers that do nothing"));
}
