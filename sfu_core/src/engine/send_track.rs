//! One media section in which we send: what was agreed on, how its numbers go on, and what the subscriber reports of it.

use std::time::Instant;

use crate::forward::watch::Watch;
use crate::ids::{Mid, Ssrc, TrackId};
use crate::rtcp::sr::ReportBlock;
use crate::session::{MediaKind, PayloadType, SendMedia};

use super::flow::StallCause;
use super::outbound::{FirstNumbers, QueuedPacket};

/// The MID is sent until a report shows that the subscriber knows the SSRC, but not longer than this many packets.
const MAX_MID_PACKETS: u64 = 200;
/// Share of the estimate that retransmissions may take (`media-core.md` 7: 20 to 30 %).
const RTX_SHARE: f64 = 0.25;
/// The same for a subscriber who loses much.
const MAX_RTX_SHARE: f64 = 0.5;
/// More jitter than this no receiver has: its buffer would have been empty for as long.
pub(super) const MAX_JITTER_S: f64 = 1.0;

/// One media section in which we send.
#[derive(Debug)]
pub(crate) struct SendTrack {
    pub(crate) mid: Mid,
    pub(crate) kind: MediaKind,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx_ssrc: Option<Ssrc>,
    pub(crate) payload_types: Vec<PayloadType>,
    pub(crate) track: Option<TrackId>,
    /// The index after the last one used: the next subscription goes on from here, if the SSRC stays.
    pub(crate) next_index: u64,
    pub(crate) last_timestamp: u32,
    /// The next index of retransmissions.
    pub(crate) next_rtx_index: u64,
    /// Of the media's SSRC alone, as sender reports tell (RFC 3550 §6.4.1).
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Of the retransmissions' SSRC.
    pub(crate) retransmitted: u64,
    pub(crate) retransmitted_bytes: u64,
    /// What the subscriber last reported.
    pub(crate) loss: f64,
    /// By how many more reports spoke of at least `MUCH_LOSS` than of less, lately.
    pub(crate) lossy_reports: u8,
    /// When it last reported.
    pub(super) reported_at: Option<Instant>,
    /// The most it has ever reported lost.
    pub(crate) lost: u64,
    /// The last video packet that left: what the downlink is filled up with.
    pub(crate) last_video: Option<QueuedPacket>,
    /// Its clock is to be told as soon as a packet has left: it began, or goes on with another encoding.
    pub(crate) clock_untold: bool,
    /// The last full intra request: from which of the subscriber's SSRCs, its number, and when it was acted on.
    pub(crate) last_fir: Option<((Ssrc, u8), Instant)>,
    pub(super) acknowledged: bool,
    /// The highest sequence number that the subscriber reported.
    pub(super) reported_to: Option<u16>,
    /// The sender report of ours that its last report quoted.
    pub(super) quoted: Option<u32>,
    /// Whether the track leaves, see [`flow`](super::flow).
    pub(super) watch: Watch,
    /// What was told of it last.
    pub(super) stall: Option<StallCause>,
}

impl SendTrack {
    pub(super) fn new(media: &SendMedia, first: FirstNumbers) -> Self {
        Self {
            mid: media.mid,
            kind: media.kind,
            ssrc: media.ssrc,
            rtx_ssrc: media.rtx_ssrc,
            payload_types: media.payload_types.clone(),
            track: None,
            next_index: first.index,
            last_timestamp: first.timestamp,
            next_rtx_index: first.rtx_index,
            packets: 0,
            bytes: 0,
            retransmitted: 0,
            retransmitted_bytes: 0,
            loss: 0.0,
            lossy_reports: 0,
            reported_at: None,
            lost: 0,
            last_video: None,
            clock_untold: false,
            last_fir: None,
            acknowledged: false,
            reported_to: None,
            quoted: None,
            watch: Watch::default(),
            stall: None,
        }
    }

    /// Whether a description has another meaning for the section than it had before. Other SSRCs begin while it is idle.
    pub(super) fn contradicts(&self, media: &SendMedia) -> bool {
        if self.mid != media.mid || self.ssrc != media.ssrc {
            return self.mid != media.mid || self.kind != media.kind || self.track.is_some();
        }
        matches!((self.rtx_ssrc, media.rtx_ssrc), (Some(ours), Some(theirs)) if ours != theirs)
    }

    /// A packet with so many bytes of payload left.
    #[inline]
    pub(crate) fn on_left(&mut self, queued: &QueuedPacket, payload_len: usize) {
        if queued.retransmission {
            self.next_rtx_index += 1;
            self.retransmitted += 1;
            self.retransmitted_bytes += payload_len as u64;
        } else {
            self.packets += 1;
            self.bytes += payload_len as u64;
            self.next_index = self.next_index.max(queued.index + 1);
            self.last_timestamp = queued.timestamp;
            self.last_video = (self.kind == MediaKind::Video).then_some(*queued);
        }
    }

    /// Whether the subscriber takes such a packet in this section, after a negotiation.
    pub(super) fn takes(&self, queued: &QueuedPacket) -> bool {
        self.payload_types.iter().any(|payload| {
            let number = if queued.retransmission { payload.rtx } else { Some(payload.number) };
            number == Some(queued.payload_type)
        })
    }

    /// The MID to write, while the subscriber may not know the SSRC yet (RFC 9143 §9.2).
    #[inline]
    pub(crate) fn mid_to_write(&self) -> Option<Mid> {
        (!self.acknowledged && self.packets < MAX_MID_PACKETS).then_some(self.mid)
    }

    /// How many packets a report says came and were lost since the report before.
    pub(super) fn reported(&mut self, block: &ReportBlock) -> (u32, u32) {
        let highest = block.highest_sequence as u16; // some count no wraps
        let since = self.reported_to.replace(highest).map_or(0, |before| highest.wrapping_sub(before));
        let expected = if since < 1 << 15 { u32::from(since) } else { 0 };
        let lost = (expected * u32::from(block.fraction_lost) + 128) / 256;
        (expected - lost, lost)
    }

    /// What a report says of the jitter. It is the remote's to write: a single lie must not be all of the sum.
    pub(super) fn jitter_s(&self, block: &ReportBlock) -> f64 {
        let rate = self.payload_types.first().map_or(90_000, |payload| payload.clock_rate_hz).max(1);
        (f64::from(block.jitter) / f64::from(rate)).min(MAX_JITTER_S)
    }

    /// The share of the estimate that repairs may take: what is lost has to come again, some of it more than once, or what
    /// came is of no use.
    pub(crate) fn rtx_share(&self) -> f64 {
        (2.0 * self.loss).clamp(RTX_SHARE, MAX_RTX_SHARE)
    }
}
