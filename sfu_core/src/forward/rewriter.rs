//! One gap-free stream out of switching encodings (RFC 3550 §5.1 numbering, RFC 7667 §3.7; VP8 counters of RFC 7741 §4.2).
//!
//! # Numbers
//! Every packet of the current encoding, come or missing, gets the next number out, except those that are withheld from
//! this subscriber. So only packets that the publisher's network lost leave a gap, and that gap can be asked for.
//! Source numbers 1 and 3 come, then 4 is withheld, 5 comes, and 2 comes late:
//!
//! ```text
//! source   1      3            4          5      2
//! out     70     72            -         73     71
//!                71 waits      closed           filled
//! ```
//!
//! Reordering around withheld packets: whether a missing packet would have been withheld is not known, so it keeps its
//! number. When it then comes late and is withheld, its number stays a hole that nothing fills (had 2 been withheld, 71
//! would be that hole). A withheld packet that comes in order never costs a number. A number is used once, ever: a
//! repeated packet is rejected. Packets from before the keyframe of a switch are rejected too.
//!
//! # Epochs
//! Between two switches everything is rewritten by adding the same offsets. That is an epoch. The ring remembers which
//! source packet has which number, the epoch table the offsets, so a packet can be rewritten again, equal in every bit,
//! from the ring that all subscribers share.

use std::mem::offset_of;
use std::time::{Duration, Instant};

use super::PacketFacts;
use crate::prefetch::{prefetch, prefetch_start};
use crate::session::MAX_ENCODINGS;
use crate::units::NtpTime;

/// Entries at first: over two seconds of audio, a second of a thumbnail. 8 bytes each.
pub const MIN_RING: usize = 128;
/// Entries at most: a second at 10 Mbit/s. Retransmissions older than that come too late to be shown.
pub const MAX_RING: usize = 1_024;
/// Switches whose packets can still be sent again; the allocator switches less often than once in a second.
pub const MAX_EPOCHS: usize = 4;
/// More missing packets than this in a row are not a loss but a publisher that began anew: half the largest ring.
const MAX_GAP: u64 = 512;
/// The ring covers this span: the longest after which a retransmission is still of use.
const RING_SPAN: Duration = Duration::from_secs(1);
/// How far sender reports may move a switch from where arrival puts it; beyond it they are wrong.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(3);

/// One stream's numbering for one subscriber.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct Rewriter {
    /// The next index out.
    next: u64,
    first: u64,
    /// The highest source number seen in the current epoch.
    highest_in: u64,
    last_timestamp: u32,
    last_arrival: Option<Instant>,
    last_picture_id: Option<u16>,
    last_tl0: Option<u8>,
    epoch: u32,
    ring: Vec<Entry>,
    /// When the ring was last filled from its beginning, and the index at which it is full again.
    turn: (Instant, u64),
    epochs: [RewriteEpoch; MAX_EPOCHS],
}

/// When encodings of one track showed the same thing, by their sender reports (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy)]
pub struct SwitchClocks {
    /// Ticks of the RTP timestamp in a second.
    pub clock_rate_hz: u32,
    /// By encoding: the last sender report.
    pub anchors: [Option<ClockAnchor>; MAX_ENCODINGS],
}

/// The two clocks of a sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockAnchor {
    /// The publisher's wall clock.
    pub ntp: NtpTime,
    /// The encoding's RTP timestamp at that instant.
    pub timestamp: u32,
}

/// What replaces the numbers of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// Index out: 48 bits of roll-over counter and sequence number (RFC 3711 §3.3.1).
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// VP8 picture number, as wide as in the source.
    pub picture_id: Option<u16>,
    /// VP8 TL0PICIDX.
    pub tl0_pic_idx: Option<u8>,
    /// Counts switches.
    pub epoch: u32,
}

/// Where a packet that went out came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePacket {
    /// Encoding of the track.
    pub encoding: u8,
    /// Unwrapped number in that encoding.
    pub sequence: u64,
    /// False when it has never come; it may come yet.
    pub sent: bool,
    index: u64,
    epoch: u32,
    offsets: Offsets,
}

impl SourcePacket {
    /// Rewrites the packet again; `facts` are those of the packet this source names.
    pub fn rewrite(&self, facts: &PacketFacts) -> Rewritten {
        self.offsets.apply(facts, self.index, self.epoch)
    }
}

