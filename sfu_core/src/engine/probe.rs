//! Proving that a downlink carries more than is sent to it: while more is wanted than the estimate allows, media is filled up
//! to the estimate with packets that went out a moment ago, as retransmissions (RFC 4588), so that the filling may repair
//! something. Where the bytes of the last one are gone, as after a pause, it is padding alone. All of it goes through the gate
//! like everything else.

use std::time::{Duration, Instant};

use super::member::Member;
use super::outbound::{Outbound, QueuedPacket};
use super::path::Moment;
use crate::units::Bitrate;

/// The most that is filled up at once: what one pacing group of a fast link takes.
const MAX_CREDIT: Duration = Duration::from_millis(20);

/// While filling up, how often: a pacing group each.
const FILL_INTERVAL: Duration = Duration::from_millis(5);

/// Bytes that may be filled up.
#[derive(Debug, Default)]
pub(crate) struct PaddingCredit {
    bytes: i64,
    at: Option<Instant>,
    /// When to fill up again, whether or not media comes.
    pub(crate) due: Option<Instant>,
}

impl PaddingCredit {
    /// Time has passed: at `rate` in all, so much could have been sent.
    fn grow(&mut self, rate: Bitrate, now: Instant) {
        let cap = rate.bytes_in(MAX_CREDIT).as_bytes() as i64;
        if let Some(at) = self.at.replace(now) {
            let grown = rate.bytes_in(now.saturating_duration_since(at)).as_bytes() as i64;
            self.bytes = (self.bytes + grown).clamp(-cap, cap);
        }
    }

    /// Something left, media or filling.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes as i64);
    }
}

/// Fills up with what `send` sends, while there is credit and nothing waits; `send` says how many bytes left.
///
/// `None` from `send` says that the batch is full.
pub(crate) fn send_padding(
    member: &mut Member,
    now: Moment,
    mut send: impl FnMut(&mut Member, &QueuedPacket) -> Option<usize>,
) {
    member.outbound.padding.due = None;
    while let Some(filling) = next(&mut member.outbound, now) {
        match send(member, &filling) {
            None => return,
            // It may not leave any more, or its bytes are gone.
            Some(0) => member.outbound.give_up_filling_with(filling.send_index),
            Some(sent) => member.outbound.pacer.on_padding(sent as u16, now.at),
        }
    }
    if member.outbound.estimate.padding_to > Bitrate::ZERO && member.outbound.fillable().is_some() {
        member.outbound.padding.due = Some(now.instant + FILL_INTERVAL);
    }
}

/// The next packet to fill up with.
fn next(outbound: &mut Outbound, now: Moment) -> Option<QueuedPacket> {
    let rate = outbound.estimate.padding_to;
    if rate == Bitrate::ZERO {
        return None;
    }
    outbound.padding.grow(rate, now.instant);
    if outbound.padding.bytes <= 0 || outbound.pacer.padding_room(now.at) == 0 {
        return None;
    }
    outbound.fillable()
}

impl Outbound {
    /// The last video packet that left in the first section that still has its bytes, as a retransmission; or padding in its
    /// place where none has.
    fn fillable(&self) -> Option<QueuedPacket> {
        let fillings = self.send.iter().filter(|section| section.rtx_ssrc.is_some()).filter_map(|section| {
            let last = section.last_video?;
            let payload_type = section.payload_types.iter().find(|payload| payload.number == last.payload_type)?.rtx?;
            Some(QueuedPacket { payload_type, retransmission: true, ..last })
        });
        fillings.min_by_key(|filling| filling.blank)
    }

    /// The section's last video packet cannot leave again: padding takes its place, or if that cannot leave either, another section.
    fn give_up_filling_with(&mut self, send_index: u8) {
        if let Some(section) = self.send.get_mut(usize::from(send_index)) {
            let last = section.last_video.filter(|last| !last.blank);
            section.last_video = last.map(|last| QueuedPacket { blank: true, ..last });
        }
    }
}
