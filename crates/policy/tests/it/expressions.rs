//! What parses, what does not and why, and what the rest comes to.

use policy::expr::{
    Expr, Fault, Leaf, Operand, Place, Scalar, Source, Truth, Type, Unresolved, Value, parse_timestamp,
};

const NAMES: [(&str, Type); 14] = [
    ("t", Type::BOOL),
    ("f", Type::BOOL),
    ("m", Type::BOOL),
    ("e", Type::BOOL),
    ("a.int", Type::INT),
    ("a.decimal", Type::DECIMAL),
    ("a.text", Type::TEXT),
    ("a.time", Type::TIMESTAMP),
    ("a.span", Type::DURATION),
    ("a.list", Type::TEXTS),
    ("a.ints", Type::List(Scalar::Int)),
    ("none.int", Type::INT),
    ("bad.int", Type::INT),
    ("none.list", Type::TEXTS),
];

fn resolve(path: &str) -> Result<(Source, Type), Unresolved> {
    let found = NAMES.iter().find(|(name, _)| *name == path).map(|(_, kind)| (Source::Variable, *kind));
    found.ok_or_else(|| Unresolved { code: "unknown-fact", message: format!("no `{path}`"), hint: None })
}

fn answer(text: &str) -> Truth {
    let values = [
        ("t", Value::Bool(true)),
        ("f", Value::Bool(false)),
        ("a.int", Value::Int(7)),
        ("a.decimal", Value::Decimal("0.95".parse().unwrap())),
        ("a.text", "naïve 数据".into()),
        ("a.time", Value::Timestamp(parse_timestamp("2026-08-02T00:00:00Z").unwrap())),
        ("a.span", Value::Duration(3_600_000_000_000)),
        ("a.list", Value::List(vec!["EU".into(), "CN".into()])),
        ("a.ints", Value::List(Vec::new())),
    ];
    let expr = Expr::compile(text, Place::PassWhen, &resolve).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    evaluate(&expr, &|leaf| match leaf.path.as_str() {
        "e" | "bad.int" => Operand::Error(Fault::Invalid("drawn so")),
        path => values.iter().find(|(name, _)| *name == path).map_or(Operand::Missing, |(_, value)| Operand::of(value)),
    })
}

fn evaluate<'a>(expr: &'a Expr, value_of: &dyn Fn(&Leaf) -> Operand<'a>) -> Truth {
    expr.evaluate(value_of)
}

/// The tables of minimum on false < error < missing < true and maximum on false < missing < error < true, by hand.
#[test]
fn and_or_not_are_four_valued() {
    let names = ["t", "f", "m", "e"];
    let rows = [("&&", "tfme ffff mfme efee"), ("||", "tttt tfme tmme teee")];
    for (mark, table) in rows {
        for (a, row) in names.iter().zip(table.split(' ')) {
            for (b, expected) in names.iter().zip(row.chars()) {
                let found = answer(&format!("{a} {mark} {b}"));
                let expected = answer(&expected.to_string());
                assert_eq!(found, expected, "{a} {mark} {b}");
            }
        }
    }
    for (a, expected) in [("t", Truth::False), ("f", Truth::True), ("m", Truth::Missing), ("e", Truth::Error)] {
        assert_eq!(answer(&format!("!{a}")), expected);
    }
}

