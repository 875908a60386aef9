//! What lives at the far end of the links: a simulated browser or a light participant with given keys.

use std::net::SocketAddr;
use std::time::Instant;

use crate::browser::Browser;
use crate::keyed::Keyed;
use crate::oracle::{Departure, Oracle};

/// A datagram that a participant sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// From which of its own addresses.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

/// A datagram that reaches a participant.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Who sent it.
    pub source: SocketAddr,
    /// To which of the participant's own addresses.
    pub destination: SocketAddr,
    /// The UDP payload.
    pub bytes: &'a [u8],
    /// When it left the server.
    pub departure: Departure,
}

/// One participant.
#[derive(Debug)]
pub enum Remote {
    /// A whole WebRTC implementation.
    Browser(Box<Browser>),
    /// A light participant with given keys.
    Keyed(Box<Keyed>),
}

impl Remote {
    /// Takes a datagram.
    pub fn receive(&mut self, incoming: Incoming<'_>, now: Instant) {
        match self {
            Self::Browser(browser) => browser.receive(incoming, now),
            Self::Keyed(keyed) => keyed.receive(incoming, now),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Browser(browser) => browser.handle_timeout(now),
            Self::Keyed(keyed) => keyed.handle_timeout(now),
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Browser(browser) => browser.poll_timeout(),
            Self::Keyed(keyed) => keyed.poll_timeout(),
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        match self {
            Self::Browser(browser) => browser.poll_transmit(),
            Self::Keyed(keyed) => keyed.poll_transmit(),
        }
    }

    /// Packets sent so far of the track numbered `source`.
    pub fn sent_packets(&self, source: u32) -> u64 {
        match self {
            Self::Browser(browser) => browser.sent_packets(source),
            Self::Keyed(keyed) => keyed.sent_packets(source),
        }
    }

    /// Whether media can flow.
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Browser(browser) => browser.is_connected(),
            Self::Keyed(_) => true,
        }
    }

    /// What it received.
    pub fn oracle(&self) -> &Oracle {
        match self {
            Self::Browser(browser) => &browser.oracle,
            Self::Keyed(keyed) => &keyed.oracle,
        }
    }
}

impl From<Browser> for Remote {
    fn from(browser: Browser) -> Self {
        Self::Browser(Box::new(browser))
    }
}

impl From<Keyed> for Remote {
    fn from(keyed: Keyed) -> Self {
        Self::Keyed(Box::new(keyed))
    }
}
