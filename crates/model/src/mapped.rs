//! Files mapped into memory.

use std::{fs::File, io, ops::Deref, path::Path, sync::Arc};

/// The bytes of a file, read by the kernel as they are touched.
#[derive(Debug, Clone)]
pub(crate) struct Mapped(Arc<memmap2::Mmap>);

impl Mapped {
    #[expect(unsafe_code, reason = "mapping a file has no safe form")]
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        // SAFETY: the map is private and read-only. Whoever writes into the file meanwhile changes the numbers that are
        // read (each is checked after it was copied out, and taken as bytes or f32, which any bits are), and whoever cuts
        // it short ends the process with SIGBUS, as for every program that maps weights; no memory of ours is touched.
        Ok(Self(Arc::new(unsafe { memmap2::Mmap::map(&file)? })))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
