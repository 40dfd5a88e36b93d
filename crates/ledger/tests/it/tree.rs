//! The tree and its tiles against the RFC's definition and the published vectors.

use base64::{Engine, engine::general_purpose::STANDARD};
use evidence::Digest;
use ledger::{
    merkle::{Tree, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion},
    tiles::{self, Content, Tile},
};
use proptest::prelude::*;
use serde_json::Value;
use std::{fs, path::Path};

/// The definition of RFC 6962, section 2.1, word for word: the plain twin of `Tree`.
fn mth(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&mth(left), &mth(right))
        }
    }
}

fn leaves(n: u64) -> Vec<Digest> {
    (0..n).map(|index| leaf_hash(&index.to_be_bytes())).collect()
}

/// The vectors of a kind, by file name.
fn vectors(kind: &str) -> Vec<(String, Value)> {
    fn collect(folder: &Path, found: &mut Vec<(String, Value)>) {
        for child in fs::read_dir(folder).unwrap() {
            let path = child.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else {
                let vector = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                found.push((path.display().to_string(), vector));
            }
        }
    }
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/merkle").join(kind), &mut found);
    found
}

/// A hash of a vector. Some have other lengths than 32 bytes, which `Digest` cannot hold: their SHA-256 stands for them,
/// so that equal stays equal and different stays different.
fn hash(value: &Value) -> Digest {
    let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    <[u8; 32]>::try_from(bytes.as_slice()).map_or_else(|_| Digest::of(&bytes), Digest::from_bytes)
}

fn proof(vector: &Value) -> Vec<Digest> {
    vector["proof"].as_array().map(|hashes| hashes.iter().map(hash).collect()).unwrap_or_default()
}

#[test]
fn published_inclusion_vectors_agree() {
    let vectors = vectors("inclusion");
    assert_eq!(vectors.len(), 98);
    for (path, v) in vectors {
        let (index, size) = (v["leafIdx"].as_u64().unwrap(), v["treeSize"].as_u64().unwrap());
        let outcome = verify_inclusion(&hash(&v["leafHash"]), index, size, &proof(&v), &hash(&v["root"]));
        assert_eq!(outcome.is_err(), v["wantErr"].as_bool().unwrap(), "{path}: {outcome:?}");
    }
}

/// One vector shows two empty trees to be one and expects an error, as for every proof from an empty tree.
#[test]
fn published_consistency_vectors_agree() {
    let vectors = vectors("consistency");
    assert_eq!(vectors.len(), 98);
    for (path, v) in vectors {
        let (from, to) = (v["size1"].as_u64().unwrap(), v["size2"].as_u64().unwrap());
        let outcome = verify_consistency(from, to, &proof(&v), &hash(&v["root1"]), &hash(&v["root2"]));
        assert_eq!(outcome.is_err(), v["wantErr"].as_bool().unwrap(), "{path}: {outcome:?}");
    }
}

