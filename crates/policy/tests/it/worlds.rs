//! Generated cards with evidence for them: shared by the properties and the referees' cases.
#![allow(dead_code, reason = "each of its users takes a part")]

use evidence::{Declaration, Declared, Digest, Interval, Kind, Measurement, Metric, Provenance, Subject, metric};
use jiff::civil::date;
use policy::expr::{Value, parse_timestamp};
use policy::{Facts, Mode, Pack, Rules, System, Version, Waiver};

/// SplitMix64: small, seeded, the same on every machine.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % n as u64) as usize
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

const SYSTEM_ATOMS: [&str; 6] = [
    "\"EU\" in system.jurisdictions",
    "system.audience == \"public\"",
    "system.general_purpose",
    "system.risk_route != \"annex-i\"",
    "system.on_market < timestamp(\"2026-08-02T00:00:00Z\")",
    "system.jurisdictions.exists(x, x.startsWith(\"US\"))",
];

/// A few facts of each kind that stands in the catalogue: the first three, or the three after them, and so on.
pub(crate) fn metrics(nth: usize) -> Vec<&'static Metric> {
    let kinds = [Kind::Count, Kind::Quantity, Kind::Proportion, Kind::Flag, Kind::Document];
    let of = |kind| metric::CATALOGUE.iter().filter(move |metric| metric.kind == kind).skip(3 * nth).take(3);
    kinds.into_iter().flat_map(of).collect()
}

