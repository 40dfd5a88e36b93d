//! Prints generated conditions with facts, some of them left out, and our answer, as JSON lines for `tests/referees/cel.py`.
//!
//! `cel_cases [N] [SEED]`: N expressions (default 20,000), four sets of facts each.
#![allow(clippy::print_stdout, reason = "a command line tool whose output is its purpose")]

mod drawn;

use drawn::{Dice, resolve, top, value};
use evidence::Json;
use policy::expr::{Expr, Fault, Leaf, Operand, Place, Truth, Type, Value};
use std::io::Write as _;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let n = arguments.next().unwrap_or(20_000);
    let mut dice = Dice(arguments.next().unwrap_or(1));
    let mut out = std::io::stdout().lock();
    let mut made = 0;
    while made < n {
        let text = top(&mut dice);
        let Ok(expr) = Expr::compile(&text, Place::PassWhen, &resolve) else {
            // Beyond 64 nodes or 16 levels: the generator drew too large a tree.
            continue;
        };
        made += 1;
        for _ in 0..4 {
            let line = case(&text, &expr, &mut dice);
            if writeln!(out, "{}", line.canonical()).is_err() {
                return;
            }
        }
    }
}

/// A fact: there, left out, or invalid.
enum Fact {
    There(Value),
    Missing,
    Invalid,
}

fn case(text: &str, expr: &Expr, dice: &mut Dice) -> Json {
    let facts: Vec<(&str, Type, Fact)> = expr
        .leaves()
        .iter()
        .map(|leaf| {
            let fact = match dice.below(20) {
                0..=3 => Fact::Missing,
                4 => Fact::Invalid,
                _ => Fact::There(value(leaf.kind, dice)),
            };
            (leaf.path.as_str(), leaf.kind, fact)
        })
        .collect();
    let value_of = |leaf: &Leaf| match facts.iter().find(|(path, _, _)| *path == leaf.path) {
        Some((_, _, Fact::There(value))) => Operand::of(value),
        Some((_, _, Fact::Invalid)) => Operand::Error(Fault::Invalid("drawn so")),
        Some((_, _, Fact::Missing)) | None => Operand::Missing,
    };
    let answer = match evaluate(expr, &value_of) {
        Truth::True => "true",
        Truth::False => "false",
        Truth::Missing | Truth::Error => "none",
    };
    let data = facts.iter().filter_map(|(path, kind, fact)| match fact {
        Fact::There(value) => {
            let pair = [("type", Some(Json::from(kind.to_string()))), ("value", Some(wire(value)))];
            Some(((*path).to_owned(), Json::map(pair)))
        }
        Fact::Missing | Fact::Invalid => None,
    });
    let state = |fact: &Fact| match fact {
        Fact::There(_) => "true",
        Fact::Missing => "false",
        // CEL knows no invalid fact: a division by zero stands for it.
        Fact::Invalid => "(1 / 0 == 1)",
    };
    let projected =
        facts.iter().fold(text.to_owned(), |text, (path, _, fact)| text.replace(&format!("has({path})"), state(fact)));
    Json::map([
        ("expr", Some(text.into())),
        ("cel", Some(projected.into())),
        ("data", Some(Json::Map(data.collect()))),
        ("answer", Some(answer.into())),
    ])
}

fn evaluate<'a>(expr: &'a Expr, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Truth {
    expr.evaluate(value_of)
}

/// Integers as text, since Python reads JSON integers exactly but our profile stops at 2^53; durations in nanoseconds.
fn wire(value: &Value) -> Json {
    match value {
        Value::Int(value) | Value::Duration(value) => value.to_string().into(),
        Value::List(items) => Json::List(items.iter().map(wire).collect()),
        other => other.to_json(),
    }
}
