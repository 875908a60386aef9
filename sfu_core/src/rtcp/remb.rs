//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03 §2.2).

use arrayvec::ArrayVec;

use super::header::{self, Writer, word};
use crate::error::RtcpError;
use crate::ids::Ssrc;
use crate::units::Bitrate;

/// Feedback format: application layer feedback, told apart by its name.
pub const FORMAT: u8 = 15;
/// Most sources in one estimate; the wire allows 255, browsers list what one peer receives.
pub const MAX_REMB_SSRCS: usize = 64;
/// Largest mantissa: 18 bits.
const MAX_MANTISSA: u64 = (1 << 18) - 1;

/// What a receiver estimates it can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remb {
    /// Who estimates.
    pub sender: Ssrc,
    /// Of all sources together.
    pub bitrate: Bitrate,
    /// Which they are.
    pub ssrcs: ArrayVec<Ssrc, MAX_REMB_SSRCS>,
}

/// Whether application layer feedback is this one.
pub(super) fn is_remb(body: &[u8]) -> bool {
    body.get(8..12) == Some(b"REMB")
}

impl Remb {
    /// Reads the body.
    ///
    /// # Errors
    /// [`RtcpError`], when `body` is too short, the bitrate needs more than 64 bits, or there are more sources than
    /// [`MAX_REMB_SSRCS`].
    pub fn parse(body: &[u8]) -> Result<Self, RtcpError> {
        let packed = word(body, 12)?;
        let (exponent, mantissa) = (packed >> 18 & 0x3f, u64::from(packed) & MAX_MANTISSA);
        if mantissa != 0 && mantissa.leading_zeros() < exponent {
            return Err(RtcpError::Bitrate);
        }
        let mut ssrcs = ArrayVec::new();
        for at in 0..(packed >> 24) as usize {
            ssrcs.try_push(Ssrc(word(body, 16 + 4 * at)?)).map_err(|_| RtcpError::Entries)?;
        }
        Ok(Self { sender: Ssrc(word(body, 0)?), bitrate: Bitrate::bps(mantissa << exponent), ssrcs })
    }

    /// Writes the packet, the bitrate rounded down to 18 significant bits; `None` when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let bits = self.bitrate.as_bps();
        let exponent = (64 - bits.leading_zeros()).saturating_sub(18);
        let mantissa = (bits >> exponent) as u32;
        let mut writer = Writer::new(out, header::PAYLOAD_FEEDBACK, FORMAT)?;
        writer.word(self.sender.0)?;
        writer.word(0)?;
        writer.put(b"REMB")?;
        writer.word((self.ssrcs.len() as u32) << 24 | exponent << 18 | mantissa)?;
        for ssrc in &self.ssrcs {
            writer.word(ssrc.0)?;
        }
        writer.finish()
    }
}
