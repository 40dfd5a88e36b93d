//! A first card about a fact: it compiles, its tests pass, and no change of it goes unnoticed.

use evidence::{Kind, Metric, Unit};
use jiff::civil::Date;
use std::fmt::Write as _;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    #[error("expected an id of at most 100 of the letters a-z, digits, `.`, `-`, `_`, found `{0}`")]
    Id(String),
    #[error("the day before {0} is out of range")]
    Date(Date),
}

/// What a card of one kind of fact says, and the facts of its tests.
struct Sketch {
    pass: Option<String>,
    fail: Option<String>,
    bounds: &'static [&'static str],
    /// Comment, fact, outcome with reason.
    tests: Vec<(&'static str, String, &'static str)>,
}

const AGE: &str = "max_age_days   = 31      # counted on the as-of date";
const BOUNDS: [&str; 1] = [AGE];
const MEASURED: [&str; 2] = [AGE, "min_provenance = \"measured\""];
const SAMPLED: [&str; 4] = [
    AGE,
    "min_provenance = \"measured\"",
    "min_n          = 500     # the least sample",
    "interval       = { method = \"clopper-pearson\", level = 0.95 }",
];

/// The text of a card that is in force from a day on.
///
/// # Errors
/// `DraftError` for an id that no card may have.
pub fn draft(id: &str, metric: &Metric, from: Date) -> Result<String, DraftError> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    if id.is_empty() || id.len() > 100 || !id.bytes().all(is_plain) {
        return Err(DraftError::Id(id.chars().take(120).collect()));
    }
    let before = from.yesterday().map_err(|_| DraftError::Date(from))?;
    let sketch = sketch(metric);
    let mut out = head(id, metric, &sketch);
    tail(metric, from, &sketch, &mut out);
    tests(metric, &sketch, [before, from], &mut out);
    Ok(out)
}

fn head(id: &str, metric: &Metric, sketch: &Sketch) -> String {
    let kind = if sketch.pass.is_some() { "assess" } else { "attest" };
    let mut out = format!(
        "# All plain fields come first: after a `[[table]]` they would belong to it.\n\
         schema    = 1\n\
         id        = \"{id}\"\n\
         version   = \"0.1.0\"\n\
         kind      = \"{kind}\"   # `assess`: over evidence; `attest`: a named person's declaration\n\
         severity  = \"medium\"   # critical, high, medium, low, info\n\
         owner     = \"model-governance\"\n\
         title     = \"What holds when this rule passes, in one sentence\"\n\
         gates     = [\"release\"] # data, plan, train, compress, evaluate, release\n\
         applies   = '\"EU\" in system.jurisdictions'\n"
    );
    match (&sketch.pass, &sketch.fail) {
        (Some(pass), Some(fail)) => {
            let _ = write!(
                out,
                "# Two separate conditions. Neither true: the evidence lies between the bounds, and the verdict says so.\n\
                 pass_when = '{pass}'\nfail_when = '{fail}'\n"
            );
        }
        _ => out.push_str(
            "# Without conditions the card passes on the declarations it needs, and fails on a declared `no`.\n",
        ),
    }
    let _ = write!(
        out,
        "remedy    = \"What to run or to bring for `{}`.\"\n\n\
         [[cite]]\n\
         instrument = \"House rules\"\n\
         locator    = \"1\"\n\
         says       = \"our paraphrase of the clause\"\n\
         house      = \"what is our reading and not the clause's\"\n\
         confirmed  = \"no\"       # yes: read in a named source; part; no: recalled. Below `yes` the rule never denies\n\n",
        metric.id
    );
    out
}

fn tail(metric: &Metric, from: Date, sketch: &Sketch, out: &mut String) {
    let _ = write!(
        out,
        "[[force]]\nfrom   = {from}\nsource = \"where the date comes from\"\n\n\
         # {}\n[[needs]]\nfact           = \"{}\"\ntype           = \"{}\"\nsubject        = \"{}\"\n",
        metric.what,
        metric.id,
        metric.kind.name(),
        metric.about.name()
    );
    for bound in sketch.bounds {
        let _ = writeln!(out, "{bound}");
    }
}

fn tests(metric: &Metric, sketch: &Sketch, [before, from]: [Date; 2], out: &mut String) {
    let mut add = |comment: &str, day: Date, system: &str, given: &str, expect: &str| {
        let (outcome, because) = expect.split_once(' ').unwrap_or((expect, ""));
        let because = if because.is_empty() { String::new() } else { format!("because = \"{because}\"\n") };
        let given = match given {
            "" => "given   = {}\n".to_owned(),
            fact => format!("given.{} = {{ {fact} }}\n", metric.id),
        };
        let _ =
            write!(out, "\n[[tests]] # {comment}\nas_of   = {day}\n{system}expect  = \"{outcome}\"\n{because}{given}");
    };
    let eu = "system  = { jurisdictions = [\"EU\"] }\n";
    for (comment, fact, expect) in &sketch.tests {
        add(comment, from, eu, fact, expect);
    }
    let good = sketch.tests.first().map_or("", |(_, fact, _)| fact.as_str());
    let with = |more: &str| format!("{good}, {more}");
    let expected = sketch.tests.first().map_or("pass", |(_, _, expect)| expect);
    let (missing, old) = match sketch.pass {
        Some(_) => ("insufficient-evidence evidence-missing", "insufficient-evidence evidence-too-old"),
        None => ("awaiting-person no-answer", "awaiting-person answer-too-old"),
    };
    add("nobody has brought the fact", from, eu, "", missing);
    add("on its last good day", from, eu, &with("age_days = 31"), expected);
    add("a day too old", from, eu, &with("age_days = 32"), old);
    if sketch.bounds.len() > 1 {
        add("only inferred", from, eu, &with("provenance = \"inferred\""), "insufficient-evidence provenance-too-low");
    }
    if sketch.bounds.len() > 2 {
        let one_fewer = good.replace("n = 500", "n = 499");
        add("one fewer than the least sample", from, eu, &one_fewer, "insufficient-evidence sample-too-small");
        add("another interval method", from, eu, &with("method = \"wilson\""), "insufficient-evidence interval-method");
    }
    add("offered elsewhere", from, "system  = { jurisdictions = [\"JP\"] }\n", good, "not-applicable");
    add("nobody said where it is offered", from, "", good, "insufficient-evidence applicability-unknown");
    add("the day before", before, eu, good, "not-in-force");
}

