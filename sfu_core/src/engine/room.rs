//! A room: the peers among which edges may exist, and what is told about it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::forward::speaker::ActiveSpeakers;
use crate::ids::{ParticipantId, PeerId, RoomId, TrackId};
use crate::rtp::ext::AudioLevel;

use super::Engine;
use super::event::{Event, Speaker};

/// Voices forwarded at once in a large room; a care meeting has fewer people.
const MAX_FORWARDED_SPEAKERS: usize = 8;
/// Speakers are chosen anew this often.
const CHOOSE_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) peers: BTreeSet<PeerId>,
    /// How many of the peers are ends of relays.
    pub(crate) relays: usize,
    /// Inbound edges of each participant that has any: exactly those who can hear or see anything.
    pub(crate) listeners: BTreeMap<ParticipantId, u32>,
    pub(crate) speakers: ActiveSpeakers,
    choose_at: Option<Instant>,
    /// A bug of ours ended it.
    pub(crate) failed: bool,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            peers: BTreeSet::new(),
            relays: 0,
            listeners: BTreeMap::new(),
            speakers: ActiveSpeakers::new(MAX_FORWARDED_SPEAKERS),
            choose_at: None,
            failed: false,
        }
    }
}

impl Engine {
    /// Counts an inbound edge; the roster is told when the participant had none before. There is no hidden listener.
    pub(super) fn listener_gained(&mut self, subscriber: PeerId) {
        let Some((room, participant)) = self.peers.find(subscriber).map(|member| (member.room, member.participant))
        else {
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

    /// A packet of sound came; a changed choice of speakers is an event. Says whether the packet is worth forwarding.
    pub(super) fn on_audio_level(&mut self, room: RoomId, track: TrackId, level: AudioLevel, now: Instant) -> bool {
        let Some(state) = self.rooms.find_mut(room) else { return false };
        state.speakers.on_level(track, level.level, level.voice, now);
        if state.choose_at.is_none_or(|at| at <= now) {
            state.choose_at = Some(now + CHOOSE_INTERVAL);
            let change = state.speakers.tick(now);
            if change.active || change.dominant {
                self.announce_speakers(room);
            }
        }
        self.rooms.find(room).is_some_and(|state| state.speakers.forwards(track))
    }

    /// A track ended or was muted: if it was among the speakers, they are told anew without it.
    pub(super) fn silence(&mut self, room: RoomId, track: TrackId) {
        let Some(state) = self.rooms.find_mut(room) else { return };
        let spoke = state.speakers.is_active(track) || state.speakers.dominant() == Some(track);
        state.speakers.remove(track);
        if spoke {
            self.announce_speakers(room);
        }
    }

    fn announce_speakers(&mut self, room: RoomId) {
        let Some(state) = self.rooms.find(room) else { return };
        let dominant = state.speakers.dominant();
        let others = state.speakers.active().iter().copied().filter(|track| Some(*track) != dominant);
        let speakers = dominant
            .into_iter()
            .chain(others)
            .filter_map(|id| {
                let participant = self.tracks.find(id)?.participant;
                Some(Speaker { participant, level: state.speakers.level(id) })
            })
            .collect();
        self.emit(Event::Speakers { room, speakers });
    }
}
