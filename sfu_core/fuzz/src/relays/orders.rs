//! What signalling asks of both engines in between, and what a transport may tell them that is not so.

use sfu_core::engine::command::{Command, LayerLimit, Reply};
use sfu_core::engine::transmit::RelayEnd;
use sfu_core::ids::{ParticipantId, RelayId};
use sfu_core::session::{MediaKind, RelayDescription};

use super::setup::tie;
use super::{FAR, NEAR, World};
use crate::bytes::Choices;
use crate::connected::room::SECTIONS;
use crate::engine::setup::{mid, section};

/// The sections of what the hostile one publishes come behind those of the honest.
const FIRST: usize = 2;

/// Most relays beside those that are there: each end takes some 70 KB, and there may be thousands of them.
const MAX_MORE: usize = 16;

impl World {
    /// One order; a refusal is fine and changes nothing.
    pub(super) fn order(&mut self, choices: &mut Choices<'_>) {
        let (kind, choice) = (choices.byte(), choices.byte());
        let which = usize::from(choice & 1);
        let tie = &self.ties[which];
        let (track, near, far, far_track, relay) = (tie.track, tie.near, tie.far, tie.far_track, tie.relay);
        let (subscriber, heard) = (self.pair.subscriber.id, mid(SECTIONS[FIRST + which]));
        let limit = LayerLimit { encoding: choice >> 2 & 3, temporal: choice >> 4 & 7 };
        let (side, command) = match kind & 15 {
            0 => (NEAR, Command::Mute { track, muted: choice & 4 == 0 }),
            1 => (NEAR, Command::Revoke { track, subscriber: near }),
            2 => (NEAR, Command::Allow { track, subscriber: near, echo: false }),
            3 => (FAR, Command::Mute { track: far_track, muted: choice & 4 == 0 }),
            4 => (FAR, Command::Revoke { track: far_track, subscriber }),
            5 => (FAR, Command::Allow { track: far_track, subscriber, echo: false }),
            6 if choice & 2 == 0 => (FAR, Command::Unsubscribe { peer: subscriber, mid: heard }),
            6 => (FAR, Command::Subscribe { peer: subscriber, mid: heard, track: far_track }),
            7 => (FAR, Command::LimitLayer { track: far_track, subscriber, limit }),
            8 if choice & 2 == 0 => (FAR, Command::RequestKeyframe { track: far_track }),
            8 => (NEAR, Command::RequestKeyframe { track }),
            9 => return self.tie_anew(which, choice),
            10 => return self.publish_anew(which),
            11 => return self.negotiate(choice),
            12 => return self.mislead(relay, choice),
            13 => return self.relay_more(which, choice),
            14 if choice & 2 == 0 => (NEAR, Command::PeerStats { peer: near }),
            14 => (FAR, Command::PeerStats { peer: far }),
            _ if choice & 2 == 0 => (usize::from(choice >> 2 & 1), Command::Snapshot),
            // What a relay has no part in.
            _ => (NEAR, Command::Connect { peer: near, session: Box::new(self.hostile.session.clone()) }),
        };
        self.carry_out(side, command);
    }

    /// Has one engine do it, takes note if it did, and lets the other hear of it.
    pub(super) fn carry_out(&mut self, side: usize, command: Command) -> Option<Reply> {
        let asked = command.clone();
        let before = self.ties.each_ref().map(|tie| (tie.relay, tie.may_send(), tie.cuts));
        let reply = self.engines[side].command(command, self.now).ok();
        if reply.is_some() {
            self.note(side, &asked);
        }
        self.heed(side);
        for (tie, (relay, could, cuts)) in self.ties.iter().zip(before) {
            let ended = could && tie.is_open && !tie.may_send();
            assert!(!ended || tie.relay != relay || tie.cuts > cuts, "the far end keeps what it may not have: {tie:?}");
        }
        reply
    }

    fn note(&mut self, side: usize, command: &Command) {
        if side == FAR {
            let section = match command {
                Command::Subscribe { mid, .. } | Command::Unsubscribe { mid, .. } => {
                    SECTIONS.iter().position(|name| *name == mid.as_str())
                }
                _ => None,
            };
            return self.rights.note(command, section.map(|n| self.pair.ssrc_of(n)));
        }
        for tie in &mut self.ties {
            match *command {
                Command::Mute { track, muted } if track == tie.track => tie.muted = muted,
                Command::Allow { track, subscriber, .. } if (track, subscriber) == (tie.track, tie.near) => {
                    tie.granted = true;
                }
                Command::Revoke { track, subscriber } if (track, subscriber) == (tie.track, tie.near) => {
                    tie.granted = false;
                }
                _ => {}
            }
        }
    }

