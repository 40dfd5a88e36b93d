//! Compute of a modification beside that of the model it started from.

use crate::{plan::Crossing, ratio::ratio};
use evidence::{Decimal, Round};

/// Compute of the modification as a share of the original's: lower, central and upper. Unknown originals have no share.
///
/// Exact integers in FLOP; rounded once, outward, to 12 digits.
#[must_use]
pub fn modification_share(modification: u128, original: u128) -> Option<[Decimal; 3]> {
    (original > 0).then(|| [Round::Down, Round::Nearest, Round::Up].map(|round| ratio(modification, original, round)))
}

/// What is known of the model that was modified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Original {
    /// Training compute in FLOP, with bounds.
    Known { lower: u128, upper: u128 },
    /// Compute unknown; whether the model counts as one of systemic risk.
    Unknown { systemic: bool },
}

/// Whether a modification used more than one third of the original's compute; for an unknown original, of the 10^25 FLOP that make a
/// model systemic, else of the 10^23 that make it general-purpose.
///
/// In integers, so that exactly one third is not more than one third. Source: Commission Guidelines C(2025) 5045, paragraphs 63 and 64.
#[must_use]
pub fn exceeds_a_third(lower: u128, upper: u128, original: Original) -> Crossing {
    let (least, most) = match original {
        Original::Known { lower, upper } => (lower, upper),
        Original::Unknown { systemic: true } => (10_u128.pow(25), 10_u128.pow(25)),
        Original::Unknown { systemic: false } => (10_u128.pow(23), 10_u128.pow(23)),
    };
    // 3·m > o, without leaving 128 bits: m > floor(o / 3) says the same of integers.
    match (lower > most / 3, upper > least / 3) {
        (true, true) => Crossing::Yes,
        (false, false) => Crossing::No,
        _ => Crossing::Possible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_is_not_thirty_percent_and_not_the_whole() {
        let original = Original::Known { lower: 3_000, upper: 3_000 };
        // 31 % of the original: more than 30 %, not more than a third.
        assert_eq!(exceeds_a_third(930, 930, original), Crossing::No);
        assert_eq!(exceeds_a_third(1_000, 1_000, original), Crossing::No);
        assert_eq!(exceeds_a_third(1_001, 1_001, original), Crossing::Yes);
        // The threshold is a third of the original, not the original.
        assert_eq!(exceeds_a_third(2_000, 2_000, original), Crossing::Yes);
        assert_eq!(exceeds_a_third(999, 1_001, original), Crossing::Possible);
        assert_eq!(exceeds_a_third(1_001, 1_001, Original::Known { lower: 2_000, upper: 4_000 }), Crossing::Possible);
    }

    #[test]
    fn an_unknown_original_is_measured_against_a_third_of_the_indicative_threshold() {
        let third = 33_333_333_333_333_333_333_333_u128;
        assert_eq!(exceeds_a_third(third, third, Original::Unknown { systemic: false }), Crossing::No);
        assert_eq!(exceeds_a_third(third + 1, third + 1, Original::Unknown { systemic: false }), Crossing::Yes);
        assert_eq!(exceeds_a_third(third + 1, third + 1, Original::Unknown { systemic: true }), Crossing::No);
        assert_eq!(exceeds_a_third(100 * third + 34, 100 * third + 34, Original::Unknown { systemic: true }), Crossing::Yes);
    }

    #[test]
    fn a_share_straddles_one_third_only_when_it_is_one_third() {
        let [lower, value, upper] = modification_share(1, 3).unwrap().map(|share| share.to_string());
        assert_eq!([lower, value, upper], ["0.333333333333", "0.333333333333", "0.333333333334"]);
        assert_eq!(modification_share(1, 0), None);
    }
}
