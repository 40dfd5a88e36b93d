//! Where the value of a member stands among the values that cards name.

use super::atom::Atom;
use crate::expr::{Comparison, Operand, Truth, Value, order_of};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Finds the place of a value: places between which no question can tell are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Texts that are only asked whether they are equal: 0 for any other text, and one place for each of these.
    Texts(HashMap<String, u32, BuildHasherDefault<Words>>),
    /// Sorted values: 0 below the first, 1 at it, 2 between it and the next, and so on.
    Sorted(Vec<Value>),
}

/// One place: the values that stand there.
pub(super) enum Place {
    /// None that a question names.
    Other,
    At(Value),
    /// Between the sorted values, above as many as said.
    Between(Vec<Value>, usize),
}

impl Lookup {
    /// The lookup for the questions about one member, and its places in order.
    pub(super) fn of(atoms: &[&Atom]) -> (Self, Vec<Place>) {
        let mut known: Vec<Value> = atoms.iter().flat_map(|atom| atom.named()).collect();
        known.sort_by(|a, b| order_of(Operand::of(a), Operand::of(b)).unwrap_or(Ordering::Equal));
        known.dedup();
        let text = |value: &Value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let texts: Option<Vec<String>> = known.iter().map(text).collect();
        if let Some(texts) = texts.filter(|_| !atoms.iter().any(|atom| asks_order(atom))) {
            let places = std::iter::once(Place::Other).chain(known.into_iter().map(Place::At)).collect();
            return (Self::Texts(texts.into_iter().zip(1..).collect()), places);
        }
        let between = |at: usize| Place::Between(known.clone(), at);
        let at = |(at, value): (usize, &Value)| [Place::At(value.clone()), between(at + 1)];
        let places = std::iter::once(between(0)).chain(known.iter().enumerate().flat_map(at)).collect();
        (Self::Sorted(known), places)
    }

    pub(super) fn place(&self, value: &Value) -> usize {
        match (self, value) {
            (Self::Texts(texts), Value::Text(text)) => texts.get(text).map_or(0, |place| *place as usize),
            (Self::Texts(_), _) => 0,
            (Self::Sorted(known), value) => {
                let value = Operand::of(value);
                let order = |known: &Value| order_of(Operand::of(known), value).unwrap_or(Ordering::Less);
                known.binary_search_by(order).map_or_else(|next| 2 * next, |at| 2 * at + 1)
            }
        }
    }
}

const fn asks_order(atom: &Atom) -> bool {
    use Comparison::{Greater, GreaterOrEqual, Less, LessOrEqual};
    matches!(atom, Atom::Compare(_, Less | LessOrEqual | Greater | GreaterOrEqual, _))
}

/// The answer to a question where the value of its member stands at a place; for a list, where this is its one known element.
pub(super) fn answer_at(atom: &Atom, place: &Place) -> Truth {
    let order = |named: &Value| match place {
        Place::Other => None,
        Place::At(value) => order_of(Operand::of(value), Operand::of(named)),
        Place::Between(known, n_below) => {
            let at = known.iter().position(|value| value == named)?;
            Some(if at < *n_below { Ordering::Greater } else { Ordering::Less })
        }
    };
    match atom {
        Atom::Compare(_, comparison, named) => match (place, order(named)) {
            (Place::Other, _) => (*comparison == Comparison::NotEqual).into(),
            (_, Some(order)) => comparison.holds(order).into(),
            (_, None) => Truth::Error,
        },
        other => other.named().iter().any(|named| order(named) == Some(Ordering::Equal)).into(),
    }
}

/// Hashes a text by its words of eight bytes. What is in the table was written by the authors of cards and a request adds
/// nothing to it, so no request can make it slow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Words(u64);

impl Words {
    fn take(&mut self, word: u64) {
        // Odd, with bits spread evenly: 2^64 divided by the golden ratio.
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.take(u64::from_le_bytes(*word)));
        let rest = rest.iter().fold(bytes.len() as u64, |word, byte| word << 8 | u64::from(*byte));
        self.take(rest);
    }

    /// What closes a text; its length has been taken already.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0.rotate_left(29)
    }
}