/// Expected answers from the CEL specification; `-` is missing and `?` error.
#[test]
fn atoms_come_to_what_cel_says() {
    let table = [
        ("a.int == 7", 't'),
        ("a.int != 7", 'f'),
        ("-8 < a.int", 't'),
        ("a.int < 7", 'f'),
        ("a.int <= 7", 't'),
        ("7 > a.int", 'f'),
        ("a.decimal >= 0.95", 't'),
        ("a.decimal > 9.5e-1", 'f'),
        ("a.decimal < 0.950000000000001", 't'),
        ("a.decimal == 0.950", 't'),
        ("a.text.startsWith(\"naïve\")", 't'),
        ("a.text.endsWith('据')", 't'),
        ("a.text.contains(\"x\")", 'f'),
        ("size(a.text) == 8", 't'),
        ("a.text < \"naj\"", 'f'),
        ("a.text == \"na\\u00efve \\u6570\\u636e\"", 't'),
        ("\"EU\" in a.list", 't'),
        ("\"KR\" in a.list", 'f'),
        ("\"KR\" in []", 'f'),
        ("a.int in [1, 7]", 't'),
        ("size(a.list) == 2", 't'),
        ("a.list.exists(x, x == \"CN\")", 't'),
        ("a.list.all(x, x == \"CN\")", 'f'),
        ("a.ints.exists(x, x > 0)", 'f'),
        ("a.ints.all(x, x > 0)", 't'),
        ("a.list.exists(x, none.int > 0 || x == \"CN\")", 't'),
        ("a.list.all(x, none.int > 0)", '-'),
        ("a.list.all(x, x == \"CN\" && bad.int > 0)", 'f'),
        ("a.time == timestamp(\"2026-08-02T02:00:00+02:00\")", 't'),
        ("a.time - a.span < a.time", 't'),
        ("a.span + a.time > a.time", 't'),
        ("a.time - timestamp(\"2026-08-01T00:00:00Z\") == duration(\"24h\")", 't'),
        ("a.span + a.span - duration(\"60m\") == a.span", 't'),
        ("a.time - timestamp(\"0001-01-01T00:00:00Z\") > a.span", '?'),
        ("a.time + duration(\"2562047h\") > a.time", 't'),
        ("timestamp(\"9999-12-30T00:00:00Z\") + duration(\"48h\") > a.time", '?'),
        ("duration(\"2562047h\") + a.span > a.span", '?'),
        ("none.int > 0", '-'),
        ("bad.int > 0", '?'),
        ("none.int > bad.int", '?'),
        ("size(none.list) > 0", '-'),
        ("\"EU\" in none.list", '-'),
        ("none.list.exists(x, true)", '-'),
        ("none.list.all(x, false)", '-'),
        ("has(a.int)", 't'),
        ("has(none.int)", 'f'),
        ("has(bad.int)", '?'),
        ("has(none.int) || t", 't'),
        ("t == f", 'f'),
        ("t != f", 't'),
        ("m == m", '-'),
        ("!t == f", 't'),
        ("!!t", 't'),
        ("t || f && f", 't'),
        ("(t || f) && f", 'f'),
        ("f && f || t", 't'),
        ("a.int\n\t== 7", 't'),
    ];
    for (text, expected) in table {
        let expected = match expected {
            't' => Truth::True,
            'f' => Truth::False,
            '-' => Truth::Missing,
            _ => Truth::Error,
        };
        assert_eq!(answer(text), expected, "{text}");
    }
}

fn refused(text: &str) -> String {
    let error = Expr::compile(text, Place::PassWhen, &resolve).expect_err(text);
    let place = text.get(error.span.clone()).unwrap_or_default();
    let hint = error.hint.map(|hint| format!(" | {hint}")).unwrap_or_default();
    format!("{}: {} @ `{place}`{hint}", error.code, error.message)
}