fn fact_atom(dice: &mut Dice, metrics: &[&'static Metric]) -> String {
    let metric = dice.of(metrics);
    let mark = dice.of(&["<", "<=", ">", ">=", "==", "!="]);
    let field = match metric.kind {
        Kind::Quantity => dice.of(&["value", "lower", "upper"]),
        Kind::Proportion => dice.of(&["value", "lower95", "upper95"]),
        Kind::Document => "present",
        _ => "value",
    };
    let path = format!("{}.{field}", metric.id);
    match metric.kind {
        Kind::Count => format!("{path} {mark} {}", dice.of(&["0", "10", "100"])),
        Kind::Quantity | Kind::Proportion => format!("{path} {mark} {}", dice.of(&["0.0", "0.5", "0.95", "1.0"])),
        _ => path,
    }
}

fn condition(dice: &mut Dice, depth: usize, has: bool, metrics: &[&'static Metric]) -> String {
    match (depth, dice.below(6)) {
        (0, 0) => dice.of(&SYSTEM_ATOMS).to_owned(),
        (0, _) => fact_atom(dice, metrics),
        (_, 0) => format!("!({})", condition(dice, depth - 1, false, metrics)),
        (_, 1) if has => format!("has({}) && ({})", path(dice, metrics), condition(dice, depth - 1, true, metrics)),
        (_, 2) if has => format!("has({}) || ({})", path(dice, metrics), condition(dice, depth - 1, true, metrics)),
        (_, pick) => {
            let mark = if pick % 2 == 0 { "&&" } else { "||" };
            let (a, b) = (condition(dice, depth - 1, has, metrics), condition(dice, depth - 1, has, metrics));
            format!("({a}) {mark} ({b})")
        }
    }
}

fn path(dice: &mut Dice, metrics: &[&'static Metric]) -> String {
    let metric = dice.of(metrics);
    format!("{}.{}", metric.id, policy::fields(metric.kind)[0].0)
}

/// A card with generated conditions, windows, grace and needs, every expression at most a few levels deep.
fn card(dice: &mut Dice, at: usize, metrics: &[&'static Metric]) -> String {
    let attest = dice.below(4) == 0;
    let system_condition = |dice: &mut Dice| {
        let (a, b) = (dice.of(&SYSTEM_ATOMS), dice.of(&SYSTEM_ATOMS));
        match dice.below(4) {
            0 => a.to_owned(),
            1 => format!("{a} && {b}"),
            2 => format!("{a} || !({b})"),
            _ => "true".to_owned(),
        }
    };
    let applies = if dice.below(4) == 0 { fact_atom(dice, metrics) } else { system_condition(dice) };
    let (pass, fail) = (condition(dice, 2, true, metrics), condition(dice, 2, false, metrics));
    let window = match dice.below(6) {
        0 => format!("{{ when = '{}', from = 2026-01-01, source = \"x\" }}", system_condition(dice)),
        3 => format!("{{ when = '{}', from = 2026-01-01, source = \"x\" }}", fact_atom(dice, metrics)),
        4 => format!(
            "{{ from = 2026-01-01, source = \"x\", grace = [{{ when = '{}', until = 2026-12-01, source = \"x\" }}] }}",
            fact_atom(dice, metrics)
        ),
        1 => format!(
            "{{ from = 2026-01-01, source = \"x\", grace = [{{ when = '{}', until = 2027-01-01, source = \"x\" }}] }}",
            system_condition(dice)
        ),
        2 => "{ from = 2027-01-01, source = \"x\" }, { from = 2020-01-01, until = 2026-11-24, source = \"x\" }"
            .to_owned(),
        _ => "{ from = 2026-01-01, source = \"x\" }".to_owned(),
    };
    let extras = ["", ", min_n = 50", ", max_age_days = 30", ", min_provenance = \"measured\"", ", optional = true"];
    let mut needs: Vec<String> = Vec::new();
    for metric in metrics {
        if dice.below(4) == 0 {
            needs.push(format!(
                "{{ fact = \"{}\", type = \"{}\"{} }}",
                metric.id,
                metric.kind.name(),
                dice.of(&extras)
            ));
        }
    }
    let (kind, needs) = (if attest { "attest" } else { "assess" }, needs.join(", "));
    format!(
        "schema = 1\nid = \"rule.{at}\"\nversion = \"1.0.0\"\nkind = \"{kind}\"\nseverity = \"low\"\nowner = \"o\"\ntitle = \"t\"\n\
         remedy = \"r\"\napplies = '{applies}'\npass_when = '{pass}'\nfail_when = '{fail}'\nforce = [{window}]\nneeds = [{needs}]\n\
         cite = [{{ instrument = \"i\", locator = \"l\", says = \"s\", confirmed = \"yes\" }}]\n"
    )
}

pub(crate) fn add_fact(dice: &mut Dice, metric: &'static Metric, facts: &mut Facts) {
    let subject = Subject::new("s", Digest::of(b"s"));
    let at = dice.of(&["2026-11-20T00:00:00Z", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"]).parse().unwrap();
    let number = dice.of(&["0", "0.25", "0.5", "0.95", "1", "10", "100"]);
    let source = Digest::of(metric.id.as_bytes());
    if matches!(metric.kind, Kind::Flag | Kind::Document) || dice.below(5) == 0 {
        let declared = match metric.kind {
            Kind::Flag => Declared::Flag(dice.below(2) == 0),
            Kind::Document if dice.below(4) == 0 => Declared::Flag(false),
            Kind::Document => Declared::Document(subject.clone()),
            Kind::Count => Declared::Count(dice.of(&[0, 10, 50])),
            _ => Declared::Quantity(number.parse().unwrap()),
        };
        let expires = dice.of(&[date(2027, 1, 1), date(2026, 11, 1)]);
        facts.declare(&Declaration { metric, subject, declared, owner: "o".to_owned(), at, expires }, source);
        return;
    }
    let shift = |bound: &str| number.parse::<f64>().unwrap() + bound.parse::<f64>().unwrap();
    let decimal = |number: f64| evidence::Decimal::from_f64(number, 9, evidence::Round::Nearest).unwrap();
    let interval = Interval {
        lower: decimal(shift("-0.1")),
        upper: decimal(shift("0.1")),
        level: "0.95".parse().ok(),
        method: "m".to_owned(),
    };
    let measurement = Measurement {
        metric,
        subject,
        value: number.parse().unwrap(),
        interval: (dice.below(4) > 0).then_some(interval),
        n: dice.of(&[None, Some(10), Some(100)]),
        k: None,
        method: "m".to_owned(),
        convention: None,
        inputs: Vec::new(),
        instrument: "i".to_owned(),
        provenance: dice.of(&[Provenance::Inferred, Provenance::Measured]),
        at,
    };
    facts.measure(&measurement, source);
}

const MEMBERS: [&str; 6] = ["name", "jurisdictions", "audience", "general_purpose", "risk_route", "on_market"];

fn member(dice: &mut Dice, name: &str) -> Value {
    match name {
        "jurisdictions" => {
            Value::List(dice.of(&[["EU", "CN"], ["US-CA", "KR"]]).into_iter().map(Value::from).collect())
        }
        "name" => dice.of(&["play-writer", "another"]).into(),
        "audience" => dice.of(&["public", "internal"]).into(),
        "general_purpose" => (dice.below(2) == 0).into(),
        "risk_route" => dice.of(&["annex-i", "annex-iii"]).into(),
        _ => Value::Timestamp(parse_timestamp(dice.of(&["2026-01-01T00:00:00Z", "2026-10-01T00:00:00Z"])).unwrap()),
    }
}

/// A waiver of the first rule, of which most hold on the day and for one of the two systems.
fn waiver(dice: &mut Dice) -> Waiver {
    Waiver {
        rule: "rule.0".to_owned(),
        from_version: Version(1, 0, 0),
        below_version: Version(2, 0, 0),
        scope: "play-writer".to_owned(),
        subject: None,
        reason: "r".to_owned(),
        compensating: "c".to_owned(),
        author: "ana".to_owned(),
        approvers: vec!["ben".to_owned(), "chen".to_owned()],
        granted: date(2026, 1, 1),
        expires: dice.of(&[date(2026, 12, 1), date(2026, 12, 1), date(2026, 11, 1)]),
    }
}

/// Rules, a system and facts, all drawn.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) rules: Rules,
    pub(crate) members: Vec<(&'static str, Value)>,
    pub(crate) facts: Facts,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::about(seed, metrics(0))
    }

    /// What the same throws give with other facts.
    pub(crate) fn about(seed: u64, metrics: Vec<&'static Metric>) -> Self {
        let mut dice = Dice(seed);
        let cards: Vec<String> = (0..1 + dice.below(2)).map(|at| card(&mut dice, at, &metrics)).collect();
        let files: Vec<_> = cards.into_iter().enumerate().map(|(at, text)| (format!("{at}.toml"), text)).collect();
        let pack = Pack::compile("house", &files).unwrap();
        let mut facts = Facts::new();
        for metric in metrics {
            if dice.below(4) > 0 {
                add_fact(&mut dice, metric, &mut facts);
            }
        }
        let mut members = Vec::new();
        for name in MEMBERS {
            if dice.below(8) > 0 {
                members.push((name, member(&mut dice, name)));
            }
        }
        let mut rules = Rules::new(vec![(pack, Mode::Enforce)]);
        rules.waivers.extend((dice.below(3) == 0).then(|| waiver(&mut dice)));
        Self { rules, members, facts }
    }

    pub(crate) fn system(&self, without: Option<usize>) -> System {
        let mut system = System::new();
        for (at, (name, value)) in self.members.iter().enumerate() {
            if Some(at) != without {
                system.set(name, value.clone()).unwrap();
            }
        }
        system
    }
}
