//! What the witnesses hear: the commands as they were asked and the ids in their answers, nothing of what the engine made of
//! them. So a packet is counted that passes because a handler granted something else than it was told to, or did not end
//! what it was told to end.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Command, Refusal, Reply};
use crate::gate::data_witness::DataWitness;
use crate::gate::witness::Witness;
use crate::ids::{PeerId, RoomId, TrackId};

/// The part of a command that concerns rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    Joins(RoomId),
    Relays(TrackId),
    Publishes(PeerId),
    Unpublishes(TrackId),
    Leaves(PeerId),
    Closes(RoomId),
    Grants(TrackId, PeerId),
    Withdraws(TrackId, PeerId),
    GrantsData(PeerId, PeerId),
    WithdrawsData(PeerId, PeerId),
}

impl Heard {
    pub(super) const fn of(command: &Command) -> Self {
        match *command {
            Command::CreatePeer { room, .. } | Command::CreateBot { room, .. } | Command::RelayIn { room, .. } => {
                Self::Joins(room)
            }
            Command::RelayOut { track, .. } => Self::Relays(track),
            Command::Publish { peer, .. } => Self::Publishes(peer),
            Command::Unpublish { track } => Self::Unpublishes(track),
            Command::RemovePeer { peer } => Self::Leaves(peer),
            Command::RemoveRoom { room } => Self::Closes(room),
            Command::Allow { track, subscriber, .. } => Self::Grants(track, subscriber),
            Command::Revoke { track, subscriber } => Self::Withdraws(track, subscriber),
            Command::AllowData { publisher, subscriber } => Self::GrantsData(publisher, subscriber),
            Command::RevokeData { publisher, subscriber } => Self::WithdrawsData(publisher, subscriber),
            _ => Self::Nothing,
        }
    }
}

/// Where a peer is, and what it publishes.
#[derive(Debug)]
struct Seat {
    room: RoomId,
    tracks: Vec<TrackId>,
}

/// Both witnesses' ear. What was refused changed nothing; what takes away from somebody who is there counts even then. A right
/// leads from one peer of a room to another, so that what ends with a peer is found in its room.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    seats: BTreeMap<PeerId, Seat>,
    rooms: BTreeMap<RoomId, BTreeSet<PeerId>>,
    publishers: BTreeMap<TrackId, PeerId>,
}

impl Hearing {
    /// A command was carried out or refused.
    pub(super) fn hear(
        &mut self,
        heard: Heard,
        answer: &Result<Reply, Refusal>,
        (tracks, data): (&mut Witness, &mut DataWitness),
    ) {
        match (heard, answer) {
            (Heard::Joins(room), Ok(Reply::Peer { peer, .. } | Reply::Bot { peer })) => self.seat(*peer, room),
            (Heard::Joins(room), Ok(Reply::Relayed { peer, track })) => {
                self.seat(*peer, room);
                self.publishes(*peer, *track);
            }
            (Heard::Relays(track), Ok(Reply::Relay { peer, .. })) => {
                let publisher = self.publishers.get(&track).and_then(|publisher| self.seats.get(publisher));
                if let Some(room) = publisher.map(|seat| seat.room) {
                    self.seat(*peer, room);
                }
            }
            (Heard::Publishes(peer), Ok(Reply::Track { track })) => self.publishes(peer, *track),
            (Heard::Unpublishes(track), _) => {
                tracks.ended(track);
                let publisher = self.publishers.remove(&track);
                if let Some(seat) = publisher.and_then(|publisher| self.seats.get_mut(&publisher)) {
                    seat.tracks.retain(|known| *known != track);
                }
            }
            (Heard::Leaves(peer), _) => self.leave(peer, tracks, data),
            (Heard::Closes(room), _) => self.close(room, tracks, data),
            (Heard::Grants(track, subscriber), Ok(_)) => {
                let publisher = self.publishers.get(&track);
                if publisher.is_some_and(|publisher| self.are_together(*publisher, subscriber)) {
                    tracks.granted(track, subscriber);
                }
            }
            // Who has no seat is gone, and its slot may be another's.
            (Heard::Withdraws(track, subscriber), _) if self.seats.contains_key(&subscriber) => {
                tracks.withdrawn(track, subscriber);
            }
            (Heard::GrantsData(publisher, subscriber), Ok(_)) if self.are_together(publisher, subscriber) => {
                data.granted(publisher, subscriber);
            }
            (Heard::WithdrawsData(publisher, subscriber), _) if self.seats.contains_key(&subscriber) => {
                data.withdrawn(publisher, subscriber);
            }
            _ => {}
        }
    }

