//! What keeps a transport alive: STUN and DTLS in, and what the transport tells.

use std::time::Instant;

use arrayvec::ArrayVec;

use crate::demux::StunRoute;
use crate::ids::PeerId;
use crate::peer::PeerEvent;
use crate::session::LocalTransport;

use super::command::{Refusal, Reply};
use super::event::{Event, PeerState};
use super::flow::LOOK_INTERVAL;
use super::member::Member;
use super::outbound::MAX_SUBSCRIPTIONS_PER_PEER;
use super::transmit::Datagram;
use super::{Engine, Served, allocate, data, flush};

/// Handshake datagrams worked on in one turn: 8 take 0.3 ms and at most 0.9 ms, when all of them bring certificate and keys
/// (`engine/handshake-turn` in `bench/`), so that 200 who join at once delay no packet by more.
const HANDSHAKES_PER_TURN: usize = 8;

/// Peers whose handshake waits for its turn: all there are. Whoever finds no place is heard when the remote repeats itself.
pub(super) const MAX_WAITING_HANDSHAKES: usize = 16_384;

pub(super) fn on_stun(engine: &mut Engine, datagram: &Datagram<'_>, now: Instant) {
    let peer = match engine.demux.peer_for_stun(datagram.bytes, datagram.source) {
        StunRoute::Request(peer, _) => peer,
        StunRoute::Response(peer) => asker(engine, peer, datagram),
        StunRoute::Unknown => return engine.stats.drops.unknown_ufrag += 1,
        StunRoute::Malformed => return engine.stats.drops.malformed += 1,
    };
    engine.serve(Served::Peer(peer));
    let Some(transport) = engine.peers.find_mut(peer).and_then(|member| member.peer_mut()) else {
        return engine.stats.drops.unknown_ufrag += 1;
    };
    transport.on_stun(datagram.source, datagram.destination, datagram.bytes, now);
    drain_transport(engine, peer, now);
}

/// Whose check the answer from an address of `owner` answers: another's, when a page was loaded anew and its new
/// transport got the port of the one that is still here.
fn asker(engine: &Engine, owner: PeerId, answer: &Datagram<'_>) -> PeerId {
    let claimant = engine.demux.claimant_of(answer.source);
    let asked = |peer: &PeerId| {
        engine.peers.find(*peer).and_then(Member::peer).is_some_and(|transport| transport.asked(answer.bytes))
    };
    claimant.filter(asked).unwrap_or(owner)
}

pub(super) fn on_dtls(engine: &mut Engine, datagram: &Datagram<'_>, now: Instant) {
    let Some(peer) = engine.demux.peer_at(datagram.source) else {
        return engine.stats.drops.unknown_source += 1;
    };
    engine.serve(Served::Peer(peer));
    let Some(transport) = engine.peers.find_mut(peer).and_then(|member| member.peer_mut()) else {
        return engine.stats.drops.unknown_source += 1;
    };
    transport.on_dtls(datagram.source, datagram.bytes, now);
    let has_place = engine.handshakes.len() < MAX_WAITING_HANDSHAKES;
    if transport.pending_handshake() > 0 && has_place && !engine.handshakes.contains(&peer) {
        engine.handshakes.push_back(peer);
    }
    drain_transport(engine, peer, now);
}

/// Works on a few handshakes, in the order in which they came.
pub(super) fn advance_handshakes(engine: &mut Engine, now: Instant) {
    for _ in 0..HANDSHAKES_PER_TURN {
        let Some(peer) = engine.handshakes.pop_front() else { break };
        engine.serve(Served::Peer(peer));
        let Some(transport) = engine.peers.find_mut(peer).and_then(|member| member.peer_mut()) else { continue };
        transport.advance_handshake(now);
        if transport.pending_handshake() > 0 {
            engine.handshakes.push_back(peer);
        }
        drain_transport(engine, peer, now);
    }
}

pub(super) fn on_timeout(engine: &mut Engine, peer: PeerId, now: Instant) {
    let Some(member) = engine.peers.find_mut(peer) else { return };
    if member.transport_due.is_some_and(|at| at <= now)
        && let Some(transport) = member.peer_mut()
    {
        transport.handle_timeout(now);
        drain_transport(engine, peer, now);
    }
}

/// Takes note of what the transport tells, and puts the peer on the list of those with something to send.
pub(super) fn drain_transport(engine: &mut Engine, peer: PeerId, now: Instant) {
    while let Some(event) = engine.peers.find_mut(peer).and_then(|member| member.peer_mut()?.poll_event()) {
        on_peer_event(engine, peer, event, now);
    }
    data::hand_over(engine, peer);
    if let Some(member) = engine.peers.find_mut(peer) {
        let before = member.is_reachable();
        member.note_transport();
        engine.pending.note(member);
        if member.is_reachable() != before {
            allocate::allocate(engine, peer, now);
        }
    }
    engine.arm(peer);
}

