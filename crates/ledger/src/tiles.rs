//! C2SP tlog-tiles: which files a log of a given size has, and what is in them.

use crate::merkle::root;
use evidence::Digest;
use std::collections::BTreeMap;

/// Entries, or hashes, of a full tile. SPEC: tlog-tiles, height 8.
pub const WIDTH: u64 = 256;
/// Longest entry: its length is 16 bits. SPEC: tlog-tiles, "Log entries".
pub const ENTRY_MAX: usize = 65_535;

/// `x001/x234/067` of 1234067.
fn number(mut n: u64) -> String {
    let mut name = format!("{:03}", n % 1000);
    n /= 1000;
    while n > 0 {
        name = format!("x{:03}/{name}", n % 1000);
        n /= 1000;
    }
    name
}

fn path(kind: &str, n: u64, width: u64) -> String {
    let name = number(n);
    if width == WIDTH { format!("tile/{kind}/{name}") } else { format!("tile/{kind}/{name}.p/{width}") }
}

/// The widths of the tiles of one level that holds `n` hashes: full ones, then a partial one if any is left.
fn widths(n: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..n.div_ceil(WIDTH)).map(move |tile| (tile, WIDTH.min(n - tile * WIDTH)))
}

/// Every tile file of a log with these leaf hashes, by path inside `log/`.
#[must_use]
pub fn hash_tiles(leaves: &[Digest]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut level: Vec<Digest> = leaves.to_vec();
    let mut depth = 0;
    while !level.is_empty() {
        for ((tile, width), hashes) in widths(level.len() as u64).zip(level.chunks(WIDTH as usize)) {
            let bytes = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
            files.insert(path(&depth.to_string(), tile, width), bytes);
        }
        // Partial tiles are never hashed upward.
        level = level.chunks_exact(WIDTH as usize).map(root).collect();
        depth += 1;
    }
    files
}

/// Every entry bundle of a log, by path inside `log/`.
#[must_use]
pub fn entry_bundles(entries: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    let bundles = widths(entries.len() as u64).zip(entries.chunks(WIDTH as usize));
    bundles
        .map(|((tile, width), entries)| {
            let framed = |entry: &Vec<u8>| [&(entry.len() as u16).to_be_bytes()[..], entry].concat();
            (path("entries", tile, width), entries.iter().flat_map(framed).collect())
        })
        .collect()
}

/// The paths of the bundles of a log of that size, with how many entries each holds.
pub(crate) fn bundle_paths(size: u64) -> impl Iterator<Item = (String, u64)> {
    widths(size).map(|(tile, width)| (path("entries", tile, width), width))
}

/// The entries of one bundle; `None` when the framing does not come out even at `width` entries.
pub(crate) fn entries_of(mut bundle: &[u8], width: u64) -> Option<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    while !bundle.is_empty() {
        let (length, rest) = bundle.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry.to_vec());
        bundle = rest;
    }
    (entries.len() as u64 == width).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(path("0", 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path("entries", 273, 112), "tile/entries/273.p/112");
        assert_eq!(path("0", 1000, 256), "tile/0/x001/000");
    }

    /// The example of the specification: 70,000 entries have 273 full tiles and one of 112 at level 0, one full and one of 17
    /// at level 1, one of width 1 at level 2.
    #[test]
    fn a_log_of_seventy_thousand_has_the_tiles_of_the_specification() {
        let leaves: Vec<Digest> = (0..70_000_u32).map(|i| Digest::of(&i.to_be_bytes())).collect();
        let files = hash_tiles(&leaves);
        assert_eq!(files.len(), 273 + 1 + 1 + 1 + 1);
        for (name, bytes) in
            [("tile/0/273.p/112", 112), ("tile/1/000", 256), ("tile/1/001.p/17", 17), ("tile/2/000.p/1", 1)]
        {
            assert_eq!(files[name].len(), bytes * 32, "{name}");
        }
        let names: Vec<String> = hash_tiles(&leaves[..256]).into_keys().collect();
        assert_eq!(names, ["tile/0/000", "tile/1/000.p/1"]);
    }

    #[test]
    fn bundles_come_back() {
        let entries: Vec<Vec<u8>> = (0..300_usize).map(|i| vec![7; i]).collect();
        let files = entry_bundles(&entries);
        let back = bundle_paths(300).flat_map(|(path, width)| entries_of(&files[&path], width).unwrap());
        assert_eq!(back.collect::<Vec<_>>(), entries);
        assert_eq!(entries_of(&[0, 5, 1], 1), None);
    }
}
