//! Generated cards that are decided per request, and requests for them.
#![allow(dead_code, reason = "each of its users takes a part")]

use crate::worlds::Dice;
use policy::expr::{Scalar, Type, Value};
use policy::{MEMBERS, Point, Request, System};

const SYSTEM_ATOMS: [&str; 7] = [
    "\"EU\" in system.jurisdictions",
    "\"CN\" in system.jurisdictions",
    "system.audience == \"public\"",
    "system.general_purpose",
    "system.role in [\"provider\", \"modifier\"]",
    "system.on_market < timestamp(\"2026-08-02T00:00:00Z\")",
    "system.jurisdictions.exists(x, x.startsWith(\"US\"))",
];
const AUDIENCES: [&str; 3] = ["public", "business", "internal"];
const CLASSES: [&str; 6] = ["illegal", "personal-data", "secret", "self-harm", "injection", "minor"];
const KINDS: [&str; 5] = ["text", "image", "audio", "file", "tool-call"];
const DOES: [&str; 14] = [
    "block",
    "block:illegal",
    "hold",
    "hold:review",
    "redact:personal-data",
    "redact:secret",
    "label.visible:cn-text",
    "label.embedded:aigc",
    "label.machine-readable:eu-50-2",
    "notice:ai",
    "log.class:full",
    "log.recipient:184d",
    "suspend.user",
    "review:sample",
];

/// A word of the kind that a member holds; scenarios and tenants are many, so that cards differ.
fn word(dice: &mut Dice, path: &str) -> String {
    match path {
        "request.scenario.audience" => dice.of(&AUDIENCES).to_owned(),
        "request.detected" | "response.detected" => dice.of(&CLASSES).to_owned(),
        "response.kind" => dice.of(&KINDS).to_owned(),
        "request.format" => dice.of(&["text", "json"]).to_owned(),
        _ => format!("{}-{}", path.rsplit('.').next().unwrap_or_default(), dice.below(40)),
    }
}

fn atom(dice: &mut Dice, point: Point) -> String {
    let n = if point == Point::Input { MEMBERS.len() - 6 } else { MEMBERS.len() };
    let member = &MEMBERS[dice.below(n)];
    let path = member.path;
    let mark = dice.of(&["<", "<=", ">", ">=", "==", "!="]);
    match member.kind {
        Type::BOOL => path.to_owned(),
        Type::INT => format!("{path} {mark} {}", dice.of(&["0", "1", "3", "5", "1000"])),
        Type::DECIMAL => format!("{path} {mark} {}", dice.of(&["0.0", "0.5", "0.95", "1.0"])),
        Type::DURATION => format!("{path} {mark} duration(\"{}\")", dice.of(&["0s", "30m", "2h"])),
        Type::TIMESTAMP => format!("{path} - system.on_market {mark} duration(\"{}\")", dice.of(&["24h", "2400h"])),
        Type::List(_) => match dice.below(5) {
            0 => format!("size({path}) {mark} {}", dice.of(&["0", "1", "2"])),
            1 => format!("{path}.exists(x, x in [\"{}\", \"{}\"])", word(dice, path), word(dice, path)),
            2 => format!("size({path}) > 0 && {path}.all(x, x != \"{}\")", word(dice, path)),
            _ => format!("\"{}\" in {path}", word(dice, path)),
        },
        _ => match dice.below(4) {
            0 => format!("{path} in [\"{}\", \"{}\"]", word(dice, path), word(dice, path)),
            1 => format!("{path}.startsWith(\"{}\")", word(dice, path)),
            2 => format!("{path} != \"{}\"", word(dice, path)),
            _ => format!("{path} == \"{}\"", word(dice, path)),
        },
    }
}

fn condition(dice: &mut Dice, depth: usize, point: Point) -> String {
    match (depth, dice.below(8)) {
        (0, 0) => dice.of(&SYSTEM_ATOMS).to_owned(),
        (0, _) | (_, 0 | 1) => atom(dice, point),
        (_, 2) => format!("!({})", condition(dice, depth - 1, point)),
        (_, 3) => format!(
            "({}) == {}",
            condition(dice, depth - 1, point),
            dice.of(&["request.stream", "system.general_purpose"])
        ),
        (_, pick) => {
            let mark = if pick % 2 == 0 { "&&" } else { "||" };
            format!("({}) {mark} ({})", condition(dice, depth - 1, point), condition(dice, depth - 1, point))
        }
    }
}

