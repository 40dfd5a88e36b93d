//! The result for a person and for a program.

use super::agree::Disagreement;
use super::classify::{Answer, Classified, Outcome, PathStep, Standing};
use crate::expr::Truth;
use evidence::Json;
use std::fmt::Write as _;

/// The regimes that the result always names, with what they are called.
pub const REGIMES: [(&str, &str); 4] =
    [("eu", "European Union"), ("cn", "China"), ("us", "United States"), ("kr", "Korea")];

impl Outcome<'_> {
    fn to_json(&self, has_card: &dyn Fn(&str) -> bool) -> Json {
        let class = self.class;
        let texts = |items: &[String]| (!items.is_empty()).then(|| Json::list(items.iter().map(String::as_str)));
        let rule = |id: &String| Json::map([("id", Some(id.as_str().into())), ("card", Some(has_card(id).into()))]);
        let implies = &class.implies;
        let implied = [
            ("risk_class", implies.risk_class.map(|class| class.name().into())),
            ("risk_route", implies.risk_route.as_deref().map(Json::from)),
            ("general_purpose", implies.flags.contains(&"general_purpose").then_some(true.into())),
            ("systemic_risk", implies.flags.contains(&"systemic_risk").then_some(true.into())),
        ];
        let has_implied = implied.iter().any(|(_, value)| value.is_some());
        let window = self.standing.window();
        Json::map([
            ("id", Some(class.id.as_str().into())),
            ("title", Some(class.title.as_str().into())),
            ("value", Some(self.answer.name().into())),
            ("because", Some(self.because.as_str().into())),
            ("standing", Some(self.standing.name().into())),
            ("from", window.map(|window| window.from.into())),
            ("until", window.and_then(|window| window.until).map(Json::from)),
            ("date_source", window.map(|window| window.source.as_str().into())),
            ("confirmed", Some(class.confirmed().name().into())),
            ("cite", Some(Json::List(class.cites.iter().map(crate::card::Cite::to_json).collect()))),
            ("binds", texts(&class.binds)),
            ("rules", (!class.rules.is_empty()).then(|| Json::List(class.rules.iter().map(rule).collect()))),
            ("implies", has_implied.then(|| Json::map(implied))),
            ("note", class.note.as_deref().map(Json::from)),
        ])
    }

    /// `in force since 2025-02-02`, `announced, from 2027-12-02`.
    fn dates(&self) -> String {
        match self.standing {
            Standing::InForce(window) => format!("in force since {}", window.from),
            Standing::Announced(window) => format!("announced, from {}", window.from),
            Standing::NoLonger(window) => match window.until {
                Some(until) => format!("out of force since {until}"),
                None => "out of force".to_owned(),
            },
            Standing::Undated => String::new(),
        }
    }
}

fn step_json(step: &PathStep<'_>) -> Json {
    Json::map([
        ("class", Some(step.class.into())),
        ("part", Some(step.part.name().into())),
        ("depth", Some(step.depth.into())),
        ("expression", Some(step.expression.as_str().into())),
        ("value", Some(step.truth.name().into())),
        ("read", (!step.read.is_empty()).then(|| step.read.as_str().into())),
        ("cite", Some(step.cite.as_str().into())),
    ])
}

