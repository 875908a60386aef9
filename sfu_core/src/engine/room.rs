//! A room: the peers among which edges may exist, and what is told about it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::forward::speaker::Speakers;
use crate::ids::{ParticipantId, PeerId, RoomId};
use crate::rtp::ext::AudioLevel;

use super::Engine;
use super::event::{Event, Speaker};

#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(crate) peers: BTreeSet<PeerId>,
    /// Inbound edges of each participant that has any: exactly those who can hear or see anything.
    pub(crate) listeners: BTreeMap<ParticipantId, u32>,
    pub(crate) speakers: Speakers,
    /// A bug of ours ended it.
    pub(crate) failed: bool,
}

impl Engine {
    /// Counts an inbound edge; the roster is told when the participant had none before. There is no hidden listener.
    pub(super) fn listener_gained(&mut self, subscriber: PeerId) {
        let Some((room, participant)) = self.peers.find(subscriber).map(|member| (member.room, member.participant)) else {
            return;
        };
        let Some(state) = self.rooms.find_mut(room) else { return };
        let edges = state.listeners.entry(participant).or_default();
        *edges += 1;
        if *edges == 1 {
            self.announce_roster(room);
        }
    }

    /// Counts an inbound edge less; the roster is told when it was the last.
    pub(super) fn listener_lost(&mut self, room: RoomId, participant: ParticipantId) {
        let Some(state) = self.rooms.find_mut(room) else { return };
        let Some(edges) = state.listeners.get_mut(&participant) else { return };
        *edges -= 1;
        if *edges == 0 {
            state.listeners.remove(&participant);
            self.announce_roster(room);
        }
    }

    fn announce_roster(&mut self, room: RoomId) {
        if let Some(state) = self.rooms.find(room) {
            let listeners = state.listeners.keys().copied().collect();
            self.emit(Event::Roster { room, listeners });
        }
    }

    /// How loud a participant is; a changed list of speakers is an event.
    pub(super) fn on_audio_level(&mut self, room: RoomId, participant: ParticipantId, level: AudioLevel, now: Instant) {
        let Some(state) = self.rooms.find_mut(room) else { return };
        state.speakers.on_level(participant, level.level, now);
        if let Some(active) = state.speakers.poll(now) {
            let speakers =
                active.iter().map(|speaker| Speaker { participant: speaker.participant, level: speaker.level }).collect();
            self.emit(Event::Speakers { room, speakers });
        }
    }
}
