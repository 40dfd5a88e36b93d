//! Special functions: what intervals need of the beta, normal and Student distributions.

/// ln Γ(x) for x > 0: Stirling's series with six terms from 10 on, the recurrence below; error about 5e-15 + 1e-15 × |ln Γ|.
///
/// Source: Abramowitz and Stegun, 6.1.41 and 6.1.15.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 10.0 {
        product *= x;
        x += 1.0;
    }
    let (inverse, square) = (1.0 / x, 1.0 / (x * x));
    // B_2k ÷ (2k (2k − 1)), from k = 1.
    let terms = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    let series = terms.iter().rev().fold(0.0, |sum, term| sum * square + term) * inverse;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - product.ln()
}

/// The regularised incomplete beta function I_x(a, b), for x in [0, 1] and a, b > 0.
///
/// The continued fraction, evaluated on the side of the mean where it is quick. Relative error about
/// 1e-15 × (a + b), which is that of the logarithms of Γ.
/// Source: Abramowitz and Stegun, 26.5.8; evaluation by Lentz's method as modified by Thompson and Barnett 1986.
pub(super) fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let ln_front = a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    if x < (a + 1.0) / (a + b + 2.0) {
        ln_front.exp() / (a * beta_fraction(a, b, x))
    } else {
        1.0 - ln_front.exp() / (b * beta_fraction(b, a, 1.0 - x))
    }
}

/// 1 + d₁/(1 + d₂/(1 + …)), whose reciprocal is the fraction of 26.5.8.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    // O(√max(a, b)) terms are needed; at the limit the value is the best there is.
    const TERMS_MAX: u32 = 100_000;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut value, mut c, mut d) = (1.0, 1.0, 0.0);
    for term in 1..=TERMS_MAX {
        let m = f64::from(term / 2);
        let coefficient = if term % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        d = 1.0 / away_from_zero(1.0 + coefficient * d);
        c = away_from_zero(1.0 + coefficient / c);
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// The x in [0, 1] at which the increasing `function` reaches `target`, as the last two doubles that enclose it.
pub(super) fn invert_on_unit(function: impl Fn(f64) -> f64, target: f64) -> (f64, f64) {
    let (mut below, mut above) = (0.0, 1.0);
    loop {
        let middle = 0.5 * (below + above);
        if middle <= below || middle >= above {
            return (below, above);
        }
        if function(middle) < target { below = middle } else { above = middle }
    }
}

/// The standard normal distribution below x, by the series Φ(x) = ½ + φ(x) Σ x^(2k+1) ÷ (1·3·…·(2k + 1)); absolute
/// error about 1e-16. Source: Abramowitz and Stegun, 26.2.11.
pub(super) fn normal_below(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    (0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()).clamp(0.0, 1.0)
}

/// The z with Φ(z) = `probability`, for probabilities in (½, 1).
pub(super) fn normal_quantile(probability: f64) -> f64 {
    9.0 * invert_on_unit(|share| normal_below(9.0 * share), probability).1
}

/// The t that Student's distribution with `degrees` of freedom exceeds with probability `tail` in (0, ½).
///
/// From x = degrees ÷ (degrees + t²), for which P(T > t) = ½ I_x(degrees/2, ½). Source: Abramowitz and Stegun, 26.7.1.
pub(super) fn student_quantile(tail: f64, degrees: f64) -> f64 {
    let x = invert_on_unit(|x| 0.5 * incomplete_beta(0.5 * degrees, 0.5, x), tail).0;
    (degrees * (1.0 - x) / x).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(found: f64, expected: f64, relative: f64) {
        assert!((found - expected).abs() <= relative * expected.abs(), "expected {expected}, found {found}");
    }

    /// Expected: scipy 1.17.1, printed with repr by
    /// `[special.gammaln(x) for x in (0.1, 1.5, 9.99, 100, 1e6)]`.
    #[test]
    fn ln_gamma_is_that_of_scipy() {
        // Below 10 two numbers near 13 are subtracted, each good to about 2e-15.
        for (x, expected) in LN_GAMMA.into_iter().chain([(1.0, 0.0), (2.0, 0.0)]) {
            assert!((ln_gamma(x) - expected).abs() <= 5e-15 + 1e-15 * expected.abs(), "{x}: {}", ln_gamma(x));
        }
    }

    /// Expected: scipy 1.17.1, `special.betainc(a, b, x)`. Tolerance: 1e-15 × (a + b), at least 1e-14.
    #[test]
    fn incomplete_beta_is_that_of_scipy() {
        for (a, b, x, expected) in INCOMPLETE_BETA {
            assert_near(incomplete_beta(a, b, x), expected, (2e-15 * (a + b)).max(1e-14));
        }
        assert_eq!((incomplete_beta(2.0, 3.0, 0.0), incomplete_beta(2.0, 3.0, 1.0)), (0.0, 1.0));
    }

    /// Expected: scipy 1.17.1, `stats.norm.cdf(x)`, `stats.norm.ppf(p)`, `stats.t.isf(tail, degrees)`.
    #[test]
    fn normal_and_student_are_those_of_scipy() {
        for (x, expected) in NORMAL_BELOW {
            assert!((normal_below(x) - expected).abs() < 3e-16, "{x}");
        }
        for (probability, expected) in NORMAL_QUANTILE {
            assert_near(normal_quantile(probability), expected, 1e-12);
        }
        for (tail, degrees, expected) in STUDENT_QUANTILE {
            assert_near(student_quantile(tail, degrees), expected, 1e-11);
        }
    }

    const LN_GAMMA: [(f64, f64); 5] = [
        (0.1, 2.252712651734206),
        (1.5, -0.12078223763524526),
        (9.99, 12.779315214350195),
        (100.0, 359.1342053695754),
        (1000000.0, 12815504.569147611),
    ];

    const INCOMPLETE_BETA: [(f64, f64, f64, f64); 9] = [
        (1.0, 1.0, 0.3, 0.3),
        (0.5, 0.5, 0.2, 0.2951672353008665),
        (2.0, 3.0, 0.5, 0.6875),
        (5.0, 0.5, 0.99, 0.7571581091015623),
        (293.0, 8.0, 0.95, 0.015968000797087187),
        (485.0, 16.0, 0.95, 0.01985837716300646),
        (1.0, 36887.0, 0.0001, 0.9750001248292547),
        (3865.0, 136.0, 0.96, 0.02190826382667728),
        (10000.0, 30000.0, 0.255, 0.9893098319227304),
    ];

    const NORMAL_BELOW: [(f64, f64); 5] = [
        (0.0, 0.5),
        (1.959963984540054, 0.975),
        (-2.816, 0.0024312833339342928),
        (-5.0, 2.866515718791933e-07),
        (3.7, 0.9998922002665226),
    ];

    const NORMAL_QUANTILE: [(f64, f64); 5] = [
        (0.6, 0.2533471031357997),
        (0.95, 1.6448536269514722),
        (0.975, 1.959963984540054),
        (0.995, 2.5758293035489004),
        (0.99999, 4.264890793923841),
    ];

    const STUDENT_QUANTILE: [(f64, f64, f64); 6] = [
        (0.025, 1.0, 12.706204736174705),
        (0.025, 2.0, 4.302652729749464),
        (0.025, 5.0, 2.5705818356363155),
        (0.025, 59.0, 2.000995378088268),
        (0.005, 9.0, 3.2498355415921263),
        (0.05, 1000.0, 1.6463788172854648),
    ];
}
