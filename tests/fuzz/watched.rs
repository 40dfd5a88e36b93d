//! What the programs that fuzz readers of files share: an allocator that counts, and readings under it and a clock.

use crate::clock::used;
use rand_chacha::{ChaCha8Rng, rand_core::Rng as _};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// What one reading may hold at most; the files are below 300 KB.
const MEMORY_BYTES_MAX: usize = 1 << 29;

/// Counts what is held, and the most that was.
struct Counted;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator")]
// SAFETY: every call is handed to the system's allocator as it is; above the limit none is given, which ends the process.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        if held > 4 * MEMORY_BYTES_MAX {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Below `n`; 0 where that is 0.
pub(crate) fn below(random: &mut ChaCha8Rng, n: usize) -> usize {
    (random.next_u64() % n.max(1) as u64) as usize
}

/// Readings so far. A panic, memory above `MEMORY_BYTES_MAX`, and more CPU time than the patience are findings.
pub(crate) struct Watched {
    name: &'static str,
    patience: Duration,
    n: u64,
    /// Readings that succeeded.
    n_read: u64,
    most: usize,
    pub(crate) findings: u64,
}

impl Watched {
    /// `name`: of the program, which the places of what it keeps begin with.
    pub(crate) fn new(name: &'static str, patience: Duration) -> Self {
        std::panic::set_hook(Box::new(|_| {}));
        Self { name, patience, n: 0, n_read: 0, most: 0, findings: 0 }
    }

    /// Reads once. Of a finding: what it is, and where the folder `place` was moved to.
    pub(crate) fn read(&mut self, place: &Path, read: impl FnOnce() -> bool) -> Option<(String, PathBuf)> {
        let before = HELD.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        let began = used();
        let outcome = catch_unwind(AssertUnwindSafe(read));
        let took = used().saturating_sub(began);
        let held = MOST.load(Ordering::Relaxed).saturating_sub(before);
        self.most = self.most.max(held);
        self.n += 1;
        self.n_read += u64::from(*outcome.as_ref().unwrap_or(&false));
        let finding = match outcome {
            Err(_) => "a panic".to_owned(),
            Ok(_) if held > MEMORY_BYTES_MAX => format!("{held} bytes held"),
            Ok(_) if took > self.patience => format!("{took:?} taken"),
            Ok(_) => return None,
        };
        self.findings += 1;
        let kept = std::env::temp_dir().join(format!("{}-{}-{}", self.name, std::process::id(), self.findings));
        std::fs::rename(place, &kept).unwrap();
        Some((finding, kept))
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, n_read, most, findings, .. } = self;
        write!(f, "{n} read or refused ({n_read} read), at most {most} bytes held, {findings} findings")
    }
}
