//! Exact decimals: the only numbers that are signed, compared with a threshold, or printed as evidence.

use std::fmt::Write as _;
use std::{cmp::Ordering, fmt, str::FromStr};

/// At most this many significant digits, so that distinct decimals are distinct IEEE doubles and any reader may parse them.
pub const DIGITS_MAX: u32 = 15;
/// Digits kept of a measured quantity when nothing asks for more.
pub const DIGITS_MEASURED: u32 = 9;

const MANTISSA_LIMIT: i64 = 1_000_000_000_000_000;
const EXPONENT_MIN: i32 = -45;
const EXPONENT_MAX: i32 = 45;

/// `mantissa` × 10^`exponent`, exact, at most 15 significant digits.
///
/// INVARIANT: the mantissa has no trailing zero (zero itself is 0 × 10^0), so equal values are equal fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i64,
    exponent: i8,
}

/// Which way a number that does not fit is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// To the nearest, ties to even: for a central value.
    Nearest,
    /// Towards minus infinity: for a lower bound.
    Down,
    /// Towards plus infinity: for an upper bound.
    Up,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("expected a plain decimal such as `12.5`, found `{0}`")]
    Syntax(String),
    #[error("expected at most 15 significant digits, found `{0}`")]
    TooManyDigits(String),
    #[error("expected a finite number between 1e-45 and 1e45, found `{0}`")]
    OutOfRange(String),
}

impl Decimal {
    pub const ZERO: Self = Self { mantissa: 0, exponent: 0 };
    pub const ONE: Self = Self { mantissa: 1, exponent: 0 };

