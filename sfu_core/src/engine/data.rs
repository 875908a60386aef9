//! Messages on data channels: from one peer to the subscribers of its messages, and from the server itself. Each waits beside
//! its subscriber's SCTP association and is asked for its right when SCTP takes it, so that none leaves after a revocation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::gate::Flow;
use crate::ids::PeerId;
use crate::peer::sctp::outbox::MessageSender;
use crate::peer::sctp::{DataError, DataEvent};

use super::command::{Cap, Refusal, Reply};
use super::event::Event;
use super::{Engine, control};

/// What one peer may say in a second, sustained (`reliability.md`, A2: T-DATA).
const BYTES_PER_SECOND: u64 = 65_536;
/// What it may say at once: four messages of the largest size, such as the state of a whiteboard.
pub(super) const MAX_BURST_BYTES: u64 = 4 * 65_536;
/// What a message counts beside its payload, so that a flood of tiny ones ends at some 1 000 a second.
const MESSAGE_COST_BYTES: u64 = 64;

/// How much a peer may still say (RFC 2697 §1).
#[derive(Debug)]
pub(crate) struct TokenBucket {
    left: u64,
    filled: Instant,
}

impl TokenBucket {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: MAX_BURST_BYTES, filled: now }
    }

    /// Takes a message off; false when it is too much.
    fn takes(&mut self, payload: usize, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.filled).as_micros() as u64 * BYTES_PER_SECOND / 1_000_000;
        if gained > 0 {
            self.left = MAX_BURST_BYTES.min(self.left + gained);
            self.filled += Duration::from_micros(gained * 1_000_000 / BYTES_PER_SECOND);
        }
        let cost = payload as u64 + MESSAGE_COST_BYTES;
        let takes = self.left >= cost;
        if takes {
            self.left -= cost;
        }
        takes
    }
}

pub(super) fn allow(engine: &mut Engine, publisher: PeerId, subscriber: PeerId) -> Result<Reply, Refusal> {
    let from = engine.peers.find(publisher).ok_or(Refusal::UnknownPeer)?;
    let to = engine.peers.find(subscriber).ok_or(Refusal::UnknownPeer)?;
    if from.room != to.room {
        return Err(Refusal::OtherRoom);
    }
    if from.relay().or(to.relay()).is_some() {
        return Err(Refusal::OnlyRelays);
    }
    if from.participant == to.participant {
        return Err(Refusal::EchoNotAsked);
    }
    let known = engine.gate.find(Flow::Data(publisher), subscriber).is_some();
    engine.gate.allow(Flow::Data(publisher), subscriber).ok_or(Refusal::Full(Cap::Edges))?;
    if !known {
        engine.listener_gained(subscriber);
    }
    Ok(Reply::Done)
}

/// Ends the edge; what waits of it is dropped, and the channels are reset on which SCTP still holds some of it.
pub(super) fn revoke(engine: &mut Engine, publisher: PeerId, subscriber: PeerId) -> Result<Reply, Refusal> {
    engine.peers.find(publisher).ok_or(Refusal::UnknownPeer)?;
    let member = engine.peers.find_mut(subscriber).ok_or(Refusal::UnknownPeer)?;
    let (room, participant) = (member.room, member.participant);
    let Some(edge) = engine.gate.find(Flow::Data(publisher), subscriber) else { return Ok(Reply::Done) };
    engine.gate.revoke(Flow::Data(publisher), subscriber);
    if let Some(data) = member.peer_mut().and_then(|transport| transport.data.as_mut()) {
        engine.stats.drops.revoked += data.revoke(edge);
    }
    member.note_transport();
    engine.pending.note(member);
    engine.listener_lost(room, participant);
    Ok(Reply::Done)
}

/// What a peer's data channels tell.
pub(super) fn on_data(engine: &mut Engine, peer: PeerId, event: DataEvent, now: Instant) {
    let DataEvent::Message { label, payload, binary } = event else { return };
    if !engine.peers.find_mut(peer).is_some_and(|member| member.data_budget.takes(payload.len(), now)) {
        engine.stats.drops.rate_limited += 1;
        return;
    }
    let shared: Arc<[u8]> = payload.as_slice().into();
    for subscriber in engine.gate.subscribers(Flow::Data(peer)) {
        forward(engine, peer, subscriber, &label, &shared, binary, now);
    }
    engine.emit(Event::DataReceived { peer, label, payload, binary });
}

/// A message goes to a subscriber's channel of the same label.
fn forward(
    engine: &mut Engine,
    publisher: PeerId,
    subscriber: PeerId,
    label: &str,
    payload: &Arc<[u8]>,
    binary: bool,
    now: Instant,
) {
    let Some(edge) = engine.gate.find(Flow::Data(publisher), subscriber) else { return };
    let Some(data) = engine.peers.find_mut(subscriber).and_then(|member| member.peer_mut()?.data.as_mut()) else {
        return;
    };
    if data.send(label, Arc::clone(payload), binary, MessageSender::Edge { edge, publisher }).is_err() {
        engine.stats.drops.send_queue_full += 1;
    }
    control::drain_transport(engine, subscriber, now);
}

/// Sends a message of the server's own.
pub(super) fn send(
    engine: &mut Engine,
    peer: PeerId,
    label: &str,
    payload: &[u8],
    binary: bool,
    now: Instant,
) -> Result<Reply, Refusal> {
    let member = engine.peers.find_mut(peer).ok_or(Refusal::UnknownPeer)?;
    let data = member.peer_mut().and_then(|transport| transport.data.as_mut()).ok_or(Refusal::UnknownChannel)?;
    data.send(label, payload.into(), binary, MessageSender::Server).map_err(|error| match error {
        DataError::UnknownChannel => Refusal::UnknownChannel,
        _ => Refusal::Full(Cap::DataBuffer),
    })?;
    control::drain_transport(engine, peer, now);
    Ok(Reply::Done)
}

/// Gives SCTP what waits for it, as far as it can send it soon and the gate lets it through.
pub(super) fn hand_over(engine: &mut Engine, subscriber: PeerId) {
    let Some(data) = engine.peers.find_mut(subscriber).and_then(|member| member.peer_mut()?.data.as_mut()) else {
        return;
    };
    let witness = &mut engine.data_witness;
    let not_taken = data.hand_over(&engine.gate, |publisher| witness.observe(publisher, subscriber));
    engine.stats.drops.revoked += not_taken.revoked;
    engine.stats.drops.send_queue_full += not_taken.closing;
}
