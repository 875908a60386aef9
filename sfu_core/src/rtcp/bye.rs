//! Sources that end (RFC 3550 §6.6). The reason, free text, is not read.

use arrayvec::ArrayVec;

use super::header::{self, MAX_COUNT, Writer, word};
use crate::error::RtcpError;
use crate::ids::Ssrc;

/// Sources that end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bye {
    /// Which.
    pub sources: ArrayVec<Ssrc, MAX_COUNT>,
}

impl Bye {
    /// Reads the body of a goodbye of `count` sources.
    ///
    /// # Errors
    /// [`RtcpError::Truncated`], when `body` is too short.
    pub fn parse(count: u8, body: &[u8]) -> Result<Self, RtcpError> {
        let mut sources = ArrayVec::new();
        for at in 0..usize::from(count) {
            sources.try_push(Ssrc(word(body, 4 * at)?)).map_err(|_| RtcpError::Entries)?;
        }
        Ok(Self { sources })
    }

    /// Writes the packet; `None` when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out, header::BYE, self.sources.len() as u8)?;
        for source in &self.sources {
            writer.word(source.0)?;
        }
        writer.finish()
    }
}
