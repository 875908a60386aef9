//! A seam for simulations and benches, absent from release builds: peers that are connected from the start, with keys that
//! are known, so that the same seed gives the same bytes.

use std::net::SocketAddr;
use std::time::Instant;

use super::Engine;
use super::apply;
use super::command::Refusal;
use super::control;
use super::member::{Link, Member};
use crate::ids::{ParticipantId, PeerId, RoomId};
use crate::peer::Peer;
use crate::peer::srtp::SrtpKeys;
use crate::session::{DtlsRole, NegotiatedSession};

impl Engine {
    /// Makes a peer that is connected over `address` with `keys`, as if by a handshake in which we were the server.
    ///
    /// # Errors
    /// As for the commands `CreatePeer` and `Connect`.
    pub fn create_keyed_peer(
        &mut self,
        room: RoomId,
        participant: ParticipantId,
        address: SocketAddr,
        keys: &SrtpKeys,
        session: &NegotiatedSession,
        now: Instant,
    ) -> Result<PeerId, Refusal> {
        apply::admit_peer(self, room)?;
        let initial = self.initial_bitrate;
        let first = apply::first_numbers(self);
        let ssrc_base = session.send.first().map_or(0x100, |send| send.ssrc.0);
        let id = self
            .peers
            .insert_with(|id| {
                let peer = Peer::with_keys(address, keys, DtlsRole::Server, now);
                Member::new(id, room, participant, Link::Network(Box::new(peer)), ssrc_base, initial, now)
            })
            .ok_or(Refusal::Full(super::command::Cap::Peers))?;
        if let Some(member) = self.peers.find_mut(id) {
            member.inbound.apply(session);
            if !member.outbound.apply(session, first, initial) {
                self.peers.remove(id);
                return Err(Refusal::BadSession);
            }
        }
        if let Some(state) = self.rooms.find_mut(room) {
            state.peers.insert(id);
        }
        self.hearing.seat(id, room);
        control::drain_transport(self, id, now);
        Ok(id)
    }
}
