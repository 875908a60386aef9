//! Receiver reports (RFC 3550 §6.4.2).

use super::header::{self, Writer, word};
use super::sr::{ReportBlocks, read_blocks, write_blocks};
use crate::error::RtcpError;
use crate::ids::Ssrc;

/// What a receiver got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverReport {
    /// Who reports.
    pub sender: Ssrc,
    /// Of each source.
    pub reports: ReportBlocks,
}

impl ReceiverReport {
    /// Reads the body of a receiver report with `count` blocks.
    ///
    /// # Errors
    /// [`RtcpError::Truncated`], when `body` is too short.
    pub fn parse(count: u8, body: &[u8]) -> Result<Self, RtcpError> {
        let sender = Ssrc(word(body, 0)?);
        Ok(Self { sender, reports: read_blocks(count, &body[4..])? })
    }

    /// Writes the packet; `None` when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out, header::RECEIVER_REPORT, self.reports.len() as u8)?;
        writer.word(self.sender.0)?;
        write_blocks(&self.reports, &mut writer)?;
        writer.finish()
    }
}
