//! Peak rates of accelerators, by exact name. A name that is not in the table has no rate: there is no default.

/// Dense bf16 peak in FLOP/s. `None` for a name that is not in the table, to the letter: `H200` is not an `H20`.
///
/// Source: torchtitan's table, without sparsity; data/NOTICE.md.
#[must_use]
pub fn peak_dense_bf16(name: &str) -> Option<u64> {
    let rows = include_str!("../data/accelerators.csv").lines().skip(1).filter_map(|row| row.split_once(','));
    let tera: u64 = rows.filter(|(row, _)| *row == name).find_map(|(_, tera)| tera.parse().ok())?;
    tera.checked_mul(1_000_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_different_devices_and_the_unknown_is_unknown() {
        assert_eq!(peak_dense_bf16("H20"), Some(148_000_000_000_000));
        assert_eq!(peak_dense_bf16("H200"), Some(989_000_000_000_000));
        for name in ["H100", "h20", "H2", "NVIDIA H200", "RTX 4090", ""] {
            assert_eq!(peak_dense_bf16(name), None, "{name}");
        }
    }
}
