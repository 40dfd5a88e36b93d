//! Generated conditions over typed variables: the referees' cases.

use evidence::Decimal;
use policy::expr::{Scalar, Source, Type, Unresolved, Value};

pub(crate) const VARIABLES: [(&str, Type); 24] = [
    ("f.flag", Type::BOOL),
    ("f.other.flag", Type::BOOL),
    ("g.present", Type::BOOL),
    ("f.k", Type::INT),
    ("f.n", Type::INT),
    ("g.steps.value", Type::INT),
    ("f.value", Type::DECIMAL),
    ("f.lower95", Type::DECIMAL),
    ("f.upper95", Type::DECIMAL),
    ("g.compute.upper", Type::DECIMAL),
    ("s.name", Type::TEXT),
    ("s.audience", Type::TEXT),
    ("g.digest", Type::TEXT),
    ("s.on_market", Type::TIMESTAMP),
    ("g.at", Type::TIMESTAMP),
    ("g.until", Type::TIMESTAMP),
    ("g.drill.upper", Type::DURATION),
    ("g.drill.lower", Type::DURATION),
    ("g.kept", Type::DURATION),
    ("s.jurisdictions", Type::TEXTS),
    ("s.modalities", Type::TEXTS),
    ("g.counts", Type::List(Scalar::Int)),
    ("g.shares", Type::List(Scalar::Decimal)),
    ("g.flags", Type::List(Scalar::Bool)),
];

/// SplitMix64: small, seeded, the same on every machine.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

const INTS: [&str; 10] = ["0", "1", "2", "-1", "-3", "500", "499", "9223372036854775807", "-9223372036854775808", "72"];
const DECIMALS: [&str; 14] = [
    "0.0",
    "1.0",
    "0.95",
    "0.938907",
    "0.975387",
    "-0.5",
    "1e25",
    "9.99999999999999e24",
    "1e26",
    "0.949999999999999",
    "2.5E-3",
    "123456789012345.0",
    "0.1",
    "1e-45",
];
const TEXTS: [&str; 12] = ["", "EU", "CN", "US-CA", "EU-x", "public", "pub", "é", "数据", "a\"b", "it's", "\\n\n"];
const TIMES: [&str; 10] = [
    "1970-01-01T00:00:00Z",
    "2026-08-02T00:00:00Z",
    "2026-08-01T23:59:59.999999Z",
    "2027-12-02T00:00:00+08:00",
    "0001-01-02T00:00:00Z",
    "9999-12-30T21:59:59Z",
    "2262-04-11T23:47:16.854775Z",
    "1677-09-21T00:12:43.145225Z",
    "1733-12-02T00:00:00Z",
    "2026-08-02T02:00:00.5+02:00",
];
const SPANS: [&str; 10] =
    ["0s", "1s", "0.41s", "360h", "-2m", "24h", "2562047h47m16.854775s", "-2562047h47m16s", "1281023h", "1h30m"];

/// The scope of generated conditions.
pub(crate) fn resolve(path: &str) -> Result<(Source, Type), Unresolved> {
    let found = VARIABLES.iter().find(|(name, _)| *name == path).map(|(_, kind)| (Source::Variable, *kind));
    found.ok_or_else(|| Unresolved { code: "unknown-fact", message: path.to_owned(), hint: None })
}

pub(crate) fn value(kind: Type, dice: &mut Dice) -> Value {
    match kind {
        Type::One(scalar) => scalar_value(scalar, dice),
        Type::List(scalar) => {
            let n = dice.below(4);
            Value::List((0..n).map(|_| scalar_value(scalar, dice)).collect())
        }
    }
}

fn scalar_value(scalar: Scalar, dice: &mut Dice) -> Value {
    match scalar {
        Scalar::Bool | Scalar::Any => Value::Bool(dice.below(2) == 0),
        Scalar::Int => Value::Int(dice.of(&INTS).parse().unwrap_or(0)),
        Scalar::Decimal => Value::Decimal(dice.of(&DECIMALS).parse().unwrap_or(Decimal::ZERO)),
        Scalar::Text => Value::from(dice.of(&TEXTS)),
        Scalar::Timestamp => dice.of(&TIMES).parse().map_or(Value::Bool(false), Value::Timestamp),
        Scalar::Duration => Value::Duration(policy::expr::parse_duration(dice.of(&SPANS)).unwrap_or(0)),
    }
}

/// `has` stands only outside negations, so it is drawn here and not deeper.
pub(crate) fn top(dice: &mut Dice) -> String {
    let body = condition(dice, 4, None);
    match dice.below(8) {
        0 => format!("has({}) && {body}", dice.of(&VARIABLES).0),
        1 => format!("({body}) || has({})", dice.of(&VARIABLES).0),
        _ => body,
    }
}

type Element<'a> = Option<(&'a str, Scalar)>;

fn condition(dice: &mut Dice, depth: usize, element: Element<'_>) -> String {
    if depth == 0 {
        return atom(dice, 0, element);
    }
    let next = depth - 1;
    let joined = |dice: &mut Dice, mark: &str| {
        let n = 2 + dice.below(2);
        let parts: Vec<String> = (0..n).map(|_| part(dice, next, element)).collect();
        parts.join(mark)
    };
    match dice.below(10) {
        0..=2 => joined(dice, " && "),
        3..=5 => joined(dice, " || "),
        6 => format!("!({})", condition(dice, next, element)),
        7 => format!("!{}", operand(Scalar::Bool, dice, 0, element)),
        _ => atom(dice, next, element),
    }
}

