//! Laws that hold for generated cards and evidence.

use crate::support::{DAY, compile_all};
use evidence::{Declaration, Declared, Digest, Interval, Kind, Measurement, Metric, Provenance, Subject, metric};
use jiff::civil::date;
use policy::expr::{Expr, Fault, Operand, Place, Source, Truth, Type, Value, parse_timestamp};
use policy::{Effect, Facts, Mode, Pack, Rules, System, Verdict, Version, Waiver, decide};
use proptest::prelude::*;

/// SplitMix64: proptest draws the seed, so a failure is replayed from it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % n as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
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

/// A few facts of each kind that stands in the catalogue.
fn metrics() -> Vec<&'static Metric> {
    let kinds = [Kind::Count, Kind::Quantity, Kind::Proportion, Kind::Flag, Kind::Document];
    let of = |kind| metric::CATALOGUE.iter().filter(move |metric| metric.kind == kind).take(3);
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

fn add_fact(dice: &mut Dice, metric: &'static Metric, facts: &mut Facts) {
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

struct World {
    rules: Rules,
    members: Vec<(&'static str, Value)>,
    facts: Facts,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let metrics = metrics();
        let cards: Vec<String> = (0..1 + dice.below(2)).map(|at| card(&mut dice, at, &metrics)).collect();
        let pack = compile_all(&cards.iter().map(String::as_str).collect::<Vec<_>>());
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

    fn system(&self, without: Option<usize>) -> System {
        let mut system = System::new();
        for (at, (name, value)) in self.members.iter().enumerate() {
            if Some(at) != without {
                system.set(name, value.clone()).unwrap();
            }
        }
        system
    }

    fn effect(&self, system: &System, facts: &Facts) -> Effect {
        decide(&self.rules, None, system, facts, DAY).effect
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// Taking away any fact, or anything said of the system, never turns a denial into leave.
    #[test]
    fn less_evidence_is_never_more_permissive(seed in any::<u64>()) {
        let world = World::new(seed);
        let whole = world.system(None);
        if world.effect(&whole, &world.facts) == Effect::Allow {
            return Ok(());
        }
        for at in 0..world.members.len() {
            prop_assert_eq!(world.effect(&world.system(Some(at)), &world.facts), Effect::Deny, "without {}", world.members[at].0);
        }
        let mut left = world.facts.clone();
        for id in world.facts.ids() {
            let mut without = world.facts.clone();
            without.remove(id);
            prop_assert_eq!(world.effect(&whole, &without), Effect::Deny, "without {}", id);
            left.remove(id);
            prop_assert_eq!(world.effect(&whole, &left), Effect::Deny, "without all up to {}", id);
        }
    }

    /// The same inputs give the same bytes, whatever the order of the files and of the facts.
    #[test]
    fn a_decision_is_a_function_of_its_inputs(seed in any::<u64>()) {
        let (one, two) = (World::new(seed), World::new(seed));
        let (system, other) = (one.system(None), two.system(None));
        let bytes = decide(&one.rules, None, &system, &one.facts, DAY).to_json().canonical();
        let files: Vec<(String, String)> = two.rules.packs[0].0.cards().iter().rev().map(|card| (card.file.clone(), card.text().to_owned())).collect();
        let mut reversed = Rules::new(vec![(Pack::compile("house", &files).unwrap(), Mode::Enforce)]);
        reversed.waivers.clone_from(&two.rules.waivers);
        prop_assert_eq!(decide(&reversed, None, &other, &two.facts, DAY).to_json().canonical(), bytes);
    }

    /// The order of the packs changes no verdict, and the effect is that of the two together.
    #[test]
    fn the_order_of_packs_changes_no_verdict(seed in any::<u64>()) {
        let world = World::new(seed);
        let system = world.system(None);
        let cards = world.rules.packs[0].0.cards();
        let alone = |card: &policy::Card| {
            (Pack::compile(&card.id, &[(card.file.clone(), card.text().to_owned())]).unwrap(), Mode::Enforce)
        };
        let mut packs: Vec<(Pack, Mode)> = cards.iter().map(alone).collect();
        let decided = |packs: &[(Pack, Mode)]| {
            let rules = Rules::new(packs.to_vec());
            let decision = decide(&rules, None, &system, &world.facts, DAY);
            let verdicts: Vec<String> = decision.verdicts.iter().map(|verdict| verdict.to_json().canonical()).collect();
            (verdicts, decision.effect)
        };
        let (forward, effect) = decided(&packs);
        let denies = packs.iter().any(|pack| decided(std::slice::from_ref(pack)).1 == Effect::Deny);
        prop_assert_eq!(effect == Effect::Deny, denies);
        packs.reverse();
        prop_assert_eq!(decided(&packs), (forward, effect));
    }

    /// A waiver, good or bad, changes what its own rule lets through and nothing else: no outcome, no other verdict.
    #[test]
    fn a_waiver_speaks_for_its_own_rule_alone(seed in any::<u64>()) {
        let mut world = World::new(seed);
        let mut system = world.system(None);
        system.set("name", "s".into()).unwrap();
        let waiver = any_waiver(&mut Dice(!seed));
        let before = world.rules.clone();
        world.rules.waivers.push(waiver.clone());
        let plain = decide(&before, None, &system, &world.facts, DAY);
        let waived = decide(&world.rules, None, &system, &world.facts, DAY);
        for (one, two) in plain.verdicts.iter().zip(&waived.verdicts) {
            prop_assert_eq!(&one.finding, &two.finding);
            if one.rule() != waiver.rule || waiver.check().is_err() {
                prop_assert_eq!(one.to_json(), two.to_json());
            }
        }
        let others_deny = plain.denials().any(|verdict| verdict.rule() != waiver.rule);
        prop_assert!(!others_deny || waived.effect == Effect::Deny);
        prop_assert!(plain.effect == Effect::Deny || waived.effect == Effect::Allow);
        let is_idle = !waived.idle_waivers.is_empty();
        prop_assert_eq!(is_idle, waived.verdicts.iter().all(|verdict| verdict.waiver.is_none()));
    }

    /// A fact that no card names changes nothing.
    #[test]
    fn irrelevant_facts_change_nothing(seed in any::<u64>()) {
        let world = World::new(seed);
        let system = world.system(None);
        let before = decide(&world.rules, None, &system, &world.facts, DAY).to_json().canonical();
        let texts: Vec<&str> = world.rules.packs[0].0.cards().iter().map(policy::Card::text).collect();
        let mut more = world.facts.clone();
        for metric in metric::CATALOGUE.iter().filter(|metric| !texts.iter().any(|text| text.contains(metric.id))) {
            add_fact(&mut Dice(seed), metric, &mut more);
        }
        prop_assert_eq!(decide(&world.rules, None, &system, &more, DAY).to_json().canonical(), before);
    }
}

/// Some of what is drawn for each member makes it void.
fn any_waiver(dice: &mut Dice) -> Waiver {
    Waiver {
        rule: dice.of(&["rule.0", "rule.0", "rule.0", "rule.1", "rule.2"]).to_owned(),
        from_version: Version(1, 0, 0),
        below_version: dice.of(&[
            Version(2, 0, 0),
            Version(2, 0, 0),
            Version(2, 0, 0),
            Version(1, 0, 1),
            Version(1, 0, 0),
        ]),
        scope: dice.of(&["s", "s", "s", "s", "another"]).to_owned(),
        subject: dice.of(&[None, None, None, Some(Digest::of(b"s")), Some(Digest::of(b"t"))]),
        reason: dice.of(&["r", "r", "r", "r", ""]).to_owned(),
        compensating: "c".to_owned(),
        author: "ana".to_owned(),
        approvers: dice
            .of(&[["ben", "chen"], ["ben", "chen"], ["ben", "chen"], ["ben", "chen"], ["ben", "ana"]])
            .map(str::to_owned)
            .to_vec(),
        granted: date(2026, 11, 1),
        expires: dice.of(&[
            date(2027, 11, 1),
            date(2027, 11, 1),
            date(2026, 11, 24),
            date(2026, 11, 24),
            date(2026, 11, 23),
            date(2027, 11, 2),
        ]),
    }
}

/// Waivers that hold and waivers that do not are both drawn, or the property above would say nothing.
#[test]
fn the_generated_waivers_are_various() {
    let (mut laid, mut idle) = (0, 0);
    for seed in 0..400 {
        let mut world = World::new(seed);
        let mut system = world.system(None);
        system.set("name", "s".into()).unwrap();
        world.rules.waivers.push(any_waiver(&mut Dice(!seed)));
        let decision = decide(&world.rules, None, &system, &world.facts, DAY);
        let is_waived = |verdict: &&Verdict<'_>| verdict.waiver.is_some();
        laid += decision.verdicts.iter().filter(is_waived).count();
        idle += decision.idle_waivers.len();
    }
    assert!(laid >= 20 && idle >= 20, "{laid} laid, {idle} idle");
}

const VARIABLES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn term(dice: &mut Dice, depth: usize) -> String {
    match (depth, dice.below(3)) {
        (0, _) => dice.of(&VARIABLES).to_owned(),
        (_, 0) => format!("!({})", term(dice, depth - 1)),
        (_, pick) => {
            let mark = if pick == 1 { "&&" } else { "||" };
            format!("({}) {mark} ({})", term(dice, depth - 1), term(dice, depth - 1))
        }
    }
}

fn answer(text: &str, values: [Truth; 6]) -> Truth {
    let expr = Expr::compile(text, Place::Elsewhere, &|_| Ok((Source::Variable, Type::BOOL))).unwrap();
    let value = |path: &str| values[VARIABLES.iter().position(|name| *name == path).unwrap()];
    expr.evaluate(&|leaf| match value(&leaf.path) {
        Truth::True => Operand::Bool(true),
        Truth::False => Operand::Bool(false),
        Truth::Missing => Operand::Missing,
        Truth::Error => Operand::Error(Fault::Overflow),
    })
}

proptest! {
    /// `&&` and `||` commute and associate, and De Morgan holds, for all four values.
    #[test]
    fn the_logic_keeps_its_laws(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let values = std::array::from_fn(|_| dice.of(&[Truth::True, Truth::False, Truth::Missing, Truth::Error]));
        let [x, y, z] = std::array::from_fn(|_| term(&mut dice, 2));
        for (mark, dual) in [("&&", "||"), ("||", "&&")] {
            let same = |a: String, b: String| (answer(&a, values), answer(&b, values));
            let (left, right) = same(format!("({x}) {mark} ({y})"), format!("({y}) {mark} ({x})"));
            prop_assert_eq!(left, right);
            let (left, right) = same(format!("(({x}) {mark} ({y})) {mark} ({z})"), format!("({x}) {mark} (({y}) {mark} ({z}))"));
            prop_assert_eq!(left, right);
            let (left, right) = same(format!("!(({x}) {mark} ({y}))"), format!("!({x}) {dual} !({y})"));
            prop_assert_eq!(left, right);
        }
    }

    /// Making any operand missing turns no answer into another: true and false may only become missing or error.
    #[test]
    fn a_missing_operand_decides_nothing_new(seed in any::<u64>(), gone in 0_usize..6) {
        let mut dice = Dice(seed);
        let values: [Truth; 6] = std::array::from_fn(|_| dice.of(&[Truth::True, Truth::False, Truth::Missing, Truth::Error]));
        let text = term(&mut dice, 4);
        let before = answer(&text, values);
        let mut less = values;
        less[gone] = Truth::Missing;
        let after = answer(&text, less);
        let is_answer = |truth| matches!(truth, Truth::True | Truth::False);
        prop_assert!(!is_answer(after) || after == before, "{} from {:?} to {:?}", text, before, after);
    }
}

/// The generator must not draw cards that all come to the same: both effects and every verdict are seen.
#[test]
fn the_generated_worlds_are_various() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let world = World::new(seed);
        let system = world.system(None);
        let decision = decide(&world.rules, None, &system, &world.facts, DAY);
        seen.insert(decision.effect.name());
        seen.extend(decision.verdicts.iter().map(|verdict| verdict.finding.outcome.name()));
        seen.extend(decision.verdicts.iter().filter(|verdict| verdict.waiver.is_some()).map(|_| "waived"));
        seen.extend(decision.verdicts.iter().filter(|verdict| verdict.finding.reason.code == "grace").map(|_| "grace"));
    }
    let all = [
        "allow",
        "awaiting-person",
        "deny",
        "error",
        "fail",
        "grace",
        "insufficient-evidence",
        "not-applicable",
        "not-in-force",
        "pass",
        "waived",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}