    /// One end is removed, or both, and both are made anew, under the number of before or another.
    fn tie_anew(&mut self, which: usize, choice: u8) {
        let (near, far, before) = (self.ties[which].near, self.ties[which].far, self.ties[which].relay);
        if choice & 2 != 0 {
            self.carry_out(NEAR, Command::RemovePeer { peer: near });
        }
        if choice & 4 != 0 {
            self.carry_out(FAR, Command::RemovePeer { peer: far });
        }
        if choice & 8 != 0 {
            return; // for good, or until it is asked for again
        }
        let relay = if choice & 16 == 0 { self.next() } else { before };
        self.tie(which, relay);
    }

    fn next(&mut self) -> RelayId {
        let relay = RelayId(self.next_relay);
        self.next_relay += 1;
        relay
    }

    /// Ties what the hostile one publishes once more. Where there is a relay already, that ends.
    fn tie(&mut self, which: usize, relay: RelayId) {
        let (near, far) = (self.ties[which].near, self.ties[which].far);
        self.carry_out(NEAR, Command::RemovePeer { peer: near });
        self.carry_out(FAR, Command::RemovePeer { peer: far });
        let (track, muted) = (self.ties[which].track, self.ties[which].muted);
        let made = tie(&mut self.engines, self.rooms, (track, relay));
        self.heed(NEAR);
        self.heed(FAR);
        let Some(made) = made else { return };
        let far_track = made.far_track;
        self.ties[which] = made;
        self.ties[which].muted = muted;
        self.hear(FIRST + which, far_track);
    }

    /// A track ends, and its relay with it; the next one is relayed anew.
    fn publish_anew(&mut self, which: usize) {
        let (peer, track) = (self.hostile.media.id, self.ties[which].track);
        self.carry_out(NEAR, Command::Unpublish { track });
        let (mid, source) = section([MediaKind::Audio, MediaKind::Video][which]);
        let publish = Command::Publish { peer, mid, source, encrypted: false };
        if let Some(Reply::Track { track }) = self.carry_out(NEAR, publish) {
            (self.ties[which].track, self.ties[which].muted) = (track, false);
            let relay = self.next();
            self.tie(which, relay);
        }
    }

    /// The hostile publisher agrees on something else: what the far ends were told is not so any more.
    fn negotiate(&mut self, choice: u8) {
        let mut session = self.hostile.session.clone();
        if choice & 1 != 0 {
            session.receive.iter_mut().for_each(|section| section.payload_types.reverse());
        }
        if choice & 2 != 0 {
            session.receive.pop();
        }
        if choice & 4 != 0 {
            session.receive.iter_mut().for_each(|section| section.encodings.reverse());
        }
        if choice & 8 != 0 {
            session.receive.iter_mut().for_each(|section| section.payload_types.truncate(1));
        }
        let peer = self.hostile.media.id;
        self.carry_out(NEAR, Command::Connect { peer, session: Box::new(session) });
    }

    /// A transport says what is not so.
    fn mislead(&mut self, relay: RelayId, choice: u8) {
        let relay = if choice & 2 == 0 { relay } else { RelayId(u64::from(choice) << 32) };
        let side = usize::from(choice >> 2 & 1);
        if choice & 8 == 0 {
            return self.engines[side].cut_relay(relay);
        }
        let end = if choice & 16 == 0 { RelayEnd::Near } else { RelayEnd::Far };
        self.engines[side].close_relay(relay, end);
        if side == NEAR && end == RelayEnd::Near {
            self.ties.iter_mut().filter(|tie| tie.relay == relay).for_each(|tie| tie.is_open = false);
        }
        self.heed(side);
    }

    /// A far end that was told something else; or what was relayed is to go on from there, which is refused.
    fn relay_more(&mut self, which: usize, choice: u8) {
        self.more += 1;
        if self.more > MAX_MORE {
            return;
        }
        let relay = self.next();
        if choice & 2 != 0 {
            let track = self.ties[which].far_track;
            let answer = self.carry_out(FAR, Command::RelayOut { track, relay });
            return assert_eq!(answer, None, "what came by a relay goes on from there");
        }
        let mut description = self.ties[which].description.clone();
        change(&mut description, choice >> 2);
        let (room, participant) = (self.rooms[FAR], ParticipantId(u64::from(choice)));
        self.carry_out(FAR, Command::RelayIn { room, participant, relay, description: Box::new(description) });
    }
}

/// What another node could say of a track.
fn change(description: &mut RelayDescription, choice: u8) {
    let media = &mut description.media;
    match choice & 15 {
        0 => media.payload_types.reverse(),
        1 => media.payload_types.iter_mut().for_each(|payload| payload.clock_rate_hz = 0),
        2 => media.payload_types.iter_mut().for_each(|payload| payload.clock_rate_hz = u32::MAX),
        3 => media.payload_types.iter_mut().for_each(|payload| payload.number = 0),
        4 => media.encodings.clear(),
        5 => media.encodings.iter_mut().for_each(|encoding| (encoding.ssrc, encoding.rid) = (None, None)),
        6 => description.encrypted = true,
        7 => media.payload_types.iter_mut().for_each(|payload| payload.rtx = Some(payload.number)),
        _ => media.payload_types.truncate(1),
    }
}
