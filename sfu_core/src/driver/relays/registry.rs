//! Which relays there are between the workers of this process, by number: only commands that make or end one look here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::transmit::RelayEnd;
use crate::ids::RelayId;

/// No worker has that end yet.
const NOBODY: usize = usize::MAX;

/// What both ends of a relay see.
#[derive(Debug)]
pub(in crate::driver) struct Shared {
    /// How often a right ended. Written by the worker with the near end.
    cuts: AtomicUsize,
    workers: [AtomicUsize; 2],
    closed: [AtomicBool; 2],
}

impl Shared {
    fn new() -> Self {
        Self {
            cuts: AtomicUsize::new(0),
            workers: [const { AtomicUsize::new(NOBODY) }; 2],
            closed: [const { AtomicBool::new(false) }; 2],
        }
    }

    /// How often a right ended.
    pub(super) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }

    /// A right ended once more; returns how often that makes.
    pub(super) fn cut(&self) -> usize {
        self.cuts.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Which worker has that end.
    pub(super) fn worker_of(&self, end: RelayEnd) -> Option<usize> {
        Some(self.workers[end as usize].load(Ordering::SeqCst)).filter(|worker| *worker != NOBODY)
    }

    /// Whether that end was there and is no more.
    pub(super) fn is_closed(&self, end: RelayEnd) -> bool {
        self.closed[end as usize].load(Ordering::SeqCst)
    }
}

/// All relays by number, each until both ends are gone.
pub(in crate::driver) type RelayRegistry = Arc<Mutex<BTreeMap<RelayId, Arc<Shared>>>>;

/// Gives that end to a worker; `None` when some worker has it.
pub(in crate::driver) fn claim(
    registry: &RelayRegistry,
    relay: RelayId,
    end: RelayEnd,
    worker: usize,
) -> Option<Arc<Shared>> {
    let mut relays = registry.lock().unwrap_or_else(PoisonError::into_inner);
    let shared = relays.entry(relay).or_insert_with(|| Arc::new(Shared::new()));
    let is_free = shared.worker_of(end).is_none() && !shared.is_closed(end.other());
    is_free.then(|| {
        shared.workers[end as usize].store(worker, Ordering::SeqCst);
        Arc::clone(shared)
    })
}

/// That end was never made.
pub(super) fn retract(registry: &RelayRegistry, relay: RelayId, end: RelayEnd, shared: &Shared) {
    let mut relays = registry.lock().unwrap_or_else(PoisonError::into_inner);
    shared.workers[end as usize].store(NOBODY, Ordering::SeqCst);
    if shared.worker_of(end.other()).is_none() || shared.is_closed(end.other()) {
        relays.remove(&relay);
    }
}

/// That end is no more.
pub(super) fn release(registry: &RelayRegistry, relay: RelayId, end: RelayEnd, shared: &Arc<Shared>) {
    let mut relays = registry.lock().unwrap_or_else(PoisonError::into_inner);
    shared.closed[end as usize].store(true, Ordering::SeqCst);
    let other = end.other();
    if shared.worker_of(other).is_none() || shared.is_closed(other) {
        relays.remove(&relay);
    }
}
