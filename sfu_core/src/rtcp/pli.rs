//! Picture loss indication: a keyframe is needed (RFC 4585 §6.3.1).

use super::header::{self, Writer, word};
use crate::error::RtcpError;
use crate::ids::Ssrc;

/// Feedback format.
pub const FORMAT: u8 = 1;

/// A keyframe is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pli {
    /// Who needs it.
    pub sender: Ssrc,
    /// Of which source.
    pub media: Ssrc,
}

impl Pli {
    /// Reads the body.
    ///
    /// # Errors
    /// [`RtcpError::Truncated`], when `body` is too short.
    pub fn parse(body: &[u8]) -> Result<Self, RtcpError> {
        Ok(Self { sender: Ssrc(word(body, 0)?), media: Ssrc(word(body, 4)?) })
    }

    /// Writes the packet; `None` when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out, header::PAYLOAD_FEEDBACK, FORMAT)?;
        writer.word(self.sender.0)?;
        writer.word(self.media.0)?;
        writer.finish()
    }
}
