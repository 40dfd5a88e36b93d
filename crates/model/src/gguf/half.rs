//! Half-precision numbers as ggml keeps its scales.

use super::parse;

/// The nearest half-precision number, ties to even; beyond 65,520 infinity.
#[must_use]
pub fn bits(value: f32) -> u16 {
    let sign = ((value.to_bits() >> 16) & 0x8000) as u16;
    let magnitude = f64::from(value.abs());
    if magnitude.is_nan() {
        return 0x7e00;
    }
    if magnitude >= 65_520.0 {
        return sign | 0x7c00;
    }
    // Steps of 2^(e − 10) from 2^e on, of 2^−24 below 2^−14; a carry into the exponent is the next power.
    let exponent = magnitude.log2().floor().max(-14.0);
    let steps = (magnitude * (10.0 - exponent).exp2()).round_ties_even();
    let whole = ((exponent + 14.0) * 1024.0 + steps) as u16;
    sign | whole
}

/// The value of the nearest half-precision number.
#[must_use]
pub fn round(value: f32) -> f32 {
    parse::half(bits(value))
}

#[cfg(test)]
mod tests {
    use super::{bits, round};
    use crate::gguf::parse::half;

    #[test]
    fn every_half_is_its_own_nearest_and_ties_go_to_the_even() {
        for pattern in 0..0x7c00_u16 {
            assert_eq!(bits(half(pattern)), pattern);
            assert_eq!(bits(-half(pattern)), pattern | 0x8000);
            if pattern < 0x7bff {
                let between = f32::midpoint(half(pattern), half(pattern + 1));
                let even = if pattern.is_multiple_of(2) { pattern } else { pattern + 1 };
                assert_eq!(bits(between), even, "{pattern:04x}");
            }
        }
        assert_eq!((bits(65_519.0), bits(65_520.0), bits(f32::INFINITY)), (0x7bff, 0x7c00, 0x7c00));
        assert_eq!(round(0.1), 0.099_975_586);
    }
}