/// A card with generated conditions, windows and obligations.
pub(crate) fn card(dice: &mut Dice, at: usize) -> String {
    let point = dice.of(&Point::ALL);
    let applies = condition(dice, 2, point);
    let window = match dice.below(6) {
        0 => format!("{{ when = '{}', from = 2026-01-01, source = \"x\" }}", dice.of(&SYSTEM_ATOMS)),
        1 => format!(
            "{{ from = 2026-01-01, source = \"x\", grace = [{{ when = '{}', until = 2027-01-01, source = \"x\" }}] }}",
            dice.of(&SYSTEM_ATOMS)
        ),
        2 => "{ from = 2027-01-01, source = \"x\" }, { from = 2020-01-01, until = 2026-11-24, source = \"x\" }"
            .to_owned(),
        _ => "{ from = 2026-01-01, source = \"x\" }".to_owned(),
    };
    let mut obliges = Vec::new();
    for _ in 0..1 + dice.below(3) {
        let when = if dice.below(3) == 0 { String::new() } else { format!("when = '{}', ", condition(dice, 1, point)) };
        let unless =
            if dice.below(3) > 0 { String::new() } else { format!("unless = '{}', ", condition(dice, 1, point)) };
        let does: Vec<String> = (0..1 + dice.below(2)).map(|_| format!("\"{}\"", dice.of(&DOES))).collect();
        obliges.push(format!("{{ {when}{unless}do = [{}] }}", does.join(", ")));
    }
    let on_error = dice.of(&["", "on_error = \"allow\"\n", "on_error = \"hold\"\n", "on_error = \"block\"\n"]);
    let streaming = dice.of(&["", "streaming = \"buffer\"\n", "streaming = \"first-safe-boundary\"\n"]);
    let confirmed = dice.of(&["yes", "yes", "yes", "part"]);
    format!(
        "schema = 1\nid = \"guard.{at}\"\nversion = \"1.{at}.0\"\nkind = \"enforce\"\nseverity = \"low\"\nowner = \"o\"\n\
         title = \"t\"\nremedy = \"r\"\non = \"{}\"\n{on_error}{streaming}applies = '{applies}'\nforce = [{window}]\n\
         oblige = [{}]\ncite = [{{ instrument = \"i\", locator = \"l\", says = \"s\", confirmed = \"{confirmed}\" }}]\n",
        point.name(),
        obliges.join(", ")
    )
}

/// A card as packs are written: bound to a scenario, a tenant, a model or an audience, with a few plain duties.
pub(crate) fn scoped_card(dice: &mut Dice, at: usize) -> String {
    let (path, other) = (dice.of(&["request.scenario.name", "request.tenant", "request.model"]), dice.of(&CLASSES));
    let scope = match dice.below(10) {
        0..=5 => format!("{path} == \"{}\"", word(dice, path)),
        6 | 7 => format!("{path} in [\"{}\", \"{}\"]", word(dice, path), word(dice, path)),
        _ => format!("request.scenario.audience == \"{}\"", dice.of(&AUDIENCES)),
    };
    let applies = match dice.below(3) {
        0 => scope,
        1 => format!("{scope} && response.kind in [\"text\", \"{}\"]", dice.of(&KINDS)),
        _ => format!(
            "{} && {scope}",
            dice.of(&["\"EU\" in system.jurisdictions", "(system.general_purpose || request.stream)"])
        ),
    };
    let duties = [
        format!("{{ when = '\"{other}\" in response.detected', do = [\"block:illegal\"] }}"),
        format!("{{ when = '\"{other}\" in request.detected', do = [\"redact:{other}\"] }}"),
        "{ when = 'response.risk >= 0.95', do = [\"hold:review\"] }".to_owned(),
        "{ when = 'request.user.minor && response.risk > 0.5', do = [\"hold:minor\"] }".to_owned(),
        "{ unless = 'request.session.disclosed', do = [\"notice:ai\"] }".to_owned(),
        "{ unless = 'request.scenario.recipient_agreement', do = [\"label.visible:cn-text\"] }".to_owned(),
        "{ when = 'request.session.in_use >= duration(\"2h\")', do = [\"notice:continuous-use\"] }".to_owned(),
    ];
    let obliges: Vec<&str> = (0..1 + dice.below(3)).map(|_| duties[dice.below(duties.len())].as_str()).collect();
    format!(
        "schema = 1\nid = \"guard.{at}\"\nversion = \"1.0.0\"\nkind = \"enforce\"\nseverity = \"low\"\nowner = \"o\"\n\
         title = \"t\"\nremedy = \"r\"\non = \"output\"\napplies = '{applies}'\n\
         force = [{{ from = 2026-01-01, source = \"x\" }}]\n\
         oblige = [{}]\ncite = [{{ instrument = \"i\", locator = \"l\", says = \"s\", confirmed = \"yes\" }}]\n",
        obliges.join(", ")
    )
}

