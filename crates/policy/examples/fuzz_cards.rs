//! Throws damaged cards, damaged `pack.toml`s and made-up expressions at the readers, for a number of seconds of CPU time.
//!
//! `fuzz_cards SECONDS SEED FOLDER…`: seeds are the cards of the folders. A panic, an answer that takes longer than a second,
//! and a problem whose place is not in the file are printed with the input, and the exit code is 1. The same seed draws the
//! same inputs, however many of them the seconds allow.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a fuzzer: it prints and reads the clock")]

#[path = "../../../tests/fuzz/clock.rs"]
mod clock;

use clock::used;
use policy::expr::{Expr, Fault, Operand, Place, Source, Type, Unresolved};
use policy::{CardError, Manifest, Pack};
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Duration,
};

/// Longer than this for one input is a finding.
const SLOW: Duration = Duration::from_secs(1);

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// What the parsers treat specially, and what they should not.
const TOKENS: [&str; 64] = [
    "&&",
    "||",
    "!",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    "-",
    "+",
    "=",
    "'",
    "\"",
    "'''",
    "\"\"\"",
    "\\",
    "\\u0041",
    "\\ud800",
    "#",
    "\n",
    "\r",
    "\t",
    "[[",
    "]]",
    "[[tests]]\n",
    "[[needs]]\n",
    "[[force]]\n",
    "size(",
    "has(",
    "timestamp(\"2026-08-02T00:00:00Z\")",
    "duration(\"-2562047h\")",
    "duration(\"9223372036s\")",
    ".exists(x, x == \"a\")",
    ".all(y, true)",
    ".startsWith(\"US\")",
    "system.jurisdictions",
    "system.on_market",
    "refusal_bank.lower95",
    "train.compute.upper",
    "true",
    "false",
    "1e45",
    "1e-45",
    "9223372036854775807",
    "-9223372036854775808",
    "0.333333333333333",
    "999999999999999e30",
    "2026-13-45",
    "9999-12-31",
    "0000-01-01",
    "-9999-01-01",
    "\u{200b}",
    "\u{430}",
    "生",
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (Some(seconds), Some(seed)) =
        (words.first().and_then(|w| w.parse::<u64>().ok()), words.get(1).and_then(|w| w.parse().ok()))
    else {
        println!("usage: fuzz_cards SECONDS SEED FOLDER…");
        return ExitCode::from(2);
    };
    let cards = seeds(&words[2..]);
    if cards.is_empty() {
        println!("no card in `{}`", words[2..].join("`, `"));
        return ExitCode::from(2);
    }
    // A panic is caught and counted; its usual report would bury the input.
    std::panic::set_hook(Box::new(|_| {}));
    let (start, limit) = (used(), Duration::from_secs(seconds));
    let mut dice = Dice(seed);
    let mut tally = Tally::default();
    while used().saturating_sub(start) < limit {
        match dice.below(4) {
            0 => expression(&mut dice, &mut tally),
            _ => card(&mut dice, &cards, &mut tally),
        }
    }
    println!(
        "{} inputs in {seconds} s from seed {seed}: {} read, {} refused, {} expressions typed; {} panics, {} slow, {} misplaced; slowest {} us, \
         mean {} us",
        tally.n,
        tally.n_read,
        tally.n_refused,
        tally.n_typed,
        tally.n_panics,
        tally.n_slow,
        tally.n_misplaced,
        tally.longest.as_micros(),
        tally.total.as_micros() / u128::from(tally.n.max(1))
    );
    if tally.n_panics + tally.n_slow + tally.n_misplaced == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Tally {
    n: u64,
    n_read: u64,
    n_refused: u64,
    n_typed: u64,
    n_panics: u64,
    n_slow: u64,
    n_misplaced: u64,
    longest: Duration,
    total: Duration,
}

impl Tally {
    /// Runs one input and notes how it went; the answer of `run` is whether it was accepted.
    fn take(&mut self, input: &str, run: impl FnOnce() -> Result<bool, String>) -> bool {
        let start = used();
        let answer = catch_unwind(AssertUnwindSafe(run));
        let took = used().saturating_sub(start);
        self.n += 1;
        self.total += took;
        self.longest = self.longest.max(took);
        if took > SLOW {
            self.n_slow += 1;
            println!("slow, {} ms:\n{input}\n----", took.as_millis());
        }
        match answer {
            Ok(Ok(is_accepted)) => is_accepted,
            Ok(Err(why)) => {
                self.n_misplaced += 1;
                println!("{why}:\n{input}\n----");
                false
            }
            Err(_) => {
                self.n_panics += 1;
                println!("panic:\n{input}\n----");
                false
            }
        }
    }
}

fn seeds(folders: &[String]) -> Vec<String> {
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

fn card(dice: &mut Dice, cards: &[String], tally: &mut Tally) {
    let mut text = cards[dice.below(cards.len())].clone();
    for _ in 0..1 + dice.below(4) {
        text = damaged(dice, &text, &cards[dice.0 as usize % cards.len()]);
    }
    let is_deep = dice.below(20) == 0;
    let is_manifest = dice.below(10) == 0;
    let is_read = tally.take(&text, || {
        if is_manifest {
            return Manifest::read("a.toml", &text).map(|_| true).or_else(|errors| placed(&errors, &text));
        }
        match Pack::compile("fuzz", &[("a.toml".to_owned(), text.clone())]) {
            Ok(pack) => {
                let _ = policy::test(&pack);
                if is_deep {
                    let _ = policy::lint(&pack);
                    let _ = pack.cards().iter().map(|card| policy::mutate(card, false).mutants()).sum::<usize>();
                }
                Ok(true)
            }
            Err(errors) => placed(&errors, &text),
        }
    });
    if is_read { tally.n_read += 1 } else { tally.n_refused += 1 }
}

/// A refusal whose every problem can be shown; else what is wrong with it.
fn placed(errors: &[CardError], text: &str) -> Result<bool, String> {
    let n_lines = text.matches('\n').count() + 1;
    for error in errors {
        let shown = error.to_string();
        if error.line == 0 || error.line > n_lines || error.column == 0 || error.message.is_empty() {
            return Err(format!("misplaced: {shown}"));
        }
    }
    if errors.is_empty() { Err("refused without a problem".to_owned()) } else { Ok(false) }
}

/// Cuts, doubles, replaces or inserts at a random place, kept valid UTF-8.
fn damaged(dice: &mut Dice, text: &str, other: &str) -> String {
    let at = boundary(text, dice.below(text.len() + 1));
    let longest = if dice.below(8) == 0 { 2000 } else { 12 };
    let end = boundary(text, (at + dice.below(longest)).min(text.len()));
    let (head, cut, tail) = (&text[..at], &text[at..end], &text[end..]);
    match dice.below(7) {
        0 => format!("{head}{tail}"),
        1 => format!("{head}{cut}{cut}{tail}"),
        2 => format!("{head}{}{tail}", dice.of(&TOKENS)),
        3 => format!("{head}{}{cut}{tail}", dice.of(&TOKENS)),
        4 => {
            let from = boundary(other, dice.below(other.len() + 1));
            let to = boundary(other, (from + dice.below(400)).min(other.len()));
            format!("{head}{}{tail}", &other[from..to.max(from)])
        }
        5 => {
            let character = char::from_u32((dice.next() % 0x3000) as u32).unwrap_or('\u{fffd}');
            format!("{head}{character}{tail}")
        }
        _ => format!("{head}{}{tail}", dice.of(&TOKENS).repeat(1 + dice.below(40))),
    }
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn expression(dice: &mut Dice, tally: &mut Tally) {
    let text = if dice.below(3) == 0 {
        (0..dice.below(40)).map(|_| dice.of(&TOKENS)).collect::<Vec<_>>().join(dice.of(&["", " "]))
    } else {
        grown(dice, 6)
    };
    let place = if dice.below(2) == 0 { Place::PassWhen } else { Place::Elsewhere };
    let answers = dice.next();
    let is_typed = tally.take(&text, || match Expr::compile(&text, place, &resolve) {
        Ok(expr) => {
            let at = |path: &str| path.bytes().fold(answers, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
            let truth = expr.evaluate(&|leaf| operand(leaf.kind, at(&leaf.path)));
            Ok(!truth.name().is_empty())
        }
        Err(error) if error.span.start > text.len() || error.span.end > text.len() => Err("misplaced".to_owned()),
        Err(_) => Ok(false),
    });
    if is_typed {
        tally.n_typed += 1;
    }
}

const PATHS: [(&str, Type); 8] = [
    ("b", Type::BOOL),
    ("i", Type::INT),
    ("d", Type::DECIMAL),
    ("t", Type::TEXT),
    ("s", Type::TIMESTAMP),
    ("u", Type::DURATION),
    ("l", Type::TEXTS),
    ("c.d", Type::BOOL),
];

fn resolve(path: &str) -> Result<(Source, Type), Unresolved> {
    let found = PATHS.iter().find(|(name, _)| *name == path).map(|(_, kind)| (Source::Variable, *kind));
    found.ok_or_else(|| Unresolved { code: "unknown-fact", message: "no such path".to_owned(), hint: None })
}

/// A value of the type: of its extremes, or none.
fn operand(kind: Type, pick: u64) -> Operand<'static> {
    match (kind, pick % 5) {
        (_, 0) => Operand::Missing,
        (_, 1) => Operand::Error(Fault::Overflow),
        (Type::BOOL, pick) => Operand::Bool(pick == 2),
        (Type::INT, pick) => Operand::Int([i64::MIN, i64::MAX, 0][pick as usize - 2]),
        (Type::DECIMAL, pick) => Operand::Decimal(
            [evidence::Decimal::ZERO, evidence::Decimal::ONE, evidence::Decimal::ONE][pick as usize - 2],
        ),
        (Type::TEXT, pick) => Operand::Text(["", "US-CA", "生"][pick as usize - 2]),
        (Type::TIMESTAMP, pick) => {
            Operand::Instant([-62_135_596_800_000_000_000, 253_402_300_799_999_999_999, 0][pick as usize - 2])
        }
        (Type::DURATION, pick) => Operand::Duration([i64::MIN, i64::MAX, 0][pick as usize - 2]),
        _ => Operand::List(&[]),
    }
}

/// An expression that is mostly well typed.
fn grown(dice: &mut Dice, depth: usize) -> String {
    let deeper = |dice: &mut Dice| grown(dice, depth.saturating_sub(1));
    match (depth, dice.below(12)) {
        (0, _) | (_, 0) => dice.of(&["b", "c.d", "true", "false"]).to_owned(),
        (_, 1) => format!("!({})", deeper(dice)),
        (_, 2) => format!("({}) && ({})", deeper(dice), deeper(dice)),
        (_, 3) => format!("{} || {}", deeper(dice), deeper(dice)),
        (_, 4) => format!("i {} {}", dice.of(&["<", "<=", "==", "!="]), dice.of(&["0", "-1", "9223372036854775807"])),
        (_, 5) => format!("d {} {}", dice.of(&[">", ">=", "=="]), dice.of(&["0.0", "1e45", "-0.333333333333333"])),
        (_, 6) => format!("s {} u {} timestamp(\"9999-12-31T23:59:59Z\")", dice.of(&["+", "-"]), dice.of(&["<", ">"])),
        (_, 7) => format!("u {} duration(\"2562047h\") < u + u", dice.of(&["+", "-"])),
        (_, 8) => format!("{} in {}", dice.of(&["t", "\"a\""]), dice.of(&["l", "[\"a\", \"b\"]", "[]"])),
        (_, 9) => format!("l.{}(x, x.contains(\"a\") || {})", dice.of(&["exists", "all"]), dice.of(&["b", "x == t"])),
        (_, 10) => format!("size({}) > 0 && has({})", dice.of(&["l", "t"]), dice.of(&["i", "l", "d"])),
        _ => format!("s - s {} {}", dice.of(&["<", "=="]), dice.of(&["u", "duration(\"1s\")"])),
    }
}
