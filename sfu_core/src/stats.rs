//! Figures: counters that only rise, and states at an instant. Every drop has a name.

use serde::{Deserialize, Serialize};

/// Why a datagram or packet went no further. Names as in `architecture.md`, "How data flows".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// From an address no peer has proved to own.
    pub unknown_source: u64,
    /// Failed SRTP authentication.
    pub unauthenticated: u64,
    /// Authenticated, but seen before or too old to tell.
    pub replayed: u64,
    /// Cannot be RTP, RTCP, STUN or DTLS.
    pub malformed: u64,
    /// Authenticated, but belongs to no published track.
    pub not_published: u64,
    /// Could not be made part of the outgoing stream.
    pub rewrite_rejected: u64,
    /// Waited too long for its turn, or too many waited.
    pub send_queue_full: u64,
    /// Its edge was revoked while it waited, or never existed.
    pub revoked: u64,
    /// The kernel took no more.
    pub socket_full: u64,
    /// STUN with an unknown or forged user name.
    pub unknown_ufrag: u64,
    /// Messages on data channels beyond what one peer may say.
    pub rate_limited: u64,
}

/// The figures of the whole engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStats {
    /// Rooms now.
    pub rooms: u64,
    /// Peers now.
    pub peers: u64,
    /// Peers with media keys now.
    pub connected_peers: u64,
    /// Tracks now.
    pub tracks: u64,
    /// Live edges now.
    pub edges: u64,
    /// Authenticated RTP packets received.
    pub rtp_packets_in: u64,
    /// Their bytes, headers included.
    pub rtp_bytes_in: u64,
    /// RTP packets handed to the kernel or to a bot.
    pub rtp_packets_out: u64,
    /// Their bytes, headers included.
    pub rtp_bytes_out: u64,
    /// Of those, retransmissions.
    pub rtx_packets_out: u64,
    /// Packets asked for again by subscribers.
    pub nacked_packets_in: u64,
    /// Packets we asked publishers for again.
    pub nacked_packets_out: u64,
    /// Keyframe requests received from subscribers.
    pub keyframe_requests_in: u64,
    /// Keyframe requests sent to publishers.
    pub keyframe_requests_out: u64,
    /// What went no further, by reason.
    pub drops: Drops,
    /// Packets that passed the gate although the second table says they should not have. Must be 0.
    pub unauthorized_forwards: u64,
    /// Rooms ended by a bug of ours.
    pub panics: u64,
    /// Switches of encoding.
    pub layer_switches: u64,
}

/// The figures of one received stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReceiveStats {
    /// The media section.
    pub mid: String,
    /// Which encoding, lowest quality first.
    pub encoding: u8,
    /// Packets received.
    pub packets: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// Packets lost for good so far.
    pub lost: u64,
    /// Interarrival jitter in seconds (RFC 3550 §6.4.1).
    pub jitter_s: f64,
    /// Bit rate over the last second or so.
    pub bitrate_bps: u64,
}

/// The figures of one sent stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SendStats {
    /// The media section.
    pub mid: String,
    /// Packets sent, retransmissions included.
    pub packets: u64,
    /// Payload bytes sent, retransmissions included.
    pub bytes: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// Share lost on the way, 0 to 1, as the receiver last reported.
    pub loss: f64,
    /// Which encoding is being sent; `None` while paused.
    pub encoding: Option<u8>,
}

/// The figures of one peer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerStats {
    /// Whether media can flow.
    pub connected: bool,
    /// Round-trip time in seconds, when measured.
    pub rtt_s: Option<f64>,
    /// What we think the peer's downlink carries.
    pub estimate_bps: u64,
    /// How long the oldest waiting packet will have waited, in seconds.
    pub send_queue_s: f64,
    /// What it sends to us.
    pub receive: Vec<ReceiveStats>,
    /// What we send to it.
    pub send: Vec<SendStats>,
}
