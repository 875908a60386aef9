//! Carrying out commands. Each either does the whole of what it says or refuses and changes nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::gate::Flow;
use crate::ids::{Mid, ParticipantId, PeerId, RoomId, TrackId};
use crate::peer::Peer;
use crate::session::{NegotiatedSession, SSRC_GENERATION};

use super::command::{Cap, Command, Refusal, Reply, Subject, TrackSource};
use super::event::Event;
use super::member::{Link, Member};
use super::outbound::FirstNumbers;
use super::room::Room;
use super::{Engine, MAX_BOTS, MAX_PEERS_PER_ROOM, Served, control, data, relay, snapshot, subscribe};
use crate::forward::router::Track;

/// The room that a command concerns, if it is about one: it ends should we break while we carry the command out.
pub(super) fn room_of(engine: &Engine, command: &Command) -> Option<RoomId> {
    match command.subject() {
        Subject::Room(room) => Some(room),
        Subject::Peer(peer) => engine.peers.find(peer).map(|member| member.room),
        Subject::Track(track) => engine.tracks.find(track).map(|track| track.room),
        Subject::Engine => None,
    }
}

/// The one list of what can be asked.
pub(super) fn apply(engine: &mut Engine, command: Command, now: Instant) -> Result<Reply, Refusal> {
    match command {
        Command::CreateRoom => create_room(engine),
        Command::RemoveRoom { room } => remove_room(engine, room, now),
        Command::CreatePeer { room, participant } => create_peer(engine, room, participant, now),
        Command::CreateBot { room, participant, session } => create_bot(engine, room, participant, &session, now),
        Command::Connect { peer, session } => connect(engine, peer, &session, now),
        Command::RestartIce { peer } => control::restart_ice(engine, peer, now),
        Command::RemovePeer { peer } => {
            control::send_close_notify(engine, peer, now);
            remove_peer(engine, peer)
        }
        Command::Publish { peer, mid, source, encrypted } => publish(engine, peer, mid, source, encrypted),
        Command::Unpublish { track } => unpublish(engine, track),
        Command::Subscribe { peer, mid, track } => subscribe::subscribe(engine, peer, mid, track, now),
        Command::Unsubscribe { peer, mid } => subscribe::unsubscribe(engine, peer, mid),
        Command::Allow { track, subscriber, echo } => subscribe::allow(engine, track, subscriber, echo, now),
        Command::Revoke { track, subscriber } => subscribe::revoke(engine, track, subscriber),
        Command::AllowData { publisher, subscriber } => data::allow(engine, publisher, subscriber),
        Command::RevokeData { publisher, subscriber } => data::revoke(engine, publisher, subscriber),
        Command::HoldData { peer } => data::hold(engine, peer),
        Command::OpenData { peer, label, ordered, reliability } => {
            data::open(engine, peer, &label, ordered, reliability, now)
        }
        Command::SendData { peer, publisher, label, payload, binary } => {
            data::send(engine, peer, publisher, &data::Message { label: &label, payload: &payload, binary }, now)
        }
        Command::Mute { track, muted } => mute(engine, track, muted, now),
        Command::LimitLayer { track, subscriber, limit } => subscribe::limit(engine, track, subscriber, limit, now),
        Command::RequestKeyframe { track } => request_keyframe(engine, track, now),
        Command::RelayOut { track, relay } => relay::make_near(engine, track, relay, now),
        Command::RelayIn { room, participant, relay, description } => {
            relay::make_far(engine, (room, participant), relay, *description, now)
        }
        Command::PeerStats { peer } => {
            let member = engine.peers.find(peer).ok_or(Refusal::UnknownPeer)?;
            Ok(Reply::PeerStats { stats: Box::new(snapshot::peer_stats(engine, member, now)) })
        }
        Command::Stats => Ok(Reply::Stats { stats: Box::new(snapshot::engine_stats(engine)) }),
        Command::Snapshot => Ok(Reply::Snapshot { snapshot: Box::new(snapshot::take(engine)) }),
    }
}

fn create_room(engine: &mut Engine) -> Result<Reply, Refusal> {
    let room = engine.rooms.insert_with(|_| Room::new()).ok_or(Refusal::Full(Cap::Rooms))?;
    Ok(Reply::Room { room })
}

