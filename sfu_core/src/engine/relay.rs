//! Relays: one track on its way from the engine that has its publisher to another engine, of another worker or another node.
//!
//! The near end is a peer of the publisher's room that receives the track whole, every encoding as it came, while it has the
//! right to it: an edge as any other, granted, revoked and witnessed. The far end is a peer that publishes the track in a room of
//! its own engine: what comes enters by the way of every packet (`engine/path.rs`), only that it was not sealed. Feedback of the
//! far engine returns to the near end, which asks the publisher as for a subscriber of its own.
//!
//! Neither end is a listener, so neither is in a roster: who listens through a relay is in the roster of their own engine.
//!
//! What lies between is the transport's: [`Sink::relay`](super::transmit::Sink::relay) hands it what one end says,
//! [`Engine::ingest_relay`] takes what came from the other, [`Engine::drain_relay_notices`] tells what must not wait behind it.

mod passing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::gate::Flow;
use crate::ids::{ParticipantId, PeerId, RelayId, RoomId, TrackId};
use crate::rtp::ext::{ExtensionKind, ExtensionMap};
use crate::session::{MAX_ENCODINGS, PayloadType, ReceiveMedia, RelayDescription, RemoteEncoding};

use super::apply;
use super::command::{Cap, Refusal, Reply};
use super::event::{Event, PeerState};
use super::member::{Link, Member};
use super::transmit::{Frame, RelayEnd, RelayNotice};
use super::{Engine, Served, feedback};
use crate::forward::outlet::{MAX_OUTLETS, Outlet};
use crate::forward::router::Track;

pub(super) use passing::{flush, pass_on, tell_clock};

/// Ends of relays one engine holds, of both kinds: in a room of 2 000 on two workers everybody's sound, to there and from there.
pub const MAX_RELAYS: usize = 4_096;
/// The name under which an end speaks in RTCP; the other end looks at nobody's but the publisher's.
const OWN_SSRC: u32 = 0x100;
/// Header extensions in what is relayed, numbered by their place; what the transport or the section says is left out.
const EXTENSIONS: [ExtensionKind; 6] = [
    ExtensionKind::Rid,
    ExtensionKind::AudioLevel,
    ExtensionKind::AbsCaptureTime,
    ExtensionKind::VideoOrientation,
    ExtensionKind::PlayoutDelay,
    ExtensionKind::DependencyDescriptor,
];

/// All ends of relays here.
#[derive(Debug, Default)]
pub(super) struct Relays {
    ends: BTreeMap<(RelayId, RelayEnd), PeerId>,
    /// What the transport has not been told yet.
    notices: BTreeSet<RelayNotice>,
}

impl Relays {
    /// `peer` was this end: its number is free again, and the other end is to be told.
    pub(super) fn forget(&mut self, relay: &Relay, peer: PeerId) {
        let key = (relay.id, relay.end);
        if self.ends.get(&key) == Some(&peer) {
            self.ends.remove(&key);
            self.notices.insert(RelayNotice::Closed(relay.id, relay.end));
        }
    }

    /// Whether there is a place for one more.
    fn admit(&self, relay: RelayId, end: RelayEnd) -> Result<(), Refusal> {
        if self.ends.contains_key(&(relay, end)) {
            return Err(Refusal::RelayInUse);
        }
        if self.ends.len() >= MAX_RELAYS { Err(Refusal::Full(Cap::Relays)) } else { Ok(()) }
    }
}

/// A peer as one end of a relay.
#[derive(Debug)]
pub(crate) struct Relay {
    id: RelayId,
    end: RelayEnd,
    track: TrackId,
    /// At the near end: what leaves with the next flush.
    waiting: Vec<passing::Waiting>,
    /// At the near end, by encoding: whether the far one has yet to hear of the publisher's clock.
    clock_untold: [bool; MAX_ENCODINGS],
    /// At the far end: the next packet is the first since a right ended.
    begins_anew: bool,
}

