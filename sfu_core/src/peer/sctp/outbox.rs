//! Messages that wait for SCTP. Each carries the edge it comes along, for the gate is asked when SCTP takes it, not before;
//! and SCTP takes only what it can send soon, because what it has it cannot be made to forget without breaking the stream.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::gate::EdgeRef;
use crate::ids::PeerId;

/// Most bytes waiting to be sent on all channels together: 8 seconds at 1 Mbit/s.
pub const MAX_BUFFERED_BYTES: usize = 1_048_576;
/// Bytes that SCTP holds, sent or not, before it gets more: one message of the largest size; with 100 ms of round trip that
/// is ten senders at their full rate.
pub const MAX_HELD_BYTES: usize = super::MAX_MESSAGE_BYTES;
/// Messages that SCTP holds at most: a chunk takes some 200 bytes of memory, however short it is.
pub const MAX_HELD_MESSAGES: usize = 1_024;
/// What a message takes beside its payload, here and in SCTP.
const OVERHEAD_BYTES: usize = 64;

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageSender {
    /// From the server itself, on behalf of nobody.
    Server,
    /// From a participant, along an edge.
    Edge {
        /// Whose messages it lets through.
        edge: EdgeRef,
        /// Who said it.
        publisher: PeerId,
    },
}

/// One message that waits.
#[derive(Debug)]
pub(super) struct PendingMessage {
    pub(super) stream: u16,
    pub(super) payload: Arc<[u8]>,
    pub(super) binary: bool,
    pub(super) origin: MessageSender,
}

impl PendingMessage {
    pub(super) fn cost(&self) -> usize {
        self.payload.len() + OVERHEAD_BYTES
    }

    fn came_along(&self, ended: EdgeRef) -> bool {
        matches!(self.origin, MessageSender::Edge { edge, .. } if edge == ended)
    }
}

/// What waits, first come first served.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<PendingMessage>,
    bytes: usize,
}

impl Outbox {
    /// Takes a message unless that would make more than [`MAX_BUFFERED_BYTES`], together with what SCTP `holds`.
    pub(super) fn push(&mut self, message: PendingMessage, holds: usize) -> bool {
        let fits = self.bytes + holds + message.cost() <= MAX_BUFFERED_BYTES;
        if fits {
            self.bytes += message.cost();
            self.waiting.push_back(message);
        }
        fits
    }

    /// The next message, if SCTP, which holds so much already, has room for it.
    pub(super) fn pop(&mut self, held_bytes: usize, held_messages: usize) -> Option<PendingMessage> {
        let next = self.waiting.front()?;
        let fits = held_bytes + next.payload.len() <= MAX_HELD_BYTES && held_messages < MAX_HELD_MESSAGES;
        if held_bytes > 0 && !fits {
            return None;
        }
        let message = self.waiting.pop_front()?;
        self.bytes -= message.cost();
        Some(message)
    }

    /// Drops what came along an edge that ended, and says how much that was.
    pub(super) fn drop_edge(&mut self, edge: EdgeRef) -> u64 {
        self.drop_if(|message| message.came_along(edge))
    }

    /// Drops what was for a stream that is no more.
    pub(super) fn drop_stream(&mut self, stream: u16) -> u64 {
        self.drop_if(|message| message.stream == stream)
    }

    fn drop_if(&mut self, goes: impl Fn(&PendingMessage) -> bool) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|message| !goes(message));
        self.bytes = self.waiting.iter().map(PendingMessage::cost).sum();
        (before - self.waiting.len()) as u64
    }
}