pub(super) fn on_peer_event(engine: &mut Engine, peer: PeerId, event: PeerEvent, now: Instant) {
    if let (Some(state), Some(member)) = (state_after(&event), engine.peers.find_mut(peer)) {
        member.state = state;
    }
    match event {
        PeerEvent::AddressAuthenticated(address) => {
            engine.demux.insert(address, peer);
            if let Some(member) = engine.peers.find_mut(peer) {
                member.joining.heard(now);
            }
        }
        PeerEvent::AddressValidated(address) => {
            engine.demux.confirm(address, peer);
        }
        PeerEvent::AddressLost(address) => engine.demux.remove_of(address, peer),
        PeerEvent::WayFound => {
            let span = engine.peers.find_mut(peer).and_then(|member| member.joining.way_found(now));
            engine.stats.quality.join_ice_s.observe_span(span);
        }
        PeerEvent::KeysAgreed => {
            let span = engine.peers.find(peer).and_then(|member| member.joining.keys_agreed(now));
            engine.stats.quality.join_dtls_s.observe_span(span);
        }
        PeerEvent::StunReplayed => engine.stats.stun_replays += 1,
        PeerEvent::Connected { profile, dtls_version } => {
            if let Some(member) = engine.peers.find_mut(peer) {
                let publishes = !member.inbound.tracks.is_empty();
                engine.stats.quality.join_s.observe_span(member.joining.connected(publishes, now));
                member.outbound.report_at = Some(now);
                member.flow_at = Some(now + LOOK_INTERVAL);
            }
            let srtp_profile = profile.name().to_owned();
            engine.emit(Event::PeerConnected { peer, srtp_profile, dtls_version: dtls_version.to_owned() });
            restart_subscriptions(engine, peer, now);
        }
        PeerEvent::Disconnected => engine.emit(Event::PeerDisconnected { peer }),
        PeerEvent::Reconnected => {
            engine.emit(Event::PeerReconnected { peer });
            restart_subscriptions(engine, peer, now);
        }
        PeerEvent::Failed(reason) => engine.emit(Event::PeerFailed { peer, reason }),
        PeerEvent::Closed => engine.emit(Event::PeerClosed { peer }),
        PeerEvent::PathChanged => {
            if let Some(member) = engine.peers.find_mut(peer) {
                member.outbound.controller.on_route_change(now);
                member.outbound.round_trip = None;
                member.outbound.send.iter_mut().for_each(|send| send.lossy_reports = 0);
            }
            restart_subscriptions(engine, peer, now);
        }
        PeerEvent::Data(event) => data::on_data(engine, peer, event, now),
    }
}

/// How the transport is once this has happened; `None`: as before.
const fn state_after(event: &PeerEvent) -> Option<PeerState> {
    Some(match event {
        PeerEvent::Connected { .. } | PeerEvent::Reconnected => PeerState::Connected,
        PeerEvent::Disconnected => PeerState::Disconnected,
        PeerEvent::Failed(_) => PeerState::Failed,
        PeerEvent::Closed => PeerState::Closed,
        _ => return None,
    })
}

/// What the peer receives has a hole: a keyframe fills it soonest.
fn restart_subscriptions(engine: &mut Engine, peer: PeerId, now: Instant) {
    let tracks: ArrayVec<_, MAX_SUBSCRIPTIONS_PER_PEER> = engine
        .peers
        .find(peer)
        .map_or_else(ArrayVec::new, |member| member.outbound.send.iter().filter_map(|send| send.track).collect());
    for id in tracks {
        let Some(track) = engine.tracks.find_mut(id) else { continue };
        let Some(subscription) = track.subscription_mut(peer) else { continue };
        let wanted = subscription.selector.current().or(subscription.selector.target().encoding);
        subscription.selector.reset();
        if let Some(encoding) = wanted {
            track.want_keyframe(encoding, now);
        }
        let publisher = track.publisher;
        schedule_feedback(engine, publisher, now);
    }
}

/// Tells the remote that its transport closes (TLS `close_notify`), so that it need not find out by silence. What does not
/// fit the batch is left unsaid.
pub(super) fn send_close_notify(engine: &mut Engine, peer: PeerId, now: Instant) {
    let Some(member) = engine.peers.find_mut(peer) else { return };
    let Some(transport) = member.peer_mut() else { return };
    // No message goes before it: whoever asked for the end will not have it that one leaves after.
    transport.data = None;
    transport.close(now);
    member.transport_work = true;
    flush::flush_transport(member, &mut engine.writer);
}

/// Our half of the peer's transport, to be put into a description.
pub(super) fn local_transport(engine: &Engine, id: PeerId) -> Result<Reply, Refusal> {
    let member = engine.peers.find(id).ok_or(Refusal::UnknownPeer)?;
    member.peer().ok_or(Refusal::UnknownPeer)?;
    let (ufrag, pwd) = &member.ice;
    Ok(Reply::Peer {
        peer: id,
        local: LocalTransport {
            ufrag: ufrag.clone(),
            pwd: pwd.clone(),
            fingerprint: engine.transport.identity.fingerprint(),
            candidates: engine.transport.candidates.clone(),
            ssrc_base: member.ssrc_base,
        },
    })
}

pub(super) fn restart_ice(engine: &mut Engine, id: PeerId, now: Instant) -> Result<Reply, Refusal> {
    let password = engine.entropy.ice_password();
    let member = engine.peers.find_mut(id).ok_or(Refusal::UnknownPeer)?;
    member.peer().ok_or(Refusal::UnknownPeer)?;
    member.ice_generation = member.ice_generation.wrapping_add(1);
    let ufrag = engine.demux.ufrag_key().ufrag(id, member.ice_generation);
    member.ice = (ufrag.clone(), password.clone());
    if let Some(transport) = member.peer_mut() {
        transport.restart_ice(ufrag, password, now);
    }
    drain_transport(engine, id, now);
    local_transport(engine, id)
}

/// The publisher has to be asked for something: its reports come due at once.
pub(super) fn schedule_feedback(engine: &mut Engine, publisher: PeerId, now: Instant) {
    if let Some(member) = engine.peers.find_mut(publisher) {
        member.inbound.report_at = Some(now);
    }
    engine.arm(publisher);
}
