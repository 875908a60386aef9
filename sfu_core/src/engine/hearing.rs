//! What the witnesses hear: the commands as they were asked and the ids in their answers, nothing of what the engine made of
//! them. So a packet is counted that passes because a handler granted something else than it was told to, or did not end
//! what it was told to end.

use std::collections::BTreeMap;

use super::command::{Command, Refusal, Reply};
use crate::gate::data_witness::DataWitness;
use crate::gate::witness::Witness;
use crate::ids::{PeerId, RoomId, TrackId};

/// The part of a command that concerns rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    Joins(RoomId),
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
            Command::CreatePeer { room, .. } | Command::CreateBot { room, .. } => Self::Joins(room),
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

/// Both witnesses' ear. What was refused changed nothing; what takes away counts even then.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    seats: BTreeMap<PeerId, Seat>,
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
            (Heard::Publishes(peer), Ok(Reply::Track { track })) => {
                if let Some(seat) = self.seats.get_mut(&peer) {
                    seat.tracks.push(*track);
                }
            }
            (Heard::Unpublishes(track), _) => {
                tracks.ended(track);
                self.seats.values_mut().for_each(|seat| seat.tracks.retain(|known| *known != track));
            }
            (Heard::Leaves(peer), _) => self.leave(peer, tracks, data),
            (Heard::Closes(room), _) => self.close(room, tracks, data),
            (Heard::Grants(track, subscriber), Ok(_)) => tracks.granted(track, subscriber),
            (Heard::Withdraws(track, subscriber), _) => tracks.withdrawn(track, subscriber),
            (Heard::GrantsData(publisher, subscriber), Ok(_)) => data.granted(publisher, subscriber),
            (Heard::WithdrawsData(publisher, subscriber), _) => data.withdrawn(publisher, subscriber),
            _ => {}
        }
    }

    /// A peer came into `room`.
    pub(super) fn seat(&mut self, peer: PeerId, room: RoomId) {
        self.seats.insert(peer, Seat { room, tracks: Vec::new() });
    }

    /// A room is no more, with everyone in it.
    pub(super) fn close(&mut self, room: RoomId, tracks: &mut Witness, data: &mut DataWitness) {
        let there: Vec<PeerId> =
            self.seats.iter().filter(|(_, seat)| seat.room == room).map(|(peer, _)| *peer).collect();
        for peer in there {
            self.leave(peer, tracks, data);
        }
    }

    fn leave(&mut self, peer: PeerId, tracks: &mut Witness, data: &mut DataWitness) {
        // Who is not known is gone, and its slot may be another's.
        let Some(seat) = self.seats.remove(&peer) else { return };
        for track in seat.tracks {
            tracks.ended(track);
        }
        tracks.left(peer);
        data.left(peer);
    }
}