impl Relay {
    fn new(id: RelayId, end: RelayEnd, track: TrackId) -> Self {
        Self { id, end, track, waiting: Vec::new(), clock_untold: [true; MAX_ENCODINGS], begins_anew: true }
    }

    /// Its number.
    pub(crate) fn id(&self) -> RelayId {
        self.id
    }
}

impl Engine {
    /// Takes in what the other end of a relay said.
    pub fn ingest_relay(&mut self, relay: RelayId, frame: Frame<'_>, now: Instant) {
        let Some(&peer) = self.relays.ends.get(&(relay, frame.taker())) else { return };
        self.guarded(|engine| {
            engine.serve(Served::Peer(peer));
            match frame {
                Frame::Rtp(packet) => passing::on_rtp(engine, peer, packet, now),
                Frame::Rtcp(compound) => feedback::on_rtcp(engine, peer, compound, now),
                Frame::Feedback(compound) => passing::on_feedback(engine, peer, compound, now),
            }
        });
    }

    /// The near end lost a right: nothing that came from it before leaves from here on, not even what subscribers ask for again.
    pub fn cut_relay(&mut self, relay: RelayId) {
        let Some(&peer) = self.relays.ends.get(&(relay, RelayEnd::Far)) else { return };
        self.guarded(|engine| {
            engine.serve(Served::Peer(peer));
            cut(engine, peer);
        });
    }

    /// The other end of a relay is gone: this one is closed, until it is removed.
    pub fn close_relay(&mut self, relay: RelayId, end: RelayEnd) {
        let Some(&peer) = self.relays.ends.get(&(relay, end)) else { return };
        self.guarded(|engine| {
            engine.serve(Served::Peer(peer));
            engine.relays.ends.remove(&(relay, end));
            close(engine, peer);
        });
    }

    /// Moves what the transport must tell the other ends to `into`. To be asked for after every command, and every flush.
    pub fn drain_relay_notices(&mut self, into: &mut Vec<RelayNotice>) {
        if !self.relays.notices.is_empty() {
            into.extend(std::mem::take(&mut self.relays.notices));
        }
    }
}

/// Makes the near end of a relay. Not of a track that came by one: who takes a right away there waits for the next engine only.
pub(super) fn make_near(engine: &mut Engine, id: TrackId, relay: RelayId, now: Instant) -> Result<Reply, Refusal> {
    let track = engine.tracks.find(id).ok_or(Refusal::UnknownTrack)?;
    if engine.peers.find(track.publisher).is_some_and(|publisher| publisher.relay().is_some()) {
        return Err(Refusal::OnlyRelays);
    }
    engine.relays.admit(relay, RelayEnd::Near)?;
    if track.outlets.len() >= MAX_OUTLETS {
        return Err(Refusal::Full(Cap::Relays));
    }
    let (room, participant, description) = (track.room, track.participant, Box::new(describe(track)));
    if !description.is_sound() {
        return Err(Refusal::BadSession); // its section is inactive just now
    }
    let peer = make(engine, (room, participant), Relay::new(relay, RelayEnd::Near, id), now)?;
    if let Some(track) = engine.tracks.find_mut(id) {
        track.outlets.push(Outlet::new(peer));
    }
    Ok(Reply::Relay { peer, description })
}

/// Makes the far end of a relay, and publishes the track there.
pub(super) fn make_far(
    engine: &mut Engine,
    (room, participant): (RoomId, ParticipantId),
    relay: RelayId,
    description: RelayDescription,
    now: Instant,
) -> Result<Reply, Refusal> {
    apply::open_room(engine, room)?;
    engine.relays.admit(relay, RelayEnd::Far)?;
    if !description.is_sound() {
        return Err(Refusal::BadSession);
    }
    let peer = make(engine, (room, participant), Relay::new(relay, RelayEnd::Far, TrackId::new(u32::MAX, 0)), now)?;
    let RelayDescription { source, encrypted, extensions, media } = description;
    let mid = media.mid;
    if let Some(member) = engine.peers.find_mut(peer) {
        member.inbound.extensions = extensions;
        member.inbound.reduced_size = true;
        member.inbound.media = vec![media];
    }
    match apply::publish(engine, peer, mid, source, encrypted) {
        Ok(Reply::Track { track }) => {
            if let Some(relay) = engine.peers.find_mut(peer).and_then(Member::relay_mut) {
                relay.track = track;
            }
            Ok(Reply::Relayed { peer, track })
        }
        refused => {
            let _gone = apply::remove_peer(engine, peer);
            engine.relays.notices.remove(&RelayNotice::Closed(relay, RelayEnd::Far));
            refused
        }
    }
}