/// A system of which some members are not said.
pub(crate) fn system(dice: &mut Dice) -> System {
    let mut system = System::new();
    let members: [(&str, Value); 5] = [
        (
            "jurisdictions",
            Value::List(dice.of(&[["EU", "CN"], ["US-CA", "KR"]]).into_iter().map(Value::from).collect()),
        ),
        ("audience", dice.of(&AUDIENCES).into()),
        ("general_purpose", (dice.below(2) == 0).into()),
        ("role", dice.of(&["provider", "deployer"]).into()),
        ("on_market", Value::Timestamp(dice.of(&["2026-01-01T00:00:00Z", "2026-10-01T00:00:00Z"]).parse().unwrap())),
    ];
    for (name, value) in members {
        if dice.below(6) > 0 {
            system.set(name, value).unwrap();
        }
    }
    system
}

/// A request of which some members are not known and some could not be found out.
pub(crate) fn request(dice: &mut Dice, point: Point) -> Request {
    let mut request = Request::new(point);
    for member in &MEMBERS {
        match dice.below(24) {
            0..=2 => {}
            3 => request.fail(member.path).unwrap(),
            _ => {
                let value = value(dice, member.path, member.kind);
                request.set(member.path, value).unwrap();
            }
        }
    }
    request
}

/// A request of which everything is known: the common case of a gateway.
pub(crate) fn whole_request(dice: &mut Dice, point: Point) -> Request {
    let mut request = Request::new(point);
    for member in &MEMBERS {
        let value = value(dice, member.path, member.kind);
        request.set(member.path, value).unwrap();
    }
    request
}

fn value(dice: &mut Dice, path: &str, kind: Type) -> Value {
    match kind {
        Type::List(_) => {
            let n = dice.of(&[0, 0, 1, 2]);
            Value::List((0..n).map(|_| Value::Text(word(dice, path))).collect())
        }
        Type::One(Scalar::Bool) => (dice.below(2) == 0).into(),
        Type::One(Scalar::Int) => Value::Int(dice.of(&[0, 1, 2, 3, 5, 6, 999, 1000, 4096])),
        Type::One(Scalar::Decimal) => {
            Value::Decimal(dice.of(&["0", "0.25", "0.5", "0.949999", "0.95", "1"]).parse().unwrap())
        }
        Type::One(Scalar::Duration) => {
            Value::Duration(dice.of(&[0, 1, 1_800_000_000_000, 7_200_000_000_000, 7_200_000_000_001]))
        }
        Type::One(Scalar::Timestamp) => Value::Timestamp(
            dice.of(&["2026-11-23T08:00:00Z", "2026-01-02T00:00:00Z", "2026-01-01T23:59:59.999999999Z"])
                .parse()
                .unwrap(),
        ),
        Type::One(Scalar::Text | Scalar::Any) => Value::Text(word(dice, path)),
    }
}
