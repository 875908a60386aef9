//! Sending what is ready: peer after peer, for each its control datagrams, its RTCP, then the packets whose turn has come,
//! audio first. Datagrams for one destination come out side by side, so that they can leave in one call.

use std::time::{Duration, Instant};

use super::batch::{BatchWriter, Route};
use super::lookahead;
use super::member::{Link, Member};
use super::path::{self, Exit, Moment};
use super::pending::NEVER;
use super::probe;
use super::relay;
use super::report;
use super::transmit::Sink;
use super::{Engine, Served};
use crate::ids::PeerId;

/// With nothing to do, the engine looks up again after this.
const IDLE: Duration = Duration::from_millis(500);

pub(super) fn flush(engine: &mut Engine, sink: &mut dyn Sink, now: Instant) {
    let mut flushing = std::mem::take(&mut engine.flushing);
    let at = Moment::new(&engine.epoch, now);
    let mut waited = engine.pending.take(at.at, &mut flushing);
    for group in flushing.chunks(lookahead::PEERS) {
        engine.look_ahead(|engine| lookahead::of_peers(engine, group));
        for &id in group {
            engine.serve(Served::Peer(id));
            let has_waited = waited > 0;
            waited = waited.saturating_sub(1);
            if has_waited && engine.peers.find(id).is_some_and(|member| member.pending) {
                continue; // it was noted too, and comes once more
            }
            while flush_peer(engine, id, sink, at) {
                // Who happens to fill the batch is not to blame when it breaks.
                engine.serving = Served::Nobody;
                transmit(engine, sink);
                engine.serving = Served::Peer(id);
            }
        }
    }
    engine.serving = Served::Nobody;
    if !engine.writer.is_empty() {
        transmit(engine, sink);
    }
    flushing.clear();
    engine.flushing = flushing;
}

/// Fills the batch with what one peer may get now. Returns true when the batch is full before that is done.
fn flush_peer(engine: &mut Engine, id: PeerId, sink: &mut dyn Sink, at: Moment) -> bool {
    let Some(member) = engine.peers.find_mut(id) else { return false };
    member.pending = false;
    if member.waits_until <= at.at {
        member.waits_until = NEVER;
    }
    let transport_work = member.transport_work;
    let mut exit = Exit {
        tracks: &engine.tracks,
        gate: &engine.gate,
        witness: &mut engine.witness,
        stats: &mut engine.stats,
        scratch: &mut engine.scratch,
        clock_untold: false,
    };
    if member.relay().is_some() {
        relay::flush(&mut exit, member, sink, at.instant);
        return false;
    }
    flush_member(&mut exit, member, &mut engine.writer, sink, at);
    if exit.clock_untold {
        report::tell_clocks(member, &engine.tracks, at.instant);
    }
    if transport_work {
        // What just left may have to be repeated.
        member.note_due();
        let due = member.next_deadline();
        engine.timers.arm(id, &mut member.armed, due);
    }
    if engine.writer.is_full() {
        member.pending = true; // found again by that, should the batch break
        return true;
    }
    if member.has_control() || member.outbound.padding.due.is_some() {
        engine.pending.note(member);
    } else if let Some(until) = member.outbound.pacer.next_due() {
        engine.pending.wait(member, until);
    }
    false
}

/// Everything one peer may get now, as far as the batch has room; the rest waits for the next turn.
fn flush_member(exit: &mut Exit<'_>, member: &mut Member, writer: &mut BatchWriter, sink: &mut dyn Sink, at: Moment) {
    if member.transport_work {
        flush_transport(member, writer);
    }
    let route = member.route;
    if !member.rtcp.is_empty() {
        flush_rtcp(member, route, writer, sink);
    }
    while !writer.is_full() {
        let Some(queued) = member.outbound.pacer.poll(at.at) else { break };
        path::leave(exit, member, &queued, route, writer, sink, at);
    }
    exit.stats.drops.too_late += member.outbound.pacer.take_aged();
    if route.is_some() {
        probe::send_padding(member, at, |member, filling| {
            if writer.is_full() {
                return None;
            }
            let (before, too_late) = (writer.len(), exit.stats.drops.too_late);
            path::leave(exit, member, filling, route, writer, sink, at);
            exit.stats.drops.too_late = too_late; // it did not wait, whether or not it is kept
            Some(writer.len() - before)
        });
    } else {
        member.outbound.padding.due = None; // it begins again with whatever leaves next
    }
}

/// STUN, DTLS and what goes through it.
pub(super) fn flush_transport(member: &mut Member, writer: &mut BatchWriter) {
    let Link::Network(peer) = &mut member.link else { return };
    while !writer.is_full() {
        let Some((destination, source)) = peer.poll_transmit(&mut member.control) else {
            member.transport_work = false;
            return;
        };
        let len = member.control.len();
        let Some(space) = writer.space().get_mut(..len) else { continue };
        space.copy_from_slice(&member.control);
        writer.commit(len, Route { peer: member.id, destination, source }, None);
    }
}

/// RTCP was written in the clear when it came due; it is sealed now, or dropped when there is no way to the peer. Bots get
/// it as it is.
fn flush_rtcp(member: &mut Member, route: Option<Route>, writer: &mut BatchWriter, sink: &mut dyn Sink) {
    let Link::Network(peer) = &mut member.link else {
        while let Some(compound) = member.rtcp.pop() {
            sink.deliver(member.id, compound);
        }
        return;
    };
    let (Some(route), Some(srtp)) = (route, peer.srtp.as_mut()) else {
        return member.rtcp.clear();
    };
    while !writer.is_full() {
        let Some(compound) = member.rtcp.pop() else { return };
        let space = writer.space();
        space[..compound.len()].copy_from_slice(compound);
        let len = srtp.outbound.seal_rtcp(space, compound.len());
        writer.commit(len, route, None);
    }
}

/// Hands the batch over; what did not leave is dropped and marked unsent, for it is never sealed again.
pub(super) fn transmit(engine: &mut Engine, sink: &mut dyn Sink) {
    let (writer, peers, stats) = (&mut engine.writer, &mut engine.peers, &mut engine.stats);
    let sent = sink.transmit(writer.batch());
    for record in writer.records().iter().skip(sent) {
        stats.drops.socket_full += u64::from(record.datagrams);
        if let (Some(member), Some(first)) = (peers.find_mut(record.peer), record.first_transport_cc) {
            member.outbound.history.mark_unsent(first..first + u64::from(record.stamped));
        }
    }
    writer.clear();
}

/// When there is something to do, if nothing comes in before.
pub(super) fn next_deadline(engine: &Engine, now: Instant) -> Instant {
    let idle = now + IDLE;
    let mut next = engine.timers.next().map_or(idle, |at| at.min(idle)).max(now);
    if !engine.handshakes.is_empty() {
        return now;
    }
    if engine.pending.is_empty() {
        return next;
    }
    let mut paced = (engine.epoch.nanos_at(now) + IDLE).min(engine.pending.earliest());
    for &id in engine.pending.at_once() {
        let Some(member) = engine.peers.find(id) else { continue };
        if member.has_control() {
            return now;
        }
        paced = member.outbound.pacer.next_due().map_or(paced, |due| paced.min(due));
        next = member.outbound.padding.due.map_or(next, |due| next.min(due));
    }
    next.min(engine.epoch.instant_at(paced)).max(now)
}