fn make(
    engine: &mut Engine,
    (room, participant): (RoomId, ParticipantId),
    relay: Relay,
    now: Instant,
) -> Result<PeerId, Refusal> {
    let key = (relay.id, relay.end);
    let (link, initial) = (Link::Relay(Box::new(relay)), engine.initial_bitrate);
    let peer = engine
        .peers
        .insert_with(|id| Member::new(id, room, participant, link, OWN_SSRC, initial, now))
        .ok_or(Refusal::Full(Cap::Peers))?;
    engine.relays.ends.insert(key, peer);
    if let Some(state) = engine.rooms.find_mut(room) {
        state.relays += usize::from(state.peers.insert(peer));
    }
    Ok(peer)
}

/// The track as the far end publishes it. What is lost between the ends is asked for again, whatever the publisher does; it
/// comes in the same numbers as the first time.
fn describe(track: &Track) -> RelayDescription {
    let mut extensions = ExtensionMap::default();
    for (place, kind) in EXTENSIONS.into_iter().enumerate() {
        extensions.set(kind, place as u8 + 1);
    }
    let payload = |payload: &PayloadType| PayloadType { rtx: None, ..payload.clone() };
    let encodings = track.encodings.iter();
    let media = ReceiveMedia {
        mid: track.mid,
        kind: track.kind,
        payload_types: track.payload_types.iter().map(payload).collect(),
        encodings: encodings.map(|known| RemoteEncoding { rid: known.rid, ssrc: known.ssrc, rtx_ssrc: None }).collect(),
        nack: true,
        pli: true,
        fir: false,
        remb: track.ceiling.heeded,
    };
    RelayDescription { source: track.source, encrypted: track.encrypted, extensions, media }
}

/// Grants the near end its track.
pub(super) fn allow(engine: &mut Engine, id: TrackId, peer: PeerId) -> Result<Reply, Refusal> {
    let relay = engine.peers.find(peer).and_then(Member::relay).ok_or(Refusal::UnknownPeer)?;
    let track = engine.tracks.find_mut(id).ok_or(Refusal::UnknownTrack)?;
    let carries = relay.end == RelayEnd::Near && relay.track == id;
    let outlet = track.outlets.iter_mut().find(|outlet| outlet.peer == peer && carries).ok_or(Refusal::OnlyRelays)?;
    let edge = engine.gate.allow(Flow::Track(id), peer).ok_or(Refusal::Full(Cap::Edges))?;
    if outlet.edge.is_none() {
        outlet.begin(edge, &track.encodings);
        begin(engine, peer);
    }
    Ok(Reply::Done)
}

/// Takes the track from the near end.
pub(super) fn revoke(engine: &mut Engine, id: TrackId, peer: PeerId) {
    if !engine.gate.revoke(Flow::Track(id), peer) {
        return;
    }
    if let Some(track) = engine.tracks.find_mut(id) {
        track.outlets.iter_mut().filter(|outlet| outlet.peer == peer).for_each(Outlet::end);
        track.cancel_unneeded_keyframes();
    }
    stop(engine, peer);
}

