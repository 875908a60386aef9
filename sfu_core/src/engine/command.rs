//! What the outside may ask of the engine, and what it gets back. Plain values with one encoding (`MessagePack` maps), in
//! process and across a Unix socket.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::Snapshot;
use crate::ids::{Mid, ParticipantId, PeerId, RelayId, RoomId, TrackId};
use crate::peer::sctp::Reliability;
pub use crate::session::{LayerLimit, TrackSource};
use crate::session::{LocalTransport, NegotiatedSession, RelayDescription};
use crate::stats::{EngineStats, PeerStats};

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Makes an empty room. → [`Reply::Room`]
    CreateRoom,
    /// Ends a room with all its peers.
    RemoveRoom {
        /// Which.
        room: RoomId,
    },
    /// Makes a peer that will connect over the network. → [`Reply::Peer`]
    CreatePeer {
        /// In which room.
        room: RoomId,
        /// Whose transport it is.
        participant: ParticipantId,
    },
    /// Makes a peer inside this process: packets go to and come from its ring in the clear. → [`Reply::Bot`]
    CreateBot {
        /// In which room.
        room: RoomId,
        /// Whose transport it is.
        participant: ParticipantId,
        /// What it will send and take; `remote` is ignored.
        session: Box<NegotiatedSession>,
    },
    /// Applies a negotiation, the first or a later one. A new remote ufrag restarts ICE.
    Connect {
        /// Which peer.
        peer: PeerId,
        /// What was agreed.
        session: Box<NegotiatedSession>,
    },
    /// Gives the peer new local ICE credentials, to put in an answer or offer (RFC 8445 §9). → [`Reply::Peer`]
    RestartIce {
        /// Which peer.
        peer: PeerId,
    },
    /// Closes a peer: its tracks end, its edges are revoked.
    RemovePeer {
        /// Which.
        peer: PeerId,
    },
    /// Makes a track of what the peer sends under `mid`. Nobody receives it before [`Command::Allow`]. → [`Reply::Track`]
    Publish {
        /// The publisher.
        peer: PeerId,
        /// Its media section.
        mid: Mid,
        /// What it shows.
        source: TrackSource,
        /// Whether the payload is end-to-end encrypted, so that only what the sender leaves clear may be read.
        encrypted: bool,
    },
    /// Ends a track.
    Unpublish {
        /// Which.
        track: TrackId,
    },
    /// Wires a track to a media section of a subscriber. Packets flow when an edge allows it.
    Subscribe {
        /// The subscriber.
        peer: PeerId,
        /// Its media section in which we send.
        mid: Mid,
        /// What to send there.
        track: TrackId,
    },
    /// Takes the track off that media section.
    Unsubscribe {
        /// The subscriber.
        peer: PeerId,
        /// Its media section.
        mid: Mid,
    },
    /// Lets `track` flow to `subscriber`: makes a live edge.
    Allow {
        /// What.
        track: TrackId,
        /// To whom. The publisher itself only with `echo`.
        subscriber: PeerId,
        /// Whether this is a participant hearing itself, for tests before a meeting.
        echo: bool,
    },
    /// Ends the edge. After the reply no packet of it leaves.
    Revoke {
        /// What.
        track: TrackId,
        /// From whom.
        subscriber: PeerId,
    },
    /// Lets messages on data channels flow one way.
    AllowData {
        /// Who sends.
        publisher: PeerId,
        /// Who receives.
        subscriber: PeerId,
    },
    /// Ends that edge. After the reply no message of it leaves; channels on which one was under way are reset.
    RevokeData {
        /// Who sends.
        publisher: PeerId,
        /// Who receives.
        subscriber: PeerId,
    },
    /// Has the messages of a peer go on only where they are sent with [`Command::SendData`], as it may say there: for a protocol
    /// in which the server looks at each.
    HoldData {
        /// Whose.
        peer: PeerId,
    },
    /// Opens a data channel, as soon as there can be one.
    OpenData {
        /// To whom.
        peer: PeerId,
        /// Under which name.
        label: String,
        /// Whether messages arrive in order.
        ordered: bool,
        /// How hard is tried to deliver one.
        reliability: Reliability,
    },
    /// Sends a message on a data channel, from the server itself or on behalf of a peer.
    SendData {
        /// To whom.
        peer: PeerId,
        /// Whose message it is: it leaves only while [`Command::AllowData`] lets it.
        #[serde(default)]
        publisher: Option<PeerId>,
        /// On the channel with this label.
        label: String,
        /// What.
        #[serde(with = "serde_bytes")]
        payload: Vec<u8>,
        /// Whether it is binary rather than text.
        binary: bool,
    },
    /// Makes the near end of a relay: a peer to which all packets of `track` go, for the engine where the far end is, once
    /// [`Command::Allow`] grants it the track. It ends with the track. → [`Reply::Relay`]
    RelayOut {
        /// What.
        track: TrackId,
        /// The number of the relay.
        relay: RelayId,
    },
    /// Makes the far end of a relay: a peer that publishes the track as it comes. → [`Reply::Relayed`]
    RelayIn {
        /// In which room.
        room: RoomId,
        /// Whose track it is.
        participant: ParticipantId,
        /// The number of the relay.
        relay: RelayId,
        /// What the near end said of the track.
        description: Box<RelayDescription>,
    },
    /// Stops or restarts the forwarding of a track to everyone.
    Mute {
        /// Which.
        track: TrackId,
        /// Whether it is silent from here on.
        muted: bool,
    },
    /// Limits what a subscriber gets of a track.
    LimitLayer {
        /// What.
        track: TrackId,
        /// Whom.
        subscriber: PeerId,
        /// The most it may get.
        limit: LayerLimit,
    },
    /// Asks the publisher for a keyframe.
    RequestKeyframe {
        /// Of which track.
        track: TrackId,
    },
    /// → [`Reply::PeerStats`]
    PeerStats {
        /// Whose.
        peer: PeerId,
    },
    /// → [`Reply::Stats`]
    Stats,
    /// Everything a reader that missed events must know. → [`Reply::Snapshot`]
    Snapshot,
}

