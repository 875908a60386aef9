//! A bug of ours for whoever asks for one by RTCP (APP, RFC 3550 §6.7): how a whole server bears it is tested with this. No
//! build that serves anybody has it.

use crate::rtcp::RtcpPacket;

#[cfg(not(debug_assertions))]
compile_error!("`breakable` is for a test of the whole server: a release would break for whoever asks it to");

const APP: u8 = 204;
const NAME: &[u8] = b"OOPS";

/// Panics where that is asked for.
pub(super) fn heed(packet: &RtcpPacket<'_>) {
    if let RtcpPacket::Unknown { packet_type: APP, body, .. } = packet {
        assert!(body.get(4..8) != Some(NAME), "a test of the whole server wants the engine to break");
    }
}