fn remove_room(engine: &mut Engine, room: RoomId, now: Instant) -> Result<Reply, Refusal> {
    let peers: Vec<PeerId> = engine.rooms.find(room).ok_or(Refusal::UnknownRoom)?.peers.iter().copied().collect();
    for peer in peers {
        control::send_close_notify(engine, peer, now);
        remove_peer(engine, peer)?;
    }
    engine.rooms.remove(room);
    Ok(Reply::Done)
}

/// Checks that one more peer may enter `room`.
pub(super) fn admit_peer(engine: &Engine, room: RoomId) -> Result<(), Refusal> {
    let state = open_room(engine, room)?;
    if state.peers.len() - state.relays >= MAX_PEERS_PER_ROOM {
        return Err(Refusal::Full(Cap::PeersPerRoom));
    }
    Ok(())
}

/// The room, unless it has failed.
pub(super) fn open_room(engine: &Engine, room: RoomId) -> Result<&Room, Refusal> {
    let state = engine.rooms.find(room).ok_or(Refusal::UnknownRoom)?;
    if state.failed { Err(Refusal::RoomFailed) } else { Ok(state) }
}

fn create_peer(engine: &mut Engine, room: RoomId, participant: ParticipantId, now: Instant) -> Result<Reply, Refusal> {
    admit_peer(engine, room)?;
    let password = engine.entropy.ice_password();
    let seed = engine.entropy.u64();
    // Room for the sections of one peer below the number, so that bases never run over.
    let ssrc_base = (engine.entropy.u32() & !0xff) | 0x100;
    let (transport, demux, initial) = (&engine.transport, &engine.demux, engine.initial_bitrate);
    let id = engine
        .peers
        .insert_with(|id| {
            let ufrag = demux.ufrag_key().ufrag(id, 0);
            let peer = Peer::new(transport, ufrag.clone(), password.clone(), seed, now);
            let link = Link::Network(Box::new(peer));
            Member { ice: (ufrag, password), ..Member::new(id, room, participant, link, ssrc_base, initial, now) }
        })
        .ok_or(Refusal::Full(Cap::Peers))?;
    if let Some(room) = engine.rooms.find_mut(room) {
        room.peers.insert(id);
    }
    engine.arm(id);
    control::local_transport(engine, id)
}

fn create_bot(
    engine: &mut Engine,
    room: RoomId,
    participant: ParticipantId,
    session: &NegotiatedSession,
    now: Instant,
) -> Result<Reply, Refusal> {
    admit_peer(engine, room)?;
    if engine.bots >= MAX_BOTS {
        return Err(Refusal::Full(Cap::Bots));
    }
    if !session.is_within_caps() {
        return Err(Refusal::BadSession);
    }
    let ssrc_base = session.send.first().map_or(0x100, |send| send.ssrc.0);
    let first = first_numbers(engine);
    let initial = engine.initial_bitrate;
    let id = engine
        .peers
        .insert_with(|id| Member::new(id, room, participant, Link::Bot, ssrc_base, initial, now))
        .ok_or(Refusal::Full(Cap::Peers))?;
    engine.bots += 1;
    let applied = engine.peers.find_mut(id).is_some_and(|member| {
        member.inbound.apply(session);
        member.outbound.report_at = Some(now);
        member.outbound.apply(session, first, initial)
    });
    if !applied {
        drop_member(engine, id);
        return Err(Refusal::BadSession);
    }
    if let Some(room) = engine.rooms.find_mut(room) {
        room.peers.insert(id);
    }
    engine.arm(id);
    Ok(Reply::Bot { peer: id })
}

/// Numbers start below 2¹⁵ and with a roll-over count of 0, as a receiver takes it to be (RFC 3711 §3.3.1): so it is right
/// even when the first packets are lost.
pub(super) fn first_numbers(engine: &mut Engine) -> FirstNumbers {
    let number = engine.entropy.u32();
    let (index, rtx_index) = (u64::from(number & 0x7fff), u64::from(number >> 16 & 0x7fff));
    FirstNumbers { index, rtx_index, timestamp: engine.entropy.u32() }
}

