//! Intervals for a proportion of independent yes-or-no items.

use super::{
    Bounds, StatisticsError,
    special::{incomplete_beta, invert_on_unit, normal_quantile},
};

/// The exact interval: never covers less often than `level`, so it is the one for gates.
///
/// `k` of `n`; `level` two-sided in (0, 1). Unit: fraction in \[0, 1\]. The ends are rounded outward by one double; they
/// are 0 and 1 where k is 0 and n.
/// Source: Clopper and Pearson 1934.
///
/// # Errors
/// `Counts`, `Level`.
pub fn clopper_pearson(k: u64, n: u64, level: f64) -> Result<Bounds, StatisticsError> {
    check(k, n, level)?;
    let outside = 0.5 * (1.0 - level);
    let (successes, failures) = (k as f64, (n - k) as f64);
    let lower = match k {
        0 => 0.0,
        _ => invert_on_unit(|p| incomplete_beta(successes, failures + 1.0, p), outside).0,
    };
    // From the other side, so that a bound near 1 keeps its digits: the upper end for k is 1 − the lower end for n − k.
    let upper = match n - k {
        0 => 1.0,
        _ => 1.0 - invert_on_unit(|q| incomplete_beta(failures, successes + 1.0, q), outside).0,
    };
    Ok(Bounds { lower, upper })
}

/// The score interval: near `level` on average and shorter than the exact one, so it is for diagrams, where nothing is decided.
///
/// Arguments and unit as for [`clopper_pearson`]. Source: Wilson 1927.
///
/// # Errors
/// `Counts`, `Level`.
pub fn wilson(k: u64, n: u64, level: f64) -> Result<Bounds, StatisticsError> {
    check(k, n, level)?;
    let z = normal_quantile(0.5 * (1.0 + level));
    let (share, n_items) = (k as f64 / n as f64, n as f64);
    let centre = share + z * z / (2.0 * n_items);
    let reach = z * (share * (1.0 - share) / n_items + z * z / (4.0 * n_items * n_items)).sqrt();
    let scale = 1.0 + z * z / n_items;
    let lower = if k == 0 { 0.0 } else { (centre - reach) / scale };
    let upper = if k == n { 1.0 } else { (centre + reach) / scale };
    Ok(Bounds { lower, upper })
}

