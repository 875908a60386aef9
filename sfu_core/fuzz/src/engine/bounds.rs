//! How much one input may cause, so that nobody can make the engine work or remember out of proportion. Counted are datagrams,
//! events, calls to the allocator and bytes, and not time.

use crate::bounds::Limits;

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

pub(super) const LIMITS: Limits = Limits { sent: MAX_SENT, events: MAX_EVENTS, calls: MAX_CALLS, grown: MAX_GROWN };