    /// A peer came into `room`.
    pub(super) fn seat(&mut self, peer: PeerId, room: RoomId) {
        self.seats.insert(peer, Seat { room, tracks: Vec::new() });
        self.rooms.entry(room).or_default().insert(peer);
    }

    /// A room is no more, with everyone in it.
    pub(super) fn close(&mut self, room: RoomId, tracks: &mut Witness, data: &mut DataWitness) {
        for peer in self.rooms.remove(&room).unwrap_or_default() {
            self.stand_up(peer, tracks, data);
        }
    }

    fn publishes(&mut self, peer: PeerId, track: TrackId) {
        if let Some(seat) = self.seats.get_mut(&peer) {
            seat.tracks.push(track);
            self.publishers.insert(track, peer);
        }
    }

    fn are_together(&self, one: PeerId, other: PeerId) -> bool {
        let room = |peer| self.seats.get(&peer).map(|seat| seat.room);
        room(one).is_some() && room(one) == room(other)
    }

    fn leave(&mut self, peer: PeerId, tracks: &mut Witness, data: &mut DataWitness) {
        let Some(room) = self.stand_up(peer, tracks, data) else { return };
        let Some(others) = self.rooms.get_mut(&room) else { return };
        others.remove(&peer);
        for &other in &*others {
            data.withdrawn(other, peer);
            for &track in self.seats.get(&other).iter().flat_map(|seat| &seat.tracks) {
                tracks.withdrawn(track, peer);
            }
        }
        if others.is_empty() {
            self.rooms.remove(&room);
        }
    }

    /// What a peer publishes and says ends. Says in which room it was.
    fn stand_up(&mut self, peer: PeerId, tracks: &mut Witness, data: &mut DataWitness) -> Option<RoomId> {
        let seat = self.seats.remove(&peer)?;
        for track in seat.tracks {
            self.publishers.remove(&track);
            tracks.ended(track);
        }
        data.ended(peer);
        Some(seat.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomId = RoomId::new(1, 0);

    fn track(of: PeerId, number: u32) -> TrackId {
        TrackId::new(of.slot() * 10 + number, of.generation())
    }

    #[test]
    fn nothing_is_remembered_of_what_has_ended() {
        let (mut hearing, mut tracks, mut data) = (Hearing::default(), Witness::default(), DataWitness::default());
        let people = [1, 2, 3].map(|slot| PeerId::new(slot, 0));
        let mut hear = |hearing: &mut Hearing, heard, answer| hearing.hear(heard, &answer, (&mut tracks, &mut data));
        for who in people {
            hear(&mut hearing, Heard::Joins(ROOM), Ok(Reply::Bot { peer: who }));
            for number in [0, 1] {
                hear(&mut hearing, Heard::Publishes(who), Ok(Reply::Track { track: track(who, number) }));
            }
        }
        hear(&mut hearing, Heard::Unpublishes(track(people[0], 0)), Ok(Reply::Done));
        assert_eq!(hearing.seats[&people[0]].tracks, [track(people[0], 1)]);
        assert_eq!(hearing.publishers.len(), 5);
        hear(&mut hearing, Heard::Leaves(people[0]), Ok(Reply::Done));
        assert_eq!((hearing.publishers.len(), hearing.rooms[&ROOM].len()), (4, 2));
        hear(&mut hearing, Heard::Closes(ROOM), Ok(Reply::Done));
        assert!(hearing.seats.is_empty() && hearing.rooms.is_empty() && hearing.publishers.is_empty());
    }

    #[test]
    fn a_right_that_leads_out_of_its_room_is_none() {
        let (mut hearing, mut tracks, mut data) = (Hearing::default(), Witness::default(), DataWitness::default());
        let (alice, eve) = (PeerId::new(1, 0), PeerId::new(2, 0));
        hearing.seat(alice, ROOM);
        hearing.seat(eve, RoomId::new(2, 0));
        hearing.publishes(alice, track(alice, 0));
        for heard in [Heard::Grants(track(alice, 0), eve), Heard::GrantsData(alice, eve)] {
            hearing.hear(heard, &Ok(Reply::Done), (&mut tracks, &mut data));
        }
        tracks.observe(track(alice, 0), eve);
        data.observe(alice, eve);
        assert_eq!((tracks.violations(), data.violations()), (1, 1));
    }
}
