//! What the run counts over all connections.

use serde::Serialize;

use crate::gaps::Gaps;
use crate::histogram::Histogram;

/// Packets of sound and of pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PerKind {
    pub(crate) audio: u64,
    pub(crate) video: u64,
}

impl PerKind {
    pub(crate) fn of(&mut self, kind: sfu_core::session::MediaKind) -> &mut u64 {
        match kind {
            sfu_core::session::MediaKind::Audio => &mut self.audio,
            sfu_core::session::MediaKind::Video => &mut self.video,
        }
    }
}

/// Counts of the span that is measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Packets that publishers sent; those of latecomers apart.
    pub(crate) sent: PerKind,
    pub(crate) sent_late: PerKind,
    /// Packets of media that arrived, each once, repaired or not: what the server's cost is divided by.
    pub(crate) received: PerKind,
    pub(crate) received_late: PerKind,
    /// Those of `received` that were sent in the span too, wherever in it they arrived.
    pub(crate) delivered: u64,
    /// Bytes of these packets as they came, header and tag included.
    pub(crate) bytes: u64,
    /// Retransmissions, and packets that are padding only.
    pub(crate) retransmissions: u64,
    pub(crate) padding: u64,
    /// Datagrams that could not be opened, or belong to nothing.
    pub(crate) unreadable: u64,
    /// Feedback sent.
    pub(crate) feedbacks: u64,
    pub(crate) reports: u64,
    pub(crate) nacks: u64,
    /// Asked of publishers.
    pub(crate) keyframes_wanted: u64,
    pub(crate) repeats_wanted: u64,
    /// RTCP packets that came.
    pub(crate) rtcp_received: u64,
    /// From sending to arriving.
    #[serde(skip)]
    pub(crate) delay_audio: Histogram,
    #[serde(skip)]
    pub(crate) delay_video: Histogram,
    /// From when a packet was due to when it was sent: how well this program kept its timetable.
    #[serde(skip)]
    pub(crate) late: Histogram,
    /// Times without a packet in a stream.
    #[serde(skip)]
    pub(crate) gaps: Gaps,
    /// Span of the stamps that count as delivered.
    #[serde(skip)]
    pub(crate) span_ns: (u64, u64),
    /// Whether the span is on.
    #[serde(skip)]
    pub(crate) counting: bool,
}

impl Tally {
    /// Begins to count; stamps count from `now_ns` until the end is known.
    pub(crate) fn begin(now_ns: u64, gap_span_ms: u64) -> Self {
        let gaps = Gaps::begin(now_ns, gap_span_ms);
        Self { counting: true, span_ns: (now_ns, u64::MAX), gaps, ..Self::default() }
    }
}
