//! One stream on its way in: what arrived, what is missing, how long nothing came, and what a receiver report says of it
//! (RFC 3550 §6.4.1 and appendix A.3, A.8).

use sfu_core::ids::Ssrc;
use sfu_core::rtcp::sr::ReportBlock;
use sfu_core::session::MediaKind;

/// Sequence numbers of which is known whether they came: 7 s of pictures.
const WINDOW: u64 = 1_024;
/// Most missing packets that are asked for; a browser then asks for a keyframe.
const MAX_MISSING: usize = 256;
/// How often one packet is asked for (libwebrtc's `kMaxNackRetries`).
const MAX_TRIES: u8 = 10;
/// Pause before the same packet is asked for again: libwebrtc's guess of the round trip before it has measured any.
const RETRY_NS: u64 = 100_000_000;

/// Whether a packet was the first with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    New,
    Again,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    number: u64,
    tries: u8,
    ask_at_ns: u64,
}

/// What arrived while it was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Packets, each once.
    pub(crate) received: u64,
    /// Numbers that did not come, not even when asked for.
    pub(crate) lost: u64,
    /// Packets that were asked for and came.
    pub(crate) recovered: u64,
    /// Packets that came again.
    pub(crate) again: u64,
    /// Longest time between two packets.
    pub(crate) longest_gap_ns: u64,
    /// When that began, since 1970.
    pub(crate) gap_at_ns: u64,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) ssrc: Ssrc,
    pub(crate) kind: MediaKind,
    /// Highest number yet, wraps included.
    highest: u64,
    /// One bit for each of the numbers up to `highest`.
    seen: [u64; WINDOW as usize / 64],
    missing: Vec<Missing>,
    /// Since the first packet.
    first: u64,
    received_ever: u64,
    reported: (u64, u64),
    /// In ticks, times 16.
    jitter: u32,
    transit: Option<u32>,
    last_sr: Option<(u32, u64)>,
    last_ns: u64,
    counted: Counted,
    counted_from: u64,
}

impl Reception {
    pub(crate) fn new(ssrc: Ssrc, kind: MediaKind, sequence_number: u16, at_ns: u64) -> Self {
        // Far from zero, so that an early packet that comes late has a number.
        let first = 1 << 16 | u64::from(sequence_number);
        Self {
            ssrc,
            kind,
            highest: first - 1,
            seen: [u64::MAX; WINDOW as usize / 64],
            missing: Vec::new(),
            first,
            received_ever: 0,
            reported: (0, 0),
            jitter: 0,
            transit: None,
            last_sr: None,
            last_ns: at_ns,
            counted: Counted::default(),
            counted_from: first,
        }
    }

    /// Takes in a packet that arrived at `at_ns` since 1970.
    pub(crate) fn take(&mut self, sequence_number: u16, timestamp: u32, at_ns: u64) -> Taken {
        let distance = sequence_number.wrapping_sub(self.highest as u16) as i16;
        let number = self.highest.wrapping_add_signed(i64::from(distance));
        if distance > 0 {
            self.advance(number, at_ns);
        } else if self.highest - number >= WINDOW || self.was_seen(number) {
            self.counted.again += 1;
            return Taken::Again;
        } else if let Some(at) = self.missing.iter().position(|missing| missing.number == number) {
            let asked = self.missing.swap_remove(at).tries > 0;
            self.counted.recovered += u64::from(asked);
        }
        self.mark(number, true);
        self.received_ever += 1;
        self.counted.received += 1;
        self.note_gap(at_ns);
        if distance > 0 {
            self.note_jitter(timestamp, at_ns);
        }
        Taken::New
    }

    fn advance(&mut self, number: u64, at_ns: u64) {
        for passed in self.highest + 1..number {
            self.mark(passed, false);
            if self.missing.len() < MAX_MISSING {
                self.missing.push(Missing { number: passed, tries: 0, ask_at_ns: at_ns });
            }
        }
        self.highest = number;
    }

    fn mark(&mut self, number: u64, seen: bool) {
        let (word, bit) = ((number % WINDOW / 64) as usize, 1 << (number % 64));
        if seen {
            self.seen[word] |= bit;
        } else {
            self.seen[word] &= !bit;
        }
    }

    fn was_seen(&self, number: u64) -> bool {
        number < self.first || self.seen[(number % WINDOW / 64) as usize] >> (number % 64) & 1 != 0
    }

    fn note_gap(&mut self, at_ns: u64) {
        let gap_ns = at_ns.saturating_sub(self.last_ns);
        if gap_ns > self.counted.longest_gap_ns {
            (self.counted.longest_gap_ns, self.counted.gap_at_ns) = (gap_ns, self.last_ns);
        }
        self.last_ns = self.last_ns.max(at_ns);
    }

    fn note_jitter(&mut self, timestamp: u32, at_ns: u64) {
        let rate = if self.kind == MediaKind::Audio { 48_000 } else { 90_000 };
        let arrival = (u128::from(at_ns) * rate / 1_000_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let change = (transit.wrapping_sub(before) as i32).unsigned_abs();
            let smoothed = self.jitter - (self.jitter.saturating_add(8) >> 4).min(self.jitter);
            self.jitter = smoothed.saturating_add(change);
        }
    }

    /// A sender report came, with the middle of its NTP time.
    pub(crate) fn note_sender_report(&mut self, middle: u32, at_ns: u64) {
        self.last_sr = Some((middle, at_ns));
    }

    /// Whether there is something to ask for, now or later.
    pub(crate) fn is_missing_something(&self) -> bool {
        self.kind == MediaKind::Video && self.missing.iter().any(|missing| missing.tries < MAX_TRIES)
    }