/// An operand of `&&` or `||`: in parentheses half of the time, so that precedence is tried too.
fn part(dice: &mut Dice, depth: usize, element: Element<'_>) -> String {
    if dice.below(3) == 0 { atom(dice, depth, element) } else { format!("({})", condition(dice, depth, element)) }
}

fn atom(dice: &mut Dice, depth: usize, element: Element<'_>) -> String {
    let scalars = [Scalar::Int, Scalar::Decimal, Scalar::Text, Scalar::Timestamp, Scalar::Duration];
    match dice.below(12) {
        0..=4 => {
            let scalar = dice.of(&scalars);
            let mark = dice.of(&["==", "!=", "<", "<=", ">", ">="]);
            let depth = depth.min(2);
            format!("{} {mark} {}", operand(scalar, dice, depth, element), operand(scalar, dice, depth, element))
        }
        5 => {
            let mark = dice.of(&["==", "!="]);
            format!("{} {mark} {}", operand(Scalar::Bool, dice, 0, element), operand(Scalar::Bool, dice, 0, element))
        }
        6 | 7 => membership(dice, element),
        8 => {
            let test = dice.of(&["startsWith", "endsWith", "contains"]);
            let text = variable(Type::TEXT, dice);
            format!("{text}.{test}({})", operand(Scalar::Text, dice, 0, element))
        }
        9 | 10 if element.is_none() && depth > 0 => each(dice, depth),
        _ => operand(Scalar::Bool, dice, 0, element),
    }
}

fn membership(dice: &mut Dice, element: Element<'_>) -> String {
    let scalar = dice.of(&[Scalar::Text, Scalar::Text, Scalar::Int, Scalar::Decimal, Scalar::Bool]);
    let list = if dice.below(2) == 0 { variable(Type::List(scalar), dice) } else { list(scalar, dice) };
    format!("{} in {list}", operand(scalar, dice, 0, element))
}

fn each(dice: &mut Dice, depth: usize) -> String {
    let scalar = dice.of(&[Scalar::Text, Scalar::Int, Scalar::Decimal, Scalar::Bool]);
    let list = variable(Type::List(scalar), dice);
    let quantifier = dice.of(&["exists", "all"]);
    let body = condition(dice, (depth - 1).min(1), Some(("x", scalar)));
    format!("{list}.{quantifier}(x, {body})")
}

fn list(scalar: Scalar, dice: &mut Dice) -> String {
    let n = dice.below(4);
    let items: Vec<String> = (0..n).map(|_| scalar_value(scalar, dice)).map(|value| written(&value)).collect();
    format!("[{}]", items.join(", "))
}

fn variable(kind: Type, dice: &mut Dice) -> String {
    let fitting: Vec<&str> = VARIABLES.iter().filter(|(_, other)| *other == kind).map(|(name, _)| *name).collect();
    dice.of(&fitting).to_owned()
}

fn operand(scalar: Scalar, dice: &mut Dice, depth: usize, element: Element<'_>) -> String {
    if let Some((name, _)) = element.filter(|(_, known)| *known == scalar && dice.below(2) == 0) {
        return name.to_owned();
    }
    let is_time = matches!(scalar, Scalar::Timestamp | Scalar::Duration);
    if is_time && depth > 0 && dice.below(2) == 0 {
        return sum(scalar, dice, depth - 1, element);
    }
    if scalar == Scalar::Int && dice.below(4) == 0 {
        let kind = dice.of(&[Type::TEXT, Type::TEXTS, Type::List(Scalar::Int)]);
        return format!("size({})", variable(kind, dice));
    }
    match dice.below(3) {
        // CEL's first instant is drawn as a literal only: the Python binding takes it as "infinite past" in a variable.
        0 if scalar == Scalar::Timestamp && dice.below(8) == 0 => "timestamp(\"0001-01-01T00:00:00Z\")".to_owned(),
        0 => written(&scalar_value(scalar, dice)),
        _ => variable(Type::One(scalar), dice),
    }
}

fn sum(scalar: Scalar, dice: &mut Dice, depth: usize, element: Element<'_>) -> String {
    let mut side = |scalar: Scalar| operand(scalar, dice, depth, element);
    let (time, span, other) = (side(Scalar::Timestamp), side(Scalar::Duration), side(Scalar::Duration));
    let last = side(Scalar::Timestamp);
    match (scalar, dice.below(3)) {
        (Scalar::Timestamp, 0) => format!("({time} + {span})"),
        (Scalar::Timestamp, 1) => format!("({time} - {span})"),
        (Scalar::Timestamp, _) => format!("({span} + {time})"),
        (_, 0) => format!("({time} - {last})"),
        (_, 1) => format!("({span} + {other})"),
        (_, _) => format!("({span} - {other})"),
    }
}

/// A literal; decimals with a point, so that CEL reads a double.
fn written(value: &Value) -> String {
    match value {
        Value::Decimal(number) => {
            let text = number.to_string();
            if text.contains('.') { text } else { format!("{text}.0") }
        }
        other => other.to_string(),
    }
}
