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

/// Least, said and most FLOP that went into models whose compute others state, summed; nothing beyond 128 bits.
///
/// A stated figure is an estimate, which may be off by 30 % of the true one: from ÷ 1.3 to ÷ 0.7. In integers, rounded outward.
/// Source: Commission Guidelines C(2025) 5045, Annex A.2.
#[must_use]
pub fn stated(computes: &[u128]) -> Option<[u128; 3]> {
    let sum = |of: fn(u128) -> Option<u128>| computes.iter().try_fold(0_u128, |sum, c| sum.checked_add(of(*c)?));
    Some([sum(|c| Some(c.checked_mul(10)? / 13))?, sum(Some)?, sum(|c| Some(c.checked_mul(10)?.div_ceil(7)))?])
}

/// What is known of the model that was modified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Original {
    /// Training compute in FLOP as stated, with bounds.
    Known { lower: u128, value: u128, upper: u128 },
    /// Compute unknown; whether the model counts as one of systemic risk, where somebody said so.
    Unknown { systemic: Option<bool> },
}

impl Original {
    /// Of the models that were modified, each with its compute and whether it counts as systemic, where known.
    ///
    /// Computes are summed, with the bounds of [`stated`]. Where one is unknown the sum is, and the unknown ones say whether a systemic model is among them. Nothing
    /// for no models, or beyond 128 bits.
    #[must_use]
    pub fn of(parents: &[(Option<u128>, Option<bool>)]) -> Option<Self> {
        let unknown: Vec<Option<bool>> =
            parents.iter().filter(|(compute, _)| compute.is_none()).map(|(_, systemic)| *systemic).collect();
        if parents.is_empty() {
            return None;
        }
        if unknown.is_empty() {
            let computes: Vec<u128> = parents.iter().filter_map(|(compute, _)| *compute).collect();
            return stated(&computes).map(|[lower, value, upper]| Self::Known { lower, value, upper });
        }
        let is_systemic = unknown.contains(&Some(true));
        let is_said = unknown.iter().all(Option::is_some);
        Some(Self::Unknown { systemic: (is_systemic || is_said).then_some(is_systemic) })
    }

    /// Least, middle and most FLOP that the modification is held against: for an unknown original the 10^25 that make a model systemic, else the
    /// 10^23 that make it general-purpose, and from one to the other where nobody said which.
    ///
    /// Source: Commission Guidelines C(2025) 5045, paragraphs 63 and 64.
    const fn bounds(self) -> (u128, u128, u128) {
        const SYSTEMIC: u128 = 10_u128.pow(25);
        const GENERAL_PURPOSE: u128 = 10_u128.pow(23);
        match self {
            Self::Known { lower, value, upper } => (lower, value, upper),
            Self::Unknown { systemic: Some(true) } => (SYSTEMIC, SYSTEMIC, SYSTEMIC),
            Self::Unknown { systemic: Some(false) } => (GENERAL_PURPOSE, GENERAL_PURPOSE, GENERAL_PURPOSE),
            Self::Unknown { systemic: None } => {
                (GENERAL_PURPOSE, GENERAL_PURPOSE + (SYSTEMIC - GENERAL_PURPOSE) / 2, SYSTEMIC)
            }
        }
    }
}

/// Compute of the modification in thirds of the original's: lower, central and upper. Above 1 is above one third.
///
/// Counted in thirds because 1 is an exact decimal and one third is not: exactly one third comes to exactly 1. In integers, rounded
/// once, outward, to 12 digits; the central figure is held against the original's own, or the middle of the two substitutes. Nothing
/// for an original of zero, or beyond 128 bits.
#[must_use]
pub fn modification_thirds(modification: u128, original: Original) -> Option<[Decimal; 3]> {
    let (least, middle, most) = original.bounds();
    let thirds = modification.checked_mul(3).filter(|_| least > 0 && least <= middle && middle <= most)?;
    Some([ratio(thirds, most, Round::Down), ratio(thirds, middle, Round::Nearest), ratio(thirds, least, Round::Up)])
}

