//! The layout of C2SP tlog-tiles: which files a log of a given size has, and what stands in each.

use crate::merkle::Tree;
use evidence::Digest;

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH_FULL: u16 = 256;
/// Longest entry that a bundle can hold, in bytes.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;
/// Levels that a log of at most 2^64 − 1 entries has.
const LEVELS: u8 = 8;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// The entries themselves: `tile/entries/…`.
    Entries,
    /// Hashes of complete subtrees of 256^level entries: `tile/<level>/…`.
    Hashes { level: u8 },
}

/// One file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    pub content: Content,
    pub index: u64,
    /// 1 to 256; below 256 the tile is partial.
    pub width: u16,
}

impl Tile {
    /// Where it stands below the log's folder: `tile/<L>/<N>[.p/<W>]`, `N` as `x001/x234/067`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut number = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            number = format!("x{:03}/{number}", rest % 1000);
            rest /= 1000;
        }
        let kind = match self.content {
            Content::Entries => "entries".to_owned(),
            Content::Hashes { level } => level.to_string(),
        };
        if self.width == WIDTH_FULL { format!("tile/{kind}/{number}") } else { format!("tile/{kind}/{number}.p/{}", self.width) }
    }

    /// The tile of that path; nothing for a path that `path` does not give.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let (kind, number) = path.strip_prefix("tile/")?.split_once('/')?;
        let content = match kind {
            "entries" => Content::Entries,
            level => Content::Hashes { level: level.parse().ok()? },
        };
        let (number, width) = match number.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok()?),
            None => (number, WIDTH_FULL),
        };
        let digits = number.replace(['x', '/'], "");
        let tile = Self { content, index: digits.parse().ok()?, width };
        (tile.path() == path && width > 0).then_some(tile)
    }

    /// The smallest number of entries of a log that has this tile.
    #[must_use]
    pub fn size_min(&self) -> u64 {
        let unit: u64 = match self.content {
            Content::Hashes { level } if level >= LEVELS => return u64::MAX,
            Content::Hashes { level } => 1 << (8 * u32::from(level)),
            Content::Entries => 1,
        };
        self.index.saturating_mul(256).saturating_add(u64::from(self.width)).saturating_mul(unit)
    }

    /// The bytes of a tile of hashes; nothing when the tree does not reach it or the tile holds entries.
    #[must_use]
    pub fn hashes(&self, tree: &Tree) -> Option<Vec<u8>> {
        let Content::Hashes { level } = self.content else { return None };
        let mut bytes = Vec::with_capacity(usize::from(self.width) * 32);
        for position in 0..u64::from(self.width) {
            let hash = tree.node(8 * u32::from(level), self.index * u64::from(WIDTH_FULL) + position)?;
            bytes.extend_from_slice(hash.as_bytes());
        }
        Some(bytes)
    }
}

/// The bundles of a log of `size` entries, in order.
pub fn bundles(size: u64) -> impl Iterator<Item = Tile> {
    row(Content::Entries, size)
}

/// The tiles of hashes at one level of a log of `size` entries, in order.
pub fn hashes(level: u8, size: u64) -> impl Iterator<Item = Tile> {
    let n_hashes = if level < LEVELS { size >> (8 * u32::from(level)) } else { 0 };
    row(Content::Hashes { level }, n_hashes)
}

/// All files of a log of `size` entries: bundles, then hashes level by level.
pub fn layout(size: u64) -> impl Iterator<Item = Tile> {
    bundles(size).chain((0..LEVELS).flat_map(move |level| hashes(level, size)))
}

fn row(content: Content, n: u64) -> impl Iterator<Item = Tile> {
    let full = (0..n / 256).map(move |index| Tile { content, index, width: WIDTH_FULL });
    let partial = (n % 256 > 0).then_some(Tile { content, index: n / 256, width: (n % 256) as u16 });
    full.chain(partial)
}

/// The files that the log gains when it grows from `size - 1` to `size` entries: one bundle, and the last tile of each
/// level whose subtree is completed.
#[must_use]
pub fn grown(size: u64) -> Vec<Tile> {
    let last = |n: u64| ((n - 1) / 256, ((n - 1) % 256 + 1) as u16);
    if size == 0 {
        return Vec::new();
    }
    let (index, width) = last(size);
    let mut tiles = vec![Tile { content: Content::Entries, index, width }];
    for level in 0..LEVELS {
        let shift = 8 * u32::from(level);
        if size % (1 << shift) != 0 {
            break;
        }
        let (index, width) = last(size >> shift);
        tiles.push(Tile { content: Content::Hashes { level }, index, width });
    }
    tiles
}

/// The bytes of a bundle: each entry after its length as a big-endian u16; nothing if an entry is too long.
#[must_use]
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Some(bytes)
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    #[error("expected {expected} entries, found {found}")]
    Entries { expected: u16, found: usize },
    #[error("the file ends inside entry {position}")]
    EntryCut { position: usize },
    #[error("expected {expected} bytes, found {found}")]
    Bytes { expected: usize, found: usize },
}

/// The entries of a bundle of `width`.
///
/// # Errors
/// `TileError` when it ends inside an entry or holds another number of entries.
pub fn parse_bundle(mut bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let cut = TileError::EntryCut { position: entries.len() };
        let (length, rest) = bytes.split_first_chunk::<2>().ok_or_else(|| cut.clone())?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(cut)?;
        entries.push(entry);
        bytes = rest;
    }
    if entries.len() == usize::from(width) {
        return Ok(entries);
    }
    Err(TileError::Entries { expected: width, found: entries.len() })
}

/// The hashes of a tile of `width`.
///
/// # Errors
/// `TileError::Bytes` when it is not exactly that many hashes long.
pub fn parse_hashes(bytes: &[u8], width: u16) -> Result<Vec<Digest>, TileError> {
    let expected = usize::from(width) * 32;
    let (hashes, _) = bytes.as_chunks::<32>();
    if bytes.len() != expected {
        return Err(TileError::Bytes { expected, found: bytes.len() });
    }
    Ok(hashes.iter().copied().map(Digest::from_bytes).collect())
}
