//! Full intra request: a keyframe is needed, counted (RFC 5104 §4.3.1).

use arrayvec::ArrayVec;

use super::header::{self, Writer, word};
use crate::error::RtcpError;
use crate::ids::Ssrc;

/// Feedback format.
pub const FORMAT: u8 = 4;
/// Most sources in one request: as many as a count of 5 bits could say. Browsers send one.
pub const MAX_FIR_REQUESTS: usize = 31;

/// A keyframe of one source is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirRequest {
    /// Of which source.
    pub ssrc: Ssrc,
    /// Another number is another request; the same number is a repeat.
    pub sequence: u8,
}

/// Keyframes are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fir {
    /// Who needs them.
    pub sender: Ssrc,
    /// Of which sources.
    pub requests: ArrayVec<FirRequest, MAX_FIR_REQUESTS>,
}

impl Fir {
    /// The request for a keyframe of one source.
    pub fn of_one(sender: Ssrc, ssrc: Ssrc, sequence: u8) -> Self {
        Self { sender, requests: ArrayVec::from_iter([FirRequest { ssrc, sequence }]) }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`RtcpError`], when `body` is too short or lists more than [`MAX_FIR_REQUESTS`].
    pub fn parse(body: &[u8]) -> Result<Self, RtcpError> {
        let sender = Ssrc(word(body, 0)?);
        let mut requests = ArrayVec::new();
        for entry in body.get(8..).ok_or(RtcpError::Truncated)?.chunks_exact(8) {
            let request = FirRequest { ssrc: Ssrc(word(entry, 0)?), sequence: entry[4] };
            requests.try_push(request).map_err(|_| RtcpError::Entries)?;
        }
        Ok(Self { sender, requests })
    }

    /// Writes the packet; `None` when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out, header::PAYLOAD_FEEDBACK, FORMAT)?;
        writer.word(self.sender.0)?;
        writer.word(0)?;
        for request in &self.requests {
            writer.word(request.ssrc.0)?;
            writer.word(u32::from(request.sequence) << 24)?;
        }
        writer.finish()
    }
}
