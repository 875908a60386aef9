//! How much one input may cause, so that nobody can make the engine work or remember out of proportion. Counted are datagrams,
//! events, calls to the allocator and bytes, and not time.

use crate::heap;

/// Datagrams that leave in one turn: what one datagram may ask for again, what the pacer lets go of a full queue in one turn, and
/// reports to three.
const MAX_SENT: usize = 256;
/// Events of one turn.
const MAX_EVENTS: usize = 32;
/// Calls to the allocator in one turn, with those of what stands around the engine here.
const MAX_CALLS: u64 = 4_096;
/// Bytes that three participants may take beyond what they have when everything is wired: rings, queues and histories, each of
/// which has a cap. The longest run has some 70 KB of input.
const MAX_GROWN: i64 = 2 << 20;

/// What stood when the run began, and what the turn before had done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    held: i64,
    calls: u64,
}

impl Bounds {
    /// From here on it is counted.
    pub(super) fn begin() -> Self {
        Self { held: heap::held(), calls: heap::calls() }
    }

    /// After one turn.
    pub(super) fn check(&mut self, sent: usize, events: usize) {
        let calls = heap::calls();
        let (made, grown) = (calls - self.calls, heap::held() - self.held);
        self.calls = calls;
        assert!(sent <= MAX_SENT, "{sent} datagrams in one turn");
        assert!(events <= MAX_EVENTS, "{events} events in one turn");
        assert!(made <= MAX_CALLS, "{made} calls to the allocator in one turn");
        assert!(grown <= MAX_GROWN, "{grown} bytes more than in the beginning");
    }
}