/// A track is kept from everyone, or is not any more: what came in between goes to no relay.
pub(super) fn track_muted(engine: &mut Engine, id: TrackId, muted: bool) {
    for place in 0..MAX_OUTLETS {
        let Some(track) = engine.tracks.find_mut(id) else { return };
        let Some(outlet) = track.outlets.get_mut(place) else { return };
        let (peer, Some(edge)) = (outlet.peer, outlet.edge) else { continue };
        outlet.begin(edge, &track.encodings);
        if muted {
            stop(engine, peer);
        } else {
            begin(engine, peer);
        }
    }
}

/// A track ends, or is no longer what the far end was told: its relays end, and if it came through one, that does.
pub(super) fn track_ended(engine: &mut Engine, id: TrackId) {
    let Some(track) = engine.tracks.find(id) else { return };
    let publisher = track.publisher;
    let near: Vec<PeerId> = track.outlets.iter().map(|outlet| outlet.peer).collect();
    for peer in near.into_iter().chain([publisher]) {
        if let Some(relay) = engine.peers.find(peer).and_then(Member::relay)
            && engine.relays.ends.contains_key(&(relay.id, relay.end))
        {
            engine.relays.forget(relay, peer);
            close(engine, peer);
        }
    }
}

/// This end is removed: first it ends, so that nothing is told of it any more.
pub(super) fn leave(engine: &mut Engine, peer: PeerId) {
    let Some(member) = engine.peers.find_mut(peer) else { return };
    member.state = PeerState::Closed;
    let Some(relay) = member.relay() else { return };
    engine.relays.forget(relay, peer);
    let track = relay.track;
    detach(engine, track, peer);
}

/// This end has no other any more, or no track: it is but a name until it is removed.
fn close(engine: &mut Engine, peer: PeerId) {
    let Some(member) = engine.peers.find_mut(peer) else { return };
    member.state = PeerState::Closed;
    let Some((track, end)) = member.relay().map(|relay| (relay.track, relay.end)) else { return };
    match end {
        RelayEnd::Near => detach(engine, track, peer),
        RelayEnd::Far => cut(engine, peer),
    }
    engine.emit(Event::PeerClosed { peer });
}

/// Nothing goes to the near end any more.
fn detach(engine: &mut Engine, track: TrackId, peer: PeerId) {
    engine.gate.revoke(Flow::Track(track), peer);
    if let Some(track) = engine.tracks.find_mut(track) {
        track.outlets.retain(|outlet| outlet.peer != peer);
        track.cancel_unneeded_keyframes();
    }
    if let Some(member) = engine.peers.find_mut(peer) {
        silence(member);
    }
}

/// The near end may send from here on.
fn begin(engine: &mut Engine, peer: PeerId) {
    let Some(member) = engine.peers.find_mut(peer) else { return };
    silence(member);
    if let Some(relay) = member.relay_mut() {
        relay.clock_untold = [true; MAX_ENCODINGS];
    }
}

/// The near end may not send any more, and the far one must forget what it has.
fn stop(engine: &mut Engine, peer: PeerId) {
    let Some(member) = engine.peers.find_mut(peer) else { return };
    silence(member);
    let Some(relay) = member.relay() else { return };
    engine.relays.notices.insert(RelayNotice::Cut(relay.id));
}

fn silence(member: &mut Member) {
    member.rtcp.clear();
    if let Some(relay) = member.relay_mut() {
        relay.waiting.clear();
    }
}

/// Forgets what came to the far end. What waits in the queues of its subscribers finds nothing to send.
fn cut(engine: &mut Engine, peer: PeerId) {
    let Some(relay) = engine.peers.find_mut(peer).and_then(Member::relay_mut) else { return };
    relay.begins_anew = true;
    let id = relay.track;
    let Some(track) = engine.tracks.find_mut(id) else { return };
    let (room, kind) = (track.room, track.kind);
    for encoding in &mut track.encodings {
        encoding.forget(kind);
    }
    for subscription in &mut track.subscriptions {
        subscription.begin_anew(None);
        // What went out before cannot be asked for again.
        subscription.rewriter.forget();
    }
    engine.silence(room, id);
}
