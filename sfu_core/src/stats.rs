//! Figures: counters that only rise, and states at an instant. Every drop has a name.

use serde::{Deserialize, Serialize};

/// Why a datagram or packet went no further. Names as in `architecture.md`, "How data flows".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// From an address that no peer has authenticated.
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
    /// Too many waited.
    pub send_queue_full: u64,
    /// Waited so long for its turn that its frame could not be shown any more, or that it was no longer kept.
    pub too_late: u64,
    /// Its edge was revoked or its track muted while it waited.
    pub revoked: u64,
    /// The kernel took no more.
    pub socket_full: u64,
    /// There was nowhere to send it: the subscriber has no address that it consents to, or no keys yet.
    pub no_route: u64,
    /// STUN with an unknown or forged user name.
    pub unknown_ufrag: u64,
    /// Messages on data channels, and RTCP feedback, beyond what one peer may say.
    pub rate_limited: u64,
}

/// From loopback to a satellite, in seconds.
const RTT_BOUNDS_S: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6];
/// From a wire to Wi-Fi at its end, in seconds.
const JITTER_BOUNDS_S: [f64; 8] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];
/// From what nobody notices to what nothing repairs, as a share.
const LOSS_BOUNDS: [f64; 8] = [0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4];
/// From sound alone to several pictures, in bits per second.
const BITRATE_BOUNDS: [f64; 9] = [64e3, 125e3, 250e3, 500e3, 1e6, 2e6, 4e6, 8e6, 16e6];
/// From the pacer's step to what is dropped, in seconds.
const QUEUE_BOUNDS_S: [f64; 7] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 1.0];
/// From loopback to a handshake that was lost and repeated, in seconds.
const JOIN_BOUNDS_S: [f64; 8] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

/// How a quantity was spread over all observations so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The upper ends of the first buckets, rising.
    pub bounds: Vec<f64>,
    /// Observations in each bucket; one more than bounds, for what lies above.
    pub counts: Vec<u64>,
    /// All observations added up.
    pub sum: f64,
}

impl Histogram {
    /// Nothing observed yet.
    pub fn new(bounds: &[f64]) -> Self {
        Self { bounds: bounds.to_vec(), counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Counts one observation.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.sum += value;
        }
    }

    /// Counts how long something took, if it did take place.
    pub fn observe_span(&mut self, span: Option<std::time::Duration>) {
        if let Some(span) = span {
            self.observe(span.as_secs_f64());
        }
    }
}

/// How well it went, observed once a second for each stream or peer it is about, or once for each join.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// From the description of a remote to where its media goes and the keys for it, in seconds.
    pub join_s: Histogram,
    /// From the description of a remote to where its media goes (ICE), in seconds.
    pub join_ice_s: Histogram,
    /// From when the handshake of a described remote could begin to its media keys (DTLS), in seconds.
    pub join_dtls_s: Histogram,
    /// From the join of a peer that publishes to the first packet of it, in seconds.
    pub join_first_packet_s: Histogram,
    /// Round trips, in seconds.
    pub rtt_s: Histogram,
    /// Interarrival jitter of what is published, in seconds.
    pub jitter_s: Histogram,
    /// Interarrival jitter of what we send, as receivers report, in seconds.
    pub jitter_out_s: Histogram,
    /// Share of what is published that was lost on the way to us.
    pub loss_in: Histogram,
    /// Share of what we send that was lost, as receivers report.
    pub loss_out: Histogram,
    /// What downlinks are taken to carry, in bits per second.
    pub estimate_bps: Histogram,
    /// How long the oldest packet has waited for its turn, in seconds.
    pub send_queue_s: Histogram,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            join_s: Histogram::new(&JOIN_BOUNDS_S),
            join_ice_s: Histogram::new(&JOIN_BOUNDS_S),
            join_dtls_s: Histogram::new(&JOIN_BOUNDS_S),
            join_first_packet_s: Histogram::new(&JOIN_BOUNDS_S),
            rtt_s: Histogram::new(&RTT_BOUNDS_S),
            jitter_s: Histogram::new(&JITTER_BOUNDS_S),
            jitter_out_s: Histogram::new(&JITTER_BOUNDS_S),
            loss_in: Histogram::new(&LOSS_BOUNDS),
            loss_out: Histogram::new(&LOSS_BOUNDS),
            estimate_bps: Histogram::new(&BITRATE_BOUNDS),
            send_queue_s: Histogram::new(&QUEUE_BOUNDS_S),
        }
    }
}

/// The figures of the whole engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineStats {
    /// Rooms now.
    pub rooms: u64,
    /// Peers now.
    pub peers: u64,
    /// Peers with media keys now.
    pub connected_peers: u64,
    /// Peers in the middle of a handshake now.
    pub handshakes: u64,
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
    /// RTP packets handed to relays, for subscribers of other engines.
    pub relay_packets_out: u64,
    /// Packets of publishers that had not come when it was time to report.
    pub lost_packets_in: u64,
    /// Packets to subscribers that they reported lost.
    pub lost_packets_out: u64,
    /// Packets asked for again by subscribers.
    pub nacked_packets_in: u64,
    /// Packets we asked publishers for again.
    pub nacked_packets_out: u64,
    /// Keyframe requests received from subscribers.
    pub keyframe_requests_in: u64,
    /// Keyframe requests sent to publishers.
    pub keyframe_requests_out: u64,
    /// STUN requests that repeat one heard from another address.
    pub stun_replays: u64,
    /// What went no further, by reason.
    pub drops: Drops,
    /// Packets that passed the gate although the second table says they should not have. Must be 0.
    pub unauthorized_forwards: u64,
    /// Rooms ended by a bug of ours.
    pub panics: u64,
    /// Switches of encoding.
    pub layer_switches: u64,
    /// How often a publisher was asked to send less, as somebody could not take what it sent.
    pub publisher_limits: u64,
    /// How well it went.
    pub quality: Quality,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_counts_up_to_its_bound_and_what_lies_above_all_bounds_counts_too() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.0, 1.0, 1.5, 9.0] {
            histogram.observe(value);
        }
        assert_eq!((histogram.counts, histogram.sum), (vec![2, 1, 1], 11.5));
    }
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