impl Rewriter {
    /// A stream that begins with these numbers. The low 16 bits of `first_sequence` are best drawn below 2¹⁵, so that
    /// a receiver that misses the first packets guesses the roll-over counter right.
    pub fn new(first_sequence: u64, first_timestamp: u32, now: Instant) -> Self {
        Self {
            next: first_sequence,
            first: first_sequence,
            highest_in: 0,
            last_timestamp: first_timestamp.wrapping_sub(1),
            last_arrival: None,
            last_picture_id: None,
            last_tl0: None,
            epoch: 0,
            epochs: [RewriteEpoch::default(); MAX_EPOCHS],
            ring: Vec::new(),
            turn: (now, first_sequence),
        }
    }

    /// Numbers a packet of `encoding`; `switched` when it is the first of a new epoch. `None` when it must not go out:
    /// it is from before the switch, a repetition, or too late.
    #[inline]
    pub fn rewrite(
        &mut self,
        facts: &PacketFacts,
        encoding: u8,
        switched: bool,
        clocks: &SwitchClocks,
        now: Instant,
    ) -> Option<Rewritten> {
        if switched || self.last_arrival.is_none() {
            self.switch(facts, encoding, clocks, now);
        }
        if self.current().encoding != encoding {
            return None;
        }
        let index = match facts.sequence.wrapping_sub(self.highest_in) as i64 {
            1 => self.number(facts.sequence, State::Sent, now),
            2.. => {
                self.skip_missing(facts.sequence, now);
                self.number(facts.sequence, State::Sent, now)
            }
            _ => self.settle_late(facts.sequence, State::Sent)?,
        };
        let epoch = self.epoch;
        let rewritten = self.current().offsets.apply(facts, index, epoch);
        self.remember(facts, &rewritten);
        Some(rewritten)
    }

    /// Closes the gap of a packet of the current encoding that is withheld.
    pub fn drop_packet(&mut self, facts: &PacketFacts, now: Instant) {
        if self.last_arrival.is_none() {
            return;
        }
        match facts.sequence.wrapping_sub(self.highest_in) as i64 {
            1.. => {
                self.skip_missing(facts.sequence, now);
                self.highest_in = facts.sequence;
            }
            _ => _ = self.settle_late(facts.sequence, State::Withheld),
        }
    }

    /// Finds the source of the packet that went out, or should have, as `out_sequence`. `None` when it is too old or
    /// was withheld.
    pub fn map_back(&self, out_sequence: u16) -> Option<SourcePacket> {
        let highest = self.next.checked_sub(1)?;
        let index = highest.checked_sub(u64::from((highest as u16).wrapping_sub(out_sequence)))?;
        if index < self.first || self.next - index > self.ring.len() as u64 {
            return None;
        }
        let entry = self.ring[self.place(index)];
        let age = (self.epoch as u16).wrapping_sub(entry.epoch);
        if entry.state == State::Withheld || usize::from(age) >= MAX_EPOCHS {
            return None;
        }
        let epoch = self.epoch.wrapping_sub(u32::from(age));
        let RewriteEpoch { encoding, offsets, last_in, .. } = self.epochs[epoch as usize % MAX_EPOCHS];
        let last_in = if age == 0 { self.highest_in } else { last_in };
        let sequence = entry.full_sequence(last_in);
        Some(SourcePacket { encoding, sequence, sent: entry.state == State::Sent, index, epoch, offsets })
    }

    /// Fetches what the next packet touches first.
    #[inline]
    pub fn prefetch(&self) {
        prefetch_start(self, offset_of!(Self, epochs));
    }

    /// Fetches what that leads to, once it is there.
    #[inline]
    pub fn prefetch_ring(&self) {
        prefetch(self.current());
        if !self.ring.is_empty() {
            prefetch(&self.ring[self.place(self.next)]);
        }
    }

    /// Gives the ring's memory back while nothing goes out; numbers go on where they were.
    pub fn forget(&mut self) {
        self.ring = Vec::new();
        self.first = self.next;
        self.turn.1 = self.next;
    }

    /// What is added to timestamps of the current encoding: sender reports are translated with it.
    pub fn timestamp_offset(&self) -> u32 {
        self.current().offsets.timestamp
    }

    /// The index that the next packet gets.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The highest timestamp that went out.
    pub fn last_timestamp(&self) -> u32 {
        self.last_timestamp
    }

    #[inline]
    fn current(&self) -> &RewriteEpoch {
        &self.epochs[self.epoch as usize % MAX_EPOCHS]
    }

    #[inline]
    fn place(&self, index: u64) -> usize {
        index as usize & (self.ring.len() - 1)
    }