/// Whether a modification used more than one third of the original's compute, or of what stands for it where that is unknown.
///
/// In integers, so that exactly one third is not more than one third.
#[must_use]
pub fn exceeds_a_third(lower: u128, upper: u128, original: Original) -> Crossing {
    let (least, _, most) = original.bounds();
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

    /// 1.3e25 stated is between 1e25 and 1.86e25; 13 ÷ 0.7 = 18.57.
    #[test]
    fn a_stated_figure_may_be_off_by_thirty_percent_of_the_true_one() {
        let e24 = 10_u128.pow(24);
        assert_eq!(stated(&[13 * e24]), Some([10 * e24, 13 * e24, 18_571_428_571_428_571_428_571_429]));
        assert_eq!(stated(&[13, 26]), Some([30, 39, 57]));
        assert_eq!(stated(&[]), Some([0, 0, 0]));
        assert_eq!(stated(&[u128::MAX]), None);
    }

    #[test]
    fn a_third_is_not_thirty_percent_and_not_the_whole() {
        let original = Original::Known { lower: 3_000, value: 3_000, upper: 3_000 };
        // 31 % of the original: more than 30 %, not more than a third.
        assert_eq!(exceeds_a_third(930, 930, original), Crossing::No);
        assert_eq!(exceeds_a_third(1_000, 1_000, original), Crossing::No);
        assert_eq!(exceeds_a_third(1_001, 1_001, original), Crossing::Yes);
        // The threshold is a third of the original, not the original.
        assert_eq!(exceeds_a_third(2_000, 2_000, original), Crossing::Yes);
        assert_eq!(exceeds_a_third(999, 1_001, original), Crossing::Possible);
        let wide = Original::Known { lower: 2_000, value: 3_000, upper: 4_000 };
        assert_eq!(exceeds_a_third(1_001, 1_001, wide), Crossing::Possible);
    }

    #[test]
    fn an_unknown_original_is_measured_against_a_third_of_the_indicative_threshold() {
        let third = 33_333_333_333_333_333_333_333_u128;
        let unknown = |systemic| Original::Unknown { systemic };
        assert_eq!(exceeds_a_third(third, third, unknown(Some(false))), Crossing::No);
        assert_eq!(exceeds_a_third(third + 1, third + 1, unknown(Some(false))), Crossing::Yes);
        assert_eq!(exceeds_a_third(third + 1, third + 1, unknown(Some(true))), Crossing::No);
        assert_eq!(exceeds_a_third(100 * third + 34, 100 * third + 34, unknown(Some(true))), Crossing::Yes);
        // Nobody said which: sure only on the far side of both.
        assert_eq!(exceeds_a_third(third, third, unknown(None)), Crossing::No);
        assert_eq!(exceeds_a_third(third + 1, third + 1, unknown(None)), Crossing::Possible);
        assert_eq!(exceeds_a_third(100 * third + 34, 100 * third + 34, unknown(None)), Crossing::Yes);
    }

    #[test]
    fn an_original_is_unknown_when_one_of_its_parts_is() {
        let unknown = |systemic| Some(Original::Unknown { systemic });
        let table = [
            (&[][..], None),
            (
                &[(Some(13), None), (Some(26), Some(true))][..],
                Some(Original::Known { lower: 30, value: 39, upper: 57 }),
            ),
            (&[(Some(1), Some(true)), (None, Some(false))][..], unknown(Some(false))),
            (&[(None, None)][..], unknown(None)),
            (&[(None, None), (None, Some(false))][..], unknown(None)),
            (&[(None, None), (None, Some(true))][..], unknown(Some(true))),
            (&[(Some(u128::MAX), None), (Some(1), None)][..], None),
        ];
        for (parents, expected) in table {
            assert_eq!(Original::of(parents), expected, "{parents:?}");
        }
    }

    #[test]
    fn one_third_is_exactly_one_in_thirds() {
        let thirds = |modification, original| {
            modification_thirds(modification, original).unwrap().map(|share| share.to_string())
        };
        let known = |flop| Original::Known { lower: flop, value: flop, upper: flop };
        assert_eq!(thirds(1_000, known(3_000)), ["1", "1", "1"]);
        assert_eq!(thirds(1_001, known(3_000)), ["1.001", "1.001", "1.001"]);
        assert_eq!(thirds(1, known(7)), ["0.428571428571", "0.428571428571", "0.428571428572"]);
        let wide = Original::Known { lower: 2_000, value: 3_000, upper: 4_000 };
        assert_eq!(thirds(1_000, wide), ["0.75", "1", "1.5"]);
        let e22 = 10_u128.pow(22);
        assert_eq!(thirds(4 * e22, Original::Unknown { systemic: Some(false) }), ["1.2", "1.2", "1.2"]);
        assert_eq!(thirds(4 * e22, Original::Unknown { systemic: Some(true) }), ["0.012", "0.012", "0.012"]);
        assert_eq!(thirds(4 * e22, Original::Unknown { systemic: None })[0], "0.012");
        assert_eq!(thirds(4 * e22, Original::Unknown { systemic: None })[2], "1.2");
        assert_eq!(modification_thirds(1, known(0)), None);
        assert_eq!(modification_thirds(u128::MAX, known(1)), None);
    }

    #[test]
    fn a_share_straddles_one_third_only_when_it_is_one_third() {
        let [lower, value, upper] = modification_share(1, 3).unwrap().map(|share| share.to_string());
        assert_eq!([lower, value, upper], ["0.333333333333", "0.333333333333", "0.333333333334"]);
        assert_eq!(modification_share(1, 0), None);
    }
}
