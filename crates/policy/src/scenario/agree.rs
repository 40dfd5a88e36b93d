//! What a case claims of its system, held against its scenario.

use super::answers::{Answers, shared};
use super::classes::RiskClass;
use super::classify::{Answer, Classified, Outcome, Standing};
use crate::expr::{Truth, Value};
use crate::facts::System;
use evidence::Json;

/// A claim under `[system]` that the scenario does not bear out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// The member of `system`.
    pub member: &'static str,
    pub claimed: String,
    /// What the scenario comes to, and by which classes.
    pub found: String,
    /// The classes whose paths show why.
    pub classes: Vec<String>,
}

impl Disagreement {
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([
            ("member", Some(format!("system.{}", self.member).into())),
            ("claimed", Some(self.claimed.as_str().into())),
            ("found", Some(self.found.as_str().into())),
            ("classes", Some(Json::list(self.classes.iter().map(String::as_str)))),
        ])
    }
}

impl std::fmt::Display for Disagreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the case claims `system.{} = {}`; {}", self.member, self.claimed, self.found)
    }
}

/// Every claim of `system` that the scenario contradicts. A claim is let stand where an open class could still make it true.
#[must_use]
pub fn disagreements(classified: &Classified<'_>, system: &System) -> Vec<Disagreement> {
    let mut outcomes = classified.outcomes();
    // Where a regime does not apply, what is claimed under it is left alone.
    outcomes
        .retain(|outcome| outcome.class.scope.as_ref().is_none_or(|scope| classified.truth_of(scope) != Truth::False));
    let mut all = Vec::new();
    all.extend(risk_class(&outcomes, system));
    all.extend(risk_route(&outcomes, system));
    all.extend(["general_purpose", "systemic_risk"].into_iter().filter_map(|name| flag(&outcomes, system, name)));
    all.extend(plain_facts(classified.answers, system));
    all
}

fn text<'a>(system: &'a System, name: &str) -> Option<&'a str> {
    match system.get(name)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// `eu.high_risk.annex3 (Art. 6(2)-(3), announced, from 2027-12-02)`
fn named(outcome: &Outcome<'_>) -> String {
    let dates = match outcome.standing {
        Standing::Announced(window) => format!(", announced, from {}", window.from),
        Standing::NoLonger(window) => {
            window.until.map(|until| format!(", out of force since {until}")).unwrap_or_default()
        }
        Standing::InForce(_) | Standing::Undated => String::new(),
    };
    format!("{} ({}{dates})", outcome.class.id, outcome.class.locator())
}

/// SPEC: the strictest class that holds is the class; a stricter one that is open may still turn out to be.
fn risk_class(outcomes: &[Outcome<'_>], system: &System) -> Option<Disagreement> {
    let claimed = text(system, "risk_class")?;
    let rank = RiskClass::from_name(claimed)?;
    let held = |answer: Answer| {
        let of = outcomes.iter().filter(move |outcome| outcome.answer == answer);
        of.filter_map(|outcome| Some((outcome.class.implies.risk_class?, outcome)))
    };
    let floor = held(Answer::Yes).map(|(rank, _)| rank).max();
    let is_possible = held(Answer::Yes).chain(held(Answer::Open)).any(|(possible, _)| possible == rank);
    // Where no class speaks of the use at all, there is nothing to compare with.
    let speaks = floor.is_some() || held(Answer::Open).next().is_some();
    if !speaks || (is_possible && floor.is_none_or(|floor| floor <= rank)) {
        return None;
    }
    let decisive = |(found, _): &(RiskClass, &Outcome<'_>)| floor.is_some_and(|floor| *found == floor);
    let by: Vec<&Outcome<'_>> = held(Answer::Yes).filter(decisive).map(|(_, outcome)| outcome).collect();
    let open: Vec<&Outcome<'_>> = held(Answer::Open).map(|(_, outcome)| outcome).collect();
    let found = match floor {
        Some(floor) => format!("the scenario comes to `{}` by {}", floor.name(), list(&by)),
        None => format!("the scenario can only come to {}", list(&open)),
    };
    let shown = if by.is_empty() { open } else { by };
    let classes = shown.iter().map(|outcome| outcome.class.id.clone()).collect();
    Some(Disagreement { member: "risk_class", claimed: Value::from(claimed).to_string(), found, classes })
}

fn list(outcomes: &[&Outcome<'_>]) -> String {
    outcomes.iter().map(|outcome| named(outcome)).collect::<Vec<_>>().join(", ")
}

fn risk_route(outcomes: &[Outcome<'_>], system: &System) -> Option<Disagreement> {
    let claimed = text(system, "risk_route")?;
    let routes = || outcomes.iter().filter(|outcome| outcome.class.implies.risk_route.is_some());
    let takes = |outcome: &&Outcome<'_>| outcome.class.implies.risk_route.as_deref() == Some(claimed);
    let own: Vec<&Outcome<'_>> = routes().filter(takes).collect();
    if own.is_empty() || own.iter().any(|outcome| outcome.answer != Answer::No) {
        return None;
    }
    let other: Vec<&Outcome<'_>> = routes().filter(|outcome| outcome.answer == Answer::Yes).collect();
    let found = match other.as_slice() {
        [] => format!(
            "the scenario does not take that route: {}",
            own.iter().map(|o| o.because.as_str()).collect::<Vec<_>>().join("; ")
        ),
        other => format!("the scenario is high-risk by {}", list(other)),
    };
    let classes = own.iter().chain(&other).map(|outcome| outcome.class.id.clone()).collect();
    Some(Disagreement { member: "risk_route", claimed: Value::from(claimed).to_string(), found, classes })
}

fn flag(outcomes: &[Outcome<'_>], system: &System, name: &'static str) -> Option<Disagreement> {
    let Some(Value::Bool(claimed)) = system.get(name) else { return None };
    let own: Vec<&Outcome<'_>> =
        outcomes.iter().filter(|outcome| outcome.class.implies.flags.contains(&name)).collect();
    let answer = own.iter().map(|outcome| outcome.answer).max()?;
    let is_contradicted = match (claimed, answer) {
        (true, Answer::No) | (false, Answer::Yes) => true,
        (true | false, Answer::Open) | (true, Answer::Yes) | (false, Answer::No) => false,
    };
    let decisive: Vec<&&Outcome<'_>> = own.iter().filter(|outcome| outcome.answer == answer).collect();
    let shown =
        |outcome: &&&Outcome<'_>| format!("{} is {}: {}", named(outcome), outcome.answer.name(), outcome.because);
    is_contradicted.then(|| Disagreement {
        member: name,
        claimed: claimed.to_string(),
        found: decisive.iter().map(shown).collect::<Vec<_>>().join(", "),
        classes: decisive.iter().map(|outcome| outcome.class.id.clone()).collect(),
    })
}

/// Facts that stand under `[system]` and under `[use]` must be the same.
fn plain_facts(answers: &Answers, system: &System) -> Vec<Disagreement> {
    let stated = Answers::of_system(system);
    let differ = shared(system).filter_map(|(name, _)| {
        let (claimed, answered) = (stated.get(name)?, answers.get(name)?);
        // The purpose is a sentence: two may say the same.
        (claimed != answered && name != "purpose").then(|| Disagreement {
            member: name,
            claimed: claimed.to_string(),
            found: format!("the scenario answers `use.{name} = {answered}`"),
            classes: Vec::new(),
        })
    });
    differ.collect()
}
