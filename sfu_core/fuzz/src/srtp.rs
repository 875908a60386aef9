//! SRTP and SRTCP (RFC 3711, RFC 7714): only what was sealed opens, and it opens once.

use sfu_core::peer::srtp::{MAX_SRTCP_OVERHEAD, MAX_SRTP_OVERHEAD, SrtpError, SrtpInbound, SrtpOutbound, SrtpProfile};
use sfu_core::rtp::header;

use crate::bytes::Choices;

/// More than any master key, and than any master salt.
const KEY: [u8; 32] = [7; 32];
const SALT: [u8; 14] = [9; 14];
/// Bytes that every RTCP packet has.
const RTCP_LEN: usize = 8;

/// Input: profile and protocol, where and how to damage the packet, then a packet. It is opened as it is, and again after it
/// was sealed: damaged it does not open, whole it does, once more it does not.
pub fn srtp(input: &[u8]) {
    let mut choices = Choices(input);
    let (kind, place, damage) = (choices.byte(), choices.word(), choices.byte());
    let packet = choices.0;
    let profile = SrtpProfile::ALL[usize::from(kind >> 1) % SrtpProfile::ALL.len()];
    let is_rtcp = kind & 1 != 0;
    let mut inbound = SrtpInbound::new(profile, &KEY[..profile.key_len()], &SALT[..profile.salt_len()]);
    assert_raw(&mut inbound, is_rtcp, packet);
    // What it opened, if anything, must not make the sealed packet a replay.
    let inbound = SrtpInbound::new(profile, &KEY[..profile.key_len()], &SALT[..profile.salt_len()]);
    if let Some((sealed, plain_len)) = seal(profile, is_rtcp, packet) {
        assert_sealed(inbound, is_rtcp, &sealed, &packet[..plain_len], (usize::from(place), damage));
    }
}

fn open(inbound: &mut SrtpInbound, is_rtcp: bool, packet: &mut [u8]) -> Result<usize, SrtpError> {
    if is_rtcp { inbound.unprotect_rtcp(packet) } else { inbound.unprotect_rtp(packet) }
}

/// Bytes off the wire: what opens gets shorter.
fn assert_raw(inbound: &mut SrtpInbound, is_rtcp: bool, packet: &[u8]) {
    let mut datagram = packet.to_vec();
    if let Ok(len) = open(inbound, is_rtcp, &mut datagram) {
        assert!(len < packet.len(), "the tag is gone");
        assert_eq!(open(inbound, is_rtcp, &mut packet.to_vec()), Err(SrtpError::Replayed));
    }
}

/// The packet sealed as a sender would, and how long it was before; `None` when no sender could have written it.
fn seal(profile: SrtpProfile, is_rtcp: bool, packet: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut outbound = SrtpOutbound::new(profile, &KEY[..profile.key_len()], &SALT[..profile.salt_len()]);
    let mut datagram = packet.to_vec();
    let len = if is_rtcp {
        if packet.len() < RTCP_LEN || packet[0] >> 6 != 2 {
            return None;
        }
        datagram.resize(packet.len() + MAX_SRTCP_OVERHEAD, 0);
        outbound.seal_rtcp(&mut datagram, packet.len())
    } else {
        let header_len = header::header_len(packet).ok()?;
        let index = u64::from(header::peek(packet).ok()?.sequence_number);
        datagram.resize(packet.len() + MAX_SRTP_OVERHEAD, 0);
        outbound.seal_rtp(&mut datagram, header_len, packet.len() - header_len, index)
    };
    assert_eq!(len, packet.len() + profile.tag_len() + if is_rtcp { 4 } else { 0 });
    datagram.truncate(len);
    Some((datagram, packet.len()))
}

fn assert_sealed(mut inbound: SrtpInbound, is_rtcp: bool, sealed: &[u8], plain: &[u8], damage: (usize, u8)) {
    let (place, bits) = damage;
    if bits != 0 {
        let mut damaged = sealed.to_vec();
        damaged[place % sealed.len()] ^= bits;
        let opened = open(&mut inbound, is_rtcp, &mut damaged);
        assert!(matches!(opened, Err(SrtpError::Truncated | SrtpError::Unauthenticated)), "{opened:?}");
    }
    let mut cut = sealed[..place % sealed.len()].to_vec();
    assert!(open(&mut inbound, is_rtcp, &mut cut).is_err(), "cut short it does not open");
    let mut whole = sealed.to_vec();
    assert_eq!(open(&mut inbound, is_rtcp, &mut whole), Ok(plain.len()), "what failed before changed nothing");
    assert_eq!(&whole[..plain.len()], plain);
    assert_eq!(open(&mut inbound, is_rtcp, &mut sealed.to_vec()), Err(SrtpError::Replayed));
}
