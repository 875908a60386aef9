//! The engine: everything between a received datagram and the datagrams it causes, without a socket, clock or thread.

pub mod command;
pub mod event;
pub mod transmit;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use self::command::{Command, Refusal, Reply};
use self::event::Event;
use self::transmit::{Datagram, Sink};
use crate::ids::{PeerId, RoomId};
use crate::units::Epoch;

/// What an engine needs from outside.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The addresses that remotes are told.
    pub candidates: Vec<SocketAddr>,
    /// The clock.
    pub epoch: Epoch,
    /// The randomness.
    pub seed: [u8; 32],
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    rooms: u32,
}

impl Engine {
    /// An engine without rooms.
    pub fn new(_config: EngineConfig, _now: Instant) -> Self {
        Self { rooms: 0 }
    }
    /// Takes datagrams.
    pub fn ingest(&mut self, _batch: &mut [Datagram<'_>], _now: Instant) {}
    /// Takes a packet of a bot.
    pub fn ingest_bot(&mut self, _bot: PeerId, _packet: &[u8], _now: Instant) {}
    /// Does what is due.
    pub fn tick(&mut self, now: Instant) -> Instant {
        now + Duration::from_millis(100)
    }
    /// Sends what is due.
    pub fn flush(&mut self, _sink: &mut dyn Sink, _now: Instant) {}
    /// Carries out a command.
    ///
    /// # Errors
    /// Nearly always.
    pub fn command(&mut self, command: Command, _now: Instant) -> Result<Reply, Refusal> {
        match command {
            Command::CreateRoom => {
                self.rooms += 1;
                Ok(Reply::Room { room: RoomId::new(self.rooms - 1, 0) })
            }
            Command::RemoveRoom { .. } => Ok(Reply::Done),
            Command::Stats => Ok(Reply::Stats { stats: Box::default() }),
            Command::Snapshot => Ok(Reply::Snapshot { snapshot: Box::default() }),
            _ => Err(Refusal::Unavailable),
        }
    }
    /// Takes out the events.
    pub fn drain_events(&mut self, _into: &mut Vec<Event>) {}
}
