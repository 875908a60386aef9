//! A peer as a member of a room: its transport, what it sends, what it gets.

use std::time::Instant;

use crate::ids::{ParticipantId, PeerId, RoomId};
use crate::peer::Peer;
use crate::units::Bitrate;

use super::batch::Route;
use super::event::PeerState;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::rtcp_queue::RtcpQueue;

/// How packets reach a peer.
pub(crate) enum Link {
    /// Over the network, sealed.
    Network(Box<Peer>),
    /// Inside this process, in the clear.
    Bot,
}

pub(crate) struct Member {
    pub(crate) id: PeerId,
    pub(crate) room: RoomId,
    pub(crate) participant: ParticipantId,
    pub(crate) link: Link,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    /// The one valid deadline among those in the timers.
    pub(crate) armed: Option<Instant>,
    /// Whether it is on the list of those with something to send.
    pub(crate) pending: bool,
    /// How many local ICE credentials it has had.
    pub(crate) ice_generation: u8,
    pub(crate) ssrc_base: u32,
    /// Our ICE user name fragment and password.
    pub(crate) ice: (String, String),
    pub(crate) state: PeerState,
    /// Where media goes now; noted whenever the transport was touched, so that a flush need not ask it.
    pub(crate) route: Option<Route>,
    /// Whether the transport may have datagrams of its own to send.
    pub(crate) transport_work: bool,
    /// Clear RTCP until the next flush.
    pub(crate) rtcp: RtcpQueue,
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
        let state = if matches!(link, Link::Bot) { PeerState::Connected } else { PeerState::Connecting };
        Self {
            id,
            room,
            participant,
            link,
            inbound: Inbound::new(),
            outbound: Outbound::new(initial, now),
            armed: None,
            pending: false,
            ice_generation: 0,
            ice: (String::new(), String::new()),
            ssrc_base,
            state,
            route: None,
            transport_work: false,
            rtcp: RtcpQueue::default(),
            control: Vec::new(),
        }
    }

    pub(crate) fn peer_mut(&mut self) -> Option<&mut Peer> {
        match &mut self.link {
            Link::Network(peer) => Some(peer),
            Link::Bot => None,
        }
    }

    /// The transport was touched: it may have something to send, and its address may be another.
    pub(crate) fn note_transport(&mut self) {
        let media = self.peer().and_then(Peer::media_address);
        self.route = media.map(|(destination, source)| Route { peer: self.id, destination, source });
        self.transport_work = true;
    }

    /// Whether RTCP or the transport's own datagrams wait for the next flush.
    pub(crate) fn has_control(&self) -> bool {
        !self.rtcp.is_empty() || self.transport_work
    }

    pub(crate) fn peer(&self) -> Option<&Peer> {
        match &self.link {
            Link::Network(peer) => Some(peer),
            Link::Bot => None,
        }
    }

    /// When something of this member's own must be done, whether or not anything comes in.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let transport = self.peer().and_then(Peer::poll_timeout);
        [transport, self.inbound.report_at, self.outbound.report_at].into_iter().flatten().min()
    }
}