/// Conditions with a constant to be replaced, and facts at it and one step either side.
fn sketch(metric: &Metric) -> Sketch {
    let id = metric.id;
    let of = |pass: &str,
              fail: &str,
              bounds: &'static [&'static str],
              tests: Vec<(&'static str, String, &'static str)>| Sketch {
        pass: Some(pass.replace("x.", &format!("{id}."))),
        fail: Some(fail.replace("x.", &format!("{id}."))),
        bounds,
        tests,
    };
    let value = |comment, value: &str, expect| (comment, format!("value = {value}"), expect);
    match metric.kind {
        Kind::Count => of(
            "x.value >= 10",
            "x.value < 10",
            &MEASURED,
            vec![
                value("the number itself", "10", "pass"),
                value("above it", "11", "pass"),
                value("below it", "9", "fail"),
            ],
        ),
        Kind::Quantity => quantity(metric),
        Kind::Proportion => of("x.lower95 >= 0.95", "x.upper95 < 0.95", &SAMPLED, proportions()),
        Kind::Span => of(
            "x.value <= duration(\"24h\")",
            "x.value > duration(\"24h\")",
            &BOUNDS,
            vec![
                value("just in time", "\"24h\"", "pass"),
                value("a second before", "\"23h59m59s\"", "pass"),
                value("a second late", "\"24h1s\"", "fail"),
            ],
        ),
        Kind::Moment => {
            let day = "timestamp(\"2026-01-01T00:00:00Z\")";
            of(
                &format!("x.value >= {day}"),
                &format!("x.value < {day}"),
                &BOUNDS,
                vec![
                    value("on the day", "2026-01-01", "pass"),
                    value("later", "2026-01-02", "pass"),
                    value("a day too early", "2025-12-31", "fail"),
                ],
            )
        }
        Kind::Text => of(
            "x.value == \"yes\"",
            "x.value != \"yes\"",
            &BOUNDS,
            vec![value("the word", "\"yes\"", "pass"), value("another word", "\"no\"", "fail")],
        ),
        Kind::List => of(
            "size(x.value) >= 1",
            "size(x.value) < 1",
            &BOUNDS,
            vec![
                value("one item", "[\"a\"]", "pass"),
                value("two items", "[\"a\", \"b\"]", "pass"),
                value("none", "[]", "fail"),
            ],
        ),
        Kind::Flag | Kind::Document => {
            let field = if metric.kind == Kind::Flag { "value" } else { "present" };
            let answer = |comment, answer: bool, expect| (comment, format!("{field} = {answer}"), expect);
            let tests = vec![answer("a person says so", true, "pass"), answer("a person says not", false, "fail")];
            Sketch { pass: None, fail: None, bounds: &BOUNDS, tests }
        }
    }
}

fn quantity(metric: &Metric) -> Sketch {
    let (below, bound, above) = match metric.unit {
        Unit::Flop => ("9.9e24", "1e25", "1.01e25"),
        _ => ("0.99", "1.0", "1.01"),
    };
    // A step of the last place, and one of a hundredth: both sides of either.
    let next = if metric.unit == Unit::Flop { "2e25" } else { "1.1" };
    let fact = |comment, [lower, value, upper]: [&str; 3], expect| {
        (comment, format!("lower = {lower}, value = {value}, upper = {upper}"), expect)
    };
    let tests = vec![
        fact("the number itself", [bound; 3], "pass"),
        fact("below it", [below; 3], "pass"),
        fact("above it", [above; 3], "fail"),
        fact("well above it", [next; 3], "fail"),
        fact("the interval lies across the number", [bound, bound, above], "insufficient-evidence between-bounds"),
    ];
    Sketch {
        pass: Some(format!("{}.upper <= {bound}", metric.id)),
        fail: Some(format!("{}.lower > {bound}", metric.id)),
        bounds: &MEASURED,
        tests,
    }
}

fn proportions() -> Vec<(&'static str, String, &'static str)> {
    let share = |comment, [lower, value, upper]: [&str; 3], expect| {
        (comment, format!("n = 500, value = {value}, lower95 = {lower}, upper95 = {upper}"), expect)
    };
    vec![
        share("the lower bound on the number itself", ["0.95", "0.97", "0.98"], "pass"),
        share("the lower bound above it", ["0.96", "0.98", "0.99"], "pass"),
        share("the lower bound just below it", ["0.9405", "0.95", "0.96"], "insufficient-evidence between-bounds"),
        share("the upper bound on the number itself", ["0.9", "0.93", "0.95"], "insufficient-evidence between-bounds"),
        share("the upper bound just below it", ["0.9", "0.92", "0.9405"], "fail"),
    ]
}
