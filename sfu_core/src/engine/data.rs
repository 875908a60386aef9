//! Messages on data channels: from one peer to the subscribers of its messages, and from the server itself. Each waits beside
//! its subscriber's SCTP association and is asked for its right when SCTP takes it, so that none leaves after a revocation.

use std::sync::Arc;
use std::time::Instant;

use crate::gate::Flow;
use crate::ids::PeerId;
use crate::peer::sctp::outbox::MessageSender;
use crate::peer::sctp::{DataError, DataEvent, DataTransport, Reliability};

use super::command::{Cap, Refusal, Reply};
use super::event::Event;
use super::{Engine, control};

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
    let Some(member) = engine.peers.find(peer) else { return };
    if !member.holds_data {
        let shared: Arc<[u8]> = payload.as_slice().into();
        for subscriber in engine.gate.subscribers(Flow::Data(peer)) {
            forward(engine, peer, subscriber, &label, &shared, binary, now);
        }
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

/// A message that the server sends.
pub(super) struct Message<'a> {
    pub(super) label: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) binary: bool,
}

/// Sends a message of the server's own, or one of `publisher`'s, who must be allowed to say it.
pub(super) fn send(
    engine: &mut Engine,
    peer: PeerId,
    publisher: Option<PeerId>,
    message: &Message<'_>,
    now: Instant,
) -> Result<Reply, Refusal> {
    let origin = match publisher {
        None => MessageSender::Server,
        Some(publisher) => {
            engine.peers.find(publisher).ok_or(Refusal::UnknownPeer)?;
            let edge = engine.gate.find(Flow::Data(publisher), peer).ok_or(Refusal::NotAllowed)?;
            MessageSender::Edge { edge, publisher }
        }
    };
    let data = channels(engine, peer)?;
    data.send(message.label, message.payload.into(), message.binary, origin).map_err(refusal_of)?;
    control::drain_transport(engine, peer, now);
    Ok(Reply::Done)
}

/// Has a peer's messages go on only where the server sends them.
pub(super) fn hold(engine: &mut Engine, peer: PeerId) -> Result<Reply, Refusal> {
    engine.peers.find_mut(peer).ok_or(Refusal::UnknownPeer)?.holds_data = true;
    Ok(Reply::Done)
}

/// Opens a channel; it can be used once the remote agreed.
pub(super) fn open(
    engine: &mut Engine,
    peer: PeerId,
    label: &str,
    ordered: bool,
    reliability: Reliability,
    now: Instant,
) -> Result<Reply, Refusal> {
    channels(engine, peer)?.open(label, ordered, reliability).map_err(refusal_of)?;
    control::drain_transport(engine, peer, now);
    Ok(Reply::Done)
}

fn channels(engine: &mut Engine, peer: PeerId) -> Result<&mut DataTransport, Refusal> {
    let member = engine.peers.find_mut(peer).ok_or(Refusal::UnknownPeer)?;
    member.peer_mut().and_then(|transport| transport.data.as_mut()).ok_or(Refusal::UnknownChannel)
}

fn refusal_of(error: DataError) -> Refusal {
    match error {
        DataError::LabelTaken => Refusal::ChannelInUse,
        DataError::TooManyChannels => Refusal::Full(Cap::Channels),
        DataError::BufferFull => Refusal::Full(Cap::DataBuffer),
        DataError::TooLarge | DataError::LabelTooLong => Refusal::MessageTooLarge,
        DataError::UnknownChannel | DataError::Lost => Refusal::UnknownChannel,
    }
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
    engine.stats.drops.rate_limited += data.take_rate_limited();
}
