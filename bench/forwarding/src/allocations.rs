//! An allocator that counts, while it is told to, and otherwise is that of the compiled module.

use mimalloc::MiMalloc as System;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES_HELD: AtomicI64 = AtomicI64::new(0);

/// The allocator of this program. It has one thread that allocates, so relaxed order is enough.
pub(crate) struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(1, new_size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

fn note(allocations: u64, bytes: i64) {
    if COUNTING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(allocations, Ordering::Relaxed);
        BYTES_HELD.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Counts from here on, or no longer.
pub(crate) fn count(counting: bool) {
    COUNTING.store(counting, Ordering::Relaxed);
}

/// Allocations counted since the last call.
pub(crate) fn take() -> u64 {
    ALLOCATIONS.swap(0, Ordering::Relaxed)
}

/// Bytes allocated and not freed while counting, since the start.
pub(crate) fn bytes_held() -> i64 {
    BYTES_HELD.load(Ordering::Relaxed)
}