fn connect(engine: &mut Engine, peer: PeerId, session: &NegotiatedSession, now: Instant) -> Result<Reply, Refusal> {
    let first = first_numbers(engine);
    let initial = engine.initial_bitrate;
    let member = engine.peers.find_mut(peer).ok_or(Refusal::UnknownPeer)?;
    let base = member.ssrc_base;
    if member.relay().is_some() {
        return Err(Refusal::OnlyRelays);
    }
    if !session.is_within_caps() {
        return Err(Refusal::BadSession);
    }
    let in_our_numbers = session.send.iter().enumerate().all(|(n, media)| {
        let since_first = media.ssrc.0.wrapping_sub(base.wrapping_add(2 * n as u32));
        let is_next = media.rtx_ssrc.is_none_or(|rtx| rtx.0 == media.ssrc.0.wrapping_add(1));
        since_first.is_multiple_of(SSRC_GENERATION) && is_next
    });
    if !in_our_numbers || !member.outbound.apply(session, first, initial) {
        return Err(Refusal::BadSession);
    }
    member.inbound.apply(session);
    member.joining.described(now);
    if let Some(transport) = member.peer_mut() {
        transport.connect(&session.remote, session.data, now);
    }
    subscribe::renegotiated(engine, peer, now);
    control::drain_transport(engine, peer, now);
    Ok(Reply::Done)
}

/// Closes a peer: what it publishes ends, what it receives is revoked, its addresses and queue are forgotten.
pub(super) fn remove_peer(engine: &mut Engine, peer: PeerId) -> Result<Reply, Refusal> {
    let member = engine.peers.find(peer).ok_or(Refusal::UnknownPeer)?;
    let (room, participant, is_relay) = (member.room, member.participant, member.relay().is_some());
    let tracks: Vec<TrackId> = member.inbound.tracks.iter().map(|(_, track)| *track).collect();
    let received: Vec<TrackId> = member.outbound.send.iter().filter_map(|section| section.track).collect();
    if is_relay {
        relay::leave(engine, peer);
    }
    for track in tracks {
        unpublish(engine, track)?;
    }
    for subscriber in engine.gate.subscribers(Flow::Data(peer)) {
        data::revoke(engine, peer, subscriber)?;
    }
    let inbound = engine.gate.revoke_subscriber(peer);
    for _ in 0..if is_relay { 0 } else { inbound } {
        engine.listener_lost(room, participant);
    }
    for id in received {
        let Some(track) = engine.tracks.find_mut(id) else { continue };
        track.subscriptions.retain(|subscription| subscription.subscriber != peer);
        track.cancel_unneeded_keyframes();
    }
    engine.demux.remove_peer(peer);
    drop_member(engine, peer);
    if let Some(room) = engine.rooms.find_mut(room)
        && room.peers.remove(&peer)
    {
        room.relays -= usize::from(is_relay);
    }
    Ok(Reply::Done)
}

/// Takes a peer out of the table.
pub(super) fn drop_member(engine: &mut Engine, peer: PeerId) {
    let Some(member) = engine.peers.remove(peer) else { return };
    engine.pending.forget(&member);
    match &member.link {
        Link::Bot => engine.bots = engine.bots.saturating_sub(1),
        Link::Relay(relay) => engine.relays.forget(relay, peer),
        Link::Network(_) => {}
    }
}

pub(super) fn publish(
    engine: &mut Engine,
    peer: PeerId,
    mid: Mid,
    source: TrackSource,
    encrypted: bool,
) -> Result<Reply, Refusal> {
    let member = engine.peers.find_mut(peer).ok_or(Refusal::UnknownPeer)?;
    let media = member.inbound.media(mid).ok_or(Refusal::UnknownMid)?.clone();
    if member.inbound.track_of(mid).is_some() {
        return Err(Refusal::MidInUse);
    }
    if member.inbound.tracks.is_full() {
        return Err(Refusal::Full(Cap::TracksPerPeer));
    }
    let (room, participant) = (member.room, member.participant);
    let id = engine
        .tracks
        .insert_with(|id| {
            let mut track = Track::new(id, room, peer, participant, &media);
            track.source = source;
            track.encrypted = encrypted;
            track
        })
        .ok_or(Refusal::Full(Cap::Tracks))?;
    member.inbound.publish(mid, id);
    Ok(Reply::Track { track: id })
}

