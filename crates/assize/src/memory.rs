//! What the C library is told about freed memory.

/// Keeps large freed blocks in the process: the C library gives each tensor back to the kernel otherwise, which costs a third of the
/// training speed (docs/decisions/0001-tensor-engine.md).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
pub(crate) fn keep_freed() {
    // SAFETY: called once, before any thread is started; both options take any int.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

/// Gives back what a stage has freed and the next one, on other threads, would not find: each thread's blocks come from a region of
/// its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
pub(crate) fn give_back() {
    // SAFETY: takes any padding, locks what it works on, and touches only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_freed() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}