impl Command {
    /// Whether this takes a right away: such commands have a lane of their own that never waits.
    pub const fn is_revocation(&self) -> bool {
        matches!(
            self,
            Self::Revoke { .. }
                | Self::RevokeData { .. }
                | Self::RemovePeer { .. }
                | Self::RemoveRoom { .. }
                | Self::Unpublish { .. }
                | Self::Unsubscribe { .. }
                | Self::Mute { muted: true, .. }
        )
    }
}

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The engine as a whole.
    Engine,
    /// A room.
    Room(RoomId),
    /// A peer.
    Peer(PeerId),
    /// A track.
    Track(TrackId),
}

impl Command {
    /// What this is about.
    pub const fn subject(&self) -> Subject {
        match *self {
            Self::CreateRoom | Self::Stats | Self::Snapshot => Subject::Engine,
            Self::RemoveRoom { room }
            | Self::CreatePeer { room, .. }
            | Self::CreateBot { room, .. }
            | Self::RelayIn { room, .. } => Subject::Room(room),
            Self::Connect { peer, .. }
            | Self::RestartIce { peer }
            | Self::RemovePeer { peer }
            | Self::Publish { peer, .. }
            | Self::Subscribe { peer, .. }
            | Self::Unsubscribe { peer, .. }
            | Self::AllowData { publisher: peer, .. }
            | Self::RevokeData { publisher: peer, .. }
            | Self::HoldData { peer }
            | Self::OpenData { peer, .. }
            | Self::SendData { peer, .. }
            | Self::PeerStats { peer } => Subject::Peer(peer),
            Self::Unpublish { track }
            | Self::Allow { track, .. }
            | Self::Revoke { track, .. }
            | Self::RelayOut { track, .. }
            | Self::Mute { track, .. }
            | Self::LimitLayer { track, .. }
            | Self::RequestKeyframe { track } => Subject::Track(track),
        }
    }
}

/// A command with the number its answer will carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the asker.
    pub id: u64,
    /// What is asked.
    pub command: Command,
}

