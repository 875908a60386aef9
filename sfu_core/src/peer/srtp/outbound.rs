//! Sending SRTP and SRTCP (RFC 3711 §3.3 and §3.4). The index of every packet is the caller's; using one twice under the
//! same SSRC would give away the plain text (RFC 7714 §10.1), so debug builds and the simulation check for it.

use std::fmt;

use super::cipher::{self, Cipher};
use super::profile::SrtpProfile;
use super::wire::{self, MAX_RTCP_INDEX, MAX_RTP_INDEX, RTCP_CLEAR_LEN};

/// Our packets on their way to one remote.
pub struct SrtpOutbound {
    rtp: Cipher,
    rtcp: Cipher,
    /// The index of the next RTCP packet.
    next_rtcp: u32,
    #[cfg(any(debug_assertions, feature = "seal-audit"))]
    sealed: std::cell::RefCell<once::Sealed>,
}

impl fmt::Debug for SrtpOutbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpOutbound").field("next_rtcp", &self.next_rtcp).finish_non_exhaustive()
    }
}

impl SrtpOutbound {
    /// Takes the master key and salt of our half. Panics when their lengths are not the profile's.
    pub fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Self {
        let (rtp, rtcp) = cipher::derive(profile, key, salt);
        Self {
            rtp,
            rtcp,
            next_rtcp: 1,
            #[cfg(any(debug_assertions, feature = "seal-audit"))]
            sealed: std::cell::RefCell::default(),
        }
    }

    /// Asks for the cache lines that sealing RTP needs.
    #[inline]
    pub fn prefetch(&self) {
        self.rtp.prefetch();
    }

    /// Seals an RTP packet in place and returns its sealed length.
    ///
    /// `packet` begins with `header_len` bytes of header (CSRCs and extensions included) and `plain_len` bytes of
    /// payload, and has [`MAX_SRTP_OVERHEAD`](super::MAX_SRTP_OVERHEAD) bytes of room behind. `index` is the 48-bit packet
    /// index: roll-over counter, then the sequence number of the header. No index may come twice under one SSRC.
    pub fn seal_rtp(&self, packet: &mut [u8], header_len: usize, plain_len: usize, index: u64) -> usize {
        debug_assert_eq!(
            wire::rtp_header(packet).map(|header| (header.len, header.sequence_number)),
            Ok((header_len, index as u16)),
            "the header has another length or number than the caller says"
        );
        let ssrc = wire::rtp_ssrc(packet).expect("we seal only what we wrote");
        assert!(index <= MAX_RTP_INDEX, "the keys are used up");
        #[cfg(any(debug_assertions, feature = "seal-audit"))]
        self.sealed.borrow_mut().note(ssrc, index);
        self.rtp.seal_rtp(packet, header_len, plain_len, ssrc, index)
    }

    /// Seals an RTCP packet of `plain_len` bytes in place and returns its sealed length; zero, and nothing may be sent,
    /// after the 2^31 packets that one key lasts for. `packet` has
    /// [`MAX_SRTCP_OVERHEAD`](super::MAX_SRTCP_OVERHEAD) bytes of room behind the plain packet.
    pub fn seal_rtcp(&mut self, packet: &mut [u8], plain_len: usize) -> usize {
        assert!(plain_len >= RTCP_CLEAR_LEN, "no RTCP packet is shorter than 8 bytes");
        let ssrc = wire::rtcp_sender(packet).expect("we seal only what we wrote");
        if self.next_rtcp > MAX_RTCP_INDEX {
            return 0;
        }
        let index = self.next_rtcp;
        self.next_rtcp += 1;
        self.rtcp.seal_rtcp(packet, plain_len, ssrc, index)
    }

    #[cfg(test)]
    pub(super) fn set_next_rtcp(&mut self, index: u32) {
        self.next_rtcp = index;
    }
}

#[cfg(any(debug_assertions, feature = "seal-audit"))]
mod once {
    use std::collections::BTreeMap;

    use super::super::replay::Window;
    use crate::ids::Ssrc;

    /// Words of a record: 65 536 indices, the most that sequence numbers can tell apart.
    const SEALED_WORDS: usize = 1_024;

    /// Which indices were sealed lately. One entry per SSRC of ours; those are chosen by signalling, not by the network.
    #[derive(Debug, Default)]
    pub(super) struct Sealed(BTreeMap<Ssrc, Box<Window<SEALED_WORDS>>>);

    impl Sealed {
        pub(super) fn note(&mut self, ssrc: Ssrc, index: u64) {
            match self.0.get_mut(&ssrc) {
                Some(window) => {
                    assert!(window.is_fresh(index), "{ssrc:?} seals index {index} twice, or one long gone by");
                    window.accept(index);
                }
                None => {
                    self.0.insert(ssrc, Box::new(Window::new(index)));
                }
            }
        }
    }
}
