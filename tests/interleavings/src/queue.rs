//! A ring of one writer and one reader, as rtrb makes it: a slot belongs to whom the two counters say. Loom ends a test in which
//! both touch one slot.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
struct Shared<T> {
    slots: Vec<UnsafeCell<Option<T>>>,
    read: AtomicUsize,
    written: AtomicUsize,
}

// SAFETY: a slot is touched by the writer before it has counted it as written and by the reader after that, and the other way
// round for what was read.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: the same.
unsafe impl<T: Send> Send for Shared<T> {}

/// Makes both ends.
#[derive(Debug)]
pub struct RingBuffer;

/// The writer's end.
#[derive(Debug)]
pub struct Producer<T>(Arc<Shared<T>>);

/// The reader's end.
#[derive(Debug)]
pub struct Consumer<T>(Arc<Shared<T>>);

impl RingBuffer {
    #[allow(clippy::new_ret_no_self, reason = "rtrb's")]
    pub(crate) fn new<T>(most: usize) -> (Producer<T>, Consumer<T>) {
        // Loom keeps account of every slot: as many as a test can fill.
        let slots = (0..most.min(MAX_SLOTS)).map(|_| UnsafeCell::new(None)).collect();
        let shared = Arc::new(Shared { slots, read: AtomicUsize::new(0), written: AtomicUsize::new(0) });
        (Producer(Arc::clone(&shared)), Consumer(shared))
    }
}

/// More than any test pushes without somebody reading.
const MAX_SLOTS: usize = 6;

impl<T> Producer<T> {
    /// Puts one in; gives it back when there is no room.
    ///
    /// # Errors
    /// When there is no room.
    pub fn push(&mut self, value: T) -> Result<(), T> {
        let written = self.0.written.load(Ordering::Relaxed);
        if written - self.0.read.load(Ordering::Acquire) == self.0.slots.len() {
            return Err(value);
        }
        // SAFETY: the reader does not look at it before it is counted.
        self.0.slots[written % self.0.slots.len()].with_mut(|slot| unsafe { *slot = Some(value) });
        self.0.written.store(written + 1, Ordering::Release);
        Ok(())
    }
}

impl<T> Consumer<T> {
    /// Takes one out.
    ///
    /// # Errors
    /// When there is none.
    #[allow(clippy::result_unit_err, reason = "nobody looks at rtrb's")]
    pub fn pop(&mut self) -> Result<T, ()> {
        let read = self.0.read.load(Ordering::Relaxed);
        if self.0.written.load(Ordering::Acquire) == read {
            return Err(());
        }
        // SAFETY: it was counted as written, and the writer does not touch it before it is counted as read.
        let value = self.0.slots[read % self.0.slots.len()].with_mut(|slot| unsafe { (*slot).take() });
        self.0.read.store(read + 1, Ordering::Release);
        Ok(value.expect("it was counted"))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.written.load(Ordering::Acquire) == self.0.read.load(Ordering::Relaxed)
    }
}
