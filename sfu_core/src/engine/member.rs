//! A peer as a member of a room: its transport, what it sends, what it gets.

use std::time::{Duration, Instant};

use crate::ids::{ParticipantId, PeerId, RoomId};
use crate::peer::Peer;
use crate::units::{Bitrate, Nanos};

use super::batch::Route;
use super::event::PeerState;
use super::flow::LOOK_INTERVAL;
use super::inbound::Inbound;
use super::joining::Joining;
use super::outbound::Outbound;
use super::pending::NEVER;
use super::relay::Relay;
use super::rtcp_queue::RtcpQueue;

/// How packets reach a peer.
pub(crate) enum Link {
    /// Over the network, sealed.
    Network(Box<Peer>),
    /// Inside this process, in the clear.
    Bot,
    /// In the clear to another engine: this is one end of a relay.
    Relay(Box<Relay>),
}

/// In the order written: what every packet touches comes first and lies together, see `prefetch.rs`.
#[repr(C)]
pub(crate) struct Member {
    pub(crate) id: PeerId,
    pub(crate) link: Link,
    /// Whether it is on the list of those with something to send.
    pub(crate) pending: bool,
    /// Until when its next packet has to wait, see [`pending`](super::pending).
    pub(crate) waits_until: Nanos,
    /// Whether the transport may have datagrams of its own to send.
    pub(crate) transport_work: bool,
    /// Where media goes now; noted whenever the transport was touched, so that a flush need not ask it.
    pub(crate) route: Option<Route>,
    /// Clear RTCP until the next flush.
    pub(crate) rtcp: RtcpQueue,
    /// The one valid deadline among those in the timers.
    pub(crate) armed: Option<Instant>,
    /// When the transport wants to be woken; noted whenever it was touched, because asking it reads much cold memory.
    pub(crate) transport_due: Option<Instant>,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
    /// When it is looked whether what it publishes and receives flows: from when it is connected.
    pub(crate) flow_at: Option<Instant>,
    pub(crate) room: RoomId,
    pub(crate) participant: ParticipantId,
    /// How many local ICE credentials it has had.
    pub(crate) ice_generation: u8,
    pub(crate) ssrc_base: u32,
    /// Our ICE user name fragment and password.
    pub(crate) ice: (String, String),
    pub(crate) state: PeerState,
    /// How far its join is.
    pub(crate) joining: Joining,
    /// How much it may say on data channels.
    /// Whether its messages go on only where the server sends them.
    pub(crate) holds_data: bool,
    /// Scratch for one control datagram.
    pub(crate) control: Vec<u8>,
}

impl Member {
    pub(crate) fn new(
        id: PeerId,
        room: RoomId,
        participant: ParticipantId,
        link: Link,
        ssrc_base: u32,
        initial: Bitrate,
        now: Instant,
    ) -> Self {
        let is_network = matches!(link, Link::Network(_));
        let state = if is_network { PeerState::Connecting } else { PeerState::Connected };
        Self {
            id,
            room,
            participant,
            link,
            inbound: Inbound::new(),
            outbound: Outbound::new(initial, now),
            armed: None,
            transport_due: None,
            flow_at: (!is_network).then(|| now + LOOK_INTERVAL),
            pending: false,
            waits_until: NEVER,
            ice_generation: 0,
            ice: (String::new(), String::new()),
            ssrc_base,
            state,
            joining: Joining::default(),
            route: None,
            transport_work: false,
            rtcp: RtcpQueue::default(),
            holds_data: false,
            control: Vec::new(),
        }
    }

    pub(crate) fn peer_mut(&mut self) -> Option<&mut Peer> {
        match &mut self.link {
            Link::Network(peer) => Some(peer),
            Link::Bot | Link::Relay(_) => None,
        }
    }

    /// The end of a relay that it is.
    pub(crate) fn relay(&self) -> Option<&Relay> {
        match &self.link {
            Link::Relay(relay) => Some(relay),
            _ => None,
        }
    }

    pub(crate) fn relay_mut(&mut self) -> Option<&mut Relay> {
        match &mut self.link {
            Link::Relay(relay) => Some(relay),
            _ => None,
        }
    }

    /// The transport was touched: it may have something to send, and its address may be another.
    pub(crate) fn note_transport(&mut self) {
        let media = self.peer().and_then(Peer::media_address);
        self.route = media.map(|(destination, source)| Route { peer: self.id, destination, source });
        self.transport_work = true;
        self.note_due();
    }

    /// The transport may want to be woken at another time.
    pub(crate) fn note_due(&mut self) {
        self.transport_due = self.peer().and_then(Peer::poll_timeout);
    }

    /// Whether packets can reach it: it has keys, and an address that it consents to.
    pub(crate) fn is_reachable(&self) -> bool {
        match &self.link {
            Link::Network(peer) => self.route.is_some() && peer.srtp.is_some(),
            Link::Bot | Link::Relay(_) => true,
        }
    }

    /// Whether RTCP or the transport's own datagrams wait for the next flush.
    pub(crate) fn has_control(&self) -> bool {
        !self.rtcp.is_empty() || self.transport_work
    }

    /// There and back: as its reports on what we send say, else as its answers to our checks do. A peer that only publishes
    /// has no reports to make.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.outbound.round_trip.or_else(|| self.peer()?.round_trip())
    }

    pub(crate) fn peer(&self) -> Option<&Peer> {
        match &self.link {
            Link::Network(peer) => Some(peer),
            Link::Bot | Link::Relay(_) => None,
        }
    }

    /// When something of this member's own must be done, whether or not anything comes in.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        [self.transport_due, self.inbound.report_at, self.outbound.report_at, self.flow_at].into_iter().flatten().min()
    }
}