/// The answer to a command that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reply {
    /// Done; there is nothing to tell.
    Done,
    /// The new room.
    Room {
        /// Its id.
        room: RoomId,
    },
    /// The new peer, or the old one with new credentials.
    Peer {
        /// Its id.
        peer: PeerId,
        /// Our half of its transport.
        local: LocalTransport,
    },
    /// The new bot.
    Bot {
        /// Its id.
        peer: PeerId,
    },
    /// The new track.
    Track {
        /// Its id.
        track: TrackId,
    },
    /// The near end of a relay.
    Relay {
        /// Its id.
        peer: PeerId,
        /// What the far end is to be made of.
        description: Box<RelayDescription>,
    },
    /// The far end of a relay.
    Relayed {
        /// Its id.
        peer: PeerId,
        /// The track that it publishes.
        track: TrackId,
    },
    /// One peer's figures.
    PeerStats {
        /// The figures.
        stats: Box<PeerStats>,
    },
    /// The engine's figures.
    Stats {
        /// The figures.
        stats: Box<EngineStats>,
    },
    /// The state of everything.
    Snapshot {
        /// The state.
        snapshot: Box<Snapshot>,
    },
}

/// Why a command was not carried out. It changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// The caller named a room that does not exist, or exists no more.
    #[error("there is no such room")]
    UnknownRoom,
    /// The caller named a peer that does not exist, or exists no more.
    #[error("there is no such peer")]
    UnknownPeer,
    /// The caller named a track that does not exist, or exists no more.
    #[error("there is no such track")]
    UnknownTrack,
    /// The caller named a media section that was not negotiated in that direction.
    #[error("the peer has no media section of that name in that direction")]
    UnknownMid,
    /// Edges exist only inside a room.
    #[error("the peers are in different rooms")]
    OtherRoom,
    /// A peer does not hear itself unless asked to.
    #[error("an edge from a peer to itself needs echo")]
    EchoNotAsked,
    /// The media section already carries another track, or the track is published already.
    #[error("the media section is in use")]
    MidInUse,
    /// The subscriber takes none of the codecs the publisher sends.
    #[error("the subscriber takes none of the track's codecs")]
    NoCommonCodec,
    /// The negotiation contradicts an earlier one or itself.
    #[error("the negotiated session cannot be applied")]
    BadSession,
    /// The engine holds as many as it may: ask again later, or raise the cap.
    #[error("the engine is full: {0}")]
    Full(Cap),
    /// An end-to-end encrypted track whose sender does not tell where its keyframes are keeps the encoding that a
    /// subscription began with.
    #[error("the track hides its keyframes, so that a subscription keeps its encoding")]
    EncodingHeld,
    /// The peer has no data channel of that label.
    #[error("the peer has no open data channel of that label")]
    UnknownChannel,
    /// The peer has a data channel of that label.
    #[error("the peer has a data channel of that label")]
    ChannelInUse,
    /// The message, or the name of the channel, is longer than it may be, or than the peer takes.
    #[error("the message is too large")]
    MessageTooLarge,
    /// Nobody let the publisher's messages flow to the peer.
    #[error("the publisher may not send to the peer")]
    NotAllowed,
    /// Here is such an end of a relay of that number already.
    #[error("the relay has such an end already")]
    RelayInUse,
    /// A relay carries one track one way, for as long as both ends are there, and takes part in nothing else.
    #[error("a relay carries one track one way and nothing else")]
    OnlyRelays,
    /// The room ended because of a bug of ours and cannot be used.
    #[error("the room has failed")]
    RoomFailed,
    /// The engine is stopping, or is too busy to take the command now.
    #[error("the engine takes no commands now")]
    Unavailable,
}

/// Which cap was reached. The table of caps is in `sfu_core/README.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cap {
    /// `MAX_ROOMS`
    Rooms,
    /// `MAX_PEERS`
    Peers,
    /// `MAX_PEERS_PER_ROOM`
    PeersPerRoom,
    /// `MAX_TRACKS`
    Tracks,
    /// `MAX_TRACKS_PER_PEER`
    TracksPerPeer,
    /// `MAX_SUBSCRIPTIONS_PER_PEER`
    SubscriptionsPerPeer,
    /// A data channel's buffer.
    DataBuffer,
    /// `MAX_CHANNELS`
    Channels,
    /// `MAX_EDGES`
    Edges,
    /// `MAX_BOTS`
    Bots,
    /// `MAX_RELAYS`
    Relays,
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rooms => "rooms",
            Self::Peers => "peers",
            Self::PeersPerRoom => "peers per room",
            Self::Tracks => "tracks",
            Self::TracksPerPeer => "tracks per peer",
            Self::SubscriptionsPerPeer => "subscriptions per peer",
            Self::DataBuffer => "data buffered",
            Self::Channels => "data channels",
            Self::Edges => "edges",
            Self::Bots => "bots",
            Self::Relays => "relays",
        })
    }
}