    /// `mantissa` × 10^`exponent`; `None` outside 15 digits or the range of exponents.
    #[must_use]
    pub fn new(mut mantissa: i64, mut exponent: i32) -> Option<Self> {
        if mantissa == 0 {
            return Some(Self::ZERO);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        let fits = mantissa.abs() < MANTISSA_LIMIT && (EXPONENT_MIN..=EXPONENT_MAX).contains(&exponent);
        fits.then_some(Self { mantissa, exponent: exponent as i8 })
    }

    /// An exact count, rounded in the stated direction only when it has more than 15 digits.
    #[must_use]
    pub fn from_u128(count: u128, round: Round) -> Self {
        let (mut mantissa, mut exponent, mut rest, mut unit) = (count, 0, 0_u128, 1_u128);
        while mantissa >= MANTISSA_LIMIT as u128 {
            rest += (mantissa % 10) * unit;
            unit = unit.saturating_mul(10);
            mantissa /= 10;
            exponent += 1;
        }
        let up = match round {
            Round::Down => false,
            Round::Up => rest > 0,
            Round::Nearest => rest > unit / 2 || (rest == unit / 2 && unit > 1 && mantissa % 2 == 1),
        };
        Self::new(mantissa as i64 + i64::from(up), exponent).unwrap_or(Self::ZERO)
    }

    /// A measured number, rounded once, here, to `digits` significant digits (1 to 15).
    ///
    /// # Errors
    /// `OutOfRange` for a NaN, an infinity, or a magnitude outside 1e-45 to 1e45.
    pub fn from_f64(number: f64, digits: u32, round: Round) -> Result<Self, DecimalError> {
        let range = || DecimalError::OutOfRange(number.to_string());
        if !number.is_finite() {
            return Err(range());
        }
        let digits = digits.clamp(1, DIGITS_MAX);
        let text = format!("{number:.*e}", digits as usize - 1);
        let (mantissa, exponent) = text.split_once('e').ok_or_else(range)?;
        let mut mantissa: i64 = mantissa.replace('.', "").parse().map_err(|_| range())?;
        let exponent: i32 = exponent.parse::<i32>().map_err(|_| range())? - (digits as i32 - 1);
        let nearest: f64 = text.parse().map_err(|_| range())?;
        match round {
            Round::Down if nearest > number => mantissa -= 1,
            Round::Up if nearest < number => mantissa += 1,
            _ => {}
        }
        Self::new(mantissa, exponent).ok_or_else(range)
    }

    /// The nearest double: for drawing and for a person's eyes, never for a comparison that decides.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        format!("{}e{}", self.mantissa, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// The exact integer, when it is one and fits.
    #[must_use]
    pub fn to_i64(self) -> Option<i64> {
        if self.exponent < 0 {
            return None;
        }
        10_i64.checked_pow(self.exponent as u32)?.checked_mul(self.mantissa)
    }

    /// The exact count, when it is one and fits: FLOP reach beyond 64 bits.
    #[must_use]
    pub fn to_u128(self) -> Option<u128> {
        let power = u32::try_from(self.exponent).ok()?;
        10_u128.checked_pow(power)?.checked_mul(u128::try_from(self.mantissa).ok()?)
    }

    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// Sign, decimal order of magnitude and left-aligned digits: ordered like the values of one sign.
    fn key(self) -> (i32, i64) {
        let mut magnitude = self.mantissa.abs();
        let mut order = i32::from(self.exponent) + 15;
        while magnitude != 0 && magnitude < MANTISSA_LIMIT / 10 {
            magnitude *= 10;
            order -= 1;
        }
        (order, magnitude)
    }
}

impl From<u32> for Decimal {
    fn from(count: u32) -> Self {
        Self::from_u128(u128::from(count), Round::Nearest)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.mantissa.signum(), other.mantissa.signum()) {
            (a, b) if a != b => a.cmp(&b),
            (0, _) => Ordering::Equal,
            (1, _) => self.key().cmp(&other.key()),
            _ => other.key().cmp(&self.key()),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Reads `12`, `-0.5`, `1e23`, `2.5E-3`.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let syntax = || DecimalError::Syntax(text.chars().take(60).collect());
        let (body, exponent) = match text.split_once(['e', 'E']) {
            Some((body, exponent)) => (body, exponent.parse::<i32>().map_err(|_| syntax())?),
            None => (text, 0),
        };
        let (sign, body) = match body.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, body),
        };
        let (whole, fraction) = body.split_once('.').unwrap_or((body, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || exponent.abs() > 400 {
            return Err(syntax());
        }
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        let trailing = significant.len() - significant.trim_end_matches('0').len();
        let kept = &significant[..significant.len() - trailing];
        if kept.len() > DIGITS_MAX as usize {
            return Err(DecimalError::TooManyDigits(text.chars().take(60).collect()));
        }
        let mantissa: i64 = if kept.is_empty() { 0 } else { kept.parse().map_err(|_| syntax())? };
        let exponent = exponent + trailing as i32 - fraction.len() as i32;
        Self::new(sign * mantissa, exponent).ok_or_else(|| DecimalError::OutOfRange(text.chars().take(60).collect()))
    }
}

impl fmt::Display for Decimal {
    /// Plain notation, no exponent: `12.5`, `0.0001`, `100000000000000000000000000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut text, sign) = (String::with_capacity(48), if self.mantissa < 0 { "-" } else { "" });
        let (digits, exponent) = (self.mantissa.unsigned_abs(), i32::from(self.exponent));
        write!(text, "{sign}{digits}")?;
        if exponent > 0 {
            text.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize));
        }
        let (places, n_digits) = (exponent.min(0).unsigned_abs() as usize, text.len() - sign.len());
        if places >= n_digits {
            text.insert_str(sign.len(), &"0".repeat(places + 1 - n_digits));
        }
        if places > 0 {
            text.insert(text.len() - places, '.');
        }
        f.pad_integral(true, "", &text)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for (text, shown) in [
            ("0", "0"), ("-0.50", "-0.5"), ("1e26", "100000000000000000000000000"), ("2.5E-3", "0.0025"),
            ("123456789012345", "123456789012345"), ("000.10", "0.1"), ("10", "10"), ("1.0e1", "10"),
        ] {
            let value: Decimal = text.parse().unwrap();
            assert_eq!(value.to_string(), shown);
            assert_eq!(shown.parse::<Decimal>().unwrap(), value);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", ".5", "5.", "1e", "+1", "0x1", "nan", "1_000", "1 "] {
            assert!(matches!(text.parse::<Decimal>(), Err(DecimalError::Syntax(_))), "{text}");
        }
        assert!(matches!("1234567890123456".parse::<Decimal>(), Err(DecimalError::TooManyDigits(_))));
        assert!(matches!("1e99".parse::<Decimal>(), Err(DecimalError::OutOfRange(_))));
        assert!(Decimal::from_f64(f64::NAN, 9, Round::Nearest).is_err());
    }

    #[test]
    fn counts_beyond_64_bits_are_exact() {
        let count = |text: &str| text.parse::<Decimal>().unwrap().to_u128();
        assert_eq!(count("1e26"), Some(10_u128.pow(26)));
        assert_eq!(count("123456789012345"), Some(123_456_789_012_345));
        assert_eq!([count("0"), count("0.5"), count("-1"), count("1e39")], [Some(0), None, None, None]);
    }

    #[test]
    fn bounds_are_rounded_outward() {
        let third = 1.0 / 3.0;
        assert_eq!(Decimal::from_f64(third, 3, Round::Down).unwrap().to_string(), "0.333");
        assert_eq!(Decimal::from_f64(third, 3, Round::Up).unwrap().to_string(), "0.334");
        assert_eq!(Decimal::from_f64(-third, 3, Round::Down).unwrap().to_string(), "-0.334");
        assert_eq!(Decimal::from_f64(0.999_999, 3, Round::Nearest).unwrap().to_string(), "1");
        let count = 1_234_567_890_123_456_789_u128;
        assert_eq!(Decimal::from_u128(count, Round::Down).to_string(), "1234567890123450000");
        assert_eq!(Decimal::from_u128(count, Round::Up).to_string(), "1234567890123460000");
        assert_eq!(Decimal::from_u128(count, Round::Nearest).to_string(), "1234567890123460000");
    }

    proptest::proptest! {
        #[test]
        fn order_is_that_of_the_values(a in -999_999_i64..999_999, b in -999_999_i64..999_999, e in -6_i32..6, g in -6_i32..6) {
            let (x, y) = (Decimal::new(a, e).unwrap(), Decimal::new(b, g).unwrap());
            let exact = |m: i64, e: i32| i128::from(m) * 10_i128.pow((e + 6) as u32);
            proptest::prop_assert_eq!(x.cmp(&y), exact(a, e).cmp(&exact(b, g)));
        }

        #[test]
        fn fifteen_digits_survive_a_double(mantissa in -999_999_999_999_999_i64..999_999_999_999_999, exponent in -30_i32..20) {
            let value = Decimal::new(mantissa, exponent).unwrap();
            proptest::prop_assert_eq!(Decimal::from_f64(value.to_f64(), 15, Round::Nearest).unwrap(), value);
        }
    }
}
