//! Quotients of integers as decimals, rounded once and in the stated direction.

use evidence::{Decimal, Round};

/// 10^12: quotients keep 12 significant digits.
const LIMIT: u128 = 1_000_000_000_000;

/// `numerator` ÷ `denominator` to 12 significant digits by long division, so that a bound is never rounded inward.
///
/// A denominator of zero counts as one: a cap of nothing is used up by anything. Below 10^-40 the rest is rounded like any other.
pub(crate) fn ratio(numerator: u128, denominator: u128, round: Round) -> Decimal {
    // Beyond 2^124 the last four bits do not show in 12 digits.
    let shift = if denominator > u128::MAX / 16 { 4 } else { 0 };
    let (n, d) = (numerator >> shift, (denominator >> shift).max(1));
    let (mut mantissa, mut rest, mut exponent) = (n / d, n % d, 0_i32);
    while mantissa < LIMIT && rest != 0 && exponent > -40 {
        rest *= 10;
        mantissa = mantissa * 10 + rest / d;
        rest %= d;
        exponent -= 1;
    }
    let (mut cut, mut unit) = (0_u128, 1_u128);
    while mantissa >= LIMIT {
        cut += (mantissa % 10) * unit;
        unit *= 10;
        mantissa /= 10;
        exponent += 1;
    }
    let is_inexact = cut > 0 || rest != 0;
    let up = match round {
        Round::Down => false,
        Round::Up => is_inexact,
        Round::Nearest => 2 * cut > unit || (2 * cut == unit && (rest != 0 || mantissa % 2 == 1)),
    };
    Decimal::new(mantissa as i64 + i64::from(up), exponent).unwrap_or(Decimal::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_enclose_the_quotient() {
        for (n, d, down, nearest, up) in [
            (1, 3, "0.333333333333", "0.333333333333", "0.333333333334"),
            (2, 3, "0.666666666666", "0.666666666667", "0.666666666667"),
            (200_000_000_000, 3_600_000_000_000, "0.0555555555555", "0.0555555555556", "0.0555555555556"),
            (10, 4, "2.5", "2.5", "2.5"),
            (0, 7, "0", "0", "0"),
            (
                10_u128.pow(30) + 1,
                1,
                "1000000000000000000000000000000",
                "1000000000000000000000000000000",
                "1000000000010000000000000000000",
            ),
            (5, 0, "5", "5", "5"),
        ] {
            let shown = [Round::Down, Round::Nearest, Round::Up].map(|round| ratio(n, d, round).to_string());
            assert_eq!(shown, [down, nearest, up], "{n} / {d}");
        }
    }

    proptest::proptest! {
        /// Checked by cross-multiplication in integers: lower · d ≤ n ≤ upper · d.
        #[test]
        fn bounds_are_outward(n in 0_u128..1_000_000_000, d in 1_u128..1_000_000_000) {
            let scaled = |value: Decimal| {
                let text = value.to_string();
                let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
                format!("{whole}{fraction:0<25}").parse::<u128>().unwrap()
            };
            let exact = n * 10_u128.pow(25);
            proptest::prop_assert!(scaled(ratio(n, d, Round::Down)) <= exact / d);
            proptest::prop_assert!(scaled(ratio(n, d, Round::Up)) >= exact.div_ceil(d));
        }
    }
}
