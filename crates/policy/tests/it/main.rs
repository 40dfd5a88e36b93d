//! Cards, expressions and decisions from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod ahead;
mod bad_cards;
mod bad_packs;
mod calendar;
mod calendar_other;
#[cfg(feature = "rego")]
mod checks;
mod crosswalk;
mod decisions;
mod drafts;
#[cfg(feature = "rego")]
#[path = "../../examples/drawn/mod.rs"]
mod drawn;
mod explanations;
mod expressions;
mod lints;
mod mutations;
mod nearest;
mod plans;
mod properties;
#[cfg(feature = "rego")]
mod rego;
mod requests;
mod scenarios;
mod shipped;
mod support;
mod traffic;
mod waivers;
mod worlds;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Blocks that this thread has asked for.
    pub(crate) static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe to write; this one hands everything on")]
// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