    /// What is missing and to be asked for now, in order. Sound is not asked for.
    pub(crate) fn take_askable(&mut self, now_ns: u64) -> Vec<u16> {
        if self.kind == MediaKind::Audio || self.missing.is_empty() {
            return Vec::new();
        }
        self.missing.retain(|missing| missing.tries < MAX_TRIES);
        let mut numbers: Vec<u64> = Vec::new();
        for missing in self.missing.iter_mut().filter(|missing| missing.ask_at_ns <= now_ns) {
            missing.tries += 1;
            missing.ask_at_ns = now_ns + RETRY_NS;
            numbers.push(missing.number);
        }
        numbers.sort_unstable();
        numbers.into_iter().map(|number| number as u16).collect()
    }

    /// What a receiver report says now.
    pub(crate) fn report(&mut self, now_ns: u64) -> ReportBlock {
        let expected = self.highest + 1 - self.first;
        let (expected_before, received_before) = std::mem::replace(&mut self.reported, (expected, self.received_ever));
        let expected_since = expected - expected_before;
        let lost_since = expected_since.saturating_sub(self.received_ever - received_before);
        let fraction = (lost_since * 256).checked_div(expected_since).unwrap_or(0);
        let since = |(_, at_ns): (u32, u64)| (now_ns.saturating_sub(at_ns) * 65_536 / 1_000_000_000) as u32;
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: (expected as i64 - self.received_ever as i64) as i32,
            highest_sequence: (self.highest - (1 << 16)) as u32,
            jitter: self.jitter >> 4,
            last_sr: self.last_sr.map_or(0, |(middle, _)| middle),
            delay_since_last_sr: self.last_sr.map_or(0, since),
        }
    }

    /// When the last packet came, since 1970.
    pub(crate) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Begins to count. A gap counts from here.
    pub(crate) fn count_from_here(&mut self, now_ns: u64) {
        self.counted = Counted::default();
        self.counted_from = self.highest + 1;
        self.last_ns = now_ns;
    }

    /// What was counted. A stream that has ended has a gap up to `until_ns`.
    pub(crate) fn counted(&self, until_ns: u64) -> Counted {
        let expected = self.highest + 1 - self.counted_from;
        let mut counted = Counted { lost: expected.saturating_sub(self.counted.received), ..self.counted };
        let open_ns = until_ns.saturating_sub(self.last_ns);
        if open_ns > counted.longest_gap_ns {
            (counted.longest_gap_ns, counted.gap_at_ns) = (open_ns, self.last_ns);
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn stream(kind: MediaKind, numbers: &[u16]) -> Reception {
        let mut reception = Reception::new(Ssrc(1), kind, numbers[0], 0);
        for (at, number) in numbers.iter().enumerate() {
            reception.take(*number, 0, at as u64 * 20 * MS);
        }
        reception
    }

    #[test]
    fn what_comes_in_order_is_counted_and_nothing_is_lost() {
        let counted = stream(MediaKind::Video, &[65_534, 65_535, 0, 1]).counted(60 * MS);
        assert_eq!((counted.received, counted.lost, counted.again), (4, 0, 0));
    }

    #[test]
    fn a_gap_is_lost_and_asked_for_until_it_is_filled() {
        let mut reception = stream(MediaKind::Video, &[10, 11, 14]);
        assert_eq!(reception.take_askable(40 * MS), [12, 13]);
        assert_eq!(reception.take_askable(50 * MS), [] as [u16; 0]);
        assert_eq!(reception.take(13, 0, 60 * MS), Taken::New);
        assert_eq!(reception.take_askable(140 * MS), [12]);
        let counted = reception.counted(60 * MS);
        assert_eq!((counted.received, counted.lost, counted.recovered), (4, 1, 1));
    }

    #[test]
    fn nobody_asks_for_lost_sound() {
        assert!(stream(MediaKind::Audio, &[10, 13]).take_askable(1_000 * MS).is_empty());
    }

    #[test]
    fn a_packet_that_comes_twice_counts_once() {
        let mut reception = stream(MediaKind::Video, &[10, 11, 12]);
        assert_eq!(reception.take(11, 0, 60 * MS), Taken::Again);
        assert_eq!(reception.take(9, 0, 60 * MS), Taken::Again);
        let counted = reception.counted(60 * MS);
        assert_eq!((counted.received, counted.again), (3, 2));
    }

    #[test]
    fn counting_begins_where_it_is_told_to() {
        let mut reception = stream(MediaKind::Video, &[10, 12, 13]);
        reception.count_from_here(45 * MS);
        reception.take(14, 0, 60 * MS);
        reception.take(16, 0, 80 * MS);
        let counted = reception.counted(80 * MS);
        assert_eq!((counted.received, counted.lost, counted.longest_gap_ns), (2, 1, 20 * MS));
    }

    #[test]
    fn a_stream_that_ended_has_a_gap_to_the_end() {
        let counted = stream(MediaKind::Audio, &[1, 2, 3]).counted(500 * MS);
        assert_eq!((counted.longest_gap_ns, counted.gap_at_ns), (460 * MS, 40 * MS));
    }

    #[test]
    fn a_report_tells_what_was_lost_since_the_last() {
        let mut reception = stream(MediaKind::Video, &[10, 11, 12, 14]);
        let first = reception.report(100 * MS);
        assert_eq!((first.fraction_lost, first.cumulative_lost, first.highest_sequence), (51, 1, 14));
        reception.take(15, 0, 110 * MS);
        assert_eq!(reception.report(200 * MS).fraction_lost, 0);
    }
}
