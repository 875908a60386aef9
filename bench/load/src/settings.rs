//! What a run is asked to do: JSON on standard input.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use crate::shape::Shape;

/// Whose signalling to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Server {
    /// WHIP and WHEP.
    Pysfu,
    /// LiveKit's client protocol over WebSocket, of the same server.
    Meetings,
    /// The plugin `VideoRoom` over WebSocket.
    Janus,
}

/// Where to call, and as whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) server: Server,
    /// `http://…` or `ws://…`
    pub(crate) url: String,
    /// May make rooms.
    #[serde(default)]
    pub(crate) bearer: String,
    /// The network namespace from which signalling calls, as a path; else that of the media.
    #[serde(default)]
    pub(crate) namespace: Option<PathBuf>,
}

/// Participants that join while others are measured.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Latecomers {
    pub(crate) shape: Shape,
    /// From the first to the last.
    pub(crate) over_ms: u64,
}

/// What is done to a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InterruptionKind {
    /// The line of signalling is cut; media goes on.
    Line,
    /// Line and media are cut, and it comes back with other addresses.
    Network,
}

/// Participants that are interrupted while they are measured, one after the other.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interruptions {
    pub(crate) kind: InterruptionKind,
    pub(crate) times: u32,
    pub(crate) every_ms: u64,
}

/// One run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) target: Target,
    pub(crate) shape: Shape,
    #[serde(default)]
    pub(crate) latecomers: Option<Latecomers>,
    #[serde(default)]
    pub(crate) interruptions: Option<Interruptions>,
    /// The address before that of the first connection; all must be ours.
    pub(crate) addresses: Ipv4Addr,
    pub(crate) port: u16,
    /// Whether the kernel may join datagrams on their way in.
    #[serde(default)]
    pub(crate) offload: bool,
    /// Pause between two participants that join.
    #[serde(default)]
    pub(crate) pace_ms: u64,
    pub(crate) warm_up_ms: u64,
    pub(crate) steady_ms: u64,
    /// Whether the span is over sooner, when standard input is closed.
    #[serde(default)]
    pub(crate) until_told: bool,
    /// Whether to tell of each stream, and when the latest packets of each connection came.
    #[serde(default)]
    pub(crate) per_stream: bool,
    /// Length of the spans of which to tell the longest gap that began in each; zero for none.
    #[serde(default)]
    pub(crate) gap_span_ms: u64,
}

/// The same packets without a server, see `floor.rs`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FloorSettings {
    pub(crate) shape: Shape,
    /// The address before that of the first receiver.
    pub(crate) addresses: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) warm_up_ms: u64,
    pub(crate) steady_ms: u64,
    /// Whether to stamp and send each packet by itself, in the clear: to measure the way.
    #[serde(default)]
    pub(crate) direct: bool,
}

/// Where the floor's packets end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkSettings {
    pub(crate) port: u16,
    #[serde(default)]
    pub(crate) offload: bool,
    pub(crate) seconds: u64,
}

/// What strangers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FloodKind {
    /// Bytes that are no protocol, and some that only begin like one.
    Junk,
    /// Binding requests for a name that nobody has.
    UnknownUfrag,
    /// Binding requests for somebody's name, signed with another key.
    WrongMac,
    /// The first word of a handshake.
    ClientHello,
}

/// A flood.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FloodSettings {
    pub(crate) kind: FloodKind,
    pub(crate) target: SocketAddr,
    /// The address before the first from which it comes; 60 000 are used, and all must be ours.
    pub(crate) addresses: Ipv4Addr,
    /// Datagrams in a second.
    pub(crate) rate: u64,
    pub(crate) seconds: u64,
    /// Somebody's name at the server.
    #[serde(default)]
    pub(crate) ufrag: String,
}
