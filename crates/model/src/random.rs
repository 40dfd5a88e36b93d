//! Normal numbers that are the same on every machine.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// A stream of standard normal numbers, from the seed and the number of the stream alone.
///
/// Method: Marsaglia's polar method on 53-bit uniforms of ChaCha20, with a logarithm of our own, so that only additions,
/// multiplications, divisions and square roots of IEEE 754 take part and no mathematics library decides a bit.
pub(crate) struct Normal {
    uniforms: ChaCha20Rng,
    spare: Option<f64>,
}

impl Normal {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut uniforms = ChaCha20Rng::from_seed(key);
        uniforms.set_stream(stream);
        Self { uniforms, spare: None }
    }

    pub(crate) fn sample(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (self.signed_uniform(), self.signed_uniform());
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let scale = (-2.0 * logarithm(square) / square).sqrt();
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }

    /// Uniform in [-1, 1), a multiple of 2^-52.
    fn signed_uniform(&mut self) -> f64 {
        (self.uniforms.next_u64() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// Natural logarithm of a number in (0, 1], by 2·artanh((m − 1)/(m + 1)) with m in [√½, √2); good to about 1e-16.
fn logarithm(number: f64) -> f64 {
    let (mut mantissa, mut exponent) = (number, 0.0);
    while mantissa < std::f64::consts::FRAC_1_SQRT_2 {
        mantissa *= 2.0;
        exponent -= 1.0;
    }
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    // The terms fall by ratio² < 0.0295 each; the thirteenth is below 1e-20.
    let series = (0..13).rev().fold(0.0, |sum, term| sum * square + 1.0 / f64::from(2 * term + 1));
    2.0 * ratio * series + exponent * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Referee: `f64::ln` of the platform; both are good to an ulp or two.
    #[test]
    fn logarithm_agrees_with_the_platform() {
        for step in 1..=10_000 {
            let number = f64::from(step) / 10_000.0;
            let difference = (logarithm(number) - number.ln()).abs();
            assert!(difference <= 1e-15 * (1.0 + number.ln().abs()), "{number}: {difference}");
        }
    }

    /// Expected moments of a standard normal: 0, 1, 0, 3. Tolerance: five standard errors at n = 200000, which are
    /// √(1/n), √(2/n), √(15/n) and √(96/n).
    #[test]
    fn samples_have_the_moments_of_a_normal() {
        let n = 200_000_u32;
        let mut normal = Normal::new(3, 0);
        let samples: Vec<f64> = (0..n).map(|_| normal.sample()).collect();
        for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let moment = samples.iter().map(|sample| sample.powi(power)).sum::<f64>() / f64::from(n);
            let tolerance = 5.0 * (variance / f64::from(n)).sqrt();
            assert!((moment - expected).abs() < tolerance, "moment {power}: {moment}");
        }
    }

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, stream| Normal::new(seed, stream).sample().to_bits();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(1, 2), first(2, 2));
    }
}