/// Ends a track: first the right to it, then everything else.
fn unpublish(engine: &mut Engine, track: TrackId) -> Result<Reply, Refusal> {
    let publisher = engine.tracks.find(track).ok_or(Refusal::UnknownTrack)?.publisher;
    for subscriber in engine.gate.subscribers(Flow::Track(track)) {
        subscribe::revoke(engine, track, subscriber)?;
    }
    let subscriptions: Vec<(PeerId, u8)> = engine.tracks.find(track).map_or_else(Vec::new, |track| {
        track.subscriptions.iter().map(|subscription| (subscription.subscriber, subscription.send_index)).collect()
    });
    for (subscriber, send_index) in subscriptions {
        subscribe::detach(engine, track, subscriber, send_index);
    }
    if let Some(room) = engine.tracks.find(track).map(|track| track.room) {
        engine.silence(room, track);
    }
    relay::track_ended(engine, track);
    if let Some(member) = engine.peers.find_mut(publisher) {
        member.inbound.unpublish(track);
    }
    engine.tracks.remove(track);
    Ok(Reply::Done)
}

fn mute(engine: &mut Engine, track: TrackId, muted: bool, now: Instant) -> Result<Reply, Refusal> {
    let room = engine.tracks.find(track).ok_or(Refusal::UnknownTrack)?.room;
    engine.silence(room, track);
    let track = engine.tracks.find_mut(track).ok_or(Refusal::UnknownTrack)?;
    track.muted = muted;
    let before = track.highest_sequence();
    for subscription in &mut track.subscriptions {
        subscription.begin_anew(before);
    }
    if !muted {
        subscribe::want_keyframes(track, now);
    }
    let id = track.id;
    relay::track_muted(engine, id, muted);
    Ok(Reply::Done)
}

fn request_keyframe(engine: &mut Engine, track: TrackId, now: Instant) -> Result<Reply, Refusal> {
    let track = engine.tracks.find_mut(track).ok_or(Refusal::UnknownTrack)?;
    for encoding in 0..track.encodings.len() as u8 {
        track.want_keyframe(encoding, now);
    }
    let publisher = track.publisher;
    control::schedule_feedback(engine, publisher, now);
    Ok(Reply::Done)
}

/// A bug of ours while serving somebody ends that room and nothing else, even when it breaks again while it is cleared.
pub(super) fn fail_room(engine: &mut Engine, serving: Served) {
    engine.stats.panics += 1;
    let room = match serving {
        Served::Nobody => None,
        Served::Peer(peer) => engine.peers.find(peer).map(|member| member.room),
        Served::Room(room) => Some(room),
    };
    if let Some(room) = room.filter(|room| engine.rooms.find(*room).is_some()) {
        clear_failed(engine, room);
        engine.emit(Event::RoomFailed { room });
    }
    engine.pending.restore(engine.peers.iter().map(|(_, member)| member));
}

/// Takes everyone and everything out of a room that failed: in order as far as that works, the rest by force.
fn clear_failed(engine: &mut Engine, room: RoomId) {
    // Those that a command was about to let in are there although the room does not list them yet.
    for peer in peers_of(engine, room) {
        // What this leaves is taken below.
        let _ = attempt(engine, |engine| remove_peer(engine, peer));
    }
    let tracks: Vec<TrackId> =
        engine.tracks.iter().filter(|(_, track)| track.room == room).map(|(track, _)| track).collect();
    for track in tracks {
        attempt(engine, |engine| engine.gate.revoke_flow(Flow::Track(track)));
        attempt(engine, |engine| engine.tracks.remove(track));
    }
    for peer in peers_of(engine, room) {
        attempt(engine, |engine| engine.gate.revoke_flow(Flow::Data(peer)));
        attempt(engine, |engine| engine.gate.revoke_subscriber(peer));
        attempt(engine, |engine| engine.demux.remove_peer(peer));
        attempt(engine, |engine| drop_member(engine, peer));
    }
    engine.hearing.close(room, &mut engine.witness, &mut engine.data_witness);
    if let Some(room) = engine.rooms.find_mut(room) {
        *room = Room::new();
        room.failed = true;
    }
}

fn peers_of(engine: &Engine, room: RoomId) -> Vec<PeerId> {
    engine.peers.iter().filter(|(_, member)| member.room == room).map(|(peer, _)| peer).collect()
}

/// One step of clearing, so that a table that is broken keeps nobody in another.
fn attempt<R>(engine: &mut Engine, step: impl FnOnce(&mut Engine) -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(|| step(engine))).ok()
}
