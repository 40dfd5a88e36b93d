//! One card → one module, and the modules that gather them.

use super::condition::emit;
use super::quoted;
use crate::card::{Card, Condition, Need, Window};
use crate::enforce::EnforceCard;
use crate::expr::{Expr, Leaf, Source};
use crate::obligation::{Obligation, RequestEffect};
use crate::request::MEMBERS;
use std::fmt::Write as _;

const IMPORTS: &str = "\nimport data.assize.lib\nimport rego.v1\n\n";

fn heading(out: &mut String, id: &str, version: &str, title: &str, package: &str) {
    let _ = write!(out, "# {id} {version}: {title}\npackage {package}\n{IMPORTS}");
    out.push_str("day := object.get(input, \"as_of\", null)\nsystem := object.get(input, \"system\", {})\n\n");
}

/// `data.assize.cards.NAME.verdict` is the verdict's name.
pub(super) fn card(card: &Card, name: &str) -> String {
    let mut out = String::new();
    heading(&mut out, &card.id, &card.version.to_string(), &card.title, &format!("assize.cards.{name}"));
    let facts = facts_read(card);
    for (at, id) in facts.iter().enumerate() {
        let _ = writeln!(out, "fact{at} := lib.fact({}, day)", quoted(id));
        match card.need(id) {
            Some(need) => {
                let _ = writeln!(out, "met{at} := lib.is_met(fact{at}, {})", need_object(need, card));
            }
            None => {
                let _ = writeln!(out, "met{at} := \"t\"");
            }
        }
    }
    let position = |id: &str| facts.iter().position(|known| *known == id).unwrap_or(0);
    let raw = |leaf: &Leaf| match leaf.source {
        Source::System(name) => format!("object.get(system, {}, null)", quoted(name)),
        Source::Fact(metric, field) => {
            let at = position(metric.id);
            format!("lib.seen(fact{at}, met{at}, {})", quoted(field))
        }
        Source::Request(_) | Source::Variable => "null".to_owned(),
    };
    let force = force(&card.windows, &raw, &mut out);
    let [applies, mut pass, mut fail] =
        Condition::ALL.map(|condition| emit(condition.name(), card.condition(condition), &raw, &mut out));
    if let Some(check) = &card.check {
        let needed = card.needs.iter().map(|need| (position(need.metric.id), need.metric.id));
        let rows: Vec<String> = needed.map(|(at, id)| format!("[{}, fact{at}, met{at}]", quoted(id))).collect();
        let _ = writeln!(
            out,
            "seen := {{row[0]: row[1] | some row in [{}]; row[2] == \"t\"; is_object(row[1])}}\n\n\
             said := found if {{\n\tfound := {} with input as {{\"as_of\": day, \"system\": system, \"facts\": seen}}\n}}",
            rows.join(", "),
            check.rule
        );
        (pass, fail) = ("lib.said_pass(said)".to_owned(), "lib.said_fail(said)".to_owned());
    }
    let binding: Vec<String> = card
        .needs
        .iter()
        .filter(|need| !need.is_optional)
        .map(|need| format!("met{}", position(need.metric.id)))
        .collect();
    let binding = if binding.is_empty() { "set()".to_owned() } else { format!("{{{}}}", binding.join(", ")) };
    let kind = quoted(card.kind.name());
    let _ = writeln!(
        out,
        "\n# What cannot be read is an error.\ndefault verdict := \"error\"\n\nverdict := found if {{\n\tlib.is_day(day)\n\
         \tfound := lib.verdict({kind}, {applies}, {force}, lib.all_of({binding}), {pass}, {fail})\n}}"
    );
    out
}

/// The facts that a card needs or reads, each once.
fn facts_read(card: &Card) -> Vec<&'static str> {
    let mut facts: Vec<&'static str> = card.needs.iter().map(|need| need.metric.id).collect();
    let grace = card.windows.iter().flat_map(|window| window.grace.iter().filter_map(|grace| grace.when.as_ref()));
    let windows = card.windows.iter().filter_map(|window| window.when.as_ref()).chain(grace);
    let exprs = Condition::ALL.into_iter().map(|condition| card.condition(condition)).chain(windows);
    for leaf in exprs.flat_map(Expr::leaves) {
        if let Source::Fact(metric, _) = leaf.source
            && !facts.contains(&metric.id)
        {
            facts.push(metric.id);
        }
    }
    facts
}

fn need_object(need: &Need, card: &Card) -> String {
    let number = |value: Option<u64>| value.map_or("null".to_owned(), |value| value.to_string());
    let interval = need.interval.as_ref();
    let level = interval.and_then(|interval| interval.level).map_or("null".to_owned(), |level| level.to_string());
    format!(
        "{{\"attest\": {}, \"min_n\": {}, \"max_age_days\": {}, \"min_provenance\": {}, \"method\": {}, \"level\": {level}}}",
        card.kind == crate::card::CardKind::Attest,
        number(need.min_n),
        number(need.max_age_days),
        need.min_provenance.map_or("null".to_owned(), |provenance| quoted(provenance.name())),
        interval.map_or("null".to_owned(), |interval| quoted(&interval.method)),
    )
}

