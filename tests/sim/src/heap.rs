//! An allocator that counts while it is told to, each thread for itself: so what the engine takes can be told from what the
//! world around it does. A test or a bench makes it its `#[global_allocator]`.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use crate::server::Meter;

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// Counts, and lets `A` allocate.
#[derive(Debug)]
pub struct Counting<A>(pub A);

// SAFETY: every call goes to the inner allocator unchanged; counting touches no memory of the caller, and the cells it counts
// in are neither allocated nor dropped.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: the caller's promises are the inner allocator's.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64));
        // SAFETY: the caller's promises are the inner allocator's.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(1, new_size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are the inner allocator's.
        unsafe { self.0.realloc(pointer, layout, new_size) }
    }
}

#[inline]
fn note(calls: u64, bytes: i64) {
    if COUNTING.get() {
        CALLS.set(CALLS.get() + calls);
        HELD.set(HELD.get() + bytes);
    }
}

/// This thread counts from here on, or no longer.
pub fn count(counting: bool) {
    COUNTING.set(counting);
}

/// Allocations that this thread counted since the last call.
pub fn take_calls() -> u64 {
    CALLS.take()
}

/// Bytes that this thread allocated and did not free while it counted, since its start.
pub fn held() -> i64 {
    HELD.get()
}

/// Counts what the engine does, and nothing else. What a command brings with it was allocated outside and is freed inside, so
/// what is held says something only where commands bring nothing.
#[derive(Debug)]
pub struct OfTheEngine;

impl Meter for OfTheEngine {
    fn enter(&mut self) {
        count(true);
    }

    fn leave(&mut self) {
        count(false);
    }
}
