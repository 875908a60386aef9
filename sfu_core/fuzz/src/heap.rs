//! What a run asks of the allocator: how often, and how much it holds. Work that grows without bound shows here, and so does
//! memory; neither depends on how fast the machine is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
    static MOST: Cell<i64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The system's allocator; under `AddressSanitizer` that is the sanitizer's.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of the caller, and the cells it
// counts in are neither allocated nor dropped.
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
}

fn note(calls: u64, bytes: i64) {
    CALLS.set(CALLS.get() + calls);
    HELD.set(HELD.get() + bytes);
    MOST.set(MOST.get().max(HELD.get()));
}

/// Calls that this thread made since its start.
pub(crate) fn calls() -> u64 {
    CALLS.get()
}

/// Bytes that this thread holds.
pub(crate) fn held() -> i64 {
    HELD.get()
}

/// What came of `work`, and how many bytes more than before it were held at a time.
pub(crate) fn most<T>(work: impl FnOnce() -> T) -> (T, i64) {
    let before = HELD.get();
    MOST.set(before);
    let done = work();
    (done, MOST.get() - before)
}