fn check(k: u64, n: u64, level: f64) -> Result<(), StatisticsError> {
    if n == 0 || k > n {
        return Err(StatisticsError::Counts { k, n });
    }
    if !(level > 0.0 && level < 1.0) {
        return Err(StatisticsError::Level(level));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: the pass and fail lines of published rules for two-sided 95 % Clopper-Pearson bounds, found there with
    /// another program: at least `share` of n passes from `pass` and fails up to `fail`.
    #[test]
    fn pass_and_fail_lines_are_the_published_ones() {
        for (share, n, pass, fail) in [
            (0.95, 300, 293, 276),
            (0.95, 500, 485, 464),
            (0.95, 2000, 1920, 1879),
            (0.9, 1000, 919, 880),
            (0.96, 4000, 3865, 3814),
        ] {
            let bounds = |k| clopper_pearson(k, n, 0.95).unwrap();
            assert!(bounds(pass).lower >= share && bounds(pass - 1).lower < share, "{n}");
            assert!(bounds(fail).upper < share && bounds(fail + 1).upper >= share, "{n}");
        }
        // At most 5 % of 500: passes up to 15, fails from 36. Zero failures: 95 % from 72 on, 0.0001 from 36,887 on.
        let of_500 = |k| clopper_pearson(k, 500, 0.95).unwrap();
        assert!(of_500(15).upper <= 0.05 && of_500(16).upper > 0.05);
        assert!(of_500(36).lower > 0.05 && of_500(35).lower <= 0.05);
        assert!(clopper_pearson(72, 72, 0.95).unwrap().lower >= 0.95);
        assert!(clopper_pearson(71, 71, 0.95).unwrap().lower < 0.95);
        assert!(clopper_pearson(0, 36_887, 0.95).unwrap().upper <= 0.0001);
        assert!(clopper_pearson(0, 36_886, 0.95).unwrap().upper > 0.0001);
    }

    /// Expected: scipy 1.17.1, `stats.binomtest(k, n).proportion_ci(level, "exact")`.
    #[test]
    fn clopper_pearson_is_that_of_scipy() {
        for (k, n, level, lower, upper) in CLOPPER_PEARSON {
            assert_near(clopper_pearson(k, n, level).unwrap(), lower, upper, 1e-10);
        }
    }

    /// Expected: scipy 1.17.1, `stats.binomtest(k, n).proportion_ci(level, "wilson")`.
    #[test]
    fn wilson_is_that_of_scipy() {
        for (k, n, level, lower, upper) in WILSON {
            assert_near(wilson(k, n, level).unwrap(), lower, upper, 1e-12);
        }
    }

    fn assert_near(found: Bounds, lower: f64, upper: f64, tolerance: f64) {
        assert!((found.lower - lower).abs() <= tolerance && (found.upper - upper).abs() <= tolerance, "{found:?}");
    }

    /// Exact by definition: the chance of k or more at the lower end, and of k or fewer at the upper, is (1 − level)/2;
    /// here as sums of binomial terms instead of a beta function.
    #[test]
    fn the_tails_beyond_exact_bounds_hold_what_they_should() {
        for (k, n) in [(1_u64, 9_u64), (4, 9), (8, 9), (3, 60), (30, 60)] {
            let term = |i: u64, p: f64| {
                let choose: f64 = (0..i).map(|j| (n - j) as f64 / (i - j) as f64).product();
                choose * p.powi(i as i32) * (1.0 - p).powi((n - i) as i32)
            };
            let bounds = clopper_pearson(k, n, 0.9).unwrap();
            let above: f64 = (k..=n).map(|i| term(i, bounds.lower)).sum();
            let under: f64 = (0..=k).map(|i| term(i, bounds.upper)).sum();
            assert!((above - 0.05).abs() < 1e-12 && (under - 0.05).abs() < 1e-12, "{k} of {n}: {above}, {under}");
        }
    }

    #[test]
    fn impossible_counts_are_refused() {
        assert_eq!(
            clopper_pearson(3, 2, 0.95).unwrap_err().to_string(),
            "expected k of n with n above 0 and k at most n, found 3 of 2"
        );
        assert_eq!(wilson(0, 0, 0.95), Err(StatisticsError::Counts { k: 0, n: 0 }));
        assert_eq!(wilson(1, 2, 1.0), Err(StatisticsError::Level(1.0)));
    }

    const CLOPPER_PEARSON: [(u64, u64, f64, f64, f64); 8] = [
        (0, 1, 0.95, 0.0, 0.975),
        (0, 100, 0.95, 0.0, 0.03621669264519054),
        (95, 100, 0.95, 0.887165088894537, 0.9835681208182717),
        (100, 100, 0.95, 0.9637833073548094, 1.0),
        (480, 500, 0.95, 0.9388973906117541, 0.9753986879144547),
        (1, 3, 0.99, 0.0016694521863085243, 0.9585998492839761),
        (3900, 4000, 0.9, 0.9705471989866925, 0.9789258017414367),
        (123456, 1000000, 0.95, 0.12281184162963026, 0.1241023402768027),
    ];

    const WILSON: [(u64, u64, f64, f64, f64); 8] = [
        (0, 1, 0.95, 0.0, 0.7934506856227626),
        (0, 100, 0.95, 0.0, 0.03699349820698568),
        (95, 100, 0.95, 0.8882495307680809, 0.978456320845632),
        (100, 100, 0.95, 0.9630065017930143, 1.0),
        (480, 500, 0.95, 0.9390264041651492, 0.9739592026102227),
        (1, 3, 0.99, 0.04042662929608476, 0.855783984952333),
        (3900, 4000, 0.9, 0.9706072211065052, 0.9787506466523176),
        (123456, 1000000, 0.95, 0.12281269653142284, 0.12410219641400437),
    ];
}
