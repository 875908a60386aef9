//! What the engine tells the outside. Level-type events (speakers, layers, quality) are latest-wins when the reader is
//! slow; when an edge-type event would not fit, the reader is told to take a [`Snapshot`].

use serde::{Deserialize, Serialize};

pub use super::flow::StallCause;
use crate::ids::{Mid, ParticipantId, PeerId, RelayId, RoomId, TrackId};
pub use crate::session::FailReason;
use crate::session::{Codec, MediaKind, TrackSource};

/// How one participant sounds in a list of speakers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Speaker {
    /// Who.
    pub participant: ParticipantId,
    /// How loud, in -dBov: 0 is loudest, 127 silence (RFC 6464).
    pub level: u8,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// ICE and DTLS are done: media can flow.
    PeerConnected {
        /// Who.
        peer: PeerId,
        /// `AEAD_AES_256_GCM`, …
        srtp_profile: String,
        /// `1.2` or `1.3`
        dtls_version: String,
    },
    /// Nothing authenticated was heard for a while; it may come back by itself.
    PeerDisconnected {
        /// Who.
        peer: PeerId,
    },
    /// It came back.
    PeerReconnected {
        /// Who.
        peer: PeerId,
    },
    /// It cannot come back without a new negotiation.
    PeerFailed {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: FailReason,
    },
    /// The remote closed its transport. Of an end of a relay: the other end is gone, or the track is no longer what it was.
    PeerClosed {
        /// Who.
        peer: PeerId,
    },
    /// The first authenticated packet of a track arrived.
    TrackStarted {
        /// Which.
        track: TrackId,
        /// What it is coded with.
        codec: Codec,
    },
    /// Who can hear or see anything in the room at all: every peer with an inbound edge. There is no hidden listener.
    Roster {
        /// Where.
        room: RoomId,
        /// Every participant with an inbound edge, in order of id.
        listeners: Vec<ParticipantId>,
    },
    /// Who speaks, loudest first. Level-type.
    Speakers {
        /// Where.
        room: RoomId,
        /// Loudest first.
        speakers: Vec<Speaker>,
    },
    /// Which encoding a subscription gets from here on. Level-type.
    LayerChanged {
        /// Who receives.
        subscriber: PeerId,
        /// What.
        track: TrackId,
        /// `None`: paused for lack of bandwidth, because its section was made inactive, or, of an encrypted track, until it is
        /// known what each of its encodings takes: two to three seconds.
        encoding: Option<u8>,
    },
    /// Nothing comes of a track although it should, or something does again.
    TrackStalled {
        /// Which.
        track: TrackId,
        /// Whether nothing comes.
        stalled: bool,
    },
    /// Nothing of a track goes out to a subscriber although it should, or something does again.
    SubscriptionStalled {
        /// Who receives.
        subscriber: PeerId,
        /// What.
        track: TrackId,
        /// `None`: it flows, or nothing is owed.
        cause: Option<StallCause>,
    },
    /// A message came on a data channel.
    DataReceived {
        /// From whom.
        peer: PeerId,
        /// The channel's label.
        label: String,
        /// What.
        #[serde(with = "serde_bytes")]
        payload: Vec<u8>,
        /// Whether it is binary rather than text.
        binary: bool,
    },
    /// A bug of ours ended this room; the others go on.
    RoomFailed {
        /// Which.
        room: RoomId,
    },
    /// Events were lost because they were not read: take a snapshot.
    Resync {
        /// The version the snapshot must have at least.
        version: u64,
    },
}

impl Event {
    /// Whether a newer event of the same key makes this one worthless.
    pub const fn is_level(&self) -> bool {
        matches!(self, Self::Speakers { .. } | Self::LayerChanged { .. })
    }
}

/// How a peer's transport is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It has not been connected yet.
    Connecting,
    /// Media can flow.
    Connected,
    /// Nothing was heard of it for a while; it may come back by itself.
    Disconnected,
    /// It cannot come back without a new negotiation.
    Failed,
    /// The remote closed it.
    Closed,
}

/// One peer in a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSnapshot {
    /// Its id.
    pub peer: PeerId,
    /// Its room.
    pub room: RoomId,
    /// Whose transport it is.
    pub participant: ParticipantId,
    /// How its transport is.
    pub state: PeerState,
    /// What its media sections carry to it.
    pub playing: Vec<PlayingSnapshot>,
    /// The relay of which it is an end: the far one if it publishes, else the near one.
    pub relay: Option<RelayId>,
}

/// What one media section carries, in a [`PeerSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayingSnapshot {
    /// The media section.
    pub mid: Mid,
    /// Of whom.
    pub track: TrackId,
    /// Why nothing of it goes out, where something should.
    pub stalled: Option<StallCause>,
}

/// One track in a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackSnapshot {
    /// Its id.
    pub track: TrackId,
    /// Who publishes it.
    pub peer: PeerId,
    /// In which of its media sections.
    pub mid: Mid,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// What it shows.
    pub source: TrackSource,
    /// Whether it is muted by the server.
    pub muted: bool,
    /// Whether each subscription keeps the encoding it began with, or went on with after a pause, because keyframes are hidden.
    pub holds_encodings: bool,
    /// Whether nothing comes of it, where something should.
    pub stalled: bool,
    /// To whom it may flow.
    pub allowed: Vec<PeerId>,
}

/// Who can hear or see anything in one room, in a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterSnapshot {
    /// Where.
    pub room: RoomId,
    /// Every participant with an inbound edge, in order of id.
    pub listeners: Vec<ParticipantId>,
}

/// One right to messages on data channels, in a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSnapshot {
    /// Who says them.
    pub publisher: PeerId,
    /// Who may receive them.
    pub subscriber: PeerId,
}

/// The state of everything, for a reader that missed events or was restarted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Rises with every edge-type event.
    pub version: u64,
    /// All rooms but those that failed.
    pub rooms: Vec<RoomId>,
    /// All peers.
    pub peers: Vec<PeerSnapshot>,
    /// All tracks.
    pub tracks: Vec<TrackSnapshot>,
    /// The roster of every room that has listeners.
    pub rosters: Vec<RosterSnapshot>,
    /// All rights to messages.
    pub data: Vec<DataSnapshot>,
}