impl Classified<'_> {
    /// `classes` by regime, the `path` of every class, the `open_questions`; `findings` where a case was held against it.
    #[must_use]
    pub fn to_json(&self, has_card: &dyn Fn(&str) -> bool, findings: Option<&[Disagreement]>) -> Json {
        let outcomes = self.outcomes();
        let of_regime = |regime: &str| {
            let own = outcomes.iter().filter(|outcome| outcome.class.regime == regime);
            (regime.to_owned(), Json::List(own.map(|outcome| outcome.to_json(has_card)).collect()))
        };
        let classes = Json::Map(self.regimes().iter().map(|regime| of_regime(regime)).collect());
        let path = outcomes.iter().flat_map(|outcome| self.path(outcome.class)).map(|step| step_json(&step));
        let questions = self.open_questions();
        let left_out = self.classes.left_out().iter().map(|left_out| {
            Json::map([
                ("regime", Some(left_out.regime.as_str().into())),
                ("what", Some(left_out.what.as_str().into())),
            ])
        });
        Json::map([
            ("as_of", Some(self.as_of.into())),
            ("use", Some(self.answers.to_json())),
            ("classes", Some(classes)),
            ("path", Some(Json::List(path.collect()))),
            ("open_questions", Some(Json::List(questions.iter().map(super::OpenQuestion::to_json).collect()))),
            ("left_out", Some(Json::List(left_out.collect()))),
            ("findings", findings.map(|all| Json::List(all.iter().map(Disagreement::to_json).collect()))),
        ])
    }

    /// The four regimes, then those that a pack brought.
    fn regimes(&self) -> Vec<&str> {
        let mut regimes: Vec<&str> = REGIMES.iter().map(|(key, _)| *key).collect();
        for class in self.classes.classes() {
            if !regimes.contains(&class.regime.as_str()) {
                regimes.push(&class.regime);
            }
        }
        regimes
    }

    /// Regime by regime: the classes that hold, with their trees; those that are open; those that do not hold, a line each.
    #[must_use]
    pub fn to_text(&self, has_card: &dyn Fn(&str) -> bool) -> String {
        let outcomes = self.outcomes();
        let mut out = String::new();
        for regime in self.regimes() {
            let own: Vec<&Outcome<'_>> = outcomes.iter().filter(|outcome| outcome.class.regime == regime).collect();
            let title = REGIMES.iter().find(|(key, _)| *key == regime).map_or(regime, |(_, title)| title);
            let n = |answer: Answer| own.iter().filter(|outcome| outcome.answer == answer).count();
            let (yes, open, no) = (n(Answer::Yes), n(Answer::Open), n(Answer::No));
            let _ = writeln!(out, "{title} as of {}: {yes} yes, {open} open, {no} no", self.as_of);
            for answer in [Answer::Yes, Answer::Open] {
                own.iter()
                    .filter(|outcome| outcome.answer == answer)
                    .for_each(|outcome| out.push_str(&self.tree(outcome, has_card)));
            }
            for outcome in own.iter().filter(|outcome| outcome.answer == Answer::No) {
                let _ = writeln!(out, "  no    {}: {}", outcome.class.id, outcome.because);
            }
            for left_out in self.classes.left_out().iter().filter(|left_out| left_out.regime == regime) {
                let _ = writeln!(out, "  not classified: {}", left_out.what);
            }
            out.push('\n');
        }
        let questions = self.open_questions();
        if !questions.is_empty() {
            let _ = writeln!(out, "open questions, the most decisive first; answer with --set KEY=VALUE");
        }
        for question in &questions {
            let (fact, n) = (question.fact, question.classes.len());
            let plural = if n == 1 { "class" } else { "classes" };
            let _ = writeln!(out, "  use.{} ({}, {n} {plural}): {}", fact.name, fact.kind.name(), fact.question);
        }
        out
    }

    /// One class: what it is, its clauses, and each condition with its value.
    #[must_use]
    pub fn tree(&self, outcome: &Outcome<'_>, has_card: &dyn Fn(&str) -> bool) -> String {
        let class = outcome.class;
        let mut out = String::new();
        let dates = match outcome.dates() {
            dates if dates.is_empty() => dates,
            dates => format!(" [{dates}]"),
        };
        let _ = writeln!(out, "  {:5} {}: {}{dates}", outcome.answer.name(), class.id, class.title);
        for cite in &class.cites {
            let _ =
                writeln!(out, "        {}, {} (confirmed: {})", cite.instrument, cite.locator, cite.confirmed.name());
            let _ = writeln!(out, "          says: {}", cite.says);
            if let Some(house) = &cite.house {
                let _ = writeln!(out, "          our reading: {house}");
            }
        }
        out.push_str(&branches(&self.path(class)));
        if outcome.answer == Answer::Yes {
            if !class.binds.is_empty() {
                let _ = writeln!(out, "        binds: {}", class.binds.join(", "));
            }
            if !class.rules.is_empty() {
                let rule = |id: &String| if has_card(id) { id.clone() } else { format!("{id} (no card)") };
                let rules: Vec<String> = class.rules.iter().map(rule).collect();
                let _ = writeln!(out, "        brings in: {}", rules.join(", "));
            }
        }
        if let Some(note) = &class.note {
            let _ = writeln!(out, "        note: {note}");
        }
        out
    }
}

/// The steps of one class as a drawn tree; the part's name stands before the top of each.
fn branches(steps: &[PathStep<'_>]) -> String {
    let mut out = String::new();
    // Whether the step has a later sibling: another step of its depth before one that lies higher, or of another part.
    let continues = |at: usize, depth: usize| {
        let mut later = steps[at + 1..].iter().take_while(|step| step.part == steps[at].part && step.depth >= depth);
        later.any(|step| step.depth == depth)
    };
    let is_last_part = |at: usize| steps[at..].iter().all(|step| step.part == steps[at].part);
    for (at, step) in steps.iter().enumerate() {
        let mut lead = String::from("        ");
        if step.depth == 0 {
            lead.push_str(if is_last_part(at) { "└─ " } else { "├─ " });
        } else {
            lead.push_str(if is_last_part(at) { "   " } else { "│  " });
            for depth in 1..step.depth {
                lead.push_str(if continues(at, depth) { "│  " } else { "   " });
            }
            lead.push_str(if continues(at, step.depth) { "├─ " } else { "└─ " });
        }
        let part = if step.depth == 0 { format!("{}: ", step.part.name()) } else { String::new() };
        // A path alone says what was read by its value.
        let is_plain = step.expression.starts_with("use.")
            && !step.expression.contains([' ', '('])
            && step.truth != Truth::Missing;
        let read = if is_plain || step.read.is_empty() { String::new() } else { format!(" ({})", step.read) };
        let _ = writeln!(out, "{lead}{part}{} = {}{read} [{}]", step.expression, step.truth.name(), step.cite);
    }
    out
}