    /// Gives the next index to source number `sequence`.
    #[inline]
    fn number(&mut self, sequence: u64, state: State, now: Instant) -> u64 {
        let index = self.next;
        if index >= self.turn.1 {
            self.begin_turn(now);
        }
        self.next = index + 1;
        self.highest_in = sequence;
        let place = self.place(index);
        self.ring[place] = Entry { sequence: sequence as u32, epoch: self.epoch as u16, state };
        index
    }

    /// Numbers everything that is missing before `sequence`.
    #[cold]
    fn skip_missing(&mut self, sequence: u64, now: Instant) {
        let first_missing = self.highest_in.wrapping_add(1);
        if sequence.wrapping_sub(first_missing) > MAX_GAP {
            // One hole tells the subscriber's decoder that something is missing; nobody can fill hundreds.
            self.number(first_missing, State::Withheld, now);
            let RewriteEpoch { encoding, offsets, .. } = *self.current();
            self.open_epoch(encoding, offsets, sequence);
            return;
        }
        for missing in first_missing..sequence {
            self.number(missing, State::Missing, now);
        }
    }

    /// Finds the number kept for a late packet and settles what becomes of it.
    #[cold]
    fn settle_late(&mut self, sequence: u64, state: State) -> Option<u64> {
        let &RewriteEpoch { first_in, first_out, .. } = self.current();
        if sequence < first_in || self.ring.is_empty() {
            return None;
        }
        let mut low = first_out.max(self.next.saturating_sub(self.ring.len() as u64)).max(self.first);
        let mut high = self.next;
        while low < high {
            let middle = low.midpoint(high);
            if self.ring[self.place(middle)].full_sequence(self.highest_in) < sequence {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low >= self.next {
            return None;
        }
        let (place, highest_in) = (self.place(low), self.highest_in);
        let entry = &mut self.ring[place];
        if entry.full_sequence(highest_in) != sequence || entry.state != State::Missing {
            return None;
        }
        entry.state = state;
        Some(low)
    }

    /// The ring is full (or was never made): when that took less than its span, it grows.
    #[cold]
    fn begin_turn(&mut self, now: Instant) {
        let old = self.ring.len();
        let quick = now.saturating_duration_since(self.turn.0) < RING_SPAN;
        if old == 0 {
            self.ring = vec![Entry::default(); MIN_RING];
        } else if quick && old < MAX_RING {
            let mut larger = vec![Entry::default(); old * 2];
            for index in self.next.saturating_sub(old as u64)..self.next {
                larger[index as usize & (old * 2 - 1)] = self.ring[self.place(index)];
            }
            self.ring = larger;
        }
        // After growing, half of the new ring is free.
        let free = if old > 0 && self.ring.len() > old { old } else { self.ring.len() };
        self.turn = (now, self.next + free as u64);
    }

    #[cold]
    fn switch(&mut self, facts: &PacketFacts, encoding: u8, clocks: &SwitchClocks, now: Instant) {
        // What begins again without a keyframe in sight must not look like the next frame: one number out, and one
        // picture, never come, so that the decoder stops until the keyframe that was asked for is there.
        let hole = self.last_arrival.is_some() && facts.may_be_keyframe && !facts.keyframe;
        if hole {
            self.number(self.highest_in.wrapping_add(1), State::Withheld, now);
        }
        let step = 1 + u8::from(hole);
        let offsets = Offsets {
            timestamp: self.timestamp_after_switch(facts, encoding, clocks).wrapping_sub(facts.timestamp),
            picture_id: match (self.last_picture_id, facts.vp8.and_then(|vp8| vp8.picture_id)) {
                (Some(last), Some(new)) => last.wrapping_add(u16::from(step)).wrapping_sub(new.value),
                _ => 0,
            },
            tl0_pic_idx: match (self.last_tl0, facts.vp8.and_then(|vp8| vp8.tl0_pic_idx)) {
                (Some(last), Some(new)) => last.wrapping_add(step).wrapping_sub(new.value),
                _ => 0,
            },
        };
        self.open_epoch(encoding, offsets, facts.sequence);
    }

    fn open_epoch(&mut self, encoding: u8, offsets: Offsets, first_in: u64) {
        self.epochs[self.epoch as usize % MAX_EPOCHS].last_in = self.highest_in;
        self.epoch = self.epoch.wrapping_add(1);
        self.epochs[self.epoch as usize % MAX_EPOCHS] =
            RewriteEpoch { first_in, first_out: self.next, last_in: first_in, offsets, encoding };
        self.highest_in = first_in.wrapping_sub(1);
    }

    /// The timestamp of the first packet after a switch: where sender reports put it, else where arrival does, and
    /// always after what went out before.
    fn timestamp_after_switch(&self, facts: &PacketFacts, encoding: u8, clocks: &SwitchClocks) -> u32 {
        let Some(last_arrival) = self.last_arrival else {
            return self.last_timestamp.wrapping_add(1);
        };
        let rate = f64::from(clocks.clock_rate_hz);
        let elapsed = facts.arrival.saturating_duration_since(last_arrival).as_secs_f64();
        let by_arrival = self.last_timestamp.wrapping_add((elapsed * rate) as u64 as u32);
        let old = *self.current();
        let timestamp = if old.encoding == encoding {
            Some(facts.timestamp.wrapping_add(old.offsets.timestamp))
        } else {
            clocks
                .translate(facts.timestamp, encoding, old.encoding)
                .map(|timestamp| timestamp.wrapping_add(old.offsets.timestamp))
        };
        let credible = |timestamp: &u32| {
            let skew = f64::from((timestamp.wrapping_sub(by_arrival) as i32).unsigned_abs());
            skew <= MAX_CLOCK_SKEW.as_secs_f64() * rate
        };
        let timestamp = timestamp.filter(credible).unwrap_or(by_arrival);
        let advances = timestamp.wrapping_sub(self.last_timestamp) as i32 > 0;
        if advances { timestamp } else { self.last_timestamp.wrapping_add(1) }
    }

    #[inline]
    fn remember(&mut self, facts: &PacketFacts, rewritten: &Rewritten) {
        if rewritten.timestamp.wrapping_sub(self.last_timestamp) as i32 > 0 {
            self.last_timestamp = rewritten.timestamp;
            self.last_arrival = Some(facts.arrival);
            let Some(vp8) = facts.vp8 else { return };
            // A later timestamp is a later picture, so nothing here goes back.
            if let (Some(source), Some(out)) = (vp8.picture_id, rewritten.picture_id) {
                self.last_picture_id = Some(out & source.mask());
            }
            if rewritten.tl0_pic_idx.is_some() {
                self.last_tl0 = rewritten.tl0_pic_idx;
            }
        }
    }
}

impl SwitchClocks {
    /// No sender report yet.
    pub fn unknown(clock_rate_hz: u32) -> Self {
        Self { clock_rate_hz, anchors: [None; MAX_ENCODINGS] }
    }

    /// The timestamp that encoding `to` gives to the instant that encoding `from` calls `timestamp`.
    fn translate(&self, timestamp: u32, from: u8, to: u8) -> Option<u32> {
        let from = (*self.anchors.get(usize::from(from))?)?;
        let to = (*self.anchors.get(usize::from(to))?)?;
        let since_from = timestamp.wrapping_sub(from.timestamp) as i32;
        let between = (from.ntp.seconds_since(to.ntp) * f64::from(self.clock_rate_hz)).round();
        Some(to.timestamp.wrapping_add(between as i64 as u32).wrapping_add(since_from as u32))
    }
}

/// What is added to each packet of an epoch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Offsets {
    timestamp: u32,
    picture_id: u16,
    tl0_pic_idx: u8,
}

impl Offsets {
    #[inline]
    fn apply(self, facts: &PacketFacts, index: u64, epoch: u32) -> Rewritten {
        let vp8 = facts.vp8.unwrap_or_default();
        Rewritten {
            sequence: index,
            timestamp: facts.timestamp.wrapping_add(self.timestamp),
            picture_id: vp8.picture_id.map(|id| id.value.wrapping_add(self.picture_id) & id.mask()),
            tl0_pic_idx: vp8.tl0_pic_idx.map(|index| index.value.wrapping_add(self.tl0_pic_idx)),
            epoch,
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct RewriteEpoch {
    first_in: u64,
    first_out: u64,
    /// The highest source number, set when the epoch ends.
    last_in: u64,
    offsets: Offsets,
    encoding: u8,
}

/// What became of one number out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Withheld,
    Missing,
    Sent,
}

#[derive(Debug, Default, Clone, Copy)]
struct Entry {
    sequence: u32,
    epoch: u16,
    state: State,
}

impl Entry {
    /// The source number, given one from the same epoch that is not lower.
    #[inline]
    fn full_sequence(self, last_in: u64) -> u64 {
        last_in.wrapping_sub(u64::from((last_in as u32).wrapping_sub(self.sequence)))
    }
}

#[cfg(test)]
mod tests;