// A case reads as one row; the formatter would give every word a line of its own.
#[rustfmt::skip]
#[test]
fn what_is_not_a_condition_is_refused_with_its_place() {
    let table = [
        ("", "syntax: expected a value, found the end @ ``"),
        ("t &&", "syntax: expected a value, found the end @ ``"),
        ("t t", "syntax: expected an operator or the end, found `t` @ `t`"),
        ("(t", "syntax: expected `)`, found the end @ ``"),
        ("t & f", "syntax: unexpected `&` @ `&` | write `&&`"),
        ("a.int = 7", "syntax: unexpected `=` @ `=` | compare with `==`"),
        ("1 < a.int < 3", "syntax: comparisons are not chained @ `<` | write `a < b && b < c`"),
        ("a.int * 2 > 3", "syntax: unexpected `*` @ `*` | ratios and products are facts of their own, not made by a card"),
        ("t ? t : f", "syntax: unexpected `?` @ `?` | there is no conditional; write two conditions"),
        ("a.text.matches(\"x\")", "syntax: unknown method `matches` @ `matches` | known are `startsWith`, `endsWith`, `contains`, `exists`, `all`"),
        ("int(a.text) == 1", "syntax: unknown function `int` @ `int` | known are `size`, `has`, `timestamp`, `duration`"),
        ("a.text == \"open", "syntax: expected the closing quotation mark @ `\"open`"),
        ("a.text == \"\\q\"", r#"literal: unknown escape in a text @ `\q` | known are \\ \" \' \n \r \t \uXXXX"#),
        ("a.text == \"e\u{301}\"", "literal: expected text in Unicode normal form NFC @ `\"e\u{301}\"`"),
        ("a.int == 7u", "literal: expected a number, found `7u` @ `7u` | write `12`, `-0.5` or `1e25`"),
        ("a.int == 9223372036854775808", "literal: expected an integer of 64 bits, found `9223372036854775808` @ `9223372036854775808`"),
        ("a.decimal == 0.1234567890123456", "literal: expected at most 15 significant digits, found `0.1234567890123456` @ `0.1234567890123456`"),
        ("a.decimal == 1e400", "literal: expected a finite number between 1e-45 and 1e45, found `1e400` @ `1e400`"),
        ("-a.int > 0", "syntax: expected a number after `-` @ `-a` | only literals may be negative"),
        ("for == 1", "syntax: `for` is a reserved word @ `for`"),
        ("a.time > timestamp(\"2026-08-02\")", "literal: expected a timestamp, found `2026-08-02` @ `\"2026-08-02\"` | write the whole instant: `timestamp(\"2026-08-02T00:00:00Z\")`"),
        ("a.span > duration(\"15d\")", "literal: expected a duration, found `15d` @ `\"15d\"` | hours, minutes and seconds only: `duration(\"360h\")` for 15 days"),
        ("a.int", "type: expected a condition, found int @ `a.int`"),
        ("a.int && t", "type: expected bool beside `&&`, found int @ `a.int`"),
        ("!a.text", "type: expected bool after `!`, found text @ `a.text`"),
        ("a.int == 7.0", "type: expected int beside `==`, found decimal @ `7.0`"),
        ("a.decimal >= 1", "type: expected decimal beside `>=`, found int @ `1` | a decimal field is compared with a decimal: write `1.0`"),
        ("t < f", "type: bools have no order @ `t < f`"),
        ("a.list == a.list", "type: expected a single value beside a comparison, found list of text @ `a.list`"),
        ("a.int in [1.5]", "type: expected decimal to look for in a list of such, found int @ `a.int`"),
        ("a.int in a.int", "type: expected a list, found int @ `a.int`"),
        ("a.int in [1, \"x\"]", "type: expected a list of one type @ `[1, \"x\"]`"),
        ("a.list in []", "type: expected a single value before `in`, found list of text @ `a.list`"),
        ("a.int + 1 == 8", "type: expected timestamps and durations beside `+`, found int and int @ `a.int + 1` | sums, ratios and products are facts of their own, not made by a card"),
        ("a.span - a.time == a.span", "type: expected timestamps and durations beside `-`, found duration and timestamp @ `a.span - a.time` | sums, ratios and products are facts of their own, not made by a card"),
        ("a.int.contains(\"1\")", "type: expected text before a text test, found int @ `a.int`"),
        ("a.text.contains(1)", "type: expected text in a text test, found int @ `1`"),
        ("size(a.int) > 0", "type: expected a text or a list in `size`, found int @ `a.int`"),
        ("a.list.exists(x, x)", "type: expected bool as the condition on the element, found text @ `x`"),
        ("[].exists(x, true)", "type: the empty list has no elements to speak of @ `x`"),
        ("a.list.exists(system, true)", "syntax: the element's name `system` hides a fact @ `system` | take another name, such as `x`"),
        ("a.list.exists(x, a.list.all(y, x == y))", "limit: expected one level of `exists` and `all` @ `x == y`"),
        ("!has(a.int)", "has: `has` may stand only in `pass_when`, un-negated @ `has(a.int)` | elsewhere it would let missing evidence decide; leave it out: a missing fact is `missing`"),
        ("has(a.int) == t", "has: `has` may stand only in `pass_when`, un-negated @ `has(a.int)` | elsewhere it would let missing evidence decide; leave it out: a missing fact is `missing`"),
        ("b.c == 1", "unknown-fact: no `b.c` @ `b.c`"),
        ("a.list.exists(x, x.y == \"\")", "unknown-fact: no `x.y` @ `x.y`"),
    ];
    for (text, expected) in table {
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn has_is_refused_outside_pass_when() {
    let error = Expr::compile("t && has(a.int)", Place::Elsewhere, &resolve).unwrap_err();
    assert_eq!((error.code, error.span), ("has", 5..15));
}

#[test]
fn limits_are_held() {
    let many = |n: usize| vec!["t"; n].join(" && ");
    assert!(Expr::compile(&many(63), Place::Elsewhere, &resolve).is_ok());
    assert_eq!(refused(&many(64)).split(" @").next(), Some("limit: expected at most 64 nodes, found 65"));
    let nested = |n: usize| format!("{}t{}", "(".repeat(n), ")".repeat(n));
    assert!(Expr::compile(&nested(15), Place::Elsewhere, &resolve).is_ok());
    assert_eq!(refused(&nested(16)).split(" @").next(), Some("limit: expected at most 16 levels of nesting"));
    assert_eq!(
        refused(&format!("{}t", "!".repeat(40))).split(" @").next(),
        Some("limit: expected at most 16 levels of nesting")
    );
    let long = format!("a.text == \"{}\"", "x".repeat(2048));
    assert_eq!(refused(&long).split(" @").next(), Some("limit: expected at most 2048 bytes, found 2060"));
}

proptest::proptest! {
    /// Any text is refused or compiled, never a panic, and an error's place lies within the text.
    #[test]
    fn any_text_is_read(text in "[tfme a.int0-9()!&|<>=\"'\\\\,\\[\\]+.-]{0,60}|\\PC{0,40}") {
        if let Err(error) = Expr::compile(&text, Place::PassWhen, &resolve) {
            proptest::prop_assert!(text.get(error.span).is_some());
        }
    }
}