/// Whether a window holds: what refers to it.
fn force(windows: &[Window], raw: &dyn Fn(&Leaf) -> String, out: &mut String) -> String {
    let mut names = Vec::new();
    for (at, window) in windows.iter().enumerate() {
        let mut truth = |prefix: &str, when: &Option<Expr>| match when {
            None => "\"t\"".to_owned(),
            Some(when) => emit(prefix, when, raw, out),
        };
        let when = truth(&format!("window{at}"), &window.when);
        let graces: Vec<String> = window
            .grace
            .iter()
            .enumerate()
            .map(|(n, grace)| {
                let when = truth(&format!("window{at}_grace{n}"), &grace.when);
                format!("[{when}, {}]", quoted(&grace.until.to_string()))
            })
            .collect();
        let until = window.until.map_or("null".to_owned(), |until| quoted(&until.to_string()));
        let from = quoted(&window.from.to_string());
        let _ = writeln!(out, "window{at} := lib.is_open({when}, {from}, {until}, [{}], day)", graces.join(", "));
        names.push(format!("window{at}"));
    }
    format!("lib.any_of({{{}}})", names.join(", "))
}

const fn rank(effect: RequestEffect) -> u8 {
    effect as u8
}

/// `data.assize.requests.NAME.result` says rule, state, effect (by rank) and obligations.
pub(super) fn guard(card: &EnforceCard, name: &str, is_enforced: bool) -> String {
    let mut out = String::new();
    heading(&mut out, &card.id, &card.version.to_string(), &card.title, &format!("assize.requests.{name}"));
    out.push_str("members := object.get(input, \"request\", {})\n\n");
    let raw = |leaf: &Leaf| match leaf.source {
        Source::System(name) => format!("object.get(system, {}, null)", quoted(name)),
        Source::Request(id) => format!("object.get(members, {}, null)", quoted(MEMBERS[id].path)),
        Source::Fact(..) | Source::Variable => "null".to_owned(),
    };
    let force = force(&card.windows, &raw, &mut out);
    let applies = emit("applies", &card.applies, &raw, &mut out);
    let mut rows = Vec::new();
    for (at, oblige) in card.obliges.iter().enumerate() {
        let when = oblige.when.as_ref().map(|when| emit(&format!("when{at}"), when, &raw, &mut out));
        let unless = oblige.unless.as_ref().map(|unless| emit(&format!("unless{at}"), unless, &raw, &mut out));
        let truth = match (when, unless) {
            (None, None) => "\"t\"".to_owned(),
            (Some(when), None) => when,
            (None, Some(unless)) => format!("lib.negated({unless})"),
            (Some(when), Some(unless)) => format!("lib.all_of({{{when}, lib.negated({unless})}})"),
        };
        let does: Vec<String> = oblige.does.iter().map(|obligation| quoted(obligation.text())).collect();
        let effect = oblige.does.iter().map(Obligation::effect).max().unwrap_or(RequestEffect::Allow);
        rows.push(format!("[{truth}, [{}], {}]", does.join(", "), rank(effect)));
    }
    let _ = writeln!(out, "\nowed := [\n\t{}\n]\n\nstate := lib.state({applies}, {force}, owed)", rows.join(",\n\t"));
    let _ = writeln!(
        out,
        "\nanswer := lib.answer(state, owed, {on_error})\n\n# What cannot be read is an error.\n\
         default result := {{\"rule\": {id}, \"enforced\": {is_enforced}, \"state\": \"error\", \"effect\": {on_error}, \"obligations\": set()}}\n\n\
         result := {{\"rule\": {id}, \"enforced\": {is_enforced}, \"state\": state, \"effect\": answer.effect, \"obligations\": answer.obligations}} if lib.is_day(day)",
        id = quoted(&card.id),
        on_error = rank(card.on_error),
    );
    out
}

/// `data.assize.verdicts`: each rule's verdict by id.
pub(super) fn verdicts(cards: &[(String, String)]) -> String {
    let mut out = "# The verdict of every rule.\npackage assize\n\nimport rego.v1\n\nverdicts := {\n".to_owned();
    for (key, name) in cards {
        let _ = writeln!(out, "\t{}: data.assize.cards.{name}.verdict,", quoted(key));
    }
    out.push_str("}\n");
    out
}

/// `data.assize.gate`: effect and obligations of the rules at the request's point.
pub(super) fn gate(names: [Vec<&str>; 3]) -> String {
    let mut out =
        "# What becomes of a request.\npackage assize.gate\n\nimport data.assize.lib\nimport rego.v1\n\n".to_owned();
    let rows = |names: &[&str]| {
        let rows: Vec<String> = names.iter().map(|name| format!("data.assize.requests.{name}.result")).collect();
        format!("[\n\t{}\n]", rows.join(",\n\t"))
    };
    let [input, output, tool] = names.map(|names| rows(&names));
    let _ = writeln!(
        out,
        "rows := {input} if {{\n\tinput.point == \"input\"\n}} else := {output} if {{\n\tinput.point == \"output\"\n\
         }} else := {tool} if {{\n\tinput.point == \"tool\"\n}}\n\n\
         default effect := \"block\"\n\n\
         effect := lib.effects[max({{row.effect | some row in rows; row.enforced}} | {{0}})] if is_array(rows)\n\n\
         obligations := {{owed | some row in rows; row.enforced; some owed in row.obligations}}\n"
    );
    out
}