/// The vectors of the transparency project's `testonly` package: eight leaves, all roots. Taken from the happy paths of
/// the fixtures, whose trees are these.
#[test]
fn the_roots_of_the_published_trees_are_reproduced() {
    let inputs: [&[u8]; 8] = [
        b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let tree = Tree::from_leaves(inputs.into_iter().map(leaf_hash));
    let mut n_checked = 0;
    for (path, v) in vectors("consistency") {
        let (from, to) = (v["size1"].as_u64().unwrap(), v["size2"].as_u64().unwrap());
        if path.contains("happy-path") {
            assert_eq!(tree.root_at(from), Some(hash(&v["root1"])), "{path}");
            assert_eq!(tree.root_at(to), Some(hash(&v["root2"])), "{path}");
            assert_eq!(tree.consistency_proof(from, to), Some(proof(&v)), "{path}");
            n_checked += 1;
        }
    }
    for (path, v) in vectors("inclusion") {
        let (index, size) = (v["leafIdx"].as_u64().unwrap(), v["treeSize"].as_u64().unwrap());
        if path.contains("happy-path") && !path.contains("single-entry") {
            assert_eq!(tree.root_at(size), Some(hash(&v["root"])), "{path}");
            assert_eq!(tree.inclusion_proof(index, size), Some(proof(&v)), "{path}");
            n_checked += 1;
        }
    }
    assert_eq!(n_checked, 10);
}

#[test]
fn every_proof_of_every_small_tree_verifies() {
    let leaves = leaves(70);
    let tree = Tree::from_leaves(leaves.iter().copied());
    for size in 0..=70 {
        let root = mth(&leaves[..size as usize]);
        assert_eq!(tree.root_at(size), Some(root));
        for index in 0..size {
            let proof = tree.inclusion_proof(index, size).unwrap();
            verify_inclusion(&leaves[index as usize], index, size, &proof, &root).unwrap();
        }
        for from in 1..=size {
            let proof = tree.consistency_proof(from, size).unwrap();
            verify_consistency(from, size, &proof, &mth(&leaves[..from as usize]), &root).unwrap();
        }
    }
    assert_eq!(tree.root_at(71), None);
    assert_eq!(tree.inclusion_proof(5, 5), None);
    assert_eq!(tree.inclusion_proof(5, 71), None);
    assert_eq!(tree.consistency_proof(0, 5), None);
    assert_eq!(tree.consistency_proof(6, 5), None);
}

fn flipped(hashes: &[Digest], bit: usize) -> Vec<Digest> {
    let mut bytes: Vec<[u8; 32]> = hashes.iter().map(|hash| *hash.as_bytes()).collect();
    bytes[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
    bytes.into_iter().map(Digest::from_bytes).collect()
}

proptest! {
    /// Any bit of any hash, a hash more or less, or another place: none of it verifies.
    #[test]
    fn a_changed_proof_fails(size in 2_u64..2000, a: prop::sample::Index, b: prop::sample::Index, bit: prop::sample::Index) {
        let leaves = leaves(size);
        let tree = Tree::from_leaves(leaves.iter().copied());
        let root = tree.root();
        prop_assert_eq!(root, mth(&leaves));
        let index = a.index(size as usize) as u64;
        let leaf = leaves[index as usize];
        let good = tree.inclusion_proof(index, size).unwrap();
        prop_assert!(verify_inclusion(&leaf, index, size, &good, &root).is_ok());
        let bad = flipped(&good, bit.index(good.len() * 256));
        prop_assert!(verify_inclusion(&leaf, index, size, &bad, &root).is_err());
        prop_assert!(verify_inclusion(&leaf, index, size, &good[1..], &root).is_err());
        prop_assert!(verify_inclusion(&leaf, index, size, &[good.as_slice(), &[root]].concat(), &root).is_err());
        let other = b.index(size as usize) as u64;
        prop_assert_eq!(verify_inclusion(&leaf, other, size, &good, &root).is_ok(), other == index);

        let from = other + 1;
        let old = tree.root_at(from).unwrap();
        let good = tree.consistency_proof(from, size).unwrap();
        prop_assert!(verify_consistency(from, size, &good, &old, &root).is_ok());
        if !good.is_empty() {
            let bad = flipped(&good, bit.index(good.len() * 256));
            prop_assert!(verify_consistency(from, size, &bad, &old, &root).is_err());
            prop_assert!(verify_consistency(from, size, &good[1..], &old, &root).is_err());
        }
        let bad = flipped(&[old], bit.index(256));
        prop_assert!(verify_consistency(from, size, &good, &bad[0], &root).is_err());
        let bad = flipped(&[root], bit.index(256));
        prop_assert!(verify_consistency(from, size, &good, &old, &bad[0]).is_err());
    }

    #[test]
    fn a_path_reads_back(index in 0_u64..2_000_000_000, width in 1_u16..=256, level in 0_u8..8) {
        for content in [Content::Entries, Content::Hashes { level }] {
            let tile = Tile { content, index, width };
            prop_assert_eq!(Tile::from_path(&tile.path()), Some(tile));
        }
    }
}

/// Counts of the specification: size 70,000 and size 256 (C2SP tlog-tiles, "Partial Tiles").
#[test]
fn the_layout_is_that_of_the_specification() {
    let row = |level, size| {
        let tiles: Vec<_> = tiles::hashes(level, size).map(|tile| (tile.index, tile.width)).collect();
        (tiles.iter().filter(|(_, width)| *width == 256).count(), tiles.last().copied())
    };
    assert_eq!(row(0, 70_000), (273, Some((273, 112))));
    assert_eq!(row(1, 70_000), (1, Some((1, 17))));
    assert_eq!(row(2, 70_000), (0, Some((0, 1))));
    assert_eq!(row(3, 70_000), (0, None));
    assert_eq!(tiles::bundles(70_000).count(), 274);
    let paths = |size| tiles::layout(size).map(|tile| tile.path()).collect::<Vec<_>>();
    assert_eq!(paths(256), ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(paths(0), [""; 0]);
    let path = |index, width| Tile { content: Content::Hashes { level: 3 }, index, width }.path();
    assert_eq!(path(1_234_067, 256), "tile/3/x001/x234/067");
    assert_eq!(path(1_234_067, 17), "tile/3/x001/x234/067.p/17");
    for wrong in [
        "tile/0/0", "tile/0/x000/001", "tile/0/001/002", "tile/00/001", "tile/0/001.p/0", "tile/0/001.p/256",
        "tile/0/001.p/01", "tile/entry/001", "tile/0/x001", "checkpoint", "tile/0/001.p/", "tile/0/+01",
    ] {
        assert_eq!(Tile::from_path(wrong), None, "{wrong}");
    }
}

/// Every tile of a tree of 70,000 leaves holds the hashes that the formula of the specification gives.
#[test]
fn tiles_hold_what_the_formula_gives() {
    let leaves = leaves(70_000);
    let tree = Tree::from_leaves(leaves.iter().copied());
    for tile in tiles::layout(70_000).filter(|tile| tile.content != Content::Entries) {
        let Content::Hashes { level } = tile.content else { unreachable!() };
        let span = 256_usize.pow(u32::from(level));
        let first = tile.index as usize * 256;
        let expected: Vec<Digest> =
            (first..first + usize::from(tile.width)).map(|i| mth(&leaves[i * span..(i + 1) * span])).collect();
        let bytes = tile.hashes(&tree).unwrap();
        assert_eq!(tiles::parse_hashes(&bytes, tile.width).unwrap(), expected);
    }
    let beyond = Tile { content: Content::Hashes { level: 1 }, index: 1, width: 18 };
    assert_eq!(beyond.hashes(&tree), None);
}

/// What an append writes, added up, is the layout: no file is missed and none is superfluous.
#[test]
fn growing_writes_exactly_the_layout() {
    let mut written = std::collections::BTreeSet::new();
    for size in 1..=66_000 {
        for tile in tiles::grown(size) {
            written.insert(tile);
            written.remove(&Tile { width: tile.width - 1, ..tile });
        }
        if size % 997 == 0 || size % 256 < 2 {
            assert_eq!(written, tiles::layout(size).collect(), "{size}");
        }
    }
}

#[test]
fn a_bundle_reads_back_and_a_damaged_one_says_how() {
    let bytes = tiles::bundle([&b"ab"[..], b"", b"c"]).unwrap();
    assert_eq!(bytes, b"\x00\x02ab\x00\x00\x00\x01c");
    assert_eq!(tiles::parse_bundle(&bytes, 3).unwrap(), [&b"ab"[..], b"", b"c"]);
    let reason = |bytes: &[u8]| tiles::parse_bundle(bytes, 3).unwrap_err().to_string();
    assert_eq!(reason(&bytes[..8]), "the file ends inside entry 2");
    assert_eq!(reason(&bytes[..5]), "the file ends inside entry 1");
    assert_eq!(reason(&bytes[..4]), "expected 3 entries, found 1");
    assert_eq!(tiles::parse_hashes(&[0; 33], 1).unwrap_err().to_string(), "expected 32 bytes, found 33");
    let long = vec![0; 65_536];
    assert_eq!(tiles::bundle([long.as_slice()]), None);
    assert!(tiles::bundle([&long[1..]]).is_some());
}
