//! The table of a card as a JSON Schema, for editors. Written from the names that the loader asks for.

use crate::card::{Confirmed, SCHEMA, Severity, Stage};
use crate::enforce::{CardState, Streaming};
use crate::expr::Type;
use crate::facts;
use crate::load::enforce::{ON_ERRORS, REASONS as STANDS};
use crate::obligation::{self, RequestEffect};
use crate::request::{MEMBERS, Point};
use crate::verdict::{Outcome, REASONS};
use crate::wire::SENTENCE_MAX;
use evidence::{Json, Kind, Metric, SystemKind, metric};
use std::collections::BTreeMap;

/// What may stand in a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Sentence,
    Id,
    Version,
    SchemaVersion,
    Expression,
    Date,
    Flag,
    Count,
    Number,
    Sides,
    OneOf(&'static [&'static str]),
    Stages,
    Fact,
    Reason,
    /// Why an `enforce` card stands as it does.
    Stands,
    /// What is owed; at least one for `true`.
    Obligations(bool),
    /// Members of `request` or `response`, by the name of the root.
    Members(&'static str),
    /// Paths of members.
    Paths,
    One(&'static Fields),
    Many(&'static Fields),
    System,
    Given,
}

/// Name, whether it must stand there, shape, and what an editor shows beside it.
type Field = (&'static str, bool, Shape, &'static str);

/// One table of the card, as the loader calls it.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

pub(crate) const PROVENANCES: [&str; 4] = ["declared", "inferred", "measured", "independent"];
const KINDS: [&str; 9] =
    ["count", "quantity", "proportion", "flag", "text", "list", "timestamp", "duration", "document"];
const ABOUTS: [&str; 5] = ["dataset", "model", "run", "deployment", "organisation"];

pub(crate) static CARD: Fields = Fields {
    name: "",
    fields: &[
        ("schema", true, Shape::SchemaVersion, "Version of this table"),
        ("id", true, Shape::Id, "The rule, as the pack calls it"),
        ("version", true, Shape::Version, "Grows with each reading; a changed threshold is a major version"),
        (
            "kind",
            true,
            Shape::OneOf(&["assess", "attest"]),
            "Decided over evidence, or by a named person's declaration",
        ),
        ("title", true, Shape::Sentence, "What holds when the rule passes, in one sentence"),
        ("severity", true, Shape::OneOf(&Severity::NAMES), "How much a failure weighs"),
        ("owner", true, Shape::Sentence, "The role that answers"),
        ("remedy", true, Shape::Sentence, "What to run or to bring"),
        ("gates", false, Shape::Stages, "Stages that an enforced rule holds up; `release` where nothing is said"),
        (
            "applies",
            true,
            Shape::Expression,
            "Over `system`: false is not applicable, missing is insufficient evidence",
        ),
        ("pass_when", false, Shape::Expression, "True, with `fail_when` false: the rule passes"),
        ("fail_when", false, Shape::Expression, "True: the rule fails. Without it the rule never fails"),
        ("cite", true, Shape::Many(&CITE), "The clauses, and how we read them"),
        ("force", true, Shape::Many(&FORCE), "The days on which the rule binds"),
        ("needs", false, Shape::Many(&NEEDS), "What each fact must bring to be looked at"),
        ("maps", false, Shape::Many(&MAPS), "Controls of other frameworks"),
        ("tests", false, Shape::Many(&TESTS), "What the card comes to for given facts"),
        ("check", false, Shape::One(&CHECK), "A Rego file instead of the two conditions, where the build has Rego"),
    ],
};

static CHECK: Fields =
    Fields { name: "check", fields: &[("rego", true, Shape::Sentence, "The file, which stands beside the card")] };

/// A card that is decided per request.
pub(crate) static ENFORCE: Fields = Fields {
    name: "",
    fields: &[
        ("schema", true, Shape::SchemaVersion, "Version of this table"),
        ("id", true, Shape::Id, "The rule, as the pack calls it"),
        ("version", true, Shape::Version, "Grows with each reading; a changed threshold is a major version"),
        ("kind", true, Shape::OneOf(&["enforce"]), "Asked for every request by whoever serves the model"),
        ("title", true, Shape::Sentence, "What the rule does, in one sentence"),
        ("severity", true, Shape::OneOf(&Severity::NAMES), "How much a failure weighs"),
        ("owner", true, Shape::Sentence, "The role that answers"),
        ("remedy", true, Shape::Sentence, "What to run or to bring"),
        ("on", true, Shape::OneOf(&Point::NAMES), "Where in the life of a request it is asked"),
        (
            "on_error",
            false,
            Shape::OneOf(&ON_ERRORS),
            "What comes on top where the card cannot be decided; else `block`",
        ),
        (
            "streaming",
            false,
            Shape::OneOf(&Streaming::NAMES),
            "How text goes out meanwhile; else `first-safe-boundary`",
        ),
        ("applies", true, Shape::Expression, "Over `system`, `request` and `response`: missing counts as true"),
        ("oblige", true, Shape::Many(&OBLIGE), "What is owed, and when"),
        ("cite", true, Shape::Many(&CITE), "The clauses, and how we read them"),
        ("force", true, Shape::Many(&FORCE), "The days on which the rule binds"),
        ("maps", false, Shape::Many(&MAPS), "Controls of other frameworks"),
        ("tests", false, Shape::Many(&REQUEST_TESTS), "What the card does with given requests"),
    ],
};

static OBLIGE: Fields = Fields {
    name: "oblige",
    fields: &[
        ("when", false, Shape::Expression, "When it is owed; missing counts as true"),
        ("unless", false, Shape::Expression, "What lifts it; missing does not lift"),
        ("do", true, Shape::Obligations(true), "What is to be done"),
    ],
};

static REQUEST_TESTS: Fields = Fields {
    name: "tests",
    fields: &[
        ("as_of", true, Shape::Date, "The day decided on"),
        ("system", false, Shape::System, "What the case says of its system"),
        ("request", false, Shape::Members("request"), "What is known of the request"),
        ("response", false, Shape::Members("response"), "What is known of the answer"),
        ("failed", false, Shape::Paths, "Members whose detector broke"),
        ("expect", true, Shape::OneOf(&CardState::NAMES), "How the card stands to the request"),
        ("because", false, Shape::Stands, "The code of the reason"),
        ("oblige", false, Shape::Obligations(false), "All that is owed"),
        ("effect", false, Shape::OneOf(&RequestEffect::NAMES), "What becomes of the request"),
    ],
};

static CITE: Fields = Fields {
    name: "cite",
    fields: &[
        ("instrument", true, Shape::Sentence, "The instrument with its consolidated version"),
        ("locator", true, Shape::Sentence, "Article, paragraph, annex"),
        ("says", true, Shape::Sentence, "Our paraphrase of the clause"),
        ("house", false, Shape::Sentence, "What is our reading and not the law's"),
        ("sanction", false, Shape::Sentence, "What the law threatens"),
        (
            "confirmed",
            true,
            Shape::OneOf(&Confirmed::NAMES),
            "Read in a named source, in part or second-hand, or recalled",
        ),
        ("read", false, Shape::One(&READ), "Who held the card against the clause; never filled in by anybody else"),
    ],
};

static READ: Fields = Fields {
    name: "cite.read",
    fields: &[("by", true, Shape::Sentence, "A person"), ("on", true, Shape::Date, "The day")],
};

static FORCE: Fields = Fields {
    name: "force",
    fields: &[
        ("when", false, Shape::Expression, "For which systems; missing counts as true"),
        ("from", true, Shape::Date, "First day in force"),
        ("until", false, Shape::Date, "First day out of force"),
        ("tz", false, Shape::Sentence, "The zone whose days are meant"),
        ("source", true, Shape::Sentence, "Where the dates come from"),
        ("grace", false, Shape::Many(&GRACE), "Time left to those already there"),
    ],
};

static GRACE: Fields = Fields {
    name: "force.grace",
    fields: &[
        ("when", false, Shape::Expression, "For which systems; missing counts as false"),
        ("until", true, Shape::Date, "First day on which the grace is over"),
        ("source", true, Shape::Sentence, "Where the date comes from"),
    ],
};

static NEEDS: Fields = Fields {
    name: "needs",
    fields: &[
        ("fact", true, Shape::Fact, "A fact of docs/metrics.md"),
        ("type", true, Shape::OneOf(&KINDS), "Its kind, as the catalogue has it"),
        ("subject", false, Shape::OneOf(&ABOUTS), "What it is about, as the catalogue has it"),
        ("unit", false, Shape::Sentence, "Its unit, as the catalogue has it"),
        ("min_n", false, Shape::Count, "The least sample"),
        ("max_age_days", false, Shape::Count, "The greatest age on the as-of date"),
        ("min_provenance", false, Shape::OneOf(&PROVENANCES), "The lowest provenance"),
        ("interval", false, Shape::One(&INTERVAL), "How its interval must have been made"),
        ("optional", false, Shape::Flag, "Without it the rule may still be decided"),
    ],
};

static INTERVAL: Fields = Fields {
    name: "needs.interval",
    fields: &[
        ("method", true, Shape::Sentence, "Such as `clopper-pearson`"),
        ("level", false, Shape::Number, "Such as 0.95"),
        ("sides", false, Shape::Sides, "1 or 2"),
    ],
};

static MAPS: Fields = Fields {
    name: "maps",
    fields: &[
        ("to", false, Shape::Sentence, "framework:control"),
        ("reviewed", false, Shape::Flag, "false: looked at, and no mapping"),
        ("reason", false, Shape::Sentence, "Why there is none"),
    ],
};

static TESTS: Fields = Fields {
    name: "tests",
    fields: &[
        ("as_of", true, Shape::Date, "The day decided on"),
        ("system", false, Shape::System, "What the case says of its system"),
        ("given", false, Shape::Given, "The facts there are"),
        ("expect", true, Shape::OneOf(&Outcome::NAMES), "What the card comes to"),
        ("because", false, Shape::Reason, "The code of the reason"),
    ],
};

/// What a fact of a test may say beside the fields of its kind.
const AROUND: [Field; 6] = [
    ("n", false, Shape::Count, "The sample"),
    ("provenance", false, Shape::OneOf(&PROVENANCES), "How it was had"),
    ("age_days", false, Shape::Count, "Its age on the as-of date"),
    ("expires_in_days", false, Shape::Count, "When a declaration is void"),
    ("method", false, Shape::Sentence, "The method of its interval"),
    ("level", false, Shape::Number, "The level of its interval"),
];

/// The JSON Schema (2020-12) of a card. Dates are texts in it, as editors of TOML read them.
#[must_use]
pub fn schema() -> Json {
    object([
        ("$schema", "https://json-schema.org/draft/2020-12/schema".into()),
        ("title", "A rule card of Assize".into()),
        ("type", "object".into()),
        ("if", is_kind("enforce")),
        ("then", table(&ENFORCE)),
        ("else", decided()),
        ("$defs", Json::Map(definitions())),
    ])
}

fn is_kind(name: &str) -> Json {
    let kind = object([("kind", object([("const", name.into())]))]);
    object([("properties", kind), ("required", Json::list(["kind"]))])
}

/// A card over evidence, or of a person's answer.
fn decided() -> Json {
    let Json::Map(mut members) = table(&CARD) else { return Json::Map(BTreeMap::new()) };
    // An `assess` card writes its condition or leaves it to a file; an `attest` card may leave it to what it needs.
    let has = |keys: &[&str]| object([("required", Json::list(keys.iter().copied()))]);
    let no_check = object([("not", has(&["check"]))]);
    let no_conditions =
        object([("not", object([("anyOf", Json::List(vec![has(&["pass_when"]), has(&["fail_when"])]))]))]);
    let both = |one: Json, other: Json| object([("allOf", Json::List(vec![one, other]))]);
    let written = both(has(&["pass_when"]), no_check.clone());
    let left = both(has(&["check"]), no_conditions);
    members.extend([
        ("if".to_owned(), is_kind("assess")),
        ("then".to_owned(), object([("oneOf", Json::List(vec![written, left]))])),
        ("else".to_owned(), both(has(&["needs"]), no_check)),
    ]);
    Json::Map(members)
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Map(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn reference(name: &str) -> Json {
    object([("$ref", format!("#/$defs/{name}").into())])
}

fn table(fields: &Fields) -> Json {
    closed(fields.fields.iter().map(|field| (field.0.to_owned(), described(field))).collect(), required(fields.fields))
}

fn required(fields: &[Field]) -> Vec<&'static str> {
    fields.iter().filter(|(_, is_needed, _, _)| *is_needed).map(|(name, _, _, _)| *name).collect()
}

/// An object of these members and no other.
fn closed(properties: BTreeMap<String, Json>, required: Vec<&str>) -> Json {
    object([
        ("type", "object".into()),
        ("properties", Json::Map(properties)),
        ("required", Json::list(required)),
        ("additionalProperties", false.into()),
    ])
}

fn described((_, _, shape, text): &Field) -> Json {
    let Json::Map(mut members) = shaped(*shape) else { return Json::Map(BTreeMap::new()) };
    members.insert("description".to_owned(), (*text).into());
    Json::Map(members)
}

fn shaped(shape: Shape) -> Json {
    let kind = |name: &str| object([("type", name.into())]);
    match shape {
        Shape::Sentence => reference("sentence"),
        Shape::Expression => reference("expression"),
        Shape::Date => reference("date"),
        Shape::Id => object([("type", "string".into()), ("pattern", "^[a-z0-9._-]{1,100}$".into())]),
        Shape::Version => object([("type", "string".into()), ("pattern", VERSION.into())]),
        Shape::SchemaVersion => object([("const", SCHEMA.into())]),
        Shape::Flag => kind("boolean"),
        Shape::Count => object([("type", "integer".into()), ("minimum", 0_u64.into())]),
        Shape::Number => kind("number"),
        Shape::Sides => object([("enum", Json::list([1_u64, 2]))]),
        Shape::OneOf(names) => object([("enum", Json::list(names.iter().copied()))]),
        Shape::Stages => object([
            ("type", "array".into()),
            ("items", object([("enum", Json::list(Stage::NAMES))])),
            ("minItems", 1_u64.into()),
        ]),
        Shape::Fact => object([("enum", Json::list(metric::CATALOGUE.iter().map(|metric| metric.id)))]),
        Shape::Reason => object([("enum", Json::list(REASONS.iter().map(|(code, _)| *code)))]),
        Shape::Stands => object([("enum", Json::list(STANDS.iter().map(|(code, _)| *code)))]),
        Shape::Obligations(is_needed) => object([
            ("type", "array".into()),
            ("items", reference("obligation")),
            ("minItems", u64::from(is_needed).into()),
        ]),
        Shape::Members(root) => reference(root),
        Shape::Paths => object([
            ("type", "array".into()),
            ("items", object([("enum", Json::list(MEMBERS.iter().map(|member| member.path)))])),
        ]),
        Shape::One(fields) => table(fields),
        Shape::Many(fields) => {
            let is_needed = matches!(fields.name, "cite" | "force" | "oblige");
            object([
                ("type", "array".into()),
                ("items", reference(&definition(fields))),
                ("minItems", u64::from(is_needed).into()),
            ])
        }
        Shape::System => reference("system"),
        Shape::Given => reference("given"),
    }
}

const VERSION: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$";

fn definitions() -> BTreeMap<String, Json> {
    let mut all: BTreeMap<String, Json> = BTreeMap::new();
    let text = |pattern: &str| {
        let most = u64::try_from(SENTENCE_MAX).unwrap_or(u64::MAX);
        object([("type", "string".into()), ("pattern", pattern.into()), ("maxLength", most.into())])
    };
    all.insert("sentence".to_owned(), text(r"\S"));
    all.insert("expression".to_owned(), text(r"\S"));
    all.insert("date".to_owned(), object([("type", "string".into()), ("pattern", r"^\d{4}-\d\d-\d\d$".into())]));
    let instant = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d))?$";
    all.insert("instant".to_owned(), object([("type", "string".into()), ("pattern", instant.into())]));
    for fields in [&CITE, &FORCE, &GRACE, &NEEDS, &TESTS, &OBLIGE, &REQUEST_TESTS] {
        all.insert(definition(fields), table(fields));
    }
    all.insert("obligation".to_owned(), object([("type", "string".into()), ("pattern", obligation::pattern().into())]));
    for root in ["request", "response"] {
        all.insert(root.to_owned(), closed(of_request(&format!("{root}.")), Vec::new()));
    }
    all.insert("maps".to_owned(), mapping());
    all.insert("system".to_owned(), system());
    all.insert("given".to_owned(), given());
    for kind in KINDS.into_iter().filter_map(Kind::from_name) {
        all.insert(format!("fact_{}", kind.name()), fact(kind));
    }
    all
}

/// `to` alone, or `reviewed = false` with a `reason`.
fn mapping() -> Json {
    let field =
        |name: &str| MAPS.fields.iter().find(|field| field.0 == name).map(|field| (name.to_owned(), described(field)));
    let to = closed(field("to").into_iter().collect(), vec!["to"]);
    let mut none: BTreeMap<String, Json> = field("reason").into_iter().collect();
    none.insert("reviewed".to_owned(), object([("const", false.into())]));
    object([("oneOf", Json::List(vec![to, closed(none, vec!["reviewed", "reason"])]))])
}

/// The name under which a table is defined. Both kinds of card call their tests `tests`.
fn definition(fields: &Fields) -> String {
    if std::ptr::eq(fields, &REQUEST_TESTS) { "request_tests".to_owned() } else { fields.name.replace('.', "_") }
}

/// Members of a request below a prefix, whose dots open tables.
fn of_request(prefix: &str) -> BTreeMap<String, Json> {
    let mut members: BTreeMap<String, Json> = BTreeMap::new();
    for member in &MEMBERS {
        let Some(rest) = member.path.strip_prefix(prefix) else { continue };
        let (head, is_nested) = rest.split_once('.').map_or((rest, false), |(head, _)| (head, true));
        let shape = match typed(member.kind) {
            _ if is_nested => closed(of_request(&format!("{prefix}{head}.")), Vec::new()),
            Json::Map(mut shape) => {
                shape.insert("description".to_owned(), member.what.into());
                Json::Map(shape)
            }
            other => other,
        };
        members.entry(head.to_owned()).or_insert(shape);
    }
    members
}

fn system() -> Json {
    let member = |(name, kind, what): &(&str, SystemKind, &str)| {
        let shape = match kind {
            SystemKind::Text => object([("type", "string".into())]),
            SystemKind::List => texts(),
            SystemKind::Flag => object([("type", "boolean".into())]),
            SystemKind::Moment => reference("instant"),
            SystemKind::Decimal => object([("type", "number".into())]),
        };
        let Json::Map(mut members) = shape else { return ((*name).to_owned(), Json::Map(BTreeMap::new())) };
        members.insert("description".to_owned(), (*what).into());
        ((*name).to_owned(), Json::Map(members))
    };
    closed(metric::SYSTEM.iter().map(member).collect(), Vec::new())
}

fn texts() -> Json {
    object([("type", "array".into()), ("items", object([("type", "string".into())]))])
}

/// Facts by id, whether the dots of the id open tables or stand in a quoted key.
fn given() -> Json {
    let mut open: BTreeMap<String, Json> = nested("");
    open.extend(metric::CATALOGUE.iter().map(|metric| (metric.id.to_owned(), named(metric))));
    closed(open, Vec::new())
}

fn nested(prefix: &str) -> BTreeMap<String, Json> {
    let mut members: BTreeMap<String, Json> = BTreeMap::new();
    for metric in metric::CATALOGUE {
        let Some(rest) = metric.id.strip_prefix(prefix) else { continue };
        match rest.split_once('.') {
            None => {
                members.insert(rest.to_owned(), named(metric));
            }
            Some((head, _)) if !members.contains_key(head) => {
                members.insert(head.to_owned(), closed(nested(&format!("{prefix}{head}.")), Vec::new()));
            }
            Some(_) => {}
        }
    }
    members
}

fn named(metric: &Metric) -> Json {
    let name = format!("#/$defs/fact_{}", metric.kind.name());
    object([("$ref", name.into()), ("description", metric.what.into())])
}

fn fact(kind: Kind) -> Json {
    let mut members: BTreeMap<String, Json> =
        AROUND.iter().map(|field| (field.0.to_owned(), described(field))).collect();
    members.extend(facts::fields(kind).iter().map(|(name, of)| ((*name).to_owned(), typed(*of))));
    closed(members, Vec::new())
}

/// A value of a type as a card writes it.
fn typed(kind: Type) -> Json {
    match kind {
        Type::BOOL => shaped(Shape::Flag),
        Type::INT => object([("type", "integer".into())]),
        Type::DECIMAL => shaped(Shape::Number),
        Type::TIMESTAMP => reference("instant"),
        Type::DURATION => {
            object([("type", "string".into()), ("pattern", r"^-?(\d+h)?(\d+m)?(\d+(\.\d{1,9})?s)?$".into())])
        }
        Type::TEXTS => texts(),
        _ => object([("type", "string".into())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Reader, Table};
    use std::collections::BTreeSet;

    fn names(fields: &Fields) -> BTreeSet<&'static str> {
        fields.fields.iter().map(|field| field.0).collect()
    }

    /// A card with every table, read by the loader, which asks for every field there is.
    #[test]
    fn the_schema_names_what_the_loader_asks_for() {
        let text = include_str!("../tests/it/whole.toml");
        let mut reader = Reader::new("whole.toml", text);
        let document = reader.document().unwrap();
        let mut table = Table::new("", document.get_ref(), 0..0);
        let id = crate::load::id(&mut reader, &mut table);
        assert!(crate::load::members(&mut reader, &mut table, id, &mut |_| None).is_some(), "{:?}", reader.errors);
        table.finish(&mut reader);
        assert_eq!(reader.errors, []);
        for fields in [&CARD, &CITE, &READ, &FORCE, &GRACE, &NEEDS, &INTERVAL, &MAPS, &TESTS] {
            assert_eq!(reader.asked.get(fields.name), Some(&names(fields)), "table `{}`", fields.name);
        }
        let around: BTreeSet<&str> = AROUND.iter().map(|field| field.0).collect();
        let fields: BTreeSet<&str> =
            [Kind::Proportion, Kind::Quantity].into_iter().flat_map(facts::fields).map(|(name, _)| *name).collect();
        assert_eq!(reader.asked.get("tests.given"), Some(&around.union(&fields).copied().collect()));
    }

    /// An `enforce` card with every table, and a card whose condition is a Rego file.
    #[test]
    fn the_schema_names_what_the_loader_asks_of_the_other_cards() {
        let text = include_str!("../tests/it/whole_enforce.toml");
        let mut reader = Reader::new("whole_enforce.toml", text);
        let document = reader.document().unwrap();
        let mut table = Table::new("", document.get_ref(), 0..0);
        let id = crate::load::id(&mut reader, &mut table);
        table.take("kind");
        assert!(crate::load::enforce::members(&mut reader, &mut table, id).is_some(), "{:?}", reader.errors);
        table.finish(&mut reader);
        assert_eq!(reader.errors, []);
        for fields in [&ENFORCE, &CITE, &READ, &FORCE, &GRACE, &MAPS, &OBLIGE, &REQUEST_TESTS] {
            assert_eq!(reader.asked.get(fields.name), Some(&names(fields)), "table `{}`", fields.name);
        }
        let text = include_str!("../tests/it/whole.toml").replace("fail_when", "check = { rego = \"a.rego\" } #");
        let mut reader = Reader::new("checked.toml", &text);
        let document = reader.document().unwrap();
        let mut table = Table::new("", document.get_ref(), 0..0);
        let id = crate::load::id(&mut reader, &mut table);
        crate::load::members(&mut reader, &mut table, id, &mut |_| None);
        assert_eq!(reader.asked.get("check"), Some(&names(&CHECK)));
    }

    #[test]
    fn every_kind_and_subject_of_the_catalogue_may_be_written() {
        assert!(
            metric::CATALOGUE
                .iter()
                .all(|metric| KINDS.contains(&metric.kind.name()) && ABOUTS.contains(&metric.about.name()))
        );
        assert!(KINDS.into_iter().all(|name| Kind::from_name(name).is_some()));
    }
}
