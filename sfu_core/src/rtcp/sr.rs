//! Sender reports and the report blocks they share with receiver reports (RFC 3550 §6.4.1).

use arrayvec::ArrayVec;

use super::header::{self, MAX_COUNT, Writer, word};
use crate::error::RtcpError;
use crate::ids::Ssrc;
use crate::units::NtpTime;

/// What a receiver got of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// Of which source.
    pub ssrc: Ssrc,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost in all; 24 bits, negative with duplicates.
    pub cumulative_lost: i32,
    /// Highest sequence number, with the count of wraps above it.
    pub highest_sequence: u32,
    /// In ticks.
    pub jitter: u32,
    /// Middle of the last sender report's NTP time; 0 if there was none.
    pub last_sr: u32,
    /// How long ago that was, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// Report blocks of one packet.
pub type ReportBlocks = ArrayVec<ReportBlock, MAX_COUNT>;

/// Bytes of a report block.
const BLOCK_LEN: usize = 24;

/// Reads `count` blocks.
pub(super) fn read_blocks(count: u8, bytes: &[u8]) -> Result<ReportBlocks, RtcpError> {
    let count = usize::from(count);
    let bytes = bytes.get(..count * BLOCK_LEN).ok_or(RtcpError::Truncated)?;
    let mut blocks = ReportBlocks::new();
    for block in bytes.chunks_exact(BLOCK_LEN) {
        let lost = word(block, 4)?;
        let block = ReportBlock {
            ssrc: Ssrc(word(block, 0)?),
            fraction_lost: (lost >> 24) as u8,
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest_sequence: word(block, 8)?,
            jitter: word(block, 12)?,
            last_sr: word(block, 16)?,
            delay_since_last_sr: word(block, 20)?,
        };
        blocks.try_push(block).map_err(|_| RtcpError::Entries)?;
    }
    Ok(blocks)
}

/// Writes the blocks; a loss that 24 bits cannot hold becomes the nearest that they can.
pub(super) fn write_blocks(blocks: &ReportBlocks, writer: &mut Writer<'_>) -> Option<()> {
    for block in blocks {
        let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        writer.word(block.ssrc.0)?;
        writer.word(u32::from(block.fraction_lost) << 24 | lost)?;
        writer.word(block.highest_sequence)?;
        writer.word(block.jitter)?;
        writer.word(block.last_sr)?;
        writer.word(block.delay_since_last_sr)?;
    }
    Some(())
}

/// What a sender sent, and which timestamp its clock showed at which wall-clock time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderReport {
    /// Who reports.
    pub sender: Ssrc,
    /// Wall clock of the sender.
    pub ntp: NtpTime,
    /// The same instant in ticks.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
    /// What the sender got itself.
    pub reports: ReportBlocks,
}

impl SenderReport {
    /// Reads the body of a sender report with `count` blocks.
    ///
    /// # Errors
    /// [`RtcpError::Truncated`], when `body` is too short.
    pub fn parse(count: u8, body: &[u8]) -> Result<Self, RtcpError> {
        Ok(Self {
            sender: Ssrc(word(body, 0)?),
            ntp: NtpTime(u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?)),
            timestamp: word(body, 12)?,
            packets: word(body, 16)?,
            octets: word(body, 20)?,
            reports: read_blocks(count, body.get(24..).ok_or(RtcpError::Truncated)?)?,
        })
    }

    /// Writes the packet; `None` when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out, header::SENDER_REPORT, self.reports.len() as u8)?;
        writer.word(self.sender.0)?;
        writer.put(&self.ntp.0.to_be_bytes())?;
        writer.word(self.timestamp)?;
        writer.word(self.packets)?;
        writer.word(self.octets)?;
        write_blocks(&self.reports, &mut writer)?;
        writer.finish()
    }
}
